"""YOLO segmentation: a text file per image and a line per object: class x1 y1 x2 y2 ..., as shares of width and height.

https://docs.ultralytics.com/datasets/segment/
"""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from data_generator.annotations.data_yaml import is_list, names_classes, names_in
from data_generator.annotations.documents import read_text
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import points_of, split_of
from data_generator.annotations.yolo_splits import splits_in
from data_generator.errors import DataError
from data_generator.files.discovery import stem_of
from helpers.image_search import folded

_LINE = re.compile(r'\s*\d+(\.0*)?([ \t]+[-+.\deE]+)+\s*$')


def is_yolo(path: str, text: str) -> bool:
    """Tells whether the first line of a text file is an object, or the file names the classes."""
    first = next((line for line in text.splitlines() if line.strip()), '')
    return names_classes(path, text) or (path.lower().endswith('.txt') and _LINE.match(first) is not None)


class _Label(NamedTuple):
    """A label file, its image, and the expected place of the image."""

    path: str
    image: str
    place: str


def read_yolo(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images of these label files. As in YOLO, images without a label file have no objects, unless some label
    file of unknown image may be theirs, or no image of their split has one.
    """
    named: Dict[str, List[str]] = {}
    splits: Dict[str, str] = {}
    labels: List[_Label] = []
    astray: Set[str] = set()
    for path in documents:
        text = read_text(path)
        if names_classes(path, text):
            named[path] = names_in(path, text)
            splits = dict(splits_in(path, text, folder, left_out), **splits)
        elif path.lower().endswith('.txt'):
            image, place = _image_of(folder, path)
            if image is not None:  # whatever the file holds: an unreadable file does not mean that there are no objects
                labels.append(_Label(path, image, place))
            else:
                astray.add(folded(stem_of(path)))
                if not text.strip() or is_yolo(path, text):
                    left_out.add('label files without an image', path)
    names = _one_list(named, folder)
    own = _splits_of_images(splits, folder, left_out)
    records = [_record(label, own[label.image], left_out) for label in labels if label.image in own]
    for image in _without_labels(own, {label.image for label in labels}, astray, folder, left_out):
        records.append(_without_objects(image, own[image]))
    by_name = [record._replace(read=_naming(record.read, names, left_out)) for record in records]
    return Source('yolo', by_name, names, order='area')


def _splits_of_images(named: Dict[str, str], folder: Folder, left_out: LeftOut) -> Dict[str, Optional[str]]:
    """The split of each image, by data.yaml or by its folders; without images that a data.yaml does not use.

    Where data.yaml names images for 'train' and 'val', folders only say 'test', and only if it names none for that.
    """
    splits = set(named.values())
    are_both_named = {'train', 'val'} <= splits
    found: Dict[str, Optional[str]] = {}
    for image in folder.images:
        split = named.get(image) or folder.split_of(image)
        if are_both_named and image not in named and (split != 'test' or 'test' in splits):
            split = None
        if split is None and are_both_named:
            left_out.add('images that are in no split of data.yaml', image)
        else:
            found[image] = split
    return found


def _without_labels(
    splits: Dict[str, Optional[str]], labelled: Set[str], astray: Set[str], folder: Folder, left_out: LeftOut
) -> List[str]:
    """The images for which a missing label file means that there are no objects.

    astray: the names of files that are or may be label files, and whose images are not known.
    """
    with_labels = {splits[image] for image in labelled if image in splits}
    in_images = bool(labelled) and all(_is_in_images(image, folder) for image in labelled)
    found = []
    for image in splits:
        if in_images and not _is_in_images(image, folder):  # plots of a training, a picture for the README
            left_out.add("images outside of the folders 'images'", image)
        elif image in labelled:
            continue
        elif folded(stem_of(image)) in astray:
            left_out.add('images of which a label file may be one of those without an image', image)
        elif splits[image] not in with_labels:
            left_out.add('images of {}, of which none has a label file'.format(splits[image] or 'no split'), image)
        else:
            found.append(image)
    return found


def belong_to_images(folder: Folder, documents: List[str]) -> bool:
    """Tells whether one of these files describes an object in an existing image; lists of classes alone do not."""
    for path in documents:
        if path.lower().endswith('.txt') and not is_list(path) and _image_of(folder, path)[0] is not None:
            return True
    return False


def _is_in_images(image: str, folder: Folder) -> bool:
    return 'images' in folder.name_of(image).lower().split('/')[:-1]


def _one_list(named: Dict[str, List[str]], folder: Folder) -> List[str]:
    """The names of the classes. All files that name them have to agree."""
    if not named:
        raise DataError(
            'No data.yaml or classes.txt in {} names the classes. Add the data.yaml that belongs to these files, or a '
            'classes.txt with a name a line.'.format(folder.root)
        )
    (first, names), *others = named.items()
    for path, other in others:
        if other != names:
            raise DataError(
                '{} and {} name the classes differently, and which of them the numbers mean is not known. Take one '
                'out.'.format(first, path)
            )
    return names


def _image_of(folder: Folder, path: str) -> Tuple[Optional[str], str]:
    """The image of a label file, and its expected place. The image must not be in another split. It lies in 'images' if
    the label is in 'labels', or beside the label; or it is the only one of its name among all images, in the split, or
    below a common folder.
    """
    stem = os.path.splitext(os.path.relpath(path, folder.root))[0].replace(os.sep, '/')
    parts, split = stem.split('/'), split_of(path, folder.root)
    places = [index for index, part in enumerate(parts[:-1]) if part == 'labels']
    if places:
        parts[places[-1]] = 'images'
    place = '/'.join(parts)
    image = folder.find_stem(place, split)
    if image is None:
        image, place = folder.find_stem(stem, split), stem
    for count in range(len(parts) - 2, 0, -1):
        image = image or folder.find_stem(parts[-1], split, os.path.join(folder.root, *parts[:count]))
    if image is not None and split is not None and folder.split_of(image) not in (None, split):
        image = None
    return image, os.path.join(folder.root, place) + os.path.splitext(image or '')[1]


def _record(label: _Label, split: Optional[str], left_out: LeftOut) -> Record:
    path = label.path

    def read() -> AnnotatedImage:
        text = read_text(path)
        if text.strip() and not is_yolo(path, text):
            raise DataError('its label file does not begin with an object, CLASS X1 Y1 X2 Y2 X3 Y3 ...')
        shapes = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            place = '{}, line {}'.format(path, number)
            class_number, *values = line.split()
            try:
                points = points_of(values)
                if len(points) < 3:
                    raise ValueError('only a box' if len(points) == 2 else 'no polygon')
                shapes.append(Shape(_class_number(class_number), [points]))
            except ValueError as error:
                left_out.add('objects that are no area ({})'.format(error), place)
        return AnnotatedImage(label.image, None, shapes, path, named=label.place)

    return Record(read, split, path)


def _class_number(text: str) -> int:
    if not re.match(r'[0-9]+(\.0*)?$', text):
        raise ValueError('of class {!r:.40}, which is no number'.format(text))
    return int(text.partition('.')[0])


def _without_objects(image: str, split: Optional[str]) -> Record:
    return Record(lambda: AnnotatedImage(image, None, [], image), split, image)


def _naming(read: Any, names: List[str], left_out: LeftOut) -> Any:
    """Replaces class numbers by names. Points stay shares of the sides; `data_generator.annotations.painting` scales
    them.
    """

    def read_named() -> AnnotatedImage:
        image = read()
        known = [shape for shape in image.shapes if shape.label < len(names)]
        if len(known) < len(image.shapes):
            left_out.add('objects of classes that have no name', image.place)
        shapes = [shape._replace(label=names[shape.label], is_share=True) for shape in known]
        return image._replace(shapes=shapes)

    return read_named
