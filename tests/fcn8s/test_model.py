"""FCN8s as a research script uses it."""

import contextlib
import copy
import doctest
import functools
import json
import multiprocessing
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from run_records import timeless_file
from streams import Stream

from fcn8s import FCN8s, open_model
from fcn8s.backend import tf
from fcn8s.distributed.cluster import Cluster
from fcn8s.distributed.workers import DistributedSettings
from fcn8s.graph import assembly
from fcn8s.optimizers import OptimizerSettings
from fcn8s.saving import restoring, saved_models
from fcn8s.saving.opening import Architecture, Beginning, plan_opening
from fcn8s.saving.runs import Run
from fcn8s.stopping import TrainingInterrupted
from fcn8s.training.agreement import check_is_whole
from fcn8s.training.request import CONFIG_ENTRIES, FIXED_IN_A_RUN, TrainingEvent
from fcn8s.training.schedules import constant
from fcn8s.vgg16.write import write_encoder
from helpers.label_spaces import CAMVID, generic_label_space

IMAGES = np.random.RandomState(3).randint(0, 256, [2, 40, 56, 3]).astype(np.uint8)


def encoder_values(model):
    return {
        v.op.name: value
        for v, value in zip(model.model.encoder.variables, model.sess.run(list(model.model.encoder.variables)))
    }


def all_values(model):
    state = list(model.model.state)
    return {v.op.name: value for v, value in zip(state, model.sess.run(state))}


def assert_equal_values(first, second):
    assert sorted(first) == sorted(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.fixture(scope='module')
def trained(shallow_encoder, tmp_path_factory):
    """A network after a few steps, with both kinds of files that it saves."""
    directory = str(tmp_path_factory.mktemp('trained'))
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        history = model.train(Stream(), 2, 5, constant(1e-3), metrics={'loss', 'mean_iou', 'accuracy'})
        saved = model.save(directory, 'saved_model', name='model')
        variables = model.save(directory, 'train_saver', name='variables', force_save=True)
        yield dict(
            history=history,
            saved=saved,
            variables=variables,
            soft_max=model.predict(IMAGES, argmax=False),
            values=all_values(model),
            directory=directory,
        )


@pytest.fixture(scope='module')
def opened(trained):
    """That network, open, for tests that leave it as it is."""
    with FCN8s(model_load_dir=trained['saved']) as model:
        yield model


def test_workers_compare_the_graphs_of_their_encoders(shallow_encoder, tmp_path, monkeypatch):
    """Weights come from the first worker, but dilation, say, is in the graph alone, and the shapes are the same."""
    first, other, found = str(tmp_path / 'first'), str(tmp_path / 'other'), []
    for dilation, place in ((1, first), (2, other)):
        write_encoder(place, weights='random', width_divisor=64, head='3x3x64', head_dilation=dilation)

    def note(settings, description):
        found.append(description['the graph of the encoder'])

    monkeypatch.setattr('fcn8s.network.join', note)
    settings = DistributedSettings(Cluster(('a:1', 'b:1'), 0))
    for place in (first, first, other):
        FCN8s(vgg16_dir=place, num_classes=3, distributed=settings).close()
    assert found[0] == found[1] != found[2]


def test_loaded_encoder_weights_survive_initialisation(tiny_encoder):
    reader = tf.train.load_checkpoint(os.path.join(tiny_encoder, 'variables', 'variables'))
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=5) as model:
        values = encoder_values(model)
    assert len(values) == 30
    for name, value in values.items():
        np.testing.assert_array_equal(value, reader.get_tensor(name), err_msg=name)


def test_published_names_are_in_the_graph(shallow_encoder):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=5) as model:
        graph = model.sess.graph
        for attribute, name in [
            ('image_input', 'image_input:0'),
            ('keep_prob', 'keep_prob:0'),
            ('labels', 'labels_input:0'),
            ('fcn8s_output', 'decoder/fcn8s_output:0'),
            ('softmax_output', 'predictor/softmax_output:0'),
            ('predictions_argmax', 'predictor/predictions_argmax:0'),
            ('total_loss', 'optimizer/total_loss:0'),
            ('learning_rate', 'optimizer/learning_rate:0'),
        ]:
            assert getattr(model, attribute) is graph.get_tensor_by_name(name)
        assert model.train_op is graph.get_operation_by_name('optimizer/train_op')
        assert graph.get_tensor_by_name('l2_regularization_rate:0') is not None
        assert model.sess.run('optimizer/global_step:0') == 0
        assert model.num_classes == 5
    assert set(assembly.PublishedTensors.__annotations__) == set(assembly.PUBLISHED_TENSORS)


def test_a_script_can_feed_the_published_placeholders(shallow_encoder):
    images, labels = next(Stream())
    one_hot = np.stack([labels == 0, labels == 1], axis=-1)
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        feed = {
            'image_input:0': images.astype(np.float32),
            'keep_prob:0': 0.5,
            'optimizer/learning_rate:0': 1e-3,
            'l2_regularization_rate:0': 1e-3,
        }
        losses = []
        for fed in (one_hot, labels):
            feed['labels_input:0'] = fed
            losses.append(
                model.sess.run(
                    'optimizer/total_loss:0', dict(feed, **{'keep_prob:0': 1.0, 'l2_regularization_rate:0': 0.0})
                )
            )
            model.sess.run('optimizer/train_op', feed)
        assert model.sess.run(model.global_step) == 2
    assert losses[0] == pytest.approx(np.log(2), rel=1e-3)


def test_history_and_learning(trained):
    history = trained['history']
    assert [record['epoch'] for record in history] == [1, 2]
    assert history[0]['evaluation'] is None  # eval_frequency is 5, so the last epoch alone
    assert set(history[1]['evaluation']) >= {'loss', 'mean_iou', 'accuracy'}
    assert history[1]['training_loss'] < history[0]['training_loss']


def test_evaluate_returns_and_prints_what_the_documentation_says(opened, capsys):
    scores = opened.evaluate(data_generator=Stream(), num_batches=2, metrics={'loss', 'mean_iou'}, dataset='val')
    labels, predictions = [], []
    stream = Stream()
    for _ in range(2):
        images, label = next(stream)
        labels.append(label)
        predictions.append(opened.predict(images))
    labels, predictions = np.concatenate(labels), np.concatenate(predictions)
    confusion = np.array([[np.sum((labels == i) & (predictions == j)) for j in range(2)] for i in range(2)])
    np.testing.assert_array_equal(scores['confusion_matrix'], confusion)
    iou = [confusion[c, c] / (confusion[c].sum() + confusion[:, c].sum() - confusion[c, c]) for c in range(2)]
    np.testing.assert_allclose(scores['per_class_iou'], iou)
    assert scores['mean_iou'] == pytest.approx(np.mean(iou)) and 'accuracy' not in scores
    assert 'Scores on val' in capsys.readouterr().out


def test_evaluation_at_the_size_of_the_labels(opened):
    class Larger(Stream):
        def __next__(self):
            images, labels = super().__next__()
            return images, labels.repeat(2, axis=1).repeat(2, axis=2)

    scores = opened.evaluate(Larger(), 1)
    assert scores['confusion_matrix'].sum() == 2 * 128 * (128 - 16)


def test_l2_enters_the_loss(opened):
    plain = opened.evaluate(Stream(), 1)['loss']
    penalised = opened.evaluate(Stream(), 1, l2_regularization=0.1)['loss']
    kernels = opened.sess.run(list(opened.model.decoder.kernels))
    expected = 0.1 * sum(0.5 * np.sum(np.square(kernel, dtype=np.float64)) for kernel in kernels)
    assert penalised - plain == pytest.approx(expected, rel=1e-4)


def test_predict_sizes_types_and_forms(opened):
    ids, soft_max = opened.predict(images=IMAGES, argmax=True), opened.predict(list(IMAGES), argmax=False)
    assert ids.shape == (2, 40, 56) and ids.dtype == np.uint8
    assert soft_max.shape == (2, 40, 56, 2) and soft_max.dtype == np.float32
    np.testing.assert_allclose(soft_max.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(ids, soft_max.argmax(axis=-1))
    np.testing.assert_array_equal(opened.predict(IMAGES.astype(np.float32)), ids)
    many = np.concatenate([IMAGES] * 10)
    np.testing.assert_array_equal(opened.predict(many), np.concatenate([ids] * 10))
    assert opened.predict([]).shape[0] == 0
    for height, width in [(1, 1), (1, 97), (33, 2), (31, 65)]:
        assert opened.predict(np.zeros([1, height, width, 3], np.uint8)).shape == (1, height, width)


@pytest.mark.parametrize(
    'images, message',
    [
        (np.zeros([4, 4, 3], np.uint8), r'shape \(4, 4, 3\).*single image as \[image\]'),
        (np.zeros([1, 4, 4, 1], np.uint8), 'grey or RGBA'),
        (np.zeros([1, 4, 4, 4], np.uint8), 'grey or RGBA'),
        ([np.zeros([4, 4, 3], np.uint8), np.zeros([4, 5, 3], np.uint8)], 'different shapes.*one by one'),
        (np.full([1, 4, 4, 3], 0.5), 'Multiply by 255'),
        (np.full([1, 4, 4, 3], -1.0), 'from 0 to 255 and subtracts the mean itself'),
        (np.full([1, 4, 4, 3], np.nan), 'from nan'),
        (np.full([1, 4, 4, 3], 65535, np.uint16), 'from 65535 to 65535.* Bring images of more than 8 bits to 8'),
        (np.zeros([1, 3, 4, 5], np.uint8), r'Put the channels last: images.transpose\(0, 2, 3, 1\)'),
        (['a.png'], 'dtype <U5.* Read files with helpers.images.read_image'),
        ([b'a.png'], 'dtype .S5.* Read files with'),
        ([None], 'dtype object.* Read files with'),
        (pathlib.Path('a.png'), 'of the type PosixPath; .*read files with'),
        (None, 'of the type NoneType; expected an array'),
        (np.zeros([1, 0, 4, 3], np.uint8), 'at least 1'),
    ],
)
def test_bad_images_are_refused(opened, images, message):
    with pytest.raises(ValueError, match=message):
        opened.predict(images)


def test_saved_model_loads_and_predicts_the_same(trained):
    with FCN8s(model_load_dir=trained['saved'], tags=['default']) as model:
        np.testing.assert_array_equal(model.predict(IMAGES, argmax=False), trained['soft_max'])
        assert model.sess.run(model.global_step) == 10
        history = model.train(Stream(), 1, 2, constant(1e-3))
        assert np.isfinite(history[0]['training_loss'])


def test_saver_variables_restore_every_tensor(trained, shallow_encoder):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, variables_load_dir=trained['variables']) as model:
        assert_equal_values(all_values(model), trained['values'])


