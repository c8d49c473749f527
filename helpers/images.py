"""Reading, writing and resizing images, reading and writing label files, and finding both in the order that people
expect.

Everything is RGB. What is read is what is in the file: an image that is not 8-bit RGB is refused unless a conversion is
asked for, and label files are never scaled, blended or turned into colours.
"""

import glob
import io
import os
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image

from helpers.files import atomic_path
from helpers.image_headers import ImageHeader, read_header

PathLike = Union[str, 'os.PathLike[str]']

IMAGE_EXTENSIONS = ('png', 'jpg', 'jpeg', 'tif', 'tiff', 'webp', 'bmp')

_LABEL_EXTENSIONS = ('.png', '.tif', '.tiff')

# Decodes to RGB without a second pass over the pixels; OpenCV has it since 4.11.
_DECODE_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)

# What undoes each Exif orientation (Exif 2.32, section 4.6.4, tag 274).
_UPRIGHT: Dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: lambda pixels: np.ascontiguousarray(pixels.swapaxes(0, 1)),
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def read_image(path: PathLike, convert: bool = False) -> np.ndarray:
    """Reads an image as RGB, the way up that its Exif data says.

    Arguments:
        path: A PNG, JPEG, TIFF, WebP or BMP file.
        convert: Whether to convert what is not 8-bit RGB: grey becomes three equal channels, alpha is composited over
            white, 16 bits are scaled to 8.

    Returns:
        A uint8 array of shape [H, W, 3].

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, truncated or damaged; or it is grey, has alpha or 16 bits and `convert` is
            False. The message names the file and what it is.
    """
    data = _read_bytes(path)
    header = _header(data, path)
    if not convert and header.format in ('png', 'jpeg'):
        _require_rgb(
            path,
            1 if header.channels == 1 and not header.has_palette else 3,
            header.has_alpha,
            16 if header.bit_depth == 16 else 8,
        )
    is_plain = header.channels == 3 and header.bit_depth == 8 and header.has_alpha is False
    if is_plain and _DECODE_RGB is not None:
        return _upright(_decode(data, _DECODE_RGB | cv2.IMREAD_IGNORE_ORIENTATION, path), header.orientation)
    pixels = _decode(data, cv2.IMREAD_UNCHANGED, path)
    _refuse_cmyk(data, header, pixels, path)
    if not convert:
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        _require_rgb(path, channels, channels in (2, 4), 8 * pixels.dtype.itemsize)
    return _upright(_to_rgb(pixels, path), header.orientation)


def read_labels(path: PathLike) -> np.ndarray:
    """Reads a label file as the numbers that are stored in it: indices of a palette PNG, values of a grey one.

    Returns:
        A uint8 array of shape [H, W], or uint16 for a file of 16 bits.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no image, truncated or damaged; or it holds colours or alpha; or it is a JPEG, whose
            compression changes labels.
    """
    data = _read_bytes(path)
    header = _header(data, path)
    if header.format in ('jpeg', 'webp'):
        raise ValueError(
            '{} is a {} file, a format that changes label values. Labels must be stored without loss: '
            'give PNG files.'.format(path, header.format.upper())
        )
    if header.format == 'png' and not header.has_palette:
        return _grey_png_labels(data, header, path)
    return _labels_by_pillow(data, path)


def read_color_labels(path: PathLike) -> np.ndarray:
    """Reads a label file whose classes are told apart by colour, as the CamVid originals and KITTI Road are.

    Returns:
        A uint8 array of shape [H, W, 3], RGB. An alpha channel that is opaque everywhere is dropped.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As `read_labels`, and for a file of class IDs, which `read_labels` reads.
    """
    data = _read_bytes(path)
    header = _header(data, path)
    if header.format == 'jpeg':
        raise ValueError(
            '{} is a JPEG file, whose compression changes colours. Colour labels must be stored without '
            'loss: give PNG files.'.format(path)
        )
    pixels = _decode(data, cv2.IMREAD_UNCHANGED, path)
    if pixels.ndim == 2 or pixels.shape[2] not in (3, 4) or pixels.dtype != np.uint8:
        raise ValueError(
            '{} holds {}, not 8-bit colours. If it holds class IDs, read it without a table of colours.'.format(
                path, _describe(pixels)
            )
        )
    if pixels.shape[2] == 4 and pixels[..., 3].min() < 255:
        raise ValueError('{} has transparent pixels, whose class is unknown. Store labels without alpha.'.format(path))
    return _to_rgb(np.ascontiguousarray(pixels[..., :3]), path)


