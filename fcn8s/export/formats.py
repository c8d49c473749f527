"""The formats to which a network can be exported: what each can hold, and which packages it needs."""

import importlib.util
from typing import Any, Dict, NamedTuple, Optional, Tuple

from helpers.flags import check_choice, checked_pair

EXPORT_PRECISIONS = ('float32', 'float16', 'bfloat16', 'int8')
# How many images are drawn for int8 by default.
CALIBRATION_IMAGES = 100


class Format(NamedTuple):
    """A format.

    file: what its runtime opens, inside the directory of the export; None for the directory itself.
    precisions: of EXPORT_PRECISIONS.
    extra: the extra of this package that installs `packages` and `int8_packages` (needed to make int8), given by import
        names. A format without packages runs in TensorFlow.
    takes_any_size: whether one file takes any number of images, of any size.
    """

    file: Optional[str]
    precisions: Tuple[str, ...]
    extra: Optional[str] = None
    packages: Tuple[str, ...] = ()
    takes_any_size: bool = True
    int8_packages: Tuple[str, ...] = ()


# The module with a format's name in this folder has `write(conversion, directory)` (`fcn8s.export.conversion`) and
# `Runtime`.
FORMATS: Dict[str, Format] = {
    'saved_model': Format(None, ('float32', 'bfloat16')),
    'frozen': Format('model.pb', ('float32', 'bfloat16')),
    'onnx': Format('model.onnx', ('float32', 'float16'), 'export', ('tf2onnx', 'onnx', 'onnxruntime')),
    'tflite': Format('model.tflite', ('float32', 'float16', 'int8'), 'tflite', ('ai_edge_litert',), False),
    'openvino': Format('model.xml', EXPORT_PRECISIONS, 'openvino', ('openvino',), int8_packages=('nncf',)),
}

# The choices of --engine: TensorFlow, or the runtime of a format.
ENGINES = ('tensorflow', 'openvino')

_FLOAT16_ON_GPUS = 'TensorFlow computes in float16 on GPUs alone, and does so from the float32 one.'
_WHY_NOT = {
    ('saved_model', 'float16'): _FLOAT16_ON_GPUS,
    ('frozen', 'float16'): _FLOAT16_ON_GPUS,
    ('onnx', 'bfloat16'): 'ONNX Runtime has no bfloat16 convolutions on CPUs.',
    ('tflite', 'bfloat16'): 'TFLite has no bfloat16 convolutions.',
}
_INT8_ELSEWHERE = 'Quantisation is made by OpenVINO and by TFLite.'


def check_format(name: str) -> Format:
    """Returns the format of that name; raises ValueError listing the names."""
    return FORMATS[check_choice('format', name, FORMATS)]


def check_engine(engine: Optional[str]) -> None:
    """Raises ValueError for an unknown engine; None lets the format decide."""
    if engine is not None:
        check_choice('engine', engine, ENGINES)


def check_export_precision(name: str, precision: str) -> None:
    """Raises ValueError where a format does not come in that precision."""
    available = check_format(name).precisions
    check_choice('precision', precision, EXPORT_PRECISIONS)
    if precision not in available:
        raise ValueError(
            'precision is {!r}; {} is exported in {}. {}'.format(
                precision, name, ' or '.join(available), _WHY_NOT.get((name, precision), _INT8_ELSEWHERE)
            )
        )


def check_packages(name: str, precision: str = 'float32') -> None:
    """Raises ImportError with the install command where a format's packages are not installed."""
    packages = check_format(name).packages + (FORMATS[name].int8_packages if precision == 'int8' else ())
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            '{} not installed, which {} needs. Install {} with: pip install "fcn8s[{}]"'.format(
                ' and '.join(missing) + (' is' if len(missing) == 1 else ' are'),
                name,
                'it' if len(missing) == 1 else 'them',
                check_format(name).extra,
            )
        )


def check_size(name: str, size: Any) -> Optional[Tuple[int, int]]:
    """Returns (height, width) for a format that takes one size, else None; raises ValueError where `size` is wrong."""
    if check_format(name).takes_any_size:
        if size is not None:
            raise ValueError('size is {!r}; {} takes images of any size. Leave --size out.'.format(size, name))
        return None
    if size is None:
        raise ValueError(
            'size is missing; {} takes images of one size, because a transposed convolution whose output size is '
            'computed makes its graph dynamic. Give --size H W, for example --size 256 512.'.format(name)
        )
    return checked_pair('size', size)
