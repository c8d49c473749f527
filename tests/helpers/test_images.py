import io
import os
import pathlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from slow_resizing import slow_resize

from helpers.image_rules import ImageConversionWarning, ImageRules, Pixels, apply_rules, file_windows, shown_channels
from helpers.images import (
    TransparentLabelError,
    read_color_labels,
    read_image,
    read_labels,
    resize_image,
    resize_labels,
    write_image,
    write_labels,
)
from helpers.process import memory

# Exif 2.32, section 4.6.4, tag 274: where the first row and the first column of the file belong.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.fixture
def rgb():
    return np.random.RandomState(0).randint(0, 256, (13, 17, 3)).astype(np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(str(path), **options)
    return str(path)


@pytest.mark.parametrize('suffix', ['png', 'tif', 'tiff', 'bmp', 'PNG'])
def test_formats_without_loss(tmp_path, rgb, suffix):
    path = save(tmp_path / ('a.' + suffix), rgb)
    found = read_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, rgb)


@pytest.mark.parametrize('suffix, options', [('jpg', {'quality': 95, 'subsampling': 0}), ('webp', {'lossless': True})])
def test_formats_for_photographs(tmp_path, suffix, options):
    rgb = np.zeros((16, 24, 3), np.uint8)
    rgb[:, :12] = (200, 30, 60)
    found = read_image(save(tmp_path / ('a.' + suffix), rgb, **options))
    assert np.abs(found.astype(int) - rgb).mean() < 3  # and so red and blue are in their places


def test_palette_images_are_read_as_colours(tmp_path, rgb):
    image = Image.fromarray(rgb // 64 * 64).convert('P', palette=Image.ADAPTIVE)
    image.save(str(tmp_path / 'a.png'))
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), np.array(image.convert('RGB')))


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'tif', 'webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(tmp_path, suffix, orientation):
    rgb = np.zeros((8, 24, 3), np.uint8)
    rgb[:4, :8], rgb[:4, 16:] = (250, 10, 10), (10, 10, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {'jpg': {'quality': 95, 'subsampling': 0}, 'webp': {'lossless': True}}.get(suffix, {})
    path = save(tmp_path / ('a.' + suffix), rgb, exif=exif.tobytes(), **options)
    expected = UPRIGHT[orientation](rgb)
    found = read_image(path)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() < 12


@pytest.mark.parametrize(
    'mode, message', [('L', 'is grey'), ('LA', 'has an alpha channel'), ('RGBA', 'has an alpha'), ('1', 'is grey')]
)
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_what_is_not_rgb_is_refused_with_what_it_is(tmp_path, rgb, mode, message, suffix):
    if (mode, suffix) == ('LA', 'tif'):
        pytest.skip('OpenCV drops this alpha channel')
    path = str(tmp_path / ('a.' + suffix))
    Image.fromarray(rgb).convert(mode).save(path)
    with pytest.raises(ValueError, match=message + '.*8-bit RGB is expected') as caught:
        read_image(path)
    assert path in str(caught.value) and 'convert=True' in str(caught.value)


def test_sixteen_bits(tmp_path):
    deep = np.arange(0, 65536, 257, dtype=np.uint16)[:192].reshape(8, 8, 3)
    path = str(tmp_path / 'a.png')
    cv2.imwrite(path, deep[..., ::-1])
    with pytest.raises(ValueError, match='has 16 bits a channel'):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, convert=True).ravel(), np.arange(192))


def test_conversions(tmp_path, rgb):
    grey = rgb[..., 0]
    np.testing.assert_array_equal(read_image(save(tmp_path / 'grey.png', grey), convert=True), np.dstack([grey] * 3))
    alpha = np.random.RandomState(1).randint(0, 256, grey.shape).astype(np.uint8)
    found = read_image(save(tmp_path / 'alpha.png', np.dstack([rgb, alpha])), convert=True)
    share = alpha[..., None] / 255.0
    np.testing.assert_allclose(found, rgb * share, atol=0.51)
    found = read_image(tmp_path / 'alpha.png', rules=ImageRules(alpha='white'))
    np.testing.assert_allclose(found, rgb * share + 255 * (1 - share), atol=0.51)
    np.testing.assert_array_equal(read_image(save(tmp_path / 'rgb.png', rgb), convert=True), rgb)


