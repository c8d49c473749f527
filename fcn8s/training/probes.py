"""Two short trainings to try before a long one: does the network learn one batch by heart, and which rate suits it?

Both take a function `train(batches, epochs, steps_per_epoch, learning_rate_schedule, **options)` like `FCN8s.train`,
and read the losses from its callbacks.
"""

import contextlib
import itertools
import math
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.stopping import TrainingInterrupted
from fcn8s.training.schedules import Schedule
from helpers.flags import checked_whole

LOW, HIGH, STEPS = 1e-6, 1.0, 100
# The share of its last value that the smoothed loss keeps at each step; the sweep ends at this many times its lowest.
_SMOOTHING, _TOO_HIGH = 0.8, 4.0
# Fewer points than this give no useful slope.
_FEWEST_POINTS = 8


@contextlib.contextmanager
def _keeping_nothing() -> Iterator[None]:
    """Leaves out of the message of an interruption how a training would be kept."""
    try:
        yield
    except TrainingInterrupted as error:
        raise TrainingInterrupted('{}. Nothing was saved.'.format(error.signal_name), error.signal_name) from None


class RateSweep(NamedTuple):
    """The training loss over a rising rate, float64 [n] each, and the suggested rate; None where no loss fell."""

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: Optional[float]


class _LossTooHighError(Exception):
    """The loss has risen so far that no higher rate is of interest."""


def check_sweep(low: float, high: float, steps: int, spell: Callable[[str], str] = str) -> None:
    """Raises ValueError unless 0 < low < high, both finite, and there are enough steps for a curve. spell: how messages
    call the arguments.
    """
    if not 0 < low < high < math.inf:
        raise ValueError(
            'the rates go from {:g} to {:g}; both have to be above 0, and the first the lower one: {} {:g} and {} {:g} '
            'are the default.'.format(low, high, spell('low'), LOW, spell('high'), HIGH)
        )
    checked_whole(spell('steps'), steps, _FEWEST_POINTS, 100000, 'Take {} for a smooth curve.'.format(STEPS))


def rising_rates(low: float, high: float, steps: int) -> Schedule:
    """Returns the schedule low (high / low)^(step / (steps - 1)): each step multiplies the rate by the same factor."""

    def schedule(step: int) -> float:
        return low * (high / low) ** (min(step, steps - 1) / (steps - 1))

    return schedule


def sweep_rates(
    train: Callable[..., Any], batches: Any, low: float = LOW, high: float = HIGH, steps: int = STEPS, **options: Any
) -> RateSweep:
    """Trains with a rising rate until the loss explodes (Smith, "Cyclical learning rates", WACV 2017, section 3.3).

    Args:
        train: As `FCN8s.train`; the weights are useless afterwards.
        batches: As its `train_generator`.
        options: Further arguments of `train`.

    Raises:
        ValueError: As `check_sweep`.
        FloatingPointError: The loss is not finite at the first step, so the rate is not the cause.
    """
    check_sweep(low, high, steps)
    points: List[Tuple[float, float]] = []
    mean, lowest = _MovingMean(), math.inf

    def watch(event: Any) -> None:
        nonlocal lowest
        if event.kind == 'step':
            points.append((event.scores['learning_rate'], float(event.scores['loss'])))
            smoothed = mean.after(points[-1][1])
            lowest = min(lowest, smoothed)
            if len(points) >= _FEWEST_POINTS and smoothed > _TOO_HIGH * lowest > 0:
                raise _LossTooHighError

    try:
        with _keeping_nothing():
            train(batches, 1, steps, rising_rates(low, high, steps), callbacks=[watch], **options)
    except (_LossTooHighError, FloatingPointError):  # the points before that are the curve
        if not points:
            raise
    rates, losses = np.array([rate for rate, _ in points]), np.array([loss for _, loss in points])
    curve = smooth(losses.tolist())
    return RateSweep(rates, losses, curve, suggest_rate(rates, curve))


def smooth(losses: Sequence[float]) -> np.ndarray:
    """Returns the exponential moving mean of the losses, with Adam's correction of the bias towards 0."""
    mean = _MovingMean()
    return np.array([mean.after(float(loss)) for loss in losses])


class _MovingMean:
    """The mean of `smooth`, updated one loss at a time."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._steps = 0

    def after(self, loss: float) -> float:
        """Returns the mean of the losses so far and this one."""
        self._steps += 1
        self._sum = _SMOOTHING * self._sum + (1 - _SMOOTHING) * loss
        return self._sum / (1 - _SMOOTHING**self._steps)


def suggest_rate(rates: np.ndarray, smoothed: np.ndarray) -> Optional[float]:
    """Returns the rate at which the loss falls fastest over the logarithm of the rate, before its lowest point; None
    where it does not fall by a twentieth."""
    if len(rates) < _FEWEST_POINTS:
        return None
    lowest = int(np.argmin(smoothed))
    if lowest < 2 or smoothed[lowest] > 0.95 * smoothed[0]:
        return None
    slopes = np.gradient(smoothed[: lowest + 1], np.log(rates[: lowest + 1]))
    return float(rates[int(np.argmin(slopes))])


class Overfit(NamedTuple):
    """The result of learning one batch by heart: first and last loss, and the share of its pixels that are right."""

    first_loss: float
    last_loss: float
    accuracy: float

    @property
    def learned(self) -> bool:
        """Whether nearly every pixel is right, which chance and the most frequent class do not reach."""
        return self.accuracy >= ENOUGH


# A network that learns reaches 99 % and more, not always 100 %: object borders are finer than its strides.
ENOUGH = 0.95


def check_steps_of_one_batch(steps: int) -> None:
    """Raises ValueError unless it is 1 or more."""
    if steps < 1:
        raise ValueError('--overfit-one-batch is {}; it has to be 1 step or more, for example 200.'.format(steps))


def overfit_one_batch(
    train: Callable[..., Any],
    evaluate: Callable[..., Any],
    batch: Tuple[Any, Any],
    steps: int,
    schedule: Schedule,
    **options: Any,
) -> Overfit:
    """Trains on one batch alone, without dropout, and measures how much of it is known by heart.

    Args:
        train, evaluate: As `FCN8s.train` and `FCN8s.run_evaluation`.
        batch: (images, labels).
        options: Further arguments of `train`.

    Raises:
        ValueError: `steps` is below 1.
    """
    check_steps_of_one_batch(steps)
    losses: List[float] = []

    def watch(event: Any) -> None:
        if event.kind == 'step':
            losses.append(float(event.scores['loss']))

    with _keeping_nothing():
        train(itertools.repeat(batch), 1, steps, schedule, keep_prob=1.0, callbacks=[watch], **options)
    scores = evaluate(itertools.repeat(batch), 1)
    return Overfit(losses[0], losses[-1], float(scores['accuracy']))
