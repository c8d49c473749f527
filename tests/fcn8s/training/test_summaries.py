import json
import os
import time

import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.training.tensorboard import (
    EventWriter,
    WeightStatistics,
    WorstImages,
    confusion_picture,
    prediction_strip,
    score_scalars,
)
from helpers.label_spaces import generic_label_space


def events(path):
    return list(tf.train.summary_iterator(path))


def test_an_event_file_is_read_back_by_tensorflow(tmp_path):
    picture = np.random.RandomState(0).randint(0, 256, [5, 7, 3]).astype(np.uint8)
    graph = tf.Graph()
    with graph.as_default():
        tf.constant(1.0, name='one')
    with EventWriter(str(tmp_path / 'events'), graph, resumed_at=3) as writer:
        writer.scalars(4, {'loss': 0.5, 'absent class': float('nan'), 'rate': np.float32(0.25)})
        found = events(writer.path)  # before it is closed: nothing waits in a buffer
        writer.image(5, 'strip', picture)
    assert found[0].file_version == 'brain.Event:2'
    assert tf.GraphDef.FromString(found[1].graph_def).node[0].name == 'one'
    assert found[2].step == 4 and found[2].session_log.status == tf.SessionLog.START
    assert found[3].step == 4 and {v.tag: v.simple_value for v in found[3].summary.value} == {'loss': 0.5, 'rate': 0.25}
    image = events(writer.path)[4].summary.value[0]
    assert image.tag == 'strip' and (image.image.height, image.image.width) == (5, 7)
    with tf.Graph().as_default(), tf.Session() as session:
        decoded = session.run(tf.image.decode_png(image.image.encoded_image_string))
    np.testing.assert_array_equal(decoded, picture)
    assert os.path.basename(writer.path).startswith('events.out.tfevents.')


@pytest.mark.parametrize('resumed_at', [0, 4])
def test_tensorboard_hides_what_a_resumed_run_repeats_and_nothing_else(tmp_path, monkeypatch, resumed_at):
    """The first process was killed at step 6, after its evaluation of step 4; the second goes on from a checkpoint."""
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    with EventWriter(str(tmp_path)) as writer:
        for step in range(1, 7):
            writer.scalars(step, {'loss': float(step)})
        writer.scalars(4, {'val': 0.5})
    later = time.time() + 60
    monkeypatch.setattr(time, 'time', lambda: later)  # names begin with the second
    with EventWriter(str(tmp_path), resumed_at=resumed_at) as writer:
        for step in range(resumed_at + 1, 8):
            writer.scalars(step, {'loss': 10.0 + step})
    seen = accumulator.EventAccumulator(str(tmp_path)).Reload()
    expected = [(step, step + 10.0 * (step > resumed_at)) for step in range(1, 8)]
    assert [(event.step, event.value) for event in seen.Scalars('loss')] == expected
    assert ('val' in seen.Tags()['scalars'] and len(seen.Scalars('val')) == 1) == (resumed_at == 4)


@pytest.mark.skipif(not os.path.isdir('/proc/self/task'), reason='a folder in which nobody can write')
def test_a_folder_that_cannot_be_written_is_no_error_of_tensorflow():
    with pytest.raises(OSError, match='/proc/'):
        EventWriter('/proc/self/task')


def test_two_writers_of_one_second_write_two_files(tmp_path):
    paths = set()
    for value in (1.0, 2.0):
        with EventWriter(str(tmp_path)) as writer:
            writer.scalars(1, {'x': value})
        paths.add(writer.path)
    assert len(paths) == 2 and sorted(paths) == sorted(str(tmp_path / name) for name in os.listdir(str(tmp_path)))


def test_a_clock_that_is_behind_puts_no_file_before_the_earlier_ones(tmp_path):
    (tmp_path / 'events.out.tfevents.3000000000.machine.1').write_bytes(b'')
    with EventWriter(str(tmp_path)) as writer:
        assert os.path.basename(writer.path).startswith('events.out.tfevents.3000000001.')


def test_scores_as_scalars():
    scores = {
        'loss': 0.5,
        'mean_iou': 0.25,
        'per_class_iou': np.array([0.25, np.nan]),
        'confusion_matrix': np.eye(2),
        'category_iou': {},
    }
    scalars = score_scalars(scores, 'val', ['road', 'sky'])
    assert np.isnan(scalars.pop('val_iou/sky'))
    assert scalars == {'val/loss': 0.5, 'val/mean_iou': 0.25, 'val_iou/road': 0.25}


def test_a_strip_shows_image_truth_and_prediction():
    space = generic_label_space(2)
    image = np.random.RandomState(0).randint(0, 256, [4, 6, 3]).astype(np.uint8)
    labels, prediction = np.zeros([4, 6], np.int64), np.ones([4, 6], np.uint8)
    labels[0] = 255
    strip = prediction_strip(image, labels, prediction, space)
    assert strip.shape == (4, 18, 3) and strip.dtype == np.uint8
    np.testing.assert_array_equal(strip[:, :6], image)
    assert not strip[0, 6:12].any()
    assert (strip[1:, 6:12] == space.colors[0]).all() and (strip[:, 12:] == space.colors[1]).all()


def test_pixels_of_an_ignored_id_above_255_are_black_in_a_strip():
    space = generic_label_space(60, ignore_id=300)  # 300 - 256 is class 44
    strip = prediction_strip(np.zeros([1, 2, 3], np.uint8), np.array([[300, 44]]), np.array([[44, 44]]), space)
    assert [tuple(color) for color in strip[0, 2:]] == [(0, 0, 0)] + 3 * [space.colors[44]]


