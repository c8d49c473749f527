"""Augmentation of pairs of image and label by the options, in the order of `AUGMENTATIONS`.

All geometry from flip on is combined into one matrix and so one resampling: two would blur the image twice and take
twice as long.
"""

import hashlib
from typing import Any, Callable, Dict, Optional

import numpy as np

from data_generator.transforms import geometry
from data_generator.transforms.augmentations import AUGMENTATIONS, MIRRORS, MOVES
from data_generator.transforms.geometry import Label, Padding, Pair
from data_generator.transforms.options import TRANSFORM_NAMES, TransformOptions, check_options
from helpers.aliases import Size
from helpers.ground_truth import convert_colors_to_ids as colors_to_ids
from helpers.ground_truth import convert_ids_to_ids as ids_to_ids
from helpers.label_spaces import DEFAULT_IGNORE_ID


class Pipeline:
    """`pipeline(image, label, rng) -> (image, label)`: all transforms in their order. Made by `build_pipeline`.

    It is `augment(*prepare(image, label), rng)`. `prepare` uses no randomness, so its results can be cached under
    `prepare_key`.
    """

    def __init__(self, options: TransformOptions):
        self._options = options
        self._padding = Padding(options.pad_value, options.pad_id)
        self._fixed_size_first = options.augmentations['random_crop'] is None

    @property
    def output_size(self) -> Optional[Size]:
        """(height, width) of every output image; None if it depends on the size of the input."""
        return self._options.output_size

    @property
    def settings(self) -> Dict[str, Any]:
        """All options as types that JSON can hold; equal for pipelines that do the same."""
        settings = dict(self._options._asdict())
        settings.update(settings.pop('augmentations'))
        settings['gray'] = bool(settings['gray'])
        for name in ('convert_colors_to_ids', 'convert_ids_to_ids'):
            settings[name] = _described(settings[name])
        return settings

    @property
    def crops_first(self) -> bool:
        """Whether a random crop is the first thing done to an image."""
        return not self._fixed_size_first

    @property
    def prepare_key(self) -> str:
        """A key that differs for pipelines whose `prepare` gives different results."""
        o = self._options
        fixed = (o.crop, o.resize, o.resize_labels) if self._fixed_size_first else ()
        text = repr((_described(o.convert_colors_to_ids), _described(o.convert_ids_to_ids), fixed))
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, image: np.ndarray, label: Label, rng: np.random.Generator) -> Pair:
        return self.augment(*self.prepare(image, label), rng=rng)

    def prepare(self, image: np.ndarray, label: Label) -> Pair:
        """Converts the label to class IDs; also crops and resizes, unless a random crop comes first."""
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
        """Applies all random transforms, with numbers drawn from `rng`, and the transforms after them."""
        if label is not None and self._padding.label_id > np.iinfo(label.dtype).max:
            label = label.astype(np.uint16)  # has room for the ID of the padding
        if not self._fixed_size_first:
            image, label = self._crop_and_resize(*self._random_crop(image, label, rng))
        matrix = np.eye(3)
        for name, entry in AUGMENTATIONS.items():
            option = self._options.augmentations[name]
            drawn = None if option is None or entry.apply is None else entry.draw(rng, option)
            if drawn is None or entry.apply is None:
                continue
            if entry.labels in (MOVES, MIRRORS):
                matrix = entry.apply(image.shape[:2], drawn).dot(matrix)
            else:
                image, label = geometry.warp(image, label, matrix, self._padding)
                image, matrix = _of_the_colours(image, entry.apply, drawn), np.eye(3)
        return geometry.warp(image, label, matrix, self._padding)

    def _random_crop(self, image: np.ndarray, label: Label, rng: np.random.Generator) -> Pair:
        size, factors, share, on_classes = (
            self._options.augmentations[name]
            for name in ('random_crop', 'random_scale', 'max_class_share', 'crop_on_classes')
        )
        not_a_class = (self._options.ignore_id, self._options.pad_id)
        return geometry.random_crop(image, label, rng, size, self._padding, factors, share, not_a_class, on_classes)

    def _crop_and_resize(self, image: np.ndarray, label: Label) -> Pair:
        if self._options.crop is not None:
            image, label = geometry.crop(image, label, self._options.crop)
        if self._options.resize is not None:
            image, label = geometry.resize(image, label, self._options.resize, self._options.resize_labels)
        return image, label


