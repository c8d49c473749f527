"""Names and colours of classes in files: classes.json, classes.txt, label maps, tables of colours."""

import csv
import json
import os
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from data_generator.errors import DataError
from data_generator.files.class_lines import Entry, checked_name, entries_of_lines, parse_color
from data_generator.files.splits import SPLIT_NAMES
from data_generator.files.texts import decoded
from helpers.aliases import Color
from helpers.cityscapes_labels import CITYSCAPES_LABELS
from helpers.counted import counted
from helpers.flags import is_whole
from helpers.label_spaces import CITYSCAPES, DEFAULT_IGNORE_ID, LabelSpace, generic_label_space, has_own_colors

#: Files that are searched for beside the data.
LEGEND_NAMES = (
    *('classes.json', 'classes.txt', 'label_map.pbtxt', 'labelmap.txt', '_classes.csv'),
    *('class_dict.csv', 'class_dict_seg.csv', 'label_colors.txt', 'classes.csv', 'class_names.txt'),
)

#: Names that are no classes: pixels of their colours do not count. Those with underscores are labelme's.
VOID_NAMES = ('void', 'ignore', 'ignored', 'unlabeled', 'unlabelled', '__ignore__')
# In lists of names it has no number: labelme counts from the next line.
_UNNUMBERED = '__ignore__'

#: A larger file is no legend.
MAX_BYTES = 4 << 20

_PBTXT_ITEM = re.compile(r'item\s*\{')
_PBTXT_FIELD = re.compile(r'(id|name|display_name)\s*:\s*(\d+|"[^"]*"|\'[^\']*\')')


class Legend(NamedTuple):
    """The classes of a dataset by ID, and the colours of pixels that do not count.

    `colors` is None if the file has no colours, `ignore_id` if it does not say which ID is ignored. `file_ids` are the
    numbers of the classes in the file: explicit numbers, or else their positions, counting void lines; None if these
    are the class IDs. `named` is the label space if it is a built-in one. Scores leave out `void_class_ids`.
    """

    class_names: Tuple[str, ...]
    colors: Optional[Tuple[Color, ...]]
    ignore_colors: Tuple[Color, ...]
    ignore_id: Optional[int] = None
    file_ids: Optional[Tuple[int, ...]] = None
    named: Optional[LabelSpace] = None
    void_class_ids: Tuple[int, ...] = ()

    def label_space(self, ignore_id: Optional[int] = None) -> LabelSpace:
        """Makes the label space of a dataset with these classes; 255 is ignored unless the legend or an argument says
        otherwise.
        """
        if ignore_id is None:
            ignore_id = DEFAULT_IGNORE_ID if self.ignore_id is None else self.ignore_id
        if self.named is not None:
            return self.named._replace(ignore_id=ignore_id, ignore_colors=self.ignore_colors)
        space = generic_label_space(len(self.class_names), ignore_id, self.class_names)
        return space._replace(
            colors=self.colors or space.colors,
            ignore_colors=self.ignore_colors,
            file_ids=self.file_ids,
            void_class_ids=self.void_class_ids,
        )


_NOT_EVALUATED = [label.color for label in CITYSCAPES_LABELS if label.ignore_in_eval]

#: The legends that --class-names and --colors take by name: the classes of Cityscapes by train ID, and its colours.
NAMED_LEGENDS = {
    'cityscapes': Legend(
        CITYSCAPES.class_names,
        CITYSCAPES.colors,
        tuple(color for color in dict.fromkeys(_NOT_EVALUATED) if color not in CITYSCAPES.colors),
        named=CITYSCAPES,
    )
}


