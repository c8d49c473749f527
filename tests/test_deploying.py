"""docs/deploying.md: its commands are run and each program predicts what TensorFlow does.

Programs run in processes of their own, which do not find this library.
"""

import base64
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image
from small_models import randomize_decoder
from workplace import read_page, shell_commands, working_in

from fcn8s.backend import TF_VERSION
from helpers.images import read_image, write_image

NAMES = ['road', 'car', 'tree', 'sky', 'person']
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TF_VERSION < (2, 0), reason='exports are made on TensorFlow 2'),
]


def section(heading):
    return read_page('deploying.md').split('\n## {}\n'.format(heading))[1].split('\n## ')[0]


def programs(heading, language):
    """The blocks under a heading."""
    return re.findall(r'^```{}\n(.*?)^```'.format(language), section(heading), re.MULTILINE | re.DOTALL)


def program(heading, language):
    """The block under a heading."""
    (block,) = programs(heading, language)
    return block


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with the model `runs/first`, a photo and images to calibrate with."""
    from fcn8s import FCN8s, write_encoder
    from fcn8s.export.samples import generated_images
    from helpers.label_spaces import generic_label_space

    place = str(tmp_path_factory.mktemp('deploying'))
    encoder = os.path.join(place, 'encoder')
    write_encoder(encoder, weights='random', width_divisor=64, seed=0)
    with FCN8s(vgg16_dir=encoder, label_space=generic_label_space(5, class_names=NAMES)) as network:
        randomize_decoder(network, seed=3, deviation=0.3)
        saved = network.save(os.path.join(place, 'saved'), force_save=True)
    shutil.move(saved, os.path.join(place, 'runs', 'first'))
    for number, image in enumerate(generated_images(4)):
        write_image(os.path.join(place, 'calibration', '{}.png'.format(number)), image)
    write_image(os.path.join(place, 'photo.jpg'), generated_images(1, seed=9)[0][:64, :90])
    return place


@pytest.fixture(scope='module')
def exports(place):
    """The folder after the page's commands, without those whose packages are missing."""
    from fcn8s.cli import main
    from fcn8s.export.formats import check_packages

    with working_in(place):
        for command in shell_commands(read_page('deploying.md')):
            words = shlex.split(command)[1:]
            if 'camvid' in command:
                continue
            needed = [name for name in ('onnx', 'tflite', 'openvino') if name in command]
            try:
                for name in needed:
                    check_packages(name, 'int8' if 'int8' in words else 'float32')
            except ImportError:
                continue
            assert main(words) == 0, command
    return place


@pytest.fixture(scope='module')
def expected(place):
    """uint8 [H, W]: the class IDs of the photo."""
    import fcn8s

    with fcn8s.open_model(os.path.join(place, 'runs', 'first')) as model:
        return model.predict([read_image(os.path.join(place, 'photo.jpg'))])[0]


