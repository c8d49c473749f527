import numpy as np
import pytest

from fcn8s.evaluation.label_doubts import Doubt, denied_shares, find_doubts, rank_doubts
from helpers.label_spaces import generic_label_space

SPACE = generic_label_space(4)._replace(void_class_ids=(3,))


def test_regions_that_surprise_the_most_surprising_first():
    labels = np.zeros((40, 60), np.uint8)
    predicted, surprises = labels.copy(), np.zeros((40, 60), np.float32)
    for top, left, height, width, answer, surprise in (
        (2, 3, 6, 7, 1, 8.0),  # found
        (20, 30, 10, 12, 2, 6.0),  # found, larger
        (2, 30, 10, 10, 1, 4.0),  # the label is possible
        (30, 2, 2, 20, 1, 9.0),  # a strip
    ):
        predicted[top : top + height, left : left + width] = answer
        surprises[top : top + height, left : left + width] = surprise
    assert find_doubts(labels, predicted, surprises, SPACE) == [
        Doubt(0, 2, 120, (20, 30, 30, 42), 720.0),
        Doubt(0, 1, 42, (2, 3, 8, 10), 336.0),
    ]


def test_an_object_that_the_network_misses_counts_less_than_one_that_the_label_misses():
    labels, predicted = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    labels[5:15, 5:15] = 1  # the network predicts what is around it
    predicted[20:30, 30:40] = 2  # the label is what is around it
    surprises = np.where(labels != predicted, 6.0, 0.0).astype(np.float32)
    found = find_doubts(labels, predicted, surprises, SPACE)
    assert [(doubt.label, doubt.predicted) for doubt in found] == [(0, 2), (1, 0)]
    assert [doubt.surprise for doubt in found] == pytest.approx([600.0, 600.0 * 100 / (40 * 60 - 100)])


def test_shares_are_of_segments_and_of_pixels_that_count():
    class_ids = np.array([[1, 1, 2, 1], [1, 1, 2, 1]], np.uint8)
    labels = np.array([[1, 0, 2, 0], [255, 1, 2, 0]], np.uint8)
    valid = labels != 255
    shares = denied_shares(class_ids, valid & (labels != class_ids), valid)
    np.testing.assert_allclose(shares, [[1 / 3, 1 / 3, 0, 1], [1 / 3, 1 / 3, 0, 1]])


@pytest.mark.parametrize('ids', [255, 3])
def test_ignored_and_void_pixels_are_in_no_region(ids):
    labels = np.full((20, 20), ids, np.uint8)
    assert find_doubts(labels, np.ones((20, 20), np.uint8), np.full((20, 20), 9.0, np.float32), SPACE) == []


def test_what_is_predicted_as_labelled_is_in_no_doubt():
    labels = np.ones((20, 20), np.uint8)
    assert find_doubts(labels, labels, np.full((20, 20), 9.0, np.float32), SPACE) == []


def test_images_are_ranked_by_their_largest_surprise():
    small, large = Doubt(0, 1, 10, (0, 0, 2, 5), 60.0), Doubt(0, 2, 5, (0, 0, 1, 5), 99.0)
    ranked = rank_doubts([[small], [], [large, small]])
    assert [(entry.image, entry.doubt) for entry in ranked] == [(2, large), (0, small)]
