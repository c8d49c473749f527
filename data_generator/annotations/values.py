"""Values in the files of annotation tools: points, sizes, colours, splits; each checked before it is used."""

import itertools
import os
import re
from typing import Any, Optional, Tuple

import numpy as np

from data_generator.files.splits import SPLIT_NAMES

#: The exceptions that a value of a wrong type or form causes.
BAD_VALUES = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
#: The most pixels of an object's mask that states its own size, which no image limits.
MAX_MASK_PIXELS = 2**28

# Words that may accompany a split in the name of a folder. With any other word it may be a class: 'train station'.
_UNTELLING = (
    *('annotation', 'annotations', 'data', 'image', 'images', 'img', 'imgs', 'label', 'labels', 'mask', 'masks'),
    *('photo', 'photos', 'picture', 'pictures', 'set', 'split'),
)
# Numbers as files write them. float() and int() also accept '1_0', digits of other scripts, and JSON's true as 1.
_NUMBER = re.compile(r'\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*$', re.ASCII)


def number_of(value: Any) -> float:
    """Returns an entry of a file as a number. Raises ValueError if it is none."""
    if type(value) not in (int, float) and not (isinstance(value, str) and _NUMBER.match(value)):
        raise ValueError('{!r:.40}, which is no number'.format(value))
    return float(value)


def whole_number_of(value: Any) -> int:
    """Returns an entry of a file as a whole number. Raises ValueError if it is none."""
    if type(value) is int:
        return value
    number = number_of(value)
    if not number.is_integer():
        raise ValueError('{!r:.40}, which is no whole number'.format(value))
    return int(number)


def points_of(values: Any) -> np.ndarray:
    """Returns points as float [K, 2] of (x, y), from pairs of numbers or from alternating x and y.

    Raises:
        ValueError: The values are neither.
    """
    if isinstance(values, (list, tuple)):
        _check_numbers(values)
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError('points that are no numbers') from None
    if points.ndim == 1 and points.size % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError('points that are no pairs of numbers')
    return points


def _check_numbers(values: Any) -> None:
    flat = list(itertools.chain.from_iterable(one if isinstance(one, (list, tuple)) else (one,) for one in values))
    if set(map(type, flat)) <= {int, float}:
        return
    try:
        for value in flat:
            number_of(value)
    except ValueError as error:
        raise ValueError('points with {}'.format(error)) from None


def points_of_text(text: str) -> np.ndarray:
    """Reads points in the form of CVAT, 'x,y;x,y;...'."""
    return points_of([pair.split(',') for pair in text.split(';')])


def whole_size(height: Any, width: Any) -> Optional[Tuple[int, int]]:
    """Returns (height, width) as integers; None unless both are whole numbers of at least 1."""
    try:
        size = whole_number_of(height), whole_number_of(width)
    except (TypeError, ValueError, OverflowError):
        return None
    return size if min(size) >= 1 else None


def color_of(value: Any) -> Optional[Tuple[int, int, int]]:
    """Reads RGB from '#rrggbb', 'r,g,b' or three numbers; None if the value is no colour."""
    if isinstance(value, str):
        digits = re.match(r'#([0-9a-fA-F]{6})', value)
        value = [int(digits.group(1)[i : i + 2], 16) for i in (0, 2, 4)] if digits else value.split(',')
    try:
        red, green, blue = map(whole_number_of, value)
    except (TypeError, ValueError, OverflowError):
        return None
    return (red, green, blue) if all(0 <= part <= 255 for part in (red, green, blue)) else None


def split_of(path: str, root: str) -> Optional[str]:
    """Returns 'train', 'val' or 'test' if a folder or the name of a file below the root says so, else None."""
    *folders, name = os.path.splitext(os.path.relpath(path, root))[0].split(os.sep)
    found = next((split for split in map(_split_of_folder, folders) if split is not None), None)
    return found or SPLIT_NAMES.get(name.lower())


def _split_of_folder(name: str) -> Optional[str]:
    """The split in a folder's name, or None: train for train, train2017, images_train and 'a. Training Set'."""
    words = [word for word in re.findall(r'[^\W\d_]+', name.lower()) if len(word) > 1 and word not in _UNTELLING]
    return SPLIT_NAMES.get(words[0]) if len(words) == 1 else None


def split_in_name(path: str) -> Optional[str]:
    """Returns the split that a word of a file's name says, as 'instances_train2017.json' does, or None."""
    words = re.findall(r'[a-z]+', os.path.basename(path).lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
