"""The ground: asphalt with markings, kerbs, paving slabs and grass.

It is computed for every pixel from the point where the pixel's ray meets the ground.
"""

from typing import NamedTuple, Sequence

import cv2
import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.camera import clip_near
from data_generator.street_scenes.painter import SUBPIXEL_BITS, Painter, fixed_point
from data_generator.street_scenes.street import CORNER_RADIUS, KERB_WIDTH, LANE_WIDTH, Street
from data_generator.street_scenes.textures import TILE_SIZE, noise_tile, phase, sample_tile

FAR = 160.0  # metres; the ground ends here and the backdrop begins


class GroundPoints(NamedTuple):
    """The points that the ground pixels of an image show; float32 `[rows, width]` unless stated otherwise."""

    first_row: int
    x: np.ndarray  # street coordinates, metres
    z: np.ndarray
    distance: np.ndarray  # [rows, 1]
    beyond_kerb: np.ndarray  # metres from the kerb, negative on the road
    on_right: np.ndarray  # bool


def draw_ground(painter: Painter, shadows: Sequence[np.ndarray]) -> None:
    """Draws all ground below the backdrop. `shadows` are polygons of camera points that lie on the ground."""
    points = ground_points(painter)
    color = _surface_colors(painter, points)
    color *= (
        painter.light.shade((0.0, 1.0, 0.0)).astype(np.float32)
        * _shadow_factor(painter, points.first_row, shadows)[..., None]
    )
    haze = (1 - np.exp(-points.distance / painter.light.haze_distance)).astype(np.float32)[..., None]
    color += haze * (painter.light.sky_horizon.astype(np.float32) - color)
    if painter.depth is not None:
        painter.depth.nearness[points.first_row :] = 1 / points.distance
    painter.image[points.first_row :] = np.clip(color, 0, 255).astype(np.uint8)


def ground_points(painter: Painter) -> GroundPoints:
    """Returns where the rays of the pixels below the horizon meet the ground."""
    camera, street = painter.camera, painter.street
    first_row = min(int(np.ceil(camera.horizon + camera.focal * camera.eye / FAR)), camera.height - 1)
    x, z, distance = camera.ground_points(first_row)
    if street.bend:
        x = x - street.offset(z)
    on_right = x > 0
    kerbs = np.array([street.kerb(-1), street.kerb(1)], np.float32)
    beyond_kerb = np.abs(x) - kerbs[on_right.view(np.uint8)]
    for start, end in street.junctions:
        _round_corner(beyond_kerb, z, start, end)
    return GroundPoints(first_row, x, z, distance, beyond_kerb, on_right)


def _round_corner(beyond_kerb: np.ndarray, z: np.ndarray, start: float, end: float) -> None:
    """Where a street crosses, measure from the nearer of the two kerbs, which meet in an arc."""
    near_rows = np.flatnonzero((z.max(axis=1) > start - 8) & (z.min(axis=1) < end + 8))
    if not len(near_rows):
        return
    rows = slice(near_rows[0], near_rows[-1] + 1)
    beyond_side_kerb = np.maximum(start - z[rows], z[rows] - end)
    arc = CORNER_RADIUS - np.hypot(
        np.maximum(CORNER_RADIUS - beyond_kerb[rows], 0), np.maximum(CORNER_RADIUS - beyond_side_kerb, 0)
    )
    straight = np.minimum(beyond_kerb[rows], beyond_side_kerb)
    on_own_road = beyond_kerb[rows] < 0
    beyond_kerb[rows] = np.where(on_own_road, beyond_kerb[rows], np.where(straight < CORNER_RADIUS, arc, straight))


def _surface_colors(painter: Painter, points: GroundPoints) -> np.ndarray:
    city, street = painter.city, painter.street
    side = points.on_right.view(np.uint8)
    verge = np.array(street.verge, np.float32)[side]
    beyond_verge = points.beyond_kerb - KERB_WIDTH - verge
    is_road = points.beyond_kerb < 0
    is_kerb = (points.beyond_kerb < KERB_WIDTH) & ~is_road
    is_grass = (beyond_verge < 0) | (beyond_verge > np.array(street.pavement, np.float32)[side])
    kind = np.where(is_road, 0, np.where(is_kerb, 1, np.where(is_grass, 2, 3))).astype(np.uint8)
    ids = np.array([labels.ROAD, labels.SIDEWALK, labels.TERRAIN, labels.SIDEWALK], np.uint8)
    painter.label_ids[points.first_row :] = cv2.LUT(kind, np.resize(ids, 256))
    palette = np.array([city.asphalt, np.multiply(city.pavement, 1.18), city.grass, city.pavement], np.float32)
    color = palette[kind]
    color *= _texture(points, kind, city.slab)[..., None]
    _mix_in_markings(painter, points, color, is_road)
    return color


