"""What a report keeps from an evaluation pass, image by image, besides the scores.

Letters: I images, C classes, K bins of confidence.
"""

from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from fcn8s.evaluation.boundaries import DISTANCE_LIMITS, distance_confusions
from fcn8s.evaluation.label_doubts import Doubt, find_doubts
from fcn8s.evaluation.objects import SIZE_LIMITS, size_counts
from fcn8s.evaluation.scores import ClassCounts
from fcn8s.report.pictures import KeptPictures, make_pictures
from helpers.label_spaces import LabelSpace, are_counted, ignore_void

# Fine enough for a curve of risk against coverage.
CONFIDENCE_BINS = 500


class Cell(NamedTuple):
    """A nonzero entry off the diagonal of one image's confusion matrix: pixels of `truth` predicted as `predicted`."""

    truth: int
    predicted: int
    pixels: int


class Observations:
    """Takes in batches of an evaluation; an observer of `fcn8s.evaluation.evaluate.evaluate_model`.

    Attributes:
        pictures: The pictures of each image.
        sizes: (height, width) of each image's labels.
        cells: For each image, its confusions, without those of void classes in the ground truth.
        doubts: For each image, regions where its label may be wrong.
        by_size: Pixels per bin of object size and class, int64 [S, C].
        by_distance: Confusion matrices per band of distance to a boundary, int64 [bands, C, C + 1].
        confidence_counts, confidence_correct: All pixels and correct pixels per bin of confidence; int64 [K].
    """

    fetches: Tuple[str, ...] = ('class_ids', 'image_confusions', 'confidences', 'surprises')

    def __init__(self, label_space: LabelSpace) -> None:
        num_classes = label_space.num_classes
        self._label_space = label_space
        self.pictures = KeptPictures()
        self.sizes: List[Tuple[int, int]] = []
        self.cells: List[List[Cell]] = []
        self.doubts: List[List[Doubt]] = []
        self.by_size = ClassCounts(*np.zeros((3, len(SIZE_LIMITS) + 1, num_classes), dtype=np.int64))
        self.by_distance = np.zeros((len(DISTANCE_LIMITS) + 1, num_classes, num_classes + 1), dtype=np.int64)
        self.confidence_counts = np.zeros(CONFIDENCE_BINS, dtype=np.int64)
        self.confidence_correct = np.zeros(CONFIDENCE_BINS, dtype=np.int64)

    def add(self, images: np.ndarray, labels: np.ndarray, values: Dict[str, Any]) -> None:
        """Takes in a batch: images [N, h, w, 3], labels [N, H, W], and the values of `fetches` by name."""
        for number, (image, truth) in enumerate(zip(images, np.asarray(labels))):
            self._add_image(image, truth, {name: values[name][number] for name in self.fetches})

    def _add_image(self, image: np.ndarray, labels: np.ndarray, values: Dict[str, np.ndarray]) -> None:
        space, class_ids = self._label_space, values['class_ids']
        self.pictures.append(make_pictures(image, labels, class_ids, space))
        self.sizes.append((labels.shape[0], labels.shape[1]))
        self.cells.append(_cells(values['image_confusions'], space))
        self.doubts.append(find_doubts(labels, class_ids, values['surprises'], space))
        sizes = size_counts(labels, class_ids, space)
        self.by_size = ClassCounts(*[total + part for total, part in zip(self.by_size, sizes)])
        self.by_distance += distance_confusions(
            ignore_void(labels, space), class_ids, space.num_classes, ignore_id=space.ignore_id
        )
        self._add_confidences(values['confidences'], labels == class_ids, are_counted(labels, space))

    def _add_confidences(self, confidences: np.ndarray, is_right: np.ndarray, is_counted: np.ndarray) -> None:
        bins = np.clip((confidences[is_counted] * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)
        self.confidence_counts += np.bincount(bins, minlength=CONFIDENCE_BINS)
        self.confidence_correct += np.bincount(bins[is_right[is_counted]], minlength=CONFIDENCE_BINS)


def _cells(confusion_matrix: np.ndarray, label_space: LabelSpace) -> List[Cell]:
    return [
        Cell(int(truth), int(predicted), int(confusion_matrix[truth, predicted]))
        for truth, predicted in np.argwhere(confusion_matrix)
        if truth != predicted and truth not in label_space.void_class_ids
    ]


def risk_against_coverage(counts: np.ndarray, correct: np.ndarray) -> List[Tuple[float, float]]:
    """Returns (coverage, risk) points: the share of pixels that are kept when the least confident are given up, and the
    share of kept pixels that are wrong (El-Yaniv, Wiener, JMLR 2010).

    Args:
        counts, correct: All pixels and correct pixels per bin of confidence, lowest first; integers [K].
    """
    kept, right = np.cumsum(counts[::-1]), np.cumsum(correct[::-1])
    filled = kept[counts[::-1] > 0]
    return [
        (float(pixels / kept[-1]), float(1.0 - good / pixels)) for pixels, good in zip(filled, right[counts[::-1] > 0])
    ]
