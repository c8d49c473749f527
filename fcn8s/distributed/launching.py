"""Starts several processes on this machine, passes on their output, and ends all of them when one fails.

Each worker leads a process group of its own, so that Ctrl-C reaches only the launcher, which decides. A worker's
standard input is a pipe to which the launcher writes nothing: when the launcher dies, for whatever reason, the pipe
ends, and so does the worker (`follow_launcher`); on Linux, a worker that SIGSTOP has stopped is woken for that. Nothing
here loads TensorFlow.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from fcn8s.distributed.activity import Activity
from fcn8s.distributed.standing import PATIENCE, SILENCE
from fcn8s.distributed.watch import EXIT_STATUS
from helpers.process.cores import available_cores
from helpers.process.termination import Interrupted, leave_lost_terminal, signals_to_hear

# How long workers that are asked to end may tidy up before they are killed, in seconds.
GRACE = 5.0
# How long workers of a training may take to say by themselves that one is lost, in seconds.
_MOMENT = 2.0
_POLL = 0.05
# The exit status of a command that has said why it fails.
_FAILED = 2
# How often signs of work are looked for, in seconds.
_LOOK = 1.0
# Tells a worker that a launcher started it: 'CORES/TIMEOUT', its own cores (none: all), and the time-out of a training.
_LAUNCHED = 'FCN8S_LAUNCHED'
_GPUS = 'CUDA_VISIBLE_DEVICES'
# How a command of `fcn8s` begins to say why it ends with status 2.
_ERROR = re.compile('fcn8s [a-z0-9-]+: error: ')
_NVIDIA_DEVICES = '/proc/driver/nvidia/gpus'
# https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
_PR_SET_PDEATHSIG = 1


class Worker(NamedTuple):
    """A process to start.

    name: what messages call it, such as 'worker 2 of 4'.
    command: program and arguments; `fcn8s_command` makes one of this library.
    environment: variables besides those of this process.
    cores: those that it is pinned to from its start; None leaves them to the worker.
    speaks: whether its output goes unchanged where that of this process goes. The output of others is passed on line by
        line to standard error, with their name in front; a line that another of these has already written is left out,
        but not one that a worker that speaks has written. Why another one failed is left out where one that speaks has
        failed, too: usually with the same message.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    cores: Optional[Sequence[int]] = None
    speaks: bool = False


class WorkerEndedError(ChildProcessError):
    """A worker ended before its work was done, and all others were ended with it.

    Attributes:
        name: of the worker.
        status: its exit status; the negative number of the signal that killed it.
        was_killed: whether a signal ended it, even if it tidied up first.
    """

    def __init__(self, name: str, status: int) -> None:
        super().__init__('{} {}, and all others were ended with it.'.format(name, _how(status)))
        self.name, self.status = name, status
        self.was_killed = status < 0 or status > 128


class WorkerHangsError(ChildProcessError):
    """A worker showed no sign of work for too long, and all others were ended with it."""


def _how(status: int) -> str:
    if status >= 0:
        return 'stopped with exit status {}'.format(status)
    try:
        text = 'was killed by {}'.format(signal.Signals(-status).name)
    except ValueError:
        text = 'was killed by signal {}'.format(-status)
    return text + ' (the system does that where memory runs out)' * (status == -signal.SIGKILL)


def names(count: int) -> List[str]:
    """Returns the names of workers in messages: 'worker 1 of 2', 'worker 2 of 2'."""
    return ['worker {} of {}'.format(number, count) for number in range(1, count + 1)]


def fcn8s_command(arguments: Sequence[str]) -> List[str]:
    """Returns the command that runs `fcn8s` with these arguments, with the Python and the code of this process."""
    # Not `-m`: that looks for packages in the working directory first, where a folder may be called `helpers`.
    code = 'import sys; sys.path[:] = {!r}; sys.argv[0] = {!r}; from fcn8s.__main__ import main; sys.exit(main())'
    return [sys.executable, '-c', code.format(sys.path, sys.argv[0])] + list(arguments)


