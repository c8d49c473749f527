"""Which classes a dataset has: names, colours, the ID of ignored pixels, and the IDs in the dataset's own files.

The tables of the datasets' publishers are in `helpers/cityscapes_labels.py` and `helpers/class_tables.py`.
"""

import colorsys
import unicodedata
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from helpers.aliases import Color
from helpers.cityscapes_labels import CITYSCAPES_LABELS
from helpers.class_tables import ADE20K_NAMES, CAMVID_COLORS, VOC_NAMES
from helpers.files import to_json
from helpers.flags import checked_whole, is_whole, unmasked

#: Sources of the colours of classes, see `helpers.color_vision.with_palette`.
PALETTES = ('dataset', 'color-blind')
#: The default ID of pixels that never count.
DEFAULT_IGNORE_ID = 255
#: The most classes of a network: its labels are uint8, and one value is reserved for ignored pixels.
MAX_CLASSES = 255
_GENERIC = 'generic'
# The ID of pixels without a class in the files of Cityscapes ('unlabeled') and ADE20K ('other objects').
_UNLABELED_FILE_ID = 0


class LabelSpace(NamedTuple):
    """The classes of a dataset, indexed by class ID.

    Fields:
        name: The name of the space in settings and messages.
        class_names: A name per class ID.
        colors: RGB per class ID, 0 to 255.
        ignore_id: The ID of pixels that never count: in no loss, no gradient and no score.
        void_class_ids: Classes of the network that scores leave out.
        file_ids: Per class ID, the ID in the dataset's own files; None if these hold class IDs.
        categories: Per class ID, the name of the group that it belongs to.
        ignore_colors: Colours that mark ignored pixels in the dataset's own colour labels.
    """

    name: str
    class_names: Tuple[str, ...]
    colors: Tuple[Color, ...]
    ignore_id: int = DEFAULT_IGNORE_ID
    void_class_ids: Tuple[int, ...] = ()
    file_ids: Optional[Tuple[int, ...]] = None
    categories: Optional[Tuple[str, ...]] = None
    ignore_colors: Tuple[Color, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of outputs of a network for this space."""
        return len(self.class_names)

    @property
    def color_to_id(self) -> Dict[Color, int]:
        """(r, g, b) -> class ID for the dataset's own colour labels, including the colours of ignored pixels.

        Raises:
            ValueError: Two classes have the same colour, or a class and ignored pixels: the colour is ambiguous.
        """
        ignore_colors = _as_tuples(self.ignore_colors)
        table = {color: class_id for class_id, color in enumerate(_as_tuples(self.colors))}
        are_distinct = len(table) == len(self.colors)
        if not are_distinct or not table.keys().isdisjoint(ignore_colors):
            raise ValueError(
                '{} of the label space {} have the same colour, so colours do not tell the class. Read the files with '
                'class IDs instead.'.format('A class and ignored pixels' if are_distinct else 'Two classes', self.name)
            )
        table.update(dict.fromkeys(ignore_colors, self.ignore_id))
        return table

    def to_dict(self) -> Dict[str, Any]:
        """Returns the fields as types that JSON can hold."""
        return to_json(dict(self._asdict()))

    @staticmethod
    def from_dict(fields: Dict[str, Any]) -> 'LabelSpace':
        """Makes a label space from the result of `to_dict`. Fields with a default may be missing.

        Raises:
            ValueError: A field is missing, unknown or has an invalid value, or the fields disagree about the number of
                classes.
        """
        unknown = sorted(set(fields) - set(LabelSpace._fields))
        missing = [field for field in ('name', 'class_names', 'colors') if field not in fields]
        if unknown or missing:
            raise ValueError(
                'A label space has the fields {}; missing: {}; unknown: {}.'.format(
                    list(LabelSpace._fields), missing, unknown
                )
            )
        return checked_label_space(LabelSpace(**fields))


def generic_label_space(
    num_classes: int, ignore_id: int = DEFAULT_IGNORE_ID, class_names: Optional[Sequence[str]] = None
) -> LabelSpace:
    """Returns a label space for a dataset that is not built in.

    Args:
        num_classes: The number of classes, 1 to 65535.
        ignore_id: The ID of pixels that never count, 0 to 65535.
        class_names: A name per class; 'class 0', 'class 1', ... by default.

    Raises:
        ValueError: An argument is out of its range, or the number of names is not that of the classes.
    """
    num_classes = checked_whole('num_classes', num_classes, 1, 65535)
    if isinstance(class_names, str):
        raise ValueError('class_names is {!r}; it has to be a list of names.'.format(class_names))
    if class_names is None:
        class_names = _default_names(num_classes)
    return checked_label_space(LabelSpace(_GENERIC, tuple(class_names), _distinct_colors(num_classes), ignore_id))


def checked_label_space(space: Any) -> LabelSpace:
    """Returns a label space with tuples in place of lists and arrays, as reading a saved one gives.

    Raises:
        ValueError: It is no label space, a field has an invalid value, or the fields disagree about the number of
            classes.

    A class whose ID is ignored becomes a void class.
    """
    if not isinstance(space, LabelSpace):
        raise ValueError(
            'label_space is {!r}; it has to be a LabelSpace, such as helpers.label_spaces.CAMVID, '
            'generic_label_space(2, class_names=[...]) or that of a BatchGenerator.'.format(space)
        )
    space = LabelSpace(*map(_as_tuples, space))
    _check_types(space)
    _check(space)
    return _with_ignored_void(space)


def _with_ignored_void(space: LabelSpace) -> LabelSpace:
    """The label space with an ignored class among the void ones: no pixel of it counts, so it has no score."""
    if space.ignore_id >= space.num_classes or space.ignore_id in space.void_class_ids:
        return space
    return space._replace(void_class_ids=tuple(sorted((*space.void_class_ids, space.ignore_id))))


def is_nameless(space: LabelSpace) -> bool:
    """Tells whether the classes have the default names 'class 0', 'class 1', ..."""
    return list(space.class_names) == _default_names(space.num_classes)


def has_own_colors(space: LabelSpace) -> bool:
    """Tells whether the colours of a label space come from a dataset, and not from this library."""
    return space.colors != _distinct_colors(space.num_classes)


def is_of_a_table(space: LabelSpace) -> bool:
    """Tells whether a label space was made from a user's table of classes, and is not a built-in one."""
    return space.name == _GENERIC


def are_counted(labels: np.ndarray, space: LabelSpace) -> np.ndarray:
    """Returns which pixels of integer labels count in scores, bool [H, W]: neither ignored nor of a void class."""
    labels = unmasked('labels', labels, space.ignore_id)
    return (labels != space.ignore_id) & ~np.isin(labels, space.void_class_ids)


def ignore_void(labels: np.ndarray, space: LabelSpace) -> np.ndarray:
    """Returns integer labels in which pixels of void classes are ignored, in a type that has room for `ignore_id`."""
    return np.where(are_counted(labels, space), labels, np.int32(space.ignore_id))


def _default_names(num_classes: int) -> List[str]:
    return ['class {}'.format(class_id) for class_id in range(num_classes)]


def file_ids_to_class_ids(space: LabelSpace) -> np.ndarray:
    """Returns the map from the IDs in the dataset's own files to class IDs.

    Returns:
        A uint8 array of shape [256]; longer, or uint16, if an ID above 255 requires it. An ID that is no class becomes
        the void class if the network has one, else `space.ignore_id`. For a space whose files hold class IDs the map is
        the identity, so that wrong labels stay visible.
    """
    if space.file_ids is None:
        return np.arange(256, dtype=np.uint8)
    rest = space.void_class_ids[0] if space.void_class_ids else space.ignore_id
    return _id_table(rest, dict(zip(space.file_ids, range(space.num_classes))))


def class_ids_to_file_ids(space: LabelSpace) -> np.ndarray:
    """Returns the map from class IDs to the IDs in the dataset's own files, as its evaluation server expects them.

    Returns:
        A uint8 array of shape [256]; longer, or uint16, if an ID above 255 requires it. An ID that is no class becomes
        0, 'unlabeled'. For a space whose files hold class IDs the map is the identity.
    """
    if space.file_ids is None:
        return np.arange(256, dtype=np.uint8)
    return _id_table(_UNLABELED_FILE_ID, dict(enumerate(space.file_ids)))


def _id_table(rest: int, entries: Dict[int, int]) -> np.ndarray:
    """A table of at least 256 IDs: the new ID from `entries`, or `rest` for IDs without an entry."""
    table = np.full(max(256, int(max(entries)) + 1), int(rest))
    table[list(entries)] = list(entries.values())
    return table.astype(np.uint8 if table.max() <= 255 else np.uint16)


def cityscapes_ids_to_train_ids() -> np.ndarray:
    """Returns the map from Cityscapes `labelIds` to the 19 official train IDs, 255 for the rest: uint8 [256]."""
    return file_ids_to_class_ids(CITYSCAPES)


def cityscapes_train_ids_to_ids() -> np.ndarray:
    """Returns the map from the 19 official train IDs to Cityscapes `labelIds`, 0 for the rest: uint8 [256]."""
    return class_ids_to_file_ids(CITYSCAPES)


def cityscapes_ids_to_cityscapes20() -> np.ndarray:
    """Returns the map from Cityscapes `labelIds` to void as class 0 and the 19 classes as 1 to 19: uint8 [256]."""
    return file_ids_to_class_ids(CITYSCAPES20)


def cityscapes20_to_cityscapes_ids() -> np.ndarray:
    """Returns the map from void as class 0 and the 19 classes as 1 to 19 to Cityscapes `labelIds`: uint8 [256]."""
    return class_ids_to_file_ids(CITYSCAPES20)


def cityscapes_train_ids_to_cityscapes20() -> np.ndarray:
    """Returns the map from the 19 official train IDs to 1 to 19, 0 for the rest: a uint8 array of shape [256]."""
    return cityscapes_ids_to_cityscapes20()[cityscapes_train_ids_to_ids()]


#: Names appear in terminals, reports and file names; the longest of a built-in dataset has 43 characters.
MAX_NAME_LENGTH = 200
# Characters within Persian and Indic words and within emoji that separate and join letters.
_JOINERS = '\u200c\u200d'


def _check_types(space: LabelSpace) -> None:
    """Raises ValueError if a field has an invalid value."""
    for field in ('class_names', 'categories'):
        for name in _entries(field, getattr(space, field)):
            _check_name(field, name)
    _check_name('name', space.name)
    for field in ('colors', 'ignore_colors'):
        for color in _entries(field, getattr(space, field)):
            if not isinstance(color, tuple) or len(color) != 3 or not all(_is_id(value, 255) for value in color):
                raise ValueError('{} has {!r}; a colour is three integers from 0 to 255.'.format(field, color))
    for field in ('void_class_ids', 'file_ids'):
        for class_id in _entries(field, getattr(space, field)):
            if not _is_id(class_id, 65535):
                raise ValueError('{} has {!r}; an ID is an integer from 0 to 65535.'.format(field, class_id))


def _entries(field: str, value: Any) -> Tuple[Any, ...]:
    if field in ('categories', 'file_ids') and value is None:
        return ()
    if not isinstance(value, tuple) or len(value) > 65535:
        raise ValueError('{} is {!r:.60}; it has to be a list of at most 65535 entries.'.format(field, str(value)))
    return value


def is_class_name(name: Any) -> bool:
    """Tells whether a value can be the name of a class: printable text in any script, on one line, not blank."""
    return _can_be_printed(name) and bool(name.strip())


def _can_be_printed(name: Any) -> bool:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_LENGTH:
        return False
    return all(one.isprintable() or one in _JOINERS or unicodedata.category(one) == 'Zs' for one in name)


def _check_name(field: str, name: Any) -> None:
    if not _can_be_printed(name):  # blank names are accepted, as in version 1.0
        shown = ascii(name)
        raise ValueError(
            '{} has {}; a name is 1 to {} characters that can be printed.'.format(
                field, shown if len(shown) < 60 else shown[:60] + '...', MAX_NAME_LENGTH
            )
        )


def _is_id(value: Any, largest: int) -> bool:
    return is_whole(value) and 0 <= value <= largest


def _check(space: LabelSpace) -> None:
    num_classes = space.num_classes
    for field in ('colors', 'file_ids', 'categories'):
        values = getattr(space, field)
        if values is not None and len(values) != num_classes:
            raise ValueError(
                'The label space {} has {} class names, but {} {}. There has to be one per class.'.format(
                    space.name, num_classes, len(values), field
                )
            )
    checked_whole('ignore_id', space.ignore_id, 0, 65535)
    if any(not 0 <= class_id < num_classes for class_id in space.void_class_ids):
        raise ValueError(
            'void_class_ids are {}; they have to be below the number of classes, {}.'.format(
                space.void_class_ids, num_classes
            )
        )


def _as_tuples(value: Any) -> Any:
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value  # np.uint8(255) + 1 is 0
    return tuple(_as_tuples(entry) for entry in value) if isinstance(value, (tuple, list)) else value


def _distinct_colors(count: int) -> Tuple[Color, ...]:
    """Colours of which neighbours differ: hues at steps of the golden ratio, in six shades."""
    shades = ((0.75, 0.95), (0.95, 0.65), (0.45, 0.95), (0.60, 0.45), (0.95, 0.95), (0.30, 0.75))
    colors: List[Color] = []
    for index in range(count):
        saturation, value = shades[index % len(shades)]
        red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, saturation, value)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colors)


