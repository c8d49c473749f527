"""COCO: one JSON file of many images (https://cocodataset.org/#format-data)."""

import mmap
import os
import re
from typing import Any, Dict, List, Optional, Tuple

from data_generator.annotations.documents import read_json_document
from data_generator.annotations.folder import Folder
from data_generator.annotations.run_lengths import window_of_runs
from data_generator.annotations.shapes import VOID, AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import color_of, points_of, split_in_name, split_of, whole_size
from data_generator.errors import DataError
from helpers.aliases import Color

# Files without shapes that COCO also publishes: an entry by which to recognise them -> what it is, and what to use
# instead.
# https://cocodataset.org/#format-data
_OTHER_KINDS = {
    'caption': ('captions, which say no class of a pixel', 'Give instances_*.json or stuff_*.json of the same images'),
    'segments_info': (
        'panoptic segments, whose shapes are in PNGs',
        'Give instances_*.json and stuff_*.json of the same images, or make a file of shapes of it: '
        'panoptic2detection_coco_format.py of panopticapi does that',
    ),
}
# Beginnings of the names of COCO's documents with things and with stuff in the same images, before the split's name.
_THINGS, _STUFF = 'instances_', 'stuff_'
_Named = List[Tuple[str, Record]]  # by the file_name of the image


def is_coco(content: Any) -> bool:
    """Tells whether the content of a JSON file is a list of images and annotations in the form of COCO."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ('images', 'annotations'))


def looks_like_coco(path: str) -> bool:
    """Tells whether a JSON file has the two lists of COCO, without reading it into memory."""
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(re.search(key, content) for key in (rb'"images"\s*:\s*\[', rb'"annotations"\s*:\s*\['))


def read_coco(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these documents describe; crowds are void (see `_is_crowd`).

    The objects of an image come from one document, or from instances_X.json and stuff_X.json together. A document
    without any objects (image_info_X.json) is used last. Documents with captions or panoptic segments are left out, and
    refused if there are no others.
    """
    names: List[str] = []
    colors: Dict[str, Color] = {}
    found: Dict[str, _Named] = {}
    without_objects: Dict[str, _Named] = {}
    others: List[str] = []
    for path in documents:
        content = read_json_document(path)
        other = _other_kind(content)
        if other is not None:
            left_out.add('files of ' + other[0], path)
            others.append('{} holds {}. {}.'.format(path, *other))
            continue
        categories = _categories(content, path)
        holders = _holders(content)
        for name in holders:
            left_out.add('categories without objects that others belong to', '{}, {}'.format(path, name))
        names += [name for name in categories.values() if name not in names and name not in holders]
        colors.update(_colors(content))
        split = split_of(path, folder.root) or split_in_name(path)
        kind = found if content['annotations'] else without_objects
        kind[path] = _records(content, categories, path, split, left_out)
    if len(others) == len(documents):
        raise DataError(' '.join(others[:2]))
    return Source('coco', _things_over_stuff(dict(found, **without_objects)), names, colors, order='area')


def _other_kind(content: Dict[str, Any]) -> Optional[Tuple[str, str]]:
    """What a document holds in place of shapes, and what to use instead; None if it may hold shapes."""
    objects = [one for one in content['annotations'] if isinstance(one, dict)]
    if not objects or any('segmentation' in one for one in objects):
        return None
    return next((kind for entry, kind in _OTHER_KINDS.items() if all(entry in one for one in objects)), None)


def _categories(content: Dict[str, Any], path: str) -> Dict[Any, str]:
    names: Dict[Any, str] = {}
    try:
        for category in content['categories']:
            if not _is_id(category['id']):
                raise TypeError
            _refuse_second(names, category['id'], str(category['name']), 'categories', path)
    except (KeyError, TypeError):
        raise DataError("{} has no list of 'categories' with 'id' and 'name'. Export it again.".format(path)) from None
    return names


def _refuse_second(names: Dict[Any, str], key: Any, name: str, what: str, path: str) -> None:
    """Records the name of an ID. Raises DataError if the ID has another name already: objects would be ambiguous."""
    if names.setdefault(key, name) != name:
        raise DataError(
            '{}: the {} {!r} and {!r} have the same id, {!r}. Give each an id of its own, and its objects the same '
            'id.'.format(path, what, names[key], name, key)
        )


def _holders(content: Dict[str, Any]) -> List[str]:
    """Categories without objects that only group others, such as Roboflow's with the name of the project."""
    objects = [one for one in content['annotations'] if isinstance(one, dict)]
    used = {one['category_id'] for one in objects if _is_id(one.get('category_id'))}
    above = {str(category.get('supercategory')) for category in content['categories']}
    of_objects = {str(category['name']) for category in content['categories'] if category['id'] in used}
    return [
        str(category['name'])
        for category in content['categories']
        if category.get('supercategory') == 'none' and str(category['name']) in above - of_objects
    ]


def _colors(content: Dict[str, Any]) -> Dict[str, Color]:
    found = {str(category['name']): color_of(category.get('color')) for category in content['categories']}
    return {name: color for name, color in found.items() if color is not None}


