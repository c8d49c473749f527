"""How much memory a training takes: computed from the shapes of the layers, with factors that were fitted to the peak
resident memory of real training processes on CPUs (docs/plan.md has the runs). They were not fitted to the memory of
GPUs.
"""

import math
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import TF_VERSION
from fcn8s.graph.products import MAX_CONVOLUTION_BYTES
from fcn8s.optimizers import OptimizerSettings
from fcn8s.settings import UPSAMPLINGS, VARIANTS, check_num_classes
from fcn8s.vgg16.weights import layers
from helpers.flags import check_choice, checked_pair, checked_whole

GB = 1e9
FLOAT_BYTES = 4
# Crops are offered in multiples of the network's coarsest stride.
CROP_MULTIPLE = 32


class MemoryFactors(NamedTuple):
    """Fitted to the peak resident memory of training processes (docs/plan.md); sizes are of float32.

    weights: in units of all weights: gradients, reordered and converted kernels and the temporaries of the update, at
        the moment when most of them exist. products: the same for the largest filters, with convolutions computed as
        products (`fcn8s.graph.products`). accumulation: what accumulating gradients adds to that.
    activations: in units of the encoder's activations, by precision.
    logits: in units of the logits of the batch.
    columns: in units of the logits of one image: the unrolled patches of the last transposed convolution.
    initial_kernels: in units of the transposed convolutions' kernels: their bilinear values, computed in the graph.
    pixel_bytes: the image as fed and prepared, its labels, the loss of each pixel.
    """

    weights: float
    products: float
    accumulation: float
    activations: Dict[str, float]
    logits: float
    columns: float
    initial_kernels: float
    pixel_bytes: float


_TENSORFLOW_1 = MemoryFactors(
    1.7,
    1.7,
    1.3,
    {'float32': 1.5, 'mixed_float16': 1.0},
    logits=1.9,
    columns=4.0,
    initial_kernels=2.0,
    pixel_bytes=120.0,
)
_TENSORFLOW_2 = MemoryFactors(
    2.9,
    1.2,
    1.3,
    {'float32': 1.6, 'bfloat16': 1.2, 'mixed_float16': 1.2},
    logits=1.0,
    columns=8.0,
    initial_kernels=2.5,
    pixel_bytes=16.0,
)
FACTORS = _TENSORFLOW_1 if TF_VERSION < (2, 0) else _TENSORFLOW_2

SLOT_COPIES = {'adam': 2.0, 'sgd': 1.0}
GRAPH_BYTES = 0.097 * GB


class PlanRequest(NamedTuple):
    """A training to plan.

    num_classes: C. size: (height, width) of what the network sees: images after resizing and cropping.
    batch: images. width_divisor, head: of the encoder, see `fcn8s.vgg16.write`. head_warmup: whether the head first
        trains alone; the memory of that counts, and seconds are those of the later steps. The rest as in `FCN8s`;
        nothing else is frozen.
    """

    num_classes: int
    size: Tuple[int, int]
    batch: int = 1
    width_divisor: int = 1
    variant: str = '8s'
    upsampling: str = 'learned'
    precision: str = 'float32'
    optimizer: OptimizerSettings = OptimizerSettings()
    head: layers.Head = layers.VGG16_HEAD
    head_warmup: bool = False


class Layer(NamedTuple):
    """A convolution or transposed convolution. stride: of its output, relative to the image."""

    name: str
    kernel: Tuple[int, int, int, int]
    stride: int


def check_request(request: PlanRequest) -> PlanRequest:
    """Checks the request and returns it; raises ValueError naming what is out of range."""
    check_num_classes(request.num_classes)
    layers.check_width_divisor(request.width_divisor)
    check_choice('variant', request.variant, VARIANTS)
    check_choice('upsampling', request.upsampling, UPSAMPLINGS)
    return request._replace(size=checked_pair('size', request.size), batch=checked_whole('batch', request.batch, 1))


def encoder_layers(width_divisor: int, head: layers.Head = layers.VGG16_HEAD) -> List[Layer]:
    """Returns the 15 convolutions of the encoder."""
    shapes = layers.kernel_shapes(width_divisor, head)
    found = []
    for block, names in enumerate(layers.block_names()):
        found += [Layer(name, shapes[name], 2**block) for name in names]
    return found + [Layer(name, shapes[name], 32) for name in layers.ENCODER_DENSE]


def decoder_layers(request: PlanRequest) -> List[Layer]:
    """Returns score layers and transposed convolutions, with the strides of their outputs."""
    shapes, classes = layers.kernel_shapes(request.width_divisor, request.head), request.num_classes
    channels = {32: shapes['fc7'][3], 16: shapes['conv4_3'][3], 8: shapes['conv3_3'][3]}
    last = VARIANTS[request.variant].final_stride
    scored = [stride for stride in (32, 16, 8) if stride >= last]
    found = [Layer('score_{}'.format(stride), (1, 1, channels[stride], classes), stride) for stride in scored]
    found += [Layer('upsample_{}'.format(stride), (4, 4, classes, classes), stride) for stride in scored[1:]]
    return found + [Layer('upsample_1', (2 * last, 2 * last, classes, classes), 1)]


def parameter_bytes(request: PlanRequest) -> float:
    """Counts the bytes of all trained weights, as float32."""
    return _weight_bytes(encoder_layers(request.width_divisor, request.head) + _trained_decoder_layers(request))


