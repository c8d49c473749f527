"""Freezing: turns a saved network's GraphDef into one for prediction, with its weights inside.

Weights become constants, which oneDNN packs once. They are read from the checkpoint one at a time. A session holds a
constant several times while it prepares a run, so the large filters are held once, as variables (fc6 alone has 411 of
VGG-16's 537 MB). In bfloat16 oneDNN can be told to pack these once, too (`fcn8s.graph.packed_filters`). In float32 it
reads an unpacked filter of 64 output channels as fast as a packed one, but wider ones at half the speed. Convolutions
with wider ones are therefore split by output channels (`BLOCK_CHANNELS`), which takes less memory than packing. fc6 and
fc7 become matrix products over image patches, which need no packing. fc6 becomes one product for each row of its
filter, which saves the multiplications with zeros above and below the map.
"""

import functools
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import TF_VERSION, GraphDef, Session, tf
from fcn8s.graph.bfloat16 import convert_convolutions
from fcn8s.graph.graph_defs import RANDOM_OPS, extract_sub_graph, node_name, variable_behind
from fcn8s.graph.packed_filters import packable_convolutions
from fcn8s.graph.permitted_ops import check_constants, check_known_sizes, check_ops
from fcn8s.graph.products import at_positions, is_product, nodes_in_place_of, patches_of, weights_come_first
from fcn8s.precision import this_machine
from fcn8s.saving.paths import plain_prefix
from fcn8s.saving.saved_models import check_files, check_finite, checkpoint_reader, explain_read_errors
from helpers.process.cores import num_cores
from helpers.process.memory import give_back

# A larger filter is a variable: all of VGG-16's 3x3 filters with 512 channels in and out.
MAX_CONSTANT_BYTES = 4 * 2**20
# The limit for filters that are split: all with 256 channels in and out. Split they take no more time, and less memory.
MAX_WHOLE_BYTES = 2**20
# The limit for filters that oneDNN packs once as variables.
MAX_CONSTANT_BYTES_IF_PACKED = 2**18
# Output channels of a convolution that oneDNN computes with a variable as fast as with a constant.
BLOCK_CHANNELS = 64
# How many rows of a filter are converted and transposed at a time: they fit a processor's cache.
_CHUNK = 64

# Any number from [0, 1): with a keep probability of 1, dropout keeps a value whatever was drawn.
_ANY_DRAW = 0.5


