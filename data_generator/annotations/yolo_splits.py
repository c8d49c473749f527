"""Which images of YOLO are for training, validation and test by its data.yaml: folders, lists, or several of these.

https://docs.ultralytics.com/datasets/segment/#dataset-yaml-format
"""

import os
from typing import Dict, Iterator, List, Sequence, Set

from data_generator.annotations.data_yaml import entries
from data_generator.annotations.folder import Folder
from data_generator.annotations.lists import lines_by_image, lines_of
from data_generator.annotations.shapes import LeftOut
from data_generator.annotations.yaml_text import Value
from helpers.image_search import folded

_SPLITS = ('train', 'val', 'test')
# A path from another machine has to share this many last parts with a folder: 'images' alone would match any.
_FEWEST_PARTS = 2


def splits_in(path: str, text: str, folder: Folder, left_out: LeftOut) -> Dict[str, str]:
    """Returns the splits of the images that a data.yaml names.

    An image that is named in several splits belongs to the one in its folder's name, or else to the first, for example
    if 'train' and 'val' are the same. Named places that do not exist are noted in `left_out`.

    Raises:
        DataError: A list cannot be read.
    """
    content = entries(path, text)
    found: Dict[str, List[str]] = {}
    for split in _SPLITS:
        for named in _named(content, split, path, left_out):
            images = _images_at(named, _bases(content, path, folder), folder, split)
            if not images:
                left_out.add('what data.yaml names and is not there', '{}, {}: {}'.format(path, split, named))
            for image in images:
                found.setdefault(image, []).append(split)
    own = {image: folder.split_of(image) or '' for image in found}
    return {image: own[image] if own[image] in splits else splits[0] for image, splits in found.items()}


def _named(content: Dict[str, Value], key: str, path: str, left_out: LeftOut) -> List[str]:
    """The paths of a key: none, one or several."""
    value = content.get(key, '')
    if isinstance(value, dict):
        left_out.add('splits of data.yaml that are not read', '{}, {}: a table'.format(path, key))
        return []
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and one not in ('', '~', 'null')]


def _bases(content: Dict[str, Value], path: str, folder: Folder) -> List[str]:
    """The folders to which paths may be relative: the one in 'path', that of the file, and those of the source."""
    here = os.path.abspath(os.path.dirname(path))
    above = content.get('path')
    below = [os.path.join(here, _slashed(above))] if isinstance(above, str) and above else []
    return [*below, here, *map(os.path.abspath, folder.image_roots)]


def _images_at(named: str, bases: Sequence[str], folder: Folder, split: str) -> List[str]:
    if named.lower().endswith('.txt'):
        return _images_in_list(named, bases, folder, split)
    by_folder: Dict[str, List[str]] = {}
    for image in folder.images:
        by_folder.setdefault(os.path.dirname(os.path.abspath(image)), []).append(image)
    roots = {os.path.abspath(root) for root in folder.image_roots}
    places = set(by_folder).union(*(_above(place, roots) for place in by_folder))
    chosen = _matching(named, bases, places, _FEWEST_PARTS)
    return [image for place, images in by_folder.items() if chosen & {place, *_above(place, roots)} for image in images]


def _images_in_list(named: str, bases: Sequence[str], folder: Folder, split: str) -> List[str]:
    documents = {os.path.abspath(path): path for path in folder.documents}
    chosen = sorted(_matching(named, bases, set(documents), 1))
    names, paths = [folder.name_of(image) for image in folder.images], [os.path.abspath(i) for i in folder.images]
    lines = lines_of([(split, documents[place]) for place in chosen])
    return [image for image, line in zip(folder.images, lines_by_image(names, paths, lines)) if line is not None]


def _matching(named: str, bases: Sequence[str], places: Set[str], fewest: int) -> Set[str]:
    """The places that a path means: relative to a base, else the places with the longest end in common with it."""
    slashed = _slashed(named)
    parts = [part for part in slashed.split(os.sep) if part not in ('', '.', '..')]
    for base in bases:
        for relative in (slashed, os.path.join('.', *parts)):  # Roboflow writes '../train/images' for 'train/images'
            place = os.path.normpath(os.path.join(base, relative))
            if place in places:
                return {place}
    for count in range(len(parts), fewest - 1, -1):
        end = os.sep + folded(os.path.join(*parts[-count:]))
        found = {place for place in places if folded(place).endswith(end)}
        if found:
            return found
    return set()


def _above(place: str, roots: Set[str]) -> Iterator[str]:
    """The folders above a place, up to a root."""
    while place not in roots and os.path.dirname(place) != place:
        place = os.path.dirname(place)
        yield place


def _slashed(path: str) -> str:
    return path.replace('\\', '/').replace('/', os.sep)
