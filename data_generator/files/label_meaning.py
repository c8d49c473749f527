"""What the labels of a dataset mean: their classes, and how values or colours in the files become class IDs."""

import itertools
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from data_generator.errors import DataError
from data_generator.files.choosing import ChosenFiles, refuse_given
from data_generator.files.layouts import Layout
from data_generator.files.legends import (
    Legend,
    agreed_legend,
    check_color_tolerance,
    check_said_of_colors,
    find_legends,
    read_legend,
    transparent_color,
)
from data_generator.files.masks import Conversion, color_table, in_black_and_white, own_conversion
from data_generator.files.palettes import PaletteRule, file_palette
from data_generator.files.processed import converted_labels
from data_generator.files.reading import ColorRule
from data_generator.transforms import values
from helpers.aliases import Color
from helpers.counted import counted
from helpers.image_files.palettes import as_color, is_grey
from helpers.label_spaces import (
    DEFAULT_IGNORE_ID,
    LabelSpace,
    checked_label_space,
    generic_label_space,
    has_own_colors,
    is_of_a_table,
)
from helpers.user_warnings import warn_user


class LabelArguments(NamedTuple):
    """The arguments of `BatchGenerator` that say what labels mean when no layout does."""

    label_space: Optional[LabelSpace]
    num_classes: Optional[int]
    ignore_id: Optional[int]
    id_map: Optional[Union[Mapping[int, int], np.ndarray]]
    color_tolerance: int
    label_transparency: Optional[str]


class LabelMeaning:
    """What the labels of a dataset mean.

    Attributes:
        labels: The label files.
        was_converted: Whether `process_all` wrote the labels, so that they hold class IDs, unlike their originals.
        label_space: The classes; None if neither arguments nor a layout nor the files say them.
        ignore_id: The ID of pixels that never count.
        color_rule: How to read colours that do not exactly match a class.
    """

    def __init__(self, chosen: ChosenFiles, said: LabelArguments) -> None:
        self.labels = chosen.labels
        converted = converted_labels(self.labels)
        self.was_converted = bool(converted)
        self._layout = _for_converted(converted, len(chosen.pairs), chosen.layout, said.id_map)
        _check_said(self._layout, self.labels, said)
        self._color_tolerance = said.color_tolerance
        self._said_ignore_id = said.ignore_id is not None
        self._has_table = self._layout is None and said.label_space is not None
        space = _label_space(self._layout, said)
        if self._layout is None:
            if said.label_space is None:
                space = self._with_names_beside(space, chosen, said.ignore_id)
            space = self._with_palette(space, chosen)
            space = in_black_and_white(space, said.color_tolerance)
            check_color_tolerance(space, said.color_tolerance)
        self.label_space = space
        self.ignore_id = _ignore_id(space, said.ignore_id)
        self.color_rule = _color_rule(space, said.color_tolerance, said.label_transparency)
        self._conversion = _said_conversion(self._layout, said.id_map, self.was_converted)

    def _with_names_beside(
        self, space: Optional[LabelSpace], chosen: ChosenFiles, ignore_id: Optional[int]
    ) -> Optional[LabelSpace]:
        """Makes the label space from names and colours found beside the data, if there are any that fit."""
        path, legend = _legend_beside(list(zip(chosen.label_dirs, chosen.image_dirs)))
        if legend is not None and (space is None or len(legend.class_names) == space.num_classes):
            self._said_ignore_id |= legend.ignore_id is not None
            self._has_table = legend.colors is not None
            return legend.label_space(ignore_id)
        if legend is not None and space is not None:
            warn_user(
                '{} beside the data names {}, and num_classes is {}: its names are not used.'.format(
                    path, counted(len(legend.class_names), 'class'), space.num_classes
                )
            )
        return space

    def _with_palette(self, space: Optional[LabelSpace], chosen: ChosenFiles) -> Optional[LabelSpace]:
        """Gives classes without colours those of the files' palettes; other files of the dataset are read by them."""
        if space is None or not is_of_a_table(space) or has_own_colors(space) or chosen.pairs[0].label is None:
            return space
        self._has_table = False
        palette = file_palette(chosen.pairs[0].label)
        if palette is None:
            return space
        colors: Mapping[int, Color] = {index: as_color(color) for index, color in enumerate(palette)}
        if len(palette) < space.num_classes or is_grey(palette):  # files may hold only their own colours
            colors = PaletteRule(self.labels).colors()
        of_classes = [color for index, color in colors.items() if index < space.num_classes]
        # Colours that several classes share cannot tell them apart: then the indices count.
        are_distinct = bool(of_classes) and len(set(of_classes)) == len(of_classes)
        return space._replace(colors=_all_colors(colors, space)) if are_distinct else space

    @property
    def said_conversion(self) -> Conversion:
        """From what label files hold to class IDs, as far as a layout, an argument or an earlier look at files says."""
        return self._conversion or Conversion()

    @property
    def conversion(self) -> Conversion:
        """From what label files hold to class IDs; looks at some files if neither a layout nor an argument says it.

        Raises:
            DataError: Label files can be read in two ways.
        """
        if self._conversion is None:
            self._conversion = (
                Conversion()
                if self.label_space is None or not self.labels
                else own_conversion(self.labels, self.label_space, self._said_ignore_id, self._color_tolerance)
            )
        return self._conversion

    def named_space(self, conversion: Conversion) -> Optional[LabelSpace]:
        """Returns the classes if their colours identify them in labels, else None.

        An `id_map` that was given applies to the indices of palettes, whatever their colours.
        """
        is_mapped = self._layout is None and conversion.id_map is not None
        return self.label_space if self.label_space and has_own_colors(self.label_space) and not is_mapped else None

    def color_table(self, conversion: Conversion) -> Optional[Mapping[Color, int]]:
        """Returns the map from colours to class IDs if a table gives the colours and no map is from numbers."""
        space = self.named_space(conversion)
        return color_table(space) if space is not None and self._has_table else None


