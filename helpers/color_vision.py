"""Class colours that people with a colour vision deficiency can also tell apart."""

import functools
from typing import List, Optional, Sequence, Tuple

import numpy as np

from helpers.aliases import Color
from helpers.flags import check_choice
from helpers.label_spaces import PALETTES, LabelSpace

# Linear RGB as seen with protanopia and with deuteranopia: Machado, Oliveira, Fernandes, "A Physiologically-based Model
# for Simulation of Color Vision Deficiency", IEEE TVCG 2009, table of severity 1.0.
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
# Linear sRGB -> XYZ, and the white of D65 (IEC 61966-2-1).
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _TO_XYZ.sum(axis=1)

# Candidates: this many values per channel, with a lightness between these: off black, which is no class, and off white
# paper.
_LEVELS, _DARKEST, _LIGHTEST = 9, 20.0, 95.0
# The number of searches from new beginnings, for at most this many colours; beyond, each further colour is the one that
# is furthest from those before.
_BEGINNINGS, _MOST_SEARCHED = 150, 40
# The weight of a unit of distance from a class's own colour against the forces between neighbours: small.
_LIKENESS = 1e-4
# Gains below this are rounding errors.
_LITTLE = 1e-9

# The share of boundaries in street scenes, in per cent, that lies between two classes: roughly the mean of CamVid and
# of generated scenes. The colours of frequent neighbours should be furthest apart.
_NEIGHBORS = {
    ('building', 'vegetation'): 13,
    ('sky', 'vegetation'): 12,
    ('road', 'sidewalk'): 9,
    ('building', 'pole'): 8,
    ('building', 'sky'): 7,
    ('car', 'road'): 7,
    ('building', 'person'): 4,
    ('building', 'car'): 3,
    ('building', 'sidewalk'): 3,
    ('building', 'traffic sign'): 3,
    ('pole', 'vegetation'): 3,
    ('sidewalk', 'terrain'): 3,
    ('car', 'vegetation'): 2,
    ('person', 'road'): 2,
    ('person', 'sidewalk'): 2,
    ('pole', 'sidewalk'): 2,
    ('pole', 'sky'): 2,
    ('bicycle', 'rider'): 1,
    ('building', 'fence'): 1,
    ('building', 'terrain'): 1,
    ('building', 'traffic light'): 1,
    ('car', 'person'): 1,
    ('car', 'sidewalk'): 1,
    ('car', 'truck'): 1,
    ('fence', 'vegetation'): 1,
    ('person', 'pole'): 1,
    ('pole', 'traffic sign'): 1,
    ('rider', 'road'): 1,
    ('road', 'terrain'): 1,
    ('sidewalk', 'vegetation'): 1,
}
# Names of these classes in other datasets.
_ALIASES = {
    'tree': 'vegetation',
    'sign': 'traffic sign',
    'signsymbol': 'traffic sign',
    'trafficlight': 'traffic light',
    'pedestrian': 'person',
    'bicyclist': 'rider',
    'column_pole': 'pole',
}


def with_palette(label_space: LabelSpace, palette: str) -> LabelSpace:
    """Returns the label space with the colours of a palette.

    Args:
        palette: 'dataset' for its own colours, or 'color-blind'.

    Raises:
        ValueError: There is no such palette.
    """
    check_choice('palette', palette, PALETTES)
    if palette == 'dataset':
        return label_space
    colors = color_blind_colors(label_space.class_names, label_space.colors)
    return label_space._replace(colors=tuple((int(red), int(green), int(blue)) for red, green, blue in colors))


def color_blind_colors(class_names: Sequence[str], own_colors: Sequence[Sequence[int]]) -> np.ndarray:
    """Chooses colours that differ clearly, also from black and white, in normal vision, protanopia and deuteranopia.

    A search with many beginnings makes the smallest distance between any two colours as large as it can (CIEDE2000, the
    worst of the three kinds of vision). Then classes that often touch each other in street scenes, or else the first
    classes, get the colours that are furthest apart. With a small weight, each class gets a colour like its own.

    Args:
        class_names: The names of all classes, in the order of their IDs.
        own_colors: [C, 3], RGB, the colours of the classes in their dataset.

    Returns:
        uint8 [C, 3], RGB. Beyond about 700 classes colours repeat.
    """
    own = tuple((int(red), int(green), int(blue)) for red, green, blue in own_colors)
    return np.array(_colors_of(tuple(class_names), own), np.uint8)


