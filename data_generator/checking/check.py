"""Checks a dataset before training: reads every file and reports every fault."""

from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from data_generator.batches.parallel import map_in_threads
from data_generator.checking.alignment import shift_of
from data_generator.checking.cityscapes_numbers import options_for
from data_generator.checking.faults import Fault
from data_generator.checking.file_checks import ImageFacts, PairFacts, check_pair
from data_generator.checking.label_checks import LabelLook, far_from
from data_generator.checking.meaning import Classes, Said, classes_of, identity, looks_of
from data_generator.checking.report import DatasetReport, SplitReport
from data_generator.checking.split_files import SplitFiles
from data_generator.checking.survey import NO_RULE, Survey, survey, survey_folders
from data_generator.errors import DataError
from data_generator.files.counting import class_pixels
from data_generator.files.discovery import NameRule, Pair, Paths, as_path_list
from data_generator.files.label_meaning import checked_id_map
from data_generator.files.layouts import Layout
from data_generator.files.legends import (
    Legend,
    agreed_legend,
    check_color_tolerance,
    check_said_of_colors,
    find_legends,
    read_legend,
)
from data_generator.files.masks import MOST_BORDER
from data_generator.files.processed import converted_labels
from helpers.aliases import Size
from helpers.class_weights import median_frequency_weights
from helpers.counted import counted
from helpers.flags import check_flags, checked_whole
from helpers.image_rules import RGB_RULES, ImageRules
from helpers.image_search import extensions_for
from helpers.label_spaces import LabelSpace
from helpers.process.cores import MAX_THREADS

#: Correlation of an image's red minus blue with the mean over all images. Swapped channels are looked for only if the
#: median is at least the first; an image below the second is swapped. Of the 367 training images of CamVid, whose
#: lights differ, two are at -0.3.
USUAL_LIKENESS, SWAPPED_LIKENESS = 0.25, -0.4

#: A size is the usual one if at least this share of the images has it.
USUAL_SHARE = 0.9


def check_dataset(
    roots: Paths,
    layout: Optional[Union[str, Layout]] = None,
    num_classes: Optional[int] = None,
    ignore_id: Optional[int] = None,
    workers: int = 0,
    show_progress: bool = True,
    image_rules: ImageRules = RGB_RULES,
    id_map: Optional[Union[Mapping[int, int], np.ndarray]] = None,
    legend: Optional[Legend] = None,
    color_tolerance: int = 0,
    label_transparency: Optional[str] = None,
    folders: Optional[Mapping[str, Tuple[Paths, Paths]]] = None,
    rule: NameRule = NO_RULE,
) -> DatasetReport:
    """Reads a whole dataset and reports what it is, what is wrong with it, and which options to train it with.

    Args:
        roots: Root directory of the dataset, or of several datasets to train on together; none with `folders`.
        layout: The layout of all of them; None to recognise it.
        num_classes, ignore_id: For a dataset without a named layout: which label values are legal. By default all are,
            and 255 is ignored unless it is a class.
        workers: Number of threads.
        image_rules: How images that are not 8-bit RGB are read.
        id_map: For a dataset without a named layout: from label values to class IDs, a dict or an array.
        legend: For a dataset without a named layout: its classes, and the colours that stand for them in labels; None
            for the legend that is found beside the data.
        color_tolerance: How far a colour in a label may be from that of a class, in each channel.
        label_transparency: What transparent pixels in colour labels are: the name of a class, or 'void'.
        folders: In place of `roots`: for 'train', and 'val' if there is one, the directory of images and that of their
            labels; or several directories of images, and those of their labels in the same order.
        rule: With `folders`: how labels are called.

    Raises:
        ValueError: The layout is unknown, or given together with `folders`; the directories have different layouts; an
            argument says what a named layout defines; no such class; another number of classes than the legend names.
        FileNotFoundError: No such directory.
        DataError: No images.
    """
    check_flags(show_progress=show_progress)
    workers = checked_whole('workers', workers, 0, MAX_THREADS)
    _check_one_source(roots, layout, folders, rule)
    extensions = tuple(extensions_for(image_rules))
    id_map = checked_id_map(id_map)
    surveys = (
        [survey_folders(folders, extensions, rule)]
        if folders
        else [survey(root, layout, extensions) for root in as_path_list(roots)]
    )
    _check_one_space(surveys)
    if legend is not None and num_classes not in (None, len(legend.class_names)):
        raise ValueError(
            'num_classes is {}, and names came for {}. Leave num_classes out, or name them all.'.format(
                num_classes, counted(len(legend.class_names), 'class')
            )
        )
    if ignore_id is None and legend is not None:
        ignore_id = legend.ignore_id
    said = Said(num_classes, ignore_id, id_map, legend, color_tolerance, label_transparency)
    if surveys[0].knows_classes:
        _check_nothing_said(surveys[0].layout, said)
    else:
        said = _with_legend_beside(surveys, said)
        check_color_tolerance(said.space, color_tolerance)
    looks = looks_of(surveys, said)
    splits = [(found, look, split) for found, look in zip(surveys, looks) for split in found.splits]
    facts = _read_all([(look, split) for _, look, split in splits], workers, show_progress, image_rules)
    classes = classes_of(surveys, looks, said, facts)
    _check_said_of_colors(said, looks[0], classes, facts)
    reports = [
        _report_split(found.root, split, pairs, classes.label_space, classes.maps[surveys.index(found)])
        for (found, _, split), pairs in zip(splits, facts)
    ]
    return _report(surveys, reports, facts, classes, said)


