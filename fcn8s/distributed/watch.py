"""The workers of a cluster among themselves: they compare settings, exchange values, and watch over each other.

Each has a connection to worker 0 (`fcn8s.distributed.meeting`, `fcn8s.distributed.messages`). Nothing here loads
TensorFlow.

Collectives of TensorFlow 1.15 wait for ever for a worker that is gone. So each worker reports every second or so that
it lives, how far it is, what it does, and how many signs of work it has shown (`fcn8s.distributed.activity`). A worker
that is silent, gone or behind for too long is lost, and all others stop: with a `WorkerLostError` if their main thread
can raise it, else the process ends with `EXIT_STATUS`. How long others wait for a worker that shows signs of work
depends on what it does (`fcn8s.distributed.standing`): only steps take all workers about the same time.
If all workers hang, none is behind: worker 0 stops all when none shows signs of work any more, or when none has
finished a batch for much longer than a batch takes. While all workers prepare, none waits for another, and they may
take any time.
"""

import atexit
import contextlib
import os
import threading
import time
from typing import Any, Callable, Container, ContextManager, Dict, Iterator, List, Optional, Tuple

from fcn8s.distributed.activity import Activity
from fcn8s.distributed.cluster import Cluster
from fcn8s.distributed.messages import Connection, Messages
from fcn8s.distributed.standing import SILENCE, Standing
from fcn8s.stopping import TrainingInterrupted
from helpers.json_files import differences

TIMEOUT = 60.0
# The exit status of a process that stops because another worker was lost.
EXIT_STATUS = 3
# The share of the time-out after which a process whose main thread waits in TensorFlow ends, once a worker is lost.
_GRACE = 0.1
# How often a worker says that it lives, in seconds; with a short time-out more often.
_TICK = 1.0
# TensorFlow's errors, by name as it is not loaded here, that a collective raises when another worker is gone.
_ERRORS_OF_THE_LOST = ('UnavailableError', 'AbortedError', 'CancelledError', 'InternalError')


class WorkerLostError(RuntimeError):
    """Another worker was killed, stopped, hangs, failed, or never came; the message names it and the step."""


