"""Resizing as its formula says, without the code of any library."""

import numpy as np


def slow_resize(values, height, width):
    """Bilinear with half-pixel centres, one output pixel at a time: [H, W, C] -> float64 [height, width, C]."""
    result = np.zeros((height, width, values.shape[2]))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * values.shape[0] / height - 0.5, 0), values.shape[0] - 1)
            x = min(max((column + 0.5) * values.shape[1] / width - 0.5, 0), values.shape[1] - 1)
            for near_y in (int(y), int(y) + 1):
                for near_x in (int(x), int(x) + 1):
                    weight = (1 - abs(y - near_y)) * (1 - abs(x - near_x))
                    if weight > 0:
                        result[row, column] += weight * values[near_y, near_x]
    return result
