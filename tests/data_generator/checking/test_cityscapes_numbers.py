"""Labels in the numbers or colours of Cityscapes are told from others, and read as such only where somebody says so."""

import numpy as np
import pytest
from PIL import Image

from data_generator import BatchGenerator
from data_generator.checking.check import check_dataset
from data_generator.checking.cityscapes_numbers import options_for
from data_generator.files.masks import NAMED_MAPS, spell
from fcn8s.cli.options.labels import parse_id_map
from helpers.cityscapes_labels import CITYSCAPES_LABELS
from helpers.label_spaces import LABEL_SPACES

TRAIN_IDS, LABEL_IDS = '--class-names cityscapes', '--class-names cityscapes --id-map cityscapes'
STREET = [0, 4, 7, 8, 11, 17, 21, 23, 24, 26]


@pytest.mark.parametrize(
    ('values', 'label', 'options'),
    [
        ([0, 1, 2, 8, 255], 'bdd100k/labels/a.png', [TRAIN_IDS]),
        ([0, 1, 2, 8, 255], 'own/labels/a.png', []),
        ([0, 1, 2, 8, 255], 'own/labels/a_train_id.png', [TRAIN_IDS]),
        ([0, 1, 2, 8, 19, 255], 'own/labels/a_train_id.png', []),
        ([*range(19), 255], 'own/labels/a.png', [TRAIN_IDS]),
        ([*range(19)], 'own/labels/a.png', []),
        ([*range(20), 255], 'cityscapes/labels/a.png', []),
        ([7, 8, 11, 21], 'ACDC/gt/a_gt_labelIds.png', [LABEL_IDS]),
        ([7, 8, 11, 18], 'own/gt/a_gt_labelIds.png', [LABEL_IDS]),
        ([7, 8, 11, 18], 'own/gt/a_gt_labelTrainIds.png', [TRAIN_IDS]),
        ([7, 8, 11, 18], 'kitti/training/semantic/a.png', [TRAIN_IDS, LABEL_IDS]),
        ([0, 1, 255], 'kitti/road/a.png', []),
        ([0, 1, 2, 3], 'ACDC/patient001/a.png', []),
        ([*range(20)], 'kitti/a.png', []),
        ([*range(19)], 'kitti/a.png', [TRAIN_IDS]),
        ([*range(34)], 'kitti/a.png', [LABEL_IDS]),
        (STREET, 'own/labels/a.png', [LABEL_IDS]),
        (STREET + [255], 'own/labels/a.png', []),
        (STREET + [35], 'own/labels/a.png', []),
        ([*range(20)], 'LIP/train_segmentations/a.png', []),
        ([one.color for one in CITYSCAPES_LABELS], 'own/labels/a.png', ['--colors cityscapes']),
        ([one.color for one in CITYSCAPES_LABELS] + [(1, 2, 3)], 'own/labels/a.png', []),
        ([(0, 0, 0), (128, 64, 128), (70, 70, 70), (0, 0, 142)], 'own/labels/a.png', []),
        ([], 'kitti/a.png', []),
    ],
)
def test_values_have_to_fit_and_names_or_all_of_them_have_to_speak_for_it(values, label, options):
    assert options_for(values, label) == options


def test_the_map_is_that_of_the_official_evaluation():
    official = {one.id: one.train_id for one in CITYSCAPES_LABELS if one.id >= 0}
    assert NAMED_MAPS['cityscapes'] == {**official, 34: 255}
    assert parse_id_map('cityscapes') == NAMED_MAPS['cityscapes'] and spell(NAMED_MAPS['cityscapes']) == 'cityscapes'


def test_a_file_called_like_the_dataset_is_read(tmp_path, monkeypatch):
    import argparse

    from fcn8s.cli.options.labels import legend_of

    monkeypatch.chdir(tmp_path)
    options = argparse.Namespace(colors=None, class_names='cityscapes')
    space = legend_of(options).label_space()
    assert space._replace(ignore_colors=()) == LABEL_SPACES['cityscapes']
    assert legend_of(options).label_space(19).ignore_id == 19
    (tmp_path / 'cityscapes').write_text('meadow\nriver\n')
    assert legend_of(options).class_names == ('meadow', 'river')


def _dataset(root, ids):
    for folder, pixels in (('images', np.zeros((8, 8, 3))), ('labels', np.resize(ids, (8, 8)))):
        (root / folder).mkdir(parents=True)
        for number in range(2):
            noise = np.random.default_rng(number).integers(0, 255, pixels.shape) * (folder == 'images')
            Image.fromarray((pixels + noise).astype(np.uint8)).save(str(root / folder / '{}.png'.format(number)))


def test_it_is_asked_beside_the_other_readings(tmp_path):
    _dataset(tmp_path / 'bdd100k', [0, 1, 2, 8, 255])
    faults = check_dataset(str(tmp_path / 'bdd100k'), show_progress=False).all_faults
    assert [fault.kind for fault in faults if fault.is_error] == ['ambiguous_values']
    assert 'if they are those of Cityscapes: ' + TRAIN_IDS in faults[0].detail


def test_label_ids_are_proposed_beside_a_command_that_works(tmp_path):
    _dataset(tmp_path, STREET)
    report = check_dataset(str(tmp_path), show_progress=False)
    (fault,) = [fault for fault in report.all_faults if fault.kind == 'like_cityscapes']
    assert report.can_train and fault == ('like_cityscapes', str(tmp_path / 'labels'), LABEL_IDS)


def test_label_ids_that_were_called_train_ids_get_the_map(tmp_path):
    _dataset(tmp_path, STREET)
    report = check_dataset(str(tmp_path), legend=_legend(), show_progress=False)
    assert not report.can_train and report.suggested_id_map == NAMED_MAPS['cityscapes']
    folders = [[str(tmp_path / 'images')], None, [str(tmp_path / 'labels')]]
    data = BatchGenerator(*folders, label_space=LABEL_SPACES['cityscapes'])
    with pytest.raises(ValueError, match='--id-map cityscapes'), data.generate(1) as batches:
        next(batches)


@pytest.mark.parametrize('void', [19, 20, 33])
def test_train_ids_with_another_void_are_not_mapped_as_label_ids(tmp_path, void):
    _dataset(tmp_path, [*range(19), void])
    report = check_dataset(str(tmp_path), legend=_legend(), show_progress=False)
    assert report.suggested_id_map == {**{value: value for value in range(19)}, void: 255, 255: 255}


def _legend():
    from data_generator.files.legends import NAMED_LEGENDS

    return NAMED_LEGENDS['cityscapes']
