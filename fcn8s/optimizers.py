"""The optimisers: how gradients become steps, by name, and which settings they may have. Without TensorFlow.

`fcn8s.graph.update_rules` turns the settings into ops.
"""

import fnmatch
import re
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from helpers.flags import check_rule, checked_whole, is_positive, is_real

# pool3 and pool4 are scaled before they are scored. The small factors are those of the at-once FCN-8s in Shelhamer,
# Long, Darrell (TPAMI 2017), made for SGD: they shrink the gradients of the two score layers. Adam's steps do not
# shrink with the gradient, so under Adam the factors only starve the skip branches (docs/ablation.md has the
# measurement).
PAPER_SKIP_SCALES = (1e-4, 1e-2)
UNIT_SKIP_SCALES = (1.0, 1.0)


RateMultipliers = Union[Mapping[str, float], Sequence[Tuple[str, float]]]


class OptimizerSettings(NamedTuple):
    """How gradients become steps.

    name: 'adam' (Kingma and Ba, ICLR 2015, with its constants), or 'sgd' with Caffe's momentum, to which
        `fcn8s.optimizers.PAPER_SGD._replace(...)` adds the papers' weight decay and rate of biases.
    momentum: of SGD; None is 0.99, the FCN papers' value. Must stay None with Adam.
    weight_decay: lambda; lambda w is added to the gradient of kernels, never of biases. The papers use 5e-4. (With Adam
        this is L2 regularisation, not AdamW.)
    bias_rate_multiplier: biases (variables of rank 1) learn at this multiple of the rate; 2 in the papers.
    gradient_clip_norm: the gradient of loss and L2 penalty is scaled down to this Euclidean norm over all variables
        where it is longer; weight decay comes on top, as in Caffe.
    accumulate_batches: k; one step from the gradient of k batches. With the losses cross_entropy and focal it is that
        of one k-times larger batch.
    rate_multipliers: pattern of variable names -> factor of the learning rate, above 0; a dict or pairs. A pattern
        matches at the beginning of a name or after one of its slashes: 'fc6' matches fc6/weights but not
        decoder/score_fc6; `*` and `?` are as in file names. Where several match, the last one counts. The factor
        scales the whole step: with SGD the gradient and the decay, with Adam the update but not its moments.
        Clipping comes before it, and bias_rate_multiplier on top.
    ema: decay of an exponential moving average of the weights after each step; None for none.
    swa: averages the weights at the ends of the last `swa` epochs; None for none. With either, evaluation, prediction
        and saving use the averaged weights (`fcn8s.graph.weight_average`).
    """

    name: str = 'adam'
    momentum: Optional[float] = None
    weight_decay: float = 0.0
    bias_rate_multiplier: float = 1.0
    gradient_clip_norm: Optional[float] = None
    accumulate_batches: int = 1
    rate_multipliers: Optional[RateMultipliers] = None
    ema: Optional[float] = None
    swa: Optional[int] = None

    @property
    def averages_weights(self) -> bool:
        """Whether there is an average of the weights, of either kind."""
        return self.ema is not None or self.swa is not None


class Optimizer(NamedTuple):
    """One entry of `OPTIMIZERS`.

    settings: what its name alone means. Without a momentum the rule is Adam's, with one it is Caffe's SGD.
    skip_scales: the factors of pool3 and pool4 that belong to it.
    """

    settings: OptimizerSettings
    skip_scales: Tuple[float, float]


# Shelhamer, Long, Darrell (TPAMI 2017), section 4.3. "At once" training pairs this with normalize='sum' and batch 1.
PAPER_SGD = OptimizerSettings('sgd', momentum=0.99, weight_decay=5e-4, bias_rate_multiplier=2.0)
OPTIMIZERS = {
    'adam': Optimizer(OptimizerSettings(), UNIT_SKIP_SCALES),
    'sgd': Optimizer(PAPER_SGD, PAPER_SKIP_SCALES),
}
DEFAULT_OPTIMIZER = OptimizerSettings().name


