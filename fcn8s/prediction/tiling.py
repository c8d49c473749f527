"""Where the tiles of a large image lie and how much each counts at every pixel. Pure numpy.

Tiles begin at multiples of the network's stride, so that pooling falls on the same pixels as in the whole image. Away
from the borders of a tile, the network then sees exactly what it sees in the whole image.
"""

import fractions
import functools
import math
from typing import List, NamedTuple, Sequence

import numpy as np

from helpers.flags import checked_whole

# The stride of VGG-16's last pooling.
STRIDE = 32


class Span(NamedTuple):
    """Pixels start to stop along one axis, and weights float32 [stop - start]; at each pixel, the weights of all spans
    add up to 1."""

    start: int
    stop: int
    weights: np.ndarray


def spans(length: int, tile: int, overlap: int) -> List[Span]:
    """Covers an axis of `length` pixels with spans of at most `tile`; neighbours overlap by at least `overlap`, or a
    little less (`_extent`).

    Weights rise linearly from a span's border over the overlap, except at the borders of the image.

    Raises ValueError unless a tile is at least STRIDE longer than the overlap.
    """
    check_tile(tile, overlap)
    starts = _starts(length, tile, overlap)
    stops = [min(start + _extent(length, tile, overlap), length) for start in starts]
    ramps = [_ramp(start, stop, length, overlap) for start, stop in zip(starts, stops)]
    total = np.zeros(length)
    for start, stop, ramp in zip(starts, stops, ramps):
        total[start:stop] += ramp
    return [
        Span(start, stop, (ramp / total[start:stop]).astype(np.float32))
        for start, stop, ramp in zip(starts, stops, ramps)
    ]


def check_tile(tile: int, overlap: int) -> None:
    """Raises ValueError unless `spans` can work with these."""
    checked_whole('overlap', overlap, 0)
    if tile - overlap < STRIDE:
        raise ValueError(
            'tiles of {} pixels overlap by {}; a tile has to be at least {} pixels longer than the '
            'overlap, the stride of the network. Take larger tiles or a smaller overlap.'.format(tile, overlap, STRIDE)
        )


def _extent(length: int, tile: int, overlap: int) -> int:
    """How many pixels a span has: `tile`, or up to 31 fewer, so that it is congruent to `length` modulo the stride.

    Upsampling to a size that is no multiple of its stride shifts the answer by up to half the stride, because
    TensorFlow spreads the padding over both sides. Spans have to be shifted like the whole image. This may cost up to
    half of the overlap.
    """
    shorter = tile - (tile - length) % STRIDE
    return shorter if length > tile and tile - shorter <= overlap // 2 else tile


def _starts(length: int, tile: int, overlap: int) -> List[int]:
    step = (tile - overlap) // STRIDE * STRIDE
    last = max(0, -(-(length - tile) // STRIDE) * STRIDE)
    return list(range(0, last, step)) + [last]


def _ramp(start: int, stop: int, length: int, overlap: int) -> np.ndarray:
    """The distance to the nearest border of the span that lies inside the image, at most `overlap` + 1."""
    pixels = np.arange(start, stop)
    to_start = pixels - start + 1 if start > 0 else np.full(stop - start, length)
    to_stop = stop - pixels if stop < length else np.full(stop - start, length)
    return np.minimum(np.minimum(to_start, to_stop), overlap + 1).astype(float)


#: A margin that holds a pixel's whole field of view, and what upsampling adds; a multiple of the network's stride.
FULL_MARGIN = 288


# Beyond this, windows would be too large; at scales such as 0.77 there may be faint seams instead.
_LARGEST_STRIDE = 320


def stride_at(scales: Sequence[float]) -> int:
    """Returns the least number of pixels of an image that is a multiple of the network's stride at every scale.

    It is the network's stride itself where that number would be above 320.
    """
    strides = [_stride_at_one(fractions.Fraction(scale).limit_denominator(100)) for scale in scales]
    found = functools.reduce(lambda one, other: one * other // math.gcd(one, other), strides, STRIDE)
    return found if found <= _LARGEST_STRIDE else STRIDE


def _stride_at_one(scale: fractions.Fraction) -> int:
    """The least n for which n x scale is a multiple of the stride."""
    scaled = STRIDE * scale.denominator
    return scaled // math.gcd(scaled, scale.numerator)


def full_margin_at(scales: Sequence[float]) -> int:
    """Returns the margin that holds `FULL_MARGIN` pixels at every scale; a multiple of `stride_at`."""
    stride = stride_at(scales)
    return math.ceil(FULL_MARGIN / min(1, *scales) / stride) * stride


class Cut(NamedTuple):
    """A piece of a line of pixels, start to stop, and what is predicted for it: first to last, with the margins."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def inside(self) -> slice:
        """The piece within what is predicted."""
        return slice(self.start - self.first, self.stop - self.first)


def cuts(length: int, tile: int, margin: int, scales: Sequence[float] = (1.0,)) -> List[Cut]:
    """Returns pieces that cover a line without overlap, each predicted with `margin` more pixels on both sides.

    A line no longer than a tile is one piece. With a margin of `full_margin_at`, all begin at multiples of the
    network's stride at every scale, so that it computes the same for each as for the whole line.

    Raises ValueError where the margin is no multiple of the stride, or leaves nothing of a tile.
    """
    stride = stride_at(scales)
    if margin < 0 or margin % STRIDE:
        raise ValueError(
            'the margin of windows is {}; it has to be a multiple of {} pixels, the stride of the network.'.format(
                margin, STRIDE
            )
        )
    if length <= tile:
        return [Cut(0, length, 0, length)]
    step = (tile - 2 * margin) // stride * stride
    if step < stride:
        raise ValueError(
            'tiles of {} pixels leave nothing between margins of {}; take --tile of {} or more, or a smaller '
            '--overlap (below {} there may be seams).'.format(tile, margin, 2 * margin + stride, full_margin_at(scales))
        )
    block = 256 * stride // math.gcd(256, stride)
    if step > 4 * block:
        step = step // block * block  # whole blocks of a result
    starts = range(0, length, step)
    return [
        Cut(start, min(length, start + step), max(0, start - margin), min(length, start + step + margin))
        for start in starts
    ]
