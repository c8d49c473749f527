"""The sweep of rates and one batch by heart, against trainings that are made up."""

import numpy as np
import pytest

from fcn8s.stopping import TrainingInterrupted
from fcn8s.training.probes import (
    check_sweep,
    overfit_one_batch,
    rising_rates,
    smooth,
    suggest_rate,
    sweep_rates,
)
from fcn8s.training.request import TrainingEvent


def train_with(loss_at):
    """A `train` whose loss is a function of rate and step."""
    calls = []

    def train(batches, epochs, steps_per_epoch, schedule, callbacks, **options):
        calls.append((next(batches), options))
        for step in range(epochs * steps_per_epoch):
            scores = {'loss': loss_at(schedule(step), step), 'learning_rate': schedule(step)}
            for callback in callbacks:
                callback(TrainingEvent('step', step + 1, scores, None))
                callback(TrainingEvent('epoch', step + 1, {}, None))

    train.calls = calls
    return train


def test_rates_rise_by_the_same_factor():
    rates = [rising_rates(1e-5, 1e-1, 5)(step) for step in range(6)]
    np.testing.assert_allclose(rates, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e-1])


def test_smoothing_weighs_each_loss_by_its_age():
    losses = [3.0, 1.0, 2.0, 5.0]
    for count, found in enumerate(smooth(losses), 1):
        weights = [0.8 ** (count - 1 - place) for place in range(count)]
        assert found == pytest.approx(sum(w * v for w, v in zip(weights, losses)) / sum(weights))


def test_a_sweep_ends_when_the_loss_explodes_and_suggests_the_steepest_fall():
    train = train_with(lambda rate, step: 3.0 - 2.0 / (1 + (1e-3 / rate) ** 4) + (1000.0 * rate) ** 3 * 1e-4)
    sweep = sweep_rates(train, iter([7]), 1e-6, 1.0, 200, keep_prob=0.5)
    assert train.calls == [(7, {'keep_prob': 0.5})]
    assert len(sweep.rates) < 200 and sweep.rates[-1] < 0.2
    assert 5e-4 < sweep.suggestion < 3e-3
    np.testing.assert_allclose(sweep.smoothed, smooth(sweep.losses.tolist()))


def test_a_sweep_looks_at_each_loss_once():
    class Loss:
        looked_at = 0

        def __float__(self):
            Loss.looked_at += 1
            return 3.0 - 0.001 * Loss.looked_at

    sweep = sweep_rates(train_with(lambda rate, step: Loss()), iter([0]), steps=300)
    np.testing.assert_allclose(sweep.losses, 3.0 - 0.001 * np.arange(1, 301))
    assert Loss.looked_at == 300


def test_a_loss_that_is_not_finite_ends_the_sweep():
    def loss(rate, step):
        if step == 20:
            raise FloatingPointError
        return 3.0 - 0.1 * step

    sweep = sweep_rates(train_with(loss), iter([0]), steps=50)
    assert len(sweep.losses) == 20 and sweep.suggestion is not None


def test_a_loss_that_is_not_finite_at_the_first_step_says_why():
    def loss(rate, step):
        raise FloatingPointError('the loss is nan at step 0')

    with pytest.raises(FloatingPointError, match='nan at step 0'):
        sweep_rates(train_with(loss), iter([0]), steps=50)


def test_a_loss_that_never_falls_suggests_nothing():
    assert sweep_rates(train_with(lambda rate, step: 3.0), iter([0]), steps=30).suggestion is None
    assert suggest_rate(np.ones(3), np.array([3.0, 2.0, 1.0])) is None


@pytest.mark.parametrize(
    'arguments, message',
    [
        ((0, 1, 50), 'the rates go from 0 to 1; both have to be above 0'),
        ((1e-2, 1e-3, 50), 'the rates go from 0.01 to 0.001'),
        ((1e-6, float('inf'), 50), 'the rates go from'),
        ((1e-6, 1.0, 7), 'steps is 7; it has to be a whole number from 8 to 100000'),
    ],
)
def test_sweeps_that_cannot_work(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_sweep(*arguments)


@pytest.mark.parametrize('accuracy, learned', [(0.96, True), (0.9, False)])
def test_one_batch_by_heart(accuracy, learned):
    batch = ('images', 'labels')
    train = train_with(lambda rate, step: 2.0 - step)

    def evaluate(batches, count):
        assert next(batches) == batch and count == 1
        return {'accuracy': accuracy}

    found = overfit_one_batch(train, evaluate, batch, 2, lambda step: 1e-3, l2_regularization=0.5)
    assert train.calls == [(batch, {'keep_prob': 1.0, 'l2_regularization': 0.5})]
    assert (found.first_loss, found.last_loss, found.learned) == (2.0, 1.0, learned)


def test_one_batch_needs_a_step():
    with pytest.raises(ValueError, match='it has to be 1 step or more'):
        overfit_one_batch(None, None, None, 0, None)


@pytest.mark.parametrize(
    'probe',
    [
        lambda train: sweep_rates(train, iter([7])),
        lambda train: overfit_one_batch(train, None, (None, None), 3, lambda step: 1.0),
    ],
)
def test_an_interrupted_probe_has_nothing_to_go_on_with(probe):
    def train(*_, **__):
        raise TrainingInterrupted('SIGINT after step 3. Nothing was saved: training with run_dir keeps it.', 'SIGINT')

    with pytest.raises(TrainingInterrupted, match='^SIGINT. Nothing was saved.$') as raised:
        probe(train)
    assert raised.value.signal_name == 'SIGINT'
