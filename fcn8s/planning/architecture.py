"""The architecture of a network, read from its graph: which layers there are, their strides and shapes, and a drawing.

Nothing about FCN-8s is assumed here. The layers are those from which the logits are computed, so the drawing shows what
runs, for every variant and for encoders from elsewhere.
"""

import collections
import itertools
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import Operation, Tensor, tf
from fcn8s.graph.graph_defs import tensor_once
from fcn8s.graph.products import filter_of
from helpers.flags import checked_pair

IMAGE, CONVOLUTION, POOLING, UPSAMPLING, SUM = 'image', 'convolution', 'pooling', 'transposed convolution', 'sum'
_KIND_OF_OP = {'MaxPool': POOLING, 'Conv2DBackpropInput': UPSAMPLING}
_SUM_OPS = ('Add', 'AddV2')
# The input with the data, for ops that also take the shape of another layer: that is no path of the data.
_DATA_INPUT = {'Conv2DBackpropInput': 2}
_DECODER_SCOPE = 'decoder/'

_SCORING = 'convolution to class scores'
_COLORS = {IMAGE: '#f2f2f2', CONVOLUTION: '#c6dbef', POOLING: '#9ec9b4', _SCORING: '#fdd0a2', UPSAMPLING: '#fdae6b'}
_EDGE, _SKIP_EDGE, _FAINT = '#33414e', '#c8553d', '#dfe6ee'
# In units of one column and one row of the drawing.
_BOX_WIDTH, _BOX_HEIGHT = 0.88, 0.6


class Layer(NamedTuple):
    """One layer of a network.

    Attributes:
        name: Name of its scope in the graph, without 'decoder/'.
        kind: 'image', 'convolution', 'pooling', 'transposed convolution' or 'sum'.
        kernel: (height, width); (1, 1) for the image and sums.
        stride: Of this layer alone; a transposed convolution multiplies height and width by it.
        total_stride: Pixels of the image per entry of the output, in each direction.
        shape: (height, width, channels) of the output, for the requested image size.
        inputs: Names of the layers from which it is computed.
        is_decoder: Whether it belongs to the decoder.
    """

    name: str
    kind: str
    kernel: Tuple[int, int]
    stride: int
    total_stride: int
    shape: Tuple[int, int, int]
    inputs: Tuple[str, ...]
    is_decoder: bool


def read_architecture(model: Any, image_size: Tuple[int, int] = (256, 512)) -> List[Layer]:
    """Reads the layers from which the logits of a `fcn8s.FCN8s` are computed, each after its inputs.

    image_size: (height, width) of a blank image that is sent through the network to find the shapes.

    Raises ValueError where the size is not positive.
    """
    image_size = checked_pair('image_size', image_size)
    tracer = _Tracer(model.image_input)
    tracer.trace(model.fcn8s_output)
    with model.graph.as_default():
        fetches = {name: _shape_of(op.outputs[0]) for name, op in tracer.ops.items()}
    image = np.zeros([1, *image_size, int(model.images_uint8.shape[-1])], np.uint8)
    shapes = model.sess.run(fetches, {model.images_uint8: image})
    layers: Dict[str, Layer] = collections.OrderedDict()
    for name, op in tracer.ops.items():
        height, width, channels = (int(side) for side in shapes[name][1:])
        layers[name] = _layer(name, op, tracer.inputs[name], layers, (height, width, channels))
    return list(layers.values())


def _shape_of(output: Tensor) -> Tensor:
    return tensor_once('shape_of/' + output.op.name, lambda name: tf.shape(output, name=name))


class _Tracer:
    """Follows the data from a tensor back to the image. `ops` are the ops of the layers, by name and in order."""

    def __init__(self, image: Any) -> None:
        self.ops = collections.OrderedDict([(IMAGE, image.op)])
        self.inputs: Dict[str, Tuple[str, ...]] = {IMAGE: ()}
        self._sources: Dict[str, Tuple[str, ...]] = {image.op.name: (IMAGE,)}

    def trace(self, tensor: Tensor) -> Tuple[str, ...]:
        """The names of the layers from which the tensor comes directly, without other layers in between."""
        op = tensor.op
        if op.name not in self._sources:
            data = [op.inputs[_DATA_INPUT[op.type]]] if op.type in _DATA_INPUT else list(op.inputs)
            sources = tuple(collections.OrderedDict.fromkeys(itertools.chain.from_iterable(map(self.trace, data))))
            if _kind_of(op) is not None or op.type in _SUM_OPS and len(sources) > 1:
                name = _layer_name(op)
                self.ops[name], self.inputs[name] = op, sources
                sources = (name,)
            self._sources[op.name] = sources
        return self._sources[op.name]


def _kind_of(op: Operation) -> Optional[str]:
    """The kind of layer that an op alone shows; None for sums and for ops that are no layer."""
    return CONVOLUTION if filter_of(op) is not None else _KIND_OF_OP.get(op.type)


