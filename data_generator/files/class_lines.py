"""Tables of classes as text, one entry per line: which numbers are IDs or colours, and which belong to names.

Column names and commas make this clear: a field is a number or a name. If only spaces separate the fields, '2 wheeler'
may be class 2 or the name of a class; then all lines together decide.
"""

import csv
import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from helpers.aliases import Color
from helpers.label_spaces import MAX_NAME_LENGTH, is_class_name

_HEX = re.compile('#?([0-9a-fA-F]{6})$')
# A comment, unless it begins with a colour: '#804080 road'.
_COMMENT = re.compile(r'//|#(?![0-9a-fA-F]{6}[\s,;])')
_CVAT_LINE = re.compile(r'[^:,;\t]+:\d+,\d+,\d+:')  # label:r,g,b:parts:actions
# Between two numbers is a comma, a semicolon or a space among other blanks.
_COLOR_IN_BRACKETS = re.compile(r'[(\[]?\s*(\d+(?:(?:\s*[,;]\s*|[^\S ]* \s*)\d+)+)\s*[)\]]?$')

# How many numbers precede a name if one of them is an ID: only the ID, or the ID and a colour.
_COUNTS_WITH_ID = (1, 4)

_HEADINGS = {
    **dict.fromkeys(('r', 'red'), 'r'),
    **dict.fromkeys(('g', 'green'), 'g'),
    **dict.fromkeys(('b', 'blue'), 'b'),
    **dict.fromkeys(('id', 'class_id', 'pixel value', 'pixel_value', 'value', 'index'), 'id'),
    **dict.fromkeys(('name', 'class', 'class_name', 'label'), 'name'),
    **dict.fromkeys(('color', 'colour', 'hex', 'rgb'), 'color'),
}


class Entry(NamedTuple):
    """One line of a legend; `class_id` and `color` are None if the line has none."""

    name: str
    color: Optional[Color] = None
    class_id: Optional[int] = None


class _Row(NamedTuple):
    """A line of a table without column names: '7 road 128 64 128' is _Row(['7'], 'road', ['128', '64', '128']).

    `is_loose` is True if only spaces separate the fields, so that a number beside the name may belong to it.
    """

    before: List[str]
    name: str
    behind: List[str]
    is_loose: bool = False

    def __str__(self) -> str:
        return ' '.join(part for part in (*self.before, self.name, *self.behind) if part)


