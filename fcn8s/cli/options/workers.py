"""How much of this machine a command takes: threads that read."""

from typing import Any


def add_threads_argument(group: Any, what: str) -> None:
    """--threads; what: they do, as the help says it."""
    group.add_argument('--threads', type=int, default=2, metavar='N', help='{} (default: 2)'.format(what))


def check_threads(threads: int) -> None:
    """Raises ValueError unless it is 0 or more."""
    if threads < 0:
        raise ValueError('--threads is {}; it has to be 0 or more, for example 2.'.format(threads))
