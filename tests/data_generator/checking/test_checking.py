"""`check_dataset` finds every fault, counts right, and leaves sound datasets alone."""

import json
import os
import shlex
import tracemalloc

import cv2
import numpy as np
import pytest
from commands import run_command
from PIL import Image

from data_generator import BatchGenerator, DataError
from data_generator.checking.check import _swapped, check_dataset
from data_generator.checking.faults import FAULT_KINDS, Fault
from data_generator.checking.file_checks import ImageFacts, PairFacts, check_pair
from data_generator.checking.label_checks import LabelLook, count_values
from data_generator.checking.preview import (
    GAP,
    MAX_PANEL_HEIGHT,
    PANEL_WIDTH,
    _grid,
    preview_grid,
    typical_augmentation,
)
from data_generator.checking.split_files import _has_file_per_class
from data_generator.files.discovery import NameRule, Pair
from data_generator.files.layouts import LAYOUTS
from data_generator.files.legends import Legend
from data_generator.files.palettes import PaletteRule
from data_generator.street_scenes.dataset import write_dataset
from fcn8s.cli import build_parser, main
from fcn8s.cli import check as check_command
from fcn8s.cli.inputs.training import open_datasets
from fcn8s.cli.options.resolving import resolve
from helpers.class_weights import median_frequency_weights
from helpers.color_vision import with_palette
from helpers.images import write_labels
from helpers.label_spaces import CAMVID
from helpers.tables import columns_of

SIZE = (12, 16)


def write(path, array, *params):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array, *params)


def image_of(seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, size + (3,), dtype=np.uint8)


def label_of(seed, num_classes=11, size=SIZE):
    return np.random.default_rng(seed).integers(0, num_classes, size, dtype=np.uint8)


def add_pair(root, split, name, image=None, label=None):
    seed = sum(map(ord, split + name))
    write(root / split / (name + '.png'), image_of(seed) if image is None else image)
    write(root / (split + 'annot') / (name + '.png'), label_of(seed) if label is None else label)


@pytest.fixture
def camvid(tmp_path):
    """A sound dataset in the CamVid layout: 4 images in train and 2 in val."""
    for split, count in (('train', 4), ('val', 2)):
        for number in range(count):
            add_pair(tmp_path / 'camvid', split, 'good{}'.format(number))
    return tmp_path / 'camvid'


def check(*roots, **options):
    return check_dataset([str(root) for root in roots], show_progress=False, **options)


def faults_of(report, kind):
    return {os.path.basename(fault.path): fault.detail for fault in report.all_faults if fault.kind == kind}


