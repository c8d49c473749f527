"""From logits to classes, and from classes to scores: the only place where a graph counts predictions.

Training's evaluation and `fcn8s evaluate` both score here, so that one number has one meaning: logits are interpolated
to the size of the ground truth, the class is the largest, and nothing but integers and float64 sums leaves the graph.
The calibration error is that of Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017,
section 2).

Letters: N images, H and W height and width of the ground truth, C classes, B bins of confidence.
"""

from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.backend import Tensor, tf
from fcn8s.confidence import NUM_BINS, SMALLEST_PROBABILITY
from fcn8s.graph.pixel_softmax import either, take_classes
from helpers.label_spaces import LabelSpace

# Confidences are added up in units of 2^-31: an int64 holds the sum of 2^32 pixels of confidence 1.
_CONFIDENCE_UNITS = 2.0**31
# While the largest logits stay within this, sums of exponentials neither overflow nor underflow in float32.
_LARGE_LOGIT = 60.0
# About this many pixels of a large image are enough to fit a temperature, which is a single number.
_SAMPLED_PIXELS = 2.0**12


class PredictorTensors(NamedTuple):
    """probabilities: float32 [N, H, W, C]; argmax: int64 [N, H, W]; class_ids: the same as uint8."""

    probabilities: Tensor
    argmax: Tensor
    class_ids: Tensor


def build_predictor(logits: Tensor) -> PredictorTensors:
    """Adds the prediction tensors, under the scope `predictor`. Soft-max costs nothing where only IDs are fetched."""
    with tf.name_scope('predictor/'):
        argmax = tf.argmax(logits, axis=-1, output_type=tf.int64, name='predictions_argmax')
        return PredictorTensors(
            tf.nn.softmax(logits, name='softmax_output'), argmax, tf.cast(argmax, tf.uint8, name='class_ids')
        )


class Totals(NamedTuple):
    """What the batch being run adds to the totals of an evaluation. The totals themselves are added up outside of the
    graph, in the order of the batches, so that several batches may run at once.
    """

    confusion_matrix: Tensor  # int64 [C, C], rows are ground truth
    loss_sum: Tensor  # float64 [], sum of the loss over the valid pixels
    num_valid: Tensor  # int64 [], valid pixels
    image_confusions: Tensor  # int64 [N, C, C], of each image


class Calibration(NamedTuple):
    """What the batch adds to each bin of confidence; bin b holds the confidences in (b / B, (b + 1) / B]."""

    counts: Tensor  # int64 [B]
    correct: Tensor  # int64 [B]
    confidence_sums: Tensor  # float64 [B]; all NaN if the confidence of a pixel that counts is NaN
    image_confidences: Tensor  # float64 [N], means over the valid pixels of each image of the batch; NaN without any


class SampledPixels(NamedTuple):
    """The pixels to fit a temperature to: those on a grid over the batch's images that count for the calibration."""

    logits: Tensor  # float32 [P, C], up to an additive constant for each pixel; before any temperature
    truth: Tensor  # int32 [P]
    class_ids: Tensor  # int32 [P]


class Scoring(NamedTuple):
    """Tensors of the scoring part."""

    labels: Tensor  # uint8 [N, H, W] placeholder
    class_ids: Tensor  # uint8 [N, H, W]
    totals: Totals
    calibration: Optional[Calibration]
    confidences: Tensor  # float32 [N, H, W], soft-max of the predicted class
    surprises: Tensor  # float32 [N, H, W], -ln of the soft-max of the label's class; meaningless where ignored
    sampled_pixels: Optional[SampledPixels] = None

    def fetches(self, names: Iterable[str]) -> Dict[str, Any]:
        """Returns values of the batch by name, as `fcn8s.evaluation.one_pass.ImageStatistics` takes them: 'class_ids',
        'image_confusions', 'confidences', 'surprises', 'loss_sum' (of the batch), and with calibration
        'image_confidences', 'calibration' (the three sums of the batch) and 'sampled_pixels'."""
        values: Dict[str, Any] = {'class_ids': self.class_ids, 'image_confusions': self.totals.image_confusions}
        values.update(confidences=self.confidences, surprises=self.surprises, loss_sum=self.totals.loss_sum)
        if self.calibration:
            values.update(image_confidences=self.calibration.image_confidences, calibration=self.calibration[:3])
            values.update(sampled_pixels=self.sampled_pixels)
        return {name: values[name] for name in names}


