"""The losses that have a name, against pixel-by-pixel references, their numeric gradients, and hostile batches."""

import fractions
import math

import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.graph import losses
from fcn8s.settings import LOSSES

VOID = 255
NAMES = sorted(LOSSES)
CLASS_WEIGHTS = [0.5, 3.0, 0.0, 1.25]


class Built:
    """One graph and session for a loss: calls return value, weight and gradient for logits [N, H, W, C] and labels."""

    def __init__(self, num_classes=4, dtype=tf.float32, **options):
        with tf.Graph().as_default():
            self.logits = tf.placeholder(dtype, [None, None, None, num_classes])
            self.labels = tf.placeholder(tf.uint8)
            loss = losses.build_loss(self.logits, *losses.sparse_labels(self.labels, VOID), **options)
            self.fetches = [loss.value, tf.gradients(loss.value, self.logits)[0]]
            self.fetches += [] if loss.weight is None else [loss.weight]
            self.session = tf.Session()

    def __call__(self, logits, labels):
        found = self.session.run(self.fetches, {self.logits: logits, self.labels: labels})
        return dict(zip(('value', 'gradient', 'weight'), found))


@pytest.fixture(scope='module')
def built():
    """Builds each loss once."""
    cache = {}

    def get(**options):
        key = repr(sorted(options.items()))
        if key not in cache:
            cache[key] = Built(**options)
        return cache[key]

    yield get
    for entry in cache.values():
        entry.session.close()


@pytest.fixture
def batch():
    rng = np.random.RandomState(5)
    logits = rng.normal(scale=2, size=(2, 3, 4, 4)).astype(np.float32)
    labels = rng.randint(0, 4, size=(2, 3, 4)).astype(np.uint8)
    labels[labels == 2] = 1  # a class that does not appear
    labels[rng.uniform(size=labels.shape) < 0.3] = VOID
    return logits, labels


def slow_pixels(logits, labels):
    """(probabilities, class) of each valid pixel, in float64."""
    pixels = []
    for place in np.ndindex(*labels.shape):
        if labels[place] != VOID:
            powers = [math.exp(float(z) - float(max(logits[place]))) for z in logits[place]]
            pixels.append(([power / sum(powers) for power in powers], int(labels[place])))
    return pixels


def slow_smoothed(probabilities, true_class, share):
    count = len(probabilities)
    truth = [share / count + (1 - share if c == true_class else 0) for c in range(count)]
    return -sum(t * math.log(p) for t, p in zip(truth, probabilities))


def slow_cross_entropy(pixels, weights, share=0.0):
    pairs = [(weights[c], slow_smoothed(p, c, share)) for p, c in pixels]
    return sum(w * loss for w, loss in pairs) / sum(w for w, _ in pairs), sum(w for w, _ in pairs)


def slow_ohem(pixels, weights, share=0.0):
    pairs = sorted(((weights[c], slow_smoothed(p, c, share)) for p, c in pixels), key=lambda pair: -pair[0] * pair[1])
    kept = pairs[: math.ceil(fractions.Fraction(len(pairs), 4))]
    return sum(w * loss for w, loss in kept) / sum(w for w, _ in kept), sum(w for w, _ in kept)


def slow_focal(pixels, weights):
    pairs = [(weights[c], (1 - p[c]) * (1 - p[c]) * -math.log(p[c])) for p, c in pixels]
    return sum(w * loss for w, loss in pairs) / sum(w for w, _ in pairs), sum(w for w, _ in pairs)


def slow_dice(pixels, weights):
    found = []
    for c in {c for _, c in pixels}:
        shared = sum(p[c] for p, true in pixels if true == c)
        found.append(1 - 2 * shared / (sum(p[c] ** 2 for p, _ in pixels) + sum(true == c for _, true in pixels)))
    return sum(found) / len(found), 1


