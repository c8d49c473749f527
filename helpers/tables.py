"""Tables of text, for terminals and files."""

import bisect
import itertools
import shutil
import unicodedata
from typing import Iterable, List, Optional, Sequence

SCREEN_COLUMNS = 80
# Names are not cut to less than this, however many columns are beside them.
_SHORTEST_NAME = 16
# Characters that would break a line or shift the text after them.
_BREAKS = str.maketrans({'\n': '\\x0a', '\t': '\\x09'})


def one_line(text: str) -> str:
    """Returns a text, such as a path, on one line: line breaks and tabs become Python's escapes.

    Other control characters are kept for files and pipes; `fcn8s.cli.terminal` escapes them on a terminal.
    """
    return text.translate(_BREAKS)


def align_columns(rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> List[str]:
    """Returns the rows as lines with aligned columns, two spaces apart; no line ends in spaces.

    Args:
        rows: The cells of each row, the same number in each.
        left: The indices of left-aligned columns. The others, which hold numbers, are right-aligned.
    """
    rows = [list(map(one_line, row)) for row in rows]
    widths = [max(map(columns_of, column)) for column in zip(*rows)]
    return ['  '.join(_padded(row, widths, left)).rstrip() for row in rows]


def screen_columns() -> int:
    """Returns the columns for a table: those of the terminal, at most 80; 80 where there is none."""
    columns = shutil.get_terminal_size().columns  # 0 in Python 3.7 where the terminal does not tell
    return min(SCREEN_COLUMNS, columns or SCREEN_COLUMNS)


def fit_names(rows: Sequence[Sequence[str]], place: int, columns: Optional[int] = None) -> List[List[str]]:
    """Returns the rows with the names in cell `place` cut, so that lines of `align_columns` take at most `columns`
    columns, or those of the screen.
    """
    columns = screen_columns() if columns is None else columns
    widths = [2 + max(map(columns_of, column)) for column in zip(*rows)]
    left = max(_SHORTEST_NAME, columns - sum(widths) + widths[place])
    return [[*row[:place], cut_end(row[place], left), *row[place + 1 :]] for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> List[str]:
    spaces = [' ' * (width - columns_of(cell)) for cell, width in zip(row, widths)]
    return [cell + space if number in left else space + cell for number, (cell, space) in enumerate(zip(row, spaces))]


def columns_of(text: str) -> int:
    """Returns how many columns of a terminal a text takes: two for each wide character, such as Chinese, Japanese and
    Korean ones, and none for combining accents.
    """
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in 'WF') for c in text)


def cut_end(text: str, columns: int) -> str:
    """Returns a text cut to at most `columns` columns (at least 3); three dots replace its end."""
    if columns_of(text) <= columns:
        return text
    ends = list(itertools.accumulate(map(columns_of, text)))
    return text[: bisect.bisect_right(ends, columns - 3)] + '...'


def cut_start(text: str, columns: int) -> str:
    """Returns a text cut to at most `columns` columns (at least 3); three dots replace its start."""
    return cut_end(text[::-1], columns)[::-1]


def spreadsheet_text(text: str) -> str:
    """Returns a text as a CSV cell that no spreadsheet evaluates: a text that would be a formula gets an apostrophe in
    front (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    return "'" + text if text[:1] in ('=', '+', '-', '@', '\t', '\r') else text
