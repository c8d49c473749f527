"""The part of the graph that scores: behind the logits of a network, or behind soft-max fed from outside.

Letters: N images, H height and W width of the ground truth, C classes.
"""

from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from fcn8s.backend import tf
from fcn8s.graph.calibration import Calibration, build_calibration
from fcn8s.graph.losses import true_class_loss
from fcn8s.graph.metrics import Metrics, build_metrics
from helpers.label_spaces import LabelSpace

# Keeps the logarithm of a probability of 0 finite. Smaller numbers TensorFlow's CPU kernels flush to 0.
_SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)


class EvaluationHead(NamedTuple):
    """Tensors of the scoring part. `metrics.update` and `metrics.reset` include those of `calibration`."""

    labels: tf.Tensor  # uint8 [N, H, W] placeholder
    class_ids: tf.Tensor  # uint8 [N, H, W]
    metrics: Metrics
    calibration: Optional[Calibration]
    confidences: tf.Tensor  # float32 [N, H, W], soft-max of the predicted class
    margins: tf.Tensor  # float32 [N, H, W], the same minus that of the label's class; of no meaning where ignored

    def fetches(self, names: Any) -> Dict[str, tf.Tensor]:
        """Values of the batch by name, as `fcn8s.evaluation.one_pass.ImageStatistics` wants them: 'class_ids',
        'image_confusions', 'confidences', 'margins', and with calibration 'image_confidences'."""
        values = {'class_ids': self.class_ids, 'image_confusions': self.metrics.image_confusions}
        values.update(confidences=self.confidences, margins=self.margins)
        if self.calibration:
            values['image_confidences'] = self.calibration.image_confidences
        return {name: values[name] for name in names}


def build_evaluation_head(logits: tf.Tensor, label_space: LabelSpace, with_calibration: bool = False) -> EvaluationHead:
    """Adds the scoring part to the graph of the logits.

    The logits are interpolated to the size of the labels before a class is chosen: at the ground truth's own resolution
    class boundaries then lie between the network's pixels, which copied class IDs could not do.

    Arguments:
        logits: float [N, h, w, C] of any height and width.
        label_space: Its `ignore_id` says which pixels do not count. Ground truth of its void classes counts for the
            loss, which the network was trained on, and not for the calibration.
    """
    with logits.graph.as_default(), tf.name_scope('evaluation'):
        labels = _labels_placeholder()
        scored = _resize(logits, labels)
        return _build_head(labels, scored, tf.nn.log_softmax(scored), label_space, with_calibration)


def build_fed_head(probabilities: tf.Tensor, label_space: LabelSpace, with_calibration: bool = False) -> EvaluationHead:
    """The same for probabilities (float [N, h, w, C], adding up to 1), such as means of several predictions. These are
    what is interpolated; without that, classes are exactly those of the largest probabilities fed."""
    with probabilities.graph.as_default(), tf.name_scope('fed_evaluation'):
        labels = _labels_placeholder()
        scored = _resize(probabilities, labels)
        return _build_head(
            labels, scored, tf.log(tf.maximum(scored, _SMALLEST_PROBABILITY)), label_space, with_calibration
        )


def _labels_placeholder() -> tf.Tensor:
    return tf.placeholder(tf.uint8, [None, None, None], name='labels')


def _resize(values: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    # Half-pixel centres: the corners of both grids coincide, as they do when OpenCV resizes the image.
    return tf.raw_ops.ResizeBilinear(images=values, size=tf.shape(labels)[1:3], half_pixel_centers=True)


def _build_head(
    labels: tf.Tensor, scored: tf.Tensor, log_probabilities: tf.Tensor, label_space: LabelSpace, with_calibration: bool
) -> EvaluationHead:
    """From labels uint8 [N, H, W] and, at their size, what the class is the largest of, and log soft-max."""
    class_ids = tf.argmax(scored, axis=-1, output_type=tf.int32)
    truth = tf.cast(labels, tf.int32)
    valid = tf.not_equal(truth, label_space.ignore_id)
    pixel_losses = true_class_loss(log_probabilities, truth)
    metrics = build_metrics(truth, class_ids, pixel_losses, valid, label_space.num_classes)
    calibration = _calibration(log_probabilities, truth, class_ids, valid, label_space) if with_calibration else None
    if calibration:
        metrics = metrics._replace(
            update=tf.group(metrics.update, calibration.update), reset=tf.group(metrics.reset, calibration.reset)
        )
    confidences = tf.exp(tf.reduce_max(log_probabilities, axis=-1))
    return EvaluationHead(
        labels,
        tf.cast(class_ids, tf.uint8),
        metrics,
        calibration,
        confidences,
        confidences - tf.exp(-pixel_losses),
    )


def _calibration(
    log_probabilities: tf.Tensor, truth: tf.Tensor, class_ids: tf.Tensor, valid: tf.Tensor, label_space: LabelSpace
) -> Calibration:
    for void_class_id in label_space.void_class_ids:
        valid = valid & tf.not_equal(truth, void_class_id)
    confidences = tf.exp(tf.reduce_max(log_probabilities, axis=-1))
    return build_calibration(confidences, tf.equal(class_ids, truth), valid)
