"""What stands along a street: posts with lamps, signs and lights, bins and advertising columns."""

from typing import List, NamedTuple, Tuple

import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.city import City, Color
from data_generator.street_scenes.painter import UNIT_CIRCLE, Figure, Painter
from data_generator.street_scenes.shadows import box_shadow

FACING_CAMERA = (0.0, 0.3, -0.95)
RED, BLUE, WHITE, YELLOW, BLACK = (190, 28, 36), (28, 78, 170), (235, 235, 232), (240, 196, 40), (28, 28, 30)
TRIANGLE = np.array([(0.0, 1.0), (0.87, -0.5), (-0.87, -0.5)])
SQUARE = np.array([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)])
DIAMOND = np.array([(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)])
OCTAGON = np.array([(np.cos(a), np.sin(a)) for a in np.pi / 8 + np.arange(8) * np.pi / 4])
ARROW = np.array([(-0.12, -0.55), (0.12, -0.55), (0.12, 0.1), (0.38, 0.1), (0.0, 0.6), (-0.38, 0.1), (-0.12, 0.1)])
BAR = np.array([(-0.6, -0.16), (0.6, -0.16), (0.6, 0.16), (-0.6, 0.16)])
# Each sign is painted from back to front: outline, its size, its colour.
SIGNS = (
    ((UNIT_CIRCLE, 1.0, RED), (UNIT_CIRCLE, 0.72, WHITE), (BAR, 0.7, BLACK)),
    ((UNIT_CIRCLE, 1.0, RED), (BAR, 1.0, WHITE)),
    ((UNIT_CIRCLE, 1.0, WHITE), (UNIT_CIRCLE, 0.92, BLUE), (ARROW, 1.0, WHITE)),
    ((UNIT_CIRCLE, 1.0, RED), (UNIT_CIRCLE, 0.76, BLUE)),
    ((TRIANGLE, 1.15, RED), (TRIANGLE, 0.74, WHITE), (BAR[:, ::-1], 0.5, BLACK)),
    ((-TRIANGLE, 1.15, RED), (-TRIANGLE, 0.74, WHITE)),
    ((SQUARE, 1.1, WHITE), (SQUARE, 1.0, BLUE), (ARROW, 0.9, WHITE)),
    ((DIAMOND, 1.1, WHITE), (DIAMOND, 0.85, YELLOW)),
    ((OCTAGON, 1.05, WHITE), (OCTAGON, 0.97, RED), (BAR, 1.0, WHITE)),
)
LAMPS = ((220, 40, 34), (240, 170, 40), (60, 210, 110))


class Post(NamedTuple):
    """An upright post. Lengths in metres; nothing is drawn for a part of size 0."""

    x: float
    z: float
    height: float
    width: float
    color: Color
    arm: float = 0.0  # reach of the lamp's arm, positive to the right
    sign: int = -1  # index into SIGNS, -1 for none
    sign_radius: float = 0.0
    lit_lamp: int = -1  # index into LAMPS if this carries a traffic light

    @property
    def order(self) -> float:
        """Things with a larger value are drawn earlier."""
        return self.z

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        half = self.width / 2
        return box_shadow(
            painter,
            [(self.x - half, self.z - half), (self.x + half, self.z - half), (self.x, self.z + half)],
            self.height,
        )

    def draw(self, painter: Painter) -> None:
        """Draws the post and what it carries."""
        figure = painter.figure(self.x, self.z, max(abs(self.arm) + 0.8, self.sign_radius), self.width)
        if figure is None:
            return
        light = painter.light.shade(FACING_CAMERA)
        color = np.multiply(self.color, light)
        figure.limb((0, 0), (0, self.height), (self.width, 0.75 * self.width), color * 0.8, labels.POLE)
        figure.limb(
            (-0.2 * self.width, 0),
            (-0.2 * self.width, self.height),
            (0.4 * self.width, 0.3 * self.width),
            color * 1.25,
            None,
        )
        figure.box(-0.8 * self.width, 0, 0.8 * self.width, 0.12 * min(self.height, 4), color * 0.75, labels.POLE)
        if self.arm:
            self._draw_lamp(painter, figure, color)
        if self.lit_lamp >= 0:
            self._draw_traffic_light(figure, light)
        if self.sign >= 0:
            self._draw_sign(figure, light)

    def _draw_lamp(self, painter: Painter, figure: Figure, color: np.ndarray) -> None:
        end = (self.arm, self.height + 0.45)
        figure.limb((0, self.height - 0.05), end, (0.75 * self.width, 0.6 * self.width), color, labels.POLE)
        glow = np.array((255, 236, 190)) if painter.light.lamps > 0.1 else color * 1.3
        head = (end[0] + 0.3 * np.sign(self.arm), end[1])
        figure.ellipse(head, (0.5, 0.14), color * 0.9, labels.POLE)
        figure.ellipse((head[0], head[1] - 0.06), (0.36, 0.07), glow, None)

    def _draw_traffic_light(self, figure: Figure, light: np.ndarray) -> None:
        bottom = self.height - 0.15
        figure.box(-0.34, bottom, 0.34, bottom + 1.25, np.array((205, 205, 200)) * light, labels.TRAFFIC_LIGHT)
        figure.box(-0.28, bottom + 0.05, 0.28, bottom + 1.2, np.array((30, 34, 32)) * light, labels.TRAFFIC_LIGHT)
        for index, lamp in enumerate(LAMPS):
            color = lamp if index == self.lit_lamp else np.multiply(lamp, 0.22)
            figure.ellipse((0, bottom + 1.0 - 0.37 * index), (0.15, 0.15), color, None)

    def _draw_sign(self, figure: Figure, light: np.ndarray) -> None:
        center = (0.0, self.height - 0.1)
        for outline, size, color in SIGNS[self.sign]:
            label = labels.TRAFFIC_SIGN if outline is SIGNS[self.sign][0][0] else None
            figure.polygon(outline * (size * self.sign_radius) + center, np.multiply(color, light), label)


