"""Counting the pixels of classes, by one rule for `fcn8s check`, class weights and other users."""

from typing import Any, Iterator, Mapping, Optional

import numpy as np

_PIXELS_AT_ONCE = 1 << 22


def class_pixels(
    values: Mapping[Any, int], num_classes: int, ignore_id: int, value_to_id: Optional[Mapping[Any, int]] = None
) -> np.ndarray:
    """Counts the pixels that training sees, by class.

    Args:
        values: The number of pixels of each value in a label.
        value_to_id: From values to class IDs; None if they are class IDs. Values that it lacks do not count.

    Returns:
        int64 [C], including void classes, which scores leave out but the loss does not. `ignore_id` does not count.
    """
    row = np.zeros(num_classes, np.int64)
    for value, pixels in values.items():
        class_id = value if value_to_id is None else value_to_id.get(value)
        if class_id is not None and class_id != ignore_id and 0 <= class_id < num_classes:
            row[class_id] += pixels
    return row


def parts_to_count(label: np.ndarray) -> Iterator[np.ndarray]:
    """Yields groups of rows of a label [H, W, ...]: counting all at once would take eight times its memory."""
    num_rows = max(1, _PIXELS_AT_ONCE // label.shape[1])
    return (label[top : top + num_rows] for top in range(0, len(label), num_rows))
