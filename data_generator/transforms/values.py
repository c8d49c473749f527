"""Checks of the options of the transforms: every error names the option, its value, the rule, and what to write
instead. None and False turn an option off.
"""

import math
import numbers
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from helpers.flags import check_flags, checked_pair, checked_whole, is_real, is_sequence, is_whole
from helpers.ground_truth import LARGEST_ID, IdMap

#: Mean RGB of the images that VGG-16 was trained on (https://arxiv.org/abs/1409.1556), rounded: the colour of padding
#: if the mean of the dataset itself is not known.
IMAGENET_MEAN = (124, 117, 104)
#: Larger numbers are typing mistakes, with which no image could be made.
MOST_PIXELS = 2**30
LARGEST_FACTOR = 100.0


def is_off(value: Any) -> bool:
    """Tells whether an option is off: None or False."""
    return value is None or value is False or (isinstance(value, np.bool_) and not value)


def plain_options(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Returns the options that are on, without those that JSON cannot hold: maps of colours and of IDs."""
    plain = (bool, numbers.Number, str, list, tuple)
    return {name: value for name, value in options.items() if isinstance(value, plain) and not is_off(value)}


def _remedy(name: str, example: Any) -> str:
    """An example of the value, as an argument in Python or, where the name is that of an option, as it is typed."""
    if name.startswith('--'):
        return 'Write {} {}, or leave it out.'.format(name, ' '.join(map(str, _flattened(example))))
    return 'Write {}={!r}, or {}=False to do without.'.format(name, example, name)


def _flattened(value: Any) -> List[Any]:
    return [each for part in value for each in _flattened(part)] if isinstance(value, tuple) else [value]


def _refuse(name: str, value: Any, rule: str, example: Any) -> ValueError:
    return ValueError('{} is {!r}; {}. {}'.format(name, value, rule, _remedy(name, example)))


def _is_number(value: Any) -> bool:
    return is_real(value) and math.isfinite(value)


def label_id(name: str, value: Any, remedy: str) -> int:
    """Returns an ID that labels can hold, or raises ValueError."""
    return checked_whole(name, value, 0, LARGEST_ID, 'Write {}.'.format(remedy))


def boolean(name: str, value: Any) -> bool:
    """Returns True or False, or raises ValueError."""
    check_flags(**{name: value})
    return bool(value)


def size(name: str, value: Any) -> Optional[Tuple[int, int]]:
    """Returns (height, width) in pixels, each at least 1; None where the option is off."""
    if is_off(value):
        return None
    height, width = checked_pair(name, value, remedy=_remedy(name, (512, 1024)))
    if height * width > MOST_PIXELS:
        raise _refuse(name, value, 'an image may have {:,} pixels at most'.format(MOST_PIXELS), (512, 1024))
    return height, width


def margins(name: str, value: Any) -> Optional[Tuple[int, int, int, int]]:
    """Returns (top, bottom, left, right) in pixels, each at least 0; None where the option is off."""
    if is_off(value):
        return None
    if not is_sequence(value, 4) or not all(is_whole(side) and side >= 0 for side in value):
        raise _refuse(
            name,
            value,
            'it has to be (top, bottom, left, right), the pixels to cut off at each side, four integers of at least 0',
            (0, 200, 0, 0),
        )
    top, bottom, left, right = (int(side) for side in value)
    return top, bottom, left, right


def _is_probability(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def probability(name: str, value: Any) -> Optional[float]:
    """Returns the probability of a flip, 0 to 1; None where the option is off."""
    if is_off(value):
        return None
    if not _is_probability(value):
        raise _refuse(name, value, 'it has to be the probability of a horizontal flip, a number from 0 to 1', 0.5)
    return float(value)


def range_and_p(name: str, value: Any, low: float, high: float, example: Any) -> Optional[Tuple[float, float, float]]:
    """Returns (min, max, probability), both ends from `low` to `high`; None where the option is off."""
    if is_off(value):
        return None
    if (
        not is_sequence(value, 3)
        or not all(_is_number(v) for v in value)
        or not low <= value[0] <= value[1] <= high
        or not _is_probability(value[2])
    ):
        raise _refuse(
            name,
            value,
            'it has to be (min, max, probability) with min <= max, both from {:g} to {:g}, and a probability from 0 to '
            '1'.format(low, high),
            example,
        )
    return float(value[0]), float(value[1]), float(value[2])


def magnification(name: str, value: Any) -> Optional[Tuple[float, float, float]]:
    """Returns (min, max, probability) of a factor above 0; None where the option is off."""
    checked = range_and_p(name, value, 0.0, LARGEST_FACTOR, (0.75, 1.5, 0.5))
    if checked is not None and checked[0] == 0:
        raise _refuse(name, value, 'min has to be above 0, for an image scaled by 0 has no pixels', (0.75, 1.5, 0.5))
    return checked


def factors(name: str, value: Any) -> Optional[Tuple[float, float]]:
    """Returns (min, max) of a factor above 0; None where the option is off."""
    if is_off(value):
        return None
    is_pair = is_sequence(value, 2) and all(_is_number(v) for v in value)
    if not is_pair or not 0 < value[0] <= value[1] <= LARGEST_FACTOR:
        rule = 'it has to be (min, max), two factors above 0, {:g} at most, with min <= max'.format(LARGEST_FACTOR)
        raise _refuse(name, value, rule, (0.5, 2.0))
    return float(value[0]), float(value[1])


def share(name: str, value: Any) -> Optional[float]:
    """Returns the largest share of a crop that one class may fill, above 0 to 1; None where the option is off."""
    if is_off(value):
        return None
    if not _is_number(value) or not 0 < value <= 1:
        raise _refuse(
            name,
            value,
            'it has to be the largest share of the valid pixels of a crop that one '
            'class may fill, a number above 0 and at most 1',
            0.75,
        )
    return float(value)


def share_of_crops(name: str, value: Any) -> Optional[float]:
    """Returns the share of the crops that are placed on a class, above 0 to 1; None where the option is off."""
    if is_off(value):
        return None
    if not _is_number(value) or not 0 < value <= 1:
        rule = 'it has to be the share of the crops that are placed on a class, a number above 0 and at most 1'
        raise _refuse(name, value, rule, 0.5)
    return float(value)


def color_jitter(name: str, value: Any) -> Optional[Tuple[float, float, float, float]]:
    """Returns (contrast, saturation, hue in degrees, probability); None where the option is off."""
    if is_off(value):
        return None
    example = (0.3, 0.3, 10, 0.5)
    if not is_sequence(value, 4) or not all(_is_number(v) and v >= 0 for v in value):
        raise _refuse(
            name,
            value,
            'it has to be (contrast, saturation, hue, probability), four numbers of at least 0',
            example,
        )
    contrast, saturation, hue, probability = (float(v) for v in value)
    if contrast > 1 or saturation > 1 or hue > 180 or probability > 1:
        raise _refuse(
            name,
            value,
            'contrast, saturation and the probability are at most 1 and hue is at most 180 degrees',
            example,
        )
    return contrast, saturation, hue, probability


def shifts(name: str, value: Any) -> Optional[Tuple[Tuple[int, int], Tuple[int, int], float]]:
    """Returns the ranges of the horizontal and the vertical shift in pixels, and a probability; None where off."""
    if is_off(value):
        return None
    ranges_are_right = (
        isinstance(value, (tuple, list))
        and len(value) == 3
        and _is_probability(value[2])
        and all(is_sequence(shift, 2) and all(map(is_whole, shift)) for shift in value[:2])
        and all(-MOST_PIXELS <= low <= high <= MOST_PIXELS for low, high in value[:2])
    )
    if not ranges_are_right:
        raise _refuse(
            name,
            value,
            'it has to be ((min, max), (min, max), probability): the horizontal and the '
            'vertical shift in whole pixels, {:,} at most, with min <= max, and a probability from 0 '
            'to 1'.format(MOST_PIXELS),
            ((0, 40), (0, 20), 0.5),
        )
    (left, right), (up, down), probability = value
    return (int(left), int(right)), (int(up), int(down)), float(probability)


def color_map(name: str, value: Any) -> Optional[Mapping[Tuple[int, int, int], int]]:
    """Returns the dict from (red, green, blue) to class ID; None where the option is off."""
    if is_off(value):
        return None
    if not isinstance(value, Mapping) or not value:
        raise _refuse(name, value, 'it has to be a dict from (red, green, blue) to class ID', {(128, 64, 128): 0})
    for color, class_id in value.items():
        if not is_sequence(color, 3) or not all(is_whole(c) and 0 <= c <= 255 for c in color):
            raise _refuse(
                name,
                color,
                'every key has to be a colour (red, green, blue) of three integers from 0 to 255',
                {(128, 64, 128): 0},
            )
        label_id('{}[{}]'.format(name, tuple(color)), class_id, 'the class ID of this colour')
    return value


def id_map(name: str, value: Any) -> Optional[IdMap]:
    """Returns the dict from ID to ID, or the array with the new ID of k at index k; None where the option is off."""
    if is_off(value):
        return None
    if isinstance(value, Mapping):
        return _id_dict(name, value)
    array = np.asarray(value)
    if array.ndim != 1 or not 1 <= array.size <= LARGEST_ID + 1 or array.dtype.kind not in 'iu':
        raise _refuse(
            name,
            value,
            'it has to be a dict from ID to ID, or a one-dimensional array of integers, 65536 at most: at index k what '
            'ID k becomes',
            {7: 0, 8: 1},
        )
    if array.min() < 0 or array.max() > LARGEST_ID:
        raise _refuse(
            name,
            value,
            'holds {}; IDs are integers from 0 to {}, so map what is to be left out to ignore_id'.format(
                array.min() if array.min() < 0 else array.max(), LARGEST_ID
            ),
            {7: 0, 8: 1},
        )
    return array


def _id_dict(name: str, value: Mapping[int, int]) -> Mapping[int, int]:
    if not value:
        raise _refuse(name, value, 'it has to name at least one ID', {7: 0, 8: 1})
    for old, new in value.items():
        label_id(name + ', the key', old, 'the ID as it stands in the label files')
        label_id('{}[{}]'.format(name, old), new, 'a class ID, or ignore_id for what is to be left out')
    return value


def pad_id(void_class_id: Any, ignore_id: int, num_classes: Optional[int]) -> int:
    """Returns the ID that labels are padded with: that of a class, or `ignore_id` (also for None)."""
    if void_class_id is None:
        return ignore_id
    pad_id = label_id('void_class_id', void_class_id, 'void_class_id=None to pad with ignore_id')
    if num_classes is not None and pad_id >= num_classes and pad_id != ignore_id:
        raise ValueError(
            'void_class_id is {}; it has to be one of the num_classes={} class IDs or ignore_id={}. Write '
            'void_class_id=None to pad with ignore_id, or pass ignore_id={}.'.format(
                pad_id, num_classes, ignore_id, pad_id
            )
        )
    return pad_id


def pad_value(value: Any) -> Tuple[int, ...]:
    """Returns the colour of padding, a whole number per channel, 0 to 255; for None, the mean of ImageNet."""
    if value is None:
        return IMAGENET_MEAN
    if not is_sequence(value, max(1, np.size(value))) or not all(_is_number(v) and 0 <= v <= 255 for v in value):
        raise ValueError(
            'pad_value is {!r}; it has to be (red, green, blue), or one number for each channel, from 0 to 255. Write '
            'pad_value={!r}.'.format(value, IMAGENET_MEAN)
        )
    return tuple(int(round(float(v))) for v in value)
