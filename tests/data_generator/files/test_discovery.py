import os
import unicodedata

import numpy as np
import pytest

from data_generator.checking.survey import survey
from data_generator.errors import DataError
from data_generator.files.discovery import (
    NameRule,
    Pair,
    as_path_list,
    check_pairs,
    find_pairs,
    read_names,
    read_pair_list,
)


@pytest.fixture
def touch(tmp_path):
    """Make empty files below tmp_path; finding and pairing never opens them."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b'')

    return make


def pair_names(pairs, root):
    return [tuple(None if name is None else os.path.relpath(name, str(root)) for name in pair) for pair in pairs]


PLAIN = NameRule()


def find(root, images, labels, extensions='png', rule=PLAIN, **options):
    return pair_names(
        find_pairs([str(root / d) for d in images], [str(root / d) for d in labels], extensions, rule, **options), root
    )


def test_paths_of_numpy_are_text():
    """Of numpy.str_, os.listdir makes bytes."""
    paths = as_path_list(np.array(['a', 'b'])) + list(check_pairs(np.array([['a', 'b']]))[0])
    assert {type(path) for path in paths} == {str}


@pytest.mark.parametrize('paths', [[b'a'], b'a', [None], 5, np.array('a')])
def test_what_is_no_list_of_paths(paths):
    with pytest.raises(ValueError, match='image_dirs is .*; it has to be a path, or a list of paths'):
        as_path_list(paths, 'image_dirs')


def test_name_is_split_at_separator_and_suffix_replaces_the_rest():
    rule = NameRule('_leftImg8bit', '_gtFine_labelIds')
    assert rule.label_stem('aachen_000000_000019_leftImg8bit') == 'aachen_000000_000019_gtFine_labelIds'
    assert NameRule('leftImg8bit', 'gtFine_labelIds.png').label_stem('a_leftImg8bit') == 'a_gtFine_labelIds'
    assert NameRule('_', '_road_{rest}').label_stem('um_000007') == 'um_road_000007'
    assert NameRule(None, '_L').label_stem('0001TP') == '0001TP_L'
    assert NameRule().label_stem('v1.5_shot') == 'v1.5_shot'


def test_suffix_with_a_dot_that_is_no_extension_is_kept():
    assert NameRule(None, '.labels').label_stem('a') == 'a.labels'


def test_nested_folders_and_natural_order(tmp_path, touch):
    touch('im/b/2_i.png', 'im/a/10_i.png', 'im/a/9_i.png')
    touch('gt/a/9_l.png', 'gt/a/10_l.png', 'gt/b/2_l.png', 'gt/a/9_x.png')
    assert find(tmp_path, ['im'], ['gt'], rule=NameRule('_i', '_l')) == [
        ('im/a/9_i.png', 'gt/a/9_l.png'),
        ('im/a/10_i.png', 'gt/a/10_l.png'),
        ('im/b/2_i.png', 'gt/b/2_l.png'),
    ]


def test_extensions_may_differ_in_kind_and_letter_case(tmp_path, touch):
    touch('im/a.JPG', 'im/b.jpg', 'im/notes.txt', 'gt/a.png', 'gt/b.PNG', 'gt/a.json')
    assert find(tmp_path, ['im'], ['gt'], 'jpg') == [('im/a.JPG', 'gt/a.png'), ('im/b.jpg', 'gt/b.PNG')]
    assert find(tmp_path, ['im'], [], None) == [('im/a.JPG', None), ('im/b.jpg', None)]
    assert find(tmp_path, ['im'], [], ['.Jpg', 'png']) == [('im/a.JPG', None), ('im/b.jpg', None)]


def test_accents_are_one_however_they_are_written(tmp_path, touch):
    """macOS writes a letter and an accent, others write both as one character."""
    image, label = (unicodedata.normalize(form, 'caf\u00e9.png') for form in ('NFC', 'NFD'))
    touch('im/' + image, 'gt/' + label, 'im/b.png', 'gt/b.png')
    assert find(tmp_path, ['im'], ['gt']) == [('im/b.png', 'gt/b.png'), ('im/' + image, 'gt/' + label)]


def test_equal_names_in_several_datasets_get_their_own_labels(tmp_path, touch):
    touch('one/im/1.png', 'one/gt/1.png', 'two/im/1.png', 'two/gt/1.png')
    assert find(tmp_path, ['one/im', 'two/im'], ['one/gt', 'two/gt']) == [
        ('one/im/1.png', 'one/gt/1.png'),
        ('two/im/1.png', 'two/gt/1.png'),
    ]


def test_label_elsewhere_below_its_directory_is_found_by_name(tmp_path, touch):
    touch('im/a/1.png', 'gt/1.png')
    assert find(tmp_path, ['im'], ['gt']) == [('im/a/1.png', 'gt/1.png')]


@pytest.mark.parametrize('labelled, bare', [('a', 'b'), ('b', 'a')])
def test_label_at_the_place_of_one_image_is_not_given_to_another(tmp_path, touch, labelled, bare):
    touch('im/a/1.png', 'im/b/1.png', 'gt/{}/1.png'.format(labelled))
    with pytest.raises(
        DataError, match=r'1 of 2 images .*have no label, the first of them .*im/{}/1\.png'.format(bare)
    ):
        find(tmp_path, ['im'], ['gt'])
    assert find(tmp_path, ['im'], ['gt'], check_existence=False) == [
        ('im/{}/1.png'.format(labelled), 'gt/{}/1.png'.format(labelled))
    ]


@pytest.mark.parametrize('images', [('im/a/1.png', 'im/b/1.png'), ('im/1_left.png', 'im/1_right.png')])
def test_label_that_two_images_would_get_is_refused(tmp_path, touch, images):
    touch('gt/1.png', *images)
    rule = NameRule('_', '') if '_' in images[0] else PLAIN
    message = r'Which image does .*gt/1\.png belong to\? Both .*{} and .*{} would get it\. Give each image a label'
    with pytest.raises(DataError, match=message.format(*images)):
        find(tmp_path, ['im'], ['gt'], rule=rule)


def test_one_label_may_serve_two_directories_of_images(tmp_path, touch):
    touch('left/1.png', 'right/1.png', 'gt/1.png')
    assert find(tmp_path, ['left', 'right'], ['gt', 'gt']) == [('left/1.png', 'gt/1.png'), ('right/1.png', 'gt/1.png')]


def test_check_reports_a_label_that_two_images_would_get(tmp_path, touch):
    touch('images/a/1.png', 'images/b/1.png', 'labels/1.png')
    (split,) = survey(str(tmp_path)).splits
    assert pair_names(split.pairs, tmp_path) == [('images/a/1.png', 'labels/1.png'), ('images/b/1.png', None)]
    (fault,) = split.faults
    assert fault.kind == 'ambiguous_label' and fault.is_error and 'Both' in fault.detail
    touch('labels/b/1.png')
    os.remove(str(tmp_path / 'labels/1.png'))
    (split,) = survey(str(tmp_path)).splits
    assert pair_names(split.pairs, tmp_path) == [('images/a/1.png', None), ('images/b/1.png', 'labels/b/1.png')]
    assert [fault.kind for fault in split.faults] == ['image_without_label']


def test_images_and_labels_in_one_directory(tmp_path, touch):
    touch('d/1.jpg', 'd/1.png', 'd/2_rgb.png', 'd/2_mask.png')
    assert find(tmp_path, ['d'], ['d'], 'jpg') == [('d/1.jpg', 'd/1.png')]
    assert find(tmp_path, ['d'], ['d'], rule=NameRule('_rgb', '_mask')) == [('d/2_rgb.png', 'd/2_mask.png')]


def test_ambiguous_label_is_refused(tmp_path, touch):
    touch('im/1.jpg', 'gt/1.png', 'gt/1.tif')
    with pytest.raises(DataError, match=r'Which label belongs to .*1\.jpg.*1\.png and .*1\.tif.*Keep one'):
        find(tmp_path, ['im'], ['gt'], 'jpg')


def test_image_without_label_is_refused_or_left_out(tmp_path, touch):
    touch('im/1.png', 'im/2.png', 'gt/1.png')
    with pytest.raises(
        DataError,
        match=r'1 of 2 images .*have no label, the first of them .*2\.png: expected 2\.png.*'
        'check_existence=False',
    ):
        find(tmp_path, ['im'], ['gt'])
    assert find(tmp_path, ['im'], ['gt'], check_existence=False) == [('im/1.png', 'gt/1.png')]


def test_no_label_at_all_is_refused_even_unchecked(tmp_path, touch):
    touch('im/1.png', 'gt/9.png')
    with pytest.raises(DataError, match='1 of 1 images'):
        find(tmp_path, ['im'], ['gt'], check_existence=False)


def test_missing_directories_and_images_are_named(tmp_path, touch):
    touch('im/1.png', 'empty/readme.txt')
    with pytest.raises(FileNotFoundError, match='No such directory of images: .*nowhere'):
        find(tmp_path, ['nowhere'], [])
    with pytest.raises(FileNotFoundError, match='No such directory of labels: .*nowhere'):
        find(tmp_path, ['im'], ['nowhere'])
    with pytest.raises(DataError, match=r'No images ending in \.jpg below .*im: .*image_file_extension'):
        find(tmp_path, ['im'], [], 'jpg')
    with pytest.raises(DataError, match='No images ending in .*below .*empty'):
        find(tmp_path, ['empty'], [], None)
    with pytest.raises(DataError, match="Of 1 image .*none has '_rgb'.*1.png.*image_name_split_separator"):
        find(tmp_path, ['im'], [], rule=NameRule('_rgb', '_mask'))


def test_directories_must_be_parallel(tmp_path):
    with pytest.raises(ValueError, match='2 image_dirs but 1 ground_truth_dirs'):
        find(tmp_path, ['a', 'b'], ['c'])


@pytest.mark.parametrize(
    'text',
    [
        'image,label\na b.png,l/1.png\nc.png,l/2.png\n',
        '"a b.png";l/1.png\n\nc.png ; l/2.png',
        '# my list\r\na b.png\tl/1.png\r\nc.png\tl/2.png\r\n',
    ],
)
def test_lists_of_pairs_are_read_with_each_separator(tmp_path, touch, text):
    touch('a b.png', 'c.png', 'l/1.png', 'l/2.png')
    (tmp_path / 'list.csv').write_bytes(b'\xef\xbb\xbf' + text.encode())
    assert pair_names(read_pair_list(str(tmp_path / 'list.csv')), tmp_path) == [
        ('a b.png', 'l/1.png'),
        ('c.png', 'l/2.png'),
    ]


def test_list_with_blanks_between_columns_and_another_root(tmp_path, touch):
    touch('data/a.png', 'data/b.png', 'data/l/a.png', 'data/l/b.png')
    (tmp_path / 'list.txt').write_text('a.png  l/a.png\nb.png l/b.png\n')
    assert pair_names(read_pair_list(str(tmp_path / 'list.txt'), str(tmp_path / 'data')), tmp_path) == [
        ('data/a.png', 'data/l/a.png'),
        ('data/b.png', 'data/l/b.png'),
    ]


def test_a_list_of_images_alone_is_read(tmp_path, touch):
    touch('a.png', 'b.png')
    (tmp_path / 'list.txt').write_text('a.png\nb.png\n')
    assert pair_names(read_pair_list(str(tmp_path / 'list.txt')), tmp_path) == [('a.png', None), ('b.png', None)]


@pytest.mark.parametrize('on_disk, in_list', [('NFD', 'NFC'), ('NFC', 'NFD')])
def test_lists_of_windows_and_of_macos_name_the_same_files(tmp_path, touch, on_disk, in_list):
    images, labels = (unicodedata.normalize(on_disk, 'zürich/{}.png'.format(name)) for name in 'il')
    touch(images, labels)
    text = unicodedata.normalize(in_list, 'zürich\\i.png,zürich\\l.png\n')
    (tmp_path / 'list.csv').write_text(text, encoding='utf-8')
    pairs = pair_names(read_pair_list(str(tmp_path / 'list.csv')), tmp_path)
    assert [tuple(unicodedata.normalize(on_disk, name) for name in pair) for pair in pairs] == [(images, labels)]


@pytest.mark.parametrize(
    'text, error, message',
    [
        ('a.png,gone.png\n', FileNotFoundError, r'line 1: no such file: gone\.png.*root_dir'),
        ('a.png,a.png\na.png,a.png,a.png\n', DataError, 'line 2: 3 columns'),
        ('a.png,a.png\na.png\n', DataError, '1 of 2 images have no label, the first of them .*a.png'),
        ('image,label\n', DataError, 'names no images'),
    ],
)
def test_faults_of_lists_are_named(tmp_path, touch, text, error, message):
    touch('a.png')
    (tmp_path / 'list.csv').write_text(text)
    with pytest.raises(error, match=message):
        read_pair_list(str(tmp_path / 'list.csv'))


def test_a_list_with_a_field_beyond_those_of_csv_is_refused(tmp_path):
    (tmp_path / 'list.csv').write_text('a.png,' + 200000 * 'b')
    with pytest.raises(DataError, match=r'list\.csv is no list of pairs: field larger than field limit'):
        read_pair_list(str(tmp_path / 'list.csv'))


def test_a_list_in_another_encoding_is_named(tmp_path):
    (tmp_path / 'list.csv').write_bytes('straße.png,l.png\n'.encode('latin-1'))
    with pytest.raises(DataError, match=r'list\.csv is not in UTF-8.*0xdf.*Save it as UTF-8'):
        read_pair_list(str(tmp_path / 'list.csv'))


def test_missing_lists_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='No such list of pairs: .*nowhere.csv'):
        read_pair_list(str(tmp_path / 'nowhere.csv'))
    with pytest.raises(FileNotFoundError, match='No such list of images: .*nowhere.txt'):
        read_names(str(tmp_path / 'nowhere.txt'))
    (tmp_path / 'empty.txt').write_text('\n')
    with pytest.raises(DataError, match='empty.txt: names no images'):
        read_names(str(tmp_path / 'empty.txt'))


def test_pairs_from_python_are_checked():
    assert check_pairs(['a.png']) == [Pair('a.png', None)]
    assert check_pairs([('a.png', 'b.png')]) == [Pair('a.png', 'b.png')]
    assert check_pairs(np.array([['a.png', 'b.png']])) == [Pair('a.png', 'b.png')]
    assert check_pairs([('a.png', '/b.png'), Pair('c.png', 'd.png')], root_dir='data') == [
        Pair(os.path.join('data', 'a.png'), '/b.png'),
        Pair('c.png', 'd.png'),
    ]
    with pytest.raises(DataError, match='pairs: names no images'):
        check_pairs([])
    with pytest.raises(
        DataError, match=r"pairs: \('a', 'b', 'c'\) holds 3 paths, but a pair is an image and its label"
    ):
        check_pairs([('a', 'b', 'c')])
    with pytest.raises(DataError, match=r"pairs: \('', 'b'\) names no image\. Give \(image, label\)"):
        check_pairs([('', 'b')])
