"""Graphs of others that reach outside: nothing of them may run."""

import os
import re
import shutil

import numpy as np
import pytest
from graphs import edit_graph

from fcn8s import FCN8s, open_model
from fcn8s.backend import tf
from fcn8s.cli import main
from fcn8s.export.serving_graph import freeze
from fcn8s.graph.permitted_ops import (
    MOST_NODES,
    MOST_REPEATED,
    NETWORK_OPS,
    check_constants,
    check_known_sizes,
    check_ops,
)
from fcn8s.prediction.freezing import cut_network
from fcn8s.vgg16.write import write_encoder


def change_graph(directory, change):
    """Applies `change` to the graph of a saved model in place."""
    edit_graph(directory, lambda meta_graph: change(meta_graph.graph_def))


def write_file_when_it_predicts(target):
    """The first pooling waits for an op that writes a file."""

    def change(graph_def):
        with tf.Graph().as_default() as graph:
            tf.write_file(target, 'written', name='evil')
        graph_def.node.extend(graph.as_graph_def().node)
        next(node for node in graph_def.node if node.op == 'MaxPool').input.append('^evil')

    return change


def write_file_in_a_function(target):
    def change(graph_def):
        with tf.Graph().as_default() as graph:
            tf.write_file(target, 'written', name='evil')
        function = graph_def.library.function.add()
        function.signature.name = 'harmless'
        function.node_def.extend(graph.as_graph_def().node)

    return change


@pytest.mark.parametrize('change', [write_file_when_it_predicts, write_file_in_a_function])
def test_a_graph_that_writes_files_is_refused_wherever_it_is_opened(
    change, small_model, tiny_encoder, tmp_path, capsys
):
    written = str(tmp_path / 'written')
    model, encoder = (
        shutil.copytree(path, str(tmp_path / name)) for path, name in ((small_model, 'm'), (tiny_encoder, 'e'))
    )
    for directory in (model, encoder):
        change_graph(directory, change(written))
    for opens in (
        lambda: open_model(model),
        lambda: FCN8s(model_load_dir=model),
        lambda: FCN8s(fine_tune_from=model),
        lambda: FCN8s(vgg16_dir=encoder, num_classes=2),
        lambda: write_encoder(str(tmp_path / 'out'), weights=encoder),
    ):
        with pytest.raises(
            ValueError, match=r"is refused, and nothing of it was run: .* WriteFile \('evil'\).*--trust"
        ):
            opens()
    assert main(['vgg16', str(tmp_path / 'out'), '--weights', encoder]) == 2
    assert 'WriteFile' in capsys.readouterr().err
    assert not os.path.exists(written) and not os.path.exists(str(tmp_path / 'out'))


def test_who_trusts_a_file_opens_it_all_the_same(small_model, tmp_path):
    model, written = shutil.copytree(small_model, str(tmp_path / 'm')), str(tmp_path / 'written')
    change_graph(model, write_file_when_it_predicts(written))
    image = np.zeros([1, 32, 32, 3], np.uint8)
    with open_model(model, trust=True) as network:
        network.predict(image)
    assert os.path.exists(written)
    with FCN8s(model_load_dir=model, trust=True) as network:
        network.predict(image)


def test_a_network_is_packed_with_trust_and_its_zip_still_asks_for_it(small_model, tmp_path, capsys):
    model, written = shutil.copytree(small_model, str(tmp_path / 'm')), str(tmp_path / 'written')
    change_graph(model, write_file_when_it_predicts(written))
    out = str(tmp_path / 'network.zip')
    assert main(['pack', model, out]) == 2 and '--trust' in capsys.readouterr().err
    assert main(['pack', model, out, '--trust']) == 0
    with pytest.raises(ValueError, match='WriteFile'):
        open_model(out)
    assert not os.path.exists(written)


