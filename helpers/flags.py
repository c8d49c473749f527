"""Arguments that are on or off, and numbers, which are neither."""

import numbers
from typing import Any

import numpy as np


def check_flags(**flags: Any) -> None:
    """Raises ValueError, with its name, for a value that is neither True nor False, nor 1 or 0.

    Python takes every text for true, 'no' and 'False' among them.
    """
    for name, value in flags.items():
        if not isinstance(value, np.bool_) and not (isinstance(value, numbers.Integral) and value in (0, 1)):
            raise ValueError('{} is {!r}; it has to be True or False.'.format(name, value))


def is_real(value: Any) -> bool:
    """Tells whether a value is a real number; True and False, which Python takes for 1 and 0, are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
