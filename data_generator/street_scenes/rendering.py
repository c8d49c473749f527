"""Renders pictures of a world: painted at twice the size, then with the effects of lens and sensor."""

from typing import Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.camera import NEAR, Camera
from data_generator.street_scenes.city import City, random_city, random_light
from data_generator.street_scenes.depth import metres
from data_generator.street_scenes.ground import draw_ground
from data_generator.street_scenes.painter import Painter
from data_generator.street_scenes.sky import draw_backdrop, draw_sky
from data_generator.street_scenes.street import LANE_WIDTH
from data_generator.street_scenes.world import World, random_world
from helpers.flags import checked_pair
from helpers.process.memory import shortage

SUPERSAMPLING = 2
VIEW_DISTANCE = 140.0  # metres
SHADOW_DISTANCE = 70.0
SMALLEST_SIDE = 16  # pixels
# At the least: the picture at twice the size, then in floating point with its noise.
_BYTES_A_PIXEL = 48
# Bytes below which no memory is looked for.
_LARGE = 2**28


class Lens(NamedTuple):
    """How the camera is aimed, and the effects of its lens and sensor."""

    lane_offset: float  # metres from the middle of the lane
    yaw: float  # radians from the direction of the street
    pitch: float  # shift of the horizon, in image heights
    exposure: float
    contrast: float
    color_cast: np.ndarray  # [3]
    blur: float  # standard deviation at a height of 128 pixels; it grows with the square root of the height
    noise: float  # standard deviation, 0..255
    vignette: float


class Scene(NamedTuple):
    """A picture with the label ID and the depth of every pixel.

    image: uint8 `[height, width, 3]`, RGB. label_ids: Cityscapes label IDs, uint8 `[height, width]`. depth: metres
    along the view, float32 `[height, width]`, infinite in the sky; None if it was not asked for.
    """

    image: np.ndarray
    label_ids: np.ndarray
    depth: Optional[np.ndarray]


