"""Workers that meet, compare and watch over each other; in threads of one process."""

import socket
import threading

import pytest

from fcn8s.distributed.cluster import Cluster, free_addresses
from fcn8s.distributed.watch import WorkerLostError, meet


def in_workers(function, count, present=None, timeout=10):
    """What `function(watch, worker)` returned or raised in each worker."""
    addresses, found = free_addresses(count), {}

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


def test_all_get_what_each_gave():
    assert in_workers(lambda watch, worker: watch.gather(worker * 2), 3) == [[0, 2, 4]] * 3


def test_a_difference_is_named_in_all_workers():
    def compare(watch, worker):
        watch.compare({'seed': 0, 'precision': 'bfloat16' if worker == 2 else 'float32'})
        watch.gather(None)

    for error in in_workers(compare, 3):
        assert isinstance(error, ValueError)
        assert 'worker 2 (127' in str(error) and "has precision 'bfloat16', and worker 0 has 'float32'" in str(error)


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


def test_a_worker_that_never_comes_is_named_by_the_others():
    errors = in_workers(lambda watch, worker: None, 3, present=[0, 1], timeout=1)
    for error in errors:
        assert isinstance(error, WorkerLostError) and 'worker 2 (127' in str(error), error
        assert 'did not come in time' in str(error)


def test_a_taken_port_is_refused():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen(1)
        address = '127.0.0.1:{}'.format(taken.getsockname()[1])
        with pytest.raises(ValueError, match='port .* of worker 0 .* is taken'):
            meet(Cluster((address, '127.0.0.1:1'), 0), 1)
