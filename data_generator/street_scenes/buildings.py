"""Houses: textured fronts with windows, shops, doors and balconies; gable ends; roofs with chimneys."""

from functools import lru_cache
from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.city import City, Color, hsv
from data_generator.street_scenes.painter import Painter
from data_generator.street_scenes.shadows import box_shadow
from data_generator.street_scenes.textures import noise_patch

FLOOR_HEIGHT = 3.2  # metres


class Building(NamedTuple):
    """A house along the street. Lengths in metres, `side` is -1 on the left and 1 on the right."""

    side: int
    front: float  # distance of the front from the middle of the road
    start: float  # z of the near end
    end: float
    depth: float
    floors: int
    roof: float  # height of the roof over the eaves, 0 for a flat one
    wall: Color
    roof_color: Color
    is_brick: bool
    has_shop: bool
    shutter: Optional[Color]
    balcony: bool
    bay: float  # from window to window
    window: Tuple[float, float]  # width and height
    stands_free: bool  # whether its near end has windows
    seed: int

    @property
    def order(self) -> float:
        """Things with a larger value are drawn earlier."""
        return self.end

    @property
    def height(self) -> float:
        """Of the eaves."""
        return self.floors * FLOOR_HEIGHT + 0.5

    def shadow(self, painter: Painter) -> List[np.ndarray]:
        """Returns the shadow on the ground, as polygons of camera points."""
        near, far = self.side * self.front, self.side * (self.front + self.depth)
        return box_shadow(
            painter,
            [(near, self.start), (far, self.start), (far, self.end), (near, self.end)],
            self.height + 0.5 * self.roof,
        )

    def draw(self, painter: Painter) -> None:
        """Draws the near end, the roof and the front."""
        self._draw_end(painter)
        if self.roof:
            self._draw_roof(painter)
        corners = [(self.side * self.front, self.start), (self.side * self.front, self.end)]
        self._draw_wall(painter, corners, (-self.side, 0.0, 0.0), self.end - self.start, True)

    def _draw_wall(self, painter: Painter, corners: List, normal: Tuple, width: float, is_front: bool) -> None:
        (x0, z0), (x1, z1) = corners
        edges = painter.to_camera([(x0, self.height, z0), (x0, 0, z0), (x1, self.height, z1), (x1, 0, z1)])
        if not painter.sees_quad(edges[:2], edges[2:]):
            return
        distance = max(float(np.median(edges[:, 2])), 4.0)
        resolution = _resolution(painter.camera.focal / distance)
        key = (self.seed, is_front, resolution)
        if key not in painter.cache:
            shade = painter.light.shade(normal)
            painter.cache[key] = _wall_texture(self, painter, width, resolution, shade, is_front)
        painter.textured_quad(painter.cache[key], edges[:2], edges[2:], labels.BUILDING)

    def _draw_end(self, painter: Painter) -> None:
        near, far = self.side * self.front, self.side * (self.front + self.depth)
        eaves, top, z = self.height, self.height + self.roof, self.start
        ridge = (near + far) / 2
        wall = painter.to_camera([(near, 0, z), (near, eaves, z), (ridge, top, z), (far, eaves, z), (far, 0, z)])
        color = 0.95 * painter.lit(self.wall, (0.0, 0.0, -1.0), float(wall[0, 2]))
        painter.fill_face(wall[1:4], color, labels.BUILDING)
        if self.stands_free:
            self._draw_wall(painter, [(near, self.start), (far, self.start)], (0.0, 0.0, -1.0), self.depth, False)
        else:
            painter.fill_face(wall, color, labels.BUILDING)

    def _draw_roof(self, painter: Painter) -> None:
        eaves, ridge = self.side * (self.front - 0.4), self.side * (self.front + self.depth / 2)
        top = self.height + self.roof
        slope = np.array([-self.side * self.roof, self.depth / 2, 0.0])
        normal = tuple(slope / np.hypot(self.roof, self.depth / 2))
        self._draw_chimney(painter, ridge, top)
        edges = painter.to_camera(
            [
                (ridge, top, self.start),
                (eaves, self.height - 0.2, self.start),
                (ridge, top, self.end),
                (eaves, self.height - 0.2, self.end),
            ]
        )
        if not painter.sees_quad(edges[:2], edges[2:]):
            return
        key = (self.seed, 'roof')
        if key not in painter.cache:
            painter.cache[key] = _roof_texture(self, painter.light.shade(normal))
        painter.textured_quad(painter.cache[key], edges[:2], edges[2:], labels.BUILDING)

    def _draw_chimney(self, painter: Painter, x: float, base: float) -> None:
        z = self.start + (self.seed % 7 + 1) / 9 * (self.end - self.start)
        chimney = painter.to_camera(
            [(x - 0.4, base - 1, z), (x + 0.4, base - 1, z), (x + 0.4, base + 0.9, z), (x - 0.4, base + 0.9, z)]
        )
        color = painter.lit((150, 90, 75), (0.0, 0.0, -1.0), float(chimney[0, 2]))
        painter.fill_face(chimney, color, labels.BUILDING)


