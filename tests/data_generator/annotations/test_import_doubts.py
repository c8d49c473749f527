"""Annotations that lead to two images, or to none, and objects that cannot be drawn: nothing becomes background by it."""

import json
import os
import unicodedata

import numpy as np
import pytest

from data_generator import DataError
from data_generator.annotations import recognise
from data_generator.annotations.dataset import Options, import_annotations
from data_generator.annotations.run_lengths import window_of_box_runs
from data_generator.annotations.summary import describe
from data_generator.files.legends import read_legend
from helpers.images import read_labels, write_labels
from tests.data_generator.annotations import tools
from tests.data_generator.annotations.tools import EXPECTED, SIZE

A_LABEL, B_LABEL = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
A_LABEL[4:12, 5:15], B_LABEL[8:14, 10:18] = 1, 2


def imported_from(root, out, **options):
    """What was imported, and the labels by their place below labels/."""
    found = {}
    imported = import_annotations(str(root), str(out), Options(**options))
    for folder, _, names in os.walk(str(out / 'labels')):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, str(out / 'labels')).replace(os.sep, '/')] = read_labels(path)
    return imported, found


def write_coco(root, names, annotations, document='instances.json', **of_images):
    images = [dict({'id': k, 'file_name': name, 'height': SIZE[0], 'width': SIZE[1]}, **of_images) for k, name in names]
    tools.write_json(root / document, dict(tools.coco_content(annotations), images=images))


def polygon(image_id, category, box, **more):
    return dict({'image_id': image_id, 'category_id': category, 'segmentation': [tools.flat(box)]}, **more)


OF_A, OF_B = polygon(0, 30, tools.A), polygon(1, 7, tools.B)


@pytest.mark.parametrize('copy_images', [False, True])
def test_an_image_that_is_listed_twice_is_taken_once_with_its_objects(tmp_path, copy_images):
    tools.write_image(tmp_path / 'source' / '0.png')
    write_coco(tmp_path / 'source', [(0, '0.png'), (0, '0.png')], [OF_A])
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0, copy_images=copy_images)
    assert imported.splits == {'train': 1} and list(map(len, imported.left_out.values())) == [1]
    np.testing.assert_array_equal(labels['train/0.png'], A_LABEL)


def test_of_two_annotations_that_lead_to_one_image_the_one_that_names_it_whole_is_taken(tmp_path):
    """seq1 was not copied; by its file name alone seq1/1.png would be seq2/1.png."""
    tools.write_image(tmp_path / 'source' / 'seq2' / '1.png')
    write_coco(tmp_path / 'source', [(0, 'seq1/1.png'), (1, 'seq2/1.png')], [OF_A, OF_B])
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    np.testing.assert_array_equal(labels['train/1.png'], B_LABEL)
    assert [places[0].endswith('seq1/1.png') for places in imported.left_out.values()] == [True]
    write_coco(tmp_path / 'source', [(0, 'seq1/1.png'), (1, 'seq3/1.png')], [OF_A, OF_B])
    with pytest.raises(DataError, match='images that are not where they are said to be, and may be those of others'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out2'))


def test_labels_of_yolo_belong_to_the_image_at_their_place(tmp_path):
    root = tmp_path / 'source'
    tools.write_image(root / 'images' / 'val' / '1.png')
    tools.write_image(root / 'images' / 'train' / '2.png', seed=1)
    lines = ['0 .1 .1 .9 .1 .9 .9', '1 .1 .1 .9 .1 .9 .9']
    for place, line in (('train/1', lines[0]), ('val/1', lines[1]), ('train/2', lines[0])):
        (root / 'labels' / place).parent.mkdir(parents=True, exist_ok=True)
        (root / 'labels' / (place + '.txt')).write_text(line)
    (root / 'classes.txt').write_text('a\nb\n')
    _, labels = imported_from(root, tmp_path / 'out')
    assert {name: set(np.unique(label)) for name, label in labels.items()} == {
        'val/1.png': {0, 2},
        'train/2.png': {0, 1},
    }


def test_images_of_one_name_in_two_folders_of_a_split_stay_apart(tmp_path):
    for number, folder in enumerate(('train_A', 'train_B')):
        tools.write_image(tmp_path / 'source' / folder / '1.png', seed=number)
    names = [(0, 'train_A/1.png'), (1, 'train_B/1.png')]
    write_coco(tmp_path / 'source', names, [OF_A, OF_B], 'instances_train.json')
    _, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    np.testing.assert_array_equal(labels['train/train_A/1.png'], A_LABEL)
    np.testing.assert_array_equal(labels['train/train_B/1.png'], B_LABEL)


def test_names_with_points_and_accents_are_those_of_their_images(tmp_path):
    root = tmp_path / 'source'
    tools.write_image(root / (unicodedata.normalize('NFD', 'caf\u00e9') + '.png'))
    tools.write_image(root / 'a.png', seed=1)
    tools.write_image(root / 'a.b.png', seed=2)
    names = [(0, 'caf\u00e9.png'), (1, 'a.b'), (2, 'a')]
    write_coco(root, names, [OF_A, OF_B, polygon(2, 30, tools.A)])
    _, labels = imported_from(root, tmp_path / 'out', val_share=0)
    assert len(labels) == 3
    np.testing.assert_array_equal(labels['train/a.b.png'], B_LABEL)
    np.testing.assert_array_equal(labels['train/a.png'], A_LABEL)


def test_images_whose_objects_cannot_be_drawn_do_not_become_background(tmp_path):
    """VOC has masks for a sixth of its images, and boxes for all."""
    root = tmp_path / 'source'
    tools.voc(root)
    os.unlink(str(root / 'SegmentationClass' / '0.png'))
    (root / 'Annotations' / '0.xml').write_text(tools.voc_xml('0.jpg', '<object><name>a</name></object>'))
    os.rename(str(root / 'Annotations' / '1.xml'), str(root / 'Annotations' / '1.XML'))
    imported, labels = imported_from(root, tmp_path / 'out', val_share=0)
    assert sorted(labels) == ['train/{}.png'.format(number) for number in (1, 2, 3, 4)]
    ((reason, places),) = imported.left_out.items()
    assert 'none of its objects can be used: objects that are no area (only a box' in reason and len(places) == 1


@pytest.mark.parametrize('has_masks', [True, False])
def test_an_image_of_voc_without_objects_and_mask_may_not_be_annotated_yet(tmp_path, has_masks):
    """It became background, as CVAT writes a file for each image of a task."""
    root = tmp_path / 'source'
    tools.voc(root)
    points = ''.join('<x{0}>{1}</x{0}><y{0}>{2}</y{0}>'.format(n, *point) for n, point in enumerate(tools.A, 1))
    of_a = '<object><name>a</name><polygon>{}</polygon></object>'.format(points)
    for number in range(1 if has_masks else tools.NUM_IMAGES):
        (root / 'SegmentationClass' / '{}.png'.format(number)).unlink()
        (root / 'Annotations' / '{}.xml'.format(number)).write_text(tools.voc_xml('{}.jpg'.format(number), of_a))
    (root / 'Annotations' / '0.xml').write_text(tools.voc_xml('0.jpg'))
    imported, labels = imported_from(root, tmp_path / 'out', val_share=0)
    reason = 'images that cannot be used: its XML has no object, and it may not be annotated yet'
    assert imported.left_out == {reason: [str(root / 'Annotations' / '0.xml')]} and len(labels) == 4


@pytest.mark.parametrize(
    'annotation, reason',
    [
        (polygon(0, 30, tools.A, segmentation=[], bbox=[1, 2, 3, 4]), 'only a box'),
        (polygon(0, '30', tools.A), 'of no known category'),
        (polygon(0, 30, tools.A, segmentation=[[True, *tools.flat(tools.A)[1:]]]), 'points with True, which is no n'),
        (polygon(0, 30, tools.A, segmentation=[['1_0', *tools.flat(tools.A)[1:]]]), "points with '1_0', which is no"),
        (polygon(0, 30, tools.A, segmentation=[[None, *tools.flat(tools.A)[1:]]]), 'points with None, which is no n'),
        (polygon(0, True, tools.A), 'of no known category'),
        (polygon(False, 30, tools.A), 'objects of no image'),
        (polygon('00', 30, tools.A), 'objects of images that are not listed'),
        (polygon(0, 30, tools.A, segmentation=tools.flat(tools.A)[:-1]), 'points that are no pairs of numbers'),
        (polygon(0, 30, np.array(tools.A) / 1000), 'shapes outside of their image, or smaller than a pixel'),
    ],
)
def test_annotations_of_which_no_object_can_be_drawn_are_no_dataset(tmp_path, annotation, reason):
    tools.write_image(tmp_path / 'source' / '0.png')
    write_coco(tmp_path / 'source', [(0, '0.png')], [annotation])
    with pytest.raises(DataError, match='has no object that can be used: .*' + reason):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'tool, document, written, other, value',
    [
        ('yolo', 'labels/0.txt', ' 0.', ' 0_0.', "points with '0_0."),
        ('yolo', 'labels/0.txt', ' 0.', ' \u0660.', "points with '\u0660."),
        ('yolo', 'labels/0.txt', '\n0 ', '\n\u0661 ', "of class '\u0661', which is no number"),
        ('cvat', 'annotations.xml', 'points="', 'points="1_0,2;', "points with '1_0', which is no number"),
        ('kaggle', 'train.csv', ' ', ' \u0661', "a mask with '\u0661"),
    ],
)
def test_what_only_python_takes_for_numbers_is_left_out_with_its_value(tmp_path, tool, document, written, other, value):
    tools.TOOLS[tool](tmp_path / 'source')
    path = tmp_path / 'source' / document
    assert written in path.read_text()
    before, _, after = path.read_text().rpartition(written)  # the first line tells what the file is
    path.write_text(before + other + after, encoding='utf-8')
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    assert value in json.dumps(imported.left_out, ensure_ascii=False)
    assert document in json.dumps(imported.left_out)


