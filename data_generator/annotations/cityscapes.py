"""Cityscapes: NAME_gtFine_polygons.json for each image (https://github.com/mcordts/cityscapesScripts)."""

import os
import re
from typing import Any, Dict, FrozenSet, List, Set

from data_generator.annotations.documents import read_json_document
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Shape, Source, record_of_document
from data_generator.annotations.values import points_of, whole_size
from data_generator.errors import DataError
from helpers.aliases import Color
from helpers.cityscapes_labels import CITYSCAPES_LABELS
from helpers.label_spaces import CITYSCAPES

_SUFFIX = re.compile(r'_gt[A-Za-z]+_polygons$')
# Coarse polygons beside fine ones are of the same images.
_COARSE = '_gtCoarse_'
_GROUP = 'group'
_NAMES = frozenset(label.name for label in CITYSCAPES_LABELS)
# Labels that Cityscapes does not draw into its label images, so that the object below is seen (json2labelImg.py): the
# licence plates of cars.
_NOT_DRAWN = frozenset(label.name for label in CITYSCAPES_LABELS if label.id < 0)
_LOOKED_INTO = 50


def is_cityscapes(content: Any) -> bool:
    """Tells whether the content of a JSON file is the polygons of one image in the form of Cityscapes."""
    return isinstance(content, dict) and isinstance(content.get('objects'), list) and 'imgHeight' in content


def read_cityscapes(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these documents describe; classes that Cityscapes does not score are void.

    Files without any class of Cityscapes have the same form but other classes, which are taken from the files. Of an
    image with fine and coarse polygons, the fine ones come first, so that these are used.
    """
    documents = sorted(documents, key=lambda path: _COARSE in os.path.basename(path))
    is_own = not any(_labels(path) & set(CITYSCAPES.class_names) for path in documents[:_LOOKED_INTO])
    not_drawn = frozenset() if is_own else _NOT_DRAWN
    records = [record_of_document(path, folder.root, lambda one: _read(one, left_out, not_drawn)) for path in documents]
    if is_own:
        return Source('cityscapes', records, rest='void')
    names = list(CITYSCAPES.class_names)
    colors: Dict[str, Color] = dict(zip(names, CITYSCAPES.colors))
    unscored = tuple(label.name for label in CITYSCAPES_LABELS if label.name not in names)
    return Source('cityscapes', records, names, colors, void_names=unscored, rest='void')


def _labels(path: str) -> Set[str]:
    try:
        return {_without_group(str(one['label'])) for one in read_json_document(path)['objects']}
    except (DataError, KeyError, TypeError):
        return set()


def _read(path: str, left_out: LeftOut, not_drawn: FrozenSet[str]) -> AnnotatedImage:
    content = read_json_document(path)
    if not is_cityscapes(content):
        raise DataError("{} is no annotation of Cityscapes: it lacks 'imgHeight' or 'objects'.".format(path))

    def shapes_of(one: Dict[str, Any]) -> List[Shape]:
        return [] if one.get('deleted') or _without_group(str(one.get('label'))) in not_drawn else [_shape(one)]

    shapes = left_out.readable(content['objects'], shapes_of, path)
    stem = _SUFFIX.sub('', os.path.splitext(os.path.basename(path))[0])
    # gtFine/train/aachen beside leftImg8bit/train/aachen, or images and annotations in one folder.
    beside = re.sub(r'(^|[/\\])gt[A-Za-z]+([/\\])', r'\1leftImg8bit\2', os.path.dirname(path))
    return AnnotatedImage(
        stem + '_leftImg8bit.png',
        whole_size(content['imgHeight'], content.get('imgWidth')),
        shapes,
        path,
        beside=beside,
    )


def _shape(one: Dict[str, Any]) -> Shape:
    points = points_of(one['polygon'])
    if len(points) < 3:
        raise ValueError('no polygon')
    return Shape(_without_group(str(one['label'])), [points], in_pixels=True)


def _without_group(label: str) -> str:
    """'car' for 'cargroup', which is a group of indistinct objects of one class."""
    is_group = label.endswith(_GROUP) and label != _GROUP and label not in _NAMES
    return label[: -len(_GROUP)] if is_group else label
