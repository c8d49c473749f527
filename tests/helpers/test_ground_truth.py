import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.ground_truth import (
    convert_colors_to_ids,
    convert_ids_to_colors,
    convert_ids_to_ids,
    convert_to_one_hot,
    nearest_colors,
    one_hot_to_ids,
)
from helpers.images import resize_labels, write_image, write_labels
from helpers.label_spaces import CAMVID32, are_counted
from helpers.visualization_utils import colorize

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(SIZES, st.integers(0, 2**31), st.sampled_from([1, 256]))
@settings(deadline=None, max_examples=20)
def test_colours_and_ids_are_inverse(size, seed, factor):
    ids = np.random.RandomState(seed).randint(0, 32, size)
    table = {color: class_id * factor for color, class_id in CAMVID32.color_to_id.items()}
    colors = np.array([[CAMVID32.colors[class_id] for class_id in row] for row in ids], np.uint8)
    found = convert_colors_to_ids(colors, table)
    assert found.dtype == (np.uint8 if factor == 1 else np.uint16)
    np.testing.assert_array_equal(found, ids * factor)
    np.testing.assert_array_equal(convert_ids_to_colors(ids, CAMVID32.colors), colors)


def test_an_unmapped_colour_is_named():
    label = np.zeros((4, 5, 3), np.uint8)
    label[2, 3] = (1, 2, 250)
    with pytest.raises(ValueError, match=r'\(1, 2, 250\) is not in the table of 1 colours. Add it'):
        convert_colors_to_ids(label, {(0, 0, 0): 5})


@pytest.mark.parametrize(
    'table, message',
    [
        ({(0, 0): 1}, r'colour \(0, 0\) came in a table'),
        ({(0, 0, 256): 1}, r'each 0 to 255'),
        ({(0.5, 0, 1.0): 1}, r'colour \(0.5, 0, 1.0\) came in a table, but colours are whole numbers'),
        ({(0, 0, 0): -1}, 'The ID -1 came in a table'),
        ({(0, 0, 0): 65536}, 'The ID 65536 came'),
    ],
)
def test_malformed_colour_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        convert_colors_to_ids(np.zeros((1, 1, 3), np.uint8), table)


@pytest.mark.parametrize('label', [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)])
def test_malformed_colour_labels_are_refused(label):
    with pytest.raises(ValueError, match=r'but uint8 \[H, W, 3\] is expected'):
        convert_colors_to_ids(label, {(0, 0, 0): 0})


@given(
    SIZES,
    st.integers(0, 2**31),
    st.sampled_from(['uint8', 'uint16', 'int32', 'int64']),
    st.integers(1, 300),
    st.sampled_from([255, 1000]),
)
@settings(deadline=None, max_examples=60)
def test_all_forms_of_an_id_map_do_the_same(size, seed, dtype, length, largest):
    random = np.random.RandomState(seed)
    id_map = random.randint(0, largest + 1, length)
    labels = random.randint(0, min(length, 256), size).astype(dtype)
    expected = np.array([[id_map[old] for old in row] for row in labels])
    maps = [id_map.astype('int32'), id_map, id_map.tolist(), {old: int(new) for old, new in enumerate(id_map)}]
    if largest == 255:
        maps.append(id_map.astype('uint8'))
    results = [convert_ids_to_ids(labels, one) for one in maps]
    for result in results:
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == (np.uint8 if id_map.max() <= 255 else np.uint16)


def test_256_does_not_fit_a_byte():
    found = convert_ids_to_ids(np.array([[0, 1]], np.uint8), {0: 256, 1: 0})
    assert found.dtype == np.uint16 and found.tolist() == [[256, 0]]


def test_the_first_of_equally_near_colours_is_taken():
    found, _ = nearest_colors(np.full((1, 1, 3), 10, np.uint8), [(0, 0, 0), (20, 20, 20)], 10)
    assert found.tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
@pytest.mark.parametrize('id_map', [{0: 1, 2: 5}, [1, 2]])
def test_an_unmapped_id_is_named(dtype, id_map):
    labels = np.array([[0, 0], [0, 7]], dtype)
    with pytest.raises(ValueError, match='The ID 7 is not in the ID map. Add it'):
        convert_ids_to_ids(labels, id_map)


def test_holes_and_negative_labels_are_unmapped():
    with pytest.raises(ValueError, match='The ID 1 is not'):
        convert_ids_to_ids(np.array([[1]], np.uint8), {0: 1, 2: 5})
    with pytest.raises(ValueError, match='The ID -1 is not'):
        convert_ids_to_ids(np.array([[-1]]), [0, 1])


@pytest.mark.parametrize(
    'id_map, message',
    [
        ([[1]], r'but integers \[K\] are expected'),
        (np.array([0.5]), r'but integers \[K\]'),
        ({}, 'is empty'),
        ([-1], 'The ID -1 came in a table.*such as 255'),
        ({0: 70000}, 'The ID 70000 came'),
        ({0: 0.5}, 'The ID 0.5 came'),
    ],
)
def test_malformed_id_maps_are_refused(id_map, message):
    with pytest.raises(ValueError, match=message):
        convert_ids_to_ids(np.zeros((1, 1), np.uint8), id_map)