def make_scene(
    rng: np.random.Generator, size: Tuple[int, int] = (128, 256), city: Optional[City] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """Draws a random street scene.

    Args:
        rng: decides everything about the scene; the same state gives the same scene.
        size: height and width of the picture in pixels, each at least 16. Larger pictures show more detail.
        city: the city whose style the scene has; by default the scene has one of its own.

    Returns:
        The picture, uint8 `[height, width, 3]`, RGB, and its Cityscapes label IDs, uint8 `[height, width]`.

    Raises:
        ValueError: if the size is too small.
    """
    return draw_scene(rng, size, city)[:2]


def draw_scene(
    rng: np.random.Generator, size: Tuple[int, int], city: Optional[City] = None, with_depth: bool = False
) -> Scene:
    """Draws a random street scene as `make_scene` does, and its depth if that is asked for."""
    size = checked_size(size)
    city = random_city(rng) if city is None else city
    world = random_world(rng, city, random_light(rng), VIEW_DISTANCE, 0.0)
    return render(world, random_lens(rng), size, 0.0, {}, rng, with_depth)


def checked_size(size: Tuple[int, int]) -> Tuple[int, int]:
    """Returns the size as integers; refuses sizes too small to show a street, or too large for the memory."""
    height, width = checked_pair('size', size, low=SMALLEST_SIDE, remedy='Try (128, 256).')
    needed = height * width * _BYTES_A_PIXEL
    lacking = shortage(needed) if needed > _LARGE else None
    if lacking is not None:
        raise ValueError(
            'size is {} x {}: drawing a scene of that size takes {} of memory, and {} are free. Give a smaller '
            'size.'.format(height, width, *lacking)
        )
    return height, width


def random_lens(rng: np.random.Generator) -> Lens:
    """Draws the aim and the faults of a camera."""
    return Lens(
        lane_offset=float(rng.normal(0, 0.3)),
        yaw=float(rng.normal(0, 0.05)),
        pitch=float(rng.normal(0, 0.012)),
        exposure=float(rng.uniform(0.85, 1.12)),
        contrast=float(rng.uniform(0.85, 1.15)),
        color_cast=rng.normal(1, 0.025, 3),
        blur=float(rng.uniform(0.0, 0.5)),
        noise=float(rng.uniform(1.0, 5.0)),
        vignette=float(rng.uniform(0.0, 0.3)),
    )


def render(
    world: World,
    lens: Lens,
    size: Tuple[int, int],
    time: float,
    cache: Dict,
    noise_rng: np.random.Generator,
    with_depth: bool = False,
) -> Scene:
    """Takes a picture of a world.

    Args:
        world: the street.
        lens: the camera.
        size: height and width in pixels.
        time: seconds since the camera was at z = 0.
        cache: keeps textures between pictures of one world at one size; an empty dict at first.
        noise_rng: draws the noise of the sensor.
        with_depth: whether to draw the depth too.
    """
    camera = _place_camera(world, lens, size, time)
    painter = Painter(camera, world.street, world.city, world.light, cache, with_depth)
    items = _visible_items(world, camera.z, time)
    draw_sky(painter, world.seed)
    draw_ground(
        painter,
        [shadow for item in items if item.order < camera.z + SHADOW_DISTANCE for shadow in item.shadow(painter)],
    )
    draw_backdrop(painter, world.seed)
    for item in items:
        item.draw(painter)
    if world.city.bonnet is not None:
        _draw_bonnet(painter)
    picture = cv2.resize(painter.image, size[::-1], interpolation=cv2.INTER_AREA)
    middle = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
    label_ids = painter.label_ids[middle, middle].copy()
    _mark_border(label_ids)
    depth = None if painter.depth is None else metres(painter.depth.nearness[middle, middle])
    return Scene(_expose(picture, lens, noise_rng), label_ids, depth)


def _place_camera(world: World, lens: Lens, size: Tuple[int, int], time: float) -> Camera:
    height, width = SUPERSAMPLING * size[0], SUPERSAMPLING * size[1]
    z = world.speed * time
    x = 0.5 * LANE_WIDTH + lens.lane_offset
    return Camera(
        height=height,
        width=width,
        focal=world.city.focal * max(width, 2 * height),
        horizon=(world.city.horizon + lens.pitch) * height,
        eye=world.city.eye,
        x=x + float(world.street.offset(z)),
        z=z,
        heading=world.street.direction(z) + lens.yaw,
    )


def _visible_items(world: World, camera_z: float, time: float) -> List:
    moved = [item.at(time) if hasattr(item, 'at') else item for item in world.items]
    visible = [item for item in moved if camera_z - 4 < item.order < camera_z + VIEW_DISTANCE]
    return sorted(visible, key=lambda item: -item.order)


def _draw_bonnet(painter: Painter) -> None:
    """The camera's own car at the bottom of the picture."""
    height, width = painter.camera.height, painter.camera.width
    across = np.linspace(-1, 1, 25)
    edge = height * (0.93 + 0.05 * across**2 + 0.1 * np.abs(across) ** 8)
    columns = width * (0.5 + 0.5 * across)
    color = np.array(painter.city.bonnet) * painter.light.shade((0.0, 1.0, 0.0)) * 0.8
    for depth, factor, label in ((0.0, 1.15, labels.EGO_VEHICLE), (0.012, 0.8, None), (0.035, 1.0, None)):
        outline = np.concatenate(
            [np.stack([columns, edge + depth * height], axis=1), [(width, height + 2), (0, height + 2)]]
        )
        painter.fill(outline, color * factor, label, NEAR)


def _mark_border(label_ids: np.ndarray) -> None:
    """The frame that Cityscapes leaves out of its region of interest."""
    margin = max(round(label_ids.shape[0] * 0.008), 1)
    label_ids[-margin:] = labels.OUT_OF_ROI
    label_ids[:, :margin] = labels.OUT_OF_ROI
    label_ids[:, -margin:] = labels.OUT_OF_ROI


def _expose(picture: np.ndarray, lens: Lens, rng: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    blur = lens.blur * np.sqrt(height / 128)
    if blur > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    falloff = 1 - lens.vignette * (x**2 + y**2) / 2
    gain = (lens.exposure * lens.contrast * lens.color_cast).astype(np.float32)
    exposed = picture * (falloff[..., None] * gain) + np.float32(110 * (1 - lens.contrast))
    exposed += np.float32(lens.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(exposed, 0, 255).astype(np.uint8)
