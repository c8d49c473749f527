"""The results of checking a dataset, as data, as JSON and as text."""

from collections import OrderedDict
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from data_generator.checking.faults import FAULT_KINDS, Fault
from data_generator.files.discovery import Pair
from data_generator.files.layouts import Layout
from data_generator.files.masks import spell
from helpers.counted import counted, join_and_count
from helpers.label_spaces import LabelSpace
from helpers.tables import align_columns, fit_names, one_line, screen_columns

#: How many files of each kind of fault are shown in the text; the JSON holds all.
NUM_SHOWN = 5

#: The most classes that are named in a sentence of the text; the most rows of its table of classes (classes that no
#: label holds are left out first); the most entries of an ID map that are shown.
NUM_NAMED, NUM_TABULATED, NUM_MAPPED = 20, 200, 300

#: The text points out pixels that do not count if their share is above this.
MUCH_VOID = 0.5


class SplitReport(NamedTuple):
    """One split. Arrays are NumPy arrays; colours are RGB, 0 to 255, and None if no image could be read.

    Attributes:
        good_pairs: The pairs without any error, which training could use.
        sizes: ((height, width), number of images), the most frequent first.
        class_pixels: Pixels by image and class, int64 [N, C].
        scored_pixels: Likewise, with zeros for classes that scores leave out.
        void_pixels: Number of pixels that have the ignored ID or belong to void classes.
        illegal_pixels: Number of pixels whose values are no class.
        moved_pixels: Number of pixels whose colour was replaced by that of the nearest class.
        mean_color, deviation: Mean and standard deviation over all pixels, by channel.
        mean_picture: The images at one small size, averaged; uint8 [h, w, 3].
    """

    root: str
    name: str
    image_dir: str
    label_dir: str
    num_images: int
    good_pairs: List[Pair]
    sizes: List[Tuple[Tuple[int, int], int]]
    class_pixels: np.ndarray
    scored_pixels: np.ndarray
    void_pixels: int
    illegal_pixels: int
    moved_pixels: int
    mean_color: Optional[np.ndarray]
    deviation: Optional[np.ndarray]
    mean_picture: Optional[np.ndarray]
    faults: List[Fault]

    @property
    def is_for_training(self) -> bool:
        """Whether training reads this split: 'train', or 'all' of a dataset without splits."""
        return self.name in ('train', 'all')

    @property
    def num_pixels(self) -> int:
        """Pixels of all labels."""
        return int(self.scored_pixels.sum()) + self.void_pixels + self.illegal_pixels

    @property
    def void_share(self) -> float:
        """The share of pixels that do not count, 0 to 1."""
        return self.void_pixels / self.num_pixels if self.num_pixels else 0.0


class DatasetReport(NamedTuple):
    """A whole dataset.

    Attributes:
        layout: Where its files are and what its label values mean.
        is_known_layout: False if only the places of the files were recognised.
        classes_are_guessed: Whether the number of classes was guessed from the values in the labels.
        faults: Those that belong to no single split; `all_faults` has all.
        suggested_id_map: From label values to class IDs, if training needs or would gain from an ID map; else None.
        class_weights: Median frequency weights of the training images, [C]; None without labels.
        said_ignore_id: Whether the caller said which ID is ignored.
        color_tolerance: How far a colour in a label may be from that of a class.
        label_transparency: What transparent pixels in labels are, as the caller said.
        legend_path: The table of classes that was found beside the data.
    """

    layout: Layout
    is_known_layout: bool
    classes_are_guessed: bool
    splits: List[SplitReport]
    faults: List[Fault]
    suggested_id_map: Optional[Dict[int, int]]
    class_weights: Optional[np.ndarray]
    said_ignore_id: bool = False
    color_tolerance: int = 0
    label_transparency: Optional[str] = None
    legend_path: Optional[str] = None

    @property
    def label_space(self) -> LabelSpace:
        """The classes of the layout."""
        return self.layout.label_space

    @property
    def all_faults(self) -> List[Fault]:
        """All faults of the splits and of the dataset, each once: in some layouts two splits share a directory."""
        faults = [fault for split in self.splits for fault in split.faults] + self.faults
        return list(OrderedDict.fromkeys(faults))

    @property
    def can_train(self) -> bool:
        """Whether training could read the whole dataset: no fault is an error."""
        return not any(fault.is_error for fault in self.all_faults)

    @property
    def are_classes_known(self) -> bool:
        """Whether it is clear how many classes there are, and which label values stand for them."""
        hidden = any(FAULT_KINDS[fault.kind].hides_classes for fault in self.all_faults)
        return self.is_known_layout or not hidden

    @property
    def scored_class_ids(self) -> List[int]:
        """The IDs of all classes that are not void."""
        return [c for c in range(self.label_space.num_classes) if c not in self.label_space.void_class_ids]

    @property
    def class_pixels(self) -> np.ndarray:
        """Pixels by class over the training images, int64 [C]."""
        return sum(
            (split.class_pixels.sum(axis=0) for split in self.splits if split.is_for_training),
            np.zeros(self.label_space.num_classes, np.int64),
        )

    @property
    def classes_never_seen(self) -> List[int]:
        """The IDs of scored classes that no training image holds."""
        pixels = self.class_pixels
        return [class_id for class_id in self.scored_class_ids if not pixels[class_id]]

    def to_dict(self) -> Dict[str, Any]:
        """Returns the whole report without pictures, as types that JSON can hold."""
        return OrderedDict(
            can_train=self.can_train,
            layout=self.layout.name if self.is_known_layout else None,
            label_space=self.label_space.to_dict(),
            classes_are_guessed=self.classes_are_guessed,
            splits=[_split_to_dict(split) for split in self.splits],
            faults=[dict(fault._asdict(), is_error=fault.is_error) for fault in self.all_faults],
            classes_never_seen=self.classes_never_seen,
            id_map=_with_text_keys(self.layout.id_map),
            suggested_id_map=_with_text_keys(self.suggested_id_map),
            class_weights=_as_list(self.class_weights),
        )

    def to_text(self) -> str:
        """Returns the report as text for people: what the dataset is, what is wrong with it, and its classes."""
        parts = [_headline(self)] + [_split_line(split) for split in self.splits]
        faults = self.all_faults
        for title, is_error in (('ERRORS, which training refuses', True), ('Worth knowing', False)):
            lines = _fault_lines([fault for fault in faults if fault.is_error == is_error])
            lines += [] if is_error else _remarks(self)
            parts += ['', title] + lines if lines else []
        parts += _class_table(self) + _id_map_lines(self)
        return '\n'.join(parts)