def test_labels_that_are_no_integers():
    conversions = [
        lambda labels: convert_ids_to_ids(labels, [0, 1]),
        lambda labels: convert_ids_to_colors(labels, [(1, 2, 3)] * 2),
        lambda labels: convert_to_one_hot(labels, 2),
    ]
    for convert in conversions:
        with pytest.raises(ValueError, match='Labels of dtype float64 came'):
            convert(np.full((1, 1), 0.7))  # as an index it would be 0
        np.testing.assert_array_equal(convert(np.array([[True]])), convert(np.array([[1]])))


@pytest.mark.parametrize(
    'use',
    [
        lambda labels: convert_ids_to_ids(labels, [0, 1]),
        lambda labels: convert_to_one_hot([labels], 2),
        one_hot_to_ids,
        lambda labels: convert_colors_to_ids(np.ma.stack([labels] * 3, axis=-1), {(0, 0, 0): 0}),
        lambda labels: are_counted(labels, CAMVID32),
        lambda labels: colorize(labels, CAMVID32),
        lambda labels: resize_labels(labels, (3, 3)),
        lambda labels: write_labels('labels.png', labels),
        lambda labels: write_image('image.png', np.ma.stack([labels] * 3, axis=-1)),
    ],
)
def test_masked_pixels_are_refused(use):
    """As rasterio's read(masked=True) has them; NumPy would drop the mask, and what lies under it would count."""
    labels = np.ma.masked_array(np.eye(2, dtype=np.uint8), [[0, 0], [0, 1]])
    with pytest.raises(ValueError, match=r'some pixels are masked, and masks are not read.*filled\('):
        use(labels)


def test_a_mask_without_a_masked_pixel_is_no_mask():
    labels = np.ma.masked_array([[0, 1]], [[False, False]])
    assert type(convert_ids_to_ids(labels, [0, 1])) is np.ndarray


def test_a_table_of_colours_is_a_dict():
    with pytest.raises(ValueError, match=r'A list came, but a dict from \(r, g, b\) to ID is expected'):
        convert_colors_to_ids(np.zeros((1, 1, 3), np.uint8), [(0, 0, 0)])


def test_ids_without_a_colour_are_black():
    painted = convert_ids_to_colors(np.array([[0, 255], [-1, 1]]), [(1, 2, 3), (4, 5, 6)])
    np.testing.assert_array_equal(painted, [[[1, 2, 3], [0, 0, 0]], [[0, 0, 0], [4, 5, 6]]])
    with pytest.raises(ValueError, match=r'but \[C, 3\] with values from 0 to 255'):
        convert_ids_to_colors(np.zeros((1, 1), int), [(1, 2, 300)])


@pytest.mark.parametrize('colors', [[(0.5, 0.1, 1.0)], np.zeros((0, 3)), [(np.nan, 0, 0)]])
def test_colours_of_other_programs_are_not_cut_down_to_black(colors):
    with pytest.raises(ValueError, match='values from 0 to 255, whole numbers, is expected'):
        convert_ids_to_colors(np.zeros((1, 1), int), colors)


@pytest.mark.parametrize('dtype', ['int8', 'uint8', 'int16', 'uint64', 'int64'])
def test_as_many_classes_as_a_type_has_numbers(dtype):
    """What stands for no class is beyond the type then."""
    count = min(256, np.iinfo(dtype).max + 1)
    ids = np.array([[0, count - 1, 5]], dtype)
    one_hot = convert_to_one_hot(ids, count, ignore_id=5)
    assert one_hot.sum(axis=-1).tolist() == [[1, 1, 0]] and one_hot.argmax(axis=-1)[0, 1] == count - 1
    colors = [(value, 1, 2) for value in range(count)]
    assert convert_ids_to_colors(ids, colors)[0, :, 0].tolist() == [0, count - 1, 5]
    if np.iinfo(dtype).min < 0:
        assert convert_ids_to_colors(np.array([[-1]], dtype), colors).tolist() == [[[0, 0, 0]]]


@given(st.integers(1, 300), st.sampled_from([255, 3, 1000]), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_one_hot_and_back(num_classes, ignore_id, seed):
    random = np.random.RandomState(seed)
    labels = random.choice([c for c in range(num_classes) if c != ignore_id] + [ignore_id], (2, 3, 4))
    one_hot = convert_to_one_hot(labels, num_classes, ignore_id)
    assert one_hot.shape == (2, 3, 4, num_classes) and one_hot.dtype == np.uint8
    for index in np.ndindex(*labels.shape):
        expected = np.zeros(num_classes)
        if labels[index] != ignore_id:
            expected[labels[index]] = 1
        np.testing.assert_array_equal(one_hot[index], expected)
    np.testing.assert_array_equal(one_hot_to_ids(one_hot, ignore_id), labels)
    np.testing.assert_array_equal(one_hot_to_ids(one_hot.astype(bool), ignore_id), labels)


def test_one_hot_refuses_other_labels():
    with pytest.raises(ValueError, match='The label 4 came, but there are the classes 0 to 2 and 255'):
        convert_to_one_hot(np.array([[0, 4]]), 3)
    with pytest.raises(ValueError, match='The label -1 came'):
        convert_to_one_hot(np.array([[-1]]), 3)
    for num_classes in (3.0, '3', 0):
        with pytest.raises(ValueError, match='num_classes is .*; it has to be a whole number of at least 1'):
            convert_to_one_hot(np.array([[0]]), num_classes)


@pytest.mark.parametrize('vector', [[0.2, 0.8], [1, 1], [2, 0]])
def test_soft_max_is_not_one_hot(vector):
    with pytest.raises(ValueError, match='not one-hot.*use argmax'):
        one_hot_to_ids(np.array([[vector]]))
