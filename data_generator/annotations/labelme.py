"""labelme: a JSON file for each image (https://github.com/wkentaro/labelme)."""

import base64
import binascii
import os
from typing import Any, Dict, List, Optional

import numpy as np

from data_generator.annotations.bitmaps import window_of_bitmap
from data_generator.annotations.documents import read_json_document
from data_generator.annotations.ellipses import ellipse
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import VOID, AnnotatedImage, LeftOut, Shape, Source, record_of_document
from data_generator.annotations.values import points_of, whole_size
from data_generator.errors import DataError
from helpers.counted import counted

# labelme's own scripts give this name to pixels that should not be learned.
_IGNORED = '__ignore__'
# Rotated ones have four points; X-AnyLabeling calls them 'rotation'.
_RECTANGLES = ('rectangle', 'oriented_rectangle', 'rotation')

#: What labelme_json_to_dataset writes into a folder for each image, NAME_json, and what to say of it.
TABLE_OF_ONE_IMAGE = 'label_names.txt'
OF_ONE_IMAGE = (
    'of a single image, as labelme_json_to_dataset writes it: each folder numbers its classes anew. Import the JSON '
    'files of labelme that the folders were made of'
)


def is_table_of_one_image(path: str) -> bool:
    """Tells by its place whether a file is the table of classes of one image."""
    folder, name = os.path.split(path)
    return name == TABLE_OF_ONE_IMAGE and folder.endswith('_json')


def is_labelme(content: Any) -> bool:
    """Tells whether the content of a JSON file is the shapes of one image in the form of LabelMe."""
    return isinstance(content, dict) and isinstance(content.get('shapes'), list) and 'imagePath' in content


def read_labelme(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these documents describe."""
    records = [record_of_document(path, folder.root, lambda one: _read(one, left_out)) for path in documents]
    return Source('labelme', records, void_names=(_IGNORED,))


def _read(path: str, left_out: LeftOut) -> AnnotatedImage:
    content = read_json_document(path)
    if not is_labelme(content):
        raise DataError('{} is no file of labelme: it lacks shapes or imagePath.'.format(path))
    named = content['imagePath'] if isinstance(content['imagePath'], str) else ''
    shapes = left_out.readable(content['shapes'], _shapes, path, 'shapes')
    return AnnotatedImage(
        named or os.path.splitext(os.path.basename(path))[0] + '.png',
        whole_size(content.get('imageHeight'), content.get('imageWidth')),
        shapes,
        path,
        _decoded(content.get('imageData')),
        os.path.dirname(path),
    )


def _decoded(data: Any) -> Optional[bytes]:
    try:
        return base64.b64decode(data) if isinstance(data, str) and data else None
    except (binascii.Error, ValueError):
        return None


def _shapes(shape: Dict[str, Any]) -> List[Shape]:
    """One shape, as a list. Shapes of one object (group_id) have the same class, so they may overlap."""
    kind = shape.get('shape_type') or 'polygon'
    points = points_of(shape['points'])
    label = VOID if shape['label'] == _IGNORED else str(shape['label'])
    if kind == 'polygon' and len(points) >= 3:
        return [Shape(label, [points], in_pixels=True)]
    if kind in _RECTANGLES and len(points) in (2, 4):
        corners = points if len(points) == 4 else _rectangle(points)
        return [Shape(label, [corners], in_pixels=True)]
    if kind == 'circle' and len(points) == 2:
        return [Shape(label, [_circle(points)], in_pixels=True)]
    if kind == 'mask':
        (left, top), (right, bottom) = np.rint(np.stack([points.min(axis=0), points.max(axis=0)])).astype(int).tolist()
        data = base64.b64decode(shape['mask'])
        size = (bottom - top + 1, right - left + 1)
        return [Shape(label, draw=lambda _: window_of_bitmap(data, top, left, size))]
    raise ValueError('{} of {}'.format(kind, counted(len(points), 'point')))


def _rectangle(points: np.ndarray) -> np.ndarray:
    (x0, y0), (x1, y1) = points
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _circle(points: np.ndarray) -> np.ndarray:
    """The outline as labelme fills it: an ellipse in the box of whole pixels around the circle."""
    radius = float(np.hypot(*(points[1] - points[0])))
    low, high = np.floor(points[0] - radius), np.floor(points[0] + radius)
    return ellipse((low + high) / 2, (high - low) / 2) + 0.5  # from coordinates of pixel centres to those of corners
