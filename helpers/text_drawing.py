"""Anti-aliased text on images.

OpenCV 5 includes scalable typefaces, OpenCV 4 a stroke font for ASCII. No font files of the machine are used, so a
picture is the same on every machine with the same libraries. Hebrew is brought into the order in which it is seen;
Arabic and its relatives, whose letters join, cannot be drawn.
"""

import re
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

# Parts of sets of letters: those of Hebrew, and all but letters that are read from left to right.
_HEBREW, _NO_LATIN = '\u05d0-\u05f4\ufb1d-\ufb4f', '\\W\\d_\u05d0-\u05f4\ufb1d-\ufb4f'
_LETTER, _NUMBER = re.compile(r'[^\W\d_]'), r'[#$]?\d+(?:[.,:/+-]\d+)*%?'
# A stretch begins with a letter of its script and ends with one, a number, or brackets that it opened.
_STRETCH = r'[{0}](?:(?:(?![()])[{1}])*(?:[{0}]|\d%?|\([{1}]*\)))*'
_FROM_RIGHT = re.compile(_STRETCH.format(_HEBREW, _NO_LATIN))
# What keeps its order among Hebrew: words of other scripts, and numbers. Otherwise a piece is one character.
_FROM_LEFT = _STRETCH.format('^' + _NO_LATIN, '^' + _HEBREW)
_PIECES = re.compile('(?:{1})?{0}|{1}|.'.format(_FROM_LEFT, _NUMBER), re.DOTALL)
_MIRRORED = str.maketrans('()[]{}<>', ')(][}{><')


def text_width(text: str, height: int) -> int:
    """Returns the width in pixels of one line of text that is `height` pixels high, descenders included."""
    return int(cv2.getTextSize(_drawable(text), _FONT, height / _LINE_HEIGHT, _thickness(height))[0][0])


def draw_text(image: np.ndarray, text: str, position: Tuple[int, int], height: int, color: Color) -> None:
    """Draws one line of text into an image, cut off at its borders.

    Args:
        image: A contiguous uint8 array of shape [H, W, 3], RGB, or a rectangular view of one; changed in place.
        text: The text. Letters of Arabic and its relatives become '?'. Under OpenCV 4 accents are dropped and all
            letters outside ASCII become '?'.
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
        return _as_seen(text)
    letters = unicodedata.normalize('NFKD', text)
    return (
        ''.join(letter for letter in letters if not unicodedata.combining(letter))
        .encode('ascii', 'replace')
        .decode('ascii')
    )


def _as_seen(text: str) -> str:
    """A text in the order of its letters from left to right: a simple form of https://unicode.org/reports/tr9/."""
    if all(unicodedata.bidirectional(letter) not in ('R', 'AL') for letter in text):
        return text
    # Vowel points and marks of direction have no place of their own.
    letters = [letter for letter in text if unicodedata.category(letter) not in ('Mn', 'Cf')]
    text = ''.join('?' if _is_undrawable(letter) else letter for letter in letters)
    first = _LETTER.search(text)
    if first and unicodedata.bidirectional(first.group()) == 'R':
        return _turned(text)
    return _FROM_RIGHT.sub(lambda found: _turned(found.group()), text)


def _is_undrawable(letter: str) -> bool:
    """Whether a letter belongs to a script that is written from right to left, other than Hebrew."""
    return unicodedata.bidirectional(letter) in ('R', 'AL') and not re.match('[{}]'.format(_HEBREW), letter)


def _turned(text: str) -> str:
    pieces = _PIECES.findall(text)
    return ''.join(piece if len(piece) > 1 else piece.translate(_MIRRORED) for piece in reversed(pieces))
