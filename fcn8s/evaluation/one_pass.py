"""The evaluation pass: runs a model over batches and turns the totals into scores."""

import collections
import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Generator,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from fcn8s.batches import as_iterator, as_pair
from fcn8s.evaluation.boundaries import BoundaryTotals, measure_image
from fcn8s.evaluation.calibration import TemperatureSums
from fcn8s.evaluation.per_image import ImageScores, score_image
from fcn8s.evaluation.scores import ClassCounts, count_classes, mean_of_present, summarize
from helpers.counted import counted
from helpers.flags import checked_whole
from helpers.label_spaces import LabelSpace

# A batch with up to this many pixels of ground truth may run beside another: one image of 512x1024.
SMALL_BATCH = 2**19


class ImageBoundaryScores(NamedTuple):
    """The trimap confusions of all images, int64 [T, C, C + 1], and the boundary F1 of each by class, float64 [C]."""

    trimaps: np.ndarray
    f1: List[np.ndarray]


class Evaluation(NamedTuple):
    """The scores of a dataset, the pixels per class of each of its images (int64 [I, C]), and each image's scores.

    temperature_sums: of the two halves of the batches; empty where calibration was not asked for.
    """

    scores: Dict[str, Any]
    image_counts: ClassCounts
    rows: List[ImageScores]
    boundaries: Optional[ImageBoundaryScores] = None
    temperature_sums: Sequence[TemperatureSums] = ()


def run_evaluation(
    run: Callable,
    totals: Any,
    feed_batch: Callable,
    batches: Iterable,
    num_batches: int,
    label_space: LabelSpace,
    progress: Optional[Callable] = None,
    fetches: Optional[Dict[str, Any]] = None,
    on_batch: Optional[Callable] = None,
    at_once: int = 1,
) -> Dict[str, Any]:
    """Runs all batches, adds up their totals in order and returns the scores.

    Args:
        run: `run(fetches, feed)`, such as `session.run`.
        totals: What a batch adds to the totals, a `fcn8s.graph.scoring.Totals`.
        feed_batch: `feed_batch(images, labels)` returns the feed for a batch.
        batches: Yields (images, labels).
        num_batches: How many batches to take; `batches` may yield more or be infinite.
        progress: Called with the batch numbers; returns an iterable over them (for instance tqdm).
        fetches: Tensors by name to fetch with each batch, besides those of the totals.
        on_batch: `on_batch(images, labels, values)` is called after each batch, with the values of `fetches` by name.
        at_once: How many batches may run at the same time. Batches of more than `SMALL_BATCH` pixels run alone: they
            keep the processor busy, and take memory.

    Returns:
        The dict of `fcn8s.evaluation.scores.summarize`.

    Raises:
        ValueError: `num_batches` is negative or not an integer, the batches end early, or the ground truth uses another
            ID space.
    """
    num_batches = checked_whole('num_batches', num_batches, 0)
    confusion_matrix = np.zeros([label_space.num_classes] * 2, np.int64)
    loss_sum, num_valid = np.float64(0.0), 0
    wanted = {'totals': (totals.confusion_matrix, totals.loss_sum, totals.num_valid), **(fetches or {})}
    numbers = range(num_batches)
    taken = _take(as_iterator(batches), numbers)
    with contextlib.closing(_run_all(run, wanted, feed_batch, taken, at_once)) as results:
        for _ in progress(numbers) if progress else numbers:
            images, labels, values = next(results)
            matrix, loss, valid = values.pop('totals')
            confusion_matrix, loss_sum, num_valid = confusion_matrix + matrix, loss_sum + loss, num_valid + int(valid)
            if on_batch:
                on_batch(images, labels, values)
    return summarize(confusion_matrix, loss_sum, num_valid, label_space)


def _take(batches: Iterator, numbers: Sequence[int]) -> Iterator[Tuple[Any, Any]]:
    for number in numbers:
        batch = next(batches, None)
        if batch is None:
            raise ValueError(
                'the data ended after {} of {} to evaluate. Ask for as many as there are.'.format(
                    number, counted(len(numbers), 'batch')
                )
            )
        yield as_pair(batch)


def _run_all(
    run: Callable, fetches: Any, feed_batch: Callable, batches: Iterable, at_once: int
) -> Generator[Tuple[Any, Any, Any], None, None]:
    """Yields images, labels and what was fetched for them, in the order of the batches."""
    running: Deque[Tuple[Any, Any, Future]] = collections.deque()
    with ThreadPoolExecutor(at_once) as pool:
        for images, labels in batches:
            feed = feed_batch(images, labels)
            is_alone = at_once == 1 or np.prod(np.shape(labels)[:3]) > SMALL_BATCH
            while len(running) >= (1 if is_alone else at_once):
                yield _finished(running)
            if is_alone:
                yield images, labels, run(fetches, feed)
            else:
                running.append((images, labels, pool.submit(run, fetches, feed)))
        while running:
            yield _finished(running)


