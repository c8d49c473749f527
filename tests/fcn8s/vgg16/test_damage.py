"""What readers of weights make of errors of the libraries below them."""

import errno
import os
import zipfile

import h5py
import numpy as np
import pytest

from fcn8s.vgg16.weights import hdf5_walk
from fcn8s.vgg16.weights.damage import damaged, explain_damage
from fcn8s.vgg16.weights.keras_h5 import MEMBER_OF_ARCHIVE
from fcn8s.vgg16.weights.recognise import read_source, recognise


def test_a_place_before_the_beginning_of_a_file_is_damage_and_other_system_errors_are_not():
    with pytest.raises(ValueError, match='^a.pth is damaged or truncated: .*Invalid argument'), explain_damage('a.pth'):
        raise OSError(errno.EINVAL, 'Invalid argument')
    with pytest.raises(OSError, match='No space'), explain_damage('a.pth'):
        raise OSError(errno.ENOSPC, 'No space left on device')


def test_a_long_reason_is_cut():
    assert len(str(damaged('a.pth', 'x' * 10000))) < 600


def test_a_pipe_is_not_waited_for(tmp_path):
    path = str(tmp_path / 'pipe')
    os.mkfifo(path)
    for place in (path, '/dev/zero'):
        with pytest.raises(ValueError, match="is neither a file nor a folder. Accepted: 'keras', 'hed'"):
            recognise(place)


def write_hdf5_that_hangs(path):
    """The first of the texts of an attribute has a size of 0: HDF5 then looks for the next one for ever."""
    with h5py.File(path, 'w') as file:
        names = np.array(['kernel:0', 'bias:0'], dtype=object)
        file.create_group('layers').attrs.create('weight_names', names, dtype=h5py.special_dtype(vlen=str))
    with open(path, 'r+b') as file:
        file.seek(file.read().index(b'GCOL') + 24)
        file.write(bytes(8))


@pytest.mark.parametrize('in_archive', [False, True])
def test_hdf5_that_hangs_is_refused(tmp_path, monkeypatch, in_archive):
    monkeypatch.setattr(hdf5_walk, '_LONGEST', 5.0)
    path = str(tmp_path / 'weights.h5')
    write_hdf5_that_hangs(path)
    if in_archive:
        with zipfile.ZipFile(str(tmp_path / 'vgg16.keras'), 'w') as archive:
            archive.write(path, MEMBER_OF_ARCHIVE)
        path = str(tmp_path / 'vgg16.keras')
    with pytest.raises(ValueError, match='{} is damaged.*Copy or download it again'.format(path)):
        read_source(path)


def test_hdf5_that_ends_a_process_is_refused(tmp_path, monkeypatch):
    script = tmp_path / 'walk.py'
    script.write_text('import os; os.abort()')
    monkeypatch.setattr(hdf5_walk, '__file__', str(script))
    path = str(tmp_path / 'weights.h5')
    h5py.File(path, 'w').close()
    with pytest.raises(ValueError, match='weights.h5 is damaged: a process ends while HDF5 reads its description'):
        read_source(path)
