"""Writing files so that a reader sees either the old content or all of the new content, never half of it."""

import contextlib
import csv
import errno
import functools
import hashlib
import io
import itertools
import json
import math
import os
import re
import shutil
import socket
import tempfile
import uuid
from typing import IO, Any, Callable, Iterable, Iterator, Optional, Sequence, Set

import numpy as np

from helpers.aliases import PathLike

# How many characters of the final name a temporary name repeats: with four bytes per character it stays below the usual
# limit of 255 bytes per name.
_STEM_LENGTH = 40
# The part between stem and suffix of a temporary name: the machine and process that made it, and a random number.
# Version 1.0 had only the number.
TEMPORARY_PATTERN = r'(?:([0-9a-f]{8})-(\d+)-)?[0-9a-f]{12}\.tmp'
_TEMPORARY = re.compile(r'^\..*\.' + TEMPORARY_PATTERN + r'(?:\.\w+)?$')
# A directory of `temporary_directory`, not an unfinished output that somebody wants in the same folder.
_TEMPORARY_DIRECTORY = re.compile(r'^\.fcn8s-\w+\.' + TEMPORARY_PATTERN + '$')
#: Zip files record times. The earliest possible time stands for none, so that equal content gives equal bytes.
NO_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
# Directories that this process has looked through for leftovers.
_cleaned: Set[str] = set()
# Another text on every machine, and after every start of it, see random(4).
_BOOT_ID = '/proc/sys/kernel/random/boot_id'


class PathTakenError(FileExistsError):
    """Something is where a new file was to be written. It stays as it is."""


@contextlib.contextmanager
def atomic_path(final_path: PathLike) -> Iterator[str]:
    """Yields a temporary path beside `final_path`, and moves the file written there to `final_path`.

    The temporary name starts with a dot and has the same suffix, so writers that choose a format by suffix work.
    Missing parent directories are made. A `final_path` that is a symbolic link keeps being one: its target is replaced.

    When the body raises, or wrote nothing, only the temporary is removed and `final_path` stays as it was.

    Args:
        final_path: The file to write. An existing file is replaced when the body succeeds.

    Raises:
        ValueError: `final_path` is a directory, a device or a pipe, or begins with `~`.
        FileNotFoundError: The body ended without writing the temporary file.
        OSError: The disk is full, permission is missing, the file system is read-only, or a file is in the place of a
            directory. The message has the path and what to do.
    """
    check_home(final_path)
    final = os.path.realpath(path_of(final_path))
    if os.path.isdir(final):
        raise ValueError('{} is a directory, but a file is to be written there. Give a file name.'.format(final))
    check_no_device(final_path)
    with _moved_into_place(final, final) as temporary:
        yield temporary


@contextlib.contextmanager
def atomic_new_path(final_path: PathLike, may_replace: Callable[[str], bool] = lambda path: False) -> Iterator[str]:
    """Yields a temporary path, as `atomic_path` does, and moves the file written there to `final_path` if that is free.

    Nothing is replaced, whoever writes there at the same time; not a symbolic link either. (File systems without hard
    links, such as FAT, cannot promise this: there it is tested just before.)

    Args:
        final_path: The file to write.
        may_replace: Called with the path if something is there when the new file is complete; returns whether that
            may be replaced.

    Raises:
        PathTakenError: Something is at `final_path`.
        ValueError, FileNotFoundError, OSError: As for `atomic_path`.
    """
    check_home(final_path)
    folder, name = os.path.split(path_of(final_path))
    final = os.path.join(os.path.realpath(folder), name)
    with _moved_into_place(final, final, may_replace) as temporary:
        yield temporary


