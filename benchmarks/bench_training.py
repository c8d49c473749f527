"""Seconds of a training step and its memory, beside the same network trained by bare TensorFlow, in one run.

The floor runs the plain cross-entropy and TensorFlow's Adam on one batch. The steps here are those of `FCN8s.train` on
a batch of the same size: feeding, dropout, ignored pixels, progress line included. Each measurement is a process of its
own, started by one that holds no TensorFlow; the two sides take turns, and the fastest round of each counts. Another
floor is a script that takes ENCODER HEIGHT WIDTH BATCH --precision P --train and prints JSON with 'train_s_per_image'
and 'peak_rss_gb'.

    python benchmarks/bench_training.py [--size 256 512] [--batch 2] [--rounds 2] [--precision P] [--width-divisor 1]
                                        [--floor SCRIPT]
"""

import argparse
import itertools
import os
import sys
import tempfile
import time

import numpy as np
from bench_prediction import BARE_TENSORFLOW, NUM_CLASSES, prepare
from measuring import HEADER, REPEATS, WARM_UP, compare, print_result

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))


def measure_model(model_dir, size, batch, precision, num_classes):
    from fcn8s import FCN8s

    random = np.random.RandomState(0)
    images = random.randint(256, size=(batch,) + tuple(size) + (3,)).astype(np.uint8)
    labels = random.randint(num_classes, size=images.shape[:3]).astype(np.uint8)
    batches = itertools.repeat((images, labels))
    with FCN8s(model_load_dir=model_dir, precision=precision) as model:
        for steps in (WARM_UP, REPEATS):
            start = time.process_time()
            (record,) = model.train(batches, 1, steps, lambda step: 1e-4, keep_prob=0.5)
    print_result('train', record['seconds'], time.process_time() - start, REPEATS * batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), help='default: all that this machine has')
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--floor', metavar='SCRIPT', default=BARE_TENSORFLOW)
    parser.add_argument('--child', metavar='MODEL', help=argparse.SUPPRESS)
    parser.add_argument('--classes', type=int, default=NUM_CLASSES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        measure_model(args.child, args.size, args.batch, args.precision, args.classes)
        return
    size, batch = [str(side) for side in args.size], str(args.batch)
    with tempfile.TemporaryDirectory() as root:
        encoder, model_dir, asked_for, version = prepare(root, args.width_divisor, args.precision)
        print(
            'seconds per image, {} images of {}x{} a step, {} rounds, TensorFlow {}'.format(
                args.batch, *args.size, args.rounds, version
            )
        )
        print('{:10} {}'.format('precision', HEADER))
        for precision in asked_for:
            print('{:10} '.format(precision), end='', flush=True)
            options = ['--precision', precision]
            compare(
                'train',
                [args.floor, encoder] + size + [batch, '--train'] + options,
                [os.path.abspath(__file__), '--child', model_dir, '--batch', batch] + options + ['--size'] + size,
                args.rounds,
            )
            print()


if __name__ == '__main__':
    main()
