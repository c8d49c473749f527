"""Several processes: what they say, and that none is left, whoever dies."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import types

import pytest
from thorough import ran_once
from worker_processes import is_running

from fcn8s.distributed import launching
from fcn8s.distributed.launching import (
    Worker,
    WorkerEndedError,
    WorkerHangsError,
    core_shares,
    gpu_environments,
    run_workers,
    visible_gpus,
)
from helpers.process.cores import available_cores
from helpers.process.termination import Interrupted

FOLLOW = 'from fcn8s.distributed.launching import follow_launcher; follow_launcher()\n'


def worker(number, code, **options):
    return Worker('worker {} of 2'.format(number), [sys.executable, '-c', textwrap.dedent(code)], **options)


def wait_for(condition, seconds=20.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def read_ids(folder, count):
    paths = [os.path.join(str(folder), str(number)) for number in range(count)]
    wait_for(lambda: all(os.path.exists(path) and os.path.getsize(path) for path in paths))
    return [int(open(path).read()) for path in paths]


def sleeper(folder, number, before=''):
    """Says who it is in a file, and sleeps for longer than any test."""
    code = FOLLOW + 'import os, signal, subprocess, sys, time\n' + before
    return code + '\nopen({!r}, "w").write(str(os.getpid()))\ntime.sleep(600)'.format(str(folder / str(number)))


def test_lines_come_with_a_name_and_what_all_say_comes_once():
    lines, ticks = [], []
    codes = [
        'import sys; print("the same"); print("from %d", file=sys.stderr); print("a\\rb%d")' % (n, n) for n in (1, 2)
    ]
    run_workers([worker(n + 1, code) for n, code in enumerate(codes)], lines.append, lambda: ticks.append(1))
    assert sorted(line.split('] ')[1] for line in lines) == ['b1', 'b2', 'from 1', 'from 2', 'the same']
    assert '[worker 1 of 2] from 1' in lines and '[worker 2 of 2] b2' in lines
    assert ticks


def test_a_worker_that_speaks_has_the_output_of_the_launcher(capfd):
    run_workers([worker(1, 'print("mine")', speaks=True), worker(2, 'print("of two")')])
    out, err = capfd.readouterr()
    assert out == 'mine\n' and err == '[worker 2 of 2] of two\n'


@pytest.mark.parametrize('status, is_said', [(2, False), (3, True)])
def test_why_all_failed_is_said_once(monkeypatch, status, is_said):
    monkeypatch.setattr(launching, '_MOMENT', 60)  # both end by themselves
    code = 'import sys; print("fcn8s train: error: the same", file=sys.stderr); sys.exit({})'
    lines = []
    with pytest.raises(WorkerEndedError):
        run_workers([worker(1, code.format(status), speaks=True), worker(2, code.format(2))], lines.append, timeout=20)
    assert lines == ['[worker 2 of 2] fcn8s train: error: the same'] * is_said


def test_environment_cores_and_the_code_that_runs():
    lines = []
    code = FOLLOW + 'import os; print(os.environ["A"], sorted(os.sched_getaffinity(0)), "FCN8S_LAUNCHED" in os.environ)'
    core = available_cores()[-1]
    run_workers([worker(1, code, environment={'A': 'x'}, cores=[core])], lines.append)
    assert lines == ['[worker 1 of 2] x [{}] False'.format(core)]
    lines = []
    run_workers([Worker('w', launching.fcn8s_command(['--version']))], lines.append)
    assert lines[0].startswith('[w] fcn8s ')


def test_workers_go_on_where_nobody_reads_what_they_say():
    """As after `2>&1 | head`; more than a pipe holds is on the way."""

    def write_line(line):
        raise BrokenPipeError

    run_workers([worker(1, 'for number in range(20000): print("line", number)')], write_line)


@pytest.mark.parametrize(
    'ending, message',
    [
        ('sys.exit(3)', 'worker 1 of 2 stopped with exit status 3, and all others were ended with it.'),
        ('os.kill(os.getpid(), signal.SIGKILL)', r'worker 1 of 2 was killed by SIGKILL \(the system does that where'),
        ('os.kill(os.getpid(), signal.SIGTERM)', 'worker 1 of 2 was killed by SIGTERM, and all'),
    ],
)
def test_when_one_ends_badly_all_end(tmp_path, ending, message):
    first = sleeper(tmp_path, 0, 'while not os.path.exists({!r}): time.sleep(0.02)\n'.format(str(tmp_path / '1')))
    with pytest.raises(WorkerEndedError, match=message) as raised:
        run_workers([worker(1, first.replace('time.sleep(600)', ending)), worker(2, sleeper(tmp_path, 1))])
    assert raised.value.name == 'worker 1 of 2'
    assert not any(map(is_running, read_ids(tmp_path, 2)))


def test_who_ignores_sigterm_or_has_children_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(launching, 'GRACE', 0.3)
    child = 'subprocess.Popen([sys.executable, "-c", {!r}])'.format(sleeper(tmp_path, 1).replace(FOLLOW, ''))
    stubborn = sleeper(tmp_path, 0, 'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n' + child)
    ends = 'import os, sys, time\nwhile not os.path.exists({!r}): time.sleep(0.02)\nsys.exit(1)'
    with pytest.raises(WorkerEndedError, match='worker 2 of 2 stopped with exit status 1'):
        run_workers([worker(1, stubborn), worker(2, ends.format(str(tmp_path / '1')))])
    wait_for(lambda: not any(map(is_running, read_ids(tmp_path, 2))))


def test_the_number_of_a_worker_that_has_ended_is_not_killed_later(monkeypatch):
    """It may be that of another process by then, of the same user."""
    killed = []
    monkeypatch.setattr(os, 'killpg', lambda process_id, number: killed.append(process_id))
    ended, runs = [types.SimpleNamespace(pid=-number, returncode=None, stdin=io.BytesIO()) for number in (1, 2)]
    ended.poll = lambda: setattr(ended, 'returncode', 0) or 0
    runs.poll, runs.wait = lambda: runs.returncode, lambda timeout: setattr(runs, 'returncode', -9)
    monkeypatch.setattr(os, 'kill', lambda *_: None)
    monkeypatch.setattr(launching, 'GRACE', 0)
    group = launching._Group(print, None)
    group._started = [(worker(n, ''), process) for n, process in enumerate((ended, runs), 1)]
    assert group.running() and killed == [-1]
    group.end()
    assert killed == [-1, -2] and not group.running()


WORKS = """
import sys, time
end = time.monotonic() + {}
while time.monotonic() < end:
    busy = time.thread_time() + 0.02
    while time.thread_time() < busy:
        pass
    time.sleep(0.08)
