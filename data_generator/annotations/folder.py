"""The files of a folder of annotations: documents, and images that annotations may name.

Only images found by searching the folders that the user named are used. So no path in an annotation, however many '..'
or drive letters it has, leads outside.
"""

import os
import posixpath
import re
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from data_generator.annotations.values import split_of
from data_generator.errors import DataError
from data_generator.files.discovery import LABEL_FOLDERS
from helpers.image_search import (
    IMAGE_EXTENSIONS,
    UNREAD_EXTENSIONS,
    find_images,
    folded,
    is_lossy,
    natural_sort_key,
)

#: Files with a JSON document on each line. They are not imported, but their program is recognised.
LINES_OF_JSON = ('.ndjson', '.jsonl')
DOCUMENT_EXTENSIONS = ('.json', '.xml', '.txt', '.yaml', '.yml', '.csv', *LINES_OF_JSON)
#: Formats that are not read: an image of that name may have been converted after it was annotated.
CONVERTED_EXTENSIONS = (*UNREAD_EXTENSIONS, 'npy')
_MAX_FILES = 2_000_000
# Folders of VOC's masks; labelme2voc adds words: SegmentationClassVisualization.
_MASKS_OF_VOC = ('segmentationclass', 'segmentationobject')
# Folders whose files are images although a folder above them is called like labels: segmentation/images.
_IMAGE_FOLDERS = ('images', 'jpegimages')

#: A file that every imported dataset has beside its images and labels.
CLASSES_FILE = 'classes.json'
REPORT_FILE = 'import.json'


class Folder:
    """The files in SOURCE, and in the folder of images if that is another one, except imported datasets in there.

    Attributes:
        root: SOURCE, or the folder that contains it if it is a file.
        documents: Paths of the files that may hold annotations, in natural order.
        images: Paths of the images, likewise.
        image_roots: The folders that were searched for images.
    """

    def __init__(self, source: str, image_dir: Optional[str] = None) -> None:
        """Searches both folders.

        Raises:
            FileNotFoundError: One of them does not exist.
            DataError: One is a pipe or a device, or SOURCE is a file without annotations.
        """
        for path in filter(None, (source, image_dir)):
            if not os.path.exists(path):
                raise FileNotFoundError('{} does not exist. Give the folder or file of the annotations.'.format(path))
            if not os.path.isdir(path) and not os.path.isfile(path):
                raise DataError('{} is neither a folder nor a file. Save what it gives as a file.'.format(path))
        if os.path.isfile(source) and not source.lower().endswith(DOCUMENT_EXTENSIONS):
            raise DataError(
                '{} is no file of annotations, which end in {}. Unpack an archive, and give the folder.'.format(
                    source, ', '.join(DOCUMENT_EXTENSIONS)
                )
            )
        self.root = source if os.path.isdir(source) else os.path.dirname(os.path.abspath(source))
        self.documents = _documents(source)
        self.image_roots = [self.root] if image_dir is None else [image_dir, self.root]
        self.images: List[str] = []
        self._paths: Set[str] = set()
        self._by_path: Dict[str, str] = {}
        self._by_stem: Dict[str, List[str]] = {}
        self._by_place: Dict[str, List[str]] = {}
        for root in self.image_roots:
            for path in _images(root):
                self._add(path, os.path.relpath(path, root))

    def _add(self, path: str, relative: str) -> None:
        key = relative.replace(os.sep, '/')
        if self._by_path.setdefault(key, path) == path:
            self.images.append(path)
            self._paths.add(path)
            self._by_stem.setdefault(folded(_stem(posixpath.basename(key))), []).append(key)
            self._by_place.setdefault(folded(_stem(key)), []).append(key)

    def has_image(self, path: str) -> bool:
        """Tells whether a path is one of `images`."""
        return path in self._paths

    def image_at(self, named: str, beside: str = '') -> Optional[str]:
        """Returns the image at exactly this path, from `beside` or the root, or None."""
        return self._by_path.get(self._place(_parts(named), beside))

    def find_image(self, named: str, beside: str = '', split: Optional[str] = None) -> Optional[str]:
        """Finds the image that annotations call `named`, or None.

        First the whole path counts, from the root or from `beside`, the folder of the document. Then as many of its
        last parts count as are needed to single out an image: among those below that folder, among those in folders of
        `split`, the split of the annotations, or among all. Files in folders for labels then do not count.
        """
        parts = _parts(named)
        if not parts:
            return None
        found = self.image_at(named, beside) or self.image_at(named)
        if found is not None:
            return found
        called = {key: folded(key) for key in self._by_stem.get(folded(_stem(parts[-1])), [])}
        return self._by_end(called, parts, beside, split)

    def find_stem(self, stem: str, split: Optional[str] = None, beside: str = '') -> Optional[str]:
        """Finds the image with this path, without its extension, or None. Other arguments are as for `find_image`.

        If several images are at the path, it is the first in a lossy format, which labels cannot have.
        """
        parts = _parts(stem)
        if not parts:
            return None
        for start in (beside, ''):
            place = folded(self._place(parts, start))
            if place in self._by_place:
                return self._by_path[self._first_at(place)]
        places = {folded(_stem(key)) for key in self._by_stem.get(folded(parts[-1]), [])}
        return self._by_end({self._first_at(place): place for place in places}, parts, beside, split)

    def _first_at(self, place: str) -> str:
        """The key of the image at a path without extension: if there are several, the first in a lossy format."""
        return min(self._by_place[place], key=lambda key: not is_lossy(key))

    def _here(self, beside: str) -> str:
        return os.path.relpath(beside, self.root).replace(os.sep, '/') if beside else '.'

    def _place(self, parts: Sequence[str], beside: str) -> str:
        return posixpath.normpath(posixpath.join(self._here(beside), *parts))

    def _by_end(self, called: Dict[str, str], parts: Sequence[str], beside: str, split: Optional[str]) -> Optional[str]:
        """The only image that these parts of a path single out. called: what to compare with them, by key."""
        here = self._here(beside)
        candidates = {key: name for key, name in called.items() if not _is_of_labels(key, here)}
        nearby = [key for key in candidates if here != '.' and key.startswith(here + '/')]
        of_split = [key for key in candidates if split is not None and self.split_of(self._by_path[key]) == split]
        found = (self._only_one({key: called[key] for key in keys}, parts) for keys in (nearby, of_split, candidates))
        return next((path for path in found if path is not None), None)

    def split_of(self, image: str) -> Optional[str]:
        """Returns the split that the folders or the name of an image say; None if they say none."""
        return split_of(self.name_of(image), '')

    def _only_one(self, called: Dict[str, str], parts: Sequence[str]) -> Optional[str]:
        for count in range(1, len(parts) + 1):
            ending = '/' + folded('/'.join(parts[-count:]))
            called = {key: name for key, name in called.items() if ('/' + name).endswith(ending)}
            if len(called) == 1:
                return self._by_path[next(iter(called))]
        return None

    def parts_of(self, named: str, beside: str = '') -> Tuple[str, ...]:
        """Returns the parts, folded, of the path that a name in annotations means, relative to `beside` or the root."""
        here = os.path.abspath(beside or self.root)
        return tuple(posixpath.normpath(folded('/'.join([here, named]).replace('\\', '/'))).split('/'))

    def name_of(self, image: str) -> str:
        """Returns the path of an image relative to the root where it was found, with '/'."""
        for root in self.image_roots:
            relative = os.path.relpath(image, root)
            if relative.split(os.sep)[0] != os.pardir and not os.path.isabs(relative):
                return relative.replace(os.sep, '/')
        return os.path.basename(image)


