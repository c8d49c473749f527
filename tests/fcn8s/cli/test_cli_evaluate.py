"""`fcn8s evaluate` on a tiny network and a tiny dataset in the Cityscapes layout."""

import argparse
import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from commands import run_command
from small_models import run_of

from data_generator import BatchGenerator
from data_generator.files.layouts import LAYOUTS
from fcn8s import FCN8s, cli
from fcn8s.cli import evaluate
from fcn8s.cli.inputs import evaluation as inputs
from fcn8s.cli.options.labels import read_as_trained
from fcn8s.evaluation import evaluate as evaluation
from fcn8s.evaluation import scores
from fcn8s.prediction.frozen_network import open_model
from fcn8s.prediction.predictor import Predictor
from fcn8s.saving import runs
from helpers.images import write_image, write_labels
from helpers.label_spaces import CITYSCAPES, cityscapes_ids_to_train_ids, generic_label_space

SIZE = (40, 64)
NUM_IMAGES = 3


def save_network(encoder, path, seed):
    """Random weights in the decoder too: a new one predicts one class everywhere."""
    with FCN8s(vgg16_dir=encoder, label_space=CITYSCAPES) as model:
        random = np.random.RandomState(seed)
        for variable in model.model.weights:
            if variable.op.name.startswith('decoder'):
                initial_value = variable.initializer.inputs[1]
                model.sess.run(variable.initializer, {initial_value: random.normal(0.0, 0.1, variable.shape.as_list())})
        model.save(str(path), 'saved_model')
        return model.predict(load_images())


