"""Scripts that were written for the reference implementation of 2017: every public call, with every keyword of then."""

import inspect
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from data_generator import BatchGenerator
from fcn8s import FCN8s
from helpers.images import read_image, read_labels, write_image, write_labels
from helpers.visualization_utils import (
    create_split_view,
    create_video_from_images,
    print_segmentation_onto_image,
)

# The parameters of the public methods of 2017, by name, in order.
SIGNATURES = {
    FCN8s.__init__: 'model_load_dir tags vgg16_dir num_classes variables_load_dir',
    FCN8s.train: (
        'train_generator epochs steps_per_epoch learning_rate_schedule keep_prob l2_regularization eval_dataset '
        'eval_frequency val_generator val_steps metrics save_during_training save_dir save_best_only save_tags save_name '
        'save_frequency saver monitor record_summaries summaries_frequency summaries_dir summaries_name '
        'training_loss_display_averaging'
    ),
    FCN8s.evaluate: 'data_generator num_batches metrics l2_regularization dataset',
    FCN8s.predict: 'images argmax',
    FCN8s.predict_and_save: (
        'results_dir images_dir color_map resize image_file_extension include_unprocessed_image arrangement '
        'overwrite_existing'
    ),
    FCN8s.save: (
        'model_save_dir saver tags name include_global_step include_last_training_loss include_metrics force_save'
    ),
    FCN8s.load_variables: 'path',
    FCN8s.close: '',
    BatchGenerator.__init__: (
        'image_dirs image_file_extension ground_truth_dirs image_name_split_separator ground_truth_suffix '
        'check_existence num_classes root_dir export_dir'
    ),
    BatchGenerator.get_num_files: '',
    BatchGenerator.generate: (
        'batch_size convert_colors_to_ids convert_ids_to_ids convert_to_one_hot void_class_id random_crop crop resize '
        'brightness flip translate scale gray to_disk shuffle'
    ),
    print_segmentation_onto_image: 'image prediction color_map',
    create_split_view: 'target_size images positions sizes captions',
    create_video_from_images: 'video_output_name image_input_dir frame_rate image_file_extension',
}
COLORS = {0: (0, 0, 0, 0), 1: (255, 0, 0, 127), 2: (0, 255, 0, 127), 3: (0, 0, 255, 127)}
NUM_CLASSES = 4
# Without the finder of an editable installation, which would mix the folders of then and now.
NOT_EDITABLE = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in str(f).lower()]; "


@pytest.mark.parametrize('function', SIGNATURES, ids=lambda function: function.__qualname__)
def test_parameters_keep_their_names_and_their_order(function):
    expected = SIGNATURES[function].split()
    names = [name for name in inspect.signature(inspect.unwrap(function)).parameters if name != 'self']
    assert names[: len(expected)] == expected


@pytest.fixture
def dataset(tmp_path):
    """Three pairs, named as in Cityscapes."""
    rng = np.random.RandomState(0)
    for number in range(3):
        labels = rng.randint(0, NUM_CLASSES, [4, 6]).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
        name = 'a_00000{}_00_'.format(number)
        write_image(str(tmp_path / 'images' / 'a' / (name + 'leftImg8bit.png')), labels[..., None].repeat(3, -1) * 60)
        write_labels(str(tmp_path / 'labels' / 'a' / (name + 'gtFine_labelIds.png')), labels)
    return tmp_path


def open_dataset(place, **options):
    return BatchGenerator(
        image_dirs=[str(place / 'images')],
        image_file_extension='png',
        ground_truth_dirs=[str(place / 'labels')],
        image_name_split_separator='leftImg8bit',
        ground_truth_suffix='gtFine_labelIds',
        check_existence=True,
        num_classes=NUM_CLASSES,
        **options,
    )


def generate(data, **changes):
    options = dict(
        batch_size=2,
        convert_colors_to_ids=False,
        convert_ids_to_ids=np.arange(NUM_CLASSES, dtype=np.uint8),
        convert_to_one_hot=True,
        void_class_id=0,
        random_crop=(24, 32),
        crop=False,
        resize=False,
        brightness=(0.8, 1.2, 0.5),
        flip=0.5,
        translate=((1, 3), (1, 3), 0.5),
        scale=(0.9, 1.1, 0.5),
        gray=False,
        to_disk=False,
        shuffle=True,
    )
    return data.generate(**dict(options, **changes))


