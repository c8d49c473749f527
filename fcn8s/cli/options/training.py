"""The options of `fcn8s train`, and what they come to after --recipe and --resume had their say."""

import argparse
import contextlib
import os
from typing import Any, Dict, List, Sequence

from fcn8s.cli.options import labels, stored
from fcn8s.cli.options.counts import batch_size, count
from fcn8s.cli.options.flags import flag, flags, refuse_without
from fcn8s.cli.options.folders import add_folder_arguments, as_absolute, as_list, check_counts
from fcn8s.cli.options.images import add_image_arguments
from fcn8s.cli.options.layouts import LayoutHelp
from fcn8s.cli.options.network import (
    add_architecture_arguments,
    add_average_arguments,
    add_head_warmup_argument,
    add_optimizer_argument,
    add_precision_argument,
)
from fcn8s.cli.options.prediction import add_trust_argument
from fcn8s.cli.options.workers import add_threads_argument, check_threads
from fcn8s.cli.terminal import Parser
from fcn8s.distributed.watch import TIMEOUT
from fcn8s.optimizers import OPTIMIZERS, parse_rate_multipliers
from fcn8s.settings import LOSSES, NORMALIZATIONS, WIRES, check_loss
from helpers.files import explain_os_errors, numbered

# What --resume may change about a run.
RESUMABLE = ('epochs', 'threads', 'cache', 'report', 'workers', 'wire', 'timeout')
_DATA_PATHS = ('data', 'images', 'labels', 'val_images', 'val_labels', 'colors')
# Where the data of a run lie; --resume takes another place for each that the run was started with.
PLACES = _DATA_PATHS + ('class_names',)
# Options that are not settings of the run and do not go into its config.json.
_NOT_STORED = (
    *('resume', 'run_dir', 'list_recipes', 'overfit_one_batch'),
    *('workers', 'wire', 'timeout', 'of_cluster'),
    *('folds', 'fold'),
    'minutes',  # what it comes to, the epochs, is stored
)
# What a command does is decided by these, before it reads a recipe.
_ONLY_TYPED = ('resume', 'recipe', 'overfit_one_batch', 'minutes', 'folds', 'fold', 'workers')
# What a parser's result holds besides options.
NO_OPTIONS = ('run', 'defaults', 'command', 'argv')
_PATHS = _DATA_PATHS + ('encoder', 'fine_tune_from', 'cache')
#: Options that say nothing about single steps, which are neither evaluated nor saved and use no validation data.
NOT_OF_STEPS = (
    *('epochs', 'minutes', 'steps_per_epoch', 'ema', 'swa', 'head_warmup'),
    *('val_split', 'val_images', 'val_labels', 'eval_every', 'eval_batch', 'eval_at_input_size', 'summary_worst'),
    *('monitor', 'patience', 'save_every', 'keep_checkpoints', 'report'),
)
# A year: more is a slip.
_MOST_MINUTES = 366 * 24 * 60.0
# Of a training by one process.
_OF_WORKERS = ('wire', 'timeout')
# Options that mean nothing without another one.
_BELONG_TO = {
    'data': ('layout', 'split', 'val_split'),
    'images': (
        ('labels', 'val_images', 'val_labels', 'image_suffix', 'label_suffix', 'classes', 'ignore_id')
        + ('id_map', 'colors', 'color_tolerance', 'label_transparency', 'class_names')
    ),
    'crop': ('random_scale', 'max_class_share', 'crop_on_classes'),
    'size': ('eval_at_input_size',),
}


def take_defaults(parser: Parser) -> Dict[str, Any]:
    """Takes the defaults out of a parser and returns them: what it parses then holds what was typed and no more."""
    defaults = {}
    for option in parser.options:
        if option.default != argparse.SUPPRESS:
            defaults[option.dest] = option.default
            option.default = argparse.SUPPRESS
    return defaults


def add_data_arguments(group: Any) -> None:
    """Adds the options that say what to train on."""
    group.add_argument('--data', metavar='ROOT', help='root directory of a dataset in a known layout')
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