def check_id_map(id_map: Any) -> None:
    """Raises ValueError for anything but a map from IDs to IDs; None, for no map, is accepted."""
    values.id_map('id_map', id_map)


def checked_id_map(id_map: Any) -> Optional[Mapping[int, int]]:
    """Returns a map from IDs to IDs, which may be an array, as a dict; None for no map. Raises as `check_id_map`."""
    checked = values.id_map('id_map', id_map)
    return checked if checked is None or isinstance(checked, Mapping) else dict(enumerate(np.asarray(checked).tolist()))


def _check_said(layout: Optional[Layout], labels: Sequence[str], said: LabelArguments) -> None:
    """Refuses options about reading labels if there are no labels, and options about colours if labels hold IDs."""
    tolerance, transparency = said.color_tolerance, said.label_transparency
    if not labels:
        why = ': it is about labels, and these images have none. Give their labels (ground_truth_dirs, or pairs), or '
        why += 'leave {0} out.'
        refuse_given(why, id_map=said.id_map, color_tolerance=tolerance or None, label_transparency=transparency)
    if layout is not None or said.id_map is not None:  # a map is from numbers: then labels hold numbers
        check_said_of_colors(tolerance, transparency, layout is not None and layout.color_map is not None)


def _for_converted(
    converted: Sequence[str], num_labels: int, layout: Optional[Layout], id_map: Any
) -> Optional[Layout]:
    """The layout, without its maps if the labels hold class IDs already.

    Raises ValueError if only some do, or if `id_map` was given for them.
    """
    if not converted or (id_map is None and (layout is None or (layout.id_map is None and layout.color_map is None))):
        return layout
    if len(converted) < num_labels:
        raise ValueError(
            '{} of {} labels were written by process_all and hold class IDs already, the first of them {}, and the '
            'others do not. Make a BatchGenerator of each.'.format(len(converted), num_labels, converted[0])
        )
    if layout is None:
        raise ValueError(
            'id_map: {} was written by process_all and holds class IDs already, which would be mapped a second '
            'time. Leave id_map out.'.format(converted[0])
        )
    return layout._replace(id_map=None, color_map=None)


def _label_space(layout: Optional[Layout], said: LabelArguments) -> Optional[LabelSpace]:
    space = layout.label_space if layout else said.label_space
    if space is None:
        if said.num_classes is None:
            return None
        return generic_label_space(said.num_classes, _ignore_id(None, said.ignore_id))
    space = checked_label_space(space)
    for name, value in (('num_classes', said.num_classes), ('ignore_id', said.ignore_id)):
        if value is not None and value != getattr(space, name):
            raise ValueError(
                '{} is {}; the label space {} has {}={}. Leave it out, or give another label space.'.format(
                    name, value, space.name, name, getattr(space, name)
                )
            )
    return space


def _ignore_id(space: Optional[LabelSpace], said: Optional[int]) -> int:
    if space is not None:
        return space.ignore_id
    return DEFAULT_IGNORE_ID if said is None else said


def _legend_beside(places: Sequence[Tuple[str, str]]) -> Tuple[Optional[str], Optional[Legend]]:
    """Returns the path and content of the table of classes that lies beside the data; (None, None) without one.

    Warns of files of that name that cannot be read as one. Raises DataError if several contradict each other.
    """
    found: Dict[str, Legend] = {}
    for path in find_legends(places):
        try:
            found[path] = read_legend(path)
        except DataError as error:
            warn_user('Not used beside the data: {}'.format(error))
    return (next(iter(found)), agreed_legend(found)) if found else (None, None)


def _all_colors(known: Mapping[int, Color], space: LabelSpace) -> Tuple[Color, ...]:
    """The colours of all classes: the known ones, and for the other classes unused colours of the label space."""
    others = itertools.chain(space.colors, ((value, value, 255 - value) for value in range(256)))
    spare = (color for color in others if color not in known.values())
    return tuple(known[index] if index in known else next(spare) for index in range(space.num_classes))


def _color_rule(space: Optional[LabelSpace], tolerance: int, transparency: Optional[str]) -> ColorRule:
    if transparency is None:
        return ColorRule(tolerance)
    if space is None:
        raise ValueError(
            'label_transparency is {!r}, and no class is known. Give the classes with their colours '
            '(label_space).'.format(transparency)
        )
    return ColorRule(tolerance, transparent_color(space, transparency))


def _said_conversion(layout: Optional[Layout], id_map: Any, was_converted: bool) -> Optional[Conversion]:
    """Takes the conversion from layout or arguments; None if it depends on the content of the files."""
    if layout is not None:
        return Conversion(layout.id_map, layout.color_map)
    return Conversion(id_map) if id_map is not None or was_converted else None