@pytest.mark.parametrize('op', ['ReadFile', 'PyFunc', 'PyFuncStateless', 'EagerPyFunc', 'MatchingFiles', 'SaveV2'])
def test_ops_that_reach_outside_are_named(op):
    graph_def = tf.GraphDef()
    graph_def.node.add(name='x', op=op)
    with pytest.raises(ValueError, match=r"^thing is refused.*holds {} \('x'\)".format(op)):
        check_ops(graph_def, 'thing')


def test_a_function_called_like_an_op_is_no_excuse_for_that_op():
    graph_def = tf.GraphDef()
    graph_def.node.add(name='x', op='ReadFile')
    graph_def.library.function.add().signature.name = 'ReadFile'
    graph_def.node.add(name='y', op='mine')
    graph_def.library.function.add().signature.name = 'mine'
    with pytest.raises(ValueError, match=r"holds ReadFile \('x'\), which"):
        check_ops(graph_def, 'thing')


@pytest.mark.parametrize('chain, is_refused', [('aa', True), ('aba', True), ('abc', False), (range(20000), True)])
def test_functions_that_call_themselves_or_too_deep_a_chain_are_refused(chain, is_refused):
    """TensorFlow ends the process over them."""
    names = ['f{}'.format(part) for part in chain]
    graph_def = tf.GraphDef()
    for name in dict.fromkeys(names):
        graph_def.library.function.add().signature.name = name
    functions = {function.signature.name: function for function in graph_def.library.function}
    for name, called in zip(names, names[1:]):
        functions[name].node_def.add(name='call', op='PartitionedCall').attr['f'].func.name = called
    if is_refused:
        with pytest.raises(ValueError, match='^thing is refused.* holds the function .*, which calls itself or'):
            check_ops(graph_def, 'thing')
    else:
        check_ops(graph_def, 'thing')


def constant(value, shape):
    """A GraphDef with a constant `c`, and `out`, which needs it."""
    graph_def = tf.GraphDef()
    node = graph_def.node.add(name='c', op='Const')
    node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value))
    del node.attr['value'].tensor.tensor_shape.dim[:]
    for size in shape:
        node.attr['value'].tensor.tensor_shape.dim.add().size = size
    graph_def.node.add(name='out', op='Identity', input=['c:0'])
    return graph_def


@pytest.mark.parametrize('shape', [[10**5, 10**5], [2**62, 2**62], [MOST_REPEATED + 2]])
def test_a_constant_of_far_more_values_than_its_file_holds_is_refused(shape):
    graph_def = constant(np.float32(2.5), shape)
    with pytest.raises(
        ValueError, match="^thing is refused, and nothing of it was run: its constant 'c' is of the sha"
    ):
        check_constants(graph_def, ['out'], 'thing')
    graph_def.node.add(name='else', op='NoOp')
    check_constants(graph_def, ['else'], 'thing')
    inside = tf.GraphDef()
    inside.library.function.add().signature.name = 'f'
    inside.library.function[0].node_def.extend(graph_def.node)
    inside.node.add(name='out', op='f')
    with pytest.raises(ValueError, match="its constant 'c' is of the shape"):
        check_constants(inside, ['out'], 'thing')


def test_constants_that_the_file_holds_and_those_of_a_layer_are_taken():
    check_constants(constant(np.float32(0), [4096, 4096]), ['out'], 'thing')
    values = np.zeros(MOST_REPEATED + 2, np.float32)
    check_constants(constant(values, values.shape), ['out'], 'thing')


def test_many_small_constants_of_which_the_file_holds_one_value_are_refused():
    graph_def = constant(np.float32(0), [2**16])
    graph_def.node.extend([graph_def.node[0]] * 260)
    for number, node in enumerate(graph_def.node[2:]):
        node.name = str(number)
        graph_def.node[1].input.append(node.name)
    with pytest.raises(ValueError, match="its constant '25[0-9]' is of the shape"):
        check_constants(graph_def, ['out'], 'thing')


