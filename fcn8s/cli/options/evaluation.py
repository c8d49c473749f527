"""The flags that say what to evaluate and how, shared by `evaluate` and `report`."""

import argparse
import os
from typing import Any, Dict, Sequence, Tuple

from fcn8s.cli.options import labels
from fcn8s.cli.options.counts import batch_size
from fcn8s.cli.options.flags import flag, refuse_without
from fcn8s.cli.options.folders import TakeDataset, add_folder_arguments, check_counts
from fcn8s.cli.options.images import add_image_arguments
from fcn8s.cli.options.layouts import LayoutHelp
from fcn8s.cli.options.lists import ExtendList
from fcn8s.cli.options.prediction import (
    add_averaging_arguments,
    add_engine_arguments,
    add_sampling_arguments,
    add_trust_argument,
)
from fcn8s.cli.options.workers import add_threads_argument, check_threads
from fcn8s.evaluation.bootstrap import NUM_RESAMPLES

# Options that have no effect without another one.
_BELONG_TO = {
    'data': ('layout', 'split'),
    'images': ('labels', 'image_suffix', 'label_suffix', 'colors', 'id_map', 'color_tolerance', 'label_transparency'),
}


# More resamples do not change an interval with two decimals.
MAX_RESAMPLES = 1000000


def add_data_arguments(group: Any) -> None:
    """Adds the options that say what to evaluate on."""
    group.add_argument(
        '--data', action=TakeDataset, metavar='ROOT', help='root directory of a dataset in a known layout'
    )
    group.add_argument(
        '--layout',
        metavar='NAME',
        help=LayoutHelp('with --data: %(layouts)s (default: the one that has the classes of the model)'),
    )
    group.add_argument('--split', help='with --data (default: val)')
    group.add_argument(
        '--only',
        action=ExtendList,
        nargs='+',
        metavar='PREFIX',
        help='only images whose file names begin with PREFIX: a sequence, a city',
    )
    add_folder_arguments(group, '--data', with_val=False)
    labels.add_reading_arguments(group)
    add_image_arguments(group, 'as in training')
    group.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="resize images to this size for the network (default: the --size of the run's fcn8s train, if any)",
    )
    group.add_argument(
        '--at-input-size',
        '--eval-at-input-size',
        action='store_true',
        help="score at the network's size instead of the ground truth's",
    )
    group.add_argument(
        '--batch',
        type=batch_size,
        default=1,
        metavar='N',
        help='images per batch; more than 1 needs images of one size (default: 1)',
    )
    add_threads_argument(group, 'threads that read, and as many that measure boundaries')


def add_prediction_arguments(group: Any) -> None:
    """Adds the options that say how images are predicted, as far as they change the score."""
    add_averaging_arguments(group)
    add_engine_arguments(group)
    add_trust_argument(group)
    add_sampling_arguments(group)


def check_data(args: argparse.Namespace) -> None:
    check_threads(args.threads)
    if (args.data is None) == (args.images is None):
        raise ValueError('say what to evaluate on: either --data ROOT, or --images DIR --labels DIR.')
    for owner, names in _BELONG_TO.items():
        check_belongings(args, owner, names)
    if args.images is not None and args.labels is None:
        raise ValueError('--images and --labels go together: a score needs the ground truth of each image.')
    check_counts(vars(args))


def check_belongings(args: argparse.Namespace, owner: str, names: Sequence[str]) -> None:
    """Raises ValueError for those of the named options that were given without their `owner`."""
    if getattr(args, owner) is None:
        refuse_without(flag(owner), [flag(name) for name in names if getattr(args, name) is not None])


def evaluated_in_training(options: Dict[str, Any]) -> Dict[str, Any]:
    """Returns the flags for the data on which a training evaluated: data, layout, split, only; or images, labels, only
    and the suffixes, if given; else none.

    options: those of `fcn8s train`.
    """
    held = options.get('hold_out')
    found: Dict[str, Any] = {}
    if options.get('data') and (held or options.get('val_split')):
        found = dict(
            data=options['data'],
            layout=options.get('layout'),
            split=options.get('split') if held else options['val_split'],
        )
    elif held or options.get('val_images'):
        prefix = '' if held else 'val_'
        found = {name: options.get(prefix + name) for name in ('images', 'labels')}
        found.update(
            {name: options[name] for name in ('image_suffix', 'label_suffix') if options.get(name) is not None}
        )
    return dict(found, only=held) if held else found


def check_can_write(option: str, path: str, example: str, endings: Tuple[str, ...] = ('',)) -> None:
    """Raises ValueError or OSError where no file can be written at `path`.

    option: as it is typed. endings: the file name endings by which programs recognise the format.
    """
    from helpers.files import check_can_make_at, check_home, check_no_device

    check_home(path)
    if os.path.isdir(path) or path.endswith(('/', os.sep)):
        raise ValueError(
            '{} {} is a directory; give it the name of a file, for example {}.'.format(option, path, example)
        )
    check_no_device(path)
    if not path.lower().endswith(endings):
        raise ValueError(
            '{} is {}; it has to be the name of a {} file, for example {}.'.format(
                option, path, ' or '.join(endings), example
            )
        )
    check_can_make_at(path)


def add_resamples_argument(group: Any) -> None:
    """Adds --resamples."""
    group.add_argument(
        '--resamples',
        type=int,
        default=NUM_RESAMPLES,
        metavar='N',
        help='bootstrap samples (default: {})'.format(NUM_RESAMPLES),
    )


def check_resamples(resamples: int) -> None:
    """Raises ValueError unless it is from 1 to MAX_RESAMPLES."""
    if not 1 <= resamples <= MAX_RESAMPLES:
        raise ValueError(
            '--resamples is {}; it has to be from 1 to {}, and 1000 or more for an interval to quote.'.format(
                resamples, MAX_RESAMPLES
            )
        )