@functools.lru_cache(maxsize=8)
def _colors_of(class_names: Tuple[str, ...], own: Tuple[Color, ...]) -> List[Color]:
    candidates = _candidates()
    distances = color_distances(candidates)
    count = min(len(class_names), len(candidates))
    chosen = _furthest_apart(distances, count)
    unlike = color_distances(np.array(own[:count]), candidates[chosen])
    order = _assigned(distances[np.ix_(chosen, chosen)], _frequencies(class_names[:count]), unlike)
    colors = [(int(red), int(green), int(blue)) for red, green, blue in candidates[np.array(chosen)[order]]]
    return [colors[number % count] for number in range(len(class_names))]


def _candidates() -> np.ndarray:
    levels = np.linspace(0, 255, _LEVELS).round()
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing='ij'), axis=-1).reshape(-1, 3)
    lightness = as_seen(candidates)[0, :, 0]
    return candidates[(lightness > _DARKEST) & (lightness < _LIGHTEST)]


def _furthest_apart(distances: np.ndarray, count: int) -> List[int]:
    """The `count` candidates with the largest minimum distance that the search finds. distances: [N, N]."""
    random = np.random.RandomState(0)
    best, best_distance = _filled(distances, [int(distances.max(axis=1).argmax())], count), -1.0
    for beginning in range(_BEGINNINGS if 1 < count <= _MOST_SEARCHED else 0):
        chosen = best if beginning == 0 else random.permutation(len(distances))[:count].tolist()
        chosen, smallest = _exchanged(distances, chosen)
        if smallest > best_distance:
            best, best_distance = chosen, smallest
    return best


def _filled(distances: np.ndarray, chosen: List[int], count: int) -> List[int]:
    """Repeatedly adds the candidate that is furthest from the chosen ones, until there are `count`."""
    chosen, nearest = list(chosen), distances[chosen].min(axis=0)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    return chosen


def _exchanged(distances: np.ndarray, chosen: List[int]) -> Tuple[List[int], float]:
    """Replaces one of the two nearest colours by one further from the rest, while that helps.

    Returns the colours and their smallest distance.
    """
    while True:
        among = distances[np.ix_(chosen, chosen)] + np.where(np.eye(len(chosen)), np.inf, 0)
        first, second = np.unravel_index(among.argmin(), among.shape)
        for place in (int(first), int(second)):
            rest = chosen[:place] + chosen[place + 1 :]
            nearest = distances[rest].min(axis=0)
            if nearest.max() > among[first, second]:
                chosen = rest[:place] + [int(nearest.argmax())] + rest[place:]
                break
        else:
            return chosen, float(among[first, second])


def _frequencies(class_names: Sequence[str]) -> np.ndarray:
    """How much the distance of two classes matters, [C, C]: much for frequent neighbours, a bit for early classes."""
    names = [_ALIASES.get(name.lower(), name.lower()) for name in class_names]
    ranks = 1.0 / (1 + np.arange(len(names)))
    found = 0.1 * np.outer(ranks, ranks)
    np.fill_diagonal(found, 0)
    for (first, second), share in _NEIGHBORS.items():
        for i, j in ((first, second), (second, first)):
            if i in names and j in names:
                found[names.index(i), names.index(j)] += share
    return found


