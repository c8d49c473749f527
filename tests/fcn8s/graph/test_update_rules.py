import numpy as np
import pytest
from graphs import ops_before

from fcn8s import optimizers
from fcn8s.backend import tf
from fcn8s.graph import losses, update_rules, weight_average
from fcn8s.graph.update_rules import LossScaling
from fcn8s.optimizers import OptimizerSettings

FEATURES, CLASSES = 3, 4
IGNORE_ID = 255


class Trainer:
    """A linear classifier per pixel, w [1, 1, 3, 4] and b [4], with one training step built by the library."""

    def __init__(self, settings, loss_scaling=None, l2_rate=0.0, use_resource=True, **loss_options):
        self.graph = tf.Graph()
        rng = np.random.RandomState(0)
        self.start = {
            'w': rng.normal(size=(1, 1, FEATURES, CLASSES)).astype(np.float32),
            'b': rng.normal(size=CLASSES).astype(np.float32),
        }
        with self.graph.as_default():
            self.features = tf.placeholder(tf.float32, [None, None, None, FEATURES])
            self.labels = tf.placeholder(tf.uint8, [None, None, None])
            self.rate = tf.placeholder(tf.float32, [])
            self.factor = tf.placeholder_with_default(1.0, [])
            self.variables = {
                name: tf.get_variable(name, initializer=value, use_resource=use_resource)
                for name, value in self.start.items()
            }
            logits = tf.nn.conv2d(self.features, self.variables['w'], [1, 1, 1, 1], 'SAME') + self.variables['b']
            loss = losses.build_loss(logits, *losses.sparse_labels(self.labels, IGNORE_ID), **loss_options)
            self.penalty = losses.l2_penalty([self.variables['w']], l2_rate)
            self.loss = losses.Loss(loss.value * self.factor, loss.weight)
            self.global_step = tf.get_variable(
                'global_step', [], tf.int64, tf.zeros_initializer(), trainable=False, use_resource=True
            )
            self.ops = update_rules.build_train_op(
                self.loss,
                self.penalty,
                list(self.variables.values()),
                self.rate,
                self.global_step,
                settings,
                loss_scaling,
            )
            self.session = tf.Session(graph=self.graph)
            self.session.run(tf.global_variables_initializer())

    def run(self, fetches, batch=None, rate=0.1, factor=1.0):
        feed = {self.rate: rate, self.factor: factor}
        if batch is not None:
            feed.update({self.features: batch[0], self.labels: batch[1]})
        return self.session.run(fetches, feed)

    def step(self, *batches, **options):
        for batch in batches[:-1]:
            self.run(self.ops.accumulate_op, batch, **options)
        self.run(self.ops.apply_op, batches[-1], **options)

    def weights(self):
        return self.run(self.variables)

    def state(self):
        return {variable.op.name: value for variable, value in zip(self.ops.state, self.run(self.ops.state))}


def make_batch(seed, images=2, valid_share=0.7):
    rng = np.random.RandomState(seed)
    labels = rng.randint(0, CLASSES, size=(images, 4, 5)).astype(np.uint8)
    labels[rng.uniform(size=labels.shape) > valid_share] = IGNORE_ID
    return rng.normal(size=labels.shape + (FEATURES,)).astype(np.float32), labels


def reference_gradient(weights, batch, normalize='mean'):
    """Gradient of the cross-entropy of the linear classifier, from the valid pixels alone."""
    features, labels = batch
    x, y = features[labels != IGNORE_ID].astype(np.float64), labels[labels != IGNORE_ID]
    z = x @ weights['w'][0, 0].astype(np.float64) + weights['b']
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    divisor = len(y) if normalize == 'mean' else 1
    return {'w': (x.T @ p / divisor)[None, None], 'b': p.sum(axis=0) / divisor}


def assert_weights(trainer, expected, rtol=2e-5):
    for name, value in trainer.weights().items():
        np.testing.assert_allclose(value, expected[name], rtol=rtol, atol=2e-6, err_msg=name)


