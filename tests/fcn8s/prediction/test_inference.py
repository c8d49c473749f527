"""The inference graph against the saved graph as TensorFlow itself loads it."""

import copy
import functools
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from precisions import needs_bfloat16

from fcn8s import FCN8s
from fcn8s.backend import TF_VERSION, tf
from fcn8s.graph import products
from fcn8s.graph.graph_defs import extract_sub_graph
from fcn8s.prediction import freezing, frozen_network
from fcn8s.saving.restoring import feed_initializer
from fcn8s.saving.runs import resolve_model


def random_images(shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape + (3,)).astype(np.uint8)


@pytest.fixture(scope='module')
def saved(small_model):
    """`predict(images)` -> (logits, soft-max, class IDs) of the graph as it was saved."""
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        tf.saved_model.loader.load(session, ['default'], small_model)
        names = ['decoder/fcn8s_output:0', 'predictor/softmax_output:0', 'predictor/class_ids:0']
        yield lambda images: session.run(names, {'images_uint8:0': images})


@pytest.fixture(params=['constants', 'variables', 'blocks', 'products', 'products, weights first'])
def kind_of_weights(request, monkeypatch):
    """The small network's filters held in each of the ways in which a full-width network holds its."""
    if request.param != 'constants':
        monkeypatch.setattr(freezing, 'MAX_CONSTANT_BYTES', 1000)
    are_split = request.param == 'blocks'
    monkeypatch.setattr(freezing, '_gains_by_blocks', lambda _, filters: are_split and filters.shape[-1] % 4 == 0)
    monkeypatch.setattr(freezing, 'BLOCK_CHANNELS', 4)
    kind, _, first = request.param.partition(', ')
    monkeypatch.setattr(freezing, 'weights_come_first', lambda dtype: bool(first))
    if kind == 'products':
        monkeypatch.setattr(products, 'MAX_CONVOLUTION_BYTES', 20000)
    return kind


def test_predicts_what_the_saved_graph_predicts(small_model, saved, kind_of_weights):
    with frozen_network.open_model(small_model) as model:
        kinds = [operation.type for operation in model.graph.get_operations()]
        is_split, is_product = kind_of_weights in ('blocks', 'products'), kind_of_weights == 'products'
        assert ('Unpack' in kinds, 'MatMul' in kinds) == (is_split, is_product)
        for shape in ((1, 1, 1), (2, 33, 47), (1, 64, 96), (1, 260, 70)):
            check_prediction(model, random_images(shape), saved)


def check_prediction(model, images, saved):
    logits, probabilities, class_ids = saved(images)
    np.testing.assert_allclose(model.run(model.logits, {model.images: images}), logits, atol=1e-4)
    np.testing.assert_allclose(model.predict(images, argmax=False), probabilities, atol=1e-5)
    predicted = model.predict(images)
    assert predicted.dtype == np.uint8
    certain = np.diff(np.sort(logits, axis=-1)[..., -2:], axis=-1)[..., 0] > 1e-3
    np.testing.assert_array_equal(predicted[certain], class_ids[certain])
    assert len(np.unique(class_ids)) > 1 or images.size == 3


@needs_bfloat16
def test_bfloat16_is_close_to_float32(small_model, saved, kind_of_weights):
    images = random_images((2, 64, 96))
    logits = saved(images)[0]
    with frozen_network.open_model(small_model, precision='bfloat16') as model:
        found = model.run(model.logits, {model.images: images})
        types = {node.attr['T'].type for node in model.graph.as_graph_def().node if node.op in ('Conv2D', 'MatMul')}
    assert found.dtype == np.float32
    assert types == {tf.bfloat16.as_datatype_enum}
    # bfloat16 has 8 bits of mantissa; fifteen layers leave a few of them.
    assert 0 < np.abs(found - logits).max() < 0.05 * np.abs(logits).max()


def test_graph_has_no_training_nodes_and_draws_no_random_number(small_model, monkeypatch):
    monkeypatch.setattr(freezing, '_gains_by_blocks', lambda *_: False)
    with frozen_network.open_model(small_model) as model:
        ops = {operation.type for operation in model.graph.get_operations()}
        placeholders = [operation.name for operation in model.graph.get_operations() if operation.type == 'Placeholder']
    assert not {op for op in ops if 'Random' in op or 'Gradient' in op or 'Apply' in op}
    assert placeholders == ['images_uint8']
    assert 'VarHandleOp' not in ops, 'the filters of a small network are constants'


