"""Which label files are read to find out what all of them hold."""

from typing import List, Sequence

#: How many files, spread over a dataset, are read to find out what its labels hold; more if these do not tell.
NUM_SAMPLED = 16


def spread(labels: Sequence[str]) -> List[str]:
    """Returns all labels, with `NUM_SAMPLED` that are spread over the dataset first."""
    number = min(NUM_SAMPLED, len(labels))
    first = [labels[index * len(labels) // number] for index in range(number)]
    return list(dict.fromkeys([*first, *labels]))
