"""Progress bars."""

import sys
from typing import Any, Dict, Sequence


def bar_options(is_wanted: bool = True) -> Dict[str, Any]:
    """Returns options for tqdm: no bar where none is wanted, and none where there is no standard error.

    Else nothing: `disable=False` would overrule TQDM_DISABLE, by which notebooks and services switch bars off.
    """
    return {} if is_wanted and sys.stderr is not None else {'disable': True}


def evaluation_bar(numbers: Sequence[int]) -> Any:
    """Makes the bar over the batches of an evaluation in the middle of something else, which leaves no line behind."""
    from tqdm import tqdm

    return tqdm(numbers, desc='evaluate', unit='batch', leave=False, dynamic_ncols=True, **bar_options())
