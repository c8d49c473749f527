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
from fcn8s.vgg16.weights.source import CAFFE_BGR, CHANNEL_ORDERS, Preprocessing
from fcn8s.vgg16.weights.torch_files import LEGACY_HEAD, read_pth_legacy, read_pth_zip, read_safetensors
from helpers.flags import check_choice, is_real, is_sequence
from helpers.label_spaces import LABEL_SPACES, LabelSpace, generic_label_space

_UNSCALED = (1.0, 1.0, 1.0)
# What Berkeley's nets and torchfcn subtract, BGR (voc_layers.py; torchfcn/datasets/voc.py).
BERKELEY_BGR = Preprocessing('BGR', (104.00698793, 116.66876762, 122.67891434), _UNSCALED)
# SIFT Flow (siftflow_layers.py).
SIFT_FLOW_CLASSES = 33
SIFT_FLOW_BGR = Preprocessing('BGR', (114.578, 115.294, 108.353), _UNSCALED)
# NYUDv2 (nyud_layers.py): one net takes colours as BGR, the other HHA, three channels computed from depth, as they are.
NYUD_CLASSES = 40
NYUD_BGR = (116.19, 97.203, 92.318)
NYUD_HHA = (132.431, 94.076, 118.477)
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


def stated_preprocessing(mean: Any, channel_order: Optional[str]) -> Optional[Preprocessing]:
    """Returns what the user says about the images of a network; None if they say nothing.

    mean: three numbers from 0 to 255, in channel_order. channel_order: 'BGR' or 'RGB'; None for BGR.

    Raises ValueError for other values, and for an order without a mean.
    """
    if channel_order is not None:
        check_choice('channel_order', channel_order, CHANNEL_ORDERS)
        if mean is None:
            raise ValueError(
                'channel_order is {!r}, and no mean is given. Give the mean, too: it is in that order.'.format(
                    channel_order
                )
            )
    if mean is None:
        return None
    if not is_sequence(mean, 3) or not all(is_real(value) and 0 <= value <= 255 for value in mean):
        raise ValueError(
            'mean is {!r}; it has to be three numbers from 0 to 255, such as {} for BGR.'.format(
                mean, SIFT_FLOW_BGR.mean
            )
        )
    first, second, third = map(float, mean)
    return Preprocessing(channel_order or CHANNEL_ORDERS[0], (first, second, third), _UNSCALED)


def preprocessing_of(path: str, kind: Kind, num_classes: int) -> Preprocessing:
    """Returns what networks of this kind do with their images. Raises ValueError where two of its nets differ."""
    if kind == CAFFE and num_classes == NYUD_CLASSES:
        raise ValueError(
            "{} has {} classes, as Berkeley's nets of NYUDv2: one takes colours, one HHA, they subtract different "
            'means, and nothing in the file tells which it is. Give --mean {:g} {:g} {:g} for colours, --mean {:g} '
            '{:g} {:g} --channel-order RGB for HHA, or the mean of the images that it was trained on.'.format(
                path, num_classes, *NYUD_BGR, *NYUD_HHA
            )
        )
    return SIFT_FLOW_BGR if kind == CAFFE and num_classes == SIFT_FLOW_CLASSES else kind.preprocessing


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
