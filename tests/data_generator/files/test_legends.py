"""Tables of names and colours, in the forms in which people keep them."""

import json

import numpy as np
import pytest

from data_generator import DataError
from data_generator.checking.check import check_dataset
from data_generator.files.class_lines import entries_of_lines
from data_generator.files.legends import find_legend, parse_color, read_legend
from helpers.images import write_image
from helpers.label_spaces import CAMVID32, CITYSCAPES20, KITTI_ROAD

SKY_AND_ROAD = (('sky', 'dirt road'), ((1, 2, 3), (4, 5, 6)))


@pytest.mark.parametrize(
    'name, text',
    [
        ('a.json', '{"sky": [1, 2, 3], "dirt road": "#040506"}'),
        ('a.json', '[{"name": "sky", "color": [1, 2, 3]}, {"label": "dirt road", "rgb": [4, 5, 6]}]'),
        (
            'a.json',
            '{"classes": [{"id": 1, "name": "dirt road", "color": [4, 5, 6]}, '
            '{"id": 0, "name": "sky", "color": [1, 2, 3]}]}',
        ),
        ('a.json', '{"class_names": ["sky", "dirt road"], "colors": [[1, 2, 3], [4, 5, 6]]}'),
        ('class_list.json', '{"#010203": "sky", "#040506": "dirt road"}'),
        ('a.csv', 'name,r,g,b\nsky,1,2,3\ndirt road,4,5,6\n'),
        ('class_dict_seg.csv', 'name, r, g, b\nsky, 1, 2, 3\ndirt road, 4, 5, 6\n'),
        ('a.csv', 'r,g,b,name\n1,2,3,sky\n4,5,6,dirt road\n'),
        ('a.csv', 'name;color\nsky;#010203\n"dirt road";#040506\n'),
        ('a.txt', '1 2 3\tsky\n4 5 6\tdirt road\n'),
        ('a.txt', 'sky 1 2 3\ndirt road 4 5 6\n'),
        ('a.txt', '// ours\n0 sky 1 2 3\n1 dirt road 4 5 6\n'),
        ('a.txt', '# ours\n#010203 sky\n#040506 dirt road\n'),
        ('a.csv', '#010203,sky\n#040506,dirt road\n'),
        ('a.csv', '#010203;sky\n#040506;dirt road\n'),
        ('labelmap.txt', '# label:color_rgb:parts:actions\nsky:1,2,3::\ndirt road:4,5,6::\n'),
    ],
)
def test_each_form_of_names_and_colours_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    legend = read_legend(str(tmp_path / name))
    assert (legend.class_names, legend.colors) == SKY_AND_ROAD and legend.ignore_colors == ()


@pytest.mark.parametrize(
    'text, names, colors',
    [
        ('name,r,g,b\nzone 1,200,0,0\narea 2,0,200,0\n', ('zone 1', 'area 2'), ((200, 0, 0), (0, 200, 0))),
        ('name,r,g,b\n1 way,1,2,3\n0 lane,4,5,6\n', ('1 way', '0 lane'), ((1, 2, 3), (4, 5, 6))),
        ('Name;R;G;B\nzone 1, wet;1;2;3\n2;4;5;6\n', ('zone 1, wet', '2'), ((1, 2, 3), (4, 5, 6))),
        ('Pixel Value, Class\n0, zone 1\n2, 7\n1, 2 wheeler\n', ('zone 1', '2 wheeler', '7'), None),
        ('label,rgb\nzone 1,"(1, 2, 3)"\nzone 2,"4 5 6"\n', ('zone 1', 'zone 2'), ((1, 2, 3), (4, 5, 6))),
        ('Class,Hex\nzone 1,010203\nzone 2,#040506\n', ('zone 1', 'zone 2'), ((1, 2, 3), (4, 5, 6))),
        ('zone 1,1,2,3\nzone 2,4,5,6\n', ('zone 1', 'zone 2'), ((1, 2, 3), (4, 5, 6))),
        ('1\tzone 1\n0\tzone 2\n', ('zone 2', 'zone 1'), None),
        ('dirt road 1, 2, 3\nsky 4, 5, 6\n', ('dirt road', 'sky'), ((1, 2, 3), (4, 5, 6))),
        ('ground 1 2 3\nzone 1 4 5 6\n', ('ground', 'zone 1'), ((1, 2, 3), (4, 5, 6))),
        ('zone 1 1 2 3\nzone 2 4 5 6\n', ('zone 1', 'zone 2'), ((1, 2, 3), (4, 5, 6))),
        ('sky 1 2 3 255\nroad 4 5 6 255\n', ('sky', 'road'), ((1, 2, 3), (4, 5, 6))),
        ('background\nzone 1\nzone 2\n', ('background', 'zone 1', 'zone 2'), None),
        ('background\n2 wheeler\n4 wheeler\n', ('background', '2 wheeler', '4 wheeler'), None),
        ('0\n1\n2\n', ('0', '1', '2'), None),
    ],
)
def test_numbers_in_names_are_part_of_them(tmp_path, text, names, colors):
    (tmp_path / 'a.csv').write_text(text)
    legend = read_legend(str(tmp_path / 'a.csv'))
    assert (legend.class_names, legend.colors, legend.file_ids) == (names, colors, None)


