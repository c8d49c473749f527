"""Starts one measurement as a process and reads what it says."""

import json
import os
import resource
import subprocess
import time

from suite.environments import ROOT


class MeasurementError(RuntimeError):
    """A measurement that ended with an error."""


def environment():
    """That of a child: the library of this checkout, and a quiet TensorFlow."""
    paths = [ROOT] + [path for path in os.environ.get('PYTHONPATH', '').split(os.pathsep) if path]
    quiet = {'PYTHONPATH': os.pathsep.join(dict.fromkeys(paths)), 'TF_CPP_MIN_LOG_LEVEL': '3'}
    return dict(os.environ, **quiet)


def run_child(command):
    """Returns (standard output, seconds passed, seconds of all CPUs); MeasurementError has the end of its errors."""
    start, used = time.perf_counter(), _cpu_of_children()
    done = subprocess.run(
        command, check=False, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    passed, cpu = time.perf_counter() - start, _cpu_of_children() - used
    if done.returncode:
        raise MeasurementError(
            '{} ended with {}:\n{}'.format(' '.join(command), done.returncode, done.stderr.decode()[-2000:])
        )
    return done.stdout.decode(), passed, cpu


def run_and_read(command):
    """The JSON of a child's last line."""
    lines = run_child(command)[0].strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise MeasurementError('{} printed no result: {}'.format(' '.join(command), lines[-1:])) from error


def _cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
