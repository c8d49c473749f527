"""What samples of dropout cost beside one prediction, and what they do to the calibration, in one run on one machine.

The network takes turns: one prediction (soft-max), then so many samples of the same image; the fastest round of each
counts. With --run and --data, the expected calibration error and the mean IoU with and without samples are printed
instead, as `fcn8s evaluate --calibration` finds them: as the network is, and at a temperature that was fitted to the
other half of the images.

    python benchmarks/doubt.py [--samples 8] [--size 512 1024] [--rounds 3] [--width-divisor 1]
    python benchmarks/doubt.py --run RUN --data CAMVID --layout camvid [--only 0016E5_08]

--only takes the images whose names begin so, where time is short; the figures are then of that part of the split.

The targets: a ratio of 1.6 at most, and with a temperature at most half of the calibration error that one prediction
has without. No temperature changes the mean IoU.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from fcn8s import FCN8s, cli  # noqa: E402
from fcn8s.prediction.frozen_network import open_model  # noqa: E402
from fcn8s.prediction.sampling import Sampler  # noqa: E402
from fcn8s.saving.runs import resolve_model  # noqa: E402
from fcn8s.vgg16.write import write_encoder  # noqa: E402
from helpers.label_spaces import CITYSCAPES  # noqa: E402

TARGET_RATIO = 1.6


def best_seconds(calls, rounds):
    """The least seconds of each call; calls take turns, and the first round does not count."""
    seconds = []
    for _ in range(rounds + 1):
        row = []
        for call in calls:
            start = time.perf_counter()
            call()
            row.append(time.perf_counter() - start)
        seconds.append(row)
    return np.min(seconds[1:], axis=0)


def measure_cost(args):
    """Prints the seconds of both and their ratio, on a network with random weights and the requested width."""
    with tempfile.TemporaryDirectory() as root:
        write_encoder(os.path.join(root, 'vgg16'), 'random', args.width_divisor)
        with FCN8s(vgg16_dir=os.path.join(root, 'vgg16'), label_space=CITYSCAPES) as model:
            model.save(os.path.join(root, 'saved'))
        image = np.random.RandomState(0).randint(256, size=(1,) + tuple(args.size) + (3,)).astype(np.uint8)
        saved = os.path.join(root, 'saved')
        with open_model(resolve_model(os.path.join(saved, os.listdir(saved)[0]))) as model:
            sampler = Sampler(model, args.samples)
            plain, sampled = best_seconds(
                [lambda: model.predict(image, argmax=False), lambda: sampler.predict(image)], args.rounds
            )
    print('one prediction {:.3f} s, {} samples {:.3f} s'.format(plain, args.samples, sampled))
    print('ratio {:.2f} (target {:.2f})'.format(sampled / plain, TARGET_RATIO))


def measure_calibration(args):
    """Prints the calibration error and the mean IoU with and without samples."""
    for samples in (None, args.samples):
        with tempfile.TemporaryDirectory() as root:
            path = os.path.join(root, 'scores.json')
            command = ['evaluate', args.run, '--data', args.data, '--layout', args.layout, '--calibration']
            command += ['--only'] + args.only if args.only else []
            status = cli.main(command + ['--json', path] + ([] if samples is None else ['--samples', str(samples)]))
            if status:
                raise SystemExit(status)
            with open(path, encoding='utf-8') as file:
                scores = json.load(file)
        print(
            '{:<12} calibration error {:.4f}, with a temperature {:.4f} (of all: {:.2f}), mean IoU {:.4f}'.format(
                'one' if samples is None else '{} samples'.format(samples),
                scores['expected_calibration_error'],
                scores['cross_fitted_calibration_error'],
                scores['fitted_temperature'],
                scores['mean_iou'],
            )
        )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--samples', type=int, default=8)
    parser.add_argument('--size', type=int, nargs=2, default=(512, 1024))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--run')
    parser.add_argument('--data')
    parser.add_argument('--layout', default='camvid')
    parser.add_argument('--only', nargs='+', metavar='PREFIX')
    args = parser.parse_args(argv)
    if args.run is not None:
        measure_calibration(args)
    else:
        measure_cost(args)


if __name__ == '__main__':
    main()
