"""How sure a network is: the bins of its confidence, and the temperature of its soft-max.

A temperature makes a soft-max as sure as it is right (Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural
Networks", ICML 2017, section 4.2): with logits z and a temperature T it is soft-max(z / T). The logarithm of a soft-max
p differs from its logits by one constant per pixel, which does not change a soft-max, so that soft-max(ln p / T) is the
same. A temperature therefore suits any probabilities: those of an export, or a mean over samples, tiles, scales or
networks. It is applied last and does not change the predicted classes.
"""

import numpy as np

from helpers.flags import is_real

# The bins of the expected calibration error.
NUM_BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
# Keeps the logarithm of a probability of 0 finite. TensorFlow's CPU kernels flush smaller numbers to 0.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)
# Bounds of the sum of a soft-max that was rounded to 8 bits: 150 classes that are about equally likely add up to 1.2.
_LOWEST_SUM, _HIGHEST_SUM = 0.5, 1.5


def check_temperature(temperature: float, name: str = 'temperature') -> None:
    """Raises ValueError unless it is a number from MIN_TEMPERATURE to MAX_TEMPERATURE."""
    if not is_real(temperature) or not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:  # NaN is in no range
        raise ValueError(
            '{} is {!r}; it has to be a number from {:g} to {:g}: 1 changes nothing, more makes the soft-max less '
            'sure. fcn8s evaluate MODEL --calibration prints the one that fits.'.format(
                name, temperature, MIN_TEMPERATURE, MAX_TEMPERATURE
            )
        )


def check_probabilities(probabilities: np.ndarray) -> None:
    """Raises ValueError unless each vector over the last axis is a soft-max, as far as 8 bits a number hold one."""
    probabilities = np.asarray(probabilities)
    if probabilities.ndim == 0 or probabilities.dtype.kind not in 'fiu':
        raise ValueError(
            'The probabilities are of the dtype {} and the shape {}; they have to be numbers [..., C].'.format(
                probabilities.dtype, probabilities.shape
            )
        )
    if not probabilities.size:
        return
    low, sums = probabilities.min(), probabilities.sum(axis=-1, dtype=np.float32)
    if not low >= 0 or not sums.min() >= _LOWEST_SUM or not sums.max() <= _HIGHEST_SUM:  # NaN is in no range
        raise ValueError(
            'The probabilities begin at {:g} and add up to {:g} to {:g} in a pixel; they have to be at least 0 and add '
            'up to 1, as predict(images, argmax=False) gives them. Of logits take the soft-max first.'.format(
                low, sums.min(), sums.max()
            )
        )


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns soft-max(ln p / T) over the last axis; for a temperature of 1, the array itself.

    Args:
        probabilities: float32 [..., C], adding up to 1, as `predict(images, argmax=False)` gives them; not logits.
        temperature: T, in the range of `check_temperature`.

    Returns:
        float32 [..., C]. The order of the classes does not change, but rounding may make two equal: take `argmax` of
        `probabilities`.

    Raises:
        ValueError: for a temperature out of its range, or values that are no probabilities.
    """
    check_temperature(temperature)
    if temperature == 1:
        return probabilities
    check_probabilities(probabilities)
    powers = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    powers -= powers.max(axis=-1, keepdims=True)
    powers *= np.float32(1 / temperature)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers
