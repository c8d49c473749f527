"""One mask for each class and image: masks/CLASS/NAME.png, or masks/NAME_CLASS.png, beside images/NAME.jpg.

`files.class_masks.read_mask` says which pixels of a mask belong to its class.
"""

import functools
import os
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import split_of
from data_generator.files.class_masks import read_mask
from data_generator.files.discovery import stem_of
from helpers.images import natural_sort_key
from helpers.polygons import Window

# Folders that hold masks and no photographs.
_MASK_FOLDERS = ('masks', 'mask', 'labels', 'label', 'annotations', 'gt', 'ground_truth', 'segmentation')
_SEPARATORS = '_-.'

#: Why masks are left out that may be label maps of all classes.
UNTOLD = 'masks whose image or class cannot be told by their name'


class _Mask(NamedTuple):
    """The file of one class of one photograph, which are named by their paths."""

    path: str
    photograph: str
    class_name: str


def read_class_masks(folder: Folder, left_out: LeftOut, color_tolerance: int = 0) -> Optional[Source]:
    """Reads the photographs that have masks; None where there are no masks of single classes.

    `color_tolerance` is that of `read_mask`; the pixels that it moves are counted in `left_out`.
    """
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
                left_out.add(UNTOLD, path)
            else:
                masks.setdefault(found.photograph, []).append(found)
    if not masks:
        return None
    for path in folder.images:
        if not is_mask[path] and path not in masks:
            left_out.add('photographs without a mask', path)
    names = sorted({mask.class_name for found in masks.values() for mask in found}, key=natural_sort_key)
    photographed = [
        _Photograph(path, sorted(found, key=lambda mask: names.index(mask.class_name)), color_tolerance, left_out)
        for path, found in masks.items()
    ]
    return Source('masks', [one.record(folder.root) for one in photographed], names)


def _is_mask(path: str, root: str) -> bool:
    folders = os.path.relpath(os.path.dirname(path), root).lower().split(os.sep)
    return any(name in _MASK_FOLDERS for name in folders)


def _matched(path: str, photographs: Dict[str, List[str]], root: str) -> Optional[_Mask]:
    """By the folder, where a photograph has the whole name; else by the longest name that the mask begins with."""
    stem, above = stem_of(path), os.path.basename(os.path.dirname(path))
    if stem.lower() in photographs and above.lower() not in _MASK_FOLDERS and split_of(above, '') is None:
        photograph = _of_split(photographs[stem.lower()], path, root)
        return None if photograph is None else _Mask(path, photograph, above)
    if stem.lower() in photographs:  # a mask of all classes, and no single one of a photograph with a shorter name
        return None
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


class _Photograph(NamedTuple):
    """A photograph and its masks, in the order of their classes."""

    path: str
    masks: List[_Mask]
    color_tolerance: int
    left_out: LeftOut

    def record(self, root: str) -> Record:
        return Record(self._read, split_of(self.path, root), self.masks[0].path)

    def _read(self) -> AnnotatedImage:
        first = read_mask(self.masks[0].path, self.color_tolerance)
        shapes = [Shape(mask.class_name, draw=functools.partial(self._draw, mask.path, first)) for mask in self.masks]
        return AnnotatedImage(self.path, first[0].shape, shapes, self.masks[0].path)

    def _draw(self, path: str, first: Tuple[np.ndarray, int], _: Tuple[int, int]) -> Window:
        """Reads a mask; the first one was read already, for the size that all have."""
        mask, moved = first if path == self.masks[0].path else read_mask(path, self.color_tolerance)
        if mask.shape != first[0].shape:
            raise ValueError('a mask of another size than the others of its image')
        self.left_out.count_moved(path, moved)
        return Window(0, 0, mask)
