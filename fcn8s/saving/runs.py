"""The run directory: what a training run leaves behind, readable at any moment, also after a kill.

runs/NAME/config.json             every setting, library versions, dataset fingerprint, seed
runs/NAME/checkpoints/            see fcn8s.saving.checkpoints
runs/NAME/events/                 TensorBoard
runs/NAME/metrics.jsonl           one line per epoch
runs/NAME/report.html             see fcn8s.report
runs/NAME/.lock                   see helpers.process.locks; there is one in checkpoints, too
"""

import os
import re
import shlex
from typing import Any, Callable, ContextManager, Dict, List, NamedTuple, Optional, Tuple, TypeVar

from fcn8s.saving import metrics
from fcn8s.saving.checkpoints import Checkpoints, step_of
from fcn8s.saving.descriptions import (
    DESCRIPTION_FILE,
    GRAPH_FILES,
    SAVED_MODEL_FILE,
    how_to_import,
    what_a_file_is,
)
from fcn8s.saving.packed import is_packed, name_zips, unpack
from helpers.aliases import PathLike
from helpers.counted import counted, join_and_count
from helpers.files import (
    TEMPORARY_PATTERN,
    atomic_write_json,
    check_can_make,
    explain_os_errors,
    is_below,
    path_of,
    to_json,
)
from helpers.json_files import is_count, is_number, read_json
from helpers.process.locks import LOCK_FILE, directory_locked

Opened = TypeVar('Opened')

CONFIG_FILE = 'config.json'
METRICS_FILE = 'metrics.jsonl'
REPORT_FILE = 'report.html'
# Tables in a config.json that a training wrote; the config.json of other programs has none of them.
_OWN_TABLES = ('versions', 'command', 'training')
# Entries of a config.json by which other programs are recognised. The first that is there counts.
_OTHER_PROGRAMS = (
    ('_diffusers_version', 'diffusers'),
    ('architectures', 'Hugging Face Transformers'),
    ('model_type', 'Hugging Face Transformers'),
    ('transformers_version', 'Hugging Face Transformers'),
    ('class_name', 'Keras'),
)
_ENCODER = (
    'Its graph has the tag of an encoder: a new network is built on one with FCN8s(vgg16_dir={!r}, num_classes=...).'
)
_COPY_AGAIN = 'Copy it again from where the network was trained.'
_LARGEST_GRAPH = 1 << 26  # bytes that are searched for that tag; the graph of an encoder has less than a megabyte
# The names that `helpers.files` gives a file of a run while it is being written.
_UNFINISHED = re.compile(r'^\.(config|metrics|report)\.' + TEMPORARY_PATTERN + r'\.(json|jsonl|html)$')


class Run(NamedTuple):
    """The places inside a run directory."""

    directory: str

    @property
    def config_path(self) -> str:
        """The path of its settings."""
        return os.path.join(self.directory, CONFIG_FILE)

    @property
    def events_dir(self) -> str:
        """The directory of TensorBoard's event files."""
        return os.path.join(self.directory, 'events')

    @property
    def metrics_path(self) -> str:
        """The path of the losses and scores of its epochs."""
        return os.path.join(self.directory, METRICS_FILE)

    @property
    def report_path(self) -> str:
        """The path of the HTML page about it."""
        return os.path.join(self.directory, REPORT_FILE)

    @property
    def checkpoints_dir(self) -> str:
        """The directory of its checkpoints."""
        return os.path.join(self.directory, 'checkpoints')

    def last_checkpoint(self) -> Optional[str]:
        """Returns the directory of the newest checkpoint, or None."""
        return Checkpoints(self.checkpoints_dir).last()