def jaccard_loss(wrong, truth):
    """1 - intersection / union of a set of true pixels with the prediction that is wrong at `wrong`."""
    predicted = truth ^ wrong
    return 1 - len(truth & predicted) / len(truth | predicted)


def slow_lovasz(pixels, weights):
    """By the definition of the extension: sets that grow pixel by pixel, and the set function itself."""
    found = []
    for c in {c for _, c in pixels}:
        truth = {i for i, (_, true) in enumerate(pixels) if true == c}
        errors = [abs((i in truth) - p[c]) for i, (p, _) in enumerate(pixels)]
        wrong, total = set(), 0.0
        for i in sorted(range(len(pixels)), key=lambda i: -errors[i]):
            total += errors[i] * (jaccard_loss(wrong | {i}, truth) - jaccard_loss(wrong, truth))
            wrong.add(i)
        found.append(total)
    return sum(found) / len(found), 1


def slow_cross_entropy_and_dice(pixels, weights, share=0.0):
    return slow_cross_entropy(pixels, weights, share)[0] + slow_dice(pixels, weights)[0], 1


SLOW = {
    'cross_entropy': slow_cross_entropy,
    'ohem': slow_ohem,
    'focal': slow_focal,
    'dice': slow_dice,
    'lovasz': slow_lovasz,
    'cross_entropy+dice': slow_cross_entropy_and_dice,
}
CASES = [(name, {}) for name in NAMES]
CASES += [(name, {'class_weights': CLASS_WEIGHTS}) for name in NAMES if LOSSES[name].class_weights]
CASES += [(name, {'label_smoothing': 0.2}) for name in NAMES if LOSSES[name].label_smoothing]


def slow(name, options, logits, labels):
    weights = options.get('class_weights', [1.0] * 4)
    smoothing = [options['label_smoothing']] if 'label_smoothing' in options else []
    return SLOW[name](slow_pixels(logits, labels), weights, *smoothing)


def test_every_loss_has_its_options():
    assert set(LOSSES) == set(SLOW) == set(losses.BUILDERS)


@pytest.mark.parametrize('name, options', CASES)
def test_values_and_weights(built, batch, name, options):
    found = built(loss=name, **options)(*batch)
    value, weight = slow(name, options, *batch)
    assert found['value'] == pytest.approx(value, rel=1e-5)
    assert found['weight'] == pytest.approx(weight, rel=1e-6)


@pytest.mark.parametrize('name, options', CASES)
def test_gradients_are_the_slopes_of_the_reference(built, batch, name, options):
    logits, labels = batch
    gradient = built(loss=name, **options)(logits, labels)['gradient']
    assert np.all(gradient[labels == VOID] == 0) and np.any(gradient != 0)
    rng = np.random.RandomState(7)
    for _ in range(6):
        direction = rng.normal(size=logits.shape)
        before, after = (slow(name, options, logits + step * direction, labels)[0] for step in (-1e-6, 1e-6))
        slope = (after - before) / 2e-6
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_a_sum_of_focal_losses(built, batch):
    mean, weight = slow_focal(slow_pixels(*batch), [1.0] * 4)
    found = built(loss='focal', normalize='sum')(*batch)
    assert found['value'] == pytest.approx(mean * weight, rel=1e-5) and 'weight' not in found


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('extreme', [np.inf, np.nan, -3e38])
def test_ignored_pixels_change_nothing(built, batch, name, extreme):
    logits, labels = batch
    poisoned = logits.copy()
    poisoned[labels == VOID] = extreme
    clean, found = built(loss=name)(logits, labels), built(loss=name)(poisoned, labels)
    assert found['value'] == pytest.approx(clean['value'], rel=1e-6) and found['weight'] == clean['weight']
    np.testing.assert_allclose(found['gradient'], clean['gradient'], rtol=1e-5, atol=1e-8)
    assert np.all(found['gradient'][labels == VOID] == 0)


