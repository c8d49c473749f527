"""Predicting a GeoTIFF by windows: it is never in memory as a whole, and results keep its place on the map.

rasterio (the extra `geo`) reads and writes. A window is predicted with a margin around it that is then cut off. With
`tiling.full_margin_at` the margin holds the whole field of view of every pixel, so there is no seam.
"""

import contextlib
import importlib
import json
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.prediction.drawing import Drawing, Style
from fcn8s.prediction.polygon_files import new_polygon_file
from fcn8s.prediction.result_files import suffixes_of
from fcn8s.prediction.tiling import Cut, cuts, stride_at
from helpers.color_vision import with_palette
from helpers.files import atomic_path, write_json_entries
from helpers.image_files.places import Place, place_of, raster_of, without_place
from helpers.image_files.windows import is_one_upright_page, rasterio_errors, window_reader
from helpers.image_rules import ImageRules
from helpers.label_spaces import LabelSpace
from helpers.polygons import geojson_crs, geojson_feature, signed_area, simplified
from helpers.progress import bar_options
from helpers.visualization_utils import colorize

KINDS = ('overlay', 'color', 'ids')
_POLYGONS = '.geojson'

# A TIFF of more pixels is predicted by windows even if it lies on no map: 400 MB as RGB.
_LARGE = 1 << 27
# GDAL's cache; its own default is a twentieth of the memory.
_CACHE_MEGABYTES = 128


class MapRequest(NamedTuple):
    """What is made of a map.

    kinds: of `KINDS`. id_map: from class IDs to those that are written, uint8 or uint16 [256]. tile: (height, width)
    that is predicted at a time, with `margin` pixels to cut off on each side. scales: at which the network sees the
    map. tolerance: of polygons, in pixels; None for no polygons. ids: what `id_map` leads to, for the names of files.
    """

    kinds: Tuple[str, ...]
    label_space: LabelSpace
    style: Style
    id_map: np.ndarray
    rules: ImageRules
    tile: Tuple[int, int]
    margin: int
    scales: Tuple[float, ...] = (1.0,)
    tolerance: Optional[float] = None
    ids: str = 'class'

    def cuts(self, axis: int, length: int) -> List[Cut]:
        """Returns the windows along an axis, 0 for rows and 1 for columns, of so many pixels."""
        return cuts(length, self.tile[axis], self.margin, self.scales)


class UnreadableMapError(ValueError):
    """A map cannot be read, or the rules cannot use it; the message names the file."""


def map_size(path: str) -> Optional[Tuple[int, int]]:
    """Returns (height, width) of an image that is predicted by windows: a TIFF that lies on a map, or is very large.

    None for all others, and without rasterio.
    """
    raster = raster_of(path)
    if raster is None:
        return None
    is_placed = raster.has_crs or raster.place is not None
    is_large = raster.size[0] * raster.size[1] > _LARGE
    return raster.size if is_placed or (is_large and is_one_upright_page(path)) else None


def result_paths(stem: str, kinds: Iterable[str], ids: str = 'class') -> Dict[str, str]:
    """Returns where each kind of result that can be written by windows goes. stem: See `predict_map`.

    ids: which IDs are written, of `fcn8s.prediction.result_files.ID_SPACES`.
    """
    suffixes = suffixes_of(ids)
    return {kind: stem + os.path.splitext(suffixes[kind])[0] + '.tif' for kind in kinds if kind in KINDS}


def check_map_request(request: MapRequest, sizes: Iterable[Tuple[int, int]]) -> None:
    """Raises ValueError for a kind of result, or a way to draw it, that cannot be written by windows, and for windows
    that do not fit maps of these sizes, (height, width) each.
    """
    others = sorted(set(request.kinds) - set(KINDS))
    if others:
        raise ValueError(
            '{} cannot be written by windows, and a map is predicted by windows with --tile. Choose from {}, or leave '
            '--tile out.'.format(', '.join(others), ', '.join(KINDS))
        )
    if request.style.legend or request.style.zoom != 1:
        raise ValueError('--legend and --zoom are not drawn on maps, whose pixels keep their places. Leave them out.')
    for size in sizes:
        for axis, length in enumerate(size):
            request.cuts(axis, length)


