"""Moving the pixels of an image and its label: windows, sizes, flips, shifts, rotations.

Throughout, an image is uint8 `[H, W, 3]` RGB and a label is uint8 or uint16 `[H, W]` class IDs, or None in a dataset
without labels. Nothing is changed in place; results may be views of the input. Image and label always get the same
geometry. Labels are always sampled at the nearest pixel, so no new ID appears except that of the padding. Pixel centres
lie at integer coordinates: the centre of an image is ((W - 1) / 2, (H - 1) / 2).
"""

from typing import Any, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from helpers import images
from helpers.aliases import Size
from helpers.images import by_four_channels

#: How many crops are drawn at most, while one class fills too much of each; then the best of them is taken.
CROP_ATTEMPTS = 10

Label = Optional[np.ndarray]
Pair = Tuple[np.ndarray, Label]


class Padding(NamedTuple):
    """The fill of pixels that lie outside the source: a colour (RGB) in images, an ID in labels."""

    color: Tuple[int, ...]
    label_id: int


def cut_window(image: np.ndarray, label: Label, top: int, left: int, size: Size, padding: Padding) -> Pair:
    """Cuts the window of `size` (height, width) with its upper left corner at (top, left), which may lie outside."""
    return (
        _cut(image, top, left, size, padding.color),
        None if label is None else _cut(label, top, left, size, padding.label_id),
    )


def _cut(array: np.ndarray, top: int, left: int, size: Size, fill) -> np.ndarray:
    (height, width), (rows, columns) = array.shape[:2], size
    first_row, last_row = max(top, 0), min(top + rows, height)
    first_column, last_column = max(left, 0), min(left + columns, width)
    if (last_row - first_row, last_column - first_column) == size:
        return array[first_row:last_row, first_column:last_column]
    window = _filled(array, size, fill)
    if first_row < last_row and first_column < last_column:
        window[first_row - top : last_row - top, first_column - left : last_column - left] = array[
            first_row:last_row, first_column:last_column
        ]
    return window


def crop(image: np.ndarray, label: Label, margins: Tuple[int, int, int, int]) -> Pair:
    """Cuts (top, bottom, left, right) pixels off the sides. Raises ValueError if nothing would remain."""
    top, bottom, left, right = margins
    height, width = image.shape[:2]
    if top + bottom >= height or left + right >= width:
        raise ValueError(
            'crop={} (top, bottom, left, right): cuts away all of an image of {}x{} (height x width). Cut '
            'off less than {} rows and {} columns.'.format(margins, height, width, height, width)
        )
    window = np.s_[top : height - bottom, left : width - right]
    return image[window], None if label is None else label[window]


def resize(image: np.ndarray, label: Label, size: Size, resize_labels: bool = True) -> Pair:
    """Resizes to (height, width): the image as `helpers.images.resize_image` does, the label by nearest neighbour."""
    image = images.resize_image(image, size)
    if label is None or not resize_labels or label.shape == size:
        return image, label
    return image, images.resize_labels(label, size)


def random_crop(
    image: np.ndarray,
    label: Label,
    rng: np.random.Generator,
    size: Size,
    padding: Padding,
    scale_range: Optional[Tuple[float, float]] = None,
    max_class_share: Optional[float] = None,
    not_a_class: Sequence[int] = (),
    on_classes: Optional[float] = None,
) -> Pair:
    """Cuts a window of `size` (height, width) at a random place, out of the image scaled by a random factor.

    Along a side on which the window is larger than the (scaled) image, the image lies at a random place within the
    window and the rest is padding.

    `max_class_share`: a window is drawn again if one class fills more than this share of its valid pixels (those whose
    ID is not in `not_a_class`) or if it has no valid pixel. Of up to `CROP_ATTEMPTS` windows the best is taken, as in
    DeepLab-style training on Cityscapes. `on_classes`: this share of the windows is centred, as far as the image
    allows, on a pixel of a random class; each class of the image is equally likely.
    """
    factor = 1.0 if scale_range is None else rng.uniform(*scale_range)
    pixels = None
    if on_classes is not None and label is not None and rng.random() < on_classes:
        pixels = draw_pixels_of_a_class(rng, label, not_a_class)

    def draw() -> Tuple[int, int]:
        if pixels is None:
            return _draw_place(rng, image.shape[:2], factor, size)
        pixel = pixels[rng.integers(len(pixels))]
        return place_on_pixel(np.unravel_index(pixel, image.shape[:2]), image.shape[:2], factor, size)

    place = draw()
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
        place = draw()
    return _cut_scaled(image, label, factor, best_place, size, padding)