def _put_into_place(temporary: str, final: str, may_replace: Optional[Callable[[str], bool]]) -> None:
    if may_replace is None or (os.path.lexists(final) and may_replace(final)):
        os.replace(temporary, final)
        return
    try:
        os.link(temporary, final)  # fails where something is, unlike renaming
    except OSError as error:
        if _is_same_file(temporary, final):  # over NFS, a link that was made and asked for again fails, too
            os.unlink(temporary)
            return
        if os.path.lexists(final):
            raise PathTakenError('{} is there already, and is not replaced. Move it away.'.format(final)) from error
        os.replace(temporary, final)  # this file system has no such links
    else:
        os.unlink(temporary)


def _is_same_file(path: str, other: str) -> bool:
    return os.path.lexists(other) and os.path.samestat(os.lstat(path), os.lstat(other))


@contextlib.contextmanager
def _moved_into_place(final: str, shown: str, may_replace: Optional[Callable[[str], bool]] = None) -> Iterator[str]:
    """Implements `atomic_path`, and `atomic_new_path` if `may_replace` is given. shown: the path that messages name.

    Files in the temporary directory of an `atomic_directory` are not synced one by one, nor is one that is itself
    temporary: who moves it into place syncs it.
    """
    temporary = _temporary_sibling(final)
    lasts = not any(_TEMPORARY.match(part) for part in final.split(os.sep))
    with explain_os_errors(shown):
        os.makedirs(os.path.dirname(final), exist_ok=True)
        _remove_leftovers(os.path.dirname(final))
        try:
            yield temporary
            if lasts:
                _fsync(temporary)
            _put_into_place(temporary, final, may_replace)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        if lasts:
            _fsync_directory(os.path.dirname(final))


