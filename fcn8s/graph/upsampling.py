"""The gradient of a transposed convolution's kernel as a matrix product, in a fraction of oneDNN's time.

The convolution adds x[i] K[k] to the output at s i + k - p, where s is the stride, 0 <= k < 2 s, and p is what SAME
padding cuts off above and left. So the gradient of K[s a + r] is the sum over i of x[i] G[s (i + a) + r], with a = 0 or
1, 0 <= r < s, and G the gradient of the output with p zeros before it. In two dimensions: neighbours of x times s x s
blocks of G.
"""

import contextlib
from typing import Any, List, Optional

from fcn8s.backend import Operation, Tensor, tf
from fcn8s.precision import has_gpus

_NAME = 'FCN8sTransposedConvolution'


def faster_kernel_gradients() -> Any:
    """Returns a context in which transposed convolutions get this gradient, which equals TensorFlow's but for rounding;
    on GPUs they keep TensorFlow's.

    Graphs that are saved have to be built outside it: they would hold the name of the gradient.
    """
    if has_gpus():
        return contextlib.nullcontext()
    return tf.get_default_graph().gradient_override_map({'Conv2DBackpropInput': _NAME})


@tf.RegisterGradient(_NAME)
def _gradients(op: Operation, gradient: Tensor) -> List[Optional[Tensor]]:
    """For the output's size, the kernel [kh, kw, out, in] and the input [N, h, w, in]; gradient: [N, H, W, out]."""
    _, kernel, inputs = op.inputs
    options = dict(strides=op.get_attr('strides'), padding=op.get_attr('padding').decode())
    of_inputs = tf.raw_ops.Conv2D(input=gradient, filter=kernel, **options)
    height, width, channels_out, channels_in = kernel.shape.as_list()
    stride = op.get_attr('strides')[1]
    if options['padding'] == 'SAME' and height == width == 2 * stride:
        return [None, kernel_gradient(inputs, gradient, stride, channels_in, channels_out), of_inputs]
    of_kernel = tf.raw_ops.Conv2DBackpropFilter(
        input=gradient, filter_sizes=tf.shape(kernel), out_backprop=inputs, **options
    )
    return [None, of_kernel, of_inputs]


def kernel_gradient(inputs: Tensor, gradient: Tensor, stride: int, channels_in: int, channels_out: int) -> Tensor:
    """Computes the gradient [2 s, 2 s, out, in] of the kernel of a transposed convolution of stride s, SAME padding.

    inputs: [N, h, w, in]. gradient: of the output [N, H, W, out], h = ceil(H / s), w = ceil(W / s).
    """
    size, full = tf.shape(inputs)[1:3], tf.shape(gradient)[1:3]
    cut = (size + 1) * stride - full
    before = cut // 2
    blocks = _blocks(_pad(gradient, before, cut - before), size + 1, stride, channels_out)
    # The input that belongs to a block is at the block's position for a = 0, and one position before it for a = 1.
    moved = [tf.pad(inputs, [[0, 0], [a, 1 - a], [b, 1 - b], [0, 0]]) for a in (0, 1) for b in (0, 1)]
    neighbours = tf.reshape(tf.concat(moved, axis=-1), tf.stack([-1, tf.reduce_prod(size + 1), 4 * channels_in]))
    # Image by image: an image's share does not depend on the other images, and sums stay short.
    product = tf.reduce_sum(tf.matmul(neighbours, blocks, transpose_a=True), axis=0)
    product = tf.reshape(product, [2, 2, channels_in, stride, stride, channels_out])
    return tf.reshape(tf.transpose(product, [0, 3, 1, 4, 5, 2]), [2 * stride, 2 * stride, channels_out, channels_in])


def _pad(values: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Pads values [N, H, W, C] with zeros; before: int32 [2], above and left; after: below and right."""
    return tf.pad(values, tf.concat([[[0, 0]], tf.stack([before, after], axis=1), [[0, 0]]], axis=0))


def _blocks(values: Tensor, size: Tensor, stride: int, channels: int) -> Tensor:
    """values [N, s h, s w, C] -> [N, h w, s s C], block by block; size: (h, w)."""
    # Whole rows of a block are moved at once, with their channels.
    rows = tf.reshape(values, tf.stack([-1, stride, size[1], stride * channels]))
    rows = tf.transpose(rows, [0, 2, 1, 3])
    return tf.reshape(rows, tf.stack([-1, tf.reduce_prod(size), stride * stride * channels]))
