"""The final options of `fcn8s train` after --recipe and --resume, and which of them runs keep."""

import argparse
import contextlib
import math
import os
import shlex
from typing import Any, Dict, List, Optional, Sequence

from fcn8s.cli.options import labels, stored
from fcn8s.cli.options.counts import LARGEST_COUNT
from fcn8s.cli.options.flags import flag, flags, refuse_without, said_of
from fcn8s.cli.options.folders import as_absolute, as_list, check_counts
from fcn8s.cli.options.network import DEFAULTS, class_weights_of, frozen_blocks, optimizer_of
from fcn8s.cli.options.training import (
    add_augmentation_arguments,
    add_data_arguments,
    add_network_arguments,
    add_training_arguments,
    transforms,
)
from fcn8s.cli.options.workers import check_threads
from fcn8s.cli.terminal import Parser
from fcn8s.optimizers import OPTIMIZERS
from fcn8s.settings import (
    LOSSES,
    MAX_SEED,
    check_class_weights,
    check_freeze,
    check_has_skips,
    check_head_warmup,
    check_ignore_id,
    check_loss,
    check_num_classes,
    check_skip_scales,
    loss_name,
    refuse_warmup_of_several,
)
from fcn8s.training.schedules import parse_schedule
from fcn8s.training.values import (
    MAX_WORST,
    check_keep_prob,
    check_l2_regularization,
    check_last_epochs,
    check_monitor_name,
)
from helpers.files import check_can_make, explain_os_errors, is_below, numbered
from helpers.flags import checked_whole
from helpers.json_files import is_count
from helpers.user_warnings import warn_user

# What --resume may change about a run.
RESUMABLE = ('epochs', 'threads', 'cache', 'report', 'precision', 'workers', 'wire', 'timeout', 'trust')
_DATA_PATHS = ('data', 'images', 'labels', 'val_images', 'val_labels', 'colors')
# Options that say where the data of a run lie; --resume accepts a new place for each that the run was started with.
PLACES = _DATA_PATHS + ('class_names',)
# Options that are not settings of the run and do not go into its config.json.
_NOT_STORED = (
    *('resume', 'run_dir', 'list_recipes', 'overfit_one_batch'),
    *('workers', 'wire', 'timeout', 'of_cluster'),
    *('folds', 'fold'),
    'minutes',  # the resulting epochs are stored
    'trust',  # said anew each time: a file must not vouch for itself
)
# These decide what the command does before it reads a recipe.
_ONLY_TYPED = ('resume', 'recipe', 'overfit_one_batch', 'minutes', 'folds', 'fold', 'workers', 'trust')
# Where a new training gets its weights; a resumed run has its own checkpoint.
BEGINNINGS = ('encoder', 'fine_tune_from')
_PATHS = _DATA_PATHS + BEGINNINGS + ('cache',)
#: Options with no effect on single steps, which are neither evaluated nor saved and use no validation data.
NOT_OF_STEPS = (
    *('epochs', 'minutes', 'steps_per_epoch', 'ema', 'swa', 'head_warmup'),
    *('val_split', 'val_images', 'val_labels', 'eval_every', 'eval_batch', 'eval_at_input_size', 'summary_worst'),
    *('monitor', 'patience', 'save_every', 'keep_checkpoints', 'report'),
)
# They have no effect on a training by one process.
_OF_WORKERS = ('wire', 'timeout')
# Options that have no effect without another one.
_BELONG_TO = {
    'data': ('layout', 'split', 'val_split'),
    'images': (
        ('labels', 'val_images', 'val_labels', 'image_suffix', 'label_suffix', 'classes', 'ignore_id')
        + ('id_map', 'colors', 'color_tolerance', 'label_transparency', 'class_names')
    ),
    'crop': ('random_scale', 'max_class_share', 'crop_on_classes'),
    'size': ('eval_at_input_size',),
}
# Options of a recipe that give way to typed ones: they conflict, and no flag takes them back.
_DISPLACED_BY = {
    'data': ('images',),
    'images': ('data',),
    'labels': ('data',),
    'val_images': ('data', 'hold_out'),
    'val_labels': ('data', 'hold_out'),
    'val_split': ('hold_out',),
    'hold_out': ('val_split', 'val_images', 'val_labels'),
    'encoder': ('fine_tune_from',),
    'fine_tune_from': ('encoder',),
    'colors': ('class_names',),
    'class_names': ('colors',),
    'classes': ('colors', 'class_names'),
    'ema': ('swa',),
    'swa': ('ema', 'patience'),
    'patience': ('swa',),
}


