"""What a process that starts measurements disturbs by what it holds: a training step under parents that differ.

    python benchmarks/disturbance.py [--size 256 512] [--batch 2] [--rounds 2] [--precision float32] [--width-divisor 1]

The same measurement (bench_training.py's child) runs as a child of parents that hold nothing; memory, as much as the
weights of the network take twice; TensorFlow with its threads, and no network; and a network that was built, as
bench_training.py once did. The parents take turns. Prints seconds an image, passed and of all CPUs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile

from suite.environments import ROOT
from suite.parts import NUM_CLASSES, script
from suite.preparation import Prepared
from suite.processes import run_and_read

HELD = ('nothing', 'memory', 'threads', 'network')
MEMORY_BYTES = 1100 * 10**6


def hold(what, root, width_divisor):
    """Allocates what a parent holds and returns it."""
    if what == 'nothing':
        return None
    if what == 'memory':
        return bytearray(os.urandom(1) * MEMORY_BYTES)  # written to, so that every page exists
    sys.path.insert(0, ROOT)
    from fcn8s.backend import tf

    if what == 'network':
        from bench_prediction import write_model

        return write_model(os.path.join(root, 'held'), width_divisor)
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        session.run(tf.matmul(tf.ones([512, 512]), tf.ones([512, 512])))
    return session


def parent(args):
    """Holds something, runs the measurement and prints its result."""
    what, root, model = args.parent
    held = hold(what, root, args.width_divisor)
    words = ['--child', model, '--precision', args.precision, '--batch', args.batch, '--size', *args.size]
    print(json.dumps(run_and_read([sys.executable] + script('bench_training.py', *words))))
    del held


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), default='float32')
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--parent', nargs=3, metavar=('HELD', 'ROOT', 'MODEL'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.parent:
        parent(args)
        return
    taken = {what: [] for what in HELD}
    with tempfile.TemporaryDirectory() as root:
        _, model = Prepared(root, None).model(args.width_divisor, NUM_CLASSES)
        for number in range(args.rounds):
            for what in HELD:
                folder = os.path.join(root, '{}-{}'.format(what, number))
                words = [os.path.abspath(__file__)] + sys.argv[1:] + ['--parent', what, folder, model]
                taken[what].append(run_and_read([sys.executable] + words))
    first = statistics.median(result['train_s_per_image'] for result in taken['nothing'])
    for what, results in taken.items():
        seconds = [result['train_s_per_image'] for result in results]
        cpu = statistics.median(result['cpu_s_per_image'] for result in results)
        print(
            'parent holds {:8} {:7.3f} s an image ({}), {:.3f} of holding nothing; {:.3f} s of all CPUs'.format(
                what,
                statistics.median(seconds),
                ' '.join('{:.3f}'.format(one) for one in seconds),
                statistics.median(seconds) / first,
                cpu,
            ),
            flush=True,
        )


if __name__ == '__main__':
    main()