def load_images():
    random = np.random.RandomState(0)
    coarse = random.randint(256, size=(NUM_IMAGES, 5, 8, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def load_label_ids(scale=1):
    coarse = np.random.RandomState(1).randint(34, size=(NUM_IMAGES, 5, 8)).astype(np.uint8)
    return coarse.repeat(8 * scale, axis=1).repeat(8 * scale, axis=2)


@pytest.fixture(scope='module')
def networks(shallow_encoder, tmp_path_factory):
    """Two saved networks: path and predictions on `load_images()`."""
    root = tmp_path_factory.mktemp('networks')
    saved = []
    for seed in (1, 2):
        predictions = save_network(shallow_encoder, root / str(seed), seed)
        saved.append((str(next((root / str(seed)).rglob('fcn8s.json')).parent), predictions))
    return saved


def write_dataset(root, scale=1):
    for number, (image, label) in enumerate(zip(load_images(), load_label_ids(scale))):
        name = 'aachen_{:06d}_000019'.format(number)
        for folder in ('leftImg8bit', 'gtFine'):
            (root / folder / 'val' / 'aachen').mkdir(parents=True, exist_ok=True)
        write_image(
            str(root / 'leftImg8bit' / 'val' / 'aachen' / (name + '_leftImg8bit.png')),
            image.repeat(scale, axis=0).repeat(scale, axis=1),
        )
        write_labels(str(root / 'gtFine' / 'val' / 'aachen' / (name + '_gtFine_labelIds.png')), label)
    return str(root)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('dataset'))


def evaluate_command(*arguments):
    assert run_command(evaluate, *arguments) == 0


def report_of(tmp_path, *arguments):
    evaluate_command(*arguments, '--json', tmp_path / 'scores.json')
    return json.loads((tmp_path / 'scores.json').read_text())


def expected_confusion(predictions, scale=1):
    return scores.count_confusion(cityscapes_ids_to_train_ids()[load_label_ids(scale)], predictions, 19)[:, :19]


def test_scores_are_those_of_the_predictions(networks, dataset, tmp_path, capsys):
    path, predictions = networks[0]
    report = report_of(tmp_path, path, '--data', dataset)
    confusion = expected_confusion(predictions)
    assert (confusion.sum(axis=0) > 0).sum() > 3  # the network does predict several classes
    np.testing.assert_array_equal(report['confusion_matrix'], confusion)
    expected = scores.summarize(confusion, 0.0, int(confusion.sum()), CITYSCAPES)
    assert report['mean_iou'] == expected['mean_iou']
    assert report['computed_in'] == 'float32' and len(report['precision']) == 19
    assert report['num_images'] == NUM_IMAGES and report['class_names'] == list(CITYSCAPES.class_names)
    interval = report['mean_iou_interval']
    assert interval['low'] <= interval['value'] == report['mean_iou'] <= interval['high']
    printed = capsys.readouterr().out
    for expected in ('traffic light', '3 images of', 'scored at the size of the ground truth'):
        assert expected in printed


def test_batches_and_threads_change_nothing(networks, dataset, tmp_path):
    first = report_of(tmp_path, networks[0][0], '--data', dataset, '--threads', 0)
    second = report_of(tmp_path, networks[0][0], '--data', dataset, '--batch', 2, '--threads', 2)
    assert second['loss'] == pytest.approx(first['loss'], rel=1e-6)
    assert dict(second, loss=None) == dict(first, loss=None)


def test_images_and_labels_in_plain_folders(networks, tmp_path):
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    class_ids = cityscapes_ids_to_train_ids()[load_label_ids()]
    for number, (image, label) in enumerate(zip(load_images(), class_ids)):
        write_image(str(tmp_path / 'images' / '{}.png'.format(number)), image)
        write_labels(str(tmp_path / 'labels' / '{}.png'.format(number)), label)
    report = report_of(tmp_path, networks[0][0], '--images', tmp_path / 'images', '--labels', tmp_path / 'labels')
    np.testing.assert_array_equal(report['confusion_matrix'], expected_confusion(networks[0][1]))


def test_only_images_whose_names_begin_so(networks, dataset, tmp_path, capsys):
    path, predictions = networks[0]
    report = report_of(tmp_path, path, '--data', dataset, '--only', 'aachen_000000', 'aachen_000002')
    confusion = scores.count_confusion(cityscapes_ids_to_train_ids()[load_label_ids()[::2]], predictions[::2], 19)
    np.testing.assert_array_equal(report['confusion_matrix'], confusion[:, :19])
    assert report['only'] == ['aachen_000000', 'aachen_000002']
    assert '(val), only aachen_000000 aachen_000002,' in capsys.readouterr().out


def test_at_the_size_of_the_ground_truth_or_of_the_network(networks, tmp_path):
    root = write_dataset(tmp_path, scale=2)
    at_truth = report_of(tmp_path, networks[0][0], '--data', root, '--size', *SIZE)
    at_input = report_of(tmp_path, networks[0][0], '--data', root, '--size', *SIZE, '--at-input-size')
    assert np.sum(at_truth['confusion_matrix']) == 4 * expected_confusion(networks[0][1]).sum()
    # Enlarged by repeating pixels, image and labels shrink to what they were.
    np.testing.assert_array_equal(at_input['confusion_matrix'], expected_confusion(networks[0][1]))


def test_images_are_resized_as_the_run_was_trained(networks, tmp_path):
    run_dir = run_of(networks[0][0], tmp_path / 'run', size=SIZE)
    report = report_of(tmp_path, run_dir, '--data', write_dataset(tmp_path, scale=2), '--at-input-size')
    assert report['input_size'] == list(SIZE)
    np.testing.assert_array_equal(report['confusion_matrix'], expected_confusion(networks[0][1]))


def test_boundaries_and_calibration_on_request(networks, dataset, tmp_path, capsys):
    report = report_of(tmp_path, networks[0][0], '--data', dataset, '--boundaries', '--calibration')
    assert len(report['boundary_f1']) == 19 and len(report['trimap_mean_iou']) == 3
    assert 0 <= report['expected_calibration_error'] <= 1 and 0 <= report['cross_fitted_calibration_error'] <= 1
    printed = capsys.readouterr().out
    assert 'boundary F1, tolerance 0.75 %' in printed
    assert '{:.2f}'.format(report['fitted_temperature']) in printed.split('(--temperature)')[1]


@pytest.mark.parametrize('arguments', [[], ['--samples', '2']])
def test_a_temperature_changes_loss_and_calibration_and_no_class(networks, dataset, tmp_path, arguments):
    words = [networks[0][0], '--data', dataset, '--calibration', '--per-image', tmp_path / 'images.csv'] + arguments
    plain = report_of(tmp_path, *words)
    fitted = report_of(tmp_path, *words, '--temperature', plain['fitted_temperature'])
    assert fitted['confusion_matrix'] == plain['confusion_matrix'] and fitted['mean_iou'] == plain['mean_iou']
    assert fitted['loss'] < plain['loss'] and fitted['temperature'] == plain['fitted_temperature'] > 1
    for key in ('fitted_temperature', 'cross_fitted_calibration_error'):
        assert fitted[key] == plain[key]  # they are of the network as it is
    for ours, theirs in zip(fitted['images'], plain['images']):
        assert ours['confidence'] < theirs['confidence']
        if arguments:
            assert ours['entropy'] > theirs['entropy'] and ours['mutual_information'] == theirs['mutual_information']


@pytest.mark.parametrize(
    'arguments, options',
    [
        (['--mirror'], {'mirror': True}),
        (['--scales', '0.5', '1'], {'scales': (0.5, 1.0)}),
        (['--tile', '40', '48', '--overlap', '8', '--mirror'], {'tile': (40, 48), 'overlap': 8, 'mirror': True}),
    ],
)
def test_tiles_scales_and_mirror_images_score_what_prediction_predicts(networks, dataset, tmp_path, arguments, options):
    report = report_of(tmp_path, networks[0][0], '--data', dataset, *arguments)
    with open_model(networks[0][0]) as model:
        predictor = Predictor(model.predict, 19, **options)
        class_ids = np.stack([predictor.class_ids(image) for image in load_images()])
    assert (class_ids != networks[0][1]).any()
    np.testing.assert_array_equal(report['confusion_matrix'], expected_confusion(class_ids))


def test_paired_difference_of_two_models(networks, dataset, tmp_path, capsys):
    (first, predictions), (second, others) = networks
    report = report_of(tmp_path, first, '--data', dataset, '--against', second)
    np.testing.assert_array_equal(report['against']['confusion_matrix'], expected_confusion(others))
    assert report['mean_iou_difference']['value'] == pytest.approx(report['mean_iou'] - report['against']['mean_iou'])
    assert 'points, 95 % interval' in capsys.readouterr().out


def test_a_model_against_itself_differs_by_nothing(networks, dataset, tmp_path):
    report = report_of(tmp_path, networks[0][0], '--data', dataset, '--against', networks[0][0])
    assert [report['mean_iou_difference'][key] for key in ('low', 'value', 'high')] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'either --data ROOT, or --images DIR --labels DIR'),
        (['--data', 'a', '--images', 'b', '--labels', 'c'], 'either --data ROOT, or --images DIR'),
        (['--images', 'a'], '--images and --labels go together'),
        (['--data', 'a', '--labels', 'b'], '--labels came without --images, to which it belongs. Add that, or leave'),
        (
            ['--images', 'a', '--labels', 'b', '--layout', 'cityscapes', '--split', 'nonsense'],
            '--layout, --split came without --data, to which they belong. Add that, or leave them out',
        ),
        (['--images', 'a', '--labels', 'b', '--split', 'val'], '--split came without --data'),
        (['--data', 'a', '--seed', '-1'], '--seed is -1; it has to be from 0 to 4294967295, for example 0'),
        (['--data', 'a', '--seed', str(2**32)], '--seed is 4294967296; it has to be from 0'),
        (['--data', 'a', '--overlap', '16'], '--overlap is 16, but there are no tiles'),
        (['--data', 'a', '--temperature', '0'], '--temperature is 0.0; it has to be a number from 0.01 to 100'),
        (['--data', 'a', '--temperature', '2', '--against', 'b'], '--temperature is of one network, and --against'),
        (['--data', 'a', '--resamples', '0'], '--resamples is 0; it has to be from 1 to 1000000'),
        (['--data', 'a', '--tile', '64', '64'], 'tiles of 64 pixels overlap by 128'),
        (['--data', 'a', '--scales', '0'], r'scales is \[0.0\]; it has to be one or more positive numbers'),
        (['--data', 'a', '--json', 's', '--per-image', './s'], '--json and --per-image are both s'),
        (['--data', 'a', '--json', '.'], '--json . is a directory'),
        (['--data', 'a', '--json', '~/s.json'], "'~/s.json' begins with '~', and a folder of that name would be made"),
        (['--data', 'a', '--sort', 'size'], "Sorting by 'size' .* one of class, name"),
        (['--data', 'a', '--at-input-size'], '--at-input-size: images are not resized.*give --size H W'),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate_command('model', *arguments)


