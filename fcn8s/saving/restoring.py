"""Putting stored variables into a session: all of them, or those that fit another network."""

import os
import re
import shlex
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import Session, Tensor, Variable, text_format, tf
from fcn8s.graph.assembly import NetworkTensors
from fcn8s.saving import saved_models
from fcn8s.saving.paths import plain_prefix
from fcn8s.saving.runs import is_own_run, resolve_model
from fcn8s.settings import ModelSettings
from helpers.aliases import PathLike
from helpers.files import path_of
from helpers.label_spaces import is_nameless
from helpers.tables import align_columns

_FILE_OF_CHECKPOINT = re.compile(r'\.(index|meta|data-\d{5}-of-\d{5})$')
# The file in which `tf.train.Saver` names its last checkpoint, and its largest size in bytes.
_STATE_FILE, _LARGEST_STATE = 'checkpoint', 2**20
LEFT_OUT = 'left out: this network has no such layer'
# Variables with more values, such as fc6 and fc7 of VGG-16, are not read twice.
_MOST_READ_TWICE = 2**22


class Fit(NamedTuple):
    """What `restore_fitting` did with one variable."""

    name: str
    outcome: str


def find_checkpoint(path: PathLike) -> str:
    """Returns the checkpoint prefix that `path` stands for: a prefix, one of its files, a directory written by
    `tf.train.Saver`, a SavedModel, or a run (its best checkpoint).

    Raises FileNotFoundError where there is none, ValueError where a directory holds several, or a run none yet.
    """
    path = path_of(path)
    prefix, hint = checkpoint_of(path), ''
    if prefix is not None:
        return prefix
    if is_state_file(path):
        path = os.path.dirname(path) or '.'
    if os.path.isfile(saved_models.variables_prefix(path) + '.index'):
        return saved_models.variables_prefix(path)
    if os.path.isdir(path):
        named = _named_in_state_file(os.path.join(path, _STATE_FILE))
        latest = os.path.join(path, os.path.basename(named.replace('\\', '/')))
        if checkpoint_of(latest) == latest:
            return latest
        hint = named and " Its file 'checkpoint' names {:.300}, which is not in this folder.".format(repr(named))
        found = sorted(name for name in os.listdir(path) if _is_main_file(os.path.join(path, name)))
        prefixes = {checkpoint_of(os.path.join(path, name)) for name in found}
        if len(prefixes) == 1:
            return str(prefixes.pop())
        if found:
            raise ValueError(
                '{!r} holds several checkpoints: {}.{} Pass one of them.'.format(path, ', '.join(found), hint)
            )
    if is_own_run(path):
        return saved_models.variables_prefix(resolve_model(path))
    raise FileNotFoundError(
        'there are no variables at {!r}.{} Pass a checkpoint prefix (NAME of NAME.index), a run, or a directory '
        'with a checkpoint or a SavedModel in it.'.format(path, hint)
    )


def _named_in_state_file(path: str) -> str:
    """The last checkpoint in a state file, whose folder may have been moved or be somebody else's; '' if it says
    none."""
    if not os.path.isfile(path) or os.path.getsize(path) > _LARGEST_STATE:
        return ''
    state = tf.train.generate_checkpoint_state_proto(os.curdir, os.curdir)  # its class has no public name
    state.Clear()
    try:
        with open(path, encoding='utf-8') as file:
            text_format.Parse(file.read(_LARGEST_STATE), state)
    except (text_format.ParseError, ValueError, OSError):
        return ''
    return str(state.model_checkpoint_path)


def is_state_file(path: str) -> bool:
    """Tells whether a path is the file to which `tf.train.Saver` writes the name of its last checkpoint."""
    return os.path.basename(path) == _STATE_FILE and os.path.isfile(path) and checkpoint_of(path) is None


