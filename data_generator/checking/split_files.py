"""Which files of one split belong together in a layout, and what is wrong with those that do not.

`data_generator.files.layouts` refuses a split at its first fault; here all faults are noted and the rest goes on.
"""

import os
import re
from typing import List, NamedTuple, Optional, Sequence, Set, Tuple

from data_generator.checking.faults import Fault
from data_generator.errors import DataError, Problem
from data_generator.files.discovery import LABEL_EXTENSIONS, Pair, find_images_of, list_files, pair_with_labels, stem_of
from data_generator.files.layouts import Layout, Places, find_split, places_of
from helpers.image_search import folded


class SplitFiles(NamedTuple):
    """The files of one split. `label` of a pair is None where there is none; `faults` are those of finding them."""

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
    """Finds the files of a split, and what is wrong with them; None where it has none in this layout.

    Args:
        root: The directory of the dataset.
        split: As the layout calls it, or 'all' where it has no splits.
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
    if _has_file_per_class(pairs, faults):  # which is why labels do not fit the images
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
        # A list that cannot be read is worth a word; a folder without images is another layout.
        if os.path.isfile(places.list_file) and os.path.isdir(places.image_dir):
            return [], [Problem('unreadable_list', places.list_file, str(error))]
        return None


def _unlabelled(pairs: Sequence[Pair], ambiguous: Set[str]) -> List[Fault]:
    """Images without a label, apart from those that have several."""
    labels = {os.path.splitext(pair.label)[0] for pair in pairs if pair.label is not None}
    without = [pair.image for pair in pairs if pair.label is None and pair.image not in ambiguous]
    return [Fault(_kind_without_label(image, labels), image) for image in without]


def _kind_without_label(image: str, labels: Set[str]) -> str:
    """Which fault an image without a label is. labels: the paths of the labels of others, without extension."""
    folder, name = os.path.split(image)
    if 'thumb' in name.lower() or 'thumb' in os.path.basename(folder).lower():
        return 'thumbnail'
    return 'further_label' if _without_number(image) in labels else 'image_without_label'


def _without_number(path: str) -> str:
    """What stands in front of a number at the end of a name, without the separator; '' where there is none."""
    numbered = re.match(r'(.+)[_\-. ]\d+$', os.path.splitext(path)[0])
    return '' if numbered is None else numbered.group(1)


def _with_further_masks(orphans: Sequence[Fault], pairs: Sequence[Pair]) -> List[Fault]:
    """Labels without an image, of which those that have the word of labels and a number behind may be of another's."""
    renamed = [pair.label for pair in pairs if pair.label is not None and stem_of(pair.label) != stem_of(pair.image)]
    labels = {os.path.splitext(label)[0] for label in renamed}
    return [
        fault._replace(kind='further_mask') if _without_number(fault.path) in labels else fault for fault in orphans
    ]


def _in_mixed_case(pairs: Sequence[Pair], layout: Layout) -> List[Fault]:
    """Labels that are found only where upper and lower case are the same."""
    return [
        Fault('mixed_case', pair.label)
        for pair in pairs
        if pair.label is not None
        and stem_of(pair.label) != layout.name_rule.label_stem(stem_of(pair.image))
        and folded(stem_of(pair.label)) == folded(layout.name_rule.label_stem(stem_of(pair.image)))
    ]


def _renamed(pairs: Sequence[Pair], layout: Layout) -> List[Fault]:
    """A word about labels that are not called like their images, with an example."""
    for pair in pairs:
        if pair.label is not None:
            expected = layout.name_rule.label_stem(stem_of(pair.image))
            if folded(stem_of(pair.label)) == folded(expected):
                return []
            example = '{} is the label of {}'.format(*map(os.path.basename, (pair.label, pair.image)))
            return [Fault('renamed_label', os.path.dirname(pair.label), example)]
    return []


def _has_file_per_class(pairs: Sequence[Pair], faults: Sequence[Fault]) -> bool:
    """Whether most images have several labels: namesakes in a folder for each class, or their name and more behind."""
    several = sum(fault.kind == 'ambiguous_label' for fault in faults)
    orphans = [stem_of(fault.path) for fault in faults if fault.kind == 'label_without_image']
    for fault in faults:
        if fault.kind == 'image_without_label':
            stem = stem_of(fault.path)
            several += sum(orphan.startswith((stem + '_', stem + '-', stem + '.')) for orphan in orphans) > 1
    return several > 1 and 2 * several > len(pairs)


def _orphans(places: Places, layout: Layout, ambiguous: Set[str]) -> List[Fault]:
    """Labels without an image. Files that are not named like labels of this layout are something else."""
    rule = layout.name_rule
    if places.image_dir == places.label_dir:
        return []  # what is no label is an image
    if '{split}' in layout.images and '{split}' not in layout.labels:
        return []  # it may be of another split
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