def test_refuses_a_model_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='no-model'):
        evaluate_command(tmp_path / 'no-model', '--data', tmp_path)


def test_refuses_a_dataset_of_other_classes(networks, dataset):
    with pytest.raises(ValueError, match="'cityscapes20' .*20 classes"):
        evaluate_command(networks[0][0], '--data', dataset, '--layout', 'cityscapes20')


@pytest.fixture
def no_pass(monkeypatch):
    """Fails the test where a dataset is evaluated."""
    monkeypatch.setattr(evaluation, 'evaluate_model', lambda *_, **__: pytest.fail('evaluated'))


def test_refuses_to_compare_with_what_is_no_model(networks, dataset, tmp_path, no_pass):
    with pytest.raises(FileNotFoundError, match="model '.*nowhere' does not exist. Pass a run directory"):
        evaluate_command(networks[0][0], '--data', dataset, '--against', tmp_path / 'nowhere')


def test_refuses_to_compare_with_a_model_of_other_classes(networks, small_model, dataset, no_pass):
    message = r"other classes \('cityscapes20', 20\) than .* \('cityscapes', 19\): .* Evaluate each by itself"
    with pytest.raises(ValueError, match=message):
        evaluate_command(networks[0][0], '--data', dataset, '--against', small_model)


def test_refuses_to_compare_with_a_model_that_does_not_fit_the_data(networks, small_model, dataset, no_pass):
    with pytest.raises(ValueError, match="the data are labelled in 'cityscapes' .*built for 'cityscapes20'"):
        evaluate_command(networks[0][0], '--data', dataset, '--layout', 'cityscapes', '--against', small_model)


