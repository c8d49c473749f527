"""Tileable noise, the raw material of every surface of the generated street scenes."""

from functools import lru_cache

import cv2
import numpy as np

TILE_SIZE = 256


@lru_cache(maxsize=None)
def noise_tile(seed: int, coarsest: int = 4) -> np.ndarray:
    """Makes fractal value noise, float32 `[TILE_SIZE, TILE_SIZE]` in 0..1, that continues seamlessly when tiled.

    `coarsest` is the number of bumps across the tile in the lowest octave. Every further octave has twice as many at
    0.6 times the amplitude. The array is shared between callers and therefore read-only.
    """
    rng = np.random.default_rng([seed, coarsest])
    tile = np.zeros((TILE_SIZE, TILE_SIZE), np.float32)
    amplitude, cells = 1.0, coarsest
    while cells <= TILE_SIZE:
        tile += amplitude * _periodic_octave(rng, cells)
        amplitude, cells = amplitude * 0.6, cells * 2
    tile = (tile - tile.min()) / (tile.max() - tile.min())
    tile.setflags(write=False)
    return tile


def _periodic_octave(rng: np.random.Generator, cells: int) -> np.ndarray:
    values = rng.random((cells, cells)).astype(np.float32)
    margin = 2
    scale = TILE_SIZE // cells
    padded = np.pad(values, margin, mode='wrap')
    enlarged = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return enlarged[margin * scale : margin * scale + TILE_SIZE, margin * scale : margin * scale + TILE_SIZE]


def sample_tile(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Samples a tile bilinearly at float32 coordinates, in pixels of the tile, which repeats endlessly."""
    return cv2.remap(tile, _near_zero(x), _near_zero(y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _near_zero(coordinates: np.ndarray) -> np.ndarray:
    # cv2.remap keeps coordinates in 16-bit integers; whole tiles are taken off so that they fit.
    return coordinates - np.float32(np.floor(coordinates.min() / TILE_SIZE) * TILE_SIZE)


def noise_patch(seed: int, height: int, width: int, pixels_per_bump: float) -> np.ndarray:
    """Returns a float32 `[height, width]` piece of noise in 0..1 from a place and at a slant that depend on `seed`."""
    angle = 0.3 + seed % 5 * 0.23  # the slant hides the grid that value noise is made on
    step = 16.0 / pixels_per_bump
    matrix = np.array(
        [
            [step * np.cos(angle), -step * np.sin(angle), seed * 37 % TILE_SIZE],
            [step * np.sin(angle), step * np.cos(angle), seed * 91 % TILE_SIZE],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(noise_tile(seed % 4, 16), matrix, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)


def phase(values: np.ndarray, period: float) -> np.ndarray:
    """Computes `values` modulo `period`, float32; much faster than np.mod."""
    turns = values * np.float32(1 / period)
    return (turns - np.floor(turns)) * np.float32(period)
