import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.graph.scoring import attach_scoring, attach_scoring_of_probabilities, build_totals
from helpers.label_spaces import generic_label_space

NUM_CLASSES = 4


def slow_totals(labels, class_ids, losses, ignore_id=255):
    confusion = np.zeros((NUM_CLASSES, NUM_CLASSES), dtype=np.int64)
    loss_sum, num_valid = 0.0, 0
    for label, class_id, loss in zip(labels.flat, class_ids.flat, losses.flat):
        if label != ignore_id:
            confusion[label, class_id] += 1
            loss_sum += float(loss)
            num_valid += 1
    return confusion, loss_sum, num_valid


@pytest.fixture()
def totals():
    """A graph with the metrics on placeholders; yields (session, metrics, feed)."""
    graph = tf.Graph()
    with graph.as_default():
        labels = tf.placeholder(tf.uint8, [None, None, None])
        class_ids = tf.placeholder(tf.int64, [None, None, None])
        losses = tf.placeholder(tf.float32, [None, None, None])
        metrics = build_totals(labels, class_ids, losses, tf.not_equal(labels, 255), NUM_CLASSES)
    with tf.Session(graph=graph) as session:
        yield session, metrics, lambda *values: dict(zip((labels, class_ids, losses), values))


def fetch(session, metrics, feed):
    return session.run((metrics.confusion_matrix, metrics.loss_sum, metrics.num_valid), feed)


def random_batch(rng, num_images=2):
    shape = (num_images, 5, 7)
    labels = rng.choice([0, 1, 2, 3, 255], size=shape).astype(np.uint8)
    return labels, rng.randint(NUM_CLASSES, size=shape), rng.rand(*shape).astype(np.float32)


def test_totals_equal_a_pixel_by_pixel_count(totals):
    session, metrics, feed = totals
    batch = random_batch(np.random.RandomState(0), num_images=6)
    confusion, loss_sum, num_valid = fetch(session, metrics, feed(*batch))
    expected = slow_totals(*batch)
    np.testing.assert_array_equal(confusion, expected[0])
    assert confusion.dtype == np.int64
    assert loss_sum == pytest.approx(expected[1], rel=1e-12)
    assert num_valid == expected[2]


def test_splitting_a_batch_changes_nothing(totals):
    session, metrics, feed = totals
    batch = random_batch(np.random.RandomState(1), num_images=5)
    at_once = fetch(session, metrics, feed(*batch))
    parts = [
        fetch(session, metrics, feed(*[values[part] for values in batch]))
        for part in (slice(0, 1), slice(1, 4), slice(4, 5))
    ]
    confusions, loss_sums, nums_valid = zip(*parts)
    np.testing.assert_array_equal(at_once[0], sum(confusions))
    assert at_once[1] == pytest.approx(sum(loss_sums), rel=1e-14)
    assert at_once[2] == sum(nums_valid)


def test_what_lies_on_ignored_pixels_changes_nothing(totals):
    session, metrics, feed = totals
    labels = np.full((1, 6, 6), 255, np.uint8)
    labels[:, 2:4, 1:5] = 3
    class_ids = np.full((1, 6, 6), 1)
    losses = np.full((1, 6, 6), np.nan, np.float32)
    losses[:, 2:4, 1:5] = 0.5
    confusion, loss_sum, num_valid = fetch(session, metrics, feed(labels, class_ids, losses))
    assert confusion.sum() == confusion[3, 1] == num_valid == 8
    assert loss_sum == 4.0


def test_images_are_counted_apart(totals):
    session, metrics, feed = totals
    labels, class_ids, losses = random_batch(np.random.RandomState(2), num_images=3)
    apart = session.run(metrics.image_confusions, feed(labels, class_ids, losses))
    for image in range(3):
        np.testing.assert_array_equal(apart[image], slow_totals(labels[image], class_ids[image], losses[image])[0])


def test_a_label_that_is_no_class_is_valid_and_in_no_row(totals):
    session, metrics, feed = totals
    labels = np.array([[[0, 4, 200]]], np.uint8)
    batch = feed(labels, np.zeros((1, 1, 3), np.int64), np.zeros((1, 1, 3), np.float32))
    confusion, _, num_valid = fetch(session, metrics, batch)
    assert (confusion.sum(), num_valid) == (1, 3)


def test_the_graph_keeps_nothing_that_a_saver_could_write(totals):
    session, _, _ = totals
    with session.graph.as_default():
        assert tf.global_variables() == tf.local_variables() == []


def test_an_empty_batch_adds_nothing(totals):
    session, metrics, feed = totals
    empty = [values[:0] for values in random_batch(np.random.RandomState(4))]
    confusion, loss_sum, num_valid = fetch(session, metrics, feed(*empty))
    assert confusion.sum() == loss_sum == num_valid == 0


def slow_pixel_scores(logits, label):
    """Class, loss and confidence of one pixel, in float64."""
    shifted = [float(z) - float(max(logits)) for z in logits]
    total = sum(np.exp(z) for z in shifted)
    return list(logits).index(max(logits)), np.log(total) - shifted[label], 1 / total


