"""Making samples in the background: bounded, in a fixed order, and gone when nobody wants them any more.

Threads, not processes: OpenCV lets go of the interpreter lock while it decodes and resizes, so two threads are as fast
as two processes (benchmarks/bench_data.py) and need not copy images from one process to the other.
"""

import atexit
import os
import threading
import weakref
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import cv2

#: How often an idle thread looks whether its iterator still exists: nobody can wake it then, see `_WorkQueue.abandon`.
POLL_SECONDS = 1.0

#: How long the interpreter waits at its exit for a thread to finish the pair it is at: a network disk may never answer.
EXIT_SECONDS = 10.0


class InlineSource:
    """Makes every batch when it is asked for, in the calling thread."""

    def __init__(self, samples: Callable[[int], Sequence], make: Callable, assemble: Callable) -> None:
        self._samples = samples
        self._make = make
        self._assemble = assemble

    def get(self, number: int) -> Any:
        """Makes the batch of this number."""
        return self._assemble([self._make(sample) for sample in self._samples(number)])

    def replace_samples(self, samples: Callable[[int], Sequence]) -> None:
        """Makes the batches that are asked for from now on of other samples."""
        self._samples = samples

    def close(self) -> None:
        """Does nothing: there is no thread to end."""


class ThreadedSource:
    """Makes batches ahead in threads that end when `owner` is closed, is collected, or the interpreter exits."""

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
        # The threads know the queue but not the owner, so it is collected when its user lets go of it.
        weakref.finalize(owner, self._queue.abandon).atexit = False
        self._workers = [_Worker(self._queue, make) for _ in range(num_threads)]

    def get(self, number: int) -> Any:
        """Returns the batch of this number, once its samples are made; raises what one of them raised.

        Raises:
            ValueError: In a fork of the process, which has no threads but its own and would wait for ever.
        """
        if os.getpid() != self._process_id:
            raise ValueError(
                'These batches are made by threads of process {}, and were asked for in a fork of it, process {}. Call '
                'generate in the fork, or with workers=0.'.format(self._process_id, os.getpid())
            )
        return self._queue.get(number)

    def replace_samples(self, samples: Callable[[int], Sequence]) -> None:
        """Makes all batches from now on of other samples; those made ahead are thrown away."""
        self._queue.replace_samples(samples)

    def close(self) -> None:
        """Ends the threads, each after the sample that it is at; in a fork there are none."""
        if os.getpid() != self._process_id:  # where one of them may have held the lock for ever
            return
        self._queue.stop()
        for worker in self._workers:
            worker.join()


class _Worker(threading.Thread):
    """Makes one sample after the other."""

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
                except Exception as error:  # belongs to whoever asks for this batch
                    self.queue.put(batch, slot, None, error)


class _SingleThreadedOpenCV:
    """While any worker is at work, every call of OpenCV keeps to its own thread.

    Otherwise each call would also spread over all cores, where the other workers are busy already, and wait for them.
    The setting is one for the whole process, so it is put back when the last worker ends.
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
    """Ends all threads before the interpreter does: one that came back from C++ after that could abort the process."""
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
    """Hands out samples in order, at most `prefetch` batches ahead of the consumer, and collects what was made."""

    def __init__(self, samples: Callable[[int], Sequence], assemble: Callable, prefetch: int) -> None:
        self._samples = samples
        self._assemble = assemble
        self._prefetch = prefetch
        self._next = 0  # the batch that the consumer takes next
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
        """Makes other batches from now on; what is under way is not kept."""
        with self._changed:
            self._samples, self._batches = samples, {}
            self._changed.notify_all()

    def _jump(self, number: int) -> None:
        """Goes on with another batch; of what is under way only that is kept which will now be asked for soon."""
        self._next = number
        self._batches = {k: batch for k, batch in self._batches.items() if number <= k < number + self._prefetch}
        self._changed.notify_all()

    def put(self, batch: _Batch, slot: int, made: Any, error: Optional[Exception]) -> None:
        """Delivers a sample; the last one of a batch puts the batch together, here in the background."""
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
        """Waits for a batch. Raises what went wrong with the first of its samples that failed."""
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
        """Lets the threads end, without a lock: the garbage collector calls this, maybe in a thread that holds it."""
        self._stopped = True
