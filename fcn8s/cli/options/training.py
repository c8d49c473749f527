"""The options of `fcn8s train`, for its parser and its help."""

import argparse
from typing import Any, Dict

from fcn8s.cli.options import labels
from fcn8s.cli.options.counts import batch_size, count
from fcn8s.cli.options.flags import flag
from fcn8s.cli.options.folders import TakeDataset, add_folder_arguments
from fcn8s.cli.options.images import add_image_arguments
from fcn8s.cli.options.layouts import LayoutHelp
from fcn8s.cli.options.lists import ExtendList
from fcn8s.cli.options.network import (
    add_architecture_arguments,
    add_average_arguments,
    add_head_warmup_argument,
    add_optimizer_argument,
    add_precision_argument,
)
from fcn8s.cli.options.prediction import add_trust_argument
from fcn8s.cli.options.workers import add_threads_argument
from fcn8s.cli.terminal import Parser
from fcn8s.distributed.watch import TIMEOUT
from fcn8s.settings import LOSSES, NORMALIZATIONS, WIRES

# Entries of a parser's result that are not options.
NO_OPTIONS = ('run', 'defaults', 'command', 'argv')
# A year: more is a typing mistake.
_MOST_MINUTES = 366 * 24 * 60.0


def take_defaults(parser: Parser) -> Dict[str, Any]:
    """Removes the defaults from a parser and returns them: it then parses only what was typed."""
    defaults = {}
    for option in parser.options:
        if option.default != argparse.SUPPRESS:
            defaults[option.dest] = option.default
            option.default = argparse.SUPPRESS
    return defaults


def add_data_arguments(group: Any) -> None:
    """Adds the options that say what to train on."""
    group.add_argument(
        '--data', action=TakeDataset, metavar='ROOT', help='root directory of a dataset in a known layout'
    )
    group.add_argument(
        '--layout',
        default='cityscapes',
        metavar='NAME',
        help=LayoutHelp('%(layouts)s (default: cityscapes)'),
    )
    group.add_argument('--split', default='train', help='split to train on (default: train)')
    group.add_argument('--val-split', default='val', help="split to evaluate on; '' for none (default: val)")
    group.add_argument(
        '--hold-out',
        action=ExtendList,
        nargs='+',
        metavar='PREFIX',
        help='do not train on images whose file names begin with PREFIX, for example a sequence or a city; '
        'evaluations are then of these images',
    )
    add_folder_arguments(group, '--data')
    group.add_argument(
        '--classes', '--num-classes', type=count, metavar='N', help='with --images: the number of classes'
    )
    labels.add_label_arguments(group, 'label of pixels to ignore (default: 255, or that of the layout)')
    group.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='resize images to this size; with --crop: only for evaluation (for training: --random-scale)',
    )
    add_image_arguments(group, besides='; with --fine-tune-from as there')
    add_threads_argument(group, 'threads that read and augment')
    group.add_argument('--cache', metavar='DIR', help='keep decoded and resized pairs in this directory')


#: The augmentations of `BatchGenerator.generate`: name -> the keywords of its flag. A test checks that none is missing.
AUGMENTATION_FLAGS: Dict[str, Dict[str, Any]] = {
    'random_crop': dict(dest='crop', type=int, nargs=2, metavar=('H', 'W'), help='train on random crops of this size'),
    'max_class_share': dict(
        type=float, metavar='SHARE', help='draw a crop again if one class fills more than this share'
    ),
    'crop_on_classes': dict(
        type=float,
        metavar='SHARE',
        help='centre this share of the crops on a pixel of a class, chosen uniformly among those of the image',
    ),
    'random_scale': dict(type=float, nargs=2, metavar=('MIN', 'MAX'), help='scale before cropping, for example 0.5 2'),
    'flip': dict(type=float, default=0.5, metavar='P', help='mirror with this probability (default: 0.5)'),
    'brightness': dict(type=float, nargs=3, metavar=('MIN', 'MAX', 'P'), help='factor, for example 0.7 1.4 0.5'),
    'color_jitter': dict(
        type=float, nargs=4, metavar=('CONTRAST', 'SATURATION', 'HUE', 'P'), help='for example 0.3 0.3 10 0.5'
    ),
    'blur': dict(type=float, nargs=3, metavar=('MIN', 'MAX', 'P'), help='Gaussian, in pixels, for example 0.5 1.5 0.3'),
    'rotate': dict(type=float, nargs=3, metavar=('MIN', 'MAX', 'P'), help='in degrees, for example -10 10 0.5'),
    'translate': dict(
        type=float,
        nargs=5,
        metavar=('MIN_X', 'MAX_X', 'MIN_Y', 'MAX_Y', 'P'),
        help='shift by whole pixels, for example 0 40 0 20 0.5; a range without negative numbers goes either way',
    ),
    'scale': dict(
        type=float, nargs=3, metavar=('MIN', 'MAX', 'P'), help='magnify about the centre, for example 0.75 1.5 0.5'
    ),
    'gray': dict(action='store_true', help='train on grey images, three equal channels'),
}