def _check_one_source(
    roots: Paths,
    layout: Optional[Union[str, Layout]],
    folders: Optional[Mapping[str, Tuple[Paths, Paths]]],
    rule: NameRule,
) -> None:
    """Raises ValueError unless either roots or folders are given, and no argument that belongs to the other."""
    if folders and (as_path_list(roots) or layout is not None):
        raise ValueError('folders are given, and roots or a layout beside them. Name the dataset in one of these ways.')
    if rule != NO_RULE and not folders:
        raise ValueError(
            'rule is {!r}; it says how labels in folders are called, and there are none: a layout says that itself. '
            'Give folders, or leave it out.'.format(tuple(rule))
        )
    if not folders and not as_path_list(roots):
        raise ValueError(
            'roots is {!r}, and no folders are given. Give the root of a dataset, or folders.'.format(roots)
        )


def _check_one_space(surveys: Sequence[Survey]) -> None:
    first = surveys[0]
    for other in surveys[1:]:
        if other.layout.label_space != first.layout.label_space:
            raise ValueError(
                '{} is {} and {} is {}: their label IDs mean different things. Check them one by one.'.format(
                    first.root, first.layout.name, other.root, other.layout.name
                )
            )


def _check_nothing_said(layout: Layout, said: Said) -> None:
    given = [
        '{} is {}'.format(name, 'given' if name == 'legend' else value)
        for name, value in said._asdict().items()
        if value is not None and value != 0 or (name == 'ignore_id' and value == 0)
    ]
    if given:
        raise ValueError(
            '{}; the layout {} has {} classes and ignores {}. Leave {} out.'.format(
                ' and '.join(given),
                layout.name,
                layout.label_space.num_classes,
                layout.label_space.ignore_id,
                'it' if len(given) == 1 else 'them',
            )
        )


def _check_said_of_colors(said: Said, look: LabelLook, classes: Classes, facts: Sequence[Sequence[PairFacts]]) -> None:
    """Raises ValueError if options for colour labels were given and all labels hold numbers."""
    values = [value for split in facts for pair in split for value in pair.values]
    if values and all(isinstance(value, int) for value in values):
        tolerance = 0 if classes.question else said.color_tolerance  # it may be the answer to the question
        check_said_of_colors(tolerance, said.label_transparency, look.color_map is not None)


def _with_legend_beside(surveys: Sequence[Survey], said: Said) -> Said:
    """Adds the legend that is found beside the data, unless the caller named other classes."""
    if said.legend is not None:
        return said
    splits = [split for one in surveys for split in one.splits]
    found: Dict[str, Legend] = {}
    for path in find_legends([(split.label_dir, split.image_dir) for split in splits if split.label_dir]):
        try:
            found[path] = read_legend(path)
        except DataError as error:  # damaged, or an unrelated file of this name
            splits[0].faults.append(Fault('unused_legend', path, str(error)))
    if not found:
        return said
    path, legend = next(iter(found)), agreed_legend(found)
    if said.num_classes not in (None, len(legend.class_names)):
        return said
    ignore_id = legend.ignore_id if said.ignore_id is None else said.ignore_id
    return said._replace(legend=legend, legend_path=path, ignore_id=ignore_id)


