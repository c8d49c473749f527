import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import id2label, trainId2label
from cityscapesscripts.helpers.labels import labels as official_labels

from helpers import label_spaces
from helpers.cityscapes_labels import CITYSCAPES_LABELS
from helpers.label_spaces import LABEL_SPACES, LabelSpace, checked_label_space, generic_label_space, is_class_name


@pytest.mark.parametrize(
    'name, num_classes, ignore_id',
    [
        ('cityscapes', 19, 255),
        ('cityscapes20', 20, 255),
        ('camvid', 11, 11),
        ('camvid32', 32, 255),
        ('kitti_road', 2, 255),
        ('voc', 21, 255),
        ('ade20k', 150, 255),
    ],
)
def test_named_spaces_have_so_many_classes(name, num_classes, ignore_id):
    space = LABEL_SPACES[name]
    assert (space.name, space.num_classes, space.ignore_id) == (name, num_classes, ignore_id)


@pytest.mark.parametrize('space', LABEL_SPACES.values(), ids=LABEL_SPACES)
def test_fields_agree(space):
    assert len(set(space.class_names)) == space.num_classes
    for field in (space.colors, space.file_ids, space.categories):
        assert field is None or len(field) == space.num_classes
    assert all(len(color) == 3 and min(color) >= 0 and max(color) <= 255 for color in space.colors)
    assert len(space.color_to_id) == space.num_classes + len(space.ignore_colors)


@pytest.mark.parametrize('space', LABEL_SPACES.values(), ids=LABEL_SPACES)
def test_json_round_trip(space):
    assert LabelSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@pytest.mark.parametrize('space', LABEL_SPACES.values(), ids=LABEL_SPACES)
def test_class_ids_survive_the_way_through_the_file_ids(space):
    classes = np.arange(space.num_classes)
    to_files, from_files = label_spaces.class_ids_to_file_ids(space), label_spaces.file_ids_to_class_ids(space)
    assert to_files.dtype == from_files.dtype == np.uint8 and len(to_files) == len(from_files) == 256
    np.testing.assert_array_equal(from_files[to_files[classes]], classes)


def test_ids_above_255_have_room_in_maps():
    space = LabelSpace('own', ('a', 'b'), ((1, 1, 1), (2, 2, 2)), ignore_id=300, file_ids=(7, 800))
    from_files, to_files = label_spaces.file_ids_to_class_ids(space), label_spaces.class_ids_to_file_ids(space)
    assert from_files[[7, 800, 0, 255]].tolist() == [0, 1, 300, 300] and to_files[[0, 1, 2]].tolist() == [7, 800, 0]
    assert label_spaces.file_ids_to_class_ids(space._replace(ignore_id=256, file_ids=(7, 8)))[0] == 256


def test_the_table_of_cityscapes_is_that_of_the_scripts_in_every_field():
    assert [tuple(label) for label in CITYSCAPES_LABELS] == [tuple(label) for label in official_labels]
    names = [re.sub(r'_(.)', lambda match: match.group(1).upper(), name) for name in CITYSCAPES_LABELS[0]._fields]
    assert names == list(official_labels[0]._fields)


def test_a_cityscapesscripts_of_ones_own_changes_nothing(root_dir, tmp_path):
    """The repository of 2017 ships a folder of that name in which void is 0."""
    (tmp_path / 'cityscapesscripts' / 'helpers').mkdir(parents=True)
    for name in ('__init__.py', 'helpers/__init__.py', 'helpers/labels.py'):
        (tmp_path / 'cityscapesscripts' / name).write_text('raise RuntimeError("not to be imported")')
    code = 'import data_generator, data_generator.street_scenes; from helpers.label_spaces import CITYSCAPES; print(CITYSCAPES.num_classes)'
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), root_dir]))
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=str(tmp_path), env=environment, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.split() == [b'19']


def test_cityscapes_maps_are_those_of_the_scripts():
    to_train = label_spaces.cityscapes_ids_to_train_ids()
    for label_id, label in id2label.items():
        if label_id >= 0:
            assert to_train[label_id] == label.trainId
    assert set(to_train[34:]) == {255}
    to_ids = label_spaces.cityscapes_train_ids_to_ids()
    for train_id in range(19):
        assert to_ids[train_id] == trainId2label[train_id].id
    assert set(to_ids[19:]) == {0}


