"""Tables of classes as text, an entry a line: which of the numbers are IDs and colours, and which belong to names."""

import csv
import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from helpers.aliases import Color
from helpers.label_spaces import MAX_NAME_LENGTH, is_class_name

_HEX = re.compile('#?([0-9a-fA-F]{6})$')
_CVAT_LINE = re.compile(r'[^:,;\t]+:\d+,\d+,\d+:')  # label:r,g,b:parts:actions
_COLOR_IN_BRACKETS = re.compile(r'[(\[]?\s*(\d+(?:\s*[,; ]\s*\d+)+)\s*[)\]]?$')

_HEADINGS = {
    **dict.fromkeys(('r', 'red'), 'r'),
    **dict.fromkeys(('g', 'green'), 'g'),
    **dict.fromkeys(('b', 'blue'), 'b'),
    **dict.fromkeys(('id', 'class_id', 'pixel value', 'pixel_value', 'value', 'index'), 'id'),
    **dict.fromkeys(('name', 'class', 'class_name', 'label'), 'name'),
    **dict.fromkeys(('color', 'colour', 'hex', 'rgb'), 'color'),
}


class Entry(NamedTuple):
    """One line of a legend; `class_id` and `color` are None where it does not say."""

    name: str
    color: Optional[Color] = None
    class_id: Optional[int] = None


class _Row(NamedTuple):
    """A line without a heading: the numbers before the name and behind it.

    `is_loose` where nothing but blanks stands between them, so that a number may belong to the name.
    """

    before: List[str]
    name: str
    behind: List[str]
    is_loose: bool = False

    def __str__(self) -> str:
        return ' '.join(part for part in (*self.before, self.name, *self.behind) if part)


