"""Speed, size and accuracy of exports: OpenVINO as an engine beside OpenVINO called bare and beside TensorFlow.

    python benchmarks/bench_export.py [--only sizes,engine,int8,video] [--formats FORMAT ...] [--precisions P ...]
                                      [--size 256 512] [--rounds 3] [--frames 40] [--width-divisor 1] [--keep DIR]
    python benchmarks/bench_export.py --model RUN --calibration DIR --verify DIR --labels DIR

The process that starts the others holds nothing: one makes the model, one each export, one each measurement. The sides
of a row take turns, and the fastest round of each counts. --keep DIR has the model and the exports stay there, and
takes those that are there already, so that a quiet machine has nothing to do but measure. Without --model the network
is untrained; int8 is then calibrated on generated street scenes, and its accuracy says nothing.

The targets: the engine at most 1.05 times OpenVINO called bare; int8 at least 1.8 times as fast as TensorFlow in
bfloat16 (float32 where the machine has none), in a video as well; at most 1 point of mean IoU below float32.
"""

import argparse
import contextlib
import glob
import json
import os
import sys
import tempfile
import time

import numpy as np
from measuring import HEADER, compare, measure, print_result, run_and_read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

PARTS = ('sizes', 'engine', 'int8', 'video')
PRECISIONS = ('float32', 'bfloat16', 'int8')
TARGET_ENGINE, TARGET_INT8 = 1.05, 1.8
CALIBRATION_SCENES = 100


# In processes of their own


def bare(export, precision, images):
    """OpenVINO without this library, for only the class IDs."""
    import openvino

    from fcn8s.export.openvino import HINTS

    core = openvino.Core()
    model = core.read_model(os.path.join(export, 'model.xml'))
    model = openvino.Model([model.output('class_ids').get_node()], model.get_parameters(), 'bare')
    properties = {'INFERENCE_PRECISION_HINT': HINTS[precision], 'PERFORMANCE_HINT': 'LATENCY'}
    network = core.compile_model(model, 'CPU', properties)
    measure('predict', lambda: network(images), len(images))


def engine(model_dir, precision, images):
    import fcn8s

    with fcn8s.open_model(model_dir, precision=precision) as model:
        measure('predict', lambda: model.predict(images), len(images))


def video(model_dir, precision, frames):
    """Makes a video from files to a file."""
    import fcn8s
    from fcn8s.prediction.predictor import Predictor
    from fcn8s.prediction.video import render_video

    with fcn8s.open_model(model_dir, precision=precision) as model, tempfile.TemporaryDirectory() as folder:
        predictor = Predictor(model.predict, model.num_classes)
        predictor.class_ids(np.zeros([64, 64, 3], np.uint8))
        start = time.process_time()
        rendered = render_video(predictor, frames, os.path.join(folder, 'out.mp4'), model.label_space)
        print_result('predict', rendered.seconds, time.process_time() - start, rendered.num_frames)


def make_model(folder, args):
    """Prints the directory of the model, TensorFlow's fastest precision here, and the exports that are possible."""
    from bench_prediction import precisions, write_model

    from fcn8s.export.formats import FORMATS, check_packages
    from fcn8s.saving.runs import resolve_model

    if args.model:
        model = resolve_model(args.model)
    else:
        model = (glob.glob(os.path.join(folder, 'model*')) or write_model(folder, args.width_divisor)[1:])[0]
    exports = []
    for name, kind in FORMATS.items():
        for precision in kind.precisions:
            try:
                check_packages(name, precision)
                exports.append((name, precision))
            except ImportError as error:
                print(error, file=sys.stderr)
    print(json.dumps([model, precisions(None)[-1], exports]))


def make_export(model_dir, kind, args, folder):
    """Prints the directory, its megabytes and its comparison with TensorFlow; makes the export if it is not there."""
    from fcn8s.export.exporting import export_model
    from fcn8s.export.formats import FORMATS

    format_name, precision = kind.split(' ')
    directory = os.path.join(folder, '{}_{}'.format(format_name, precision))
    if not os.path.exists(directory):
        calibration = args.calibration or os.path.join(folder, 'calibration')
        if precision == 'int8' and not os.path.exists(calibration):
            write_scenes(calibration, args.scenes, args.size)
        export_model(
            model_dir,
            directory,
            format_name,
            precision,
            size=None if FORMATS[format_name].takes_any_size else tuple(args.size),
            calibration=calibration if precision == 'int8' else None,
            verify=args.verify,
            labels=args.labels,
            allow_loss=True,
        )
    with open(os.path.join(directory, 'certificate.json'), encoding='utf-8') as file:
        print(json.dumps([directory, megabytes(directory), json.load(file)['comparison']]))


def megabytes(directory):
    """The size of the files of a model."""
    names = [os.path.join(folder, name) for folder, _, found in os.walk(directory) for name in found]
    return sum(os.path.getsize(name) for name in names) / 1e6


def write_scenes(folder, count, size):
    from data_generator.street_scenes import make_scene
    from helpers.images import write_image

    for number in range(count):
        scene = make_scene(np.random.default_rng(number), tuple(size))[0]
        write_image(os.path.join(folder, '{:04d}.png'.format(number)), scene)