def predict_map(predict: Callable[[np.ndarray], np.ndarray], path: str, stem: str, request: MapRequest) -> List[str]:
    """Predicts one map and writes its results as GeoTIFF files of the same size, place and reference system.

    Args:
        predict: uint8 [h, w, C] -> class IDs uint8 [h, w].
        path: A TIFF file.
        stem: Folder and beginning of the names of the results.

    Returns:
        The paths of the results.

    Raises:
        UnreadableMapError: The file cannot be read, or the rules cannot use it; the message names it.
        ValueError, OSError: The results cannot be written.
    """
    rasterio = importlib.import_module('rasterio')
    request = request._replace(label_space=with_palette(request.label_space, request.style.palette))
    paths = result_paths(stem, request.kinds, request.ids)
    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MEGABYTES), _opened(rasterio, path) as source:
            check_map_request(request, [(source.height, source.width)])
            if request.tolerance is None:
                _write_maps(rasterio, predict, source, path, paths, request)
                return list(paths.values())
            with new_polygon_file(stem + _POLYGONS) as file, _removed_at_end(_class_id_tiff(file)) as ids_path:
                _write_maps(rasterio, predict, source, path, dict(paths, class_ids=ids_path), request)
                _write_polygons(rasterio, source, ids_path, file, request)
            return list(paths.values()) + [stem + _POLYGONS]
    except rasterio_errors() as error:
        raise ValueError('the results of {} cannot be written: {}.'.format(path, error)) from error


