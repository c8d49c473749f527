"""Reading the layers of a network from its graph, and drawing them."""

import numpy as np
import pytest

from fcn8s import FCN8s, write_encoder
from fcn8s.graph import products
from fcn8s.planning.architecture import draw_architecture, read_architecture
from fcn8s.vgg16.further_channels import further_channels
from helpers.image_rules import ImageRules

# VGG-16 as its paper prints it (configuration D): convolutions per block, and their width.
BLOCKS = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]
WIDTH_DIVISOR = 16
NUM_CLASSES = 5


@pytest.fixture(scope='module')
def architectures(tiny_encoder):
    """Layers by name, for each variant, on images of 70 x 100 pixels, which no stride divides."""
    found = {}
    for variant in ('8s', '16s', '32s'):
        with FCN8s(vgg16_dir=tiny_encoder, num_classes=NUM_CLASSES, variant=variant) as model:
            found[variant] = {layer.name: layer for layer in read_architecture(model, (70, 100))}
    return found


def rounded_up(size, stride):
    return -(-size // stride)


def test_encoder_is_vgg16(architectures):
    layers = architectures['8s']
    before, stride = 'image', 1
    for block, (num_convolutions, width) in enumerate(BLOCKS, start=1):
        names = ['conv{}_{}'.format(block, index + 1) for index in range(num_convolutions)]
        for name in names:
            layer = layers[name]
            assert (layer.kind, layer.kernel, layer.stride, layer.total_stride) == ('convolution', (3, 3), 1, stride)
            assert layer.shape == (rounded_up(70, stride), rounded_up(100, stride), width // WIDTH_DIVISOR)
            assert layer.inputs == (before,)
            before = name
        pool, stride = layers['pool{}'.format(block)], 2 * stride
        assert (pool.kind, pool.kernel, pool.stride, pool.total_stride) == ('pooling', (2, 2), 2, stride)
        assert pool.inputs == (before,)
        before = pool.name
    assert (layers['fc6'].kernel, layers['fc6'].inputs) == ((7, 7), ('pool5',))
    assert (layers['fc7'].kernel, layers['fc7'].inputs, layers['fc7'].total_stride) == ((1, 1), ('fc6',), 32)
    assert layers['fc7'].shape == (3, 4, 4096 // WIDTH_DIVISOR)


def test_decoder_of_the_paper(architectures):
    layers = architectures['8s']
    assert layers['score_fc7'].inputs == ('fc7',)
    assert layers['score_pool4'].inputs == ('pool4',)
    assert layers['score_pool3'].inputs == ('pool3',)
    upsamplings = [layer for layer in layers.values() if layer.kind == 'transposed convolution']
    assert [(layer.kernel, layer.stride, layer.total_stride) for layer in upsamplings] == [
        ((4, 4), 2, 16),
        ((4, 4), 2, 8),
        ((16, 16), 8, 1),
    ]
    sums = [layer for layer in layers.values() if layer.kind == 'sum']
    assert set(sums[0].inputs) == {upsamplings[0].name, 'score_pool4'}
    assert set(sums[1].inputs) == {upsamplings[1].name, 'score_pool3'}
    assert upsamplings[1].inputs == (sums[0].name,)
    assert upsamplings[2].inputs == (sums[1].name,)
    assert list(layers.values())[-1].shape == (70, 100, NUM_CLASSES)


def test_decoder_and_encoder_are_told_apart(architectures):
    decoder = {name for name, layer in architectures['8s'].items() if layer.is_decoder}
    assert {'score_fc7', 'score_pool3', 'score_pool4', 'upsample_8x'} < decoder
    assert not decoder & {'image', 'conv1_1', 'pool3', 'fc7'}


@pytest.mark.parametrize('variant, skips', [('16s', {'score_pool4'}), ('32s', set())])
def test_coarser_variants_lack_skips(architectures, variant, skips):
    layers = architectures[variant]
    assert {name for name in layers if name.startswith('score_pool')} == skips
    assert list(layers.values())[-1].stride == int(variant[:-1])


def test_layers_come_after_their_inputs(architectures):
    for layers in architectures.values():
        seen = set()
        for layer in layers.values():
            assert set(layer.inputs) <= seen
            seen.add(layer.name)


def test_reading_leaves_the_prediction_as_it_is(tiny_encoder):
    image = np.random.RandomState(0).randint(0, 256, (1, 40, 50, 3)).astype(np.uint8)
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=NUM_CLASSES) as model:
        before = model.predict(image, argmax=False)
        read_architecture(model, (32, 32))
        np.testing.assert_array_equal(model.predict(image, argmax=False), before)


def test_convolutions_that_are_computed_as_products_are_layers(tiny_encoder, architectures, monkeypatch):
    monkeypatch.setattr(products, 'MAX_CONVOLUTION_BYTES', 0)
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=NUM_CLASSES) as model:
        assert 'Conv2D' not in {op.type for op in model.graph.get_operations() if op.name.startswith(('conv', 'fc'))}
        assert {layer.name: layer for layer in read_architecture(model, (70, 100))} == architectures['8s']


def test_images_of_four_channels(tmp_path):
    figure_module = pytest.importorskip('matplotlib.figure')
    path = str(tmp_path / 'encoder')
    write_encoder(path, width_divisor=64, further=further_channels(4))
    with FCN8s(vgg16_dir=path, num_classes=2, image_rules=ImageRules(4)) as model:
        layers = read_architecture(model, (33, 20))
    assert layers[0].shape == (33, 20, 4)
    axes = figure_module.Figure().add_subplot(111)
    draw_architecture(axes, layers)
    assert 'image\n4 channels' in [item.get_text() for item in axes.texts]


@pytest.mark.parametrize('size', [(0, 32), (32,), (32, 32.5)])
def test_size_that_is_none_is_refused(tiny_encoder, size):
    message = r'image_size is .*; it has to be \(height, width\), each a whole number of at least 1'
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=NUM_CLASSES) as model, pytest.raises(ValueError, match=message):
        read_architecture(model, size)


ENCODER_CAPTIONS = [
    'image',
    'conv1_1–1_2',
    'pool1',
    'conv2_1–2_2',
    'pool2',
    'conv3_1–3_3',
    'pool3',
    'conv4_1–4_3',
    'pool4',
    'conv5_1–5_3',
    'pool5',
    'fc6',
    'fc7',
]


@pytest.mark.parametrize(
    'variant, decoder_captions, num_sums',
    [
        (
            '8s',
            ['score_fc7', 'upsample_fc7', 'score_pool4', 'upsample_pool4', 'score_pool3', 'upsample_8x', 'logits'],
            2,
        ),
        ('16s', ['score_fc7', 'upsample_fc7', 'score_pool4', 'upsample_16x', 'logits'], 1),
        ('32s', ['score_fc7', 'upsample_32x', 'logits'], 0),
    ],
)
def test_drawing_shows_every_layer_and_every_stride(architectures, variant, decoder_captions, num_sums):
    figure_module = pytest.importorskip('matplotlib.figure')
    axes = figure_module.Figure().add_subplot(111)
    draw_architecture(axes, list(architectures[variant].values()))
    texts = [item.get_text() for item in axes.texts]
    assert set(ENCODER_CAPTIONS + decoder_captions) <= {text.split('\n')[0] for text in texts}
    assert 'image\nRGB' in texts
    assert texts.count('+') == num_sums
    for stride in {layer.total_stride for layer in architectures[variant].values()}:
        assert 'stride {}\n{} × {}'.format(stride, rounded_up(70, stride), rounded_up(100, stride)) in texts
