"""Real processes that train one network: the steps of one worker, and what the others do when one is lost."""

import json
import os
import random
import signal
import socket
import sys
import time

import cv2
import numpy as np
import pytest
from shallow_encoders import write_shallow_encoder
from thorough import THOROUGH, ran_once
from worker_processes import be_failing_worker, be_hanging_worker, be_trainer, be_worker, read_text, started

from fcn8s.distributed.cluster import free_addresses, split_address

pytestmark = pytest.mark.slow

TIMEOUT = 10
# FCN8S_MURDERS=100 kills as many workers, and stops a fifth as many.
KILLS = int(os.environ.get('FCN8S_MURDERS', '2'))
STOPS = max(1, KILLS // 5)
FOUR = sys.version_info >= (3, 8) or THOROUGH  # four workers train on the current TensorFlow


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    from data_generator.street_scenes import write_dataset

    root = str(tmp_path_factory.mktemp('data') / 'streets')
    write_dataset(root, num_train=7, num_val=3, num_drive_frames=0, size=(48, 64))
    write_shallow_encoder(root + '/encoder', width_divisor=64)
    return root


def trained(data, out, workers, run, epochs, cases):
    addresses, processes = free_addresses(workers), []
    paths = ['{}-{}-{}.npz'.format(out, workers, worker) for worker in range(workers)]
    try:
        for worker, path in enumerate(paths):
            arguments = [data, data + '/encoder', path, str(4 // workers), run, str(epochs), cases]
            processes.append(started(be_trainer, arguments, addresses, worker, path + '.txt'))
        for process, path in zip(processes, paths):
            process.join(600)
            assert process.exitcode == 0, read_text(path + '.txt')[-2000:]
    finally:
        for process in processes:
            process.kill()
    return [dict(np.load(path)) for path in paths]


def test_several_workers_take_the_steps_of_one(data, tmp_path):
    """Of 7 images, not shuffled, the second batch is short, and of 4 workers one has nothing of it.

    What one worker trains in two epochs of a run, case 3, two begin, and four go on with.
    """
    (one,) = trained(data, str(tmp_path / 'out'), 1, str(tmp_path / 'alone'), 2, '0123')
    assert one['1 optimizer/loss_scale'] == 2.0**17
    others = [(2, 1, '0123', '012'), (4, 2, '03', '03')] if FOUR else [(2, 2, '0123', '0123')]
    for workers, epochs, cases, finished in others:
        for several in trained(data, str(tmp_path / 'out'), workers, str(tmp_path / 'together'), epochs, cases):
            assert set(several) == {name for name in one if name[0] in cases}
            for number in finished:
                compare_case({n: v for n, v in one.items() if n.startswith(number + ' ')}, several, workers)
    pictures = [
        worst_pictures(tmp_path / 'out-{}-0.npz-events'.format(workers)) for workers in [1] + [row[0] for row in others]
    ]
    assert set(pictures[0]) == {'val_worst/1', 'val_worst/2'}
    for number, found in enumerate(pictures[1:]):
        for tag, picture in found.items():
            # Weights that differ in their last digits may turn a pixel.
            assert (picture != pictures[0][tag]).mean() < 0.01, (number, tag)


def compare_case(one, several, workers):
    """State and scores of a case. Kernel and biases together: biases of 0 are hardly more than rounding at first."""
    for layer in {name.rpartition('/')[0] for name in one if '/' in name}:
        value, other = (flat(weights, layer) for weights in (one, {name: several[name] for name in one}))
        # Adam's second moments are squares: twice as far off as what they are made of.
        limit = 1e-5 if ' optimizer/' in layer else 1e-6
        assert np.linalg.norm(other - value) <= limit * np.linalg.norm(value), (workers, layer)
    number = min(one).split()[0]
    np.testing.assert_allclose(several[number + ' loss'], one[number + ' loss'], rtol=1e-6)
    matrix, other = one[number + ' matrix'], several[number + ' matrix']
    assert np.abs(other - matrix).sum() <= 1e-3 * matrix.sum() == 1e-3 * other.sum()


def worst_pictures(directory):
    from fcn8s.backend import tf

    (name,) = os.listdir(str(directory))
    found = {}
    for event in tf.train.summary_iterator(str(directory / name)):
        for value in event.summary.value:
            if value.tag.startswith('val_worst/'):
                found[value.tag] = cv2.imdecode(np.frombuffer(value.image.encoded_image_string, np.uint8), 1)
    return found


def flat(weights, layer):
    return np.concatenate([weights[name].ravel() for name in sorted(weights) if name.rpartition('/')[0] == layer])


def test_the_others_stop_in_time_when_one_is_killed_or_stopped(data, tmp_path):
    """Two or three workers in turn, at random moments, a quarter of them while they start.

    Each time the last checkpoint is good: all but the first go on with what those before them have trained.
    """
    rng, run = random.Random(int(os.environ.get('FCN8S_MURDER_SEED', '0'))), str(tmp_path / 'run')
    begin = ['train', '--data', data, '--encoder', data + '/encoder', '--run', run, '--batch', '1', '--no-report']
    begin += ['--crop', '32', '32', '--epochs', '100000', '--steps-per-epoch', '20', '--keep-checkpoints', '2']
    for number in range(KILLS + STOPS):
        command = begin if number == 0 else ['train', '--resume', run]
        how = signal.SIGKILL if number < KILLS else signal.SIGSTOP
        in_training = number == 0 or rng.random() < 0.75
        murder(command + ['--timeout', str(TIMEOUT)], rng.choice([2, 3]), how, run, in_training, rng, tmp_path)
    epochs = len(records(run)) + 2
    assert [record['epoch'] for record in records(run)] == list(range(1, epochs - 1))
    addresses, said = free_addresses(2), str(tmp_path / 'said by ')
    arguments = ['train', '--resume', run, '--epochs', str(epochs)]
    processes = [started(be_worker, arguments, addresses, worker, said + str(worker)) for worker in range(2)]
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0], read_text(said + '0')
    assert len(records(run)) == epochs


@pytest.mark.parametrize(
    'hanging, where',
    [
        # The other waits in TensorFlow, for weights.
        pytest.param(1, 'fcn8s.network:Network._initialize', marks=ran_once),
        (0, 'fcn8s.training.run:_Training._open_run'),  # the other waits for the state of the run
    ],
)
def test_the_others_stop_when_one_hangs_before_its_first_step(data, tmp_path, hanging, where):
    command = ['train', '--data', data, '--encoder', data + '/encoder', '--run', str(tmp_path / 'run'), '--batch', '1']
    command += ['--epochs', '1', '--steps-per-epoch', '2', '--no-report', '--timeout', str(TIMEOUT)]
    addresses, said = free_addresses(2), [str(tmp_path / 'said by {}'.format(worker)) for worker in range(2)]
    first, second = (be_worker, command), (be_hanging_worker, [where] + command)
    roles = [second, first] if hanging == 0 else [first, second]
    processes = [started(*role, addresses, worker, said[worker]) for worker, role in enumerate(roles)]
    try:
        # On a busy machine one that sleeps seems to work now and then: each waking takes many times as long.
        processes[1 - hanging].join(9 * TIMEOUT)
        text = read_text(said[1 - hanging])
        assert processes[1 - hanging].exitcode == 3, text
        assert 'worker {} ({}) hangs before it trains'.format(hanging, addresses[hanging]) in text
        assert 'it has shown no sign of work for 7 s' in text
    finally:
        for process in processes:
            process.kill()
            process.join()


@pytest.mark.parametrize('failing', [0, pytest.param(1, marks=ran_once)])
def test_a_run_is_saved_where_the_data_of_a_worker_fail(data, tmp_path, failing):
    """The other one waits within a step, for gradients that do not come."""
    run = str(tmp_path / 'run')
    command = ['train', '--data', data, '--encoder', data + '/encoder', '--run', run, '--batch', '1', '--val-split', '']
    command += ['--epochs', '1', '--steps-per-epoch', '5', '--no-report']
    addresses, said = free_addresses(2), [str(tmp_path / 'said by {}'.format(worker)) for worker in range(2)]
    roles = [(be_worker, command), (be_worker, command)]
    roles[failing] = be_failing_worker, ['4'] + command
    statuses = ended([started(*role, addresses, worker, said[worker]) for worker, role in enumerate(roles)])
    texts = [read_text(path) for path in said]
    assert statuses == ([2, 3] if failing == 0 else [3, 2]), texts
    assert 'x.png is gone' in texts[failing]
    assert 'worker {} ({}) stopped: OSError: x.png is gone'.format(failing, addresses[failing]) in texts[1 - failing]
    assert 'step-00000003' in last_checkpoint(run), texts
    if failing == 1:  # the run is the same
        return
    addresses = free_addresses(2)
    again = [started(be_worker, ['train', '--resume', run], addresses, worker, said[worker]) for worker in range(2)]
    assert ended(again) == [0, 0], read_text(said[0])
    assert 'Resumed from' in read_text(said[0]) and 'step-00000005' in last_checkpoint(run)
    assert [record['step'] for record in records(run)] == [5]


def ended(processes):
    """The exit statuses of processes, which are waited for."""
    try:
        for process in processes:
            process.join(300)
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.kill()


def murder(command, size, how, run, in_training, rng, folder):
    """Starts workers, kills or stops one, and sees that the others stop in time and say why."""
    addresses, victim = free_addresses(size), rng.randrange(size)
    before = last_checkpoint(run)
    said = [str(folder / 'said by {}'.format(worker)) for worker in range(size)]
    processes = [started(be_worker, command, addresses, worker, said[worker]) for worker in range(size)]
    try:
        limit = time.monotonic() + 120
        while in_training and last_checkpoint(run) == before and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 2))
        # While they start, the others begin to wait later.
        limit = time.monotonic() + TIMEOUT + (1 if in_training else 30)
        os.kill(processes[victim].pid, how)
        for worker, process in enumerate(processes):
            if worker != victim:
                process.join(max(0, limit - time.monotonic()))
                texts = [read_text(path) for path in said]
                story = victim, worker, [process.exitcode for process in processes], texts
                assert process.exitcode == 3, story
                assert 'worker {} ({})'.format(victim, addresses[victim]) in texts[worker], story
                assert 'at step' in texts[worker], story
    finally:
        for process in processes:
            process.kill()
            process.join()
    for address in addresses:
        with socket.socket() as listener:  # no port stays taken
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(split_address(address))


def last_checkpoint(run):
    try:
        with open(run + '/checkpoints/last.json') as file:
            return file.read()
    except OSError:
        return None


def records(run):
    with open(run + '/metrics.jsonl', encoding='utf-8') as file:
        return [json.loads(line) for line in file]