def core_shares(count: int, cores: Optional[Sequence[int]] = None) -> List[List[int]]:
    """Deals out the cores in equal shares; with fewer cores than workers, each worker gets one, in turn.

    Args:
        count: How many workers there are.
        cores: None for those that this process may use.
    """
    cores = available_cores() if cores is None else list(cores)
    if count > len(cores):
        return [[cores[number % len(cores)]] for number in range(count)]
    bounds = [len(cores) * number // count for number in range(count + 1)]
    return [list(cores[start:end]) for start, end in zip(bounds, bounds[1:])]


def pin(cores: Sequence[int]) -> None:
    """Pins this process, with all threads that it has so far, to some cores, where the system supports that."""
    if not hasattr(os, 'sched_setaffinity'):
        return
    threads = [0]
    with contextlib.suppress(OSError):
        threads = [int(name) for name in os.listdir('/proc/self/task')]
    for thread in threads:
        with contextlib.suppress(OSError):  # it has ended meanwhile, or a container forbids it
            os.sched_setaffinity(thread, cores)


def visible_gpus() -> List[str]:
    """Returns what `CUDA_VISIBLE_DEVICES` may name: what it names now, else the NVIDIA devices of this machine."""
    if _GPUS in os.environ:
        listed = [name.strip() for name in os.environ[_GPUS].split(',')]
        # CUDA uses the entries before the first invalid one.
        valid = [bool(name) and name != '-1' for name in listed]
        return listed[: valid.index(False)] if False in valid else listed
    with contextlib.suppress(OSError):
        return [str(number) for number in range(len(os.listdir(_NVIDIA_DEVICES)))]
    return []


def gpu_environments(count: int) -> List[Dict[str, str]]:
    """Returns the variables that give each worker a GPU of its own; none where there is no GPU.

    Raises:
        ValueError: There are GPUs, but fewer than workers.
    """
    gpus = visible_gpus()
    if not gpus:
        return [{} for _ in range(count)]
    if count > len(gpus):
        raise ValueError(
            '--workers is {}, and {} visible: each worker takes one. Give --workers {}, or compute on the cores '
            "with {}=''.".format(
                count, '1 GPU is' if len(gpus) == 1 else '{} GPUs are'.format(len(gpus)), len(gpus), _GPUS
            )
        )
    return [{_GPUS: gpu} for gpu in gpus[:count]]


def follow_launcher() -> None:
    """Pins this process to the cores that its launcher names, and ends it with the launcher; else does nothing."""
    launched = os.environ.pop(_LAUNCHED, None)
    if launched is None:
        return
    cores, _, timeout = launched.partition('/')
    if cores:
        pin([int(core) for core in cores.split(',')])
    _wake_when_the_launcher_dies()
    threading.Thread(target=_end_with_input, args=(float(timeout) if timeout else None,), daemon=True).start()


def _wake_when_the_launcher_dies() -> None:
    """Has the system send SIGCONT then: it wakes a stopped process, which sees its input end; others ignore it."""
    if sys.platform == 'linux':
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT), 0, 0, 0)


def _end_with_input(timeout: Optional[float]) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    if timeout is not None:
        idle_timer, limit = _IdleTimer(SILENCE * timeout), time.monotonic() + PATIENCE['saving'] * timeout
        while time.monotonic() < limit and not idle_timer.has_expired():
            time.sleep(_POLL)
    os.kill(os.getpid(), signal.SIGKILL)


class _IdleTimer:
    """The time for which a process has shown no sign of work.

    limit: how many seconds it may last.
    process_id: None for this process.
    """

    def __init__(self, limit: float, process_id: Optional[int] = None) -> None:
        self._limit, self._activity, self._interval = limit, Activity(process_id), min(_LOOK, limit / 20)
        self._worked = self._looked = time.monotonic()

    def has_expired(self, may_wait_for_us: bool = False) -> bool:
        """Tells whether the limit is passed. May be called at any time; looks for signs of work once in a while.

        may_wait_for_us: whether it may be waiting for this process.
        """
        now = time.monotonic()
        passed = now - self._looked
        if passed >= self._interval:
            self._looked = now
            # This process may have been stopped together with the other, as a queue does with a job.
            if self._activity.look() or may_wait_for_us or passed > self._interval + self._limit / 4:
                self._worked = now
        return self._looked > self._worked + self._limit