def test_cityscapes20_puts_void_first():
    space = label_spaces.CITYSCAPES20
    assert space.class_names == ('void',) + label_spaces.CITYSCAPES.class_names
    assert space.void_class_ids == (0,)
    from_ids = label_spaces.cityscapes_ids_to_cityscapes20()
    from_train = label_spaces.cityscapes_train_ids_to_cityscapes20()
    for label_id, label in id2label.items():
        if label_id >= 0:
            assert from_ids[label_id] == (0 if label.trainId == 255 else label.trainId + 1)
    assert from_train[18] == 19 and from_train[255] == 0
    assert label_spaces.cityscapes20_to_cityscapes_ids()[1] == 7


def test_named_spaces_are_as_their_publishers_say():
    assert LABEL_SPACES['cityscapes'].categories[:3] == ('flat', 'flat', 'construction')
    assert LABEL_SPACES['camvid'].class_names[3] == 'road' and LABEL_SPACES['camvid'].colors[3] == (128, 64, 128)
    assert LABEL_SPACES['camvid32'].color_to_id[(0, 0, 0)] == LABEL_SPACES['camvid32'].void_class_ids[0]
    assert LABEL_SPACES['kitti_road'].color_to_id == {(255, 0, 0): 0, (255, 0, 255): 1, (0, 0, 0): 255}
    # The devkit's VOCcolormap: aeroplane, bicycle, bird, person, tvmonitor.
    voc = LABEL_SPACES['voc'].colors
    assert [voc[i] for i in (1, 2, 3)] == [(128, 0, 0), (0, 128, 0), (128, 128, 0)]
    assert [voc[i] for i in (15, 20)] == [(192, 128, 128), (0, 64, 128)]
    ade = LABEL_SPACES['ade20k']
    assert ade.file_ids[0] == 1 and (ade.class_names[0], ade.class_names[149]) == ('wall', 'flag')
    assert label_spaces.file_ids_to_class_ids(ade)[[0, 1, 150, 151]].tolist() == [255, 0, 149, 255]


def test_ignored_pixels_and_those_of_void_classes_do_not_count():
    space = LABEL_SPACES['cityscapes20']
    labels = np.array([[0, 1, 19], [255, 7, 0]], np.uint8)
    counted = label_spaces.are_counted(labels, space)
    assert counted.tolist() == [[False, True, True], [False, True, False]]
    assert label_spaces.ignore_void(labels, space).tolist() == [[255, 1, 19], [255, 7, 255]]


def test_wrong_labels_stay_visible_where_files_hold_class_ids():
    np.testing.assert_array_equal(label_spaces.file_ids_to_class_ids(label_spaces.CAMVID), np.arange(256))


def test_generic_spaces_have_names_and_different_colours():
    space = generic_label_space(3, ignore_id=7)
    assert space.class_names == ('class 0', 'class 1', 'class 2') and space.ignore_id == 7
    assert len(set(generic_label_space(300).colors)) == 300
    assert generic_label_space(2, class_names=['a', 'b']).class_names == ('a', 'b')


@pytest.mark.parametrize(
    'arguments, message',
    [
        ((0,), 'num_classes is 0; it has to be a whole number'),
        ((2, 70000), 'ignore_id is 70000; it has to be a whole number from 0 to 65535'),
        ((3.0,), 'num_classes is 3.0; it has to be a whole number'),
        (('3',), "num_classes is '3'; it has to be a whole number"),
        ((2, '255'), "ignore_id is '255'; it has to be a whole number from 0 to 65535"),
        ((3, 255, 'abc'), "class_names is 'abc'; it has to be a list of names"),
        ((2, 255, ['a']), 'has 1 class names, but 2 colors'),
    ],
)
def test_generic_spaces_refuse_numbers_and_names_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        generic_label_space(*arguments)


