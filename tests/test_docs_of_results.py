"""docs/callbacks.md against stand-ins of what it imports, and the benchmarks of docs/looking-at-results.md."""

import os
import re
import runpy
import sys
import types

import numpy as np
import pytest
from workplace import python_blocks, read_page

from fcn8s.training.request import TrainingEvent
from helpers.label_spaces import generic_label_space


@pytest.fixture
def stand_ins(monkeypatch):
    """Modules that note what they are called with, in the places of those that the page imports."""
    calls = []

    def note(name):
        return lambda *arguments, **options: calls.append((name, arguments, options))

    modules = {
        'mlflow': {'log_metrics': note('log_metrics')},
        'wandb': {'log': note('log')},
        'IPython': {},
        'IPython.display': {'clear_output': note('clear_output')},
        'matplotlib': {},
        'matplotlib.pyplot': {'plot': note('plot'), 'show': note('show')},
    }
    for name, content in modules.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules['matplotlib'].pyplot = sys.modules['matplotlib.pyplot']
    return calls


def events():
    model = types.SimpleNamespace(label_space=generic_label_space(2, class_names=['road', 'sky']))
    evaluation = {'mean_iou': 0.95, 'loss': 0.5, 'per_class_iou': np.array([0.25, 0.5])}
    yield TrainingEvent('step', 1, {'loss': 2.0, 'learning_rate': 0.1}, model)
    yield TrainingEvent('evaluation', 1, evaluation, model)
    yield TrainingEvent('epoch', 1, {'training_loss': 2.0, 'epoch': 1, 'evaluation': evaluation}, model)


def test_callbacks_of_the_page_do_what_it_says(stand_ins):
    names = {}
    for block in python_blocks(read_page('callbacks.md')):
        exec(block, names)
    for event in events():
        for callback in ('to_mlflow', 'to_wandb', 'plot'):
            names[callback](event)
    assert ('log_metrics', ({'loss': 2.0, 'learning_rate': 0.1},), {'step': 1}) in stand_ins
    assert ('log_metrics', ({'training_loss': 2.0},), {'step': 1}) in stand_ins
    assert ('log_metrics', ({'val_mean_iou': 0.95, 'val_loss': 0.5},), {'step': 1}) in stand_ins
    assert ('log', ({'iou/road': 0.25, 'iou/sky': 0.5},), {'step': 1}) in stand_ins
    assert ('plot', ((1,), (2.0,)), {'marker': 'o'}) in stand_ins
    with pytest.raises(KeyboardInterrupt, match='90 % is enough'):
        for event in events():
            names['good_enough'](event)


def test_the_cost_of_samples_is_measured(root_dir, capsys):
    script = runpy.run_path(os.path.join(root_dir, 'benchmarks', 'doubt.py'))
    script['main'](['--size', '32', '48', '--width-divisor', '64', '--rounds', '1', '--samples', '2'])
    assert re.search(r'one prediction .* s, 2 samples .* s\nratio .*target 1.60', capsys.readouterr().out)


def test_labels_are_damaged_in_three_ways(root_dir):
    damage = runpy.run_path(os.path.join(root_dir, 'benchmarks', 'label_doubts.py'))['damage']
    labels, random = np.zeros((40, 60), np.uint8), np.random.RandomState(0)
    labels[10:20, 10:20] = 1
    assert (damage(labels, 'object missing', 3, random) == 0).all()
    assert (damage(labels, 'class swapped', 3, random) == 0).all()
    shifted = damage(labels, 'mask shifted', 3, random)
    assert (shifted == 1).sum() == 100 and (shifted != labels).any()
    assert damage(np.zeros((40, 60), np.uint8), 'object missing', 3, random) is None


def test_damaged_labels_are_counted_by_their_kind_and_by_what_the_network_sees(root_dir):
    script = runpy.run_path(os.path.join(root_dir, 'benchmarks', 'label_doubts.py'))
    labels = np.zeros((20, 40, 60), np.uint8)
    labels[:, 10:20, 10:20] = 1
    damaged = script['damage_some'](labels, 0.3, 3, np.random.RandomState(0))
    assert len(damaged) == 6 and sorted(one.kind for one in damaged.values()) == sorted(script['KINDS'] * 2)
    one = next(one for one in damaged.values() if one.kind == 'object missing')
    assert one.changed.sum() == 100
    tally = script['Tally']()
    for class_ids, is_found in ((labels[0], True), (labels[0], True), (labels[0] * 0, False)):
        for heading in script['headings'](one, class_ids):
            tally.add(heading, is_found)
    assert tally.share('all') == tally.share('object missing, above 2 %') == 2 / 3
    assert tally.share('object missing, the network sees it') == 1
    assert tally.lines()[-1].split()[-4:] == ['2', 'of', '2', '1.00']
