import pytest

from data_generator.files.sampling import spread


@pytest.mark.parametrize('count', [1, 15, 16, 31, 47, 367])
def test_samples_are_spread_over_the_whole_dataset(count):
    names = [str(index) for index in range(count)]
    found = [int(name) for name in spread(names)[: min(16, count)]]
    assert found[0] == 0 and len(found) == min(16, count)
    assert all(abs(index - number * count / len(found)) < 1 for number, index in enumerate(found))
    assert sorted(spread(names)) == sorted(names)
