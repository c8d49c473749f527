"""For tests that run the real thing where they can."""

import pytest

from fcn8s.precision import check_precision


def cannot(precision):
    """The reason why this machine cannot compute in a precision, or None."""
    try:
        check_precision(precision)
    except ValueError as error:
        return str(error)
    return None


needs_bfloat16 = pytest.mark.skipif(bool(cannot('bfloat16')), reason=str(cannot('bfloat16')))