@pytest.mark.parametrize('background, expected', [('black', [100, 50, 0]), ('white', [255, 205, 155])])
def test_colours_above_their_premultiplied_alpha_are_as_bright_as_it_allows(background, expected):
    pixels = Pixels(np.array([[[200, 50, 0, 100]]], np.uint8), 8, 'premultiplied')
    assert apply_rules(pixels, ImageRules(alpha=background), 'a.tif').tolist() == [[expected]]


def test_up_to_four_bands_share_the_range_of_a_file():
    assert file_windows(np.arange(4), np.arange(4) + 9) == ((0, 12),)
    assert file_windows(np.arange(5), np.arange(5) + 9) == tuple((low, low + 9) for low in range(5))


def test_transparency_of_palettes_counts(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), 'P')
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(str(tmp_path / 'a.png'), transparency=0)
    with pytest.raises(ValueError, match='alpha'):
        read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png', convert=True), [[[0, 0, 0], [0, 255, 0]]])


@pytest.mark.parametrize('name', ['a.tif', 'a.jpg'])
def test_printing_inks(tmp_path, rgb, name):
    inks = np.dstack([255 - rgb, np.full(rgb.shape[:2], 51, np.uint8)])
    Image.fromarray(inks, 'CMYK').save(str(tmp_path / name), quality=100)
    expected = rgb * 0.8
    tolerance = 0.51 if name == 'a.tif' else 60  # noise is what JPEG is worst at
    assert np.abs(read_image(tmp_path / name, convert=True) - expected).max() <= tolerance


def test_a_cmyk_tiff_is_no_rgb_image(tmp_path, rgb):
    Image.fromarray(rgb).convert('CMYK').save(str(tmp_path / 'a.tif'))
    with pytest.raises(ValueError, match='is a CMYK image, made for printing, but 8-bit RGB'):
        read_image(tmp_path / 'a.tif')


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'webp', 'tif', 'bmp'])
@pytest.mark.parametrize('share', [0.02, 0.3, 0.6, 0.95, -1])
@pytest.mark.parametrize('reader', [read_image, lambda path: read_image(path, convert=True)])
def test_truncated_images_are_named(tmp_path, suffix, share, reader):
    rgb = np.random.RandomState(0).randint(0, 256, (40, 50, 3)).astype(np.uint8)
    whole = pathlib.Path(save(tmp_path / ('whole.' + suffix), rgb)).read_bytes()
    # The last four bytes of a PNG are a check sum of nothing, and those of a TIFF a link to no further page.
    keep = len(whole) - 9 if share == -1 else int(share * len(whole))
    path = str(tmp_path / ('cut.' + suffix))
    pathlib.Path(path).write_bytes(whole[:keep])
    with pytest.raises(ValueError) as caught:
        reader(path)
    assert path in str(caught.value)


def test_a_jpeg_cut_behind_its_thumbnail_is_truncated(tmp_path):
    # The thumbnail in the Exif data has an end marker of its own.
    buffer = io.BytesIO()
    Image.new('RGB', (8, 8), (9, 9, 9)).save(buffer, 'jpeg')
    exif = b'Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00' + buffer.getvalue()
    rgb = np.random.RandomState(0).randint(0, 256, (40, 50, 3)).astype(np.uint8)
    save(tmp_path / 'a.jpg', rgb, exif=exif)
    (tmp_path / 'b.jpg').write_bytes((tmp_path / 'a.jpg').read_bytes()[:-100])
    assert read_image(tmp_path / 'a.jpg').shape == rgb.shape
    with pytest.raises(ValueError, match='truncated: its JPEG data ends early'):
        read_image(tmp_path / 'b.jpg')


