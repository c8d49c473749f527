import itertools

import numpy as np
import pytest

from fcn8s.batches import as_image_batch, as_label_batch, as_pair, check_same_classes
from fcn8s.evaluation.boundaries import boundary_f1, boundary_mask
from fcn8s.evaluation.scores import count_confusion
from helpers.label_spaces import CAMVID, CITYSCAPES, generic_label_space

SPACE = generic_label_space(3)


def test_uint8_images_are_fed_as_they_are():
    images = np.zeros([2, 4, 5, 3], np.uint8)
    assert as_image_batch(images) is images
    assert as_image_batch(list(images)).dtype == np.uint8


@pytest.mark.parametrize('dtype', [np.int64, np.uint16, np.float64])
def test_other_numbers_from_0_to_255_become_float32(dtype):
    images = np.random.RandomState(0).randint(0, 256, [1, 4, 5, 3]).astype(dtype)
    fed = as_image_batch(images)
    assert fed.dtype == np.float32
    np.testing.assert_array_equal(fed, images)


def test_black_images_are_no_mistake():
    assert not as_image_batch(np.zeros([1, 2, 2, 3], np.float32)).any()


def test_a_type_error_in_a_generator_of_images_is_its_own():
    def images():
        yield np.zeros([2, 2, 3], np.uint8)
        raise TypeError('of the generator')

    with pytest.raises(TypeError, match='of the generator'):
        as_image_batch(images())


@pytest.mark.parametrize(
    'batch', [(np.zeros([1, 2, 2, 3], np.uint8), np.zeros([1, 2, 2], np.uint8)), np.zeros([1, 2, 2, 3], np.uint8)]
)
def test_endless_batches_are_no_images(batch):
    with pytest.raises(ValueError, match=r'images are a repeat, which gives batches. .* = next\(batches\)'):
        as_image_batch(itertools.repeat(batch))


@pytest.mark.parametrize('shape', [[1, 2, 2], [1, 2, 2, 5]])
def test_a_batch_with_its_labels_is_no_images(shape):
    with pytest.raises(ValueError, match=r'images are \(images, labels\). Pass the images alone'):
        as_image_batch((np.zeros([1, 2, 2, 3], np.uint8), np.zeros(shape, np.uint8)))


def test_a_generator_of_images_is_a_batch():
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    np.testing.assert_array_equal(as_image_batch(image for image in images), images)


@pytest.mark.parametrize('dtype', [bool, object, complex])
def test_images_that_hold_no_numbers(dtype):
    with pytest.raises(ValueError, match='expected uint8, or numbers from 0 to 255'):
        as_image_batch(np.zeros([1, 2, 2, 3], dtype))


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64, np.uint16])
def test_class_ids_of_any_integer_type_become_uint8(dtype):
    labels = np.array([[[0, 1], [2, 255]]], dtype)
    fed = as_label_batch(labels, SPACE, 1)
    assert fed.dtype == np.uint8
    np.testing.assert_array_equal(fed, labels)


@pytest.mark.parametrize('dtype', [np.uint8, bool, np.float32])
def test_one_hot_labels(dtype):
    one_hot = np.eye(3, dtype=dtype)[np.array([[[0, 1], [2, 0]]])]
    fed = as_label_batch(one_hot, SPACE, 1)
    assert fed.dtype == np.uint8 and fed.shape == (1, 2, 2, 3)
    np.testing.assert_array_equal(fed.argmax(axis=-1), [[[0, 1], [2, 0]]])


@pytest.mark.parametrize(
    'wrong, dtype, named',
    [
        (3, np.uint8, r'\[3\]'),
        (-1, np.int32, r'\[-1\]'),
        (300, np.int64, r'\[300\]'),
        (256, np.uint16, r'\[256\]'),
        (254, np.uint8, r'\[254\]'),
        (0.5, np.float32, r'\[0.5\]'),
    ],
)
def test_ids_that_are_no_class(wrong, dtype, named):
    labels = np.zeros([1, 2, 2], dtype)
    labels[0, 1, 1] = wrong
    with pytest.raises(
        ValueError, match='labels hold the IDs {}, but the network has the classes 0 to 2 and ignores 255'.format(named)
    ):
        as_label_batch(labels, SPACE, 1)


def test_the_ignore_id_of_the_network_is_the_one_that_is_allowed():
    labels = np.full([1, 2, 2], 11, np.uint8)
    np.testing.assert_array_equal(as_label_batch(labels, CAMVID, 1), labels)
    with pytest.raises(ValueError, match=r'hold the IDs \[255\].*ignores 11'):
        as_label_batch(np.full([1, 2, 2], 255, np.uint8), CAMVID, 1)


