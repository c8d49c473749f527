"""Masks of single classes, combined into one label per image.

The pixels of a class are those that are not 0 in its mask; in a mask with transparent pixels, those that are not
transparent.
"""

import os
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from data_generator.errors import DataError
from data_generator.files.discovery import LABEL_EXTENSIONS, list_files, stem_of
from data_generator.files.masks import BLACK_AND_WHITE
from helpers.counted import counted
from helpers.files import atomic_new_path
from helpers.flags import check_flags
from helpers.ground_truth import nearest_colors
from helpers.images import (
    LOSSY_FORMATS,
    EncodedImage,
    read_alpha,
    read_color_labels,
    read_encoded,
    read_labels,
    write_labels,
)
from helpers.label_spaces import DEFAULT_IGNORE_ID, MAX_CLASSES

_MOST_NAMES = MAX_CLASSES - 1  # besides 0, for pixels that no mask marks
_FARTHEST_GREY = 127  # from the nearer of black and white


def combine(
    label_dir: str,
    class_names: Sequence[str],
    out_dir: str,
    ignore_overlaps: bool = False,
    color_tolerance: int = 0,
) -> List[str]:
    """Writes one label for each image from masks of single classes. Pixels that no mask marks are class 0.

    If a mask is refused, the labels written so far are removed.

    A mask lies in the folder of its class (`road/a.png`) or its name ends in the class (`a_road.png`, `a-road.png`).

    Args:
        label_dir: The directory below which the masks lie.
        class_names: The classes, which get the IDs 1, 2, ... in this order.
        out_dir: Where `NAME.png` is written: class IDs, uint8. Existing files are never replaced.
        ignore_overlaps: Whether pixels that two masks mark get 255, which is ignored; otherwise they are refused.
        color_tolerance: See `read_mask`.

    Returns:
        The files that were written.

    Raises:
        ValueError: A class name occurs twice, or there are too many.
        FileExistsError: A file exists already.
        DataError: No mask; two masks of one class for an image; masks that differ in size or overlap; a mask that
            cannot be read.
    """
    check_flags(ignore_overlaps=ignore_overlaps)
    if not class_names or len(set(class_names)) < len(class_names) or len(class_names) > _MOST_NAMES:
        raise ValueError(
            'class_names is {!r}; it has to be 1 to {} different names.'.format(list(class_names), _MOST_NAMES)
        )
    masks = _masks_by_name(label_dir, class_names)
    targets = {name: os.path.join(out_dir, name + '.png') for name in masks}
    for path in targets.values():
        if os.path.lexists(path):
            raise FileExistsError('{} exists already. Give another out_dir.'.format(path))
    written: Dict[str, int] = {}  # path -> inode
    try:
        for name, paths in masks.items():
            label = _combined(paths, ignore_overlaps, color_tolerance)
            with atomic_new_path(targets[name]) as temporary:
                write_labels(temporary, label)
                written[targets[name]] = os.stat(temporary).st_ino
    except BaseException:
        for path, inode in written.items():  # the next call would refuse to replace them
            if os.path.lexists(path) and os.lstat(path).st_ino == inode:  # else it was put there by somebody else
                os.unlink(path)
        raise
    return sorted(targets.values())


def read_mask(path: str, color_tolerance: int = 0) -> Tuple[np.ndarray, int]:
    """Reads the pixels of a class.

    Args:
        color_tolerance: How far a pixel of a smoothed or JPEG mask may be from black or white, in each channel; it then
            counts as the nearer of the two. 0 refuses such masks.

    Returns:
        bool [H, W], and the number of pixels that were counted as black or white without having that colour.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It cannot be read, or is too large for the memory; or it has more than two values, and it is not
            known which of them belong to the class.
    """
    file = read_encoded(path)
    header = file.header
    if header.format == 'png' and header.has_alpha and not header.has_palette:
        alpha = read_alpha(file)
        if alpha is not None and (alpha == 0).any():
            return alpha > 0, 0
    if header.format in LOSSY_FORMATS:
        return _nearer_of_two(file, color_tolerance)
    values = read_labels(file)
    found = np.unique(values[values > 0])
    return (values > 0, 0) if len(found) < 2 else _nearer_of_two(file, color_tolerance)


def _nearer_of_two(file: EncodedImage, tolerance: int) -> Tuple[np.ndarray, int]:
    """A mask in which pixels within the tolerance of black or white count as such."""
    path, colors = file.path, read_color_labels(file, lossy=True)
    distance = int(np.minimum(colors.max(axis=2), 255 - colors.min(axis=2)).max())
    if distance > _FARTHEST_GREY:
        raise ValueError('{} holds colours; a mask of one class holds 0 and one other value.'.format(path))
    if distance > tolerance:  # the same text for all files, so that reports count them as one reason
        raise ValueError(
            '{} has pixels between black and white; a mask of one class holds 0 and one other value. Save it without '
            'smoothing, as PNG, or take pixels up to N away from black or white as that: --color-tolerance N, of which '
            '{} takes all.'.format(path, _FARTHEST_GREY)
        )
    colors, moved = nearest_colors(colors, BLACK_AND_WHITE, tolerance)
    return colors[..., 0] > 0, moved


def _masks_by_name(label_dir: str, class_names: Sequence[str]) -> Dict[str, Dict[int, str]]:
    """Name of the image -> class ID -> mask."""
    found: Dict[str, Dict[int, str]] = {}
    for path in list_files(label_dir, LABEL_EXTENSIONS):
        name, class_name = _name_and_class(path, class_names)
        if class_name is None:
            continue
        masks = found.setdefault(name, {})
        other = masks.setdefault(class_names.index(class_name) + 1, path)
        if other != path:
            raise DataError(
                '{} and {} are both the mask of {} for an image called {}. Combine folders with images of the same '
                'names one by one.'.format(other, path, class_name, name)
            )
    if not found:
        raise DataError(
            'No masks of {} below {}: expected {}/NAME.png or NAME_{}.png. Give the names that the folders or files '
            'have.'.format(', '.join(class_names), label_dir, class_names[0], class_names[0])
        )
    return found


def _name_and_class(path: str, class_names: Sequence[str]) -> Tuple[str, Optional[str]]:
    """The name of a mask's image and its class (None if unknown), from its folder, else from the end of its name."""
    folder, stem = os.path.basename(os.path.dirname(path)), stem_of(path)
    if folder in class_names:
        return stem, folder
    ends = [name for name in class_names if stem.endswith(('_' + name, '-' + name))]
    if not ends:
        return stem, None
    class_name = max(ends, key=len)  # 'traffic_light' rather than 'light'
    return stem[: -len(class_name) - 1], class_name


def _combined(paths: Dict[int, str], ignore_overlaps: bool, color_tolerance: int) -> np.ndarray:
    label = None
    for class_id, path in sorted(paths.items()):
        try:
            marked = read_mask(path, color_tolerance)[0]
        except ValueError as error:
            raise DataError(str(error)) from error
        if label is None:
            label = np.zeros(marked.shape, np.uint8)
        if marked.shape != label.shape:
            raise DataError('{} is of another size than the other masks of its image.'.format(path))
        twice = marked & (label > 0)
        if twice.any() and not ignore_overlaps:
            raise DataError(
                '{} marks {} that another class has too. Pass ignore_overlaps=True to leave them out.'.format(
                    path, counted(int(twice.sum()), 'pixel')
                )
            )
        label[marked] = class_id
        label[twice] = DEFAULT_IGNORE_ID
    assert label is not None  # every image has a mask
    return label
