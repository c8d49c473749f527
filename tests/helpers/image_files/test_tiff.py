"""TIFF files of every kind are read as their tags say, or refused with the true reason."""

import struct
import types
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.image_files.palettes import ColorTable
from helpers.image_files.tiff import TiffFacts, _damage
from helpers.image_rules import ImageRules
from helpers.images import read_color_labels, read_image, read_label_file, read_labels

tifffile = pytest.importorskip('tifffile')

HEIGHT, WIDTH = 6, 8
RNG = np.random.RandomState(0)
FORMATS = {3: 'H', 4: 'I'}


def write_tiff(path, planes, **tags):
    """A TIFF put together by hand: strips as they come, and tags by their numbers (`t262=1`)."""
    data = b''.join(planes)
    offsets = [8 + sum(map(len, planes[:index])) for index in range(len(planes))]
    values = {256: (3, [WIDTH]), 257: (3, [HEIGHT]), 258: (3, [8]), 259: (3, [1]), 262: (3, [2]), 277: (3, [3])}
    values.update({278: (3, [HEIGHT]), 284: (3, [1])})
    values.update({int(name[1:]): (3, value) for name, value in tags.items()})
    values.update({273: (4, offsets), 279: (4, [len(plane) for plane in planes])})
    directory = 8 + len(data)
    place, extra, entries = directory + 2 + 12 * len(values) + 4, b'', b''
    for tag, (kind, numbers) in sorted(values.items()):
        content = struct.pack('<{}{}'.format(len(numbers), FORMATS[kind]), *numbers)
        entries += struct.pack('<HHI', tag, kind, len(numbers))
        if len(content) <= 4:
            entries += content.ljust(4, b'\0')
        else:
            entries += struct.pack('<I', place + len(extra))
            extra += content
    head = b'II*\0' + struct.pack('<I', directory)
    path.write_bytes(head + data + struct.pack('<H', len(values)) + entries + b'\0' * 4 + extra)
    return path