def entries_of_lines(text: str) -> List[Entry]:
    """Reads a text with one entry per line, or a CSV file with a line of column names.

    Numbers separated from a name only by spaces belong to it if they are no ID and no colour: 'zone 1', '2 wheeler'.

    Raises:
        ValueError: A line is no entry, or the numbers beside the names may be parts of names or IDs of classes.
        csv.Error: A field is too long.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not _COMMENT.match(line)]
    cells = _cells(lines[0]) if lines else None
    if cells is not None and _is_heading(cells):
        delimiter = next(mark for mark in '\t;,' if mark in lines[0])
        return [_entry_of_cells(cells, _cells(line, delimiter) or [line], line) for line in lines[1:]]
    rows = _with_numbers_in_names([_row(line) for line in lines])
    return [_entry_of_row(row) for row in rows]


def parse_color(value: Any) -> Color:
    """Reads (red, green, blue) from three numbers from 0 to 255 or '#rrggbb'. Raises ValueError for anything else."""
    if isinstance(value, str) and _HEX.match(value.strip()):
        digits = value.strip().lstrip('#')
        value = [int(digits[place : place + 2], 16) for place in (0, 2, 4)]
    if (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in value)
    ):
        return value[0], value[1], value[2]
    raise ValueError('{!r} is no colour, which is three numbers from 0 to 255 or #rrggbb'.format(value))


def checked_name(value: Any) -> str:
    """Returns the name of a class without surrounding blanks. Raises ValueError if it is no valid name."""
    if not is_class_name(value):
        raise ValueError(
            '{!r} is no name of a class, which is 1 to {} characters that can be printed'.format(value, MAX_NAME_LENGTH)
        )
    return value.strip()


def _cells(line: str, delimiters: str = '\t;,') -> Optional[List[str]]:
    """The fields between the tabs, semicolons or commas of a line; None if it has none of these."""
    for delimiter in delimiters:
        if delimiter in line:
            row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
            return [field.strip() for field in row]
    return None


def _is_heading(cells: Sequence[str]) -> bool:
    return len(cells) > 1 and all(cell.lower() in _HEADINGS for cell in cells)


def _entry_of_cells(heading: Sequence[str], cells: Sequence[str], line: str) -> Entry:
    """The entry of a line in a CSV file. The column names identify the fields, so a number in a name is part of it."""
    if any(cells[len(heading) :]):
        raise ValueError(
            'the line {!r} has {} fields, and the heading {}; put quotes around a name with a comma'.format(
                line, len(cells), len(heading)
            )
        )
    named: Dict[str, str] = {}
    for word, cell in zip(heading, cells):
        named.setdefault(_HEADINGS[word.lower()], cell)  # the first of several names
    class_id = named.get('id') or None
    if class_id is not None and not class_id.isdecimal():
        raise ValueError('{!r} is no ID of a class in the line {!r}'.format(class_id, line))
    name = checked_name(named.get('name'))
    return Entry(name, _color_of_cells(named, line), None if class_id is None else int(class_id))


def _color_of_cells(named: Dict[str, str], line: str) -> Optional[Color]:
    channels = [named[key] for key in 'rgb' if named.get(key)]
    if channels:
        if len(channels) < 3 or not all(channel.isdecimal() for channel in channels):
            raise ValueError('the line {!r} has no red, green and blue from 0 to 255'.format(line))
        return parse_color([int(channel) for channel in channels])
    if not named.get('color'):
        return None
    numbers = _numbers_in(named['color'])
    return parse_color([int(number) for number in numbers] if numbers else named['color'])


def _numbers_in(cell: str) -> List[str]:
    """The numbers in a field that holds only numbers, such as '64 128 64' or '(1, 2, 3)'."""
    match = _COLOR_IN_BRACKETS.match(cell)
    return re.findall(r'\d+', match.group(1)) if match else []


def _row(line: str) -> _Row:
    """Splits a line at commas, or if it has none at spaces."""
    if _CVAT_LINE.match(line):
        name, color = line.split(':')[:2]
        return _Row([], name, color.split(','))
    cells = _cells(line)
    if cells is None:
        return _row_of_fields(line.split(), line, is_loose=True)
    fields = [part for cell in cells if cell for part in (_numbers_in(cell) or [cell])]
    if sum(not _is_number(field) for field in fields) > 1:
        raise ValueError('the line {!r} is not NAME RED GREEN BLUE'.format(line))
    row = _row_of_fields(fields, line)
    is_red_in_name = len(row.behind) in (1, 2) and not _is_hex(row.behind[0])  # 'sky 1, 2, 3' has the field 'sky 1'
    return _row_of_fields([word for field in fields for word in field.split()], line) if is_red_in_name else row


def _row_of_fields(fields: Sequence[str], line: str, is_loose: bool = False) -> _Row:
    """Separates the numbers at both ends from the name between them. A number alone on its line is a name."""
    if len(fields) == 1:
        return _Row([], fields[0], [], is_loose)
    are_numbers = [_is_number(field) for field in fields]
    if all(are_numbers):
        return _Row(list(fields), '', [], is_loose)
    first, last = are_numbers.index(False), len(fields)
    while are_numbers[last - 1]:
        last -= 1
    is_all_name = last - first == len(fields)
    name = line if is_loose and is_all_name else ' '.join(fields[first:last])  # a name alone keeps its blanks
    return _Row(list(fields[:first]), name, list(fields[last:]), is_loose)


def _is_number(field: str) -> bool:
    return field.isdecimal() or _is_hex(field)


def _is_hex(field: str) -> bool:
    return field.startswith('#') and bool(_HEX.match(field))


def _with_numbers_in_names(rows: List[_Row]) -> List[_Row]:
    """Moves numbers that are part of names into the names. Raises ValueError if they may also be IDs or colours."""
    _refuse_numbers_that_may_be_ids(rows)
    if not _have_ids_in_front(rows):
        rows = [_with_number_in_front(row) for row in rows]  # '2 wheeler'
    rows = [_with_first_number_behind(row, of=1) for row in rows]  # 'zone 1'
    colored = [row for row in rows if row.behind]
    if colored and all(len(row.behind) == 4 and row.is_loose for row in colored) and _are_distinct(colored):
        _refuse_unclear_fourth_number(colored)  # 'zone RED GREEN BLUE ALPHA'
        return rows
    return [_with_first_number_behind(row, of=4) for row in rows]  # 'zone 1 RED GREEN BLUE'


def _have_ids_in_front(rows: Sequence[_Row]) -> bool:
    """Whether numbers before names are IDs: each line has one, or is only a number, and names differ without them."""
    are_all = all(len(row.before) in _COUNTS_WITH_ID or (not row.before and row.name.isdecimal()) for row in rows)
    return are_all and _are_distinct(rows)


def _with_number_in_front(row: _Row) -> _Row:
    """The row with the only number before its name as part of the name."""
    if not row.is_loose or len(row.before) != 1 or _is_hex(row.before[0]):
        return row
    return row._replace(before=[], name='{} {}'.format(row.before[0], row.name))


def _with_first_number_behind(row: _Row, of: int) -> _Row:
    """The row with the first number behind its name as part of the name, if there are `of` numbers."""
    if not row.is_loose or len(row.behind) != of or _is_hex(row.behind[0]):
        return row
    return row._replace(name='{} {}'.format(row.name, row.behind[0]), behind=row.behind[1:])


def _are_distinct(rows: Sequence[_Row]) -> bool:
    return len({row.name for row in rows}) == len(rows)


def _refuse_numbers_that_may_be_ids(rows: Sequence[_Row]) -> None:
    """Refuses lists in which the numbers count from 0 or 1, but are behind the names or out of order: they may be IDs
    or parts of the names.
    """
    if not rows or not all(row.is_loose for row in rows) or not _are_distinct(rows):
        return
    in_front = _as_ids([row.before[0] if len(row.before) in _COUNTS_WITH_ID else row.name for row in rows])
    behind = _as_ids([row.behind[0] if len(row.behind) == 1 else '' for row in rows])
    # If there are colours, which identify the classes anyway, only numbers from 0 on count as IDs.
    may_be_ids = 0 in in_front or not any(row.behind for row in rows)
    is_shuffled = in_front != sorted(in_front) and may_be_ids
    if behind or is_shuffled:
        numbers = behind or in_front
        raise ValueError(
            'the numbers {} beside the names may be the IDs of the classes, or belong to the names. If they are IDs, '
            'write {},{} and so on; if not, a list in JSON: [{}, ...]'.format(
                ', '.join(map(str, numbers[:5])), numbers[0], rows[0].name, json.dumps(str(rows[0]))
            )
        )


def _as_ids(fields: Sequence[str]) -> List[int]:
    """The fields as integers if they can be the IDs of all classes, in any order; else an empty list."""
    numbers = [int(field) for field in fields if field.isdecimal()]
    return numbers if len(numbers) == len(fields) and _count_from_0_or_1(sorted(numbers)) else []


def _count_from_0_or_1(numbers: List[int]) -> bool:
    return numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def _refuse_unclear_fourth_number(rows: Sequence[_Row]) -> None:
    """Refuses four numbers behind every name, unless the last is opaque or empty alpha, or counts the classes."""
    last = [int(row.behind[3]) for row in rows]
    if set(last) in ({0}, {255}) or _count_from_0_or_1(last):
        return
    raise ValueError(
        'the line {!r} has four numbers, of which the first may belong to the name. Separate the fields by '
        'commas'.format(str(rows[0]))
    )


def _entry_of_row(row: _Row) -> Entry:
    if not row.name:
        raise ValueError('the line {!r} names no class'.format(str(row)))
    before = list(row.before)
    class_id = int(before.pop(0)) if len(before) in _COUNTS_WITH_ID and before[0].isdecimal() else None
    numbers = before or row.behind
    return Entry(checked_name(row.name), _color_of_numbers(numbers, row) if numbers else None, class_id)


def _color_of_numbers(numbers: Sequence[str], row: _Row) -> Color:
    """The colour from '#rrggbb' or three numbers; a fourth, such as alpha, is ignored."""
    if len(numbers) == 1 and _is_hex(numbers[0]):
        return parse_color(numbers[0])
    if len(numbers) < 3 or not all(number.isdecimal() for number in numbers[:3]):
        raise ValueError('the line {!r} is not NAME RED GREEN BLUE'.format(str(row)))
    return parse_color([int(number) for number in numbers[:3]])
