"""Evaluates an opened network on batches: wires the scoring part of the graph to the evaluation pass."""

from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import tf
from fcn8s.batches import as_iterator, as_label_batch, as_pair, check_same_classes, class_ids_of
from fcn8s.confidence import NUM_BINS, check_probabilities, check_temperature
from fcn8s.evaluation.calibration import TemperatureFit, summarize_calibration, summarize_temperature
from fcn8s.evaluation.one_pass import Evaluation, ImageStatistics, run_evaluation
from fcn8s.graph.scoring import Scoring, attach_scoring, attach_scoring_of_probabilities
from fcn8s.precision import has_gpus
from helpers.flags import check_function
from helpers.label_spaces import LabelSpace

# Predicts one image: uint8 [H, W, channels] -> soft-max float32 [H, W, C].
PredictProbabilities = Callable[[np.ndarray], np.ndarray]


class Scorer(NamedTuple):
    """The scoring part of a network's graph: `feed_batch(images, labels)` returns the feed for a batch."""

    scoring: Scoring
    feed_batch: Callable
    label_space: LabelSpace


def attach_scorer(
    images: Any,
    logits: Any,
    label_space: LabelSpace,
    with_calibration: bool = False,
    temperature: float = 1.0,
) -> Scorer:
    """Adds the scoring part to the graph of an opened network.

    Args:
        images: uint8 [N, H, W, channels] placeholder that the logits are computed from.
        logits: float32 [N, H, W, C].
        label_space: The classes of model and labels.
        with_calibration: Whether evaluations add the scores of `fcn8s.evaluation.calibration.summarize_calibration` and
            `summarize_temperature`.
        temperature: T of the soft-max from which loss and confidences come; it does not change what is predicted.

    Raises:
        ValueError: The temperature is out of its range.
    """
    check_temperature(temperature)
    scoring = attach_scoring(logits, label_space, with_calibration, temperature)
    return Scorer(scoring, lambda images_fed, labels: {images: images_fed, scoring.labels: labels}, label_space)


def _scorer_of_predictions(
    graph: Any, label_space: LabelSpace, predict: PredictProbabilities, with_calibration: bool, temperature: float
) -> Scorer:
    with graph.as_default():
        probabilities = tf.placeholder(tf.float32, [None, None, None, label_space.num_classes], 'fed_probabilities')
    of_fed = attach_scoring_of_probabilities(probabilities, label_space, with_calibration, temperature)
    return Scorer(
        of_fed,
        lambda images_fed, labels: {
            probabilities: np.stack([_checked(predict(image), label_space.num_classes) for image in images_fed]),
            of_fed.labels: labels,
        },
        label_space,
    )


def _checked(probabilities: Any, num_classes: int) -> np.ndarray:
    """Returns what `predict` returned for an image. Raises ValueError unless that is a soft-max [h, w, C]."""
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3 or probabilities.shape[2] != num_classes:
        raise ValueError(
            'predict returned the shape {} for an image; it has to be the soft-max [h, w, {}], as '
            'Predictor(...).probabilities gives it.'.format(probabilities.shape, num_classes)
        )
    check_probabilities(probabilities)
    return probabilities


def evaluate_model(
    run: Callable,
    scorer: Scorer,
    batches: Iterable,
    num_batches: int,
    with_boundaries: bool = False,
    workers: int = 2,
    progress: Optional[Callable] = None,
    observer: Optional[Any] = None,
    part: Optional[Tuple[int, int, int]] = None,
    at_once: int = 1,
) -> Evaluation:
    """Scores a network at the size of the labels.

    Args:
        run: `session.run` of the network that the scorer was attached to.
        batches: Yields (images uint8 [N, h, w, channels], labels uint8 [N, H, W]); the two sizes may differ.
        num_batches: How many batches to take.
        with_boundaries: Adds the scores of `fcn8s.evaluation.boundaries.BoundaryTotals.summarize`.
        workers: Threads that measure boundaries.
        progress: As in `fcn8s.evaluation.one_pass.run_evaluation`.
        observer: Sees every batch: its `add(images, labels, values)` gets the values that its `fetches` names, by name.
            `Scoring.fetches` lists the names.
        part: (number, processes, total): `batches` yields number, number + processes, ... of a total. None: all.
        at_once: As in `run_evaluation`; `batches_at_once` returns a good value.

    Raises:
        ValueError: As `run_evaluation`.
    """
    scoring, label_space = scorer.scoring, scorer.label_space
    number, processes, all_batches = part or (0, 1, num_batches)
    fit = TemperatureFit(all_batches, number, processes) if scoring.calibration else None
    with ImageStatistics(label_space, with_boundaries, workers, scoring.calibration is not None) as statistics:
        calibration = _CalibrationTotals() if scoring.calibration else None
        observers = [seeing for seeing in (statistics, observer, fit, calibration) if seeing is not None]
        scores = run_evaluation(
            run,
            scoring.totals,
            scorer.feed_batch,
            batches,
            num_batches,
            label_space,
            progress=progress,
            fetches=scoring.fetches([name for seeing in observers for name in seeing.fetches]),
            on_batch=_in_turn(observers),
            at_once=at_once,
        )
        scores.update(statistics.boundary_scores())
        if calibration and fit:
            scores.update(summarize_calibration(*calibration.sums))
            scores.update(summarize_temperature(fit.halves))
        sums = fit.halves if fit else ()
        return Evaluation(scores, statistics.counts(), statistics.rows(), statistics.boundaries(), sums)


