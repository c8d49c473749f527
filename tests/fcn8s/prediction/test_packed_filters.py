"""Filters that oneDNN packs once, against the same network without that."""

import os
import subprocess
import sys

import numpy as np
import pytest
from precisions import cannot

from fcn8s import FCN8s
from fcn8s.backend import tf
from fcn8s.graph import packed_filters
from fcn8s.prediction import freezing, frozen_network
from fcn8s.vgg16.write import write_encoder

SIZES = [(64, 96), (33, 47), (1, 1), (64, 96), (260, 70)]


needs_packing = pytest.mark.skipif(
    bool(cannot('bfloat16')) or not packed_filters._has_op(), reason='no bfloat16, or no oneDNN that packs'
)


@pytest.fixture(scope='module')
def dilated_model(tmp_path_factory):
    """The path of an untrained FCN-8s whose fc6 is dilated."""
    directory = str(tmp_path_factory.mktemp('dilated_model'))
    write_encoder(directory + '/vgg16', 'random', 16, head='3x3x1024', head_dilation=2)
    with FCN8s(vgg16_dir=directory + '/vgg16', num_classes=3, skip_scales=(1.0, 1.0)) as network:
        return network.save(directory, saver='saved_model', name='dilated', force_save=True)


def random_images(size, seed=0, count=1):
    return np.random.RandomState(seed).randint(0, 256, (count, *size, 3)).astype(np.uint8)


def logits_of_each_size(model_dir, precision='bfloat16'):
    """The logits of each size in one session, and how many nodes of each op its graph has."""
    with frozen_network.open_model(model_dir, precision=precision) as model:
        ops = [operation.type for operation in model.graph.get_operations()]
        return [model.run(model.logits, {model.images: random_images(size)}) for size in SIZES], ops


@needs_packing
@pytest.mark.parametrize('network', ['small_model', 'dilated_model'])
def test_predicts_the_same_at_every_size(network, request, monkeypatch):
    model_dir = request.getfixturevalue(network)
    monkeypatch.setattr(freezing, 'MAX_CONSTANT_BYTES', 1000)
    packed, ops = logits_of_each_size(model_dir)
    assert ops.count('_MklNativeFusedConv2D') > 10
    monkeypatch.setattr(packed_filters, '_has_op', lambda: False)
    plain, ops = logits_of_each_size(model_dir)
    assert '_MklNativeFusedConv2D' not in ops
    for ours, reference in zip(packed, plain):
        np.testing.assert_allclose(ours, reference, atol=0.01 * np.abs(reference).max())
    np.testing.assert_array_equal(packed[0], packed[3])


@needs_packing
def test_float32_is_not_packed(small_model, monkeypatch):
    monkeypatch.setattr(freezing, 'MAX_CONSTANT_BYTES', 1000)
    assert '_MklNativeFusedConv2D' not in logits_of_each_size(small_model, 'float32')[1]


@pytest.fixture
def layers():
    """GraphDef of three convolutions of 'images': with a bias and a ReLU, with a bias that two read, without a bias."""
    with tf.Graph().as_default() as graph:
        features = tf.placeholder(tf.bfloat16, [None, None, None, 4], name='images')
        for name in 'abc':
            kernel = tf.get_variable(name + '_kernel', [3, 3, 4, 4], tf.bfloat16, use_resource=True)
            features = tf.nn.conv2d(features, kernel, [1] * 4, 'SAME', name=name)
            if name != 'c':
                features = tf.nn.bias_add(features, tf.constant([1, 2, 3, 4], tf.bfloat16), name=name + '_bias')
                features = tf.nn.relu(features, name=name + '_relu')
        tf.add(graph.get_tensor_by_name('b_bias:0'), features, name='sum')
    return graph.as_graph_def()


@needs_packing
def test_fuses_what_nothing_else_reads(layers):
    assert set(packed_filters.packable_convolutions(layers)) == {'a', 'b'}
    packed_filters.pack_filters(layers)
    nodes = {node.name: node for node in layers.node}
    assert {'a', 'a_bias', 'b'}.isdisjoint(nodes)
    assert list(nodes['a_relu'].attr['fused_ops'].list.s) == [b'BiasAdd', b'Relu']
    assert list(nodes['b_bias'].attr['fused_ops'].list.s) == [b'BiasAdd']
    assert nodes['b_relu'].op == 'Relu' and nodes['c'].op == 'Conv2D'


@needs_packing
def test_fuses_constants_and_nothing_that_a_run_can_change(layers):
    nodes = {node.name: node for node in layers.node}
    of_a, of_b = (nodes[nodes[convolution].input[1]] for convolution in 'ab')
    for node, op in ((of_a, 'Const'), (of_b, 'Placeholder')):
        del node.input[:]
        node.op = op
        node.attr.clear()
        node.attr['dtype'].type = tf.bfloat16.as_datatype_enum
    of_a.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(np.ones([3, 3, 4, 4]), tf.bfloat16))
    packed_filters.pack_filters(layers)
    nodes = {node.name: node for node in layers.node}
    assert nodes['a_relu'].op == '_MklNativeFusedConv2D' and nodes['b'].op == 'Conv2D'


@needs_packing
def test_biases_of_zero_do_not_keep_a_relu_apart(small_model):
    """TensorFlow's optimiser drops them, and no longer fuses what stood around them."""
    with frozen_network.open_model(small_model, precision='bfloat16') as model:
        options, metadata = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), tf.RunMetadata()
        model.session.run(model.class_ids, {model.images: random_images((64, 96))}, options, metadata)
    ran = {
        node.node_name: node.timeline_label for device in metadata.step_stats.dev_stats for node in device.node_stats
    }
    convolutions = [label for name, label in ran.items() if name.startswith('conv') and name.endswith('/Relu')]
    assert len(convolutions) == 13 and all('_MklNativeFusedConv2D' in label for label in convolutions)


@pytest.mark.parametrize('reason', ['off', 'gpu', 'op'])
def test_goes_without_where_it_cannot(layers, monkeypatch, reason):
    packed_filters._has_op.cache_clear()
    if reason == 'off':
        monkeypatch.setattr(packed_filters, 'onednn_is_on', lambda: False)
    elif reason == 'gpu':
        machine = packed_filters.this_machine()._replace(gpus=((9, 0),))
        monkeypatch.setattr(packed_filters, 'this_machine', lambda: machine)
    else:
        monkeypatch.setattr(packed_filters, '_OP', '_NoSuchOp')
    before = layers.SerializeToString(deterministic=True)
    try:
        packed_filters.pack_filters(layers)
    finally:
        packed_filters._has_op.cache_clear()
    assert layers.SerializeToString(deterministic=True) == before


def test_onednn_is_switched_off_by_its_variable():
    program = 'from fcn8s.backend import onednn_is_on; print(onednn_is_on())'
    environment = {**os.environ, 'TF_ENABLE_ONEDNN_OPTS': '0'}
    assert subprocess.check_output([sys.executable, '-c', program], env=environment).split() == [b'False']