def test_masks_of_coco_have_the_size_of_their_image_also_where_it_is_not_written(tmp_path):
    for number in (0, 1):
        tools.write_image(tmp_path / 'source' / '{}.png'.format(number), seed=number)
    half = {'size': [SIZE[0] // 2, SIZE[1] // 2], 'counts': [100, 50]}
    objects = [polygon(0, 30, tools.A, segmentation=half), polygon(1, 7, tools.B, iscrowd='0')]
    write_coco(tmp_path / 'source', [(0, '0.png'), (1, '1.png')], objects, height=None, width=None)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert set(imported.left_out) == {
        'shapes that cannot be drawn (a mask of another size than its image)',
        'images that cannot be used: none of its shapes can be drawn',
    }
    assert list(labels) == ['train/1.png']
    np.testing.assert_array_equal(labels['train/1.png'], B_LABEL)


@pytest.mark.parametrize('size', [(10**6, 10**6), (0, 5), (-2, -3)])
def test_boxes_of_cvat_take_no_memory_that_no_image_has(size):
    with pytest.raises(ValueError, match='a mask of {} x {} pixels'.format(*size)):
        window_of_box_runs([size[0] * size[1]], 0, 0, size)


@pytest.mark.parametrize(
    'change, left_out',
    [
        (lambda text: text.replace(' ', '\t'), 0),
        (lambda text: '  ' + text.replace('1 ', '1.0 ', 1), 0),
        (lambda text: text.replace('0.3', 'nan', 1), 1),
        (lambda text: text.replace(' ', ','), 1),
        (lambda text: 'x' + text, 1),
    ],
)
def test_a_label_file_of_yolo_is_read_or_its_image_is_left_out(tmp_path, change, left_out):
    tools.yolo(tmp_path / 'source')
    path = tmp_path / 'source' / 'labels' / '0.txt'
    path.write_text(change(path.read_text()))
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert ('train/0.png' in labels) is not bool(left_out) and len(labels) == 5 - left_out
    assert sum(map(len, imported.left_out.values())) == left_out
    assert left_out == 0 or 'its label file does not begin with an object, CLASS X1 Y1' in list(imported.left_out)[0]
    for name, label in labels.items():
        np.testing.assert_array_equal(label, EXPECTED, name)


@pytest.mark.parametrize(
    'files, names',
    [
        ({'classes.txt': 'a\r\nb\r\n\r\n'}, ['a', 'b']),
        ({'classes.txt': 'a\n\nb\n'}, r'classes\.txt has no name for class 1\. Name all'),
        ({'data.yaml': 'nc: 2\nnames: [\'a, or "c"\', b # ]\n ]\n'}, ['a, or "c"', 'b']),
        ({'data.yaml': 'names: ["a]", driver\'s seat]\n'}, ['a]', "driver's seat"]),
        ({'data.yaml': 'names: [a, b, c]\nnc: 2\n'}, r'data\.yaml says nc: 2 and names 3 classes'),
        ({'data.yaml': 'names: [a, b]\n', 'classes.txt': 'b\na\n'}, 'name the classes differently.* Take one out'),
    ],
)
def test_numbers_of_yolo_mean_the_names_at_their_places(tmp_path, files, names):
    tools.yolo(tmp_path / 'source')
    os.unlink(str(tmp_path / 'source' / 'data.yaml'))
    for name, text in files.items():
        (tmp_path / 'source' / name).write_bytes(text.encode())
    if isinstance(names, str):
        with pytest.raises(DataError, match=names):
            import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
        return
    imported, _ = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert list(imported.label_space.class_names) == ['background'] + names


def test_a_file_of_something_else_that_is_no_yaml_stops_no_import(tmp_path):
    tools.labelme(tmp_path / 'source')
    (tmp_path / 'source' / 'deploy.yaml').write_text('chart:\n  names: {{ .Values.names }}\n  - : x\n')
    _, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert len(labels) == 5


def test_a_damaged_document_of_many_images_is_no_missing_split(tmp_path):
    """A third of the images of train became val."""
    root = tmp_path / 'source'
    tools.write_image(root / '0.png')
    write_coco(root, [(0, '0.png')], [OF_A], 'train.json')
    (root / 'val.json').write_text((root / 'train.json').read_text()[:-20])
    (root / 'notes.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(DataError, match=r'val\.json is no JSON.*Export it again\. .* a whole split.* take it out of'):
        import_annotations(str(root), str(tmp_path / 'out'))
    (root / 'val.json').unlink()
    assert import_annotations(str(root), str(tmp_path / 'out')).splits == {'train': 1}


def test_a_document_that_is_not_there_is_left_out(tmp_path):
    tools.labelme(tmp_path / 'source')
    os.symlink('nowhere.json', str(tmp_path / 'source' / 'broken.json'))
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert len(labels) == 5
    assert 'broken.json cannot be read: No such file or directory' in json.dumps(imported.left_out)


@pytest.mark.parametrize(
    'label, classes, found',
    [
        (' a\n', None, ('background', 'a', 'b')),
        ('', None, "class_names has ''; a name is 1 to 200 characters that can be printed. Name it in the annotations"),
        ('a\nx', None, "has 'a.*nx'; a name is .* or choose others with --classes"),
        ('a\nx', ['b'], ('background', 'b')),
        ('a' * 201, None, 'a name is 1 to 200 characters'),
        ('a', ['b', 'a', 'b'], '--classes is b a b; each name has to be there once'),
    ],
)
def test_names_of_classes_are_such_as_classes_json_is_read_with(tmp_path, label, classes, found):
    tools.write_image(tmp_path / 'source' / 'x.png')
    shapes = [(label, tools.A_PIXELS), ('b', tools.B_PIXELS), ('b ', tools.B_PIXELS)]
    tools.write_json(tmp_path / 'source' / 'x.json', tools.labelme_content('x.png', shapes))
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(classes=classes))
        return
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', classes=classes, val_share=0)
    assert read_legend(str(tmp_path / 'out' / 'classes.json')).class_names == found == imported.label_space.class_names
    assert imported.objects['b'] == 2
    np.testing.assert_array_equal(labels['train/x.png'], EXPECTED if classes is None else B_LABEL // 2)


def test_a_mask_that_is_called_like_a_photograph_is_of_no_class_of_another(tmp_path):
    for name in ('a', 'a_1'):
        tools.write_image(tmp_path / 'source' / 'images' / (name + '.png'))
    (tmp_path / 'source' / 'masks').mkdir()
    for name in ('a_1', 'a_car'):
        write_labels(str(tmp_path / 'source' / 'masks' / (name + '.png')), EXPECTED.clip(0, 1))
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert imported.label_space.class_names == ('background', 'car') and list(labels) == ['train/a.png']
    assert {reason: list(map(os.path.basename, places)) for reason, places in imported.left_out.items()} == {
        'masks whose image or class cannot be told by their name': ['a_1.png'],
        'photographs without a mask': ['a_1.png'],
    }
    os.unlink(str(tmp_path / 'source' / 'masks' / 'a_car.png'))
    with pytest.raises(DataError, match=r'a_1\.png\. Label maps of all classes need no import: fcn8s check'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out2'))


@pytest.mark.parametrize('copy_images', [False, True])
@pytest.mark.parametrize('kind', ['yolo', 'coco'])
def test_a_dataset_that_was_made_within_the_source_is_none_of_it(tmp_path, kind, copy_images):
    tools.TOOLS[kind](tmp_path / 'source')
    first, _ = imported_from(tmp_path / 'source', tmp_path / 'source' / 'made', copy_images=copy_images)
    second, labels = imported_from(tmp_path / 'source', tmp_path / 'source' / 'again')
    assert second.splits == first.splits == {'train': 4, 'val': 1} and second.left_out == {}
    for name, label in labels.items():
        np.testing.assert_array_equal(label, EXPECTED, name)


def test_pictures_beside_the_images_of_yolo_are_not_images_without_objects(tmp_path):
    tools.yolo(tmp_path / 'source')
    tools.write_image(tmp_path / 'source' / 'results.png')
    tools.write_image(tmp_path / 'source' / 'images' / 'empty.png', seed=9)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert len(labels) == 6 and not labels['train/empty.png'].any()
    (places,) = imported.left_out.values()
    assert [os.path.basename(place) for place in places] == ['results.png']


def test_instances_and_stuff_of_coco_are_of_one_image_and_things_lie_over_stuff(tmp_path):
    """The stuff is smaller than the thing, and would lie over it by its area."""
    root = tmp_path / 'source'
    for number in range(3):
        tools.write_image(root / 'images' / '{}.png'.format(number), seed=number)
    names = [(number, '{}.png'.format(number)) for number in range(3)]
    (root / 'annotations').mkdir()
    write_coco(root / 'annotations', names[:2], [OF_A], 'instances_val.json')
    stuff = [polygon(number, 7, tools.B) for number in (0, 2)]
    write_coco(root / 'annotations', names[::2], stuff, 'stuff_val.json')
    imported, labels = imported_from(root, tmp_path / 'out', val_share=0)
    assert imported.left_out == {} and imported.objects == {'a': 1, 'b': 2}
    np.testing.assert_array_equal(labels['train/0.png'], np.where(A_LABEL, A_LABEL, B_LABEL))
    np.testing.assert_array_equal(labels['train/1.png'], 0)
    np.testing.assert_array_equal(labels['train/2.png'], B_LABEL)
    write_coco(root / 'annotations', names[:1], stuff, 'stuff_val.json', height=99)
    write_coco(root / 'annotations', names[:2], [OF_A, polygon(1, 30, tools.A)], 'instances_val.json')
    imported, labels = imported_from(root, tmp_path / 'other', val_share=0)
    assert any('its size is another one in ' in reason for reason in imported.left_out)
    assert list(labels) == ['train/1.png']


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda content: content['images'][1].update(id=0), "the images '0.png' and '1.png' have the same id, 0. Give"),
        (lambda content: content['categories'][1].update(id=30), "the categories 'a' and 'b' have the same id, 30"),
    ],
)
def test_an_id_of_two_in_coco_is_refused(tmp_path, change, message):
    """The objects of both images were in the first, and the second was background."""
    for number in (0, 1):
        tools.write_image(tmp_path / 'source' / '{}.png'.format(number), seed=number)
    content = tools.coco_content([OF_A, OF_B], 2)
    change(content)
    tools.write_json(tmp_path / 'source' / 'instances.json', content)
    with pytest.raises(DataError, match='instances.json: ' + message):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


def test_an_image_whose_shapes_all_lie_outside_of_it_does_not_become_background(tmp_path):
    """As points of YOLO in pixels do; a mask without a pixel says that its class is not there."""
    tools.yolo(tmp_path / 'yolo')
    (tmp_path / 'yolo' / 'labels' / '0.txt').write_text('0 5 4 15 4 15 12\n')
    imported, labels = imported_from(tmp_path / 'yolo', tmp_path / 'out', val_share=0)
    assert 'images that cannot be used: none of its shapes can be drawn' in imported.left_out
    assert sorted(labels) == ['train/{}.png'.format(number) for number in (1, 2, 3, 4)]
    for number, mask in enumerate((EXPECTED.clip(0, 1), np.zeros(SIZE, np.uint8))):
        tools.write_image(tmp_path / 'masks' / 'images' / '{}.png'.format(number), seed=number)
        path = tmp_path / 'masks' / 'masks' / 'car' / '{}.png'.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(str(path), mask)
    imported, labels = imported_from(tmp_path / 'masks', tmp_path / 'out2', val_share=0)
    assert list(imported.left_out) == ['masks without a pixel'] and not labels['train/1.png'].any()


@pytest.mark.parametrize(
    'tool, name, text, message',
    [
        ('voc', 'labelmap.txt', 'a:1,2,3::\nb:1,2,3::\n', r'has the colour \(1, 2, 3\) twice. Give each class'),
        (
            'yolo',
            'data.yaml',
            'names:\n  0: a\n  0: b\n  1: c\n',
            r"cannot be read: '0' is there twice \(line [1-5]\). Write it as YAML",
        ),
    ],
)
def test_a_class_that_is_listed_twice_is_refused(tmp_path, tool, name, text, message):
    tools.TOOLS[tool](tmp_path / 'source')
    (tmp_path / 'source' / name).write_text(text)
    with pytest.raises(DataError, match=name + ' ' + message):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))


