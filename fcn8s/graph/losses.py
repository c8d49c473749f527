"""The training loss: labels of either form, the losses that have a name, their reduction, class weights, L2.

`normalize='mean'` divides by the (weighted) number of valid pixels; `normalize='sum'` does not, as the FCN papers do.
The gradient of the sum is the gradient of the mean times the number of valid pixels, so under SGD both take the same
steps when

    lr_mean = lr_sum x pixels

and weight decay, L2 and the norm to clip at are divided by the pixels. A paper that sums over an image of 500 x 375 =
187,500 pixels and quotes a rate of 1e-10 therefore trains at about 2e-5 with the mean over pixels. Adam divides by the
scale of the gradient, so there the two differ only through epsilon and through images with few valid pixels, which
weigh less in a sum.
"""

import functools
import math
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from fcn8s.backend import tf
from fcn8s.graph.pixel_softmax import (
    PixelSoftmax,
    build_pixel_softmax,
    cross_entropies,
    cross_entropies_and_region_sums,
    region_sums,
    zeros_unless,
)
from fcn8s.graph.region_losses import dice_loss, lovasz_loss
from fcn8s.settings import check_class_weights, check_loss, loss_name, parse_ohem

LossFunction = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# With 'ohem:below=P', the hardest share of the valid pixels that counts where fewer pixels are below P.
OHEM_LEAST_SHARE = 1 / 16
# The most that rounding adds to the product of a decimal share and a number of pixels: 25 x 0.28 is 7.000000000000001.
SHARE_ROUNDING = 1e-6
# The exponent gamma of 'focal'; the best in Lin et al., table 1b.
FOCAL_GAMMA = 2


class Loss(NamedTuple):
    """The data loss of one batch, and how batches combine when gradients are accumulated.

    value: float32 scalar; 0 (with zero gradients) when no pixel of the batch is valid.
    weight: float32 scalar, the share of this batch in a weighted mean over batches (the sum of its pixel weights), so
        that sum(weight x value) / sum(weight) over k batches is the value of one k-times larger batch. None: the
        values add up instead (`normalize='sum'`).
    """

    value: tf.Tensor
    weight: Optional[tf.Tensor]


def sparse_labels(labels: tf.Tensor, ignore_id: int) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns class IDs and validity from labels of either form; the rank may be known only when the graph runs.

    Args:
        labels: integers, [N, H, W] (or [N, H, W, 1]) class IDs, or [N, H, W, C] one-hot with C > 1.
        ignore_id: pixels of this class ID do not count. In one-hot labels a pixel of all zeros does not count either.

    Returns:
        class_ids: int32 [N, H, W], 0 where not valid (any other placeholder could fall outside the classes).
        valid: bool [N, H, W].
    """
    shape = tf.shape(labels)
    depth = tf.reduce_prod(shape[3:])  # the product of nothing is 1: class IDs are a "one-hot" of depth 1
    is_sparse = tf.equal(depth, 1)
    channels = tf.cast(tf.reshape(labels, [shape[0], shape[1], shape[2], depth]), tf.int32)
    id_of_channel = tf.range(depth) + tf.cast(is_sparse, tf.int32)
    class_ids = tf.reduce_sum(channels * id_of_channel, axis=-1)
    is_labelled = tf.logical_or(is_sparse, tf.greater(tf.reduce_sum(channels, axis=-1), 0))
    valid = tf.logical_and(is_labelled, tf.not_equal(class_ids, ignore_id))
    return class_ids * tf.cast(valid, tf.int32), valid


def mask_logits(logits: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Returns the logits in float32, replaced by constant zeros at ignored pixels.

    Multiplying a loss by zero is not enough to ignore a pixel: its logits may overflow, and 0 x inf is NaN in the loss
    and in the gradient. This replacement lets no value and no gradient of such a pixel through.
    """
    logits = tf.cast(logits, tf.float32)
    rows = tf.reshape(logits, tf.stack([-1, tf.shape(logits)[-1]]))
    masked = tf.reshape(zeros_unless(tf.reshape(valid, [-1]), rows), tf.shape(logits))
    masked.set_shape(logits.shape)
    return masked