"""
on_linux = pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere nobody knows who works')


@ran_once
@on_linux
@pytest.mark.parametrize('how', ['time.sleep(600)', 'os.kill(os.getpid(), signal.SIGSTOP)'])
def test_when_one_shows_no_sign_of_work_all_end(tmp_path, monkeypatch, how):
    monkeypatch.setattr(launching, 'GRACE', 0.3)
    first = sleeper(tmp_path, 0).replace('time.sleep(600)', WORKS.format(60))
    second = sleeper(tmp_path, 1).replace('time.sleep(600)', how)
    message = 'worker 2 of 2 hangs or is stopped: it has shown no sign of work for 2 s'
    with pytest.raises(WorkerHangsError, match=message):
        run_workers([worker(1, first), worker(2, second)], patience=2)
    assert not any(map(is_running, read_ids(tmp_path, 2)))


@ran_once
@on_linux
def test_who_works_for_long_or_has_ended_does_not_hang():
    run_workers([worker(1, WORKS.format(4)), worker(2, 'pass')], patience=1.5)


@ran_once
@on_linux
def test_a_worker_that_waits_until_its_lines_are_read_does_not_hang():
    """As where a terminal is held up; a pipe holds 64 kB."""
    lines = []

    def write(line):
        if not lines:
            time.sleep(4)
        lines.append(line)

    code = 'for number in range(3000): print("%05d" % number, "x" * 60)'
    run_workers([worker(1, code)], write, patience=1.5)
    assert len(lines) == 3000


@ran_once
@on_linux
def test_a_job_that_was_stopped_as_a_whole_goes_on(tmp_path):
    codes = [sleeper(tmp_path, n).replace('time.sleep(600)', WORKS.format(6)) for n in range(2)]
    launcher = launch(codes, patience=1.5)
    ids = read_ids(tmp_path, 2) + [launcher.pid]
    for process_id in ids:
        os.kill(process_id, signal.SIGSTOP)
    time.sleep(3)
    for process_id in reversed(ids):
        os.kill(process_id, signal.SIGCONT)
    assert launcher.communicate()[0] == '' and launcher.returncode == 0


def test_a_program_that_is_not_there_ends_those_that_run(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_workers([worker(1, sleeper(tmp_path, 0)), Worker('w', ['/no/such/program'])])
    time.sleep(0.1)
    assert not (tmp_path / '0').exists() or not is_running(read_ids(tmp_path, 1)[0])


LAUNCHER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and what nohup starts this
from fcn8s.distributed.launching import Worker, run_workers
from helpers.process.termination import Interrupted, termination_raised
try:
    with termination_raised():
        run_workers([Worker('w', [sys.executable, '-c', code]) for code in {codes!r}], timeout={timeout}, patience={patience})
except KeyboardInterrupt as interruption:
    print(getattr(interruption, 'signal_name', 'SIGINT'), interruption)
    sys.exit(7)
"""


