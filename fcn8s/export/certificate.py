"""The certificate of an export: how its answers in its own runtime differ from TensorFlow's, and its files."""

import math
import os
import time
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.evaluation.scores import count_classes, count_confusion, mean_iou
from fcn8s.export.names import CLASS_IDS, LOGITS
from helpers.files import sha256_of
from helpers.label_spaces import LabelSpace

CERTIFICATE_FILE = 'certificate.json'
TIMED_ROUNDS = 5


class Tolerance(NamedTuple):
    """What an export may lose.

    relative_difference: of the logits, as a share of the largest logit; None for no limit.
    equal_pixels: the least share of pixels with the class that TensorFlow gives them.
    mean_iou_loss: the largest loss of mean IoU, if labels are given; this then counts instead of `equal_pixels`.
    """

    relative_difference: Optional[float]
    equal_pixels: float
    mean_iou_loss: Optional[float] = None


TOLERANCES = {
    'float32': Tolerance(1e-4, 0.999),
    'float16': Tolerance(None, 0.99),
    'bfloat16': Tolerance(None, 0.99),
    'int8': Tolerance(None, 0.95, 0.01),
}


class Sample(NamedTuple):
    """image: uint8 [H, W, channels]; labels: class IDs, uint8 [H, W], or None."""

    image: np.ndarray
    labels: Optional[np.ndarray] = None


class Comparison:
    """Adds up how the answers of an export differ from those of TensorFlow."""

    def __init__(self, label_space: LabelSpace) -> None:
        self._label_space = label_space
        self._difference = self._largest = 0.0
        self._equal = self._pixels = 0
        self._confusions: List[np.ndarray] = []
        self._sizes: List[Tuple[int, int]] = []

    def add(self, reference: Dict[str, np.ndarray], result: Dict[str, np.ndarray], sample: Sample) -> None:
        """Takes in one image; reference, result: 'logits' float32 [1, H, W, C] and 'class_ids' uint8 [1, H, W].

        Raises ValueError where the export gives another shape.
        """
        if result[LOGITS].shape != reference[LOGITS].shape:
            raise ValueError(
                'the export gives logits of the shape {} where TensorFlow gives {}. It was damaged, or its converter '
                'is at fault; export to another format.'.format(result[LOGITS].shape, reference[LOGITS].shape)
            )
        difference = np.abs(result[LOGITS].astype(np.float32) - reference[LOGITS])
        # Comparisons with NaN are False, and NaN must not pass. Infinity stays: divided by itself it is NaN again.
        difference = np.nan_to_num(difference, nan=np.inf, posinf=np.inf)
        self._difference = max(self._difference, float(difference.max(initial=0.0)))
        self._largest = max(self._largest, float(np.abs(reference[LOGITS]).max(initial=0.0)))
        self._equal += int((result[CLASS_IDS] == reference[CLASS_IDS]).sum())
        self._pixels += reference[CLASS_IDS].size
        self._sizes.append(sample.image.shape[:2])
        if sample.labels is not None:
            self._confusions.append(
                np.stack([self._confusion(sample.labels, values[CLASS_IDS][0]) for values in (reference, result)])
            )

    def _confusion(self, labels: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
        return count_confusion(labels, class_ids, self._label_space.num_classes, self._label_space.ignore_id)

    def summary(self) -> Dict[str, Any]:
        """Returns the entry `comparison` of a certificate."""
        summary: Dict[str, Any] = {
            'images': len(self._sizes),
            'sizes': sorted(set(self._sizes)),
            'largest_logit_difference': self._difference,
            'largest_logit': self._largest,
            'relative_logit_difference': self._difference / self._largest if self._largest else self._difference,
            'equal_pixels': self._equal / self._pixels,
        }
        if self._confusions:
            totals = np.sum(self._confusions, axis=0)
            void = self._label_space.void_class_ids
            scores = [float(mean_iou(count_classes(confusion, void))) for confusion in totals]
            summary['mean_iou'] = dict(zip(('tensorflow', 'export'), scores), images=len(self._confusions))
        return summary


def misses(comparison: Dict[str, Any], precision: str) -> List[str]:
    """Says in words what in a comparison exceeds the tolerance of a precision; empty if nothing does."""
    tolerance = TOLERANCES[precision]
    found = []
    difference = comparison['relative_logit_difference']
    if not math.isfinite(difference):
        found.append('logits are not finite, or overflow')
    elif tolerance.relative_difference is not None and not difference <= tolerance.relative_difference:
        found.append(
            'logits differ by {:.1e} of the largest (at most {:.0e})'.format(difference, tolerance.relative_difference)
        )
    scores = comparison.get('mean_iou')
    # Labels without a pixel that counts give no score to judge by.
    if tolerance.mean_iou_loss is not None and scores is not None and not math.isnan(scores['tensorflow']):
        loss = scores['tensorflow'] - scores['export']
        if not loss <= tolerance.mean_iou_loss:
            found.append(
                'the mean IoU falls by {:.2f} points (at most {:.0f})'.format(100 * loss, 100 * tolerance.mean_iou_loss)
            )
    elif not comparison['equal_pixels'] >= tolerance.equal_pixels:
        found.append(
            '{:.2%} of the pixels keep their class (at least {:.1%})'.format(
                comparison['equal_pixels'], tolerance.equal_pixels
            )
        )
    return found


def seconds_in_alternation(reference: Callable[[], Any], export: Callable[[], float]) -> Dict[str, float]:
    """Measures the median seconds of TensorFlow and of an export, which take turns; a first round does not count.

    export: runs once and returns its seconds, measured where it runs.
    """
    pairs = []
    for _ in range(1 + TIMED_ROUNDS):
        start = time.perf_counter()
        reference()
        pairs.append((time.perf_counter() - start, export()))
    passed = np.median(pairs[1:], axis=0)
    return {'tensorflow': float(passed[0]), 'export': float(passed[1]), 'rounds': TIMED_ROUNDS}


def digests(directory: str, names: Iterable[str]) -> Dict[str, str]:
    """Computes the SHA-256 of files, by path below the directory."""
    return {name: sha256_of(os.path.join(directory, name)) for name in names}


def files_below(directory: str) -> List[str]:
    """Returns the paths of all files below a directory, relative to it, without hidden ones."""
    found = []
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith('.')]
        found += [os.path.relpath(os.path.join(folder, name), directory) for name in names if name[0] != '.']
    return sorted(found)
