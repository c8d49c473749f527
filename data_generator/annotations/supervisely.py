"""Supervisely: a meta.json, and img/NAME with ann/NAME.json in each dataset.

https://docs.supervisely.com/customization-and-integration/00_ann_format_navi
"""

import os
from typing import Any, Dict, List

from data_generator.annotations.bitmaps import unpacked_bitmap, window_of_bitmap
from data_generator.annotations.documents import read_json_document
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Shape, Source, record_of_document
from data_generator.annotations.values import color_of, points_of, whole_number_of, whole_size
from data_generator.errors import DataError
from helpers.aliases import Color


def is_supervisely(content: Any) -> bool:
    """Tells whether the content of a JSON file comes from Supervisely: its classes, or one image."""
    return is_meta(content) or is_annotation(content)


def is_meta(content: Any) -> bool:
    """Tells whether the content of a JSON file is the list of classes of a Supervisely project."""
    classes = content.get('classes') if isinstance(content, dict) else None
    return isinstance(classes, list) and all(isinstance(one, dict) and 'title' in one for one in classes)


def is_annotation(content: Any) -> bool:
    """Tells whether the content of a JSON file is the objects of one image in the form of Supervisely."""
    if not isinstance(content, dict) or not isinstance(content.get('objects'), list):
        return False
    return isinstance(content.get('size'), dict) and all(
        isinstance(one, dict) and ('classTitle' in one or 'geometryType' in one) for one in content['objects']
    )


def read_supervisely(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these documents describe."""
    names: List[str] = []
    colors: Dict[str, Color] = {}
    records = []
    for path in documents:
        if os.path.basename(os.path.dirname(path)) == 'ann':
            records.append(record_of_document(path, folder.root, lambda one: _read(one, left_out)))
            continue
        content = read_json_document(path)
        for one in content['classes'] if is_meta(content) else []:
            names += [str(one['title'])]
            color = color_of(one.get('color'))
            if color is not None:
                colors[names[-1]] = color
    return Source('supervisely', records, names or None, colors)


def _read(path: str, left_out: LeftOut) -> AnnotatedImage:
    content = read_json_document(path)
    if not is_annotation(content):
        raise DataError("{} is no annotation of Supervisely: it lacks 'size' or 'objects'.".format(path))
    shapes = left_out.readable(content['objects'], lambda one: [_shape(one)], path)
    name = os.path.splitext(os.path.basename(path))[0]
    size = content['size']
    beside = os.path.join(os.path.dirname(os.path.dirname(path)), 'img')
    return AnnotatedImage(name, whole_size(size.get('height'), size.get('width')), shapes, path, beside=beside)


def _shape(one: Dict[str, Any]) -> Shape:
    label = str(one['classTitle'])
    kind = one.get('geometryType', 'bitmap' if one.get('bitmap') else 'polygon')
    if kind == 'polygon':
        points = points_of(one['points']['exterior'])
        if len(points) < 3:
            raise ValueError('no polygon')
        holes = [points_of(hole) for hole in one['points'].get('interior') or []]
        return Shape(label, [points], holes, in_pixels=True)
    if kind == 'bitmap':
        text = one['bitmap']['data']
        left, top = map(whole_number_of, one['bitmap']['origin'])
        return Shape(label, draw=lambda _: window_of_bitmap(unpacked_bitmap(text), top, left))
    raise ValueError(str(kind))
