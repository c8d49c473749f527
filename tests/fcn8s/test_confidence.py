"""Temperature scaling against the soft-max of divided logits, in float64 and one pixel at a time."""

import math

import numpy as np
import pytest

from fcn8s import at_temperature
from fcn8s.confidence import check_temperature

LOGITS = np.random.RandomState(0).normal(0, 4, size=(5, 6, 4))


def slow_softmax(logits, temperature=1.0):
    result = np.empty(logits.shape)
    for place in np.ndindex(logits.shape[:-1]):
        powers = [math.exp(logit / temperature) for logit in logits[place]]
        result[place] = [power / sum(powers) for power in powers]
    return result


@pytest.mark.parametrize('temperature', [0.05, 0.7, 1, 1.25, 40, np.float32(2)])
def test_a_soft_max_at_a_temperature_is_that_of_the_divided_logits(temperature):
    found = at_temperature(slow_softmax(LOGITS).astype(np.float32), temperature)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_softmax(LOGITS, temperature), atol=1e-5)


def test_a_temperature_of_1_changes_no_bit_and_others_do_not_touch_their_argument():
    probabilities = slow_softmax(LOGITS).astype(np.float32)
    before = probabilities.copy()
    assert at_temperature(probabilities, 1.0) is probabilities
    at_temperature(probabilities, 3.0)
    np.testing.assert_array_equal(probabilities, before)


@pytest.mark.parametrize('temperature', [0.01, 100.0])
def test_a_probability_of_0_stays_finite(temperature):
    found = at_temperature(np.array([[0, 0.25, 0.75]], np.float32), temperature)
    assert np.isfinite(found).all() and found.sum() == pytest.approx(1)
    assert found[0, 0] < found[0, 1] < found[0, 2] or temperature == 0.01 and found[0, 2] == 1


@pytest.mark.parametrize('wrong', [0, -1, 0.009, 101, math.nan, math.inf, True, None, '2'])
def test_what_is_no_temperature(wrong):
    with pytest.raises(
        ValueError, match='temperature is .*; it has to be a number from 0.01 to 100: 1 changes nothing'
    ):
        check_temperature(wrong)
    with pytest.raises(ValueError, match='temperature is'):
        at_temperature(np.ones((1, 1), np.float32), wrong)


@pytest.mark.parametrize('wrong', [[[-1.5, 4.0]], [[2.0, 3.0]], [[math.nan, 1.0]], [[0.1, 0.2]], [['0.5', '0.5']], 0.5])
def test_what_is_no_soft_max_has_no_temperature(wrong):
    """Of logits those below 0 would all become one number."""
    with pytest.raises(ValueError, match='The probabilities .* they have to be'):
        at_temperature(np.array(wrong), 2.0)


def test_a_soft_max_of_8_bits_has_a_temperature():
    rounded = np.round(np.full([1, 150], 1 / 150) * 256) / 256
    assert at_temperature(rounded, 2.0).sum() == pytest.approx(1)
