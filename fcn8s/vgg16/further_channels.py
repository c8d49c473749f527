"""Channels after red, green and blue: depth, near infrared, heat. What conv1_1 does with them at the start."""

from typing import Any, Dict, NamedTuple, Sequence, Tuple

import numpy as np

from fcn8s.vgg16.weights.source import TORCHVISION_RGB, Preprocessing
from helpers.counted import counted
from helpers.flags import check_choice, checked_whole
from helpers.image_rules import MAX_CHANNELS

#: The weights of a further channel at the start: zero, or the mean of the weights of the three colours.
FILLS = ('zero', 'mean')

# The middle of 0 to 255, and the spread of ImageNet's colours, for channels without statistics of their own.
_MIDDLE = 127.5
_COLOUR_DEVIATION = float(np.mean(TORCHVISION_RGB.std))


class FurtherChannels(NamedTuple):
    """The channels from the fourth on: their weights at the start, and their statistics, to match the colours' spread.

    fill: one of `FILLS`. mean, deviation: of each channel, on the 0 to 255 scale.
    """

    fill: str = 'zero'
    mean: Tuple[float, ...] = ()
    deviation: Tuple[float, ...] = ()

    @property
    def number(self) -> int:
        """The number of further channels."""
        return len(self.mean)

    def shift_and_scale(self, preprocessing: Preprocessing) -> Tuple[np.ndarray, np.ndarray]:
        """Returns float32 [number] twice: (channel - shift) * scale has the spread of ImageNet's prepared colours."""
        spread = _COLOUR_DEVIATION / float(np.mean(preprocessing.std))
        return np.array(self.mean, np.float32), np.array(spread / np.array(self.deviation), np.float32)

    def widened(self, kernel: np.ndarray) -> np.ndarray:
        """Adds further channels to conv1_1's kernel: [3, 3, 3, out] -> [3, 3, 3 + number, out]."""
        if not self.number:
            return kernel
        filling = kernel.mean(axis=2, keepdims=True) if self.fill == 'mean' else np.zeros_like(kernel[:, :, :1])
        return np.concatenate([kernel] + [filling] * self.number, axis=2)

    def beside(self, image: np.ndarray) -> np.ndarray:
        """Returns an RGB image [H, W, 3] with further channels that hold their means, which change no result."""
        if not self.number:
            return image
        means = np.broadcast_to(np.array(self.mean, np.float32), image.shape[:2] + (self.number,))
        return np.concatenate([image.astype(np.float32), means], axis=-1)

    def to_json(self) -> Dict[str, Any]:
        """Returns the entry of an encoder's manifest."""
        return dict(self._asdict())


NO_FURTHER_CHANNELS = FurtherChannels()


def further_channels(
    channels: int, fill: str = 'zero', mean: Sequence[float] = (), deviation: Sequence[float] = ()
) -> FurtherChannels:
    """Makes and checks `further` of `write_encoder`: the channels after the three colours.

    Args:
        channels: How many channels the images have, including the three colours.
        fill: One of `FILLS`.
        mean, deviation: Of each channel from the fourth on, 0 to 255, as `fcn8s check` prints them; if empty, the
            middle of the range, and the spread of ImageNet's colours.

    Raises:
        ValueError: An argument is out of its range, or the number of means or deviations is not that of the channels.
    """
    remedy = '3 are red, green and blue; grey images of one channel are read as three equal ones.'
    count = checked_whole('channels', channels, 3, MAX_CHANNELS, remedy) - 3
    check_choice('fill', fill, FILLS)
    if not count and fill != FILLS[0]:
        raise ValueError(
            'fill is {!r}; it is about channels behind the three colours, and there are none. Leave it out, or give '
            'channels above 3.'.format(fill)
        )
    for name, values in (('mean', mean), ('deviation', deviation)):
        if len(values) not in (0, count):
            raise ValueError(
                '{} has {} for {} behind the three colours. Give one for each, or none.'.format(
                    name, counted(len(values), 'number'), counted(count, 'channel')
                )
            )
    if not all(0 <= value <= 255 for value in mean) or not all(0 < value <= 255 for value in deviation):
        raise ValueError(
            'mean is {} and deviation {}; they have to be from 0 to 255, and deviations above 0. fcn8s check prints '
            'them.'.format(list(mean), list(deviation))
        )
    return FurtherChannels(
        fill,
        tuple(float(value) for value in mean) or (_MIDDLE,) * count,
        tuple(float(value) for value in deviation) or (_COLOUR_DEVIATION,) * count,
    )
