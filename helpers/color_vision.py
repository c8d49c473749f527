"""Colours of classes that people with a colour vision deficiency can tell apart, too."""

import cv2
import numpy as np

from helpers.label_spaces import PALETTES, LabelSpace

# Linear RGB as seen with protanopia and with deuteranopia: Machado, Oliveira, Fernandes, "A Physiologically-based Model
# for Simulation of Color Vision Deficiency", IEEE TVCG 2009, table of severity 1.0.
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)

# Candidates: this many values a channel. Near black is left to pixels without a class.
_LEVELS = 9
_DARKEST = 20.0


def with_palette(label_space: LabelSpace, palette: str) -> LabelSpace:
    """The label space with the colours of a palette.

    Args:
        palette: 'dataset', its own colours, or 'color-blind'.

    Raises:
        ValueError: There is no such palette.
    """
    if palette not in PALETTES:
        raise ValueError('palette is {!r}; choose from {}.'.format(palette, ', '.join(PALETTES)))
    if palette == 'dataset':
        return label_space
    colors = tuple(
        (int(red), int(green), int(blue)) for red, green, blue in color_blind_colors(label_space.num_classes)
    )
    return label_space._replace(colors=colors)


def color_blind_colors(count: int) -> np.ndarray:
    """Colours that stay far apart in normal vision, with protanopia and with deuteranopia.

    Each is the candidate whose smallest distance (CIELAB, the worst of the three visions) to those before it is
    largest, so that the first classes differ most. The first is a light blue.

    Returns:
        uint8 [count, 3], RGB.
    """
    levels = np.linspace(0, 255, _LEVELS).round()
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing='ij'), axis=-1).reshape(-1, 3)
    seen = as_seen(candidates)
    seen = seen[:, seen[0, :, 0] > _DARKEST]
    candidates = candidates[as_seen(candidates)[0, :, 0] > _DARKEST]
    chosen = [int(np.abs(candidates - (86, 180, 233)).sum(axis=1).argmin())]  # the sky blue of Okabe and Ito
    nearest = _distances(seen, chosen[0])
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(seen, chosen[-1]))
    return candidates[chosen].astype(np.uint8)


def as_seen(colors: np.ndarray) -> np.ndarray:
    """Colours as they look in normal vision, with protanopia and with deuteranopia.

    Args:
        colors: [N, 3], RGB, 0 to 255.

    Returns:
        CIELAB, float64 [3, N, 3].
    """
    scaled = np.asarray(colors, np.float64) / 255.0
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    visions = [linear] + [linear.dot(matrix.T).clip(0, 1) for matrix in (PROTANOPIA, DEUTERANOPIA)]
    return np.stack([cv2.cvtColor(np.float32(vision[np.newaxis]), cv2.COLOR_LRGB2Lab)[0] for vision in visions]).astype(
        np.float64
    )


def _distances(seen: np.ndarray, index: int) -> np.ndarray:
    return np.sqrt(((seen - seen[:, index : index + 1]) ** 2).sum(axis=-1)).min(axis=0)
