"""Convolutions of a GraphDef in bfloat16, with the conversions written into the graph.

TensorFlow's own rewrite does this when a session runs, on CPUs only and beside a float32 copy of the weights. This one
serves predictions, which keep their weights in bfloat16, and training on GPUs, which keeps them in float32.
"""

from typing import Any, Collection, Dict, Sequence, Set, Tuple

from fcn8s.backend import GraphDef, tf
from fcn8s.graph.graph_defs import node_name, rename_nodes, variable_behind

_FLOAT32, _BFLOAT16 = tf.float32.as_datatype_enum, tf.bfloat16.as_datatype_enum
# Ops that follow a convolution in bfloat16 without a conversion.
_FOLLOWING_OPS = ('BiasAdd', 'Relu', 'MaxPool', 'Identity', 'Shape')


def convert_convolutions(
    graph_def: GraphDef, narrow_weights: bool = False, float32_outputs: Sequence[str] = ()
) -> None:
    """Converts convolutions and the ops that follow them; casts are added where values enter and leave bfloat16.

    graph_def: changed in place.
    narrow_weights: weights are read as bfloat16 variables; otherwise float32 variables are converted in every run.
    float32_outputs: names of nodes that still give float32 under these names when they are converted.
    """
    nodes = {node.name: node for node in graph_def.node}
    converted = _nodes_to_convert(graph_def)
    casts: Dict[Tuple[str, Any], Any] = {}
    taken = set(nodes)
    for node in graph_def.node:
        is_converted = node.name in converted
        if is_converted:
            node.attr['T'].type = _BFLOAT16
        for index, source in enumerate(node.input):
            if source.startswith('^'):
                continue
            is_source_converted = node_name(source) in converted and nodes[node_name(source)].op != 'Shape'
            if is_converted and not is_source_converted:
                if not (narrow_weights and _narrow_weights(source, nodes)):
                    node.input[index] = _cast(source, tf.bfloat16, casts, taken)
            elif not is_converted and is_source_converted:
                node.input[index] = _cast(source, tf.float32, casts, taken)
    graph_def.node.extend(casts.values())
    for name in float32_outputs:
        if name in converted:
            _give_float32(graph_def, name)


def _nodes_to_convert(graph_def: GraphDef) -> Set[str]:
    converted: Set[str] = set()
    num_before = -1
    while len(converted) > num_before:
        num_before = len(converted)
        for node in graph_def.node:
            if 'T' not in node.attr or node.attr['T'].type != _FLOAT32:
                continue
            if node.op == 'Conv2D' or (node.op in _FOLLOWING_OPS and node_name(node.input[0]) in converted):
                converted.add(node.name)
    return converted


def _narrow_weights(name: str, nodes: Dict[str, Any]) -> bool:
    """Whether a tensor is a variable's value; if so, it is read in bfloat16 from here on."""
    if variable_behind(name, nodes) is None:
        return False
    node = nodes[node_name(name)]
    while node.op == 'Identity':
        node.attr['T'].type = _BFLOAT16
        node = nodes[node_name(node.input[0])]
    node.attr['dtype'].type = _BFLOAT16
    return True


def _cast(source: str, dtype: Any, casts: Dict[Tuple[str, Any], Any], taken: Set[str]) -> str:
    """The name of a node that converts a tensor; adds the node to `casts` if it is not there yet."""
    if (source, dtype) not in casts:
        name = _free_name('{}_{}'.format(source.replace(':', '_'), dtype.name), taken)
        taken.add(name)
        casts[source, dtype] = _cast_node(name, source, dtype)
    return casts[source, dtype].name


def _free_name(name: str, taken: Collection[str]) -> str:
    """The name, with a number where it is taken: `split:1` and `split_1` are two tensors."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = '{}_{}'.format(name, number)
    return free


def _cast_node(name: str, source: str, dtype: Any) -> Any:
    node = tf.NodeDef(name=name, op='Cast', input=[source])
    node.attr['SrcT'].type = _FLOAT32 if dtype == tf.bfloat16 else _BFLOAT16
    node.attr['DstT'].type = dtype.as_datatype_enum
    return node


def _give_float32(graph_def: GraphDef, name: str) -> None:
    """Renames a node that gives bfloat16; a node that converts its value to float32 takes its name."""
    renamed = _free_name(name + '_in_bfloat16', [node.name for node in graph_def.node])
    rename_nodes(graph_def, {name: renamed})
    graph_def.node.append(_cast_node(name, renamed, tf.float32))
