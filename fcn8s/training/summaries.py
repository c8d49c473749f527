"""What a training shows in TensorBoard: curves of steps and scores, statistics of the weights, pictures."""

import os
from typing import Any, Dict, Optional

import numpy as np

from fcn8s.network import Network
from fcn8s.training import tensorboard
from fcn8s.training.request import TrainRequest
from helpers.files import path_of

# Only every tenth summary has a picture, which is a hundred times as large as the numbers.
_SUMMARIES_PER_PICTURE = 10


def num_worst(request: TrainRequest) -> int:
    """Returns how many of the worst images of an evaluation the events show; 0 without events."""
    is_wanted = request.record_summaries and (request.summaries_dir, request.run_dir) != (None, None)
    return int(request.summaries_worst) if is_wanted else 0


def open_summaries(
    network: Network, request: TrainRequest, events_dir: Optional[str], resumed_at: Optional[int]
) -> Optional['Summaries']:
    """Opens the summaries that a training writes for TensorBoard; None if it writes none.

    events_dir: the events directory of the run, unless `request` names another. resumed_at: see
    `tensorboard.EventWriter`.
    """
    directory = events_dir
    if request.summaries_dir is not None:
        directory = os.path.join(path_of(request.summaries_dir), request.summaries_name or '')
    if not request.record_summaries or directory is None:
        return None
    return Summaries(network, request, tensorboard.EventWriter(directory, network.graph, resumed_at))


class Summaries:
    """Writes the summaries of a training; closes `events` at the end. A context manager."""

    def __init__(self, network: Network, request: TrainRequest, events: tensorboard.EventWriter) -> None:
        self._network = network
        self._request = request
        self._events = events
        self._weight_statistics: Optional[tensorboard.WeightStatistics] = None

    def __enter__(self) -> 'Summaries':
        return self

    def __exit__(self, *_: Any) -> None:
        self._events.close()

    def add_step(self, step: int, values: Dict[str, float], batch: Any) -> None:
        """Adds the values of a training step and, every tenth time, a picture of its batch; every time if summaries are
        an epoch or more apart.
        """
        self._events.scalars(step, {'train/' + name: value for name, value in values.items()})
        frequency = self._request.summaries_frequency
        if step // frequency % _SUMMARIES_PER_PICTURE == 1 or frequency >= self._request.steps_per_epoch:
            self._add_picture(step, batch)

    def _add_picture(self, step: int, batch: Any) -> None:
        images, labels = batch
        prediction = self._network.predict(images[:1])[0]
        space = self._network.label_space
        strip = tensorboard.prediction_strip(np.asarray(images[0]), labels[0], prediction, space)
        self._events.image(step, 'train/image_truth_prediction', strip)

    def add_scores(self, step: int, scores: Dict[str, Any], worst: Optional[tensorboard.WorstImages]) -> None:
        """Adds the scores of an evaluation, the weights at that moment, and pictures of what went wrong."""
        dataset, names = str(self._request.eval_dataset), self._network.label_space.class_names
        self._events.scalars(step, tensorboard.score_scalars(scores, dataset, names))
        self._events.scalars(step, self._read_weight_statistics())
        picture = tensorboard.confusion_picture(scores['confusion_matrix'], names)
        self._events.image(step, dataset + '/confusion_matrix', picture)
        for number, strip in enumerate(worst.strips() if worst else [], 1):
            self._events.image(step, '{}_worst/{}'.format(dataset, number), strip)

    def _read_weight_statistics(self) -> Dict[str, float]:
        if self._weight_statistics is None:
            with self._network.graph.as_default():
                self._weight_statistics = tensorboard.WeightStatistics(
                    [v for v in self._network.tensors.weights if v.shape.ndims > 1]
                )
        return self._weight_statistics.read(self._network.session)
