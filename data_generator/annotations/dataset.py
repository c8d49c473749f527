"""A dataset in folders from annotations of other tools: images/SPLIT, labels/SPLIT, classes.json."""

import os
import posixpath
import shutil
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from data_generator.annotations.classes import BACKGROUND, Classes, class_name, plan_classes
from data_generator.annotations.folder import CLASSES_FILE, REPORT_FILE, Folder, common_ending
from data_generator.annotations.painting import paint
from data_generator.annotations.photographs import frame_of
from data_generator.annotations.recognise import NAMES, read_source
from data_generator.annotations.shapes import VOID, AnnotatedImage, LeftOut, Record, Source
from data_generator.annotations.splits import assign_splits, check_val_share
from data_generator.annotations.values import BAD_VALUES, split_in_name
from data_generator.errors import DataError
from helpers.counted import counted
from helpers.files import atomic_directory, atomic_write_json
from helpers.image_headers import read_header
from helpers.image_search import IMAGE_EXTENSIONS
from helpers.images import write_labels
from helpers.label_spaces import LabelSpace
from helpers.progress import bar_options
from helpers.tables import one_line

ORDERS = ('file', 'area')
RESTS = ('background', 'void')

# Formats that are not read: an image may have been converted since annotations called it by one.
_UNREAD_EXTENSIONS = ('gif', 'jp2', 'ppm', 'pgm', 'tga', 'heic', 'heif', 'avif', 'dng', 'npy')
_EXTENSIONS = IMAGE_EXTENSIONS + _UNREAD_EXTENSIONS

# Bytes of the longest name of an image; labels have another extension, and file systems mostly take 255.
_LONGEST_NAME = 200

_NO_IMAGE = 'its image is not there, or several have its name'

# What objects that never count are called among those of the classes.
_VOID_OBJECTS = '(void)'


class Options(NamedTuple):
    """How annotations become a dataset; None takes what fits the tool.

    image_dir: where the images are, if not with the annotations. kind: of `recognise.NAMES`. order: 'file', later
    shapes over earlier ones, or 'area', smaller over larger. rest: 'background' or 'void', what pixels without a shape
    are. classes: those to take, in this order. void: classes whose pixels never count. val_share, seed, lists: see
    `splits.assign_splits`. copy_images: whether images are copied; links otherwise. color_tolerance: of masks of single
    classes, see `files.class_masks.read_mask`.
    """

    image_dir: Optional[str] = None
    kind: Optional[str] = None
    order: Optional[str] = None
    rest: Optional[str] = None
    classes: Optional[Sequence[str]] = None
    void: Sequence[str] = ()
    val_share: Optional[float] = None
    seed: int = 0
    lists: Dict[str, str] = {}
    copy_images: bool = False
    color_tolerance: int = 0


DEFAULTS = Options()


class Imported(NamedTuple):
    """What was made.

    kind: the tool. splits: images per split. objects: per label. pixels: per class, void last. left_out: places by
    reason. moved: pixels that count as another colour than they have, per mask.
    """

    out_dir: str
    kind: str
    order: str
    rest: str
    label_space: LabelSpace
    splits: Dict[str, int]
    objects: Dict[str, int]
    pixels: List[int]
    left_out: Dict[str, List[str]]
    moved: Dict[str, int]


class _Planned(NamedTuple):
    """An image of the dataset.

    image: its path; None if the annotations hold it. name: in the dataset. frame: (height, width) of its shapes.
    orientation: what leads from there to the image as it is read. named: where the annotations say that it lies.
    agreement: how many of the last parts of that are its own. objects: per label.
    """

    record: Record
    image: Optional[str]
    name: str
    frame: Tuple[int, int]
    orientation: int
    named: Tuple[str, ...]
    agreement: int
    objects: Dict[object, int]


