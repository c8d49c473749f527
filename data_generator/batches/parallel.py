"""Applies one function to many files, in threads and with a progress bar.

Threads and not processes, because most of the time is spent in decoding, where OpenCV releases the interpreter lock.
"""

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Callable, List, Sequence, TypeVar

from helpers.progress import bar_options

Item = TypeVar('Item')
Result = TypeVar('Result')


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, description: str, show_progress: bool
) -> List[Result]:
    """Returns the results in the order of the items.

    The first exception, including Ctrl-C, cancels the calls that have not begun, and is raised.

    Args:
        workers: Number of threads; 0 and 1 are the same.
        description: The text beside the progress bar.
    """
    from tqdm import tqdm

    with tqdm(total=len(items), desc=description, unit='file', **bar_options(show_progress)) as bar, ThreadPoolExecutor(
        max(1, workers)
    ) as executor:
        futures = [executor.submit(function, item) for item in items]
        for future in futures:
            future.add_done_callback(lambda _: bar.update())
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
        for future in futures:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                raise error
        return [future.result() for future in futures]
