from fcn8s.backend import tf
from fcn8s.graph.bfloat16 import convert_convolutions


def _node(name, op, *inputs, **types):
    node = tf.NodeDef(name=name, op=op, input=inputs)
    for attribute, dtype in types.items():
        node.attr[attribute].type = dtype.as_datatype_enum
    return node


def test_each_tensor_that_enters_bfloat16_has_a_conversion_of_its_own():
    graph_def = tf.GraphDef()
    graph_def.node.extend(
        [_node(name, 'Placeholder', dtype=tf.float32) for name in ('split', 'split_1', 'split_1_bfloat16', 'filter')]
        + [
            _node('c{}'.format(i), 'Conv2D', source, 'filter', '^split', T=tf.float32)
            for i, source in enumerate(['split:1', 'split_1', 'split_1', 'split_1_bfloat16'])
        ]
        + [_node('c0_in_bfloat16', 'NoOp')]
    )
    convert_convolutions(graph_def, float32_outputs=['c0'])
    nodes = {node.name: node for node in graph_def.node}
    assert len(nodes) == len(graph_def.node)
    reads = [nodes[nodes[name].input[0]] for name in ('c0_in_bfloat16_1', 'c1', 'c2', 'c3')]
    assert [node.op for node in reads] == ['Cast'] * 4
    assert [node.input[0] for node in reads] == ['split:1', 'split_1', 'split_1', 'split_1_bfloat16']
    assert reads[1] is reads[2]
    assert {nodes[name].input[2] for name in ('c1', 'c2', 'c3')} == {'^split'}
    assert (nodes['c0'].op, list(nodes['c0'].input)) == ('Cast', ['c0_in_bfloat16_1'])
