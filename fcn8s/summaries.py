"""TensorBoard event files: scalars, a strip of image, ground truth and prediction, and statistics of the weights."""
import math
from typing import Any, Dict, Optional, Sequence, Tuple

import cv2
import numpy as np

from fcn8s.backend import tf
from helpers.label_spaces import LabelSpace
from helpers.visualization_utils import colorize

# Event files are for looking at: a strip of three pictures stays small enough to load in a browser.
MAX_STRIP_HEIGHT = 256


class EventWriter:
    """Writes one directory of event files. A context manager.

    first_step: the step that a resumed run goes on from; TensorBoard then hides what an earlier process wrote beyond it.
    """

    def __init__(self, directory: str, graph: Optional[Any] = None, first_step: int = 0) -> None:
        # FileWriter refuses to be made where eager execution is on; inside a graph it is off in both generations.
        with tf.Graph().as_default():
            self._writer = tf.summary.FileWriter(directory, graph=graph)
        if first_step:
            self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), first_step)

    def scalars(self, step: int, values: Dict[str, float]) -> None:
        """Adds one point to each curve, tag -> value; NaN scores of absent classes are left out."""
        present = [tf.Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()
                   if math.isfinite(value)]
        self._writer.add_summary(tf.Summary(value=present), step)

    def image(self, step: int, tag: str, image: np.ndarray) -> None:
        """Adds a uint8 [H, W, 3] RGB picture."""
        height, width = image.shape[:2]
        png = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
        content = tf.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self._writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, image=content)]), step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def __enter__(self) -> 'EventWriter':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def score_scalars(scores: Dict[str, Any], prefix: str, class_names: Sequence[str]) -> Dict[str, float]:
    """The scores that are plain numbers, and the IoU of every class, as tags."""
    values = {'{}/{}'.format(prefix, name): value for name, value in scores.items() if isinstance(value, float)}
    values.update({'{}_iou/{}'.format(prefix, name): float(iou) for name, iou in zip(class_names, scores['per_class_iou'])})
    return values


def prediction_strip(image: np.ndarray, labels: np.ndarray, prediction: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """Image, ground truth and prediction side by side: uint8 [H, 3 W, 3], shrunk to at most 256 rows.

    image: uint8 [H, W, 3]; labels and prediction: class IDs [H, W]; ignored pixels of the ground truth are black.
    """
    scale = min(1.0, MAX_STRIP_HEIGHT / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    pictures = [cv2.resize(image.astype(np.uint8), size, interpolation=cv2.INTER_AREA)]
    for ids in (labels, prediction):
        pictures.append(colorize(cv2.resize(ids.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), label_space))
    return np.concatenate(pictures, axis=1)


class WeightStatistics:
    """Mean and root mean square of every kernel, from two reductions that allocate no copy of the weights."""

    def __init__(self, kernels: Sequence[Any]) -> None:
        with tf.name_scope('weight_statistics'):
            self._fetches = {kernel.op.name: self._reductions(kernel) for kernel in kernels}

    @staticmethod
    def _reductions(kernel: Any) -> Tuple[Any, Any]:
        count = float(np.prod(kernel.shape.as_list()))
        return tf.reduce_mean(kernel), tf.sqrt(2 * tf.nn.l2_loss(kernel) / count)

    def read(self, session: Any) -> Dict[str, float]:
        """Tag -> value at this moment."""
        values = {}
        for name, (mean, root_mean_square) in session.run(self._fetches).items():
            values['weights_mean/' + name] = float(mean)
            values['weights_rms/' + name] = float(root_mean_square)
        return values