def test_load_variables_after_building(trained, shallow_encoder):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.load_variables(path=trained['variables'])
        assert_equal_values(all_values(model), trained['values'])


def test_save_names_and_force(trained, shallow_encoder, tmp_path, capsys):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(), 1, 2, constant(1e-3), metrics={'mean_iou'})
        path = model.save(
            str(tmp_path),
            'saved_model',
            tags=['default'],
            name='mine',
            include_global_step=True,
            include_last_training_loss=True,
            include_metrics=True,
        )
        assert os.path.basename(path).startswith('mine_(globalstep-2)_(trainloss-') and '(eval_mean_iou-' in path
        assert model.save(str(tmp_path), 'saved_model', name='mine', tags=['default']) is None
        assert 'force_save=True' in capsys.readouterr().out
        shutil.rmtree(path)
        for again in (dict(name='mine'), dict(name='other'), dict(name='mine', tags=['own'])):
            assert os.path.isdir(model.save(str(tmp_path), 'saved_model', **again))
        bare = model.save(
            str(tmp_path),
            'saved_model',
            name='bare',
            include_global_step=False,
            include_last_training_loss=False,
            include_metrics=False,
            force_save=True,
        )
        assert os.path.basename(bare) == 'bare'
        with pytest.raises(FileExistsError, match='exists already'):
            model.save(
                str(tmp_path),
                'saved_model',
                name='bare',
                include_global_step=False,
                include_last_training_loss=False,
                include_metrics=False,
                force_save=True,
            )
        assert os.path.basename(model.save(str(tmp_path), name='', force_save=True)).startswith('(globalstep-2)')
        with pytest.raises(ValueError, match="saver is 'pickle'"):
            model.save(str(tmp_path), 'pickle')
        with pytest.raises(ValueError, match="force_save is 'no'; it has to be True or False"):
            model.save(str(tmp_path), force_save='no')
        with pytest.raises(ValueError, match="include_metrics is 'no'; it has to be True or False"):
            model.save(str(tmp_path), include_metrics='no')
        with pytest.raises(ValueError, match="argmax is 'no'; it has to be True or False"):
            model.predict(next(Stream())[0], argmax='no')


def test_scores_are_saved_with_the_weights_that_they_are_of(shallow_encoder, tmp_path):
    every = dict(save_during_training=True, save_dir=str(tmp_path), save_best_only=False, save_frequency=1)
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(), 4, 1, constant(1e-3), metrics={'mean_iou'}, val_steps=1, eval_frequency=2, **every)
    has_scores = {}
    for name in sorted(os.listdir(str(tmp_path))):
        with open(str(tmp_path / name / 'fcn8s.json'), encoding='utf-8') as file:
            description = json.load(file)
        has_scores[description['global_step']] = ('(eval_mean_iou-' in name, 'mean_iou' in description['metrics'])
    assert has_scores == {1: (False, False), 2: (True, True), 3: (False, False), 4: (True, True)}


def test_own_tags(trained, opened, tmp_path, capsys):
    path = opened.save(str(tmp_path), 'saved_model', tags=['mine'], force_save=True)
    printed = capsys.readouterr().out
    assert "tags=['mine']) opens it. To deploy, pack or fine-tune it" in printed and 'fcn8s export' not in printed
    with FCN8s(model_load_dir=path, tags=['mine']) as model:
        np.testing.assert_array_equal(model.predict(IMAGES, argmax=False), trained['soft_max'])
    message = (
        r"no graph with the tags \['default'\]; it has \[\['mine'\]\]. Open it with .*save it from there without tags"
    )
    with pytest.raises(ValueError, match=message):
        FCN8s(fine_tune_from=path)


def test_two_models_live_side_by_side_and_a_cell_runs_twice(trained, shallow_encoder):
    first = FCN8s(vgg16_dir=shallow_encoder, num_classes=2)
    second = FCN8s(vgg16_dir=shallow_encoder, num_classes=3)
    first_again = FCN8s(vgg16_dir=shallow_encoder, num_classes=2)
    assert first.predict(IMAGES, argmax=False).shape[-1] == 2
    assert second.predict(IMAGES, argmax=False).shape[-1] == 3
    np.testing.assert_array_equal(first.predict(IMAGES), first_again.predict(IMAGES))
    for model in (first, second, first_again):
        model.close()
        model.close()


@pytest.mark.parametrize('begin', [open_model, lambda path: FCN8s(model_load_dir=path)])
def test_a_model_that_another_thread_closes_in_the_midst_of_a_prediction_says_so(trained, begin):
    model, seen, predicting = begin(trained['saved']), [], threading.Event()

    def predict():
        try:
            while True:
                model.predict(IMAGES)
                predicting.set()
        except Exception as error:
            seen.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    assert predicting.wait(60)
    model.close()
    thread.join(60)
    assert not thread.is_alive() and isinstance(seen[0], ValueError) and 'was closed, by close() or' in str(seen[0])


def test_a_closed_model_says_so(trained):
    model = FCN8s(model_load_dir=trained['saved'])
    model.close()
    for call in (
        lambda: model.predict(IMAGES),
        lambda: model.evaluate(Stream(), 1),
        lambda: model.save('x'),
        lambda: model.train(Stream(), 1, 1, constant(1.0)),
        lambda: model.load_variables('x'),
        model.__enter__,
    ):
        with pytest.raises(ValueError, match='this FCN8s was closed'):
            call()


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(), 'no beginning is given; pass exactly one of vgg16_dir'),
        (dict(vgg16_dir='a', model_load_dir='b'), 'model_load_dir and vgg16_dir are given'),
        (dict(vgg16_dir='ENCODER'), 'num_classes is missing'),
        (dict(vgg16_dir='ENCODER', num_classes=1), 'num_classes is 1; it has to be an integer from 2 to 255'),
        (dict(vgg16_dir='ENCODER', num_classes=2.5), 'num_classes is 2.5'),
        (
            dict(vgg16_dir='ENCODER', num_classes=3, label_space=CAMVID),
            "num_classes is 3, but the label space 'camvid' has 11",
        ),
        (dict(vgg16_dir='ENCODER', num_classes=2, variant='4s'), "variant is '4s'; choose from 8s, 16s, 32s"),
        (dict(vgg16_dir='ENCODER', num_classes=2, upsampling='cubic'), "upsampling is 'cubic'"),
        (dict(vgg16_dir='ENCODER', num_classes=2, skip_scales=1.0), 'skip_scales is 1.0; it has to be two numbers'),
        (dict(vgg16_dir='ENCODER', num_classes=2, skip_scales=(0, 1)), 'both factors have to be positive'),
        (dict(vgg16_dir='ENCODER', num_classes=2, optimizer='rmsprop'), "optimizer is 'rmsprop'; choose from"),
        (dict(vgg16_dir='ENCODER', num_classes=2, freeze='head'), "freeze is 'head'; it has to be 'encoder'"),
        (dict(vgg16_dir='ENCODER', num_classes=2, tags=['default']), 'belongs to model_load_dir'),
        (dict(vgg16_dir='ENCODER', num_classes=2, class_weights=[1.0]), 'class_weights'),
        (
            dict(model_load_dir='SAVED', num_classes=7),
            'num_classes is 7, but the model saved in .* has 2.*fine_tune_from',
        ),
        (dict(model_load_dir='SAVED', variant='32s'), "variant is '32s', but the model saved in"),
        (dict(model_load_dir='SAVED', variables_load_dir='x'), 'variables_load_dir needs vgg16_dir'),
        (dict(model_load_dir='ENCODER'), 'holds no fcn8s.json|is neither a run directory'),
        (dict(vgg16_dir='SAVED', num_classes=2), r"no graph with the tags \['vgg16'\].*pass it as model_load_dir"),
        (
            dict(vgg16_dir='ENCODER', num_classes=3, variables_load_dir='VARIABLES'),
            'do not fit this network.*is \\[1, 1, 256, 2\\] and not',
        ),
        (dict(model_load_dir='EMPTY'), 'neither a run directory'),
        (dict(vgg16_dir='EMPTY', num_classes=2), 'is no SavedModel: it holds no saved_model.pb'),
    ],
)
def test_bad_beginnings_are_refused(trained, shallow_encoder, tmp_path, arguments, message):
    places = {
        'ENCODER': shallow_encoder,
        'SAVED': trained['saved'],
        'VARIABLES': trained['variables'],
        'EMPTY': str(tmp_path),
    }
    arguments = {
        name: places.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()
    }
    with pytest.raises(ValueError, match=message):
        FCN8s(**arguments)


