import contextlib

import pytest

from fcn8s.batches import warn_of_repeated_images
from helpers.user_warnings import warn_user


class Shuffled:
    shuffles, num_batches, batch_size, num_images = True, 2, 2, 3


def test_the_line_outside_of_the_library_is_named_however_deep_it_warns():
    with pytest.warns(UserWarning, match='twice') as caught:
        warn_of_repeated_images(Shuffled, 2)
    assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match='here') as caught:
        warn_user('here', RuntimeWarning)
    assert caught[0].filename == __file__


def test_a_context_manager_between_is_skipped(monkeypatch):
    names = {'__name__': 'fcn8s.made_up', 'warn_user': warn_user}
    exec('def inside():\n    warn_user("deep")\n    yield', names)
    with pytest.warns(UserWarning, match='deep') as caught, contextlib.contextmanager(names['inside'])():
        pass
    assert caught[0].filename == __file__
