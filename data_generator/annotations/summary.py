"""A summary of what an import made and left out."""

from typing import Dict, List, NamedTuple

from data_generator.annotations.classes import BACKGROUND
from helpers.counted import counted
from helpers.label_spaces import LabelSpace
from helpers.tables import one_line

# The name of objects that never count, in the table of objects.
VOID_OBJECTS = '(void)'


class Imported(NamedTuple):
    """What was made.

    kind: the tool. splits: images per split. split_by: who decided on the splits. objects: objects per label. pixels:
    pixels per class, void last. left_out: places by reason. moved: pixels whose colour was replaced, per mask.
    """

    out_dir: str
    kind: str
    order: str
    rest: str
    label_space: LabelSpace
    splits: Dict[str, int]
    split_by: str
    objects: Dict[str, int]
    pixels: List[int]
    left_out: Dict[str, List[str]]
    moved: Dict[str, int]


def describe(imported: Imported) -> str:
    """Says what was made and what was left out, as lines for people."""
    space = imported.label_space
    lines = ['annotations   {}'.format(imported.kind)]
    counts = ['{} {}'.format(count, split) for split, count in sorted(imported.splits.items())]
    lines.append('images        {}'.format(', '.join(counts)))
    lines.append('splits        {}'.format(imported.split_by))
    overlap = {'file': 'the later in the file', 'area': 'the smaller'}[imported.order]
    lines.append('overlaps      {} lies over the other (--order {})'.format(overlap, imported.order))
    rest = BACKGROUND + ', class 0' if imported.rest == BACKGROUND else 'void, 255'
    lines.append('without shape {} (--rest {})'.format(rest, imported.rest))
    total = max(1, sum(imported.pixels))
    for class_id, name in enumerate(space.class_names):
        if not imported.pixels[class_id]:
            continue
        lines.append(
            '{:5d}  {:24s} {:>14s} {:7.2f} % of the pixels'.format(
                class_id, name, _objects(imported, name), 100 * imported.pixels[class_id] / total
            )
        )
    lines.append(
        '{:5d}  {:24s} {:14s} {:7.2f} %'.format(space.ignore_id, 'void', '', 100 * imported.pixels[-1] / total)
    )
    if VOID_OBJECTS in imported.objects:
        lines.append('never count   {}, such as crowds: void'.format(_objects(imported, VOID_OBJECTS)))
    absent = [name for name, count in zip(space.class_names, imported.pixels) if not count]
    if absent:
        lines.append('without a pixel: {}'.format(', '.join(absent)))
    if imported.moved:
        lines.append(
            'neither black nor white, and counted as the nearer of the two: {} of {}'.format(
                counted(sum(imported.moved.values()), 'pixel'), counted(len(imported.moved), 'mask')
            )
        )
    for reason, places in imported.left_out.items():
        lines.append('left out: {}: {}, the first: {}'.format(reason, len(places), places[0]))
    return '\n'.join(map(one_line, lines))


def _objects(imported: Imported, name: str) -> str:
    return counted(imported.objects.get(name, 0), 'object')