def test_a_pipe_is_no_source_and_label_maps_are_for_check(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe.json'))
    with pytest.raises(DataError, match='pipe.json is neither a folder nor a file. Save what it gives as a file'):
        import_annotations(str(tmp_path / 'pipe.json'), str(tmp_path / 'out'))
    (tmp_path / 'export.zip').write_bytes(b'PK')
    with pytest.raises(DataError, match='export.zip is no file of annotations, .* Unpack an archive, and give the'):
        import_annotations(str(tmp_path / 'export.zip'), str(tmp_path / 'out'))
    tools.voc(tmp_path / 'source')  # CVAT's 'Segmentation mask' has no XML
    for number in range(tools.NUM_IMAGES):
        (tmp_path / 'source' / 'Annotations' / '{}.xml'.format(number)).unlink()
    with pytest.raises(DataError, match='holds no annotations.* Label maps of all classes need no import: fcn8s check'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))


def test_a_mask_that_cvat_calls_a_crowd_is_an_object_and_void_objects_are_counted(tmp_path):
    for number in (0, 1):
        tools.write_image(tmp_path / 'source' / '{}.png'.format(number), seed=number)
    counts = np.diff(np.flatnonzero(np.diff(np.r_[2, A_LABEL.T.ravel(), 2]))).tolist()
    mask = {'size': list(SIZE), 'counts': counts}
    of_cvat = polygon(0, 30, tools.A, segmentation=mask, iscrowd=1, attributes={'occluded': False})
    crowd = polygon(1, 30, tools.A, segmentation=mask, iscrowd=1, attributes={'color': 'red'})
    write_coco(tmp_path / 'source', [(0, '0.png'), (1, '1.png')], [of_cvat, crowd])
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    np.testing.assert_array_equal(labels['train/0.png'], A_LABEL)
    np.testing.assert_array_equal(labels['train/1.png'], 255 * A_LABEL)
    assert imported.left_out == {} and 'never count   1 object, such as crowds' in describe(imported)
    with pytest.raises(DataError, match='has no object that can be used: all are void'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'other'), Options(void=['a']))


