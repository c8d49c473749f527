"""A dataset in folders from annotations of other tools: images/SPLIT, labels/SPLIT, classes.json."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from data_generator.annotations.classes import check_wanted, plan_classes
from data_generator.annotations.folder import CLASSES_FILE, REPORT_FILE, Folder
from data_generator.annotations.planning import NO_IMAGE, PlannedImage, names_below_splits, plan_images
from data_generator.annotations.recognise import NAMES, read_source
from data_generator.annotations.shapes import VOID, LeftOut
from data_generator.annotations.splits import assign_splits, check_division
from data_generator.annotations.summary import VOID_OBJECTS, Imported
from data_generator.annotations.writing import DatasetWriter
from data_generator.errors import DataError
from helpers.files import atomic_directory, atomic_write_json
from helpers.flags import check_choice, check_flags
from helpers.progress import bar_options

ORDERS = ('file', 'area')
RESTS = ('background', 'void')


class Options(NamedTuple):
    """How annotations become a dataset; None stands for the tool's default.

    image_dir: where the images are, if not with the annotations. kind: one of `recognise.NAMES`. order: 'file', later
    shapes over earlier ones, or 'area', smaller over larger. rest: 'background' or 'void', the class of pixels without
    a shape. classes: the classes to use, in this order. void: classes whose pixels never count. val_share, seed, lists:
    see `splits.assign_splits`. copy_images: whether to copy images instead of linking them. color_tolerance: for masks
    of single classes, see `files.class_masks.read_mask`.
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


def import_annotations(source: str, out_dir: str, options: Options = DEFAULTS, progress: bool = False) -> Imported:
    """Writes a dataset in folders from annotations, atomically.

    `out_dir` gets images/SPLIT, labels/SPLIT (PNGs of class IDs, 255 for void), classes.json (names and colours) and
    import.json (what was left out and why). The source is not changed.

    Args:
        source: A folder or file of annotations.
        out_dir: The directory to write; it must not exist, or be empty.

    Raises:
        ValueError: An option is out of its range, or names something that does not exist.
        DataError: There are no annotations, or none that can be used.
        FileNotFoundError: `source`, the folder of images or a list does not exist.
        FileExistsError, OSError: As `helpers.files.atomic_directory`.
    """
    _check_options(options)
    with atomic_directory(out_dir) as root:
        folder, left_out = Folder(source, options.image_dir), LeftOut()
        annotations = read_source(folder, options.kind, left_out, options.color_tolerance)
        planned, objects = plan_images(annotations, folder, left_out, progress)
        if not objects:
            raise DataError(_nothing_left(source, 'object', left_out))
        order, rest = options.order or annotations.order, options.rest or annotations.rest
        classes = plan_classes(annotations, list(objects), rest, options.classes, options.void)
        chosen, split_by = _in_splits(planned, options, left_out)
        if not chosen:
            raise DataError(_nothing_left(source, 'image', left_out))
        writer = DatasetWriter(root, os.path.realpath(out_dir), classes, order, options.copy_images, left_out)
        images = zip(chosen, names_below_splits(chosen))
        for (item, split), name in tqdm(images, 'import', len(chosen), unit='image', **bar_options(progress)):
            writer.write(item, split, name)
        # Some class besides the background has to have a pixel: the background is everywhere else.
        if not np.delete(writer.pixels[:-1], [] if rest == RESTS[1] else classes.rest).any():
            raise DataError(_nothing_left(source, 'object', left_out, 'all are void'))
        named = {VOID_OBJECTS if label is VOID else str(label): count for label, count in objects.items()}
        imported = Imported(
            out_dir,
            annotations.kind,
            order,
            rest,
            classes.label_space,
            writer.counts,
            split_by,
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
        if value is not None:
            check_choice(flag, value, choices)
    check_flags(copy_images=options.copy_images)
    if options.classes is not None:
        check_wanted(options.classes, options.void)
    check_division(options.val_share, options.seed, options.lists)
    for path in options.lists.values():
        if not os.path.isfile(path):
            raise FileNotFoundError('{} does not exist. Give a text file of image names.'.format(path))


def _in_splits(
    planned: Sequence[PlannedImage], options: Options, left_out: LeftOut
) -> Tuple[List[Tuple[PlannedImage, str]], str]:
    """The images that belong to a split, each with its split; and who decided."""
    names, own = [item.name for item in planned], [item.record.split for item in planned]
    paths = [item.name if item.image is None else os.path.abspath(item.image) for item in planned]
    splits, rule = assign_splits(names, paths, own, options.val_share, options.seed, options.lists, left_out)
    return [(item, split) for item, split in zip(planned, splits) if split is not None], rule


def _write_texts(root: str, imported: Imported) -> None:
    atomic_write_json(os.path.join(root, CLASSES_FILE), imported.label_space.to_dict())
    report: Dict[str, Any] = imported._asdict()
    report.pop('out_dir')
    atomic_write_json(os.path.join(root, REPORT_FILE), dict(report, label_space=imported.label_space.to_dict()))


def _nothing_left(source: str, what: str, left_out: LeftOut, otherwise: str = 'it lists none') -> str:
    reasons = [
        '{} ({}, the first: {})'.format(reason, len(places), places[0]) for reason, places in left_out.places.items()
    ]
    remedy = ' Say where the images are: --images DIR.' if any(NO_IMAGE in reason for reason in reasons) else ''
    return '{} has no {} that can be used: {}.{}'.format(source, what, '; '.join(reasons[:5]) or otherwise, remedy)
