"""What takes minutes more and is asked for: FCN8S_THOROUGH=1 trains the whole tutorial, on every kind of sound dataset,
kills more processes, damages more files, and runs the benchmarks on TensorFlow 1.15, too."""

import os

THOROUGH = os.environ.get('FCN8S_THOROUGH') == '1'
