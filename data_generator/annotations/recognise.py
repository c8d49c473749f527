"""Which tool has written annotations, recognised by the content of the files."""

import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from data_generator.annotations import cityscapes, class_masks, coco, cvat, kaggle, labelme, supervisely, via, voc, yolo
from data_generator.annotations.documents import (
    read_json_document,
    read_json_line,
    read_start,
    read_text,
    read_xml,
)
from data_generator.annotations.folder import LINES_OF_JSON, Folder
from data_generator.annotations.shapes import LeftOut, Source
from data_generator.annotations.values import BAD_VALUES
from data_generator.errors import DataError

# How many files of an extension are examined; all of them if one of them describes many images.
_LOOKED_INTO = 100
# From this many bytes on, a COCO file is recognised without parsing if its content is not needed: some have 470 MB.
_LARGE = 1 << 20
_OF_OTHER_PROGRAMS = ('.json', '.csv', *LINES_OF_JSON)
_COCO = 'export its annotations as COCO: '
# Programs whose own files are not read: the entries by which their files are recognised, and what to do instead.
_OTHER_PROGRAMS = (
    (('annotations', 'data'), 'Label Studio', _COCO + 'Export > COCO'),
    (('annotator', 'lead_time'), 'Label Studio', _COCO + 'Export > COCO'),
    (('item', 'annotations'), 'V7 Darwin', _COCO + 'darwin convert coco (package darwin-py)'),
    (('metadata', 'instances'), 'SuperAnnotate', _COCO + 'export_annotation (package superannotate)'),
    (('items', 'categories', 'info'), 'Datumaro', _COCO + 'datum convert -f coco_instances (package datumaro)'),
    (('export_format_version', 'label_classes'), 'Hasty', _COCO + 'Export data > COCO'),
    (('label_hash', 'data_units'), 'Encord', _COCO + 'Export > COCO'),
    (('task_type', 'samples'), 'Segments.ai', _COCO + "export_dataset(..., 'coco-instance') (package segments-ai)"),
    (('media_type', 'sample_fields'), 'FiftyOne', _COCO + 'dataset.export(dataset_type=COCODetectionDataset)'),
    (('filepath', 'tags'), 'FiftyOne', _COCO + 'dataset.export(dataset_type=COCODetectionDataset)'),
    (('group', 'segmentation', 'layer'), 'ISAT', _COCO + 'its converter'),
    (('sample_data_token', 'category_token'), 'nuImages', _COCO + 'nuimage_converter.py (of mmdetection3d)'),
    (('region_shape_attributes', 'region_attributes'), 'VIA', 'export JSON: Annotation > Export Annotations (as json)'),
    (('project', 'attribute', 'metadata', 'view'), 'VIA 3', 'only images annotated in VIA 2 are read'),
    (('name', 'labelIdx', 'points'), 'EISeg', _COCO + 'it saves that, and label maps in grey, beside its own files'),
    (('task_id', 'response'), 'Scale', 'make COCO of its polygons: import_from_scale (of fiftyone.utils.scale)'),
    (('data_row', 'projects'), 'Labelbox', 'make COCO of its polygons, or download its masks as masks/CLASS/NAME.png'),
    (('DataRow ID', 'Label'), 'Labelbox', 'make COCO of its polygons, or download its masks as masks/CLASS/NAME.png'),
)
_ABOUT_LABEL_MAPS = ' Label maps of all classes need no import: fcn8s check says how to train on them.'
_UNREADABLE = 'files that cannot be read'


class Format(NamedTuple):
    """extension: that of its files. holds: recognises the format by the content. read: makes a Source. is_one_file:
    whether one file describes many images.
    """

    extension: str
    holds: Callable[[Any], bool]
    read: Callable[[Folder, List[str], LeftOut], Source]
    is_one_file: bool = False


