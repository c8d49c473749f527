import numpy as np
import pytest

from fcn8s.evaluation.objects import size_counts
from helpers.label_spaces import generic_label_space

SPACE = generic_label_space(4)._replace(void_class_ids=(3,))


def flood(mask):
    """Region numbers by a slow flood fill over 8 neighbours."""
    numbers, count = np.zeros(mask.shape, int), 0
    for start in np.argwhere(mask):
        if numbers[tuple(start)]:
            continue
        count += 1
        waiting = [tuple(start)]
        while waiting:
            y, x = waiting.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not numbers[y, x]:
                numbers[y, x] = count
                waiting += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return numbers, count


def slow_counts(labels, predicted, limits):
    counts = np.zeros((3, len(limits) + 1, 4), int)

    def bin_of(area):
        return sum(area >= limit * labels.size for limit in limits)

    valid = (labels != 255) & (labels != 3)
    for class_id in range(3):
        truth, answer = valid & (labels == class_id), valid & (predicted == class_id)
        regions, number = flood(truth)
        for region in range(1, number + 1):
            inside = regions == region
            counts[0, bin_of(inside.sum()), class_id] += (inside & answer).sum()
            counts[2, bin_of(inside.sum()), class_id] += (inside & ~answer).sum()
        answers, answer_number = flood(answer)
        for region in range(1, answer_number + 1):
            inside = answers == region
            overlaps = [(inside & (regions == other)).sum() for other in range(1, number + 1)]
            partner = inside if not overlaps or max(overlaps) == 0 else regions == 1 + int(np.argmax(overlaps))
            counts[1, bin_of(partner.sum()), class_id] += (inside & ~truth).sum()
    return counts


@pytest.mark.parametrize('seed', range(4))
def test_counts_are_those_of_a_flood_fill(seed):
    rng = np.random.RandomState(seed)
    labels = rng.choice([0, 1, 2, 3, 255], size=(5, 8)).repeat(3, axis=0).repeat(2, axis=1)
    predicted = np.where(rng.rand(15, 16) < 0.8, labels % 5, rng.randint(4, size=(15, 16)))
    found = size_counts(labels, predicted, SPACE, (0.04, 0.1))
    expected = slow_counts(labels, predicted, (0.04, 0.1))
    for part, wanted in zip((0, 2), (expected[0], expected[2])):
        np.testing.assert_array_equal(found[part], wanted)
    # Where a region overlaps two others equally, either is right: the sums over the bins are not in doubt.
    np.testing.assert_array_equal(found[1].sum(axis=0), expected[1].sum(axis=0))


def test_a_wrong_region_counts_with_the_object_that_it_overlaps():
    labels = np.zeros((10, 10), int)
    labels[2:4, 2:4] = 1
    predicted = np.zeros((10, 10), int)
    predicted[2:4, 2:8] = 1  # 12 pixels, 4 of them on an object of 4
    predicted[8, 8] = 1  # 1 pixel, on nothing
    counts = size_counts(labels, predicted, SPACE, (0.03, 0.1))
    np.testing.assert_array_equal(counts.true_positives[:, 1], [0, 4, 0])
    np.testing.assert_array_equal(counts.false_positives[:, 1], [1, 8, 0])
    np.testing.assert_array_equal(counts.false_negatives[:, 1], [0, 0, 0])