def _voc_colors(count: int) -> Tuple[Color, ...]:
    """The palette of PASCAL VOC: bits 0, 3, 6 of an ID are the high bits of red, 1, 4, 7 of green and 2, 5 of blue."""

    def channel(index: int, offset: int) -> int:
        return sum((index >> 3 * bit + offset & 1) << 7 - bit for bit in range(3))

    return tuple((channel(index, 0), channel(index, 1), channel(index, 2)) for index in range(count))


def _cityscapes() -> LabelSpace:
    classes = sorted((label for label in CITYSCAPES_LABELS if 0 <= label.train_id < 255), key=lambda x: x.train_id)
    return LabelSpace(
        'cityscapes',
        tuple(label.name for label in classes),
        tuple(label.color for label in classes),
        file_ids=tuple(label.id for label in classes),
        categories=tuple(label.category for label in classes),
    )


def _with_void_class(space: LabelSpace, name: str) -> LabelSpace:
    """The space with 'void' as class 0: the network may predict it, and scores leave it out."""
    return space._replace(
        name=name,
        class_names=('void',) + space.class_names,
        colors=((0, 0, 0),) + space.colors,
        void_class_ids=(0,),
        file_ids=(_UNLABELED_FILE_ID,) + (space.file_ids or ()),
        categories=('void',) + (space.categories or ()),
    )


