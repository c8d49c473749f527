"""One mask for each class and image: masks/CLASS/NAME.png, or masks/NAME_CLASS.png, beside images/NAME.jpg; or one for
each object of an image that has a folder to itself: NAME/images/NAME.png with NAME/masks/*.png.

`files.class_masks.read_mask` says which pixels of a mask belong to its class.
"""

import functools
import os
import re
from collections import Counter
from typing import AbstractSet, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from data_generator.annotations.folder import Folder
from data_generator.annotations.photographs import frame_of
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import split_of
from data_generator.files.class_masks import read_mask
from data_generator.files.discovery import LABEL_FOLDERS, stem_of
from helpers.image_search import folded, natural_sort_key
from helpers.polygons import Window

_SEPARATORS = '_-.'
# The class of masks of objects, if only their folder tells the image.
_OBJECT = 'object'
# The parts of CelebAMask-HQ as its authors paint them, later ones over earlier ones:
# https://github.com/switchablenorms/CelebAMask-HQ/blob/master/face_parsing/Data_preprocessing/g_mask.py
_PARTS_OF_FACES = (
    *('skin', 'nose', 'eye_g', 'l_eye', 'r_eye', 'l_brow', 'r_brow', 'l_ear', 'r_ear'),
    *('mouth', 'u_lip', 'l_lip', 'hair', 'hat', 'ear_r', 'neck_l', 'neck', 'cloth'),
)

#: The reason for leaving out masks that may be label maps of all classes.
UNTOLD = 'masks whose image or class cannot be told by their name'


class _Mask(NamedTuple):
    """The mask file of one class of one photograph, both given by their paths."""

    path: str
    photograph: str
    class_name: str


def read_class_masks(folder: Folder, left_out: LeftOut, color_tolerance: int = 0) -> Optional[Source]:
    """Reads the photographs that have masks; None if there are no masks of single classes.

    `color_tolerance` is that of `read_mask`; `left_out` counts the pixels whose colour it changes.
    """
    folders = _folders_of(folder)
    is_mask = _are_masks(folders)
    stems = Counter(stem_of(path) for path in folder.images if is_mask[path])
    photographs = _Photographs([path for path in folder.images if not is_mask[path]], folder.root, stems, folders)
    masks: Dict[str, List[_Mask]] = {}
    for path in folder.images:
        if is_mask[path]:
            found = photographs.of_mask(path)
            if found is None:
                left_out.add(UNTOLD, path)
            else:
                masks.setdefault(found.photograph, []).append(found)
    if not masks:
        return None
    for path in folder.images:
        if not is_mask[path] and path not in masks:
            left_out.add('photographs without a mask', path)
    names = _in_order({mask.class_name for found in masks.values() for mask in found})
    photographed = [
        _Photograph(path, sorted(found, key=lambda mask: names.index(mask.class_name)), color_tolerance, left_out)
        for path, found in masks.items()
    ]
    return Source('masks', [one.record(folder.root) for one in photographed], names)


def _in_order(names: Set[str]) -> List[str]:
    """The classes in the order of painting: later ones lie over earlier ones."""
    if len(names) > 1 and names.issubset(_PARTS_OF_FACES):
        return [name for name in _PARTS_OF_FACES if name in names]
    return sorted(names, key=natural_sort_key)


def _are_masks(folders: Mapping[str, Sequence[str]]) -> Dict[str, bool]:
    """Which files are masks, by the folders of each: files below folders for labels, or if there are none below folders
    with such a word in their name.
    """
    found = {path: any(name in LABEL_FOLDERS for name in names) for path, names in folders.items()}
    if any(found.values()):
        return found
    silent = _words_of_all(folders.values())
    return {path: any(_speaks_of_masks(name, silent) for name in names) for path, names in folders.items()}


def _folders_of(folder: Folder) -> Mapping[str, Sequence[str]]:
    """The folders of each image without those that all images share, such as 'A. Segmentation' of IDRiD, since these
    distinguish nothing; with them if there are no others.
    """
    folders = {
        path: os.path.relpath(os.path.dirname(path), folder.root).lower().split(os.sep) for path in folder.images
    }
    shared = os.path.commonprefix(list(folders.values()))
    if all(names == shared for names in folders.values()):
        return folders
    return {path: names[len(shared) :] for path, names in folders.items()}


def _words_of_all(folders: Iterable[Sequence[str]]) -> Set[str]:
    """The words that occur in folders of every image, as in '1. Segmentation images' and '2. Segmentation masks'."""
    words = [{word for name in names for word in _words(name)} for names in folders]
    return set.intersection(*words) if len(words) > 1 else set()


def _words(name: str) -> Set[str]:
    return {name, *re.split('[_. -]', name)}


