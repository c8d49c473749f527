"""What takes minutes more and is asked for: FCN8S_THOROUGH=1 trains the whole tutorial, on every kind of sound dataset,
kills more processes, damages more files, converts and measures larger networks, and runs on TensorFlow 1.15 all that
otherwise the current TensorFlow runs alone."""

import os
import sys

import pytest

THOROUGH = os.environ.get('FCN8S_THOROUGH') == '1'

# For what is asked of processes, files or commands, and of no TensorFlow in particular.
ran_once = pytest.mark.skipif(sys.version_info < (3, 8) and not THOROUGH, reason='runs on the current TensorFlow')
