"""The training step: Adam or the paper's SGD, with decay, clipping, accumulation over batches and loss scaling.

Everything is plain TensorFlow ops on variables, without conditional branches. All state (slots, accumulated gradients,
loss scale) lies in global variables under the fixed names `optimizer/...`, so that checkpoints of one build fit the
next.
"""

from typing import Any, Collection, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from fcn8s.backend import tf
from fcn8s.graph.losses import Loss
from fcn8s.optimizers import OptimizerSettings, check_optimizer_settings, rate_factors
from helpers.flags import check_rule

STATE_SCOPE = 'optimizer'

ADAM_BETA1 = 0.9
ADAM_BETA2 = 0.999
ADAM_EPSILON = 1e-8

# Scaled gradients have to stay within float16's range in float16 layers, and within float32's elsewhere.
MIN_LOSS_SCALE = 2.0**-10
MAX_LOSS_SCALE = 2.0**24

# Ops whose result shares memory with their input.
_VIEWS = ('Identity', 'Reshape')

FloatOrTensor = Union[float, tf.Tensor]


class LossScaling(NamedTuple):
    """Dynamic loss scaling (Micikevicius et al., ICLR 2018, section 3.2), needed where gradients pass through float16.

    A step whose gradient is not finite changes no weight and no slot and halves the scale; `growth_steps` good steps in
    a row double it.
    """

    initial: float = 2.0**15
    growth_steps: int = 2000


class TrainOps(NamedTuple):
    """What a training loop runs; every op takes one fed batch.

    accumulate_op: adds the batch's gradient to the accumulated one, for the first k - 1 of k batches; None when k is 1.
    apply_op: takes the k-th batch, changes the weights, clears the accumulated gradient and counts the global step (a
        step that loss scaling skips counts too, so that steps stay in line with the batches drawn).
    loss_scale: float32 scalar variable, or None without loss scaling.
    parts: the variables made here, all among the global variables: those of the rule, the sums of gradients, those of
        loss scaling. The variables of a part make sense only together.
    trained: the variables that a step changes.
    accumulated: the part that sums the gradients of the batches before the last; 0 between steps.
    """

    accumulate_op: Optional[tf.Operation]
    apply_op: tf.Operation
    loss_scale: Optional[tf.Variable]
    parts: Tuple[Tuple[tf.Variable, ...], ...]
    trained: Tuple[tf.Variable, ...]
    accumulated: Tuple[tf.Variable, ...]

    @property
    def state(self) -> Tuple[tf.Variable, ...]:
        """The variables of all parts."""
        return tuple(variable for part in self.parts for variable in part)


