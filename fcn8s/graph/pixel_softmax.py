"""The soft-max of every pixel, computed once for a loss and its gradient; both are written out here.

With e = exp(z) and s = sum e, the soft-max is p = e / s, its cross-entropy with class c is ln s - z[c], and the
gradient of that is p - onehot(c). The largest logit is only looked for where it is needed, and sums over classes or
pixels are matrix products: this takes half the time of TensorFlow's cross-entropy, or of a Dice loss with TensorFlow's
gradients.
"""

from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import TF_VERSION, Operation, Tensor, tf

# Sums of exponentials between its inverse and this lost nothing to overflow or underflow of float32.
_LARGEST_SUM = 1e26

_CROSS_ENTROPIES, _BOTH = 'FCN8sCrossEntropies', 'FCN8sCrossEntropiesAndRegionSums'


class PixelSoftmax(NamedTuple):
    """The soft-max of P pixels in a row and C classes.

    logits: float32 [P, C]; the gradients go to these.
    class_ids: int32 [P], 0 where not valid. valid: bool [P].
    truth: float32 [P, C], 1 at the class of a valid pixel and 0 elsewhere.
    exponentials: float32 [P, C], exp(logits - r), where r is usually 0, and otherwise a number for each pixel.
    sums: float32 [P, 1], of the exponentials. log_sums: float32 [P, 1], ln sum exp(logits).
    """

    logits: Tensor
    class_ids: Tensor
    valid: Tensor
    truth: Tensor
    exponentials: Tensor
    sums: Tensor
    log_sums: Tensor


class RegionSums(NamedTuple):
    """Sums over the valid pixels, float32 [C] each: of p at the class's pixels, of p^2, and the count of its pixels."""

    shared: Tensor
    squares: Tensor
    areas: Tensor


def build_pixel_softmax(logits: Tensor, class_ids: Tensor, valid: Tensor) -> PixelSoftmax:
    """Computes the exponentials of all pixels.

    Args:
        logits: [N, H, W, C] of any float type (computed in float32).
        class_ids: int32 [N, H, W] in 0..C-1.
        valid: bool [N, H, W].
    """
    num_classes = int(logits.shape[-1])
    rows = tf.reshape(tf.cast(logits, tf.float32), [-1, num_classes])
    valid = tf.reshape(valid, [-1])
    class_ids = tf.reshape(class_ids, [-1]) * tf.cast(valid, tf.int32)
    truth = tf.one_hot(tf.where(valid, class_ids, tf.fill(tf.shape(class_ids), -1)), num_classes)
    return PixelSoftmax(rows, class_ids, valid, truth, *_exponentials(rows, valid))


