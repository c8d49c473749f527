"""Ellipses and circles as polygons."""

import math
from typing import Sequence

import numpy as np

# How far a side may lie inside the curve, in pixels; and the smallest and largest number of corners.
_MAX_ERROR = 0.05
_FEWEST, _MOST = 64, 2**14


def ellipse(center: Sequence[float], radii: Sequence[float], turn: float = 0.0) -> np.ndarray:
    """Returns the corners of an ellipse, float [K, 2] of (x, y), enough to keep its sides close to the curve.

    Args:
        center: (x, y).
        radii: In x and in y, before rotation.
        turn: The rotation in radians, from x to y.
    """
    angles = np.linspace(0, 2 * math.pi, _num_corners(max(map(abs, radii))), endpoint=False)
    across, along = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    x = center[0] + across * math.cos(turn) - along * math.sin(turn)
    y = center[1] + across * math.sin(turn) + along * math.cos(turn)
    return np.stack([x, y], axis=1)


def _num_corners(radius: float) -> int:
    """The middle of a side lies radius * (1 - cos(pi / corners)) inside a circle, and less inside an ellipse."""
    share = _MAX_ERROR / max(radius, _MAX_ERROR)
    angle = math.acos(1 - share)
    return _MOST if angle * _MOST < math.pi else max(_FEWEST, math.ceil(math.pi / angle))
