"""The decoder: score layers on pool3, pool4 and fc7, and the transposed convolutions that bring them to the image.

Shelhamer, Long, Darrell: "Fully Convolutional Networks for Semantic Segmentation", TPAMI 2017, section 4. '8s' is the
at-once net with both skips; '16s' leaves out pool3, '32s' both.
"""

from typing import Any, List, NamedTuple, Tuple

import numpy as np

from fcn8s.backend import Tensor, Variable, tf
from fcn8s.graph.upsampling import faster_kernel_gradients
from fcn8s.settings import VARIANTS, ModelSettings

# Where the nets of the paper's authors crop: the scores of pool4 and pool3 to the upsampled map that they are added to,
# and the logits to the image (net.py of each variant in https://github.com/shelhamer/fcn.berkeleyvision.org).
CAFFE_OFFSETS = {'pool4': 5, 'pool3': 9}
CAFFE_IMAGE_OFFSET = {'8s': 31, '16s': 27, '32s': 19}


class Decoder(NamedTuple):
    """logits: float32 [N, H, W, C] at the size of the image; kernels and biases: the decoder's trained variables."""

    logits: Tensor
    kernels: Tuple[Variable, ...]
    biases: Tuple[Variable, ...]


def bilinear_kernel(size: int, num_classes: int) -> np.ndarray:
    """Returns the kernel of a transposed convolution that interpolates each class's map bilinearly.

    size: kernel height and width; the stride that goes with it is size / 2.

    Returns float32 [size, size, num_classes, num_classes], zero between different classes. Weights fall linearly from
    the centre, 1 - |i - centre| / stride in each direction, as in the reference Caffe nets ("surgery.py",
    upsample_filt).
    """
    return _bilinear_taps(size)[:, :, np.newaxis, np.newaxis] * np.eye(num_classes, dtype=np.float32)


def _bilinear_taps(size: int) -> np.ndarray:
    """The kernel of one class, float32 [size, size]."""
    stride = (size + 1) // 2
    centre = stride - 1 if size % 2 else stride - 0.5
    ramp = 1 - np.abs(np.arange(size) - centre) / stride
    return np.outer(ramp, ramp).astype(np.float32)


def _bilinear_tensor(size: int, num_classes: int, name: str) -> Tensor:
    """`bilinear_kernel`, computed in the graph: for 150 classes at stride 32 it has 0.4 GB, and TensorFlow holds many
    copies of a constant.
    """
    taps = tf.constant(_bilinear_taps(size)[:, :, np.newaxis, np.newaxis])
    # Not tf.eye: TensorFlow 1 does not load the ops that TensorFlow 2 makes of it.
    return tf.multiply(taps, tf.constant(np.eye(num_classes, dtype=np.float32)), name=name)


