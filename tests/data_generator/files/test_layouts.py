import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from data_generator import BatchGenerator, DataError
from data_generator.checking.survey import survey
from data_generator.files.layouts import LAYOUTS, Layout, find_layout, variants_of
from helpers.images import write_image, write_labels
from helpers.label_spaces import LABEL_SPACES, generic_label_space

SIZE = (2, 3)


def write_jpeg_or_png(path):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    write_image(str(path), np.full(SIZE + (3,), 99, np.uint8))


def write_ids(path, *values):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    write_labels(str(path), np.resize(np.array(values, np.uint8), SIZE))


def write_palette(path, *values):
    image = Image.fromarray(np.resize(np.array(values, np.uint8), SIZE), 'P')
    colors = dict(enumerate(LABEL_SPACES['voc'].colors))
    colors[255] = (224, 224, 192)
    image.putpalette([channel for index in range(256) for channel in colors.get(index, (0, 0, 0))])
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    image.save(str(path))


def write_colors(path, *values):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    write_image(str(path), np.resize(np.array(values, np.uint8), SIZE + (3,)))


def labels_of(layout, root, split='train'):
    dataset = BatchGenerator.from_layout(layout, str(root), split)
    assert dataset.label_space == LABEL_SPACES[layout]
    _, labels = next(dataset.generate(1, shuffle=False))
    assert labels.dtype == np.uint8
    return labels[0].ravel().tolist()


def test_every_layout_is_named_after_its_label_space():
    named = {name: variants[0].label_space.name for name, variants in LAYOUTS.items()}
    assert named == {**{name: name for name in LABEL_SPACES}, 'voc_aug': 'voc', 'foggy_cityscapes': 'cityscapes'}


@pytest.mark.parametrize(
    'layout, expected', [('cityscapes', [0, 255, 13, 0, 255, 13]), ('cityscapes20', [1, 0, 14, 1, 0, 14])]
)
@pytest.mark.parametrize('suffix, file_ids', [('labelIds', (7, 0, 26)), ('labelTrainIds', (0, 255, 13))])
def test_cityscapes_in_both_id_spaces_from_both_kinds_of_files(tmp_path, layout, expected, suffix, file_ids):
    write_jpeg_or_png(tmp_path / 'leftImg8bit/train/ulm/ulm_0_leftImg8bit.png')
    write_ids(tmp_path / 'gtFine/train/ulm/ulm_0_gtFine_{}.png'.format(suffix), *file_ids)
    write_colors(tmp_path / 'gtFine/train/ulm/ulm_0_gtFine_color.png', 1)
    assert labels_of(layout, tmp_path) == expected


def test_train_ids_in_files_called_label_ids_are_noticed(tmp_path):
    write_jpeg_or_png(tmp_path / 'leftImg8bit/val/a_leftImg8bit.png')
    write_ids(tmp_path / 'gtFine/val/a_gtFine_labelIds.png', 0, 255)
    with pytest.raises(DataError, match=r'a_gtFine_labelIds\.png: label IDs 255 \(3 pixels\) are not in the ID map'):
        labels_of('cityscapes', tmp_path, 'val')


def test_camvid(tmp_path):
    write_jpeg_or_png(tmp_path / 'val/1.png')
    write_ids(tmp_path / 'valannot/1.png', 0, 10, 11)
    assert labels_of('camvid', tmp_path, 'val') == [0, 10, 11] * 2
    assert BatchGenerator.from_layout('camvid', str(tmp_path), 'val').ignore_id == 11


def test_camvid32_in_splits(tmp_path):
    write_jpeg_or_png(tmp_path / 'train/1.png')
    write_colors(tmp_path / 'train_labels/1_L.png', [[64, 128, 64], [192, 0, 128], [0, 128, 192]])
    assert labels_of('camvid32', tmp_path) == [0, 1, 2] * 2


def test_camvid32_as_published_holds_one_drive_out(tmp_path):
    for name in ('0001TP_1', 'Seq05VD_1'):
        write_jpeg_or_png(tmp_path / '701_StillsRaw_full/{}.png'.format(name))
        write_colors(tmp_path / 'LabeledApproved_full/{}_L.png'.format(name), [0, 128, 192])
    assert labels_of('camvid32', tmp_path) == [2] * 6
    files = {
        split: [os.path.basename(pair.image) for pair in find_layout('camvid32', str(tmp_path), split)[1]]
        for split in ('train', 'val', 'all')
    }
    assert files == {'train': ['0001TP_1.png'], 'val': ['Seq05VD_1.png'], 'all': ['0001TP_1.png', 'Seq05VD_1.png']}


