"""Seconds and memory of a prediction of one image, beside the same network as bare frozen TensorFlow, in one run.

Each measurement is a process of its own; the two sides take turns, and the fastest round of each counts, for what else
a machine does only ever adds time. The seconds of all CPUs are less disturbed by other work. Another floor is a script
that takes ENCODER HEIGHT WIDTH BATCH --precision P and prints JSON with 'frozen_predict_s_per_image' and 'peak_rss_gb'.

    python benchmarks/bench_prediction.py [--size 256 512] [--rounds 3] [--precision P] [--width-divisor 1]
                                          [--floor SCRIPT]

The targets: at most 1.05 times the floor in each precision, and less than 1.6 GB at the peak.
"""

import argparse
import os
import sys
import tempfile

import numpy as np
from measuring import HEADER, compare, measure

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s import FCN8s  # noqa: E402
from fcn8s.backend import tf  # noqa: E402
from fcn8s.precision import check_precision  # noqa: E402
from fcn8s.prediction.frozen_network import open_model  # noqa: E402
from fcn8s.vgg16.write import write_encoder  # noqa: E402

TARGET_RATIO, TARGET_GIGABYTES = 1.05, 1.6
BARE_TENSORFLOW = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'bare_tensorflow.py')
NUM_CLASSES = 20


def write_model(root, width_divisor):
    """An encoder and an untrained FCN-8s on it; returns both directories."""
    encoder = os.path.join(root, 'vgg16')
    write_encoder(encoder, 'random', width_divisor)
    with FCN8s(vgg16_dir=encoder, num_classes=NUM_CLASSES) as network:
        return encoder, network.save(root, 'saved_model', name='model', force_save=True)


def precisions(asked_for):
    """The one that was asked for, or all that this machine has."""
    if asked_for:
        return [asked_for]
    try:
        check_precision('bfloat16')
    except ValueError as error:
        print(error)
        return ['float32']
    return ['float32', 'bfloat16']


def measure_model(model_dir, size, precision):
    image = np.random.RandomState(0).randint(256, size=(1,) + tuple(size) + (3,)).astype(np.uint8)
    with open_model(model_dir, precision=precision) as model:
        measure('predict', lambda: model.predict(image), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), help='default: all that this machine has')
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--floor', metavar='SCRIPT', default=BARE_TENSORFLOW)
    parser.add_argument('--child', metavar='MODEL', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        measure_model(args.child, args.size, args.precision)
        return
    size = [str(side) for side in args.size]
    with tempfile.TemporaryDirectory() as root:
        encoder, model_dir = write_model(root, args.width_divisor)
        print('one image of {}x{}, {} rounds, TensorFlow {}'.format(*args.size, args.rounds, tf.__version__))
        print('{:10} {}'.format('precision', HEADER))
        for precision in precisions(args.precision):
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