RATES = [0.1, 0.1, 0.02, 0.05]


@pytest.mark.parametrize('use_resource', [True, False])
def test_sgd_is_caffes(use_resource):
    """V <- mu V + alpha (g + lambda w), w <- w - V; biases at twice the rate without decay. Rates change on the way."""
    settings = OptimizerSettings('sgd', momentum=0.9, weight_decay=0.05, bias_rate_multiplier=2.0)
    trainer = Trainer(settings, use_resource=use_resource)
    expected = {name: value.astype(np.float64) for name, value in trainer.start.items()}
    velocity = {'w': 0.0, 'b': 0.0}
    for step, rate in enumerate(RATES):
        trainer.step(make_batch(step), rate=rate)
        gradient = reference_gradient(expected, make_batch(step))
        velocity['w'] = 0.9 * velocity['w'] + rate * (gradient['w'] + 0.05 * expected['w'])
        velocity['b'] = 0.9 * velocity['b'] + 2 * rate * gradient['b']
        expected = {name: expected[name] - velocity[name] for name in expected}
    assert_weights(trainer, expected)
    assert trainer.run(trainer.global_step) == len(RATES)


def adam_reference(weights, gradients_of, rates, decay=0.0):
    """Algorithm 1 of Kingma and Ba with bias-corrected moments; weights after len(rates) steps."""
    m, v = dict.fromkeys(weights, 0.0), dict.fromkeys(weights, 0.0)
    for step, rate in enumerate(rates):
        gradient = gradients_of(weights, step)
        gradient['w'] = gradient['w'] + decay * weights['w']
        for name in weights:
            m[name] = 0.9 * m[name] + 0.1 * gradient[name]
            v[name] = 0.999 * v[name] + 0.001 * gradient[name] ** 2
            m_hat, v_hat = m[name] / (1 - 0.9 ** (step + 1)), v[name] / (1 - 0.999 ** (step + 1))
            weights = dict(weights, **{name: weights[name] - rate * m_hat / (np.sqrt(v_hat) + 1e-8)})
    return weights


@pytest.mark.parametrize('use_resource', [True, False])
def test_adam(use_resource):
    trainer = Trainer(OptimizerSettings('adam', weight_decay=0.05), use_resource=use_resource)
    for step, rate in enumerate(RATES):
        trainer.step(make_batch(step), rate=rate)
    expected = adam_reference(
        trainer.start, lambda weights, step: reference_gradient(weights, make_batch(step)), RATES, decay=0.05
    )
    assert_weights(trainer, expected, rtol=1e-4)


@pytest.mark.parametrize('use_resource', [True, False])
def test_a_rate_multiplier_of_sgd_scales_the_step(use_resource):
    """w at 10 times the rate, with its decay; b at half of its double rate; clipped before, over two batches a step."""
    settings = OptimizerSettings(
        'sgd', 0.9, 0.05, 2.0, gradient_clip_norm=0.1, accumulate_batches=2, rate_multipliers={'w': 10, 'b': 0.5}
    )
    trainer = Trainer(settings, use_resource=use_resource)
    expected = {name: value.astype(np.float64) for name, value in trainer.start.items()}
    velocity = {'w': 0.0, 'b': 0.0}
    for step, rate in enumerate(RATES):
        batches = [make_batch(2 * step), make_batch(2 * step + 1)]
        trainer.step(*batches, rate=rate)
        gradient = reference_gradient(expected, tuple(np.concatenate(parts) for parts in zip(*batches)))
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        clipped = {name: g * min(1, 0.1 / norm) for name, g in gradient.items()}
        velocity['w'] = 0.9 * velocity['w'] + 10 * rate * (clipped['w'] + 0.05 * expected['w'])
        velocity['b'] = 0.9 * velocity['b'] + 0.5 * 2 * rate * clipped['b']
        expected = {name: expected[name] - velocity[name] for name in expected}
    assert_weights(trainer, expected)


