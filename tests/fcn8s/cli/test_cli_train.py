"""`fcn8s train` as it is typed."""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import types
import warnings
import zipfile

import cv2
import numpy as np
import pytest
from thorough import ran_once

from data_generator.street_scenes import write_dataset
from data_generator.transforms.augmentations import AUGMENTATIONS
from data_generator.transforms.pipeline import build_pipeline
from fcn8s import FCN8s
from fcn8s.backend import tf
from fcn8s.cli import build_parser, main, report, terminal, train
from fcn8s.cli.inputs import training_plan
from fcn8s.cli.inputs.training import _label_space
from fcn8s.cli.options import resolving
from fcn8s.cli.options import training as train_options
from fcn8s.cli.options.images import rules_to_begin_with
from fcn8s.distributed import launching
from fcn8s.distributed.cluster import tf_config
from fcn8s.planning import memory
from fcn8s.saving.checkpoints import Checkpoints
from fcn8s.saving.runs import Run, only_writer
from fcn8s.stopping import GO_ON_WITH, TrainingInterrupted
from fcn8s.training import recipes
from helpers.label_spaces import CITYSCAPES

AUGMENTED = [
    '--crop',
    '32',
    '48',
    '--random-scale',
    '0.6',
    '1.4',
    '--max-class-share',
    '0.9',
    '--flip',
    '0.5',
    '--brightness',
    '0.7',
    '1.4',
    '0.5',
    '--color-jitter',
    '0.3',
    '0.3',
    '10',
    '0.5',
]
TRAINED = [
    '--epochs',
    '4',
    '--batch',
    '2',
    '--seed',
    '3',
    '--rate',
    'poly:1e-3',
    '--class-weights',
    'median_frequency',
    '--l2',
    '1e-4',
    '--no-report',
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp('data') / 'streets')
    write_dataset(directory, num_train=4, num_val=2, num_drive_frames=0, size=(48, 96))
    return directory


@pytest.fixture(scope='module')
def whole(data, shallow_encoder, tmp_path_factory):
    """A run that nothing interrupted, augmented in every way."""
    run = str(tmp_path_factory.mktemp('whole') / 'run')
    assert (
        main(['train', '--data', data, '--encoder', shallow_encoder, '--run', run] + TRAINED + AUGMENTED + ['--report'])
        == 0
    )
    return run


def read_json(*parts):
    with open(os.path.join(*parts), encoding='utf-8') as file:
        return json.load(file)


