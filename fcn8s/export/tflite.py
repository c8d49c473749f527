"""TFLite, now LiteRT: one file for phones and small boards. It takes images of one size."""

import os
import threading
from typing import Any, Dict, List, Sequence

import numpy as np

from fcn8s.export.conversion import Conversion, explain_conversion_errors
from fcn8s.export.formats import FORMATS
from fcn8s.export.names import IMAGES, OUTPUTS, SIGNATURE
from helpers.process.cores import num_cores

_FILE_IDENTIFIER = b'TFL3'
# Bytes that the signature may add without a second copy of the file in memory.
_ROOM = 4096


def write(conversion: Conversion, directory: str) -> None:
    """Writes `model.tflite` for one image [1, H, W, channels] of the size, with the signature `serving_default`.

    float16: weights take two bytes each. int8: weights and activations are quantised, by TFLite's own quantiser.
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
        file.write(_with_signature(content))


def _with_signature(content: bytes) -> Any:
    """Adds the signature `serving_default`, in which input and outputs have the names of their tensors.

    TensorFlow's converter adds a signature only for SavedModels, and gives their tensors other names.

    Returns:
        The file, as a buffer. Tensors, their order and the weights are those of `content`.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))  # weights are views of `content`
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    graph = model.subgraphs[signature.subgraphIndex]
    signature.inputs = _named(schema, graph, graph.inputs)
    signature.outputs = _named(schema, graph, graph.outputs)
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(len(content) + _ROOM)
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return memoryview(builder.Bytes)[builder.Head() :]


def _named(schema: Any, graph: Any, tensors: Sequence[int]) -> List[Any]:
    """Returns the entries of a signature for tensors of a graph."""
    entries = []
    for index in tensors:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = graph.tensors[index].name, index
        entries.append(entry)
    return entries


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
        """Computes the outputs, by name, of uint8 [N, H, W, channels], see `fcn8s.export.names.OUTPUTS`; one image
        after the other.
        """
        with self._turn:
            parts = [self._run_one(image, outputs) for image in images]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    def _run_one(self, image: np.ndarray, outputs: Sequence[str]) -> Dict[str, Any]:
        self._interpreter.set_tensor(self._input, image[np.newaxis])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(self._outputs[name]) for name in outputs}
