"""Making samples: a pair of files is read, checked, converted to class IDs and transformed."""

import contextlib
import os
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from data_generator.arguments import check_names
from data_generator.batches.batching import Made, Sample, sample_rng
from data_generator.files.cache import PairCache
from data_generator.files.discovery import Pair
from data_generator.files.palettes import PaletteRule
from data_generator.files.reading import EXACT_COLORS, ColorRule, LabelReader, LegalIds, naming_the_file, read_pair
from data_generator.transforms.augmentations import AUGMENTATIONS
from data_generator.transforms.options import TRANSFORM_NAMES
from data_generator.transforms.pipeline import Pipeline, build_pipeline
from data_generator.transforms.values import IMAGENET_MEAN, is_off
from helpers.aliases import Color, PathLike
from helpers.counted import counted
from helpers.flags import checked_whole
from helpers.ground_truth import convert_to_one_hot as ids_to_one_hot
from helpers.image_rules import RGB_RULES, ImageRules
from helpers.images import read_image
from helpers.label_spaces import LabelSpace
from helpers.user_warnings import warn_user

#: The number of images, at equal distances, from which the mean colour of a dataset is estimated.
NUM_IMAGES_FOR_MEAN = 16


class Dataset(NamedTuple):
    """The properties of a dataset that are needed to make and write samples.

    Attributes:
        pairs: The files.
        root_dir: The directory below which all of them lie.
        image_dirs: The directories that were searched for images.
        num_classes: None if labels are not checked.
        ignore_id: The ID of pixels that never count.
        id_map, color_map: From what the label files hold to class IDs; None if they hold class IDs.
        was_converted: Whether `process_all` wrote the labels, from originals that held no class IDs.
        color_rule: Which colours are accepted besides those of `color_map`.
        space: The label space, if its colours are those of the dataset.
        image_rules: How images that are not 8-bit RGB are read.
        palette_labels: The label files whose palettes decide how labels are read: for a part of a dataset, those of the
            whole dataset. None for the labels of `pairs`.
        color_table: From colours to class IDs, if a table gives the colours.
    """

    pairs: Sequence[Pair]
    root_dir: str
    image_dirs: Sequence[str]
    num_classes: Optional[int]
    ignore_id: int
    id_map: Any
    color_map: Any
    was_converted: bool
    color_rule: ColorRule = EXACT_COLORS
    space: Optional[LabelSpace] = None
    image_rules: ImageRules = RGB_RULES
    palette_labels: Optional[Sequence[str]] = None
    color_table: Optional[Mapping[Color, int]] = None

    @property
    def has_labels(self) -> bool:
        """Whether the dataset has labels: all its images, or none."""
        return self.pairs[0].label is not None