def add_augmentation_arguments(group: Any) -> None:
    """Adds the options of `AUGMENTATION_FLAGS`."""
    for name, written in AUGMENTATION_FLAGS.items():
        group.add_argument(flag(written.get('dest', name)), **written)


def augmentations(options: argparse.Namespace) -> Dict[str, Any]:
    """Returns the requested augmentations, by their names in `BatchGenerator.generate`."""
    given = {name: getattr(options, written.get('dest', name)) for name, written in AUGMENTATION_FLAGS.items()}
    if given['translate'] is not None:
        *pixels, probability = given['translate']
        whole = [int(number) if float(number).is_integer() else number for number in pixels]
        given['translate'] = (tuple(whole[:2]), tuple(whole[2:]), probability)
    given['flip'] = given['flip'] or None  # a probability of 0 draws nothing at all
    return {name: as_tuple(value) for name, value in given.items()}


def transforms(options: argparse.Namespace) -> Dict[str, Any]:
    """Returns all that changes the images that are trained on, by its names in `BatchGenerator.generate`."""
    # With crops, --size is for the evaluation: resized crops would have another scale than the evaluation.
    size = None if options.crop is not None else options.size
    return dict(augmentations(options), resize=as_tuple(size))


def as_tuple(value: Any) -> Any:
    """Returns the value of an option as `BatchGenerator.generate` takes it: lists as tuples, False for none."""
    return False if value is None else tuple(value) if isinstance(value, list) else value


def add_network_arguments(group: Any) -> None:
    """Adds the options that say with which encoder and how the network is built."""
    group.add_argument(
        '--encoder', metavar='DIR', help='encoder SavedModel; write one with: fcn8s vgg16 OUT --weights SOURCE'
    )
    group.add_argument(
        '--fine-tune-from',
        metavar='MODEL',
        help='instead of --encoder: start from a run, saved FCN-8s, or zip of fcn8s pack',
    )
    add_architecture_arguments(group, inherited=True)
    group.add_argument(
        '--skip-scales',
        type=float,
        nargs=2,
        metavar=('POOL3', 'POOL4'),
        help='default: 1 1 with adam, 1e-4 1e-2 with sgd; with --fine-tune-from as there',
    )
    group.add_argument(
        '--freeze', metavar='N|encoder', help='do not train the first N encoder blocks, or the whole encoder'
    )


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= _MOST_MINUTES:
        raise argparse.ArgumentTypeError(
            '{!r} came; it has to be a number above 0, and at most {:g}'.format(text, _MOST_MINUTES)
        )
    return minutes


def add_training_arguments(group: Any) -> None:
    """Adds the flags that say how the network is trained, evaluated and saved."""
    _add_step_arguments(group)
    add_head_warmup_argument(group)
    _add_evaluation_arguments(group)


