"""Encoders whose graphs are built, restored and saved in two thirds of the time, for tests of what is around them."""

import pytest

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.write import write_encoder


def write_shallow_encoder(path, width_divisor):
    """Writes an encoder like a VGG-16 with the first convolution of each block alone, and random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, 'BLOCKS', tuple(widths[:1] for widths in layers.BLOCKS))
        patch.setattr(layers, 'CONVOLUTIONS', tuple(name for names in layers.block_names() for name in names))
        write_encoder(path, weights='random', width_divisor=width_divisor, seed=0)