def records(run):
    """metrics.jsonl without what depends on the clock."""
    with open(os.path.join(run, 'metrics.jsonl'), encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    return [
        {k: v for k, v in line.items() if k not in ('seconds', 'images_per_second', 'waiting_share')} for line in lines
    ]


def variables(run):
    checkpoint = Checkpoints(os.path.join(run, 'checkpoints')).last()
    reader = tf.train.load_checkpoint(os.path.join(checkpoint, 'variables', 'variables'))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_run(run, expected):
    assert records(run) == records(expected)
    found, wanted = variables(run), variables(expected)
    assert sorted(found) == sorted(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def test_the_report_shows_the_evaluation_of_the_best_checkpoint(whole):
    with open(os.path.join(whole, 'report.html'), encoding='utf-8') as file:
        page = file.read()
    assert 'Evaluated on 2 images' in page and 'report ' + whole in page and 'Scores while training' in page


def test_who_ends_the_report_hears_where_the_run_is(data, shallow_encoder, tmp_path, capsys, monkeypatch):
    def end(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr('fcn8s.cli.report.write', end)
    run = str(tmp_path / 'run')
    assert main(['train', '--data', data, '--encoder', shallow_encoder, '--run', run, '--epochs', '1']) == 130
    assert 'The run is in {}'.format(run) in capsys.readouterr().out


def test_a_report_that_cannot_be_written_spoils_no_training(data, shallow_encoder, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise OSError('the disk is full.')

    monkeypatch.setattr('fcn8s.cli.report.write', fail)
    run = str(tmp_path / 'run')
    assert main(['train', '--data', data, '--encoder', shallow_encoder, '--run', run, '--epochs', '1']) == 0
    assert 'There is no report: the disk is full. Write it with: ' in capsys.readouterr().out
    assert main(['train', '--resume', run, '--epochs', '1', '--no-report']) == 0
    assert 'There is no report' not in capsys.readouterr().out


def test_leaves_a_run_directory(whole, data, shallow_encoder):
    assert sorted(os.listdir(whole)) == [
        '.lock',
        'checkpoints',
        'config.json',
        'events',
        'metrics.jsonl',
        'report.html',
    ]
    config = read_json(whole, 'config.json')
    assert config['command']['data'] == data and config['command']['encoder'] == shallow_encoder
    assert config['command']['crop'] == [32, 48] and config['seed'] == 3 and len(config['dataset_fingerprint']) == 64
    assert config['model']['label_space']['name'] == 'cityscapes' and config['versions']['tensorflow'] == tf.__version__
    history = records(whole)
    assert [record['step'] for record in history] == [2, 4, 6, 8]
    assert all(record['evaluation']['mean_iou'] >= 0 for record in history)
    np.testing.assert_allclose(
        [record['learning_rate'] for record in history], [1e-3 * (1 - (s - 1) / 8) ** 0.9 for s in (2, 4, 6, 8)]
    )
    names = Checkpoints(os.path.join(whole, 'checkpoints')).names()
    assert names[-2:] == ['step-00000006', 'step-00000008'] and len(names) <= 3
    assert len(os.listdir(os.path.join(whole, 'events'))) == 1


def test_evaluates_at_the_size_of_the_ground_truth(whole):
    confusion = np.array(records(whole)[-1]['evaluation']['confusion_matrix'])
    assert 0.8 * 2 * 48 * 96 < confusion.sum() <= 2 * 48 * 96


def test_median_frequency_weights_are_those_of_the_labels(whole, data):
    from cityscapesscripts.helpers.labels import id2label

    counts = []
    for directory, _, names in os.walk(os.path.join(data, 'gtFine', 'train')):
        for name in names:
            train_ids = np.vectorize(lambda i: id2label[i].trainId)(
                cv2.imread(os.path.join(directory, name), cv2.IMREAD_UNCHANGED)
            )
            counts.append([np.sum(train_ids == class_id) for class_id in range(19)])
    counts = np.array(counts, np.float64)
    frequency = [
        counts[:, c].sum() / counts[counts[:, c] > 0].sum() if counts[:, c].any() else np.nan for c in range(19)
    ]
    expected = np.where(np.isnan(frequency), 1, np.nanmedian(frequency) / frequency)
    np.testing.assert_allclose(read_json(whole, 'config.json')['training']['class_weights'], expected)


def terminate_in_epoch_2(command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    seen = b''
    while b'epoch 2/' not in seen:
        part = os.read(process.stderr.fileno(), 4096)
        assert part, seen
        seen += part
    process.send_signal(signal.SIGTERM)
    return process, process.communicate()[1].decode()


def test_terminated_and_resumed_is_bit_identical(whole, data, shallow_encoder, tmp_path, capsys):
    run, encoder = str(tmp_path / 'run'), shutil.copytree(shallow_encoder, str(tmp_path / 'encoder'))
    process, errors = terminate_in_epoch_2(
        [sys.executable, '-m', 'fcn8s', 'train', '--data', data, '--encoder', encoder, '--run', run]
        + TRAINED
        + AUGMENTED
    )
    assert process.returncode == 143
    words = ' '.join(errors.replace('\\\n', ' ').split())  # a terminal may break the lines
    goes_on = terminal.python() + ' -m fcn8s train --resume '
    assert 'fcn8s: SIGTERM after step' in words and 'Go on with: {}{}'.format(goes_on, run) in words
    assert '\n  ' + goes_on in errors  # a line of its own, to be copied
    assert 'Traceback' not in errors
    shutil.rmtree(encoder)  # the run holds all that it needs
    assert main(['train', '--resume', run, '--report']) == 0
    assert_same_run(run, whole)
    output = capsys.readouterr().out
    assert 'Resumed from' in output and 'class frequencies' not in output and 'Report: ' in output
    assert main(['train', '--resume', run]) == 0  # nothing is left to train
    assert 'Its training of 4 epochs is complete; nothing is trained.' in capsys.readouterr().out
    assert_same_run(run, whole)


def test_a_resumed_run_keeps_its_epochs_and_is_compared_with_the_curve_of_its_recipe(
    data, shallow_encoder, tmp_path, capsys, monkeypatch
):
    run = str(tmp_path / 'a run')
    recipe = dict(name='x', description='', command='', measured=True, curve=[99.0, 99.0])
    recipe['target'] = {'score': 'mean IoU', 'value': 99.0, 'tolerance': 1.0, 'on': 'val'}
    recipe['arguments'] = {'epochs': 2, 'eval_batch': 2}
    (tmp_path / 'x.json').write_text(json.dumps(recipe))
    monkeypatch.chdir(tmp_path)
    words = ['--recipe', 'x.json', '--steps-per-epoch', '1', '--crop', '32', '32', '--no-report', '--epochs', '1']
    assert main(['train', '--data', data, '--encoder', shallow_encoder, '--run', run] + words) == 0
    output = capsys.readouterr().out
    assert output.count("behind the recipe 'x': mean IoU ") == 1 and '% after epoch 1 of 1, where' in output
    assert '--crop is 32 32 (recipe: not given), --epochs is 1 (recipe: 2), --steps-per-epoch is 1' in output
    assert os.path.isabs(read_json(run, 'config.json')['command']['recipe'])
    assert main(['train', '--resume', run, '--epochs', '3', '--threads', '0']) == 0
    output = capsys.readouterr().out
    assert output.count("behind the recipe 'x'") == 1 and '% after epoch 2 of 3, where its curve has 99.0 %' in output
    assert len(records(run)) == 3
    assert read_json(run, 'config.json')['command']['epochs'] == 3
    assert main(['train', '--resume', run]) == 0
    assert len(records(run)) == 3


@pytest.mark.parametrize(
    'fastest, given, is_said',
    [
        ('bfloat16', {}, True),
        ('float32', {}, False),
        ('bfloat16', {'precision': 'bfloat16'}, False),
        ('bfloat16', {'resume': 'run'}, False),
    ],
)
def test_a_new_training_is_told_of_the_faster_precision(monkeypatch, capsys, fastest, given, is_said):
    monkeypatch.setattr('fcn8s.precision.fastest_on_cpu', lambda: fastest)
    training_plan.print_faster_precision(argparse.Namespace(**dict({'precision': 'float32', 'resume': None}, **given)))
    assert ('--precision bfloat16' in capsys.readouterr().out) == is_said


@pytest.mark.parametrize(
    'given, workers, said',
    [
        ({}, 1, ''),
        ({'accumulate': 4}, 1, 'The loss cross_entropy+dice of a step is the mean over its 4 batches'),
        ({'accumulate': 2}, 3, 'its 6 batches, which is not that of one large batch: scores may differ'),
        ({'accumulate': 4, 'loss': 'focal'}, 2, ''),
        ({'recipe': None}, 2, ''),
        ({'resume': 'run'}, 2, ''),
    ],
)
def test_who_takes_more_batches_a_step_than_the_recipe_hears_what_that_changes(capsys, given, workers, said):
    options = dict(recipe='camvid', resume=None, loss='cross_entropy+dice', accumulate=1)
    train._print_mean_loss(argparse.Namespace(**dict(options, **given)), workers)
    out = capsys.readouterr().out
    assert said in out and bool(said) == bool(out)


@pytest.mark.parametrize(
    'options, expected',
    [
        ({'workers': 4, 'epochs': 1}, {'threads': 4, 'epochs': 1}),
        ({'workers': 3, 'threads': 2}, {'workers': 3, 'threads': 2}),
        ({'epochs': 1}, {'epochs': 1}),
        (['no', 'table'], ['no', 'table']),
    ],
)
def test_runs_and_recipes_of_version_1_0_call_threads_workers(options, expected):
    from fcn8s.cli.options.stored import with_threads

    assert with_threads(options) == expected


def test_recipe_fine_tuning_and_freezing(whole, data, tmp_path, capsys):
    recipe = dict(
        name='x',
        description='',
        command='',
        target={},
        measured=False,
        arguments={'epochs': 7, 'batch': 4, 'rate': 'constant:1e-2', 'val_split': '', 'keep_prob': 1.0},
    )
    (tmp_path / 'recipe.json').write_text(json.dumps(recipe))
    run = str(tmp_path / 'run')
    assert (
        main(
            [
                'train',
                '--recipe',
                str(tmp_path / 'recipe.json'),
                '--data',
                data,
                '--fine-tune-from',
                whole,
                '--run',
                run,
                '--epochs',
                '1',
                '--variant',
                '16s',
                '--freeze',
                'encoder',
                '--layout',
                'cityscapes20',
                '--optimizer',
                'sgd',
                '--momentum',
                '0.9',
                '--monitor',
                'loss',
            ]
        )
        == 0
    )
    assert 'loaded for 19 of 20 classes' in capsys.readouterr().out
    command = read_json(run, 'config.json')['command']
    assert (command['epochs'], command['batch'], command['rate'], command['flip']) == (1, 4, 'constant:1e-2', 0.5)
    history = records(run)
    assert len(history) == 1 and history[0]['evaluation'] is None
    # The best checkpoint of the other run is what it started from.
    best = Checkpoints(os.path.join(whole, 'checkpoints')).best()
    before = tf.train.load_checkpoint(os.path.join(best, 'variables', 'variables'))
    after = variables(run)
    np.testing.assert_array_equal(after['fc6/weights'], before.get_tensor('fc6/weights'))
    assert np.any(after['decoder/score_fc7/kernel'][..., 1:] != before.get_tensor('decoder/score_fc7/kernel'))
    assert read_json(run, 'config.json')['training']['optimizer']['momentum'] == 0.9


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Images of several sizes in one folder and their labels in another; class 1 is bright."""
    root, rng = tmp_path_factory.mktemp('folders'), np.random.RandomState(0)
    for name, count in (('train', 3), ('val', 2)):
        for number in range(count):
            labels = (rng.rand(36 + 4 * number, 52) < 0.5).astype(np.uint8)
            image = np.repeat(labels[..., np.newaxis] * 150 + 50, 3, axis=-1).astype(np.uint8)
            labels[0] = 7
            for kind, array in (('images', image), ('labels', labels)):
                directory = root / name / kind
                directory.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(directory / '{}.png'.format(number)), array)
    return {
        '--images': str(root / 'train' / 'images'),
        '--labels': str(root / 'train' / 'labels'),
        '--val-images': str(root / 'val' / 'images'),
        '--val-labels': str(root / 'val' / 'labels'),
    }


@pytest.mark.parametrize('command', ['train', 'evaluate'])
@pytest.mark.parametrize('flag', ['--label-transparency', '--color-tolerance'])
def test_what_is_said_of_colours_is_refused_for_ids(command, flag, whole, folders, shallow_encoder, tmp_path, capsys):
    (tmp_path / 'table.txt').write_text('dark 10 20 30\nbright 90 80 70\nvoid 1 2 3')
    words = [word for pair in list(folders.items())[:2] for word in pair] + [flag, 'XX']
    further = ['--colors', str(tmp_path / 'table.txt'), '--ignore-id', '7', '--encoder', shallow_encoder]
    words = ['train', *words, *further] if command == 'train' else ['evaluate', whole, *words]
    of_a_class = 'dark' if command == 'train' else 'road'
    words[words.index('XX')] = of_a_class if flag == '--label-transparency' else '9'
    assert main(words) == 2
    why = 'of which none is transparent' if flag == '--label-transparency' else 'which are read as they are'
    assert 'these hold IDs, {}. Leave it out.'.format(why) in capsys.readouterr().err


def test_images_and_labels_in_folders(folders, shallow_encoder, tmp_path):
    run = str(tmp_path / 'run')
    words = [word for pair in folders.items() for word in pair]
    assert (
        main(
            ['train']
            + words
            + [
                '--classes',
                '2',
                '--ignore-id',
                '7',
                '--size',
                '32',
                '48',
                '--encoder',
                shallow_encoder,
                '--run',
                run,
                '--epochs',
                '1',
                '--batch',
                '1',
                '--accumulate',
                '3',
                '--eval-batch',
                '2',
                '--eval-at-input-size',
                '--loss',
                'focal',
                '--normalize',
                'sum',
                '--clip-norm',
                '1',
                '--rate-multipliers',
                'fc6,fc7=10; score=2',
                '--threads',
                '0',
                '--cache',
                str(tmp_path / 'cache'),
                '--skip-scales',
                '0.5',
                '0.5',
                '--upsampling',
                'bilinear',
                '--monitor',
                'iou:class 1',
                '--class-weights',
                '1,2',
            ]
        )
        == 0
    )
    with open(os.path.join(run, 'config.json')) as file:
        stored = json.load(file)
    assert stored['command']['rate_multipliers'] == 'fc6,fc7=10; score=2'
    assert stored['command']['loss'] == stored['training']['loss'] == 'focal'
    assert stored['training']['optimizer']['rate_multipliers'] == [['fc6', 10], ['fc7', 10], ['score', 2]]
    confusion = np.array(records(run)[0]['evaluation']['confusion_matrix'])
    assert confusion.shape == (2, 2) and 0.9 * 2 * 32 * 48 < confusion.sum() < 2 * 32 * 48
    assert [record['step'] for record in records(run)] == [1]
    assert read_json(run, 'config.json')['training']['optimizer']['accumulate_batches'] == 3


@ran_once
def test_several_folders(folders, shallow_encoder, tmp_path, capsys):
    """The same images twice, as two datasets: they are kept in the run, go on, and are evaluated on."""
    run = str(tmp_path / 'run')
    words = [word for pair in folders.items() for word in pair]
    words += words + ['--classes', '2', '--ignore-id', '7', '--size', '32', '48', '--encoder', shallow_encoder]
    assert main(['train', *words, '--run', run, '--epochs', '1', '--batch', '2', '--no-report']) == 0
    printed = capsys.readouterr().out
    assert '6 training images and 4 to evaluate on' in printed
    command = read_json(run, 'config.json')['command']
    assert command['images'] == [folders['--images']] * 2 and command['val_labels'] == [folders['--val-labels']] * 2
    assert main(['train', '--resume', run, '--epochs', '2']) == 0
    assert [record['step'] for record in records(run)] == [3, 6]
    line = next(line for line in printed.splitlines() if ' evaluate ' + run in line)
    assert main(shlex.split(line)[-1 - shlex.split(line)[::-1].index('evaluate') :]) == 0
    assert '4 images of' in capsys.readouterr().out
    assert main(['pack', run, str(tmp_path / 'packed.zip')]) == 0
    with zipfile.ZipFile(str(tmp_path / 'packed.zip')) as archive:
        (card,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith('README.md')]
    assert all(card.count('{} {}'.format(*pair)) == 2 for pair in folders.items())


@ran_once
def test_labels_that_are_called_otherwise(folders, shallow_encoder, tmp_path, capsys):
    """One of two kinds of labels is read, in the training, when it goes on, and in the evaluation that it prints."""
    run, words = str(tmp_path / 'run'), []
    for flag, folder in folders.items():
        copied = str(tmp_path / flag.strip('-'))
        os.mkdir(copied)
        for name in os.listdir(folder):
            stem = os.path.join(copied, name[: -len('.png')])
            for suffix in ('_rgb',) if 'images' in flag else ('_ids', '_other'):
                pixels = cv2.imread(os.path.join(folder, name), cv2.IMREAD_UNCHANGED)
                cv2.imwrite(stem + suffix + '.png', np.full_like(pixels, 99) if suffix == '_other' else pixels)
        words += [flag, copied]
    words += ['--image-suffix=_rgb', '--label-suffix=_ids']
    words += ['--classes', '2', '--ignore-id', '7', '--size', '32', '48', '--encoder', shallow_encoder]
    assert main(['train', *words, '--run', run, '--epochs', '1', '--batch', '1', '--no-report']) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if ' evaluate ' + run in line)
    assert '--image-suffix _rgb --label-suffix _ids' in line
    assert main(shlex.split(line)[-1 - shlex.split(line)[::-1].index('evaluate') :]) == 0
    assert main(['train', '--resume', run, '--epochs', '2']) == 0
    assert len(records(run)) == 2


@ran_once
def test_a_sequence_that_is_held_out_is_evaluated_on_and_reported(data, shallow_encoder, tmp_path, capsys):
    run, cities = str(tmp_path / 'run'), os.path.join(data, 'leftImg8bit', 'train')
    held = sorted(name for _, _, names in os.walk(cities) for name in names)[0].split('_leftImg8bit')[0]
    words = ['--data', data, '--encoder', shallow_encoder, '--hold-out', held, '--epochs', '1', '--batch', '3']
    assert main(['train', '--run', run] + words) == 0
    printed = capsys.readouterr().out
    assert '3 training images and 1 to evaluate on' in printed
    assert '--split train --only ' + held in printed
    with open(os.path.join(run, 'report.html'), encoding='utf-8') as file:
        page = file.read()
    assert len(json.loads(re.search('id="data">(.*?)</script>', page, re.S).group(1))['images']) == 1
    assert held in page


def test_crops_and_an_evaluation_at_another_size(folders, tiny_encoder, tmp_path, capsys):
    run = str(tmp_path / 'run')
    words = [word for pair in folders.items() for word in pair]
    assert (
        main(
            ['train']
            + words
            + [
                '--classes',
                '2',
                '--ignore-id',
                '7',
                '--size',
                '16',
                '24',
                '--crop',
                '16',
                '16',
                '--random-scale',
                '0.4',
                '0.6',
                '--encoder',
                tiny_encoder,
                '--run',
                run,
                '--epochs',
                '1',
                '--batch',
                '3',
            ]
        )
        == 0
    )
    sizes = sum(52 * (height - 1) for height in (36, 40))  # the labels of the evaluation as they are on disk
    assert np.sum(records(run)[0]['evaluation']['confusion_matrix']) == sizes
    printed = capsys.readouterr().out
    assert 'images of 16 x 16, 3 a batch: about ' in printed
    command = re.search(r'time of an epoch, measured before it:\n.*fcn8s (plan .*)', printed).group(1)
    assert command == 'plan --size 16 16 --classes 2 --batch 3 --images 3 --width-divisor 16'
    assert main(command.split() + ['--seconds', '1']) == 0
    assert re.search('epoch .* for 3 images', capsys.readouterr().out)


def test_lists_the_recipes(capsys):
    assert main(['train', '--list-recipes']) == 0
    output = capsys.readouterr().out
    for name in recipes.recipe_names():
        assert 'fcn8s train --recipe {}'.format(name) in output


def resolve(*words):
    parsed = vars(build_parser().parse_args(['train'] + list(words)))
    return resolving.resolve(
        {name: value for name, value in parsed.items() if name not in ('run', 'defaults', 'command')},
        parsed['defaults'],
    )


def test_what_is_typed_displaces_options_of_a_recipe_that_do_not_go_with_it(tmp_path):
    base = ['--data', 'D', '--encoder', 'E', '--run', 'R', '--recipe']
    options = resolve(*base, 'voc-atonce')
    assert (options.skip_scales, options.momentum) == ([1e-4, 1e-2], 0.99)
    options = resolve(*base, 'voc-atonce', '--variant', '32s', '--optimizer', 'adam')
    assert (options.skip_scales, options.momentum) == (None, None)


@pytest.mark.parametrize(
    'recipe, words, found',
    [
        (dict(ema=0.9, patience=2), '--data D --encoder E --swa 3', dict(ema=None, patience=None, swa=3)),
        (dict(swa=3), '--data D --encoder E --patience 2', dict(swa=None, patience=2)),
        (dict(data='A', layout='voc'), '--images I --labels L --classes 2 --encoder E', dict(data=None, images='I')),
        (dict(images='A', labels='B', classes=3), '--data D --encoder E', dict(data='D', images=None, labels=None)),
        (dict(val_split='test'), '--data D --encoder E --hold-out a', dict(val_split='val', hold_out=['a'])),
        (dict(hold_out=['a']), '--data D --encoder E --val-split test', dict(val_split='test', hold_out=None)),
        (dict(encoder='A'), '--data D --fine-tune-from M', dict(encoder=None, fine_tune_from='M')),
        (dict(fine_tune_from='A'), '--data D --encoder E', dict(encoder='E', fine_tune_from=None)),
        (dict(class_weights='median_frequency'), '--data D --encoder E --loss dice', dict(class_weights=None)),
        (
            dict(classes=3, class_names='a,b,c'),
            '--images I --labels L --colors cityscapes --encoder E',
            dict(classes=None, class_names=None, colors='cityscapes'),
        ),
        # Evaluations that a recipe asks for, without data for them.
        (dict(eval_every=5, summary_worst=2), '--data D --encoder E --val-split=', dict(val_split='')),
        (dict(monitor='mean_iou', patience=2), '--data D --encoder E --val-split=', dict(monitor=None, patience=2)),
        (dict(eval_batch=8), '--images I --labels L --classes 2 --encoder E', dict(val_images=None)),
    ],
)
def test_what_is_typed_displaces_what_no_flag_takes_back(tmp_path, recipe, words, found):
    own = recipes.read_recipe('voc-atonce')._replace(arguments=recipe)
    (tmp_path / 'own.json').write_text(json.dumps(own._asdict()))
    options = vars(resolve('--run', 'R', '--recipe', str(tmp_path / 'own.json'), *words.split()))
    assert {name: options[name] for name in found} == found


def test_typed_options_win_over_the_recipe_also_where_they_are_the_defaults():
    base = ['--recipe', 'demo', '--data', 'D', '--encoder', 'E']
    recipe = recipes.read_recipe('demo').arguments
    options = resolve(*base)
    assert options.epochs == recipe['epochs'] != 20 and options.rate == recipe['rate'] and options.normalize == 'mean'
    options = resolve(*base, '--epochs', '20', '--rate', 'poly:1e-4', '--run', 'R')
    assert (options.epochs, options.rate, options.batch, options.run_dir) == (20, 'poly:1e-4', recipe['batch'], 'R')


DATA = ['--data', 'D', '--encoder', 'E']
FOLDERS = ['--images', 'I', '--labels', 'L', '--classes', '2', '--encoder', 'E']


def test_every_augmentation_has_a_flag():
    assert set(train_options.AUGMENTATION_FLAGS) == set(AUGMENTATIONS)


def test_flags_of_augmentations_become_options_of_generate():
    words = (
        '--images I --labels L --classes 2 --encoder E --crop 4 6 --random-scale 0.5 2 --max-class-share 0.8 --flip 0'
    )
    words += ' --brightness 0.5 1.5 0.5 --color-jitter 0.1 0.2 3 0.4 --blur 0.5 1.5 0.3 --rotate -10 10 0.5'
    words += ' --translate -3 4 0 2 1 --scale 0.75 1.5 0.5 --gray --crop-on-classes 0.25'
    given = train_options.augmentations(build_parser().parse_args(['train'] + words.split()))
    assert given == {
        'random_crop': (4, 6),
        'random_scale': (0.5, 2),
        'max_class_share': 0.8,
        'crop_on_classes': 0.25,
        'flip': False,
        'brightness': (0.5, 1.5, 0.5),
        'color_jitter': (0.1, 0.2, 3, 0.4),
        'blur': (0.5, 1.5, 0.3),
        'rotate': (-10, 10, 0.5),
        'translate': ((-3, 4), (0, 2), 1),
        'scale': (0.75, 1.5, 0.5),
        'gray': True,
    }
    build_pipeline(**given)


@pytest.mark.parametrize('command', ['train', 'find-rate', 'evaluate MODEL'])
def test_a_second_dataset_does_not_silently_replace_the_first(capsys, command):
    words = command.split() + ['--data', 'A', '--data']
    assert build_parser().parse_args(words + ['A']).data == 'A'
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(words + ['B'])
    assert ended.value.code == 2
    assert '--data came twice, with A and B; it takes one dataset.' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, message',
    [
        ([], 'say what to train on: either --data ROOT --layout NAME, or --images DIR'),
        (['--data', 'D', '--images', 'I'], 'say what to train on'),
        (['--images', 'I'], '--images needs --labels DIR and --classes N'),
        (FOLDERS + ['--images', 'J'], '--images came 2 times and --labels 1 time'),
        (['--data', 'D'], 'give either --encoder DIR (write one with: fcn8s vgg16'),
        (DATA + ['--fine-tune-from', 'M'], 'give either --encoder DIR'),
        (DATA + ['--classes', '3', '--ignore-id', '0'], '--classes, --ignore-id came without --images'),
        (FOLDERS + ['--layout', 'camvid'], '--layout came without --data'),
        (FOLDERS + ['--val-images', 'V'], '--val-images DIR and --val-labels DIR go together'),
        (DATA + ['--random-scale', '0.5', '2'], '--random-scale came without --crop'),
        (DATA + ['--crop-on-classes', '0.5'], '--crop-on-classes came without --crop'),
        (DATA + ['--max-class-share', '0.5'], '--max-class-share came without --crop'),
        (
            DATA + ['--size', '32', '64', '--crop', '16', '16'],
            'the evaluation brings them to --size 32 64. Say with --random-scale',
        ),
        (DATA + ['--val-split', '', '--eval-every', '2'], '--eval-every came, but there are no data to evaluate on'),
        (FOLDERS + ['--eval-batch', '2'], '--eval-batch came, but there are no data to evaluate on'),
        (FOLDERS + ['--summary-worst', '2'], '--summary-worst came, but there are no data to evaluate on'),
        (DATA + ['--at-input-size'], '--eval-at-input-size came without --size'),
        (DATA + ['--workers', '2', '--timeout', '0.5'], 'timeout is 0.5; it has to be a number of seconds of at'),
        (DATA + ['--wire', 'bfloat16', '--timeout', '9'], '--wire, --timeout are about several workers, and there is'),
        (
            DATA + ['--overfit-one-batch', '9', '--epochs', '3', '--run', 'R', '--workers', '2', '--val-split', ''],
            '--epochs, --val-split, --run, --workers mean nothing to --overfit-one-batch',
        ),
        (DATA + ['--overfit-one-batch', '--fold', '2'], '--fold came without --folds'),
        (
            DATA + ['--hold-out', 'a', '--val-split', 'test'],
            '--hold-out says what to evaluate on, and so does --val-split',
        ),
        (
            DATA + ['--loss', 'dice', '--class-weights', 'median_frequency'],
            "--class-weights has no meaning for --loss='dice'",
        ),
        (
            DATA + ['--loss', 'hinge'],
            "--loss is 'hinge'; it has to be 'cross_entropy', 'ohem', 'focal', 'dice', 'lovasz', 'cross_entropy+dice'",
        ),
        (DATA + ['--loss', 'ohem:below=2'], "--loss is 'ohem:below=2'; the probability below which they count"),
        (DATA + ['--label-smoothing', '1'], '--label-smoothing is 1.0; it has to be a number from 0'),
        (DATA + ['--recipe', 'none'], "there is no recipe 'none'"),
        (DATA + ['--keep-prob', '7'], '--keep-prob is 7.0; it has to be a number above 0'),
        (DATA + ['--l2', '-1'], '--l2 is -1.0; it has to be a finite number'),
        (DATA + ['--monitor', 'miou'], "--monitor is 'miou'; choose from ['loss', 'mean_iou', 'accuracy'] or"),
        (FOLDERS + ['--monitor', 'iou:road'], 'so it would never be known. Say what to evaluate on: --val-split or'),
        (DATA + ['--summary-worst', '200'], '--summary-worst is 200; it has to be a whole number from 0 to 100'),
        (DATA + ['--swa', '2', '--patience', '3'], '--swa is 2 and --patience is 3; the last epochs are not known'),
        (DATA + ['--swa', '3', '--minutes', '5', '--patience', '3'], '--swa is 3 and --patience is 3'),
        (DATA + ['--swa', '3', '--epochs', '2'], '--swa is 3; it has to be at most the 2 epochs of the training'),
        (DATA + ['--head-warmup', '20'], '--head-warmup is 20 and --epochs is 20; the warm-up has to leave epochs'),
        (DATA + ['--head-warmup', '-1'], '--head-warmup is -1; it has to be a whole number of at least 0'),
        (['--resume', 'no/such/run'], "'no/such/run' is no run directory"),
        (DATA, "encoder directory 'E' does not exist"),
        (['--data', 'D', '--fine-tune-from', 'M'], "model 'M' does not exist"),
        # What no data can make right is said before anything is opened.
        (DATA + ['--seed', '-1'], '--seed is -1; it has to be a whole number from 0 to 2147483647'),
        (DATA + ['--seed', '3000000000'], '--seed is 3000000000; it has to be a whole number from 0 to 2147483647'),
        (DATA + ['--rate', 'poly'], "The schedule 'poly' is not understood"),
        (DATA + ['--momentum', '0.9'], '--momentum is 0.9, but Adam has its own moments'),
        (DATA + ['--optimizer', 'sgd', '--momentum', '1'], '--momentum is 1.0; it has to be at least 0 and below 1'),
        (DATA + ['--weight-decay', '-1'], '--weight-decay is -1.0; it has to be at least 0 and finite, such as 5e-4'),
        (DATA + ['--clip-norm', '0'], '--clip-norm is 0.0; it has to be finite and above 0, such as 10. Leave it out'),
        (DATA + ['--ema', '1'], '--ema is 1.0; it has to be above 0 and below 1, such as 0.999'),
        (DATA + ['--ema', '0.9', '--swa', '2'], '--ema is 0.9 and --swa is 2; there is one average'),
        (DATA + ['--swa', '0'], '--swa is 0; it has to be a whole number of at least 1. Leave it out'),
        (DATA + ['--freeze', 'decoder'], "--freeze is 'decoder'; it has to be 'encoder', a number of blocks"),
        (DATA + ['--freeze', '5', '--head-warmup', '1'], '--head-warmup is 1, and --freeze is 5, which trains no'),
        (DATA + ['--skip-scales', '1', '1', '--variant', '32s'], '--skip-scales is [1.0, 1.0], and an FCN-32s has no'),
        (DATA + ['--skip-scales', '0', '1'], '--skip-scales is [0.0, 1.0]; both factors have to be positive'),
        (DATA + ['--class-weights', 'inverse'], "--class-weights is 'inverse'; it has to be 'median_frequency', or"),
        (FOLDERS + ['--class-weights', '1,nan'], '--class-weights is [1.0, nan]; weights have to be finite'),
        (FOLDERS + ['--class-weights', '1,2,3'], '--class-weights has the shape (3,); it has to hold one weight for'),
        (FOLDERS + ['--classes', '1'], '--classes is 1; it has to be an integer from 2 to 255'),
        (FOLDERS + ['--ignore-id', '256'], 'from 0 to 255. If label files hold it, make 255 of it with an ID map'),
        (DATA + ['--crop', '0', '16'], '--crop is (0, 16)'),
        (DATA + ['--flip', '2'], 'from 0 to 1. Write --flip 0.5, or leave it out.'),
        (DATA + ['--rotate', '10', '-10', '1'], 'with min <= max, both from -180'),
        (DATA + ['--translate', '0.5', '4', '0', '2', '1'], 'Write --translate 0 40 0 20 0.5, or leave it out.'),
        (DATA + ['--cache', __file__], 'A file has the place of a directory: choose another'),
        (DATA + ['--run', os.path.join(__file__, 'run')], 'A file has the place of a directory: choose another'),
    ],
)
def test_arguments_that_do_not_go_together(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['train'] + words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith('fcn8s train: error: ') and message in captured.err


GO_ON = 'Go on from the last checkpoint with: fcn8s train --resume '


@pytest.mark.parametrize(
    'status, words, expected, said',
    [
        (-9, ['--run', 'a run'], 3, 'others were ended with it. ' + GO_ON + "'a run' --workers 2"),
        (3, ['--resume', 'a run'], 3, 'stopped with exit status 3, and all others were ended with it. ' + GO_ON),
        (143, DATA, 3, GO_ON + 'RUN --workers 2, where RUN is the run directory that worker 0 has named'),
        (-9, ['--run', 'none'], 3, 'There is no run yet: start the same command again.'),
        (141, DATA, 141, ''),  # nobody reads the output any more: saved, and no worker is lost
        (-9, ['--folds', '3', '--fold', '1'], 3, 'The same command goes on from the last checkpoint.'),
        (2, DATA, 2, 'fcn8s train: error: worker 1 stopped with exit status 2, and all others were ended with it.'),
    ],
)
def test_when_a_worker_is_lost_the_exit_status_is_3_and_says_how_to_go_on(
    tmp_path, monkeypatch, capsys, status, words, expected, said
):
    def run_workers(workers, timeout):
        assert [worker.speaks for worker in workers] == [True, False] and timeout == 9
        raise launching.WorkerEndedError('worker 1', status)

    monkeypatch.setattr(launching, 'run_workers', run_workers)
    monkeypatch.setattr(train, '_checked_before_launch', lambda typed, _: argparse.Namespace(timeout=9))
    monkeypatch.setattr(sys, 'argv', ['a script'])
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a run').mkdir()
    (tmp_path / 'a run' / 'config.json').write_text('{}')
    assert main(['train', '--workers', '2', '--timeout', '9'] + words) == expected
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, message',
    [
        (DATA + ['--workers', '5000'], '--workers is 5000; it has to be from 1 to 1024'),
        (DATA + ['--rate', 'poly'], "The schedule 'poly' is not understood"),
        (DATA + ['--head-warmup', '1'], '--head-warmup is 1; it is for a training of one process'),
        (DATA + ['--run', '.'], "encoder directory 'E' does not exist"),
        (DATA + ['--folds', '2', '--fold', '1', '--run', 'R', '--swa', '0'], '--swa is 0'),
        (['--resume', 'no/such/run'], "'no/such/run' is no run directory"),
    ],
)
def test_what_cannot_work_is_refused_before_workers_start(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launching, 'run_workers', lambda *_, **__: pytest.fail('workers were started'))
    assert main(['train', '--workers', '2'] + words) == 2
    assert message in capsys.readouterr().err and not os.listdir('.')


@pytest.mark.parametrize(
    'words, message',
    [
        (['--timeout', '0.5'], '--timeout is 0.5; it has to be a number of seconds of at least 1'),
        (['--head-warmup', '1'], '--head-warmup is 1; it is for a training of one process'),
    ],
)
def test_a_worker_of_a_cluster_refuses_before_it_opens_anything(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TF_CONFIG', tf_config(('127.0.0.1:1', '127.0.0.1:2'), 0))
    assert main(['train', '--run', 'R'] + DATA + words) == 2
    assert message in capsys.readouterr().err


def test_epochs_that_fit_are_compared_with_those_that_are_averaged(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train.time_budget, 'epochs_that_fit', lambda options: 2)
    assert main(['train', '--run', 'R', '--minutes', '5', '--swa', '3'] + DATA) == 2
    assert '--swa is 3; it has to be at most the 2 epochs of the training' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, said',
    [
        ([], '\n  a_program train --resume R\n'),
        (['--trust', '--workers', '4', '--of-cluster'], '\n  a_program train --resume R --workers 4 --trust\n'),
    ],
)
def test_who_interrupts_reads_the_whole_command_that_goes_on(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def train_run(*_):
        raise TrainingInterrupted('SIGTERM after step 3. Go on with:' + GO_ON_WITH + 'R', 'SIGTERM')

    monkeypatch.setattr(train, 'train_run', train_run)
    monkeypatch.setattr(train, 'program', lambda: 'a_program')
    assert main(['train', '--run', 'R'] + DATA + words) == 143
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.parametrize('is_first', [True, False])
def test_only_the_first_worker_prints_and_warns(is_first, capsys, recwarn):
    with train._silent_unless(is_first):
        print('printed')
        warnings.warn('warned', UserWarning, stacklevel=2)
    assert capsys.readouterr().out == 'printed\n' * is_first and len(recwarn) == is_first


def test_a_file_in_the_place_of_the_folder_of_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'runs').write_text('a file')
    assert main(['train'] + DATA) == 2
    assert 'A file has the place of a directory: choose another directory' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, message',
    [
        (['--epochs', '0'], "argument --epochs: '0' came; it has to be a whole number of at least 1"),
        (['--batch', 'four'], "argument --batch: 'four' came"),
        (['--steps-per-epoch', '0'], 'argument --steps-per-epoch'),
        (['--size', '32'], 'argument --size: expected 2 arguments'),
        (['--variant', '4s'], "argument --variant: invalid choice: '4s'"),
        (['--speed', '3'], 'unrecognized arguments: --speed 3'),
    ],
)
def test_arguments_of_the_wrong_kind(words, message, capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(['train'] + words)
    assert exit_status.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, message',
    [
        (['--encoder', 'no/such/encoder'], "encoder directory 'no/such/encoder' does not exist"),
        (['--layout', 'cityscape'], "'cityscape'"),
        (['--split', 'test'], 'test'),
        (
            ['--class-weights', '1,2'],
            '--class-weights has the shape (2,); it has to hold one weight for each of the 19 classes',
        ),
        (['--monitor', 'iou:unicorn'], "--monitor is 'iou:unicorn', but there is no such class; the classes are road"),
        (['--threads', '-1'], '--threads is -1; it has to be from 0 to 1024'),
    ],
)
def test_values_that_cannot_work(data, shallow_encoder, tmp_path, words, message, capsys):
    run = tmp_path / 'run'
    assert (
        main(
            ['train', '--data', data, '--encoder', shallow_encoder, '--run', str(run), '--report', '--epochs', '1']
            + words
        )
        == 2
    )
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith('fcn8s train: error: ') and message in captured.err
    assert not run.exists()


def test_a_run_that_another_process_trains_is_refused_before_anything_is_read(whole, capsys):
    with only_writer(Run(whole)):
        assert main(['train', '--resume', whole]) == 2
    captured = capsys.readouterr()
    assert captured.out == '' and 'is being trained by another process. Wait for it, or stop' in captured.err


def test_a_run_is_never_overwritten(whole, data, shallow_encoder, capsys):
    before = records(whole)
    assert main(['train', '--data', data, '--encoder', shallow_encoder, '--run', whole]) == 2
    assert 'holds a run already. Continue it with --resume' in capsys.readouterr().err
    assert records(whole) == before


@pytest.mark.parametrize(
    'words, message',
    [
        (
            ['--batch', '8'],
            'leave out --batch. Only --epochs, --threads, --cache, --report, --precision, --workers, --wire, '
            '--timeout, --trust may change, and --data where its data have moved.',
        ),
        (['--images', 'X', '--labels', 'Y'], 'leave out --images, --labels. Only '),  # it was started with --data
        (['--batch', '2', '--run', 'X'], 'leave out --batch, --run.'),
        (['--recipe', 'demo'], 'leave out --recipe'),
        (['--rate', 'poly:5e-4'], 'A new run goes on from its weights with other settings: --fine-tune-from '),
        (['--epochs', '1'], 'Give 4 or more to go on with it.'),
    ],
)
def test_a_resumed_run_keeps_its_settings(whole, words, message, capsys):
    assert main(['train', '--resume', whole] + words) == 2
    assert message in capsys.readouterr().err


@ran_once
def test_a_run_whose_data_have_moved_goes_on_where_they_are_now(data, shallow_encoder, tmp_path, capsys):
    run, before, after = (str(tmp_path / name) for name in ('run', 'before', 'after'))
    shutil.copytree(data, before)
    words = ['--crop', '32', '32', '--steps-per-epoch', '1', '--no-report', '--epochs', '1']
    assert main(['train', '--data', before, '--encoder', shallow_encoder, '--run', run] + words) == 0
    os.rename(before, after)
    capsys.readouterr()
    assert main(['train', '--resume', run, '--epochs', '2']) == 2
    error = ' '.join(capsys.readouterr().err.split())
    assert "was started with --data '{}', which is not there. If it has moved, add --data with".format(before) in error
    assert main(['train', '--resume', run, '--epochs', '2', '--data', after]) == 0
    assert 'have changed' not in capsys.readouterr().err
    assert len(records(run)) == 2 and read_json(run, 'config.json')['command']['data'] == after
    assert main(['train', '--resume', run, '--epochs', '3']) == 0  # the place is kept
    assert len(records(run)) == 3


def test_a_resumed_run_goes_on_with_its_own_colours(whole):
    painted = argparse.Namespace(label_space=CITYSCAPES._replace(colors=CITYSCAPES.colors[::-1]))
    assert _label_space(argparse.Namespace(resume=whole), painted) == CITYSCAPES
    assert _label_space(argparse.Namespace(resume=None), painted) == painted.label_space


def test_folders_that_have_moved_are_named_one_by_one(whole, tmp_path, capsys):
    config = read_json(whole, 'config.json')
    there, gone = str(tmp_path), str(tmp_path / 'gone')
    config['command'].update(data=None, images=[there, gone], labels=[there, there], colors=None, classes=19)
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert main(['train', '--resume', str(tmp_path)]) == 2
    assert "--images '{}', which is not there".format(gone) in ' '.join(capsys.readouterr().err.split())
    assert main(['train', '--resume', str(tmp_path), '--images', there]) == 2
    assert '--images came 1 time and --labels 2 times' in capsys.readouterr().err


def test_a_cache_that_only_config_json_names_is_not_made(whole, tmp_path):
    """It may be the run of somebody else; a cache that is there, or lies in the run, is used on."""
    run, cache = tmp_path / 'run', str(tmp_path / 'cache')
    run.mkdir()

    def cache_of(named, *words):
        config = read_json(whole, 'config.json')
        config['command']['cache'] = named
        (run / 'config.json').write_text(json.dumps(config))
        return resolve('--resume', str(run), *words).cache

    with pytest.warns(UserWarning, match='with --cache .*, and no cache is there now, .* add --cache with its place'):
        assert cache_of(cache) is None
    assert cache_of(cache, '--cache', cache) == cache
    assert cache_of(str(run / 'cache')) == str(run / 'cache')
    os.makedirs(os.path.join(cache, 'a0'))
    assert cache_of(cache) == cache


def test_only_who_types_trust_trusts_a_graph(whole, tmp_path):
    """The run or the recipe may be that of somebody else, as the graph in it is."""
    config = read_json(whole, 'config.json')
    config['command']['trust'] = True
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert resolve('--resume', str(tmp_path)).trust is False
    options = resolve('--resume', str(tmp_path), '--trust')
    assert options.trust is True and 'trust' not in resolving.storable(options)

    own = recipes.read_recipe('demo')._replace(arguments={'trust': True})
    (tmp_path / 'own.json').write_text(json.dumps(own._asdict()))
    with pytest.raises(ValueError, match='trust in a recipe; say --trust in the command.'):
        resolve('--recipe', str(tmp_path / 'own.json'), *DATA)


def test_a_trusted_training_is_reported_and_its_commands_trust_too(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(report, 'write', lambda args, command: asked.append((args.trust, command)) or 'report.html')
    options = resolve(*DATA, '--run', str(tmp_path / 'R'), '--trust')
    train._report(options)
    assert asked[0][0] is True and asked[0][1].endswith('/R --trust')
    lines = [line for line in train._closing_lines(options).splitlines() if ' evaluate ' in line or ' predict ' in line]
    assert len(lines) == 2 and all(line.endswith(' --trust') for line in lines)


def test_a_run_with_options_of_a_later_version_is_left_to_that(whole, tmp_path, capsys):
    config = read_json(whole, 'config.json')
    config['command'].update(new_flag=None, other_flag=False, cut_mix=0.5)
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert main(['train', '--resume', str(tmp_path)]) == 2
    assert 'was started with --cut-mix, which this version of fcn8s does not know' in capsys.readouterr().err


def test_a_run_of_a_size_that_no_memory_holds_is_not_resumed(whole, tmp_path, capsys):
    config = read_json(whole, 'config.json')
    config['command']['size'] = [10**6, 10**6]
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert main(['train', '--resume', str(tmp_path)]) == 2
    assert 'size is 1000000 x 1000000: ' in capsys.readouterr().err


def test_an_interruption_is_not_hidden_by_a_report_that_cannot_be_written(tmp_path, capsys):
    class Model:
        def train(self, *_, **__):
            raise TrainingInterrupted('SIGTERM after step 3', 'SIGTERM')

    options = argparse.Namespace(report=True, resume=None, run_dir=str(tmp_path), trust=False)
    for writes in (True, False):  # the others of several workers have no run
        with pytest.raises(TrainingInterrupted, match='SIGTERM after step 3'):
            train._train(Model(), options, None, {}, writes)
        assert ('There is no report: ' in capsys.readouterr().out) == writes


def test_a_run_of_a_script_is_resumed_by_that_script(whole, tmp_path, capsys):
    config = read_json(whole, 'config.json')
    del config['command']
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert main(['train', '--resume', str(tmp_path)]) == 2
    assert 'was not started by fcn8s train, so its options are not known' in capsys.readouterr().err


@pytest.mark.parametrize(
    'changes, flags',
    [
        (dict(), '--data DATA --layout camvid --split val'),
        (dict(val_split='test set'), "--data DATA --layout camvid --split 'test set'"),
        (dict(eval_at_input_size=True, size=[32, 64]), '--data DATA --layout camvid --split val --at-input-size'),
        (dict(val_split=''), None),
        (
            dict(hold_out=['Seq05', '0006 R0']),
            "--data DATA --layout camvid --split train --only Seq05 --only '0006 R0'",
        ),
        (dict(data=None, images='I', labels='L', hold_out=['a']), '--images I --labels L --only a'),
        (dict(data=None, images='I', labels='L', val_images='VI', val_labels='VL'), '--images VI --labels VL'),
        (
            dict(data=None, images='-I', labels='L', label_suffix='-mask', hold_out=['-a']),
            '--images=-I --labels L --label-suffix=-mask --only=-a',
        ),
        (dict(data=None, images='I', labels='L'), None),
    ],
)
def test_the_line_for_evaluation_scores_as_the_run_did_and_is_left_out_without_data_for_it(changes, flags):
    options = dict(data='DATA', layout='camvid', val_split='val', run_dir='runs/x', size=None, eval_at_input_size=False)
    options.update(
        images=None, labels=None, val_images=None, val_labels=None, split='train', hold_out=None, recipe=None
    )
    options['trust'] = False
    lines = train._closing_lines(argparse.Namespace(**dict(options, **changes)))
    line = next((line for line in lines.splitlines() if ' evaluate ' in line), None)
    assert (line is None) == (flags is None) and (line is None or line.endswith(' evaluate runs/x ' + flags))
    assert ' predict runs/x ' in lines
    found = train._closing_lines(argparse.Namespace(**dict(options, recipe='camvid', **changes))).splitlines()
    highest = [line for line in found if line.endswith(' --mirror --scales 0.5 0.75 1 1.25 1.5')]
    assert len(highest) == (flags is not None) and all(flags in line for line in highest)
    gone = train._closing_lines(argparse.Namespace(**dict(options, recipe='gone.json', **changes)))
    assert gone == lines


def test_a_warm_up_of_the_head_is_in_the_memory_and_in_the_line_for_plan(tiny_encoder, tmp_path, monkeypatch):
    planned = []
    monkeypatch.setattr(memory, 'estimate_memory', lambda request, base: planned.append(request.head_warmup) or base)
    words = ['--data', 'D', '--encoder', 'E', '--size', '16', '24', '--run', str(tmp_path / 'run')]
    data = types.SimpleNamespace(get_num_files=lambda: 3)
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=2) as model:
        lines = [
            training_plan.describe_plan(resolve(*words, *more), model, data, 1e9)
            for more in ([], ['--head-warmup', '1'])
        ]
    assert planned == [False, True]
    assert [line.partition('--images 3 --width-divisor 16')[2] for line in lines] == ['', ' --head-warmup 1']


@pytest.mark.parametrize('flag', ['--size', '--crop'])
def test_a_size_that_no_memory_holds_is_refused_before_data_are_read(flag, capsys):
    words = ['train', '--data', 'x', '--layout', 'camvid', '--encoder', 'e', '--batch', '2']
    assert main(words + [flag, '1000000', '1000000']) == 2
    message = '{} is 1000000 x 1000000: 2 images of that size and the soft-max of 2'.format(flag)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    'command',
    [
        ['train', '--data', 'x', '--batch'],
        ['train', '--data', 'x', '--eval-batch'],
        ['evaluate', 'run', '--data', 'x', '--batch'],
        ['report', 'run', '--batch'],
        ['plan', '--size', '32', '64', '--classes', '3', '--batch'],
    ],
)
@pytest.mark.parametrize('number, rule', [('100000', 'from 1 to 4096'), ('0', 'of at least 1')])
def test_a_batch_that_no_memory_holds_is_refused_at_once(command, number, rule, capsys):
    with pytest.raises(SystemExit):
        main([*command, number])
    assert '{!r} came; it has to be a whole number {}'.format(number, rule) in capsys.readouterr().err


@pytest.fixture(scope='module')
def masks(tmp_path_factory):
    """Three images with masks of 0 and 255."""
    root = tmp_path_factory.mktemp('masks')
    for number in range(3):
        mask = np.zeros((32, 48), np.uint8)
        mask[8:24, 8 + number : 24] = 255
        for folder, pixels in (('images', np.dstack([mask // 2] * 3)), ('labels', mask)):
            (root / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(root / folder / '{}.png'.format(number)), pixels)
    return root


@ran_once
def test_masks_of_0_and_255_are_trained_on_and_scored_by_the_map_in_the_config(
    masks, shallow_encoder, tmp_path, capsys
):
    run = str(tmp_path / 'run')
    folder = ['--images', str(masks / 'images'), '--labels', str(masks / 'labels')]
    words = ['--classes', '2', '--val-images', folder[1], '--val-labels', folder[3], '--encoder', shallow_encoder]
    words += ['--no-report']
    with pytest.warns(UserWarning, match='255 is class 1 and nothing is ignored'):
        assert main(['train', *folder, *words, '--run', run, '--epochs', '1', '--batch', '3']) == 0
    with open(os.path.join(run, 'config.json'), encoding='utf-8') as file:
        assert json.load(file)['command']['id_map'] == '0:0,255:1'
    foreground = sum(16 * (16 - number) for number in range(3))
    pixels = [3 * 32 * 48 - foreground, foreground]
    assert np.sum(records(run)[0]['evaluation']['confusion_matrix'], axis=1).tolist() == pixels
    assert main(['evaluate', run, *folder, '--json', str(tmp_path / 'scores.json')]) == 0
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert np.sum(scores['confusion_matrix'], axis=1).tolist() == pixels
    assert main(['evaluate', run, *folder, '--id-map', '0:1,255:0', '--json', str(tmp_path / 'other.json')]) == 0
    scores = json.loads((tmp_path / 'other.json').read_text())
    assert np.sum(scores['confusion_matrix'], axis=1).tolist() == pixels[::-1]


@ran_once
def test_labels_in_the_colours_and_in_the_numbers_of_cityscapes_are_its_19_classes(
    shallow_encoder, tmp_path, monkeypatch, capsys
):
    """Trained on colours, gone on with elsewhere, scored on label IDs; one row in three is void."""
    root = tmp_path / 'streets'
    for folder, of_sky, of_void in (('rgb', 200, 30), ('colors', (70, 130, 180), (111, 74, 0)), ('ids', 23, 5)):
        for number in range(3):
            pixels = np.full((32, 48, 3), of_sky, np.uint8)
            pixels[::3] = of_void
            pixels[8:, : 8 + number] = {'rgb': 90, 'colors': (128, 64, 128), 'ids': 7}[folder]
            (root / folder).mkdir(exist_ok=True, parents=True)
            pixels = pixels[..., 0] if folder == 'ids' else pixels[..., ::-1]
            cv2.imwrite(str(root / folder / '{}.png'.format(number)), pixels)
    run, images = str(tmp_path / 'run'), ['--images', str(root / 'rgb')]
    words = ['--labels', str(root / 'colors'), '--colors', 'cityscapes', '--encoder', shallow_encoder]
    words += ['--no-report']
    assert main(['train', *images, *words, '--run', run, '--epochs', '1', '--batch', '3']) == 0
    monkeypatch.chdir(tmp_path)
    assert main(['train', '--resume', run, '--epochs', '2']) == 0
    capsys.readouterr()
    found = []
    for words in (['--labels', str(root / 'colors')], ['--labels', str(root / 'ids'), '--id-map', 'cityscapes']):
        assert main(['evaluate', run, *images, *words, '--json', str(tmp_path / 'scores.json')]) == 0
        scores = json.loads((tmp_path / 'scores.json').read_text())
        found.append(np.sum(scores['confusion_matrix'], axis=1).tolist())
    road = 24 * (8 + 9 + 10)
    assert found[0] == found[1] and found[0][0] == road
    assert sum(found[0]) == found[0][0] + found[0][10] < 3 * 32 * 48 and scores['class_names'][10] == 'sky'


@pytest.mark.parametrize(
    'words, message',
    [
        (['--id-map', '0-1'], "--id-map is '0-1'; it has to be VALUE:ID for each value"),
        (['--id-map', '0:0,0:1'], 'VALUE:ID for each value'),
        (['--class-names', 'a,a'], 'different names with commas between'),
        (['--class-names', 'a,b,c'], '--classes is 2, and --class-names names 3 classes'),
        (['--class-names', 'absent.txt'], 'No such table of classes: absent.txt'),
        (['--class-names', 'a,b', '--colors', 'c.txt'], '--colors names the classes too'),
        (['--color-tolerance', '256'], 'it has to be a whole number from 0 to 255'),
        (['--color-tolerance', '²'], 'it has to be a whole number from 0 to 255'),
    ],
)
def test_words_about_labels_that_cannot_work(masks, words, message, tmp_path, capsys):
    folder = ['--images', str(masks / 'images'), '--labels', str(masks / 'labels'), '--classes', '2']
    try:
        status = main(['train', *folder, '--encoder', 'E', '--run', str(tmp_path / 'run'), *words])
    except SystemExit as error:
        status = error.code
    assert status == 2 and message in capsys.readouterr().err


def test_data_options_of_labels_belong_to_images(capsys):
    assert main(['train', '--data', 'D', '--encoder', 'E', '--id-map', '0:0']) == 2
    assert '--id-map came without --images' in capsys.readouterr().err


def test_runs_of_version_1_0_go_on_ignoring_255():
    from fcn8s.cli.options.labels import as_trained

    assert as_trained({'images': 'I', 'classes': 2, 'ignore_id': None})['ignore_id'] == 255
    assert as_trained({'images': 'I', 'ignore_id': None, 'id_map': '0:0,255:1'})['ignore_id'] is None
    assert as_trained({'data': 'D', 'images': None}) == {'data': 'D', 'images': None}


@pytest.mark.parametrize('content', ['[' * 100000, '[]', '{"channels": "4"}', '{"channels": 0}', '\udcff'])
def test_a_manifest_that_says_no_channels_is_of_an_encoder_of_three(tmp_path, content):
    (tmp_path / 'manifest.json').write_bytes(content.encode('utf-8', 'surrogateescape'))
    assert rules_to_begin_with(str(tmp_path), None).channels == 3