@pytest.mark.parametrize('name', ['model_load_dir', 'vgg16_dir', 'fine_tune_from'])
def test_directories_that_are_not_there(name):
    with pytest.raises(FileNotFoundError, match="'no/such/place' does not exist"):
        FCN8s(num_classes=2, **{name: 'no/such/place'})


def test_a_model_with_other_tags_is_opened_by_those_that_it_has(trained):
    with pytest.raises(ValueError, match=r"it has \[\['default'\]\]. Pass tags=\['default'\], or leave tags out"):
        FCN8s(model_load_dir=trained['saved'], tags=['trained'])


def test_a_number_of_batches_that_is_no_integer_is_refused(opened):
    refused = pytest.raises(ValueError, match=r'num_batches is .*; it has to be a whole number of at least 0.*')
    for number in (np.ceil(3 / 2), True, -1):
        with refused:
            opened.evaluate(Stream(), number)


def test_variables_that_are_not_there(shallow_encoder):
    with pytest.raises(FileNotFoundError, match="there are no variables at 'no/such/place'"):
        FCN8s(vgg16_dir=shallow_encoder, num_classes=2, variables_load_dir='no/such/place')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(epochs=0), 'epochs is 0'),
        (dict(steps_per_epoch=2.5), 'steps_per_epoch is 2.5'),
        (dict(steps_per_epoch=np.ceil(3 / 2)), r'whole number of at least 1, an int and no float'),
        (dict(learning_rate_schedule=1e-4), 'learning_rate_schedule is 0.0001; it has to be a function step -> rate'),
        (dict(learning_rate_schedule=lambda step: float('nan')), r'learning_rate_schedule\(0\) is nan'),
        (
            dict(learning_rate_schedule=lambda step: np.array([1e-3])),
            r'schedule\(0\) is array.*lambda step: float\(schedule\(step\)\)',
        ),
        (dict(keep_prob=0.0), 'keep_prob is 0.0'),
        (dict(keep_prob=None), 'keep_prob is None'),
        (dict(keep_prob=True), 'keep_prob is True; it has to be a number above 0'),
        (dict(l2_regularization=-1), 'l2_regularization is -1'),
        (dict(l2_regularization=None), 'l2_regularization is None'),
        (dict(l2_regularization=True), 'l2_regularization is True'),
        (dict(metrics={'iou'}), r"metrics has \['iou'\]"),
        (dict(eval_dataset='test'), "eval_dataset is 'test'"),
        (dict(eval_dataset='train', val_generator=iter([])), "val_generator is given, but eval_dataset is 'train'"),
        (dict(resume='no'), "resume is 'no'; it has to be True or False"),
        (dict(save_best_only=None), 'save_best_only is None; it has to be True or False'),
        (dict(summaries_worst=2), 'summaries_worst is 2, and metrics is empty'),
        (
            dict(summaries_worst=2, metrics={'loss'}, record_summaries=False),
            'summaries_worst is 2, and record_summaries is off',
        ),
        (dict(summaries_worst=-1), 'summaries_worst is -1; it has to be a whole number from 0 to 100'),
        (dict(callbacks=[1]), r'callbacks is \[1\]; it has to be a list of functions'),
        (dict(callbacks=len), 'callbacks is <built-in function len>; it has to be a list of functions'),
        (dict(config=[('note', 1)]), r'config is \[.*it has to be a dict'),
        (dict(config={('a', 1): 2}), r"config\[\('a', 1\)\] is 2, which JSON cannot hold"),
        (dict(config={'when': object()}), r"config\['when'\] is <object.*JSON cannot hold"),
        (dict(eval_dataset='val', metrics={'loss'}), 'val_generator has to be an iterator'),
        (dict(eval_dataset='val', metrics={'loss'}, val_generator=iter([])), 'val_steps has to say'),
        (dict(monitor='mean_iou'), "monitor is 'mean_iou', but metrics"),
        (dict(monitor='recall'), "monitor is 'recall'"),
        (dict(monitor=['loss']), r"monitor is \['loss'\]; choose from"),
        (dict(metrics=19), r'metrics has \[19\]; choose from'),
        (dict(metrics=[['loss']]), r"metrics has \[\['loss'\]\]; choose from"),
        (dict(summaries_name='first'), "summaries_name is 'first', but summaries_dir does not say where"),
        (dict(monitor='iou:wheelbarrow', metrics={'mean_iou'}), 'there is no such class'),
        (dict(save_during_training=True), 'save_dir is not given'),
        (dict(save_during_training=True, save_dir='x', run_dir='y'), 'both given'),
        (dict(saver='pickle'), "saver is 'pickle'"),
        (dict(saver=['default']), r"saver is \['default'\]; choose from"),
        (dict(save_tags='default'), "save_tags is 'default'"),
        (dict(save_tags=4), 'save_tags is 4; it has to be a list'),
        (
            dict(save_tags=['a'], saver='train_saver'),
            r"tags are \['a'\], and saver is 'train_saver', whose checkpoints",
        ),
        (dict(resume=True), 'run_dir does not say which run'),
        (dict(train_generator=[1, 2]), 'train_generator is .list.*while True: yield from train_generator'),
        (dict(train_generator=iter), 'train_generator is .builtin.* It is a function: call it'),
        (dict(train_generator=Stream(label_space=generic_label_space(3))), 'labelled in .*3 classes'),
        (dict(eval_frequency=0), 'eval_frequency is 0'),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(opened, arguments, message):
    request = dict(train_generator=Stream(), epochs=1, steps_per_epoch=1, learning_rate_schedule=constant(1e-3))
    request.update(arguments)
    with pytest.raises(ValueError, match=message):
        opened.train(**request)
    assert opened.sess.run(opened.global_step) == 10


def test_training_is_refused_where_onednn_would_keep_the_first_weights(opened, monkeypatch):
    monkeypatch.setenv('TF_ONEDNN_ASSUME_FROZEN_WEIGHTS', '1')
    message = "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS is '1'.*Unset it to train"
    with pytest.raises(ValueError, match=message):
        opened.train(Stream(), epochs=1, steps_per_epoch=1, learning_rate_schedule=constant(1e-3))


def test_labels_outside_the_classes_are_named(opened):
    class Wrong(Stream):
        def __next__(self):
            images, labels = super().__next__()
            labels[0, -1, -1] = 33
            return images, labels

    for call in (lambda: opened.train(Wrong(), 1, 1, constant(1e-3)), lambda: opened.evaluate(Wrong(), 1)):
        with pytest.raises(ValueError, match=r'labels hold the IDs \[33\].*classes 0 to 1.*convert_ids_to_ids'):
            call()
    assert opened.sess.run(opened.global_step) == 10


@pytest.mark.parametrize('saver', ['saved_model', 'train_saver'])
@pytest.mark.parametrize('best_only', [True, False])
def test_saves_during_training(shallow_encoder, tmp_path, saver, best_only):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(
            Stream(),
            2,
            2,
            constant(1e-3),
            eval_dataset='val',
            eval_frequency=2,
            val_generator=Stream(seed=1),
            val_steps=1,
            metrics={'loss', 'mean_iou'},
            save_during_training=True,
            save_dir=str(tmp_path),
            save_best_only=best_only,
            save_tags=['default'],
            save_name='x',
            save_frequency=1,
            saver=saver,
            monitor='mean_iou',
            record_summaries=True,
            summaries_frequency=1,
            summaries_dir=str(tmp_path / 'events'),
            summaries_name='first',
        )
        expected = model.predict(IMAGES, argmax=False)
    models = sorted(name for name in os.listdir(str(tmp_path)) if name.startswith('x_'))
    assert models and (best_only or len(models) == 2)
    newest = str(tmp_path / [name for name in models if 'globalstep-4' in name][0]) if not best_only else None
    if newest and saver == 'saved_model':
        with FCN8s(model_load_dir=newest) as model:
            np.testing.assert_array_equal(model.predict(IMAGES, argmax=False), expected)


def test_events_hold_scalars_pictures_and_weights(shallow_encoder, tmp_path):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(
            Stream(),
            1,
            12,
            constant(1e-3),
            metrics={'loss', 'mean_iou'},
            summaries_frequency=1,
            summaries_dir=str(tmp_path),
            summaries_worst=2,
        )
    tags = []
    for name in os.listdir(str(tmp_path)):
        for event in tf.train.summary_iterator(str(tmp_path / name)):
            tags += [value.tag for value in event.summary.value]
    # The losses of steps and of an evaluation on the same images are two curves.
    assert (tags.count('train/loss'), tags.count('train/mean_loss')) == (12, 1)
    assert {
        'train/learning_rate',
        'train/image_truth_prediction',
        'train/mean_iou',
        'train_iou/class 1',
        'train/confusion_matrix',
        'train_worst/1',
        'train_worst/2',
        'weights_rms/conv1_1/filter',
        'weights_mean/decoder/score_fc7/kernel',
    } <= set(tags)


