"""Stages that overlap: each works in a thread of its own on what the stage before it has finished."""

import contextlib
import queue
import threading
from typing import Any, Callable, Iterable, Iterator, NamedTuple

# How many results a stage may be ahead of the next. Two keep both busy when their times vary; memory stays bounded.
_DEPTH = 2
# How often a waiting stage checks whether it should end, in seconds.
_PATIENCE = 0.1


class _Failed(NamedTuple):
    error: BaseException


_END = object()


@contextlib.contextmanager
def overlapped(source: Iterable, *stages: Callable[[Any], Any]) -> Iterator[Iterator[Any]]:
    """Returns a context manager: an iterator over `stages[-1](...stages[0](item))` for the items of `source`, in order.

    Reading the source and every stage run at the same time, at most a few items ahead of the consumer. An exception in
    any of them is raised to the consumer after the results of all earlier items. Leaving the context ends the threads,
    and waits for calls that are running.
    """
    stop = threading.Event()
    threads = []
    results = iter(source)
    for stage in (None,) + stages:
        finished: queue.Queue = queue.Queue(_DEPTH)
        thread = threading.Thread(target=_work, args=(results, stage, finished, stop), daemon=True)
        threads.append(thread)
        results = _received(finished, stop)
        thread.start()
    try:
        yield results
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _work(items: Iterator[Any], stage: Any, finished: queue.Queue, stop: threading.Event) -> None:
    try:
        for item in items:
            if not _put(finished, item if stage is None else stage(item), stop):
                return
        _put(finished, _END, stop)
    except BaseException as error:  # handed on: it is raised where the results are used
        _put(finished, _Failed(error), stop)


def _put(finished: queue.Queue, item: Any, stop: threading.Event) -> bool:
    """Waits for room in the queue; False if the pipeline has to end first."""
    while not stop.is_set():
        with contextlib.suppress(queue.Full):
            finished.put(item, timeout=_PATIENCE)
            return True
    return False


def _received(finished: queue.Queue, stop: threading.Event) -> Iterator[Any]:
    while not stop.is_set():
        try:
            item = finished.get(timeout=_PATIENCE)
        except queue.Empty:
            continue
        if item is _END:
            return
        if isinstance(item, _Failed):
            raise item.error
        yield item
