"""Finds out which layout and splits a dataset has, even if the dataset has faults.

`data_generator.checking.split_files` says which files of a split belong together.
"""

import os
import re
import shlex
from typing import Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from data_generator.annotations import labelme
from data_generator.annotations.recognise import documents_in, masks_in, other_program_in
from data_generator.checking.faults import Fault
from data_generator.checking.folder_pairs import (
    find_folder_pairs,
    options_of,
    rules_of_kinds,
    suffix_words,
    ways_to_take,
)
from data_generator.checking.split_files import SplitFiles, survey_split
from data_generator.errors import DataError
from data_generator.files.discovery import (
    LABEL_EXTENSIONS,
    LABEL_FOLDERS,
    NameRule,
    Pair,
    Paths,
    as_path_list,
    find_images_of,
    list_files,
    stem_of,
)
from data_generator.files.layouts import LAYOUTS, Layout, places_of, variants_of
from data_generator.files.legends import find_legend, read_legend
from data_generator.files.splits import SPLIT_NAMES
from helpers.image_search import IMAGE_EXTENSIONS, about_unread, unread_images
from helpers.label_spaces import (
    ADE20K,
    CAMVID,
    CAMVID32,
    CITYSCAPES,
    CITYSCAPES20,
    VOC,
    LabelSpace,
    generic_label_space,
)

SPLITS = ('train', 'val')
NO_RULE = NameRule()

# A placeholder for unknown classes, until labels have been read.
_UNKNOWN_CLASSES = generic_label_space(1)

# Datasets whose folder structure people and tools (CVAT, Datumaro) also use for other classes, with their label spaces.
# Such folders count as the dataset unless a table of classes beside the data differs from all of these.
_IMITATED = {VOC.name: (VOC,), ADE20K.name: (ADE20K,), CAMVID.name: (CAMVID, CAMVID32)}
# These tools write this table into folders of Cityscapes. Its lines renumber the label IDs, whatever classes it names.
_NUMBERED_FOLDERS, _NUMBERING_TABLE = (CITYSCAPES.name, CITYSCAPES20.name), 'label_colors.txt'
# The folder of the lists of PASCAL VOC.
_LISTS = os.path.join('ImageSets', 'Segmentation')

# Common names of folders in users' own datasets, in any letter case, and of the two splits.
_IMAGE_NAMES = ('images', 'image', 'imgs', 'img', 'rgb', 'photos', 'frames', 'inputs', 'input', 'jpegimages')
_LABEL_NAMES = (
    *LABEL_FOLDERS,
    # labelme's converter writes PNGs, and NumPy files in which -1 does not count.
    *('segmentationclasspng', 'segmentationclass', 'targets', 'target'),
)
_OWN_SPLITS = (None, {'val': 'valid'}, {'val': 'validation'}, {'train': 'training', 'val': 'validation'})
# The most folders that are searched for one with a named dataset.
_MOST_INSIDE = 50
_SYSTEM_NAMES = ('.ds_store', 'thumbs.db', 'desktop.ini', '__macosx', '@eadir')


class _Candidate(NamedTuple):
    """A layout that a dataset may have. `knows_classes` is False for one that says only where the files are."""

    layout: Layout
    knows_classes: bool


_NAMED = [_Candidate(variant, knows_classes=True) for variants in LAYOUTS.values() for variant in variants]


class Survey(NamedTuple):
    """The dataset below one directory. `knows_classes` is False for a layout that says only where the files are."""

    root: str
    layout: Layout
    knows_classes: bool
    splits: List[SplitFiles]
    faults: Sequence[Fault] = ()

    @property
    def num_labels(self) -> int:
        """How many images of all splits have a label."""
        return sum(split.num_labels for split in self.splits)


