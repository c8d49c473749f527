"""What a worker knows of each worker of its cluster, itself included, and which of them are lost.

There are no threads or messages here: `fcn8s.distributed.watch` has these, and the lock that all of this needs. The
clock is `time.monotonic`, in seconds.
"""

import time
from typing import Any, Dict, Optional, Tuple

# This share of the time-out is the longest silence of a worker, and the longest that one for which others wait may show
# no sign of work; after that it is lost.
SILENCE = 0.7
# How many time-outs others may wait for a worker that shows signs of work, by what it is doing. It is preparing
# whenever it takes no steps: it builds a network, reads a dataset, restores a checkpoint, or runs the user's script
# between two trainings.
PATIENCE = {'steps': SILENCE, 'callback': 5.0, 'preparing': 10.0, 'saving': 10.0}
HANGS = {
    'steps': 'hangs: it has not come to the step that others wait in',
    'callback': 'hangs in a callback: {}',
    'preparing': 'hangs before it trains: {} (more --timeout lets it prepare for longer)',
    'saving': 'hangs while it saves: {} (more --timeout lets it save for longer)',
}
# All workers hang if none has finished a batch for this many time-outs, and for this many times as long as any batch
# took. The first batch of a kind compiles, and may take three times as long.
STALL = 10.0
STALL_OF_FIRST = 3 * STALL
STALL_OF_LONGEST = 10.0


