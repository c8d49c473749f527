import argparse
import enum
import errno
import json
import os
import re
import shutil
import stat
import subprocess
import sys

import pytest

from helpers import files
from helpers.files import (
    PathTakenError,
    atomic_directory,
    atomic_new_path,
    atomic_path,
    atomic_write_csv,
    atomic_write_json,
    check_folder,
    check_home,
    check_no_device,
    explain_os_errors,
    is_below,
    make_directory,
    numbered,
    path_of,
    sha256_of,
    temporary_directory,
    write_numbered,
    write_unfinished,
)


def test_names_that_are_no_utf8_stay_in_tables(tmp_path):
    atomic_write_csv(tmp_path / 'a.csv', [('image', 'score'), (os.fsdecode(b'\xff,b.png'), 0.5)])
    assert (tmp_path / 'a.csv').read_bytes() == b'image,score\n"\xff,b.png",0.5\n'


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    final = tmp_path / 'new' / 'table.csv'
    with atomic_path(final) as temporary:
        assert os.path.dirname(temporary) == str(final.parent)
        assert temporary.endswith('.csv')
        with open(temporary, 'w') as file:
            file.write('whole')
        assert not final.exists()
    assert final.read_text() == 'whole'
    assert os.listdir(str(final.parent)) == ['table.csv']


