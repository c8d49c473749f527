"""Reads the label files of a dataset to find out what they hold, before its meaning is known."""

import warnings
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from data_generator.checking.faults import Fault
from data_generator.errors import DataError
from data_generator.files.counting import parts_to_count
from data_generator.files.masks import holds_colors
from data_generator.files.palettes import PaletteRule
from data_generator.files.reading import EXACT_COLORS, ColorRule, read_colors
from helpers.aliases import Color
from helpers.color_codes import color_codes, color_of_code
from helpers.image_search import is_lossy
from helpers.images import TransparentLabelError, read_color_labels

# The most unknown colours that are kept of a label: a JPEG has tens of thousands, which take megabytes.
_MOST_UNNAMED = 1000


class LabelLook(NamedTuple):
    """How labels are read: as IDs, or as the colours of `color_map`, by `color_rule`.

    `id_map` is the meaning of IDs if the colours of the classes determine it. `question` is the question to the user if
    labels can be read in two ways, else ''.
    """

    palettes: PaletteRule
    color_map: Optional[Mapping[Color, int]] = None
    color_rule: ColorRule = EXACT_COLORS
    id_map: Optional[Mapping[int, int]] = None
    question: str = ''


class LabelFacts(NamedTuple):
    """Facts about a readable label.

    Attributes:
        size: (height, width).
        values: The number of pixels of each value, an ID or (red, green, blue); of unknown colours only the most
            frequent.
        is_named: Whether values are IDs or known colours; False for colours without a table.
        has_palette: Whether values are indices of a palette of colours.
        moved: The number of pixels whose colour was replaced by the nearest of the table.
    """

    size: Tuple[int, int]
    values: Dict[Any, int]
    is_named: bool = True
    has_palette: bool = False
    moved: int = 0


def check_label(path: str, look: LabelLook, faults: List[Fault]) -> Tuple[Optional[LabelFacts], Optional[np.ndarray]]:
    """Reads a label. Returns facts and pixels; None if it cannot be read. Anything wrong becomes a fault."""
    try:
        return _colors(path, look) if look.color_map is not None else _ids(path, look, faults)
    except DataError as error:
        faults.append(Fault('palette_differs', path, str(error)))
    except TransparentLabelError as error:
        faults.append(Fault('transparent_label', path, '{:.1%} of the pixels'.format(error.share)))
    except (ValueError, OSError) as error:
        if look.color_map is None and (is_lossy(path) or 'holds colours' in str(error)) and holds_colors(path):
            return _unnamed_colors(path, faults)
        kind = 'lossy_label' if is_lossy(path) else 'unreadable_label'
        faults.append(Fault(kind, path, str(error)))
    return None, None


def _ids(path: str, look: LabelLook, faults: List[Fault]) -> Tuple[LabelFacts, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # reported as a fault
        ids, has_palette, is_reordered = look.palettes.read(path)
    if is_reordered:
        faults.append(Fault('palette_order', path))
    return LabelFacts(ids.shape, count_values(ids), has_palette=has_palette), ids


def _colors(path: str, look: LabelLook) -> Tuple[LabelFacts, np.ndarray]:
    colors, moved = read_colors(path, look.color_map or {}, look.color_rule)
    return LabelFacts(colors.shape[:2], count_values(colors), moved=moved), colors


def _unnamed_colors(path: str, faults: List[Fault]) -> Tuple[LabelFacts, np.ndarray]:
    colors = np.ascontiguousarray(read_color_labels(path, lossy=True, keep_alpha=True)[..., :3])
    values = count_values(colors)
    most = sorted(values.items(), key=lambda item: -item[1])[:_MOST_UNNAMED]
    faults.append(
        Fault(
            'lossy_label' if is_lossy(path) else 'color_label',
            path,
            '{} colours, most of all {}'.format(
                len(values), ', '.join('{} ({:.0%})'.format(color, n / colors[..., 0].size) for color, n in most[:3])
            ),
        )
    )
    return LabelFacts(colors.shape[:2], dict(most), is_named=False), colors


def count_values(label: np.ndarray) -> Dict[Any, int]:
    """Counts the pixels of each value: IDs of [H, W], or (red, green, blue) of [H, W, 3]."""
    found: Dict[Any, int] = {}
    for part in parts_to_count(label):
        for value, count in _count_part(part).items():
            found[value] = found.get(value, 0) + count
    return dict(sorted(found.items()))


def _count_part(label: np.ndarray) -> Dict[Any, int]:
    if label.ndim == 2:
        counts = np.bincount(label.ravel())
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    codes, counts = np.unique(color_codes(label), return_counts=True)
    return {color_of_code(code): int(n) for code, n in zip(codes, counts)}


def far_from(colors: Iterable[Color], table: Iterable[Color]) -> int:
    """Returns the largest distance of these colours from the nearest of a table, by the channel that differs most."""
    rows = np.array(list(table), np.int64)
    return max((int(np.abs(rows - np.array(color)).max(axis=1).min()) for color in colors), default=0)