def random_building(
    rng: np.random.Generator, city: City, side: int, front: float, start: float, end: float, stands_free: bool
) -> Building:
    """Draws a house in the style of a city."""
    is_brick = bool(rng.random() < city.brick_share)
    brick = hsv(rng.uniform(5, 24), rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.68))
    wall = city.wall_colors[int(rng.integers(len(city.wall_colors)))]
    flat = rng.random() < city.flat_roof_share
    return Building(
        side=side,
        front=front,
        start=start,
        end=end,
        depth=float(rng.uniform(9, 14)),
        floors=int(rng.integers(city.floors[0], city.floors[1] + 1)),
        roof=0.0 if flat else float(rng.uniform(2, 4.5)),
        wall=brick if is_brick else tuple(np.multiply(wall, rng.uniform(0.88, 1.05))),
        roof_color=city.roof_colors[int(rng.integers(len(city.roof_colors)))],
        is_brick=is_brick,
        has_shop=bool(rng.random() < city.shop_share),
        shutter=hsv(rng.uniform(0, 360), rng.uniform(0.2, 0.6), rng.uniform(0.25, 0.6))
        if rng.random() < city.shutter_share
        else None,
        balcony=bool(rng.random() < 0.25),
        bay=float(rng.uniform(2.1, 3.3)),
        window=(float(rng.uniform(0.9, 1.4)), float(rng.uniform(1.3, 2.0))),
        stands_free=stands_free,
        seed=int(rng.integers(2**31)),
    )


def _resolution(pixels_per_metre: float) -> int:
    """Texture pixels per metre: powers of two, so that a drive needs few textures for one wall."""
    return int(2 ** np.clip(np.round(np.log2(0.5 * pixels_per_metre)), 2, 6))


def _roof_texture(building: Building, shade: np.ndarray) -> np.ndarray:
    rows, columns = 24, 48
    texture = (
        np.array(building.roof_color) * shade * (0.85 + 0.3 * noise_patch(building.seed, rows, columns, 4.0))[..., None]
    )
    texture[::3] *= 0.86
    return np.clip(texture, 0, 255).astype(np.uint8)


class _Wall(NamedTuple):
    """A wall texture in the making; positions are metres from its left bottom corner."""

    pixels: np.ndarray  # float32 [h, w, 3]
    resolution: int
    height: float

    def rectangle(self, left: float, bottom: float, right: float, top: float, color: np.ndarray) -> None:
        self.pixels[self._region(left, bottom, right, top)] = color

    def shade(self, left: float, bottom: float, right: float, top: float, factor: float) -> None:
        self.pixels[self._region(left, bottom, right, top)] *= factor

    def _region(self, left: float, bottom: float, right: float, top: float) -> Tuple[slice, slice]:
        above, below = (
            int((self.height - top) * self.resolution + 0.5),
            int((self.height - bottom) * self.resolution + 0.5),
        )
        begin, end = int(left * self.resolution + 0.5), int(right * self.resolution + 0.5)
        return slice(max(above, 0), max(below, 0)), slice(max(begin, 0), max(end, 0))


class _Glazing(NamedTuple):
    """How windows look in this light."""

    frame: np.ndarray
    pane: np.ndarray
    sky: np.ndarray
    lamp: np.ndarray
    lit_share: float


def _wall_texture(
    building: Building, painter: Painter, width: float, resolution: int, shade: np.ndarray, is_front: bool
) -> np.ndarray:
    rng = np.random.default_rng([building.seed, int(is_front)])
    wall = _Wall(_bare_wall(building, width, resolution, shade), resolution, building.height)
    light = painter.light
    frame = np.array((225, 222, 215) if rng.random() < 0.7 else (95, 75, 60)) * shade
    glazing = _Glazing(
        frame,
        np.array((42, 50, 60)) * light.ambient,
        light.sky_top * 0.5 + light.sky_horizon * 0.2,
        np.array((255, 214, 140)),
        light.lamps,
    )
    bays = max(int(width / building.bay), 1) if is_front else max(int(width / building.bay / 1.6), 1)
    first_floor = 1 if building.has_shop and is_front else 0
    for floor in range(first_floor, building.floors):
        _draw_floor(rng, building, wall, floor, bays, width, glazing, shade, is_front)
    if is_front:
        _draw_ground_floor(rng, building, wall, width, glazing, shade)
    wall.shade(0, building.height - 0.35, width, building.height, 0.78)  # the eaves
    wall.shade(0, building.height - 0.12, width, building.height, 1.25)
    return np.clip(wall.pixels, 0, 255).astype(np.uint8)


