"""Draws polygons, textured walls and flat figures into an image and its label map at once.

Drawing the farthest objects first makes nearer ones hide them correctly (the painter's algorithm).
"""

import math
from typing import Dict, NamedTuple, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.camera import NEAR, Camera, clip_near
from data_generator.street_scenes.city import AnyColor, City, Light
from data_generator.street_scenes.depth import DepthMap
from data_generator.street_scenes.street import Street

Points = Union[Sequence[Sequence[float]], Sequence[np.ndarray], np.ndarray]

SUBPIXEL_BITS = 4
SMALLEST_DETAIL = 0.018  # of the picture's height: a little over two pixels of 128
_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
UNIT_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


class Painter:
    """One canvas with everything needed to draw on it.

    Attributes:
        image: uint8 `[H, W, 3]`, RGB.
        label_ids: uint8 `[H, W]`, Cityscapes label IDs.
        depth: the depth of the labelled surfaces; None if it was not asked for.
        cache: textures and sprites by key, kept from frame to frame of a drive.
    """

    def __init__(self, camera: Camera, street: Street, city: City, light: Light, cache: Dict, with_depth: bool = False):
        self.camera, self.street, self.city, self.light, self.cache = camera, street, city, light, cache
        self.image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.label_ids = np.full((camera.height, camera.width), labels.UNLABELED, np.uint8)
        self.depth = DepthMap(camera) if with_depth else None

    def to_camera(self, street_points: Points) -> np.ndarray:
        """Turns street points `[N, 3]` into camera points `[N, 3]`."""
        return self.camera.to_camera(self.street.to_world(np.asarray(street_points, np.float64)))

    def lit(self, albedo: AnyColor, normal: Tuple[float, float, float], distance: float) -> np.ndarray:
        """Returns the colour, 0..255, of a surface under the light and behind the haze."""
        return self.hazed(np.asarray(albedo) * self.light.shade(normal), distance)

    def hazed(self, color: np.ndarray, distance: float) -> np.ndarray:
        """Returns a colour as seen through `distance` metres of air."""
        haze = self.haze(distance)
        return (1 - haze) * color + haze * self.light.sky_horizon

    def haze(self, distance: float) -> float:
        """Returns the share of haze in the colour of a surface at a distance, 0..1."""
        return 1 - math.exp(-max(distance, 0.0) / self.light.haze_distance)

    def fill_face(self, face: np.ndarray, color: AnyColor, label: Optional[int]) -> None:
        """Fills a polygon of camera points `[N, 3]`. A label of None leaves the label map alone."""
        visible = clip_near(face)
        if len(visible) >= 3:
            image_points = self.camera.project(visible)
            self.fill(image_points, color, label)
            if label is not None and self.depth is not None:
                region = self.visible_region(image_points)
                if region is not None:
                    self.depth.put(_mask_of(image_points, region), region, visible)

    def fill(
        self, polygon: np.ndarray, color: AnyColor, label: Optional[int], distance: Optional[float] = None
    ) -> None:
        """Fills a polygon of image points `[N, 2]`, at a distance in metres if it is upright before the camera."""
        points = [fixed_point(polygon)]
        cv2.fillPoly(self.image, points, np.asarray(color).tolist(), cv2.LINE_8, SUBPIXEL_BITS)
        if label is not None:
            cv2.fillPoly(self.label_ids, points, label, cv2.LINE_8, SUBPIXEL_BITS)
            if self.depth is not None and distance is not None:
                self.depth.fill(points, distance, SUBPIXEL_BITS)

    def textured_quad(self, texture: np.ndarray, left: np.ndarray, right: np.ndarray, label: int) -> None:
        """Draws a planar quadrilateral covered by a texture.

        Args:
            texture: uint8 `[h, w, 3]` in final colours, apart from the haze.
            left: camera points `[2, 3]` of the top and the bottom of the first texture column.
            right: the same for the last column.
            label: the label ID of the quadrilateral.
        """
        span = visible_span(left, right)
        if span is None:
            return
        begin, end = span
        corners = _quad_corners(left, right, span)
        height, width = texture.shape[:2]
        source = (
            np.array([[begin * width, 0], [end * width, 0], [end * width, height], [begin * width, height]], np.float32)
            - 0.5
        )
        self._warp(texture, source, corners, label)

    def sees_any(self, points: np.ndarray) -> bool:
        """Tells whether a body with these camera points as corners may be in the picture."""
        half_view = self.camera.width / 2 / self.camera.focal
        forward, right = np.maximum(points[:, 2], 0), points[:, 0]
        return bool(
            (points[:, 2] > NEAR).any() and (right < half_view * forward).any() and (right > -half_view * forward).any()
        )

    def sees_quad(self, left: np.ndarray, right: np.ndarray) -> bool:
        """Tells whether `textured_quad` with these edges would draw anything."""
        span = visible_span(left, right)
        return (
            span is not None and self.visible_region(self.camera.project(_quad_corners(left, right, span))) is not None
        )

    def _warp(self, texture: np.ndarray, source: np.ndarray, corners: np.ndarray, label: int) -> None:
        target = self.camera.project(corners)
        region = self.visible_region(target)
        if region is None:
            return
        rows, columns = region
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        local = target - (columns.start, rows.start)
        matrix = cv2.getPerspectiveTransform(source, local.astype(np.float32))
        warped = cv2.warpPerspective(
            texture, matrix, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = _mask_of(target, region)
        self._stamp(warped, mask, region, self.haze(float(corners[:, 2].mean())), label)
        if self.depth is not None:
            self.depth.put(mask, region, corners)

    def stamp_sprite(self, sprite: np.ndarray, mask: np.ndarray, box: np.ndarray, distance: float, label: int) -> None:
        """Draws a picture `[h, w, 3]` where its mask `[h, w]` is over 127.

        It goes into the image box `((left, top), (right, bottom))`.
        """
        region = self.visible_region(box)
        if region is None:
            return
        rows, columns = region
        scale = (box[1] - box[0]) / (sprite.shape[1], sprite.shape[0])
        matrix = np.array([[scale[0], 0, box[0][0] - columns.start], [0, scale[1], box[0][1] - rows.start]])
        size = (columns.stop - columns.start, rows.stop - rows.start)
        pixels = cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        coverage = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR, borderValue=0)
        opaque = (coverage > 127).astype(np.uint8)
        self._stamp(pixels, opaque, region, self.haze(distance), label)
        if self.depth is not None:
            self.depth.put(opaque, region, np.array([(0.0, 0.0, distance)]))

    def visible_region(self, points: np.ndarray) -> Optional[Tuple[slice, slice]]:
        """Returns rows and columns of the canvas that hold these image points, or None."""
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
        right = min(int(np.ceil(points[:, 0].max())) + 1, self.camera.width)
        bottom = min(int(np.ceil(points[:, 1].max())) + 1, self.camera.height)
        if right <= left or bottom <= top:
            return None
        return slice(top, bottom), slice(left, right)

    def _stamp(
        self, pixels: np.ndarray, mask: np.ndarray, region: Tuple[slice, slice], haze: float, label: int
    ) -> None:
        if haze > 0.02:
            air = np.full_like(pixels, self.light.sky_horizon.astype(np.uint8))
            pixels = cv2.addWeighted(pixels, 1 - haze, air, haze, 0)
        np.copyto(self.image[region], pixels, where=mask[..., None] > 0)
        self.label_ids[region][mask > 0] = label

    def figure(self, x: float, z: float, reach: float, detail: float) -> Optional['Figure']:
        """Returns a flat figure that stands on a street point and faces the camera.

        None if it is out of sight: no part within `reach` metres to either side of its foot is in the picture, or its
        characteristic `detail`, in metres, is too small to be seen in the picture (`SMALLEST_DETAIL`).
        """
        foot = self.to_camera([[x, 0.0, z]])
        distance = float(foot[0, 2])
        if distance < NEAR or detail * self.camera.focal < SMALLEST_DETAIL * self.camera.height * distance:
            return None
        scale, image_foot = self.camera.focal / distance, self.camera.project(foot)[0]
        if not -reach * scale < image_foot[0] < self.camera.width + reach * scale:
            return None
        return Figure(self, image_foot, scale, distance)


