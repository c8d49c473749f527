"""Trained FCNs of other programs as named tensors. The content shows the kind; nothing that a file holds is run here.

Of a graph beside the weights, `own_graph` runs the part that gives the logits, if it has only ops of networks.
"""

import functools
import os
import zipfile
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.importing.frozen_graphs import is_graph, read_frozen_graph
from fcn8s.saving import restoring, saved_models
from fcn8s.saving.descriptions import DESCRIPTION_FILE, GRAPH_FILES
from fcn8s.saving.runs import refuse_own_network, what_to_do_with_own
from fcn8s.vgg16.weights.assemble import Shape
from fcn8s.vgg16.weights.caffe import is_caffe, read_caffemodel
from fcn8s.vgg16.weights.damage import explain_damage
from fcn8s.vgg16.weights.numpy_files import NPY_MAGIC, read_npy
from fcn8s.vgg16.weights.recognise import download_hint
from fcn8s.vgg16.weights.source import CAFFE_BGR, Preprocessing
from fcn8s.vgg16.weights.torch_files import LEGACY_HEAD, read_pth_legacy, read_pth_zip, read_safetensors
from helpers.label_spaces import LABEL_SPACES, LabelSpace, generic_label_space

# What Berkeley's nets and torchfcn subtract, BGR (voc_layers.py; torchfcn/datasets/voc.py).
BERKELEY_BGR = Preprocessing('BGR', (104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0))
ACCEPTED = (
    'the SavedModel or tf.train.Saver checkpoint of the FCN-8s of 2017, a checkpoint of KittiSeg, tensorflow-fcn or a '
    "CarND project, a frozen graph of any of these, tensorflow-fcn's .npy, a Berkeley .caffemodel, or torchfcn's .pth "
    'or .safetensors'
)


class Kind(NamedTuple):
    """What is known about the files of one program.

    skip_scales: None where the files do not show them and programs of this kind differ.
    label_spaces: number of classes -> label space.
    """

    name: str
    alignment: str
    channels_first: bool
    preprocessing: Preprocessing
    skip_scales: Optional[Tuple[float, float]]
    label_spaces: Dict[int, str]


REFERENCE = Kind('reference 2017', 'same', False, CAFFE_BGR, (1e-4, 1e-2), {20: 'cityscapes20'})
TENSORFLOW_FCN = Kind('tensorflow-fcn', 'same', False, CAFFE_BGR, (1.0, 1.0), {2: 'kitti_road'})
OTHER_TENSORFLOW = Kind('TensorFlow', 'same', False, CAFFE_BGR, None, {})
CAFFE = Kind('Caffe', 'caffe', True, BERKELEY_BGR, (1.0, 1.0), {21: 'voc'})
TORCHFCN = Kind('torchfcn', 'caffe', True, BERKELEY_BGR, None, {21: 'voc'})


def label_space_of(kind: Kind, num_classes: int) -> LabelSpace:
    """Returns the classes of a network of this kind with `num_classes` classes; nameless if they are unknown."""
    name = kind.label_spaces.get(num_classes)
    return LABEL_SPACES[name] if name else generic_label_space(num_classes)


def read(path: str, use: Callable[[Kind, str, Mapping[str, Shape], Callable[[str], np.ndarray]], Any]) -> Any:
    """Calls `use(kind, path, shapes, read)` with the tensors of a file, and returns its answer.

    Raises FileNotFoundError or ValueError for a file of none of the kinds.
    """
    path = os.fspath(path)
    if os.path.basename(path) in GRAPH_FILES and os.path.isfile(path):
        path = os.path.dirname(path) or '.'
    if os.path.isfile(os.path.join(path, DESCRIPTION_FILE)):
        raise ValueError(what_to_do_with_own(path, 'a saved FCN-8s'))
    refuse_own_network(path)
    if os.path.isdir(path) or restoring.is_state_file(path) or restoring.checkpoint_of(path) is not None:
        return _read_checkpoint(restoring.find_checkpoint(path), use)
    if not os.path.isfile(path):
        raise FileNotFoundError('there is no network at {!r}. Accepted: {}.'.format(path, ACCEPTED))
    with open(path, 'rb') as file:
        head = file.read(256)
    if head.startswith(NPY_MAGIC):
        return read_npy(path, functools.partial(use, TENSORFLOW_FCN))
    if head.startswith(LEGACY_HEAD):
        return read_pth_legacy(path, functools.partial(use, TORCHFCN))
    if head.startswith(b'PK') and _is_pth(path):
        return read_pth_zip(path, functools.partial(use, TORCHFCN))
    if head[8:9] == b'{':
        return read_safetensors(path, functools.partial(use, TORCHFCN))
    if is_caffe(head):
        return read_caffemodel(path, functools.partial(use, CAFFE))
    if is_graph(head):
        return read_frozen_graph(path, lambda path, shapes, read: use(_kind_of(list(shapes)), path, shapes, read))
    raise ValueError(
        '{} is no trained FCN that this program knows: it begins with {!r}{}. Accepted: {}.'.format(
            path, head[:16], download_hint(path), ACCEPTED
        )
    )


def _is_pth(path: str) -> bool:
    with explain_damage(path), zipfile.ZipFile(path) as archive:
        return any(name.endswith('/data.pkl') for name in archive.namelist())


def _read_checkpoint(prefix: str, use: Callable[..., Any]) -> Any:
    with saved_models.checkpoint_reader(prefix) as reader:
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        return use(_kind_of(list(shapes)), prefix, shapes, reader.get_tensor)


def _kind_of(names: List[str]) -> Kind:
    parts = {part for name in names for part in name.split('/')}
    if 'fc7_1x1' in parts:
        return REFERENCE
    return TENSORFLOW_FCN if 'up_filter' in parts else OTHER_TENSORFLOW


def files_of(path: str) -> List[str]:
    """Returns the files that a network was read from."""
    return saved_models.checkpoint_files(path)
