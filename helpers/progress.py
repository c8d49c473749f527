"""Progress bars."""

import sys
from typing import Any, Dict, Sequence


def bar_options(is_wanted: bool = True) -> Dict[str, Any]:
    """Returns options for tqdm that disable the bar if it is not wanted or there is no standard error.

    Otherwise none: `disable=False` would override TQDM_DISABLE, with which notebooks and services turn bars off.
    """
    return {} if is_wanted and sys.stderr is not None else {'disable': True}


def evaluation_bar(numbers: Sequence[int]) -> Any:
    """Makes the bar over the batches of an evaluation during other work; it leaves no line behind."""
    from tqdm import tqdm

    return tqdm(numbers, desc='evaluate', unit='batch', leave=False, dynamic_ncols=True, **bar_options())
