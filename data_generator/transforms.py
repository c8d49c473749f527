"""Augmentation of image and label pairs: pure functions, and the pipeline that strings them together.

Everywhere an image is uint8 `[H, W, 3]` RGB and a label is uint8 or uint16 `[H, W]` class IDs, or None in a dataset
without labels. Nothing is changed in place; what comes back may be a view of what went in. Image and label always get
the same geometry. Labels are only ever sampled at the nearest pixel, so no ID appears that was not there, but for the
padding. Pixel centres lie at integer coordinates: the centre of an image is ((W - 1) / 2, (H - 1) / 2).

All geometry from flip on is one matrix and thereby one resampling: two would blur the image twice and take twice as
long.
"""
import hashlib
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from data_generator.transform_options import TransformOptions, check_options
from helpers.ground_truth import convert_colors_to_ids as colors_to_ids
from helpers.ground_truth import convert_ids_to_ids as ids_to_ids

#: How often a crop in which one class fills too much is drawn again before the best one seen is taken.
CROP_ATTEMPTS = 10

Label = Optional[np.ndarray]
Pair = Tuple[np.ndarray, Label]
Size = Tuple[int, int]


class Padding(NamedTuple):
    """What fills the pixels that no pixel of the source falls on: a colour (RGB) in images, an ID in labels."""
    color: Tuple[int, int, int]
    label_id: int


# ---- Geometry ----

def cut_window(image: np.ndarray, label: Label, top: int, left: int, size: Size, padding: Padding) -> Pair:
    """Cut the window of `size` (height, width) whose upper left corner is at (top, left), which may lie outside."""
    return (_cut(image, top, left, size, padding.color),
            None if label is None else _cut(label, top, left, size, padding.label_id))


def _cut(array: np.ndarray, top: int, left: int, size: Size, fill) -> np.ndarray:
    (height, width), (rows, columns) = array.shape[:2], size
    first_row, last_row = max(top, 0), min(top + rows, height)
    first_column, last_column = max(left, 0), min(left + columns, width)
    if (last_row - first_row, last_column - first_column) == size:
        return array[first_row:last_row, first_column:last_column]
    window = _filled(array, size, fill)
    if first_row < last_row and first_column < last_column:
        window[first_row - top:last_row - top, first_column - left:last_column - left] = \
            array[first_row:last_row, first_column:last_column]
    return window


def crop(image: np.ndarray, label: Label, margins: Tuple[int, int, int, int]) -> Pair:
    """Cut (top, bottom, left, right) pixels off the sides. ValueError where nothing would remain."""
    top, bottom, left, right = margins
    height, width = image.shape[:2]
    if top + bottom >= height or left + right >= width:
        raise ValueError('crop={} (top, bottom, left, right): cuts away all of an image of {}x{} (height x width). Cut '
                         'off less than {} rows and {} columns.'.format(margins, height, width, height, width))
    window = np.s_[top:height - bottom, left:width - right]
    return image[window], None if label is None else label[window]


