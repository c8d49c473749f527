"""Seconds of a training step and its memory, beside the same network trained by bare TensorFlow, in one run.

The floor loads the saved network, adds the plain cross-entropy and TensorFlow's Adam, and runs that op on one batch.
The steps here are those of `FCN8s.train` on the same batch: feeding, dropout, ignored pixels, progress line included.
With --floor, the floor is a script that takes ENCODER HEIGHT WIDTH BATCH --precision P --train and prints JSON with
'train_s_per_image'. Each measurement is a process of its own; they take turns, and the fastest round of each counts.

    python benchmarks/bench_training.py [--size 256 512] [--batch 2] [--rounds 2] [--width-divisor 1] [--floor SCRIPT]
"""

import argparse
import functools
import itertools
import json
import os
import sys
import tempfile
import time

import numpy as np
from bench_prediction import available_precisions, last_line, take_turns, write_model
from process_memory import peak_memory

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s.backend import tf  # noqa: E402
from fcn8s.precision import session_config  # noqa: E402

WARM_UP, REPEATS = 2, 4
RATE, KEEP_PROB, NUM_CLASSES = 1e-4, 0.5, 20


def report(seconds_per_step, batch):
    print(json.dumps({'seconds': seconds_per_step / batch, 'gigabytes': peak_memory()}))


def measure_floor(model_dir, images, labels, precision):
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph, config=session_config(precision)) as session:
        tf.saved_model.loader.load(session, ['default'], model_dir)
        restored = set(tf.global_variables())
        logits = graph.get_tensor_by_name('decoder/fcn8s_output:0')
        class_ids = tf.placeholder(tf.uint8, [None, None, None])
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(class_ids, tf.int32), logits=logits)
        step = tf.train.AdamOptimizer(RATE).minimize(tf.reduce_mean(loss), var_list=list(restored))
        session.run(tf.variables_initializer([v for v in tf.global_variables() if v not in restored]))
        feed = {'image_input:0': images, 'keep_prob:0': KEEP_PROB, class_ids: labels}
        seconds = []
        for _ in range(WARM_UP + REPEATS):
            start = time.perf_counter()
            session.run(step, feed)
            seconds.append(time.perf_counter() - start)
    report(np.mean(seconds[WARM_UP:]), len(images))


def measure_candidate(model_dir, images, labels, precision):
    from fcn8s import FCN8s

    batches = itertools.repeat((images, labels))
    with FCN8s(model_load_dir=model_dir, precision=precision) as model:
        for steps in (WARM_UP, REPEATS):
            (record,) = model.train(batches, 1, steps, lambda step: RATE, keep_prob=KEEP_PROB)
    report(record['seconds'] / REPEATS, len(images))


def run_child(role, model_dir, args, precision):
    command = [sys.executable, os.path.abspath(__file__), '--child', role, model_dir, precision]
    command += ['--batch', str(args.batch), '--size'] + [str(side) for side in args.size]
    return json.loads(last_line(command))


def run_floor_script(script, encoder, args, precision):
    command = [sys.executable, script, encoder, str(args.size[0]), str(args.size[1]), str(args.batch), '--train']
    printed = json.loads(last_line(command + ['--precision', precision]))
    return {'seconds': printed['train_s_per_image'], 'gigabytes': printed['peak_rss_gb']}


def compare(floor, candidate, precision, rounds):
    """Takes turns; prints a line of the table."""
    bare, ours = take_turns(floor, candidate, rounds)
    print(
        '{:10} {:>9.3f} s {:>9.3f} s {:>7.3f} {:>10.2f} GB {:>8.2f} GB'.format(
            precision,
            bare['seconds'],
            ours['seconds'],
            ours['seconds'] / bare['seconds'],
            bare['gigabytes'],
            ours['gigabytes'],
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--floor', metavar='SCRIPT')
    parser.add_argument('--child', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        role, model_dir, precision = args.child
        random = np.random.RandomState(0)
        images = random.randint(0, 256, (args.batch,) + tuple(args.size) + (3,)).astype(np.uint8)
        labels = random.randint(0, NUM_CLASSES, images.shape[:3]).astype(np.uint8)
        (measure_floor if role == 'floor' else measure_candidate)(model_dir, images, labels, precision)
        return
    with tempfile.TemporaryDirectory() as root:
        encoder, model_dir = write_model(root, args.width_divisor)
        print(
            'seconds per image, {} images of {}x{} a step, {} rounds, TensorFlow {}'.format(
                args.batch, *args.size, args.rounds, tf.__version__
            )
        )
        print('{:10} {:>11} {:>11} {:>7} {:>13} {:>11}'.format('precision', 'floor', 'fcn8s', 'ratio', 'peak', 'peak'))
        for precision in available_precisions():
            floor = functools.partial(run_child, 'floor', model_dir, args, precision)
            if args.floor:
                floor = functools.partial(run_floor_script, args.floor, encoder, args, precision)
            compare(
                floor, functools.partial(run_child, 'candidate', model_dir, args, precision), precision, args.rounds
            )


if __name__ == '__main__':
    main()
