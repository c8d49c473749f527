"""Conversions between the forms of ground truth: class IDs, colours and one-hot vectors.

Class IDs are integer arrays of shape [..., H, W]: uint8, or uint16 if an ID is above 255.
Nothing is guessed: a colour or an ID that the table lacks is an error that names it.
"""

from typing import Collection, Dict, Mapping, Sequence, Tuple, Union

import cv2
import numpy as np

from helpers.aliases import Color
from helpers.color_codes import color_code, color_codes, color_of_code
from helpers.flags import checked_whole, is_real, unmasked
from helpers.label_spaces import DEFAULT_IGNORE_ID

IdMap = Union[np.ndarray, Sequence[int], Mapping[int, int]]

LARGEST_ID = 65535  # PNG holds at most 16 bits


def convert_colors_to_ids(label_rgb: np.ndarray, color_to_id: Mapping[Color, int]) -> np.ndarray:
    """Converts colour labels to class IDs.

    Args:
        label_rgb: A uint8 array of shape [..., H, W, 3], RGB.
        color_to_id: (r, g, b) -> class ID, 0 to 65535. Several colours may have the same ID.

    Returns:
        An array of shape [..., H, W]; uint8, or uint16 where the table has an ID above 255.

    Raises:
        ValueError: A colour of the image is not in the table; the image or the table is malformed.
    """
    label_rgb = unmasked('label_rgb', label_rgb, 0)
    if label_rgb.dtype != np.uint8 or label_rgb.ndim < 3 or label_rgb.shape[-1] != 3:
        raise ValueError(
            'Colour labels of dtype {} and shape {} came, but uint8 [H, W, 3] is expected.'.format(
                label_rgb.dtype, label_rgb.shape
            )
        )
    if not isinstance(color_to_id, Mapping):
        raise ValueError('A {} came, but a dict from (r, g, b) to ID is expected.'.format(type(color_to_id).__name__))
    # One entry for every possible colour, holding ID + 1. The zeros cost no memory: pages that are never written to are
    # not allocated.
    table = np.zeros(1 << 24, np.int32)
    for color, class_id in color_to_id.items():
        table[color_code(_checked_color(color))] = _checked_id(class_id) + 1
    codes = color_codes(label_rgb)
    ids = table[codes] - 1
    if ids.size and ids.min() < 0:
        raise ValueError(
            'The colour (r, g, b) = {} is not in the table of {} colours. Add it to the table, with the '
            'ID of an ignored pixel if it has no class.'.format(color_of_code(codes[ids < 0][0]), len(color_to_id))
        )
    return ids.astype(_id_dtype(color_to_id.values()))


def nearest_colors(label_rgb: np.ndarray, colors: Collection[Color], tolerance: int) -> Tuple[np.ndarray, int]:
    """Replaces colours by the nearest one of a table, as the borders of anti-aliased or JPEG masks require.

    Args:
        label_rgb: A uint8 array of shape [H, W, 3], RGB.
        colors: The table.
        tolerance: How far a colour may be from the nearest: the largest difference in any channel, 0 to 255. Colours
            further away are unchanged.

    Returns:
        A uint8 array of shape [H, W, 3], and the number of pixels whose colour changed.
    """
    codes = color_codes(label_rgb)
    found, places = np.unique(codes, return_inverse=True)
    there = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)
    table = np.array(sorted(colors), np.int64)
    best = np.zeros(len(found), np.int64)
    farthest = np.full(len(found), 256)
    for row, color in enumerate(table):
        distance = np.abs(there - color).max(axis=1)
        closer = distance < farthest
        best[closer], farthest[closer] = row, distance[closer]
    moved = (farthest > 0) & (farthest <= tolerance)
    there[moved] = table[best[moved]]
    places = places.reshape(codes.shape)
    return there.astype(np.uint8)[places], int(moved[places].sum())


def convert_ids_to_ids(labels: np.ndarray, id_map: IdMap) -> np.ndarray:
    """Replaces every ID by the one that a map gives for it.

    Args:
        labels: An integer array of any shape.
        id_map: An array of integers whose entry at i is the new ID for i (its dtype makes no difference), or a dict
            from old to new IDs. New IDs are 0 to 65535.

    Returns:
        An array of the shape of `labels`; uint8, or uint16 where the map has an ID above 255.

    Raises:
        ValueError: An ID in `labels` is not in the map; the labels or the map are malformed.
    """
    labels = _integers(labels)
    known, table = _lookup_table(id_map)
    if labels.dtype == np.uint8:
        return _map_uint8(labels, known, table)
    outside = (labels < 0) | (labels >= len(table))
    unknown = outside | ~known[np.where(outside, 0, labels)]
    if unknown.any():
        raise _unknown_id(labels[unknown].flat[0])
    return table[labels]


