"""Headers of encoded images, and whether a file is complete, without decoding it.

Decoders treat truncated files differently: some versions return the available part, with the rest black. So the
structure is checked before decoding. That takes microseconds, since it jumps from one length field to the next.
"""

import struct
from typing import Callable, Dict, Iterator, NamedTuple, Optional, Tuple

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
#: TIFF and BigTIFF, in both byte orders.
TIFF_SIGNATURES = (b'II*\x00', b'MM\x00*', b'II+\x00', b'MM\x00+')

# PNG colour type -> channels (PNG specification, table 11.1). Type 3 is a palette, 4 and 6 carry alpha.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PALETTE = 3

_JPEG_START_OF_SCAN = 0xDA
_JPEG_APP1 = 0xE1
# SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share the range (ITU T.81, table B.1).
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_END_OF_IMAGE = b'\xff\xd9'
# SOI, and the first byte of the next marker.
_JPEG_START = b'\xff\xd8\xff'

# Markers without content: TEM, and RST0 to SOI (ITU T.81, table B.1).
_JPEG_WITHOUT_CONTENT = frozenset([0x01]) | frozenset(range(0xD0, 0xD9))

#: Deflate expands a byte to at most 1032 bytes (zlib's technical details).
DEFLATE_LIMIT = 1032
#: LZW expands a code of 12 bits to at most the longest string of its table, which is below 4096 bytes.
LZW_LIMIT = 2731
#: Huffman-coded JPEG takes at least a bit for each block of 8 x 8 samples.
JPEG_LIMIT = 512
# JPEG frames that are Huffman-coded and transform blocks (ITU T.81, table B.1): baseline, extended, progressive.
_JPEG_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)

_EXIF_ORIENTATION = 0x0112


class ImageHeader(NamedTuple):
    """Facts about an encoded image. None means that the headers of this format are not read for it."""

    format: str
    channels: Optional[int] = None
    bit_depth: Optional[int] = None
    has_palette: bool = False
    has_alpha: Optional[bool] = None
    orientation: int = 1
    size: Optional[Tuple[int, int]] = None  # (height, width)


def read_header(data: bytes) -> ImageHeader:
    """Reads the header of an encoded image and checks that the file is complete.

    Args:
        data: All bytes of the file.

    Returns:
        The facts. `orientation` is the Exif orientation, 1 to 8, where 1 is upright. `format` is 'png', 'jpeg', 'webp',
        'bmp', 'tiff', 'npy', 'gif', 'pnm', 'jp2' or 'unknown'; for the last six only the format is determined.

    Raises:
        ValueError: The file is empty, or a PNG, JPEG, WebP or BMP that ends too early, has an invalid structure, or
            declares more pixels than its bytes can hold.
    """
    if not data:
        raise ValueError('is empty')
    for signature, read in _READERS.items():
        if data.startswith(signature):
            try:
                return read(data)
            except (struct.error, IndexError) as error:
                raise ValueError('is truncated: it ends within its header') from error
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return ImageHeader(name)
    return ImageHeader('unknown')


