"""The images for calibrating and running an export: a user's, or generated ones."""

import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from fcn8s.batches import as_image_batch
from fcn8s.export.certificate import Sample
from fcn8s.export.formats import CALIBRATION_IMAGES, check_format
from fcn8s.settings import ModelSettings
from helpers.flags import checked_whole
from helpers.image_rules import ImageRules
from helpers.image_search import find_images
from helpers.images import read_image, read_labels, resize_image, resize_labels
from helpers.label_spaces import LabelSpace

# At most this many images of a folder are run.
MAX_SAMPLES = 100
# A second size for formats that take any size: not a multiple of the network's strides, in another proportion.
_SECOND_SIZE_FACTORS = (0.77, 0.63)
_GENERATED_SIZE = (96, 160)
# Of numpy.random.RandomState.
LARGEST_SEED = 2**32 - 1


class Samples:
    """The images that an export is run on, read as they are needed; may be iterated over again.

    All are resized if a size is given. If the format takes any size, the first image comes again at another size.
    """

    def __init__(
        self, pairs: Sequence[Tuple[Any, Optional[str]]], settings: ModelSettings, size: Any, takes_any_size: bool
    ) -> None:
        self._pairs, self._settings, self._size, self._takes_any_size = pairs, settings, size, takes_any_size

    def __iter__(self) -> Iterator[Sample]:
        for index, (image, labels) in enumerate(self._pairs):
            sample = self._read(image, labels)
            yield sample
            if index == 0 and self._takes_any_size:
                height, width = (
                    max(1, int(side * factor)) for side, factor in zip(sample.image.shape, _SECOND_SIZE_FACTORS)
                )
                yield Sample(resize_image(sample.image, (height, width)))

    def _read(self, image: Any, labels_path: Optional[str]) -> Sample:
        pixels = image if isinstance(image, np.ndarray) else read_image(image, rules=self._settings.image_rules)
        labels = (
            None if labels_path is None else _read_labels(labels_path, pixels.shape[:2], self._settings.label_space)
        )
        if self._size is None or pixels.shape[:2] == tuple(self._size):
            return Sample(pixels, labels)
        if labels is not None:
            labels = resize_labels(labels, self._size)
        return Sample(resize_image(pixels, self._size), labels)


def check_sources(images_dir: Optional[str], labels_dir: Optional[str], scenes: Optional[Sequence[np.ndarray]]) -> None:
    """Raises ValueError for arguments of `samples` that contradict each other."""
    if labels_dir is not None and images_dir is None:
        raise ValueError('labels came without images: give --verify DIR, the images that they belong to.')
    if images_dir is not None and scenes is not None:
        raise ValueError('scenes came beside verify, whose images are run. Leave one of the two out.')
    is_list = isinstance(scenes, (list, tuple)) or (isinstance(scenes, np.ndarray) and scenes.ndim)
    if scenes is not None and not (is_list and len(scenes)):
        raise ValueError('scenes is no list of images, or an empty one. Pass a list of uint8 [H, W, 3] images.')


def samples(
    images_dir: Optional[str],
    labels_dir: Optional[str],
    scenes: Optional[Sequence[np.ndarray]],
    settings: ModelSettings,
    size: Optional[Tuple[int, int]],
    takes_any_size: bool,
) -> Samples:
    """Returns what to run an export on: the images of a folder, with labels if given, or scenes, or generated images;
    resized if a size is given.

    `check_sources` has to come first. Raises FileNotFoundError or ValueError where there is no image, labels are
    missing, or the first labels do not fit.
    """
    if images_dir is None:
        pictures = list(scenes) if scenes is not None else generated_images()
        # A network with other channels gets red, green and blue in turn.
        channels = np.arange(settings.image_rules.channels) % 3
        pairs = [(np.ascontiguousarray(as_image_batch([picture])[0][..., channels]), None) for picture in pictures]
        found = Samples(pairs, settings, size, takes_any_size)
    else:
        paths = find_images(images_dir)[:MAX_SAMPLES]
        labels = _labels_of(paths, images_dir, labels_dir) if labels_dir is not None else {}
        found = Samples([(path, labels.get(path)) for path in paths], settings, size, takes_any_size)
    next(iter(found))
    return found


