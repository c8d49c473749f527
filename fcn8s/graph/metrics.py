"""Totals of an evaluation, accumulated in the graph: nothing but integers and one float64 sum leaves it, at the end.

Letters: N images, H height, W width, C classes.
"""

from typing import List, NamedTuple

from fcn8s.backend import tf


class Metrics(NamedTuple):
    """Tensors and ops of the running totals. The variables are local to an evaluation: no saver writes them."""

    confusion_matrix: tf.Tensor  # int64 [C, C], rows are ground truth
    loss_sum: tf.Tensor  # float64 [], sum of the loss over the valid pixels
    num_valid: tf.Tensor  # int64 [], valid pixels so far
    update: tf.Operation  # adds one batch
    reset: tf.Operation  # sets all totals to zero, also before the first batch: it initialises them
    variables: List[tf.Variable]
    image_confusions: tf.Tensor  # int64 [N, C, C], of each image of the batch being run; needs no update


def build_metrics(
    labels: tf.Tensor, class_ids: tf.Tensor, pixel_losses: tf.Tensor, valid: tf.Tensor, num_classes: int
) -> Metrics:
    """Adds the running totals to the graph of its arguments.

    Arguments:
        labels: Integer ground truth [N, H, W].
        class_ids: Integer prediction [N, H, W].
        pixel_losses: Loss per pixel, float [N, H, W]; what it holds on pixels that are not valid does not matter.
        valid: bool [N, H, W], False on pixels that count nowhere. A valid pixel whose label is no class enters
            `num_valid` and not the matrix; `fcn8s.evaluation.scores.summarize` refuses totals that disagree.
    """
    # The totals live on the CPU: TensorFlow has no GPU kernel that counts in int64, and what moves is one ID per pixel.
    with tf.name_scope('metrics'), tf.device('/cpu:0'):
        image_confusions = _count_confusions(labels, class_ids, valid, num_classes)
        batch = (
            tf.reduce_sum(image_confusions, axis=0),
            tf.reduce_sum(tf.where(valid, tf.cast(pixel_losses, tf.float64), tf.zeros(tf.shape(valid), tf.float64))),
            tf.reduce_sum(tf.cast(valid, tf.int64)),
        )
        totals = [
            _zero_variable('confusion_matrix', [num_classes, num_classes], tf.int64),
            _zero_variable('loss_sum', [], tf.float64),
            _zero_variable('num_valid', [], tf.int64),
        ]
        update = tf.group(*[total.assign_add(part) for total, part in zip(totals, batch)], name='update')
        reset = tf.group(*[total.initializer for total in totals], name='reset')
        confusion_matrix, loss_sum, num_valid = [total.read_value() for total in totals]
    return Metrics(confusion_matrix, loss_sum, num_valid, update, reset, totals, image_confusions)


def _count_confusions(labels: tf.Tensor, class_ids: tf.Tensor, valid: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Confusion matrices int64 [N, C, C] in one pass over the pixels, without one-hot and without boolean masks."""
    labels, class_ids = tf.cast(labels, tf.int32), tf.cast(class_ids, tf.int32)
    num_images = tf.shape(labels)[0]
    num_bins = num_images * num_classes**2
    first_bins = tf.reshape(tf.range(num_images) * num_classes**2, [-1, 1, 1])
    counted = valid & _within(labels, num_classes) & _within(class_ids, num_classes)
    # Bincount leaves out values beyond its last bin: that is where pixels go that do not count.
    bins = tf.where(counted, first_bins + labels * num_classes + class_ids, tf.fill(tf.shape(labels), num_bins))
    counts = tf.raw_ops.Bincount(arr=tf.reshape(bins, [-1]), size=num_bins, weights=tf.constant([], tf.int64))
    return tf.reshape(counts, [num_images, num_classes, num_classes])


def _within(ids: tf.Tensor, num_classes: int) -> tf.Tensor:
    return (ids >= 0) & (ids < num_classes)


def _zero_variable(name: str, shape: List[int], dtype: tf.DType) -> tf.Variable:
    return tf.Variable(
        tf.zeros(shape, dtype),
        trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
        name=name,
        use_resource=True,
    )
