"""Convolutions whose filters oneDNN packs once, though they are read from variables.

oneDNN packs a filter, that is, reorders it, before it convolves. TensorFlow keeps the packed filter for the next run
only if the filter is a constant, and a session holds many copies of a constant; a variable is packed anew in every run.
When a session runs, TensorFlow replaces Conv2D, BiasAdd and Relu by one op with an attribute that says whether the
filter is constant. This module puts that op into the graph beforehand and sets the attribute, so the variables must not
change after the first run. Constants gain as well: TensorFlow leaves out biases that are all zero, and then no longer
fuses the convolution and its ReLU.

Measured in bfloat16 only. In float32 a packed filter takes twice the memory.
"""

import functools
from typing import Any, Dict, List, NamedTuple, Optional

from fcn8s.backend import GraphDef, onednn_is_on, tf
from fcn8s.graph.graph_defs import VARIABLE_OPS, node_behind, node_name
from fcn8s.precision import this_machine

_OP = '_MklNativeFusedConv2D'
# The label under which TensorFlow registers this kernel.
_KERNEL_LABEL = b'MklNameChangeOp'
_ATTRIBUTES = ('T', 'strides', 'padding', 'data_format', 'dilations')


class Packable(NamedTuple):
    """Nodes that become one: a Conv2D in bfloat16, its BiasAdd, and the ReLU behind that, or None."""

    convolution: Any
    bias: Any
    relu: Optional[Any]


def packable_convolutions(graph_def: GraphDef) -> Dict[str, Packable]:
    """Returns the convolutions that `pack_filters` can fuse, by name: those whose only reader is a BiasAdd."""
    if not _has_op():
        return {}
    readers: Dict[str, List[Any]] = {}
    for node in graph_def.node:
        for name in node.input:
            readers.setdefault(node_name(name), []).append(node)
    found = {}
    for node in graph_def.node:
        attributes = node.attr
        is_one = node.op == 'Conv2D' and tf.as_dtype(attributes['T'].type) == tf.bfloat16
        bias = _only_reader(readers, node, 'BiasAdd')
        if is_one and attributes['padding'].s in (b'SAME', b'VALID') and bias is not None:
            found[node.name] = Packable(node, bias, _only_reader(readers, bias, 'Relu'))
    return found


def pack_filters(graph_def: GraphDef) -> None:
    """Fuses the convolutions of a graph for prediction, in place, where the filters are the same in every run."""
    nodes = {node.name: node for node in graph_def.node}
    for packable in packable_convolutions(graph_def).values():
        if node_behind(packable.convolution.input[1], nodes).op in (*VARIABLE_OPS, 'Const'):  # the same in every run
            _fuse(packable)
            graph_def.node.remove(packable.convolution)
            if packable.relu is not None:
                graph_def.node.remove(packable.bias)


@functools.lru_cache(maxsize=None)
def _has_op() -> bool:
    """Whether oneDNN computes convolutions here, and this TensorFlow has the op with these attributes."""
    if not onednn_is_on() or this_machine().gpus:
        return False
    graph = tf.Graph()
    with graph.as_default():
        features, filters, bias = (tf.placeholder(tf.bfloat16, [1] * rank) for rank in (4, 4, 1))
        tf.nn.bias_add(tf.nn.conv2d(features, filters, strides=[1] * 4, padding='SAME', name='conv'), bias, name='bias')
    graph_def = graph.as_graph_def()
    nodes = {node.name: node for node in graph_def.node}
    _fuse(Packable(nodes['conv'], nodes['bias'], None))
    try:
        with tf.Graph().as_default():
            tf.import_graph_def(graph_def, name='')
    except (ValueError, tf.errors.OpError):  # another release's op, or none
        return False
    return True


def _only_reader(readers: Dict[str, List[Any]], node: Any, op: str) -> Optional[Any]:
    """The only reader of a node if it has this op, else None."""
    found = readers.get(node.name, [])
    return found[0] if len(found) == 1 and found[0].op == op else None


def _fuse(packable: Packable) -> None:
    """Changes the last of these nodes, in place, into an op that computes all of them."""
    convolution, bias, relu = packable
    last, inputs = relu or bias, [*convolution.input, bias.input[1]]
    last.op = _OP
    del last.input[:]
    last.input.extend(inputs)
    last.attr.clear()
    for name in _ATTRIBUTES:
        if name in convolution.attr:
            last.attr[name].CopyFrom(convolution.attr[name])
    last.attr['TArgs'].list.type.append(convolution.attr['T'].type)
    last.attr['num_args'].i = 1
    last.attr['fused_ops'].list.s.extend([b'BiasAdd', b'Relu'] if relu else [b'BiasAdd'])
    last.attr['is_filter_const'].b = True
    last.attr['_kernel'].s = _KERNEL_LABEL