class Watch:
    """This worker's watch over the others; made by `meet`."""

    def __init__(self, cluster: Cluster, timeout: float) -> None:
        self.cluster, self.timeout = cluster, timeout
        self.step = 0
        self._changed = threading.Condition(threading.RLock())
        self._messages = Messages()
        # What is known here of each worker: where it is and what it does, and how it left.
        self.standing = Standing(cluster.worker, cluster.size, timeout)
        self._left: Dict[int, str] = {}
        # What is gathered, by number of the round: the values so far (in worker 0), and complete lists.
        self._round = 0
        self._values: Dict[int, Dict[int, Any]] = {}
        self._answers: Dict[int, List[Any]] = {}
        # Why all workers stop, and whether the main thread knows.
        self._loss: Optional[str] = None
        self._is_told = False
        self._is_working = self._is_waiting = self._is_closed = False

    # What the training does

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Needs the others while it is open: the loss of one ends this process or raises WorkerLostError."""
        with self._changed:
            self._is_working = True
            self.standing.begin_to_work()
            self._lose_who_left()
        self.check()
        try:
            yield
            self.gather(None)  # nobody leaves before all are done
        except BaseException as error:
            if isinstance(error, TrainingInterrupted):
                self.gather(None)  # all raise it, after the same step; nobody leaves before worker 0 has saved
            elif not isinstance(error, WorkerLostError):
                text = '{}: {}'.format(type(error).__name__, error)[:500]
                self._messages.send_all({'kind': 'failed', 'text': text, 'step': self.step})
                self._messages.wait_until_sent()
            raise
        finally:
            self._is_working = False
            self._set_activity('preparing')

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Keeps the process from being ended while it is open: what is being written is finished first."""
        with self._while_doing('saving'):
            yield
        self.check()

    def may_save_at_failure(self) -> bool:
        """Tells whether this worker, if it fails between two steps, may write the state that all workers share.

        Worker 0 may. It writes nothing while it waits for another worker at a synchronisation point: then that worker
        may, and waits here for a while until worker 0 is there. No worker may once one is lost.
        """
        own, limit = self.cluster.worker, time.monotonic() + SILENCE * self.timeout / 2
        progress = self.standing.progress
        with self._changed:
            while own and progress[0] <= progress[own]:
                self._lose_who_left()
                if self._loss is not None or time.monotonic() > limit:
                    return False
                self._changed.wait(0.1)
            return self._loss is None

    def calling_back(self) -> ContextManager[None]:
        """Says while it is open that the user's code is running, for which others wait longer."""
        return self._while_doing('callback')

    @contextlib.contextmanager
    def _while_doing(self, what: str) -> Iterator[None]:
        before = self.standing.doing[self.cluster.worker]
        self._set_activity(what)
        try:
            yield
        finally:
            with self._changed:
                self.standing.set_activity(before)
                self.standing.done_at = time.monotonic()

    def _set_activity(self, what: str) -> None:
        with self._changed:
            self.standing.set_activity(what)

    def begin_batches_of(self, kind: str) -> None:
        """Says what batches are for from now on, 'step' or 'evaluation'; the first of a kind may take long."""
        with self._changed:
            self.standing.begin_batches_of(kind)

    def finished(self) -> None:
        """Says that this worker has finished a batch."""
        with self._changed:
            self.standing.finish()

    def begin(self, step: int) -> None:
        """Says that this worker has begun a step. Raises WorkerLostError if a worker is lost."""
        self.step = step
        self._set_activity('steps')
        self.arrive()

    def arrive(self) -> None:
        """Says that this worker has reached a synchronisation point. Raises WorkerLostError if a worker is lost."""
        self.check()
        with self._changed:
            self.standing.progress[self.cluster.worker] += 1

    def check(self) -> None:
        """Raises WorkerLostError if a worker is lost."""
        if self._loss is not None:
            self._raise_loss(self._loss)

    def _raise_loss(self, loss: str, cause: Optional[Exception] = None) -> None:
        """Raises WorkerLostError once the others have been told, because it may end the process."""
        self._is_told = True
        self._messages.wait_until_sent()
        raise WorkerLostError(loss) from cause

    def explain(self, error: Exception) -> None:
        """Raises WorkerLostError if a lost worker caused an error of TensorFlow; waits a while for news of the loss."""
        limit = time.monotonic() + self.timeout
        with self._changed:
            self._is_told = True
            while self._loss is None and time.monotonic() < limit:
                self._changed.wait(0.1)
            if self._loss is not None:
                self._raise_loss(self._loss, error)
            self._is_told = False

    def guarded(self, run: Callable[[], Any]) -> Any:
        """Runs code that waits for the other workers; an error that a lost worker caused becomes WorkerLostError."""
        try:
            return run()
        except (WorkerLostError, KeyboardInterrupt):
            raise
        except Exception as error:
            if type(error).__name__ in _ERRORS_OF_THE_LOST:
                self.explain(error)
            raise

    def gather(self, value: Any) -> List[Any]:
        """Returns the values of all workers, in their order; all have to call it. value: as JSON can hold it."""
        self.arrive()
        with self._changed:
            number, self._round = self._round, self._round + 1
            if self.cluster.is_first:
                self._take_value(0, number, value)
            else:
                self._messages.send(0, {'kind': 'value', 'round': number, 'value': value})
            self._is_waiting = True
            try:
                while number not in self._answers:
                    self._lose_who_left(self._values.get(number, {}))
                    self.check()
                    self._changed.wait(0.1)
            finally:
                self._is_waiting = False
            return self._answers.pop(number)

    def compare(self, description: Dict[str, Any]) -> None:
        """Raises ValueError, in all workers, that names the first entry in which one differs from worker 0."""
        described = self.gather(description)
        for worker, other in enumerate(described):
            for name in sorted(set(described[0]) | set(other)):
                for place, expected, found in differences(name, described[0].get(name), other.get(name)):
                    raise ValueError(
                        '{} has {} {:.200}, and worker 0 has {:.200}. Start all workers with the same.'.format(
                            self.cluster.name(worker), place, repr(found), repr(expected)
                        )
                    )

    def take_timeout(self, timeout: float) -> None:
        """Lets another time-out count from now on; all workers call this once they have agreed on it."""
        with self._changed:
            if timeout != self.timeout:
                self.timeout = self.standing.timeout = timeout
                # The others may take it a little later, and report more rarely until then.
                self.standing.heard = dict.fromkeys(self.standing.heard, time.monotonic() + _TICK)

    def close(self) -> None:
        """Says good-bye and closes the connections. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            self._messages.send_all({'kind': 'bye'})
            if not self._is_told:  # a message about a loss has already been waited for
                self._messages.wait_until_sent()
            self._messages.close()

    # What is said among workers

    def start(self, connections: Dict[int, Connection]) -> None:
        """Begins to listen to the others and to tell them that this worker lives."""
        # Worker 0 is silent while it waits for the others, which it does for at most a time-out.
        patience = 0.0 if self.cluster.is_first else self.timeout
        self.standing.heard = dict.fromkeys(connections, time.monotonic() + patience)
        self._messages.start(connections, self._hear, self._hear_no_more)
        threading.Thread(target=self._tick, daemon=True).start()
        atexit.register(self.close)

    def _hear(self, worker: int, message: Dict[str, Any]) -> None:
        with self._changed:
            self.standing.heard[worker] = time.monotonic()
            self._take(worker, message)
            self._changed.notify_all()

    def _hear_no_more(self, worker: int, how: str) -> None:
        with self._changed:
            if not self._is_closed:
                self._left.setdefault(worker, how)
                if self._is_working:
                    self._lose(worker, self._left[worker])

    def _take(self, worker: int, message: Dict[str, Any]) -> None:
        kind = message['kind']
        if kind == 'alive':
            self.standing.take(worker, message)
        elif kind == 'value':
            self._take_value(worker, message['round'], message['value'])
        elif kind == 'values':
            self._answers[message['round']] = message['values']
        elif kind == 'lost':
            self._set_loss(message['text'])
        elif kind == 'failed':
            self._left[worker] = 'stopped: {}'.format(message['text'])
            self._lose(worker, self._left[worker], message['step'])
        elif kind == 'bye':
            self._left[worker] = 'has ended'

    def _take_value(self, worker: int, number: int, value: Any) -> None:
        values = self._values.setdefault(number, {})
        values[worker] = value
        if len(values) == self.cluster.size:
            listed = [values[other] for other in range(self.cluster.size)]
            del self._values[number]
            self._answers[number] = listed
            self._messages.send_all({'kind': 'values', 'round': number, 'values': listed})

    # Losses

    def _tick(self) -> None:
        """Tells the others that this worker lives, and finds out who is silent or behind."""
        activity = Activity()
        while not self._is_closed and self._loss is None:
            interval = min(_TICK, self.timeout / 20)
            start, works = time.monotonic(), activity.look()
            with self._changed:
                self.standing.look(works)
                mine = self.standing.said()
            self._messages.send_all(dict(mine, kind='alive'))
            time.sleep(interval)
            with self._changed:
                self.standing.leave_out(time.monotonic() - start - interval)
                self._look_for_losses()

    def _look_for_losses(self) -> None:
        is_waited_for = self.cluster.is_first and self.standing.is_apart()
        if self._is_working or self._is_waiting or is_waited_for:
            self._lose_found(self.standing.silent())
        if self.cluster.is_first:
            self._lose_found(self.standing.hanging())
            stalled = self.standing.stalled() if self._is_working else None
            if stalled is not None:
                self._stop(stalled)

    def _lose_found(self, found: Optional[Tuple[int, str]]) -> None:
        if found is not None:
            self._lose(*found)

    def _lose_who_left(self, given: Container[int] = ()) -> None:
        """Loses a worker that is gone, unless it has given its value; else the others would wait for it for ever."""
        for worker, how in sorted(self._left.items()):
            if worker not in given:
                self._lose(worker, how)

    def _lose(self, worker: int, how: str, step: Optional[int] = None) -> None:
        self._stop('{} {}'.format(self.cluster.name(worker), how), step)

    def _stop(self, why: str, step: Optional[int] = None) -> None:
        text = '{}, at step {}. All workers stop; go on from the last checkpoint with --resume.'.format(
            why, (self.step if step is None else step) + 1
        )
        if self._loss is None:
            self._messages.send_all({'kind': 'lost', 'text': text})
        self._set_loss(text)

    def _set_loss(self, text: str) -> None:
        if self._loss is None and not self._is_closed:
            self._loss = text
            self._changed.notify_all()
            if self._is_working:
                threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        """Ends the process if its main thread does not raise the loss, because it waits in TensorFlow for ever."""
        limit, activity = time.monotonic() + max(0.5, _GRACE * self.timeout), Activity()
        while time.monotonic() < limit or self.standing.may_save():
            time.sleep(0.05)
            if activity.look():
                self.standing.worked_at[self.cluster.worker] = time.monotonic()
            if self._is_told or not self._is_working:
                return
        with contextlib.suppress(Exception):
            os.write(2, 'fcn8s: {}\n'.format(self._loss).encode())  # sys.stderr may be silenced
        self._messages.wait_until_sent()
        os._exit(EXIT_STATUS)