@contextlib.contextmanager
def _opened(rasterio: Any, path: str) -> Iterator[Any]:
    with _reading(path):
        source = rasterio.open(path, driver='GTiff')
    with source:
        yield source


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Tells errors of reading from those of predicting and writing."""
    try:
        yield
    except rasterio_errors(OSError) as error:
        raise UnreadableMapError('{} cannot be read: {}.'.format(path, error)) from error
    except ValueError as error:
        raise UnreadableMapError(str(error)) from error


def _class_id_tiff(temporary: str) -> str:
    """A TIFF beside a temporary file, with a name by which it, too, is removed after a kill."""
    return os.path.splitext(temporary)[0] + '.tif'


@contextlib.contextmanager
def _removed_at_end(path: str) -> Iterator[str]:
    """Removes a file at the end, if it is there."""
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _write_maps(
    rasterio: Any,
    predict: Callable[[np.ndarray], np.ndarray],
    source: Any,
    path: str,
    paths: Dict[str, str],
    request: MapRequest,
) -> None:
    with _reading(path):
        read = window_reader(source, path, request.rules)
    draw = Drawing(request.label_space, request.style)
    with _Outputs(rasterio, source, paths, request) as outputs:
        for row, column in _windows(source, request):
            with _reading(path):
                image = read((row.first, row.last), (column.first, column.last))
            is_whole = image.shape[:2] == (source.height, source.width)  # has no other window to fit to
            padded = image if is_whole else _padded(image, stride_at(request.scales))
            class_ids = predict(padded)[: image.shape[0], : image.shape[1]]
            inside = np.s_[row.inside, column.inside]
            for kind in paths:
                outputs.write(kind, row, column, _made(kind, image, class_ids, draw, request)[inside])


def _padded(image: np.ndarray, stride: int) -> np.ndarray:
    """The image padded to the next multiples of the stride, for the windows at the far borders of a map.

    If a size is no multiple of 8, the last upsampling is shifted by up to 3 pixels, because TensorFlow spreads the
    padding over both sides. Such windows would not fit together with the others.
    """
    rows, columns = (-extent % stride for extent in image.shape[:2])
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), 'edge') if rows or columns else image


def _made(kind: str, image: np.ndarray, class_ids: np.ndarray, draw: Drawing, request: MapRequest) -> np.ndarray:
    if kind == 'overlay':
        return draw(image, class_ids)
    if kind == 'color':
        return colorize(class_ids, request.label_space)
    return request.id_map[class_ids] if kind == 'ids' else class_ids


def _windows(source: Any, request: MapRequest) -> Iterator[Tuple[Cut, Cut]]:
    from tqdm import tqdm

    rows, columns = request.cuts(0, source.height), request.cuts(1, source.width)
    pairs = [(row, column) for row in rows for column in columns]
    return iter(tqdm(pairs, desc='predict', unit='window', leave=False, **bar_options()))


class _Outputs:
    """The GeoTIFF files of a map, open for writing; moved into place when all are whole."""

    def __init__(self, rasterio: Any, source: Any, paths: Dict[str, str], request: MapRequest) -> None:
        self._rasterio = rasterio
        self._source = source
        self._paths = paths
        self._request = request
        self._stack = contextlib.ExitStack()
        self._files: Dict[str, Any] = {}

    def __enter__(self) -> '_Outputs':
        with self._stack:
            for kind, path in self._paths.items():
                temporary = self._stack.enter_context(atomic_path(path))
                self._files[kind] = self._stack.enter_context(self._open(temporary, kind))
                if kind == 'ids' and self._request.id_map.dtype == np.uint8:
                    self._files[kind].write_colormap(1, _colormap(self._request))
            self._stack = self._stack.pop_all()
        return self

    def _open(self, path: str, kind: str) -> Any:
        if kind == 'class_ids':  # polygons are made in pixels and brought to the map afterwards
            with without_place():
                return self._create(path, bands=1)
        place = dict(crs=self._source.crs, transform=self._source.transform)
        if kind == 'ids':
            return self._create(path, 1, str(self._request.id_map.dtype), **place)
        return self._create(path, 3, **place)

    def _create(self, path: str, bands: int, dtype: str = 'uint8', **place: Any) -> Any:
        height, width = _block(self._source, self._request)
        return self._rasterio.open(
            path,
            'w',
            driver='GTiff',
            height=self._source.height,
            width=self._source.width,
            count=bands,
            dtype=dtype,
            tiled=True,
            blockysize=height,
            blockxsize=width,
            compress='deflate',
            bigtiff='if_safer',
            photometric='rgb' if bands == 3 else 'palette' if dtype == 'uint8' else 'minisblack',
            **place,
        )

    def write(self, kind: str, row: Cut, column: Cut, values: np.ndarray) -> None:
        bands = values[np.newaxis] if values.ndim == 2 else np.moveaxis(values, -1, 0)
        window = self._rasterio.windows.Window(column.start, row.start, values.shape[1], values.shape[0])
        self._files[kind].write(bands, window=window)

    def __exit__(self, *exception: Any) -> Any:
        return self._stack.__exit__(*exception)


def _block(source: Any, request: MapRequest) -> Tuple[int, int]:
    """(height, width) of the blocks of a result. Windows consist of whole blocks, so each is compressed once."""
    rows, columns = (request.cuts(axis, length) for axis, length in enumerate((source.height, source.width)))
    return _divided(rows), _divided(columns)


def _divided(pieces: List[Cut]) -> int:
    """A block length that divides the step of the pieces: the usual 256 if possible, else the step itself."""
    step = pieces[0].stop
    return 256 if len(pieces) == 1 or step % 256 == 0 else step


def _colormap(request: MapRequest) -> Dict[int, Tuple[int, int, int, int]]:
    """The colours of the IDs that are written."""
    return {
        int(request.id_map[class_id]): (int(color[0]), int(color[1]), int(color[2]), 255)
        for class_id, color in enumerate(request.label_space.colors)
    }


def _write_polygons(rasterio: Any, source: Any, ids_path: str, path: str, request: MapRequest) -> None:
    """The regions of a file of class IDs as GeoJSON in map coordinates."""
    features = importlib.import_module('rasterio.features')
    with without_place(), rasterio.open(ids_path) as ids, open(path, 'w', encoding='utf-8') as file:
        _write_features(file, features.shapes(rasterio.band(ids, 1), connectivity=4), source, request)


def _write_features(file: Any, shapes: Any, source: Any, request: MapRequest) -> None:
    """Writes one feature after the other: there may be more than memory holds."""
    place = place_of(source) or Place(None, lambda x, y: (x, y))
    crs = geojson_crs(place.crs)
    file.write('{{"type": "FeatureCollection",\n"crs": {},\n"features": ['.format(json.dumps(crs)))
    num_classes = request.label_space.num_classes
    found = (_feature(shape, int(value), place, request) for shape, value in shapes if int(value) < num_classes)
    write_json_entries(file, found)
    file.write(']}\n')


def _feature(shape: Any, class_id: int, place: Place, request: MapRequest) -> Dict[str, Any]:
    """Brings a polygon, with its holes, from pixels to map coordinates."""
    rings = [np.array(ring, np.float64)[:-1] for ring in shape['coordinates']]
    outline, *holes = (abs(signed_area(ring)) for ring in rings)
    mapped = [np.stack(place.transform(*simplified(ring, request.tolerance or 0.0).T), axis=1) for ring in rings]
    return geojson_feature(class_id, mapped, int(round(outline - sum(holes))), request.label_space)