@pytest.mark.parametrize(
    'name',
    [
        'road sign',
        'road\xa0sign',
        '\u0645\u06cc\u200c\u0631\u0648\u062f',
        '\u3000x',
        'x' * 200,
        '\U0001f469\u200d\U0001f33e',
    ],
)
def test_names_are_what_people_write(name):
    space = generic_label_space(2, class_names=[name, 'b'])
    assert LabelSpace.from_dict(space.to_dict()) == space and is_class_name(name)


@pytest.mark.parametrize('name', [0, 1.5, None, '', 'x' * 201, 'a\nb', '\x1b[31m', '\u202ea', '\ufeff', '\ud800'])
def test_what_is_no_name_is_refused_where_it_is_given(name):
    assert not is_class_name(name)
    with pytest.raises(ValueError, match='class_names has .*; a name is 1 to 200 characters that can be printed'):
        generic_label_space(2, class_names=[name, 'b'])


@pytest.mark.parametrize(
    'fields, message',
    [
        (dict(colors=((0.5, 0, 0), (1, 2, 3))), r'colors has \(0.5, 0, 0\); a colour is three integers from 0 to 255'),
        (dict(colors=((0, 0, 256), (1, 2, 3))), 'a colour is three integers from 0 to 255'),
        (dict(colors=((0, 0, 0, 255), (1, 2, 3, 255))), 'a colour is three integers from 0 to 255'),
        (dict(name=None), 'name has None; a name is'),
        (dict(file_ids=(-1, 2)), 'file_ids has -1; an ID is an integer from 0 to 65535'),
        (dict(void_class_ids=(2,)), 'have to be below the number of classes, 2'),
        (dict(colors=((0, 0, 0),)), 'has 2 class names, but 1 colors'),
    ],
)
def test_what_could_not_be_read_again_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        checked_label_space(LabelSpace('mine', ('a', 'b'), ((0, 0, 0), (1, 2, 3)))._replace(**fields))


def test_lists_and_arrays_become_tuples():
    space = LabelSpace('mine', ['a', 'b'], np.uint8([[0, 0, 0], [1, 2, 3]]), void_class_ids=[1])
    assert checked_label_space(space) == LabelSpace('mine', ('a', 'b'), ((0, 0, 0), (1, 2, 3)), void_class_ids=(1,))
    assert space.color_to_id == {(0, 0, 0): 0, (1, 2, 3): 1}
    assert checked_label_space(space._replace(void_class_ids=(), ignore_id=1)).void_class_ids == (1,)


def test_numbers_of_numpy_become_those_of_python():
    """np.uint8(255) + 1 is 0."""
    space = generic_label_space(np.uint8(2), np.uint8(255))._replace(file_ids=tuple(np.uint8([0, 255])))
    assert label_spaces.file_ids_to_class_ids(space)[[0, 255, 7]].tolist() == [0, 1, 255]
    assert {type(number) for number in (space.ignore_id, *checked_label_space(space).file_ids)} == {int}


def test_from_dict_refuses_missing_unknown_and_contradicting_fields():
    fields = generic_label_space(2).to_dict()
    with pytest.raises(ValueError, match=r"missing: \['colors'\]; unknown: \['colours'\]"):
        LabelSpace.from_dict({'name': 'x', 'class_names': ['a'], 'colours': []})
    with pytest.raises(ValueError, match='2 class names, but 1 file_ids'):
        LabelSpace.from_dict(dict(fields, file_ids=[1]))
    with pytest.raises(ValueError, match=r'void_class_ids are \(2,\); they have to be'):
        LabelSpace.from_dict(dict(fields, void_class_ids=[2]))


def test_colours_that_do_not_tell_the_class():
    space = generic_label_space(2)._replace(colors=((1, 2, 3), (1, 2, 3)))
    with pytest.raises(ValueError, match='Two classes of the label space generic have the same colour'):
        _ = space.color_to_id
    space = generic_label_space(1)._replace(colors=((1, 2, 3),), ignore_colors=((0, 0, 0), (1, 2, 3)))
    with pytest.raises(ValueError, match='A class and ignored pixels of the label space generic have the same colour'):
        _ = space.color_to_id