def _read_all(
    splits: Sequence[Tuple[LabelLook, SplitFiles]], workers: int, show_progress: bool, image_rules: ImageRules
) -> List[List[PairFacts]]:
    converted = set(
        converted_labels([pair.label for _, split in splits for pair in split.pairs if pair.label is not None])
    )

    def check(item: Tuple[LabelLook, Pair]) -> PairFacts:
        look, pair = item
        if pair.label in converted:
            return check_pair(pair, look._replace(color_map=None), image_rules)._replace(was_converted=True)
        return check_pair(pair, look, image_rules)

    pairs = [(look, pair) for look, split in splits for pair in split.pairs]
    facts = iter(map_in_threads(check, pairs, workers, 'Checking', show_progress))
    return [[next(facts) for _ in split.pairs] for _, split in splits]


def _report_split(
    root: str, split: SplitFiles, facts: Sequence[PairFacts], space: LabelSpace, value_to_id: Mapping[Any, int]
) -> SplitReport:
    images = [pair.image for pair in facts if pair.image is not None]
    sizes = Counter(image.size for image in images)
    maps = [identity(space) if pair.was_converted else value_to_id for pair in facts]
    pixels = np.zeros((len(facts), space.num_classes), np.int64)
    for row, pair, id_map in zip(pixels, facts, maps):
        row[:] = class_pixels(pair.values, space.num_classes, space.ignore_id, id_map)
    scored = pixels.copy()
    scored[:, list(space.void_class_ids)] = 0
    total = sum(sum(pair.values.values()) for pair in facts)
    illegal = sum(n for p, m in zip(facts, maps) for value, n in p.values.items() if value not in m)
    faults = split.faults + [fault for pair in facts for fault in pair.faults]
    faults += _illegal_labels(facts, maps) + _only_void(facts, scored) + _unusual_sizes(facts, sizes)
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
        class_pixels=pixels,
        scored_pixels=scored,
        void_pixels=int(total - illegal - scored.sum()),
        illegal_pixels=illegal,
        moved_pixels=sum(pair.label.moved for pair in facts if pair.label is not None),
        mean_color=mean,
        deviation=deviation,
        mean_picture=picture,
        faults=faults,
    )


def _illegal_labels(facts: Sequence[PairFacts], maps: Sequence[Mapping[Any, int]]) -> List[Fault]:
    faults = []
    for pair, value_to_id in zip(facts, maps):
        illegal = {value: n for value, n in pair.values.items() if value not in value_to_id}
        if pair.pair.label is not None and illegal:
            shown = ', '.join('{} ({} px)'.format(value, n) for value, n in sorted(illegal.items())[:5])
            shown += ', ...' if len(illegal) > 5 else ''
            if all(isinstance(value, tuple) and value[::-1] in value_to_id for value in illegal):
                shown += '. With red and blue swapped these are colours of classes: OpenCV wrote them as BGR'
            elif any(isinstance(value, tuple) for value in illegal):
                shown += _borders(illegal, value_to_id, sum(pair.values.values()))
            faults.append(Fault('illegal_label', pair.pair.label, shown))
    return faults


def _borders(illegal: Mapping[Any, int], table: Mapping[Any, int], num_pixels: int) -> str:
    """A remark on colours of no class, if they look like blurred borders and not like a class; else ''."""
    if len(illegal) < 3 or sum(illegal.values()) > MOST_BORDER * num_pixels:
        return ''
    return (
        '. {} colours on {:.1%} of the pixels look like borders that were smoothed or went through JPEG; the farthest '
        'is {} from that of a class: --color-tolerance'.format(
            len(illegal), sum(illegal.values()) / num_pixels, far_from(illegal, table)
        )
    )


def _only_void(facts: Sequence[PairFacts], scored_pixels: np.ndarray) -> List[Fault]:
    return [
        Fault('only_void', pair.pair.label)
        for pair, counts in zip(facts, scored_pixels)
        if pair.pair.label is not None and pair.values and not counts.any()
    ]


def _unusual_sizes(facts: Sequence[PairFacts], sizes: 'Counter[Size]') -> List[Fault]:
    """The images of another size, if nearly all have the same; in datasets of many sizes none is unusual."""
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
    picture = _average(image.thumbnail for image in images)
    return mean, np.sqrt(np.maximum(mean_square - mean**2, 0)), np.round(picture).astype(np.uint8)