def mean_class_ids(paths, **options):
    """The class IDs of `load_images()` by the mean of the predictors' soft-max."""
    total = 0
    for path in paths:
        with open_model(path) as model:
            predictor = Predictor(model.predict, 19, averages=True, **options)
            total = total + np.stack([predictor.probabilities(image).astype(np.float64) for image in load_images()])
    return total.argmax(axis=-1)


@pytest.mark.parametrize(
    'arguments, options',
    [
        ([], {}),
        (['--scales', '0.5', '1', '--mirror'], {'scales': (0.5, 1.0), 'mirror': True}),
        (['--tile', '40', '48', '--overlap', '8'], {'tile': (40, 48), 'overlap': 8}),
    ],
)
def test_the_mean_of_several_models_is_scored(networks, dataset, tmp_path, capsys, arguments, options):
    paths = [path for path, _ in networks]
    rows = tmp_path / 'rows.csv'
    report = report_of(tmp_path, *paths, '--data', dataset, '--per-image', rows, '--calibration', *arguments)
    expected = mean_class_ids(paths, **options)
    assert all((predictions != expected).any() for _, predictions in networks)
    np.testing.assert_array_equal(report['confusion_matrix'], expected_confusion(expected))
    assert report['models'] == paths and report['model'] == ' + '.join(paths)
    assert '{} + {}'.format(*paths) in capsys.readouterr().out
    label_ids = load_label_ids()
    with open(str(rows), encoding='utf-8') as file:
        for row, truth, predicted in zip(csv.DictReader(file), label_ids, expected):
            valid = cityscapes_ids_to_train_ids()[truth] != 255
            right = (cityscapes_ids_to_train_ids()[truth] == predicted)[valid].mean()
            assert float(row['accuracy']) == pytest.approx(right)


def test_several_models_in_python(networks):
    from fcn8s import Ensemble, evaluate_predictions

    paths, images = [path for path, _ in networks], load_images()
    labels = cityscapes_ids_to_train_ids()[load_label_ids()]
    with Ensemble([open_model(path) for path in paths]) as model:
        predictor = Predictor(model.predict, model.num_classes, averages=True)
        evaluation = evaluate_predictions(
            predictor.probabilities, model.label_space, [(images, labels)], 1, with_boundaries=True
        )
    expected = expected_confusion(mean_class_ids(paths))
    np.testing.assert_array_equal(evaluation.scores['confusion_matrix'], expected)
    assert len(evaluation.rows) == NUM_IMAGES and 'boundary_f1' in evaluation.scores


def test_two_processes_score_several_models_as_one(networks, dataset, tmp_path):
    paths = [path for path, _ in networks]
    alone = report_of(tmp_path, *paths, '--data', dataset)
    arguments = paths + ['--data', dataset, '--workers', '2', '--json', str(tmp_path / 'shared.json')]
    assert cli.main(['evaluate'] + arguments) == 0
    shared = json.loads((tmp_path / 'shared.json').read_text())
    assert shared['confusion_matrix'] == alone['confusion_matrix'] and shared['models'] == paths


