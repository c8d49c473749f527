"""He initialisation (He et al., ICCV 2015, eq. 10): a seeded draw per layer, independent of the other draws."""

import zlib
from typing import Tuple

import numpy as np

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.source import UNIT_VARIANCE_BGR, Source, Weights


def he_normal(name: str, shape: Tuple[int, ...], seed: int) -> Weights:
    """Returns a kernel float32 of N(0, 2 / fan_in) and zero biases, a pure function of (seed, name, shape).

    shape: `(..., in, out)`; fan_in is the product of all but the last.
    """
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    kernel = generator.standard_normal(shape, dtype=np.float32)
    kernel *= np.float32(np.sqrt(2.0 / np.prod(shape[:-1])))
    return kernel, np.zeros(shape[-1], np.float32)


def random_source(width_divisor: int, seed: int) -> Source:
    """Returns an untrained VGG-16 without fc6 and fc7, which `with_encoder_dense` adds to every source without them."""
    convolutions = {
        name: he_normal(name, shape, seed) for name, shape in layers.convolution_shapes(width_divisor).items()
    }
    return Source('random', '', width_divisor, UNIT_VARIANCE_BGR, convolutions, {})


def with_encoder_dense(source: Source, seed: int) -> Source:
    """Returns the source, with fc6 and fc7 drawn at random if it has none."""
    if source.dense:
        return source
    shapes = layers.dense_shapes(source.width_divisor, source.head)
    drawn = {name: he_normal(name, shapes[name], seed) for name in layers.ENCODER_DENSE}
    return source._replace(dense=drawn, dense_layout='HWC')
