"""Reading, writing and resizing images, and reading and writing label files.

Everything is RGB. Reading returns what the file holds: an image that is not 8-bit RGB is refused unless a rule says how
to convert it, and label files are never scaled, blended or turned into colours.
"""

import os
from typing import Callable, Collection, NamedTuple, Optional, Tuple, Union

import cv2
import numpy as np

from helpers.aliases import Color, PathLike
from helpers.counted import counted
from helpers.files import atomic_path, path_of
from helpers.flags import check_flags, checked_pair, unmasked
from helpers.image_files.animation import holds_frames
from helpers.image_files.decoding import decode, decode_by_opencv, decode_by_pillow, naming_the_file
from helpers.image_files.headers import ImageHeader, png_size, read_header
from helpers.image_files.palettes import LabelFile, by_look, check_png_checksums, png_palette, used_values
from helpers.image_files.tiff import turned
from helpers.image_rules import RGB_RULES, ImageRules, Pixels, apply_rules, tell
from helpers.image_search import IMAGE_EXTENSIONS, find_images, natural_sort_key  # noqa: F401 (of 1.0)
from helpers.process.memory import require_memory

_LABEL_EXTENSIONS = ('.png', '.tif', '.tiff')

#: Formats that change values, by their names in `helpers.image_files.headers`.
LOSSY_FORMATS = ('jpeg', 'webp', 'jp2')

# Decodes to RGB without a second pass over the pixels; OpenCV has it since 4.11.
_DECODE_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)

#: The longest side that OpenCV 4 can handle: beyond, it picks wrong pixels (INTER_NEAREST_EXACT) or refuses the image
#: (warpAffine).
MAX_OPENCV_SIDE = 32766
# What it resizes.
_OPENCV_TYPES = ('uint8', 'uint16', 'int16', 'float32', 'float64')
# What it picks pixels of.
_OPENCV_LABEL_TYPES = ('uint8', 'int8', 'uint16', 'int16', 'int32')


class EncodedImage(NamedTuple):
    """The content of an image file, for code that reads one file in several ways."""

    path: PathLike
    data: bytes
    header: ImageHeader


class NotRgbError(ValueError):
    """An image is not 8-bit RGB, and no conversion was asked for.

    kind: 'alpha', 'cmyk', 'grey', 'bands' (not one, three, or three with alpha) or '16_bit' (more than 8 bits).
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class TransparentLabelError(ValueError):
    """Colour labels have transparent pixels, and their meaning was not given; `share` is their share of the pixels."""

    def __init__(self, message: str, share: float) -> None:
        super().__init__(message)
        self.share = share


def read_image(
    path: Union[PathLike, EncodedImage], convert: bool = False, rules: Optional[ImageRules] = None
) -> np.ndarray:
    """Reads an image as RGB, or as the channels that rules name, turned upright by its Exif orientation.

    Args:
        path: A PNG, JPEG, TIFF, WebP or BMP file, or a NumPy file [H, W] or [H, W, C]; or the result of `read_encoded`.
            Of several frames the first is used, with one warning.
        convert: Whether to convert what is not 8-bit RGB, by `rules`.
        rules: See `helpers.image_rules.ImageRules`. None stands for the rules of RGB: grey becomes three equal
            channels, alpha is laid over black, 16 bits are scaled to 8. If `rules` are given, images are converted.

    Returns:
        A uint8 array of shape [H, W, 3], or [H, W, rules.channels].

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, truncated, damaged or too large for the memory; or it is grey, has alpha or 16
            bits and no conversion is asked for; or the rules cannot be applied to it. The message names the file and
            the reason.
    """
    check_flags(convert=convert)
    name, data, header = path if isinstance(path, EncodedImage) else read_encoded(path)
    if holds_frames(data):
        tell('Of images that move (GIF, PNG or WebP of several frames) the first frame is taken.')
    if rules is None and convert:
        rules = RGB_RULES
    is_plain = header.channels == 3 and header.bit_depth == 8 and header.has_alpha is False
    if is_plain and _DECODE_RGB is not None and (rules is None or rules == RGB_RULES):
        return turned(
            decode_by_opencv(data, _DECODE_RGB | cv2.IMREAD_IGNORE_ORIENTATION, header, name), header.orientation
        )
    pixels = decode(data, header, name)
    if rules is None:
        _require_rgb(pixels, name)
    return apply_rules(pixels, rules or RGB_RULES, name)


def read_size(path: PathLike) -> Optional[Tuple[int, int]]:
    """Reads (height, width) of a PNG file from its first bytes.

    Returns None for other formats and for files that cannot be read: reading the whole file reports what is wrong.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(24)
    except OSError:
        return None
    return png_size(start)


