"""VGG-16 as torchvision (and timm) store it: `.pth` in both of PyTorch's formats, and `.safetensors`.

Kernels are [out, in, height, width]; the dense layers see pool5 flattened as channel, height, width. PyTorch is not
needed, and the pickle inside a `.pth` is read without running it. Formats:
https://pytorch.org/docs/stable/notes/serialization.html
and https://huggingface.co/docs/safetensors.
"""

import io
import json
import os
import re
import zipfile
from typing import IO, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Layout, Shape, Use, assemble, num_values, paired_names
from fcn8s.vgg16.weights.damage import damaged, explain_damage
from fcn8s.vgg16.weights.pickles import checked_key, described, is_shape, is_size, load_inert, name_of
from fcn8s.vgg16.weights.source import TORCHVISION_RGB, Source

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
# The beginning of such a file: a pickle whose first object is LEGACY_MAGIC, an integer of ten bytes.
LEGACY_HEAD = b'\x80\x02\x8a\x0a' + LEGACY_MAGIC.to_bytes(10, 'little')
# Keys under which a training checkpoint may hold the weights; the first that it has counts.
STATE_DICTS = ('state_dict', 'model_state_dict', 'model', 'model_state', 'net', 'network', 'weights')
SAFETENSORS_DTYPES = {'F16': '<f2', 'F32': '<f4', 'F64': '<f8', 'BF16': '<u2', 'F8_E4M3': 'V1', 'F8_E5M2': 'V1'}
# Dtypes of counters and masks: they are known so that the error can name the tensor.
SAFETENSORS_DTYPES.update({'I64': '<i8', 'I32': '<i4', 'I16': '<i2', 'I8': 'i1', 'BOOL': '?'})
SAFETENSORS_DTYPES.update({'U64': '<u8', 'U32': '<u4', 'U16': '<u2', 'U8': 'u1'})
LARGEST_HEADER = 100000000  # bytes; the limit of the safetensors format
LARGEST_PICKLE = 1 << 24  # bytes; the pickle of a VGG-16 has a few thousand


def _convolution_indices() -> Dict[str, str]:
    """Layer -> its module in `features`, a sequence of convolution, ReLU, ..., and a pooling after each block."""
    names, index = {}, 0
    for block in layers.block_names():
        for layer in block:
            names[layer] = 'features.{}'.format(index)
            index += 2
        index += 1
    return names


TORCHVISION_LAYERS = dict(_convolution_indices(), fc6='classifier.0', fc7='classifier.3', fc8='classifier.6')
# Until March 2017 dropout came before the dense layers; the conversion of the Caffe model (vgg16-00b39a1b) is older.
FIRST_TORCHVISION_LAYERS = dict(TORCHVISION_LAYERS, fc6='classifier.1', fc7='classifier.4')
_PARTS = ('weight', 'bias')
TIMM_LAYERS = dict(_convolution_indices(), fc6='pre_logits.fc1', fc7='pre_logits.fc2', fc8='head.fc')


class _Storage(NamedTuple):
    """The flat content of a tensor, read only when it is asked for."""

    dtype: str
    size: int
    read: Callable[[], np.ndarray]


class _Inert:
    """A stand-in: keeps the first arguments of the call, and takes any state without using it."""

    def __init__(self, *arguments):
        self.arguments = arguments[:4]  # those of a tensor; a file can call it with the same tuple again and again

    def __setstate__(self, state):
        pass


class _Tensor(_Inert):
    """Stands in for `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)`, and for `_rebuild_tensor`,
    which PyTorch before 0.4 wrote.
    """


class _TensorWithState(_Tensor):
    """Stands in for `torch.FloatTensor()`, as PyTorch before 0.1.11 wrote it: the state has these arguments."""

    def __setstate__(self, state):
        self.arguments = state


class _Parameter(_Inert):
    """Stands in for `torch._utils._rebuild_parameter(tensor, ...)`."""


class _StateDict(dict):
    """Stands in for `collections.OrderedDict`, whose state (module versions) is not needed."""

    def __init__(self, pairs=()):
        super().__init__((checked_key(key), value) for key, value in pairs)
        if pairs:  # the list that Python 2 wrote is emptied, for a file can name it again and again
            pairs.clear()

    def __setstate__(self, state):
        pass


