"""Scores near the edges of objects: trimap IoU and boundary F1.

A boundary pixel of a class is a pixel of that class with one of its four neighbours in another class; both pixels have
to be valid. What lies in an ignored region of the ground truth is unknown, so its edge is no boundary, and predictions
there are ignored too. The border of the image is no boundary either.

Letters: H height, W width, C classes, T widths of the trimap.
"""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fcn8s.evaluation.scores import checked_limits, count_classes, count_confusion, intersection_over_union, mean_iou
from helpers.flags import checked_whole, is_real, unmasked
from helpers.label_spaces import DEFAULT_IGNORE_ID, LabelSpace, ignore_void

TRIMAP_WIDTHS = (4, 8, 16)
RELATIVE_TOLERANCE = 0.0075
# Upper bounds of the bands of `distance_confusions`, in pixels.
DISTANCE_LIMITS = (2, 4, 8, 16, 32)


def boundary_mask(ids: np.ndarray, ignore_id: int = DEFAULT_IGNORE_ID) -> np.ndarray:
    """Returns a mask, bool [H, W], of the pixels of `ids` (integers [H, W]) that have a 4-neighbour with another ID,
    where neither ID is `ignore_id`.
    """
    if np.ndim(ids) != 2:
        raise ValueError('IDs of the shape {} came; they have to be [H, W], of one image.'.format(np.shape(ids)))
    ids = unmasked('ids', ids, ignore_id)
    mask = np.zeros(ids.shape, dtype=bool)
    valid = ids != ignore_id
    for here, there in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        differ = (ids[here] != ids[there]) & valid[here] & valid[there]
        mask[here] |= differ
        mask[there] |= differ
    return mask


