"""Legends: which colour stands for which class, drawn on white, alone or below a picture.

Images are uint8 arrays of shape [H, W, 3], RGB. Arguments are not modified.
"""

from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

from helpers.flags import checked_ids, checked_whole
from helpers.images import checked_rgb
from helpers.label_spaces import LabelSpace
from helpers.text_drawing import SMALLEST_LINE, draw_text, drawable_name, shorten_text, text_width

_WHITE = (255, 255, 255)
_INK = (32, 32, 32)

# In line heights: the width of an entry besides its name, and the most by which a picture is widened for names.
_ENTRY_LINES = 4
_NAME_LINES = 10


def draw_legend(
    label_space: LabelSpace, width: int, class_ids: Optional[Sequence[int]] = None, line_height: Optional[int] = None
) -> np.ndarray:
    """Draws a legend on white: a swatch and a name per class, in as many columns as fit.

    Args:
        label_space: The classes. Void classes, which scores leave out, are not shown.
        width: The width of the legend in pixels.
        class_ids: The classes to show, in this order; all by default.
        line_height: The height of a line in pixels; by default proportional to the width.

    Returns:
        uint8 [h, width, 3], RGB; the height depends on the number of rows.

    Raises:
        ValueError: The width is too small for a swatch, there is nothing to show, a class does not exist, or a size is
            no whole number.
    """
    shown = _legend_classes(label_space, class_ids)
    line = _legend_line(width, line_height)
    if width < _ENTRY_LINES * line:
        raise ValueError(
            'A legend of width {} with lines of height {} came; it has to be at least four lines wide. '
            'Give a larger width or a smaller line_height.'.format(width, line)
        )
    widest = _widest_name(label_space, shown, line)
    columns = min(len(shown), max(1, (width - line) // (widest + 3 * line)))
    rows = -(-len(shown) // columns)
    columns = -(-len(shown) // rows)  # no empty columns
    legend = np.full((int(rows * 1.5 * line + line), width, 3), 255, np.uint8)
    column_width = (width - line) // columns
    for index, class_id in enumerate(shown):
        top = int(0.75 * line + index % rows * 1.5 * line)
        left = line + index // rows * column_width
        _draw_legend_entry(legend, label_space, class_id, (top, left), line, column_width)
    return legend


def legend_width(
    label_space: LabelSpace, width: int, class_ids: Optional[Sequence[int]] = None, line_height: Optional[int] = None
) -> int:
    """Returns the width of a legend for a picture of this width: larger if names would not fit into a column.

    Names get at most ten times the height of a line; longer ones are shortened.
    """
    line = _legend_line(width, line_height)
    shown = _legend_classes(label_space, class_ids)
    return max(width, _ENTRY_LINES * line + _widest_name(label_space, shown, line))


def default_line_height(width: int) -> int:
    """Returns the default height of a line in a legend of this width, in pixels."""
    return max(SMALLEST_LINE, int(round(width / 45.0)))


def put_above_legend(image: np.ndarray, legend: np.ndarray) -> np.ndarray:
    """Returns a picture with a legend under it, all uint8 [H, W, 3]; the narrower one gets white on its right."""
    width = max(image.shape[1], legend.shape[1])
    return np.vstack(
        [
            cv2.copyMakeBorder(part, 0, 0, 0, width - part.shape[1], cv2.BORDER_CONSTANT, value=_WHITE)
            for part in (image, legend)
        ]
    )


def add_legend(
    image: np.ndarray,
    label_space: LabelSpace,
    class_ids: Optional[Sequence[int]] = None,
    line_height: Optional[int] = None,
) -> np.ndarray:
    """Draws a legend under the image; the arguments are those of `draw_legend`.

    Both get the width of the image, or if the image is too narrow that of `legend_width`: then white is added.
    """
    image = checked_rgb(image, 'image')
    width = legend_width(label_space, image.shape[1], class_ids, line_height)
    return put_above_legend(image, draw_legend(label_space, width, class_ids, line_height))


def _legend_classes(label_space: LabelSpace, class_ids: Optional[Sequence[int]]) -> List[int]:
    class_ids = range(label_space.num_classes) if class_ids is None else checked_ids('class_ids', class_ids)
    unknown = [
        class_id
        for class_id in class_ids
        if not 0 <= class_id < label_space.num_classes and class_id != label_space.ignore_id
    ]
    if unknown:
        raise ValueError(
            'The class IDs {} came for a legend, but {} has the classes 0 to {}.'.format(
                unknown, label_space.name, label_space.num_classes - 1
            )
        )
    shown = [
        class_id
        for class_id in class_ids
        if class_id not in label_space.void_class_ids and class_id != label_space.ignore_id
    ]
    if not shown:
        raise ValueError('There is no class to show in the legend. Give at least one class ID that is not void.')
    return shown


def _name(label_space: LabelSpace, class_id: int) -> str:
    return drawable_name(label_space.class_names[class_id], class_id)


def _widest_name(label_space: LabelSpace, class_ids: Sequence[int], line: int) -> int:
    widest = max(text_width(_name(label_space, class_id), line) for class_id in class_ids)
    return min(widest, _NAME_LINES * line)


def _legend_line(width: int, line_height: Optional[int]) -> int:
    checked_whole('width', width, 1)
    if line_height is not None:
        return checked_whole('line_height', line_height, 1)
    return default_line_height(width)


def _draw_legend_entry(
    legend: np.ndarray, label_space: LabelSpace, class_id: int, position: Tuple[int, int], line: int, column_width: int
) -> None:
    (top, left), bottom, right = position, position[0] + line - 1, position[1] + int(1.5 * line)
    color = [int(channel) for channel in label_space.colors[class_id]]
    cv2.rectangle(legend, (left, top), (right, bottom), color, cv2.FILLED)
    # An outline, so that a white swatch is visible on white.
    cv2.rectangle(legend, (left, top), (right, bottom), (128, 128, 128), 1)
    name = shorten_text(_name(label_space, class_id), line, column_width - int(2.2 * line))
    draw_text(legend, name, (top, left + int(2.0 * line)), line, _INK)
