"""Recognises the kind of a source by its content, and chooses its reader."""

import os
import re
import zipfile
from typing import Optional, Tuple

from fcn8s.saving.runs import refuse_own_network
from fcn8s.saving.saved_models import find_shards, is_table
from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.caffe import is_caffe, read_vgg16_caffemodel
from fcn8s.vgg16.weights.damage import explain_damage
from fcn8s.vgg16.weights.he import random_source
from fcn8s.vgg16.weights.keras_download import fetch_keras_weights
from fcn8s.vgg16.weights.keras_h5 import MEMBER_OF_ARCHIVE, find_hed_weights, read_keras_archive, read_keras_h5
from fcn8s.vgg16.weights.keras_h5 import SIGNATURE as HDF5_SIGNATURE
from fcn8s.vgg16.weights.numpy_files import NPY_MAGIC, read_npy, read_npz
from fcn8s.vgg16.weights.saved_model import read_saved_model
from fcn8s.vgg16.weights.slim_checkpoint import INDEX_SUFFIX, read_slim_checkpoint
from fcn8s.vgg16.weights.source import Source
from fcn8s.vgg16.weights.torch_files import LEGACY_HEAD, read_pth_legacy, read_pth_zip, read_safetensors
from helpers.files import path_of

RANDOM, HED, KERAS = 'random', 'hed', 'keras'
# Of the sources that have names: their dense layers.
DENSE_LAYERS_OF = {RANDOM: (), HED: (), KERAS: ('fc6', 'fc7', 'fc8')}
READERS = {
    'h5': read_keras_h5,
    'keras_archive': read_keras_archive,
    'slim': read_slim_checkpoint,
    'npy': read_npy,
    'npz': read_npz,
    'pth': read_pth_zip,
    'pth_legacy': read_pth_legacy,
    'safetensors': read_safetensors,
    'caffe': read_vgg16_caffemodel,
}
ACCEPTED = (
    "'keras', 'hed', 'random', a Keras .h5 or .keras, a TF-slim checkpoint, vgg16.npy, vgg16_weights.npz, a "
    '.caffemodel, a torchvision .pth or .safetensors, or the directory of an encoder SavedModel'
)

# Endings of weights files. Names only say which file of a folder is meant; the content decides the kind.
_ENDINGS = ('.h5', '.keras', '.safetensors', '.pth', '.npy', '.npz', '.caffemodel', '.ckpt')
_PT2 = (
    'a program of torch.export; make a file of its weights, with PyTorch: '
    "torch.save(torch.export.load(path).state_dict, 'weights.pth')"
)
# The beginning of a file of a kind that is not read -> what it is, and what to do.
_NOT_READ = (
    (rb'\s*<(!doctype|html)', 'a web page, as a failed download leaves'),
    (rb'\s*version https://git-lfs', 'a Git LFS pointer; fetch the file itself with: git lfs pull'),
    (rb"\x1f\x8b|BZh\d|\xfd7zXZ\0|7z\xbc\xaf'\x1c", 'compressed; unpack it first'),
    (
        rb'(.{1024})?sys_info\0.{248}ustar',
        'of the first releases of PyTorch, which only PyTorch reads, and to load it is to run it; where you trust it: '
        "torch.save(torch.load(path, weights_only=False), 'weights.pth')",
    ),
    (rb'.{257}ustar', 'a tar archive; unpack it first'),
    (rb'\s*$', 'the file is empty'),
    # ModelProto.ir_version, then producer_name; SavedModel.saved_model_schema_version, then the graph.
    (rb'\x08[\x03-\x1f]\x12', 'ONNX, in which layers have no names of their own; take the weights that it was made of'),
    (rb'\x08\x01\x12', 'the graph of a SavedModel; give the folder that it is in'),
    (rb'....TFL3', 'TFLite; take the weights that it was made of'),
    (rb'MATLAB 5\.0 MAT-file', 'MATLAB, as MatConvNet has its networks; take those of Caffe, which are the same'),
    (rb'\x12\x01\0{6}', 'parameters of MXNet; take those of another program'),
    (rb'\0{4}[\x01\x02]\0{7}', 'weights of Darknet; take those of another program'),
    (rb'\x80[\x02-\x05]', 'a pickle, which is not read, as to load one is to run it; where you trust it, save a .npz'),
)


