"""Pictures of segmentations: overlays, colour maps, legends, split views, and a video made of image files.

Images are uint8 arrays of shape [H, W, 3], RGB. Nothing that comes in is changed.
"""

import os
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from helpers.aliases import Color, PathLike
from helpers.label_spaces import LabelSpace
from helpers.text_drawing import draw_text, shorten_text, text_width
from helpers.video import VideoWriter, open_frames

ColorMap = Union[LabelSpace, Mapping[int, Sequence[int]], np.ndarray, Sequence[Sequence[int]]]

_WHITE = (255, 255, 255)
_INK = (32, 32, 32)

# The share of a panel's height that its caption takes, and the smallest line that is still readable.
_CAPTION_SHARE = 0.055
_SMALLEST_LINE = 12
# Okabe and Ito's vermilion and sky blue, on an image that is faded (a + b * grey), or dark where pixels do not count.
_WRONG, _WRONG_AT_BORDER = (213, 94, 0), (86, 180, 233)
_FADED, _DARKENED = (90.0, 0.45), 0.3
# Borders reach so far, as a share of the longer side: 2 pixels of 512.
_ERROR_REACH = 256.0

# What an entry of a legend takes beside its name, and the most that a picture is widened for names; in lines.
_ENTRY_LINES = 4
_NAME_LINES = 10
# How much of the picture shows through the strip under a caption.
_CAPTION_STRIP = 0.45

# At this height a contour is one pixel on either side of the border between two classes; it grows in proportion.
_CONTOUR_REFERENCE_HEIGHT = 540
# A contour is seen where a channel differs from the picture around it by this much; luma is that of ITU-R BT.601.
_SMALLEST_CONTRAST = 48
_LUMA = (0.299, 0.587, 0.114)


class Picture(np.ndarray):
    """An array that tells scripts of 2017, where overlays were images of Pillow, how to go on."""

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
        prediction: Class IDs [H, W] or [H, W, 1], integers; or one-hot or soft-max vectors [H, W, C], whose largest
            entry counts and which are void where they are all zero. A leading dimension of 1, as `predict` gives one
            image, is dropped.
        color_map: A label space; or a dict from class ID to (r, g, b) or (r, g, b, a); or an array [C, 3] or [C, 4].
            The fourth number, 0 to 255, is the opacity of that class and takes precedence over `alpha`.
        alpha: The opacity, 0 (only the image) to 1 (only the colours).
        contours: Whether to draw the borders of the segments in their full colours; in black or white where that colour
            is all but that of the picture around the border.
        void_ids: Class IDs that are left transparent, beside those that have no colour and those that the label space
            leaves out of its scores.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: The image and the prediction differ in size, or an argument has another shape, dtype or range.
    """
    image = _checked_image(image, 'image')
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
        _draw_contours(overlay, painted, (visible & _borders(ids)).astype(bool))
    return overlay.view(Picture)


def colorize(
    prediction: np.ndarray, color_map: ColorMap, void_color: Color = (0, 0, 0), void_ids: Sequence[int] = ()
) -> np.ndarray:
    """Paints a segmentation without an image under it.

    Args:
        prediction: As for `print_segmentation_onto_image`.
        color_map: As for `print_segmentation_onto_image`; a fourth number of a colour counts only when it is 0, which
            makes the class void.
        void_color: What pixels without a class get.
        void_ids: Class IDs that are void, beside those that the colour map makes so.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    palette = _palette(color_map, 1.0, void_ids)
    colors = np.where(palette.opacities[:, np.newaxis] > 0, palette.colors, np.array(void_color)).astype(np.uint8)
    return _paint(_class_ids(prediction), colors)