def test_a_generator_gives_one_hot_labels_as_it_is_asked(dataset):
    data = open_dataset(dataset, root_dir=None, export_dir=None)
    assert data.get_num_files() == 3
    images, labels = next(generate(data))
    assert images.shape == (2, 24, 32, 3) and labels.shape == (2, 24, 32, NUM_CLASSES)
    assert set(np.unique(labels.sum(axis=-1))) <= {0, 1}


def test_process_all_takes_the_keywords_and_writes_files(dataset):
    data = open_dataset(dataset, root_dir=str(dataset), export_dir=str(dataset / 'processed'))
    data.process_all(
        convert_colors_to_ids=False,
        convert_ids_to_ids=np.array([0, 0, 1, 2]),
        convert_to_one_hot=False,
        void_class_id=None,
        random_crop=False,
        crop=(2, 2, 4, 4),
        resize=(14, 20),
        brightness=False,
        flip=False,
        translate=False,
        scale=False,
        gray=False,
        to_disk=True,
        shuffle=False,
        batch_size=2,
    )
    label = str(dataset / 'processed' / 'labels' / 'a' / 'a_000000_00_gtFine_labelIds.png')
    assert read_labels(label).shape == (14, 20) and set(np.unique(read_labels(label))) <= {0, 1, 2}


@pytest.mark.parametrize(
    'option, message',
    [({'to_disk': False}, 'process_all writes files'), ({'convert_to_one_hot': True}, 'hold class IDs')],
)
def test_process_all_refuses_what_it_cannot_mean(dataset, option, message):
    data = open_dataset(dataset, root_dir=str(dataset), export_dir=str(dataset / 'processed'))
    with pytest.raises(ValueError, match=message):
        data.process_all(**option)
    assert not os.path.exists(str(dataset / 'processed'))


def test_a_whole_script(dataset, shallow_encoder, capsys, monkeypatch):
    """Build, train, evaluate, predict, save, load: each call with all its keywords."""
    monkeypatch.chdir(dataset)
    data = open_dataset(dataset)
    model = FCN8s(
        model_load_dir=None, tags=None, vgg16_dir=shallow_encoder, num_classes=NUM_CLASSES, variables_load_dir=None
    )
    model.train(
        train_generator=generate(data),
        epochs=1,
        steps_per_epoch=2,
        learning_rate_schedule=lambda step: 0.0001 if step < 10000 else 0.00001,
        keep_prob=0.5,
        l2_regularization=0.001,
        eval_dataset='val',
        eval_frequency=1,
        val_generator=generate(data, shuffle=False),
        val_steps=1,
        metrics={'loss', 'mean_iou', 'accuracy'},
        save_during_training=True,
        save_dir='',  # as in the notebook of 2017: here
        save_best_only=True,
        save_tags=['default'],
        save_name='(batch-size-2)',
        save_frequency=1,
        saver='saved_model',
        monitor='loss',
        record_summaries=True,
        summaries_frequency=1,
        summaries_dir=str(dataset / 'summaries'),
        summaries_name='configuration_01',
        training_loss_display_averaging=3,
    )
    assert os.listdir(str(dataset / 'summaries'))
    assert [name for name in os.listdir(str(dataset)) if name.startswith('(batch-size-2)_(globalstep-2)')]
    model.evaluate(
        data_generator=generate(data, shuffle=False),
        num_batches=1,
        metrics={'loss', 'mean_iou', 'accuracy'},
        l2_regularization=0.0,
        dataset='val',
    )
    image = read_image(str(dataset / 'images' / 'a' / 'a_000000_00_leftImg8bit.png'))
    assert model.predict(images=[image], argmax=True).shape == (1, 32, 48)
    soft_max = model.predict(images=[image], argmax=False)
    assert soft_max.shape == (1, 32, 48, NUM_CLASSES)
    overlay = print_segmentation_onto_image(image=image, prediction=soft_max, color_map=COLORS)
    view = create_split_view(
        target_size=(64, 48), images=[overlay, image], positions=[(0, 0), (32, 0)], sizes=[(32, 48)] * 2, captions=[]
    )
    np.testing.assert_array_equal(view[32:], image)
    model.predict_and_save(
        results_dir=str(dataset / 'results'),
        images_dir=str(dataset / 'images' / 'a'),
        color_map=COLORS,
        resize=(16, 24),
        image_file_extension='png',
        include_unprocessed_image=True,
        arrangement='vertical',
        overwrite_existing=True,
    )
    assert len(os.listdir(str(dataset / 'results'))) == 3
    create_video_from_images(
        video_output_name=str(dataset / 'video'),
        image_input_dir=str(dataset / 'results'),
        frame_rate=30.0,
        image_file_extension='png',
    )
    assert os.path.getsize(str(dataset / 'video.mp4'))
    saved = {
        saver: model.save(
            model_save_dir=str(dataset / saver),
            saver=saver,
            tags=['default'],
            name='one',
            include_global_step=True,
            include_last_training_loss=True,
            include_metrics=True,
            force_save=True,
        )
        for saver in ('saved_model', 'train_saver')
    }
    model.close()
    with FCN8s(model_load_dir=saved['saved_model'], tags=['default']) as loaded:
        np.testing.assert_allclose(loaded.predict([image], argmax=False), soft_max, atol=1e-5)
        loaded.load_variables(path=os.path.join(saved['train_saver'], 'variables'))
    with FCN8s(
        vgg16_dir=shallow_encoder,
        num_classes=NUM_CLASSES,
        variables_load_dir=os.path.join(saved['train_saver'], 'variables'),
    ) as restored:
        np.testing.assert_allclose(restored.predict([image], argmax=False), soft_max, atol=1e-5)


