"""Averages of the weights, against weights that callbacks and checkpoints saw, averaged in NumPy."""

import json
import os
import threading

import numpy as np
import pytest

from fcn8s import FCN8s, schedules
from fcn8s.backend import tf
from fcn8s.graph.update_rules import ADAM_BETA1
from fcn8s.graph.weight_average import SCOPE, build_weight_average
from fcn8s.optimizers import OptimizerSettings, check_optimizer_settings
from fcn8s.saving.saved_models import checkpoint_reader, variables_prefix


class _Data:
    def __init__(self):
        self.position = 0

    def __iter__(self):
        return self

    def __next__(self):
        rng = np.random.RandomState(self.position)
        self.position += 1
        return rng.randint(0, 256, [1, 32, 32, 3]).astype(np.uint8), rng.randint(0, 3, [1, 32, 32]).astype(np.uint8)

    def seek(self, position):
        self.position = position


def _read(checkpoint, name):
    with checkpoint_reader(variables_prefix(checkpoint)) as reader:
        return reader.get_tensor(name)


def _name(model, part='score'):
    return next(v.op.name for v in model.model.decoder.kernels if part in v.op.name)


def _open(encoder, settings, **more):
    return FCN8s(vgg16_dir=encoder, num_classes=3, optimizer=settings, freeze=3, **more)


def _train(model, run_dir, epochs=2, steps=3, resume=False, callbacks=(), data=None):
    val = _Data()
    return model.train(
        data or _Data(),
        epochs,
        steps,
        schedules.constant(1e-3),
        metrics={'loss'},
        eval_dataset='val',
        eval_frequency=1,
        val_generator=val,
        val_steps=1,
        save_frequency=1,
        run_dir=run_dir,
        resume=resume,
        record_summaries=False,
        callbacks=callbacks,
    )


def _expected_ema(states, decay):
    average = 0.0
    for n, state in enumerate(states, start=1):
        d = min(decay, (n - 1) / (n + 8))
        average = d * average + (1 - d) * state.astype(np.float64)
    return average


@pytest.mark.parametrize('accumulate', [1, 2])
def test_an_exponential_average_is_saved_beside_the_raw_weights_and_resumes_bit_for_bit(
    shallow_encoder, tmp_path, accumulate
):
    states, whole, parts = [], str(tmp_path / 'whole'), str(tmp_path / 'parts')
    settings = OptimizerSettings(ema=0.2, accumulate_batches=accumulate)

    with _open(shallow_encoder, settings) as model:
        name = _name(model)
        variable = model.graph.get_tensor_by_name(name + '/Read/ReadVariableOp:0')

        def collect(event):
            if event.kind == 'step':
                states.append(model.sess.run(variable))

        history = _train(model, whole, callbacks=[collect])
        num_ops = len(model.graph.get_operations())
        model.predict(np.zeros([1, 32, 32, 3], np.uint8))
        model.network.place_raw()
        model.network.place_average()
        assert len(model.graph.get_operations()) == num_ops
        np.testing.assert_array_equal(
            model.sess.run(variable), _read(os.path.join(whole, 'checkpoints/step-00000006'), name)
        )
    last = os.path.join(whole, 'checkpoints/step-00000006')
    np.testing.assert_array_equal(_read(last, SCOPE + '/' + name), states[-1])
    np.testing.assert_allclose(_read(last, name), _expected_ema(states, 0.2), rtol=1e-5, atol=1e-8)
    assert [record['weights'] for record in history] == ['average', 'average']
    if accumulate == 2:  # a run of a model that accumulates is resumed by tests/fcn8s/test_model.py
        return

    with _open(shallow_encoder, settings) as model:
        _train(model, parts, epochs=1)
    with FCN8s(model_load_dir=os.path.join(parts, 'checkpoints/step-00000003'), optimizer=settings, freeze=3) as model:
        resumed = _train(model, parts, resume=True)
    assert resumed[-1]['evaluation']['loss'] == history[-1]['evaluation']['loss']
    for stored in (name, SCOPE + '/' + name):
        np.testing.assert_array_equal(
            _read(os.path.join(parts, 'checkpoints/step-00000006'), stored), _read(last, stored)
        )
    with open(os.path.join(parts, 'config.json')) as file:
        assert json.load(file)['training']['optimizer']['ema'] == 0.2


def test_an_equal_average_of_the_last_epochs_and_a_run_that_goes_on_begins_it_anew(shallow_encoder, tmp_path):
    run, states = str(tmp_path / 'run'), []
    with _open(shallow_encoder, OptimizerSettings(swa=2)) as model:
        name = _name(model)
        variable = model.graph.get_tensor_by_name(name + '/Read/ReadVariableOp:0')

        def collect(event):
            if event.kind == 'step' and event.step % 2 == 0:
                states.append(model.sess.run(variable))

        history = _train(model, run, epochs=3, steps=2, callbacks=[collect])
        assert [record['weights'] for record in history] == ['raw', 'average', 'average']
        stored = _read(os.path.join(run, 'checkpoints/step-00000006'), name)
        np.testing.assert_allclose(stored, (states[1] + states[2]) / 2, rtol=1e-5, atol=1e-8)
        history = _train(model, run, epochs=5, steps=2, resume=True, callbacks=[collect])
        assert [record['weights'] for record in history] == ['average', 'average']
        stored = _read(os.path.join(run, 'checkpoints/step-00000010'), name)
        np.testing.assert_allclose(stored, (states[3] + states[4]) / 2, rtol=1e-5, atol=1e-8)
        with pytest.raises(ValueError, match='swa is 2; it has to be at most the 1 epoch'):
            _train(model, None, epochs=1)