def survey(
    root: str, layout: Optional[Union[str, Layout]] = None, extensions: Optional[Tuple[str, ...]] = None
) -> Survey:
    """Finds the files of a dataset.

    Args:
        layout: The layout; None to recognise it: one of the named layouts, `images` and `labels` (or similar words)
            with or without directories for train and val, or else images without labels.
        extensions: Extensions of the images if the layout is not a named one; None for the usual ones.

    Raises:
        ValueError: No such layout.
        FileNotFoundError: No such directory.
        DataError: The root is a file; no images in the places of the layout; annotations in place of labels; several
            folders that may be those of images and labels.
    """
    if os.path.isfile(root):
        raise DataError('{} is a file. Unpack an archive, and give the root directory of the dataset.'.format(root))
    if not os.path.isdir(root):
        raise FileNotFoundError('No such directory: {}. Give the root directory of a dataset.'.format(root))
    found = _found(root, layout, extensions)
    faults = _system_files(root) + _further_splits(found) + _unused_lists(found) + _unread(found.splits)
    if not found.knows_classes and found.num_labels:
        unlabelled = [split for split in found.splits if not split.num_labels and not _says_why(split)]
        faults += [Fault('split_without_labels', split.image_dir) for split in unlabelled]
        found = found._replace(splits=[split for split in found.splits if split not in unlabelled])
    return found._replace(faults=faults)


def _says_why(split: SplitFiles) -> bool:
    """Whether a fault explains why no image has a label, other than that there are no labels."""
    return any(fault.kind != 'image_without_label' for fault in split.faults)


def survey_folders(
    folders: Mapping[str, Tuple[Paths, Paths]],
    extensions: Optional[Tuple[str, ...]] = None,
    rule: NameRule = NO_RULE,
) -> Survey:
    """Finds the files of folders that the caller names.

    Args:
        folders: For 'train', and 'val' if there is one: the folder of images and that of their labels; or several
            folders of images, and those of their labels in the same order.
        extensions: Extensions of the images; None for the usual ones.
        rule: How labels are called.

    Raises:
        FileNotFoundError: One of them does not exist.
        DataError: One of them holds no images.
    """
    base, splits = _own_candidate('', '', extensions, rule=rule).layout, []
    named = [(name, pair) for name, places in folders.items() for pair in zip(*map(as_path_list, places))]
    for name, pair in named:
        for place in pair:
            if not os.path.isdir(place):
                raise FileNotFoundError('No such directory: {}. Give that of images or labels.'.format(place))
        # Layouts are templates, in which braces have a meaning.
        images, labels = (place.replace('{', '{{').replace('}', '}}') for place in pair)
        split = survey_split('', base._replace(images=images, labels=labels), name)
        if split is None:
            raise DataError(
                'No images in {!r}. Give the directory that holds them.{}'.format(pair[0], about_unread(pair[0]))
            )
        if not split.num_labels and rule == NO_RULE:
            _ask_for_kind(split)
        splits.append(split)
    return Survey(splits[0].image_dir, base, False, splits, _unread(splits))


def _ask_for_kind(split: SplitFiles) -> None:
    """Raises DataError if the images have labels of several kinds, of which the user has to choose one."""
    labels = [stem_of(path) for path in list_files(split.label_dir, LABEL_EXTENSIONS)]
    rules = rules_of_kinds([stem_of(pair.image) for pair in split.pairs], labels)
    if rules and split.image_dir != split.label_dir:
        raise DataError(
            'In {} each image has labels of its own name and {}. Say which are to be read, with the other options: '
            '{}'.format(
                split.label_dir,
                ', '.join(rule.suffix or '' for rule in rules),
                ' or '.join(' '.join(map(shlex.quote, suffix_words(rule))) for rule in rules),
            )
        )


def _found(root: str, layout: Optional[Union[str, Layout]], extensions: Optional[Tuple[str, ...]]) -> Survey:
    """Searches until something with labels is found.

    1. In the given layout, if there is one, and nowhere else.
    2. In the named layouts, and in folders with common names for images and labels.
    3. In the named layouts below a folder of the root; in folders with other names whose files fit together; in folders
       that hold both images and labels.
    4. Otherwise images alone are a dataset without labels, unless there are annotations or masks to import first.
    """
    if layout is not None:
        return _in_layout(root, variants_of(layout))
    own = [_own_candidate(images, labels, extensions, splits) for images, labels, splits in _own_arrangements(root)]
    found = _best_to_train_on(root, _named(root), own)
    if found is not None and found.num_labels:
        return found
    _refuse_folders_of_files(root)
    for search in (_in_folder_below, _in_fitting_folders, _in_shared_folders):
        other = search(root, extensions)
        if other is not None:
            return other
    if found is None or not any(fault.kind == 'label_without_image' for one in found.splits for fault in one.faults):
        _refuse_annotations(root)
    if found is None:
        _refuse_masks(root)
    return _with_other_program(found or _images_alone(root))


