"""The exported SavedModel from outside: programs that do not have this library."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fcn8s.backend import TF_VERSION
from helpers.images import write_image

# Each program gets the export, and images.npy and answers in the folder that it runs in.
PRELUDE = """
import numpy as np
import sys
export = sys.argv[1]
images = [np.load('image{}.npy'.format(number)) for number in range(2)]
answers = [np.load('answer{}.npy'.format(number)) for number in range(2)]
difference = lambda values: max(float(np.abs(v - a).max()) for v, a in zip(values, answers))
"""
AFTERWORD = """
assert 'fcn8s' not in sys.modules
print('RESULT {}', RESULT)
"""
PROGRAMS = {
    'tf.saved_model.load': """
import tensorflow as tf
function = tf.saved_model.load(export).signatures['serving_default']
RESULT = difference(function(images=tf.constant(image[None]))['probabilities'].numpy()[0] for image in images)
""",
    'the loader of version 1': """
import tensorflow.compat.v1 as tf
with tf.Graph().as_default(), tf.Session() as session:
    tf.saved_model.loader.load(session, ['serve'], export)
    RESULT = difference(session.run('probabilities:0', {'images:0': image[None]})[0] for image in images)
""",
    'TFSMLayer': """
import tensorflow as tf
layer = tf.keras.layers.TFSMLayer(export, call_endpoint='serving_default')
RESULT = difference(np.array(layer(image[None])['probabilities'])[0] for image in images)
""",
    'the TFLite converter': """
import tensorflow as tf
RESULT = 0
for image, answer in zip(images, answers):
    converter = tf.lite.TFLiteConverter.from_saved_model(export, signature_keys=['serving_default'])
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    details = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(details['index'], (1,) + image.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(details['index'], image[None])
    interpreter.invoke()
    outputs = [interpreter.get_tensor(output['index']) for output in interpreter.get_output_details()]
    RESULT = max(RESULT, min(float(np.abs(o[0] - answer).max()) for o in outputs if o.shape[1:] == answer.shape))
""",
    'OpenVINO': """
import openvino
model = openvino.Core().compile_model(export, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
RESULT = difference(model(image[None])['probabilities'][0] for image in images)
""",
    'tf2onnx': """
import onnxruntime, tf2onnx.convert
sys.argv[1:] = ['--saved-model', export, '--signature_def', 'serving_default', '--output', 'model.onnx', '--opset', '18']
tf2onnx.convert.main()
session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])
RESULT = difference(session.run(['probabilities'], {'images': image[None]})[0][0] for image in images)
""",
}
# Programs of one process, and the package that it needs besides TensorFlow.
PROCESSES = {
    'TensorFlow': (('tf.saved_model.load', 'the loader of version 1', 'TFSMLayer', 'the TFLite converter'), None),
    'OpenVINO': (('OpenVINO',), 'openvino'),
    'tf2onnx': (('tf2onnx',), 'tf2onnx'),
}


@pytest.fixture(scope='module')
def outside(tmp_path_factory, pictures, answers):
    """A folder without this library, with images and what TensorFlow answered."""
    folder = tmp_path_factory.mktemp('outside')
    for number, (image, (_, probabilities)) in enumerate(zip(pictures, answers)):
        np.save(str(folder / 'image{}.npy'.format(number)), image)
        np.save(str(folder / 'answer{}.npy'.format(number)), probabilities)
    return str(folder)


def run_outside(folder, program, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        [sys.executable, '-c', program] + list(arguments),
        check=False,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize('process', sorted(PROCESSES))
def test_tools_that_know_nothing_of_this_library_predict_the_same(export, outside, process):
    tools, package = PROCESSES[process]
    if package is not None:
        pytest.importorskip(package)
    programs = [PROGRAMS[tool] + AFTERWORD.format(tool) for tool in tools]
    printed = run_outside(outside, PRELUDE + ''.join(programs), export('saved_model'))
    differences = dict(line[len('RESULT ') :].rsplit(' ', 1) for line in printed if line.startswith('RESULT '))
    assert set(differences) == set(tools)
    assert {tool: difference for tool, difference in differences.items() if not float(difference) < 1e-5} == {}


def test_every_program_is_run():
    assert sorted(tool for tools, _ in PROCESSES.values() for tool in tools) == sorted(PROGRAMS)


# Two programs of one process.
WRONG_SHAPES = """
import sys
import tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures['serving_default']
graph_def = tf.compat.v1.GraphDef.FromString(open(sys.argv[2] + '/model.pb', 'rb').read())
frozen = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=''), [])
for function in (lambda images: signature(images=images), frozen.prune('images:0', 'class_ids:0')):
    for shape in ([45, 70, 3], [1, 45, 70, 4], [1, 3, 45, 70]):
        try:
            function(tf.zeros(shape, tf.uint8))
        except tf.errors.InvalidArgumentError as error:
            print([line for line in error.message.splitlines() if 'Shape of tensor' in line][-1])
