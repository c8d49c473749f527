"""What the benchmarks share: seconds and memory of a process, and processes that take turns."""

import json
import subprocess
import sys
import time

import numpy as np

WARM_UP, REPEATS = 2, 5


def peak_memory():
    """Peak resident gigabytes of this process, on Linux; ru_maxrss would start at the peak of its parent."""
    with open('/proc/self/status', encoding='ascii') as status:
        kilobytes = next(line.split()[1] for line in status if line.startswith('VmHWM:'))
    return float(kilobytes) / 1e6


def median_seconds(call):
    """(passed, of all CPUs), after some calls that do not count."""
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter(), time.process_time()
        call()
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    passed, cpu = np.median(seconds[WARM_UP:], axis=0)
    return float(passed), float(cpu)


def print_result(what, call, images_per_call):
    """One line of JSON about a process whose `call` predicts ('predict') or trains on ('train') so many images."""
    passed, cpu = median_seconds(call)
    print(
        json.dumps(
            {
                {'predict': 'frozen_predict_s_per_image', 'train': 'train_s_per_image'}[what]: passed / images_per_call,
                'cpu_s_per_image': cpu / images_per_call,
                'peak_rss_gb': peak_memory(),
            }
        )
    )


def run_and_read(command):
    """Runs a Python script with its arguments and returns the JSON of its last line."""
    done = subprocess.run([sys.executable] + command, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit('{} failed:\n{}'.format(' '.join(command), done.stderr.decode()[-3000:]))
    return json.loads(done.stdout.decode().strip().splitlines()[-1])


def compare(what, floor, candidate, rounds):
    """Runs two commands in turn; the least seconds and the most memory of each, as a row under `HEADER`.

    Returns the ratio of seconds and the gigabytes of the candidate.
    """
    key = {'predict': 'frozen_predict_s_per_image', 'train': 'train_s_per_image'}[what]
    sides = zip(*[(run_and_read(floor), run_and_read(candidate)) for _ in range(rounds)])
    (bare, bare_cpu, bare_memory), (ours, cpu, memory) = [
        (
            min(result[key] for result in side),
            min(result.get('cpu_s_per_image', np.nan) for result in side),
            max(result['peak_rss_gb'] for result in side),
        )
        for side in sides
    ]
    print(
        '{:>9.3f} s {:>9.3f} s {:>7.3f} {:>12.3f} {:>10.2f} GB {:>8.2f} GB'.format(
            bare, ours, ours / bare, cpu / bare_cpu, bare_memory, memory
        ),
        end='  ',
    )
    return ours / bare, memory


HEADER = '{:>11} {:>11} {:>7} {:>12} {:>13} {:>11}'.format(
    'floor', 'fcn8s', 'ratio', 'of CPU time', 'floor peak', 'fcn8s peak'
)