#: The augmentations of `BatchGenerator.generate`: name -> how its flag is written. A test holds that none is missing.
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
    """Returns the augmentations that were asked for, by their names in `BatchGenerator.generate`."""
    given = {name: getattr(options, written.get('dest', name)) for name, written in AUGMENTATION_FLAGS.items()}
    if given['translate'] is not None:
        *pixels, probability = given['translate']
        whole = [int(number) if float(number).is_integer() else number for number in pixels]
        given['translate'] = (tuple(whole[:2]), tuple(whole[2:]), probability)
    given['flip'] = given['flip'] or None  # a probability of 0 draws nothing at all
    return {name: False if value is None else _as_tuple(value) for name, value in given.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def add_network_arguments(group: Any) -> None:
    """Adds the options that say what the network is built on, and how."""
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
    """Adds the flags of how the network is trained, evaluated and saved."""
    _add_step_arguments(group)
    add_head_warmup_argument(group)
    _add_evaluation_arguments(group)


def _add_step_arguments(group: Any) -> None:
    """What a step is: batches, optimiser, rate, loss, precision."""
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
    """When the training is evaluated and saved, and what it leaves."""
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
        help='score by which the best checkpoint is chosen: loss, mean_iou, accuracy, iou:CLASS (default: mean_iou)',
    )
    group.add_argument('--patience', type=count, metavar='N', help='stop after N evaluations without a better score')
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
    """Adds the flags of several processes that train one network."""
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


def resolve(typed: Dict[str, Any], defaults: Dict[str, Any], writes: bool = True) -> argparse.Namespace:
    """Returns all options of a training. Raises ValueError and FileNotFoundError for what does not go together.

    typed: the options that were typed; they win over the recipe, and the recipe wins over the defaults. --resume takes
        the options of the run instead.
    writes: whether this process is the one that makes the run directory.
    """
    if 'resume' in typed:
        return _resumed(typed, defaults)
    options = resolve_steps(typed, defaults)
    if not writes:
        options.run_dir = options.run_dir or 'runs'
        return options
    if options.run_dir is None:
        options.run_dir = _new_run_dir()
    from fcn8s.saving import runs

    runs.check_free(options.run_dir)
    return options


def resolve_steps(typed: Dict[str, Any], defaults: Dict[str, Any]) -> argparse.Namespace:
    """Returns all options of steps that leave no run; arguments and errors as of `resolve`."""
    recipe = recipe_arguments(typed['recipe'], defaults) if 'recipe' in typed else {}
    given = dict(_beside(recipe, typed), **typed)
    if 'epochs' in typed and 'minutes' in typed:
        raise ValueError('--epochs and --minutes both say how long to train. Give one of the two.')
    _check_data(given)
    _check_belongings(typed, given)
    _check_network(given)
    options = argparse.Namespace(**dict(defaults, **given))
    check_threads(options.threads)
    check_loss(options.loss, options.normalize, options.class_weights, options.label_smoothing)
    if options.rate_multipliers is not None:
        parse_rate_multipliers(options.rate_multipliers)
    from fcn8s.prediction.predictor import check_room

    for name in ('size', 'crop'):
        # Of two classes, the fewest: they are counted when the data are read.
        check_room(getattr(options, name), 2, options.batch, name)
    return options


def _beside(recipe: Dict[str, Any], typed: Dict[str, Any]) -> Dict[str, Any]:
    """The options of a recipe without those that are refused beside what was typed, and that no flag takes back."""
    displaced = {
        'skip_scales': typed.get('variant') == '32s',
        'momentum': 'optimizer' in typed and OPTIMIZERS[typed['optimizer']].settings.momentum is None,
        'ema': 'swa' in typed,
        'swa': 'ema' in typed,
    }
    return {name: value for name, value in recipe.items() if not displaced.get(name)}


def _new_run_dir() -> str:
    """Takes runs/DATE-TIME, numbered where another process took it in the same second, by making the directory."""
    import atexit
    import datetime

    name = os.path.join('runs', datetime.datetime.now().strftime('%Y%m%d-%H%M%S'))
    with explain_os_errors(name):
        os.makedirs('runs', exist_ok=True)
        while True:
            run_dir = numbered(name)
            with contextlib.suppress(FileExistsError):
                os.mkdir(run_dir)
                break
    atexit.register(_remove_empty, run_dir)
    return run_dir