@contextlib.contextmanager
def atomic_directory(final_path: PathLike) -> Iterator[str]:
    """Yields a temporary directory beside `final_path`, and renames it to `final_path` when the body succeeds.

    If the body raises, the temporary directory is removed and `final_path` is unchanged.

    Raises:
        FileExistsError: `final_path` is a file or a directory that is not empty. Nothing is ever written into it.
        ValueError: `final_path` begins with `~`.
        OSError: As for `atomic_path`.
    """
    check_home(final_path)
    final = os.path.realpath(path_of(final_path))
    check_new_directory(final)
    temporary = _temporary_sibling(final)
    with explain_os_errors(final):
        os.makedirs(temporary)
        _remove_leftovers(os.path.dirname(final))
        try:
            with _explain_lack_of_inodes(final):
                yield temporary
            _fsync_tree(temporary)
            check_new_directory(final)
            # POSIX can rename onto an empty directory, and refuses one that has been filled in the meantime.
            os.rename(temporary, final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _fsync_directory(os.path.dirname(final))


@contextlib.contextmanager
def temporary_directory(name: str) -> Iterator[str]:
    """Yields a new directory in the folder for temporary files, and removes it at the end.

    Leftovers of killed processes are removed first. A forked process does not remove its parent's directory at its end.

    Args:
        name: 'fcn8s-' and a word; the name of the directory begins with a dot and this.

    Raises:
        OSError: That folder is full or cannot be written to. The message has the path and what to do.
    """
    root, maker = os.path.realpath(tempfile.gettempdir()), os.getpid()
    folder = _temporary_sibling(os.path.join(root, name))
    _remove_leftovers(root)
    try:
        with explain_full_temporary_place(folder):
            os.mkdir(folder, 0o700)
            yield folder
    finally:
        if os.getpid() == maker:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def explain_full_temporary_place(folder: str) -> Iterator[None]:
    """Adds path and remedy (TMPDIR) to `OSError`s about space of what is written to a folder for temporary files; those
    of other places pass unchanged.
    """
    try:
        yield
    except OSError as error:
        failed = _failed_path(error)
        if not _is_about_space(error) or (failed is not None and not is_below(failed, folder) and failed != folder):
            raise
        raise _explained(error, folder, _space_remedy(error, folder, is_temporary=True)) from error


@contextlib.contextmanager
def _explain_lack_of_inodes(path: str) -> Iterator[None]:
    """Explains it before a directory that is not complete is removed, which frees inodes."""
    try:
        yield
    except OSError as error:
        if not _is_about_space(error) or not _lacks_inodes(path):
            raise
        raise _explained(error, path, _space_remedy(error, path, _is_in_temporary_directory(path))) from error


def path_of(value: Any) -> str:
    """Returns a path as text. Raises ValueError for anything else, such as None for an option that was left out."""
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(path, str):
        raise ValueError('{!r} came as a path; it has to be text or a pathlib.Path.'.format(value))
    return str.__str__(path)  # of text of NumPy, os.listdir makes bytes; an Enum has a `__str__` of its own


def check_home(path: PathLike) -> None:
    """Raises ValueError for an output path that begins with `~`, for which Python would make a folder called `~`.

    Shells replace `~` by the home directory, but neither within quotes nor in `--run=~/runs`, and leave `~NAME/runs` as
    it is where no user is called NAME. If a folder of that name exists, the path is accepted.
    """
    first, _, rest = path_of(path).partition(os.sep)
    home = os.path.expanduser(first)
    if first.startswith('~') and (rest or home != first) and not os.path.lexists(first):
        raise ValueError(
            '{!r} begins with {!r}, and a folder of that name would be made here. Write {}{} for such a folder.'.format(
                os.fspath(path),
                first,
                '' if home == first else os.path.join(home, rest) + ', or ',
                os.path.join(os.curdir, first, rest),
            )
        )


def make_directory(directory: PathLike) -> None:
    """Makes a directory, unless it exists.

    Raises:
        ValueError: The path begins with `~`, see `check_home`.
        OSError: It cannot be made. The message has the path and what to do.
    """
    check_home(directory)
    with explain_os_errors(directory):
        os.makedirs(directory, exist_ok=True)


def check_no_device(path: PathLike) -> None:
    """Raises ValueError for a device or a pipe, which moving a file to this path would replace."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise ValueError(
            '{} is a device or a pipe, and a file would take its place. Give a file name.'.format(os.fspath(path))
        )


def check_folder(directory: PathLike) -> None:
    """Makes a folder. Raises OSError, saying what to do, if nothing can be written there.

    The test file has a unique name, since two processes may check at once.
    """
    check_home(directory)
    folder = os.path.realpath(path_of(directory))
    probe = _temporary_sibling(os.path.join(folder, 'can-write'))
    with _moved_into_place(probe, folder) as temporary, open(temporary, 'wb'):
        pass
    os.unlink(probe)


def check_can_make(directory: PathLike) -> None:
    """Raises OSError, saying what to do, unless the directory can be written to or, where it is missing, could be made.

    Only a test file is made, and removed again, in the nearest directory that exists.
    """
    check_home(directory)
    check_folder(_nearest(path_of(directory), os.path.lexists))


def _nearest(path: str, is_there: Callable[[str], bool]) -> str:
    """The path or, if it is not there, the nearest directory above it that is; else the root (on Windows, a drive)."""
    place = os.path.abspath(path)
    while not is_there(place) and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    return place


def ignores_case(directory: PathLike) -> bool:
    """Tells whether the file system of a directory takes names that differ only in letter case for one, as exFAT does
    and as macOS and Windows do. The directory does not have to exist.

    Raises:
        OSError: Nothing can be written there. The message has the path and what to do.
    """
    place = _nearest(path_of(directory), os.path.isdir)
    with explain_os_errors(place), tempfile.NamedTemporaryFile(prefix='.case-', dir=place) as probe:
        return os.path.lexists(os.path.join(place, os.path.basename(probe.name).upper()))


def check_can_make_at(path: PathLike) -> None:
    """Raises ValueError for `~` as `check_home`, and OSError where no file or directory can be made at the path."""
    check_home(path)
    check_can_make(os.path.dirname(os.path.realpath(path)))


def atomic_write_json(path: PathLike, obj: Any) -> None:
    """Writes `obj` as `json_text` in UTF-8 through `atomic_path`.

    Raises:
        TypeError, ValueError: As `json_text`.
    """
    text = json_text(obj)
    with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write(text)


def json_text(obj: Any) -> str:
    """Returns `obj` as indented lines of JSON.

    Raises:
        TypeError: `obj` holds something that JSON cannot represent.
        ValueError: `obj` holds NaN or an infinity, which strict JSON readers refuse.
    """
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    if any('\ud800' <= character <= '\udfff' for character in text):
        # Paths may hold bytes that are not UTF-8: as escapes they can be written, and are read back unchanged.
        text = json.dumps(obj, indent=2, allow_nan=False)
    return text + '\n'


def write_json_entries(file: IO[str], entries: Iterable[Any]) -> None:
    """Writes the entries of a JSON list, one a line and without its brackets: more than memory holds at once."""
    separator = '\n'
    for entry in entries:
        file.write(separator + json.dumps(entry))
        separator = ',\n'
    file.write('\n')


def atomic_write_csv(path: PathLike, rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows of cells as a CSV file through `atomic_path`; bytes of file names that are not UTF-8 are kept."""
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    with atomic_path(path) as temporary, open(temporary, 'wb') as file:
        file.write(text.getvalue().encode('utf-8', 'surrogateescape'))


def is_below(path: PathLike, folder: PathLike) -> bool:
    """Tells whether a path lies below a folder, with links followed; the folder itself does not."""
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ''))