def test_every_file_and_its_directory_are_made_to_last_once(tmp_path, real_fsync, monkeypatch):
    """Also those that are whole before the directory around them is."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, 'fsync', lambda file: (synced.append(os.fstat(file).st_ino), fsync(file)))
    with atomic_directory(tmp_path / 'data') as temporary:
        atomic_write_json(os.path.join(temporary, 'part', 'inner.json'), [1])
        assert synced == []
    atomic_write_json(tmp_path / 'outer.json', [1])
    there = ['data/part/inner.json', 'data/part', 'data', 'outer.json']
    expected = [os.stat(str(tmp_path / name)).st_ino for name in there] + 2 * [os.stat(str(tmp_path)).st_ino]
    assert sorted(synced) == sorted(expected)


def test_windows_makes_files_last_that_are_open_for_writing(tmp_path, monkeypatch):
    (tmp_path / 'a').write_text('whole')
    path = str(tmp_path / 'a')
    monkeypatch.setattr(os, 'fsync', lambda file: os.write(file, b''))  # refuses what is open for reading, as Windows
    with monkeypatch.context() as windows:
        windows.setattr(os, 'name', 'nt')
        files._fsync(path)
    assert (tmp_path / 'a').read_text() == 'whole'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no pipes with names')
def test_pipes_and_devices_are_not_replaced_by_files(tmp_path):
    pipe, link = str(tmp_path / 'pipe'), str(tmp_path / 'link')
    os.mkfifo(pipe)
    os.symlink('pipe', link)
    for path in (pipe, link, os.devnull):
        with pytest.raises(ValueError, match='is a device or a pipe, and a file would take its place'):
            check_no_device(path)
    for path in (pipe, link):
        with pytest.raises(ValueError, match='is a device or a pipe'), atomic_path(path):
            pass
    assert stat.S_ISFIFO(os.stat(pipe).st_mode) and sorted(os.listdir(str(tmp_path))) == ['link', 'pipe']


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no pipes with names')
def test_only_files_are_hashed(tmp_path):
    """`export` hashes those of a run, where a pipe may lie in their place."""
    places = [str(tmp_path / name) for name in ('pipe', 'link', 'folder')]
    os.mkfifo(places[0])
    os.symlink('/dev/zero', places[1])
    os.mkdir(places[2])
    for path in places:
        with pytest.raises(ValueError, match='is no file. Copy it again'):
            sha256_of(path)


def test_a_home_directory_that_no_shell_put_in_is_no_folder_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', '/home/ada')
    for write in (check_home, check_folder, lambda path: atomic_path(path).__enter__()):
        with pytest.raises(ValueError, match='begins with .~., .* Write /home/ada/runs/a, or ./~/runs/a for such a'):
            write('~/runs/a')
    with pytest.raises(ValueError, match='begins with'), atomic_directory('~'):
        pass
    with pytest.raises(ValueError, match='would be made here. Write ./~no-user-of-this-machine/a for such a folder'):
        check_home('~no-user-of-this-machine/a')
    assert os.listdir(str(tmp_path)) == []
    for path in ('./~/a', 'a~', '~no-user-of-this-machine'):
        check_folder(path)
    check_folder('~/b')  # there is one now


def test_what_lies_below_a_folder(tmp_path):
    run = tmp_path / 'run'
    found = [is_below(str(path), str(run)) for path in (run / 'x', run, tmp_path / 'run-old' / 'x')]
    assert found == [True, False, False]


def test_a_name_that_is_too_long_is_said_to_be(tmp_path):
    path = str(tmp_path / ('x' * 300))
    with pytest.raises(OSError, match='Choose a shorter name'), atomic_directory(path):
        pass
    assert os.listdir(str(tmp_path)) == []


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    path = str(tmp_path / 'a.b' / 'rate.svg')
    assert numbered(path) == path
    os.mkdir(str(tmp_path / 'a.b'))
    (tmp_path / 'a.b' / 'rate.svg').write_text('mine')
    os.symlink('nowhere', str(tmp_path / 'a.b' / 'rate-2.svg'))
    assert numbered(path) == str(tmp_path / 'a.b' / 'rate-3.svg')
    assert numbered(str(tmp_path / 'a.b')) == str(tmp_path / 'a-2.b')


@pytest.mark.parametrize('has_links', [True, False])
def test_a_new_file_replaces_none(tmp_path, monkeypatch, has_links):
    def no_link(source, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)

    if not has_links:
        monkeypatch.setattr(os, 'link', no_link)
    path = tmp_path / 'a' / 'new.json'
    with atomic_new_path(path) as temporary, open(temporary, 'w') as file:
        file.write('first')
    taken = pytest.raises(PathTakenError, match=r'new\.json is there already, and is not replaced\. Move it away\.')
    with taken, atomic_new_path(path) as temporary, open(temporary, 'w') as file:
        file.write('second')
    os.symlink('nowhere', str(tmp_path / 'a' / 'link'))
    with pytest.raises(PathTakenError), atomic_new_path(tmp_path / 'a' / 'link') as temporary:
        open(temporary, 'w').close()
    assert path.read_text() == 'first' and sorted(os.listdir(str(tmp_path / 'a'))) == ['link', 'new.json']
    with atomic_new_path(path, lambda there: there == str(path)) as temporary, open(temporary, 'w') as file:
        file.write('third')
    with atomic_new_path(tmp_path / 'a' / 'link', lambda there: True) as temporary:
        open(temporary, 'w').close()
    assert path.read_text() == 'third' and sorted(os.listdir(str(tmp_path / 'a'))) == ['link', 'new.json']
    assert not (tmp_path / 'a' / 'link').is_symlink()


def test_a_file_with_a_number_replaces_none_that_comes_while_it_is_written(tmp_path):
    def write(path):
        (tmp_path / 'rate.svg').write_text('of another process')
        atomic_write_csv(path, [('mine',)])

    assert write_numbered(str(tmp_path / 'rate.svg'), write) == str(tmp_path / 'rate-2.svg')
    assert write_unfinished(str(tmp_path / 'rate.svg'), write) == str(tmp_path / 'rate.svg.partial')
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ['mine\n', 'of another process', 'mine\n']
    with pytest.raises(FileExistsError, match='A file has the place of a directory'):
        write_unfinished(str(tmp_path / 'rate.svg' / 'a'), write)


@pytest.mark.parametrize('interruption', [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path, interruption):
    final = tmp_path / 'model.bin'
    final.write_text('old')
    (tmp_path / '.other.tmp').write_text("somebody else's")
    with pytest.raises(interruption), atomic_path(final) as temporary:
        with open(temporary, 'w') as file:
            file.write('ha')
        raise interruption
    assert final.read_text() == 'old'
    assert sorted(os.listdir(str(tmp_path))) == ['.other.tmp', 'model.bin']


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / 'empty.txt'):
        pass
    assert os.listdir(str(tmp_path)) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'target.txt').write_text('old')
    (tmp_path / 'link.txt').symlink_to(tmp_path / 'target.txt')
    with atomic_path(tmp_path / 'link.txt') as temporary, open(temporary, 'w') as file:
        file.write('new')
    assert (tmp_path / 'link.txt').is_symlink()
    assert (tmp_path / 'target.txt').read_text() == 'new'


def test_a_directory_is_no_file_to_write(tmp_path):
    with pytest.raises(ValueError, match='is a directory.*Give a file name'), atomic_path(tmp_path):
        pass


def test_names_at_the_limit_of_the_file_system(tmp_path):
    final = tmp_path / ('ü' * 120 + '.txt')
    with atomic_path(final) as temporary, open(temporary, 'w') as file:
        file.write('x')
    assert final.exists()


def test_a_directory_appears_only_when_it_is_whole(tmp_path):
    final = tmp_path / 'step-1'
    with atomic_directory(final) as temporary:
        os.mkdir(os.path.join(temporary, 'variables'))
        with open(os.path.join(temporary, 'variables', 'a'), 'w') as file:
            file.write('1')
        assert not final.exists()
    assert (final / 'variables' / 'a').read_text() == '1'
    assert os.listdir(str(tmp_path)) == ['step-1']


def test_a_failed_directory_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / 'step-1') as temporary:
        open(os.path.join(temporary, 'a'), 'w').close()
        raise KeyboardInterrupt
    assert os.listdir(str(tmp_path)) == []


def test_a_directory_may_take_the_place_of_an_empty_one_only(tmp_path):
    (tmp_path / 'empty').mkdir()
    with atomic_directory(tmp_path / 'empty') as temporary:
        open(os.path.join(temporary, 'a'), 'w').close()
    assert (tmp_path / 'empty' / 'a').exists()
    message = 'exists already and is not an empty directory. Choose another name'
    with pytest.raises(FileExistsError, match=message), atomic_directory(tmp_path / 'empty'):
        pytest.fail('the body must not run')


def test_a_directory_that_is_filled_meanwhile_is_kept(tmp_path):
    with pytest.raises(FileExistsError), atomic_directory(tmp_path / 'd') as temporary:
        open(os.path.join(temporary, 'mine'), 'w').close()
        (tmp_path / 'd').mkdir()
        (tmp_path / 'd' / 'theirs').write_text('')
    assert os.listdir(str(tmp_path / 'd')) == ['theirs']
    assert os.listdir(str(tmp_path)) == ['d']


def test_whether_letter_case_tells_names_apart_is_tried_where_the_files_will_be(tmp_path, monkeypatch):
    (tmp_path / 'A').write_text('')
    assert files.ignores_case(tmp_path / 'later' / 'still') == (tmp_path / 'a').exists()
    monkeypatch.setattr(files.os.path, 'lexists', lambda path: path.startswith(str(tmp_path / '.CASE-')))
    assert files.ignores_case(tmp_path / 'later')
    monkeypatch.undo()
    assert os.listdir(str(tmp_path)) == ['A']


def test_where_nothing_is_there_the_search_ends_at_the_root(tmp_path):
    assert files._nearest(str(tmp_path / 'a'), lambda path: False) == os.path.abspath(os.sep)


def test_json_round_trip(tmp_path):
    value = {'name': 'größe', 'scores': [1, 0.5, None]}
    atomic_write_json(tmp_path / 'a.json', value)
    assert json.loads((tmp_path / 'a.json').read_text(encoding='utf-8')) == value


@pytest.mark.parametrize('value, error', [({'loss': float('nan')}, ValueError), ({'a': object()}, TypeError)])
def test_json_that_others_cannot_read_is_refused_before_writing(tmp_path, value, error):
    (tmp_path / 'a.json').write_text('{}')
    with pytest.raises(error):
        atomic_write_json(tmp_path / 'a.json', value)
    assert (tmp_path / 'a.json').read_text() == '{}'


def test_a_full_disk_is_explained(tmp_path):
    (tmp_path / 'a').write_text('old')
    message = r'while writing .*a\. Free some space or choose another directory\. .*MB are free'
    with pytest.raises(OSError, match=message), atomic_path(tmp_path / 'a'):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (tmp_path / 'a').read_text() == 'old'


def _full():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def disks(tmp_path, monkeypatch):
    """Bytes and inodes that are free in folders; `temporary` is the one for temporary files. In others, many."""
    if not hasattr(os, 'statvfs'):
        pytest.skip('Windows has no inodes')
    free = {str(tmp_path / 'temporary'): (10**9, 10)}
    (tmp_path / 'temporary').mkdir()
    usage = shutil.disk_usage(str(tmp_path))

    def of(path):
        return next((free[place] for place in free if path.startswith(place)), (10**9, 10))

    monkeypatch.setattr(files.tempfile, 'tempdir', str(tmp_path / 'temporary'))
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda path: usage._replace(free=of(path)[0]))
    monkeypatch.setattr(files.os, 'statvfs', lambda path: argparse.Namespace(f_files=10, f_favail=of(path)[1]))
    return free


def test_a_full_folder_for_temporary_files_is_not_the_place_of_the_output(tmp_path, disks):
    temporary = str(tmp_path / 'temporary')
    disks[temporary] = 10**5, 10
    message = r'while writing .*temporary\. Set TMPDIR to a folder with more space\. \(0 MB are free there'
    with pytest.raises(OSError, match=message), explain_os_errors(tmp_path / 'a'):
        raise _full()
    with pytest.raises(OSError, match='while writing .*a. Free some space'), explain_os_errors(tmp_path / 'a'):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / 'a'))
    disks[temporary] = 10**9, 0
    message = r'while writing .*temporary\. No inode is free there, .* Set TMPDIR to a folder on another disk\.$'
    with pytest.raises(OSError, match=message), explain_os_errors(tmp_path / 'a'):
        raise _full()
    disks[temporary] = 10**9, 10
    with pytest.raises(OSError, match='while writing .*a. Free some space'), explain_os_errors(tmp_path / 'a'):
        raise _full()


def test_a_disk_without_inodes_is_not_said_to_have_space(tmp_path, disks):
    disks[str(tmp_path)] = 10**9, 0
    disks[str(tmp_path / 'temporary')] = 0, 10
    message = r'while writing .*a\. No inode is free there, .* Remove files or choose another directory\.$'
    with pytest.raises(OSError, match=message), explain_os_errors(tmp_path / 'a'):
        raise _full()


def test_that_inodes_are_missing_is_seen_before_an_unfinished_directory_is_removed(tmp_path, disks, monkeypatch):
    rmtree = files.shutil.rmtree

    def free_inodes(path, **options):
        disks[str(tmp_path)] = disks[str(tmp_path / 'temporary')] = 10**9, 10
        rmtree(path, **options)

    monkeypatch.setattr(files.shutil, 'rmtree', free_inodes)
    for make, remedy in (
        (lambda: atomic_directory(tmp_path / 'a'), 'Remove'),
        (lambda: temporary_directory('fcn8s-b'), 'Set'),
    ):
        disks[str(tmp_path)] = disks[str(tmp_path / 'temporary')] = 10**9, 0
        with pytest.raises(OSError, match='No inode is free there, .*is. ' + remedy), make():
            raise _full()


@pytest.mark.parametrize(
    'number, remedy',
    [
        (errno.ENOSPC, 'Set TMPDIR to a folder with more space'),
        (errno.EFBIG, 'Raise the limit on the size of files'),
        (errno.EROFS, 'Set TMPDIR to a folder that is not read-only'),
    ],
)
def test_what_stops_a_temporary_file_has_its_own_remedy(number, remedy):
    with pytest.raises(OSError, match='while writing .*kept.*' + remedy) as caught, temporary_directory('fcn8s-kept'):
        raise OSError(number, os.strerror(number))
    assert caught.value.errno == number


def test_what_is_written_into_a_temporary_folder_has_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, 'tempdir', str(tmp_path))
    remedy = 'while writing .*fcn8s-a.*model. Set TMPDIR'
    with temporary_directory('fcn8s-a') as folder:
        model = os.path.join(folder, 'model')
        with pytest.raises(OSError, match=remedy), atomic_directory(model):
            raise _full()
    remedy = 'while writing {}. Free some space or choose another directory'.format(re.escape(str(tmp_path)))
    with pytest.raises(OSError, match=remedy), explain_os_errors(tmp_path):  # a result that lies in it directly
        raise _full()
    with atomic_directory(tmp_path / 'out') as unfinished:
        part = os.path.join(unfinished, 'a.json')
        with pytest.raises(OSError, match='choose another directory'), atomic_path(part):
            raise _full()


def test_a_full_disk_elsewhere_is_not_that_of_temporary_files(tmp_path):
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'in', None, str(tmp_path / 'out'))
    with pytest.raises(OSError) as caught, temporary_directory('fcn8s-a') as folder:
        raise error
    assert caught.value is error
    with pytest.raises(OSError, match='Set TMPDIR'), temporary_directory('fcn8s-a') as folder:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'in', None, os.path.join(folder, 'copy'))


def test_a_full_disk_without_another_for_temporary_files_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, 'tempdir', None)
    monkeypatch.setattr(files.tempfile, '_candidate_tempdir_list', list)  # none of them takes a file
    with pytest.raises(OSError, match='while writing .*a. Free some space'), explain_os_errors(tmp_path / 'a'):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_may_not_be_so_large_is_explained(tmp_path):
    message = r'File too large while writing .*a\. Raise the limit on the size of files'
    with pytest.raises(OSError, match=message), atomic_path(tmp_path / 'a'):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def test_a_read_only_directory_is_explained_with_its_own_type(tmp_path):
    message = 'Choose a directory that you may write to'
    with pytest.raises(PermissionError, match=message) as caught, explain_os_errors(str(tmp_path / 'a')):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / '.a.tmp'))
    assert caught.value.errno == errno.EACCES


@pytest.mark.parametrize('name', ['file', 'file/a', 'file/a/b'])
def test_a_file_in_the_place_of_a_directory_is_explained(tmp_path, name):
    (tmp_path / 'file').write_text('old')
    message = r'while writing .*file.*: choose another directory, or move the file away'
    with pytest.raises((FileExistsError, NotADirectoryError), match=message), atomic_path(tmp_path / name / 'x'):
        pytest.fail('the body must not run')
    assert (tmp_path / 'file').read_text() == 'old'


@pytest.mark.parametrize(
    'error',
    [
        NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), '/elsewhere/input/a.png'),
        PermissionError(errno.EACCES, 'Permission denied', '/elsewhere/input.png'),
        FileNotFoundError(errno.ENOENT, 'No such file', '/elsewhere/input.png'),
        OSError('without a number'),
        OSError(errno.ENOSPC, 'explained already'),
    ],
)
def test_errors_about_other_files_pass_unchanged(tmp_path, error):
    with pytest.raises(OSError) as caught, explain_os_errors(str(tmp_path / 'a')):
        raise error
    assert caught.value is error


def test_an_input_beside_the_output_is_not_called_the_output(tmp_path, monkeypatch):
    (tmp_path / 'secret.png').write_text('of somebody else')
    monkeypatch.chdir(tmp_path)
    for name in ('secret.png', str(tmp_path / 'secret.png')):
        error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        with pytest.raises(PermissionError) as caught, explain_os_errors(str(tmp_path / 'out.json')):
            raise error
        assert caught.value is error
    inside = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / '.out.0123456789ab.tmp' / 'a'))
    with pytest.raises(PermissionError, match='while writing .*out'), explain_os_errors(str(tmp_path / 'out')):
        raise inside


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0, reason='the superuser may write everywhere')
def test_a_directory_without_write_permission(tmp_path):
    directory = tmp_path / 'locked'
    directory.mkdir()
    directory.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        message = 'Choose a directory that you may write to'
        with pytest.raises(PermissionError, match=message), atomic_path(directory / 'a') as temporary:
            open(temporary, 'w').close()
    finally:
        directory.chmod(stat.S_IRWXU)


def test_what_a_killed_process_left_is_removed_when_the_next_one_writes_there(tmp_path):
    script = (
        'import sys, os, time; from helpers.files import atomic_path, atomic_directory\n'
        'with atomic_path(sys.argv[1] + "/scores.json") as one, atomic_directory(sys.argv[1] + "/model") as two:\n'
        '    open(one, "w").write("half"); open(two + "/weights", "w").write("half"); print("there", flush=True)\n'
        '    time.sleep(60)\n'
    )
    writers = [
        subprocess.Popen([sys.executable, '-c', script, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline().strip() == b'there'
        (tmp_path / '.mine.0123456789ab.tmp').write_text("somebody else's")
        (tmp_path / '.mine.tmp').write_text("somebody else's")
        before = set(os.listdir(str(tmp_path)))
        assert len(before) == 6
        writers[0].kill()
        writers[0].wait()
        write_json_in_a_new_process(tmp_path)
        left = set(os.listdir(str(tmp_path)))
        gone = before - left
        assert len(gone) == 2 and all('-{}-'.format(writers[0].pid) in name for name in gone)
        assert left - before == {'other.json'}
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='reads /proc')
def test_a_process_that_has_ended_and_was_not_waited_for_is_no_longer_alive(tmp_path):
    code = (
        'import sys; from helpers.files import atomic_path; atomic_path(sys.argv[1] + "/a").__enter__(); print("there")'
    )
    code += '; sys.stdout.flush(); import os; os.kill(os.getpid(), 9)'
    with subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], stdout=subprocess.PIPE) as ended:
        assert ended.stdout.read().strip() == b'there'
        left = tmp_path / '.a.{}-{}-0123456789ab.tmp'.format(files._process_space(), ended.pid)
        left.write_text('half')
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # waits, and leaves it as it is
        write_json_in_a_new_process(tmp_path)
    assert not left.exists()


def test_machines_of_one_name_do_not_take_the_processes_of_each_other_for_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(files, '_BOOT_ID', str(tmp_path / 'boot_id'))
    monkeypatch.setattr(files.uuid, 'getnode', lambda: 1)
    space_of = files._process_space.__wrapped__
    spaces = [space_of()]
    for boot_id in 'one', 'two':
        (tmp_path / 'boot_id').write_text(boot_id)
        spaces.append(space_of())
    assert len(set(spaces)) == 3 and spaces[-1] == space_of()
    (tmp_path / 'boot_id').unlink()
    monkeypatch.setattr(files.uuid, 'getnode', lambda: 2)
    assert space_of() not in spaces


def write_json_in_a_new_process(directory):
    code = 'import sys; from helpers.files import atomic_write_json; atomic_write_json(sys.argv[1], 1)'
    subprocess.run([sys.executable, '-c', code, str(directory / 'other.json')], check=True)


@pytest.mark.parametrize('wrong', [None, 5, b'runs', ['runs']])
def test_what_is_no_path_is_refused(wrong):
    for use in (path_of, check_home, check_folder, make_directory, lambda path: atomic_path(path).__enter__()):
        with pytest.raises(ValueError, match='came as a path; it has to be text or a pathlib.Path'):
            use(wrong)


def test_a_path_in_an_enum_is_its_value():
    class Folder(str, enum.Enum):
        DATA = 'data'

    assert type(path_of(Folder.DATA)) is str and path_of(Folder.DATA) == 'data'
