"""Reading and writing SavedModel directories as plain files: no session, no variables in memory."""

import contextlib
import errno
import os
import re
import shlex
import shutil
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import MetaGraphDef, SavedModel, Session, text_format, tf
from fcn8s.graph.graph_defs import make_portable, parse_message
from fcn8s.graph.permitted_ops import check_ops
from fcn8s.saving.descriptions import DESCRIPTION_FILE, SAVED_MODEL_FILE, SERVING_TAGS, find_graph, find_graph_file
from fcn8s.saving.paths import plain_prefix
from helpers.flags import check_flags
from helpers.process.memory import readable_size

VARIABLES_PREFIX = os.path.join('variables', 'variables')
SCHEMA_VERSION = 1
# In bytes; protobuf's own limit for any message.
_LARGEST_GRAPH = 2**31 - 1
# A checkpoint of format 1 (one file) and the index of format 2 both end with the magic number of a LevelDB table.
_TABLE_MAGIC = bytes.fromhex('57fb808b247547db')
# A checkpoint of format 1 in parts: NAME, number of the part (or five question marks for all of them), number of parts.
_SHARD = re.compile(r'^(.*)-(\d{5}|\?{5})-of-(\d{5})$', re.DOTALL)
# IndexError: "Read less bytes than requested"; SystemError: names in the index that are not UTF-8
_OF_READERS = (tf.errors.OpError, RuntimeError, IndexError, SystemError, UnicodeDecodeError)
# What TensorFlow raises when it reads and writes in one run and reading fails.
OF_READING_OPS = (tf.errors.DataLossError, tf.errors.OutOfRangeError)
# Limits of the disk, which TensorFlow only names in its messages: 'File too large' is an OutOfRangeError, too.
_LIMITS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The errors of ops that are themselves at fault; other errors are about memory, or about lost workers.
_OF_RUNNING = (
    *(tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError, tf.errors.NotFoundError),
    *(tf.errors.OutOfRangeError, tf.errors.UnimplementedError),
)


def variables_prefix(directory: str) -> str:
    """Returns the prefix of the variables of a SavedModel, for `tf.train.load_checkpoint` and `Saver.restore`."""
    return os.path.join(directory, VARIABLES_PREFIX)


