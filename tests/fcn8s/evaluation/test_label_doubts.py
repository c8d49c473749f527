import numpy as np

from fcn8s.evaluation.label_doubts import Doubt, find_doubts, rank_doubts
from helpers.label_spaces import generic_label_space

SPACE = generic_label_space(4)._replace(void_class_ids=(3,))


def test_regions_of_confident_disagreement_the_largest_first():
    labels = np.zeros((40, 60), np.uint8)
    predicted, margins = labels.copy(), np.zeros((40, 60), np.float32)
    for top, left, height, width, answer, margin in (
        (2, 3, 6, 7, 1, 0.9),  # found
        (20, 30, 10, 12, 2, 0.6),  # found, larger
        (2, 30, 10, 10, 1, 0.4),  # not confident
        (30, 2, 3, 20, 1, 0.9),  # a strip
    ):
        predicted[top : top + height, left : left + width] = answer
        margins[top : top + height, left : left + width] = margin
    assert find_doubts(labels, predicted, margins, SPACE) == [
        Doubt(0, 2, 120, (20, 30, 30, 42)),
        Doubt(0, 1, 42, (2, 3, 8, 10)),
    ]


def test_ignored_and_void_pixels_are_in_no_region():
    labels = np.full((20, 20), 255, np.uint8)
    labels[:, 10:] = 3
    assert find_doubts(labels, np.ones((20, 20), np.uint8), np.ones((20, 20), np.float32), SPACE) == []


def test_common_confusions_count_less_than_rare_ones():
    confusion = np.array([[500, 500, 1], [0, 1000, 0], [0, 0, 1000]])
    common, rare = Doubt(0, 1, 100, (0, 0, 10, 10)), Doubt(0, 2, 50, (0, 0, 5, 10))
    ranked = rank_doubts([[common], [], [rare, common]], confusion)
    assert [(entry.image, entry.doubt) for entry in ranked] == [(2, rare), (0, common)]
    assert ranked[1].score == -100 * np.log(500 / 1001)
