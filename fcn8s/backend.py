"""The one place that imports TensorFlow: the 1.x API, from TensorFlow 1.15 itself or from 2.x (2.16 or newer).

Nothing is switched globally. Every model of this library lives in its own `tf.Graph` and `tf.Session`, which work the
same way in both generations, eager execution or not.
"""

import os
from typing import List, Tuple

from fcn8s.native_log import quiet_start
from helpers.process.lazy_imports import put_off, without_garbage_collection

__all__ = [
    'ConfigProto',
    'Graph',
    'GraphDef',
    'MetaGraphDef',
    'NodeDef',
    'Operation',
    'SavedModel',
    'Session',
    'TF_VERSION',
    'Tensor',
    'Variable',
    'VariableDef',
    'check_process',
    'check_version',
    'onednn_is_on',
    'text_format',
    'tf',
]

try:
    # TensorFlow 2 ends its import by loading Keras, and goes on if that fails; tf.keras loads it on first use.
    with quiet_start(), put_off('keras', 'tensorflow'), without_garbage_collection():
        import tensorflow.compat.v1 as tf
        from google.protobuf import text_format
        from tensorflow.core.framework.variable_pb2 import VariableDef
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
except ImportError as error:
    if 'failed to map segment' in str(error) or 'annot allocate memory' in str(error):
        raise ImportError(
            'there is too little memory to load TensorFlow, or a limit on the address space (ulimit -v) is too low: '
            '{}. Take a larger limit, or none.'.format(error)
        ) from error
    raise ImportError(
        'fcn8s needs TensorFlow 1.15 (Python 3.7) or TensorFlow >= 2.16 (Python 3.10 to 3.13): {}. '
        'Install it with: pip install fcn8s (on Python 3.7: "fcn8s[cpu]" or "fcn8s[gpu]")'.format(error)
    ) from error


def version_tuple(version: str) -> Tuple[int, int]:
    """Returns the first two numbers of a version: (2, 21) for '2.21.0-rc1'."""
    major, minor = version.split('.')[:2]
    return int(major), int(minor)


def check_version(version: str) -> None:
    """Raises ImportError for a TensorFlow that this library was not written for (older than 1.15, or 2.0 to 2.15)."""
    found = version_tuple(version)
    if found < (1, 15) or (2, 0) <= found < (2, 16):
        raise ImportError(
            'TensorFlow {} is installed; fcn8s needs TensorFlow 1.15 (Python 3.7) or >= 2.16 (Python 3.10 '
            'to 3.13). Upgrade with: pip install --upgrade "tensorflow>=2.16"'.format(version)
        )


TF_VERSION = version_tuple(tf.__version__)
check_version(tf.__version__)


def onednn_is_on() -> bool:
    """Tells whether TensorFlow uses oneDNN on CPUs; that depends on the processor and on TF_ENABLE_ONEDNN_OPTS."""
    try:
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled
    except ImportError:  # there is no public name for it
        return False
    return bool(IsMklEnabled())


_process_of_sessions: List[int] = []


def check_process() -> None:
    """Raises RuntimeError in a process that was forked from one with sessions; called before a session is used.

    TensorFlow would wait for ever in the forked process, for threads that only its parent has.
    """
    if not _process_of_sessions:
        _process_of_sessions.append(os.getpid())
    if _process_of_sessions[0] != os.getpid():
        raise RuntimeError(
            'this process was forked from one in which TensorFlow computes, where it would hang. Start processes with '
            "multiprocessing.get_context('spawn'), and open the network in each."
        )


# The types in the signatures of this library's functions.
ConfigProto = tf.ConfigProto
Graph = tf.Graph
GraphDef = tf.GraphDef
MetaGraphDef = tf.MetaGraphDef
NodeDef = tf.NodeDef
Operation = tf.Operation
Session = tf.Session
Tensor = tf.Tensor
Variable = tf.Variable
