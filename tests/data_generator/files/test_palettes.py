"""What label files look like decides what they hold, and one colour is one ID in all files of a dataset."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from data_generator import BatchGenerator, DataError
from data_generator.checking.check import check_dataset
from data_generator.files import palettes
from data_generator.files.legends import Legend
from data_generator.files.palettes import PaletteRule, color_palette, file_palette
from helpers.image_files.palettes import used_values
from helpers.images import read_label_file, read_labels, write_image, write_labels
from helpers.label_spaces import CITYSCAPES, VOC, generic_label_space

IDS = np.array([[0, 7, 15, 255], [7, 7, 0, 15]], np.uint8)
RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
CRACKS = generic_label_space(3)._replace(colors=(WHITE, BLACK, RED))


def write_palette(path, ids, colors):
    """`colors`: the palette, entry by entry."""
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    image = Image.fromarray(np.asarray(ids, np.uint8), 'P')
    image.putpalette([channel for color in colors for channel in color])
    image.save(str(path))


def recoloured(ids, color_of):
    """The same picture with the colours in the order of their first pixel, as optimisers sort them."""
    used = list(dict.fromkeys(ids.ravel().tolist()))
    return np.vectorize(used.index)(ids), [color_of[index] for index in used]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_values_that_occur(dtype):
    values = np.random.RandomState(0).randint(0, np.iinfo(dtype).max + 1, (7, 18)).astype(dtype)
    for array in (values, values[::2, ::3], values.T, np.full((2, 2), np.iinfo(dtype).max, dtype)):
        assert used_values(array) == sorted(set(array.ravel().tolist()))


def test_a_palette_of_greys_is_these_grey_values(tmp_path):
    indices, colors = recoloured(IDS, {value: (value,) * 3 for value in range(256)})
    write_palette(tmp_path / 'a.png', indices, colors)
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), IDS)
    assert read_label_file(tmp_path / 'a.png').palette is None


def test_a_palette_of_colours_is_handed_out_with_the_indices(tmp_path):
    write_palette(tmp_path / 'a.png', [[0, 1], [2, 2]], [RED, GREEN, BLUE])
    label = read_label_file(tmp_path / 'a.png')
    assert label.values.tolist() == [[0, 1], [2, 2]] and label.palette[:3].tolist() == [[*RED], [*GREEN], [*BLUE]]


def test_three_equal_channels_and_opaque_alpha_are_grey_values(tmp_path):
    for channels in ((IDS,) * 3, (IDS,) * 3 + (np.full_like(IDS, 255),)):
        Image.fromarray(np.dstack(channels)).save(str(tmp_path / 'a.png'))
        np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), IDS)
    Image.fromarray(np.dstack([IDS, IDS, IDS, IDS])).save(str(tmp_path / 'a.png'))
    with pytest.raises(ValueError, match=r'a\.png holds colours \(4 channels\)'):
        read_labels(tmp_path / 'a.png')


def test_no_flipped_bit_of_a_palette_png_gives_other_labels(tmp_path):
    write_palette(tmp_path / 'a.png', IDS % 3, [RED, GREEN, BLUE])
    whole = (tmp_path / 'a.png').read_bytes()
    expected = read_label_file(tmp_path / 'a.png')
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / 'b.png').write_bytes(bytes(damaged))
        try:
            found = read_label_file(tmp_path / 'b.png')
        except ValueError:
            continue
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.palette, expected.palette)


@pytest.fixture
def folder(tmp_path):
    for name in 'abc':
        os.makedirs(str(tmp_path / 'images'), exist_ok=True)
        write_image(str(tmp_path / 'images' / (name + '.png')), np.full((2, 2, 3), 99, np.uint8))
    return tmp_path


def labels_of(folder, **options):
    options = dict(dict(num_classes=3), **options)
    data = BatchGenerator([str(folder / 'images')], None, [str(folder / 'labels')], **options)
    return [next(batches)[1][0].tolist() for batches in [data.generate(1, shuffle=False)] for _ in 'abc']


def test_the_same_colours_in_another_order_are_read_by_colour(folder):
    write_palette(folder / 'labels/a.png', [[0, 1], [2, 2]], [RED, GREEN, BLUE])
    write_palette(folder / 'labels/b.png', [[2, 1], [0, 0]], [BLUE, GREEN, RED])
    write_palette(folder / 'labels/c.png', [[0, 0], [0, 0]], [GREEN])
    with pytest.warns(UserWarning, match=r'b\.png: its palette has its colours in another order.*read by colour'):
        assert labels_of(folder) == [[[0, 1], [2, 2]], [[0, 1], [2, 2]], [[1, 1], [1, 1]]]


def test_palettes_may_leave_out_what_they_do_not_use(folder):
    write_palette(folder / 'labels/a.png', [[0, 1], [1, 0]], [RED, GREEN])
    write_palette(folder / 'labels/b.png', [[0, 1], [2, 2]], [RED, GREEN, BLUE])
    write_palette(folder / 'labels/c.png', [[0, 0], [0, 0]], [BLUE])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert labels_of(folder) == [[[0, 1], [1, 0]], [[0, 1], [2, 2]], [[2, 2], [2, 2]]]


def test_the_palettes_of_all_files_are_read_once_and_only_where_the_first_does_not_say(tmp_path, monkeypatch):
    paths = [str(tmp_path / '{}.png'.format(number)) for number in range(6)]
    for path in paths[:3]:
        write_palette(path, [[0, 1]], [RED, GREEN])
    for path in paths[3:]:
        write_palette(path, [[0, 1]], [RED, BLUE])
    looked_at = []
    monkeypatch.setattr(palettes, 'file_palette', lambda path: looked_at.append(path) or file_palette(path))
    rule = PaletteRule(paths)
    for path in paths[:3]:
        rule.ids(read_label_file(path), path)
    assert looked_at == paths[:1]
    for path in paths[3:]:
        with pytest.raises(DataError):
            rule.ids(read_label_file(path), path)
    assert looked_at == paths[:1] + paths


def test_palettes_that_contradict_each_other_are_refused(folder):
    write_palette(folder / 'labels/a.png', [[0, 1], [1, 0]], [RED, GREEN])
    write_palette(folder / 'labels/b.png', [[0, 1], [1, 0]], [RED, BLUE])
    write_palette(folder / 'labels/c.png', [[0, 1], [1, 0]], [RED, GREEN])
    message = (
        r'b\.png: index 1 of its palette is the colour \(0, 0, 250\), and in other labels .* \(0, 250, 0\).*--colors'
    )
    with pytest.raises(DataError, match=message):
        labels_of(folder)


def test_the_palette_becomes_the_colours_of_the_classes(folder):
    for name in 'abc':
        write_palette(folder / 'labels' / (name + '.png'), [[0, 1], [2, 2]], [RED, GREEN, BLUE])
    data = BatchGenerator([str(folder / 'images')], None, [str(folder / 'labels')], num_classes=3)
    assert data.label_space.colors == (RED, GREEN, BLUE)


def voc(root, ids, colors):
    write_image(str(root / 'JPEGImages/a.jpg'), np.zeros(IDS.shape + (3,), np.uint8))
    write_palette(root / 'SegmentationClass/a.png', ids, colors)
    (root / 'ImageSets/Segmentation').mkdir(parents=True)
    (root / 'ImageSets/Segmentation/train.txt').write_text('a\n', encoding='utf-16')  # as Windows saves it
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return next(BatchGenerator.from_layout('voc', str(root)).generate(1))[1][0]


def test_voc_files_are_read_by_the_colours_of_voc(tmp_path):
    color_of = dict(enumerate(VOC.colors))
    color_of[255] = (224, 224, 192)
    np.testing.assert_array_equal(voc(tmp_path / 'sorted', *recoloured(IDS, color_of)), IDS)
    grey_of = {value: (value,) * 3 for value in range(256)}
    np.testing.assert_array_equal(voc(tmp_path / 'grey', *recoloured(IDS, grey_of)), IDS)


@pytest.mark.parametrize(
    'ids, classes, is_reordered', [([7, 23, 26], [0, 10, 13], False), ([0, 1, 2], [0, 10, 13], True)]
)
def test_palettes_of_a_layout_whose_files_have_ids_of_their_own(tmp_path, ids, classes, is_reordered):
    """Road, sky and car of Cityscapes: indices are IDs of its files, or the colours say what they are."""
    colors = [(1, 1, 1)] * 256
    for index, class_id in zip(ids, classes):
        colors[index] = CITYSCAPES.colors[class_id]
    write_image_of(tmp_path / 'leftImg8bit/train/u/u_0_leftImg8bit.png')
    write_palette(tmp_path / 'gtFine/train/u/u_0_gtFine_labelIds.png', [ids], colors)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        with BatchGenerator.from_layout('cityscapes', str(tmp_path)).generate(1) as batches:
            assert next(batches)[1].tolist() == [[classes]]
    assert any('read by colour' in str(warning.message) for warning in told) == is_reordered


def write_image_of(path):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    write_image(str(path), np.zeros((1, 3, 3), np.uint8))


@pytest.fixture
def of_optimised_files(folder):
    """Each file has a palette of its own colours, the most frequent first, as optimisers write them."""
    for name, ids, colors in (
        ('a', [[0, 0], [0, 1]], [RED, GREEN]),
        ('b', [[0, 0], [1, 2]], [GREEN, RED, BLUE]),
        ('c', [[0, 0], [1, 2]], [BLUE, GREEN, RED]),
    ):
        write_palette(folder / 'labels' / (name + '.png'), ids, colors)
    return folder


TRUE_IDS = {'a': [[0, 0], [0, 1]], 'b': [[1, 1], [0, 2]], 'c': [[2, 2], [1, 0]]}


def ids_of(data, **options):
    with data.generate(1, shuffle=False, **options) as batches, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return [next(batches)[1][0].tolist() for _ in range(batches.num_batches)]


@pytest.mark.parametrize('is_given', [False, True])
def test_what_is_held_out_is_read_by_the_palettes_of_the_whole(of_optimised_files, is_given):
    classes = {'label_space': generic_label_space(3)} if is_given else {'num_classes': 3}
    whole = BatchGenerator([str(of_optimised_files / 'images')], None, [str(of_optimised_files / 'labels')], **classes)
    assert ids_of(whole) == list(TRUE_IDS.values())
    train, held = whole.hold_out('b', 'c')
    assert ids_of(train) == [TRUE_IDS['a']] and ids_of(held) == [TRUE_IDS['b'], TRUE_IDS['c']]


def test_another_folder_is_read_by_the_colours_of_the_classes_that_one_had(of_optimised_files):
    folder = of_optimised_files
    train = BatchGenerator([str(folder / 'images')], None, [str(folder / 'labels')], num_classes=4)
    assert train.label_space.colors[:3] == (RED, GREEN, BLUE) and len(set(train.label_space.colors)) == 4
    pairs = [pair for pair in train.pairs if 'c.png' in pair.image]
    assert ids_of(BatchGenerator(pairs=pairs, label_space=train.label_space)) == [TRUE_IDS['c']]


def test_the_cache_knows_which_colours_the_classes_had(of_optimised_files):
    folder = of_optimised_files
    cache = str(folder / 'cache')
    for colors in ((RED, GREEN, BLUE), (BLUE, RED, GREEN)):
        space = generic_label_space(3)._replace(colors=colors)
        data = BatchGenerator([str(folder / 'images')], None, [str(folder / 'labels')], label_space=space)
        assert ids_of(data, cache_dir=cache) == ids_of(data)
    assert ids_of(data)[0] == [[1, 1], [1, 2]]


def test_a_palette_is_found_behind_a_long_description(folder):
    """As editors write it; without the palette of the others, one file could not be read."""
    for name, ids, colors in (
        ('a', [[0, 1]], [RED, GREEN]),
        ('b', [[0, 1]], [GREEN, RED]),
        ('c', [[0, 1]], [RED, GREEN]),
    ):
        path = folder / 'labels' / (name + '.png')
        write_palette(path, ids, colors)
        data, text = path.read_bytes(), b'tEXtComment\0' + b'x' * 9000
        chunk = struct.pack('>I', len(text) - 4) + text + struct.pack('>I', zlib.crc32(text))
        path.write_bytes(data[:33] + chunk + data[33:])  # behind IHDR
    assert color_palette(str(folder / 'labels' / 'a.png'))[:2].tolist() == [[*RED], [*GREEN]]


@pytest.mark.parametrize('entries', [0, 256])
def test_large_maps_are_no_bombs(tmp_path, entries):
    """A TIFF of 25000 x 25000 pixels, of which only the tags are looked at."""
    photometric = 3 if entries else 1
    tags = [(256, 4, 1, 25000), (257, 4, 1, 25000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, photometric)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 25000), (279, 4, 1, 8)]
    tags += [(320, 3, 3 * entries, 200)] * bool(entries)
    head = b'II*\0' + struct.pack('<IQH', 16, 0, len(tags)) + b''.join(struct.pack('<HHII', *tag) for tag in tags)
    colors = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint16)
    (tmp_path / 'a.tif').write_bytes(head.ljust(200, b'\0') + (colors * 257).tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        palette = color_palette(str(tmp_path / 'a.tif'))
    assert palette is None if not entries else (palette == colors.T).all()


def in_colors(path, ids, kind):
    """The classes of `CRACKS` as a file that an optimiser may write."""
    colors = np.array(CRACKS.colors, np.uint8)[np.asarray(ids)]
    image = Image.fromarray(colors)
    if kind == 'palette':
        image = image.quantize(len(np.unique(ids)))
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    (image if kind in ('palette', 'RGB') else image.convert(kind)).save(str(path))


CRACKED = [[[0, 1], [2, 2]], [[0, 0], [1, 0]], [[1, 1], [1, 1]]]


@pytest.mark.parametrize('order', [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize('is_given', [False, True])
def test_greys_of_a_palette_are_colours_where_palettes_hold_colours(folder, order, is_given):
    """White is the background; two of three files have palettes of greys alone."""
    for name, number in zip('abc', order):
        in_colors(folder / 'labels' / (name + '.png'), CRACKED[number], 'palette')
    options = {'label_space': CRACKS, 'num_classes': None} if is_given else {}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        found = labels_of(folder, **options)
    pairs = zip(np.ravel([CRACKED[number] for number in order]).tolist(), np.ravel(found).tolist())
    ids = set(pairs)  # one class is one ID in all files
    assert len(ids) == len({new for _, new in ids}) == 3
    if is_given:
        assert ids == {(0, 0), (1, 1), (2, 2)}


@pytest.mark.parametrize(
    'kinds',
    [
        ('RGB', '1', 'L'),
        ('RGB', 'palette', '1'),
        ('palette', '1', 'L'),
        ('palette', 'RGB', 'palette'),
        ('RGB', 'palette', 'palette'),
    ],
)
def test_with_a_table_of_colours_every_kind_of_file_is_read_by_it(folder, kinds):
    for name, ids, kind in zip('abc', CRACKED, kinds):
        in_colors(folder / 'labels' / (name + '.png'), CRACKED[0] if kind == 'RGB' else ids, kind)
    expected = [CRACKED[0] if kind == 'RGB' else ids for ids, kind in zip(CRACKED, kinds)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert labels_of(folder, label_space=CRACKS, num_classes=None) == expected
    report = check_dataset([str(folder)], show_progress=False, legend=Legend(CRACKS.class_names, CRACKS.colors, ()))
    assert report.can_train and report.class_pixels.tolist() == [np.sum(np.equal(expected, i)) for i in range(3)]


@pytest.mark.parametrize('first', ['palette', 'RGB'])
def test_a_grey_file_that_is_not_in_the_table_of_colours_is_refused(folder, first):
    in_colors(folder / 'labels/a.png', CRACKED[0], first)
    in_colors(folder / 'labels/b.png', CRACKED[0], first)
    write_labels(str(folder / 'labels/c.png'), np.array([[0, 77], [0, 255]], np.uint8))
    with pytest.raises(DataError, match=r'c\.png is grey.*77'):
        labels_of(folder, label_space=CRACKS, num_classes=None)


def test_a_grey_file_beside_palettes_is_asked_about_where_it_can_be_read_in_two_ways(folder):
    for name in 'ab':
        in_colors(folder / 'labels' / (name + '.png'), CRACKED[0], 'palette')
    write_labels(str(folder / 'labels/c.png'), np.zeros((2, 2), np.uint8))  # class 0, or black?
    message = r'c\.png is grey, and other labels .* its values 0 may be class IDs, or colours.*--colors FILE.*--id-map'
    with pytest.raises(DataError, match=message):
        labels_of(folder)
    assert labels_of(folder, id_map={0: 0, 1: 1, 2: 2})[2] == [[0, 0], [0, 0]]
    reports = [
        check_dataset([str(folder)], show_progress=False, **said) for said in ({}, {'id_map': {0: 0, 1: 1, 2: 2}})
    ]
    assert [report.can_train for report in reports] == [False, True]


def test_grey_class_ids_beside_palettes_stay_what_they_are(folder):
    """As in PASCAL VOC with the labels of SBD."""
    write_palette(folder / 'labels/a.png', [[0, 1], [2, 2]], [BLACK, RED, GREEN])
    write_labels(str(folder / 'labels/b.png'), np.array([[0, 1], [2, 0]], np.uint8))
    write_palette(folder / 'labels/c.png', [[0, 1], [1, 0]], [BLACK, (2, 2, 2)])
    assert labels_of(folder) == [[[0, 1], [2, 2]], [[0, 1], [2, 0]], [[0, 2], [2, 0]]]


def test_voc_files_of_greys_alone_are_read_by_the_colours_of_voc(tmp_path):
    """Background and car are black and grey; 128 is no ID."""
    ids = np.where(IDS == 7, 7, 0)
    np.testing.assert_array_equal(voc(tmp_path, *recoloured(ids, dict(enumerate(VOC.colors)))), ids)


FILLED = [BLACK, RED, GREEN] + [BLACK] * 253


@pytest.mark.parametrize(
    'colors, ids',
    [
        ([BLACK, BLACK, RED], [[[0, 1], [2, 2]], [[1, 1], [1, 1]], [[2, 0], [0, 0]]]),
        (FILLED, [[[0, 1], [2, 2]], [[255, 255], [255, 255]], [[0, 255], [1, 1]]]),
    ],
)
def test_a_palette_that_gives_several_ids_a_colour_is_its_indices(folder, colors, ids):
    for name, label in zip('abc', ids):
        write_palette(folder / 'labels' / (name + '.png'), label, colors)
    assert labels_of(folder) == ids
    report = check_dataset([str(folder)], show_progress=False)
    assert report.can_train and report.class_pixels.sum() == np.sum(np.not_equal(ids, 255))


def test_a_colour_of_several_ids_does_not_tell_them_in_another_order(folder):
    for name in 'ab':
        write_palette(folder / 'labels' / (name + '.png'), [[0, 1], [2, 2]], [BLACK, BLACK, RED])
    write_palette(folder / 'labels/c.png', [[0, 1], [1, 1]], [RED, BLACK])
    message = r'c\.png: index 1 of its palette is the colour \(0, 0, 0\), .* that is the colour of the indices 0, 1\.'
    with pytest.raises(DataError, match=message):
        labels_of(folder)
    for name in 'ab':
        write_palette(folder / 'labels' / (name + '.png'), [[0, 1], [2, 2]], FILLED)
    with pytest.warns(UserWarning, match='read by colour'):
        assert labels_of(folder)[2] == [[1, 0], [0, 0]]  # what fills a palette up is no class


def test_a_label_space_whose_colours_do_not_tell_classes_reads_ids(folder):
    for name in 'abc':
        write_labels(str(folder / 'labels' / (name + '.png')), np.array([[0, 1], [2, 2]], np.uint8))
    space = CRACKS._replace(colors=(RED, RED, BLUE))
    assert labels_of(folder, label_space=space, num_classes=None) == [[[0, 1], [2, 2]]] * 3


@pytest.mark.parametrize('is_given', [False, True])
def test_classes_with_names_alone_get_the_colours_of_the_palettes(of_optimised_files, is_given):
    """By which a folder for validation is read, whose own palettes have another order."""
    folder = of_optimised_files
    (folder / 'classes.txt').write_text('ground\ncrop\nweed\n')
    options = {'label_space': generic_label_space(3, class_names=['ground', 'crop', 'weed'])} if is_given else {}
    train = BatchGenerator([str(folder / 'images')], None, [str(folder / 'labels')], **options)
    assert train.label_space.colors == (RED, GREEN, BLUE) and train.label_space.class_names[2] == 'weed'
    pairs = [pair for pair in train.pairs if 'c.png' in pair.image]
    assert ids_of(BatchGenerator(pairs=pairs, label_space=train.label_space)) == [TRUE_IDS['c']]
