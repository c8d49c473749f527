"""Masks of 0 and 255, mixtures of readings, and labels in the colours of a legend."""

import os

import cv2
import numpy as np
import pytest

from data_generator import BatchGenerator, DataError
from data_generator.checking.check import check_dataset
from data_generator.files.legends import Legend
from data_generator.files.masks import is_smoothed_mask, readings, spell
from helpers.ground_truth import nearest_colors
from helpers.label_spaces import generic_label_space


@pytest.mark.parametrize(
    'values, maps',
    [
        ([0, 1, 2], None),
        ([0, 1], None),
        ([0, 1, 2, 255], None),
        ([0, 255], [{0: 0, 255: 1}]),
        ([0, 1, 255], [{0: 0, 1: 1, 255: 1}, {0: 0, 1: 1, 255: 255}]),
        ([0, 128, 255], [{0: 0, 128: 1, 255: 2}, {0: 0, 128: 1, 255: 255}]),
        ([0, 255, 300], None),
        ([0, 65535], [{0: 0, 65535: 1}]),
        ([0, 1, 65535], None),
    ],
)
def test_what_grey_values_may_mean(values, maps):
    assert readings(values) == maps


def test_a_map_is_spelled_as_it_is_typed():
    assert spell({255: 1, 0: 0}) == '0:0,255:1'


def labels_of(data):
    with data.generate(1, shuffle=False) as batches:
        return [next(batches)[1][0].tolist() for _ in data.pairs]


def test_masks_of_0_and_255_are_two_classes(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[0, 0]]] * 20 + [[[0, 255]], [[255, 255]]], num_classes=2)
    with pytest.warns(UserWarning, match='255 is class 1 and nothing is ignored'):
        assert labels_of(data) == [[[0, 0]]] * 20 + [[[0, 1]], [[1, 1]]]
    assert data.conversion.id_map == {0: 0, 255: 1}


def test_masks_of_16_bits_are_two_classes_too(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[0, 0]], [[0, 65535]]], num_classes=2)
    with pytest.warns(UserWarning, match=r'65535 is class 1 and nothing is ignored. Pass id_map={0: 0, 65535: 1} to'):
        assert labels_of(data) == [[[0, 0]], [[0, 1]]]
    void = own_dataset(tmp_path, [[[0, 0]], [[0, 65535]]], num_classes=2, id_map={0: 0, 65535: 255})
    assert labels_of(void) == [[[0, 0]], [[0, 255]]]


def test_masks_of_0_1_and_255_are_asked_about(tmp_path, own_dataset):
    masks = [[[0, 1]], [[255, 0]]]
    with pytest.raises(DataError, match=r'0, 1, 255.*id_map={0: 0, 1: 1, 255: 1}.*--id-map.*ignore_id=255 \(--ignore'):
        labels_of(own_dataset(tmp_path, masks, num_classes=2))
    assert labels_of(own_dataset(tmp_path, masks, num_classes=2, ignore_id=255)) == masks
    assert labels_of(own_dataset(tmp_path, masks, num_classes=2, id_map={0: 0, 1: 1, 255: 1})) == [[[0, 1]], [[1, 0]]]


def test_more_classes_and_a_conversion_of_the_call_need_no_guess(tmp_path, own_dataset):
    masks = [[[0, 255]]]
    assert labels_of(own_dataset(tmp_path, masks, num_classes=3)) == masks
    with own_dataset(tmp_path, masks, num_classes=2).generate(1, convert_ids_to_ids={0: 1, 255: 0}) as batches:
        assert next(batches)[1].tolist() == [[[1, 0]]]


SKY, ROAD, VOID = (10, 20, 200), (90, 90, 91), (0, 0, 0)
SPACE = generic_label_space(2, class_names=['sky', 'road'])._replace(colors=(SKY, ROAD), ignore_colors=(VOID,))


def test_labels_in_the_colours_of_the_classes_are_read_by_them(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[SKY, ROAD, VOID]]], label_space=SPACE)
    assert labels_of(data) == [[[0, 1, 255]]]
    ids = own_dataset(tmp_path / 'ids', [[[0, 1, 255]]], label_space=SPACE, ignore_id=255)
    assert labels_of(ids) == [[[0, 1, 255]]]