def test_no_constant_makes_up_for_the_values_that_another_lacks():
    graph_def = constant(np.zeros(5, np.float32), [])
    graph_def.node[0].attr['value'].tensor.tensor_content = b''
    graph_def.node[0].attr['value'].tensor.float_val.extend([0.0] * 10)
    graph_def.node.extend(constant(np.float32(0), [MOST_REPEATED + 2]).node)
    graph_def.node[2].name, graph_def.node[3].name, graph_def.node[3].input[0] = 'd', 'all', 'd'
    graph_def.node[3].input.append('out')
    with pytest.raises(ValueError, match="its constant 'd' is of the shape"):
        check_constants(graph_def, ['all'], 'thing')


def test_the_content_of_a_constant_of_texts_is_no_excuse_for_its_shape():
    graph_def = constant(b'', [10**8])
    del graph_def.node[0].attr['value'].tensor.string_val[:]
    graph_def.node[0].attr['value'].tensor.tensor_content = b'x'
    with pytest.raises(ValueError, match="its constant 'c' is of the shape"):
        check_constants(graph_def, ['out'], 'thing')


def test_functions_count_as_often_as_they_are_called():
    graph_def = tf.GraphDef()
    graph_def.node.add(name='out', op='f0')
    for number in range(40):
        function = graph_def.library.function.add()
        function.signature.name = 'f{}'.format(number)
        for call in 'ab' if number < 39 else ():
            function.node_def.add(name=call, op='f{}'.format(number + 1))
    function.node_def.extend(constant(np.float32(0), [2**16]).node[:1])
    check_ops(graph_def, 'thing')
    with pytest.raises(ValueError, match='it predicts by 1,649,267,441,663 nodes'):
        check_constants(graph_def, ['out'], 'thing')
    graph_def.node[0].op = 'f32'
    check_constants(graph_def, ['out'], 'thing')
    graph_def.node[0].op = 'f30'
    with pytest.raises(ValueError, match="its constant 'c' is of the shape"):
        check_constants(graph_def, ['out'], 'thing')


def test_a_graph_is_imported_after_its_ops_were_checked_and_only_the_part_that_predicts(
    small_model, tmp_path, monkeypatch
):
    model = shutil.copytree(small_model, str(tmp_path / 'model'))
    change_graph(model, lambda graph_def: graph_def.node.add(name='odd', op='Fill'))
    freeze(model)  # TensorFlow would refuse the other part
    graph_def = tf.GraphDef()
    graph_def.node.add(name='out', op='DecodePng')
    monkeypatch.setattr('fcn8s.prediction.freezing.tf.import_graph_def', lambda *a, **b: pytest.fail('it was imported'))
    with pytest.raises(ValueError, match=r'nothing of it was run: its graph holds DecodePng'):
        cut_network(graph_def, 'out', untrusted='thing')


def add_a_huge_constant(graph_def):
    graph_def.node.extend(constant(np.float32(0), [10**5, 10**5]).node[:1])
    graph_def.node[-1].attr['dtype'].type = 1
    next(node for node in graph_def.node if node.op == 'MaxPool').input.append('^c')


def test_networks_and_encoders_with_such_a_constant_are_refused(small_model, tiny_encoder, tmp_path):
    model = shutil.copytree(small_model, str(tmp_path / 'model'))
    encoder = shutil.copytree(tiny_encoder, str(tmp_path / 'encoder'))
    for directory in (model, encoder):
        change_graph(directory, add_a_huge_constant)
    for opened in (
        lambda: open_model(model),
        lambda: FCN8s(model_load_dir=model),
        lambda: FCN8s(vgg16_dir=encoder, num_classes=2),
        lambda: write_encoder(str(tmp_path / 'out'), weights=encoder),
    ):
        with pytest.raises(ValueError, match=r"is refused.*its constant 'c' is of the shape \[100000, 100000\]"):
            opened()