def write_image(path: PathLike, rgb: np.ndarray) -> None:
    """Writes an image in the format that the suffix of `path` names, whole or not at all.

    Arguments:
        path: Where to write; an existing file is replaced.
        rgb: A uint8 array of shape [H, W, 3].

    Raises:
        ValueError: `rgb` is something else, or no format is known for the suffix.
        OSError: As `helpers.files.atomic_path`.
    """
    rgb = np.asarray(rgb)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(
            'An image of dtype {} and shape {} came for {}, but uint8 [H, W, 3] is written. Convert it first.'.format(
                rgb.dtype, rgb.shape, path
            )
        )
    _require_suffix(path, tuple('.' + extension for extension in IMAGE_EXTENSIONS))
    _write_encoded(path, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def write_labels(path: PathLike, ids: np.ndarray) -> None:
    """Writes class IDs as a grey PNG or TIFF, whole or not at all.

    Arguments:
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
    """Resizes a uint8 image [h, w, 3] to `size` (height, width): by area where a side shrinks to half or less,
    bilinearly otherwise. An image of that size is returned as it is.

    One rule for the sizes of training and evaluation and for the sizes and scales of prediction: a network then sees
    the same image in all of them.
    """
    height, width = image.shape[:2]
    if (height, width) == tuple(size):
        return image
    # Bilinear interpolation looks at two pixels along each side: from half the size on it would pass over some.
    passes_over = 2 * size[0] <= height or 2 * size[1] <= width
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if passes_over else cv2.INTER_LINEAR)


def find_images(source: PathLike, extensions: Sequence[str] = IMAGE_EXTENSIONS, recursive: bool = True) -> List[str]:
    """Lists image files in natural order ('frame2' before 'frame10').

    Arguments:
        source: A file, a directory or a glob pattern (`**` crosses directories). Links are followed; hidden files and
            directories, with a name that begins with a dot, are left out. A file that is named itself counts whatever
            its extension.
        extensions: The extensions that count, with or without the dot, in any letter case.
        recursive: Whether a directory is searched with everything below it.

    Returns:
        Paths that begin with `source` as it was given; at least one.

    Raises:
        FileNotFoundError: There is no such file or directory, or it holds no image.
    """
    source = os.fspath(source)
    wanted = tuple('.' + extension.lower().lstrip('.') for extension in extensions)
    if os.path.isfile(source):
        return [source]
    if os.path.isdir(source):
        candidates: Iterable[str] = _walk(source, recursive)
    elif glob.has_magic(source):
        candidates = (path for path in glob.glob(source, recursive=True) if os.path.isfile(path))
    else:
        raise FileNotFoundError('{} does not exist. Give a file, a directory or a glob pattern.'.format(source))
    found = [
        path for path in candidates if path.lower().endswith(wanted) and not os.path.basename(path).startswith('.')
    ]
    if not found:
        raise FileNotFoundError(
            'There is no image with one of the extensions {} in {}.'.format(
                ', '.join(extension.lstrip('.') for extension in extensions), source
            )
        )
    return sorted(found, key=natural_sort_key)


def natural_sort_key(name: str) -> Tuple[Any, ...]:
    """A sorting key that compares runs of digits as numbers and directories level by level.

    Letter case decides only between names that are equal without it, so the order is the same on every machine.
    """
    levels = tuple(
        tuple(
            (0, int(piece), '') if piece[0] in '0123456789' else (1, 0, piece)
            for piece in re.split('([0-9]+)', level.lower())
            if piece
        )
        for level in re.split(r'[/\\]', name)
    )
    return levels, name


def _walk(directory: str, recursive: bool, above: Tuple[str, ...] = ()) -> Iterator[str]:
    here = os.path.realpath(directory)
    if here in above:
        return  # a link to a directory that contains it
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            yield path
        # Hidden folders hold what programs left for themselves: .ipynb_checkpoints, results half written.
        elif recursive and os.path.isdir(path) and not name.startswith('.'):
            yield from _walk(path, recursive, above + (here,))


def _read_bytes(path: PathLike) -> bytes:
    try:
        with open(path, 'rb') as file:
            return file.read()
    except FileNotFoundError as error:
        raise FileNotFoundError('{} does not exist.'.format(path)) from error
    except IsADirectoryError as error:
        raise ValueError('{} is a directory. Give an image file.'.format(path)) from error


def _header(data: bytes, path: PathLike) -> ImageHeader:
    try:
        return read_header(data)
    except ValueError as error:
        raise ValueError('{} {}. Replace it by a whole copy, or take it out.'.format(path, error)) from error


def _decode(data: bytes, flags: int, path: PathLike) -> np.ndarray:
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


def _require_rgb(path: PathLike, channels: int, has_alpha: Any, bit_depth: int) -> None:
    if has_alpha or channels in (2, 4):
        problem = 'has an alpha channel'
    elif channels == 1:
        problem = 'is grey'
    else:
        problem = 'has {} bits a channel'.format(bit_depth)
        if bit_depth == 8:
            return
    raise ValueError(
        '{} {}, but 8-bit RGB is expected. Convert the file, or read it with convert=True.'.format(path, problem)
    )


def _refuse_cmyk(data: bytes, header: ImageHeader, pixels: np.ndarray, path: PathLike) -> None:
    # Four channels of a TIFF may be CMYK, which OpenCV hands on as if it were BGRA.
    if header.format != 'tiff' or pixels.ndim == 2 or pixels.shape[2] != 4 or pixels.dtype != np.uint8:
        return
    with Image.open(io.BytesIO(data)) as image:
        if image.mode == 'CMYK':
            raise ValueError('{} is a CMYK image, made for printing. Convert the file to RGB.'.format(path))


def _to_rgb(pixels: np.ndarray, path: PathLike) -> np.ndarray:
    """OpenCV's grey, BGR or BGRA of 8 or 16 bits or of floats in [0, 1] as uint8 RGB."""
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise ValueError(
            '{} holds pixels of dtype {}, but 8 and 16 bits are what can be converted to RGB. Write the file with 8 '
            'bits a channel.'.format(path, pixels.dtype)
        )
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return _over_white(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA))


