"""Options of progress bars."""

import sys
from typing import Any, Dict


def bar_options() -> Dict[str, Any]:
    """Options for tqdm: no bar where there is no standard error.

    Else nothing: `disable=False` would overrule TQDM_DISABLE, by which notebooks and services switch bars off.
    """
    return {'disable': True} if sys.stderr is None else {}
