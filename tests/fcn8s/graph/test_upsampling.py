"""The gradient of a transposed convolution's kernel against loops in NumPy and against TensorFlow's own."""

import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.graph import upsampling


def gradient_by_loops(inputs, gradient, stride):
    """d sum(output x gradient) / d kernel, tap by tap."""
    (_, height, width, channels_in), (full_height, full_width, channels_out) = inputs.shape, gradient.shape[1:]
    tops = [((size + 1) * stride - full) // 2 for size, full in ((height, full_height), (width, full_width))]
    found = np.zeros((2 * stride, 2 * stride, channels_out, channels_in))
    for tap_y in range(2 * stride):
        for tap_x in range(2 * stride):
            for i in range(height):
                for j in range(width):
                    y, x = stride * i + tap_y - tops[0], stride * j + tap_x - tops[1]
                    if 0 <= y < full_height and 0 <= x < full_width:
                        found[tap_y, tap_x] += np.einsum('no,ni->oi', gradient[:, y, x], inputs[:, i, j])
    return found


@pytest.mark.parametrize('size, stride', [((16, 24), 8), ((13, 23), 8), ((1, 9), 8), ((5, 6), 2)])
def test_the_gradient_of_the_kernel(size, stride):
    random = np.random.RandomState(0)
    inputs = random.normal(size=(2, -(-size[0] // stride), -(-size[1] // stride), 3)).astype(np.float32)
    gradient = random.normal(size=(2,) + size + (4,)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        fed = [tf.placeholder(tf.float32, [None, None, None, channels]) for channels in (3, 4)]
        computed = session.run(upsampling.kernel_gradient(*fed, stride, 3, 4), dict(zip(fed, (inputs, gradient))))
    np.testing.assert_allclose(computed, gradient_by_loops(inputs, gradient, stride), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('padding, kernel_size', [('SAME', 8), ('SAME', 5), ('VALID', 8)])
def test_gradients_are_those_of_tensorflow(padding, kernel_size):
    random = np.random.RandomState(1)
    stride, size, full = 4, (3, 4), (12, 15)
    if padding == 'VALID':
        full = tuple(stride * (side - 1) + kernel_size for side in size)

    def gradients(context):
        inputs = tf.constant(random.normal(size=(2,) + size + (3,)).astype(np.float32))
        kernel = tf.constant(random.normal(size=(kernel_size, kernel_size, 5, 3)).astype(np.float32))
        with context:
            output = tf.nn.conv2d_transpose(inputs, kernel, (2,) + full + (5,), [1, stride, stride, 1], padding)
        return tf.gradients(tf.reduce_sum(tf.square(output)), [inputs, kernel])

    with tf.Graph().as_default() as graph, tf.Session() as session:
        ours = gradients(upsampling.faster_kernel_gradients())
        random.seed(1)
        exact = gradients(graph.gradient_override_map({}))
        for found, expected in zip(*session.run((ours, exact))):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_gpus_keep_their_own(monkeypatch):
    monkeypatch.setattr(upsampling, 'has_gpus', lambda: True)
    with tf.Graph().as_default() as graph:
        with upsampling.faster_kernel_gradients():
            tf.nn.conv2d_transpose(tf.ones([1, 2, 2, 1]), tf.ones([4, 4, 1, 1]), [1, 4, 4, 1], [1, 2, 2, 1])
        assert not any('_gradient_op_type' in str(node.attr) for node in graph.as_graph_def().node)
