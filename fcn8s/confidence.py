"""How sure a network is: the bins of its confidence, and the temperature of its soft-max.

A temperature makes a soft-max as sure as it is right (Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural
Networks", ICML 2017, section 4.2): with logits z and a temperature T it is soft-max(z / T). The logarithm of a soft-max
p differs from its logits by one number a pixel, which a soft-max does not see, so that soft-max(ln p / T) is the same:
whatever gives probabilities has a temperature, a mean over samples, tiles, scales or networks as well as an export. It
comes last, and leaves the classes alone.
"""

import numpy as np

from helpers.flags import is_real

# Of the expected calibration error.
NUM_BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
# Keeps the logarithm of a probability of 0 finite. Smaller numbers TensorFlow's CPU kernels flush to 0.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)
# What soft-max of 8 bits adds up to: with 150 classes that are nearly as likely 1.2.
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
    """Returns soft-max(ln p / T) over the last axis; of a temperature of 1, the array itself.

    Args:
        probabilities: float32 [..., C], adding up to 1, as `predict(images, argmax=False)` gives them; no logits.
        temperature: T, as of `check_temperature`.

    Returns:
        float32 [..., C]. The order of the classes stays; as rounding may make two of them equal, take `argmax` of
        `probabilities`.

    Raises:
        ValueError: The temperature is out of its range; the probabilities are none.
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