"""


@pytest.fixture(scope='module')
def printed(export, outside, pictures):
    """What WRONG_SHAPES and ENCODED print."""
    for name in ('picture.png', 'picture.jpg'):
        write_image(os.path.join(outside, name), pictures[0])
    return run_outside(outside, WRONG_SHAPES + ENCODED, export('saved_model'), export('frozen'))


def test_images_of_another_shape_are_refused_and_do_not_end_the_process(printed):
    shapes = ('[45,70,3]', '[1,45,70,4]', '[1,3,45,70]')
    expected = ['Shape of tensor images {} is not compatible with expected shape [?,?,?,3].'.format(s) for s in shapes]
    assert [line.strip() for line in printed] == 2 * expected


ENCODED = """
import numpy as np
import sys
import tensorflow as tf
function = tf.saved_model.load(sys.argv[1]).signatures['encoded']
for name in ('picture.png', 'picture.jpg'):
    content = open(name, 'rb').read()
    pngs = function(image_bytes=tf.constant([content, content]))['class_ids_bytes'].numpy()
    assert pngs[0] == pngs[1]
    open(name + '.ids.png', 'wb').write(pngs[1])
assert 'fcn8s' not in sys.modules
"""


def test_image_files_in_png_files_out(printed, outside, answers, narrow_model):
    from fcn8s.backend import tf
    from fcn8s.prediction.frozen_network import open_model
    from helpers.images import read_labels

    np.testing.assert_array_equal(read_labels(os.path.join(outside, 'picture.png.ids.png')), answers[0][0])
    with open(os.path.join(outside, 'picture.jpg'), 'rb') as file, tf.Graph().as_default(), tf.Session() as session:
        decoded = session.run(tf.image.decode_jpeg(file.read(), channels=3))
    with open_model(narrow_model) as model:
        expected = model.predict([decoded])[0]
    np.testing.assert_array_equal(read_labels(os.path.join(outside, 'picture.jpg.ids.png')), expected)


def write_grey_encoder(path):
    """One channel, and variables of TensorFlow 1's older kind, as published encoders have them."""
    from fcn8s.backend import tf

    with tf.Graph().as_default(), tf.Session() as session:
        features = tf.placeholder(tf.float32, [None, None, None, 1], name='image_input')
        tf.placeholder(tf.float32, name='keep_prob')
        for level in range(1, 6):
            shape = [3, 3, features.shape.as_list()[-1], 4]
            kernel = tf.get_variable('kernel{}'.format(level), shape, use_resource=False)
            convolved = tf.nn.relu(tf.nn.conv2d(features, kernel, [1, 1, 1, 1], 'SAME'))
            features = tf.nn.max_pool(convolved, [1, 2, 2, 1], [1, 2, 2, 1], 'SAME')
            tf.identity(features, name={3: 'layer3_out', 4: 'layer4_out', 5: 'layer7_out'}.get(level))
        session.run(tf.global_variables_initializer())
        builder = tf.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ['vgg16'])
        builder.save()


@pytest.mark.skipif(TF_VERSION < (2, 0), reason='exports are made on TensorFlow 2')
def test_a_grey_network_with_variables_of_the_older_kind(tmp_path, pictures):
    import tensorflow

    import fcn8s
    from fcn8s.export.exporting import export_model
    from helpers.image_rules import ImageRules
    from helpers.images import read_labels

    write_grey_encoder(str(tmp_path / 'encoder'))
    with fcn8s.FCN8s(
        vgg16_dir=str(tmp_path / 'encoder'), num_classes=3, seed=1, image_rules=ImageRules(channels=1)
    ) as network:
        model = network.save(str(tmp_path), name='grey', force_save=True)
    export_model(model, str(tmp_path / 'export'))
    grey = pictures[0][..., :1]
    with fcn8s.open_model(model) as reference, fcn8s.FCN8s(model_load_dir=str(tmp_path / 'export')) as exported:
        expected = reference.predict([grey])
        np.testing.assert_array_equal(exported.predict([grey]), expected)
    function = tensorflow.saved_model.load(str(tmp_path / 'export')).signatures['encoded']
    for name in ('picture.jpg', 'picture.png'):
        write_image(str(tmp_path / name), pictures[0][..., [0, 0, 0]])
        content = (tmp_path / name).read_bytes()
        pngs = function(image_bytes=tensorflow.constant([content, content]))['class_ids_bytes'].numpy()
        assert pngs[0] == pngs[1]
    (tmp_path / 'ids.png').write_bytes(pngs[1])
    np.testing.assert_array_equal(read_labels(str(tmp_path / 'ids.png')), expected[0])


