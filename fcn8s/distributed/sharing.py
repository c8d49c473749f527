"""A command whose images several processes of this machine share, with the same results as a single process.

The process that the user started (the sharer) starts the same command N times with a share (`--share I N FOLDER`),
shows their progress, and combines the results that they hand back in a temporary folder. Each has as many threads as a
single process would have, because floating-point sums depend on their number, but is pinned to its share of the cores
once they are there.
"""

import contextlib
import itertools
import json
import os
import sys
from typing import Any, Callable, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, TypeVar

from tqdm import tqdm

from fcn8s.distributed import launching
from fcn8s.distributed.watch import TIMEOUT
from helpers.files import explain_os_errors, temporary_directory
from helpers.progress import bar_options

Item = TypeVar('Item')
_MODELS = 'models.json'
# How long a process may show no sign of work, in seconds; a GPU may work while its process waits.
_PATIENCE = TIMEOUT
_PATIENCE_ON_GPU = 10 * TIMEOUT


class Share(NamedTuple):
    """The share of process `number`, from 0, of `processes`. folder: where it hands back its results."""

    number: int
    processes: int
    folder: str

    def of(self, items: Sequence[Item]) -> List[Item]:
        """Returns the items that are dealt to this process."""
        return list(items[self.number :: self.processes])

    def counted(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields the items, and tells the sharer whenever one is done."""
        with open(_progress_path(self.folder, self.number), 'ab', buffering=0) as file:
            for item in items:
                yield item
                file.write(b'.')

    def model_dir(self, path: str) -> str:
        """Returns the model that `path` stood for when the command began; that of a run may change meanwhile."""
        with open(os.path.join(self.folder, _MODELS), encoding='utf-8') as file:
            return json.load(file)[path]

    def take_cores(self) -> None:
        """Pins this process to its share of the cores. The threads that compute have to be there already."""
        launching.pin(launching.core_shares(self.processes)[self.number])

    def hand_back(self, found: Any) -> None:
        """Gives the sharer a part of the results: numbers, strings, lists and dicts. It is kept if this process is
        killed afterwards.
        """
        path = _result_path(self.folder, self.number)
        with explain_os_errors(path), open(path, 'ab') as file:
            file.write(json.dumps(found).encode('ascii') + b'\n')


def check_count(count: int, num_parts: int, what: str) -> None:
    """Raises ValueError where there are more processes than parts of the work, or fewer GPUs than processes.

    Args:
        num_parts: How many parts there are to deal out.
        what: What they are, in the plural.
    """
    if count > num_parts:
        raise ValueError(
            '--workers is {}, and there are {} {} to deal out. Give --workers {} or fewer.'.format(
                count, num_parts, what, num_parts
            )
        )
    launching.gpu_environments(count)


def share_out(
    arguments: Sequence[str],
    count: int,
    models: Mapping[str, str],
    total: int,
    *,
    description: str,
    unit: str,
    take_over: Callable[[Iterator[Any]], None],
) -> None:
    """Runs `fcn8s ARGUMENTS` in several processes and takes over what they hand back.

    Args:
        arguments: The command first.
        count: How many processes.
        models: Path of a model -> the directory that it stands for.
        total: How many items they count together. description, unit: of the progress bar.
        take_over: Gets the parts of the results, the first of each process first, then the second of each, and so on:
            in the order of the items, if each process handed back one part for each. After an error or a signal it
            gets those that are there.

    Raises:
        WorkerEndedError, WorkerHangsError: A process ended before its work was done, or hung; all have ended.
    """
    with temporary_directory('fcn8s-share') as folder:
        with open(os.path.join(folder, _MODELS), 'w', encoding='utf-8') as file:
            json.dump(dict(models), file)
        paths = [_result_path(folder, index) for index in range(count)]
        try:
            with tqdm(total=total, desc=description, unit=unit, **bar_options()) as bar:
                launching.run_workers(
                    _workers(arguments, count, folder),
                    write_line=_write_line,
                    tick=lambda: _show(bar, _num_done(folder, count)),
                    patience=_PATIENCE_ON_GPU if launching.visible_gpus() else _PATIENCE,
                )
        except BaseException:
            with contextlib.suppress(OSError):  # the disk may be full, which the error says already
                take_over(_handed_back([path for path in paths if os.path.exists(path)]))
            raise
        take_over(_handed_back(paths))


def _show(bar: Any, num_done: int) -> None:
    if num_done > bar.n:  # an update by 0 would redraw the bar
        bar.update(num_done - bar.n)


def _write_line(line: str) -> None:
    if sys.stderr is not None:
        tqdm.write(line, file=sys.stderr)


def _workers(arguments: Sequence[str], count: int, folder: str) -> List[launching.Worker]:
    workers = []
    for index, (name, gpu) in enumerate(zip(launching.names(count), launching.gpu_environments(count))):
        share = ['--share', str(index), str(count), folder]
        command = launching.fcn8s_command([arguments[0]] + share + list(arguments[1:]))
        workers.append(launching.Worker(name, command, gpu))
    return workers


def _num_done(folder: str, count: int) -> int:
    paths = [_progress_path(folder, index) for index in range(count)]
    return sum(os.path.getsize(path) for path in paths if os.path.exists(path))


def _handed_back(paths: Sequence[str]) -> Iterator[Any]:
    """The parts of the results that are whole: a killed process may have left half a line."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, 'rb')) for path in paths]
        for lines in itertools.zip_longest(*files, fillvalue=b''):
            yield from (json.loads(line.decode('ascii')) for line in lines if line.endswith(b'\n'))


def _progress_path(folder: str, index: int) -> str:
    return os.path.join(folder, 'done-{}'.format(index))


def _result_path(folder: str, index: int) -> str:
    return os.path.join(folder, 'found-{}'.format(index))