def product_bytes(request: PlanRequest) -> float:
    """Counts the bytes of the filters whose convolutions are computed as products, as float32."""
    kernels = [FLOAT_BYTES * np.prod(layer.kernel) for layer in encoder_layers(request.width_divisor, request.head)]
    return float(sum(kernel for kernel in kernels if kernel > MAX_CONVOLUTION_BYTES))


def warmup_state_bytes(request: PlanRequest) -> float:
    """Counts the bytes of state for the steps that train only the head, held beside the other state; 0 without warm-up.

    This state is the slots of fc6, fc7 and the decoder, and their sums of gradients if batches accumulate.
    """
    if not request.head_warmup:
        return 0.0
    head = [layer for layer in encoder_layers(request.width_divisor, request.head) if layer.stride == 32]
    copies = SLOT_COPIES[request.optimizer.name] + (request.optimizer.accumulate_batches > 1)
    return copies * _weight_bytes(head + _trained_decoder_layers(request))


def _trained_decoder_layers(request: PlanRequest) -> List[Layer]:
    is_learned = request.upsampling == 'learned'
    return [layer for layer in decoder_layers(request) if is_learned or layer.name.startswith('score')]


def _weight_bytes(trained: Sequence[Layer]) -> float:
    return float(sum(FLOAT_BYTES * (np.prod(layer.kernel) + layer.kernel[3]) for layer in trained))


def encoder_activation_bytes(request: PlanRequest) -> float:
    """Counts the bytes of the encoder's outputs that one image leaves for the backward pass, as float32.

    Each convolution leaves its rectified output, each block its pooled output; fc6 and fc7 also the output of dropout.
    """
    height, width = request.size
    total = 0.0
    for layer in encoder_layers(request.width_divisor, request.head):
        total += math.ceil(height / layer.stride) * math.ceil(width / layer.stride) * layer.kernel[3]
        if layer.stride == 32:
            total += math.ceil(height / 32) * math.ceil(width / 32) * layer.kernel[3]
    for block, widths in enumerate(layers.BLOCKS, start=1):
        stride = 2**block
        total += math.ceil(height / stride) * math.ceil(width / stride) * widths[-1] // request.width_divisor
    return FLOAT_BYTES * total


def logit_bytes(request: PlanRequest) -> float:
    """Counts the bytes of one image's logits, float32 [H, W, C]."""
    return float(FLOAT_BYTES * request.size[0] * request.size[1] * request.num_classes)


def fixed_memory(request: PlanRequest, base_memory: float) -> float:
    """Estimates the bytes of a training process that do not depend on its images: TensorFlow, the graph, weights,
    slots, gradients.
    """
    copies = 1.0 + SLOT_COPIES[request.optimizer.name]
    if request.optimizer.accumulate_batches > 1:
        copies += FACTORS.accumulation
    if request.optimizer.averages_weights:
        copies += 1.0
    upsampling = sum(
        FLOAT_BYTES * np.prod(layer.kernel) for layer in decoder_layers(request) if layer.name.startswith('upsample')
    )
    weights, large = parameter_bytes(request), product_bytes(request)
    working = FACTORS.weights * (weights - large) + FACTORS.products * large
    weights = copies * weights + working + warmup_state_bytes(request)
    return base_memory + GRAPH_BYTES + weights + FACTORS.initial_kernels * upsampling


def memory_of_images(request: PlanRequest) -> float:
    """Estimates the bytes that the images of a batch add."""
    per_image = (
        FACTORS.activations[request.precision] * encoder_activation_bytes(request)
        + FACTORS.logits * logit_bytes(request)
        + FACTORS.pixel_bytes * request.size[0] * request.size[1]
    )
    return request.batch * per_image + FACTORS.columns * logit_bytes(request)


def estimate_memory(request: PlanRequest, base_memory: float) -> float:
    """Estimates the peak resident bytes of a process that trains as requested; `base_memory` from `process_memory`."""
    return fixed_memory(request, base_memory) + memory_of_images(request)


def largest_batch(request: PlanRequest, memory_limit: float, base_memory: float) -> int:
    """Says how many images of the requested size fit a batch; 0 where not even one does."""
    one, two = (estimate_memory(request._replace(batch=batch), base_memory) for batch in (1, 2))
    return 1 + int((memory_limit - one) // (two - one)) if one <= memory_limit else 0


def largest_crop(request: PlanRequest, memory_limit: float, base_memory: float) -> Optional[Tuple[int, int]]:
    """Finds the largest (height, width) in multiples of 32, of about the requested shape, that fits at this batch.

    None where not even 32 x 32 fits.
    """
    room = memory_limit - fixed_memory(request, base_memory)
    scale = math.sqrt(max(0.0, room) / memory_of_images(request))
    height, width = (int(side * scale) // CROP_MULTIPLE * CROP_MULTIPLE for side in request.size)
    return (height, width) if min(height, width) > 0 else None


def process_memory() -> float:
    """Returns the resident bytes of this process: with TensorFlow loaded and no network, the base of a training."""
    try:
        with open('/proc/self/statm', encoding='ascii') as statm:
            return float(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except OSError:
        import resource  # without /proc this is macOS, where the peak is in bytes

        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
