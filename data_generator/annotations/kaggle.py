"""Tables of Kaggle's competitions: a line for each mask, with the starts and lengths of its runs.

Pixels are counted from 1, in most competitions down the columns
(https://www.kaggle.com/c/airbus-ship-detection/overview/evaluation), in some along the rows
(https://www.kaggle.com/competitions/sartorius-cell-instance-segmentation/overview). The masks themselves tell which:
runs that follow one another lie side by side.
"""

import contextlib
import csv
import io
import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from data_generator.annotations.documents import read_text
from data_generator.annotations.folder import Folder
from data_generator.annotations.photographs import frame_of
from data_generator.annotations.run_lengths import goes_along_rows, window_of_starts
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Shape, Source
from data_generator.annotations.values import split_in_name, split_of
from data_generator.errors import DataError
from helpers.image_search import IMAGE_EXTENSIONS, natural_sort_key

# Names of the columns, in lower case without underscores; and whether runs go along the rows if masks do not tell, as
# in square images.
_RUNS = {
    **dict.fromkeys(('encodedpixels', 'rle', 'rlemask', 'rlemasks', 'rleencoded', 'encoding'), False),
    **dict.fromkeys(('segmentation', 'annotation'), True),
}
# Spreadsheets write semicolons where the comma separates decimals.
_SEPARATORS = (',', ';', '\t')
# How many masks are tested for the direction of runs.
_NUM_ASKED = 50
_IMAGES = ('imageid', 'image', 'imagename', 'img', 'imgid', 'filename', 'file', 'name', 'id')
_CLASSES = ('classid', 'class', 'classname', 'label', 'category', 'categoryid', 'celltype')
# Names of a single column for image and class, such as 0002cc93b.jpg_1.
_BOTH = ('imageidclassid', 'imagelabel', 'imageclass', 'imageidlabel')
_IMAGE_AND_CLASS = re.compile(r'(.*\.(?:{}))_(.+)$'.format('|'.join(IMAGE_EXTENSIONS)), re.IGNORECASE | re.DOTALL)
_RUNS_PATTERN = re.compile(r'\d+ \d+(?: |$)')
_NO_RUNS = ('', '-1', 'nan', 'NaN')
# The class of masks without a class name.
_ONLY_CLASS = 'foreground'
# Part of the names of tables for submitting results, which hold no labels.
_ANSWERS = 'submission'


class Row(NamedTuple):
    """A mask of one image; `runs` is empty if the image has none, and `label` if the table then names no class."""

    image: str
    label: str
    runs: str
    along_rows: bool = False


def is_kaggle(path: str, text: str) -> bool:
    """Tells whether a table has columns of images and of runs, and holds no results to submit. text: its beginning."""
    if _ANSWERS in os.path.basename(path).lower():
        return False
    try:
        columns, lines = _table(text)
        if columns is None:
            return False
        runs = (line[columns.runs].strip() for line in lines if len(line) > columns.runs)
        first = next((run for run in runs if run not in _NO_RUNS), None)
        return first is not None and _RUNS_PATTERN.match(first) is not None
    except csv.Error:
        return False


def read_kaggle(folder: Folder, documents: List[str], left_out: LeftOut) -> Source:
    """Reads the images that these tables name; an image whose runs are empty has no object."""
    # By the table's folder, the split and the name: a name in a table of another folder means another image.
    found: Dict[Tuple[str, Optional[str], str], Tuple[str, List[Row]]] = {}
    labels = set()
    splits = {path: split_of(path, folder.root) or split_in_name(path) for path in documents}
    are_several = len(set(splits.values()) - {None}) > 1  # train.csv alone says nothing
    for path in documents:
        rows, along_rows = _read(path)
        along_rows = _told_by_masks(rows, folder, os.path.dirname(path), along_rows)
        for row in rows:
            key = os.path.dirname(path), splits[path] if are_several else None, row.image
            found.setdefault(key, (path, []))[1].append(row._replace(along_rows=along_rows))
            labels.add(row.label)
    records = [_record(image, rows, path, split, left_out) for (_, split, image), (path, rows) in found.items()]
    return Source('kaggle', records, sorted(labels - {''}, key=natural_sort_key))


def _told_by_masks(rows: Sequence[Row], folder: Folder, beside: str, default: bool) -> bool:
    """Whether runs go along the rows of the images, by the majority of some masks."""
    votes = 0.0
    for row in [row for row in rows if row.runs][:_NUM_ASKED]:
        image = folder.find_image(row.image, beside) or folder.find_stem(row.image, beside=beside)
        if image is not None:
            with contextlib.suppress(ValueError, OSError):
                votes += goes_along_rows(row.runs, frame_of(image, None).upright)
    return votes > 0 if votes else default


def _record(name: str, rows: Sequence[Row], path: str, split: Optional[str], left_out: LeftOut) -> Record:
    place = '{}, {}'.format(path, name)

    def read() -> AnnotatedImage:
        shapes = left_out.readable([row for row in rows if row.runs], lambda row: [_shape(row)], place, 'masks')
        return AnnotatedImage(name, None, shapes, place, beside=os.path.dirname(path))

    return Record(read, split, place)


def _shape(row: Row) -> Shape:
    if not _RUNS_PATTERN.match(row.runs):
        raise ValueError('no starts and lengths of runs')
    return Shape(row.label, draw=lambda size: window_of_starts(row.runs, size, row.along_rows))


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


def _table(text: str) -> Tuple[Optional[_Columns], Iterator[List[str]]]:
    """The columns of a table (None if some are missing), and its lines after the header."""
    for separator in _SEPARATORS:
        lines = csv.reader(io.StringIO(text), delimiter=separator)
        columns = _columns(next(lines, []))
        if columns is not None:
            break
    return columns, lines


def _read(path: str) -> Tuple[List[Row], bool]:
    """The rows of a table, and whether runs go along the rows of the image."""
    text = read_text(path)
    before = csv.field_size_limit(max(len(text), 1))  # the runs of a large mask exceed Python's default limit
    try:
        columns, lines = _table(text)
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
        image, label = line[columns.image].strip(), ''
        runs = line[columns.runs].strip()
        runs = '' if runs in _NO_RUNS else runs
        match = _IMAGE_AND_CLASS.match(image)
        if columns.label is not None:
            label = line[columns.label].strip()
        elif match is not None:
            image, label = match.groups()
        yield Row(image, label or (_ONLY_CLASS if runs else ''), runs)