def launch(codes, timeout=None, patience=None):
    code = LAUNCHER.format(codes=codes, timeout=timeout, patience=patience)
    return subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, universal_newlines=True)


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_launcher(tmp_path, number):
    launcher = launch([sleeper(tmp_path, 0), sleeper(tmp_path, 1)])
    ids = read_ids(tmp_path, 2)
    launcher.send_signal(number)
    launcher.communicate()
    assert launcher.returncode == (-9 if number == signal.SIGKILL else 7)
    wait_for(lambda: not any(map(is_running, ids)))


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere nobody wakes a stopped process')
def test_a_stopped_worker_ends_with_a_killed_launcher(tmp_path):
    launcher = launch([sleeper(tmp_path, 0), sleeper(tmp_path, 1)])
    ids = read_ids(tmp_path, 2)
    os.kill(ids[0], signal.SIGSTOP)
    launcher.kill()
    launcher.communicate()
    wait_for(lambda: not any(map(is_running, ids)))


@pytest.mark.parametrize('name', ['SIGINT', 'SIGHUP'])
def test_signals_are_handed_on_and_the_workers_decide(tmp_path, name):
    patient = 'signal.signal(signal.{}, lambda *_: (time.sleep(0.3), open({!r}, "w"), sys.exit(130)))\n'
    codes = [sleeper(tmp_path, n, patient.format(name, str(tmp_path / 'done{}'.format(n)))) for n in range(2)]
    launcher = launch(codes, timeout=60)
    read_ids(tmp_path, 2)
    launcher.send_signal(getattr(signal, name))
    assert launcher.communicate()[0] == name + ' the workers have stopped\n' and launcher.returncode == 7
    assert (tmp_path / 'done0').exists() and (tmp_path / 'done1').exists()
    assert issubclass(Interrupted, KeyboardInterrupt)