def test_data_behind_a_jpeg_is_no_error(tmp_path, rgb):
    path = save(tmp_path / 'a.jpg', rgb)
    with open(path, 'ab') as file:
        file.write(b'\x00' * 100)
    assert read_image(path).shape == rgb.shape


def test_a_flipped_bit_in_a_png(tmp_path):
    rgb = np.random.RandomState(0).randint(0, 256, (40, 50, 3)).astype(np.uint8)
    save(tmp_path / 'a.png', rgb)
    data = bytearray((tmp_path / 'a.png').read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / 'a.png').write_bytes(bytes(data))
    with pytest.raises(ValueError, match='a.png cannot be decoded'):
        read_image(tmp_path / 'a.png')


@given(
    st.binary(max_size=80),
    st.sampled_from([b'', b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff', b'RIFF\x20\x00\x00\x00WEBP', b'II*\x00']),
)
@settings(deadline=None, max_examples=150)
def test_garbage_is_always_a_value_error(tmp_path_factory, tail, head):
    path = tmp_path_factory.getbasetemp() / 'garbage.png'
    path.write_bytes(head + tail)
    for reader in (read_image, read_labels, read_color_labels):
        with pytest.raises(ValueError, match='garbage.png'):
            reader(path)


@pytest.mark.parametrize('reader', [read_image, read_labels, read_color_labels])
def test_no_file_and_no_content(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match='nothing.png does not exist'):
        reader(tmp_path / 'nothing.png')
    (tmp_path / 'empty.png').write_bytes(b'')
    with pytest.raises(ValueError, match='empty.png is empty'):
        reader(tmp_path / 'empty.png')
    with pytest.raises(ValueError, match='is a directory'):
        reader(tmp_path)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_labels_round_trip(tmp_path, dtype, suffix):
    labels = np.random.RandomState(0).randint(0, np.iinfo(dtype).max + 1, (7, 9)).astype(dtype)
    write_labels(tmp_path / ('a.' + suffix), labels)
    found = read_labels(tmp_path / ('a.' + suffix))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, labels)
    assert os.listdir(str(tmp_path)) == ['a.' + suffix]


@pytest.mark.parametrize('largest, dtype', [(255, np.uint8), (256, np.uint16)])
def test_other_integers_take_the_smallest_type(tmp_path, largest, dtype):
    write_labels(tmp_path / 'a.png', np.array([[0, largest]], np.int64))
    assert read_labels(tmp_path / 'a.png').dtype == dtype
    assert read_labels(tmp_path / 'a.png').tolist() == [[0, largest]]


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_palette_labels_are_indices(tmp_path, bits):
    labels = np.random.RandomState(0).randint(0, 2**bits, (5, 7)).astype(np.uint8)
    image = Image.fromarray(labels, 'P')
    image.putpalette(np.random.RandomState(1).randint(0, 256, 768).astype(np.uint8).tobytes())
    image.save(str(tmp_path / 'a.png'), bits=bits)
    image.save(str(tmp_path / 'a.bmp'))
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.bmp'), labels)


def png_of(height, width, color_type, content, bits=8, further=b''):
    header = struct.pack('>IIBBBBB', width, height, bits, color_type, 0, 0, 0)
    chunks = [chunk(b'IHDR', header), further, chunk(b'IDAT', content), chunk(b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


def chunk(name, content):
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))


def packed_rows(values, bits):
    """Each row with filter 0, its numbers of `bits` bits one after the other; Pillow writes no grey PNG of 2 or 4."""
    rows = b''
    for row in np.reshape(values, (len(values), -1)).tolist():
        text = ''.join(format(value, '0{}b'.format(bits)) for value in row)
        rows += b'\x00' + int(text, 2).to_bytes(len(text) // 8, 'big')
    return zlib.compress(rows)


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_grey_labels_of_few_bits_are_not_stretched(tmp_path, bits):
    labels = np.arange(16, dtype=np.uint8).reshape(2, 8) % 2**bits
    (tmp_path / 'a.png').write_bytes(png_of(2, 8, 0, packed_rows(labels, bits), bits))
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), labels)


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
@pytest.mark.parametrize('channels', [1, 3])
def test_one_value_of_a_png_can_be_transparent(tmp_path, bits, channels):
    if channels == 3 and bits < 8:
        return  # there is no such PNG
    most = 2**bits - 1
    values = np.tile(np.array([[0, most, 1, most], [most, 0, most, 1]]), 2)[..., np.newaxis].repeat(channels, axis=2)
    names = chunk(b'tRNS', struct.pack('>H', most) * channels)
    color_type = {1: 0, 3: 2}[channels]
    (tmp_path / 'a.png').write_bytes(png_of(2, 8, color_type, packed_rows(values, bits), bits, names))
    with pytest.raises(ValueError, match='a.png has an alpha channel'):
        read_image(tmp_path / 'a.png')
    seen = np.where(values == most, 0, np.round(values * (255.0 / most))).astype(np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png', convert=True), np.broadcast_to(seen, (2, 8, 3)))
    white = np.where(values == most, 255, seen)
    found = read_image(tmp_path / 'a.png', rules=ImageRules(alpha='white'))
    np.testing.assert_array_equal(found, np.broadcast_to(white, (2, 8, 3)))
    if channels == 1:
        np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), values[..., 0])
    if bits == 8:
        rgba = read_color_labels(tmp_path / 'a.png', lossy=True, keep_alpha=True)
        np.testing.assert_array_equal(rgba[..., :3], np.broadcast_to(values, (2, 8, 3)))
        np.testing.assert_array_equal(rgba[..., 3], np.where(values[..., 0] == most, 0, 255))


