"""What a prediction and a training step cost: multiply-adds and bytes, op by op, and the time they take at given rates.

Counted from the shapes of the layers, for a network of VGG-16's architecture. A convolution with K x K kernels, C_in
and C_out channels and an output of H x W takes H W K^2 C_in C_out multiply-adds per image, including those with the
zeros around the image. For a transposed convolution, H x W is the size of its input. The backward pass takes as many
for the gradient of the kernel, and as many for that of the input, which conv1_1 does not need. Bytes count every
operand and result of an op once, with bias and ReLU inside the convolution: the traffic if nothing stays in a cache
between ops.

The time at given rates is the roofline of Williams, Waterman and Patterson, "Roofline: an insightful visual performance
model for multicore architectures", Communications of the ACM 2009: each op takes the longer of the times for its
arithmetic and for its bytes, and the ops follow one another.
"""

import math
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from fcn8s.planning.memory import FLOAT_BYTES, Layer, PlanRequest, check_request, decoder_layers, encoder_layers
from fcn8s.planning.workers import duration, epoch_steps
from fcn8s.vgg16.weights import layers
from helpers.counted import counted

HALF_BYTES = 2
# float32 values that an update reads and writes for each weight. Adam reads the gradient, the weight and two moments,
# and writes the last three; momentum reads the gradient, the weight and the velocity, and writes the last two.
UPDATE_VALUES = {'adam': 7, 'sgd': 5}
# The same for an exponential moving average: it reads the weight and the average, and writes the average.
AVERAGE_VALUES = 3


class OpCost(NamedTuple):
    """name: the layer, and what is computed for it. multiply_adds, bytes_moved: for a whole batch."""

    name: str
    multiply_adds: float
    bytes_moved: float


class Work(NamedTuple):
    """The ops of a prediction or of a step."""

    ops: Sequence[OpCost]

    @property
    def multiply_adds(self) -> float:
        """The multiply-adds of all ops."""
        return sum(op.multiply_adds for op in self.ops)

    @property
    def bytes_moved(self) -> float:
        """The bytes that all ops move."""
        return sum(op.bytes_moved for op in self.ops)

    def seconds(self, multiply_adds_per_s: float, bytes_per_s: float) -> float:
        """Returns the least time at these rates: the roofline of each op, summed."""
        return sum(max(op.multiply_adds / multiply_adds_per_s, op.bytes_moved / bytes_per_s) for op in self.ops)


class Cost(NamedTuple):
    """predict: of a batch. train: of an optimiser step, all accumulated batches."""

    predict: Work
    train: Work


def cost_of(request: PlanRequest) -> Cost:
    """Counts what a network costs; raises ValueError as `check_request` does."""
    request = check_request(request)
    sized = [_SizedLayer(layer, request) for layer in encoder_layers(request.width_divisor, request.head)]
    sized += [_SizedLayer(layer, request) for layer in decoder_layers(request)]
    forward = [layer.forward() for layer in sized] + _poolings(request)
    backward = [op for layer in sized for op in layer.backward()]
    batches = request.optimizer.accumulate_batches
    steps = (forward + backward + [_loss(request)] + _pooling_gradients(request)) * batches
    return Cost(Work(forward), Work(steps + [_update(request, sized)]))


