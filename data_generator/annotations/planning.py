"""Which images a dataset from annotations has: their paths, names and objects."""

import os
import posixpath
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from tqdm import tqdm

from data_generator.annotations.classes import class_name
from data_generator.annotations.folder import CONVERTED_EXTENSIONS, Folder, common_ending, without_image_extension
from data_generator.annotations.photographs import frame_of
from data_generator.annotations.shapes import AnnotatedImage, LeftOut, Record, Source
from data_generator.annotations.values import BAD_VALUES, split_in_name
from data_generator.errors import DataError
from helpers.image_files.headers import read_header
from helpers.image_search import IMAGE_EXTENSIONS
from helpers.progress import bar_options

# The longest name of an image, in bytes; labels have another extension, and most file systems allow 255.
_LONGEST_NAME = 200

NO_IMAGE = 'its image is not there, or several have its name'


class PlannedImage(NamedTuple):
    """An image of the dataset.

    image: its path; None if the annotations hold it. name: its name in the dataset. frame: the (height, width) to which
    its shapes refer. orientation: the Exif orientation that turns this into the image as read. named: its place
    according to the annotations. agreement: how many of the last parts of that place are those of its path, and whether
    it lies in the split of the annotations. objects: the number of objects of each label.
    """

    record: Record
    image: Optional[str]
    name: str
    frame: Tuple[int, int]
    orientation: int
    named: Tuple[str, ...]
    agreement: Tuple[int, bool]
    objects: Dict[object, int]


def plan_images(
    annotations: Source, folder: Folder, left_out: LeftOut, progress: bool
) -> Tuple[List[PlannedImage], Dict[object, int]]:
    """Returns the images that can be used, and the number of objects of each label in them."""
    found: List[PlannedImage] = []
    for record in tqdm(annotations.records, 'read', unit='image', **bar_options(progress)):
        try:
            with left_out.paused() as reasons:  # painting it notes them
                image = record.read()
            if reasons and not image.shapes:  # otherwise it would count as an image of background only
                raise DataError('none of its objects can be used: {}'.format(reasons[0]))
            found.append(_placed(record, image, folder))
        except (*BAD_VALUES, OSError) as error:
            left_out.add('images that cannot be used: {}'.format(_without(str(error), record.place)), record.place)
    planned = _distinct(found, left_out)
    objects: Dict[object, int] = {}
    for item in planned:
        for label, count in item.objects.items():
            objects[label] = objects.get(label, 0) + count
    return _with_short_names(planned), objects


def _distinct(found: Sequence[PlannedImage], left_out: LeftOut) -> List[PlannedImage]:
    """Keeps one entry for each name in the dataset: of several entries for one image, the one that names it best.

    Annotations of seq1/1.png also lead to seq2/1.png if seq1 does not exist.
    """
    by_stem: Dict[str, List[PlannedImage]] = {}
    for item in found:
        by_stem.setdefault(os.path.splitext(item.name)[0].lower(), []).append(item)
    planned = []
    for items in by_stem.values():
        most = max(item.agreement for item in items)
        first, *others = [item for item in items if item.agreement == most]
        if first.image is not None and any(o.image == first.image and o.named != first.named for o in others):
            for item in items:
                left_out.add(
                    'images that are not where they are said to be, and may be those of others', item.record.place
                )
            continue
        planned.append(first)
        for item in items:
            if item is not first:
                left_out.add('images annotated twice, or of one name but for the extension', item.record.place)
    return planned


def _without(message: str, place: str) -> str:
    return message.replace(place, 'it')


def _placed(record: Record, image: AnnotatedImage, folder: Folder) -> PlannedImage:
    path = _path_of(record, image, folder)
    if path is None and image.content is None:
        extension = os.path.splitext(image.path)[1].lower().lstrip('.')
        if extension in CONVERTED_EXTENSIONS:
            raise DataError(
                'no image of its name is in a format that is read ({} is not). Save it as PNG'.format(extension)
            )
        raise DataError(NO_IMAGE)
    stored = frame_of(path, image.content)
    name = folder.name_of(path) if path is not None else _name_of_content(image, folder)
    if image.size not in (None, stored.upright, stored.size):
        raise DataError('its image has {} x {} pixels, not those that the annotations say'.format(*stored.upright))
    frame, orientation = (stored.upright, 1) if image.size in (None, stored.upright) else stored
    named = folder.parts_of(image.named or image.path, image.beside)
    agreement = (0, False)
    if path is not None:
        parts = common_ending(named, folder.parts_of(os.path.abspath(path)))
        agreement = (parts, record.split is not None and folder.split_of(path) == record.split)
    objects: Dict[object, int] = {}
    for label in (class_name(shape.label) for shape in image.shapes):
        objects[label] = objects.get(label, 0) + 1
    return PlannedImage(record, path, name, frame, orientation, named, agreement, objects)


def _path_of(record: Record, image: AnnotatedImage, folder: Folder) -> Optional[str]:
    """The file of an image. If the annotations hold the image, another file of its name is none of theirs."""
    if folder.has_image(image.path):
        return image.path
    if image.content is not None and _can_be_read(image.content):
        return folder.image_at(image.path, image.beside)
    found = folder.find_image(image.path, image.beside, record.split)
    return found or folder.find_stem(without_image_extension(image.path), record.split, image.beside)


def _can_be_read(content: bytes) -> bool:
    try:
        frame_of(None, content)
    except ValueError:
        return False
    return True


def _name_of_content(image: AnnotatedImage, folder: Folder) -> str:
    """The name for an image that the annotations hold, PNG or JPEG: beside them, with the matching extension."""
    name = posixpath.basename(image.path.replace('\\', '/'))
    name = name if name and not name.startswith('.') else 'image' + name
    if not name.isprintable() or len(name.encode('utf-8')) > _LONGEST_NAME:
        raise DataError('its image has no name that a file can have')
    if posixpath.splitext(name)[1].lower().lstrip('.') not in IMAGE_EXTENSIONS:
        name += '.' + read_header(image.content or b'').format
    return folder.name_of(os.path.join(image.beside, name))


def _with_short_names(planned: List[PlannedImage]) -> List[PlannedImage]:
    """Removes the folders that all images have in common from the names."""
    folders = [posixpath.dirname(item.name) for item in planned]
    common = posixpath.commonpath(folders) if folders and all(folders) else ''
    return [item._replace(name=posixpath.relpath(item.name, common) if common else item.name) for item in planned]


def names_below_splits(chosen: Sequence[Tuple[PlannedImage, str]]) -> List[str]:
    """Returns the names below their splits, without a folder that repeats the split, unless two names would clash."""
    names = [_below_split(item, split) for item, split in chosen]
    places = {(split, os.path.splitext(name)[0].lower()) for name, (_, split) in zip(names, chosen)}
    return names if len(places) == len(names) else [item.name for item, _ in chosen]


def _below_split(item: PlannedImage, split: str) -> str:
    """The name without its first folder, if that names the split that the image comes from and goes to."""
    first, slash, below = item.name.partition('/')
    return below if slash and item.record.split == split and split_in_name(first) == split else item.name