@pytest.mark.parametrize('use_resource', [True, False])
def test_a_rate_multiplier_of_adam_scales_the_update(use_resource):
    trainer = Trainer(OptimizerSettings('adam', rate_multipliers={'*': 7, 'w': 3, 'b': 1}), use_resource=use_resource)
    weights = {name: value.astype(np.float64) for name, value in trainer.start.items()}
    m, v = dict.fromkeys(weights, 0.0), dict.fromkeys(weights, 0.0)
    for step, rate in enumerate(RATES, 1):
        trainer.step(make_batch(step), rate=rate)
        gradient = reference_gradient(weights, make_batch(step))
        for name, factor in (('w', 3), ('b', 1)):
            m[name] = 0.9 * m[name] + 0.1 * gradient[name]
            v[name] = 0.999 * v[name] + 0.001 * gradient[name] ** 2
            m_hat, v_hat = m[name] / (1 - 0.9**step), v[name] / (1 - 0.999**step)
            weights[name] = weights[name] - factor * rate * m_hat / (np.sqrt(v_hat) + 1e-8)
    assert_weights(trainer, weights, rtol=1e-4)


def test_without_multipliers_the_graph_is_the_same():
    def operations(settings):
        return [operation.node_def for operation in Trainer(settings).graph.get_operations()]

    plain = operations(OptimizerSettings())
    assert plain == operations(OptimizerSettings(rate_multipliers={'w': 1}))
    assert plain != operations(OptimizerSettings(rate_multipliers={'w': 2}))


NAMES = [
    'conv1/conv1_1/weights',
    'fc6/weights',
    'fc7/biases',
    'decoder/score_fc7/kernel',
    'decoder/upsample_fc7/kernel',
]


@pytest.mark.parametrize(
    'text, factors',
    [
        ('fc6,fc7,score=10', [1, 10, 10, 10, 1]),
        ('*=2; fc=3;decoder/score=0.5', [2, 3, 3, 0.5, 2]),
        ('fc6=10 *=2 fc6=5', [2, 5, 2, 2, 2]),
        ('conv1_1=4  *kernel=.25', [4, 1, 1, 0.25, 0.25]),
    ],
)
def test_patterns_of_rate_multipliers(text, factors):
    assert optimizers.rate_factors(NAMES, optimizers.parse_rate_multipliers(text)) == factors


def test_checked_settings_have_rate_multipliers_as_pairs_or_none():
    """A run of other settings is not resumed, and older ones have None."""
    pairs = [optimizers.optimizer_settings('adam', rate_multipliers=each).rate_multipliers for each in ({'fc6': 2}, {})]
    assert pairs == [(('fc6', 2.0),), None]


@pytest.mark.parametrize(
    'text', ['', 'fc6', 'fc6=', 'fc6=a', '=3', 'fc6,=3', 'fc6=1,fc7=2', 'fc6=0', 'fc6=nan', 'fc6=-1']
)
def test_refused_texts_of_rate_multipliers(text):
    with pytest.raises(ValueError, match='rate.multiplier'):
        optimizers.parse_rate_multipliers(text)


def test_a_pattern_without_a_variable_is_refused_with_the_layers_there_are():
    with pytest.raises(ValueError) as error:
        optimizers.rate_factors(NAMES, [('fc6', 2), ('score_fc8', 10)])
    assert "'score_fc8', which matches no variable that is trained. These are: conv1/conv1_1, fc6, fc7, " in str(
        error.value
    )


def test_the_papers_settings():
    assert OptimizerSettings('sgd', 0.99, 5e-4, 2.0) == optimizers.PAPER_SGD
    assert optimizers.check_optimizer_settings(OptimizerSettings('sgd')).momentum == 0.99


