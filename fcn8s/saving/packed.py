"""A network in one zip, as `fcn8s pack` writes it: checked against its sums and unpacked before it is opened.

    saved_model.pb, variables/..., fcn8s.json     the saved FCN-8s
    config.json, import.json                      of the run, or of the import, where there is one
    README.md                                     the card
    SHA256SUMS                                    one line per file, as sha256sum writes and checks them

An archive cannot choose the names of the files that are written: only those above are.
"""

import atexit
import collections
import contextlib
import errno
import hashlib
import os
import re
import shutil
import struct
import zipfile
import zlib
from typing import Dict, List, Tuple

from fcn8s.saving.descriptions import DESCRIPTION_FILE, SAVED_MODEL_FILE
from helpers.aliases import PathLike
from helpers.files import check_can_make_at, temporary_directory
from helpers.process.memory import readable_size

SUMS_FILE, CARD_FILE = 'SHA256SUMS', 'README.md'
# Copied unchanged from the model, if they exist.
MODEL_FILES = (SAVED_MODEL_FILE, DESCRIPTION_FILE, 'config.json', 'import.json')
NAMES = (*MODEL_FILES, CARD_FILE, SUMS_FILE)
_VARIABLES = re.compile(r'^variables/variables\.(index|data-\d{5}-of-\d{5})\Z')
# Other tools write capitals, and the star that marks files read as bytes.
_SUM = re.compile(r'^([0-9a-fA-F]{64}) [ *]([^\n]+)$')
# FCN-32s with 255 classes has 1.6 GB of weights, and Adam keeps twice as much again.
LARGEST = 8 * 10**9
LARGEST_SUMS = 1 << 16
# A network may unpack to this many times the size of its zip: weights hardly shrink, but zeros do to a thousandth.
_LARGEST_RATIO = 100
_CHUNK = 1 << 20
# What reading damaged zips raises besides ValueError.
_OF_ZIP_FILES = (
    *(zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ArithmeticError, LookupError),
    *(UnicodeDecodeError, zlib.error, struct.error),
)
# The methods that unpack in bounded memory, whatever the file says.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# What this process has unpacked: (path, size, time of change) -> folder.
_unpacked: Dict[Tuple[str, int, int], str] = {}


def is_permitted(name: str) -> bool:
    """Tells whether a packed network may hold a file of this name."""
    return name in NAMES or bool(_VARIABLES.match(name))


def check_new_zip(path: str) -> None:
    """Raises FileExistsError, ValueError or OSError where no zip can be written at `path`, or something is there."""
    if os.path.exists(path):
        raise FileExistsError('{} exists already. Choose another name or move it away first.'.format(path))
    if os.path.splitext(path)[1].lower() != '.zip':
        raise ValueError('out is {!r}; it has to end with .zip.'.format(path))
    check_can_make_at(path)


def is_packed(path: PathLike) -> bool:
    """Tells whether a file is a zip with a saved FCN-8s in it."""
    if not os.path.isfile(path) or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return DESCRIPTION_FILE in archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return False


def unpack(path: PathLike) -> str:
    """Checks a packed network and returns a folder with its files, which is gone when the process ends.

    Raises ValueError where a file is missing, not permitted, too large, or not what the sums say.
    """
    path = os.path.abspath(path)
    status = os.stat(path)
    key = path, status.st_size, status.st_mtime_ns
    if key not in _unpacked or not _is_complete(_unpacked[key], path):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(temporary_directory('fcn8s-packed'))
            _unpack(path, folder)
            atexit.register(stack.pop_all().close)
        _unpacked[key] = folder
    return _unpacked[key]


def _is_complete(folder: str, path: str) -> bool:
    """Whether all files are still there: some systems remove old ones from their folder for temporary files."""
    with zipfile.ZipFile(path) as archive:
        return all(os.path.exists(os.path.join(folder, *name.split('/'))) for name in archive.namelist())


def name_of(directory: str) -> str:
    """Returns the name of a saved FCN-8s for records: the zip that this process unpacked there, else the directory."""
    return next((key[0] for key, folder in _unpacked.items() if folder == directory), directory)


def with_names_of_zips(message: str) -> str:
    """Returns a message with zips in place of the folders they were unpacked to, which are gone when it is read."""
    for (path, _, _), folder in _unpacked.items():
        message = message.replace(folder, path)
    return message


