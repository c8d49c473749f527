"""Labels in the numbers or colours of Cityscapes, which other datasets of streets have taken over, told from others."""

import os
import re
from typing import Any, Collection, Iterable, List

from data_generator.files.discovery import stem_of
from data_generator.files.legends import NAMED_LEGENDS
from data_generator.files.masks import NAMED_MAPS
from helpers.label_spaces import CITYSCAPES

# Datasets that have its numbers.
_DATASETS = re.compile('cityscapes|gtfine|gtcoarse|kitti|bdd|acdc|gta5|wilddash', re.IGNORECASE)
_OF_TRAIN_IDS = re.compile('train_?ids?', re.IGNORECASE)
_OF_LABEL_IDS = re.compile('label_?ids?', re.IGNORECASE)
_TRAIN_IDS = {*range(CITYSCAPES.num_classes), CITYSCAPES.ignore_id}
# Label IDs of road, building, vegetation and sky, which every street has; those of persons and vehicles are the last.
_IN_STREETS, _PERSON = {7, 11, 21, 23}, 24
# Train IDs of streets go up to vegetation at least; what lies behind the last may be void.
_VEGETATION, _MAYBE_VOID = 8, {19, 20}
# Fewer of its numbers or colours than this may be those of any dataset.
_FEWEST = 4


def options_for(values: Iterable[Any], label: str) -> List[str]:
    """Returns the options of `fcn8s check` and `fcn8s train` by which labels are read as those of Cityscapes.

    Args:
        values: All IDs, or all colours, that labels hold.
        label: Path of one of them: names of files and datasets say more than values, which have to fit in any case.

    Returns:
        None of them, or one for each reading.
    """
    found = set(values)
    if len(found) < _FEWEST:
        return []
    if any(isinstance(value, tuple) for value in found):
        legend = NAMED_LEGENDS['cityscapes']
        is_known = found <= {*CITYSCAPES.colors, *legend.ignore_colors}
        return ['--colors cityscapes'] if is_known and len(found & {*CITYSCAPES.colors}) >= _FEWEST else []
    says_train_ids = bool(_OF_TRAIN_IDS.search(stem_of(label)))
    says_label_ids = not says_train_ids and bool(_OF_LABEL_IDS.search(stem_of(label)))
    is_known = not says_train_ids and not says_label_ids and bool(_DATASETS.search(os.path.abspath(label)))
    options = []
    are_known = is_known and max(found - {CITYSCAPES.ignore_id}) >= _VEGETATION
    if found <= _TRAIN_IDS and (says_train_ids or are_known or found == _TRAIN_IDS):
        options.append('--class-names cityscapes')
    looks_like_ids = found >= _IN_STREETS and max(found) >= _PERSON
    are_known = are_known and not (found >= {*range(CITYSCAPES.num_classes)} and found <= _TRAIN_IDS | _MAYBE_VOID)
    if found <= set(NAMED_MAPS['cityscapes']) and (says_label_ids or are_known or looks_like_ids):
        options.append('--class-names cityscapes --id-map cityscapes')
    return options


def are_label_ids(values: Collection[Any], illegal: Collection[Any]) -> bool:
    """Tells whether labels that were called train IDs hold label IDs; a single other value may be void.

    Args:
        values: All that they hold.
        illegal: Those of them that are no train ID.
    """
    if not set(values) <= set(NAMED_MAPS['cityscapes']):
        return False
    return len(illegal) > 1 and not set(illegal) <= _MAYBE_VOID
