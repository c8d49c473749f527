"""How far the mean IoU would move on other images: bootstrap over images (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13, the percentile interval).

Images are drawn, not pixels, because the pixels of one image are not independent.
Letters: I images, C classes, R resamples.
"""

from typing import Callable, Iterator, NamedTuple, Optional

import numpy as np

from fcn8s.evaluation.scores import ClassCounts, mean_iou
from helpers.flags import checked_whole

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
_CHUNK = 200


class Interval(NamedTuple):
    """A value on all images and the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float
    confidence: float
    num_images: int
    num_resamples: int


def mean_iou_interval(
    images: ClassCounts, num_resamples: int = NUM_RESAMPLES, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """Returns the mean IoU of all images together with its interval.

    Args:
        images: Pixels per class of each image, each array integer [I, C].
        num_resamples: How many times I images are drawn from the I images, with replacement.
        confidence: Share of the resamples inside the interval, 0 to 1.

    Raises:
        ValueError: There are no images, no resamples, or `confidence` is not between 0 and 1.
    """
    return _interval_of_mean_iou(images, None, num_resamples, seed, confidence)


def paired_difference(
    first: ClassCounts,
    second: ClassCounts,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Computes mean IoU of `first` minus that of `second` on the same images, with its interval: each resample draws
    the same images for both, so what makes an image hard for both cancels.

    Args:
        first, second: Pixels per class, integer [I, C]; image i is the same picture in both.

    Raises:
        ValueError: As `mean_iou_interval`, or the two differ in the number of images or classes.
    """
    return _interval_of_mean_iou(first, second, num_resamples, seed, confidence)


def _interval_of_mean_iou(
    images: ClassCounts, against: Optional[ClassCounts], num_resamples: int, seed: int, confidence: float
) -> Interval:
    found = score_intervals(images, mean_iou, against, num_resamples, seed, confidence)
    value, low, high = (float(of_score) for (of_score,) in found)
    return Interval(value, low, high, confidence, len(images.true_positives), num_resamples)


class Intervals(NamedTuple):
    """K scores of all images, and the bounds of their intervals: float64 [K] each; NaN where a score does not exist."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def score_intervals(
    images: ClassCounts,
    score: Callable[[ClassCounts], np.ndarray],
    against: Optional[ClassCounts] = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Intervals:
    """Returns scores of all images together with their intervals, for example `intersection_over_union` of each class.

    Args:
        images: Pixels per class of each image, integer [I, C].
        score: Counts [..., C] -> scores [..., K] (or [...], which counts as K = 1).
        against: The same images' counts by another model: the scores are then differences, paired image by image.

    Raises:
        ValueError: As `paired_difference`.
    """
    _check(images, num_resamples, confidence)
    _check_paired(images, images if against is None else against)

    def measure(weights: np.ndarray) -> np.ndarray:
        values = score(_weighted(weights, images))
        values = values if against is None else values - score(_weighted(weights, against))
        return values.reshape(len(weights), -1)

    num_images = len(images.true_positives)
    resampled = np.concatenate([measure(weights) for weights in _draws(num_images, num_resamples, seed)])
    tail = 50.0 * (1.0 - confidence)
    bounds = np.array([_percentiles(column, tail) for column in resampled.T])
    return Intervals(measure(np.ones((1, num_images)))[0], bounds[:, 0], bounds[:, 1])


def _check(images: ClassCounts, num_resamples: int, confidence: float) -> None:
    if images.true_positives.ndim != 2 or not len(images.true_positives):
        raise ValueError(
            'Counts of shape {} came; a bootstrap over images needs [images, classes] with at least one image.'.format(
                images.true_positives.shape
            )
        )
    checked_whole('num_resamples', num_resamples, 1, remedy='Take 1000 or more for an interval to quote.')
    if not 0.0 < confidence < 1.0:
        raise ValueError(
            'A confidence of {} was asked for; it is a share between 0 and 1, for instance 0.95.'.format(confidence)
        )


def _check_paired(first: ClassCounts, second: ClassCounts) -> None:
    if first.true_positives.shape != second.true_positives.shape:
        raise ValueError(
            'Counts of shape {} (images, classes) came against {}. A paired difference needs both models '
            'on the same images and classes.'.format(first.true_positives.shape, second.true_positives.shape)
        )


def _draws(num_images: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is drawn: float64 [up to _CHUNK, I] at a time, so memory does not grow with R."""
    random = np.random.RandomState(seed)
    for start in range(0, num_resamples, _CHUNK):
        chunk = min(_CHUNK, num_resamples - start)
        yield random.multinomial(num_images, np.full(num_images, 1.0 / num_images), size=chunk).astype(np.float64)


def _weighted(weights: np.ndarray, images: ClassCounts) -> ClassCounts:
    """Counts float64 [R, C] of resamples; `weights`, [R, I], says how often each resample holds each image. Counts are
    integers below 2^53 and hence exact.
    """
    return ClassCounts(*[weights @ counts.astype(np.float64) for counts in images])


def _percentiles(resampled: np.ndarray, tail: float) -> np.ndarray:
    # A resample may miss every image with valid pixels and then has no score.
    defined = resampled[~np.isnan(resampled)]
    return np.percentile(defined, [tail, 100.0 - tail]) if len(defined) else np.array([np.nan, np.nan])
