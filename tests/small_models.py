"""Saved networks that predict something at once."""

import numpy as np


def save_small_model(directory, encoder):
    """Saves an FCN-8s with Cityscapes' classes and void in a directory, and returns its path.

    The score layers start at zero, so that an untrained network predicts the same everywhere: here they are random.
    """
    from fcn8s import FCN8s
    from helpers.label_spaces import LABEL_SPACES

    with FCN8s(vgg16_dir=encoder, label_space=LABEL_SPACES['cityscapes20']) as network:
        _randomize_decoder(network, seed=3)
        return network.save(directory, saver='saved_model', name='small', force_save=True)


def _randomize_decoder(network, seed):
    from fcn8s.backend import tf

    rng = np.random.RandomState(seed)
    with network.sess.graph.as_default():
        decoder = [variable for variable in tf.trainable_variables() if '/score_' in variable.name]
        for variable in decoder:
            value = rng.normal(0, 0.05, variable.shape.as_list()).astype(np.float32)
            network.sess.run(tf.assign(variable, value))
