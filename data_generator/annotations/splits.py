"""Which image goes into which split: by the source's splits, by lists of names, or at random."""

import random
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

from data_generator.annotations.lists import Line, lines_by_image, lines_of
from data_generator.annotations.shapes import LeftOut
from helpers.counted import counted, join_and_dots
from helpers.flags import checked_whole, is_real

DEFAULT_VAL_SHARE = 0.2


def check_division(val_share: Optional[float], seed: int, lists: Dict[str, str]) -> None:
    """Raises ValueError unless val_share is None or 0 <= val_share < 1, and for a seed where nothing is random."""
    if val_share is not None and not (is_real(val_share) and 0 <= val_share < 1):
        raise ValueError('--val-share is {}; it has to be at least 0 and below 1. 0.2 is usual.'.format(val_share))
    checked_whole('--seed', seed, 0)  # random.Random(-1) is the same as random.Random(1)
    if lists and val_share is not None:
        raise ValueError('--val-share came with lists of names, which decide already. Leave one of them out.')
    if lists or val_share == 0:
        _refuse_seed(seed, 'the lists of names decide' if lists else '--val-share is 0')


class Division(NamedTuple):
    """splits: the split of each image, or None for one that is left out. rule: who decided, for the report."""

    splits: List[Optional[str]]
    rule: str


def assign_splits(
    names: Sequence[str],
    paths: Sequence[str],
    own: Sequence[Optional[str]],
    val_share: Optional[float],
    seed: int,
    lists: Dict[str, str],
    left_out: LeftOut,
) -> Division:
    """Returns the split of each image, or None for one that is in no list, or in none of the source's splits.

    Args:
        names: The names of the images in the dataset, with '/'.
        paths: Their absolute paths.
        own: The split of each image in the source, or None.
        val_share: The share of images that become 'val', at random. None uses the source's own splits if it has both
            'train' and 'val'; if it has only 'val', and images of no split, these become 'train'; else it is a fifth.
        lists: Text files of image names by split; they take precedence.

    Raises:
        ValueError: A name is in two lists, a list names no image, or there is a seed but the source decides.
    """
    if lists:
        return Division(_by_lists(names, paths, lists, left_out), 'those of the lists of names')
    there = set(own)
    if val_share is None and 'val' in there and there & {'train', None}:
        _refuse_seed(seed, 'the source has splits of its own, unless there is a --val-share')
        return _of_the_source(names, own, left_out)
    return _at_random(names, own, DEFAULT_VAL_SHARE if val_share is None else val_share, seed)


def _of_the_source(names: Sequence[str], own: Sequence[Optional[str]], left_out: LeftOut) -> Division:
    if 'train' not in own:
        rule = 'those of the source, which names no train: it is made of {} of no split'
        return Division([split or 'train' for split in own], rule.format(counted(list(own).count(None), 'image')))
    for name, split in zip(names, own):
        if split is None:
            left_out.add('images that are in no split of the source', name)
    return Division(list(own), 'those of the source')


def _at_random(names: Sequence[str], own: Sequence[Optional[str]], share: float, seed: int) -> Division:
    choice = [index for index, split in enumerate(own) if split != 'test']
    count = int(round(share * len(choice)))
    if share > 0 and len(choice) > 1:
        count = min(max(count, 1), len(choice) - 1)
    # Sorted, so that the order of files on the disk does not matter.
    choice.sort(key=lambda index: names[index])
    val = set(random.Random(seed).sample(choice, count))
    splits = ['val' if index in val else 'test' if own[index] == 'test' else 'train' for index in range(len(names))]
    rule = 'at random (--val-share {:g}){}'.format(share, _said_of_moved(own, splits))
    return Division(list(splits), rule)


def _said_of_moved(own: Sequence[Optional[str]], splits: Sequence[str]) -> str:
    """Says how many images of the source's train and val change sides; '' if the source does not tell them apart."""
    if len(set(own) - {'test'}) < 2:
        return ''
    moved = [
        '{} of its {} are {}'.format(list(zip(own, splits)).count((one, other)), one, other)
        for one, other in (('train', 'val'), ('val', 'train'))
        if one in own
    ]
    return '; the source divides them otherwise: {}'.format(', '.join(moved))


def _refuse_seed(seed: int, who_decides: str) -> None:
    if seed:
        raise ValueError(
            '--seed is {}; it says which images are chosen by chance, and nothing is: {}. Leave it out.'.format(
                seed, who_decides
            )
        )


def _by_lists(
    names: Sequence[str], paths: Sequence[str], lists: Dict[str, str], left_out: LeftOut
) -> List[Optional[str]]:
    lines = lines_of(lists.items())
    _refuse_two_splits(lines)
    found = lines_by_image(names, paths, lines)
    used = {line.key for line in found if line is not None}
    for split, path in lists.items():
        _refuse_useless(path, [line for line in lines if line.split == split], used, names)
    for line in lines:
        if line.key not in used:
            left_out.add('names in lists without an image', line.place)
    for name, of_image in zip(names, found):
        if of_image is None:
            left_out.add('images that are in no list', name)
    return [None if line is None else line.split for line in found]


def _refuse_two_splits(lines: Sequence[Line]) -> None:
    splits: Dict[str, str] = {}
    for line in lines:
        if splits.setdefault(line.key, line.split) != line.split:
            raise ValueError('{} is in the lists of two splits. Take it out of one.'.format(line.text))


def _refuse_useless(path: str, lines: Sequence[Line], used: Set[str], names: Sequence[str]) -> None:
    """Raises ValueError for a list that names no image: its split would be empty, or get all remaining images."""
    if not any(line.key in used for line in lines):
        raise ValueError(
            '{} names none of the images: {}, and the images are called {}. Write a name a line.'.format(
                path,
                'it begins with {!r:.80}'.format(lines[0].text) if lines else 'it is empty',
                join_and_dots([repr(name) for name in names], 2),
            )
        )
