"""Predictions as polygons, to be corrected in an annotation tool: labelme, COCO JSON, GeoJSON."""

import contextlib
import json
import os
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from fcn8s.prediction.seals import is_sealed, seal
from helpers.files import PathTakenError, atomic_new_path, json_text, write_json_entries, write_unfinished
from helpers.flags import check_choice, is_real
from helpers.image_files.places import raster_of
from helpers.label_spaces import LabelSpace
from helpers.polygons import (
    Region,
    Window,
    fill_pixels,
    geojson,
    geojson_crs,
    outlines,
    pixel_outline,
    regions,
    simplified,
)
from helpers.spool import Spool
from helpers.user_warnings import warn_user

# An image and its annotations as in COCO, without their numbers.
Described = Tuple[Dict[str, Any], List[Dict[str, Any]]]

FORMATS = ('labelme', 'coco', 'geojson')
COCO_FILE = 'annotations.json'
MAX_TOLERANCE = 10.0
_SUFFIXES = {'labelme': '.json', 'geojson': '.geojson'}
# The version of labelme whose format these files have; labelme also reads files of older versions.
_LABELME_VERSION = '5.0.1'
# The label that labelme's own scripts give to what is not to be learned.
_LABELME_IGNORED = '__ignore__'


def check_tolerance(tolerance: float) -> None:
    """Raises ValueError unless 0 <= tolerance <= MAX_TOLERANCE."""
    if not is_real(tolerance) or not 0 <= tolerance <= MAX_TOLERANCE:
        raise ValueError(
            'the tolerance of polygons is {}; it has to be from 0 (exact) to {:g} pixels. 1 leaves far fewer '
            'points.'.format(tolerance, MAX_TOLERANCE)
        )


def polygon_path(out_dir: str, stem: str, kind: str) -> str:
    """Says where the polygons of an image go. kind: of FORMATS."""
    return os.path.join(out_dir, COCO_FILE if kind == 'coco' else stem + _SUFFIXES[kind])


def check_no_polygons(out_dir: str, stems: Iterable[str], kind: str) -> None:
    """Raises ValueError where there is a file of polygons that somebody may have drawn or corrected: any but those of
    single images that are as they were predicted.
    """
    for path in (polygon_path(out_dir, stem, kind) for stem in stems):
        if os.path.lexists(path) and not is_sealed(path):
            raise ValueError(
                '{} is there already, and may hold polygons that were drawn or corrected by hand. Give another folder '
                'to --out, or move the file away.'.format(path)
            )


@contextlib.contextmanager
def new_polygon_file(path: str) -> Iterator[str]:
    """Yields a temporary path for the polygons of one image, and moves the file written there into place, sealed.

    A file that somebody has drawn or corrected meanwhile stays, with a warning.
    """
    try:
        with atomic_new_path(path, is_sealed) as temporary:
            yield temporary
            seal(temporary)
    except PathTakenError:
        warn_user('{} was drawn or corrected while images were predicted, and stays as it is.'.format(path))


