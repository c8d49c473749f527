"""Masks as runs: COCO's packed form is compared with pycocotools, the plain ones with loops."""

import numpy as np
import pytest

from data_generator.annotations.run_lengths import unpacked, window_of_box_runs, window_of_runs, window_of_starts


def runs_of(values):
    """The lengths of runs of 0 and 1 in turn, 0 first."""
    counts, last = [0], 0
    for value in values:
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


@pytest.mark.parametrize('seed', range(5))
def test_masks_come_out_as_they_went_in(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 40), rng.integers(1, 40))) < rng.random()
    np.testing.assert_array_equal(window_of_runs(runs_of(mask.T.ravel()), mask.shape).mask, mask)
    window = window_of_box_runs(runs_of(mask.ravel()), 3, 5, mask.shape)
    assert (window.top, window.left) == (3, 5)
    np.testing.assert_array_equal(window.mask, mask)


@pytest.mark.parametrize('density', [0.001, 0.5])
def test_packed_masks_are_those_of_pycocotools(density):
    coco = pytest.importorskip('pycocotools.mask')
    mask = np.random.default_rng(0).random((300, 200)) < density
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert unpacked(packed['counts']) == runs_of(mask.T.ravel())
    np.testing.assert_array_equal(window_of_runs(packed['counts'].decode(), (300, 200)).mask, mask)


@pytest.mark.parametrize(
    'counts, message',
    [
        ([1, 2], 'runs do not make up its size of 12 pixels'),
        ([-5, 17], 'runs do not make up'),
        ([2**62, 2**62], 'runs do not make up'),
        ([2**70], 'runs do not make up'),
        (['a'], "'a', which is no number"),
        ([4, True, 7], 'True, which is no number'),
        ([4.5, 7.5], '4.5, which is no whole number'),
        (7, 'runs do not make up'),
        ('\x00', 'a character that has no place'),
        ('P' * 3, 'ends within a number'),
        ('o' * 40, 'a character that has no place'),
        ('5', 'runs do not make up its size'),
    ],
)
def test_runs_that_make_no_mask_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        window_of_runs(counts, (3, 4))


@pytest.mark.parametrize('text', ['0 3', '11 3', '13 1'])
def test_starts_are_those_of_pixels_of_the_image(text):
    """The first is 1, and the last of these 12."""
    np.testing.assert_array_equal(np.flatnonzero(window_of_starts('1 2 12 1', (3, 4), True).mask), [0, 1, 11])
    with pytest.raises(ValueError, match='a mask with runs beyond its image'):
        window_of_starts(text, (3, 4), True)
