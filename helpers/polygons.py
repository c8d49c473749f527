"""Polygons from label maps and label maps from polygons, exact to the pixel in both directions.

There are two conventions. In continuous coordinates the pixel in row r and column c is the square from (c, r) to
(c + 1, r + 1), and belongs to a polygon that contains its centre (COCO, CVAT, YOLO, GeoJSON). In pixel coordinates a
vertex is a pixel, which belongs to the polygon itself (labelme, Cityscapes, Supervisely); a fraction is a position
within that pixel. Points are (x, y).
"""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from helpers.flags import check_rule, is_real, unmasked
from helpers.label_spaces import LabelSpace

# The most crossings of edges and rows that a polygon may have: no hand-drawn outline comes near it.
_MAX_CROSSINGS = 2**25
# Larger coordinates are refused; differences and products of smaller ones are finite.
_LARGEST = 1e100
# Up to this many edges in one row OpenCV sorts them fast; its time grows with the square of their number.
_MOST_SORTED = 1024
# Polygons in pixel coordinates are cut this many pixels outside the image, since OpenCV runs along every row of an
# edge, also outside. A cut so far away moves an edge within the image by less than a pixel.
_FARTHEST = 2**15


class Window(NamedTuple):
    """A mask of a part of an image: bool [h, w], with its first pixel in row `top` and column `left`."""

    top: int
    left: int
    mask: np.ndarray


class Region(NamedTuple):
    """A connected region of one class (pixels that share a side are neighbours): its mask, and its area in pixels."""

    class_id: int
    window: Window
    area: int