def batches_at_once(engine: str = 'tensorflow') -> int:
    """Tells how many small batches an evaluation by this engine runs at the same time.

    One batch alone leaves a CPU partly idle, because some of its work runs on one thread. On a GPU, two would only take
    more memory, and other engines run one at a time.
    """
    return 2 if engine == 'tensorflow' and not has_gpus() else 1


class _CalibrationTotals:
    """Adds up what batches contribute to the bins of confidence; an observer of `run_evaluation`."""

    fetches = ('calibration',)

    def __init__(self) -> None:
        # Pixels and right pixels of each bin are integers; sums of confidences are not.
        self.sums: List[np.ndarray] = [np.zeros(NUM_BINS, dtype) for dtype in (np.int64, np.int64, np.float64)]

    def add(self, images: np.ndarray, labels: np.ndarray, values: Dict[str, Any]) -> None:
        self.sums = [total + part for total, part in zip(self.sums, values['calibration'])]


def evaluate_predictions(
    predict: PredictProbabilities,
    label_space: LabelSpace,
    batches: Iterable,
    num_batches: int,
    with_boundaries: bool = False,
    with_calibration: bool = False,
    temperature: float = 1.0,
    **options: Any,
) -> Evaluation:
    """Scores any function that predicts an image: with tiles, scales, mirror images or several networks.

    Args:
        predict: uint8 [H, W, channels] -> soft-max float32 [H, W, C], as `Predictor.probabilities`.
        label_space: The classes of predictions and labels.
        batches, num_batches, with_boundaries: As in `fcn8s.evaluation.evaluate.evaluate_model`; labels may be one-hot.
        with_calibration, temperature: As in `fcn8s.evaluation.evaluate.attach_scorer`.
        options: workers, progress, observer, part of `fcn8s.evaluation.evaluate.evaluate_model`.

    Returns:
        An `Evaluation`: `scores` is a dict with 'mean_iou' and the other scores of `fcn8s.scores.summarize`; `rows` are
        the scores of each image.

    Raises:
        ValueError: As `fcn8s.evaluation.one_pass.run_evaluation`; the temperature is out of its range; `predict` is not
            a function, or does not return a soft-max; the labels, or the `label_space` of the batches, have other
            classes.
    """
    check_temperature(temperature)
    check_function('predict', predict, 'of an image, such as Predictor(model.predict, model.num_classes).probabilities')
    label_space = check_same_classes(label_space, getattr(batches, 'label_space', None))
    batches = _with_class_ids(as_iterator(batches), label_space)
    graph = tf.Graph()
    scorer = _scorer_of_predictions(graph, label_space, predict, with_calibration, temperature)
    with tf.Session(graph=graph) as session:
        return evaluate_model(session.run, scorer, batches, num_batches, with_boundaries, **options)


def _with_class_ids(batches: Iterator[Any], label_space: LabelSpace) -> Iterator[Tuple[Any, np.ndarray]]:
    """Yields images and labels [N, H, W]: TensorFlow would silently cast any numbers to the IDs that it is fed."""
    for batch in iter(lambda: next(batches, None), None):  # an object of others may have nothing but __next__
        images, labels = as_pair(batch)
        labels = as_label_batch(labels, label_space, len(images))
        yield images, labels if labels.ndim == 3 else class_ids_of(labels, label_space.ignore_id).astype(np.uint8)


def _in_turn(observers: Sequence[Any]) -> Callable:
    def add(*batch: Any) -> None:
        for observer in observers:
            observer.add(*batch)

    return add