def test_class_ids_do_not_need_the_soft_max(small_model):
    with frozen_network.open_model(small_model) as model:
        needed = extract_sub_graph(model.graph.as_graph_def(), [model.class_ids.op.name])
    assert 'Softmax' not in {node.op for node in needed.node}


def test_an_opened_model_says_what_it_is(small_model):
    with frozen_network.open_model(small_model) as model:
        assert model.num_classes == 20 and model.label_space.name == 'cityscapes20'
        assert model.images.dtype == tf.uint8 and model.class_ids.dtype == tf.uint8
        assert model.info()['num_classes'] == 20
        assert model.precision == 'float32' and model.model_dir == small_model
        assert model.logits.shape.as_list()[-1] == 20


def test_nodes_can_be_added_after_predicting(small_model):
    with frozen_network.open_model(small_model) as model:
        images = random_images((1, 8, 8))
        model.predict(images)
        with model.graph.as_default():
            largest = tf.reduce_max(model.logits)
        assert np.isfinite(model.run(largest, {model.images: images}))


def test_closing_twice_is_fine_and_predicting_afterwards_is_not(small_model):
    model = frozen_network.open_model(small_model)
    for copied in (copy.copy, pickle.dumps):  # which would close each other
        with pytest.raises(TypeError, match=r'cannot be copied .* Open it there: fcn8s.open_model\('):
            copied(model)
    model.close()
    model.close()
    images = random_images((1, 4, 4))
    run = functools.partial(model.run, model.class_ids, {model.images: images})
    for call in (lambda: model.predict(images), run, model.__enter__):
        with pytest.raises(ValueError, match='the network of .* was closed, .* Open it again: fcn8s.open_model'):
            call()


def test_refuses_an_unknown_precision(small_model):
    with pytest.raises(ValueError, match="precision is 'float64'; predictions are computed in float32 or bfloat16"):
        frozen_network.open_model(small_model, precision='float64')


@pytest.mark.skipif(TF_VERSION >= (2, 0), reason='TensorFlow 1.15 only')
def test_tensorflow_1_refuses_bfloat16(small_model):
    with pytest.raises(ValueError, match='TensorFlow 1.15 has no bfloat16 convolutions'):
        frozen_network.open_model(small_model, precision='bfloat16')


def test_refuses_what_is_no_saved_fcn8s(tmp_path, tiny_encoder):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        frozen_network.open_model(str(tmp_path / 'nowhere'))
    with pytest.raises(ValueError, match='holds no fcn8s.json'):
        frozen_network.open_model(tiny_encoder)


def test_a_file_of_a_model_is_answered_with_its_folder(small_model, tiny_encoder):
    file = os.path.join(small_model, 'saved_model.pb')
    for opens in (frozen_network.open_model, resolve_model):
        with pytest.raises(ValueError, match='is one file of a saved FCN-8s or an export. Pass its folder: ') as raised:
            opens(file)
        assert repr(small_model) in str(raised.value)
    with pytest.raises(
        ValueError, match='saved_model.pb. is a file. Pass the folder that saved_model.pb and variables'
    ):
        FCN8s(vgg16_dir=os.path.join(tiny_encoder, 'saved_model.pb'), num_classes=2)


