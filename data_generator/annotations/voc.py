"""PASCAL VOC: XML for each image in Annotations, masks in SegmentationClass in the colours of the classes.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/. Other tools write the same with their own colours, which labelmap.txt
lists (CVAT, Datumaro), or with polygons in the XML (Roboflow). MIT's LabelMe also writes an XML with polygons for each
image (http://labelme.csail.mit.edu, "LabelMe" in CVAT).
"""

import os
import posixpath
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from data_generator.annotations.documents import Element, read_text, read_xml
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import VOID, AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import color_of, points_of, split_of, whole_size
from data_generator.errors import DataError
from data_generator.files.discovery import stem_of
from data_generator.files.splits import SPLIT_NAMES
from helpers.aliases import Color
from helpers.color_codes import color_code, color_codes, color_of_code
from helpers.image_search import folded
from helpers.images import read_color_labels
from helpers.label_spaces import VOC
from helpers.polygons import Window

_MASK_FOLDER = 'SegmentationClass'
_COLOR_FILE = 'labelmap.txt'
# Folder with Annotations, SegmentationClass and ImageSets -> folded name without extension -> its mask or split.
_ByDataset = Dict[str, Dict[str, str]]
_NOTHING = -1  # in place of a colour for transparent pixels of a mask


def is_voc(root: Element) -> bool:
    """Tells whether an XML document is the annotation of one image in the form of Pascal VOC."""
    return root.tag == 'annotation' and root.find('filename') is not None