def test_where_all_objects_of_a_document_are_crowds_none_is_one(tmp_path):
    """As Datumaro writes masks."""
    tools.write_image(tmp_path / 'source' / '0.png')
    write_coco(tmp_path / 'source', [(0, '0.png')], [dict(OF_A, iscrowd=1)])
    _, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    np.testing.assert_array_equal(labels['train/0.png'], A_LABEL)


def test_a_document_of_coco_without_any_object_says_nothing_of_the_images_of_others(tmp_path):
    """image_info_train.json beside instances_train.json: the images became background."""
    for number in (0, 1):
        tools.write_image(tmp_path / 'source' / '{}.png'.format(number), seed=number)
    write_coco(tmp_path / 'source', [(0, '0.png')], [OF_A], 'instances_train.json')
    write_coco(tmp_path / 'source', [(0, '0.png'), (1, '1.png')], [], 'image_info_train.json')
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert imported.splits == {'train': 2}
    np.testing.assert_array_equal(labels['train/0.png'], A_LABEL)
    np.testing.assert_array_equal(labels['train/1.png'], 0 * A_LABEL)


def test_coco_as_older_versions_of_via_write_it(tmp_path):
    """The numbers of an outline stand in one list, and the image of an object in quotes."""
    annotations = []
    for number in (0, 1):
        tools.write_image(tmp_path / 'source' / '{}.png'.format(number), seed=number)
        for category, box in ((30, tools.A), (7, tools.B)):
            annotations.append(polygon(str(number), category, box, segmentation=tools.flat(box)))
    write_coco(tmp_path / 'source', [(0, '0.png'), (1, '1.png')], annotations)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert imported.left_out == {}
    for number in (0, 1):
        np.testing.assert_array_equal(labels['train/{}.png'.format(number)], EXPECTED)