def import_annotations(source: str, out_dir: str, options: Options = DEFAULTS, progress: bool = False) -> Imported:
    """Writes a dataset in folders from annotations, whole or not at all.

    Below `out_dir` there will be images/SPLIT, labels/SPLIT (PNGs of class IDs, 255 for void), classes.json (names and
    colours) and import.json (what was left out and why). Nothing of the source is changed.

    Args:
        source: A folder or file of annotations.
        out_dir: The directory to write; it must not exist, or be empty.

    Raises:
        ValueError: An option is out of its range, or names what is not there.
        DataError: There are no annotations, or none that can be used.
        FileNotFoundError: `source`, the folder of images or a list does not exist.
        FileExistsError, OSError: As `helpers.files.atomic_directory`.
    """
    _check_options(options)
    with atomic_directory(out_dir) as root:
        folder, left_out = Folder(source, options.image_dir), LeftOut()
        annotations = read_source(folder, options.kind, left_out, options.color_tolerance)
        planned, objects = _plan(annotations, folder, left_out, progress)
        if not objects:
            raise DataError(_nothing_left(source, 'object', left_out))
        order, rest = options.order or annotations.order, options.rest or annotations.rest
        classes = plan_classes(annotations, list(objects), rest, options.classes, options.void)
        splits = assign_splits(
            [item.name for item in planned],
            [item.record.split for item in planned],
            options.val_share,
            options.seed,
            options.lists,
            left_out,
        )
        writer = _Writer(root, os.path.realpath(out_dir), classes, order, options.copy_images, left_out)
        chosen = [(item, split) for item, split in zip(planned, splits) if split is not None]
        names = _names_below_splits(chosen)
        for (item, split), name in zip(tqdm(chosen, 'import', unit='image', **bar_options(progress)), names):
            writer.write(item, split, name)
        if not chosen:
            raise DataError(_nothing_left(source, 'image', left_out))
        # Some class has to have a pixel, besides the background, which is wherever nothing is.
        if not np.delete(writer.pixels[:-1], [] if rest == RESTS[1] else classes.rest).any():
            raise DataError(_nothing_left(source, 'object', left_out, 'all are void'))
        named = {_VOID_OBJECTS if label is VOID else str(label): count for label, count in objects.items()}
        imported = Imported(
            out_dir,
            annotations.kind,
            order,
            rest,
            classes.label_space,
            writer.counts,
            named,
            writer.pixels.tolist(),
            left_out.places,
            left_out.moved,
        )
        _write_texts(root, imported)
    return imported


def _check_options(options: Options) -> None:
    for flag, value, choices in (
        ('--format', options.kind, NAMES),
        ('--order', options.order, ORDERS),
        ('--rest', options.rest, RESTS),
    ):
        if value is not None and value not in choices:
            raise ValueError('{} is {!r}; choose from {}.'.format(flag, value, ', '.join(choices)))
    check_val_share(options.val_share)
    if options.lists and options.val_share is not None:
        raise ValueError('--val-share came with lists of names, which decide already. Leave one of them out.')
    for path in options.lists.values():
        if not os.path.isfile(path):
            raise FileNotFoundError('{} does not exist. Give a text file of image names.'.format(path))


def _plan(
    annotations: Source, folder: Folder, left_out: LeftOut, progress: bool
) -> Tuple[List[_Planned], Dict[object, int]]:
    """The images that can be used, and the objects of each label in them."""
    found: List[_Planned] = []
    for record in tqdm(annotations.records, 'read', unit='image', **bar_options(progress)):
        try:
            with left_out.paused() as reasons:  # until it is painted
                image = record.read()
            if reasons and not image.shapes:  # without them it would be an image of nothing but background
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


def _distinct(found: Sequence[_Planned], left_out: LeftOut) -> List[_Planned]:
    """One for each name in the dataset: of those that lead to one image, the one that names it best.

    Annotations of seq1/1.png lead to seq2/1.png as well where seq1 is not there.
    """
    by_stem: Dict[str, List[_Planned]] = {}
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


