"""Video faster than frame by frame: the network sees some frames, and its answer moves with the picture to the others.

Clockwork networks (Shelhamer et al., 2016) keep the deep layers of one frame for the next ones and run only the shallow
ones for every frame. In VGG-16 the layers up to pool3 are 44 % of the multiply-adds, so this gains less than a factor
of 2.3, however long the deep layers are kept. Here all layers are kept, and their answer moves along the optical flow.
"""

from typing import Callable, NamedTuple, Optional

import cv2
import numpy as np

from helpers.flags import checked_whole
from helpers.image_rules import shown_channels

MAX_INTERVAL = 30
# Pixels of the shorter side: smaller frames have nothing that optical flow could follow.
_SMALLEST_SIDE = 32
# Mean difference between a frame and the key frame moved to it, in grey levels. Above this the frame shows another
# scene, or has moved too far to be followed.
_LOST = 16.0


class Seen(NamedTuple):
    """class_ids: uint8 [H, W]. doubt: float32 [H, W], or None if not asked for."""

    class_ids: np.ndarray
    doubt: Optional[np.ndarray] = None


class _Key(NamedTuple):
    grey: np.ndarray
    seen: Seen
    number: int


def check_interval(interval: int) -> None:
    """Raises ValueError unless it is a whole number from 1 to MAX_INTERVAL."""
    checked_whole('clockwork', interval, 1, MAX_INTERVAL, '1 is every frame; 3 is a good start.')


class Clockwork:
    """Predicts every `interval`-th frame of a video, and each frame that changes too much to be followed.

    Attributes:
        num_predicted: How many frames the network has seen so far.
    """

    def __init__(self, predict: Callable[[np.ndarray], Seen], interval: int) -> None:
        check_interval(interval)
        self.num_predicted = 0
        self._predict = predict
        self._interval = interval
        self._flow = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined]  # cv2's hints lack it
            cv2.DISOPTICAL_FLOW_PRESET_FAST
        )
        self._key: Optional[_Key] = None
        self._number = 0

    def __call__(self, image: np.ndarray) -> Seen:
        """Predicts the next frame, uint8 [H, W, channels]: by the network, or by moving what it saw in the last key
        frame.
        """
        number, self._number = self._number, self._number + 1
        grey = cv2.cvtColor(shown_channels(image), cv2.COLOR_RGB2GRAY)
        key = self._key
        if key is not None and number - key.number < self._interval and min(grey.shape) >= _SMALLEST_SIDE:
            moved = self._moved(key, grey)
            if moved is not None:
                return moved
        seen = self._predict(image)
        self.num_predicted += 1
        self._key = _Key(grey, seen, number)
        return seen

    def _moved(self, key: _Key, grey: np.ndarray) -> Optional[Seen]:
        """The prediction for the key frame, moved to where things are now; None where they cannot be followed."""
        flow = self._flow.calc(grey, key.grey, None)
        height, width = grey.shape
        x = flow[..., 0] + np.arange(width, dtype=np.float32)
        y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, np.newaxis]
        if cv2.absdiff(_taken(key.grey, x, y, cv2.INTER_LINEAR), grey).mean() > _LOST:
            return None
        doubt = key.seen.doubt
        return Seen(
            _taken(key.seen.class_ids, x, y, cv2.INTER_NEAREST),
            None if doubt is None else _taken(doubt, x, y, cv2.INTER_LINEAR),
        )


def _taken(values: np.ndarray, x: np.ndarray, y: np.ndarray, interpolation: int) -> np.ndarray:
    return cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
