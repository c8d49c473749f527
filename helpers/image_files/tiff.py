"""TIFF files: their tags decide what the numbers in them mean.

tifffile reads the tags and most of the data. Compressions that it cannot unpack by itself are left to Pillow and OpenCV
if these are known to return the numbers unchanged, else to rasterio, if that is installed.
"""

import importlib
import io
import logging
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from helpers.counted import counted
from helpers.image_files.headers import DEFLATE_LIMIT, JPEG_LIMIT, LZW_LIMIT
from helpers.image_rules import Pixels
from helpers.process.memory import require_memory

# TIFF 6.0, section 8: PhotometricInterpretation.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR = range(7)
_COLOUR_NAMES = {8: 'CIE L*a*b*', 9: 'ICC L*a*b*', 10: 'ITU L*a*b*', 32803: 'a raw colour filter array', 34892: 'raw'}

# Compression: none, deflate (two numbers), LZMA. For these tifffile detects damage without further packages.
_CHECKED_COMPRESSIONS = (1, 8, 32946, 34925)
_JPEG_COMPRESSIONS = (6, 7, 34892, 33007)
# Compressions that may change values: JPEG, JPEG 2000, WebP, LERC, JPEG XL.
_LOSSY_COMPRESSIONS = _JPEG_COMPRESSIONS + (33003, 33004, 33005, 34712, 34887, 50001, 50002, 52546)
# Compression -> the most bytes to which it expands one: none, LZW, JPEG of up to four bands, deflate, PackBits. The
# others have no bound.
_EXPANSIONS = {1: 1, 5: LZW_LIMIT, 7: 4 * JPEG_LIMIT, 8: DEFLATE_LIMIT, 32946: DEFLATE_LIMIT, 32773: 64}
_COMPRESSION_NAMES = {
    2: 'CCITT',
    3: 'CCITT fax 3',
    4: 'CCITT fax 4',
    5: 'LZW',
    7: 'JPEG',
    32773: 'PackBits',
    50000: 'Zstandard',
}

#: ExtraSamples: 1 and 2 are alpha, 0 is anything.
ALPHAS = {1: 'premultiplied', 2: 'straight'}

# Values of NewSubfileType: a reduced copy (an overview) and a transparency mask.
_NO_IMAGE = 1 | 4
_MAX_PAGES = 256
_MAX_BANDS = 4096

logging.getLogger('tifffile').addHandler(logging.NullHandler())  # it logs damage, for which this module raises errors


class TiffFacts(NamedTuple):
    """The tags of a TIFF: `size` is (height, width); `dtype` is None if the type of the samples is not known."""

    size: Tuple[int, int]
    bands: int
    bits: int
    dtype: Optional[np.dtype]
    photometric: int
    compression: int
    extra: Tuple[int, ...]
    is_planar: bool
    orientation: int
    num_pages: int


def read_tiff(data: bytes, name: Any) -> Pixels:
    """Reads the numbers of a TIFF file. Several pages of one size with one band each are the bands of one image.

    Args:
        data: All bytes of the file.
        name: The name of the file, for messages.

    Raises:
        ValueError: The file is truncated, damaged, too large for the memory, or of an unsupported kind. The message
            names the file and the reason.
    """
    tifffile = importlib.import_module('tifffile')
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            pages = image_pages(file)
            facts = _facts(pages)
            problem = _problem(facts) or _damage(pages, facts, len(data))
            if problem:
                raise ValueError('{} {}.'.format(name, problem))
            _require_memory(facts, name)
            palette = _palette(pages[0]) if facts.photometric == _PALETTE else None
            values = _values(data, pages, facts)
    except (ValueError, MemoryError) as error:
        if str(error).startswith(str(name)):
            raise
        raise damaged(name, error) from error
    except Exception as error:  # damaged files make tifffile raise many types
        raise damaged(name, error) from error
    if values is None:
        raise ValueError(_unread(facts, name))
    return Pixels(
        values,
        facts.bits,
        _alpha(facts),
        palette,
        is_inverted=facts.photometric == _WHITE_IS_ZERO,
        is_cmyk=facts.photometric == _CMYK,
        is_lossy=facts.compression in _LOSSY_COMPRESSIONS,
    )


def tiff_palette(path: str) -> Optional[np.ndarray]:
    """Reads the palette of a TIFF file from its tags, uint8 [K, 3]; None if it has none.

    For a damaged file tifffile may raise any exception.
    """
    tifffile = importlib.import_module('tifffile')
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return _palette(page) if int(page.photometric) == _PALETTE else None


def damaged(name: Any, error: Exception) -> ValueError:
    """Returns the error to raise where an image file is damaged or truncated."""
    reason = str(error).strip() or type(error).__name__
    return ValueError(
        '{} cannot be decoded: it is truncated or damaged ({}). Replace it by a whole copy, or take it out.'.format(
            name, reason
        )
    )