def add_every_fault(root):
    """One of each fault that a dataset in the CamVid layout can have, in files named after them."""
    write(root / 'train/no_label.png', image_of(100))
    write(root / 'trainannot/orphan.png', label_of(100))
    for name in ('truncated', 'no_image', 'empty', 'label_truncated', 'label_color', 'ambiguous'):
        add_pair(root, 'train', name)
    for path in (root / 'train/truncated.png', root / 'trainannot/label_truncated.png'):
        path.write_bytes(path.read_bytes()[:-30])
    (root / 'train/no_image.png').write_text('no image')
    (root / 'train/empty.png').write_bytes(b'')
    write(root / 'trainannot/label_color.png', image_of(101))
    Image.fromarray(label_of(102)).save(str(root / 'trainannot/ambiguous.tif'))
    add_pair(root, 'train', 'grey', image=image_of(103)[..., 0])
    add_pair(root, 'train', 'deep', image=image_of(104).astype(np.uint16) * 257)
    add_pair(root, 'train', 'rgba')
    Image.fromarray(np.dstack([image_of(105), image_of(105)[..., :1]])).save(str(root / 'train/rgba.png'))
    add_pair(root, 'train', 'other_label_size', label=label_of(106, size=(10, 16)))
    add_pair(root, 'train', 'void', label=np.full(SIZE, 11, np.uint8))
    illegal = label_of(107)
    illegal[0, :3], illegal[1, 0] = 77, 12
    add_pair(root, 'train', 'illegal', label=illegal)
    add_pair(root, 'val', 'twin', image=image_of(sum(map(ord, 'traingood0'))))
    write(root / 'val/twin.png', image_of(sum(map(ord, 'traingood0'))), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def test_a_sound_dataset_is_recognised_and_can_be_trained_on(camvid):
    report = check(camvid)
    assert report.can_train and not report.all_faults
    assert report.layout == LAYOUTS['camvid'][0] and report.is_known_layout
    assert [(split.name, split.num_images, len(split.good_pairs)) for split in report.splits] == [
        ('train', 4, 4),
        ('val', 2, 2),
    ]
    assert report.suggested_id_map is None
    assert 'Recognised: camvid (11 classes, 11 is ignored' in report.to_text()


@pytest.mark.parametrize('channels', [(), (3,)])
def test_pixels_are_counted_in_parts(monkeypatch, channels):
    monkeypatch.setattr('data_generator.files.counting._PIXELS_AT_ONCE', 40)
    label = np.random.default_rng(0).integers(0, 3, (17, 13, *channels), dtype=np.uint8)
    pixels = [tuple(pixel) if channels else pixel for pixel in label.reshape(17 * 13, *channels).tolist()]
    assert count_values(label) == {value: pixels.count(value) for value in set(pixels)}


@pytest.mark.parametrize(
    'size, label_size, orientation, kind, detail',
    [
        ((12, 16), (16, 12), 6, None, ''),  # only upright
        ((12, 16), (12, 16), 6, 'size_mismatch', '12x16, its image 16x12 since its Exif orientation, 6, turns it'),
        ((12, 16), (12, 16), 3, 'turned_image', 'orientation 3'),
        ((16, 16), (16, 16), 6, 'turned_image', 'orientation 6'),
        ((16, 16), (16, 16), 1, None, ''),
    ],
)
def test_labels_beside_images_that_exif_turns(tmp_path, size, label_size, orientation, kind, detail):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.full((*size, 3), 90, np.uint8)).save(str(tmp_path / 'a.jpg'), exif=exif)
    write_labels(tmp_path / 'a.png', np.arange(np.prod(label_size)).reshape(label_size) % 2)
    found = check_pair(Pair(str(tmp_path / 'a.jpg'), str(tmp_path / 'a.png')), LabelLook(PaletteRule([]))).faults
    assert [(fault.kind, fault.detail) for fault in found] == ([] if kind is None else [(kind, detail)])


def test_of_colours_that_no_table_names_only_the_most_frequent_are_kept(tmp_path):
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)).save(str(tmp_path / 'b.jpg'))
    write(tmp_path / 'a.png', image_of(0, (64, 64)))
    pair = Pair(str(tmp_path / 'a.png'), str(tmp_path / 'b.jpg'))
    facts = check_pair(pair, LabelLook(PaletteRule([])))
    (fault,) = facts.faults
    assert fault.kind == 'lossy_label' and int(fault.detail.partition(' colours')[0]) > 3000
    assert facts.label is not None and len(facts.label.values) == 1000


def test_what_is_asked_of_all_images_takes_less_than_what_is_kept_of_them():
    thumbnails = np.random.RandomState(0).randint(0, 256, (300, 48, 96, 3)).astype(np.uint8)
    pairs = [
        PairFacts(Pair('{}.png'.format(number), None), ImageFacts((48, 96), None, None, b'', thumbnail), None, [])
        for number, thumbnail in enumerate(thumbnails)
    ]
    tracemalloc.start()
    try:
        assert _swapped(pairs) == []
        assert tracemalloc.get_traced_memory()[1] < thumbnails.nbytes / 4
    finally:
        tracemalloc.stop()


def test_every_fault_is_found_with_its_files(camvid):
    add_every_fault(camvid)
    report = check(camvid, workers=2)
    assert not report.can_train
    assert set(faults_of(report, 'image_without_label')) == {'no_label.png'}
    assert set(faults_of(report, 'label_without_image')) == {'orphan.png'}
    assert set(faults_of(report, 'ambiguous_label')) == {'ambiguous.png'}
    assert set(faults_of(report, 'unreadable_image')) == {'truncated.png', 'no_image.png', 'empty.png'}
    assert set(faults_of(report, 'grey_image')) == {'grey.png'}
    assert set(faults_of(report, 'alpha_image')) == {'rgba.png'}
    assert set(faults_of(report, '16_bit_image')) == {'deep.png'}
    assert set(faults_of(report, 'unreadable_label')) == {'label_truncated.png'}
    assert set(faults_of(report, 'color_label')) == {'label_color.png'}
    assert faults_of(report, 'size_mismatch') == {'other_label_size.png': '10x16, its image 12x16'}
    assert faults_of(report, 'illegal_label') == {'illegal.png': '12 (1 px), 77 (3 px)'}
    assert set(faults_of(report, 'only_void')) == {'void.png'}
    assert list(faults_of(report, 'in_train_and_val')) == ['twin.png']
    assert 'good0.png' in faults_of(report, 'in_train_and_val')['twin.png']
    assert {report.suggested_id_map[value] for value in (12, 77)} == {11}
    assert len(report.splits[0].good_pairs) == 8  # four sound ones, the one that is only void, and what is converted