def attach_scoring(
    logits: Tensor, label_space: LabelSpace, with_calibration: bool = False, temperature: float = 1.0
) -> Scoring:
    """Adds the scoring part, with a placeholder for the labels, to the graph of the logits.

    Args:
        logits: float [N, h, w, C] of any height and width.
        label_space: Its `ignore_id` says which pixels do not count. Ground truth of its void classes counts for the
            loss, which the network was trained on, but not for the calibration.
        temperature: T of the soft-max, for losses and confidences; it does not change the classes.
    """
    with logits.graph.as_default(), tf.name_scope('evaluation'):
        labels, truth, valid = _labels_placeholder(label_space)
        pixels = _pixels_of_logits(_resize(logits, truth), truth, temperature)
        return _score(pixels, labels, truth, valid, label_space, with_calibration)


def attach_scoring_of_probabilities(
    probabilities: Tensor, label_space: LabelSpace, with_calibration: bool, temperature: float
) -> Scoring:
    """Adds the scoring part behind probabilities (float [N, h, w, C], adding up to 1), such as means of predictions.

    The probabilities are interpolated; where sizes agree, classes are exactly those of the largest probabilities fed. A
    temperature divides their logarithms.
    """
    with probabilities.graph.as_default(), tf.name_scope('fed_evaluation'):
        labels, truth, valid = _labels_placeholder(label_space)
        scored = _resize(probabilities, truth)
        largest, class_ids = tf.nn.top_k(scored, 1)
        losses = -tf.log(tf.maximum(_of_classes(scored, truth), SMALLEST_PROBABILITY))
        pixels = _Pixels(class_ids[..., 0], losses, largest[..., 0], scored)
        if temperature != 1:
            scaled = _pixels_of_logits(_logarithm(scored), truth, temperature)
            pixels = pixels._replace(losses=scaled.losses, confidences=scaled.confidences)
        scoring = _score(pixels, labels, truth, valid, label_space, with_calibration)
        sampled = scoring.sampled_pixels
        if sampled is None:
            return scoring
        return scoring._replace(sampled_pixels=sampled._replace(logits=_logarithm(sampled.logits)))


def _logarithm(probabilities: Tensor) -> Tensor:
    return tf.log(tf.maximum(probabilities, SMALLEST_PROBABILITY))


def score_logits(
    logits: Tensor,
    labels: Tensor,
    truth: Tensor,
    valid: Tensor,
    label_space: LabelSpace,
) -> Scoring:
    """Adds the scoring part behind logits, for ground truth that is in the graph already.

    Where the sizes differ, the logits are interpolated to the size of the ground truth before a class is chosen: class
    boundaries can then lie between the network's pixels, which they could not if class IDs were copied.

    Args:
        logits: float [N, h, w, C] of any height and width.
        labels: the tensor that the labels are fed to, in any form.
        truth: int32 [N, H, W], class IDs. valid: bool [N, H, W], False on pixels that count nowhere.
    """
    pixels = _pixels_of_logits(_resize(logits, truth), truth)
    return _score(pixels, labels, truth, valid, label_space, with_calibration=False)


class _Pixels(NamedTuple):
    """What is scored at each pixel, [N, H, W]; C classes.

    class_ids: int32, the predicted classes. losses: float, -ln of the soft-max of the true class. confidences: float,
    the soft-max of the predicted class. values: float [N, H, W, C], the logits or probabilities that these were
    computed from, before any temperature.
    """

    class_ids: Tensor
    losses: Tensor
    confidences: Tensor
    values: Tensor


def _pixels_of_logits(logits: Tensor, truth: Tensor, temperature: float = 1.0) -> _Pixels:
    """Scores pixels without a log soft-max of all classes, which takes as long as a small network's prediction.

    -ln softmax(z)[c] is ln sum exp(z - r) + r - z[c] for any r: r = 0 costs least, and the largest logit m suits any z.
    The largest soft-max is exp(m - r) / sum exp(z - r). `top_k` finds m and its class together, faster than `argmax`
    alone; of equal logits it takes the first, as `argmax` does.
    """
    values = logits
    largest, class_ids = tf.nn.top_k(logits, 1)
    if temperature != 1:
        logits, largest = logits / temperature, largest / temperature
    is_plain = tf.reduce_all(tf.abs(largest) < _LARGE_LOGIT)  # False with NaN, too
    (sums,) = either(
        is_plain,
        [logits],
        lambda z: [tf.reduce_sum(tf.exp(z), axis=-1)],
        lambda z: [tf.reduce_sum(tf.exp(z - largest), axis=-1)],
    )
    largest = largest[..., 0]
    reference = largest * tf.cast(tf.logical_not(is_plain), tf.float32)
    losses = tf.log(sums) + (reference - _of_classes(logits, truth))
    return _Pixels(class_ids[..., 0], losses, tf.exp(largest - reference) / sums, values)


