"""Checks of arguments to functions of this package."""

import difflib
from typing import Any, Iterable, Sequence


def check_strings(**values: Any) -> None:
    """Raises ValueError for a value that is neither a string nor None. The message has its name."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise ValueError('{} is {!r}; it has to be a string, or None for none.'.format(name, value))


def check_names(given: Iterable[str], known: Sequence[str], method: str) -> None:
    """Raises ValueError for a name that is no option of a method. The message lists the known names."""
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
