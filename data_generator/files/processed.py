"""The record of a processed dataset, which tells for each file whether it holds class IDs already."""

import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

from data_generator.errors import DataError
from helpers.json_files import read_json

MANIFEST_NAME = 'processing.json'
# The largest record, in bytes: the names of about three million files.
_LARGEST = 2**28

#: Whether the source was a processed dataset itself, whose labels held class IDs already. Older records do not say.
CONVERTED_BEFORE = 'converted_before'


def converted_labels(labels: Sequence[str]) -> List[str]:
    """Picks the label files that the record of a processed dataset names and that hold class IDs.

    A file that the record does not name was added later, and is an original.
    """
    folders = {folder: os.path.realpath(folder) for folder in {os.path.dirname(label) for label in labels}}
    roots = {folder: _nearest_record(path) for folder, path in folders.items()}
    converted = {
        os.path.join(root, name)
        for root in set(roots.values())
        if root is not None
        for run in _readable_runs(root)
        if _holds_class_ids(run['settings'])
        for name in run['files']
    }
    if not converted:
        return []
    return [
        label for label in labels if os.path.join(folders[os.path.dirname(label)], os.path.basename(label)) in converted
    ]


def _nearest_record(folder: str) -> Optional[str]:
    """The nearest directory, from this one upwards, that has a record."""
    while not os.path.exists(os.path.join(folder, MANIFEST_NAME)):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder


def _holds_class_ids(settings: Mapping[str, Any]) -> bool:
    is_converted = any(settings.get(name) is not None for name in ('convert_colors_to_ids', 'convert_ids_to_ids'))
    return is_converted or settings.get(CONVERTED_BEFORE, True)


def _readable_runs(directory: str) -> List[Dict[str, Any]]:
    """The runs recorded in a directory; none if the file is that of another program."""
    try:
        return read_manifest(os.path.join(directory, MANIFEST_NAME))
    except DataError:
        return []


def read_manifest(path: str) -> List[Dict[str, Any]]:
    """Reads the runs in a record; none if there is no such file.

    Raises:
        DataError: The file is no record.
    """
    if not os.path.exists(path):
        return []
    try:
        manifest = read_json(path, _LARGEST)
        if manifest['format'] == 1 and all(map(_is_run, manifest['runs'])):
            return manifest['runs']
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError('{} is no record of a processed dataset. Set export_dir to an empty directory.'.format(path))


def _is_run(run: Any) -> bool:
    """Whether an entry of a record has the right form: settings, and the names of files."""
    return isinstance(run['settings'], dict) and all(isinstance(name, str) for name in run['files'])
