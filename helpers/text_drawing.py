"""Anti-aliased text on images.

OpenCV 5 includes scalable typefaces, OpenCV 4 a stroke font for ASCII. No font files of the machine are used, so a
picture is the same on every machine with the same libraries.
"""

import unicodedata
from typing import Tuple

import cv2
import numpy as np

from helpers.aliases import Color

#: The smallest readable height of a line, in pixels.
SMALLEST_LINE = 12

_FONT = cv2.FONT_HERSHEY_SIMPLEX  # for OpenCV 5 the name of a typeface with the same proportions
_HAS_TYPEFACES = hasattr(cv2, 'FontFace')

# At scale 1 a line with its descenders is 34 pixels high, and the baseline is at three quarters of it.
_LINE_HEIGHT = 34.0
_BASELINE = 0.76


def text_width(text: str, height: int) -> int:
    """Returns the width in pixels of one line of text that is `height` pixels high, descenders included."""
    return int(cv2.getTextSize(_drawable(text), _FONT, height / _LINE_HEIGHT, _thickness(height))[0][0])


def draw_text(image: np.ndarray, text: str, position: Tuple[int, int], height: int, color: Color) -> None:
    """Draws one line of text into an image, cut off at its borders.

    Args:
        image: A contiguous uint8 array of shape [H, W, 3], RGB, or a rectangular view of one; changed in place.
        text: The text. Under OpenCV 4 accents are dropped and letters outside ASCII become '?'.
        position: (y, x) of the top left corner of the line.
        height: The height of the line in pixels, descenders included.
        color: RGB, 0 to 255.
    """
    baseline = (position[1], position[0] + int(round(_BASELINE * height)))
    cv2.putText(image, _drawable(text), baseline, _FONT, height / _LINE_HEIGHT, color, _thickness(height), cv2.LINE_AA)


def shorten_text(text: str, height: int, width: int) -> str:
    """Shortens a text to its beginning with '...', at most `width` pixels wide; empty if nothing fits."""
    if text_width(text, height) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shortened = text[:length].rstrip() + '...'
        if text_width(shortened, height) <= width:
            return shortened
    return ''


def drawable_name(name: str, number: int) -> str:
    """Returns the name of a class; 'class NUMBER' if no character of it can be drawn."""
    return name if _drawable(name).strip('? ') else 'class {}'.format(number)


def _thickness(height: int) -> int:
    # The weight of a typeface, which scales by itself; otherwise the width of a stroke.
    return 1 if _HAS_TYPEFACES else max(1, int(round(1.6 * height / _LINE_HEIGHT)))


def _drawable(text: str) -> str:
    if _HAS_TYPEFACES:
        return text
    letters = unicodedata.normalize('NFKD', text)
    return (
        ''.join(letter for letter in letters if not unicodedata.combining(letter))
        .encode('ascii', 'replace')
        .decode('ascii')
    )
