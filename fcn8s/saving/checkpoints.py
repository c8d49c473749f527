"""The checkpoints of one run: numbered directories, and two small files that point at the last and the best.

    checkpoints/step-00000120/        a saved FCN-8s, the optimiser's slots among its variables, and state.json
    checkpoints/last.json, best.json  {"checkpoint": "step-00000120"}

Policy. 1. A checkpoint is written beside its place and moved in whole; only then does a pointer move. So whenever a
process is killed, `last` names a complete checkpoint. 2. After that, checkpoints older than the newest `keep` are
removed, but never the best; only directories that this class wrote are touched. 3. A full disk or any other failure
while writing leaves the earlier checkpoints unchanged. 4. `recover` puts right what a killed process left half-done,
before a run goes on.
"""

import json
import os
import re
import shutil
from typing import Any, Callable, Dict, List, Optional

from helpers.files import TEMPORARY_PATTERN, atomic_directory, atomic_write_json
from helpers.json_files import read_json
from helpers.user_warnings import warn_user

STATE_FILE = 'state.json'
_NAME = re.compile(r'^step-(\d{8,})$')
_REMOVED = re.compile(r'^\.removed-step-\d{8,}$')
# The names that `helpers.files` gives a checkpoint or a pointer while it is being written.
_UNFINISHED_CHECKPOINT = re.compile(r'^\.step-\d{8,}\.' + TEMPORARY_PATTERN + '$')
_POINTERS = ('last', 'best')
_UNFINISHED_POINTER = re.compile(r'^\.(' + '|'.join(_POINTERS) + r')\.' + TEMPORARY_PATTERN + r'\.json$')


