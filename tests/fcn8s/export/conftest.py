import numpy as np
import pytest

from fcn8s.backend import TF_VERSION

CLASSES = ('road', 'car', 'tree', 'sky', 'person')


@pytest.fixture(scope='session')
def narrow_model(tmp_path_factory, narrow_encoder):
    """The path of a saved FCN-8s with five named classes; its predictions differ from place to place."""
    from fcn8s import FCN8s
    from fcn8s.backend import tf
    from helpers.label_spaces import generic_label_space

    space = generic_label_space(5, class_names=list(CLASSES))
    rng = np.random.RandomState(3)
    with FCN8s(vgg16_dir=narrow_encoder, label_space=space) as network:
        with network.graph.as_default():
            for variable in tf.trainable_variables():
                if '/score_' in variable.name:
                    value = rng.normal(0, 0.3, variable.shape.as_list()).astype(np.float32)
                    network.sess.run(tf.assign(variable, value))
        return network.save(str(tmp_path_factory.mktemp('narrow_model')), name='narrow', force_save=True)


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
            path = str(tmp_path_factory.mktemp('export') / '{}_{}'.format(*key))
            export_model(narrow_model, path, format_name, precision, **options)
            made[key] = path
        return made[key]

    return get