def convert_ids_to_colors(ids: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """Paints class IDs.

    Args:
        ids: An integer array of shape [..., H, W].
        colors: RGB per class ID, [C, 3], 0 to 255.

    Returns:
        A uint8 array of shape [..., H, W, 3]. IDs that have no colour, such as ignored pixels, are black.

    Raises:
        ValueError: The IDs are no integers, or the colours are malformed.
    """
    rgb = np.asarray(colors)
    is_table = rgb.ndim == 2 and rgb.shape[1] == 3 and rgb.size > 0
    if not is_table or rgb.min() < 0 or rgb.max() > 255 or (rgb != np.floor(rgb)).any():
        raise ValueError(
            'Colours of shape {} and dtype {} came, but [C, 3] with values from 0 to 255, whole numbers, is '
            'expected.'.format(rgb.shape, rgb.dtype)
        )
    return look_up(_integers(ids), np.vstack([rgb, np.zeros((1, 3), int)]).astype(np.uint8))


def look_up(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Returns table[ids], where IDs that the table lacks get its last entry."""
    # In a type with room for the length of the table: in the type of the IDs it might not fit.
    return table[np.where((ids < 0) | (ids >= len(table)), len(table) - 1, ids.astype(np.intp))]


def convert_to_one_hot(labels: np.ndarray, num_classes: int, ignore_id: int = DEFAULT_IGNORE_ID) -> np.ndarray:
    """Converts class IDs to one-hot vectors; ignored pixels become all zeros.

    Args:
        labels: An integer array of shape [..., H, W].
        num_classes: C, the number of classes.
        ignore_id: The ID of pixels that do not count.

    Returns:
        A uint8 array of shape [..., H, W, C].

    Raises:
        ValueError: An ID is neither below `num_classes` nor `ignore_id`; the labels are no integers;
            `num_classes` is no whole number of at least 1.
    """
    labels, num_classes = _integers(labels), checked_whole('num_classes', num_classes, 1)
    ignored = labels == ignore_id
    illegal = ~ignored & ((labels < 0) | (labels >= num_classes))
    if illegal.any():
        raise ValueError(
            'The label {} came, but there are the classes 0 to {} and {} for ignored pixels. Map the '
            'labels first.'.format(labels[illegal].flat[0], num_classes - 1, ignore_id)
        )
    vectors = np.vstack([np.eye(num_classes, dtype=np.uint8), np.zeros((1, num_classes), np.uint8)])
    return vectors[np.where(ignored, num_classes, labels.astype(np.intp))]


def one_hot_to_ids(one_hot: np.ndarray, ignore_id: int = DEFAULT_IGNORE_ID) -> np.ndarray:
    """Converts one-hot vectors to class IDs; vectors of zeros become `ignore_id`.

    Args:
        one_hot: An array of shape [..., H, W, C] of zeros and ones (any dtype).
        ignore_id: The ID that pixels without a class get.

    Returns:
        An array of shape [..., H, W]; uint8, or uint16 where an ID may be above 255.

    Raises:
        ValueError: A vector is not one-hot: it has several ones, or values other than 0 and 1.
    """
    one_hot = unmasked('one_hot', one_hot, 0)
    marks = one_hot.astype(bool)
    counts = np.count_nonzero(marks, axis=-1)
    if counts.size and (counts.max() > 1 or (one_hot != marks).any()):
        raise ValueError(
            'The vectors are not one-hot: every one has to hold zeros and at most a single 1. For soft-max '
            'outputs use argmax.'
        )
    dtype = _id_dtype([one_hot.shape[-1] - 1, ignore_id])
    return np.where(counts == 0, ignore_id, marks.argmax(axis=-1)).astype(dtype)


def _integers(labels: np.ndarray) -> np.ndarray:
    """Labels as an array of integers. Others are refused: to an index, 0.7 would be 0."""
    labels = unmasked('labels', labels)
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError('Labels of dtype {} came, but IDs are integers.'.format(labels.dtype))
    return labels


def _map_uint8(labels: np.ndarray, known: np.ndarray, table: np.ndarray) -> np.ndarray:
    # OpenCV's table look-up is several times faster than NumPy's, and lets other threads run meanwhile.
    flat = np.ascontiguousarray(labels).reshape(1, -1)
    whole = np.zeros(256, table.dtype)
    whole[: len(table)] = table[:256]
    whole_known = np.zeros(256, np.uint8)
    whole_known[: len(known)] = known[:256]
    if flat.size == 0:
        return table[labels]
    if not whole_known.all():
        is_known = cv2.LUT(flat, whole_known)
        if not is_known.all():
            raise _unknown_id(flat[is_known == 0][0])
    return cv2.LUT(flat, whole).reshape(labels.shape)


def _lookup_table(id_map: IdMap) -> Tuple[np.ndarray, np.ndarray]:
    """Which IDs are known (bool), and the new ID for each."""
    if isinstance(id_map, Mapping):
        entries: Dict[int, int] = {_checked_id(old): _checked_id(new) for old, new in id_map.items()}
    else:
        array = np.asarray(id_map)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(
                'An ID map of dtype {} and shape {} came, but integers [K] are expected.'.format(
                    array.dtype, array.shape
                )
            )
        entries = {old: _checked_id(new) for old, new in enumerate(array)}
    if not entries:
        raise ValueError('The ID map is empty. Give the new ID of each ID in the labels.')
    known = np.zeros(max(entries) + 1, bool)
    table: np.ndarray = np.zeros(max(entries) + 1, _id_dtype(entries.values()))
    for old, new in entries.items():
        known[old], table[old] = True, new
    return known, table


def _checked_id(value: int) -> int:
    if not is_real(value) or value % 1 != 0 or not 0 <= value <= LARGEST_ID:
        raise ValueError(
            'The ID {} came in a table, but IDs are whole numbers from 0 to {}. For pixels without a '
            'class use the ID of ignored pixels, such as 255.'.format(value, LARGEST_ID)
        )
    return int(value)


def _checked_color(color: Color) -> Color:
    if len(color) != 3 or not all(is_real(c) and 0 <= c <= 255 and c % 1 == 0 for c in color):
        raise ValueError(
            'The colour {} came in a table, but colours are whole numbers (r, g, b), each 0 to 255.'.format(color)
        )
    return color


def _id_dtype(ids: Collection[int]) -> type:
    return np.uint16 if max(ids, default=0) > 255 else np.uint8


def _unknown_id(value: int) -> ValueError:
    return ValueError(
        'The ID {} is not in the ID map. Add it to the map, with the ID of an ignored pixel if it has no class.'.format(
            value
        )
    )
