"""Trees, bushes and hedges with textured crowns."""

from functools import lru_cache
from typing import List, NamedTuple, Tuple

import cv2
import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.city import City, Color, Light
from data_generator.street_scenes.painter import Painter
from data_generator.street_scenes.shadows import ball_shadow, box_shadow
from data_generator.street_scenes.textures import noise_patch


class Species(NamedTuple):
    """A kind of tree or bush: all of a kind share their leaves and the shape of their crowns."""

    foliage: Color
    is_conifer: bool
    seed: int


class Tree(NamedTuple):
    """A tree, or a bush if `trunk` is 0. Lengths in metres."""

    x: float
    z: float
    height: float
    trunk: float  # height of the lowest leaves
    radius: float
    species: Species
    order: float  # things with a larger value are drawn earlier

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        middle = (self.height + self.trunk) / 2
        stem = [(self.x - 0.15, self.z), (self.x + 0.15, self.z), (self.x, self.z + 0.2)]
        return ball_shadow(painter, self.x, self.z, middle, self.radius * 0.9) + box_shadow(painter, stem, middle)

    def draw(self, painter: Painter) -> None:
        """Draws the trunk and the crown; Cityscapes counts both as vegetation."""
        figure = painter.figure(self.x, self.z, self.radius, 0.2 * self.height)
        if figure is None:
            return
        if self.trunk:
            bark = np.array((96, 78, 62)) * painter.light.shade((0.0, 0.3, -0.95))
            width = 0.12 + 0.035 * self.height
            figure.limb((0, 0), (0, self.trunk + 0.4), (width, 0.7 * width), bark, labels.VEGETATION)
            figure.limb(
                (-0.25 * width, 0), (-0.2 * width, self.trunk + 0.4), (0.4 * width, 0.3 * width), bark * 1.2, None
            )
        box = (
            np.array([(-self.radius, self.height), (self.radius, self.trunk)]) * (figure.scale, -figure.scale)
            + figure.foot
        )
        if painter.visible_region(box) is None:
            return
        pixels, mask = self._crown(painter, figure.scale * (self.height - self.trunk))
        painter.stamp_sprite(pixels, mask, box, figure.distance, labels.VEGETATION)

    def _crown(self, painter: Painter, pixel_height: float) -> Tuple[np.ndarray, np.ndarray]:
        size = int(2 ** np.clip(np.round(np.log2(max(0.6 * pixel_height, 1))), 4, 8))
        key = (self.species.seed, size)
        if key not in painter.cache:
            painter.cache[key] = crown_sprite(self.species, painter.light, size)
        return painter.cache[key]


