"""Real processes that train one network: the steps of one worker, and what the others do when one is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fcn8s.distributed.cluster import free_addresses, tf_config

pytestmark = pytest.mark.slow

TIMEOUT = 10
# FCN8S_MURDERS=100 kills as many workers, and stops a fifth as many.
KILLS = int(os.environ.get('FCN8S_MURDERS', '2'))
STOPS = max(1, KILLS // 5)

TRAIN = """
import os, sys, warnings
warnings.simplefilter('ignore')
import numpy as np
from data_generator import BatchGenerator
from fcn8s import FCN8s, OptimizerSettings, schedules
from fcn8s.distributed.workers import DistributedSettings

root, encoder, out, batch = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
data, val = [BatchGenerator.from_layout('cityscapes', root, split) for split in ('train', 'val')]
cases = [
    dict(optimizer=OptimizerSettings('sgd', gradient_clip_norm=0.5)),
    dict(optimizer=OptimizerSettings('sgd', accumulate_batches=2), normalize='sum'),
    dict(optimizer=OptimizerSettings('adam', accumulate_batches=2)),
]
found = {}
for number, case in enumerate(cases):
    settings = DistributedSettings(timeout=120)
    case.update(label_space=data.label_space, skip_scales=(1, 1), distributed=settings)
    with FCN8s(vgg16_dir=encoder, **case) as model:
        batches = data.generate(batch, shuffle=number > 0, flip=0.5, random_crop=(32, 32), workers=1)
        rate = 1e-6 if case.get('normalize') else 1e-3
        history = model.train(batches, 1, 20, schedules.constant(rate), val_generator=val.generate(1, shuffle=False),
                              val_steps=3, metrics=('loss', 'mean_iou'), eval_frequency=1)
        for variable, value in zip(model.model.weights, model.sess.run(model.model.weights)):
            found['{} {}'.format(number, variable.op.name)] = value
        found['{} loss'.format(number)] = history[0]['training_loss']
        found['{} matrix'.format(number)] = history[0]['evaluation']['confusion_matrix']
np.savez(out, **found)
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    from data_generator.street_scenes import write_dataset
    from fcn8s.vgg16.write import write_encoder

    root = str(tmp_path_factory.mktemp('data') / 'streets')
    write_dataset(root, num_train=7, num_val=3, num_drive_frames=0, size=(48, 64))
    write_encoder(root + '/encoder', weights='random', width_divisor=64, seed=0)
    return root


def start(command, worker, addresses, **options):
    environ = dict(os.environ, TF_CONFIG=tf_config(addresses, worker))
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **options)


def trained(data, out, workers):
    addresses = free_addresses(workers)
    processes = []
    for worker in range(workers):
        path = '{}-{}-{}.npz'.format(out, workers, worker)
        command = [sys.executable, '-c', TRAIN, data, data + '/encoder', path, str(4 // workers)]
        processes.append(start(command, worker, addresses))
    for process in processes:
        assert process.wait(timeout=500) == 0, process.stderr.read().decode()[-2000:]
    return [dict(np.load('{}-{}-{}.npz'.format(out, workers, worker))) for worker in range(workers)]


def test_several_workers_take_the_steps_of_one(data, tmp_path):
    """Of 7 images, not shuffled, the second batch is short, and of 4 workers one has nothing of it."""
    (one,) = trained(data, str(tmp_path / 'out'), 1)
    for workers in (2, 4):
        for several in trained(data, str(tmp_path / 'out'), workers):
            assert set(several) == set(one)
            for layer in {name.rpartition('/')[0] for name in one if '/' in name}:
                # Kernel and biases together: biases that begin as 0 are hardly more than rounding after 20 steps.
                value, other = (flat(weights, layer) for weights in (one, several))
                assert np.linalg.norm(other - value) <= 1e-6 * np.linalg.norm(value), (workers, layer)
            for number in range(3):
                np.testing.assert_allclose(several['{} loss'.format(number)], one['{} loss'.format(number)], rtol=1e-6)
                matrix, other = one['{} matrix'.format(number)], several['{} matrix'.format(number)]
                assert np.abs(other - matrix).sum() <= 1e-3 * matrix.sum() == 1e-3 * other.sum()


def flat(weights, layer):
    return np.concatenate([weights[name].ravel() for name in sorted(weights) if name.rpartition('/')[0] == layer])


def test_the_others_stop_in_time_when_one_is_killed_or_stopped(data, tmp_path):
    """The last checkpoint is good, too: two workers go on with what three began."""
    rng = random.Random(0)
    for number in range(KILLS + STOPS):
        run = str(tmp_path / 'run-{}'.format(number))
        addresses, victim = free_addresses(3), rng.randrange(3)
        command = [sys.executable, '-m', 'fcn8s', 'train', '--data', data, '--encoder', data + '/encoder', '--run', run]
        command += '--epochs 100000 --batch 1 --crop 32 32 --no-report --timeout {}'.format(TIMEOUT).split()
        processes = [start(command, worker, addresses, cwd=str(tmp_path)) for worker in range(3)]
        try:
            limit = time.monotonic() + 120
            while not os.path.exists(run + '/checkpoints/last.json') and time.monotonic() < limit:
                time.sleep(0.1)
            time.sleep(rng.uniform(0, 2))
            begin = time.monotonic()
            processes[victim].send_signal(signal.SIGKILL if number < KILLS else signal.SIGSTOP)
            for worker, process in enumerate(processes):
                if worker != victim:
                    assert process.wait(timeout=TIMEOUT + 5) == 3
                    said = process.stderr.read().decode()
                    assert 'worker {} ({})'.format(victim, addresses[victim]) in said and 'at step' in said
            assert time.monotonic() - begin < TIMEOUT + 1
        finally:
            for process in processes:
                process.kill()
                process.wait()
    epochs = len(records(run)) + 2
    resumed = [sys.executable, '-m', 'fcn8s', 'train', '--resume', run, '--epochs', str(epochs), '--workers', '2']
    subprocess.run(resumed, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    assert len(records(run)) == epochs


def records(run):
    with open(run + '/metrics.jsonl', encoding='utf-8') as file:
        return [json.loads(line) for line in file]