def test_the_text_shows_kinds_files_and_remedies(camvid):
    add_every_fault(camvid)
    report = check(camvid)
    text = report.to_text()
    assert text.index('ERRORS') < text.index('Worth knowing') < text.index('Classes')
    for fault in report.all_faults:
        assert FAULT_KINDS[fault.kind].description[1:] in text and FAULT_KINDS[fault.kind].remedy in text
        assert fault.path in text
    assert 'Suggested ID map' in text and '77: 11' in text


def test_long_lists_are_cut_in_the_text_but_not_in_the_json(camvid):
    for number in range(9):
        write(camvid / 'train/bare{}.png'.format(number), image_of(number + 200))
    report = check(camvid)
    assert 'Images without a label: 9. Add' in report.to_text() and '... and 4 more' in report.to_text()
    assert len(report.to_dict()['faults']) == 9


def test_the_text_about_many_classes_stays_short_and_the_json_has_all(tmp_path):
    write(tmp_path / 'own' / 'images' / 'a.png', image_of(0, (20, 20)))
    write(tmp_path / 'own' / 'labels' / 'a.png', np.arange(400, dtype=np.uint16).reshape(20, 20))
    report = check(tmp_path / 'own', num_classes=390)
    text = report.to_text()
    assert len(text.splitlines()) < 240 and '... and 189 classes more, those without a pixel among them' in text
    assert 'An ID map is needed; it has 400 entries: --json has it.' in text
    assert len(report.to_dict()['suggested_id_map']) == 400
    text = check(tmp_path / 'own', num_classes=60000).to_text()
    assert '419 class 419 and 59580 more. They cannot be learnt' in text and len(text) < 20000


def test_names_of_classes_are_cut_where_a_line_ends_and_that_is_seen(tmp_path):
    write(tmp_path / 'own' / 'images' / 'a.png', image_of(0, (20, 20)))
    write(tmp_path / 'own' / 'labels' / 'a.png', np.arange(400, dtype=np.uint16).reshape(20, 20) % 3)
    names = ['traffic sign on the left', 'traffic sign on the right', '\u9053' * 40]
    text = check(tmp_path / 'own', legend=Legend(tuple(names), None, ())).to_text()
    table = text[text.index('Classes: share') :].splitlines()[2:5]
    assert names[0] in table[0] and names[1] in table[1] and '\u9053...' in table[2]
    assert len(set(map(columns_of, table))) == 1 and columns_of(table[0]) == 80


def test_classes_are_counted_and_weighted(tmp_path):
    labels = [np.repeat(np.array([row], np.uint8), 4, axis=0) for row in ([0, 0, 0, 1], [0, 2, 2, 11])]
    for number, label in enumerate(labels):
        add_pair(tmp_path, 'train', str(number), image=image_of(number, (4, 4)), label=label)
    report = check(tmp_path)
    (split,) = report.splits
    assert split.class_pixels[:, :3].tolist() == [[12, 4, 0], [4, 0, 8]] and split.void_pixels == 4
    described = report.to_dict()['splits'][0]
    assert described['class_pixels'][:3] == [16, 4, 8] and described['class_images'][:3] == [2, 1, 1]
    assert split.void_share == pytest.approx(4 / 32)
    assert report.classes_never_seen == list(range(3, 11))
    # Frequencies in the images that hold the class: 16/28, 4/16, 8/12; their median is 16/28.
    assert '  2.286\n' in report.to_text() and '  1.000\n' in report.to_text()  # decimal points below each other
    np.testing.assert_allclose(report.class_weights[:4], [1, (16 / 28) / (4 / 16), (16 / 28) / (8 / 12), 1])
    assert 'Classes that no training image holds: 3 road' in report.to_text()


def test_mean_color_and_deviation_are_over_all_pixels(camvid):
    split = check(camvid).splits[0]
    pixels = np.concatenate([cv2.imread(str(path))[..., ::-1].reshape(-1, 3) for path in (camvid / 'train').iterdir()])
    np.testing.assert_allclose(split.mean_color, pixels.mean(axis=0))
    np.testing.assert_allclose(split.deviation, pixels.std(axis=0))


