"""Labels that lie somewhere else than their images are noticed, and others are left alone."""

import numpy as np
import pytest

from data_generator.checking.alignment import REACH, edge_correlation, shift_of


def scene(seed, size=(80, 90)):
    """Rectangles of random greys on noise, and which of them a pixel belongs to."""
    rng = np.random.default_rng(seed)
    label = np.zeros(size, np.uint8)
    for number in range(1, 5):
        top, left = rng.integers(0, size[0] - 30), rng.integers(0, size[1] - 30)
        label[top : top + rng.integers(12, 30), left : left + rng.integers(12, 30)] = number
    greys = rng.integers(20, 236, 5)
    image = greys[label][..., None] + rng.integers(-6, 7, size + (3,))
    return image.clip(0, 255).astype(np.uint8), label


def mean_correlation(shift, count=8, label_of=lambda label: label):
    found = []
    for seed in range(count):
        image, label = scene(seed)
        found.append(edge_correlation(image, label_of(np.roll(label, shift, (0, 1)))))
    return np.mean(found, axis=0)


@pytest.mark.parametrize('shift', [(0, 4), (-3, 0), (5, -7), (REACH, REACH)])
def test_a_shift_is_found_and_undone(shift):
    assert shift_of(mean_correlation(shift), 8) == (-shift[0], -shift[1])


def test_colours_are_as_good_as_ids():
    def as_colors(label):
        return np.dstack([label * 40, label, 255 - label])

    np.testing.assert_allclose(mean_correlation((2, 3)), mean_correlation((2, 3), label_of=as_colors), atol=1e-6)


@pytest.mark.parametrize('shift', [(0, 0), (1, 0), (0, -1)])
def test_labels_that_fit_are_left_alone(shift):
    assert shift_of(mean_correlation(shift), 8) is None


def test_labels_that_fit_nowhere_are_left_alone():
    found = [edge_correlation(scene(seed)[0], scene(seed + 100)[1]) for seed in range(8)]
    assert shift_of(np.mean(found, axis=0), 8) is None


def test_correlation_against_a_loop():
    image, label = scene(3, (40, 36))
    found = edge_correlation(image, label)
    grey = image.astype(np.float64).mean(axis=2)
    padded = np.pad(grey, 1, 'reflect')
    height, width = grey.shape
    edges, borders = np.zeros_like(grey), np.zeros_like(grey)
    for y in range(height):
        for x in range(width):
            window = padded[y : y + 3, x : x + 3]
            across = (window[:, 2] - window[:, 0]).dot([1, 2, 1])
            down = (window[2] - window[0]).dot([1, 2, 1])
            edges[y, x] = np.hypot(across, down)
            near = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
            inside = [(a, b) for a, b in near if 0 <= a < height and 0 <= b < width]
            borders[y, x] = any(label[place] != label[y, x] for place in inside)
    edges, borders = ((part - part.mean()) / part.std() for part in (edges, borders))
    for down, right in ((0, 0), (2, -3), (-REACH, REACH)):
        expected = (edges * np.roll(borders, (down, right), (0, 1))).mean()
        assert found[REACH + down, REACH + right] == pytest.approx(expected, abs=1e-4)


def test_pairs_that_say_nothing_are_passed_over():
    image, label = scene(0)
    assert edge_correlation(image, np.zeros_like(label)) is None
    assert edge_correlation(np.full_like(image, 7), label) is None
    assert edge_correlation(image, (np.indices(label.shape).sum(axis=0) % 2).astype(np.uint8)) is None  # all borders
    assert edge_correlation(image[:20], label[:20]) is None
    assert edge_correlation(image, label[:-1]) is None