@pytest.mark.parametrize(
    'name, text',
    [
        ('a.json', '["background", "cat", "big dog"]'),
        ('a.json', '{"0": "background", "2": "big dog", "1": "cat"}'),
        ('a.json', '[{"id": "1", "name": "cat"}, {"id": "0", "name": "background"}, {"id": "2", "name": "big dog"}]'),
        ('a.json', '{"background": 0, "big dog": 2, "cat": 1}'),
        ('a.txt', '\ufeffbackground\ncat\n\nbig dog\n'),
        ('a.txt', '0 background\n1 cat\n2 big dog\n'),
        ('_classes.csv', 'Pixel Value, Class\n0, background\n2, big dog\n1, cat\n'),
        ('labels.txt', '__ignore__\nbackground\ncat\nbig dog\n'),  # labelme numbers them -1, 0, 1, 2
        ('a.pbtxt', "item {\n  id: 1\n  name: \"cat\"\n}\nitem { id: 2 name: 'x' display_name: 'big dog' }\n"),
    ],
)
def test_each_form_of_names_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding='utf-8')
    legend = read_legend(str(tmp_path / name))
    assert legend.class_names == ('background', 'cat', 'big dog') and legend.colors is None


def test_colours_called_void_do_not_count(tmp_path):
    (tmp_path / 'a.txt').write_text('0 0 0 Void\n1 2 3 sky\n4 5 6 __ignore__\n')
    space = read_legend(str(tmp_path / 'a.txt')).label_space(ignore_id=99)
    assert space.class_names == ('sky',) and space.color_to_id == {(1, 2, 3): 0, (0, 0, 0): 99, (4, 5, 6): 99}


@pytest.mark.parametrize(
    'text, message',
    [
        ('', 'names no class'),
        ('1 2 3\n', "'1 2 3' names no class"),
        ('sky 1 2\n', 'is not NAME RED GREEN BLUE'),
        ('2 wheeler\n1 way road\n0 lane\n', r'2, 1, 0 beside .* 2,wheeler and so on; .*\["2 wheeler", ...\]'),
        ('road 0\ncar 1\n', r'numbers 0, 1 beside the names .* write 0,road and'),
        ('2\n1\n0\n', 'may be the IDs of the classes'),
        ('zone 1 1 2 3\narea 1 4 5 6\n', "'zone 1 1 2 3' has four numbers, of which the first may belong to the name"),
        ('name,r,g,b\nsky,1,2\n', "'sky,1,2' has no red, green and blue"),
        ('id,name\n1.0,sky\n', "'1.0' is no ID of a class"),
        ('id,name\n²,sky\n', "'²' is no ID of a class"),
        ('id,name\n0,sky, blue\n', 'has 3 fields, and the heading 2; put quotes around'),
        ('sky 1 2 300\n', r'\[1, 2, 300\] is no colour'),
        ('sky 1 2 3\nroad 1 2 3\n', r'two classes have the colour \(1, 2, 3\)'),
        ('sky\nsky\n', "two classes have the name 'sky'"),
        ('sky 1 2 3\nroad\n', "'road' has no colour, and others have one"),
        ('{"sky": [1, 2]}', r'\[1, 2\] is no colour'),
        ('{"a": null}', 'None is no colour'),
        ('{"class_names": ["a", "b"], "colors": [0, ""]}', '0 is no colour'),
        ('[{"color": [1, 2, 3]}]', 'None is no name'),
        ('{"1": "sky", "2": "road"}', 'the IDs are .1, 2., and have to be 0 to 1'),
        ('[' * 100000, 'is no table of classes'),
        ('sky\x1b[31m\n', 'is no name of a class'),
    ],
)
def test_what_is_no_legend_is_named(tmp_path, text, message):
    (tmp_path / 'a.txt').write_text(text)
    with pytest.raises(DataError, match='(?s)a.txt.*' + message):
        read_legend(str(tmp_path / 'a.txt'))


