"""Scores of a segmentation, all computed from one integer confusion matrix.

The rules are those of Cityscapes (`cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling`, Cordts et al., CVPR
2016, https://www.cityscapes-dataset.com/benchmarks/): ignored ground truth counts nowhere; a prediction of an ignored
class on a valid pixel is a false negative of the true class and a false positive of none; a class that neither the
ground truth nor the prediction holds has no score (NaN) and is left out of the means.

Letters: C classes, P >= C columns of the confusion matrix (columns beyond C are predictions that are no class).
"""

import operator
from typing import Any, Callable, Dict, NamedTuple, Sequence, Union

import numpy as np

from helpers.flags import checked_whole, unmasked
from helpers.label_spaces import DEFAULT_IGNORE_ID, LabelSpace

ArrayOrNumber = Union[np.ndarray, float]


class Metric(NamedTuple):
    """One entry of `METRICS`. title: for people. is_better(score, best): whether a score beats the best so far."""

    title: str
    is_better: Callable[[float, float], bool]


# The scores that a training can monitor and that `FCN8s.evaluate` takes by name.
METRICS = {
    'loss': Metric('loss', operator.lt),
    'mean_iou': Metric('mean IoU', operator.gt),
    'accuracy': Metric('pixel accuracy', operator.gt),
}
# The IoU of one class, by its name: 'iou:CLASS NAME'.
CLASS_IOU = 'iou:'


def metric_of(monitor: str) -> str:
    """Returns the key in METRICS for a monitored score; the IoU of one class is compared like the mean IoU."""
    return 'mean_iou' if monitor.startswith(CLASS_IOU) else monitor