def lamp_post(rng: np.random.Generator, city: City, x: float, z: float) -> Post:
    """Returns a street lamp whose arm reaches over the road."""
    return Post(
        x=x,
        z=z,
        height=float(rng.uniform(5, 7.5)),
        width=float(rng.uniform(0.32, 0.44)),
        color=city.pole,
        arm=float(-np.sign(x) * rng.uniform(0.9, 2.0)),
    )


def sign_post(rng: np.random.Generator, city: City, x: float, z: float) -> Post:
    """Returns a traffic sign on its post."""
    return Post(
        x=x,
        z=z,
        height=float(rng.uniform(2.3, 3.0)),
        width=0.24,
        color=city.pole,
        sign=int(rng.integers(len(SIGNS))),
        sign_radius=float(rng.uniform(0.45, 0.62)),
    )


def traffic_light(rng: np.random.Generator, city: City, x: float, z: float, lit_lamp: int) -> Post:
    """Returns a traffic light on its post."""
    return Post(x=x, z=z, height=float(rng.uniform(2.4, 3.0)), width=0.28, color=city.pole, lit_lamp=lit_lamp)


def bollard(city: City, x: float, z: float) -> Post:
    """Returns a short post that keeps cars off the pavement."""
    return Post(x=x, z=z, height=0.95, width=0.24, color=city.pole)


class Bin(NamedTuple):
    """A wheeled rubbish bin; Cityscapes calls things that are moved from day to day dynamic."""

    x: float
    z: float
    color: Color

    @property
    def order(self) -> float:
        """Things with a larger value are drawn earlier."""
        return self.z

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        return box_shadow(painter, [(self.x - 0.3, self.z), (self.x + 0.3, self.z), (self.x, self.z + 0.5)], 1.1)

    def draw(self, painter: Painter) -> None:
        """Draws the tapering body, the lid and the wheels."""
        figure = painter.figure(self.x, self.z, 0.35, 0.2)
        if figure is None:
            return
        color = np.multiply(self.color, painter.light.shade(FACING_CAMERA))
        figure.polygon([(-0.24, 0.05), (0.24, 0.05), (0.32, 1.0), (-0.32, 1.0)], color, labels.DYNAMIC)
        figure.polygon([(0.1, 0.05), (0.24, 0.05), (0.32, 1.0), (0.16, 1.0)], color * 0.8, None)
        figure.box(-0.35, 1.0, 0.35, 1.12, color * 1.15, labels.DYNAMIC)
        figure.box(-0.26, 0.0, 0.26, 0.08, (25, 25, 25), labels.DYNAMIC)


class AdvertisingColumn(NamedTuple):
    """A round column with posters; Cityscapes calls it static."""

    x: float
    z: float
    posters: Tuple[Color, ...]

    @property
    def order(self) -> float:
        """Things with a larger value are drawn earlier."""
        return self.z

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        return box_shadow(painter, UNIT_CIRCLE * 0.6 + (self.x, self.z), 3.0)

    def draw(self, painter: Painter) -> None:
        """Draws the base, a band of posters and the cap."""
        figure = painter.figure(self.x, self.z, 0.75, 0.3)
        if figure is None:
            return
        light = painter.light.shade(FACING_CAMERA)
        figure.box(-0.6, 0.0, 0.6, 3.0, np.array((150, 148, 140)) * light, labels.STATIC)
        edges = 0.6 * np.sin(np.linspace(-np.pi / 2, np.pi / 2, len(self.posters) + 1))
        for left, right, poster in zip(edges, edges[1:], self.posters):
            figure.box(left, 0.6, right, 2.6, np.multiply(poster, light) * (1 - 0.5 * abs(left + right)), None)
        figure.polygon(
            [(-0.72, 2.95), (0.72, 2.95), (0.45, 3.3), (-0.45, 3.3)], np.array((88, 98, 92)) * light, labels.STATIC
        )