def _report(
    surveys: Sequence[Survey],
    splits: List[SplitReport],
    facts: Sequence[Sequence[PairFacts]],
    classes: Classes,
    said: Said,
) -> DatasetReport:
    training = [split for split in splits if split.is_for_training]
    faults = [fault for found in surveys for fault in found.faults] + _in_train_and_val(splits, facts)
    if not any(split.num_images for split in training):
        faults += [Fault('no_train_split', found.root) for found in surveys]
    if not any(split.num_pixels > split.void_pixels for split in training):
        faults += [Fault('nothing_counts', split.label_dir) for split in training if split.void_pixels]
    like_cityscapes = [] if surveys[0].knows_classes or said.space is not None else _options_of_cityscapes(facts)
    if classes.question:
        third = '; if they are those of Cityscapes: ' * bool(like_cityscapes) + ' or '.join(like_cityscapes)
        faults.append(Fault('ambiguous_values', surveys[0].root, classes.question + third))
    else:
        faults += [Fault('like_cityscapes', splits[0].label_dir, options) for options in like_cityscapes]
    space = classes.label_space
    has_values = any(pair.values for split in facts for pair in split)
    if has_values and not classes.question and space.num_classes - len(space.void_class_ids) < 2:
        faults.append(Fault('one_class', surveys[0].root))
    faults += [
        Fault('single_class', split.label_dir, split.name)
        for split in splits
        if (split.scored_pixels.sum(axis=0) > 0).sum() == 1
    ]
    faults += _shifted(splits, facts) + _swapped([pair for split in facts for pair in split])
    pixels = np.concatenate([split.class_pixels for split in training or splits])
    layout = surveys[0].layout._replace(label_space=space)
    if not surveys[0].knows_classes:
        is_colored = bool(classes.maps[0]) and isinstance(next(iter(classes.maps[0])), tuple)
        layout = layout._replace(id_map=classes.id_map, color_map=classes.maps[0] if is_colored else None)
    return DatasetReport(
        layout=layout,
        is_known_layout=surveys[0].knows_classes,
        classes_are_guessed=classes.are_guessed,
        splits=splits,
        faults=faults,
        suggested_id_map=classes.suggested_id_map,
        class_weights=median_frequency_weights(pixels) if pixels.any() else None,
        said_ignore_id=said.ignore_id is not None,
        color_tolerance=said.color_tolerance,
        label_transparency=said.label_transparency,
        legend_path=said.legend_path,
    )


def _options_of_cityscapes(facts: Sequence[Sequence[PairFacts]]) -> List[str]:
    """The options that read labels as those of Cityscapes, if they look like them; otherwise none."""
    found = [pair for split in facts for pair in split if pair.label is not None and not pair.was_converted]
    values = {value for pair in found if pair.label is not None for value in pair.label.values}
    return options_for(values, found[0].pair.label or '') if found else []


def _shifted(splits: Sequence[SplitReport], facts: Sequence[Sequence[PairFacts]]) -> List[Fault]:
    """Splits whose labels would fit their images much better if shifted."""
    faults = []
    for split, pairs in zip(splits, facts):
        correlations = [pair.correlation for pair in pairs if pair.correlation is not None]
        shift = shift_of(_average(correlations), len(correlations)) if correlations else None
        if shift is not None:
            words = '{} {} and {} {}'.format(
                counted(abs(shift[0]), 'pixel'),
                'up' if shift[0] < 0 else 'down',
                abs(shift[1]),
                'left' if shift[1] < 0 else 'right',
            )
            faults.append(Fault('shifted_labels', split.label_dir, 'they would fit {}'.format(words)))
    return faults


def _swapped(pairs: Sequence[PairFacts]) -> List[Fault]:
    """Images in which red and blue seem to be swapped, compared with the other images."""
    images = {pair.pair.image: pair.image.thumbnail for pair in pairs if pair.image is not None}
    images = {path: thumbnail for path, thumbnail in images.items() if thumbnail.shape[-1] == 3}
    if len(images) < 3:
        return []
    # Computed twice, one image at a time: all at once would take five times the memory of the thumbnails.
    mean = _average(map(_redness, images.values()))
    likeness = np.array([_correlation(_redness(thumbnail), mean) for thumbnail in images.values()])
    if np.median(likeness) < USUAL_LIKENESS:
        return []
    return [Fault('swapped_colors', path) for path, like in zip(images, likeness) if like < SWAPPED_LIKENESS]


def _average(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """The mean of arrays, of which only one is in memory at a time."""
    total, count = np.float64(0), 0
    for array in arrays:
        total, count = total + array, count + 1
    return total / count


def _redness(thumbnail: np.ndarray) -> np.ndarray:
    return (thumbnail[..., 0].astype(float) - thumbnail[..., 2]).ravel()


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    size = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / size if size else 0.0


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
