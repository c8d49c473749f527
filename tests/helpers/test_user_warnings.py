import contextlib
import warnings
from types import SimpleNamespace

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


@pytest.mark.parametrize('known', [{}, {'num_batches': 2}, {'num_batches': 2, 'batch_size': 2}])
def test_a_generator_that_only_says_that_it_shuffles_is_none_to_warn_of(known):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warn_of_repeated_images(SimpleNamespace(shuffles=True, **known), 2)


def test_a_context_manager_between_is_skipped(monkeypatch):
    names = {'__name__': 'fcn8s.made_up', 'warn_user': warn_user}
    exec('def inside():\n    warn_user("deep")\n    yield', names)
    with pytest.warns(UserWarning, match='deep') as caught, contextlib.contextmanager(names['inside'])():
        pass
    assert caught[0].filename == __file__