class _SizedLayer:
    """A layer with the sizes of its tensors: the number of values for a batch."""

    def __init__(self, layer: Layer, request: PlanRequest) -> None:
        self.name = layer.name
        self.is_upsampling = layer.name.startswith('upsample')
        height, width, channels_in, channels_out = layer.kernel
        stride_in = layer.stride * (height // 2 if self.is_upsampling else 1)
        self.is_trained = not self.is_upsampling or request.upsampling == 'learned'
        self.kernel = float(np.prod(layer.kernel))
        self.input = positions(request, stride_in) * channels_in
        self.output = positions(request, layer.stride) * channels_out
        applied_at = positions(request, stride_in if self.is_upsampling else layer.stride)
        self.multiply_adds = applied_at * height * width * channels_in * channels_out
        self.item = _item_bytes(request, self.is_upsampling)

    def forward(self) -> OpCost:
        moved = self.item * (self.input + self.output) + FLOAT_BYTES * self.kernel
        return OpCost(self.name, self.multiply_adds, moved)

    def backward(self) -> List[OpCost]:
        moved = self.item * (self.input + self.output) + FLOAT_BYTES * self.kernel
        ops = []
        if self.is_trained:
            ops.append(OpCost(self.name + ', gradient of the kernel', self.multiply_adds, moved))
        if self.name != layers.CONVOLUTIONS[0]:
            ops.append(OpCost(self.name + ', gradient of the input', self.multiply_adds, moved))
        return ops


def positions(request: PlanRequest, stride: int) -> float:
    """Returns the pixels of a batch at a stride, rounded up as SAME padding does."""
    height, width = (math.ceil(side / stride) for side in request.size)
    return float(request.batch * height * width)


def _item_bytes(request: PlanRequest, is_upsampling: bool) -> int:
    """The bytes of one value of the activations; transposed convolutions stay in float32."""
    return FLOAT_BYTES if request.precision == 'float32' or is_upsampling else HALF_BYTES


def _poolings(request: PlanRequest) -> List[OpCost]:
    """Poolings read their input and write their output, without multiplications."""
    ops = []
    for block, widths in enumerate(layers.BLOCKS):
        channels = widths[-1] // request.width_divisor
        values = channels * (positions(request, 2**block) + positions(request, 2 ** (block + 1)))
        ops.append(OpCost('pool{}'.format(block + 1), 0.0, _item_bytes(request, False) * values))
    return ops


def _pooling_gradients(request: PlanRequest) -> List[OpCost]:
    """Poolings read input, output and the gradient of the output again, and write the gradient of the input."""
    return [OpCost(op.name + ', gradient', 0.0, 2 * op.bytes_moved) for op in _poolings(request)]


def _loss(request: PlanRequest) -> OpCost:
    """Reads the logits and writes their gradient."""
    return OpCost('loss', 0.0, 2 * FLOAT_BYTES * positions(request, 1) * request.num_classes)


def _update(request: PlanRequest, sized: Sequence[_SizedLayer]) -> OpCost:
    weights = sum(layer.kernel for layer in sized if layer.is_trained)
    values = UPDATE_VALUES[request.optimizer.name] + (0 if request.optimizer.ema is None else AVERAGE_VALUES)
    return OpCost('update', 0.0, FLOAT_BYTES * values * weights)


def format_cost(cost: Cost) -> str:
    """Formats the cost of a step as a line for a person."""
    return 'cost           {:.4g} G multiply-adds a step, which moves {:.3g} GB or more'.format(
        cost.train.multiply_adds / 1e9, cost.train.bytes_moved / 1e9
    )


def format_gpu(cost: Cost, request: PlanRequest, tflops: float, gbs: float, images_per_epoch: Optional[int]) -> str:
    """Formats the least time that a device with these rates takes, as lines for a person.

    tflops: 10^12 floating point operations per second in the precision of the request; a multiply-add is two. gbs: 10^9
    bytes per second of its memory.
    """
    batches = request.optimizer.accumulate_batches
    seconds = cost.train.seconds(tflops * 1e12 / 2, gbs * 1e9)
    lines = [
        'GPU            {:.3g} s a step or more ({:.3g} images/s at most) at {:g} TFLOPS and {:g} GB/s; computed, not '
        'measured'.format(seconds, request.batch * batches / seconds, tflops, gbs)
    ]
    if images_per_epoch is not None:
        steps = epoch_steps(images_per_epoch, request.batch, batches)
        lines.append(
            'epoch on it    {} or more for {}; computed'.format(
                duration(steps * seconds), counted(images_per_epoch, 'image')
            )
        )
    return '\n'.join(lines)
