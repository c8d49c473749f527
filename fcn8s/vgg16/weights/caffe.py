"""Caffe models: the layers and blobs of a `.caffemodel`, read from the wire format of Protocol Buffers.

Only the fields that hold names and weights are read, at their published numbers
(https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto); everything else is skipped. The wire format:
https://protobuf.dev/programming-guides/encoding/.
"""

import contextlib
import mmap
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

import numpy as np

from fcn8s.vgg16.weights.assemble import Layout, Shape, Use, assemble, num_values, paired_names
from fcn8s.vgg16.weights.damage import damaged, explain_damage
from fcn8s.vgg16.weights.source import CAFFE_BGR, Source

Field = Tuple[int, int, int, int]  # number, wire type, where its content begins and ends

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Fields of NetParameter, with those of their messages: LayerParameter, and V1LayerParameter in models up to 2014.
LAYERS = {100: {'name': 1, 'blobs': 7}, 2: {'name': 4, 'blobs': 6}}
# What follows an empty name: the keys of `layer`, of `layers`, or of `input`, each with bytes.
_BEHIND_NO_NAME = (b'\xa2\x06', b'\x12', b'\x1a')
# BlobProto
SHAPE_BEFORE_2014, DATA, SHAPE, DOUBLE_DATA = (1, 2, 3, 4), 5, 7, 8
SHAPE_DIM = 1
LONGEST_NAME, MOST_LAYERS, MOST_DIMENSIONS = 200, 10000, 8
VGG16_NAMES = paired_names('{}/0', '{}/1')


def is_caffe(head: bytes) -> bool:
    """Tells whether a file begins like a NetParameter: with a name of printable characters, in field 1 as bytes.

    Caffe also writes the name of a net that has none, such as Berkeley's.
    """
    name = head[2 : 2 + head[1]] if len(head) > 2 else b''
    if head[:2] == b'\x0a\x00':
        return head[2:].startswith(_BEHIND_NO_NAME)
    return head[:1] == b'\x0a' and bool(name) and all(32 <= byte < 127 for byte in name)


def read_vgg16_caffemodel(path: str) -> Source:
    """Reads the VGG-16 of its authors, `VGG_ILSVRC_16_layers.caffemodel`, or one with the same layer names.

    Raises ValueError where the file is damaged or holds another network.
    """
    return read_caffemodel(path, _assemble_vgg16)


def _assemble_vgg16(path: str, shapes: Mapping[str, Shape], read: Callable[[str], np.ndarray]) -> Source:
    plain = {name: _without_ones(name, shape) for name, shape in shapes.items()}
    layout = Layout(VGG16_NAMES, CAFFE_BGR, channels_first=True)
    return assemble('caffe', path, layout, plain, lambda name: read(name).reshape(plain[name]))


def _without_ones(name: str, shape: Shape) -> Shape:
    """The shape without the dimensions of 1 that matrices and biases of 2014 have, as a matrix for dense layers, also
    for those that were made into convolutions.
    """
    if name.endswith('/1') and shape and num_values(shape) == shape[-1]:
        return shape[-1:]
    if name.startswith('fc') and shape[:2] == (1, 1):
        return shape[2:]
    return (shape[0], num_values(shape[1:])) if name.startswith('fc') and len(shape) == 4 else shape