def draw_pixels_of_a_class(
    rng: np.random.Generator, label: np.ndarray, not_a_class: Sequence[int]
) -> Optional[np.ndarray]:
    """Draws one of the classes of a label, each with the same probability, however few pixels it has.

    Returns:
        The flat indices of all pixels of that class; None if the label holds only IDs in `not_a_class`.
    """
    present = [class_id for class_id in np.flatnonzero(np.bincount(label.ravel())) if class_id not in not_a_class]
    if not present:
        return None
    return np.flatnonzero(label == present[rng.integers(len(present))])


def place_on_pixel(pixel: Sequence[Any], image_size: Size, factor: float, size: Size) -> Tuple[int, int]:
    """Finds the upper left corner, in the scaled image, of the window whose centre is nearest to the given pixel.

    The window stays within the scaled image; where it is larger than that, the image stays within the window.

    Args:
        pixel: (row, column) in the image before scaling.
    """
    corner = []
    for at, extent, scaled, wanted in zip(pixel, image_size, _scaled_size(image_size, factor), size):
        centre = (int(at) + 0.5) * scaled / extent
        slack = scaled - wanted
        corner.append(int(np.clip(np.floor(centre - wanted / 2 + 0.5), min(0, slack), max(0, slack))))
    return corner[0], corner[1]


def largest_class_share(label: np.ndarray, not_a_class: Sequence[int] = ()) -> float:
    """Returns the share of the most frequent class in the valid pixels; infinity if no pixel is valid."""
    counts = np.bincount(label.ravel())
    for class_id in not_a_class:
        counts[class_id : class_id + 1] = 0
    total = counts.sum()
    return float(counts.max() / total) if total else np.inf


def _draw_place(rng: np.random.Generator, image_size: Size, factor: float, size: Size) -> Tuple[int, int]:
    slack = [scaled - wanted for scaled, wanted in zip(_scaled_size(image_size, factor), size)]
    top, left = (int(rng.integers(min(0, s), max(0, s) + 1)) for s in slack)
    return top, left


def _scaled_size(size: Size, factor: float) -> Size:
    return max(1, int(round(size[0] * factor))), max(1, int(round(size[1] * factor)))


def _cut_scaled(
    image: np.ndarray, label: Label, factor: float, place: Tuple[int, int], size: Size, padding: Padding
) -> Pair:
    return (
        _sample_scaled(image, factor, place, size, cv2.INTER_LINEAR, padding.color),
        None if label is None else _sample_scaled(label, factor, place, size, cv2.INTER_NEAREST, padding.label_id),
    )


def _sample_scaled(
    array: np.ndarray, factor: float, place: Tuple[int, int], size: Size, interpolation: int, fill
) -> np.ndarray:
    (top, left), scaled = place, _scaled_size(array.shape[:2], factor)
    if scaled == tuple(array.shape[:2]):
        return _cut(array, top, left, size, fill)
    # Only the window is computed, never the whole image.
    matrix = _scaling_matrix(array.shape[:2], scaled, place)
    is_array = isinstance(array, np.ndarray)
    if not is_array or max(array.shape[:2]) > images.MAX_OPENCV_SIDE or _averaged_pixels(matrix) > 1:
        array, matrix = _read_needed(array, matrix, size)
    return _warp(array, matrix, size, interpolation, fill)