def without_image_extension(named: str) -> str:
    """Returns a name without the extension of an image: the image may have been saved in another format since."""
    stem, extension = os.path.splitext(named)
    return stem if extension.lower().lstrip('.') in IMAGE_EXTENSIONS + CONVERTED_EXTENSIONS else named


def common_ending(one: Sequence[str], other: Sequence[str]) -> int:
    """Counts how many parts two paths have in common at their ends, whatever their extensions."""
    pairs = [tuple(map(_stem, pair)) if not index else pair for index, pair in enumerate(zip(one[::-1], other[::-1]))]
    return next((index for index, (part, same) in enumerate(pairs) if part != same), len(pairs))


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _parts(named: str) -> List[str]:
    return [part for part in re.split(r'[/\\]+', named) if part not in ('', '.')]


def _is_of_labels(key: str, here: str) -> bool:
    """Whether an image may be of labels: it lies in a folder for them that the document's folder, `here`, is not in."""
    if is_lossy(key):
        return False
    folders, above = folded(key).split('/')[:-1], folded(here).split('/')
    below = folders[len(os.path.commonprefix([folders, above])) :]
    telling = [name for name in below if name in _IMAGE_FOLDERS or _is_for_labels(name)]
    return bool(telling) and telling[-1] not in _IMAGE_FOLDERS


def _is_for_labels(name: str) -> bool:
    return name in LABEL_FOLDERS or name.startswith(_MASKS_OF_VOC)


def _documents(source: str) -> List[str]:
    if os.path.isfile(source):
        return [source]
    try:
        return _of_the_source(find_images(source, DOCUMENT_EXTENSIONS), source)
    except FileNotFoundError:
        return []


def _images(root: str) -> List[str]:
    try:
        return _of_the_source(find_images(root), root)
    except FileNotFoundError:
        return []


def _of_the_source(paths: Iterable[str], source: str) -> List[str]:
    """The files that are not in imported datasets below the source, since those repeat its images."""
    is_made: Dict[str, bool] = {source: False, os.path.dirname(source): False}

    def lies_in_one(folder: str) -> bool:
        if folder not in is_made:
            has_both = all(os.path.isfile(os.path.join(folder, name)) for name in (CLASSES_FILE, REPORT_FILE))
            above = os.path.dirname(folder)
            is_made[folder] = has_both or (above != folder and lies_in_one(above))
        return is_made[folder]

    return _within_bounds([path for path in paths if not lies_in_one(os.path.dirname(path))], source)


def _within_bounds(paths: Iterable[str], source: str) -> List[str]:
    paths = sorted(paths, key=natural_sort_key)
    if len(paths) > _MAX_FILES:
        raise ValueError('{} holds {} files. Give the folder of one dataset.'.format(source, len(paths)))
    return paths
