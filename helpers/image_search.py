"""Finding images: by their extensions, in the order that people expect, without what systems leave beside them."""

import glob
import os
import re
import unicodedata
from typing import Any, Iterable, Iterator, List, Sequence, Tuple

from helpers.aliases import PathLike
from helpers.image_rules import ImageRules

#: Of the formats that are read and written.
IMAGE_EXTENSIONS = ('png', 'jpg', 'jpeg', 'jfif', 'tif', 'tiff', 'webp', 'bmp')
#: Of formats that change values.
LOSSY_EXTENSIONS = ('.jpg', '.jpeg', '.jfif', '.webp')

#: Of images in formats that are not looked for, of which GIF is one of labels.
UNREAD_EXTENSIONS = (
    *('heic', 'heif', 'avif', 'jxl', 'gif', 'jp2', 'j2k', 'ppm', 'pgm', 'pnm', 'tga', 'exr', 'hdr'),
    *('dng', 'cr2', 'cr3', 'nef', 'arw', 'raf', 'dcm'),
)

# Folders in which systems keep what is no image of anybody's: Synology's thumbnails, and what macOS adds to archives.
_FOLDERS_OF_SYSTEMS = ('@eadir', '__macosx', '#recycle', '$recycle.bin', 'lost+found')


def find_images(source: PathLike, extensions: Sequence[str] = IMAGE_EXTENSIONS, recursive: bool = True) -> List[str]:
    """Lists image files in natural order ('frame2' before 'frame10').

    Args:
        source: A file, a directory or a glob pattern (`**` crosses directories). Links are followed, and one that leads
            nowhere counts, so that reading tells of it; hidden files and directories, with a name that begins with a
            dot, and the folders @eaDir and __MACOSX are left out. A file that is named itself counts whatever its
            extension.
        extensions: The extensions that count, with or without the dot, in any letter case.
        recursive: Whether a directory is searched with everything below it.

    Returns:
        Paths that begin with `source` as it was given; at least one.

    Raises:
        FileNotFoundError: There is no such file or directory, or it holds no image.
    """
    source = os.fspath(source)
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
    names = (path for path in _walk(os.fspath(directory), recursive) if path.lower().endswith(endings))
    return sorted((path for path in names if not os.path.basename(path).startswith('.')), key=natural_sort_key)


def about_unread(directory: PathLike, recursive: bool = True) -> str:
    """Returns a sentence, with a blank before it, about `unread_images`; '' without any."""
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
    """Returns the extensions of images for a network: NumPy files count where bands are chosen and for others than RGB,
    beside whose images they are features or results as often as not.
    """
    return IMAGE_EXTENSIONS if rules.channels == 3 and rules.bands is None else IMAGE_EXTENSIONS + ('npy',)


def natural_sort_key(name: str) -> Tuple[Any, ...]:
    """Returns a sorting key that compares runs of digits as numbers and directories level by level.

    Letter case decides only between names that are equal without it, so the order is the same on every machine.
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


def folded(name: str) -> str:
    """Returns names that look alike as one: upper and lower case, and accents as macOS and as others write them."""
    return unicodedata.normalize('NFC', name).lower()


def _walk(directory: str, recursive: bool, above: Tuple[str, ...] = ()) -> Iterator[str]:
    here = os.path.realpath(directory)
    if here in above:
        return  # a link to a directory that contains it
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if _is_file(path):
            yield path
        # Hidden folders hold what programs left for themselves: .ipynb_checkpoints, results half written.
        elif recursive and os.path.isdir(path) and not name.startswith('.') and not _is_of_system(name):
            yield from _walk(path, recursive, above + (here,))


def _is_file(path: str) -> bool:
    """Whether it is a file, or a link to one that is not there."""
    return os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))


def _is_of_system(path: str) -> bool:
    return any(name.lower() in _FOLDERS_OF_SYSTEMS for name in re.split(r'[/\\]', path))
