"""How many damaged labels does the list of labels to look at again find? Measured on generated scenes.

One label in twenty is damaged on purpose, in turn in one of three ways: an object gets another class, an object is
missing (it has the class around it), the whole mask is shifted. A trained network is then evaluated on them, and the
list is made as `fcn8s report` makes it: the share of the damaged labels in its first tenth is printed. A tenth of the
images is what somebody would look through.

    fcn8s demo
    fcn8s sample-data SCENES --train 1 --val 300 --seed 7
    python benchmarks/label_doubts.py demo/run SCENES [--share 0.05] [--seed 0]

The target is 0.80 at least.
"""

import argparse
import os
import sys

import cv2
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from data_generator import BatchGenerator  # noqa: E402
from fcn8s.evaluation.evaluate import attach_scorer, evaluate_model  # noqa: E402
from fcn8s.evaluation.label_doubts import rank_doubts  # noqa: E402
from fcn8s.prediction.frozen_network import open_model  # noqa: E402
from fcn8s.report.observations import Observations  # noqa: E402
from fcn8s.saving.runs import resolve_model  # noqa: E402

TARGET = 0.80
KINDS = ('class swapped', 'object missing', 'mask shifted')
# Objects that are damaged take at least this share of the image, and masks are shifted by this share of its width:
# less than that people would not mend either.
SMALLEST_OBJECT, SHIFT = 0.005, 0.06


def objects(labels, random):
    """Masks of the connected regions that are large enough and not the largest of the image, in random order."""
    found = []
    for class_id in np.unique(labels[labels != 255]):
        _, regions, statistics, _ = cv2.connectedComponentsWithStats((labels == class_id).astype(np.uint8))
        for number, area in enumerate(statistics[1:, cv2.CC_STAT_AREA], 1):
            if SMALLEST_OBJECT * labels.size <= area <= 0.2 * labels.size:
                found.append(regions == number)
    random.shuffle(found)
    return found


def damage(labels, kind, num_classes, random):
    """A damaged copy of the class IDs [H, W]; None where there is no object to be damaged."""
    damaged = labels.copy()
    if kind == 'mask shifted':
        shift = int(round(SHIFT * labels.shape[1])) * random.choice([-1, 1])
        return np.roll(damaged, shift, axis=1)
    for mask in objects(labels, random):
        around = (cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~mask & (labels != 255)
        if not around.any():
            continue
        own, neighbours = labels[mask][0], np.bincount(labels[around], minlength=num_classes)
        neighbours[own] = 0
        if not neighbours.any():
            continue
        if kind == 'object missing':
            damaged[mask] = neighbours.argmax()
        else:
            present = [c for c in np.unique(labels[labels != 255]) if c != own]
            damaged[mask] = random.choice(present)
        return damaged
    return None


class DamagedBatches:
    """Hands on batches of one image; the labels of those in `kinds` (number -> kind) are damaged."""

    def __init__(self, batches, kinds, num_classes, random):
        self._batches, self._kinds, self._num_classes, self._random = batches, kinds, num_classes, random
        self._number = 0
        self.damaged = {}

    def __iter__(self):
        return self

    def __next__(self):
        images, labels = next(self._batches)
        kind = self._kinds.get(self._number)
        changed = None if kind is None else damage(labels[0], kind, self._num_classes, self._random)
        if changed is not None:
            self.damaged[self._number] = kind
            labels = changed[np.newaxis]
        self._number += 1
        return images, labels


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run')
    parser.add_argument('scenes')
    parser.add_argument('--share', type=float, default=0.05)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    random = np.random.RandomState(args.seed)
    data = BatchGenerator.from_layout('cityscapes', args.scenes, 'val')
    count = data.get_num_files()
    chosen = random.choice(count, size=max(1, int(round(args.share * count))), replace=False)
    kinds = {int(number): KINDS[place % len(KINDS)] for place, number in enumerate(chosen)}
    with open_model(resolve_model(args.run)) as model, data.generate(1, shuffle=False) as batches:
        observations = Observations(model.label_space)
        scorer = attach_scorer(model.images, model.logits, model.label_space)
        source = DamagedBatches(batches, kinds, model.num_classes, random)
        evaluate_model(model.run, scorer, source, count, observer=observations)
    ranked = [entry.image for entry in rank_doubts(observations.doubts)]
    first = set(ranked[: max(1, count // 10)])
    print('{} of {} labels are damaged'.format(len(source.damaged), count))
    for kind in KINDS:
        of_kind = [number for number, other in source.damaged.items() if other == kind]
        print('{:<15} {} of {} in the first tenth'.format(kind, len(first & set(of_kind)), len(of_kind)))
    share = len(first & set(source.damaged)) / max(1, len(source.damaged))
    print('found in the first tenth: {:.2f} (target {:.2f})'.format(share, TARGET))
    return share


if __name__ == '__main__':
    main()