@pytest.mark.parametrize('max_constant_bytes', [freezing.MAX_CONSTANT_BYTES, 1000])
def test_names_the_variables_that_are_damaged(small_model, tmp_path, monkeypatch, max_constant_bytes):
    """Weights that are read in Python, and large filters, which an op reads."""
    monkeypatch.setattr(freezing, 'MAX_CONSTANT_BYTES', max_constant_bytes)
    broken = str(tmp_path / 'broken')
    shutil.copytree(small_model, broken)
    data = os.path.join(broken, 'variables', 'variables.data-00000-of-00001')
    os.truncate(data, os.path.getsize(data) // 2)
    with pytest.raises(ValueError, match='are missing or damaged or do not fit the graph'):
        frozen_network.open_model(broken)


def test_weights_that_are_no_numbers_are_refused(tiny_encoder, tmp_path, monkeypatch):
    """They would predict the first class everywhere. Large filters are not looked at in Python."""
    monkeypatch.setattr(freezing, 'MAX_CONSTANT_BYTES', 1000)
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=2) as model:
        for name in ('fc6/weights', 'fc6/biases'):
            weights = next(variable for variable in model.model.weights if variable.op.name == name)
            value = model.sess.run(weights)
            feed_initializer(model.sess, weights, np.where(np.arange(value.size).reshape(value.shape), value, np.nan))
            path = model.save(str(tmp_path / name.replace('/', '_')))
            with pytest.raises(ValueError, match='the variables .* hold NaN or infinite values in ' + name):
                frozen_network.open_model(path)
            feed_initializer(model.sess, weights, value)


def test_refuses_other_tags(small_model):
    with pytest.raises(ValueError, match="no graph with the tags \\['training'\\]"):
        frozen_network.open_model(small_model, tags=['training'])


SERVE = """
import sys
import numpy as np, tensorflow.compat.v1 as tf
model_dir, images_path, out_path = sys.argv[1:]
graph = tf.Graph()
with graph.as_default(), tf.Session(graph=graph) as session:
    meta_graph = tf.saved_model.loader.load(session, ['default'], model_dir)
    signature = meta_graph.signature_def['serving_default']
    fetches = {name: info.name for name, info in signature.outputs.items()}
    values = session.run(fetches, {signature.inputs['images'].name: np.load(images_path)})
assert 'fcn8s' not in sys.modules
np.savez(out_path, **values)
"""


def serve(python, model_dir, images, tmp_path):
    np.save(str(tmp_path / 'images.npy'), images)
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    subprocess.run(
        [python, '-c', SERVE, model_dir, str(tmp_path / 'images.npy'), str(tmp_path / 'out.npz')],
        check=True,
        env=environment,
        cwd=str(tmp_path),
    )
    return np.load(str(tmp_path / 'out.npz'))


def test_serving_signature_works_without_this_library(small_model, saved, tmp_path):
    images = random_images((2, 19, 35))
    _, probabilities, class_ids = saved(images)
    served = serve(sys.executable, small_model, images, tmp_path)
    assert served['class_ids'].dtype == np.uint8
    np.testing.assert_array_equal(served['class_ids'], class_ids)
    np.testing.assert_allclose(served['probabilities'], probabilities, atol=1e-6)


def test_serving_signature_works_in_the_other_tensorflow(small_model, saved, tmp_path, other_python):
    images = random_images((2, 19, 35))
    _, probabilities, _ = saved(images)
    served = serve(other_python, small_model, images, tmp_path)
    np.testing.assert_allclose(served['probabilities'], probabilities, atol=1e-4)


OPEN = """
import sys
import numpy as np
from fcn8s.prediction.frozen_network import open_model
model_dir, images_path, out_path = sys.argv[1:]
with open_model(model_dir) as model:
    np.save(out_path, model.run(model.logits, {model.images: np.load(images_path)}))
"""


def test_a_model_written_here_predicts_the_same_in_the_other_tensorflow(small_model, saved, tmp_path, other_python):
    images = random_images((1, 45, 64))
    paths = [str(tmp_path / name) for name in ('images.npy', 'logits.npy')]
    np.save(paths[0], images)
    subprocess.run([other_python, '-c', OPEN, small_model] + paths, check=True, cwd=str(tmp_path))
    np.testing.assert_allclose(np.load(paths[1]), saved(images)[0], atol=1e-4)


@pytest.mark.skipif(TF_VERSION < (2, 0), reason='no bfloat16 convolutions')
def test_a_config_without_gpus_is_judged_by_the_cpu(small_model, monkeypatch):
    monkeypatch.setattr(tf.config.experimental, 'list_physical_devices', lambda kind: ['a GPU'])
    monkeypatch.setattr(
        tf.config.experimental, 'get_device_details', lambda device: {'compute_capability': (8, 0)}, raising=False
    )
    monkeypatch.setattr('fcn8s.precision._cpu_flags', lambda: frozenset(['avx2']))
    with pytest.raises(ValueError, match='this CPU has no bfloat16 arithmetic'):
        frozen_network.open_model(
            small_model, precision='bfloat16', session_config=tf.ConfigProto(device_count={'GPU': 0})
        )


