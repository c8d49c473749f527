"""Recognises labels with the numbers or colours of Cityscapes, which other street datasets use, too."""

import os
import re
from typing import Any, Collection, Iterable, List, Set

from data_generator.files.discovery import stem_of
from data_generator.files.legends import NAMED_LEGENDS
from data_generator.files.masks import NAMED_MAPS
from helpers.label_spaces import CITYSCAPES

# Names of datasets that use its numbers, and names of files that say which of the two kinds they have.
_DATASETS = re.compile('cityscapes|gtfine|gtcoarse|kitti|bdd|acdc|gta5|wilddash', re.IGNORECASE)
_OF_TRAIN_IDS = re.compile('train_?ids?', re.IGNORECASE)
_OF_LABEL_IDS = re.compile('label_?ids?', re.IGNORECASE)
_CLASSES = set(range(CITYSCAPES.num_classes))
_TRAIN_IDS = {*_CLASSES, CITYSCAPES.ignore_id}
_LABEL_IDS = set(NAMED_MAPS['cityscapes'])
# Train IDs in street scenes reach at least to vegetation; IDs after the last may be void.
_VEGETATION, _MAYBE_VOID = 8, {19, 20}
# Label IDs of road, building, vegetation and sky, which all street scenes have, and the first of persons and vehicles,
# which come last.
_IN_STREETS, _PERSON = {7, 11, 21, 23}, 24
# Fewer numbers or colours than this may belong to any dataset.
_FEWEST = 4


def options_for(values: Iterable[Any], label: str) -> List[str]:
    """Returns the options of `fcn8s check` and `fcn8s train` that read labels as those of Cityscapes.

    Args:
        values: All IDs, or all colours, that labels hold.
        label: The path of one label: names of files and datasets say more than values, which have to fit in any case.

    Returns:
        One option for each possible reading; empty if there is none.
    """
    found = set(values)
    if len(found) < _FEWEST:
        return []
    if any(isinstance(value, tuple) for value in found):
        return ['--colors cityscapes'] if _are_its_colors(found) else []
    named = _numbers_by_name(label)
    options = []
    if _may_be_train_ids(found, named):
        options.append('--class-names cityscapes')
    if _may_be_label_ids(found, named):
        options.append('--class-names cityscapes --id-map cityscapes')
    return options


def _are_its_colors(found: Set[Any]) -> bool:
    known = {*CITYSCAPES.colors, *NAMED_LEGENDS['cityscapes'].ignore_colors}
    return found <= known and len(found.intersection(CITYSCAPES.colors)) >= _FEWEST


def _numbers_by_name(label: str) -> str:
    """'train' or 'label' if a file's name says which IDs it holds, 'either' if its path names a dataset, else ''."""
    if _OF_TRAIN_IDS.search(stem_of(label)):
        return 'train'
    if _OF_LABEL_IDS.search(stem_of(label)):
        return 'label'
    return 'either' if _DATASETS.search(os.path.abspath(label)) else ''


def _may_be_train_ids(found: Set[int], named: str) -> bool:
    """Whether values fit, and names or the values themselves support it: all train IDs, and that of void."""
    are_told = named == 'train' or named == 'either' and _reach_vegetation(found)
    return found <= _TRAIN_IDS and (are_told or found == _TRAIN_IDS)


def _may_be_label_ids(found: Set[int], named: str) -> bool:
    """Whether values fit, and names or the values themselves support it: the classes of every street, and persons."""
    are_train_ids_and_void = _CLASSES <= found <= _TRAIN_IDS | _MAYBE_VOID
    are_told = named == 'label' or named == 'either' and _reach_vegetation(found) and not are_train_ids_and_void
    return found <= _LABEL_IDS and (are_told or (found >= _IN_STREETS and max(found) >= _PERSON))


def _reach_vegetation(found: Set[int]) -> bool:
    return max(found - {CITYSCAPES.ignore_id}) >= _VEGETATION


def are_label_ids(values: Collection[Any], illegal: Collection[Any]) -> bool:
    """Tells whether labels that are called train IDs hold label IDs. A single illegal value may be void.

    Args:
        values: All values in the labels.
        illegal: Those of them that are no train ID.
    """
    return set(values) <= _LABEL_IDS and len(illegal) > 1 and not set(illegal) <= _MAYBE_VOID
