"""Puts a network together: encoder, decoder, predictor, loss, optimiser and scoring, in one graph.

No session and no file is touched here. The result is an immutable bundle of tensors; the class `FCN8s` runs them.
"""

from typing import Any, Callable, NamedTuple, Optional, Sequence, Tuple, Union

from fcn8s.backend import MetaGraphDef, Operation, Tensor, Variable, tf
from fcn8s.graph.decoder import Decoder, build_decoder_to_train
from fcn8s.graph.encoder import Encoder, import_encoder
from fcn8s.graph.losses import Loss, build_loss, l2_penalty, sparse_labels
from fcn8s.graph.scoring import PredictorTensors, Scoring, build_predictor, score_logits
from fcn8s.graph.update_rules import LossScaling, TrainOps, build_train_op
from fcn8s.graph.weight_average import WeightAverage, build_weight_average
from fcn8s.optimizers import OptimizerSettings, check_optimizer_settings, matching_multipliers
from fcn8s.settings import (
    NUM_BLOCKS,
    ModelSettings,
    check_freeze,
    check_head_warmup,
    check_loss,
    refuse_idle_warmup,
    refuse_warmup_of_several,
)
from helpers.counted import join_and_count, join_and_dots
from helpers.user_warnings import warn_user

GLOBAL_STEP = 'optimizer/global_step'
# The scope of the state of the steps that train the head alone.
WARMUP_SCOPE = 'optimizer/head_warmup'


class TrainingSettings(NamedTuple):
    """What the training part of a graph is made of; `fcn8s.graph.losses` and `fcn8s.optimizers` explain the settings.

    freeze: 'encoder', a number n for the encoder's first n blocks (conv1_* to convn_*), or None to train everything.
    head_warmup: all five blocks are frozen in the first `head_warmup` epochs; 0 for none.
    """

    optimizer: OptimizerSettings = OptimizerSettings()
    loss: Union[str, Callable] = 'cross_entropy'
    normalize: str = 'mean'
    class_weights: Optional[Sequence[float]] = None
    freeze: Optional[Union[str, int]] = None
    loss_scaling: Optional[LossScaling] = None
    label_smoothing: float = 0.0
    head_warmup: int = 0


class TrainingTensors(NamedTuple):
    """The training part. labels: uint8 [N, H, W] or one-hot [N, H, W, C]; the rest are float32 scalars and ops.

    total_loss: the value of `loss` plus `penalty`.
    step_op: a whole step: `ops.apply_op`, and the update of an exponential average of the weights, if there is one.
    average: the average of the weights; None without one.
    warmup: the ops of a step that trains the head alone, with their own state; None without a warm-up.
    """

    labels: Tensor
    l2_rate: Tensor
    loss: Loss
    penalty: Tensor
    total_loss: Tensor
    learning_rate: Tensor
    global_step: Variable
    ops: TrainOps
    scoring: Scoring
    step_op: Operation
    average: Optional[WeightAverage] = None
    warmup: Optional[TrainOps] = None


class NetworkTensors(NamedTuple):
    """A whole network in a graph: `FCN8s.model`. N images, H and W the image's size, C classes."""

    settings: ModelSettings
    encoder: Encoder
    decoder: Decoder
    predictor: PredictorTensors
    training: TrainingTensors

    @property
    def weights(self) -> Tuple[Variable, ...]:
        """The variables of the network itself, those that a prediction needs."""
        return self.encoder.variables + self.decoder.kernels + self.decoder.biases

    @property
    def state(self) -> Tuple[Variable, ...]:
        """Every variable that a training run needs to go on: the weights, the optimiser's state, the global step."""
        return self.weights + tuple(variable for group in self.state_groups for variable in group)

    @property
    def state_groups(self) -> Tuple[Tuple[Variable, ...], ...]:
        """The state without the weights, in groups that are restored whole or not at all.

        The averages of some layers are nothing without those of the others, nor are Adam's moments without the powers
        of beta that correct their bias.
        """
        average, warmup = self.training.average, self.training.warmup
        averaged = () if average is None else (average.state,)
        warmed_up = () if warmup is None else warmup.parts
        return self.training.ops.parts + averaged + warmed_up + ((self.training.global_step,),)


