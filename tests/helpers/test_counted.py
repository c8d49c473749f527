import pytest

from helpers.counted import counted


@pytest.mark.parametrize(
    'number, noun, expected',
    [
        (1, 'image', '1 image'),
        (0, 'image', '0 images'),
        (2, 'training image', '2 training images'),
        (1, 'class', '1 class'),
        (21, 'class', '21 classes'),
        (3, 'batch', '3 batches'),
        ('?', 'epoch', '? epochs'),
    ],
)
def test_a_number_with_its_noun(number, noun, expected):
    assert counted(number, noun) == expected
