"""`fcn8s find-rate`, `fcn8s train --overfit-one-batch` and `--minutes` on a tiny network and generated scenes."""

import argparse
import json
import os
import re
import shutil
import xml.etree.ElementTree

import numpy as np
import pytest

from data_generator import BatchGenerator
from data_generator.street_scenes import write_dataset
from fcn8s.cli import find_rate, main, time_budget
from fcn8s.training.probes import RateSweep


@pytest.fixture(scope='module')
def arguments(shallow_encoder, tmp_path_factory):
    data = str(tmp_path_factory.mktemp('data') / 'streets')
    write_dataset(data, num_train=2, num_val=1, num_drive_frames=0, size=(32, 48))
    return ['--data', data, '--layout', 'cityscapes', '--encoder', shallow_encoder, '--batch', '2']


def test_find_rate_draws_the_curve_and_suggests_a_rate(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'rate.svg').write_text('mine')
    assert main(['find-rate'] + arguments + ['--steps', '40', '--high', '0.1']) == 0
    printed = capsys.readouterr().out
    assert 'curve: rate-2.svg\n' in printed and 'suggestion: --rate poly:' in printed, printed
    root = xml.etree.ElementTree.parse('rate-2.svg').getroot()
    lines = root.findall('{http://www.w3.org/2000/svg}polyline')
    assert [len(line.get('points').split()) for line in lines][2] == 2 and len(lines) == 3
    assert sorted(os.listdir('.')) == ['rate-2.svg', 'rate.svg']  # no run
    assert (tmp_path / 'rate.svg').read_text() == 'mine'


@pytest.mark.parametrize('last, said', [(3.5, 'loss'), (71.2, 'loss, cut at 3.6')])
def test_a_curve_of_rates_says_where_it_was_cut(last, said, tmp_path):
    losses = np.array([2.4, 2.3, 2.0, last])
    sweep = RateSweep(np.array([1e-4, 1e-3, 1e-2, 1e-1]), losses, losses, 0.002)
    find_rate._draw(sweep, str(tmp_path / 'rate.svg'))
    text = (tmp_path / 'rate.svg').read_text()
    assert '>{}</text>'.format(said) in text
    assert text.count('<circle') == 8  # the line of the suggestion is no measurement