def test_images_of_another_size_than_nearly_all_are_pointed_out(camvid):
    for number in range(10):
        add_pair(camvid, 'train', 'more{}'.format(number))
    add_pair(camvid, 'train', 'odd', image=image_of(1, (14, 20)), label=label_of(1, size=(14, 20)))
    report = check(camvid)
    assert report.can_train
    assert faults_of(report, 'unusual_size') == {'odd.png': '14x20, most are 12x16'}


def test_images_of_many_sizes_are_no_fault(camvid):
    for number in range(4):
        size = (14 + number, 20)
        add_pair(camvid, 'train', 'odd{}'.format(number), image=image_of(1, size), label=label_of(1, size=size))
    report = check(camvid)
    assert not report.all_faults and 'Images have different sizes: train with --crop or --size' in report.to_text()


def cityscapes(root, suffix, label):
    write(root / 'leftImg8bit/train/city/a_leftImg8bit.png', image_of(0))
    write(root / 'gtFine/train/city' / ('a_gtFine_' + suffix + '.png'), label)
    write(root / 'gtFine/train/city/a_gtFine_color.png', image_of(1))  # is no label without an image
    return root


def test_cityscapes_ids_are_mapped_and_checked(tmp_path):
    label = np.full(SIZE, 7, np.uint8)
    label[0, 0], label[1, 1] = 0, 99
    report = check(cityscapes(tmp_path, 'labelIds', label))
    assert report.layout.name == 'cityscapes' and faults_of(report, 'illegal_label') == {
        'a_gtFine_labelIds.png': '99 (1 px)'
    }
    assert [fault.kind for fault in report.all_faults] == ['illegal_label', 'single_class']
    assert report.splits[0].class_pixels[0, 0] == label.size - 2 and report.splits[0].void_pixels == 1


def test_cityscapes_train_ids_are_told_apart(tmp_path):
    report = check(cityscapes(tmp_path, 'labelTrainIds', np.full(SIZE, 18, np.uint8)))
    assert report.can_train and report.layout.id_map is None and report.class_pixels[18] == SIZE[0] * SIZE[1]


def test_a_named_layout_can_be_demanded(tmp_path):
    root = cityscapes(tmp_path, 'labelIds', np.full(SIZE, 7, np.uint8))
    report = check(root, layout='cityscapes20')
    assert report.layout.name == 'cityscapes20' and report.class_pixels[1] == SIZE[0] * SIZE[1]
    with pytest.raises(DataError, match=r'No images of the layout camvid in .*expected .*train'):
        check(root, layout='camvid')
    with pytest.raises(ValueError, match="show_progress is 'no'; it has to be True or False"):
        check_dataset('', show_progress='no')
    with pytest.raises(ValueError, match='workers is 100000; it has to be a whole number from 0 to 1024'):
        check_dataset('', workers=100000)
    with pytest.raises(ValueError, match="layout is 'citscapes'"):
        check(root, layout='citscapes')


def test_unmapped_colors_are_named(tmp_path):
    colors = np.full(SIZE + (3,), (128, 64, 128), np.uint8)  # road
    colors[0, 0] = (1, 2, 3)
    write(tmp_path / 'train/a.png', image_of(0))
    write(tmp_path / 'train_labels/a_L.png', colors)
    report = check(tmp_path)
    assert report.layout.name == 'camvid32'
    assert faults_of(report, 'illegal_label') == {'a_L.png': '(1, 2, 3) (1 px)'}
    assert report.suggested_id_map is None


def own_dataset(root, values, images='images/train', labels='masks/train'):
    write(root / images / 'a.png', image_of(0))
    label = np.full(SIZE, values[0], np.uint8)
    label[0, : len(values)] = values
    write(root / labels / 'a.png', label)
    return root


