"""Learning rate schedules: functions from the step to the rate, for `learning_rate_schedule` and the command line.

A step is the number of updates made before it, so the first step is 0. Every schedule is a plain function int -> float
and may be called with any step from 0 up, in any order; a function of your own works as well.
"""

import bisect
import collections.abc
import math
from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

from helpers.flags import check_function, checked_whole, is_positive, is_real
from helpers.user_warnings import warn_user

Schedule = Callable[[int], float]

DEFAULT_POWER = 0.9
DEFAULT_STEP_FACTOR = 0.1

SCHEDULE_FORMS = ('constant:RATE', 'poly:RATE[:POWER]', 'cosine:RATE[:END_RATE]', 'steps:RATE:STEP,STEP,...[:FACTOR]')


def constant(rate: float) -> Schedule:
    """Gives the same rate at every step."""
    _check_rate(rate)

    def schedule(step: int) -> float:
        return rate

    return schedule


def steps(rate: float, boundaries: Union[int, Sequence[int]], factor: float = DEFAULT_STEP_FACTOR) -> Schedule:
    """Returns `rate`, multiplied by `factor` (in (0, 1]) at each of the increasing step numbers in `boundaries`."""
    _check_rate(rate)
    places: Tuple[int, ...] = tuple(boundaries) if isinstance(boundaries, collections.abc.Iterable) else (boundaries,)
    are_steps = bool(places) and all(is_real(place) and place % 1 == 0 for place in places) and places[0] >= 1
    if not are_steps or any(a >= b for a, b in zip(places, places[1:])):
        raise ValueError(
            'boundaries is {}; it has to be one or more increasing steps, the first at least 1, such as [1000, '
            '2000].'.format(list(places))
        )
    if not is_real(factor) or not 0 < factor <= 1:
        raise ValueError('factor is {}; it has to be above 0 and at most 1.'.format(factor))

    def schedule(step: int) -> float:
        return rate * factor ** bisect.bisect_right(places, step)

    return schedule


def polynomial(rate: float, total_steps: int, power: float = DEFAULT_POWER, end_rate: float = 0.0) -> Schedule:
    """Returns (rate - end_rate) (1 - step / total_steps)^power + end_rate: DeepLab's "poly" policy; end_rate
    afterwards.
    """
    _check_decay(rate, total_steps, end_rate)
    if not is_positive(power):
        raise ValueError('power is {}; it has to be above 0.'.format(power))

    def schedule(step: int) -> float:
        remaining = 1.0 - min(step, total_steps) / total_steps
        return (rate - end_rate) * remaining**power + end_rate

    return schedule


def cosine(rate: float, total_steps: int, end_rate: float = 0.0) -> Schedule:
    """Falls by half a cosine from `rate` to `end_rate` (Loshchilov and Hutter, ICLR 2017, without restarts)."""
    _check_decay(rate, total_steps, end_rate)

    def schedule(step: int) -> float:
        progress = min(step, total_steps) / total_steps
        return end_rate + (rate - end_rate) * 0.5 * (1.0 + math.cos(math.pi * progress))

    return schedule


def with_warm_up(schedule: Schedule, warm_up_steps: int) -> Schedule:
    """Returns `schedule`, its rate scaled up in a straight line over the first steps (Goyal et al., 2017, section 2.2).

    Step s < warm_up_steps runs at (s + 1) / (warm_up_steps + 1) of the scheduled rate, so no step is spent at 0 and
    step warm_up_steps is the first at the full rate. The schedule underneath still counts from step 0.
    """
    check_function('schedule', schedule, 'step -> rate, such as schedules.constant(1e-4)')
    warm_up_steps = checked_whole('warm_up_steps', warm_up_steps, 0)

    def warmed_up(step: int) -> float:
        return schedule(step) * min(1.0, (step + 1) / (warm_up_steps + 1))

    return warmed_up


def checked_rate(rate: Any, step: int) -> float:
    """Returns the rate that a schedule gave for a step; raises ValueError unless it is finite and at least 0."""
    if is_real(rate) and 0 <= rate < math.inf:
        return float(rate)
    remedy = ''
    if not is_real(rate) and hasattr(rate, '__float__'):  # a tensor or an array
        remedy = ' Convert it: lambda step: float(schedule(step)).'
    raise ValueError(
        'learning_rate_schedule({}) is {!r}; the rate has to be a finite number of at least 0.{}'.format(
            step, rate, remedy
        )
    )


def parse_schedule(text: str, total_steps: int) -> Schedule:
    """Returns the schedule that a line of text describes, for example 'poly:1e-4' or 'cosine:1e-3+warmup:500'.

    Args:
        text: one of SCHEDULE_FORMS, optionally followed by '+warmup:STEPS'. A bare number is a constant rate.
        total_steps: where 'poly' and 'cosine' end; at least 1.

    Raises:
        ValueError: naming the text, and what is wrong with it.

    Warns where the warm-up is as long as the training.
    """
    if not isinstance(text, str):
        raise ValueError('The schedule is {!r}; it has to be text, such as poly:1e-4.'.format(text))
    main, plus, warm_up = text.partition('+warmup:')
    try:
        schedule = _parse_main(main.split(':'), total_steps)
        schedule = with_warm_up(schedule, int(warm_up)) if plus else schedule
    except ValueError as error:
        raise ValueError(
            'The schedule {!r} is not understood: {} Write {}, each optionally followed by +warmup:STEPS.'.format(
                text, error, ', '.join(SCHEDULE_FORMS)
            )
        ) from error
    if plus and int(warm_up) >= total_steps:
        warn_user(
            'the schedule {!r} warms up for {} steps, and the training has {}, so that it never reaches its '
            'rate.'.format(text, int(warm_up), total_steps)
        )
    return schedule


def _parse_main(fields: List[str], total_steps: int) -> Schedule:
    if len(fields) == 1:
        return constant(_number(fields[0]))
    kind, rate, rest = fields[0], _number(fields[1]), fields[2:]
    if kind == 'constant' and not rest:
        return constant(rate)
    if kind == 'poly' and len(rest) <= 1:
        return polynomial(rate, total_steps, _number(_first(rest), DEFAULT_POWER))
    if kind == 'cosine' and len(rest) <= 1:
        return cosine(rate, total_steps, _number(_first(rest), 0.0))
    if kind == 'steps' and 1 <= len(rest) <= 2:
        return steps(rate, [int(step) for step in rest[0].split(',')], _number(_first(rest[1:]), DEFAULT_STEP_FACTOR))
    raise ValueError('{!r} with {} value(s) is none of the forms.'.format(kind, len(fields) - 1))


def _first(fields: List[str]) -> Optional[str]:
    return fields[0] if fields else None


def _number(text: Optional[str], default: float = 0.0) -> float:
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        raise ValueError('{!r} is not a number.'.format(text)) from None


def _check_rate(rate: float) -> None:
    if not is_positive(rate):
        raise ValueError('rate is {!r}; it has to be a number above 0.'.format(rate))


def _check_decay(rate: float, total_steps: int, end_rate: float) -> None:
    _check_rate(rate)
    if not is_real(total_steps) or not 1 <= total_steps < math.inf:
        raise ValueError('total_steps is {!r}; it has to be at least 1, and finite.'.format(total_steps))
    if not 0 <= end_rate <= rate:
        raise ValueError('end_rate is {}; it has to be from 0 to the rate {}.'.format(end_rate, rate))
