"""Signs of work, of processes that do one thing each."""

import subprocess
import sys
import time

import pytest
from thorough import ran_once

from fcn8s.distributed import activity as activity_module
from fcn8s.distributed.activity import Activity

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere it cannot be told')

# Uses a twentieth of a core.
COMPUTES = """
import time
while True:
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    time.sleep(0.095)
"""
# Move 64 kB a second, and use next to no CPU.
READS = 'import time\nfile = open("/dev/zero", "rb", buffering=0)\nwhile file.read(6554): time.sleep(0.1)'
WRITES = (
    'import time\nfile = open("/dev/null", "wb", buffering=0)\nwhile True: file.write(bytes(6554)); time.sleep(0.1)'
)
# Wakes as often as what waits for news.
WAITS = 'import time, threading\nwhile True: threading.Event().wait(0.1)'
HAS_A_CHILD = """
import subprocess, sys, threading
threading.Thread(target=lambda: subprocess.Popen([sys.executable, '-c', {!r}], stdin=sys.stdin).wait()).start()
"""
# Ends with its standard input, and says when it begins.
BEGINS = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
print('begins', flush=True)
"""


@pytest.fixture
def look():
    """Returns a function that starts a program and says how often it showed work, of so many looks in a row.

    Two times are enough: others may use the cores meanwhile.
    """
    processes = []

    def count(code, looks):
        code = BEGINS + code
        process = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        processes.append(process)
        for _ in range(code.count('begins')):
            assert process.stdout.readline() == b'begins\n'
        activity = Activity(process.pid)
        activity.look()  # what children have done until now
        found = 0
        for _ in range(looks):
            time.sleep(0.15)
            found += activity.look()
            if found == 2:
                break
        return found

    yield count
    for process in processes:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@ran_once
@pytest.mark.parametrize('code', [WAITS, HAS_A_CHILD.format(BEGINS + WAITS)])
def test_who_waits_does_not_work(look, code):
    assert look(code, 12) == 0


@ran_once
@pytest.mark.parametrize(
    'code',
    [
        COMPUTES,
        READS,
        WRITES,
        HAS_A_CHILD.format(BEGINS + COMPUTES),
        HAS_A_CHILD.format(BEGINS + HAS_A_CHILD.format(BEGINS + READS)),
        'import os, time\nwhile True: os.system("dd if=/dev/zero of=/dev/null bs=20000 count=1 2>&-"); time.sleep(0.1)',
    ],
)
def test_who_computes_reads_or_writes_works(look, code):
    assert look(code, 60) == 2


def test_looking_is_no_work():
    code = 'from fcn8s.distributed.activity import Activity\na = Activity()\nprint(sum(a.look() for _ in range(9999)))'
    assert subprocess.check_output([sys.executable, '-c', code]) == b'0\n'


def test_where_it_cannot_be_told_all_work(monkeypatch, tmp_path):
    monkeypatch.setattr(activity_module, '_PROC', str(tmp_path))
    activity = Activity()
    assert activity.look() and activity.look()


def test_files_of_another_form_cannot_be_told_from(monkeypatch, tmp_path):
    """As sandboxes have them; an error would end the thread that tells other workers that this one lives."""
    (tmp_path / '7' / 'task' / '7').mkdir(parents=True)
    (tmp_path / '7' / 'task' / '7' / 'children').write_text('')
    (tmp_path / '7' / 'io').write_text('rchar: 9\nwchar: 9\n')
    (tmp_path / '7' / 'stat').write_text('7 (waits) D 1 7 7 0 -1 4194560 0 0 0 0 5 6 0 0 20 0\n')
    (tmp_path / 'vmstat').write_text('nr_dirty 5\n')
    monkeypatch.setattr(activity_module, '_PROC', str(tmp_path))
    activity = Activity(7)
    assert activity.look() and activity.look()


def test_a_process_whose_name_ends_within_a_letter(tmp_path):
    """The system keeps 15 bytes of the name of a script that is started as a program."""
    script = tmp_path / 'entra\u00eenement-\u00e9t\u00e9'
    script.write_text('#!{}\nimport sys\nsys.stdin.read()\n'.format(sys.executable), encoding='utf-8')
    script.chmod(0o700)
    process = subprocess.Popen([str(script)], stdin=subprocess.PIPE)
    try:
        while b'entra' not in (name_of(process)):
            time.sleep(0.01)
        with pytest.raises(UnicodeDecodeError):
            name_of(process).decode()
        assert not Activity(process.pid).look()
    finally:
        process.communicate()


def name_of(process):
    with open('/proc/{}/comm'.format(process.pid), 'rb') as file:
        return file.read().rstrip(b'\n')


def test_who_waits_for_a_disk_works_while_the_system_writes(monkeypatch, tmp_path):
    """As in fsync of a checkpoint, which takes long where the disk is slow."""
    monkeypatch.setattr(activity_module, '_PROC', str(tmp_path))
    (tmp_path / '7' / 'task' / '7').mkdir(parents=True)
    (tmp_path / '7' / 'task' / '7' / 'children').write_text('')
    (tmp_path / '7' / 'io').write_text('rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 0\nwrite_bytes: 0\n')

    def look(state, pages):
        (tmp_path / '7' / 'stat').write_text('7 (a (b) c) {} 1 7 7 0 -1 4194560 0 0 0 0 5 6 0 0 20 0\n'.format(state))
        (tmp_path / 'vmstat').write_text('nr_dirty 5\nnr_written {}\nnr_written_other 8\n'.format(pages))
        return activity.look()

    (tmp_path / '7' / 'stat').write_text('7 (a (b) c) S 1 7 7 0 -1 4194560 0 0 0 0 5 6 0 0 20 0\n')
    activity = Activity(7)
    assert [look(*seen) for seen in [('S', 0), ('D', 900), ('D', 900), ('D', 1800), ('S', 2700), ('S', 3600)]] == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]
