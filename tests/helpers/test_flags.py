import numpy as np
import pytest

from helpers.flags import check_choice, check_flags, checked_pair, checked_whole, is_positive, is_real, is_whole


@pytest.mark.parametrize('value', ['no', 'False', '', None, 2, 0.5, []])
def test_what_is_neither_on_nor_off(value):
    with pytest.raises(ValueError, match='^overwrite is .*; it has to be True or False.$'):
        check_flags(quiet=True, overwrite=value)


def test_flags_are_true_false_one_or_zero():
    check_flags(a=True, b=False, c=1, d=0, e=np.bool_(True), f=np.int64(0))


def test_true_and_false_are_no_numbers():
    assert all(map(is_real, (0, 1, -0.5, np.float32(1), np.int64(2), float('nan'))))
    assert not any(map(is_real, (True, False, np.bool_(True), '1', None, 1j, [1])))


def test_finite_numbers_above_zero_are_positive():
    assert all(map(is_positive, (1, 1e-9, np.float32(0.5), np.uint8(2))))
    assert not any(map(is_positive, (0, -1, float('nan'), float('inf'), True, '1', None)))


NO_WHOLE_NUMBERS = (True, False, np.bool_(True), 2.0, np.float64(2), float('nan'), '2', None, [2], np.array([2]))


def test_whole_numbers_become_those_of_python():
    assert all(map(is_whole, (0, -3, np.int64(2), np.uint8(2), 10**30)))
    assert not any(map(is_whole, NO_WHOLE_NUMBERS))
    for value in (2, np.int64(2), np.uint8(2)):
        found = checked_whole('steps', value, 2, 2)
        assert found == 2 and type(found) is int


@pytest.mark.parametrize('value', NO_WHOLE_NUMBERS + (1, -2, np.int8(-2)))
def test_what_is_no_whole_number_from_2_on(value):
    with pytest.raises(ValueError, match='^steps is .*; it has to be a whole number of at least 2.*[.] Take 3.$'):
        checked_whole('steps', value, 2, remedy='Take 3.')


def test_messages_about_whole_numbers():
    with pytest.raises(ValueError, match=r'^steps is 7; it has to be a whole number from 2 to 6\.$'):
        checked_whole('steps', 7, 2, 6)
    with pytest.raises(ValueError, match=r'^steps is 2.0; .* of at least 1, an int and no float\.$'):
        checked_whole('steps', 2.0, 1)


@pytest.mark.parametrize('pair', [(3, 4), [3.0, 4.0], np.array([3, 4]), (np.uint8(3), np.float32(4))])
def test_pairs_become_two_whole_numbers(pair):
    found = checked_pair('size', pair)
    assert found == (3, 4) and list(map(type, found)) == [int, int]


def test_an_array_is_no_choice():
    with pytest.raises(ValueError, match='order is .*; choose from a, b'):
        check_choice('order', np.array(['a', 'b']), ('a', 'b'))


@pytest.mark.parametrize(
    'pair',
    [
        np.array(3),
        np.array([[3, 4]]),
        (0, 4),
        (3,),
        (3, 4, 5),
        3,
        None,
        '34',
        {3: 4, 5: 6},
        (True, 4),
        (3, 4.5),
        (3, float('nan')),
        (3, np.inf),
    ],
)
def test_what_is_no_pair_is_refused_with_the_rule(pair):
    message = r'^size is .*; it has to be \(height, width\), each a whole number of at least 1\. Leave it out\.$'
    with pytest.raises(ValueError, match=message):
        checked_pair('size', pair, remedy='Leave it out.')
