import numpy as np
import pytest


def _randomize_decoder(network, seed):
    """The score layers start at zero, so that an untrained network predicts the same everywhere."""
    from fcn8s.backend import tf

    rng = np.random.RandomState(seed)
    with network.sess.graph.as_default():
        decoder = [variable for variable in tf.trainable_variables() if '/score_' in variable.name]
        for variable in decoder:
            value = rng.normal(0, 0.05, variable.shape.as_list()).astype(np.float32)
            network.sess.run(tf.assign(variable, value))


@pytest.fixture(scope='session')
def small_model(tmp_path_factory, tiny_encoder):
    """The path of a saved FCN-8s with Cityscapes' classes and void; its predictions differ from place to place."""
    from fcn8s import FCN8s
    from helpers.label_spaces import LABEL_SPACES

    with FCN8s(vgg16_dir=tiny_encoder, label_space=LABEL_SPACES['cityscapes20']) as network:
        _randomize_decoder(network, seed=3)
        return network.save(
            str(tmp_path_factory.mktemp('small_model')), saver='saved_model', name='small', force_save=True
        )
