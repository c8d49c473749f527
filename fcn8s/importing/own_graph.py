"""The logits of the graph that lies beside the weights: what its program predicts, whatever is assumed of its kind.

Only the part that the logits need is run, and only where it holds none but ops of networks. Programs that were derived
from a known one keep the names of its variables, and may have other layers between them.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from fcn8s.backend import GraphDef, tf
from fcn8s.graph.graph_defs import VARIABLE_OPS, extract_sub_graph, node_name
from fcn8s.graph.permitted_ops import check_constants, check_known_sizes, check_ops
from fcn8s.importing.frozen_graphs import behind
from fcn8s.importing.skip_scales import graphs_beside
from fcn8s.vgg16.graph import cpu_session

_PLACEHOLDERS = ('Placeholder', 'PlaceholderV2', 'PlaceholderWithDefault')


def run_own_graph(
    path: str, kernel: str, bias: Optional[str], read: Callable[[str], np.ndarray], images: List[np.ndarray]
) -> Optional[List[np.ndarray]]:
    """Returns the logits [H, W, C] of the images by the graph beside the weights; None where none of them can be run.

    They come twice where a placeholder may be the probability with which dropout keeps, or with which it drops.

    Args:
        path: The prefix of a checkpoint, of a SavedModel perhaps, or a file.
        kernel, bias: The names of those of the last upsampling, which give the logits.
        read: Name of a variable -> its value.
        images: [H, W, 3], of one size.
    """
    for graph_def in graphs_beside(path):
        output = _logits_node(graph_def, kernel, bias)
        if output is None:
            continue
        try:
            return _run(graph_def, output, read, images)
        except (ValueError, KeyError, TypeError, tf.errors.OpError):
            continue  # it reads its images from files, say, takes one size, or needs what the checkpoint lacks
    return None


def _logits_node(graph_def: GraphDef, kernel: str, bias: Optional[str]) -> Optional[str]:
    """The name of the last upsampling, with its bias where there is one."""
    nodes = {node.name: node for node in graph_def.node}

    def is_from(source: str, name: Optional[str]) -> bool:
        node = behind(source, nodes)
        return node is not None and node.name == name

    for node in graph_def.node:
        if node.op != 'Conv2DBackpropInput' or len(node.input) < 2 or not is_from(node.input[1], kernel):
            continue
        for sum_ in graph_def.node:
            operands = sum_.input[:2] if sum_.op in ('BiasAdd', 'Add', 'AddV2') else []
            if any(is_from(source, node.name) for source in operands) and any(is_from(s, bias) for s in operands):
                return str(sum_.name)
        return None if bias else str(node.name)
    return None


def _run(
    graph_def: GraphDef, output: str, read: Callable[[str], np.ndarray], images: List[np.ndarray]
) -> Optional[List[np.ndarray]]:
    needed, variables = _with_variables_fed(extract_sub_graph(graph_def, [output]))
    check_ops(needed, 'the graph')
    check_constants(needed, [output], 'the graph')
    with tf.Graph().as_default() as graph, cpu_session() as session:
        tf.import_graph_def(needed, name='')
        check_known_sizes(graph, 'the graph')
        image, switches, of_dropout = _placeholders(graph, variables)
        if image is None:
            return None
        feed = {graph.get_tensor_by_name(name + ':0'): read(variable) for name, variable in variables.items()}
        feed.update(switches)
        logits = graph.get_tensor_by_name(output + ':0')
        found = []
        for value in (1.0, 0.0) if of_dropout else (1.0,):  # the probability with which dropout keeps, or drops
            feed.update(dict.fromkeys(of_dropout, value))
            results = [session.run(logits, {**feed, image: picture[np.newaxis]})[0] for picture in images]
            again = session.run(logits, {**feed, image: images[0][np.newaxis]})[0]
            # With dropout that no placeholder turns off there is nothing to compare with.
            if np.array_equal(results[0], again) and np.isfinite(again).all():
                found += results
    return found or None


def _with_variables_fed(graph_def: GraphDef) -> Tuple[GraphDef, Dict[str, str]]:
    """The graph with a placeholder for each reading of a variable, and placeholder -> variable."""
    nodes = {node.name: node for node in graph_def.node}
    fed, variables = tf.GraphDef(), {}
    fed.versions.CopyFrom(graph_def.versions)
    fed.library.CopyFrom(graph_def.library)
    for node in graph_def.node:
        if node.op == 'VarHandleOp':
            continue
        new = fed.node.add()
        if node.op in VARIABLE_OPS or node.op == 'ReadVariableOp':
            variables[node.name] = _variable_of(node, nodes)
            new.name, new.op = node.name, 'Placeholder'
            new.attr['dtype'].type = tf.float32.as_datatype_enum
        else:
            new.CopyFrom(node)
            new.device = ''
            new.attr.pop('_class', None)  # which places it where another node is
    used = {node_name(source) for node in fed.node for source in node.input}
    kept = [node for node in fed.node if node.name not in variables or node.name in used]
    del fed.node[:]
    fed.node.extend(kept)
    return fed, {name: variable for name, variable in variables.items() if name in used}


def _variable_of(node: Any, nodes: Dict[str, Any]) -> str:
    variable = behind(node.name, nodes)
    if variable is None or variable.op not in VARIABLE_OPS:
        raise ValueError('{!r} reads what is no variable of the graph.'.format(node.name))
    return str(variable.name)


def _placeholders(graph: Any, variables: Dict[str, str]) -> Tuple[Any, Dict[Any, Any], List[Any]]:
    """The placeholder of images, what switches are fed (no training), and the placeholders of dropout.

    None in place of the first where it is not clear.
    """
    images: List[Any] = []
    switches: Dict[Any, Any] = {}
    of_dropout: List[Any] = []
    for operation in graph.get_operations():
        if operation.type not in _PLACEHOLDERS or operation.name in variables:
            continue
        tensor = operation.outputs[0]
        shape = tensor.shape.as_list() if tensor.shape.rank is not None else None
        if shape is not None and len(shape) == 4 and shape[-1] in (3, None):
            images.append(tensor)
        elif tensor.dtype == tf.bool:
            switches[tensor] = False
        elif tensor.dtype == tf.float32 and not shape:
            of_dropout.append(tensor)
        elif operation.type != 'PlaceholderWithDefault':
            return None, {}, []
    return (images[0] if len(images) == 1 else None), switches, of_dropout
