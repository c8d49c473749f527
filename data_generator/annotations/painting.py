"""Paints the shapes of one image into a map of class IDs."""

from typing import Callable, List, Tuple

import numpy as np

from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Shape, part_of, window_of
from helpers.image_files.tiff import turned


def paint(
    image: AnnotatedImage,
    size: Tuple[int, int],
    orientation: int,
    class_id_of: Callable[[object], int],
    rest: int,
    order: str,
    left_out: LeftOut,
) -> np.ndarray:
    """Paints the label map of an image, class IDs uint8 [H, W], upright like the image.

    Args:
        size: The (height, width) to which the points of the shapes refer.
        orientation: The Exif orientation that turns this into the upright image; 1 if points refer to the upright one.
        class_id_of: Function from a shape's label to its class ID, negative for shapes to leave out.
        rest: The ID of pixels without a shape.
        order: 'file', later shapes over earlier ones, or 'area', smaller ones over larger ones; higher layers lie over
            lower ones in both.

    Raises:
        ValueError: It has shapes, but none can be drawn: the label map would wrongly be empty.
    """
    shapes = [(class_id_of(shape.label), _scaled(shape, size)) for shape in image.shapes]
    shapes = [(class_id, shape) for class_id, shape in shapes if class_id >= 0]
    # Drawn twice if areas decide: keeping all masks of an image would take unlimited memory.
    areas = [_area(shape, size) if order == 'area' else 0 for _, shape in shapes]
    label_map = np.full(size, rest, np.uint8)
    num_failed = 0
    for index in sorted(range(len(shapes)), key=lambda index: (shapes[index][1].layer, -areas[index])):
        class_id, shape = shapes[index]
        try:
            window = window_of(shape, size)
        except ValueError as error:
            left_out.add('shapes that cannot be drawn ({})'.format(error), image.place)
            num_failed += 1
            continue
        if not window.mask.any():
            is_mask = shape.draw is not None and window.mask.size > 0  # a mask of an absent class
            reason = 'masks without a pixel' if is_mask else 'shapes outside of their image, or smaller than a pixel'
            left_out.add(reason, image.place)
            num_failed += not is_mask
        part_of(label_map, window)[window.mask] = class_id
    if shapes and num_failed == len(shapes):
        raise ValueError('none of its shapes can be drawn')
    return turned(label_map, orientation)


def _area(shape: Shape, size: Tuple[int, int]) -> int:
    try:
        return int(window_of(shape, size).mask.sum())
    except ValueError:
        return 0


def _scaled(shape: Shape, size: Tuple[int, int]) -> Shape:
    if not shape.is_share:
        return shape
    parts: List[np.ndarray] = [part * (size[1], size[0]) for part in shape.parts]
    return shape._replace(parts=parts)
