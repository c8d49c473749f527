"""Run-length encoded masks: lengths of runs (COCO, CVAT), or starts and lengths (Kaggle).

Both forms of COCO are read here: lists of numbers, and the text into which pycocotools packs them. Before version 2.0.8
its own decoder writes out of bounds if lengths do not fit the mask.
"""

from typing import Any, List, Sequence, Tuple

import numpy as np

from data_generator.annotations.values import MAX_MASK_PIXELS, whole_number_of
from helpers.polygons import Window


def window_of_runs(counts: Any, size: Tuple[int, int]) -> Window:
    """Returns the mask of COCO's RLE: runs of 0 and 1 in turn, 0 first, down the columns; `size` is (height, width).

    Raises:
        ValueError: The lengths do not add up to this size.
    """
    lengths = unpacked(counts) if isinstance(counts, (str, bytes)) else counts
    return Window(0, 0, _expand(lengths, size[0] * size[1]).reshape(size[1], size[0]).T)


def window_of_box_runs(counts: Sequence[int], top: int, left: int, size: Tuple[int, int]) -> Window:
    """Returns the mask of CVAT's RLE: as COCO's, but along the rows of a box."""
    if min(size) < 1 or size[0] * size[1] > MAX_MASK_PIXELS:
        raise ValueError('a mask of {} x {} pixels'.format(*size))
    return Window(top, left, _expand(counts, size[0] * size[1]).reshape(size))


def window_of_starts(text: str, size: Tuple[int, int], along_rows: bool) -> Window:
    """Returns the mask of Kaggle's runs, 'start length start length ...', of an image of this (height, width).

    Args:
        along_rows: Whether pixels are numbered along the rows; else down the columns. The first pixel is number 1.

    Raises:
        ValueError: The text holds no such numbers, or numbers outside the image.
    """
    starts, lengths = _starts_and_lengths(text)
    if (starts[1:] < starts[:-1] + lengths[:-1]).any():
        raise ValueError('a mask whose runs do not follow one another, such as one of relative starts')
    num_pixels = size[0] * size[1]
    if len(starts) and (starts.min() < 1 or (starts + lengths).max() > num_pixels + 1):
        raise ValueError('a mask with runs beyond its image')
    mask = np.zeros(num_pixels, bool)
    for start, length in zip(starts.tolist(), lengths.tolist()):
        mask[start - 1 : start - 1 + length] = True
    return Window(0, 0, mask.reshape(size) if along_rows else mask.reshape(size[::-1]).T)


def goes_along_rows(text: str, size: Tuple[int, int]) -> float:
    """Finds the direction of the runs of a mask: above 0 along the rows, below 0 down the columns, 0 if undecided.

    Read in the right direction, consecutive runs lie side by side. In square images they do so in both directions.

    Raises:
        ValueError: The text holds no such numbers.
    """
    starts, lengths = _starts_and_lengths(text)
    shares = []
    for side in (size[1], size[0]):
        lines, places = np.divmod(starts - 1, side)
        are_next = np.diff(lines) == 1
        apart = np.abs(np.diff(places)) < np.maximum(lengths[1:], lengths[:-1])
        shares.append(float((are_next & apart).mean()) if len(starts) > 1 else 0.0)
    return shares[0] - shares[1]


def _starts_and_lengths(text: str) -> np.ndarray:
    words = text.split()
    others = [word for word in words if not (word.isascii() and word.isdecimal() and len(word) < 10)]
    if others:
        raise ValueError('a mask with {!r:.40}, which is no start or length of a run'.format(others[0]))
    if len(words) % 2:
        raise ValueError('a mask that is no list of starts and lengths')
    return np.array(words, np.int64).reshape(-1, 2).T


def _expand(lengths: Any, num_pixels: int) -> np.ndarray:
    if isinstance(lengths, list) and not set(map(type, lengths)) <= {int}:
        lengths = [whole_number_of(length) for length in lengths]
    try:
        runs = np.asarray(lengths, np.int64)
    except (ValueError, TypeError, OverflowError):
        runs = np.full(1, -1)
    if runs.ndim != 1 or (runs < 0).any() or int(runs.astype(np.float64).sum()) != num_pixels:
        raise ValueError('a mask whose runs do not make up its size of {} pixels'.format(num_pixels))
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def unpacked(text: Any) -> List[int]:
    """Returns the lengths in COCO's packed form.

    A number is written in groups of five bits, the lowest first, as characters from '0' on. 32 is added if more groups
    follow, and the highest bit of the last group is the sign. From the fourth number on, each is the difference from
    the number two places before (cocoapi, common/maskApi.c).

    Raises:
        ValueError: The text ends within a number, or has an invalid character.
    """
    codes = text.encode('ascii', 'replace') if isinstance(text, str) else text
    numbers: List[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError('a packed mask with a character that has no place in it')
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError('a packed mask that ends within a number')
    return numbers
