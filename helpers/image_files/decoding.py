"""Decoding the pixels of image files: by OpenCV, by Pillow or here, depending on the format."""

import contextlib
import functools
import importlib
import io
import operator
from typing import Iterator, Tuple

import cv2
import numpy as np

from helpers.aliases import PathLike
from helpers.image_files.headers import LZW_LIMIT, ImageHeader, png_transparent_grey, require_room
from helpers.image_files.tiff import damaged, read_tiff, turned
from helpers.image_rules import Pixels
from helpers.process.memory import require_memory

# Beyond this OpenCV refuses to decode (CV_IO_MAX_IMAGE_PIXELS).
_OPENCV_MAX_PIXELS = 1 << 30

# Formats that Pillow decodes, with the module of PIL and its class: not by Image.open, which has another limit of
# pixels and would try all formats.
_PLUGINS = {
    'png': ('PngImagePlugin', 'PngImageFile'),
    'bmp': ('BmpImagePlugin', 'BmpImageFile'),
    'gif': ('GifImagePlugin', 'GifImageFile'),
    'pnm': ('PpmImagePlugin', 'PpmImageFile'),
    'jp2': ('Jpeg2KImagePlugin', 'Jpeg2KImageFile'),
}

# The most pixels per byte of these formats; for the others the header gives the size, or there is no bound.
_SMALLEST_PIXELS = {'gif': LZW_LIMIT, 'pnm': 8}


@contextlib.contextmanager
def naming_the_file(path: PathLike) -> Iterator[None]:
    """Adds the name of the file and the remedy to errors whose text begins with a verb: 'is truncated'."""
    try:
        yield
    except ValueError as error:
        raise ValueError('{} {}. Replace it by a whole copy, or take it out.'.format(path, error)) from error


def decode_by_opencv(data: bytes, flags: int, header: ImageHeader, path: PathLike) -> np.ndarray:
    """Returns the pixels as OpenCV decodes them. Raises ValueError as `decode`."""
    if header.size is not None:
        _require_memory(header.size, header.channels or 4, (header.bit_depth or 8) > 8, path)
        if header.size[0] * header.size[1] > _OPENCV_MAX_PIXELS:
            raise ValueError(
                '{} has {} x {} pixels, and {} files are decoded up to {} pixels. Cut it, or save it as a tiled '
                'TIFF.'.format(path, header.size[0], header.size[1], header.format.upper(), _OPENCV_MAX_PIXELS)
            )
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError('{} cannot be decoded: {}'.format(path, str(error).strip())) from error
    if pixels is None:
        raise ValueError(
            '{} cannot be decoded: it is truncated, damaged or no image. Replace it by a whole copy, or '
            'take it out.'.format(path)
        )
    return pixels


def _require_memory(size: Tuple[int, int], channels: int, is_deep: bool, path: PathLike) -> None:
    # Twice, since the decoded image is converted into a copy.
    needed = 2 * size[0] * size[1] * channels * (2 if is_deep else 1)
    require_memory(path, needed, '{} x {} pixels'.format(*size))


def decode(data: bytes, header: ImageHeader, path: PathLike) -> Pixels:
    """Returns the content of an image of any format, upright.

    Raises ValueError, naming the file, if it is no image, truncated, damaged or too large for the memory.
    """
    if header.format == 'tiff':
        return read_tiff(data, path)
    if header.format == 'npy':
        return _npy_pixels(data, path)
    if header.format in ('png', 'jpeg', 'webp'):
        decoded = decode_by_opencv(data, cv2.IMREAD_UNCHANGED, header, path)
        pixels = _pixels_of_opencv(_with_transparent_grey(decoded, data, header), header)
    elif header.format in _PLUGINS:
        pixels = _pixels_of_pillow(data, header, path)
    else:
        raise ValueError(
            '{} cannot be decoded: it is no image, or in none of the formats that are read: PNG, JPEG, TIFF, WebP, BMP '
            'and NumPy (.npy).'.format(path)
        )
    return pixels._replace(values=turned(pixels.values, header.orientation))