def checkpoint_of(path: str) -> Optional[str]:
    """Returns the prefix of the checkpoint that `path` is, or is a file of; None where it is neither.

    For format 1, which TensorFlow wrote before 0.12, the single file is the prefix; for one in parts see
    `saved_models.find_shards`, which raises ValueError where a part is missing.
    """
    prefix = _FILE_OF_CHECKPOINT.sub('', path)
    if os.path.isfile(path + '.index'):
        return path
    if prefix != path and os.path.isfile(path) and os.path.isfile(prefix + '.index'):
        return prefix
    shards = saved_models.find_shards(path)
    if shards is not None:
        return shards
    return path if saved_models.is_table(path) and prefix == path else None


def _is_main_file(path: str) -> bool:
    """Whether a file is the index of a checkpoint, even a damaged one, or a checkpoint of format 1."""
    return path.endswith('.index') or saved_models.is_table(path)


class Savers:
    """The savers and sums of one graph. Each adds nodes to it, so none is made twice for the same variables."""

    def __init__(self) -> None:
        self._savers: Dict[Tuple[str, ...], Any] = {}
        self._sums: Dict[str, Tensor] = {}

    def of(self, variables: Sequence[Variable]) -> Any:
        """Returns the `tf.train.Saver` of these variables; call with their graph as default."""
        names = tuple(variable.op.name for variable in variables)
        if names not in self._savers:
            self._savers[names] = tf.train.Saver(list(variables), max_to_keep=None)
        return self._savers[names]

    def sum_of(self, variable: Variable) -> Tensor:
        """Returns the sum of all values of a variable; call with its graph as default."""
        name = variable.op.name
        if name not in self._sums:
            self._sums[name] = tf.reduce_sum(variable)
        return self._sums[name]


def restore(session: Session, variables: Sequence[Variable], prefix: str, savers: Optional[Savers] = None) -> None:
    """Restores exactly these variables; call with their graph as default.

    savers: those of the graph, if it is restored more than once.

    Raises ValueError, before any variable is restored, that names those that are missing or of another shape, or one
    that holds NaN or infinity. In large variables (fc6 and fc7 of VGG-16) NaN is only found after restoring.
    """
    with saved_models.checkpoint_reader(prefix) as reader:
        _check_shapes(variables, prefix, reader.get_variable_to_shape_map())
        _check_finite(variables, prefix, reader)
    _restore_finite(session, variables, prefix, savers or Savers())


def _check_shapes(variables: Sequence[Variable], prefix: str, stored: Dict[str, Any]) -> None:
    wrong = []
    for variable in variables:
        name, shape = variable.op.name, variable.shape.as_list()
        if name not in stored:
            wrong.append('{} is missing'.format(name))
        elif list(stored[name]) != shape:
            wrong.append('{} is {} and not {}'.format(name, list(stored[name]), shape))
    if wrong:
        raise ValueError(
            'the variables in {!r} do not fit this network: {}. Load them into a network with the same encoder, '
            'classes and variant, or start from them with fine_tune_from.{}'.format(
                prefix, _shorten(wrong), _import_hint(prefix, stored)
            )
        )


def _check_finite(variables: Sequence[Variable], prefix: str, reader: Any) -> None:
    """ReLUs turn NaN into 0: a network with such weights would predict, but not learn, without an error.

    The largest variables are not read for this check, which would take as long as restoring: see `_restore_finite`.
    """
    for variable in variables:
        if not _is_large(variable):
            saved_models.check_finite(variable.op.name, reader.get_tensor(variable.op.name), prefix)


def _is_large(variable: Variable) -> bool:
    return variable.shape.num_elements() > _MOST_READ_TWICE


def _restore_finite(session: Session, variables: Sequence[Variable], prefix: str, savers: Savers) -> None:
    """Restores; raises ValueError where a large variable then holds NaN or infinity, which its sum shows."""
    _restore_by_saver(session, variables, prefix, savers)
    large = [variable for variable in variables if _is_large(variable)]
    for variable, total in zip(large, session.run([savers.sum_of(variable) for variable in large])):
        saved_models.check_finite(variable.op.name, total, prefix)