@pytest.mark.parametrize('kind', ['png', 'gif', 'webp'])
def test_of_an_image_that_moves_the_first_frame_is_taken_and_told_and_as_a_label_it_is_refused(tmp_path, kind):
    frames = [Image.fromarray(np.full((8, 9), value, np.uint8)) for value in (1, 2, 3)]
    path = str(tmp_path / ('a.' + kind))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    with pytest.warns(ImageConversionWarning, match='several frames.*the first frame is taken'):
        assert (read_image(path, convert=True) == 1).all()
    for read in (read_labels, read_color_labels):
        with pytest.raises(ValueError, match='holds several frames, and a label is one picture. Save the frame'):
            read(path)


def test_colours_are_no_labels(tmp_path, rgb):
    for name in ('a.png', 'a.tif'):
        with pytest.raises(ValueError, match='not class IDs.*--colors FILE.*convert_colors_to_ids'):
            read_labels(save(tmp_path / name, rgb))
    with pytest.raises(ValueError, match='JPEG file, a format that changes label values'):
        read_labels(save(tmp_path / 'a.jpg', rgb[..., 0]))


def test_colour_labels(tmp_path, rgb):
    np.testing.assert_array_equal(read_color_labels(save(tmp_path / 'a.png', rgb)), rgb)
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(read_color_labels(save(tmp_path / 'b.png', opaque)), rgb)
    opaque[0, 0, 3] = 9  # transparent in part: the colour is still that of the file
    np.testing.assert_array_equal(read_color_labels(save(tmp_path / 'f.png', opaque)), rgb)
    opaque[0, 0, 3] = 0
    with pytest.raises(TransparentLabelError, match=r"do not count: label_transparency='void' .*If they are a class"):
        read_color_labels(save(tmp_path / 'c.png', opaque))
    np.testing.assert_array_equal(read_color_labels(tmp_path / 'c.png', keep_alpha=True), opaque)
    with pytest.raises(ValueError, match='1 channel of uint8, not 8-bit colours'):
        read_color_labels(save(tmp_path / 'd.png', rgb[..., 0]))
    with pytest.raises(ValueError, match='JPEG file, whose compression changes colours'):
        read_color_labels(save(tmp_path / 'e.jpg', rgb))


