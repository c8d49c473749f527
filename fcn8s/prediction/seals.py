"""JSON files that show whether anybody has changed them: the last member is the SHA-256 of all bytes before it.

What an annotation tool saves, or a text editor, never ends like that. Programs that read labelme's files or GeoJSON
pass over members that they do not know (https://datatracker.ietf.org/doc/html/rfc7946#section-6.1).
"""

import contextlib
import hashlib
import os
from typing import IO

_SEAL = ',\n  "fcn8s": {{"sha256": "{}"}}\n}}\n'
_LENGTH = len(_SEAL.format('0' * 64))


def seal(path: str) -> None:
    """Adds the member that `is_sealed` looks for to the JSON object in a file, which has others."""
    with open(path, 'r+b') as file:
        begin = max(0, os.path.getsize(path) - 8)
        file.seek(begin)
        length = begin + len(file.read().rstrip()[:-1].rstrip())  # without the closing brace
        mark = _seal_of(file, length)
        file.seek(length)
        file.write(mark)
        file.truncate()


def is_sealed(path: str) -> bool:
    """Tells whether a file, which is no link, is as `seal` left it."""
    if os.path.islink(path):
        return False
    with contextlib.suppress(OSError), open(path, 'rb') as file:
        length = os.path.getsize(path) - _LENGTH
        if length > 0:
            file.seek(length)
            end = file.read()
            return end.startswith(_SEAL[:10].encode()) and end == _seal_of(file, length)
    return False


def _seal_of(file: IO[bytes], length: int) -> bytes:
    """What has to follow the first bytes of a file."""
    digest = hashlib.sha256()
    file.seek(0)
    while length:
        piece = file.read(min(length, 1 << 20))
        if not piece:  # the file was cut off meanwhile
            break
        digest.update(piece)
        length -= len(piece)
    return _SEAL.format(digest.hexdigest()).encode()
