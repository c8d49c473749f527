"""OpenVINO: the fastest runtime on Intel's and Arm's CPUs, in float32, float16, bfloat16 and int8.

On CPUs that have bfloat16, OpenVINO uses it by default. So every export states the precision that it was made for, and
this engine asks for exactly that.
"""

import json
import os
import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from fcn8s.export.conversion import Conversion, explain_conversion_errors
from fcn8s.export.formats import FORMATS
from fcn8s.export.names import IMAGES, OUTPUTS
from fcn8s.precision import AUTO
from helpers.files import temporary_directory

# The precision of arithmetic for each precision of an export. A 'float16' export computes in float32 if the CPU has no
# float16 arithmetic, and so do the layers of an 'int8' export that are not quantised.
HINTS = {'float32': 'f32', 'float16': 'f16', 'bfloat16': 'bf16', 'int8': 'f32'}
# The precisions in which a saved FCN-8s can be opened without being exported.
CONVERTED_PRECISIONS = ('float32', 'float16', 'bfloat16')
# What OpenVINO calls the arithmetic that not every CPU has.
_CAPABILITIES = {'float16': 'FP16', 'bfloat16': 'BF16'}
# The decoder's layers decide everything with few multiplications: they are not quantised.
_KEPT_WIDE = ('decoder/.*',)


def check_machine(precision: str) -> None:
    """Raises ValueError where this CPU does not have the arithmetic of a precision."""
    import openvino

    if not _has_arithmetic(precision, openvino.Core()):
        raise ValueError(
            'precision is {!r}, and this CPU does not compute in it, as OpenVINO finds. Leave the precision out: '
            'float32 works everywhere.'.format(precision)
        )


def chosen_precision(precision: str) -> str:
    """Returns 'bfloat16' or 'float32' for 'auto', the faster one of this CPU, and any other precision as it is."""
    import openvino

    if precision != AUTO:
        return precision
    return 'bfloat16' if _has_arithmetic('bfloat16', openvino.Core()) else 'float32'


def _has_arithmetic(precision: str, core: Any) -> bool:
    needed = _CAPABILITIES.get(precision)
    return needed is None or needed in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')


def write(conversion: Conversion, directory: str) -> None:
    """Writes `model.xml` and `model.bin`. In float16 and bfloat16, weights take two bytes each."""
    import openvino

    model = convert(conversion.model_dir, conversion.trust)
    if conversion.precision == 'int8':
        model = _quantize(model, list(conversion.calibration))
    for name, value in conversion.interface.items():
        model.set_rt_info(json.dumps(value), ['fcn8s', name])
    path = os.path.join(directory, str(FORMATS['openvino'].file))
    openvino.save_model(model, path, compress_to_fp16=conversion.precision in ('float16', 'bfloat16'))


def convert(model_dir: str, trust: bool = False) -> Any:
    """Converts a saved FCN-8s to an openvino.Model, in float32."""
    import openvino

    from fcn8s.export.serving_graph import freeze

    # Not openvino.convert_model, which by default reports each conversion to Google Analytics.
    core = openvino.Core()
    with temporary_directory('fcn8s-openvino') as folder, explain_conversion_errors('openvino'):
        path = os.path.join(folder, 'model.pb')
        with open(path, 'wb') as file:
            file.write(freeze(model_dir, trust=trust).SerializeToString())
        model = core.read_model(path)
    for tensor in model.inputs + model.outputs:
        names = {name.split(':')[0] for name in tensor.get_names()}
        tensor.get_tensor().set_names(names & {IMAGES, *OUTPUTS})
    return model


def _quantize(model: Any, images: Sequence[np.ndarray]) -> Any:
    os.environ.setdefault('NNCF_CI', '1')  # else NNCF reports each quantisation to Google Analytics
    import nncf

    with explain_conversion_errors('openvino'):
        return nncf.quantize(
            model,
            nncf.Dataset(images, lambda image: image[np.newaxis]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(patterns=list(_KEPT_WIDE), validate=False),
        )


class Runtime:
    """A model in OpenVINO. Each set of outputs is compiled on first use, and computes nothing else.

    Args:
        directory: of an export, or of the saved FCN-8s that `model` was made from.
        precision: of the export.
        model: an openvino.Model instead of the file of an export.
        with_cache: whether to cache the compiled model, to open faster next time; see `cache_folder`.
    """

    def __init__(self, directory: str, precision: str, model: Optional[Any] = None, with_cache: bool = True) -> None:
        import openvino

        self._core = openvino.Core()
        self._openvino = openvino
        self._model = model or self._core.read_model(os.path.join(directory, str(FORMATS['openvino'].file)))
        self._properties = _properties(cache_folder() if with_cache else None, precision, self._core)
        self._requests: Dict[Tuple[str, ...], Any] = {}
        self._turn = threading.Lock()  # an inference request serves one thread at a time

    def run(self, images: np.ndarray, outputs: Sequence[str]) -> Dict[str, np.ndarray]:
        """Computes the outputs, by name, of uint8 [N, H, W, channels], see `fcn8s.export.names.OUTPUTS`."""
        with self._turn:
            request = self._request(tuple(outputs))
            values = request.infer([images], share_inputs=True)
            return {name: values[index] for index, name in enumerate(outputs)}

    def _request(self, outputs: Tuple[str, ...]) -> Any:
        if outputs not in self._requests:
            part = self._part(outputs)
            self._requests[outputs] = self._core.compile_model(part, 'CPU', self._properties).create_infer_request()
        return self._requests[outputs]

    def _part(self, outputs: Sequence[str]) -> Any:
        """The model with only these outputs."""
        results: List[Any] = [self._model.output(name).get_node() for name in outputs]
        return self._openvino.Model(results, self._model.get_parameters(), 'fcn8s')


def cache_folder() -> Optional[str]:
    """Returns the user's folder for compiled models, which it makes; None where it is not there for the user alone.

    It does not lie beside the model: OpenVINO runs what it finds there, and a model may come from somebody else.
    """
    base = os.environ.get('XDG_CACHE_HOME', '')
    if not os.path.isabs(base):  # to be ignored, https://specifications.freedesktop.org/basedir-spec/latest/
        base = os.path.join(os.path.expanduser('~'), '.cache')
    folder = os.path.join(base, 'fcn8s', 'openvino')
    if not os.path.isabs(folder):  # without HOME, for a user whom the system does not know
        return None
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        is_own = os.stat(folder).st_uid == getattr(os, 'getuid', lambda: 0)()
    except OSError:
        return None
    return folder if is_own and os.access(folder, os.W_OK) else None


def _properties(cache: Optional[str], precision: str, core: Any) -> Dict[str, Any]:
    has_none = precision == 'float16' and not _has_arithmetic(precision, core)
    hint = HINTS['float32' if has_none else precision]
    properties = {'INFERENCE_PRECISION_HINT': hint, 'PERFORMANCE_HINT': 'LATENCY'}
    if cache is not None:
        properties['CACHE_DIR'] = cache
    return properties