def resolve(typed: Dict[str, Any], defaults: Dict[str, Any], writes: bool = True) -> argparse.Namespace:
    """Returns all options of a training. Raises ValueError and FileNotFoundError for options that do not go together.

    typed: the options that were typed; they win over the recipe, and the recipe wins over the defaults. --resume takes
        the options of the run instead.
    writes: whether this process makes the run directory.
    """
    if 'resume' in typed:
        return _resumed(typed, defaults)
    options = resolve_steps(typed, defaults)
    check_epochs(options)
    if not writes:
        options.run_dir = options.run_dir or 'runs'
        return options
    if options.run_dir is None:
        options.run_dir = _new_run_dir()
    from fcn8s.saving import runs

    runs.check_free(options.run_dir)
    return options


def resolve_steps(typed: Dict[str, Any], defaults: Dict[str, Any]) -> argparse.Namespace:
    """Returns all options for training steps that leave no run; arguments and errors as in `resolve`."""
    recipe = recipe_arguments(typed['recipe'], defaults) if 'recipe' in typed else {}
    given = dict(_beside(recipe, typed), **typed)
    if 'epochs' in typed and 'minutes' in typed:
        raise ValueError('--epochs and --minutes both say how long to train. Give one of the two.')
    _check_data(typed, given)
    _check_belongings(typed, given)
    _check_network(given)
    options = argparse.Namespace(**dict(defaults, **given))
    check_threads(options.threads)
    if 'monitor' not in typed and not evaluates(options):
        options.monitor = None  # that of a recipe
    _check_values(options)
    if options.cache:
        check_can_make(options.cache)
    return options


def evaluates(options: argparse.Namespace) -> bool:
    """Tells whether there are data to evaluate on."""
    by_split = options.data is not None and options.val_split
    return bool(options.hold_out or options.val_images is not None or by_split)


def check_epochs(options: argparse.Namespace) -> None:
    """Raises ValueError for values about epochs and evaluations that no data can make right."""
    checked_whole('--summary-worst', options.summary_worst, 0, MAX_WORST)
    epochs = options.epochs if options.minutes is None else math.inf
    check_last_epochs(epochs, options.swa, options.head_warmup, options.patience, flag)
    check_freeze(frozen_blocks(options), options.head_warmup, flag)
    if options.monitor is None:
        return
    check_monitor_name(options.monitor, '--monitor')
    if options.monitor != 'loss' and not evaluates(options):
        raise ValueError(
            '--monitor is {!r}, and there are no data to evaluate on, so it would never be known. Say what to evaluate '
            'on: --val-split or --val-images, or --hold-out; or take --monitor loss.'.format(options.monitor)
        )


def check_workers_train(options: argparse.Namespace, workers: int) -> None:
    """Raises ValueError for options with which several workers cannot train together."""
    if workers > 1 and options.head_warmup:
        refuse_warmup_of_several(options.head_warmup, flag)


def _check_values(options: argparse.Namespace) -> None:
    """Raises ValueError for values that neither data nor an encoder can make right: nothing is opened before."""
    checked_whole('--seed', options.seed, 0, MAX_SEED)
    check_loss(options.loss, options.normalize, options.class_weights, options.label_smoothing, flag)
    _check_classes(options)
    _check_architecture(options)
    optimizer_of(options)
    parse_schedule(options.rate, LARGEST_COUNT)
    check_keep_prob(options.keep_prob, '--keep-prob')
    check_l2_regularization(options.l2, '--l2')
    if 'timeout' in options:  # which the commands for single steps do not take
        from fcn8s.distributed.workers import check_timeout

        check_timeout(options.timeout, '--timeout')
    _check_images(options)


def _check_classes(options: argparse.Namespace) -> None:
    if options.classes is not None:
        check_num_classes(options.classes, '--classes')
    check_ignore_id(options.ignore_id, '--ignore-id')
    num_classes, weights = _num_classes(options), class_weights_of(options)
    if isinstance(weights, list):
        check_class_weights(weights, num_classes, '--class-weights')