def _over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.uint32)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return _UPRIGHT[orientation](pixels) if orientation in _UPRIGHT else pixels


def _grey_png_labels(data: bytes, header: ImageHeader, path: PathLike) -> np.ndarray:
    if header.channels != 1:
        raise ValueError(
            '{} holds colours ({} channels), not class IDs. Give a table of colours to convert them by '
            '(convert_colors_to_ids), or name the files with the class IDs.'.format(path, header.channels)
        )
    pixels = _decode(data, cv2.IMREAD_UNCHANGED, path)
    if pixels.ndim != 2:  # a grey file with a transparent grey
        pixels = np.ascontiguousarray(pixels[..., 0])
    if header.bit_depth is not None and header.bit_depth < 8:
        # Decoders stretch 1, 2 and 4 bits to 0..255; the numbers in the file are wanted.
        pixels = pixels // (255 // (2**header.bit_depth - 1))
    return pixels


def _labels_by_pillow(data: bytes, path: PathLike) -> np.ndarray:
    """Palette files, whose indices only Pillow hands out, and TIFF and BMP."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            labels = np.array(image)
            mode = image.mode
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            '{} cannot be decoded: {}. Replace it by a whole copy, or take it out.'.format(path, error)
        ) from error
    if mode in ('P', 'L', '1'):
        return labels.astype(np.uint8)
    if mode.startswith('I;16'):
        return labels.astype(np.uint16)
    raise ValueError(
        '{} holds pixels of mode {}, not class IDs of 8 or 16 bits. Give a table of colours to convert '
        'them by (convert_colors_to_ids), or name the files with the class IDs.'.format(path, mode)
    )


def _describe(pixels: np.ndarray) -> str:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return '{} channel{} of {}'.format(channels, '' if channels == 1 else 's', pixels.dtype)


def _require_suffix(path: PathLike, allowed: Tuple[str, ...]) -> None:
    if not os.fspath(path).lower().endswith(allowed):
        raise ValueError('{} cannot be written: the suffix must be one of {}.'.format(path, ', '.join(allowed)))


def _write_encoded(path: PathLike, pixels: np.ndarray) -> None:
    ok, encoded = cv2.imencode(os.path.splitext(os.fspath(path))[1].lower(), pixels)
    if not ok:
        raise ValueError('{} could not be encoded.'.format(path))
    with atomic_path(path) as temporary, open(temporary, 'wb') as file:
        file.write(encoded.tobytes())