def test_an_evaluation_of_shuffled_batches_says_which_images_count_twice(dataset, shallow_encoder):
    """In 2017 the last batch of a pass was short, so that ceil(3 / 2) batches held every image once."""
    data = open_dataset(dataset)
    message = 'the evaluation of 2 batches of 2 images takes 1 image into account twice.*shuffle=False'
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=NUM_CLASSES) as model:
        with pytest.warns(UserWarning, match=message):
            model.evaluate(data.generate(2), 2)
        options = dict(eval_dataset='val', val_steps=2, metrics={'loss'}, record_summaries=False)
        with pytest.warns(UserWarning, match=message) as caught:
            model.train(data.generate(2), 1, 1, lambda step: 1e-4, val_generator=data.generate(2), **options)
        assert [w.filename for w in caught if 'twice' in str(w.message)] == [__file__]
        for whole, num_batches in ((data.generate(2, shuffle=False), 2), (data.generate(3), 1), (data.generate(2), 1)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                model.evaluate(whole, num_batches)
            assert not [w for w in caught if 'twice' in str(w.message)]


def test_a_step_by_hand_with_the_names_of_then(dataset, shallow_encoder):
    """Tensors by their names in the graph and by attribute, fed one-hot labels."""
    images, labels = next(generate(open_dataset(dataset)))
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=NUM_CLASSES) as model:
        named = {
            'image_input:0': images,
            'labels_input:0': labels,
            'optimizer/learning_rate:0': 1e-4,
            'keep_prob:0': 0.5,
            'l2_regularization_rate:0': 0.01,
        }
        step = model.graph.get_tensor_by_name('optimizer/global_step:0')
        model.sess.run(model.graph.get_operation_by_name('optimizer/train_op'), named)
        assert model.sess.run(step) == 1
        fed = {
            model.image_input: images,
            model.labels: labels,
            model.learning_rate: 1e-4,
            model.keep_prob: 1.0,
            model.l2_regularization_rate: 0.0,
        }
        loss = model.sess.run('optimizer/total_loss:0', fed)
        assert loss == pytest.approx(model.sess.run(model.total_loss, fed)) and np.isfinite(loss)
        for name, shape in (
            ('layer3_out', model.pool3_out),
            ('layer4_out', model.pool4_out),
            ('layer7_out', model.fc7_out),
        ):
            by_name, by_attribute = model.sess.run(
                [name + ':0', shape], {model.image_input: images, model.keep_prob: 1.0}
            )
            np.testing.assert_array_equal(by_name, by_attribute)
        ids, soft_max = model.sess.run(['predictor/predictions_argmax:0', 'predictor/softmax_output:0'], fed)
        np.testing.assert_array_equal(ids, soft_max.argmax(axis=-1))
        assert model.sess.run('decoder/fcn8s_output:0', fed).shape == soft_max.shape


