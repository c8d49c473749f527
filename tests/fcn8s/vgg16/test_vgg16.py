"""The encoder that `write_encoder` writes: its interface, its weights, its dropout, and that it fails cleanly."""

import json
import os
import subprocess

import numpy as np
import pytest
from commands import run_command
from precisions import needs_bfloat16

from fcn8s.backend import tf
from fcn8s.cli import vgg16 as command
from fcn8s.vgg16 import graph, write
from fcn8s.vgg16.weights import he, layers
from fcn8s.vgg16.weights.source import CAFFE_BGR, TORCHVISION_RGB

PUBLISHED_VARIABLES = ['conv1_1/filter', 'conv1_1/biases', 'conv5_3/filter', 'fc6/weights', 'fc6/biases', 'fc7/weights']


class Loaded:
    """An encoder SavedModel in a session of its own."""

    def __init__(self, directory):
        self.graph = tf.Graph()
        self.session = tf.Session(graph=self.graph)
        with self.graph.as_default():
            tf.saved_model.loader.load(self.session, ['vgg16'], directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()

    def __call__(self, fetches, image, keep_prob=1.0, **feeds):
        feed = {'image_input:0': image, 'keep_prob:0': keep_prob}
        feed.update({name + ':0': value for name, value in feeds.items()})
        return self.session.run(fetches, feed)


@pytest.fixture(scope='module')
def encoder(tiny_encoder):
    with Loaded(tiny_encoder) as loaded:
        yield loaded


def images(height, width, count=1):
    return np.random.RandomState(5).randint(0, 256, (count, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize(
    'size, expected',
    [((64, 64), [(8, 8), (4, 4), (2, 2)]), ((33, 70), [(5, 9), (3, 5), (2, 3)]), ((1, 1), [(1, 1), (1, 1), (1, 1)])],
)
def test_outputs_have_strides_8_16_32_rounded_up(encoder, size, expected):
    outputs = encoder(['layer3_out:0', 'layer4_out:0', 'layer7_out:0'], images(*size))
    assert [output.shape[1:3] for output in outputs] == expected
    assert [output.shape[3] for output in outputs] == [256 // 16, 512 // 16, 4096 // 16]


def test_variables_have_the_published_names_and_are_trainable(encoder):
    with encoder.graph.as_default():
        names = [variable.op.name for variable in tf.trainable_variables()]
        assert names == [variable.op.name for variable in tf.global_variables()]
    assert len(names) == 30
    assert set(PUBLISHED_VARIABLES) <= set(names)


def test_full_width_has_the_parameters_of_vgg16_without_fc8():
    count = sum(np.prod(shape) + shape[-1] for shape in layers.kernel_shapes(1).values())
    assert count == 138357544 - 4097 * 1000  # torchvision and Keras give 138,357,544 for all of VGG-16


@pytest.mark.parametrize('preprocessing', [CAFFE_BGR, TORCHVISION_RGB])
def test_preprocessing_is_in_the_graph(preprocessing):
    image = images(2, 3)
    with tf.Graph().as_default(), tf.Session() as session:
        prepared = session.run(graph.prepare(tf.constant(image), preprocessing))
    red, green, blue = image[0, 1, 2]
    if preprocessing == CAFFE_BGR:
        expected = [blue - 103.939, green - 116.779, red - 123.68]
    else:
        expected = [(red / 255 - 0.485) / 0.229, (green / 255 - 0.456) / 0.224, (blue / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(prepared[0, 1, 2], expected, rtol=1e-5, atol=1e-5)


def test_dropout_is_a_function_of_the_fed_seed(encoder):
    image = images(64, 64)
    first = encoder('layer7_out:0', image, 0.5, dropout_seed=[3, 10])
    np.testing.assert_array_equal(first, encoder('layer7_out:0', image, 0.5, dropout_seed=[3, 10]))
    assert (first != encoder('layer7_out:0', image, 0.5, dropout_seed=[3, 11])).any()
    assert (first != encoder('layer7_out:0', image, 0.5, dropout_seed=[4, 10])).any()


def test_dropout_differs_from_run_to_run_unless_fed(encoder):
    image = images(64, 64)
    assert (encoder('layer7_out:0', image, 0.5) != encoder('layer7_out:0', image, 0.5)).any()
    np.testing.assert_array_equal(encoder('layer7_out:0', image), encoder('layer7_out:0', image))


def dropout_mask(encoder, layer, seed, keep_prob=0.5):
    """What is kept, from the activations before and after; NaN where the activation is zero anyway."""
    before = layer + '/Relu:0'
    after = {'fc6': 'fc6_dropout/truediv:0', 'fc7': 'layer7_out:0'}[layer]
    before, after = encoder([before, after], images(224, 224), keep_prob, dropout_seed=seed)
    return np.where(before > 0, after / np.where(before > 0, before, 1), np.nan)


def test_dropout_keeps_the_share_and_scales_it_up(encoder):
    mask = dropout_mask(encoder, 'fc6', [1, 2], keep_prob=0.25)
    kept = mask[~np.isnan(mask)]
    np.testing.assert_allclose(np.unique(np.round(kept, 3)), [0, 4])
    assert abs((kept > 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / kept.size)


def test_fc6_and_fc7_have_independent_masks_also_from_step_to_step(encoder):
    masks = {
        'fc6': dropout_mask(encoder, 'fc6', [7, 1]),
        'fc7': dropout_mask(encoder, 'fc7', [7, 1]),
        'fc7 before': dropout_mask(encoder, 'fc7', [7, 0]),
        'fc7 after': dropout_mask(encoder, 'fc7', [7, 2]),
    }
    for name in ('fc7', 'fc7 before', 'fc7 after'):
        both = ~np.isnan(masks['fc6']) & ~np.isnan(masks[name])
        agreement = (masks['fc6'][both] == masks[name][both]).mean()
        assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(both.sum())


def test_he_initialisation_is_seeded_by_layer():
    kernel, biases = he.he_normal('conv2_1', (3, 3, 64, 128), seed=1)
    assert kernel.dtype == biases.dtype == np.float32 and not biases.any()
    assert abs(kernel.std() / np.sqrt(2 / (9 * 64)) - 1) < 0.01 and abs(kernel.mean()) < 1e-3
    np.testing.assert_array_equal(kernel, he.he_normal('conv2_1', (3, 3, 64, 128), seed=1)[0])
    assert (kernel != he.he_normal('conv2_1', (3, 3, 64, 128), seed=2)[0]).any()
    assert (kernel != he.he_normal('conv2_2', (3, 3, 64, 128), seed=1)[0]).any()


def test_the_same_seed_writes_the_same_weights(tiny_encoder, tmp_path):
    write.write_encoder(str(tmp_path / 'again'), 'random', width_divisor=16, seed=0)
    write.write_encoder(str(tmp_path / 'other'), 'random', width_divisor=16, seed=1)
    prefixes = [
        os.path.join(str(path), 'variables', 'variables')
        for path in (tiny_encoder, tmp_path / 'again', tmp_path / 'other')
    ]
    first, again, other = [tf.train.load_checkpoint(prefix).get_tensor('fc7/weights') for prefix in prefixes]
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_manifest_is_beside_the_saved_model(tiny_encoder):
    with open(os.path.join(tiny_encoder, 'manifest.json'), encoding='utf-8') as file:
        manifest = json.load(file)
    assert manifest['source'] == {'kind': 'random', 'path': '', 'sha256': {}}
    assert manifest['width_divisor'] == 16 and manifest['seed'] == 0
    assert manifest['preprocessing']['channel_order'] == 'BGR'
    assert manifest['versions']['tensorflow'] == tf.__version__
    assert set(manifest['proof']['relative_errors']) == {'pool3', 'pool4', 'fc6', 'fc7'}
    assert max(manifest['proof']['relative_errors'].values()) < 1e-4
    assert {entry['verdict'] for entry in manifest['proof']['conv1_1'].values()} == {'cannot tell'}


def test_an_existing_directory_is_left_alone(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine.txt').write_text('keep')
    with pytest.raises(FileExistsError, match='not an empty directory'):
        write.write_encoder(str(tmp_path / 'out'), 'random', width_divisor=64)
    assert [path.name for path in tmp_path.rglob('*')] == ['out', 'mine.txt']


def test_a_failed_proof_leaves_nothing(tmp_path, monkeypatch):
    save = write.save_encoder

    def save_something_else(directory, source, further):
        kernel, biases = source.dense['fc6']
        save(directory, source._replace(dense=dict(source.dense, fc6=(kernel[::-1].copy(), biases))), further)

    monkeypatch.setattr(write, 'save_encoder', save_something_else)
    with pytest.raises(ValueError, match=r'differs from the dense network of random: relative errors .*fc6'):
        write.write_encoder(str(tmp_path / 'out'), 'random', width_divisor=64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('width_divisor', [0, -1, 3, 128, 1.5, True])
def test_a_width_that_does_not_divide_is_refused(tmp_path, width_divisor):
    with pytest.raises(ValueError, match=r'width_divisor is .*; it divides the widths .* 1, 2, 4, 8, 16, 32 or 64'):
        write.write_encoder(str(tmp_path / 'out'), 'random', width_divisor=width_divisor)


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(ValueError, match='seed is -1; it has to be a whole number of at least 0'):
        write.write_encoder(str(tmp_path / 'out'), 'random', width_divisor=64, seed=-1)


def test_a_preprocessing_of_random_weights_is_refused(tmp_path):
    with pytest.raises(ValueError, match='preprocessing is for weights from a file; random weights have their own'):
        write.write_encoder(str(tmp_path / 'out'), 'random', width_divisor=64, preprocessing='caffe-bgr')


def test_a_lighter_head_computes_what_numpy_says(tmp_path):
    manifest = write.write_encoder(str(tmp_path / 'light'), 'random', width_divisor=64, seed=2, head='3x3x1024')
    assert manifest['head'] == '3x3x1024'
    assert max(manifest['proof']['relative_errors'].values()) < 1e-4
    with Loaded(str(tmp_path / 'light')) as light:
        variables = {variable.op.name: variable.shape.as_list() for variable in light.graph.get_collection('variables')}
        image = images(33, 70)
        pool5, fc6 = light(['pool5:0', 'fc6/Relu:0'], image)
        with light.graph.as_default():
            kernel, biases = light.session.run(
                ['fc6/weights/Read/ReadVariableOp:0', 'fc6/biases/Read/ReadVariableOp:0']
            )
    assert variables['fc6/weights'] == [3, 3, 8, 16] and variables['fc7/weights'] == [1, 1, 16, 16]
    padded = np.pad(pool5[0], ((1, 1), (1, 1), (0, 0)), mode='constant')
    expected = np.array(
        [
            [np.tensordot(padded[y : y + 3, x : x + 3], kernel, 3) + biases for x in range(pool5.shape[2])]
            for y in range(pool5.shape[1])
        ]
    )
    np.testing.assert_allclose(fc6[0], np.maximum(expected, 0), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope='module')
def refined(tmp_path_factory):
    """An encoder whose fc6 is dilated, with normalisation, and its manifest."""
    path = str(tmp_path_factory.mktemp('refined') / 'encoder')
    divisor, seed, dilation = np.int64(64), np.int64(2), np.int64(3)
    refined = dict(head='3x3x1024', head_dilation=dilation, head_norm='layer')
    manifest = write.write_encoder(path, 'random', divisor, seed, **refined)
    return path, manifest


def test_dilation_and_normalisation_compute_what_numpy_says(refined):
    path, manifest = refined
    assert (manifest['head'], manifest['head_dilation'], manifest['head_norm']) == ('3x3x1024', 3, 'layer')
    assert max(manifest['proof']['relative_errors'].values()) < 1e-4
    with Loaded(path) as encoder:
        names = ['fc6/weights', 'fc6/biases', 'fc6/gamma', 'fc6/beta']
        values = dict(zip(names, encoder.session.run([name + '/Read/ReadVariableOp:0' for name in names])))
        pool5, fc6 = encoder(['pool5:0', 'fc6/Relu:0'], images(100, 140))
    assert (values['fc6/gamma'] == 1).all() and (values['fc6/beta'] == 0).all()
    height, width = pool5.shape[1:3]
    expected = np.zeros((height, width, 16))
    for y, x, row, column in np.ndindex(height, width, 3, 3):
        place = (y + 3 * (row - 1), x + 3 * (column - 1))
        if 0 <= place[0] < height and 0 <= place[1] < width:
            expected[y, x] += pool5[0][place].astype(np.float64) @ values['fc6/weights'][row, column]
    expected += values['fc6/biases']
    expected -= expected.mean(axis=-1, keepdims=True)
    expected /= np.sqrt(np.square(expected).mean(axis=-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(fc6[0], np.maximum(expected, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('divisor, said', [(1, '7x7x4096'), (16, '7x7x4096 at full width, here with 256 filters')])
def test_the_filters_of_a_head_are_told_where_its_width_is_divided(divisor, said):
    assert command._head_in_words('7x7x4096', divisor) == said


def test_a_network_with_them_is_trained_predicted_exported_and_packed(refined, tmp_path):
    """What goes on with an encoder takes the five tensors and nothing else."""
    from fcn8s import FCN8s, open_model

    rng = np.random.RandomState(0)
    batch = rng.randint(0, 256, (2, 64, 96, 3)).astype(np.uint8), rng.randint(0, 3, (2, 64, 96)).astype(np.uint8)
    with FCN8s(vgg16_dir=refined[0], num_classes=3) as network:
        before = {variable.op.name: network.sess.run(variable) for variable in network.model.encoder.variables}
        schedule = lambda step: 1e-3  # noqa: E731
        network.train(iter([batch] * 4), 1, 4, learning_rate_schedule=schedule)
        after = {variable.op.name: network.sess.run(variable) for variable in network.model.encoder.variables}
        for name in ('fc6/weights', 'fc6/gamma', 'fc6/beta', 'fc7/gamma', 'conv1_1/filter'):
            assert np.any(before[name] != after[name]), name
        expected = network.predict(batch[0], argmax=False)
        saved = network.save(str(tmp_path / 'saved'), 'saved_model', name='refined', force_save=True)
    assert expected.std(axis=(0, 1, 2)).max() > 1e-4
    with open_model(saved) as model:
        np.testing.assert_allclose(model.predict(batch[0], argmax=False), expected, atol=1e-5)
    from fcn8s import runs
    from fcn8s.cli import main

    made = {'pack': str(tmp_path / 'packed.zip')}
    if int(tf.__version__.split('.')[0]) > 1:  # exports are made there alone
        made['export'] = str(tmp_path / 'export')
    for verb, path in made.items():
        assert main([verb, saved, path] + ['--format', 'saved_model'] * (verb == 'export')) == 0
        with open_model(runs.resolve_model(path)) as model:
            np.testing.assert_allclose(model.predict(batch[0], argmax=False), expected, atol=1e-5)


@needs_bfloat16
def test_they_are_predicted_in_bfloat16(refined, tmp_path):
    from fcn8s import FCN8s, open_model

    image = np.random.RandomState(1).randint(0, 256, (1, 64, 96, 3)).astype(np.uint8)
    with FCN8s(vgg16_dir=refined[0], num_classes=3) as network:
        for variable in network.model.decoder.kernels:
            if '/score_' in variable.op.name:
                value = np.random.RandomState(2).normal(0, 0.1, variable.shape.as_list())
                network.sess.run(variable.initializer, {variable.initializer.inputs[1]: value})
        saved = network.save(str(tmp_path), 'saved_model', name='refined', force_save=True)
        expected = network.predict(image, argmax=False)
    with open_model(saved, precision='bfloat16') as model:
        np.testing.assert_allclose(model.predict(image, argmax=False), expected, atol=0.03)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(head='3x3x1024', head_dilation=4), 'head_dilation is 4; for 3x3x1024 it has to be from 1 to 3'),
        (dict(head_dilation=2), 'head_dilation is 2; for 7x7x4096 it has to be from 1 to 1'),
        (dict(head='1x1x64', head_dilation=0), 'head_dilation is 0; for 1x1x64'),
        (dict(head='3x3x1024', head_norm='batch'), "head_norm is 'batch'; choose 'layer', or leave it out"),
    ],
)
def test_dilations_and_normalisations_that_do_not_exist(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write.write_encoder(str(tmp_path / 'out'), 'random', width_divisor=64, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('head', ['3x3', '3x5x64', '2x2x64', '9x9x64', '3x3x0', '3x3x4160', '3x3x100', '3x3x1024 ', ''])
def test_a_head_that_does_not_exist_is_refused(tmp_path, head):
    with pytest.raises(ValueError, match=r'head is .*; it has to be KxKxC: .* a multiple of the width divisor 64'):
        write.write_encoder(str(tmp_path / 'out'), 'random', width_divisor=64, head=head)


def test_a_head_for_weights_that_have_one_is_refused(tiny_encoder, tmp_path):
    with pytest.raises(ValueError, match='have an fc6 and an fc7 of their own'):
        write.write_encoder(str(tmp_path / 'out'), tiny_encoder, head='3x3x1024')
    with pytest.raises(ValueError, match="head_norm 'layer', but the saved_model weights have an fc6"):
        write.write_encoder(str(tmp_path / 'out'), tiny_encoder, head_norm='layer')
    with pytest.raises(
        ValueError, match='seed is 3, but the saved_model weights have all layers, and nothing is drawn'
    ):
        write.write_encoder(str(tmp_path / 'out'), tiny_encoder, seed=3)


@pytest.mark.parametrize(
    'weights, options, message',
    [
        ('keras', dict(head='3x3x1024'), 'but the keras weights have an fc6 and an fc7 of their own'),
        ('keras', dict(head_norm='layer'), 'the keras weights have an fc6 and an fc7 that were trained without'),
        ('keras', dict(seed=3), 'seed is 3, but the keras weights have all layers'),
        ('hed', dict(classify='PICTURE'), 'classify needs fc8, .* which the hed weights do not have'),
    ],
)
def test_what_named_weights_do_not_take_is_refused_before_they_are_fetched(
    tmp_path, monkeypatch, weights, options, message
):
    monkeypatch.setattr(write.recognise, 'read_source', lambda *_: pytest.fail('weights are read'))
    monkeypatch.setattr(write, 'read_image', lambda *_, **__: images(300, 300)[0])
    with pytest.raises(ValueError, match=message):
        write.write_encoder(str(tmp_path / 'out'), weights, **options)
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='A file has the place of a directory'):
        write.write_encoder(str(tmp_path / 'file' / 'out'), weights)


def test_the_command_prints_the_proof(tmp_path, capsys):
    assert (
        run_command(command, str(tmp_path / 'out'), '--weights', 'random', '--width-divisor', '64', '--seed', '3') == 0
    )
    printed = capsys.readouterr().out
    assert 'source: random, width 1/64' in printed
    assert 'RGB 0 to 255 -> BGR, minus (103.53, 116.28, 123.675)' in printed
    assert 'drawn at random (He initialisation, seed 3): conv1_1, ' in printed
    assert 'proof: largest relative difference from the dense network' in printed
    assert 'conv1_1, colour order: cannot tell' in printed


RUN_THERE = """
import sys, numpy as np
from fcn8s.vgg16.write import write_encoder
from fcn8s.backend import tf
theirs, ours, results = sys.argv[1:]
write_encoder(ours, 'random', width_divisor=16, seed=4)
outputs = []
for directory in (theirs, ours):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.saved_model.loader.load(session, ['vgg16'], directory)
        feed = {'image_input:0': np.load(results + '.npy'), 'keep_prob:0': 0.5, 'dropout_seed:0': [1, 2]}
        outputs.append(session.run('layer7_out:0', feed))
np.savez(results, theirs=outputs[0], ours=outputs[1])
"""


def test_encoders_cross_the_tensorflow_generations(tiny_encoder, encoder, other_python, tmp_path):
    image = images(48, 40)
    np.save(str(tmp_path / 'results.npy'), image)
    arguments = [tiny_encoder, str(tmp_path / 'there'), str(tmp_path / 'results')]
    subprocess.run([other_python, '-c', RUN_THERE] + arguments, check=True)
    there = np.load(str(tmp_path / 'results.npz'))
    here = encoder('layer7_out:0', image, 0.5, dropout_seed=[1, 2])
    np.testing.assert_allclose(there['theirs'], here, atol=1e-4 * np.abs(here).max())
    with Loaded(str(tmp_path / 'there')) as loaded:
        read_here = loaded('layer7_out:0', image, 0.5, dropout_seed=[1, 2])
    np.testing.assert_allclose(there['ours'], read_here, atol=1e-4 * np.abs(read_here).max())
