"""Packing: a run or a saved FCN-8s as one zip to pass on, the same bytes every time."""

import contextlib
import hashlib
import os
import zipfile
from typing import Any, Dict, List, Optional

from fcn8s.backend import tf
from fcn8s.graph.assembly import GLOBAL_STEP
from fcn8s.saving import saved_models
from fcn8s.saving.card import write_card
from fcn8s.saving.descriptions import DEFAULT_TAGS, read_description
from fcn8s.saving.encoder_files import variable_names
from fcn8s.saving.packed import CARD_FILE, MODEL_FILES, SUMS_FILE, check_new_zip, is_packed, is_permitted
from fcn8s.saving.paths import plain_prefix
from fcn8s.saving.runs import CONFIG_FILE, is_run, open_current
from helpers.files import NO_ZIP_TIME, atomic_path, sha256_of, temporary_directory
from helpers.flags import check_flags
from helpers.json_files import LARGEST, is_share, read_json

# The largest file of scores in bytes: with the scores of each of 50,000 images, 150 classes.
_LARGEST_SCORES = 2**28
# At most this many characters of a card are read: a table of 65,535 classes comes near this.
_LARGEST_CARD = 2**23


def pack(
    model: str,
    out: str,
    licence: Optional[str] = None,
    scores: Optional[str] = None,
    with_optimizer: bool = False,
    trust: bool = False,
) -> str:
    """Writes a run's best checkpoint, or a saved FCN-8s, as one zip, and returns its path.

    Args:
        model: A run directory, a saved FCN-8s, or a packed one.
        out: The file to write; must not exist.
        licence: For the card. With None the card says that none is stated, or what a packed network's card states.
        scores: A file that `fcn8s evaluate --json` wrote; its scores and intervals go onto the card. None takes over
            those on the card of a packed network.
        with_optimizer: Whether to include the optimiser's state, which checkpoints of runs have; with Adam the zip is
            three times as large.
        trust: Whether to pack a graph with ops that a network does not need. Nothing of it is run here; whoever opens
            the zip has to trust it too.

    Raises:
        ValueError, FileNotFoundError, FileExistsError, OSError: Before the file appears.
    """
    check_flags(with_optimizer=with_optimizer, trust=trust)
    check_new_zip(out)
    evaluation = None if scores is None else _read_scores(scores)
    open_current(model, lambda directory: _pack(directory, model, out, licence, evaluation, with_optimizer, trust))
    return out


def _pack(
    directory: str,
    model: str,
    out: str,
    licence: Optional[str],
    evaluation: Optional[Dict[str, Any]],
    with_optimizer: bool,
    trust: bool,
) -> None:
    """directory: the saved FCN-8s that `model` stands for. evaluation: the scores for the card."""
    described = read_description(directory)
    with temporary_directory('fcn8s-pack') as folder:
        places = _copy_model(directory, folder, with_optimizer, trust)
        if is_run(model):
            saved_models.copy_file(model, CONFIG_FILE, folder)
        config = _read_json(os.path.join(folder, CONFIG_FILE))
        card = write_card(described, config, evaluation, licence, _card_of(model, directory))
        with open(os.path.join(folder, CARD_FILE), 'w', encoding='utf-8', errors='backslashreplace') as file:
            file.write(card)
        _zip(folder, places, out)


def _card_of(model: str, directory: str) -> str:
    """The card that a packed network came with; '' for other models, where a README.md is about something else."""
    path = os.path.join(directory, CARD_FILE)
    if not is_packed(model) or not os.path.isfile(path):
        return ''
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read(_LARGEST_CARD)