def _add_step_arguments(group: Any) -> None:
    """Adds the flags about a step: batches, optimiser, rate, loss, precision."""
    group.add_argument('--epochs', type=count, default=20, help='default: 20')
    group.add_argument(
        '--minutes',
        type=_minutes,
        metavar='M',
        help='instead of --epochs: as many as fit into so many minutes on this machine, measured before',
    )
    group.add_argument('--batch', type=batch_size, default=4, metavar='N', help='images per batch (default: 4)')
    group.add_argument('--accumulate', type=count, default=1, metavar='K', help='batches per step (default: 1)')
    group.add_argument('--steps-per-epoch', type=count, metavar='N', help='default: one pass over the data')
    add_optimizer_argument(group)
    group.add_argument('--momentum', type=float, help='momentum of sgd (default: 0.99)')
    group.add_argument('--weight-decay', type=float, help='default: 0 with adam, 5e-4 with sgd')
    group.add_argument('--clip-norm', type=float, help='scale gradients down to this norm')
    add_average_arguments(group)
    group.add_argument(
        '--rate-multipliers',
        metavar='PATTERN,...=FACTOR',
        help='factors of the learning rate for layers whose names begin with a pattern; spaces or semicolons separate '
        "groups, and the last match counts: 'fc6,fc7,score=10 conv1=0.1' (default: 1 for all)",
    )
    group.add_argument(
        '--rate',
        default='poly:1e-4',
        metavar='SCHEDULE',
        help='constant:R, poly:R[:POWER], cosine:R[:END], steps:R:STEP,...[:FACTOR], each with +warmup:STEPS '
        '(default: poly:1e-4)',
    )
    group.add_argument(
        '--keep-prob', type=float, default=0.5, help='keep probability of dropout; 1 is none (default: 0.5)'
    )
    group.add_argument(
        '--l2', type=float, default=0.0, metavar='RATE', help='rate x 1/2 sum(w^2) over decoder kernels (default: 0)'
    )
    group.add_argument(
        '--loss',
        metavar='LOSS',
        default='cross_entropy',
        help='{}; ohem:share=S for another share of the pixels than 0.25, ohem:below=P for those '
        'whose class has a probability below P; docs/custom_loss.md explains them (default: cross_entropy)'.format(
            ', '.join(LOSSES)
        ),
    )
    group.add_argument(
        '--label-smoothing',
        type=float,
        default=0.0,
        metavar='SHARE',
        help='share of the target spread over all classes, such as 0.1; not with focal, dice, lovasz (default: 0)',
    )
    group.add_argument(
        '--normalize', choices=list(NORMALIZATIONS), default='mean', help='how the loss combines pixels (default: mean)'
    )
    group.add_argument('--class-weights', metavar='median_frequency|W,W,...', help='weights of the classes in the loss')
    add_precision_argument(group)
    group.add_argument('--xla', action='store_true', help='compile with XLA')
    add_trust_argument(group)


def _add_evaluation_arguments(group: Any) -> None:
    """Adds the flags that say when the training is evaluated and saved, and what it leaves."""
    group.add_argument('--eval-every', type=count, default=1, metavar='EPOCHS', help='default: 1')
    group.add_argument(
        '--eval-batch', type=batch_size, default=1, metavar='N', help='images per evaluation batch (default: 1)'
    )
    group.add_argument(
        '--at-input-size',
        '--eval-at-input-size',
        dest='eval_at_input_size',
        action='store_true',
        help="score at the network's size instead of the ground truth's",
    )
    group.add_argument(
        '--monitor',
        help='score by which the best checkpoint is chosen: loss, mean_iou, accuracy, iou:CLASS (default: mean_iou; '
        'without data to evaluate on, the training loss)',
    )
    group.add_argument(
        '--patience',
        type=count,
        metavar='N',
        help='stop after N evaluations without a better score; without data to evaluate on, after N epochs',
    )
    group.add_argument('--save-every', type=count, default=1, metavar='EPOCHS', help='default: 1')
    group.add_argument(
        '--keep-checkpoints',
        type=count,
        default=2,
        metavar='N',
        help='newest checkpoints to keep besides the best (default: 2)',
    )
    group.add_argument(
        '--summary-worst',
        type=int,
        default=0,
        metavar='N',
        help='show the N worst images of each evaluation in TensorBoard (default: 0)',
    )
    group.add_argument(
        '--no-report',
        dest='report',
        action='store_false',
        help='do not evaluate the best checkpoint at the end and write report.html into the run directory',
    )
    group.add_argument(
        '--report',
        action='store_true',
        default=True,
        help='write it (default); cancels the --no-report of a resumed run',
    )


def add_cluster_arguments(group: Any) -> None:
    """Adds the flags for several processes that train one network."""
    group.add_argument(
        '--workers',
        type=count,
        default=1,
        metavar='N',
        help='train with N processes on this machine, each with a GPU of its own or its share of the cores; a step '
        'takes N times --batch images (default: 1; over several machines: TF_CONFIG, SLURM or Kubernetes)',
    )
    group.add_argument(
        '--wire',
        choices=WIRES,
        default='float32',
        help='data type in which gradients are sent; bfloat16 halves the bytes',
    )
    group.add_argument(
        '--timeout',
        type=float,
        default=TIMEOUT,
        metavar='SECONDS',
        help='stop all workers with exit status 3 once one was silent, behind or missing for so long '
        '(default: {:g})'.format(TIMEOUT),
    )
    group.add_argument('--of-cluster', action='store_true', help=argparse.SUPPRESS)