def test_models_that_cannot_be_averaged_are_refused(networks, small_model, dataset, tmp_path, no_pass):
    first, second = (path for path, _ in networks)
    with pytest.raises(ValueError, match='need the same classes and input, but .* has 19 classes, and .* 20'):
        evaluate_command(first, small_model, '--data', dataset)
    with pytest.raises(ValueError, match='came twice; the mean of a model with itself is that model'):
        evaluate_command(first, second, first, '--data', dataset)
    with pytest.raises(ValueError, match='--samples are of one network, and 2 are averaged'):
        evaluate_command(first, second, '--data', dataset, '--samples', '2')
    with pytest.raises(FileNotFoundError, match="model '.*nowhere' does not exist"):
        evaluate_command(first, tmp_path / 'nowhere', '--data', dataset)
    runs = [
        run_of(path, tmp_path / name, size=size) for path, name, size in ((first, 'a', [16, 32]), (second, 'b', None))
    ]
    with pytest.raises(ValueError, match='a was evaluated at 16 x 32 and .*b at images as they are. .* --size H W'):
        evaluate_command(*runs, '--data', dataset)


def test_a_run_of_a_size_that_no_memory_holds_is_refused(networks, dataset, tmp_path, no_pass):
    run = run_of(networks[0][0], tmp_path, size=[10**6, 10**6])
    with pytest.raises(ValueError, match='size is 1000000 x 1000000: an image of that size and the soft-max of 2'):
        evaluate_command(run, '--data', dataset)


@pytest.mark.parametrize('name', ['', 'new' + os.sep])
def test_refuses_a_directory_for_the_json(networks, dataset, tmp_path, no_pass, name):
    path = os.path.join(str(tmp_path), name)
    with pytest.raises(
        ValueError, match='--json .* is a directory; give it the name of a file, for example scores.json'
    ):
        evaluate_command(networks[0][0], '--data', dataset, '--json', path)
    assert not os.listdir(str(tmp_path))


def test_refuses_one_file_for_two_things(networks, dataset, tmp_path, no_pass):
    words = ['--json', tmp_path / 'scores', '--per-image', tmp_path / 'x' / '..' / 'scores']
    with pytest.raises(ValueError, match='--json and --per-image are both .*scores. Give each a file of its own'):
        evaluate_command(networks[0][0], '--data', dataset, *words)


def test_refuses_a_place_for_the_json_that_cannot_be_written(networks, dataset, tmp_path, no_pass, monkeypatch):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(OSError, match='file'):
        evaluate_command(networks[0][0], '--data', dataset, '--json', tmp_path / 'file' / 'scores.json')
    assert (tmp_path / 'file').read_text() == 'mine'

    def refuse(source, _):
        raise PermissionError(13, 'Permission denied', source)

    monkeypatch.setattr(os, 'replace', refuse)
    with pytest.raises(PermissionError, match='Choose a directory that you may write to'):
        evaluate_command(networks[0][0], '--data', dataset, '--json', tmp_path / 'scores.json')


def test_a_missing_folder_of_the_json_is_made(networks, dataset, tmp_path):
    evaluate_command(networks[0][0], '--data', dataset, '--json', tmp_path / 'new' / 'scores.json')
    assert os.listdir(str(tmp_path / 'new')) == ['scores.json']


def test_one_scale_of_1_is_the_plain_network(networks, tmp_path):
    root = write_dataset(tmp_path, scale=2)
    plain = report_of(tmp_path, networks[0][0], '--data', root, '--size', *SIZE)
    scaled = report_of(tmp_path, networks[0][0], '--data', root, '--size', *SIZE, '--scales', 1)
    np.testing.assert_array_equal(scaled['confusion_matrix'], plain['confusion_matrix'])


def test_recall_and_accuracy_are_said_to_be_the_same_and_are(networks, dataset, tmp_path, capsys):
    report = report_of(tmp_path, networks[0][0], '--data', dataset)
    assert report['recall'] == report['per_class_accuracy']
    with pytest.raises(SystemExit):
        cli.main(['evaluate', '--help'])
    text = ' '.join(capsys.readouterr().out.split())
    assert 'accuracy (which is the recall)' in text
    assert 'per_class_accuracy and recall are two names of one score' in text