@pytest.mark.parametrize('suffix', ['png', 'tif', 'bmp'])
@pytest.mark.parametrize('mode', ['RGB', 'RGBA'])
def test_grey_in_three_channels_is_read_as_grey(tmp_path, suffix, mode):
    labels = np.array([[0, 1, 2], [7, 254, 255]], np.uint8)
    Image.fromarray(np.stack([labels] * 3 + [np.full_like(labels, 255)] * (mode == 'RGBA'), axis=-1)).save(
        str(tmp_path / 'a') + '.' + suffix
    )
    np.testing.assert_array_equal(read_labels(tmp_path / ('a.' + suffix)), labels)
    colors = np.stack([labels, labels, labels // 2], axis=-1)
    Image.fromarray(colors).save(str(tmp_path / 'b') + '.' + suffix)
    with pytest.raises(ValueError, match=r'holds colours \(3 channels\), not class IDs'):
        read_labels(tmp_path / ('b.' + suffix))


@pytest.mark.parametrize('suffix', ['png', 'tif', 'bmp'])
def test_images_round_trip(tmp_path, rgb, suffix):
    write_image(tmp_path / 'new' / ('a.' + suffix), rgb)
    np.testing.assert_array_equal(read_image(tmp_path / 'new' / ('a.' + suffix)), rgb)


@pytest.mark.parametrize('array', [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((0, 2, 3), np.uint8)])
def test_what_is_no_image_is_not_written(tmp_path, array):
    with pytest.raises(ValueError, match=r'but uint8 \[H, W, 3\] is written'):
        write_image(tmp_path / 'a.png', array)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    'array, message',
    [
        (np.zeros((2, 2)), r'integers \[H, W\] are written'),
        (np.zeros((2, 2, 3), int), r'integers \[H, W\]'),
        (np.array([[-1, 0]]), 'Labels from -1 to 0 came'),
        (np.array([[0, 65536]]), 'Labels from 0 to 65536 came'),
    ],
)
def test_what_are_no_labels_are_not_written(tmp_path, array, message):
    with pytest.raises(ValueError, match=message):
        write_labels(tmp_path / 'a.png', array)
    assert os.listdir(str(tmp_path)) == []


def test_suffixes_that_cannot_be_written(tmp_path, rgb):
    with pytest.raises(ValueError, match='a.gif cannot be written: the suffix has to be one of .png'):
        write_image(tmp_path / 'a.gif', rgb)
    with pytest.raises(ValueError, match='a.jpg cannot be written: the suffix has to be one of .png, .tif'):
        write_labels(tmp_path / 'a.jpg', rgb[..., 0])
    with pytest.raises(ValueError, match=r'\.png cannot be written: the suffix has to be'):
        write_image(tmp_path / '.png', rgb)  # a name without a suffix


@pytest.mark.parametrize('size', [(12, 15), (9, 18), (16, 20), (20, 31)])
def test_resizing_interpolates_while_more_than_half_is_left(size):
    image = np.random.RandomState(1).randint(0, 256, (16, 20, 3)).astype(np.uint8)
    assert np.abs(resize_image(image, size) - slow_resize(image, *size)).max() <= 1


@pytest.mark.parametrize('factor', [2, 4])
def test_resizing_averages_from_half_the_size_on(factor):
    image = np.random.RandomState(2).randint(0, 256, (16, 20, 3)).astype(np.uint8)
    expected = image.reshape(16 // factor, factor, 20 // factor, factor, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(resize_image(image, expected.shape[:2]) - expected).max() <= 0.5


@pytest.mark.parametrize('turned', [False, True])
def test_a_side_that_shrinks_is_averaged_where_the_other_grows(turned):
    image = np.random.RandomState(3).randint(0, 256, (32, 10, 3)).astype(np.uint8)
    expected = slow_resize(image.reshape(4, 8, 10, 3).astype(float).mean(axis=1), 4, 15)
    resized = (
        resize_image(image.transpose(1, 0, 2), (15, 4)).transpose(1, 0, 2) if turned else resize_image(image, (4, 15))
    )
    assert np.abs(resized - expected).max() <= 1.5


def test_resizing_to_the_same_size_copies_nothing(rgb):
    assert resize_image(rgb, rgb.shape[:2]) is rgb


def test_what_cannot_be_converted_is_named(tmp_path):
    path = str(tmp_path / 'depth.tiff')
    cv2.imwrite(path, np.zeros([4, 5, 3], np.float32))
    with pytest.raises(ValueError, match='depth.tiff holds pixels of dtype float32, whose range is not known'):
        read_image(path, convert=True)


@pytest.mark.parametrize('stray', [b'\x00', b'\x00\x17stray', b'\xff\xff', b'\x00\xff\xd3'])
def test_stray_bytes_between_the_segments_of_a_jpeg(tmp_path, rgb, stray):
    data = (tmp_path / 'a.jpg', save(tmp_path / 'a.jpg', rgb))[0].read_bytes()
    end = 4 + struct.unpack('>H', data[4:6])[0]  # of the first segment
    (tmp_path / 'b.jpg').write_bytes(data[:end] + stray + data[end:])
    np.testing.assert_array_equal(read_image(tmp_path / 'b.jpg'), read_image(tmp_path / 'a.jpg'))


def bmp(palette, indices, bits, is_os2, gap, num_colours):
    """A BMP of the palette, with OS/2's header or that of Windows, and `gap` bytes before the pixels."""
    height, width = indices.shape
    colours = b''.join(bytes(color[::-1]) + (b'' if is_os2 else b'\0') for color in palette)
    if is_os2:
        header = struct.pack('<IHHHH', 12, width, height, 1, bits)
    else:
        header = struct.pack('<IiiHHIIiiII', 40, width, height, 1, bits, 0, 0, 0, 0, num_colours, 0)
    rows = b''
    for row in indices[::-1]:
        text = ''.join(format(value, '0{}b'.format(bits)) for value in row)
        text += '0' * (-len(text) % 32)
        rows += int(text, 2).to_bytes(len(text) // 8, 'big')
    offset = 14 + len(header) + len(colours) + gap
    head = b'BM' + struct.pack('<IHHI', offset + len(rows), 0, 0, offset)
    return head + header + colours + b'\0' * gap + rows


@pytest.mark.parametrize('bits', [1, 4, 8])
@pytest.mark.parametrize('is_os2', [False, True])
@pytest.mark.parametrize('gap', [0, 10])
def test_uncommon_bmp_files(tmp_path, bits, is_os2, gap):
    palette = np.random.RandomState(0).randint(0, 256, (2**bits, 3)).astype(np.uint8)
    indices = np.random.RandomState(1).randint(0, 2**bits, (5, 7))
    (tmp_path / 'a.bmp').write_bytes(bmp(palette, indices, bits, is_os2, gap, 0))
    np.testing.assert_array_equal(read_image(tmp_path / 'a.bmp'), palette[indices])
    np.testing.assert_array_equal(read_color_labels(tmp_path / 'a.bmp'), palette[indices])
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.bmp'), indices)


@pytest.mark.parametrize('reader', [read_labels, read_color_labels, lambda path: read_image(path, convert=True)])
def test_sizes_that_a_file_cannot_hold(tmp_path, reader):
    (tmp_path / 'a.png').write_bytes(png_of(60000, 60000, 0, zlib.compress(b'\0' * 1000)))
    with pytest.raises(ValueError, match=r'a.png is damaged: its \d+ bytes cannot hold 60000 x 60000 pixels'):
        reader(tmp_path / 'a.png')
    (tmp_path / 'a.bmp').write_bytes(bmp([(0, 0, 0)] * 2, np.zeros((2, 2), int), 8, True, 0, 0))
    data = bytearray((tmp_path / 'a.bmp').read_bytes())
    data[18:22] = b'\xff\xff\xff\xff'
    (tmp_path / 'a.bmp').write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r'a.bmp is damaged: its \d+ bytes cannot hold 65535 x 65535 pixels'):
        reader(tmp_path / 'a.bmp')


@pytest.mark.parametrize('name', ['a.jpg', 'a.gif', 'a.pgm'])
def test_sizes_that_other_formats_cannot_hold(tmp_path, name):
    path = str(tmp_path / name)
    Image.new('L', (16, 16)).save(path)
    with open(path, 'rb') as file:
        data = file.read()
    size = {'a.jpg': b'\x00\x10\x00\x10\x01', 'a.gif': b'\x10\x00\x10\x00', 'a.pgm': b'16 16'}[name]
    assert size in data
    larger = {'a.jpg': b'\xff\xdc\xff\xdc\x01', 'a.gif': b'\xff\xff\xff\xff', 'a.pgm': b'65500 65500'}[name]
    with open(path, 'wb') as file:
        file.write(data.replace(size, larger))
    with pytest.raises(
        ValueError, match=r'^\S+{} is damaged: its \d+ bytes cannot hold 65\d+ x 65\d+ pix'.format(name)
    ):
        read_image(path, convert=True)


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('mode', ['L', 'RGB'])
def test_a_jpeg_of_one_colour_is_read_however_small_it_is(tmp_path, mode, progressive):
    Image.new(mode, (2000, 2000)).save(str(tmp_path / 'a.jpg'), optimize=True, progressive=progressive, quality=1)
    assert read_image(str(tmp_path / 'a.jpg'), convert=True).shape == (2000, 2000, 3)


def test_bombs_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, 'free_memory', lambda: 10**8)
    rows = zlib.compressobj()
    content = rows.compress(bytes(8193 * 8192)) + rows.flush()
    for name, color_type in (('grey', 0), ('palette', 3)):
        (tmp_path / (name + '.png')).write_bytes(png_of(8192, 8192, color_type, content))
        for reader in (read_labels, lambda path: read_image(path, convert=True)):
            with pytest.raises(ValueError, match='holds 8192 x 8192 pixels, which take 134.2 MB.*100.0 MB are free'):
                reader(tmp_path / (name + '.png'))


def test_a_file_larger_than_the_memory_is_named_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, 'free_memory', lambda: 10**8)
    with open(str(tmp_path / 'a.npy'), 'wb') as file:
        file.truncate(2 * 10**8)  # without a byte on the disk
    for reader in (read_labels, read_image):
        with pytest.raises(
            ValueError, match='a.npy holds 200000000 bytes, which take 200.0 MB of memory, and 100.0 MB'
        ):
            reader(tmp_path / 'a.npy')