@pytest.mark.parametrize(
    'words, message',
    [
        (['--epochs', '3', '--save-every', '2'], '--epochs, --save-every mean nothing to a sweep of rates'),
        (['--val-split', 'test'], '--val-split means nothing to a sweep of rates'),
        (['--low', '2'], 'the rates go from 2 to 1; both have to be above 0, and the first the lower one: --low 1e-06'),
        (['--steps', '3'], '--steps is 3; it has to be a whole number from 8 to 100000. Take 100'),
        (['--out', '.'], '--out . is a directory'),
        (['--out', 'rate.png'], '--out is rate.png; it has to be the name of a .svg file, for example rate.svg'),
        (['--out', os.devnull], 'is a device or a pipe, and a file would take its place. Give a file name'),
    ],
)
def test_sweeps_that_are_refused(arguments, words, message, capsys):
    assert main(['find-rate'] + arguments + words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('command', ['find-rate', 'train'])
def test_folders_of_ones_own_are_sent_to_check(command, shallow_encoder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs('mine/images')
    assert main([command, '--data', 'mine', '--encoder', shallow_encoder]) == 2
    printed = ' '.join(capsys.readouterr().err.split())
    folder = os.path.join('mine', 'leftImg8bit', 'train')
    assert (
        '--data mine has no folder {}, where the layout cityscapes (without --layout it is cityscapes)'.format(folder)
        in printed
    )
    assert 'check mine prints the command.' in printed


@pytest.mark.parametrize('steps, is_said', [(12, False), (40, True)])
def test_a_sweep_that_ends_early_says_why(steps, is_said, capsys):
    assert find_rate._tell(RateSweep(np.logspace(-6, -1, 12), np.arange(12.0), np.arange(12.0), 1e-3), 'x', steps) == 0
    said = 'The loss exploded after 12 of {} steps, and the sweep ended.'.format(steps)
    assert (said in capsys.readouterr().out) == is_said


@pytest.mark.parametrize('command', [['find-rate'], ['train', '--overfit-one-batch']])
@pytest.mark.parametrize(
    'words, message',
    [
        (['--seed', '-1'], '--seed is -1'),
        (['--clip-norm', '0'], '--clip-norm is 0.0'),
        (['--freeze', '9'], '--freeze is 9'),
        (
            ['--class-weights', '1,2'],
            '--class-weights has the shape (2,); it has to hold one weight for each of the 19',
        ),
        (['--flip', '2'], 'flip'),
        (['--batch', '1'], "encoder directory 'no/encoder' does not exist"),
    ],
)
def test_probes_refuse_what_a_training_refuses_before_they_open_anything(command, words, message, tmp_path, capsys):
    out = ['--out', str(tmp_path / 'rate.svg')] if command == ['find-rate'] else []
    assert main(command + ['--data', 'no/data', '--encoder', 'no/encoder'] + words + out) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('command', [['find-rate'], ['train', '--overfit-one-batch']])
def test_the_size_of_evaluations_means_nothing_where_there_are_none(command, capsys):
    words = ['--data', 'no/data', '--encoder', 'no/encoder', '--crop', '32', '32', '--random-scale', '0.5', '1']
    assert main(command + words + ['--size', '16', '24']) == 2
    assert '--size is about evaluations where there is a --crop, and nothing is evaluated' in capsys.readouterr().err


def test_the_help_of_a_sweep_leaves_out_what_means_nothing_to_it(capsys):
    with pytest.raises(SystemExit):
        main(['find-rate', '--help'])
    flags = re.findall('^  (--[a-z-]+)', capsys.readouterr().out, re.M)
    assert {'--batch', '--hold-out', '--rate-multipliers', '--steps'} <= set(flags)
    assert not {'--epochs', '--val-split', '--rate', '--patience', '--no-report'} & set(flags)


def test_probes_need_no_validation_data(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(arguments[1], 'streets', ignore=shutil.ignore_patterns('val'))
    monkeypatch.setattr('fcn8s.training.probes.ENOUGH', 0.0)
    assert main(['train', '--data', 'streets'] + arguments[2:] + ['--overfit-one-batch', '1']) == 0
    assert ', 1 step: loss' in capsys.readouterr().out


def test_one_batch_by_heart(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['train'] + arguments + ['--overfit-one-batch', '2', '--rate', 'constant:1e-9']) == 1
    printed = capsys.readouterr().out
    assert 'one batch of 2, 2 steps: loss ' in printed and 'it has not been learned by heart' in printed
    monkeypatch.setattr('fcn8s.training.probes.ENOUGH', 0.01)
    assert main(['train'] + arguments + ['--overfit-one-batch', '2', '--rate', 'constant:1e-3']) == 0
    assert 'The network learns one batch by heart' in capsys.readouterr().out
    assert os.listdir('.') == []
    assert main(['train'] + arguments + ['--overfit-one-batch', '0']) == 2
    assert '--overfit-one-batch is 0; it has to be 1 step or more' in capsys.readouterr().err


def test_epochs_that_fit_into_minutes(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time_budget, '_SECONDS', 0.1)
    # How many fit is the matter of the next test, and differs from machine to machine.
    monkeypatch.setattr(time_budget, '_epochs_within', lambda seconds, pace, steps, _: 2 if seconds < 600 else 0)
    counted, count = [], BatchGenerator.count_class_pixels
    monkeypatch.setattr(BatchGenerator, 'count_class_pixels', lambda *a, **b: counted.append(1) or count(*a, **b))
    words = arguments + ['--keep-prob', '0.9', '--no-report', '--class-weights', 'median_frequency']
    assert main(['train'] + words + ['--minutes', '10', '--run', 'timed', '--steps-per-epoch', '4']) == 0
    printed = capsys.readouterr().out
    assert len(counted) == 1  # within the measured time, not after it
    assert printed.startswith('Measuring how fast this machine is, for --minutes')
    assert re.search(r'a step takes \S+ s .*: 2 epochs of 4 steps fit into 10 minutes', printed)
    with open('timed/config.json') as file:
        command = json.load(file)['command']
    assert command['epochs'] == 2 and 'minutes' not in command
    # The steps that were measured left nothing behind: it is the run that so many epochs make.
    assert main(['train'] + words + ['--epochs', '2', '--run', 'counted', '--steps-per-epoch', '4']) == 0
    losses = []
    for run in ('timed', 'counted'):
        with open(os.path.join(run, 'metrics.jsonl')) as file:
            losses.append([json.loads(line)['training_loss'] for line in file])
    assert losses[0] == losses[1] and len(losses[0]) == 2


@pytest.mark.parametrize(
    'evaluation, report, minutes, expected',
    [
        (0.0, False, 1.0, 6),
        (5.0, False, 1.1, 5),
        (5.0, True, 1.1, 4),
        (20.0, True, 1.5, 2),
        (0.0, True, 1.9, 11),
        (5.0, True, 1e9, 4799999999),
    ],
)
def test_evaluations_and_report_take_their_part(evaluation, report, minutes, expected):
    options = argparse.Namespace(minutes=minutes, eval_every=2, report=report)
    pace = time_budget.Pace(step=2.0, evaluation=evaluation)
    assert time_budget._epochs_within(60 * minutes, pace, 5, options) == expected


@pytest.mark.parametrize(
    'words, message',
    [
        (['--minutes', '0.0001'], '--minutes is 0.0001, and 0 s of that are left after measuring; an epoch of 1 step'),
        (['--minutes', '0.0001', '--swa', '2'], '--minutes is 0.0001, and 0 s of that are left after measuring'),
        (['--minutes', '3', '--epochs', '2'], '--epochs and --minutes both say how long to train'),
        (['--minutes', '3', '--folds', '2'], '--minutes is for a single training by a single process'),
        (['--minutes', '3', '--overfit-one-batch'], '--minutes means nothing to --overfit-one-batch'),
        (['--minutes', '3', '--workers', '2'], '--minutes is for a single training by a single process'),
    ],
)
def test_minutes_that_are_refused(arguments, words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time_budget, '_SECONDS', 0.1)
    assert main(['train'] + arguments + words) == 2
    assert message in capsys.readouterr().err