def image_pages(file: Any) -> List[Any]:
    """Lists the pages of a `tifffile.TiffFile` that are images: no overviews and masks. Raises ValueError for none."""
    pages: List[Any] = []
    for page in file.pages:
        if not pages or not int(page.subfiletype) & _NO_IMAGE:
            pages.append(page)
        if len(pages) > _MAX_PAGES:
            break
    if not pages:
        raise ValueError('it has no image')
    return pages


def _facts(pages: List[Any]) -> TiffFacts:
    page = pages[0]
    bands = int(page.samplesperpixel)
    extra = tuple(int(value) for value in page.extrasamples)
    return TiffFacts(
        size=(int(page.imagelength), int(page.imagewidth)),
        bands=bands if len(pages) == 1 else bands * len(pages),
        bits=int(page.bitspersample),
        dtype=None if page.dtype is None else np.dtype(page.dtype),
        photometric=int(page.photometric),
        compression=int(page.compression),
        extra=extra,
        is_planar=int(page.planarconfig or 1) == 2 and bands > 1,
        orientation=_orientation(page),
        num_pages=len(pages),
    )


def _orientation(page: Any) -> int:
    tag = page.tags.get('Orientation')
    return int(tag.value) if tag is not None and isinstance(tag.value, int) and 1 <= tag.value <= 8 else 1


def _problem(facts: TiffFacts) -> Optional[str]:
    """Why an undamaged file of this kind cannot be read; None if it can."""
    if facts.num_pages > _MAX_PAGES:
        return (
            'has more than {} pages, which are taken for the bands of one image. Split it; tifffile.imwrite writes an '
            "array [H, W, C] as one page with planarconfig='contig'".format(_MAX_PAGES)
        )
    if facts.photometric in _COLOUR_NAMES:
        return 'holds {}, which is not read. Convert the file to RGB'.format(_COLOUR_NAMES[facts.photometric])
    if facts.photometric == _YCBCR and facts.compression not in _JPEG_COMPRESSIONS:
        return 'holds YCbCr colours without JPEG compression, which are not read. Convert the file to RGB'
    if facts.photometric == _CMYK and facts.bands != 4:
        return 'holds {} inks, which are not read. Convert the file to RGB'.format(facts.bands)
    return None