def train_in_run(model, run_dir, epochs=2, resume=False, stop_at=None, eval_dataset='val', batch=2):
    class Stopping(Stream):
        def __next__(self):
            if self.position == stop_at:
                os.kill(os.getpid(), 15)
            return super().__next__()

    model.train(
        Stopping(batch_size=batch),
        epochs,
        4,
        lambda step: 1e-3 / (step + 1),
        eval_dataset=eval_dataset,
        eval_frequency=1,
        val_generator=Stream(seed=1) if eval_dataset == 'val' else None,
        metrics={'loss', 'mean_iou'},
        monitor='mean_iou',
        run_dir=run_dir,
        resume=resume,
        save_frequency=1,
        record_summaries=False,
    )


def run_training(encoder, run_dir, epochs=2, resume=False, stop_at=None, eval_dataset='val', **settings):
    with FCN8s(vgg16_dir=encoder, num_classes=2, seed=5, **settings) as model:
        ends = contextlib.nullcontext() if stop_at is None else pytest.raises(TrainingInterrupted)
        with ends:
            train_in_run(model, run_dir, epochs, resume, stop_at, eval_dataset)
        return all_values(model)


@pytest.fixture(scope='module')
def copy_of_run(shallow_encoder, tmp_path_factory):
    """A function: copies the run of `run_training` over so many epochs to a directory; returns its values at the end."""
    made, root = {}, tmp_path_factory.mktemp('runs')

    def copied(epochs, run_dir):
        if epochs not in made:
            made[epochs] = run_training(shallow_encoder, str(root / str(epochs)), epochs)
        shutil.copytree(str(root / str(epochs)), str(run_dir))
        return made[epochs]

    return copied


@pytest.mark.parametrize(
    'damaged, missing',
    [({'model': [1]}, 'model'), ({'training': None}, 'training'), ({'train': {}}, 'steps_per_epoch, '), ({}, 'seed')],
)
def test_a_run_whose_config_is_not_whole_does_not_go_on(tmp_path, damaged, missing):
    config = {'model': {}, 'training': {}, 'train': dict.fromkeys(FIXED_IN_A_RUN), 'seed': 0}
    check_is_whole(Run(str(tmp_path)), config)
    config.update(damaged)
    if not damaged:
        del config['seed']
    with pytest.raises(ValueError, match='config.json is damaged: {}.* of the run is missing'.format(missing)):
        check_is_whole(Run(str(tmp_path)), config)


@pytest.mark.parametrize('settings', [{}, dict(optimizer='sgd', normalize='mean'), dict(accumulate_batches=2)])
def test_interrupted_and_resumed_is_bit_identical(shallow_encoder, copy_of_run, tmp_path, settings):
    if settings:
        whole = run_training(shallow_encoder, str(tmp_path / 'whole'), **settings)
    else:
        whole = copy_of_run(2, tmp_path / 'whole')
    run_training(shallow_encoder, str(tmp_path / 'parts'), stop_at=5, **settings)
    assert_equal_values(run_training(shallow_encoder, str(tmp_path / 'parts'), resume=True, **settings), whole)
    assert timeless_file(str(tmp_path / 'parts' / 'metrics.jsonl')) == timeless_file(
        str(tmp_path / 'whole' / 'metrics.jsonl')
    )


def test_an_epoch_that_lacks_only_its_evaluation_is_finished_once(shallow_encoder, tmp_path):
    """Stopped in the last step of an epoch, or in the evaluation behind it, which sees the next training batches."""

    def run(run_dir, epochs, **arguments):
        return run_training(shallow_encoder, str(tmp_path / run_dir), epochs, eval_dataset='train', **arguments)

    whole = run('whole', 2)
    for stop_at, parts in ((3, 'in_the_last_step'), (5, 'in_the_evaluation')):
        run(parts, 1, stop_at=stop_at)
        records = tmp_path / parts / 'metrics.jsonl'
        assert not records.exists()
        run(parts, 1, resume=True)
        assert_equal_values(run(parts, 2, resume=True), whole)
        assert timeless_file(str(records)) == timeless_file(str(tmp_path / 'whole' / 'metrics.jsonl'))


def test_a_damaged_line_of_the_records_stays_and_hides_no_epoch(shallow_encoder, copy_of_run, tmp_path):
    copy_of_run(2, tmp_path / 'run')
    path = tmp_path / 'run' / 'metrics.jsonl'
    _, second = path.read_bytes().splitlines()
    path.write_bytes(b'damaged\n' + second)
    with pytest.warns(UserWarning, match='metrics.jsonl has lines that cannot be read, which are left out: 1.'):
        run_training(shallow_encoder, str(tmp_path / 'run'), epochs=3, resume=True)
    lines = path.read_bytes().splitlines()
    assert lines[:2] == [b'damaged', second] and [json.loads(line)['epoch'] for line in lines[2:]] == [3]


def test_a_run_is_never_overwritten_and_resumes_only_as_itself(shallow_encoder, copy_of_run, tmp_path):
    copy_of_run(1, tmp_path / 'run')
    path = tmp_path / 'run' / 'config.json'
    config = path.read_text()

    def refused(message, error=ValueError, name='run', resume=True, batch=2):
        with pytest.raises(error, match=message):
            train_in_run(model, str(tmp_path / name), resume=resume, batch=batch)

    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, seed=5) as model:
        refused('holds a run already', resume=False)
        refused('was started with batch_size 2 and cannot go on with 4', batch=4)
        refused('is no run directory', FileNotFoundError, name='other')
        for part, name, value, message in (
            ('model', 'skip_scales', [0.5, 1.0], 'model skip_scales .0.5, 1.0. and cannot go on with'),
            ('training', 'loss', 'dice', "training loss 'dice' and cannot go on with 'cross_entropy'"),
        ):
            started = json.loads(config)
            assert started[part][name] != value
            started[part][name] = value
            path.write_text(json.dumps(started))
            refused('was started with ' + message)
    started = json.loads(config)
    assert started['training'].pop('label_smoothing') == 0  # as runs were before there was any
    path.write_text(json.dumps(started))
    multiplied = OptimizerSettings(rate_multipliers={'fc6': 10})
    for settings, message in (
        (dict(optimizer=multiplied), 'optimizer rate_multipliers None and cannot go on with .*fc6'),
        (dict(label_smoothing=0.1), 'training label_smoothing 0.0 and cannot go on with 0.1'),
    ):
        with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, seed=5, **settings) as model:
            refused(message)


def test_best_survives_resuming(shallow_encoder, copy_of_run, tmp_path):
    copy_of_run(1, tmp_path / 'run')
    first = json.loads((tmp_path / 'run' / 'checkpoints' / 'last.json').read_text())
    with open(str(tmp_path / 'run' / 'checkpoints' / first['checkpoint'] / 'state.json')) as file:
        state = json.load(file)
    state['loop']['best'], state['loop']['best_step'] = 2.0, 4  # better than any score can be
    with open(str(tmp_path / 'run' / 'checkpoints' / first['checkpoint'] / 'state.json'), 'w') as file:
        json.dump(state, file)
    run_training(shallow_encoder, str(tmp_path / 'run'), epochs=2, resume=True)
    assert json.loads((tmp_path / 'run' / 'checkpoints' / 'best.json').read_text()) == first


def test_accumulation_equals_a_larger_batch(shallow_encoder):
    class Merged(Stream):
        def __next__(self):
            first, second = super().__next__(), super().__next__()
            return tuple(np.concatenate(pair) for pair in zip(first, second))

    values = []
    for stream, batches in ((Stream(), 2), (Merged(), 1)):
        with FCN8s(
            vgg16_dir=shallow_encoder,
            num_classes=2,
            optimizer=OptimizerSettings('sgd', momentum=0.9),
            accumulate_batches=batches,
        ) as model:
            model.train(stream, 1, 2, constant(1e-2), keep_prob=1.0)
            values.append(
                {v.op.name: value for v, value in zip(model.model.weights, model.sess.run(list(model.model.weights)))}
            )
    for name in values[0]:
        np.testing.assert_allclose(values[0][name], values[1][name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize('head_warmup', [0, 1])
def test_a_step_that_failed_half_way_leaves_nothing_in_the_next_one(narrow_encoder, head_warmup):
    def breaking():
        yield next(Stream(seed=1))
        raise OSError('no such file')

    values = []
    for fails in (False, True):
        with FCN8s(
            vgg16_dir=narrow_encoder,
            num_classes=2,
            optimizer=OptimizerSettings('sgd', momentum=0.0),
            accumulate_batches=2,
            head_warmup=head_warmup,
        ) as model:
            if fails:
                with pytest.raises(OSError, match='no such file'):
                    model.train(breaking(), 2, 1, constant(1e-2))
            model.train(Stream(), 1 + head_warmup, 1, constant(1e-2), keep_prob=1.0)
            values.append(all_values(model))
    assert_equal_values(*values)


def test_freeze_leaves_the_encoder_as_it_was(shallow_encoder):
    for freeze, unchanged in (('encoder', 'conv1_ conv2_ conv3_ conv4_ conv5_ fc6 fc7'), (2, 'conv1_ conv2_'), (0, '')):
        with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, freeze=freeze) as model:
            before = encoder_values(model)
            model.train(Stream(), 1, 2, constant(1e-3))
            after = encoder_values(model)
        for name in before:
            same = np.array_equal(before[name], after[name])
            assert same == name.startswith(tuple(unchanged.split())), (freeze, name)


def test_the_head_is_warmed_up_alone_and_then_everything_begins_by_the_usual_rule(shallow_encoder):
    values, rate = [], 1e-3

    def collect(event):
        if event.kind == 'epoch':
            values.append(
                {v.op.name: x for v, x in zip(model.model.weights, model.sess.run(list(model.model.weights)))}
            )

    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, head_warmup=1, freeze=1) as model:
        collect(TrainingEvent('epoch', 0, {}, model))
        model.train(Stream(), 2, 1, constant(rate), callbacks=[collect])
        assert not any('average' in v.op.name for v in model.model.state)
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, freeze=5) as model:
        model.train(Stream(), 1, 1, constant(rate))
        frozen = {v.op.name: x for v, x in zip(model.model.weights, model.sess.run(list(model.model.weights)))}
    before, warm, after = values
    for name in before:
        np.testing.assert_array_equal(warm[name], frozen[name], err_msg=name)
        moved = np.abs(after[name] - warm[name]).max()
        if name.startswith('conv1_'):
            assert moved == 0, name
        elif name.endswith(('filter', 'weights')):
            # The first step of Adam is the rate, with its corrected moments; without the correction three times that.
            assert 0.9 * rate < moved < 1.01 * rate, (name, moved)
    assert any(np.any(warm[name] != before[name]) for name in before if name.startswith('decoder/'))
    assert all(np.array_equal(warm[name], before[name]) for name in before if name.startswith('conv'))