def read_legend(path: str) -> Legend:
    """Reads a legend.

    JSON: a list of names, or of objects with `name` and optionally `color` and `id`; an object from names to colours,
    or from IDs or colours (#rrggbb) to names; or an object that holds one of these as `classes`, or has `class_names`,
    `colors`, `ignore_id`, `ignore_colors` and `void_class_ids`, as `LabelSpace.to_dict` gives them. `.pbtxt`: items
    with `id` and `name`; 0 is the background. Other files are text with one entry per line, separated by commas, tabs,
    colons or spaces: a name, or a name with three numbers or #rrggbb before or after it, and optionally an ID in front.
    Tables of CamVid, label maps of CVAT (`name:r,g,b::`) and CSV files with a line of column names have this form.

    Classes are numbered in their order unless the file numbers them. `VOID_NAMES` are no classes if the file gives them
    a colour, unless it has `void_class_ids`; `__ignore__` is never a class.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: It is no legend, or two classes share a name, a colour or an ID.
    """
    text = _read_text(path)
    try:
        if path.lower().endswith('.json') or text.lstrip()[:1] in ('{', '['):
            return _legend_of_json(json.loads(text))
        items = _items_of_pbtxt(text)
        return _legend(_entries_of_pbtxt(items) if items else entries_of_lines(text))
    except (ValueError, TypeError, KeyError, RecursionError, csv.Error) as error:
        raise DataError(
            '{} is no table of classes: {:.300}. Write a line for each class: NAME, or NAME RED GREEN BLUE.'.format(
                path, str(error)
            )
        ) from error


def find_legend(label_dir: str, image_dir: str) -> Optional[str]:
    """Searches for a legend beside the labels of a dataset, and in the folder that holds labels and images; or None."""
    label_dir, image_dir = os.path.abspath(label_dir), os.path.abspath(image_dir)
    together = os.path.commonpath([label_dir, image_dir])
    places = [label_dir, os.path.dirname(label_dir), together]
    if os.path.basename(together).lower() in SPLIT_NAMES:  # a legend for all splits lies beside them
        places.append(os.path.dirname(together))
    for place in dict.fromkeys(places):
        for name in LEGEND_NAMES:
            path = os.path.join(place, name)
            if os.path.isfile(path):
                return path
    return None


def find_legends(places: Sequence[Tuple[str, str]]) -> List[str]:
    """Searches for the legends of several pairs of folders of labels and of images; lists each file once."""
    found = [find_legend(label_dir, image_dir) for label_dir, image_dir in places]
    return list(dict.fromkeys(path for path in found if path is not None))


def agreed_legend(legends: Mapping[str, Legend]) -> Legend:
    """Returns the common legend of several folders.

    Args:
        legends: Legends by file; at least one.

    Raises:
        DataError: They differ.
    """
    (path, legend), *others = legends.items()
    for other, classes in others:
        if classes != legend:
            raise DataError(
                '{} and {} name the classes differently. Say which holds for all: --class-names FILE or --colors FILE '
                '(in Python label_space).'.format(path, other)
            )
    return legend


def check_color_tolerance(space: Optional[LabelSpace], tolerance: int) -> None:
    """Raises ValueError for a colour tolerance if the classes have no colours of their own."""
    if tolerance and space is not None and not has_own_colors(space):
        raise ValueError(
            'color_tolerance is {}, and is about labels that hold colours; those of {} classes without colours are '
            'read by their values. Give a table of the colours (--colors FILE), or leave it out.'.format(
                tolerance, space.num_classes
            )
        )


def transparent_color(space: LabelSpace, name: str) -> Color:
    """Finds the colour that transparent pixels of colour labels get.

    Args:
        space: The classes and their colours.
        name: The name of the class of these pixels, or 'void' for the first colour that does not count.

    Raises:
        ValueError: There is no such class, or the classes have no colours of their own.
    """
    if not has_own_colors(space):
        raise ValueError(
            'label_transparency is {!r}, and is about labels that hold colours. Give a table of them (--colors FILE), '
            'or leave it out.'.format(name)
        )
    if name in space.class_names:
        return space.colors[space.class_names.index(name)]
    is_void = isinstance(name, str) and name.lower() in VOID_NAMES
    if is_void and space.ignore_colors:
        return space.ignore_colors[0]
    if is_void:
        raise ValueError(
            'label_transparency is {!r}, and no colour of the table is one that does not count. Add a line to the '
            'table, with a colour that no class has: void 1 2 3.'.format(name)
        )
    raise ValueError(
        "label_transparency is {!r}; it has to be 'void' or the name of a class: {}.".format(
            name, ', '.join(space.class_names)
        )
    )


