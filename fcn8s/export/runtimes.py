"""Opening an export in the runtime that it was made for."""

import importlib
import os
from typing import Any, Dict

from fcn8s.export.certificate import CERTIFICATE_FILE, digests, files_below
from fcn8s.export.formats import FORMATS, check_packages
from fcn8s.saving.descriptions import DESCRIPTION_FILE, SAVED_MODEL_FILE
from helpers.json_files import read_json
from helpers.user_warnings import warn_user


def read_export(directory: str) -> Dict[str, Any]:
    """Reads what `fcn8s.json` says about an export: its format, precision and size; loads no TensorFlow.

    Raises ValueError where the directory is not an export or the file is damaged.
    """
    path = os.path.join(directory, DESCRIPTION_FILE)
    try:
        export = read_json(path).get('export')
    except (ValueError, AttributeError) as error:
        raise ValueError('{} is damaged ({!r}). Export the model again.'.format(path, error)) from error
    if export is None:
        raise ValueError('{!r} is no export. Make one with: fcn8s export MODEL OUT --format FORMAT'.format(directory))
    if not _is_sound(export):
        raise ValueError(
            '{} is damaged: it says {!r} of the export. Export the model again.'.format(path, str(export)[:200])
        )
    return export


def _is_sound(export: Any) -> bool:
    """Whether an entry names a format, one of its precisions, and a size or none."""
    if not isinstance(export, dict) or export.get('format') not in list(FORMATS):
        return False
    size = export.get('size')
    is_size = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    return export.get('precision') in FORMATS[export['format']].precisions and (size is None or is_size)


def open_runtime(directory: str, export: Dict[str, Any], with_cache: bool = True) -> Any:
    """Opens the `Runtime` of the export's format. Its `run(images, outputs)` returns the outputs by name.

    with_cache: let a runtime that supports it cache the compiled model for this user.

    Raises ImportError where the runtime is not installed, and ValueError where it does not read the file.
    """
    check_packages(export['format'])
    module = importlib.import_module('fcn8s.export.' + export['format'])
    try:
        if export['format'] == 'openvino':
            return module.Runtime(directory, export['precision'], with_cache=with_cache)
        return module.Runtime(directory)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # ONNX Runtime and OpenVINO have their own exception types
        raise ValueError(
            'the export {!r} does not open in {}: it is damaged, or of another version than is installed. Export the '
            'model again. ({})'.format(directory, export['format'], ' '.join(str(error).split()))
        ) from error


def check_file(directory: str, export: Dict[str, Any]) -> None:
    """Raises FileNotFoundError where an export lacks the file of its network."""
    path = os.path.join(directory, FORMATS[export['format']].file or SAVED_MODEL_FILE)
    if not os.path.isfile(path):
        raise FileNotFoundError('{} is missing. Copy the whole export, or export the model again.'.format(path))


def warn_of_changes(directory: str) -> None:
    """Warns where files differ from those that the export's certificate names: no runtime notices a flipped bit.

    It ignores files that the certificate does not name, `fcn8s.json`, which is checked when it is read, and exports
    without a certificate.
    """
    known = _certified(os.path.join(directory, CERTIFICATE_FILE))
    there = [name for name in files_below(directory) if name in known and name != DESCRIPTION_FILE]
    changed = [name for name, digest in digests(directory, there).items() if digest != known[name]]
    if changed:
        warn_user(
            '{} of the export {!r} {} not what {} was written for, so that nothing is known of what it predicts. Where '
            'the copy is damaged, copy it again; where another program changed it, export the model again to be '
            'sure.'.format(', '.join(changed), directory, 'is' if len(changed) == 1 else 'are', CERTIFICATE_FILE)
        )


def _certified(path: str) -> Dict[str, Any]:
    """The SHA-256 of files by name from a certificate; empty if there is no readable certificate."""
    try:
        known = read_json(path)['result']['sha256']
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


def versions(format_name: str) -> Dict[str, str]:
    """Returns the versions of the packages that make and run a format, as far as they are installed."""
    from importlib import metadata

    found = {}
    packages = FORMATS[format_name].packages + FORMATS[format_name].int8_packages
    for package in packages or ('tensorflow',):
        try:
            found[package] = metadata.version(package.replace('_', '-'))
        except metadata.PackageNotFoundError:
            continue
    return found
