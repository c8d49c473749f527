import numpy as np
import pytest

from helpers.class_weights import median_frequency_weights


def test_weights_are_the_median_frequency_over_that_of_the_class():
    # Class 0: 6 of the 20 pixels of both images; class 1: 12 of 20; class 2: 2 of the 10 pixels of image 1.
    class_pixels = np.array([[2, 8, 0, 0], [4, 4, 2, 0]])
    np.testing.assert_allclose(median_frequency_weights(class_pixels), [0.3 / 0.3, 0.3 / 0.6, 0.3 / 0.2, 1])


def test_an_image_of_ignored_pixels_alone_changes_nothing():
    class_pixels = np.array([[2, 8], [4, 4]])
    with_empty = np.array([[2, 8], [0, 0], [4, 4]])
    np.testing.assert_array_equal(median_frequency_weights(with_empty), median_frequency_weights(class_pixels))


def test_without_any_pixel_all_classes_weigh_the_same():
    np.testing.assert_array_equal(median_frequency_weights(np.zeros((3, 2))), [1, 1])


@pytest.mark.parametrize('class_pixels', [[1, 2], [[-1, 2]], [[np.inf, 1]], [[[1]]], 3])
def test_what_are_no_counts_by_image(class_pixels):
    with pytest.raises(ValueError, match='it has to hold one row of finite pixel counts, at least 0, for each image'):
        median_frequency_weights(np.array(class_pixels))