def optimizer_settings(
    optimizer: Union[str, OptimizerSettings],
    accumulate_batches: int = 1,
    spell: Callable[[str], str] = str,
    **changes: Any,
) -> OptimizerSettings:
    """Returns the checked settings of an optimiser given by its name or by its settings.

    Args:
        accumulate_batches: batches per step; 1 keeps those of the settings.
        spell: how messages call the settings.
        changes: other fields of OptimizerSettings to replace.

    Raises:
        ValueError: for an unknown name, or a setting out of its range.
    """
    if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
        optimizer = OPTIMIZERS[optimizer].settings
    if not isinstance(optimizer, OptimizerSettings):
        raise ValueError(
            'optimizer is {!r}; choose from {}, or pass an OptimizerSettings.'.format(optimizer, list(OPTIMIZERS))
        )
    checked_whole('accumulate_batches', accumulate_batches, 1)
    if accumulate_batches != 1 and optimizer.accumulate_batches not in (1, accumulate_batches):
        raise ValueError(
            'accumulate_batches is {}, and {} in the OptimizerSettings. Leave one of them out.'.format(
                accumulate_batches, optimizer.accumulate_batches
            )
        )
    if accumulate_batches != 1:
        optimizer = optimizer._replace(accumulate_batches=accumulate_batches)
    unknown = sorted(set(changes) - set(OptimizerSettings._fields))
    if unknown:
        raise ValueError(
            '{} came, which no optimizer has; its settings are {}.'.format(
                ', '.join(unknown), ', '.join(OptimizerSettings._fields)
            )
        )
    optimizer = optimizer._replace(**changes)
    multipliers = check_optimizer_settings(optimizer, spell).rate_multipliers
    return optimizer._replace(rate_multipliers=multipliers)


def check_optimizer_settings(settings: OptimizerSettings, spell: Callable[[str], str] = str) -> OptimizerSettings:
    """Returns `settings` with the momentum filled in and the rate multipliers as pairs; raises ValueError, naming the
    setting, if one is out of its range. spell: how messages call the settings.
    """
    if settings.name not in OPTIMIZERS:
        raise ValueError('optimizer is {!r}; it has to be one of {}.'.format(settings.name, ', '.join(OPTIMIZERS)))
    default_momentum = OPTIMIZERS[settings.name].settings.momentum
    if default_momentum is None and settings.momentum is not None:
        raise ValueError(
            '{} is {}, but {} has its own moments; leave it out or take another optimizer: {}.'.format(
                spell('momentum'),
                settings.momentum,
                settings.name.capitalize(),
                ', '.join(repr(name) for name, other in OPTIMIZERS.items() if other.settings.momentum is not None),
            )
        )
    for name, value in settings._asdict().items():
        is_number = name not in ('name', 'rate_multipliers')
        may_be_none = value is None and OptimizerSettings._field_defaults[name] is None
        check_rule(not is_number or may_be_none or is_real(value), spell(name), repr(value), 'a number')
    momentum = default_momentum if settings.momentum is None else settings.momentum
    check_rule(
        momentum is None or 0 <= momentum < 1, spell('momentum'), momentum, 'at least 0 and below 1, such as 0.9'
    )
    decay, factor, norm = settings.weight_decay, settings.bias_rate_multiplier, settings.gradient_clip_norm
    check_rule(0 <= decay < float('inf'), spell('weight_decay'), decay, 'at least 0 and finite, such as 5e-4')
    check_rule(is_positive(factor), spell('bias_rate_multiplier'), factor, 'above 0 and finite, such as 2')
    check_rule(
        norm is None or is_positive(norm),
        spell('gradient_clip_norm'),
        norm,
        'finite and above 0, such as 10. Leave it out for no clipping',
    )
    checked_whole(spell('accumulate_batches'), settings.accumulate_batches, 1)
    _check_average(settings, spell)
    # None where there are none, as in runs from before the option existed, so that these can be resumed.
    multipliers = None if settings.rate_multipliers is None else _multiplier_pairs(settings.rate_multipliers) or None
    return settings._replace(momentum=momentum, rate_multipliers=multipliers)