def _exponentials(rows: Tensor, valid: Tensor) -> Sequence[Tensor]:
    """Exponentials, their sums, and ln sum exp(logits): finite at ignored pixels, whatever these hold."""
    plain = tf.exp(rows)
    sums = _sums_over_classes(plain)

    def below_the_largest(values: Tensor, *_: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        values = zeros_unless(valid, values)
        largest = tf.reduce_max(values, axis=1, keepdims=True)
        exponentials = tf.exp(values - largest)
        sums = _sums_over_classes(exponentials)
        return exponentials, sums, tf.log(sums) + largest

    return either(
        tf.reduce_all((sums > 1 / _LARGEST_SUM) & (sums < _LARGEST_SUM)),  # False with NaN, too
        [rows, plain, sums],
        lambda _, plain, sums: (tf.identity(plain), tf.identity(sums), tf.log(sums)),
        below_the_largest,
    )


def _sums_over_classes(rows: Tensor) -> Tensor:
    return tf.matmul(rows, tf.ones([int(rows.shape[-1]), 1]))


def cross_entropies(softmax: PixelSoftmax, label_smoothing: float = 0.0) -> Tensor:
    """Computes -ln p[class_id] of every pixel, float32 [P]; at ignored pixels it and its gradient are exactly 0.

    label_smoothing: as in `fcn8s.graph.losses.pixel_cross_entropy`.
    """
    logits, truth, valid = softmax.logits, softmax.truth, softmax.valid
    values = _cross_entropies(softmax, take_classes(logits, softmax.class_ids), label_smoothing)
    if label_smoothing:
        truth = _smoothed(truth, label_smoothing)
    with _gradients_from(_CROSS_ENTROPIES):
        return tf.identity_n([values, logits, softmax.exponentials, softmax.sums, truth, valid])[0]


def _cross_entropies(softmax: PixelSoftmax, expected: Tensor, label_smoothing: float) -> Tensor:
    """expected: float32 [P], the logits of the classes."""
    if label_smoothing:
        share = label_smoothing / int(softmax.logits.shape[-1])
        expected = (1.0 - label_smoothing) * expected + share * _sums_over_classes(softmax.logits)[:, 0]
    values = softmax.log_sums[:, 0] - expected
    zeros = tf.zeros_like(values)
    # Rounding may put the loss of sure pixels below 0. NaN is not less than 0, and stays.
    return tf.where(softmax.valid, tf.where(values < 0.0, zeros, values), zeros)


def _smoothed(truth: Tensor, label_smoothing: float) -> Tensor:
    return truth * (1.0 - label_smoothing) + label_smoothing / int(truth.shape[-1])


@tf.RegisterGradient(_CROSS_ENTROPIES)
def _gradients_of_cross_entropies(op: Operation, of_values: Tensor, *_: Tensor) -> List[Optional[Tensor]]:
    _, _, exponentials, sums, truth, valid = op.inputs
    of_values = _column_unless_ignored(of_values, valid)
    return [None, exponentials * (of_values / sums) - truth * of_values, None, None, None, None]


def _column_unless_ignored(values: Tensor, valid: Tensor) -> Tensor:
    """Values [P] as [P, 1], 0 at ignored pixels."""
    return tf.where(valid, values, tf.zeros_like(values))[:, tf.newaxis]


def region_sums(softmax: PixelSoftmax) -> RegionSums:
    """Computes the sums that losses of regions are made of."""
    return cross_entropies_and_region_sums(softmax)[1]


def cross_entropies_and_region_sums(softmax: PixelSoftmax, label_smoothing: float = 0.0) -> Tuple[Tensor, RegionSums]:
    """Computes `cross_entropies` and `region_sums` together: one after the other they take half as long again.

    label_smoothing: of the cross-entropies.
    """
    logits, truth, valid, class_ids = softmax.logits, softmax.truth, softmax.valid, softmax.class_ids
    weights = tf.cast(valid, tf.float32)[:, tf.newaxis]
    probabilities = softmax.exponentials * (weights / softmax.sums)
    squares = tf.square(probabilities)
    expected = take_classes(logits, class_ids)
    of_truth = _column_unless_ignored(tf.exp(tf.minimum(expected - softmax.log_sums[:, 0], 0.0)), valid)
    values = _cross_entropies(softmax, expected, label_smoothing)
    given = [values, _sums_over_pixels(truth, of_truth), _sums_over_pixels(squares, weights), logits]
    given += [probabilities, squares, of_truth, truth, class_ids, valid]
    given += [_smoothed(truth, label_smoothing)] if label_smoothing else []
    with _gradients_from(_BOTH):
        values, shared, square_sums = tf.identity_n(given)[:3]
    return values, RegionSums(shared, square_sums, _sums_over_pixels(truth, weights))


@tf.RegisterGradient(_BOTH)
def _gradients_of_both(
    op: Operation, of_values: Tensor, of_shared: Tensor, of_squares: Tensor, *_: Tensor
) -> List[Optional[Tensor]]:
    """With g the gradient of p, that of z is p (g - sum g p); here g = of_shared truth + 2 of_squares p."""
    probabilities, squares, of_truth, truth, class_ids, valid = op.inputs[4:10]
    of_values = _column_unless_ignored(of_values, valid)
    doubled = 2.0 * of_squares
    at_truth = of_truth * tf.gather(of_shared, class_ids)[:, tf.newaxis]
    inner = tf.matmul(squares, doubled[:, tf.newaxis]) + at_truth
    parts = [tf.matmul(squares, tf.diag(doubled)), probabilities * (of_values - inner)]
    smoothed = op.inputs[10:]
    if len(smoothed):
        parts += [truth * at_truth, -of_values * smoothed[0]]
    else:
        parts += [truth * (at_truth - of_values)]
    return [None, None, None, tf.add_n(parts)] + [None] * (len(op.inputs) - 4)


def _gradients_from(name: str) -> Any:
    """A context in which IdentityN has the gradient of this name: that of one input, computed from the others."""
    return tf.get_default_graph().gradient_override_map({'IdentityN': name})


def _sums_over_pixels(rows: Tensor, weights: Tensor) -> Tensor:
    """The sums [C] of the rows [P, C], times weights [P, 1]."""
    return tf.matmul(rows, weights, transpose_a=True)[:, 0]


def zeros_unless(valid: Tensor, rows: Tensor) -> Tensor:
    """Replaces the rows [P, C] by constant zeros where `valid` [P] is False: no value and no gradient passes there."""
    # Whole rows are selected: selecting with a condition that is broadcast takes several times as long.
    return tf.raw_ops.Select(condition=valid, x=rows, y=tf.zeros_like(rows))


def take_classes(rows: Tensor, class_ids: Tensor) -> Tensor:
    """Takes from each of the rows [P, C] the value of its class, [P]; on CPUs a class outside of 0..C-1 is an error."""
    if TF_VERSION >= (2, 0):
        return tf.raw_ops.GatherV2(params=rows, indices=class_ids, axis=1, batch_dims=1)
    # TensorFlow 1 has no such op on CPUs. Eight images of 1024x2048 and 150 classes have more values than int32 counts.
    num_classes = int(rows.shape[-1])
    places = tf.range(tf.size(class_ids, out_type=tf.int64)) * num_classes + tf.cast(class_ids, tf.int64)
    is_class = (class_ids >= 0) & (class_ids < num_classes)
    return tf.gather(tf.reshape(rows, [-1]), tf.where(is_class, places, tf.fill(tf.shape(places), np.int64(-1))))


def either(
    condition: Tensor, values: Sequence[Tensor], if_met: Callable[..., Sequence], if_not: Callable[..., Sequence]
) -> Sequence[Tensor]:
    """Computes the tensors `if_met(*values)` or `if_not(*values)`; only one of the two is run. condition: bool scalar.

    tf.cond would make functions in TensorFlow 2, and the code that cuts and rewrites graphs does not look into those.
    """
    unmet, met = zip(*[tf.raw_ops.Switch(data=each, pred=condition) for each in values])
    return [tf.raw_ops.Merge(inputs=list(pair))[0] for pair in zip(if_not(*unmet), if_met(*met))]