def entries_of_lines(text: str) -> List[Entry]:
    """Reads a text with an entry a line, or a CSV file with a line of column names.

    Numbers that only blanks part from a name belong to it where they are no IDs and no colour: 'zone 1', '2 wheeler'.

    Raises:
        ValueError: A line is no entry, or the numbers beside the names may be theirs or the IDs of the classes.
        csv.Error: A field is longer than any.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(('#', '//'))]
    cells = _cells(lines[0]) if lines else None
    if cells is not None and _is_heading(cells):
        delimiter = next(mark for mark in '\t;,' if mark in lines[0])
        return [_entry_of_cells(cells, _cells(line, delimiter) or [line], line) for line in lines[1:]]
    rows = _without_numbers_of_names([_row(line) for line in lines])
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
    """Returns the name of a class without blanks around it. Raises ValueError for what is none."""
    if not is_class_name(value):
        raise ValueError(
            '{!r} is no name of a class, which is 1 to {} characters that can be printed'.format(value, MAX_NAME_LENGTH)
        )
    return value.strip()


def _cells(line: str, delimiters: str = '\t;,') -> Optional[List[str]]:
    """The fields between the tabs, semicolons or commas of a line; None where it has none of them."""
    for delimiter in delimiters:
        if delimiter in line:
            row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
            return [field.strip() for field in row]
    return None


def _is_heading(cells: Sequence[str]) -> bool:
    return len(cells) > 1 and all(cell.lower() in _HEADINGS for cell in cells)


def _entry_of_cells(heading: Sequence[str], cells: Sequence[str], line: str) -> Entry:
    """Of a CSV file with column names, which say what each field is: a number in a name is part of it."""
    if any(cells[len(heading) :]):
        raise ValueError(
            'the line {!r} has {} fields, and the heading {}; put quotes around a name with a comma'.format(
                line, len(cells), len(heading)
            )
        )
    named: Dict[str, str] = {}
    for word, cell in zip(heading, cells):
        named.setdefault(_HEADINGS[word.lower()], cell)  # of several names the first
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
    """The numbers of a field of nothing else, such as '64 128 64' or '(1, 2, 3)'."""
    match = _COLOR_IN_BRACKETS.match(cell)
    return re.findall(r'\d+', match.group(1)) if match else []


def _row(line: str) -> _Row:
    if _CVAT_LINE.match(line):
        name, color = line.split(':')[:2]
        return _Row([], name, color.split(','))
    cells = _cells(line)
    if cells is None:
        return _parted(line.split(), line, True)
    fields = [part for cell in cells if cell for part in (_numbers_in(cell) or [cell])]
    if sum(not _is_number(field) for field in fields) > 1:
        raise ValueError('the line {!r} is not NAME RED GREEN BLUE'.format(line))
    row = _parted(fields, line)
    if len(row.behind) in (1, 2) and not _is_hex(row.behind[0]):  # 'sky 1, 2, 3'
        return _parted([word for field in fields for word in field.split()], line)
    return row


def _parted(fields: Sequence[str], line: str, is_loose: bool = False) -> _Row:
    """Parts the numbers in front of a name and those behind it."""
    numbers = [_is_number(field) for field in fields]
    if all(numbers):
        # A number alone is a name: that of a digit, say.
        return _Row([], fields[0], [], is_loose) if len(fields) == 1 else _Row(list(fields), '', [], is_loose)
    first, last = numbers.index(False), len(fields)
    while numbers[last - 1]:
        last -= 1
    name = line if is_loose and last - first == len(fields) else ' '.join(fields[first:last])
    return _Row(list(fields[:first]), name, list(fields[last:]), is_loose)


def _is_number(field: str) -> bool:
    return field.isdecimal() or _is_hex(field)


def _is_hex(field: str) -> bool:
    return field.startswith('#') and bool(_HEX.match(field))


def _without_numbers_of_names(rows: List[_Row]) -> List[_Row]:
    """Gives back to the names the numbers that are theirs. Raises ValueError where they may be IDs as well."""
    _refuse_shuffled_numbers(rows)
    rows = [_with_number_in_front(row) for row in rows] if _is_front_of_names(rows) else rows
    rows = [_with_number_behind(row, 1) for row in rows]
    behind = [row for row in rows if row.behind]
    if behind and all(len(row.behind) == 4 and row.is_loose for row in behind) and _are_distinct(behind):
        _refuse_four_numbers(behind)
        return rows
    return [_with_number_behind(row, 4) for row in rows]


def _is_front_of_names(rows: Sequence[_Row]) -> bool:
    """Whether the numbers in front are no IDs: not every class has one, or names are equal without them."""
    are_all = all(len(row.before) in (1, 4) or (not row.before and row.name.isdecimal()) for row in rows)
    return not are_all or not _are_distinct(rows)


def _with_number_in_front(row: _Row) -> _Row:
    if not row.is_loose or len(row.before) != 1 or _is_hex(row.before[0]):
        return row
    return row._replace(before=[], name='{} {}'.format(row.before[0], row.name))


def _with_number_behind(row: _Row, count: int) -> _Row:
    """The row with the first number behind its name in the name, where there are so many."""
    if not row.is_loose or len(row.behind) != count or _is_hex(row.behind[0]):
        return row
    return row._replace(name='{} {}'.format(row.name, row.behind[0]), behind=row.behind[1:])


def _are_distinct(rows: Sequence[_Row]) -> bool:
    return len({row.name for row in rows}) == len(rows)


def _refuse_shuffled_numbers(rows: Sequence[_Row]) -> None:
    """Refuses numbers beside names that are IDs in another order, or IDs behind the names: they may belong to these."""
    if not rows or not all(row.is_loose for row in rows) or not _are_distinct(rows):
        return
    in_front = _ids_of_all([row.before[0] if len(row.before) in (1, 4) else row.name for row in rows])
    behind = _ids_of_all([row.behind[0] if len(row.behind) == 1 else '' for row in rows])
    # Colours tell classes, too, whatever their numbers are; those from 0 on are taken as IDs.
    is_shuffled = in_front != sorted(in_front) and (0 in in_front or not any(row.behind for row in rows))
    if behind or is_shuffled:
        numbers = behind or in_front
        raise ValueError(
            'the numbers {} beside the names may be the IDs of the classes, or belong to the names. If they are IDs, '
            'write {},{} and so on; if not, a list in JSON: [{}, ...]'.format(
                ', '.join(map(str, numbers[:5])), numbers[0], rows[0].name, json.dumps(str(rows[0]))
            )
        )


def _ids_of_all(fields: Sequence[str]) -> List[int]:
    """The numbers where all fields are numbers, from 0 or 1 on without gaps; else none."""
    numbers = [int(field) for field in fields if field.isdecimal()]
    are_ids = len(numbers) == len(fields) and sorted(numbers) in (_first(len(fields), 0), _first(len(fields), 1))
    return numbers if are_ids else []


def _first(count: int, start: int) -> List[int]:
    return list(range(start, start + count))


def _refuse_four_numbers(rows: Sequence[_Row]) -> None:
    """Refuses four numbers behind every name, unless the last says what it is: opaque alpha, or a count of classes."""
    last = [int(row.behind[3]) for row in rows]
    if len(set(last)) == 1 and last[0] in (0, 255) or last in (_first(len(rows), 0), _first(len(rows), 1)):
        return
    raise ValueError(
        'the line {!r} has four numbers, of which the first may belong to the name. Part the fields by commas'.format(
            str(rows[0])
        )
    )


def _entry_of_row(row: _Row) -> Entry:
    if not row.name:
        raise ValueError('the line {!r} names no class'.format(str(row)))
    before = list(row.before)
    class_id = int(before.pop(0)) if len(before) in (1, 4) and before[0].isdecimal() else None
    numbers = before or row.behind
    if not numbers:
        return Entry(checked_name(row.name), None, class_id)
    if len(numbers) == 1 and _is_hex(numbers[0]):
        return Entry(checked_name(row.name), parse_color(numbers[0]), class_id)
    if len(numbers) < 3 or not all(number.isdecimal() for number in numbers[:3]):
        raise ValueError('the line {!r} is not NAME RED GREEN BLUE'.format(str(row)))
    return Entry(checked_name(row.name), parse_color([int(number) for number in numbers[:3]]), class_id)
