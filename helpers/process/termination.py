"""SIGTERM, Ctrl-C and the end of a terminal: interrupted code removes its unfinished files, and the exit status names
the signal.
"""

import contextlib
import os
import signal
import threading
from typing import Any, Iterator, List

# Exit statuses of shells for programs that these signals ended: 128 plus the number of the signal.
_EXIT_STATUSES = {'SIGHUP': 129, 'SIGINT': 130, 'SIGTERM': 143}
#: Signals that ask a program to end. SIGHUP, which Windows lacks, says that its terminal is gone.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP') if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal stopped the work, at a point where that does no harm.

    Attributes:
        signal_name: 'SIGINT', 'SIGTERM' or 'SIGHUP'.
    """

    def __init__(self, message: str, signal_name: str = 'SIGINT') -> None:
        super().__init__(message)
        self.signal_name = signal_name


def exit_status(interruption: KeyboardInterrupt) -> int:
    """Returns the exit status of a command that this exception ended, 130 for Ctrl-C."""
    return _EXIT_STATUSES[getattr(interruption, 'signal_name', 'SIGINT')]


def signals_to_hear() -> List[int]:
    """Returns the STOP_SIGNALS that this process handles: without SIGHUP if it is ignored, as under nohup."""
    return [
        number
        for number in STOP_SIGNALS
        if signal.Signals(number).name != 'SIGHUP' or signal.getsignal(number) != signal.SIG_IGN
    ]


def leave_lost_terminal() -> None:
    """Discards output and errors if their terminal is gone: writing to it would be an error."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b'')
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


@contextlib.contextmanager
def termination_raised() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP raise `Interrupted` within the context, as Ctrl-C raises KeyboardInterrupt.

    It does nothing outside the main thread, nor to a signal for which the surrounding program has set its own handler,
    or which it ignores, as nohup does with SIGHUP.
    """
    ours = _with_default_action()
    for number in ours:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def interruption_kept() -> Iterator[None]:
    """Raises KeyboardInterrupt where an import in the context turned Ctrl-C into an ImportError, as NumPy does.

    A handler of SIGINT that the surrounding program has set stays.
    """
    came: List[int] = []

    def interrupt(number: int, frame: Any) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    is_main = threading.current_thread() is threading.main_thread()
    is_ours = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except ImportError as error:
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        if is_ours and signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def termination_delayed() -> Iterator[None]:
    """Turns signals into `Interrupted`, as `termination_raised`; at the end of the context they end the process."""
    ours = {signal.Signals(number).name: number for number in _with_default_action()}
    try:
        with termination_raised():
            yield
    except Interrupted as interruption:
        if interruption.signal_name in ours:
            os.kill(os.getpid(), ours[interruption.signal_name])
        raise


def _with_default_action() -> List[int]:
    """SIGTERM and SIGHUP, if they would end the process and this is the main thread, which may handle them."""
    if threading.current_thread() is not threading.main_thread():
        return []
    others = [number for number in STOP_SIGNALS if number != signal.SIGINT]
    return [number for number in others if signal.getsignal(number) == signal.SIG_DFL]


def _terminate(number: int, frame: Any) -> None:
    # timeout(1) sends SIGTERM twice, a terminal that is closed SIGHUP twice, and systemd both. A second signal must not
    # interrupt the cleaning up. SIGKILL still works.
    for other in STOP_SIGNALS:
        if signal.getsignal(other) is _terminate:
            signal.signal(other, signal.SIG_IGN)
    name = signal.Signals(number).name
    if name == 'SIGHUP':
        leave_lost_terminal()
    raise Interrupted('stopped by {}'.format(name), name)