def name_zips(error: Exception) -> None:
    """Puts the names of zips into an error; see `with_names_of_zips`."""
    error.args = tuple(with_names_of_zips(part) if isinstance(part, str) else part for part in error.args)
    if isinstance(error, OSError) and isinstance(error.strerror, str):  # strerror is not read from args again
        error.strerror = with_names_of_zips(error.strerror)


def _unpack(path: str, folder: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename != 'variables/']  # `zip -r` adds it
            _check_members(path, members)
            _check_space(path, folder, sum(member.file_size for member in members))
            sums = _read_sums(path, archive, members)
            os.mkdir(os.path.join(folder, 'variables'))
            for member in members:
                found = _write(archive, member, os.path.join(folder, *member.filename.split('/')))
                if member.filename != SUMS_FILE and found != sums[member.filename]:
                    raise ValueError(
                        '{}: {} is not what {} says: it was damaged or changed. Get it again.'.format(
                            path, member.filename, SUMS_FILE
                        )
                    )
    except _OF_ZIP_FILES as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: seeking to before the beginning of the file
            raise
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> ValueError:
    return ValueError('{} is damaged: {:.200}. Get it again.'.format(path, str(error)))


def _check_members(path: str, members: List[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    others = [name for name in names if not is_permitted(name)]
    if others:
        raise ValueError(
            '{} holds {!r:.100}, which is no file of a packed network; nothing of it was unpacked. A packed network '
            'holds {} and variables/.'.format(path, others[0], ', '.join(NAMES))
        )
    packed_otherwise = [member.filename for member in members if member.compress_type not in _COMPRESSIONS]
    if packed_otherwise:
        raise ValueError(
            '{}: {} is compressed in a way that packed networks are not; nothing of it was unpacked. Pack it with '
            'deflate, or without compression.'.format(path, packed_otherwise[0])
        )
    if len(set(names)) != len(names):
        twice = collections.Counter(names).most_common(1)[0][0]
        raise ValueError('{} holds {} twice; nothing of it was unpacked. Get it again.'.format(path, twice))
    missing = [name for name in (SAVED_MODEL_FILE, DESCRIPTION_FILE, SUMS_FILE) if name not in names]
    if missing:
        raise ValueError('{} lacks {}. Pack the network again with: fcn8s pack RUN OUT.zip'.format(path, missing[0]))


def _check_space(path: str, folder: str, needed: int) -> None:
    size = os.path.getsize(path)
    if needed > _LARGEST_RATIO * size:
        raise ValueError(
            '{} has {} and unpacks to {}, more than a network can; nothing of it was unpacked. Get it again.'.format(
                path, readable_size(size), readable_size(needed)
            )
        )
    free = min(LARGEST, shutil.disk_usage(folder).free)
    if needed > free:
        raise ValueError(
            '{} unpacks to {}; at the most {} are taken or free in {}. If it is whole, set TMPDIR to a larger '
            'disk.'.format(path, readable_size(needed), readable_size(free), os.path.dirname(folder))
        )


def _read_sums(path: str, archive: zipfile.ZipFile, members: List[zipfile.ZipInfo]) -> Dict[str, str]:
    with archive.open(SUMS_FILE) as file:
        text = file.read(LARGEST_SUMS).decode('utf-8', 'replace')
    sums = {}
    for line in text.splitlines():
        match = _SUM.match(line)
        if match is None:
            raise ValueError(
                '{}: {} is damaged: {!r:.80} is no line of it. Get it again.'.format(path, SUMS_FILE, line)
            )
        sums[match.group(2)] = match.group(1).lower()
    names = {member.filename for member in members} - {SUMS_FILE}
    if set(sums) != names:
        name = min(set(sums) ^ names)
        raise ValueError(
            '{}: {!r:.100} is in {}, and not in {}. Get it again.'.format(
                path, name, *((SUMS_FILE, 'the archive') if name in sums else ('the archive', SUMS_FILE))
            )
        )
    return sums


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: str) -> str:
    """Writes a member, at most as many bytes as it declares, and returns its SHA-256."""
    digest, left = hashlib.sha256(), member.file_size
    with archive.open(member) as source, open(target, 'xb') as file:
        while left:
            chunk = source.read(min(_CHUNK, left))
            if not chunk:
                raise EOFError('{} ends early'.format(member.filename))
            left -= len(chunk)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