@pytest.mark.parametrize('place', ['masks/road/{}.png', 'masks/{}_road.png'])
def test_masks_of_classes_are_called_like_their_images_however_accents_are_written(tmp_path, place):
    for number in range(2):
        name = 'caf\u00e9 {}'.format(number)
        tools.write_image(tmp_path / 'source' / 'images' / (unicodedata.normalize('NFC', name) + '.jpg'), seed=number)
        path = tmp_path / 'source' / place.format(unicodedata.normalize('NFD', name))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(str(path), 255 * A_LABEL)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert imported.left_out == {} and len(labels) == 2
    for label in labels.values():
        np.testing.assert_array_equal(label, A_LABEL)


def test_masks_and_lists_of_voc_are_found_however_letters_and_splits_are_written(tmp_path):
    """An image whose mask was not found became background, and lists that CVAT calls Train and Validation were none."""
    tools.voc(tmp_path / 'source')
    for folder, form, extension in (('SegmentationClass', 'NFD', '.png'), ('JPEGImages', 'NFD', '.jpg')):
        for path in sorted((tmp_path / 'source' / folder).iterdir()):
            path.rename(path.parent / (unicodedata.normalize(form, 'caf\u00e9') + path.stem + extension))
    for number in range(tools.NUM_IMAGES):
        (tmp_path / 'source' / 'Annotations' / '{}.xml'.format(number)).unlink()
        document = tmp_path / 'source' / 'Annotations' / 'CAF\u00c9{}.xml'.format(number)
        document.write_text(tools.voc_xml('caf\u00e9{}.jpg'.format(number)), encoding='utf-8')
    (tmp_path / 'source' / 'ImageSets' / 'Segmentation').mkdir(parents=True)
    for split, numbers in (('Train', (0, 3, 4)), ('Validation', (1, 2))):
        names = ''.join('caf\u00e9{}\n'.format(number) for number in numbers)
        path = tmp_path / 'source' / 'ImageSets' / 'Segmentation' / (split + '.txt')
        path.write_text(names, encoding='utf-8')
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert imported.left_out == {} and imported.splits == {'train': 3, 'val': 2}
    numbers = sorted((os.path.dirname(name), name[-5]) for name in labels)
    assert numbers == [('train', '0'), ('train', '3'), ('train', '4'), ('val', '1'), ('val', '2')]
    for label in labels.values():
        np.testing.assert_array_equal(label, EXPECTED)


def test_where_no_image_is_found_it_is_said_how_to_name_their_folder(tmp_path):
    tools.coco(tmp_path / 'source')
    document = str(tmp_path / 'source' / 'annotations' / 'instances.json')
    with pytest.raises(DataError, match=r'its image is not there.*\. Say where the images are: --images DIR\.$'):
        imported_from(document, tmp_path / 'out')
    imported, _ = imported_from(document, tmp_path / 'out', image_dir=str(tmp_path / 'source' / 'images'))
    assert imported.left_out == {}


@pytest.mark.parametrize('kind', ['oriented_rectangle', 'rotation'])
def test_turned_rectangles_of_labelme_and_x_anylabeling_are_areas(tmp_path, kind):
    content = tools.labelme_content('0.png', [('a', tools.A_PIXELS)])
    content['shapes'][0]['shape_type'] = kind
    tools.write_image(tmp_path / 'source' / '0.png')
    tools.write_json(tmp_path / 'source' / '0.json', content)
    _, labels = imported_from(tmp_path / 'source', tmp_path / 'out')
    np.testing.assert_array_equal(labels['train/0.png'], A_LABEL)


def test_keypoints_of_yolo_are_no_outlines(tmp_path):
    tools.yolo(tmp_path / 'source')
    with open(str(tmp_path / 'source' / 'data.yaml'), 'a') as file:
        file.write('kpt_shape: [17, 3]\n')
    with pytest.raises(DataError, match="data.yaml has 'kpt_shape': its labels are boxes and keypoints"):
        imported_from(tmp_path / 'source', tmp_path / 'out')


@pytest.mark.parametrize('tool, name', [('labelme', '0.json'), ('kaggle', 'train.csv'), ('yolo', 'data.yaml')])
def test_files_in_utf_16_are_read_as_windows_writes_them(tmp_path, tool, name):
    tools.TOOLS[tool](tmp_path / 'source')
    path = tmp_path / 'source' / name
    path.write_text(path.read_text(encoding='utf-8'), encoding='utf-16')
    names = tmp_path / 'val.txt'
    names.write_text('1.png\n', encoding='utf-16')
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert imported.left_out == {} and len(labels) == tools.NUM_IMAGES
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'listed', lists={'val': str(names)})
    assert list(labels) == ['val/1.png']
    np.testing.assert_array_equal(labels['val/1.png'], EXPECTED)


def test_tables_of_kaggle_in_two_folders_are_of_the_images_there(tmp_path):
    """An image of train had the masks of that of val, which was left out."""
    for split, label in (('train', A_LABEL == 1), ('val', B_LABEL == 2)):
        tools.write_image(tmp_path / 'source' / split / 'images' / '1.png', seed=len(split))
        table = 'ImageId,EncodedPixels\n1.png,{}\n'.format(tools.runs_of(label))
        (tmp_path / 'source' / split / 'labels.csv').write_text(table)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert imported.left_out == {} and sorted(labels) == ['train/images/1.png', 'val/images/1.png']
    np.testing.assert_array_equal(labels['train/images/1.png'], A_LABEL == 1)
    np.testing.assert_array_equal(labels['val/images/1.png'], B_LABEL == 2)