def check_free(directory: PathLike) -> None:
    """Raises ValueError where the directory holds a run already, a file that a new run would write to, or a saved
    network, which would no longer open beside a run; where its name is empty; for `~`, as in `check_home`; for links,
    as in `check_no_links`; and OSError where nothing can be written.
    """
    run = Run(path_of(directory))
    if not run.directory:
        raise ValueError("the directory of the run is ''. Give it a name, or '.' for this folder.")
    check_can_make(directory)
    if os.path.isfile(run.config_path):
        _check_own(run, 'Choose another directory.')
    saved = set(os.listdir(run.checkpoints_dir)) - {LOCK_FILE} if os.path.isdir(run.checkpoints_dir) else set()
    if saved or os.path.lexists(run.config_path):
        raise ValueError(
            '{!r} holds a run already. Continue it with --resume (resume=True in Python), or choose another '
            'directory.'.format(run.directory)
        )
    if any(os.path.lexists(os.path.join(run.directory, name)) for name in GRAPH_FILES + (DESCRIPTION_FILE,)):
        raise ValueError(
            '{!r} holds an encoder or another saved network, which would no longer open beside a run. Choose another '
            'directory.'.format(run.directory)
        )
    for path, loss in (
        (run.metrics_path, 'behind which the epochs of this one would come'),
        (run.report_path, 'which the report of this one would replace'),
    ):
        if os.path.lexists(path):
            raise ValueError(
                '{!r} holds a {} of another run or program, {}. Choose another directory, or move the file '
                'away.'.format(run.directory, os.path.basename(path), loss)
            )
    check_no_links(run)


def make_directory(directory: PathLike) -> Run:
    """Makes the directory of a new run, still empty. Refuses a directory that holds a run already."""
    check_free(directory)
    run = Run(path_of(directory))
    with explain_os_errors(run.checkpoints_dir):
        os.makedirs(run.checkpoints_dir, exist_ok=True)
    return run


def create_run(directory: PathLike, config: Dict[str, Any]) -> Run:
    """Makes a new run directory and writes `config.json`. A directory that holds a run already is refused."""
    run = make_directory(directory)
    atomic_write_json(run.config_path, to_json(config))
    return run


def open_run(directory: PathLike) -> Run:
    """Returns an existing run directory.

    Raises FileNotFoundError where there is none, ValueError for a packed network, and where another program wrote its
    `config.json`.
    """
    run = Run(path_of(directory))
    if is_packed(run.directory):
        raise ValueError(
            '{!r} is a packed network, no run directory: a training cannot be resumed from it. A new one begins with '
            'its weights: --fine-tune-from (in Python, fine_tune_from).'.format(run.directory)
        )
    if not os.path.isfile(run.config_path):
        raise FileNotFoundError(
            '{!r} is no run directory: it holds no {}. Pass the directory that training wrote, '
            'for example runs/NAME.'.format(run.directory, CONFIG_FILE)
        )
    _check_own(run)
    return run


def check_no_links(run: Run) -> None:
    """Raises ValueError where a training would write or remove files outside of the run, to which a link leads, and
    where a file that it writes is a link at all.
    """
    pointers = Checkpoints(run.checkpoints_dir).pointer_paths()
    for path in [run.config_path, run.metrics_path, run.report_path] + pointers:
        _check_no_link(path, 'training would write', 'Put the file itself in its place.')
    for path in _links_in(run.checkpoints_dir) + _links_in(run.events_dir):
        if not is_below(path, run.directory):
            raise ValueError(
                '{} is a link to {!r}, outside of the run, and training would write and remove files there. Put what '
                'it leads to in its place. For another disk, put the whole run there, with a link to it here.'.format(
                    path, os.readlink(path)
                )
            )


def check_report_is_no_link(run: Run) -> None:
    """Raises ValueError where the report of a run is a link: it would be written to the link's target."""
    remedy = 'Choose another file with --out FILE (path in Python), or put the file itself in its place.'
    _check_no_link(run.report_path, 'the report would be written', remedy)


def _check_no_link(path: str, what: str, remedy: str) -> None:
    if os.path.islink(path):
        raise ValueError('{} is a link to {!r}, and {} there. {}'.format(path, os.readlink(path), what, remedy))


def _links_in(directory: str) -> List[str]:
    """The links in a directory, however deep, and the directory itself if it is one."""
    below = [os.path.join(parent, name) for parent, dirs, files in os.walk(directory) for name in dirs + files]
    return [path for path in [directory] + below if os.path.islink(path)]