@needs_bfloat16
@pytest.mark.parametrize('flag', ['amx_bf16', 'avx512_bf16'])
def test_products_in_bfloat16_are_the_same_in_either_order(small_model, saved, monkeypatch, flag):
    monkeypatch.setattr(freezing, 'MAX_CONSTANT_BYTES', 1000)
    monkeypatch.setattr(products, 'MAX_CONVOLUTION_BYTES', 20000)
    machine = freezing.this_machine()._replace(cpu_flags=frozenset([flag]))
    monkeypatch.setattr(freezing, 'this_machine', lambda: machine)
    images = random_images((1, 64, 96))
    with frozen_network.open_model(small_model, precision='bfloat16') as model:
        operands = [
            [source.split('/')[-1] for source in node.input]
            for node in model.graph.as_graph_def().node
            if node.op == 'MatMul'
        ]
        logits = model.run(model.logits, {model.images: images})
    assert operands and all(names[1].startswith('unstack') == (flag == 'amx_bf16') for names in operands)
    exact = saved(images)[0]
    np.testing.assert_allclose(logits, exact, atol=0.05 * np.abs(exact).max())


@pytest.mark.parametrize('is_split', [True, False])
def test_filters_that_are_split_are_held_once_from_a_smaller_size_on(small_model, monkeypatch, is_split):
    monkeypatch.setattr(freezing, 'MAX_WHOLE_BYTES', 1000)
    monkeypatch.setattr(freezing, '_gains_by_blocks', lambda _, filters: is_split and filters.shape[-1] % 4 == 0)
    monkeypatch.setattr(freezing, 'BLOCK_CHANNELS', 4)
    with frozen_network.open_model(small_model) as model:
        kinds = [operation.type for operation in model.graph.get_operations()]
    assert ('VarHandleOp' in kinds) == is_split


@pytest.mark.parametrize('precision', ['float32', pytest.param('bfloat16', marks=needs_bfloat16)])
@pytest.mark.parametrize('is_given_back', [True, False])
def test_rows_of_a_filter_are_transposed_in_their_own_memory(monkeypatch, precision, is_given_back):
    if not is_given_back:
        monkeypatch.setattr(freezing, 'give_back', lambda array: False)
    dtype = tf.as_dtype(precision).as_numpy_dtype
    rows = np.random.RandomState(0).randn(3, 200, 130).astype(np.float32)
    expected = rows.astype(dtype).transpose(0, 2, 1)
    results = freezing._transpose_in_place(rows, dtype)
    assert np.shares_memory(results, rows) == (is_given_back or precision == 'float32')
    np.testing.assert_array_equal(results, expected)


@pytest.mark.parametrize('kernel', [(7, 7), (4, 3), (1, 1)])
@pytest.mark.parametrize('size', [(1, 5), (3, 4), (9, 6)])
@pytest.mark.parametrize('weights_first', [False, True])
def test_a_product_for_each_row_of_a_filter_is_its_convolution(monkeypatch, weights_first, kernel, size):
    monkeypatch.setattr(freezing, 'weights_come_first', lambda dtype: weights_first)
    random = np.random.RandomState(0)
    features = random.randn(2, *size, 8).astype(np.float32)
    weights = random.randn(*kernel, 8, 5).astype(np.float32)
    filters = freezing.LargeFilter('weights', weights.shape, tf.float32, is_product=True)
    with tf.Graph().as_default(), tf.Session() as session:
        rows = weights.reshape(kernel[0], -1, 5)
        value = tf.constant(rows.transpose(0, 2, 1) if weights_first else rows)
        session.run(tf.raw_ops.AssignVariableOp(resource=filters.handle(), value=value))
        placeholder = tf.placeholder(tf.float32, [None, None, None, 8])
        both = freezing._product(filters, placeholder), tf.nn.conv2d(placeholder, weights, strides=1, padding='SAME')
        product, convolution = session.run(both, {placeholder: features})
    np.testing.assert_allclose(product, convolution, rtol=1e-4, atol=1e-4)