def _assigned(distances: np.ndarray, frequencies: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Assigns a colour to each class, [C]. A search minimises the sum of frequency / distance^2 over pairs of classes
    plus, with a small weight, the distances from the classes' own colours.

    distances: [C, C] between colours. frequencies: [C, C] of pairs of classes. unlike: [C, C], the distance of each
    class's own colour from each colour.
    """
    random, classes = np.random.RandomState(0), np.arange(len(distances))
    forces = 1.0 / np.square(distances + np.where(np.eye(len(distances)), np.inf, 0))
    best, lowest = classes, np.inf
    for beginning in range(_BEGINNINGS if len(classes) <= _MOST_SEARCHED else 0):
        order = _swapped(classes if beginning == 0 else random.permutation(classes), forces, frequencies, unlike)
        cost = (frequencies * forces[np.ix_(order, order)]).sum() + 2 * _LIKENESS * unlike[classes, order].sum()
        if cost < lowest - _LITTLE:
            best, lowest = order, cost
    return best


def _swapped(order: np.ndarray, forces: np.ndarray, frequencies: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """Repeats the best swap of two classes while it helps: 2-exchange for a quadratic assignment problem."""
    order = order.copy()
    while True:
        between = forces[np.ix_(order, order)]
        crossed, wish = frequencies.dot(between), _LIKENESS * unlike[:, order]
        changes = crossed + crossed.T - np.add.outer(crossed.diagonal(), crossed.diagonal())
        changes += 2 * frequencies * between
        changes += wish + wish.T - np.add.outer(wish.diagonal(), wish.diagonal())
        i, j = np.unravel_index(changes.argmin(), changes.shape)
        if changes[i, j] > -_LITTLE:
            return order
        order[[i, j]] = order[[j, i]]


def as_seen(colors: np.ndarray) -> np.ndarray:
    """Returns colours as they look in normal vision, with protanopia and with deuteranopia.

    Args:
        colors: [N, 3], RGB, 0 to 255.

    Returns:
        CIELAB under D65, float64 [3, N, 3].
    """
    scaled = np.asarray(colors, np.float64) / 255.0
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    visions = [linear] + [linear.dot(matrix.T).clip(0, 1) for matrix in (PROTANOPIA, DEUTERANOPIA)]
    ratios = np.stack(visions).dot(_TO_XYZ.T) / _WHITE
    x, y, z = np.moveaxis(np.where(ratios > 216 / 24389, np.cbrt(ratios), (24389 / 27 * ratios + 16) / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def color_distances(colors: np.ndarray, others: Optional[np.ndarray] = None) -> np.ndarray:
    """Computes CIEDE2000 between colours: the smallest distance in the three kinds of vision.

    Rounded to thousandths, so that choices based on it do not depend on the rounding of a machine.

    Args:
        colors: [N, 3], RGB, 0 to 255. others: [M, 3]; None for `colors`.

    Returns:
        float64 [N, M]. A difference of 1 is hardly visible side by side, 10 is visible at a glance.
    """
    seen = as_seen(colors)
    seen_others = seen if others is None else as_seen(others)
    return ciede2000(seen[:, :, np.newaxis], seen_others[:, np.newaxis]).min(axis=0).round(3)


def ciede2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Computes the difference of two colours by CIEDE2000, all weights 1, with the symbols of Sharma, Wu, Dalal, "The
    CIEDE2000 Color-Difference Formula", Color Research and Application 2005.

    Args:
        first, second: CIELAB, [..., 3], broadcast against each other.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(colors, -1, 0) for colors in (first, second))
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + 25.0**7)))
    c1, c2 = np.hypot((1 + g) * a1, b1), np.hypot((1 + g) * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, (1 + g) * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    is_grey = c1 * c2 == 0
    turn = np.where(is_grey, 0, (h2 - h1 + 180) % 360 - 180)  # from the first hue to the second, the short way
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    mean_h = np.where(is_grey, h1 + h2, (h1 + turn / 2) % 360)
    t = 1.0 + sum(
        weight * np.cos(np.radians(times * mean_h + shift))
        for weight, times, shift in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    delta_theta = 30 * np.exp(-(((mean_h - 275) / 25) ** 2))
    r_t = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * np.sin(np.radians(2 * delta_theta))
    lightness, chroma, hue = (l2 - l1) / s_l, (c2 - c1) / s_c, delta_h / s_h
    return np.sqrt(np.maximum(0, lightness**2 + chroma**2 + hue**2 + r_t * chroma * hue))