def sha256_of(path: PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal. The file is read in pieces.

    Raises:
        ValueError: `path` is no regular file: a pipe would block, and a device might never end.
    """
    if not os.path.isfile(path):
        raise ValueError('{!r} is no file. Copy it again.'.format(os.fspath(path)))
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for chunk in iter(lambda: file.read(1 << 20), b''):
            digest.update(chunk)
    return digest.hexdigest()


def to_json(value: Any) -> Any:
    """Returns a value with arrays as lists, named tuples as dicts, paths as strings and NaN (not JSON) as None."""
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if hasattr(value, '_asdict'):
        return to_json(dict(value._asdict()))
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


@contextlib.contextmanager
def explain_os_errors(path: PathLike) -> Iterator[None]:
    """Adds the path, the reason and the remedy to `OSError`s that a user can do something about.

    Type and `errno` are kept. Errors that are not about writing (a missing input, say) pass unchanged.
    """
    try:
        yield
    except OSError as error:
        place = os.fspath(path)
        remedy = _remedy(error, place)
        # Another text than the system's comes from code that knew more about the file than this function does.
        if error.errno is None or error.strerror != os.strerror(error.errno) or remedy is None:
            raise
        if error.errno == errno.ENOSPC and is_temporary_place_full() and not _is_full(place):
            failed = _failed_path(error)
            if failed is None or not _is_for_writing(failed, place):
                place = tempfile.gettempdir()
                remedy = _space_remedy(error, place, is_temporary=True)
        if error.errno == errno.ENOSPC and not _lacks_inodes(place):
            remedy += ' ({} MB are free there.)'.format(_free_megabytes(place))
        raise _explained(error, place, remedy) from error


def _explained(error: OSError, place: str, remedy: str) -> OSError:
    assert error.errno is not None
    return type(error)(error.errno, '{} while writing {}. {}'.format(os.strerror(error.errno), place, remedy))


def _is_about_space(error: OSError) -> bool:
    """Whether an error is about a limit of the disk or folder, and not explained yet."""
    return error.errno in SPACE_REMEDIES and error.strerror == os.strerror(error.errno)


def _space_remedy(error: OSError, place: str, is_temporary: bool) -> str:
    assert error.errno is not None
    if error.errno == errno.ENOSPC and _lacks_inodes(place):
        return 'No inode is free there, of which each file takes one, however small it is. ' + (
            'Set TMPDIR to a folder on another disk.' if is_temporary else 'Remove files or choose another directory.'
        )
    return (_TEMPORARY_REMEDIES if is_temporary else SPACE_REMEDIES)[error.errno]


def _is_in_temporary_directory(path: str) -> bool:
    """Whether a path is or lies in a `temporary_directory` of any process."""
    try:
        root = os.path.realpath(tempfile.gettempdir())
    except FileNotFoundError:
        return False
    place = os.path.realpath(path)
    name = place[len(os.path.join(root, '')) :].split(os.sep)[0] if is_below(place, root) else ''
    return _TEMPORARY_DIRECTORY.match(name) is not None


def _failed_path(error: OSError) -> Optional[str]:
    """The path that could not be written, where the error has one: of a copy, the second."""
    path = error.filename if error.filename2 is None else error.filename2
    return os.fsdecode(path) if isinstance(path, (str, bytes)) else None


def is_temporary_place_full() -> bool:
    """Tells whether the folder for temporary files is full, which ends child processes without a message."""
    try:
        return _is_full(tempfile.gettempdir())
    except FileNotFoundError:  # none of the folders that Python tries has room: all are on one disk
        return False


def _is_full(path: str) -> bool:
    return _free_megabytes(path) == 0 or _lacks_inodes(path)


#: What to do about a limit of the disk or folder, by errno.
SPACE_REMEDIES = {
    errno.ENOSPC: 'Free some space or choose another directory.',
    errno.EDQUOT: 'Free some space of your quota or choose another directory.',
    errno.EROFS: 'Choose a directory that is not read-only.',
    errno.EFBIG: 'Raise the limit on the size of files (ulimit -f), or choose a disk for larger ones (not FAT32).',
}

_TEMPORARY_REMEDIES = {
    **SPACE_REMEDIES,
    errno.ENOSPC: 'Set TMPDIR to a folder with more space.',
    errno.EDQUOT: 'Set TMPDIR to a folder with more space.',
    errno.EROFS: 'Set TMPDIR to a folder that is not read-only.',
}

_PLACE_REMEDIES = {
    errno.EACCES: 'Choose a directory that you may write to.',
    errno.EPERM: 'Choose a directory that you may write to.',
    errno.ENAMETOOLONG: 'Choose a shorter name.',
    errno.EEXIST: 'A file has the place of a directory: choose another directory, or move the file away.',
    errno.ENOTDIR: 'A part of this path is a file: choose another directory, or move the file away.',
}


def _remedy(error: OSError, path: str) -> Optional[str]:
    if error.errno in SPACE_REMEDIES:
        return _space_remedy(error, path, _is_in_temporary_directory(path))
    # These errors may also be about a file that was to be read, which this module does not explain.
    if error.errno is None or error.filename is None or not _is_for_writing(os.fsdecode(error.filename), path):
        return None
    return _PLACE_REMEDIES.get(error.errno)


def _is_for_writing(path: str, final: str) -> bool:
    """Whether a path is `final`, a directory above it, something in it, or a temporary file for it."""
    path, final = os.path.abspath(path), os.path.abspath(final)
    if path == final or final.startswith(os.path.join(path, '')) or path.startswith(os.path.join(final, '')):
        return True
    folder = os.path.join(os.path.dirname(final), '')
    if path.startswith(folder) and _TEMPORARY.match(path[len(folder) :].split(os.sep)[0]):
        return True
    # Another existing file in a folder above `final` was to be read.
    return folder.startswith(os.path.join(os.path.dirname(path), '')) and not os.path.lexists(path)


def _free_megabytes(path: str) -> int:
    return shutil.disk_usage(_nearest(path, os.path.isdir)).free // 10**6


def _lacks_inodes(path: str) -> bool:
    if not hasattr(os, 'statvfs'):  # Windows
        return False
    disk = os.statvfs(_nearest(path, os.path.isdir))
    return disk.f_files > 0 and disk.f_favail == 0  # file systems without a limit say 0 files


def _temporary_sibling(final: str) -> str:
    directory, name = os.path.split(final)
    stem, suffix = os.path.splitext(name)
    writer = '{}-{}-{}'.format(_process_space(), os.getpid(), uuid.uuid4().hex[:12])
    return os.path.join(directory, '.{}.{}.tmp{}'.format(stem[:_STEM_LENGTH], writer, suffix))


@functools.lru_cache(maxsize=None)
def _process_space() -> str:
    """Identifies the scope of process IDs: this machine since its start, and on Linux this container. 8 hexadecimal
    digits.

    Neither its name nor the link tells machines apart: clones share the name, and the link is the same on all of them.
    """
    scope = socket.gethostname()
    with contextlib.suppress(OSError):
        scope += os.readlink('/proc/self/ns/pid')
    try:
        with open(_BOOT_ID, encoding='ascii') as file:
            scope += file.read()
    except OSError:
        scope += str(uuid.getnode())
    return hashlib.sha256(scope.encode()).hexdigest()[:8]


def _remove_leftovers(directory: str) -> None:
    """Removes unfinished files of killed processes from a directory, once per process, before it writes there itself.

    Only files named as by `_temporary_sibling`, by a process of this machine that no longer runs.
    """
    if directory in _cleaned:
        return
    _cleaned.add(directory)
    names = []
    with contextlib.suppress(OSError):  # a directory may be writable but not readable
        names = os.listdir(directory)
    for name in names:
        match = _TEMPORARY.match(name)
        if match and match.group(1) == _process_space() and not _is_alive(int(match.group(2))):
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def _is_alive(process_id: int) -> bool:
    if os.name == 'nt':  # signal 0 would end the process
        return True
    with contextlib.suppress(OSError), open('/proc/{}/stat'.format(process_id), 'rb') as file:
        # A zombie: ended but not waited for, as in containers whose first process reaps no orphans.
        return file.read().rpartition(b')')[2].split()[0] not in (b'Z', b'X')
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def check_new_directory(final: PathLike) -> None:
    """Raises FileExistsError unless the path is free or an empty directory; ValueError for `~`, as `check_home`."""
    check_home(final)
    if os.path.isdir(final) and not os.listdir(final):
        return
    if os.path.exists(final):
        raise FileExistsError(
            '{} exists already and is not an empty directory. Choose another name or move it away first.'.format(final)
        )


def numbered(path: str) -> str:
    """Returns the path, with a number before its suffix if it exists: 'a.svg', 'a-2.svg', 'a-3.svg'."""
    stem, suffix = os.path.splitext(path)
    paths = itertools.chain([path], ('{}-{}{}'.format(stem, number, suffix) for number in itertools.count(2)))
    return next(free for free in paths if not os.path.lexists(free))


def write_numbered(path: str, write: Callable[[str], None]) -> str:
    """Writes a file that replaces none to a path, with a number where that exists, and returns where it is.

    Args:
        path: As for `numbered`.
        write: Writes the content to a path that it gets; once more if another process took the number meanwhile.
    """
    while True:
        free = numbered(path)
        with contextlib.suppress(PathTakenError):
            with atomic_new_path(free) as temporary:
                write(temporary)
            return free


def write_unfinished(path: str, write: Callable[[str], None]) -> str:
    """Writes what is there of an unfinished PATH to PATH.partial, as `write_numbered` does, and returns where it is.

    Nothing takes it for a whole file, as its extension is another one.
    """
    return write_numbered(path + '.partial', write)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR if os.name == 'nt' else os.O_RDONLY)  # as Windows wants it
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_directory(path: str) -> None:
    # Makes the rename itself durable. Some network file systems cannot; the content is safe without it.
    with contextlib.suppress(OSError):
        _fsync(path)


def _fsync_tree(root: str) -> None:
    for directory, _, names in os.walk(root):
        for name in names:
            _fsync(os.path.join(directory, name))
        _fsync_directory(directory)
