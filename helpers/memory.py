"""How much memory there is, asked before it is taken."""

from typing import Any, Optional

# Where the kernel says it: meminfo(5), and the limits of a control group of version 2 and of version 1.
_MEMINFO = '/proc/meminfo'
_GROUP_LIMITS = (
    ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory.current', '/sys/fs/cgroup/memory.stat'),
    (
        '/sys/fs/cgroup/memory/memory.limit_in_bytes',
        '/sys/fs/cgroup/memory/memory.usage_in_bytes',
        '/sys/fs/cgroup/memory/memory.stat',
    ),
)

# So much is never asked for: looking costs more than it saves, and images are read by the thousand.
_SMALL = 1 << 26


def free_memory() -> Optional[int]:
    """Returns the bytes that this process can still take: the smaller of what machine and control group have left.

    None where neither says so (macOS, Windows).
    """
    known = [
        value for value in [_available_in_meminfo()] + [_left_in_group(*names) for names in _GROUP_LIMITS] if value
    ]
    return min(known) if known else None


def require_memory(name: Any, needed: int, what: str) -> None:
    """Raises ValueError where `needed` bytes are more than are free; `name` is the file, `what` what it holds."""
    free = free_memory() if needed > _SMALL else None
    if free is not None and needed > free:
        raise ValueError(
            '{} holds {}, which take {} of memory, and {} are free. Cut it into smaller files, or take a machine with '
            'more memory.'.format(name, what, readable_size(needed), readable_size(free))
        )


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


def _left_in_group(limit: str, usage: str, statistics: str) -> Optional[int]:
    try:
        values = []
        for name in (limit, usage):
            with open(name, encoding='ascii') as file:
                values.append(int(file.read()))
        cached = _cached_in_group(statistics)
    except (OSError, ValueError):  # no such group, or 'max'
        return None
    # Version 1 writes "no limit" as a number beyond every machine.
    return None if values[0] >= 1 << 60 else max(1, values[0] - values[1] + cached)


def _cached_in_group(statistics: str) -> int:
    """Bytes of files that the group's usage counts and the kernel gives up when memory is wanted."""
    with open(statistics, encoding='ascii') as file:
        counts = dict(line.split() for line in file)
    return int(counts.get('total_inactive_file', counts.get('inactive_file', 0)))
