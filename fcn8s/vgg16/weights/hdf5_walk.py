"""Reads all names, shapes and attributes of an HDF5 file in a process of its own: some damage crashes or hangs HDF5.

That process runs this file as a program: `python hdf5_walk.py FILE [MEMBER]`; with MEMBER, FILE is a zip that has it.
"""

import subprocess
import sys
import zipfile
from typing import Any, Optional

# Seconds. An undamaged file takes a fraction of one.
_LONGEST = 30.0


def check_hdf5(path: str, member: str = '') -> None:
    """Raises ValueError where reading the file's description crashes or hangs a process; other errors are left to the
    reader, which can explain them.

    member: if given, the HDF5 file is this member of the zip at `path`.
    """
    found = _what_happens(path, member)
    if found is not None:
        raise ValueError(
            '{} is damaged: {} while HDF5 reads its description. Copy or download it again.'.format(path, found)
        )


def _what_happens(path: str, member: str) -> Optional[str]:
    if not sys.executable:  # in a program that embeds Python
        return None
    command = [sys.executable, __file__, path] + ([member] if member else [])
    try:
        status = subprocess.call(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_LONGEST
        )
    except subprocess.TimeoutExpired:
        return 'nothing happens any more'
    return 'a process ends' if status < 0 else None


def _walk(file: Any) -> None:
    def look(_: str, item: Any) -> None:
        for name in item.attrs:
            item.attrs[name]

    look('/', file)
    file.visititems(look)


def _main(path: str, member: str = '') -> None:
    import h5py

    if not member:
        with h5py.File(path, 'r') as file:
            _walk(file)
        return
    with zipfile.ZipFile(path) as archive, archive.open(member) as inside, h5py.File(inside, 'r') as file:
        _walk(file)


if __name__ == '__main__':
    _main(*sys.argv[1:])
