"""Cars: a side profile pulled out to the car's width, with windows, wheels, lamps and number plates."""

from functools import lru_cache
from typing import List, NamedTuple, Tuple

import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.camera import NEAR
from data_generator.street_scenes.city import AnyColor, Color, hsv
from data_generator.street_scenes.painter import UNIT_CIRCLE, Painter, Points
from data_generator.street_scenes.shadows import box_shadow


class Body(NamedTuple):
    """A car's side profile from the foot of its tail over the roof to the foot of its nose, (along, up) in metres."""

    profile: Tuple[Tuple[float, float], ...]
    tail: int  # the strip between profile points `tail` and `tail + 1` that carries the rear lamps
    rear_window: int
    windscreen: int
    nose: int
    width: float


HATCHBACK = Body(
    (
        (0.0, 0.28),
        (0.02, 0.6),
        (0.06, 0.95),
        (0.42, 1.4),
        (0.75, 1.48),
        (1.95, 1.46),
        (2.9, 0.98),
        (3.85, 0.82),
        (4.07, 0.6),
        (4.1, 0.26),
    ),
    tail=1,
    rear_window=2,
    windscreen=5,
    nose=7,
    width=1.75,
)
SALOON = Body(
    (
        (0.0, 0.28),
        (0.02, 0.62),
        (0.06, 0.94),
        (0.7, 1.0),
        (1.3, 1.38),
        (1.7, 1.44),
        (2.55, 1.42),
        (3.4, 0.97),
        (4.3, 0.82),
        (4.57, 0.6),
        (4.6, 0.26),
    ),
    tail=1,
    rear_window=3,
    windscreen=6,
    nose=8,
    width=1.8,
)
OFF_ROADER = Body(
    (
        (0.0, 0.38),
        (0.02, 0.75),
        (0.05, 1.12),
        (0.25, 1.6),
        (0.6, 1.7),
        (2.3, 1.68),
        (3.1, 1.12),
        (4.15, 1.0),
        (4.37, 0.72),
        (4.4, 0.36),
    ),
    tail=1,
    rear_window=2,
    windscreen=5,
    nose=7,
    width=1.88,
)
VAN = Body(
    (
        (0.0, 0.32),
        (0.02, 0.7),
        (0.05, 1.15),
        (0.15, 1.85),
        (0.45, 2.0),
        (3.45, 1.96),
        (4.2, 1.2),
        (4.85, 1.0),
        (5.05, 0.65),
        (5.1, 0.3),
    ),
    tail=1,
    rear_window=2,
    windscreen=5,
    nose=7,
    width=1.95,
)
BODIES = (HATCHBACK, SALOON, OFF_ROADER, VAN)
WHEEL_RADIUS = 0.34


class Part(NamedTuple):
    """A flat piece of a car's side: corners in a table of points, and what it is made of."""

    corners: slice
    material: str