@pytest.mark.parametrize('name', ['adam', 'sgd'])
def test_accumulation_equals_one_large_batch(name):
    """Batches of 1, 3 and 2 images with different shares of valid pixels, decay, L2 and clipping, over two steps."""
    settings = OptimizerSettings(name, weight_decay=0.03, gradient_clip_norm=0.2)
    parts = [make_batch(0, 1, 0.2), make_batch(1, 3, 0.9), make_batch(2, 2, 0.5)]
    whole = tuple(np.concatenate(arrays) for arrays in zip(*parts))
    large, small = Trainer(settings, l2_rate=0.02), Trainer(settings._replace(accumulate_batches=3), l2_rate=0.02)
    for _ in range(2):
        large.step(whole)
        small.step(*parts)
    assert_weights(small, large.weights(), rtol=1e-4)
    assert small.run(small.global_step) == 2


def test_accumulation_of_sums_adds_up():
    settings = OptimizerSettings('sgd', momentum=0.0)
    parts = [make_batch(0, 1), make_batch(1, 2)]
    whole = tuple(np.concatenate(arrays) for arrays in zip(*parts))
    large = Trainer(settings, normalize='sum')
    small = Trainer(settings._replace(accumulate_batches=2), normalize='sum')
    large.step(whole)
    small.step(*parts)
    assert_weights(small, large.weights())


def test_accumulation_of_a_loss_function_takes_the_mean_of_its_values():
    def hinge(logits, labels, valid):
        return tf.reduce_sum(tf.nn.relu(1.0 - logits))

    parts = [make_batch(0, 1), make_batch(1, 2)]
    trainer = Trainer(OptimizerSettings('sgd', momentum=0.0, accumulate_batches=2), loss=hinge)
    singles = [Trainer(OptimizerSettings('sgd', momentum=0.0), loss=hinge) for _ in parts]
    trainer.step(*parts, rate=0.01)
    for single, part in zip(singles, parts):
        single.step(part, rate=0.01)
    means = {name: sum(single.weights()[name] for single in singles) / 2 for name in ('w', 'b')}
    assert_weights(trainer, means)


def test_batches_without_a_valid_pixel_change_nothing_alone_and_count_nothing_among_others():
    empty, full = make_batch(0, valid_share=0.0), make_batch(1)
    trainer = Trainer(OptimizerSettings('sgd', accumulate_batches=2))
    trainer.step(empty, empty)
    assert_weights(trainer, trainer.start, rtol=0)
    trainer.step(empty, full)
    alone = Trainer(OptimizerSettings('sgd'))
    alone.step(full)
    assert_weights(trainer, alone.weights())


def test_accumulators_exist_only_where_they_are_needed():
    names = [variable.op.name for variable in Trainer(OptimizerSettings('sgd')).ops.state]
    assert names == ['optimizer/velocity/w', 'optimizer/velocity/b']
    trainer = Trainer(OptimizerSettings('adam', accumulate_batches=2))
    assert sorted(trainer.state()) == [
        'optimizer/accumulated_gradient/b',
        'optimizer/accumulated_gradient/w',
        'optimizer/accumulated_weight',
        'optimizer/adam_beta1_power',
        'optimizer/adam_beta2_power',
        'optimizer/adam_m/b',
        'optimizer/adam_m/w',
        'optimizer/adam_v/b',
        'optimizer/adam_v/w',
    ]
    with trainer.graph.as_default():
        assert set(trainer.ops.state) <= set(tf.global_variables())
        assert sorted(variable.op.name for variable in tf.trainable_variables()) == ['b', 'w']


def test_clipping_scales_the_whole_gradient_before_decay():
    trainer = Trainer(OptimizerSettings('sgd', momentum=0.0, weight_decay=0.1, gradient_clip_norm=0.05))
    gradient = reference_gradient(trainer.start, make_batch(0))
    norm = np.sqrt(sum(np.sum(part**2) for part in gradient.values()))
    assert norm > 0.05
    trainer.step(make_batch(0))
    assert_weights(
        trainer,
        {
            'w': trainer.start['w'] - 0.1 * (gradient['w'] * 0.05 / norm + 0.1 * trainer.start['w']),
            'b': trainer.start['b'] - 0.1 * gradient['b'] * 0.05 / norm,
        },
    )


