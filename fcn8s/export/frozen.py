"""The frozen graph: one GraphDef with the weights inside, which every converter and TensorFlow's C API take."""

import os
from typing import Any, Dict, Sequence

import numpy as np

from fcn8s.backend import tf
from fcn8s.export.conversion import Conversion
from fcn8s.export.formats import FORMATS
from fcn8s.export.names import IMAGES
from fcn8s.export.serving_graph import check_image_shapes, freeze
from fcn8s.graph.graph_defs import make_portable, parse_graph_def
from fcn8s.saving.saved_models import read_bytes

GRAPH_FILE = str(FORMATS['frozen'].file)


def write(conversion: Conversion, directory: str) -> None:
    """Writes `model.pb`; in bfloat16 the weights of convolutions have half their size."""
    graph_def = freeze(conversion.model_dir, conversion.precision == 'bfloat16', trust=conversion.trust)
    check_image_shapes(graph_def)
    make_portable(graph_def)
    with open(os.path.join(directory, GRAPH_FILE), 'wb') as file:
        file.write(graph_def.SerializeToString())


def read(directory: str) -> Any:
    """Reads the GraphDef of an export; raises ValueError where it is damaged."""
    path = os.path.join(directory, GRAPH_FILE)
    try:
        return parse_graph_def(read_bytes(path))
    except ValueError as error:
        raise ValueError('{} is damaged: {}. Copy or export it again.'.format(path, error)) from error


class Runtime:
    """A frozen graph as any TensorFlow program opens it."""

    def __init__(self, directory: str) -> None:
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(read(directory), name='')
        self._session = tf.Session(graph=graph)

    def run(self, images: np.ndarray, outputs: Sequence[str]) -> Dict[str, np.ndarray]:
        """Computes the outputs, by name, of uint8 [N, H, W, channels], see `fcn8s.export.names.OUTPUTS`."""
        values = self._session.run([name + ':0' for name in outputs], {IMAGES + ':0': images})
        return dict(zip(outputs, values))