def _records(content: Dict[str, Any], categories: Dict[Any, str], path: str, split: Any, left_out: LeftOut) -> _Named:
    objects: Dict[Any, List[Dict[str, Any]]] = {}
    for one in _annotations(content):
        if isinstance(one, dict) and _is_id(one.get('image_id')):
            objects.setdefault(_as_number(one['image_id']), []).append(one)
        else:
            left_out.add('objects of no image', path)
    records: _Named = []
    names: Dict[Any, str] = {}
    for image in content['images']:
        if not isinstance(image, dict) or not isinstance(image.get('file_name'), str) or not _is_id(image.get('id')):
            left_out.add('images without file_name or id', path)
            continue
        image_id = _as_number(image['id'])
        _refuse_second(names, image_id, image['file_name'], 'images', path)
        record = _record(image, objects.pop(image_id, []), categories, path, split, left_out)
        records.append((image['file_name'], record))
    for image_id in objects:
        left_out.add('objects of images that are not listed', '{}, image_id {}'.format(path, image_id))
    return records


def _annotations(content: Dict[str, Any]) -> List[Any]:
    """The annotations of a document. If all are marked as crowds, none is one: Datumaro marks every mask so."""
    annotations: List[Any] = content['annotations']
    if all(isinstance(one, dict) and one.get('iscrowd') == 1 and not _is_of_cvat(one) for one in annotations):
        return [dict(one, iscrowd=0) for one in annotations]
    return annotations


def _things_over_stuff(found: Dict[str, _Named]) -> List[Record]:
    """The records of all documents; images in instances_X.json get the objects in stuff_X.json beside it, too."""
    records = []
    for path, named in found.items():
        stuff = dict(found.get(_of_same_images(path, _THINGS, _STUFF), []))
        things = dict(found.get(_of_same_images(path, _STUFF, _THINGS), []))
        for name, record in named:
            if name not in things:
                records.append(_over(record, stuff[name]) if name in stuff else record)
    return records


def _of_same_images(path: str, prefix: str, other: str) -> str:
    """The path with `other` in place of `prefix` at the beginning of the file name; '' if it does not begin so."""
    folder, name = os.path.split(path)
    return os.path.join(folder, other + name[len(prefix) :]) if name.startswith(prefix) else ''


def _over(things: Record, stuff: Record) -> Record:
    def read() -> AnnotatedImage:
        image, below = things.read(), stuff.read()
        if None not in (image.size, below.size) and image.size != below.size:
            raise DataError('its size is another one in {}'.format(stuff.place))
        shapes = [shape._replace(layer=-1.0) for shape in below.shapes] + image.shapes
        return image._replace(size=image.size or below.size, shapes=shapes)

    return things._replace(read=read)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str, float)) and not isinstance(value, bool)  # true would count as 1


def _as_number(image_id: Any) -> Any:
    """An image ID, as a number if it is one in quotes: older versions of VIA quote those of objects."""
    is_number = isinstance(image_id, str) and re.match('(0|[1-9][0-9]{0,17})$', image_id)
    return int(image_id) if is_number else image_id


def _record(
    image: Dict[str, Any], objects: List[Any], categories: Dict[Any, str], path: str, split: Any, left_out: LeftOut
) -> Record:
    place = '{}, {}'.format(path, image['file_name'])
    size = whole_size(image.get('height'), image.get('width'))

    def read() -> AnnotatedImage:
        shapes = left_out.readable(objects, lambda one: [_shape(one, categories, size)], place)
        return AnnotatedImage(image['file_name'], size, shapes, place, beside=os.path.dirname(path))

    return Record(read, split, place)


def _is_crowd(one: Dict[str, Any]) -> bool:
    """Whether an object is a crowd. CVAT, whose files say whether an object is occluded, marks every mask as one.

    https://github.com/cvat-ai/datumaro, plugins/data_formats/coco/exporter.py
    """
    return bool(int(one.get('iscrowd') or 0)) and not _is_of_cvat(one)


def _is_of_cvat(one: Dict[str, Any]) -> bool:
    attributes = one.get('attributes')
    return isinstance(attributes, dict) and 'occluded' in attributes


def _shape(one: Dict[str, Any], categories: Dict[Any, str], image_size: Optional[Tuple[int, int]]) -> Shape:
    category = one.get('category_id')
    if not _is_id(category) or category not in categories:
        raise ValueError('of no known category')
    label = VOID if _is_crowd(one) else categories[category]
    segmentation = one.get('segmentation')
    if isinstance(segmentation, dict):
        size = whole_size(*segmentation['size'])
        if size is None or image_size not in (None, size):
            raise ValueError('a mask of another size than its image')
        counts = segmentation['counts']
        return Shape(label, draw=lambda _: window_of_runs(counts, size), of_size=size)
    outlines = segmentation or []
    if outlines and not isinstance(outlines[0], list):  # older versions of VIA write the only outline without a list
        outlines = [outlines]
    parts = [points_of(part) for part in outlines]
    parts = [part for part in parts if len(part) >= 3]
    if not parts:
        raise ValueError('only a box' if 'bbox' in one else 'no polygon')
    return Shape(label, parts)