def pixel_cross_entropy(
    logits: tf.Tensor, class_ids: tf.Tensor, valid: tf.Tensor, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Computes the soft-max cross-entropy -log softmax(logits)[class_id] of every pixel, exactly 0 at ignored pixels.

    Args:
        logits: [N, H, W, C] of any float type (computed in float32).
        class_ids: int32 [N, H, W] in 0..C-1. A valid pixel outside of that is an error on CPU and NaN on GPU.
        valid: bool [N, H, W].
        label_smoothing: this share of the truth is spread evenly over all C classes, the true one included (Szegedy et
            al., "Rethinking the Inception architecture", CVPR 2016, section 7).

    Returns:
        float32 [N, H, W].
    """
    return _pixel_cross_entropy(build_pixel_softmax(logits, class_ids, valid), valid, label_smoothing)


def _pixel_cross_entropy(softmax: PixelSoftmax, valid: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    return tf.reshape(cross_entropies(softmax, label_smoothing), tf.shape(valid))


def focal_losses(cross_entropy: tf.Tensor) -> tf.Tensor:
    """Computes -(1 - p)^2 log p of every pixel from -log p, p the probability of its class.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 4, with soft-max in place of
    sigmoid; class weights are their alpha.
    """
    # 1 - p without the rounding of p near 1.
    return tf.pow(-tf.math.expm1(-cross_entropy), FOCAL_GAMMA) * cross_entropy


def hardest_pixels(pixel_losses: tf.Tensor, weights: tf.Tensor, num_pixels: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Picks the pixels with the largest weight x loss; the other pixels are not sorted.

    Args:
        pixel_losses, weights: float32 [N, H, W]; the weight of ignored pixels is 0, and no loss is below 0.
        num_pixels: int32 scalar, from 1 to all.

    Returns:
        The losses and the weights of these pixels, float32 [num_pixels] each, in any order.
    """
    pixel_losses, weights = tf.reshape(pixel_losses, [-1]), tf.reshape(weights, [-1])
    costs = tf.stop_gradient(pixel_losses * weights)
    # NaN compares with nothing: such a pixel has to be picked, or the NaN goes unnoticed.
    costs = tf.where(tf.is_nan(costs), tf.fill(tf.shape(costs), np.float32(np.inf)), costs)
    hardest = tf.nn.top_k(costs, num_pixels, sorted=False).indices
    return tf.gather(pixel_losses, hardest), tf.gather(weights, hardest)


def pixel_weights(
    class_ids: tf.Tensor, valid: tf.Tensor, class_weights: Optional[Union[Sequence[float], np.ndarray]] = None
) -> tf.Tensor:
    """Returns float32 [N, H, W]: the weight of each pixel's class (1 without class weights), 0 at ignored pixels."""
    weights = tf.cast(valid, tf.float32)
    if class_weights is None:
        return weights
    return weights * tf.gather(tf.constant(class_weights, tf.float32), class_ids)


def reduce_loss(
    pixel_losses: tf.Tensor, valid: tf.Tensor, normalize: str = 'mean', weights: Optional[tf.Tensor] = None
) -> tf.Tensor:
    """Computes one float32 scalar from the losses of the pixels.

    The weighted mean is sum(w l) / sum(w), not sum(w l) / pixels: it is a mean of the losses whatever the scale of the
    weights, so class weights shift attention between classes without also changing the learning rate, and equal
    weights change nothing.

    Args:
        pixel_losses: float32 [N, H, W].
        valid: bool [N, H, W]; used where `weights` is None.
        normalize: 'mean', or 'sum' for sum(w l).
        weights: float32 [N, H, W], 0 at ignored pixels, from `pixel_weights`.

    Returns:
        The reduced loss. Without any valid pixel it is 0, and its gradients are 0, not NaN.
    """
    check_loss('cross_entropy', normalize)
    weights = tf.cast(valid, tf.float32) if weights is None else weights
    weighted_sum = tf.reduce_sum(weights * pixel_losses)
    if normalize == 'sum':
        return weighted_sum
    return tf.div_no_nan(weighted_sum, tf.reduce_sum(weights))


class LossInputs(NamedTuple):
    """What a named loss is built from, already checked. softmax: that of the logits; weights: from `pixel_weights`; the
    rest as in `build_loss`.
    """

    softmax: PixelSoftmax
    logits: tf.Tensor
    class_ids: tf.Tensor
    valid: tf.Tensor
    weights: tf.Tensor
    normalize: str
    label_smoothing: float
    loss: str


def build_cross_entropy(given: LossInputs) -> Loss:
    """Builds the cross-entropy of pixels, reduced as asked for."""
    return _of_pixels(_pixel_cross_entropy(given.softmax, given.valid, given.label_smoothing), given)


def build_focal(given: LossInputs) -> Loss:
    """Builds the focal loss of pixels, reduced as asked for."""
    return _of_pixels(focal_losses(_pixel_cross_entropy(given.softmax, given.valid)), given)


def _of_pixels(pixel_losses: tf.Tensor, given: LossInputs) -> Loss:
    value = reduce_loss(pixel_losses, given.valid, given.normalize, given.weights)
    return Loss(value, tf.reduce_sum(given.weights) if given.normalize == 'mean' else None)


def build_ohem(given: LossInputs) -> Loss:
    """Builds online hard example mining: the mean over the hardest share of the valid pixels, rounded up; or over the
    pixels whose class has a probability below a bound, and where these are too few, over the hardest OHEM_LEAST_SHARE.

    Source: Shrivastava, Gupta, Girshick, CVPR 2016; for pixels Wu, Shen, van den Hengel, "High-performance
    semantic segmentation using very deep fully convolutional networks", 2016, who take both a bound and a least number.
    """
    rule = parse_ohem(given.loss)
    pixel_losses = _pixel_cross_entropy(given.softmax, given.valid, given.label_smoothing)
    num_valid = tf.reduce_sum(tf.cast(given.valid, tf.int32))
    share = OHEM_LEAST_SHARE if rule.share is None else rule.share
    num_hardest = tf.cast(tf.ceil(tf.cast(num_valid, tf.float64) * share - SHARE_ROUNDING), tf.int32)
    losses, weights = hardest_pixels(pixel_losses, given.weights, tf.maximum(num_hardest, 1))
    total, weight = tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
    if rule.below is not None:
        # A NaN has to count, but no comparison holds for it. Smoothing changes a loss, but not a probability.
        plain = _pixel_cross_entropy(given.softmax, given.valid) if given.label_smoothing else pixel_losses
        is_sure = tf.less_equal(tf.stop_gradient(plain), -math.log(rule.below))
        below = given.weights * tf.cast(tf.logical_and(given.valid, tf.logical_not(is_sure)), tf.float32)
        are_enough = tf.greater_equal(tf.math.count_nonzero(below, dtype=tf.int32), num_hardest)
        total = tf.where(are_enough, tf.reduce_sum(pixel_losses * below), total)
        weight = tf.where(are_enough, tf.reduce_sum(below), weight)
    return Loss(tf.div_no_nan(total, weight), weight)


def _of_regions(value: tf.Tensor, given: LossInputs) -> Loss:
    """A loss that is defined per batch: all batches with a valid pixel have equal weight."""
    return Loss(value, tf.cast(tf.reduce_any(given.valid), tf.float32))


def build_dice(given: LossInputs) -> Loss:
    """Builds `fcn8s.graph.region_losses.dice_loss` of the batch."""
    return _of_regions(dice_loss(region_sums(given.softmax)), given)


def build_lovasz(given: LossInputs) -> Loss:
    """Builds `fcn8s.graph.region_losses.lovasz_loss` of the batch."""
    return _of_regions(lovasz_loss(mask_logits(given.logits, given.valid), given.class_ids, given.valid), given)


def build_cross_entropy_and_dice(given: LossInputs) -> Loss:
    """Builds the mean cross-entropy of the batch plus its Dice loss; weights and smoothing affect the former alone.

    Source: Isensee, Jaeger, Kohl, Petersen, Maier-Hein, "nnU-Net", Nature Methods 2021, who add the two likewise.
    """
    of_pixels, sums = cross_entropies_and_region_sums(given.softmax, given.label_smoothing)
    cross_entropy = _of_pixels(tf.reshape(of_pixels, tf.shape(given.valid)), given)
    return _of_regions(cross_entropy.value + dice_loss(sums), given)


# The functions for `fcn8s.settings.LOSSES`, a table that can be read without loading TensorFlow.
BUILDERS: Dict[str, Callable[[LossInputs], Loss]] = {
    'cross_entropy': build_cross_entropy,
    'ohem': build_ohem,
    'focal': build_focal,
    'dice': build_dice,
    'lovasz': build_lovasz,
    'cross_entropy+dice': build_cross_entropy_and_dice,
}


def build_loss(
    logits: tf.Tensor,
    class_ids: tf.Tensor,
    valid: tf.Tensor,
    loss: Union[str, LossFunction] = 'cross_entropy',
    normalize: str = 'mean',
    class_weights: Optional[Sequence[float]] = None,
    label_smoothing: float = 0.0,
) -> Loss:
    """Returns the data loss of a batch: one that has a name, or a function of your own (docs/custom_loss.md has a
    table of the names and a worked example).

    Where a step takes several batches, 'cross_entropy' and 'focal' have the value of one batch that holds them all. The
    others are defined per batch, and the mean of their values is taken: for 'ohem' over the hardest pixels of each
    batch, for 'dice', 'lovasz' and 'cross_entropy+dice' over the batches that have a valid pixel.

    Args:
        logits: [N, H, W, C].
        class_ids, valid: from `sparse_labels`.
        loss: a name in `fcn8s.settings.LOSSES` ('ohem:share=S' and 'ohem:below=P' too), or a function (logits, labels,
            valid) -> float scalar. It is given float32 logits that are constant 0 at ignored pixels (so these can give
            no gradient), int32 class IDs that are 0 there, and the bool mask. Over accumulated batches the mean of its
            values is taken.
        normalize, class_weights: see `reduce_loss`; class_weights [C], at least 0.
        label_smoothing: see `pixel_cross_entropy`. The table says which losses take these three.

    Raises:
        ValueError: for an unknown loss or normalisation, weights that do not fit the classes, options that have no
            meaning for this loss, or a loss function that returns no scalar.
    """
    check_loss(loss, normalize, class_weights, label_smoothing)
    if not isinstance(loss, str):
        return _custom_loss(loss, logits, class_ids, valid)
    checked = None if class_weights is None else check_class_weights(class_weights, logits.shape.as_list()[-1])
    weights = pixel_weights(class_ids, valid, checked)
    softmax = build_pixel_softmax(logits, class_ids, valid)
    build = BUILDERS[loss_name(loss)]
    return build(LossInputs(softmax, logits, class_ids, valid, weights, normalize, label_smoothing, loss))


def _custom_loss(
    function: LossFunction,
    logits: tf.Tensor,
    class_ids: tf.Tensor,
    valid: tf.Tensor,
) -> Loss:
    variables = len(tf.global_variables())
    result = function(mask_logits(logits, valid), class_ids, valid)
    made = [variable.op.name for variable in tf.global_variables()[variables:]]
    if made:
        raise ValueError(
            'The loss function makes variables ({}), which would be neither trained nor saved. Compute the loss from '
            'logits, labels and valid alone.'.format(', '.join(made))
        )
    if result is None:
        raise ValueError('The loss function returned None; it has to return one float scalar.')
    value = tf.convert_to_tensor(result)
    if value.shape.ndims != 0 or not value.dtype.is_floating:
        raise ValueError(
            'The loss function returned {} of shape {}; it has to return one float scalar. '
            'Reduce it with tf.reduce_mean or tf.reduce_sum.'.format(value.dtype.name, value.shape)
        )
    return Loss(tf.cast(value, tf.float32), tf.ones([], tf.float32))


def describe_loss(loss: Union[str, LossFunction]) -> str:
    """Returns a name for `loss` that is the same in every process; it says what a run was trained with, as far as a
    name can.
    """
    if isinstance(loss, str):
        return loss
    if isinstance(loss, functools.partial):
        keywords = ['{}={!r}'.format(name, value) for name, value in sorted((loss.keywords or {}).items())]
        return '{}({})'.format(describe_loss(loss.func), ', '.join([repr(value) for value in loss.args] + keywords))
    return getattr(loss, '__qualname__', type(loss).__qualname__)


def l2_penalty(kernels: Sequence[tf.Variable], rate: Union[float, tf.Tensor]) -> tf.Tensor:
    """Computes rate x 1/2 sum(w^2) over all weights of `kernels`: a float32 scalar, 0 without kernels."""
    return rate * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels] or [tf.zeros([], tf.float32)])