class PublishedTensors:
    """The attributes of `fcn8s.model.FCN8s` that scripts have fed and fetched since its first version."""

    images_uint8: Tensor
    image_input: Tensor
    keep_prob: Tensor
    pool3_out: Tensor
    pool4_out: Tensor
    fc7_out: Tensor
    fcn8s_output: Tensor
    softmax_output: Tensor
    predictions_argmax: Tensor
    labels: Tensor
    total_loss: Tensor
    train_op: Operation
    learning_rate: Tensor
    l2_regularization_rate: Tensor
    global_step: Variable


# Their places in `NetworkTensors`.
PUBLISHED_TENSORS = {
    'images_uint8': 'encoder.images_uint8',
    'image_input': 'encoder.image_input',
    'keep_prob': 'encoder.keep_prob',
    'pool3_out': 'encoder.pool3',
    'pool4_out': 'encoder.pool4',
    'fc7_out': 'encoder.fc7',
    'fcn8s_output': 'decoder.logits',
    'softmax_output': 'predictor.probabilities',
    'predictions_argmax': 'predictor.argmax',
    'labels': 'training.labels',
    'total_loss': 'training.total_loss',
    'train_op': 'training.ops.apply_op',
    'learning_rate': 'training.learning_rate',
    'l2_regularization_rate': 'training.l2_rate',
    'global_step': 'training.global_step',
}


def assemble(
    encoder_meta_graph: MetaGraphDef,
    settings: ModelSettings,
    training: TrainingSettings,
    exchange: Optional[Any] = None,
) -> NetworkTensors:
    """Builds a network in the current graph, from an encoder read by `fcn8s.saving.encoder_files.read_encoder`.

    exchange: as in `build_train_op`.

    Raises ValueError.
    """
    encoder = import_encoder(encoder_meta_graph)
    decoder = build_decoder_to_train(encoder.pool3, encoder.pool4, encoder.fc7, encoder.image_input, settings)
    predictor = build_predictor(decoder.logits)
    of_encoder = trained_encoder_variables(encoder.variables, training.freeze)
    warmed_up = _warmed_up(encoder.variables, training, exchange) if training.head_warmup else None
    tensors = _build_training(decoder, settings, training, of_encoder, warmed_up, exchange)
    _say_what_stays(of_encoder, tensors.ops.trained)
    return NetworkTensors(settings, encoder, decoder, predictor, tensors)


def _say_what_stays(of_encoder: Sequence[Variable], trained: Sequence[Variable]) -> None:
    names = {variable.op.name for variable in trained}
    left = [variable.op.name for variable in of_encoder if variable.op.name not in names]
    if left:
        warn_user(
            'the encoder calls {} trainable, but no gradient reaches {}: a training leaves {} as in the file.'.format(
                join_and_count(left, 6),
                *(('it', 'it') if len(left) == 1 else ('them', 'them')),
            )
        )


def _warmed_up(
    variables: Sequence[Variable], training: TrainingSettings, exchange: Optional[Any]
) -> Tuple[Variable, ...]:
    """The encoder variables that are trained during the warm-up of the head: those of fc6 and fc7."""
    if exchange is not None:
        refuse_warmup_of_several(training.head_warmup)
    found = trained_encoder_variables(variables, NUM_BLOCKS)
    if set(found) >= set(trained_encoder_variables(variables, training.freeze)):
        refuse_idle_warmup(training.head_warmup, training.freeze)
    return found


def trained_encoder_variables(variables: Sequence[Variable], freeze: Optional[Union[str, int]]) -> Tuple[Variable, ...]:
    """Returns the encoder variables that are trained: those that the encoder's file calls trainable and `freeze` does
    not freeze.

    Raises ValueError for an invalid `freeze`, or one whose blocks this encoder does not have.
    """
    trainable = [variable for variable in variables if variable.trainable]
    check_freeze(freeze)
    if freeze is None:
        return tuple(trainable)
    if isinstance(freeze, str):
        return ()
    blocks = ['conv{}_'.format(block) for block in range(1, freeze + 1)]
    names = [variable.op.name for variable in variables]
    for block in blocks:
        if not any(_is_of_block(name, block) for name in names):
            raise ValueError(
                'freeze is {!r}, but the encoder has no variables called {}*, with or without scopes before it: it has '
                "{}. Pass 'encoder' or None.".format(freeze, block, join_and_dots(names, 4))
            )
    return tuple(v for v in trainable if not any(_is_of_block(v.op.name, block) for block in blocks))