def test_a_strip_of_a_large_image_is_small():
    strip = prediction_strip(
        np.zeros([1024, 2048, 3], np.uint8),
        np.zeros([1024, 2048], np.uint8),
        np.zeros([1024, 2048], np.uint8),
        generic_label_space(2),
    )
    assert strip.shape == (256, 3 * 512, 3)


def test_statistics_of_weights():
    value = np.random.RandomState(0).normal(1, 2, [3, 3, 4, 5]).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        kernel = tf.get_variable('kernel', initializer=value, use_resource=True)
        session.run(kernel.initializer)
        statistics = WeightStatistics([kernel]).read(session)
    assert statistics['weights_mean/kernel'] == pytest.approx(value.mean(), rel=1e-5)
    assert statistics['weights_rms/kernel'] == pytest.approx(np.sqrt((value.astype(np.float64) ** 2).mean()), rel=1e-5)


def test_a_confusion_matrix_as_a_picture():
    matrix = np.array([[90, 10, 0], [0, 0, 0], [0, 100, 0]])
    picture = confusion_picture(matrix, ['road', 'sky', 'a name that is much too long for its place'])
    cell, corner = 24, picture.shape[0] - 3 * 24
    assert picture.shape == (corner + 3 * cell, corner + 3 * cell, 3) and picture.dtype == np.uint8

    def color(row, column):
        return picture[corner + row * cell + 12, corner + column * cell + 12].astype(int)

    blue, orange, white = np.array((0, 82, 140)), np.array((190, 72, 0)), np.array((255, 255, 255))
    np.testing.assert_array_equal(color(0, 0), np.rint(255 + (blue - 255) * 0.9**0.6))
    np.testing.assert_array_equal(color(0, 1), np.rint(255 + (orange - 255) * 0.1**0.6))
    np.testing.assert_array_equal(color(2, 1), orange)
    for place in ((0, 2), (1, 1), (2, 2)):
        np.testing.assert_array_equal(color(*place), white)
    names = picture[corner:, :corner]
    assert all(names[row * cell : (row + 1) * cell].min() < 100 for row in range(3))  # each row has its name
    assert all(picture[:corner, corner + column * cell :][:, :cell].min() < 100 for column in range(3))
    truth, prediction = picture[corner - cell : corner, : corner - cell], picture[:corner, corner - cell : corner]
    assert truth.min() < 100 and prediction.min() < 100  # what rows and columns are
    assert picture[: corner - cell, : corner - cell].min() == 255
    assert confusion_picture(np.eye(255, dtype=int), ['x'] * 255).shape == (255 * 4, 255 * 4, 3)


def test_the_worst_images_of_an_evaluation():
    space = generic_label_space(2)
    worst = WorstImages(2, space)
    rights = [8, 2, 5, 16, 3]
    for number, right in enumerate(rights):
        labels = np.zeros((1, 4, 4), np.uint8)
        confusion = np.array([[[right, 16 - right], [0, 0]]])
        if number == 4:
            labels = np.eye(2, dtype=np.uint8)[labels]  # one-hot
        image = np.full((1, 4, 4, 3), number, np.uint8)
        worst.add(image, labels, {'class_ids': np.ones((1, 4, 4), np.uint8), 'image_confusions': confusion})
    strips = worst.strips()
    assert [int(strip[0, 0, 0]) for strip in strips] == [1, 4]
    assert tuple(strips[1][0, 4]) == space.colors[0] and tuple(strips[1][0, 8]) == space.colors[1]


def test_the_worst_images_of_two_workers_are_those_of_one():
    space, ious = generic_label_space(2), [8, 2, 5, 2, 3, 16, 2]
    alone, shared = WorstImages(3, space), [WorstImages(3, space), WorstImages(3, space)]
    for number, right in enumerate(ious):
        values = {
            'class_ids': np.ones((1, 4, 4), np.uint8),
            'image_confusions': np.array([[[right, 16 - right], [0, 0]]]),
        }
        image, labels = np.full((1, 4, 4, 3), number, np.uint8), np.zeros((1, 4, 4), np.uint8)
        shared[number % 2].batch = number
        for worst in (alone, shared[number % 2]):
            worst.add(image, labels, values)
    keys = sorted(shared[0].keys() + shared[1].keys())
    for worst in shared:
        worst.keep(keys)
    sent = [json.loads(json.dumps(worst.to_json())) for worst in shared]
    assert [len(part) for part in sent] == [1, 2]
    for worst in shared:
        for part in sent:
            worst.take_over(part)
        np.testing.assert_array_equal(worst.strips(), alone.strips())


def test_one_hot_labels_are_drawn_like_class_ids():
    space = generic_label_space(2)
    one_hot = np.array([[[0, 1], [0, 0]]], np.uint8)  # the second pixel is ignored
    image, prediction = np.zeros((1, 2, 3), np.uint8), np.array([[0, 0]], np.uint8)
    strip = prediction_strip(image, one_hot, prediction, space)
    np.testing.assert_array_equal(strip[0, 2:4], [space.colors[1], (0, 0, 0)])
    np.testing.assert_array_equal(strip, prediction_strip(image, np.array([[1, 255]], np.uint8), prediction, space))
