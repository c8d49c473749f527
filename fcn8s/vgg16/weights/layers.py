"""The layers of VGG-16 (Simonyan, Zisserman, ICLR 2015, table 1, column D): names, kernel shapes and widths."""

import re
from typing import Dict, NamedTuple, Optional, Tuple

from helpers.flags import is_whole

# Output channels of each convolution, block by block; a 2x2 max pooling follows each block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
DENSE_WIDTH = 4096
NUM_IMAGENET_CLASSES = 1000
# Height and width of pool5 for the 224x224 images of ImageNet training, and so of the kernel that fc6 becomes.
FC6_SIZE = 7

# What may follow the convolutions of the head: layer normalisation (Ba, Kiros, Hinton, 2016) over the channels of each
# position. It has no state and no separate training mode, and sees nothing beyond its position, so tiles do not change
# its result.
HEAD_NORMS = ('layer',)
# Prevents a division by 0 where all channels are equal.
NORM_EPSILON = 1e-5


class Head(NamedTuple):
    """fc6 and fc7 as convolutions: fc6 has `size` x `size` kernels, both have `width` filters.

    dilation: of fc6, in positions of pool5, which are 32 pixels apart. norm: one of `HEAD_NORMS`, which follows the
    convolutions and their biases, or None.
    """

    size: int = FC6_SIZE
    width: int = DENSE_WIDTH
    dilation: int = 1
    norm: Optional[str] = None

    def __str__(self) -> str:
        return '{0}x{0}x{1}'.format(self.size, self.width)


VGG16_HEAD = Head()


def block_names() -> Tuple[Tuple[str, ...], ...]:
    """Returns the convolutions block by block: `(('conv1_1', 'conv1_2'), ('conv2_1', ...), ...)`."""
    return tuple(
        tuple('conv{}_{}'.format(block, index) for index in range(1, len(widths) + 1))
        for block, widths in enumerate(BLOCKS, start=1)
    )


CONVOLUTIONS = tuple(name for names in block_names() for name in names)
ENCODER_DENSE = ('fc6', 'fc7')
ALL = CONVOLUTIONS + ENCODER_DENSE + ('fc8',)
WIDEST_DIVISOR = BLOCKS[0][0]


def check_width_divisor(width_divisor: int) -> None:
    """Raises ValueError unless every width of VGG-16 is a multiple of width_divisor."""
    if not is_whole(width_divisor) or width_divisor < 1 or WIDEST_DIVISOR % width_divisor:
        raise ValueError(
            'width_divisor is {!r}; it divides the widths of VGG-16 (64 to 4096 channels) and is 1, 2, 4, '
            '8, 16, 32 or 64. 1 is VGG-16 itself.'.format(width_divisor)
        )


def refined_head(head: Head, dilation: int = 1, norm: Optional[str] = None) -> Head:
    """Returns the head with a dilation and a normalisation. Raises ValueError for one that does not exist."""
    widest = (FC6_SIZE - 1) // (head.size - 1) if head.size > 1 else 1
    if not is_whole(dilation) or not 1 <= dilation <= widest:
        raise ValueError(
            'head_dilation is {!r}; for {} it has to be from 1 to {}: fc6 then spans {} positions of pool5 at most, as '
            'that of VGG-16 does and as tiles count on. 3x3 takes the widest range.'.format(
                dilation, head, widest, FC6_SIZE
            )
        )
    if norm is not None and norm not in HEAD_NORMS:
        raise ValueError(
            'head_norm is {!r}; choose {}, or leave it out.'.format(norm, ' or '.join(map(repr, HEAD_NORMS)))
        )
    return head._replace(dilation=int(dilation), norm=norm)


def parse_head(text: str, width_divisor: int = 1) -> Head:
    """Returns the head that a text such as '3x3x1024' describes; raises ValueError where there is no such head."""
    check_width_divisor(width_divisor)
    match = re.fullmatch('([1357])x\\1x([1-9][0-9]{0,3})', text, re.ASCII)
    head = Head(int(match.group(1)), int(match.group(2))) if match else None
    if head is None or head.width > DENSE_WIDTH or head.width % width_divisor:
        raise ValueError(
            'head is {!r}; it has to be KxKxC: K of 1, 3, 5 or 7 for the kernels of fc6, and C, the filters of fc6 and '
            'fc7, from 1 to {}{}. VGG-16 itself has {}; 3x3x1024 is the usual lighter one.'.format(
                text,
                DENSE_WIDTH,
                '' if width_divisor == 1 else ', a multiple of the width divisor {}'.format(width_divisor),
                VGG16_HEAD,
            )
        )
    return head


def convolution_shapes(width_divisor: int = 1) -> Dict[str, Tuple[int, int, int, int]]:
    """Returns the kernel shape `(height, width, in, out)` of each convolution, in the order of the network."""
    shapes = {}
    channels = 3
    widths = [width // width_divisor for block in BLOCKS for width in block]
    for name, width in zip(CONVOLUTIONS, widths):
        shapes[name] = (3, 3, channels, width)
        channels = width
    return shapes


def kernel_shapes(width_divisor: int = 1, head: Head = VGG16_HEAD) -> Dict[str, Tuple[int, int, int, int]]:
    """Returns the kernel shape `(height, width, in, out)` of each layer of the encoder, fc6 and fc7 as convolutions."""
    shapes = convolution_shapes(width_divisor)
    dense_width = head.width // width_divisor
    shapes['fc6'] = (head.size, head.size, BLOCKS[-1][-1] // width_divisor, dense_width)
    shapes['fc7'] = (1, 1, dense_width, dense_width)
    return shapes


def dense_shapes(width_divisor: int = 1, head: Head = VGG16_HEAD) -> Dict[str, Tuple[int, int]]:
    """Returns the weight shape `(inputs, outputs)` of each dense layer; fc8 has the outputs of ImageNet."""
    width = head.width // width_divisor
    inputs = head.size * head.size * BLOCKS[-1][-1] // width_divisor
    return {'fc6': (inputs, width), 'fc7': (width, width), 'fc8': (width, NUM_IMAGENET_CLASSES)}


def kernel_variable(layer: str) -> str:
    """Returns the name of a layer's kernel in published encoders: `conv1_1/filter`, but `fc6/weights`."""
    return layer + ('/weights' if layer in ENCODER_DENSE else '/filter')
