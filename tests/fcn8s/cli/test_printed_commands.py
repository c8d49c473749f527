"""What `fcn8s check` calls ready, and what `fcn8s import` makes, trains with the command that was printed, unedited."""

import contextlib
import math
import os
import shlex

import pytest

import fcn8s
from data_generator.checking.faults import FAULT_KINDS
from fcn8s.cli import main
from fcn8s.saving import runs
from tests.data_generator.annotations.tools import TOOLS
from tests.data_generator.checking import situations
from tests.data_generator.checking.situations import SITUATIONS

BRIEF = ['--epochs', '1', '--batch', '2', '--threads', '0', '--no-report']
ONE_STEP = ['--steps-per-epoch', '1']
LEARN = ['--steps-per-epoch', '200', '--rate', 'poly:3e-3', '--keep-prob', '1', '--seed', '1']
# What check warns of, and nobody learns much from: labels that contradict their images, scores that say nothing.
MISLEADING = ('shifted_labels', 'swapped_colors', 'single_class')
# One of each way in which labels are read. FCN8S_TRAIN_ALL=1 trains on all that is sound, which takes some minutes.
LEARNT = ['masks_0_255', 'colors_with_legend_beside', 'palettes_in_another_order']
if os.environ.get('FCN8S_TRAIN_ALL'):
    LEARNT = sorted(SITUATIONS)


@pytest.fixture(scope='module')
def networks():
    """The networks that were opened, with the weights they began with, by what tells them apart: building one takes
    longer than training a step."""
    opened = {}
    with contextlib.ExitStack() as stack:
        yield opened, stack


@pytest.fixture
def shared_networks(networks, monkeypatch):
    """In place of `fcn8s.FCN8s`: begins again with a network that is open already, if it would have the same graph."""
    opened, stack = networks
    build = fcn8s.FCN8s

    def network(**settings):
        space = settings['label_space']
        key = repr(
            sorted(dict(settings, label_space=(space.num_classes, space.ignore_id, space.void_class_ids)).items())
        )
        if key not in opened:
            model = stack.enter_context(build(**settings))
            opened[key] = model, model.sess.run(model.model.state)
        model, beginning = opened[key]
        model.sess.run(
            [variable.initializer for variable in model.model.state],
            {variable.initializer.inputs[1]: value for variable, value in zip(model.model.state, beginning)},
        )
        model.network.set_label_space(space)
        return contextlib.nullcontext(model)

    monkeypatch.setattr(fcn8s, 'FCN8s', network, raising=False)


def trains(printed, encoder, run_dir, more=ONE_STEP):
    """Runs the one command of `fcn8s train` in a text, for a step on a narrow encoder; its evaluation, or None."""
    lines = [line.split(' train ', 1)[1] for line in printed.splitlines() if ' train --' in line]
    assert len(lines) == 1, printed
    words = [encoder if word == 'ENCODER' else word for word in shlex.split(lines[0])]
    if '--data' not in words and '--val-images' not in words:  # what it trains on is all there is to score
        words += [
            '--val-images',
            words[words.index('--images') + 1],
            '--val-labels',
            words[words.index('--labels') + 1],
        ]
    assert main(['train', *words, *BRIEF, *more, '--run', str(run_dir)]) == 0
    record = runs.read_metrics(runs.open_run(str(run_dir)))[-1]
    assert math.isfinite(record['training_loss']) and record['training_loss'] > 0
    return record.get('evaluation')


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', sorted(SITUATIONS))
def test_what_check_calls_ready_trains(name, tmp_path, capsys, narrow_encoder, shared_networks):
    situation = SITUATIONS[name](str(tmp_path / 'my data'))
    status = main(['check', str(tmp_path / 'my data'), '--workers', '1', *situation.options])
    printed = capsys.readouterr().out
    assert (status == 0) == situation.is_sound == ('Training can start' in printed)
    if situation.is_sound:
        trains(printed, narrow_encoder, tmp_path / 'run')


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', LEARNT)
def test_what_check_calls_sound_is_learnt(name, tmp_path, capsys, tiny_encoder, shared_networks, monkeypatch):
    """All of them: FCN8S_TRAIN_ALL=1 pytest tests/fcn8s/cli/test_printed_commands.py -k learnt."""
    monkeypatch.setattr(situations, 'SIZE', (96, 144))  # shapes that are large beside the stride of the network
    situation = SITUATIONS[name](str(tmp_path / 'my data'))
    main(['check', str(tmp_path / 'my data'), '--workers', '1', *situation.options])
    printed = capsys.readouterr().out
    if not situation.is_sound or any(FAULT_KINDS[kind].description[1:] in printed for kind in MISLEADING):
        pytest.skip('check says why nothing would be learnt')
    assert trains(printed, tiny_encoder, tmp_path / 'run', LEARN)['mean_iou'] > 0.9


@pytest.mark.parametrize('kind', sorted(TOOLS))
def test_what_import_makes_trains(kind, tmp_path, capsys, narrow_encoder, shared_networks):
    TOOLS[kind](tmp_path / 'my annotations')
    assert main(['import', str(tmp_path / 'my annotations'), str(tmp_path / 'my data')]) == 0
    assert trains(capsys.readouterr().out, narrow_encoder, tmp_path / 'run')['mean_iou'] >= 0