def test_a_warmed_up_run_resumes_bit_for_bit(shallow_encoder, tmp_path):
    """Stopped within a step, in the warm-up and behind it."""
    optimizer = OptimizerSettings(ema=0.5, rate_multipliers={'conv': 2})
    settings = dict(head_warmup=1, accumulate_batches=2, optimizer=optimizer)
    whole, parts = run_training(shallow_encoder, str(tmp_path / 'whole'), **settings), str(tmp_path / 'parts')
    run_training(shallow_encoder, parts, stop_at=2, **settings)
    run_training(shallow_encoder, parts, stop_at=9, resume=True, **settings)
    assert_equal_values(run_training(shallow_encoder, parts, resume=True, **settings), whole)
    with pytest.raises(ValueError, match='was started with training.head_warmup 1 and cannot go on with 0'):
        run_training(shallow_encoder, parts, resume=True, **dict(settings, head_warmup=0))


def test_a_warm_up_that_cannot_be_is_refused(shallow_encoder):
    with pytest.raises(
        ValueError,
        match='head_warmup is -1; it has to be a whole number of at least 0. It is a number of epochs, 0 for none',
    ):
        FCN8s(vgg16_dir=shallow_encoder, num_classes=2, head_warmup=-1)
    with pytest.raises(ValueError, match="head_warmup is 1, and freeze is 'encoder', which trains no convolution"):
        FCN8s(vgg16_dir=shallow_encoder, num_classes=2, head_warmup=1, freeze='encoder')
    too_long = pytest.raises(ValueError, match='head_warmup is 2 and epochs is 2; the warm-up has to leave epochs')
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, head_warmup=2) as model, too_long:
        model.train(Stream(), 2, 1, constant(1e-3))


def test_a_network_that_diverged_is_not_trained_on_nor_saved_until_weights_are_loaded(tmp_path, narrow_encoder):
    with FCN8s(vgg16_dir=narrow_encoder, num_classes=2) as model:
        saved = model.save(str(tmp_path), name='whole')
        with pytest.raises(FloatingPointError):
            model.train(Stream(), 1, 40, constant(1e30))
        for what in (
            lambda: model.train(Stream(), 1, 1, constant(1e-4)),
            lambda: model.predict(IMAGES),
            lambda: model.evaluate(Stream(), 1),
            lambda: model.save(str(tmp_path), name='broken', force_save=True),
        ):
            with pytest.raises(ValueError, match='hold NaN or infinity since a training diverged .* load_variables'):
                what()
        assert [name for name in os.listdir(str(tmp_path)) if name.startswith('broken')] == []
        model.load_variables(saved)
        # The moments of the optimiser were NaN, too, and would have come with the second step.
        history = model.train(Stream(), 1, 3, constant(1e-4))
        assert np.isfinite(history[0]['training_loss'])
        assert model.predict(IMAGES).shape == IMAGES.shape[:3]


def test_variables_without_an_optimiser_begin_it_anew(tmp_path, narrow_encoder):
    with FCN8s(vgg16_dir=narrow_encoder, num_classes=2, optimizer=OptimizerSettings(ema=0.5)) as model:
        saved = model.save(str(tmp_path))
        others = list(model.model.state[len(model.model.weights) :])
        fresh = model.sess.run(others)
        model.train(Stream(), 1, 2, constant(1e-3))
        assert any((a != b).any() for a, b in zip(model.sess.run(others), fresh))
        model.load_variables(saved)
        for variable, value, expected in zip(others, model.sess.run(others), fresh):
            np.testing.assert_array_equal(value, expected, err_msg=variable.op.name)


def test_fine_tuning_carries_classes_over_by_name(tmp_path, shallow_encoder, capsys):
    old = generic_label_space(3, class_names=['road', 'car', 'sky'])
    new = generic_label_space(3, class_names=['sky', 'tree', 'road'])
    with FCN8s(vgg16_dir=shallow_encoder, label_space=old) as model:
        stream = Stream()
        model.train(stream, 1, 3, constant(1e-2))
        path = model.save(str(tmp_path))
        before = {v.op.name: value for v, value in zip(model.model.weights, model.sess.run(list(model.model.weights)))}
    with FCN8s(fine_tune_from=path, label_space=new) as model:
        after = {v.op.name: value for v, value in zip(model.model.weights, model.sess.run(list(model.model.weights)))}
        assert model.sess.run(model.global_step) == 0
    assert 'loaded for 2 of 3 classes' in capsys.readouterr().out
    np.testing.assert_array_equal(after['conv3_1/filter'], before['conv3_1/filter'])
    bias = before['decoder/score_fc7/bias']
    np.testing.assert_array_equal(after['decoder/score_fc7/bias'], [bias[2], 0, bias[0]])
    kernel, carried = before['decoder/upsample_8x/kernel'], after['decoder/upsample_8x/kernel']
    np.testing.assert_array_equal(carried[:, :, 0, 2], kernel[:, :, 2, 0])
    assert not carried[:, :, 1, 0].any()


def test_fine_tuning_from_score_layers_that_diverged_is_refused(tmp_path, narrow_encoder):
    with FCN8s(vgg16_dir=narrow_encoder, label_space=generic_label_space(3, class_names=['a', 'b', 'c'])) as model:
        (bias,) = [variable for variable in model.model.weights if variable.op.name == 'decoder/score_fc7/bias']
        restoring.feed_initializer(model.sess, bias, np.float32([0, np.nan, 0]))
        path = model.save(str(tmp_path))
    with pytest.raises(ValueError, match='hold NaN or infinite values in decoder/score_fc7/bias'):
        FCN8s(fine_tune_from=path, label_space=generic_label_space(2, class_names=['b', 'a']))


def test_staged_training_adds_skips_with_zero_score_layers(tmp_path, shallow_encoder, capsys):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, variant='32s') as model:
        model.train(Stream(), 1, 3, constant(1e-2))
        path = model.save(str(tmp_path))
    with FCN8s(fine_tune_from=path, variant='16s') as model:
        assert not model.sess.run(
            model.graph.get_tensor_by_name('decoder/score_pool4/kernel/Read/ReadVariableOp:0')
        ).any()
        assert model.predict(IMAGES).shape == IMAGES.shape[:3]
        path = model.save(str(tmp_path), name='16s', force_save=True)
    assert 'decoder/score_pool4/kernel' in capsys.readouterr().out
    with FCN8s(fine_tune_from=path, variant='8s') as model:
        assert model.settings.variant == '8s'


def test_class_names_of_the_data_are_taken_over_and_saved(shallow_encoder, tmp_path):
    space = generic_label_space(2, class_names=['wall', 'floor'])._replace(name='rooms')
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(label_space=space), 1, 1, constant(1e-3))
        path = model.save(str(tmp_path))
    with FCN8s(model_load_dir=path) as model:
        assert model.label_space == space


def test_a_loss_function_of_ones_own(shallow_encoder):
    def squared_error(logits, labels, valid):
        error = tf.square(tf.nn.softmax(logits)[..., 1] - tf.cast(labels, tf.float32)) * tf.cast(valid, tf.float32)
        return tf.reduce_sum(error) / tf.reduce_sum(tf.cast(valid, tf.float32))

    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, loss=squared_error) as model:
        history = model.train(Stream(), 2, 5, constant(1e-3))
    assert (
        history[0]['training_loss'] == pytest.approx(0.2, abs=0.15)
        and history[1]['training_loss'] < history[0]['training_loss']
    )


@pytest.mark.parametrize(
    'damage, message',
    [
        ('truncate graph', 'is damaged: it does not parse'),
        ('no variables', 'has no variables'),
        ('truncate data', 'damaged'),
        ('truncate description', 'is damaged'),
    ],
)
def test_broken_files_of_a_saved_model(trained, tmp_path, damage, message):
    copy = str(tmp_path / 'copy')
    shutil.copytree(trained['saved'], copy)
    places = {
        'truncate graph': 'saved_model.pb',
        'no variables': 'variables/variables.index',
        'truncate data': 'variables/variables.data-00000-of-00001',
        'truncate description': 'fcn8s.json',
    }
    path = os.path.join(copy, places[damage])
    if damage == 'no variables':
        os.unlink(path)
    else:
        os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(ValueError, match=message):
        FCN8s(model_load_dir=copy)


