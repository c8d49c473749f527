import math
import pathlib
import re

import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.graph import losses

IGNORE_ID = 255
DOCUMENT = str(pathlib.Path(__file__).parents[3] / 'docs' / 'custom_loss.md')


def run(build, *values):
    """Feeds `values` to placeholders of unknown shape and returns the fetched result of build(*placeholders)."""
    with tf.Graph().as_default():
        placeholders = [tf.placeholder(value.dtype) for value in values]
        fetches = build(*placeholders)
        with tf.Session() as session:
            return session.run(fetches, dict(zip(placeholders, values)))


def run_loss(logits, labels, **options):
    """value, weight and gradient of build_loss for logits [N, H, W, C] and sparse or one-hot labels."""

    def build(logits_input, labels_input):
        shaped = tf.reshape(logits_input, logits.shape)
        loss = losses.build_loss(shaped, *losses.sparse_labels(labels_input, IGNORE_ID), **options)
        fetches = {'value': loss.value, 'gradient': tf.gradients(loss.value, logits_input)[0]}
        if loss.weight is not None:
            fetches['weight'] = loss.weight
        return fetches

    return run(build, logits, labels)


def slow_log_softmax(logits):
    highest = max(logits)
    return [z - highest - math.log(sum(math.exp(other - highest) for other in logits)) for z in logits]


def slow_weighted_losses(logits, labels, class_weights):
    """(loss, weight) of each valid pixel; pixel by pixel, ignored ones left out."""
    pairs = []
    for pixel in np.ndindex(*labels.shape):
        class_id = int(labels[pixel])
        if class_id != IGNORE_ID:
            pairs.append((-slow_log_softmax([float(z) for z in logits[pixel]])[class_id], class_weights[class_id]))
    return pairs


@pytest.fixture
def batch():
    rng = np.random.RandomState(3)
    logits = rng.normal(scale=3, size=(2, 3, 5, 4)).astype(np.float32)
    labels = rng.randint(0, 4, size=(2, 3, 5)).astype(np.uint8)
    labels[rng.uniform(size=labels.shape) < 0.4] = IGNORE_ID
    return logits, labels


def one_hot(labels, num_classes):
    encoded = np.zeros(labels.shape + (num_classes,), np.uint8)
    for pixel in np.ndindex(*labels.shape):
        if labels[pixel] != IGNORE_ID:
            encoded[pixel + (labels[pixel],)] = 1
    return encoded


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_sparse_labels_are_the_same_from_ids_and_one_hot(batch, dtype):
    labels = batch[1]
    for form in (labels, labels[..., None], one_hot(labels, 4)):
        class_ids, valid = run(lambda given: losses.sparse_labels(given, IGNORE_ID), form.astype(dtype))
        assert class_ids.dtype == np.int32 and valid.dtype == np.bool_
        np.testing.assert_array_equal(valid, labels != IGNORE_ID)
        np.testing.assert_array_equal(class_ids, np.where(labels == IGNORE_ID, 0, labels))


def test_an_ignored_class_is_ignored_in_one_hot_labels_too():
    labels = np.array([[[0, 1, 2]]], np.uint8)
    for form in (labels, one_hot(labels, 3)):
        _, valid = run(lambda given: losses.sparse_labels(given, 2), form)
        assert valid.tolist() == [[[True, True, False]]]


@pytest.mark.parametrize('normalize', ['mean', 'sum'])
@pytest.mark.parametrize('class_weights', [None, [0.5, 3.0, 0.0, 1.25]])
@pytest.mark.parametrize('encode', [lambda labels: labels, lambda labels: one_hot(labels, 4)])
def test_cross_entropy_from_the_valid_pixels_alone(batch, normalize, class_weights, encode):
    logits, labels = batch
    result = run_loss(logits, encode(labels), normalize=normalize, class_weights=class_weights)
    pairs = slow_weighted_losses(logits, labels, class_weights or [1.0] * 4)
    total, weight = sum(loss * w for loss, w in pairs), sum(w for _, w in pairs)
    expected = total / weight if normalize == 'mean' else total
    assert result['value'] == pytest.approx(expected, rel=1e-5)
    assert result.get('weight') == (None if normalize == 'sum' else pytest.approx(weight))


def test_gradient_is_softmax_minus_one_hot_over_the_valid_pixels(batch):
    logits, labels = batch
    expected = np.zeros_like(logits)
    num_valid = int((labels != IGNORE_ID).sum())
    for pixel in np.ndindex(*labels.shape):
        if labels[pixel] != IGNORE_ID:
            expected[pixel] = np.exp(slow_log_softmax([float(z) for z in logits[pixel]]))
            expected[pixel + (labels[pixel],)] -= 1
    np.testing.assert_allclose(run_loss(logits, labels)['gradient'], expected / num_valid, atol=1e-6)
    np.testing.assert_allclose(run_loss(logits, labels, normalize='sum')['gradient'], expected, atol=1e-5)