class _DefaultDict(dict):
    """Stands in for `collections.defaultdict`, whose default factory is not needed."""

    def __init__(self, *_):
        super().__init__()


def _storage_type(dtype_name: str) -> type:
    return type('_StorageType', (_Inert,), {'dtype': dtype_name})


_BFLOAT16 = 'V2'  # NumPy has no bfloat16: two bytes, until they are converted to float32

TORCH_STAND_INS = {
    ('collections', 'OrderedDict'): _StateDict,
    ('torch._utils', '_rebuild_tensor_v2'): _Tensor,
    ('torch._utils', '_rebuild_tensor'): _Tensor,
    **{
        (module, number + 'Tensor'): _TensorWithState
        for module in ('torch', 'torch.cuda')
        for number in ('Float', 'Double', 'Half', 'Long', 'Int', 'Short', 'Char', 'Byte')
    },
    ('torch._utils', '_rebuild_parameter'): _Parameter,
    ('torch', 'FloatStorage'): _storage_type('<f4'),
    ('torch', 'DoubleStorage'): _storage_type('<f8'),
    ('torch', 'HalfStorage'): _storage_type('<f2'),
    ('torch', 'BFloat16Storage'): _storage_type(_BFLOAT16),
    # The command line, scores, schedule and random state that a training checkpoint holds beside the weights.
    ('argparse', 'Namespace'): _Inert,
    ('pathlib', 'PosixPath'): _Inert,
    ('pathlib', 'WindowsPath'): _Inert,
    ('pathlib._local', 'PosixPath'): _Inert,  # Python 3.13
    ('pathlib._local', 'WindowsPath'): _Inert,
    ('torch', 'device'): _Inert,
    ('numpy', 'dtype'): _Inert,
    ('numpy.core.multiarray', 'scalar'): _Inert,
    ('numpy._core.multiarray', 'scalar'): _Inert,
    ('numpy', 'ndarray'): _Inert,
    ('numpy.core.multiarray', '_reconstruct'): _Inert,
    ('numpy._core.multiarray', '_reconstruct'): _Inert,
    ('_codecs', 'encode'): _Inert,
    ('collections', 'Counter'): _Inert,  # milestones of MultiStepLR
    ('torch', 'Size'): _Inert,
    ('__builtin__', 'set'): _Inert,
    ('builtins', 'set'): _Inert,
    ('collections', 'defaultdict'): _DefaultDict,
    **{
        (module, name): _Inert
        for module in ('__builtin__', 'builtins')
        for name in ('dict', 'float', 'int', 'list', 'long')
    },
    **{('datetime', name): _Inert for name in ('date', 'datetime', 'time', 'timedelta', 'timezone')},
    ('torch.torch_version', 'TorchVersion'): _Inert,
    # Counters, such as those of batch normalisation, and masks: they are known so that the error can name the tensor.
    ('torch', 'LongStorage'): _storage_type('<i8'),
    ('torch', 'IntStorage'): _storage_type('<i4'),
    ('torch', 'ShortStorage'): _storage_type('<i2'),
    ('torch', 'CharStorage'): _storage_type('i1'),
    ('torch', 'ByteStorage'): _storage_type('u1'),
    ('torch', 'BoolStorage'): _storage_type('?'),
}


def read_pth_zip(path: str, use: Optional[Use] = None) -> Any:
    """Reads a state dict that PyTorch 1.6 or later has saved (a zip archive).

    use: what to do with the tensors, while the file is open; by default they become the `Source` of a VGG-16.

    Raises ValueError where the archive is truncated, asks for objects other than tensors, or holds another network.
    """
    with explain_damage(path):
        archive = zipfile.ZipFile(path)
    with archive:
        with explain_damage(path):
            tensors = _tensors_of_zip(path, archive)
        return _use(path, tensors, use)