def _of_classes(values: Tensor, class_ids: Tensor) -> Tensor:
    """The value of each pixel's class, float [N, H, W], out of [N, H, W, C]; any value where the ID is no class."""
    num_classes = int(values.shape[-1])
    class_ids = tf.minimum(class_ids, num_classes - 1)
    taken = take_classes(tf.reshape(values, [-1, num_classes]), tf.reshape(class_ids, [-1]))
    return tf.reshape(taken, tf.shape(class_ids))


def _labels_placeholder(label_space: LabelSpace) -> Tuple[Tensor, Tensor, Tensor]:
    """The placeholder uint8 [N, H, W], its class IDs as int32, and a mask of the pixels that count."""
    labels = tf.placeholder(tf.uint8, [None, None, None], name='labels')
    truth = tf.cast(labels, tf.int32)
    return labels, truth, tf.not_equal(truth, label_space.ignore_id)


def _resize(values: Tensor, truth: Tensor) -> Tensor:
    """float32 [N, h, w, C] -> [N, H, W, C], interpolated; unchanged where the sizes agree."""
    values, size = tf.cast(values, tf.float32), tf.shape(truth)[1:3]
    (resized,) = either(
        tf.reduce_all(tf.equal(tf.shape(values)[1:3], size)),
        [values],
        lambda same: [tf.identity(same)],
        # Half-pixel centres: the corners of both grids coincide, as when OpenCV resizes the image.
        lambda others: [tf.raw_ops.ResizeBilinear(images=others, size=size, half_pixel_centers=True)],
    )
    resized.set_shape([values.shape[0], None, None, values.shape[-1]])
    return resized


def _score(
    pixels: _Pixels,
    labels: Tensor,
    truth: Tensor,
    valid: Tensor,
    label_space: LabelSpace,
    with_calibration: bool,
) -> Scoring:
    class_ids, pixel_losses, confidences, values = pixels
    totals = build_totals(truth, class_ids, pixel_losses, valid, label_space.num_classes)
    calibration = sampled = None
    if with_calibration:
        counted = valid & _is_none_of(truth, label_space.void_class_ids)
        calibration = build_calibration(confidences, tf.equal(class_ids, truth), counted)
        sampled = _sample_pixels(values, truth, class_ids, counted)
    return Scoring(labels, tf.cast(class_ids, tf.uint8), totals, calibration, confidences, pixel_losses, sampled)


