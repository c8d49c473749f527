"""Predicting images of any size: in tiles, at several scales, mirrored; and folders of images as overlays."""

import os
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from tqdm import tqdm

from fcn8s.confidence import SMALLEST_PROBABILITY
from fcn8s.prediction.tiling import Span, check_tile, spans
from helpers.aliases import PathLike
from helpers.files import make_directory, path_of
from helpers.flags import check_choice, check_flags, check_function, checked_pair, checked_whole, is_real
from helpers.image_rules import RGB_RULES, ImageRules, shown_channels
from helpers.image_search import check_extension, find_images
from helpers.images import read_image, resize_image, write_image
from helpers.process.memory import shortage
from helpers.progress import bar_options
from helpers.visualization_utils import print_segmentation_onto_image

DEFAULT_OVERLAP = 128
ARRANGEMENTS = ('vertical', 'horizontal')
# Larger scales add nothing but interpolation, and soon exceed what OpenCV can hold.
MAX_SCALE = 16

# Bytes of one pixel of an image: RGB as uint8, and as float32 for the network.
_IMAGE_BYTES = 3 + 12
# How many channels OpenCV resizes at a time; version 5 takes 128 at most.
_RESIZED_CHANNELS = 64
# How many rows of a map are enlarged at a time.
_BAND_ROWS = 32

# predict(images, argmax): uint8 [N, H, W, channels] -> class IDs uint8 [N, H, W], or soft-max float32 [N, H, W, C] for
# argmax=False. `FCN8s.predict` and `InferenceGraph.predict` are such functions.
Predict = Callable[..., np.ndarray]
# The first row of a band of an image, and the values of its rows, float32 [h, W, C].
Band = Tuple[int, np.ndarray]


