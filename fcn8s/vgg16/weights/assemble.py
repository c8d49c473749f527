"""From named tensors of a file to a `Source`: count, names and shapes are checked before one value is copied."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.source import Preprocessing, Source, Weights
from helpers.counted import join_and_count
from helpers.process.memory import shortage

Shape = Tuple[int, ...]
# What is done with a file's tensors: called with its path, name -> shape, and a function name -> array.
Use = Callable[[str, Mapping[str, Shape], Callable[[str], np.ndarray]], Any]
# A message names at most this many tensors of a file.
_MOST_NAMES = 6
_OF_OTHERS = ', which VGG-16 does not have (VGG-19 and batch-normalised networks do)'
_REMEDY = ' Pass the weights of a VGG-16 (configuration D, without batch normalisation).'


class Layout(NamedTuple):
    """How a kind of file lays out a VGG-16.

    names: layer -> (name of its kernel, name of its biases) in the file, for conv1_1 to conv5_3, fc6, fc7 and fc8.
    channels_first: kernels are [out, in, height, width] and dense weights [outputs, inputs] on channel, height, width
        (PyTorch); otherwise [height, width, in, out] and [inputs, outputs] on height, width, channel.
    convolutional: those of fc6, fc7 and fc8 that are already stored as 7x7 and 1x1 kernels.
    """

    names: Mapping[str, Tuple[str, str]]
    preprocessing: Preprocessing
    channels_first: bool = False
    convolutional: Tuple[str, ...] = ()


def assemble(
    kind: str, path: str, layout: Layout, shapes: Mapping[str, Shape], read: Callable[[str], np.ndarray]
) -> Source:
    """Checks the tensors of a file against VGG-16 and reads them.

    shapes: name -> shape of every tensor of the file that could belong to the network.
    read: name -> array; called only after everything is checked.

    Raises ValueError naming the layer that is missing, unexpected, of a wrong shape, or not finite.
    """
    present, divisor = check_layers(path, layout, shapes)
    _check_memory(path, sum(num_values(shapes[name]) for layer in present for name in layout.names[layer]))
    values = {layer: _read_layer(path, layer, layout.names[layer], read) for layer in present}
    convolutions = {layer: _to_hwio(values[layer], layout) for layer in layers.CONVOLUTIONS}
    dense = {layer: _to_matrix(values[layer], layout) for layer in present if layer.startswith('fc')}
    dense_layout = 'CHW' if layout.channels_first else 'HWC'
    return Source(kind, path, divisor, layout.preprocessing, convolutions, dense, dense_layout)


def check_layers(path: str, layout: Layout, shapes: Mapping[str, Shape]) -> Tuple[List[str], int]:
    """Returns the layers that a file has, and its width divisor.

    Raises ValueError naming the layer that is missing, unexpected, or of a wrong shape.
    """
    present = [layer for layer in layout.names if _is_needed(layer, layout, shapes)]
    _check_missing(path, present, layout, shapes)
    _check_unexpected(path, layout, shapes)
    divisor = _width_divisor(layout, shapes)
    for layer in present:
        _check_shape(path, layer, layout, shapes, divisor)
    return present, divisor


def num_values(shape: Shape) -> int:
    """Returns the product of the lengths as a Python integer, which cannot overflow."""
    count = 1
    for length in shape:
        count *= int(length)
    return count


def _check_memory(path: str, count: int) -> None:
    """Raises ValueError where the weights in float32 do not fit into the memory that is free."""
    lacking = shortage(4 * count)
    if lacking is not None:
        raise ValueError(
            '{} holds {} of weights, and {} of memory are free. Close other programs, or take a machine '
            'with more memory.'.format(path, *lacking)
        )


def _is_needed(layer: str, layout: Layout, shapes: Mapping[str, Shape]) -> bool:
    """Convolutions always; fc6 and fc7 when the file has any dense layer; fc8 when the file has it."""
    if layer in layers.CONVOLUTIONS:
        return True
    wanted = ('fc8',) if layer == 'fc8' else ('fc6', 'fc7', 'fc8')
    return any(name in shapes for other in wanted for name in layout.names.get(other, ()))


def _check_missing(path: str, present: Sequence[str], layout: Layout, shapes: Mapping[str, Shape]) -> None:
    missing = [(layer, name) for layer in present for name in layout.names[layer] if name not in shapes]
    unexpected = _unexpected(layout, shapes)
    if missing:
        raise ValueError(
            '{} is no complete VGG-16: {} ({!r}) is missing{}. The file has {}{}.{}'.format(
                path,
                missing[0][0],
                missing[0][1],
                ', and {} more'.format(len(missing) - 1) if len(missing) > 1 else '',
                _abridged(unexpected or sorted(shapes)),
                _OF_OTHERS if unexpected else '',
                _REMEDY if unexpected else '',
            )
        )


def _unexpected(layout: Layout, shapes: Mapping[str, Shape]) -> List[str]:
    return sorted(set(shapes) - {name for names in layout.names.values() for name in names})


def _check_unexpected(path: str, layout: Layout, shapes: Mapping[str, Shape]) -> None:
    unexpected = _unexpected(layout, shapes)
    if unexpected:
        raise ValueError('{} is no VGG-16: it has {}{}.{}'.format(path, _abridged(unexpected), _OF_OTHERS, _REMEDY))


def _abridged(names: List[str]) -> str:
    return join_and_count([repr(name) for name in names], _MOST_NAMES) or 'nothing'


def _width_divisor(layout: Layout, shapes: Mapping[str, Shape]) -> int:
    """64 / the width of conv1_1; 1 where that gives no divisor, so that shapes are checked against VGG-16 itself."""
    biases = shapes[layout.names['conv1_1'][1]]
    width = biases[0] if len(biases) == 1 else 0
    return layers.WIDEST_DIVISOR // width if width and layers.WIDEST_DIVISOR % width == 0 else 1


def _stored_shape(layer: str, layout: Layout, divisor: int, outputs: int) -> Shape:
    """The shape that a layer's kernel has in the file; `outputs` stands in for the width of fc8."""
    if layer in layers.CONVOLUTIONS:
        height, width, inputs, outputs = layers.convolution_shapes(divisor)[layer]
    else:
        inputs, dense_outputs = layers.dense_shapes(divisor)[layer]
        outputs = outputs if layer == 'fc8' else dense_outputs
        if layer not in layout.convolutional:
            return (outputs, inputs) if layout.channels_first else (inputs, outputs)
        height = width = layers.FC6_SIZE if layer == 'fc6' else 1
        inputs //= height * width
    return (outputs, inputs, height, width) if layout.channels_first else (height, width, inputs, outputs)


