"""The factors of pool3 and pool4 in the graph that lies beside the weights; it is read as data and not run."""

import os
from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from fcn8s.backend import GraphDef, MetaGraphDef, tf
from fcn8s.graph.graph_defs import parse_message
from fcn8s.importing.frozen_graphs import behind, is_graph
from fcn8s.saving import saved_models
from fcn8s.saving.descriptions import GRAPH_FILES
from fcn8s.vgg16.weights.damage import damaged, explain_damage


def factors_in_graph(path: str, kernels: Mapping[str, str]) -> Optional[Dict[str, float]]:
    """Returns the factor of each pool before it is scored; None where no graph shows all of them.

    Args:
        path: The prefix of a checkpoint, perhaps that of a SavedModel, or a file.
        kernels: 'pool3', 'pool4' -> the name of its score kernel.

    Raises:
        ValueError: The graph is damaged.
    """
    for graph_def in graphs_beside(path):
        nodes = {node.name: node for node in graph_def.node}
        factors = {pool: _factor(path, kernel, nodes) for pool, kernel in kernels.items()}
        told = {pool: factor for pool, factor in factors.items() if factor is not None}
        if len(told) == len(kernels):
            return told
    return None


def graphs_beside(path: str) -> List[GraphDef]:
    """Returns the graphs of a SavedModel, the graph of NAME.meta beside a checkpoint, or that of a frozen file."""
    if path.endswith(saved_models.VARIABLES_PREFIX):
        folder = path[: -len(saved_models.VARIABLES_PREFIX)]
        for file in (os.path.join(folder, name) for name in GRAPH_FILES):
            if os.path.isfile(file):
                return [meta_graph.graph_def for meta_graph in saved_models.parse(file).meta_graphs]
    if os.path.isfile(path + '.meta'):
        return [_read(path + '.meta', MetaGraphDef).graph_def]
    if not os.path.isfile(path):
        return []
    with open(path, 'rb') as opened:
        is_frozen = is_graph(opened.read(4))
    return [_read(path, GraphDef)] if is_frozen else []


def _read(path: str, kind: Any) -> Any:
    try:
        return parse_message(saved_models.read_bytes(path), kind)
    except ValueError as error:
        raise damaged(path, str(error)) from error


def _factor(path: str, kernel: str, nodes: Dict[str, Any]) -> Optional[float]:
    """The factor on the input of the convolution with this kernel: 1.0 for a plain pool; None for anything else."""
    for node in nodes.values():
        if node.op != 'Conv2D' or len(node.input) < 2:
            continue
        weights, features = behind(node.input[1], nodes), behind(node.input[0], nodes)
        if weights is None or weights.name != kernel or features is None:
            continue
        if features.op == 'MaxPool':
            return 1.0
        operands = [behind(source, nodes) for source in features.input] if features.op == 'Mul' else []
        scalars = [operand for operand in operands if operand is not None and _is_scalar(operand)]
        if len(scalars) == 1 and any(operand is not None and operand.op == 'MaxPool' for operand in operands):
            return _positive(path, scalars[0])
    return None


def _is_scalar(node: Any) -> bool:
    is_float = node.op == 'Const' and node.attr['dtype'].type == tf.float32.as_datatype_enum
    return is_float and not node.attr['value'].tensor.tensor_shape.dim


def _positive(path: str, constant: Any) -> Optional[float]:
    with explain_damage(path):
        value = np.float32(tf.make_ndarray(constant.attr['value'].tensor))
    return float(str(value)) if 0 < value < np.inf else None  # 1e-4, not the nearest float32
