"""Does a confidence of 80 % mean that 80 % are right? Expected calibration error (Guo, Pleiss, Sun, Weinberger, "On
Calibration of Modern Neural Networks", ICML 2017, section 2), and the temperature that makes it so (section 4.2).
Letters: B bins, P pixels, C classes, K temperatures.
"""

from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

from fcn8s.confidence import NUM_BINS

# The temperatures that are tried: steps of 2.5 % from 0.50 to 4.98, and 1 among them.
TEMPERATURES = tuple(round(1.025**power, 2) for power in range(-28, 66))
# Losses and confidences are summed as integers in units of 2^-31, so that the sums do not depend on the order. A
# float64 is exact up to 2^53 units: 2^22 pixels of confidence 1 at a time.
_UNITS = 2.0**31
# Larger differences between logits count as this: twice -ln of the smallest float32. So no pixel outweighs a thousand
# others.
_LARGEST_DIFFERENCE = np.float32(175.0)


def expected_calibration_error(counts: np.ndarray, correct: np.ndarray, confidence_sums: np.ndarray) -> float:
    """Computes ECE = sum_b (n_b / n) |acc(b) - conf(b)|, equation 3 of the paper; NaN without a pixel.

    Args:
        counts: Pixels n_b per bin, integers [B].
        correct: Pixels per bin with the right class, integers [B].
        confidence_sums: Sum of the confidences per bin, float64 [B].
    """
    total = counts.sum()
    # n_b acc(b) is the number of correct pixels and n_b conf(b) the sum of confidences, so n_b divides out.
    return float(np.abs(correct - confidence_sums).sum() / total) if total else float('nan')


def summarize_calibration(counts: np.ndarray, correct: np.ndarray, confidence_sums: np.ndarray) -> Dict[str, Any]:
    """Returns 'expected_calibration_error' and, per bin and NaN where empty, 'bin_accuracy' and 'bin_confidence'
    (float64 [B]), with 'bin_counts' (int64 [B]). Arguments as in `expected_calibration_error`.
    """
    filled = np.maximum(counts, 1)
    return {
        'expected_calibration_error': expected_calibration_error(counts, correct, confidence_sums),
        'bin_counts': np.asarray(counts, dtype=np.int64),
        'bin_accuracy': np.where(counts > 0, correct / filled, np.nan),
        'bin_confidence': np.where(counts > 0, confidence_sums / filled, np.nan),
    }


class TemperatureSums(NamedTuple):
    """Sums over pixels at each of TEMPERATURES. losses: -ln of the soft-max of the true class, in units of 2^-31, as
    Python integers [K]. counts, correct, confidences (in the same units): per bin of confidence, int64 [K, B]."""

    losses: List[int]
    counts: np.ndarray
    correct: np.ndarray
    confidences: np.ndarray

    def __add__(self, other: Any) -> 'TemperatureSums':  # type: ignore[override]
        losses = [own + its for own, its in zip(self.losses, other.losses)]
        return TemperatureSums(losses, *[own + its for own, its in zip(self[1:], other[1:])])

    def best(self) -> int:
        """Returns the index of the temperature with the smallest loss."""
        return int(np.argmin(self.losses))


def no_sums() -> TemperatureSums:
    """Returns the sums over no pixel."""
    return TemperatureSums([0] * len(TEMPERATURES), *np.zeros((3, len(TEMPERATURES), NUM_BINS), np.int64))


def sum_at_temperatures(logits: np.ndarray, truth: np.ndarray, class_ids: np.ndarray) -> TemperatureSums:
    """Computes the sums over pixels by which a temperature is chosen and judged.

    Args:
        logits: float32 [P, C], up to an additive constant for each pixel: logarithms of probabilities will do.
        truth, class_ids: Integers [P], the true and the predicted classes.
    """
    sums = no_sums()
    if not len(truth):
        return sums
    largest = logits.max(axis=-1, keepdims=True)
    is_lost = ~np.isfinite(largest)  # a network that has diverged knows nothing
    relative = np.where(is_lost, np.float32(0), logits - np.where(is_lost, np.float32(0), largest))
    # Sums over rows are faster than those over columns.
    relative = np.ascontiguousarray(np.maximum(relative, -_LARGEST_DIFFERENCE).T)
    of_truth = relative[truth, np.arange(len(truth))]
    is_right = truth == class_ids
    for place, temperature in enumerate(TEMPERATURES):
        beta = np.float32(1 / temperature)
        log_sums = np.log(np.exp(relative * beta).sum(axis=0))
        losses = log_sums - beta * of_truth
        confidences = np.exp(-log_sums)
        bins = np.clip(np.ceil(confidences * np.float32(NUM_BINS)).astype(np.int64) - 1, 0, NUM_BINS - 1)
        sums.losses[place] = int(np.rint(losses * _UNITS).astype(np.int64).sum())
        sums.counts[place] = np.bincount(bins, minlength=NUM_BINS)
        sums.correct[place] = np.bincount(bins[is_right], minlength=NUM_BINS)
        sums.confidences[place] = np.bincount(bins, np.rint(confidences * _UNITS), NUM_BINS)
    return sums


class TemperatureFit:
    """Fits a temperature to the pixels of an evaluation, and judges it on pixels that it was not fitted to.

    One temperature is fitted to the first half of the batches and one to the second; each is judged on the other half.
    An observer of `fcn8s.evaluation.evaluate.evaluate_model`.

    Attributes:
        halves: The `TemperatureSums` of both halves.
    """

    fetches = ('sampled_pixels',)

    def __init__(self, num_batches: int, first: int = 0, step: int = 1) -> None:
        """
        Args:
            num_batches: Batches of the whole evaluation.
            first, step: Which of them will be added: batch first, first + step, ...
        """
        self.halves = [no_sums(), no_sums()]
        self._num_batches = num_batches
        self._number, self._step = first, step

    def add(self, images: Any, labels: Any, values: Dict[str, Any]) -> None:
        """Takes in a batch; only 'sampled_pixels' is looked at, (logits, truth, class_ids) of `sum_at_temperatures`."""
        half = int(2 * self._number >= self._num_batches)
        self.halves[half] += sum_at_temperatures(*values['sampled_pixels'])
        self._number += self._step


def shown_temperature(temperature: float) -> str:
    """Returns a fitted temperature as text, with 'or less' or 'or more' at an end of the range that was tried."""
    beyond = {TEMPERATURES[0]: ' or less', TEMPERATURES[-1]: ' or more'}
    return '{:.2f}{}'.format(temperature, beyond.get(temperature, ''))


def summarize_temperature(halves: Sequence[TemperatureSums]) -> Dict[str, float]:
    """Returns the temperature that fits, and the calibration error that it leaves.

    Returns:
        'fitted_temperature' is the one of TEMPERATURES with the smallest mean loss (negative log likelihood) over all
        pixels. 'cross_fitted_calibration_error' is the expected calibration error when each half has the temperature
        that was fitted to the other. Both are NaN where a half has no pixel.
    """
    if not all(half.counts[0].any() for half in halves):
        return {'fitted_temperature': float('nan'), 'cross_fitted_calibration_error': float('nan')}
    first, second = halves
    # Each half is judged at the temperature that was fitted to the other.
    judged = [(first, second.best()), (second, first.best())]
    counts, correct, confidences = [
        np.sum([np.asarray(half[field])[best] for half, best in judged], axis=0) for field in (1, 2, 3)
    ]
    return {
        'fitted_temperature': TEMPERATURES[(first + second).best()],
        'cross_fitted_calibration_error': expected_calibration_error(counts, correct, confidences / _UNITS),
    }