def packed(indices, bits):
    rows = b''
    for row in indices:
        text = ''.join(format(value, '0{}b'.format(bits)) for value in row)
        text += '0' * (-len(text) % 8)
        rows += int(text, 2).to_bytes(len(text) // 8, 'big')
    return rows


def read(path, **rules):
    return read_image(path, rules=ImageRules(**rules))


def test_planes_of_16_bits_are_read(tmp_path):
    planes = RNG.randint(0, 256, (3, HEIGHT, WIDTH)).astype(np.uint16)
    path = write_tiff(
        tmp_path / 'a.tif', [(plane * 257).astype('<u2').tobytes() for plane in planes], t258=[16] * 3, t284=[2]
    )
    np.testing.assert_array_equal(read(path), planes.transpose(1, 2, 0))


@pytest.mark.parametrize('mark, name', [(1, 'premultiplied'), (2, 'straight')])
def test_what_is_marked_as_alpha(tmp_path, mark, name):
    values = RNG.randint(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    values[..., :3] = np.minimum(values[..., :3], values[..., 3:])
    path = write_tiff(tmp_path / 'a.tif', [values.tobytes()], t258=[8] * 4, t277=[4], t338=[mark])
    share = values[..., 3:] / 255.0
    expected = values[..., :3] * (share if mark == 2 else 1)
    np.testing.assert_allclose(read(path), expected, atol=0.51)
    np.testing.assert_allclose(read(path, alpha='white'), expected + 255 * (1 - share), atol=0.51)
    with pytest.raises(
        ValueError, match="a.tif has an alpha channel, which alpha='refuse' reads .*\\(--transparency\\)"
    ):
        read(path, alpha='refuse')


def test_a_fourth_band_without_a_mark_is_no_alpha(tmp_path):
    values = RNG.randint(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    path = write_tiff(tmp_path / 'a.tif', [values.tobytes()], t258=[8] * 4, t277=[4], t338=[0])
    with pytest.raises(ValueError, match=r'a.tif has 4 bands, and the network takes 3 channels.*--channels 4'):
        read(path)
    np.testing.assert_array_equal(read(path, bands=(4, 2, 1)), values[..., [3, 1, 0]])
    np.testing.assert_array_equal(read(path, channels=4), values)


@pytest.mark.parametrize('kind, opaque', [(np.uint16, 65535), (np.int16, 32767), (np.float32, 1)])
@pytest.mark.parametrize('window', ['file', ((100, 1100),), ((100, 1100),) * 3])
def test_a_window_is_about_colours_and_not_about_alpha(tmp_path, kind, opaque, window):
    colors = RNG.randint(100, 1101, (HEIGHT, WIDTH, 3))
    colors[0, 0], colors[0, 1] = 100, 1100
    share = RNG.choice([0, 0.2, 1], (HEIGHT, WIDTH, 1))
    path = tmp_path / 'a.tif'
    values = np.dstack([colors, share * opaque]).astype(kind)
    tifffile.imwrite(str(path), values, photometric='rgb', extrasamples=['unassalpha'])
    expected = (colors - 100) * 255 / 1000.0 * share
    np.testing.assert_allclose(read(path, window=window), expected, atol=1.01)  # rounded to 8 bits, and laid over black


@pytest.mark.parametrize('bands', [1, 3, 5])
def test_pixels_without_data_are_not_in_the_range_of_a_file(tmp_path, bands):
    values = RNG.randint(1000, 1201, (HEIGHT, WIDTH, bands)).astype(np.float32)
    values[0, 0], values[0, 1] = 1000, 1200
    expected = (values - 1000) * 255 / 200
    for row, (value, black_or_white) in enumerate(((np.nan, 0), (np.inf, 255), (-np.inf, 0)), 1):
        values[row, 2:4], expected[row, 2:4] = value, black_or_white
    np.save(str(tmp_path / 'a.npy'), values)
    np.testing.assert_allclose(read(tmp_path / 'a.npy', channels=bands, window='file'), expected, atol=0.51)
    np.save(str(tmp_path / 'a.npy'), values - 1040)  # -40 is black, and 0 is not
    for window in ('file', ((-40, 160),)):
        np.testing.assert_allclose(
            read(tmp_path / 'a.npy', channels=bands, window=window), expected.clip(0, 255), atol=0.51
        )
    for value in (np.nan, -7, 1e15):
        np.save(str(tmp_path / 'a.npy'), np.full((HEIGHT, WIDTH, bands), value))
        assert not read(tmp_path / 'a.npy', channels=bands, window='file').any()


def test_where_white_is_zero_alpha_is_as_ever(tmp_path):
    values = RNG.randint(0, 256, (HEIGHT, WIDTH, 2)).astype(np.uint8)
    path = write_tiff(tmp_path / 'a.tif', [values.tobytes()], t258=[8] * 2, t262=[0], t277=[2], t338=[2])
    expected = (255 - values[..., :1].astype(float)) * values[..., 1:] / 255
    np.testing.assert_allclose(read(path), np.repeat(expected, 3, axis=2), atol=0.51)


def test_chosen_bands_of_printing_inks_are_inks(tmp_path):
    inks = RNG.randint(0, 256, (HEIGHT, WIDTH, 4)).astype(np.uint8)
    Image.fromarray(inks, 'CMYK').save(str(tmp_path / 'a.tif'))
    np.testing.assert_array_equal(read(tmp_path / 'a.tif', bands=(1, 2, 3)), inks[..., :3])
    np.testing.assert_array_equal(read(tmp_path / 'a.tif', channels=4, bands=(4, 3, 2, 1)), inks[..., ::-1])


def test_three_bands_of_no_stated_colour(tmp_path):
    values = RNG.randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    path = write_tiff(tmp_path / 'a.tif', [values.tobytes()], t258=[8] * 3, t262=[1], t338=[0, 0])
    np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
@pytest.mark.parametrize('photometric', [0, 1, 3])
def test_few_bits_are_stretched_in_images_and_kept_in_labels(tmp_path, bits, photometric):
    indices = RNG.randint(0, 2**bits, (HEIGHT, WIDTH))
    palette = RNG.randint(0, 256, (2**bits, 3))
    tags = {'t258': [bits], 't262': [photometric], 't277': [1]}
    if photometric == 3:
        tags['t320'] = (palette.T * 257).ravel().tolist()
    path = write_tiff(tmp_path / 'a.tif', [packed(indices, bits)], **tags)
    grey = indices * (255 // (2**bits - 1))
    expected = {0: 255 - grey, 1: grey}.get(photometric)
    expected = palette[indices] if expected is None else np.dstack([expected] * 3)
    np.testing.assert_array_equal(read(path), expected)
    np.testing.assert_array_equal(read_labels(path), indices)  # the numbers, whatever they look like
    if photometric == 3:
        np.testing.assert_array_equal(read_color_labels(path), expected)


def test_palettes_of_16_bits_are_read(tmp_path):
    path, indices = tmp_path / 'a.tif', RNG.randint(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
    greys, colors = np.repeat(RNG.randint(0, 256, (1, 65536)), 3, axis=0), RNG.randint(0, 256, (3, 65536))
    for palette, expected in ((greys, greys[0][indices]), (colors, indices)):
        tifffile.imwrite(str(path), indices, photometric='palette', colormap=(palette * 257).astype(np.uint16))
        np.testing.assert_array_equal(read_labels(path), expected)
    ids = {int(index): tuple(colors[:, index].tolist()) for index in indices.ravel()}
    in_another_order = {65535 - index: color for index, color in ids.items()}
    found = ColorTable(in_another_order).ids(read_label_file(path))
    assert len(set(ids.values())) == len(ids) and found.dtype == np.uint16
    np.testing.assert_array_equal(found, 65535 - indices)


@pytest.mark.parametrize('kind', [np.int8, np.int16, np.int32, np.uint16, np.uint32, np.int64])
def test_labels_of_any_integers(tmp_path, kind):
    ids = RNG.randint(0, min(30000, np.iinfo(kind).max), (HEIGHT, WIDTH)).astype(kind)
    path = tmp_path / 'a.tif'
    tifffile.imwrite(str(path), ids)
    assert read_labels(path).dtype == (np.uint8 if kind == np.int8 else np.uint16)
    np.testing.assert_array_equal(read_labels(path), ids)
    if kind != np.uint16:
        ids[0, 0] = -1 if np.issubdtype(kind, np.signedinteger) else 70000
        tifffile.imwrite(str(path), ids)
        with pytest.raises(ValueError, match=r'a.tif holds labels from -?\d+ to \d+, and label IDs are 0 to 65535'):
            read_labels(path)


def test_fractions_and_lossy_compression_are_no_labels(tmp_path):
    for value in (0.5, np.nan, np.inf):
        tifffile.imwrite(str(tmp_path / 'a.tif'), np.full((4, 5), value, np.float32))
        with pytest.raises(ValueError, match=r'a.tif holds fractions \(float32\), not class IDs'):
            read_labels(tmp_path / 'a.tif')
    tifffile.imwrite(str(tmp_path / 'a.tif'), np.arange(20, dtype=np.float32).reshape(4, 5))
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.tif'), np.arange(20).reshape(4, 5))
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(str(tmp_path / 'a.tif'), compression='jpeg')
    with pytest.raises(ValueError, match='has a compression that changes label values'):
        read_labels(tmp_path / 'a.tif')
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(str(tmp_path / 'a.tif'), compression='jpeg')
    with pytest.raises(ValueError, match='is a JPEG file, whose compression changes colours'):
        read_color_labels(tmp_path / 'a.tif')


@pytest.mark.parametrize('compression', ['raw', 'tiff_lzw', 'tiff_deflate', 'tiff_adobe_deflate', 'packbits'])
@pytest.mark.parametrize('mode', ['L', 'RGB', 'P', 'RGBA', 'CMYK', 'I;16', '1'])
def test_each_lossless_compression_is_read(tmp_path, compression, mode):
    shape = (40, 50) if mode in 'LPI;161' else (40, 50, len(mode))
    values = RNG.randint(0, 200, shape).astype(np.uint16 if mode == 'I;16' else np.uint8)
    image = Image.fromarray(values.astype(bool)) if mode == '1' else Image.fromarray(values, mode)
    if mode == 'P':
        image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(str(tmp_path / 'a.tif'), compression=None if compression == 'raw' else compression)
    if len(shape) == 2:
        np.testing.assert_array_equal(read_labels(tmp_path / 'a.tif'), values > 0 if mode == '1' else values)
    else:
        bands = ImageRules(bands=(1, 2, 3)) if mode == 'RGBA' else None
        found = read_image(tmp_path / 'a.tif', convert=True, rules=bands)
        left = 255 - values.astype(float)
        expected = left[..., :3] * left[..., 3:] / 255 if mode == 'CMYK' else values[..., :3]
        assert np.abs(found - expected).max() <= 0.51


@pytest.mark.parametrize('flag', [1, 5, 8, 32946])
@pytest.mark.parametrize('shape, kind', [((40, 50), np.uint16), ((40, 50, 3), np.uint16), ((40, 50, 3), np.uint8)])
def test_what_opencv_writes_is_read(tmp_path, flag, shape, kind):
    values = RNG.randint(0, np.iinfo(kind).max, shape).astype(kind)
    cv2.imwrite(str(tmp_path / 'a.tif'), values, [cv2.IMWRITE_TIFF_COMPRESSION, flag])
    found = read(tmp_path / 'a.tif')
    expected = values if kind == np.uint8 else np.rint(values / 257.0)
    np.testing.assert_array_equal(found, expected[..., ::-1] if len(shape) == 3 else np.dstack([expected] * 3))


@pytest.mark.parametrize('compression', [None, 'zlib', 'lzma'])
@pytest.mark.parametrize('options', [{'planarconfig': 'separate'}, {'planarconfig': 'contig'}, {}])
def test_stacks_of_five_planes_are_five_bands(tmp_path, compression, options):
    stack = RNG.randint(0, 256, (5, HEIGHT, WIDTH)).astype(np.uint8)
    values = stack.transpose(1, 2, 0) if options.get('planarconfig') == 'contig' else stack
    tifffile.imwrite(str(tmp_path / 'a.tif'), values, photometric='minisblack', compression=compression, **options)
    np.testing.assert_array_equal(read(tmp_path / 'a.tif', channels=5), stack.transpose(1, 2, 0))
    with pytest.raises(ValueError, match='a.tif has 5 bands, and the network takes 3 channels. Name the bands'):
        read(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match=r'holds colours \(5 channels\), not class IDs'):
        read_labels(tmp_path / 'a.tif')


def test_pages_that_are_no_bands(tmp_path):
    with tifffile.TiffWriter(str(tmp_path / 'a.tif')) as file:
        for size in (8, 9):
            file.write(np.zeros((size, size), np.uint8))
    with pytest.raises(ValueError, match='a.tif has 2 pages of different kinds, which are no bands of one image'):
        read(tmp_path / 'a.tif')


@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation_of_labels_is_that_of_images(tmp_path, orientation):
    ids = RNG.randint(0, 9, (HEIGHT, WIDTH)).astype(np.uint8)
    path = write_tiff(tmp_path / 'a.tif', [ids.tobytes()], t258=[8], t262=[1], t277=[1], t274=[orientation])
    np.testing.assert_array_equal(read_labels(path), read(path)[..., 0])
    assert (read_labels(path).shape == ids.shape) == (orientation < 5)


def test_truth_about_what_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr('helpers.image_files.tiff._by_rasterio', lambda data, facts: None)
    content = zlib.compress(np.zeros((HEIGHT, WIDTH, 5), np.uint8).tobytes())
    tags = dict(t258=[8] * 5, t277=[5], t262=[1], t338=[0] * 4)
    path = write_tiff(tmp_path / 'a.tif', [content], t259=[50000], **tags)
    with pytest.raises(ValueError, match='5 bands of 8 bits with Zstandard compression.*fcn8s.geo.* reads it'):
        read(path, channels=5)
    path = write_tiff(tmp_path / 'a.tif', [bytes(HEIGHT * WIDTH * 3)], t258=[8] * 3, t262=[8])
    with pytest.raises(ValueError, match=r'a.tif holds CIE L\*a\*b\*, which is not read. Convert the file to RGB'):
        read(path)
    path = write_tiff(tmp_path / 'a.tif', [bytes(HEIGHT * WIDTH * 3)], t258=[8] * 3, t256=[60000], t257=[60000])
    with pytest.raises(ValueError, match='a.tif is damaged: its 144 bytes cannot hold 60000 x 60000 pixels'):
        read(path)


def test_memory_is_asked_for_first(tmp_path, monkeypatch):
    monkeypatch.setattr('helpers.process.memory.free_memory', lambda: 10**8)
    sides = dict(t256=[30000], t257=[30000])  # LZMA may well make as much of a few bytes
    path = write_tiff(tmp_path / 'a.tif', [bytes(100)], t258=[8], t277=[1], t262=[1], t259=[34925], **sides)
    for reader in (read, read_labels):
        with pytest.raises(ValueError, match='holds 30000 x 30000 pixels of 1 bands, which take 1.8 GB'):
            reader(path)


@pytest.mark.parametrize('compression', [5, 7, 8, 32946, 32773])
def test_sizes_that_a_compressed_file_cannot_hold(tmp_path, compression):
    tags = dict(t258=[8], t277=[1], t262=[1], t256=[60000], t257=[60000], t259=[compression])
    path = write_tiff(tmp_path / 'a.tif', [bytes(100)], **tags)
    for reader in (read, read_labels):
        with pytest.raises(ValueError, match='a.tif is damaged: its 100 bytes cannot hold 60000 x 60000 pixels'):
            reader(path)


def test_strips_that_share_their_bytes_hold_them_once():
    size, strips = (8000, 8000), 8000
    page = types.SimpleNamespace(imagelength=8000, imagewidth=8000, samplesperpixel=1, dtype=np.dtype(np.uint8))
    page.dataoffsets, page.databytecounts = [8] * strips, [8000] * strips
    facts = TiffFacts(size, 1, 8, page.dtype, 1, 1, (), False, 1, 1)
    assert _damage([page], facts, 72000) == 'is damaged: its 72000 bytes cannot hold 8000 x 8000 pixels'


@pytest.mark.parametrize('bands', [1, 3])
@pytest.mark.parametrize('compression', ['tiff_lzw', 'jpeg', 'tiff_adobe_deflate', 'packbits'])
def test_one_colour_compressed_as_much_as_it_can_be_is_read(tmp_path, bands, compression):
    picture = Image.new('L' if bands == 1 else 'RGB', (2000, 2000))
    picture.save(str(tmp_path / 'a.tif'), compression=compression)
    assert not read(str(tmp_path / 'a.tif'), channels=bands).any()
