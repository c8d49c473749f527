"""Pictures of segmentations: overlays, colour maps and errors. Legends and split views can be imported from here, too.

Images are uint8 arrays of shape [H, W, 3], RGB. Arguments are not modified.
"""

from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from helpers.aliases import Color
from helpers.flags import check_alpha, check_flags, checked_ids, unmasked
from helpers.ground_truth import LARGEST_ID, look_up
from helpers.images import checked_rgb
from helpers.label_spaces import LabelSpace, are_counted
from helpers.legend_drawing import add_legend, draw_legend, legend_width, put_above_legend  # noqa: F401 (of 1.0)
from helpers.split_views import create_split_view, draw_caption  # noqa: F401 (of 1.0)
from helpers.video import create_video_from_images  # noqa: F401 (of 1.0)

ColorMap = Union[LabelSpace, Mapping[int, Sequence[int]], np.ndarray, Sequence[Sequence[int]]]

# Okabe and Ito's vermilion and sky blue. The image under them is faded (a + b * grey), or darkened where pixels do not
# count.
_WRONG, _WRONG_AT_BORDER = (213, 94, 0), (86, 180, 233)
_FADED, _DARKENED = (90.0, 0.45), 0.3
# Borders reach as far as the longer side divided by this: 2 pixels of 512.
_ERROR_REACH = 256.0

# At this image height a contour has one pixel on each side of the border between classes; it grows in proportion.
_CONTOUR_REFERENCE_HEIGHT = 540
# A contour is visible if a channel differs from the picture around it by this much; luma is that of ITU-R BT.601.
_SMALLEST_CONTRAST = 48
_LUMA = (0.299, 0.587, 0.114)


class Picture(np.ndarray):
    """An array that tells scripts of 2017, where overlays were Pillow images, what to use instead."""

    def __getattr__(self, name: str) -> Any:
        if name in ('save', 'show', 'paste', 'convert'):
            raise AttributeError(
                "an overlay is an array [H, W, 3], not an image of Pillow, and has no '{0}'. Use "
                'helpers.images.write_image(path, overlay), or PIL.Image.fromarray(overlay).{0}(...).'.format(name)
            )
        raise AttributeError('{!r} object has no attribute {!r}'.format(type(self).__name__, name))


def print_segmentation_onto_image(
    image: np.ndarray,
    prediction: np.ndarray,
    color_map: ColorMap,
    alpha: float = 0.5,
    contours: bool = False,
    void_ids: Sequence[int] = (),
) -> np.ndarray:
    """Lays the colours of a segmentation over an image.

    Args:
        image: uint8 [H, W, 3], RGB.
        prediction: Class IDs [H, W] or [H, W, 1], integers; or one-hot or softmax vectors [H, W, C]: the largest entry
            is the class, and all zeros are void. A leading dimension of 1, as for a single image, is dropped.
        color_map: A label space; or a dict from class ID to (r, g, b) or (r, g, b, a); or an array [C, 3] or [C, 4].
            The fourth number, 0 to 255, is the opacity of that class and takes precedence over `alpha`.
        alpha: The opacity, 0 (only the image) to 1 (only the colours).
        contours: Whether to draw the borders of the segments in their full colours, or in black or white where the
            colour is too close to that of the picture around the border.
        void_ids: Class IDs that are left transparent, besides those without a colour and the ignored and void ones of
            the label space.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: The image and the prediction differ in size, or an argument has another shape, dtype or range.
    """
    check_flags(contours=contours)
    image = checked_rgb(image, 'image')
    ids = _class_ids(prediction, image.shape[:2])
    if ids.shape != image.shape[:2]:
        raise ValueError(
            'A prediction of size {} came for an image of size {}. Predict at the size of the image, or '
            'resize one of them.'.format(ids.shape, image.shape[:2])
        )
    palette = _palette(color_map, alpha, void_ids)
    painted = _paint(ids, palette.colors)
    overlay = image.copy()
    for opacity in np.unique(palette.opacities[palette.opacities > 0]):
        mask = _paint(ids, (palette.opacities == opacity).astype(np.uint8))
        cv2.copyTo(cv2.addWeighted(painted, opacity, image, 1.0 - opacity, 0.0), mask, overlay)
    if contours:
        visible = _paint(ids, palette.is_visible.astype(np.uint8))
        _draw_contours(overlay, painted, visible.astype(bool) & _borders(ids, ids.shape[0] / _CONTOUR_REFERENCE_HEIGHT))
    return overlay.view(Picture)