def build_train_op(
    loss: Loss,
    penalty: Optional[tf.Tensor],
    variables: Sequence[tf.Variable],
    learning_rate: tf.Tensor,
    global_step: tf.Variable,
    settings: OptimizerSettings,
    loss_scaling: Optional[LossScaling] = None,
    name: str = 'train_op',
    exchange: Optional[Any] = None,
    scope: str = STATE_SCOPE,
    of_encoder: Collection[tf.Variable] = (),
) -> TrainOps:
    """Adds the ops of a training step to the current graph. Call it outside of any variable scope.

    The ops wait for the values of the loss and the penalty, so fetching these in the same run gives the values before
    the step.

    Args:
        loss: the data loss of the fed batch. k accumulated batches give the gradient of sum(weight x value) /
            sum(weight), or of sum(value) where the weight is None.
        penalty: float32 scalar that depends on variables only (`losses.l2_penalty`); enters once per step, whatever k.
        variables: those to train; resource or reference variables. Rank 1 is a bias, everything else a kernel.
        learning_rate: float32 scalar.
        global_step: integer variable; grows by 1 with each run of apply_op.
        settings: see OptimizerSettings.
        loss_scaling: None for no scaling.
        name: of apply_op, within the current name scope.
        exchange: a `fcn8s.distributed.exchange.Exchange`, which adds up the gradients of several workers; None for one.
        scope: variable scope of the state.
        of_encoder: those of `variables` that are left out if they have no gradient, as TensorFlow's `minimize` does:
            normalisation statistics, say, in an encoder of someone else's.

    Raises:
        ValueError: for settings out of range, no variables, a variable that the loss does not depend on (or all those
            of the encoder), or a pattern of the rate multipliers that matches none of them.
    """
    settings = check_optimizer_settings(settings)
    if not variables:
        raise ValueError('There are no variables to train: everything is frozen.')
    with tf.variable_scope(scope):
        scale = _LossScale(loss_scaling) if loss_scaling else None
        loss = exchange.of_share(loss) if exchange else loss
        variables, gradients = _loss_gradients(loss.value, variables, scale, of_encoder)
        accumulation = _Accumulation(variables, loss.weight) if settings.accumulate_batches > 1 else None
        totals = _totals(gradients, loss, accumulation, exchange)
        totals = _add_penalty_gradients(totals, penalty, variables)
        finite = _all_finite(totals) if scale else None
        directions = _decay(_clip(totals, settings.gradient_clip_norm), variables, settings.weight_decay)
        directions = _after_readers(directions, gradients, variables)
        rates = _rates(variables, learning_rate, settings)
        # After the check, SGD has a momentum, and Adam has none.
        rule = _Adam(variables) if settings.momentum is None else _Momentum(variables, settings.momentum)
        with tf.control_dependencies([loss.value] + ([] if penalty is None else [penalty])):
            updates = rule.apply(_zero_unless(finite, directions), rates, finite)
        with tf.control_dependencies(updates):
            updates = updates + [tf.assign_add(global_step, 1).op]
            updates += accumulation.clear() if accumulation else []
            updates += scale.update(finite) if scale else []
        parts = [part for part in (rule, accumulation, scale) if part]
        return TrainOps(
            accumulation.add(gradients) if accumulation else None,
            tf.group(*updates, name=name),
            scale.scale if scale else None,
            tuple(part.state for part in parts),
            tuple(variables),
            accumulation.state if accumulation else (),
        )


def _totals(
    gradients: Sequence[tf.Tensor], loss: Loss, accumulation: Optional['_Accumulation'], exchange: Optional[Any]
) -> List[tf.Tensor]:
    """The gradient of a step: of this batch, the batches accumulated before it, and those of other workers."""
    if exchange is None:
        return accumulation.totals(gradients) if accumulation else list(gradients)
    weighted = _weighted(gradients, loss.weight)
    return exchange.add_up(accumulation.added(weighted) if accumulation else weighted, loss)


def _weighted(gradients: Sequence[tf.Tensor], weight: Optional[tf.Tensor]) -> List[tf.Tensor]:
    return list(gradients) if weight is None else [gradient * weight for gradient in gradients]


def _loss_gradients(
    value: tf.Tensor,
    variables: Sequence[tf.Variable],
    scale: Optional['_LossScale'],
    of_encoder: Collection[tf.Variable],
) -> Tuple[List[tf.Variable], List[tf.Tensor]]:
    """The variables to train, and d value / d variable, computed through value x scale where there is a scale."""
    gradients = tf.gradients(value if scale is None else value * scale.current, variables)
    encoder = {variable.op.name for variable in of_encoder}
    unused = [v.op.name for v, gradient in zip(variables, gradients) if gradient is None]
    if not encoder.issuperset(unused) or (unused and encoder.issubset(unused)):
        raise ValueError(
            'The loss does not depend on the variables {}; leave them out of those to train.'.format(', '.join(unused))
        )
    trained = [(v, gradient) for v, gradient in zip(variables, gradients) if gradient is not None]
    gradients = [tf.cast(tf.convert_to_tensor(gradient), tf.float32) for _, gradient in trained]
    return [v for v, _ in trained], gradients if scale is None else [gradient / scale.current for gradient in gradients]


def _add_penalty_gradients(
    gradients: Sequence[tf.Tensor], penalty: Optional[tf.Tensor], variables: Sequence[tf.Variable]
) -> List[tf.Tensor]:
    if penalty is None:
        return list(gradients)
    return [
        gradient if extra is None else gradient + extra
        for gradient, extra in zip(gradients, tf.gradients(penalty, variables))
    ]


