"""The common form of all tools' annotations: images, and in each the shapes of objects with their classes."""

import contextlib
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from data_generator.annotations.values import BAD_VALUES, split_of
from helpers.aliases import Color
from helpers.polygons import Window, fill_pixels, fill_rings

#: The label of pixels that never count, whatever the tool calls it.
VOID = object()


class Shape(NamedTuple):
    """One shape of an object.

    label: its class, or VOID. parts: closed outlines, float [K, 2] of (x, y); their union belongs to the shape. holes:
    outlines of areas that do not. draw: in place of outlines, a function from the image's (height, width) to the mask
    of a part of it. of_size: the (height, width) that the image has to have for `draw`. in_pixels: whether points are
    pixels or continuous coordinates (`helpers.polygons`). is_share: whether points are shares of width and height.
    layer: shapes of a higher layer lie over those of a lower one.
    """

    label: object
    parts: Sequence[np.ndarray] = ()
    holes: Sequence[np.ndarray] = ()
    draw: Optional[Callable[[Tuple[int, int]], Window]] = None
    in_pixels: bool = False
    is_share: bool = False
    layer: float = 0.0
    of_size: Optional[Tuple[int, int]] = None


class AnnotatedImage(NamedTuple):
    """The shapes of one image.

    path: the image as the annotations call it. size: (height, width) according to the annotations, or None. shapes: its
    shapes, in their order. place: where this was written, for messages. content: the encoded image, if the annotations
    hold it. beside: a folder to which `path` may be relative. named: the expected place of the image, if `path` was
    found by it.
    """

    path: str
    size: Optional[Tuple[int, int]]
    shapes: List[Shape]
    place: str
    content: Optional[bytes] = None
    beside: str = ''
    named: str = ''


class Record(NamedTuple):
    """An image whose annotations are read later; `split` is its split in the source, or None."""

    read: Callable[[], AnnotatedImage]
    split: Optional[str]
    place: str


def record_of_document(path: str, root: str, read: Callable[[str], AnnotatedImage]) -> Record:
    """Returns the record of a document that describes one image; read: function from the document to its image."""
    return Record(lambda: read(path), split_of(path, root), path)


class Source(NamedTuple):
    """All annotations that a tool has written.

    kind: one of `recognise.NAMES`. records: one for each image. class_names: in the order of the tool; None if it has
    no list, so that the names that occur are used. colors: those of some or all classes. order: how shapes overlap by
    default, 'file' or 'area'. void_names: classes of the tool that never count. rest: the default for pixels without a
    shape, 'background' or 'void'.
    """

    kind: str
    records: List[Record]
    class_names: Optional[List[str]] = None
    colors: Dict[str, Color] = {}
    order: str = 'file'
    void_names: Tuple[str, ...] = ()
    rest: str = 'background'


class LeftOut:
    """What was left out and why: reasons with their places; and masks of which some colours were replaced.

    Attributes:
        places: The places of each reason.
        moved: The number of pixels whose colour was replaced, for each mask that has any.
    """

    def __init__(self) -> None:
        self.places: Dict[str, List[str]] = {}
        self.moved: Dict[str, int] = {}
        self._paused: Optional[List[str]] = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[List[str]]:
        """Notes nothing within the context, for a reading that will be repeated; yields a list of the reasons."""
        self._paused = []
        try:
            yield self._paused
        finally:
            self._paused = None

    def add(self, reason: str, place: str) -> None:
        """Notes one more place of a reason, but not while `paused`."""
        if self._paused is not None:
            self._paused.append(reason)
            return
        self.places.setdefault(reason, []).append(place)

    def count_moved(self, path: str, pixels: int) -> None:
        """Notes the number of pixels of a mask whose colour was replaced. Noting a mask again changes nothing."""
        if pixels:
            self.moved[path] = pixels

    def readable(
        self, objects: Iterable[Any], shapes_of: Callable[[Any], Sequence[Shape]], place: str, what: str = 'objects'
    ) -> List[Shape]:
        """Reads the shapes of objects, and notes the objects without any shape that can be drawn.

        Args:
            objects: The objects, in their order.
            shapes_of: Function from an object to its shapes; raises one of `values.BAD_VALUES` if it is no area.
            place: Where the objects are written.
            what: The tool's word for objects.
        """
        shapes: List[Shape] = []
        for one in objects:
            try:
                shapes += shapes_of(one)
            except BAD_VALUES as error:
                self.add('{} that are no area ({})'.format(what, error), place)
        return shapes


def window_of(shape: Shape, size: Tuple[int, int]) -> Window:
    """Returns the pixels of a shape in an image of this size (height, width).

    Raises:
        ValueError: It cannot be drawn.
    """
    if shape.of_size not in (None, size):
        raise ValueError('a mask of another size than its image')
    if shape.draw is not None:
        return _cut(shape.draw(size), size)
    windows = [_fill(part, shape.in_pixels, size) for part in shape.parts]
    drawn = _union([window for window in windows if window.mask.size])
    for hole in shape.holes:
        _clear(drawn, _fill(hole, shape.in_pixels, size))
    return drawn


def _fill(ring: np.ndarray, in_pixels: bool, size: Tuple[int, int]) -> Window:
    return fill_pixels(ring, size) if in_pixels else fill_rings([ring], size)


def _union(windows: List[Window]) -> Window:
    if len(windows) <= 1:
        return windows[0] if windows else Window(0, 0, np.zeros((0, 0), bool))
    top, left = min(window.top for window in windows), min(window.left for window in windows)
    bottom = max(window.top + window.mask.shape[0] for window in windows)
    right = max(window.left + window.mask.shape[1] for window in windows)
    mask = np.zeros((bottom - top, right - left), bool)
    for window in windows:
        part_of(mask, Window(window.top - top, window.left - left, window.mask))[window.mask] = True
    return Window(top, left, mask)


def _clear(drawn: Window, hole: Window) -> None:
    top, left = max(drawn.top, hole.top), max(drawn.left, hole.left)
    bottom = min(drawn.top + drawn.mask.shape[0], hole.top + hole.mask.shape[0])
    right = min(drawn.left + drawn.mask.shape[1], hole.left + hole.mask.shape[1])
    if bottom > top and right > left:
        hollow = hole.mask[top - hole.top : bottom - hole.top, left - hole.left : right - hole.left]
        drawn.mask[top - drawn.top : bottom - drawn.top, left - drawn.left : right - drawn.left] &= ~hollow


def _cut(window: Window, size: Tuple[int, int]) -> Window:
    top, left = max(0, window.top), max(0, window.left)
    bottom = min(size[0], window.top + window.mask.shape[0])
    right = min(size[1], window.left + window.mask.shape[1])
    if bottom <= top or right <= left:
        return Window(0, 0, np.zeros((0, 0), bool))
    mask = window.mask[top - window.top : bottom - window.top, left - window.left : right - window.left]
    return Window(top, left, mask)


def part_of(image: np.ndarray, window: Window) -> np.ndarray:
    """Returns the part of an image that a window covers, as a view."""
    height, width = window.mask.shape
    return image[window.top : window.top + height, window.left : window.left + width]
