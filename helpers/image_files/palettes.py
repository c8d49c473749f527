"""Palettes of label files: the colours of pixels decide their meaning.

An optimiser may turn a grey PNG into a palette PNG of the same picture, and a tool may reorder the entries of a
palette. So a palette of greys is read as grey values, and a palette of colours is compared before its indices are
trusted.
"""

import itertools
import struct
import zlib
from typing import Dict, List, Mapping, NamedTuple, Optional

import cv2
import numpy as np

from helpers.aliases import Color
from helpers.image_files.headers import is_palette_png, png_chunks


class LabelFile(NamedTuple):
    """The content of a label file: `values` [H, W], uint8 or uint16, and their colours.

    `palette` is uint8 [K, 3], RGB. It is None if the values are grey values, as in grey files. Two fields are for
    datasets in which other files show that greys are colours, too: `indices` are the indices of a palette of greys, and
    `grey_step` is the step between values of a grey file on the 8-bit grey scale; 0 for more bits.
    """

    values: np.ndarray
    palette: Optional[np.ndarray]
    indices: Optional['LabelFile'] = None
    grey_step: int = 0


def by_look(indices: np.ndarray, palette: np.ndarray) -> LabelFile:
    """Resolves a palette of greys.

    Args:
        indices: uint8 or uint16 [H, W].
        palette: uint8 [K, 3], RGB.

    Returns:
        The grey values and no palette, if all entries are grey; else the indices and the palette.

    Raises:
        ValueError: An index has no entry.
    """
    used = used_values(indices)
    if used[-1] >= len(palette):
        raise ValueError('has pixels of index {}, and its palette has {} entries'.format(used[-1], len(palette)))
    label = LabelFile(indices, palette)
    return LabelFile(palette[:, 0][indices], None, label, 1) if is_grey(palette) else label


def in_colors(label: LabelFile) -> Optional[LabelFile]:
    """Returns a grey label file with the colours of its values; None if they are no 8-bit greys."""
    if label.palette is not None or label.indices is not None:
        return label.indices or label
    if not label.grey_step:
        return None
    greys = np.arange(0, 256, label.grey_step, dtype=np.uint8)
    return LabelFile(label.values, np.repeat(greys[:, np.newaxis], 3, axis=1))


def is_grey(palette: np.ndarray) -> bool:
    """Tells whether all entries of a palette [K, 3] are grey."""
    return bool((palette == palette[:, :1]).all())


def used_values(values: np.ndarray) -> List[int]:
    """Lists the values that occur in an array [H, W] of uint8 or uint16, in ascending order."""
    if values.dtype == np.uint8:  # five times as fast as bincount, which converts to 64 bits
        counts = cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256])
    else:
        counts = np.bincount(values.ravel())
    return [int(value) for value in np.flatnonzero(counts)]


def used_colors(label: LabelFile) -> Dict[int, Color]:
    """Returns the colours of the values that occur in a label file."""
    if label.palette is None:
        return {}
    return {index: as_color(label.palette[index]) for index in used_values(label.values)}


class ColorTable:
    """Which colours stand for which IDs, and which of them are unambiguous.

    Args:
        colors: From ID to its colour.
        class_of: From ID to its meaning, if several IDs may mean the same; None if all meanings differ.
    """

    def __init__(self, colors: Mapping[int, Color], class_of: Optional[Mapping[int, int]] = None) -> None:
        self.colors = colors
        ids: Dict[Color, List[int]] = {}
        filling = _filling(colors)
        for index, color in sorted(colors.items()):
            if index not in filling:
                ids.setdefault(color, []).append(index)
        self._id_of = {
            color: indices[0]
            for color, indices in ids.items()
            if len({(class_of or {}).get(i, i) for i in indices}) == 1
        }
        self._dtype = np.min_scalar_type(max(colors, default=0))

    def ids(self, label: LabelFile) -> Optional[np.ndarray]:
        """Finds the class IDs [H, W] of a palette file by their colours.

        Returns:
            The unchanged indices, if the indices that occur have the table's colours or the palette has all colours in
            their places; the IDs of the colours, if these are in another order; None if a colour is unknown or stands
            for several IDs.
        """
        used = used_colors(label)
        if all(self.colors.get(index) == color for index, color in used.items()) or self._is_in_order(label):
            return label.values
        is_told = len(set(used.values())) == len(used) and all(color in self._id_of for color in used.values())
        if not is_told:
            return None
        table = np.zeros(max(used) + 1, self._dtype)
        for index, color in used.items():
            table[index] = self._id_of[color]
        return table[label.values]

    def _is_in_order(self, label: LabelFile) -> bool:
        palette = label.palette
        if palette is None or not self.colors or max(self.colors) >= len(palette):
            return False
        return bool((palette[list(self.colors)] == np.array(list(self.colors.values()))).all())


def _filling(colors: Mapping[int, Color]) -> List[int]:
    """The entries at the end of a palette that repeat one colour: padding, except perhaps the first of them."""
    last = sorted(colors, reverse=True)
    run = list(itertools.takewhile(lambda index: colors[index] == colors[last[0]], last))
    if len(run) < 2:
        return []
    is_new = all(color != colors[run[0]] for index, color in colors.items() if index < run[-1])
    return run[:-1] if is_new else run


def as_color(entry: np.ndarray) -> Color:
    """Returns one row of a palette, uint8 [3], as (red, green, blue)."""
    red, green, blue = (int(channel) for channel in entry)
    return red, green, blue


def png_palette(data: bytes) -> Optional[np.ndarray]:
    """Reads the palette of a PNG from its first bytes: uint8 [K, 3]; None if there is none or it is damaged."""
    if not is_palette_png(data):
        return None
    for name, start, end in png_chunks(data):
        if name == b'PLTE':
            entries = data[start:end]
            is_sound = data[end : end + 4] == _checksum(name, entries)
            return np.frombuffer(entries[: len(entries) // 3 * 3], np.uint8).reshape(-1, 3) if is_sound else None
    return None


def check_png_checksums(data: bytes) -> None:
    """Raises ValueError for a PNG with a wrong checksum, which Pillow does not verify in palette files."""
    for name, start, end in png_chunks(data):
        if start + 4 > len(data):  # too little is left for a checksum
            return
        if data[end : end + 4] != _checksum(name, data[start:end]):
            raise ValueError(
                'is damaged: the checksum of its part {} is wrong'.format(name.decode('ascii', 'backslashreplace'))
            )
        if name == b'IEND':
            return


def _checksum(name: bytes, content: bytes) -> bytes:
    return struct.pack('>I', zlib.crc32(content, zlib.crc32(name)))
