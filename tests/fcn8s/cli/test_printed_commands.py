"""What `fcn8s check` calls ready, and what `fcn8s import` makes, trains with the command that was printed, unedited."""

import contextlib
import math
import shlex
import shutil
import sys

import pytest
from thorough import THOROUGH, ran_once

import fcn8s
from data_generator import BatchGenerator
from data_generator.checking.faults import FAULT_KINDS
from fcn8s.backend import tf
from fcn8s.cli import build_parser, main
from fcn8s.cli.options import resolving, training
from fcn8s.saving import runs
from fcn8s.saving.card import write_card
from fcn8s.saving.descriptions import SavedFCN8s
from fcn8s.settings import ModelSettings
from helpers.label_spaces import generic_label_space
from tests.data_generator.annotations.tools import TOOLS
from tests.data_generator.checking import situations
from tests.data_generator.checking.situations import SITUATIONS

BRIEF = ['--epochs', '1', '--batch', '2', '--threads', '0', '--no-report']
ONE_STEP = ['--steps-per-epoch', '1']
LEARN = ['--steps-per-epoch', '80', '--rate', 'poly:1e-3', '--keep-prob', '1', '--seed', '1']
# Shapes that are large beside the stride of the network.
LARGE = (96, 144)
# What check warns of, and nobody learns much from: labels that contradict their images, scores that say nothing.
MISLEADING = ('shifted_labels', 'swapped_colors', 'single_class')
# Numbers, colours and a layout. Thorough tests learn all that is sound.
FEW = ['masks_0_255', 'colors_with_legend_beside', 'layout_cityscapes']
LEARNT = sorted(SITUATIONS) if THOROUGH else FEW
TRAINED = SITUATIONS if THOROUGH or sys.version_info >= (3, 8) else FEW


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
    """Runs the one command of `fcn8s train` in a text with an encoder, and with more options; its evaluation."""
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
    status = main(['check', *situation.arguments(str(tmp_path / 'my data'))])
    printed = capsys.readouterr().out
    assert (status == 0) == situation.is_sound == ('Training can start' in printed)
    if situation.is_sound and name in TRAINED:
        trains(printed, narrow_encoder, tmp_path / 'run')


@pytest.fixture(scope='module')
def taught_encoder(tmp_path_factory, tiny_encoder):
    """An encoder that has seen such shapes, as those that people begin with have seen photographs."""
    root, steps = tmp_path_factory.mktemp('taught'), 300
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(situations, 'SIZE', LARGE)
        situations.dataset(str(root), splits=[('train', 100, 16)])
        for number in range(0, 16, 4):  # some of them without colour
            situations.write(situations.image_path(str(root), number), situations.shapes(100 + number)[0][..., 0])
    data = BatchGenerator([str(root / 'images')], None, [str(root / 'labels')], num_classes=3)
    shutil.copytree(tiny_encoder, str(root / 'vgg16'))
    with fcn8s.FCN8s(vgg16_dir=tiny_encoder, num_classes=3, seed=1) as model, data.generate(2, flip=0.5) as batches:
        model.train(batches, 1, steps, lambda step: 3e-3 * (1 - step / steps), 1.0, eval_dataset='train', metrics=())
        with model.graph.as_default():
            saver = tf.train.Saver(model.model.encoder.variables)
            saver.save(model.sess, str(root / 'vgg16/variables/variables'), write_meta_graph=False, write_state=False)
    return str(root / 'vgg16')


@ran_once
@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', LEARNT)
def test_what_check_calls_sound_is_learnt(name, tmp_path, capsys, taught_encoder, shared_networks, monkeypatch):
    monkeypatch.setattr(situations, 'SIZE', LARGE)
    situation = SITUATIONS[name](str(tmp_path / 'my data'))
    main(['check', *situation.arguments(str(tmp_path / 'my data'))])
    printed = capsys.readouterr().out
    if not situation.is_sound or any(FAULT_KINDS[kind].description[1:] in printed for kind in MISLEADING):
        pytest.skip('check says why nothing would be learnt')
    assert trains(printed, taught_encoder, tmp_path / 'run', LEARN)['mean_iou'] > 0.9


@pytest.mark.parametrize('kind', sorted(TOOLS))
def test_what_import_makes_trains(kind, tmp_path, capsys, narrow_encoder, shared_networks):
    TOOLS[kind](tmp_path / 'my annotations')
    assert main(['import', str(tmp_path / 'my annotations'), str(tmp_path / 'my data')]) == 0
    assert trains(capsys.readouterr().out, narrow_encoder, tmp_path / 'run')['mean_iou'] >= 0


FOLDERS = ['--images', 'I', '--labels', 'L', '--classes', '2']


@pytest.mark.parametrize(
    'words, evaluates',
    [
        (['--data', 'D'], True),
        (['--data', 'D', '--hold-out', 'weimar', 'zurich'], True),
        (['--data', 'D', '--val-split', ''], False),
        (['--data', 'D', '--size', '64', '128', '--at-input-size', '--rotate', '-10', '10', '0.5'], True),
        (FOLDERS, False),
        (FOLDERS + ['--label-suffix=-gt', '--images', 'J', '--labels', 'M'], False),
        (FOLDERS + ['--hold-out', 'weimar'], True),
        (FOLDERS + ['--val-images', 'V', '--val-labels', 'W', '--summary-worst', '2'], True),
    ],
)
def test_the_command_on_a_card_is_taken(words, evaluates):
    typed = vars(build_parser().parse_args(['train', '--encoder', 'E', *words]))
    options = resolving.resolve_steps(
        {name: value for name, value in typed.items() if name not in training.NO_OPTIONS}, typed['defaults']
    )
    weights = [0.5 + c for c in range(2 if options.images else 19)]
    options.class_weights = weights  # as --minutes and --resume leave them
    command = _command_on_the_card(resolving.storable(options))
    typed = vars(build_parser().parse_args(command[1:]))
    again = resolving.resolve_steps(
        {name: value for name, value in typed.items() if name not in training.NO_OPTIONS}, typed['defaults']
    )
    assert again.class_weights == ','.join(map(str, weights)) and resolving.evaluates(again) is evaluates
    assert dict(resolving.storable(again), class_weights=weights) == resolving.storable(options)


def _command_on_the_card(stored):
    """The words of the command that the card of a run with these stored options shows."""
    saved = SavedFCN8s('', ModelSettings(generic_label_space(2)), {})
    return shlex.split(write_card(saved, {'command': stored}, None, None).split('```')[1])
