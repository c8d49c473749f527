"""What happens when the disk is full, on a disk that is really full."""

import os
import shutil
import subprocess
import warnings

import numpy as np
import pytest

from data_generator.street_scenes import write_dataset
from fcn8s import FCN8s
from fcn8s.cli import main
from fcn8s.saving.checkpoints import Checkpoints
from fcn8s.training.tensorboard import EventWriter


class SmallDisk:
    def __init__(self, directory):
        self.directory = str(directory)

    def mount(self, size, options=''):
        subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', '{}size={}'.format(options, size), 'tmpfs', self.directory],
            check=True,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a given size in memory; only root may make one."""
    disk = SmallDisk(tmp_path / 'disk')
    os.mkdir(disk.directory)
    try:
        disk.mount('1m')
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('mounting a small file system needs root')
    yield disk
    subprocess.run(['umount', '-l', disk.directory], check=True)


def checkpoint_bytes(run):
    directory = Checkpoints(os.path.join(run, 'checkpoints')).last()
    return sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(directory) for name in names)


def test_training_stops_and_goes_on_when_there_is_space_again(shallow_encoder, small_disk, tmp_path, capsys):
    data, run = str(tmp_path / 'data'), os.path.join(small_disk.directory, 'run')
    write_dataset(data, num_train=1, num_val=1, num_drive_frames=0, size=(32, 64))
    train = [
        'train',
        '--data',
        data,
        '--encoder',
        shallow_encoder,
        '--batch',
        '1',
        '--keep-checkpoints',
        '5',
        '--monitor',
        'loss',
        '--no-report',
    ]
    assert main(train + ['--run', str(tmp_path / 'elsewhere'), '--epochs', '1']) == 0
    size = checkpoint_bytes(str(tmp_path / 'elsewhere'))
    small_disk.mount(int(1.8 * size), 'remount,')  # room for one checkpoint, and not for the second beside it
    capsys.readouterr()
    assert main(train + ['--run', run, '--epochs', '2']) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith('fcn8s train: error: the variables could not be written: {}'.format(run))
    assert 'No space left on device. Free some space or choose another directory.' in message
    assert os.listdir(os.path.join(run, 'checkpoints')).count('step-00000001') == 1
    assert not [name for name in os.listdir(os.path.join(run, 'checkpoints')) if '.tmp' in name]
    with FCN8s(model_load_dir=run) as model:
        assert model.sess.run(model.global_step) == 1
    small_disk.mount(8 * size, 'remount,')
    assert main(['train', '--resume', run]) == 0
    assert Checkpoints(os.path.join(run, 'checkpoints')).names()[-1] == 'step-00000002'


def test_a_model_that_does_not_fit_leaves_nothing_behind(shallow_encoder, small_disk):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        for saver in ('saved_model', 'train_saver'):
            with pytest.raises(OSError, match='No space left on device. Free some space or choose another directory'):
                model.save(os.path.join(small_disk.directory, 'models'), saver, force_save=True)
            assert os.listdir(os.path.join(small_disk.directory, 'models')) == []


def test_an_encoder_that_does_not_fit_is_said_in_a_line(small_disk, capsys):
    out = os.path.join(small_disk.directory, 'encoder')
    assert main(['vgg16', out, '--weights', 'random', '--width-divisor', '8']) == 2
    (message,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()][-1:]
    assert message.startswith('fcn8s vgg16: error: the variables could not be written: {}'.format(small_disk.directory))
    assert message.endswith('No space left on device. Free some space or choose another directory.')
    assert os.listdir(small_disk.directory) == []


def test_events_that_do_not_fit_warn_once_and_never_again(small_disk):
    picture = np.random.RandomState(0).randint(0, 256, [400, 400, 3]).astype(np.uint8)
    with EventWriter(os.path.join(small_disk.directory, 'events')) as writer:
        writer.scalars(1, {'loss': 1.0})
        with pytest.warns(UserWarning, match='no more events are written for TensorBoard: .*No space left on device'):
            for step in range(4):
                writer.image(step, 'picture', picture)
        shutil.rmtree(os.path.join(small_disk.directory, 'events'))
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            writer.scalars(2, {'loss': 0.5})
