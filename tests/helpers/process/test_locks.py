import os

import pytest

from helpers.process.locks import LOCK_FILE, directory_locked

pytestmark = pytest.mark.skipif(os.name == 'nt', reason='locks of POSIX')


def test_a_process_that_sees_only_the_lock_of_the_file_is_kept_out(tmp_path):
    """As on another machine: NFS does not hand on locks of directories."""
    fcntl = pytest.importorskip('fcntl')
    with directory_locked(str(tmp_path)):
        pass
    assert os.listdir(str(tmp_path)) == [LOCK_FILE] == ['.lock']
    with open(str(tmp_path / LOCK_FILE), 'r+b') as of_another:
        fcntl.flock(of_another, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match='in use'), directory_locked(str(tmp_path), 'in use'):
            raise AssertionError('two at once')
        fcntl.flock(of_another, fcntl.LOCK_UN)
        with directory_locked(str(tmp_path), 'in use'), pytest.raises(BlockingIOError):
            fcntl.flock(of_another, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize('obstacle', ['link', 'folder'])
def test_where_the_file_cannot_be_made_the_directory_is_locked(tmp_path, obstacle):
    """As where nobody may write. A link would lead to a file elsewhere."""
    locked = tmp_path / 'locked'
    (locked if obstacle == 'link' else locked / LOCK_FILE).mkdir(parents=True)
    if obstacle == 'link':
        os.symlink(str(tmp_path / 'elsewhere'), str(locked / LOCK_FILE))
    refused = pytest.raises(ValueError, match='in use')
    with directory_locked(str(locked)), refused, directory_locked(str(locked), 'in use'):
        raise AssertionError('two at once')
    assert os.listdir(str(tmp_path)) == ['locked']


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def without_locks(*_):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr('fcntl.flock', without_locks)
    with directory_locked(str(tmp_path), 'in use'), directory_locked(str(tmp_path), 'in use'):
        pass
