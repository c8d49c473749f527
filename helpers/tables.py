"""Tables of text, for terminals and files."""

import bisect
import itertools
import unicodedata
from typing import Iterable, List, Sequence

SCREEN_COLUMNS = 80
# Names are not cut to less than that, however many columns stand beside them.
_SHORTEST_NAME = 16
# What would end a line, or shift what follows it.
_BREAKS = str.maketrans({'\n': '\\x0a', '\t': '\\x09'})


def one_line(text: str) -> str:
    """Returns a text, a path say, whose ends of lines and tabs stand as Python can write them, so that it is one line.

    Other control characters stay for files and pipes; `fcn8s.cli.terminal` shows them on a terminal.
    """
    return text.translate(_BREAKS)


def align_columns(rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> List[str]:
    """Returns the rows as lines with their columns below each other, two spaces apart; no line ends in spaces.

    Args:
        rows: The cells of each row, equally many in all.
        left: The numbers of the columns that begin below each other. The others, of numbers, end below each other.
    """
    rows = [list(map(one_line, row)) for row in rows]
    widths = [max(map(columns_of, column)) for column in zip(*rows)]
    return ['  '.join(_padded(row, widths, left)).rstrip() for row in rows]


def fit_names(rows: Sequence[Sequence[str]], place: int, columns: int = SCREEN_COLUMNS) -> List[List[str]]:
    """Returns the rows with the names in their column of number `place` cut where lines of `align_columns` would take
    more than so many columns.
    """
    widths = [2 + max(map(columns_of, column)) for column in zip(*rows)]
    left = max(_SHORTEST_NAME, columns - sum(widths) + widths[place])
    return [[*row[:place], cut_end(row[place], left), *row[place + 1 :]] for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> List[str]:
    spaces = [' ' * (width - columns_of(cell)) for cell, width in zip(row, widths)]
    return [cell + space if number in left else space + cell for number, (cell, space) in enumerate(zip(row, spaces))]


def columns_of(text: str) -> int:
    """Returns how many columns of a terminal a text takes: two for each wide character, such as those of Chinese,
    Japanese and Korean, and none for combining accents.
    """
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in 'WF') for c in text)


def cut_end(text: str, columns: int) -> str:
    """Returns a text that takes at most so many columns, at least 3: three dots stand for what is cut off its end."""
    if columns_of(text) <= columns:
        return text
    ends = list(itertools.accumulate(map(columns_of, text)))
    return text[: bisect.bisect_right(ends, columns - 3)] + '...'


def cut_start(text: str, columns: int) -> str:
    """Returns a text that takes at most so many columns, at least 3: three dots stand for what is cut off its start."""
    return cut_end(text[::-1], columns)[::-1]


def spreadsheet_text(text: str) -> str:
    """Returns a text as a cell of a CSV file that no spreadsheet computes: with an apostrophe before it where it would
    be a formula (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    return "'" + text if text[:1] in ('=', '+', '-', '@', '\t', '\r') else text
