"""Evaluates an opened network on batches: wires the scoring part of the graph to the evaluation pass."""

from typing import Any, Callable, Dict, Iterable, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.backend import tf
from fcn8s.calibration import summarize_calibration
from fcn8s.evaluation import ImageStatistics, run_evaluation
from fcn8s.evaluation_head import EvaluationHead, build_evaluation_head, logits_of_probabilities
from fcn8s.feeding import check_same_classes
from fcn8s.inference import InferenceGraph
from fcn8s.scores import ClassCounts
from helpers.label_spaces import LabelSpace

# Predicts one image: uint8 [H, W, 3] -> soft-max float32 [H, W, C].
PredictProbabilities = Callable[[np.ndarray], np.ndarray]


class Evaluation(NamedTuple):
    """The scores of a dataset, the pixels per class of each of its images (int64 [I, C]), and the classes."""

    scores: Dict[str, Any]
    image_counts: ClassCounts
    label_space: LabelSpace


def evaluate_model(model: InferenceGraph, batches: Iterable, num_batches: int, data_label_space: Optional[LabelSpace],
                   predict: Optional[PredictProbabilities] = None, with_boundaries: bool = False,
                   with_calibration: bool = False, workers: int = 2, progress: Optional[Callable] = None) -> Evaluation:
    """Scores at the size of the labels.

    Arguments:
        model: An opened network.
        batches: Yields (images uint8 [N, h, w, 3], labels uint8 [N, H, W]); the two sizes may differ.
        num_batches: How many batches to take.
        data_label_space: The classes of the labels; None takes those of the model.
        predict: How to predict an image where the plain network is not enough (tiles, scales, mirrored).
        with_boundaries: Adds the scores of `fcn8s.boundaries.BoundaryTotals.summarize`.
        with_calibration: Adds those of `fcn8s.calibration.summarize_calibration`.
        workers: Threads that measure boundaries.
        progress: As of `fcn8s.evaluation.run_evaluation`.

    Raises:
        ValueError: The classes of model and data differ, or as `run_evaluation`.
    """
    label_space = check_same_classes(model.label_space, data_label_space)
    head, feed_batch = _attach_head(model, label_space, predict, with_calibration)
    with ImageStatistics(label_space, with_boundaries, workers) as statistics:
        scores = run_evaluation(model.run, head.metrics, feed_batch, batches, num_batches, label_space, progress,
                                head.fetches(statistics.fetches), statistics.add)
        scores.update(statistics.boundary_scores())
        if head.calibration:
            scores.update(summarize_calibration(*model.run(tuple(head.calibration[:3]))))
        return Evaluation(scores, statistics.counts(), label_space)


def _attach_head(model: InferenceGraph, label_space: LabelSpace, predict: Optional[PredictProbabilities],
                 with_calibration: bool) -> Tuple[EvaluationHead, Callable]:
    """The scoring part and the function that feeds it a batch."""
    if predict is None:
        head = build_evaluation_head(model.logits, label_space, with_calibration)
        return head, lambda images, labels: {model.images: images, head.labels: labels}
    with model.graph.as_default():
        probabilities = tf.placeholder(tf.float32, [None, None, None, label_space.num_classes], 'fed_probabilities')
        fed_head = build_evaluation_head(logits_of_probabilities(probabilities), label_space, with_calibration)
    return fed_head, lambda images, labels: {probabilities: np.stack([predict(image) for image in images]),
                                             fed_head.labels: labels}