def check_training_settings(training: TrainingSettings) -> None:
    """Raises ValueError for the first setting that is wrong for any network; nothing is read or built."""
    check_optimizer_settings(training.optimizer)
    check_loss(training.loss, training.normalize, training.class_weights, training.label_smoothing)
    check_head_warmup(training.head_warmup)
    check_freeze(training.freeze, training.head_warmup)


def _is_of_block(name: str, block: str) -> bool:
    """Whether a part of a variable's name begins with `block`: `vgg_16/conv1/conv1_1/weights` is of `conv1_`."""
    return any(part.startswith(block) for part in name.split('/'))


def _build_training(
    decoder: Decoder,
    settings: ModelSettings,
    training: TrainingSettings,
    of_encoder: Sequence[Variable],
    warmed_up: Optional[Sequence[Variable]],
    exchange: Optional[Any],
) -> TrainingTensors:
    # Rank unknown: class IDs [N, H, W] and one-hot labels [N, H, W, C] both fit.
    labels = tf.placeholder(tf.uint8, name='labels_input')
    l2_rate = tf.placeholder_with_default(0.0, [], name='l2_regularization_rate')
    with tf.name_scope('loss'):
        class_ids, valid = sparse_labels(labels, settings.label_space.ignore_id)
        loss = build_loss(
            decoder.logits,
            class_ids,
            valid,
            training.loss,
            training.normalize,
            training.class_weights,
            training.label_smoothing,
        )
        penalty = l2_penalty(decoder.kernels, l2_rate)
    # With the trailing slash they get their published names inside `optimizer`, and the scope's name stays free.
    with tf.name_scope('optimizer/'):
        total_loss = tf.add(loss.value, penalty, name='total_loss')
        learning_rate = tf.placeholder(tf.float32, [], name='learning_rate')
        global_step = _global_step()
    of_decoder = decoder.kernels + decoder.biases
    ops = build_train_op(
        loss,
        penalty,
        tuple(of_encoder) + of_decoder,
        learning_rate,
        global_step,
        training.optimizer,
        training.loss_scaling,
        exchange=exchange,
        of_encoder=of_encoder,
    )
    warmup = None
    if warmed_up is not None:
        trained = {variable.op.name for variable in ops.trained}
        warmed_up = tuple(variable for variable in warmed_up if variable.op.name in trained) + of_decoder
        warmup = _build_warmup(loss, penalty, warmed_up, learning_rate, global_step, training)
    average = None
    if training.optimizer.averages_weights:
        average = build_weight_average(ops.trained, training.optimizer, ops.apply_op)
    step_op = ops.apply_op if average is None or training.optimizer.ema is None else average.update
    with tf.name_scope('scored_logits'):
        scoring = score_logits(decoder.logits, labels, class_ids, valid, settings.label_space)
    return TrainingTensors(
        labels=labels,
        l2_rate=l2_rate,
        loss=loss,
        penalty=penalty,
        total_loss=total_loss,
        learning_rate=learning_rate,
        global_step=global_step,
        ops=ops,
        scoring=scoring,
        step_op=step_op,
        average=average,
        warmup=warmup,
    )


def _global_step() -> Variable:
    return tf.get_variable(
        GLOBAL_STEP,
        [],
        tf.int64,
        tf.zeros_initializer(),
        trainable=False,
        use_resource=False,
        collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.GLOBAL_STEP],
    )


def _build_warmup(
    loss: Loss,
    penalty: Tensor,
    warmed_up: Sequence[Variable],
    learning_rate: Tensor,
    global_step: Variable,
    training: TrainingSettings,
) -> TrainOps:
    """A step that trains the head alone, with the rate multipliers that match its variables."""
    names = [variable.op.name for variable in warmed_up]
    rates = matching_multipliers(names, training.optimizer.rate_multipliers)
    return build_train_op(
        loss,
        penalty,
        warmed_up,
        learning_rate,
        global_step,
        training.optimizer._replace(rate_multipliers=rates),
        training.loss_scaling,
        name='warmup_op',
        scope=WARMUP_SCOPE,
    )