def _sample_pixels(values: Tensor, truth: Tensor, class_ids: Tensor, counted: Tensor) -> SampledPixels:
    area = tf.cast(tf.size(truth) / tf.maximum(tf.shape(truth)[0], 1), tf.float32)
    # The network's strides are powers of 2, so an odd step meets all phases of their grids.
    step = 1 + 2 * (tf.cast(tf.sqrt(area / _SAMPLED_PIXELS), tf.int32) // 2)
    is_taken = counted[:, ::step, ::step]
    is_taken.set_shape([None, None, None])
    return SampledPixels(*[tf.boolean_mask(each[:, ::step, ::step], is_taken) for each in (values, truth, class_ids)])


def _is_none_of(truth: Tensor, class_ids: Iterable[int]) -> Tensor:
    is_other = tf.ones_like(truth, tf.bool)
    for class_id in class_ids:
        is_other = is_other & tf.not_equal(truth, class_id)
    return is_other


def build_totals(labels: Tensor, class_ids: Tensor, pixel_losses: Tensor, valid: Tensor, num_classes: int) -> Totals:
    """Adds the tensors of a batch's totals to the graph of the arguments.

    Args:
        labels: Ground truth [N, H, W], integers from 0.
        class_ids: Prediction [N, H, W], integers from 0 to C - 1.
        pixel_losses: Loss per pixel, float [N, H, W]; its values on pixels that are not valid do not matter.
        valid: bool [N, H, W], False on pixels that count nowhere. A valid pixel whose label is no class counts in
            `num_valid` but not in the matrix; `fcn8s.evaluation.scores.summarize` refuses totals that disagree.
    """
    # On the CPU: TensorFlow has no GPU kernel that counts in int64, and only one ID per pixel has to be moved.
    with tf.name_scope('metrics'), tf.device('/cpu:0'):
        image_confusions = _count_confusions(labels, class_ids, valid, num_classes)
        losses = tf.where(valid, pixel_losses, tf.zeros_like(pixel_losses))
        return Totals(
            tf.reduce_sum(image_confusions, axis=0),
            tf.reduce_sum(tf.cast(losses, tf.float64)),
            tf.reduce_sum(tf.cast(valid, tf.int64)),
            image_confusions,
        )


def _count_confusions(labels: Tensor, class_ids: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """Confusion matrices int64 [N, C, C] in one pass over the pixels, without one-hot and without boolean masks."""
    labels, class_ids = tf.cast(labels, tf.int32), tf.cast(class_ids, tf.int32)
    num_images = tf.shape(labels)[0]
    # Pixels that do not count, and those whose label is no class, go to a row of their own behind those of the classes.
    rows = tf.minimum(tf.where(valid, labels, tf.fill(tf.shape(labels), num_classes)), num_classes)
    first_rows = tf.reshape(tf.range(num_images) * (num_classes + 1), [-1, 1, 1])
    bins = (first_rows + rows) * num_classes + class_ids
    num_bins = num_images * (num_classes + 1) * num_classes
    counts = tf.raw_ops.Bincount(arr=tf.reshape(bins, [-1]), size=num_bins, weights=tf.constant([], tf.int64))
    return tf.reshape(counts, [num_images, num_classes + 1, num_classes])[:, :num_classes]


def build_calibration(confidences: Tensor, correct: Tensor, valid: Tensor, num_bins: int = NUM_BINS) -> Calibration:
    """Adds the tensors of a batch's calibration to the graph of the arguments.

    Args:
        confidences: float [N, H, W], the soft-max probability of the predicted class, above 0 and at most 1.
        correct: bool [N, H, W], whether the predicted class is the true one.
        valid: bool [N, H, W], False on pixels that do not count.
        num_bins: B >= 1.
    """
    with tf.name_scope('calibration'), tf.device('/cpu:0'):
        bins = _bins(confidences, valid, num_bins)
        return Calibration(
            _sum_in_bins(bins, tf.ones_like(bins, tf.int64), num_bins),
            _sum_in_bins(bins, tf.cast(correct, tf.int64), num_bins),
            _exact_sum_in_bins(bins, confidences, num_bins),
            _image_means(confidences, valid),
        )


def _image_means(confidences: Tensor, valid: Tensor) -> Tensor:
    counted = tf.where(valid, confidences, tf.zeros_like(confidences))  # 0 x NaN would be NaN
    sums = tf.reduce_sum(tf.cast(counted, tf.float64), axis=[1, 2])
    return sums / tf.reduce_sum(tf.cast(valid, tf.float64), axis=[1, 2])


def _bins(confidences: Tensor, valid: Tensor, num_bins: int) -> Tensor:
    """The bin of each pixel, int32 [N, H, W]; B, which Bincount leaves out, where the pixel does not count."""
    bins = tf.cast(tf.ceil(confidences * num_bins), tf.int32) - 1
    return tf.where(valid, tf.clip_by_value(bins, 0, num_bins - 1), tf.fill(tf.shape(bins), num_bins))


def _exact_sum_in_bins(bins: Tensor, confidences: Tensor, num_bins: int) -> Tensor:
    """float64 [B], rounded once: threads would add floats in varying order, and the last digits would vary with it.

    A confidence is at least 1 / 255, so its float32 is a whole multiple of 2^-31. NaN would become an integer that
    looks like any other, so if a confidence is NaN (a diverged network), all sums are NaN.
    """
    units = tf.cast(tf.cast(confidences, tf.float64) * _CONFIDENCE_UNITS, tf.int64)
    sums = tf.cast(_sum_in_bins(bins, units, num_bins), tf.float64) / _CONFIDENCE_UNITS
    has_nan = tf.reduce_any(tf.is_nan(confidences) & (bins < num_bins))
    return sums + tf.where_v2(has_nan, tf.constant(np.nan, tf.float64), tf.constant(0.0, tf.float64))


def _sum_in_bins(bins: Tensor, weights: Tensor, num_bins: int) -> Tensor:
    return tf.raw_ops.Bincount(arr=tf.reshape(bins, [-1]), size=num_bins, weights=tf.reshape(weights, [-1]))
