"""Transposed convolutions in a form that other runtimes compute correctly for images of any size.

SAME padding of a transposed convolution depends on the size of its output. OpenVINO (2026.4, CPU) keeps the padding of
the first size that it meets, and is wrong for sizes of the other parity. So the whole output is computed (VALID) and
cropped to what SAME would give: the same numbers.
"""

from typing import Any, List

from fcn8s.backend import GraphDef, tf
from fcn8s.graph.graph_defs import node_name

_OP = 'Conv2DBackpropInput'


def crop_transposed_convolutions(graph_def: GraphDef) -> None:
    """Replaces the decoder's transposed convolutions with SAME padding, in place; results keep their names."""
    for node in [node for node in graph_def.node if node.op == _OP and 'decoder/' in node.name]:
        graph_def.node.extend(_nodes(node))
        graph_def.node.remove(node)


def _nodes(node: Any) -> List[Any]:
    """Nodes that compute the same as `node`, which has SAME padding; the last has its name."""
    _, row_stride, column_stride, _ = node.attr['strides'].list.i
    graph = tf.Graph()
    with graph.as_default():
        with tf.name_scope(node.name + '_cropped/'):
            output_shape = tf.placeholder(tf.int32, [4], name='output_shape')
            kernel = tf.placeholder(tf.float32, [None, None, None, None], name='kernel')
            scores = tf.placeholder(tf.float32, [None, None, None, None], name='scores')
            cropped = _cropped(output_shape, kernel, scores, [row_stride, column_stride])
        tf.identity(cropped, name=node.name)
    sources = dict(zip([tensor.op.name for tensor in (output_shape, kernel, scores)], node.input))
    nodes = [new for new in graph.as_graph_def().node if new.name not in sources]
    for new in nodes:
        inputs = [sources.get(node_name(source), source) for source in new.input]
        del new.input[:]
        new.input.extend(inputs)
    return nodes


def _cropped(output_shape: Any, kernel: Any, scores: Any, strides: List[int]) -> Any:
    """Scores [N, h, w, in], transposed convolution with a kernel [kh, kw, out, in] -> output_shape, [N, H, W, out]."""
    whole = (tf.shape(scores)[1:3] - 1) * strides + tf.shape(kernel)[:2]
    whole_shape = tf.concat([output_shape[:1], whole, output_shape[3:]], axis=0)
    output = tf.nn.conv2d_transpose(scores, kernel, whole_shape, [1] + strides + [1], 'VALID')
    start = (whole - output_shape[1:3]) // 2
    return tf.slice(output, tf.concat([[0], start, [0]], axis=0), output_shape)
