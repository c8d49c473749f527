"""What the label files of a user's own dataset hold: class IDs, masks in black and white, or colours; found by reading
some of them.
"""

from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set

import numpy as np

from data_generator.errors import DataError
from data_generator.files.sampling import NUM_SAMPLED, spread
from helpers.aliases import Color
from helpers.counted import counted
from helpers.images import read_color_labels, read_encoded, read_label_file
from helpers.label_spaces import (
    DEFAULT_IGNORE_ID,
    LabelSpace,
    cityscapes_ids_to_train_ids,
    has_own_colors,
    is_of_a_table,
)
from helpers.user_warnings import warn_user

#: White in black and white masks of 8 and 16 bits.
WHITES = (255, 65535)

#: The maps that --id-map takes by name: from Cityscapes' label IDs to its train IDs. 34 is the licence plate of GTA5.
NAMED_MAPS: Dict[str, Dict[int, int]] = {
    'cityscapes': {file_id: int(cityscapes_ids_to_train_ids()[file_id]) for file_id in range(35)}
}

#: The colours of masks of two classes.
BLACK_AND_WHITE = ((0, 0, 0), (255, 255, 255))

#: Values between 0 and 255 look like the smoothed borders of masks if at most this share of the pixels has them.
MOST_BORDER = 0.3


class Conversion(NamedTuple):
    """Maps from what label files hold to class IDs; both None if they hold class IDs."""

    id_map: Optional[Mapping[int, int]] = None
    color_map: Optional[Mapping[Color, int]] = None


def readings(values: Iterable[int]) -> Optional[List[Dict[int, int]]]:
    """Says what the values in grey labels of a dataset without a known number of classes may mean.

    Args:
        values: All values that occur.

    Returns:
        None if values are class IDs, with 255 ignored. One map, from values to class IDs, if there is one reading: 0
        and 255 alone are background and foreground, and so are 0 and 65535. Two maps if both readings occur in
        practice: 255 is a class, or it marks pixels that do not count.
    """
    found = set(values)
    for white in WHITES:
        if found == {0, white}:
            return [{0: 0, white: 1}]
    if 255 not in found:
        return None
    others = sorted(found - {255})
    # 0 to k and 255 with three or more classes is typical of published datasets; gaps are typical of painted masks.
    if max(found) > 255 or (len(others) >= 3 and others == list(range(len(others)))):
        return None
    if found == {0, 1, 255}:
        return [{0: 0, 1: 1, 255: 1}, {0: 0, 1: 1, 255: 255}]
    classes = {value: class_id for class_id, value in enumerate(others)}
    return [{**classes, 255: len(others)}, {**classes, 255: 255}]


def in_black_and_white(space: Optional[LabelSpace], color_tolerance: int) -> Optional[LabelSpace]:
    """Gives two classes without own colours black and white, to which a colour tolerance then refers."""
    if not color_tolerance or space is None or space.num_classes != 2 or has_own_colors(space):
        return space
    return space._replace(colors=BLACK_AND_WHITE)


def is_smoothed_mask(pixels: Mapping[int, int]) -> bool:
    """Tells whether values look like smoothed masks of 0 and 255. pixels: the number of pixels of each value."""
    between = sum(count for value, count in pixels.items() if 0 < value < 255)
    return (
        {0, 255} <= set(pixels)
        and len(pixels) >= 8
        and max(pixels) == 255
        and between <= MOST_BORDER * sum(pixels.values())
    )


def num_classes_of(id_map: Mapping[int, int], ignore_id: int = DEFAULT_IGNORE_ID) -> int:
    """Counts the classes in the values of a map."""
    return len(set(id_map.values()) - {ignore_id})


def spell(id_map: Mapping[int, int]) -> str:
    """Writes a map as --id-map takes it: '0:0,255:1', or the name of one of `NAMED_MAPS`."""
    for name, known in NAMED_MAPS.items():
        if known == id_map:
            return name
    return ','.join('{}:{}'.format(*entry) for entry in sorted(id_map.items()))


def own_conversion(
    labels: Sequence[str], space: LabelSpace, said_ignore_id: bool, color_tolerance: int = 0
) -> Conversion:
    """Finds how the labels of a dataset without a layout become class IDs.

    Reads `NUM_SAMPLED` label files if the classes have colours or are two, and more as long as these do not tell.

    Args:
        said_ignore_id: Whether the user said which ID is ignored, so that 255 needs no guess.
        color_tolerance: Applies to greys, too, if the files hold more greys than there are classes.

    Raises:
        DataError: Two readings are possible.
    """
    if has_own_colors(space):
        found = _by_color(labels, space, color_tolerance)
        if found is not None:
            return found
        _refuse_numbers_of_a_table(labels, space)
    if space.num_classes != 2 or space.ignore_id != DEFAULT_IGNORE_ID or said_ignore_id:
        return Conversion()
    return Conversion(_binary_map(labels))


