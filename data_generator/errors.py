"""What is raised when the data, and not the call, is at fault."""

from typing import NamedTuple


class DataError(ValueError):
    """A dataset that cannot be used as it is. The message names the file or directory, the fault and the remedy."""


class Problem(NamedTuple):
    """What is wrong with a file where all that is wrong is noted: a kind of `checking.faults`, and details."""

    kind: str
    path: str
    detail: str = ''
