"""What is said where a network is used after it was closed, or copied while it is open."""

import contextlib
from typing import Callable, Iterator


def closed_fcn8s() -> ValueError:
    """Returns the error about an `FCN8s` that is used after `close()` or the end of its `with`."""
    return _closed('this FCN8s', 'FCN8s(model_load_dir=...)')


def closed_model(name: str) -> ValueError:
    """Returns the error about a network that `open_model` opened under this name and that is used after closing."""
    return _closed('the network of {!r}'.format(name), 'fcn8s.open_model(...)')


def copied_model(name: str) -> TypeError:
    """Returns the error about a network that `open_model` opened under this name and that is to be copied."""
    return TypeError(
        'the open network of {0!r} cannot be copied or sent to another process. Open it there: '
        'fcn8s.open_model({0!r}).'.format(name)
    )


@contextlib.contextmanager
def closing_told(is_closed: Callable[[], bool], error: Callable[[], ValueError]) -> Iterator[None]:
    """Raises `error()` in place of any exception from a network that another thread has closed meanwhile."""
    try:
        yield
    except Exception as other:
        if is_closed():
            raise error() from other
        raise


def _closed(what: str, how_to_open: str) -> ValueError:
    return ValueError(
        '{} was closed, by close() or at the end of its with. Open it again: {}.'.format(what, how_to_open)
    )