def read_encoded(path: PathLike) -> EncodedImage:
    """Reads the bytes of a file and parses its header; nothing is decoded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a directory, or its header is damaged.
    """
    data = _read_bytes(path)
    return EncodedImage(path, data, _header(data, path))


def read_alpha(file: EncodedImage) -> Optional[np.ndarray]:
    """Reads the alpha channel of an image, [H, W], in the orientation of `read_labels`; None if there is none.

    Raises:
        ValueError: The file is truncated, damaged or too large for the memory.
    """
    pixels = decode(file.data, file.header._replace(orientation=1), file.path)
    return pixels.values[..., -1] if pixels.alpha else None


def read_labels(source: Union[PathLike, EncodedImage]) -> np.ndarray:
    """Reads a label file as numbers: values of a grey file, grey values of a palette of greys, else palette indices.

    Args:
        source: The path of a file, or the result of `read_encoded`.

    Returns:
        A uint8 array of shape [H, W], or uint16 for a file of more than 8 bits.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As `read_label_file`.
    """
    return read_label_file(source).values


def read_label_file(source: Union[PathLike, EncodedImage]) -> LabelFile:
    """Reads a label file, with the palette to which its values refer.

    Colours that are all grey are read as grey values, whether a palette or the three channels of a PNG hold them.

    Args:
        source: The path of a file, or the result of `read_encoded`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, truncated, damaged or too large for the memory; or it holds colours, alpha,
            fractions, numbers beyond 0 to 65535 or several frames; or its compression changes labels, as JPEG does.
            Whole numbers of a floating type are accepted as IDs.
    """
    path, data, header = source if isinstance(source, EncodedImage) else read_encoded(source)
    _require_one_frame(data, path)
    if header.format in LOSSY_FORMATS:
        raise ValueError(
            '{} is a {} file, a format that changes label values. Labels must be stored without loss: '
            'give PNG files.'.format(path, header.format.upper())
        )
    if header.format == 'png' and not header.has_palette:
        return LabelFile(_grey_png_labels(data, header, path), None, grey_step=_grey_step(header.bit_depth))
    if header.format in ('tiff', 'npy'):
        pixels = decode(data, header, path)
        ids = _ids(pixels, path)
        if pixels.palette is not None:
            return _by_look(ids, pixels.palette[:, :3], path)
        is_grey = header.format == 'tiff' and pixels.bits == 8
        return LabelFile(ids, None, grey_step=1 if is_grey else 0)
    return _labels_by_pillow(data, header, path)


