import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.image_files.headers import read_header
from helpers.image_search import find_images, natural_sort_key
from helpers.images import read_image, read_labels, write_image


@pytest.fixture
def tree(tmp_path):
    for name in (
        'frame10.png',
        'frame2.PNG',
        'frame1.jpg',
        'notes.txt',
        '._frame1.jpg',
        'sub/frame3.png',
        'sub/deep/frame4.webp',
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'x')
    return tmp_path


def names(paths, root):
    return [os.path.relpath(path, str(root)).replace(os.sep, '/') for path in paths]


def test_images_in_formats_that_are_not_looked_for_are_told_where_there_are_no_others(tmp_path):
    for name in ('IMG_2.HEIC', 'IMG_10.HEIC', 'film.mp4'):
        (tmp_path / name).write_bytes(b'x')
    message = r'no image .* in .*\. 2 files are there in formats that are not looked for \(IMG_2.HEIC\): save'
    with pytest.raises(FileNotFoundError, match=message):
        find_images(tmp_path)


def test_images_are_found_below_folders_in_natural_order(tree):
    assert names(find_images(tree), tree) == [
        'frame1.jpg',
        'frame2.PNG',
        'frame10.png',
        'sub/deep/frame4.webp',
        'sub/frame3.png',
    ]
    assert names(find_images(tree, recursive=False), tree) == ['frame1.jpg', 'frame2.PNG', 'frame10.png']
    assert names(find_images(tree, ['.png']), tree) == ['frame2.PNG', 'frame10.png', 'sub/frame3.png']
    assert names(find_images(str(tree / 'sub' / '**' / '*')), tree) == ['sub/deep/frame4.webp', 'sub/frame3.png']
    assert find_images(tree / 'notes.txt') == [str(tree / 'notes.txt')]
    with pytest.raises(FileNotFoundError, match='extensions webp in .* itself .its subfolders are not looked into.'):
        find_images(tree, ['.webp'], recursive=False)


def test_jpegs_are_found_and_written_by_each_of_their_names(tmp_path):
    for name in ('a.JFIF', 'b.jpeg', 'c.jpg'):
        write_image(tmp_path / name, np.full((8, 8, 3), 90, np.uint8))
    paths = find_images(tmp_path)
    assert names(paths, tmp_path) == ['a.JFIF', 'b.jpeg', 'c.jpg']
    assert {read_header((tmp_path / name).read_bytes()).format for name in os.listdir(str(tmp_path))} == {'jpeg'}
    assert [int(read_image(path).mean()) for path in paths] == [90] * 3


def test_finding_leaves_hidden_folders_out(tree):
    (tree / 'sub' / '.ipynb_checkpoints').mkdir()
    (tree / 'sub' / '.ipynb_checkpoints' / 'frame3-checkpoint.png').write_bytes(b'x')
    assert names(find_images(tree, ['.png']), tree) == ['frame2.PNG', 'frame10.png', 'sub/frame3.png']


def test_finding_leaves_the_thumbnails_of_systems_out(tree):
    for folder in ('@eaDir/frame2.PNG', '__MACOSX'):
        (tree / 'sub' / folder).mkdir(parents=True)
        (tree / 'sub' / folder / 'SYNOPHOTO_THUMB_M.jpg').write_bytes(b'x')
    assert not [path for path in find_images(tree) if 'SYNO' in path]
    assert not [path for path in find_images(str(tree / '**' / '*.jpg')) if 'SYNO' in path]


def test_a_link_that_leads_nowhere_is_told_when_it_is_read(tree):
    (tree / 'sub' / 'frame5.png').symlink_to(tree / 'gone.png')
    for source in (tree / 'sub', str(tree / 'sub' / '*.png')):
        assert str(tree / 'sub' / 'frame5.png') in find_images(source)
    for reader in (read_image, read_labels):
        with pytest.raises(FileNotFoundError, match='frame5.png is a link to .*gone.png, which does not exist'):
            reader(tree / 'sub' / 'frame5.png')


def test_finding_follows_links_once(tree):
    (tree / 'sub' / 'loop').symlink_to(tree)
    (tree / 'linked').symlink_to(tree / 'sub' / 'deep')
    found = names(find_images(tree), tree)
    assert len(found) == len(set(found)) and 'linked/frame4.webp' in found


def test_a_name_with_brackets_is_no_pattern(tmp_path):
    (tmp_path / 'a[1].png').write_bytes(b'x')
    assert find_images(tmp_path / 'a[1].png') == [str(tmp_path / 'a[1].png')]


def test_finding_nothing_is_an_error_that_says_where(tree):
    with pytest.raises(FileNotFoundError, match='missing does not exist'):
        find_images(tree / 'missing')
    with pytest.raises(FileNotFoundError, match='no image with one of the extensions bmp in'):
        find_images(tree, ['bmp'])
    with pytest.raises(FileNotFoundError, match='no image'):
        find_images(tree / '*.gif')
    with pytest.raises(FileNotFoundError, match='no image with one of the extensions bmp in'):
        find_images(tree, 'bmp')
    with pytest.raises(ValueError, match='None came as a path; it has to be text or a pathlib.Path'):
        find_images(None)


@pytest.mark.parametrize('extensions', [None, 5, [None], iter([None])])
def test_extensions_that_are_none(tmp_path, extensions):
    with pytest.raises(ValueError, match="extensions is .*; it has to be one, such as 'png', or a list"):
        find_images(tmp_path, extensions)


@given(st.lists(st.integers(0, 10**25), min_size=1, max_size=8))
def test_numbers_sort_as_numbers(numbers):
    found = sorted(('city_{}_a'.format(number) for number in numbers), key=natural_sort_key)
    assert found == ['city_{}_a'.format(number) for number in sorted(numbers)]


@given(st.lists(st.text(max_size=6) | st.text('a1/', max_size=4), max_size=6))
def test_any_names_can_be_sorted(texts):
    backwards = texts[::-1]
    assert sorted(texts, key=natural_sort_key) == sorted(backwards, key=natural_sort_key)


def test_numbers_of_any_length_sort_as_numbers():
    long = '9' * 5000
    assert sorted(['1' + long, long, '0' + long + 'a', '3'], key=natural_sort_key)[0] == '3'
    assert sorted(['1' + long, long], key=natural_sort_key) == [long, '1' + long]


def test_natural_order_of_mixed_names():
    wanted = ['1.png', '2/10.png', '2/b.png', '02.png', '10.png', 'a1.png', 'a2.png', 'B.png', 'b.png']
    backwards = wanted[::-1]
    assert sorted(backwards, key=natural_sort_key) == wanted