def _tensors_of_zip(path: str, archive: zipfile.ZipFile) -> Dict[str, _Tensor]:
    pickled = [name for name in archive.namelist() if name.endswith('/data.pkl')]
    if len(pickled) != 1:
        raise ValueError('{} is no PyTorch checkpoint: it has {} data.pkl.'.format(path, len(pickled)))
    folder = pickled[0][: -len('data.pkl')]
    if folder + 'constants.pkl' in archive.namelist():
        raise ValueError(
            '{0} is a program of TorchScript. Make a file of its weights, with PyTorch: '
            "torch.save(torch.jit.load({0!r}).state_dict(), 'weights.pth')".format(path)
        )
    if folder + 'byteorder' in archive.namelist() and _read_start(archive, folder + 'byteorder') != b'little':
        raise _big_endian(path)

    def load_storage(pid):
        dtype, key, size = _parse_storage_id(path, pid)
        name = '{}data/{}'.format(folder, key)
        return _Storage(dtype, size, lambda: _read_member(archive, path, name, dtype, size))

    return _tensors(path, _load_pickled(archive, pickled[0], path, load_storage))


def _big_endian(path: str) -> ValueError:
    return ValueError('{} was written on a big-endian machine; this reader cannot swap it.'.format(path))


def _load_pickled(archive: zipfile.ZipFile, name: str, path: str, load_storage: Callable[[Any], Any]) -> Any:
    size = archive.getinfo(name).file_size
    if size > LARGEST_PICKLE:
        raise ValueError(
            '{}: {} has {} bytes; names and shapes of weights have {} at the most.'.format(
                path, name, size, LARGEST_PICKLE
            )
        )
    with archive.open(name) as file:
        return load_inert(io.BytesIO(file.read(size)), size, path, TORCH_STAND_INS, load_storage)