def _split_to_dict(split: SplitReport) -> Dict[str, Any]:
    return OrderedDict(
        root=split.root,
        name=split.name,
        image_dir=split.image_dir,
        label_dir=split.label_dir,
        num_images=split.num_images,
        num_good_pairs=len(split.good_pairs),
        sizes=[{'height': size[0], 'width': size[1], 'images': n} for size, n in split.sizes],
        class_pixels=split.class_pixels.sum(axis=0).tolist(),
        class_images=(split.class_pixels > 0).sum(axis=0).tolist(),
        void_share=split.void_share,
        void_pixels=split.void_pixels,
        illegal_pixels=split.illegal_pixels,
        moved_pixels=split.moved_pixels,
        mean_color=_as_list(split.mean_color),
        deviation=_as_list(split.deviation),
    )


def _as_list(values: Optional[np.ndarray]) -> Optional[List[float]]:
    return None if values is None else [round(float(value), 4) for value in values]


def _with_text_keys(id_map: Optional[Mapping[int, int]]) -> Optional[Dict[str, int]]:
    return None if id_map is None else {str(old): int(new) for old, new in id_map.items()}


def _headline(report: DatasetReport) -> str:
    space = report.label_space
    classes = '{}, {} is ignored'.format(counted(len(report.scored_class_ids), 'class'), space.ignore_id)
    if report.is_known_layout:
        conversion = (
            'colours are converted to class IDs'
            if report.layout.color_map
            else 'IDs in the files are mapped to class IDs'
            if report.layout.id_map
            else 'files hold class IDs'
        )
        return 'Recognised: {} ({}; {})'.format(report.layout.name, classes, conversion)
    source = 'by the values in the labels; --classes checks them' if report.classes_are_guessed else 'as given'
    if report.legend_path is not None:
        source = 'named by ' + one_line(report.legend_path)
    has_sound = any(split.good_pairs for split in report.splits)
    lines = [
        'Recognised: no layout known by name; images and labels in directories of their own{}'.format(
            ' ({}; {})'.format(classes, source) if has_sound or not report.classes_are_guessed else ''
        )
    ]
    if report.layout.id_map is not None:
        lines.append('  Values in the labels become class IDs by --id-map ' + spell(report.layout.id_map))
    if report.layout.color_map is not None:
        lines.append('  Colours in the labels become class IDs, by the colours of the classes.')
    return '\n'.join(lines)


def _split_line(split: SplitReport) -> str:
    sizes = ', '.join('{}x{} ({})'.format(size[0], size[1], n) for size, n in split.sizes[:3])
    if len(split.sizes) > 3:
        sizes += ' and {} more'.format(counted(len(split.sizes) - 3, 'size'))
    lines = [
        '  {}: {} in {}, {} of them with a sound label{}'.format(
            split.name,
            counted(split.num_images, 'image'),
            one_line(split.image_dir),
            len(split.good_pairs),
            ' in ' + one_line(split.label_dir) if split.label_dir else '',
        )
    ]
    if split.mean_color is not None and split.deviation is not None:
        lines += [
            '    height x width: ' + sizes,
            '    {}mean{} {}, deviation {}'.format(
                'void: {:.1%} of the pixels; '.format(split.void_share) if split.good_pairs else '',
                ' RGB' * (len(split.mean_color) == 3),
                _rgb(split.mean_color),
                _rgb(split.deviation),
            ),
        ]
    return '\n'.join(lines)