def add_to_pool(make):
    """Adds the sum of what `make` makes to the input of the first pooling."""

    def change(graph_def):
        with tf.Graph().as_default() as graph:
            tf.reduce_sum(make(), name='added')
        graph_def.node.extend(graph.as_graph_def().node)
        pool = next(node for node in graph_def.node if node.op == 'MaxPool')
        graph_def.node.add(name='sum', op='Add', input=[pool.input[0], 'added']).attr['T'].type = 1
        pool.input[0] = 'sum'

    return change


def test_a_graph_that_makes_an_array_beyond_any_memory_is_refused(small_model, tmp_path):
    for number, make in enumerate((lambda: tf.fill([200000, 200000], 1.0), lambda: tf.range(2.0**31))):
        model = shutil.copytree(small_model, str(tmp_path / str(number)))
        change_graph(model, add_to_pool(make))
        for opened in (open_model, lambda path: FCN8s(model_load_dir=path)):
            with pytest.raises(
                ValueError, match=r"model.* is refused.*: its \w+ '\w+' makes an array of the shape \[2"
            ):
                opened(model)


def test_images_of_a_fixed_size_may_be_large():
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, [1, 2160, 3840, 3])
        tf.nn.conv2d(images, tf.zeros([3, 3, 3, 64]), [1, 1, 1, 1], 'SAME')
    check_known_sizes(graph, 'thing')
    with graph.as_default():
        tf.tile(images, [100, 1, 1, 1])
    with pytest.raises(ValueError, match=r'its Tile .* makes an array of the shape \[100, 2160'):
        check_known_sizes(graph, 'thing')


def test_a_graph_that_fails_when_it_runs_is_named_in_one_line(small_model, tmp_path):
    model = shutil.copytree(small_model, str(tmp_path / 'model'))
    change_graph(model, add_to_pool(lambda: tf.debugging.check_numerics(tf.log(tf.constant(-1.0)), 'no number')))
    for opened in (open_model, lambda path: FCN8s(model_load_dir=path)):
        with opened(model) as network, pytest.raises(ValueError, match='no number') as raised:
            network.predict(np.zeros([1, 8, 8, 3], np.uint8))
        assert re.match(r"the graph of '.*model' cannot be run: .*NaN values\. If it", str(raised.value))


def test_more_nodes_than_a_network_has_are_refused():
    graph_def = tf.GraphDef()
    graph_def.node.add(name='0', op='NoOp')
    for number in range(1, MOST_NODES + 1):
        graph_def.node.add(name=str(number), op='NoOp', input=['^' + str(number - 1)])
    check_constants(graph_def, [str(MOST_NODES - 1)], 'thing')
    with pytest.raises(
        ValueError, match='^thing is refused.*: it predicts by 20,001 nodes, and a network has at most 20,000'
    ):
        check_constants(graph_def, [str(MOST_NODES)], 'thing')


def lose_a_node(graph_def):
    graph_def.node.remove(next(node for node in graph_def.node if node.name == 'layer3_out'))


def give_a_type_that_is_none(graph_def):
    next(node for node in graph_def.node if node.op == 'MaxPool').attr['T'].type = 9999


@pytest.mark.parametrize('change', [lose_a_node, give_a_type_that_is_none])
def test_a_damaged_graph_is_named_where_it_predicts(small_model, tmp_path, change):
    model = shutil.copytree(small_model, str(tmp_path / 'model'))
    change_graph(model, change)
    with pytest.raises(
        ValueError, match=r'model SavedModel .*model. is damaged: .*[^.]\. Write or copy it again'
    ) as raised:
        open_model(model)
    assert len(str(raised.value).splitlines()) == 1


def test_no_permitted_op_reads_or_writes_files_or_runs_code():
    words = ('File', 'PyFunc', 'Save', 'Restore', 'Print', 'Dataset', 'Iterator', 'Queue', 'Rpc', 'Send', 'Recv')
    assert not [op for op in NETWORK_OPS if any(word in op for word in words)]
