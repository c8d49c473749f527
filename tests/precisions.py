"""For tests that run the real thing where they can."""

from fcn8s.precision import check_precision


def cannot(precision):
    """The reason why this machine cannot compute in a precision, or None."""
    try:
        check_precision(precision)
    except ValueError as error:
        return str(error)
    return None
