"""Convolutions as products, against loops in NumPy and against the convolutions that they replace."""

import numpy as np
import pytest

from fcn8s import FCN8s
from fcn8s.backend import tf
from fcn8s.graph import products
from fcn8s.saving.saved_models import read_meta_graph


def test_patches_are_what_lies_around_each_position():
    features = np.random.RandomState(0).rand(2, 3, 4, 2).astype(np.float32)
    height, width = 3, 4
    padded = np.zeros((2, 5, 7, 2), np.float32)
    padded[:, 1:4, 1:5] = features  # SAME: of an even kernel the odd zero comes last
    expected = [
        padded[image, y : y + height, x : x + width].reshape(-1)
        for image in range(2)
        for y in range(3)
        for x in range(4)
    ]
    with tf.Graph().as_default(), tf.Session() as session:
        patches = products.patches_of(tf.constant(features), height, width)
        assert patches.shape.as_list()[1] == 24
        np.testing.assert_array_equal(session.run(patches), expected)


def exported(kernel_shape, strides=1, padding='SAME'):
    """The MetaGraphDef of a convolution with its bias."""
    with tf.Graph().as_default():
        features = tf.placeholder(tf.float32, [None, None, None, kernel_shape[2]], name='features')
        kernel = tf.get_variable('kernel', kernel_shape, use_resource=True)
        outputs = tf.nn.conv2d(features, kernel, [1, strides, strides, 1], padding, name='convolution')
        tf.identity(tf.nn.bias_add(outputs, tf.ones(kernel_shape[3])), name='biased')
        return tf.train.export_meta_graph()


def values_of(meta_graph, features, kernel):
    """(outputs, gradient of the features, gradient of the kernel) of the sum of squares."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.import_meta_graph(meta_graph)
        (variable,) = tf.trainable_variables()
        variable.load(kernel, session)
        fed = session.graph.get_tensor_by_name('features:0')
        biased = session.graph.get_tensor_by_name('biased:0')
        gradients = tf.gradients(tf.reduce_sum(tf.square(biased)), [fed, variable])
        return session.run([biased] + [tf.convert_to_tensor(gradient) for gradient in gradients], {fed: features})


@pytest.mark.parametrize('kernel_shape', [(7, 7, 3, 5), (1, 1, 4, 6), (2, 4, 3, 2)])
@pytest.mark.parametrize('weights_first', [False, True])
def test_a_product_is_the_convolution_forwards_and_backwards(monkeypatch, weights_first, kernel_shape):
    monkeypatch.setattr(products, 'weights_come_first', lambda dtype: weights_first)
    monkeypatch.setattr(products, 'MAX_CONVOLUTION_BYTES', 4)
    random = np.random.RandomState(1)
    kernel = random.normal(size=kernel_shape).astype(np.float32)
    features = random.normal(size=(2, 4, 5, kernel_shape[2])).astype(np.float32)
    meta_graph = exported(kernel_shape)
    changed = products.with_products(meta_graph)
    ops = {node.name: node.op for node in changed.graph_def.node}
    assert 'Conv2D' not in ops.values() and 'MatMul' in ops.values() and ops['convolution'] == 'Identity'
    for found, exact in zip(values_of(changed, features, kernel), values_of(meta_graph, features, kernel)):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4 * np.abs(exact).max())
    with tf.Graph().as_default() as graph:
        tf.train.import_meta_graph(changed)
        filters = products.filter_of(graph.get_operation_by_name('convolution'))
        assert filters.shape.as_list() == list(kernel_shape)


@pytest.mark.parametrize(
    'expected, dtype, changes',
    [
        (True, tf.float32, {}),
        (False, tf.bfloat16, {}),
        (False, tf.float32, {'cpu_flags': frozenset(['avx2', 'avx512f'])}),
        (False, tf.float32, {'cpu_flags': frozenset()}),  # Arm
        (False, tf.float32, {'gpus': ((8, 0),)}),
    ],
)
def test_weights_come_first_on_processors_without_avx512(monkeypatch, expected, dtype, changes):
    machine = products.this_machine()._replace(**dict({'cpu_flags': frozenset(['avx2']), 'gpus': ()}, **changes))
    monkeypatch.setattr(products, 'this_machine', lambda: machine)
    assert products.weights_come_first(dtype) == expected


def test_small_filters_and_other_convolutions_stay(monkeypatch):
    meta_graph = exported((3, 3, 4, 4))
    assert products.with_products(meta_graph).graph_def == meta_graph.graph_def
    monkeypatch.setattr(products, 'MAX_CONVOLUTION_BYTES', 4)
    for options in (dict(strides=2), dict(padding='VALID')):
        meta_graph = exported((3, 3, 4, 4), **options)
        assert products.with_products(meta_graph).graph_def == meta_graph.graph_def


def test_a_network_trains_with_products_as_without_and_files_do_not_show_it(tiny_encoder, tmp_path, monkeypatch):
    random = np.random.RandomState(2)
    images = random.randint(256, size=(2, 40, 72, 3)).astype(np.uint8)
    labels = random.randint(3, size=(2, 40, 72)).astype(np.uint8)

    def train(name):
        with FCN8s(vgg16_dir=tiny_encoder, num_classes=3) as model:
            ops = [operation.type for operation in model.graph.get_operations()]
            (record,) = model.train(iter([(images, labels)] * 3), 1, 3, lambda step: 1e-3, keep_prob=0.5)
            path = model.save(str(tmp_path), 'saved_model', name=name, force_save=True)
            return ops.count('MatMul'), record['training_loss'], read_meta_graph(path, ['default']).graph_def

    num_without, loss, graph_def = train('without')
    monkeypatch.setattr(products, 'MAX_CONVOLUTION_BYTES', 20000)
    num_with, loss_with, graph_def_with = train('with')
    assert num_with > num_without
    assert loss_with == pytest.approx(loss, rel=1e-5)
    assert graph_def_with == graph_def
    assert not any('_gradient_op_type' in node.attr for node in graph_def.node)  # of `fcn8s.graph.upsampling`
