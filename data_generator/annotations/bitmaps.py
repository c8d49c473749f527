"""Masks as images within annotations (labelme, Supervisely): small PNGs in base64."""

import base64
import binascii
import zlib
from typing import Any, Optional, Tuple

import cv2
import numpy as np

from data_generator.annotations.values import MAX_MASK_PIXELS
from helpers.image_files.headers import read_header
from helpers.polygons import Window

_MAX_BYTES = 2**27


def window_of_bitmap(data: bytes, top: int, left: int, size: Optional[Tuple[int, int]] = None) -> Window:
    """Returns the mask in a PNG, where it is not 0 or not transparent, with its first pixel at (top, left).

    Args:
        size: The required (height, width), if known.

    Raises:
        ValueError: It is no PNG, too large or of another size.
    """
    try:
        header = read_header(data)
    except ValueError:
        header = None
    if (
        header is None
        or header.format != 'png'
        or header.size is None
        or np.prod(header.size, dtype=float) > MAX_MASK_PIXELS
    ):
        raise ValueError('a mask that is no PNG of a size that can be read')
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or (size is not None and pixels.shape[:2] != size):
        raise ValueError('a mask of another size than its box')
    if pixels.ndim == 3:
        pixels = pixels[..., 3] if pixels.shape[2] == 4 else pixels.max(axis=2)
    return Window(top, left, pixels > 0)


def unpacked_bitmap(text: Any) -> bytes:
    """Returns the PNG from Supervisely's form: compressed by zlib, in base64.

    Raises:
        ValueError: It is in another form, or too large.
    """
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(text), _MAX_BYTES)
    except (zlib.error, binascii.Error, TypeError, ValueError):
        raise ValueError('a mask that cannot be unpacked') from None
    if unpacking.unconsumed_tail:
        raise ValueError('a mask of more than {} MB'.format(_MAX_BYTES // 10**6))
    return data
