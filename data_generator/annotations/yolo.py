"""YOLO segmentation: a text file for each image, a line for each object: class x1 y1 x2 y2 ..., as shares of the sides.

https://docs.ultralytics.com/datasets/segment/
"""

import os
import re
from typing import Any, Dict, List, Optional

from data_generator.annotations.documents import read_text
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import points_of, split_of
from data_generator.errors import DataError

_LINE = re.compile(r'\d+( +[-+.\deE]+)+\s*$')
_NAME_FILES = ('data.yaml', 'data.yml', 'dataset.yaml', 'dataset.yml', 'classes.txt')


def is_yolo(path: str, text: str) -> bool:
    """Tells whether the first line of a text file is an object, or it is one of the files that name the classes."""
    first = next((line for line in text.splitlines() if line.strip()), '')
    return _is_name_file(path, text) or (path.lower().endswith('.txt') and _LINE.match(first) is not None)


def _is_name_file(path: str, text: str) -> bool:
    is_yaml = path.lower().endswith(('.yaml', '.yml'))
    return re.search(r'^names\s*:', text, re.MULTILINE) is not None if is_yaml else _is_list(path)


def _is_list(path: str) -> bool:
    return os.path.basename(path).lower() == 'classes.txt'


def read_yolo(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images beside these label files; images without a label file have no object, as YOLO takes it."""
    names: Optional[List[str]] = None
    records: List[Record] = []
    labelled = set()
    for path in documents:
        text = read_text(path)
        if _is_name_file(path, text):
            names = names or (text.split('\n') if _is_list(path) else names_of_yaml(text, path))
            continue
        if path.lower().endswith('.txt') and (not text.strip() or is_yolo(path, text)):
            image = _image_of(folder, path)
            if image is None:
                left_out.add('label files without an image', path)
            else:
                labelled.add(image)
                records.append(_record(path, image, names, left_out, folder))
    if names is None:
        raise DataError(
            'No data.yaml or classes.txt in {} names the classes. Add the data.yaml that belongs to these files, or a '
            'classes.txt with a name a line.'.format(folder.root)
        )
    names = [name.strip() for name in names if name.strip()]
    for image in folder.images:
        if image not in labelled:
            records.append(_without_objects(image, folder))
    named = [record._replace(read=_naming(record.read, names, left_out)) for record in records]
    return Source('yolo', named, names, order='area')


def _image_of(folder: Folder, path: str) -> Optional[str]:
    """The image of a label file: beside it, or in 'images' where that is in 'labels'."""
    stem = os.path.splitext(os.path.relpath(path, folder.root))[0].replace(os.sep, '/')
    parts = stem.split('/')
    places = [index for index, part in enumerate(parts[:-1]) if part == 'labels']
    if places:
        parts[places[-1]] = 'images'
    return folder.find_stem('/'.join(parts)) or folder.find_stem(stem)


def _record(path: str, image: str, names: Any, left_out: LeftOut, folder: Folder) -> Record:
    def read() -> AnnotatedImage:
        shapes = []
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            place = '{}, line {}'.format(path, number)
            class_number, *values = line.split()
            try:
                points = points_of(values)
                if len(points) < 3 or not class_number.isdigit():
                    raise ValueError('only a box' if len(points) == 2 else 'no polygon')
                shapes.append(Shape(int(class_number), [points]))
            except ValueError as error:
                left_out.add('objects that are no area ({})'.format(error), place)
        return AnnotatedImage(image, None, shapes, path)

    return Record(read, split_of(image, folder.root), path)


def _without_objects(image: str, folder: Folder) -> Record:
    return Record(lambda: AnnotatedImage(image, None, [], image), split_of(image, folder.root), image)


def _naming(read: Any, names: List[str], left_out: LeftOut) -> Any:
    """Class numbers as names. Points stay shares of the sides: see `data_generator.annotations.dataset`."""

    def read_named() -> AnnotatedImage:
        image = read()
        known = [shape for shape in image.shapes if shape.label < len(names)]
        if len(known) < len(image.shapes):
            left_out.add('objects of classes that have no name', image.place)
        shapes = [shape._replace(label=names[shape.label], is_share=True) for shape in known]
        return image._replace(shapes=shapes)

    return read_named


def names_of_yaml(text: str, path: str) -> List[str]:
    """Returns the class names of a data.yaml, which come as a list in brackets, a list of lines or numbered lines.

    Raises:
        DataError: They come in no such form.
    """
    match = re.search(r'^names\s*:[ \t]*(.*)$', text, re.MULTILINE)
    assert match is not None
    first, rest = match.group(1).partition(' #')[0].strip(), text[match.end() :].split('\n')[1:]
    if first.startswith('['):
        inside = text[match.start(1) :].partition('[')[2].partition(']')[0]
        return [_unquoted(part) for part in inside.split(',') if part.strip()]
    numbered: Dict[int, str] = {}
    for line in rest:
        entry = re.match(r'\s*(?:-|(\d+)\s*:)\s+(.*\S)\s*$', line.partition(' #')[0])
        if entry is not None:
            numbered[int(entry.group(1) or len(numbered))] = _unquoted(entry.group(2))
        elif line.strip() and not line.strip().startswith('#'):
            break
    if not numbered or sorted(numbered) != list(range(len(numbered))):
        raise DataError("{} has no 'names' that number the classes from 0 on. Write a line for each.".format(path))
    return [numbered[number] for number in range(len(numbered))]


def _unquoted(text: str) -> str:
    return text.strip().strip('\'"')
