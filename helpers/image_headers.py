"""What the first bytes of an encoded image say, and whether the file is whole, without decoding it.

Decoders differ in what they do with half a file: some versions return the part that was there, with the rest black.
So the structure is walked before decoding. That takes microseconds, as it jumps from one length field to the next.
"""

import struct
from typing import Iterator, NamedTuple, Optional, Tuple

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'

# PNG colour type -> channels (PNG specification, table 11.1). Type 3 is a palette, 4 and 6 carry alpha.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PALETTE = 3

_JPEG_START_OF_SCAN = 0xDA
_JPEG_APP1 = 0xE1
# SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share the range (ITU T.81, table B.1).
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_END_OF_IMAGE = b'\xff\xd9'

_EXIF_ORIENTATION = 0x0112


class ImageHeader(NamedTuple):
    """Facts about an encoded image. `None` means that the format's header was not read for it."""

    format: str
    channels: Optional[int] = None
    bit_depth: Optional[int] = None
    has_palette: bool = False
    has_alpha: Optional[bool] = None
    orientation: int = 1


def read_header(data: bytes) -> ImageHeader:
    """Reads the header of an encoded image and checks that the file is whole.

    Arguments:
        data: All bytes of the file.

    Returns:
        The facts. `orientation` is the Exif orientation, 1 to 8, where 1 is upright. `format` is 'png', 'jpeg', 'webp',
        'tiff', 'bmp' or 'unknown'; of the last three no more than the format is read.

    Raises:
        ValueError: The file is empty, or a PNG, JPEG or WebP that ends too early or has no legal structure.
    """
    if not data:
        raise ValueError('is empty')
    try:
        if data.startswith(PNG_SIGNATURE):
            return _png_header(data)
        if data.startswith(b'\xff\xd8'):
            return _jpeg_header(data)
        if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
            return _webp_header(data)
    except (struct.error, IndexError) as error:
        raise ValueError('is truncated: it ends within its header') from error
    if data[:4] in (b'II*\x00', b'MM\x00*', b'II+\x00', b'MM\x00+'):
        return ImageHeader('tiff')
    return ImageHeader('bmp' if data.startswith(b'BM') else 'unknown')


def _png_header(data: bytes) -> ImageHeader:
    bit_depth, color_type = data[24], data[25]
    if data[12:16] != b'IHDR' or color_type not in _PNG_CHANNELS:
        raise ValueError('is damaged: its PNG header is not legal')
    orientation, has_transparency, is_whole = 1, False, False
    for name, start, end in _png_chunks(data):
        if end > len(data):
            break
        if name == b'eXIf':
            orientation = _exif_orientation(data[start:end])
        has_transparency = has_transparency or name == b'tRNS'
        is_whole = is_whole or name == b'IEND'
    if not is_whole:
        raise ValueError('is truncated: its PNG data ends early')
    return ImageHeader(
        'png',
        _PNG_CHANNELS[color_type],
        bit_depth,
        color_type == _PNG_PALETTE,
        color_type in (4, 6) or has_transparency,
        orientation,
    )


def _png_chunks(data: bytes) -> Iterator[Tuple[bytes, int, int]]:
    """Yields name, start and end of the content of each chunk; the end may lie behind the end of the data."""
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(data):
        length, name = struct.unpack_from('>I4s', data, position)
        start = position + 8
        yield name, start, start + length
        position = start + length + 4  # the CRC, which the decoder checks


def _jpeg_header(data: bytes) -> ImageHeader:
    bit_depth = channels = None
    orientation, scan = 1, len(data)
    for marker, start, end in _jpeg_segments(data):
        if marker == _JPEG_START_OF_SCAN:
            scan = end
        elif marker in _JPEG_FRAME_MARKERS:
            bit_depth, channels = data[start], data[start + 5]
        elif marker == _JPEG_APP1 and data[start : start + 6] == b'Exif\x00\x00':
            orientation = _exif_orientation(data[start + 6 : end])
    # Searched behind the start of the scan: an embedded thumbnail has an end marker too. Cameras append data behind it.
    if data.find(_JPEG_END_OF_IMAGE, scan) < 0:
        raise ValueError('is truncated: its JPEG data ends early')
    return ImageHeader('jpeg', channels, bit_depth, has_alpha=False, orientation=orientation)


def _jpeg_segments(data: bytes) -> Iterator[Tuple[int, int, int]]:
    """Yields marker, start and end of the content of each segment up to the first scan."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError('is damaged: its JPEG segments are not legal')
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        end = position + 2 + struct.unpack_from('>H', data, position + 2)[0]
        yield marker, position + 4, end
        if marker == _JPEG_START_OF_SCAN:
            return
        position = end


def _webp_header(data: bytes) -> ImageHeader:
    size = struct.unpack_from('<I', data, 4)[0] + 8
    if len(data) < size:
        raise ValueError('is truncated: its WebP data ends early')
    position, orientation = 12, 1
    while position + 8 <= size:
        name, length = struct.unpack_from('<4sI', data, position)
        if name == b'EXIF':
            content = data[position + 8 : position + 8 + length]
            orientation = _exif_orientation(content[6:] if content.startswith(b'Exif\x00\x00') else content)
        position += 8 + length + length % 2
    return ImageHeader('webp', orientation=orientation)


def _exif_orientation(exif: bytes) -> int:
    """The orientation tag of a block of Exif data, which has the structure of a TIFF file; 1 where there is none."""
    order = {b'II': '<', b'MM': '>'}.get(exif[:2])
    if order is None:
        return 1
    try:
        directory = struct.unpack_from(order + 'I', exif, 4)[0]
        count = struct.unpack_from(order + 'H', exif, directory)[0]
        for index in range(count):
            tag, _, _, value = struct.unpack_from(order + 'HHIH', exif, directory + 2 + 12 * index)
            if tag == _EXIF_ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass  # damaged Exif data says nothing about the pixels
    return 1
