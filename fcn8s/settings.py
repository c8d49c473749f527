"""What a network is made of: the settings that fix its graph and travel with every saved model."""

import math
import re
from typing import Any, Callable, Dict, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

import numpy as np

from fcn8s.optimizers import DEFAULT_OPTIMIZER, OPTIMIZERS, PAPER_SKIP_SCALES, UNIT_SKIP_SCALES
from helpers.flags import check_choice, checked_whole, is_real, is_whole
from helpers.image_rules import RGB_RULES, ImageRules, checked_rules, image_rules_from_json
from helpers.label_spaces import DEFAULT_IGNORE_ID, MAX_CLASSES, LabelSpace, checked_label_space, generic_label_space

# 'same': every layer keeps to SAME padding, and upsampled maps have the size of their skip. 'caffe': as in the nets of
# the paper's authors (https://github.com/shelhamer/fcn.berkeleyvision.org), the image is padded by 100 pixels, fc6 and
# the transposed convolutions are not, and maps are cropped at fixed offsets.
ALIGNMENTS = ('same', 'caffe')


class Variant(NamedTuple):
    """final_stride: of the last upsampling, from the finest scored layer to the image. skips: the scored pools."""

    final_stride: int
    skips: Tuple[str, ...]


VARIANTS = {
    '8s': Variant(8, ('pool3', 'pool4')),
    '16s': Variant(16, ('pool4',)),
    '32s': Variant(32, ()),
}
UPSAMPLINGS = ('learned', 'bilinear')
# How the losses of pixels become one: the mean over valid pixels, or the paper's sum (`fcn8s.graph.losses`).
NORMALIZATIONS = ('mean', 'sum')
# The blocks of convolutions in the encoder, which can be frozen from the first on.
NUM_BLOCKS = 5
# The largest seed of dropout in the graph.
MAX_SEED = 2**31 - 1
# The dtypes in which workers send each other gradients (`fcn8s.distributed.exchange`).
WIRES = ('float32', 'bfloat16')


class NamedLoss(NamedTuple):
    """The options that a named loss takes; it refuses the others. `fcn8s.graph.losses.BUILDERS` has the functions.

    adds_up: whether over several batches in a step it has the value of one batch that holds them all.
    """

    class_weights: bool
    sum: bool
    label_smoothing: bool
    adds_up: bool = False


LOSSES = {
    'cross_entropy': NamedLoss(class_weights=True, sum=True, label_smoothing=True, adds_up=True),
    'ohem': NamedLoss(class_weights=True, sum=False, label_smoothing=True),
    'focal': NamedLoss(class_weights=True, sum=True, label_smoothing=False, adds_up=True),
    'dice': NamedLoss(class_weights=False, sum=False, label_smoothing=False),
    'lovasz': NamedLoss(class_weights=False, sum=False, label_smoothing=False),
    'cross_entropy+dice': NamedLoss(class_weights=True, sum=False, label_smoothing=True),
}

# The share of the valid pixels that the loss 'ohem' counts, unless its name says another ('ohem:share=0.1').
OHEM_SHARE = 0.25
_OHEM = re.compile('ohem:(share|below)=(.+)', re.DOTALL)


class Ohem(NamedTuple):
    """Which pixels online hard example mining counts: the hardest `share`, or those whose class has a probability
    below `below`; one of the two is None."""

    share: Optional[float] = OHEM_SHARE
    below: Optional[float] = None


def parse_ohem(loss: str, name: str = 'loss') -> Ohem:
    """Returns what 'ohem', 'ohem:share=S' or 'ohem:below=P' says; raises ValueError for numbers out of range.

    name: what messages call the loss.
    """
    match = _OHEM.fullmatch(loss)
    if match is None:
        return Ohem()
    kind = match.group(1)
    try:
        number = float(match.group(2))
    except ValueError:
        number = math.nan
    if not (0 < number < 1 or number == 1 and kind == 'share'):
        raise ValueError(
            '{} is {!r}; {} it has to be a number above 0 and {} 1, such as ohem:{}.'.format(
                name,
                loss,
                'the share of the pixels that counts:'
                if kind == 'share'
                else 'the probability below which they count:',
                'up to' if kind == 'share' else 'below',
                'share=0.25' if kind == 'share' else 'below=0.7',
            )
        )
    return Ohem(number, None) if kind == 'share' else Ohem(None, number)