def run_workers(
    workers: Sequence[Worker],
    write_line: Optional[Callable[[str], None]] = None,
    tick: Optional[Callable[[], None]] = None,
    patience: Optional[float] = None,
    timeout: Optional[float] = None,
) -> None:
    """Runs workers until all have ended well; when one does not, ends all.

    No worker is left when this returns or raises, except one that waits for a dead disk, which the system cannot end.

    Args:
        workers: What to start.
        write_line: Writes a line of a worker's output; None for standard error.
        tick: Called several times a second.
        patience: Seconds for which a worker may show no sign of work. Only for workers that wait for nobody, and on
            Linux; None: for ever.
        timeout: For workers of one training, the seconds after which they give up one of them. SIGINT, SIGTERM and
            SIGHUP are handed on: they decide when to stop. Once one has ended badly, the others have the time that
            saving may take. If None, these signals end the workers at once, as does the bad end of one.

    Raises:
        WorkerEndedError: A worker was killed or did not end with status 0.
        WorkerHangsError: A worker showed no sign of work: it hangs, or is stopped (SIGSTOP).
        Interrupted: The workers ended after a signal that was handed on.
    """
    group = _Group(write_line or _to_standard_error, timeout)
    idle_timers: Dict[str, _IdleTimer] = {}
    try:
        with _noted(timeout is not None) as signals:
            for worker in workers:
                group.start(worker)
            while group.running() and not group.has_failed:
                group.hand_on(signals)
                if patience is not None:
                    _check_none_hangs(group, idle_timers, patience)
                if tick:
                    tick()
                time.sleep(_POLL)
            if timeout is not None:
                _let_end(group, timeout, signals)
    finally:
        group.end()
    if signals and group.has_failed:
        raise Interrupted('the workers have stopped', signal.Signals(signals[0]).name)
    group.check()
    if tick:
        tick()


def _check_none_hangs(group: '_Group', idle_timers: Dict[str, _IdleTimer], patience: float) -> None:
    """Raises WorkerHangsError if a running worker shows no sign of work.

    idle_timers: By name; to be passed each time.
    """
    for name, process_id in group.process_ids().items():
        if name not in idle_timers:
            idle_timers[name] = _IdleTimer(patience, process_id)
        # While a line is written here, the worker may be waiting until its own output is read.
        if idle_timers[name].has_expired(may_wait_for_us=group.is_writing):
            raise WorkerHangsError(
                '{} hangs or is stopped: it has shown no sign of work for {:.0f} s. All others were ended with '
                'it.'.format(name, patience)
            )


def _let_end(group: '_Group', timeout: float, signals: List[int]) -> None:
    """Waits for the workers of a training, of which one has ended badly: the others notice, and one may be saving."""
    idle_timers = {process_id: _IdleTimer(SILENCE * timeout, process_id) for process_id in group.process_ids().values()}
    begin = time.monotonic()
    while group.running() and time.monotonic() < begin + PATIENCE['saving'] * timeout:
        group.hand_on(signals)
        # For those that do not watch over the others yet. A second signal would interrupt what is being saved.
        if not (signals or group.is_asked) and time.monotonic() > begin + _MOMENT:
            group.ask()
        are_over = [idle_timers[process_id].has_expired() for process_id in group.process_ids().values()]
        if all(are_over):
            break
        time.sleep(_POLL)


@contextlib.contextmanager
def _noted(is_wanted: bool) -> Iterator[List[int]]:
    """While open, notes SIGINT, SIGTERM and SIGHUP in the list that it yields, if wanted.

    Signal handlers belong to the main thread; in any other this does nothing.
    """
    came: List[int] = []
    if not is_wanted or threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, _: Any) -> None:
        came.append(number)
        if signal.Signals(number).name == 'SIGHUP':
            leave_lost_terminal()

    before = [(number, signal.signal(number, note)) for number in signals_to_hear()]
    try:
        yield came
    finally:
        for number, handler in before:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _to_standard_error(line: str) -> None:
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def _reaped_status(process: Any) -> Optional[int]:
    """The exit status of a worker, or None. Once it has ended, what it has started is killed."""
    if process.returncode is None and process.poll() is not None:
        _kill_group(process)  # now, as its number may be that of others later
    status: Optional[int] = process.returncode
    return status