def draw_errors(image: np.ndarray, labels: np.ndarray, class_ids: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """Draws what is wrong over an image in grey.

    Two colours, which people who do not see red and green apart tell from each other: vermilion where a pixel lies
    within its class, sky blue within a few pixels of a border between classes, where annotators differ too.

    Args:
        image: uint8 [H, W, C], of which the first three channels (or the only one) are seen.
        labels: Class IDs [H, W]; pixels that are ignored or of a void class are not wrong, and dark.
        class_ids: The predicted ones, [H, W].

    Returns:
        uint8 [H, W, 3], RGB.
    """
    seen = image[..., :3].mean(axis=-1)
    counts = (labels != label_space.ignore_id) & ~np.isin(labels, label_space.void_class_ids)
    wrong = counts & (labels != class_ids)
    reach = 2 * max(1, int(round(max(labels.shape) / _ERROR_REACH))) + 1
    kernel = np.ones((reach, reach), np.uint8)
    ids = labels.astype(np.float32)
    at_border = cv2.dilate(ids, kernel) != cv2.erode(ids, kernel)
    picture = np.where(counts, _FADED[0] + _FADED[1] * seen, _DARKENED * seen)[..., np.newaxis].repeat(3, axis=-1)
    picture[wrong & ~at_border] = _WRONG
    picture[wrong & at_border] = _WRONG_AT_BORDER
    return picture.astype(np.uint8)


def draw_legend(
    label_space: LabelSpace, width: int, class_ids: Optional[Sequence[int]] = None, line_height: Optional[int] = None
) -> np.ndarray:
    """Draws a legend on white: a swatch and a name per class, in as many columns as fit.

    Args:
        label_space: The classes. Those that its scores leave out are not shown.
        width: The width of the legend in pixels.
        class_ids: The classes to show, in this order; all by default.
        line_height: The height of a line in pixels; by default in proportion to the width.

    Returns:
        uint8 [h, width, 3], RGB; the height follows from the number of rows.

    Raises:
        ValueError: The width is too small for a swatch, or there is nothing to show or no such class.
    """
    shown = _legend_classes(label_space, class_ids)
    line = _legend_line(width, line_height)
    if line < 1 or width < _ENTRY_LINES * line:
        raise ValueError(
            'A legend of width {} with lines of height {} came; it has to be at least four lines wide. '
            'Give a larger width or a smaller line_height.'.format(width, line)
        )
    widest = max(text_width(label_space.class_names[class_id], line) for class_id in shown)
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
    """Returns the width of a legend for a picture of this width: more where names would not fit into a column.

    Names are given ten times the height of a line at most; longer ones are shortened.
    """
    line = _legend_line(width, line_height)
    shown = _legend_classes(label_space, class_ids)
    widest = max(text_width(label_space.class_names[class_id], line) for class_id in shown)
    return max(width, _ENTRY_LINES * line + min(widest, _NAME_LINES * line))


def put_above_legend(image: np.ndarray, legend: np.ndarray) -> np.ndarray:
    """Returns the picture and the legend under it, uint8; the narrower of both gets white on its right."""
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

    Both have the width of the image, or that of `legend_width` where the image is too narrow: white is added then.
    """
    image = _checked_image(image, 'image')
    width = legend_width(label_space, image.shape[1], class_ids, line_height)
    return put_above_legend(image, draw_legend(label_space, width, class_ids, line_height))


def create_split_view(
    target_size: Tuple[int, int],
    images: Sequence[np.ndarray],
    positions: Sequence[Tuple[int, int]],
    sizes: Sequence[Tuple[int, int]],
    captions: Optional[Sequence[Optional[str]]] = None,
) -> np.ndarray:
    """Arranges images on one canvas, which is black where nothing lies.

    Args:
        target_size: (height, width) of the canvas.
        images: uint8 arrays of shape [h, w, 3], RGB, or grey [h, w] or [h, w, 1], of any sizes.
        positions: (y, x) of the top left corner of each image on the canvas.
        sizes: (height, width) to which each image is resized. Where panels overlap, later ones lie on top; what lies
            outside of the canvas is cut off.
        captions: A text for the top left corner of each image, None for an image without; None or an empty list for no
            captions.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        ValueError: The lists differ in length, an image has another shape or dtype, or a panel has no area or lies
            outside of the canvas.
    """
    captions = None if captions is None or len(captions) == 0 else captions  # scripts of 2017 pass an empty list
    _check_split_view(target_size, images, positions, sizes, captions)
    canvas = np.zeros(_whole(target_size) + (3,), np.uint8)
    for index, (image, (y, x), (height, width)) in enumerate(zip(images, map(_whole, positions), map(_whole, sizes))):
        panel = canvas[y : y + height, x : x + width]
        whole = _resize(_checked_image(_as_rgb(image), 'images[{}]'.format(index)), height, width)
        panel[:] = whole[: panel.shape[0], : panel.shape[1]]
        if captions is not None and captions[index]:
            draw_caption(panel, str(captions[index]))
    return canvas


def create_video_from_images(
    video_output_name: PathLike, image_input_dir: PathLike, frame_rate: float = 30.0, image_file_extension: str = 'png'
) -> str:
    """Makes an MP4 of the image files of a directory, in natural order ('2.png' before '10.png').

    Frames are read and encoded one by one, so memory does not grow with their number. An existing file is replaced, and
    only when the video is complete. When a frame is broken or has another size, what was made by then is left as
    'NAME.partial.mp4', numbered where such a file exists.

    Args:
        video_output_name: The file to write; '.mp4' is appended where it is missing.
        image_input_dir: The directory; its subdirectories are not searched.
        frame_rate: Frames per second.
        image_file_extension: The extension of the frames, in any letter case.

    Returns:
        The path of the video.

    Raises:
        FileNotFoundError: There is no such directory or no such image in it.
        ValueError: A frame, which is named, cannot be read or differs in size from the first; or the frame rate is out
            of its range.
        OSError: The video cannot be written, for a full disk, say.
    """
    if not os.path.isdir(image_input_dir):
        raise FileNotFoundError('{} is no directory. Give the directory that holds the frames.'.format(image_input_dir))
    path = os.fspath(video_output_name)
    path = path if path.lower().endswith('.mp4') else path + '.mp4'
    frames = open_frames(image_input_dir, frame_rate=frame_rate, extensions=(image_file_extension,))
    with frames, VideoWriter(path, frames.size, frames.frame_rate) as writer:
        for frame in frames:
            writer.write(frame)
    return path


class _Palette(NamedTuple):
    """Colour and opacity per class ID. The last entry stands for all IDs that have none and is transparent."""

    colors: np.ndarray  # uint8 [K, 3], K > 256
    opacities: np.ndarray  # float64 [K], 0 to 1
    is_visible: np.ndarray  # bool [K], whether contours show the class, which they do at an opacity of 0 for all, too


def _palette(color_map: ColorMap, alpha: float, void_ids: Sequence[int]) -> _Palette:
    if not 0 <= alpha <= 1:
        raise ValueError('alpha is {}; it has to be from 0 (only the image) to 1 (only the colours).'.format(alpha))
    entries, hidden = _color_entries(color_map), set(void_ids)
    if isinstance(color_map, LabelSpace):
        hidden.update(color_map.void_class_ids + (color_map.ignore_id,))
    size = max(256, max(entries, default=0) + 1) + 1
    palette = _Palette(np.zeros((size, 3), np.uint8), np.zeros(size), np.zeros(size, bool))
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
        given = {int(class_id): tuple(color) for class_id, color in items}
        entries = {class_id: tuple(int(channel) for channel in color) for class_id, color in given.items()}
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            'The colours {!r} came, but a LabelSpace, a dict from class ID to (r, g, b) or (r, g, b, a), or a list of '
            'these is expected.'.format(color_map)
        ) from None
    for class_id, color in given.items():
        is_whole = color == entries[class_id]
        if class_id < 0 or len(color) not in (3, 4) or not is_whole or not all(0 <= channel <= 255 for channel in color):
            raise ValueError(
                'The colour {} came for class {}, but class IDs are not negative and colours are '
                '(r, g, b) or (r, g, b, a), each a whole number from 0 to 255.'.format('({})'.format(', '.join(map(str, color))), class_id)
            )
    return entries


def _class_ids(prediction: np.ndarray, size: Optional[Tuple[int, ...]] = None) -> np.ndarray:
    """Class IDs [H, W] from any of the forms that a prediction has; -1 for vectors of zeros.

    size: (H, W), where it is known: of integers [1, a, b] it tells IDs, of a x b pixels, from vectors.
    """
    prediction = np.asarray(prediction)
    are_integers = np.issubdtype(prediction.dtype, np.integer)
    are_ids = prediction.ndim == 3 and are_integers and size in (None, prediction.shape[1:])
    if prediction.shape[:1] == (1,) and (prediction.ndim == 4 or are_ids):
        prediction = prediction[0]
    if prediction.ndim == 3 and are_integers and prediction.shape[2] == 1:
        prediction = prediction[..., 0]
    elif prediction.ndim == 3:
        prediction = np.where(prediction.any(axis=-1), np.argmax(prediction, axis=-1), -1)
    if prediction.ndim != 2 or prediction.size == 0 or not np.issubdtype(prediction.dtype, np.integer):
        raise ValueError(
            'A prediction of dtype {} and shape {} came, but class IDs [H, W] or vectors [H, W, C] are '
            'expected.'.format(prediction.dtype, prediction.shape)
        )
    if prediction.dtype != np.uint8 and prediction.min() >= 0 and prediction.max() <= 255:
        return prediction.astype(np.uint8)  # for which painting is fast
    return prediction


def _paint(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table[ids], where IDs that the table lacks get its last entry. The table is uint8 [K] or [K, 3] with K > 256."""
    if ids.dtype != np.uint8:
        return table[np.where((ids < 0) | (ids >= len(table)), len(table) - 1, ids.astype(np.intp))]
    # Several times faster than indexing, which matters for every frame of a video.
    if table.ndim == 1:
        return cv2.LUT(ids, table[:256])
    return cv2.applyColorMap(ids, np.ascontiguousarray(table[:256, np.newaxis]))


def _draw_contours(overlay: np.ndarray, painted: np.ndarray, lines: np.ndarray) -> None:
    """Colours the pixels of `lines`, bool [H, W], as `painted` has them, or so that they differ from what is around."""
    side = 4 * max(1, int(round(lines.shape[0] / _CONTOUR_REFERENCE_HEIGHT))) + 1
    around = cv2.blur(overlay, (side, side))[lines].astype(np.int16)
    colors = painted[lines]
    is_lost = np.abs(colors - around).max(axis=-1) < _SMALLEST_CONTRAST
    is_light = around.dot(_LUMA) > 127.5
    colors[is_lost & is_light], colors[is_lost & ~is_light] = 0, 255
    overlay[lines] = colors


def _borders(ids: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: 1 along the borders between segments, on both sides."""
    labels = ids.astype(np.float32)  # holds every ID exactly, and is what morphology takes for any range
    side = 2 * max(1, int(round(ids.shape[0] / _CONTOUR_REFERENCE_HEIGHT))) + 1
    kernel = np.ones((side, side), np.uint8)
    return (cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)).astype(np.uint8)


def _legend_classes(label_space: LabelSpace, class_ids: Optional[Sequence[int]]) -> List[int]:
    if class_ids is None:
        class_ids = range(label_space.num_classes)
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
        int(class_id)
        for class_id in class_ids
        if class_id not in label_space.void_class_ids and class_id != label_space.ignore_id
    ]
    if not shown:
        raise ValueError('There is no class to show in the legend. Give at least one class ID that is not void.')
    return shown


def _legend_line(width: int, line_height: Optional[int]) -> int:
    return line_height if line_height is not None else max(_SMALLEST_LINE, int(round(width / 45.0)))


def _draw_legend_entry(
    legend: np.ndarray, label_space: LabelSpace, class_id: int, position: Tuple[int, int], line: int, column_width: int
) -> None:
    (top, left), bottom, right = position, position[0] + line - 1, position[1] + int(1.5 * line)
    cv2.rectangle(legend, (left, top), (right, bottom), label_space.colors[class_id], cv2.FILLED)
    # An outline, so that a white swatch is seen on white paper.
    cv2.rectangle(legend, (left, top), (right, bottom), (128, 128, 128), 1)
    name = shorten_text(label_space.class_names[class_id], line, column_width - int(2.2 * line))
    draw_text(legend, name, (top, left + int(2.0 * line)), line, _INK)


def _check_split_view(
    target_size: Tuple[int, int],
    images: Sequence[np.ndarray],
    positions: Sequence[Tuple[int, int]],
    sizes: Sequence[Tuple[int, int]],
    captions: Optional[Sequence[Optional[str]]],
) -> None:
    counts = {'images': len(images), 'positions': len(positions), 'sizes': len(sizes)}
    if captions is not None:
        counts['captions'] = len(captions)
    if len(set(counts.values())) > 1:
        raise ValueError('Lists of different lengths came: {}. Give one entry per image in each.'.format(counts))
    _check_pair(target_size, 'target_size', smallest=1)
    for index, (position, size) in enumerate(zip(positions, sizes)):
        _check_pair(position, 'positions[{}]'.format(index), smallest=0)
        _check_pair(size, 'sizes[{}]'.format(index), smallest=1)
        if position[0] >= target_size[0] or position[1] >= target_size[1]:
            raise ValueError(
                'Panel {} of size {} at {} lies outside of target_size {}. Move it.'.format(
                    index, tuple(size), tuple(position), tuple(target_size)
                )
            )


def _check_pair(pair: Sequence[int], name: str, smallest: int) -> None:
    if len(pair) != 2 or any(int(number) != number or number < smallest for number in pair):
        raise ValueError(
            '{} is {}; it has to be two whole numbers, vertical first, of at least {}.'.format(name, pair, smallest)
        )


def _whole(pair: Sequence[float]) -> Tuple[int, int]:
    """As integers: half of a size is a float in Python."""
    return int(pair[0]), int(pair[1])


def _checked_image(image: np.ndarray, name: str) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(
            '{} has dtype {} and shape {}, but uint8 [H, W, 3] is expected. Convert it first.'.format(
                name, image.dtype, image.shape
            )
        )
    return image


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """A grey image [h, w] or [h, w, 1] with three channels; all else as it is."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    return image.repeat(3, axis=-1) if image.ndim == 3 and image.shape[-1] == 1 else image


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    is_smaller = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR)


def draw_caption(panel: np.ndarray, caption: str) -> None:
    """Writes into the top left corner, on a strip that is darkened so that white is readable on any picture."""
    line = min(panel.shape[0], max(_SMALLEST_LINE, int(round(_CAPTION_SHARE * panel.shape[0]))))
    margin = line // 2
    text = shorten_text(caption, line, panel.shape[1] - 2 * margin)
    strip = panel[: int(1.5 * line), : text_width(text, line) + 2 * margin]
    if text:
        strip[:] = (_CAPTION_STRIP * strip).astype(np.uint8)
        draw_text(panel, text, (line // 4, margin), line, _WHITE)
