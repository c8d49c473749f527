"""YOLO segmentation: a text file for each image, a line for each object: class x1 y1 x2 y2 ..., as shares of the sides.

https://docs.ultralytics.com/datasets/segment/
"""

import os
import re
from typing import Any, Dict, List, Optional, Tuple

from data_generator.annotations.documents import read_text
from data_generator.annotations.folder import Folder
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import points_of, split_of
from data_generator.errors import DataError
from helpers.counted import counted

_LINE = re.compile(r'\s*\d+(\.0*)?([ \t]+[-+.\deE]+)+\s*$')
# What a list in brackets consists of (YAML 1.2, section 7.4): quoted names, plain ones, comments, and its end.
_TOKEN = re.compile(
    r"""'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<end>\])|\#[^\n]*"""
    r"""|(?P<plain>[^\s,\]#'"](?:(?!\s\#)[^,\]\n])*)"""
)


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
    named: Dict[str, List[str]] = {}
    records: List[Record] = []
    labelled = set()
    for path in documents:
        text = read_text(path)
        if _is_name_file(path, text):
            _refuse_keypoints(text, path)
            named[path] = names_of_list(text, path) if _is_list(path) else names_of_yaml(text, path)
        elif path.lower().endswith('.txt'):
            image, place = _image_of(folder, path)
            if image is not None:  # whatever the file holds: not to read it is not to say that nothing is there
                labelled.add(image)
                records.append(_record(path, image, place, left_out, folder))
            elif not text.strip() or is_yolo(path, text):
                left_out.add('label files without an image', path)
    names = _one_list(named, folder)
    in_images = bool(labelled) and all(_is_in_images(image, folder) for image in labelled)
    for image in folder.images:
        if in_images and not _is_in_images(image, folder):  # plots of a training, a picture for the README
            left_out.add("images outside of the folders 'images'", image)
        elif image not in labelled:
            records.append(_without_objects(image, folder))
    by_name = [record._replace(read=_naming(record.read, names, left_out)) for record in records]
    return Source('yolo', by_name, names, order='area')


def _refuse_keypoints(text: str, path: str) -> None:
    """Raises DataError for labels of poses, in which a box and points stand where outlines do in others."""
    if re.search(r'^kpt_shape\s*:', text, re.MULTILINE):
        raise DataError(
            "{} has 'kpt_shape': its labels are boxes and keypoints, which say no class of a pixel. Export the "
            'outlines of the objects.'.format(path)
        )


def belong_to_images(folder: Folder, documents: List[str]) -> bool:
    """Tells whether one of these files says an object of an image that is there; lists of classes alone do not."""
    for path in documents:
        if path.lower().endswith('.txt') and not _is_list(path) and _image_of(folder, path)[0] is not None:
            return True
    return False


def _is_in_images(image: str, folder: Folder) -> bool:
    return 'images' in folder.name_of(image).lower().split('/')[:-1]


def _one_list(named: Dict[str, List[str]], folder: Folder) -> List[str]:
    """The names of the classes, on which the files that name them have to agree."""
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
    """The image of a label file: beside it, or in 'images' where that is in 'labels'; and where it had to lie."""
    stem = os.path.splitext(os.path.relpath(path, folder.root))[0].replace(os.sep, '/')
    parts = stem.split('/')
    places = [index for index, part in enumerate(parts[:-1]) if part == 'labels']
    if places:
        parts[places[-1]] = 'images'
    image, place = folder.find_stem('/'.join(parts)), '/'.join(parts)
    if image is None:
        image, place = folder.find_stem(stem), stem
    return image, os.path.join(folder.root, place) + os.path.splitext(image or '')[1]


def _record(path: str, image: str, named: str, left_out: LeftOut, folder: Folder) -> Record:
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
        return AnnotatedImage(image, None, shapes, path, named=named)

    return Record(read, split_of(image, folder.root), path)


def _class_number(text: str) -> int:
    if not re.match(r'[0-9]+(\.0*)?$', text):
        raise ValueError('of class {!r:.40}, which is no number'.format(text))
    return int(text.partition('.')[0])


def _without_objects(image: str, folder: Folder) -> Record:
    return Record(lambda: AnnotatedImage(image, None, [], image), split_of(image, folder.root), image)


def _naming(read: Any, names: List[str], left_out: LeftOut) -> Any:
    """Class numbers as names. Points stay shares of the sides, which `data_generator.annotations.painting` scales."""

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
        return _checked_names(_names_in_brackets(text[match.start(1) :].partition('[')[2]), text, path)
    numbered: Dict[int, str] = {}
    for line in rest:
        entry = re.match(r'\s*(?:-|(\d+)\s*:)\s+(.*\S)\s*$', line.partition(' #')[0])
        if entry is not None:
            number, name = int(entry.group(1) or len(numbered)), _unquoted(entry.group(2))
            if numbered.setdefault(number, name) != name:
                raise DataError('{} names class {} twice. Take one of its lines out.'.format(path, number))
        elif line.strip() and not line.strip().startswith('#'):
            break
    if not numbered or sorted(numbered) != list(range(len(numbered))):
        raise DataError("{} has no 'names' that number the classes from 0 on. Write a line for each.".format(path))
    return _checked_names([numbered[number] for number in range(len(numbered))], text, path)


def names_of_list(text: str, path: str) -> List[str]:
    """Returns the class names of a classes.txt, one a line. Raises DataError where one is empty."""
    return _checked_names([line.strip() for line in text.strip().splitlines()], '', path)


def _names_in_brackets(text: str) -> List[str]:
    """The names up to the bracket that closes the list."""
    names = []
    for token in _TOKEN.finditer(text):
        if token.group('end'):
            break
        if token.group('single') is not None:
            names.append(token.group('single').replace("''", "'"))
        elif token.group('double') is not None:
            names.append(token.group('double').replace('\\"', '"'))
        elif token.group('plain') is not None:
            names.append(token.group('plain').strip())
    return names


def _checked_names(names: List[str], text: str, path: str) -> List[str]:
    """The names, none of which may be missing: the numbers of those behind it would be others."""
    if not all(names):
        raise DataError('{} has no name for class {}. Name all classes.'.format(path, names.index('')))
    number = re.search(r'^nc\s*:\s*(\d+)', text, re.MULTILINE)
    if number is not None and int(number.group(1)) != len(names):
        raise DataError(
            '{} says nc: {} and names {}. Name all.'.format(path, number.group(1), counted(len(names), 'class'))
        )
    return names


def _unquoted(text: str) -> str:
    return text.strip().strip('\'"')