class Car(NamedTuple):
    """A car whose middle is at street point `(x, z)` at time 0 and that moves along the street; metres and seconds."""

    x: float
    z: float
    heading: float  # radians from the direction of the street
    speed: float
    body: Body
    paint: Color
    is_braking: bool

    def at(self, time: float) -> 'Car':
        """Returns the same car `time` seconds later."""
        return self._replace(z=self.z + self.speed * time)

    @property
    def order(self) -> float:
        """Things with a larger value are drawn earlier."""
        return self.z

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        length, half = self.body.profile[-1][0], self.body.width / 2
        corners = self._place(np.array([(half, 0, 0), (-half, 0, 0), (-half, 0, length), (half, 0, length)]))
        return box_shadow(painter, corners[:, ::2], 1.2) + box_shadow(painter, corners[:, ::2], 0.05)

    def draw(self, painter: Painter) -> None:
        """Draws the faces that look at the camera, the farthest first."""
        edge = _edge(self.body)
        left, right = np.split(painter.to_camera(self._place(np.concatenate([edge * (-1, 1, 1), edge]))), 2)
        if not painter.sees_any(np.concatenate([left, right])):
            return
        self._draw_underside(painter)
        for strip in sorted(range(len(edge) - 1), key=lambda i: -(left[i, 2] + right[i + 1, 2])):
            self._draw_strip(painter, strip, left, right)
        outward = right[0] - left[0]
        for side, points in ((-1, left), (1, right)):
            if side * float(np.dot(points[0], outward)) < 0:
                self._draw_side(painter, side)

    def _place(self, points: np.ndarray) -> np.ndarray:
        """Points (right of the middle, up, along from the tail) as street points."""
        along = points[:, 2] - self.body.profile[-1][0] / 2
        sine, cosine = np.sin(self.heading), np.cos(self.heading)
        placed = points.astype(np.float64)
        placed[:, 0] = self.x + points[:, 0] * cosine + along * sine
        placed[:, 2] = self.z - points[:, 0] * sine + along * cosine
        return placed

    def _lit(
        self, painter: Painter, albedo: AnyColor, local_normal: Tuple[float, float, float], distance: float
    ) -> np.ndarray:
        sine, cosine = np.sin(self.heading), np.cos(self.heading)
        right, up, along = local_normal
        return painter.lit(albedo, (right * cosine + along * sine, up, along * cosine - right * sine), distance)

    def _draw_underside(self, painter: Painter) -> None:
        """The dark space between the wheels; it belongs to the car as the eye sees it."""
        length, half = self.body.profile[-1][0], 0.44 * self.body.width
        for along in (0.5, length - 0.5):
            face = painter.to_camera(
                self._place(
                    np.array([(-half, 0.0, along), (half, 0.0, along), (half, 0.5, along), (-half, 0.5, along)])
                )
            )
            painter.fill_face(face, painter.hazed(np.array((20, 20, 22)), float(face[0, 2])), labels.CAR)

    def _draw_strip(self, painter: Painter, strip: int, left: np.ndarray, right: np.ndarray) -> None:
        face = np.array([left[strip], left[strip + 1], right[strip + 1], right[strip]])
        if not _faces_camera(face):
            return
        (along0, up0), (along1, up1) = self.body.profile[strip], self.body.profile[strip + 1]
        length = np.hypot(along1 - along0, up1 - up0)
        local_normal = (0.0, (along1 - along0) / length, (up0 - up1) / length)
        distance = max(float(face[:, 2].mean()), NEAR)
        is_bumper = strip in (0, len(self.body.profile) - 2)
        albedo = np.multiply(self.paint, 0.45) if is_bumper else self.paint
        painter.fill_face(face, self._lit(painter, albedo, local_normal, distance), labels.CAR)
        if strip in (self.body.rear_window, self.body.windscreen):
            painter.fill_face(_patch(face, 0.08, 0.92, 0.06, 0.94), self._glass(painter, 0.35, distance), None)
            painter.fill_face(_patch(face, 0.12, 0.88, 0.55, 0.9), self._glass(painter, 0.5, distance), None)
        elif strip == self.body.tail:
            self._draw_lamps(painter, face, (235, 40, 30) if self.is_braking else (165, 25, 25), distance)
        elif strip == self.body.nose:
            painter.fill_face(
                _patch(face, 0.28, 0.72, 0.25, 0.85), painter.lit((38, 38, 40), (0.0, 0.0, -1.0), distance), None
            )
            self._draw_lamps(
                painter, face, (255, 250, 225) if painter.light.lamps > 0.03 else (205, 208, 205), distance
            )

    def _draw_lamps(self, painter: Painter, face: np.ndarray, lamp: Color, distance: float) -> None:
        glow = np.array(lamp) * np.maximum(painter.light.shade((0.0, 0.5, -0.8)), 0.75)
        for begin, end in ((0.04, 0.22), (0.78, 0.96)):
            painter.fill_face(_patch(face, begin, end, 0.35, 0.95), painter.hazed(glow, distance), None)
        painter.fill_face(
            _patch(face, 0.36, 0.64, 0.05, 0.35), painter.lit((225, 225, 215), (0.0, 0.0, -1.0), distance), None
        )

    def _glass(self, painter: Painter, reflection: float, distance: float) -> np.ndarray:
        color = np.array((30, 36, 42)) * painter.light.ambient + reflection * (
            0.5 * painter.light.sky_top + 0.3 * painter.light.sky_horizon
        )
        return painter.hazed(color, distance)

    def _draw_side(self, painter: Painter, side: int) -> None:
        table, parts = _side_parts(self.body)
        points = painter.to_camera(self._place(table * (side, 1, 1)))
        distance = max(float(points[0, 2]), NEAR)
        shade = painter.light.shade(self._side_normal(side))
        colors = {
            'paint': painter.hazed(np.multiply(self.paint, shade), distance),
            'upper paint': painter.hazed(np.multiply(self.paint, shade) * 1.12, distance),
            'lower paint': painter.hazed(np.multiply(self.paint, shade) * 0.6, distance),
            'seam': painter.hazed(np.multiply(self.paint, shade) * 0.5, distance),
            'glass': self._glass(painter, 0.25, distance),
            'arch': painter.hazed(np.multiply((18, 18, 20), shade), distance),
            'tyre': painter.hazed(np.multiply((34, 34, 36), shade), distance),
            'rim': painter.hazed(np.multiply((150, 152, 156), shade), distance),
            'hub': painter.hazed(np.multiply((80, 80, 84), shade), distance),
        }
        for part in parts:
            painter.fill_face(points[part.corners], colors[part.material], labels.CAR)

    def _side_normal(self, side: int) -> Tuple[float, float, float]:
        return side * float(np.cos(self.heading)), 0.15, -side * float(np.sin(self.heading))


