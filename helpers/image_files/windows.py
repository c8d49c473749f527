"""Reads parts of large TIFF files without the rest (needs rasterio, the extra `geo`)."""

import importlib
from typing import Any, Callable, Dict, Optional, Tuple, Type

import numpy as np

from helpers.image_files.headers import TIFF_SIGNATURES
from helpers.image_files.tiff import ALPHAS, image_pages
from helpers.image_rules import (
    FILE_RANGE,
    ImageRules,
    Pixels,
    Window,
    apply_rules,
    band_ranges,
    chosen_bands,
    file_windows,
)

# How many rows of a file are read at a time to find its range.
_SCANNED_ROWS = 256
# TIFF 6.0, section 8: the tag of the orientation, and its value for upright images.
_ORIENTATION, _UPRIGHT = 'Orientation', 1

#: (first row, last row + 1), (first column, last column + 1) -> uint8 [h, w, C].
Read = Callable[[Tuple[int, int], Tuple[int, int]], np.ndarray]


def load_rasterio() -> Optional[Any]:
    """Returns rasterio, or None if it is not installed."""
    try:
        return importlib.import_module('rasterio')
    except ImportError:
        return None


def rasterio_errors(*others: Type[Exception]) -> Tuple[Type[Exception], ...]:
    """Returns what rasterio raises for files, and others: before version 1.3 that of reading has a kind of its own."""
    errors = importlib.import_module('rasterio.errors')
    return (errors.RasterioError, errors.RasterioIOError, *others)


def is_tiff(path: str) -> bool:
    """Tells by its content whether a file is a TIFF."""
    with open(path, 'rb') as file:
        return file.read(4) in TIFF_SIGNATURES


def window_reader(source: Any, name: str, rules: ImageRules) -> Read:
    """Returns a function that reads windows of a dataset of rasterio by the rules.

    Args:
        source: An open dataset.
        name: The name of the file, for messages.
    """
    windows = importlib.import_module('rasterio.windows')
    about = _about(source)
    if rules.window == FILE_RANGE and source.dtypes[0] != 'uint8':
        rules = rules._replace(window=_range_of(source, about['alpha'], rules, name))

    def read(rows: Tuple[int, int], columns: Tuple[int, int]) -> np.ndarray:
        window = windows.Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        return apply_rules(Pixels(np.moveaxis(source.read(window=window), 0, -1), **about), rules, name)

    return read


def _about(source: Any) -> Dict[str, Any]:
    """The fields of `Pixels` other than the values."""
    interpretation = [band.name for band in source.colorinterp]
    palette = None
    if interpretation[0] == 'palette':
        colors = source.colormap(1)
        palette = np.array([colors.get(index, (0, 0, 0, 255))[:3] for index in range(max(colors) + 1)], np.uint8)
    sample_bits = 8 * np.dtype(source.dtypes[0]).itemsize
    return dict(
        bits=int(source.tags(1, ns='IMAGE_STRUCTURE').get('NBITS', sample_bits)),
        alpha=_alpha(source) if interpretation[-1] == 'alpha' and source.count in (2, 4) else None,
        palette=palette,
        is_inverted=source.tags(ns='IMAGE_STRUCTURE').get('MINISWHITE') == 'YES',
        is_cmyk=interpretation == ['cyan', 'magenta', 'yellow', 'black'],
    )


def _alpha(source: Any) -> str:
    """The kind of an alpha channel, which rasterio does not tell."""
    with importlib.import_module('tifffile').TiffFile(source.name) as file:
        kinds = [ALPHAS[int(kind)] for kind in file.pages[0].extrasamples if int(kind) in ALPHAS]
    return kinds[-1] if kinds else 'straight'


def _range_of(source: Any, alpha: Optional[str], rules: ImageRules, name: str) -> Tuple[Window, ...]:
    """The windows from the range of the whole file, for the bands that the rules choose."""
    windows = importlib.import_module('rasterio.windows')
    lows: Any = np.inf
    highs: Any = -np.inf
    for start in range(0, source.height, _SCANNED_ROWS):
        rows = min(_SCANNED_ROWS, source.height - start)
        values = np.moveaxis(source.read(window=windows.Window(0, start, source.width, rows)), 0, -1)
        values, left = chosen_bands(values, alpha, rules, name)
        low, high = band_ranges(values[..., :-1] if left else values)
        lows, highs = np.minimum(lows, low), np.maximum(highs, high)
    return file_windows(lows, highs)


class WindowedImage:
    """A large TIFF that replaces an array uint8 [H, W, C]: `image[top:bottom, left:right]` reads that part.

    Each access opens the file anew, so any thread may use it.
    """

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, path: str, rules: ImageRules, shape: Tuple[int, int, int]) -> None:
        self._path = path
        self._rules = rules
        self.shape = shape

    def __getitem__(self, place: Tuple[slice, slice]) -> np.ndarray:
        rasterio = importlib.import_module('rasterio')
        rows, columns = (part.indices(extent)[:2] for part, extent in zip(place, self.shape))
        try:
            with rasterio.open(self._path, driver='GTiff') as source:
                return window_reader(source, self._path, self._rules)(rows, columns)
        except rasterio_errors() as error:
            raise ValueError('{} cannot be decoded: {}.'.format(self._path, error)) from error


def is_one_upright_page(path: str) -> bool:
    """Tells whether a TIFF has one page, which is shown as it is stored: a window of it is then a part of the image."""
    with importlib.import_module('tifffile').TiffFile(path) as file:
        pages = image_pages(file)
        return len(pages) == 1 and _is_upright(pages[0])


def is_turned(path: str) -> bool:
    """Tells whether a TIFF is shown in another direction than it is stored."""
    try:
        with importlib.import_module('tifffile').TiffFile(path) as file:
            return not _is_upright(file.pages[0])
    except Exception:  # reading the whole file reports what is wrong
        return False


def _is_upright(page: Any) -> bool:
    turn = page.tags.get(_ORIENTATION)
    return turn is None or turn.value == _UPRIGHT


def open_windowed(path: str, rules: ImageRules, min_pixels: int) -> Optional[WindowedImage]:
    """Opens a TIFF of at least `min_pixels` pixels that is stored in tiles or without compression.

    None without rasterio, and for all other images: reading a part of them takes as long as reading the whole.
    """
    rasterio = load_rasterio() if is_tiff(path) else None
    if rasterio is None or rules.window == FILE_RANGE:
        return None
    try:
        if not is_one_upright_page(path):
            return None
        with rasterio.open(path, driver='GTiff') as source:
            in_parts = source.profile.get('tiled') or source.compression is None
            if source.height * source.width < min_pixels or not in_parts:
                return None
            return WindowedImage(path, rules, (source.height, source.width, rules.channels))
    except Exception:  # reading the whole file reports what is wrong
        return None