class _Message:
    """A part of a mapped file that is a message."""

    def __init__(self, path: str, content: Any, begin: int, end: int) -> None:
        self.path, self.content, self.begin, self.end = path, content, begin, end

    def fields(self) -> Iterator[Field]:
        """The fields of the message, in order. Raises ValueError where the bytes are no message."""
        place = self.begin
        while place < self.end:
            key, place = self._varint(place)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                _, end = self._varint(place)
            elif kind == BYTES:
                length, place = self._varint(place)
                end = place + length
            elif kind in (FIXED64, FIXED32):
                end = place + (8 if kind == FIXED64 else 4)
            else:
                raise damaged(self.path, 'a field of the kind {}, which no message has'.format(kind))
            if number == 0 or end > self.end:
                raise damaged(self.path, 'a field that ends behind what holds it')
            yield number, kind, place, end
            place = end

    def _varint(self, place: int) -> Tuple[int, int]:
        value = shift = 0
        while place < self.end and shift < 64:
            byte = self.content[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, place
            shift += 7
        raise damaged(self.path, 'a number that does not end')

    def varint(self, begin: int) -> int:
        """The number at a place."""
        return self._varint(begin)[0]

    def part(self, begin: int, end: int) -> '_Message':
        return _Message(self.path, self.content, begin, end)


def read_caffemodel(path: str, use: Use) -> Any:
    """Calls `use(path, shapes, read)` with the blobs of a model, named LAYER/0, LAYER/1, ..., and returns its result.

    Raises ValueError where the file is damaged or holds no layers.
    """
    with contextlib.ExitStack() as stack:
        with explain_damage(path):
            file = stack.enter_context(open(path, 'rb'))
            content = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            blobs = _blobs(_Message(path, content, 0, len(content)))
            shapes = {name: _shape(blob) for name, blob in blobs.items()}
        if not blobs:
            raise ValueError('{} holds no layers with weights: it is no .caffemodel.'.format(path))

        def read(name: str) -> np.ndarray:
            with explain_damage(path):
                return _values(blobs[name], name, shapes[name])

        return use(path, shapes, read)


def _blobs(model: _Message) -> Dict[str, _Message]:
    found: Dict[str, _Message] = {}
    layers = 0
    for number, kind, begin, end in model.fields():
        if number not in LAYERS or kind != BYTES:
            continue
        layers += 1
        if layers > MOST_LAYERS:
            raise damaged(model.path, 'it has more than {} layers'.format(MOST_LAYERS))
        name, blobs = _layer(model.part(begin, end), LAYERS[number])
        for index, blob in enumerate(blobs):
            key = '{}/{}'.format(name, index)
            if key in found:
                raise ValueError('{} holds two layers called {!r}.'.format(model.path, name))
            found[key] = blob
    return found


def _layer(layer: _Message, numbers: Dict[str, int]) -> Tuple[str, List[_Message]]:
    name, blobs = '', []
    for number, kind, begin, end in layer.fields():
        if number == numbers['name'] and kind == BYTES:
            if end - begin > LONGEST_NAME:
                raise damaged(layer.path, 'a layer has a name of {} characters'.format(end - begin))
            name = layer.content[begin:end].decode('utf-8')
        elif number == numbers['blobs'] and kind == BYTES:
            blobs.append(layer.part(begin, end))
    return name, blobs


def _shape(blob: _Message) -> Shape:
    old = [0, 0, 0, 0]
    shape = None
    for number, kind, begin, end in blob.fields():
        if number in SHAPE_BEFORE_2014 and kind == VARINT:
            old[number - 1] = blob.varint(begin)
        elif number == SHAPE and kind == BYTES:
            shape = _dimensions(blob.part(begin, end))
    # Before 2014, blobs had four dimensions; the first of these are 1 for matrices and biases.
    return tuple(old) if shape is None else shape


def _dimensions(message: _Message) -> Shape:
    dimensions: List[int] = []
    for number, kind, begin, end in message.fields():
        if number != SHAPE_DIM:
            continue
        place = begin
        while place < end:
            value, place = message._varint(place)
            dimensions.append(value)
            if kind == VARINT or len(dimensions) > MOST_DIMENSIONS:
                break
    if len(dimensions) > MOST_DIMENSIONS:
        raise damaged(message.path, 'a blob of {} dimensions'.format(len(dimensions)))
    return tuple(dimensions)


def _values(blob: _Message, name: str, shape: Shape) -> np.ndarray:
    """The values of a blob, float32 or float64."""
    parts: List[np.ndarray] = []
    for number, kind, begin, end in blob.fields():
        if number in (DATA, DOUBLE_DATA):
            dtype = '<f4' if number == DATA else '<f8'
            # Caffe writes them packed, in one piece; millions of pieces would take many times the memory.
            if kind != BYTES or parts or (end - begin) % np.dtype(dtype).itemsize:
                raise damaged(blob.path, 'the values of {} are not one packed field'.format(name))
            parts.append(np.frombuffer(blob.content[begin:end], dtype))
    values = parts[0] if parts else np.zeros(0, np.float32)
    if values.size != int(np.prod(shape, dtype=np.int64)):
        raise damaged(blob.path, '{} has {} values for the shape {}'.format(name, values.size, shape))
    return values.reshape(shape)
