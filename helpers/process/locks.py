"""Locks that keep processes out of one another's directories; they end with the process that holds them."""

import contextlib
import os
import sys
from typing import Iterator, Optional

if sys.platform != 'win32':  # which has no advisory locks of this kind
    import fcntl


@contextlib.contextmanager
def directory_locked(directory: str, refusal: Optional[str] = None) -> Iterator[None]:
    """Holds the lock of an existing directory. There is none on Windows and on file systems without locks.

    Args:
        refusal: The message of the error if someone else holds the lock; None to wait for it.

    Raises:
        ValueError: Someone else holds the lock, and there is a `refusal`.
    """
    if sys.platform == 'win32':
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)  # not a file in it: files are replaced
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if refusal is None else fcntl.LOCK_NB))
    except BlockingIOError as error:
        os.close(descriptor)
        raise ValueError(refusal) from error
    except OSError:
        pass
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a process forked meanwhile holds the open directory, too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