def _restore_by_saver(session: Session, variables: Sequence[Variable], prefix: str, savers: Optional[Savers]) -> None:
    if not variables:
        return
    saver = (savers or Savers()).of(variables)
    kinds = (tf.errors.OpError, ValueError)  # ValueError: the checkpoint is gone
    with plain_prefix(prefix) as plain, saved_models.explain_read_errors(prefix, plain, kinds):
        saver.restore(session, plain)


def _import_hint(prefix: str, stored: Dict[str, Any]) -> str:
    """The command to type if the variables look like those of an FCN that another program trained."""
    if any(name.startswith('decoder/') for name in stored) or not any('conv1_1/' in name for name in stored):
        return ''
    return ' If another program trained them, take them over with: fcn8s import-fcn8s {} OUT'.format(
        shlex.quote(prefix)
    )


def _shorten(entries: List[str]) -> str:
    shown = '; '.join(entries[:6])
    return shown if len(entries) <= 6 else '{}; and {} more'.format(shown, len(entries) - 6)


def restore_present(
    session: Session, groups: Sequence[Sequence[Variable]], prefix: str, savers: Optional[Savers] = None
) -> Tuple[Any, ...]:
    """Restores the groups whose variables the checkpoint holds all, in the same shapes; returns the other variables."""
    stored = saved_models.checkpoint_shapes(prefix)
    present: List[Any] = []
    rest: List[Any] = []
    for group in groups:
        fits = all(list(stored.get(v.op.name, [None])) == v.shape.as_list() for v in group)
        (present if fits else rest).extend(group)
    _restore_by_saver(session, present, prefix, savers)
    return tuple(rest)


def restore_fitting(
    session: Session,
    network: NetworkTensors,
    prefix: str,
    stored_settings: ModelSettings,
    savers: Savers,
) -> List[Fit]:
    """Starts a network from another one: everything that fits is taken, class by class in the decoder.

    The weights of a class go to the class of the same name; a score layer or class that the other network does not
    have keeps its initial values. Returns a `Fit` for each variable of this network, and one for each variable of the
    other's decoder that this network does not have.
    """
    with saved_models.checkpoint_reader(prefix) as reader:
        fits, whole = _restore_by_class(session, network, stored_settings, reader, prefix)
        _check_finite(whole, prefix, reader)
    _restore_finite(session, whole, prefix, savers)
    return fits


def _restore_by_class(
    session: Session, network: NetworkTensors, stored_settings: ModelSettings, reader: Any, prefix: str
) -> Tuple[List[Fit], List[Any]]:
    """Loads what fits class by class; returns all outcomes, and the variables that are still to be restored whole."""
    stored = reader.get_variable_to_shape_map()
    pairs = _class_pairs(stored_settings, network.settings)
    same_classes = len(pairs) == stored_settings.num_classes == network.settings.num_classes and all(
        a == b for a, b in pairs
    )
    encoder = {v.op.name for v in network.encoder.variables}
    fits: List[Fit] = []
    whole: List[Any] = []
    for variable in network.weights:
        name, shape = variable.op.name, variable.shape.as_list()
        if name not in stored:
            fits.append(Fit(name, 'new: not in the other network'))
        elif name in encoder or same_classes:
            fits.append(_fit_whole(variable, stored[name], shape, whole))
        else:
            value = session.run(variable)
            copied = copy_classes(reader.get_tensor(name), value, pairs)
            if copied is None:
                fits.append(Fit(name, 'new: {} there, {} here'.format(list(stored[name]), shape)))
            else:
                saved_models.check_finite(name, copied, prefix)
                feed_initializer(session, variable, copied)
                fits.append(Fit(name, 'loaded for {} of {} classes'.format(len(pairs), network.settings.num_classes)))
    here = {variable.op.name for variable in network.weights}
    left_out = sorted(name for name in stored if name.startswith('decoder/') and name not in here)
    return fits + [Fit(name, LEFT_OUT) for name in left_out], whole


