"""What the values in label files mean: by the layout, the caller or a table beside the data, or by the values."""

from collections import Counter
from typing import Any, Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence

from data_generator.checking.cityscapes_numbers import are_label_ids
from data_generator.checking.file_checks import PairFacts
from data_generator.checking.label_checks import LabelLook
from data_generator.checking.survey import Survey
from data_generator.errors import DataError
from data_generator.files.legends import Legend, transparent_color
from data_generator.files.masks import (
    NAMED_MAPS,
    ask,
    color_table,
    in_black_and_white,
    is_smoothed_mask,
    num_classes_of,
    own_conversion,
    readings,
    spell,
)
from data_generator.files.palettes import PaletteRule
from data_generator.files.reading import ColorRule
from helpers.label_spaces import DEFAULT_IGNORE_ID, MAX_CLASSES, LabelSpace, generic_label_space, has_own_colors

# The most classes of a label space. The white of a 16-bit mask, 65535, is beyond them; `_numbers_of_no_class` asks what
# it is.
_MOST_IDS = 65535


class Said(NamedTuple):
    """What the caller of `check_dataset` said about a dataset; `legend_path` is a legend found beside it."""

    num_classes: Optional[int]
    ignore_id: Optional[int]
    id_map: Optional[Mapping[int, int]]
    legend: Optional[Legend]
    color_tolerance: int
    label_transparency: Optional[str] = None
    legend_path: Optional[str] = None

    @property
    def color_rule(self) -> ColorRule:
        """Which colours besides those of the classes are accepted. Raises ValueError."""
        if self.label_transparency is None:
            return ColorRule(self.color_tolerance)
        space = self.space or generic_label_space(2)
        return ColorRule(self.color_tolerance, transparent_color(space, self.label_transparency))

    @property
    def space(self) -> Optional[LabelSpace]:
        """The classes from the legend, the number of classes or the ID map; None if none of these was given."""
        if self.legend is not None:
            return in_black_and_white(self.legend.label_space(self.ignore_id), self.color_tolerance)
        ignore_id = DEFAULT_IGNORE_ID if self.ignore_id is None else self.ignore_id
        if self.num_classes is None and self.id_map is None:
            return None
        count = num_classes_of(self.id_map or {}, ignore_id) if self.num_classes is None else self.num_classes
        return in_black_and_white(generic_label_space(max(1, count), ignore_id), self.color_tolerance)


def looks_of(surveys: Sequence[Survey], said: Said) -> List[LabelLook]:
    """Says how to read the labels below each root. Datasets without a named layout are read alike, as in training."""
    labels = [
        [pair.label for split in found.splits for pair in split.pairs if pair.label is not None] for found in surveys
    ]
    if not surveys[0].knows_classes:
        return [_own_look(sum(labels, []), said)] * len(surveys)
    return [
        LabelLook(PaletteRule(paths, found.layout.label_space, found.layout.id_map), found.layout.color_map)
        for found, paths in zip(surveys, labels)
    ]


def _own_look(labels: Sequence[str], said: Said) -> LabelLook:
    space = said.space
    # A map applies to the indices of palettes, whatever their colours.
    if space is None or not has_own_colors(space) or said.id_map is not None:
        return LabelLook(PaletteRule(labels, None, said.id_map), None, said.color_rule)
    look = LabelLook(PaletteRule(labels, space, None, color_table(space)), None, said.color_rule)
    try:
        conversion = own_conversion(labels, space, True, said.color_tolerance)
    except DataError as error:
        return look._replace(question=str(error))
    return look._replace(color_map=conversion.color_map, id_map=conversion.id_map)


