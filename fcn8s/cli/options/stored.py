"""Options from a file, a recipe or the config.json of a run: checked by the rules of the command line."""

import argparse
from typing import Any, Dict, Iterable

from fcn8s.cli.options.folders import AddFolder
from fcn8s.cli.terminal import Parser
from helpers.json_files import is_number

# No training works without these. For other options None means off, or is refused where the option is used.
_NEEDED = ('threads', 'epochs', 'rate', 'timeout', 'batch', 'accumulate')


def rules(parser: Parser) -> Dict[str, argparse.Action]:
    """Returns option -> its argparse action on the command line."""
    return {option.dest: option for option in parser.options}


def check(options: Any, permitted: Dict[str, argparse.Action], where: str) -> None:
    """Raises ValueError for options of a file with values that the command line would not take.

    permitted: from `rules`; options that it does not name are left to the caller. where: what messages call the file.
    """
    if not isinstance(options, dict):
        raise ValueError('{} is damaged: its options are {!r:.60}, no table of options.'.format(where, str(options)))
    for name, value in options.items():
        _require(value is not None or name not in _NEEDED, where, name, value, 'given, or left out of the file')
        if value is None or name not in permitted:
            continue
        action = permitted[name]
        values: Iterable[Any] = [value]
        if action.nargs == 0:
            _require(isinstance(value, bool), where, name, value, 'true or false')
            continue
        if action.nargs is not None:
            _require(isinstance(value, (list, tuple)), where, name, value, 'a list')
            wanted = action.nargs if isinstance(action.nargs, int) else len(value)
            _require(len(value) == wanted, where, name, value, 'a list of {}'.format(wanted))
            values = value
        elif isinstance(action, AddFolder) and isinstance(value, list):
            _require(len(value) > 0, where, name, value, 'a text or a list of them')
            values = value
        elif name == 'class_weights' and isinstance(value, list):  # the form in which runs store them
            _require(all(map(is_number, value)), where, name, value, 'a list of numbers')
            continue
        for entry in values:
            _check_entry(entry, action, where, name)


def with_threads(options: Any) -> Any:
    """Returns the options under today's names: version 1.0 called reading threads workers."""
    if not isinstance(options, dict) or 'workers' not in options or 'threads' in options:
        return options
    renamed = {name: value for name, value in options.items() if name != 'workers'}
    return dict(renamed, threads=options['workers'])


def _check_entry(value: Any, action: argparse.Action, where: str, name: str) -> None:
    if action.type is float:
        _require(is_number(value), where, name, value, 'a finite number')
    elif action.type is not None:
        _require(isinstance(value, int) and not isinstance(value, bool), where, name, value, 'a whole number')
        if action.type is not int:
            try:
                action.type(str(value))  # type: ignore[operator]
            except argparse.ArgumentTypeError as error:
                raise ValueError('{}: {}: {}.'.format(where, name, error)) from None
    else:
        _require(isinstance(value, str) and '\0' not in value, where, name, value, 'a text')
    if action.choices is not None:
        choices = ', '.join(repr(choice) for choice in action.choices)
        _require(value in action.choices, where, name, value, 'one of ' + choices)


def _require(holds: bool, where: str, name: str, value: Any, rule: str) -> None:
    if not holds:
        shown = repr(value)
        raise ValueError(
            '{}: {} is {}; it has to be {}.'.format(where, name, shown if len(shown) < 80 else shown[:80] + '...', rule)
        )
