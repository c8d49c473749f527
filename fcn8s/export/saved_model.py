"""The serving SavedModel: tag `serve`, signatures `serving_default` and `encoded`, and TensorFlow Serving's warm-up.

    OUT/saved_model.pb
    OUT/variables/variables.*
    OUT/assets.extra/tf_serving_warmup_requests

TensorFlow Serving looks for models in folders whose names are version numbers: export to NAME/1, then NAME/2.
"""

import os
from typing import Any, Dict, Sequence

import cv2
import numpy as np

from fcn8s.backend import tf
from fcn8s.export.conversion import Conversion
from fcn8s.export.names import IMAGES, SIGNATURE
from fcn8s.export.serving_graph import ENCODED_SCOPE, IMAGE_BYTES, ServingNetwork
from fcn8s.saving import saved_models
from fcn8s.saving.descriptions import SERVING_TAGS

WARM_UP_FILE = os.path.join('assets.extra', 'tf_serving_warmup_requests')


def write(conversion: Conversion, directory: str) -> None:
    """Writes a SavedModel for serving. In bfloat16 the encoder is computed in it; variables stay float32."""
    with ServingNetwork(conversion.model_dir, conversion.precision == 'bfloat16', conversion.trust) as network:
        saved_models.write_graph(directory, network.meta_graph(SERVING_TAGS))
        prefix = saved_models.variables_prefix(directory)
        os.makedirs(os.path.dirname(prefix))
        with network.graph.as_default():
            saved_models.save_variables(network.saver, network.session, prefix)
    path = os.path.join(directory, WARM_UP_FILE)
    os.makedirs(os.path.dirname(path))
    with tf.python_io.TFRecordWriter(path) as writer:
        for record in _warm_up_records(conversion.warm_up_image, network.has_encoded):
            writer.write(record)


class Runtime:
    """An exported SavedModel as any TensorFlow program opens it, without this library's own knowledge."""

    def __init__(self, directory: str) -> None:
        self._module = tf.saved_model.load_v2(directory)
        self._function = self._module.signatures[SIGNATURE]

    def run(self, images: np.ndarray, outputs: Sequence[str]) -> Dict[str, np.ndarray]:
        """Computes the outputs, by name, of uint8 [N, H, W, channels], see `fcn8s.export.names.OUTPUTS`."""
        values = self._function(**{IMAGES: tf.convert_to_tensor(images)})
        return {name: values[name].numpy() for name in outputs}


def _warm_up_records(image: np.ndarray, has_encoded: bool) -> Sequence[bytes]:
    """One PredictionLog for each signature."""
    requests = {SIGNATURE: {IMAGES: image[np.newaxis]}}
    if has_encoded:
        png = cv2.imencode('.png', np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
        requests[ENCODED_SCOPE] = {IMAGE_BYTES: np.array([png], object)}
    return [_prediction_log(signature, inputs) for signature, inputs in requests.items()]


# Fields of the messages in tensorflow_serving/apis/{prediction_log,predict,model}.proto. Their Python package would be
# a further dependency for one file. All these fields have the wire type 'length-delimited':
# https://protobuf.dev/programming-guides/encoding
_PREDICT_LOG, _REQUEST, _MODEL_SPEC, _INPUTS, _SIGNATURE_NAME = 6, 1, 1, 2, 3
_MAP_KEY, _MAP_VALUE = 1, 2


def _prediction_log(signature: str, inputs: Dict[str, Any]) -> bytes:
    """A serialised PredictionLog with one PredictRequest."""
    request = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(_INPUTS, _field(_MAP_KEY, name.encode()) + _field(_MAP_VALUE, tensor))
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = [value & 0x7F]
    while value > 0x7F:
        value >>= 7
        groups.append(value & 0x7F)
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])
