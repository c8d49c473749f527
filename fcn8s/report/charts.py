"""Charts as numbers: where lines, bars, ticks and words go. The template draws them as SVG.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which people with any colour vision can tell
apart; lines also differ in their dashes, for prints without colour.
"""

import math
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

BLUE, VERMILION, GREEN, PURPLE = '#0072b2', '#d55e00', '#007a5a', '#a3568c'
# A phone shows a chart at two thirds of its size, with larger text. There is room for 0.0001 beside the axis name on
# the left, and for the ticks, the axis name and the legend below.
WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 88, 14, 14, 64
_DASHES = ('', '7 4', '2 4', '9 3 2 3')

Point = Tuple[float, float]
Limits = Tuple[float, float]


class Curve(NamedTuple):
    """One line of a chart: (x, y) points; None and NaN as y are left out. has_dots: whether its points are measured."""

    name: str
    color: str
    points: Sequence[Tuple[float, Optional[float]]]
    has_dots: bool = True


class Line(NamedTuple):
    """A curve in the picture's coordinates; `points` is the SVG attribute."""

    name: str
    color: str
    dash: str
    points: str
    dots: List[Point]
    legend_x: float


class Bar(NamedTuple):
    """A bar with the text below it and above it."""

    x: float
    y: float
    width: float
    height: float
    name: Sequence[str]
    value: str


class Tick(NamedTuple):
    """A place on an axis and the number beside it."""

    position: float
    text: str


class Chart(NamedTuple):
    """All that the template draws."""

    title: str
    note: str
    x_label: str
    y_label: str
    x_ticks: List[Tick]
    y_ticks: List[Tick]
    lines: List[Line]
    bars: List[Bar]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def line_chart(
    title: str,
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    note: str = '',
    x_limits: Optional[Limits] = None,
    y_limits: Optional[Limits] = None,
) -> Optional[Chart]:
    """Returns a chart of all curves that have a point; None if none has. Without limits, all points are included."""
    shown = [curve._replace(points=_known(curve.points)) for curve in curves]
    shown = [curve for curve in shown if curve.points]
    if not shown:
        return None
    points = [point for curve in shown for point in curve.points]
    xs = x_limits or _limits([x for x, _ in points])
    ys = y_limits or _limits([y for _, y in points if y is not None])
    lines, legend_x = [], float(LEFT + 8)
    for number, curve in enumerate(shown):
        places = [(_x(x, xs), _y(y, ys)) for x, y in curve.points if y is not None]
        text = ' '.join('{:.1f},{:.1f}'.format(*place) for place in places)
        dots = places if curve.has_dots and len(places) <= 40 else []
        lines.append(Line(curve.name, curve.color, _DASHES[number % len(_DASHES)], text, dots, legend_x))
        legend_x += 46 + 9.5 * len(curve.name)
    return Chart(title, note, x_label, y_label, _ticks(xs, _x), _ticks(ys, _y), lines, [])


def bar_chart(
    title: str, names: Sequence[str], values: Sequence[float], x_label: str, y_label: str, note: str = ''
) -> Optional[Chart]:
    """Returns a chart of shares from 0 to 1, in per cent; NaN gives a dash instead of a bar. None if all are NaN."""
    if all(math.isnan(value) for value in values):
        return None
    step = (WIDTH - LEFT - RIGHT) / len(names)
    bars = []
    for number, (name, value) in enumerate(zip(names, values)):
        known = 0.0 if math.isnan(value) else value
        top = _y(known, (0.0, 1.0))
        text = '–' if math.isnan(value) else '{:.1f} %'.format(100 * value)
        bars.append(Bar(LEFT + (number + 0.1) * step, top, 0.8 * step, HEIGHT - BOTTOM - top, _wrapped(name), text))
    return Chart(title, note, x_label, y_label + ', %', [], _ticks((0.0, 100.0), _y), [], bars)


def _wrapped(name: str) -> List[str]:
    """A name in at most two lines of about the same length."""
    words = name.split(' ')
    if len(name) < 12 or len(words) < 2:
        return [name]
    cut = min(range(1, len(words)), key=lambda place: abs(len(' '.join(words[:place])) - len(name) / 2))
    return [' '.join(words[:cut]), ' '.join(words[cut:])]


def _known(points: Sequence[Any]) -> List[Any]:
    return [(x, y) for x, y in points if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)]


def _limits(values: Sequence[float]) -> Limits:
    """Limits that hold 0 and all values, with room after the last."""
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.05 * (high - low) or 1.0
    return low - (room if low < 0 else 0.0), high + room


def _x(value: float, limits: Limits) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - limits[0]) / (limits[1] - limits[0])


def _y(value: float, limits: Limits) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - limits[0]) / (limits[1] - limits[0])


def _ticks(limits: Limits, place: Any) -> List[Tick]:
    """Four to eight ticks, at multiples of 1, 2 or 5 times a power of ten."""
    span = limits[1] - limits[0]
    power = 10.0 ** math.floor(math.log10(span))
    step = next(factor * power for factor in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (factor * power) <= 8)
    first, last = math.ceil(limits[0] / step - 1e-9), math.floor(limits[1] / step + 1e-9)
    return [Tick(place(number * step, limits), _tick_text(number, step)) for number in range(first, last + 1)]


def _tick_text(number: int, step: float) -> str:
    """The number of a tick, written as those of the other ticks of its axis: 0.0008 below 0.0010, 8e-5 below 10e-5."""
    power = math.floor(math.log10(step) + 1e-9)
    if number == 0 or -5 < power < 6:
        return '{:.{}f}'.format(number * step, max(0, -power) if number else 0)
    return '{:.0f}e{}'.format(number * step / 10.0**power, power)