def _check_shape(path: str, layer: str, layout: Layout, shapes: Mapping[str, Shape], divisor: int) -> None:
    kernel, biases = layout.names[layer]
    outputs = shapes[biases][0] if len(shapes[biases]) == 1 else 0
    expected = _stored_shape(layer, layout, divisor, outputs)
    output_axis = 0 if layout.channels_first else -1
    for name, shape in ((kernel, expected), (biases, (expected[output_axis],))):
        if tuple(shapes[name]) != shape or 0 in shape:
            raise ValueError(
                '{} is no VGG-16: {} ({!r}) has the shape {}, but VGG-16{} has {} there.'.format(
                    path, layer, name, tuple(shapes[name]), _width_note(divisor), shape
                )
            )


def _width_note(divisor: int) -> str:
    return '' if divisor == 1 else ' with 1/{} of the channels, as conv1_1 has,'.format(divisor)


def _read_layer(path: str, layer: str, names: Tuple[str, str], read: Callable[[str], np.ndarray]) -> Weights:
    kernel, biases = (_as_float32(path, layer, name, read(name)) for name in names)
    return kernel, biases


def _as_float32(path: str, layer: str, name: str, array: np.ndarray) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError('{}: {!r} holds {}; weights are floating-point numbers.'.format(path, name, array.dtype))
    array = np.asarray(array, np.float32)
    # Chunk by chunk: fc6 has 103 million weights.
    if not all(np.isfinite(chunk).all() for chunk in np.array_split(array.reshape(-1), max(1, array.size >> 20))):
        remedy = ' Where only the convolutions were trained (a "features" file), remove the dense layers from it.'
        raise ValueError(
            '{}: {!r} holds NaN or infinite weights.{}'.format(path, name, remedy if layer.startswith('fc') else '')
        )
    return array


def _to_hwio(weights: Weights, layout: Layout) -> Weights:
    kernel, biases = weights
    return (np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)) if layout.channels_first else kernel), biases


def _to_matrix(weights: Weights, layout: Layout) -> Weights:
    """Dense weights as a matrix: [outputs, inputs] where channels come first, [inputs, outputs] otherwise."""
    kernel, biases = weights
    shape = (kernel.shape[0], -1) if layout.channels_first else (-1, kernel.shape[-1])
    return kernel.reshape(shape), biases


def paired_names(
    kernel: str, biases: str, layer_names: Optional[Mapping[str, str]] = None
) -> Dict[str, Tuple[str, str]]:
    """Returns layer -> names in the file from two templates, such as `'{}_W'` and `'{}_b'`.

    layer_names: layer -> its name in the file; None where all names are the same.
    """
    called = layer_names or {layer: layer for layer in layers.ALL}
    return {layer: (kernel.format(called[layer]), biases.format(called[layer])) for layer in layers.ALL}
