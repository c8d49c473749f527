import functools
import threading
import time

import numpy as np
import pytest

from fcn8s.evaluation import one_pass
from fcn8s.evaluation.one_pass import ImageStatistics, run_evaluation
from fcn8s.evaluation.scores import count_confusion
from helpers.label_spaces import generic_label_space

CLASSES = generic_label_space(3)


class FakeMetrics:
    """Names for what a fake session runs; the confusion matrix is the numpy one."""

    confusion_matrix, loss_sum, num_valid = 'confusion_matrix', 'loss_sum', 'num_valid'


class FakeSession:
    """Predicts the channel mean of the image; its loss is 0.5 on each valid pixel."""

    def __init__(self):
        self.calls = []

    def run(self, fetches, feed):
        self.calls.append(fetches)
        class_ids = feed['images'].mean(axis=-1).astype(np.uint8)
        confusion = count_confusion(np.where(feed['labels'] < 3, feed['labels'], 255), class_ids, 3)[:, :3]
        num_valid = int((feed['labels'] != 255).sum())
        return dict(dict.fromkeys(fetches, class_ids), totals=(confusion, 0.5 * num_valid, num_valid))


def feed_batch(images, labels):
    return {'images': images, 'labels': labels}


def batches(seed=0, count=4, ids=(0, 1, 2, 255)):
    rng = np.random.RandomState(seed)
    for _ in range(count):
        yield rng.randint(3, size=(2, 4, 5, 3)).astype(np.uint8), rng.choice(ids, size=(2, 4, 5)).astype(np.uint8)


def evaluate(data, num_batches, **options):
    session = FakeSession()
    return run_evaluation(session.run, FakeMetrics, feed_batch, data, num_batches, CLASSES, **options), session


def test_scores_of_all_batches():
    scores, _ = evaluate(batches(), 4)
    images, labels = [np.concatenate(parts) for parts in zip(*batches())]
    np.testing.assert_array_equal(
        scores['confusion_matrix'], count_confusion(labels, images.mean(axis=-1).astype(np.uint8), 3)[:, :3]
    )
    assert scores['loss'] == 0.5


def test_totals_of_each_batch_are_fetched():
    _, session = evaluate(batches(), 3)
    assert session.calls == [{'totals': ('confusion_matrix', 'loss_sum', 'num_valid')}] * 3


class MeetingSession(FakeSession):
    """Each batch waits until so many run, and fails where they do not."""

    def __init__(self, at_once, patience=20.0):
        super().__init__()
        self._all = threading.Barrier(at_once, timeout=patience)

    def run(self, fetches, feed):
        self._all.wait()
        return super().run(fetches, feed)


def test_batches_that_run_at_once_are_taken_in_their_order():
    seen = []
    options = dict(fetches={'class_ids': 'class_ids'}, on_batch=lambda *batch: seen.append(batch))
    scores = run_evaluation(MeetingSession(2).run, FakeMetrics, feed_batch, batches(), 4, CLASSES, at_once=2, **options)
    np.testing.assert_array_equal(scores['confusion_matrix'], evaluate(batches(), 4)[0]['confusion_matrix'])
    assert len(seen) == 4
    for (_, labels, values), (images, expected) in zip(seen, batches()):
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_array_equal(values['class_ids'], images.mean(axis=-1).astype(np.uint8))


@pytest.mark.parametrize('small_batch, fails', [(39, True), (40, False)])
def test_batches_that_are_not_small_run_alone(small_batch, fails, monkeypatch):
    monkeypatch.setattr(one_pass, 'SMALL_BATCH', small_batch)  # a batch has 2 x 4 x 5 pixels
    session = MeetingSession(2, 0.2 if fails else 20.0)
    run = functools.partial(run_evaluation, session.run, FakeMetrics, feed_batch, batches(), 2, CLASSES, at_once=2)
    if fails:
        with pytest.raises(threading.BrokenBarrierError):
            run()
    else:
        run()


def test_a_large_batch_waits_for_the_small_ones_before_it(monkeypatch):
    """It runs alone, and its results come after theirs."""
    monkeypatch.setattr(one_pass, 'SMALL_BATCH', 40)
    given, running, at_once, seen = list(batches()), [], [], []
    given[1] = [np.concatenate([part, part]) for part in given[1]]

    def run(fetches, feed):
        running.append(feed)
        at_once.append(len(running))
        time.sleep(0.05 if len(feed['images']) == 2 else 0)
        running.pop()
        return FakeSession().run(fetches, feed)

    options = dict(on_batch=lambda *batch: seen.append(batch), at_once=2)
    run_evaluation(run, FakeMetrics, feed_batch, given, 2, CLASSES, **options)
    assert [len(images) for images, _, _ in seen] == [2, 4] and max(at_once) == 1