def loss_name(loss: str) -> str:
    """Returns the name in `LOSSES` of a loss that is given with a setting: 'ohem' for 'ohem:below=0.7'."""
    return 'ohem' if isinstance(loss, str) and _OHEM.fullmatch(loss) else loss


class ModelSettings(NamedTuple):
    """The architecture of one network.

    label_space: class names, colours and the ignore ID of the classes that the network tells apart.
    variant: '8s', '16s' or '32s': how many skips the decoder has (two, one, none).
    upsampling: 'learned' trains the transposed convolutions from bilinear kernels; 'bilinear' keeps the kernels fixed.
    skip_scales: factors of pool3 and pool4 before their score layers.
    image_rules: how image files become what the network takes: channels, bands, range, alpha.
    alignment, output_bias: how maps are aligned (see ALIGNMENTS), and whether the last upsampling adds a bias. Only
        networks that were imported from other programs differ from 'same' and False.
    """

    label_space: LabelSpace
    variant: str = '8s'
    upsampling: str = 'learned'
    skip_scales: Tuple[float, float] = UNIT_SKIP_SCALES
    image_rules: ImageRules = RGB_RULES
    alignment: str = 'same'
    output_bias: bool = False

    @property
    def num_classes(self) -> int:
        """How many classes the network tells apart."""
        return self.label_space.num_classes

    def to_dict(self) -> Dict[str, Any]:
        """Returns the settings as JSON can hold them."""
        fields = {
            'num_classes': self.num_classes,
            'variant': self.variant,
            'upsampling': self.upsampling,
            'skip_scales': list(self.skip_scales),
            'label_space': self.label_space.to_dict(),
            'image_rules': self.image_rules.to_json(),
        }
        if (self.alignment, self.output_bias) != ('same', False):  # files of version 1.0 do not have them
            fields.update(alignment=self.alignment, output_bias=self.output_bias)
        return fields

    @classmethod
    def from_dict(cls, fields: Dict[str, Any]) -> 'ModelSettings':
        """Returns the settings that `to_dict` wrote; raises ValueError or KeyError for invalid ones."""
        label_space = LabelSpace.from_dict(fields['label_space'])
        if fields['num_classes'] != check_num_classes(label_space.num_classes):
            raise ValueError(
                'num_classes is {!r}, but the label space {!r} names {} classes.'.format(
                    fields['num_classes'], label_space.name, label_space.num_classes
                )
            )
        check_ignore_id(label_space.ignore_id)
        return cls(
            label_space,
            check_choice('variant', fields['variant'], VARIANTS),
            check_choice('upsampling', fields['upsampling'], UPSAMPLINGS),
            check_skip_scales(fields['skip_scales']),
            image_rules_from_json(fields.get('image_rules')),
            check_choice('alignment', fields.get('alignment', 'same'), ALIGNMENTS),
            check_choice('output_bias', fields.get('output_bias', False), (False, True)),
        )


def check_num_classes(num_classes: Any, name: str = 'num_classes') -> int:
    """Returns `num_classes` as an int, or raises ValueError unless it is an integer from 2 to 255. name: what messages
    call it.
    """
    if num_classes is None:
        raise ValueError(
            'num_classes is missing. A model that is built on an encoder needs the number of classes: pass '
            'num_classes=19 (or yours), or label_space=helpers.label_spaces.CITYSCAPES.'
        )
    if isinstance(num_classes, bool) or num_classes not in range(2, MAX_CLASSES + 1):
        raise ValueError('{} is {!r}; it has to be an integer from 2 to {}.'.format(name, num_classes, MAX_CLASSES))
    return int(num_classes)


def check_loss(
    loss: Union[str, Callable],
    normalize: str = 'mean',
    class_weights: Optional[Union[str, Sequence[float]]] = None,
    label_smoothing: float = 0.0,
    spell: Callable[[str], str] = str,
) -> None:
    """Raises ValueError for an unknown loss, and for options that are wrong or have no meaning for this loss.

    spell: how messages call the arguments.
    """
    if not callable(loss) and loss_name(loss) not in tuple(LOSSES):
        raise ValueError(
            '{} is {!r}; it has to be {} or a function (logits, labels, valid) -> scalar.'.format(
                spell('loss'), loss, ', '.join(repr(name) for name in LOSSES)
            )
        )
    if isinstance(loss, str):
        parse_ohem(loss, spell('loss'))
    if normalize not in NORMALIZATIONS:
        raise ValueError('normalize is {!r}; it has to be one of {}.'.format(normalize, ', '.join(NORMALIZATIONS)))
    if not is_real(label_smoothing) or not 0 <= label_smoothing < 1:
        raise ValueError(
            '{} is {!r}; it has to be a number from 0 up to but not including 1, such as 0.1.'.format(
                spell('label_smoothing'), label_smoothing
            )
        )
    given = {
        'class_weights': class_weights is not None,
        'sum': normalize == 'sum',
        'label_smoothing': label_smoothing != 0,
    }
    for option in (option for option, is_given in given.items() if is_given):
        _check_loss_takes(loss, option, spell)


