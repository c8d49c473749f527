"""data.yaml and classes.txt of YOLO: what the numbers of the classes mean.

https://docs.ultralytics.com/datasets/segment/#dataset-yaml-format
"""

import contextlib
import functools
import os
import re
from typing import Dict, List, Optional

from data_generator.annotations.values import whole_number_of
from data_generator.annotations.yaml_text import Value, entries_of
from data_generator.errors import DataError
from helpers.counted import counted

_NAMES = 'names'
_LOOKS_LIKE_NAMES = re.compile(r'(?:^|[{,])[^\S\n]*["\']?names["\']?\s*:', re.MULTILINE)


def names_classes(path: str, text: str) -> bool:
    """Tells whether a file names the classes, or should do so but is no valid YAML."""
    if not path.lower().endswith(('.yaml', '.yml')):
        return is_list(path)
    if not _LOOKS_LIKE_NAMES.search(text):
        return False
    try:
        return _NAMES in entries(path, text)
    except DataError:  # reading the names later reports what is wrong
        return True


@functools.lru_cache(maxsize=8)  # recognised, and read for names and for splits
def entries(path: str, text: str) -> Dict[str, Value]:
    """Returns the entries of a data.yaml. Raises DataError if it is no YAML."""
    try:
        return entries_of(text)
    except ValueError as error:
        raise DataError('{} cannot be read: {}. Write it as YAML.'.format(path, error)) from error


def is_list(path: str) -> bool:
    """Tells whether a file is a plain list of names."""
    return os.path.basename(path).lower() == 'classes.txt'


def names_in(path: str, text: str) -> List[str]:
    """Returns the names of the classes in a file for which `names_classes` holds.

    Raises:
        DataError: They are neither a list nor numbered lines, some are missing, or the labels are those of poses.
    """
    if is_list(path):
        return _none_missing([line.strip() for line in text.strip().splitlines()], path)
    content = entries(path, text)
    if 'kpt_shape' in content:  # pose labels have a box and points in place of an outline
        raise DataError(
            "{} has 'kpt_shape': its labels are boxes and keypoints, which say no class of a pixel. Export the "
            'outlines of the objects.'.format(path)
        )
    try:
        names = _none_missing(_in_order(content[_NAMES]), path)
    except ValueError as error:
        raise DataError(
            "{} has 'names' that are not read: {}. Write one line 'NUMBER: NAME' for each class.".format(path, error)
        ) from error
    number = _number_of_classes(content)
    if number not in (None, len(names)):
        raise DataError('{} says nc: {} and names {}. Name all.'.format(path, number, counted(len(names), 'class')))
    return names


def _number_of_classes(content: Dict[str, Value]) -> Optional[int]:
    with contextlib.suppress(ValueError):
        # The text of a list that names itself twice by an alias, and so on, may have no end.
        return whole_number_of(content['nc']) if isinstance(content.get('nc'), str) else None
    return None


def _in_order(names: Value) -> List[str]:
    """The names in the order of their numbers. Raises ValueError if they have no numbers or are no names."""
    if isinstance(names, dict):
        names = _numbered(names)
    if not isinstance(names, list) or not names:
        raise ValueError('{!r:.40} is no list and no numbered lines'.format(names))
    texts = [name for name in names if isinstance(name, str)]
    if len(texts) < len(names):
        raise ValueError('some are lists')
    return texts


def _numbered(names: Dict[str, Value]) -> List[Value]:
    by_number = {int(key): name for key, name in names.items() if key.isdecimal() and len(key) < 10}
    if len(by_number) < len(names) or sorted(by_number) != list(range(len(by_number))):
        raise ValueError('their numbers are {:.40}, and have to be those from 0 on'.format(', '.join(names)))
    return [by_number[number] for number in range(len(by_number))]


def _none_missing(names: List[str], path: str) -> List[str]:
    """The names. Raises DataError if one is missing, since the later ones would get wrong numbers."""
    if not all(names):
        raise DataError('{} has no name for class {}. Name all classes.'.format(path, names.index('')))
    return names
