"""What readers of weights make of errors of the libraries below them."""

import errno
import os

import pytest

from fcn8s.vgg16.weights.damage import damaged, explain_damage
from fcn8s.vgg16.weights.recognise import recognise


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