def squared_distances(mask: np.ndarray) -> np.ndarray:
    """Computes the squared Euclidean distance of each pixel to the nearest pixel of the mask, in pixels^2: whole
    numbers, float32 [H, W]. Exact up to distances of 1000 pixels.

    Args:
        mask: bool [H, W] with at least one True.
    """
    # The transform of scipy.ndimage, which the tests compare with, takes 20 times as long. Squared distances on a grid
    # are whole numbers: rounding undoes the square root in float32, and a limit such as 5 pixels needs no tolerance.
    distances = cv2.distanceTransform(np.logical_not(mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(distances * distances)


def _squared_distances_to_boundary(labels: np.ndarray, ignore_id: int) -> np.ndarray:
    """float32 [H, W] of the ground truth [H, W]; infinite where it has no boundary."""
    boundary = boundary_mask(labels, ignore_id)
    return squared_distances(boundary) if boundary.any() else np.full(labels.shape, np.inf, np.float32)


def _checked_images(labels: np.ndarray, class_ids: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    labels, class_ids = unmasked('labels', labels), unmasked('class_ids', class_ids)
    if labels.ndim != 2 or labels.shape != class_ids.shape:
        raise ValueError(
            'The labels have the shape {} and the prediction {}; both have to be [H, W], of one image and one '
            'size.'.format(labels.shape, class_ids.shape)
        )
    return labels, class_ids


def _checked_distances(name: str, distances: Any) -> List[float]:
    listed = list(distances) if hasattr(distances, '__len__') and not isinstance(distances, str) else []
    if not listed or not all(is_real(distance) and distance >= 0 for distance in listed):
        raise ValueError('{} is {!r}; it has to be of numbers of at least 0, in pixels.'.format(name, distances))
    return [float(distance) for distance in listed]  # the square of np.uint8(16) is 0


def trimap_confusions(
    labels: np.ndarray,
    class_ids: np.ndarray,
    num_classes: int,
    widths: Sequence[float] = TRIMAP_WIDTHS,
    ignore_id: int = DEFAULT_IGNORE_ID,
) -> np.ndarray:
    """Computes confusion matrices of the pixels within `width` pixels of a boundary of the ground truth (Kohli,
    Ladicky, Torr, "Robust higher order potentials for enforcing label consistency", IJCV 2009, section 5: the trimap).

    Args:
        labels: Ground truth, integers [H, W].
        class_ids: Prediction, integers [H, W].
        widths: T Euclidean distances in pixels between centres; a boundary pixel itself is at 0.

    Returns:
        int64 [T, C, C + 1] as in `fcn8s.evaluation.scores.count_confusion`; zeros where the ground truth has no
            boundary.

    Raises:
        ValueError: The two are not images of one size, or a width is not a number of at least 0.
    """
    labels, class_ids = _checked_images(labels, class_ids)
    widths = _checked_distances('widths', widths)
    distances = _squared_distances_to_boundary(labels, ignore_id)
    bands = [distances <= width**2 for width in widths]
    return np.stack([count_confusion(labels[band], class_ids[band], num_classes, ignore_id) for band in bands])


def distance_confusions(
    labels: np.ndarray,
    class_ids: np.ndarray,
    num_classes: int,
    limits: Sequence[float] = DISTANCE_LIMITS,
    ignore_id: int = DEFAULT_IGNORE_ID,
) -> np.ndarray:
    """Computes confusion matrices by distance to the nearest boundary of the ground truth, int64 [len(limits) + 1, C, C
    + 1].

    Band b holds the pixels at distances from `limits[b - 1]` (exclusive; the first band has no lower bound) to
    `limits[b]` (inclusive), in pixels. The last band holds the pixels beyond all limits; without a boundary, that is
    all pixels. Raises ValueError as `trimap_confusions`.
    """
    labels, class_ids = _checked_images(labels, class_ids)
    limits = checked_limits(_checked_distances('limits', limits))
    bands = np.searchsorted(np.square(limits), _squared_distances_to_boundary(labels, ignore_id))
    return np.stack(
        [
            count_confusion(labels[bands == band], class_ids[bands == band], num_classes, ignore_id)
            for band in range(len(limits) + 1)
        ]
    )


def tolerance_in_pixels(height: int, width: int) -> float:
    """Computes 0.75 % of the diagonal of the image, the tolerance of Csurka et al. 2013: 17.2 pixels for 1024x2048."""
    return RELATIVE_TOLERANCE * float(np.hypot(height, width))


def boundary_f1(
    labels: np.ndarray, class_ids: np.ndarray, num_classes: int, tolerance: float, ignore_id: int = DEFAULT_IGNORE_ID
) -> np.ndarray:
    """Computes F1 = 2 P R / (P + R) of the boundary of each class in one image (Csurka, Larlus, Perronnin, "What is a
    good evaluation measure for semantic segmentation?", BMVC 2013, section 3.3).

    P is the share of the predicted boundary pixels of the class that have a boundary pixel of that class in the ground
    truth within `tolerance`; R is the share of the boundary pixels of the ground truth that have a predicted one.

    Args:
        labels: Ground truth, integers [H, W].
        class_ids: Prediction, integers [H, W].
        tolerance: Euclidean distance in pixels; equal counts as within.

    Returns:
        float64 [C]; NaN for a class that has no boundary in either image, 0 for one that has it in only one of them.

    Raises:
        ValueError: The two are not images of one size, or the tolerance is not a number of at least 0.
    """
    labels, class_ids = _checked_images(labels, class_ids)
    _checked_distances('tolerance', [tolerance])
    num_classes = checked_whole('num_classes', num_classes, 1)
    truth = _boundary_points(labels, num_classes, ignore_id)
    predicted = _boundary_points(np.where(labels == ignore_id, np.int32(ignore_id), class_ids), num_classes, ignore_id)
    return np.array([_f1(*pair, tolerance=tolerance) for pair in zip(truth, predicted)])


def _boundary_points(ids: np.ndarray, num_classes: int, ignore_id: int) -> List[np.ndarray]:
    """Coordinates int64 [points, 2] of the boundary pixels of each class."""
    mask = boundary_mask(ids, ignore_id)
    points, classes = np.argwhere(mask), ids[mask]
    order = np.argsort(classes, kind='stable')
    starts = np.searchsorted(classes[order], np.arange(num_classes + 1))
    return [points[order[start:end]] for start, end in zip(starts[:-1], starts[1:])]


def _f1(truth: np.ndarray, predicted: np.ndarray, tolerance: float) -> float:
    if not len(truth) and not len(predicted):
        return np.nan
    if not len(truth) or not len(predicted):
        return 0.0
    precision, recall = _share_within(predicted, truth, tolerance), _share_within(truth, predicted, tolerance)
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share_within(points: np.ndarray, targets: np.ndarray, tolerance: float) -> float:
    # A tree over the boundary pixels of one class is cheaper than a distance transform of the image for each class. The
    # search radius is a little larger than needed because the tree excludes its upper bound.
    tree = cKDTree(targets, balanced_tree=False, compact_nodes=False)
    distances = tree.query(points, distance_upper_bound=tolerance + 1.0)[0]
    return float(np.mean(distances <= tolerance))


class ImageBoundaries(NamedTuple):
    """Boundary statistics of one image."""

    trimaps: np.ndarray  # int64 [T, C, C + 1]
    f1: np.ndarray  # float64 [C]


def measure_image(
    labels: np.ndarray, class_ids: np.ndarray, label_space: LabelSpace, widths: Sequence[float] = TRIMAP_WIDTHS
) -> ImageBoundaries:
    """Measures the boundaries of one image from integers [H, W]; ground truth of void classes counts as ignored."""
    labels = ignore_void(labels, label_space)
    f1 = boundary_f1(
        labels, class_ids, label_space.num_classes, tolerance_in_pixels(*labels.shape), label_space.ignore_id
    )
    f1[list(label_space.void_class_ids)] = np.nan
    return ImageBoundaries(
        trimap_confusions(labels, class_ids, label_space.num_classes, widths, label_space.ignore_id), f1
    )


class BoundaryTotals:
    """Sums over images. Their memory does not grow with the number of images."""

    def __init__(self, label_space: LabelSpace, widths: Sequence[float] = TRIMAP_WIDTHS) -> None:
        self._label_space = label_space
        self._widths = tuple(widths)
        num_classes = label_space.num_classes
        self._trimaps = np.zeros((len(self._widths), num_classes, num_classes + 1), dtype=np.int64)
        self._f1_sums = np.zeros(num_classes)
        self._f1_images = np.zeros(num_classes, dtype=np.int64)
        self._image_means: Tuple[float, int] = (0.0, 0)

    @property
    def trimaps(self) -> np.ndarray:
        """The confusion matrices of the trimaps, int64 [T, C, C + 1]."""
        return self._trimaps

    def add(self, image: ImageBoundaries) -> None:
        """Adds one image."""
        self.add_trimaps(image.trimaps)
        self.add_f1(image.f1)

    def add_trimaps(self, trimaps: np.ndarray) -> None:
        """Adds the trimaps of one or more images, int64 [T, C, C + 1]."""
        self._trimaps += trimaps

    def add_f1(self, f1: np.ndarray) -> None:
        """Adds the boundary F1 of one image, float64 [C]; the last digits depend on the order of the images."""
        present = ~np.isnan(f1)
        self._f1_sums += np.where(present, f1, 0.0)
        self._f1_images += present
        if present.any():
            self._image_means = (self._image_means[0] + float(f1[present].mean()), self._image_means[1] + 1)

    def summarize(self) -> Dict[str, Any]:
        """Returns 'trimap_widths' in pixels (T), 'trimap_iou' float64 [T, C], 'trimap_mean_iou' float64 [T];
        'boundary_tolerance' as a share of the diagonal, 'boundary_f1' float64 [C] (mean over the images that have a
        boundary of the class in ground truth or prediction), 'mean_boundary_f1' (mean over images of the mean over
        their classes, as Csurka et al. average). NaN where there is nothing to average.
        """
        counts = count_classes(self._trimaps, self._label_space.void_class_ids)
        per_class = np.where(self._f1_images > 0, self._f1_sums / np.maximum(self._f1_images, 1), np.nan)
        total, images = self._image_means
        return {
            'trimap_widths': list(self._widths),
            'trimap_iou': intersection_over_union(counts),
            'trimap_mean_iou': mean_iou(counts),
            'boundary_tolerance': RELATIVE_TOLERANCE,
            'boundary_f1': per_class,
            'mean_boundary_f1': total / images if images else float('nan'),
        }
