import os
import signal
import subprocess
import sys

import pytest

from helpers.process.termination import STOP_SIGNALS, Interrupted, exit_status, termination_raised

SPEAKER = """
import sys
from helpers.process.termination import leave_lost_terminal
sys.stdin.read()  # until the terminal is gone
leave_lost_terminal()
print('x' * 10000, flush=True)
print('x' * 10000, file=sys.stderr, flush=True)
sys.exit(5)
"""


@pytest.mark.skipif(not hasattr(os, 'openpty'), reason='Windows')
@pytest.mark.parametrize('is_lost', [True, False])
def test_what_is_said_to_a_terminal_that_is_gone_is_no_error(is_lost):
    ours, its = os.openpty()
    speaker = subprocess.Popen([sys.executable, '-c', SPEAKER], stdin=subprocess.PIPE, stdout=its, stderr=its)
    os.close(its)
    if is_lost:
        os.close(ours)
    speaker.stdin.close()
    if not is_lost:
        assert os.read(ours, 100).startswith(b'x')
        os.close(ours)
    assert speaker.wait() == 5 or not is_lost


@pytest.mark.parametrize('name, status', [('SIGHUP', 129), ('SIGINT', 130), ('SIGTERM', 143)])
def test_the_exit_status_of_a_shell(name, status):
    assert exit_status(Interrupted('stopped', name)) == status
    assert exit_status(KeyboardInterrupt()) == 130


@pytest.fixture()
def default_signals():
    before = [(number, signal.signal(number, signal.SIG_DFL)) for number in STOP_SIGNALS[1:]]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP'])
def test_a_signal_to_end_is_raised_once(default_signals, name):
    """A terminal that is closed sends SIGHUP twice; the files that are being written are removed before the end."""
    number, is_tidy = getattr(signal, name), False
    with pytest.raises(Interrupted, match='stopped by ' + name) as caught, termination_raised(), termination_raised():
        try:
            os.kill(os.getpid(), number)
        finally:
            for again in STOP_SIGNALS[1:]:
                os.kill(os.getpid(), again)
            is_tidy = True
    assert is_tidy and caught.value.signal_name == name
    assert {signal.getsignal(number) for number in STOP_SIGNALS[1:]} == {signal.SIG_DFL}


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
def test_a_signal_that_is_ignored_or_handled_stays_so(default_signals):
    """nohup ignores SIGHUP."""
    came = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: came.append('SIGTERM'))
    with termination_raised():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
    assert came == ['SIGTERM'] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