class Standing:
    """Where each worker is, what it does, and when it last showed a sign of work.

    Attributes, by worker:
        heard: when it last sent a message; this worker itself is missing.
        progress: how many synchronisation points of all workers it has reached.
        done: how many batches it has finished.
        doing: what it is doing, a key of `PATIENCE`.
        worked, worked_at: how many signs of work it has shown, and when it showed the last.
        behind: for workers that are behind: where it is (progress, batches finished, what it does), and since when.

    Other attributes:
        computes_unseen: whether batches are computed where no sign of work shows: on a GPU.
        doing_since: when this worker began what it is doing.
        done_at: when any worker last finished a batch.
        kind, longest: what batches are for, and how long the longest batch of each kind took.
    """

    def __init__(self, own: int, size: int, timeout: float) -> None:
        self.own, self.timeout = own, timeout
        self.heard: Dict[int, float] = {}
        self.progress = dict.fromkeys(range(size), 0)
        self.done = dict.fromkeys(range(size), 0)
        self.doing = dict.fromkeys(range(size), 'preparing')
        self.worked = dict.fromkeys(range(size), 0)
        self.worked_at = dict.fromkeys(range(size), time.monotonic())
        self.behind: Dict[int, Tuple[Tuple[int, int, str], float]] = {}
        self.computes_unseen = False
        self.doing_since = self.done_at = time.monotonic()
        self.kind = 'step'
        self.longest: Dict[str, float] = {}

    # What this worker does

    def begin_to_work(self) -> None:
        """Begins a training: forgets how long batches took, as those of another training may take longer."""
        self.longest = {}
        self.begin_batches_of('step')

    def begin_batches_of(self, kind: str) -> None:
        """Sets what batches are for from now on, 'step' or 'evaluation'; the first of a kind may take long."""
        self.kind, self.done_at = kind, time.monotonic()

    def set_activity(self, what: str) -> None:
        """Sets what this worker does from now on, a key of `PATIENCE`."""
        self.doing[self.own], self.doing_since = what, time.monotonic()

    def finish(self) -> None:
        """Notes that this worker has finished a batch."""
        now = time.monotonic()
        is_first = self.kind not in self.longest
        self.longest[self.kind] = 0.0 if is_first else max(self.longest[self.kind], now - self.done_at)
        self.done_at = now
        self.done[self.own] += 1

    def look(self, works: bool) -> None:
        """Notes a sign of work of this worker if there is one, or if it may be computing unseen."""
        is_unseen = self.computes_unseen and self.doing[self.own] == 'steps'
        self._note_work(self.own, self.worked[self.own] + (works or is_unseen))

    def said(self) -> Dict[str, Any]:
        """Returns what this worker regularly reports of itself, for `take` in the others."""
        return {
            'progress': self.progress[self.own],
            'done': self.done[self.own],
            'doing': self.doing[self.own],
            'worked': self.worked[self.own],
        }

    # What is known of the others

    def take(self, worker: int, said: Dict[str, Any]) -> None:
        """Takes over what another worker reports of itself."""
        self.progress[worker], self.doing[worker] = said['progress'], said['doing']
        if self.done[worker] != said['done']:
            self.done[worker], self.done_at = said['done'], time.monotonic()
        self._note_work(worker, said['worked'])

    def _note_work(self, worker: int, signs: int) -> None:
        if self.worked[worker] != signs:
            self.worked[worker], self.worked_at[worker] = signs, time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Does not count time in which this process itself was stopped, as a queue may do with a whole job."""
        if seconds > SILENCE * self.timeout / 2:
            self.heard = {worker: heard + seconds for worker, heard in self.heard.items()}
            self.behind = {worker: (place, since + seconds) for worker, (place, since) in self.behind.items()}
            self.worked_at = {worker: worked + seconds for worker, worked in self.worked_at.items()}
            self.done_at += seconds

    def is_apart(self) -> bool:
        """Tells whether some workers have reached a synchronisation point before others; only worker 0 hears of all."""
        return len(set(self.progress.values())) > 1

    # Who is lost

    def silent(self) -> Optional[Tuple[int, str]]:
        """Returns a worker that has been silent for too long, with what to say of it; None if there is none."""
        now, limit = time.monotonic(), SILENCE * self.timeout
        for worker, heard in self.heard.items():
            if now - heard > limit:
                return worker, 'gives no sign of life (stopped, or cut off)'
        return None

    def hanging(self) -> Optional[Tuple[int, str]]:
        """Returns a worker that is furthest behind and does not move, with what to say of it; None if there is none.

        Only the furthest behind count: any other may be waiting for them. What is known of other workers is up to a
        second old, which may be many steps.
        """
        now = time.monotonic()
        least, furthest = min(self.progress.values()), max(self.progress.values())
        found: Optional[Tuple[int, str]] = None
        for worker, progress in self.progress.items():
            place = progress, self.done[worker], self.doing[worker]
            if progress > least or progress == furthest:
                self.behind.pop(worker, None)
            elif self.behind.get(worker, (None, now))[0] != place:
                self.behind[worker] = place, now
            else:
                how = self._how_it_hangs(worker, now - self.behind[worker][1], now - self.worked_at[worker])
                if how and found is None:
                    found = worker, how
        return found

    def _how_it_hangs(self, worker: int, waited: float, rested: float) -> str:
        """What to say of a worker that others have waited for too long, or ''; it has less time if it shows no work."""
        doing = self.doing[worker]
        patience, limit = PATIENCE[doing] * self.timeout, SILENCE * self.timeout
        if waited > patience:
            return HANGS[doing].format('others have waited for {:.0f} s'.format(patience))
        if min(waited, rested) > limit:
            return HANGS[doing].format('it has shown no sign of work for {:.0f} s'.format(limit))
        return ''

    def stalled(self) -> Optional[str]:
        """Returns what to say if all workers hang; None if they do not."""
        now, limit = time.monotonic(), self.stall_limit()
        if now - self.done_at > limit:
            return 'all workers hang: none has finished a batch for {:.0f} s'.format(limit)
        # If a worker is behind, `hanging` finds that one sooner or later.
        limit = SILENCE * self.timeout
        if not self.behind and now - max(self.done_at, *self.worked_at.values()) > limit:
            return 'all workers hang: none has finished a batch or shown a sign of work for {:.0f} s'.format(limit)
        return None

    def stall_limit(self) -> float:
        """Returns how many seconds may pass in which no worker finishes a batch."""
        longest = self.longest.get(self.kind)
        if longest is None or self.doing[self.own] == 'saving':
            return STALL_OF_FIRST * self.timeout
        return max(STALL * self.timeout, STALL_OF_LONGEST * longest)

    def may_save(self) -> bool:
        """Tells whether this worker is saving and still has time to finish that."""
        now, worked = time.monotonic(), max(self.doing_since, self.worked_at[self.own])
        has_time = now < self.doing_since + PATIENCE['saving'] * self.timeout
        return self.doing[self.own] == 'saving' and has_time and now < worked + SILENCE * self.timeout
