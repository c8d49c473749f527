"""Networks that predict something at once: their score layers start at zero, so that untrained ones predict the same
everywhere."""

import json
import shutil

import numpy as np


def save_small_model(directory, encoder):
    """Saves an FCN-8s with Cityscapes' classes and void in a directory, and returns its path."""
    from fcn8s import FCN8s
    from helpers.label_spaces import LABEL_SPACES

    with FCN8s(vgg16_dir=encoder, label_space=LABEL_SPACES['cityscapes20']) as network:
        randomize_decoder(network, seed=3, deviation=0.05)
        return network.save(directory, saver='saved_model', name='small', force_save=True)


def randomize_decoder(network, seed, deviation):
    from fcn8s.backend import tf

    rng = np.random.RandomState(seed)
    with network.sess.graph.as_default():
        decoder = [variable for variable in tf.trainable_variables() if '/score_' in variable.name]
        for variable in decoder:
            value = rng.normal(0, deviation, variable.shape.as_list()).astype(np.float32)
            network.sess.run(tf.assign(variable, value))


def run_of(model_dir, run_dir, **command):
    """Makes a run directory (a pathlib.Path) of a saved model, as trained by such a command, and returns it."""
    shutil.copytree(model_dir, str(run_dir / 'checkpoints' / 'step-00000007'))
    (run_dir / 'checkpoints' / 'last.json').write_text(json.dumps({'checkpoint': 'step-00000007'}))
    (run_dir / 'config.json').write_text(json.dumps({'command': command}))
    return run_dir
