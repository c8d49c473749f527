import numpy as np
import pytest

from helpers.flags import check_flags, is_real


@pytest.mark.parametrize('value', ['no', 'False', '', None, 2, 0.5, []])
def test_what_is_neither_on_nor_off(value):
    with pytest.raises(ValueError, match='^overwrite is .*; it has to be True or False.$'):
        check_flags(quiet=True, overwrite=value)


def test_what_is_on_or_off():
    check_flags(a=True, b=False, c=1, d=0, e=np.bool_(True), f=np.int64(0))


def test_true_and_false_are_no_numbers():
    assert all(map(is_real, (0, 1, -0.5, np.float32(1), np.int64(2), float('nan'))))
    assert not any(map(is_real, (True, False, np.bool_(True), '1', None, 1j, [1])))