def _rgb(color: np.ndarray) -> str:
    return '({})'.format(', '.join('{:.1f}'.format(value) for value in color))


def _fault_lines(faults: List[Fault]) -> List[str]:
    lines = []
    for kind, (_, description, remedy, _) in FAULT_KINDS.items():
        found = [fault for fault in faults if fault.kind == kind]
        if found:
            lines.append('  {}: {}. {}.'.format(description[0].upper() + description[1:], len(found), remedy))
            lines += ['    ' + one_line(_file_line(fault)) for fault in found[:NUM_SHOWN]]
        if len(found) > NUM_SHOWN:
            lines.append('    ... and {} more'.format(len(found) - NUM_SHOWN))
    return lines


def _file_line(fault: Fault) -> str:
    if not fault.detail:
        return fault.path
    return fault.detail if fault.path in fault.detail else '{}: {}'.format(fault.path, fault.detail)


def _remarks(report: DatasetReport) -> List[str]:
    names = report.label_space.class_names
    never = report.classes_never_seen if any(split.is_for_training for split in report.splits) else []
    lines = (
        [
            '  Classes that no training image holds: {}. They cannot be learnt, and are left out of mean scores where '
            'val lacks them too.'.format(_named(never, names))
        ]
        if never and report.class_pixels.any()
        else []
    )
    lines += [
        '  {:.0%} of the pixels of {} do not count.'.format(split.void_share, split.name)
        for split in report.splits
        if split.void_share > MUCH_VOID
    ]
    lines += [
        '  {} ({:.2%}) of {} had the colour of no class and got that of the nearest.'.format(
            counted('{:,}'.format(split.moved_pixels), 'pixel'),
            split.moved_pixels / max(1, split.num_pixels),
            split.name,
        )
        for split in report.splits
        if split.moved_pixels
    ]
    sizes = [size for split in report.splits for size, _ in split.sizes]
    has_labels = not any(fault.kind == 'no_labels' for fault in report.all_faults)
    if not has_labels and sizes and all(width == 2 * height for height, width in sizes):
        lines.append(
            '  All images are twice as wide as high: if each holds a picture and its label side by side, as those of '
            'pix2pix do, cut them apart first.'
        )
    if any(len(split.sizes) > 1 for split in report.splits):
        lines.append('  Images have different sizes: train with --crop or --size.')
    return lines


def _named(class_ids: Sequence[int], names: Sequence[str]) -> str:
    return join_and_count(['{} {}'.format(class_id, names[class_id]) for class_id in class_ids], NUM_NAMED)


def _class_table(report: DatasetReport) -> List[str]:
    splits = [split for split in report.splits if split.scored_pixels.any()]
    if not splits or report.class_weights is None:
        return []
    share = '{:.3%}' if len(splits) < 3 else '{:.2%}'  # 80 columns
    rows = [['ID', 'name'] + [cell for split in splits for cell in (split.name[:9], 'images')] + ['weight']]
    scored = report.scored_class_ids
    shown = scored
    if len(scored) > NUM_TABULATED:
        held = np.any([split.scored_pixels.any(axis=0) for split in splits], axis=0)
        shown = [class_id for class_id in scored if held[class_id]][:NUM_TABULATED]
    for class_id in shown:
        cells = []
        for split in splits:
            pixels = split.scored_pixels
            cells += [share.format(pixels[:, class_id].sum() / pixels.sum()), str((pixels[:, class_id] > 0).sum())]
        name = report.label_space.class_names[class_id]
        rows.append([str(class_id), name] + cells + ['{:.3f}'.format(report.class_weights[class_id])])
    heading = 'Classes: share of the pixels that count, images that hold it, median frequency weight'
    rows = fit_names(rows, 1, screen_columns() - 2)
    lines = ['', heading] + ['  ' + line for line in align_columns(rows, left=(1,))]
    if len(shown) < len(scored):
        lines.append(
            '  ... and {} more, those without a pixel among them'.format(counted(len(scored) - len(shown), 'class'))
        )
    return lines


def _id_map_lines(report: DatasetReport) -> List[str]:
    if report.suggested_id_map is None:
        return []
    if len(report.suggested_id_map) > NUM_MAPPED:
        return ['', 'An ID map is needed; it has {} entries: --json has it.'.format(len(report.suggested_id_map))]
    id_map = spell(report.suggested_id_map)
    where = (
        'layout._replace(id_map=...)'
        if report.is_known_layout
        else 'fcn8s train --id-map {} or BatchGenerator(..., id_map=...)'.format(id_map)
    )
    return [
        '',
        'Suggested ID map, for {}:'.format(where),
        '  {' + ', '.join('{}: {}'.format(*entry) for entry in sorted(report.suggested_id_map.items())) + '}',
    ]