def _refuse_numbers_of_a_table(labels: Sequence[str], space: LabelSpace) -> None:
    """Raises DataError if labels hold numbers, and the table of classes gives the classes other numbers than their IDs.

    Built-in label spaces are not checked: for them, layouts say what files hold.
    """
    if space.file_ids is None or not is_of_a_table(space):
        return
    values = _sampled_values(labels)
    if not values or values == {space.ignore_id}:
        return
    classes = {file_id: class_id for class_id, file_id in enumerate(space.file_ids)}
    by_table = {**dict.fromkeys(values, space.ignore_id), **classes}
    by_id = {value: value if value < space.num_classes else space.ignore_id for value in values}
    raise DataError(
        'Labels hold {}, and the table of the classes numbers them {}, where class IDs are 0 to {}. Say which they '
        'are: the numbers of the table, id_map={} (--id-map {}), or class IDs, --id-map {}.'.format(
            ', '.join(map(str, sorted(values)[:20])),
            ', '.join(map(str, space.file_ids[:20])),
            space.num_classes - 1,
            by_table,
            spell(by_table),
            spell(by_id),
        )
    )


def _by_color(labels: Sequence[str], space: LabelSpace, tolerance: int) -> Optional[Conversion]:
    """The conversion by the colours of the classes, if the files hold colours and no class IDs; else None."""
    values: Set[int] = set()
    have_palettes = False
    for number, path in enumerate(spread(labels)):
        # Black files alone do not tell whether greys are colours, to which the tolerance would apply.
        is_told = have_palettes or not tolerance or not values <= {0}
        if number >= NUM_SAMPLED and is_told:
            break
        try:
            file = read_encoded(path)
            if have_palettes and file.header.format == 'png' and (file.header.has_palette or file.header.channels == 1):
                continue  # only colours would tell more
            label = read_label_file(file)
        except FileNotFoundError:
            continue
        except ValueError:
            if holds_colors(path):
                return Conversion(color_map=space.color_to_id)
            continue
        have_palettes = have_palettes or label.palette is not None
        values |= set(np.unique(label.values).tolist())
    colors = None if have_palettes else color_table(space)
    return None if colors is None else _by_greys(values, colors, space.num_classes, tolerance)


def color_table(space: LabelSpace) -> Optional[Mapping[Color, int]]:
    """Returns the map from colours to class IDs, with those of ignored pixels; None if colours are ambiguous."""
    are_distinct = len(set(space.colors)) == space.num_classes and set(space.colors).isdisjoint(space.ignore_colors)
    return space.color_to_id if are_distinct else None


def _by_greys(values: Set[int], colors: Mapping[Color, int], num_classes: int, tolerance: int) -> Optional[Conversion]:
    """The conversion by the greys among the colours of the classes, if grey files hold these and not only class IDs."""
    greys = {color[0]: class_id for color, class_id in colors.items() if len(set(color)) == 1}
    if not values or len(greys) < 2 or max(values) < num_classes:
        return None
    if tolerance:
        return Conversion(color_map=colors)
    return Conversion(greys) if values <= set(greys) else None


def holds_colors(path: str) -> bool:
    """Tells whether a label file can be read as colours, including JPEG and files with transparent pixels."""
    try:
        read_color_labels(path, lossy=True, keep_alpha=True)
    except (ValueError, OSError):
        return False
    return True


def _binary_map(labels: Sequence[str]) -> Optional[Dict[int, int]]:
    found = _sampled_values(labels)
    maps = readings(found or ())
    if maps is None or found is None:
        return None
    if len(maps) == 1:
        warn_user(
            'Labels hold 0 and {0} alone, so {0} is class 1 and nothing is ignored. Pass id_map={1} to say so, or '
            'id_map={{0: 0, {0}: 255}} where these pixels do not count.'.format(max(found), maps[0])
        )
        return maps[0]
    raise DataError(
        'Labels hold {}, and 255 may be a class or mark pixels that do not count. {}.'.format(
            ', '.join(map(str, sorted(found))), ask(maps, 'with num_classes=2')
        )
    )


def ask(maps: Sequence[Mapping[int, int]], where: str = '') -> str:
    """Returns the question which of two `readings` of the value 255 is right, with the options for each.

    where: Further arguments that are required, such as 'with num_classes=2'.
    """
    lines = []
    for id_map in maps:
        is_identity = all(value == class_id for value, class_id in id_map.items())
        lines.append(
            '{} ({}): {}'.format(
                'If it does not count' if id_map[255] == 255 else 'If it is class {}'.format(id_map[255]),
                counted(num_classes_of(id_map), 'class'),
                'ignore_id=255 (--ignore-id 255)'
                if is_identity
                else 'id_map={} (--id-map {})'.format(id_map, spell(id_map)),
            )
        )
    if all('--ignore-id' not in line for line in lines):
        count = 1 + max(value for value in maps[0] if value != 255)
        lines.append(
            'If the others are the numbers of the classes, and it does not count ({}): ignore_id=255 '
            '(--ignore-id 255)'.format(counted(count, 'class'))
        )
    return 'Say which{}. '.format(' ' + where if where else '') + '; '.join(lines)


def _sampled_values(labels: Sequence[str]) -> Optional[Set[int]]:
    """The values of some label files; None if they have palettes of colours, in which 255 is not white."""
    found: Set[int] = set()
    for number, path in enumerate(spread(labels)):
        is_told = bool(found) and found != {0} and found not in [{white} for white in WHITES]
        if number >= NUM_SAMPLED and is_told:
            break
        try:
            label = read_label_file(path)
        except (ValueError, OSError):  # reported when the file is used
            continue
        if label.palette is not None:
            return None
        found |= set(np.unique(label.values).tolist())
    return found
