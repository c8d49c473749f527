"""The sky and, before it, the hazy outline of the rest of the city."""

import numpy as np

from data_generator.street_scenes import labels
from data_generator.street_scenes.ground import FAR
from data_generator.street_scenes.painter import Painter
from data_generator.street_scenes.textures import noise_tile, sample_tile

CLOUD_HEIGHT = 60.0  # pixels of the noise tile between the eye and the cloud layer


def draw_sky(painter: Painter, seed: int) -> None:
    """Fills the canvas above the ground with sky. `seed` picks the clouds."""
    camera, light = painter.camera, painter.light
    rows = min(int(camera.horizon) + 8, camera.height)
    elevation = (camera.horizon - np.arange(rows, dtype=np.float32)[:, None]) / camera.focal
    height = np.clip(elevation / 0.5, 0, 1)[..., None] ** 0.7
    color = light.sky_horizon + height * (light.sky_top - light.sky_horizon)
    color = np.broadcast_to(color, (rows, camera.width, 3)).astype(np.float32)
    if light.clouds > 0.05:
        color = _add_clouds(painter, color, elevation, seed)
    painter.image[:rows] = np.clip(color, 0, 255).astype(np.uint8)
    painter.label_ids[:rows] = labels.SKY


def _add_clouds(painter: Painter, color: np.ndarray, elevation: np.ndarray, seed: int) -> np.ndarray:
    camera, light = painter.camera, painter.light
    reach = CLOUD_HEIGHT / np.maximum(elevation, 0.03)
    slope = (np.arange(camera.width, dtype=np.float32)[None] + 0.5 - camera.width / 2) / camera.focal + np.float32(
        camera.heading
    )
    density = sample_tile(
        noise_tile(3 + seed % 3), reach * slope + seed % 251, np.broadcast_to(reach + seed % 241, color.shape[:2])
    )
    threshold = 0.75 - 0.5 * light.clouds
    cover = np.clip((density - threshold) / 0.22, 0, 1) * np.clip(elevation / 0.08, 0, 1)
    underside = 1 - 0.3 * np.clip((density - threshold - 0.1) / 0.3, 0, 1)
    white = (0.35 * light.sky_horizon + 0.65 * np.minimum(255, light.sky_horizon.mean() * 1.1)).astype(np.float32)
    return color + (0.85 * cover)[..., None] * (underside[..., None] * white - color)


def draw_backdrop(painter: Painter, seed: int) -> None:
    """Draws the far houses and trees that close the view; only the camera's heading moves them."""
    rng = np.random.default_rng([seed, 1])
    camera = painter.camera
    foot = camera.horizon + camera.focal * camera.eye / FAR
    width = 0.035
    for bearing in np.arange(-1.2, 1.2, width):
        is_tree, height, tone = (
            rng.random() < 0.2 + 0.5 * painter.city.greenery,
            rng.uniform(0.02, 0.075),
            rng.uniform(0.75, 1.05),
        )
        palette = painter.city.foliage_colors if is_tree else painter.city.wall_colors
        albedo = np.array(palette[int(rng.integers(len(palette)))]) * tone
        angle = bearing - camera.heading
        if abs(angle) < 0.8:
            center = camera.width / 2 + camera.focal * np.tan(angle)
            box = (
                center - 0.5 * width * camera.focal,
                foot - height * camera.focal,
                center + 0.9 * width * camera.focal,
                foot,
            )
            _draw_far_tree(painter, box, albedo) if is_tree else _draw_far_house(painter, box, albedo)


def _draw_far_house(painter: Painter, box: tuple, albedo: np.ndarray) -> None:
    left, top, right, bottom = box
    color = painter.lit(albedo, (0.0, 0.3, -0.95), FAR)
    painter.fill(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), color, labels.BUILDING, FAR)
    for row in np.arange(0.15, 0.85, 0.22):
        y = top + row * (bottom - top)
        line = np.array([(left, y), (right, y), (right, y + 0.08 * (bottom - top)), (left, y + 0.08 * (bottom - top))])
        painter.fill(line, color * 0.88, None)


def _draw_far_tree(painter: Painter, box: tuple, albedo: np.ndarray) -> None:
    left, top, right, bottom = box
    color = painter.lit(albedo, (0.0, 0.6, -0.8), FAR)
    center, radius = (left + right) / 2, 0.7 * (right - left)
    angles = np.linspace(0, np.pi, 9)
    outline = np.stack([center + radius * np.cos(angles), bottom - (bottom - top) * np.sin(angles) ** 0.6], axis=1)
    painter.fill(outline, color, labels.VEGETATION, FAR)
