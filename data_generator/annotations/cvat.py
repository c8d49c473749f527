"""CVAT for images 1.1: one XML file (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/)."""

import math
import os
from typing import Any, Dict, List

import numpy as np

from data_generator.annotations.documents import Element, read_xml
from data_generator.annotations.ellipses import ellipse
from data_generator.annotations.folder import Folder
from data_generator.annotations.run_lengths import window_of_box_runs
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import (
    color_of,
    number_of,
    points_of,
    points_of_text,
    split_in_name,
    split_of,
    whole_number_of,
    whole_size,
)
from data_generator.errors import DataError
from data_generator.files.splits import SPLIT_NAMES
from helpers.aliases import Color


def is_cvat(root: Element) -> bool:
    """Tells whether an XML document is an export of CVAT, of images or of tracks."""
    return root.tag == 'annotations' and (root.find('image') is not None or root.find('track') is not None)


def read_cvat(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these documents describe; objects with a higher z_order lie over others."""
    names: List[str] = []
    colors: Dict[str, Color] = {}
    records: List[Record] = []
    for path in documents:
        root = read_xml(path)
        if root.find('track') is not None:
            raise DataError(
                "{} holds tracks of a video, whose frames are no files. Export the task as 'CVAT for images 1.1', with "
                'images.'.format(path)
            )
        for label in root.iter('label'):
            name, color = label.findtext('name'), color_of(label.findtext('color') or '')
            if name and name not in names:
                names.append(name)
            if name and color is not None:
                colors[name] = color
        default = split_of(path, folder.root) or split_in_name(path)
        records += [_record(image, path, default, left_out) for image in root.findall('image')]
    return Source('cvat', records, names or None, colors)


def _record(image: Element, path: str, split: Any, left_out: LeftOut) -> Record:
    named = image.get('name', '')
    place = '{}, {}'.format(path, named)
    subset = SPLIT_NAMES.get(image.get('subset', '').lower())

    def read() -> AnnotatedImage:
        elements = (element for element in image if element.tag != 'tag')
        shapes = left_out.readable(elements, lambda element: [_shape(element)], place, 'shapes')
        size = whole_size(image.get('height'), image.get('width'))
        return AnnotatedImage(named, size, shapes, place, beside=os.path.dirname(path))

    return Record(read, subset or split, place)


def _shape(element: Element) -> Shape:
    values = element.attrib
    label, layer = values['label'], number_of(values.get('z_order', 0))
    if element.tag == 'polygon':
        return Shape(label, [points_of_text(values['points'])], layer=layer)
    if element.tag == 'mask':
        top, left, height, width = (whole_number_of(values[name]) for name in ('top', 'left', 'height', 'width'))
        counts = [whole_number_of(count) for count in values['rle'].split(',')]
        return Shape(label, draw=lambda _: window_of_box_runs(counts, top, left, (height, width)), layer=layer)
    if element.tag == 'ellipse':
        return Shape(label, [_ellipse(values)], layer=layer)
    raise ValueError(element.tag)


def _ellipse(values: Any) -> np.ndarray:
    x, y, radius_x, radius_y = (number_of(values[name]) for name in ('cx', 'cy', 'rx', 'ry'))
    return points_of(ellipse((x, y), (radius_x, radius_y), math.radians(number_of(values.get('rotation', 0)))))
