"""The command line: `fcn8s COMMAND ...`.

Every command is a module of this package with `add_parser(subparsers)` and `run(args) -> exit status`. Modules import
TensorFlow and the data packages inside `run`, so that `fcn8s --help` stays instant. This package is the one bridge
between `fcn8s` and `data_generator`.
"""

import argparse
import contextlib
import importlib
import signal
import threading
from typing import Any, Iterator, Optional, Sequence

from fcn8s import __version__
from fcn8s.cli.terminal import Parser, complain, fitted_output

COMMANDS = ('demo', 'sample_data', 'check', 'vgg16', 'plan', 'train', 'evaluate', 'predict', 'video')


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog='fcn8s',
        description='FCN-8s semantic segmentation: from a dataset on disk to a score to trust and a video to show.',
    )
    parser.add_argument('--version', action='version', version='fcn8s ' + __version__)
    subparsers = parser.add_subparsers(dest='command', metavar='COMMAND')
    for command in COMMANDS:
        importlib.import_module('fcn8s.cli.' + command).add_parser(subparsers)
    return parser


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _terminate(number: int, frame: Any) -> None:
    # timeout(1) sends the signal twice, and the second must not end the tidying up. SIGKILL remains.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Terminated('stopped by SIGTERM')


@contextlib.contextmanager
def _tidy_termination() -> Iterator[None]:
    """While open, SIGTERM ends a command as Ctrl-C does, so that it removes what it has half written.

    `fcn8s.stopping.StopRequest`, which some commands open, goes before it. Signal handlers belong to the main
    thread, and one that the program around this has set stays.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs one command.

    Exit status: 0 done, 1 the command's own 'no', 2 bad input, 130 interrupted, 143 ended by SIGTERM.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        with fitted_output(), _tidy_termination():
            return args.run(args)
    except _Terminated as termination:
        complain('fcn8s: {}'.format(termination))
        return 143
    except KeyboardInterrupt as interruption:
        complain('fcn8s: {}'.format(str(interruption) or 'interrupted'))
        return 130
    except (ValueError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        complain('fcn8s {}: error: {}'.format(args.command, error))
        return 2
    except Exception as error:
        # TensorFlow's own type, told by its name, because this module does not load TensorFlow.
        if type(error).__name__ != 'ResourceExhaustedError':
            raise
        complain(
            'fcn8s {}: error: out of memory. Take a smaller --batch, --crop, --size or --tile; fcn8s plan says what '
            'fits.'.format(args.command)
        )
        return 2