def _clip(gradients: Sequence[tf.Tensor], clip_norm: Optional[float]) -> List[tf.Tensor]:
    """g x min(1, clip_norm / |g|) (Pascanu et al., ICML 2013, algorithm 1)."""
    if clip_norm is None:
        return list(gradients)
    factor = clip_norm / tf.maximum(tf.global_norm(gradients), clip_norm)
    return [gradient * factor for gradient in gradients]


def _decay(gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable], weight_decay: float) -> List[tf.Tensor]:
    if not weight_decay:
        return list(gradients)
    return [
        gradient if _is_bias(variable) else gradient + weight_decay * variable
        for gradient, variable in zip(gradients, variables)
    ]


def _after_readers(
    directions: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
) -> List[tf.Tensor]:
    """Lets the direction of each variable wait for the ops of the backward pass that read the variable.

    TensorFlow copies a variable that is updated while an op holds its value: VGG-16's fc6, 411 MB, in every step.
    """
    of_backward_pass = _ops_before(gradients)
    waiting = []
    for direction, variable in zip(directions, variables):
        with tf.control_dependencies([op for op in _readers(variable) if op in of_backward_pass]):
            waiting.append(tf.identity(direction))
    return waiting


def _ops_before(tensors: Sequence[tf.Tensor]) -> Set[tf.Operation]:
    """All ops that the tensors are computed from."""
    found: Set[tf.Operation] = set()
    left = [tensor.op for tensor in tensors]
    while left:
        op = left.pop()
        if op not in found:
            found.add(op)
            left += [source.op for source in op.inputs] + list(op.control_inputs)
    return found


def _readers(variable: tf.Variable) -> List[tf.Operation]:
    """The ops that use the value of a resource variable, also through `_VIEWS` of it."""
    if not _is_resource(variable):
        return []
    found: List[tf.Operation] = []
    left = [op for op in _reference(variable).consumers() if op.type == 'ReadVariableOp']
    while left:
        consumers = left.pop().outputs[0].consumers()
        left += [op for op in consumers if op.type in _VIEWS]
        found += [op for op in consumers if op.type not in _VIEWS]
    return found


def _rates(variables: Sequence[tf.Variable], learning_rate: tf.Tensor, settings: OptimizerSettings) -> List[tf.Tensor]:
    bias_rate = learning_rate * settings.bias_rate_multiplier
    rates = [bias_rate if _is_bias(variable) else learning_rate for variable in variables]
    factors = rate_factors([variable.op.name for variable in variables], settings.rate_multipliers)
    return [rate if factor == 1 else rate * factor for rate, factor in zip(rates, factors)]


def _is_bias(variable: tf.Variable) -> bool:
    return variable.shape.ndims == 1


def _all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.reduce_all(tf.stack([tf.reduce_all(tf.is_finite(tensor)) for tensor in tensors]))


def _zero_unless(keep: Optional[tf.Tensor], tensors: Sequence[tf.Tensor]) -> List[tf.Tensor]:
    return list(tensors) if keep is None else [tf.where_v2(keep, t, tf.zeros([], t.dtype)) for t in tensors]


def _if_kept(keep: Optional[tf.Tensor], value: FloatOrTensor, otherwise: float) -> tf.Tensor:
    value = tf.convert_to_tensor(value, tf.float32)
    return value if keep is None else tf.where_v2(keep, value, tf.constant(otherwise, tf.float32))


def _is_resource(variable: tf.Variable) -> bool:
    return variable.op.outputs[0].dtype == tf.resource


def _reference(variable: tf.Variable) -> tf.Tensor:
    """What an Apply... op takes as a variable: the resource handle, or the reference in graphs of old encoders."""
    return variable.op.outputs[0]


def _zeros_like_variable(variable: tf.Variable, kind: str) -> tf.Variable:
    """A variable `optimizer/<kind>/<variable's name>` of zeros, of the same sort (resource or reference)."""
    return zeros_in_the_shape_of(variable, '{}/{}'.format(kind, variable.op.name), _is_resource(variable))


