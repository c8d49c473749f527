"""The encoder that the benchmarks measure, with random weights and random biases.

`write_encoder(path, 'random')` starts biases at zero, as a training does. TensorFlow removes the addition of a zero
constant, and then no longer fuses the ops around it: such a network predicts slower than a trained one.
"""

import os
import tempfile

import numpy as np

BIAS_SPREAD = 0.1


def write_drawn_encoder(path, width_divisor, seed=0):
    """Writes a random VGG-16. Its convolutions have random biases; those of fc6 and fc7 are zero."""
    from fcn8s.vgg16.weights.he import he_normal
    from fcn8s.vgg16.weights.layers import convolution_shapes
    from fcn8s.vgg16.write import write_encoder

    generator = np.random.RandomState(seed)
    arrays = {}
    for name, shape in convolution_shapes(width_divisor).items():
        arrays[name + '_W'], _ = he_normal(name, shape, seed)
        arrays[name + '_b'] = generator.normal(0, BIAS_SPREAD, shape[-1]).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, 'vgg16_weights.npz')
        np.savez(weights, **arrays)
        write_encoder(path, weights, preprocessing='torchvision', seed=seed)