def test_grey_masks_are_read_by_a_legend_of_black_and_white(tmp_path, own_dataset):
    space = SPACE._replace(colors=((255,) * 3, (0,) * 3), ignore_colors=())
    assert labels_of(own_dataset(tmp_path, [[[0, 255]]], label_space=space)) == [[[1, 0]]]


def test_colours_beside_those_of_the_classes_are_refused_unless_near_enough(tmp_path, own_dataset):
    label = [[SKY, (15, 25, 195), ROAD]]
    with pytest.raises(DataError, match=r'\(15, 25, 195\) is not in the table'):
        labels_of(own_dataset(tmp_path, [label], label_space=SPACE))
    assert labels_of(own_dataset(tmp_path, [label], label_space=SPACE, color_tolerance=5)) == [[[0, 0, 1]]]
    with pytest.raises(DataError, match=r'\(15, 25, 195\) is not in the table'):
        labels_of(own_dataset(tmp_path, [label], label_space=SPACE, color_tolerance=4))


def test_transparent_pixels_are_what_the_user_says(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[SKY, ROAD, ROAD]]], label_space=SPACE)
    rgba = np.uint8([[[*SKY, 255], [*ROAD, 1], [7, 8, 9, 0]]])  # the colour below a transparent pixel is anything
    cv2.imwrite(data.pairs[0].label, cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))
    folders = dict(image_dirs=[str(tmp_path / 'images')], ground_truth_dirs=[str(tmp_path / 'labels')])

    def read(**options):
        return labels_of(BatchGenerator(label_space=SPACE, **folders, **options))

    with pytest.raises(DataError, match=r'has transparent pixels \(33\.3%\).*--label-transparency void'):
        read()
    assert read(label_transparency='void') == [[[0, 1, 255]]]
    assert read(label_transparency='sky') == [[[0, 1, 0]]]
    assert read(label_transparency='road', color_tolerance=10) == [[[0, 1, 1]]]

    def cached(what):
        data = BatchGenerator(label_space=SPACE, label_transparency=what, **folders)
        with data.generate(1, shuffle=False, cache_dir=str(tmp_path / 'cache')) as batches:
            return next(batches)[1].tolist()

    assert [cached(what) for what in ('void', 'sky', 'void')] == [[[[0, 1, 255]]], [[[0, 1, 0]]], [[[0, 1, 255]]]]


@pytest.mark.parametrize(
    'space, what, message',
    [
        (SPACE, 'tree', r"label_transparency is 'tree'; it has to be 'void' or the name of a class: sky, road\."),
        (SPACE, 3, 'label_transparency is 3; it has to be'),
        (SPACE._replace(ignore_colors=()), 'void', 'no colour of the table is one that does not count. Add a line'),
        (generic_label_space(2), 'void', r'is about labels that hold colours. Give a table of them \(--colors FILE\)'),
        (None, 'void', 'no class is known. Give the classes with their colours'),
    ],
)
def test_what_transparent_pixels_cannot_be(tmp_path, own_dataset, space, what, message):
    with pytest.raises(ValueError, match=message):
        own_dataset(tmp_path, [[[SKY, ROAD]]], label_space=space, label_transparency=what)


def test_labels_of_ids_have_no_transparent_pixels_to_speak_of(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [[[0, 1]]], label_space=SPACE, label_transparency='sky')
    with pytest.warns(UserWarning, match="label_transparency is 'sky', and .* these hold IDs") as warned:
        assert labels_of(data) == [[[0, 1]]]
    assert [warning.filename for warning in warned] == [__file__]
    legend = Legend(SPACE.class_names, SPACE.colors, SPACE.ignore_colors)
    with pytest.raises(ValueError, match="label_transparency is 'sky', and .* these hold IDs, of which none is transp"):
        check_dataset(str(tmp_path), legend=legend, label_transparency='sky', show_progress=False)
    with pytest.raises(ValueError, match='color_tolerance is 5, and .* these hold IDs, which are read as they are. Le'):
        check_dataset(str(tmp_path), legend=legend, color_tolerance=5, show_progress=False)
    with pytest.raises(ValueError, match='color_tolerance is 5, and .* these hold IDs'):
        check_dataset(str(tmp_path), color_tolerance=5, show_progress=False)
    own_dataset(tmp_path / 'smoothed', [[[0, 255] * 40 + list(range(60, 140, 10))]], num_classes=2, color_tolerance=127)
    report = check_dataset(str(tmp_path / 'smoothed'), color_tolerance=5, show_progress=False)
    assert '--classes 2 --color-tolerance 127' in report.to_text()  # what is not known yet is asked