def _with_transparent_grey(values: np.ndarray, data: bytes, header: ImageHeader) -> np.ndarray:
    """A grey PNG in which one value is transparent, with alpha, as [H, W, 4]: OpenCV supports this for colours only."""
    if values.ndim != 2 or header.format != 'png' or not header.has_alpha or header.bit_depth is None:
        return values
    grey = png_transparent_grey(data, header.bit_depth)
    if grey is None:
        return values
    most = np.iinfo(values.dtype).max
    # 1, 2 and 4 bits are scaled to 0..255.
    alpha = np.where(values == grey * (most // (2**header.bit_depth - 1)), 0, most).astype(values.dtype)
    return np.stack([values, values, values, alpha], axis=-1)


def _pixels_of_opencv(values: np.ndarray, header: ImageHeader) -> Pixels:
    bits = 8 * values.dtype.itemsize
    if values.ndim == 2:
        return Pixels(values[..., np.newaxis], bits)
    if values.shape[2] == 3:
        return Pixels(cv2.cvtColor(values, cv2.COLOR_BGR2RGB), bits)
    if header.channels in (1, 2) and not header.has_palette:  # grey with alpha
        return Pixels(np.ascontiguousarray(values[..., [0, 3]]), bits, alpha='straight')
    return Pixels(cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA), bits, alpha='straight')


def _pixels_of_pillow(data: bytes, header: ImageHeader, path: PathLike) -> Pixels:
    values, mode = decode_by_pillow(data, header.format, path, True)
    if values.ndim == 2:
        values = values[..., np.newaxis]
    if mode in ('I', 'I;16'):
        return Pixels(values.astype(np.uint16), 16)
    return Pixels(values.astype(np.uint8), 1 if mode == '1' else 8, 'straight' if mode in ('RGBA', 'LA') else None)


def decode_by_pillow(data: bytes, kind: str, path: PathLike, as_colours: bool) -> Tuple[np.ndarray, str]:
    """Returns pixels and mode as Pillow decodes them; `as_colours` replaces palette indices by colours.

    Raises ValueError as `decode`.
    """
    module, name = _PLUGINS[kind]
    try:
        with getattr(importlib.import_module('PIL.' + module), name)(io.BytesIO(data)) as image:
            if kind in _SMALLEST_PIXELS:
                with naming_the_file(path):
                    require_room(image.size[::-1], image.size[0], len(data), _SMALLEST_PIXELS[kind])
            _require_memory(image.size[::-1], len(image.getbands()), image.mode.startswith('I'), path)
            image.load()  # with Python 3.7, NumPy hides errors in np.array(image)
            is_wanted = not as_colours or image.mode in ('1', 'L', 'LA', 'RGB', 'RGBA', 'I', 'I;16')
            shown = image if is_wanted else image.convert('RGBA' if 'transparency' in image.info else 'RGB')
            return np.array(shown), shown.mode
    except Exception as error:  # damaged files make Pillow raise many types
        if str(error).startswith(str(path)):
            raise
        raise damaged(path, error) from error


def _npy_pixels(data: bytes, path: PathLike) -> Pixels:
    """Reads a NumPy file. Its header is parsed without executing or unpickling anything."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except Exception as error:  # the header is a Python expression, and damage may have any effect
        raise ValueError('{} is damaged: its NumPy header cannot be read ({}).'.format(path, error)) from error
    if dtype.kind not in 'uifb' or len(shape) not in (2, 3) or min(shape, default=0) < 1:
        raise ValueError(
            '{} holds an array of dtype {} and shape {}. Numbers [H, W] or [H, W, C] are read as an image.'.format(
                path, dtype, shape
            )
        )
    rest = data[file.tell() :]
    num_values = functools.reduce(operator.mul, shape)  # Python's integers, which do not overflow
    if len(rest) != dtype.itemsize * num_values:
        raise ValueError('{} is damaged: its {} bytes are not those of shape {}.'.format(path, len(rest), shape))
    values = np.frombuffer(rest, dtype).reshape(shape, order='F' if is_fortran else 'C')
    values = values.astype(np.uint8) if dtype.kind == 'b' else values.astype(dtype.newbyteorder('='))
    bits = 1 if dtype.kind == 'b' else 8 * dtype.itemsize
    return Pixels(np.ascontiguousarray(values if values.ndim == 3 else values[..., np.newaxis]), bits)
