"""The logits of the graph that lies beside the weights: what its program really predicts, whatever its kind suggests.

Only the part that the logits need is run, and only if all its ops are those of networks. Programs derived from a known
one keep the names of its variables, but may have other layers between them, or after the last.
"""

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.backend import GraphDef, tf
from fcn8s.graph.graph_defs import VARIABLE_OPS, extract_sub_graph, node_name
from fcn8s.graph.permitted_ops import check_constants, check_known_sizes, check_ops
from fcn8s.importing.frozen_graphs import behind
from fcn8s.importing.own_answer import layer_behind
from fcn8s.importing.skip_scales import graphs_beside
from fcn8s.vgg16.graph import cpu_session

_PLACEHOLDERS = ('Placeholder', 'PlaceholderV2', 'PlaceholderWithDefault')
# Ops that take an array, never a probability.
_TAKE_ARRAYS = ('Conv2D', 'ExpandDims', 'Shape', 'ShapeN', 'Slice', 'Split', 'StridedSlice', 'Unpack')
# Height and width of the images if the graph takes any, and the most pixels that NumPy has to compute.
_SIDE = 64
_MOST_PIXELS = 2048 * 1024
_WHAT_TO_DO = (
    'Predict with that graph (docs/migrating.md, TensorFlow 1 graph code). To start a training from the weights alone, '
    'copy the variables to a folder without their graph (.meta, saved_model.pb), and import these; of a frozen graph, '
    'those that it was made from.'
)


class Asked(NamedTuple):
    """Which part of a graph is run: the logits after the last upsampling.

    kernel, bias: names of the variables of the last upsampling; first_kernel: that of the first convolution. read: name
    of a variable -> its value. images: height and width -> images [H, W, 3], one for each way of preparing them.
    """

    kernel: str
    bias: Optional[str]
    first_kernel: str
    read: Callable[[str], np.ndarray]
    images: Callable[[Tuple[int, int]], List[np.ndarray]]


class OwnLogits(NamedTuple):
    """The result of a graph. logits: [H, W, C] of each image; twice if it is unclear whether a placeholder is the keep
    or the drop probability of dropout. size: of the images. start: where they were fed; the first convolution if the
    graph cannot be run from its image input.
    """

    logits: List[np.ndarray]
    size: Tuple[int, int]
    start: str


def run_own_graph(path: str, asked: Asked) -> Optional[OwnLogits]:
    """Returns the logits of the first graph beside the weights that can be run; None where no graph lies there.

    path: the prefix of a checkpoint, perhaps that of a SavedModel, or a file.

    Raises ValueError where none of the graphs can be run, or a layer follows the logits.
    """
    graphs = graphs_beside(path)
    reasons = []
    for graph_def in graphs:
        outputs = list(_logits_nodes(graph_def, asked.kernel, asked.bias))
        if not outputs:
            reasons.append('it has no upsampling with {!r}{}'.format(asked.kernel, ' and its bias' * bool(asked.bias)))
        for output in outputs:
            _check_answer(path, graph_def, output)
        for part, start in [(part, start) for part in outputs for start in ('image_input', 'conv1_1')]:
            try:
                return _run(graph_def if start == 'image_input' else _from_first(graph_def, asked), part, start, asked)
            except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
                # For example, it reads its images from files, or needs a variable that the checkpoint lacks.
                reasons.append((str(error).splitlines() or [''])[0].split('. ')[0])
    if reasons:
        raise ValueError(
            'the graph of {} could not be run, which would show whether its program has other layers than its kind: '
            '{:.500}. {}'.format(path, reasons[0], _WHAT_TO_DO)
        )
    return None


def differs(path: str, how: str) -> ValueError:
    """Returns the error of a graph that predicts something else."""
    return ValueError('the graph of {} {}. {}'.format(path, how, _WHAT_TO_DO))


def _check_answer(path: str, graph_def: GraphDef, output: str) -> None:
    layer = layer_behind(graph_def, output)
    if layer is not None:
        how = 'answers with something else than its last upsampling, which goes through {} first, so that its program '
        raise differs(path, (how + 'has other layers than its kind').format(layer))


def _logits_nodes(graph_def: GraphDef, kernel: str, bias: Optional[str]) -> Iterator[str]:
    """Yields the names of the last upsamplings, or of the sums with their bias if there is one. Training and prediction
    may have separate ones.
    """
    nodes = {node.name: node for node in graph_def.node}

    def is_from(source: str, name: Optional[str]) -> bool:
        node = behind(source, nodes)
        return node is not None and node.name == name

    sums = [node for node in graph_def.node if node.op in ('BiasAdd', 'Add', 'AddV2')]
    for node in graph_def.node:
        if node.op != 'Conv2DBackpropInput' or len(node.input) < 2 or not is_from(node.input[1], kernel):
            continue
        if not bias:
            yield str(node.name)
        for sum_ in sums if bias else ():
            operands = sum_.input[:2]
            if any(is_from(source, node.name) for source in operands) and any(is_from(s, bias) for s in operands):
                yield str(sum_.name)


