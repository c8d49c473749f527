"""Speed, size and accuracy of OpenVINO exports: the engine beside OpenVINO called bare, and beside TensorFlow.

Each measurement is a process of its own, started by one that holds no TensorFlow; the sides of a row take turns, and
the fastest round of each counts. Without --model the network is untrained; int8 is then calibrated on generated street
scenes, and its accuracy says nothing.

    python benchmarks/bench_export.py [--size 256 512] [--rounds 3] [--frames 60] [--width-divisor 1]
    python benchmarks/bench_export.py --model RUN --calibration DIR --verify DIR --labels DIR

The targets: the engine at most 1.05 times OpenVINO called bare; int8 at least 1.8 times as fast as TensorFlow in
bfloat16 (float32 where the machine has none), in a video as well; at most 1 point of mean IoU below float32.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import numpy as np
from bench_prediction import precisions, write_model
from measuring import HEADER, compare, measure, print_result, run_and_read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
import fcn8s  # noqa: E402  (loads nothing yet)
from data_generator.street_scenes import make_scene  # noqa: E402
from helpers.images import write_image  # noqa: E402

PRECISIONS = ('float32', 'bfloat16', 'int8')
TARGET_ENGINE, TARGET_INT8 = 1.05, 1.8
CALIBRATION_SCENES = 100


def bare(export, precision, images):
    """OpenVINO without this library, for class IDs alone."""
    import openvino

    hint = {'float32': 'f32', 'bfloat16': 'bf16', 'int8': 'f32'}[precision]
    core = openvino.Core()
    model = core.read_model(os.path.join(export, 'model.xml'))
    model = openvino.Model([model.output('class_ids').get_node()], model.get_parameters(), 'bare')
    properties = {'INFERENCE_PRECISION_HINT': hint, 'PERFORMANCE_HINT': 'LATENCY'}
    network = core.compile_model(model, 'CPU', properties)
    measure('predict', lambda: network(images), len(images))


def engine(model_dir, precision, images):
    with fcn8s.open_model(model_dir, precision=precision) as model:
        measure('predict', lambda: model.predict(images), len(images))


def video(model_dir, precision, frames):
    """From files to a file."""
    from fcn8s.prediction.predictor import Predictor
    from fcn8s.prediction.video import render_video

    with fcn8s.open_model(model_dir, precision=precision) as model, tempfile.TemporaryDirectory() as folder:
        predictor = Predictor(model.predict, model.num_classes)
        predictor.class_ids(np.zeros([64, 64, 3], np.uint8))
        start = time.process_time()
        rendered = render_video(predictor, frames, os.path.join(folder, 'out.mp4'), model.label_space)
        print_result('predict', rendered.seconds, time.process_time() - start, rendered.num_frames)


def child(args):
    what, path, precision, frames = args.child
    precision = None if precision == 'own' else precision
    if what == 'video':
        video(path, precision, frames)
        return
    images = np.random.RandomState(0).randint(256, size=(args.batch,) + tuple(args.size) + (3,)).astype(np.uint8)
    {'bare': bare, 'engine': engine}[what](path, precision, images)


def megabytes(directory):
    """Of the files of a model, apart from what was compiled."""
    names = [os.path.join(folder, name) for folder, _, found in os.walk(directory) for name in found]
    return sum(os.path.getsize(name) for name in names if '.openvino_cache' not in name) / 1e6


def write_scenes(folder, count, size):
    for number in range(count):
        scene = make_scene(np.random.default_rng(number), tuple(size))[0]
        write_image(os.path.join(folder, '{:04d}.png'.format(number)), scene)
    return folder


def make_exports(args, model_dir, root):
    """(precision -> directory, lines about sizes and accuracies)."""
    from fcn8s.export.exporting import export_model

    calibration = args.calibration or write_scenes(os.path.join(root, 'scenes'), args.scenes, args.size)
    exports, lines = {}, []
    for precision in PRECISIONS:
        exports[precision] = os.path.join(root, precision)
        certificate = export_model(
            model_dir,
            exports[precision],
            'openvino',
            precision,
            calibration=calibration if precision == 'int8' else None,
            verify=args.verify,
            labels=args.labels,
            allow_loss=True,
        )
        comparison = certificate['comparison']
        accuracy = '{equal_pixels:.2%} equal pixels'.format(**comparison)
        if 'mean_iou' in comparison:
            accuracy += ', mean IoU {export:.4f} (TensorFlow, float32: {tensorflow:.4f})'.format(
                **comparison['mean_iou']
            )
        lines.append('{:10} {:8.1f} MB  {}'.format(precision, megabytes(exports[precision]), accuracy))
    return exports, lines


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--frames', type=int, default=60)
    parser.add_argument(
        '--scenes', type=int, default=CALIBRATION_SCENES, help='to calibrate with, without --calibration'
    )
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--model', metavar='RUN')
    for name in ('calibration', 'verify', 'labels'):
        parser.add_argument('--' + name, metavar='DIR')
    parser.add_argument('--child', nargs=4, help=argparse.SUPPRESS)
    parser.add_argument('--batch', type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument('--prepare', metavar='ROOT', help=argparse.SUPPRESS)
    return parser.parse_args()


def prepare(args):
    """Writes model, exports and frames; prints what `main` needs to know of them."""
    model_dir = args.model and fcn8s.runs.resolve_model(args.model)
    model_dir = model_dir or write_model(args.prepare, args.width_divisor)[1]
    exports, lines = make_exports(args, model_dir, args.prepare)
    frames = write_scenes(os.path.join(args.prepare, 'frames'), args.frames, args.size)
    print(json.dumps([precisions(None)[-1], model_dir, exports, lines, frames]))


def main():
    args = parse_arguments()
    if args.child:
        child(args)
        return
    if args.prepare:
        prepare(args)
        return

    def command(what, path, precision, frames='none'):
        size = [str(side) for side in args.size]
        return [os.path.abspath(__file__), '--size'] + size + ['--child', what, path, precision, frames]

    with tempfile.TemporaryDirectory() as root:
        words = [os.path.abspath(__file__)] + sys.argv[1:] + ['--prepare', root]
        own, model_dir, exports, lines, frames = run_and_read(words)
        print('{:10} {:8.1f} MB'.format('saved', megabytes(model_dir)))
        print('\n'.join(lines))
        print('{:24} {}'.format('{}x{}, {} rounds'.format(*args.size, args.rounds), HEADER))
        for precision in PRECISIONS:
            print('{:24} '.format('engine, ' + precision), end='', flush=True)
            sides = command('bare', exports[precision], precision), command('engine', exports[precision], 'own')
            ratio, _ = compare('predict', *sides, rounds=args.rounds)
            print('(target: at most {})'.format(TARGET_ENGINE) if ratio > TARGET_ENGINE else '')
        for what in ('engine', 'video'):
            print('{:24} '.format('{}, int8 for {}'.format(what, own)), end='', flush=True)
            sides = command(what, model_dir, own, frames), command(what, exports['int8'], 'own', frames)
            ratio, _ = compare('predict', *sides, rounds=args.rounds)
            print('{:.2f} times as fast (target: {})'.format(1 / ratio, TARGET_INT8))


if __name__ == '__main__':
    main()
