"""Fills a street with houses, gardens, parks, street furniture, cars and people."""

from typing import List, NamedTuple, Tuple

import numpy as np

from data_generator.street_scenes.buildings import random_building
from data_generator.street_scenes.city import City, Light, hsv
from data_generator.street_scenes.furniture import (
    AdvertisingColumn,
    Bin,
    bollard,
    lamp_post,
    sign_post,
    traffic_light,
)
from data_generator.street_scenes.people import random_person
from data_generator.street_scenes.street import LANE_WIDTH, PARKING_WIDTH, Street, random_street
from data_generator.street_scenes.vegetation import Species, random_bush, random_hedge, random_species, random_tree
from data_generator.street_scenes.vehicles import random_car

BEHIND = 12.0  # metres of street behind the camera
SIDES = (-1, 1)
Plants = Tuple[Species, ...]


class World(NamedTuple):
    """A street and all that is on it.

    Every item has `order`, `shadow(painter)` and `draw(painter)`; those that move have `at(time)` too.
    """

    city: City
    light: Light
    street: Street
    items: tuple
    speed: float  # of the camera, metres per second
    seed: int


def random_world(rng: np.random.Generator, city: City, light: Light, length: float, speed: float) -> World:
    """Draws a street of `length` metres ahead of z = 0 for a camera that starts there with `speed` metres per
    second.
    """
    street = random_street(rng, city, length)
    plants = random_species(rng, city, 5)
    items: List = []
    for side in SIDES:
        items += _plots(rng, city, street, plants, side, length)
        items += _furniture(rng, city, street, plants, side, length)
        items += _parked_cars(rng, city, street, side, length)
        items += _people(rng, city, street, side, length)
    items += _junction_items(rng, city, street)
    items += _traffic(rng, city, street, length, speed)
    return World(city, light, street, tuple(items), speed, int(rng.integers(2**31)))


def _plots(rng: np.random.Generator, city: City, street: Street, plants: Plants, side: int, length: float) -> List:
    """Houses and green plots from behind the camera to the end of the street, with gaps where other streets cross."""
    items: List = []
    z, gap_before = -BEHIND, True
    while z < length:
        end = z + rng.uniform(9, 20)
        crossing = next(
            (junction for junction in street.junctions if z < junction[1] + 3 and end > junction[0] - 3), None
        )
        if crossing is not None:
            end = crossing[0] - 3.5
            if end - z < 6:
                z, gap_before = crossing[1] + 3.5, True
                continue
        is_green = rng.random() < 0.08 + 0.16 * city.greenery
        if is_green:
            items += _green_plot(rng, city, street, plants, side, z, end)
        else:
            items += _house_plot(rng, city, street, plants, side, z, end, gap_before)
        gap_before = is_green
        z = end
        if not is_green and rng.random() < 0.15:
            z, gap_before = end + rng.uniform(2.5, 5), True
            items += _gap(rng, city, street, plants, side, end, z)
    return items


def _house_plot(
    rng: np.random.Generator,
    city: City,
    street: Street,
    plants: Plants,
    side: int,
    start: float,
    end: float,
    stands_free: bool,
) -> List:
    front = street.building_line(side)
    items: List = [random_building(rng, city, side, front, start, end, stands_free or bool(rng.random() < 0.3))]
    garden = street.garden[side > 0]
    if not garden:
        return items
    boundary = front - garden + 0.1
    if rng.random() < 0.4:
        hedge = random_hedge(rng, city, side, boundary, start + 0.5, end - 2)
        items.append(hedge._replace(height=float(rng.uniform(0.7, 1.1))))
    for _ in range(int(rng.integers(0, 4))):
        z = float(rng.uniform(start + 1, end - 1))
        items.append(random_bush(rng, _one(rng, plants), side * (boundary + garden * 0.6), z, end + 0.001 * z - 0.5))
    return items


def _green_plot(
    rng: np.random.Generator, city: City, street: Street, plants: Plants, side: int, start: float, end: float
) -> List:
    boundary = street.building_line(side) - street.garden[side > 0]
    items: List = []
    if rng.random() < 0.5:
        items.append(random_hedge(rng, city, side, boundary, start, end))
    for z in np.arange(start + 2, end - 1, rng.uniform(3.5, 6)):
        for row, largest in ((rng.uniform(3, 5), 9), (rng.uniform(8, 13), 13)):
            depth = float(z + rng.uniform(-1, 1))
            x, order = float(side * (boundary + row)), end + 0.01 * depth + 0.05 * row
            items.append(random_tree(rng, _one(rng, plants), x, depth, order, largest))
    return items


def _gap(
    rng: np.random.Generator, city: City, street: Street, plants: Plants, side: int, start: float, end: float
) -> List:
    front = street.building_line(side)
    tree_z = (start + end) / 2
    return [
        random_hedge(rng, city, side, front + 0.5, start, end),
        random_tree(rng, _one(rng, plants), side * (front + 5), tree_z, end + 0.01, 7.0),
    ]


