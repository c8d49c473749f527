"""Warnings that name the line of the user's own code that caused them."""

import sys
import warnings
from types import FrameType
from typing import Optional, Type

# Packages whose lines mean nothing to a user: this library's own, and modules that call it for the user.
_SKIPPED = ('fcn8s', 'data_generator', 'helpers', 'contextlib', 'functools')


def warn_user(message: str, category: Type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside this library, however deep the call is."""
    level = 2
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None and frame.f_globals.get('__name__', '').partition('.')[0] in _SKIPPED:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