def test_maps_beyond_the_limit_of_pillow_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    labels = np.random.RandomState(0).randint(0, 3, (40, 50)).astype(np.uint8)
    image = Image.fromarray(labels, 'P')
    image.putpalette([1, 2, 3, 4, 5, 6, 7, 8, 9])
    for name in ('a.png', 'a.bmp', 'a.tif'):
        image.save(str(tmp_path / name))
        np.testing.assert_array_equal(read_labels(tmp_path / name), labels)


@pytest.mark.parametrize(
    'array', [np.zeros((2, 3), np.uint8), np.zeros((2, 3, 3), '>u2'), np.asfortranarray(np.eye(3) > 0)]
)
def test_numpy_files(tmp_path, array):
    rng = np.random.RandomState(0)
    array = (array + rng.randint(0, 2, array.shape)).astype(array.dtype)
    np.save(str(tmp_path / 'a.npy'), array)
    found = read_image(tmp_path / 'a.npy', rules=ImageRules(window=((0, 1),)))
    scale = 1 if array.dtype == np.uint8 else 255
    wanted = array * scale if array.ndim == 3 else np.dstack([array * scale] * 3)
    np.testing.assert_array_equal(found, wanted)


def test_numpy_files_that_are_no_images(tmp_path):
    np.save(str(tmp_path / 'a.npy'), np.zeros((2, 3), complex))
    with pytest.raises(ValueError, match='an array of dtype complex128 and shape'):
        read_image(tmp_path / 'a.npy', convert=True)
    np.save(str(tmp_path / 'a.npy'), np.zeros((2, 3)))
    data = (tmp_path / 'a.npy').read_bytes()
    (tmp_path / 'a.npy').write_bytes(data[:-1])
    with pytest.raises(ValueError, match='its 47 bytes are not those of shape'):
        read_image(tmp_path / 'a.npy', convert=True)
    (tmp_path / 'a.npy').write_bytes(data.replace(b'(2, 3)', b'(2, [)'))
    with pytest.raises(ValueError, match='its NumPy header cannot be read'):
        read_image(tmp_path / 'a.npy', convert=True)


