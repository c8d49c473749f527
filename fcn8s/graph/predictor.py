"""The predictor: soft-max and class IDs from logits."""

from typing import Any, NamedTuple

from fcn8s.backend import tf


class PredictorTensors(NamedTuple):
    """probabilities: float32 [N, H, W, C]; argmax: int64 [N, H, W]; class_ids: the same as uint8."""

    probabilities: Any
    argmax: Any
    class_ids: Any


def build_predictor(logits: Any) -> PredictorTensors:
    """Adds the prediction tensors, under the scope `predictor`. The soft-max costs nothing where only IDs are
    fetched.
    """
    with tf.name_scope('predictor/'):
        argmax = tf.argmax(logits, axis=-1, output_type=tf.int64, name='predictions_argmax')
        return PredictorTensors(
            tf.nn.softmax(logits, name='softmax_output'), argmax, tf.cast(argmax, tf.uint8, name='class_ids')
        )