@pytest.mark.parametrize('deviation, mean', [(10, 0), (2e4, 0), (10, 200), (10, -200)])
def test_pixels_of_logits_are_scored_as_by_hand(deviation, mean):
    rng = np.random.RandomState(2)
    # Whole numbers are often equal; 2e4 and 200 are beyond what exp() holds, and then all of the batch is computed for
    # that; of -200 all powers are 0.
    spread = rng.normal(mean, deviation, (1, 6, 7, NUM_CLASSES))
    spread[:, 0, :, 0] = -1e30
    logits = np.concatenate([rng.randint(3, size=(1, 6, 7, NUM_CLASSES)), spread])
    logits = logits.astype(np.float32)
    labels = rng.choice([0, 1, 2, 3, 255], size=logits.shape[:3]).astype(np.uint8)
    graph = tf.Graph()
    with graph.as_default():
        fed = tf.placeholder(tf.float32, [None, None, None, NUM_CLASSES])
        scoring = attach_scoring(fed, generic_label_space(NUM_CLASSES))
    with tf.Session(graph=graph) as session:
        batch = {fed: logits, scoring.labels: labels}
        fetches = (scoring.class_ids, scoring.surprises, scoring.confidences)
        class_ids, losses, confidences = session.run(fetches, batch)
        confusion, loss_sum, num_valid = fetch(session, scoring.totals, batch)
    expected_ids, expected_losses = np.zeros_like(labels), np.zeros(labels.shape)
    for place in np.ndindex(*labels.shape):
        label = min(labels[place], NUM_CLASSES - 1)
        expected_ids[place], expected_losses[place], confidence = slow_pixel_scores(logits[place], label)
        assert confidences[place] == pytest.approx(confidence, rel=1e-6)
    np.testing.assert_array_equal(class_ids, expected_ids)
    valid = labels != 255
    np.testing.assert_allclose(losses[valid], expected_losses[valid], rtol=1e-6, atol=1e-6)
    expected = slow_totals(labels, expected_ids, expected_losses)
    np.testing.assert_array_equal(confusion, expected[0])
    assert loss_sum == pytest.approx(expected[1], rel=1e-6)
    assert num_valid == expected[2]


def sampled(attach, values, labels):
    with tf.Graph().as_default() as graph:
        fed = tf.placeholder(tf.float32, [None, None, None, NUM_CLASSES])
        scoring = attach(fed, generic_label_space(NUM_CLASSES), with_calibration=True, temperature=2.5)
        with tf.Session(graph=graph) as session:
            return session.run(scoring.sampled_pixels, {fed: values, scoring.labels: labels})


def test_pixels_to_fit_a_temperature_to_are_logits_before_any():
    """Of probabilities their logarithms, and of 0 a finite one; neither is divided by the temperature given."""
    rng = np.random.RandomState(0)
    logits = rng.normal(0, 3, (1, 5, 6, NUM_CLASSES)).astype(np.float32)
    labels = rng.choice([0, 1, 2, 3, 255], size=(1, 5, 6)).astype(np.uint8)
    of_logits = sampled(attach_scoring, logits, labels)
    np.testing.assert_array_equal(of_logits.logits, logits[labels != 255])
    powers = np.exp(logits)
    fed = sampled(attach_scoring_of_probabilities, powers / powers.sum(axis=-1, keepdims=True), labels)
    apart = fed.logits - of_logits.logits
    np.testing.assert_allclose(apart, apart[:, :1].repeat(NUM_CLASSES, axis=1), atol=1e-4)
    for ours, theirs in zip(fed[1:], of_logits[1:]):
        np.testing.assert_array_equal(ours, theirs)
    certain = np.eye(NUM_CLASSES, dtype=np.float32)[np.ones_like(labels)]
    assert np.isfinite(sampled(attach_scoring_of_probabilities, certain, labels).logits).all()


@pytest.mark.parametrize('num_lost', [1, 2])
def test_a_confidence_of_nan_counts_where_its_pixel_does(num_lost):
    """Two of them: as whole numbers their sum is 0, and a calibration error of that looks like any other."""
    rng = np.random.RandomState(3)
    logits = rng.normal(size=(2, 4, 5, NUM_CLASSES)).astype(np.float32)
    ignored = rng.randint(NUM_CLASSES, size=(2, 4, 5)).astype(np.uint8)
    ignored[0, 0, :num_lost] = 255
    counted = ignored.copy()
    counted[0, 0, :num_lost] = 1
    graph = tf.Graph()
    with graph.as_default():
        fed = tf.placeholder(tf.float32, [None, None, None, NUM_CLASSES])
        scoring = attach_scoring(fed, generic_label_space(NUM_CLASSES), with_calibration=True)
    with tf.Session(graph=graph) as session:
        sound = session.run(scoring.calibration, {fed: logits, scoring.labels: ignored})
        logits[0, 0, :num_lost] = np.nan
        lost = session.run(scoring.calibration, {fed: logits, scoring.labels: counted})
        kept = session.run(scoring.calibration, {fed: logits, scoring.labels: ignored})
    assert np.isnan(lost.confidence_sums).all() and lost.counts.sum() == counted.size
    np.testing.assert_array_equal(np.isnan(lost.image_confidences), [True, False])
    for found, expected in zip(kept, sound):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
