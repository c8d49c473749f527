"""`fcn8s find-rate` and `fcn8s train --overfit-one-batch` on a tiny network and generated scenes."""

import os
import re
import shutil
import xml.etree.ElementTree

import pytest

from data_generator.street_scenes import write_dataset
from fcn8s.cli import main


@pytest.fixture(scope='module')
def arguments(tiny_encoder, tmp_path_factory):
    data = str(tmp_path_factory.mktemp('data') / 'streets')
    write_dataset(data, num_train=2, num_val=1, num_drive_frames=0, size=(32, 48))
    return ['--data', data, '--layout', 'cityscapes', '--encoder', tiny_encoder, '--batch', '2']


def test_find_rate_draws_the_curve_and_suggests_a_rate(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['find-rate'] + arguments + ['--steps', '40', '--high', '0.1', '--out', 'curve.svg']) == 0
    printed = capsys.readouterr().out
    assert 'curve: curve.svg\n' in printed and 'suggestion: --rate poly:' in printed, printed
    root = xml.etree.ElementTree.parse('curve.svg').getroot()
    lines = root.findall('{http://www.w3.org/2000/svg}polyline')
    assert [len(line.get('points').split()) for line in lines][2] == 2 and len(lines) == 3
    assert os.listdir('.') == ['curve.svg']  # no run


@pytest.mark.parametrize(
    'words, message',
    [
        (['--epochs', '3', '--save-every', '2'], '--epochs, --save-every means nothing to a sweep of rates'),
        (['--val-split', 'test'], '--val-split means nothing to a sweep of rates'),
        (['--low', '2'], 'the rates go from 2 to 1; both have to be above 0'),
        (['--out', '.'], '--out . is a directory'),
    ],
)
def test_sweeps_that_are_refused(arguments, words, message, capsys):
    assert main(['find-rate'] + arguments + words) == 2
    assert message in capsys.readouterr().err


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
    assert '1 steps' in capsys.readouterr().out


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