def run(place, *command, **environment):
    clean = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        list(command),
        check=False,
        cwd=place,
        env=dict(clean, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# Runs programs one after the other, each as a script of its own.
ONE_BY_ONE = """
import sys
for program in sys.argv[1:]:
    exec(program, {'__name__': '__main__'})
"""


def assert_shares(printed, expected, tolerance=0.001):
    """Lines of '12.34%  name' are the shares of the classes."""
    found = {name: float(share) / 100 for share, name in re.findall(r'^ *([\d.]+)%  (\w+)$', printed, re.MULTILINE)}
    shares = np.bincount(expected.ravel(), minlength=5) / expected.size
    assert set(found) == {NAMES[index] for index in np.flatnonzero(shares)}
    for name, share in found.items():
        assert abs(share - shares[NAMES.index(name)]) < tolerance, printed


def assert_counts(printed, expected):
    """Lines of 'COUNT name' are the pixels of the classes."""
    counts = np.bincount(expected.ravel(), minlength=5)
    assert printed.split('\n')[:-1] == ['{} {}'.format(count, name) for count, name in zip(counts, NAMES)]


def test_python_with_onnx_runtime(exports, expected):
    pytest.importorskip('tf2onnx')
    assert_shares(run(exports, sys.executable, '-c', program('Python with ONNX Runtime', 'python')), expected)
    colors = read_image(os.path.join(exports, 'photo_color.png'))
    assert colors.shape == expected.shape + (3,)


def test_python_with_openvino(exports, expected):
    pytest.importorskip('openvino')
    assert_shares(run(exports, sys.executable, '-c', program('Python with OpenVINO', 'python')), expected)


def test_python_with_litert(exports):
    pytest.importorskip('ai_edge_litert')
    import fcn8s

    photo = Image.open(os.path.join(exports, 'photo.jpg')).convert('RGB').resize((96, 64))
    with fcn8s.open_model(os.path.join(exports, 'runs', 'first')) as model:
        expected = model.predict(np.asarray(photo)[np.newaxis])[0]
    code = program('Python with LiteRT (TFLite)', 'python')
    assert_shares(run(exports, sys.executable, '-c', code), expected)


def test_python_with_tensorflow(exports, expected):
    both = programs('Python with TensorFlow', 'python')
    assert len(both) == 2
    assert_shares(run(exports, sys.executable, '-c', ONE_BY_ONE, *both), expected)
    assert (np.asarray(Image.open(os.path.join(exports, 'photo_ids.png'))) == expected).mean() > 0.99


def test_saved_model_cli(exports, expected):
    tool = os.path.join(os.path.dirname(sys.executable), 'saved_model_cli')
    if not os.path.exists(tool):
        pytest.skip('there is no saved_model_cli beside this Python')
    image = read_image(os.path.join(exports, 'photo.jpg'))
    np.save(os.path.join(exports, 'images.npy'), image[np.newaxis])
    lines = re.findall(r'^    saved_model_cli (.+)$', section('Python with TensorFlow'), re.MULTILINE)
    assert [line.split()[0] for line in lines] == ['show', 'run']
    shown, _ = [run(exports, tool, *shlex.split(line)) for line in lines]
    assert "signature_def['serving_default']" in shown and "inputs['images']" in shown
    np.testing.assert_array_equal(np.load(os.path.join(exports, 'answers', 'class_ids.npy'))[0], expected)


def raw_photo(place, with_alpha):
    image = read_image(os.path.join(place, 'photo.jpg'))
    if with_alpha:
        image = np.concatenate([image, np.full_like(image[..., :1], 255)], axis=-1)
    path = os.path.join(place, 'photo.raw')
    image.tofile(path)
    return path, str(image.shape[0]), str(image.shape[1])


# What of ONNX Runtime's C++ interface the program uses, so that its syntax and types are checked without the library.
STAND_IN = """
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>
enum OrtLoggingLevel { ORT_LOGGING_LEVEL_WARNING };
enum OrtAllocatorType { OrtArenaAllocator };
enum OrtMemType { OrtMemTypeDefault };
namespace Ort {
struct Env { Env(OrtLoggingLevel, const char*); };
struct SessionOptions {};
struct RunOptions {};
struct MemoryInfo { static MemoryInfo CreateCpu(OrtAllocatorType, OrtMemType); };
struct Value {
  template <typename T>
  static Value CreateTensor(const MemoryInfo&, T*, std::size_t, const std::int64_t*, std::size_t);
  template <typename T> const T* GetTensorData() const;
};
struct Session {
  Session(const Env&, const char*, const SessionOptions&);
  std::vector<Value> Run(const RunOptions&, const char* const*, const Value*, std::size_t, const char* const*, std::size_t);
};
}
"""


def test_cpp_with_onnx_runtime(exports, expected):
    """Compiled and run where ONNXRUNTIME_HOME names an unpacked release; else its syntax and types are checked."""
    if shutil.which('g++') is None:
        pytest.skip('there is no g++')
    home = os.environ.get('ONNXRUNTIME_HOME')
    with open(os.path.join(exports, 'segment.cpp'), 'w', encoding='utf-8') as file:
        file.write(program('C++ with ONNX Runtime', 'cpp'))
    strict = ['g++', '-std=c++17', '-Wall', '-Wextra', '-Werror', 'segment.cpp']
    if not home:
        os.makedirs(os.path.join(exports, 'stand-in'), exist_ok=True)
        with open(os.path.join(exports, 'stand-in', 'onnxruntime_cxx_api.h'), 'w', encoding='utf-8') as file:
            file.write(STAND_IN)
        run(exports, *strict, '-fsyntax-only', '-I', 'stand-in')
        return
    library = os.path.join(home, 'lib')
    run(exports, *strict, '-I', os.path.join(home, 'include'), '-L', library, '-lonnxruntime', '-o', 'segment')
    printed = run(exports, './segment', 'street_onnx/model.onnx', *raw_photo(exports, False), LD_LIBRARY_PATH=library)
    assert_counts(printed, expected)


def test_javascript_with_onnx_runtime(exports, expected):
    """Run where NODE_PATH leads to onnxruntime-web; else its syntax is checked."""
    if shutil.which('node') is None:
        pytest.skip('there is no node')
    with open(os.path.join(exports, 'segment.js'), 'w', encoding='utf-8') as file:
        file.write(program('JavaScript with ONNX Runtime', 'javascript'))
    run(exports, 'node', '--check', 'segment.js')
    has_package = subprocess.run(
        ['node', '-e', "require.resolve('onnxruntime-web')"], check=False, stderr=subprocess.PIPE
    )
    if has_package.returncode == 0:
        pytest.importorskip('tf2onnx')
        assert_counts(run(exports, 'node', 'segment.js', 'street_onnx', *raw_photo(exports, True)), expected)


# The classes of ROS 2 that the node uses.
ROS = """
import sys
import types


class Node:
    def __init__(self, name):
        self.publishers, self.subscriptions = {}, {}

    def declare_parameter(self, name, value):
        return types.SimpleNamespace(value=value)

    def get_logger(self):
        return types.SimpleNamespace(info=print, error=print)

    def create_publisher(self, kind, topic, depth):
        sent = self.publishers[topic] = []
        return types.SimpleNamespace(publish=sent.append)

    def create_subscription(self, kind, topic, callback, depth):
        self.subscriptions[topic] = callback


class Image:
    def __init__(self, **fields):
        self.__dict__.update(fields)


sys.modules['rclpy'] = types.SimpleNamespace(init=lambda: None, spin=lambda node: exercise(node))
sys.modules['rclpy.node'] = types.SimpleNamespace(Node=Node)
sys.modules['sensor_msgs'] = types.ModuleType('sensor_msgs')
sys.modules['sensor_msgs.msg'] = types.SimpleNamespace(Image=Image)


def exercise(node):
    import numpy as np
    from PIL import Image as Pillow

    pixels = np.asarray(Pillow.open('photo.jpg'))
    height, width = pixels.shape[:2]
    for encoding, channels in (('rgb8', pixels), ('bgr8', pixels[..., ::-1])):
        # Rows are padded, as cameras like to do.
        rows = np.zeros([height, 3 * width + 5], np.uint8)
        rows[:, : 3 * width] = channels.reshape(height, -1)
        node.subscriptions['image'](Image(
            header=encoding, height=height, width=width, encoding=encoding, step=rows.shape[1], data=rows.tobytes()
        ))
    node.subscriptions['image'](Image(encoding='mono8'))
    ids, colors = node.publishers['segmentation/class_ids'], node.publishers['segmentation/color']
    assert [message.header for message in ids] == ['rgb8', 'bgr8'] and len(colors) == 2
    assert ids[0].data == ids[1].data and colors[0].data == colors[1].data
    assert (ids[0].encoding, ids[0].step, colors[0].encoding, colors[0].step) == ('mono8', width, 'rgb8', 3 * width)
    np.frombuffer(ids[0].data, np.uint8).tofile('ros_ids.raw')
    table = node.colors[np.frombuffer(ids[0].data, np.uint8)]
    assert table.tobytes() == colors[0].data


"""


def test_ros_2_node(exports, expected):
    pytest.importorskip('openvino')
    code = ROS + program('A ROS 2 node', 'python')
    printed = run(exports, sys.executable, '-c', code)
    assert "IDs: {0: 'road', 1: 'car'" in printed and 'the encoding is mono8' in printed
    found = np.fromfile(os.path.join(exports, 'ros_ids.raw'), np.uint8).reshape(expected.shape)
    assert (found == expected).mean() > 0.99  # another decoder of JPEG


def test_call_of_tensorflow_serving(exports, expected):
    """Against a stand-in that answers as https://www.tensorflow.org/tfx/serving/api_rest says."""
    import tensorflow

    function = tensorflow.saved_model.load(os.path.join(exports, 'serving', 'street', '1')).signatures['encoded']

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            question = json.loads(self.rfile.read(int(self.headers['Content-Length'])).decode())
            assert self.path == '/v1/models/street:predict' and question['signature_name'] == 'encoded'
            contents = [base64.b64decode(instance['image_bytes']['b64']) for instance in question['instances']]
            pngs = function(image_bytes=tensorflow.constant(contents))['class_ids_bytes'].numpy()
            answer = {'predictions': [{'b64': base64.b64encode(png).decode()} for png in pngs]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *arguments):
            pass

    server = http.server.HTTPServer(('localhost', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        code = program('TensorFlow Serving', 'python').replace('localhost:8501', 'localhost:%d' % server.server_port)
        printed = run(exports, sys.executable, '-c', code)
    finally:
        server.shutdown()
        server.server_close()
    assert_shares(printed, expected, tolerance=0.02)  # TensorFlow's decoder of JPEG is another one
