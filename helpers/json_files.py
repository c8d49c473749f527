"""JSON files from others: their size is limited before they take memory, and their numbers are checked before use."""

import json
import math
import os
from typing import Any, Iterator, Tuple

from helpers.aliases import PathLike
from helpers.process.memory import readable_size, require_memory

# The most bytes of Python objects that one byte of JSON makes: empty lists.
_BYTES_OF_A_BYTE = 24
#: The largest JSON file that is read, except annotations, in bytes; the losses of 3 million steps take that much.
LARGEST = 2**26


def read_json(path: PathLike, largest: int = LARGEST) -> Any:
    """Reads the content of a JSON file.

    Args:
        largest: The largest size that it may have, in bytes.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no regular file, larger than `largest`, not UTF-8, not JSON or nested too deeply. The message
            says which; the caller adds the path and the remedy.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError('it is no file')  # opening a pipe would wait for a writer
    with open(path, 'rb') as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError('it has more than {} bytes'.format(largest))
    require_memory(path, _BYTES_OF_A_BYTE * len(content), readable_size(len(content)) + ' of JSON')
    try:
        return json.loads(content.decode('utf-8-sig'))
    except UnicodeDecodeError:
        raise ValueError('it is no text in UTF-8') from None
    except RecursionError:
        raise ValueError('it is nested too deeply') from None


def is_number(value: Any) -> bool:
    """Tells whether a value of a JSON file is a number that a finite float can hold; true and false are not."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def is_share(value: Any) -> bool:
    """Tells whether a value of a JSON file is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


def is_count(value: Any, least: int = 0) -> bool:
    """Tells whether a value of a JSON file is a whole number of at least `least`."""
    return isinstance(value, int) and is_number(value) and value >= least


def differences(name: str, first: Any, second: Any) -> Iterator[Tuple[str, Any, Any]]:
    """Yields (place, first value, second value) for every entry of two nested JSON values that differs.

    name: the name of both values, with which each place begins.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(set(first) | set(second)):
            yield from differences('{} {}'.format(name, key), first.get(key), second.get(key))
    elif first != second:
        yield name, first, second