def _placed(record: Record, image: AnnotatedImage, folder: Folder) -> _Planned:
    path = image.path if folder.has_image(image.path) else None
    path = path or folder.find_image(image.path, image.beside) or folder.find_stem(_without_extension(image.path))
    if path is None and image.content is None:
        extension = os.path.splitext(image.path)[1].lower().lstrip('.')
        if extension in _UNREAD_EXTENSIONS:
            raise DataError(
                'no image of its name is in a format that is read ({} is not). Save it as PNG'.format(extension)
            )
        raise DataError(_NO_IMAGE)
    stored = frame_of(path, image.content)
    name = folder.name_of(path) if path is not None else _safe_name(image.path, image.content)
    if image.size not in (None, stored.upright, stored.size):
        raise DataError('its image has {} x {} pixels, not those that the annotations say'.format(*stored.upright))
    frame, orientation = (stored.upright, 1) if image.size in (None, stored.upright) else stored
    named = folder.parts_of(image.named or image.path, image.beside)
    agreement = 0 if path is None else common_ending(named, folder.parts_of(os.path.abspath(path)))
    objects: Dict[object, int] = {}
    for label in (class_name(shape.label) for shape in image.shapes):
        objects[label] = objects.get(label, 0) + 1
    return _Planned(record, path, name, frame, orientation, named, agreement, objects)


def _without_extension(named: str) -> str:
    """The name without the extension of an image, which may have been saved in another format since."""
    stem, extension = os.path.splitext(named)
    return stem if extension.lower().lstrip('.') in _EXTENSIONS else named


def _safe_name(named: str, content: Optional[bytes]) -> str:
    """The name of an image that the annotations hold, PNG or JPEG; with an extension by which it is found again."""
    name = posixpath.basename(named.replace('\\', '/'))
    name = name if name and not name.startswith('.') else 'image' + name
    if not name.isprintable() or len(name.encode('utf-8')) > _LONGEST_NAME:
        raise DataError('its image has no name that a file can have')
    if posixpath.splitext(name)[1].lower().lstrip('.') not in IMAGE_EXTENSIONS:
        name += '.' + read_header(content or b'').format
    return name


def _with_short_names(planned: List[_Planned]) -> List[_Planned]:
    """Names without the folders that all images have in common."""
    folders = [posixpath.dirname(item.name) for item in planned]
    common = posixpath.commonpath(folders) if folders and all(folders) else ''
    return [item._replace(name=posixpath.relpath(item.name, common) if common else item.name) for item in planned]


def _names_below_splits(chosen: Sequence[Tuple[_Planned, str]]) -> List[str]:
    """The names of `_below_split`; whole ones where two of these would meet."""
    names = [_below_split(item, split) for item, split in chosen]
    places = {(split, os.path.splitext(name)[0].lower()) for name, (_, split) in zip(names, chosen)}
    return names if len(places) == len(names) else [item.name for item, _ in chosen]


def _below_split(item: _Planned, split: str) -> str:
    """The name without a first folder that says the split that the image comes from and goes to."""
    first, slash, below = item.name.partition('/')
    return below if slash and item.record.split == split and split_in_name(first) == split else item.name


