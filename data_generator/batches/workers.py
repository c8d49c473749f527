"""Making samples in the background: a bounded number, in a fixed order, until nobody needs them any more.

Threads, not processes: OpenCV releases the interpreter lock while it decodes and resizes, so two threads are as fast as
two processes (benchmarks/bench_data.py) and need not copy images from one process to the other.
"""

import atexit
import os
import threading
import weakref
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import cv2

#: How often an idle thread checks whether its iterator still exists: nothing wakes it when the iterator is collected,
#: see `_WorkQueue.abandon`.
POLL_SECONDS = 1.0

#: How long the interpreter waits at exit for a thread to finish its current pair: a network disk may never answer.
EXIT_SECONDS = 10.0


class InlineSource:
    """Makes every batch when it is asked for, in the calling thread."""

    def __init__(self, samples: Callable[[int], Sequence], make: Callable, assemble: Callable) -> None:
        self._samples = samples
        self._make = make
        self._assemble = assemble

    def get(self, number: int) -> Any:
        """Makes batch `number`."""
        return self._assemble([self._make(sample) for sample in self._samples(number)])

    def replace_samples(self, samples: Callable[[int], Sequence]) -> None:
        """Makes all batches from now on from other samples."""
        self._samples = samples

    def close(self) -> None:
        """Does nothing: there is no thread to end."""


class ThreadedSource:
    """Makes batches in advance, in threads that end when `owner` is closed or collected, or the interpreter exits."""

    def __init__(
        self,
        samples: Callable[[int], Sequence],
        make: Callable,
        assemble: Callable,
        num_threads: int,
        prefetch: int,
        owner: Any,
    ) -> None:
        self._queue = _WorkQueue(samples, assemble, prefetch)
        self._process_id = os.getpid()
        # The threads refer to the queue but not to the owner, so the owner is collected when its user drops it.
        weakref.finalize(owner, self._queue.abandon).atexit = False
        # OpenCV sets itself up on first use: here, not in a thread, which holds a lock of the C library for it. A fork
        # that is made meanwhile would wait for that lock at its end, for ever.
        with _single_threaded_opencv:
            self._workers = [_Worker(self._queue, make) for _ in range(num_threads)]

    def get(self, number: int) -> Any:
        """Returns batch `number` when its samples are made; raises the exception of a sample that failed.

        Raises:
            ValueError: In a fork of the process, which lacks the worker threads and would wait for ever.
        """
        if os.getpid() != self._process_id:
            raise ValueError(
                'These batches are made by threads of process {}, and were asked for in a fork of it, process {}. Call '
                'generate in the fork, or with workers=0.'.format(self._process_id, os.getpid())
            )
        return self._queue.get(number)

    def replace_samples(self, samples: Callable[[int], Sequence]) -> None:
        """Makes all batches from now on from other samples; those made in advance are discarded."""
        self._queue.replace_samples(samples)

    def close(self) -> None:
        """Ends the threads, each after its current sample; does nothing in a fork, which has none of them."""
        if os.getpid() != self._process_id:  # in a fork, where the lock may be held for ever
            return
        self._queue.stop()
        for worker in self._workers:
            worker.join()


class _Worker(threading.Thread):
    """A thread that makes one sample after the other."""

    def __init__(self, queue: '_WorkQueue', make: Callable) -> None:
        super().__init__(name='data_generator worker', daemon=True)
        self.queue = queue
        self.process_id = os.getpid()
        self._make = make
        self.start()
        _workers.add(self)

    def run(self) -> None:
        with _single_threaded_opencv:
            for batch, slot, sample in iter(self.queue.take, None):
                try:
                    self.queue.put(batch, slot, self._make(sample), None)
                except Exception as error:  # raised to the caller who asks for this batch
                    self.queue.put(batch, slot, None, error)