def read_voc(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these documents describe."""
    colors = _colors(folder)
    masks: _ByDataset = {}
    for path in folder.images:
        if os.path.basename(os.path.dirname(path)) == _MASK_FOLDER:
            masks.setdefault(_above(path, 2), {})[folded(stem_of(path))] = path
    splits = _splits(folder)
    records = [_record(path, folder, colors, masks, splits, left_out) for path in documents]
    return Source('voc', records, list(colors) if masks else None, colors, rest='background')


def _above(path: str, levels: int) -> str:
    path = os.path.abspath(path)
    for _ in range(levels):
        path = os.path.dirname(path)
    return path


def _of_document(path: str, found: _ByDataset) -> Optional[str]:
    """The mask or split with a document's name in its dataset; if that has none at all, the only one anywhere."""
    dataset, name = _above(path, 2), folded(stem_of(path))
    datasets = [found[dataset]] if dataset in found else found.values()
    values = {names[name] for names in datasets if name in names}
    return values.pop() if len(values) == 1 else None


def _colors(folder: Folder) -> Dict[str, Color]:
    """The colours of the classes: those of labelmap.txt, or of PASCAL VOC."""
    lists = [path for path in folder.documents if os.path.basename(path) == _COLOR_FILE]
    if not lists:
        return dict(zip(VOC.class_names, VOC.colors))
    colors = _listed_colors(lists[0])
    for path in lists[1:]:
        if _listed_colors(path) != colors:
            raise DataError(
                '{} and {} give the classes other colours. Import one dataset at a time.'.format(lists[0], path)
            )
    return colors


def _listed_colors(path: str) -> Dict[str, Color]:
    """The lines 'name:r,g,b:parts:actions' of labelmap.txt."""
    colors: Dict[str, Color] = {}
    for line in read_text(path).splitlines():
        name, _, rest = line.strip().partition(':')
        color = color_of(rest.partition(':')[0])
        if not name or name.startswith('#') or color is None:
            continue
        if color in colors.values() and colors.get(name) != color:
            raise DataError('{} has the colour {} twice. Give each class a colour of its own.'.format(path, color))
        colors[name] = color
    if not colors:
        raise DataError('{} has no line of the form name:r,g,b::. Write one for each class.'.format(path))
    return colors


def _splits(folder: Folder) -> _ByDataset:
    """The split of each name in ImageSets/Segmentation/train.txt and val.txt, or in lists with tools' other names."""
    found: _ByDataset = {}
    for path in folder.documents:
        split = SPLIT_NAMES.get(stem_of(path).lower())
        if os.path.basename(os.path.dirname(path)) == 'Segmentation' and split is not None:
            names = (line.strip() for line in read_text(path).splitlines())
            found.setdefault(_above(path, 3), {}).update({folded(name): split for name in names if name})
    return found


def _record(
    path: str,
    folder: Folder,
    colors: Dict[str, Color],
    masks: _ByDataset,
    splits: _ByDataset,
    left_out: LeftOut,
) -> Record:
    def read() -> AnnotatedImage:
        root = read_xml(path)
        named = _text(root, 'filename') or stem_of(path) + '.jpg'
        size = whole_size(root.findtext('size/height'), root.findtext('size/width'))
        is_labelme = root.find('imagesize') is not None
        if is_labelme:  # names recur in its folders
            named = posixpath.join(_text(root, 'folder'), named)
            size = whole_size(root.findtext('imagesize/nrows'), root.findtext('imagesize/ncols'))
        mask = _of_document(path, masks)
        if mask is None:
            if not is_labelme and root.find('object') is None:  # CVAT writes such a file for each image of a task
                raise DataError('its XML has no object, and it may not be annotated yet')
            shapes = _polygons(root, path, left_out)
        else:
            codes = _codes(mask)
            size, shapes = codes.shape, _shapes_of_mask(mask, codes, colors)
        return AnnotatedImage(named, size, shapes, path, beside=os.path.join(os.path.dirname(path), '../JPEGImages'))

    return Record(read, _of_document(path, splits) or split_of(path, folder.root), path)


def _text(element: Element, name: str) -> str:
    return (element.findtext(name) or '').strip()


def _polygons(root: Element, path: str, left_out: LeftOut) -> List[Shape]:
    shapes = []
    for one in root.findall('object'):
        if _text(one, 'deleted') == '1':  # LabelMe keeps deleted objects
            continue
        points = _points(one.find('polygon'))
        if points is None or _is_box(one):
            left_out.add('objects that are no area ({})'.format(_why_no_area(one)), path)
        else:
            shapes.append(Shape(_text(one, 'name'), [points]))
    return shapes


def _is_box(one: Element) -> bool:
    """Whether the polygon of an object is a box that LabelMe drew as one."""
    return _text(one, 'type') == 'bounding_box'


def _why_no_area(one: Element) -> str:
    if one.find('segm') is not None:
        return 'a mask of LabelMe, which is not read; CVAT for images has it'
    if _is_box(one):
        return 'only a box'
    if one.find('polygon') is None:
        return 'only a box: there is no mask in {}'.format(_MASK_FOLDER)
    return 'a polygon without x1, y1, x2, y2, x3, y3, ...'


def _points(polygon: Optional[Element]) -> Optional[np.ndarray]:
    if polygon is None:
        return None
    try:
        points = points_of(_corners(polygon))
    except (KeyError, ValueError):
        return None
    return points if len(points) >= 3 else None


def _corners(polygon: Element) -> List[Tuple[Any, ...]]:
    """Pairs of x and y as text, from the elements x1, y1, x2, ..., or from LabelMe's elements pt."""
    corners = polygon.findall('pt')
    if corners:
        return [(_text(corner, 'x'), _text(corner, 'y')) for corner in corners]
    values = {element.tag: element.text for element in polygon}
    count = sum(tag.startswith('x') for tag in values)
    return [(values['x{}'.format(n)], values['y{}'.format(n)]) for n in range(1, count + 1)]


def _codes(path: str) -> np.ndarray:
    """The colour code of each pixel of a mask, int32 [H, W]; -1 for transparent pixels."""
    colors = read_color_labels(path, keep_alpha=True)
    codes = color_codes(colors)
    if colors.shape[2] == 4:
        codes[colors[..., 3] == 0] = _NOTHING
    return codes


def _shapes_of_mask(path: str, codes: np.ndarray, colors: Dict[str, Color]) -> List[Shape]:
    """A shape for each colour of a mask, none for transparent pixels; the borders of objects in VOC are void."""
    classes: Dict[int, object] = {color_code(color): name for name, color in colors.items()}
    for color in VOC.ignore_colors:
        classes.setdefault(color_code(color), VOID)
    shapes = []
    for code in np.unique(codes[codes != _NOTHING]).tolist():
        if code not in classes:
            raise DataError(
                '{} has the colour {}, which is none of the classes. List all in {}, a line name:r,g,b:: each.'.format(
                    path, color_of_code(code), _COLOR_FILE
                )
            )
        shapes.append(Shape(classes[code], draw=_drawing(codes, code)))
    return shapes


def _drawing(codes: np.ndarray, code: int) -> Callable[[Any], Window]:
    return lambda _: Window(0, 0, codes == code)
