"""What the peers of the data generator share: the files of a dataset, and a timed pass over it."""

import argparse
import glob
import json
import os
import time

from measuring import peak_memory


def parse_reader_arguments(description):
    """Parses DATA, the size of its images, which are halved, workers and rounds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', help='what `bench_data.py --prepare` wrote')
    parser.add_argument('--size', type=int, nargs=2, default=(1024, 2048), metavar=('H', 'W'))
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    parser.add_argument('--rounds', type=int, default=5)
    return parser.parse_args()


def files_of(data):
    """(images, labels), in the same order."""
    images, labels = (
        sorted(glob.glob(os.path.join(data, folder, 'train', '*', '*.png'))) for folder in ('leftImg8bit', 'gtFine')
    )
    return images, labels


def measure_passes(endless, num_pairs, rounds):
    """Prints, as JSON, the seconds per pair of an endless iterator's fastest pass; the first pass does not count."""
    passes = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        for _ in range(num_pairs):
            next(endless)
        passes.append((time.perf_counter() - start) / num_pairs)
    print(json.dumps({'seconds': min(passes[1:]), 'peak_rss_gb': peak_memory()}))
