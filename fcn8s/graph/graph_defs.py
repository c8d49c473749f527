"""GraphDefs as data: names, parts, and what another TensorFlow needs in order to read them."""

from typing import Any, Dict, Sequence

from fcn8s.backend import tf

VARIABLE_OPS = ('VarHandleOp', 'VariableV2', 'Variable')
RANDOM_OPS = ('RandomUniform', 'StatelessRandomUniform', 'StatelessRandomUniformV2')
# What newer releases of TensorFlow write into a graph that older ones refuse: op -> attributes without a meaning of
# theirs.
_NEWER_ATTRIBUTES = {'VarHandleOp': ('debug_name', 'allowed_devices')}


def make_portable(graph_def: Any) -> None:
    """Removes, in place, what TensorFlow 1.15 does not know from a graph that a newer TensorFlow made."""
    for node in graph_def.node:
        for attribute in _NEWER_ATTRIBUTES.get(node.op, ()):
            node.attr.pop(attribute, None)


def extract_sub_graph(graph_def: Any, names: Sequence[str]) -> Any:
    """A new GraphDef with the named nodes and everything that they depend on, in the order of the old one.

    TensorFlow's function of this name does the same and prints a notice of its deprecation into every program.
    """
    inputs = {node.name: [name.lstrip('^').split(':')[0] for name in node.input] for node in graph_def.node}
    needed, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(inputs[name])
    extracted = tf.GraphDef()
    extracted.node.extend(node for node in graph_def.node if node.name in needed)
    extracted.library.CopyFrom(graph_def.library)
    extracted.versions.CopyFrom(graph_def.versions)
    return extracted


def node_name(tensor_name: str) -> str:
    """`'a/b:1'` and the control input `'^a/b'` -> `'a/b'`."""
    return tensor_name.split(':')[0].lstrip('^')


def variable_behind(name: str, nodes: Dict[str, Any]) -> Any:
    """The variable's node that a tensor is read from, or None. nodes: those of the graph by name."""
    node = nodes[node_name(name)]
    while node.op in ('Identity', 'ReadVariableOp'):
        node = nodes[node_name(node.input[0])]
    return node if node.op in VARIABLE_OPS else None
