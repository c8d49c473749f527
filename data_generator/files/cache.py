"""Prepared pairs on disk, as memory-mapped arrays: each pair is decoded and resized only once."""

import hashlib
import io
import os
import re
from typing import Callable, Optional, Tuple

import numpy as np

from data_generator.files.discovery import Pair
from helpers.files import atomic_path, make_directory

#: Part of the name of every entry, so that entries in an older format are not read.
FORMAT = 'pair-3'
# The folders of entries are called by the first characters of the entries' names.
_FOLDER = re.compile('[0-9a-f]{2}$')

# The most bytes of a NumPy record.
_LARGEST = np.iinfo(np.intc).max

Arrays = Tuple[np.ndarray, Optional[np.ndarray]]


class PairCache:
    """Pairs of arrays in a directory, one .npy file for each pair of files and each way of preparing it.

    An entry holds the sizes and modification times of its files, and is made anew if one of them has changed. Entries
    are written atomically, so any number of processes can share the directory, and a killed process leaves no
    unfinished entry. Nothing is ever removed; delete the directory when it is no longer needed.

    Args:
        directory: Made if it does not exist.
        key: Identifies the way of preparing; entries of other keys are not touched.

    Raises:
        OSError: The directory cannot be made or written to, or (from `get`) the disk is full. The message has the path
            and what to do.
    """

    def __init__(self, directory: str, key: str) -> None:
        make_directory(directory)
        self._directory = directory
        self._key = key

    def get(self, pair: Pair, make: Callable[[], Arrays]) -> Arrays:
        """Returns a pair's arrays, read-only and mapped from the disk; calls `make` and stores them first if needed.

        Pairs of 2 GiB and more are not stored, but made each time.
        """
        path = self._path(pair)
        stamp = _stamp(pair)
        arrays = _load(path, stamp)
        if arrays is None:
            arrays = make()
            if stamp.nbytes + sum(array.nbytes for array in arrays if array is not None) <= _LARGEST:
                _save(path, stamp, *arrays)
        return arrays

    def _path(self, pair: Pair) -> str:
        names = [os.path.abspath(name) if name else '' for name in pair]
        digest = hashlib.sha256('\0'.join([FORMAT, self._key] + names).encode('utf-8', 'surrogateescape')).hexdigest()
        return os.path.join(self._directory, digest[:2], digest[2:40] + '.npy')


def holds_entries(directory: str) -> bool:
    """Tells whether a `PairCache` has written to a directory."""
    return os.path.isdir(directory) and any(_FOLDER.match(name) for name in os.listdir(directory))


def _stamp(pair: Pair) -> np.ndarray:
    """Size in bytes and modification time in ns of both files; int64 [4]."""
    states = [os.stat(name) if name else None for name in pair]
    return np.array([(s.st_size, s.st_mtime_ns) if s else (0, 0) for s in states], np.int64).ravel()


def _load(path: str, stamp: np.ndarray) -> Optional[Arrays]:
    try:
        record = np.load(path, mmap_mode='r', allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):  # missing or damaged, for example cut off by a full disk
        return None
    if record.dtype.names is None or not np.array_equal(record['stamp'][0], stamp):
        return None
    return record['image'][0], record['label'][0] if 'label' in record.dtype.names else None


def _save(path: str, stamp: np.ndarray, image: np.ndarray, label: Optional[np.ndarray]) -> None:
    """Writes one record of the stamp, the image and the label: a plain .npy file, which NumPy can map as a whole."""
    fields = [('stamp', np.int64, stamp.shape), ('image', image.dtype, image.shape)]
    if label is not None:
        fields.append(('label', label.dtype, label.shape))
    record = np.empty(1, fields)
    record['stamp'][0], record['image'][0] = stamp, image
    if label is not None:
        record['label'][0] = label
    # Into memory first: when NumPy writes to a full disk itself, its error has neither the cause nor the path.
    content = io.BytesIO()
    np.save(content, record)
    with atomic_path(path) as temporary, open(temporary, 'wb') as file:
        file.write(content.getbuffer())