def _in_layout(root: str, variants: Sequence[Layout]) -> Survey:
    found = _best(root, [_Candidate(variant, knows_classes=True) for variant in variants], labels_needed=False)
    if found is None:
        raise DataError(_nothing_found(root, variants[0]))
    return found


def _own_candidate(
    images: str,
    labels: str,
    extensions: Optional[Tuple[str, ...]],
    splits: Optional[Mapping[str, str]] = None,
    rule: NameRule = NO_RULE,
) -> _Candidate:
    """Folders of a dataset without a named layout, as templates of a `Layout`."""
    layout = Layout('own', _UNKNOWN_CLASSES, images, labels, *rule, image_file_extension=extensions, splits=splits)
    return _Candidate(layout, knows_classes=False)


def _with_other_program(found: Survey) -> Survey:
    """Adds a fault about annotations that are no labels and that no importer reads."""
    other = other_program_in(found.root)
    if other is not None:
        found.splits[0].faults.append(Fault('other_program', *other))
    return found


def _named(root: str) -> List[_Candidate]:
    """The named layouts, without those whose folders hold other classes according to a table or names of images."""
    return [candidate for candidate in _NAMED if not _is_imitated(root, candidate.layout)]


def _is_imitated(root: str, layout: Layout) -> bool:
    """Whether the folders of a named dataset hold images or classes of another."""
    name = layout.label_space.name
    if name not in (*_IMITATED, *_NUMBERED_FOLDERS):
        return False
    places = places_of(layout, root, 'train')
    if name == ADE20K.name and not any(map(_is_of_ade20k, list_files(places.image_dir, IMAGE_EXTENSIONS))):
        return True
    table = find_legend(places.label_dir, places.image_dir)
    if table is None:
        return False
    if name in _NUMBERED_FOLDERS:
        return os.path.basename(table) == _NUMBERING_TABLE
    return all(_tells_of_others(table, space) for space in _IMITATED[name])


def _is_of_ade20k(image: str) -> bool:
    """Whether an image has a name like those of ADE20K: ADE_train_00000001.jpg."""
    return os.path.basename(image).startswith('ADE_')


def _tells_of_others(table: str, space: LabelSpace) -> bool:
    """Whether a table has a class that the space lacks, or one in another colour; False for a file that is no table."""
    try:
        legend = read_legend(table)
    except DataError:
        return False
    colors = dict(zip(space.class_names, space.colors))
    if legend.colors is None:
        return not set(legend.class_names) <= set(colors)
    return any(colors.get(name) != color for name, color in zip(legend.class_names, legend.colors))


def _refuse_annotations(root: str) -> None:
    """Refuses a root with annotations in place of labels: they have to be imported first."""
    documents = documents_in(root)
    if documents:
        raise DataError(
            '{} has annotations of {} and no labels. Make labels of them, and check these: fcn8s import {} OUT'.format(
                root,
                ' and '.join('{} ({})'.format(name, path) for name, path in documents.items()),
                shlex.quote(root),
            )
        )


def _refuse_folders_of_files(root: str) -> None:
    """Refuses the output of labelme_json_to_dataset: a folder for each image, each with its own class numbers."""
    for name in sorted(os.listdir(root)):
        table = os.path.join(root, name, labelme.TABLE_OF_ONE_IMAGE)
        if labelme.is_table_of_one_image(table) and os.path.isfile(table):
            raise DataError('{} is {}: fcn8s import FOLDER OUT'.format(table, labelme.OF_ONE_IMAGE))


def _refuse_masks(root: str) -> None:
    """Refuses a root with a mask for each class or object in place of labels: they have to be imported first."""
    mask = masks_in(root)
    if mask is not None:
        raise DataError(
            '{} has a mask for each class or object ({}) and no labels. Make labels of them, and check these: fcn8s '
            'import {} OUT'.format(root, mask, shlex.quote(root))
        )


