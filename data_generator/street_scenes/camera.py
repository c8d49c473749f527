"""A pinhole camera over a flat ground.

World points are `(x, y, z)` in metres: x to the right, y up from the ground, z along the street. Camera points are
`(right, up, forward)` in metres from the eye. Image points are `(u, v)` in pixels, v downwards.
"""

import math
from typing import NamedTuple, Tuple

import numpy as np

NEAR = 0.9  # metres; nothing nearer than this is drawn


class Camera(NamedTuple):
    """A level camera: its pitch only shifts the horizon, so that verticals stay vertical."""

    height: int  # of the image, in pixels
    width: int
    focal: float  # pixels
    horizon: float  # row of the horizon, pixels
    eye: float  # height of the eye over the ground, metres
    x: float
    z: float
    heading: float  # radians, clockwise from the z axis

    def to_camera(self, world: np.ndarray) -> np.ndarray:
        """Turns world points `[N, 3]` into camera points `[N, 3]`."""
        sine, cosine = math.sin(self.heading), math.cos(self.heading)
        dx, dz = world[:, 0] - self.x, world[:, 2] - self.z
        points = np.empty((len(world), 3))
        points[:, 0] = dx * cosine - dz * sine
        points[:, 1] = world[:, 1] - self.eye
        points[:, 2] = dx * sine + dz * cosine
        return points

    def project(self, points: np.ndarray) -> np.ndarray:
        """Projects camera points `[N, 3]` in front of the camera to image points `[N, 2]`."""
        projected = points[:, :2] * (self.focal / points[:, 2:])
        projected[:, 0] += self.width / 2
        np.subtract(self.horizon, projected[:, 1], out=projected[:, 1])
        return projected

    def ground_points(self, first_row: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns world x and z `[rows, width]` and distance `[rows, 1]` of the ground from `first_row` down;
        float32.
        """
        rows = np.arange(first_row, self.height, dtype=np.float32)[:, None] + 0.5
        forward = (self.focal * self.eye / (rows - self.horizon)).astype(np.float32)
        slope = ((np.arange(self.width, dtype=np.float32)[None] + 0.5 - self.width / 2) / self.focal).astype(np.float32)
        sine, cosine = np.float32(np.sin(self.heading)), np.float32(np.cos(self.heading))
        x = forward * (slope * cosine + sine) + np.float32(self.x)
        z = forward * (cosine - slope * sine) + np.float32(self.z)
        return x, z, forward


def clip_near(points: np.ndarray) -> np.ndarray:
    """Returns the part of a polygon of camera points `[N, 3]` before the near plane (Sutherland and Hodgman, 1974)."""
    inside = points[:, 2] >= NEAR
    if inside.all():
        return points
    if not inside.any():
        return points[:0]
    clipped = []
    for start, end, start_inside, end_inside in zip(points, np.roll(points, -1, axis=0), inside, np.roll(inside, -1)):
        if start_inside:
            clipped.append(start)
        if start_inside != end_inside:
            clipped.append(start + (NEAR - start[2]) / (end[2] - start[2]) * (end - start))
    return np.array(clipped)
