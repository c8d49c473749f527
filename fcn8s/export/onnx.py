"""ONNX: one file for ONNX Runtime on servers, in browsers and in C++, for TensorRT and others."""

import contextlib
import json
import logging
import os
from typing import Any, Dict, Iterator, Sequence

import numpy as np

from fcn8s.export.conversion import Conversion, explain_conversion_errors, lacking
from fcn8s.export.formats import FORMATS
from fcn8s.export.names import IMAGES, OUTPUTS

# ONNX Runtime 1.14 and newer read it, and so do TensorRT 8.6 and onnxruntime-web.
OPSET = 18
# Filters from this many bytes on bypass the converter, which took more than 16 GB for the full VGG-16.
_LARGE = 2**16


def write(conversion: Conversion, directory: str) -> None:
    """Writes `model.onnx`: uint8 [N, H, W, channels] in, any N, H, W; float16 does not change inputs and outputs."""
    import onnx

    from fcn8s.export.serving_graph import freeze

    graph_def = freeze(conversion.model_dir, trust=conversion.trust)
    filters = _take_filters_out(graph_def)
    _gather_reversed(graph_def)
    model = _convert(graph_def, list(filters))
    _put_filters_in(model.graph, filters)
    _name_ends(model.graph)
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in conversion.interface.items()})
    if conversion.precision == 'float16':
        from onnxruntime.transformers.float16 import convert_float_to_float16

        _compare_whole_numbers(model.graph)
        model = convert_float_to_float16(model, keep_io_types=True)
    onnx.checker.check_model(model)
    onnx.save_model(model, os.path.join(directory, str(FORMATS['onnx'].file)))


def _take_filters_out(graph_def: Any) -> Dict[str, np.ndarray]:
    """Replaces the large filters of convolutions by placeholders, in place: the converter copies constants many times.

    Returns:
        The filters by the names of the placeholders.
    """
    from fcn8s.backend import tf

    nodes = {node.name: node for node in graph_def.node}
    filters = {}
    for node in graph_def.node:
        constant = nodes.get(node.input[1]) if node.op == 'Conv2D' else None
        if constant is not None and constant.op == 'Const' and constant.ByteSize() >= _LARGE:
            filters[constant.name] = value = tf.make_ndarray(constant.attr['value'].tensor)
            dtype = constant.attr['dtype'].type
            constant.Clear()
            constant.op, constant.name = 'Placeholder', node.input[1]
            constant.attr['dtype'].type = dtype
            constant.attr['shape'].shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return filters


def _gather_reversed(graph_def: Any) -> None:
    """Replaces reversal along one axis (the order of colours) by a gather, in place: the converter would make it a
    ReverseSequence, which OpenCV lacks, and which TensorRT 8 lacks for images of any size.
    """
    from fcn8s.backend import tf

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name='')
        for node in [node for node in graph_def.node if node.op == 'ReverseV2']:
            values, axes = graph.get_operation_by_name(node.name).inputs
            axis = tf.get_static_value(axes)
            length = values.shape[axis[0]] if axis is not None and len(axis) == 1 and values.shape.ndims else None
            if length is not None:
                gathered = tf.gather(values, list(range(length))[::-1], axis=int(axis[0]), name=node.name + '/gathered')
                graph_def.node.extend(tensor.op.node_def for tensor in gathered.op.inputs[1:])
                name = node.name
                node.CopyFrom(gathered.op.node_def)
                node.name = name


def _put_filters_in(graph: Any, filters: Dict[str, np.ndarray]) -> None:
    """Turns the inputs that stand for filters back into constants, in place; transposed where the graph does that."""
    import onnx

    names = {name + ':0': name for name in filters}
    inputs = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)
    for node in [node for node in graph.node if node.op_type == 'Transpose' and node.input[0] in names]:
        order = onnx.helper.get_node_attr_value(node, 'perm')
        transposed = np.ascontiguousarray(filters[names[node.input[0]]].transpose(order))
        graph.initializer.append(onnx.numpy_helper.from_array(transposed, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in sorted(used.intersection(names)):
        graph.initializer.append(onnx.numpy_helper.from_array(filters[names[tensor]], tensor))


def _convert(graph_def: Any, filters: Sequence[str]) -> Any:
    """GraphDef -> ModelProto; filters: names of placeholders that become inputs as well."""
    import onnx
    import tf2onnx

    with _quiet('tf2onnx', 'tensorflow'), explain_conversion_errors('onnx'):
        model, _ = tf2onnx.convert.from_graph_def(
            graph_def,
            input_names=[name + ':0' for name in [IMAGES] + list(filters)],
            output_names=[name + ':0' for name in OUTPUTS],
            opset=OPSET,
        )
    # The converter keeps ops that it does not know, under TensorFlow's names.
    unknown = [node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)]
    if unknown:
        raise ValueError(lacking('onnx', unknown))
    return model


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silences warnings of these loggers: the converter calls TensorFlow's older functions."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _compare_whole_numbers(graph: Any) -> None:
    """Computes maxima of sizes in int64, in place. The converter uses floats, and sizes overflow float16."""
    import onnx

    casts = {node.output[0]: node for node in graph.node if node.op_type == 'Cast' and node.input[0] != IMAGES}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == 'Max']:
        if node.input[0] in casts and node.input[1] in constants:
            whole = onnx.numpy_helper.to_array(constants[node.input[1]]).astype(np.int64)
            node.input[1] = node.output[0] + '_least'
            graph.initializer.append(onnx.numpy_helper.from_array(whole, node.input[1]))
            (kind,) = casts[node.input[0]].attribute
            kind.i = onnx.TensorProto.INT64
    del graph.value_info[:]  # some values are no longer floats


def _name_ends(graph: Any) -> None:
    """Gives inputs and outputs plain names, in place: 'images:0' -> 'images'; calls their dimensions N, H and W."""
    for value in list(graph.input) + list(graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, 'NHW'):
            dimension.dim_param = name
    names = {name + ':0': name for name in (IMAGES,) + OUTPUTS}
    for value in list(graph.input) + list(graph.output) + list(graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for tensors in (node.input, node.output):
            renamed = [names.get(tensor, tensor) for tensor in tensors]
            del tensors[:]
            tensors.extend(renamed)


class Runtime:
    """An ONNX file in ONNX Runtime, on the best device that the installed build supports."""

    def __init__(self, directory: str) -> None:
        import onnxruntime

        path = os.path.join(directory, str(FORMATS['onnx'].file))
        self._session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())

    def run(self, images: np.ndarray, outputs: Sequence[str]) -> Dict[str, np.ndarray]:
        """Computes the outputs, by name, of uint8 [N, H, W, channels], see `fcn8s.export.names.OUTPUTS`."""
        return dict(zip(outputs, self._session.run(list(outputs), {IMAGES: images})))