@pytest.mark.parametrize('size', [(0, 4), (-1, 4), (1.5, 2), '88', None, 8, (4, 4, 3)])
def test_resizing_to_what_is_no_size_is_refused(size):
    for resize, pixels in ((resize_image, np.zeros([9, 9, 3], np.uint8)), (resize_labels, np.zeros([9, 9], np.uint8))):
        with pytest.raises(ValueError, match=r'size is .*; it has to be \(height, width\), each a whole number'):
            resize(pixels, size)


def test_what_has_no_channels_is_not_shown():
    with pytest.raises(ValueError, match=r'the image has the shape \(4, 5\); it has to be \[H, W, C\]'):
        shown_channels(np.zeros([4, 5], np.uint8))


@pytest.mark.parametrize('image', [[[[1, 2, 3]]], np.zeros([9, 9, 3], np.int64), np.zeros([9, 9, 3], bool)])
def test_resizing_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match=r'the image is of the type .*; it has to be an array uint8 \[H, W, C\]'):
        resize_image(image, (4, 4))


@pytest.mark.parametrize('dtype', ['>u2', '>f4', '>f8'])
@pytest.mark.parametrize('size', [(4, 3), (20, 17)])
def test_resizing_does_not_depend_on_the_order_of_bytes(dtype, size):
    image = np.random.RandomState(0).randint(0, 256, (9, 9, 3)).astype(dtype)
    np.testing.assert_array_equal(resize_image(image, size), resize_image(image.astype(dtype[1:]), size))