def _check_own(run: Run, remedy: str = 'Pass the directory that training wrote, for example runs/NAME.') -> None:
    """Raises ValueError where another program wrote the `config.json`, as many do."""
    program = _other_program(run)
    if program is not None:
        raise ValueError(
            '{!r} is no run directory: its {} is of {}, not of fcn8s. {}'.format(
                run.directory, CONFIG_FILE, program, remedy
            )
        )


def _other_program(run: Run) -> Optional[str]:
    """The name of the other program that wrote the `config.json`; None for this library, or if it cannot be read."""
    try:
        config = read_config(run)
    except (ValueError, OSError):
        return None  # whoever needs a setting raises the error
    if any(isinstance(config.get(name), dict) for name in _OWN_TABLES):
        return None
    return next((name for entry, name in _OTHER_PROGRAMS if entry in config), 'another program')


def only_writer(run: Run) -> ContextManager[None]:
    """Keeps a second process from training the same run at the same time. The lock ends with the process.

    Raises ValueError where another process has the lock. There is no such protection on file systems without locks.
    """
    return _locked(run.directory, 'the run {!r} is being trained by another process.'.format(run.directory))


def only_saver(run: Run) -> ContextManager[None]:
    """Keeps a second process from saving a checkpoint in place of the run's writer, as a worker that fails does.

    Raises ValueError where another process has the lock. There is no such protection on file systems without locks.
    """
    with explain_os_errors(run.checkpoints_dir):
        os.makedirs(run.checkpoints_dir, exist_ok=True)
    return _locked(run.checkpoints_dir, 'a worker that failed is still saving the run {!r}.'.format(run.directory))


def _locked(path: str, message: str) -> ContextManager[None]:
    remedy = ' Wait for it, or stop it first. If it was on a machine that has died, remove {}.'
    return directory_locked(path, message + remedy.format(os.path.join(path, LOCK_FILE)))


def check_no_writer(run: Run) -> None:
    """Raises ValueError where another process trains the run, so that the message comes before a network is built."""
    with only_writer(run):
        pass


def has_writer(run: Run) -> bool:
    """Tells whether a process trains the run; only sees processes on the same disk. False without locks."""
    if not os.path.isdir(run.directory):
        return False
    try:
        with only_writer(run):
            return False
    except ValueError:
        return True


def remove_leftovers(run: Run) -> None:
    """Removes what a killed training of this run left half-written. Only the run's writer may call this."""
    for name in os.listdir(run.directory):
        if _UNFINISHED.match(name):
            os.unlink(os.path.join(run.directory, name))


def update_config(run: Run, changes: Dict[str, Any]) -> None:
    """Replaces entries of `config.json`; for the settings that a resumed run may change."""
    config = read_config(run)
    updated = to_json(dict(config, **changes))
    if updated != config:
        atomic_write_json(run.config_path, updated)


def read_config(run: Run) -> Dict[str, Any]:
    """Returns the settings of a run from its last start; raises ValueError where the file is damaged."""
    try:
        config = read_json(run.config_path)
    except ValueError as error:
        raise ValueError('{} is damaged: {}. {}'.format(run.config_path, error, _COPY_AGAIN)) from error
    if not isinstance(config, dict):
        raise ValueError(
            '{} is damaged: it holds a {}, no settings. {}'.format(run.config_path, type(config).__name__, _COPY_AGAIN)
        )
    return config


def _run_at(path: PathLike) -> Run:
    """The run at a path, or in a packed network, which may have the config.json of its run; there may be none."""
    return Run(unpack(path) if is_packed(path) else os.fspath(path))


def config_of(path: PathLike) -> Dict[str, Any]:
    """Returns the settings of the run at `path`, or of a packed network's run; empty where there is none.

    Raises ValueError where the file is damaged.
    """
    run = _run_at(path)
    return read_config(run) if os.path.isfile(run.config_path) else {}


def keep_prob(path: PathLike) -> Optional[float]:
    """Returns the dropout's keep probability in the run at `path`, or in a packed network's run; None if not known."""
    arguments = config_of(path).get('train')
    found = arguments.get('keep_prob') if isinstance(arguments, dict) else None
    if found is None:
        return None
    if not is_number(found) or not 0 < found <= 1:
        raise ValueError(
            '{!r}: config.json is damaged: keep_prob is {:.60}; it has to be above 0 and at most 1.'.format(
                path, repr(found)
            )
        )
    return float(found)


