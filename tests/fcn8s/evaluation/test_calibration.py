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
        found = [session.run(tuple(totals[:3]), dict(zip(places, batch))) for batch in batches]
    return [np.sum(parts, axis=0) for parts in zip(*found)] if found else list(np.zeros((3, num_bins)))


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


def slow_softmax(logits, temperature):
    powers = np.exp(logits.astype(np.float64) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def made_up_pixels(num_pixels, scale, seed):
    """Logits that are `scale` times too large for classes that are drawn from their soft-max."""
    rng = np.random.RandomState(seed)
    logits = rng.normal(0, 2, size=(num_pixels, 3))
    drawn = [rng.choice(3, p=probabilities) for probabilities in slow_softmax(logits, 1)]
    logits = (scale * logits).astype(np.float32)
    return logits, np.array(drawn, np.int32), logits.argmax(axis=-1).astype(np.int32)


def slow_loss(pixels, temperature):
    logits, truth, _ = pixels
    return -np.mean([np.log(row[c]) for row, c in zip(slow_softmax(logits, temperature), truth)])


def slow_best(pixels):
    losses = [slow_loss(pixels, temperature) for temperature in calibration.TEMPERATURES]
    return calibration.TEMPERATURES[int(np.argmin(losses))]


def fit(batches):
    found = calibration.TemperatureFit(len(batches))
    for batch in batches:
        found.add(None, None, {'sampled_pixels': batch})
    return found.halves


def together(batches):
    return tuple(np.concatenate(parts) for parts in zip(*batches))


def test_temperature_is_judged_on_pixels_that_it_was_not_fitted_to():
    batches = [made_up_pixels(300, scale, number) for number, scale in enumerate((2.4, 2.0, 1.6, 1.2, 1.4))]
    halves = [together(batches[:3]), together(batches[3:])]
    result = calibration.summarize_temperature(fit(batches))
    assert result['fitted_temperature'] == slow_best(together(batches))
    best = [slow_best(half) for half in halves]
    assert best[0] > best[1] > 1  # each half has its own
    confidences, correct = [], []
    for (logits, truth, class_ids), temperature in zip(halves, best[::-1]):
        confidences += slow_softmax(logits, temperature).max(axis=-1).tolist()
        correct += (truth == class_ids).tolist()
    expected = slow_ece(confidences, correct, 15)
    assert result['cross_fitted_calibration_error'] == pytest.approx(expected, abs=1e-3)  # a pixel may change its bin


def test_sums_do_not_depend_on_who_makes_them():
    batches = [made_up_pixels(200, 2.0, number) for number in range(5)]
    parts = []
    for process in (0, 1):
        own = calibration.TemperatureFit(len(batches), process, 2)
        for batch in batches[process::2]:
            own.add(None, None, {'sampled_pixels': batch})
        parts.append(own.halves)
    for half, of_one in enumerate(fit(batches)):
        joined = parts[0][half] + parts[1][half]
        assert joined.losses == of_one.losses
        for ours, theirs in zip(joined[1:], of_one[1:]):
            np.testing.assert_array_equal(ours, theirs)


def test_what_a_temperature_cannot_be_fitted_to():
    for batches in ([], [made_up_pixels(50, 2.0, 0)]):  # one image has no other half
        assert all(np.isnan(value) for value in calibration.summarize_temperature(fit(batches)).values())
    lost = np.full((4, 3), np.nan, np.float32)
    lost[1:, 0] = np.inf, -np.inf, 1.0
    nothing = np.zeros(4, np.int32)
    result = calibration.summarize_temperature(fit([(lost, nothing, nothing)] * 2))
    assert result['fitted_temperature'] in calibration.TEMPERATURES


def test_temperatures_that_are_tried():
    assert 1.0 in calibration.TEMPERATURES
    shown = [calibration.shown_temperature(temperature) for temperature in (0.5, 1.2, 4.98)]
    assert shown == ['0.50 or less', '1.20', '4.98 or more']
    assert (calibration.TEMPERATURES[0], calibration.TEMPERATURES[-1]) == (0.5, 4.98)