@pytest.mark.parametrize('shape', [(2, 9, 9, 3), (0, 9, 3), (9,)])
def test_resizing_of_other_shapes_is_refused(shape):
    with pytest.raises(ValueError, match='the image has the shape .*Resize the images of a batch one by one'):
        resize_image(np.zeros(shape, np.uint8), (4, 4))
    for labels in (np.zeros((3, 9, 9), np.uint8), np.zeros((0, 9), np.uint8), [1, 2]):
        with pytest.raises(ValueError, match='labels have the shape .*Resize those of a batch one by one'):
            resize_labels(labels, (4, 4))


@pytest.mark.parametrize('dtype', ['u1', '>u2', '>i4', 'i8', bool])
@pytest.mark.parametrize('size', [(4, 6), (2, 3), (3, 5), (12, 18), (8, 2)])
def test_resized_labels_take_the_nearest_pixel(size, dtype):
    labels = np.arange(24).reshape(4, 6).astype(dtype)
    rows, columns = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1) for new, old in zip(size, labels.shape)
    ]
    np.testing.assert_array_equal(resize_labels(labels, size), labels[rows][:, columns])


def test_labels_that_are_too_wide_for_opencv_4_are_resized_without_it(monkeypatch):
    """It took nearly all pixels from wrong places."""
    labels = np.arange(33000, dtype=np.uint16)[np.newaxis].repeat(3, axis=0)
    monkeypatch.setattr('cv2.resize', None)
    for height, width in ((1, 16500), (5, 66000), (3, 1000)):
        columns = ((np.arange(width) + 0.5) * 33000 / width).astype(int)
        np.testing.assert_array_equal(resize_labels(labels, (height, width)), [columns] * height)
        np.testing.assert_array_equal(resize_labels(labels.T.copy(), (width, height)).T, [columns] * height)
