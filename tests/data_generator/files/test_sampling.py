import pytest

from data_generator.files.sampling import evenly, spread


@pytest.mark.parametrize('count', [1, 15, 16, 31, 47, 367])
def test_samples_are_spread_over_the_whole_dataset(count):
    found = evenly(range(count), 16)
    assert found[0] == 0 and len(found) == min(16, count)
    assert all(abs(index - number * count / len(found)) < 1 for number, index in enumerate(found))
    names = [str(index) for index in range(count)]
    assert spread(names)[: len(found)] == [str(index) for index in found] and sorted(spread(names)) == sorted(names)