class Checkpoints:
    """keep: how many of the newest checkpoints stay on disk besides the best (at least 1)."""

    def __init__(self, directory: str, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError('keep is {}; at least 1 checkpoint has to be kept.'.format(keep))
        self.directory = os.fspath(directory)
        self.keep = keep

    def save(
        self,
        step: int,
        write_model_files: Callable[[str], None],
        state: Dict[str, Any],
        best: bool,
        write_description: Callable[[str], None] = lambda directory: None,
    ) -> str:
        """Writes the checkpoint of a step and returns its directory.

        write_model_files: writes a saved FCN-8s into the directory that it is given.
        state: what a run needs besides the variables to go on; JSON can hold it.
        best: whether `best` moves to it.
        write_description: writes the description of the saved FCN-8s, with its scores, into its directory anew.

        Where `last` already has this step, its weights stay, and only description and state are written anew: the run
        was interrupted between the last step of an epoch and its evaluation.
        """
        name = _name(step)
        path = os.path.join(self.directory, name)
        if path == self.last():
            write_description(path)
            atomic_write_json(os.path.join(path, STATE_FILE), state)
        else:
            self._write(path, write_model_files, state)
        self._point('last', name)
        if best:
            self._point('best', name)
        self._remove_old()
        return path

    def _write(self, path: str, write_model_files: Callable[[str], None], state: Dict[str, Any]) -> None:
        os.makedirs(self.directory, exist_ok=True)
        # A complete checkpoint that no pointer names, left by a process killed at that moment, is removed.
        if os.path.isdir(path):
            if path == self.best():  # `last` was set back by hand
                os.unlink(self._pointer_path('best'))
            self._remove(path)
        with atomic_directory(path) as temporary:
            write_model_files(temporary)
            with open(os.path.join(temporary, STATE_FILE), 'w', encoding='utf-8') as file:
                json.dump(state, file, indent=1)

    def recover(self, best_step: Optional[int]) -> None:
        """Puts right what a killed process left, before a run goes on from `last`. No other process may be writing.

        best_step: the best step in the state saved with `last`; `best` moves there if the process was killed between
            the updates of the two pointers.

        Raises:
            ValueError: `best` names a checkpoint that is not there, as in a run that was not copied whole: every save
                would fail.
        """
        if not os.path.isdir(self.directory):
            return
        if best_step is not None and _name(best_step) in self.names():
            self._point('best', _name(best_step))
        self.best()
        self._finish_removals()
        for name in os.listdir(self.directory):
            if _UNFINISHED_CHECKPOINT.match(name):
                shutil.rmtree(os.path.join(self.directory, name))
            elif _UNFINISHED_POINTER.match(name):
                os.unlink(os.path.join(self.directory, name))

    def last(self) -> Optional[str]:
        """Returns the directory of the newest checkpoint, or None.

        Without `last.json`, as in a run that was not copied whole, it is the one with the most steps: a run that began
        again would replace the checkpoints that are there.
        """
        names = [] if os.path.exists(self._pointer_path('last')) else self.names()
        return os.path.join(self.directory, names[-1]) if names else self._follow('last')

    def best(self) -> Optional[str]:
        """Returns the directory of the checkpoint with the best monitored score, or None."""
        return self._follow('best')

    def names(self) -> List[str]:
        """Returns the complete checkpoints, oldest first."""
        if not os.path.isdir(self.directory):
            return []
        found = [match for match in map(_NAME.match, os.listdir(self.directory)) if match is not None]
        return [match.string for match in sorted(found, key=lambda match: int(match.group(1)))]

    def _point(self, pointer: str, name: str) -> None:
        atomic_write_json(self._pointer_path(pointer), {'checkpoint': name})

    def pointer_paths(self) -> List[str]:
        """Returns the paths of the files that name the last checkpoint and the best."""
        return [self._pointer_path(pointer) for pointer in _POINTERS]

    def _pointer_path(self, pointer: str) -> str:
        return os.path.join(self.directory, pointer + '.json')

    def _follow(self, pointer: str) -> Optional[str]:
        path = self._pointer_path(pointer)
        if not os.path.exists(path):
            return None
        try:
            name = str(read_json(path)['checkpoint'])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                '{} is damaged ({!r}). It has to hold {{"checkpoint": NAME}}, with one of these: {}.'.format(
                    path, error, ', '.join(self.names()) or 'none is there'
                )
            ) from error
        target = os.path.join(self.directory, name)
        if not _NAME.match(name) or not os.path.isdir(target):
            raise ValueError(
                '{} names {!r}, which does not exist. Write the name of one of these into it: {}.'.format(
                    path, name, ', '.join(self.names()) or 'none is there'
                )
            )
        return target

    def _remove_old(self) -> None:
        protected = {self.last(), self.best()}
        for name in self.names()[: -self.keep]:
            path = os.path.join(self.directory, name)
            if path not in protected:
                self._remove(path)
        self._finish_removals()

    def _remove(self, path: str) -> None:
        """Renames first, so that a kill meanwhile leaves no half-removed directory under a checkpoint's name."""
        removed = os.path.join(self.directory, '.removed-' + os.path.basename(path))
        if os.path.isdir(removed):
            shutil.rmtree(removed)
        os.rename(path, removed)
        self._finish_removals()

    def _finish_removals(self) -> None:
        """Deletes what is marked as removed. On NFS and Windows, files that are being read stay until next time."""
        for name in os.listdir(self.directory):
            if _REMOVED.match(name):
                try:
                    shutil.rmtree(os.path.join(self.directory, name))
                except OSError as error:
                    warn_user(
                        'an old checkpoint could not be removed whole yet, {!r} in {}: {}'.format(
                            name, self.directory, error
                        )
                    )


def _name(step: int) -> str:
    return 'step-{:08d}'.format(step)


def step_of(checkpoint: str) -> int:
    """Returns the step in the name of a checkpoint's directory."""
    match = _NAME.match(os.path.basename(checkpoint))
    if match is None:
        raise ValueError('{!r} is no name of a checkpoint; those are like step-00000120.'.format(checkpoint))
    return int(match.group(1))


def read_state(checkpoint: str) -> Dict[str, Any]:
    """Returns the state that was saved with a checkpoint; raises ValueError where it is missing or damaged."""
    path = os.path.join(checkpoint, STATE_FILE)
    try:
        state = read_json(path)
        if not isinstance(state, dict):
            raise ValueError('it holds a {}, no table'.format(type(state).__name__))
        return state
    except (OSError, ValueError) as error:
        raise ValueError(
            'the checkpoint {!r} cannot be continued: {}. Copy it again, or name an earlier one in last.json beside '
            'it.'.format(checkpoint, error)
        ) from error
