"""GraphDefs as data: names, parts, and what another TensorFlow needs in order to read them."""

import hashlib
from typing import Any, Callable, Dict, Iterable, Iterator, Sequence, Set

from fcn8s.backend import Graph, GraphDef, NodeDef, Tensor, tf

VARIABLE_OPS = ('VarHandleOp', 'VariableV2', 'Variable')
RANDOM_OPS = ('RandomUniform', 'StatelessRandomUniform', 'StatelessRandomUniformV2')
# What newer releases of TensorFlow write into a graph and older ones refuse: op -> attributes that change no result.
_NEWER_ATTRIBUTES = {'VarHandleOp': ('debug_name', 'allowed_devices')}


def parse_graph_def(content: bytes) -> GraphDef:
    """Returns the GraphDef that a file's bytes hold; raises ValueError, without the file's name, for other bytes."""
    return parse_message(content, tf.GraphDef)


def parse_message(content: bytes, kind: Any) -> Any:
    """Returns a protobuf message of any kind, such as `tf.MetaGraphDef`; otherwise as `parse_graph_def`."""
    message = kind()
    try:
        message.ParseFromString(content)
    except Exception as error:  # protobuf's DecodeError has a different home in each protobuf generation
        if type(error).__name__ != 'DecodeError':
            raise
        raise ValueError('it does not parse as a {}'.format(kind.DESCRIPTOR.name)) from error
    return message


def make_portable(graph_def: GraphDef) -> None:
    """Removes, in place, what TensorFlow 1.15 does not know from a graph that a newer TensorFlow made."""
    for node in graph_def.node:
        for attribute in _NEWER_ATTRIBUTES.get(node.op, ()):
            node.attr.pop(attribute, None)


def digest_of(graph_def: GraphDef) -> str:
    """Returns 16 hexadecimal digits of the SHA-256 of a graph."""
    return hashlib.sha256(graph_def.SerializeToString(deterministic=True)).hexdigest()[:16]


def extract_sub_graph(graph_def: GraphDef, names: Sequence[str]) -> GraphDef:
    """Returns a new GraphDef with the named nodes and everything that they depend on, in the order of the old one.

    TensorFlow's function of this name does the same, but prints a deprecation notice in every program.
    """
    needed = needed_nodes(graph_def, names)
    extracted = tf.GraphDef()
    extracted.node.extend(node for node in graph_def.node if node.name in needed)
    extracted.versions.CopyFrom(graph_def.versions)
    _copy_functions(graph_def.library, extracted)
    return extracted


def needed_nodes(graph_def: GraphDef, names: Sequence[str]) -> Set[str]:
    """Returns the names of the named nodes and of everything that they depend on."""
    inputs = {node.name: [node_name(name) for name in node.input] for node in graph_def.node}
    needed: Set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in inputs:
            raise ValueError('the graph refers to {!r}, a node that it does not have: it is damaged.'.format(name))
        if name not in needed:
            needed.add(name)
            waiting.extend(inputs[name])
    return needed


def _copy_functions(library: Any, graph_def: GraphDef) -> None:
    """Copies the functions of a library that a graph calls, directly or through other functions."""
    needed = called_functions(library, graph_def.node)
    graph_def.library.function.extend(needed.values())
    graph_def.library.gradient.extend(gradient for gradient in library.gradient if gradient.function_name in needed)


def called_functions(library: Any, nodes: Iterable[NodeDef]) -> Dict[str, Any]:
    """Returns the functions of a library that nodes call, directly or through others; by name, in library order."""
    by_name = {function.signature.name: function for function in library.function}
    needed: Set[str] = set()
    waiting = [nodes]
    while waiting:
        for node in waiting.pop():
            for name in functions_of(node):
                if name in by_name and name not in needed:
                    needed.add(name)
                    waiting.append(by_name[name].node_def)
    return {name: function for name, function in by_name.items() if name in needed}


def functions_of(node: NodeDef) -> Iterator[str]:
    """Yields the names under which a node may call a function: its op, and functions among its attributes."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        for function in value.list.func:
            yield function.name


def rename_nodes(graph_def: GraphDef, names: Dict[str, str]) -> None:
    """Renames nodes in place, also in the inputs of other nodes; names: old -> new."""
    for node in graph_def.node:
        node.name = names.get(node.name, node.name)
        for index, source in enumerate(node.input):
            name = node_name(source)
            if name in names:
                node.input[index] = source.replace(name, names[name], 1)


def strip_default_attributes(graph_def: GraphDef, graph: Graph) -> None:
    """Removes, in place, attributes that have their default value: an older TensorFlow may not know them.

    graph: a tf.Graph with ops of the kinds to strip.
    """
    defaults = {
        operation.type: {a.name: a.default_value for a in operation.op_def.attr if a.HasField('default_value')}
        for operation in graph.get_operations()
    }
    for node in graph_def.node:
        for name, value in defaults.get(node.op, {}).items():
            if name in node.attr and node.attr[name] == value:
                del node.attr[name]


def node_name(tensor_name: str) -> str:
    """Returns the name of the node behind a tensor or a control input: 'a/b' for 'a/b:1' and for '^a/b'."""
    return tensor_name.split(':')[0].lstrip('^')


def variable_behind(name: str, nodes: Dict[str, Any]) -> Any:
    """Returns the node of the variable that a tensor is read from, or None. nodes: the graph's nodes by name."""
    node = node_behind(name, nodes)
    return node if node.op in VARIABLE_OPS else None


def node_behind(name: str, nodes: Dict[str, Any]) -> Any:
    """Returns the node whose value a tensor is, such as a variable or a constant. nodes: the graph's nodes by name."""
    node = nodes[node_name(name)]
    while node.op in ('Identity', 'ReadVariableOp'):
        node = nodes[node_name(node.input[0])]
    return node


def tensor_once(name: str, build: Callable[[str], Tensor]) -> Tensor:
    """Returns the tensor of this name in the current graph; `build(name)` adds it if it is not there yet.

    Code that examines a network from outside gets its tensors here, so that the graph does not grow with every use.
    """
    try:
        return tf.get_default_graph().get_tensor_by_name(name + ':0')
    except KeyError:
        return build(name)
