import filecmp
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from fcn8s.evaluation.scores import count_confusion, summarize
from fcn8s.prediction import cityscapes_submission as submission
from helpers.images import read_labels, write_labels
from helpers.label_spaces import CAMVID, CITYSCAPES, CITYSCAPES20, cityscapes_ids_to_train_ids

SIZE = (1024, 2048)
NAMES = ('aachen_000000_000019', 'bonn_000001_000019')


def image_paths(names=NAMES):
    return ['leftImg8bit/val/{}/{}_leftImg8bit.png'.format(name.split('_')[0], name) for name in names]


def coarse_map(ids, seed):
    blocks = np.random.RandomState(seed).choice(ids, size=(8, 16))
    return np.kron(blocks, np.ones((128, 128))).astype(np.uint8)


def write_all(out_dir, label_space=CITYSCAPES):
    for seed, path in enumerate(image_paths()):
        submission.write_prediction(str(out_dir), path, coarse_map(range(19), seed), label_space)


def test_name_is_the_one_the_server_looks_for():
    name = submission.prediction_name('a/b/berlin_000000_000019_leftImg8bit.png')
    assert name == 'berlin_000000_000019_pred_labelIds.png'


@pytest.mark.parametrize(
    'name', ['photo.png', 'berlin_1_2_leftImg8bit.png', 'berlin_000000_000019_gtFine_labelIds.png']
)
def test_refuses_other_names(name):
    with pytest.raises(ValueError, match=name + '.* not named like a Cityscapes image.*leftImg8bit.png'):
        submission.prediction_name(name)


@pytest.mark.parametrize(
    'label_space, ids, label_ids', [(CITYSCAPES, [0, 18], [7, 33]), (CITYSCAPES20, [0, 1, 19], [0, 7, 33])]
)
def test_class_ids_become_label_ids(tmp_path, label_space, ids, label_ids):
    class_ids = np.full(SIZE, ids[0], np.int64)
    class_ids[0, : len(ids)] = ids
    path = submission.write_prediction(str(tmp_path), image_paths()[0], class_ids, label_space)
    assert os.path.basename(path) == 'aachen_000000_000019_pred_labelIds.png'
    written = read_labels(path)
    assert written.dtype == np.uint8 and written.shape == SIZE
    np.testing.assert_array_equal(written[0, : len(ids)], label_ids)
    assert (written[1:] == label_ids[0]).all()


@pytest.mark.parametrize(
    'class_ids, label_space, message',
    [
        (
            np.zeros((512, 1024), np.uint8),
            CITYSCAPES,
            r'shape \(512, 1024\); the server takes 1024 x 2048 only. Predict',
        ),
        (np.full(SIZE, 33, np.uint8), CITYSCAPES, 'IDs from 33 to 33, .* from 0 to 18'),
        (np.zeros(SIZE, np.uint8), CAMVID, "'camvid', which have no Cityscapes labelIds. .* label space cityscapes"),
    ],
)
def test_refuses_predictions_the_server_would_refuse(tmp_path, class_ids, label_space, message):
    with pytest.raises(ValueError, match=message):
        submission.write_prediction(str(tmp_path), image_paths()[0], class_ids, label_space)
    assert not os.listdir(str(tmp_path))


def test_zip_holds_all_predictions_and_is_the_same_each_time(tmp_path):
    predictions = tmp_path / 'predictions'
    predictions.mkdir()
    write_all(predictions)
    (predictions / '.DS_Store').write_text('of a file manager')
    archives = [str(tmp_path / name) for name in ('first.zip', 'second.zip')]
    for archive in archives:
        names = submission.zip_and_check(str(predictions), image_paths(), archive, CITYSCAPES)
    assert names == [name + '_pred_labelIds.png' for name in NAMES]
    with zipfile.ZipFile(archives[0]) as archive:
        assert archive.namelist() == names and archive.testzip() is None
        assert archive.read(names[0]) == (predictions / names[0]).read_bytes()
    assert filecmp.cmp(archives[0], archives[1], shallow=False)


def break_by_removing(predictions):
    (predictions / 'bonn_000001_000019_pred_labelIds.png').unlink()


def break_by_adding(predictions):
    (predictions / 'notes.txt').write_text('none')


def break_by_size(predictions):
    write_labels(str(predictions / 'bonn_000001_000019_pred_labelIds.png'), np.full((512, 1024), 7, np.uint8))


def break_by_train_ids(predictions):
    write_labels(str(predictions / 'bonn_000001_000019_pred_labelIds.png'), np.full(SIZE, 2, np.uint8))