def _kill_group(process: Any) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _Group:
    """The workers that were started, and their output."""

    def __init__(self, write_line: Callable[[str], None], timeout: Optional[float]) -> None:
        self._write_line = write_line
        self._timeout = '' if timeout is None else str(timeout)
        self._started: List[Tuple[Worker, Any]] = []
        self._readers: List[threading.Thread] = []
        self._said: Dict[str, str] = {}
        self._held_back: List[Tuple[str, str]] = []
        self._lock = threading.Lock()
        self._cause: Optional[Tuple[str, int]] = None
        self._num_handed_on = 0
        self.is_asked = False
        # Whether a line is being written; a terminal may take none for a while.
        self.is_writing = False

    def start(self, worker: Worker) -> None:
        cores = ','.join(str(core) for core in worker.cores or ())
        process = subprocess.Popen(
            list(worker.command),
            env=dict(os.environ, **dict(worker.environment, **{_LAUNCHED: cores + '/' + self._timeout})),
            stdin=subprocess.PIPE,
            stdout=None if worker.speaks else subprocess.PIPE,
            stderr=None if worker.speaks else subprocess.STDOUT,
            start_new_session=True,
        )
        self._started.append((worker, process))
        if not worker.speaks:
            reader = threading.Thread(target=self._pass_on, args=(worker.name, process.stdout), daemon=True)
            self._readers.append(reader)
            reader.start()

    def _pass_on(self, name: str, stream: Any) -> None:
        is_error = False
        for line in stream:
            text = line.decode(errors='backslashreplace').rstrip('\r\n').split('\r')[-1]
            with self._lock:
                is_error = is_error or _ERROR.match(text) is not None
                if text and self._said.setdefault(text, name) == name:
                    if is_error and any(worker.speaks for worker, _ in self._started):
                        self._held_back.append((name, text))
                    else:
                        self._write(name, text)

    def _write(self, name: str, text: str) -> None:
        self.is_writing = True
        # If nobody reads the output any more, the workers still go on.
        with contextlib.suppress(OSError, ValueError):
            self._write_line('[{}] {}'.format(name, text))
        self.is_writing = False

    def process_ids(self) -> Dict[str, int]:
        """Returns the process IDs of the running workers by name."""
        return {worker.name: process.pid for worker, process in self._started if _reaped_status(process) is None}

    def running(self) -> bool:
        """Tells whether any worker still runs; remembers the first that ended badly of itself."""
        statuses = [(worker.name, _reaped_status(process)) for worker, process in self._started]
        # One that ended because another was lost is the cause only if no other is.
        bad = [(name, status) for name, status in statuses if status and status != EXIT_STATUS]
        bad = bad or [(name, status) for name, status in statuses if status]
        if bad and not self.is_asked and (self._cause is None or self._cause[1] == EXIT_STATUS):
            # A killed worker takes others with it: they exit with an error, but it is the cause.
            self._cause = min(bad, key=lambda entry: entry[1])
        return any(status is None for _, status in statuses)

    @property
    def has_failed(self) -> bool:
        return self._cause is not None

    def check(self) -> None:
        """Raises WorkerEndedError if a worker has ended badly."""
        if self._cause is not None:
            raise WorkerEndedError(*self._cause)

    def hand_on(self, signals: Sequence[int]) -> None:
        """Sends the running workers the signals of a growing list that they have not got yet."""
        new = signals[self._num_handed_on :]
        self._num_handed_on += len(new)
        for number in new:
            self.send(number)

    def ask(self) -> None:
        """Asks all running workers to end."""
        self.is_asked = True
        self.send(signal.SIGTERM)

    def send(self, number: int) -> None:
        for _, process in self._started:
            if _reaped_status(process) is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def end(self) -> None:
        """Asks all running workers to end, then kills what is left of them and of the processes that they started."""
        try:
            self.ask()
            limit = time.monotonic() + GRACE
            while time.monotonic() < limit and self.process_ids():
                time.sleep(_POLL)
        finally:
            for _, process in self._started:
                if _reaped_status(process) is None:
                    _kill_group(process)
                    with contextlib.suppress(subprocess.TimeoutExpired):  # nothing ends one that waits for a dead disk
                        process.wait(GRACE)
                process.stdin.close()
            for reader in self._readers:
                reader.join(GRACE)
            if not any(worker.speaks and process.poll() == _FAILED for worker, process in self._started):
                for name, text in self._held_back:
                    self._write(name, text)
