"""One mask for each class and image: masks/CLASS/NAME.png, or masks/NAME_CLASS.png, beside images/NAME.jpg.

What is not 0 in a mask belongs to its class; in a mask with transparency, what is not transparent.
"""

import os
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from data_generator.annotations.bitmaps import window_of_bitmap
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import split_of
from data_generator.files.discovery import stem_of
from helpers.image_headers import read_header
from helpers.images import natural_sort_key, read_labels
from helpers.polygons import Window

# Folders that hold masks and no photographs.
_MASK_FOLDERS = ('masks', 'mask', 'labels', 'label', 'annotations', 'gt', 'ground_truth', 'segmentation')
_SEPARATORS = '_-.'


class _Mask(NamedTuple):
    """The file of one class of one photograph, which are named by their paths."""

    path: str
    photograph: str
    class_name: str


def read_class_masks(folder: Folder, left_out: LeftOut) -> Optional[Source]:
    """The photographs that have masks; None where there are no masks of single classes."""
    is_mask = {path: _is_mask(path, folder.root) for path in folder.images}
    photographs: Dict[str, List[str]] = {}
    for path in folder.images:
        if not is_mask[path]:
            photographs.setdefault(stem_of(path).lower(), []).append(path)
    masks: Dict[str, List[_Mask]] = {}
    for path in folder.images:
        if is_mask[path]:
            found = _matched(path, photographs, folder.root)
            if found is None:
                left_out.add('masks whose image or class cannot be told by their name', path)
            else:
                masks.setdefault(found.photograph, []).append(found)
    if not masks:
        return None
    names = sorted({mask.class_name for found in masks.values() for mask in found}, key=natural_sort_key)
    records = [
        _record(photograph, sorted(found, key=lambda mask: names.index(mask.class_name)), folder.root)
        for photograph, found in masks.items()
    ]
    return Source('masks', records, names)


def _is_mask(path: str, root: str) -> bool:
    folders = os.path.relpath(os.path.dirname(path), root).lower().split(os.sep)
    return any(name in _MASK_FOLDERS for name in folders)


def _matched(path: str, photographs: Dict[str, List[str]], root: str) -> Optional[_Mask]:
    """By the folder, where a photograph has the whole name; else by the longest name that the mask begins with."""
    stem, above = stem_of(path), os.path.basename(os.path.dirname(path))
    if stem.lower() in photographs and above.lower() not in _MASK_FOLDERS and split_of(above, '') is None:
        photograph = _of_split(photographs[stem.lower()], path, root)
        return None if photograph is None else _Mask(path, photograph, above)
    for end in range(len(stem) - 2, 0, -1):
        if stem[end] in _SEPARATORS and stem[:end].lower() in photographs:
            photograph = _of_split(photographs[stem[:end].lower()], path, root)
            return None if photograph is None else _Mask(path, photograph, stem[end + 1 :])
    return None


def _of_split(candidates: List[str], mask: str, root: str) -> Optional[str]:
    """The one photograph, or the one of the split that the mask is in."""
    if len(candidates) > 1:
        candidates = [path for path in candidates if split_of(path, root) == split_of(mask, root)]
    return candidates[0] if len(candidates) == 1 else None


def _record(photograph: str, masks: List[_Mask], root: str) -> Record:
    def read() -> AnnotatedImage:
        size = read_mask(masks[0].path).shape
        shapes = [Shape(mask.class_name, draw=_drawing(mask.path, size)) for mask in masks]
        return AnnotatedImage(photograph, size, shapes, masks[0].path)

    return Record(read, split_of(photograph, root), masks[0].path)


def _drawing(path: str, size: Tuple[int, int]):  # type: ignore[no-untyped-def]
    def draw() -> Window:
        mask = read_mask(path)
        if mask.shape != size:
            raise ValueError('a mask of another size than the others of its image')
        return Window(0, 0, mask)

    return draw


def read_mask(path: str) -> np.ndarray:
    """The pixels of a class, bool [H, W].

    Raises:
        ValueError: It cannot be read, or has more than two values: which of them belong to the class is not known.
    """
    with open(path, 'rb') as file:
        data = file.read()
    header = read_header(data)
    if header.format == 'png' and header.has_alpha and not header.has_palette:
        return window_of_bitmap(data, 0, 0).mask
    values = read_labels(path)
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        raise ValueError(
            '{} holds the values {}{}; a mask of one class holds 0 and one other. Save it without smoothing, as '
            'PNG.'.format(path, ', '.join(map(str, found[:5].tolist())), ', ...' if len(found) > 5 else '')
        )
    return values > 0