def test_crosses_tensorflow_generations(trained, other_python, tmp_path):
    """The other TensorFlow loads the model and predicts the same; it saves one, and this TensorFlow loads that."""
    script = '\n'.join(
        [
            'import sys, numpy as np',
            'from fcn8s import FCN8s',
            'saved, images, out, where = sys.argv[1:]',
            'with FCN8s(model_load_dir=saved) as model:',
            '    np.save(out, model.sess.run(model.fcn8s_output, {model.image_input: np.load(images)}))',
            '    model.save(where, "saved_model", name="other", include_global_step=False, include_last_training_loss=False,',
            '               include_metrics=False, force_save=True)',
        ]
    )
    images, out, where = str(tmp_path / 'images.npy'), str(tmp_path / 'logits.npy'), str(tmp_path / 'models')
    np.save(images, IMAGES)
    subprocess.run([other_python, '-c', script, trained['saved'], images, out, where], check=True)
    for directory in (trained['saved'], os.path.join(where, 'other')):
        with FCN8s(model_load_dir=directory) as model:
            logits = model.sess.run(model.fcn8s_output, {model.image_input: IMAGES})
        np.testing.assert_allclose(logits, np.load(out), atol=1e-4)


NAMED = generic_label_space(2, class_names=['wall', 'floor'])


def test_the_monitored_class_may_have_its_name_from_the_data(shallow_encoder):
    common = dict(learning_rate_schedule=constant(1e-3), metrics=['mean_iou'], eval_frequency=1)
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        with pytest.raises(ValueError, match='no such class; the classes are wall, floor'):
            model.train(Stream(label_space=NAMED), 1, 1, monitor='iou:class 1', **common)
        history = model.train(Stream(label_space=NAMED), 1, 1, monitor='iou:floor', **common)
    assert len(history) == 1


def test_numpy_numbers_start_runs_that_resume(shallow_encoder, tmp_path):
    run_dir = str(tmp_path / 'run')
    settings = dict(
        num_classes=np.int64(2),
        ignore_id=np.uint8(255),
        seed=np.int64(3),
        freeze=np.int64(1),
        label_smoothing=np.float32(0.1),
        optimizer=OptimizerSettings('adam', weight_decay=np.float32(1e-4), accumulate_batches=np.int64(2)),
    )
    counts = dict(keep_checkpoints=np.int32(1), keep_prob=np.float32(0.5))
    for epochs, resume in ((np.uint8(1), False), (np.uint8(2), True)):
        with FCN8s(vgg16_dir=shallow_encoder, **settings) as model:
            history = model.train(
                Stream(), epochs, np.int64(1), constant(np.float32(1e-3)), run_dir=run_dir, resume=resume, **counts
            )
    assert json.loads(json.dumps(history))[0]['epoch'] == 2


def test_a_run_goes_on_with_the_loss_that_it_was_started_with_whatever_kind_of_function(shallow_encoder, tmp_path):
    class Mean:
        def __call__(self, logits, labels, valid):
            return tf.reduce_mean(tf.square(logits))

    for number, make in enumerate((Mean, lambda: functools.partial(Mean.__call__, None))):
        run_dir = str(tmp_path / str(number))
        for epochs, resume in ((1, False), (2, True)):
            with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, loss=make()) as model:
                model.train(Stream(), epochs, 1, constant(1e-3), run_dir=run_dir, resume=resume)
        with open(os.path.join(run_dir, 'config.json')) as file:
            config = json.load(file)
        assert ' at 0x' not in config['training']['loss'] and config['train']['epochs'] == 2


def test_the_config_holds_the_precision_and_a_run_goes_on_in_another(shallow_encoder, tmp_path):
    run_dir = str(tmp_path / 'run')
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(), 1, 1, constant(1e-3), run_dir=run_dir)
        path = os.path.join(run_dir, 'config.json')
        with open(path) as file:
            config = json.load(file)
        assert config['training']['precision'] == 'float32' and config['training']['xla'] is False
        assert set(config) == set(CONFIG_ENTRIES) - {'workers'}  # no entry of a user's may have one of these names
        config['training']['precision'] = 'bfloat16'
        # As in runs of before there were multipliers: no difference, or it would come first.
        assert config['training']['optimizer'].pop('rate_multipliers') is None
        with open(path, 'w') as file:
            json.dump(config, file)
        with pytest.warns(UserWarning, match='computed in bfloat16 and goes on in float32'):
            model.train(Stream(), 2, 1, constant(1e-3), run_dir=run_dir, resume=True)
        with open(path) as file:
            config = json.load(file)
        assert config['training']['precision'] == 'float32'
        config['training']['precision'] = 'mixed_float16'  # whose checkpoints hold the scale of the loss
        with open(path, 'w') as file:
            json.dump(config, file)
        with pytest.raises(ValueError, match="training precision 'mixed_float16' and cannot go on with 'float32'"):
            model.train(Stream(), 3, 1, constant(1e-3), run_dir=run_dir, resume=True)


def test_evaluation_refuses_data_of_other_classes(shallow_encoder):
    message = "labelled in 'camvid' .11 classes, ignoring 11."
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=12) as model, pytest.raises(ValueError, match=message):
        model.evaluate(Stream(label_space=CAMVID), 1)


def test_what_was_known_of_other_weights_is_forgotten_when_variables_are_loaded(trained, shallow_encoder, tmp_path):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(), 1, 1, constant(1e-3), metrics={'mean_iou'}, eval_frequency=1)
        assert model.save(str(tmp_path)) is not None and model.save(str(tmp_path)) is None
        model.load_variables(trained['variables'])
        saved = os.path.basename(model.save(str(tmp_path)))
    assert saved == '(globalstep-10)'


def test_what_was_known_of_other_weights_is_forgotten_when_a_state_is_restored(shallow_encoder, tmp_path):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(), 1, 1, constant(1e-3), metrics={'mean_iou'}, eval_frequency=1)
        state = model.save(str(tmp_path), saver='train_saver', name='state')
        assert model.save(str(tmp_path)) is not None
        model.network.restore_state(state)
        assert model.training_loss is model.best_training_loss is None
        assert os.path.basename(model.save(str(tmp_path))) == '(globalstep-1)'


def _loss_with_a_variable(logits, labels, valid):
    return tf.reduce_mean(logits) * tf.get_variable('own', [], initializer=tf.ones_initializer())


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(label_space=generic_label_space(300)), 'num_classes is 300; it has to be an integer from 2 to 255'),
        (dict(label_space=generic_label_space(3)._replace(ignore_id=300)), 'ignore_id is 300; labels are uint8'),
        (dict(label_space='camvid'), "label_space is 'camvid'; it has to be a LabelSpace"),
        (dict(num_classes=2, class_weights='median_frequency'), 'class_weights is .*count_class_pixels'),
        (dict(num_classes=2, class_weights=[[1, 2]]), r'class_weights has the shape \(1, 2\)'),
        (dict(num_classes=2, seed='x'), "seed is 'x'; it has to be a whole number"),
        (
            dict(num_classes=2, seed=2**31),
            'seed is 2147483648; it has to be a whole number from -2147483647 to 2147483647',
        ),
        (dict(num_classes=2, trust='no'), "trust is 'no'; it has to be True or False"),
        (dict(num_classes=2, xla='no'), "xla is 'no'; it has to be True or False"),
        (dict(num_classes=2, gpu_memory_growth='no'), "gpu_memory_growth is 'no'; it has to be True or False"),
        (dict(num_classes=2, optimizer=3), 'optimizer is 3; choose from'),
        (
            dict(num_classes=2, optimizer=OptimizerSettings('sgd', momentum='a')),
            "momentum is 'a'; it has to be a number",
        ),
        (dict(num_classes=2, accumulate_batches=2.0), 'accumulate_batches is 2.0; it has to be a whole number'),
        (
            dict(num_classes=2, accumulate_batches=3, optimizer=OptimizerSettings(accumulate_batches=2)),
            'accumulate_batches is 3, and 2 in the OptimizerSettings',
        ),
        (dict(num_classes=2, optimizer=OptimizerSettings(weight_decay=None)), 'weight_decay is None; it has to be a'),
        (dict(num_classes=2, config={'allow_growth': True}), "config is {'allow_growth': True}; it has to be a tf"),
        (dict(num_classes=2, image_rules='RGB'), "image_rules is 'RGB'; it has to be an ImageRules"),
        (dict(num_classes=2, loss=_loss_with_a_variable), r'makes variables \(own\), which would be neither'),
        (dict(num_classes=2, loss=lambda *_: None), 'The loss function returned None; it has to return one float'),
    ],
)
def test_arguments_that_were_once_let_through(shallow_encoder, arguments, message):
    with pytest.raises(ValueError, match=message):
        FCN8s(vgg16_dir=shallow_encoder, **arguments)


@pytest.mark.parametrize('copied', [pickle.dumps, copy.deepcopy, copy.copy])
def test_an_open_network_is_not_copied(opened, copied):
    with pytest.raises(TypeError, match='Save it, and open it there'):
        copied(opened)
    assert copied(opened.settings) is not None


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_a_forked_process_is_refused_instead_of_waiting_for_ever(trained, opened, shallow_encoder):
    def message_of(use):
        try:
            use()
        except RuntimeError as error:
            return str(error)

    def in_child(queue):
        uses = (
            lambda: opened.predict(IMAGES),
            lambda: opened.train(Stream(), 1, 1, constant(1e-3)),
            lambda: FCN8s(vgg16_dir=shallow_encoder, num_classes=2),
            lambda: inference.predict(IMAGES),
            lambda: open_model(trained['saved']),
        )
        queue.put([message_of(use) for use in uses])

    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    with open_model(trained['saved']) as inference:
        child = context.Process(target=in_child, args=(queue,))
        child.start()
        try:
            messages = queue.get(timeout=60)
        finally:
            child.terminate()
            child.join()
        assert opened.predict(IMAGES).shape == IMAGES.shape[:3]
    assert all("get_context('spawn')" in message for message in messages) and len(messages) == 5


