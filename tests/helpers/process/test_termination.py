import os
import subprocess
import sys

import pytest

from helpers.process.termination import Interrupted, exit_status

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