def resize(image: np.ndarray, label: Label, size: Size, resize_labels: bool = True) -> Pair:
    """Resize to (height, width): the image by area where it shrinks to half or less, bilinearly otherwise."""
    image = _resize_image(image, size)
    if label is None or not resize_labels or label.shape == size:
        return image, label
    # INTER_NEAREST samples at the upper left corner of a pixel and so shifts labels against images by up to half a
    # source pixel; INTER_NEAREST_EXACT samples at its centre.
    return image, cv2.resize(label, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def _resize_image(image: np.ndarray, size: Size) -> np.ndarray:
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    shrinks = 2 * size[0] <= height or 2 * size[1] <= width
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def random_crop(image: np.ndarray, label: Label, rng: np.random.Generator, size: Size, padding: Padding,
                scale_range: Optional[Tuple[float, float]] = None, max_class_share: Optional[float] = None,
                not_a_class: Sequence[int] = ()) -> Pair:
    """Cut a window of `size` (height, width) at a random place, out of the image scaled by a random factor.

    Along a side on which the window is larger than the (scaled) image, the image lies at a random place within the
    window and the rest is padding. With `max_class_share`, a window in which one class fills more than that share of
    the valid pixels (those whose ID is not in `not_a_class`), or which has no valid pixel, is drawn again (up to
    `CROP_ATTEMPTS` windows, the best of which is taken), as in DeepLab-style training on Cityscapes.
    """
    factor = 1.0 if scale_range is None else rng.uniform(*scale_range)
    place = _draw_place(rng, image.shape[:2], factor, size)
    if max_class_share is None or label is None:
        return _cut_scaled(image, label, factor, place, size, padding)
    best_share, best_place = np.inf, place
    for _ in range(CROP_ATTEMPTS):
        candidate = _sample_scaled(label, factor, place, size, cv2.INTER_NEAREST, padding.label_id)
        share = largest_class_share(candidate, not_a_class)
        if share < best_share:
            best_share, best_place = share, place
        if share <= max_class_share:
            break
        place = _draw_place(rng, image.shape[:2], factor, size)
    return _cut_scaled(image, label, factor, best_place, size, padding)


def largest_class_share(label: np.ndarray, not_a_class: Sequence[int] = ()) -> float:
    """The share of the valid pixels that the most frequent class has; infinite where no pixel is valid."""
    counts = np.bincount(label.ravel())
    for class_id in not_a_class:
        counts[class_id:class_id + 1] = 0
    total = counts.sum()
    return float(counts.max() / total) if total else np.inf


def _draw_place(rng: np.random.Generator, image_size: Size, factor: float, size: Size) -> Tuple[int, int]:
    slack = [scaled - wanted for scaled, wanted in zip(_scaled_size(image_size, factor), size)]
    top, left = (int(rng.integers(min(0, s), max(0, s) + 1)) for s in slack)
    return top, left


def _scaled_size(size: Size, factor: float) -> Size:
    return max(1, int(round(size[0] * factor))), max(1, int(round(size[1] * factor)))


def _cut_scaled(image: np.ndarray, label: Label, factor: float, place: Tuple[int, int], size: Size,
                padding: Padding) -> Pair:
    return (_sample_scaled(image, factor, place, size, cv2.INTER_LINEAR, padding.color), None if label is None else
            _sample_scaled(label, factor, place, size, cv2.INTER_NEAREST, padding.label_id))


def _sample_scaled(array: np.ndarray, factor: float, place: Tuple[int, int], size: Size, interpolation: int,
                   fill) -> np.ndarray:
    (top, left), (height, width) = place, array.shape[:2]
    scaled_height, scaled_width = _scaled_size((height, width), factor)
    if (scaled_height, scaled_width) == (height, width):
        return _cut(array, top, left, size, fill)
    # Scaling by f takes the pixel centre x to f (x + 1/2) - 1/2. Only the window is computed, never the whole image.
    down, across = scaled_height / height, scaled_width / width
    matrix = np.array([[across, 0, (across - 1) / 2 - left], [0, down, (down - 1) / 2 - top], [0, 0, 1]])
    return _warp(array, matrix, size, interpolation, fill)


def flip_matrix(size: Size) -> np.ndarray:
    """3x3 matrix (acting on (x, y, 1)) that mirrors an image of (height, width) left to right."""
    return np.array([[-1.0, 0, size[1] - 1], [0, 1, 0], [0, 0, 1]])


def translation_matrix(right: float, down: float) -> np.ndarray:
    """3x3 matrix that shifts by so many pixels."""
    return np.array([[1.0, 0, right], [0, 1, down], [0, 0, 1]])


def similarity_matrix(size: Size, degrees: float, factor: float) -> np.ndarray:
    """3x3 matrix that rotates counter-clockwise and scales about the centre of an image of (height, width)."""
    center = ((size[1] - 1) / 2, (size[0] - 1) / 2)
    return np.vstack([cv2.getRotationMatrix2D(center, degrees, factor), [[0, 0, 1]]])


def warp(image: np.ndarray, label: Label, matrix: np.ndarray, padding: Padding) -> Pair:
    """Move every pixel (x, y) to `matrix` (x, y, 1), 3x3 and affine, within images of the same size.

    The image is interpolated bilinearly. A matrix that only flips and shifts by whole pixels copies pixels instead.
    """
    size = image.shape[:2]
    mirrored = matrix[0, 0] < 0
    rest = matrix.dot(flip_matrix(size)) if mirrored else matrix  # matrix = rest . flip, for a flip undoes itself
    if not _only_shifts(rest):
        return (_warp(image, matrix, size, cv2.INTER_LINEAR, padding.color), None if label is None else
                _warp(label, matrix, size, cv2.INTER_NEAREST, padding.label_id))
    if mirrored:
        image, label = cv2.flip(image, 1), None if label is None else cv2.flip(label, 1)
    right, down = int(rest[0, 2]), int(rest[1, 2])
    if right == 0 and down == 0:  # also the way of labels that kept a size of their own
        return image, label
    return cut_window(image, label, -down, -right, size, padding)


def _only_shifts(matrix: np.ndarray) -> bool:
    return np.array_equal(matrix[:2, :2], np.eye(2)) and np.array_equal(matrix[:2, 2], np.round(matrix[:2, 2]))


# Interpolation must not mix the padding into the rim of the image: a pixel is either all image or all padding, the
# same ones in image and label. So the rim is repeated outwards, and what lies outside is filled afterwards.

def _warp(array: np.ndarray, matrix: np.ndarray, size: Size, interpolation: int, fill) -> np.ndarray:
    if matrix[0, 1] == 0 and matrix[1, 0] == 0:
        return _warp_along_axes(array, matrix, size, interpolation, fill)
    warped = _warp_repeating_rim(array, matrix, size, interpolation)
    inside = cv2.warpAffine(np.ones(array.shape[:2], np.uint8), matrix[:2], (size[1], size[0]),
                            flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.copyTo(warped, inside, _filled(array, size, fill))


def _warp_along_axes(array: np.ndarray, matrix: np.ndarray, size: Size, interpolation: int, fill) -> np.ndarray:
    """Without rotation the image covers a rectangle, and only that is computed."""
    top, bottom = _covered(matrix[1, 1], matrix[1, 2], array.shape[0], size[0])
    left, right = _covered(matrix[0, 0], matrix[0, 2], array.shape[1], size[1])
    if top >= bottom or left >= right:
        return _filled(array, size, fill)
    warped = np.empty(size + array.shape[2:], array.dtype)
    for rim in (warped[:top], warped[bottom:], warped[top:bottom, :left], warped[top:bottom, right:]):
        _fill(rim, fill)
    to_rectangle = translation_matrix(-left, -top).dot(matrix)
    warped[top:bottom, left:right] = _warp_repeating_rim(array, to_rectangle, (bottom - top, right - left), interpolation)
    return warped


def _covered(factor: float, shift: float, source_length: int, length: int) -> Tuple[int, int]:
    """First and last + 1 of the pixels that come from [-1/2, source_length - 1/2] under x -> factor x + shift."""
    ends = sorted((shift - 0.5 * factor, shift + (source_length - 0.5) * factor))
    first, last = (min(max(int(np.ceil(end)), 0), length) for end in ends)
    return first, last


def _warp_repeating_rim(array: np.ndarray, matrix: np.ndarray, size: Size, interpolation: int) -> np.ndarray:
    return cv2.warpAffine(array, matrix[:2], (size[1], size[0]), flags=interpolation, borderMode=cv2.BORDER_REPLICATE)


def _filled(array: np.ndarray, size: Size, fill) -> np.ndarray:
    filled = np.empty(size + array.shape[2:], array.dtype)
    _fill(filled, fill)
    return filled


def _fill(array: np.ndarray, fill) -> None:
    array[:1] = fill
    array[1:] = array[:1]  # row by row is many times faster than colour by colour


# ---- Light and colour ----

def change_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply the V channel of HSV by a factor.

    V = max(R, G, B), so at the same hue and saturation R, G and B are all multiplied by the factor. Each channel
    saturates at 255 on its own, as on an overexposed sensor.
    """
    return cv2.convertScaleAbs(image, alpha=factor)


# Luma and chroma of the NTSC system (https://en.wikipedia.org/wiki/YIQ): Y is the lightness, and a rotation of (I, Q)
# changes the hue and leaves greys as they are.
_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def change_colors(image: np.ndarray, contrast: float, saturation: float, hue: float) -> np.ndarray:
    """Spread grey values about the middle (128) and colours about grey by two factors; turn the hue by degrees."""
    angle = np.deg2rad(hue)
    cosine, sine = saturation * np.cos(angle), saturation * np.sin(angle)
    in_yiq = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    mixing = contrast * np.linalg.inv(_RGB_TO_YIQ).dot(in_yiq).dot(_RGB_TO_YIQ)
    return cv2.transform(image, np.hstack([mixing, np.full((3, 1), 128 * (1 - contrast))]))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with a standard deviation in pixels; 0 leaves the image as it is."""
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image


def to_gray(image: np.ndarray) -> np.ndarray:
    """The luma in all three channels, so that an encoder for RGB still fits."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


# ---- Pipeline ----

class Pipeline:
    """`pipeline(image, label, rng) -> (image, label)`: all transforms in their order. Made by `build_pipeline`.

    It is `augment(*prepare(image, label), rng)`. `prepare` draws nothing at random, so its results can be cached under
    `prepare_key`.
    """

    def __init__(self, options: TransformOptions):
        self._options = options
        self._padding = Padding(options.pad_value, options.pad_id)
        self._fixed_size_first = options.random_crop is None

    @property
    def output_size(self) -> Optional[Size]:
        """(height, width) of every image that comes out; None where it follows from the size of the input."""
        return self._options.output_size

    @property
    def settings(self) -> Dict[str, Any]:
        """All options as what JSON can hold; equal for pipelines that do the same."""
        settings = self._options._asdict()
        for name in ('convert_colors_to_ids', 'convert_ids_to_ids'):
            settings[name] = _described(settings[name])
        return dict(settings)

    @property
    def prepare_key(self) -> str:
        """Changes whenever `prepare` would give something else."""
        o = self._options
        fixed = (o.crop, o.resize, o.resize_labels) if self._fixed_size_first else ()
        text = repr((_described(o.convert_colors_to_ids), _described(o.convert_ids_to_ids), fixed))
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, image: np.ndarray, label: Label, rng: np.random.Generator) -> Pair:
        return self.augment(*self.prepare(image, label), rng=rng)

    def prepare(self, image: np.ndarray, label: Label) -> Pair:
        """Convert the label to class IDs and, where no random crop comes before them, crop and resize."""
        if label is not None:
            if self._options.convert_colors_to_ids is not None:
                label = colors_to_ids(label, self._options.convert_colors_to_ids)
            _check_pair(image, label)
        if self._fixed_size_first:
            image, label = self._crop_and_resize(image, label)
        if label is not None and self._options.convert_ids_to_ids is not None:
            label = ids_to_ids(label, self._options.convert_ids_to_ids)  # after resizing: fewer pixels, same result
        return image, label

    def augment(self, image: np.ndarray, label: Label, rng: np.random.Generator) -> Pair:
        """All that is random, with the numbers that `rng` draws, and what comes after it."""
        o = self._options
        if not self._fixed_size_first:
            image, label = random_crop(image, label, rng, o.random_crop, self._padding, o.random_scale,
                                       o.max_class_share, (o.ignore_id, o.pad_id))
            image, label = self._crop_and_resize(image, label)
        image = self._change_light(image, rng)
        image, label = warp(image, label, self._draw_geometry(image.shape[:2], rng), self._padding)
        return (to_gray(image) if o.gray else image), label

    def _crop_and_resize(self, image: np.ndarray, label: Label) -> Pair:
        if self._options.crop is not None:
            image, label = crop(image, label, self._options.crop)
        if self._options.resize is not None:
            image, label = resize(image, label, self._options.resize, self._options.resize_labels)
        return image, label

    def _change_light(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        o = self._options
        factor = _draw(rng, o.brightness, neutral=None)
        if factor is not None:
            image = change_brightness(image, factor)
        colors = _draw_colors(rng, o.color_jitter)
        if colors is not None:
            image = change_colors(image, *colors)
        return blur(image, _draw(rng, o.blur, neutral=0.0))

    def _draw_geometry(self, size: Size, rng: np.random.Generator) -> np.ndarray:
        o = self._options
        matrix = np.eye(3)
        if o.flip is not None and rng.random() < o.flip:
            matrix = flip_matrix(size)
        if o.translate is not None:
            matrix = translation_matrix(*_draw_shift(rng, o.translate)).dot(matrix)
        degrees, factor = _draw(rng, o.rotate, neutral=0.0), _draw(rng, o.scale, neutral=1.0)
        if degrees != 0.0 or factor != 1.0:
            matrix = similarity_matrix(size, degrees, factor).dot(matrix)
        return matrix


def build_pipeline(*, convert_colors_to_ids=False, convert_ids_to_ids=False, void_class_id=None, random_crop=False,
                   crop=False, resize=False, brightness=False, flip=False, translate=False, scale=False, gray=False,
                   rotate=False, color_jitter=False, random_scale=False, max_class_share=False, blur=False,
                   ignore_id=255, pad_value=None, resize_labels=True, num_classes=None, has_labels=True) -> Pipeline:
    """Check all options at once and return the function (image, label, rng) -> (image, label) that they describe.

    The transforms are applied in this order; False leaves one out. p is always a probability.

    Arguments:
        convert_colors_to_ids: Dict from (red, green, blue) to class ID; labels are then `[H, W, 3]` on the way in.
        convert_ids_to_ids: Dict or integer array from ID to ID.
        random_scale: (min, max), the factor by which the image is scaled before the random crop.
        random_crop: (height, width) of a window at a random place; padded where larger than the image.
        max_class_share: Draw a random crop again in which one class fills more than this share of the valid pixels.
        crop: (top, bottom, left, right), the pixels to cut off.
        resize: (height, width).
        brightness: (min, max, p), a factor on the V channel of HSV.
        color_jitter: (contrast, saturation, hue, p): factors from 1 - contrast to 1 + contrast and from 1 - saturation
            to 1 + saturation, and a turn of the hue by up to so many degrees either way.
        blur: (min, max, p), the standard deviation of a Gaussian in pixels.
        flip: p of a mirror image, left to right.
        translate: ((min, max), (min, max), p), the horizontal and the vertical shift in whole pixels. A range without
            negative numbers says how far, and the direction is random; one with negative numbers is taken as it is,
            positive being right and down.
        rotate: (min, max, p), degrees counter-clockwise about the centre.
        scale: (min, max, p), a factor of magnification about the centre; the image keeps its size.
        gray: True for three equal channels.
        void_class_id: The ID that padding gets in labels; None for `ignore_id`.
        ignore_id: The ID of pixels that never count.
        pad_value: (red, green, blue), the colour that padding gets in images: the mean of the dataset. None for the
            mean of ImageNet.
        resize_labels: False leaves labels at their own size, for an evaluation at the resolution of the ground truth.
        num_classes: Only to check `void_class_id`.
        has_labels: False for a dataset without labels: options for labels are then refused.

    Raises:
        ValueError: An option has a wrong type or value, or two do not go together.
    """
    return Pipeline(check_options(
        convert_colors_to_ids=convert_colors_to_ids, convert_ids_to_ids=convert_ids_to_ids,
        void_class_id=void_class_id, random_crop=random_crop, crop=crop, resize=resize, brightness=brightness,
        flip=flip, translate=translate, scale=scale, gray=gray, rotate=rotate, color_jitter=color_jitter,
        random_scale=random_scale, max_class_share=max_class_share, blur=blur, ignore_id=ignore_id,
        pad_value=pad_value, resize_labels=resize_labels, num_classes=num_classes, has_labels=has_labels))


def _check_pair(image: np.ndarray, label: np.ndarray) -> None:
    if label.ndim != 2 or label.dtype not in (np.uint8, np.uint16):
        raise ValueError('A label of shape {} and type {}: must be class IDs, uint8 or uint16 [height, width]. For '
                         'labels that are colours pass convert_colors_to_ids.'.format(label.shape, label.dtype))
    if label.shape != image.shape[:2]:
        raise ValueError('An image of {}x{} with a label of {}x{} (height x width): both must have the same size. '
                         'Resize the one file to the other, labels without interpolation.'.format(
                             *(image.shape[:2] + label.shape)))


def _described(mapping):
    """A description that is equal for equal maps, whatever the type they are held in."""
    if mapping is None:
        return None
    if isinstance(mapping, np.ndarray):
        return mapping.tolist()
    return sorted([np.asarray(key).tolist(), int(value)] for key, value in mapping.items())


def _draw(rng: np.random.Generator, option: Optional[Tuple[float, float, float]], neutral: Optional[float]):
    if option is None:
        return neutral
    low, high, probability = option
    happens, value = rng.random() < probability, rng.uniform(low, high)  # both are drawn, whatever the outcome
    return value if happens else neutral


def _draw_colors(rng: np.random.Generator, option) -> Optional[Tuple[float, float, float]]:
    if option is None:
        return None
    contrast, saturation, hue, probability = option
    happens, draws = rng.random() < probability, rng.uniform(-1, 1, size=3)
    return (1 + contrast * draws[0], 1 + saturation * draws[1], hue * draws[2]) if happens else None


def _draw_shift(rng: np.random.Generator, option) -> Tuple[int, int]:
    across, down, probability = option
    happens, shift = rng.random() < probability, (_draw_pixels(rng, across), _draw_pixels(rng, down))
    return shift if happens else (0, 0)


def _draw_pixels(rng: np.random.Generator, limits: Tuple[int, int]) -> int:
    pixels, sign = int(rng.integers(limits[0], limits[1] + 1)), 1 if rng.random() < 0.5 else -1
    return sign * pixels if limits[0] >= 0 else pixels