def test_a_gradient_shorter_than_the_clip_norm_stays_as_it_is():
    clipped = Trainer(OptimizerSettings('sgd', gradient_clip_norm=100.0))
    free = Trainer(OptimizerSettings('sgd'))
    for trainer in (clipped, free):
        trainer.step(make_batch(0))
    assert_weights(clipped, free.weights(), rtol=0)


def test_the_penalty_pulls_kernels_only():
    trainer = Trainer(OptimizerSettings('sgd', momentum=0.0), l2_rate=0.5)
    gradient = reference_gradient(trainer.start, make_batch(0))
    trainer.step(make_batch(0))
    assert_weights(
        trainer,
        {
            'w': trainer.start['w'] - 0.1 * (gradient['w'] + 0.5 * trainer.start['w']),
            'b': trainer.start['b'] - 0.1 * gradient['b'],
        },
    )


def test_losses_fetched_with_the_step_are_those_before_it():
    trainer = Trainer(OptimizerSettings('sgd'), l2_rate=0.5)
    for _ in range(20):
        before = trainer.run([trainer.loss.value, trainer.penalty], make_batch(0))
        during = trainer.run([trainer.loss.value, trainer.penalty, trainer.ops.apply_op], make_batch(0))
        assert during[:2] == before


@pytest.mark.parametrize('name', ['adam', 'sgd'])
def test_loss_scaling_changes_no_step(name):
    scaled = Trainer(OptimizerSettings(name), LossScaling(initial=2.0**12))
    plain = Trainer(OptimizerSettings(name))
    for trainer in (scaled, plain):
        for step in range(3):
            trainer.step(make_batch(step))
    assert_weights(scaled, plain.weights())


@pytest.mark.parametrize('name', ['adam', 'sgd'])
@pytest.mark.parametrize('batches', [1, 2])
@pytest.mark.parametrize('bad', [np.inf, np.nan])
def test_a_step_that_is_not_finite_is_skipped_exactly_and_halves_the_scale(name, batches, bad):
    trainer = Trainer(OptimizerSettings(name, weight_decay=0.01, accumulate_batches=batches), LossScaling(initial=64.0))
    given = [make_batch(seed) for seed in range(batches)]
    trainer.step(*given)
    weights, state = trainer.weights(), trainer.state()
    trainer.step(*given, factor=bad)
    for variable, value in trainer.weights().items():
        np.testing.assert_array_equal(value, weights[variable])
    changed = {variable for variable, value in trainer.state().items() if not np.array_equal(value, state[variable])}
    assert changed == {'optimizer/loss_scale', 'optimizer/loss_scale_good_steps'}
    assert trainer.run(trainer.ops.loss_scale) == 32.0
    assert trainer.run(trainer.global_step) == 2
    trainer.step(*given)
    assert not np.array_equal(trainer.weights()['w'], weights['w'])


def test_the_scale_doubles_after_enough_good_steps_in_a_row():
    trainer = Trainer(OptimizerSettings('sgd', momentum=0.0), LossScaling(initial=8.0, growth_steps=3))
    scales = []
    for factor in [1, 1, np.inf, 1, 1, 1, 1]:
        trainer.step(make_batch(0), factor=factor)
        scales.append(float(trainer.run(trainer.ops.loss_scale)))
    assert scales == [8, 8, 4, 4, 4, 8, 8]


def test_the_scale_stays_between_its_bounds():
    scaling = LossScaling(initial=update_rules.MAX_LOSS_SCALE, growth_steps=1)
    trainer = Trainer(OptimizerSettings('sgd', momentum=0.0), scaling)
    trainer.step(make_batch(0), rate=0.0)
    assert trainer.run(trainer.ops.loss_scale) == update_rules.MAX_LOSS_SCALE
    for _ in range(40):
        trainer.step(make_batch(0), factor=np.inf)
    assert trainer.run(trainer.ops.loss_scale) == update_rules.MIN_LOSS_SCALE


