"""Samples of dropout against the training graph, whose random draws are fed one by one."""

import argparse
import csv

import numpy as np
import pytest
from precisions import needs_bfloat16

from fcn8s import FCN8s, cli
from fcn8s.backend import tf
from fcn8s.cli.inputs.prediction import check_sampling_arguments, sampled_predictor
from fcn8s.graph.graph_defs import RANDOM_OPS
from fcn8s.prediction.frozen_network import open_model
from fcn8s.prediction.sampling import SampledPredictor, Sampler, check_sampling, cut_head, doubt_of
from fcn8s.saving import runs
from helpers.images import write_image

KEEP, SEED, SAMPLES = 0.6, 7, 3
IMAGES = np.random.RandomState(0).randint(256, size=(2, 40, 56, 3)).astype(np.uint8)


def uniform(shape, seed):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(tf.raw_ops.StatelessRandomUniform(shape=list(shape), seed=list(seed), dtype=tf.float32))


@pytest.fixture(scope='module')
def reference(small_model):
    """Soft-max of each sample, float32 [S, N, H, W, C], by the graph that trains."""
    with FCN8s(model_load_dir=small_model) as model:
        draws = [op.outputs[0] for op in model.graph.get_operations() if op.type in RANDOM_OPS]
        assert len(draws) == 2
        shapes = [value.shape for value in model.sess.run(draws, {model.images_uint8: IMAGES})]
        samples = []
        for number in range(SAMPLES):
            feed = {
                draw: uniform(shape, (SEED, 2 * number + layer))
                for layer, (draw, shape) in enumerate(zip(draws, shapes))
            }
            feed.update({model.images_uint8: IMAGES, model.keep_prob: KEEP})
            samples.append(model.sess.run(model.softmax_output, feed))
    return np.array(samples)


@pytest.fixture(scope='module')
def opened(small_model):
    with open_model(small_model) as model:
        yield model


def slow_entropy(probabilities):
    total = 0.0
    for probability in probabilities:
        total -= probability * np.log(probability) if probability > 0 else 0.0
    return total


def test_samples_are_those_of_the_training_graph(opened, reference):
    before = opened.predict(IMAGES), opened.predict(IMAGES, argmax=False)
    sampler = Sampler(opened, SAMPLES, KEEP, SEED)
    found = sampler.predict(IMAGES)
    assert np.abs(reference[0] - reference[1]).max() > 0.01  # dropout does something
    np.testing.assert_allclose(found[..., :-1], reference.mean(axis=0), atol=2e-6)
    for place in ((0, 3, 5), (1, 39, 55), (1, 20, 0)):
        entropies = [slow_entropy(sample[place]) for sample in reference.astype(np.float64)]
        assert found[place][-1] == pytest.approx(np.mean(entropies), abs=1e-5)
        doubt = doubt_of(found[place[0]])
        entropy = slow_entropy(reference.astype(np.float64).mean(axis=0)[place])
        assert doubt.entropy[place[1:]] == pytest.approx(entropy, abs=1e-5)
        assert doubt.mutual_information[place[1:]] == pytest.approx(entropy - np.mean(entropies), abs=1e-5)
    np.testing.assert_array_equal(sampler.predict(IMAGES, argmax=True), found[..., :-1].argmax(axis=-1))
    # What is predicted without samples is the same to the last bit, and so are samples of the same seed.
    np.testing.assert_array_equal(opened.predict(IMAGES), before[0])
    np.testing.assert_array_equal(opened.predict(IMAGES, argmax=False), before[1])
    np.testing.assert_array_equal(sampler.predict(IMAGES), found)


def test_a_temperature_is_of_the_mean_soft_max_and_its_entropy(opened):
    sampler = Sampler(opened, 2, KEEP, SEED)
    softmax, doubt = SampledPredictor(sampler).samples(IMAGES[0])
    same, hot = SampledPredictor(sampler, temperature=2.5).samples(IMAGES[0])
    np.testing.assert_array_equal(same, softmax)
    np.testing.assert_array_equal(hot.mutual_information, doubt.mutual_information)
    for place in ((3, 5), (39, 55)):
        powers = softmax[place].astype(np.float64) ** (1 / 2.5)
        assert hot.entropy[place] == pytest.approx(slow_entropy(powers / powers.sum()), abs=1e-5)
        assert hot.entropy[place] > doubt.entropy[place] + 0.01


def test_float_images_are_taken_as_predictions_take_them(opened):
    sampler = Sampler(opened, 2, KEEP, SEED)
    floats = IMAGES[:1].astype(np.float32)
    expected = sampler.predict(IMAGES[:1])
    np.testing.assert_allclose(sampler.predict(floats), expected, atol=1e-5)
    assert np.abs(sampler.predict(np.minimum(floats + 0.5, 255)) - expected).max() > 1e-4
    with pytest.raises(ValueError, match='image values go from 0 to 1; the network expects RGB from 0 to 255'):
        SampledPredictor(sampler).probabilities(floats[0] / 255)


def test_what_is_computed_once_holds_every_convolution_up_to_fc6(opened, small_model):
    from fcn8s.saving import saved_models

    saved = saved_models.read_meta_graph(small_model, ['default']).graph_def
    head = cut_head(opened.graph, saved, 'decoder/fcn8s_output')
    convolutions = [node.name for node in head.graph_def.node if node.op in ('Conv2D', 'MatMul')]
    assert convolutions and all('conv' not in name.split('/')[0] and 'fc6' not in name for name in convolutions)
    assert head.draws == 2


