"""Which label files are looked at to tell what all of them hold."""

from typing import List, Sequence

#: How many files, spread over a dataset, are looked at to tell what its labels hold; more where these do not say.
NUM_SAMPLED = 16


def spread(labels: Sequence[str]) -> List[str]:
    """Returns all labels, beginning with `NUM_SAMPLED` that are spread over the dataset."""
    first = labels[:: max(1, len(labels) // NUM_SAMPLED)][:NUM_SAMPLED]
    return list(dict.fromkeys([*first, *labels]))
