"""Checking a dataset before a day is wasted on it: every file is read, and everything that is wrong is reported."""

import os
from collections import Counter
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from data_generator.batches.parallel import map_in_threads
from data_generator.checking.faults import Fault
from data_generator.checking.file_checks import ImageFacts, PairFacts, Size, check_pair
from data_generator.checking.report import DatasetReport, SplitReport
from data_generator.checking.survey import SplitFiles, Survey, survey
from data_generator.files.layouts import Layout
from helpers.class_weights import median_frequency_weights
from helpers.image_rules import RGB_RULES, ImageRules
from helpers.label_spaces import LabelSpace, generic_label_space

#: The usual ID of ignored pixels, where a dataset is not known by name.
USUAL_IGNORE_ID = 255

#: From which share of the images on a size is the usual one.
USUAL_SHARE = 0.9


def check_dataset(
    roots: Sequence[str],
    layout: Optional[Union[str, Layout]] = None,
    num_classes: Optional[int] = None,
    ignore_id: Optional[int] = None,
    workers: int = 0,
    show_progress: bool = True,
    image_rules: ImageRules = RGB_RULES,
) -> DatasetReport:
    """Read a whole dataset and report what it is, what is wrong with it, and what to train it with.

    Arguments:
        roots: Root directories of the dataset, or of several that are to be trained on together.
        layout: Their layout; None to recognise it.
        num_classes, ignore_id: For a dataset that is not in a named layout: which label values are legal. By default
            all are, and 255 is the ignored one.
        workers: Number of threads.
        image_rules: How images that are not 8-bit RGB are read.

    Raises:
        ValueError: No such layout; the directories are of different layouts; `num_classes` for a named layout.
        FileNotFoundError: No such directory.
        DataError: No images.
    """
    surveys = [survey(os.fspath(root), layout) for root in roots]
    first = surveys[0]
    for other in surveys[1:]:
        if other.layout.label_space != first.layout.label_space:
            raise ValueError(
                '{} is {} and {} is {}: their label IDs mean different things. Check them one by one.'.format(
                    first.root, first.layout.name, other.root, other.layout.name
                )
            )
    if first.knows_classes and (num_classes is not None or ignore_id is not None):
        raise ValueError(
            'num_classes={} and ignore_id={}: the layout {} has {} classes and ignores {}. Leave them out.'.format(
                num_classes,
                ignore_id,
                first.layout.name,
                first.layout.label_space.num_classes,
                first.layout.label_space.ignore_id,
            )
        )
    splits = [(found, split) for found in surveys for split in found.splits]
    facts = _read_all([split for _, split in splits], bool(first.layout.color_map), workers, show_progress, image_rules)
    classes = _classes(first, num_classes, ignore_id, facts)
    reports = [_report_split(found.root, split, pairs, classes) for (found, split), pairs in zip(splits, facts)]
    return _report(surveys, reports, facts, classes)


def _read_all(
    splits: Sequence[SplitFiles], has_color_labels: bool, workers: int, show_progress: bool, image_rules: ImageRules
) -> List[List[PairFacts]]:
    pairs = [pair for split in splits for pair in split.pairs]
    facts = iter(
        map_in_threads(
            lambda pair: check_pair(pair, has_color_labels, image_rules), pairs, workers, 'Checking', show_progress
        )
    )
    return [[next(facts) for _ in split.pairs] for split in splits]


class Classes(NamedTuple):
    """What the values in label files mean: a class ID, the ignored ID or, if not in `value_to_id`, nothing legal."""

    label_space: LabelSpace
    value_to_id: Mapping[Any, int]
    suggested_id_map: Optional[Dict[int, int]]
    are_guessed: bool


def _classes(
    found: Survey, num_classes: Optional[int], ignore_id: Optional[int], facts: Sequence[Sequence[PairFacts]]
) -> Classes:
    values = sorted({value for split in facts for pair in split for value in pair.values or ()})
    if found.knows_classes:
        space = found.layout.label_space
    else:
        space = _guessed_label_space(values, num_classes, USUAL_IGNORE_ID if ignore_id is None else ignore_id)
    is_guess = not found.knows_classes and num_classes is None
    if found.layout.color_map:
        return Classes(space, found.layout.color_map, None, is_guess)
    id_map = found.layout.id_map or _identity(space)
    return Classes(space, id_map, _suggested_id_map(values, id_map, space, is_guess), is_guess)


def _guessed_label_space(values: Sequence[int], num_classes: Optional[int], ignore_id: int) -> LabelSpace:
    if num_classes is None:
        num_classes = max([value for value in values if value != ignore_id], default=0) + 1
    return generic_label_space(num_classes, ignore_id)


def _identity(space: LabelSpace) -> Dict[int, int]:
    return {class_id: class_id for class_id in list(range(space.num_classes)) + [space.ignore_id]}


def _suggested_id_map(
    values: Sequence[int], value_to_id: Mapping[int, int], space: LabelSpace, is_guess: bool
) -> Optional[Dict[int, int]]:
    """From label values to class IDs without gaps, from illegal ones to the ignored ID; None if none is needed."""
    classes = [value for value in values if value != space.ignore_id]
    if is_guess and classes != list(range(len(classes))):
        return dict([(value, class_id) for class_id, value in enumerate(classes)] + [(space.ignore_id,) * 2])
    illegal = {value: space.ignore_id for value in values if value not in value_to_id}
    return {**value_to_id, **illegal} if illegal else None


