import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    'reason, message',
    [
        ('libx.so: failed to map segment from shared object', 'too little memory to load TensorFlow'),
        ('libx.so: cannot open shared object file', 'Install it with: pip install fcn8s'),
    ],
)
def test_why_tensorflow_cannot_be_loaded(tmp_path, reason, message):
    (tmp_path / 'tensorflow.py').write_text('raise ImportError({!r})'.format(reason))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ['PYTHONPATH']]))
    done = subprocess.run(
        [sys.executable, '-c', 'import fcn8s.backend'], env=environment, stderr=subprocess.PIPE, check=False
    )
    last = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 1 and reason in last and message in last
