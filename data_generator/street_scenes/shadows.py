"""Shadows that things cast on the ground."""

from typing import List

import cv2
import numpy as np

from data_generator.street_scenes.painter import UNIT_CIRCLE, Painter, Points

MAX_REACH = 2.5  # shadow lengths per height; keeps a low sun from covering the whole street


def shadow_shift(painter: Painter, height: float) -> np.ndarray:
    """Returns the offset (x, z) of a point's shadow from its foot, for a point `height` metres up."""
    sun = painter.light.sun
    reach = min(float(np.hypot(sun[0], sun[2]) / max(sun[1], 1e-3)), MAX_REACH) * height
    return -np.array([sun[0], sun[2]]) / max(float(np.hypot(sun[0], sun[2])), 1e-6) * reach


def box_shadow(painter: Painter, footprint: Points, height: float) -> List[np.ndarray]:
    """Returns the shadow of an upright prism as polygons of camera points. `footprint` holds street points (x, z)."""
    foot = np.asarray(footprint, np.float64)
    return [on_ground(painter, np.concatenate([foot, foot + shadow_shift(painter, height)]))]


def ball_shadow(painter: Painter, x: float, z: float, height: float, radius: float) -> List[np.ndarray]:
    """Returns the shadow of a ball with its centre `height` metres up, as polygons of camera points."""
    return [on_ground(painter, UNIT_CIRCLE * radius + (x, z) + shadow_shift(painter, height))]


def on_ground(painter: Painter, points: np.ndarray) -> np.ndarray:
    """Returns the convex hull of street points (x, z) as camera points `[N, 3]`."""
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    return painter.to_camera(np.stack([hull[:, 0], np.zeros(len(hull)), hull[:, 1]], axis=1))
