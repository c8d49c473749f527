"""Locks that keep processes out of one another's directories; they end with the process that holds them."""

import contextlib
import os
import sys
from typing import Iterator, Optional

if sys.platform != 'win32':  # which has no advisory locks of this kind
    import fcntl

#: The empty file in a locked directory. It stays there: a process may have it open when another one would remove it.
LOCK_FILE = '.lock'


@contextlib.contextmanager
def directory_locked(directory: str, refusal: Optional[str] = None) -> Iterator[None]:
    """Holds the lock of an existing directory. There is none on Windows and on file systems without locks.

    The directory itself is locked, and also a file in it: NFS hands on only locks of files to other machines. Where
    that file cannot be made, processes of other machines are not kept out.

    Args:
        refusal: The message of the error if someone else holds the lock; None to wait for it.

    Raises:
        ValueError: Someone else holds the lock, and there is a `refusal`.
    """
    if sys.platform == 'win32':
        yield
        return
    with _locked(os.open(directory, os.O_RDONLY), refusal), contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = os.open(os.path.join(directory, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            stack.enter_context(_locked(file, refusal))
        yield


@contextlib.contextmanager
def _locked(descriptor: int, refusal: Optional[str]) -> Iterator[None]:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if refusal is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ValueError(refusal) from error
        except OSError:
            pass
        yield
    finally:
        with contextlib.suppress(OSError):  # a process forked meanwhile holds the descriptor, too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
