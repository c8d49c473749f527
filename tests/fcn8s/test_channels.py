"""Images of more than three channels, the whole way: encoder, check, training, evaluation, prediction."""

import json
import os
import re
import shlex

import numpy as np
import pytest
import tifffile

from fcn8s.cli import main
from fcn8s.vgg16.further_channels import further_channels
from helpers.image_rules import ImageRules
from helpers.images import read_image, write_labels
from helpers.label_spaces import generic_label_space

FEATURES = ['layer3_out:0', 'layer4_out:0', 'layer7_out:0']


@pytest.fixture(scope='module')
def encoders(tmp_path_factory):
    """Name -> a tiny encoder: of three channels, and of five with zeros and with means behind."""
    from fcn8s.vgg16.write import write_encoder

    root = tmp_path_factory.mktemp('encoders')
    further = {
        'rgb': further_channels(3),
        'zero': further_channels(5, 'zero', (10, 20), (5, 40)),
        'mean': further_channels(5, 'mean', (10, 20), (5, 40)),
    }
    for name, channels in further.items():
        write_encoder(str(root / name), width_divisor=64, seed=3, further=channels)
    return root


def features(path, images):
    from fcn8s.backend import tf
    from fcn8s.vgg16.graph import cpu_session, load_encoder

    with tf.Graph().as_default(), cpu_session() as session:
        load_encoder(session, str(path))
        return session.run(FEATURES, {'image_input:0': images, 'keep_prob:0': 1.0})


def test_further_channels_of_weight_zero_change_nothing(encoders):
    from fcn8s import FCN8s

    images = np.random.RandomState(0).randint(0, 256, (2, 40, 48, 5)).astype(np.uint8)
    logits = []
    for name, shown in (('rgb', images[..., :3]), ('zero', images)):
        with FCN8s(vgg16_dir=str(encoders / name), num_classes=4) as model:
            rng = np.random.RandomState(1)
            for kernel in model.model.decoder.kernels:
                values = rng.normal(0, 0.3, kernel.shape.as_list())
                model.sess.run(kernel.initializer, {kernel.initializer.inputs[1]: values})
            logits.append(model.sess.run(model.fcn8s_output, {model.images_uint8: shown}))
            assert model.settings.image_rules == ImageRules(shown.shape[-1])
    assert np.ptp(logits[0]) > 0.1
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-6 * np.abs(logits[0]).max())


def test_further_channels_of_mean_weights_see_what_grey_would(encoders):
    """A channel of mean weights adds what three equal colours, of a third of its prepared value each, would add."""
    from fcn8s.vgg16.weights.source import UNIT_VARIANCE_BGR

    rng = np.random.RandomState(0)
    colours, further = rng.uniform(0, 256, (1, 32, 32, 3)), rng.uniform(0, 256, (1, 32, 32, 2))
    spread = np.mean(UNIT_VARIANCE_BGR.std)
    prepared = (further - (10, 20)) / (5, 40) * (57.63 / spread)
    added = prepared.sum(axis=-1, keepdims=True) / 3 * np.array(UNIT_VARIANCE_BGR.std)[::-1]
    found = features(encoders / 'mean', np.concatenate([colours, further], axis=-1))
    for one, other in zip(found, features(encoders / 'rgb', colours + added)):
        np.testing.assert_allclose(one, other, atol=2e-3 * np.abs(other).max())


@pytest.mark.parametrize(
    'arguments, message',
    [
        ((True,), 'channels is True; it has to be a whole number'),
        ((2,), 'channels is 2; it has to be a whole number from 3'),
        ((5, 'noise'), "fill is 'noise'; choose from zero, mean"),
        ((3, 'mean'), "fill is 'mean'; it is about channels behind the three colours, and there are none"),
        ((5, 'zero', (1,)), 'mean has 1 number for 2 channels'),
        ((5, 'zero', (1, 256)), 'mean is .1, 256. and deviation'),
        ((5, 'zero', (), (0, 1)), 'deviations above 0'),
    ],
)
def test_what_cannot_be_widened(arguments, message):
    with pytest.raises(ValueError, match=message):
        further_channels(*arguments)


def test_rules_that_do_not_fit_are_refused(encoders):
    from fcn8s import FCN8s

    with pytest.raises(ValueError, match='image_rules has 3 channels, but .*zero.* takes images of 5'):
        FCN8s(vgg16_dir=str(encoders / 'zero'), num_classes=4, image_rules=ImageRules())
    with FCN8s(vgg16_dir=str(encoders / 'zero'), num_classes=4) as model:
        with pytest.raises(ValueError, match=r'images have the shape \(1, 8, 8, 3\); expected \[N, H, W, 5\]. Read'):
            model.predict(np.zeros((1, 8, 8, 3), np.uint8))
        with pytest.raises(ValueError, match='the data are read with 3 channels, and the network takes 5'):
            model.network.set_image_rules(ImageRules())


def test_rules_that_the_network_was_given_are_not_replaced_by_those_of_the_data(encoders):
    from fcn8s import FCN8s

    class Data:
        image_rules = ImageRules()
        label_space = generic_label_space(4, class_names=list('abcd'))

        def __next__(self):
            pytest.fail('read')

    given = ImageRules(window=[[0, 4000]])
    with FCN8s(vgg16_dir=str(encoders / 'rgb'), num_classes=4, image_rules=given) as model:
        with pytest.raises(ValueError, match=r'network was given .*4000.*, and the data are read by .*window=None'):
            model.train(Data(), 1, 1, lambda step: 1e-3)
        assert model.label_space == generic_label_space(4)  # the names of data that are refused are not taken over
        of_other_rules = pytest.warns(UserWarning, match=r'data are read by .*window=None.* network takes .*4000')
        with of_other_rules as warned, pytest.raises(ValueError, match='num_batches is -1'):
            model.evaluate(Data(), -1)
        assert [warning.filename for warning in warned] == [__file__]
        model.network.set_image_rules(ImageRules(window=((0.0, 4000.0),)))


