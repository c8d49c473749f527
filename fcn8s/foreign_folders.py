"""Explains the error when a folder beside the user's script is imported in place of a package of this library.

The repository of 2017 has folders called `helpers` and `data_generator`, the names of packages here, and Python looks
beside the script first.
"""

import importlib.util
import os
from typing import Optional

OURS = ('helpers', 'data_generator')
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def explained(error: ImportError) -> ImportError:
    """Returns the error with its cause where that is a foreign folder; otherwise the error unchanged."""
    for name in OURS:
        cause = _cause(name)
        if cause is not None:
            return ImportError('{}: {}'.format(error, cause))
    return error


def refuse_foreign(name: str) -> None:
    """Raises ImportError where a package of this library is found elsewhere.

    The import itself need not fail: an editable installation adds this library's modules to the foreign folder's.
    """
    cause = _cause(name)
    if cause is not None:
        raise ImportError(cause)


def _cause(name: str) -> Optional[str]:
    found = _place(name)
    if found is None or os.path.realpath(found) == os.path.realpath(os.path.join(_HOME, name)):
        return None
    return (
        "'import {}' finds {}, which does not belong to this library but comes first, as files beside a script do. "
        'Rename that, or start the script from elsewhere; docs/migrating.md says what replaces the files of '
        '2017.'.format(name, found)
    )


def _place(name: str) -> Optional[str]:
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return list(spec.submodule_search_locations)[0]
    return spec.origin
