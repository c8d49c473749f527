"""What happens when the disk is full, on a disk that is really full, and when a file may not be so large."""

import contextlib
import errno
import os
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest
from streams import Stream

from data_generator.street_scenes import write_dataset
from fcn8s import FCN8s
from fcn8s.backend import tf
from fcn8s.cli import main
from fcn8s.saving.checkpoints import Checkpoints
from fcn8s.saving.packing import pack
from fcn8s.saving.saved_models import explain_write_errors
from fcn8s.training.schedules import constant
from fcn8s.training.tensorboard import EventWriter
from fcn8s.vgg16.write import write_encoder


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
    assert 'No space left on device while writing {}{}'.format(run, os.sep) in message
    assert 'step-00000002. Free some space or choose another directory.' in message
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
            message = 'No space left on device while writing .*models.* Free some space or choose another directory'
            with pytest.raises(OSError, match=message) as caught:
                model.save(os.path.join(small_disk.directory, 'models'), saver, force_save=True)
            assert caught.value.errno == errno.ENOSPC
            assert os.listdir(os.path.join(small_disk.directory, 'models')) == []


def test_an_encoder_that_does_not_fit_is_said_in_a_line(small_disk, capsys):
    out = os.path.join(small_disk.directory, 'encoder')
    assert main(['vgg16', out, '--weights', 'random', '--width-divisor', '8']) == 2
    (message,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()][-1:]
    assert (
        'No space left on device while writing {}. Free some space or choose another directory.'.format(out) in message
    )
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


@contextlib.contextmanager
def no_file_larger_than(size):
    resource = pytest.importorskip('resource', reason='Windows has no such limit')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, shallow_encoder):
    """A run with an optimiser's state, which packing leaves out."""
    path = str(tmp_path_factory.mktemp('limits') / 'run')
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(), 1, 1, constant(1e-3), run_dir=path)
    return path


def test_variables_larger_than_files_may_be_are_not_called_damaged(run_dir, tmp_path):
    message = r'File too large while writing .*\.fcn8s-pack.*\. Raise the limit on the size of files'
    with pytest.raises(OSError, match=message) as caught, no_file_larger_than(10**5):
        pack(run_dir, str(tmp_path / 'a.zip'))
    assert caught.value.errno == errno.EFBIG and os.listdir(str(tmp_path)) == []


def test_an_encoder_larger_than_files_may_be_names_the_limit(tmp_path):
    message = r'File too large while writing .*encoder\. Raise the limit on the size of files'
    with pytest.raises(OSError, match=message) as caught, no_file_larger_than(10**5):
        write_encoder(str(tmp_path / 'encoder'), weights='random', width_divisor=64)
    assert caught.value.errno == errno.EFBIG and os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    'number, kind', [('ENOSPC', 'ResourceExhaustedError'), ('EDQUOT', 'UnknownError'), ('EFBIG', 'OutOfRangeError')]
)
def test_limits_that_stop_tensorflow_are_errors_of_the_system(number, kind):
    number = getattr(errno, number)
    error = getattr(tf.errors, kind)(None, None, '/a/variables.tempstate1; {}'.format(os.strerror(number)))
    with pytest.raises(OSError) as caught, explain_write_errors('/a/variables', '/b/variables'):
        raise error
    assert (caught.value.errno, caught.value.filename) == (number, '/b/variables')


def test_other_errors_of_writing_are_in_a_line_and_those_of_reading_pass():
    message = 'could not be written: /b/x; Permission denied. Free'
    with pytest.raises(OSError, match=message), explain_write_errors('/a/x', '/b/x'):
        raise tf.errors.PermissionDeniedError(None, None, 'a node\n/a/x; Permission denied\nits graph')
    error = tf.errors.DataLossError(None, None, 'Checksum does not match')
    with pytest.raises(tf.errors.DataLossError), explain_write_errors('/a/x', '/b/x'):
        raise error


def test_a_link_for_a_name_that_tensorflow_cannot_take_does_not_blame_the_folder_for_temporary_files(tmp_path):
    place = tmp_path / 'a[1]'
    place.mkdir()
    message = re.escape('while writing {}. Raise the limit on the size of files'.format(place / 'encoder'))
    with pytest.raises(OSError, match=message), no_file_larger_than(10**5):
        write_encoder(str(place / 'encoder'), weights='random', width_divisor=64)