@pytest.fixture(scope='module')
def stacks(tmp_path_factory):
    """Scenes whose class shows in the fifth channel alone, 16-bit TIFF and NumPy files of 0 to 1000."""
    root = tmp_path_factory.mktemp('stacks')
    rng = np.random.RandomState(0)
    for split, count in (('train', 4), ('val', 2)):
        (root / split / 'images').mkdir(parents=True)
        for number in range(count):
            label = np.zeros((32, 48), np.uint8)
            label[:, rng.randint(10, 40) :] = 1
            stack = rng.randint(0, 1000, (32, 48, 5)).astype(np.uint16)
            stack[..., 4] = 800 * label.astype(int) + 100
            path = str(root / split / 'images' / 'scene{}'.format(number))
            if number % 2:
                np.save(path + '.npy', stack)
            else:
                tifffile.imwrite(path + '.tif', stack, photometric='minisblack', planarconfig='contig')
            write_labels(str(root / split / 'labels' / 'scene{}.png'.format(number)), label)
    return root


@pytest.fixture(scope='module')
def run_dir(stacks, encoders, tmp_path_factory):
    run = str(tmp_path_factory.mktemp('runs') / 'run')
    data = ['--images', str(stacks / 'train/images'), '--labels', str(stacks / 'train/labels'), '--classes', '2']
    data += ['--val-images', str(stacks / 'val/images'), '--val-labels', str(stacks / 'val/labels')]
    options = ['--epochs', '1', '--batch', '2', '--window', '0', '1000', '--encoder', str(encoders / 'zero')]
    assert main(['train', '--run', run, '--threads', '0'] + data + options) == 0
    return run


def test_the_rules_travel_with_the_run(run_dir, stacks, tmp_path, capsys):
    with open(run_dir + '/config.json', encoding='utf-8') as file:
        rules = json.load(file)['model']['image_rules']
    assert rules == {'channels': 5, 'bands': None, 'window': [[0, 1000]], 'alpha': 'black'}
    scores = str(tmp_path / 'scores.json')
    val = ['--images', str(stacks / 'val/images'), '--labels', str(stacks / 'val/labels')]
    assert main(['evaluate', run_dir] + val + ['--json', scores, '--threads', '0']) == 0
    with open(scores, encoding='utf-8') as file:
        assert np.sum(json.load(file)['confusion_matrix']) == 2 * 32 * 48


def test_prediction_shows_the_channels_that_were_asked_for(run_dir, stacks, tmp_path):
    out = tmp_path / 'out'
    images = str(stacks / 'val/images')
    assert (
        main(['predict', run_dir, images, '--out', str(out), '--overlay', '--alpha', '0', '--show', '5', '1', '2']) == 0
    )
    for number, suffix in ((0, 'tif'), (1, 'npy')):
        shown = read_image(out / 'scene{}_overlay.png'.format(number))
        rules = ImageRules(5, window=((0, 1000),))
        expected = read_image(stacks / 'val/images' / 'scene{}.{}'.format(number, suffix), rules=rules)
        np.testing.assert_array_equal(shown, expected[..., [4, 0, 1]])


def test_what_a_prediction_of_five_channels_refuses(run_dir, stacks, tmp_path, capsys):
    image = str(stacks / 'val/images/scene0.tif')
    assert main(['predict', run_dir, image, '--out', str(tmp_path / 'a'), '--show', '6', '1', '2']) == 2
    assert 'show is 6 1 2; it has to be three numbers of channels from 1 to 5' in capsys.readouterr().err
    np.save(str(tmp_path / 'rgb.npy'), np.zeros((8, 8, 3), np.uint8))
    assert main(['predict', run_dir, str(tmp_path / 'rgb.npy'), '--out', str(tmp_path / 'a')]) == 2
    assert 'rgb.npy has 3 bands, and the network takes 5 channels' in capsys.readouterr().err


def test_the_printed_commands_train_on_five_channels(stacks, tmp_path, capsys, monkeypatch):
    """As printed, but for a narrow encoder of random weights and a short training."""
    monkeypatch.chdir(tmp_path)
    data = str(stacks)
    assert main(['check', data, '--channels', '5', '--window', '0', '1000', '--preview', 'preview.png']) == 0
    lines = capsys.readouterr().out.splitlines()
    vgg16 = re.search(r'vgg16 (ENCODER --weights) hed( --channels 5 --mean .* --deviation .*)', '\n'.join(lines))
    training = next(line for line in lines if ' train --images' in line)
    words = (vgg16.group(1) + ' random' + vgg16.group(2)).split()
    assert [round(float(mean)) for mean in words[6:8]] == pytest.approx([128, 128], abs=50)
    assert main(['vgg16'] + words + ['--width-divisor', '64']) == 0
    words = shlex.split(training)[shlex.split(training).index('train') :]
    assert words[words.index('--window') :][:3] == ['--window', '0', '1000']
    assert main(words + ['--epochs', '1', '--threads', '0', '--run', 'run']) == 0
    assert os.path.isfile('preview.png') and os.path.isdir('run')
