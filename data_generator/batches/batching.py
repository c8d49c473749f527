"""Which samples make up which batch, how they are stacked, and the iterator that returns the batches."""

import threading
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

import cv2
import numpy as np

from data_generator.batches.workers import InlineSource, ThreadedSource
from data_generator.errors import DataError
from helpers.counted import counted
from helpers.flags import checked_whole
from helpers.image_rules import RGB_RULES, ImageRules
from helpers.label_spaces import LabelSpace, is_nameless
from helpers.user_warnings import warn_user

Batch = Union[np.ndarray, Tuple[np.ndarray, np.ndarray]]


class Sample(NamedTuple):
    """A pair at its position: `number` counts the samples of the whole stream and seeds the random draws."""

    number: int
    pair_index: int


class Made(NamedTuple):
    """A finished sample: image uint8 [H, W, C], label [H, W] (or one-hot [H, W, K]) or None, and the image's file."""

    image: np.ndarray
    label: Optional[np.ndarray]
    source: str


class BatchOrder:
    """Which samples batch number k holds: a pure function of the seed and k.

    Shuffled, the stream is a sequence of random orders of all pairs, cut into full batches. Not shuffled, each pass
    begins with a new batch, so it ends with a short one unless the batch size divides the number of pairs.

    share: (i, n), not shuffled: the order holds only batches i, i + n, i + 2 n and so on of each pass. The batches
    themselves are the same as without `share`.
    """

    def __init__(
        self, num_pairs: int, batch_size: int, shuffle: bool, seed: int, share: Optional[Tuple[int, int]] = None
    ) -> None:
        self.num_pairs = num_pairs
        self.batch_size = batch_size
        self.shuffles = shuffle
        self._seed = seed
        self._permutations: Dict[int, np.ndarray] = {}
        self._first, self._step = share or (0, 1)
        self._pass_batches = -(-num_pairs // batch_size)
        self.num_batches = len(range(self._first, self._pass_batches, self._step))
        self.is_share = share is not None

    def samples(self, k: int) -> List[Sample]:
        """Returns the samples of batch number k, which counts from 0."""
        n = self.num_pairs
        if self.shuffles:
            numbers = range(k * self.batch_size, (k + 1) * self.batch_size)
            return [Sample(number, int(self._permutation(number // n)[number % n])) for number in numbers]
        past, place = divmod(k, self.num_batches)
        batch = self._first + place * self._step
        indices = range(batch * self.batch_size, min((batch + 1) * self.batch_size, n))
        return [Sample(past * n + index, index) for index in indices]

    def enlarged(self, times: int) -> 'BatchOrder':
        """Returns the order of batches that are `times` as large. Raises ValueError for a share."""
        if self.is_share:
            raise ValueError(
                'These batches are share={} of each pass, and their size is fixed: other batches would be those of '
                'other processes, too. Leave share out of generate(), and deal out whole passes.'.format(
                    (self._first, self._step)
                )
            )
        return BatchOrder(self.num_pairs, times * self.batch_size, self.shuffles, self._seed)

    def rows(self, k: int, worker: int, workers: int) -> Tuple[int, int]:
        """Returns the first row and the end of one worker's samples in batch number k.

        Of a short batch the first workers get full parts, and the last ones little or nothing.
        """
        size = self._size(k)
        first, end = [min(size, self.batch_size * part // workers) for part in (worker, worker + 1)]
        return first, end

    def _size(self, k: int) -> int:
        """The number of samples in batch number k."""
        if self.shuffles:
            return self.batch_size
        batch = self._first + k % self.num_batches * self._step
        return min(self.batch_size, self.num_pairs - batch * self.batch_size)

    def _permutation(self, pass_number: int) -> np.ndarray:
        if pass_number not in self._permutations:
            if len(self._permutations) > 2:  # a batch touches two passes, unless it is larger than a pass
                self._permutations.clear()
            order = np.random.default_rng([self._seed, pass_number, 1]).permutation(self.num_pairs)
            self._permutations[pass_number] = order
        return self._permutations[pass_number]


def sample_rng(seed: int, sample: Sample) -> np.random.Generator:
    """Returns the random generator of one sample: always the same, whichever thread makes the sample and when."""
    return np.random.default_rng([seed, sample.number])


def stack(made: Sequence[Made]) -> Batch:
    """Stacks samples into one batch: images [N, H, W, C], with labels [N, H, W] if there are any.

    Raises:
        DataError: They are of different sizes.
    """
    _check_equal_sizes([m.image for m in made], 'Images', made)
    images = np.stack([m.image for m in made])
    labels = [m.label for m in made if m.label is not None]
    if not labels:
        return images
    _check_equal_sizes(labels, 'Labels', made)
    return images, np.stack(labels)


def _check_equal_sizes(arrays: Sequence[np.ndarray], what: str, made: Sequence[Made]) -> None:
    for array, sample in zip(arrays, made):
        if array.shape != arrays[0].shape:
            raise DataError(
                '{} of different sizes in one batch: {}x{} for {} and {}x{} for {} (height x width). Bring '
                'all to one size with resize=(height, width) or random_crop=(height, width), or take '
                'batch_size=1.'.format(
                    what,
                    arrays[0].shape[0],
                    arrays[0].shape[1],
                    made[0].source,
                    array.shape[0],
                    array.shape[1],
                    sample.source,
                )
            )


class _ClassWatch:
    """Warns after the first pass if no label holds some class: it is not learnt, or a score says nothing.

    It stops looking once it has seen all classes. It gives up if the batches are not those of a pass in order, as in a
    run that is continued in the middle of a pass: then they say nothing about the whole dataset.
    """

    def __init__(self, label_space: Optional[LabelSpace], order: BatchOrder) -> None:
        self._space = label_space
        self._missing: Set[int] = set()
        # No warnings about a share: the code that combines the shares knows what the whole pass holds.
        if label_space is not None and not order.is_share:
            self._missing = set(range(label_space.num_classes)) - set(label_space.void_class_ids)
        self._shuffles, self._num_batches, self._num_images = order.shuffles, order.num_batches, order.num_pairs
        self._next = 0

    def see(self, number: int, batch: Batch) -> None:
        if number != self._next:
            self._missing = set()
        if not self._missing or self._space is None or not isinstance(batch, tuple):
            return
        labels = batch[1]
        if labels.ndim == 4:  # one-hot
            self._missing -= set(np.flatnonzero(labels.any(axis=(0, 1, 2))).tolist())
        else:
            self._missing -= _values_of(labels)
        self._next += 1
        if self._next == self._num_batches:
            self._warn(self._space)
            self._missing = set()

    def _warn(self, space: LabelSpace) -> None:
        num_seen = space.num_classes - len(space.void_class_ids) - len(self._missing)
        form = '{}' if is_nameless(space) else '{} ({})'
        names = ', '.join(form.format(c, space.class_names[c]) for c in sorted(self._missing)[:10])
        if self._shuffles and self._missing:
            warn_user(
                'No pixel of the first pass over {} is of class {}{}. What does not occur in training is not learnt: '
                'fcn8s check says which classes the labels hold.'.format(
                    counted(self._num_images, 'image'), names, ' and others' if len(self._missing) > 10 else ''
                )
            )
        elif self._missing:
            warn_of_few_classes(num_seen)


def warn_of_few_classes(num_seen: int) -> None:
    """Warns if the labels of an evaluation hold fewer than two classes."""
    if num_seen < 2:
        warn_user(
            'The labels of a whole pass hold {}, so a score on them says nothing. Evaluate on labels of several '
            'classes; fcn8s check says which they hold.'.format('a single class' if num_seen else 'no class at all')
        )


def _values_of(labels: np.ndarray) -> Set[int]:
    if labels.dtype != np.uint8:
        return set(np.unique(labels).tolist())
    # OpenCV's histogram takes a tenth of the time of NumPy's.
    counts = cv2.calcHist([np.ascontiguousarray(labels).reshape(-1, 1)], [0], None, [256], [0, 256])
    return set(np.flatnonzero(counts).tolist())


class BatchIterator:
    """An endless iterator over batches: images uint8 [N, H, W, C], usually RGB, or (images, labels uint8 [N, H, W]).

    Batch number k depends on the seed and k alone. After an error the next call continues with the following batch.
    Close the iterator, use it in a `with` statement, or drop all references to it: its threads end with it. Several
    threads may take batches; each batch goes to one of them.

    Attributes:
        position: The number of the next batch, counted from 0.
        wait_seconds: How long callers have waited in `next`, in total.
        batch_size: Images per batch, as passed to `generate`.
        num_batches: Batches in a pass over all pairs.
        label_space: The label space of the labels; None if the classes are not known.
        fingerprint: A hash over the names and sizes of the files.
        image_rules: How images are read.
        options: The transforms that are on, by name, and the seed. Maps of colours and IDs are left out.
        num_images: Images in the dataset.
        shuffles: Whether every batch is full, so that the last of a pass may hold images of the next.
        rows: After `deal`: first row and end of the latest part within its whole batch; otherwise None.
    """

    def __init__(
        self,
        order: BatchOrder,
        make: Callable[[Sample], Made],
        assemble: Callable[[Sequence[Made]], Batch],
        workers: int,
        prefetch: int,
        label_space: Optional[LabelSpace],
        fingerprint: str,
        image_rules: ImageRules = RGB_RULES,
        options: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.position = 0
        self.wait_seconds = 0.0
        self.batch_size = order.batch_size
        self.num_batches = order.num_batches
        self.shuffles = order.shuffles
        self.label_space = label_space
        self.fingerprint = fingerprint
        self.image_rules = image_rules
        self.options = dict(options or {})
        self.rows: Optional[Tuple[int, int]] = None
        self._order = order
        self._deal: Optional[Tuple[BatchOrder, int, int]] = None
        self._closed = False
        self._taking = threading.Lock()
        self._watch = _ClassWatch(label_space, order)
        self._source = (
            ThreadedSource(order.samples, make, assemble, workers, prefetch, owner=self)
            if workers
            else InlineSource(order.samples, make, assemble)
        )

    def __iter__(self) -> 'BatchIterator':
        return self

    def __next__(self) -> Batch:
        with self._taking:
            return self._take()

    def _take(self) -> Batch:
        if self._closed:
            raise StopIteration
        start = time.perf_counter()
        try:
            batch = self._source.get(self.position)
        except Exception:  # not after Ctrl-C: then the same batch can be asked for again
            self.position += 1
            raise
        finally:
            self.wait_seconds += time.perf_counter() - start
        if self._deal is not None:
            whole, worker, workers = self._deal
            self.rows = whole.rows(self.position, worker, workers)
        self._watch.see(self.position, batch)
        self.position += 1
        return batch

    @property
    def num_images(self) -> int:
        """How many images the dataset has."""
        return self._order.num_pairs

    def deal(self, worker: int, workers: int, times: Optional[int] = None) -> None:
        """Returns, from now on, one worker's part of batches that are `times` as large.

        Worker 0 of 1 gets them whole. If a short batch has nothing for a worker, that worker gets its first sample, and
        `rows` is empty. `position` and `num_batches` count whole batches.

        Args:
            times: None for the number of workers.

        Raises:
            ValueError: The batches are a share of each pass.
        """
        whole = self._order.enlarged(workers if times is None else times)
        self._deal = whole, worker, workers
        self.num_batches = whole.num_batches
        self._watch = _ClassWatch(self.label_space if workers == 1 else None, whole)

        def samples(k: int) -> Sequence[Sample]:
            start, end = whole.rows(k, worker, workers)
            return whole.samples(k)[start:end] or whole.samples(k)[:1]

        self._source.replace_samples(samples)

    def seek(self, position: int) -> None:
        """Continues with batch number `position`, counted from 0 at the start of the first pass."""
        self.position = checked_whole('position', position, 0, remedy='It is the number of a batch.')

    def close(self) -> None:
        """Ends the threads; further calls of `next` raise StopIteration."""
        self._closed = True
        self._source.close()

    def __enter__(self) -> 'BatchIterator':
        return self

    def __exit__(self, *exception_info) -> None:
        self.close()
