"""Drawing a segmentation: over its image, beside it, with a legend, with the doubt."""

from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from helpers.color_vision import with_palette
from helpers.flags import check_alpha, check_choice, checked_whole
from helpers.image_rules import shown_channels
from helpers.label_spaces import LabelSpace
from helpers.legend_drawing import default_line_height, draw_legend, legend_width, put_above_legend
from helpers.text_drawing import SMALLEST_LINE, draw_text, text_width
from helpers.visualization_utils import colorize, print_segmentation_onto_image

LAYOUTS = ('overlay', 'side-by-side', 'stacked', 'map')
MAX_ZOOM = 8
# How bright the image is below the colours of doubt.
_DARK = 0.45
# The doubt from which on the colour is the brightest: two equally likely classes have it, and more is rare.
_MOST_DOUBT = 0.5
_INK = (32, 32, 32)


class Style(NamedTuple):
    """How a segmentation is drawn.

    layout: 'overlay'; 'side-by-side' or 'stacked', the frame and its overlay; or 'map', the colours alone.
    alpha: the opacity of the colours over the frame, 0 to 1. contours: draw the borders of segments.
    legend: add the names of the classes below the picture, which is widened with white if it is too narrow. If a legend
        of all classes would be taller than the picture, a single picture gets only the classes that occur in it; frames
        of a video, which all need the same size, get a smaller legend.
    confidence: add a picture of the doubt (`draw_doubt`), on the right where panels lie side by side, else below.
    zoom: factor by which everything is drawn larger than the frame, for small frames on large screens.
    show: which channels are seen as red, green and blue, counted from 1; the first three for None.
    palette: 'dataset', the colours of the classes, or 'color-blind', colours that everybody can tell apart.
    """

    layout: str = 'overlay'
    alpha: float = 0.5
    contours: bool = False
    legend: bool = False
    zoom: int = 1
    show: Optional[Tuple[int, int, int]] = None
    confidence: bool = False
    palette: str = 'dataset'


DEFAULT_STYLE = Style()
# Fields about how colours lie over the frame.
OF_OVERLAYS = ('alpha', 'contours')


def check_style(style: Style) -> None:
    """Raises ValueError where a field is out of its range, or has no effect in this layout."""
    check_choice('layout', style.layout, LAYOUTS)
    for name in OF_OVERLAYS if style.confidence else OF_OVERLAYS + ('show',):
        if style.layout == 'map' and getattr(style, name) != getattr(DEFAULT_STYLE, name):
            raise ValueError(
                "{} is {}; it is about the frame below the colours, which the layout 'map' leaves out. Leave one of "
                'the two out.'.format(name, getattr(style, name))
            )
    check_alpha(style.alpha)
    checked_whole('zoom', style.zoom, 1, MAX_ZOOM)


