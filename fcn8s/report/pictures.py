"""Small pictures of an image, its labels and its prediction, as WebP."""

import io
from typing import List, NamedTuple, Tuple

import cv2
import numpy as np

from helpers.aliases import Color
from helpers.color_vision import color_blind_colors, color_distances
from helpers.image_rules import shown_channels
from helpers.label_spaces import LabelSpace, are_counted
from helpers.spool import Spool
from helpers.visualization_utils import colorize

# Pixels of the longer side, and the WebP quality of photographs, in per cent.
LONGER_SIDE = 320
_QUALITY = 60
# Above 100, OpenCV writes lossless WebP: the colours of classes stay exact.
_LOSSLESS = 101

# Okabe and Ito's vermilion, on a grey that looks lighter in print and to any colour vision.
WRONG, RIGHT = (213, 94, 0), (222, 226, 230)
# Colours for pixels that do not count, the preferred first, and how far (CIEDE2000) one is from those of all classes.
_NOT_COUNTED = ((0, 0, 0), (255, 251, 217), (120, 126, 134), (253, 1, 153), (103, 251, 253), (67, 47, 33))
_CLEARLY = 12.0


class Pictures(NamedTuple):
    """WebP files of one image, all of one size."""

    image: bytes
    truth: bytes
    prediction: bytes
    error: bytes


class KeptPictures:
    """The pictures of all images of an evaluation, of which a report shows some."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._lengths: List[List[int]] = []

    def append(self, pictures: Pictures) -> None:
        """Keeps the pictures of the next image."""
        self._spool.append(b''.join(pictures))
        self._lengths.append([len(part) for part in pictures])

    def __getitem__(self, number: int) -> Pictures:
        """Returns the pictures of an image by its number."""
        files = io.BytesIO(self._spool[number])
        return Pictures(*(files.read(length) for length in self._lengths[number]))

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self._spool)


def make_pictures(image: np.ndarray, labels: np.ndarray, class_ids: np.ndarray, label_space: LabelSpace) -> Pictures:
    """Makes the four pictures of one image.

    Args:
        image: uint8 [h, w, channels], RGB first; may have another size than labels and prediction.
        labels, class_ids: IDs [H, W]. Pixels that do not count have the colour of `not_counted_color` in the pictures
            of the labels and of the errors.
    """
    void_color = not_counted_color(label_space)
    size = _small_size(labels.shape)
    small_labels, small_ids = (
        cv2.resize(ids.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST) for ids in (labels, class_ids)
    )
    image = shown_channels(image.astype(np.uint8))
    interpolation = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_LINEAR
    return Pictures(
        _webp(cv2.resize(image, size, interpolation=interpolation), _QUALITY),
        _webp(colorize(small_labels, label_space, void_color), _LOSSLESS),
        _webp(colorize(small_ids, label_space, void_color), _LOSSLESS),
        _webp(_errors(small_labels, small_ids, label_space), _LOSSLESS),
    )


def not_counted_color(label_space: LabelSpace) -> Color:
    """Returns the colour of pixels that do not count: black, or one that no class comes near where one comes near to
    black, be it in its own colours or in those for the colour-blind.
    """
    scored = [class_id for class_id in range(label_space.num_classes) if class_id not in label_space.void_class_ids]
    others = color_blind_colors(label_space.class_names, label_space.colors)
    taken = [colors[class_id] for colors in (label_space.colors, others) for class_id in scored] + [WRONG, RIGHT]
    distances = color_distances(np.array(_NOT_COUNTED), np.array(taken)).min(axis=1)
    clear = np.flatnonzero(distances >= _CLEARLY)
    return _NOT_COUNTED[clear[0] if len(clear) else int(distances.argmax())]


def _small_size(shape: Tuple[int, ...]) -> Tuple[int, int]:
    """(width, height)."""
    scale = min(1.0, LONGER_SIDE / max(shape[:2]))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _errors(labels: np.ndarray, class_ids: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    errors = np.array([WRONG, RIGHT], np.uint8)[(labels == class_ids).astype(int)]
    errors[~are_counted(labels, label_space)] = not_counted_color(label_space)
    return errors


def _webp(rgb: np.ndarray, quality: int) -> bytes:
    return cv2.imencode('.webp', rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