def check_said_of_colors(tolerance: Optional[int], transparency: Optional[str], have_colors: bool) -> None:
    """Raises ValueError for a colour tolerance or a meaning of transparent pixels if labels hold IDs."""
    if tolerance and not have_colors:
        raise ValueError(
            'color_tolerance is {}, and is about labels that hold colours; these hold IDs, which are read as they are. '
            'Leave it out.'.format(tolerance)
        )
    if transparency is not None and not have_colors:
        raise ValueError(
            'label_transparency is {!r}, and is about labels that hold colours; these hold IDs, of which none is '
            'transparent. Leave it out.'.format(transparency)
        )


def _read_text(path: str) -> str:
    if not os.path.isfile(path):
        raise FileNotFoundError('No such table of classes: {}. Give a text, CSV or JSON file.'.format(path))
    if os.path.getsize(path) > MAX_BYTES:
        raise DataError('{} is larger than a table of classes can be ({} bytes).'.format(path, MAX_BYTES))
    with open(path, 'rb') as file:
        data = file.read()
    try:
        return decoded(data)
    except UnicodeDecodeError as error:
        raise DataError('{} is not in UTF-8 ({}). Save it as UTF-8.'.format(path, error)) from error


def _legend_of_json(content: Any) -> Legend:
    fields = content if isinstance(content, dict) else {}
    void_class_ids = tuple(fields.get('void_class_ids') or ())
    legend = _legend(_entries_of_json(content), () if void_class_ids else VOID_NAMES)
    for class_id in void_class_ids:
        if not is_whole(class_id) or not 0 <= class_id < len(legend.class_names):
            raise ValueError(
                'void_class_ids holds {!r}; with {} they have to be IDs of these'.format(
                    class_id, counted(len(legend.class_names), 'class')
                )
            )
    named = map(parse_color, fields.get('ignore_colors') or ())
    ignore_colors = tuple(dict.fromkeys((*legend.ignore_colors, *named)))
    _check_distinct('colour', [*(legend.colors or ()), *ignore_colors])
    ignore_id = _checked_ignore_id(fields.get('ignore_id'))
    return legend._replace(ignore_id=ignore_id, ignore_colors=ignore_colors, void_class_ids=void_class_ids)


def _checked_ignore_id(value: Any) -> Optional[int]:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65535):
        raise ValueError('ignore_id is {!r}; it has to be a number from 0 to 65535'.format(value))
    return value


def _entries_of_json(content: Any) -> List[Entry]:
    if isinstance(content, dict) and isinstance(content.get('class_names'), list):
        names, colors = content['class_names'], content.get('colors') or [None] * len(content['class_names'])
        if len(names) != len(colors):
            raise ValueError('{} class_names and {} colors'.format(len(names), len(colors)))
        return [
            Entry(checked_name(n), None if color is None else parse_color(color)) for n, color in zip(names, colors)
        ]
    for key in ('classes', 'labels', 'categories'):
        if isinstance(content, dict) and isinstance(content.get(key), (list, dict)):
            return _entries_of_json(content[key])
    if isinstance(content, dict):
        return [_entry_of_item(key, value) for key, value in content.items()]
    if isinstance(content, list):
        return [_entry_of_object(item) for item in content]
    raise ValueError('it holds neither a list nor an object')


def _entry_of_item(key: str, value: Any) -> Entry:
    """The entry of an item of an object: 'road': [r, g, b], '3': 'road', 'road': 3, or as in A2D2 '#rrggbb': 'road'."""
    if isinstance(value, str) and key.isdecimal():
        return Entry(checked_name(value), None, int(key))
    if isinstance(value, str) and key.startswith('#'):
        return Entry(checked_name(value), parse_color(key))
    if isinstance(value, int) and not isinstance(value, bool):
        return Entry(checked_name(key), None, value)
    return Entry(checked_name(key), parse_color(value))


