import math

import numpy as np
import pytest

from fcn8s.training import schedules


def test_a_constant_rate_stays():
    schedule = schedules.constant(1e-3)
    assert [schedule(0), schedule(10**9)] == [1e-3, 1e-3]


def test_steps_change_at_the_boundary_itself():
    schedule = schedules.steps(1.0, [2.0, 5], factor=0.5)
    assert [schedule(step) for step in range(7)] == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_polynomial_by_hand():
    schedule = schedules.polynomial(2.0, 4, power=2.0, end_rate=1.0)
    assert [schedule(step) for step in range(6)] == pytest.approx([2, 1.5625, 1.25, 1.0625, 1, 1])
    assert schedules.polynomial(1e-4, 10)(5) == pytest.approx(1e-4 * math.sqrt(0.5) ** 1.8)


def test_cosine_by_hand():
    schedule = schedules.cosine(2.0, 4)
    half_root = math.sqrt(2) / 2
    assert [schedule(step) for step in range(6)] == pytest.approx([2, 1 + half_root, 1, 1 - half_root, 0, 0])


def test_a_warm_up_of_all_steps_is_told(recwarn):
    schedules.parse_schedule('poly:1e-4+warmup:99', 100)
    assert not recwarn
    schedules.parse_schedule('poly:1e-4+warmup:100', 100)
    assert 'warms up for 100 steps, and the training has 100, so that it never' in str(recwarn.pop().message)


def test_warm_up_rises_to_the_schedule_and_never_starts_at_zero():
    schedule = schedules.with_warm_up(schedules.polynomial(1.0, 10, power=1.0), 3)
    assert [schedule(step) for step in range(5)] == pytest.approx([0.25 * 1, 0.5 * 0.9, 0.75 * 0.8, 0.7, 0.6])
    assert schedules.with_warm_up(schedules.constant(1.0), 0)(0) == 1.0
    assert schedules.with_warm_up(schedules.constant(1.0), np.uint8(255))(0) == 1 / 256


@pytest.mark.parametrize(
    'text, expected',
    [
        ('1e-4', schedules.constant(1e-4)),
        ('constant:1e-4', schedules.constant(1e-4)),
        ('poly:1e-4', schedules.polynomial(1e-4, 100)),
        ('poly:1e-4:2', schedules.polynomial(1e-4, 100, power=2)),
        ('cosine:1e-3', schedules.cosine(1e-3, 100)),
        ('cosine:1e-3:1e-5', schedules.cosine(1e-3, 100, end_rate=1e-5)),
        ('steps:1e-3:10,60', schedules.steps(1e-3, [10, 60])),
        ('steps:1e-3:10,60:0.5', schedules.steps(1e-3, [10, 60], factor=0.5)),
        ('poly:1e-4+warmup:7', schedules.with_warm_up(schedules.polynomial(1e-4, 100), 7)),
    ],
)
def test_texts_become_schedules(text, expected):
    schedule = schedules.parse_schedule(text, total_steps=100)
    assert [schedule(step) for step in range(120)] == [expected(step) for step in range(120)]


@pytest.mark.parametrize(
    'text, message',
    [
        ('polly:1e-4', "'polly' with 1 value"),
        ('poly:fast', "'fast' is not a number"),
        ('poly:-1', 'rate is -1.0; it has to be a number above 0'),
        ('poly:1e-4:0.9:3', "'poly' with 3 value"),
        ('steps:1e-3', "'steps' with 1 value"),
        ('steps:1e-3:20,10', 'increasing steps'),
        ('steps:1e-3:1.5', '1.5'),
        ('poly:1e-4+warmup:soon', 'soon'),
        ('', "'' is not a number"),
    ],
)
def test_parse_schedule_names_the_text_and_the_forms(text, message):
    with pytest.raises(ValueError) as error:
        schedules.parse_schedule(text, total_steps=100)
    assert repr(text) in str(error.value)
    assert message in str(error.value)
    assert 'cosine:RATE[:END_RATE]' in str(error.value)


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda: schedules.constant(0), 'rate is 0; it has to be a number above 0'),
        (lambda: schedules.constant(float('nan')), 'rate is nan'),
        (lambda: schedules.constant(float('inf')), 'rate is inf'),
        (lambda: schedules.steps(1.0, []), 'boundaries is []'),
        (lambda: schedules.steps(1.0, [0, 3]), 'the first at least 1'),
        (lambda: schedules.steps(1.0, [math.nan]), 'boundaries is [nan]'),
        (lambda: schedules.polynomial(1.0, math.inf), 'total_steps is inf; it has to be at least 1, and finite'),
        (lambda: schedules.steps(1.0, [1], factor=2), 'factor is 2'),
        (lambda: schedules.constant('1e-4'), "rate is '1e-4'; it has to be a number above 0"),
        (lambda: schedules.polynomial(1.0, '20'), "total_steps is '20'; it has to be at least 1"),
        (lambda: schedules.polynomial(1.0, 0), 'total_steps is 0'),
        (lambda: schedules.polynomial(1.0, 5, power=0), 'power is 0'),
        (lambda: schedules.cosine(1.0, 5, end_rate=2.0), 'end_rate is 2.0; it has to be from 0 to the rate 1.0'),
        (lambda: schedules.polynomial(1.0, 5, power='2'), 'power is 2; it has to be above 0'),
        (lambda: schedules.with_warm_up(schedules.constant(1.0), -1), 'warm_up_steps is -1'),
        (lambda: schedules.with_warm_up(schedules.constant(1.0), float('inf')), 'warm_up_steps is inf'),
        (lambda: schedules.with_warm_up(1e-4, 10), 'schedule is of the type float; it has to be a function step ->'),
        (lambda: schedules.parse_schedule(1e-4, 10), 'The schedule is 0.0001; it has to be text, such as poly:1e-4'),
    ],
)
def test_schedules_refuse_settings_out_of_range(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)
