"""Workers that meet, compare and watch over each other; in threads of one process."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from thorough import ran_once

from fcn8s.distributed import standing, workers
from fcn8s.distributed.cluster import Cluster, free_addresses
from fcn8s.distributed.meeting import meet, unreachable
from fcn8s.distributed.watch import EXIT_STATUS, Watch, WorkerLostError
from fcn8s.stopping import TrainingInterrupted

on_linux = pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere nobody knows who works')


def in_workers(function, count, present=None, timeout=10, addresses=None):
    """What `function(watch, worker)` returned or raised in each worker."""
    addresses, found = addresses or free_addresses(count), {}

    def work(worker):
        try:
            watch = meet(Cluster(addresses, worker), timeout)
            try:
                found[worker] = function(watch, worker)
            finally:
                watch.close()
        except Exception as error:
            found[worker] = error

    threads = [threading.Thread(target=work, args=(worker,)) for worker in present or range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[worker] for worker in present or range(count)]


@contextlib.contextmanager
def listening():
    """The address of a socket that is connected to, and where nobody answers."""
    with socket.socket() as opened:
        opened.bind(('127.0.0.1', 0))
        opened.listen(3)
        yield '127.0.0.1:{}'.format(opened.getsockname()[1])


def test_all_get_what_each_gave():
    assert in_workers(lambda watch, worker: watch.gather(worker * 2), 3) == [[0, 2, 4]] * 3


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as opened:
            opened.bind(('::1', 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason='this machine has no IPv6')
def test_workers_meet_over_ipv6_and_ipv4():
    ports = [address.rpartition(':')[2] for address in free_addresses(3)]
    addresses = tuple('{}:{}'.format(host, port) for host, port in zip(('[::1]', '127.0.0.1', '[::1]'), ports))
    assert in_workers(lambda watch, worker: watch.gather(worker), 3, addresses=addresses) == [[0, 1, 2]] * 3


def test_of_two_that_have_one_index_the_first_is_told_and_the_second_counts():
    """A command was copied to the next machine with its index; or a worker was started anew."""
    addresses, found = free_addresses(3), {}

    def come(name, worker):
        try:
            found[name] = meet(Cluster(addresses, worker), 10)
        except WorkerLostError as error:
            found[name] = str(error)

    names = {'first': 0, 'one': 1, 'another': 1, 'last': 2}
    threads = [threading.Thread(target=come, args=entry) for entry in names.items()]
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert found.pop('one').startswith('another process came as worker 1 ({}), too. Give each'.format(addresses[1]))
    for watch in found.values():
        watch.close()


def test_a_difference_is_named_in_all_workers():
    def compare(watch, worker):
        watch.compare({'seed': 0, 'precision': 'bfloat16' if worker == 2 else 'float32'})
        watch.gather(None)

    for error in in_workers(compare, 3):
        assert isinstance(error, ValueError)
        assert 'worker 2 (127' in str(error) and "has precision 'bfloat16', and worker 0 has 'float32'" in str(error)


def test_of_settings_in_groups_the_one_that_differs_is_named():
    def compare(watch, worker):
        watch.compare({'optimizer': dict({'name': 'adam', 'long': 'x' * 300}, **({'ema': 0.9} if worker else {}))})

    for error in in_workers(compare, 2):
        assert 'has optimizer ema 0.9, and worker 0 has None. Start all' in str(error)


def test_a_server_that_does_not_answer_at_its_address_is_named():
    with listening() as there:
        (gone,) = free_addresses(1)
        assert unreachable(Cluster((gone, there), 0), 5) is None
        problem = unreachable(Cluster((there, gone), 0, 'SLURM'), 5)
    assert problem.startswith('worker 0 ({}) cannot connect to worker 1 ({}): '.format(there, gone))
    assert 'addresses of SLURM: look at this one, and at what a firewall lets through.' in problem


def test_workers_of_which_one_is_not_reached_all_say_so(monkeypatch):
    problem = 'worker 1 (a:1) cannot connect to worker 0 (b:2)'
    monkeypatch.setattr(workers, 'unreachable', lambda cluster, timeout: problem if cluster.worker == 1 else None)

    def check(watch, worker):
        workers.Workers(watch.cluster, watch, 'float32').check_all_are_reached()

    for error in in_workers(check, 3):
        assert isinstance(error, ValueError) and str(error) == problem


def test_another_program_at_the_port_of_the_first_is_named():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(1)
        address = '127.0.0.1:{}'.format(listener.getsockname()[1])

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'HTTP/1.0 400 Bad request\n')
                connection.recv(2**20)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WorkerLostError, match='worker 0 .* sends what no worker sends: another program may have'):
            meet(Cluster((address,) + free_addresses(1), 1), 5)
        thread.join()


def test_a_worker_that_fails_is_named_with_the_step():
    def work(watch, worker):
        with watch.working():
            watch.begin(16)
            if worker == 1:
                raise ValueError('the file x.png is damaged')
            watch.gather(None)

    errors = in_workers(work, 3)
    assert isinstance(errors[1], ValueError)
    for error in (errors[0], errors[2]):
        assert isinstance(error, WorkerLostError)
        assert 'stopped: ValueError: the file x.png is damaged, at step 17' in str(error)


def test_a_worker_that_fails_may_write_once_the_first_waits_for_it():
    may = {}

    def work(watch, worker):
        with watch.working():
            watch.begin(3)
            if worker == 1:
                may[worker] = watch.may_save_at_failure()
                raise OSError('no such file')
            watch.gather(None)

    errors = in_workers(work, 3)
    assert may == {1: True} and [type(error) for error in errors] == [WorkerLostError, OSError, WorkerLostError]


def test_of_workers_that_all_fail_the_first_may_write():
    may = {}

    def work(watch, worker):
        with watch.working():
            watch.gather(None)
            may[worker] = watch.may_save_at_failure()
            raise OSError('no such file')

    assert [type(error) for error in in_workers(work, 3)] == [OSError] * 3
    assert may == {0: True, 1: False, 2: False}


def test_a_worker_that_fails_does_not_wait_for_ever_until_it_may_write():
    """The first is in a callback, say."""
    may = {}

    def work(watch, worker):
        with watch.working():
            if worker == 0:
                with watch.calling_back():
                    time.sleep(1.5)
            else:
                may[worker] = watch.may_save_at_failure()

    in_workers(work, 2, timeout=2)
    assert may == {1: False}


def test_workers_that_stop_for_a_signal_wait_until_the_first_has_saved():
    def work(watch, worker):
        try:
            with watch.working():
                watch.begin(0)
                if worker == 0:
                    with watch.saving():
                        time.sleep(0.5)
                raise TrainingInterrupted('SIGTERM after step 1', 'SIGTERM')
        except TrainingInterrupted as interruption:
            return str(interruption)

    assert in_workers(work, 3) == ['SIGTERM after step 1'] * 3


@pytest.mark.parametrize('gone', [0, 1])
def test_a_worker_that_is_gone_before_the_work_begins_is_not_waited_for(gone):
    """Between meeting and working: graphs are built, servers started."""

    def build(watch, worker):
        if worker != gone:
            watch.gather(None)

    for worker, error in enumerate(in_workers(build, 3)):
        if worker != gone:
            assert isinstance(error, WorkerLostError), error
            assert 'worker {} (127'.format(gone) in str(error) and 'has ended, at step 1' in str(error)


@pytest.mark.parametrize('hanging', [0, 1])
def test_a_worker_that_lives_but_hangs_before_the_work_begins_is_lost(monkeypatch, hanging):
    """The others wait in the exchange of settings, or for its server."""
    monkeypatch.setitem(standing.PATIENCE, 'preparing', 0.2)
    all_know = threading.Barrier(3)

    def build(watch, worker):
        try:
            if worker != hanging:
                watch.compare({'seed': 0})
        finally:
            all_know.wait(30)

    for worker, error in enumerate(in_workers(build, 3, timeout=2)):
        if worker != hanging:
            assert isinstance(error, WorkerLostError), error
            assert 'worker {} (127'.format(hanging) in str(error) and 'hangs before it trains' in str(error)


def test_a_worker_that_never_comes_is_named_by_the_others():
    errors = in_workers(lambda watch, worker: None, 3, present=[0, 1], timeout=1)
    for error in errors:
        assert isinstance(error, WorkerLostError) and 'worker 2 (127' in str(error), error
        assert 'did not come in time' in str(error)


def test_a_first_worker_that_is_stopped_before_all_have_met_is_lost():
    """The system accepts connections for a process that SIGSTOP holds up."""
    with listening() as address:
        start = time.monotonic()
        with pytest.raises(WorkerLostError, match=r'worker 0 \(127.* gives no sign of life'):
            meet(Cluster((address,) + free_addresses(1), 1), 1)
        # It may be silent for one time-out, in which it waits for the others.
        assert 1 < time.monotonic() - start < 30


@ran_once
def test_a_worker_that_takes_nothing_any_more_holds_nobody_up():
    """More than the system keeps for it is on the way, as pictures of an evaluation may be."""
    ours, theirs = socket.socketpair()
    watch = Watch(Cluster(('a:1', 'b:2'), 0), 2)
    watch.start({1: (ours, ours.makefile('rb'))})
    theirs.sendall(b'{"kind": "value", "round": 0, "value": 0}\n')
    errors = []

    def work():
        try:
            watch.gather('x' * 2**25)
            watch.gather(None)
        except WorkerLostError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert errors and errors[0].startswith('worker 1 (b:2) gives no sign of life'), errors
    watch.close()
    theirs.close()


class SlowConnection:
    """Messages to the other worker are on their way for long, as from a thread that gets no core."""

    def __init__(self, connection):
        self._connection = connection

    def sendall(self, line):
        time.sleep(0.2)
        self._connection.sendall(line)

    def __getattr__(self, name):
        return getattr(self._connection, name)


@pytest.mark.parametrize('leaves', ['lost', 'failed'])
def test_what_happened_is_sent_before_a_worker_leaves(leaves):
    """It may end by os._exit, which calls nothing: the others would name it, and not the one that was lost."""
    pairs = [socket.socketpair() for _ in range(2)]
    watch = Watch(Cluster(('a:1', 'b:2', 'c:3'), 0), 10)
    watch.start({worker: (SlowConnection(ours), ours.makefile('rb')) for worker, (ours, _) in enumerate(pairs, 1)})
    with pytest.raises((WorkerLostError, ValueError)):
        if leaves == 'failed':
            with watch.working():
                raise ValueError('the file x.png is damaged')
        pairs[0][1].close()
        watch.gather(None)
    pairs[1][1].setblocking(False)
    said = pairs[1][1].recv(2**16).decode()
    assert '"kind": "{}"'.format(leaves) in said
    assert 'worker 1 (b:2) is gone' in said or 'x.png' in said
    watch.close()
    pairs[1][1].close()


def test_all_that_hang_alike_are_stopped(monkeypatch):
    monkeypatch.setattr(standing, 'STALL', 0.3)

    def work(watch, worker):
        with watch.working():
            for step in range(5):
                watch.begin(step)
                watch.finished()
                time.sleep(0.1)
            start = time.monotonic()
            while time.monotonic() < start + 30:
                watch.check()
                time.sleep(0.01)

    for error in in_workers(work, 3, timeout=4):
        assert isinstance(error, WorkerLostError), error
        # 1 s, and longer where the machine was slow with a step.
        assert re.match(
            r'all workers hang: none has finished a batch for \d+ s, at step 5\. All workers stop', str(error)
        )


def test_the_newest_timeout_counts(monkeypatch):
    """Of a second network in the same processes; a shorter one loses nobody who reports as often as before."""
    monkeypatch.setattr(workers, '_versions', dict)
    addresses = free_addresses(2)

    def use(worker, found):
        cluster = Cluster(addresses, worker)
        for timeout in (30, 60, 1):
            watch = workers.join(workers.DistributedSettings(cluster, timeout), {}).watch
            found.append((worker, watch.timeout, watch.standing.timeout))
        time.sleep(1.5)
        watch.gather(None)
        watch.close()

    found = []
    threads = [threading.Thread(target=use, args=(worker, found)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(worker, timeout, timeout) for worker in range(2) for timeout in (1, 30, 60)]


def test_a_worker_says_what_it_does():
    watch = Watch(Cluster(('a:1', 'b:2'), 0), 10)
    said = [watch.standing.said()['doing']]
    with watch.saving():  # a network that is saved without a training
        said.append(watch.standing.said()['doing'])
    said.append(watch.standing.said()['doing'])
    watch.begin(0)
    with watch.calling_back():
        said.append(watch.standing.said()['doing'])
    said.append(watch.standing.said()['doing'])
    assert said == ['preparing', 'saving', 'preparing', 'callback', 'steps']


def lose(watch, worker):
    with watch._changed:
        watch._lose(worker, 'is gone')


def run_two(script, addresses):
    """Runs a script, which has places for the addresses and the worker, as two processes: (exit status, stderr) of each."""
    processes = [
        subprocess.Popen([sys.executable, '-c', script.format(addresses, worker)], stderr=subprocess.PIPE)
        for worker in range(2)
    ]
    said = [process.communicate(timeout=60)[1].decode() for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said)]


def test_a_process_that_waits_in_what_cannot_be_interrupted_is_ended():
    """The same in processes: their main threads hear nothing."""
    for status, said in run_two(HANGING, free_addresses(2)):
        assert status == EXIT_STATUS
        assert said.startswith('fcn8s: all workers hang: none has finished a batch for') and 'at step 8' in said


HANGING = """
import time
from fcn8s.distributed import standing
from fcn8s.distributed.cluster import Cluster
from fcn8s.distributed.meeting import meet