def test_the_graph_is_for_prediction_only(export):
    from fcn8s.backend import tf
    from fcn8s.saving.saved_models import read_meta_graph

    meta_graph = read_meta_graph(export('saved_model'), ['serve'], trust=True)
    ops = {node.op for node in meta_graph.graph_def.node}
    names = {node.name for node in meta_graph.graph_def.node}
    functions = {node.op for function in meta_graph.graph_def.library.function for node in function.node_def}
    assert not [op for op in ops | functions if 'Random' in op or op.startswith('Apply')]
    assert 'keep_prob' not in names
    placeholders = {node.name: node.op for node in meta_graph.graph_def.node if node.op.startswith('Placeholder')}
    # The Saver's own is for the path of the variables.
    assert {name for name in placeholders if not name.startswith('save')} == {'images', 'image_bytes'}
    assert set(meta_graph.signature_def) == {'serving_default', 'encoded'}
    assert set(meta_graph.collection_def) == {tf.GraphKeys.GLOBAL_VARIABLES}
    assert list(meta_graph.meta_info_def.tags) == ['serve']
    signature = meta_graph.signature_def['serving_default']
    assert {name: info.dtype for name, info in signature.inputs.items()} == {'images': tf.uint8.as_datatype_enum}
    assert [dim.size for dim in signature.inputs['images'].tensor_shape.dim] == [-1, -1, -1, 3]
    assert set(signature.outputs) == {'class_ids', 'probabilities', 'logits'}


def read_message(content):
    """The fields of a serialised protobuf message whose fields are all length-delimited: [(number, bytes)]."""
    fields, position = [], 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = content[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(content):
        key = varint()
        assert key & 7 == 2
        length = varint()
        fields.append((key >> 3, content[position : position + length]))
        position += length
    return fields


def test_tensorflow_serving_finds_a_version_and_requests_to_warm_up_with(export):
    from fcn8s.backend import tf

    path = export('saved_model')
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]  # all folders beside it would be versions
    records = list(tf.io.tf_record_iterator(os.path.join(path, 'assets.extra', 'tf_serving_warmup_requests')))
    found = {}
    for record in records:
        ((predict_log, log),) = read_message(record)
        ((request_field, request),) = read_message(log)
        assert (predict_log, request_field) == (6, 1)
        (spec, model_spec), *inputs = read_message(request)
        ((signature_name, name),) = read_message(model_spec)
        assert (spec, signature_name) == (1, 3)
        for number, entry in inputs:
            (_, key), (_, value) = read_message(entry)
            assert number == 2
            tensor = type(tf.make_tensor_proto(0)).FromString(value)
            found[name.decode(), key.decode()] = tf.make_ndarray(tensor)
    images = found['serving_default', 'images']
    assert images.dtype == np.uint8 and images.ndim == 4
    assert found['encoded', 'image_bytes'][0].startswith(b'\x89PNG')
    assert len(found) == 2


def test_each_generation_of_tensorflow_opens_it(export, other_python, outside, pictures, answers):
    """`fcn8s.open_model` and the loader of version 1, in the other generation."""
    program = """
import sys, numpy as np, fcn8s
images = [np.load('image{}.npy'.format(number)) for number in range(2)]
for path in sys.argv[1:]:
    with fcn8s.open_model(path) as model:
        for number, image in enumerate(images):
            ids = model.predict([image])[0]
            np.testing.assert_array_equal(ids, np.load('answer{}.npy'.format(number)).argmax(-1))
        print(model.engine)
from fcn8s.backend import tf
with tf.Graph().as_default(), tf.Session() as session:
    tf.saved_model.loader.load(session, ['serve'], sys.argv[1])
    content = open('one.png', 'rb').read()
    assert session.run('class_ids_bytes:0', {'image_bytes:0': [content]})[0].startswith(b'\\x89PNG')
"""
    write_image(os.path.join(outside, 'one.png'), pictures[0])
    done = subprocess.run(
        [other_python, '-c', program, export('saved_model'), export('frozen')],
        check=False,
        cwd=outside,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ['tensorflow', 'tensorflow']


@pytest.mark.skipif(TF_VERSION >= (2, 0), reason='this is what TensorFlow 1.15 says')
def test_version_1_refuses_to_export(narrow_model, tmp_path):
    from fcn8s.export.exporting import export_model

    with pytest.raises(ValueError, match='exports are made on TensorFlow >= 2.16'):
        export_model(narrow_model, str(tmp_path / 'out'))
    assert not os.listdir(str(tmp_path))


def test_description_says_what_it_is(export):
    with open(os.path.join(export('saved_model'), 'fcn8s.json'), encoding='utf-8') as file:
        description = json.load(file)
    assert description['export'] == {
        'format': 'saved_model',
        'precision': 'float32',
        'size': None,
        'input_size': None,
    }
