"""VGG-16 in NumPy's formats: `vgg16.npy` (a pickled dict, from Caffe) and `vgg16_weights.npz`.

`vgg16.npy` (https://github.com/machrisaa/tensorflow-vgg) keeps Caffe's BGR order. `vgg16_weights.npz`
(https://www.cs.toronto.edu/~frossard/post/vgg16/) was converted to RGB order; its images are RGB minus the same mean.
"""

import io
import os
import zipfile
from typing import IO, Any, Dict, Mapping, Optional, Tuple

import numpy as np

from fcn8s.vgg16.weights.assemble import Layout, Shape, Use, assemble, paired_names
from fcn8s.vgg16.weights.damage import damaged, explain_damage
from fcn8s.vgg16.weights.pickles import described, is_shape, load_inert, name_of
from fcn8s.vgg16.weights.source import CAFFE_BGR, CAFFE_RGB, Source

NPY_MAGIC = b'\x93NUMPY'
LONGEST_HEADER = 10000  # bytes; the limit of NumPy itself
NPY_NAMES = paired_names('{}/weights', '{}/biases')
NPZ_NAMES = paired_names('{}_W', '{}_b')


class _Dtype:
    """Stands in for `numpy.dtype`: a type code such as 'f4', and the byte order that its state gives."""

    def __init__(self, code, *_):
        self.code = code
        self.byte_order = '='

    def __setstate__(self, state):
        self.byte_order = state[1]

    def to_float_dtype(self) -> np.dtype:
        if self.code not in ('f2', 'f4', 'f8') or self.byte_order not in ('<', '>', '='):
            raise ValueError('an array of {}; weights are f2, f4 or f8'.format(described(self.code)))
        return np.dtype(self.byte_order.replace('=', '<') + self.code)


class _Array:
    """Stands in for `numpy.ndarray`: keeps the state of an array."""

    def __init__(self, *_):
        self.shape, self.dtype, self.column_major, self.content = (), None, False, b''

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.column_major, self.content = state

    def to_numpy(self) -> np.ndarray:
        content = self.content.text if isinstance(self.content, _Latin1Bytes) else self.content
        content = content.encode('latin1') if isinstance(content, str) else content
        flat = np.frombuffer(content, self.dtype.to_float_dtype())
        return flat.reshape(self.shape, order='F' if self.column_major else 'C')


class _ArrayType:
    """Stands in for the class `numpy.ndarray` itself, which `_reconstruct` is given."""

    def __setstate__(self, state):
        raise ValueError('a class cannot have a state')


class _Latin1Bytes:
    """Stands in for `_codecs.encode`, by which pickle protocol 2 of Python 3 writes bytes.

    The text is only encoded when it is needed, because a file can ask for it any number of times.
    """

    def __init__(self, text, encoding):
        if encoding != 'latin1' or not isinstance(text, str):
            raise ValueError('bytes encoded as {}'.format(described(encoding)))
        self.text = text

    def __setstate__(self, state):
        raise ValueError('bytes cannot have a state')


NUMPY_STAND_INS = {
    ('numpy', 'dtype'): _Dtype,
    ('numpy', 'ndarray'): _ArrayType,
    ('_codecs', 'encode'): _Latin1Bytes,
    ('numpy.core.multiarray', '_reconstruct'): _Array,  # NumPy 1
    ('numpy._core.multiarray', '_reconstruct'): _Array,  # NumPy 2
}


def _read_header(file: IO[bytes], path: str) -> Tuple[Shape, bool, np.dtype]:
    with explain_damage(path):
        head = file.read(len(NPY_MAGIC) + 2)
        is_first = head.endswith(b'\x01\x00')
        head += file.read(2 if is_first else 4)
        length = int.from_bytes(head[len(NPY_MAGIC) + 2 :], 'little')
        if length > LONGEST_HEADER:
            raise ValueError('a header of {} bytes'.format(length))
        header = io.BytesIO(head + file.read(length))
        np.lib.format.read_magic(header)
        reader = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
        return reader(header)


def read_npy(path: str, use: Optional[Use] = None) -> Any:
    """Reads a dict `{'conv1_1': [weights, biases], ...}` (or `{'weights': ..., 'biases': ...}`) without running code.

    use: what to do with the arrays; by default they become the `Source` of a VGG-16.

    Raises ValueError where the file is something else, is damaged, or asks for Python objects other than arrays.
    """
    with explain_damage(path), open(path, 'rb') as file:
        shape, _, dtype = _read_header(file, path)
        if not dtype.hasobject or shape != ():
            raise ValueError(
                '{} holds an array of {} with the shape {}; vgg16.npy holds one dict of layers.'.format(
                    path, dtype, shape
                )
            )
        content = load_inert(file, os.fstat(file.fileno()).st_size, path, NUMPY_STAND_INS)
    arrays = _layers_of(path, content)
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}

    def read(name: str) -> np.ndarray:
        return _to_numpy(path, name, arrays.pop(name))

    return use(path, shapes, read) if use else assemble('npy', path, Layout(NPY_NAMES, CAFFE_BGR), shapes, read)


def _layers_of(path: str, content: Any) -> Dict[str, _Array]:
    """`'conv1_1/weights'` -> stand-in, for every layer of the pickled dict."""
    elements = content.content if isinstance(content, _Array) else None
    stored = elements[0] if isinstance(elements, list) and elements else None
    if not isinstance(stored, dict):
        raise ValueError('{} holds no dict of layers, which vgg16.npy does.'.format(path))
    arrays = {}
    for layer, pair in zip(map(name_of, stored), stored.values()):
        values = pair if isinstance(pair, Mapping) else dict(zip(('weights', 'biases'), _pair(path, layer, pair)))
        for name, array in zip(map(name_of, values), values.values()):
            if not isinstance(array, _Array) or not is_shape(array.shape):
                raise ValueError('{}: {}/{} is no array.'.format(path, layer, name))
            arrays['{}/{}'.format(layer, name)] = array
    return arrays


def _pair(path: str, layer: str, pair: Any) -> Any:
    if not isinstance(pair, (list, tuple)) or len(pair) not in (1, 2):
        raise ValueError('{}: the layer {!r} holds no [weights, biases].'.format(path, layer))
    return pair


def _to_numpy(path: str, name: str, array: _Array) -> np.ndarray:
    try:
        return array.to_numpy()
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, '{}: {}'.format(name, error)) from error


def read_npz(path: str) -> Source:
    """Reads an archive of `conv1_1_W`, `conv1_1_b`, ..., `fc8_W`, `fc8_b`.

    Raises ValueError where the archive is truncated or holds another network.
    """
    with explain_damage(path), zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as arrays:
        shapes = {name[: -len('.npy')]: _member_shape(archive, name, path) for name in archive.namelist()}
        return assemble('npz', path, Layout(NPZ_NAMES, CAFFE_RGB), shapes, lambda name: arrays[name])


def _member_shape(archive: zipfile.ZipFile, name: str, path: str) -> Shape:
    with archive.open(name) as member:
        shape, _, dtype = _read_header(member, '{}: {}'.format(path, name))
    if dtype.hasobject:
        raise ValueError('{}: {} holds pickled Python objects; it is refused, and nothing was run.'.format(path, name))
    if dtype.kind != 'f' or dtype.itemsize > 8:
        raise ValueError('{}: {} holds {}; weights are floating-point numbers.'.format(path, name, dtype))
    return shape
