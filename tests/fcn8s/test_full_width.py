"""The network at the width of the paper: 134 million weights, which no small encoder stands for in memory or kernels."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from precisions import cannot

from fcn8s.prediction.frozen_network import open_model
from fcn8s.vgg16.write import write_encoder

pytestmark = pytest.mark.slow

# Two classes: some kernels of oneDNN handle fewer than 16 channels apart.
PROGRAM = """
import json
import sys

import numpy as np

from fcn8s import FCN8s

encoder, precision, saved = sys.argv[1:]
images = np.random.RandomState(0).randint(0, 256, (2, 70, 100, 3)).astype(np.uint8)
images[:, :, 50:] //= 4
labels = np.zeros((2, 70, 100), np.uint8)
labels[:, :, 50:] = 1


def batches():
    while True:
        yield images, labels


with FCN8s(vgg16_dir=encoder, num_classes=2, precision=precision) as model:
    model.train(batches(), 1, 10, lambda step: 1e-5, keep_prob=1.0, metrics={'loss', 'accuracy'})
    scores = model.evaluate(batches(), 1)
    model.save(saved, name='model', include_metrics=False, include_last_training_loss=False, include_global_step=False)
    np.save(saved + '/classes.npy', model.predict(images))
print(json.dumps([scores['loss'], scores['accuracy']]))
"""


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('full_width') / 'vgg16')
    write_encoder(path, weights='random', seed=0)
    yield path
    shutil.rmtree(path)  # half a gigabyte


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_trains_scores_saves_and_predicts(encoder, tmp_path, precision):
    if cannot(precision):
        pytest.skip(cannot(precision))
    # A process of its own: what goes wrong in a kernel ends the process, and its memory is given back.
    result = subprocess.run(
        [sys.executable, '-c', PROGRAM, encoder, precision, str(tmp_path)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    loss, accuracy = json.loads(result.stdout.splitlines()[-1])
    assert loss < np.log(2) and accuracy > 0.9

    images = np.random.RandomState(0).randint(0, 256, (2, 70, 100, 3)).astype(np.uint8)
    images[:, :, 50:] //= 4
    with open_model(os.path.join(str(tmp_path), 'model'), precision=precision) as model:
        agreement = np.mean(model.predict(images) == np.load(str(tmp_path / 'classes.npy')))
    assert agreement > (0.9999 if precision == 'float32' else 0.98)
