"""An average of the trained weights over a training: exponential (EMA), or equal over the last epochs (SWA).

Each trained variable has a second one of its shape, `optimizer/raw_weights/...`. During training steps the network's
own variables hold the raw weights and the second ones the average; at rest, which is whenever the network predicts, is
evaluated or is saved, the two have changed places. A saved network therefore has the averaged weights for whoever opens
it, and its checkpoint also holds the raw weights, under the name that says so. The exchange is exact.
"""

from typing import NamedTuple, Optional, Sequence, Tuple

from fcn8s.backend import Operation, Variable, tf
from fcn8s.graph.update_rules import zeros_in_the_shape_of, zeros_to_keep
from fcn8s.optimizers import OptimizerSettings

SCOPE = 'optimizer/raw_weights'

# An exponential average begins with poor weights. So after n updates it looks back over about n / WARM_UP of them,
# until that is as far as its decay looks back.
WARM_UP = 9.0


class WeightAverage(NamedTuple):
    """Ops and variables of one average.

    count: float32 scalar variable: how many states of the weights are in the average; 0 where there is none yet.
    exchange: swaps the network's weights with the second ones.
    update: adds the current weights to the average.
    restart: forgets the average.
    state: the variables made here, all among the global variables.
    """

    count: Variable
    exchange: Operation
    update: Operation
    restart: Operation
    state: Tuple[Variable, ...]


def build_weight_average(
    variables: Sequence[Variable], settings: OptimizerSettings, after: Optional[Operation] = None
) -> WeightAverage:
    """Adds an average of `variables` to the current graph. Call it outside of any variable scope.

    The n-th state w of the weights changes the average a to d a + (1 - d) w. For an exponential average,
    d = min(ema, (n - 1) / (n + 8)): the first state is copied, and the initial weights do not count, whereas
    `tf.train.ExponentialMovingAverage`, with d = min(decay, (1 + t) / (10 + t)), gives them a share. For an equal
    average, d = (n - 1) / n (Izmailov et al., UAI 2018, algorithm 1).

    Args:
        variables: resource or reference variables, float32.
        settings: with `ema` or `swa`.
        after: what `update` waits for.
    """
    with tf.variable_scope(SCOPE):
        others = [zeros_in_the_shape_of(variable, variable.op.name) for variable in variables]
        count = tf.get_variable('count', [], tf.float32, tf.zeros_initializer(), trainable=False, use_resource=True)
        state = tuple(others) + (count,)
        return WeightAverage(
            count,
            tf.group(*[_exchange(variable, other) for variable, other in zip(variables, others)], name='exchange'),
            _update(variables, others, count, settings, after),
            tf.group(*[tf.assign(v, zeros_to_keep(v.shape.as_list())).op for v in state], name='restart'),
            state,
        )


def _exchange(variable: Variable, other: Variable) -> Operation:
    value = variable.read_value()
    if variable.op.outputs[0].dtype != tf.resource:
        value = tf.raw_ops.DeepCopy(x=value)  # reading a reference gives its memory, which is written to below
    other_value = other.read_value()
    with tf.control_dependencies([value, other_value]):
        return tf.group(tf.assign(variable, other_value).op, tf.assign(other, value).op)


def _update(
    variables: Sequence[Variable],
    others: Sequence[Variable],
    count: Variable,
    settings: OptimizerSettings,
    after: Optional[Operation],
) -> Operation:
    with tf.control_dependencies([] if after is None else [after]):
        before = count.read_value()
        if settings.ema is None:
            share = 1.0 / (before + 1.0)
        else:
            share = 1.0 - tf.minimum(tf.constant(settings.ema, tf.float32), before / (before + WARM_UP))
        # a <- a - share (a - w): at a = w it stays exactly there.
        updates = [
            tf.raw_ops.ResourceApplyGradientDescent(
                var=other.handle, alpha=share, delta=other.read_value() - variable.read_value()
            )
            for variable, other in zip(variables, others)
        ]
        with tf.control_dependencies([before]):
            updates.append(tf.assign_add(count, 1.0).op)
        return tf.group(*updates, name='update')
