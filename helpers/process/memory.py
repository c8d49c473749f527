"""How much memory is free, checked before it is taken; and releasing the memory of an array that still exists."""

import mmap
import os
import sys
from typing import Any, Optional, Tuple

from helpers.process import control_groups

# The kernel's report, see meminfo(5).
_MEMINFO = '/proc/meminfo'

# madvise(2): the pages are not needed. They are freed at once, and later reads give zeros.
_MADV_DONTNEED = 4

# Below this nothing is checked: images are read by the thousand, and the check would cost more than it saves.
_SMALL = 1 << 26


def free_memory() -> Optional[int]:
    """Returns the bytes that this process can still take: the minimum of what machine and control group have left.

    None if neither is known (macOS, Windows).
    """
    known = [value for value in (_available_in_meminfo(), control_groups.memory_left()) if value]
    return min(known) if known else None


def total_memory() -> Optional[int]:
    """Returns the bytes of memory that this process could use if no other used any: those of the machine, or the limit
    of its container. None if that is not known (Windows).
    """
    if not hasattr(os, 'sysconf'):
        return None
    of_machine = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    limit = control_groups.memory_limit()
    return of_machine if limit is None else min(of_machine, limit)


def require_memory(name: Any, needed: int, what: str) -> None:
    """Raises ValueError if `needed` bytes are more than are free; `name` is the file, `what` describes its content."""
    lacking = shortage(needed) if needed > _SMALL else None
    if lacking is not None:
        raise ValueError(
            '{} holds {}, which take {} of memory, and {} are free. Cut it into smaller files, or take a machine with '
            'more memory.'.format(name, what, *lacking)
        )


def shortage(needed: int) -> Optional[Tuple[str, str]]:
    """Returns as texts the bytes that are needed and those that are free, if more are needed; None if not, or if it is
    not known.
    """
    free = free_memory()
    return None if free is None or needed <= free else (readable_size(needed), readable_size(free))


def give_back(array: Any) -> bool:
    """Releases the memory of an array that is no longer read, except pages that it shares with others.

    array: numpy.ndarray, contiguous; its values are lost. If it is a part of an array, the rest of that is unchanged.

    Returns whether this was done: only Linux takes back a part of an allocation.
    """
    if not sys.platform.startswith('linux'):
        return False
    import ctypes

    start = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start
    advise = ctypes.CDLL(None).madvise
    return size <= 0 or advise(ctypes.c_void_p(start), ctypes.c_size_t(size), ctypes.c_int(_MADV_DONTNEED)) == 0


def readable_size(size: float) -> str:
    """Formats a number of bytes for people: '512 B', '1.8 MB', '3.8 GB'."""
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
