"""Masks of single classes become one label an image; pixels are counted by class."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from data_generator import DataError
from data_generator.files import class_masks
from data_generator.files.class_masks import combine, read_mask
from data_generator.files.counting import class_pixels
from helpers.images import read_labels, write_labels

BOX = np.array([[255, 0, 0, 0]], np.uint8)
DISC = np.array([[0, 0, 1, 0]], np.uint8)


def png(pixels, size=None):
    """A PNG of grey and alpha or of RGBA, [H, W, 2 or 4]; `size` is what its header claims."""

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    height, width = pixels.shape[:2] if size is None else size
    header = struct.pack('>IIBBBBB', width, height, 8 * pixels.itemsize, {2: 4, 4: 6}[pixels.shape[2]], 0, 0, 0)
    rows = b''.join(b'\0' + row.astype(row.dtype.newbyteorder('>')).tobytes() for row in pixels)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def put(root, **masks):
    for name, mask in masks.items():
        path = str(root / 'masks' / (name.replace('__', '/') + '.png'))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_labels(path, mask)
    return str(root / 'masks'), ['box', 'disc'], str(root / 'out')


@pytest.mark.parametrize(
    'names', [('box__a', 'disc__a'), ('a_box', 'a_disc'), ('x__box__a', 'a-disc'.replace('-', '_'))]
)
def test_masks_in_folders_or_with_the_class_behind_the_name(tmp_path, names):
    written = combine(*put(tmp_path, **dict(zip(names, (BOX, DISC)))))
    assert written == [str(tmp_path / 'out' / 'a.png')]
    assert read_labels(written[0]).tolist() == [[1, 0, 2, 0]]


def test_the_longest_class_behind_a_name_counts_and_a_folder_before_it(tmp_path):
    masks, _, out = put(tmp_path, a_traffic_box=BOX, a_box=DISC, box__b_disc=BOX)
    written = combine(masks, ['box', 'traffic_box', 'disc'], out)
    assert [os.path.basename(path) for path in written] == ['a.png', 'b_disc.png']
    assert [read_labels(path).tolist() for path in written] == [[[2, 0, 1, 0]], [[1, 0, 0, 0]]]


def test_two_masks_of_a_class_for_one_name_are_refused(tmp_path):
    arguments = put(tmp_path, train__box__a=BOX, val__box__a=DISC)
    with pytest.raises(
        DataError, match=r'train.box.a\.png and .*val.box.a\.png are both the mask of box .* called a\.'
    ):
        combine(*arguments)
    assert not os.path.exists(arguments[2])


def test_an_image_may_lack_classes_and_what_is_there_is_never_replaced(tmp_path):
    arguments = put(tmp_path, box__a=BOX, disc__b=DISC)
    assert [read_labels(path).tolist() for path in combine(*arguments)] == [[[1, 0, 0, 0]], [[0, 0, 2, 0]]]
    with pytest.raises(FileExistsError, match=r'a\.png exists already. Give another out_dir'):
        combine(*arguments)


@pytest.mark.parametrize('error', [KeyboardInterrupt, FileExistsError])
def test_after_an_interruption_only_its_own_labels_are_removed(tmp_path, monkeypatch, error):
    def write(path, label):
        write_labels(path, label)
        if os.path.basename(path).startswith('.b.'):
            for name in ('a.png', 'c.png') if error is KeyboardInterrupt else ('b.png', 'c.png'):
                (tmp_path / 'mine').write_text(name)
                os.replace(str(tmp_path / 'mine'), str(tmp_path / 'out' / name))
            if error is KeyboardInterrupt:
                raise error

    monkeypatch.setattr(class_masks, 'write_labels', write)
    with pytest.raises(error):
        combine(*put(tmp_path, box__a=BOX, disc__b=DISC, box__c=BOX))
    found = {path.name: path.read_text() for path in (tmp_path / 'out').iterdir()}
    expected = ('a.png', 'c.png') if error is KeyboardInterrupt else ('b.png', 'c.png')
    assert found == {name: name for name in expected}


def test_overlaps_are_refused_or_left_out(tmp_path):
    arguments = put(tmp_path, box__a=BOX, disc__a=np.array([[255, 255, 0, 0]], np.uint8))
    with pytest.raises(DataError, match=r'disc.a\.png marks 1 pixel that another class has too.*ignore_overlaps'):
        combine(*arguments)
    assert not os.path.exists(arguments[2])
    put(tmp_path, box__0=BOX)  # the first of all, which is sound
    with pytest.raises(DataError, match='another class has too'):
        combine(*arguments)
    assert os.listdir(arguments[2]) == []
    os.unlink(os.path.join(arguments[0], 'box', '0.png'))
    assert read_labels(combine(*arguments, ignore_overlaps=True)[0]).tolist() == [[255, 2, 0, 0]]


@pytest.mark.parametrize('name', ['a_box.png', 'a_box.tif'])
def test_smoothed_masks_are_read_by_the_nearer_of_two_on_request(tmp_path, name):
    path = str(tmp_path / name)
    write_labels(path, np.array([[0, 100, 128, 254, 255]], np.uint8))
    with pytest.raises(
        ValueError, match=r'a_box\.\w+ has pixels between black and white.*--color-tolerance N, of which 127'
    ):
        read_mask(path, 126)
    mask, moved = read_mask(path, 127)
    assert mask.tolist() == [[False, False, True, True, True]] and moved == 3
    with pytest.raises(DataError, match='between black and white'):
        combine(str(tmp_path), ['box'], str(tmp_path / 'out'))
    assert read_labels(combine(str(tmp_path), ['box'], str(tmp_path / 'out'), color_tolerance=127)[0]).tolist() == [
        [0, 0, 1, 1, 1]
    ]


def test_jpeg_masks_and_masks_with_alpha(tmp_path):
    box = np.zeros((40, 40), np.uint8)
    box[8:30, 5:21] = 255
    cv2.imwrite(str(tmp_path / 'a.jpg'), box, [cv2.IMWRITE_JPEG_QUALITY, 60])
    with pytest.raises(ValueError, match='between black and white'):
        read_mask(str(tmp_path / 'a.jpg'))
    mask, moved = read_mask(str(tmp_path / 'a.jpg'), 127)
    np.testing.assert_array_equal(mask, box > 0)
    lossy = cv2.imread(str(tmp_path / 'a.jpg'), cv2.IMREAD_GRAYSCALE)
    assert moved == np.count_nonzero((lossy > 0) & (lossy < 255)) > 0
    for alpha, expected in ((box, box > 0), (np.full_like(box, 255), box > 0), (np.zeros_like(box), box > 255)):
        shown = box if alpha is not box else np.full_like(box, 9)  # what is transparent decides where anything is
        cv2.imwrite(str(tmp_path / 'b.png'), np.dstack([shown] * 3 + [alpha]))
        np.testing.assert_array_equal(read_mask(str(tmp_path / 'b.png'))[0], expected)
    cv2.imwrite(str(tmp_path / 'c.png'), np.dstack([box, box // 2, box * 0]))
    with pytest.raises(ValueError, match='holds colours'):
        read_mask(str(tmp_path / 'c.png'), 255)


@pytest.mark.parametrize('channels', [2, 4])
def test_grey_and_colours_with_alpha_of_any_depth_are_told_by_their_alpha(tmp_path, channels):
    path = str(tmp_path / 'a.png')
    for dtype in (np.uint8, np.uint16):
        pixels = np.full((1, 4, channels), 7, dtype)
        pixels[..., -1] = DISC
        with open(path, 'wb') as file:
            file.write(png(pixels))
        np.testing.assert_array_equal(read_mask(path)[0], DISC > 0)


def test_masks_larger_than_the_memory_and_damaged_ones_are_refused(tmp_path):
    path = str(tmp_path / 'a.png')
    whole = png(np.zeros((1, 4, 4), np.uint8))
    for data, message in (
        (png(np.zeros((1, 4, 4), np.uint8), size=(2**20, 2**20)), r'a\.png .*1048576 x 1048576 pixels'),
        (whole[:-20], r'a\.png .*Replace it by a whole copy'),
        (b'', r'a\.png is empty\. Replace it'),
    ):
        with open(path, 'wb') as file:
            file.write(data)
        with pytest.raises(ValueError, match=message):
            read_mask(path)
    with pytest.raises(FileNotFoundError, match=r'b\.png does not exist'):
        read_mask(str(tmp_path / 'b.png'))


def test_what_cannot_be_put_together_is_named(tmp_path):
    with pytest.raises(DataError, match='of another size than the other masks'):
        combine(*put(tmp_path, box__a=BOX, disc__a=DISC[:, :3]))
    with pytest.raises(DataError, match=r'No masks of cat below .*expected cat/NAME\.png or NAME_cat\.png'):
        combine(str(tmp_path / 'masks'), ['cat'], str(tmp_path / 'out'))
    for names in ([], ['a', 'a'], ['c{}'.format(number) for number in range(255)]):
        with pytest.raises(ValueError, match='it has to be 1 to 254 different names'):
            combine(str(tmp_path / 'masks'), names, str(tmp_path / 'out'))


def test_pixels_are_counted_by_class():
    assert class_pixels({0: 3, 2: 4, 255: 9, 7: 1}, 3, 255).tolist() == [3, 0, 4]
    assert class_pixels({0: 3, 9: 4, 8: 1, 7: 2}, 3, 1, {0: 2, 9: 0, 8: 1}).tolist() == [4, 0, 3]
    assert class_pixels({(1, 2, 3): 5, (9, 9, 9): 1}, 2, 255, {(1, 2, 3): 1}).tolist() == [0, 5]
    assert class_pixels({}, 2, 255).dtype == np.int64
