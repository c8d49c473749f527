"""Palettes of label files: what the pixels look like decides what they are.

An optimiser turns a grey PNG into a palette PNG of the same picture, and a tool may sort the entries of a palette as it
likes. So a palette of greys is those grey values, and a palette of colours is compared before its indices are trusted.
"""

import struct
import zlib
from typing import Dict, Mapping, NamedTuple, Optional

import numpy as np

from helpers.aliases import Color
from helpers.image_files.headers import is_palette_png, png_chunks


class LabelFile(NamedTuple):
    """What a label file holds: `values` [H, W], uint8 or uint16, and what colour stands for which of them.

    `palette` is uint8 [K, 3], RGB. It is None where values are the numbers that the pixels look like, as in grey files.
    """

    values: np.ndarray
    palette: Optional[np.ndarray]


def by_look(indices: np.ndarray, palette: np.ndarray) -> LabelFile:
    """Resolves a palette of greys.

    Args:
        indices: uint8 or uint16 [H, W].
        palette: uint8 [K, 3], RGB.

    Returns:
        The grey values, and no palette, where all entries are grey; else the indices and the palette.

    Raises:
        ValueError: An index has no entry.
    """
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    if used.size and used[-1] >= len(palette):
        raise ValueError('has pixels of index {}, and its palette has {} entries'.format(used[-1], len(palette)))
    if is_grey(palette):
        return LabelFile(palette[:, 0][indices], None)
    return LabelFile(indices, palette)


def is_grey(palette: np.ndarray) -> bool:
    """Tells whether all entries of a palette [K, 3] are grey."""
    return bool((palette == palette[:, :1]).all())


def used_colors(label: LabelFile) -> Dict[int, Color]:
    """Looks up which colours the values of a label file have that occur in it."""
    if label.palette is None:
        return {}
    used = np.flatnonzero(np.bincount(label.values.ravel()))
    return {int(index): as_color(label.palette[index]) for index in used}


def ids_by_palette(label: LabelFile, expected: Mapping[int, Color]) -> Optional[np.ndarray]:
    """Finds the class IDs [H, W] of a palette file by the colours that stand for them.

    Args:
        expected: From ID to its colour.

    Returns:
        The indices as they are where each that occurs has its expected colour; what the colours say where the palette
        has them in another order; None where a colour is none of these.
    """
    colors = used_colors(label)
    if all(expected.get(index) == color for index, color in colors.items()):
        return label.values
    id_of = {color: index for index, color in sorted(expected.items(), reverse=True)}
    if not all(color in id_of for color in colors.values()):
        return None
    table = np.zeros(max(colors) + 1, np.min_scalar_type(max(expected)))
    for index, color in colors.items():
        table[index] = id_of[color]
    return table[label.values]


def as_color(entry: np.ndarray) -> Color:
    """Returns one row of a palette, uint8 [3], as (red, green, blue)."""
    red, green, blue = (int(channel) for channel in entry)
    return red, green, blue


def png_palette(data: bytes) -> Optional[np.ndarray]:
    """Reads the palette of a PNG from its first bytes: uint8 [K, 3]; None where there is none, or a damaged one."""
    if not is_palette_png(data):
        return None
    for name, start, end in png_chunks(data):
        if name == b'PLTE':
            entries = data[start:end]
            is_sound = data[end : end + 4] == _checksum(name, entries)
            return np.frombuffer(entries[: len(entries) // 3 * 3], np.uint8).reshape(-1, 3) if is_sound else None
    return None


def check_png_checksums(data: bytes) -> None:
    """Raises ValueError for a PNG in which a bit has changed; of palette files Pillow does not look at that."""
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
