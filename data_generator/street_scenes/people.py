"""People on foot."""

from typing import List, NamedTuple

import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.city import Color, hsv
from data_generator.street_scenes.painter import Figure, Painter
from data_generator.street_scenes.shadows import box_shadow

STEP_SECONDS = 1.1  # two steps


class Person(NamedTuple):
    """Somebody at street point `(x, z)` at time 0 who walks along or across the street; metres and seconds."""

    x: float
    z: float
    velocity_x: float
    velocity_z: float
    height: float
    girth: float  # 1 is average
    phase: float  # of the walk at time 0, 0..1
    skin: Color
    hair: Color
    top: Color
    trousers: Color
    wears_coat: bool
    bag: int  # -1 left, 1 right, 0 none
    time: float = 0.0

    def at(self, time: float) -> 'Person':
        """Returns the same person `time` seconds later."""
        return self._replace(x=self.x + self.velocity_x * time, z=self.z + self.velocity_z * time, time=time)

    @property
    def order(self) -> float:
        """Things with a larger value are drawn earlier."""
        return self.z

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        return box_shadow(
            painter, [(self.x - 0.2, self.z), (self.x + 0.2, self.z), (self.x, self.z + 0.25)], self.height
        )

    def draw(self, painter: Painter) -> None:
        """Draws legs, body, arms and head."""
        figure = painter.figure(self.x, self.z, 0.8, 0.13 * self.height)
        if figure is None:
            return
        light = painter.light.shade((0.0, 0.35, -0.94))
        swing = np.sin(2 * np.pi * (self.phase + self.time / STEP_SECONDS))
        if not (self.velocity_x or self.velocity_z):
            swing = 0.15
        stride = 0.24 * self.height * swing * (1.0 if abs(self.velocity_x) > abs(self.velocity_z) else 0.35)
        self._draw_legs(figure, stride, light)
        self._draw_body(figure, stride, light)
        self._draw_head(figure, light)

    def _draw_legs(self, figure: Figure, stride: float, light: np.ndarray) -> None:
        tall, wide = self.height, self.height * self.girth
        color = np.multiply(self.trousers, light)
        for sign, shade in ((-1, 0.8), (1, 1.0)):
            hip, foot = (sign * 0.05 * wide, 0.5 * tall), (sign * (0.055 * wide + stride), 0.03 * tall)
            knee = ((hip[0] + foot[0]) / 2, 0.27 * tall)
            figure.limb(hip, knee, (0.12 * wide, 0.1 * wide), color * shade, labels.PERSON)
            figure.limb(knee, foot, (0.1 * wide, 0.075 * wide), color * shade, labels.PERSON)
            figure.ellipse(
                (foot[0] + 0.015 * tall * np.sign(stride), 0.025 * tall),
                (0.055 * tall, 0.028 * tall),
                np.multiply((35, 32, 30), light),
                labels.PERSON,
            )

    def _draw_body(self, figure: Figure, stride: float, light: np.ndarray) -> None:
        tall, wide = self.height, self.height * self.girth
        color = np.multiply(self.top, light)
        hem = 0.34 if self.wears_coat else 0.46
        for sign in (-1, 1):
            hand = (sign * (0.15 * wide - 0.4 * stride * sign), 0.45 * tall)
            figure.limb(
                (sign * 0.115 * wide, 0.8 * tall),
                hand,
                (0.085 * wide, 0.06 * wide),
                color * (0.78 if sign < 0 else 0.92),
                labels.PERSON,
            )
            figure.ellipse(hand, (0.03 * tall, 0.03 * tall), np.multiply(self.skin, light), labels.PERSON)
        figure.polygon(
            [
                (-0.11 * wide, hem * tall),
                (0.11 * wide, hem * tall),
                (0.12 * wide, 0.66 * tall),
                (0.135 * wide, 0.79 * tall),
                (0.06 * wide, 0.84 * tall),
                (-0.06 * wide, 0.84 * tall),
                (-0.135 * wide, 0.79 * tall),
                (-0.12 * wide, 0.66 * tall),
            ],
            color,
            labels.PERSON,
        )
        figure.polygon(
            [
                (0.04 * wide, hem * tall),
                (0.11 * wide, hem * tall),
                (0.13 * wide, 0.78 * tall),
                (0.07 * wide, 0.8 * tall),
            ],
            color * 0.82,
            None,
        )
        if self.bag:
            figure.box(
                self.bag * 0.15 * wide - 0.07 * tall,
                0.36 * tall,
                self.bag * 0.15 * wide + 0.07 * tall,
                0.52 * tall,
                np.multiply(self.hair, light) * 0.9 + 15,
                labels.PERSON,
            )

    def _draw_head(self, figure: Figure, light: np.ndarray) -> None:
        tall = self.height
        skin, hair = np.multiply(self.skin, light), np.multiply(self.hair, light)
        figure.box(-0.028 * tall, 0.81 * tall, 0.028 * tall, 0.88 * tall, skin * 0.85, labels.PERSON)
        figure.ellipse((0, 0.935 * tall), (0.052 * tall, 0.068 * tall), hair, labels.PERSON)
        if self.velocity_z <= 0:  # the face is seen unless the person walks away
            figure.ellipse(
                (0.012 * tall * np.sign(self.velocity_x), 0.92 * tall), (0.042 * tall, 0.053 * tall), skin, None
            )


def random_person(rng: np.random.Generator, x: float, z: float, velocity_x: float, velocity_z: float) -> Person:
    """Draws somebody."""
    height = float(rng.uniform(1.1, 1.4) if rng.random() < 0.1 else rng.normal(1.72, 0.09))
    skins = ((236, 196, 168), (222, 172, 138), (178, 126, 94), (120, 82, 60))
    hairs = ((40, 30, 26), (86, 58, 38), (150, 110, 66), (140, 138, 136))
    top = (
        hsv(rng.uniform(0, 360), rng.uniform(0.3, 0.9), rng.uniform(0.35, 0.95))
        if rng.random() < 0.65
        else hsv(0, 0, rng.uniform(0.1, 0.9))
    )
    trousers = hsv(rng.uniform(200, 240), rng.uniform(0.1, 0.6), rng.uniform(0.12, 0.5))
    return Person(
        x=x,
        z=z,
        velocity_x=velocity_x,
        velocity_z=velocity_z,
        height=height,
        girth=float(rng.uniform(0.95, 1.3)),
        phase=float(rng.random()),
        skin=skins[int(rng.integers(len(skins)))],
        hair=hairs[int(rng.integers(len(hairs)))],
        top=top,
        trousers=trousers,
        wears_coat=bool(rng.random() < 0.3),
        bag=int(rng.choice([0, 0, -1, 1])),
    )