def test_all_files_of_many_images_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(recognise, '_LOOKED_INTO', 2)
    for number in range(4):
        tools.write_image(tmp_path / 'source' / '{}.png'.format(number), seed=number)
        annotation = polygon(number, 30, tools.A)
        name = '{}.png'.format(number)
        write_coco(tmp_path / 'source', [(number, name)], [annotation], '{}.json'.format(number))
    (tmp_path / 'source' / '5.json').write_text('{}')
    _, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert sorted(labels) == ['train/{}.png'.format(number) for number in range(4)]


def test_what_is_wrong_with_an_image_or_a_polygon_is_said_of_it(tmp_path):
    tools.labelme(tmp_path / 'source')
    path = tmp_path / 'source' / '0.png'
    path.write_bytes(path.read_bytes()[:-20])
    imported, _ = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert list(imported.left_out) == ['images that cannot be used: its image is truncated: its PNG data ends early']
    tools.write_json(path.with_suffix('.json'), tools.labelme_content('0.GIF'))
    path.unlink()
    imported, _ = imported_from(tmp_path / 'source', tmp_path / 'converted')
    assert list(imported.left_out) == [
        'images that cannot be used: no image of its name is in a format that is read (gif is not). Save it as PNG'
    ]
    of_mit = '<object><name>a</name><polygon><pt><x>1</x><y>1</y></pt></polygon></object>'
    tools.write_image(tmp_path / 'mit' / '0.png')
    (tmp_path / 'mit' / '0.xml').write_text(tools.voc_xml('0.png', of_mit))
    with pytest.raises(DataError, match=r'no area \(a polygon without x1, y1, x2'):
        imported_from(tmp_path / 'mit', tmp_path / 'other')


@pytest.mark.parametrize(
    'tool, inside, outside',
    [('cvat', -0.06, 0.0), ('labelme', -1.0, 1.0)],  # labelme's corners are whole pixels, and its outline counts
)
def test_large_circles_are_as_large_as_they_were_drawn(tmp_path, tool, inside, outside):
    """With 64 corners a circle of radius 2000 was up to 2.4 pixels too small."""
    size, center, radius = (300, 200), (-1850.0, 60.0), 2000.0
    tools.write_image(tmp_path / 'source' / '0.png', size)
    if tool == 'cvat':
        drawn = '<ellipse label="a" cx="{}" cy="{}" rx="{radius}" ry="{radius}"/>'.format(*center, radius=radius)
        text = tools.cvat_text(drawn).replace('width="30" height="20"', 'width="200" height="300"')
        (tmp_path / 'source' / 'annotations.xml').write_text(text)
    else:
        content = tools.labelme_content('0.png', [('a', [center, (center[0], center[1] - radius)])])
        content['shapes'][0]['shape_type'] = 'circle'
        tools.write_json(tmp_path / 'source' / '0.json', dict(content, imageHeight=size[0], imageWidth=size[1]))
    _, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    shift = 0.5 if tool == 'cvat' else 0.0
    rows, columns = np.mgrid[: size[0], : size[1]] + shift
    beyond = np.hypot(columns - center[0], rows - center[1]) - radius
    assert (labels['train/0.png'][beyond < inside] == 1).all() and not labels['train/0.png'][beyond > outside].any()


@pytest.mark.parametrize(
    'photographs, masks',
    [
        ('A. Segmentation/1. Original Images', 'A. Segmentation/2. All Segmentation Groundtruths/{class_name}'),
        ('masks/images', 'masks/masks'),
        ('1. Segmentation images', '2. Segmentation masks'),
    ],
)
def test_words_of_all_folders_tell_no_mask(tmp_path, photographs, masks):
    """IDRiD lies in 'A. Segmentation', by which its photographs were masks, too."""
    for name in ('IDRiD_1', 'IDRiD_2'):
        tools.write_image(tmp_path / 'source' / photographs / (name + '.jpg'), seed=len(name))
        for number, class_name in ((1, 'MA'), (2, 'SE')):
            path = tmp_path / 'source' / masks.format(class_name=class_name) / (name + '_' + class_name + '.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            write_labels(str(path), 255 * (number == EXPECTED).astype(np.uint8))
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert imported.left_out == {} and imported.label_space.class_names == ('background', 'MA', 'SE')
    assert len(labels) == 2
    for label in labels.values():
        np.testing.assert_array_equal(label, EXPECTED)


def test_label_maps_below_a_folder_for_segmentation_are_no_masks_of_a_class(tmp_path):
    tools.write_image(tmp_path / 'source' / 'A. Segmentation' / 'images' / '0.png')
    (tmp_path / 'source' / 'A. Segmentation' / 'All Groundtruth').mkdir()
    write_labels(str(tmp_path / 'source' / 'A. Segmentation' / 'All Groundtruth' / '0.png'), EXPECTED)
    with pytest.raises(DataError, match='holds no annotations.* Label maps of all classes need no import'):
        imported_from(tmp_path / 'source', tmp_path / 'out')


SPLITS_OF_COCO = (('train', '2017', OF_A, A_LABEL), ('val', '2017', polygon(0, 7, tools.B), B_LABEL))


def test_images_of_one_name_in_several_splits_are_those_of_their_document(tmp_path):
    """All were refused, as COCO numbers its images in each split."""
    for split, year, annotation, _ in SPLITS_OF_COCO:
        tools.write_image(tmp_path / 'source' / 'images' / (split + year) / '0.png', seed=len(split))
        (tmp_path / 'source' / 'annotations').mkdir(exist_ok=True)
        name = 'instances_{}{}.json'.format(split, year)
        write_coco(tmp_path / 'source' / 'annotations', [(0, '0.png')], [annotation], name)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert imported.left_out == {} and imported.splits == {'train': 1, 'val': 1}
    for split, _, _, label in SPLITS_OF_COCO:
        np.testing.assert_array_equal(labels[split + '/0.png'], label)
    (tmp_path / 'source' / 'images' / 'train2017' / '0.png').unlink()
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'without train', val_share=0)
    np.testing.assert_array_equal(labels['train/0.png'], B_LABEL)  # the objects of val, in whose folder it lies
    assert [places[0].rpartition('/')[2] for places in imported.left_out.values()] == [
        'instances_train2017.json, 0.png'
    ]