def test_kitti_road(tmp_path):
    for number in range(6):
        write_jpeg_or_png(tmp_path / 'training/image_2/um_00000{}.png'.format(number))
        write_colors(
            tmp_path / 'training/gt_image_2/um_road_00000{}.png'.format(number), [[255, 0, 0], [255, 0, 255], [0, 0, 0]]
        )
        write_colors(tmp_path / 'training/gt_image_2/um_lane_00000{}.png'.format(number), [1, 2, 3])
    assert labels_of('kitti_road', tmp_path, 'val') == [0, 1, 255] * 2
    assert [len(find_layout('kitti_road', str(tmp_path), split)[1]) for split in ('train', 'val')] == [5, 1]


def test_images_without_labels_of_a_split_by_pattern_are_refused_like_others(tmp_path):
    for number in range(6):
        write_jpeg_or_png(tmp_path / 'training/image_2/um_00000{}.png'.format(number))
        if number != 1:
            write_colors(tmp_path / 'training/gt_image_2/um_road_00000{}.png'.format(number), [255, 0, 0])
    with pytest.raises(DataError, match=r'1 of 5 images .*um_000001\.png: expected um_road_000001\.png'):
        find_layout('kitti_road', str(tmp_path), 'train')
    assert len(find_layout('kitti_road', str(tmp_path), 'train', check_existence=False)[1]) == 4
    assert len(find_layout('kitti_road', str(tmp_path), 'val')[1]) == 1


@pytest.mark.parametrize(
    'line', ['{}', '{}.jpg', '/JPEGImages/{}.jpg /SegmentationClassAug/{}.png', 'JPEGImages\\{}.JPG']
)
def test_lists_of_voc_name_images_or_files(tmp_path, line):
    for name in ('2007_000032', '2007_000033.v2'):
        write_jpeg_or_png(tmp_path / 'JPEGImages' / (name + '.jpg'))
        write_ids(tmp_path / 'SegmentationClassAug' / (name + '.png'), 0, 20, 255)
    lists = tmp_path / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train_aug.txt').write_text(
        '\n'.join(line.format(name, name) for name in ('2007_000033.v2', '2007_000032'))
    )
    pairs = find_layout('voc_aug', str(tmp_path), 'train')[1]
    assert [os.path.basename(pair.label) for pair in pairs] == ['2007_000033.v2.png', '2007_000032.png']


@pytest.fixture
def listed_sequences(tmp_path):
    """A function from the lines of a list to the images that they name: four in nested folders, two of one name."""
    for name in ('seq1/1', 'seq2/1', '2', 'seq1/2', '3'):
        write_jpeg_or_png(tmp_path / 'img' / (name + '.png'))
        write_ids(tmp_path / 'mask' / (name + '.png'), 0, 1)
    layout = Layout('own', generic_label_space(2), 'img', 'mask', list_file='{split}.txt')

    def images_of(*lines):
        (tmp_path / 'train.txt').write_text('\n'.join(lines))
        pairs = find_layout(layout, str(tmp_path), 'train')[1]
        return [os.path.relpath(pair.image, str(tmp_path / 'img')) for pair in pairs]

    return images_of


@pytest.mark.parametrize('start', ['', './', '/img/', '/another/machine/img/'])
@pytest.mark.parametrize('end', ['', '.png'])
def test_lists_tell_images_of_one_name_apart_by_their_folders(listed_sequences, start, end):
    names = ['seq1/1', 'seq2/1', '2', 'seq1/2', '3']
    assert listed_sequences(*(start + name + end for name in names)) == [name + '.png' for name in names]


@pytest.mark.parametrize('on_disk, in_list', [('NFD', 'NFC'), ('NFC', 'NFD')])
def test_lists_name_images_in_either_form_of_accents(tmp_path, on_disk, in_list):
    name = unicodedata.normalize(on_disk, 'straße_ü')
    write_jpeg_or_png(tmp_path / 'img' / 'süd' / (name + '.png'))
    write_ids(tmp_path / 'mask' / 'süd' / (name + '.png'), 0, 1)
    layout = Layout('own', generic_label_space(2), 'img', 'mask', list_file='{split}.txt')
    for line in ('straße_ü', 'img/süd/straße_ü.png'):
        (tmp_path / 'train.txt').write_text(unicodedata.normalize(in_list, line), encoding='utf-8')
        assert len(find_layout(layout, str(tmp_path), 'train')[1]) == 1


@pytest.mark.parametrize('line', ['1', 'seq3/1', 'seq3/2.png'])
def test_a_line_that_may_mean_two_images_is_refused(listed_sequences, line):
    with pytest.raises(
        DataError, match=r'train\.txt names {}, which may be .*png or .*png. Write the path'.format(line)
    ):
        listed_sequences('3', line)


