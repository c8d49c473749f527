"""Flags that say what to train and how, for the commands that train or plan; choices come from the tables."""

from typing import Any, List, Union

from fcn8s.cli.options.flags import flag
from fcn8s.optimizers import (
    DEFAULT_OPTIMIZER,
    OPTIMIZERS,
    OptimizerSettings,
    optimizer_settings,
    parse_rate_multipliers,
)
from fcn8s.precision import AUTO, SESSION_PRECISIONS
from fcn8s.settings import UPSAMPLINGS, VARIANTS, ModelSettings

DEFAULTS = ModelSettings._field_defaults


def add_architecture_arguments(group: Any, inherited: bool = False) -> None:
    """Adds --variant and --upsampling. inherited: whether they have no default, as another network may set both."""
    there = ', with --fine-tune-from as there' if inherited else ''
    for name, choices in (('variant', VARIANTS), ('upsampling', UPSAMPLINGS)):
        group.add_argument(
            '--' + name,
            choices=list(choices),
            default=None if inherited else DEFAULTS[name],
            help='default: {}{}'.format(DEFAULTS[name], there),
        )


def add_optimizer_argument(group: Any) -> None:
    """Adds --optimizer."""
    group.add_argument(
        '--optimizer',
        choices=list(OPTIMIZERS),
        default=DEFAULT_OPTIMIZER,
        help='default: {}'.format(DEFAULT_OPTIMIZER),
    )


def add_average_arguments(group: Any) -> None:
    """Adds --ema and --swa."""
    group.add_argument(
        '--ema',
        type=float,
        metavar='DECAY',
        help='evaluate and save an exponential moving average of the weights, for example 0.999; checkpoints keep the '
        'raw weights too',
    )
    group.add_argument(
        '--swa',
        type=int,
        metavar='K',
        help='the same with the equal average of the weights after each of the last K epochs',
    )


def add_head_warmup_argument(group: Any) -> None:
    """Adds --head-warmup."""
    group.add_argument(
        '--head-warmup',
        type=int,
        default=0,
        metavar='EPOCHS',
        help='for the first EPOCHS train only fc6, fc7 and the decoder, then what the other options say (default: 0)',
    )


def add_precision_argument(group: Any) -> None:
    """Adds --precision of a training."""
    group.add_argument(
        '--precision',
        choices=[AUTO, *SESSION_PRECISIONS],
        default='float32',
        help='auto: bfloat16 on CPUs that have it, float32 elsewhere (default: float32)',
    )


def optimizer_of(options: Any) -> OptimizerSettings:
    """Returns the settings of the optimiser; options that a command does not take are off. Raises ValueError."""
    multipliers = getattr(options, 'rate_multipliers', None)
    given = {
        'momentum': getattr(options, 'momentum', None),
        'weight_decay': getattr(options, 'weight_decay', None),
        'gradient_clip_norm': getattr(options, 'clip_norm', None),
        'rate_multipliers': multipliers and parse_rate_multipliers(multipliers),
        'ema': options.ema,
        'swa': options.swa,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return optimizer_settings(options.optimizer, options.accumulate, flag, **given)


def frozen_blocks(options: Any) -> Union[None, str, int]:
    """Returns what --freeze says, as `FCN8s` takes it; not checked."""
    said = options.freeze
    return int(said) if said is not None and said.isdecimal() else said


def class_weights_of(options: Any) -> Union[None, str, List[float]]:
    """Returns what --class-weights says: weights, 'median_frequency', or None. Raises ValueError for other texts."""
    said = options.class_weights
    if said in (None, 'median_frequency') or isinstance(said, list):
        return said
    try:
        return [float(weight) for weight in said.split(',')]
    except ValueError:
        raise ValueError(
            "--class-weights is {!r}; it has to be 'median_frequency', or one number per class with commas "
            'between.'.format(said)
        ) from None