def _num_classes(options: argparse.Namespace) -> Optional[int]:
    """The number of classes, as far as it is known without the labels. Checks what is said of them."""
    from data_generator.files.layouts import variants_of

    if options.images is None:
        numbers = {variant.label_space.num_classes for variant in variants_of(options.layout)}
        return numbers.pop() if len(numbers) == 1 else None
    said = labels.dataset_options(options, options.classes)
    return said['label_space'].num_classes if 'label_space' in said else options.classes


def _check_architecture(options: argparse.Namespace) -> None:
    if options.skip_scales is not None:
        check_skip_scales(options.skip_scales, '--skip-scales')
        # With --fine-tune-from the variant may be that of the other network.
        check_has_skips(options.skip_scales, options.variant or DEFAULTS['variant'], flag)
    check_head_warmup(options.head_warmup, '--head-warmup')
    check_freeze(frozen_blocks(options), spell=flag)


def _check_images(options: argparse.Namespace) -> None:
    from data_generator.transforms.options import check_options
    from fcn8s.prediction.predictor import check_room
    from helpers.label_spaces import DEFAULT_IGNORE_ID

    for name in ('size', 'crop'):
        # With two classes, the fewest: their number is known only when the data are read.
        check_room(getattr(options, name), 2, options.batch, flag(name))
    check_options(transforms(options), DEFAULT_IGNORE_ID, None, has_labels=True, spell=flag)


def _beside(recipe: Dict[str, Any], typed: Dict[str, Any]) -> Dict[str, Any]:
    """The options of a recipe, without those that conflict with typed options and that no flag can undo."""
    loss = LOSSES.get(loss_name(typed['loss'])) if 'loss' in typed else None
    displaced = {name for name, others in _DISPLACED_BY.items() if set(others) & set(typed)}
    if typed.get('variant') == '32s':
        displaced.add('skip_scales')
    if 'optimizer' in typed and OPTIMIZERS[typed['optimizer']].settings.momentum is None:
        displaced.add('momentum')
    if loss is not None and not loss.class_weights:
        displaced.add('class_weights')
    return {name: value for name, value in recipe.items() if name not in displaced}