def zeros_in_the_shape_of(variable: tf.Variable, name: str, use_resource: bool = True) -> tf.Variable:
    """Returns a float32 variable of zeros that is not trained, called `name` within the current scope."""
    return tf.get_variable(
        name,
        variable.shape.as_list(),
        tf.float32,
        lambda shape, dtype=tf.float32, partition_info=None: zeros_to_keep(shape),
        trainable=False,
        use_resource=use_resource,
    )


def zeros_to_keep(shape: Sequence[int]) -> tf.Tensor:
    """Returns float32 zeros in memory of their own, for a variable to be assigned.

    TensorFlow folds `tf.zeros` into a constant. A variable takes over a constant's memory, its first update copies it,
    and the session keeps the constant: two buffers instead of one. `Empty` counts as stateful, so it is not folded.
    """
    return tf.raw_ops.Empty(shape=shape, dtype=tf.float32, init=True)


def _scalar_variable(name: str, value: float, dtype: tf.DType = tf.float32) -> tf.Variable:
    return tf.get_variable(name, [], dtype, tf.constant_initializer(value), trainable=False, use_resource=True)


class _Momentum:
    """V <- mu V + alpha (gradient + decay), W <- W - V: Caffe's SGD, with the rate inside the velocity.

    TensorFlow's own momentum multiplies the velocity by the rate, which differs as soon as the rate changes. Its fused
    op is used here with rate 1 and a gradient that is already multiplied by the rate.
    """

    def __init__(self, variables: Sequence[tf.Variable], momentum: float) -> None:
        self.variables = tuple(variables)
        self.momentum = momentum
        self.state = tuple(_zeros_like_variable(variable, 'velocity') for variable in variables)

    def apply(
        self, directions: Sequence[tf.Tensor], rates: Sequence[tf.Tensor], keep: Optional[tf.Tensor]
    ) -> List[tf.Operation]:
        """Returns update ops. Where `keep` is False, momentum 1 and rate 0 leave velocity and weights unchanged."""
        momentum, rate_outside = _if_kept(keep, self.momentum, 1.0), _if_kept(keep, 1.0, 0.0)
        updates = []
        for variable, velocity, direction, rate in zip(self.variables, self.state, directions, rates):
            update = tf.raw_ops.ResourceApplyMomentum if _is_resource(variable) else tf.raw_ops.ApplyMomentum
            updates.append(
                _operation(
                    update(
                        var=_reference(variable),
                        accum=_reference(velocity),
                        lr=rate_outside,
                        grad=rate * direction,
                        momentum=momentum,
                    )
                )
            )
        return updates


class _Adam:
    """Adam (Kingma and Ba, ICLR 2015), in the "epsilon hat" form of section 2 that TensorFlow's fused op computes."""

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        self.variables = tuple(variables)
        self.first_moments = tuple(_zeros_like_variable(variable, 'adam_m') for variable in variables)
        self.second_moments = tuple(_zeros_like_variable(variable, 'adam_v') for variable in variables)
        self.beta1_power = _scalar_variable('adam_beta1_power', ADAM_BETA1)
        self.beta2_power = _scalar_variable('adam_beta2_power', ADAM_BETA2)
        self.state = self.first_moments + self.second_moments + (self.beta1_power, self.beta2_power)

    def apply(
        self, directions: Sequence[tf.Tensor], rates: Sequence[tf.Tensor], keep: Optional[tf.Tensor]
    ) -> List[tf.Operation]:
        """Returns update ops. Where `keep` is False, betas 1 and rate 0 leave moments and weights unchanged."""
        beta1, beta2 = _if_kept(keep, ADAM_BETA1, 1.0), _if_kept(keep, ADAM_BETA2, 1.0)
        beta1_power, beta2_power = tf.identity(self.beta1_power), tf.identity(self.beta2_power)
        updates = []
        for variable, m, v, direction, rate in zip(
            self.variables, self.first_moments, self.second_moments, directions, rates
        ):
            update = tf.raw_ops.ResourceApplyAdam if _is_resource(variable) else tf.raw_ops.ApplyAdam
            updates.append(
                _operation(
                    update(
                        var=_reference(variable),
                        m=_reference(m),
                        v=_reference(v),
                        beta1_power=beta1_power,
                        beta2_power=beta2_power,
                        lr=_if_kept(keep, rate, 0.0),
                        beta1=beta1,
                        beta2=beta2,
                        epsilon=ADAM_EPSILON,
                        grad=direction,
                    )
                )
            )
        with tf.control_dependencies(updates):
            return updates + [
                tf.assign(self.beta1_power, beta1_power * beta1).op,
                tf.assign(self.beta2_power, beta2_power * beta2).op,
            ]