class ClassCounts(NamedTuple):
    """Pixels of each class, [..., C]: all that the per-class scores need. They add up over images."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray


def count_confusion(
    labels: np.ndarray, class_ids: np.ndarray, num_classes: int, ignore_id: int = DEFAULT_IGNORE_ID
) -> np.ndarray:
    """Counts pixels by ground truth (row) and prediction (column).

    Args:
        labels: Ground truth, integer class IDs of any shape; pixels of `ignore_id` are not counted.
        class_ids: Prediction, integers of the same shape, each a class ID or `ignore_id`.

    Returns:
        int64 [C, C + 1]; the last column counts valid pixels for which `ignore_id` was predicted.

    Raises:
        ValueError: The shapes differ, or an ID is not a whole number, or it is neither a class nor `ignore_id`.
    """
    num_classes = checked_whole('num_classes', num_classes, 1)
    labels, class_ids = unmasked('labels', labels, ignore_id), unmasked('class_ids', class_ids, ignore_id)
    if labels.shape != class_ids.shape:
        raise ValueError(
            'The labels have shape {} and the predicted class IDs {}. Both need one entry per pixel of '
            'the same image. Predict at the size of the ground truth.'.format(labels.shape, class_ids.shape)
        )
    _check_whole('ground truth', labels)
    _check_whole('prediction', class_ids)
    valid = labels != ignore_id
    rows, columns = labels[valid].astype(np.int64), class_ids[valid].astype(np.int64)
    columns = np.where(columns == ignore_id, num_classes, columns)
    _check_ids('ground truth', rows, num_classes, num_classes, ignore_id)
    _check_ids('prediction', columns, num_classes, num_classes + 1, ignore_id)
    counts = np.bincount(rows * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes, num_classes + 1).astype(np.int64)


def _check_whole(name: str, ids: np.ndarray) -> None:
    if ids.dtype.kind in 'iub':
        return
    if ids.dtype.kind != 'f' or not np.array_equal(ids, np.floor(ids)):
        raise ValueError(
            'The {} is of the dtype {} and holds parts of numbers, or no numbers; class IDs are whole. Resize them '
            'with helpers.images.resize_labels, which mixes none.'.format(name, ids.dtype)
        )


def _check_ids(name: str, ids: np.ndarray, num_classes: int, limit: int, ignore_id: int) -> None:
    if ids.size and (ids.min() < 0 or ids.max() >= limit):
        wrong = np.unique(ids[(ids < 0) | (ids >= limit)])
        raise ValueError(
            'The {} holds the IDs {}, but class IDs go from 0 to {} and {} is ignored. Convert it to the '
            'class IDs of the model first (id_map).'.format(name, wrong.tolist(), num_classes - 1, ignore_id)
        )


def checked_limits(limits: Sequence[float]) -> Sequence[float]:
    """Returns the bounds of bins, or raises ValueError unless they ascend."""
    if any(one >= other for one, other in zip(limits, limits[1:])):
        raise ValueError('limits is {!r}; each has to be larger than the one before.'.format(limits))
    return limits


def check_confusion_matrix(confusion_matrix: np.ndarray) -> None:
    """Raises ValueError unless it is an integer array [..., C, P] with P >= C and no negative count."""
    confusion_matrix = np.asarray(confusion_matrix)
    shape = confusion_matrix.shape
    if len(shape) < 2 or shape[-1] < shape[-2]:
        raise ValueError(
            'A confusion matrix of shape {} came; it needs a row for each class and at least as many '
            'columns: [..., C, C].'.format(shape)
        )
    if confusion_matrix.dtype.kind not in 'iu':
        raise ValueError(
            'A confusion matrix of dtype {} came; it counts pixels and has to be of integers. Add up '
            'counts and divide once, at the end.'.format(confusion_matrix.dtype)
        )
    if confusion_matrix.size and confusion_matrix.min() < 0:
        raise ValueError(
            'A confusion matrix with the entry {} came; counts of pixels are not negative.'.format(
                confusion_matrix.min()
            )
        )


def count_classes(confusion_matrix: np.ndarray, void_class_ids: Sequence[int] = ()) -> ClassCounts:
    """Counts pixels per class from confusion matrices [..., C, P] (rows are ground truth); void classes get zeros.

    Raises:
        ValueError: The matrix is not one of counts, see `check_confusion_matrix`.
    """
    check_confusion_matrix(confusion_matrix)
    counted = np.array(confusion_matrix, dtype=np.int64)
    num_classes = counted.shape[-2]
    void = list(void_class_ids)
    counted[..., void, :] = 0
    true_positives = np.diagonal(counted, axis1=-2, axis2=-1).copy()
    false_positives = counted.sum(axis=-2)[..., :num_classes] - true_positives
    false_positives[..., void] = 0
    return ClassCounts(true_positives, false_positives, counted.sum(axis=-1) - true_positives)


def count_categories(
    confusion_matrix: np.ndarray, categories: Sequence[str], void_class_ids: Sequence[int] = ()
) -> Dict[str, ClassCounts]:
    """Counts pixels per category of classes, in the order in which the categories first occur; confusing two classes of
    one category is no mistake. Categories that hold only void classes are left out.

    Args:
        confusion_matrix: Integers [C, P], rows are ground truth.
        categories: The category of each of the C classes.
    """
    check_confusion_matrix(confusion_matrix)
    scored = [class_id for class_id in range(len(categories)) if class_id not in void_class_ids]
    counts = {}
    for category in dict.fromkeys(categories[class_id] for class_id in scored):
        members = [class_id for class_id in scored if categories[class_id] == category]
        true_positives = confusion_matrix[np.ix_(members, members)].sum()
        counts[category] = ClassCounts(
            true_positives,
            confusion_matrix[np.ix_(scored, members)].sum() - true_positives,
            confusion_matrix[members].sum() - true_positives,
        )
    return counts


def _check_counts(counts: Any) -> None:
    if not isinstance(counts, ClassCounts):
        raise ValueError(
            'counts is of the type {}; it has to be ClassCounts, which scores.count_classes(matrix) makes of a '
            'confusion matrix: scores.mean_iou(scores.count_classes(matrix)).'.format(type(counts).__name__)
        )


def intersection_over_union(counts: ClassCounts) -> np.ndarray:
    """Computes TP / (TP + FP + FN), float64 [..., C]; NaN where a class is in neither ground truth nor prediction."""
    _check_counts(counts)
    return _divide(counts.true_positives, counts.true_positives + counts.false_positives + counts.false_negatives)


def recall(counts: ClassCounts) -> np.ndarray:
    """Computes TP / (TP + FN), the accuracy of each class, float64 [..., C]; NaN where the ground truth lacks the
    class.
    """
    _check_counts(counts)
    return _divide(counts.true_positives, counts.true_positives + counts.false_negatives)


def precision(counts: ClassCounts) -> np.ndarray:
    """Computes TP / (TP + FP), float64 [..., C]; NaN where the class was never predicted on a valid pixel."""
    _check_counts(counts)
    return _divide(counts.true_positives, counts.true_positives + counts.false_positives)


def pixel_accuracy(counts: ClassCounts) -> np.ndarray:
    """Computes the share of the valid pixels that got their class, float64 [...]; NaN without a valid pixel."""
    _check_counts(counts)
    return _divide(counts.true_positives.sum(axis=-1), (counts.true_positives + counts.false_negatives).sum(axis=-1))


def frequency_weighted_iou(counts: ClassCounts) -> np.ndarray:
    """Computes sum_i t_i IoU_i / sum_k t_k with t_i the pixels of class i in the ground truth (Long, Shelhamer,
    Darrell, CVPR 2015, section 5), float64 [...].
    """
    _check_counts(counts)
    pixels = counts.true_positives + counts.false_negatives
    weighted = np.where(pixels > 0, pixels * intersection_over_union(counts), 0.0)
    return _divide(weighted.sum(axis=-1), pixels.sum(axis=-1))


def mean_of_present(values: np.ndarray) -> np.ndarray:
    """Computes the mean over the last axis of the entries that are not NaN; NaN where there is none."""
    values = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(values)
    return _divide(np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1))


def mean_iou(counts: ClassCounts) -> np.ndarray:
    """Computes the mean of the IoU of the classes that have one, float64 [...]."""
    return mean_of_present(intersection_over_union(counts))


def _divide(numerator: ArrayOrNumber, denominator: ArrayOrNumber) -> np.ndarray:
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def summarize(confusion_matrix: np.ndarray, loss_sum: float, num_valid: int, label_space: LabelSpace) -> Dict[str, Any]:
    """Returns all scores of a dataset from its totals.

    Args:
        confusion_matrix: Integers [C, P] over all valid pixels, rows are ground truth. Rows and columns of
            `label_space.void_class_ids` are left out of the scores as Cityscapes does.
        loss_sum: Sum of the loss over all valid pixels; NaN where no loss was computed.
        num_valid: Number of valid pixels: those whose ground truth is not `label_space.ignore_id`.

    Returns:
        'loss' (mean over pixels), 'accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou',
        'mean_category_iou': floats. 'per_class_iou', 'per_class_accuracy', 'precision', 'recall': float64 [C], NaN for
        void classes and where there is nothing to divide by. 'category_iou': dict of floats by category, empty for a
        label space without categories. 'confusion_matrix': int64 [C, P].

    Raises:
        ValueError: The matrix does not fit the label space, or valid pixels are missing from it: their labels are not
            classes, so the ground truth uses another ID space.
    """
    confusion_matrix = np.asarray(confusion_matrix)
    _check_totals(confusion_matrix, num_valid, label_space)
    counts = count_classes(confusion_matrix, label_space.void_class_ids)
    category_iou = _category_iou(confusion_matrix, label_space)
    return {
        'loss': float(_divide(loss_sum, num_valid)),
        'accuracy': float(pixel_accuracy(counts)),
        'mean_accuracy': float(mean_of_present(recall(counts))),
        'mean_iou': float(mean_iou(counts)),
        'frequency_weighted_iou': float(frequency_weighted_iou(counts)),
        'per_class_iou': intersection_over_union(counts),
        'per_class_accuracy': recall(counts),
        'precision': precision(counts),
        'recall': recall(counts),
        'category_iou': category_iou,
        'mean_category_iou': float(mean_of_present(np.array(list(category_iou.values())))),
        'confusion_matrix': confusion_matrix.astype(np.int64),
    }


def _category_iou(confusion_matrix: np.ndarray, label_space: LabelSpace) -> Dict[str, float]:
    if label_space.categories is None:
        return {}
    counts = count_categories(confusion_matrix, label_space.categories, label_space.void_class_ids)
    return {category: float(intersection_over_union(of_category)) for category, of_category in counts.items()}


def _check_totals(confusion_matrix: np.ndarray, num_valid: int, label_space: LabelSpace) -> None:
    check_confusion_matrix(confusion_matrix)
    if confusion_matrix.ndim != 2 or confusion_matrix.shape[0] != label_space.num_classes:
        raise ValueError(
            'A confusion matrix of shape {} came for the label space {!r} of {} classes. Count with the '
            'number of classes of that label space.'.format(
                confusion_matrix.shape, label_space.name, label_space.num_classes
            )
        )
    missing = int(num_valid) - int(confusion_matrix.sum())
    if missing:
        raise ValueError(
            '{} of {} valid pixels have ground truth IDs that are no classes: those of {!r} go from 0 to '
            '{}, and {} is ignored. The ground truth is of another ID space; give the ID map of the '
            'dataset (for raw Cityscapes labelIds: layout cityscapes).'.format(
                missing, int(num_valid), label_space.name, label_space.num_classes - 1, label_space.ignore_id
            )
        )