def fill_rings(rings: Sequence[np.ndarray], size: Tuple[int, int]) -> Window:
    """Fills the pixels whose centres lie inside an odd number of rings, in continuous coordinates.

    Args:
        rings: float [K, 2] each; the last point is joined to the first. They may reach beyond the image.
        size: (height, width) of the image, to which the window is cut.

    Raises:
        ValueError: A coordinate is not finite, or the polygon is too intricate to be one.
    """
    start, end = _edges(rings)
    low, high = np.minimum(start, end), np.maximum(start, end)
    top, left, bottom, right = _bounds(low, high, size)
    if bottom <= top or right <= left:
        return Window(0, 0, np.zeros((0, 0), bool))
    # An edge crosses the rows whose centres, r + 0.5, lie between its upper end (included) and lower end (excluded).
    first = np.clip(np.ceil(low[:, 1] - 0.5), top, bottom).astype(np.int64)
    last = np.clip(np.ceil(high[:, 1] - 0.5), top, bottom).astype(np.int64)
    counts = last - first
    if counts.sum() > _MAX_CROSSINGS:
        raise ValueError('a polygon of {} points that crosses itself everywhere is not drawn'.format(len(start)))
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    share = (rows + 0.5 - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    x = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
    columns = np.clip(np.ceil(x - 0.5), left, right).astype(np.int64) - left
    toggles = np.zeros((bottom - top, right - left + 1), np.int32)
    np.add.at(toggles, (rows - top, columns), 1)
    return Window(top, left, (np.cumsum(toggles, axis=1)[:, :-1] & 1).astype(bool))


def fill_pixels(ring: np.ndarray, size: Tuple[int, int]) -> Window:
    """Fills the pixels of a polygon in pixel coordinates, its outline included, cut to an image of this size.

    Args:
        ring: [K, 2], points (x, y).
        size: (height, width).

    Raises:
        ValueError: A coordinate is not finite, or the polygon is too intricate to be one.
    """
    ring = _finite(ring)
    ring = _cut(ring, np.full(2, -_FARTHEST), np.array(size[::-1]) + _FARTHEST)
    if not len(ring):
        return Window(0, 0, np.zeros((0, 0), bool))
    points = np.floor(ring).astype(np.int32)
    top, left, bottom, right = _bounds(points, points + 1, size)
    if bottom <= top or right <= left:
        return Window(0, 0, np.zeros((0, 0), bool))
    mask = np.zeros((bottom - top, right - left), np.uint8)
    points = points - (left, top)
    if _most_edges_in_a_row(points[:, 1], len(mask)) <= _MOST_SORTED:
        cv2.fillPoly(mask, [points], 1)
    else:
        inner = fill_rings([points + 0.5], mask.shape)
        mask[inner.top : inner.top + inner.mask.shape[0], inner.left : inner.left + inner.mask.shape[1]] = inner.mask
        cv2.polylines(mask, [points], True, 1)
    return Window(top, left, mask.astype(bool))


def _most_edges_in_a_row(rows: np.ndarray, height: int) -> int:
    """The largest number of a polygon's edges in one row of an image. rows: the rows of its points."""
    other = np.roll(rows, -1)
    begins = np.bincount(np.clip(np.minimum(rows, other), 0, height), minlength=height + 1)
    ends = np.bincount(np.clip(np.maximum(rows, other), 0, height), minlength=height + 1)
    return int(np.cumsum(begins - ends).max())


def _cut(ring: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The part of a polygon in the box with corners `low` and `high`, (x, y) each (Sutherland and Hodgman, 1974)."""
    for axis in (0, 1):
        for sign, bound in ((1, high[axis]), (-1, -low[axis])):
            values = sign * ring[:, axis]
            inside = values <= bound
            if inside.all():
                continue
            crosses = inside != np.roll(inside, -1)
            steps = np.where(crosses, np.roll(values, -1) - values, 1)
            crossings = ring + ((bound - values) / steps)[:, np.newaxis] * (np.roll(ring, -1, axis=0) - ring)
            ring = np.stack([ring, crossings], axis=1)[np.stack([inside, crosses], axis=1)]
    return ring


def _edges(rings: Sequence[np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
    rings = [_finite(ring) for ring in rings]
    return np.concatenate(rings), np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])


def _finite(ring: np.ndarray) -> np.ndarray:
    ring = np.asarray(ring, np.float64)
    if ring.ndim != 2 or ring.shape[1] != 2 or not (np.abs(ring) <= _LARGEST).all():
        raise ValueError('a polygon has a point that is no pair of finite numbers')
    return ring


def _bounds(low: np.ndarray, high: np.ndarray, size: Tuple[int, int]) -> Tuple[int, int, int, int]:
    """(top, left, bottom, right) of the part of an image that contains all points."""
    left, top = np.floor(np.clip(low.min(axis=0), 0, size[::-1]))
    right, bottom = np.ceil(np.clip(high.max(axis=0), 0, size[::-1]))
    return int(top), int(left), int(bottom), int(right)


def regions(class_ids: np.ndarray) -> Iterator[Region]:
    """Yields the connected regions of every class of a label map, uint8 [H, W], the largest bounding box first.

    A region comes after the region in whose hole it lies. So painting the regions in this order with their holes filled
    gives the label map again.
    """
    class_ids = unmasked('class_ids', class_ids)
    found: List[Tuple[int, int, Region]] = []
    for class_id in np.unique(class_ids):
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(
            (class_ids == class_id).astype(np.uint8), connectivity=4
        )
        for number in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[number])
            mask = numbers[top : top + height, left : left + width] == number
            found.append((width * height, len(found), Region(int(class_id), Window(top, left, mask), area)))
    for _, _, region in sorted(found, key=lambda item: (-item[0], item[1])):
        yield region


def outlines(window: Window) -> List[np.ndarray]:
    """Returns the outline of a connected region along the sides of its pixels, then those of its holes.

    Returns:
        int [K, 2] each, corners in continuous coordinates, with the region on the right-hand side of the outline and of
        the holes; `fill_rings` of them gives the region.
    """
    filled = np.pad(window.mask, 1, 'constant').astype(bool)
    top_left, top_right, below_left, below_right = filled[:-1, :-1], filled[:-1, 1:], filled[1:, :-1], filled[1:, 1:]
    is_corner = top_left ^ top_right ^ below_left ^ below_right
    falling = top_left & below_right & ~top_right & ~below_left  # two pixels that touch at a corner only
    rising = top_right & below_left & ~top_left & ~below_right
    # (row, column, whether a side leads to the right, whether a side leads down); a point where only two pixels touch
    # is two corners, each with the two sides of one pixel.
    corners = np.concatenate(
        [_corners(is_corner, 0, 0), _corners(falling, 0, 0), _corners(falling, 1, 1)]
        + [_corners(rising, 0, 1), _corners(rising, 1, 0)]
    )
    along_row = _partners(np.lexsort((corners[:, 2], corners[:, 1], corners[:, 0])))
    along_column = _partners(np.lexsort((corners[:, 3], corners[:, 0], corners[:, 1])))
    rings = [corners[ring][:, 1::-1] + (window.left, window.top) for ring in _cycles(along_row, along_column)]
    areas = [signed_area(ring) for ring in rings]
    outer = int(np.argmax(np.abs(areas)))
    rings = [
        ring if (area > 0) == (index == outer) else ring[::-1] for index, (ring, area) in enumerate(zip(rings, areas))
    ]
    return [rings[outer]] + rings[:outer] + rings[outer + 1 :]


def _corners(where: np.ndarray, goes_right: int, goes_down: int) -> np.ndarray:
    rows, columns = np.nonzero(where)
    return np.stack([rows, columns, np.full_like(rows, goes_right), np.full_like(rows, goes_down)], axis=1)


def _partners(order: np.ndarray) -> List[int]:
    """For each corner the other end of its side: along a line, sides lead from every second corner to the next."""
    partners = np.empty(len(order), np.int64)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    return partners.tolist()


def _cycles(along_row: List[int], along_column: List[int]) -> Iterator[List[int]]:
    is_taken = bytearray(len(along_row))
    for first in range(len(along_row)):
        if is_taken[first]:
            continue
        corner = first
        ring: List[int] = []
        while not ring or corner != first:
            other = along_row[corner]
            ring += [corner, other]
            is_taken[corner] = is_taken[other] = True
            corner = along_column[other]
        yield ring


def signed_area(ring: np.ndarray) -> float:
    """Returns the area of a ring [K, 2] in square pixels; positive if its points run clockwise as seen on a screen,
    where y points down.
    """
    x, y = (ring.astype(np.float64) - ring[0]).T  # products of coordinates of a map would lose a pixel of centimetres
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def pixel_outline(window: Window) -> np.ndarray:
    """Traces the outline of a connected region in pixel coordinates, int [K, 2], K >= 3; `fill_pixels` fills its
    holes.
    """
    found = cv2.findContours(window.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contours = found[-2]  # OpenCV 3 returns the image before them
    ring = max(contours, key=len)[:, 0, :]
    if len(ring) < 3:  # a row or column of pixels; tools require three points
        ring = np.concatenate([ring, np.repeat(ring[-1:], 3 - len(ring), axis=0)])
    return ring + (window.left, window.top)


def simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns a ring [K, 2] with fewer points that stays within `tolerance` pixels (Douglas and Peucker, 1973).

    Raises ValueError unless the tolerance is a number of at least 0.
    """
    check_rule(is_real(tolerance) and 0 <= tolerance < np.inf, 'tolerance', tolerance, 'a number of at least 0')
    if tolerance == 0:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.float32)[:, np.newaxis], tolerance, True)[:, 0, :]
    # float32 would stay float32 where a map's coordinates are added, and round them to half a metre.
    return fewer.astype(np.float64) if len(fewer) >= 3 else ring


