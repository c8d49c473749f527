"""How much memory there is, asked before it is taken; and memory that goes back before its array does."""

import mmap
import os
import sys
from typing import Any, Optional

from helpers.process import control_groups

# Where the kernel says it, see meminfo(5).
_MEMINFO = '/proc/meminfo'

# madvise(2): the pages are not needed; they are free at once, and would be read as zeros.
_MADV_DONTNEED = 4

# So much is never asked for: looking costs more than it saves, and images are read by the thousand.
_SMALL = 1 << 26


def free_memory() -> Optional[int]:
    """Returns the bytes that this process can still take: the smaller of what machine and control group have left.

    None where neither says so (macOS, Windows).
    """
    known = [value for value in (_available_in_meminfo(), control_groups.memory_left()) if value]
    return min(known) if known else None


def total_memory() -> int:
    """Returns the bytes of memory that this process could have if nobody else used any: all that the machine has, or
    what its container is limited to.
    """
    of_machine = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    limit = control_groups.memory_limit()
    return of_machine if limit is None else min(of_machine, limit)


def require_memory(name: Any, needed: int, what: str) -> None:
    """Raises ValueError where `needed` bytes are more than are free; `name` is the file, `what` what it holds."""
    free = free_memory() if needed > _SMALL else None
    if free is not None and needed > free:
        raise ValueError(
            '{} holds {}, which take {} of memory, and {} are free. Cut it into smaller files, or take a machine with '
            'more memory.'.format(name, what, readable_size(needed), readable_size(free))
        )


def give_back(array: Any) -> bool:
    """Gives the memory of an array that is no longer read back to the system; pages that it shares stay.

    array: numpy.ndarray, contiguous; its values are lost. What it is a part of stays as it is.

    Returns whether that was done: only Linux takes memory back from within an allocation.
    """
    if not sys.platform.startswith('linux'):
        return False
    import ctypes

    start = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start
    advise = ctypes.CDLL(None).madvise
    return size <= 0 or advise(ctypes.c_void_p(start), ctypes.c_size_t(size), ctypes.c_int(_MADV_DONTNEED)) == 0


def readable_size(size: float) -> str:
    """Writes bytes as a number that people read: '512 B', '1.8 MB', '3.8 GB'."""
    units = ('B', 'kB', 'MB', 'GB', 'TB')
    power = 0
    while size >= 1000 and power + 1 < len(units):
        size, power = size / 1000.0, power + 1
    return '{:.{}f} {}'.format(size, 1 if power else 0, units[power])


def _available_in_meminfo() -> Optional[int]:
    try:
        with open(_MEMINFO, encoding='ascii') as file:
            for line in file:
                if line.startswith('MemAvailable:'):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