def test_after_an_error_no_batch_runs_any_more():
    started, finished = [], []

    def run(fetches, feed):
        started.append(feed)
        time.sleep(0.2 if len(started) > 1 else 0)
        finished.append(feed)
        return FakeSession().run(fetches, feed)

    def fail(*_):
        raise RuntimeError('cannot be written')

    with pytest.raises(RuntimeError, match='cannot be written') as error:
        run_evaluation(run, FakeMetrics, feed_batch, batches(), 4, CLASSES, on_batch=fail, at_once=2)
    assert error and len(started) == len(finished)  # the error would keep what runs


def test_an_error_of_a_batch_comes_after_the_batches_before_it():
    def run(fetches, feed):
        if feed['images'].sum() == 0:
            raise RuntimeError('out of memory')
        return FakeSession().run(fetches, feed)

    seen, given = [], list(batches())
    given[2][0][:] = 0
    with pytest.raises(RuntimeError, match='out of memory'):
        run_evaluation(
            run, FakeMetrics, feed_batch, given, 4, CLASSES, on_batch=lambda *batch: seen.append(batch), at_once=2
        )
    assert len(seen) == 2


def test_no_batches_is_an_empty_dataset():
    scores, _ = evaluate(iter(()), 0)
    assert np.isnan(scores['mean_iou']) and np.isnan(scores['loss']) and np.isnan(scores['accuracy'])


def test_takes_no_more_than_asked_for():
    source = batches(count=5)
    evaluate(source, 2)
    assert len(list(source)) == 3


def test_on_batch_sees_labels_and_fetches():
    seen = []
    evaluate(batches(), 2, fetches={'class_ids': 'class_ids'}, on_batch=lambda *arguments: seen.append(arguments))
    for (seen_images, labels, values), (images, expected) in zip(seen, batches()):
        np.testing.assert_array_equal(seen_images, images)
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_array_equal(values['class_ids'], images.mean(axis=-1).astype(np.uint8))


def test_progress_wraps_the_batch_numbers():
    wrapped = []
    evaluate(batches(), 2, progress=lambda numbers: wrapped.append(list(numbers)) or numbers)
    assert wrapped == [[0, 1]]


def test_refuses_data_that_ends_early():
    with pytest.raises(ValueError, match='ended after 4 of 6 batches to evaluate. Ask for as many'):
        evaluate(batches(), 6)


def test_refuses_a_negative_number_of_batches():
    with pytest.raises(ValueError, match='num_batches is -1; it has to be a whole number of at least 0'):
        evaluate(batches(), -1)


def test_refuses_ground_truth_of_another_id_space():
    with pytest.raises(ValueError, match='valid pixels have ground truth IDs that are no classes.*from 0 to 2'):
        evaluate(batches(ids=(0, 1, 2, 7)), 2)


@pytest.mark.parametrize('workers', [1, 3])
def test_the_number_of_images_that_wait_for_their_boundaries_is_bounded(workers, monkeypatch):
    measured, measure_image = [], one_pass.measure_image

    def measure_and_note(*arguments):
        result = measure_image(*arguments)
        measured.append(result)
        return result

    monkeypatch.setattr(one_pass, 'measure_image', measure_and_note)
    labels = np.random.RandomState(0).randint(3, size=(1, 9, 9)).astype(np.uint8)
    with ImageStatistics(CLASSES, with_boundaries=True, workers=workers) as statistics:
        for number in range(30):
            statistics.add(labels, labels, {'image_confusions': np.zeros((1, 3, 3), np.int64), 'class_ids': labels})
            assert number + 1 - len(measured) <= 2 * workers
        assert statistics.boundary_scores()['mean_boundary_f1'] == 1.0
    assert statistics.counts().true_positives.shape == (30, 3)


@pytest.mark.parametrize('ask', ['rows', 'boundaries', 'boundary_scores'])
def test_boundaries_of_all_images_are_waited_for_whatever_is_asked_first(ask):
    labels = np.random.RandomState(0).randint(3, size=(3, 9, 9)).astype(np.uint8)
    with ImageStatistics(CLASSES, with_boundaries=True, workers=2) as statistics:
        statistics.add(labels, labels, {'image_confusions': np.zeros((3, 3, 3), np.int64), 'class_ids': labels})
        getattr(statistics, ask)()
        assert len(statistics._boundary_f1) == 3
        assert [row.boundary_f1 for row in statistics.rows()] == [1.0] * 3


def test_statistics_of_no_image_are_empty():
    with ImageStatistics(CLASSES) as statistics:
        assert [counts.shape for counts in statistics.counts()] == [(0, 3)] * 3 and statistics.rows() == []


def test_an_error_while_measuring_is_not_lost(monkeypatch):
    def fail(*_):
        raise RuntimeError('cannot measure')

    monkeypatch.setattr(one_pass, 'measure_image', fail)
    labels = np.zeros((1, 4, 4), np.uint8)
    with ImageStatistics(CLASSES, with_boundaries=True) as statistics:
        statistics.add(labels, labels, {'image_confusions': np.zeros((1, 3, 3), np.int64), 'class_ids': labels})
        with pytest.raises(RuntimeError, match='cannot measure'):
            statistics.boundary_scores()