def read_source(weights: str, width_divisor: int = 1, seed: int = 0, trust: bool = False) -> Source:
    """Reads the weights that `--weights` names.

    weights: 'random', 'hed', 'keras', or a path; what a path holds is told by its content, not by its name.
    width_divisor: for 'random'; every other source has its own width, and 1 or that width is accepted.
    seed: for 'random'. trust: of a SavedModel, take its graph whatever ops it holds.

    Raises FileNotFoundError where there is nothing, ValueError where it is no VGG-16 (naming the layer) or has another
    width.
    """
    layers.check_width_divisor(width_divisor)
    if weights == RANDOM:
        return random_source(int(width_divisor), seed)
    path = {HED: find_hed_weights, KERAS: fetch_keras_weights}.get(weights, lambda: path_of(weights))()
    kind, path = recognise(path)
    source = read_saved_model(path, trust) if kind == 'saved_model' else READERS[kind](path)
    if width_divisor not in (1, source.width_divisor):
        raise ValueError(
            'width_divisor is {}, but {} is a VGG-16 of width 1/{}; only random weights can be made '
            "narrower. Leave width_divisor out, or take weights 'random'.".format(
                width_divisor, path, source.width_divisor
            )
        )
    return source


def recognise(path: str) -> Tuple[str, str]:
    """Recognises a file, directory or checkpoint prefix: its kind (a key of READERS), and the path for its reader.

    Raises FileNotFoundError where there is nothing, ValueError where the content is of no known kind.
    """
    refuse_own_network(path)
    if os.path.isdir(path):
        _refuse_folder_of_weights(path)
        return 'saved_model', path
    if path.endswith(INDEX_SUFFIX) and os.path.isfile(path):
        return 'slim', path[: -len(INDEX_SUFFIX)]
    if not os.path.exists(path):
        if os.path.isfile(path + INDEX_SUFFIX):
            return 'slim', path
        shards = find_shards(path)
        if shards is not None:
            return 'slim', shards
        raise FileNotFoundError('there are no weights at {!r}. Accepted: {}.'.format(path, ACCEPTED))
    if not os.path.isfile(path):  # opening a pipe would wait for a writer
        raise ValueError('{} is neither a file nor a folder. Accepted: {}.'.format(path, ACCEPTED))
    kind = _recognise_file(path)
    if kind is None:
        raise ValueError(
            '{} is no weights file that this program knows: it begins with {!r}{}. Accepted: {}.'.format(
                path, _head(path, 16), download_hint(path), ACCEPTED
            )
        )
    return kind, (find_shards(path) or path) if kind == 'slim' else path


def _refuse_folder_of_weights(path: str) -> None:
    """Refuses a folder as downloads of KerasHub, timm or TF-slim leave it, and names the file to give instead."""
    names = sorted(os.listdir(path))
    weights = [name for name in names if name.endswith(_ENDINGS)]
    if weights and 'saved_model.pb' not in names:
        raise ValueError(
            '{} is a folder that holds no SavedModel, but weights. Give the file: {}'.format(
                path, os.path.join(path, weights[0])
            )
        )


def _head(path: str, count: int) -> bytes:
    with open(path, 'rb') as file:
        return file.read(count)


def _recognise_file(path: str) -> Optional[str]:
    head = _head(path, 64)
    if head.startswith(HDF5_SIGNATURE):
        return 'h5'
    if head.startswith(NPY_MAGIC):
        return 'npy'
    if head.startswith(b'PK'):
        return _recognise_archive(path)
    if head.startswith(LEGACY_HEAD):
        return 'pth_legacy'
    if head[8:9] == b'{':
        return 'safetensors'
    if is_caffe(head):
        return 'caffe'
    return 'slim' if is_table(path) else None


def _recognise_archive(path: str) -> str:
    with explain_damage(path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith('/data.pkl') for name in names):
        return 'pth'
    if names and all(name.endswith('.npy') for name in names):
        return 'npz'
    if MEMBER_OF_ARCHIVE in names:
        return 'keras_archive'
    raise ValueError(
        '{} is an archive of neither NumPy arrays (.npz) nor PyTorch tensors (.pth) nor a Keras network '
        '(.keras){}. Accepted: {}.'.format(path, download_hint(path), ACCEPTED)
    )


def download_hint(path: str) -> str:
    """Returns, in brackets, what kind of file this is that is not read, and what to do; '' if it is unknown."""
    head = _head(path, 1536)
    known = (what for pattern, what in _NOT_READ if re.match(pattern, head, re.DOTALL | re.IGNORECASE))
    what = next(known, _PT2 if _is_pt2(path) else '')
    return ' ({})'.format(what) if what else ''


def _is_pt2(path: str) -> bool:
    """Whether it is a program of torch.export: https://docs.pytorch.org/docs/stable/export/pt2_archive.html."""
    if not zipfile.is_zipfile(path):
        return False
    with explain_damage(path), zipfile.ZipFile(path) as archive:
        return any(name.endswith('/archive_format') for name in archive.namelist())