def _labels_of(image_paths: Sequence[str], images_dir: str, labels_dir: str) -> Dict[str, str]:
    """Image path -> path of its labels: at the same place below their folder, else the only file of that name."""
    by_place = {_place(path, labels_dir): path for path in find_images(labels_dir)}
    places: Dict[str, List[str]] = {}
    for place in by_place:
        places.setdefault(os.path.basename(place), []).append(place)
    found: Dict[str, str] = {}
    missing = []
    for path in image_paths:
        place = _place(path, images_dir)
        candidates = [place] if place in by_place else places.get(os.path.basename(place), [])
        if len(candidates) > 1:
            raise ValueError(
                'labels of {} may be {}. Put them at the same place below {!r} as the image below its folder.'.format(
                    path, ' or '.join(by_place[one] for one in candidates[:2]), labels_dir
                )
            )
        if candidates:
            found[path] = by_place[candidates[0]]
        else:
            missing.append(path)
    if missing:
        raise ValueError(
            '{} of {} images have no labels in {!r}, for example {}. Labels are called like their images.'.format(
                len(missing), len(image_paths), labels_dir, missing[0]
            )
        )
    return found


def _place(path: str, directory: str) -> str:
    """A path below a directory, without its ending; for a file that was named directly, its name."""
    below = os.path.relpath(path, directory) if os.path.isdir(directory) else os.path.basename(path)
    return os.path.splitext(below)[0]


def _read_labels(path: str, size: Tuple[int, ...], label_space: LabelSpace) -> np.ndarray:
    labels = read_labels(path)
    if labels.shape != tuple(size):
        raise ValueError(
            '{} is {} x {} and its image {} x {}; labels have to have the size of their image.'.format(
                path, *labels.shape[:2], *size
            )
        )
    wrong = [v for v in np.unique(labels).tolist() if v >= label_space.num_classes and v != label_space.ignore_id]
    if wrong:
        raise ValueError(
            '{} holds the IDs {}, but the network has the classes 0 to {} and ignores {}. Give labels that hold class '
            'IDs.'.format(path, wrong[:12], label_space.num_classes - 1, label_space.ignore_id)
        )
    return labels


def calibration_paths(format_name: str, precision: str, images_dir: Optional[str], count: int, seed: int) -> List[str]:
    """Returns the images to calibrate with, drawn from a folder without repetition; none unless the precision is int8.

    Raises ValueError or FileNotFoundError where int8 has no images, or another precision is given some.
    """
    check_format(format_name)
    if precision != 'int8':
        if images_dir is not None:
            raise ValueError('calibration belongs to int8, and precision is {!r}. Leave it out.'.format(precision))
        if (count, seed) != (CALIBRATION_IMAGES, 0):
            raise ValueError(
                'calibration_images is {} and seed {}; they belong to int8, and precision is {!r}. Leave them '
                'out.'.format(count, seed, precision)
            )
        return []
    if images_dir is None:
        raise ValueError(
            'int8 needs images for calibration, from which the ranges of all layers are measured: give --calibration '
            'DIR (calibration=DIR in Python), some {} images like those that the network will see.'.format(count)
        )
    checked_whole('calibration_images', count, 1, remedy='Take {}, for example.'.format(CALIBRATION_IMAGES))
    seed = checked_whole('seed', seed, 0, LARGEST_SEED)
    paths = find_images(images_dir)
    chosen = np.random.RandomState(seed).permutation(len(paths))[:count]
    return [paths[index] for index in sorted(chosen)]


def read_calibration(paths: Sequence[str], size: Optional[Tuple[int, int]], rules: ImageRules) -> Iterator[np.ndarray]:
    """Reads the images at the paths, uint8 [H, W, channels], resized if a size is given."""
    for path in paths:
        image = read_image(path, rules=rules)
        yield image if size is None else resize_image(image, size)


def generated_images(count: int = 3, seed: int = 0) -> List[np.ndarray]:
    """Draws pictures of coloured boxes on a gradient, with noise: uint8 [96, 160, 3]."""
    rng = np.random.RandomState(seed)
    height, width = _GENERATED_SIZE
    pictures = []
    for _ in range(count):
        picture = np.linspace(rng.uniform(0, 255, 3), rng.uniform(0, 255, 3), height)[:, np.newaxis].repeat(width, 1)
        for _ in range(12):
            top, left = rng.randint(height - 8), rng.randint(width - 8)
            picture[top : top + rng.randint(8, 48), left : left + rng.randint(8, 64)] = rng.uniform(0, 255, 3)
        picture += rng.normal(0, 8, picture.shape)
        pictures.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return pictures
