"""How long an evaluation takes beside the prediction of the same images, in one run on one machine.

Prediction reads the images, runs the network and returns class IDs; it writes nothing. Evaluation reads the labels as
well, scores at their size, and with boundaries measures trimaps and boundary F1 too. All take turns, and the fastest
round of each counts, for what else a machine does only ever adds time. They share one process and one network; it is
started by one that holds no TensorFlow.

    python benchmarks/bench_evaluation.py [--images 8] [--size 256 512] [--rounds 3] [--width-divisor 1] [--workers 2]

The target is a ratio of 1.10 at most.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import cv2
import numpy as np
from drawn_encoder import write_drawn_encoder
from measuring import peak_memory, run_and_read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from data_generator import BatchGenerator  # noqa: E402
from helpers.images import write_image, write_labels  # noqa: E402
from helpers.label_spaces import CITYSCAPES  # noqa: E402

TARGET_RATIO = 1.10


def write_dataset(root, num_images, size):
    """Writes images of smooth colour and noise, and labels of a few large regions with curved edges, as in streets."""
    random = np.random.RandomState(0)
    height, width = size
    folders = [os.path.join(root, folder, 'val', 'town') for folder in ('leftImg8bit', 'gtFine')]
    for folder in folders:
        os.makedirs(folder)
    for number in range(num_images):
        name = 'town_{:06d}_000000'.format(number)
        scene = cv2.resize(
            random.randint(256, size=(8, 16, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
        )
        noise = random.normal(0, 4, scene.shape)
        image = np.clip(scene + noise, 0, 255).astype(np.uint8)
        write_image(os.path.join(folders[0], name + '_leftImg8bit.png'), image)
        fields = cv2.resize(random.rand(6, 12, 8), (width, height), interpolation=cv2.INTER_CUBIC)
        label_ids = random.choice(CITYSCAPES.file_ids, size=8, replace=False).astype(np.uint8)
        write_labels(os.path.join(folders[1], name + '_gtFine_labelIds.png'), label_ids[fields.argmax(axis=-1)])


def write_model(root, width_divisor):
    """Writes a network with random decoder weights, so that its predictions have boundaries to measure."""
    from fcn8s import FCN8s

    encoder = os.path.join(root, 'vgg16')
    write_drawn_encoder(encoder, width_divisor)
    with FCN8s(vgg16_dir=encoder, label_space=CITYSCAPES) as model:
        random = np.random.RandomState(0)
        for variable in model.model.weights:
            if variable.op.name.startswith('decoder'):
                initial_value = variable.initializer.inputs[1]
                model.sess.run(
                    variable.initializer, {initial_value: random.normal(0.0, 0.05, variable.shape.as_list())}
                )
        model.save(os.path.join(root, 'model'), 'saved_model', include_global_step=False)
    return next(folder for folder, _, files in os.walk(os.path.join(root, 'model')) if 'fcn8s.json' in files)


def predict(model, root, workers):
    data = BatchGenerator.from_layout('cityscapes', root, 'val', with_labels=False)
    with data.generate(1, shuffle=False, workers=workers) as batches:
        for _ in range(batches.num_batches):
            model.run(model.class_ids, {model.images: next(batches)})


def evaluate(model, scorer, root, workers, with_boundaries=False):
    from fcn8s.evaluation.evaluate import batches_at_once, evaluate_model

    data = BatchGenerator.from_layout('cityscapes', root, 'val')
    with data.generate(1, shuffle=False, workers=workers) as batches:
        options = dict(workers=workers, at_once=batches_at_once())
        evaluate_model(model.run, scorer, batches, batches.num_batches, with_boundaries, **options)


def seconds(function):
    """(seconds passed, seconds of all CPUs)"""
    start, cpu_start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - cpu_start


def candidates_on(model, root, workers):
    """Name -> function to time."""
    from fcn8s.evaluation.evaluate import attach_scorer

    plain, calibrating = [
        attach_scorer(model.images, model.logits, model.label_space, with_calibration=calibrate)
        for calibrate in (False, True)
    ]
    return {
        'prediction': lambda: predict(model, root, workers),
        'evaluation': lambda: evaluate(model, plain, root, workers),
        'and calibration': lambda: evaluate(model, calibrating, root, workers),
        'and boundaries': lambda: evaluate(model, plain, root, workers, with_boundaries=True),
    }


def measure(args):
    """Prints, as JSON, the seconds per image of each candidate."""
    from fcn8s.prediction.frozen_network import open_model
    from fcn8s.saving.runs import resolve_model

    root, model_dir = args.child
    with open_model(resolve_model(model_dir)) as model:
        candidates = candidates_on(model, root, args.workers)
        for function in candidates.values():
            function()
        times = {name: [] for name in candidates}
        for _ in range(args.rounds):
            for name, function in candidates.items():
                times[name].append(seconds(function))
    least = {name: np.min(values, axis=0) / args.images for name, values in times.items()}
    measured = {name: {'seconds': passed, 'cpu_seconds': cpu} for name, (passed, cpu) in least.items()}
    measured['and boundaries']['peak_gb'] = peak_memory()
    print(json.dumps(measured))


def report(measured):
    first = measured['prediction']
    for name, numbers in measured.items():
        print(
            '{:20s} {:8.1f} ms an image, ratio {:.3f}; {:8.1f} ms on all CPUs, ratio {:.3f}'.format(
                ('  ' if name.startswith('and') else '') + name,
                1000 * numbers['seconds'],
                numbers['seconds'] / first['seconds'],
                1000 * numbers['cpu_seconds'],
                numbers['cpu_seconds'] / first['cpu_seconds'],
            )
        )
    print('target: {:.2f} at most'.format(TARGET_RATIO))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=8)
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), metavar=('H', 'W'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--prepare', metavar='ROOT', help=argparse.SUPPRESS)
    parser.add_argument('--child', nargs=2, metavar=('DATA', 'MODEL'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        write_dataset(args.prepare, args.images, args.size)
        print(json.dumps([args.prepare, write_model(args.prepare, args.width_divisor)]))
        return
    if args.child:
        measure(args)
        return
    print(
        '{} images of {} x {}, VGG-16 of width 1/{}, {} CPUs, best of {} rounds'.format(
            args.images, args.size[0], args.size[1], args.width_divisor, os.cpu_count(), args.rounds
        )
    )
    with tempfile.TemporaryDirectory() as root:
        words = [os.path.abspath(__file__)] + sys.argv[1:]
        report(run_and_read(words + ['--child'] + run_and_read(words + ['--prepare', root])))


if __name__ == '__main__':
    main()