def _entry_of_object(item: Any) -> Entry:
    if not isinstance(item, dict):
        return Entry(checked_name(item))
    name = next((item[key] for key in ('name', 'label', 'title', 'class') if key in item), None)
    color = next((item[key] for key in ('color', 'colour', 'rgb', 'hex') if item.get(key) is not None), None)
    class_id = item.get('id', item.get('class_id'))
    if isinstance(class_id, str) and class_id.isdecimal():
        class_id = int(class_id)
    return Entry(checked_name(name), None if color is None else parse_color(color), class_id)


def _items_of_pbtxt(text: str) -> List[str]:
    return [part.partition('}')[0] for part in _PBTXT_ITEM.split(text)[1:] if '}' in part]


def _entries_of_pbtxt(items: Iterable[str]) -> List[Entry]:
    entries = []
    for item in items:
        fields = {key: value.strip('"\'') for key, value in _PBTXT_FIELD.findall(item)}
        entries.append(Entry(checked_name(fields.get('display_name') or fields.get('name')), None, int(fields['id'])))
    if entries and all(entry.class_id != 0 for entry in entries):
        entries.insert(0, Entry('background', None, 0))
    return entries


def _legend(entries: List[Entry], void_names: Sequence[str] = VOID_NAMES) -> Legend:
    entries = [entry for entry in entries if entry._replace(name=entry.name.lower()) != Entry(_UNNUMBERED)]
    if not entries:
        raise ValueError('it names no class')
    has_colors = [entry.color is not None for entry in entries]
    if any(has_colors) and not all(has_colors):
        missing = entries[has_colors.index(False)].name
        raise ValueError('{!r} has no colour, and others have one'.format(missing))
    is_void = [entry.color is not None and entry.name.lower() in void_names for entry in entries]
    classes = _numbered([entry for entry, void in zip(entries, is_void) if not void])
    _check_distinct('name', [entry.name for entry in classes])
    _check_distinct('colour', [entry.color for entry in entries if entry.color is not None])
    return Legend(
        tuple(entry.name for entry in classes),
        tuple(entry.color for entry in classes if entry.color is not None) or None,
        tuple(entry.color for entry, void in zip(entries, is_void) if void and entry.color is not None),
        file_ids=_own_numbers(entries, classes),
    )


def _own_numbers(entries: Sequence[Entry], classes: Sequence[Entry]) -> Optional[Tuple[int, ...]]:
    """The numbers that a table gives its classes; None if they are the class IDs."""
    is_numbered = all(isinstance(entry.class_id, int) for entry in classes)
    places = {entry: place for place, entry in enumerate(entries)}
    numbers = tuple(entry.class_id if is_numbered else places[entry] for entry in classes)
    is_one_byte = all(isinstance(number, int) and 0 <= number <= 255 for number in numbers)
    if numbers == tuple(range(len(classes))) or len(set(numbers)) < len(numbers) or not is_one_byte:
        return None
    return tuple(int(number) for number in numbers if number is not None)


def _numbered(classes: List[Entry]) -> List[Entry]:
    """The classes in the order of their IDs, which have to be 0 to n - 1 if the file has any; else in their order."""
    ids = [entry.class_id for entry in classes]
    if all(class_id is None for class_id in ids):
        return classes
    by_id: Dict[Any, Entry] = {entry.class_id: entry for entry in classes}
    if sorted(map(str, by_id)) != sorted(str(number) for number in range(len(classes))):
        if classes[0].color is not None:  # colours identify the classes, so the file's own IDs are not needed
            return classes
        raise ValueError('the IDs are {}, and have to be 0 to {}'.format(ids[:20], len(classes) - 1))
    return [by_id[number] for number in range(len(classes))]


def _check_distinct(what: str, values: Iterable[Any]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError('two classes have the {} {!r}'.format(what, value))
        seen.add(value)
