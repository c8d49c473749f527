"""Labels that are called like their images but for words that all names have."""

import os
import warnings

import numpy as np
import pytest

from data_generator import BatchGenerator, DataError
from data_generator.checking.check import check_dataset
from data_generator.files.renaming import Kinds, companions, find_kinds, find_renaming, labels_among
from helpers.images import write_image, write_labels


@pytest.mark.parametrize(
    'images, labels',
    [
        ({'7', '8', '10'}, {'7': '7_mask', '8': '8_mask', '10': '10_mask'}),
        ({'cat', 'car', 'dog'}, {'cat': 'cat_mask', 'car': 'car_mask'}),
        ({'image_1', 'image_2'}, {'image_1': 'label_1', 'image_2': 'label_2'}),
        ({'img_10', 'img_11', 'img_12'}, {'img_10': 'mask_10', 'img_11': 'mask_11'}),
        ({'img10', 'img11'}, {'img10': 'mask10', 'img11': 'mask11'}),
        ({'a_rgb', 'b_rgb'}, {'a_rgb': 'a', 'b_rgb': 'b'}),
        ({'a_rgb', 'b_rgb'}, {'a_rgb': 'gt_a_seg', 'b_rgb': 'gt_b_seg'}),
        ({'photo'}, {'photo': 'photo_mask'}),
    ],
)
def test_words_that_all_names_have_are_passed_over(images, labels):
    renaming = find_renaming(images, set(labels.values()))
    for image, label in labels.items():
        assert renaming.label_stem(image) == label


@pytest.mark.parametrize(
    'images, labels',
    [
        ({'1', '2', '3'}, {'11', '12', '13'}),  # numbers that happen to begin alike
        ({'1', '2'}, {'1_car', '1_road', '2_car', '2_road'}),  # a file for each class
        ({'a', 'b', 'c'}, {'x_mask', 'y_mask', 'a_mask'}),  # fewer than half
        ({'a', 'b'}, {'c', 'd'}),
        ({'a'}, set()),
    ],
)
def test_names_without_words_in_common_give_no_renaming(images, labels):
    assert find_renaming(images, labels) is None


@pytest.mark.parametrize(
    'images, labels, expected',
    [
        (['a_rgb', 'b_rgb'], ['a_ids', 'a_color', 'b_ids', 'b_color'], Kinds('_rgb', ['_color', '_ids'])),
        (['a', 'b'], ['a_ids', 'a_color', 'b_ids', 'b_color', 'c_x'], Kinds('', ['_color', '_ids'])),
        (['x_1_rgb_anon', 'x_2_rgb_anon'], ['x_1_gt_Ids', 'x_2_gt_Ids', 'x_12_gt'], Kinds('_rgb_anon', ['_gt_Ids'])),
        (['a', 'b', 'c'], ['a_ids', 'a_color'], None),
        (['a1', 'a2'], ['a11', 'a12', 'a21', 'a22'], None),  # no word, but a part of the number
        (['a', 'b'], [], None),
    ],
)
def test_several_labels_of_an_image_differ_by_words(images, labels, expected):
    assert find_kinds(images, labels) == expected


@pytest.mark.parametrize(
    'paths, expected',
    [
        (['1.jpg', '1.png', '2.JPG', '2.png'], {'1.jpg': '1.png', '2.JPG': '2.png'}),
        (
            ['d/1.png', 'd/1_mask.png', 'd/2.png', 'd/2_mask.tif'],
            {'d/1.png': 'd/1_mask.png', 'd/2.png': 'd/2_mask.tif'},
        ),
        (['a_b.jpg', 'a_b_gt.png', 'c.jpg', 'c_gt.png', 'd.jpg'], {'a_b.jpg': 'a_b_gt.png', 'c.jpg': 'c_gt.png'}),
        (
            ['1_sat.jpg', '1_mask.png', '2_sat.jpg', '2_mask.png'],
            {'1_sat.jpg': '1_mask.png', '2_sat.jpg': '2_mask.png'},
        ),
        (['image_1.png', 'label_1.png', 'image_2.png'], {'image_1.png': 'label_1.png'}),
        (
            ['a_left.jpg', 'a_ids.png', 'b_left.jpg', 'b_ids.png'],
            {'a_left.jpg': 'a_ids.png', 'b_left.jpg': 'b_ids.png'},
        ),
        (['1_left.png', '1_right.png', '2_left.png', '2_right.png'], {}),  # which would be the label?
        (['IMG_1.jpg', 'DSC_1.png', 'IMG_2.jpg', 'DSC_2.png'], {}),  # photographs
        (['1_rgb.png', '1_depth.png', '1_mask.png'], {'1_rgb.png': '1_mask.png'}),
        (['1.png', '1_depth.png', '1_mask.png'], {'1.png': '1_mask.png'}),
        (['1.jpg', '1_color_mask.png', '1_preview.png'], {'1.jpg': '1_color_mask.png'}),
        (['1.png', '1_color.png', '1_ids.png'], {'1.png': '1_ids.png'}),
        (['1.png', '1_a.png', '1_seg.png'], {'1.png': '1_seg.png'}),
        (['1.png', '1_color.png'], {'1.png': '1_color.png'}),
        (['1.png', '1_depth.png'], {}),
        (['1.png', '1_thermal_mask.png'], {'1.png': '1_thermal_mask.png'}),
        (['1_jan.jpg', '2_feb.jpg', '3_mar.png'], {}),
        (['1.jpg', '1_mask.jpg', '2.jpg', '2_mask.jpg'], {}),  # no format for labels
        (['1.png', '2.png', '3.png', '1_x.png'], {}),
        (['1.png', '2.png'], {}),
    ],
)
def test_labels_are_told_from_images_beside_them(paths, expected):
    assert labels_among(paths) == expected