def _new_run_dir() -> str:
    """Claims runs/DATE-TIME by making the directory; adds a number if another process took it in the same second."""
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
    """Removes a directory if it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(directory)


def storable(options: argparse.Namespace) -> Dict[str, Any]:
    """Returns the options as config.json keeps them, with absolute paths, so that --resume works from anywhere."""
    kept = {name: value for name, value in vars(options).items() if name not in _NOT_STORED}
    for name in _PATHS:
        if kept[name] is not None and not (name == 'colors' and labels.is_name(kept[name])):
            kept[name] = as_absolute(kept[name])
    if kept['class_names'] is not None and os.path.isfile(kept['class_names']):
        kept['class_names'] = os.path.abspath(kept['class_names'])
    if kept.get('recipe') is not None and os.path.isfile(kept['recipe']):
        kept['recipe'] = os.path.abspath(kept['recipe'])
    return kept


def refuse(typed: Dict[str, Any], names: Sequence[str], why: str) -> None:
    """Raises ValueError where one of the options was typed. why: the text for `said_of`."""
    strays = [name for name in names if name in typed]
    if strays:
        raise ValueError(said_of([flag(name) for name in strays], why))


def refuse_workers_of_one(typed: Dict[str, Any]) -> None:
    """Raises ValueError for options about several workers in a training by one."""
    refuse(typed, _OF_WORKERS, '{is_} about several workers, and there is one. Add --workers N, or leave {it} out.')


def refuse_size_of_evaluations(typed: Dict[str, Any], options: argparse.Namespace) -> None:
    """Raises ValueError for --size beside --crop if nothing is evaluated: --size is then only for evaluations."""
    if options.crop is not None:
        refuse(
            typed,
            ['size'],
            '{is_} about evaluations where there is a --crop, and nothing is evaluated. Leave {it} out.',
        )


def without_validation(options: argparse.Namespace) -> argparse.Namespace:
    """Returns the options of a training without evaluation, so that only the training data are opened."""
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
    """Returns the options in a recipe. Raises ValueError for an option that `fcn8s train` does not take."""
    from fcn8s.training import recipes

    arguments = stored.with_threads(recipes.read_recipe(name).arguments)
    stored.check(arguments, _rules(), 'the recipe {!r}'.format(name))
    for option in _ONLY_TYPED:
        value = arguments.get(option)
        if value not in (None, False):
            said = flag(option) if value is True else '{} {}'.format(flag(option), value)
            raise ValueError('{} in a recipe; say {} in the command.'.format(option, said))
    unknown = sorted(set(arguments) - set(defaults))
    if unknown:
        raise ValueError('the recipe {!r} has options that fcn8s train does not: {}.'.format(name, ', '.join(unknown)))
    return arguments


def _check_data(typed: Dict[str, Any], given: Dict[str, Any]) -> None:
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
            does = 'do' if len(others) > 1 else 'does'
            raise ValueError('--hold-out says what to evaluate on, and so {} {}. Give one.'.format(does, flags(others)))
    elif not ('val_images' in given if 'images' in given else given.get('val_split', 'val')):
        of_evaluations = ('eval_every', 'eval_batch', 'eval_at_input_size', 'summary_worst')
        without = [name for name in of_evaluations if name in typed]
        if without:
            raise ValueError('{} came, but there are no data to evaluate on.'.format(flags(without)))


def _names_classes(given: Dict[str, Any]) -> bool:
    """Whether the options determine the number of classes."""
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
    """Returns the options of `fcn8s train` with which the run at `path`, or the run of a packed network, was started.

    Other models, and runs from Python, have none.

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

    run = runs.open_run(typed['resume'])
    runs.check_no_links(run)
    config = runs.read_config(run)
    if config.get('command') is None:
        raise ValueError(
            '{!r} was not started by fcn8s train, so its options are not known. Go on from Python with '
            'resume=True.'.format(typed['resume'])
        )
    command = options_of_run(typed['resume'])
    if not isinstance(config.get('training'), dict):
        raise ValueError('{!r}: config.json is damaged: it has no settings of training.'.format(typed['resume']))
    # Options of a later version; one that is off has no effect.
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
            'and {} where its data have moved. A new run goes on from its weights with other settings: '
            '--fine-tune-from {} --run NEW.'.format(
                flags(refused), flags(RESUMABLE), flags(places), shlex.quote(typed['resume'])
            )
        )
    kept = {name: value for name, value in labels.as_trained(command).items() if name not in _NOT_STORED}
    given = dict(kept, **typed)
    _check_places(given, places, typed['resume'])
    check_counts(given)
    options = argparse.Namespace(**dict(defaults, **given))
    check_threads(options.threads)
    _check_values(options)
    check_epochs(options)
    trained = config.get('train')
    if isinstance(trained, dict) and is_count(trained.get('steps_per_epoch'), 1):  # else the training refuses it
        runs.check_epochs_reach(run, options.epochs, trained['steps_per_epoch'], flag)
    options.run_dir = typed['resume']
    if 'cache' not in typed:
        options.cache = _known_cache(options.cache, options.run_dir)
    # Not counted again: they are settings of the run.
    options.class_weights = config['training'].get('class_weights')
    stored.check({'class_weights': options.class_weights}, _rules(), '{!r}: config.json'.format(typed['resume']))
    return options


def _known_cache(cache: Optional[str], run_dir: str) -> Optional[str]:
    """The cache of a resumed run; None, with a warning, if no cache is there: the run may come from somebody else, and
    its file alone must not decide where this command writes.
    """
    from data_generator.files.cache import holds_entries

    if cache is None or is_below(cache, run_dir) or holds_entries(cache):
        return cache
    warn_user(
        'The run {!r} was started with --cache {!r}, and no cache is there now, so that nothing is cached. To make '
        'one, add --cache with its place.'.format(run_dir, cache)
    )
    return None


def _check_places(given: Dict[str, Any], names: Sequence[str], run_dir: str) -> None:
    """Raises FileNotFoundError where data that a resumed run needs are no longer in their place."""
    for name in names:
        for place in missing_places(name, given[name]):
            raise FileNotFoundError(
                'the run {!r} was started with {} {!r}, which is not there. If it has moved, add {} with the '
                'place where it is now.'.format(run_dir, flag(name), place, flag(name))
            )


def missing_places(name: str, value: Any) -> List[str]:
    """Returns the missing paths among those that an option of PLACES names."""
    if name in ('colors', 'class_names') and not os.path.isabs(value):
        return []  # the name of a dataset, or names of classes; for files, runs keep the whole path
    return [place for place in as_list(value) if not os.path.exists(place)]