def _finished(running: Deque[Tuple[Any, Any, Future]]) -> Tuple[Any, Any, Any]:
    images, labels, future = running.popleft()
    return images, labels, future.result()


class ImageStatistics:
    """Statistics of each image: pixels per class for a bootstrap, a row of scores, boundary scores on request.

    Threads measure boundaries while the next batch runs. At most `2 * workers` images wait for that, so memory grows
    only by some 4 C numbers per image. Use it in a `with` statement.

    Attributes:
        fetches: The names of the values that `add` needs: 'image_confusions', for boundaries 'class_ids', for
            confidences 'image_confidences'.
    """

    def __init__(
        self, label_space: LabelSpace, with_boundaries: bool = False, workers: int = 2, with_confidences: bool = False
    ) -> None:
        if workers < 1:
            raise ValueError('{} threads to measure boundaries were asked for; take 1 or more.'.format(workers))
        wanted = {'image_confusions': True, 'class_ids': with_boundaries, 'image_confidences': with_confidences}
        self.fetches = tuple(name for name, is_wanted in wanted.items() if is_wanted)
        self._label_space = label_space
        self._counts: List[ClassCounts] = []
        self._rows: List[ImageScores] = []
        self._boundary_f1: List[np.ndarray] = []
        self._boundaries = BoundaryTotals(label_space) if with_boundaries else None
        self._max_pending = 2 * workers
        self._pending: Deque[Future] = collections.deque()
        self._pool = ThreadPoolExecutor(workers)

    def __enter__(self) -> 'ImageStatistics':
        return self

    def __exit__(self, *exception: Any) -> None:
        self._pool.shutdown()

    def add(self, images: np.ndarray, labels: np.ndarray, values: Dict[str, np.ndarray]) -> None:
        """Takes in a batch.

        Args:
            images: Not used; `run_evaluation` passes them.
            labels: Ground truth, integers [N, H, W].
            values: 'image_confusions', int64 [N, C, C], for boundaries 'class_ids', integers [N, H, W], and for
                confidences 'image_confidences', float [N].
        """
        self._counts.append(count_classes(values['image_confusions'], self._label_space.void_class_ids))
        confidences = values.get('image_confidences', np.full(len(labels), np.nan))
        for truth, confusion, confidence in zip(labels, values['image_confusions'], confidences):
            row = score_image(confusion, truth.shape[0] * truth.shape[1], self._label_space)
            self._rows.append(row._replace(confidence=float(confidence)))
        if self._boundaries:
            for truth, class_ids in zip(labels, values['class_ids']):
                self._pending.append(self._pool.submit(measure_image, truth, class_ids, self._label_space))
            self._take_in(self._boundaries, self._max_pending)

    def counts(self) -> ClassCounts:
        """Returns the pixels per class of each image, int64 [I, C]."""
        none = ClassCounts(*np.zeros((3, 0, self._label_space.num_classes), dtype=np.int64))
        return ClassCounts(*[np.concatenate(parts) for parts in zip(none, *self._counts)])

    def rows(self) -> List[ImageScores]:
        """Returns the scores of each image, in their order."""
        if not self._boundaries:
            return self._rows
        self._take_in(self._boundaries, 0)
        means = [float(mean_of_present(f1)) for f1 in self._boundary_f1]
        return [row._replace(boundary_f1=mean) for row, mean in zip(self._rows, means)]

    def boundary_scores(self) -> Dict[str, Any]:
        """Returns the scores of `BoundaryTotals.summarize`; an empty dict where boundaries were not asked for."""
        if not self._boundaries:
            return {}
        self._take_in(self._boundaries, 0)
        return self._boundaries.summarize()

    def boundaries(self) -> Optional[ImageBoundaryScores]:
        """Returns what `boundary_scores` is computed from; None where boundaries were not asked for."""
        if not self._boundaries:
            return None
        self._take_in(self._boundaries, 0)
        return ImageBoundaryScores(self._boundaries.trimaps, self._boundary_f1)

    def _take_in(self, totals: BoundaryTotals, max_pending: int) -> None:
        """Waits until at most `max_pending` images are pending. Adds them in order: sums do not depend on threads."""
        while len(self._pending) > max_pending:
            image = self._pending.popleft().result()
            totals.add(image)
            self._boundary_f1.append(image.f1)