def check_head_warmup(epochs: Any, name: str = 'head_warmup') -> None:
    """Raises ValueError unless it is a number of epochs. name: what messages call it."""
    checked_whole(name, epochs, 0, remedy='It is a number of epochs, 0 for none.')


def check_freeze(freeze: Any, head_warmup: int = 0, spell: Callable[[str], str] = str) -> None:
    """Raises ValueError unless `freeze` is 'encoder', a number of blocks, or None, and leaves a head's warm-up
    something to wait for. spell: how messages call the arguments.
    """
    is_number = is_whole(freeze) and 0 <= freeze <= NUM_BLOCKS
    if freeze is not None and freeze != 'encoder' and not is_number:
        raise ValueError(
            "{} is {!r}; it has to be 'encoder', a number of blocks from 0 to {}, or left out to train all.".format(
                spell('freeze'), freeze, NUM_BLOCKS
            )
        )
    if head_warmup and freeze in ('encoder', NUM_BLOCKS):
        refuse_idle_warmup(head_warmup, freeze, spell)


def refuse_idle_warmup(head_warmup: int, freeze: Any, spell: Callable[[str], str] = str) -> NoReturn:
    """Raises ValueError: everything that the head's warm-up would leave out is frozen anyway."""
    raise ValueError(
        '{} is {}, and {} is {!r}, which trains no convolution of the encoder, so that there is nothing to wait for. '
        'Leave one of the two out.'.format(spell('head_warmup'), head_warmup, spell('freeze'), freeze)
    )


def refuse_warmup_of_several(head_warmup: int, spell: Callable[[str], str] = str) -> NoReturn:
    """Raises ValueError: the head's warm-up is for a training of one process."""
    raise ValueError(
        '{} is {}; it is for a training of one process. Leave it out with several workers; or warm the head up alone, '
        'with freeze=5 (--freeze 5), and fine-tune from that.'.format(spell('head_warmup'), head_warmup)
    )


def check_class_weights(class_weights: Any, num_classes: Optional[int], name: str = 'class_weights') -> np.ndarray:
    """Returns float32 [num_classes]; raises ValueError unless each class has one finite weight >= 0, not all 0.

    num_classes: None if it is not known yet. name: what messages call the weights.
    """
    of_each = 'each class' if num_classes is None else 'each of the {} classes'.format(num_classes)
    try:
        weights = np.asarray(class_weights, np.float32)
    except (TypeError, ValueError):
        raise ValueError(
            '{} is {!r}; it has to hold one number for {}. Median frequencies come from '
            'helpers.class_weights.median_frequency_weights(BatchGenerator(...).count_class_pixels()), or fcn8s train '
            '--class-weights median_frequency.'.format(name, class_weights, of_each)
        ) from None
    if weights.ndim != 1 or num_classes not in (None, len(weights)):
        raise ValueError('{} has the shape {}; it has to hold one weight for {}.'.format(name, weights.shape, of_each))
    if not (np.all(np.isfinite(weights)) and np.all(weights >= 0) and np.any(weights > 0)):
        raise ValueError(
            '{} is {}; weights have to be finite, at least 0, and not all 0.'.format(name, weights.tolist())
        )
    return weights


def _check_loss_takes(loss: Union[str, Callable], option: str, spell: Callable[[str], str]) -> None:
    spelled = "{}='sum'".format(spell('normalize')) if option == 'sum' else spell(option)
    if callable(loss):
        raise ValueError(
            'class_weights, normalize and label_smoothing belong to losses that have a name; a loss function of your '
            'own decides all three itself. Leave {} out.'.format(spelled)
        )
    if not getattr(LOSSES[loss_name(loss)], option):
        takers = [name for name, options in LOSSES.items() if getattr(options, option)]
        raise ValueError(
            '{} has no meaning for {}={!r}. Leave it out, or take the loss {}.'.format(
                spelled, spell('loss'), loss, ' or '.join(repr(name) for name in takers)
            )
        )