def test_after_a_signal_a_worker_that_does_not_end_has_limited_time(tmp_path):
    ends = sleeper(tmp_path, 0, 'signal.signal(signal.SIGINT, lambda *_: sys.exit(3))\n')
    stubborn = sleeper(tmp_path, 1, 'signal.signal(signal.SIGINT, signal.SIG_IGN)\n')
    start, told = time.monotonic(), []

    def tick():
        if not told and (tmp_path / '0').exists() and (tmp_path / '1').exists():
            told.append(os.kill(os.getpid(), signal.SIGINT))

    with pytest.raises(Interrupted, match='the workers have stopped'):
        run_workers([worker(1, ends), worker(2, stubborn)], tick=tick, timeout=1)
    assert time.monotonic() < start + 30
    assert not any(map(is_running, read_ids(tmp_path, 2)))


def test_a_signal_that_comes_while_workers_start_reaches_all(tmp_path, monkeypatch):
    start, begin = launching._Group.start, time.monotonic()

    def start_and_interrupt(group, worker):
        start(group, worker)
        if worker.name == 'worker 1 of 2':
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(launching._Group, 'start', start_and_interrupt)
    with pytest.raises(Interrupted):
        run_workers([worker(n + 1, sleeper(tmp_path, n)) for n in range(2)], timeout=60)
    assert time.monotonic() < begin + 30


# Saves for longer than workers of a prediction may take to end.
SAVES = """
from fcn8s.distributed import launching
launching.GRACE = 0.2
def save(*_):
    {}
    open({!r}, 'w').write('saved')
    sys.exit(3)
signal.signal(signal.SIGTERM, save)
"""


def saver(folder):
    works = WORKS.format(1.5).strip().replace('\n', '\n    ')
    return sleeper(folder, 0, SAVES.format(works, str(folder / 'saved')))


def test_when_one_of_a_training_is_lost_what_another_saves_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(launching, 'GRACE', 0.2)
    monkeypatch.setattr(launching, '_MOMENT', 0.1)
    dies = FOLLOW + 'import os, signal, time\nwhile not os.path.exists({!r}): time.sleep(0.02)\n'
    dies = dies.format(str(tmp_path / '0')) + 'os.kill(os.getpid(), signal.SIGKILL)'
    with pytest.raises(WorkerEndedError, match='worker 2 of 2 was killed by SIGKILL'):
        run_workers([worker(1, saver(tmp_path)), worker(2, dies)], timeout=20)
    assert (tmp_path / 'saved').exists()


def test_when_the_launcher_of_a_training_dies_what_is_saved_is_finished(tmp_path):
    launcher = launch([saver(tmp_path)], timeout=20)
    read_ids(tmp_path, 1)
    launcher.kill()
    launcher.communicate()
    wait_for((tmp_path / 'saved').exists)


def test_who_ended_because_another_was_lost_is_not_the_cause():
    """It may end sooner than the one that fails."""
    with pytest.raises(WorkerEndedError, match='worker 2 of 2 stopped with exit status 2'):
        run_workers(
            [worker(1, 'import sys; sys.exit(3)'), worker(2, 'import sys, time; time.sleep(0.5); sys.exit(2)')],
            timeout=20,
        )


@pytest.mark.parametrize(
    'count, cores, expected',
    [
        (2, [0, 1, 4, 5], [[0, 1], [4, 5]]),
        (3, [0, 1, 2, 3], [[0], [1], [2, 3]]),
        (3, [2, 7], [[2], [7], [2]]),
        (1, [0, 1], [[0, 1]]),
    ],
)
def test_cores_are_dealt_out(count, cores, expected):
    assert core_shares(count, cores) == expected


def test_one_gpu_a_worker(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '3, GPU-ab,-1,5')
    assert visible_gpus() == ['3', 'GPU-ab']
    assert gpu_environments(2) == [{'CUDA_VISIBLE_DEVICES': '3'}, {'CUDA_VISIBLE_DEVICES': 'GPU-ab'}]
    with pytest.raises(ValueError, match='--workers is 3, and 2 GPUs are visible: each worker takes one. Give --work'):
        gpu_environments(3)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert visible_gpus() == [] and gpu_environments(2) == [{}, {}]
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    monkeypatch.setattr(launching, '_NVIDIA_DEVICES', '/no/such/folder')
    assert visible_gpus() == []
