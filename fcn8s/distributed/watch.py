"""The workers of a cluster among themselves: they compare, hand values round, and watch over each other.

Each has a connection to worker 0 (`fcn8s.distributed.meeting`, `fcn8s.distributed.messages`). Nothing here loads
TensorFlow.

Collectives of TensorFlow 1.15 wait for ever for a worker that is gone. So each worker says every second or so that it
lives, which step it has begun, what it does, and how many signs of work it has shown (`fcn8s.distributed.activity`);
whoever is silent, gone or behind for too long is lost, and all others stop: with a `WorkerLostError` where their main
thread can raise it, else the process ends with `EXIT_STATUS`. How long others wait for a worker that shows signs of
work depends on what it does (`_PATIENCE`): only steps take everyone about as long.
Where all hang alike, nobody is behind: worker 0 stops all when nobody shows signs of work any more, or when nobody has
finished a batch for much longer than one takes (`_stall_limit`). Workers that all prepare are waited for by nobody, and
take as long as they take.
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
from fcn8s.stopping import TrainingInterrupted

TIMEOUT = 60.0
# Of a process that stops because another worker was lost.
EXIT_STATUS = 3
# Shares of the time-out: a worker is lost after so much silence, and one that others wait for after so long without a
# sign of work; a main thread that waits in TensorFlow has so long.
_SILENCE = 0.7
_GRACE = 0.1
# So many time-outs may others wait for a worker that works, by what it does meanwhile. It prepares wherever it takes no
# steps: it builds a network, reads a dataset, restores a checkpoint, or runs the user's script between two trainings.
_PATIENCE = {'steps': _SILENCE, 'callback': 5.0, 'preparing': 10.0, 'saving': 10.0}
_HANGS = {
    'steps': 'hangs: it has not come to the step that others wait in',
    'callback': 'hangs in a callback: {}',
    'preparing': 'hangs before it trains: {} (more --timeout lets it prepare for longer)',
    'saving': 'hangs while it saves: {} (more --timeout lets it save for longer)',
}
# All that work hang alike where nobody has finished a batch for so many time-outs, and so many times as long as one
# ever took. The first of a kind compiles, and has thrice as long.
_STALL = 10.0
_STALL_OF_FIRST = 3 * _STALL
_STALL_OF_LONGEST = 10.0
# Of TensorFlow, which is not loaded here: what a collective raises when another worker is gone.
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
        # Of each worker, as far as it is known here: when it was last heard, how often it has come to what all do
        # together, how many batches it has finished, what it does (of _PATIENCE), and how it left.
        self._heard: Dict[int, float] = {}
        self._progress = dict.fromkeys(range(cluster.size), 0)
        self._done = dict.fromkeys(range(cluster.size), 0)
        self._doing = dict.fromkeys(range(cluster.size), 'preparing')
        self._left: Dict[int, str] = {}
        # How many signs of work each has shown, and when it showed the last that is known here.
        self._worked = dict.fromkeys(range(cluster.size), 0)
        self._worked_at = dict.fromkeys(range(cluster.size), time.monotonic())
        # Whether batches are computed where no sign of work shows: on a GPU.
        self.computes_unseen = False
        # Who is behind: where it is (progress, batches finished, what it does), and since when.
        self._behind: Dict[int, Tuple[Tuple[int, int, str], float]] = {}
        # When this worker began what it does, and when any has last finished a batch; what batches are for, and how
        # long the longest of each kind took.
        self._doing_since = self._done_at = time.monotonic()
        self._kind = 'step'
        self._longest: Dict[str, float] = {}
        # What is gathered, by the number of the round: values so far (in worker 0), and all of them.
        self._round = 0
        self._values: Dict[int, Dict[int, Any]] = {}
        self._answers: Dict[int, List[Any]] = {}
        # Why all stop; whether the main thread knows.
        self._loss: Optional[str] = None
        self._is_told = False
        self._is_working = self._is_waiting = self._is_closed = False

    # What the training does

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Needs the others while it is open: one that is lost ends this process or raises WorkerLostError."""
        with self._changed:
            self._is_working, self._longest = True, {}
            self.turn_to('step')
            self._lose_who_left()
        self.check()
        try:
            yield
            self.gather(None)  # nobody goes before all are done
        except BaseException as error:
            if isinstance(error, TrainingInterrupted):
                self.gather(None)  # all raise it, after the same step: nobody goes before the first has saved
            elif not isinstance(error, WorkerLostError):
                text = '{}: {}'.format(type(error).__name__, error)[:500]
                self._messages.send_all({'kind': 'failed', 'text': text, 'step': self.step})
                self._messages.wait_until_sent()
            raise
        finally:
            self._is_working = False
            self._turn_to_doing('preparing')

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Keeps the process from being ended while it is open: what is being written is finished first."""
        with self._while_doing('saving'):
            yield
        self.check()

    def may_save_at_failure(self) -> bool:
        """Tells whether this worker, where it fails between two steps, may write what all have alike.

        Worker 0 may. It writes nothing while it waits for another in what all do together: then that one may, which
        waits here for a while until it is so. Nobody may once a worker is lost.
        """
        own, limit = self.cluster.worker, time.monotonic() + _SILENCE * self.timeout / 2
        with self._changed:
            while own and self._progress[0] <= self._progress[own]:
                self._lose_who_left()
                if self._loss is not None or time.monotonic() > limit:
                    return False
                self._changed.wait(0.1)
            return self._loss is None

    def calling_back(self) -> ContextManager[None]:
        """Says while it is open that code of the user's runs, for which others wait longer."""
        return self._while_doing('callback')

    @contextlib.contextmanager
    def _while_doing(self, what: str) -> Iterator[None]:
        before = self._doing[self.cluster.worker]
        self._turn_to_doing(what)
        try:
            yield
        finally:
            self._turn_to_doing(before)
            self._done_at = time.monotonic()

    def _turn_to_doing(self, what: str) -> None:
        with self._changed:
            self._doing[self.cluster.worker], self._doing_since = what, time.monotonic()

    def turn_to(self, kind: str) -> None:
        """Says what batches are for from now on, 'step' or 'evaluation'; the first of a kind may take long."""
        with self._changed:
            self._kind, self._done_at = kind, time.monotonic()

    def finished(self) -> None:
        """Says that this worker has finished a batch."""
        with self._changed:
            now = time.monotonic()
            is_first = self._kind not in self._longest
            self._longest[self._kind] = 0.0 if is_first else max(self._longest[self._kind], now - self._done_at)
            self._done_at = now
            self._done[self.cluster.worker] += 1

    def begin(self, step: int) -> None:
        """Says that this worker has begun a step. Raises WorkerLostError where one is lost."""
        self.step = step
        self._turn_to_doing('steps')
        self.arrive()

    def arrive(self) -> None:
        """Says that this worker has come to what all do together. Raises WorkerLostError where one is lost."""
        self.check()
        with self._changed:
            self._progress[self.cluster.worker] += 1

    def check(self) -> None:
        """Raises WorkerLostError where a worker is lost."""
        if self._loss is not None:
            self._raise_loss(self._loss)

    def _raise_loss(self, loss: str, cause: Optional[Exception] = None) -> None:
        """Raises WorkerLostError, which may end the process: the others are told before."""
        self._is_told = True
        self._messages.wait_until_sent()
        raise WorkerLostError(loss) from cause

    def explain(self, error: Exception) -> None:
        """Raises WorkerLostError where an error of TensorFlow came of a lost worker; waits for the news if need be."""
        limit = time.monotonic() + self.timeout
        with self._changed:
            self._is_told = True
            while self._loss is None and time.monotonic() < limit:
                self._changed.wait(0.1)
            if self._loss is not None:
                self._raise_loss(self._loss, error)
            self._is_told = False

    def guarded(self, run: Callable[[], Any]) -> Any:
        """Runs what waits for the other workers; an error that came of a lost one becomes WorkerLostError."""
        try:
            return run()
        except (WorkerLostError, KeyboardInterrupt):
            raise
        except Exception as error:
            if type(error).__name__ in _ERRORS_OF_THE_LOST:
                self.explain(error)
            raise

    def gather(self, value: Any) -> List[Any]:
        """Returns what each worker has given, in their order; all have to call it. value: as JSON can hold it."""
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
        """Raises ValueError, in all workers, naming the first thing in which one differs from worker 0."""
        described = self.gather(description)
        for worker, other in enumerate(described):
            for name in sorted(set(described[0]) | set(other)):
                if described[0].get(name) != other.get(name):
                    raise ValueError(
                        '{} has {} {!r:.200}, and worker 0 has {!r:.200}. Start all workers with the same.'.format(
                            self.cluster.name(worker), name, other.get(name), described[0].get(name)
                        )
                    )

    def close(self) -> None:
        """Says good-bye. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            self._messages.send_all({'kind': 'bye'})
            if not self._is_told:  # what is told of a loss has been waited for
                self._messages.wait_until_sent()
            self._messages.close()

    # What is said among workers

    def start(self, connections: Dict[int, Connection]) -> None:
        """Begins to listen to the others and to tell them that this worker lives."""
        # Worker 0 is silent while it waits for the others, which it does for at most a time-out.
        patience = 0.0 if self.cluster.is_first else self.timeout
        self._heard = dict.fromkeys(connections, time.monotonic() + patience)
        self._messages.start(connections, self._hear, self._hear_no_more)
        threading.Thread(target=self._tick, daemon=True).start()
        atexit.register(self.close)

    def _hear(self, worker: int, message: Dict[str, Any]) -> None:
        with self._changed:
            self._heard[worker] = time.monotonic()
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
            self._progress[worker], self._doing[worker] = message['progress'], message['doing']
            if self._done[worker] != message['done']:
                self._done[worker], self._done_at = message['done'], time.monotonic()
            self._note_work(worker, message['worked'])
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
        interval, activity = min(1.0, self.timeout / 20), Activity()
        while not self._is_closed and self._loss is None:
            start, works = time.monotonic(), activity.look()
            with self._changed:
                self._note_work(self.cluster.worker, self._worked[self.cluster.worker] + (works or self._is_unseen()))
                mine = {name: values[self.cluster.worker] for name, values in self._said().items()}
            self._messages.send_all(dict(mine, kind='alive'))
            time.sleep(interval)
            with self._changed:
                self._leave_out(time.monotonic() - start - interval)
                if self._is_working or self._is_waiting or self._is_waited_for():
                    self._look_for_silence()
                if self.cluster.is_first:
                    self._look_for_hangs()
                    if self._is_working:
                        self._look_for_stall()

    def _said(self) -> Dict[str, Dict[int, Any]]:
        """What each worker says of itself once in a while."""
        return {'progress': self._progress, 'done': self._done, 'doing': self._doing, 'worked': self._worked}

    def _is_unseen(self) -> bool:
        """Tells whether this worker may work although no sign of it shows."""
        return self.computes_unseen and self._doing[self.cluster.worker] == 'steps'

    def _note_work(self, worker: int, signs: int) -> None:
        if self._worked[worker] != signs:
            self._worked[worker], self._worked_at[worker] = signs, time.monotonic()

    def _is_waited_for(self) -> bool:
        """Tells, in worker 0, whether some have come to what others have not; the others hear of worker 0 alone."""
        return self.cluster.is_first and len(set(self._progress.values())) > 1

    def _leave_out(self, seconds: float) -> None:
        """Leaves time out in which this process itself was stopped, as a queue may do with a whole job."""
        if seconds > _SILENCE * self.timeout / 2:
            self._heard = {worker: heard + seconds for worker, heard in self._heard.items()}
            self._behind = {worker: (place, since + seconds) for worker, (place, since) in self._behind.items()}
            self._worked_at = {worker: worked + seconds for worker, worked in self._worked_at.items()}
            self._done_at += seconds

    def _lose_who_left(self, given: Container[int] = ()) -> None:
        """Loses a worker that is gone, unless it has given what it is needed for: it would be waited for for ever."""
        for worker, how in sorted(self._left.items()):
            if worker not in given:
                self._lose(worker, how)

    def _look_for_silence(self) -> None:
        now, limit = time.monotonic(), _SILENCE * self.timeout
        for worker, heard in self._heard.items():
            if now - heard > limit:
                self._lose(worker, 'gives no sign of life (stopped, or cut off)')

    def _look_for_hangs(self) -> None:
        """Loses who is behind all and stays where it is; who is ahead of one may wait for that one itself.

        What is known of others is up to a second old, many steps.
        """
        now = time.monotonic()
        least, furthest = min(self._progress.values()), max(self._progress.values())
        for worker, progress in self._progress.items():
            doing = self._doing[worker]
            place = progress, self._done[worker], doing
            if progress > least or progress == furthest:
                self._behind.pop(worker, None)
            elif self._behind.get(worker, (None, now))[0] != place:
                self._behind[worker] = place, now
            else:
                self._look_for_hang(worker, doing, now - self._behind[worker][1], now - self._worked_at[worker])

    def _look_for_hang(self, worker: int, doing: str, waited: float, rested: float) -> None:
        """Loses a worker that others have waited for too long; too long is less where it rests as long."""
        patience, limit = _PATIENCE[doing] * self.timeout, _SILENCE * self.timeout
        if waited > patience:
            self._lose(worker, _HANGS[doing].format('others have waited for {:.0f} s'.format(patience)))
        elif min(waited, rested) > limit:
            self._lose(worker, _HANGS[doing].format('it has shown no sign of work for {:.0f} s'.format(limit)))

    def _look_for_stall(self) -> None:
        now, limit = time.monotonic(), self._stall_limit()
        if now - self._done_at > limit:
            self._stop('all workers hang: none has finished a batch for {:.0f} s'.format(limit))
        # Where one is behind, it is that one that hangs, sooner or later.
        limit = _SILENCE * self.timeout
        if not self._behind and now - max(self._done_at, *self._worked_at.values()) > limit:
            self._stop('all workers hang: none has finished a batch or shown a sign of work for {:.0f} s'.format(limit))

    def _stall_limit(self) -> float:
        longest = self._longest.get(self._kind)
        if longest is None or self._doing[self.cluster.worker] == 'saving':
            return _STALL_OF_FIRST * self.timeout
        return max(_STALL * self.timeout, _STALL_OF_LONGEST * longest)

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
        """Ends the process where its main thread has not raised the loss: it waits in TensorFlow for ever."""
        limit, activity = time.monotonic() + max(0.5, _GRACE * self.timeout), Activity()
        while time.monotonic() < limit or self._may_save():
            time.sleep(0.05)
            if activity.look():
                self._worked_at[self.cluster.worker] = time.monotonic()
            if self._is_told or not self._is_working:
                return
        with contextlib.suppress(Exception):
            os.write(2, 'fcn8s: {}\n'.format(self._loss).encode())  # sys.stderr may be silenced
        self._messages.wait_until_sent()
        os._exit(EXIT_STATUS)

    def _may_save(self) -> bool:
        """Tells whether something is being written that still has time to be finished."""
        now, worked = time.monotonic(), max(self._doing_since, self._worked_at[self.cluster.worker])
        has_time = now < self._doing_since + _PATIENCE['saving'] * self.timeout
        return self._doing[self.cluster.worker] == 'saving' and has_time and now < worked + _SILENCE * self.timeout
