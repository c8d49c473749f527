"""The limits that control groups set for this process, as containers, batch systems and services use them.

A group is bound by its own limits and by those of all groups above it, so all are read and the tightest counts. In a
container that sees only its part of the tree, the path that the kernel names may not exist: then the limits are at the
top of the visible tree. See cgroups(7), and cgroup-v2 and cgroup-v1/memory in the documentation of Linux.
"""

import posixpath
from typing import Iterator, Optional, Tuple

_ROOT = '/sys/fs/cgroup'
_OWN = '/proc/self/cgroup'
# Version 1 writes "no limit" as a number larger than any memory.
_NO_LIMIT = 1 << 60


def memory_limit() -> Optional[int]:
    """Returns the bytes that the processes of the group may use together; None without a limit or without groups."""
    limits = [limit for limit, _ in _memory_groups()]
    return min(limits) if limits else None


def memory_left() -> Optional[int]:
    """Returns the bytes that the group can still take; None without a limit or without groups."""
    left = [room for _, room in _memory_groups() if room is not None]
    return min(left) if left else None


def cores_limit() -> Optional[float]:
    """Returns how many cores' time the group may use, such as 1.5; None without a limit or without groups."""
    shares = [share for share in map(_quota, _folders('')) if share is not None]
    shares += [share for share in map(_quota_of_version_1, _folders('cpu')) if share is not None]
    return min(shares) if shares else None


def _memory_groups() -> Iterator[Tuple[int, Optional[int]]]:
    """Yields limit and free part, in bytes, of each group that has a limit; None if the free part is not known."""
    for controller, names in (
        ('', ('memory.max', 'memory.current')),
        ('memory', ('memory.limit_in_bytes', 'memory.usage_in_bytes')),
    ):
        for folder in _folders(controller):
            limit, usage = (_number(posixpath.join(folder, name)) for name in names)
            if limit is not None and 0 <= limit < _NO_LIMIT:
                yield limit, None if usage is None else max(1, limit - usage + _reclaimable(folder))


def _folders(controller: str) -> Iterator[str]:
    """Yields the folders of this process's group and of those above it; '' is the tree of version 2."""
    try:
        with open(_OWN, encoding='utf-8', errors='surrogateescape') as file:
            lines = [line.rstrip('\n').split(':', 2) for line in file]
    except OSError:
        return
    tree = posixpath.join(_ROOT, controller) if controller else _ROOT
    for parts in lines:
        if len(parts) == 3 and controller in parts[1].split(','):
            path = posixpath.normpath('/' + parts[2].lstrip('/'))
            while path != '/':
                yield tree + path
                path = posixpath.dirname(path)
            yield tree


def _number(path: str) -> Optional[int]:
    """The number in a file; None for 'max', and if there is no such file."""
    try:
        with open(path, encoding='ascii') as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _reclaimable(folder: str) -> int:
    """Bytes of cached files that count as usage of the group and that the kernel frees when memory is needed."""
    try:
        with open(posixpath.join(folder, 'memory.stat'), encoding='ascii') as file:
            counts = dict(line.split() for line in file)
        return int(counts.get('total_inactive_file', counts.get('inactive_file', 0)))
    except (OSError, ValueError):
        return 0


def _quota(folder: str) -> Optional[float]:
    try:
        with open(posixpath.join(folder, 'cpu.max'), encoding='ascii') as file:
            quota, period = file.read().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # 'max'
        return None


def _quota_of_version_1(folder: str) -> Optional[float]:
    quota, period = (_number(posixpath.join(folder, 'cpu.cfs_{}_us'.format(name))) for name in ('quota', 'period'))
    return quota / period if quota and period and quota > 0 else None
