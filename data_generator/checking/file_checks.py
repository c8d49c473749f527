"""Reading the two files of a pair to the end, and noting all that is to be known about them."""

import hashlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from data_generator.checking.faults import Fault
from data_generator.files.discovery import Pair
from helpers.image_rules import RGB_RULES, ImageRules, shown_channels
from helpers.images import NotRgbError, read_color_labels, read_image, read_labels

#: (height, width) at which the images of a split are averaged.
THUMBNAIL_SIZE = (48, 96)

Size = Tuple[int, int]


class ImageFacts(NamedTuple):
    """About a readable image: its size, mean and mean square by channel, a hash over the pixels, a small copy."""

    size: Size
    mean: np.ndarray
    mean_square: np.ndarray
    digest: bytes
    thumbnail: np.ndarray


class PairFacts(NamedTuple):
    """About a pair: `values` counts the pixels by label value, an ID or (red, green, blue); None without a label."""

    pair: Pair
    image: Optional[ImageFacts]
    values: Optional[Dict[Any, int]]
    faults: List[Fault]


def check_pair(pair: Pair, has_color_labels: bool, image_rules: ImageRules = RGB_RULES) -> PairFacts:
    """Read both files. Whatever is wrong with them becomes a fault, never an exception."""
    faults: List[Fault] = []
    pixels = _read_image(pair.image, faults, image_rules)
    image = None if pixels is None else _image_facts(pixels)
    label = None
    if pair.label is not None:
        label = _read_label(pair.label, has_color_labels, faults)
        if label is not None and pixels is not None and label.shape[:2] != pixels.shape[:2]:
            faults.append(
                Fault(
                    'size_mismatch', pair.label, '{}x{}, its image {}x{}'.format(*(label.shape[:2] + pixels.shape[:2]))
                )
            )
    return PairFacts(pair, image, None if label is None else _count_values(label), faults)


def _read_image(path: str, faults: List[Fault], image_rules: ImageRules) -> Optional[np.ndarray]:
    """The image as training reads it. That it is converted is noted as a fault, which keeps nothing from starting."""
    try:
        try:
            return read_image(path, rules=None if image_rules == RGB_RULES else image_rules)
        except NotRgbError as error:
            pixels = read_image(path, rules=image_rules)
            faults.append(Fault(error.kind + '_image', path))
            return pixels
    except (ValueError, OSError) as error:
        faults.append(Fault('unreadable_image', path, str(error)))
        return None


def _image_facts(pixels: np.ndarray) -> ImageFacts:
    moments = [cv2.meanStdDev(np.ascontiguousarray(pixels[..., channel])) for channel in range(pixels.shape[2])]
    mean, deviation = (np.array([float(moment[part].item()) for moment in moments]) for part in (0, 1))
    thumbnail = cv2.resize(shown_channels(pixels), THUMBNAIL_SIZE[::-1], interpolation=cv2.INTER_AREA)
    return ImageFacts(pixels.shape[:2], mean, deviation**2 + mean**2, _digest(pixels), thumbnail)


def _digest(pixels: np.ndarray) -> bytes:
    """Equal for equal pixels, however they are encoded."""
    content = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    content.update(np.ascontiguousarray(pixels).data)
    return content.digest()


def _read_label(path: str, has_color_labels: bool, faults: List[Fault]) -> Optional[np.ndarray]:
    try:
        return read_color_labels(path) if has_color_labels else read_labels(path)
    except (ValueError, OSError) as error:
        faults.append(Fault('unreadable_label', path, str(error)))
        return None


def _count_values(label: np.ndarray) -> Dict[Any, int]:
    if label.ndim == 2:
        counts = np.bincount(label.ravel())
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    red, green, blue = (label[..., channel].astype(np.int32) for channel in range(3))
    codes, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    return {(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255): int(n) for code, n in zip(codes, counts)}