def test_the_training_loss_is_remembered_until_other_weights_are_loaded(dataset, shallow_encoder, tmp_path):
    with FCN8s(vgg16_dir=shallow_encoder, num_classes=NUM_CLASSES) as model:
        assert model.training_loss is None
        history = model.train(
            generate(open_dataset(dataset)), 2, 2, lambda step: 1e-3, eval_dataset='train', record_summaries=False
        )
        assert model.training_loss == history[-1]['training_loss']
        assert model.best_training_loss == min(record['training_loss'] for record in history)
        model.load_variables(os.path.join(model.save(str(tmp_path)), 'variables'))
        assert model.training_loss is model.best_training_loss is None


@pytest.mark.parametrize(
    'name, remedy',
    [
        ('metric_values', 'evaluate returns the scores'),
        ('mean_iou_value', 'evaluate returns the scores'),
        ('summaries_training', r'train\(summaries_dir=...\) writes'),
        ('g_step', r'use model.sess.run\(model.global_step\)'),
        ('loss', 'use model.total_loss'),
        ('variables_updated', 'force_save=True'),
        ('model_load_dir', 'keep them in your script'),
        ('tags', 'keep them in your script'),
        ('vgg16_dir', 'keep them in your script'),
        ('variables_load_dir', 'keep them in your script'),
        ('vgg16_tag', "have the tag 'vgg16'"),
        ('eval_dataset', 'evaluate takes dataset'),
    ],
)
def test_an_attribute_of_the_network_that_is_gone_names_what_replaces_it(name, remedy):
    network = FCN8s.__new__(FCN8s)
    with pytest.raises(AttributeError, match='no attribute {!r}, which is of 2017: .*{}'.format(name, remedy)):
        getattr(network, name)
    network.variables_updated = True  # as scripts did to have a network saved
    assert network.variables_updated and not hasattr(network, 'g_step')


@pytest.mark.parametrize(
    'name, remedy',
    [
        ('image_paths', 'pair.image for pair in data.pairs'),
        ('ground_truth_paths', 'pair.label for pair in data.pairs'),
        ('dataset_size', r'get_num_files\(\)'),
        ('ground_truth', 'has_labels'),
        ('ground_truth_dirs', r'os.path.dirname\(pair.label\)'),
    ],
)
def test_an_attribute_of_a_dataset_that_is_gone_names_what_replaces_it(dataset, name, remedy):
    data = open_dataset(dataset)
    with pytest.raises(AttributeError, match='no attribute {!r}, which is of 2017: .*{}'.format(name, remedy)):
        getattr(data, name)


def test_other_attributes_that_are_missing_are_missing_as_ever(dataset):
    with pytest.raises(AttributeError, match="^'BatchGenerator' object has no attribute 'files'$"):
        _ = open_dataset(dataset).files
    with pytest.raises(AttributeError, match="object has no attribute 'network'"):  # by the property
        _ = FCN8s.__new__(FCN8s).label_space


@pytest.mark.parametrize(
    'folder, statement',
    [('helpers', 'import fcn8s'), ('data_generator', 'from fcn8s.cli import main; main(["check", "."])')],
)
def test_a_folder_of_2017_beside_the_script_gets_a_clear_word(root_dir, tmp_path, folder, statement):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / '__init__.py').write_text('')
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), root_dir]))
    done = subprocess.run(
        [sys.executable, '-c', NOT_EDITABLE + statement],
        cwd=str(tmp_path),
        env=environment,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert 'which does not belong to this library' in last and str(tmp_path / folder) in last, done.stderr
    assert 'docs/migrating.md' in last


def test_a_folder_of_2017_is_told_also_where_an_editable_installation_adds_to_it(monkeypatch, tmp_path):
    """There `helpers.process.lazy_imports` is found although `helpers` is foreign."""
    from fcn8s import foreign_folders

    foreign_folders.refuse_foreign('helpers')
    monkeypatch.setattr(foreign_folders, '_HOME', str(tmp_path))
    with pytest.raises(ImportError, match="'import helpers' finds .*helpers, which does not belong to this library"):
        foreign_folders.refuse_foreign('helpers')
