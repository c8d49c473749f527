"""TensorBoard event files: scalars, a strip of image, ground truth and prediction, and statistics of the weights."""

import base64
import math
import os
import re
import socket
import time
import uuid
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from fcn8s.backend import Session, Variable, tf
from fcn8s.batches import class_ids_of
from fcn8s.evaluation.scores import count_classes, mean_iou
from fcn8s.graph.graph_defs import tensor_once
from helpers.files import check_folder
from helpers.image_rules import shown_channels
from helpers.label_spaces import LabelSpace
from helpers.text_drawing import draw_text, drawable_name, shorten_text, text_width
from helpers.user_warnings import warn_user
from helpers.visualization_utils import colorize

# Event files are for looking at: a strip of three pictures stays small enough to load in a browser.
MAX_STRIP_HEIGHT = 256

# Names of more classes would be too small to read.
_MOST_NAMED_CLASSES = 60
_RIGHT_COLOR, _WRONG_COLOR, _INK = (0, 82, 140), (190, 72, 0), (32, 32, 32)


class EventWriter:
    """Writes one event file into a directory. A context manager.

    Events are written at once, by this thread: TensorFlow's own writer works in the background, where a full disk goes
    unnoticed or blocks. Here a full disk gives a warning, and no more events are written; training goes on.

    resumed_at: the step that a resumed run goes on from; TensorBoard then hides what an earlier process wrote after
        it. None for a new run.
    """

    def __init__(self, directory: str, graph: Optional[Any] = None, resumed_at: Optional[int] = None) -> None:
        check_folder(directory)
        name = 'events.out.tfevents.{:010d}.{}.{}'.format(
            _behind_the_others(directory), socket.gethostname(), uuid.uuid4().hex[:8]
        )
        self.path = os.path.join(directory, name)
        self._writer = tf.python_io.TFRecordWriter(os.fsencode(self.path))  # a str would have to be UTF-8
        self._failed = False
        self._add(file_version='brain.Event:2')
        if graph is not None:
            self._add(graph_def=graph.as_graph_def(add_shapes=True).SerializeToString())
        if resumed_at is not None:
            # Not at the step itself: events of the mark's step are hidden, too, and its evaluation is not repeated.
            self._add(step=resumed_at + 1, session_log=tf.SessionLog(status=tf.SessionLog.START))

    def _add(self, **event: Any) -> None:
        if self._failed:
            return
        try:
            self._writer.write(tf.Event(wall_time=time.time(), **event).SerializeToString())
            self._writer.flush()
        except tf.errors.OpError as error:
            self._failed = True
            warn_user(
                'no more events are written for TensorBoard: {}. Training goes on without; free some space '
                'before the next checkpoint.'.format(error.message)
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
        """Closes the file; after a failed write, errors are ignored."""
        try:
            self._writer.close()
        except tf.errors.OpError:
            if not self._failed:
                raise

    def __enter__(self) -> 'EventWriter':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


# The loss of an evaluation on the training images; 'train/loss' is that of the steps, with dropout and penalty.
_MEAN_LOSS_ON_TRAIN = 'train/mean_loss'


def score_scalars(scores: Dict[str, Any], prefix: str, class_names: Sequence[str]) -> Dict[str, float]:
    """Returns tag -> value for the scores that are plain numbers, and for the IoU of every class."""
    values = {'{}/{}'.format(prefix, name): value for name, value in scores.items() if isinstance(value, float)}
    if 'train/loss' in values:
        values[_MEAN_LOSS_ON_TRAIN] = values.pop('train/loss')
    values.update(
        {'{}_iou/{}'.format(prefix, name): float(iou) for name, iou in zip(class_names, scores['per_class_iou'])}
    )
    return values


def _behind_the_others(directory: str) -> int:
    """The time in whole seconds or, where the clock is behind the event files of a directory, the next number: as
    TensorBoard reads a directory in the order of its names, it would not show the file.
    """
    found = (re.match(r'events\.out\.tfevents\.(\d{10})\.', name) for name in os.listdir(directory))
    return max([int(time.time()), *(int(match.group(1)) + 1 for match in found if match)])


def prediction_strip(
    image: np.ndarray, labels: np.ndarray, prediction: np.ndarray, label_space: LabelSpace
) -> np.ndarray:
    """Returns image, ground truth and prediction side by side: uint8 [H, 3 W, 3], shrunk to at most 256 rows.

    image: uint8 [H, W, C], of which the first three channels are shown; prediction: class IDs [H, W]; labels: class IDs
    [H, W], or one-hot [H, W, C]. Ignored pixels of the ground truth are black.
    """
    labels = np.asarray(labels)
    if labels.ndim == 3:
        labels = class_ids_of(labels, label_space.ignore_id)
    scale = min(1.0, MAX_STRIP_HEIGHT / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    pictures = [cv2.resize(shown_channels(image.astype(np.uint8)), size, interpolation=cv2.INTER_AREA)]
    for ids in (labels, prediction):
        pictures.append(colorize(cv2.resize(ids.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST), label_space))
    return np.concatenate(pictures, axis=1)


def confusion_picture(confusion_matrix: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Returns a confusion matrix as a picture, uint8 [h, w, 3]: rows are ground truth, right is blue and wrong is
    orange.

    Args:
        confusion_matrix: Integers [C, P], P >= C; a cell is as dark as its share of the row.
        class_names: C names, left of the rows and above the columns; beyond 60 classes without names. In the corner
            between them stands what rows and columns are.
    """
    num_classes = len(class_names)
    cell = int(np.clip(660 // num_classes, 4, 24))
    shares = confusion_matrix[:, :num_classes] / np.maximum(confusion_matrix.sum(axis=1, keepdims=True), 1)
    strength = np.power(shares, 0.6)[..., np.newaxis]
    ends = np.where(np.eye(num_classes, dtype=bool)[..., np.newaxis], _RIGHT_COLOR, _WRONG_COLOR)
    cells = np.rint(255 + (ends - 255.0) * strength).astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)
    if num_classes > _MOST_NAMED_CLASSES:
        return cells
    names, truth, predicted = _name_columns(class_names, cell)
    corner = np.full((names.shape[1], names.shape[1], 3), 255, np.uint8)
    corner[-cell:], corner[:, -cell:] = truth, np.rot90(predicted)
    above = np.concatenate([corner, np.rot90(names)], axis=1)
    return np.concatenate([above, np.concatenate([names, cells], axis=1)], axis=0)


def _name_columns(class_names: Sequence[str], cell: int) -> List[np.ndarray]:
    """Pictures of the names below each other, uint8 [C * cell, w, 3], and of the names of both axes, [cell, w, 3]."""
    line = min(cell, 16)
    names = [drawable_name(name, number) for number, name in enumerate(class_names)]
    width = min(max(text_width(name, line) for name in [*names, 'prediction']), 10 * line) + line
    return [_name_column(column, cell, line, width) for column in (names, ['truth'], ['prediction'])]


def _name_column(names: Sequence[str], cell: int, line: int, width: int) -> np.ndarray:
    column = np.full((len(names) * cell, width, 3), 255, np.uint8)
    for number, name in enumerate(names):
        text = shorten_text(name, line, width - line // 2)
        draw_text(column, text, (number * cell + (cell - line) // 2, line // 4), line, _INK)
    return column


# Mean IoU, number of the batch, place in it.
WorstKey = Tuple[float, int, int]


class WorstImages:
    """The images with the lowest mean IoU in an evaluation; an observer of it.

    Attributes:
        fetches: the values that `add` needs for each batch.
        batch: the number of the next batch; of equally bad images, those of earlier batches are kept.
    """

    fetches = ('class_ids', 'image_confusions')

    def __init__(self, count: int, label_space: LabelSpace) -> None:
        self._count = count
        self._label_space = label_space
        self._worst: Dict[WorstKey, np.ndarray] = {}
        self.batch = 0

    def add(self, images: np.ndarray, labels: np.ndarray, values: Dict[str, np.ndarray]) -> None:
        """Takes in a batch; `fcn8s.evaluation.one_pass.run_evaluation` calls it."""
        counts = count_classes(values['image_confusions'], self._label_space.void_class_ids)
        for number, iou in enumerate(np.atleast_1d(mean_iou(counts))):
            key = (float(iou), self.batch, number)
            if not math.isnan(iou) and (len(self._worst) < self._count or key < max(self._worst)):
                self._worst[key] = prediction_strip(
                    np.asarray(images[number]), labels[number], values['class_ids'][number], self._label_space
                )
                self.keep(self.keys())
        self.batch += 1

    def strips(self) -> List[np.ndarray]:
        """Returns image, ground truth and prediction of each, the worst first."""
        return [self._worst[key] for key in self.keys()]

    def keys(self) -> List[WorstKey]:
        """Returns the mean IoU of each, the number of its batch and its place there; the worst first."""
        return sorted(self._worst)

    def keep(self, keys: Sequence[WorstKey]) -> None:
        """Forgets all images but the first of these keys, up to the wanted count."""
        kept = set(keys[: self._count])
        self._worst = {key: strip for key, strip in self._worst.items() if key in kept}

    def to_json(self) -> List[Any]:
        """Returns keys and pictures, the latter as PNG, for `take_over`."""
        encoded = [cv2.imencode('.png', strip)[1].tobytes() for strip in self.strips()]
        return [(key, base64.b64encode(png).decode()) for key, png in zip(self.keys(), encoded)]

    def take_over(self, found: Sequence[Any]) -> None:
        """Takes in the images that another worker found, as `to_json` gave them."""
        for (iou, batch, number), text in found:
            png = np.frombuffer(base64.b64decode(text), np.uint8)
            strip: Any = cv2.imdecode(png, cv2.IMREAD_COLOR)
            self._worst[iou, batch, number] = strip


class WeightStatistics:
    """Mean and root mean square of every kernel, from two reductions that allocate no copy of the weights."""

    def __init__(self, kernels: Sequence[Variable]) -> None:
        self._fetches = {kernel.op.name: self._reductions(kernel) for kernel in kernels}

    @staticmethod
    def _reductions(kernel: Any) -> Tuple[Any, Any]:
        count = float(np.prod(kernel.shape.as_list()))
        scope = 'weight_statistics/{}/'.format(kernel.op.name)
        return (
            tensor_once(scope + 'mean', lambda name: tf.reduce_mean(kernel, name=name)),
            tensor_once(scope + 'rms', lambda name: tf.sqrt(2 * tf.nn.l2_loss(kernel) / count, name=name)),
        )

    def read(self, session: Session) -> Dict[str, float]:
        """Returns tag -> current value."""
        values = {}
        for name, (mean, root_mean_square) in session.run(self._fetches).items():
            values['weights_mean/' + name] = float(mean)
            values['weights_rms/' + name] = float(root_mean_square)
        return values