def _of_the_colours(image: np.ndarray, change: Callable[[np.ndarray, Any], np.ndarray], drawn: Any) -> np.ndarray:
    """Changes the first three channels, the colours. Others, such as depth or heat, do not depend on the light."""
    if image.shape[2] == 3:
        return change(image, drawn)
    if image.shape[2] < 3:
        return change(image, drawn).reshape(image.shape)  # OpenCV drops the axis of a single channel
    return np.dstack([change(np.ascontiguousarray(image[..., :3]), drawn), image[..., 3:]])


def build_pipeline(
    *, ignore_id: int = DEFAULT_IGNORE_ID, num_classes: Optional[int] = None, has_labels: bool = True, **transforms: Any
) -> Pipeline:
    """Checks all options and returns the function (image, label, rng) -> (image, label) that they describe.

    The transforms are applied in this order; False turns one off. p is always a probability.

    Args:
        convert_colors_to_ids: Dict from (red, green, blue) to class ID; labels are then `[H, W, 3]` on the way in.
        convert_ids_to_ids: Dict or integer array from ID to ID.
        random_scale: (min, max), the factor by which the image is scaled before the random crop.
        random_crop: (height, width) of a window at a random place; padded if larger than the image.
        max_class_share: A random crop is drawn again if one class fills more than this share of its valid pixels.
        crop_on_classes: The share of random crops that are centred, as far as the image allows, on a pixel of a random
            class. Each class of the image is equally likely, so rare classes come as often as frequent ones.
        crop: (top, bottom, left, right), the pixels to cut off.
        resize: (height, width).
        brightness: (min, max, p), a factor on the V channel of HSV.
        color_jitter: (contrast, saturation, hue, p): factors from 1 - contrast to 1 + contrast and from 1 - saturation
            to 1 + saturation, and a random turn of the hue by up to `hue` degrees either way.
        blur: (min, max, p), the standard deviation of a Gaussian in pixels.
        flip: p of a horizontal flip, left to right.
        translate: ((min, max), (min, max), p), the horizontal and the vertical shift in whole pixels. A range without
            negative numbers gives the distance, and the direction is random; a range with negative numbers is used
            literally, with positive shifts to the right and down.
        rotate: (min, max, p), degrees counter-clockwise about the centre.
        scale: (min, max, p), a factor of magnification about the centre; the image keeps its size.
        gray: True for three equal channels.
        void_class_id: The ID of padding in labels; None for `ignore_id`.
        ignore_id: The ID of pixels that never count.
        pad_value: (red, green, blue), or one number for each channel: the colour of padding in images. None for the
            mean of ImageNet; `BatchGenerator` passes the mean of the dataset.
        resize_labels: False keeps labels at their own size, for an evaluation at the resolution of the ground truth.
        num_classes: Only used to check `void_class_id`.
        has_labels: False for a dataset without labels: options for labels are then refused.

    Raises:
        ValueError: An option has a wrong type or value, or two cannot be combined.
        TypeError: There is no such option.
    """
    for name in transforms:
        if name not in TRANSFORM_NAMES:
            raise TypeError('{}: there is no such transform. There are {}.'.format(name, ', '.join(TRANSFORM_NAMES)))
    return Pipeline(check_options(transforms, ignore_id, num_classes, has_labels))


def _check_pair(image: np.ndarray, label: np.ndarray) -> None:
    if label.ndim != 2 or label.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            'A label has the shape {} and the type {}; it has to be class IDs, uint8 or uint16 [height, width]. For '
            'labels that are colours pass convert_colors_to_ids.'.format(label.shape, label.dtype)
        )
    if label.shape != image.shape[:2]:
        raise ValueError(
            'An image of {}x{} with a label of {}x{} (height x width): both must have the same size. '
            'Resize the one file to the other, labels without interpolation.'.format(*(image.shape[:2] + label.shape))
        )


def _described(mapping):
    """A description that is equal for equal maps, whatever the types of their numbers."""
    if mapping is None:
        return None
    if isinstance(mapping, np.ndarray):
        return mapping.tolist()
    return sorted([np.asarray(key).tolist(), int(value)] for key, value in mapping.items())