def test_a_tolerance_of_colours_is_not_passed_over_where_there_are_none(tmp_path, own_dataset):
    message = 'color_tolerance is 10, and is about labels that hold colours; those of 3 classes without colours'
    with pytest.raises(ValueError, match=message):
        own_dataset(tmp_path, [[[0, 1, 2]]], num_classes=3, color_tolerance=10)
    with pytest.raises(ValueError, match=message):
        check_dataset(str(tmp_path), num_classes=3, color_tolerance=10)


def test_smoothed_masks_are_read_by_the_nearer_of_black_and_white(tmp_path, own_dataset):
    masks = [[[0, 0, 0, 0]]] * 20 + [[[0, 100, 128, 255]]]  # the first say nothing
    assert labels_of(own_dataset(tmp_path, masks, num_classes=2, color_tolerance=127))[-1] == [[0, 0, 1, 1]]
    with pytest.raises(DataError, match=r'\(128, 128, 128\) is not in the table'):
        labels_of(own_dataset(tmp_path, masks, num_classes=2, color_tolerance=126))
    ids = [[[0, 1, 1, 0]]]  # numbers of classes are no greys
    with pytest.warns(UserWarning, match='color_tolerance is 127, and .* these hold IDs, .* so it changes nothing'):
        assert labels_of(own_dataset(tmp_path / 'ids', ids, num_classes=2, color_tolerance=127)) == ids


@pytest.mark.parametrize(
    'pixels, expected',
    [
        ({0: 80, 255: 10, **dict.fromkeys(range(20, 26), 1)}, True),
        ({0: 80, 255: 10, 128: 6}, False),
        ({0: 10, 255: 10, **dict.fromkeys(range(1, 11), 3)}, False),
        ({0: 80, **dict.fromkeys(range(1, 20), 1)}, False),
    ],
)
def test_what_looks_like_a_smoothed_mask(pixels, expected):
    assert is_smoothed_mask(pixels) is expected


def test_jpeg_masks_are_found_and_read_on_request(tmp_path, own_dataset):
    data = own_dataset(tmp_path, [np.full((16, 16, 3), SKY)], label_space=SPACE)
    os.remove(data.pairs[0].label)
    cv2.imwrite(str(tmp_path / 'labels/0.jpg'), np.full((16, 16, 3), SKY[::-1], np.uint8))
    folders = dict(image_dirs=[str(tmp_path / 'images')], ground_truth_dirs=[str(tmp_path / 'labels')])
    assert np.all(labels_of(BatchGenerator(label_space=SPACE, color_tolerance=20, **folders)) == np.zeros((1, 16, 16)))
    with pytest.raises(DataError, match='JPEG'):
        labels_of(BatchGenerator(label_space=SPACE, **folders))


def test_nearest_colours_against_a_loop():
    rng = np.random.default_rng(0)
    image, table = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), [SKY, ROAD, (200, 200, 0)]
    moved, count = nearest_colors(image, table, 60)
    expected, number = image.copy(), 0
    for y in range(9):
        for x in range(7):
            distances = [max(abs(int(a) - b) for a, b in zip(image[y, x], color)) for color in table]
            if 0 < min(distances) <= 60:
                number += 1
                assert moved[y, x].tolist() in [list(c) for c, d in zip(table, distances) if d == min(distances)]
                expected[y, x] = moved[y, x]
    np.testing.assert_array_equal(moved, expected)
    assert count == number > 0


@pytest.mark.parametrize('tolerance', [-1, 256, 1.5, True, '3'])
def test_tolerances_that_cannot_be_are_refused(tmp_path, own_dataset, tolerance):
    with pytest.raises(ValueError, match='color_tolerance is .*; it has to be a whole number from 0 to 255'):
        own_dataset(tmp_path, [[[SKY, ROAD]]], label_space=SPACE, color_tolerance=tolerance)
