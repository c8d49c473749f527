"""Looking over a dataset that may have faults: in which layout it lies, and which files belong together.

`data_generator.files.layouts` refuses a dataset at its first fault; here all faults are noted and the rest goes on.
"""

import os
import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from data_generator.checking.faults import Fault
from data_generator.errors import DataError
from data_generator.files.discovery import LABEL_EXTENSIONS, LabelIndex, Pair, read_names, stem_of
from data_generator.files.layouts import LAYOUTS, Layout, variants_of
from helpers.images import IMAGE_EXTENSIONS, find_images
from helpers.label_spaces import generic_label_space

SPLITS = ('train', 'val')

# Stands for classes that are not known: what the labels hold is looked at first.
_UNKNOWN_CLASSES = generic_label_space(1)

# How people arrange datasets of their own; '' is a dataset without splits.
_IMAGE_NAMES = ('images', 'image', 'imgs', 'img', 'rgb')
_LABEL_NAMES = ('labels', 'label', 'masks', 'mask', 'annotations', 'gt')
_OWN_ARRANGEMENTS = [
    arrangement
    for images in _IMAGE_NAMES
    for labels in _LABEL_NAMES
    for arrangement in (
        (images + '/{split}', labels + '/{split}'),
        ('{split}/' + images, '{split}/' + labels),
        (images, labels),
    )
]


class SplitFiles(NamedTuple):
    """The files of one split. `label` of a pair is None where there is none; `faults` are those of finding them."""

    name: str
    image_dir: str
    label_dir: str
    pairs: List[Pair]
    faults: List[Fault]

    @property
    def num_labels(self) -> int:
        return sum(pair.label is not None for pair in self.pairs)


class Survey(NamedTuple):
    """What lies below one directory. `knows_classes` is False for a layout that says only where the files are."""

    root: str
    layout: Layout
    knows_classes: bool
    splits: List[SplitFiles]


def survey(root: str, layout: Optional[Union[str, Layout]] = None) -> Survey:
    """Find the files of a dataset.

    Arguments:
        layout: What it lies in; None to recognise it: one of the named layouts, `images` and `labels` (or words like
            them) with or without directories for train and val, or else images without labels.

    Raises:
        ValueError: No such layout.
        FileNotFoundError: No such directory.
        DataError: No images in the places of the layout.
    """
    if not os.path.isdir(root):
        raise FileNotFoundError('No such directory: {}. Give the root directory of a dataset.'.format(root))
    if layout is not None:
        found = _best(root, [(variant, True) for variant in variants_of(layout)], labels_needed=False)
        if found is None:
            raise DataError(_nothing_found(root, variants_of(layout)[0]))
        return found
    named = [(variant, True) for variants in LAYOUTS.values() for variant in variants]
    own = [(Layout('own', _UNKNOWN_CLASSES, images, labels), False) for images, labels in _OWN_ARRANGEMENTS]
    return _best(root, named + own, labels_needed=True) or _images_alone(root)


def _best(root: str, candidates: Iterable[Tuple[Layout, bool]], labels_needed: bool) -> Optional[Survey]:
    """The candidate by which most pairs are found; the first of those that are equal."""
    best, best_count = None, (0, 0)
    for layout, knows_classes in candidates:
        splits = [split for split in (_survey_split(root, layout, name) for name in _splits_of(layout)) if split]
        count = (sum(split.num_labels for split in splits), sum(len(split.pairs) for split in splits))
        if labels_needed and not any(os.path.isdir(split.label_dir) for split in splits):
            continue
        if count > best_count:
            best, best_count = Survey(root, layout, knows_classes, splits), count
    return best


def _splits_of(layout: Layout) -> Sequence[str]:
    has_splits = '{split}' in layout.images or layout.list_file or layout.val_pattern
    return SPLITS if has_splits else ('all',)


def _images_alone(root: str) -> Survey:
    layout = Layout('own', _UNKNOWN_CLASSES, '', '')
    images = _files(root, IMAGE_EXTENSIONS)
    if not images:
        raise DataError('No images below {}. Give the root directory of a dataset.'.format(root))
    return Survey(
        root,
        layout,
        False,
        [SplitFiles('all', root, '', [Pair(image, None) for image in images], [Fault('no_labels', root)])],
    )


