"""TensorBoard event files: scalars, a strip of image, ground truth and prediction, and statistics of the weights."""

import math
import os
import socket
import time
import uuid
import warnings
from typing import Any, Dict, Optional, Sequence, Tuple

import cv2
import numpy as np

from fcn8s.backend import tf
from fcn8s.graph.graph_defs import tensor_once
from helpers.files import explain_os_errors
from helpers.image_rules import shown_channels
from helpers.label_spaces import LabelSpace
from helpers.visualization_utils import colorize

# Event files are for looking at: a strip of three pictures stays small enough to load in a browser.
MAX_STRIP_HEIGHT = 256


class EventWriter:
    """Writes one event file into a directory. A context manager.

    The file is written at once and by this thread: TensorFlow's own writer does it in the background, where a full disk
    goes unnoticed or blocks. Here it gives a warning, and no more is written: training does not stop for its pictures.

    first_step: the step that a resumed run goes on from; TensorBoard then hides what an earlier process wrote beyond
    it.
    """

    def __init__(self, directory: str, graph: Optional[Any] = None, first_step: int = 0) -> None:
        with explain_os_errors(directory):
            os.makedirs(directory, exist_ok=True)
        # TensorBoard reads the files of a directory in the order of their names.
        name = 'events.out.tfevents.{:010d}.{}.{}'.format(int(time.time()), socket.gethostname(), uuid.uuid4().hex[:8])
        self.path = os.path.join(directory, name)
        self._writer = tf.python_io.TFRecordWriter(os.fsencode(self.path))  # as text it would have to be UTF-8
        self._failed = False
        self._add(file_version='brain.Event:2')
        if graph is not None:
            self._add(graph_def=graph.as_graph_def(add_shapes=True).SerializeToString())
        if first_step:
            self._add(step=first_step, session_log=tf.SessionLog(status=tf.SessionLog.START))

    def _add(self, **event: Any) -> None:
        if self._failed:
            return
        try:
            self._writer.write(tf.Event(wall_time=time.time(), **event).SerializeToString())
            self._writer.flush()
        except tf.errors.OpError as error:
            self._failed = True
            warnings.warn(
                'no more events are written for TensorBoard: {}. Training goes on without; free some space '
                'before the next checkpoint.'.format(error.message),
                stacklevel=3,
            )

    def scalars(self, step: int, values: Dict[str, float]) -> None:
        """Adds one point to each curve, tag -> value; NaN scores of absent classes are left out."""
        present = [
            tf.Summary.Value(tag=tag, simple_value=float(value))
            for tag, value in values.items()
            if math.isfinite(value)
        ]
        self._add(step=step, summary=tf.Summary(value=present))

    def image(self, step: int, tag: str, image: np.ndarray) -> None:
        """Adds a uint8 [H, W, 3] RGB picture."""
        height, width = image.shape[:2]
        png = cv2.imencode('.png', image[..., ::-1])[1].tobytes()
        content = tf.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self._add(step=step, summary=tf.Summary(value=[tf.Summary.Value(tag=tag, image=content)]))

    def close(self) -> None:
        """Closes the file; nothing of a failed one is left to write."""
        try:
            self._writer.close()
        except tf.errors.OpError:
            if not self._failed:
                raise

    def __enter__(self) -> 'EventWriter':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def score_scalars(scores: Dict[str, Any], prefix: str, class_names: Sequence[str]) -> Dict[str, float]:
    """The scores that are plain numbers, and the IoU of every class, as tags."""
    values = {'{}/{}'.format(prefix, name): value for name, value in scores.items() if isinstance(value, float)}
    values.update(
        {'{}_iou/{}'.format(prefix, name): float(iou) for name, iou in zip(class_names, scores['per_class_iou'])}
    )
    return values


def prediction_strip(
    image: np.ndarray, labels: np.ndarray, prediction: np.ndarray, label_space: LabelSpace
) -> np.ndarray:
    """Image, ground truth and prediction side by side: uint8 [H, 3 W, 3], shrunk to at most 256 rows.

    image: uint8 [H, W, C], of which the first three channels are seen; labels and prediction: class IDs [H, W]; ignored
    pixels of the ground truth are black.
    """
    scale = min(1.0, MAX_STRIP_HEIGHT / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    pictures = [cv2.resize(shown_channels(image.astype(np.uint8)), size, interpolation=cv2.INTER_AREA)]
    for ids in (labels, prediction):
        pictures.append(colorize(cv2.resize(ids.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), label_space))
    return np.concatenate(pictures, axis=1)


class WeightStatistics:
    """Mean and root mean square of every kernel, from two reductions that allocate no copy of the weights."""

    def __init__(self, kernels: Sequence[Any]) -> None:
        self._fetches = {kernel.op.name: self._reductions(kernel) for kernel in kernels}

    @staticmethod
    def _reductions(kernel: Any) -> Tuple[Any, Any]:
        count = float(np.prod(kernel.shape.as_list()))
        scope = 'weight_statistics/{}/'.format(kernel.op.name)
        return (
            tensor_once(scope + 'mean', lambda name: tf.reduce_mean(kernel, name=name)),
            tensor_once(scope + 'rms', lambda name: tf.sqrt(2 * tf.nn.l2_loss(kernel) / count, name=name)),
        )

    def read(self, session: Any) -> Dict[str, float]:
        """Tag -> value at this moment."""
        values = {}
        for name, (mean, root_mean_square) in session.run(self._fetches).items():
            values['weights_mean/' + name] = float(mean)
            values['weights_rms/' + name] = float(root_mean_square)
        return values