class Drawing:
    """Draws class IDs onto frames of one video, or onto single pictures (`are_frames` False). The legend of all classes
    is drawn once for pictures of one size.
    """

    def __init__(self, label_space: LabelSpace, style: Style, are_frames: bool = True) -> None:
        check_style(style)
        self._are_frames = are_frames
        self._label_space = with_palette(label_space, style.palette)
        self._style = style
        self._legend: Optional[np.ndarray] = None
        self._legend_is_for = (0, 0)  # height and width of the picture above it

    def __call__(self, image: np.ndarray, class_ids: np.ndarray, doubt: Optional[np.ndarray] = None) -> np.ndarray:
        """uint8 [H, W, C] and [H, W] -> uint8 [h, w, 3]; shows the doubt, float32 [H, W], if it is given."""
        return self.with_legend(self.without_legend(image, class_ids, doubt), class_ids)

    def without_legend(
        self, image: np.ndarray, class_ids: np.ndarray, doubt: Optional[np.ndarray] = None
    ) -> np.ndarray:
        """Draws the picture alone; arguments and result as above."""
        image = shown_channels(image, self._style.show)
        if self._style.zoom > 1:
            size = (image.shape[1] * self._style.zoom, image.shape[0] * self._style.zoom)
            image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
            class_ids = cv2.resize(class_ids, size, interpolation=cv2.INTER_NEAREST)
        panels = self._panels(image, class_ids)
        if doubt is not None:
            panels.append(draw_doubt(image, cv2.resize(doubt, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)))
        return np.concatenate(panels, axis=1 if self._style.layout == 'side-by-side' else 0)

    def with_legend(self, picture: np.ndarray, class_ids: np.ndarray, line_height: Optional[int] = None) -> np.ndarray:
        """Adds the legend, if the style has one: of the classes, and below them of the doubt.

        line_height: that of lines, unless they have to be smaller; by default proportional to the width.
        """
        if not self._style.legend:
            return picture
        return put_above_legend(picture, self._legend_for(picture, class_ids, line_height))

    def has_legend_of(self, other: 'Drawing') -> bool:
        """Says whether both have the same legend, or none."""
        legends = [(drawing._style.legend, drawing._style.confidence) for drawing in (self, other)]
        spaces = [drawing._label_space for drawing in (self, other)]
        shown = [(space.class_names, space.colors, space.void_class_ids, space.ignore_id) for space in spaces]
        return legends[0] == legends[1] and shown[0] == shown[1]

    def _legend_for(self, picture: np.ndarray, class_ids: np.ndarray, line_height: Optional[int]) -> np.ndarray:
        space, (height, width) = self._label_space, picture.shape[:2]
        if self._legend is None or self._legend_is_for != (height, width):
            self._legend_is_for = (height, width)
            self._legend = self._with_key(self._legend_of_all(height, width, line_height), width, line_height)
        if self._are_frames or len(self._legend) <= height:
            return self._legend
        hidden = {*space.void_class_ids, space.ignore_id}
        occurring = [class_id for class_id in np.unique(class_ids).tolist() if class_id not in hidden]
        if not occurring:
            return self._legend
        legend = draw_legend(space, legend_width(space, width, occurring), occurring)
        return self._with_key(legend, width, line_height)

    def _with_key(self, legend: np.ndarray, width: int, line_height: Optional[int]) -> np.ndarray:
        return put_above_legend(legend, draw_doubt_key(width, line_height)) if self._style.confidence else legend

    def _legend_of_all(self, height: int, width: int, line_height: Optional[int]) -> np.ndarray:
        space, largest = self._label_space, line_height or default_line_height(width)
        legend = draw_legend(space, legend_width(space, width, line_height=line_height), line_height=line_height)
        for line in range(largest - 1, SMALLEST_LINE - 1, -1) if self._are_frames else ():
            if len(legend) <= height:
                break
            legend = draw_legend(space, legend_width(space, width, line_height=line), line_height=line)
        return legend

    def _panels(self, image: np.ndarray, class_ids: np.ndarray) -> List[np.ndarray]:
        if self._style.layout == 'map':
            return [colorize(class_ids, self._label_space)]
        overlay = print_segmentation_onto_image(
            image, class_ids, self._label_space, self._style.alpha, self._style.contours
        )
        return [overlay] if self._style.layout == 'overlay' else [image, overlay]


def draw_doubt(image: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Draws the image in dark grey, and over it, where the network doubts, colours from violet over orange to yellow.

    Args:
        image: uint8 [H, W, 3], RGB.
        doubt: float32 [H, W], 1 minus the largest soft-max value: 0 where the network is sure.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., np.newaxis] * _DARK
    shares = np.clip(doubt / _MOST_DOUBT, 0, 1)
    colors = cv2.applyColorMap((255 * shares).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    shares = np.sqrt(shares)[..., np.newaxis]
    return (grey * (1 - shares) + colors * shares).astype(np.uint8)


def draw_doubt_key(width: int, line_height: Optional[int] = None) -> np.ndarray:
    """Draws what the colours of `draw_doubt` stand for, on white, for a picture of this width; may be wider."""
    line = line_height or default_line_height(width)
    bar = np.zeros((line, 6 * line), np.float32) + np.linspace(0, _MOST_DOUBT, 6 * line, dtype=np.float32)
    left, right = 'doubt: 0', '{:g} and more'.format(_MOST_DOUBT)
    begin = 2 * line + text_width(left, line)
    end = begin + 6 * line
    key = np.full((2 * line, end + 2 * line + text_width(right, line), 3), 255, np.uint8)
    draw_text(key, left, (line // 4, line), line, _INK)
    key[line // 4 : line // 4 + line, begin:end] = draw_doubt(np.zeros((*bar.shape, 3), np.uint8), bar)
    draw_text(key, right, (line // 4, end + line), line, _INK)
    return key
