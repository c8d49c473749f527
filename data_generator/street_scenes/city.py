"""The look of a city and of an hour: palettes, styles of building, the camera car, light and weather."""

import colorsys
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np

Color = Tuple[float, float, float]
AnyColor = Union[Color, np.ndarray]
Range = Tuple[float, float]


class City(NamedTuple):
    """The traits that all scenes of one city share. Colours are RGB in 0..255 under neutral light."""

    wall_colors: Tuple[Color, ...]
    roof_colors: Tuple[Color, ...]
    foliage_colors: Tuple[Color, ...]
    asphalt: Color
    pavement: Color
    slab: float  # edge of a pavement slab, metres
    grass: Color
    marking: Color
    pole: Color
    brick_share: float
    shutter_share: float
    shop_share: float
    flat_roof_share: float
    floors: Tuple[int, int]
    greenery: float  # 0..1
    crowd: float  # 0..1
    traffic: float  # 0..1
    focal: float  # in image widths
    eye: float  # metres
    horizon: float  # in image heights
    bonnet: Optional[Color]  # of the camera car; None if the camera does not see it


class Light(NamedTuple):
    """Sun, sky and air of one scene. Light colours are factors on surface colours."""

    sun: np.ndarray  # unit vector towards the sun, (x, y, z)
    sun_color: np.ndarray
    ambient: np.ndarray
    shadow: float  # how much of the light a cast shadow takes away, 0..1
    sky_top: np.ndarray
    sky_horizon: np.ndarray
    clouds: float  # share of the sky, 0..1
    haze_distance: float  # metres after which 63 % of the contrast is gone
    lamps: float  # share of windows and lamps that are lit, 0..1

    def shade(self, normal: Tuple[float, float, float]) -> np.ndarray:
        """Returns the RGB factor of the light on a surface with this unit normal (Lambert)."""
        incidence = max(0.0, float(np.dot(self.sun, normal)))
        skylight = 0.8 + 0.2 * normal[1]
        return self.ambient * skylight + self.sun_color * incidence


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Returns an RGB colour in 0..255 from hue in degrees and saturation and value in 0..1."""
    red, green, blue = colorsys.hsv_to_rgb((hue % 360) / 360, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return 255 * red, 255 * green, 255 * blue


def random_city(rng: np.random.Generator) -> City:
    """Draws a city."""
    lowest = int(rng.integers(2, 4))
    return City(
        wall_colors=_wall_colors(rng),
        roof_colors=tuple(_roof_color(rng) for _ in range(4)),
        foliage_colors=_foliage_colors(rng),
        asphalt=hsv(rng.uniform(200, 260), rng.uniform(0, 0.08), rng.uniform(0.3, 0.46)),
        pavement=hsv(rng.uniform(10, 45), rng.uniform(0.02, 0.2), rng.uniform(0.52, 0.72)),
        slab=float(rng.uniform(0.5, 1.2)),
        grass=hsv(rng.uniform(65, 100), rng.uniform(0.4, 0.6), rng.uniform(0.36, 0.55)),
        marking=hsv(50, rng.choice([0.05, 0.05, 0.55]), 0.92),
        pole=hsv(rng.uniform(80, 240), rng.uniform(0, 0.25), rng.uniform(0.2, 0.6)),
        brick_share=float(rng.uniform(0, 0.6)),
        shutter_share=float(rng.choice([0.0, 0.15, 0.5])),
        shop_share=float(rng.uniform(0.1, 0.6)),
        flat_roof_share=float(rng.uniform(0.1, 0.6)),
        floors=(lowest, lowest + int(rng.integers(1, 4))),
        greenery=float(rng.uniform(0.35, 0.9)),
        crowd=float(rng.uniform(0.5, 1.0)),
        traffic=float(rng.uniform(0.45, 0.9)),
        focal=float(rng.uniform(1.0, 1.2)),
        eye=float(rng.uniform(1.4, 1.9)),
        horizon=float(rng.uniform(0.43, 0.5)),
        bonnet=hsv(rng.uniform(0, 360), rng.uniform(0, 0.5), rng.uniform(0.1, 0.7)) if rng.random() < 0.5 else None,
    )


def _wall_colors(rng: np.random.Generator) -> Tuple[Color, ...]:
    main_hue = rng.uniform(15, 50)
    plaster = [hsv(rng.normal(main_hue, 10), rng.uniform(0.06, 0.38), rng.uniform(0.6, 0.95)) for _ in range(5)]
    accents = [hsv(rng.uniform(0, 360), rng.uniform(0.1, 0.35), rng.uniform(0.5, 0.85)) for _ in range(2)]
    greys = [hsv(rng.uniform(20, 240), rng.uniform(0, 0.06), rng.uniform(0.45, 0.9)) for _ in range(2)]
    return tuple(plaster + accents + greys)


def _roof_color(rng: np.random.Generator) -> Color:
    if rng.random() < 0.6:
        return hsv(rng.uniform(5, 25), rng.uniform(0.4, 0.65), rng.uniform(0.35, 0.6))
    return hsv(rng.uniform(200, 250), rng.uniform(0.03, 0.15), rng.uniform(0.25, 0.45))


def _foliage_colors(rng: np.random.Generator) -> Tuple[Color, ...]:
    main_hue = rng.uniform(80, 125)
    greens = [hsv(rng.normal(main_hue, 9), rng.uniform(0.4, 0.7), rng.uniform(0.32, 0.55)) for _ in range(5)]
    if rng.random() < 0.3:
        greens.append(hsv(rng.uniform(30, 60), rng.uniform(0.6, 0.8), rng.uniform(0.5, 0.7)))  # autumn has begun
    return tuple(greens)


def random_light(rng: np.random.Generator) -> Light:
    """Draws an hour and its weather: clear or hazy days, low sun, overcast skies and dusk."""
    hours = (daylight, _low_sun, _overcast, _dusk)
    return hours[int(rng.choice(len(hours), p=[0.42, 0.2, 0.28, 0.1]))](rng)


def daylight(rng: np.random.Generator) -> Light:
    """Draws a bright day."""
    sun_color, ambient = np.array([0.72, 0.67, 0.58]), np.array([0.66, 0.68, 0.73])
    return Light(
        _sun(rng, 32, 62),
        sun_color,
        ambient,
        shadow=rng.uniform(0.35, 0.55),
        sky_top=_blue(rng),
        sky_horizon=_random_color(rng, (195, 215), (0.05, 0.2), (0.88, 0.97)),
        clouds=rng.uniform(0, 0.7),
        haze_distance=rng.uniform(250, 700),
        lamps=0.0,
    )


def _low_sun(rng: np.random.Generator) -> Light:
    sun_color, ambient = np.array([0.9, 0.68, 0.42]), np.array([0.58, 0.57, 0.63])
    return Light(
        _sun(rng, 18, 30),
        sun_color,
        ambient,
        shadow=rng.uniform(0.35, 0.5),
        sky_top=0.9 * _blue(rng),
        sky_horizon=_random_color(rng, (25, 45), (0.15, 0.4), (0.97, 0.97)),
        clouds=rng.uniform(0, 0.6),
        haze_distance=rng.uniform(120, 400),
        lamps=0.03,
    )


def _overcast(rng: np.random.Generator) -> Light:
    sun_color, ambient = np.array([0.12, 0.12, 0.12]), np.array([0.9, 0.92, 0.96]) * rng.uniform(0.8, 1.05)
    grey = _random_color(rng, (200, 230), (0.02, 0.08), (0.65, 0.93))
    return Light(
        _sun(rng, 32, 62),
        sun_color,
        ambient,
        shadow=0.08,
        sky_top=0.9 * grey,
        sky_horizon=grey,
        clouds=rng.uniform(0.6, 1.0),
        haze_distance=rng.uniform(80, 350),
        lamps=0.06,
    )


def _dusk(rng: np.random.Generator) -> Light:
    sun_color, ambient = np.array([0.1, 0.08, 0.08]), np.array([0.52, 0.52, 0.62])
    return Light(
        _sun(rng, 32, 62),
        sun_color,
        ambient,
        shadow=0.05,
        sky_top=0.5 * _blue(rng),
        sky_horizon=_random_color(rng, (10, 35), (0.25, 0.5), (0.7, 0.85)),
        clouds=rng.uniform(0.1, 0.6),
        haze_distance=rng.uniform(120, 300),
        lamps=0.45,
    )


def _sun(rng: np.random.Generator, lowest: float, highest: float) -> np.ndarray:
    """A unit vector towards a sun that stands `lowest` to `highest` degrees high, anywhere around."""
    elevation, azimuth = np.radians(rng.uniform(lowest, highest)), rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])


def _blue(rng: np.random.Generator) -> np.ndarray:
    return _random_color(rng, (205, 222), (0.4, 0.65), (0.65, 0.9))


def _random_color(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> np.ndarray:
    return np.array(hsv(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)))