@pytest.mark.parametrize(
    'spoil, message',
    [
        (break_by_removing, '1 of 2 predictions are missing .* bonn_000001_000019_pred_labelIds.png. Predict all'),
        (break_by_adding, 'holds 1 file of no image, the first is notes.txt.*empty folder'),
        (
            break_by_size,
            r'bonn_000001_000019_pred_labelIds.png holds uint8 of shape \(512, 1024\).*maps of 1024 x 2048',
        ),
        (break_by_train_ids, r'bonn_000001_000019_pred_labelIds.png holds the IDs \[2\], which are not labelIds'),
    ],
)
def test_a_spoilt_submission_is_not_zipped(tmp_path, spoil, message):
    predictions = tmp_path / 'predictions'
    predictions.mkdir()
    write_all(predictions)
    spoil(predictions)
    with pytest.raises(ValueError, match=message):
        submission.zip_and_check(str(predictions), image_paths(), str(tmp_path / 'out.zip'), CITYSCAPES)
    assert not (tmp_path / 'out.zip').exists()


def test_refuses_an_image_given_twice(tmp_path):
    with pytest.raises(ValueError, match='Several images would be submitted as aachen_000000_000019'):
        submission.zip_and_check(str(tmp_path), image_paths() + image_paths()[:1], 'out.zip', CITYSCAPES)


def test_refuses_no_images(tmp_path):
    with pytest.raises(ValueError, match='No images .*leftImg8bit/test'):
        submission.zip_and_check(str(tmp_path), [], 'out.zip', CITYSCAPES)


# NumPy 2.4 removed numpy.in1d, which the script (as released in cityscapesscripts 2.3) calls for its scores per
# instance and for nothing else. numpy.isin is the same but for its shape, and the script reshapes what it gets.
RUN_OFFICIAL = """
import runpy, sys
import numpy
if not hasattr(numpy, 'in1d'):
    numpy.in1d = lambda values, wanted, invert=False: numpy.isin(values, wanted, invert=invert).ravel()
sys.argv = sys.argv[:1]
runpy.run_module('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling', run_name='__main__')
"""


def write_ground_truth(root):
    """labelIds with void, and instance maps without instances, in the Cityscapes layout."""
    truths = []
    for seed, name in enumerate(NAMES):
        folder = root / 'gtFine' / 'val' / name.split('_')[0]
        folder.mkdir(parents=True)
        truths.append(coarse_map(range(34), seed + 10))
        write_labels(str(folder / (name + '_gtFine_labelIds.png')), truths[-1])
        write_labels(str(folder / (name + '_gtFine_instanceIds.png')), truths[-1].astype(np.uint16))
    return truths


def test_the_cityscapes_command_reads_our_files_and_finds_our_scores(tmp_path):
    """Its own command line on PNGs of our writers."""
    predictions = tmp_path / 'results'
    predictions.mkdir()
    write_all(predictions)
    truths = write_ground_truth(tmp_path / 'data')
    environment = dict(
        os.environ,
        CITYSCAPES_DATASET=str(tmp_path / 'data'),
        CITYSCAPES_RESULTS=str(predictions),
        CITYSCAPES_EXPORT_DIR=str(tmp_path),
    )
    done = subprocess.run(
        [sys.executable, '-c', RUN_OFFICIAL],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    official = json.loads((tmp_path / 'resultPixelLevelSemanticLabeling.json').read_text())
    confusion = sum(
        count_confusion(cityscapes_ids_to_train_ids()[truth], coarse_map(range(19), seed), 19)
        for seed, truth in enumerate(truths)
    )
    scores = summarize(confusion, np.nan, int(confusion.sum()), CITYSCAPES)
    label_ids = list(CITYSCAPES.file_ids)
    np.testing.assert_array_equal(np.array(official['confMatrix'])[np.ix_(label_ids, label_ids)], confusion[:, :19])
    assert scores['mean_iou'] == pytest.approx(official['averageScoreClasses'], abs=1e-12)
    assert scores['mean_category_iou'] == pytest.approx(official['averageScoreCategories'], abs=1e-12)
    for name, iou in zip(CITYSCAPES.class_names, scores['per_class_iou']):
        np.testing.assert_allclose(iou, official['classScores'][name], rtol=0, atol=1e-12)
    for name, iou in scores['category_iou'].items():
        np.testing.assert_allclose(iou, official['categoryScores'][name], rtol=0, atol=1e-12)
