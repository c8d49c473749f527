"""Drawing scenes in several processes.

Drawing consists of thousands of small calls, which threads cannot share. The processes are started as separate commands
and not through `multiprocessing`: that would either fork, which must not happen in a process with TensorFlow loaded, or
run the caller's script a second time if it has no `if __name__ == '__main__'`.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import BinaryIO, Callable, List

# A process gets the sys.path of this one, in the same order: PYTHONPATH would put packages before Python's own library,
# and packages with names of modules there (`typing`) are not rare.
COMMAND = 'import sys; sys.path[:] = {!r}; from {} import main; main()'


def run_shards(module: str, arguments: List[str], num_shards: int, on_scene: Callable[[], None]) -> None:
    """Runs `main` of a module with ARGUMENTS SHARD NUM_SHARDS for all shards at once, each in its own process.

    on_scene is called for every line that a process writes. If a process fails, the others are ended, as on Ctrl-C, and
    OSError is raised with the last line of its standard error.
    """
    lock = threading.Lock()

    def follow(process: 'subprocess.Popen[str]', errors: BinaryIO) -> None:
        assert process.stdout is not None  # as `_start` opens it
        for _ in process.stdout:
            with lock:
                on_scene()
        if process.wait():
            raise OSError(
                'a process that draws scenes ended with status {}: {}'.format(process.returncode, _last_line(errors))
            )

    with contextlib.ExitStack() as stack:
        # Files, since a process would block on a full pipe that nobody reads yet.
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(num_shards)]
        processes = [
            stack.enter_context(_start(module, arguments + [str(shard), str(num_shards)], file))
            for shard, file in enumerate(errors)
        ]
        with ThreadPoolExecutor(num_shards) as executor:
            try:
                for future in as_completed([executor.submit(follow, *pair) for pair in zip(processes, errors)]):
                    future.result()
            finally:
                _end(processes)


def _start(module: str, arguments: List[str], errors: BinaryIO) -> 'subprocess.Popen[str]':
    return subprocess.Popen(
        [sys.executable, '-c', COMMAND.format(sys.path, module)] + arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        universal_newlines=True,
    )


def _last_line(errors: BinaryIO) -> str:
    errors.seek(0)
    return (errors.read().decode(errors='replace').strip().splitlines() or ['it said nothing'])[-1]


def _end(processes: List['subprocess.Popen[str]']) -> None:
    """Ends the processes that still run. Their files are in a temporary directory that will be removed."""
    for process in processes:
        # Python 3.7 may not know yet that a process is gone if another thread waits for it.
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    for process in processes:
        process.wait()
