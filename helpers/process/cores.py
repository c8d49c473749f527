"""How many cores this process can use."""

import math
import os
from typing import List

from helpers.process import control_groups

#: More threads than this are a typing mistake, and systems refuse to start some of them.
MAX_THREADS = 1024


def available_cores() -> List[int]:
    """Returns the numbers of the cores that this process may run on."""
    if hasattr(os, 'sched_getaffinity'):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def num_cores() -> int:
    """Returns how many threads are worth starting: one for each core that this process may run on, but no more than its
    container's share of processor time.
    """
    limit = control_groups.cores_limit()
    cores = len(available_cores())
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))
