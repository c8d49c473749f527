"""Which classes a dataset gets from annotations: their order, names and colours."""

import difflib
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from data_generator.annotations.shapes import VOID, LeftOut, Source
from data_generator.files.legends import VOID_NAMES
from helpers.aliases import Color
from helpers.counted import join_and_dots
from helpers.image_search import natural_sort_key
from helpers.label_spaces import DEFAULT_IGNORE_ID, MAX_CLASSES, LabelSpace, checked_label_space, generic_label_space

BACKGROUND = 'background'
# Tools' names for the class of pixels without a class.
_BACKGROUND_NAMES = ('background', '_background_', '__background__')


class Classes(NamedTuple):
    """The planned classes. rest: the ID of pixels without a shape. ids: the class ID of each label."""

    label_space: LabelSpace
    rest: int
    ids: Dict[object, int]

    def finder(self, left_out: LeftOut, place: str) -> Callable[[object], int]:
        """Returns a function from a label to its class ID. For a class that was not asked for, it notes this in
        `left_out` and returns -1.
        """

        def class_id_of(label: object) -> int:
            label = class_name(label)
            if label not in self.ids:
                left_out.add('objects of the class {!r}, which was not asked for'.format(label), place)
            return self.ids.get(label, -1)

        return class_id_of


def class_name(label: object) -> object:
    """Returns the name of a label without surrounding blanks, which are common in XML."""
    return label.strip() if isinstance(label, str) else label


def plan_classes(
    source: Source,
    labels: Sequence[object],
    rest: str,
    wanted: Optional[Sequence[str]] = None,
    void_names: Sequence[str] = (),
) -> Classes:
    """Plans the classes of a dataset.

    Args:
        labels: All labels that occur.
        rest: 'background', which is then class 0, or 'void'.
        wanted: The classes to use, in this order, some of which need not occur; None for those of the source, followed
            by others that occur.
        void_names: Labels whose pixels never count, besides `VOID_NAMES`, which are no classes in files of names and
            colours either.

    Raises:
        ValueError: No wanted class occurs, or one does not and may be misspelt; the name of a class cannot be printed;
            there are too many or too few classes.
    """
    # Cityscapes does not score some of its classes; they are used only if `wanted` names them.
    void = set(void_names) | (set(source.void_names) - set(wanted or ()))
    occurring = sorted({str(class_name(label)) for label in labels if label is not VOID}, key=natural_sort_key)
    names = list(dict.fromkeys([*(str(class_name(name)) for name in source.class_names or []), *occurring]))
    _check_names('--void', [name for name in void_names if name not in names], names)
    if wanted is not None:
        _check_occur(wanted, names, void_names)
        names = list(wanted)
    void |= {name for name in names if name.lower() in VOID_NAMES}
    names = [name for name in names if name not in void]
    background = [name for name in names if name.lower() in _BACKGROUND_NAMES] if rest == BACKGROUND else []
    names = ([BACKGROUND] if rest == BACKGROUND else []) + [name for name in names if name not in background]
    if not 2 <= len(names) <= MAX_CLASSES:
        raise ValueError(
            'The annotations have the classes {}; it takes from 2 to {}. {}'.format(
                join_and_dots(names, 5) or 'none',
                MAX_CLASSES,
                'Choose with --classes.' if len(names) > 2 else 'Take --rest background, or other annotations.',
            )
        )
    ids: Dict[object, int] = {name: class_id for class_id, name in enumerate(names)}
    ids.update(dict.fromkeys(background, 0))
    ids.update(dict.fromkeys(void, DEFAULT_IGNORE_ID))
    ids[VOID] = DEFAULT_IGNORE_ID
    return Classes(_label_space(source, names), 0 if rest == BACKGROUND else DEFAULT_IGNORE_ID, ids)


def check_wanted(wanted: Sequence[str], void_names: Sequence[str]) -> None:
    """Raises ValueError for wanted classes that are named twice, or that are void."""
    if len(set(wanted)) < len(wanted):
        raise ValueError('--classes is {}; each name has to be there once.'.format(' '.join(wanted)))
    for name in wanted:
        if name in void_names:
            raise ValueError('--classes and --void both name {}. Leave it out of one of them.'.format(name))
        if name.lower() in VOID_NAMES:
            raise ValueError(
                '--classes names {}, and the pixels of what is called so never count. Leave it out, or give it another '
                'name in the annotations.'.format(name)
            )


def _check_occur(wanted: Sequence[str], names: Sequence[str], void_names: Sequence[str]) -> None:
    """Raises ValueError if no class occurs, or if one that does not may be a misspelt other one."""
    absent = [name for name in wanted if name not in names]
    if len(absent) == len(wanted):
        _check_names('--classes', absent, names)
    others = {name.lower(): name for name in names if name not in {*wanted, *void_names}}
    others = {low: name for low, name in others.items() if low not in {*_BACKGROUND_NAMES, *VOID_NAMES}}
    for name in absent:
        for close in difflib.get_close_matches(name.lower(), list(others), 1, cutoff=0.7):
            raise ValueError(
                '--classes names {0}, which no image has, and not {1}. If {1} is meant, write that; if {0} is another '
                'class, name {1}, too, in --classes or in --void.'.format(name, others[close])
            )


def _check_names(flag: str, unknown: Sequence[str], names: Sequence[str]) -> None:
    if unknown:
        raise ValueError(
            '{} names {}, but the annotations have {}. Take names of these.'.format(
                flag, ', '.join(unknown), join_and_dots(names, 30)
            )
        )


def _label_space(source: Source, names: Sequence[str]) -> LabelSpace:
    """The names with the colours of the tool, or other colours if it has none or repeats one. Raises ValueError."""
    of_tool = {class_name(name): color for name, color in source.colors.items()}
    try:
        space = generic_label_space(len(names), DEFAULT_IGNORE_ID, names)
    except ValueError as error:
        raise ValueError('{} Name it in the annotations, or choose others with --classes.'.format(error)) from error
    taken: List[Color] = []
    spare = [color for color in space.colors if color not in of_tool.values()]
    for name in names:
        color = (0, 0, 0) if name == BACKGROUND and name not in of_tool else of_tool.get(name)
        if color is None or color in taken:
            color = spare.pop(0) if spare else _unused(taken)
        taken.append(color)
    return checked_label_space(space._replace(name='imported', colors=tuple(taken)))


def _unused(taken: Sequence[Color]) -> Color:
    return next((value, value, 255 - value) for value in range(256) if (value, value, 255 - value) not in taken)