standing.STALL = 0.2
standing.STALL_OF_FIRST = 0.3
met = meet(Cluster({!r}, {}), 3)
with met.working():
    met.begin(7)
    time.sleep(600)
"""


@ran_once
@on_linux
def test_processes_that_all_sleep_in_a_step_are_ended_in_time():
    for status, said in run_two(HANGING.replace('standing.STALL', 'standing.UNUSED'), free_addresses(2)):
        assert status == EXIT_STATUS
        assert said.startswith('fcn8s: all workers hang: none has finished a batch or shown a sign of work for 2 s')


@ran_once
@on_linux
@pytest.mark.parametrize('phase', ['preparing', 'callback', 'saving'])
def test_a_worker_that_sleeps_is_lost_in_time(phase):
    seconds, said = waited_for(phase, 'time.sleep(600)')
    assert 0.7 * 3 <= seconds < 1.5 * 3  # sooner than one that works
    assert 'it has shown no sign of work for 2 s' in said


@ran_once
@on_linux
@pytest.mark.parametrize(
    'phase, work', [('preparing', 'read_slowly()'), ('callback', 'compute()'), ('saving', 'compute_in_a_child()')]
)
def test_a_worker_that_works_is_waited_for(phase, work):
    seconds, said = waited_for(phase, work)
    assert seconds >= 1.5 * 3
    assert 'others have waited for 4 s' in said


def waited_for(phase, work):
    """Seconds for which worker 1 waited for worker 0, which does something for longer than any test; what it said."""
    addresses = free_addresses(2)
    _, (status, said) = run_two(SLOW.replace('PHASE', phase).replace('WORK', work), addresses)
    assert status == 1 and 'WorkerLostError: worker 0 ({}) hangs '.format(addresses[0]) in said, said
    return float(re.search(r'waited ([\d.]+) s', said).group(1)), said.split('WorkerLostError: ')[1]


SLOW = """
import contextlib, subprocess, sys, time
from fcn8s.distributed import standing
from fcn8s.distributed.cluster import Cluster
from fcn8s.distributed.meeting import meet

