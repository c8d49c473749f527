"""Checks of what functions of this package are called with."""

import difflib
from typing import Any, Iterable, Sequence


def check_strings(**values: Any) -> None:
    """Raises ValueError for a value, by its name, that is neither a string nor None."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise ValueError('{} is {!r}; it has to be a string, or None for none.'.format(name, value))


def check_names(given: Iterable[str], known: Sequence[str], method: str) -> None:
    """Raises ValueError for a name that a method lacks, with those that it has."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            raise ValueError(
                '{}: {} has no such option. {}It has {}.'.format(
                    name,
                    method,
                    'Did you mean {}? '.format(' or '.join(close)) if close else '',
                    ', '.join(known),
                )
            )