class PolygonFiles:
    """Writes the polygons of predictions into a folder: one file for each image, or for COCO one file for all.

    kind: of FORMATS. tolerance: by how many pixels outlines may differ from the prediction, to save points.
    """

    def __init__(self, out_dir: str, label_space: LabelSpace, kind: str, tolerance: float = 0.0) -> None:
        check_choice('kind', kind, FORMATS)
        check_tolerance(tolerance)
        self._out_dir = out_dir
        self._space = label_space
        self._kind = kind
        self._tolerance = tolerance
        # The class of what belongs to no other: tools show it as area without polygons.
        self._background = 0 if label_space.class_names[0].lower() == 'background' else None
        self._images: List[Dict[str, Any]] = []
        self._annotations = Spool()
        self._is_written = False

    def path(self, stem: str) -> str:
        """Says where the polygons of an image go."""
        return polygon_path(self._out_dir, stem, self._kind)

    def write(self, stem: str, image_path: str, class_ids: np.ndarray) -> None:
        """Writes the polygons of one prediction, uint8 [H, W]; for COCO, `close` writes them."""
        path = self.path(stem)
        if self._kind == 'labelme':
            self._write_image(path, self._labelme(path, image_path, class_ids))
        elif self._kind == 'geojson':
            self._write_image(path, self._geojson(image_path, class_ids))
        else:
            self._add_to_coco(stem + os.path.splitext(image_path)[1], class_ids)

    @staticmethod
    def _write_image(path: str, content: Dict[str, Any]) -> None:
        with new_polygon_file(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
            file.write(json_text(content))

    def described(self) -> Iterator[Described]:
        """Yields what `close` would write about each image so far, as numbers, strings, lists and dicts."""
        for number, image in enumerate(self._images):
            yield image, json.loads(self._annotations[number].decode('ascii'))

    def handed_over(self) -> List[Described]:
        """Returns what `close` would write about each image so far, and forgets it."""
        described = list(self.described())
        self._images, self._annotations = [], Spool()
        return described

    def take_over(self, described: Iterable[Described]) -> None:
        """Adds images that another process has `handed_over`."""
        for image, annotations in described:
            self._annotations.append(json.dumps(annotations).encode('ascii'))
            self._images.append(image)  # an image counts once its annotations are whole

    def close(self) -> None:
        """Writes the one file for all images, numbered in the order in which they came, if the kind has one.

        If such a file has come meanwhile, it stays, and a warning says where this one is.
        """
        if self._kind != 'coco':
            return
        path = self.path('')
        try:
            with atomic_new_path(path) as temporary:
                self._write_coco(temporary)
        except PathTakenError:
            other = write_unfinished(path, self._write_coco)
            warn_user('{} was made while images were predicted, and stays; theirs are in {}.'.format(path, other))
        self._is_written = True

    def write_part(self) -> Optional[str]:
        """Writes what `close` would write so far to a file that replaces none, and returns its path.

        None if the kind has no such file, there is no image, or all of them are written.
        """
        if self._is_written or not self._images:
            return None
        return write_unfinished(self.path(''), self._write_coco)

    def _write_coco(self, path: str) -> None:
        names = enumerate(self._space.class_names)
        images = [dict({'id': number}, **image) for number, image in enumerate(self._images, 1)]
        categories = [{'id': number + 1, 'name': name} for number, name in names if number != self._background]
        with open(path, 'w', encoding='utf-8') as file:
            file.write('{{"images": {},\n"annotations": ['.format(json.dumps(images)))
            write_json_entries(file, self._numbered())
            file.write('],\n"categories": {}}}\n'.format(json.dumps(categories)))

    def _numbered(self) -> Iterator[Dict[str, Any]]:
        count = 0
        for image_id, (_, annotations) in enumerate(self.described(), 1):
            for annotation in annotations:
                count += 1
                yield dict({'id': count, 'image_id': image_id}, **annotation)

    def _geojson(self, image_path: str, class_ids: np.ndarray) -> Dict[str, Any]:
        raster = raster_of(image_path)
        if raster is None or raster.place is None:
            return geojson(class_ids, self._space, tolerance=self._tolerance)
        crs, transform = raster.place
        return dict(geojson(class_ids, self._space, transform, self._tolerance), crs=geojson_crs(crs))

    def _labelme(self, path: str, image_path: str, class_ids: np.ndarray) -> Dict[str, Any]:
        # labelme has no holes: what lies in a hole comes after what surrounds it, and is drawn over it.
        shapes = [
            {
                'label': self._label(region.class_id),
                'points': simplified(pixel_outline(region.window), self._tolerance).astype(float).tolist(),
                'group_id': None,
                'shape_type': 'polygon',
                'flags': {},
            }
            for region in _needed(class_ids, self._background)
        ]
        relative = os.path.relpath(os.path.abspath(image_path), os.path.dirname(os.path.abspath(path)))
        return {
            'version': _LABELME_VERSION,
            'flags': {},
            'shapes': shapes,
            'imagePath': relative.replace(os.sep, '/'),
            'imageData': None,
            'imageHeight': class_ids.shape[0],
            'imageWidth': class_ids.shape[1],
        }

    def _label(self, class_id: int) -> str:
        is_class = class_id < self._space.num_classes
        return self._space.class_names[class_id] if is_class else _LABELME_IGNORED

    def _add_to_coco(self, file_name: str, class_ids: np.ndarray) -> None:
        height, width = class_ids.shape
        annotations = []
        for region in regions(class_ids):
            if region.class_id == self._background or region.class_id >= self._space.num_classes:
                continue
            window = region.window
            annotations.append(
                {
                    'category_id': region.class_id + 1,
                    'segmentation': self._segmentation(window, (height, width)),
                    'area': region.area,
                    'bbox': [window.left, window.top, window.mask.shape[1], window.mask.shape[0]],
                    'iscrowd': 0,
                }
            )
        image = {'file_name': file_name.replace(os.sep, '/'), 'height': height, 'width': width}
        self.take_over([(image, annotations)])

    def _segmentation(self, window: Window, size: Sequence[int]) -> Any:
        """A polygon, or run lengths if there are holes, which COCO's polygons cannot have."""
        rings = outlines(window)
        if len(rings) == 1:
            return [simplified(rings[0], self._tolerance).astype(float).ravel().tolist()]
        return {'size': list(size), 'counts': _runs(window, size)}


def _needed(class_ids: np.ndarray, background: Optional[int]) -> List[Region]:
    """The regions in drawing order, without background regions that cover nothing."""
    canvas = np.full(class_ids.shape, -1 if background is None else background)
    needed = []
    for region in regions(class_ids):
        top, left, mask = region.window
        part = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
        if region.class_id == background and (part[mask] == background).all():
            continue
        needed.append(region)
        filled = fill_pixels(pixel_outline(region.window), class_ids.shape)
        canvas[filled.top : filled.top + filled.mask.shape[0], filled.left : filled.left + filled.mask.shape[1]][
            filled.mask
        ] = region.class_id
    return needed


def _runs(window: Window, size: Sequence[int]) -> List[int]:
    """COCO's run lengths, of 0 and 1 in turn, 0 first, down the columns of the whole image."""
    image = np.zeros(tuple(size), np.int8)
    image[window.top : window.top + window.mask.shape[0], window.left : window.left + window.mask.shape[1]] = (
        window.mask
    )
    values = image.T.ravel()
    changes = np.flatnonzero(np.diff(values)) + 1
    lengths = np.diff(np.concatenate([[0], changes, [len(values)]])).tolist()
    return lengths if values[0] == 0 else [0] + lengths