class _Writer:
    """Writes images and labels below a root; counts images per split and pixels per class, void last."""

    def __init__(
        self, root: str, final_root: str, classes: Classes, order: str, copy_images: bool, left_out: LeftOut
    ) -> None:
        self._root = root
        self._final_root = final_root
        self._classes = classes
        self._order = order
        self._copy_images = copy_images
        self._left_out = left_out
        self.counts: Dict[str, int] = {}
        self.pixels = np.zeros(classes.label_space.num_classes + 1, np.int64)

    def write(self, item: _Planned, split: str, name: str) -> None:
        image = item.record.read()
        class_id_of = self._classes.finder(self._left_out, image.place)
        try:
            label = paint(
                image, item.frame, item.orientation, class_id_of, self._classes.rest, self._order, self._left_out
            )
        except ValueError as error:
            self._left_out.add('images that cannot be used: {}'.format(error), image.place)
            return
        if (label == self._classes.label_space.ignore_id).all():
            self._left_out.add('images in which everything is void', image.place)
            return
        write_labels(os.path.join(self._root, 'labels', split, os.path.splitext(name)[0] + '.png'), label)
        self._place_image(os.path.join('images', split, name), item.image, image.content)
        counts = np.bincount(label.ravel(), minlength=256)
        num_classes = self._classes.label_space.num_classes
        self.pixels += np.append(counts[:num_classes], counts[num_classes:].sum())
        self.counts[split] = self.counts.get(split, 0) + 1

    def _place_image(self, name: str, source: Optional[str], content: Optional[bytes]) -> None:
        target = os.path.join(self._root, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if source is None:
            assert content is not None
            with open(target, 'wb') as file:
                file.write(content)
        elif self._copy_images:
            shutil.copyfile(source, target)
        else:
            # From where the link will be, so that source and dataset may be moved together.
            here = os.path.dirname(os.path.join(self._final_root, name))
            os.symlink(os.path.relpath(os.path.realpath(source), here), target)


def _write_texts(root: str, imported: Imported) -> None:
    atomic_write_json(os.path.join(root, CLASSES_FILE), imported.label_space.to_dict())
    report: Dict[str, Any] = imported._asdict()
    report.pop('out_dir')
    atomic_write_json(os.path.join(root, REPORT_FILE), dict(report, label_space=imported.label_space.to_dict()))


def _nothing_left(source: str, what: str, left_out: LeftOut, otherwise: str = 'it lists none') -> str:
    reasons = [
        '{} ({}, the first: {})'.format(reason, len(places), places[0]) for reason, places in left_out.places.items()
    ]
    remedy = ' Say where the images are: --images DIR.' if any(_NO_IMAGE in reason for reason in reasons) else ''
    return '{} has no {} that can be used: {}.{}'.format(source, what, '; '.join(reasons[:5]) or otherwise, remedy)


def describe(imported: Imported) -> str:
    """Says what was made and what was left out, as lines for people."""
    space = imported.label_space
    lines = ['annotations   {}'.format(imported.kind)]
    counts = ['{} {}'.format(count, split) for split, count in sorted(imported.splits.items())]
    lines.append('images        {}'.format(', '.join(counts)))
    overlap = {'file': 'the later in the file', 'area': 'the smaller'}[imported.order]
    lines.append('overlaps      {} lies over the other (--order {})'.format(overlap, imported.order))
    rest = BACKGROUND + ', class 0' if imported.rest == BACKGROUND else 'void, 255'
    lines.append('without shape {} (--rest {})'.format(rest, imported.rest))
    total = max(1, sum(imported.pixels))
    for class_id, name in enumerate(space.class_names):
        if not imported.pixels[class_id]:
            continue
        lines.append(
            '{:5d}  {:24s} {:>14s} {:7.2f} % of the pixels'.format(
                class_id, name, _objects(imported, name), 100 * imported.pixels[class_id] / total
            )
        )
    lines.append(
        '{:5d}  {:24s} {:14s} {:7.2f} %'.format(space.ignore_id, 'void', '', 100 * imported.pixels[-1] / total)
    )
    if _VOID_OBJECTS in imported.objects:
        lines.append('never count   {}, such as crowds: void'.format(_objects(imported, _VOID_OBJECTS)))
    absent = [name for name, count in zip(space.class_names, imported.pixels) if not count]
    if absent:
        lines.append('without a pixel: {}'.format(', '.join(absent)))
    if imported.moved:
        lines.append(
            'neither black nor white, and counted as the nearer of the two: {} of {}'.format(
                counted(sum(imported.moved.values()), 'pixel'), counted(len(imported.moved), 'mask')
            )
        )
    for reason, places in imported.left_out.items():
        lines.append('left out: {}: {}, the first: {}'.format(reason, len(places), places[0]))
    return '\n'.join(map(one_line, lines))


def _objects(imported: Imported, name: str) -> str:
    return counted(imported.objects.get(name, 0), 'object')
