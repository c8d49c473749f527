"""Weights that make rare classes count as much as frequent ones."""

import numpy as np


def median_frequency_weights(class_pixels: np.ndarray) -> np.ndarray:
    """Balances classes by median frequency: median(frequency) / frequency of each class.

    The frequency of a class is its share of the valid pixels of the images in which it appears (Eigen and Fergus, ICCV
    2015, section 6.3.2, https://arxiv.org/abs/1411.4734). The median is over the classes that appear.

    Args:
        class_pixels: Valid pixels by image and class, [N, C].

    Returns:
        float64 [C]. A class that never appears gets 1, the weight of the median.

    Raises:
        ValueError: The counts are not two-dimensional, or one of them is negative or not finite.
    """
    counts = np.asarray(class_pixels, np.float64)
    if counts.ndim != 2 or not np.all((counts >= 0) & (counts < np.inf)):
        held = 'nothing' if counts.size == 0 else '{} to {}'.format(counts.min(), counts.max())
        raise ValueError(
            'class_pixels has the shape {}, and holds {}; it has to hold one row of finite pixel counts, at least 0, '
            'for each image.'.format(counts.shape, held)
        )
    pixels = counts.sum(axis=0)
    pixels_where_present = ((counts > 0) * counts.sum(axis=1, keepdims=True)).sum(axis=0)
    present = pixels > 0
    weights = np.ones(counts.shape[1])
    if present.any():
        frequency = pixels[present] / pixels_where_present[present]
        weights[present] = np.median(frequency) / frequency
    return weights