def parse_rate_multipliers(text: str) -> Tuple[Tuple[str, float], ...]:
    """Returns the pairs of `'fc6,fc7,score=10 conv1=0.1'`: groups PATTERN[,PATTERN...]=FACTOR, separated by
    spaces or semicolons.

    Raises ValueError for anything else.
    """
    pairs: List[Tuple[str, float]] = []
    for group in re.split(r'[;\s]+', text.strip(' ;')):
        patterns, _, factor = group.partition('=')
        try:
            pairs += [(pattern, float(factor)) for pattern in patterns.split(',')]
        except ValueError:
            raise ValueError(
                'the rate multipliers are {!r}, where {!r} is no group; they have to be PATTERN[,PATTERN...]=FACTOR, '
                "several of them with spaces or semicolons between: 'fc6,fc7,score=10 conv1=0.1'.".format(text, group)
            ) from None
    return _multiplier_pairs(pairs)


def rate_factors(names: Sequence[str], multipliers: Optional[RateMultipliers]) -> List[float]:
    """Returns the factor of each variable's learning rate, 1 where no pattern matches.

    Args:
        names: of the variables that are trained.
        multipliers: as in `OptimizerSettings`; the last pattern that matches counts.

    Raises:
        ValueError: for a pattern that matches none of the names.
    """
    factors = [1.0] * len(names)
    for pattern, factor in _multiplier_pairs(multipliers or ()):
        matches = [_matches(name, pattern) for name in names]
        if not any(matches):
            layers = list(dict.fromkeys(name.rpartition('/')[0] or name for name in names))
            raise ValueError(
                'rate_multipliers has {!r}, which matches no variable that is trained. These are: {}.'.format(
                    pattern, ', '.join(layers)
                )
            )
        factors = [factor if match else before for match, before in zip(matches, factors)]
    return factors


def matching_multipliers(
    names: Sequence[str], multipliers: Optional[RateMultipliers]
) -> Optional[Tuple[Tuple[str, float], ...]]:
    """Returns the rate multipliers whose patterns match one of the names; None without any."""
    pairs = _multiplier_pairs(multipliers or ())
    return tuple(pair for pair in pairs if any(_matches(name, pair[0]) for name in names)) or None


def _matches(name: str, pattern: str) -> bool:
    parts = name.split('/')
    return any(fnmatch.fnmatchcase('/'.join(parts[first:]), pattern + '*') for first in range(len(parts)))


def _multiplier_pairs(multipliers: Any) -> Tuple[Tuple[str, float], ...]:
    try:
        items = multipliers.items() if isinstance(multipliers, Mapping) else multipliers
        pairs = tuple((pattern, factor) for pattern, factor in items)
    except (TypeError, ValueError):
        raise ValueError(
            "rate_multipliers is {!r}; it has to be a dict such as {{'fc6': 10}}.".format(multipliers)
        ) from None
    for pattern, factor in pairs:
        check_rule(
            isinstance(pattern, str) and bool(pattern),
            'a pattern of rate_multipliers',
            repr(pattern),
            'a part of a name',
        )
        check_rule(
            is_positive(factor),
            'the rate multiplier of {!r}'.format(pattern),
            repr(factor),
            'a finite number above 0 (what shall not be trained is frozen: freeze, or --freeze)',
        )
    return tuple((pattern, float(factor)) for pattern, factor in pairs)


def _check_average(settings: OptimizerSettings, spell: Callable[[str], str]) -> None:
    check_rule(
        settings.ema is None or 0 < settings.ema < 1,
        spell('ema'),
        settings.ema,
        'above 0 and below 1, such as 0.999 (an average over about the last 1000 steps). Leave it out for no average',
    )
    if settings.swa is not None:
        checked_whole(spell('swa'), settings.swa, 1, remedy='Leave it out for no average.')
    if settings.ema is not None and settings.swa is not None:
        raise ValueError(
            '{} is {} and {} is {}; there is one average of the weights. Leave one of them out.'.format(
                spell('ema'), settings.ema, spell('swa'), settings.swa
            )
        )