def test_biases_rate_with_adam():
    once, twice = Trainer(OptimizerSettings('adam')), Trainer(OptimizerSettings('adam', bias_rate_multiplier=2.0))
    for trainer in (once, twice):
        trainer.step(make_batch(0))
    np.testing.assert_array_equal(once.weights()['w'], twice.weights()['w'])
    np.testing.assert_allclose(
        twice.weights()['b'] - twice.start['b'], 2 * (once.weights()['b'] - once.start['b']), rtol=1e-5
    )


@pytest.mark.parametrize(
    'settings, message',
    [
        (OptimizerSettings('rmsprop'), "optimizer is 'rmsprop'; it has to be one of adam, sgd"),
        (OptimizerSettings('adam', momentum=0.9), 'momentum is 0.9, but Adam has its own moments'),
        (OptimizerSettings('sgd', momentum=1.0), 'momentum is 1.0; it has to be at least 0 and below 1'),
        (OptimizerSettings(weight_decay=-1e-4), 'weight_decay is -0.0001; it has to be at least 0'),
        (OptimizerSettings(weight_decay=True), 'weight_decay is True; it has to be a number'),
        (OptimizerSettings(swa=True), 'swa is True; it has to be a number'),
        (OptimizerSettings(bias_rate_multiplier=0), 'bias_rate_multiplier is 0; it has to be above 0'),
        (OptimizerSettings(gradient_clip_norm=0), 'gradient_clip_norm is 0; it has to be finite and above 0, such as'),
        (
            OptimizerSettings(gradient_clip_norm=float('inf')),
            'gradient_clip_norm is inf; it has to be finite and above 0, such as 10. Leave it out',
        ),
        (OptimizerSettings(accumulate_batches=0), 'accumulate_batches is 0; it has to be a whole number of at least 1'),
        (OptimizerSettings(accumulate_batches=1.5), 'accumulate_batches is 1.5'),
        (OptimizerSettings(rate_multipliers='fc6=1'), "rate_multipliers is 'fc6=1'; it has to be a dict"),
        (OptimizerSettings(rate_multipliers=3), 'rate_multipliers is 3; it has to be a dict'),
        (OptimizerSettings(rate_multipliers={6: 1}), 'a pattern of rate_multipliers is 6'),
        (OptimizerSettings(rate_multipliers={'fc6': 0}), "the rate multiplier of 'fc6' is 0; it has to be a finite"),
        (
            OptimizerSettings(rate_multipliers={'fc6': float('inf')}),
            "'fc6' is inf; it has to be a finite number above 0",
        ),
        (OptimizerSettings(rate_multipliers={'fc6': '2'}), "the rate multiplier of 'fc6' is '2'"),
    ],
)
def test_refused_settings(settings, message):
    with pytest.raises(ValueError) as error:
        optimizers.check_optimizer_settings(settings)
    assert message in str(error.value)


def test_settings_that_no_optimizer_has_are_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match='foo came, which no optimizer has; its settings are name, momentum, weight_'):
        optimizers.optimizer_settings('adam', foo=1)


@pytest.mark.parametrize(
    'scaling, message',
    [
        (LossScaling(initial=0.0), 'the initial loss scale is 0.0; it has to be from'),
        (LossScaling(growth_steps=0), 'growth_steps of the loss scale is 0; it has to be at least 1'),
    ],
)
def test_refused_loss_scaling(scaling, message):
    with pytest.raises(ValueError) as error:
        Trainer(OptimizerSettings(), scaling)
    assert message in str(error.value)


