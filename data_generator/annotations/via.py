"""VIA, the VGG Image Annotator, versions 1 and 2: one JSON file of many images, an export or a project.

https://www.robots.ox.ac.uk/~vgg/software/via/docs/user_guide.html; MakeSense writes it too ("VGG JSON").
"""

import os
from typing import Any, Dict, Iterator, List, Optional, Set

import numpy as np

from data_generator.annotations.documents import read_json_document
from data_generator.annotations.ellipses import ellipse
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import number_of, points_of, split_in_name, split_of
from data_generator.errors import DataError

# The class if no region has an attribute.
_ONLY_CLASS = 'object'


def is_via(content: Any) -> bool:
    """Tells whether the content of a JSON file is images with regions in the form of VIA."""
    images = list(_images(content).values()) if isinstance(content, dict) else []
    return bool(images) and all(isinstance(one, dict) and {'filename', 'regions'} <= set(one) for one in images)


def read_via(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these documents describe; an image without regions has no objects.

    Raises:
        DataError: Regions have several attributes, and any of them could be the class.
    """
    contents = {path: _images(read_json_document(path)) for path in documents}
    attribute = _attribute_of_classes(contents)
    records = []
    for path, images in contents.items():
        split = split_of(path, folder.root) or split_in_name(path)
        records += [_record(image, attribute, path, split, left_out) for image in images.values()]
    return Source('via', records)


def _images(content: Dict[str, Any]) -> Dict[str, Any]:
    """The images of an export, or of a project, which also holds settings."""
    images = content.get('_via_img_metadata', content)
    return images if isinstance(images, dict) else {}


def _regions(image: Dict[str, Any]) -> List[Any]:
    """The regions of an image: version 1 and MakeSense number them, version 2 lists them."""
    regions = image['regions']
    return list(regions.values()) if isinstance(regions, dict) else list(regions or ())


def _attribute_of_classes(contents: Dict[str, Dict[str, Any]]) -> Optional[str]:
    """The only attribute of regions; None if they have none."""
    found: Dict[str, str] = {}
    for path, images in contents.items():
        for name in _attributes(images):
            found.setdefault(name, path)
    if len(found) > 1:
        raise DataError(
            '{}: its regions have several attributes, {}, and which one is the class is not said. Remove the others in '
            'VIA, or export COCO: Annotation > Export Annotations (COCO format).'.format(
                next(iter(found.values())), ', '.join(map(repr, sorted(found)))
            )
        )
    return next(iter(found), None)


def _attributes(images: Dict[str, Any]) -> Iterator[str]:
    for image in images.values():
        for region in _regions(image):
            attributes = region.get('region_attributes') if isinstance(region, dict) else None
            if isinstance(attributes, dict):
                yield from (name for name, value in attributes.items() if _chosen(value))


def _chosen(value: Any) -> Set[str]:
    """The values of an attribute: its text or number, or the ticked ones of several check boxes."""
    if isinstance(value, dict):
        return {name for name, is_ticked in value.items() if is_ticked}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {str(value)}
    return {value.strip()} - {''} if isinstance(value, str) else set()


def _record(
    image: Dict[str, Any], attribute: Optional[str], path: str, split: Optional[str], left_out: LeftOut
) -> Record:
    name = str(image['filename'])
    place = '{}, {}'.format(path, name)

    def read() -> AnnotatedImage:
        shapes = left_out.readable(_regions(image), lambda one: [_shape(one, attribute)], place, 'regions')
        return AnnotatedImage(name, None, shapes, place, beside=os.path.dirname(path))

    return Record(read, split, place)


def _shape(region: Dict[str, Any], attribute: Optional[str]) -> Shape:
    classes = {_ONLY_CLASS} if attribute is None else _chosen(region['region_attributes'].get(attribute))
    if len(classes) != 1:
        raise ValueError('of no class' if not classes else 'of several classes')
    return Shape(classes.pop(), [_outline(region['shape_attributes'])])


def _outline(shape: Dict[str, Any]) -> np.ndarray:
    """The outline as VIA's own export to COCO has it."""
    kind = shape['name']
    if kind == 'polygon':
        points = points_of(list(zip(shape['all_points_x'], shape['all_points_y'])))
        if len(points) >= 3:
            return points
    if kind == 'rect':
        x, y, width, height = (number_of(shape[key]) for key in ('x', 'y', 'width', 'height'))
        return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    if kind in ('circle', 'ellipse'):
        radii = [number_of(shape[key]) for key in (('r', 'r') if kind == 'circle' else ('rx', 'ry'))]
        turn = number_of(shape.get('theta', 0))
        return ellipse([number_of(shape['cx']), number_of(shape['cy'])], radii, turn)
    raise ValueError('{:.40}'.format(str(kind)))