@pytest.mark.parametrize('command', ['train', 'check', 'evaluate'])
def test_help_lists_the_layouts_there_are(command, capsys, monkeypatch):
    monkeypatch.setitem(LAYOUTS, 'farm', ())
    with pytest.raises(SystemExit):
        cli.main([command, '--help'])
    text = ' '.join(capsys.readouterr().out.split())
    names = list(LAYOUTS)
    assert '{} or farm (default'.format(', '.join(names[:-1])) in text


BUILD_HEAD = """
from fcn8s.backend import tf
from fcn8s.graph.scoring import attach_scoring
from helpers.label_spaces import CITYSCAPES
with tf.Graph().as_default():
    attach_scoring(tf.placeholder(tf.float32, [None, None, None, 19]), CITYSCAPES)
"""


def test_scoring_resizes_by_nothing_that_tensorflow_calls_deprecated():
    # In a process of its own: TensorFlow says so once a process.
    result = subprocess.run([sys.executable, '-c', BUILD_HEAD], stderr=subprocess.PIPE, check=True)
    assert b'resize_bilinear' not in result.stderr, result.stderr


def test_every_image_has_a_row(networks, dataset, tmp_path, capsys):
    path, predictions = networks[0]
    csv_path = tmp_path / 'images.csv'
    report = report_of(
        tmp_path, path, '--data', dataset, '--per-image', csv_path, '--worst', 2, '--calibration', '--against', path
    )
    with open(str(csv_path), newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == NUM_IMAGES == len(report['images'])
    labels = cityscapes_ids_to_train_ids()[load_label_ids()]
    for number, row in enumerate(rows):
        assert row['image'].endswith('aachen_{:06d}_000019_leftImg8bit.png'.format(number))
        valid = labels[number] != 255
        accuracy = (labels[number] == predictions[number])[valid].mean()
        assert float(row['accuracy']) == pytest.approx(accuracy) == report['images'][number]['accuracy']
        assert 0.05 < float(row['confidence']) <= 1 and float(row['mean_iou_difference']) == 0
        assert float(row['against_mean_iou']) == report['images'][number]['against_mean_iou']
    printed = capsys.readouterr().out
    assert 'The 2 images with the lowest mean IoU, of 3' in printed
    worst = min(rows, key=lambda row: float(row['mean_iou']))
    assert '\naachen_{}  '.format(worst['image'].split('aachen_')[1][:6]) in printed


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--worst', '0'], '--worst is 0; it has to be at least 1'),
        (['--per-image', '.'], '--per-image . is a directory; give it the name of a file, for example scores.csv'),
    ],
)
def test_rows_that_cannot_be_shown_or_written(networks, dataset, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluate_command(networks[0][0], '--data', dataset, *arguments)


def test_samples_of_dropout_are_scored(networks, dataset, tmp_path):
    path, csv_path = networks[0][0], tmp_path / 'images.csv'
    report = report_of(tmp_path, path, '--data', dataset, '--samples', 2, '--per-image', csv_path)
    plain = report_of(tmp_path, path, '--data', dataset)
    assert report['samples'] == 2 and report['confusion_matrix'] != plain['confusion_matrix']
    with open(str(csv_path), newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows and all(0 < float(row['mutual_information']) < float(row['entropy']) < np.log(19) for row in rows)
    again = report_of(tmp_path, path, '--data', dataset, '--samples', 2)
    assert again['confusion_matrix'] == report['confusion_matrix']


@pytest.mark.parametrize('names, said', [(None, 'have no names'), (['farm', 'road'], 'are those of no layout')])
def test_a_network_whose_classes_are_of_no_layout_needs_one(narrow_encoder, dataset, tmp_path, names, said):
    with FCN8s(vgg16_dir=narrow_encoder, label_space=generic_label_space(2, class_names=names)) as model:
        path = model.save(str(tmp_path))
    with pytest.raises(ValueError, match='the classes of .* {}, so .* Give --layout NAME'.format(said)):
        evaluate_command(path, '--data', dataset)


def test_refuses_more_resamples_than_make_sense(networks, dataset):
    with pytest.raises(ValueError, match='--resamples is 999999999; it has to be from 1 to 1000000'):
        evaluate_command(networks[0][0], '--data', dataset, '--resamples', '999999999')


def test_a_run_is_evaluated_on_the_data_of_its_training_unless_others_are_given(tmp_path, monkeypatch, capsys):
    command = dict(data=str(tmp_path), layout='camvid', val_split='test', eval_at_input_size=True, size=[32, 48])
    run = runs.create_run(str(tmp_path / 'run'), {'versions': {}, 'command': command})
    taken = []

    def take(args):
        taken.append((args.data, args.layout, args.split, args.at_input_size))
        raise ValueError('that is enough')

    monkeypatch.setattr(evaluate, 'find_subjects', take)
    for words in ([], ['--split', 'val'], ['--data', 'other']):
        with pytest.raises(ValueError, match='that is enough'):
            evaluate_command(run.directory, *words)
    assert taken[:2] == [(str(tmp_path), 'camvid', split, True) for split in ('test', 'val')]
    assert taken[2] == ('other', None, None, False)
    assert capsys.readouterr().out.count('was evaluated on in its training.') == 2


def typed_readings(colors=None):
    return argparse.Namespace(colors=colors, id_map=None, color_tolerance=None, label_transparency=None)


def test_a_map_that_is_typed_goes_before_the_colours_that_a_run_was_trained_on():
    trained = dict(images='a', labels='b', ignore_id=None, color_tolerance=40, label_transparency='void', id_map=None)
    typed = typed_readings()
    found = read_as_trained(typed, trained, CITYSCAPES)
    assert (found['color_tolerance'], found['label_transparency']) == (40, 'void') and 'id_map' not in found
    typed.id_map = '0:0,255:1'
    found = read_as_trained(typed, trained, CITYSCAPES)
    assert found['id_map'] == {0: 0, 255: 1}
    assert (found['color_tolerance'], found['label_transparency']) == (0, None)
    typed.color_tolerance = 5
    assert read_as_trained(typed, trained, CITYSCAPES)['color_tolerance'] == 5


@pytest.mark.parametrize('names', [None, ['dark', 'bright']])
def test_a_network_without_colours_is_scored_on_labels_that_hold_colours(tmp_path, names):
    (tmp_path / 'table.txt').write_text('dark 10 20 30\nbright 90 80 70\nvoid 1 2 3')
    write_image(str(tmp_path / 'images' / 'a.png'), np.zeros([1, 3, 3], np.uint8))
    write_image(str(tmp_path / 'labels' / 'a.png'), np.uint8([[[90, 80, 70], [10, 20, 30], [1, 2, 3]]]))
    typed = typed_readings(str(tmp_path / 'table.txt'))
    found = read_as_trained(typed, dict(id_map='0:0,255:1'), generic_label_space(2, 7, names))
    assert found['label_space'].class_names == ('dark', 'bright')
    data = BatchGenerator([str(tmp_path / 'images')], ground_truth_dirs=[str(tmp_path / 'labels')], **found)
    with data.generate(1, shuffle=False) as batches:
        np.testing.assert_array_equal(next(batches)[1], [[[1, 0, 7]]])


@pytest.mark.parametrize(
    'classes, message',
    [
        (generic_label_space(3), 'names 2 classes, and the network has 3'),
        (generic_label_space(2, class_names=['bright', 'dark']), "class 0 is 'dark', and 'bright' in the network"),
    ],
)
def test_colours_of_other_classes_are_refused(classes, message, tmp_path):
    (tmp_path / 'table.txt').write_text('dark 10 20 30\nbright 90 80 70')
    typed = typed_readings(str(tmp_path / 'table.txt'))
    with pytest.raises(ValueError, match=message):
        read_as_trained(typed, {}, classes)


@pytest.mark.parametrize(
    'void, sizes, words, message',
    [
        ((), ((64, 64), (32, 32)), ['--at-input-size'], 'for A to 64 x 64 and for B to 32 x 32.*Add --size H W'),
        ((), ((64, 64), None), ['--at-input-size'], 'for B to their own size'),
        ((2,), (None, None), [], r'--against B leaves the classes \[2\] out of its scores, and A the classes \[\]'),
    ],
)
def test_what_is_scored_by_other_rules_is_not_compared(monkeypatch, void, sizes, words, message):
    spaces = [generic_label_space(3), generic_label_space(3)._replace(void_class_ids=void)]
    subjects = iter(inputs.Subject((), (), space, size, None) for space, size in zip(spaces, sizes))
    monkeypatch.setattr(inputs, '_subject', lambda *_: next(subjects))
    args = cli.build_parser().parse_args(['evaluate', 'A', '--against', 'B', '--data', 'D', *words])
    with pytest.raises(ValueError, match=message):
        inputs.find_subjects(args)