@pytest.mark.parametrize(
    'train, val, is_split',
    [
        ('train2017', 'val2017', True),
        ('images_train', 'images_val', True),
        ('a. Training Set', 'b. Validation Set', True),
        ('train station', 'val', False),
        ('trainval', 'val', False),
    ],
)
def test_folders_of_splits_are_called_as_publishers_call_them(tmp_path, train, val, is_split):
    for number in range(6):
        folder = tmp_path / 'source' / (val if number < 3 else train)
        tools.write_image(folder / '{}.png'.format(number), seed=number)
        name = '{}.png'.format(number)
        tools.write_json(folder / '{}.json'.format(number), tools.labelme_content(name))
    imported, _ = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert imported.splits == {'train': 3, 'val': 3}
    assert imported.split_by.startswith('those of the source' + ', which names no train' * (not is_split))


def write_lists(folder, **lists):
    for split, lines in lists.items():
        (folder / (split + '.txt')).write_text(''.join(line + '\n' for line in lines))
    return {split: str(folder / (split + '.txt')) for split in lists}


@pytest.mark.parametrize(
    'name',
    [
        '{}',
        'images/{}.png',
        './images/{}.jpg',
        'images\\{}.png',
        '../images/{}.png',
        '{root}/images/{}.png',
        '/content/coco/images/{}.png',
        'C:\\data\\Images\\{}.PNG',
    ],
)
def test_lists_name_images_by_any_of_their_paths(tmp_path, name):
    """Only names below the folder of all images were known, and all other lines named nothing."""
    tools.coco(tmp_path / 'source')
    train, val = ([name.format(number, root=tmp_path / 'source') for number in part] for part in ((0, 3), (1, 2)))
    lists = write_lists(tmp_path, train=train, val=val)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', lists=lists)
    assert sorted(labels) == ['train/0.png', 'train/3.png', 'val/1.png', 'val/2.png']
    assert imported.left_out == {'images that are in no list': ['4.png']}


def test_only_extensions_of_images_are_left_out_of_names_in_lists(tmp_path):
    """Of 0001.rgb the image 0001.png was taken."""
    for name in ('0001.rgb', '0001', '0002.rgb', '0002'):
        tools.write_image(tmp_path / 'source' / (name + '.png'))
    images = enumerate(('0001.rgb.png', '0001.png', '0002.rgb.png', '0002.png'))
    write_coco(tmp_path / 'source', list(images), [OF_A, OF_B])
    lists = write_lists(tmp_path, train=['0001.rgb', '0002.HEIC'], val=['0001.png', '0002.rgb.png'])
    _, labels = imported_from(tmp_path / 'source', tmp_path / 'out', lists=lists)
    assert sorted(labels) == ['train/0001.rgb.png', 'train/0002.png', 'val/0001.png', 'val/0002.rgb.png']


def test_of_lines_that_name_one_image_the_one_of_its_own_folder_counts(tmp_path):
    """Of train, which is not there, 1.png is as far from val2017/1.png as it can be."""
    for name in ('1', '2'):
        tools.write_image(tmp_path / 'source' / 'val2017' / (name + '.png'), seed=int(name))
    write_coco(tmp_path / 'source', [(0, '1.png'), (1, '2.png')], [OF_A, OF_B])
    lists = write_lists(
        tmp_path, train=['train2017/1.png', '/x/val2017/2.png'], val=['val2017/1.png', 'train2017/2.png']
    )
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out', lists=lists)
    assert sorted(labels) == ['train/2.png', 'val/1.png']
    assert imported.left_out == {
        'names in lists without an image': [
            '{}, line 1: train2017/1.png'.format(lists['train']),
            '{}, line 2: train2017/2.png'.format(lists['val']),
        ]
    }


@pytest.mark.parametrize(
    'train, val, message',
    [
        (
            ['0', '1'],
            ['x/8', 'x/9'],
            r"val.txt names none of the images: it begins with 'x/8', and .* '0.png', '1.png', ",
        ),
        (['0', '1'], [''], 'val.txt names none of the images: it is empty, .* Write a name a line'),
        (['0', './a/1'], ['a/1.png'], 'a/1.png is in the lists of two splits. Take it out of one'),
        (
            ['0', 'a/1'],
            ['b/1'],
            r'1.png is .*train.txt, line 2: a/1 of one split and .*val.txt, line 1: b/1 of another',
        ),
    ],
)
def test_lists_that_name_no_image_or_one_twice_are_refused(tmp_path, train, val, message):
    """The split of such a list was not in the dataset, and import ended with success."""
    tools.coco(tmp_path / 'source')
    with pytest.raises(ValueError, match=message):
        imported_from(tmp_path / 'source', tmp_path / 'out', lists=write_lists(tmp_path, train=train, val=val))
    assert not (tmp_path / 'out').exists()


def write_yolo(root, image_places, label_places=(), yaml=''):
    """Images by their places, and label files with the box a, or none, by theirs; with their extension."""
    line = ' '.join('{:.6f}'.format(value) for x, y in tools.A for value in (x / SIZE[1], y / SIZE[0]))
    for number, place in enumerate(image_places):
        tools.write_image(root / place, seed=number)
    for place in label_places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text('0 {}\n'.format(line))
    (root / 'data.yaml').write_text(yaml + 'names: [a]\n')


def beside(places, images='images', labels='labels'):
    return [place.replace(images, labels).replace('.png', '.txt') for place in places]


IN_A_AND_B = ['images/{}/{}.png'.format(folder, number) for folder in 'ab' for number in range(3)]