def test_tiles_and_scales_average_samples(opened):
    sampler = Sampler(opened, 2, KEEP, SEED)
    plain = SampledPredictor(sampler)
    softmax, doubt = plain.samples(IMAGES[0])
    np.testing.assert_array_equal(softmax, sampler.predict(IMAGES[:1])[0, ..., :-1])
    assert plain.means == [(float(doubt.entropy.mean()), float(doubt.mutual_information.mean()))]
    mirrored = SampledPredictor(sampler, mirror=True).probabilities(IMAGES[0])
    other = sampler.predict(np.ascontiguousarray(IMAGES[:1, :, ::-1]))[0, :, ::-1, :-1]
    np.testing.assert_allclose(mirrored, (softmax + other) / 2, atol=1e-6)
    resized = SampledPredictor(sampler, size=(20, 28))
    assert resized.class_ids(IMAGES[0]).shape == (40, 56)
    np.testing.assert_allclose(resized.probabilities(IMAGES[0]).sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    'samples, keep, message',
    [
        (1, 0.5, 'samples is 1; it has to be a whole number from 2 to 1000'),
        (True, 0.5, 'samples is True'),
        (8, 1.0, 'keep_prob is 1.0; samples need dropout'),
    ],
)
def test_what_cannot_be_sampled(samples, keep, message):
    with pytest.raises(ValueError, match=message):
        check_sampling(samples, keep)


def test_a_network_without_dropout_has_nothing_to_sample(opened):
    with pytest.raises(ValueError, match='this network has no dropout'):
        cut_head(opened.graph, opened.graph.as_graph_def(), 'decoder/fcn8s_output')


def test_predict_writes_maps_and_means(small_model, tmp_path, capsys):
    write_image(str(tmp_path / 'in' / 'a.png'), IMAGES[0])
    out = tmp_path / 'out'
    arguments = ['predict', small_model, str(tmp_path / 'in'), '--out', str(out), '--samples', '2']
    assert cli.main(arguments) == 0
    names = {'a_overlay.png', 'a_doubt.npz', 'a_entropy.png', 'a_mutual_information.png', 'doubt.csv'}
    assert {path.name for path in out.iterdir()} == names
    with np.load(str(out / 'a_doubt.npz')) as maps, open(str(out / 'doubt.csv'), newline='') as file:
        (row,) = csv.DictReader(file)
        assert row['image'] == 'a' and maps['entropy'].shape == (40, 56)
        assert float(row['entropy']) == pytest.approx(maps['entropy'].mean())
        assert float(row['mutual_information']) == pytest.approx(maps['mutual_information'].mean())
    assert cli.main(arguments + ['--sample-seed', '-1']) == 2
    assert '--sample-seed is -1; it has to be from 0' in capsys.readouterr().err
    assert cli.main(arguments[:-2] + ['--sample-seed', '1']) == 2
    assert '--sample-seed is 1, but there are no --samples N' in capsys.readouterr().err
    assert cli.main(arguments[:-1] + ['1']) == 2
    assert '--samples is 1; it has to be from 2 to 1000' in capsys.readouterr().err


def test_a_run_without_dropout_is_refused_before_it_is_opened(tmp_path, capsys):
    run = runs.create_run(str(tmp_path / 'run'), {'train': {'keep_prob': 1}})
    assert cli.main(['predict', run.directory, 'x.png', '--out', str(tmp_path / 'out'), '--samples', '4']) == 2
    assert 'was trained without dropout (--keep-prob 1)' in capsys.readouterr().err
    other = runs.create_run(str(tmp_path / 'other'), {'train': {'keep_prob': 0.5}})
    against = ['evaluate', other.directory, '--against', run.directory, '--samples', '4', '--data', str(tmp_path)]
    assert cli.main(against) == 2
    assert '--samples: {} was trained without dropout'.format(run.directory) in capsys.readouterr().err


@pytest.mark.parametrize('share, times', [(None, 1), ([0, 2, 'FOLDER'], 0)])
def test_a_dropout_that_is_not_known_is_told(tmp_path, capsys, share, times):
    args = argparse.Namespace(samples=2, sample_seed=None, engine=None, model=str(tmp_path), share=share)
    check_sampling_arguments(args)
    assert capsys.readouterr().out.count('samples keep a share of 0.5 of fc6 and fc7, as VGG-16 does') == times
    args.model = runs.create_run(str(tmp_path / 'run'), {'train': {'keep_prob': 0.7}}).directory
    check_sampling_arguments(args)
    assert not capsys.readouterr().out


@needs_bfloat16
def test_a_network_in_bfloat16_has_samples_too(small_model, reference):
    with open_model(small_model, precision='bfloat16') as model:
        found = Sampler(model, SAMPLES, KEEP, SEED).predict(IMAGES)
    assert 0 < np.abs(found[..., :-1] - reference.mean(axis=0)).mean() < 0.02


def test_an_engine_without_dropout_has_no_samples():
    args = argparse.Namespace(samples=2, sample_seed=None, engine='openvino', model='run')
    with pytest.raises(ValueError, match='--samples are drawn by TensorFlow, and --engine is openvino. Leave one out'):
        check_sampling_arguments(args)


def test_an_export_has_no_samples():
    with pytest.raises(ValueError, match='--samples: exported is an export, which has no dropout any more'):
        sampled_predictor(argparse.Namespace(samples=2), 'exported', object())