FORMATS: Dict[str, Format] = {
    'coco': Format('.json', coco.is_coco, coco.read_coco, True),
    'labelme': Format('.json', labelme.is_labelme, labelme.read_labelme),
    'cityscapes': Format('.json', cityscapes.is_cityscapes, cityscapes.read_cityscapes),
    'supervisely': Format('.json', supervisely.is_supervisely, supervisely.read_supervisely),
    'via': Format('.json', via.is_via, via.read_via, True),
    'cvat': Format('.xml', cvat.is_cvat, cvat.read_cvat, True),
    'voc': Format('.xml', voc.is_voc, voc.read_voc),
    'kaggle': Format('.csv', lambda content: kaggle.is_kaggle(*content), kaggle.read_kaggle, True),
    'yolo': Format('.txt', lambda content: yolo.is_yolo(*content), yolo.read_yolo),
}
#: The format that needs no documents, only images; it is tried last.
_MASKS = 'masks'
NAMES = (*FORMATS, _MASKS)


def read_source(folder: Folder, name: Optional[str], left_out: LeftOut, color_tolerance: int = 0) -> Source:
    """Reads the annotations in a folder.

    Args:
        name: One of NAMES; None to recognise it by the content.
        color_tolerance: For masks of single classes, see `files.class_masks.read_mask`.

    Raises:
        DataError: There are no annotations, or those of several tools, or a file that describes many images is damaged.
        ValueError: A tolerance was given, and the annotations are no masks of single classes.
    """
    found, faults = _documents_by_format(folder, [name] if name in FORMATS else [] if name else list(FORMATS))
    for fault in faults.values():
        left_out.add(_UNREADABLE, fault)
    if name is None and len(found) > 1:
        found.pop('yolo', None)  # lists of names and similar files look like YOLO's
    if not found:
        masks = class_masks.read_class_masks(folder, left_out, color_tolerance) if name in (None, _MASKS) else None
        if masks is not None:
            return masks
        raise DataError(
            '{} holds no annotations{}. Known are {}.{}{}{}'.format(
                folder.root,
                '' if name is None else ' of ' + name,
                ', '.join(NAMES),
                _of_other_programs(folder),
                _unreadable(left_out),
                _ABOUT_LABEL_MAPS if folder.images else '',
            )
        )
    if len(found) > 1:
        examples = ', '.join('{} ({})'.format(kind, documents[0]) for kind, documents in found.items())
        raise DataError(
            '{} holds annotations of several tools: {}. Say which with --format, or give a folder of one.'.format(
                folder.root, examples
            )
        )
    ((kind_name, documents),) = found.items()
    if color_tolerance:
        raise ValueError(
            '--color-tolerance is {}, and is about masks of single classes; {} holds annotations of {}. Leave it '
            'out.'.format(color_tolerance, folder.root, kind_name)
        )
    _refuse_damaged(kind_name, faults)
    try:
        return FORMATS[kind_name].read(folder, documents, left_out)
    except DataError:
        raise
    except BAD_VALUES as error:
        raise DataError(
            'The annotations of {} in {} are damaged, or of a version that is not known ({!r}). Export them '
            'again.'.format(kind_name, folder.root, error)
        ) from error


def _refuse_damaged(kind_name: str, faults: Dict[str, str]) -> None:
    """Raises DataError for a damaged file where a file describes many images: without it, a split may be missing."""
    extension, is_one_file = FORMATS[kind_name].extension, FORMATS[kind_name].is_one_file
    for path, fault in faults.items():
        if is_one_file and path.lower().endswith(extension):
            raise DataError(
                '{} Without it, all images that it may describe would be missing, perhaps a whole split. If it holds '
                'no annotations, take it out of the folder.'.format(fault)
            )


def documents_in(root: str) -> Dict[str, str]:
    """Returns the formats of annotations below a folder, with a file of each; nothing is imported."""
    folder = Folder(root)
    found, _ = _documents_by_format(folder, list(FORMATS), without_parsing=True)
    if len(found) > 1 or not yolo.belong_to_images(folder, found.get('yolo', [])):
        found.pop('yolo', None)
    return {name: documents[0] for name, documents in found.items()}


def masks_in(root: str) -> Optional[str]:
    """Finds a mask of a single class or object whose name or place tells its image; None if there is none."""
    masks = class_masks.read_class_masks(Folder(root), LeftOut())
    return None if masks is None else masks.records[0].place