class SampleMaker:
    """Makes one sample: reads its pair, or finds it in the cache, and transforms it."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        pipeline: Pipeline,
        labels: LabelReader,
        one_hot_classes: Optional[int],
        ignore_id: int,
        cache: Optional[PairCache],
        seed: int,
        image_rules: ImageRules = RGB_RULES,
    ) -> None:
        self.pairs = pairs
        self.pipeline = pipeline
        self._labels = labels
        self._one_hot_classes = one_hot_classes
        self._ignore_id = ignore_id
        self._cache = cache
        self.seed = seed
        self._image_rules = image_rules

    def __call__(self, sample: Sample) -> Made:
        pair = self.pairs[sample.pair_index]
        with naming_the_file(pair):
            image, label = self._cache.get(pair, lambda: self._prepare(pair)) if self._cache else self._prepare(pair)
            image, label = self.pipeline.augment(image, label, sample_rng(self.seed, sample))
            if label is not None and self._one_hot_classes is not None:
                label = ids_to_one_hot(label, self._one_hot_classes, self._ignore_id)
            return Made(image, label, pair.image)

    def _prepare(self, pair: Pair) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        in_windows = self._cache is None and self.pipeline.crops_first
        return self.pipeline.prepare(*read_pair(pair, self._labels, self._image_rules, in_windows))


def build_sample_maker(
    dataset: Dataset,
    transforms: Mapping[str, Any],
    mean_color: Callable[[], Tuple[float, ...]],
    convert_to_one_hot: bool = False,
    cache_dir: Optional[PathLike] = None,
    seed: int = 0,
) -> SampleMaker:
    """Returns a function that reads and transforms one pair.

    Args:
        transforms: Those of `BatchGenerator.generate`, by name.
        mean_color: Called only if something is padded and `transforms` has no `pad_value`.
        convert_to_one_hot: Whether labels become one-hot vectors.
        cache_dir: Where prepared pairs are kept; None for no cache.
        seed: Seed of everything random.

    Raises:
        ValueError: A transform is unknown or wrong, or two cannot be combined.
    """
    seed = checked_whole('seed', seed, 0)
    check_names(transforms, TRANSFORM_NAMES, 'a list of transforms')
    colors, id_map = _conversions(dataset, transforms)
    num_classes, ignore_id = dataset.num_classes, dataset.ignore_id
    options = dict(transforms, ignore_id=ignore_id, num_classes=num_classes, has_labels=dataset.has_labels)
    if dataset.has_labels:
        options.update(convert_colors_to_ids=colors, convert_ids_to_ids=id_map)
    _check_channels(options, dataset.image_rules.channels)
    build_pipeline(**options)  # raises for wrong options before images are read for their mean
    legal_ids = LegalIds(num_classes, ignore_id, id_map, colors)
    options['convert_ids_to_ids'] = legal_ids.complete_map if dataset.has_labels else None
    pipeline = build_pipeline(**_with_pad_value(options, dataset.image_rules.channels, mean_color))
    one_hot_classes = _one_hot_classes(dataset) if convert_to_one_hot else None
    of_palettes = dataset.palette_labels
    if of_palettes is None:
        of_palettes = [pair.label for pair in dataset.pairs if pair.label is not None]
    palettes = PaletteRule(of_palettes, dataset.space, id_map, dataset.color_table)
    cache = None
    if cache_dir is not None:
        key = _cache_key(dataset, pipeline) + ('' if colors else palettes.described())
        cache = PairCache(os.fspath(cache_dir), key)
    labels = LabelReader(legal_ids, palettes, colors, dataset.color_rule)
    return SampleMaker(dataset.pairs, pipeline, labels, one_hot_classes, ignore_id, cache, seed, dataset.image_rules)


def _with_pad_value(
    options: Mapping[str, Any], num_channels: int, mean_color: Callable[[], Tuple[float, ...]]
) -> Dict[str, Any]:
    """The options, with the mean colour as `pad_value` if something is padded and they have none.

    Warns of a `void_class_id` or a `pad_value` if nothing is padded.
    """
    pads = any(entry.pads and not is_off(options.get(name)) for name, entry in AUGMENTATIONS.items())
    if not pads and options.get('void_class_id') not in (None, options['ignore_id']):
        warn_user(
            'void_class_id is {}; it is what padding gets in labels, and nothing is padded, so it changes nothing. For '
            'pixels that shall not count, give BatchGenerator their ID as ignore_id.'.format(options['void_class_id'])
        )
    if options.get('pad_value') is not None:
        if not pads:
            warn_user(
                'pad_value is {!r}; it is the colour of padding, and nothing is padded, so it changes nothing. '
                'Leave it out.'.format(options['pad_value'])
            )
        return dict(options)
    if pads:
        return dict(options, pad_value=mean_color())
    return dict(options, pad_value=None if num_channels == 3 else (0,) * num_channels)


def _cache_key(dataset: Dataset, pipeline: Pipeline) -> str:
    """A key for how pairs are prepared and checked: cached pairs are not checked again, so the rules are part of it."""
    rule, image_rules = dataset.color_rule, dataset.image_rules
    parts: List[Any] = [pipeline.prepare_key, dataset.num_classes, dataset.ignore_id, rule.tolerance]
    parts += [] if rule.transparent is None else [rule.transparent]
    parts += [] if image_rules == RGB_RULES else [image_rules]
    return ' '.join(map(str, parts))


def _check_channels(transforms: Mapping[str, Any], num_channels: int) -> None:
    """Refuses changes of colour for images without three colours, and a `pad_value` of another number of channels."""
    for name in ('color_jitter', 'gray'):
        if num_channels < 3 and not is_off(transforms.get(name)):
            raise ValueError(
                '{}: changes red, green and blue, and images are read with {}. Leave it out.'.format(
                    name, counted(num_channels, 'channel')
                )
            )
    pad_value = transforms.get('pad_value')
    if pad_value is not None and pad_value is not False and np.size(pad_value) != num_channels:
        raise ValueError(
            'pad_value is {!r}; it has to be {}, one for each channel that images are read with.'.format(
                pad_value, counted(num_channels, 'number')
            )
        )


def _conversions(dataset: Dataset, transforms: Mapping[str, Any]) -> Tuple[Any, Any]:
    """The maps from colours to IDs and from IDs to IDs: those of the dataset or of the call, but not of both."""
    given = [name for name in ('convert_colors_to_ids', 'convert_ids_to_ids') if not is_off(transforms.get(name))]
    if given and (dataset.id_map is not None or dataset.color_map is not None):
        raise ValueError(
            '{}: the labels of this dataset are converted to class IDs already, by its layout or '
            'id_map. Leave it out, or describe the dataset without them.'.format(' and '.join(given))
        )
    if given and dataset.was_converted:
        warn_user(
            '{}: labels of this dataset were written by process_all and hold class IDs already, which are converted a '
            'second time. Leave it out, unless it is from class IDs.'.format(' and '.join(given))
        )
    colors = transforms.get('convert_colors_to_ids') if dataset.color_map is None else dataset.color_map
    id_map = transforms.get('convert_ids_to_ids') if dataset.id_map is None else dataset.id_map
    return None if is_off(colors) else colors, None if is_off(id_map) else id_map


def _one_hot_classes(dataset: Dataset) -> int:
    if dataset.num_classes is None or not dataset.has_labels:
        raise ValueError(
            'convert_to_one_hot is True; it needs labels, and num_classes for their length. Pass num_classes=... to '
            'BatchGenerator.'
        )
    return dataset.num_classes


def has_conversion(transforms: Mapping[str, Any]) -> bool:
    """Tells whether the options of a call convert labels; conversions of the dataset do not count."""
    return any(not is_off(transforms.get(name)) for name in ('convert_colors_to_ids', 'convert_ids_to_ids'))


def mean_color(pairs: Sequence[Pair], exact: bool = False, image_rules: ImageRules = RGB_RULES) -> Tuple[float, ...]:
    """Estimates the mean colour (red, green, blue), or the mean of each channel of the rules, 0 to 255.

    The mean is over `NUM_IMAGES_FOR_MEAN` images: of N, every (N // NUM_IMAGES_FOR_MEAN)-th from the first on, so that
    the last ones may count nowhere. It stays so because runs and exports that go on have padding of this colour. An
    image that cannot be read is left out; it is reported when its batch is asked for.

    Raises:
        DataError: With `exact`, if one of these images cannot be read.
    """
    means = []
    for pair in pairs[:: max(1, len(pairs) // NUM_IMAGES_FOR_MEAN)][:NUM_IMAGES_FOR_MEAN]:
        with contextlib.suppress(*(() if exact else (ValueError, OSError))), naming_the_file(Pair(pair.image, None)):
            means.append(read_image(pair.image, rules=image_rules).mean(axis=(0, 1)))
    fallback = (IMAGENET_MEAN + (128,) * image_rules.channels)[: image_rules.channels]
    return tuple(float(value) for value in (np.mean(means, axis=0) if means else fallback))
