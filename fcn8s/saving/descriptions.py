"""What a saved network says about itself in `fcn8s.json`; read without TensorFlow."""

import os
import shlex
from typing import Any, Dict, NamedTuple, Optional

import fcn8s
from fcn8s.settings import ModelSettings
from helpers.json_files import is_count, read_json

DEFAULT_TAGS = ('default',)
# The tag of an exported SavedModel; TFLite's converter and TensorFlow Serving require exactly this one.
SERVING_TAGS = ('serve',)
DESCRIPTION_FILE = 'fcn8s.json'
# TensorFlow's name for the file with the graph of a SavedModel.
SAVED_MODEL_FILE = 'saved_model.pb'
GRAPH_FILES = (SAVED_MODEL_FILE, 'saved_model.pbtxt')
FORMAT = 1
# Scores of 255 classes take a few dozen kB.
_MAX_BYTES = 10 * 2**20
# In characters. A reason can quote what the file holds; the middle of a longer one is left out.
_LONGEST_REASON = 600
_ZIP_HEAD = b'PK\x03\x04'


class _NewerFormatError(ValueError):
    """The file is not damaged: it is from a later version."""


class SavedFCN8s(NamedTuple):
    """A saved FCN-8s as found on disk."""

    directory: str
    settings: ModelSettings
    description: Dict[str, Any]


def check_tags(name: str, tags: Any) -> None:
    """Raises ValueError unless `tags` is a sequence of at least one string; one string alone is a common slip."""
    is_list = hasattr(tags, '__len__') and not isinstance(tags, str)
    if not is_list or not len(tags) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("{} is {!r}; it has to be a list of strings such as ['default'].".format(name, tags))


def check_tags_of_export(tags: Any, directory: str, format_name: str) -> None:
    """Raises ValueError for tags that an export does not have; None takes the export's own."""
    own = SERVING_TAGS if format_name == 'saved_model' else ()
    if tags is not None and tuple(tags) != own:
        raise ValueError(
            'tags is {!r}, but {!r} is an export to {}, which has {}. Leave the tags out.'.format(
                tags, directory, format_name, list(own) if own else 'none'
            )
        )


def read_description(directory: str) -> SavedFCN8s:
    """Reads `fcn8s.json` of a saved model.

    Raises FileNotFoundError without such a directory, ValueError where the file is missing, damaged or from a newer
    format.
    """
    directory = os.fspath(directory)
    path = os.path.join(directory, DESCRIPTION_FILE)
    if os.path.isfile(directory):
        raise what_a_file_is(directory)
    if not os.path.isdir(directory):
        raise FileNotFoundError('model directory {!r} does not exist.'.format(directory))
    if not os.path.isfile(path):
        raise ValueError(
            '{!r} holds no {}, so it is no FCN-8s saved by this library. To build on a VGG-16 encoder, pass the '
            'directory as vgg16_dir. {}'.format(directory, DESCRIPTION_FILE, how_to_import(directory))
        )
    try:
        description = read_json(path, _MAX_BYTES)
        if description['format'] > FORMAT:
            raise _NewerFormatError(
                '{} has format {}, and this version of fcn8s ({}) reads formats up to {}. Upgrade fcn8s.'.format(
                    path, description['format'], fcn8s.__version__, FORMAT
                )
            )
        _check_entries(description)
        return SavedFCN8s(directory, ModelSettings.from_dict(description), description)
    except _NewerFormatError:
        raise
    except KeyError as error:
        raise _damaged(path, '{} is missing'.format(error)) from error
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error


def find_graph(directory: str, what: str) -> str:
    """Returns the path of the graph of a SavedModel. what: what messages call it, for example 'encoder'.

    Raises FileNotFoundError where there is no such directory, ValueError where it is no SavedModel.
    """
    if os.path.isfile(directory):
        raise ValueError(
            '{} {!r} is a file. Pass the folder that saved_model.pb and variables/ are in.'.format(what, directory)
        )
    if not os.path.isdir(directory):
        raise FileNotFoundError('{} directory {!r} does not exist.'.format(what, directory))
    graph_file = find_graph_file(directory)
    if graph_file is None:
        raise _without_graph(directory, what)
    return graph_file


def find_graph_file(directory: str) -> Optional[str]:
    """Returns the path of the graph of a SavedModel that is read: the binary one, unless there is only text."""
    candidates = [os.path.join(directory, name) for name in GRAPH_FILES]
    return next((path for path in candidates if os.path.isfile(path)), None)


def _without_graph(directory: str, what: str) -> ValueError:
    if os.path.isfile(os.path.join(directory, DESCRIPTION_FILE)):
        export = read_description(directory).description.get('export')
        if isinstance(export, dict):
            return ValueError(
                '{} directory {!r} is an export to {}, for prediction only: go on from the model that it was made '
                'of.'.format(what, directory, export.get('format'))
            )
    return ValueError(
        '{} directory {!r} is no SavedModel: it holds no saved_model.pb. Pass the folder that saved_model.pb and '
        'variables/ are in.'.format(what, directory)
    )


def what_a_file_is(path: str) -> ValueError:
    """Returns the error for a path that should be a model or a run but is a file or the prefix of a checkpoint."""
    folder = os.path.dirname(path) or '.'
    if os.path.isfile(os.path.join(folder, DESCRIPTION_FILE)):
        return ValueError(
            '{!r} is one file of a saved FCN-8s or an export. Pass its folder: {!r}.'.format(path, folder)
        )
    if _begins_as_zip(path):
        return ValueError(
            '{!r} is a zip, and no packed network: it holds no {}, or was cut off. If fcn8s pack wrote it, get it '
            'again. {}'.format(path, DESCRIPTION_FILE, how_to_import(path))
        )
    return ValueError('{!r} is no run directory and no saved FCN-8s. {}'.format(path, how_to_import(path)))


def _begins_as_zip(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, 'rb') as file:
        return file.read(len(_ZIP_HEAD)) == _ZIP_HEAD


def how_to_import(path: str) -> str:
    """Returns a sentence that says how to take over a network that another program trained."""
    return 'A trained network of another program is taken over with: fcn8s import-fcn8s {} OUT'.format(
        shlex.quote(path)
    )


def _damaged(path: str, reason: Any) -> ValueError:
    text = str(reason).rstrip('.')
    if len(text) > _LONGEST_REASON:
        text = '{} ... {}'.format(text[: _LONGEST_REASON // 2], text[-_LONGEST_REASON // 2 :])
    return ValueError('{} is damaged: {}. Copy it again from where the model was saved.'.format(path, text))


def _check_entries(description: Dict[str, Any]) -> None:
    for name in ('metrics', 'versions'):
        if not isinstance(description.get(name, {}), dict):
            raise ValueError('{} is {!r}, no table'.format(name, description[name]))
    step = description.get('global_step', 0)
    if not is_count(step):
        raise ValueError('global_step is {!r}, no whole number from 0'.format(step))
