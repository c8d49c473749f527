"""Which files of one split belong together in a layout, and what is wrong with the others.

`data_generator.files.layouts` refuses a split at its first fault; this module collects all faults and continues.
"""

import os
import re
from collections import Counter
from typing import List, NamedTuple, Optional, Sequence, Set, Tuple

from data_generator.checking.faults import Fault
from data_generator.errors import DataError, Problem
from data_generator.files.discovery import LABEL_EXTENSIONS, Pair, find_images_of, list_files, pair_with_labels, stem_of
from data_generator.files.layouts import Layout, Places, find_split, places_of
from helpers.image_search import folded


class SplitFiles(NamedTuple):
    """The files of one split. `label` of a pair is None if it has none; `faults` are those met while finding files."""

    name: str
    image_dir: str
    label_dir: str
    pairs: List[Pair]
    faults: List[Fault]

    @property
    def num_labels(self) -> int:
        """How many images have a label."""
        return sum(pair.label is not None for pair in self.pairs)


def survey_split(root: str, layout: Layout, split: str) -> Optional[SplitFiles]:
    """Finds the files of a split, and what is wrong with them; None if it has no files in this layout.

    Args:
        root: The directory of the dataset.
        split: The layout's name of the split, or 'all' if it has no splits.
    """
    found = _pairs_and_problems(root, layout, split)
    if found is None:
        return None
    pairs, problems = found
    if not pairs and not any(problem.kind == 'unreadable_list' for problem in problems):
        return None
    places, images = places_of(layout, root, split), {pair.image for pair in pairs}
    ambiguous = {problem.path for problem in problems if problem.kind == 'ambiguous_label'}
    # A list may leave out images whose labels are ambiguous.
    faults = [Fault(*problem) for problem in problems if problem.kind != 'ambiguous_label' or problem.path in images]
    faults += _with_further_masks(_orphans(places, layout, ambiguous), pairs)
    faults += _unlabelled(pairs, ambiguous) + _in_mixed_case(pairs, layout) + _renamed(pairs, layout)
    if _has_file_per_class(pairs, faults):  # this explains why labels do not fit the images
        consequences = ('ambiguous_label', 'image_without_label', 'label_without_image')
        faults = [fault for fault in faults if fault.kind not in consequences]
        faults.append(Fault('file_per_class', places.label_dir))
    return SplitFiles(split, places.image_dir, places.label_dir, pairs, faults)


def _pairs_and_problems(root: str, layout: Layout, split: str) -> Optional[Tuple[List[Pair], List[Problem]]]:
    problems: List[Problem] = []
    try:
        return find_split(layout, root, split, problems=problems), problems
    except FileNotFoundError:
        return None
    except DataError as error:
        places = places_of(layout, root, split)
        # A list that cannot be read is reported; a folder without images belongs to another layout.
        if os.path.isfile(places.list_file) and os.path.isdir(places.image_dir):
            return [], [Problem('unreadable_list', places.list_file, str(error))]
        return None


def _unlabelled(pairs: Sequence[Pair], ambiguous: Set[str]) -> List[Fault]:
    """Faults of images without a label, except images that have several."""
    labels = {os.path.splitext(pair.label)[0] for pair in pairs if pair.label is not None}
    without = [pair.image for pair in pairs if pair.label is None and pair.image not in ambiguous]
    return [Fault(_kind_without_label(image, labels), image) for image in without]


def _kind_without_label(image: str, labels: Set[str]) -> str:
    """The kind of fault of an image without a label. labels: the paths of other images' labels, without extension."""
    folder, name = os.path.split(image)
    if 'thumb' in name.lower() or 'thumb' in os.path.basename(folder).lower():
        return 'thumbnail'
    return 'further_label' if _without_number(image) in labels else 'image_without_label'


def _without_number(path: str) -> str:
    """The part of a name before a number at its end, without the separator; '' if there is no such number."""
    numbered = re.match(r'(.+)[_\-. ]\d+$', os.path.splitext(path)[0])
    return '' if numbered is None else numbered.group(1)


def _with_further_masks(orphans: Sequence[Fault], pairs: Sequence[Pair]) -> List[Fault]:
    """Labels without an image; those that end in the word of labels and a number may be further masks of an image."""
    renamed = [pair.label for pair in pairs if pair.label is not None and stem_of(pair.label) != stem_of(pair.image)]
    labels = {os.path.splitext(label)[0] for label in renamed}
    return [
        fault._replace(kind='further_mask') if _without_number(fault.path) in labels else fault for fault in orphans
    ]


def _in_mixed_case(pairs: Sequence[Pair], layout: Layout) -> List[Fault]:
    """Labels that are found only because upper and lower case are not distinguished."""
    return [
        Fault('mixed_case', pair.label)
        for pair in pairs
        if pair.label is not None
        and stem_of(pair.label) != layout.name_rule.label_stem(stem_of(pair.image))
        and folded(stem_of(pair.label)) == folded(layout.name_rule.label_stem(stem_of(pair.image)))
    ]


def _renamed(pairs: Sequence[Pair], layout: Layout) -> List[Fault]:
    """A remark on labels whose names differ from those of their images, with an example."""
    for pair in pairs:
        if pair.label is not None:
            expected = layout.name_rule.label_stem(stem_of(pair.image))
            if folded(stem_of(pair.label)) == folded(expected):
                return []
            example = '{} is the label of {}'.format(*map(os.path.basename, (pair.label, pair.image)))
            return [Fault('renamed_label', os.path.dirname(pair.label), example)]
    return []


def _has_file_per_class(pairs: Sequence[Pair], faults: Sequence[Fault]) -> bool:
    """Whether most images have several labels: files of that name in a folder for each class, or with suffixes."""
    several = sum(fault.kind == 'ambiguous_label' for fault in faults)
    orphans = [stem_of(fault.path) for fault in faults if fault.kind == 'label_without_image']
    beginnings = Counter(stem[: separator.start()] for stem in orphans for separator in re.finditer('[-_.]', stem))
    several += sum(beginnings[stem_of(fault.path)] > 1 for fault in faults if fault.kind == 'image_without_label')
    return several > 1 and 2 * several > len(pairs)


def _orphans(places: Places, layout: Layout, ambiguous: Set[str]) -> List[Fault]:
    """Labels without an image. Files whose names do not fit the labels of this layout are ignored."""
    rule = layout.name_rule
    if places.image_dir == places.label_dir:
        return []  # every file that is no label is an image
    if '{split}' in layout.images and '{split}' not in layout.labels:
        return []  # a label may belong to another split
    images = find_images_of(places.image_dir, layout.image_file_extension, rule)
    labels = list_files(places.label_dir, LABEL_EXTENSIONS)
    if not labels:
        return []
    used = {pair.label for pair in pair_with_labels(images, places.image_dir, places.label_dir, rule, [])}
    claimed = {rule.label_stem(stem_of(image)) for image in ambiguous}
    any_name = rule.label_stem('\0' + (rule.separator or '') + '\0')
    pattern = re.compile('.*'.join(re.escape(part) for part in any_name.split('\0')) + r'([_\-. ]\d+)?$')
    return [
        Fault('label_without_image', path)
        for path in labels
        if path not in used and stem_of(path) not in claimed and pattern.match(stem_of(path))
    ]