def _scaling_matrix(size: Size, scaled: Size, place: Tuple[int, int]) -> np.ndarray:
    """The matrix that scales an image from one size to another and then moves `place` to the origin."""
    (down, across), (top, left) = (to / side for to, side in zip(scaled, size)), place
    # Scaling by f moves the pixel centre x to f (x + 1/2) - 1/2.
    return np.array([[across, 0, (across - 1) / 2 - left], [0, down, (down - 1) / 2 - top], [0, 0, 1]])


def _read_needed(image: Any, matrix: np.ndarray, size: Size) -> Tuple[np.ndarray, np.ndarray]:
    """The part of a large image or label that a window of `size` needs under `matrix`, and the matrix for that part."""
    firsts, parts, step = [], [], _averaged_pixels(matrix)
    for axis in (0, 1):
        factor, shift = matrix[1 - axis, 1 - axis], matrix[1 - axis, 2]
        ends = [(end - shift) / factor for end in (-1, size[axis])]
        # Two pixels more than interpolation needs, and at least one pixel if the window lies outside the image.
        first = int(np.clip(np.floor(min(ends)) - 2 * step, 0, image.shape[axis] - 1))
        first -= first % step
        last = int(np.clip(np.ceil(max(ends)) + 3 * step, first + 1, image.shape[axis]))
        last = min(last + (first - last) % step, image.shape[axis])
        firsts.append(first)
        parts.append(slice(first, last))
    return image[parts[0], parts[1]], matrix.dot(translation_matrix(firsts[1], firsts[0]))


def flip_matrix(size: Size) -> np.ndarray:
    """Returns the 3x3 matrix (acting on (x, y, 1)) that mirrors an image of (height, width) left to right."""
    return np.array([[-1.0, 0, size[1] - 1], [0, 1, 0], [0, 0, 1]])


def translation_matrix(right: float, down: float) -> np.ndarray:
    """Returns the 3x3 matrix that shifts an image by this many pixels."""
    return np.array([[1.0, 0, right], [0, 1, down], [0, 0, 1]])


def similarity_matrix(size: Size, degrees: float, factor: float) -> np.ndarray:
    """Returns the 3x3 matrix that rotates counter-clockwise and scales about the centre of an image of (height,
    width).
    """
    center = ((size[1] - 1) / 2, (size[0] - 1) / 2)
    return np.vstack([cv2.getRotationMatrix2D(center, degrees, factor), [[0, 0, 1]]])


def warp(image: np.ndarray, label: Label, matrix: np.ndarray, padding: Padding) -> Pair:
    """Moves every pixel (x, y) to `matrix` (x, y, 1), 3x3 and affine, within images of the same size.

    The image is interpolated bilinearly. A matrix that only flips and shifts by whole pixels copies pixels instead.
    """
    size = image.shape[:2]
    mirrored = matrix[0, 0] < 0
    rest = matrix.dot(flip_matrix(size)) if mirrored else matrix  # matrix = rest . flip: a flip is its own inverse
    if not _only_shifts(rest):
        return (
            _warp(image, matrix, size, cv2.INTER_LINEAR, padding.color),
            None if label is None else _warp(label, matrix, size, cv2.INTER_NEAREST, padding.label_id),
        )
    if mirrored:
        image = by_four_channels(image, lambda part: cv2.flip(part, 1))
        label = None if label is None else cv2.flip(label, 1)
    right, down = int(rest[0, 2]), int(rest[1, 2])
    if right == 0 and down == 0:  # also for labels that keep their own size
        return image, label
    return cut_window(image, label, -down, -right, size, padding)


def _only_shifts(matrix: np.ndarray) -> bool:
    return np.array_equal(matrix[:2, :2], np.eye(2)) and np.array_equal(matrix[:2, 2], np.round(matrix[:2, 2]))


# Interpolation must not mix padding into the border of the image: a pixel is either all image or all padding, the same
# in image and label. So border pixels are repeated outwards, and pixels outside the image are filled afterwards. (What
# follows a random crop that padded takes its padding for a part of the image.)