def _nothing_found(root: str, layout: Layout) -> str:
    places = ' or '.join(
        os.path.join(root, layout.images.format(split=_folder(layout, split))) for split in _splits_of(layout)
    )
    return (
        'No images of the layout {} in {}: expected {}. Give the directory that holds these, or another layout.'.format(
            layout.name, root, places
        )
    )


def _folder(layout: Layout, split: str) -> str:
    return (layout.splits or {}).get(split, split)


def _survey_split(root: str, layout: Layout, split: str) -> Optional[SplitFiles]:
    image_dir, label_dir, list_file = (
        os.path.join(root, part.format(split=_folder(layout, split)))
        for part in (layout.images, layout.labels, layout.list_file)
    )
    extensions = IMAGE_EXTENSIONS if layout.image_file_extension is None else (layout.image_file_extension,)
    images = [path for path in _files(image_dir, extensions) if layout.name_rule.is_image(stem_of(path))]
    if not images or (layout.list_file and not os.path.isfile(list_file)):
        return None
    faults: List[Fault] = []
    pairs = _pair(images, image_dir, label_dir, layout, faults)
    ambiguous = {fault.path for fault in faults}
    faults += _orphans(label_dir, layout, pairs, ambiguous)
    if layout.list_file:
        pairs = _listed(pairs, read_names(list_file), list_file, faults)
    elif layout.val_pattern:
        pairs = [pair for pair in pairs if (split == 'val') == bool(re.search(layout.val_pattern, stem_of(pair.image)))]
    chosen = {pair.image for pair in pairs}
    faults = [fault for fault in faults if fault.kind != 'ambiguous_label' or fault.path in chosen]
    faults += [
        Fault('image_without_label', pair.image) for pair in pairs if pair.label is None and pair.image not in ambiguous
    ]
    return SplitFiles(split, image_dir, label_dir, pairs, faults) if pairs else None


def _files(directory: str, extensions: Sequence[str]) -> List[str]:
    try:
        return find_images(directory, extensions) if os.path.isdir(directory) else []
    except FileNotFoundError:
        return []


def _pair(images: Sequence[str], image_dir: str, label_dir: str, layout: Layout, faults: List[Fault]) -> List[Pair]:
    if not os.path.isdir(label_dir):
        return [Pair(image, None) for image in images]
    index = LabelIndex(label_dir)
    pairs = []
    for image in images:
        folder = os.path.dirname(os.path.relpath(image, image_dir))
        try:
            label = index.find(os.path.join(folder, layout.name_rule.label_stem(stem_of(image))), image)
        except DataError as error:
            faults.append(Fault('ambiguous_label', image, str(error)))
            label = None
        pairs.append(Pair(image, label))
    return pairs


def _orphans(label_dir: str, layout: Layout, pairs: Sequence[Pair], ambiguous: Set[str]) -> List[Fault]:
    """Labels without an image. Files that are not named like labels of this layout are something else."""
    rule = layout.name_rule
    used = {pair.label for pair in pairs}
    claimed = {rule.label_stem(stem_of(image)) for image in ambiguous}
    any_name = rule.label_stem('\0' + (rule.separator or '') + '\0')
    pattern = re.compile('.*'.join(re.escape(part) for part in any_name.split('\0')) + '$')
    return [
        Fault('label_without_image', path)
        for path in _files(label_dir, LABEL_EXTENSIONS)
        if path not in used and stem_of(path) not in claimed and pattern.match(stem_of(path))
    ]


def _listed(pairs: Sequence[Pair], names: Sequence[str], list_file: str, faults: List[Fault]) -> List[Pair]:
    by_name: Dict[str, Pair] = {stem_of(pair.image): pair for pair in pairs}
    faults += [Fault('listed_but_missing', name, 'named in ' + list_file) for name in names if name not in by_name]
    return [by_name[name] for name in names if name in by_name]
