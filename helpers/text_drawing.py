"""Anti-aliased text on images, in the best typeface that the installed libraries carry themselves.

Pillow has a scalable typeface since 10.1; before that OpenCV's stroke font is used. No font file of the machine is
looked for, so a picture is the same on every machine with the same libraries.
"""

import functools
import unicodedata
from typing import Any, Optional, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = Tuple[int, int, int]

# Capital letters of the stroke font are 21 units high at scale 1, and a line needs about 1.6 times that.
_STROKE_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STROKE_LINE_UNITS = 34.0


def text_width(text: str, height: int) -> int:
    """The width in pixels of one line of text that is `height` pixels high, descenders included."""
    font = _scalable_font(height)
    if font is not None:
        return int(np.ceil(font.getlength(text)))
    scale, thickness = _stroke_scale(height)
    return int(cv2.getTextSize(_ascii(text), _STROKE_FONT, scale, thickness)[0][0])


def draw_text(image: np.ndarray, text: str, position: Tuple[int, int], height: int, color: Color) -> None:
    """Draws one line of text into an image, cut off at its borders.

    Arguments:
        image: A uint8 array of shape [H, W, 3], RGB; changed in place.
        text: The text. Letters that the typeface lacks are replaced.
        position: (y, x) of the top left corner of the line.
        height: The height of the line in pixels, descenders included.
        color: RGB, 0 to 255.
    """
    font = _scalable_font(height)
    y, x = position
    if font is None:
        scale, thickness = _stroke_scale(height)
        baseline = y + int(round(0.76 * height))
        cv2.putText(image, _ascii(text), (x, baseline), _STROKE_FONT, scale, color, thickness, cv2.LINE_AA)
        return
    bottom, right = min(y + 2 * height, image.shape[0]), min(x + text_width(text, height) + height, image.shape[1])
    top, left = max(y, 0), max(x, 0)
    if top >= bottom or left >= right:
        return
    area = Image.fromarray(image[top:bottom, left:right])
    ImageDraw.Draw(area).text((x - left, y - top + height // 2), text, fill=tuple(color), font=font, anchor='lm')
    image[top:bottom, left:right] = np.asarray(area)


def shorten_text(text: str, height: int, width: int) -> str:
    """The text, or as much of its beginning with '...' as is at most `width` pixels wide; empty where nothing fits."""
    if text_width(text, height) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shortened = text[:length].rstrip() + '...'
        if text_width(shortened, height) <= width:
            return shortened
    return ''


@functools.lru_cache(maxsize=64)
def _scalable_font(height: int) -> Optional[Any]:
    try:
        return ImageFont.load_default(size=max(1, round(0.8 * height)))
    except (TypeError, ImportError):  # Pillow before 10.1, or built without FreeType
        return None


def _stroke_scale(height: int) -> Tuple[float, int]:
    scale = height / _STROKE_LINE_UNITS
    return scale, max(1, int(round(1.6 * scale)))


def _ascii(text: str) -> str:
    return unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode('ascii')
