"""Damaged files: those that end early, make no sense, or claim to hold more than they do. All get the same message."""

import contextlib
import errno
import lzma
import struct
import tokenize
import zipfile
import zlib
from typing import IO, Any, Iterator

# What the readers of zip, HDF5, NumPy and pickle raise for damaged files besides ValueError.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,  # a zip with a method or version that Python does not have
    RuntimeError,  # an encrypted zip, HDF5, or endlessly nested lists
    SyntaxError,
    TypeError,
)
# The reason where an announced size takes all memory.
LARGER_THAN_MEMORY = 'it claims to hold more than fits into memory'
# The most characters of a reason that are shown.
_LONGEST_REASON = 500
# The longest line of a pickle (a name, a number in digits).
_LONGEST_LINE = 1 << 16


def damaged(path: str, error: Any) -> ValueError:
    """Returns the error to raise where a weights file is damaged or truncated."""
    reason = str(error).rstrip('.')
    reason = reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + '...'  # zip shows whole headers
    return ValueError('{} is damaged or truncated: {}. Copy or download it again.'.format(path, reason))


@contextlib.contextmanager
def explain_damage(path: str) -> Iterator[None]:
    """Raises ValueError, in one line, where a reader meets something that no undamaged file has."""
    try:
        yield
    except ValueError as error:
        # Readers below know nothing of the file's name.
        if path in str(error):
            raise
        raise damaged(path, error) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: seeking to before the beginning of the file
            raise
        raise damaged(path, error) from error
    except MemoryError as error:
        raise damaged(path, LARGER_THAN_MEMORY) from error
    except _DAMAGE as error:
        raise damaged(path, '{}: {}'.format(type(error).__name__, error)) from error


class BoundedFile:
    """A file that refuses reads beyond its end before memory is taken: a length in a damaged file can be anything."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        """size: how many bytes `file` has from its beginning."""
        self._file = file
        self._size = size

    def read(self, count: int = -1) -> bytes:
        """Reads bytes; raises EOFError, before memory is taken, if the file has fewer left."""
        if count > self._size - self._file.tell():
            raise EOFError('{} bytes are announced, and the file ends before'.format(count))
        return self._file.read(count)

    def readline(self) -> bytes:
        """Reads a line; raises EOFError for one that is longer than any name or number."""
        line = self._file.readline(_LONGEST_LINE)
        if len(line) == _LONGEST_LINE:
            raise EOFError('a line of {} bytes or more'.format(len(line)))
        return line
