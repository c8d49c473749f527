"""What of TensorFlow's C++ log reaches a user, at the start of a process of its own each time."""

import os
import subprocess
import sys

import pytest

from fcn8s import native_log

NOTICE = 'I0000 00:00:1795653734.269420   15650 port.cc:153] oneDNN custom operations are on.'
WARNING = 'W0000 00:00:1795653734.269420   15650 gpu_device.cc:2] Cannot dlopen some GPU libraries.'
ERROR = 'E0000 00:00:1795653739.616919   15660 cuda_platform.cc:52] failed call to cuInit'
FATAL = 'F0000 00:00:1795653739.616919   15660 cpu_feature_guard.cc:1] compiled to use AVX instructions'
OLD_NOTICE = '2026-11-26 00:42:28.834901: I tensorflow/core/platform/cpu_feature_guard.cc:142] Your CPU supports AVX2'
PREAMBLE = 'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR'
OTHERS = ['I am a line of somebody else', 'warning: I0000 is no prefix here', FATAL]
LINES = [PREAMBLE, NOTICE, OLD_NOTICE, WARNING, ERROR] + OTHERS

PRINTS = """
import os, sys
from fcn8s.native_log import quiet_start
with quiet_start():
    os.write(2, sys.argv[1].encode())
    {}
os.write(2, b'after\\n')
"""


def printed(environment, ending='pass'):
    """The lines that arrive, of a library that prints LINES while it loads and then does `ending`."""
    kept = {name: value for name, value in os.environ.items() if name not in (native_log.LEVEL, native_log.VERBOSE)}
    command = [sys.executable, '-c', PRINTS.format(ending), '\n'.join(LINES) + '\n']
    done = subprocess.run(
        command, check=False, env={**kept, **environment}, stderr=subprocess.PIPE, universal_newlines=True
    )
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    'environment, expected',
    [
        ({'TF_CPP_MIN_LOG_LEVEL': '3'}, OTHERS),
        ({'TF_CPP_MIN_LOG_LEVEL': '2'}, [ERROR] + OTHERS),
        ({'TF_CPP_MIN_LOG_LEVEL': '1'}, [WARNING, ERROR] + OTHERS),
        ({'TF_CPP_MIN_LOG_LEVEL': '0'}, LINES),
        ({'FCN8S_VERBOSE': '1'}, LINES),
    ],
)
def test_lines_below_the_level_are_dropped_and_all_others_pass(environment, expected):
    assert printed(environment) == expected + ['after']


def test_the_last_words_of_a_library_that_aborts_arrive():
    assert printed({'TF_CPP_MIN_LOG_LEVEL': '3'}, 'os.abort()') == OTHERS


def test_an_import_that_fails_leaves_standard_error_as_it_was():
    lines = printed({'TF_CPP_MIN_LOG_LEVEL': '3'}, 'raise ImportError("no such library")')
    assert lines[: len(OTHERS)] == OTHERS and lines[-1] == 'ImportError: no such library'


@pytest.mark.parametrize('devices, level', [((), '3'), ((os.path.abspath(__file__),), '2')])
def test_errors_are_shown_where_there_is_a_gpu(monkeypatch, devices, level):
    monkeypatch.delenv(native_log.LEVEL, raising=False)
    monkeypatch.delenv(native_log.VERBOSE, raising=False)
    monkeypatch.setattr(native_log, '_GPU_DEVICES', devices)
    assert native_log.set_level() == os.environ[native_log.LEVEL] == level


def test_a_level_of_the_users_own_stays(monkeypatch):
    monkeypatch.setenv(native_log.LEVEL, '1')
    monkeypatch.setenv(native_log.VERBOSE, '1')
    assert native_log.set_level() == '1'


@pytest.mark.skipif(os.name == 'nt', reason='closing a standard stream by the shell')
def test_without_standard_error_tensorflow_loads():
    done = subprocess.run('"{}" -c "import fcn8s.backend" 2>&-'.format(sys.executable), shell=True, check=False)
    assert done.returncode == 0


def test_tensorflow_loads_without_a_word():
    kept = {name: value for name, value in os.environ.items() if name != native_log.LEVEL}
    code = 'from fcn8s.backend import tf; tf.Session().close()'
    done = subprocess.run(
        [sys.executable, '-c', code], check=False, env=kept, stderr=subprocess.PIPE, universal_newlines=True
    )
    noise = [
        line for line in done.stderr.splitlines() if native_log.dropped_severities('1') == line[:1] or 'absl' in line
    ]
    assert done.returncode == 0 and noise == []
