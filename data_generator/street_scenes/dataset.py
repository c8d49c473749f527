"""Writes generated street scenes in the Cityscapes layout."""

import os
import sys
import zlib
from typing import Dict, Iterable, Iterator, NamedTuple, Tuple

import numpy as np
from tqdm import tqdm

from data_generator.street_scenes.city import City, daylight, random_city
from data_generator.street_scenes.depth import stored
from data_generator.street_scenes.rendering import VIEW_DISTANCE, Scene, checked_size, draw_scene, random_lens, render
from data_generator.street_scenes.shards import run_shards
from data_generator.street_scenes.world import random_world
from helpers.aliases import PathLike
from helpers.files import atomic_directory
from helpers.flags import check_flags, checked_whole
from helpers.images import write_image, write_labels
from helpers.process.cores import num_cores
from helpers.progress import bar_options

SPLIT_CITIES = {
    'train': ('alphaville', 'brickham', 'cedarport', 'dunmore', 'elmstad', 'foxhaven'),
    'val': ('greyfriars', 'harbourton', 'ivydale'),
}
DRIVE_CITY = 'junction'
DRIVE_FRAME_RATE = 15.0  # frames per second
DRIVE_SPEED = 7.0  # metres per second
FRAME_OF_SEQUENCE = 19  # Cityscapes labels the 20th frame of each of its sequences of 30

# For fewer scenes than this a process takes longer to start than to draw them.
SCENES_WORTH_A_PROCESS = 20


