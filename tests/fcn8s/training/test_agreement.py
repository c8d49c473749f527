"""What has to agree among workers, and between a run and who goes on with it."""

import contextlib
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from data_generator import BatchGenerator
from fcn8s.saving import runs
from fcn8s.training import agreement
from fcn8s.training.agreement import check_workers_agree
from fcn8s.training.request import TrainRequest, resolve_request
from fcn8s.training.schedules import constant
from helpers.image_rules import RGB_RULES
from helpers.images import write_image, write_labels
from helpers.label_spaces import generic_label_space


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    for name in ('a', 'b'):
        write_image(str(folder / 'images' / (name + '.png')), np.zeros([32, 32, 3], np.uint8))
        write_labels(str(folder / 'labels' / (name + '.png')), np.uint8([[0, 1]]).repeat(32, 0).repeat(16, 1))
    return BatchGenerator([str(folder / 'images')], ground_truth_dirs=[str(folder / 'labels')], num_classes=2)


def told_by(generator):
    """What a worker with this generator tells the others."""
    told = []
    workers = SimpleNamespace(size=2, watch=SimpleNamespace(compare=told.append))
    request = TrainRequest(generator, 1, 2, constant(1e-3))
    check_workers_agree(workers, resolve_request(request))
    return told[0]


def test_workers_whose_images_are_transformed_otherwise_do_not_agree(data):
    first = told_by(data.generate(1, flip=0.5, resize=(16, 16)))
    assert first == told_by(data.generate(1, flip=0.5, resize=(16, 16), workers=1))
    for options in (dict(flip=0.4, resize=(16, 16)), dict(flip=0.5), dict(flip=0.5, resize=(16, 16), gray=True)):
        assert told_by(data.generate(1, **options)) != first
    assert told_by(data.generate(1, flip=0.5, resize=(16, 16), seed=1)) != first


def test_what_json_cannot_hold_is_left_out(data):
    assert data.generate(1, convert_ids_to_ids={0: 1, 1: 0}, brightness=(0.5, 2, 0.5)).options == {
        'brightness': (0.5, 2, 0.5),
        'resize_labels': True,
        'seed': 0,
        'shuffle': True,
    }


def test_data_that_one_process_took_in_the_batches_of_several_workers_are_as_before_afterwards(
    data, narrow_encoder, tmp_path
):
    from fcn8s import FCN8s

    run, sizes = str(tmp_path / 'run'), []
    with data.generate(1) as batches, FCN8s(vgg16_dir=narrow_encoder, num_classes=2) as model:
        model.train(batches, 1, 1, constant(1e-3), run_dir=run)
        runs.update_config(runs.Run(run), {'workers': 2})
        with counted_images(model.network, sizes):
            model.train(batches, 2, 1, constant(1e-3), run_dir=run, resume=True)
        assert sizes == [2]
        assert next(batches)[0].shape == (1, 32, 32, 3)


@contextlib.contextmanager
def counted_images(network, sizes):
    """Notes how many images each batch has that is trained on."""
    feed = network.training_feed

    def counting(images, *others):
        sizes.append(len(images))
        return feed(images, *others)

    network.training_feed = counting
    try:
        yield
    finally:
        del network.training_feed


@pytest.mark.parametrize(
    'stored, changed',
    [
        ({'dataset_fingerprint': 'a', 'val_dataset_fingerprint': 'b'}, []),
        ({'dataset_fingerprint': 'a', 'val_dataset_fingerprint': 'x'}, ['validation']),
        ({'dataset_fingerprint': 'x', 'val_dataset_fingerprint': 'x'}, ['training', 'validation']),
        ({'dataset_fingerprint': 'a', 'val_dataset_fingerprint': None}, ['validation']),
        ({'dataset_fingerprint': 'a'}, []),
    ],
)
def test_data_that_have_changed_since_a_run_was_started_are_told(tmp_path, monkeypatch, stored, changed):
    """Runs of before hold no fingerprint of their validation data."""
    monkeypatch.setattr(agreement, 'check_is_whole', lambda *_: None)
    monkeypatch.setattr(agreement, '_has_to_agree', lambda *_: {})
    generators = [SimpleNamespace(fingerprint=name) for name in 'ab']
    request = SimpleNamespace(train_generator=generators[0], val_generator=generators[1], epochs=1, steps_per_epoch=1)
    network = SimpleNamespace(describe_training=lambda: {'precision': 'float32'})
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        agreement.check_run_continues(runs.Run('run'), dict(stored, training={}), network, request)
    assert [str(one.message) for one in caught] == [
        "The {} data of the run 'run' have changed since it was started.".format(what) for what in changed
    ]


def test_a_run_with_an_ignored_class_goes_on_whatever_its_config_calls_void():
    """Runs of before hold no void class for it."""
    stored = {'label_space': generic_label_space(3, ignore_id=0)._replace(void_class_ids=()).to_dict()}
    found = agreement._as_today(stored)
    assert found['label_space']['void_class_ids'] == [0] and stored['label_space']['void_class_ids'] == []
    assert found['image_rules'] == RGB_RULES.to_json() and agreement._as_today({})['image_rules']
