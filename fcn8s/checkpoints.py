"""The checkpoints of one run: numbered directories, and two small files that point at the last and the best.

    checkpoints/step-00000120/        a saved FCN-8s whose variables file also holds the optimiser's slots, and state.json
    checkpoints/last.json, best.json  {"checkpoint": "step-00000120"}

Policy. 1. A checkpoint is written beside its place and moved in whole; only then does a pointer move. Whatever moment a
process is killed at, `last` names a complete checkpoint. 2. After that, checkpoints older than the newest `keep` are
removed, never the best; only directories that this class wrote are ever touched. 3. A full disk or any other failure while
writing leaves the earlier checkpoints as they were.
"""
import json
import os
import re
import shutil
from typing import Any, Callable, Dict, List, Optional

from helpers.files import atomic_directory, atomic_write_json

STATE_FILE = 'state.json'
_NAME = re.compile(r'^step-(\d{8,})$')
_REMOVED = re.compile(r'^\.removed-step-\d{8,}$')


class Checkpoints:
    """keep: how many of the newest checkpoints stay on disk besides the best (at least 1)."""

    def __init__(self, directory: str, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError('keep is {}; at least 1 checkpoint has to be kept.'.format(keep))
        self.directory = os.fspath(directory)
        self.keep = keep

    def save(self, step: int, write_model_files: Callable[[str], None], state: Dict[str, Any], best: bool) -> str:
        """Writes the checkpoint of a step and returns its directory.

        write_model_files: writes a saved FCN-8s into the directory that it is given.
        state: JSON-able, what a run needs besides the variables to go on.
        best: whether `best` moves to it.

        A checkpoint of the same step, which a resumed run can meet, stays as it is and only the pointers move.
        """
        name = 'step-{:08d}'.format(step)
        path = os.path.join(self.directory, name)
        if not os.path.isdir(path):
            os.makedirs(self.directory, exist_ok=True)
            with atomic_directory(path) as temporary:
                write_model_files(temporary)
                with open(os.path.join(temporary, STATE_FILE), 'w', encoding='utf-8') as file:
                    json.dump(state, file, indent=1)
        self._point('last', name)
        if best:
            self._point('best', name)
        self._remove_old()
        return path

    def last(self) -> Optional[str]:
        """The directory of the newest checkpoint, or None."""
        return self._follow('last')

    def best(self) -> Optional[str]:
        """The directory of the checkpoint with the best monitored score, or None."""
        return self._follow('best')

    def names(self) -> List[str]:
        """The complete checkpoints, oldest first."""
        if not os.path.isdir(self.directory):
            return []
        found = [name for name in os.listdir(self.directory) if _NAME.match(name)]
        return sorted(found, key=lambda name: int(_NAME.match(name).group(1)))

    def _point(self, pointer: str, name: str) -> None:
        atomic_write_json(os.path.join(self.directory, pointer + '.json'), {'checkpoint': name})

    def _follow(self, pointer: str) -> Optional[str]:
        path = os.path.join(self.directory, pointer + '.json')
        if not os.path.exists(path):
            return None
        with open(path, encoding='utf-8') as file:
            target = os.path.join(self.directory, json.load(file)['checkpoint'])
        if not os.path.isdir(target):
            raise ValueError('{} names {!r}, which does not exist. Write the name of one of these into it: {}.'.format(
                path, os.path.basename(target), ', '.join(self.names()) or 'none is there'))
        return target

    def _remove_old(self) -> None:
        """Renames first, so that a kill in the middle leaves no half-removed directory under a checkpoint's name."""
        protected = {self.last(), self.best()}
        for name in self.names()[:-self.keep]:
            path = os.path.join(self.directory, name)
            if path not in protected:
                os.rename(path, os.path.join(self.directory, '.removed-' + name))
        for name in os.listdir(self.directory):
            if _REMOVED.match(name):
                shutil.rmtree(os.path.join(self.directory, name))


def read_state(checkpoint: str) -> Dict[str, Any]:
    """The state that was saved with a checkpoint; raises ValueError where it is missing or damaged."""
    path = os.path.join(checkpoint, STATE_FILE)
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise ValueError('the checkpoint {!r} cannot be continued: {}'.format(checkpoint, error)) from error
