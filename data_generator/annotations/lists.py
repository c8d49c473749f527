"""Text files that name the images of a split, one per line: with or without extension, folders, or the whole path."""

import posixpath
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from data_generator.annotations.documents import read_text
from data_generator.annotations.folder import common_ending, without_image_extension
from helpers.image_search import folded


class Line(NamedTuple):
    """One name in a list; key: its path without './', '../', the root and the extension."""

    split: str
    path: str
    number: int
    text: str
    key: str

    @property
    def place(self) -> str:
        """The position of the line and the name, for messages."""
        return '{}, line {}: {}'.format(self.path, self.number, self.text)


def lines_of(lists: Iterable[Tuple[str, str]]) -> List[Line]:
    """Reads the names in lists, given as (split, path). Raises DataError if one is no text."""
    return [
        Line(split, path, number, text.strip(), key_of(text.strip()))
        for split, path in lists
        for number, text in enumerate(read_text(path).splitlines(), 1)
        if key_of(text.strip())
    ]


def key_of(name: str) -> str:
    """Returns a path in the form in which names are compared."""
    parts = posixpath.normpath(folded(name.replace('\\', '/'))).split('/') if name else []
    return without_image_extension('/'.join(part for part in parts if part not in ('', '.', '..')))


def lines_by_image(names: Sequence[str], paths: Sequence[str], lines: Sequence[Line]) -> List[Optional[Line]]:
    """Returns for each image the line that names it, or None.

    A line names the images whose paths end with it; an image takes the longest such line. Otherwise it names the image
    whose name is the end of the line, which may be a path on another machine.

    Args:
        names: The names of the images, each once.
        paths: Their absolute paths.
        lines: The lines of one or more lists.

    Raises:
        ValueError: Lines of two splits name an image equally well.
    """
    by_key = {line.key: line for line in reversed(lines)}
    found = [next((by_key[end] for end in _ends(key_of(path)) if end in by_key), None) for path in paths]
    used = {line.key for line in found if line is not None}
    places = {key_of(name): index for index, name in enumerate(names)}
    agreements = [0] * len(names)
    for line in lines:
        index = next((places[end] for end in _ends(line.key) if end in places), None)
        if line.key in used or index is None:
            continue
        agreement = common_ending(line.key.split('/'), key_of(paths[index]).split('/'))
        if found[index] is None or agreement > agreements[index] > 0:
            found[index], agreements[index] = line, agreement
        elif agreement == agreements[index]:
            _refuse_another_split(line, found[index], names[index])
    return found


def _refuse_another_split(line: Line, other: Optional[Line], name: str) -> None:
    if other is not None and other.split != line.split:
        raise ValueError(
            '{} is {} of one split and {} of another. Take one of them out.'.format(name, other.place, line.place)
        )


def _ends(key: str) -> Iterator[str]:
    """Yields the path and its shorter ends."""
    parts = key.split('/')
    return ('/'.join(parts[start:]) for start in range(len(parts)))