def _from_first(graph_def: GraphDef, asked: Asked) -> GraphDef:
    """The graph with a placeholder as input of the first convolution: the images may come from a queue, say."""
    nodes = {node.name: node for node in graph_def.node}
    cut = tf.GraphDef()
    cut.CopyFrom(graph_def)
    firsts = set()
    for node in graph_def.node:
        kernel = behind(node.input[1], nodes) if node.op == 'Conv2D' and len(node.input) > 1 else None
        if kernel is not None and kernel.name == asked.first_kernel:
            firsts.add(node_name(node.input[0]))
    for node in cut.node:
        if node.name in firsts:
            shapes = node.attr['_output_shapes'].list.shape
            shape = shapes[0] if shapes and len(shapes[0].dim) == 4 else tf.TensorShape([None] * 4).as_proto()
            placeholder = tf.NodeDef(name=node.name, op='Placeholder')
            placeholder.attr['dtype'].type = tf.float32.as_datatype_enum
            placeholder.attr['shape'].shape.CopyFrom(shape)
            node.CopyFrom(placeholder)
    return cut


def _run(graph_def: GraphDef, output: str, start: str, asked: Asked) -> OwnLogits:
    """Raises ValueError where the graph needs unknown inputs, or gives nothing to compare with."""
    needed, variables = _with_variables_fed(extract_sub_graph(graph_def, [output]))
    check_ops(needed, 'its part that gives the logits')
    check_constants(needed, [output], 'its part that gives the logits')
    with tf.Graph().as_default() as graph, cpu_session() as session:
        tf.import_graph_def(needed, name='')
        check_known_sizes(graph, 'its part that gives the logits')
        image, feed, of_dropout = _placeholders(graph, variables)
        size = _size_of(image)
        pictures = [_as_fed(image, picture) for picture in asked.images(size)]
        feed.update({graph.get_tensor_by_name(name + ':0'): asked.read(of) for name, of in variables.items()})
        logits = graph.get_tensor_by_name(output + ':0')
        found = []
        for value in (1.0, 0.0) if of_dropout else (1.0,):  # it may be the keep or the drop probability
            feed.update(dict.fromkeys(of_dropout, value))
            results = [session.run(logits, {**feed, image: picture})[0] for picture in pictures]
            again = session.run(logits, {**feed, image: pictures[0]})[0]
            # If no placeholder turns dropout off, there is nothing to compare with.
            if np.array_equal(results[0], again) and np.isfinite(again).all():
                found += results
    if not found:
        raise ValueError('its logits are random, or not finite')
    if found[0].shape[:2] != size:
        raise ValueError('its logits of an image of {} x {} are of the shape {}'.format(*size, found[0].shape))
    return OwnLogits(found, size, start)


def _is_image(tensor: Any, shape: Optional[List[Optional[int]]]) -> bool:
    """Whether images are fed to a placeholder. If its shape is unknown, its consumers tell it from a probability."""
    if shape is None:
        return any(operation.type in _TAKE_ARRAYS for operation in tensor.consumers())
    return len(shape) in (3, 4) and shape[-1] in (3, None)


def _shape_of(image: Any) -> List[Optional[int]]:
    if image.shape.rank is not None:
        return list(image.shape.as_list())
    alone = any(operation.type == 'ExpandDims' for operation in image.consumers())
    return [None] * (3 if alone else 4)


def _size_of(image: Any) -> Tuple[int, int]:
    """Height and width of the images that a placeholder takes."""
    height, width = (_SIDE if side is None else side for side in _shape_of(image)[-3:-1])
    if not 0 < height * width <= _MOST_PIXELS:
        raise ValueError(
            'it takes images of {} x {}, and NumPy follows at most {:,} pixels'.format(height, width, _MOST_PIXELS)
        )
    return height, width


def _as_fed(image: Any, picture: np.ndarray) -> np.ndarray:
    """An image [H, W, 3] as a placeholder takes it: alone, or repeated to fill its batch."""
    shape = _shape_of(image)
    return picture if len(shape) == 3 else np.stack([picture] * (shape[0] or 1))


def _with_variables_fed(graph_def: GraphDef) -> Tuple[GraphDef, Dict[str, str]]:
    """The graph with a placeholder for each read of a variable, and placeholder -> variable."""
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
            new.attr.pop('_class', None)  # colocates it with another node
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
    """The placeholder of images, the feed of others (no training, a batch of one), and the placeholders of dropout.

    Raises ValueError where these are unclear.
    """
    images: List[Any] = []
    feed: Dict[Any, Any] = {}
    of_dropout: List[Any] = []
    for operation in graph.get_operations():
        if operation.type not in _PLACEHOLDERS or operation.name in variables:
            continue
        tensor = operation.outputs[0]
        shape = tensor.shape.as_list() if tensor.shape.rank is not None else None
        if _is_image(tensor, shape):
            images.append(tensor)
        elif tensor.dtype == tf.bool:
            feed[tensor] = False
        elif tensor.dtype == tf.float32 and not shape:
            of_dropout.append(tensor)
        elif operation.type != 'PlaceholderWithDefault':
            if shape or not tensor.dtype.is_integer:
                raise ValueError('it is not known what to feed to {} ({})'.format(tensor.name, tensor.dtype.name))
            feed[tensor] = 1
    if len(images) != 1:
        raise ValueError('it takes {} placeholders of images'.format(len(images)))
    return images[0], feed, of_dropout