def _furniture(rng: np.random.Generator, city: City, street: Street, plants: Plants, side: int, length: float) -> List:
    kerb = street.kerb(side)
    at_kerb, at_houses = side * (kerb + 0.75), side * (kerb + street.verge[side > 0] + street.pavement[side > 0] - 0.5)
    items: List = []
    items += [lamp_post(rng, city, at_kerb, z) for z in _places(rng, street, length, 18, 32)]
    items += [sign_post(rng, city, at_kerb, z) for z in _places(rng, street, length, 9, 26)]
    items += [bollard(city, at_kerb, z) for z in _places(rng, street, length, 20, 70)]
    for z in _places(rng, street, length, 14, 60):
        items.append(
            Bin(at_houses, z, hsv(rng.choice([25, 45, 120, 220]), rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.5)))
        )
    if street.pavement[side > 0] > 2.8:
        posters = tuple(hsv(rng.uniform(0, 360), rng.uniform(0.2, 0.9), rng.uniform(0.4, 0.95)) for _ in range(5))
        items += [AdvertisingColumn(side * (kerb + 1.3), z, posters) for z in _places(rng, street, length, 60, 160)]
    if rng.random() < city.greenery:
        spacing = rng.uniform(8, 14)
        items += [
            random_tree(rng, plants[0], side * (kerb + 1.0), z, z)
            for z in _places(rng, street, length, spacing * 0.8, spacing * 1.4)
        ]
    return items


def _places(rng: np.random.Generator, street: Street, length: float, shortest: float, longest: float) -> List[float]:
    """Positions along the street, apart by random distances, not within junctions."""
    places = []
    z = rng.uniform(2, longest)
    while z < length:
        if street.is_clear(z, 5.0):
            places.append(float(z))
        z += rng.uniform(shortest, longest)
    return places


def _parked_cars(rng: np.random.Generator, city: City, street: Street, side: int, length: float) -> List:
    if not street.parking[side > 0]:
        return []
    items = []
    z = -2.0 + rng.uniform(0, 6)
    while z < length:
        if street.is_clear(z, 7.0) and rng.random() < 0.3 + 0.5 * city.traffic:
            heading = 0.0 if side > 0 else np.pi
            items.append(
                random_car(rng, side * (street.half_width + PARKING_WIDTH / 2 + 0.1), float(z), heading)._replace(
                    is_braking=False
                )
            )
        z += rng.uniform(5.4, 7.5)
    return items


def _traffic(rng: np.random.Generator, city: City, street: Street, length: float, speed: float) -> List:
    """Cars ahead in our direction, oncoming ones, and some that wait in side streets."""
    items = []
    for lane in range(street.lanes):
        x = (lane + 0.5) * LANE_WIDTH
        z = rng.uniform(9, 40)
        while z < length:
            if rng.random() < city.traffic:
                items.append(
                    random_car(
                        rng, x + float(rng.normal(0, 0.15)), float(z), 0.0, speed * float(rng.uniform(0.95, 1.1))
                    )
                )
            z += rng.uniform(14, 45)
        z = rng.uniform(6, 40)
        while z < length * (1 + 0.7 * bool(speed)):
            if rng.random() < city.traffic:
                items.append(
                    random_car(
                        rng, -x + float(rng.normal(0, 0.15)), float(z), np.pi, -float(rng.uniform(0.8, 1.1)) * speed
                    )
                )
            z += rng.uniform(10, 40)
    for start, end in street.junctions:
        if rng.random() < 0.4 * city.traffic + 0.1:
            side = int(rng.choice(SIDES))
            items.append(
                random_car(
                    rng,
                    side * (street.kerb(side) + rng.uniform(4, 8)),
                    float((start + end) / 2 + side * 1.6),
                    -side * np.pi / 2,
                )
            )
    return items


def _one(rng: np.random.Generator, plants: Plants) -> Species:
    return plants[int(rng.integers(len(plants)))]


def _people(rng: np.random.Generator, city: City, street: Street, side: int, length: float) -> List:
    items = []
    inner = street.kerb(side) + street.verge[side > 0]
    z = rng.uniform(3, 9)
    while z < length:
        group = 1 + int(rng.random() < 0.3)
        stands, direction = rng.random() < 0.2, float(rng.choice([-1.0, 1.0]))
        for member in range(group):
            x = side * (inner + rng.uniform(0.4, max(street.pavement[side > 0] - 0.4, 0.5)))
            items.append(
                random_person(
                    rng,
                    float(x),
                    float(z + 0.4 * member),
                    0.0,
                    0.0 if stands else direction * float(rng.uniform(0.9, 1.5)),
                )
            )
        z += rng.uniform(2.0, 9) / max(city.crowd, 0.1)
    return items


def _junction_items(rng: np.random.Generator, city: City, street: Street) -> List:
    """Traffic lights and people who cross."""
    items: List = []
    for start, _ in street.junctions:
        if rng.random() < 0.75:
            lit_lamp = int(rng.integers(3))
            for side in SIDES:
                items.append(traffic_light(rng, city, side * (street.kerb(side) + 0.6), start - 5.0, lit_lamp))
    for start in street.crossings:
        for _ in range(int(rng.integers(0, 4))):
            side = int(rng.choice(SIDES))
            items.append(
                random_person(
                    rng,
                    float(rng.uniform(-1, 1) * street.half_width),
                    float(start + rng.uniform(0.5, 2.5)),
                    side * float(rng.uniform(0.9, 1.4)),
                    0.0,
                )
            )
    return items
