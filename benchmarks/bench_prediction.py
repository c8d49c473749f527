"""Seconds and memory of a prediction of one image, beside the same network as bare frozen TensorFlow, in one run.

Each measurement is a process of its own; the two sides take turns, and the fastest round of each counts, for what else
a machine does only ever adds time. The seconds of all CPUs are less disturbed by other work. Another floor is a script
that takes ENCODER HEIGHT WIDTH BATCH --precision P and prints JSON with 'frozen_predict_s_per_image' and 'peak_rss_gb'.

    python benchmarks/bench_prediction.py [--size 256 512] [--rounds 3] [--precision P] [--width-divisor 1]
                                          [--floor SCRIPT]

The process that starts these loads no TensorFlow and holds no network; one more process writes the model.
The targets: at most 1.05 times the floor in each precision, and less than 1.6 GB at the peak.
"""

import argparse
import json
import os
import sys
import tempfile

import numpy as np
from drawn_encoder import write_drawn_encoder
from measuring import HEADER, compare, measure, run_and_read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

TARGET_RATIO, TARGET_GIGABYTES = 1.05, 1.6
BARE_TENSORFLOW = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'bare_tensorflow.py')
NUM_CLASSES = 20


def write_model(root, width_divisor, num_classes=NUM_CLASSES):
    """Writes an encoder and an untrained FCN-8s on it; returns both directories."""
    from fcn8s import FCN8s

    encoder = os.path.join(root, 'vgg16')
    write_drawn_encoder(encoder, width_divisor)
    with FCN8s(vgg16_dir=encoder, num_classes=num_classes) as network:
        return encoder, network.save(root, 'saved_model', name='model', force_save=True)


def precisions(asked_for):
    """The requested precision, or all that this machine has."""
    from fcn8s.precision import check_precision

    if asked_for:
        return [asked_for]
    try:
        check_precision('bfloat16')
    except ValueError as error:
        print(error, file=sys.stderr)
        return ['float32']
    return ['float32', 'bfloat16']


def print_preparation(args):
    """Writes the model and prints, as one line of JSON, what `prepare` returns."""
    from fcn8s.backend import tf

    paths = write_model(args.prepare, args.width_divisor, args.classes)
    print(json.dumps([*paths, precisions(args.precision), tf.__version__]))


def preparation(root, width_divisor, num_classes=NUM_CLASSES):
    """The command of a process that writes an encoder and a model."""
    options = ['--width-divisor', str(width_divisor), '--classes', str(num_classes)]
    return [os.path.abspath(__file__), '--prepare', root] + options


def prepare(root, width_divisor, asked_for):
    """(encoder, model, precisions, version of TensorFlow) from a process that ends before anything is measured."""
    return run_and_read(preparation(root, width_divisor) + (['--precision', asked_for] if asked_for else []))


def measure_model(model_dir, size, batch, precision):
    from fcn8s.prediction.frozen_network import open_model

    images = np.random.RandomState(0).randint(256, size=(batch,) + tuple(size) + (3,)).astype(np.uint8)
    with open_model(model_dir, precision=precision) as model:
        measure('predict', lambda: model.predict(images), batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), help='default: all that this machine has')
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--floor', metavar='SCRIPT', default=BARE_TENSORFLOW)
    parser.add_argument('--child', metavar='MODEL', help=argparse.SUPPRESS)
    parser.add_argument('--batch', type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument('--prepare', metavar='ROOT', help=argparse.SUPPRESS)
    parser.add_argument('--classes', type=int, default=NUM_CLASSES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        print_preparation(args)
        return
    if args.child:
        measure_model(args.child, args.size, args.batch, args.precision)
        return
    size = [str(side) for side in args.size]
    with tempfile.TemporaryDirectory() as root:
        encoder, model_dir, asked_for, version = prepare(root, args.width_divisor, args.precision)
        print('one image of {}x{}, {} rounds, TensorFlow {}'.format(*args.size, args.rounds, version))
        print('{:10} {}'.format('precision', HEADER))
        for precision in asked_for:
            print('{:10} '.format(precision), end='', flush=True)
            ratio, gigabytes = compare(
                'predict',
                [args.floor, encoder] + size + ['1', '--precision', precision],
                [os.path.abspath(__file__), '--child', model_dir, '--precision', precision, '--size'] + size,
                args.rounds,
            )
            print('ok' if ratio <= TARGET_RATIO and gigabytes < TARGET_GIGABYTES else 'TOO MUCH')


if __name__ == '__main__':
    main()