def read_color_labels(
    source: Union[PathLike, EncodedImage],
    lossy: bool = False,
    keep_alpha: bool = False,
    greys: Collection[Color] = (),
) -> np.ndarray:
    """Reads a label file in which colours stand for classes, as in the CamVid originals and KITTI Road.

    Args:
        source: The path of a file, or the result of `read_encoded`.
        lossy: Whether to accept JPEG, and grey as a colour: for callers that move colours to the nearest of a table.
        keep_alpha: Whether to accept transparent pixels: for callers that know what they mean.
        greys: Colours that a grey file may hold: an optimiser may have made it from a file of colours.

    Returns:
        A uint8 array of shape [H, W, 3], RGB; or with `keep_alpha`, if some pixels are transparent (alpha 0),
        [H, W, 4]. A partly transparent pixel keeps its colour.

    Raises:
        FileNotFoundError: There is no such file.
        TransparentLabelError: There are transparent pixels, without `keep_alpha`: they may be void or a class.
        ValueError: As `read_labels`; and the file holds class IDs, which `read_labels` reads.
    """
    check_flags(lossy=lossy, keep_alpha=keep_alpha)
    path, data, header = source if isinstance(source, EncodedImage) else read_encoded(source)
    _require_one_frame(data, path)
    pixels = decode(data, header._replace(orientation=1), path)
    if (header.format in ('jpeg', 'jp2') or pixels.is_lossy) and not lossy:
        raise ValueError(
            '{} is a JPEG file, whose compression changes colours. Colour labels must be stored without '
            'loss: give PNG files.'.format(path)
        )
    values = pixels.values if pixels.palette is None else pixels.palette[pixels.values[..., 0]]
    is_grey = values.shape[2] - bool(pixels.alpha) == 1
    if is_grey and values.dtype == np.uint8 and (lossy or greys):
        grey = values[..., :1] * np.uint8(_grey_step(pixels.bits) or 1)
        if not lossy:
            _require_known(grey, greys, path)
        values = np.concatenate([np.repeat(grey, 3, axis=2), values[..., 1:]], axis=2)
    are_colors = values.shape[2] == 3 or (values.shape[2] == 4 and bool(pixels.alpha))
    if not are_colors or values.dtype != np.uint8:
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


def _require_one_frame(data: bytes, path: PathLike) -> None:
    if holds_frames(data):
        raise ValueError(
            '{} holds several frames, and a label is one picture. Save the frame that is meant as a PNG file of '
            'one.'.format(path)
        )


def _require_known(grey: np.ndarray, colors: Collection[Color], path: PathLike) -> None:
    unknown = [(value,) * 3 for value in used_values(grey[..., 0])]
    unknown = [color for color in unknown if color not in colors]
    if unknown:
        raise ValueError(
            '{} is grey, where a table of colours tells the classes, and the table lacks {}. Add what is missing. '
            'If the file holds class IDs, read it apart from files of colours, without a table.'.format(
                path, ', '.join(map(str, unknown[:5]))
            )
        )


def checked_rgb(image: np.ndarray, name: str) -> np.ndarray:
    """Returns an image as an array; raises ValueError, naming it, unless it is uint8 [H, W, 3] and not empty."""
    image = unmasked(name, image, 0)
    if not _is_rgb(image):
        raise ValueError(
            '{} has dtype {} and shape {}, but uint8 [H, W, 3] is expected. Convert it first.'.format(
                name, image.dtype, image.shape
            )
        )
    return image