@pytest.mark.parametrize('name, options', CASES)
@pytest.mark.parametrize('offset', [-1000, 70, 1000])
def test_large_logits_have_the_losses_of_small_ones(built, batch, name, options, offset):
    """Some pixels alone: exponentials of their logits are 0 or infinite in float32."""
    logits, labels = batch
    moved = logits.copy()
    moved[:, :, ::2] += offset
    clean, found = built(loss=name, **options)(logits, labels), built(loss=name, **options)(moved, labels)
    assert found['value'] == pytest.approx(clean['value'], rel=1e-4) and found['weight'] == clean['weight']
    np.testing.assert_allclose(found['gradient'], clean['gradient'], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_more_ignored_pixels_change_nothing(built, batch, name):
    """Also where they outnumber the valid ones: no share, mean or order is of all pixels."""
    logits, labels = batch
    padded = [np.concatenate([array] * 4, axis=1) for array in (logits, labels)]
    padded[1][:, labels.shape[1] :] = VOID
    clean, found = built(loss=name)(logits, labels), built(loss=name)(*padded)
    assert found['value'] == pytest.approx(clean['value'], rel=1e-6) and found['weight'] == clean['weight']
    np.testing.assert_allclose(found['gradient'][:, : labels.shape[1]], clean['gradient'], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize('name', NAMES)
def test_without_a_valid_pixel_zero_and_no_gradient(built, batch, name):
    found = built(loss=name)(batch[0], np.full_like(batch[1], VOID))
    assert found['value'] == 0 and found['weight'] == 0 and np.all(found['gradient'] == 0)


@pytest.mark.parametrize('name', NAMES)
def test_one_valid_pixel(built, batch, name):
    logits, labels = batch[0], np.full_like(batch[1], VOID)
    labels[1, 2, 3] = 3
    found = built(loss=name)(logits, labels)
    assert found['value'] == pytest.approx(slow(name, {}, logits, labels)[0], rel=1e-5)
    assert np.flatnonzero(np.any(found['gradient'] != 0, axis=-1)).tolist() == [23]


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('sign', [1, -1])
def test_certain_networks_have_finite_losses_and_gradients(built, batch, name, sign):
    """All right, or all wrong, with probabilities that round to 1 and 0."""
    labels = batch[1]
    logits = np.zeros_like(batch[0])
    for place in np.ndindex(*labels.shape):
        if labels[place] != VOID:
            logits[place + (labels[place],)] = sign * 200
    found = built(loss=name)(logits, labels)
    assert np.all(np.isfinite(found['gradient']))
    assert found['value'] == pytest.approx(0, abs=1e-6) if sign == 1 else 0.5 < found['value'] < 1000


@pytest.mark.parametrize('name', NAMES)
def test_bfloat16_logits(built, batch, name):
    logits, labels = batch
    narrow = logits.astype(tf.bfloat16.as_numpy_dtype)
    found = built(loss=name, dtype=tf.bfloat16)(narrow, labels)
    assert found['value'].dtype == np.float32
    assert found['value'] == pytest.approx(slow(name, {}, narrow.astype(np.float32), labels)[0], rel=1e-5)
    assert np.all(np.isfinite(found['gradient'].astype(np.float32)))


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('place', [(0, 0, 0), (-1, -1, -1)])
def test_what_is_not_finite_at_a_valid_pixel_is_not_hidden(built, batch, name, place):
    logits, labels = batch
    logits[place], labels[place] = np.nan, 1
    assert np.isnan(built(loss=name)(logits, labels)['value'])


@pytest.mark.parametrize('name', ['cross_entropy', 'focal'])
def test_batches_combine_to_the_loss_of_all(built, batch, name):
    """What accumulation and several workers add up."""
    parts = [built(loss=name)(batch[0][i : i + 1], batch[1][i : i + 1]) for i in range(2)]
    whole = built(loss=name)(*batch)
    assert whole['weight'] == sum(part['weight'] for part in parts)
    assert whole['value'] * whole['weight'] == pytest.approx(sum(p['value'] * p['weight'] for p in parts), rel=1e-5)


def test_the_mean_of_ohem_is_over_the_hardest_pixels_alone(built):
    """Eight pixels with known losses: the two hardest count."""
    probabilities = np.array([0.9, 0.2, 0.8, 0.5, 0.1, 0.7, 0.6, 0.95])
    logits = np.log(np.stack([probabilities, 1 - probabilities], axis=-1)).reshape(1, 2, 4, 2)
    found = built(loss='ohem', num_classes=2)(logits, np.zeros((1, 2, 4), np.uint8))
    assert found['value'] == pytest.approx(-(math.log(0.2) + math.log(0.1)) / 2, rel=1e-5)
    assert np.flatnonzero(np.any(found['gradient'] != 0, axis=-1)).tolist() == [1, 4] and found['weight'] == 2


@pytest.mark.parametrize(
    'loss, counted',
    [
        ('ohem:share=0.125', [4]),
        ('ohem:below=0.55', [1, 3, 4]),
        ('ohem:below=0.05', [4]),  # none is: the hardest sixteenth, rounded up
    ],
)
def test_ohem_with_a_share_or_a_bound(built, loss, counted):
    probabilities = np.array([0.9, 0.2, 0.8, 0.5, 0.1, 0.7, 0.6, 0.95])
    logits = np.log(np.stack([probabilities, 1 - probabilities], axis=-1)).reshape(1, 2, 4, 2)
    found = built(loss=loss, num_classes=2)(logits, np.zeros((1, 2, 4), np.uint8))
    assert found['value'] == pytest.approx(-np.log(probabilities[counted]).mean(), rel=1e-5)
    assert np.flatnonzero(np.any(found['gradient'] != 0, axis=-1)).tolist() == counted
    assert found['weight'] == len(counted)


@pytest.mark.parametrize('share, counted', [('0.28', 7), ('0.29', 8), ('0.04', 1), ('0.01', 1), ('1', 25)])
def test_the_share_of_ohem_is_that_of_its_decimals(built, share, counted):
    """25 x 0.28 is 7, and in floating point a little more."""
    assert counted == max(1, math.ceil(25 * fractions.Fraction(share)))
    logits = np.random.RandomState(0).normal(size=(1, 5, 5, 2))
    found = built(loss='ohem:share=' + share, num_classes=2)(logits, np.zeros((1, 5, 5), np.uint8))
    assert found['weight'] == counted


def test_ohem_below_a_bound_on_a_batch_with_weights_smoothing_and_void(built, batch):
    logits, labels = batch
    kept = [(CLASS_WEIGHTS[c], slow_smoothed(p, c, 0.2)) for p, c in slow_pixels(logits, labels) if p[c] < 0.3]
    assert 0 < len(kept) < (labels != VOID).sum()
    found = built(loss='ohem:below=0.3', class_weights=CLASS_WEIGHTS, label_smoothing=0.2)(logits, labels)
    assert found['weight'] == pytest.approx(sum(w for w, _ in kept), rel=1e-5)
    assert found['value'] == pytest.approx(sum(w * x for w, x in kept) / sum(w for w, _ in kept), rel=1e-4)
    nothing = built(loss='ohem:below=0.3')(logits, np.full_like(labels, VOID))
    assert nothing['value'] == 0 and not nothing['gradient'].any()
    logits[0, 0, 0], labels[0, 0, 0] = np.nan, 1
    assert np.isnan(built(loss='ohem:below=0.3')(logits, labels)['value'])


def test_lovasz_of_hard_predictions_is_one_minus_the_mean_iou(built):
    labels = np.array([[[0, 0, 0, 1, 1, VOID]]], np.uint8)
    predicted = np.array([[[0, 0, 1, 1, 0, 1]]])
    found = built(loss='lovasz')(200.0 * np.eye(4)[predicted], labels)
    assert found['value'] == pytest.approx(1 - (2 / 4 + 1 / 3) / 2, rel=1e-5)
