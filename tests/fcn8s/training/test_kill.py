"""Processes that are killed at any moment leave a state that loads and goes on."""

import os
import pathlib
import random
import subprocess
import sys

import pytest
from run_records import timeless_file
from thorough import THOROUGH

from fcn8s.saving.checkpoints import Checkpoints, read_state

pytestmark = pytest.mark.slow

TESTS = str(pathlib.Path(__file__).parents[2])
LIGHT_KILLS, TRAINING_KILLS = (80, 20) if THOROUGH else (10, 3)

# Saves checkpoints for ever, with files in place of a network, and says so after each.
SAVE_FOR_EVER = """
import os, sys
from fcn8s.saving.checkpoints import Checkpoints, read_state

def writer(step):
    def write(directory):
        for part in range(4):
            with open(os.path.join(directory, 'part-{}'.format(part)), 'w') as file:
                file.write('{} '.format(step) * 20000)
    return write

checkpoints = Checkpoints(sys.argv[1], keep=2)
last = checkpoints.last()
state = {'step': 0, 'best_step': None} if last is None else read_state(last)
checkpoints.recover(state['best_step'])
while True:
    step = state['step'] + 1
    best = step % 3 == 0
    state = {'step': step, 'best_step': step if best else state['best_step']}
    checkpoints.save(step, writer(step), state, best)
    print(step, flush=True)
"""


def assert_whole(checkpoint):
    step = read_state(checkpoint)['step']
    assert os.path.basename(checkpoint) == 'step-{:08d}'.format(step)
    for part in range(4):
        with open(os.path.join(checkpoint, 'part-{}'.format(part))) as file:
            assert file.read() == '{} '.format(step) * 20000


def assert_intact(directory):
    """All checkpoints are whole; `last` is the newest that a pointer reached, and `best` is not ahead of it."""
    checkpoints = Checkpoints(directory)
    for name in checkpoints.names():
        assert_whole(os.path.join(directory, name))
    last = checkpoints.last()
    assert last is None or checkpoints.names().index(os.path.basename(last)) >= len(checkpoints.names()) - 2
    best = checkpoints.best()
    if best is not None:
        assert read_state(best)['step'] % 3 == 0 and read_state(best)['step'] <= read_state(last)['step']


def test_checkpoints_survive_a_kill_at_any_moment(tmp_path):
    directory, rng = str(tmp_path / 'checkpoints'), random.Random(0)
    reached = 0
    for _ in range(LIGHT_KILLS):
        process = subprocess.Popen([sys.executable, '-c', SAVE_FOR_EVER, directory], stdout=subprocess.PIPE)
        for _ in range(rng.randint(1, 3)):
            step = int(process.stdout.readline())
        try:
            process.wait(timeout=rng.uniform(0, 0.02))  # the moment of the kill, anywhere within a saving or two
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        assert process.returncode == -9
        assert step > reached, 'went on from an older state'
        assert_intact(directory)
        reached = read_state(Checkpoints(directory).last())['step']
        assert reached >= step
    leftovers = [name for name in os.listdir(directory) if name.startswith('.')]
    assert len(leftovers) <= 3  # of the last kill alone: each start removes what the one before had left


# One process loads TensorFlow and forks: each child trains, is killed by the parent, or checks what is there.
TRAINING_SERVER = '''
import os, random, select, signal, sys, traceback
sys.path.insert(0, sys.argv[1])
from fcn8s import FCN8s
import fcn8s.model
from fcn8s.saving.runs import Run, resolve_model
from fcn8s.training.schedules import constant
from streams import Stream

encoder, run_dir, kills = sys.argv[2], sys.argv[3], int(sys.argv[4])

class Telling(Stream):
    """Tells the parent when a batch is taken, of which the second comes after a step and its checkpoint."""
    def __next__(self):
        if self.pipe is not None:
            os.write(self.pipe, b'x')
        return super().__next__()

def train(where, epochs, pipe=None):
    last = Run(where).last_checkpoint()
    beginning = dict(vgg16_dir=encoder, num_classes=2) if last is None else dict(model_load_dir=where)
    stream = Telling(size=(32, 32))
    stream.pipe = pipe
    with FCN8s(seed=5, **beginning) as model:
        model.train(stream, epochs, 1, constant(1e-3), eval_dataset='val', eval_frequency=2, val_generator=Stream((32, 32), seed=1),
                    val_steps=1, metrics={'mean_iou'}, monitor='mean_iou', run_dir=where,
                    resume=os.path.exists(os.path.join(where, 'config.json')), save_frequency=1)

def forked(function, *arguments):
    child = os.fork()
    if not child:
        status = 1
        try:
            sys.stdout = sys.stderr = open(os.devnull, 'w')
            function(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            sys.__stderr__.flush()
            os._exit(status)
    return child

rng = random.Random(1)
for number in range(kills):
    reading, writing = os.pipe()
    child = forked(train, run_dir, 10 ** 6, writing)
    os.close(writing)
    for _ in range(1 if number % 4 == 0 else 2):  # now and then before anything was saved
        if not os.read(reading, 1):
            sys.exit('child {} did not start'.format(number))
    # the moment of the kill, anywhere within a step or two and their checkpoints
    select.select([], [], [], rng.uniform(0, 1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
last = Run(run_dir).last_checkpoint()
steps = 2 + (0 if last is None else int(last[-8:]))
for where in (run_dir, run_dir + '-whole'):
    status = os.waitpid(forked(train, where, steps), 0)[1]
    if status:
        sys.exit('training {} ended with {}'.format(where, status))
print(steps)
'''


def test_training_survives_a_kill_at_any_moment_and_repeats_the_uninterrupted_run(shallow_encoder, tmp_path):
    """Every child begins with FCN8s(model_load_dir=RUN), so every kill is followed by a loading of what it left."""
    from fcn8s.backend import tf

    run = str(tmp_path / 'run')
    finished = subprocess.run(
        [sys.executable, '-c', TRAINING_SERVER, TESTS, shallow_encoder, run, str(TRAINING_KILLS)],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert int(finished.stdout) >= TRAINING_KILLS * 3 // 4  # it did get on between the kills
    readers = [
        tf.train.load_checkpoint(
            os.path.join(Checkpoints(os.path.join(path, 'checkpoints')).last(), 'variables', 'variables')
        )
        for path in (run, run + '-whole')
    ]
    names = readers[0].get_variable_to_shape_map()
    assert sorted(names) == sorted(readers[1].get_variable_to_shape_map())
    assert not [name for name in names if not (readers[0].get_tensor(name) == readers[1].get_tensor(name)).all()]
    assert timeless_file(run + '/metrics.jsonl') == timeless_file(run + '-whole/metrics.jsonl')
    assert sorted(os.listdir(os.path.join(run, 'checkpoints'))) == sorted(
        os.listdir(os.path.join(run + '-whole', 'checkpoints'))
    )