def _in_folder_below(root: str, extensions: Optional[Tuple[str, ...]]) -> Optional[Survey]:
    """The dataset of a named layout in a subfolder, as in many archives; None unless there is exactly one."""
    names = [name for name in sorted(os.listdir(root)) if not name.startswith('.')]
    inside = [place for place in (os.path.join(root, name) for name in names) if os.path.isdir(place)]
    surveys = [_best(place, _named(place), labels_needed=True) for place in inside[:_MOST_INSIDE]]
    found = [one for one in surveys if one is not None and one.num_labels]
    return found[0] if len(found) == 1 else None


def _in_fitting_folders(root: str, extensions: Optional[Tuple[str, ...]]) -> Optional[Survey]:
    """The only pair of folders whose files belong together. Raises DataError if there are several such pairs."""
    first, beside = find_folder_pairs(root, extensions)
    if len(first) > 1:
        lines = '\n'.join('  fcn8s check ' + line for line in ways_to_take(first, root))
        raise DataError(
            'In {} these folders of images and labels fit together. Say which they are with the options of one '
            'line:\n{}'.format(root, lines)
        )
    if not first:
        return None
    pair = first[0]
    candidate = _own_candidate(*pair.templates(), extensions, pair.splits, pair.rule)
    found = _best(root, [candidate], labels_needed=True)
    if found is None or not found.num_labels:
        return None
    others = [Fault('other_folders', one.label_dir(root), options_of([one], root)) for one in beside]
    found.splits[0].faults.extend(others)
    return found


def _in_shared_folders(root: str, extensions: Optional[Tuple[str, ...]]) -> Optional[Survey]:
    """Images and labels in the same folders, which `discovery` tells apart."""
    divided, whole = ('{split}', 'images/{split}', '{split}/images'), ('', 'images')
    places = [(place, splits) for splits in _own_splits(_words_of_folders(root)) for place in divided]
    places += [(place, None) for place in whole]
    candidates = [_own_candidate(place, place, extensions, splits) for place, splits in places]
    found = _best_to_train_on(root, [], candidates)
    if found is None or not found.num_labels:
        return None
    pairs = [pair for split in found.splits for pair in split.pairs if pair.label is not None]
    are_beside = all(os.path.dirname(pair.image) == os.path.dirname(pair.label or '') for pair in pairs)
    return found if are_beside else None


def _best_to_train_on(root: str, named: Sequence[_Candidate], own: Sequence[_Candidate]) -> Optional[Survey]:
    """The best candidate. Of arrangements without a name, those with splits come first.

    One without splits has more pairs, but they would include a test split, which must not be trained on.
    """
    divided = [candidate for candidate in own if '{split}' in candidate.layout.images]
    found = _best(root, [*named, *divided], labels_needed=True)
    has_train = found is not None and any(split.num_labels for split in found.splits if split.name != 'val')
    if found is not None and (found.knows_classes or has_train):
        return found
    return _best(root, [*named, *own], labels_needed=True)


def _own_splits(words: Set[str]) -> Sequence[Optional[Mapping[str, str]]]:
    """The possible names of splits, given the words in names of folders."""
    years = sorted(word[5:] for word in words if re.match(r'train\d{4}$', word))
    dated = [{'train': 'train' + year, 'val': 'val' + year} for year in years]
    known = [splits for splits in _OWN_SPLITS if splits is None or words.issuperset(splits.values())]
    return known + [splits for splits in dated if splits['val'] in words]


def _own_arrangements(root: str) -> Iterator[Tuple[str, str, Optional[Mapping[str, str]]]]:
    """Yields the common arrangements of users' own datasets: folders of images and of labels, and names of splits."""
    words = _words_of_folders(root)
    label_names = [name for name in _LABEL_NAMES if name in words]
    for splits in _own_splits(words):
        for images in [name for name in _IMAGE_NAMES if name in words]:
            for labels in label_names:
                yield images + '/{split}', labels + '/{split}', splits
                yield '{split}/' + images, '{split}/' + labels, splits
                yield '{split}_' + images, '{split}_' + labels, splits
                yield images, labels, None
        for labels in label_names:
            yield '{split}', '{split}_' + labels, splits
        yield '{split}', '{split}annot', splits  # CamVid's form, as CVAT writes it with other classes