def _bare_wall(building: Building, width: float, resolution: int, shade: np.ndarray) -> np.ndarray:
    rows, columns = max(int(round(building.height * resolution)), 2), max(int(round(width * resolution)), 2)
    stains = noise_patch(building.seed, rows, columns, 4.0 * resolution)
    pixels = (0.86 + 0.28 * stains).astype(np.float32)
    if building.is_brick and resolution >= 8:
        pixels *= _brick_pattern(rows, columns, resolution)
    elif resolution >= 8:
        pixels *= 0.95 + 0.1 * noise_patch(building.seed + 1, rows, columns, 3.0)
    pixels *= np.linspace(1.03, 0.9, rows, dtype=np.float32)[:, None]  # less sky is seen from below
    return cv2.merge([pixels * np.float32(channel) for channel in np.array(building.wall) * shade])


def _brick_pattern(rows: int, columns: int, resolution: int) -> np.ndarray:
    """Brightness of a brick wall with its bond; every tenth metre it repeats."""
    tile = _brick_tile(resolution)
    repeats = (rows // tile.shape[0] + 1, columns // tile.shape[1] + 1)
    return np.tile(tile, repeats)[:rows, :columns]


@lru_cache(maxsize=None)
def _brick_tile(resolution: int) -> np.ndarray:
    y, x = np.meshgrid(
        np.arange(10 * resolution) * (6.0 / resolution), np.arange(10 * resolution) * (2.2 / resolution), indexing='ij'
    )
    course = np.floor(y)
    brick = np.floor(x + 0.5 * (course % 2))
    tone = np.mod(course * 0.618 + brick * 0.414, 1)
    mortar = (np.mod(y, 1) < 0.18) * (0.14 if resolution >= 16 else 0.05)
    tile = (0.88 + 0.2 * tone + mortar).astype(np.float32)
    tile.setflags(write=False)
    return tile


def _draw_floor(
    rng: np.random.Generator,
    building: Building,
    wall: _Wall,
    floor: int,
    bays: int,
    width: float,
    glazing: _Glazing,
    shade: np.ndarray,
    is_front: bool,
) -> None:
    pitch = width / bays
    sill = floor * FLOOR_HEIGHT + 0.95
    window_width, window_height = min(building.window[0], pitch * 0.7), building.window[1]
    if is_front:
        wall.shade(0, floor * FLOOR_HEIGHT - 0.1, width, floor * FLOOR_HEIGHT + 0.08, 1.12)
        wall.shade(0, floor * FLOOR_HEIGHT - 0.2, width, floor * FLOOR_HEIGHT - 0.1, 0.8)
    for bay in range(bays):
        center = (bay + 0.5) * pitch
        if not is_front and rng.random() < 0.35:
            continue
        if building.shutter is not None and is_front:
            for edge in (center - 0.95 * window_width, center + 0.55 * window_width):
                wall.rectangle(
                    edge, sill, edge + 0.4 * window_width, sill + window_height, np.multiply(building.shutter, shade)
                )
        _draw_window(rng, wall, center - window_width / 2, sill, window_width, window_height, glazing)
        if building.balcony and is_front and floor and bay % 2 == building.seed % 2:
            _draw_balcony(wall, center, sill - 0.75, shade)


def _draw_window(
    rng: np.random.Generator, wall: _Wall, left: float, sill: float, width: float, height: float, glazing: _Glazing
) -> None:
    right, top = left + width, sill + height
    is_lit = rng.random() < glazing.lit_share
    reflection = rng.uniform(0.1, 0.6)
    pane = (
        glazing.lamp * rng.uniform(0.6, 1.0) if is_lit else (1 - reflection) * glazing.pane + reflection * glazing.sky
    )
    curtain = rng.uniform(0.2, 0.6) * height if rng.random() < 0.3 else 0.0
    if wall.resolution < 8:  # frames and sills would be thinner than a pixel
        wall.rectangle(left, sill, right, top, 0.75 * pane + 0.25 * glazing.frame)
        return
    wall.shade(left - 0.1, sill - 0.18, right + 0.1, sill, 0.7)
    wall.rectangle(left - 0.12, sill - 0.1, right + 0.12, sill, glazing.frame)
    wall.rectangle(left, sill, right, top, glazing.frame)
    middle, bar = (left + right) / 2, 0.035
    for pane_left, pane_right in ((left + 0.08, middle - bar), (middle + bar, right - 0.08)):
        wall.rectangle(pane_left, sill + 0.08, pane_right, top - 0.08, pane)
    wall.shade(left + 0.08, top - 0.25, right - 0.08, top - 0.08, 0.7)  # the lintel's shadow
    if curtain:
        wall.rectangle(left + 0.08, top - curtain, right - 0.08, top - 0.08, 0.5 * pane + 0.45 * glazing.frame)


def _draw_balcony(wall: _Wall, center: float, bottom: float, shade: np.ndarray) -> None:
    wall.shade(center - 1.1, bottom - 0.5, center + 1.1, bottom, 0.72)
    wall.rectangle(center - 1.1, bottom, center + 1.1, bottom + 0.15, np.array((190, 186, 180)) * shade)
    for rail in np.arange(center - 1.1, center + 1.1, 0.25):
        wall.rectangle(rail, bottom + 0.15, rail + 0.1, bottom + 1.0, np.array((60, 62, 66)) * shade)
    wall.rectangle(center - 1.1, bottom + 0.95, center + 1.1, bottom + 1.05, np.array((60, 62, 66)) * shade)


def _draw_ground_floor(
    rng: np.random.Generator, building: Building, wall: _Wall, width: float, glazing: _Glazing, shade: np.ndarray
) -> None:
    wall.shade(0, 0, width, 0.6, 0.72)  # the plinth
    if building.has_shop:
        _draw_shop(rng, wall, width, glazing, shade)
    door = rng.uniform(0.1, 0.8) * (width - 1.6) + 0.3
    wall.rectangle(door - 0.15, 0, door + 1.25, 2.5, glazing.frame * 0.9)
    wall.rectangle(
        door,
        0,
        door + 1.1,
        2.35,
        np.array(hsv(rng.uniform(0, 360), rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.45))) * shade,
    )
    wall.rectangle(door + 0.12, 1.5, door + 0.98, 2.25, 0.5 * glazing.pane + 0.3 * glazing.sky)


