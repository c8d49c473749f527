"""Stopping at a good moment: Ctrl-C, SIGTERM and SIGHUP ask for it, and the training loop stops after a step."""

import signal
import threading
import time
from typing import Any, Iterator, List, Optional, Tuple

from helpers.process.termination import STOP_SIGNALS, Interrupted, leave_lost_terminal, signals_to_hear

#: What an error says before the run with which an interrupted training goes on: a line of its own, to be copied.
GO_ON_WITH = '\n  fcn8s train --resume '


class StopRequest:
    """While open, turns SIGINT, SIGTERM and SIGHUP into `requested`; a second signal interrupts at once.

    SIGHUP comes when the terminal is closed or its connection breaks; where nohup ignores it, it stays ignored. Both
    the shell and the system send it, so a further SIGHUP changes nothing. timeout(1) sends SIGTERM to the process and
    to its group: two that come within half a second count as one. Signal handlers belong to the main thread; in any
    other thread this does nothing and `requested` stays None.
    """

    SIGNALS = STOP_SIGNALS
    _TOGETHER = 0.5  # seconds

    def __init__(self) -> None:
        self.requested: Optional[str] = None
        self._requested_at: Optional[float] = None
        self._previous: List[Tuple[int, Any]] = []

    def __enter__(self) -> 'StopRequest':
        if threading.current_thread() is threading.main_thread():
            self._previous = [(number, signal.signal(number, self._handle)) for number in signals_to_hear()]
        return self

    def __exit__(self, *_: Any) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous:
            # A handler that was not set from Python reads as None and cannot be put back; the default is the nearest.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = []

    def _handle(self, number: int, _: Any) -> None:
        name = signal.Signals(number).name
        if name == 'SIGHUP':
            leave_lost_terminal()
        if self._requested_at is None:
            self.requested, self._requested_at = name, time.monotonic()
        elif name == 'SIGINT' or name == 'SIGTERM' and time.monotonic() > self._requested_at + self._TOGETHER:
            self._restore()
            raise Interrupted('stopped at once by a second signal, {}'.format(name), name)


class TrainingInterrupted(Interrupted):
    """Training was stopped by a signal after finishing its step; the message says how to go on."""


class EvaluationAbandoned(Exception):  # noqa: N818 - nothing went wrong; it carries a request to stop
    """An evaluation during training was given up for a signal; the epoch is not finished."""


def until_stopped(batches: Iterator[Any], stop: StopRequest) -> Iterator[Any]:
    """Yields the batches, one by one; raises EvaluationAbandoned in place of the next once a stop is requested."""
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        if stop.requested:
            raise EvaluationAbandoned
        yield batch
