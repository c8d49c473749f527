"""What the palettes of a dataset's label files mean, where files may hold the same colours in another order."""

import threading
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from data_generator.errors import DataError
from helpers.aliases import Color
from helpers.image_files.headers import is_palette_png
from helpers.image_files.palettes import LabelFile, as_color, ids_by_palette, is_grey, png_palette, used_colors
from helpers.image_files.tiff import tiff_palette
from helpers.label_spaces import LabelSpace
from helpers.user_warnings import warn_user

#: So many bytes hold the palette of a PNG with all that usually comes before it.
_HEAD_SIZE = 4096


class PaletteRule:
    """Class IDs of label files with palettes of colours: one colour is one ID in all files of a dataset.

    The colours of the dataset's classes decide where the files use them (PASCAL VOC does); otherwise the first palette
    among the files, in their order, which the others then have to agree with. A file with the same colours in another
    order is read by its colours, with a warning.

    Args:
        labels: All label files, in their order.
        space: The classes of a dataset that is known by name; None for others.
        id_map: From the IDs in the files to class IDs, a mapping or a table; None where the files hold class IDs.
    """

    def __init__(self, labels: Sequence[str], space: Optional[LabelSpace] = None, id_map: Any = None) -> None:
        self._labels = labels
        self._of_space = {} if space is None else _colors_of(space, id_map)
        self._of_first: Optional[Dict[int, Color]] = None
        self._of_all: Optional[Dict[int, Color]] = None
        self._lock = threading.Lock()
        #: Files that were read by their colours, because their palette has another order.
        self.reordered: List[str] = []

    def ids(self, label: LabelFile, path: str) -> np.ndarray:
        """Looks up the IDs, [H, W], of a label file.

        Raises:
            DataError: Its palette and that of the other files contradict each other.
        """
        if label.palette is None:
            return label.values
        # Each only where those before it do not say: for the last, the palettes of all files are read.
        for expected in (lambda: self._of_space, self._first_palette, self.colors):
            ids = ids_by_palette(label, expected())
            if ids is not None:
                self._note(ids is not label.values, path)
                return ids
        raise DataError(self._message(label, path))

    def described(self) -> str:
        """Returns what the IDs of the files depend on beside the files themselves; '' where the first has no palette.

        It reads the beginning of every file that may have one.
        """
        if not self._labels or color_palette(self._labels[0]) is None:
            return ''
        return repr((sorted(self._of_space.items()), sorted(self.colors().items())))

    def _note(self, is_reordered: bool, path: str) -> None:
        if not is_reordered:
            return
        with self._lock:
            self.reordered.append(path)
            if len(self.reordered) == 1:
                warn_user(
                    '{}: its palette has its colours in another order than other labels of this dataset, so it is read '
                    'by colour.'.format(path)
                )

    def _first_palette(self) -> Dict[int, Color]:
        with self._lock:
            if self._of_first is None:
                self._of_first = next(
                    (_entries(palette) for palette in map(color_palette, self._labels) if palette is not None), {}
                )
            return self._of_first

    def colors(self) -> Dict[int, Color]:
        """Returns the colour of each index in the files: by the first palette, with what later ones add.

        Files may leave out entries that they do not use. All are looked at, once.
        """
        first = self._first_palette()
        with self._lock:
            if self._of_all is None:
                known = dict(first)
                for palette in map(color_palette, self._labels):
                    for index, color in _entries(palette).items() if palette is not None else ():
                        if color not in known.values():
                            known.setdefault(index, color)
                self._of_all = known
            return self._of_all

    def _message(self, label: LabelFile, path: str) -> str:
        known = self.colors()
        index, color = next(
            (index, color) for index, color in used_colors(label).items() if color not in known.values()
        )
        return (
            '{}: index {} of its palette is the colour {}, and in other labels of this dataset it is {}. Give a table '
            'of colours (convert_colors_to_ids, --colors FILE), or write all labels with one palette.'.format(
                path, index, color, known.get(index, 'none')
            )
        )


def color_palette(path: str) -> Optional[np.ndarray]:
    """Reads the palette of a label file, uint8 [K, 3]; None where it has none, or one of greys, or cannot be read."""
    try:
        with open(path, 'rb') as file:
            head = file.read(_HEAD_SIZE)
            palette = png_palette(head)
            if palette is None and is_palette_png(head):  # behind a long text
                palette = png_palette(head + file.read())
        if head[:2] in (b'II', b'MM'):
            palette = tiff_palette(path)
        elif head[:2] in (b'BM', b'GI'):
            palette = _palette_by_pillow(path)
    except Exception:  # whatever a damaged file makes the readers meet; reading it whole tells
        return None
    return None if palette is None or is_grey(palette) else palette


def _palette_by_pillow(path: str) -> Optional[np.ndarray]:
    from PIL import Image

    with Image.open(path) as image:
        entries = image.getpalette() if image.mode == 'P' else None
    return None if entries is None else np.array(entries, np.uint8).reshape(-1, 3)


def _entries(palette: np.ndarray) -> Dict[int, Color]:
    return {index: as_color(color) for index, color in enumerate(palette)}


def _colors_of(space: LabelSpace, id_map: Any) -> Dict[int, Color]:
    """From each ID of the files to the colour of its class."""
    colors = dict(enumerate(space.colors))
    if space.ignore_colors:
        colors.setdefault(space.ignore_id, space.ignore_colors[0])
    if id_map is None:
        return colors
    pairs = id_map.items() if isinstance(id_map, Mapping) else enumerate(np.asarray(id_map).tolist())
    return {file_id: colors[class_id] for file_id, class_id in pairs if class_id in colors}