def test_batches_without_an_image_are_refused(opened):
    batch = np.zeros([0, 64, 64, 3], np.uint8), np.zeros([0, 64, 64], np.uint8)
    with pytest.raises(ValueError, match='a batch holds no image'):
        opened.train(iter([batch]), 1, 1, constant(1e-3))
    with pytest.raises(ValueError, match='a batch holds no image'):
        opened.run_evaluation([batch], 1)


def test_tags_are_a_list_of_strings(trained, opened, tmp_path):
    for tags in ('default', [], None, [1], 4, iter(['default'])):
        with pytest.raises(ValueError, match='tags is .*it has to be a list of strings'):
            opened.save(str(tmp_path), tags=tags, force_save=True)
    with pytest.raises(ValueError, match="tags is 'default'; it has to be a list of strings"):
        FCN8s(model_load_dir=trained['saved'], tags='default')


def test_a_saved_network_keeps_its_classes(shallow_encoder, trained, tmp_path):
    with FCN8s(model_load_dir=trained['saved'], label_space=NAMED) as model:  # it had no names
        assert model.label_space.class_names == ('wall', 'floor')
        named = model.save(str(tmp_path), force_save=True)
    with pytest.raises(ValueError, match="class_names is .*'floor', 'wall'.* has .'wall', 'floor'.*fine_tune_from"):
        FCN8s(model_load_dir=named, label_space=generic_label_space(2, class_names=['floor', 'wall']))
    with pytest.raises(ValueError, match='ignore_id is 0, but'):
        FCN8s(model_load_dir=named, label_space=generic_label_space(2, 0))
    with pytest.raises(ValueError, match="label_space is 'camvid'; it has to be a LabelSpace"):
        FCN8s(model_load_dir=named, label_space='camvid')
    with pytest.raises(ValueError, match='num_classes is 2, but the label space .* has 3 classes'):
        FCN8s(model_load_dir=trained['saved'], num_classes=2, label_space=generic_label_space(3))


def test_a_label_space_that_is_stated_of_a_saved_network_counts(trained):
    def opened(space):
        plan = plan_opening(Beginning(trained['saved']), Architecture(label_space=space), 'adam')
        return plan.settings.label_space

    painted = NAMED._replace(name='rooms', colors=((9, 9, 9), (8, 8, 8)), void_class_ids=(1,))
    assert opened(painted) == painted
    assert opened(painted._replace(class_names=('class 0', 'class 1'))).colors == painted.colors
    assert opened(generic_label_space(2)) == opened(None)


def test_entries_of_the_config_have_names_of_their_own(opened, tmp_path):
    message = r"config has \['seed'\], which config.json holds already"
    with pytest.raises(ValueError, match=message):
        opened.train(Stream(), 1, 1, constant(1e-3), run_dir=str(tmp_path / 'run'), config={'seed': 99})


def test_the_config_of_a_run_takes_paths_and_numbers_of_numpy(shallow_encoder, tmp_path):
    config = {'data': tmp_path / 'data', 'share': np.float32(0.5), 'is_test': np.bool_(True)}
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        model.train(Stream(), 1, 1, constant(1e-3), run_dir=tmp_path / 'run', config=config)
    stored = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert [stored[name] for name in config] == [str(tmp_path / 'data'), 0.5, True]


def test_validation_data_without_metrics_are_told_of(shallow_encoder):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model, pytest.warns(UserWarning, match='metrics is empty'):
        model.train(Stream(), 1, 1, constant(1e-3), val_generator=Stream())


def test_what_gives_no_batches_is_not_evaluated(opened):
    for batches, message in ((None, "are 'NoneType'"), (iter, "are 'builtin.* It is a function: call it")):
        with pytest.raises(ValueError, match='the batches ' + message):
            opened.run_evaluation(batches, 1)


def test_a_run_is_saved_where_its_first_evaluation_fails(shallow_encoder, tmp_path):
    wrong = iter([(np.zeros([1, 64, 64, 3], np.uint8), np.full([1, 64, 64], 7, np.uint8))])
    common = dict(epochs=1, steps_per_epoch=3, learning_rate_schedule=constant(1e-3), metrics=['loss'], val_steps=1)
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        with pytest.raises(ValueError, match=r'labels hold the IDs \[7\]'):
            model.train(Stream(), val_generator=wrong, run_dir=tmp_path / 'run', **common)
        (record,) = model.train(Stream(), val_generator=Stream(), run_dir=tmp_path / 'run', resume=True, **common)
        assert record['step'] == 3 and record['evaluation']['loss'] > 0
        assert model.sess.run(model.global_step) == 3


def test_labels_of_another_size_than_the_images_are_refused(opened):
    def batches():
        while True:
            yield np.zeros([1, 40, 48, 3], np.uint8), np.zeros([1, 20, 24], np.uint8)

    message = 'images have the size 40 x 48 and labels 20 x 24'
    with pytest.raises(ValueError, match=message):
        opened.train(batches(), 1, 1, constant(1e-3))


def test_fine_tuning_inherits_the_scales_of_the_skips_that_are_there(shallow_encoder, tmp_path, recwarn):
    expected = {'8s': (1e-4, 1e-2), '16s': (1.0, 1e-2), '32s': (1.0, 1.0)}
    for variant, scales in expected.items():
        with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, variant=variant, optimizer='sgd') as model:
            saved = model.save(str(tmp_path), name=variant, force_save=True)
        recwarn.clear()
        with FCN8s(fine_tune_from=saved, variant='8s', optimizer='adam') as model:
            assert model.settings.skip_scales == scales
        told = any('skip_scales are' in str(warning.message) for warning in recwarn)
        assert told == (variant != '32s')


def test_the_table_of_fine_tuning_names_what_was_left_out(shallow_encoder, trained, capsys):
    with FCN8s(fine_tune_from=trained['saved'], upsampling='bilinear'):
        pass
    assert capsys.readouterr().out.count('left out: this network has no such layer') == 3


def test_a_training_that_learns_nothing_says_so_also_after_it_was_resumed(shallow_encoder, tmp_path, capsys):
    for epochs, resume in ((2, False), (4, True)):
        with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
            model.train(Stream(), epochs, 20, lambda step: 0.0, run_dir=str(tmp_path / 'run'), resume=resume)
        assert ('note: The loss stays at 0.693' in capsys.readouterr().out) == resume


def test_a_name_is_no_path_and_a_penalty_is_no_reward(opened, tmp_path):
    with pytest.raises(ValueError, match=r"name is '../x'; .*must not hold a path"):
        opened.save(str(tmp_path / 'models'), name='../x', force_save=True)
    with pytest.raises(ValueError, match='l2_regularization is -1; it has to be a finite number of at least 0'):
        opened.evaluate(Stream(), 1, l2_regularization=-1)


def test_a_generator_needs_no_more_than_next(shallow_encoder):
    class Bare:
        def __init__(self):
            self.stream = Stream()

        def __next__(self):
            return next(self.stream)

    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        (record,) = model.train(Bare(), 1, 1, constant(1e-3), metrics={'loss'}, eval_dataset='train')
        assert np.isfinite(record['evaluation']['loss']) and np.isfinite(model.evaluate(Bare(), 1)['loss'])


def test_a_callback_is_given_the_model_and_its_exception_leaves_a_run_that_goes_on(shallow_encoder, tmp_path):
    events, run_dir = [], str(tmp_path / 'run')

    def callback(event):
        events.append((event.kind, event.step, event.model))
        if event.step == 2 and len(events) == 2:
            raise RuntimeError('stop here')

    def train(resume):
        with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
            model.train(Stream(), 1, 3, constant(1e-3), run_dir=run_dir, resume=resume, callbacks=[callback])
            assert events[-1][2] is model

    with pytest.raises(RuntimeError, match='stop here'):
        train(resume=False)
    train(resume=True)
    assert [(kind, step) for kind, step, _ in events] == [('step', 1), ('step', 2), ('step', 3), ('epoch', 3)]


def test_a_checkpoint_whose_state_contradicts_it_is_refused_and_nothing_is_removed(
    shallow_encoder, copy_of_run, tmp_path
):
    run_dir = str(tmp_path / 'run')
    copy_of_run(1, run_dir)
    path = os.path.join(run_dir, 'checkpoints', 'step-00000004', 'state.json')
    with open(path) as file:
        state = json.load(file)

    def contents():
        return sorted(
            (os.path.join(where, name), os.path.getsize(os.path.join(where, name)))
            for where, _, names in os.walk(run_dir)
            for name in names
        )

    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2, seed=5) as model:
        for damaged, message in (
            (dict(state, loop={k: v for k, v in state['loop'].items() if k != 'step'}), 'lacks step'),
            (dict(state, loop=dict(state['loop'], step=3, best_step=3)), 'step is 3'),
            (dict(state, data_position='x'), "data_position is 'x'"),
            ([1], 'it holds a list, no table'),
        ):
            with open(path, 'w') as file:
                json.dump(damaged, file)
            before = contents()
            with pytest.raises(ValueError, match='cannot be continued.*' + message):
                train_in_run(model, run_dir, resume=True)
            assert contents() == before


