"""Large convolutions as matrix products over image patches.

A convolution on a CPU first reorders the filter, in every run unless the filter is a constant, and reorders its
gradient back. That costs little for filters that are used at many positions, but much for VGG-16's fc6 (411 MB) and
fc7, which are used at a few. A matrix product needs no reordering.
"""

from typing import Any, Callable, List, Optional, Sequence

import numpy as np

from fcn8s.backend import MetaGraphDef, Operation, Tensor, tf
from fcn8s.graph.graph_defs import variable_behind
from fcn8s.precision import this_machine

# From this size on a convolution becomes a product. The patch of one position of fc6 takes 100 kB, and the first layer
# takes 524 kB for the 32x32 pixels of that position: the patches do not decide how much memory is needed.
MAX_CONVOLUTION_BYTES = 20 * 2**20


def is_product(convolution: Any, num_bytes: int) -> bool:
    """Tells whether a convolution with a filter of `num_bytes` becomes a product: a large filter, and one centred patch
    per position, as `patches_of` gives.
    """
    attributes = convolution.attr
    return (
        num_bytes > MAX_CONVOLUTION_BYTES
        and attributes['padding'].s == b'SAME'
        and set(attributes['strides'].list.i) == {1}
        # A saved graph leaves out what has its default value.
        and ('data_format' not in attributes or attributes['data_format'].s == b'NHWC')
        and ('dilations' not in attributes or set(attributes['dilations'].list.i) == {1})
    )


def weights_come_first(dtype: Any) -> bool:
    """Tells whether this machine computes a product of large weights and few patches faster with the weights as first
    operand: in float32 on x86 with AVX2 alone (benchmarks/NOTES.md). Others were not measured.
    """
    machine = this_machine()
    has_short_vectors = 'avx2' in machine.cpu_flags and 'avx512f' not in machine.cpu_flags
    return dtype == tf.float32 and has_short_vectors and not machine.gpus


def patches_of(features: Tensor, height: int, width: int) -> Tensor:
    """Returns the patches around each position of features [N, H, W, C], [N H W, height width C]; zeros outside."""
    if height == width == 1:
        return tf.reshape(features, [-1, int(features.shape[3])])
    patches = tf.raw_ops.ExtractImagePatches(
        images=features, ksizes=[1, height, width, 1], strides=[1, 1, 1, 1], rates=[1, 1, 1, 1], padding='SAME'
    )
    return tf.reshape(patches, [-1, height * width * int(features.shape[3])])


def at_positions(products: Tensor, features: Tensor) -> Tensor:
    """Returns products [N H W, channels] as a map of the height and width of features [N, H, W, C]."""
    return tf.reshape(products, tf.concat([tf.shape(features)[:3], [int(products.shape[1])]], axis=0))


def nodes_in_place_of(convolution: Any, channels: int, build: Callable[[Tensor], Tensor]) -> List[Any]:
    """Returns nodes that compute a convolution from the same input; the last has its name.

    channels: those of its input. build: adds ops to the current graph that compute the result from float features
        [N, H, W, channels], and returns it.
    """
    graph = tf.Graph()
    with graph.as_default():
        with tf.name_scope(convolution.name + '_product/'):
            dtype = tf.as_dtype(convolution.attr['T'].type)
            features = tf.placeholder(dtype, [None, None, None, channels], name='features')
            output = build(features)
        tf.identity(output, name=convolution.name)
    nodes = [node for node in graph.as_graph_def().node if node.name != features.op.name]
    for node in nodes:
        sources = [convolution.input[0] if source == features.op.name else source for source in node.input]
        del node.input[:]
        node.input.extend(sources)
    return nodes


def with_products(meta_graph: MetaGraphDef) -> MetaGraphDef:
    """Returns a copy of an encoder's MetaGraphDef that computes its largest convolutions as products, with the same
    variables and names.
    """
    changed = tf.MetaGraphDef()
    changed.CopyFrom(meta_graph)
    graph_def = changed.graph_def
    nodes = {node.name: node for node in graph_def.node}
    for convolution in [node for node in graph_def.node if node.op == 'Conv2D']:
        variable = variable_behind(convolution.input[1], nodes)
        if variable is None:
            continue
        shape = [dim.size for dim in variable.attr['shape'].shape.dim]
        if is_product(convolution, int(np.prod(shape)) * tf.as_dtype(convolution.attr['T'].type).size):
            graph_def.node.extend(_product_with(convolution, shape))
            graph_def.node.remove(convolution)
    return changed


def filter_of(op: Operation) -> Optional[Tensor]:
    """Returns the filter [kh, kw, in, out] of a convolution, also of one computed as a product (`with_products`); None
    for an op that is no convolution.
    """
    if op.type == 'Conv2D':
        return op.inputs[1]
    try:
        product = op.graph.get_operation_by_name(op.name + '_product/MatMul')
    except KeyError:
        return None
    return product.inputs[0 if product.get_attr('transpose_a') else 1].op.inputs[0]


def _product_with(convolution: Any, shape: Sequence[int]) -> List[Any]:
    """The nodes of a product with the filter that a convolution reads, [kh, kw, in, out]."""
    height, width, channels_in, channels_out = shape

    def build(features: Tensor) -> Tensor:
        filters = tf.placeholder(features.dtype, shape, name='filters')
        rows = tf.reshape(filters, [height * width * channels_in, channels_out])
        patches = patches_of(features, height, width)
        if weights_come_first(features.dtype):
            # In this form the gradient of the patches is faster, too.
            return at_positions(tf.transpose(tf.matmul(rows, tf.transpose(patches), transpose_a=True)), features)
        return at_positions(tf.matmul(patches, rows), features)

    name = '{}_product/filters'.format(convolution.name)
    nodes = [node for node in nodes_in_place_of(convolution, channels_in, build) if node.name != name]
    for node in nodes:
        for index, source in enumerate(node.input):
            if source == name:
                node.input[index] = convolution.input[1]
    return nodes