def read_bytes(path: str) -> bytes:
    """Returns the content of a file with a graph; raises ValueError, without the file's name, for a path that is no
    file (a pipe would be waited for) or a file that is too large for protobuf.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError('it is no file')
    size = os.path.getsize(path)
    if size > _LARGEST_GRAPH:
        raise ValueError('it has {}, and a graph at most {}'.format(readable_size(size), readable_size(_LARGEST_GRAPH)))
    with open(path, 'rb') as file:
        return file.read()


def parse(path: str) -> Any:
    """Returns the SavedModel in a file, binary or text; raises ValueError where it is damaged."""
    try:
        content = read_bytes(path)
        if path.endswith('.pbtxt'):
            return text_format.Parse(content.decode('utf-8'), SavedModel())
        return parse_message(content, SavedModel)
    except (ValueError, text_format.ParseError, RecursionError) as error:
        raise ValueError('{} is damaged: {}. Write or copy it again.'.format(path, error)) from error


@contextlib.contextmanager
def explain_graph_damage(directory: str, what: str) -> Iterator[None]:
    """Raises ValueError where the graph of a SavedModel is damaged in a way that only shows when it is used.

    TensorFlow and protobuf raise errors of many kinds then: KeyError, TypeError, DecodeError, UnicodeDecodeError, ...
    """
    try:
        yield
    except (OSError, MemoryError, ImportError):
        raise
    except Exception as error:
        # Errors of this library name the directory, with or without repr.
        if isinstance(error, ValueError) and any(name in str(error) for name in (directory, repr(directory))):
            raise
        reason = (str(error).splitlines() or [''])[0]
        raise ValueError(
            '{} SavedModel {!r} is damaged: {}: {:.500}. Write or copy it again.'.format(
                what, directory, type(error).__name__, reason.rstrip('.')
            )
        ) from error


def read_meta_graph(
    directory: str, tags: Sequence[str], what: str = 'model', trust: bool = False, or_more: bool = False
) -> MetaGraphDef:
    """Returns the MetaGraphDef of a SavedModel directory with exactly these tags.

    what: what messages call it, for example 'encoder'. trust: take a graph whatever ops it holds. or_more: if no graph
    has exactly these tags, take one that has others besides, if there is only one such.

    Raises FileNotFoundError where there is no such directory, ValueError where it is no SavedModel, is damaged, has no
    graph with these tags, lacks its variables, or holds ops that a network does not need (see `check_ops`).
    """
    check_flags(trust=trust)
    directory = os.fspath(directory)
    meta_graphs = parse(find_graph(directory, what)).meta_graphs
    fitting = [graph for graph in meta_graphs if set(graph.meta_info_def.tags) == set(tags)][:1]
    if not fitting and or_more:
        fitting = [graph for graph in meta_graphs if set(graph.meta_info_def.tags) > set(tags)]
    if len(fitting) == 1:
        _check_variables(directory, what)
        if not trust:
            name = '{} SavedModel {!r}'.format(what, directory)
            check_ops(fitting[0].graph_def, name, saver=True, image_files=tuple(tags) == SERVING_TAGS)
        make_portable(fitting[0].graph_def)
        return fitting[0]
    found = [sorted(meta_graph.meta_info_def.tags) for meta_graph in meta_graphs]
    raise ValueError(
        '{} SavedModel {!r} has no graph with the tags {}; it has {}. {}'.format(
            what, directory, sorted(tags), found or 'none', _tag_hint(directory, found, what)
        )
    )


def files_of_saved_model(directory: str) -> List[str]:
    """Returns the files of a SavedModel that are read: its graph and its variables."""
    graph_file = find_graph_file(directory)
    return ([] if graph_file is None else [graph_file]) + checkpoint_files(variables_prefix(directory))


def check_can_copy(directory: str, name: str) -> None:
    """Raises ValueError where a file of a model that is to be copied is a link: those of somebody else's model could
    lead to any file of this machine, or to a large one again and again.
    """
    path, place = os.path.join(directory, name), os.path.join(os.path.realpath(directory), name)
    if os.path.realpath(path) != place:
        raise ValueError(
            '{} is a link to {}, and only files of the model itself are copied. If that file belongs to it, copy the '
            'folder with what its links lead to, and take the copy: cp -rL {} COPY'.format(
                path, os.path.realpath(path), shlex.quote(os.fspath(directory))
            )
        )


def copy_file(directory: str, name: str, folder: str) -> None:
    """Copies a file of a model to the same place in another folder. Raises ValueError as `check_can_copy`."""
    check_can_copy(directory, name)
    shutil.copyfile(os.path.join(directory, name), os.path.join(folder, name))


def _tag_hint(directory: str, found: List[List[str]], what: str) -> str:
    if not found:
        return 'It is empty: write or copy it again.'
    if what == 'encoder' and any('vgg16' in tags for tags in found):
        return 'Save it again with one graph of the tag vgg16.'
    if any('vgg16' in tags for tags in found):
        return 'This is a VGG-16 encoder: pass it as vgg16_dir.'
    if ['serve'] in found and not os.path.isfile(os.path.join(directory, DESCRIPTION_FILE)):
        return 'Another program made it. ' + (
            "Of a VGG-16 in Keras save the weights, model.save_weights('vgg16.weights.h5'), for fcn8s vgg16 --weights."
            if what == 'encoder'
            else 'Of a trained FCN-8s fcn8s import-fcn8s may read the checkpoint.'
        )
    if ['serve'] in found:
        return 'This is an export, for prediction only: go on from the model that it was made of.'
    if ['default'] in found and what == 'model':
        return "Pass tags=['default'], or leave tags out."
    if ['default'] in found:
        return 'This looks like a saved FCN-8s: pass it as model_load_dir.'
    if what == 'encoder':
        return "Save it again with tags=['vgg16'], or pass the directory of an encoder."
    return 'Open it with FCN8s(model_load_dir=..., tags=[...]); for anything else, save it from there without tags.'


def _check_variables(directory: str, what: str) -> None:
    index = variables_prefix(directory) + '.index'
    if not os.path.isfile(index):
        raise ValueError(
            '{} SavedModel {!r} has no variables: {} is missing. Copy the variables/ folder that belongs to it.'.format(
                what, directory, index
            )
        )


def checkpoint_shapes(prefix: str) -> Dict[str, List[int]]:
    """Returns the shape of each variable in a checkpoint by name; raises ValueError if it is missing or unreadable."""
    with checkpoint_reader(prefix) as reader:
        return reader.get_variable_to_shape_map()


def is_table(path: str) -> bool:
    """Tells whether a path is a checkpoint of format 1, as TensorFlow wrote them before 0.12, or an index of format
    2."""
    if not os.path.isfile(path):
        return False
    with open(path, 'rb') as file:
        file.seek(max(0, os.path.getsize(path) - len(_TABLE_MAGIC)))
        return file.read() == _TABLE_MAGIC


def find_shards(path: str) -> Optional[str]:
    """Returns the prefix of a checkpoint of format 1 in parts; None if `path` is no such checkpoint.

    `path` may be that prefix (NAME-?????-of-00002), NAME, or one of its parts.

    Raises ValueError where a part is missing, or there are several such checkpoints of that NAME.
    """
    folder, name = os.path.split(path)
    match = _SHARD.match(name)
    if not os.path.isdir(folder or '.') or (match is None and os.path.exists(path)):
        return None
    stem, count = (match.group(1), match.group(3)) if match else (name, None)
    found: Dict[str, List[int]] = {}
    for entry in os.listdir(folder or '.'):
        part = _SHARD.match(entry)
        if part and part.group(1) == stem and count in (None, part.group(3)) and is_table(os.path.join(folder, entry)):
            found.setdefault(part.group(3), []).append(int(part.group(2)))
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(
            '{!r} stands for checkpoints of {} parts. Pass a part of one.'.format(path, ' and '.join(sorted(found)))
        )
    ((count, numbers),) = found.items()
    missing = sorted(set(range(int(count))) - set(numbers))
    if missing:
        raise ValueError(
            'of the checkpoint {!r} {} of {} parts are missing, the first: {}-{:05d}-of-{}. Copy it whole.'.format(
                os.path.join(folder, stem), len(missing), int(count), stem, missing[0], count
            )
        )
    return os.path.join(folder, '{}-?????-of-{}'.format(stem, count))


def checkpoint_files(prefix: str) -> List[str]:
    """Returns the files of the checkpoint with this prefix, in order of their names."""
    if os.path.isfile(prefix):
        return [prefix]
    folder, name = os.path.split(prefix)
    entries = sorted(os.listdir(folder or '.'))
    sharded = _SHARD.match(name)
    if sharded:
        kept = [entry for entry in entries if entry.startswith(sharded.group(1) + '-') and _SHARD.match(entry)]
        kept = [entry for entry in kept if entry.endswith('-of-' + sharded.group(3))]
    else:
        kept = [entry for entry in entries if entry == name + '.index' or entry.startswith(name + '.data-')]
    return [os.path.join(folder, entry) for entry in kept]


@contextlib.contextmanager
def checkpoint_reader(prefix: str) -> Iterator[Any]:
    """Opens a reader of a checkpoint, valid inside the context; raises ValueError where it is missing or damaged."""
    check_files(prefix)
    with plain_prefix(prefix) as plain, explain_read_errors(prefix, plain):
        yield tf.train.load_checkpoint(plain)


def is_finite(value: np.ndarray) -> bool:
    """Tells whether an array holds neither NaN nor infinity."""
    # The extremes of an array are NaN if one value is; a mask of all values would take memory.
    return value.dtype.kind != 'f' or not value.size or bool(np.isfinite([value.min(), value.max()]).all())


def check_finite(name: str, value: Any, prefix: str) -> None:
    """Raises ValueError where a variable of the checkpoint `prefix` holds NaN or infinity; value: numpy.ndarray."""
    if not is_finite(value):
        raise ValueError(
            'the variables {!r} hold NaN or infinite values in {}: they are damaged, or of a training that diverged. '
            'Take an earlier checkpoint, or write them anew.'.format(prefix, name)
        )


def check_files(prefix: str) -> None:
    """Raises ValueError where a part of a checkpoint is no file: TensorFlow would wait for a pipe's writer, and read a
    device without end.
    """
    others = [path for path in checkpoint_files(prefix) if not os.path.isfile(path)]
    if others:
        raise ValueError(
            'the variables {!r} are damaged: {} is no file. Copy the directory again.'.format(prefix, others[0])
        )


@contextlib.contextmanager
def explain_read_errors(prefix: str, plain: str, kinds: Tuple[Any, ...] = _OF_READERS) -> Iterator[None]:
    """Raises ValueError, in one line, where TensorFlow cannot read a checkpoint.

    plain: the link to `prefix` that TensorFlow is given. kinds: the errors that reading may raise.
    """
    try:
        yield
    except kinds as error:
        raise ValueError(
            'the variables {!r} are missing or damaged or do not fit the graph: {}. Copy the directory again, or write '
            'it anew.'.format(prefix, _reason_in(str(getattr(error, 'message', error))).replace(plain, prefix))
        ) from error


@contextlib.contextmanager
def explain_run_errors(directory: str) -> Iterator[None]:
    """Raises ValueError, in one line, where a graph that somebody else may have made cannot be run.

    TensorFlow's own message has dozens of lines about the graph.
    """
    try:
        yield
    except _OF_RUNNING as error:
        raise ValueError(
            'the graph of {!r} cannot be run: {:.500}. If it could before, copy it again; else save it anew.'.format(
                directory, _reason_in(error.message)
            )
        ) from error


def _reason_in(message: str) -> str:
    """The line of TensorFlow's message that says what happened; dozens of others are about the graph.

    Those come after it, and from TensorFlow 2.10 on also before it, in one part per op.
    """
    reason = re.split(r"^Node: '.*'$", message, flags=re.MULTILINE)[-1].strip()
    return reason.splitlines()[0].rstrip('. ') if reason else 'TensorFlow does not say why'


def save_variables(saver: Any, session: Session, prefix: str) -> None:
    """Writes a checkpoint into an existing directory; call with the saver's graph as default. Raises OSError."""
    with plain_prefix(prefix) as plain, explain_write_errors(plain, prefix):
        saver.save(session, plain, write_meta_graph=False, write_state=False)


