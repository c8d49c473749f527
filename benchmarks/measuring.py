"""What the benchmarks share: seconds and memory of a process, and processes that take turns."""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

WARM_UP, REPEATS = 2, 5
# The keys under which a floor prints its seconds.
SECONDS = {'predict': 'frozen_predict_s_per_image', 'train': 'train_s_per_image'}


def peak_memory():
    """Peak resident memory of this process on Linux, in units of 10^6 KiB, each 2.4 % more than a gigabyte; ru_maxrss
    would start at the peak of the parent."""
    with open('/proc/self/status', encoding='ascii') as status:
        kilobytes = next(line.split()[1] for line in status if line.startswith('VmHWM:'))
    return float(kilobytes) / 1e6


def median_seconds(call):
    """(seconds passed, seconds of all CPUs), after some calls that do not count."""
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter(), time.process_time()
        call()
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    passed, cpu = np.median(seconds[WARM_UP:], axis=0)
    return float(passed), float(cpu)


def measure(what, call, num_images):
    """Prints a result about a `call` that predicts ('predict') or trains on ('train') `num_images` images."""
    print_result(what, *median_seconds(call), num_images)


def print_result(what, passed, cpu, num_images):
    """Prints one line of JSON about this process: seconds per image, passed and of all CPUs, and its memory."""
    result = {SECONDS[what]: passed / num_images, 'cpu_s_per_image': cpu / num_images, 'peak_rss_gb': peak_memory()}
    print(json.dumps(result))


def parse_floor_arguments(description, add_options=lambda parser: None):
    """The arguments of every floor: ENCODER HEIGHT WIDTH BATCH and options; `add_options` adds further ones."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('encoder')
    parser.add_argument('height', type=int)
    parser.add_argument('width', type=int)
    parser.add_argument('batch', type=int)
    parser.add_argument('--classes', type=int, default=20)
    parser.add_argument('--precision', default='float32', choices=['float32', 'bfloat16'])
    parser.add_argument('--train', action='store_true')
    add_options(parser)
    return parser.parse_args()


def run_and_read(command):
    """Runs a Python script with its arguments and returns the JSON of its last line."""
    done = subprocess.run([sys.executable] + command, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit('{} failed:\n{}'.format(' '.join(command), done.stderr.decode()[-3000:]))
    return json.loads(done.stdout.decode().strip().splitlines()[-1])


def compare(what, floor, candidate, rounds):
    """Runs two commands in turn; prints the least seconds and the most memory of each, as a row under `HEADER`.

    Returns the ratio of seconds and the gigabytes of the candidate.
    """
    sides = zip(*[(run_and_read(floor), run_and_read(candidate)) for _ in range(rounds)])
    (bare, bare_cpu, bare_memory), (ours, cpu, memory) = [
        (
            min(result[SECONDS[what]] for result in side),
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