@pytest.mark.parametrize(
    'paths, expected',
    [
        (['a/1.jpg', 'a/1_superpixels.png', 'a/2.jpg', 'a/2_superpixels.png'], {'1_superpixels', '2_superpixels'}),
        (['a/1_a.jpg', 'a/1_a_depth.png', 'a/1_a_edges.png', 'a/2_a.jpg'], {'1_a_depth', '1_a_edges'}),
        (['a/1.jpg', 'a/1_mask.png'], set()),  # a label
        (['a/1.jpg', 'a/1_seg_mask.png'], set()),
        (['a/1.jpg', 'a/1_superpixels.png', 'a/3.png'], set()),  # an image in another format
        (['a/1.jpg', 'b/1_superpixels.png'], set()),
        (['a/1.jpg', 'a/1.png', 'a/2.jpg'], set()),
        (['a/1.png', 'a/1_flipped.png'], set()),
        (['a/1.jpg', 'a/1_flipped.jpg'], set()),
        ([], set()),
    ],
)
def test_files_made_of_photographs_are_told_from_images(paths, expected):
    assert {os.path.splitext(os.path.basename(path))[0] for path in companions(paths)} == expected


def test_what_was_made_of_photographs_and_has_no_labels_is_passed_over(tmp_path):
    """ISIC 2017."""
    images, labels = tmp_path / 'ISIC-2017_Training_Data', tmp_path / 'ISIC-2017_Training_Part1_GroundTruth'
    noise = np.random.RandomState(0).randint(0, 256, (3, 20, 30, 3)).astype(np.uint8)
    for number in range(3):
        write_image(images / 'ISIC_{}.jpg'.format(number), noise[number])
        write_image(images / 'ISIC_{}_superpixels.png'.format(number), noise[number])
        mask = np.zeros((20, 30), np.uint8)
        mask[: 5 + number] = 255
        write_labels(labels / 'ISIC_{}_segmentation.png'.format(number), mask)
    folders = [str(images)], None, [str(labels)]
    for rule in ({}, {'ground_truth_suffix': '_segmentation'}):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with BatchGenerator(*folders, num_classes=2, **rule).generate(3, shuffle=False) as batches:
                assert next(batches)[1].sum(axis=(1, 2)).tolist() == [150, 180, 210] and batches.num_batches == 1
    report = check_dataset([str(tmp_path)], show_progress=False)
    assert report.can_train and [fault.detail for fault in report.all_faults if fault.kind == 'beside_images'] == [
        'ISIC_0_superpixels.png'
    ]
    for number in range(3):
        write_labels(labels / 'ISIC_{}_superpixels_segmentation.png'.format(number), mask)  # of images, after all
    assert len(BatchGenerator(*folders, num_classes=2, ground_truth_suffix='_segmentation').pairs) == 6


def test_of_several_labels_beside_photographs_those_of_the_named_word_are_read(tmp_path):
    """As Segments.ai exports them."""
    for number in range(2):
        write_image(tmp_path / '{}.jpg'.format(number), np.zeros((2, 2, 3), np.uint8))
        for word, value in (('', 7), ('_semantic', number), ('_semantic_colored', 9)):
            path = tmp_path / '{}_label_ground-truth{}.png'.format(number, word)
            write_labels(path, np.full((2, 2), value, np.uint8))
    folders = [str(tmp_path)], None, [str(tmp_path)]
    data = BatchGenerator(*folders, num_classes=2, ground_truth_suffix='_label_ground-truth_semantic')
    with data.generate(2, shuffle=False) as batches:
        assert next(batches)[1][:, 0, 0].tolist() == [0, 1] and len(data.pairs) == 2


def test_folders_in_which_classes_are_numbered_anew_are_refused(tmp_path):
    """What labelme_json_to_dataset makes of each JSON file."""
    folder = tmp_path / 'a_json'
    for name in ('img.png', 'label.png', 'label_viz.png'):
        write_image(folder / name, np.zeros((2, 2, 3), np.uint8))
    (folder / 'label_names.txt').write_text('_background_\ncat\n')
    with pytest.raises(DataError, match=r'label_names\.txt is of a single image.* fcn8s import FOLDER OUT'):
        check_dataset([str(tmp_path)], show_progress=False)


def test_datasets_whose_names_differ_by_words_are_read(tmp_path):
    for number in range(3):
        write_image(tmp_path / 'images' / 'deep' / 'image_{}.png'.format(number), np.zeros((1, 2, 3), np.uint8))
        write_labels(tmp_path / 'labels' / 'deep' / 'label_{}.png'.format(number), np.array([[number, 0]], np.uint8))
    folders = [str(tmp_path / 'images')], None, [str(tmp_path / 'labels')]
    with BatchGenerator(*folders, num_classes=3).generate(3, shuffle=False) as batches:
        assert next(batches)[1][:, 0, 0].tolist() == [0, 1, 2]
    write_image(tmp_path / 'images' / 'other.png', np.zeros((1, 2, 3), np.uint8))  # has no word that the others have
    with pytest.raises(DataError, match='4 of 4 images below .* have no label'):
        BatchGenerator(*folders, num_classes=3)
    write_labels(tmp_path / 'labels' / 'other.png', np.zeros((1, 2), np.uint8))  # called alike: so are all
    with pytest.raises(DataError, match='3 of 4 images below .* have no label'):
        BatchGenerator(*folders, num_classes=3)