Transform = Callable[[np.ndarray, np.ndarray], Tuple[np.ndarray, np.ndarray]]


def geojson(
    class_ids: np.ndarray,
    label_space: LabelSpace,
    transform: Optional[Transform] = None,
    tolerance: float = 0.0,
    crs: Optional[str] = None,
) -> Dict[str, Any]:
    """Returns a label map as a GeoJSON FeatureCollection (RFC 7946): a Polygon, with holes, for each connected region.

    Args:
        class_ids: uint8 [H, W].
        label_space: Names and colours of the classes; regions of ignored pixels are left out.
        transform: Function from (x, y), arrays of continuous image coordinates, to (east, north), arrays of map
            coordinates. None keeps image coordinates, in which y points down.
        tolerance: See `simplified`.
        crs: The coordinate reference system of the map, such as 'urn:ogc:def:crs:EPSG::25832', named as GeoJSON of 2008
            did; None for longitude and latitude (WGS 84), and for image coordinates, with which the file has the crs
            null: none can be assumed.
    """
    features = []
    for region in regions(class_ids):
        if region.class_id < label_space.num_classes:
            rings = [_mapped(simplified(ring, tolerance), transform) for ring in outlines(region.window)]
            features.append(geojson_feature(region.class_id, rings, region.area, label_space))
    collection: Dict[str, Any] = {'type': 'FeatureCollection', 'features': features}
    if crs is not None or transform is None:
        collection['crs'] = geojson_crs(crs)
    return collection


def geojson_feature(class_id: int, rings: Sequence[np.ndarray], pixels: int, label_space: LabelSpace) -> Dict[str, Any]:
    """Returns one region as a Feature of GeoJSON.

    Args:
        rings: [K, 2] each, in the coordinates of the file and in any direction: the outline, then those of the holes.
        pixels: The area of the region.
    """
    return {
        'type': 'Feature',
        'properties': {
            'class': label_space.class_names[class_id],
            'class_id': class_id,
            'color': '#{:02x}{:02x}{:02x}'.format(*label_space.colors[class_id]),
            'pixels': pixels,
        },
        'geometry': {
            'type': 'Polygon',
            'coordinates': [_closed(ring, index > 0) for index, ring in enumerate(rings)],
        },
    }


def geojson_crs(name: Optional[str]) -> Optional[Dict[str, Any]]:
    """Returns the entry `crs` of GeoJSON of 2008 for the name of a coordinate reference system.

    None, in the file null, for coordinates that are not known to be of any.
    """
    return None if name is None else {'type': 'name', 'properties': {'name': name}}


def _mapped(ring: np.ndarray, transform: Optional[Transform]) -> np.ndarray:
    if transform is None:
        return ring
    return np.stack(transform(ring[:, 0].astype(np.float64), ring[:, 1].astype(np.float64)), axis=1)


def _closed(ring: np.ndarray, is_hole: bool) -> List[Any]:
    """A ring as RFC 7946 requires it: the first point again at the end, outlines counterclockwise, holes clockwise."""
    is_positive = signed_area(ring) > 0
    ring = ring if is_positive != is_hole else ring[::-1]
    return np.concatenate([ring, ring[:1]]).tolist()
