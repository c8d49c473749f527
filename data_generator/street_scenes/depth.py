"""The distance of every pixel, drawn along with the picture."""

from typing import List, Tuple

import cv2
import numpy as np

from data_generator.street_scenes.camera import Camera

LARGEST_DEPTH = 255.0  # metres
UNITS_PER_METRE = 256  # in files, as in the KITTI depth benchmark


class DepthMap:
    """The nearness of every pixel, 1 / (metres from the eye along the view); 0 is the sky.

    In a picture the nearness of a plane is a linear function of position; its depth is not.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self.nearness = np.zeros((camera.height, camera.width), np.float32)

    def fill(self, points: List[np.ndarray], distance: float, shift: int) -> None:
        """Puts a polygon of image points, integers with `shift` fractional bits, at a distance."""
        cv2.fillPoly(self.nearness, points, 1 / distance, cv2.LINE_8, shift)

    def put(self, mask: np.ndarray, region: Tuple[slice, slice], corners: np.ndarray) -> None:
        """Puts the pixels of a mask on the plane through camera points, `[K, 3]`; `region` is where the mask lies."""
        camera, (rows, columns) = self._camera, region
        # All of a plane is n p = 1. A point p that is seen along the ray (right, up, 1) has 1 / forward = n ray.
        plane = np.linalg.lstsq(corners, np.ones(len(corners)), rcond=None)[0]
        right = (np.arange(columns.start, columns.stop) + 0.5 - camera.width / 2) / camera.focal
        up = (camera.horizon - np.arange(rows.start, rows.stop) - 0.5) / camera.focal
        nearness = plane[0] * right[None] + plane[1] * up[:, None] + plane[2]
        depths = corners[:, 2]
        nearness = nearness.clip(1 / depths.max(), 1 / depths.min())  # seen edge-on, the plane holds the eye
        np.copyto(self.nearness[region], nearness.astype(np.float32), where=mask > 0)


def metres(nearness: np.ndarray) -> np.ndarray:
    """Computes the depth in metres, float32, from nearness; infinite in the sky."""
    with np.errstate(divide='ignore'):
        return (1 / nearness).astype(np.float32)


def stored(depth: np.ndarray) -> np.ndarray:
    """Converts depth to the form of files: uint16, metres * 256, 0 where nothing is measured (the sky)."""
    known = np.isfinite(depth)
    units = np.where(known, depth, 0).clip(0, LARGEST_DEPTH) * UNITS_PER_METRE
    return np.where(known, np.rint(units).clip(1), 0).astype(np.uint16)