def write_dataset(
    out_dir: PathLike,
    num_train: int = 300,
    num_val: int = 60,
    num_drive_frames: int = 120,
    size: Tuple[int, int] = (128, 256),
    seed: int = 0,
    progress: bool = False,
    with_depth: bool = False,
) -> None:
    """Writes a dataset of generated street scenes, atomically.

    `out_dir` gets `leftImg8bit/<split>/<city>/<city>_<number>_000019_leftImg8bit.png` with
    `gtFine/<split>/<city>/<city>_<number>_000019_gtFine_labelIds.png` for the splits train and val, which share no
    city, and `drive/leftImg8bit/` with `drive/gtFine/`, the consecutive frames of one drive through a third city.
    `with_depth` adds `depth/...<stem>_depth.png` to both: 16 bits, metres * 256, 0 in the sky.

    Args:
        out_dir: The directory to write; it must not exist, or be empty.
        num_train: Number of scenes of the train split, at least 1.
        num_val: Number of scenes of the val split, at least 1.
        num_drive_frames: Number of frames of the drive, `DRIVE_FRAME_RATE` a second; 0 for no drive.
        size: Height and width in pixels, at least 16 each.
        seed: Different seeds give different datasets; the same seed gives the same pixels.
        progress: Whether to show a progress bar.
        with_depth: Whether to write the depth of every pixel.

    Raises:
        ValueError: A number or the size is too small.
        FileExistsError: `out_dir` is a file or a directory that is not empty.
        OSError: As `helpers.files.atomic_directory`.
    """
    check_flags(with_depth=with_depth)
    plan = DatasetPlan(
        checked_whole('num_train', num_train, 1),
        checked_whole('num_val', num_val, 1),
        checked_whole('num_drive_frames', num_drive_frames, 0),
        checked_size(size),
        checked_whole('seed', seed, 0),
        with_depth,
    )
    num_shards = min(num_cores(), plan.num_scenes // SCENES_WORTH_A_PROCESS)
    with atomic_directory(out_dir) as root, tqdm(
        total=plan.num_scenes, desc='scenes', unit='image', mininterval=0.5, **bar_options(progress)
    ) as bar:
        if num_shards > 1:
            numbers = plan[:3] + plan.size + (plan.seed, int(with_depth))
            run_shards(__name__, [root] + [str(number) for number in numbers], num_shards, bar.update)
        else:
            for _ in write_shard(root, plan, 0, 1):
                bar.update()


class DatasetPlan(NamedTuple):
    """What `write_dataset` was asked for."""

    num_train: int
    num_val: int
    num_drive_frames: int
    size: Tuple[int, int]
    seed: int
    with_depth: bool = False

    @property
    def num_scenes(self) -> int:
        """How many images are drawn: of both splits, and frames of the drive."""
        return self.num_train + self.num_val + self.num_drive_frames


def write_shard(root: str, plan: DatasetPlan, shard: int, num_shards: int) -> Iterator[None]:
    """Writes every `num_shards`-th scene of a dataset, from number `shard` on; yields after each."""
    for split, count in (('train', plan.num_train), ('val', plan.num_val)):
        for index in range(shard, count, num_shards):
            _write_split_scene(root, split, index, count, plan)
            yield
    indices = range(shard, plan.num_drive_frames, num_shards)
    drive = _draw_drive(indices, plan.num_drive_frames, plan.size, plan.seed, plan.with_depth)
    for index, scene in zip(indices, drive):
        _write_scene(os.path.join(root, 'drive'), '', '{}_{:06d}_{:06d}'.format(DRIVE_CITY, 0, index), scene)
        yield


def main() -> None:
    """Writes one shard, as `run_shards` asks for it: a line of output for each scene."""
    root, num_train, num_val, num_drive_frames, height, width, seed, with_depth, shard, num_shards = sys.argv[1:]
    size = (int(height), int(width))
    plan = DatasetPlan(int(num_train), int(num_val), int(num_drive_frames), size, int(seed), with_depth == '1')
    for _ in write_shard(root, plan, int(shard), int(num_shards)):
        print('.', flush=True)


def drive_frames(num_frames: int, size: Tuple[int, int], seed: int) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Yields the consecutive frames of a drive as pairs of image and label IDs, as `make_scene` returns them."""
    for scene in _draw_drive(range(num_frames), num_frames, size, seed):
        yield scene.image, scene.label_ids


def _draw_drive(
    indices: Iterable[int], num_frames: int, size: Tuple[int, int], seed: int, with_depth: bool = False
) -> Iterator[Scene]:
    """Yields some frames of a drive. A frame depends on its index alone."""
    rng = np.random.default_rng([seed, _number(DRIVE_CITY)])
    length = VIEW_DISTANCE + DRIVE_SPEED * num_frames / DRIVE_FRAME_RATE
    world = random_world(rng, random_city(rng), daylight(rng), length, DRIVE_SPEED)
    lens = random_lens(rng)
    cache: Dict = {}
    for index in indices:
        noise_rng = np.random.default_rng([seed, _number(DRIVE_CITY), index])
        yield render(world, lens, size, index / DRIVE_FRAME_RATE, cache, noise_rng, with_depth)


def _write_split_scene(root: str, split: str, index: int, count: int, plan: DatasetPlan) -> None:
    cities = SPLIT_CITIES[split]
    name = cities[index * len(cities) // count]
    first = -(-cities.index(name) * count // len(cities))
    rng = np.random.default_rng([plan.seed, _number(split), index])
    scene = draw_scene(rng, plan.size, _city(name, plan.seed), plan.with_depth)
    _write_scene(
        root, os.path.join(split, name), '{}_{:06d}_{:06d}'.format(name, index - first, FRAME_OF_SEQUENCE), scene
    )


def _city(name: str, seed: int) -> City:
    return random_city(np.random.default_rng([seed, _number(name)]))


def _number(name: str) -> int:
    """A number for a name that, unlike `hash`, is the same in every process."""
    return zlib.crc32(name.encode())


def _write_scene(root: str, directory: str, stem: str, scene: Scene) -> None:
    write_image(os.path.join(root, 'leftImg8bit', directory, stem + '_leftImg8bit.png'), scene.image)
    write_labels(os.path.join(root, 'gtFine', directory, stem + '_gtFine_labelIds.png'), scene.label_ids)
    if scene.depth is not None:
        write_labels(os.path.join(root, 'depth', directory, stem + '_depth.png'), stored(scene.depth))