class Figure(NamedTuple):
    """A plane upright before the camera. Its points are `(right, up)` in metres from its foot."""

    painter: Painter
    foot: np.ndarray  # image point
    scale: float  # pixels per metre
    distance: float

    def polygon(self, points: Points, color: AnyColor, label: Optional[int]) -> None:
        """Fills a polygon. The colour is lit already; haze is added."""
        image_points = self.foot + np.asarray(points, np.float64) * (self.scale, -self.scale)
        hazed = self.painter.hazed(np.asarray(color), self.distance)
        self.painter.fill(image_points, hazed, label, self.distance)

    def ellipse(
        self, center: Tuple[float, float], radii: Tuple[float, float], color: AnyColor, label: Optional[int]
    ) -> None:
        """Fills an upright ellipse."""
        self.polygon(UNIT_CIRCLE * radii + center, color, label)

    def box(self, left: float, bottom: float, right: float, top: float, color: AnyColor, label: Optional[int]) -> None:
        """Fills an upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color, label)

    def limb(
        self,
        start: Tuple[float, float],
        end: Tuple[float, float],
        widths: Tuple[float, float],
        color: AnyColor,
        label: Optional[int],
    ) -> None:
        """Fills a straight, tapering stroke."""
        direction = np.subtract(end, start)
        across = np.array([-direction[1], direction[0]]) / max(float(np.hypot(*direction)), 1e-6) / 2
        self.polygon(
            [
                start + across * widths[0],
                start - across * widths[0],
                end - across * widths[1],
                end + across * widths[1],
            ],
            color,
            label,
        )


def fixed_point(polygon: np.ndarray) -> np.ndarray:
    """Writes image points as OpenCV's fixed-point integers.

    In OpenCV pixel centres are at integers, in this package at halves.
    """
    return np.rint((polygon - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)


def _mask_of(polygon: np.ndarray, region: Tuple[slice, slice]) -> np.ndarray:
    """The pixels of a region that a polygon of image points covers: uint8, 255 there."""
    rows, columns = region
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    local = polygon - (columns.start, rows.start)
    cv2.fillPoly(mask, [fixed_point(local)], 255, cv2.LINE_8, SUBPIXEL_BITS)
    return mask


def _quad_corners(left: np.ndarray, right: np.ndarray, span: Tuple[float, float]) -> np.ndarray:
    begin, end = left + span[0] * (right - left), left + span[1] * (right - left)
    return np.array([begin[0], end[0], end[1], begin[1]])


def visible_span(left: np.ndarray, right: np.ndarray) -> Optional[Tuple[float, float]]:
    """Returns which part of the way from edge `left` to edge `right` is beyond the near plane, a span within 0..1."""
    near_left, near_right = left[:, 2].min(), right[:, 2].min()
    if near_left < NEAR and near_right < NEAR:
        return None
    if near_left >= NEAR and near_right >= NEAR:
        return 0.0, 1.0
    crossing = float((NEAR - near_left) / (near_right - near_left))
    return (crossing, 1.0) if near_left < NEAR else (0.0, crossing)