def _layer_name(op: Operation) -> str:
    """'conv1_1/Conv2D' and 'decoder/score_fc7/Conv2D' are named after their scope, 'pool1' after itself."""
    scope, _, last = op.name.rpartition('/')
    named_by_scope = scope and last.lower().startswith(('conv2d', 'maxpool'))
    name = scope if named_by_scope else op.name
    return name[len(_DECODER_SCOPE) :] if name.startswith(_DECODER_SCOPE) else name


def _layer(
    name: str, op: Operation, inputs: Tuple[str, ...], before: Dict[str, Layer], shape: Tuple[int, int, int]
) -> Layer:
    kind = _kind_of(op) or (SUM if inputs else IMAGE)
    kernel = (1, 1)
    weights = op.inputs[1] if kind == UPSAMPLING else filter_of(op)
    if weights is not None:
        kernel = tuple(weights.shape.as_list()[:2])
    elif kind == POOLING:
        kernel = tuple(op.get_attr('ksize')[1:3])
    # Sums, the image and products have no strides.
    stride = int(op.get_attr('strides')[1]) if 'strides' in op.node_def.attr else 1
    total = before[inputs[0]].total_stride if inputs else 1
    total = total // stride if kind == UPSAMPLING else total * stride
    return Layer(name, kind, kernel, stride, total, shape, inputs, op.name.startswith(_DECODER_SCOPE))


class _Box(NamedTuple):
    """Layers drawn as one box: a chain of similar convolutions, or a single layer."""

    layers: Tuple[Layer, ...]
    column: int
    row: int


def draw_architecture(axes: Any, layers: Sequence[Layer]) -> None:
    """Draws layers on Matplotlib axes: one row per stride, encoder downwards, decoder upwards, skips across.

    axes: `matplotlib.axes.Axes`, about 8.4x4.7 inches for its font of 7 points. layers: as in `read_architecture`.
    """
    boxes = _place(layers)
    place_of = {layer.name: box for box in boxes for layer in box.layers}
    strides = sorted({layer.total_stride for layer in layers})
    shape_of = {layer.total_stride: layer.shape for layer in layers}
    right = max(box.column for box in boxes) + 1.2
    for row, stride in enumerate(strides):
        axes.axhspan(-row - 0.47, -row + 0.47, color=_FAINT, alpha=0.35, linewidth=0)
        text = 'stride {}\n{} × {}'.format(stride, *shape_of[stride])
        axes.text(-0.65, -row, text, ha='right', va='center', fontsize=7.5)
    for box in boxes:
        for name in box.layers[0].inputs:
            _draw_arrow(axes, place_of[name], box)
        _draw_box(axes, box)
    _draw_legend(axes, (right - 0.6) / 2)
    axes.set_xlim(-1.6, right)
    axes.set_ylim(-len(strides) + 0.45, 0.55)
    axes.axis('off')


def _place(layers: Sequence[Layer]) -> List[_Box]:
    """Places a layer to the right of its inputs; where the stride changes, below or above them."""
    rows = {stride: row for row, stride in enumerate(sorted({layer.total_stride for layer in layers}))}
    boxes: List[_Box] = []
    column_of: Dict[str, int] = {}
    for chain in _chains(layers):
        first = chain[0]
        column = max([column_of[name] for name in first.inputs], default=-1)
        column += 0 if first.kind in (POOLING, UPSAMPLING, SUM) else 1
        column_of.update((layer.name, column) for layer in chain)
        boxes.append(_Box(tuple(chain), column, rows[first.total_stride]))
    last = max(column_of.values())
    # The scores of a skip stand beside their sum, at the end of a long arrow.
    return [box._replace(column=last - 1) if _is_skip_score(box, layers) else box for box in boxes]


def _chains(layers: Sequence[Layer]) -> List[List[Layer]]:
    """Convolutions that follow each other with the same kernel and shape, together; every other layer alone."""
    num_uses = collections.Counter(name for layer in layers for name in layer.inputs)
    chains: List[List[Layer]] = []
    for layer in layers:
        if chains and num_uses[chains[-1][-1].name] == 1 and _continues(chains[-1][-1], layer):
            chains[-1].append(layer)
        else:
            chains.append([layer])
    return chains


def _continues(previous: Layer, layer: Layer) -> bool:
    return (
        layer.inputs == (previous.name,)
        and layer.kind == previous.kind == CONVOLUTION
        and layer.kernel == previous.kernel
        and layer.shape == previous.shape
    )


def _is_skip_score(box: _Box, layers: Sequence[Layer]) -> bool:
    """Whether the box is a convolution of the decoder that goes straight into a sum."""
    name = box.layers[-1].name
    return box.layers[0].kind == CONVOLUTION and any(layer.kind == SUM and name in layer.inputs for layer in layers)


