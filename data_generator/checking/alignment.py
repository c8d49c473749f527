"""Whether labels are aligned with their images: borders between classes should coincide with edges in the image."""

from typing import Optional, Tuple

import cv2
import numpy as np

#: The largest shift of a label that is detected, in pixels.
REACH = 12

#: Side of the window in the middle of each pair that is compared, and the smallest useful side.
WINDOW, SMALLEST_WINDOW = 256, 24

#: A shift is reported if labels fit better there by at least this factor.
FACTOR = 1.6


def edge_correlation(image: np.ndarray, label: np.ndarray) -> Optional[np.ndarray]:
    """Correlates the edges of an image with the borders in its label, for all shifts up to `REACH`.

    Args:
        image: uint8 [H, W, C].
        label: [H, W] or [H, W, 3], of any values.

    Returns:
        float32 [2 R + 1, 2 R + 1]: at (R + down, R + right) how well the label would fit with this shift. None if the
        pair is too small, if its sizes differ, or if borders or edges are nowhere or everywhere.
    """
    if image.shape[:2] != label.shape[:2] or min(image.shape[:2]) < SMALLEST_WINDOW:
        return None
    image, label = _middle(image), _middle(label)
    grey = np.ascontiguousarray(image, np.float32).mean(axis=2)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    borders = _borders(label)
    if np.ptp(borders) == 0 or np.ptp(edges) == 0:  # nowhere, or everywhere
        return None
    spectra = [np.fft.rfft2((part - part.mean()) / part.std()) for part in (edges, borders)]
    whole = np.fft.irfft2(spectra[0] * np.conj(spectra[1]), grey.shape) / grey.size
    shifts = np.arange(-REACH, REACH + 1)
    # A copy in float32, since one is kept for each image of a dataset.
    return whole[np.ix_(shifts % grey.shape[0], shifts % grey.shape[1])].astype(np.float32)


def shift_of(correlation: np.ndarray, num_pairs: int) -> Optional[Tuple[int, int]]:
    """Finds the shift (down, right) by which labels would fit much better.

    Args:
        correlation: The mean of `edge_correlation` over pairs.
        num_pairs: The number of these pairs.

    Returns:
        None if labels fit unshifted, or nowhere.
    """
    level = np.median(correlation)
    down, right = (int(place) - REACH for place in np.unravel_index(np.argmax(correlation), correlation.shape))
    best = correlation[REACH + down, REACH + right] - level
    here = correlation[REACH - 1 : REACH + 2, REACH - 1 : REACH + 2].max() - level
    if max(abs(down), abs(right)) <= 1 or best < FACTOR * max(here, 0) or best < 0.08 + 0.15 / np.sqrt(num_pairs):
        return None
    return down, right


def _middle(array: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - WINDOW) // 2) for side in array.shape[:2])
    return array[top : top + WINDOW, left : left + WINDOW]


def _borders(label: np.ndarray) -> np.ndarray:
    """float32 [H, W]: 1 on both sides of a border between two values."""
    values = label.reshape(label.shape[:2] + (-1,))
    borders = np.zeros(label.shape[:2], np.float32)
    across = (values[:, 1:] != values[:, :-1]).any(axis=2)
    down = (values[1:] != values[:-1]).any(axis=2)
    borders[:, 1:] += across
    borders[:, :-1] += across
    borders[1:] += down
    borders[:-1] += down
    return np.minimum(borders, 1)
