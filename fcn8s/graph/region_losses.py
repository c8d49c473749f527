"""Losses of a batch that count regions and not pixels: soft Dice and the Lovasz extension of the Jaccard index.

Both are the mean over the classes that appear among the valid pixels of the batch: each class has the same weight,
however few pixels it has. A class that does not appear has the worst score whatever the network predicts, so it is left
out. Without a valid pixel no class appears: the loss is 0, and so are its gradients.
"""

from typing import Tuple

from fcn8s.backend import tf
from fcn8s.graph.pixel_softmax import RegionSums


def dice_loss(sums: RegionSums) -> tf.Tensor:
    """Computes 1 - D, the mean over the classes that appear, with D = 2 sum(p g) / (sum(p^2) + sum(g^2)).

    p is the probability of the class, g is 1 at its pixels and 0 elsewhere; sums go over the valid pixels of the batch.
    Source: Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, section 3.

    Returns:
        float32 scalar, from 0 to 1.
    """
    dice = tf.div_no_nan(2.0 * sums.shared, sums.squares + sums.areas)
    return _mean_over_present(1.0 - dice, sums.areas)


def lovasz_loss(logits: tf.Tensor, class_ids: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Computes the Lovasz-Softmax loss: the mean of the extended Jaccard loss over the classes that appear.

    The error of a pixel for a class is 1 - p at the pixels of the class and p elsewhere. With the errors in falling
    order, the loss of the class is the sum of each error times what its pixel, counted as wrong after those before it,
    adds to the Jaccard loss 1 - intersection / union. Source: Berman, Rannen Triki, Blaschko, "The Lovasz-Softmax
    loss", CVPR 2018. All pixels of the batch are sorted for every class: this takes the time
    and several times the memory of [N, H, W, C] probabilities.

    Args:
        logits: float32 [N, H, W, C], finite at ignored pixels (`losses.mask_logits`).
        class_ids: int32 [N, H, W] in 0..C-1.
        valid: bool [N, H, W].

    Returns:
        float32 scalar, from 0.
    """
    probabilities, truth = _rows(logits, class_ids, valid)
    truth, areas = tf.transpose(truth), tf.reduce_sum(truth, axis=0)
    errors = tf.abs(truth - tf.transpose(probabilities))
    # Ignored pixels come after all others, where they do not change the increments of these.
    keys = tf.stop_gradient(errors) - tf.cast(tf.logical_not(tf.reshape(valid, [1, -1])), tf.float32)
    order = tf.nn.top_k(keys, tf.shape(keys)[1]).indices
    increments = _jaccard_increments(tf.gather(truth, order, batch_dims=1), areas)
    losses = tf.reduce_sum(tf.gather(errors, order, batch_dims=1) * increments, axis=1)
    return _mean_over_present(losses, areas)


def _jaccard_increments(truth: tf.Tensor, areas: tf.Tensor) -> tf.Tensor:
    """What each pixel, counted as wrong after those before it, adds to the Jaccard loss of its class.

    A pixel of the class takes 1 from the intersection I, and adds 1 / U to the loss. Any other pixel adds 1 to the
    union U, which becomes U', and adds I / U - I / U' = I / (U U') to the loss. Differences of the Jaccard index itself
    would be mostly rounding error.

    Args:
        truth: float32 [C, P], 1 at the pixels of the class, in the order in which they are counted.
        areas: float32 [C], the pixels of each class.
    """
    intersection = areas[:, tf.newaxis] - tf.cumsum(truth, axis=1)
    union = areas[:, tf.newaxis] + tf.cumsum(1.0 - truth, axis=1)
    outside = tf.div_no_nan(tf.div_no_nan(intersection, union), union - 1.0)
    return truth * tf.div_no_nan(1.0, union) + (1.0 - truth) * outside


def _rows(logits: tf.Tensor, class_ids: tf.Tensor, valid: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """The probabilities and the one-hot truth of all pixels, float32 [P, C] each; 0 at ignored pixels."""
    num_classes = logits.shape.as_list()[-1]
    mask = tf.cast(tf.reshape(valid, [-1, 1]), tf.float32)
    probabilities = tf.nn.softmax(tf.reshape(logits, [-1, num_classes]))
    return probabilities * mask, tf.one_hot(tf.reshape(class_ids, [-1]), num_classes) * mask


def _mean_over_present(values: tf.Tensor, areas: tf.Tensor) -> tf.Tensor:
    present = tf.cast(areas > 0, tf.float32)
    return tf.div_no_nan(tf.reduce_sum(values * present), tf.reduce_sum(present))