def _copy_model(directory: str, folder: str, with_optimizer: bool, trust: bool) -> Dict[str, str]:
    """Copies the files of a saved FCN-8s, without the optimiser's state unless that is asked for. Variables that stay
    as they are, the largest part of a network, are not copied: returns where they lie, by their name in the zip.
    """
    for name in MODEL_FILES:
        if os.path.isfile(os.path.join(directory, name)):
            saved_models.copy_file(directory, name, folder)
    meta_graph = saved_models.read_meta_graph(directory, DEFAULT_TAGS, trust=trust)
    prefix = saved_models.variables_prefix(directory)
    stored = saved_models.checkpoint_shapes(prefix)
    weights = [name for name in variable_names(meta_graph) + [GLOBAL_STEP] if name in stored]
    if with_optimizer and set(weights) == set(stored):
        raise ValueError(
            "{} holds no optimiser's state to pack; checkpoints of runs do. Leave --with-optimizer (with_optimizer) "
            'out.'.format(directory)
        )
    if with_optimizer or set(weights) == set(stored):
        names = [name for name in os.listdir(os.path.dirname(prefix)) if is_permitted('variables/' + name)]
        for name in names:
            saved_models.check_can_copy(directory, os.path.join('variables', name))
        return {'variables/' + name: os.path.join(directory, 'variables', name) for name in names}
    os.mkdir(os.path.join(folder, 'variables'))
    _copy_variables(prefix, sorted(weights), saved_models.variables_prefix(folder))
    return {}


def _copy_variables(prefix: str, names: List[str], target: str) -> None:
    """Writes some variables of a checkpoint as a checkpoint of their own."""
    with saved_models.checkpoint_reader(prefix) as reader:
        types = reader.get_variable_to_dtype_map()
    slices = [''] * len(names)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(tf.Session(graph=tf.Graph()))
        source, plain = (stack.enter_context(plain_prefix(path)) for path in (prefix, target))
        stack.enter_context(saved_models.explain_read_errors(prefix, source, saved_models.OF_READING_OPS))
        stack.enter_context(saved_models.explain_write_errors(plain, target))
        with session.graph.as_default():
            values = tf.raw_ops.RestoreV2(
                prefix=source, tensor_names=names, shape_and_slices=slices, dtypes=[types[name] for name in names]
            )
            save = tf.raw_ops.SaveV2(prefix=plain, tensor_names=names, shape_and_slices=slices, tensors=values)
        session.run(save)


def _read_json(path: str, largest: int = LARGEST) -> Optional[Dict[str, Any]]:
    if not os.path.isfile(path):
        return None
    try:
        content = read_json(path, largest)
    except ValueError as error:
        raise ValueError('{} is damaged: {}. Write or copy it again.'.format(path, error)) from error
    return content if isinstance(content, dict) else None


def _read_scores(path: str) -> Dict[str, Any]:
    if not os.path.isfile(path):
        raise FileNotFoundError(
            'there are no scores at {!r}. Write them with: fcn8s evaluate RUN --json FILE'.format(path)
        )
    scores = _read_json(path, _LARGEST_SCORES)
    if scores is None or not is_share(scores.get('mean_iou')):
        raise ValueError('{} holds no scores; write them with: fcn8s evaluate RUN --json FILE'.format(path))
    return scores


def _zip(folder: str, places: Dict[str, str], out: str) -> None:
    """Zips the files of a folder, and those of `places`, by name."""
    places = dict(places)
    for parent, _, files in os.walk(folder):
        for path in (os.path.join(parent, name) for name in files):
            places[os.path.relpath(path, folder).replace(os.sep, '/')] = path
    sums = {name: sha256_of(places[name]) for name in sorted(places)}
    places[SUMS_FILE] = os.path.join(folder, SUMS_FILE)
    with open(places[SUMS_FILE], 'w', encoding='utf-8') as file:
        file.write(''.join('{}  {}\n'.format(digest, name) for name, digest in sums.items()))
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, 'w', zipfile.ZIP_STORED) as archive:
        for name in [SUMS_FILE, *sums]:
            member = zipfile.ZipInfo(name, NO_ZIP_TIME)
            member.create_system, member.external_attr = 3, 0o644 << 16  # the same bytes on every system
            digest = hashlib.sha256()
            with open(places[name], 'rb') as source, archive.open(member, 'w', force_zip64=True) as target:
                for chunk in iter(lambda: source.read(1 << 20), b''):
                    digest.update(chunk)
                    target.write(chunk)
            if name in sums and digest.hexdigest() != sums[name]:
                raise ValueError('{} was changed while it was packed. Pack the network again.'.format(places[name]))