def random_car(rng: np.random.Generator, x: float, z: float, heading: float, speed: float = 0.0) -> Car:
    """Draws a car."""
    body = BODIES[int(rng.choice(len(BODIES), p=[0.38, 0.3, 0.2, 0.12]))]
    if rng.random() < 0.65:
        paint = hsv(
            rng.uniform(200, 240),
            rng.uniform(0, 0.1),
            rng.choice([0.12, 0.3, 0.5, 0.72, 0.92]) * rng.uniform(0.9, 1.05),
        )
    else:
        paint = hsv(
            rng.choice([0, 4, 28, 45, 150, 205, 215, 225, 350]) + rng.uniform(-5, 5),
            rng.uniform(0.4, 0.8),
            rng.uniform(0.22, 0.65),
        )
    return Car(
        x=x,
        z=z,
        heading=float(heading + rng.normal(0, 0.015)),
        speed=speed,
        body=body,
        paint=paint,
        is_braking=bool(rng.random() < 0.4),
    )


def _across(body: Body, up: np.ndarray) -> np.ndarray:
    """Half the width of a car at a height: the cabin leans inwards."""
    return body.width / 2 * (1 - 0.2 * np.clip((up - 0.95) / 0.6, 0, 1))


@lru_cache(maxsize=None)
def _edge(body: Body) -> np.ndarray:
    """The right edge of the body, points (across, up, along)."""
    outline = np.array(body.profile)
    return np.stack([_across(body, outline[:, 1]), outline[:, 1], outline[:, 0]], axis=1)


@lru_cache(maxsize=None)
def _side_parts(body: Body) -> Tuple[np.ndarray, Tuple[Part, ...]]:
    """The right side of a body, from back to front: a table of points (across, up, along) and the parts that use it."""
    length, belt = body.profile[-1][0], _belt(body)
    outlines: List[Tuple[str, Points]] = [
        ('paint', body.profile),
        ('upper paint', [(0.1, belt - 0.12), (0.1, belt), (length - 1.2, belt), (length - 1.0, belt - 0.12)]),
        ('lower paint', [(0.02, 0.28), (0.02, 0.42), (length - 0.02, 0.42), (length, 0.28)]),
    ]
    outlines += [('glass', window) for window in _side_windows(body)]
    middle = _side_windows(body)[0][2][0] + 0.05
    outlines += [
        ('seam', [(along, 0.4), (along, belt), (along + 0.035, belt), (along + 0.035, 0.4)])
        for along in (middle, middle + 1.05)
    ]
    for along in (0.8, length - 0.85):
        for material, radius in (('arch', 1.2), ('tyre', 1.0), ('rim', 0.62), ('hub', 0.25)):
            wheel = UNIT_CIRCLE * (radius * WHEEL_RADIUS) + (along, WHEEL_RADIUS)
            outlines.append((material, np.maximum(wheel, (0.0, 0.0))))
    points = np.concatenate([np.asarray(outline) for _, outline in outlines])
    ends = np.cumsum([len(outline) for _, outline in outlines])
    parts = tuple(
        Part(slice(int(end) - len(outline), int(end)), material) for (material, outline), end in zip(outlines, ends)
    )
    return np.stack([_across(body, points[:, 1]) + 0.005, points[:, 1], points[:, 0]], axis=1), parts


def _belt(body: Body) -> float:
    """The height where the side windows begin."""
    return max(body.profile[body.rear_window][1], body.profile[body.windscreen + 1][1]) + 0.04


def _side_windows(body: Body) -> List[np.ndarray]:
    rear, front = (
        np.array(body.profile[body.rear_window : body.rear_window + 2]),
        np.array(body.profile[body.windscreen : body.windscreen + 2]),
    )
    sill, top = _belt(body), min(rear[1, 1], front[0, 1]) - 0.07
    begin_low, begin_high = rear[0, 0] + 0.3, rear[1, 0] + 0.22
    end_high, end_low = front[0, 0] - 0.05, front[1, 0] - 0.28
    pillar = (begin_low + end_low) / 2
    return [
        np.array([(begin_low, sill), (begin_high, top), (pillar - 0.05, top), (pillar - 0.05, sill)]),
        np.array([(pillar + 0.05, sill), (pillar + 0.05, top), (end_high, top), (end_low, sill)]),
    ]


def _patch(face: np.ndarray, left: float, right: float, low: float, high: float) -> np.ndarray:
    """The part of a strip within shares of its width and height.

    The strip's corners are left rear, left front, right front and right rear, as the car drives.
    """
    bottom, top = sorted((face[[0, 3]], face[[1, 2]]), key=lambda edge: edge[0, 1])
    across = np.array([left, right, right, left])[:, None]
    up = np.array([low, low, high, high])[:, None]
    below, above = bottom[0] + across * (bottom[1] - bottom[0]), top[0] + across * (top[1] - top[0])
    return below + up * (above - below)


def _faces_camera(face: np.ndarray) -> bool:
    """Whether the corners of a face run clockwise as seen from the eye at the origin."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = face[:3].tolist()
    return ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx) <= 0