def test_other_files_are_not_read_whole(tmp_path):
    with open(str(tmp_path / 'a.txt'), 'wb') as file:
        file.truncate(1 << 30)
    with pytest.raises(DataError, match='larger than a table of classes can be'):
        read_legend(str(tmp_path / 'a.txt'))
    (tmp_path / 'b.txt').write_bytes(b'\xff\x00\xff')
    with pytest.raises(DataError, match=r'b\.txt is not in UTF-8'):
        read_legend(str(tmp_path / 'b.txt'))
    with pytest.raises(FileNotFoundError, match='No such table of classes'):
        read_legend(str(tmp_path / 'c.txt'))


def test_a_legend_beside_the_data_is_found_and_used(tmp_path, own_dataset):
    masks = [[[0, 1], [2, 1]]]
    assert own_dataset(tmp_path, masks).label_space is None
    (tmp_path / 'classes.txt').write_text('ground\ncrop\nweed\n')
    assert own_dataset(tmp_path, masks).label_space.class_names == ('ground', 'crop', 'weed')
    assert own_dataset(tmp_path, masks, num_classes=3, ignore_id=7).label_space.ignore_id == 7
    with pytest.warns(UserWarning, match='names 3 classes, and num_classes is 4: its names are not used'):
        assert own_dataset(tmp_path, masks, num_classes=4).label_space.class_names[0] == 'class 0'
    (tmp_path / 'classes.txt').write_text('1 2 3 4 5\n')
    with pytest.warns(UserWarning, match='Not used beside the data: .*classes.txt is no table of classes'):
        assert own_dataset(tmp_path, masks, num_classes=3).label_space.class_names[0] == 'class 0'
    assert find_legend(str(tmp_path / 'labels'), str(tmp_path / 'images')) == str(tmp_path / 'classes.txt')


def test_a_legend_may_say_which_id_is_ignored(tmp_path, own_dataset):
    masks = [[[0, 1], [255, 1]]]
    text = '{{"class_names": ["ground", "crop"], "colors": [[0, 0, 0], [0, 99, 0]], "ignore_id": {}}}'
    (tmp_path / 'classes.json').write_text(text.format(255))
    with own_dataset(tmp_path, masks).generate(1) as batches:
        assert next(batches)[1].tolist() == masks
    (tmp_path / 'classes.json').write_text(text.format(7))
    assert own_dataset(tmp_path, masks).ignore_id == 7
    (tmp_path / 'classes.json').write_text(text.format(-1))
    with pytest.raises(DataError, match='ignore_id is -1; it has to be a number from 0 to 65535'):
        read_legend(str(tmp_path / 'classes.json'))


@pytest.mark.parametrize('space', [CAMVID32, KITTI_ROAD, CITYSCAPES20._replace(file_ids=None)])
def test_a_saved_label_space_is_read_with_its_void_classes_and_ignored_colours(tmp_path, space):
    """Void classes were lost, so that scores counted them or the IDs behind them moved; ignored colours were illegal."""
    (tmp_path / 'classes.json').write_text(json.dumps(space.to_dict()))
    read = read_legend(str(tmp_path / 'classes.json')).label_space()
    assert read == space._replace(name=read.name, categories=None)


def test_a_colour_that_is_ignored_by_name_may_be_ignored_by_number_too(tmp_path):
    content = {'class_names': ['road', 'void'], 'colors': [[128, 64, 128], [0, 0, 0]], 'ignore_colors': [[0, 0, 0]]}
    (tmp_path / 'classes.json').write_text(json.dumps(content))
    legend = read_legend(str(tmp_path / 'classes.json'))
    assert (list(legend.class_names), list(legend.ignore_colors)) == (['road'], [(0, 0, 0)])


@pytest.mark.parametrize(
    'fields, message',
    [
        ({'void_class_ids': [2]}, 'void_class_ids holds 2; with 2 classes they have to be IDs of these'),
        ({'void_class_ids': [True]}, 'void_class_ids holds True'),
        ({'void_class_ids': 1}, 'not iterable'),
        ({'ignore_colors': [[4, 5, 6]]}, r'two classes have the colour \(4, 5, 6\)'),
        ({'ignore_colors': [4]}, '4 is no colour'),
    ],
)
def test_void_classes_and_ignored_colours_of_a_legend_are_checked(tmp_path, fields, message):
    content = dict({'class_names': ['sky', 'road'], 'colors': [[1, 2, 3], [4, 5, 6]]}, **fields)
    (tmp_path / 'classes.json').write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_legend(str(tmp_path / 'classes.json'))


