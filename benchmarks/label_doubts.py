"""How many damaged labels does the list of labels to look at again find? Measured on generated scenes.

One label in twenty is damaged on purpose, in turn in one of three ways: an object gets another class, an object is
missing (it has the class around it), the whole mask is shifted. A trained network is then evaluated on them, and the
list is made as `fcn8s report` makes it: the share of the damaged labels in its first tenth is printed. A tenth of the
images is what somebody would look through.

    fcn8s demo
    fcn8s sample-data SCENES --train 1 --val 300 --seed 7
    python benchmarks/label_doubts.py demo/run SCENES [--share 0.05] [--draws 20] [--seed 0]

Each draw damages other labels. The target is 0.80 at least.
"""

import argparse
import itertools
import os
import sys
from typing import NamedTuple

import cv2
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from data_generator import BatchGenerator  # noqa: E402
from fcn8s.evaluation.evaluate import attach_scorer, evaluate_model  # noqa: E402
from fcn8s.evaluation.label_doubts import find_doubts, rank_doubts  # noqa: E402
from fcn8s.prediction.frozen_network import open_model  # noqa: E402
from fcn8s.saving.runs import resolve_model  # noqa: E402

TARGET = 0.80
KINDS = ('class swapped', 'object missing', 'mask shifted')
# Damaged objects take at least this share of the image, and masks are shifted by this share of its width: people would
# not repair smaller damage either.
SMALLEST_OBJECT, SHIFT = 0.005, 0.06


def objects(labels, random):
    """Masks of connected regions that take from `SMALLEST_OBJECT` to a fifth of the image, in random order."""
    found = []
    for class_id in np.unique(labels[labels != 255]):
        _, regions, statistics, _ = cv2.connectedComponentsWithStats((labels == class_id).astype(np.uint8))
        for number, area in enumerate(statistics[1:, cv2.CC_STAT_AREA], 1):
            if SMALLEST_OBJECT * labels.size <= area <= 0.2 * labels.size:
                found.append(regions == number)
    random.shuffle(found)
    return found


def damage(labels, kind, num_classes, random):
    """A damaged copy of the class IDs [H, W]; None if there is no object to damage."""
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


class Damage(NamedTuple):
    """A damaged label [H, W] and its original."""

    kind: str
    labels: np.ndarray
    original: np.ndarray

    @property
    def changed(self):
        return self.labels != self.original


def damage_some(labels, share, num_classes, random):
    """Damages a share of all labels, in turn in one of three ways: number -> Damage."""
    chosen = random.choice(len(labels), size=max(1, int(round(share * len(labels)))), replace=False)
    kinds = {int(number): KINDS[place % len(KINDS)] for place, number in enumerate(chosen)}
    made = {number: damage(labels[number], kinds[number], num_classes, random) for number in sorted(kinds)}
    return {
        number: Damage(kinds[number], changed, labels[number])
        for number, changed in made.items()
        if changed is not None
    }


class Looks:
    """Keeps the doubts and the prediction for each image; an observer of `evaluate_model`."""

    fetches = ('class_ids', 'surprises')

    def __init__(self, label_space):
        self._label_space, self.doubts, self.class_ids = label_space, [], []

    def add(self, _, labels, values):
        for truth, class_ids, surprises in zip(np.asarray(labels), values['class_ids'], values['surprises']):
            self.doubts.append(find_doubts(truth, class_ids, surprises, self._label_space))
            self.class_ids.append(class_ids)


class Tally:
    """Counts what is found, under several headings."""

    def __init__(self):
        self._counts = {}

    def add(self, heading, is_found):
        found, count = self._counts.get(heading, (0, 0))
        self._counts[heading] = (found + bool(is_found), count + 1)

    def share(self, heading):
        found, count = self._counts.get(heading, (0, 0))
        return found / max(1, count)

    def lines(self):
        width = max(map(len, self._counts))
        return [
            '{:<{}}  {:4} of {:4}  {:.2f}'.format(heading, width, found, count, found / count)
            for heading, (found, count) in sorted(self._counts.items())
        ]


def headings(damage, class_ids):
    """The headings under which a damage counts: all; its kind; its size; whether the network sees what was there."""
    changed = damage.changed
    yield 'all'
    yield damage.kind
    if damage.kind == 'mask shifted':
        return
    size = changed.mean()
    yield damage.kind + ', ' + ('below 1 %' if size < 0.01 else '1 to 2 %' if size < 0.02 else 'above 2 %')
    sees = (class_ids[changed] == damage.original[changed]).mean() >= 0.5
    yield damage.kind + ', ' + ('the network sees it' if sees else 'the network does not see it')


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run')
    parser.add_argument('scenes')
    parser.add_argument('--share', type=float, default=0.05)
    parser.add_argument('--draws', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0, help='of the first draw; the others count on from it')
    args = parser.parse_args(argv)
    data = BatchGenerator.from_layout('cityscapes', args.scenes, 'val')
    with data.generate(1, shuffle=False) as batches:
        images, labels = zip(*[(image[0], label[0]) for image, label in itertools.islice(batches, batches.num_batches)])
    tally = Tally()
    with open_model(resolve_model(args.run)) as model:
        scorer = attach_scorer(model.images, model.logits, model.label_space)

        def look(numbers, labels_of):
            looks = Looks(model.label_space)
            pairs = ((images[number][np.newaxis], labels_of[number][np.newaxis]) for number in numbers)
            evaluate_model(model.run, scorer, pairs, len(numbers), observer=looks)
            return looks

        undamaged = look(range(len(images)), labels)
        for seed in range(args.seed, args.seed + args.draws):
            damaged = damage_some(labels, args.share, model.num_classes, np.random.RandomState(seed))
            doubts = list(undamaged.doubts)
            for number, found in zip(damaged, look(list(damaged), {n: d.labels for n, d in damaged.items()}).doubts):
                doubts[number] = found
            first = {entry.image for entry in rank_doubts(doubts)[: max(1, len(images) // 10)]}
            for number, one in damaged.items():
                for heading in headings(one, undamaged.class_ids[number]):
                    tally.add(heading, number in first)
    print('{} images, {} draws; damaged labels in the first tenth:'.format(len(images), args.draws))
    print('\n'.join(tally.lines()))
    print('found in the first tenth: {:.3f} (target {:.2f})'.format(tally.share('all'), TARGET))
    return tally.share('all')


if __name__ == '__main__':
    main()
