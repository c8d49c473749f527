"""Tables of Kaggle's competitions: a line for each mask, as starts and lengths of its runs.

Pixels are counted from 1 on, down the columns, as most of these competitions say
(https://www.kaggle.com/c/airbus-ship-detection/overview/evaluation). Tables whose column is called segmentation or
annotation count along the rows (https://www.kaggle.com/competitions/sartorius-cell-instance-segmentation/overview).
"""

import csv
import io
import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from data_generator.annotations.documents import read_text
from data_generator.annotations.folder import Folder
from data_generator.annotations.run_lengths import window_of_starts
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import split_in_name
from data_generator.errors import DataError
from helpers.images import IMAGE_EXTENSIONS

# What the columns are called, in small letters without underlines, and whether runs go along the rows.
_RUNS = {
    **dict.fromkeys(('encodedpixels', 'rle', 'rlemask', 'rlemasks', 'rleencoded', 'encoding'), False),
    **dict.fromkeys(('segmentation', 'annotation'), True),
}
_IMAGES = ('imageid', 'image', 'imagename', 'img', 'imgid', 'filename', 'file', 'name', 'id')
_CLASSES = ('classid', 'class', 'classname', 'label', 'category', 'categoryid', 'celltype')
# One column for both, such as 0002cc93b.jpg_1.
_BOTH = ('imageidclassid', 'imagelabel', 'imageclass', 'imageidlabel')
_IMAGE_AND_CLASS = re.compile(r'(.*\.(?:{}))_(.+)$'.format('|'.join(IMAGE_EXTENSIONS)), re.IGNORECASE)
_RUNS_PATTERN = re.compile(r'\d+ \d+(?: |$)')
_NO_RUNS = ('', '-1', 'nan', 'NaN')
# The class of what has no other name.
_ONLY_CLASS = 'foreground'
# Tables of answers, of which the published one is an example without sense.
_ANSWERS = 'submission'


class Row(NamedTuple):
    """A mask of one image; `runs` is empty where the image has none."""

    image: str
    label: str
    runs: str


def is_kaggle(path: str, text: str) -> bool:
    """Tells whether a table has a column of images and one of runs. text: of its beginning."""
    try:
        lines = csv.reader(io.StringIO(text))
        columns = _columns(next(lines, []))
        if columns is None:
            return False
        runs = (line[columns.runs].strip() for line in lines if len(line) > columns.runs)
        first = next((run for run in runs if run not in _NO_RUNS), None)
        return first is None or _RUNS_PATTERN.match(first) is not None
    except csv.Error:
        return False


def read_kaggle(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these tables name; an image whose runs are empty has no object."""
    records: List[Record] = []
    names: List[str] = []
    tables = [path for path in documents if _ANSWERS not in os.path.basename(path).lower()]
    for path in documents:
        if path not in tables:
            left_out.add('tables of answers, which are no labels', path)
    if not tables:
        raise DataError('{} is a table of answers. Give that of the training images.'.format(documents[0]))
    for path in tables:
        rows, along_rows = _read(path)
        by_image: Dict[str, List[Row]] = {}
        for row in rows:
            by_image.setdefault(row.image, []).append(row)
        names += [label for label in sorted({row.label for row in rows}) if label not in names]
        split = split_in_name(path) if len(tables) > 1 else None
        records += [_record(name, masks, along_rows, path, split, left_out) for name, masks in by_image.items()]
    return Source('kaggle', records, names)


def _record(
    name: str, rows: Sequence[Row], along_rows: bool, path: str, split: Optional[str], left_out: LeftOut
) -> Record:
    place = '{}, {}'.format(path, name)

    def read() -> AnnotatedImage:
        masks = [row for row in rows if row.runs]
        shapes = left_out.readable(masks, lambda row: [_shape(row, along_rows)], place, 'masks')
        return AnnotatedImage(name, None, shapes, place, beside=os.path.dirname(path))

    return Record(read, split, place)


def _shape(row: Row, along_rows: bool) -> Shape:
    if not _RUNS_PATTERN.match(row.runs):
        raise ValueError('no starts and lengths of runs')
    return Shape(row.label, draw=lambda size: window_of_starts(row.runs, size, along_rows))


class _Columns(NamedTuple):
    image: int
    runs: int
    label: Optional[int]
    along_rows: bool


def _columns(heads: Sequence[str]) -> Optional[_Columns]:
    words = [re.sub(r'[_\- ]', '', head).lower() for head in heads]
    runs = next((word for word in _RUNS if word in words), None)
    image = next((word for word in (*_BOTH, *_IMAGES) if word in words), None)
    if runs is None or image is None:
        return None
    label = None if image in _BOTH else next((words.index(word) for word in _CLASSES if word in words), None)
    return _Columns(words.index(image), words.index(runs), label, _RUNS[runs])


def _read(path: str) -> Tuple[List[Row], bool]:
    """The rows of a table, and whether runs go along the rows."""
    text = read_text(path)
    before = csv.field_size_limit(max(len(text), 1))  # the runs of a large mask are longer than Python takes
    try:
        lines = csv.reader(io.StringIO(text))
        columns = _columns(next(lines, []))
        if columns is None:
            raise DataError('{} has no column of images, or none of runs.'.format(path))
        return list(_rows(lines, columns, path)), columns.along_rows
    except csv.Error as error:
        raise DataError('{} is no table: {}. Export it again.'.format(path, error)) from error
    finally:
        csv.field_size_limit(before)


def _rows(lines: Iterator[List[str]], columns: _Columns, path: str) -> Iterator[Row]:
    for line in lines:
        if not any(line):
            continue
        if len(line) <= max(columns.image, columns.runs, columns.label or 0) or not line[columns.image].strip():
            raise DataError('{} has a line without an image or its runs: {!r:.80}.'.format(path, ','.join(line)))
        image, label = line[columns.image].strip(), _ONLY_CLASS
        match = _IMAGE_AND_CLASS.match(image)
        if columns.label is not None:
            label = line[columns.label].strip() or _ONLY_CLASS
        elif match is not None:
            image, label = match.groups()
        runs = line[columns.runs].strip()
        yield Row(image, label, '' if runs in _NO_RUNS else runs)
