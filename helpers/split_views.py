"""Split views: several pictures with captions on one canvas.

Images are uint8 arrays of shape [H, W, 3], RGB. Arguments are not modified, except by `draw_caption`.
"""

from typing import List, Optional, Sequence, Tuple

import numpy as np

from helpers.flags import checked_pair, unmasked
from helpers.images import checked_rgb, resize_image
from helpers.text_drawing import SMALLEST_LINE, draw_text, shorten_text, text_width

_WHITE = (255, 255, 255)

# The share of a panel's height that its caption takes, and how much of the picture shows through the strip under it.
_CAPTION_SHARE = 0.055
_CAPTION_STRIP = 0.45


def create_split_view(
    target_size: Tuple[int, int],
    images: Sequence[np.ndarray],
    positions: Sequence[Tuple[int, int]],
    sizes: Sequence[Tuple[int, int]],
    captions: Optional[Sequence[Optional[str]]] = None,
) -> np.ndarray:
    """Arranges images on one black canvas.

    Args:
        target_size: (height, width) of the canvas.
        images: uint8 arrays of shape [h, w, 3], RGB, or grey [h, w] or [h, w, 1], of any sizes.
        positions: (y, x) of the top left corner of each image on the canvas.
        sizes: (height, width) to which each image is resized. Later panels cover earlier ones; parts outside the canvas
            are cut off.
        captions: A text for the top left corner of each image, or None for an image without one; None or an empty list
            for no captions.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        ValueError: The lists differ in length, an image has another shape or dtype, or a panel has no area or lies
            outside the canvas.
    """
    captions = None if captions is None or len(captions) == 0 else captions  # scripts of 2017 pass empty lists
    canvas = np.zeros(checked_pair('target_size', target_size) + (3,), np.uint8)
    places = _checked_places(canvas.shape[:2], images, positions, sizes, captions)
    for index, (image, ((y, x), (height, width))) in enumerate(zip(images, places)):
        panel = canvas[y : y + height, x : x + width]
        whole = resize_image(checked_rgb(_as_rgb(image), 'images[{}]'.format(index)), (height, width))
        panel[:] = whole[: panel.shape[0], : panel.shape[1]]
        if captions is not None and captions[index]:
            draw_caption(panel, str(captions[index]))
    return canvas


def draw_caption(panel: np.ndarray, caption: str) -> None:
    """Writes into the top left corner of a picture, uint8 [H, W, 3], in place: white on a darkened strip."""
    checked_rgb(panel, 'panel')
    line = min(panel.shape[0], max(SMALLEST_LINE, int(round(_CAPTION_SHARE * panel.shape[0]))))
    margin = line // 2
    text = shorten_text(caption, line, panel.shape[1] - 2 * margin)
    strip = panel[: int(1.5 * line), : text_width(text, line) + 2 * margin]
    if text:
        strip[:] = (_CAPTION_STRIP * strip).astype(np.uint8)
        draw_text(panel, text, (line // 4, margin), line, _WHITE)


def _checked_places(
    target_size: Tuple[int, int],
    images: Sequence[np.ndarray],
    positions: Sequence[Tuple[int, int]],
    sizes: Sequence[Tuple[int, int]],
    captions: Optional[Sequence[Optional[str]]],
) -> List[Tuple[Tuple[int, int], Tuple[int, int]]]:
    """Position and size of each image."""
    if isinstance(captions, str):
        raise ValueError('captions is {!r}; it has to be a list, with a text for each image.'.format(captions))
    for name, given in (('images', images), ('positions', positions), ('sizes', sizes)):
        if not hasattr(given, '__len__'):
            raise ValueError('{} is {!r}; it has to be a list, with an entry for each image.'.format(name, given))
    counts = {'images': len(images), 'positions': len(positions), 'sizes': len(sizes)}
    if captions is not None:
        counts['captions'] = len(captions)
    if len(set(counts.values())) > 1:
        raise ValueError('Lists of different lengths came: {}. Give one entry per image in each.'.format(counts))
    places = [
        (checked_pair('positions[{}]'.format(k), position, '(y, x)', low=0), checked_pair('sizes[{}]'.format(k), size))
        for k, (position, size) in enumerate(zip(positions, sizes))
    ]
    for index, (position, size) in enumerate(places):
        if position[0] >= target_size[0] or position[1] >= target_size[1]:
            raise ValueError(
                'Panel {} of size {} at {} lies outside of target_size {}. Move it.'.format(
                    index, size, position, target_size
                )
            )
    return places


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """A grey image [h, w] or [h, w, 1] with three channels; other images unchanged."""
    image = unmasked('image', image, 0)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    return image.repeat(3, axis=-1) if image.ndim == 3 and image.shape[-1] == 1 else image
