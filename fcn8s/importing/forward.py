"""FCN-8s, 16s and 32s in NumPy, with both ways of aligning maps: what an imported network has to compute.

Nothing here is shared with the graph: convolutions are sums of matrix products over the positions of the kernel, and
transposed convolutions add the kernel at every position (Shelhamer, Long, Darrell, TPAMI 2017, section 4).
"""

from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.vgg16.proof import convolve, pad, pool, prepare
from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.source import Preprocessing

# For the Caffe nets: by how much conv1_1 pads the image, and where maps are cropped.
PADDING = 100
SKIP_OFFSETS = {'score_pool4': 5, 'score_pool3': 9}
IMAGE_OFFSETS = {'8s': 31, '16s': 27, '32s': 19}
STRIDES = {'8s': 8, '16s': 16, '32s': 32}


class Weights(NamedTuple):
    """A network as arrays.

    encoder: layer -> (kernel [h, w, in, out], biases [out]). kernels: role -> [h, w, in, out] of a score layer,
    [h, w, out, in] of an upsampling. biases: role -> [C], where there are any.
    """

    encoder: Dict[str, Tuple[np.ndarray, np.ndarray]]
    kernels: Dict[str, np.ndarray]
    biases: Dict[str, np.ndarray]
    variant: str
    skip_scales: Tuple[float, float]
    alignment: str
    preprocessing: Preprocessing


def forward(image: np.ndarray, weights: Weights) -> np.ndarray:
    """Returns the logits, float64 [H, W, C], of an image [H, W, 3], RGB 0 to 255."""
    is_caffe = weights.alignment == 'caffe'
    features = prepare(image, weights.preprocessing)
    if is_caffe:
        features = pad(features, PADDING - 1)
    pools = {}
    for block, names in enumerate(layers.block_names(), 1):
        for name in names:
            features = np.maximum(convolve(features, weights.encoder[name], 1), 0)
        features = pools[block] = pool(features)
    features = np.maximum(convolve(features, weights.encoder['fc6'], 0 if is_caffe else 3), 0)
    features = np.maximum(convolve(features, weights.encoder['fc7'], 0), 0)
    scores = _score(features, weights, 'score_fc7')
    skips = ((4, 'score_pool4', 'upsample_fc7', 1), (3, 'score_pool3', 'upsample_pool4', 0))
    for block, role, upsampling, scale in skips[: {'8s': 2, '16s': 1, '32s': 0}[weights.variant]]:
        skip = _score(pools[block] * weights.skip_scales[scale], weights, role)
        size = None if is_caffe else skip.shape[:2]
        scores = _upsample(scores, weights, upsampling, 2, size)
        offset = SKIP_OFFSETS[role] if is_caffe else 0
        scores = scores + skip[offset : offset + scores.shape[0], offset : offset + scores.shape[1]]
    size = None if is_caffe else image.shape[:2]
    logits = _upsample(scores, weights, 'upsample_image', STRIDES[weights.variant], size)
    offset = IMAGE_OFFSETS[weights.variant] if is_caffe else 0
    return logits[offset : offset + image.shape[0], offset : offset + image.shape[1]]


def _score(features: np.ndarray, weights: Weights, role: str) -> np.ndarray:
    kernel = weights.kernels[role]
    return features @ np.asarray(kernel[0, 0], np.float64) + weights.biases.get(role, np.zeros(kernel.shape[-1]))


def _upsample(
    scores: np.ndarray, weights: Weights, role: str, stride: int, size: Optional[Tuple[int, int]]
) -> np.ndarray:
    """size: of the result with SAME padding, which is the middle part; None for the whole result, as in Caffe."""
    kernel = np.asarray(weights.kernels[role], np.float64)
    height, width = scores.shape[:2]
    total = np.zeros((stride * (height + 1), stride * (width + 1), kernel.shape[2]))
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            rows = slice(row, row + stride * height, stride)
            columns = slice(column, column + stride * width, stride)
            total[rows, columns] += scores @ kernel[row, column].T
    if size is not None:
        top, left = (
            max(0, ((length - 1) * stride + kernel.shape[0] - whole)) // 2
            for length, whole in zip((height, width), size)
        )
        total = total[top : top + size[0], left : left + size[1]]
    return total + weights.biases.get(role, np.zeros(kernel.shape[2]))
