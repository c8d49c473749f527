"""Which label files are read to find out what all of them hold."""

from typing import List, Sequence, TypeVar

Item = TypeVar('Item')

#: How many files, spread over a dataset, are read to find out what its labels hold; more if these do not tell.
NUM_SAMPLED = 16


def evenly(items: Sequence[Item], number: int) -> List[Item]:
    """Returns so many of the items, or all if there are fewer, at equal distances from the first on."""
    number = min(number, len(items))
    return [items[index * len(items) // number] for index in range(number)]


def spread(labels: Sequence[str]) -> List[str]:
    """Returns all labels, with `NUM_SAMPLED` that are spread over the dataset first."""
    return list(dict.fromkeys([*evenly(labels, NUM_SAMPLED), *labels]))
