"""Finds images by their extensions, in the order that people expect, without files that operating systems add."""

import glob
import os
import re
import unicodedata
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from helpers.aliases import PathLike
from helpers.files import ignores_case, path_of
from helpers.flags import check_flags
from helpers.image_rules import ImageRules

#: The extensions of formats that are read and written.
IMAGE_EXTENSIONS = ('png', 'jpg', 'jpeg', 'jfif', 'tif', 'tiff', 'webp', 'bmp')
#: The extensions of formats that change values.
LOSSY_EXTENSIONS = ('.jpg', '.jpeg', '.jfif', '.webp')

#: The extensions of images that are not searched for. Labels may be GIF files, though.
UNREAD_EXTENSIONS = (
    *('heic', 'heif', 'avif', 'jxl', 'gif', 'jp2', 'j2k', 'ppm', 'pgm', 'pnm', 'tga', 'exr', 'hdr'),
    *('dng', 'cr2', 'cr3', 'nef', 'arw', 'raf', 'dcm'),
)

# Folders of operating systems, whose images are not the user's: Synology's thumbnails, and what macOS adds to archives.
_FOLDERS_OF_SYSTEMS = ('@eadir', '__macosx', '#recycle', '$recycle.bin', 'lost+found')


def is_lossy(path: str) -> bool:
    """Tells by its name whether a file has a lossy format, as photographs have and labels cannot have."""
    return path.lower().endswith(LOSSY_EXTENSIONS)


def find_images(
    source: PathLike, extensions: Union[str, Sequence[str]] = IMAGE_EXTENSIONS, recursive: bool = True
) -> List[str]:
    """Lists image files in natural order ('frame2' before 'frame10').

    Args:
        source: A file, a directory or a glob pattern (`**` crosses directories). Links are followed; broken links are
            listed too, so that reading reports them. Hidden files and directories (names that begin with a dot) and
            folders of operating systems, such as @eaDir and __MACOSX, are left out. A single file is accepted with any
            extension.
        extensions: The extensions that count, or one, with or without the dot, in any letter case.
        recursive: Whether subdirectories are searched, too.

    Returns:
        At least one path. Paths begin with `source` as it was given.

    Raises:
        FileNotFoundError: There is no such file or directory, or it holds no image.
    """
    source = path_of(source)
    check_flags(recursive=recursive)
    given = extensions if isinstance(extensions, Iterable) and not isinstance(extensions, str) else [extensions]
    extensions = tuple(given)
    if not all(isinstance(extension, str) for extension in extensions):
        raise ValueError("extensions is {!r}; it has to be one, such as 'png', or a list.".format(given))
    wanted = tuple('.' + extension.lower().lstrip('.') for extension in extensions)
    if os.path.isfile(source):
        return [source]
    if os.path.isdir(source):
        candidates: Iterable[str] = _walk(source, recursive)
    elif glob.has_magic(source):
        candidates = (path for path in glob.glob(source, recursive=True) if _is_file(path) and not _is_of_system(path))
    else:
        raise FileNotFoundError('{} does not exist. Give a file, a directory or a glob pattern.'.format(source))
    found = [
        path for path in candidates if path.lower().endswith(wanted) and not os.path.basename(path).startswith('.')
    ]
    if not found:
        raise FileNotFoundError(
            'There is no image with one of the extensions {} in {}{}.{}'.format(
                ', '.join(extension.lstrip('.') for extension in extensions),
                source,
                ' itself (its subfolders are not looked into)' if os.path.isdir(source) and not recursive else '',
                about_unread(source, recursive) if os.path.isdir(source) and '.png' in wanted else '',
            )
        )
    return sorted(found, key=natural_sort_key)


def unread_images(directory: PathLike, recursive: bool = True) -> List[str]:
    """Lists the files of `UNREAD_EXTENSIONS` in a directory, in natural order; hidden ones are left out."""
    endings = tuple('.' + extension for extension in UNREAD_EXTENSIONS)
    names = (path for path in _walk(path_of(directory), recursive) if path.lower().endswith(endings))
    return sorted((path for path in names if not os.path.basename(path).startswith('.')), key=natural_sort_key)


def about_unread(directory: PathLike, recursive: bool = True) -> str:
    """Returns a sentence about `unread_images`, with a space before it; '' if there are none."""
    found = unread_images(directory, recursive)
    if not found:
        return ''
    return ' {} there in formats that are not looked for ({}): save what is an image as PNG or JPEG.'.format(
        '1 file is' if len(found) == 1 else '{} files are'.format(len(found)), os.path.basename(found[0])
    )


def check_extension(image_file_extension: str) -> None:
    """Raises ValueError for anything but one extension, such as a list of them."""
    if not isinstance(image_file_extension, str):
        raise ValueError(
            "image_file_extension is {!r}; it has to be one extension, such as 'png'.".format(image_file_extension)
        )


def extensions_for(rules: ImageRules) -> Sequence[str]:
    """Returns the extensions of images for a network: with NumPy files if bands are chosen or there are not three
    channels. Beside RGB images, NumPy files are often features or results.
    """
    return IMAGE_EXTENSIONS if rules.channels == 3 and rules.bands is None else IMAGE_EXTENSIONS + ('npy',)


def natural_sort_key(name: str) -> Tuple[Any, ...]:
    """Returns a sorting key that compares digit sequences as numbers and directories level by level.

    Letter case only breaks ties, so the order is the same on every machine.
    """
    levels = tuple(
        tuple(
            (0, len(piece.lstrip('0')), piece.lstrip('0')) if piece[0] in '0123456789' else (1, 0, piece)
            for piece in re.split('([0-9]+)', level.lower())
            if piece
        )
        for level in re.split(r'[/\\]', name)
    )
    return levels, name


def composed(name: str) -> str:
    """Returns the same text for names with composed accents, as they are typed, and decomposed ones, as macOS writes
    them.
    """
    return unicodedata.normalize('NFC', name)


def folded(name: str) -> str:
    """Returns the same text for names that look the same: in any letter case, with composed or decomposed accents."""
    return composed(name).lower()


def taken_for_one(names: Iterable[str], directory: PathLike) -> Optional[Tuple[str, str]]:
    """Returns two different names that the file system of a directory takes for one, as they look the same; else None.

    Raises:
        OSError: As `helpers.files.ignores_case`.
    """
    first_of: Dict[str, str] = {}
    for name in names:
        first = first_of.setdefault(folded(name), name)
        if first != name:
            return (first, name) if ignores_case(directory) else None
    return None


def _walk(directory: str, recursive: bool, above: Tuple[str, ...] = ()) -> Iterator[str]:
    here = os.path.realpath(directory)
    if here in above:
        return  # a link to a directory that contains it
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if _is_file(path):
            yield path
        # Hidden folders hold files of programs: .ipynb_checkpoints, unfinished results.
        elif recursive and os.path.isdir(path) and not name.startswith('.') and not _is_of_system(name):
            yield from _walk(path, recursive, above + (here,))


def _is_file(path: str) -> bool:
    """Whether a path is a file or a broken link."""
    return os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))


def _is_of_system(path: str) -> bool:
    return any(name.lower() in _FOLDERS_OF_SYSTEMS for name in re.split(r'[/\\]', path))