def _operation(result: Union[tf.Operation, tf.Tensor]) -> tf.Operation:
    """The operation of an Apply... op, which returns the reference for references and the operation for resources."""
    return result.op if isinstance(result, tf.Tensor) else result


class _Accumulation:
    """Sums of weight x gradient and of weight over batches; with a weight of None, plain sums of the gradients."""

    def __init__(self, variables: Sequence[tf.Variable], weight: Optional[tf.Tensor]) -> None:
        self.weight = weight
        self.sums = tuple(
            zeros_in_the_shape_of(variable, 'accumulated_gradient/' + variable.op.name) for variable in variables
        )
        self.weight_sum = None if weight is None else _scalar_variable('accumulated_weight', 0.0)
        self.state = self.sums + (() if weight is None else (self.weight_sum,))

    def add(self, gradients: Sequence[tf.Tensor]) -> tf.Operation:
        """Adds one batch."""
        updates = [
            tf.assign_add(total, gradient) for total, gradient in zip(self.sums, _weighted(gradients, self.weight))
        ]
        if self.weight is not None:
            updates.append(tf.assign_add(self.weight_sum, self.weight))
        return tf.group(*updates, name='accumulate_op')

    def added(self, weighted: Sequence[tf.Tensor]) -> List[tf.Tensor]:
        """Returns the sums with one more batch; the stored sums do not change."""
        return [total + gradient for total, gradient in zip(self.sums, weighted)]

    def totals(self, gradients: Sequence[tf.Tensor]) -> List[tf.Tensor]:
        """Returns the gradient of all batches so far and of this one; 0 where none of them has any weight."""
        totals = self.added(_weighted(gradients, self.weight))
        if self.weight is None:
            return totals
        per_weight = tf.div_no_nan(1.0, self.weight_sum + self.weight)
        return [total * per_weight for total in totals]

    def clear(self) -> List[tf.Operation]:
        return [tf.assign(variable, zeros_to_keep(variable.shape.as_list())).op for variable in self.state]


class _LossScale:
    """The scale of the loss and the number of good steps since it last changed."""

    def __init__(self, scaling: LossScaling) -> None:
        check_rule(
            MIN_LOSS_SCALE <= scaling.initial <= MAX_LOSS_SCALE,
            'the initial loss scale',
            scaling.initial,
            'from {} to {}'.format(MIN_LOSS_SCALE, MAX_LOSS_SCALE),
        )
        check_rule(scaling.growth_steps >= 1, 'growth_steps of the loss scale', scaling.growth_steps, 'at least 1')
        self.growth_steps = scaling.growth_steps
        self.scale = _scalar_variable('loss_scale', scaling.initial)
        self.good_steps = _scalar_variable('loss_scale_good_steps', 0, tf.int32)
        self.current = tf.identity(self.scale)
        self.state = (self.scale, self.good_steps)

    def update(self, finite: tf.Tensor) -> List[tf.Operation]:
        good_steps = tf.where_v2(finite, self.good_steps + 1, 0)
        grows = tf.greater_equal(good_steps, self.growth_steps)
        scale = tf.where_v2(finite, tf.where_v2(grows, self.current * 2.0, self.current), self.current * 0.5)
        return [
            tf.assign(self.scale, tf.clip_by_value(scale, MIN_LOSS_SCALE, MAX_LOSS_SCALE)).op,
            tf.assign(self.good_steps, tf.where_v2(grows, 0, good_steps)).op,
        ]
