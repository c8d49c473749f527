"""The flags that say how image files become what a network takes."""

import argparse
import os
from typing import Any, Dict, List, Optional

from fcn8s.cli.options.lists import ExtendList
from helpers.image_rules import ALPHAS, MAX_CHANNELS
from helpers.json_files import read_json

NAMES = ('bands', 'window', 'transparency')


def add_image_arguments(group: Any, default: str = '', besides: str = '') -> None:
    """Adds --bands, --window and --transparency.

    Args:
        group: Argument group of a parser.
        default: Where the values come from if they are not given; empty for all bands, the whole range, black.
        besides: Further help text after the default.
    """
    group.add_argument(
        '--bands',
        type=int,
        action=ExtendList,
        nargs='+',
        metavar='N',
        help="which bands of a file are the network's channels, counted from 1, such as 4 3 2 (default: {}{})".format(
            default or 'all', besides
        ),
    )
    group.add_argument(
        '--window',
        action=ExtendList,
        nargs='+',
        metavar='LOW HIGH',
        help="values that become 0 and 255 in files of more than 8 bits: LOW HIGH, or a pair per channel, or 'file' "
        'for the range of each file (default: {}{})'.format(default or 'the whole range', besides),
    )
    group.add_argument(
        '--transparency',
        choices=ALPHAS,
        help='background of images with an alpha channel (default: {}{})'.format(default or 'black', besides),
    )


def image_rules(args: argparse.Namespace, base: Any) -> Any:
    """Returns the rules `base`, changed as the flags say.

    Raises:
        ValueError: A flag is wrong, or does not fit the channels of `base`.
    """
    from helpers.image_rules import checked_rules, window_of_numbers

    given: Dict[str, Any] = {}
    if args.bands is not None:
        given['bands'] = tuple(args.bands)
    if args.window is not None:
        given['window'] = window_of_numbers(args.window)
    if args.transparency is not None:
        given['alpha'] = args.transparency
    return checked_rules(base._replace(**given))


def image_words(args: argparse.Namespace) -> List[str]:
    """Returns the flags as they were typed, for another command."""
    words: List[str] = []
    for name, value in (('--bands', args.bands), ('--window', args.window)):
        words += [] if value is None else [name] + [str(number) for number in value]
    return words + ([] if args.transparency is None else ['--transparency', args.transparency])


def rules_to_begin_with(encoder: Optional[str], model: Optional[str]) -> Any:
    """Returns the rules with which a training begins: those of a model, or those of an encoder's channels."""
    from helpers.image_rules import ImageRules

    if model is not None:
        from fcn8s.saving.descriptions import read_description
        from fcn8s.saving.runs import resolve_model

        return read_description(resolve_model(model)).settings.image_rules
    return ImageRules(_channels_of(encoder or ''))


def _channels_of(encoder: str) -> int:
    """The channels in the manifest beside an encoder; encoders without one are checked when they are opened."""
    try:
        channels = read_json(os.path.join(encoder, 'manifest.json')).get('channels', 3)
    except (OSError, ValueError, AttributeError):
        return 3
    return channels if type(channels) is int and 1 <= channels <= MAX_CHANNELS else 3
