"""Paths that TensorFlow can take: it reads `[ ] * ? \\` in a checkpoint's prefix as a pattern, and takes only UTF-8.

Other paths are reached through a symbolic link with a plain name, which is removed afterwards.
"""

import contextlib
import os
import re
import tempfile
from typing import Iterator

from helpers.files import temporary_directory

# `file_io` and the op RestoreV2 match these; a backslash escapes in TensorFlow's patterns.
_SPECIAL = re.compile(r'[\[\]*?\\]') if os.sep == '/' else re.compile(r'[\[\]*?]')
_CHECKPOINT_FILE = re.compile(r'^(|\.index|\.data-\d{5}-of-\d{5}|-\d{5}-of-\d{5})$')
# A checkpoint of format 1 in parts, as `tf.train.Saver(sharded=True)` names it: the only pattern that is meant as one.
_SHARDED = re.compile(r'-\?{5}-of-\d{5}$')


def is_plain(path: str) -> bool:
    """Tells whether TensorFlow can take a path directly."""
    try:
        is_utf_8 = path.encode('utf-8') == os.fsencode(path)  # not in a locale of Latin-1, where Python writes that
    except UnicodeEncodeError:
        return False
    return is_utf_8 and not _SPECIAL.search(path)


@contextlib.contextmanager
def plain_directory(directory: str) -> Iterator[str]:
    """Yields the path of an existing directory, or of a link to it, that TensorFlow can read from and write to."""
    if is_plain(directory):
        yield directory
        return
    with _folder_of_links(directory) as links:
        link = os.path.join(links, 'directory')
        _link(os.path.abspath(directory), link)
        yield link


@contextlib.contextmanager
def plain_prefix(prefix: str) -> Iterator[str]:
    """Yields a prefix that TensorFlow can read: the checkpoint's own, or that of links to its files. If the name of the
    prefix is plain, TensorFlow can also write to it.

    The prefix of a checkpoint of format 1 in parts ends with `-?????-of-` and their number.

    A reader that was opened on it is valid only inside this context.
    """
    folder, whole = os.path.split(prefix)
    parts = _SHARDED.search(whole)
    ending = parts.group() if parts else ''
    name = whole[: len(whole) - len(ending)]
    if is_plain(name):
        with plain_directory(folder) as plain:
            yield os.path.join(plain, whole)
        return
    with _folder_of_links(prefix) as links:
        for entry in os.listdir(folder or '.'):
            if entry.startswith(name) and _CHECKPOINT_FILE.match(entry[len(name) :]):
                _link(os.path.abspath(os.path.join(folder, entry)), os.path.join(links, 'link' + entry[len(name) :]))
        yield os.path.join(links, 'link' + ending)


@contextlib.contextmanager
def _folder_of_links(path: str) -> Iterator[str]:
    root = tempfile.gettempdir()
    if not is_plain(root):
        raise ValueError(
            '{!r} has one of the characters [ ] * ? \\ in it, or bytes that are not UTF-8, which TensorFlow cannot '
            'take; a link in the folder for temporary files would help, but that is {!r}. Set TMPDIR to a folder with '
            'a plain name.'.format(path, root)
        )
    with temporary_directory('fcn8s-link') as links:  # links are removed, never what they lead to
        yield os.path.join(root, os.path.basename(links))  # TMPDIR may be a link with a plain name


def _link(target: str, link: str) -> None:
    try:
        os.symlink(target, link)
    except OSError as error:  # on Windows this needs a privilege
        raise ValueError(
            '{!r} has one of the characters [ ] * ? \\ in it, or bytes that are not UTF-8, which TensorFlow cannot '
            'take, and a link to it could not be made ({}). Rename the folder.'.format(target, error)
        ) from error
