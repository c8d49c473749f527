"""Does depth raise the score? Networks of four channels against networks of three, on generated scenes.

    fcn8s sample-data SCENES --train 160 --val 60 --drive 0 --size 64 128 --depth
    python benchmarks/rgbd.py SCENES OUT [--seeds 0 1 2] [--epochs 24]

Both read the same files: stacks of red, green, blue and nearness, of which the network of three channels takes the
first three. Both encoders begin with the same random weights, those of the fourth channel with zero. OUT keeps what was
made; a comparison that was stopped goes on there. The table has the mean IoU of the last epoch on val, in percent.
"""

import argparse
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from data_generator import BatchGenerator  # noqa: E402
from fcn8s.cli import main as fcn8s  # noqa: E402
from fcn8s.saving import runs  # noqa: E402
from fcn8s.vgg16.further_channels import further_channels  # noqa: E402
from fcn8s.vgg16.write import write_encoder  # noqa: E402
from helpers.images import read_labels, write_labels  # noqa: E402

FARTHEST = 160.0  # metres; the generated streets end there
KINDS = {'RGB': 3, 'RGB-D': 4}


def nearness(path):
    """A channel, 0 to 255, from a depth file: 255 at 1 metre, falling with the logarithm of distance; the sky is 0."""
    units = read_labels(path).astype(np.float64)  # 1/256 metres; 0 is the sky
    with np.errstate(divide='ignore'):
        share = 1 - np.log(units / 256) / np.log(FARTHEST)
    return np.where(units == 0, 0, (255 * share).clip(1, 255)).astype(np.uint8)


def write_stacks(scenes, out, split):
    """Writes images of four channels, and labels of class IDs; returns mean and deviation of the fourth channel."""
    fourth = []
    data = BatchGenerator.from_layout('cityscapes', scenes, split)
    with data.generate(1, shuffle=False) as batches:
        for pair in data.pairs:
            images, labels = next(batches)
            depth = pair.image.replace('leftImg8bit' + os.sep, 'depth' + os.sep).replace('leftImg8bit.png', 'depth.png')
            fourth.append(nearness(depth))
            name = os.path.basename(pair.image).replace('_leftImg8bit.png', '')
            os.makedirs(os.path.join(out, split, 'images'), exist_ok=True)
            np.save(os.path.join(out, split, 'images', name + '.npy'), np.dstack([images[0], fourth[-1]]))
            write_labels(os.path.join(out, split, 'labels', name + '.png'), labels[0])
    return float(np.mean(fourth)), float(np.std(fourth))


def encoder(args, kind, seed, mean, deviation):
    """The path of the encoder of a kind, made if it is not there."""
    path = os.path.join(args.out, 'encoder_{}_{}'.format(kind, seed))
    if not os.path.exists(path):
        further = further_channels(3) if KINDS[kind] == 3 else further_channels(4, 'zero', [mean], [deviation])
        write_encoder(path, weights='random', width_divisor=args.width_divisor, seed=seed, further=further)
    return path


def score(args, kind, seed, encoder_path):
    """Trains a network, or continues its training; returns the mean IoU in percent."""
    run = os.path.join(args.out, 'run_{}_{}'.format(kind, seed))
    places = [
        word
        for flag, split, part in (
            ('--images', 'train', 'images'),
            ('--labels', 'train', 'labels'),
            ('--val-images', 'val', 'images'),
            ('--val-labels', 'val', 'labels'),
        )
        for word in (flag, os.path.join(args.out, split, part))
    ]
    options = ['--classes', '19', '--batch', '4', '--epochs', str(args.epochs), '--eval-every', str(args.epochs)]
    options += ['--rate', 'poly:1e-3', '--flip', '0.5', '--seed', str(seed), '--threads', '0', '--no-report']
    options += ['--bands', '1', '2', '3'] if KINDS[kind] == 3 else []
    words = ['--run', run, '--encoder', encoder_path, *places, *options]
    done = runs.read_metrics(runs.open_run(run)) if os.path.isdir(run) else []
    if not done or done[-1]['evaluation'] is None:
        status = fcn8s(['train', '--resume', run] if done else ['train', *words])
        if status:
            raise SystemExit(status)
        done = runs.read_metrics(runs.open_run(run))
    return 100 * done[-1]['evaluation']['mean_iou']


def table(scores):
    """A Markdown table: a row for each seed, and the mean difference with its standard error."""
    lines = ['| seed | RGB | RGB-D | difference |', '| --- | --- | --- | --- |']
    differences = []
    for seed, pair in scores.items():
        differences.append(pair['RGB-D'] - pair['RGB'])
        lines.append('| {} | {:.1f} | {:.1f} | {:+.1f} |'.format(seed, pair['RGB'], pair['RGB-D'], differences[-1]))
    error = ''
    if len(differences) > 1:
        error = ' +- {:.1f}'.format(np.std(differences, ddof=1) / np.sqrt(len(differences)))
    means = [np.mean([pair[kind] for pair in scores.values()]) for kind in KINDS]
    return '\n'.join(lines + ['| mean | {:.1f} | {:.1f} | {:+.1f}{} |'.format(*means, np.mean(differences), error)])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('scenes')
    parser.add_argument('out')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, default=24)
    parser.add_argument('--width-divisor', type=int, default=16)
    args = parser.parse_args(argv)
    mean, deviation = write_stacks(args.scenes, args.out, 'train')
    write_stacks(args.scenes, args.out, 'val')
    scores = {}
    for seed in args.seeds:
        scores[seed] = {kind: score(args, kind, seed, encoder(args, kind, seed, mean, deviation)) for kind in KINDS}
    print(table(scores))
    return scores


if __name__ == '__main__':
    main()