def _draw_shop(rng: np.random.Generator, wall: _Wall, width: float, glazing: _Glazing, shade: np.ndarray) -> None:
    wall.rectangle(
        0,
        0,
        width,
        FLOOR_HEIGHT - 0.1,
        np.array(hsv(rng.uniform(0, 360), rng.uniform(0, 0.2), rng.uniform(0.25, 0.7))) * shade,
    )
    sign = np.array(hsv(rng.uniform(0, 360), rng.uniform(0.4, 0.85), rng.uniform(0.35, 0.8))) * shade
    panes = max(int(width / 3.2), 1)
    pitch = width / panes
    has_awning = rng.random() < 0.4
    for pane in range(panes):
        left = pane * pitch + 0.2
        glass = (
            0.6 * glazing.pane + 0.3 * glazing.sky
            if rng.random() < 0.6
            else np.array((190, 165, 120)) * (0.3 + 0.7 * shade)
        )
        wall.rectangle(left, 0.45, left + pitch - 0.4, 2.45, glass)
        for _ in range(4):  # the goods on display
            x, size = left + rng.uniform(0.1, 0.8) * (pitch - 0.4), rng.uniform(0.2, 0.5)
            goods = np.array(hsv(rng.uniform(0, 360), 0.4, rng.uniform(0.3, 0.8))) * shade
            wall.rectangle(x, 0.5, min(x + size, left + pitch - 0.4), 0.6 + rng.uniform(0.2, 0.9), goods)
    wall.rectangle(0, 2.55, width, 3.05, sign)
    for x in np.arange(0.8, width - 1.2, 0.42):  # lettering
        if rng.random() < 0.75:
            wall.rectangle(x, 2.68, x + rng.uniform(0.12, 0.3), 2.92, np.array((240, 236, 225)) * shade)
    if has_awning:
        for stripe in np.arange(0, width, 0.5):
            wall.rectangle(stripe, 2.1, stripe + 0.25, 2.6, sign)
            wall.rectangle(stripe + 0.25, 2.1, stripe + 0.5, 2.6, np.array((235, 232, 225)) * shade)
