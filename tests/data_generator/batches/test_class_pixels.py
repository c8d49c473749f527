import numpy as np
import pytest

from data_generator import BatchGenerator
from helpers.images import write_image, write_labels


@pytest.fixture
def folders(tmp_path):
    rng = np.random.RandomState(0)
    labels = [rng.choice([0, 1, 2, 255], [6, 8]).astype(np.uint8) for _ in range(3)]
    for number, label in enumerate(labels):
        write_image(str(tmp_path / 'images' / '{}.png'.format(number)), np.zeros([6, 8, 3], np.uint8))
        write_labels(str(tmp_path / 'labels' / '{}.png'.format(number)), label)
    return str(tmp_path / 'images'), str(tmp_path / 'labels'), labels


def test_counts_the_valid_pixels_of_each_class(folders):
    images, directory, labels = folders
    counts = BatchGenerator([images], ground_truth_dirs=[directory], num_classes=3).count_class_pixels()
    np.testing.assert_array_equal(counts, [[(label == c).sum() for c in range(3)] for label in labels])


def test_needs_labels_and_a_number_of_classes(folders):
    images, directory, _ = folders
    for generator in (BatchGenerator([images], num_classes=3), BatchGenerator([images], ground_truth_dirs=[directory])):
        with pytest.raises(ValueError, match='counted by labels and num_classes, and this BatchGenerator lacks them'):
            generator.count_class_pixels()