def test_an_average_of_fewer_layers_is_begun_anew_and_leaves_the_weights(shallow_encoder, tmp_path):
    settings, run = OptimizerSettings(ema=0.5), str(tmp_path / 'run')
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=3, optimizer=settings, freeze='encoder') as model:
        _train(model, run, epochs=1, steps=1)
    with FCN8s(model_load_dir=run, optimizer=settings) as model:
        network = model.network
        before = model.sess.run(network.tensors.weights)
        assert network.weights_in_place == 'raw'
        power = next(v for v in network.tensors.state if v.op.name == 'optimizer/adam_beta1_power')
        assert model.sess.run(power) == np.float32(ADAM_BETA1)
        network.run_step(model.train_op, network.training_feed(*next(_Data()), 1.0, (0, 0), 0.0, 0.0))
        for value, expected in zip(model.sess.run(network.tensors.weights), before):
            np.testing.assert_array_equal(value, expected)


def test_variables_that_are_refused_change_neither_the_weights_nor_their_average(shallow_encoder, tmp_path):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as other:
        unfitting = other.save(str(tmp_path), saver='train_saver')
    with _open(shallow_encoder, OptimizerSettings(ema=0.5)) as model:
        _train(model, None, epochs=1)
        state = list(model.model.state)
        before = model.sess.run(state)
        for path, error in ((str(tmp_path / 'nothing'), FileNotFoundError), (unfitting, ValueError)):
            with pytest.raises(error):
                model.load_variables(path)
        for value, expected in zip(model.sess.run(state), before):
            np.testing.assert_array_equal(value, expected)


def test_without_an_average_the_graph_has_nothing_of_it(shallow_encoder):
    with _open(shallow_encoder, 'adam') as model:
        assert model.model.training.step_op is model.train_op
        assert not [op.name for op in model.graph.get_operations() if 'raw_weights' in op.name]


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(ema=1.0), 'ema is 1.0; it has to be above 0 and below 1'),
        (dict(ema=0.0), 'ema is 0.0'),
        (dict(ema=float('nan')), 'ema is nan'),
        (dict(ema='much'), "ema is 'much'; it has to be a number"),
        (dict(swa=0), 'swa is 0; it has to be a whole number of at least 1'),
        (dict(swa=1.5), 'swa is 1.5'),
        (dict(ema=0.9, swa=2), 'there is one average'),
    ],
)
def test_averages_refuse_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        check_optimizer_settings(OptimizerSettings(**settings))


@pytest.mark.parametrize('use_resource', [True, False])
def test_an_exchange_is_exact_for_either_sort_of_variable(use_resource):
    rng = np.random.RandomState(0)
    values = [rng.normal(size=[300]).astype(np.float32) for _ in range(3)]
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable('w', initializer=values[0], use_resource=use_resource)
        average = build_weight_average([variable], OptimizerSettings(swa=3))
        session.run(tf.global_variables_initializer())
        assign = tf.assign(variable, tf.placeholder_with_default(values[0], [300], 'fed'))
        for value in values:
            session.run(assign.op, {'fed:0': value})
            session.run(average.update)
        pair = (variable.read_value(), average.state[0].read_value())
        before = [np.array(value) for value in session.run(pair)]
        for wanted in (before[::-1], before):
            session.run(average.exchange)
            for found, value in zip(session.run(pair), wanted):
                np.testing.assert_array_equal(found, value)
        np.testing.assert_array_equal(before[0], values[2])
        np.testing.assert_allclose(before[1], np.mean(values, axis=0), rtol=1e-5, atol=1e-6)


def test_an_exponential_average_begins_anew_where_the_head_is_warmed_up_first(narrow_encoder, tmp_path):
    """Steps of the warm-up do not update it: evaluations would be of the weights before."""
    found = []
    for _ in range(2):
        settings = dict(optimizer=OptimizerSettings(ema=0.5), head_warmup=2)
        encoder = dict(vgg16_dir=narrow_encoder, num_classes=3) if not found else dict(model_load_dir=found[0][0])
        with FCN8s(**encoder, **settings) as model:
            run = str(tmp_path / 'run {}'.format(len(found)))
            history = _train(model, run, epochs=3, steps=2)
            found.append((run, [record['evaluation']['loss'] for record in history]))
    assert all(len(set(losses)) == 3 for _, losses in found), found


def test_a_prediction_in_another_thread_waits_for_the_step(shallow_encoder, monkeypatch):
    with _open(shallow_encoder, OptimizerSettings(ema=0.5)) as model:
        _train(model, None, epochs=1)
        network, seen = model.network, []
        run = network.run
        other = threading.Thread(target=network.place_average)

        def run_beside_another(fetches, feed=None):
            other.start()
            other.join(0.2)
            seen.append((other.is_alive(), network.weights_in_place))
            return run(fetches, feed)

        monkeypatch.setattr(network, 'run', run_beside_another)
        network.run_step(model.train_op, network.training_feed(*next(_Data()), 1.0, (0, 0), 0.0, 0.0))
        other.join()
        assert seen == [(True, 'raw')]
        assert network.weights_in_place == 'average'
