"""All random changes to a pair: one entry per augmentation, in the order in which they are applied.

To add one: an entry here, a keyword of `BatchGenerator.generate`, and a flag in `fcn8s.cli.options.training`.
"""

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np

from data_generator.transforms import geometry, light, values
from helpers.aliases import Size

#: What augmentations do to labels. MOVES: the pixels of image and label move together, by the 3x3 matrix that
#: `apply(size, drawn)` returns. MIRRORS: likewise, also for a label of another size than its image. KEEPS: the label is
#: unchanged, and `apply(image, drawn)` returns the image. CUTS: done first, by `geometry.random_crop`, which reads the
#: label.
MOVES, MIRRORS, KEEPS, CUTS = 'moves', 'mirrors', 'keeps', 'cuts'


class Augmentation(NamedTuple):
    """One augmentation.

    Attributes:
        labels: What it does to labels, see above.
        check: check(name, option) returns the checked option, or None if it is off. Raises ValueError.
        draw: draw(rng, option) returns the random values; None if nothing is done to this pair.
        apply: See above.
        belongs_to: Another augmentation, without which this one has no meaning.
        pads: Whether pixels from outside the image may enter it, so that padding needs a colour.
    """

    labels: str
    check: Callable[[str, Any], Any]
    draw: Callable[[np.random.Generator, Any], Any] = lambda rng, option: option
    apply: Optional[Callable[[Any, Any], np.ndarray]] = None
    belongs_to: str = ''
    pads: bool = False


def _number(rng: np.random.Generator, option: Tuple[float, float, float]) -> Optional[float]:
    low, high, probability = option
    happens, value = rng.random() < probability, rng.uniform(low, high)  # both are drawn in any case
    return value if happens else None


def _colors(rng: np.random.Generator, option: Tuple[float, float, float, float]) -> Optional[Tuple[float, ...]]:
    contrast, saturation, hue, probability = option
    happens, draws = rng.random() < probability, rng.uniform(-1, 1, size=3)
    return (1 + contrast * draws[0], 1 + saturation * draws[1], hue * draws[2]) if happens else None


def _shift(rng: np.random.Generator, option: Any) -> Optional[Tuple[int, int]]:
    across, down, probability = option
    happens, shift = rng.random() < probability, (_pixels(rng, across), _pixels(rng, down))
    return shift if happens else None


def _pixels(rng: np.random.Generator, limits: Tuple[int, int]) -> int:
    pixels, sign = int(rng.integers(limits[0], limits[1] + 1)), 1 if rng.random() < 0.5 else -1
    return sign * pixels if limits[0] >= 0 else pixels


def _brightness(name: str, value: Any) -> Any:
    return values.range_and_p(name, value, 0.0, values.LARGEST_FACTOR, (0.5, 1.5, 0.5))


def _blur(name: str, value: Any) -> Any:
    return values.range_and_p(name, value, 0.0, 50.0, (0.5, 1.5, 0.3))


def _degrees(name: str, value: Any) -> Any:
    return values.range_and_p(name, value, -180.0, 180.0, (-10, 10, 0.5))


def _gray(name: str, value: Any) -> Optional[bool]:
    return values.boolean(name, value) or None


def _rotation(size: Size, degrees: float) -> np.ndarray:
    return geometry.similarity_matrix(size, degrees, 1.0)


def _magnification(size: Size, factor: float) -> np.ndarray:
    return geometry.similarity_matrix(size, 0.0, factor)


AUGMENTATIONS: Dict[str, Augmentation] = {
    'random_crop': Augmentation(CUTS, values.size, pads=True),
    'random_scale': Augmentation(CUTS, values.factors, belongs_to='random_crop'),
    'max_class_share': Augmentation(CUTS, values.share, belongs_to='random_crop'),
    'crop_on_classes': Augmentation(CUTS, values.share_of_crops, belongs_to='random_crop'),
    'brightness': Augmentation(KEEPS, _brightness, _number, light.change_brightness),
    'color_jitter': Augmentation(KEEPS, values.color_jitter, _colors, lambda image, c: light.change_colors(image, *c)),
    'blur': Augmentation(KEEPS, _blur, _number, light.blur),
    'flip': Augmentation(
        MIRRORS,
        values.probability,
        lambda rng, probability: True if rng.random() < probability else None,
        lambda size, _: geometry.flip_matrix(size),
    ),
    'translate': Augmentation(
        MOVES, values.shifts, _shift, lambda size, shift: geometry.translation_matrix(*shift), pads=True
    ),
    'rotate': Augmentation(MOVES, _degrees, _number, _rotation, pads=True),
    'scale': Augmentation(MOVES, values.magnification, _number, _magnification, pads=True),
    'gray': Augmentation(KEEPS, _gray, apply=lambda image, _: light.to_gray(image)),
}