@pytest.mark.parametrize('extreme', [np.inf, -np.inf, np.nan, 3e38])
def test_ignored_pixels_with_extreme_logits_change_nothing(batch, extreme):
    """But for rounding: exponentials that overflow anywhere are taken below the largest logit everywhere."""
    logits, labels = batch
    poisoned = logits.copy()
    poisoned[labels == IGNORE_ID] = extreme
    clean, result = run_loss(logits, labels), run_loss(poisoned, labels)
    assert result['value'] == pytest.approx(clean['value'], rel=1e-6)
    np.testing.assert_allclose(result['gradient'], clean['gradient'], rtol=1e-5, atol=1e-8)
    assert np.all(result['gradient'][labels == IGNORE_ID] == 0)


def test_other_logits_at_ignored_pixels_change_no_bit(batch):
    logits, labels = batch
    other = np.where(labels[..., None] == IGNORE_ID, -logits + 5, logits)
    clean, result = run_loss(logits, labels), run_loss(other, labels)
    assert result['value'] == clean['value']
    np.testing.assert_array_equal(result['gradient'], clean['gradient'])


@pytest.mark.parametrize('normalize', ['mean', 'sum'])
def test_a_batch_without_a_valid_pixel_gives_zero_and_no_gradient(batch, normalize):
    result = run_loss(batch[0], np.full_like(batch[1], IGNORE_ID), normalize=normalize)
    assert result['value'] == 0
    assert np.all(result['gradient'] == 0)
    assert result.get('weight', 0) == 0


def test_half_precision_logits_give_float32_losses(batch):
    logits, labels = batch
    value = run(
        lambda z, given: losses.pixel_cross_entropy(
            tf.reshape(z, logits.shape), *losses.sparse_labels(given, IGNORE_ID)
        ),
        logits.astype(np.float16),
        labels,
    )
    assert value.dtype == np.float32 and value.shape == labels.shape
    assert np.all(value[labels == IGNORE_ID] == 0)


def test_equal_class_weights_change_nothing_whatever_their_scale(batch):
    expected = run_loss(*batch)
    for scale in (1e-3, 50.0):
        result = run_loss(*batch, class_weights=[scale] * 4)
        assert result['value'] == pytest.approx(expected['value'], rel=1e-5)
        np.testing.assert_allclose(result['gradient'], expected['gradient'], rtol=1e-4, atol=1e-7)


def test_sum_and_mean_differ_by_the_number_of_valid_pixels(batch):
    """lr_mean = lr_sum x pixels."""
    num_valid = (batch[1] != IGNORE_ID).sum()
    of_sum, of_mean = run_loss(*batch, normalize='sum'), run_loss(*batch)
    np.testing.assert_allclose(1e-10 * of_sum['gradient'], 1e-10 * num_valid * of_mean['gradient'], rtol=1e-4)


def test_a_loss_function_gets_masked_inputs_and_counts_as_one_batch(batch):
    logits, labels = batch
    logits = np.where(labels[..., None] == IGNORE_ID, np.nan, logits).astype(np.float32)
    seen = {}

    def squared_logits(masked_logits, class_ids, valid):
        seen.update(logits=masked_logits.dtype, ids=class_ids.dtype, valid=valid.dtype)
        return tf.reduce_sum(tf.square(masked_logits))

    result = run_loss(logits, labels, loss=squared_logits)
    assert result['value'] == pytest.approx(np.nansum(np.square(logits)), rel=1e-5)
    assert result['weight'] == 1
    assert np.all(result['gradient'][labels == IGNORE_ID] == 0)
    assert seen == {'logits': tf.float32, 'ids': tf.int32, 'valid': tf.bool}


def documented_loss():
    """The function of the first Python block of docs/custom_loss.md."""
    with open(DOCUMENT, encoding='utf-8') as document:
        source = re.search(r'```python\n(.*?)```', document.read(), re.DOTALL).group(1)
    names = {}
    exec(source, names)
    return names['soft_dice_loss']


def slow_soft_dice(logits, labels):
    num_classes = logits.shape[-1]
    dice = []
    for class_id in range(num_classes):
        intersection = prediction = truth = 0.0
        for pixel in np.ndindex(*labels.shape):
            if labels[pixel] != IGNORE_ID:
                p = math.exp(slow_log_softmax([float(z) for z in logits[pixel]])[class_id])
                g = 1.0 if labels[pixel] == class_id else 0.0
                intersection, prediction, truth = intersection + p * g, prediction + p * p, truth + g
        if truth:
            dice.append(2 * intersection / (prediction + truth))
    return 1 - sum(dice) / len(dice)


