"""Reading, writing and resizing images, and reading and writing label files.

Everything is RGB. What is read is what is in the file: an image that is not 8-bit RGB is refused unless a rule says how
to convert it, and label files are never scaled, blended or turned into colours.
"""

import contextlib
import functools
import importlib
import io
import operator
import os
from typing import Callable, Iterator, NamedTuple, Optional, Tuple, Union

import cv2
import numpy as np

from helpers.aliases import PathLike
from helpers.counted import counted
from helpers.files import atomic_path
from helpers.image_headers import LZW_LIMIT, ImageHeader, png_size, png_transparent_grey, read_header, require_room
from helpers.image_rules import RGB_RULES, ImageRules, Pixels, apply_rules
from helpers.image_search import IMAGE_EXTENSIONS, find_images, natural_sort_key  # noqa: F401 (of 1.0)
from helpers.memory import require_memory
from helpers.palettes import LabelFile, by_look, check_png_checksums, png_palette
from helpers.tiff_files import read_tiff, turned

_LABEL_EXTENSIONS = ('.png', '.tif', '.tiff')

#: Formats that change values, by what `helpers.image_headers` calls them.
LOSSY_FORMATS = ('jpeg', 'webp', 'jp2')

# Decodes to RGB without a second pass over the pixels; OpenCV has it since 4.11.
_DECODE_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)

# Beyond this OpenCV refuses to decode (CV_IO_MAX_IMAGE_PIXELS).
_OPENCV_MAX_PIXELS = 1 << 30

#: Of larger images OpenCV 4 picks wrong pixels (INTER_NEAREST_EXACT) or refuses to move them (warpAffine).
MAX_OPENCV_SIDE = 32766

# What Pillow decodes, by the module of PIL and its class: not by Image.open, whose limit of pixels is not ours and
# which would try every format there is.
_PLUGINS = {
    'png': ('PngImagePlugin', 'PngImageFile'),
    'bmp': ('BmpImagePlugin', 'BmpImageFile'),
    'gif': ('GifImagePlugin', 'GifImageFile'),
    'pnm': ('PpmImagePlugin', 'PpmImageFile'),
    'jp2': ('Jpeg2KImagePlugin', 'Jpeg2KImageFile'),
}

# The most pixels that a byte of these stands for; those of the others are known from their headers, or without bound.
_SMALLEST_PIXELS = {'gif': LZW_LIMIT, 'pnm': 8}


class EncodedImage(NamedTuple):
    """An image file as it is on the disk, for readers that look at one file in several ways."""

    path: PathLike
    data: bytes
    header: ImageHeader


class NotRgbError(ValueError):
    """An image that is not 8-bit RGB came where no conversion was asked for; `kind` is what it is.

    kind: 'alpha', 'cmyk', 'grey', 'bands' (others than one, three, or three with alpha) or '16_bit' (more than 8 bits).
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class TransparentLabelError(ValueError):
    """Colour labels with transparent pixels came, and nobody said what these are; `share` of the pixels are."""

    def __init__(self, message: str, share: float) -> None:
        super().__init__(message)
        self.share = share


def read_image(path: PathLike, convert: bool = False, rules: Optional[ImageRules] = None) -> np.ndarray:
    """Reads an image as RGB, or as the channels that rules name, the way up that its Exif data says.

    Args:
        path: A PNG, JPEG, TIFF, WebP or BMP file, or a NumPy file [H, W] or [H, W, C].
        convert: Whether to convert what is not 8-bit RGB, by `rules`.
        rules: See `helpers.image_rules.ImageRules`, which are those of RGB for None: grey becomes three equal channels,
            alpha is laid over black, 16 bits are scaled to 8. Rules that are given ask for conversion.

    Returns:
        A uint8 array of shape [H, W, 3], or [H, W, rules.channels].

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, truncated, damaged or too large for the memory; or it is grey, has alpha or 16
            bits and no conversion is asked for; or the rules cannot use it. The message names the file and what it is.
    """
    _, data, header = read_encoded(path)
    if rules is None and convert:
        rules = RGB_RULES
    is_plain = header.channels == 3 and header.bit_depth == 8 and header.has_alpha is False
    if is_plain and _DECODE_RGB is not None and (rules is None or rules == RGB_RULES):
        return turned(_decode(data, _DECODE_RGB | cv2.IMREAD_IGNORE_ORIENTATION, header, path), header.orientation)
    pixels = _pixels(data, header, path)
    if rules is None:
        _require_rgb(pixels, path)
    return apply_rules(pixels, rules or RGB_RULES, path)


def read_size(path: PathLike) -> Optional[Tuple[int, int]]:
    """Reads (height, width) of a PNG file from its first bytes.

    Returns None for files of other formats and for those that cannot be read: reading them whole says what is wrong.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(24)
    except OSError:
        return None
    return png_size(start)


