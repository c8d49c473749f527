"""Runs a benchmark together with the processes that it measures in one process, which imports TensorFlow once.

    python tests/in_one_process.py BENCHMARK ARGUMENTS

For tests: what is run is the same, and the figures are not looked at.
"""

import contextlib
import io
import json
import os
import runpy
import sys


def run(words):
    sys.argv = words
    runpy.run_path(words[0], run_name='__main__')


def run_and_read(words):
    """In place of `measuring.run_and_read`."""
    printed, own = io.StringIO(), sys.argv
    with contextlib.redirect_stdout(printed):
        run(words)
    sys.argv = own
    return json.loads(printed.getvalue().strip().splitlines()[-1])


if __name__ == '__main__':
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[1]))
    import measuring

    measuring.run_and_read = run_and_read
    run(sys.argv[1:])
