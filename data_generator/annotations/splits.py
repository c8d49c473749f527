"""Which image goes into which split: as the source has them, by lists of names, or by chance."""

import random
from typing import Dict, List, Optional, Sequence, Tuple

from data_generator.annotations.documents import read_text
from data_generator.annotations.shapes import LeftOut

DEFAULT_VAL_SHARE = 0.2


def check_val_share(val_share: Optional[float]) -> None:
    """Raises ValueError unless it is None or 0 <= val_share < 1."""
    if val_share is not None and not 0 <= val_share < 1:
        raise ValueError('--val-share is {}; it has to be at least 0 and below 1. 0.2 is usual.'.format(val_share))


def assign_splits(
    names: Sequence[str],
    own: Sequence[Optional[str]],
    val_share: Optional[float],
    seed: int,
    lists: Dict[str, str],
    left_out: LeftOut,
) -> List[Optional[str]]:
    """Returns the split of each image, or None for one that is in no list.

    Args:
        names: The images' paths, with '/'.
        own: The split that the source has each in, or None.
        val_share: The share of images that become 'val', by chance; None takes the source's own splits if it has both
            'train' and 'val', and a fifth otherwise.
        lists: Text files of image names by split; they go before all else.

    Raises:
        ValueError: A name is in two lists, or there is a seed and nothing to be chosen by chance.
    """
    if lists:
        _refuse_seed(seed, 'the lists of names decide')
        return _by_lists(names, lists, left_out)
    if val_share is None and {'train', 'val'} <= set(own):
        _refuse_seed(seed, 'the source has splits of its own, unless there is a --val-share')
        return [split or 'train' for split in own]
    share = DEFAULT_VAL_SHARE if val_share is None else val_share
    if share == 0:
        _refuse_seed(seed, '--val-share is 0')
    choice = [index for index, split in enumerate(own) if split != 'test']
    count = int(round(share * len(choice)))
    if share > 0 and len(choice) > 1:
        count = min(max(count, 1), len(choice) - 1)
    # Sorted, so that the order of the files on a disk decides nothing.
    choice.sort(key=lambda index: names[index])
    val = set(random.Random(seed).sample(choice, count))
    return ['val' if index in val else 'test' if own[index] == 'test' else 'train' for index in range(len(names))]


def _refuse_seed(seed: int, who_decides: str) -> None:
    if seed:
        raise ValueError(
            '--seed is {}; it says which images are chosen by chance, and nothing is: {}. Leave it out.'.format(
                seed, who_decides
            )
        )


def _by_lists(names: Sequence[str], lists: Dict[str, str], left_out: LeftOut) -> List[Optional[str]]:
    wanted: Dict[str, str] = {}
    for split, path in lists.items():
        for line in read_text(path).splitlines():
            key = _key(line.strip())
            if key and wanted.setdefault(key, split) != split:
                raise ValueError('{} is in the lists of two splits. Take it out of one.'.format(line.strip()))
    used = set()
    splits: List[Optional[str]] = []
    for name in names:
        found = next((key for key in _keys(name) if key in wanted), None)
        used.add(found)
        splits.append(None if found is None else wanted[found])
        if found is None:
            left_out.add('images that are in no list', name)
    missing = sorted(set(wanted) - used)
    for name in missing:
        left_out.add('names in lists without an image', name)
    return splits


def _key(name: str) -> str:
    name = name.replace('\\', '/')
    stem, dot, extension = name.rpartition('.')
    return stem if dot and '/' not in extension and len(extension) <= 4 and not extension.isdigit() else name


def _keys(name: str) -> Tuple[str, ...]:
    """The path without extension, and shorter ends of it."""
    parts = _key(name).split('/')
    return tuple('/'.join(parts[start:]) for start in range(len(parts)))
