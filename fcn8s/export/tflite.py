"""TFLite, now LiteRT: one file for phones and small boards. It takes images of one size."""

import os
import threading
from typing import Any, Dict, Sequence

import numpy as np

from fcn8s.export.conversion import Conversion, explain_conversion_errors
from fcn8s.export.formats import FORMATS
from fcn8s.export.names import IMAGES, OUTPUTS
from helpers.cores import num_cores


def write(conversion: Conversion, directory: str) -> None:
    """Writes `model.tflite` for one image [1, H, W, 3] of the size.

    float16: weights take two bytes each. int8: weights and what flows between layers, by TFLite's own quantiser.
    """
    from fcn8s.backend import tf
    from fcn8s.export.serving_graph import freeze

    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(freeze(conversion.model_dir, size=conversion.size, trust=conversion.trust), name='')
    tensors = [graph.get_tensor_by_name(name + ':0') for name in (IMAGES,) + OUTPUTS]
    with tf.Session(graph=graph) as session:
        converter = tf.lite.TFLiteConverter.from_session(session, tensors[:1], tensors[1:])
        if conversion.precision != 'float32':
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if conversion.precision == 'float16':
            converter.target_spec.supported_types = [tf.float16]
        if conversion.precision == 'int8':
            converter.representative_dataset = lambda: ([image[np.newaxis]] for image in conversion.calibration)
        with explain_conversion_errors('tflite'):
            content = converter.convert()
    with open(os.path.join(directory, str(FORMATS['tflite'].file)), 'wb') as file:
        file.write(content)


class Runtime:
    """A TFLite file in the LiteRT interpreter, on all CPUs."""

    def __init__(self, directory: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        path = os.path.join(directory, str(FORMATS['tflite'].file))
        self._interpreter = Interpreter(model_path=path, num_threads=num_cores())
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]['index']
        self._outputs = {detail['name']: detail['index'] for detail in self._interpreter.get_output_details()}
        self._turn = threading.Lock()  # an interpreter has one set of buffers for all threads

    def run(self, images: np.ndarray, outputs: Sequence[str]) -> Dict[str, np.ndarray]:
        """Computes the outputs, by name, of uint8 [N, H, W, 3], see `fcn8s.export.names.OUTPUTS`; one after the
        other.
        """
        with self._turn:
            parts = [self._run_one(image, outputs) for image in images]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    def _run_one(self, image: np.ndarray, outputs: Sequence[str]) -> Dict[str, Any]:
        self._interpreter.set_tensor(self._input, image[np.newaxis])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(self._outputs[name]) for name in outputs}
