"""How much of this machine a command uses: threads that read, and processes that share its images."""

import argparse
import contextlib
import os
from typing import Any, Iterator, Optional

from fcn8s.planning.workers import MAX_WORKERS
from helpers.process.cores import MAX_THREADS


def add_threads_argument(group: Any, what: str) -> None:
    """Adds --threads. what: what they do, in the words of the help."""
    group.add_argument('--threads', type=int, default=2, metavar='N', help='{} (default: 2)'.format(what))


def check_threads(threads: int) -> None:
    """Raises ValueError unless it is from 0 to MAX_THREADS."""
    if not 0 <= threads <= MAX_THREADS:
        raise ValueError('--threads is {}; it has to be from 0 to {}, for example 2.'.format(threads, MAX_THREADS))


def add_sharing_arguments(group: Any) -> None:
    """Adds --workers, for a command that deals out its images, and --share, with which its workers are started."""
    group.add_argument(
        '--workers',
        type=int,
        default=1,
        metavar='N',
        help='share the images among N processes, each with a GPU of its own or its share of the cores; results are '
        'those of one process (default: 1)',
    )
    group.add_argument('--share', nargs=3, help=argparse.SUPPRESS)


def check_workers(workers: int) -> None:
    """Raises ValueError unless so many processes can be started."""
    if not 1 <= workers <= MAX_WORKERS:
        raise ValueError(
            '--workers is {}; it has to be from 1 to {}. More than there are cores or GPUs gain nothing.'.format(
                workers, MAX_WORKERS
            )
        )


def share_of(args: argparse.Namespace) -> Optional[Any]:
    """Returns the `fcn8s.distributed.sharing.Share` with which this process was started; None if without one."""
    if getattr(args, 'share', None) is None:
        return None
    from fcn8s.distributed.sharing import Share

    number, processes, folder = args.share
    return Share(int(number), int(processes), folder)


def is_sharer(args: argparse.Namespace) -> bool:
    """Tells whether this process has to start others that do the work."""
    return args.workers > 1 and args.share is None


def model_path(args: argparse.Namespace, path: str) -> str:
    """Returns where to open a model: the path that was typed, or what it resolved to when the work was dealt out."""
    share = share_of(args)
    return path if share is None else share.model_dir(path)


@contextlib.contextmanager
def silent_output() -> Iterator[None]:
    """Drops what is printed inside the context: the process that deals the work out prints it, once."""
    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
        yield
