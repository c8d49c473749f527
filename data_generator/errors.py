"""Errors in the data, as opposed to errors in a call."""

from typing import NamedTuple


class DataError(ValueError):
    """A dataset that cannot be used as it is. The message names the file or directory, the fault and the remedy."""


class Problem(NamedTuple):
    """A fault of a file, collected instead of raised: a kind from `checking.faults`, the path, and details."""

    kind: str
    path: str
    detail: str = ''