def _camvid(space: LabelSpace) -> LabelSpace:
    """The 11 classes of the SegNet paper (https://arxiv.org/abs/1511.00561), in the order of its label files."""
    names = (
        'Sky',
        'Building',
        'Column_Pole',
        'Road',
        'Sidewalk',
        'Tree',
        'SignSymbol',
        'Fence',
        'Car',
        'Pedestrian',
        'Bicyclist',
    )
    shown = tuple(name.lower().replace('column_pole', 'pole').replace('signsymbol', 'sign') for name in names)
    return LabelSpace(
        'camvid', shown, tuple(space.colors[space.class_names.index(name)] for name in names), ignore_id=len(names)
    )


CITYSCAPES = _cityscapes()
CITYSCAPES20 = _with_void_class(CITYSCAPES, 'cityscapes20')

CAMVID32 = LabelSpace(
    'camvid32',
    tuple(CAMVID_COLORS),
    tuple(CAMVID_COLORS.values()),
    void_class_ids=(tuple(CAMVID_COLORS).index('Void'),),
)
CAMVID = _camvid(CAMVID32)

# The road benchmark's development kit: red is valid area that is not road, magenta is road, black is not evaluated.
KITTI_ROAD = LabelSpace('kitti_road', ('background', 'road'), ((255, 0, 0), (255, 0, 255)), ignore_colors=((0, 0, 0),))

# The boundaries of objects, index 255 of the palette in the files, are drawn in cream.
VOC = LabelSpace('voc', VOC_NAMES, _voc_colors(len(VOC_NAMES)), ignore_colors=((224, 224, 192),))

# The files hold 0 for other objects and k for class k - 1. They hold no colours, so the colours are this library's.
ADE20K = LabelSpace(
    'ade20k', ADE20K_NAMES, _distinct_colors(len(ADE20K_NAMES)), file_ids=tuple(range(1, len(ADE20K_NAMES) + 1))
)

LABEL_SPACES: Dict[str, LabelSpace] = {
    space.name: space for space in (CITYSCAPES, CITYSCAPES20, CAMVID, CAMVID32, KITTI_ROAD, VOC, ADE20K)
}
