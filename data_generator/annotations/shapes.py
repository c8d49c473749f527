"""What every annotation tool says in its own words: images, and in each the shapes of objects with their classes."""

import contextlib
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from data_generator.annotations.values import BAD_VALUES, split_of
from helpers.aliases import Color
from helpers.polygons import Window, fill_pixels, fill_rings

#: The label of what never counts, whatever the tool calls it.
VOID = object()


class Shape(NamedTuple):
    """One shape of an object.

    label: its class, or VOID. parts: closed outlines, float [K, 2] of (x, y); what is in any of them belongs to the
    shape. holes: outlines of what does not. draw: instead of outlines, a function that makes the mask of a part of an
    image, whose (height, width) it is given. of_size: the (height, width) that the image has to have for it. in_pixels:
    whether points are pixels or continuous coordinates (`helpers.polygons`). is_share: whether they are shares of width
    and height instead. layer: shapes of a higher one lie over those of a lower.
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

    path: the image as the annotations call it. size: (height, width) as they say; None where they do not. shapes: in
    their order. place: where this was written, for messages. content: the encoded image, where the annotations hold it.
    beside: the folder that `path` may start from. named: where the image had to lie, if `path` was found by that.
    """

    path: str
    size: Optional[Tuple[int, int]]
    shapes: List[Shape]
    place: str
    content: Optional[bytes] = None
    beside: str = ''
    named: str = ''


class Record(NamedTuple):
    """An image that can be read when its turn comes; `split` is the one the source has it in, or None."""

    read: Callable[[], AnnotatedImage]
    split: Optional[str]
    place: str


def record_of_document(path: str, root: str, read: Callable[[str], AnnotatedImage]) -> Record:
    """Returns the image of a document that is about one image; read: the document -> its image."""
    return Record(lambda: read(path), split_of(path, root), path)


class Source(NamedTuple):
    """All that a tool has written.

    kind: as of `recognise`. records: one for each image. class_names: in the order of the tool; None where it has none,
    and the names that occur are taken. colors: of some or all classes. order: how shapes overlap unless something else
    is asked for, 'file' or 'area'. void_names: classes of the tool that never count. rest: 'background' or 'void', what
    pixels without a shape are unless something else is asked for.
    """

    kind: str
    records: List[Record]
    class_names: Optional[List[str]] = None
    colors: Dict[str, Color] = {}
    order: str = 'file'
    void_names: Tuple[str, ...] = ()
    rest: str = 'background'


class LeftOut:
    """What was left out and why: reasons with their places; and masks that were not taken as they are.

    Attributes:
        places: By reason.
        moved: For each mask with pixels that count as another colour than they have, how many these are.
    """

    def __init__(self) -> None:
        self.places: Dict[str, List[str]] = {}
        self.moved: Dict[str, int] = {}
        self._paused: Optional[List[str]] = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[List[str]]:
        """Notes nothing while it is open, for what is read twice would be noted twice; yields the reasons that come."""
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
        """Notes how many pixels of a mask count as another colour than they have; twice is once."""
        if pixels:
            self.moved[path] = pixels

    def readable(
        self, objects: Iterable[Any], shapes_of: Callable[[Any], Sequence[Shape]], place: str, what: str = 'objects'
    ) -> List[Shape]:
        """Reads the shapes of objects, and notes those objects that have none that can be drawn.

        Args:
            objects: In their order.
            shapes_of: An object -> its shapes; one of `values.BAD_VALUES` where it is no area.
            place: Where they are written.
            what: What the tool calls them.
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
    """Returns the part of an image that a window is about, as a view."""
    height, width = window.mask.shape
    return image[window.top : window.top + height, window.left : window.left + width]