def crown_sprite(species: Species, light: Light, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """Returns a crown as a picture uint8 `[size, size, 3]` and its mask uint8 `[size, size]`."""
    rng = np.random.default_rng(species.seed)
    x, y = np.meshgrid(np.linspace(-1, 1, size, dtype=np.float32), np.linspace(-1, 1, size, dtype=np.float32))
    density, relief = _conifer(x, y) if species.is_conifer else _leaf_clumps(rng, x, y)
    leaves = noise_patch(species.seed, size, size, size / 10)
    twigs = noise_patch(species.seed + 1, size, size, max(size / 40, 1.5))
    margin = np.minimum(1 - np.abs(x), 1 - np.abs(y)) * 4  # lets the crown end within the sprite
    mask = np.minimum(density, margin - 0.4) + 0.55 * (leaves - 0.5) + 0.3 * (twigs - 0.5) > 0
    brightness = 0.62 + 0.75 * (leaves - 0.45) + 0.7 * (twigs - 0.5) + relief
    color = np.array(species.foliage) * (light.ambient * 0.95 + light.sun_color * 0.45)
    sunny = np.clip(brightness, 0.18, 1.5)
    yellowing = np.array([0.15, 0.0, -0.4])  # light that shines through leaves turns yellow
    channels = [sunny * np.float32(c) * (1 + np.float32(y) * (sunny - 0.6)) for c, y in zip(color, yellowing)]
    return np.clip(cv2.merge(channels), 0, 255).astype(np.uint8), mask.astype(np.uint8) * 255


def _leaf_clumps(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Signed density (positive inside) and relief light of a crown of round clumps lit from above."""
    density = np.full_like(x, -1.0)
    relief = np.full_like(x, -0.3)
    for _ in range(int(rng.integers(7, 12))):
        angle, distance = rng.uniform(0, 2 * np.pi), 0.55 * np.sqrt(rng.random())
        center_x, center_y = distance * np.cos(angle), distance * np.sin(angle)
        radius = rng.uniform(0.3, 0.5)
        dx, dy = x - np.float32(center_x), y - np.float32(center_y)
        clump = 1 - (dx * dx + dy * dy) * np.float32(1 / radius**2)
        np.copyto(relief, -0.55 * dy - 0.15 * dx, where=clump > np.maximum(density, 0))
        density = np.maximum(density, clump)
    return density, relief - 0.22 * y


def _conifer(x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    tiers = np.mod((y + 1) * 3.0, 1.0)
    half_width = (y + 1) / 2 * 0.8 + 0.16 * tiers
    return (half_width - np.abs(x)) * 1.6, 0.35 * (0.4 - tiers) - 0.2 * x


class Hedge(NamedTuple):
    """A clipped hedge along the street. Lengths in metres, `side` is -1 on the left and 1 on the right."""

    side: int
    front: float  # distance from the middle of the road
    start: float
    end: float
    height: float
    foliage: Color
    seed: int

    @property
    def order(self) -> float:
        """Things with a larger value are drawn earlier."""
        return self.end

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        near, far = self.side * self.front, self.side * (self.front + 0.8)
        return box_shadow(
            painter, [(near, self.start), (far, self.start), (far, self.end), (near, self.end)], self.height
        )

    def draw(self, painter: Painter) -> None:
        """Draws the end, the front and the top."""
        near, far = self.side * self.front, self.side * (self.front + 0.8)
        self._draw_face(
            painter,
            'end',
            [
                (near, self.height, self.start),
                (near, 0, self.start),
                (far, self.height, self.start),
                (far, 0, self.start),
            ],
            (0.0, 0.0, -1.0),
        )
        self._draw_face(
            painter,
            'top',
            [
                (far, self.height, self.start),
                (near, self.height, self.start),
                (far, self.height, self.end),
                (near, self.height, self.end),
            ],
            (0.0, 1.0, 0.0),
        )
        self._draw_face(
            painter,
            'front',
            [
                (near, self.height, self.start),
                (near, 0, self.start),
                (near, self.height, self.end),
                (near, 0, self.end),
            ],
            (-self.side, 0.0, 0.0),
        )

    def _draw_face(self, painter: Painter, name: str, corners: List, normal: Tuple[float, float, float]) -> None:
        edges = painter.to_camera(corners)
        if not painter.sees_quad(edges[:2], edges[2:]):
            return
        key = (self.seed, name)
        if key not in painter.cache:
            leaves = _hedge_leaves(self.seed % 4)[:, : 32 if name == 'end' else None]
            color = np.multiply(self.foliage, painter.light.shade(normal)).astype(np.float32)
            painter.cache[key] = np.clip(leaves[..., None] * color, 0, 255).astype(np.uint8)
        painter.textured_quad(painter.cache[key], edges[:2], edges[2:], labels.VEGETATION)


@lru_cache(maxsize=None)
def _hedge_leaves(seed: int) -> np.ndarray:
    """Brightness of clipped leaves, around 0.75."""
    return 0.5 + noise_patch(seed, 32, 192, 6.0) * noise_patch(seed + 1, 32, 192, 2.5)


def random_species(rng: np.random.Generator, city: City, count: int) -> Tuple[Species, ...]:
    """Draws the plants of a street in the style of a city; the first is never a conifer."""
    return tuple(
        Species(
            foliage=_foliage(rng, city), is_conifer=bool(index and rng.random() < 0.2), seed=int(rng.integers(2**31))
        )
        for index in range(count)
    )


def random_tree(
    rng: np.random.Generator, species: Species, x: float, z: float, order: float, largest: float = 9.0
) -> Tree:
    """Draws a tree, at most `largest` metres high."""
    height = float(rng.uniform(0.5, 1.0) * largest)
    trunk = 0.08 * height if species.is_conifer else rng.uniform(0.25, 0.38) * height
    return Tree(
        x=x,
        z=z,
        height=height,
        trunk=float(trunk),
        radius=float(height * rng.uniform(0.26, 0.4)),
        species=species,
        order=order,
    )


def random_bush(rng: np.random.Generator, species: Species, x: float, z: float, order: float) -> Tree:
    """Draws a bush."""
    height = float(rng.uniform(0.8, 1.8))
    return Tree(
        x=x, z=z, height=height, trunk=0.0, radius=float(height * rng.uniform(0.5, 0.8)), species=species, order=order
    )


def random_hedge(rng: np.random.Generator, city: City, side: int, front: float, start: float, end: float) -> Hedge:
    """Draws a hedge in the style of a city."""
    return Hedge(
        side=side,
        front=front,
        start=start,
        end=end,
        height=float(rng.uniform(0.9, 1.8)),
        foliage=_foliage(rng, city),
        seed=int(rng.integers(2**31)),
    )


def _foliage(rng: np.random.Generator, city: City) -> Color:
    base = city.foliage_colors[int(rng.integers(len(city.foliage_colors)))]
    return tuple(np.multiply(base, rng.uniform(0.85, 1.15)))
