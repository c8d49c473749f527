"""Colours as single numbers, red << 16 | green << 8 | blue, for comparing, counting and look-up."""

import numpy as np

from helpers.aliases import Color


def color_codes(rgb: np.ndarray) -> np.ndarray:
    """Returns the number of each colour, int32 [...], for RGB uint8 [..., 3]; a fourth channel is ignored."""
    codes = rgb[..., 0].astype(np.int32)
    for channel in (1, 2):
        codes = (codes << 8) | rgb[..., channel]
    return codes


def color_code(color: Color) -> int:
    """Returns the number of one colour."""
    red, green, blue = (int(channel) for channel in color)
    return red << 16 | green << 8 | blue


def color_of_code(code: int) -> Color:
    """Returns (red, green, blue) of a number."""
    code = int(code)
    return code >> 16, code >> 8 & 255, code & 255