def input_size(path: PathLike) -> Optional[Tuple[int, int]]:
    """Returns the (height, width) at which the run at `path` was evaluated, as `fcn8s train --size` stored it; None
    without one, for runs from Python, whose size is not known, and if `path` is no run.

    An export keeps the size of its run, or the only size that its format takes.

    Without --crop, the run was also trained at that size; with it, on windows of the images in their size on disk.
    """
    run = _run_at(path)
    if not os.path.isfile(run.config_path):
        return _input_size_of_export(os.path.join(run.directory, DESCRIPTION_FILE))
    command = read_config(run).get('command')
    return _checked_size(command.get('size') if isinstance(command, dict) else None, run.config_path)


def _input_size_of_export(description_path: str) -> Optional[Tuple[int, int]]:
    try:
        size = read_json(description_path)['export']['input_size']
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no export; whoever opens it says what is wrong with it
    return _checked_size(size, description_path)


def _checked_size(size: Any, path: str) -> Optional[Tuple[int, int]]:
    if size is None:
        return None
    if not isinstance(size, list) or len(size) != 2 or not all(is_count(side, 1) for side in size):
        raise ValueError(
            '{} is damaged: the size of the images is {:.60}; it has to be [HEIGHT, WIDTH].'.format(path, repr(size))
        )
    return size[0], size[1]


def num_workers(run: Run) -> int:
    """Returns how many workers a run was started with; raises ValueError where its `config.json` is damaged."""
    workers = read_config(run).get('workers', 1)
    if not is_count(workers, 1):
        raise ValueError(
            '{} is damaged: workers is {:.60}; it has to be a whole number of at least 1.'.format(
                run.config_path, repr(workers)
            )
        )
    return int(workers)


