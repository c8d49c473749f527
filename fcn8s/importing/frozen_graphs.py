"""Frozen graphs: the weights in a GraphDef, as constants under the names of the former variables."""

import functools
import operator
from typing import Any, Dict, List

import numpy as np

from fcn8s.backend import tf
from fcn8s.graph.graph_defs import node_name, parse_graph_def
from fcn8s.saving.saved_models import read_bytes
from fcn8s.vgg16.weights.assemble import Use
from fcn8s.vgg16.weights.damage import damaged, explain_damage

# Ops that pass on a tensor, or the value of a variable, unchanged.
_AS_IT_IS = ('Identity', 'ReadVariableOp', 'StopGradient')
_TAKES_WEIGHTS = ('Conv2D', 'Conv2DBackpropInput', 'BiasAdd', 'Add', 'AddV2')


def is_graph(head: bytes) -> bool:
    """Tells whether a file begins like a GraphDef: with a node (field 1) that begins with its name (field 1)."""
    # The length of the first node takes one or two bytes.
    return head[:1] == b'\x0a' and b'\x0a' in (head[2:3], head[3:4])


def read_frozen_graph(path: str, use: Use) -> Any:
    """Calls `use(path, shapes, read)` with the weights of convolutions and the biases, and returns its answer.

    The graph is read as data and not run. Raises ValueError where the file is damaged or holds no weights.
    """
    try:
        content = read_bytes(path)
        graph_def = parse_graph_def(content)
    except ValueError as error:
        raise damaged(path, error) from error
    tensors = {node.name: node.attr['value'].tensor for node in _weights(graph_def)}
    if not tensors:
        raise ValueError(
            '{} is a graph without weights: it was not frozen. Give the checkpoint that belongs to it.'.format(path)
        )
    shapes = {name: tuple(dim.size for dim in tensor.tensor_shape.dim) for name, tensor in tensors.items()}
    for name, shape in shapes.items():
        # A constant of equal values is stored as one, so its shape could ask for any amount of memory.
        if min(shape) < 0 or functools.reduce(operator.mul, shape, 4) > len(content):
            raise damaged(path, '{} has the shape {}, which is more than the file can hold'.format(name, shape))

    def read(name: str) -> np.ndarray:
        with explain_damage(path):
            return tf.make_ndarray(tensors[name])

    return use(path, shapes, read)


def _weights(graph_def: Any) -> List[Any]:
    """The constants float32 [...] that convolutions and bias additions take, directly or through an Identity."""
    nodes = {node.name: node for node in graph_def.node}
    found = {}
    for node in graph_def.node:
        for source in node.input if node.op in _TAKES_WEIGHTS else ():
            constant = behind(source, nodes)
            if constant is not None and _is_weight(constant):
                found[constant.name] = constant
    return list(found.values())


def behind(source: str, nodes: Dict[str, Any]) -> Any:
    """Returns the node that a tensor comes from; None where the graph lacks it or has a cycle."""
    for _ in range(len(nodes)):
        node = nodes.get(node_name(source))
        if node is None or node.op not in _AS_IT_IS or not node.input:
            return node
        source = node.input[0]
    return None


def _is_weight(node: Any) -> bool:
    return bool(
        node.op == 'Const'
        and node.attr['dtype'].type == tf.float32.as_datatype_enum
        and node.attr['value'].tensor.tensor_shape.dim
    )
