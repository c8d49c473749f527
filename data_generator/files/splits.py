"""Choosing images of a dataset by how their file names begin."""

import os
from typing import List, Sequence

from data_generator.errors import DataError
from data_generator.files.discovery import Pair


def begin_with(pairs: Sequence[Pair], prefixes: Sequence[str]) -> List[bool]:
    """Says of each pair whether the name of its image, without folders, begins with one of `prefixes`.

    Raises:
        ValueError: No prefix, or an empty one.
        DataError: A prefix that no name begins with.
    """
    if not prefixes or not all(isinstance(prefix, str) and prefix for prefix in prefixes):
        raise ValueError(
            'prefixes={!r}: has to be how file names begin, for example {!r}.'.format(
                prefixes, os.path.basename(pairs[0].image)[:6]
            )
        )
    names = [os.path.basename(pair.image) for pair in pairs]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise DataError(
                'None of {} images has a name that begins with {!r}; they are called {} to {}.'.format(
                    len(names), prefix, min(names), max(names)
                )
            )
    return [name.startswith(tuple(prefixes)) for name in names]
