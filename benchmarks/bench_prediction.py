"""Seconds and memory of a prediction of one image, beside a frozen graph of the same network, in one run.

The floor freezes the saved network in the plain way, all variables to constants, and does nothing else around it. With
--floor, it is a script that takes ENCODER HEIGHT WIDTH BATCH --precision P and prints JSON with the seconds as
'frozen_predict_s_per_image'. Each measurement is a process of its own; they take turns, and the fastest round of each
counts, for what else a machine does only ever adds time. The seconds of all CPUs are less disturbed by other work.

    python benchmarks/bench_prediction.py [--size 256 512] [--rounds 3] [--width-divisor 1] [--floor SCRIPT]

The targets: at most 1.05 times the floor in each precision, and less than 1.6 GB at the peak.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from process_memory import peak_memory

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s.backend import tf  # noqa: E402
from fcn8s.precision import check_precision, session_config  # noqa: E402

TARGET_RATIO, TARGET_GIGABYTES = 1.05, 1.6
WARM_UP, REPEATS = 2, 5


def write_model(root, width_divisor):
    """An encoder and an untrained FCN-8s on it; returns both directories."""
    from fcn8s import FCN8s
    from fcn8s.vgg16 import write_encoder

    encoder = os.path.join(root, 'vgg16')
    write_encoder(encoder, 'random', width_divisor)
    with FCN8s(vgg16_dir=encoder, num_classes=20) as network:
        return encoder, network.save(root, 'saved_model', name='model', force_save=True)


def measure(predict):
    """Prints the median seconds of a call, passed and of all CPUs, and the peak memory of this process as JSON."""
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter(), time.process_time()
        predict()
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    passed, cpu = np.median(seconds[WARM_UP:], axis=0)
    print(json.dumps({'seconds': passed, 'cpu_seconds': cpu, 'gigabytes': peak_memory()}))


def measure_floor(model_dir, images, precision):
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        tf.saved_model.loader.load(session, ['default'], model_dir)
        frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ['predictor/class_ids'])
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph, config=session_config(precision)) as session:
        tf.import_graph_def(frozen, name='')
        measure(lambda: session.run('predictor/class_ids:0', {'images_uint8:0': images}))


def measure_candidate(model_dir, images, precision):
    from fcn8s.inference import open_model

    with open_model(model_dir, precision=precision) as model:
        measure(lambda: model.predict(images))


def run_child(role, model_dir, size, precision):
    command = [sys.executable, os.path.abspath(__file__), '--child', role, model_dir, precision, '--size']
    return json.loads(last_line(command + [str(side) for side in size]))


def run_floor_script(script, encoder, size, precision):
    command = [sys.executable, script, encoder, str(size[0]), str(size[1]), '1', '--precision', precision]
    printed = json.loads(last_line(command))
    return {'seconds': printed['frozen_predict_s_per_image'], 'gigabytes': printed['peak_rss_gb']}


def last_line(command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode().strip().splitlines()[-1]


def take_turns(floor, candidate, rounds):
    """The result of each side: the least seconds of its rounds, the most memory."""
    results = [(floor(), candidate()) for _ in range(rounds)]
    return [
        {
            'seconds': min(result['seconds'] for result in side),
            'cpu_seconds': min(result.get('cpu_seconds', np.nan) for result in side),
            'gigabytes': max(result['gigabytes'] for result in side),
        }
        for side in zip(*results)
    ]


def compare(floor, candidate, precision, rounds):
    """Takes turns; prints a line of the table."""
    bare, ours = take_turns(floor, candidate, rounds)
    ok = ours['seconds'] <= TARGET_RATIO * bare['seconds'] and ours['gigabytes'] < TARGET_GIGABYTES
    print(
        '{:10} {:>9.3f} s {:>9.3f} s {:>7.3f} {:>11.3f} {:>10.2f} GB {:>8.2f} GB   {}'.format(
            precision,
            bare['seconds'],
            ours['seconds'],
            ours['seconds'] / bare['seconds'],
            ours['cpu_seconds'] / bare['cpu_seconds'],
            bare['gigabytes'],
            ours['gigabytes'],
            'ok' if ok else 'TOO MUCH',
        )
    )


def available_precisions():
    try:
        check_precision('bfloat16')
    except ValueError as error:
        print(error)
        return ['float32']
    return ['float32', 'bfloat16']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--floor', metavar='SCRIPT')
    parser.add_argument('--child', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        role, model_dir, precision = args.child
        images = np.random.RandomState(0).randint(0, 256, (1,) + tuple(args.size) + (3,)).astype(np.uint8)
        (measure_floor if role == 'floor' else measure_candidate)(model_dir, images, precision)
        return
    with tempfile.TemporaryDirectory() as root:
        encoder, model_dir = write_model(root, args.width_divisor)
        print('one image of {}x{}, {} rounds, TensorFlow {}'.format(*args.size, args.rounds, tf.__version__))
        print(
            '{:10} {:>11} {:>11} {:>7} {:>11} {:>13} {:>11}'.format(
                'precision', 'floor', 'fcn8s', 'ratio', 'of CPU time', 'floor peak', 'fcn8s peak'
            )
        )
        for precision in available_precisions():
            compare(
                lambda p=precision: (
                    run_floor_script(args.floor, encoder, args.size, p)
                    if args.floor
                    else run_child('floor', model_dir, args.size, p)
                ),
                lambda p=precision: run_child('candidate', model_dir, args.size, p),
                precision,
                args.rounds,
            )


if __name__ == '__main__':
    main()