def _read_start(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read(16)


def _read_member(archive: zipfile.ZipFile, path: str, name: str, dtype: str, size: int) -> np.ndarray:
    stored = archive.getinfo(name).file_size
    if stored != size * np.dtype(dtype).itemsize:
        raise damaged(path, '{} has {} bytes, where {} values of {} are announced'.format(name, stored, size, dtype))
    return np.frombuffer(archive.read(name), dtype)


def read_pth_legacy(path: str, use: Optional[Use] = None) -> Any:
    """Reads a state dict of PyTorch before 1.6: pickles one after the other, then the contents of the storages.

    Raises ValueError where the file is truncated, asks for objects other than tensors, or holds another network.
    """
    with open(path, 'rb') as file:
        with explain_damage(path):
            tensors = _tensors_of_pickles(path, file)
        return _use(path, tensors, use)


def _tensors_of_pickles(path: str, file: IO[bytes]) -> Dict[str, _Tensor]:
    length = os.fstat(file.fileno()).st_size
    magic, protocol, system = [load_inert(file, length, path, {}) for _ in range(3)]
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL or not isinstance(system, dict):
        raise ValueError('{} is no PyTorch checkpoint: its magic number is another one.'.format(path))
    if not system.get('little_endian', True):
        raise _big_endian(path)
    dtypes: Dict[str, str] = {}
    sizes: Dict[str, int] = {}
    offsets: Dict[str, int] = {}

    def load_storage(pid):
        dtype, key, size = _parse_storage_id(path, pid)
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError('{} holds a view of a storage, which this reader does not know.'.format(path))
        dtypes[key], sizes[key] = dtype, size
        return _Storage(dtype, size, lambda: _read_at(file, path, offsets[key], dtype, size))

    tensors = _tensors(path, load_inert(file, length, path, TORCH_STAND_INS, load_storage))
    offsets.update(_locate_storages(file, path, load_inert(file, length, path, {}), dtypes, sizes))
    return tensors


def _parse_storage_id(path: str, pid: Any) -> Tuple[str, str, int]:
    """`('storage', type, key, device, size, ...)` -> dtype, key, size."""
    if (
        not isinstance(pid, tuple)
        or len(pid) < 5
        or pid[0] != 'storage'
        or not hasattr(pid[1], 'dtype')
        or not isinstance(pid[2], str)
        or not is_size(pid[4])
    ):
        raise damaged(path, '{} is no storage of numbers'.format(described(pid)))
    return pid[1].dtype, pid[2], pid[4]


def _locate_storages(
    file: IO[bytes], path: str, keys: Any, dtypes: Mapping[str, str], sizes: Mapping[str, int]
) -> Dict[str, int]:
    """Key -> where in the file its content begins. The number of elements (int64) precedes each content."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(dtypes):
        raise damaged(path, 'its list of storages does not fit its tensors')
    offsets = {}
    for key in keys:
        size = int.from_bytes(file.read(8), 'little')
        if size != sizes.get(key):
            raise damaged(path, 'a storage has {} values, where {} are announced'.format(size, sizes.get(key)))
        offsets[key] = file.tell()
        file.seek(size * np.dtype(dtypes[key]).itemsize, os.SEEK_CUR)
    if file.tell() > os.fstat(file.fileno()).st_size:
        raise damaged(path, 'it should have {} bytes'.format(file.tell()))
    return offsets


def _read_at(file: IO[bytes], path: str, offset: int, dtype: str, count: int) -> np.ndarray:
    file.seek(offset)
    array = np.fromfile(file, dtype, count)
    if array.size != count:
        raise damaged(path, 'a tensor is cut off')
    return array


def _tensors(path: str, content: Any) -> Dict[str, _Tensor]:
    """Name -> tensor of a state dict, also of one inside a training checkpoint."""
    for key in 2 * STATE_DICTS:  # one may be inside another
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError('{} holds no state dict. Save one with: torch.save(model.state_dict(), path)'.format(path))
    return {name_of(key): _unwrap(path, name_of(key), value) for key, value in content.items()}


def _unwrap(path: str, name: str, value: Any) -> _Tensor:
    if isinstance(value, _Parameter) and value.arguments:
        value = value.arguments[0]
    if not isinstance(value, _Tensor) or not _is_well_formed(value.arguments):
        raise ValueError(
            '{}: {!r} is no tensor of numbers. Save a state dict with: torch.save(model.state_dict(), path)'.format(
                path, name
            )
        )
    return value


def _is_well_formed(arguments: Any) -> bool:
    """Whether these are (storage, offset, shape, strides, ...) of a tensor that lies within its storage."""
    if not isinstance(arguments, tuple) or len(arguments) < 4 or not isinstance(arguments[0], _Storage):
        return False
    storage, offset, shape, strides = arguments[:4]
    if not is_size(offset) or not is_shape(shape) or not is_shape(strides) or len(shape) != len(strides):
        return False
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides))
    return 0 in shape or last < storage.size


def _to_numpy(path: str, tensor: _Tensor) -> np.ndarray:
    storage, offset, shape, strides = tensor.arguments[:4]
    flat = storage.read()
    if flat.size < storage.size:
        raise damaged(path, 'a tensor is shorter than it says')
    if flat.dtype == _BFLOAT16:
        flat = _bfloat16_to_float32(flat.view('<u2'))
    return np.lib.stride_tricks.as_strided(
        flat[offset:], shape, [stride * flat.itemsize for stride in strides], writeable=False
    )


def _use(path: str, tensors: Mapping[str, _Tensor], use: Optional[Use]) -> Any:
    shapes = {name: tensor.arguments[2] for name, tensor in tensors.items()}
    _check_storages(path, tensors)

    def read(name: str) -> np.ndarray:
        with explain_damage(path):
            return _to_numpy(path, tensors[name])

    return (use or _assemble_named)(path, shapes, read)


def _check_storages(path: str, tensors: Mapping[str, _Tensor]) -> None:
    """Raises ValueError for a storage larger than all tensors together: a tensor may be a part of its storage, which is
    read whole.
    """
    total = sum(num_values(tensor.arguments[2]) for tensor in tensors.values())
    for name, tensor in tensors.items():
        if tensor.arguments[0].size > total:
            raise ValueError(
                '{}: {!r} is a part of {} values, and all tensors together have {}. Save a state dict of its own '
                'tensors: {{name: tensor.clone() for name, tensor in model.state_dict().items()}}'.format(
                    path, name, tensor.arguments[0].size, total
                )
            )


def _assemble_named(path: str, shapes: Mapping[str, Shape], read: Callable[[str], np.ndarray]) -> Source:
    """The source of torchvision's names, or of timm's, which has fc6 and fc7 as convolutions under its own names."""
    plain = _without_wrappers(list(shapes))
    shapes = {name: shapes[plain[name]] for name in plain}
    is_timm = any(name.startswith(('pre_logits.', 'head.')) for name in shapes)
    is_first = 'classifier.1.weight' in shapes and 'classifier.0.weight' not in shapes
    called = TIMM_LAYERS if is_timm else FIRST_TORCHVISION_LAYERS if is_first else TORCHVISION_LAYERS
    names = paired_names('{}.weight', '{}.bias', called)
    layout = Layout(names, TORCHVISION_RGB, channels_first=True, convolutional=('fc6', 'fc7') if is_timm else ())
    return assemble('torchvision', path, layout, shapes, lambda name: read(plain[name]))


def _without_wrappers(names: List[str]) -> Dict[str, str]:
    """Name in a plain VGG-16 -> name in the file, where `DataParallel` or a larger module may add a prefix.

    Everything else in the larger module is left out.
    """
    plain = {re.sub(r'(^|\.)module\.', r'\1', name): name for name in names}
    if len(plain) < len(names):
        return {name: name for name in names}
    first = TORCHVISION_LAYERS['conv1_1'] + '.weight'
    prefixes = [name[: -len(first)] for name in plain if name.endswith(first)]
    if not prefixes:
        return _from_bare_features(plain)
    if len(prefixes) != 1:
        return plain
    return {name[len(prefixes[0]) :]: whole for name, whole in plain.items() if name.startswith(prefixes[0])}


def _from_bare_features(plain: Dict[str, str]) -> Dict[str, str]:
    """The names of a VGG-16 for a file that holds only its `features` (`0.weight`), or holds them under another name
    (`backbone.0.weight`), recognised by the numbers of all convolutions; `plain` for any other file.
    """
    convolutions = {layer: TORCHVISION_LAYERS[layer] for layer in layers.CONVOLUTIONS}
    wanted = ['{}.{}'.format(module[len('features.') :], part) for module in convolutions.values() for part in _PARTS]
    prefixes = [name[: -len(wanted[0])] for name in plain if re.search(r'(^|\.)0\.weight$', name)]
    prefixes = [prefix for prefix in prefixes if all(prefix + name in plain for name in wanted)]
    if len(prefixes) != 1:
        return plain
    return {'features.' + name: plain[prefixes[0] + name] for name in wanted}


def read_safetensors(path: str, use: Optional[Use] = None) -> Any:
    """Reads the tensors of a `.safetensors` file.

    use: as in `read_pth_zip`.

    Raises ValueError where the file is truncated or holds another network.
    """
    with open(path, 'rb') as file:
        with explain_damage(path):
            entries, start = _read_safetensors_header(file, path)

        def read(name: str) -> np.ndarray:
            dtype, shape, begin = entries[name]
            count = int(np.prod(shape, dtype=np.int64))
            with explain_damage(path):
                array = _read_at(file, path, start + begin, SAFETENSORS_DTYPES[dtype], count)
            return _bfloat16_to_float32(array).reshape(shape) if dtype == 'BF16' else array.reshape(shape)

        return (use or _assemble_named)(path, {name: shape for name, (_, shape, _) in entries.items()}, read)


def _bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """bfloat16 is the upper half of float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _read_safetensors_header(file: IO[bytes], path: str) -> Tuple[Dict[str, Tuple[str, Shape, int]], int]:
    """Name -> (dtype, shape, where its content begins), and where the contents begin in the file."""
    length = int.from_bytes(file.read(8), 'little')
    size = os.fstat(file.fileno()).st_size
    if length > min(size - 8, LARGEST_HEADER):
        raise damaged(path, 'its header of {} bytes is cut off'.format(length))
    try:
        header = json.loads(file.read(length).decode('utf-8'))
        header.pop('__metadata__', None)
        entries = {name: _parse_entry(entry, size - 8 - length) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, '{}: {}'.format(type(error).__name__, error)) from error
    return entries, 8 + length


def _parse_entry(entry: Mapping[str, Any], content_size: int) -> Tuple[str, Shape, int]:
    dtype, shape, (begin, end) = entry['dtype'], tuple(entry['shape']), entry['data_offsets']
    if dtype not in SAFETENSORS_DTYPES:
        raise ValueError('the data type {!r} is unknown'.format(dtype))
    if not is_shape(shape) or not is_size(begin) or not is_size(end):
        raise ValueError('the shape {!r} from {!r} to {!r}'.format(shape, begin, end))
    count = num_values(shape)
    if not 0 <= begin <= end <= content_size or end - begin != count * np.dtype(SAFETENSORS_DTYPES[dtype]).itemsize:
        raise ValueError('{} to {} of {} bytes does not hold {} {}'.format(begin, end, content_size, shape, dtype))
    return dtype, shape, begin