class _Builder:
    """Collects the variables of the layers while the decoder is put together."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.kernels: List[Any] = []
        self.biases: List[Any] = []

    def score(self, features: Tensor, name: str) -> Tensor:
        """Adds a 1x1 convolution to class scores, zero at first as in the paper (section 4.3: random is no better).

        The bias is added by `tf.add`: the gradient of `tf.nn.bias_add` is fused with that of the convolution, for which
        oneDNN, in bfloat16 on CPUs with AMX, writes 16 classes where there are fewer, over memory that it does not own
        (TensorFlow 2.21).
        """
        channels, classes = features.shape.as_list()[-1], self.settings.num_classes
        with tf.variable_scope(name):
            kernel = tf.get_variable(
                'kernel', [1, 1, channels, classes], initializer=tf.zeros_initializer(), use_resource=True
            )
            bias = tf.get_variable('bias', [classes], initializer=tf.zeros_initializer(), use_resource=True)
            self.kernels.append(kernel)
            self.biases.append(bias)
            return tf.add(tf.nn.conv2d(features, kernel, [1, 1, 1, 1], 'SAME'), bias, name='BiasAdd')

    def upsample(self, scores: Tensor, like: Tensor, stride: int, name: str, bias: bool = False) -> Tensor:
        """Adds a transposed convolution, stride `stride`, kernel twice as large, that gives the size of `like`.

        SAME padding rounds every level's size up, so the input is exactly ceil(size of `like` / stride). With Caffe's
        alignment there is no padding, and the size of the result does not depend on `like`.
        """
        classes = self.settings.num_classes
        with tf.variable_scope(name):
            if self.settings.upsampling == 'learned':
                kernel = tf.get_variable(
                    'kernel',
                    [2 * stride, 2 * stride, classes, classes],
                    initializer=lambda *_, **__: _bilinear_tensor(2 * stride, classes, 'bilinear'),
                    use_resource=True,
                )
                self.kernels.append(kernel)
            else:
                kernel = _bilinear_tensor(2 * stride, classes, 'kernel')
            is_same = self.settings.alignment == 'same'
            shape = tf.shape(like)
            if not is_same:
                size = tf.shape(scores)
                shape = tf.stack([size[0], stride * (size[1] + 1), stride * (size[2] + 1)])
            shape = tf.stack([shape[0], shape[1], shape[2], classes])
            upsampled = tf.nn.conv2d_transpose(
                scores, kernel, shape, [1, stride, stride, 1], 'SAME' if is_same else 'VALID'
            )
            if not bias:
                return upsampled
            variable = tf.get_variable('bias', [classes], initializer=tf.zeros_initializer(), use_resource=True)
            self.biases.append(variable)
            return tf.add(upsampled, variable, name='BiasAdd')

    def join(self, upsampled: Tensor, features: Tensor, scale: float, pool: str) -> Tensor:
        """Adds the scores of a skip to a map that was upsampled to it."""
        scores = self.score(features * scale, 'score_' + pool)
        if self.settings.alignment == 'caffe':
            scores = _crop(scores, upsampled, CAFFE_OFFSETS[pool])
        return upsampled + scores


def _crop(values: Tensor, like: Tensor, offset: int) -> Tensor:
    """The part of a map [N, H, W, C] that begins at `offset` and has the height and width of `like`."""
    shape = tf.shape(like)
    return values[:, offset : offset + shape[1], offset : offset + shape[2], :]


def build_decoder(pool3: Tensor, pool4: Tensor, fc7: Tensor, image: Tensor, settings: ModelSettings) -> Decoder:
    """Builds the decoder in the current graph, under the scope `decoder`.

    pool3, pool4, fc7: float32 [N, H/8, W/8, .], [N, H/16, W/16, .], [N, H/32, W/32, .], sizes rounded up.
    image: any tensor [N, H, W, .] of the size that the logits get.

    Returns a Decoder; its logits are the tensor `decoder/fcn8s_output:0`.
    """
    variant, (pool3_scale, pool4_scale) = VARIANTS[settings.variant], settings.skip_scales
    with tf.variable_scope('decoder'):
        layers = _Builder(settings)
        scores = layers.score(fc7, 'score_fc7')
        if 'pool4' in variant.skips:
            scores = layers.join(layers.upsample(scores, pool4, 2, 'upsample_fc7'), pool4, pool4_scale, 'pool4')
        if 'pool3' in variant.skips:
            scores = layers.join(layers.upsample(scores, pool3, 2, 'upsample_pool4'), pool3, pool3_scale, 'pool3')
        stride = variant.final_stride
        logits = layers.upsample(scores, image, stride, 'upsample_{}x'.format(stride), settings.output_bias)
        if settings.alignment == 'caffe':
            logits = _crop(logits, image, CAFFE_IMAGE_OFFSET[settings.variant])
        logits = tf.identity(logits, name='fcn8s_output')
    return Decoder(logits, tuple(layers.kernels), tuple(layers.biases))


def build_decoder_to_train(
    pool3: Tensor, pool4: Tensor, fc7: Tensor, image: Tensor, settings: ModelSettings
) -> Decoder:
    """Builds the decoder for training: as `build_decoder`, with gradients that take less time."""
    with faster_kernel_gradients():
        return build_decoder(pool3, pool4, fc7, image, settings)
