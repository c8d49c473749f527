import os

import pytest
from small_models import randomize_decoder

from fcn8s.backend import TF_VERSION
from helpers.process.locks import directory_locked

CLASSES = ('road', 'car', 'tree', 'sky', 'person')


def made_once(tmp_path_factory, name, make):
    """The folder that `make(folder)` fills: once for all processes of xdist."""
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        folder = str(tmp_path_factory.mktemp(name))
        make(folder)
        return folder
    folder = str(tmp_path_factory.getbasetemp().parent / name)
    os.makedirs(folder + '.lock', exist_ok=True)
    with directory_locked(folder + '.lock'):
        if not os.path.isdir(folder):
            part = str(tmp_path_factory.mktemp(name))
            make(part)
            os.rename(part, folder)
    return folder


@pytest.fixture(scope='session')
def narrow_model(tmp_path_factory, narrow_encoder):
    """The path of a saved FCN-8s with five named classes; its predictions differ from place to place."""
    folder = made_once(tmp_path_factory, 'narrow_model', lambda place: save_narrow_model(narrow_encoder, place))
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


def save_narrow_model(encoder, folder):
    from fcn8s import FCN8s
    from helpers.label_spaces import generic_label_space

    space = generic_label_space(5, class_names=list(CLASSES))
    with FCN8s(vgg16_dir=encoder, label_space=space) as network:
        randomize_decoder(network, seed=3, deviation=0.3)
        network.save(folder, name='narrow', force_save=True)


@pytest.fixture(scope='session')
def pictures():
    """uint8 images of two sizes."""
    from fcn8s.export.samples import generated_images

    first, second = generated_images(2)
    return [first[:45, :70], second[:64, :96]]


@pytest.fixture(scope='session')
def answers(narrow_model, pictures):
    """(class IDs, soft-max) of each picture, by TensorFlow."""
    from fcn8s.prediction.frozen_network import open_model

    with open_model(narrow_model) as model:
        return [(model.predict([image])[0], model.predict([image], argmax=False)[0]) for image in pictures]


@pytest.fixture(scope='session')
def export(tmp_path_factory, narrow_model):
    """`export(format, precision='float32', **options)` -> directory; each is made once."""
    if TF_VERSION < (2, 0):
        pytest.skip('exports are made on TensorFlow 2')
    made = {}

    def get(format_name, precision='float32', **options):
        from fcn8s.export.exporting import export_model
        from fcn8s.export.formats import FORMATS, check_packages

        try:
            check_packages(format_name, precision)
        except ImportError as error:
            pytest.skip(str(error))
        key = (format_name, precision)
        if key not in made:
            if not FORMATS[format_name].takes_any_size:
                options.setdefault('size', (64, 96))
            name = '{}_{}'.format(*key)

            def make(folder):
                export_model(narrow_model, os.path.join(folder, name), format_name, precision, **options)

            made[key] = os.path.join(made_once(tmp_path_factory, 'export_' + name, make), name)
        return made[key]

    return get
