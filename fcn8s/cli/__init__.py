"""The command line: `fcn8s COMMAND ...`.

Every command is a module of this package with `add_parser(subparsers)` and `run(args) -> exit status`. Modules import
TensorFlow and the data packages inside `run`, so that `fcn8s --help` stays instant. This package is the one bridge
between `fcn8s` and `data_generator`.
"""

import argparse
import importlib
import sys
from typing import Optional, Sequence

from fcn8s import __version__
from fcn8s.cli.terminal import (
    READER_IS_GONE,
    Parser,
    complain,
    drop_output,
    ensure_streams,
    fitted_output,
    plain_warnings,
)
from fcn8s.distributed import watch
from fcn8s.distributed.launching import follow_launcher
from fcn8s.foreign_folders import explained
from helpers.process.termination import exit_status, interruption_kept, termination_raised

COMMANDS = (
    *('demo', 'sample_data', 'import', 'check', 'vgg16', 'import_fcn8s', 'plan'),
    *('find_rate', 'train', 'evaluate', 'report', 'predict', 'video', 'export', 'pack'),
)
# The modules of commands with a name that is a Python keyword.
_MODULES = {'import': 'import_annotations'}
_OUT_OF_MEMORY = 'out of memory. Take a smaller --batch, --crop, --size or --tile; fcn8s plan says what fits.'


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of the command line, with all commands."""
    parser = Parser(
        prog='fcn8s',
        description='FCN-8s semantic segmentation: from a dataset on disk to a score to trust and a video to show.',
    )
    parser.add_argument('--version', action='version', version='fcn8s ' + __version__)
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND')
    for command in COMMANDS:
        importlib.import_module('fcn8s.cli.' + _MODULES.get(command, command)).add_parser(subparsers)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one command.

    Exit status: 0 done, 1 the command's own 'no', 2 bad input, 3 another worker was lost, 129 the terminal was closed
    (SIGHUP), 130 interrupted, 141 the reader of the output has closed it, 143 ended by SIGTERM.
    """
    try:
        return _run(argv)
    except KeyboardInterrupt as interruption:
        complain('fcn8s: {}'.format(str(interruption) or 'interrupted'))
        return exit_status(interruption)


def _run(argv: Optional[Sequence[str]]) -> int:
    ensure_streams()
    follow_launcher()
    with interruption_kept():
        parser = build_parser()
        args = parser.parse_args(argv)
    args.argv = sys.argv[1:] if argv is None else list(argv)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        # `fcn8s.stopping.StopRequest`, which some commands open, goes before `termination_raised`.
        with fitted_output(), plain_warnings(args.command), termination_raised(), interruption_kept():
            status: int = args.run(args)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a closed reader is handled
            return status
    except BrokenPipeError:
        drop_output()
        return READER_IS_GONE
    except ImportError as error:
        complain('fcn8s {}: error: {}'.format(args.command, explained(error)))
        return 2
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        text = str(error)
        if isinstance(error, MemoryError):  # Python's own have no text, and NumPy's no remedy
            text = '; '.join(filter(None, [text, _OUT_OF_MEMORY]))
        complain('fcn8s {}: error: {}'.format(args.command, _with_names_of_zips(text)))
        return 2
    except watch.WorkerLostError as error:
        complain('fcn8s: {}'.format(error))
        return watch.EXIT_STATUS
    except Exception as error:
        # TensorFlow's own type, recognised by name, because this module does not load TensorFlow.
        if type(error).__name__ != 'ResourceExhaustedError':
            raise
        complain('fcn8s {}: error: {}'.format(args.command, _OUT_OF_MEMORY))
        return 2


def _with_names_of_zips(message: str) -> str:
    """See `fcn8s.saving.packed`. If that is not loaded, there is no zip to name, and it is not loaded for this."""
    packed = sys.modules.get('fcn8s.saving.packed')
    if packed is not None:
        message = packed.with_names_of_zips(message)
    return message