def _remove_empty(directory: str) -> None:
    """Removes a directory that nothing was written into."""
    with contextlib.suppress(OSError):
        os.rmdir(directory)


def storable(options: argparse.Namespace) -> Dict[str, Any]:
    """Returns the options as config.json keeps them, with absolute paths, so that --resume works from anywhere."""
    stored = {name: value for name, value in vars(options).items() if name not in _NOT_STORED}
    for name in _PATHS:
        if stored[name] is not None and not (name == 'colors' and labels.is_name(stored[name])):
            stored[name] = as_absolute(stored[name])
    if stored['class_names'] is not None and os.path.isfile(stored['class_names']):
        stored['class_names'] = os.path.abspath(stored['class_names'])
    if stored.get('recipe') is not None and os.path.isfile(stored['recipe']):
        stored['recipe'] = os.path.abspath(stored['recipe'])
    return stored


def refuse(typed: Dict[str, Any], names: Sequence[str], why: str) -> None:
    """Raises ValueError where one of the options was typed. why: what follows their names in the message."""
    strays = [name for name in names if name in typed]
    if strays:
        raise ValueError('{} {}'.format(flags(strays), why))


def refuse_workers_of_one(typed: Dict[str, Any]) -> None:
    """Raises ValueError for options of several workers where a training has one."""
    refuse(typed, _OF_WORKERS, 'is about several workers, and there is one. Add --workers N, or leave it out.')


def without_validation(options: argparse.Namespace) -> argparse.Namespace:
    """Returns the options of a training that is not evaluated, so that nothing is opened but what it trains on."""
    changed = dict(val_split='', val_images=None, val_labels=None, ema=None, swa=None, head_warmup=0)
    return argparse.Namespace(**dict(vars(options), **changed))


def _rules() -> Dict[str, argparse.Action]:
    parser = Parser(add_help=False)
    parser.add_argument('--seed', type=int)
    parser.add_argument('--recipe')
    for add in (add_data_arguments, add_augmentation_arguments, add_network_arguments, add_training_arguments):
        add(parser)
    return stored.rules(parser)


def recipe_arguments(name: str, defaults: Dict[str, Any]) -> Dict[str, Any]:
    """Returns the options that a recipe names. Raises ValueError for one that `fcn8s train` does not take."""
    from fcn8s.training import recipes

    arguments = stored.with_threads(recipes.read_recipe(name).arguments)
    stored.check(arguments, _rules(), 'the recipe {!r}'.format(name))
    for option in _ONLY_TYPED:
        if arguments.get(option) is not None:
            raise ValueError(
                '{} in a recipe; say {} {} in the command.'.format(option, flags([option]), arguments[option])
            )
    unknown = sorted(set(arguments) - set(defaults))
    if unknown:
        raise ValueError('the recipe {!r} has options that fcn8s train does not: {}.'.format(name, ', '.join(unknown)))
    return arguments


def _check_data(given: Dict[str, Any]) -> None:
    if ('data' in given) == ('images' in given):
        raise ValueError(
            'say what to train on: either --data ROOT --layout NAME, or --images DIR --labels DIR --classes N.'
        )
    if 'images' in given and not ('labels' in given and _names_classes(given)):
        raise ValueError(
            '--images needs --labels DIR and --classes N, --colors FILE or --class-names FILE; a classes.txt beside '
            'the data does too.'
        )
    if ('val_images' in given) != ('val_labels' in given):
        raise ValueError('--val-images DIR and --val-labels DIR go together; only one of them came.')
    check_counts(given)
    if 'crop' in given and 'size' in given and 'random_scale' not in given:
        raise ValueError(
            '--crop takes its windows from the images as they are on disk, and the evaluation brings them to --size '
            '{} {}. Say with --random-scale MIN MAX how training scales them: for half the size, something like '
            '0.4 0.8.'.format(*given['size'])
        )
    if 'hold_out' in given:
        others = [name for name in ('val_split', 'val_images', 'val_labels') if name in given]
        if others:
            raise ValueError('--hold-out says what to evaluate on, and so does {}. Give one.'.format(flags(others)))
    elif not ('val_images' in given if 'images' in given else given.get('val_split', 'val')):
        of_evaluations = ('eval_every', 'eval_batch', 'eval_at_input_size', 'summary_worst')
        without = [name for name in of_evaluations if name in given]
        if without:
            raise ValueError('{} came, but there are no data to evaluate on.'.format(flags(without)))