def _speaks_of_masks(name: str, silent: AbstractSet[str] = frozenset()) -> bool:
    """Whether the name of a folder, in lower case, has a word for masks that is not in `silent`."""
    return not (_words(name) - silent).isdisjoint(LABEL_FOLDERS)


class _Photographs:
    """The photographs below a root, by name and by the folder that contains the folders of images and masks."""

    def __init__(
        self,
        paths: Sequence[str],
        root: str,
        stems_of_masks: Mapping[str, int],
        folders: Mapping[str, Sequence[str]],
    ) -> None:
        """folders: the folders of each photograph and mask, see `_folders_of`."""
        self._root = root
        self._stems_of_masks = stems_of_masks
        self._folders = folders
        self._by_name: Dict[str, List[str]] = {}
        self._by_number: Dict[int, List[str]] = {}
        self._by_home: Dict[str, List[str]] = {}
        for path in paths:
            stem, above = folded(stem_of(path)), os.path.dirname(path)
            self._by_name.setdefault(stem, []).append(path)
            if _is_number(stem):
                self._by_number.setdefault(int(stem), []).append(path)
            for home in (above, os.path.dirname(above)):
                self._by_home.setdefault(home, []).append(path)

    def of_mask(self, path: str) -> Optional[_Mask]:
        """Finds the photograph and class of a mask. The class is the folder's name if a photograph has the mask's whole
        name. Otherwise the photograph is the one with the longest name that the mask's name begins with, or else the
        only one beside the folder of the masks.
        """
        stem, above = stem_of(path), os.path.basename(os.path.dirname(path))
        if folded(stem) in self._by_name:
            if not self._names_a_class(path):
                return None  # a mask of all classes, not the mask of a photograph with a shorter name
            return self._named(stem, path, above)
        for end in range(len(stem) - 2, 0, -1):
            if stem[end] in _SEPARATORS and self._called(stem[:end]):
                found = self._named(stem[:end], path, stem[end + 1 :])
                if found is not None:
                    return found
                break
        home = os.path.dirname(os.path.dirname(path))
        beside = self._by_home.get(home, [])
        has_its_own = home != self._root and split_of(os.path.basename(home), '') is None
        return _Mask(path, beside[0], self._kind_of(stem)) if has_its_own and len(beside) == 1 else None

    def _kind_of(self, stem: str) -> str:
        """The class of a mask beside its photograph: its name, if masks of several photographs have it. Numbers and
        other names just count objects.
        """
        is_word = self._stems_of_masks[stem] > 1 and re.search('[0-9]', stem) is None and len(stem) > 1
        return stem if is_word and not _speaks_of_masks(stem.lower()) else _OBJECT

    def _names_a_class(self, path: str) -> bool:
        """Whether a mask's folder may name its class: it is below a folder for masks, and neither one nor a split."""
        *before, above = self._folders[path] or ['']
        is_of_masks = above in LABEL_FOLDERS or not any(_speaks_of_masks(name) for name in before)
        return not is_of_masks and split_of(above, '') is None

    def _called(self, name: str) -> List[str]:
        """The photographs with this name; for numbers, those with an equal number: 7.jpg has 00007_hair.png."""
        found = self._by_name.get(folded(name), [])
        return found or (self._by_number.get(int(name), []) if _is_number(name) else [])

    def _named(self, name: str, mask: str, class_name: str) -> Optional[_Mask]:
        """The mask of the only photograph with this name, or of the only one in the split of the mask."""
        candidates = self._called(name)
        if len(candidates) > 1:
            candidates = [path for path in candidates if split_of(path, self._root) == split_of(mask, self._root)]
        return _Mask(mask, candidates[0], class_name) if len(candidates) == 1 else None


def _is_number(name: str) -> bool:
    return re.match('[0-9]+$', name) is not None


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
        is_smaller = _enlargement(first[0].shape, frame_of(self.path, None).upright) is not None
        return AnnotatedImage(self.path, None if is_smaller else first[0].shape, shapes, self.masks[0].path)

    def _draw(self, path: str, first: Tuple[np.ndarray, int], size: Tuple[int, int]) -> Window:
        """Reads a mask; the first one has been read already, for the common size."""
        mask, moved = first if path == self.masks[0].path else read_mask(path, self.color_tolerance)
        if mask.shape != first[0].shape:
            raise ValueError('a mask of another size than the others of its image')
        self.left_out.count_moved(path, moved)
        times = _enlargement(mask.shape, size) or 1
        return Window(0, 0, mask.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else mask)


def _enlargement(size: Tuple[int, ...], target: Tuple[int, ...]) -> Optional[int]:
    """The whole number by which both sides of a size have to be enlarged to give the target; None if there is none."""
    times = target[0] // size[0]
    return times if times > 1 and (size[0] * times, size[1] * times) == tuple(target) else None