def _report_split(root: str, split: SplitFiles, facts: Sequence[PairFacts], classes: Classes) -> SplitReport:
    images = [pair.image for pair in facts if pair.image is not None]
    sizes = Counter(image.size for image in images)
    class_pixels, void_pixels, illegal_pixels = _count_classes(facts, classes)
    faults = split.faults + [fault for pair in facts for fault in pair.faults]
    faults += _illegal_labels(facts, classes) + _only_void(facts, class_pixels) + _unusual_sizes(facts, sizes)
    bad_files = {fault.path for fault in faults if fault.is_error}
    mean, deviation, picture = _mean(images)
    return SplitReport(
        root=root,
        name=split.name,
        image_dir=split.image_dir,
        label_dir=split.label_dir,
        num_images=len(split.pairs),
        good_pairs=[
            pair
            for pair in split.pairs
            if pair.label is not None and not bad_files.intersection((pair.image, pair.label))
        ],
        sizes=sizes.most_common(),
        class_pixels=class_pixels,
        void_pixels=void_pixels,
        illegal_pixels=illegal_pixels,
        mean_color=mean,
        deviation=deviation,
        mean_picture=picture,
        faults=faults,
    )


def _count_classes(facts: Sequence[PairFacts], classes: Classes) -> Tuple[np.ndarray, int, int]:
    """Pixels by pair and class, [N, C], of classes that scores count; pixels that do not count; illegal pixels."""
    space = classes.label_space
    counts = np.zeros((len(facts), space.num_classes), np.int64)
    void_pixels = illegal_pixels = 0
    for row, pair in zip(counts, facts):
        for value, pixels in (pair.values or {}).items():
            class_id = classes.value_to_id.get(value)
            if class_id is None:
                illegal_pixels += pixels
            elif class_id == space.ignore_id or class_id in space.void_class_ids:
                void_pixels += pixels
            else:
                row[class_id] += pixels
    return counts, void_pixels, illegal_pixels


def _illegal_labels(facts: Sequence[PairFacts], classes: Classes) -> List[Fault]:
    faults = []
    for pair in facts:
        illegal = sorted((value, n) for value, n in (pair.values or {}).items() if value not in classes.value_to_id)
        if pair.pair.label is not None and illegal:
            shown = ', '.join('{} ({} px)'.format(value, n) for value, n in illegal[:5])
            faults.append(Fault('illegal_label', pair.pair.label, shown + (', ...' if len(illegal) > 5 else '')))
    return faults


def _only_void(facts: Sequence[PairFacts], class_pixels: np.ndarray) -> List[Fault]:
    return [
        Fault('only_void', pair.pair.label)
        for pair, counts in zip(facts, class_pixels)
        if pair.pair.label is not None and pair.values is not None and not counts.any()
    ]


def _unusual_sizes(facts: Sequence[PairFacts], sizes: 'Counter[Size]') -> List[Fault]:
    """Where nearly all images have one size, those that have not; in datasets of many sizes none is unusual."""
    if len(sizes) < 2:
        return []
    ((usual, count),) = sizes.most_common(1)
    if count < USUAL_SHARE * sum(sizes.values()):
        return []
    return [
        Fault('unusual_size', pair.pair.image, '{}x{}, most are {}x{}'.format(*(pair.image.size + usual)))
        for pair in facts
        if pair.image is not None and pair.image.size != usual
    ]


def _mean(images: Sequence[ImageFacts]) -> Tuple[Optional[np.ndarray], Optional[np.ndarray], Optional[np.ndarray]]:
    """Mean and standard deviation over all pixels by channel, and the mean picture, uint8 `THUMBNAIL_SIZE`."""
    if not images:
        return None, None, None
    weights = np.array([image.size[0] * image.size[1] for image in images], float)
    mean = np.average([image.mean for image in images], axis=0, weights=weights)
    mean_square = np.average([image.mean_square for image in images], axis=0, weights=weights)
    picture = sum(image.thumbnail.astype(np.int64) for image in images) / len(images)
    return mean, np.sqrt(np.maximum(mean_square - mean**2, 0)), np.round(picture).astype(np.uint8)


def _report(
    surveys: Sequence[Survey], splits: List[SplitReport], facts: Sequence[Sequence[PairFacts]], classes: Classes
) -> DatasetReport:
    training = [split for split in splits if split.is_for_training]
    faults = _in_train_and_val(splits, facts)
    if not any(split.num_images for split in training):
        faults += [Fault('no_train_split', found.root) for found in surveys]
    pixels = np.concatenate([split.class_pixels for split in training or splits])
    return DatasetReport(
        layout=surveys[0].layout._replace(label_space=classes.label_space),
        is_known_layout=surveys[0].knows_classes,
        classes_are_guessed=classes.are_guessed,
        splits=splits,
        faults=faults,
        suggested_id_map=classes.suggested_id_map,
        class_weights=median_frequency_weights(pixels) if pixels.any() else None,
    )


def _in_train_and_val(splits: Sequence[SplitReport], facts: Sequence[Sequence[PairFacts]]) -> List[Fault]:
    trained = {
        pair.image.digest: pair.pair.image
        for split, pairs in zip(splits, facts)
        if split.is_for_training
        for pair in pairs
        if pair.image is not None
    }
    return [
        Fault('in_train_and_val', pair.pair.image, 'is ' + trained[pair.image.digest])
        for split, pairs in zip(splits, facts)
        if not split.is_for_training
        for pair in pairs
        if pair.image is not None and pair.image.digest in trained
    ]