def colorize(
    prediction: np.ndarray, color_map: ColorMap, void_color: Color = (0, 0, 0), void_ids: Sequence[int] = ()
) -> np.ndarray:
    """Paints a segmentation without an image under it.

    Args:
        prediction: As for `print_segmentation_onto_image`, but integer vectors have to be one-hot, or as long as
            the colours are many.
        color_map: As for `print_segmentation_onto_image`; a fourth number of a colour matters only if it is 0, which
            makes the class void.
        void_color: The colour of pixels without a class.
        void_ids: Class IDs that are void, besides those that are void by the colour map.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    palette = _palette(color_map, 1.0, void_ids)
    if len(void_color) != 3 or not all(channel in range(256) for channel in void_color):
        raise ValueError('void_color is {!r}; it has to be (r, g, b), each from 0 to 255.'.format(void_color))
    colors = np.where(palette.opacities[:, np.newaxis] > 0, palette.colors, np.array(void_color)).astype(np.uint8)
    return _paint(_class_ids(prediction, num_classes=palette.num_classes), colors)


def draw_errors(image: np.ndarray, labels: np.ndarray, class_ids: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """Draws wrong pixels over the image in grey.

    Wrong pixels within a few pixels of a border between classes, where annotators differ too, are sky blue; the others
    are vermilion. People with red-green colour blindness can distinguish these colours.

    Args:
        image: uint8 [H, W, C]; the mean of the first three channels (or the only one) is shown.
        labels: Class IDs [H, W]; ignored pixels and those of a void class are never wrong, and dark.
        class_ids: The predicted class IDs, [H, W].

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: The three differ in size.
    """
    image, labels, class_ids = np.asarray(image), unmasked('labels', labels), unmasked('class_ids', class_ids)
    if not image.shape[:2] == labels.shape == class_ids.shape:
        raise ValueError(
            'An image of size {} came with labels of size {} and a prediction of size {}. Bring all to the size of the '
            'labels.'.format(image.shape[:2], labels.shape, class_ids.shape)
        )
    seen = image[..., :3].mean(axis=-1)
    counts = are_counted(labels, label_space)
    wrong = counts & (labels != class_ids)
    at_border = _borders(labels, max(labels.shape) / _ERROR_REACH)
    picture = np.where(counts, _FADED[0] + _FADED[1] * seen, _DARKENED * seen)[..., np.newaxis].repeat(3, axis=-1)
    picture[wrong & ~at_border] = _WRONG
    picture[wrong & at_border] = _WRONG_AT_BORDER
    return picture.astype(np.uint8)


class _Palette(NamedTuple):
    """Colour and opacity per class ID. The last entry stands for all IDs without a colour, and is transparent."""

    colors: np.ndarray  # uint8 [K, 3], K > 256
    opacities: np.ndarray  # float64 [K], 0 to 1
    is_visible: np.ndarray  # bool [K], whether contours show the class, even if `alpha` is 0
    num_classes: int  # up to the last class with a colour


def _palette(color_map: ColorMap, alpha: float, void_ids: Sequence[int]) -> _Palette:
    check_alpha(alpha)
    entries, hidden = _color_entries(color_map), set(checked_ids('void_ids', void_ids))
    if isinstance(color_map, LabelSpace):
        hidden.update((*color_map.void_class_ids, color_map.ignore_id))
    num_classes = max(entries, default=-1) + 1
    size = max(256, num_classes) + 1
    palette = _Palette(np.zeros((size, 3), np.uint8), np.zeros(size), np.zeros(size, bool), num_classes)
    for class_id, color in entries.items():
        if class_id not in hidden:
            palette.colors[class_id] = color[:3]
            palette.opacities[class_id] = color[3] / 255.0 if len(color) == 4 else alpha
            palette.is_visible[class_id] = len(color) == 3 or color[3] > 0
    return palette


def _color_entries(color_map: ColorMap) -> Dict[int, Tuple[int, ...]]:
    if isinstance(color_map, LabelSpace):
        color_map = color_map.colors
    try:
        items: Iterable[Tuple[int, Sequence[int]]] = (
            color_map.items() if isinstance(color_map, Mapping) else enumerate(color_map)
        )
        given = {_whole(class_id): tuple(color) for class_id, color in items}
        entries = {class_id: tuple(int(channel) for channel in color) for class_id, color in given.items()}
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            'The colours {!r} came, but a LabelSpace, a dict from class ID to (r, g, b) or (r, g, b, a), or a list of '
            'these is expected.'.format(color_map)
        ) from None
    for class_id, color in given.items():
        is_color = len(color) in (3, 4) and color == entries[class_id] and all(0 <= channel <= 255 for channel in color)
        if class_id > LARGEST_ID:
            raise ValueError('A colour came for class {}, but class IDs are at most {}.'.format(class_id, LARGEST_ID))
        if class_id < 0 or not is_color:
            raise ValueError(
                'The colour ({}) came for class {}, but class IDs are not negative and colours are '
                '(r, g, b) or (r, g, b, a), each a whole number from 0 to 255.'.format(
                    ', '.join(map(str, color)), class_id
                )
            )
    return entries


def _whole(class_id: Any) -> int:
    """A class ID as an int; also from JSON, where keys are text."""
    if int(class_id) != float(class_id):
        raise ValueError('a part of a class')
    return int(class_id)


def _class_ids(
    prediction: np.ndarray, size: Optional[Tuple[int, ...]] = None, num_classes: Optional[int] = None
) -> np.ndarray:
    """Class IDs [H, W] from any form of a prediction; -1 for vectors of zeros.

    size: (H, W), if known: it decides whether integers [1, a, b] are the IDs of a x b pixels or vectors.
    num_classes: that of the colours, where no size is known: integers [N, H, W] may be the IDs of several images.
    """
    prediction = unmasked('prediction', prediction)
    are_integers = np.issubdtype(prediction.dtype, np.integer)
    are_ids = prediction.ndim == 3 and are_integers and size in (None, prediction.shape[1:])
    if prediction.shape[:1] == (1,) and (prediction.ndim == 4 or are_ids):
        prediction = prediction[0]
    if prediction.ndim == 3 and are_integers and prediction.shape[2] == 1:
        prediction = prediction[..., 0]
    elif prediction.ndim == 3:
        if not np.isfinite(prediction).all():
            raise ValueError(
                'A prediction with NaN or infinite values came: no class of such a pixel is the likeliest. '
                'Look for the NaN in the weights or in the image that it was made from.'
            )
        if size is None and prediction.shape[2] != num_classes:
            _refuse_a_batch(prediction)
        prediction = np.where(prediction.any(axis=-1), np.argmax(prediction, axis=-1), -1)
    if prediction.ndim != 2 or prediction.size == 0 or not np.issubdtype(prediction.dtype, np.integer):
        raise ValueError(
            'A prediction of dtype {} and shape {} came, but class IDs [H, W] or vectors [H, W, C] are '
            'expected.'.format(prediction.dtype, prediction.shape)
        )
    if prediction.dtype != np.uint8 and prediction.min() >= 0 and prediction.max() <= 255:
        return prediction.astype(np.uint8)  # painting is fast for this type
    return prediction


def _refuse_a_batch(vectors: np.ndarray) -> None:
    """Raises ValueError for integers [H, W, C] that are not one-hot: they may be class IDs [N, H, W]."""
    if vectors.dtype.kind == 'f' or not vectors.size:
        return
    if vectors.min() < 0 or vectors.max() > 1 or vectors.sum(axis=-1, dtype=np.int64).max() > 1:
        raise ValueError(
            'A prediction of dtype {} and shape {} came, whose vectors are not one-hot. Of a batch of class IDs, pass '
            'one image: prediction[0]. Of scores [H, W, C], take argmax(axis=-1).'.format(vectors.dtype, vectors.shape)
        )


def _paint(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table[ids]; IDs that the table lacks get its last entry. The table is uint8 [K] or [K, 3] with K > 256."""
    if ids.dtype != np.uint8:
        return look_up(ids, table)
    # Several times faster than indexing, which matters for video.
    if table.ndim == 1:
        return cv2.LUT(ids, table[:256])
    return cv2.applyColorMap(ids, np.ascontiguousarray(table[:256, np.newaxis]))


def _draw_contours(overlay: np.ndarray, painted: np.ndarray, lines: np.ndarray) -> None:
    """Gives the pixels of `lines`, bool [H, W], their colours in `painted`, or black or white if these hardly differ
    from the picture around them.
    """
    side = 4 * max(1, int(round(lines.shape[0] / _CONTOUR_REFERENCE_HEIGHT))) + 1
    around = cv2.blur(overlay, (side, side))[lines].astype(np.int16)
    colors = painted[lines]
    is_lost = np.abs(colors - around).max(axis=-1) < _SMALLEST_CONTRAST
    is_light = around.dot(_LUMA) > 127.5
    colors[is_lost & is_light], colors[is_lost & ~is_light] = 0, 255
    overlay[lines] = colors


def _borders(ids: np.ndarray, reach: float) -> np.ndarray:
    """bool [H, W]: the pixels within `reach` pixels (rounded, at least 1) of a border between segments."""
    labels = ids.astype(np.float32)  # holds every ID exactly, and morphology accepts it
    side = 2 * max(1, int(round(reach))) + 1
    kernel = np.ones((side, side), np.uint8)
    return cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
