"""Arguments that are on or off, one of several, numbers or arrays."""

import math
import numbers
from typing import Any, Iterable, List, Optional, Tuple

import numpy as np


def check_flags(**flags: Any) -> None:
    """Raises ValueError, naming the flag, for a value other than True, False, 1 and 0.

    In Python every non-empty text is true, even 'no' and 'False'.
    """
    for name, value in flags.items():
        if not isinstance(value, np.bool_) and not (isinstance(value, numbers.Integral) and value in (0, 1)):
            raise ValueError('{} is {!r}; it has to be True or False.'.format(name, value))


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Returns `value`; raises ValueError, naming the choices, if it is none of them."""
    # A tuple: `value` may be a list, which a dict cannot look up. Arrays are compared by their entries.
    if isinstance(value, np.ndarray) or value not in tuple(choices):
        raise ValueError('{} is {!r}; choose from {}.'.format(name, value, ', '.join(map(str, choices))))
    return value


def check_rule(holds: bool, name: str, value: Any, rule: str) -> None:
    """Raises ValueError, naming the argument, its value and the rule, unless the rule holds."""
    if not holds:
        raise ValueError('{} is {}; it has to be {}.'.format(name, value, rule))


def check_function(name: str, value: Any, what: str) -> None:
    """Raises ValueError, naming the argument, for a value that is not callable. what: its arguments, and an example."""
    if not callable(value):
        raise ValueError('{} is of the type {}; it has to be a function {}.'.format(name, type(value).__name__, what))


def is_real(value: Any) -> bool:
    """Tells whether a value is a real number. True and False are not, although Python treats them as 1 and 0."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_positive(value: Any) -> bool:
    """Tells whether a value is a finite number above 0."""
    return is_real(value) and 0 < value < math.inf


def check_alpha(alpha: float) -> None:
    """Raises ValueError unless the opacity of an overlay is a number from 0 to 1."""
    if not is_real(alpha) or not 0 <= alpha <= 1:
        raise ValueError('alpha is {!r}; it has to be from 0 (only the image) to 1 (only the colours).'.format(alpha))


def is_whole(value: Any) -> bool:
    """Tells whether a value is an integer of Python or NumPy. True, False and 2.0 are not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def checked_whole(name: str, value: Any, low: int, high: Optional[int] = None, remedy: str = '') -> int:
    """Returns an integer as Python's int, which JSON accepts and which does not overflow.

    Args:
        low, high: The smallest and the largest value allowed; None for no largest.
        remedy: A sentence that the message adds to the rule.

    Raises:
        ValueError: `value` is no integer, or out of its range.
    """
    if not is_whole(value) or value < low or (high is not None and value > high):
        rule = 'of at least {}'.format(low) if high is None else 'from {} to {}'.format(low, high)
        rule += ', an int and no float' if isinstance(value, (float, np.floating)) else ''
        raise ValueError('{} is {!r}; it has to be a whole number {}. {}'.format(name, value, rule, remedy).rstrip())
    return int(value)


def checked_ids(name: str, value: Any) -> List[int]:
    """Returns the class IDs of a list; raises ValueError, naming it, for anything else, such as a single ID."""
    listed: List[Any] = list(value) if np.iterable(value) else [None]
    if not all(map(is_whole, listed)):
        raise ValueError('{} is {!r}; it has to be a list of class IDs, such as [0].'.format(name, value))
    return [int(class_id) for class_id in listed]


def unmasked(name: str, value: Any, fill: Any = 'ignore_id') -> np.ndarray:
    """Returns labels or images as an array; raises ValueError, naming them, if pixels are masked: NumPy drops masks.

    fill: What the message says to fill masked pixels with.
    """
    if any(map(np.ma.is_masked, value if isinstance(value, (tuple, list)) else (value,))):
        raise ValueError(
            '{0}: some pixels are masked, and masks are not read. Fill them first: {0}.filled({1}).'.format(name, fill)
        )
    return np.asarray(value)


def is_sequence(value: Any, length: int) -> bool:
    """Tells whether a value is a tuple, a list or a one-dimensional array of this length."""
    return isinstance(value, (tuple, list, np.ndarray)) and getattr(value, 'ndim', 1) == 1 and len(value) == length


def checked_pair(
    name: str, pair: Any, what: str = '(height, width)', low: int = 1, remedy: str = ''
) -> Tuple[int, int]:
    """Returns two whole numbers as integers. 2.0 is accepted, since half of a size is a float in Python.

    Args:
        what: The name of the pair in the message.
        low: The smallest value allowed for each.
        remedy: A sentence that the message adds to the rule.

    Raises:
        ValueError: `pair` is no such pair.
    """
    if not is_sequence(pair, 2) or not all(is_real(number) and number % 1 == 0 and number >= low for number in pair):
        rule = '{}, each a whole number of at least {}'.format(what, low)
        raise ValueError('{} is {!r}; it has to be {}. {}'.format(name, pair, rule, remedy).rstrip())
    return int(pair[0]), int(pair[1])