def _texture(points: GroundPoints, kind: np.ndarray, slab: float) -> np.ndarray:
    """Brightness of the surface, around 1: coarse stains, fine grain, slab joints, wheel tracks and the gutter."""
    fine_period, coarse_period = 3.0, 40.0  # metres per noise tile
    stains = sample_tile(noise_tile(0), points.x * (TILE_SIZE / coarse_period), points.z * (TILE_SIZE / coarse_period))
    grain = sample_tile(noise_tile(1, 16), points.x * (TILE_SIZE / fine_period), points.z * (TILE_SIZE / fine_period))
    grain_strength = np.array([0.3, 0.15, 0.9, 0.12], np.float32)[kind]
    sharpness = 1 / (1 + points.distance / 12)  # far grain averages out within a pixel
    brightness = 1 + 0.35 * (stains - 0.5) + grain_strength * sharpness * (grain - 0.5)
    is_slab = kind == 3
    joints = (phase(points.x, slab) < 0.05) | (phase(points.z, slab) < 0.05)
    brightness -= 0.3 * sharpness * (joints & is_slab)
    slab_tone = phase(np.floor(points.x / slab) * 0.37 + np.floor(points.z / slab) * 0.71, 1)
    brightness += 0.14 * sharpness * (slab_tone - 0.5) * is_slab
    tracks = np.cos(phase(np.abs(points.x), LANE_WIDTH) * (4 * np.pi / LANE_WIDTH))
    gutter = np.clip(1 + points.beyond_kerb / 0.35, 0, 1)
    return brightness - (kind == 0) * (0.04 * tracks + 0.22 * gutter)


def _mix_in_markings(painter: Painter, points: GroundPoints, color: np.ndarray, is_road: np.ndarray) -> None:
    paint = _markings(points, painter.street) & is_road
    painted_rows = np.flatnonzero(paint.any(axis=1))
    if not len(painted_rows):
        return
    rows = slice(painted_rows[0], painted_rows[-1] + 1)
    wear = sample_tile(noise_tile(2, 16), points.x[rows] * 60, points.z[rows] * 60)
    strength = (paint[rows] * np.clip(1.5 - wear, 0.3, 0.95)).astype(np.float32)[..., None]
    color[rows] += strength * (np.array(painter.city.marking, np.float32) - color[rows])


def _markings(points: GroundPoints, street: Street) -> np.ndarray:
    distance = np.abs(points.x)
    between_junctions = np.ones_like(points.on_right)
    for start, end in street.junctions:
        between_junctions &= (points.z < start - 4.5) | (points.z > end + 1)
    dash, period = street.dashes
    dashed = phase(points.z, period) < dash
    lines = (distance < 0.07) & dashed
    for lane in range(1, street.lanes):
        lines |= (np.abs(distance - lane * LANE_WIDTH) < 0.07) & dashed
    edge = np.abs(distance - street.half_width + 0.12) < 0.07
    if street.edge_lines:
        lines |= edge
    for side in (-1, 1):
        if street.parking[side > 0]:
            lines |= edge & (points.on_right == (side > 0)) & (phase(points.z, 1.5) < 0.9)
    lines &= between_junctions
    for start in street.crossings:
        lines |= (points.z > start) & (points.z < start + 3) & (phase(points.x, 1.0) < 0.5)
        lines |= (points.z > start - 1.6) & (points.z < start - 1.2) & points.on_right
    return lines


def _shadow_factor(painter: Painter, first_row: int, shadows: Sequence[np.ndarray]) -> np.ndarray:
    mask = np.zeros((painter.camera.height - first_row, painter.camera.width), np.uint8)
    for shadow in shadows:
        visible = clip_near(shadow)
        if len(visible) >= 3:
            image_points = painter.camera.project(visible) - (0, first_row)
            cv2.fillPoly(mask, [fixed_point(image_points)], 255, cv2.LINE_8, SUBPIXEL_BITS)
    softened = cv2.blur(mask, (3, 3))
    return 1 - softened.astype(np.float32) * np.float32(painter.light.shadow / 255)
