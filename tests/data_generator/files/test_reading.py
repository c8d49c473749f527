import numpy as np
import pytest

from data_generator import DataError
from data_generator.files.discovery import Pair
from data_generator.files.palettes import PaletteRule
from data_generator.files.reading import LabelReader, LegalIds, naming_the_file, read_pair
from helpers.images import write_image, write_labels


def ids(*values):
    return np.resize(np.array(values, np.uint8), (3, 4))


def reader(legal_ids, color_map=None):
    return LabelReader(legal_ids, PaletteRule([]), color_map)


def test_class_ids_and_ignored_pixels_are_legal():
    LegalIds(3, 255).check(ids(0, 1, 2, 255), 'a.png')
    LegalIds(3, 7).check(ids(0, 7), 'a.png')
    LegalIds(None, 255).check(ids(*range(12)), 'a.png')
    LegalIds(256, 255).check(ids(0, 255), 'a.png')


def test_ids_outside_the_classes_are_named_with_file_and_remedy():
    with pytest.raises(
        DataError,
        match=r'town/a\.png: label IDs 3, 26 \(6 pixels\) belong to no class: with '
        r'num_classes=3 class IDs are 0 to 2, and 255 is ignored\..*'
        r"layout='cityscapes'.*cityscapes_ids_to_train_ids\(\) with num_classes=19",
    ):
        LegalIds(3, 255).check(ids(0, 26, 3, 2), 'town/a.png')


def test_many_illegal_ids_are_abbreviated():
    with pytest.raises(DataError, match=r'label IDs 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\. \(11 pixels\)'):
        LegalIds(1, 255).check(ids(*range(12)), 'a.png')


@pytest.mark.parametrize('id_map', [{7: 0, 8: 1, 9: 255, 10: 5}, [5, 5, 5, 5, 5, 5, 5, 0, 1, 255]])
def test_with_a_map_its_ids_are_legal_unless_they_become_no_class(id_map):
    legal = LegalIds(2, 255, id_map)
    legal.check(ids(7, 8, 9), 'a.png')
    for illegal in (6, 10, 255):
        with pytest.raises(
            DataError,
            match=r'a\.png: label IDs {} \(\d+ pixels\) are not in the ID map, or it maps '
            'them to no class.*ignore_id=255'.format(illegal),
        ):
            legal.check(ids(7, illegal), 'a.png')


def test_complete_map_does_the_same_as_the_map():
    np.testing.assert_array_equal(LegalIds(2, 255, {7: 0, 8: 1}).complete_map[[7, 8]], [0, 1])
    assert len(LegalIds(2, 255, {7: 0}).complete_map) == 256
    assert LegalIds(2, 255).complete_map is None
    assert LegalIds(2, 255, {300: 0}).complete_map == {300: 0}


def test_numbers_of_numpy_in_a_map_do_not_overflow():
    """np.uint8(255) + 1 is 0."""
    by_value = {value: class_id for class_id, value in enumerate(np.uint8([0, 255]))}
    complete = LegalIds(300, np.uint8(254), by_value).complete_map
    assert complete[[0, 255, 7]].tolist() == [0, 1, 254]
    assert LegalIds(300, np.uint8(254), {np.uint8(255): 299}).complete_map[255] == 299


def test_ids_of_16_bits_are_checked():
    LegalIds(1000, 65535).check(np.array([[999, 65535]], np.uint16), 'a.png')
    with pytest.raises(DataError, match='label IDs 1000 '):
        LegalIds(1000, 65535).check(np.array([[999, 1000]], np.uint16), 'a.png')
    with pytest.raises(DataError, match='label IDs 299 .* are not in the ID map'):
        LegalIds(2, 255, {300: 1}).check(np.array([[300, 299]], np.uint16), 'a.png')


def test_colors_that_become_no_class_are_refused_at_once():
    LegalIds(2, 255, None, {(1, 2, 3): 1, (0, 0, 0): 255})
    LegalIds(2, 255, {9: 1}, {(1, 2, 3): 9})
    with pytest.raises(ValueError, match=r'The colour \(1, 2, 3\) becomes ID 2, which belongs to no class'):
        LegalIds(2, 255, None, {(1, 2, 3): 2})


@pytest.fixture
def pair(tmp_path):
    write_image(str(tmp_path / 'i.png'), np.dstack([ids(10), ids(20), ids(30)]))
    write_labels(str(tmp_path / 'l.png'), ids(0, 1))
    return Pair(str(tmp_path / 'i.png'), str(tmp_path / 'l.png'))


def test_reading_a_pair(pair):
    image, label = read_pair(pair, reader(LegalIds(2, 255)))
    assert image[0, 0].tolist() == [10, 20, 30]
    np.testing.assert_array_equal(label, ids(0, 1))
    assert read_pair(pair._replace(label=None), reader(LegalIds(2, 255)))[1] is None
    assert read_pair(pair._replace(label=pair.image), reader(LegalIds(2, 255), {(1, 2, 3): 0}))[1].shape == (3, 4, 3)


def test_labels_of_16_bits_become_uint8_where_all_legal_ids_fit(pair):
    write_labels(pair.label, ids(0, 1).astype(np.uint16))
    assert read_pair(pair, reader(LegalIds(2, 255)))[1].dtype == np.uint8
    assert read_pair(pair, reader(LegalIds(2, 256)))[1].dtype == np.uint16
    assert read_pair(pair, reader(LegalIds(None, 255)))[1].dtype == np.uint16


def test_illegal_ids_in_a_file_are_refused(pair):
    with pytest.raises(DataError, match=r'l\.png: label IDs 1 \(6 pixels\)'):
        read_pair(pair, reader(LegalIds(1, 255)))


@pytest.mark.parametrize(
    'error, message',
    [
        (ValueError('too small'), r'i\.png with label .*l\.png: too small'),
        (KeyError(3), r'i\.png .*: KeyError: 3'),
        (DataError('no name'), r'i\.png .*: no name'),
    ],
)
def test_errors_get_the_names_of_the_files(pair, error, message):
    with pytest.raises(DataError, match=message), naming_the_file(pair):
        raise error


def test_errors_with_a_name_stay_as_they_are(pair):
    with pytest.raises(DataError) as caught, naming_the_file(pair):
        raise ValueError('{} is truncated'.format(pair.label))
    assert str(caught.value) == '{} is truncated'.format(pair.label)
    with pytest.raises(FileNotFoundError, match='gone'), naming_the_file(pair):
        raise FileNotFoundError('gone')
