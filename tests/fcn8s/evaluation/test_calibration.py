import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.evaluation import calibration
from fcn8s.graph.scoring import build_calibration


def slow_ece(confidences, correct, num_bins):
    total, error = len(confidences), 0.0
    for b in range(num_bins):
        inside = [i for i, confidence in enumerate(confidences) if b / num_bins < confidence <= (b + 1) / num_bins]
        if inside:
            accuracy = sum(bool(correct[i]) for i in inside) / len(inside)
            confidence = sum(float(confidences[i]) for i in inside) / len(inside)
            error += len(inside) / total * abs(accuracy - confidence)
    return error


def accumulate(batches, num_bins=15):
    with tf.Graph().as_default() as graph:
        places = [tf.placeholder(dtype, [None] * 3) for dtype in (tf.float32, tf.bool, tf.bool)]
        totals = build_calibration(*places, num_bins=num_bins)
    with tf.Session(graph=graph) as session:
        session.run(totals.reset)
        for batch in batches:
            session.run(totals.update, dict(zip(places, batch)))
        return session.run((totals.counts, totals.correct, totals.confidence_sums))


def random_batches(seed=0):
    rng = np.random.RandomState(seed)
    for num_images in (1, 3):
        shape = (num_images, 7, 9)
        # Halves of bins, so that no rounding decides which bin a confidence belongs to.
        confidences = ((rng.randint(5, 15, size=shape) + 0.5) / 15).astype(np.float32)
        yield confidences, rng.rand(*shape) < 0.7, rng.rand(*shape) < 0.8


@pytest.mark.parametrize('num_bins', [1, 15])
def test_expected_calibration_error_over_batches(num_bins):
    confidences, correct, valid = [np.concatenate([part.ravel() for part in parts]) for parts in zip(*random_batches())]
    result = calibration.summarize_calibration(*accumulate(random_batches(), num_bins))
    assert result['expected_calibration_error'] == pytest.approx(slow_ece(confidences[valid], correct[valid], num_bins))
    assert result['bin_counts'].sum() == valid.sum()


def test_bins_hold_their_upper_bound():
    counts, _, _ = accumulate(
        [(np.array([[[0.5, 0.50001, 1.0, 1e-30]]], np.float32), np.ones((1, 1, 4), bool), np.ones((1, 1, 4), bool))],
        num_bins=2,
    )
    np.testing.assert_array_equal(counts, [2, 2])


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not():
    ones, yes = np.ones((1, 2, 2), np.float32), np.ones((1, 2, 2), bool)
    assert calibration.expected_calibration_error(*accumulate([(ones, yes, yes)])) == 0.0
    assert calibration.expected_calibration_error(*accumulate([(ones, ~yes, yes)])) == 1.0


def test_bins_report_accuracy_and_confidence():
    confidences = np.array([[[0.9, 0.95, 0.3]]], np.float32)
    result = calibration.summarize_calibration(
        *accumulate([(confidences, np.array([[[True, False, True]]]), np.ones((1, 1, 3), bool))], num_bins=2)
    )
    np.testing.assert_allclose(result['bin_accuracy'], [1.0, 0.5])
    np.testing.assert_allclose(result['bin_confidence'], [0.3, 0.925], rtol=1e-6)


def test_no_pixels_have_no_calibration_error():
    result = calibration.summarize_calibration(*accumulate([]))
    assert np.isnan(result['expected_calibration_error']) and np.isnan(result['bin_accuracy']).all()


def test_mean_confidence_of_each_image():
    with tf.Graph().as_default() as graph:
        places = [tf.placeholder(dtype, [None] * 3) for dtype in (tf.float32, tf.bool, tf.bool)]
        means = build_calibration(*places).image_confidences
    confidences, correct, valid = list(random_batches())[1]
    valid[2] = False
    with tf.Session(graph=graph) as session:
        found = session.run(means, dict(zip(places, (confidences, correct, valid))))
    expected = [np.mean([c for c, v in zip(confidences[i].ravel(), valid[i].ravel()) if v]) for i in (0, 1)]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-6)
    assert np.isnan(found[2])
