"""How long the data generator takes a pair of 1024x2048 PNGs, beside decoding alone, in one run on all cores.

The floor decodes the same files with the fastest decoder at hand (OpenCV, the better of its ways) in as many threads or
processes, whichever is faster, and does nothing else. All candidates take turns, and the fastest round of each counts,
for what else a machine does only ever adds time.

    python benchmarks/bench_data.py [--pairs 24] [--rounds 5] [--workers 2] [--size 1024 2048]

benchmarks/run.py measures the same, and peers that read the same files, each in a process of its own (--child).
"""

import argparse
import contextlib
import functools
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import cv2
import numpy as np
from measuring import peak_memory

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from data_generator import BatchGenerator  # noqa: E402

TRANSFORMS = dict(brightness=(0.5, 1.5, 0.5), flip=0.5, translate=((0, 80), (0, 40), 0.5), scale=(0.8, 1.3, 0.5))
DECODERS = {
    'IMREAD_COLOR': cv2.IMREAD_COLOR,
    'IMREAD_UNCHANGED': cv2.IMREAD_UNCHANGED,
    'IMREAD_COLOR_RGB': getattr(cv2, 'IMREAD_COLOR_RGB', cv2.IMREAD_COLOR),
}
WARM_UP = 4  # pairs; also the number of prefetched pairs
TARGET_RATIO, TARGET_CACHED_MS = 1.15, 5.0