class Predictor:
    """Predicts one image at a time, of any height and width from 1.

    Averages the soft-max over scales, over the image and its mirror image, and where tiles overlap. With none of these,
    class IDs come straight from the network, without the soft-max.

    Given a size, it predicts what `fcn8s evaluate --size` scores: the resized image's logits (soft-max, where several
    are averaged), interpolated to the size of the image before a class is chosen.
    """

    def __init__(
        self,
        predict: Predict,
        num_classes: int,
        tile: Optional[Tuple[int, int]] = None,
        overlap: int = DEFAULT_OVERLAP,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
        size: Optional[Tuple[int, int]] = None,
        averages: bool = False,
    ) -> None:
        """
        Args:
            predict: See `Predict`.
            num_classes: C.
            tile: (height, width) of the tiles that a larger image is cut into; None for the whole image at once. Away
                from the borders of tiles (about 260 pixels: half the network's field of view, and what upsampling adds)
                the answer is that of the whole image.
            overlap: Overlap of neighbouring tiles, in pixels.
            scales: Factors by which the image is resized before predicting; results have the image's own size.
            mirror: Whether the mirror image is predicted too.
            size: (height, width) to which every image is resized for the network; tiles and scales then refer to the
                resized image. None keeps the size of images.
            averages: Whether `predict` returns averages; then these are interpolated, not their logarithms.

        Raises ValueError where an argument is out of its range.
        """
        check_function('predict', predict, 'of images, such as model.predict')
        num_classes = checked_whole('num_classes', num_classes, 1)
        check_predictor_options(num_classes, tile, overlap, scales, size)
        check_flags(mirror=mirror, averages=averages)
        self.num_classes = num_classes
        self._predict = predict
        self._tile = _checked_size('tile', tile)
        self._overlap = overlap
        self._scales = tuple(scales)
        self._mirror = mirror
        self._size = _checked_size('size', size)
        self._averages = averages

    def untiled(self) -> 'Predictor':
        """Returns the same predictor without tiles. Raises ValueError where images are resized."""
        if self._size is not None:
            raise ValueError(
                'images are resized to {} x {} for the network, and a map is predicted by windows at its own scale. '
                'Give --scales 1, or other factors of it.'.format(*self._size)
            )
        return Predictor(self._predict, self.num_classes, scales=self._scales, mirror=self._mirror)

    def class_ids(self, image: np.ndarray) -> np.ndarray:
        """Predicts the class IDs, uint8 [H, W], of an image, uint8 [H, W, channels], RGB as a rule."""
        _check_is_image(image)
        if self._keeps_size(image) and self._scales == (1.0,) and not self._mirror and self._grid(image) is None:
            return self._predict(image[np.newaxis])[0]
        class_ids = np.empty(image.shape[:2], np.uint8)
        for start, band in self._bands(image):
            class_ids[start : start + len(band)] = np.argmax(band, axis=-1)
        return class_ids

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Predicts the soft-max, float32 [H, W, C], of an image, uint8 [H, W, channels], RGB as a rule."""
        _check_is_image(image)
        are_logits = self._interpolates_logits and not self._keeps_size(image)
        return np.concatenate([_soft_max_of(band) if are_logits else band for _, band in self._bands(image)])

    def _keeps_size(self, image: np.ndarray) -> bool:
        return self._size is None or self._size == image.shape[:2]

    @property
    def _interpolates_logits(self) -> bool:
        """Whether the logits of a resized image are interpolated, because there is nothing to average."""
        return self._tile is None and self._scales == (1.0,) and not (self._mirror or self._averages)

    def _grid(self, image: np.ndarray) -> Optional[Tuple[List[Span], List[Span]]]:
        """The spans of rows and columns of the tiles, or None where the image is predicted at once."""
        if self._tile is None or (image.shape[0] <= self._tile[0] and image.shape[1] <= self._tile[1]):
            return None
        return spans(image.shape[0], self._tile[0], self._overlap), spans(image.shape[1], self._tile[1], self._overlap)

    def _bands(self, image: np.ndarray) -> Iterator[Band]:
        """The soft-max from top to bottom; for a resized image with `_interpolates_logits`, the logits instead."""
        if self._size is None or self._keeps_size(image):
            yield from self._bands_of_tiles(image)
            return
        values = np.concatenate([band for _, band in self._bands_of_tiles(resize_image(image, self._size))])
        if self._interpolates_logits:
            # The logarithm gives the logits up to an additive constant for each pixel, which changes no soft-max.
            values = np.log(np.maximum(values, SMALLEST_PROBABILITY))
        yield from _enlarged_bands(values, image.shape[:2])

    def _bands_of_tiles(self, image: np.ndarray) -> Iterator[Band]:
        """The bands of an image that is not resized. Only one row of tiles is in memory at a time."""
        tiles = self._grid(image)
        if tiles is None:
            yield 0, self._average(image)
            return
        rows, columns = tiles
        band_start, band = 0, np.zeros((0, image.shape[1], self.num_classes), np.float32)
        for row in rows:
            finished = row.start - band_start
            if finished:
                yield band_start, band[:finished]
            rest = band[finished:]
            band_start, band = row.start, np.zeros((row.stop - row.start,) + band.shape[1:], np.float32)
            band[: len(rest)] = rest
            for column in columns:
                tile = self._average(np.ascontiguousarray(image[row.start : row.stop, column.start : column.stop]))
                tile *= row.weights[:, np.newaxis, np.newaxis] * column.weights[:, np.newaxis]
                band[:, column.start : column.stop] += tile
        yield band_start, band

    def _average(self, image: np.ndarray) -> np.ndarray:
        """The mean soft-max [H, W, C] over scales and mirror images."""
        total = np.zeros(image.shape[:2] + (self.num_classes,), np.float32)
        for scale in self._scales:
            height, width = (max(1, int(round(side * scale))) for side in image.shape[:2])
            scaled = resize_image(image, (height, width))
            total += _resize_map(self._soft_max(scaled), image.shape[:2])
            if self._mirror:
                mirrored = self._soft_max(np.ascontiguousarray(scaled[:, ::-1]))
                total += _resize_map(np.ascontiguousarray(mirrored[:, ::-1]), image.shape[:2])
        total /= len(self._scales) * (2 if self._mirror else 1)
        return total

    def _soft_max(self, image: np.ndarray) -> np.ndarray:
        soft_max = self._predict(image[np.newaxis], argmax=False)[0]
        if soft_max.shape[2:] != (self.num_classes,):
            raise ValueError(
                'num_classes is {}, and predict(images, argmax=False) gave an image the shape {}. Give the num_classes '
                'of the network.'.format(self.num_classes, soft_max.shape)
            )
        return soft_max


def _check_is_image(image: Any) -> None:
    if not isinstance(image, np.ndarray) or image.ndim != 3 or not image.size:
        what = (
            'has the shape {}'.format(image.shape) if isinstance(image, np.ndarray) else 'is a ' + type(image).__name__
        )
        raise ValueError(
            'the image {}; it has to be one array uint8 [H, W, 3], as helpers.images.read_image reads it.'.format(what)
        )


def check_predictor_options(
    num_classes: int,
    tile: Optional[Tuple[int, int]],
    overlap: int,
    scales: Sequence[float],
    size: Optional[Tuple[int, int]],
) -> None:
    """Raises ValueError where one of these arguments of `Predictor` is out of its range, or memory is too small."""
    checked_tile = _checked_size('tile', tile)
    if checked_tile is not None:
        check_tile(min(checked_tile), overlap)
    elif overlap != DEFAULT_OVERLAP:
        raise ValueError('overlap is {}, but there are no tiles; give tile=(height, width) too.'.format(overlap))
    listed = list(scales) if hasattr(scales, '__len__') else scales
    if not isinstance(listed, list) or not listed or not all(is_real(s) and 0 < s <= MAX_SCALE for s in listed):
        raise ValueError(
            'scales is {}; it has to be one or more positive numbers, at most {}, such as 0.75 1 1.25.'.format(
                listed, MAX_SCALE
            )
        )
    check_room(_checked_size('size', size), num_classes)


def _resize_map(soft_max: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """float32 [h, w, C] to `size` (height, width), bilinearly: OpenCV's area averaging takes at most four channels."""
    if soft_max.shape[:2] == tuple(size):
        return soft_max
    resized = np.empty(tuple(size) + soft_max.shape[2:], np.float32)
    for start in range(0, soft_max.shape[2], _RESIZED_CHANNELS):
        part = np.ascontiguousarray(soft_max[..., start : start + _RESIZED_CHANNELS])
        part = cv2.resize(part, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        resized[..., start : start + _RESIZED_CHANNELS] = part.reshape(tuple(size) + (-1,))
    return resized


def _enlarged_bands(values: np.ndarray, size: Tuple[int, int]) -> Iterator[Band]:
    """float32 [h, w, C] to `size` (height, width) like `_resize_map`, but band by band: for a large image and many
    classes the whole result would take gigabytes."""
    height = len(values)
    wide = _resize_map(values, (height, size[1]))
    # Half-pixel centres, as in OpenCV and in `fcn8s.graph.scoring`.
    rows = np.clip((np.arange(size[0]) + 0.5) * height / size[0] - 0.5, 0, height - 1)
    for start in range(0, size[0], _BAND_ROWS):
        band = rows[start : start + _BAND_ROWS]
        above = band.astype(np.int64)
        share = (band - above).astype(np.float32)[:, np.newaxis, np.newaxis]
        yield start, wide[above] * (1 - share) + wide[np.minimum(above + 1, height - 1)] * share


def _soft_max_of(logits: np.ndarray) -> np.ndarray:
    """The soft-max over the last axis.

    By hand: the SciPy for Python 3.7 computes it by way of a logarithm and rounds differently, so class maps under
    TensorFlow 1 and 2 would differ where two classes are nearly equally likely.
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def predict_and_save(
    predict: Predict,
    results_dir: PathLike,
    images_dir: PathLike,
    color_map: Any,
    resize: Union[bool, Tuple[int, int]] = False,
    image_file_extension: str = 'png',
    include_unprocessed_image: bool = False,
    arrangement: str = 'vertical',
    overwrite_existing: bool = True,
    image_rules: ImageRules = RGB_RULES,
) -> List[str]:
    """Segments the images of a folder and writes overlays with the same names into another.

    Args:
        predict: See `Predict`.
        results_dir: Created if it is missing. Files of other names in it stay as they are.
        images_dir: The folder; its subfolders are not searched.
        color_map: As in `helpers.visualization_utils.print_segmentation_onto_image`.
        resize: (height, width) to which images are resized before predicting, also that of the results; False for none.
        image_file_extension: Which files are taken, for example 'png'.
        include_unprocessed_image: Whether the image comes with its overlay in one picture.
        arrangement: 'vertical', the image above the overlay; or 'horizontal', to its left.
        overwrite_existing: Whether existing results are replaced. False keeps them and predicts only what is missing.
        image_rules: How images are read.

    Returns the paths of the overlays that were written.

    Raises ValueError or FileNotFoundError, before anything is predicted, for folders and arguments that cannot work,
    and ValueError naming an image that cannot be read.
    """
    check_choice('arrangement', arrangement, ARRANGEMENTS)
    size = _checked_size('resize', resize)
    check_flags(include_unprocessed_image=include_unprocessed_image, overwrite_existing=overwrite_existing)
    if arrangement != ARRANGEMENTS[0] and not include_unprocessed_image:
        raise ValueError(
            'arrangement is {!r}; it says where the image stands beside its overlay, and include_unprocessed_image is '
            'off. Give include_unprocessed_image=True, or leave it out.'.format(arrangement)
        )
    check_extension(image_file_extension)
    # Tried on one pixel, so that unusable colours are refused before anything is predicted.
    print_segmentation_onto_image(np.zeros([1, 1, 3], np.uint8), np.zeros([1, 1], np.uint8), color_map)
    results_dir, images_dir = path_of(results_dir), path_of(images_dir)
    if os.path.realpath(results_dir) == os.path.realpath(images_dir):
        raise ValueError(
            'results_dir and images_dir are the same folder, {!r}: overlays have the names of their '
            'images and would replace them. Give another results_dir.'.format(results_dir)
        )
    if not os.path.isdir(images_dir):
        raise FileNotFoundError('images_dir {!r} is no folder.'.format(images_dir))
    pairs = [
        (path, os.path.join(results_dir, os.path.basename(path)))
        for path in find_images(images_dir, (image_file_extension,), recursive=False)
    ]
    make_directory(results_dir)
    pairs = [pair for pair in pairs if overwrite_existing or not os.path.exists(pair[1])]
    for image_path, result_path in tqdm(pairs, desc='predict', unit='image', **bar_options()):
        image = read_image(image_path, rules=image_rules)
        image = image if size is None else resize_image(image, size)
        class_ids, image = predict(image[np.newaxis])[0], shown_channels(image)
        overlay = print_segmentation_onto_image(image, class_ids, color_map)
        if include_unprocessed_image:
            overlay = np.concatenate([image, overlay], axis=ARRANGEMENTS.index(arrangement))
        write_image(result_path, overlay)
    return [result_path for _, result_path in pairs]


def check_room(size: Optional[Sequence[int]], num_classes: int, num_images: int = 1, name: str = 'size') -> None:
    """Raises ValueError where memory cannot hold resized images and their soft-max; layers take still more."""
    if size is None or min(size) < 1:  # what a size has to be is checked elsewhere
        return
    lacking = shortage(num_images * size[0] * size[1] * (_IMAGE_BYTES + 4 * num_classes))
    if lacking is not None:
        raise ValueError(
            '{} is {} x {}: {} of that size and the soft-max of {} classes take {} of memory, and {} are free. '
            'Give a smaller size.'.format(
                name,
                *size,
                'an image' if num_images == 1 else '{} images'.format(num_images),
                num_classes,
                *lacking,
            )
        )


def _checked_size(name: str, size: Any) -> Optional[Tuple[int, int]]:
    if size is False or size is None:
        return None
    return checked_pair(name, size, remedy='Leave it out for none.')
