"""Labels that come as one mask for each class: put together into one label an image."""

import os
from typing import Dict, List, Sequence

import numpy as np

from data_generator.errors import DataError
from data_generator.files.discovery import LABEL_EXTENSIONS, list_files, stem_of
from helpers.images import read_labels, write_labels


def combine(label_dir: str, class_names: Sequence[str], out_dir: str, ignore_overlaps: bool = False) -> List[str]:
    """Writes one label for each image from masks of single classes: class 0 is what no mask marks.

    A mask lies in the folder of its class (`road/a.png`) or has its class behind its name (`a_road.png`, `a-road.png`).
    What is not 0 in it belongs to the class.

    Args:
        label_dir: Below which the masks lie.
        class_names: The classes, which get the IDs 1, 2, ... in this order.
        out_dir: Where `NAME.png` is written, class IDs, uint8; a file that is there is never replaced.
        ignore_overlaps: Whether pixels that two masks mark get 255, which is ignored; they are refused otherwise.

    Returns:
        The files that were written.

    Raises:
        ValueError: A name twice, or too many of them.
        FileExistsError: A file is there already.
        DataError: No mask; masks of different sizes or that overlap; a mask that cannot be read.
    """
    if not class_names or len(set(class_names)) < len(class_names) or len(class_names) > 254:
        raise ValueError('class_names is {!r}; it has to be 1 to 254 different names.'.format(list(class_names)))
    masks = _masks_by_name(label_dir, class_names)
    targets = {name: os.path.join(out_dir, name + '.png') for name in masks}
    for path in targets.values():
        if os.path.lexists(path):
            raise FileExistsError('{} exists already. Give another out_dir.'.format(path))
    for name, paths in masks.items():
        write_labels(targets[name], _combined(paths, ignore_overlaps))
    return sorted(targets.values())


def _masks_by_name(label_dir: str, class_names: Sequence[str]) -> Dict[str, Dict[int, str]]:
    """Name of the image -> class ID -> mask."""
    found: Dict[str, Dict[int, str]] = {}
    for path in list_files(label_dir, LABEL_EXTENSIONS):
        folder, stem = os.path.basename(os.path.dirname(path)), stem_of(path)
        for class_id, class_name in enumerate(class_names, 1):
            if folder == class_name:
                found.setdefault(stem, {})[class_id] = path
            elif stem.endswith(('_' + class_name, '-' + class_name)):
                found.setdefault(stem[: -len(class_name) - 1], {})[class_id] = path
    if not found:
        raise DataError(
            'No masks of {} below {}: expected {}/NAME.png or NAME_{}.png. Give the names that the folders or files '
            'have.'.format(', '.join(class_names), label_dir, class_names[0], class_names[0])
        )
    return found


def _combined(paths: Dict[int, str], ignore_overlaps: bool) -> np.ndarray:
    label = None
    for class_id, path in sorted(paths.items()):
        marked = read_labels(path) > 0
        if label is None:
            label = np.zeros(marked.shape, np.uint8)
        if marked.shape != label.shape:
            raise DataError('{} is of another size than the other masks of its image.'.format(path))
        twice = marked & (label > 0)
        if twice.any() and not ignore_overlaps:
            raise DataError(
                '{} marks {} pixels that another class has too. Pass ignore_overlaps=True to leave them out.'.format(
                    path, int(twice.sum())
                )
            )
        label[marked] = class_id
        label[twice] = 255
    assert label is not None  # every image has a mask
    return label