def feed_initializer(session: Session, variable: Variable, value: np.ndarray) -> None:
    """Sets a variable by feeding its initialiser: no node is added, and the value does not enter the graph as a
    constant, where it would meet protobuf's limit of 2 GB.
    """
    session.run(variable.initializer, {variable.initializer.inputs[1]: value})


def _fit_whole(variable: Variable, stored_shape: Sequence[int], shape: List[int], whole: List[Any]) -> Fit:
    if list(stored_shape) != shape:
        return Fit(variable.op.name, 'new: {} there, {} here'.format(list(stored_shape), shape))
    whole.append(variable)
    return Fit(variable.op.name, 'loaded')


def _class_pairs(stored: ModelSettings, wanted: ModelSettings) -> List[Tuple[int, int]]:
    """(stored class ID, wanted class ID) of the classes that have the same name in both, upper and lower case alike.

    Where several classes have one name, the first is paired with the first, the second with the second. Default names
    say nothing: such classes are paired only if there are as many in both.
    """
    if _are_nameless(stored, wanted) and stored.num_classes != wanted.num_classes:
        return []
    ids = {name: class_id for class_id, name in enumerate(_distinct(stored.label_space.class_names))}
    names = _distinct(wanted.label_space.class_names)
    return [(ids[name], class_id) for class_id, name in enumerate(names) if name in ids]


def _are_nameless(stored: ModelSettings, wanted: ModelSettings) -> bool:
    return is_nameless(stored.label_space) and is_nameless(wanted.label_space)


def _distinct(names: Sequence[str]) -> List[Tuple[str, int]]:
    """Each name in lower case, and how many equal ones come before it."""
    lower = [name.lower() for name in names]
    return [(name, lower[:class_id].count(name)) for class_id, name in enumerate(lower)]


def copy_classes(stored: np.ndarray, value: np.ndarray, pairs: Sequence[Tuple[int, int]]) -> Optional[np.ndarray]:
    """Returns `value` with the weights of the paired classes taken from `stored`; None if the shapes differ in more
    than the number of classes.

    Biases [C], score kernels [1, 1, channels, C] and upsampling kernels [k, k, C, C] are told apart by the axes
    in which the class counts can differ: the last, and for square kernels the last two.
    """
    if stored.ndim != value.ndim:
        return None
    upsampling = value.ndim == 4 and value.shape[0] > 1
    if stored.shape[: -2 if upsampling else -1] != value.shape[: -2 if upsampling else -1]:
        return None
    old, new = ([pair[side] for pair in pairs] for side in (0, 1))
    copied = value.copy()
    if upsampling:
        copied[(Ellipsis,) + np.ix_(new, new)] = stored[(Ellipsis,) + np.ix_(old, old)]
    else:
        copied[..., new] = stored[..., old]
    return copied


def format_fits(fits: Sequence[Fit], stored: ModelSettings, wanted: ModelSettings) -> str:
    """Returns a table of what did not load whole, a count of what did, and the classes that have no partner."""
    rest = [fit for fit in fits if fit.outcome != 'loaded']
    num_here = sum(fit.outcome != LEFT_OUT for fit in fits)
    lines = ['{} of {} variables loaded as they are'.format(len(fits) - len(rest), num_here)]
    lines += ['  ' + line for line in align_columns([(fit.name, fit.outcome) for fit in rest], left=(0, 1))]
    pairs = _class_pairs(stored, wanted)
    if _are_nameless(stored, wanted):
        lines.append('  classes without names: {}'.format('taken over by number' if pairs else 'none is taken over'))
    for side, what, settings in ((1, 'start anew', wanted), (0, 'are left behind', stored)):
        paired = {pair[side] for pair in pairs}
        names = [name for class_id, name in enumerate(settings.label_space.class_names) if class_id not in paired]
        if names:
            lines.append('  classes that {}: {}'.format(what, ', '.join(names)))
    return '\n'.join(lines)
