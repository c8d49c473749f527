"""Tables of text, for terminals and files."""

from typing import Iterable, List, Sequence


def align_columns(rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> List[str]:
    """Returns the rows as lines with their columns below each other, two spaces apart; no line ends in spaces.

    Args:
        rows: The cells of each row, equally many in all.
        left: The numbers of the columns that begin below each other. The others, of numbers, end below each other.
    """
    rows = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    return ['  '.join(_padded(row, widths, left)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> List[str]:
    return [
        cell.ljust(width) if number in left else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(row, widths))
    ]
