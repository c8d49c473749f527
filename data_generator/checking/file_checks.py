"""Reads both files of a pair completely, and collects facts and faults."""

import hashlib
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from data_generator.checking.alignment import edge_correlation
from data_generator.checking.faults import Fault
from data_generator.checking.label_checks import LabelFacts, LabelLook, check_label
from data_generator.files.discovery import Pair
from helpers.aliases import Size
from helpers.image_files.animation import holds_frames
from helpers.image_rules import RGB_RULES, ImageRules, shown_channels
from helpers.images import NotRgbError, read_encoded, read_image

#: (height, width) at which the images of a split are averaged.
THUMBNAIL_SIZE = (48, 96)


class ImageFacts(NamedTuple):
    """Facts about a readable image: size, mean and mean square by channel, a hash of the pixels, a small copy."""

    size: Size
    mean: np.ndarray
    mean_square: np.ndarray
    digest: bytes
    thumbnail: np.ndarray


class PairFacts(NamedTuple):
    """Facts about a pair; None for a file that does not exist or cannot be read.

    `was_converted` is True for a label with class IDs that `process_all` wrote. `correlation` is the result of
    `alignment.edge_correlation`.
    """

    pair: Pair
    image: Optional[ImageFacts]
    label: Optional[LabelFacts]
    faults: List[Fault]
    was_converted: bool = False
    correlation: Optional[np.ndarray] = None

    @property
    def values(self) -> Dict[Any, int]:
        """The number of pixels of each value in the label; empty if it holds colours without a table for them."""
        return self.label.values if self.label is not None and self.label.is_named else {}


def check_pair(pair: Pair, look: LabelLook, image_rules: ImageRules = RGB_RULES) -> PairFacts:
    """Reads both files. Anything wrong with them becomes a fault, never an exception."""
    faults: List[Fault] = []
    pixels, orientation = _read_image(pair.image, faults, image_rules)
    image = None if pixels is None else _image_facts(pixels)
    label, ids = (None, None) if pair.label is None else check_label(pair.label, look, faults)
    if label is not None and pixels is not None and pair.label:
        _check_size(pair, label.size, pixels.shape[:2], orientation, faults)
    correlation = None if pixels is None or ids is None else edge_correlation(pixels, ids)
    return PairFacts(pair, image, label, faults, correlation=correlation)


def _check_size(pair: Pair, label_size: Size, size: Size, orientation: int, faults: List[Fault]) -> None:
    """Adds a fault for a label of another size than its upright image, or one that would fit it turned or not."""
    if label_size != size:
        detail = '{}x{}, its image {}x{}'.format(*(label_size + size))
        if orientation != 1 and label_size == size[::-1]:
            detail += ' since its Exif orientation, {}, turns it'.format(orientation)
        faults.append(Fault('size_mismatch', str(pair.label), detail))
    elif orientation != 1 and (orientation < 5 or size[0] == size[1]):
        faults.append(Fault('turned_image', pair.image, 'orientation {}'.format(orientation)))


def _read_image(path: str, faults: List[Fault], image_rules: ImageRules) -> Tuple[Optional[np.ndarray], int]:
    """The image as training reads it, and its Exif orientation (1 if it is not turned).

    A conversion of the image becomes a fault that is no error.
    """
    try:
        file = read_encoded(path)
        if holds_frames(file.data):
            faults.append(Fault('animated_image', path))
        try:
            return read_image(file, rules=None if image_rules == RGB_RULES else image_rules), file.header.orientation
        except NotRgbError as error:
            pixels = read_image(file, rules=image_rules)
            faults.append(Fault(error.kind + '_image', path))
            return pixels, file.header.orientation
    except (ValueError, OSError) as error:
        faults.append(Fault('unreadable_image', path, str(error)))
        return None, 1


def _image_facts(pixels: np.ndarray) -> ImageFacts:
    moments = [cv2.meanStdDev(np.ascontiguousarray(pixels[..., channel])) for channel in range(pixels.shape[2])]
    mean, deviation = (np.array([float(moment[part].item()) for moment in moments]) for part in (0, 1))
    thumbnail = cv2.resize(shown_channels(pixels), THUMBNAIL_SIZE[::-1], interpolation=cv2.INTER_AREA)
    return ImageFacts(pixels.shape[:2], mean, deviation**2 + mean**2, _digest(pixels), thumbnail)


def _digest(pixels: np.ndarray) -> bytes:
    """A hash that is equal for equal pixels, whatever their encoding."""
    content = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    content.update(np.ascontiguousarray(pixels).data)
    return content.digest()
