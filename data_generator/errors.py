"""What is raised when the data, and not the call, is at fault."""

from typing import NamedTuple


class DataError(ValueError):
    """A dataset that cannot be used as it is. The message names the file or directory, the fault and the remedy."""


class Problem(NamedTuple):
    """A fault of a file that is noted instead of raised: a kind of `checking.faults`, the path, and details."""

    kind: str
    path: str
    detail: str = ''
