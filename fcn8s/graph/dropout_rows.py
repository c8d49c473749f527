"""Dropout masks for a part of a batch: the same rows that the masks of the whole batch have in these places.

The masks of an encoder are a pure function of seed, layer and place in the batch. A worker whose share begins at row f
draws all rows up to its last and discards the first f, so that several workers drop what a single one would drop.
"""

from typing import Any, Dict, List

from fcn8s.backend import MetaGraphDef, tf
from fcn8s.graph.graph_defs import node_name

FIRST_ROW_TENSOR = 'dropout_first_row:0'
_FIRST_ROW = node_name(FIRST_ROW_TENSOR)
_RANDOM = 'StatelessRandomUniform'


def with_dropout_rows(meta_graph: MetaGraphDef) -> MetaGraphDef:
    """Returns a copy of an encoder's MetaGraphDef with the int32 scalar `dropout_first_row:0`, 0 unless fed.

    The copy has no such scalar where the encoder has no dropout that can be seeded.
    """
    changed = tf.MetaGraphDef()
    changed.CopyFrom(meta_graph)
    nodes = changed.graph_def.node
    draws = [node for node in nodes if node.op == _RANDOM]
    if not draws:
        return changed
    added = _offset_nodes()
    renamed: Dict[str, str] = {}
    for draw in draws:
        added += _rows_of(draw)
        renamed[draw.name] = draw.name + '/rows'
    kept = {draw.name + '/rows' for draw in draws}
    for node in nodes:
        for index, source in enumerate(node.input):
            name = source.split(':')[0]  # a control input keeps its '^', so that it is not renamed
            if name in renamed and node.name not in kept:
                node.input[index] = renamed[name]
    nodes.extend(added)
    return changed


def _offset_nodes() -> List[Any]:
    """The nodes of the scalar and of the vector (first row, 0, 0, 0)."""
    with tf.Graph().as_default() as graph:
        first = tf.placeholder_with_default(tf.constant(0, tf.int32), [], _FIRST_ROW)
        tf.multiply(first, tf.constant([1, 0, 0, 0], tf.int32), name='dropout_offset')
        return list(graph.as_graph_def().node)


def _rows_of(draw: Any) -> List[Any]:
    """Makes a draw include the rows before the share, and returns the nodes that remove them again."""
    shape = draw.input[0]
    with tf.Graph().as_default() as graph:
        offset = tf.placeholder(tf.int32, [4], 'dropout_offset')
        own = tf.placeholder(tf.int32, [4], 'own_shape')
        drawn = tf.placeholder(tf.float32, [None, None, None, None], 'drawn')
        tf.add(own, offset, name='whole_shape')
        tf.slice(drawn, offset, tf.constant([-1, -1, -1, -1], tf.int32), name='rows')
        found = graph.as_graph_def().node
    outside = {'dropout_offset': 'dropout_offset', 'own_shape': shape, 'drawn': draw.name}
    added = []
    for node in found:
        if node.name in outside:
            continue
        for index, source in enumerate(node.input):
            node.input[index] = outside.get(source, '{}/{}'.format(draw.name, source))
        node.name = '{}/{}'.format(draw.name, node.name)
        added.append(node)
    draw.input[0] = draw.name + '/whole_shape'
    return added