def child(args):
    what, path, precision, other = args.child
    if what == 'model':
        make_model(path, args)
    elif what == 'export':
        make_export(path, precision, args, other)
    elif what == 'frames':
        write_scenes(path, args.frames, args.size)
        print(json.dumps(path))
    elif what == 'video':
        video(path, None if precision == 'own' else precision, other)
    else:
        images = np.random.RandomState(0).randint(256, size=(args.batch, *args.size, 3)).astype(np.uint8)
        {'bare': bare, 'engine': engine}[what](path, None if precision == 'own' else precision, images)


# In the process that starts them


class Sides:
    """Makes what the rows compare, each on first use."""

    def __init__(self, argv, folder):
        self.argv, self.folder = argv, folder
        self.model, self.own, self.available = run_and_read(self.command('model', folder))
        self._exports = {}

    def command(self, what, path, precision='none', other='none'):
        return [os.path.abspath(__file__)] + self.argv + ['--child', what, path, precision, other]

    def export(self, precision, format_name='openvino'):
        """(directory, megabytes, comparison)"""
        kind = '{} {}'.format(format_name, precision)
        if kind not in self._exports:
            self._exports[kind] = run_and_read(self.command('export', self.model, kind, self.folder))
        return self._exports[kind]

    def frames(self):
        path = os.path.join(self.folder, 'frames')
        return path if os.path.exists(path) else run_and_read(self.command('frames', path))


def print_sizes(sides, args):
    accuracy = '  mean IoU (TensorFlow)' if args.labels else ''
    print('{:24} {:>11} {:>13}'.format('export', 'MB', 'equal pixels') + accuracy)
    for format_name, precision in sides.available:
        if format_name not in (args.formats or [format_name]) or precision not in (args.precisions or [precision]):
            continue
        _, size, comparison = sides.export(precision, format_name)
        name, equal = '{}, {}'.format(format_name, precision), comparison['equal_pixels']
        row = '{:24} {:11.1f} {:13.2%}'.format(name, size, equal)
        if 'mean_iou' in comparison:
            row += '  {export:.4f} ({tensorflow:.4f})'.format(**comparison['mean_iou'])
        print(row, flush=True)


def print_engine(sides, args):
    for precision in [name for name in PRECISIONS if name in (args.precisions or PRECISIONS)]:
        export = sides.export(precision)[0]
        print('{:24} '.format('engine, ' + precision), end='', flush=True)
        both = sides.command('bare', export, precision), sides.command('engine', export, 'own')
        ratio, _ = compare('predict', *both, rounds=args.rounds)
        print('ok' if ratio <= TARGET_ENGINE else 'above {}'.format(TARGET_ENGINE), flush=True)


def print_against_tensorflow(sides, args, what, frames='none'):
    export = sides.export('int8')[0]
    print('{:24} '.format('{}, int8 for {}'.format(what, sides.own)), end='', flush=True)
    both = sides.command(what, sides.model, sides.own, frames), sides.command(what, export, 'own', frames)
    ratio, _ = compare('predict', *both, rounds=args.rounds)
    print('{:.2f} times as fast (target: {})'.format(1 / ratio, TARGET_INT8), flush=True)


@contextlib.contextmanager
def folder_of(args):
    """A folder for this run, or the kept one, which has to belong to the same model and images."""
    if args.keep is None:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
        return
    names = ('model', 'width_divisor', 'size', 'scenes', 'frames', 'calibration', 'verify', 'labels')
    wanted = json.loads(json.dumps({name: getattr(args, name) for name in names}))
    path = os.path.join(args.keep, 'made_of.json')
    os.makedirs(args.keep, exist_ok=True)
    if not os.path.exists(path):
        with open(path, 'w', encoding='utf-8') as file:
            json.dump(wanted, file)
    with open(path, encoding='utf-8') as file:
        found = json.load(file)
    if found != wanted:
        sys.exit('{} was made of {}, and this is about {}. Take another --keep.'.format(args.keep, found, wanted))
    yield args.keep


def part_names(text):
    names = text.split(',')
    if not set(names) <= set(PARTS):
        raise argparse.ArgumentTypeError('{!r} has to be some of {}.'.format(text, ','.join(PARTS)))
    return names


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--only', type=part_names, default=list(PARTS), metavar='PART,...', help='of ' + ','.join(PARTS)
    )
    parser.add_argument('--formats', nargs='+', metavar='FORMAT', help='whose sizes are told; default: all')
    parser.add_argument(
        '--precisions', nargs='+', choices=PRECISIONS + ('float16',), help='of sizes and engine; default: all'
    )
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument(
        '--scenes', type=int, default=CALIBRATION_SCENES, help='to calibrate with, without --calibration'
    )
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--keep', metavar='DIR')
    parser.add_argument('--model', metavar='RUN')
    for name in ('calibration', 'verify', 'labels'):
        parser.add_argument('--' + name, metavar='DIR')
    parser.add_argument('--batch', type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument('--child', nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.child:
        child(args)
        return
    with folder_of(args) as folder:
        sides = Sides(sys.argv[1:], folder)
        if 'sizes' in args.only:
            print_sizes(sides, args)
        if set(args.only) - {'sizes'}:
            print('{:24} {}'.format('{}x{}, {} rounds'.format(*args.size, args.rounds), HEADER))
        if 'engine' in args.only:
            print_engine(sides, args)
        if 'int8' in args.only:
            print_against_tensorflow(sides, args, 'engine')
        if 'video' in args.only:
            print_against_tensorflow(sides, args, 'video', sides.frames())


if __name__ == '__main__':
    main()