FIFTH_OF_A_CORE = '''
import time
start = time.monotonic()
while time.monotonic() < start + 10:
    busy = time.thread_time() + 0.02
    while time.thread_time() < busy:
        pass
    time.sleep(0.08)
'''

def compute():
    exec(FIFTH_OF_A_CORE)

def compute_in_a_child():
    subprocess.call([sys.executable, '-c', FIFTH_OF_A_CORE], stderr=subprocess.DEVNULL)

def read_slowly():
    file = open('/dev/zero', 'rb', buffering=0)
    while True:
        file.read(20000)
        time.sleep(0.1)

standing.PATIENCE['PHASE'] = 1.5
met = meet(Cluster({!r}, {}), 3)
phases = dict(preparing=contextlib.nullcontext, callback=met.calling_back, saving=met.saving)
with met.working():
    if 'PHASE' != 'preparing':
        met.begin(0)
        met.gather(None)
    if met.cluster.is_first:
        with phases['PHASE']():
            WORK
    start = time.monotonic()
    try:
        met.gather(None)
    finally:
        print('waited', round(time.monotonic() - start, 2), 's', file=sys.stderr)
"""


@ran_once
def test_a_first_worker_that_hangs_while_it_saves_is_lost():
    """In processes: that of the hanging worker ends, too."""
    addresses = free_addresses(2)
    ended = run_two(SAVING, addresses)
    for _, said in ended:
        assert 'worker 0 ({}) hangs while it saves'.format(addresses[0]) in said and 'at step 8' in said
    # What waits for it raises WorkerLostError.
    assert [status for status, _ in ended] == [EXIT_STATUS, 1]


SAVING = """
import time
from fcn8s.distributed import standing
from fcn8s.distributed.cluster import Cluster
from fcn8s.distributed.meeting import meet

