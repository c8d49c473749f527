import os

import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.training.tensorboard import EventWriter, WeightStatistics, prediction_strip, score_scalars
from helpers.label_spaces import generic_label_space


def events(path):
    return list(tf.train.summary_iterator(path))


def test_an_event_file_is_read_back_by_tensorflow(tmp_path):
    picture = np.random.RandomState(0).randint(0, 256, [5, 7, 3]).astype(np.uint8)
    graph = tf.Graph()
    with graph.as_default():
        tf.constant(1.0, name='one')
    with EventWriter(str(tmp_path / 'events'), graph, first_step=3) as writer:
        writer.scalars(4, {'loss': 0.5, 'absent class': float('nan'), 'rate': np.float32(0.25)})
        found = events(writer.path)  # before it is closed: nothing waits in a buffer
        writer.image(5, 'strip', picture)
    assert found[0].file_version == 'brain.Event:2'
    assert tf.GraphDef.FromString(found[1].graph_def).node[0].name == 'one'
    assert found[2].step == 3 and found[2].session_log.status == tf.SessionLog.START
    assert found[3].step == 4 and {v.tag: v.simple_value for v in found[3].summary.value} == {'loss': 0.5, 'rate': 0.25}
    image = events(writer.path)[4].summary.value[0]
    assert image.tag == 'strip' and (image.image.height, image.image.width) == (5, 7)
    with tf.Graph().as_default(), tf.Session() as session:
        decoded = session.run(tf.image.decode_png(image.image.encoded_image_string))
    np.testing.assert_array_equal(decoded, picture)
    assert os.path.basename(writer.path).startswith('events.out.tfevents.')


def test_two_writers_of_one_second_write_two_files(tmp_path):
    paths = set()
    for value in (1.0, 2.0):
        with EventWriter(str(tmp_path)) as writer:
            writer.scalars(1, {'x': value})
        paths.add(writer.path)
    assert len(paths) == 2 and sorted(paths) == sorted(str(tmp_path / name) for name in os.listdir(str(tmp_path)))


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
