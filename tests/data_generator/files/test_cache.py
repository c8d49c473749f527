import errno
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import helpers.files
from data_generator.files.cache import PairCache, holds_entries
from data_generator.files.discovery import Pair

ROOT = str(pathlib.Path(__file__).parents[3])
IMAGE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
LABEL = np.arange(8, dtype=np.uint8).reshape(2, 4)


@pytest.fixture
def pair(tmp_path):
    for name in ('image', 'label'):
        (tmp_path / name).write_bytes(b'one')
    return Pair(str(tmp_path / 'image'), str(tmp_path / 'label'))


@pytest.fixture
def cache_dir(tmp_path):
    return str(tmp_path / 'a' / 'cache')


def never():
    raise AssertionError('made again')


def files(directory):
    return [os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names]


def assert_equal(arrays, image, label):
    np.testing.assert_array_equal(arrays[0], image)
    assert arrays[0].dtype == image.dtype
    if label is None:
        assert arrays[1] is None
    else:
        np.testing.assert_array_equal(arrays[1], label)
        assert arrays[1].dtype == label.dtype


@pytest.mark.parametrize('label', [LABEL, LABEL.astype(np.uint16), LABEL[:1], None])
def test_second_time_comes_from_the_disk(pair, cache_dir, label):
    pair = pair if label is not None else pair._replace(label=None)
    assert not holds_entries(cache_dir)
    assert_equal(PairCache(cache_dir, 'key').get(pair, lambda: (IMAGE, label)), IMAGE, label)
    assert holds_entries(cache_dir) and not holds_entries(os.path.dirname(pair.image))
    again = PairCache(cache_dir, 'key').get(pair, never)
    assert_equal(again, IMAGE, label)
    assert isinstance(again[0], np.memmap) and not again[0].flags.writeable


def test_pairs_too_large_for_a_record_are_made_each_time(pair, cache_dir):
    """They ended in an error of NumPy, after they had been decoded."""
    large = np.broadcast_to(np.uint8(7), (1 << 16, 1 << 15))  # takes no memory
    for _ in range(2):
        image, label = PairCache(cache_dir, 'key').get(pair, lambda: (large, LABEL))
        assert image is large and label is LABEL
    assert not files(cache_dir)


def append_a_byte(path):
    with open(path, 'a') as file:
        file.write('x')


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('change', [append_a_byte, lambda path: os.utime(path, ns=(1, os.stat(path).st_mtime_ns + 1))])
def test_changed_files_are_read_again(pair, cache_dir, which, change):
    cache = PairCache(cache_dir, 'key')
    cache.get(pair, lambda: (IMAGE, LABEL))
    change(pair[which])
    assert_equal(cache.get(pair, lambda: (IMAGE + 1, LABEL + 1)), IMAGE + 1, LABEL + 1)
    assert_equal(cache.get(pair, never), IMAGE + 1, LABEL + 1)
    assert len(files(cache_dir)) == 1


def test_entries_in_use_stay_as_they_are_when_made_anew(pair, cache_dir):
    cache = PairCache(cache_dir, 'key')
    cache.get(pair, lambda: (IMAGE, LABEL))
    mapped = cache.get(pair, never)
    os.utime(pair.image, ns=(1, 1))
    cache.get(pair, lambda: (IMAGE + 1, LABEL + 1))
    assert_equal(mapped, IMAGE, LABEL)


def test_other_ways_of_preparing_are_kept_apart(pair, cache_dir):
    PairCache(cache_dir, 'half').get(pair, lambda: (IMAGE[::2], LABEL[::2]))
    PairCache(cache_dir, 'full').get(pair, lambda: (IMAGE, LABEL))
    assert_equal(PairCache(cache_dir, 'half').get(pair, never), IMAGE[::2], LABEL[::2])


@pytest.mark.parametrize('content', [b'', b'no array', None])
def test_damaged_entries_are_made_again(pair, cache_dir, content):
    cache = PairCache(cache_dir, 'key')
    cache.get(pair, lambda: (IMAGE, LABEL))
    [entry] = files(cache_dir)
    with open(entry, 'rb') as file:
        whole = file.read()
    with open(entry, 'wb') as file:
        file.write(whole[:-5] if content is None else content)
    assert_equal(cache.get(pair, lambda: (IMAGE, LABEL)), IMAGE, LABEL)
    assert_equal(cache.get(pair, never), IMAGE, LABEL)


def test_an_array_of_another_kind_is_no_entry(pair, cache_dir):
    cache = PairCache(cache_dir, 'key')
    cache.get(pair, lambda: (IMAGE, LABEL))
    [entry] = files(cache_dir)
    np.save(entry, IMAGE)
    assert_equal(cache.get(pair, lambda: (IMAGE, LABEL)), IMAGE, LABEL)


def test_nothing_is_left_when_making_fails(pair, cache_dir):
    def fail():
        raise ValueError('broken')

    with pytest.raises(ValueError, match='broken'):
        PairCache(cache_dir, 'key').get(pair, fail)
    assert files(cache_dir) == []


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs a device that is always full')
def test_a_full_disk_is_told_with_its_cause_and_path(pair, cache_dir, monkeypatch, tmp_path):
    cache = PairCache(cache_dir, 'key')
    # In the place of the temporary file, a way to a device that is full. There np.save says '1 requested and 0 written'.
    (tmp_path / 'full').symlink_to('/dev/full')
    monkeypatch.setattr(helpers.files, '_temporary_sibling', lambda final: str(tmp_path / 'full'))
    message = 'No space left on device while writing .*cache.*npy. Free some space or choose another directory'
    with pytest.raises(OSError, match=message) as caught:
        cache.get(pair, lambda: (IMAGE, LABEL))
    assert caught.value.errno == errno.ENOSPC and files(cache_dir) == []


@pytest.mark.parametrize(
    'number, remedy',
    [
        (errno.EROFS, 'Choose a directory that is not read-only'),
        (errno.EPERM, 'Choose a directory that you may write to'),
        (errno.EACCES, 'Choose a directory that you may write to'),
    ],
)
def test_a_directory_that_cannot_be_made_is_named(cache_dir, monkeypatch, number, remedy):
    def refuse(path, *args, **options):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, 'makedirs', refuse)
    with pytest.raises(OSError, match='while writing .*cache. ' + remedy):
        PairCache(cache_dir, 'key')


def test_files_that_are_gone_are_missed_even_if_cached(pair, cache_dir):
    cache = PairCache(cache_dir, 'key')
    cache.get(pair, lambda: (IMAGE, LABEL))
    os.remove(pair.label)
    with pytest.raises(FileNotFoundError, match='label'):
        cache.get(pair, never)


SHARE = """
import sys
import numpy as np
from data_generator.files.cache import PairCache
from data_generator.files.discovery import Pair

pair = Pair(sys.argv[2], sys.argv[3])
for _ in range(20):
    for number in range(20):
        arrays = PairCache(sys.argv[1], str(number)).get(pair, lambda: (np.full((9, 9, 3), number, np.uint8),
                                                                        np.full((9, 9), number, np.uint8)))
        assert arrays[0].min() == arrays[1].max() == number
"""


def test_two_processes_share_a_directory(pair, cache_dir):
    command = [sys.executable, '-c', SHARE, cache_dir] + list(pair)
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [(b'', 0)] * 2
    assert len(files(cache_dir)) == 20