def test_a_table_in_the_working_directory_is_not_beside_images_without_labels(tmp_path, monkeypatch):
    (tmp_path / 'classes.txt').write_text('ground\ncrop\nweed\n')
    write_image(str(tmp_path / 'data' / '1.png'), np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    report = check_dataset([str(tmp_path / 'data')], show_progress=False)
    assert report.legend_path is None and report.splits[0].num_images == 1


@pytest.mark.parametrize('split', ['train', 'Train'])
def test_a_legend_beside_the_splits_is_found_in_any_letter_case(tmp_path, split):
    (tmp_path / 'classes.txt').write_text('ground\ncrop\n')
    found = find_legend(*(str(tmp_path / split / name) for name in ('labels', 'images')))
    assert found == str(tmp_path / 'classes.txt')


def test_colours_in_a_legend_beside_the_data_convert_labels_of_these_colours(tmp_path, own_dataset):
    (tmp_path / 'classes.json').write_text('{"sky": [1, 2, 3], "road": [4, 5, 6]}')
    data = own_dataset(tmp_path, [[[(4, 5, 6), (1, 2, 3)]]])
    with data.generate(1) as batches:
        assert next(batches)[1].tolist() == [[[1, 0]]]


def test_colors_are_three_numbers_or_hexadecimal_digits():
    assert parse_color('#1a2B3c') == parse_color([26, 43, 60]) == (26, 43, 60)
    for wrong in ('#1a2b3', '1a2b3c4d', [1, 2], [1, 2, 3, 4], [0, 0, 256], [0, -1, 0], [True, 0, 0], 7):
        with pytest.raises(ValueError):
            parse_color(wrong)


@pytest.mark.parametrize(
    'table, values, by_table',
    [
        ('0 void 0 0 0\n1 road 9 0 9\n2 sky 7 13 18\n3 bird 9 9 20\n', [0, 1, 2], '0:255,1:0,2:1,3:2'),
        ('void 0 0 0\nroad 9 0 9\nsky 7 13 18\nbird 9 9 20\n', [0, 1, 2, 3], '0:255,1:0,2:1,3:2'),
        ('1 road 9 0 9\n2 sky 7 13 18\n3 bird 9 9 20\n', [1, 2], '1:0,2:1,3:2'),
    ],
)
def test_a_table_that_numbers_its_classes_otherwise_than_by_id_is_asked_about(
    tmp_path, own_dataset, table, values, by_table
):
    (tmp_path / 'classes.txt').write_text(table)
    data = own_dataset(tmp_path, [[values]])
    assert data.label_space.class_names == ('road', 'sky', 'bird')
    message = (
        'the table of the classes numbers them 1, 2, 3, where class IDs are 0 to 2. Say which .*--id-map ' + by_table
    )
    with pytest.raises(DataError, match=message):
        data.generate(1)
    report = check_dataset([str(tmp_path)], show_progress=False)
    assert not report.can_train and any(by_table in fault.detail for fault in report.all_faults)
    id_map = {int(old): int(new) for old, new in (entry.split(':') for entry in by_table.split(','))}
    with own_dataset(tmp_path, [[values]], id_map=id_map).generate(1) as batches:
        assert next(batches)[1].tolist() == [[[id_map[value] for value in values]]]
    report = check_dataset([str(tmp_path)], show_progress=False, id_map=id_map)
    pixels = [values.count(number) for number in (1, 2, 3)]
    assert report.can_train and report.class_pixels.tolist() == pixels


@pytest.mark.parametrize(
    'name, text, message',
    [
        ('a.csv', 'a,' + 200000 * 'b', r'field larger than field limit \(131072\)'),
        ('a.pbtxt', 60000 * 'item {', r"'item \{item \{"),
        ('a.txt', 10**6 * 'a', "'aaa"),
    ],
    ids=['field', 'items', 'long'],
)
def test_tables_that_nobody_wrote_are_refused_at_once_and_in_a_sentence(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match='is no table of classes: ' + message) as raised:
        read_legend(str(tmp_path / name))
    assert len(str(raised.value)) < 1000


def test_many_classes_are_read_at_once(tmp_path):
    names = ['a{}'.format(number) for number in range(30000)]
    (tmp_path / 'a.txt').write_text('\n'.join(names))
    assert read_legend(str(tmp_path / 'a.txt')).class_names == tuple(names)


def test_a_line_of_numbers_that_would_be_read_for_years_is_refused_at_once():
    with pytest.raises(ValueError, match='is not NAME RED GREEN BLUE'):
        entries_of_lines('road,1' + '   1' * 60 + ' x')
    assert entries_of_lines('road;(1 ,  2   3 )') == [('road', (1, 2, 3), None)]