def check_epochs_reach(run: Run, epochs: int, steps_per_epoch: int, spell: Callable[[str], str] = str) -> None:
    """Raises ValueError where a run has taken more steps than so many epochs have: it would be recorded as shorter than
    it was. spell: how messages call the arguments.
    """
    last = Checkpoints(run.checkpoints_dir).last()
    if last is not None and step_of(last) > epochs * steps_per_epoch:
        raise ValueError(
            '{} is {}, and the run {!r} is at step {}, with {} an epoch. Give {} or more to go on with it.'.format(
                spell('epochs'),
                epochs,
                run.directory,
                step_of(last),
                counted(steps_per_epoch, 'step'),
                -(-step_of(last) // steps_per_epoch),
            )
        )


def read_metrics(run: Run) -> List[Dict[str, Any]]:
    """Returns the epochs recorded so far.

    Lines that hold no epoch, as after a crash or a merge by hand, are left out, and a warning names them.
    """
    return metrics.read_records(run.metrics_path)


def append_metrics(run: Run, record: Dict[str, Any]) -> None:
    """Appends the record of an epoch; the lines that are there do not change."""
    metrics.append_record(run.metrics_path, record)


def forget_metrics_after(run: Run, step: int) -> List[Dict[str, Any]]:
    """Removes the epochs that ended after a step, which a resumed run trains and records anew; returns the others.

    Lines that cannot be read stay in the file.
    """
    return metrics.forget_records_after(run.metrics_path, step)


def is_run(path: PathLike) -> bool:
    """Tells whether `path` is a run directory."""
    return os.path.isfile(Run(path_of(path)).config_path)


def open_current(path: PathLike, open_model: Callable[[str], Opened]) -> Opened:
    """Opens the saved FCN-8s that `path` stands for, even while its run is being trained.

    A training that finds a better checkpoint removes the one before. If that happens while a model is being opened, the
    new one is opened instead.

    Args:
        open_model: opens the directory that it is given.

    Raises:
        Whatever `open_model` raises, unless `path` stands for another checkpoint by then.
    """
    directory = resolve_model(path)
    while True:
        try:
            return open_model(directory)
        except (ValueError, OSError) as error:
            current = resolve_model(path)
            if current == directory:
                name_zips(error)
                raise
            directory = current


def resolve_model(path: PathLike) -> str:
    """Returns the directory of the saved FCN-8s that `path` stands for: a run directory (its best checkpoint, else the
    last), a model directory, or a packed model.

    Raises FileNotFoundError or ValueError saying what was found instead.
    """
    path = path_of(path)
    if is_packed(path):
        return unpack(path)
    if os.path.isfile(path) or os.path.isfile(path + '.index'):
        raise what_a_file_is(path)
    if not os.path.isdir(path):
        raise FileNotFoundError(_what_is_not_there(path))
    if os.path.isfile(os.path.join(path, DESCRIPTION_FILE)):
        return path
    if not os.path.isfile(os.path.join(path, CONFIG_FILE)):
        raise ValueError(
            '{!r} is neither a run directory (no {}) nor a saved FCN-8s (no {}). {}'.format(
                path, CONFIG_FILE, DESCRIPTION_FILE, _what_to_pass_instead_of(path)
            )
        )
    checkpoints = Checkpoints(Run(path).checkpoints_dir)
    found = checkpoints.best() or checkpoints.last()
    if found is None:
        _check_own(Run(path))
        raise ValueError(
            'the run {!r} has no checkpoint yet. Let it train until it saves one, or start it again.'.format(path)
        )
    return found


def _what_is_not_there(path: str) -> str:
    checkpoints = os.path.dirname(os.path.abspath(path))
    directory = os.path.dirname(checkpoints)
    if checkpoints == Run(directory).checkpoints_dir and is_run(directory):
        return (
            'the checkpoint {!r} is not there: a training of this run replaces its checkpoints by newer ones. Run the '
            'command again, with the run directory.'.format(path)
        )
    return 'model {!r} does not exist. Pass a run directory (runs/NAME) or the directory of a saved FCN-8s.'.format(
        path
    )


def refuse_own_network(path: PathLike) -> None:
    """Raises ValueError for a run or a packed network where other weights are expected."""
    what = 'a packed network' if is_packed(path) else 'a run' if is_own_run(path) else None
    if what is not None:
        raise ValueError(what_to_do_with_own(path_of(path), what))


def what_to_do_with_own(path: str, what: str) -> str:
    """Returns what to do with a path that is a network of this library already, so that nothing has to be converted."""
    return (
        '{!r} is {} of this library already. fcn8s predict, evaluate and export open it as it is, and fcn8s train '
        '--fine-tune-from {} begins with it (in Python model_load_dir and fine_tune_from).'.format(
            path, what, shlex.quote(path)
        )
    )


def _is_model_or_run(path: str) -> bool:
    return os.path.isfile(os.path.join(path, DESCRIPTION_FILE)) or is_own_run(path)


def is_own_run(path: PathLike) -> bool:
    """Tells whether `path` is a run directory of this library: other programs write a `config.json`, too."""
    return is_run(path) and _other_program(Run(path_of(path))) is None


def _has_tag_of_encoders(directory: str) -> bool:
    """Looks for the tag as protobuf writes it (field 4, five letters), so that a message does not load TensorFlow."""
    path = os.path.join(directory, SAVED_MODEL_FILE)
    if not os.path.isfile(path):
        return False
    with open(path, 'rb') as file:
        return b'"\x05vgg16' in file.read(_LARGEST_GRAPH)


def _what_to_pass_instead_of(directory: str) -> str:
    """A remedy: the models and runs in the directory, or else how to import one."""
    with os.scandir(directory) as entries:
        inside = sorted(entry.name for entry in entries if entry.is_dir())
    known = [repr(path) for path in (os.path.join(directory, name) for name in inside) if _is_model_or_run(path)]
    if not known:
        imported = how_to_import(directory)
        if any(name.endswith('.index') for name in os.listdir(directory)):
            imported = (
                "Variables that save(saver='train_saver') wrote are loaded by FCN8s(vgg16_dir=..., num_classes=..., "
                'variables_load_dir={!r}). '.format(directory)
                + imported
            )
        return (_ENCODER.format(directory) + ' ' if _has_tag_of_encoders(directory) else '') + imported
    return 'In it are: {}. Give one of them.'.format(join_and_count(known, 3))