@pytest.mark.parametrize(
    'feed, remedy',
    [
        (lambda masked: as_label_batch(masked, CAMVID, 1), r'labels.filled\(11\)'),
        (lambda masked: as_label_batch(list(masked), CAMVID, 1), r'labels.filled\(11\)'),
        (lambda masked: as_image_batch(np.ma.stack([masked] * 3, axis=-1)), r'images.filled\(0\)'),
        (lambda masked: as_image_batch(list(np.ma.stack([masked] * 3, axis=-1))), r'image.filled\(0\)'),
        (lambda masked: count_confusion(masked, masked.data, 2), r'labels.filled\(255\)'),
        (lambda masked: count_confusion(masked.data, masked, 2), r'class_ids.filled\(255\)'),
        (lambda masked: boundary_f1(masked[0], masked[0].data, 2, 1), r'labels.filled\(ignore_id\)'),
        (lambda masked: boundary_mask(masked[0]), r'ids.filled\(255\)'),
    ],
)
def test_masked_pixels_would_count(feed, remedy):
    with pytest.raises(ValueError, match='some pixels are masked, and masks are not read. Fill them first: ' + remedy):
        feed(np.ma.masked_equal([[[0, 1], [1, 0]]], 1))


@pytest.mark.parametrize('shape', [(2, 2), (1, 2, 2, 4), (1, 2, 2, 1), (2, 2, 2), (1, 1, 2, 2, 3)])
def test_labels_of_another_shape(shape):
    with pytest.raises(ValueError, match=r'for 1 image; expected class IDs \[N, H, W\] or one-hot \[N, H, W, 3\]'):
        as_label_batch(np.zeros(shape, np.uint8), SPACE, 1)


def test_the_names_of_the_data_are_taken_where_the_network_has_none():
    named = generic_label_space(3, class_names=['a', 'b', 'c'])._replace(name='mine')
    assert check_same_classes(SPACE, named) == named
    assert check_same_classes(named, SPACE) == named
    assert check_same_classes(named, None) == named
    assert check_same_classes(CITYSCAPES, CITYSCAPES) == CITYSCAPES


@pytest.mark.parametrize(
    'data, message',
    [
        (
            CITYSCAPES,
            "labelled in 'cityscapes' .19 classes, ignoring 255., but the network was built for 'mine' .3 classes",
        ),
        (generic_label_space(3, 0), 'ignoring 0.*ignoring 255'),
        (
            generic_label_space(3, class_names=['a', 'x', 'c'])._replace(name='other'),
            "class 1 is 'x' in the data and 'b' in the network",
        ),
    ],
)
def test_data_of_other_classes_are_refused(data, message):
    named = generic_label_space(3, class_names=['a', 'b', 'c'])._replace(name='mine')
    with pytest.raises(ValueError, match=message):
        check_same_classes(named, data)


def test_a_list_of_names_is_no_label_space():
    with pytest.raises(ValueError, match=r"label_space is \['a', 'b'\]; it has to be a LabelSpace"):
        check_same_classes(['a', 'b'], None)


def test_classes_with_names_are_compared_whatever_the_space_is_called():
    first, second = (generic_label_space(2, class_names=names) for names in (['soil', 'crop'], ['crop', 'soil']))
    with pytest.raises(ValueError, match="class 0 is 'crop' in the data and 'soil' in the network"):
        check_same_classes(first, second)


@pytest.mark.parametrize(
    'pixel, named',
    [
        ([0, 255, 0], 'up to 255 in a pixel'),
        ([0.3, 0.3, 0.4], 'up to 1 in'),
        ([1, 1, 0], 'up to 2'),
        ([0, -1, 0], '-1'),
    ],
)
def test_one_hot_labels_that_are_not(pixel, named):
    labels = np.zeros([1, 2, 2, 3], np.asarray(pixel).dtype)
    labels[0, 1, 1] = pixel
    with pytest.raises(ValueError, match='have to be one-hot: one 1 a pixel.*' + named):
        as_label_batch(labels, SPACE, 1)


def test_one_hot_labels_of_any_type():
    labels = np.zeros([1, 2, 2, 3])
    labels[..., 1] = 1
    labels[0, 0, 0] = 0
    for dtype in (np.float32, np.int64, bool, np.uint8):
        given = as_label_batch(labels.astype(dtype), SPACE, 1)
        assert given.dtype == np.uint8
        np.testing.assert_array_equal(given, labels)


def test_a_batch_is_a_pair():
    assert as_pair([1, 2]) == (1, 2)
    for batch, what in ((np.zeros(3), 'a ndarray of 3'), ((1, 2, 3), 'a tuple of 3'), (None, 'None')):
        with pytest.raises(ValueError, match='a batch is {}; it has to be .images, labels.'.format(what)):
            as_pair(batch)
