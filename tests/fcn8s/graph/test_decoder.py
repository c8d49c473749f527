import numpy as np
import pytest

from fcn8s.backend import tf
from fcn8s.graph.decoder import bilinear_kernel, build_decoder
from fcn8s.settings import ModelSettings
from helpers.label_spaces import generic_label_space


def transposed_convolution(scores, kernel, stride, height, width):
    """Every input pixel adds its kernel to the output; SAME padding cuts the border off. Slow and plain."""
    size, classes = kernel.shape[0], kernel.shape[2]
    rows, columns = scores.shape[:2]
    canvas = np.zeros([(rows - 1) * stride + size, (columns - 1) * stride + size, classes])
    for y in range(rows):
        for x in range(columns):
            canvas[y * stride : y * stride + size, x * stride : x * stride + size] += kernel @ scores[y, x]
    # SAME padding of the convolution from [height, width] to [rows, columns], which this is the transpose of.
    top = max((rows - 1) * stride + size - height, 0) // 2
    left = max((columns - 1) * stride + size - width, 0) // 2
    return canvas[top : top + height, left : left + width]


def features(rng, height, width):
    """pool3, pool4 and fc7 of an image, with few channels; sizes round up."""

    def up(length, stride):
        return -(-length // stride)

    return [
        rng.normal(size=[1, up(height, s), up(width, s), c]).astype(np.float32) for s, c in ((8, 3), (16, 4), (32, 5))
    ]


def run_decoder(settings, arrays, height, width, weights):
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        placeholders = [tf.placeholder(tf.float32, [None, None, None, array.shape[-1]]) for array in arrays]
        image = tf.placeholder(tf.float32, [None, None, None, 3])
        decoder = build_decoder(*placeholders, image, settings)
        session.run(tf.global_variables_initializer())
        for variable in decoder.kernels + decoder.biases:
            name = variable.op.name[len('decoder/') :]
            session.run(variable.initializer, {variable.initializer.inputs[1]: weights[name](variable.shape.as_list())})
        feed = dict(zip(placeholders, arrays))
        feed[image] = np.zeros([1, height, width, 3])
        values = {v.op.name[len('decoder/') :]: v for v in decoder.kernels + decoder.biases}
        return session.run((decoder.logits, values), feed)


class RandomWeights:
    def __init__(self, seed=0):
        self.rng = np.random.RandomState(seed)

    def __getitem__(self, name):
        return lambda shape: self.rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('height, width', [(64, 64), (33, 70), (1, 1), (97, 8)])
@pytest.mark.parametrize('variant', ['8s', '16s', '32s'])
def test_equals_the_plain_computation(variant, height, width):
    settings = ModelSettings(generic_label_space(2), variant, 'learned', (0.1, 0.5))
    pool3, pool4, fc7 = features(np.random.RandomState(1), height, width)
    logits, w = run_decoder(settings, [pool3, pool4, fc7], height, width, RandomWeights())

    def score(array, name):
        return array[0] @ w[name + '/kernel'][0, 0] + w[name + '/bias']

    scores = score(fc7, 'score_fc7').astype(np.float64)
    if variant != '32s':
        scores = transposed_convolution(scores, w['upsample_fc7/kernel'], 2, *pool4.shape[1:3]) + score(
            pool4 * 0.5, 'score_pool4'
        )
    if variant == '8s':
        scores = transposed_convolution(scores, w['upsample_pool4/kernel'], 2, *pool3.shape[1:3]) + score(
            pool3 * 0.1, 'score_pool3'
        )
    stride = int(variant[:-1])
    expected = transposed_convolution(scores, w['upsample_{}x/kernel'.format(stride)], stride, height, width)
    assert logits.shape == (1, height, width, 2)
    np.testing.assert_allclose(logits[0], expected, rtol=1e-3, atol=1e-3)


def test_bilinear_kernel_interpolates():
    """A ramp of scores stays a ramp, away from the border, whatever the stride."""
    for stride in (2, 8, 16, 32):
        ramp = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1)
        upsampled = transposed_convolution(ramp, bilinear_kernel(2 * stride, 2), stride, 6 * stride, 6 * stride)
        inner = slice(stride, -stride)
        positions = (np.arange(6 * stride) + 0.5) / stride - 0.5
        np.testing.assert_allclose(
            upsampled[inner, inner, 0], np.broadcast_to(positions, [6 * stride] * 2)[inner, inner], atol=1e-5
        )


def test_bilinear_kernel_keeps_classes_apart():
    kernel = bilinear_kernel(4, 3)
    assert kernel.shape == (4, 4, 3, 3) and kernel.dtype == np.float32
    assert not kernel[:, :, ~np.eye(3, dtype=bool)].any()
    # Each output pixel of a transposed convolution of stride 2 gets the sum over two taps a direction: it has to be 1.
    np.testing.assert_allclose(kernel[::2, ::2, 0, 0].sum(), 1)


def test_fixed_upsampling_has_no_variables_for_it():
    graph = tf.Graph()
    with graph.as_default():
        arrays = [tf.placeholder(tf.float32, [None, None, None, c]) for c in (3, 4, 5)]
        decoder = build_decoder(
            *arrays,
            tf.placeholder(tf.float32, [None, None, None, 3]),
            ModelSettings(generic_label_space(2), '8s', 'bilinear'),
        )
        names = [variable.op.name for variable in tf.global_variables()]
    assert not [name for name in names if 'upsample' in name]
    assert len(decoder.kernels) == 3


def test_the_gradient_of_no_bias_is_fused_with_a_convolution():
    """Fused, a CPU with AMX writes behind the bias's gradient in bfloat16, and the process dies some steps later."""
    graph = tf.Graph()
    with graph.as_default():
        arrays = [tf.placeholder(tf.float32, [None, None, None, c]) for c in (3, 4, 5)]
        decoder = build_decoder(
            *arrays, tf.placeholder(tf.float32, [None, None, None, 3]), ModelSettings(generic_label_space(2))
        )
        tf.gradients(decoder.logits, decoder.biases)
    assert 'BiasAddGrad' not in {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize('upsampling', ['learned', 'bilinear'])
def test_bilinear_kernels_are_computed_and_not_carried_in_the_graph(upsampling):
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        arrays = [tf.placeholder(tf.float32, [None, None, None, c]) for c in (3, 4, 5)]
        build_decoder(
            *arrays,
            tf.placeholder(tf.float32, [None, None, None, 3]),
            ModelSettings(generic_label_space(7), '8s', upsampling),
        )
        session.run(tf.global_variables_initializer())
        name = 'decoder/upsample_8x/kernel' + ('/Read/ReadVariableOp:0' if upsampling == 'learned' else ':0')
        np.testing.assert_array_equal(session.run(name), bilinear_kernel(16, 7))
    assert graph.as_graph_def().ByteSize() < bilinear_kernel(16, 7).nbytes