def _warp(array: np.ndarray, matrix: np.ndarray, size: Size, interpolation: int, fill) -> np.ndarray:
    if matrix[0, 1] == 0 and matrix[1, 0] == 0:
        return _warp_along_axes(array, matrix, size, interpolation, fill)
    warped = _warp_repeating_rim(array, matrix, size, interpolation)
    inside = cv2.warpAffine(
        np.ones(array.shape[:2], np.uint8),
        matrix[:2],
        (size[1], size[0]),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    filled = _filled(array, size, fill)
    if array.ndim == 3 and array.shape[2] not in (2, 3, 4):
        filled[inside > 0] = warped[inside > 0]
        return filled
    return cv2.copyTo(warped, inside, filled)


def _warp_along_axes(array: np.ndarray, matrix: np.ndarray, size: Size, interpolation: int, fill) -> np.ndarray:
    """Warps without rotation: the image covers a rectangle, and only this rectangle is computed."""
    top, bottom = _covered(matrix[1, 1], matrix[1, 2], array.shape[0], size[0])
    left, right = _covered(matrix[0, 0], matrix[0, 2], array.shape[1], size[1])
    if top >= bottom or left >= right:
        return _filled(array, size, fill)
    warped = np.empty(size + array.shape[2:], array.dtype)
    for rim in (warped[:top], warped[bottom:], warped[top:bottom, :left], warped[top:bottom, right:]):
        _fill(rim, fill)
    to_rectangle = translation_matrix(-left, -top).dot(matrix)
    rectangle = (bottom - top, right - left)
    warped[top:bottom, left:right] = _warp_repeating_rim(array, to_rectangle, rectangle, interpolation)
    return warped


def _covered(factor: float, shift: float, source_length: int, length: int) -> Tuple[int, int]:
    """First and last + 1 of the pixels to which x -> factor x + shift moves [-1/2, source_length - 1/2]."""
    ends = sorted((shift - 0.5 * factor, shift + (source_length - 0.5) * factor))
    first, last = (min(max(int(np.ceil(end)), 0), length) for end in ends)
    return first, last


def _warp_repeating_rim(array: np.ndarray, matrix: np.ndarray, size: Size, interpolation: int) -> np.ndarray:
    if interpolation == cv2.INTER_LINEAR:
        array, matrix = _averaged(array, matrix)

    def warp_part(part: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(
            part, matrix[:2], (size[1], size[0]), flags=interpolation, borderMode=cv2.BORDER_REPLICATE
        )

    return by_four_channels(array, warp_part)


def _averaged_pixels(matrix: np.ndarray) -> int:
    """How many source pixels along a side become one, if the image shrinks to half or less; 1 otherwise."""
    return max(1, int(1 / np.linalg.norm(matrix[:2, :2], axis=0).max() + 1e-6))


def _averaged(image: np.ndarray, matrix: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The image shrunk by averaging the source pixels that become one, and the matrix for the shrunk image.

    Bilinear interpolation uses two pixels along each side and would skip others; evaluation at the same size does not
    skip them (`images.resize_image`).
    """
    step = _averaged_pixels(matrix)
    if step == 1:
        return image, matrix
    rows, columns = (-(-extent // step) for extent in image.shape[:2])
    below, beside = rows * step - image.shape[0], columns * step - image.shape[1]

    def average(part: np.ndarray) -> np.ndarray:
        whole = cv2.copyMakeBorder(part, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)

    of_blocks = np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1]])
    return by_four_channels(image, average), matrix.dot(of_blocks)


def _filled(array: np.ndarray, size: Size, fill) -> np.ndarray:
    filled = np.empty(size + array.shape[2:], array.dtype)
    _fill(filled, fill)
    return filled


def _fill(array: np.ndarray, fill) -> None:
    array[:1] = fill
    array[1:] = array[:1]  # row by row is many times faster than colour by colour