def require_room(size: Tuple[int, int], row_bytes: int, available: int, expansion: int = 1) -> None:
    """Refuses a size that `available` bytes cannot hold, or that has no pixel.

    Args:
        size: (height, width).
        expansion: The most bytes to which the compression expands one byte.

    Raises:
        ValueError: The size is refused. The message is to be put after the name of the file.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError('is damaged: its size is {} x {}'.format(height, width))
    if height * row_bytes > available * expansion:
        raise ValueError('is damaged: its {} bytes cannot hold {} x {} pixels'.format(available, height, width))


def _png_header(data: bytes) -> ImageHeader:
    bit_depth, color_type = data[24], data[25]
    size = png_size(data)
    if size is None or color_type not in _PNG_CHANNELS:
        raise ValueError('is damaged: its PNG header is not legal')
    orientation, has_transparency, is_whole = 1, False, False
    for name, start, end in png_chunks(data):
        if end > len(data):
            break
        if name == b'eXIf':
            orientation = _exif_orientation(data[start:end])
        has_transparency = has_transparency or name == b'tRNS'
        is_whole = is_whole or name == b'IEND'
    if not is_whole:
        raise ValueError('is truncated: its PNG data ends early')
    row_bytes = (size[1] * _PNG_CHANNELS[color_type] * bit_depth + 7) // 8
    require_room(size, row_bytes, len(data), 2 * DEFLATE_LIMIT)  # twice, for interlaced rows
    return ImageHeader(
        'png',
        _PNG_CHANNELS[color_type],
        bit_depth,
        color_type == _PNG_PALETTE,
        color_type in (4, 6) or has_transparency,
        orientation,
        size,
    )


def png_size(data: bytes) -> Optional[Tuple[int, int]]:
    """Reads (height, width) of a PNG from its first 24 bytes; None if it is no PNG."""
    if len(data) < 24 or not data.startswith(PNG_SIGNATURE) or data[12:16] != b'IHDR':
        return None
    width, height = struct.unpack_from('>II', data, 16)
    return height, width


def is_palette_png(data: bytes) -> bool:
    """Tells by the first 26 bytes of a file whether it is a PNG with a palette."""
    return data.startswith(PNG_SIGNATURE) and data[25:26] == bytes([_PNG_PALETTE])


def png_transparent_grey(data: bytes, bit_depth: int) -> Optional[int]:
    """Reads which value of a grey PNG is transparent (chunk tRNS), in the bit depth of the file; None if none is."""
    for name, start, end in png_chunks(data):
        if name == b'IDAT':
            return None  # after the pixels the chunk has no meaning
        if name == b'tRNS' and end - start == 2:
            return int(struct.unpack_from('>H', data, start)[0]) & ((1 << bit_depth) - 1)
    return None


def png_chunks(data: bytes) -> Iterator[Tuple[bytes, int, int]]:
    """Yields name, start and end of the content of each chunk; the end may lie beyond the data."""
    position = len(PNG_SIGNATURE)
    while position + 8 <= len(data):
        length, name = struct.unpack_from('>I4s', data, position)
        start = position + 8
        yield name, start, start + length
        position = start + length + 4  # the CRC, which the decoder checks


def _jpeg_header(data: bytes) -> ImageHeader:
    bit_depth = channels = size = None
    orientation, scan = 1, len(data)
    for marker, start, end in _jpeg_segments(data):
        if marker == _JPEG_START_OF_SCAN:
            scan = end
        elif marker in _JPEG_FRAME_MARKERS:
            bit_depth, height, width, channels = struct.unpack_from('>BHHB', data, start)
            size = (height, width)
            if marker in _JPEG_HUFFMAN_FRAMES:
                require_room(size, width, len(data), JPEG_LIMIT)
        elif marker == _JPEG_APP1 and data[start : start + 6] == b'Exif\x00\x00':
            orientation = _exif_orientation(data[start + 6 : end])
    # Searched after the start of the scan: an embedded thumbnail has an end marker too. Cameras append data after it.
    if data.find(_JPEG_END_OF_IMAGE, scan) < 0:
        raise ValueError('is truncated: its JPEG data ends early')
    if size is None:
        raise ValueError('is damaged: its JPEG data has no frame')
    return ImageHeader('jpeg', channels, bit_depth, has_alpha=False, orientation=orientation, size=size)


def is_motion_jpeg(data: bytes) -> bool:
    """Tells by the beginning of a file whether it is raw Motion JPEG: JPEGs of one size, with only zeros between them.

    Photographs may hold two JPEGs, too: the second is a preview, a gain map or the view of the other eye. It has
    another size, or the first lists it (Multi-Picture Format, CIPA DC-007).
    """
    size, end = _jpeg_extent(data)
    second = data.find(_JPEG_START, end)
    if size is None or second < 0 or data[end:second].strip(b'\0') or b'MPF\0' in data[:end]:
        return False
    return size == _jpeg_extent(data[second:])[0]


def _jpeg_extent(data: bytes) -> Tuple[Optional[Tuple[int, int]], int]:
    """(height, width) of the JPEG at the beginning of the data, None if there is none or it is cut; and its end."""
    size, scan = None, len(data)
    if not data.startswith(_JPEG_START):
        return None, 0
    for marker, start, end in _jpeg_segments(data):
        if marker == _JPEG_START_OF_SCAN:
            scan = end
        elif marker in _JPEG_FRAME_MARKERS and start + 5 <= len(data):
            size = struct.unpack_from('>HH', data, start + 1)
    found = data.find(_JPEG_END_OF_IMAGE, scan)
    return (None, len(data)) if found < 0 else (size, found + len(_JPEG_END_OF_IMAGE))


def _jpeg_segments(data: bytes) -> Iterator[Tuple[int, int, int]]:
    """Yields marker, start and end of the content of each segment up to the first scan.

    Bytes between segments are skipped, as every decoder does (libjpeg calls them extraneous).
    """
    position = 2
    while True:
        position = data.find(b'\xff', position)
        if position < 0 or position + 4 > len(data):
            return
        marker = data[position + 1]
        if marker in (0xFF, 0x00):  # a fill byte, or no marker
            position += 1
        elif marker in _JPEG_WITHOUT_CONTENT:
            position += 2
        else:
            end = position + 2 + struct.unpack_from('>H', data, position + 2)[0]
            yield marker, position + 4, end
            if marker == _JPEG_START_OF_SCAN:
                return
            position = end


def _webp_header(data: bytes) -> ImageHeader:
    if data[8:12] != b'WEBP':
        return ImageHeader('unknown')
    size = struct.unpack_from('<I', data, 4)[0] + 8
    if len(data) < size:
        raise ValueError('is truncated: its WebP data ends early')
    position, orientation, pixels = 12, 1, None
    while position + 8 <= size:
        name, length = struct.unpack_from('<4sI', data, position)
        pixels = pixels or _webp_size(name, data[position + 8 : position + 18])
        if name == b'EXIF':
            content = data[position + 8 : position + 8 + length]
            orientation = _exif_orientation(content[6:] if content.startswith(b'Exif\x00\x00') else content)
        position += 8 + length + length % 2
    if pixels is None:
        raise ValueError('is damaged: its WebP data holds no image')
    return ImageHeader('webp', orientation=orientation, size=pixels)


def _webp_size(name: bytes, content: bytes) -> Optional[Tuple[int, int]]:
    """(height, width) from a chunk that declares the size of canvas or image; None for other chunks.

    Source: "WebP Container Specification" for VP8X, RFC 9649 for VP8L, RFC 6386 section 9.1 for VP8.
    """
    if name == b'VP8X':
        width, height = content[4:7], content[7:10]
        return int.from_bytes(height, 'little') + 1, int.from_bytes(width, 'little') + 1
    if name == b'VP8L':
        bits = struct.unpack_from('<I', content, 1)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if name == b'VP8 ':
        width, height = struct.unpack_from('<HH', content, 6)
        return height & 0x3FFF, width & 0x3FFF
    return None


def _bmp_header(data: bytes) -> ImageHeader:
    """Reads BITMAPFILEHEADER, and after it BITMAPCOREHEADER (12 bytes, OS/2) or one of the longer headers."""
    offset, header_bytes = struct.unpack_from('<II', data, 10)
    compression = 0
    if header_bytes == 12:
        width, height, _, bits = struct.unpack_from('<HHHH', data, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from('<iiHHI', data, 18)
    height = abs(height)  # negative if the first row is the top one
    is_packed = compression not in (1, 2)  # all but the two run-length encodings, which expand 2 bytes to at most 255
    if is_packed:
        require_room((height, width), (width * bits + 31) // 32 * 4, len(data) - offset)
    else:
        require_room((height, width), (width * bits + 7) // 8, len(data), 255)
    return ImageHeader('bmp', size=(height, width))


def _exif_orientation(exif: bytes) -> int:
    """The orientation tag of a block of Exif data, which has the structure of a TIFF file; 1 if there is none."""
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


_READERS: Dict[bytes, Callable[[bytes], ImageHeader]] = {
    PNG_SIGNATURE: _png_header,
    b'\xff\xd8': _jpeg_header,
    b'RIFF': _webp_header,
    b'BM': _bmp_header,
}

_SIGNATURES = {
    **dict.fromkeys(TIFF_SIGNATURES, 'tiff'),
    b'\x93NUMPY': 'npy',
    b'GIF8': 'gif',
    b'P4': 'pnm',
    b'P5': 'pnm',
    b'P6': 'pnm',
    b'\x00\x00\x00\x0cjP  ': 'jp2',
}