def read_encoded(path: PathLike) -> EncodedImage:
    """Reads a file's bytes and what its header says; nothing is decoded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a directory, or its header is damaged.
    """
    data = _read_bytes(path)
    return EncodedImage(path, data, _header(data, path))


def read_alpha(file: EncodedImage) -> Optional[np.ndarray]:
    """Reads the alpha channel of an image, [H, W], the way up that `read_labels` reads it; None without one.

    Raises:
        ValueError: The file is truncated, damaged or too large for the memory.
    """
    pixels = _pixels(file.data, file.header._replace(orientation=1), file.path)
    return pixels.values[..., -1] if pixels.alpha else None


def read_labels(source: Union[PathLike, EncodedImage]) -> np.ndarray:
    """Reads a label file as numbers: values of a grey file, grey values of a palette of greys, else palette indices.

    Args:
        source: A file's path, or what `read_encoded` read of it.

    Returns:
        A uint8 array of shape [H, W], or uint16 for a file of more than 8 bits.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As `read_label_file`.
    """
    return read_label_file(source).values


def read_label_file(source: Union[PathLike, EncodedImage]) -> LabelFile:
    """Reads a label file with the palette that its values stand for.

    Colours that are all grey are these grey values, whether a palette or the three channels of a PNG hold them.

    Args:
        source: A file's path, or what `read_encoded` read of it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, truncated, damaged or too large for the memory; or it holds colours, alpha,
            fractions or numbers beyond 0 to 65535; or its compression changes labels, as JPEG does. Whole numbers of a
            floating type are IDs.
    """
    path, data, header = source if isinstance(source, EncodedImage) else read_encoded(source)
    if header.format in LOSSY_FORMATS:
        raise ValueError(
            '{} is a {} file, a format that changes label values. Labels must be stored without loss: '
            'give PNG files.'.format(path, header.format.upper())
        )
    if header.format == 'png' and not header.has_palette:
        return LabelFile(_grey_png_labels(data, header, path), None)
    if header.format in ('tiff', 'npy'):
        pixels = _pixels(data, header, path)
        ids = _ids(pixels, path)
        return LabelFile(ids, None) if pixels.palette is None else _by_look(ids, pixels.palette[:, :3], path)
    return _labels_by_pillow(data, header, path)


def read_color_labels(
    source: Union[PathLike, EncodedImage], lossy: bool = False, keep_alpha: bool = False
) -> np.ndarray:
    """Reads a label file whose classes are told apart by colour, as the CamVid originals and KITTI Road are.

    Args:
        source: A file's path, or what `read_encoded` read of it.
        lossy: Whether JPEG, and grey as a colour, are taken: for readers that go to the nearest colour of a table.
        keep_alpha: Whether transparent pixels are taken: for readers that know what these are.

    Returns:
        A uint8 array of shape [H, W, 3], RGB, or with `keep_alpha` [H, W, 4] where some pixels are transparent, with an
        alpha of 0. A pixel that is transparent in part has the colour that the file gives it.

    Raises:
        FileNotFoundError: There is no such file.
        TransparentLabelError: There are transparent pixels, which may be void or a class.
        ValueError: As `read_labels`, and for a file of class IDs, which `read_labels` reads.
    """
    path, data, header = source if isinstance(source, EncodedImage) else read_encoded(source)
    pixels = _pixels(data, header._replace(orientation=1), path)
    if (header.format in ('jpeg', 'jp2') or pixels.is_lossy) and not lossy:
        raise ValueError(
            '{} is a JPEG file, whose compression changes colours. Colour labels must be stored without '
            'loss: give PNG files.'.format(path)
        )
    values = pixels.values if pixels.palette is None else pixels.palette[pixels.values[..., 0]]
    if lossy and values.shape[2] - bool(pixels.alpha) == 1 and values.dtype == np.uint8:
        values = np.concatenate([np.repeat(values[..., :1], 3, axis=2), values[..., 1:]], axis=2)
    if values.shape[2] not in (3, 4) or values.dtype != np.uint8 or (values.shape[2] == 4 and not pixels.alpha):
        raise ValueError(
            '{} holds {}, not 8-bit colours. If it holds class IDs, read it without a table of colours.'.format(
                path, _describe(values)
            )
        )
    transparent = values[..., 3] == 0 if values.shape[2] == 4 else None
    if transparent is None or not transparent.any():
        return np.ascontiguousarray(values[..., :3])
    if not keep_alpha:
        raise TransparentLabelError(
            '{} has transparent pixels ({:.1%}), and may mean two things by them. If they do not count: '
            "label_transparency='void' (--label-transparency void). If they are a class, such as the background: its "
            'name instead of void.'.format(path, transparent.mean()),
            float(transparent.mean()),
        )
    return values


