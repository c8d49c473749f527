"""The plan of a street: its width, its bend, its bands of surface and its crossings.

Street points are `(x, y, z)` in metres: x to the right of the middle of the road, y up, z along the road, which may
bend.
"""

from typing import NamedTuple, Tuple, Union

import numpy as np

from data_generator.street_scenes.city import City

LANE_WIDTH = 3.1
PARKING_WIDTH = 2.1
KERB_WIDTH = 0.22
CORNER_RADIUS = 4.0


class Street(NamedTuple):
    """A two-way street with right-hand traffic. Pairs are (left side, right side)."""

    lanes: int  # in each direction
    parking: Tuple[bool, bool]
    verge: Tuple[float, float]  # width of the grass between kerb and pavement, metres
    pavement: Tuple[float, float]
    garden: Tuple[float, float]  # between pavement and buildings
    junctions: Tuple[Tuple[float, float], ...]  # the stretches (z0, z1) where another street crosses
    crossings: Tuple[float, ...]  # where zebra crossings begin, z
    bend: float  # sideways amplitude, metres
    bend_length: float  # metres of road per radian of the sine
    bend_phase: float
    dashes: Tuple[float, float]  # length and period of the middle line's dashes, metres
    edge_lines: bool

    @property
    def half_width(self) -> float:
        """From the middle of the road to the kerb, without the parking lane."""
        return self.lanes * LANE_WIDTH + 0.3

    def kerb(self, side: int) -> float:
        """Returns the distance of the kerb from the middle of the road on a side (-1 left, 1 right)."""
        return self.half_width + PARKING_WIDTH * self.parking[side > 0]

    def building_line(self, side: int) -> float:
        """Returns the distance of the house fronts from the middle of the road."""
        return self.kerb(side) + self.verge[side > 0] + self.pavement[side > 0] + self.garden[side > 0]

    def offset(self, z: Union[float, np.ndarray]) -> np.ndarray:
        """Returns the world x of the middle of the road."""
        return self.bend * np.sin(z / self.bend_length + self.bend_phase)

    def direction(self, z: float) -> float:
        """Returns the heading of the road, radians."""
        return float(np.arctan(self.bend / self.bend_length * np.cos(z / self.bend_length + self.bend_phase)))

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Turns street points `[N, 3]` into world points."""
        world = points.copy()
        world[:, 0] += self.offset(points[:, 2])
        return world

    def is_clear(self, z: float, margin: float) -> bool:
        """Tells whether no junction is within `margin` metres."""
        return all(z < start - margin or z > end + margin for start, end in self.junctions)


def random_street(rng: np.random.Generator, city: City, length: float) -> Street:
    """Draws a street."""
    lanes = int(rng.choice([1, 2], p=[0.85, 0.15]))
    junctions = _random_junctions(rng, length)
    leafy = rng.random(2) < city.greenery * 0.55
    gardens = rng.random(2) < 0.2 + 0.4 * city.greenery
    return Street(
        lanes=lanes,
        parking=(bool(rng.random() < 0.4), bool(rng.random() < 0.4)),
        verge=_pair(leafy * rng.uniform(1.2, 2.6, 2)),
        pavement=_pair(rng.uniform(2.4, 4.8, 2)),
        garden=_pair(gardens * rng.uniform(1.5, 4.5, 2)),
        junctions=junctions,
        crossings=tuple(start - 4.2 for start, _ in junctions if rng.random() < 0.6),
        bend=float(rng.choice([0.0, 1.0]) * rng.uniform(-7, 7)),
        bend_length=float(rng.uniform(35, 60)),
        bend_phase=float(rng.uniform(0, 2 * np.pi)),
        dashes=(float(rng.uniform(2, 4)), float(rng.uniform(6, 9))),
        edge_lines=bool(rng.random() < 0.35),
    )


def _pair(values: np.ndarray) -> Tuple[float, float]:
    return float(values[0]), float(values[1])


def _random_junctions(rng: np.random.Generator, length: float) -> Tuple[Tuple[float, float], ...]:
    junctions = []
    z = rng.uniform(8, 60)
    while z < length:
        width = rng.uniform(7, 11)
        junctions.append((float(z), float(z + width)))
        z += width + rng.uniform(45, 110)
    return tuple(junctions)