def write_image(path: PathLike, rgb: np.ndarray) -> None:
    """Writes an image atomically, in the format that the suffix of `path` names.

    Args:
        path: Where to write; an existing file is replaced.
        rgb: A uint8 array of shape [H, W, 3].

    Raises:
        ValueError: `rgb` is no such array, or no format is known for the suffix.
        OSError: As `helpers.files.atomic_path`.
    """
    rgb = unmasked('rgb', rgb, 0)
    if not _is_rgb(rgb):
        raise ValueError(
            'An image of dtype {} and shape {} came for {}, but uint8 [H, W, 3] is written. Convert it first.'.format(
                rgb.dtype, rgb.shape, path
            )
        )
    _require_suffix(path, tuple('.' + extension for extension in IMAGE_EXTENSIONS))
    _write_encoded(path, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def write_labels(path: PathLike, ids: np.ndarray) -> None:
    """Writes class IDs atomically, as a grey PNG or TIFF.

    Args:
        path: Where to write; an existing file is replaced.
        ids: An integer array of shape [H, W] with values from 0 to 65535. uint8 and uint16 keep their type; other types
            are written as uint8 if all values fit, else as uint16.

    Raises:
        ValueError: `ids` is no such array, or the suffix does not name a lossless format.
        OSError: As `helpers.files.atomic_path`.
    """
    ids = unmasked('ids', ids)
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
    """Resizes a uint8 image [h, w, C] to `size` (height, width): by area if a side shrinks to half or less, otherwise
    bilinearly. An image of that size is returned unchanged.

    Training, evaluation and prediction all use this rule, so a network always sees the same image. Raises ValueError
    unless `size` is a pair of whole numbers of at least 1, and the image one array, not empty, of a type that OpenCV
    resizes (not int64).
    """
    size = checked_pair('size', size)
    if not isinstance(image, np.ndarray) or image.dtype.name not in _OPENCV_TYPES:
        what = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError('the image is of the type {}; it has to be an array uint8 [H, W, C].'.format(what))
    image = unmasked('image', image, 0)
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(
            'the image has the shape {}; it has to be [H, W, C], and not empty. Resize the images of a batch one by '
            'one.'.format(image.shape)
        )
    height, width = image.shape[:2]
    if (height, width) == tuple(size):
        return image
    # Bilinear interpolation uses two pixels along each side: from half the size on it would skip some.
    if 2 * size[0] <= height or 2 * size[1] <= width:
        # OpenCV averages only if no side grows; a growing side is resized afterwards.
        image = _interpolated(image, (min(size[0], height), min(size[1], width)), cv2.INTER_AREA)
    return image if image.shape[:2] == tuple(size) else _interpolated(image, size, cv2.INTER_LINEAR)


def _interpolated(image: np.ndarray, size: Tuple[int, int], interpolation: int) -> np.ndarray:
    image = _in_native_order(image)
    return by_four_channels(image, lambda part: cv2.resize(part, (size[1], size[0]), interpolation=interpolation))


def resize_labels(labels: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Resizes integer labels [h, w] to `size` (height, width) by nearest neighbour.

    Raises ValueError unless `size` is a pair of whole numbers of at least 1, and the labels those of one image.
    """
    labels, size = _in_native_order(unmasked('labels', labels)), checked_pair('size', size)
    if labels.ndim != 2 or not labels.size:
        raise ValueError(
            'labels have the shape {}; they have to be class IDs [H, W], and not empty. Resize those of a batch one by '
            'one, and convert colours first.'.format(labels.shape)
        )
    if max(labels.shape) > MAX_OPENCV_SIDE or labels.dtype.name not in _OPENCV_LABEL_TYPES:
        rows, columns = ((2 * np.arange(to) + 1) * side // (2 * to) for side, to in zip(labels.shape, size))
        return labels[rows[:, np.newaxis], columns]
    # INTER_NEAREST samples at the upper left corner of a pixel, which shifts labels against images by up to half a
    # source pixel; INTER_NEAREST_EXACT samples at its centre.
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def _in_native_order(array: np.ndarray) -> np.ndarray:
    """The array with the byte order of the machine: OpenCV ignores that of the array."""
    return array.astype(array.dtype.newbyteorder('='), copy=False)


def by_four_channels(image: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Applies `change` to any number of channels: OpenCV handles at most four, and drops the axis of a single one."""
    if image.ndim == 2 or image.shape[2] in (2, 3, 4):
        return change(image)
    parts = [change(np.ascontiguousarray(image[..., start : start + 4])) for start in range(0, image.shape[2], 4)]
    return np.concatenate([part if part.ndim == 3 else part[..., np.newaxis] for part in parts], axis=-1)


def _is_rgb(image: np.ndarray) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0


def _read_bytes(path: PathLike) -> bytes:
    path = path_of(path)
    try:
        with open(path, 'rb') as file:
            num_bytes = os.fstat(file.fileno()).st_size
            require_memory(path, num_bytes, '{} bytes'.format(num_bytes))
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


def _header(data: bytes, path: PathLike) -> ImageHeader:
    with naming_the_file(path):
        return read_header(data)


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
    """The numbers [H, W] of one channel or of three equal ones; alpha is accepted if it is opaque everywhere."""
    values = values[..., np.newaxis] if values.ndim == 2 else values
    colors = values[..., :-1] if values.shape[2] in (2, 4) and _is_opaque(values[..., -1]) else values
    if colors.shape[2] not in (1, 3) or (colors.shape[2] == 3 and (colors != colors[..., :1]).any()):
        raise ValueError(
            '{} holds colours ({} channels), not class IDs. Give a table of colours to convert them by (--colors FILE; '
            'in Python convert_colors_to_ids), or name the files with the class IDs.'.format(path, values.shape[2])
        )
    return np.ascontiguousarray(colors[..., 0])


def _is_opaque(alpha: np.ndarray) -> bool:
    return bool(np.issubdtype(alpha.dtype, np.integer) and alpha.min() == np.iinfo(alpha.dtype).max)


def _grey_png_labels(data: bytes, header: ImageHeader, path: PathLike) -> np.ndarray:
    pixels = decode_by_opencv(data, cv2.IMREAD_UNCHANGED, header, path)
    if header.channels != 1:
        pixels = _one_channel(pixels, path)
    elif pixels.ndim != 2:  # a grey file with a transparent grey
        pixels = np.ascontiguousarray(pixels[..., 0])
    if header.channels == 1 and header.bit_depth is not None and header.bit_depth < 8:
        # Decoders scale 1, 2 and 4 bits to 0..255; the numbers in the file are wanted.
        pixels = pixels // (255 // (2**header.bit_depth - 1))
    return pixels


def _grey_step(bits: Optional[int]) -> int:
    """The step between consecutive values on the 8-bit grey scale; 0 for more than 8 bits."""
    return 255 // (2**bits - 1) if bits is not None and bits <= 8 else 0


def _by_look(indices: np.ndarray, palette: np.ndarray, path: PathLike) -> LabelFile:
    with naming_the_file(path):
        return by_look(indices, np.asarray(palette, np.uint8))


def _labels_by_pillow(data: bytes, header: ImageHeader, path: PathLike) -> LabelFile:
    """Reads files with palettes, for which only Pillow returns the indices."""
    if header.format not in ('png', 'bmp', 'gif'):
        raise ValueError(
            '{} cannot be decoded: it is no image, or in none of the formats that labels are read from: PNG, TIFF, '
            'BMP, GIF and NumPy (.npy).'.format(path)
        )
    if header.format == 'png':
        with naming_the_file(path):
            check_png_checksums(data)
    labels, mode = decode_by_pillow(data, header.format, path, False)
    if mode == 'P':
        palette = png_palette(data)
        if palette is None:
            palette = np.zeros((256, 3), np.uint8)
            palette[labels] = decode_by_pillow(data, header.format, path, True)[0][..., :3]
        return _by_look(labels.astype(np.uint8), palette, path)
    if mode in ('L', '1', 'RGB', 'RGBA'):
        return LabelFile(_one_channel(labels.astype(np.uint8), path), None, grey_step=255 if mode == '1' else 1)
    raise ValueError(
        '{} holds pixels of mode {}, not class IDs of 8 or 16 bits. Give a table of colours to convert them by '
        '(--colors FILE; in Python convert_colors_to_ids), or name the files with the class IDs.'.format(path, mode)
    )


def _describe(pixels: np.ndarray) -> str:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return '{} of {}'.format(counted(channels, 'channel'), pixels.dtype)


def _require_suffix(path: PathLike, allowed: Tuple[str, ...]) -> None:
    if os.path.splitext(path_of(path))[1].lower() not in allowed:
        raise ValueError('{} cannot be written: the suffix has to be one of {}.'.format(path, ', '.join(allowed)))


def _write_encoded(path: PathLike, pixels: np.ndarray) -> None:
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    ok, encoded = cv2.imencode('.jpg' if suffix == '.jfif' else suffix, pixels)  # OpenCV does not know that name
    if not ok:
        raise ValueError('{} could not be encoded.'.format(path))
    with atomic_path(path) as temporary, open(temporary, 'wb') as file:
        file.write(encoded.tobytes())