def checked_rgb(image: np.ndarray, name: str) -> np.ndarray:
    """Returns an image as an array; raises ValueError, naming it, unless it is uint8 [H, W, 3] with a pixel."""
    image = np.asarray(image)
    if not _is_rgb(image):
        raise ValueError(
            '{} has dtype {} and shape {}, but uint8 [H, W, 3] is expected. Convert it first.'.format(
                name, image.dtype, image.shape
            )
        )
    return image


def write_image(path: PathLike, rgb: np.ndarray) -> None:
    """Writes an image in the format that the suffix of `path` names, whole or not at all.

    Args:
        path: Where to write; an existing file is replaced.
        rgb: A uint8 array of shape [H, W, 3].

    Raises:
        ValueError: `rgb` is something else, or no format is known for the suffix.
        OSError: As `helpers.files.atomic_path`.
    """
    rgb = np.asarray(rgb)
    if not _is_rgb(rgb):
        raise ValueError(
            'An image of dtype {} and shape {} came for {}, but uint8 [H, W, 3] is written. Convert it first.'.format(
                rgb.dtype, rgb.shape, path
            )
        )
    _require_suffix(path, tuple('.' + extension for extension in IMAGE_EXTENSIONS))
    _write_encoded(path, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def write_labels(path: PathLike, ids: np.ndarray) -> None:
    """Writes class IDs as a grey PNG or TIFF, whole or not at all.

    Args:
        path: Where to write; an existing file is replaced.
        ids: An integer array of shape [H, W] with values from 0 to 65535. uint8 and uint16 are written as they are,
            other types as uint8 where all values fit and as uint16 otherwise.

    Raises:
        ValueError: `ids` is something else, or the suffix does not name a format without loss.
        OSError: As `helpers.files.atomic_path`.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            'Labels of dtype {} and shape {} came for {}, but integers [H, W] are written. Use argmax or '
            'one_hot_to_ids first.'.format(ids.dtype, ids.shape, path)
        )
    _require_suffix(path, _LABEL_EXTENSIONS)
    if ids.dtype not in (np.uint8, np.uint16):
        smallest, largest = int(ids.min()), int(ids.max())
        if smallest < 0 or largest > 65535:
            raise ValueError(
                'Labels from {} to {} came for {}, but label files hold 0 to 65535. Map them first.'.format(
                    smallest, largest, path
                )
            )
        ids = ids.astype(np.uint8 if largest <= 255 else np.uint16)
    _write_encoded(path, ids)


def resize_image(image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Resizes a uint8 image [h, w, C] to `size` (height, width): by area where a side shrinks to half or less,
    bilinearly otherwise. An image of that size is returned as it is.

    One rule for the sizes of training and evaluation and for the sizes and scales of prediction: a network then sees
    the same image in all of them.
    """
    height, width = image.shape[:2]
    if (height, width) == tuple(size):
        return image
    # Bilinear interpolation looks at two pixels along each side: from half the size on it would pass over some.
    if 2 * size[0] <= height or 2 * size[1] <= width:
        # OpenCV averages only where no side grows; a side that does, grows afterwards.
        image = _interpolated(image, (min(size[0], height), min(size[1], width)), cv2.INTER_AREA)
    return image if image.shape[:2] == tuple(size) else _interpolated(image, size, cv2.INTER_LINEAR)


def _interpolated(image: np.ndarray, size: Tuple[int, int], interpolation: int) -> np.ndarray:
    return by_four_channels(image, lambda part: cv2.resize(part, (size[1], size[0]), interpolation=interpolation))


def resize_labels(labels: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Resizes integer labels [h, w] to `size` (height, width): each pixel takes the ID of the nearest."""
    if max(labels.shape) > MAX_OPENCV_SIDE:
        rows, columns = ((2 * np.arange(to) + 1) * side // (2 * to) for side, to in zip(labels.shape, size))
        return labels[rows[:, np.newaxis], columns]
    # INTER_NEAREST samples at the upper left corner of a pixel and so shifts labels against images by up to half a
    # source pixel; INTER_NEAREST_EXACT samples at its centre.
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def by_four_channels(image: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Applies `change` to any number of channels: OpenCV warps and averages at most four, and drops the axis of one."""
    if image.ndim == 2 or image.shape[2] in (2, 3, 4):
        return change(image)
    parts = [change(np.ascontiguousarray(image[..., start : start + 4])) for start in range(0, image.shape[2], 4)]
    return np.concatenate([part if part.ndim == 3 else part[..., np.newaxis] for part in parts], axis=-1)


def _is_rgb(image: np.ndarray) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0


def _read_bytes(path: PathLike) -> bytes:
    try:
        with open(path, 'rb') as file:
            return file.read()
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise FileNotFoundError(
                '{} is a link to {}, which does not exist. Mend the link, or take it out.'.format(
                    path, os.readlink(path)
                )
            ) from error
        raise FileNotFoundError('{} does not exist.'.format(path)) from error
    except IsADirectoryError as error:
        raise ValueError('{} is a directory. Give an image file.'.format(path)) from error


@contextlib.contextmanager
def _naming_the_file(path: PathLike) -> Iterator[None]:
    """Adds the name of the file and the remedy to errors that begin with a verb: 'is truncated'."""
    try:
        yield
    except ValueError as error:
        raise ValueError('{} {}. Replace it by a whole copy, or take it out.'.format(path, error)) from error


def _header(data: bytes, path: PathLike) -> ImageHeader:
    with _naming_the_file(path):
        return read_header(data)


def _decode(data: bytes, flags: int, header: ImageHeader, path: PathLike) -> np.ndarray:
    """The pixels as OpenCV hands them out."""
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
    # Twice: what is decoded is converted into a copy.
    needed = 2 * size[0] * size[1] * channels * (2 if is_deep else 1)
    require_memory(path, needed, '{} x {} pixels'.format(*size))


def _pixels(data: bytes, header: ImageHeader, path: PathLike) -> Pixels:
    """What an image of any format holds, upright."""
    if header.format == 'tiff':
        return read_tiff(data, path)
    if header.format == 'npy':
        return _npy_pixels(data, path)
    if header.format in ('png', 'jpeg', 'webp'):
        decoded = _decode(data, cv2.IMREAD_UNCHANGED, header, path)
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
    """A grey PNG with the alpha that one of its values stands for, as [H, W, 4]: OpenCV knows that of colours only."""
    if values.ndim != 2 or header.format != 'png' or not header.has_alpha or header.bit_depth is None:
        return values
    grey = png_transparent_grey(data, header.bit_depth)
    if grey is None:
        return values
    most = np.iinfo(values.dtype).max
    # 1, 2 and 4 bits are stretched to 0..255.
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
    values, mode = _by_pillow(data, header.format, path, True)
    if values.ndim == 2:
        values = values[..., np.newaxis]
    if mode in ('I', 'I;16'):
        return Pixels(values.astype(np.uint16), 16)
    return Pixels(values.astype(np.uint8), 1 if mode == '1' else 8, 'straight' if mode in ('RGBA', 'LA') else None)


def _by_pillow(data: bytes, kind: str, path: PathLike, as_colours: bool) -> Tuple[np.ndarray, str]:
    """The pixels and the mode of what Pillow decodes; with `as_colours` palettes are looked up."""
    module, name = _PLUGINS[kind]
    try:
        with getattr(importlib.import_module('PIL.' + module), name)(io.BytesIO(data)) as image:
            if kind in _SMALLEST_PIXELS:
                with _naming_the_file(path):
                    require_room(image.size[::-1], image.size[0], len(data), _SMALLEST_PIXELS[kind])
            _require_memory(image.size[::-1], len(image.getbands()), image.mode.startswith('I'), path)
            image.load()  # NumPy of Python 3.7 swallows what goes wrong in np.array(image)
            is_wanted = not as_colours or image.mode in ('1', 'L', 'LA', 'RGB', 'RGBA', 'I', 'I;16')
            shown = image if is_wanted else image.convert('RGBA' if 'transparency' in image.info else 'RGB')
            return np.array(shown), shown.mode
    except Exception as error:  # a damaged file makes Pillow raise whatever it meets
        if str(error).startswith(str(path)):
            raise
        raise ValueError(
            '{} cannot be decoded: it is truncated or damaged ({}). Replace it by a whole copy, or take it out.'.format(
                path, str(error).strip() or type(error).__name__
            )
        ) from error


def _npy_pixels(data: bytes, path: PathLike) -> Pixels:
    """A NumPy file, whose header is read without running or unpickling anything."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except Exception as error:  # the header is an expression of Python, which can be damaged in any way
        raise ValueError('{} is damaged: its NumPy header cannot be read ({}).'.format(path, error)) from error
    if dtype.kind not in 'uifb' or len(shape) not in (2, 3) or min(shape, default=0) < 1:
        raise ValueError(
            '{} holds an array of dtype {} and shape {}. Numbers [H, W] or [H, W, C] are read as an image.'.format(
                path, dtype, shape
            )
        )
    rest = data[file.tell() :]
    num_values = functools.reduce(operator.mul, shape)  # in Python's numbers, which do not run over
    if len(rest) != dtype.itemsize * num_values:
        raise ValueError('{} is damaged: its {} bytes are not those of shape {}.'.format(path, len(rest), shape))
    values = np.frombuffer(rest, dtype).reshape(shape, order='F' if is_fortran else 'C')
    values = values.astype(np.uint8) if dtype.kind == 'b' else values.astype(dtype.newbyteorder('='))
    bits = 1 if dtype.kind == 'b' else 8 * dtype.itemsize
    return Pixels(np.ascontiguousarray(values if values.ndim == 3 else values[..., np.newaxis]), bits)


def _require_rgb(pixels: Pixels, path: PathLike) -> None:
    num_bands = pixels.values.shape[2]
    if pixels.palette is not None:
        return
    if pixels.alpha:
        kind, problem = 'alpha', 'has an alpha channel'
    elif pixels.is_cmyk:
        kind, problem = 'cmyk', 'is a CMYK image, made for printing'
    elif num_bands == 1:
        kind, problem = 'grey', 'is grey'
    elif num_bands != 3:
        kind, problem = 'bands', 'has {} bands'.format(num_bands)
    elif pixels.values.dtype != np.uint8:
        kind, problem = '16_bit', 'has {} bits a channel'.format(pixels.bits)
    else:
        return
    raise NotRgbError(
        '{} {}, but 8-bit RGB is expected. Convert the file, or read it with convert=True.'.format(path, problem), kind
    )


def _ids(pixels: Pixels, path: PathLike) -> np.ndarray:
    """The numbers of a file with one band as label IDs, [H, W]."""
    values = pixels.values
    if pixels.is_lossy:
        raise ValueError(
            '{} has a compression that changes label values (JPEG or the like). Labels must be stored without loss: '
            'give PNG files.'.format(path)
        )
    ids = _one_channel(values, path)
    is_whole = np.issubdtype(ids.dtype, np.integer) or (np.isfinite(ids).all() and (ids == np.rint(ids)).all())
    if not is_whole:
        raise ValueError(
            '{} holds fractions ({}), not class IDs. Write the IDs as integers of 8 or 16 bits.'.format(path, ids.dtype)
        )
    smallest, largest = int(ids.min()), int(ids.max())
    if smallest < 0 or largest > 65535:
        raise ValueError(
            '{} holds labels from {} to {}, and label IDs are 0 to 65535. Write what has no class (-1, or the nodata '
            'value) as 255, which is ignored.'.format(path, smallest, largest)
        )
    return np.ascontiguousarray(ids.astype(np.uint8 if ids.dtype.itemsize == 1 else np.uint16, copy=False))


def _one_channel(values: np.ndarray, path: PathLike) -> np.ndarray:
    """Numbers [H, W] of what has one channel, or three that are equal, with alpha if that is opaque everywhere."""
    values = values[..., np.newaxis] if values.ndim == 2 else values
    colors = values[..., :-1] if values.shape[2] in (2, 4) and _is_opaque(values[..., -1]) else values
    if colors.shape[2] not in (1, 3) or (colors.shape[2] == 3 and (colors != colors[..., :1]).any()):
        raise ValueError(
            '{} holds colours ({} channels), not class IDs. Give a table of colours to convert them by '
            '(convert_colors_to_ids), or name the files with the class IDs.'.format(path, values.shape[2])
        )
    return np.ascontiguousarray(colors[..., 0])


def _is_opaque(alpha: np.ndarray) -> bool:
    return bool(np.issubdtype(alpha.dtype, np.integer) and alpha.min() == np.iinfo(alpha.dtype).max)


def _grey_png_labels(data: bytes, header: ImageHeader, path: PathLike) -> np.ndarray:
    pixels = _decode(data, cv2.IMREAD_UNCHANGED, header, path)
    if header.channels != 1:
        pixels = _one_channel(pixels, path)
    elif pixels.ndim != 2:  # a grey file with a transparent grey
        pixels = np.ascontiguousarray(pixels[..., 0])
    if header.channels == 1 and header.bit_depth is not None and header.bit_depth < 8:
        # Decoders stretch 1, 2 and 4 bits to 0..255; the numbers in the file are wanted.
        pixels = pixels // (255 // (2**header.bit_depth - 1))
    return pixels


def _by_look(indices: np.ndarray, palette: np.ndarray, path: PathLike) -> LabelFile:
    with _naming_the_file(path):
        return by_look(indices, np.asarray(palette, np.uint8))


def _labels_by_pillow(data: bytes, header: ImageHeader, path: PathLike) -> LabelFile:
    """Files of palettes, whose indices only Pillow hands out."""
    if header.format not in ('png', 'bmp', 'gif'):
        raise ValueError(
            '{} cannot be decoded: it is no image, or in none of the formats that labels are read from: PNG, TIFF, '
            'BMP, GIF and NumPy (.npy).'.format(path)
        )
    if header.format == 'png':
        with _naming_the_file(path):
            check_png_checksums(data)
    labels, mode = _by_pillow(data, header.format, path, False)
    if mode == 'P':
        palette = png_palette(data)
        if palette is None:
            palette = np.zeros((256, 3), np.uint8)
            palette[labels] = _by_pillow(data, header.format, path, True)[0][..., :3]
        return _by_look(labels.astype(np.uint8), palette, path)
    if mode in ('L', '1', 'RGB', 'RGBA'):
        return LabelFile(_one_channel(labels.astype(np.uint8), path), None)
    raise ValueError(
        '{} holds pixels of mode {}, not class IDs of 8 or 16 bits. Give a table of colours to convert '
        'them by (convert_colors_to_ids), or name the files with the class IDs.'.format(path, mode)
    )


def _describe(pixels: np.ndarray) -> str:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return '{} of {}'.format(counted(channels, 'channel'), pixels.dtype)


def _require_suffix(path: PathLike, allowed: Tuple[str, ...]) -> None:
    if os.path.splitext(os.fspath(path))[1].lower() not in allowed:
        raise ValueError('{} cannot be written: the suffix has to be one of {}.'.format(path, ', '.join(allowed)))


def _write_encoded(path: PathLike, pixels: np.ndarray) -> None:
    ok, encoded = cv2.imencode(os.path.splitext(os.fspath(path))[1].lower(), pixels)
    if not ok:
        raise ValueError('{} could not be encoded.'.format(path))
    with atomic_path(path) as temporary, open(temporary, 'wb') as file:
        file.write(encoded.tobytes())