class Classes(NamedTuple):
    """What the values in label files mean.

    Attributes:
        maps: For each root, from values to class IDs or the ignored ID; other values are illegal.
        id_map: The map that training needs for a dataset without a named layout; None if it needs none.
        suggested_id_map: From label values to class IDs, if training would refuse some values without it; else None.
        are_guessed: Whether the number of classes was guessed from the values.
        question: The question to the user if there are several readings, else ''.
    """

    label_space: LabelSpace
    maps: List[Mapping[Any, int]]
    id_map: Optional[Mapping[int, int]]
    suggested_id_map: Optional[Dict[int, int]]
    are_guessed: bool
    question: str = ''


def classes_of(
    surveys: Sequence[Survey], looks: Sequence[LabelLook], said: Said, facts: Sequence[Sequence[PairFacts]]
) -> Classes:
    """Says what the values in label files mean. facts: the facts of each pair of each split."""
    first = surveys[0]
    values = sorted(
        {value for split in facts for pair in split if not pair.was_converted for value in pair.values}, key=repr
    )
    if not first.knows_classes:
        own = _own_classes(looks[0], said, facts, values)
        return own._replace(maps=own.maps * len(surveys))
    space = first.layout.label_space
    maps: List[Mapping[Any, int]] = [
        found.layout.color_map or found.layout.id_map or identity(space) for found in surveys
    ]
    legal = {value for value_to_id in maps for value in value_to_id}
    suggested = None if first.layout.color_map else _suggested_id_map(values, legal, maps[0], space, False)
    return Classes(space, maps, None, suggested, False)


def _own_classes(look: LabelLook, said: Said, facts: Sequence[Sequence[PairFacts]], values: Sequence[Any]) -> Classes:
    """The classes of a dataset without a named layout: as the caller said, else by the values."""
    if said.space is not None and look.color_map is not None:
        return Classes(said.space, [look.color_map], None, None, False)
    if said.space is not None and look.question:
        return _by_numbers_of_the_table(said.space, values, look.question)
    numbers = sorted(value for value in values if isinstance(value, int))
    id_map = look.id_map if said.id_map is None else said.id_map
    if id_map is not None or said.ignore_id is not None:
        return _classes_by_map(said, numbers, id_map)
    maps = _maps_of_grey_values(said.space, facts, numbers)
    if len(maps) == 1:
        return _classes_by_map(said, numbers, maps[0])
    smoothed = _smoothed_mask(facts) if said.space is None or said.space.num_classes == 2 else None
    return smoothed or _classes_by_map(said, numbers, None, ask(maps) if maps else '')


def _by_numbers_of_the_table(space: LabelSpace, values: Sequence[Any], question: str) -> Classes:
    """The more likely of two readings, with a question: files hold the numbers that a table gives its classes."""
    by_table = {file_id: class_id for class_id, file_id in enumerate(space.file_ids or ())}
    likely = {**dict.fromkeys(values, space.ignore_id), **by_table}
    return Classes(space, [likely], None, None, False, question)


def _maps_of_grey_values(
    space: Optional[LabelSpace], facts: Sequence[Sequence[PairFacts]], numbers: Sequence[int]
) -> List[Dict[int, int]]:
    """The `readings` of the values if the ignored ID was not given; empty if values are class IDs.

    If the number of classes was given, only masks of two classes have another reading.
    """
    maps = [] if _have_palettes(facts) else readings(numbers) or []
    return [m for m in maps if space is None or num_classes_of(m) == space.num_classes == 2]


def _classes_by_map(
    said: Said, numbers: Sequence[int], id_map: Optional[Mapping[int, int]], question: str = ''
) -> Classes:
    """The classes that were given, or else as many as the values show. id_map: None if values are class IDs."""
    is_guess = said.space is None
    default_ignore_id = DEFAULT_IGNORE_ID if said.ignore_id is None else said.ignore_id
    space = said.space or _guessed_label_space(numbers, default_ignore_id, id_map)
    unnumbered = _numbers_of_no_class(numbers, space) if is_guess and not question else None
    if unnumbered is not None:
        return unnumbered
    value_to_id = identity(space) if id_map is None else id_map
    _check_targets(said.id_map, space)
    suggested = None
    if not question:
        suggested = _suggested_id_map(numbers, value_to_id, value_to_id, space, is_guess and not id_map)
    return Classes(space, [value_to_id], id_map, suggested, is_guess, question)