def check_skip_scales(skip_scales: Any, name: str = 'skip_scales') -> Tuple[float, float]:
    """Returns the factors of (pool3, pool4) as two floats; raises ValueError unless they are two positive numbers.

    name: what messages call them.
    """
    try:
        pool3, pool4 = skip_scales
        if isinstance(pool3, (str, bool)) or isinstance(pool4, (str, bool)):
            raise TypeError('no number')
        pool3, pool4 = float(pool3), float(pool4)
    except (TypeError, ValueError, OverflowError):  # OverflowError: for an integer of hundreds of digits
        raise ValueError(
            '{} is {!r}; it has to be two numbers, the factors of pool3 and pool4, such as {} (the '
            "paper's, for SGD) or {}.".format(name, skip_scales, PAPER_SKIP_SCALES, UNIT_SKIP_SCALES)
        ) from None
    if not (0 < pool3 < float('inf') and 0 < pool4 < float('inf')):
        raise ValueError('{} is {!r}; both factors have to be positive and finite.'.format(name, skip_scales))
    return pool3, pool4


def check_has_skips(skip_scales: Any, variant: str, spell: Callable[[str], str] = str) -> None:
    """Raises ValueError where a variant has no skips that could be scaled. spell: how messages call the arguments."""
    if not VARIANTS[check_choice(spell('variant'), variant, VARIANTS)].skips:
        raise ValueError(
            '{} is {!r}, and an FCN-{} has no skips. Leave it out, or take another variant.'.format(
                spell('skip_scales'), skip_scales, variant
            )
        )


def check_ignore_id(ignore_id: Any, name: str = 'ignore_id') -> None:
    """Raises ValueError unless it is None or a value of labels in a batch. name: what messages call it."""
    if ignore_id is None or is_whole(ignore_id) and 0 <= ignore_id <= MAX_CLASSES:
        return
    remedy = 'Take {}.'.format(DEFAULT_IGNORE_ID)
    if is_whole(ignore_id) and ignore_id > 0:
        remedy = (
            'If label files hold it, make {0} of it with an ID map, --id-map ...,{1}:{0} (id_map in Python).'.format(
                DEFAULT_IGNORE_ID, ignore_id
            )
        )
    raise ValueError(
        '{} is {!r}; labels are uint8, so it has to be an integer from 0 to {}. {}'.format(
            name, ignore_id, MAX_CLASSES, remedy
        )
    )


def resolve_label_space(
    num_classes: Optional[int], label_space: Optional[LabelSpace], ignore_id: Optional[int]
) -> LabelSpace:
    """Returns the label space of a new network, from whichever of the three arguments the user gave.

    Raises ValueError where they contradict each other or say too little.
    """
    check_ignore_id(ignore_id)
    if label_space is None:
        return generic_label_space(
            check_num_classes(num_classes), DEFAULT_IGNORE_ID if ignore_id is None else ignore_id
        )
    label_space = checked_label_space(label_space)
    check_num_classes(label_space.num_classes)
    check_ignore_id(label_space.ignore_id)
    if num_classes is not None and check_num_classes(num_classes) != label_space.num_classes:
        raise ValueError(
            'num_classes is {}, but the label space {!r} has {} classes. Leave num_classes out, or pass the '
            'label space that fits.'.format(num_classes, label_space.name, label_space.num_classes)
        )
    if ignore_id is not None and ignore_id != label_space.ignore_id:
        return checked_label_space(label_space._replace(ignore_id=ignore_id))
    return label_space


def new_model_settings(
    num_classes: Optional[int] = None,
    label_space: Optional[LabelSpace] = None,
    ignore_id: Optional[int] = None,
    variant: str = '8s',
    upsampling: str = 'learned',
    skip_scales: Optional[Tuple[float, float]] = None,
    optimizer: str = DEFAULT_OPTIMIZER,
    image_rules: ImageRules = RGB_RULES,
) -> ModelSettings:
    """Checks the arguments and returns the settings of a new network.

    `skip_scales=None` takes the paper's factors (1e-4, 1e-2) with SGD and (1, 1) with Adam. Raises ValueError.
    """
    if skip_scales is None:
        skip_scales = OPTIMIZERS[optimizer].skip_scales
    else:
        check_has_skips(skip_scales, variant)
    return ModelSettings(
        resolve_label_space(num_classes, label_space, ignore_id),
        check_choice('variant', variant, VARIANTS),
        check_choice('upsampling', upsampling, UPSAMPLINGS),
        check_skip_scales(skip_scales),
        checked_rules(image_rules),
    )
