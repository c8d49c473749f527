"""Choosing images of a dataset by how their file names begin, and dividing it for cross-validation."""

import bisect
import os
import random
from typing import Collection, Dict, List, NamedTuple, Sequence

from data_generator.errors import DataError
from data_generator.files.discovery import Pair
from helpers.counted import counted
from helpers.flags import checked_whole, is_whole
from helpers.image_search import composed

#: Common names of folders and files of a split -> the split.
SPLIT_NAMES = {
    'train': 'train',
    'training': 'train',
    'val': 'val',
    'valid': 'val',
    'validation': 'val',
    'test': 'test',
    'testing': 'test',
}


def begin_with(pairs: Sequence[Pair], prefixes: Sequence[str]) -> List[bool]:
    """Tells for each pair whether the file name of its image, without folders, begins with one of `prefixes`.

    A prefix with a slash is compared with the path, starting at any of its folders.

    Raises:
        ValueError: No prefix, or an empty one.
        DataError: A prefix that no name begins with.
    """
    if not prefixes or not all(isinstance(prefix, str) and prefix for prefix in prefixes):
        raise ValueError(
            'prefixes is {!r}; it has to be how file names begin, for example {!r}.'.format(
                prefixes, os.path.basename(pairs[0].image)[:6]
            )
        )
    prefixes = [composed(prefix) for prefix in prefixes]
    names = [composed(os.path.basename(pair.image)) for pair in pairs]
    paths = _relative_paths(pairs) if any('/' in prefix for prefix in prefixes) else []
    of_names = sorted(zip(names, range(len(names))))
    of_paths = sorted((end, number) for number, path in enumerate(paths) for end in _ends(path))
    found = [False] * len(pairs)
    for prefix in prefixes:
        ordered = of_paths if '/' in prefix else of_names
        first = place = bisect.bisect_left(ordered, (prefix, 0))  # what begins with this prefix starts here
        while place < len(ordered) and ordered[place][0].startswith(prefix):
            found[ordered[place][1]] = True
            place += 1
        if place == first:
            raise DataError(
                'None of {} images has a name that begins with {!r}; they are called {} to {}.'.format(
                    len(names), prefix, min(names), max(names)
                )
            )
    return found


def _ends(path: str) -> List[str]:
    """The path, and what is left of it without its first folders."""
    return [path] + [path[place + 1 :] for place, letter in enumerate(path) if letter == '/']


def _relative_paths(pairs: Sequence[Pair]) -> List[str]:
    """The images' paths relative to their common parent folder, with slashes and composed accents."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(pair.image)) for pair in pairs])
    return [composed(os.path.relpath(os.path.abspath(pair.image), root)).replace(os.sep, '/') for pair in pairs]


class Folds(NamedTuple):
    """A division into parts that are held out in turn.

    prefixes: the prefixes of each part, as `begin_with` takes them. unit: what is never divided: 'folders', 'sequences'
    (images whose names are equal up to the first underscore), or 'images'.
    """

    prefixes: List[List[str]]
    unit: str


def divide(pairs: Sequence[Pair], number: int, seed: int = 0) -> Folds:
    """Divides a dataset into `number` parts of about the same size, by folders or sequences if there are enough.

    Images of one drive are too similar to be divided between training and scoring. So if there are enough folders, each
    goes into one part as a whole; else sequences do.

    Raises:
        ValueError: `number` is no whole number from 2 to the number of images, or `seed` is none of at least 0.
        DataError: Images have to be divided one by one, and one path is the end of another, as 1.png is of sub/1.png.
    """
    if not is_whole(number) or not 2 <= number <= len(pairs):
        raise ValueError(
            '{!r} folds of {} were asked for; the number has to be from 2 to that of the images, for example 5.'.format(
                number, counted(len(pairs), 'image')
            )
        )
    seed = checked_whole('seed', seed, 0)  # random.Random(-1) is the same as random.Random(1)
    paths = _relative_paths(pairs)
    names = [os.path.basename(path) for path in paths]
    folders = [path[: -len(name)] for path, name in zip(paths, names)]
    sequences = [name.split('_')[0] + '_' if '_' in name else name for name in names]
    for unit, keys in (('folders', folders), ('sequences', sequences)):
        if number <= len(set(keys)) < len(pairs) and (unit == 'sequences' or _are_apart(set(folders))):
            return Folds(_shared_out(keys, int(number), seed), unit)
    keys = names if len(set(names)) == len(names) else _told_apart(paths)
    return Folds(_shared_out(keys, int(number), seed), 'images')


def _are_apart(folders: Collection[str]) -> bool:
    """Whether each folder, used as a prefix, matches only its own images."""
    if '' in folders:
        return False
    there = set(folders)
    for folder in there:
        parts = (end[: place + 1] for end in _ends(folder) for place, letter in enumerate(end) if letter == '/')
        if any(part in there for part in parts if part != folder):
            return False
    return True


def _told_apart(paths: List[str]) -> List[str]:
    """Returns the paths. Raises DataError if one of them, used as a prefix, also matches another image."""
    there = set(paths)
    for path in paths:
        for end in there.intersection(_ends(path)[1:]):
            raise DataError(
                '{} and {} cannot be told apart as parts of a dataset. Put the first into a folder of its own.'.format(
                    end, path
                )
            )
    return paths


def _shared_out(keys: Sequence[str], number: int, seed: int) -> List[List[str]]:
    """Distributes the distinct keys over `number` parts: in random order, the most frequent first, each to the smallest
    part so far.
    """
    counts: Dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    order = sorted(counts)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda key: -counts[key])
    parts: List[List[str]] = [[] for _ in range(number)]
    sizes = [0] * number
    for key in order:
        smallest = sizes.index(min(sizes))
        parts[smallest].append(key)
        sizes[smallest] += counts[key]
    return [sorted(part) for part in parts]