def _smoothed_mask(facts: Sequence[Sequence[PairFacts]]) -> Optional[Classes]:
    """A question if labels look like black and white masks with smoothed borders, with classes by the nearer colour."""
    pixels: 'Counter[Any]' = sum((Counter(pair.values) for split in facts for pair in split), Counter())
    if _have_palettes(facts) or not all(isinstance(value, int) for value in pixels) or not is_smoothed_mask(pixels):
        return None
    question = (
        'Values between 0 and 255 on {:.1%} of the pixels look like smoothed borders of masks in black and white. To '
        'take the nearer of the two: --classes 2 --color-tolerance 127. If they are classes: --id-map VALUE:ID,...'
    ).format(1 - (pixels[0] + pixels[255]) / sum(pixels.values()))
    nearer = {value: int(value > 127) for value in pixels}
    return Classes(generic_label_space(2), [nearer], None, None, True, question)


def _check_targets(id_map: Optional[Mapping[int, int]], space: LabelSpace) -> None:
    """Refuses a map to IDs that are no classes."""
    for value, class_id in (id_map or {}).items():
        if class_id >= space.num_classes and class_id != space.ignore_id:
            raise ValueError(
                'id_map[{}] is {}; with {} classes it has to be from 0 to {}, or {}, which is ignored. Number classes '
                'from 0 on without gaps.'.format(
                    value, class_id, space.num_classes, space.num_classes - 1, space.ignore_id
                )
            )


def _numbers_of_no_class(values: Sequence[int], space: LabelSpace) -> Optional[Classes]:
    """A question if values are too large for consecutive class IDs, with the classes that they may stand for."""
    if space.num_classes <= MAX_CLASSES:
        return None
    others = [value for value in values if value != space.ignore_id]
    id_map = {value: class_id for class_id, value in enumerate(others[:MAX_CLASSES])}
    question = 'Values go up to {}, which is no number of a class. Say what they are: --id-map {}'.format(
        max(others), spell(id_map) if len(others) <= 20 else 'VALUE:ID,...'
    )
    likely = {**dict.fromkeys(values, space.ignore_id), **id_map}
    return Classes(generic_label_space(len(id_map), space.ignore_id), [likely], None, None, True, question)


def _have_palettes(facts: Sequence[Sequence[PairFacts]]) -> bool:
    return any(pair.label is not None and pair.label.has_palette for split in facts for pair in split)


def _guessed_label_space(values: Sequence[int], ignore_id: int, id_map: Optional[Mapping[int, int]]) -> LabelSpace:
    if id_map is not None:
        return generic_label_space(max(1, num_classes_of(id_map, ignore_id)), ignore_id)
    highest = max([value for value in values if value != ignore_id], default=0)
    return generic_label_space(min(highest + 1, _MOST_IDS), ignore_id)


def identity(space: LabelSpace) -> Dict[int, int]:
    """Returns the map for labels that hold class IDs and the ignored ID already."""
    return {class_id: class_id for class_id in list(range(space.num_classes)) + [space.ignore_id]}


def _suggested_id_map(
    values: Sequence[Any], legal: Collection[Any], value_to_id: Mapping[int, int], space: LabelSpace, is_guess: bool
) -> Optional[Dict[int, int]]:
    """From label values to class IDs without gaps, and from illegal values to the ignored ID; None if not needed."""
    classes = [value for value in values if value != space.ignore_id]
    if is_guess and classes != list(range(len(classes))):
        return dict([(value, class_id) for class_id, value in enumerate(classes)] + [(space.ignore_id,) * 2])
    illegal = {value: space.ignore_id for value in values if value not in legal}
    if space.name in NAMED_MAPS and are_label_ids(values, illegal):
        return NAMED_MAPS[space.name]
    return {**value_to_id, **illegal} if illegal else None
