"""Drops what TensorFlow's C++ code prints at its start, where it is not about the user's program.

`TF_CPP_MIN_LOG_LEVEL` cannot silence the lines that come while the libraries load ("All log messages before
absl::InitializeLog() is called are written to STDERR"): they are written before the variable is looked at. So while
TensorFlow is imported, a filter stands between the process and its standard error. It is a process of its own, because
a library that aborts (on a CPU without AVX, say) takes every thread along, and its last words have to arrive.
"""

import contextlib
import os
import subprocess
import sys
from typing import Iterator, List, Optional

LEVEL = 'TF_CPP_MIN_LOG_LEVEL'
VERBOSE = 'FCN8S_VERBOSE'

# The devices of an NVIDIA driver: on Linux, and on the Windows Subsystem for Linux.
_GPU_DEVICES = ('/dev/nvidiactl', '/dev/nvidia0', '/dev/dxg')

# argv[1]: the letters of the severities that are dropped. Works on bytes; other lines pass unchanged.
_FILTER = r"""
import re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
form = '[{0}][0-9]{{4}} [0-9:.]+ +[0-9]+ [^ ]+:[0-9]+\\] |[0-9-]+ [0-9:.]+: [{0}] '
notice = re.compile(form.format(sys.argv[1]).encode())
rest = (b'WARNING: All log messages before absl::InitializeLog()', b'To enable the following instructions: ')
for line in sys.stdin.buffer:
    if not notice.match(line) and not line.startswith(rest):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def set_level() -> str:
    """Sets how much TensorFlow's C++ code prints, where the user has not, and returns the level.

    Errors are shown where there may be a GPU. Elsewhere they are not: every start prints one, that there is no GPU.

    Returns:
        '0' everything, '1' no notices, '2' no warnings, '3' fatal errors alone. Errors that a program can do something
        about arrive as Python exceptions at each level.
    """
    if os.environ.get(VERBOSE):
        default = '0'
    else:
        default = '2' if os.name == 'nt' or any(os.path.exists(path) for path in _GPU_DEVICES) else '3'
    return os.environ.setdefault(LEVEL, default)


def dropped_severities(level: str) -> str:
    """Returns the letters of the severities below a level: '2' -> 'IW'; '' for a level that is no number."""
    return 'IWE'[: int(level)] if level.isdecimal() else ''


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps lines of TensorFlow's C++ log below the level off standard error while it is open; all others pass."""
    dropped = dropped_severities(set_level())
    filtering = _start_filter(dropped) if dropped and 'tensorflow' not in sys.modules else None
    if filtering is None or filtering.stdin is None:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        filtering.wait()


def _start_filter(dropped: str) -> Optional[subprocess.Popen]:
    """Returns None where there is no standard error, or no Python to start, as in a program packed by PyInstaller."""
    if getattr(sys, 'frozen', False) or not sys.executable or sys.stderr is None:
        return None
    command: List[str] = [sys.executable, '-I', '-S', '-c', _FILTER, dropped]
    try:
        os.fstat(2)
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    except (OSError, ValueError):
        return None