@contextlib.contextmanager
def explain_write_errors(path: str, shown: str) -> Iterator[None]:
    """Raises OSError, in one line, where TensorFlow cannot write to a directory or a checkpoint prefix.

    If a limit of the disk is the reason, it is the system's error, which `atomic_directory` and `temporary_directory`
    explain. Errors of reading pass unchanged.

    shown: what messages call it, which `path` may be a link to.
    """
    try:
        yield
    except tf.errors.OpError as error:
        limit = next((number for number in _LIMITS if os.strerror(number) in error.message), None)
        if limit is not None:
            raise OSError(limit, os.strerror(limit), shown) from error
        if isinstance(error, OF_READING_OPS) and path not in error.message:
            raise
        # TensorFlow's message also describes the graph; the line with the file's name says what happened.
        reason = next((line for line in error.message.splitlines() if path in line), _reason_in(error.message))
        raise OSError(
            'the variables could not be written: {}. Free some space or choose another directory.'.format(
                reason.strip().replace(path, shown)
            )
        ) from error


def write_graph(directory: str, meta_graph: MetaGraphDef) -> str:
    """Writes `saved_model.pb` with this one MetaGraphDef into an existing directory; returns its path."""
    saved_model = SavedModel(saved_model_schema_version=SCHEMA_VERSION)
    saved_model.meta_graphs.add().CopyFrom(meta_graph)
    make_portable(saved_model.meta_graphs[0].graph_def)
    path = os.path.join(directory, SAVED_MODEL_FILE)
    with open(path, 'wb') as file:
        file.write(saved_model.SerializeToString())
    return path