class LargeFilter(NamedTuple):
    """A filter [kh, kw, in, out] that the network reads from a resource variable. Its name is that in the checkpoint.

    A variable that a loop or a branch reads itself is held in the same way, whatever its size and shape.

    dtype: tf.float32 or tf.bfloat16. is_product: whether it is an operand of matrix products; the variable then has the
        shape [kh, kw * in, out], or [kh, out, kw * in] if `is_transposed`.
    blocks: into how many filters of fewer output channels it is split; with more than one the variable has the shape
        [blocks, kh, kw, in, out / blocks].
    """

    name: str
    shape: Tuple[int, ...]
    dtype: Any
    is_product: bool = False
    blocks: int = 1

    @property
    def is_transposed(self) -> bool:
        """Whether each row of the filter is held as [out, kw * in]."""
        return self.is_product and (self.dtype == tf.bfloat16 or weights_come_first(self.dtype))

    @property
    def variable_shape(self) -> List[int]:
        """The shape of the variable."""
        if self.blocks > 1:
            return [self.blocks, *self.shape[:-1], self.shape[-1] // self.blocks]
        if self.is_product:
            matrix = [int(np.prod(self.shape[1:-1])), self.shape[-1]]
            return [self.shape[0], *(reversed(matrix) if self.is_transposed else matrix)]
        return list(self.shape)

    def handle(self) -> Any:
        """Returns the variable's handle, in the current graph."""
        return tf.raw_ops.VarHandleOp(dtype=self.dtype, shape=self.variable_shape, shared_name=self.name)

    def read(self) -> Any:
        """Reads the variable's value, in the current graph."""
        return tf.raw_ops.ReadVariableOp(resource=self.handle(), dtype=self.dtype)


class CutNetwork(NamedTuple):
    """graph_def: a network still without weights; `fold_variables` and `load_large_filters` add them."""

    graph_def: GraphDef
    large_filters: Tuple[LargeFilter, ...]


def cut_network(
    graph_def: GraphDef,
    output: str,
    bfloat16: bool = False,
    with_large_filters: bool = True,
    untrusted: Optional[str] = None,
) -> CutNetwork:
    """Cuts a graph down to what the node `output` needs, without dropout.

    graph_def: GraphDef. Its placeholders with a default take that default; for keep_prob this is 1.0.
    bfloat16: compute convolutions and what follows them in bfloat16; the decoder interpolates in float32.
    with_large_filters: hold large filters as variables. Otherwise every weight becomes a constant, apart from those
        that a loop or a branch reads.
    untrusted: what messages call a graph that somebody else may have made. Raises ValueError where it has an op that
        no network needs, or larger arrays or more nodes than any network has; None for a graph that is trusted.
    """
    part = extract_sub_graph(graph_def, [output])
    if untrusted is not None:
        check_ops(part, untrusted)  # before the import, for TensorFlow computes constant parts
        check_constants(part, [output], untrusted)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(part, name='')
    if untrusted is not None:
        check_known_sizes(graph, untrusted)
    cut = graph.as_graph_def()  # adds attributes with their default value, which files leave out
    settle_inputs(cut)
    cut = extract_sub_graph(cut, [output])
    if bfloat16:
        convert_convolutions(cut, narrow_weights=True)
    large_filters = (_separate_large_filters(cut) if with_large_filters else ()) + _variables_of_functions(cut)
    return CutNetwork(extract_sub_graph(cut, [output]), large_filters)


def fold_variables(network: CutNetwork, prefix: str) -> Any:
    """Puts the weights of the checkpoint `prefix` into the GraphDef of `network`, apart from the large filters.

    Raises ValueError where the checkpoint is unreadable or lacks a variable of the graph.
    """
    folded = tf.GraphDef(versions=network.graph_def.versions, library=network.graph_def.library)
    large = {filters.name for filters in network.large_filters}
    small = {
        node.name
        for node in network.graph_def.node
        if node.op == 'VarHandleOp' and node.attr['shared_name'].s.decode() not in large
    }
    with checkpoint_reader(prefix) as reader:
        for source in network.graph_def.node:
            if source.name in small:
                continue
            node = folded.node.add()
            node.CopyFrom(source)
            is_read = source.op == 'ReadVariableOp' and source.input[0] in small
            if is_read or source.op in ('VariableV2', 'Variable'):
                dtype = tf.as_dtype(source.attr['dtype'].type).as_numpy_dtype
                name = source.input[0] if is_read else source.name
                value = reader.get_tensor(name)
                check_finite(name, value, prefix)
                _make_constant(node, tf.make_tensor_proto(value.astype(dtype, copy=False)))
    return folded


def load_large_filters(session: Session, large_filters: Sequence[LargeFilter], prefix: str) -> None:
    """Fills the variables of large filters from the checkpoint, with at most one copy of fc6 at any moment.

    Raises ValueError where the checkpoint is unreadable or lacks one.
    """
    check_files(prefix)
    # Filters that are transposed here are read in float32 first, one by one. TensorFlow reads the others in parallel.
    groups = [[filters] for filters in large_filters if filters.is_transposed]
    groups.append([filters for filters in large_filters if not filters.is_transposed])
    for group in filter(None, groups):
        _load_at_once(session, group, prefix)


def _load_at_once(session: Session, large_filters: Sequence[LargeFilter], prefix: str) -> None:
    feeds: Dict[Any, np.ndarray] = {}
    with session.graph.as_default(), plain_prefix(prefix) as plain:
        assigned: List[Any] = []
        totals: Dict[str, Any] = {}
        for filters in large_filters:
            with tf.device('/cpu:0'):
                value, feed, totals[filters.name] = _filter_value(filters, plain)
            feeds.update(feed)
            assigned.append(tf.raw_ops.AssignVariableOp(resource=filters.handle(), value=value))
        with explain_read_errors(prefix, plain, (tf.errors.OpError,)):
            _, found = session.run([assigned, totals], feeds)
    for name, total in found.items():
        check_finite(name, total, prefix)


def _filter_value(filters: LargeFilter, prefix: str) -> Tuple[Any, Dict[Any, np.ndarray], Any]:
    """A tensor of the filter's value, in the current graph; what to feed for it; and a tensor of the sum of the stored
    values, which is not finite if they hold NaN or infinity."""
    if filters.is_transposed:
        with checkpoint_reader(prefix) as reader:
            weights = reader.get_tensor(filters.name)
        total = tf.constant(weights.sum())
        rows = weights.reshape(filters.shape[0], -1, filters.shape[-1])
        value = tf.placeholder(filters.dtype, filters.variable_shape)
        return value, {value: _transpose_in_place(rows, filters.dtype.as_numpy_dtype)}, total
    value = stored = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=[filters.name], shape_and_slices=[''], dtypes=[tf.float32]
    )[0]
    if filters.blocks > 1:
        height, width, channels_in, channels_out = filters.shape
        split = tf.reshape(value, [height, width, channels_in, filters.blocks, channels_out // filters.blocks])
        value = tf.transpose(split, [3, 0, 1, 2, 4])
    return tf.cast(tf.reshape(value, filters.variable_shape), filters.dtype), {}, tf.reduce_sum(stored)


def _transpose_in_place(rows: np.ndarray, dtype: Any) -> np.ndarray:
    """float32 [k, n, m] -> float32 or a type of half its size, [k, m, n], at the beginning of the same memory.

    `rows` is lost. The other half goes back to the system; if the system does not take it, the result is a copy.
    """
    rows = np.require(rows, requirements=['C', 'W'])
    count, size_in, size_out = rows.shape
    # A row is read before anything is written to its place: the results so far take no more space than the rows read.
    parts = rows.reshape(-1).view(dtype)
    results = parts[: rows.size].reshape(count, size_out, size_in)
    one = np.empty((size_out, size_in), dtype)
    with ThreadPoolExecutor(num_cores()) as threads:
        for row, result in zip(rows, results):
            _transpose(row, one, threads)
            result[...] = one
    rest = parts[rows.size :]
    return results if not rest.size or give_back(rest) else results.copy()


def _transpose(columns: np.ndarray, into: np.ndarray, threads: Executor) -> None:
    """float32 [n, m] -> any dtype [m, n], piece by piece: numpy walks whole columns of a large matrix slowly."""

    def transpose_piece(start: int) -> None:
        into[:, start : start + _CHUNK] = columns[start : start + _CHUNK].astype(into.dtype).T

    list(threads.map(transpose_piece, range(0, len(columns), _CHUNK)))


def settle_inputs(graph_def: GraphDef) -> None:
    """Makes placeholders with a default pass it on, in place. Random numbers become a constant, which the optimiser
    folds away: of the requested shape if that is constant, as for the initial values of variables, else a scalar.
    """
    nodes = {node.name: node for node in graph_def.node}
    for node in graph_def.node:
        if node.op == 'PlaceholderWithDefault':
            dtype = node.attr['dtype'].type
            node.op = 'Identity'
            node.attr.clear()
            node.attr['T'].type = dtype
        elif node.op in RANDOM_OPS:
            size = nodes[node_name(node.input[0])]
            shape = tf.make_ndarray(size.attr['value'].tensor).tolist() if size.op == 'Const' else []
            _make_constant(node, tf.make_tensor_proto(_ANY_DRAW, tf.as_dtype(node.attr['dtype'].type), shape))


def _make_constant(node: Any, value: Any) -> None:
    del node.input[:]
    node.op = 'Const'
    node.attr.clear()
    node.attr['dtype'].type = value.dtype
    node.attr['value'].tensor.CopyFrom(value)


def _separate_large_filters(graph_def: GraphDef) -> Tuple[LargeFilter, ...]:
    """Has large filters read from variables of their own; convolutions with the largest become products."""
    nodes = {node.name: node for node in graph_def.node}
    packable = packable_convolutions(graph_def)
    large_filters = []
    for convolution in [node for node in graph_def.node if node.op == 'Conv2D']:
        variable = variable_behind(convolution.input[1], nodes)
        if variable is None:
            continue
        shape = tuple(dim.size for dim in variable.attr['shape'].shape.dim)
        dtype = tf.as_dtype(convolution.attr['T'].type)
        num_bytes = int(np.prod(shape)) * dtype.size
        is_packed = convolution.name in packable
        # With packed filters, fc7 is faster as a convolution than as a product; a packed fc6 would take 206 MB more.
        as_product = is_product(convolution, num_bytes) and not (is_packed and shape[:2] == (1, 1))
        filters = LargeFilter(variable.name, shape, dtype, is_product=as_product)
        if not as_product and _gains_by_blocks(convolution, filters):
            filters = filters._replace(blocks=shape[-1] // BLOCK_CHANNELS)
        if num_bytes <= _max_constant_bytes(filters, is_packed):
            continue
        large_filters.append(filters)
        if as_product or filters.blocks > 1:
            compute = _product if as_product else functools.partial(_block_by_block, convolution)
            graph_def.node.extend(nodes_in_place_of(convolution, shape[2], functools.partial(compute, filters)))
            graph_def.node.remove(convolution)
        else:
            graph_def.node.extend(_read_nodes(convolution, filters))
    return tuple(large_filters)


def _max_constant_bytes(filters: LargeFilter, is_packed: bool) -> int:
    """Up to this many bytes a filter is held as a constant."""
    if is_packed:
        return min(MAX_CONSTANT_BYTES_IF_PACKED, MAX_CONSTANT_BYTES)
    return min(MAX_WHOLE_BYTES, MAX_CONSTANT_BYTES) if filters.blocks > 1 else MAX_CONSTANT_BYTES


def _variables_of_functions(graph_def: GraphDef) -> Tuple[LargeFilter, ...]:
    """Variables whose handles do not only go to read ops, but also to functions of loops or branches that read them."""
    outside = {name for node in graph_def.node if node.op != 'ReadVariableOp' for name in node.input}
    variables = [node for node in graph_def.node if node.op == 'VarHandleOp' and node.name in outside]
    return tuple(
        LargeFilter(
            variable.name,
            tuple(dim.size for dim in variable.attr['shape'].shape.dim),
            tf.as_dtype(variable.attr['dtype'].type),
        )
        for variable in variables
    )


def _read_nodes(convolution: Any, filters: LargeFilter) -> List[Any]:
    """Adds nodes that read the filter of a convolution, connects it to them, and returns them."""
    graph = tf.Graph()
    with graph.as_default(), tf.name_scope(convolution.name + '_filter/'):
        convolution.input[1] = filters.read().op.name
    return list(graph.as_graph_def().node)


def _gains_by_blocks(convolution: Any, filters: LargeFilter) -> bool:
    """Whether a convolution is faster with its filter split by output channels: if oneDNN computes it in float32, on a
    kind of processor where that was measured.
    """
    machine = this_machine()
    return (
        TF_VERSION >= (2, 0)
        and filters.dtype == tf.float32
        and convolution.attr['data_format'].s == b'NHWC'
        and convolution.attr['padding'].s in (b'SAME', b'VALID')
        and filters.shape[-1] % BLOCK_CHANNELS == 0
        and not machine.gpus
        and 'avx512f' in machine.cpu_flags
    )


def _block_by_block(convolution: Any, filters: LargeFilter, features: Any) -> Any:
    """The convolution of features [N, H, W, in], computed one block of output channels after the other."""
    attributes = convolution.attr
    options = dict(
        strides=list(attributes['strides'].list.i),
        padding=attributes['padding'].s.decode(),
        dilations=list(attributes['dilations'].list.i),
    )
    blocks = tf.unstack(filters.read(), filters.blocks)
    return tf.concat([tf.nn.conv2d(features, block, **options) for block in blocks], axis=-1)


def _product(filters: LargeFilter, features: Any) -> Any:
    """The SAME convolution of features [N, H, W, in] with a filter [kh, kw, in, out], as one product per filter row.

    Each product takes the rows of the map that its row of the filter meets. A product over whole patches would also
    multiply the zeros above and below the map: a fifth of fc6's work where the map is 8 high.
    """
    height, width, channels_in, _ = filters.shape
    patches = at_positions(patches_of(features, 1, width), features)
    num_rows = tf.shape(features)[1]
    sums = []
    for row, weights in enumerate(tf.unstack(filters.read(), height)):
        offset = row - (height - 1) // 2
        met = tf.maximum(num_rows - abs(offset), 0)
        first = tf.minimum(max(offset, 0), num_rows)
        above = tf.minimum(max(-offset, 0), num_rows)
        part = patches[:, first : first + met]
        product = at_positions(
            _times(tf.reshape(part, [-1, width * channels_in]), weights, filters.is_transposed), part
        )
        sums.append(tf.pad(product, [[0, 0], [above, num_rows - met - above], [0, 0], [0, 0]]))
    if height == 1:
        return sums[0]
    return tf.cast(tf.add_n([tf.cast(part, tf.float32) for part in sums]), filters.dtype)


def _times(patches: Any, weights: Any, is_transposed: bool) -> Any:
    """The product of patches [n, m] and weights [m, out], or [out, m] where they are transposed; [n, out]."""
    if not is_transposed:
        return tf.matmul(patches, weights)
    if 'amx_bf16' in this_machine().cpu_flags:
        # Measured on such a CPU: fc6 takes 20 ms in this order and 27 ms in the other.
        return tf.matmul(patches, weights, transpose_b=True)
    # In bfloat16 oneDNN reorders the second operand in every run and reads the first as it lies. In float32 see
    # `weights_come_first`.
    return tf.transpose(tf.matmul(weights, patches, transpose_b=True))
