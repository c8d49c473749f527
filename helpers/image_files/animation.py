"""Whether an image file holds several frames."""

import io
import os
import struct
from typing import BinaryIO, Iterator

from helpers.aliases import PathLike
from helpers.image_files.headers import PNG_SIGNATURE


def is_animated(path: PathLike) -> bool:
    """Tells by its content whether a file is a GIF, PNG or WebP with several frames. Pixels are not decoded.

    False for a file that cannot be read: reading it as an image reports what is wrong.
    """
    try:
        with open(path, 'rb') as file:
            return _holds_frames(file)
    except OSError:
        return False


def holds_frames(data: bytes) -> bool:
    """Tells the same as `is_animated`, from the bytes of a file."""
    return _holds_frames(io.BytesIO(data))


def _holds_frames(file: BinaryIO) -> bool:
    start = file.read(12)
    try:
        if start.startswith(b'GIF8'):
            return _is_animated_gif(file)
        if start.startswith(PNG_SIGNATURE):
            return _is_animated_png(file)
        return start[:4] == b'RIFF' and start[8:] == b'WEBP' and _is_animated_webp(file)
    except struct.error:  # the file ends within a chunk
        return False


def _is_animated_gif(file: BinaryIO) -> bool:
    from PIL import Image

    file.seek(0)
    try:
        with Image.open(file, formats=('GIF',)) as image:
            return bool(image.is_animated)
    except Exception:  # Pillow raises many types for damaged files
        return False


def _is_animated_png(file: BinaryIO) -> bool:
    """By the chunk acTL, which begins with the number of frames and stands before the pixels (PNG 3, 11.3.2.1)."""
    file.seek(len(PNG_SIGNATURE))
    while True:
        length, name = struct.unpack('>I4s', file.read(8))
        if name in (b'acTL', b'IDAT', b'IEND'):
            return bool(name == b'acTL' and struct.unpack('>I', file.read(4))[0] > 1)
        file.seek(length + 4, os.SEEK_CUR)


def _is_animated_webp(file: BinaryIO) -> bool:
    """By the flag of the chunk VP8X, and because frames are chunks ANMF ("WebP Container Specification")."""
    name, length, flags = struct.unpack('<4sIB', file.read(9))
    if name != b'VP8X' or not flags & 0x02:
        return False
    file.seek(length + length % 2 - 1, os.SEEK_CUR)
    frames = (name for name in _riff_chunks(file) if name == b'ANMF')
    return next(frames, None) is not None and next(frames, None) is not None


def _riff_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yields the names of the chunks from here on."""
    while True:
        name, length = struct.unpack('<4sI', file.read(8))
        yield name
        file.seek(length + length % 2, os.SEEK_CUR)