def test_variables_that_cannot_be_trained_are_refused():
    with tf.Graph().as_default():
        used, unused = (tf.get_variable(name, [2], use_resource=True) for name in ('used', 'unused'))
        loss = losses.Loss(tf.reduce_sum(used), tf.ones([]))
        step = tf.get_variable('step', [], tf.int64, use_resource=True)
        with pytest.raises(ValueError) as error:
            update_rules.build_train_op(loss, None, [used, unused], tf.constant(0.1), step, OptimizerSettings())
        assert 'does not depend on the variables unused' in str(error.value)
        with pytest.raises(ValueError) as error:
            update_rules.build_train_op(loss, None, [], tf.constant(0.1), step, OptimizerSettings())
        assert 'no variables to train' in str(error.value)


@pytest.mark.parametrize('is_first_trained', [True, False])
def test_a_variable_is_updated_after_the_backward_pass_has_read_it(is_first_trained):
    """Else TensorFlow copies it first. What the step does not need stays out of it."""
    with tf.Graph().as_default() as graph:
        features = tf.placeholder(tf.float32, [None, 3])
        first, second = (tf.get_variable(name, [3, 3], use_resource=True) for name in ('first', 'second'))
        reshaped = tf.reshape(tf.reshape(second, [9]), [3, 3])
        value = tf.reduce_sum(tf.square(tf.matmul(tf.nn.relu(tf.matmul(features, first)), reshaped)))
        step = tf.get_variable('step', [], tf.int64, tf.zeros_initializer(), use_resource=True)
        trained = [first, second] if is_first_trained else [second]
        update_rules.build_train_op(
            losses.Loss(value, None), None, trained, tf.constant(0.1), step, OptimizerSettings()
        )
        updates = {op.inputs[0].op.name: op for op in graph.get_operations() if op.type == 'ResourceApplyAdam'}
        products = {op for op in graph.get_operations() if op.type == 'MatMul'}
        # Forwards: two. Backwards: the gradient of each weight, and of what the second is multiplied with.
        assert len(products & ops_before(updates['second'])) == (4 if is_first_trained else 3)
        if is_first_trained:
            assert len(products & ops_before(updates['first'])) == 4


IN_PLACE = ('ResourceApplyAdam', 'ResourceApplyMomentum', 'ResourceApplyGradientDescent', 'AssignAddVariableOp')


def temporary_bytes(session, fetch):
    """The temporary memory of each op that changes a variable in place, by its name."""
    metadata = tf.RunMetadata()
    session.run(fetch, options=tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), run_metadata=metadata)
    updates = [op.name for op in session.graph.get_operations() if op.type in IN_PLACE]
    stats = [node for device in metadata.step_stats.dev_stats for node in device.node_stats]
    return {node.node_name: node.memory_stats.temp_memory_size for node in stats if node.node_name in updates}


@pytest.mark.parametrize('settings', [{'accumulate_batches': 2}, {'ema': 0.9}, {'name': 'sgd'}])
def test_no_update_copies_a_variable(settings):
    """TensorFlow 2 copies what shares its memory with a constant, in the first step at least.

    TensorFlow 1.15 does not tell of the memory of these ops.
    """
    settings = OptimizerSettings(**settings)
    with tf.Graph().as_default():
        weights = tf.get_variable('weights', initializer=tf.random_normal([64, 64], seed=0), use_resource=True)
        step = tf.get_variable('step', [], tf.int64, tf.zeros_initializer(), use_resource=True)
        loss = losses.Loss(tf.reduce_sum(tf.square(weights)), None)
        ops = update_rules.build_train_op(loss, None, [weights], tf.constant(0.1), step, settings)
        calls = [ops.accumulate_op, ops.apply_op] if ops.accumulate_op else [ops.apply_op]
        if settings.ema:
            average = weight_average.build_weight_average([weights], settings, ops.apply_op)
            calls = [average.update, average.restart]
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for fetch in 2 * calls:
                found = temporary_bytes(session, fetch)
                assert all(num_bytes < 4 * 64 * 64 for num_bytes in found.values()), found
                assert found or fetch.name.endswith('restart')
