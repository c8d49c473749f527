"""IoU by the size of objects: how much of the small ones is found?

An object is a connected region of one class in the ground truth (8 neighbours). Its pixels count as found or missed in
the bin of its size. False positives belong to no object. They count in the bin of the object that their predicted
region overlaps most or, if it overlaps none, in the bin of the region's own size.

Letters: C classes, S bins of size.
"""

from typing import List, Sequence, Tuple

import cv2
import numpy as np

from fcn8s.evaluation.scores import ClassCounts, checked_limits
from helpers.label_spaces import LabelSpace, are_counted

# Upper bounds of the bins as shares of the image's area; the last bin has none.
SIZE_LIMITS = (0.001, 0.01, 0.1)
SIZE_NAMES = ('below 0.1 % of the image', '0.1 to 1 %', '1 to 10 %', 'above 10 %')


def size_counts(
    labels: np.ndarray, class_ids: np.ndarray, label_space: LabelSpace, limits: Sequence[float] = SIZE_LIMITS
) -> ClassCounts:
    """Counts pixels per bin of size and class in one image.

    Args:
        labels: Ground truth, integers [H, W]; pixels of `ignore_id` and of void classes count nowhere.
        class_ids: Prediction, integers [H, W].
        limits: Upper bounds of all bins but the last, as shares of H times W; a size equal to a bound is above it.

    Returns:
        Three arrays, int64 [S, C].

    Raises:
        ValueError: The limits do not ascend.
    """
    bounds = np.array(checked_limits(limits)) * labels.size
    counts = ClassCounts(*np.zeros((3, len(limits) + 1, label_space.num_classes), dtype=np.int64))
    valid = are_counted(labels, label_space)
    for class_id in range(label_space.num_classes):
        if class_id in label_space.void_class_ids:
            continue
        truth, predicted = (labels == class_id) & valid, (class_ids == class_id) & valid
        if truth.any() or predicted.any():
            of_class = _count_class(truth, predicted, bounds)
            for total, part in zip(counts, of_class):
                total[:, class_id] += part
    return counts


def _count_class(truth: np.ndarray, predicted: np.ndarray, bounds: np.ndarray) -> List[np.ndarray]:
    """True positives, false positives and false negatives of one class per bin, int64 [S] each."""
    truth_regions, truth_areas = _regions(truth)
    predicted_regions, predicted_areas = _regions(predicted)
    truth_bins = np.searchsorted(bounds, truth_areas, side='right')
    found = np.bincount(truth_regions[predicted], minlength=len(truth_areas))
    found[0] = 0
    wrong = np.bincount(predicted_regions[predicted & ~truth], minlength=len(predicted_areas))
    bins = np.searchsorted(bounds, predicted_areas, side='right')
    partners = _largest_overlaps(truth_regions, predicted_regions, len(truth_areas), len(predicted_areas))
    bins = np.where(partners > 0, truth_bins[partners], bins)
    num_bins = len(bounds) + 1
    return [
        _sum_by_bin(truth_bins, found, num_bins),
        _sum_by_bin(bins, wrong, num_bins),
        _sum_by_bin(truth_bins, truth_areas - found, num_bins),
    ]


def _regions(mask: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The number of each pixel's region, int32 [H, W], 0 outside; and the area of each region, 0 for the outside."""
    _, numbers, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = 0
    return numbers, areas


def _largest_overlaps(truth: np.ndarray, predicted: np.ndarray, num_truth: int, num_predicted: int) -> np.ndarray:
    """For each predicted region, the true region with which it shares most pixels, 0 for none; int64."""
    both = (truth > 0) & (predicted > 0)
    pairs, pixels = np.unique(predicted[both].astype(np.int64) * num_truth + truth[both], return_counts=True)
    partners = np.zeros(num_predicted, dtype=np.int64)
    order = np.argsort(pixels, kind='stable')  # the largest is written last and stays
    partners[pairs[order] // num_truth] = pairs[order] % num_truth
    return partners


def _sum_by_bin(bins: np.ndarray, values: np.ndarray, num_bins: int) -> np.ndarray:
    sums = np.zeros(num_bins, dtype=np.int64)
    np.add.at(sums, bins, values)
    return sums
