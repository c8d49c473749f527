import os

import numpy as np
import pytest

from data_generator import BatchGenerator
from helpers.images import write_image, write_labels


def _narrowest(label):
    return np.uint8 if np.max(label) < 256 else np.uint16


def _own_dataset(root, labels, **options):
    """A dataset in folders `images` and `labels`: for each label, IDs [H, W] or colours [H, W, 3], an image."""
    for number, label in enumerate(np.asarray(label, _narrowest(label)) for label in labels):
        os.makedirs(str(root / 'images'), exist_ok=True)
        os.makedirs(str(root / 'labels'), exist_ok=True)
        write_image(str(root / 'images/{}.png'.format(number)), np.full(label.shape[:2] + (3,), 9, np.uint8))
        path = str(root / 'labels/{}.png'.format(number))
        write_labels(path, label) if label.ndim == 2 else write_image(path, label)
    return BatchGenerator([str(root / 'images')], None, [str(root / 'labels')], **options)


@pytest.fixture
def own_dataset():
    return _own_dataset
