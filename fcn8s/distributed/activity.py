"""Signs of work of a process: whether it does something that takes long, or hangs.

Who computes uses CPU, and who reads or saves moves bytes. Who waits for a dead disk, a lock, another process or the end
of a sleep does neither. Linux tells both in /proc (https://man7.org/linux/man-pages/man5/proc.5.html); elsewhere it
cannot be told, and each look counts as a sign of work.
"""

import contextlib
import os
import time
from typing import Dict, Iterator, List, Optional

_PROC = '/proc'
# Seconds of CPU and bytes, a second, that a process may use which does nothing. One that sleeps or waits in a
# collective, with the session and server of TensorFlow 2.21 or 1.15, was measured to use 0.0003 to 0.0012 s; one that
# waits for a message of the watch, which wakes ten times a second, 0.0015 to 0.003 s (AMD EPYC, beside other work), and
# 0.003 to 0.010 s (Xeon, beside other work). Each moved 25 bytes, as messages over sockets are not counted. What
# computes a twentieth of the time, or reads 64 kB a second, is more than three times and four times as much.
_IDLE_CPU = 0.015
_IDLE_BYTES = 2.0**14
# A sign of work is so many seconds' worth of that, beyond what time itself allows; of CPU, Linux counts hundredths.
_SIGN = 2.0


class Activity:
    """Looks for signs of work in a process and in those that it has started.

    process_id: None for this process; what the thread that looks does is left out then, and it has to stay the same.
    """

    def __init__(self, process_id: Optional[int] = None) -> None:
        self._is_own = process_id is None
        self._process = str(os.getpid() if process_id is None else process_id)
        self._num_read = 0
        # What each process has done, in seconds' worth of doing nothing; of the last seconds, what was more.
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
        except (OSError, ValueError):  # no such file, or one of another form, as sandboxes have them
            self._can_tell = False

    def _growth_of(self, process: str, stat: List[str]) -> float:
        """What a process has done since the last look, in seconds' worth of doing nothing. stat: from its third field.

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
        """What the system has written while the process waited for a disk, as fsync does: it is counted to nobody."""
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
        return content.decode(errors='replace')  # a name of 15 bytes may end within a letter
