"""What `fcn8s video --clockwork K` costs and gains: scores, flicker and speed on a drive whose every frame is labelled.

    fcn8s demo
    python benchmarks/clockwork.py demo/run demo/data/drive

Frames per second are those of predicting alone, rounds of all intervals in alternation; the medians are printed. With
--strip FILE.png, the first frames are drawn one below the other: the frame, its own prediction, and that of the
clockwork at the last interval.
"""

import argparse
import itertools
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fcn8s.evaluation import scores
from fcn8s.prediction.clockwork import Clockwork, Seen
from fcn8s.prediction.frozen_network import open_model
from fcn8s.saving.runs import resolve_model
from helpers.image_search import find_images
from helpers.images import read_image, read_labels, resize_image, write_image
from helpers.label_spaces import file_ids_to_class_ids
from helpers.visualization_utils import print_segmentation_onto_image

STRIP_FRAMES = 5


def read_drive(drive, label_space):
    """Reads frames, and their labels as class IDs."""
    table = file_ids_to_class_ids(label_space)
    frames = [read_image(path) for path in find_images(os.path.join(drive, 'leftImg8bit'))]
    labels = [table[read_labels(path)] for path in find_images(os.path.join(drive, 'gtFine'))]
    return frames, labels


def mean_iou(predictions, labels, label_space):
    """Mean IoU in per cent, by the rule of the library."""
    matrix = sum(
        scores.count_confusion(truth, predicted, label_space.num_classes, label_space.ignore_id)
        for predicted, truth in zip(predictions, labels)
    )
    return 100 * scores.mean_iou(scores.count_classes(matrix, label_space.void_class_ids))


def flicker(predictions, labels):
    """The share of pixels with an unchanged label that change their class from frame to frame, in per cent."""
    same = changed = 0
    for index in range(1, len(labels)):
        stays = labels[index] == labels[index - 1]
        same += stays.sum()
        changed += (stays & (predictions[index] != predictions[index - 1])).sum()
    return 100 * changed / max(1, same)


def run_through(model, frames, interval):
    """(class IDs of all frames, frames per second, number of frames that the network saw)."""
    clockwork = Clockwork(lambda image: Seen(model.predict(image[np.newaxis])[0]), interval)
    start = time.perf_counter()
    predictions = [clockwork(frame).class_ids for frame in frames]
    return predictions, len(frames) / (time.perf_counter() - start), clockwork.num_predicted


def draw_strip(path, frames, every, clocked, label_space):
    """Draws a row for each of the first frames: the frame, its own prediction, and that of the clockwork."""
    rows = []
    for frame, *predictions in itertools.islice(zip(frames, every, clocked), STRIP_FRAMES):
        drawn = [print_segmentation_onto_image(frame, ids, label_space, 0.7) for ids in predictions]
        rows.append(np.hstack([frame] + drawn))
    write_image(path, np.vstack(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', metavar='MODEL')
    parser.add_argument('drive', metavar='DRIVE')
    parser.add_argument('--intervals', type=int, nargs='+', default=[1, 2, 3, 4, 6])
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='resize frames, for the speed')
    parser.add_argument('--frames', type=int, default=1000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--strip', metavar='FILE.png')
    args = parser.parse_args()
    with open_model(resolve_model(args.model)) as model:
        frames, labels = read_drive(args.drive, model.label_space)
        frames, labels = frames[: args.frames], labels[: args.frames]
        if args.size is not None:
            frames, labels = [resize_image(frame, tuple(args.size)) for frame in frames], None
        model.predict(frames[0][np.newaxis])
        rounds = [{k: run_through(model, frames, k) for k in args.intervals} for _ in range(args.rounds)]
        print('{} frames of {} x {}'.format(len(frames), *frames[0].shape[:2]))
        print('   K   seen   mean IoU   flicker   frames/s   as fast')
        speeds = {k: np.median([one[k][1] for one in rounds]) for k in args.intervals}
        for interval in args.intervals:
            predictions, _, seen = rounds[0][interval]
            judged = (
                (mean_iou(predictions, labels, model.label_space), flicker(predictions, labels))
                if labels
                else (np.nan,) * 2
            )
            row = (interval, seen, *judged, speeds[interval], speeds[interval] / speeds[args.intervals[0]])
            print('{:4d} {:6d} {:8.2f} % {:7.2f} % {:10.2f} {:9.2f}'.format(*row))
        if args.strip is not None:
            first, last = rounds[0][args.intervals[0]][0], rounds[0][args.intervals[-1]][0]
            draw_strip(args.strip, frames, first, last, model.label_space)


if __name__ == '__main__':
    main()