def write_dataset(root, num_pairs, size):
    """Writes smooth shapes with the noise of a camera sensor (a few grey levels), and labels of large regions."""
    rng = np.random.default_rng(0)
    height, width = size
    for split_dir in ('leftImg8bit/train/town', 'gtFine/train/town'):
        os.makedirs(os.path.join(root, split_dir))
    for number in range(num_pairs):
        scene = cv2.resize(
            rng.integers(0, 256, (height // 32, width // 32, 3), np.uint8),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        image = np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)
        regions = rng.integers(0, 34, (height // 64, width // 64), np.uint8)
        label = cv2.resize(
            cv2.resize(regions, (width // 8, height // 8), interpolation=cv2.INTER_NEAREST),
            (width, height),
            interpolation=cv2.INTER_NEAREST,
        )
        name = 'town_{:06d}'.format(number)
        cv2.imwrite(os.path.join(root, 'leftImg8bit/train/town', name + '_leftImg8bit.png'), image)
        cv2.imwrite(os.path.join(root, 'gtFine/train/town', name + '_gtFine_labelIds.png'), label)


def decode(flag, pair):
    """Decodes both files of a pair and returns nothing: sending a result back would cost processes time."""
    cv2.imread(pair.image, flag)
    cv2.imread(pair.label, cv2.IMREAD_UNCHANGED)


def floor_runs(pools, pairs):
    return {
        'decode only, {}, {}'.format(kind, name): functools.partial(
            map_all, pool, functools.partial(decode, flag), pairs
        )
        for kind, pool in pools.items()
        for name, flag in DECODERS.items()
    }


def map_all(pool, function, pairs):
    """Returns ms per pair."""
    start = time.perf_counter()
    list(pool.map(function, pairs))
    return (time.perf_counter() - start) * 1e3 / len(pairs)


def generator_runs(dataset, options, cache_dir, workers):
    runs = {}
    for name, settings in (
        ('generator', dict(workers=workers)),
        ('generator, no workers', dict(workers=0)),
        ('generator, cached', dict(workers=workers, cache_dir=cache_dir)),
        ('generator, cached, no workers', dict(workers=0, cache_dir=cache_dir)),
    ):
        runs[name] = functools.partial(take_a_pass, dataset, dict(options, **settings))
    return runs


def take_a_pass(dataset, options):
    """Returns ms per pair. Takes a few pairs first, so that the queue is empty and workers are busy at both ends."""
    num_pairs = dataset.get_num_files()
    with dataset.generate(1, prefetch=WARM_UP, **options) as iterator:
        for _ in range(WARM_UP + 1):
            next(iterator)
        start = time.perf_counter()
        for _ in range(num_pairs):
            next(iterator)
        return (time.perf_counter() - start) * 1e3 / num_pairs


def measure(runs, rounds):
    """Returns ms per pair of the fastest round of each run; the first round, which fills caches, does not count."""
    times = {name: [] for name in runs}
    for _ in range(1 + rounds):
        for name, run in runs.items():
            times[name].append(run())
    return {name: min(values[1:]) for name, values in times.items()}


def report(times):
    floor = min(ms for name, ms in times.items() if name.startswith('decode only'))
    print('{:45} {:>10} {:>8}'.format('', 'ms a pair', 'x floor'))
    for name, ms in times.items():
        print('{:45} {:10.2f} {:8.2f}'.format(name, ms, ms / floor))
    ratio, cached = times['generator'] / floor, times['generator, cached']
    print(
        'generator / floor = {:.3f} (wanted: at most {}); cached: {:.2f} ms (wanted: at most {})'.format(
            ratio, TARGET_RATIO, cached, TARGET_CACHED_MS
        )
    )


@contextlib.contextmanager
def all_runs(root, size, workers):
    """Name -> run of every candidate, on a dataset below `root`."""
    # The processes start first: a fork would copy the locks of threads that are already there.
    with ProcessPoolExecutor(workers) as processes, ThreadPoolExecutor(workers) as threads:
        list(processes.map(abs, range(workers)))
        dataset = BatchGenerator.from_layout('cityscapes', root)
        options = dict(TRANSFORMS, resize=(size[0] // 2, size[1] // 2))
        runs = floor_runs({'threads': threads, 'processes': processes}, dataset.pairs)
        runs.update(generator_runs(dataset, options, os.path.join(root, 'cache'), workers))
        yield runs


def child(args):
    """Prints, as JSON, the seconds per pair of one candidate: 'decode', the fastest way to decode, or a generator."""
    name, root = args.child
    with all_runs(root, args.size, args.workers) as runs:
        decoders = [run for run in runs if run.startswith('decode only')]
        times = measure({run: runs[run] for run in (decoders if name == 'decode' else [name])}, args.rounds)
    print(json.dumps({'seconds': min(times.values()) / 1e3, 'peak_rss_gb': peak_memory()}))


def first_batch(root):
    """Prints, as JSON, the seconds until a dataset is found and its first batch is there."""
    start = time.perf_counter()
    with BatchGenerator.from_layout('cityscapes', root).generate(1, shuffle=True, workers=1) as batches:
        next(batches)
        passed = time.perf_counter() - start
    print(json.dumps({'seconds': passed, 'peak_rss_gb': peak_memory()}))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pairs', type=int, default=24)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    parser.add_argument('--size', type=int, nargs=2, default=(1024, 2048), metavar=('H', 'W'))
    parser.add_argument('--prepare', metavar='ROOT', help=argparse.SUPPRESS)
    parser.add_argument('--child', nargs=2, metavar=('NAME', 'DATA'), help=argparse.SUPPRESS)
    parser.add_argument('--first-batch', metavar='DATA', help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.prepare:
        write_dataset(arguments.prepare, arguments.pairs, arguments.size)
        print(json.dumps(arguments.prepare))
        return
    if arguments.child:
        child(arguments)
        return
    if arguments.first_batch:
        first_batch(arguments.first_batch)
        return
    print(
        'OpenCV {}, NumPy {}, Python {}, {} cores, {} workers'.format(
            cv2.__version__, np.__version__, sys.version.split()[0], os.cpu_count(), arguments.workers
        )
    )
    with tempfile.TemporaryDirectory() as root:
        write_dataset(root, arguments.pairs, arguments.size)
        with all_runs(root, arguments.size, arguments.workers) as runs:
            report(measure(runs, arguments.rounds))


if __name__ == '__main__':
    main()
