"""Where TIFF files lie on a map (rasterio, the extra `geo`, reads it)."""

import contextlib
import importlib
import os
import warnings
from typing import Any, Callable, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from helpers.image_files.windows import is_tiff, load_rasterio, rasterio_errors

# GeoTIFF 1.1, annex B: model pixel scale, model tie points, model transformation, directory of GeoKeys.
_PLACE_TAGS = (33550, 33922, 34264, 34735)
# Files beside a TIFF that say where it lies.
_WORLD_FILES = ('.tfw', '.tifw', '.wld')


class Place(NamedTuple):
    """crs: the name of the coordinate reference system, as GeoJSON of 2008 has it; None if it is not known. transform:
    from (x, y), arrays of continuous image coordinates, to (east, north).
    """

    crs: Optional[str]
    transform: Callable[[np.ndarray, np.ndarray], Tuple[np.ndarray, np.ndarray]]


class Raster(NamedTuple):
    """size: (height, width). has_crs: whether it names a coordinate reference system. place: None if it has none."""

    size: Tuple[int, int]
    has_crs: bool
    place: Optional[Place]


def raster_of(path: str) -> Optional[Raster]:
    """Returns the size and place of a TIFF; None for other images, without rasterio, and for what it cannot open."""
    try:
        rasterio = load_rasterio() if is_tiff(path) else None
    except OSError:  # reading it as a usual image says what is wrong
        return None
    if rasterio is None:
        return None
    try:
        with without_place(), rasterio.open(path, driver='GTiff') as source:
            return Raster((source.height, source.width), source.crs is not None, place_of(source))
    except rasterio_errors(UnicodeError):
        # Reading it as a usual image says what is wrong, and opens paths that are not valid text, unlike GDAL.
        return None


def place_of(source: Any) -> Optional[Place]:
    """Returns the place of an open dataset of rasterio; None if its pixels have no coordinates on a map."""
    if source.transform.is_identity:
        return None
    a, b, c, d, e, f = tuple(source.transform)[:6]
    crs = None if source.crs is None else _crs_name(source.crs)
    return Place(crs, lambda x, y: (a * x + b * y + c, d * x + e * y + f))


@contextlib.contextmanager
def without_place() -> Iterator[None]:
    """Silences rasterio's warning of files that lie on no map, where they may."""
    errors = importlib.import_module('rasterio.errors')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', errors.NotGeoreferencedWarning)
        yield


def _crs_name(crs: Any) -> str:
    code = crs.to_epsg()
    if code == 4326:  # whose own order is latitude, longitude; files hold longitude first
        return 'urn:ogc:def:crs:OGC:1.3:CRS84'
    return crs.to_wkt() if code is None else 'urn:ogc:def:crs:EPSG::{}'.format(code)


def seems_placed(path: str) -> bool:
    """Tells without rasterio whether a file is a TIFF that lies on a map."""
    try:
        if not is_tiff(path):
            return False
        if any(os.path.exists(os.path.splitext(path)[0] + extension) for extension in _WORLD_FILES):
            return True
        with importlib.import_module('tifffile').TiffFile(path) as file:
            return any(tag in file.pages[0].tags for tag in _PLACE_TAGS)
    except Exception:  # damaged files make tifffile raise many types; reading them says what is wrong
        return False
