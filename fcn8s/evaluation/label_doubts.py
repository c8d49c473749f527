"""Labels to look at again: regions where a confident network disagrees with the label.

A network is also wrong where labels are right, and always in the same ways. What tells the two apart is that a damaged
label makes a large region of a kind that is rare: a disagreement counts by its area times how rare this pair of classes
is among all disagreements (compare confident learning: Northcutt, Jiang, Chuang, JAIR 2021, which estimates the joint
distribution of labels and predictions for the same purpose).
"""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from helpers.label_spaces import LabelSpace

# The predicted class has to be more probable than the label's by this much.
SMALLEST_MARGIN = 0.5
# Regions are opened by a square of this side first: the strips along boundaries that every network gets wrong vanish.
OPENING = 5
# No more regions than this are kept of an image.
MAX_REGIONS = 8


class Doubt(NamedTuple):
    """A region where prediction and label differ; box: top, left, bottom, right, in pixels, the last two exclusive."""

    label: int
    predicted: int
    area: int
    box: Tuple[int, int, int, int]


class RankedDoubt(NamedTuple):
    """The doubt that an image has its place in the list for."""

    image: int
    doubt: Doubt
    score: float


def find_doubts(
    labels: np.ndarray, class_ids: np.ndarray, margins: np.ndarray, label_space: LabelSpace, opening: int = OPENING
) -> List[Doubt]:
    """The regions of one image, the largest first, at most `MAX_REGIONS`.

    Args:
        labels: Class IDs [H, W]; ignored and void pixels are in no region.
        class_ids: Prediction [H, W].
        margins: float [H, W], the probability of the predicted class minus that of the label's class.
    """
    valid = (labels != label_space.ignore_id) & ~np.isin(labels, label_space.void_class_ids)
    mask = valid & (labels != class_ids) & (margins >= SMALLEST_MARGIN)
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((opening, opening), np.uint8))
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    largest = 1 + np.argsort(-areas, kind='stable')[:MAX_REGIONS]
    return [_doubt(regions == number, statistics[number], labels, class_ids) for number in largest]


def _doubt(inside: np.ndarray, statistics: np.ndarray, labels: np.ndarray, class_ids: np.ndarray) -> Doubt:
    left, top, width, height, area = (int(value) for value in statistics)
    pairs, pixels = np.unique(labels[inside].astype(np.int64) * 256 + class_ids[inside], return_counts=True)
    pair = int(pairs[np.argmax(pixels)])
    return Doubt(pair // 256, pair % 256, area, (top, left, top + height, left + width))


def rank_doubts(images: Sequence[Sequence[Doubt]], confusion_matrix: np.ndarray) -> List[RankedDoubt]:
    """One entry for each image that has a doubt, the most doubtful label first.

    The score of a doubt is its area times ln(1 / rate), where rate is the share of the label's pixels that the network
    takes for the predicted class, in all images.

    Args:
        images: The doubts of each image.
        confusion_matrix: Of all images together, integers [C, P], rows are labels.
    """
    rates = confusion_matrix / np.maximum(confusion_matrix.sum(axis=1, keepdims=True), 1)
    ranked = []
    for number, doubts in enumerate(images):
        scores: Dict[Doubt, float] = {doubt: doubt.area * _rareness(doubt, rates) for doubt in doubts}
        if scores:
            worst = max(scores, key=lambda doubt: scores[doubt])
            ranked.append(RankedDoubt(number, worst, scores[worst]))
    return sorted(ranked, key=lambda entry: -entry.score)


def _rareness(doubt: Doubt, rates: np.ndarray) -> float:
    rate = rates[doubt.label, doubt.predicted] if doubt.predicted < rates.shape[1] else 0.0
    return float(-np.log(np.clip(rate, 1e-6, 1.0)))