met = meet(Cluster({!r}, {}), 3)
with met.working():
    met.begin(7)
    if met.cluster.is_first:
        with met.saving():
            time.sleep(600)
    met.begin(8)
    met.gather(None)
"""


class UnavailableError(Exception):
    """As TensorFlow calls what a collective raises when another worker is gone."""


def test_an_error_of_tensorflow_that_came_of_a_lost_worker_names_that():
    watch = Watch(Cluster(('a:1', 'b:2'), 0), 10)
    lose(watch, 1)

    def collective():
        raise UnavailableError('Socket closed')

    with pytest.raises(WorkerLostError, match=r'worker 1 \(b:2\) is gone, at step 1'):
        watch.guarded(collective)


def test_weights_that_are_taken_over_from_a_lost_worker_name_it():
    from fcn8s.distributed.workers import Workers

    class Session:
        def run(self, op):
            lose(watch, 0)
            raise UnavailableError('Socket closed')

    watch = Watch(Cluster(('a:1', 'b:2'), 1), 10)
    with pytest.raises(WorkerLostError, match=r'worker 0 \(a:1\) is gone'):
        Workers(watch.cluster, watch, 'float32').take_over(Session(), None)
    assert watch.standing.progress[1] == 1  # it had come to what all do together


@pytest.mark.parametrize(
    'before, after',
    [
        ({}, 'localhost,a,::1'),
        ({'no_proxy': '.example.org,a'}, '.example.org,a,localhost,::1'),
        ({'grpc_proxy': 'http://p:1'}, None),
    ],
)
def test_a_proxy_for_web_pages_does_not_come_between_workers(monkeypatch, before, after):
    from fcn8s.distributed import exchange

    monkeypatch.setattr(os, 'environ', dict(before))
    exchange._pass_by_proxies(('a:1', 'a:2', '[::1]:3'))
    assert os.environ.get('no_proxy') == after


def test_a_taken_port_is_refused():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen(1)
        address = '127.0.0.1:{}'.format(taken.getsockname()[1])
        for source, where in (('TF_CONFIG', 'TF_CONFIG'), ('SLURM', 'FCN8S_PORT')):
            with pytest.raises(ValueError, match='port .* of worker 0 .* is taken .* another one in ' + where):
                meet(Cluster((address, '127.0.0.1:1'), 0, source), 1)
