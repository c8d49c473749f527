"""What a loss and its gradient cost beside the same loss as TensorFlow makes it, in one process that takes turns.

The floor of 'cross_entropy' is TensorFlow's own op, of 'dice' its soft-max, one-hot labels and reductions, with the
gradients that TensorFlow derives. Both ignore the void pixels, have the same value, and get the same logits; what is
timed is the loss with the gradient of the logits.

    python benchmarks/bench_losses.py [--size 4 240 320] [--classes 11] [--rounds 8] [--losses cross_entropy dice ...]
"""

import argparse
import json
import os
import sys
import time

import numpy as np
from measuring import run_and_read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
VOID = 255
RUNS_A_ROUND = 4


def bare_cross_entropy(tf, logits, labels, valid):
    """TensorFlow's op over the valid pixels; a select drops the invalid ones, so that these may overflow."""
    masked = tf.where(valid, logits, tf.zeros_like(logits))
    pixels = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=masked)
    weights = tf.cast(valid[:, 0], tf.float32)
    return tf.reduce_sum(pixels * weights) / tf.reduce_sum(weights)


def bare_dice(tf, logits, labels, valid):
    """The mean over the classes; all of them appear."""
    mask = tf.cast(valid, tf.float32)
    masked = tf.where(valid, logits, tf.zeros_like(logits))
    probabilities = tf.nn.softmax(masked) * mask
    truth = tf.one_hot(labels, int(logits.shape[1])) * mask
    shared = tf.reduce_sum(probabilities * truth, axis=0)
    squares = tf.reduce_sum(tf.square(probabilities), axis=0)
    return tf.reduce_mean(1 - 2 * shared / (squares + tf.reduce_sum(truth, axis=0)))


BARE = {
    'cross_entropy': [bare_cross_entropy],
    'dice': [bare_dice],
    'cross_entropy+dice': [bare_cross_entropy, bare_dice],
}


def build(tf, args):
    """In the current graph: (loss, 'bare' or 'here') -> (value, gradient), a session, and what to feed."""
    from fcn8s.graph.losses import build_loss, sparse_labels

    random = np.random.RandomState(0)
    shape = [*args.size, args.classes]
    logits = tf.Variable(random.normal(scale=3, size=shape).astype(np.float32)).value()
    labels = tf.placeholder(tf.uint8, args.size)
    truth = random.randint(args.classes, size=args.size).astype(np.uint8)
    truth[:, : args.size[1] // 10] = VOID
    class_ids, valid = sparse_labels(labels, VOID)
    rows = [tf.reshape(logits, [-1, args.classes]), tf.reshape(class_ids, [-1]), tf.reshape(valid, [-1, 1])]
    # A mask of whole rows, which TensorFlow 1.15 needs.
    rows[2] = tf.broadcast_to(rows[2], tf.shape(rows[0]))
    found = {}
    for name in args.losses:
        bare = tf.add_n([function(tf, *rows) for function in BARE[name]])
        here = build_loss(logits, class_ids, valid, name).value
        for side, value in (('bare', bare), ('here', here)):
            found[name, side] = value, tf.gradients(value, logits)[0]
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return found, session, {labels: truth}


def measure(args):
    """Prints as JSON, for each loss, both values, the largest difference of the gradients, and CPU seconds."""
    from fcn8s.backend import tf

    with tf.Graph().as_default():
        found, session, feed = build(tf, args)
    measured = {}
    for name in args.losses:
        (bare, bare_gradient), (here, gradient) = [session.run(found[name, side], feed) for side in ('bare', 'here')]
        difference = float(np.abs(bare_gradient - gradient).max() / np.abs(bare_gradient).max())
        measured[name] = {'values': [float(bare), float(here)], 'difference': difference, 'bare': [], 'here': []}
    for _ in range(args.rounds):
        for (name, side), (value, gradient) in found.items():
            start = time.process_time()
            for _ in range(RUNS_A_ROUND):
                session.run([value, gradient.op], feed)
            measured[name][side].append((time.process_time() - start) / RUNS_A_ROUND)
    print(json.dumps(measured))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=3, default=(4, 240, 320), metavar=('N', 'H', 'W'))
    parser.add_argument('--classes', type=int, default=11)
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--losses', nargs='+', default=sorted(BARE), choices=sorted(BARE))
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        measure(args)
        return
    print(
        '{} x {} x {}, {} classes, {} CPUs, least of {} rounds'.format(
            *args.size, args.classes, os.cpu_count(), args.rounds
        )
    )
    measured = run_and_read([os.path.abspath(__file__), *sys.argv[1:], '--child'])
    for name, numbers in measured.items():
        bare, here = min(numbers['bare']), min(numbers['here'])
        print(
            '{:20s} {:6.1f} ms of CPU, bare TensorFlow {:6.1f} ms, ratio {:.2f}; gradients differ by {:.0e}'.format(
                name, 1000 * here, 1000 * bare, here / bare, numbers['difference']
            )
        )


if __name__ == '__main__':
    main()