def test_a_resumed_run_that_cannot_find_its_place_in_the_data_says_why(shallow_encoder, tmp_path):
    class Bare:
        fingerprint = Stream().fingerprint

        def __init__(self):
            self.stream = Stream()

        def __next__(self):
            return next(self.stream)

    def train(generator, epochs, resume=True):
        with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
            model.train(generator, epochs, 1, constant(1e-3), run_dir=str(tmp_path / 'run'), resume=resume)

    train(Bare(), 1, resume=False)
    with pytest.warns(UserWarning, match='trained on a generator without a position, .* from the start'):
        train(Stream(), 2)
    with pytest.warns(UserWarning, match='train_generator cannot seek, .* from the start'):
        train(Bare(), 3)


def test_no_method_lets_the_graph_grow_with_every_call(trained, shallow_encoder, tmp_path):
    """After the tenth call a graph has as many nodes as after the first."""
    from fcn8s.planning.architecture import read_architecture

    with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
        calls = {
            'train': lambda: model.train(
                Stream((32, 32)), 1, 1, constant(1e-3), metrics={'loss'}, summaries_dir=str(tmp_path / 'events')
            ),
            'evaluate': lambda: model.evaluate(Stream((32, 32)), 1),
            'run_evaluation': lambda: model.run_evaluation(Stream((32, 32)), 1, 0.1),
            'predict': lambda: model.predict(IMAGES),
            'predict_and_save': None,  # `predict`, and files
            'save': lambda: [
                model.save(str(tmp_path / 'models'), saver, force_save=True) for saver in ('saved_model', 'train_saver')
            ],
            'load_variables': lambda: [model.load_variables(trained[kind]) for kind in ('variables', 'saved')],
            'close': None,  # ends the network
            'export': None,  # opens what `save` writes, in a graph of its own
            'read_architecture': lambda: read_architecture(model, (32, 32)),
        }
        public = {name for name in vars(FCN8s) if not name.startswith('_') and callable(getattr(FCN8s, name))}
        assert public <= set(calls)
        for name, call in calls.items():
            if call is not None:
                call()
                before = len(model.graph.get_operations())
                for _ in range(9 if name != 'save' else 2):
                    call()
                assert len(model.graph.get_operations()) == before, name


def test_a_script_that_runs_twice_saves_twice(shallow_encoder, tmp_path):
    for _ in range(2):
        with FCN8s(vgg16_dir=shallow_encoder, num_classes=2) as model:
            model.train(
                Stream(), 1, 1, constant(1e-3), save_during_training=True, save_dir=str(tmp_path), save_best_only=False
            )
            model.save(str(tmp_path))
            assert model.save(str(tmp_path), 'train_saver') is not None  # another form
            assert model.save(str(tmp_path / 'elsewhere')) is not None  # another place
            assert model.save(str(tmp_path)) is None
    names = sorted(name for name in os.listdir(str(tmp_path)) if name != 'elsewhere')
    (first,) = {name.split(')_')[0] + ')' for name in names}
    assert first == '(globalstep-1)'
    assert [name[-2:] for name in names if not name.endswith(')')] == ['_2', '_3', '_4']


def test_what_would_stop_a_save_is_found_before_the_first_step(opened, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    arguments = dict(epochs=1, steps_per_epoch=1, learning_rate_schedule=constant(1e-3), save_during_training=True)
    with pytest.raises(OSError, match='is a file|has the place of a directory'):
        opened.train(Stream(), save_dir=str(tmp_path / 'file' / 'models'), **arguments)
    with pytest.raises(ValueError, match="name is 'a/b'"):
        opened.train(Stream(), save_dir=str(tmp_path), save_name='a/b', **arguments)
    monkeypatch.setattr('fcn8s.network.shutil.disk_usage', lambda place: shutil._ntuple_diskusage(1, 1, 1000))
    for place in (dict(save_dir=str(tmp_path), **arguments), dict(arguments, run_dir=str(tmp_path / 'run'))):
        if 'run_dir' in place:
            del place['save_during_training']
        with pytest.raises(OSError, match='has 0 MB free, and what is to be saved there takes'):
            opened.train(Stream(), **place)
    assert opened.sess.run(opened.global_step) == 10


def test_arguments_are_refused_before_the_encoder_is_read(monkeypatch):
    monkeypatch.setattr('fcn8s.network.plan_opening', lambda *_: pytest.fail('read'))
    for arguments, message in (
        (dict(freeze=9), 'freeze is 9'),
        (dict(normalize='median'), "normalize is 'median'"),
        (dict(loss='hinge'), "loss is 'hinge'"),
        (dict(loss=len, normalize='sum'), 'belong to losses that have a name'),
        (dict(loss=len, class_weights=[1, 2]), 'belong to losses that have a name'),
        (dict(loss='dice', class_weights=[1, 2]), "class_weights has no meaning for loss='dice'"),
        (dict(label_smoothing=1), 'label_smoothing is 1'),
        (dict(optimizer=OptimizerSettings(weight_decay=-1)), 'weight_decay is -1'),
        (dict(accumulate_batches=0), 'accumulate_batches is 0'),
        (dict(seed=0.5), 'seed is 0.5'),
    ):
        with pytest.raises(ValueError, match=message):
            FCN8s(vgg16_dir='x', num_classes=2, **arguments)


def test_a_nameless_network_scores_by_the_classes_of_the_data(opened, capsys):
    space = generic_label_space(2, class_names=['wall', 'void'])._replace(name='rooms', void_class_ids=(1,))
    scores = opened.evaluate(Stream(label_space=space), 1)
    assert np.isnan(scores['per_class_iou'][1]) and not np.isnan(scores['per_class_iou'][0])
    table = capsys.readouterr().out
    assert 'wall' in table and 'void' not in table and 'class 1' not in table


def test_a_run_whose_best_checkpoint_is_replaced_while_it_is_opened_opens_all_the_same(
    copy_of_run, tmp_path, monkeypatch
):
    run_dir = str(tmp_path / 'run')
    copy_of_run(2, run_dir)
    pointer = tmp_path / 'run' / 'checkpoints' / 'best.json'
    pointer.write_text('{"checkpoint": "step-00000004"}')
    original = saved_models.checkpoint_shapes

    def replaced(prefix):
        if 'step-00000004' in prefix:
            pointer.write_text('{"checkpoint": "step-00000008"}')
            shutil.rmtree(str(tmp_path / 'run' / 'checkpoints' / 'step-00000004'))
        return original(prefix)

    monkeypatch.setattr(saved_models, 'checkpoint_shapes', replaced)
    with FCN8s(model_load_dir=run_dir) as model:
        assert model.sess.run(model.global_step) == 8


def test_a_resumed_run_reads_its_checkpoint_once(copy_of_run, tmp_path, monkeypatch):
    run_dir = str(tmp_path / 'run')
    copy_of_run(1, run_dir)
    copy_of_run(2, tmp_path / 'whole')
    read, original = [], restoring._restore_by_saver
    monkeypatch.setattr(
        restoring, '_restore_by_saver', lambda *arguments: read.append(arguments[1]) or original(*arguments)
    )
    with FCN8s(model_load_dir=Run(run_dir).last_checkpoint(), seed=5) as model:
        model.train(
            Stream(),
            2,
            4,
            lambda step: 1e-3 / (step + 1),
            run_dir=run_dir,
            resume=True,
            val_generator=Stream(seed=1),
            eval_frequency=1,
            metrics={'loss', 'mean_iou'},
            monitor='mean_iou',
        )
    names = [variable.op.name for variables in read for variable in variables]
    assert len(names) == len(set(names)) == len(model.model.state)
    assert timeless_file(os.path.join(run_dir, 'metrics.jsonl')) == timeless_file(
        str(tmp_path / 'whole' / 'metrics.jsonl')
    )


def test_a_checkpoint_is_read_again_where_others_were_refused_once_in_place(copy_of_run, tmp_path, monkeypatch):
    monkeypatch.setattr(restoring, '_MOST_READ_TWICE', 1)  # as if all layers were as large as fc6
    copy_of_run(1, tmp_path / 'run')
    checkpoint = Run(str(tmp_path / 'run')).last_checkpoint()
    with FCN8s(model_load_dir=checkpoint) as model:
        values = all_values(model)
        (bias,) = [variable for variable in model.model.weights if variable.op.name == 'fc7/biases']
        restoring.feed_initializer(model.sess, bias, np.full(bias.shape.as_list(), np.nan, np.float32))
        model.save(str(tmp_path / 'damaged'), saver='train_saver')
    with FCN8s(model_load_dir=checkpoint) as model:
        with pytest.raises(ValueError, match='NaN or infinite values in fc7/biases'):
            model.load_variables(str(next((tmp_path / 'damaged').iterdir())))
        model.network.restore_state(checkpoint)
        assert_equal_values(all_values(model), values)


def test_training_and_evaluation_work_without_a_standard_error(trained, monkeypatch):
    monkeypatch.setattr(sys, 'stderr', None)
    with FCN8s(model_load_dir=trained['saved']) as model:
        model.train(Stream(), 1, 1, constant(1e-3), metrics={'loss'})


def test_the_example_that_the_class_begins_with_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(FCN8s, 'FCN8s', globs={})
    assert len(example.examples) == 4
    assert doctest.DocTestRunner().run(example).failed == 0
