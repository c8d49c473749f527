"""Does a confidence of 80 % mean that 80 % are right? Expected calibration error (Guo, Pleiss, Sun, Weinberger, "On
Calibration of Modern Neural Networks", ICML 2017, section 2), accumulated in the graph.

Letters: N images, H height, W width, B bins.
"""

from typing import List, NamedTuple

from fcn8s.backend import tf

NUM_BINS = 15


class Calibration(NamedTuple):
    """Tensors and ops of the running totals per bin; bin b holds the confidences in (b / B, (b + 1) / B]."""

    counts: tf.Tensor  # int64 [B]
    correct: tf.Tensor  # int64 [B]
    confidence_sums: tf.Tensor  # float64 [B]
    update: tf.Operation
    reset: tf.Operation
    variables: List[tf.Variable]
    image_confidences: tf.Tensor  # float64 [N], means over the valid pixels of each image of the batch; NaN without any


def build_calibration(
    confidences: tf.Tensor, correct: tf.Tensor, valid: tf.Tensor, num_bins: int = NUM_BINS
) -> Calibration:
    """Adds the running totals to the graph of its arguments.

    Arguments:
        confidences: float [N, H, W], the soft-max probability of the predicted class, above 0 and at most 1.
        correct: bool [N, H, W], the predicted class is the true one.
        valid: bool [N, H, W], False on pixels that do not count.
        num_bins: B >= 1.
    """
    with tf.name_scope('calibration'), tf.device('/cpu:0'):
        bins = _bins(confidences, valid, num_bins)
        batch = (
            _sum_in_bins(bins, tf.ones_like(bins, tf.int64), num_bins),
            _sum_in_bins(bins, tf.cast(correct, tf.int64), num_bins),
            _sum_in_bins(bins, tf.cast(confidences, tf.float64), num_bins),
        )
        totals = [
            tf.Variable(
                tf.zeros([num_bins], part.dtype),
                trainable=False,
                use_resource=True,
                name=name,
                collections=[tf.GraphKeys.LOCAL_VARIABLES],
            )
            for name, part in zip(('counts', 'correct', 'confidence_sums'), batch)
        ]
        update = tf.group(*[total.assign_add(part) for total, part in zip(totals, batch)], name='update')
        reset = tf.group(*[total.initializer for total in totals], name='reset')
        counts, correct_counts, confidence_sums = [total.read_value() for total in totals]
    return Calibration(counts, correct_counts, confidence_sums, update, reset, totals, _image_means(confidences, valid))


def _image_means(confidences: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    counted = tf.cast(valid, tf.float64)
    sums = tf.reduce_sum(tf.cast(confidences, tf.float64) * counted, axis=[1, 2])
    return sums / tf.reduce_sum(counted, axis=[1, 2])


def _bins(confidences: tf.Tensor, valid: tf.Tensor, num_bins: int) -> tf.Tensor:
    """int32 [N, H, W]; B, which Bincount leaves out, where a pixel does not count."""
    bins = tf.cast(tf.ceil(confidences * num_bins), tf.int32) - 1
    return tf.where(valid, tf.clip_by_value(bins, 0, num_bins - 1), tf.fill(tf.shape(bins), num_bins))


def _sum_in_bins(bins: tf.Tensor, weights: tf.Tensor, num_bins: int) -> tf.Tensor:
    return tf.raw_ops.Bincount(arr=tf.reshape(bins, [-1]), size=num_bins, weights=tf.reshape(weights, [-1]))