class _SingleThreadedOpenCV:
    """Makes OpenCV use a single thread per call while any worker runs.

    Otherwise each call would also spread over all cores, where the other workers are busy, and wait for them. The
    setting belongs to the whole process, so it is restored when the last worker ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_users = 0
        self._num_threads_before = 0

    def __enter__(self) -> None:
        with self._lock:
            self._num_users += 1
            if self._num_users == 1:
                self._num_threads_before = cv2.getNumThreads()
                cv2.setNumThreads(1)

    def __exit__(self, *exception_info: Any) -> None:
        with self._lock:
            self._num_users -= 1
            if self._num_users == 0:
                cv2.setNumThreads(self._num_threads_before)


_single_threaded_opencv = _SingleThreadedOpenCV()
_workers: Any = weakref.WeakSet()


@atexit.register
def _stop_all_workers() -> None:
    """Ends all threads before the interpreter exits: one that returned from C++ later could abort the process."""
    workers = [worker for worker in _workers if worker.process_id == os.getpid()]
    for worker in workers:
        worker.queue.stop()
    for worker in workers:
        worker.join(EXIT_SECONDS)


class _Batch:
    """A batch in the making."""

    def __init__(self, samples: Sequence) -> None:
        self.samples = samples
        self.made: List[Any] = [None] * len(samples)
        self.errors: List[Optional[Exception]] = [None] * len(samples)
        self.num_taken = 0
        self.num_missing = len(samples)
        self.content: Any = None
        self.ready = False


class _WorkQueue:
    """Gives samples to workers in order, at most `prefetch` batches ahead of the consumer, and collects the results."""

    def __init__(self, samples: Callable[[int], Sequence], assemble: Callable, prefetch: int) -> None:
        self._samples = samples
        self._assemble = assemble
        self._prefetch = prefetch
        self._next = 0  # the number of the batch that the consumer takes next
        self._batches: Dict[int, _Batch] = {}
        self._stopped = False
        self._changed = threading.Condition()

    def take(self) -> Optional[Tuple[_Batch, int, Any]]:
        """Waits for the next sample to make; None when there is nothing more to do."""
        with self._changed:
            while not self._stopped:
                batch = self._unfinished_batch()
                if batch is not None:
                    slot = batch.num_taken
                    batch.num_taken += 1
                    return batch, slot, batch.samples[slot]
                self._changed.wait(timeout=POLL_SECONDS)
        return None

    def _unfinished_batch(self) -> Optional[_Batch]:
        for number in range(self._next, self._next + self._prefetch):
            batch = self._batch(number)
            if batch.num_taken < len(batch.samples):
                return batch
        return None

    def _batch(self, number: int) -> _Batch:
        if number not in self._batches:
            self._batches[number] = _Batch(self._samples(number))
        return self._batches[number]

    def replace_samples(self, samples: Callable[[int], Sequence]) -> None:
        """Makes batches from other samples from now on; batches under way are discarded."""
        with self._changed:
            self._samples, self._batches = samples, {}
            self._changed.notify_all()

    def _jump(self, number: int) -> None:
        """Continues with another batch; of the batches under way, keeps only those that will be asked for soon."""
        self._next = number
        self._batches = {k: batch for k, batch in self._batches.items() if number <= k < number + self._prefetch}
        self._changed.notify_all()

    def put(self, batch: _Batch, slot: int, made: Any, error: Optional[Exception]) -> None:
        """Delivers a sample. The last sample of a batch triggers its assembly, here in the background."""
        with self._changed:
            batch.made[slot], batch.errors[slot] = made, error
            batch.num_missing -= 1
            if batch.num_missing:
                return
        if not any(batch.errors):
            try:
                batch.content = self._assemble(batch.made)
            except Exception as failure:
                batch.errors[0] = failure
        batch.made = []
        with self._changed:
            batch.ready = True
            self._changed.notify_all()

    def get(self, number: int) -> Any:
        """Waits for a batch. Raises the exception of the first of its samples that failed."""
        with self._changed:
            if number != self._next:
                self._jump(number)
            batch = self._batch(number)
            while not batch.ready:
                if self._stopped:  # closed by another thread
                    raise StopIteration
                self._changed.wait()
            self._batches.pop(number, None)
            self._next = number + 1
            self._changed.notify_all()
        for error in batch.errors:
            if error is not None:
                raise error
        return batch.content

    def stop(self) -> None:
        """Lets the threads end."""
        with self._changed:
            self._stopped = True
            self._batches = {}
            self._changed.notify_all()

    def abandon(self) -> None:
        """Lets the threads end, without the lock: the garbage collector may call this in a thread that holds it."""
        self._stopped = True
