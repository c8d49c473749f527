"""Models and runs that version 1.0 wrote open, and predict what they predicted then.

`version_1_0/files.tar.gz` was written by version 1.0.0 on TensorFlow 2.21: an encoder a 64th as wide, a run of three
steps on six generated scenes, the model that `save()` wrote from it, two images, and every fourth row and column of its
soft-max for them.
"""

import os
import tarfile

import numpy as np
import pytest

from fcn8s import FCN8s, open_model, runs
from fcn8s.training.schedules import constant

TOLERANCE = 1e-4


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp('version_1_0')
    with tarfile.open(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), 'version_1_0', 'files.tar.gz')
    ) as archive:
        archive.extractall(str(directory))
    return directory


@pytest.mark.parametrize('model', ['run', os.path.join('saved', 'model_(globalstep-3)')])
def test_a_model_of_1_0_predicts_what_it_predicted(files, model):
    images, expected = np.load(str(files / 'images.npy')), np.load(str(files / 'softmax.npy'))
    with FCN8s(model_load_dir=str(files / model)) as network:
        np.testing.assert_allclose(network.predict(images, argmax=False)[:, ::4, ::4], expected, atol=TOLERANCE)
    with open_model(runs.resolve_model(str(files / model))) as network:
        np.testing.assert_allclose(network.predict(images, argmax=False)[:, ::4, ::4], expected, atol=TOLERANCE)


def test_a_model_of_1_0_is_trained_further(files, tmp_path):
    """With the names that every graph of this library has: what a checkpoint of 1.0 holds is found again."""
    from streams import Stream

    with FCN8s(fine_tune_from=str(files / 'run'), num_classes=2) as network:
        network.train(Stream((32, 64)), 1, 2, constant(1e-4))
    with FCN8s(
        vgg16_dir=str(files / 'encoder'),
        num_classes=19,
        variables_load_dir=str(files / 'run' / 'checkpoints' / 'step-00000003'),
    ) as network:
        assert int(network.sess.run(network.global_step)) == 3


def test_config_and_metrics_of_a_run_of_1_0_are_read(files):
    run = runs.open_run(str(files / 'run'))
    assert runs.read_config(run)['versions']['fcn8s'] == '1.0.0'
    assert [record['step'] for record in runs.read_metrics(run)] == [3]
