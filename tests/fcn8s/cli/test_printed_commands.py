"""What `fcn8s check` calls ready, and what `fcn8s import` makes, trains with the command that was printed, unedited."""

import contextlib
import math
import shlex

import pytest

import fcn8s
from fcn8s.cli import main
from fcn8s.saving import runs
from tests.data_generator.annotations.tools import TOOLS
from tests.data_generator.checking.situations import SITUATIONS

SHORT = ['--epochs', '1', '--steps-per-epoch', '1', '--batch', '2', '--threads', '0', '--no-report']


@pytest.fixture(scope='module')
def networks():
    """The networks that were opened, by what tells them apart: building one takes longer than training a step."""
    opened = {}
    with contextlib.ExitStack() as stack:
        yield opened, stack


@pytest.fixture
def shared_networks(networks, monkeypatch):
    """In place of `fcn8s.FCN8s`: trains on with a network that is open already, if all its settings are the same."""
    opened, stack = networks
    build = fcn8s.FCN8s

    def network(**settings):
        key = repr(sorted(settings.items()))
        if key not in opened:
            opened[key] = stack.enter_context(build(**settings))
        return contextlib.nullcontext(opened[key])

    monkeypatch.setattr(fcn8s, 'FCN8s', network, raising=False)


def trains(printed, encoder, run_dir):
    """Runs the one command of `fcn8s train` in a text, for a step on a narrow encoder; its evaluation, or None."""
    lines = [line.split(' train ', 1)[1] for line in printed.splitlines() if ' train --' in line]
    assert len(lines) == 1, printed
    words = [encoder if word == 'ENCODER' else word for word in shlex.split(lines[0])]
    assert main(['train', *words, *SHORT, '--run', str(run_dir)]) == 0
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


@pytest.mark.parametrize('kind', sorted(TOOLS))
def test_what_import_makes_trains(kind, tmp_path, capsys, narrow_encoder, shared_networks):
    TOOLS[kind](tmp_path / 'my annotations')
    assert main(['import', str(tmp_path / 'my annotations'), str(tmp_path / 'my data')]) == 0
    assert trains(capsys.readouterr().out, narrow_encoder, tmp_path / 'run')['mean_iou'] >= 0