def test_voc_reads_listed_palette_images_as_indices(tmp_path):
    for name in ('2007_1', '2007_2', 'unlabelled'):
        write_jpeg_or_png(tmp_path / 'JPEGImages/{}.jpg'.format(name))
    write_palette(tmp_path / 'SegmentationClass/2007_1.png', 0, 20, 255)
    write_palette(tmp_path / 'SegmentationClass/2007_2.png', 1)
    os.makedirs(str(tmp_path / 'ImageSets/Segmentation'))
    (tmp_path / 'ImageSets/Segmentation/train.txt').write_text('2007_1\n')
    assert labels_of('voc', tmp_path) == [0, 20, 255] * 2
    assert len(find_layout('voc', str(tmp_path), 'train')[1]) == 1
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('2007_2\nunlabelled\n')
    with pytest.raises(DataError, match='names 1 image not there or without a label.*unlabelled'):
        find_layout('voc', str(tmp_path), 'val')
    assert len(find_layout('voc', str(tmp_path), 'val', check_existence=False)[1]) == 1
    with pytest.raises(FileNotFoundError, match='No such list of images: .*test.txt'):
        find_layout('voc', str(tmp_path), 'test')


def test_ade20k_and_its_names_of_splits(tmp_path):
    write_jpeg_or_png(tmp_path / 'images/training/ADE_train_1.jpg')
    write_ids(tmp_path / 'annotations/training/ADE_train_1.png', 0, 1, 150)
    assert labels_of('ade20k', tmp_path, 'train') == [255, 0, 149] * 2
    assert labels_of('ade20k', tmp_path, 'training') == [255, 0, 149] * 2


def test_a_layout_of_ones_own_is_read(tmp_path):
    write_jpeg_or_png(tmp_path / 'train/rgb/1.jpg')
    write_ids(tmp_path / 'train/mask/1.png', 10, 20)
    layout = Layout('farm', generic_label_space(2), images='{split}/rgb', labels='{split}/mask', id_map={10: 0, 20: 1})
    dataset = BatchGenerator.from_layout(layout, str(tmp_path))
    assert next(dataset.generate(1))[1].ravel().tolist() == [0, 1] * 3


def test_a_layout_is_read_without_its_labels(tmp_path):
    write_jpeg_or_png(tmp_path / 'leftImg8bit/test/a_leftImg8bit.png')
    dataset = BatchGenerator.from_layout('cityscapes', str(tmp_path), 'test', with_labels=False)
    assert next(dataset.generate(1)).shape == (1,) + SIZE + (3,)


def test_directories_with_a_layout(tmp_path):
    write_jpeg_or_png(tmp_path / 'i/a_leftImg8bit.png')
    write_ids(tmp_path / 'g/a_gtFine_labelTrainIds.png', 3)
    dataset = BatchGenerator(str(tmp_path / 'i'), ground_truth_dirs=str(tmp_path / 'g'), layout='cityscapes20')
    assert next(dataset.generate(1))[1].tolist() == [[[4] * 3] * 2]


def test_faults_are_named(tmp_path):
    with pytest.raises(ValueError, match="layout is 'citiscapes'; it has to be one of 'cityscapes',"):
        variants_of('citiscapes')
    both = LAYOUTS['voc'][0]._replace(val_pattern='^2007')
    with pytest.raises(ValueError, match="voc has list_file='.*' and val_pattern='.2007', and both say which images"):
        BatchGenerator.from_layout(both, str(tmp_path))
    with pytest.raises(FileNotFoundError, match='No such directory of images: .*leftImg8bit'):
        find_layout('cityscapes', str(tmp_path), 'train')
    write_jpeg_or_png(tmp_path / 'leftImg8bit/train/a_leftImg8bit.png')
    os.makedirs(str(tmp_path / 'gtFine/train'))
    with pytest.raises(DataError, match=r'1 of 1 images .*expected a_gtFine_labelIds\.png'):
        find_layout('cityscapes', str(tmp_path), 'train')
    write_jpeg_or_png(tmp_path / 'training/image_2/um_000000.png')
    write_colors(tmp_path / 'training/gt_image_2/um_road_000000.png', [255, 0, 0])
    with pytest.raises(DataError, match="split is 'testing'; kitti_road comes without splits"):
        find_layout('kitti_road', str(tmp_path), 'testing')
    with pytest.raises(DataError, match="The split 'val' of kitti_road is empty: of 1 image none belongs to it"):
        find_layout('kitti_road', str(tmp_path), 'val')


def test_cityscapes_goes_before_the_fog_that_lies_beside_it(tmp_path):
    for name in ('leftImg8bit', 'leftImg8bit_foggy'):
        for fog in ('_foggy_beta_0.01', '_foggy_beta_0.02') if 'foggy' in name else ('',):
            write_jpeg_or_png(tmp_path / name / 'train/ulm/ulm_0_leftImg8bit{}.png'.format(fog))
    write_ids(tmp_path / 'gtFine/train/ulm/ulm_0_gtFine_labelIds.png', 7, 0, 26)
    assert survey(str(tmp_path)).layout.name == 'cityscapes'
    (pair,) = BatchGenerator.from_layout('foggy_cityscapes', str(tmp_path)).pairs
    assert pair.image.endswith('beta_0.02.png') and pair.label.endswith('ulm_0_gtFine_labelIds.png')