def _draw_box(axes: Any, box: _Box) -> None:
    x, y, first = box.column, -box.row, box.layers[0]
    if first.kind == SUM:
        circle = {'boxstyle': 'circle', 'facecolor': 'white', 'edgecolor': _EDGE}
        axes.text(x, y, '+', ha='center', va='center', fontsize=11, bbox=circle)
        return
    if first.kind == UPSAMPLING:
        axes.text(x + 0.08, y - 0.51, _caption(box), ha='left', va='center', fontsize=7, color=_EDGE)
        if first.total_stride > 1:
            return
    kind = _SCORING if first.is_decoder and first.kind == CONVOLUTION else first.kind
    _draw_rectangle(axes, (x, y), (_BOX_WIDTH, _BOX_HEIGHT), _COLORS[kind])
    caption = 'logits\n{} classes'.format(first.shape[2]) if first.kind == UPSAMPLING else _caption(box)
    axes.text(x, y, caption, ha='center', va='center', fontsize=7, zorder=3)


def _draw_rectangle(axes: Any, centre: Tuple[float, float], size: Tuple[float, float], color: str) -> None:
    (x, y), (width, height) = centre, size
    axes.fill(
        [x - width / 2, x + width / 2, x + width / 2, x - width / 2],
        [y - height / 2, y - height / 2, y + height / 2, y + height / 2],
        facecolor=color,
        edgecolor=_EDGE,
        linewidth=0.8,
        zorder=2,
    )


def _draw_legend(axes: Any, x: float) -> None:
    """What the colours stand for, in the corner that is always free: right of the encoder, above the skips."""
    entries = [(kind, _COLORS[kind]) for kind in (CONVOLUTION, POOLING, _SCORING, UPSAMPLING)]
    for number, (kind, color) in enumerate(entries):
        y = 0.15 - 0.3 * number
        _draw_rectangle(axes, (x, y), (0.3, 0.18), color)
        axes.text(x + 0.25, y, kind, ha='left', va='center', fontsize=7)


def _caption(box: _Box) -> str:
    first, last = box.layers[0], box.layers[-1]
    name = first.name if first is last else '{}–{}'.format(first.name, last.name.replace('conv', ''))
    kernel = '{}×{}'.format(*first.kernel)
    if first.kind == IMAGE:
        return 'image\n' + ('RGB' if first.shape[2] == 3 else '{} channels'.format(first.shape[2]))
    if first.kind == POOLING:
        return '{}\n{}\nstride {}'.format(name, kernel, first.stride)
    if first.kind == UPSAMPLING:
        return '{}\n{}, up ×{}'.format(name, kernel, first.stride)
    return '{}\n{}, {}'.format(name, kernel, first.shape[2])


def _draw_arrow(axes: Any, start: _Box, end: _Box) -> None:
    (start_x, start_y), (end_x, end_y) = (start.column, -start.row), (end.column, -end.row)
    end_width, end_height = _half_size(end)
    if (start_x, start_y) == (end_x, end_y):
        return
    if start_y == end_y and end_x - start_x > 1 and end.layers[0].kind != SUM:
        _draw_skip(axes, start, end)
    elif start_y == end_y:
        _draw_line(axes, [(start_x + _BOX_WIDTH / 2, start_y), (end_x - end_width, end_y)], _EDGE)
    else:
        up = 1 if end_y > start_y else -1
        _draw_line(axes, [(end_x, start_y + up * _half_size(start)[1]), (end_x, end_y - up * end_height)], _EDGE)


def _draw_skip(axes: Any, start: _Box, end: _Box) -> None:
    """Draws an arrow around the boxes in between: up beside the start, across, and down to the end."""
    beside = start.column + 0.5
    above, leaves = -start.row + _BOX_HEIGHT / 2 + 0.11, -start.row + 0.15
    _draw_line(
        axes,
        [
            (start.column + _BOX_WIDTH / 2, leaves),
            (beside, leaves),
            (beside, above),
            (end.column, above),
            (end.column, -end.row + _BOX_HEIGHT / 2),
        ],
        _SKIP_EDGE,
    )


def _half_size(box: _Box) -> Tuple[float, float]:
    is_circle = box.layers[0].kind == SUM or box.layers[0].kind == UPSAMPLING and box.layers[0].total_stride > 1
    return (0.14, 0.2) if is_circle else (_BOX_WIDTH / 2, _BOX_HEIGHT / 2)


def _draw_line(axes: Any, points: Sequence[Tuple[float, float]], color: str) -> None:
    """A line through points, with an arrowhead on the last."""
    x, y = zip(*points[:-1])
    axes.plot(x, y, color=color, linewidth=1.2, solid_capstyle='butt')
    arrow = {'arrowstyle': '-|>', 'color': color, 'linewidth': 1.2, 'shrinkA': 0, 'shrinkB': 0, 'mutation_scale': 9}
    axes.annotate('', points[-1], points[-2], arrowprops=arrow)