def _damage(pages: List[Any], facts: TiffFacts, num_bytes: int) -> Optional[str]:
    """A contradiction between the tags and the size of the file, found before memory is allocated; None without one."""
    height, width = facts.size
    if height < 1 or width < 1 or not 1 <= facts.bands <= _MAX_BANDS or not 1 <= facts.bits <= 64:
        return 'is damaged: its size is {} x {} with {} bands of {} bits'.format(height, width, facts.bands, facts.bits)
    for page in pages:
        same = (int(page.imagelength), int(page.imagewidth), page.dtype) == (height, width, pages[0].dtype)
        if not same or (len(pages) > 1 and int(page.samplesperpixel) != 1):
            return (
                'has {} pages of different kinds, which are no bands of one image. Save the page that is wanted as a '
                'file of its own'.format(len(pages))
            )
        ends = [start + length for start, length in zip(page.dataoffsets, page.databytecounts)]
        if not ends or min(page.databytecounts) < 1 or max(ends) > num_bytes:
            return 'is truncated: its TIFF data ends early'
    row_bytes = (width * facts.bits * (1 if facts.is_planar else facts.bands // len(pages)) + 7) // 8
    expected = height * row_bytes * (facts.bands if facts.is_planar else len(pages))
    held = min(num_bytes, sum(sum(page.databytecounts) for page in pages))  # strips may share bytes
    if facts.compression in _EXPANSIONS and expected > held * _EXPANSIONS[facts.compression]:
        return 'is damaged: its {} bytes cannot hold {} x {} pixels'.format(held, height, width)
    return None


def _require_memory(facts: TiffFacts, name: Any) -> None:
    height, width = facts.size
    needed = height * width * facts.bands * max(1, facts.bits // 8)
    require_memory(name, 2 * needed, '{} x {} pixels of {} bands'.format(height, width, facts.bands))


def _palette(page: Any) -> np.ndarray:
    colours = np.asarray(page.colormap)
    if colours.ndim != 2 or colours.shape[0] != 3:
        raise ValueError('its palette is of shape {}'.format(colours.shape))
    # TIFF 6.0, section 5: 0 to 65535. Files with 0 to 255 are recognised by their largest value.
    return (colours.T >> (8 if colours.max() > 255 else 0)).astype(np.uint8)


def _alpha(facts: TiffFacts) -> Optional[str]:
    if not facts.extra or facts.num_pages > 1 or facts.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        return None
    # GDAL also marks the fourth of many bands: only a single extra band after the colours is alpha.
    return ALPHAS.get(facts.extra[-1]) if len(facts.extra) == 1 else None


def _values(data: bytes, pages: List[Any], facts: TiffFacts) -> Optional[np.ndarray]:
    """The values, [H, W, B], upright; None if no reader here supports this kind."""
    readers: Tuple[Callable[[], Optional[np.ndarray]], ...] = (
        lambda: _by_tifffile(pages, facts),
        lambda: _by_pillow(data, facts),
        lambda: _by_opencv(data, facts),
        lambda: _by_rasterio(data, facts),
    )
    for read in readers:
        values = read()
        if values is not None:
            values = values if values.ndim == 3 else values[..., np.newaxis]
            if values.shape != facts.size + (facts.bands,):
                raise ValueError('{} came, and its tags say {}'.format(values.shape, facts.size + (facts.bands,)))
            return turned(values, facts.orientation)
    return None


def _by_tifffile(pages: List[Any], facts: TiffFacts) -> Optional[np.ndarray]:
    is_read = facts.compression in _CHECKED_COMPRESSIONS and facts.dtype is not None
    if not is_read or facts.bits not in (1, 8, 16, 32, 64):
        return None
    planes = [page.asarray(maxworkers=1) for page in pages]
    if facts.num_pages > 1:
        return np.stack([plane.reshape(facts.size) for plane in planes], axis=-1)
    values = planes[0].reshape((facts.bands,) + facts.size if facts.is_planar else facts.size + (facts.bands,))
    values = np.moveaxis(values, 0, -1) if facts.is_planar else values
    return values.astype(np.uint8) if facts.bits == 1 else values


# (bands, photometric, extra samples) -> the mode in which Pillow returns 8-bit samples unchanged.
_PILLOW_MODES: Dict[Tuple[int, int, Tuple[int, ...]], str] = {
    (1, _BLACK_IS_ZERO, ()): 'L',
    (1, _PALETTE, ()): 'P',
    (3, _RGB, ()): 'RGB',
    (3, _YCBCR, ()): 'RGB',
    (4, _RGB, (0,)): 'RGBX',
    (4, _RGB, (2,)): 'RGBA',
    (4, _CMYK, ()): 'CMYK',
}


def _by_pillow(data: bytes, facts: TiffFacts) -> Optional[np.ndarray]:
    """Reads interleaved samples of 8 bits, and single bands of 1, 2 and 4 bits."""
    mode = _PILLOW_MODES.get((facts.bands, facts.photometric, facts.extra))
    if facts.orientation != 1:  # versions of Pillow differ in whether they turn the image
        return None
    few_bits = facts.bits in (1, 2, 4) and facts.bands == 1 and facts.photometric in (0, 1, 3)
    if not few_bits and (mode is None or facts.bits != 8 or facts.is_planar or facts.num_pages > 1):
        return None
    plugin = importlib.import_module('PIL.TiffImagePlugin')
    with plugin.TiffImageFile(io.BytesIO(data)) as image:  # not Image.open, which has another limit of pixels
        image.load()  # with Python 3.7, NumPy hides errors in np.array(image)
        values = np.array(image)
        found = image.mode
    if few_bits:
        return _unstretched(values, found, facts)
    return values if found == mode else None


def _unstretched(values: np.ndarray, mode: str, facts: TiffFacts) -> np.ndarray:
    """Undoes Pillow's changes to values of few bits: it scales grey to 0..255, and inverts white-is-zero."""
    if mode == 'P':
        return values
    largest = 2**facts.bits - 1
    values = values.astype(np.uint8) if mode == '1' else values // np.uint8(255 // largest)
    return largest - values if facts.photometric == _WHITE_IS_ZERO else values


def _by_opencv(data: bytes, facts: TiffFacts) -> Optional[np.ndarray]:
    """Reads one or three interleaved samples of 16 bits."""
    is_simple = not facts.extra and not facts.is_planar and facts.num_pages == 1 and facts.orientation == 1
    kinds = ((1, _BLACK_IS_ZERO), (3, _RGB))
    if not is_simple or facts.dtype != np.uint16 or (facts.bands, facts.photometric) not in kinds:
        return None
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        return None
    return values if facts.bands == 1 else cv2.cvtColor(values, cv2.COLOR_BGR2RGB)


def _by_rasterio(data: bytes, facts: TiffFacts) -> Optional[np.ndarray]:
    if facts.num_pages > 1:
        return None
    try:
        rasterio = importlib.import_module('rasterio')
    except ImportError:
        return None
    with rasterio.MemoryFile(data) as file, file.open(driver='GTiff') as dataset:
        return np.moveaxis(dataset.read(), 0, -1)


def _unread(facts: TiffFacts, name: Any) -> str:
    return (
        '{} holds {} of {} bits with {} compression, a kind of TIFF that is not read here. pip install '
        "'fcn8s[geo]' reads it, or write the file without compression or with deflate.".format(
            name,
            counted(facts.bands, 'band'),
            facts.bits,
            'no' if facts.compression == 1 else _COMPRESSION_NAMES.get(facts.compression, str(facts.compression)),
        )
    )


# Functions that undo each orientation (TIFF 6.0, section 8, tag 274; Exif 2.32, section 4.6.4).
_UPRIGHT: Dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns [H, W] or [H, W, C] upright, given its orientation, 1 to 8; the result is contiguous."""
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels) if orientation in _UPRIGHT else pixels)