def test_the_documented_soft_dice_loss(batch):
    logits, labels = batch
    labels[labels == 2] = 1  # a class that does not appear
    result = run_loss(logits, labels, loss=documented_loss())
    assert result['value'] == pytest.approx(slow_soft_dice(logits, labels), rel=1e-5)
    assert np.all(result['gradient'][labels == IGNORE_ID] == 0)
    assert np.all(np.isfinite(result['gradient'])) and np.any(result['gradient'] != 0)


def test_the_documented_soft_dice_loss_without_a_valid_pixel(batch):
    result = run_loss(batch[0], np.full_like(batch[1], IGNORE_ID), loss=documented_loss())
    assert result['value'] == 0
    assert np.all(result['gradient'] == 0)


def test_the_l2_penalty_is_half_the_squared_kernels_times_the_rate():
    kernels = [np.arange(6, dtype=np.float32).reshape(2, 3), np.full((1, 1, 2, 2), 3, np.float32)]
    penalty = run(lambda a, b: losses.l2_penalty([a, b], 0.1), *kernels)
    assert penalty == pytest.approx(0.1 * 0.5 * (55 + 36))
    assert run(lambda: losses.l2_penalty([], 0.1)) == 0


@pytest.mark.parametrize(
    'options, message',
    [
        (
            {'loss': 'hinge'},
            "loss is 'hinge'; it has to be 'cross_entropy', 'ohem', 'focal', 'dice', 'lovasz', 'cross_entropy+dice' or a function",
        ),
        ({'normalize': 'median'}, "normalize is 'median'; it has to be one of mean, sum"),
        ({'class_weights': [1, 2, 3]}, 'class_weights has the shape (3,); it has to hold one weight for each of the 4'),
        ({'class_weights': [1, 2, 3, -1]}, 'weights have to be finite, at least 0'),
        ({'class_weights': [1, 2, 3, float('nan')]}, 'weights have to be finite, at least 0'),
        ({'class_weights': [0, 0, 0, 0]}, 'not all 0'),
        ({'loss': lambda *_: tf.zeros([2])}, 'returned float32 of shape (2,); it has to return one float scalar'),
        ({'loss': lambda *_: tf.constant(1)}, 'returned int32 of shape ()'),
        ({'loss': lambda *_: tf.zeros([]), 'normalize': 'sum'}, 'belong to losses that have a name'),
        ({'loss': lambda *_: tf.zeros([]), 'class_weights': [1, 1, 1, 1]}, 'Leave class_weights out'),
        ({'loss': lambda *_: tf.zeros([]), 'label_smoothing': 0.1}, 'Leave label_smoothing out'),
        ({'loss': ['dice']}, "loss is ['dice']"),
        (
            {'loss': 'ohem:share=1.5'},
            "loss is 'ohem:share=1.5'; the share of the pixels that counts: it has to be a number",
        ),
        ({'loss': 'ohem:below=1'}, 'above 0 and below 1, such as ohem:below=0.7'),
        ({'loss': 'ohem:below=x'}, 'such as ohem:below=0.7'),
        ({'loss': 'ohem:gamma=2'}, "loss is 'ohem:gamma=2'; it has to be 'cross_entropy'"),
        ({'label_smoothing': 1.0}, 'label_smoothing is 1.0; it has to be a number from 0 up to but not including 1'),
        ({'label_smoothing': -0.1}, 'label_smoothing is -0.1'),
        ({'label_smoothing': float('nan')}, 'label_smoothing is nan'),
        ({'label_smoothing': '0.1'}, "label_smoothing is '0.1'"),
        (
            {'loss': 'dice', 'class_weights': [1, 1, 1, 1]},
            "class_weights has no meaning for loss='dice'. Leave it out, or take the loss 'cross_entropy' or 'ohem' or",
        ),
        ({'loss': 'lovasz', 'normalize': 'sum'}, "normalize='sum' has no meaning for loss='lovasz'"),
        ({'loss': 'ohem', 'normalize': 'sum'}, "take the loss 'cross_entropy' or 'focal'"),
        ({'loss': 'focal', 'label_smoothing': 0.1}, "label_smoothing has no meaning for loss='focal'"),
    ],
)
def test_refusals(batch, options, message):
    with pytest.raises(ValueError) as error:
        run_loss(*batch, **options)
    assert message in str(error.value)


def test_a_label_outside_the_classes_is_an_error_not_a_loss(batch):
    logits, labels = batch
    labels[0, 0, 0] = 4
    with pytest.raises(tf.errors.InvalidArgumentError):
        run_loss(logits, labels)