def _words_of_folders(root: str) -> Set[str]:
    """The words in names of folders up to two levels below a root, in lower case; both words of train_masks."""
    words: Set[str] = set()
    for place, folders, _ in os.walk(root):
        names = [name.lower() for name in folders]
        words.update(names)
        words.update(word for name in names for word in name.split('_', 1) if name.startswith(tuple(SPLIT_NAMES)))
        if place != root:
            folders[:] = []
    return words


def _best(root: str, candidates: Iterable[_Candidate], labels_needed: bool) -> Optional[Survey]:
    """The candidate with the most pairs; the first of those with equally many."""
    best, best_count = None, (0, 0)
    for layout, knows_classes in candidates:
        splits = [split for split in (survey_split(root, layout, name) for name in _splits_of(layout)) if split]
        count = (sum(split.num_labels for split in splits), sum(len(split.pairs) for split in splits))
        if labels_needed and not any(os.path.isdir(split.label_dir) for split in splits):
            continue
        if count > best_count:
            best, best_count = Survey(root, layout, knows_classes, splits), count
    return best


def _splits_of(layout: Layout) -> Sequence[str]:
    has_splits = '{split}' in layout.images or layout.list_file or layout.val_pattern
    return SPLITS if has_splits else ('all',)


def _images_alone(root: str) -> Survey:
    images = list_files(root, IMAGE_EXTENSIONS)
    if not images:
        raise DataError(
            'No images below {!r}. Give the root directory of a dataset.{}'.format(root, about_unread(root))
        )
    split = SplitFiles('all', root, '', [Pair(image, None) for image in images], [Fault('no_labels', root)])
    return Survey(root, Layout('own', _UNKNOWN_CLASSES, '', ''), False, [split])


def _nothing_found(root: str, layout: Layout) -> str:
    places = ' or '.join(places_of(layout, root, split).image_dir for split in _splits_of(layout))
    return (
        'No images of the layout {} in {}: expected {}. Give the directory that holds these, or another layout.'.format(
            layout.name, root, places
        )
    )


def _system_files(root: str) -> List[Fault]:
    """Files of operating systems beside the data, which are not read."""
    faults = []
    for folder, folders, names in os.walk(root):
        found = [name for name in folders + names if name.lower() in _SYSTEM_NAMES]
        faults += [Fault('system_file', os.path.join(folder, name)) for name in sorted(found)]
        folders[:] = [name for name in folders if name.lower() not in _SYSTEM_NAMES and not name.startswith('.')]
    return faults


def _unread(splits: Sequence[SplitFiles]) -> List[Fault]:
    """Files beside images and labels in formats that are not searched for. Labels may be GIF files, though."""
    places = {split.image_dir for split in splits}
    found = [path for place in sorted(places) for path in unread_images(place)]
    for place in sorted({split.label_dir for split in splits if os.path.isdir(split.label_dir)} - places):
        found += [path for path in unread_images(place) if not path.lower().endswith(LABEL_EXTENSIONS)]
    labels = {pair.label for split in splits for pair in split.pairs}
    return [Fault('unread_format', path) for path in dict.fromkeys(found) if path not in labels]


def _further_splits(found: Survey) -> List[Fault]:
    """Folders of images other than those of train and val, such as one for test."""
    if '{split}' not in found.layout.images:
        return []
    known, faults = {split.image_dir for split in found.splits}, []
    for name in SPLIT_NAMES:
        place = places_of(found.layout._replace(splits=None), found.root, name).image_dir
        if place in known:
            continue
        try:
            find_images_of(place, found.layout.image_file_extension, found.layout.name_rule)
        except (FileNotFoundError, DataError):  # missing, or without images
            continue
        faults.append(Fault('further_split', place))
    return faults


def _unused_lists(found: Survey) -> List[Fault]:
    """Lists of train and val images in the place of PASCAL VOC's lists, if the layout does not use lists."""
    place = os.path.join(found.root, _LISTS)
    if found.layout.list_file or not os.path.isdir(place):
        return []
    names = [name for name in sorted(os.listdir(place)) if SPLIT_NAMES.get(stem_of(name).lower()) in SPLITS]
    return [Fault('unused_list', os.path.join(place, name)) for name in names]