def _names_classes(given: Dict[str, Any]) -> bool:
    """Whether it is known how many classes there are."""
    if any(name in given for name in ('classes', 'colors', 'class_names')):
        return True
    from data_generator.files.legends import find_legends

    return bool(find_legends(list(zip(as_list(given['labels']), as_list(given['images'])))))


def _check_belongings(typed: Dict[str, Any], given: Dict[str, Any]) -> None:
    for owner, names in _BELONG_TO.items():
        if owner not in given:
            refuse_without(flag(owner), [flag(name) for name in names if name in typed])


def _check_network(given: Dict[str, Any]) -> None:
    if ('encoder' in given) == ('fine_tune_from' in given):
        raise ValueError(
            'give either --encoder DIR (write one with: fcn8s vgg16 OUT --weights hed) or --fine-tune-from MODEL.'
        )


def options_of_run(path: str) -> Dict[str, Any]:
    """Returns the options of `fcn8s train` that the run at `path`, or that of a packed network, was started with.

    There are none for other models, and runs from Python.

    Raises ValueError where its config.json is damaged.
    """
    from fcn8s.saving import runs

    config = runs.config_of(path)
    if config.get('command') is None:
        return {}
    command = stored.with_threads(config['command'])
    stored.check(command, _rules(), '{!r}: config.json'.format(path))
    return command


def _resumed(typed: Dict[str, Any], defaults: Dict[str, Any]) -> argparse.Namespace:
    from fcn8s.saving import runs

    config = runs.read_config(runs.open_run(typed['resume']))
    if config.get('command') is None:
        raise ValueError(
            '{!r} was not started by fcn8s train, so its options are not known. Go on from Python with '
            'resume=True.'.format(typed['resume'])
        )
    command = options_of_run(typed['resume'])
    if not isinstance(config.get('training'), dict):
        raise ValueError('{!r}: config.json is damaged: it has no settings of training.'.format(typed['resume']))
    # Of a later version; one that is off changes nothing.
    unknown = sorted(name for name, value in command.items() if value and name not in defaults)
    if unknown:
        raise ValueError(
            '{!r} was started with {}, which this version of fcn8s does not know. Go on with the version that its '
            'config.json names.'.format(typed['resume'], flags(unknown))
        )
    places = [name for name in PLACES if command.get(name) is not None]
    refused: List[str] = sorted(set(typed) - set(RESUMABLE) - set(places) - {'resume', 'of_cluster'})
    if refused:
        raise ValueError(
            '--resume goes on with the settings that the run was started with; leave out {}. Only {} may change, '
            'and {} where its data have moved.'.format(flags(refused), flags(RESUMABLE), flags(places))
        )
    given = dict(labels.as_trained(command), **typed)
    _check_places(given, places, typed['resume'])
    check_counts(given)
    options = argparse.Namespace(**dict(defaults, **given))
    check_threads(options.threads)
    options.run_dir = typed['resume']
    # Not counted again: they are part of what the run was started with.
    options.class_weights = config['training'].get('class_weights')
    stored.check({'class_weights': options.class_weights}, _rules(), '{!r}: config.json'.format(typed['resume']))
    return options


def _check_places(given: Dict[str, Any], names: Sequence[str], run_dir: str) -> None:
    """Raises FileNotFoundError where data that a resumed run needs are not where they were."""
    for name in names:
        if name in ('colors', 'class_names') and not os.path.isabs(given[name]):
            continue  # a name of a dataset or names of classes; of files runs keep the whole path
        for place in as_list(given[name]):
            if not os.path.exists(place):
                raise FileNotFoundError(
                    'the run {!r} was started with {} {!r}, which is not there. If it has moved, add {} with the '
                    'place where it is now.'.format(run_dir, flag(name), place, flag(name))
                )