@pytest.mark.parametrize(
    'yaml',
    [
        'path: .\ntrain: images/a\nval: images/b\n',
        'path: ../datasets/x  # where it was\ntrain: images/a/\nval: [images/b, images/nothing]\n',
        'train: /content/x/images/a\nval: C:\\data\\Images\\B\n',
        'path: /content/x\ntrain: ../images/a\nval: ../images/b\n',
        'train: [train.txt]\nval: lists/val.txt\n',
        'path: /content/x\ntrain: lists/train.txt\nval: ./val.txt\n',
        'train: images\nval: images/b\n',
    ],
)
def test_splits_of_yolo_are_those_of_its_data_yaml(tmp_path, yaml):
    """A random fifth of all images was val."""
    root, train, val = tmp_path / 'source', IN_A_AND_B[:3], IN_A_AND_B[3:]
    if yaml.startswith('train: images\n'):  # of which the folder of val is one
        train, val = ([place.replace('/b/', '/val/') for place in places] for places in (train, val))
        yaml = yaml.replace('/b', '/val')
    write_yolo(root, train + val, beside(train + val), yaml)
    (root / 'lists').mkdir()
    for place, names in (('train.txt', train), ('val.txt', val)):
        lines = ''.join('./{}\n'.format(name) for name in names)
        (root / ('lists/' * (('lists/' + place) in yaml) + place)).write_text(lines)
    imported, labels = imported_from(root, tmp_path / 'out')
    assert imported.splits == {'train': 3, 'val': 3}
    assert {name.split('/')[0] for name in labels if name.split('/')[-2] == 'a'} == {'train'}
    missing = [place.rpartition(', ')[2] for places in imported.left_out.values() for place in places]
    assert missing == (['val: images/nothing'] if 'nothing' in yaml else [])


@pytest.mark.parametrize(
    'yaml, train, val',
    [
        ('train: images/a\nval: images/a\n', 5, 1),
        ('train: images/a\n', 5, 1),
        ('train: {a: x}\nval: images/b\n', 3, 3),
    ],
)
def test_of_a_data_yaml_without_both_splits_only_val_counts(tmp_path, yaml, train, val):
    write_yolo(tmp_path / 'source', IN_A_AND_B, beside(IN_A_AND_B), yaml)
    imported, _ = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert imported.splits == {'train': train, 'val': val}
    assert list(imported.left_out) == (['splits of data.yaml that are not read'] if '{' in yaml else [])


@pytest.mark.parametrize('is_test_named', [False, True])
def test_folders_say_no_split_of_yolo_that_its_data_yaml_says(tmp_path, is_test_named):
    """fold1/images/train was trained on, too."""
    folders = ['fold0/images/train', 'fold0/images/val', 'fold1/images/train', 'fold1/images/test']
    places = ['{}/{}.png'.format(folder, number) for folder in folders for number in range(2)]
    yaml = 'train: fold0/images/train\nval: fold0/images/val\n'
    if is_test_named:
        yaml += 'test: fold2/images/test\n'
        places += ['fold2/images/test/{}.png'.format(number) for number in range(2)]
    write_yolo(tmp_path / 'source', places, beside(places), yaml)
    imported, labels = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert imported.splits == {'train': 2, 'val': 2, 'test': 2}
    left_out = [place.split('source')[1][1:] for place in imported.left_out['images that are in no split of data.yaml']]
    assert sorted(left_out) == sorted(places[4:8] if is_test_named else places[4:6])


def test_images_of_yolo_in_no_split_or_in_one_without_labels_are_left_out(tmp_path):
    """Images of test, whose labels nobody has, were background in train and val."""
    places = ['images/{}2017/{}.png'.format(split, number) for split in ('train', 'val', 'test') for number in range(2)]
    labels = beside(places[:3])  # an image of val has none, and no object
    write_yolo(tmp_path / 'source', places + ['images/more/9.png'], labels, 'train: train.txt\nval: images/val2017\n')
    (tmp_path / 'source' / 'train.txt').write_text(''.join(place + '\n' for place in places[:2]))
    imported, found = imported_from(tmp_path / 'source', tmp_path / 'out')
    assert sorted(found) == ['train/0.png', 'train/1.png', 'val/0.png', 'val/1.png'] and not found['val/1.png'].any()
    left_out = {reason: [place.split('images/')[1] for place in found] for reason, found in imported.left_out.items()}
    assert left_out == {
        'images that are in no split of data.yaml': ['more/9.png'],
        'images of test, of which none has a label file': ['test2017/0.png', 'test2017/1.png'],
    }


@pytest.mark.parametrize(
    'images, labels',
    [
        ('{split}/imgs/{number}.png', '{split}/labels/{number}.txt'),
        ('images_{split}/{number}.png', 'labels_{split}/{number}.txt'),
        ('{split}/{number}.png', 'annotations/{split}2017/{number}.txt'),
        ('seq_{split}/pictures/{number}.png', 'seq_{split}/txt/{number}.txt'),
    ],
)
def test_labels_of_yolo_are_found_where_images_of_one_name_are_in_several_folders(tmp_path, images, labels):
    """The images whose label files were not found were background."""
    places = [(split, number) for split in ('train', 'val') for number in range(2)]
    write_yolo(
        tmp_path / 'source',
        [images.format(split=split, number=number) for split, number in places],
        [labels.format(split=split, number=number) for split, number in places],
    )
    imported, found = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert imported.left_out == {} and len(found) == 4
    for label in found.values():
        np.testing.assert_array_equal(label, A_LABEL)


@pytest.mark.parametrize(
    'images, labels, astray',
    [
        (['x/0.png', 'y/0.png', 'x/1.png', 'x/2.png'], ['p/0.txt', 'p/1.txt'], ['x/0.png', 'y/0.png']),
        (['train/0.png', 'train/1.png', 'train/2.png'], ['val/0.txt', 'train/1.txt'], ['train/0.png']),
    ],
)
def test_images_whose_label_file_may_be_any_of_several_do_not_become_background(tmp_path, images, labels, astray):
    write_yolo(tmp_path / 'source', images, labels)
    imported, found = imported_from(tmp_path / 'source', tmp_path / 'out', val_share=0)
    assert [found['train/' + name].any() for name in ('1.png', '2.png')] == [True, False] and len(found) == 2
    assert {
        reason: [os.path.relpath(place, str(tmp_path / 'source')) for place in places]
        for reason, places in imported.left_out.items()
    } == {
        'label files without an image': labels[:1],
        'images of which a label file may be one of those without an image': astray,
    }
    (tmp_path / 'source' / labels[0]).write_text('0,0.1,0.1,0.9,0.1,0.9,0.9')  # damaged, and no reason for background
    imported, found = imported_from(tmp_path / 'source', tmp_path / 'damaged', val_share=0)
    assert len(found) == 2 and len(imported.left_out) == 1
