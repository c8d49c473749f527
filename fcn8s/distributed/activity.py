"""Signs of work of a process: whether it is busy for a long time, or hangs.

A process that computes uses CPU, and one that reads or saves moves bytes. One that waits for a dead disk, a lock,
another process or the end of a sleep does neither. Linux shows both in /proc
(https://man7.org/linux/man-pages/man5/proc.5.html); elsewhere nothing is known, and each look counts as a sign of work.
"""

import contextlib
import os
import time
from typing import Dict, Iterator, List, Optional

_PROC = '/proc'
# The CPU seconds and bytes that an idle process may use per second. A process that sleeps or waits in a collective,
# with the session and server of TensorFlow 2.21 or 1.15, used 0.0003 to 0.0012 s in measurements; one that waits for a
# message of the watch, which wakes ten times a second, 0.0015 to 0.003 s (AMD EPYC, beside other work), and 0.003 to
# 0.010 s (Xeon, beside other work). Each moved 25 bytes, as messages over sockets are not counted. A process that
# computes a twentieth of the time uses more than three times as much, one that reads 64 kB a second four times.
_IDLE_CPU = 0.015
_IDLE_BYTES = 2.0**14
# A sign of work is this many idle seconds' worth of CPU and bytes more than the time that has passed. Linux counts CPU
# in hundredths of a second.
_SIGN = 2.0


class Activity:
    """Looks for signs of work in a process and in those that it has started.

    process_id: None for this process. The thread that looks is then not counted, and has to be the same each time.
    """

    def __init__(self, process_id: Optional[int] = None) -> None:
        self._is_own = process_id is None
        self._process = str(os.getpid() if process_id is None else process_id)
        self._num_read = 0
        # What each process has done, in idle seconds' worth; and what was done lately beyond the time that has passed.
        self._done: Dict[str, float] = {}
        self._level, self._looked = 0.0, time.monotonic()
        # Bytes that the system has carried to disks, at the last look at a process that waited for a disk.
        self._carried: Optional[float] = None
        self._can_tell = True
        with self._unless_it_cannot_be_told():
            self._read(self._process, 'task', self._process, 'children')
            self._growth_of(self._process, self._stat(self._process))

    def look(self) -> bool:
        """Tells whether more was done lately than an idle process does. Children of a busy one are not looked at."""
        now = time.monotonic()
        idle, self._looked = now - self._looked, now
        with self._unless_it_cannot_be_told():
            stat = self._stat(self._process)
            self._level += self._growth_of(self._process, stat) + self._growth_of_carried(stat[0] == 'D') - idle
            if self._level < _SIGN:
                self._level += self._growth_of_children()
        works = self._level >= _SIGN or not self._can_tell
        self._level = 0.0 if works else max(0.0, self._level)
        return works

    @contextlib.contextmanager
    def _unless_it_cannot_be_told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # no such file, or one in another format, as in sandboxes
            self._can_tell = False

    def _growth_of(self, process: str, stat: List[str]) -> float:
        """What a process has done since the last look, in idle seconds' worth. stat: its fields from the third on.

        CPU and bytes include those of children that have ended.
        """
        alone, of_children = (sum(map(int, stat[place : place + 2])) / os.sysconf('SC_CLK_TCK') for place in (11, 13))
        moved = sum(int(line.split()[1]) for line in self._read(process, 'io').splitlines()[:6] if 'sysc' not in line)
        if self._is_own and process == self._process:
            alone, moved = time.process_time() - time.thread_time(), moved - self._num_read
        before = self._done.get(process, 0.0)
        self._done[process] = (alone + of_children) / _IDLE_CPU + moved / _IDLE_BYTES
        return max(0.0, self._done[process] - before)

    def _growth_of_children(self) -> float:
        growth, found = 0.0, {self._process}
        for child in self._descendants(self._process):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                growth += self._growth_of(child, self._stat(child))
                found.add(child)
        self._done = {process: done for process, done in self._done.items() if process in found}
        return growth

    def _descendants(self, process: str) -> Iterator[str]:
        threads: List[str] = []
        with contextlib.suppress(OSError):
            threads = os.listdir(os.path.join(_PROC, process, 'task'))
        for thread in threads:
            with contextlib.suppress(OSError):
                for child in self._read(process, 'task', thread, 'children').split():
                    yield child
                    yield from self._descendants(child)

    def _growth_of_carried(self, waits_for_disk: bool) -> float:
        """What the system has written while the process waited for a disk, as in fsync: no process's count has it."""
        if not waits_for_disk:
            self._carried = None
            return 0.0
        lines = self._read('vmstat').splitlines()
        (pages,) = [int(line.split()[1]) for line in lines if line.startswith('nr_written ')]
        before, self._carried = self._carried, float(pages * os.sysconf('SC_PAGE_SIZE'))
        return 0.0 if before is None else (self._carried - before) / _IDLE_BYTES

    def _stat(self, process: str) -> List[str]:
        # The second field is a name, in parentheses, which may hold blanks and parentheses.
        return self._read(process, 'stat').rpartition(')')[2].split()

    def _read(self, *names: str) -> str:
        with open(os.path.join(_PROC, *names), 'rb', buffering=0) as file:
            content = b''.join(iter(lambda: file.read(2**16), b''))
        self._num_read += len(content)
        return content.decode(errors='replace')  # a name is cut at 15 bytes, perhaps within a letter