def other_program_in(root: str) -> Optional[Tuple[str, str]]:
    """Finds a file of a program whose own files are not read; returns it, and what the program can export."""
    return _of_other_program(Folder(root))


def _of_other_programs(folder: Folder) -> str:
    """Names the program that wrote a file and what it can export; '' if it is not known."""
    found = _of_other_program(folder)
    return '' if found is None else ' {} is {}.'.format(*found)


def _of_other_program(folder: Folder) -> Optional[Tuple[str, str]]:
    for path in [path for path in folder.documents if path.lower().endswith(_OF_OTHER_PROGRAMS)][:_LOOKED_INTO]:
        try:
            parts = _parts(_content(path))
        except DataError:
            continue
        for keys, program, instead in _OTHER_PROGRAMS:
            if any(set(keys) <= set(part) for part in parts):
                return path, 'of {}; {}'.format(program, instead)
    tables = [path for path in folder.documents if labelme.is_table_of_one_image(path)]
    return (tables[0], labelme.OF_ONE_IMAGE) if tables else None


def _parts(content: Any) -> List[Dict[str, Any]]:
    """The parts that may identify a program: JSON content, its entries and the first entry of each list; or the header
    of a table.
    """
    if isinstance(content, tuple):
        return [dict.fromkeys(content[1].partition('\n')[0].strip().split(','))]
    inner = list(content.values()) if isinstance(content, dict) else content[:1] if isinstance(content, list) else []
    first = [one[0] for one in inner if isinstance(one, list) and one]
    return [one for one in (content, *inner, *first) if isinstance(one, dict)]


def _unreadable(left_out: LeftOut) -> str:
    faults = left_out.places.get(_UNREADABLE, [])
    more = ' ({} more)'.format(len(faults) - 1) if len(faults) > 1 else ''
    masks = left_out.places.get(class_masks.UNTOLD, [])
    text = ' A file could not be read: {}{}'.format(faults[0], more) if faults else ''
    if masks:
        text += ' The names of masks say no class, the first: {}.'.format(masks[0])
    return text


def _documents_by_format(
    folder: Folder, names: Sequence[str], without_parsing: bool = False
) -> Tuple[Dict[str, List[str]], Dict[str, str]]:
    """The files of each format: those that hold it, or if there is one file for each image all with its extension.

    Also what is wrong with each file that cannot be read. `without_parsing`: whether two words are enough to recognise
    a large COCO file.
    """
    found: Dict[str, List[str]] = {}
    faults: Dict[str, str] = {}
    for extension in sorted({FORMATS[name].extension for name in names}):
        endings = (extension, '.yaml', '.yml') if extension == '.txt' else (extension,)
        paths = [path for path in folder.documents if path.lower().endswith(endings)]
        possible = [name for name in names if FORMATS[name].extension == extension]
        for number, path in enumerate(paths):
            if number >= _LOOKED_INTO and not any(FORMATS[name].is_one_file for name in found if name in possible):
                break
            if without_parsing and extension == '.json' and _is_large_coco(path):
                found.setdefault('coco', []).append(path)
                continue
            for name in _fitting(path, possible, faults):
                if FORMATS[name].is_one_file:
                    found.setdefault(name, []).append(path)
                else:
                    found[name] = paths
    return found, faults


def _is_large_coco(path: str) -> bool:
    try:
        return os.path.getsize(path) > _LARGE and coco.looks_like_coco(path)
    except (ValueError, OSError):
        return False


def _fitting(path: str, names: Sequence[str], faults: Dict[str, str]) -> List[str]:
    try:
        content = _content(path)
    except DataError as error:
        faults[path] = str(error)
        return []
    return [name for name in names if FORMATS[name].holds(content)]


def _content(path: str) -> Any:
    extension = os.path.splitext(path)[1].lower()
    if extension == '.json':
        return read_json_document(path)
    if extension in LINES_OF_JSON:
        return read_json_line(path)
    if extension == '.csv':
        return path, read_start(path)
    return read_xml(path) if extension == '.xml' else (path, read_text(path))
