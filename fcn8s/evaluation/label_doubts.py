"""Labels to look at again: regions with a label that a trained network finds all but impossible.

A network also errs where the label is right. But then it rarely rules the label out: it gives the label's class a few
per cent. A damaged label gets next to none, over a whole region. So regions are ranked by the surprise of their pixels,
-ln p(label), added up: by area, weighted by how sure the network is (compare confident learning: Northcutt, Jiang,
Chuang, JAIR 2021).

A network misses objects, and moves their outlines, more often than it sees objects that are not there. A missed object
is part of the predicted segment around it, and the label agrees with most of that segment. So the surprise of a pixel
is multiplied by the share of its predicted segment that the label contradicts. benchmarks/label_doubts.py measures how
many damaged labels this finds.
"""

from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from helpers.label_spaces import LabelSpace, are_counted

# Nats: the label's class has a probability below 1 / 150.
SMALLEST_SURPRISE = 5.0
# Side of the square of a morphological opening: it removes the strips along boundaries that every network gets wrong.
OPENING = 3
# At most this many regions of an image are kept.
MAX_REGIONS = 8


class Doubt(NamedTuple):
    """A region where prediction and label differ.

    box: top, left, bottom, right, in pixels, the last two exclusive. surprise: the weighted sum over its pixels, in
    nats.
    """

    label: int
    predicted: int
    area: int
    box: Tuple[int, int, int, int]
    surprise: float


class RankedDoubt(NamedTuple):
    """The number of an image and its largest doubt, which decides its place in the list."""

    image: int
    doubt: Doubt


def find_doubts(
    labels: np.ndarray, class_ids: np.ndarray, surprises: np.ndarray, label_space: LabelSpace
) -> List[Doubt]:
    """Returns the regions of one image, the most surprising first, at most `MAX_REGIONS`.

    Args:
        labels: Class IDs [H, W]; ignored and void pixels are in no region.
        class_ids: Prediction [H, W].
        surprises: float [H, W], -ln of the probability of the label's class.
    """
    valid = are_counted(labels, label_space)
    is_denied = valid & (labels != class_ids)
    mask = is_denied & (surprises >= SMALLEST_SURPRISE)
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((OPENING, OPENING), np.uint8))
    count, regions, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:
        return []
    weights = surprises * denied_shares(class_ids, is_denied, valid)
    sums = np.bincount(regions.ravel(), weights=np.where(mask, weights, 0).ravel(), minlength=count)
    largest = 1 + np.argsort(-sums[1:], kind='stable')[:MAX_REGIONS]
    return [_doubt(regions == n, statistics[n], labels, class_ids, float(sums[n])) for n in largest]


def denied_shares(class_ids: np.ndarray, is_denied: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Returns for each pixel the share of the valid pixels of its predicted segment that the labels contradict; float
    [H, W].

    Args:
        class_ids: Prediction [H, W]. A segment is a region of one class whose pixels are connected by their sides.
        is_denied: bool [H, W], where labels and prediction differ. valid: bool [H, W], where labels count.
    """
    shares = np.zeros(class_ids.shape)
    for class_id in np.unique(class_ids[is_denied]):
        inside = class_ids == class_id
        count, segments = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
        denied = np.bincount(segments[inside & is_denied], minlength=count)
        counted = np.bincount(segments[inside & valid], minlength=count)
        shares[inside] = (denied / np.maximum(counted, 1))[segments[inside]]
    return shares


def _doubt(
    inside: np.ndarray, statistics: np.ndarray, labels: np.ndarray, class_ids: np.ndarray, surprise: float
) -> Doubt:
    left, top, width, height, area = (int(value) for value in statistics)
    pairs, pixels = np.unique(labels[inside].astype(np.int64) * 256 + class_ids[inside], return_counts=True)
    pair = int(pairs[np.argmax(pixels)])
    return Doubt(pair // 256, pair % 256, area, (top, left, top + height, left + width), surprise)


def rank_doubts(images: Sequence[Sequence[Doubt]]) -> List[RankedDoubt]:
    """Returns one entry for each image that has a doubt, the largest surprise first.

    Args:
        images: The doubts of each image, the most surprising first.
    """
    ranked = [RankedDoubt(number, doubts[0]) for number, doubts in enumerate(images) if doubts]
    return sorted(ranked, key=lambda entry: -entry.doubt.surprise)