def test_nothing_is_counted_where_no_label_is_sound(tmp_path):
    write(tmp_path / 'images/train/a.png', image_of(0))
    write(tmp_path / 'masks/train/a.png', image_of(1) // 128 * 255)
    text = check(tmp_path).to_text()
    assert 'in directories of their own\n' in text and '0 of them with a sound label' in text
    assert 'void:' not in text and '    mean RGB (' in text


@pytest.mark.parametrize(
    'images, labels, split',
    [('images/train', 'masks/train', 'train'), ('images', 'labels', 'all'), ('train/rgb', 'train/gt', 'train')],
)
def test_own_datasets_are_recognised_by_usual_names(tmp_path, images, labels, split):
    report = check(own_dataset(tmp_path, [0, 1, 2, 255], images, labels))
    assert report.can_train and not report.is_known_layout and report.classes_are_guessed
    assert [s.name for s in report.splits] == [split] and report.label_space.num_classes == 3
    assert report.suggested_id_map is None and report.splits[0].void_pixels == 1


def test_gaps_in_the_ids_of_an_own_dataset_get_a_map(tmp_path):
    report = check(own_dataset(tmp_path, [3, 10, 40]))
    assert report.suggested_id_map == {3: 0, 10: 1, 40: 2, 255: 255}


def test_an_id_map_may_be_an_array(tmp_path):
    """It ended in an error of NumPy about the truth of an array."""
    report = check(own_dataset(tmp_path, [0, 1, 2]), id_map=np.array([0, 1, 1]))
    assert report.can_train and report.layout.id_map == {0: 0, 1: 1, 2: 1} and report.label_space.num_classes == 2
    json.dumps(report.to_dict())
    with pytest.raises(ValueError, match=r'id_map is .*; it has to be a dict from ID to ID, or a one-dimensional'):
        check(tmp_path, id_map=np.array([0.5]))


def test_a_file_per_class_is_told_by_the_beginnings_of_names():
    pairs = [Pair('images/{}.png'.format(number), None) for number in range(300)]
    without = [Fault('image_without_label', pair.image) for pair in pairs]
    for labels, is_fitting in (('{}', False), ('{}_a {}-b', True), ('{}_a {}b', False)):
        names = [name.format(number) for number in range(300) for name in labels.split()]
        faults = without + [Fault('label_without_image', 'labels/{}.png'.format(name)) for name in names]
        assert _has_file_per_class(pairs, faults) == is_fitting


def test_given_classes_are_checked(tmp_path):
    report = check(own_dataset(tmp_path, [0, 1, 9]), num_classes=3)
    assert faults_of(report, 'illegal_label') == {'a.png': '9 (1 px)'}
    assert report.suggested_id_map == {0: 0, 1: 1, 2: 2, 9: 255, 255: 255}
    assert check(own_dataset(tmp_path, [0, 1, 9]), num_classes=3, ignore_id=9).can_train
    with pytest.raises(ValueError, match='num_classes is 3, and names came for 2 classes. Leave num_classes out'):
        check(tmp_path, num_classes=3, legend=Legend(('a', 'b'), None, ()))


def test_a_map_to_what_is_no_class_is_refused(tmp_path):
    own_dataset(tmp_path, [0, 1, 9])
    with pytest.raises(ValueError, match=r'id_map\[9\] is 7; with 3 classes it has to be from 0 to 2, or 255'):
        check(tmp_path, id_map={0: 0, 1: 1, 9: 7})
    assert check(tmp_path, id_map={0: 0, 1: 1, 9: 255}).can_train


def test_classes_of_a_named_layout_are_not_the_callers(camvid):
    with pytest.raises(ValueError, match='num_classes is 12; the layout camvid has 11 classes.*Leave it out'):
        check(camvid, num_classes=12)


def test_a_list_that_names_missing_images_is_a_fault(tmp_path):
    write(tmp_path / 'JPEGImages/a.png', image_of(0))
    write(tmp_path / 'SegmentationClass/a.png', label_of(0))
    (tmp_path / 'ImageSets/Segmentation').mkdir(parents=True)
    (tmp_path / 'ImageSets/Segmentation/train.txt').write_text('a\nb\n')
    report = check(tmp_path)
    assert report.layout.name == 'voc' and list(faults_of(report, 'listed_but_missing')) == ['b']


def test_images_alone_are_no_training_data(tmp_path):
    write(tmp_path / 'a.png', image_of(0))
    report = check(tmp_path)
    assert not report.can_train and [fault.kind for fault in report.all_faults] == ['no_labels']


def test_images_that_may_hold_their_labels_beside_them_are_pointed_out(tmp_path):
    for width, is_said in ((24, True), (25, False)):
        for number in range(2):
            write(tmp_path / str(width) / 'train' / '{}.jpg'.format(number), image_of(number, (12, width)))
        report = check(tmp_path / str(width))
        assert not report.can_train and ('picture and its label side by side' in report.to_text()) == is_said


def test_a_dataset_with_val_alone_cannot_be_trained_on(tmp_path):
    add_pair(tmp_path, 'val', 'a')
    assert [fault.kind for fault in check(tmp_path).all_faults] == ['no_train_split']


def test_several_directories_are_checked_as_one(camvid, tmp_path):
    add_pair(tmp_path / 'more', 'train', 'x', image=image_of(sum(map(ord, 'valgood0'))))
    report = check(camvid, tmp_path / 'more')
    assert [split.name for split in report.splits] == ['train', 'val', 'train']
    assert list(faults_of(report, 'in_train_and_val')) == ['good0.png']


def test_the_command_trains_on_several_directories_of_cityscapes(tmp_path, capsys):
    roots = [str(tmp_path / name) for name in 'ab']
    for seed, root in enumerate(roots):
        write_dataset(root, 1, 1, 0, (32, 64), seed=seed)
    assert main(['check', *roots, '--workers', '1']) == 0
    printed = capsys.readouterr().out
    assert 'alone' not in printed
    (line,) = [line for line in printed.splitlines() if ' train --images' in line]
    args = build_parser().parse_args(['train', *shlex.split(line.partition(' train ')[2]), '--run', 'none'])
    typed = {name: value for name, value in vars(args).items() if name not in ('run', 'defaults', 'command')}
    train, val = open_datasets(resolve(typed, args.defaults))
    expected = [BatchGenerator.from_layout('cityscapes', root, 'train') for root in roots]
    assert [pair.image for pair in train.pairs] == [data.pairs[0].image for data in expected] and len(val.pairs) == 2
    assert train.label_space._replace(ignore_colors=()) == expected[0].label_space
    for labels, data in zip(next(train.generate(2, shuffle=False))[1], expected):
        np.testing.assert_array_equal(labels, next(data.generate(1, shuffle=False))[1][0])


def test_the_command_says_which_of_several_directories_its_line_trains_on(camvid, tmp_path, capsys):
    add_pair(tmp_path / 'more', 'train', 'x')
    run(camvid, tmp_path / 'more')
    assert (
        'That command trains on {} alone, because fcn8s train takes one directory of a named layout'.format(camvid)
        in capsys.readouterr().out
    )
    run(camvid)
    assert 'alone' not in capsys.readouterr().out


def test_a_palette_without_a_picture_is_refused(camvid):
    with pytest.raises(ValueError, match='--palette is about the preview, and there is none'):
        run(camvid, '--palette', 'color-blind')


def test_directories_of_different_layouts_are_refused(camvid, tmp_path):
    root = cityscapes(tmp_path / 'c', 'labelIds', np.full(SIZE, 7, np.uint8))
    with pytest.raises(ValueError, match='is camvid and .* is cityscapes: their label IDs mean different things'):
        check(camvid, root)


def test_each_directory_is_checked_by_its_own_ids(tmp_path):
    label = np.full(SIZE, 7, np.uint8)  # road
    label[0] = 26  # car
    first = cityscapes(tmp_path / 'a', 'labelIds', label)
    second = cityscapes(tmp_path / 'b', 'labelTrainIds', np.where(label == 7, 0, 13).astype(np.uint8))
    report = check(first, second)
    assert not faults_of(report, 'illegal_label')
    assert report.class_pixels[[0, 13]].tolist() == [2 * (SIZE[0] - 1) * SIZE[1], 2 * SIZE[1]]


def test_the_weights_are_those_that_training_takes_where_void_is_a_class(tmp_path):
    label = np.full(SIZE, 7, np.uint8)
    label[:5], label[5] = 0, 26
    root = cityscapes(tmp_path, 'labelIds', label)
    report = check(root, layout='cityscapes20')
    data = BatchGenerator.from_layout('cityscapes20', str(root))
    np.testing.assert_allclose(report.class_weights, median_frequency_weights(data.count_class_pixels()))
    assert report.splits[0].scored_pixels[0, 0] == 0 and report.splits[0].void_pixels == 5 * SIZE[1]


def test_nothing_to_check_is_an_error(tmp_path):
    (tmp_path / 'data.zip').write_bytes(b'PK')
    with pytest.raises(DataError, match='data.zip is a file. Unpack an archive, and give the root directory'):
        check_dataset([str(tmp_path / 'data.zip')])
    with pytest.raises(FileNotFoundError, match='No such directory: .*nowhere'):
        check(tmp_path / 'nowhere')
    with pytest.raises(DataError, match='No images below'):
        check(tmp_path)


# ---- The command ----


def run(*words):
    return run_command(check_command, *words)


def test_the_command_says_how_to_train(camvid, capsys):
    assert run(camvid) == 0
    output = capsys.readouterr().out
    assert 'Training can start' in output
    assert 'fcn8s train --data {} --layout camvid --encoder ENCODER'.format(camvid) in output


def test_the_command_fails_where_training_would(camvid, capsys):
    add_every_fault(camvid)
    assert run(camvid) == 1
    assert 'Training cannot start' in capsys.readouterr().out


def test_json_is_for_scripts(camvid, capsys):
    add_every_fault(camvid)
    assert run(camvid, '--json') == 1
    found = json.loads(capsys.readouterr().out)
    assert found['can_train'] is False and found['layout'] == 'camvid'
    assert {fault['kind'] for fault in found['faults'] if fault['is_error']} >= {'unreadable_image', 'illegal_label'}
    assert len(found['class_weights']) == 11 and found['train_command'].startswith('fcn8s train --data')


def test_own_datasets_get_a_line_of_their_own(tmp_path, capsys):
    own_dataset(tmp_path, [0, 1, 2])
    write(tmp_path / 'images/val/v.png', image_of(5, (9, 30)))
    write(tmp_path / 'masks/val/v.png', label_of(5, 3, (9, 30)))
    assert run(tmp_path) == 0
    assert (
        'fcn8s train --images {0}/images/train --labels {0}/masks/train --val-images {0}/images/val --val-labels '
        '{0}/masks/val --classes 3 --ignore-id 255 --crop 9 16'.format(tmp_path)
    ) in capsys.readouterr().out


def test_a_preview_is_written(camvid, tmp_path, capsys):
    add_every_fault(camvid)
    assert run(camvid, '--preview', tmp_path / 'preview.png') == 1
    picture = cv2.imread(str(tmp_path / 'preview.png'))
    assert picture.shape[1] > 4 * PANEL_WIDTH and picture.shape[0] > 5 * PANEL_WIDTH * 12 // 16
    assert run(camvid, '--preview', tmp_path / 'other.png', '--palette', 'color-blind') == 1
    legend = cv2.imread(str(tmp_path / 'other.png'))[-120:, :, ::-1].reshape(-1, 3)
    for color in with_palette(CAMVID, 'color-blind').colors[:3]:
        assert (legend == color).all(axis=1).any()
        assert not (picture[-120:, :, ::-1].reshape(-1, 3) == color).all(axis=1).any()


def test_a_preview_that_cannot_be_written_is_refused_before_reading(camvid, tmp_path, monkeypatch):
    monkeypatch.setattr(check_command, 'image_rules', None)  # what comes first of the reading
    with pytest.raises(ValueError, match='camvid.png is a directory; give it the name of a file'):
        (tmp_path / 'camvid.png').mkdir()
        run(camvid, '--preview', tmp_path / 'camvid.png')


def test_a_preview_without_a_good_pair_is_not_written(tmp_path, capsys):
    write(tmp_path / 'a.png', image_of(0))
    assert run(tmp_path, '--preview', tmp_path / 'preview.png') == 1
    assert 'no preview' in capsys.readouterr().err and not (tmp_path / 'preview.png').exists()


@pytest.mark.parametrize(
    'words, message',
    [
        (('--preview', 'a.txt'), 'a.txt; it has to be the name of a .png'),
        (('--workers', 0), '--threads is 0; it has to be from 1'),
        (('--ignore-id', 256), '--ignore-id is 256; labels are uint8, so it has to be an integer from 0 to 255. If'),
    ],
)
def test_wrong_arguments_are_refused_before_reading(camvid, words, message):
    with pytest.raises(ValueError, match=message):
        run(camvid, *words)


@pytest.mark.parametrize('image_dir', ['images/10k/{}', 'im{{ages/{}/a', '{}'])
def test_folders_can_be_named_one_by_one(tmp_path, capsys, monkeypatch, image_dir):
    """Wherever they lie: as in BDD100K, with labels of another kind beside these."""
    monkeypatch.chdir(tmp_path)
    for number, part in enumerate(('train', 'val')):
        for name in 'abc':
            write(tmp_path / image_dir.format(part) / (name + '.jpg'), image_of(number + ord(name)))
            write(tmp_path / 'labels/masks' / part / (name + '.png'), label_of(number, 3))
            write(tmp_path / 'labels/colormaps' / part / (name + '.png'), image_of(number))
    words = ['--images', image_dir.format('train'), '--labels', 'labels/masks/train']
    assert check_command_of(*words) == 0
    printed = capsys.readouterr().out
    assert 'train: 3 images in {}, 3 of them'.format(image_dir.format('train')) in printed and 'val: ' not in printed
    words += ['--val-images', image_dir.format('val'), '--val-labels', 'labels/masks/val']
    assert check_command_of(*words) == 0
    printed = capsys.readouterr().out
    command = 'train {} --classes 3 --ignore-id 255'.format(' '.join(shlex.quote(word) for word in words))
    assert command in printed and 'val: 3 images' in printed


def check_command_of(*words):
    return main(['check', *words])


@pytest.mark.parametrize(
    'words, message',
    [
        ([], 'Name a dataset in one of two ways: DIR, or --images DIR and --labels DIR'),
        (['d', '--images', 'i', '--labels', 'l'], 'Name a dataset in one of two ways'),
        (['--images', 'i'], '--images came without --labels, to which it belongs'),
        (['--labels', 'i'], '--labels came without --images'),
        (['--val-images', 'i', '--val-labels', 'l'], '--val-images came without --images'),
        (['--images', 'i', '--labels', 'l', '--val-labels', 'v'], '--val-labels came without --val-images'),
        (['--images', 'i', '--labels', 'l', '--layout', 'voc'], '--layout says where the images are'),
        (['--images', 'i', '--labels', 'l'], 'No such directory: i. Give that of images or labels'),
        (['--images', 'here', '--labels', 'here'], "No images in 'here'"),
    ],
)
def test_folders_that_are_refused(tmp_path, capsys, monkeypatch, words, message):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('COLUMNS', raising=False)
    assert check_command_of(*words) == 2
    assert message in capsys.readouterr().err


def test_folders_and_roots_are_two_ways(camvid):
    with pytest.raises(ValueError, match='folders are given, and roots or a layout beside them'):
        check(camvid, folders={'train': ('a', 'b')})


@pytest.mark.parametrize('nothing', [None, []])
def test_a_check_of_nothing_is_refused(nothing):
    with pytest.raises(ValueError, match='and no folders are given. Give the root of a dataset, or folders'):
        check_dataset(nothing)


def test_a_rule_without_folders_is_refused(camvid):
    with pytest.raises(ValueError, match=r"rule is \('_a', '_b'\); it says how labels in folders are called, and"):
        check_dataset(str(camvid), rule=NameRule('_a', '_b'))


# ---- The preview ----


def test_panels_of_the_preview_lie_beside_each_other():
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    one, two, three = (np.full((10, 20, 3), color, np.uint8) for color in colors)
    picture = _grid([[one, two], [three]], [['', ''], ['']])
    height, width = PANEL_WIDTH // 2, PANEL_WIDTH
    assert picture.shape == (GAP + 2 * (height + GAP), GAP + 2 * (width + GAP), 3)
    for color, top, left in zip(colors, (0, 0, height + GAP), (0, width + GAP, 0)):
        rows, columns = np.nonzero((picture == color).all(axis=-1))
        assert (rows.min(), rows.max() + 1) == (GAP + top, GAP + top + height)
        assert (columns.min(), columns.max() + 1) == (GAP + left, GAP + left + width)
        assert len(rows) == height * width


def test_tall_images_of_the_preview_are_no_higher_than_a_screen():
    color = (200, 0, 0)
    picture = _grid([[np.full((1500, 20, 3), color, np.uint8)]], [['']])
    assert picture.shape == (MAX_PANEL_HEIGHT + 2 * GAP, PANEL_WIDTH + 2 * GAP, 3)
    rows, columns = np.nonzero((picture == color).all(axis=-1))
    assert (rows.min(), rows.max() + 1) == (GAP, GAP + MAX_PANEL_HEIGHT)
    assert columns.max() + 1 - columns.min() == MAX_PANEL_HEIGHT * 20 // 1500


def test_the_preview_shows_images_labels_and_augmented_pairs(camvid):
    generator = BatchGenerator.from_layout('camvid', str(camvid))
    picture = preview_grid(generator, typical_augmentation(SIZE), num_pairs=3, num_augmented=1)
    assert picture.dtype == np.uint8 and picture.shape[1] == 3 * (PANEL_WIDTH + 6) + 6
    np.testing.assert_array_equal(picture, preview_grid(generator, typical_augmentation(SIZE), 3, 1))


def test_the_mean_of_all_images_has_the_proportions_of_the_images(camvid):
    generator = BatchGenerator.from_layout('camvid', str(camvid))
    shapes = [preview_grid(generator, {}, 1, 0, mean).shape for mean in (None, np.zeros((48, 96, 3), np.uint8))]
    assert shapes[1][0] - shapes[0][0] == PANEL_WIDTH * SIZE[0] // SIZE[1] + 6


def test_a_preview_needs_labels(camvid):
    generator = BatchGenerator([str(camvid / 'train')], num_classes=11)
    with pytest.raises(ValueError, match='A preview shows labels'):
        preview_grid(generator, {})
