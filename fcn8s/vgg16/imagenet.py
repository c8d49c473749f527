"""ImageNet classification: the 224x224 crop that VGG-16 was tested on, the likeliest classes, and their names."""

import os
from typing import List, NamedTuple, Optional, Sequence

import cv2
import numpy as np
from scipy.special import softmax

from helpers.json_files import read_json

# In pixels: the length to which the shorter side is resized, and both sides of the crop.
_SHORT_SIDE, _CROP = 256, 224
# The list that `keras.applications` downloads when it first decodes a prediction.
CLASS_INDEX_FILE = 'imagenet_class_index.json'
HOW_TO_GET_NAMES = (
    'class names: put {} (https://storage.googleapis.com/download.tensorflow.org/data/{}) into ~/.keras/models'.format(
        CLASS_INDEX_FILE, CLASS_INDEX_FILE
    )
)


def _keras_home() -> str:
    return os.environ.get('KERAS_HOME') or os.path.join(os.path.expanduser('~'), '.keras')


def find_class_names() -> Optional[List[str]]:
    """Finds the class names in order, from Keras' cache; None where Keras has not fetched them.

    Raises ValueError where the file is there but damaged.
    """
    path = os.path.join(_keras_home(), 'models', CLASS_INDEX_FILE)
    if not os.path.isfile(path):
        return None
    try:
        index = read_json(path)
        return [str(index[str(class_id)][1]) for class_id in range(len(index))]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError('{} is damaged: {!r}. Delete it; Keras fetches it again.'.format(path, error)) from error


class Classification(NamedTuple):
    """One of the likeliest classes: its number (0 to 999), its name where this machine knows it, its probability."""

    class_id: int
    name: Optional[str]
    probability: float


def central_crop(image: np.ndarray) -> np.ndarray:
    """Cuts the centre, uint8 [224, 224, 3], out of uint8 [H, W, 3] with the shorter side resized to 256."""
    height, width = image.shape[:2]
    scale = _SHORT_SIDE / min(height, width)
    new_size = tuple(max(_SHORT_SIDE, int(round(side * scale))) for side in (width, height))
    resized = cv2.resize(image, new_size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = ((side - _CROP) // 2 for side in resized.shape[:2])
    return resized[top : top + _CROP, left : left + _CROP]


def likeliest(logits: np.ndarray, count: int = 5) -> List[Classification]:
    """Returns the classes of the highest soft-max probabilities, the likeliest first. logits: float [classes]."""
    probabilities = softmax(np.asarray(logits, np.float64))
    known = find_class_names()
    names: Sequence[Optional[str]] = (
        known if known and len(known) == len(probabilities) else [None] * len(probabilities)
    )
    return [
        Classification(int(class_id), names[class_id], float(probabilities[class_id]))
        for class_id in np.argsort(-probabilities, kind='stable')[:count]
    ]
