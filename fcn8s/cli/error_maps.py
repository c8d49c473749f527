"""`fcn8s predict --error-map LABELS`: pictures of the errors, according to the labels of the images."""

import argparse
import os
from typing import Any, Callable, Dict, List, Sequence, Tuple

from fcn8s.cli.options.flags import flag
from fcn8s.cli.options.labels import add_reading_arguments, check_typed_of_colors, read_as_trained
from fcn8s.cli.options.resolving import options_of_run

SUFFIX = '_errors.png'


def add_error_arguments(group: Any) -> None:
    """Adds the options of error maps, and how the labels that they need are read."""
    group.add_argument(
        '--error-map',
        metavar='LABELS',
        help='folder of the labels, named like their images (or one label file of one image): *_errors.png shows what '
        'is wrong, orange within classes and blue along their borders, over the image in grey',
    )
    add_reading_arguments(group)


def check_error_arguments(args: argparse.Namespace, streams: Sequence[str]) -> None:
    """Raises ValueError or FileNotFoundError where the flags cannot be followed."""
    if args.error_map is None:
        typed = _typed_readings(args)
        if typed:
            raise ValueError('{} is about labels, and came without --error-map LABELS.'.format(typed[0]))
        return
    if streams:
        raise ValueError('--error-map takes images, which have labels, and {} is none.'.format(streams[0]))
    if not os.path.exists(args.error_map):
        raise FileNotFoundError('--error-map {} does not exist. Give the folder of the labels.'.format(args.error_map))


def _typed_readings(args: argparse.Namespace) -> List[str]:
    """The typed options that say how labels are read."""
    names = ('colors', 'id_map', 'color_tolerance', 'label_transparency')
    return [flag(name) for name in names if getattr(args, name) is not None]


class ErrorMaps:
    """Finds the label of each image, reads it as training does, and draws what is wrong.

    Attributes:
        label_paths: The files of the labels.
    """

    def __init__(self, args: argparse.Namespace, jobs: Sequence[Any], label_space: Any, rules: Any) -> None:
        """Pairs all images with labels.

        Raises:
            DataError: An image has no label, or several.
            ValueError: A picture would replace an image or a label.
        """
        from fcn8s.prediction.result_files import check_replaces_none

        self._out_dir = args.out
        self._label_space = label_space
        pairs, options = _paired(args, jobs, label_space)
        self.label_paths = [pair[1] for pair in pairs]
        check_replaces_none([self._path(job.stem) for job in jobs], [path for pair in pairs for path in pair])
        from data_generator import BatchGenerator

        data = BatchGenerator(pairs=pairs, image_rules=rules, **options)
        if 'layout' not in options:
            check_typed_of_colors(args, data)
        self._labels = _labels(data)
        self._index = {job.image_path: index for index, job in enumerate(jobs)}

    def write(self, stem: str, image_path: str, image: Any, class_ids: Any) -> None:
        """Writes the picture of one image.

        Raises:
            DataError: The label has another size than the image, or IDs that are no class.
        """
        from helpers.images import write_image
        from helpers.visualization_utils import draw_errors

        labels = self._labels(self._index[image_path])
        write_image(self._path(stem), draw_errors(image, labels, class_ids, self._label_space))

    def _path(self, stem: str) -> str:
        return os.path.join(self._out_dir, stem + SUFFIX)


def _paired(
    args: argparse.Namespace, jobs: Sequence[Any], label_space: Any
) -> Tuple[List[Tuple[str, str]], Dict[str, Any]]:
    """(image, label) of each job, and how such labels are read: by the layout that has such names, if any."""
    from data_generator.errors import DataError
    from data_generator.files.discovery import LabelIndex, stem_of
    from data_generator.files.layouts import LAYOUTS

    if os.path.isfile(args.error_map):
        if len(jobs) > 1:
            raise ValueError(
                '--error-map {} is one label, for {} images. Give a folder.'.format(args.error_map, len(jobs))
            )
        return [(jobs[0].image_path, args.error_map)], read_as_trained(args, options_of_run(args.model), label_space)
    for layout in LAYOUTS.get(label_space.name, ()):
        pairs = _by_rule(args.error_map, layout.name_rule, jobs) if layout.ground_truth_suffix else []
        if pairs:
            typed = _typed_readings(args)
            if typed:
                raise ValueError(
                    '{} came, and the labels in {} are named as those of {}, of which the layout says what they hold. '
                    'Leave it out.'.format(typed[0], args.error_map, layout.name)
                )
            return pairs, {'layout': layout}
    index = LabelIndex(args.error_map)
    renaming = index.renaming([os.path.basename(job.stem) for job in jobs])
    found = []
    for job in jobs:
        folder, stem = os.path.split(job.stem)
        place = os.path.join(folder, stem if renaming is None else renaming.label_stem(stem))
        found.append((job.image_path, index.find(place, job.image_path)))
    plain = [(image, label) for image, label in found if label is not None]
    missing = [image for image, label in found if label is None]
    if missing:
        raise DataError(
            '{} of {} images have no label in {}, the first of them {}: expected {}.png. Name labels like their '
            'images.'.format(len(missing), len(jobs), args.error_map, missing[0], stem_of(missing[0]))
        )
    return plain, read_as_trained(args, options_of_run(args.model), label_space)


def _by_rule(label_dir: str, rule: Any, jobs: Sequence[Any]) -> List[Tuple[str, str]]:
    """(image, label) of each job by the names of a layout; empty unless every job has a label."""
    from data_generator.files.discovery import LabelIndex, stem_of

    index = LabelIndex(label_dir)
    pairs = []
    for job in jobs:
        stem = stem_of(job.image_path)
        place = os.path.join(os.path.dirname(job.stem), rule.label_stem(stem)) if rule.is_image(stem) else None
        label = None if place is None else index.find(place, job.image_path)
        if label is None:
            return []
        pairs.append((job.image_path, label))
    return pairs


def _labels(data: Any) -> Callable[[int], Any]:
    """Returns a function: number of a pair -> its label, class IDs [H, W]."""
    from data_generator.batches.batching import Sample

    make = data.sample_maker({})
    return lambda index: make(Sample(index, index)).label
