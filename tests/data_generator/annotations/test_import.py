"""Datasets from annotations of other tools; the scenes and what they have to become are in tools.py."""

import base64
import errno
import json
import math
import os
import random
import re
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from data_generator import DataError
from data_generator.annotations import data_yaml, documents, photographs
from data_generator.annotations.cityscapes import _without_group
from data_generator.annotations.classes import check_wanted, plan_classes
from data_generator.annotations.dataset import DEFAULTS, Options, import_annotations
from data_generator.annotations.shapes import LeftOut, Source
from data_generator.annotations.splits import assign_splits
from data_generator.annotations.summary import describe
from data_generator.annotations.values import number_of
from data_generator.checking.check import check_dataset
from fcn8s import cli
from fcn8s.cli.check import train_command
from helpers.images import read_image, read_labels
from helpers.label_spaces import LabelSpace
from helpers.process.termination import Interrupted
from tests.data_generator.annotations import tools
from tests.data_generator.annotations.tools import EXPECTED, NUM_IMAGES, SIZE, TOOLS


def labels_of(out):
    found = {}
    for folder, _, names in os.walk(str(out / 'labels')):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, str(out / 'labels'))] = read_labels(path)
    return found


@pytest.mark.parametrize('kind', sorted(TOOLS))
def test_every_tool_is_told_by_its_files_and_gives_the_same_dataset(tmp_path, kind):
    TOOLS[kind](tmp_path / 'source')
    out = tmp_path / 'out'
    imported = import_annotations(str(tmp_path / 'source'), str(out), Options(rest='background'))
    assert imported.kind == kind and imported.splits == {'train': 4, 'val': 1} and imported.left_out == {}
    labels = labels_of(out)
    assert len(labels) == NUM_IMAGES
    for name, label in labels.items():
        np.testing.assert_array_equal(label, EXPECTED, name)
        images = [path for path in (out / 'images' / name).parent.iterdir() if path.stem == os.path.basename(name)[:-4]]
        assert len(images) == 1 and images[0].is_symlink() and read_image(str(images[0])).shape == SIZE + (3,)
    space = LabelSpace.from_dict(json.loads((out / 'classes.json').read_text()))
    assert space.class_names == ('background', 'a', 'b') and space.ignore_id == 255
    assert len(set(space.colors)) == 3
    if kind in ('cvat', 'supervisely', 'voc'):
        assert space.colors[1] == {'cvat': (255, 0, 0), 'supervisely': (16, 32, 48), 'voc': (10, 20, 30)}[kind]
    report = check_dataset([str(out)], None, 3, 255, 1)
    assert report.can_train and report.label_space.class_names == space.class_names
    assert 'labels/train' in train_command(report)


def test_links_lead_to_the_images_also_when_both_folders_move(tmp_path):
    tools.labelme(tmp_path / 'here' / 'source')
    import_annotations(str(tmp_path / 'here' / 'source'), str(tmp_path / 'here' / 'out'))
    os.rename(str(tmp_path / 'here'), str(tmp_path / 'there'))
    for path in (tmp_path / 'there' / 'out' / 'images' / 'train').iterdir():
        assert read_image(str(path)).shape == SIZE + (3,)
    import_annotations(str(tmp_path / 'there' / 'source'), str(tmp_path / 'copy'), Options(copy_images=True))
    assert not any(path.is_symlink() for path in (tmp_path / 'copy' / 'images' / 'train').iterdir())


def test_where_no_links_can_be_made_copies_are_named(tmp_path, monkeypatch):
    tools.labelme(tmp_path / 'source')

    def refuse(source, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)  # as vfat does

    monkeypatch.setattr(os, 'symlink', refuse)
    with pytest.raises(OSError, match=r'links to images cannot be made .*Operation not permitted\)\. Add --copy'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


def one_labelme(tmp_path, shapes, options=DEFAULTS, **more):
    root = tmp_path / 'source'
    tools.write_image(root / 'x.png')
    tools.write_image(root / 'y.png')
    tools.write_json(root / 'x.json', tools.labelme_content('x.png', shapes, **more))
    tools.write_json(root / 'y.json', tools.labelme_content('y.png'))
    imported = import_annotations(str(root), str(tmp_path / 'out'), options._replace(val_share=0))
    return imported, labels_of(tmp_path / 'out').get('train/x.png')


def test_order_rest_void_and_chosen_classes(tmp_path):
    shapes = [('b', tools.B_PIXELS), ('a', tools.A_PIXELS), ('__ignore__', [[0, 0], [2, 0], [2, 2], [0, 2]])]
    by_file = np.where(EXPECTED == 2, 2, 0)
    by_file[4:12, 5:15] = 1
    by_file[:3, :3] = 255
    _, label = one_labelme(tmp_path / '1', shapes)
    np.testing.assert_array_equal(label, by_file)
    _, label = one_labelme(tmp_path / '2', shapes, Options(order='area'))
    np.testing.assert_array_equal(label[3:], EXPECTED[3:])
    imported, label = one_labelme(tmp_path / '3', shapes, Options(order='area', rest='void'))
    assert imported.label_space.class_names == ('a', 'b')
    np.testing.assert_array_equal(label[3:], np.where(EXPECTED == 0, 255, EXPECTED - 1)[3:])
    imported, label = one_labelme(tmp_path / '4', shapes, Options(order='area', classes=['b']))
    assert imported.label_space.class_names == ('background', 'b')
    np.testing.assert_array_equal(label[3:], (EXPECTED == 2)[3:])
    assert imported.left_out["objects of the class 'a', which was not asked for"]
    imported, label = one_labelme(tmp_path / '5', shapes, Options(void=['a'], order='area'))
    np.testing.assert_array_equal(label[3:], np.where(EXPECTED == 1, 255, EXPECTED == 2)[3:])


def test_shapes_of_labelme(tmp_path):
    mask = cv2.imencode('.png', np.uint8([[1, 0, 1], [0, 255, 0]]))[1].tobytes()
    shapes = [
        {'label': 'a', 'points': [[14, 11], [5, 4]], 'shape_type': 'rectangle'},
        {'label': 'b', 'points': [[20, 10], [20, 14]], 'shape_type': 'circle'},
        {'label': 'a', 'points': [[1, 15], [3, 16]], 'shape_type': 'mask', 'mask': base64.b64encode(mask).decode()},
        {'label': 'a', 'points': [[40, 40], [50, 40], [50, 50]], 'shape_type': 'polygon'},
        {'label': 'a', 'points': [[1, 1]], 'shape_type': 'point'},
        {'label': 'b', 'points': [[1, 1], [2, 2]], 'shape_type': 'line'},
        {'label': 'b', 'points': [['x', 1], [2, 2], [3, 3]], 'shape_type': 'polygon'},
    ]
    root = tmp_path / 'source'
    tools.write_image(root / 'x.png')
    tools.write_json(root / 'x.json', dict(tools.labelme_content('x.png'), shapes=shapes))
    imported = import_annotations(str(root), str(tmp_path / 'out'), Options(val_share=0))
    label = labels_of(tmp_path / 'out')['train/x.png']
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(rows - 10, columns - 20)
    # With its outline, and not a pixel further: points are centres of pixels.
    assert (label[distance <= 3.9] == 2).all() and (label[(distance > 4.6) & (columns > 15)] == 0).all()
    assert [label[row, column] for row, column in ((6, 20), (14, 20), (10, 16), (10, 24))] == [2] * 4
    np.testing.assert_array_equal(label[4:12, 5:15], 1)
    np.testing.assert_array_equal(label[15:17, 1:4], [[1, 0, 1], [0, 1, 0]])
    assert sorted(imported.left_out) == [
        'shapes outside of their image, or smaller than a pixel',
        'shapes that are no area (line of 2 points)',
        'shapes that are no area (point of 1 point)',
        "shapes that are no area (points with 'x', which is no number)",
    ]
    text = describe(imported)
    assert 'left out: shapes that are no area (point of 1 point): 1, the first: {}'.format(root / 'x.json') in text
    assert json.loads((tmp_path / 'out' / 'import.json').read_text())['left_out'] == imported.left_out
    assert describe(imported._replace(left_out={'gone': ['a\nb']})).endswith('left out: gone: 1, the first: a\\x0ab')


def test_images_within_annotations_and_paths_of_other_systems(tmp_path):
    root = tmp_path / 'source'
    picture = tools.write_image(tmp_path / 'elsewhere.png')
    data = base64.b64encode(picture.read_bytes()).decode()
    tools.write_image(root / 'photos' / 'y.png')
    tools.write_json(root / 'a' / 'x.json', dict(tools.labelme_content('/home/ann/x.png'), imageData=data))
    tools.write_json(root / 'a' / 'y.json', tools.labelme_content('..\\..\\Photos\\y.png'))
    for name in ('../../elsewhere.png', str(picture), '/etc/passwd'):
        tools.write_json(root / 'a' / 'bad{}.json'.format(len(name)), tools.labelme_content(name))
    imported = import_annotations(str(root), str(tmp_path / 'out'), Options(val_share=0))
    assert imported.splits == {'train': 2} and len(labels_of(tmp_path / 'out')) == 2
    reason = 'images that cannot be used: its image is not there, or several have its name'
    assert len(imported.left_out[reason]) == 3
    assert (tmp_path / 'out' / 'images' / 'train' / 'a' / 'x.png').read_bytes() == picture.read_bytes()


def test_images_within_annotations_get_a_name_that_a_file_can_have(tmp_path):
    data = base64.b64encode(tools.write_image(tmp_path / 'elsewhere.png').read_bytes()).decode()
    names = ['run.sh', '', '.hidden.png', 'plain.png', 'a' * 5000, 'a\0b.png', '\ud800.png', '\n.png', 'ü' * 150]
    for number, name in enumerate(names):
        content = dict(tools.labelme_content(name), imageData=data)
        tools.write_json(tmp_path / 'source' / '{}.json'.format(number), content)
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    found = sorted(os.listdir(str(tmp_path / 'out' / 'images' / 'train')))
    assert found == ['1.png', 'image.hidden.png', 'plain.png', 'run.sh.png']
    reason = 'images that cannot be used: its image has no name that a file can have'
    assert len(imported.left_out[reason]) == 5


def test_images_of_one_name_within_annotations_of_two_folders_are_two(tmp_path):
    """One was dropped, as an image that was annotated twice."""
    pictures = [tools.write_image(tmp_path / (folder + '.png'), seed=ord(folder)) for folder in 'ab']
    for picture in pictures:
        data = base64.b64encode(picture.read_bytes()).decode()
        content = dict(tools.labelme_content('1.png'), imageData=data)
        tools.write_json(tmp_path / 'source' / picture.stem / '1.json', content)
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    images = tmp_path / 'out' / 'images' / 'train'
    assert imported.splits == {'train': 2} and not imported.left_out
    assert [(images / p.stem / '1.png').read_bytes() for p in pictures] == [p.read_bytes() for p in pictures]


def test_points_beyond_all_images_leave_out_their_shape(tmp_path):
    tools.cvat(tmp_path / 'source')
    path = tmp_path / 'source' / 'annotations.xml'
    far = '1e308,-1e308;-1e308,1e308;1e308,1e308'
    path.write_text(re.sub('(label="a" z_order="0" points=)"[^"]*"', r'\g<1>"{}"'.format(far), path.read_text()))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    (reason,) = imported.left_out
    assert reason == 'shapes that cannot be drawn (a polygon has a point that is no pair of finite numbers)'


def test_names_of_thousands_of_digits_are_refused_in_a_sentence(tmp_path):
    tools.yolo(tmp_path / 'source')
    (tmp_path / 'source' / 'data.yaml').write_text('names: [a, "{}"]\n'.format('9' * 5000))
    with pytest.raises(ValueError, match='a name is 1 to 200 characters'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))


def test_a_mask_without_its_runs_is_left_out(tmp_path):
    tools.coco(tmp_path / 'source')
    path = tmp_path / 'source' / 'annotations' / 'instances.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['segmentation'] = {'size': list(SIZE), 'count': [600]}
    path.write_text(json.dumps(content))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    assert list(imported.left_out) == ["objects that are no area ('counts')"]


def test_a_colour_that_is_none_is_no_reason_to_refuse(tmp_path):
    tools.coco(tmp_path / 'source')
    path = tmp_path / 'source' / 'annotations' / 'instances.json'
    content = json.loads(path.read_text())
    content['categories'][0]['color'] = [float('inf'), 0, 0]
    path.write_text(json.dumps(content))
    assert import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out')).splits


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('frame', ['upright', 'stored'])
def test_photographs_that_are_turned_by_exif(tmp_path, orientation, frame):
    """What is bright in the picture is the object, whichever frame the annotations are made in."""
    stored = np.zeros(SIZE + (3,), np.uint8)
    stored[4:12, 5:15] = 255
    root = tmp_path / 'source'
    root.mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(str(root / 'x.png'), exif=exif)
    upright = read_image(str(root / 'x.png'))
    if frame == 'stored' and upright.shape == stored.shape:
        return  # half a turn cannot be told from none by the size, and is taken for upright
    seen = (upright if frame == 'upright' else stored)[..., 0] > 0
    rows, columns = np.nonzero(seen)
    box = tools.corners(columns.min(), rows.min(), columns.max(), rows.max())
    content = tools.labelme_content('x.png', [('a', np.array(box).tolist())])
    content.update(imageHeight=seen.shape[0], imageWidth=seen.shape[1])
    tools.write_json(root / 'x.json', content)
    import_annotations(str(root), str(tmp_path / 'out'), Options(val_share=0))
    np.testing.assert_array_equal(labels_of(tmp_path / 'out')['train/x.png'], upright[..., 0] > 0)


def test_coco_crowds_masks_parts_and_what_is_left_out(tmp_path):
    root = tmp_path / 'source'
    tools.write_image(root / '0.png')
    tools.write_image(root / '1.png')
    crowd = np.zeros(SIZE, bool)
    crowd[15:, 20:] = True
    counts = [int(count) for count in np.diff(np.flatnonzero(np.diff(np.r_[2, crowd.T.ravel(), 2])))]
    two_parts = [tools.flat(tools.corners(0, 0, 2, 2)), tools.flat(tools.corners(1, 1, 4, 3))]
    annotations = [
        {'image_id': 0, 'category_id': 30, 'segmentation': two_parts},
        {'image_id': 0, 'category_id': 7, 'iscrowd': 1, 'segmentation': {'size': list(SIZE), 'counts': counts}},
        {'image_id': 0, 'category_id': 7, 'bbox': [0, 0, 1, 1], 'segmentation': []},
        {'image_id': 0, 'category_id': 99, 'segmentation': two_parts},
        {'image_id': 0, 'category_id': 7, 'segmentation': {'size': list(SIZE), 'counts': [1, 2, 3]}},
        {'image_id': 0, 'category_id': 7, 'segmentation': {'size': [6, 100], 'counts': [600]}},
        {'image_id': 5, 'category_id': 7, 'segmentation': two_parts},
    ]
    tools.write_json(root / 'instances.json', tools.coco_content(annotations, 3))
    imported = import_annotations(str(root), str(tmp_path / 'out'), Options(val_share=0))
    expected = np.zeros(SIZE, np.uint8)
    expected[0:2, 0:2] = expected[1:3, 1:4] = 1
    expected[15:, 20:] = 255
    labels = labels_of(tmp_path / 'out')
    np.testing.assert_array_equal(labels['train/0.png'], expected)
    np.testing.assert_array_equal(labels['train/1.png'], 0)  # an image without objects
    assert imported.label_space.class_names == ('background', 'a', 'b')
    assert {reason: len(places) for reason, places in imported.left_out.items()} == {
        'objects of images that are not listed': 1,
        'images that cannot be used: its image is not there, or several have its name': 1,
        'objects that are no area (only a box)': 1,
        'objects that are no area (of no known category)': 1,
        'objects that are no area (a mask of another size than its image)': 1,
        'shapes that cannot be drawn (a mask whose runs do not make up its size of 600 pixels)': 1,
    }


def test_captions_and_panoptic_segments_of_coco_are_left_out_beside_shapes(tmp_path):
    tools.coco(tmp_path / 'source')
    place = tmp_path / 'source' / 'annotations'
    with_segments = tools.coco_content([{'image_id': 0, 'file_name': '0.png', 'segments_info': [{'category_id': 7}]}])
    with_captions = {key: value for key, value in with_segments.items() if key != 'categories'}
    with_captions['annotations'] = [{'image_id': 0, 'id': 1, 'caption': 'a bird'}]
    tools.write_json(place / 'captions_train.json', with_captions)
    tools.write_json(place / 'panoptic_train.json', with_segments)
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert imported.splits == {'train': 4, 'val': 1} and imported.objects == {'a': 5, 'b': 5}
    assert imported.left_out == {
        'files of captions, which say no class of a pixel': [str(place / 'captions_train.json')],
        'files of panoptic segments, whose shapes are in PNGs': [str(place / 'panoptic_train.json')],
    }
    (place / 'instances.json').unlink()
    for name, message in (
        ('captions', 'captions_train.json holds captions, which say no class of a pixel. Give instances_'),
        (
            'panoptic',
            r'panoptic_train.json holds panoptic segments, .*or make .*: panoptic2detection_coco_format.py of',
        ),
    ):
        with pytest.raises(DataError, match=message):
            import_annotations(str(place / (name + '_train.json')), str(tmp_path / 'other'))
        with pytest.raises(DataError, match=message):
            import_annotations(str(tmp_path / 'source'), str(tmp_path / 'other'))


def test_cvat_masks_ellipses_and_tracks(tmp_path):
    elements = (
        '<mask label="a" rle="1,3,2" left="2" top="3" width="3" height="2" z_order="5"/>'
        '<ellipse label="b" cx="20" cy="10" rx="7" ry="3" rotation="30"/><box label="a" xtl="0" ytl="0" xbr="5" ybr="5"/><tag label="a"/>'
    )
    tools.cvat(tmp_path / 'source', elements)
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    label = labels_of(tmp_path / 'out')['train/0.png']
    np.testing.assert_array_equal(label[3:5, 2:5], [[0, 1, 1], [1, 0, 0]])
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    x, y, turn = columns + 0.5 - 20, rows + 0.5 - 10, math.radians(30)  # clockwise, as y goes down
    distance = np.hypot((x * np.cos(turn) + y * np.sin(turn)) / 7, (y * np.cos(turn) - x * np.sin(turn)) / 3)
    assert (label[distance < 0.95] == 2).all() and (label[(distance > 1.05) & (columns > 8)] == 0).all()
    assert list(imported.left_out) == ['shapes that are no area (box)']
    path = tmp_path / 'video' / 'a.xml'
    path.parent.mkdir()
    path.write_text('<annotations><track id="0" label="a"/></annotations>')
    with pytest.raises(DataError, match=r"a\.xml holds tracks of a video.* Export the task as 'CVAT for images 1\.1'"):
        import_annotations(str(tmp_path / 'video'), str(tmp_path / 'out2'))


def test_masks_of_single_classes_that_cannot_be_used(tmp_path):
    """Smoothed borders, other sizes, no photograph; overlaps by the order of the names or by area."""
    root = tmp_path / 'source'
    tools.masks(root)
    overlap = np.full(SIZE, 255, np.uint8)
    cv2.imwrite(str(root / 'masks' / 'a' / 'x2.png'), overlap)
    cv2.imwrite(str(root / 'masks' / 'x1_a.png'), cv2.GaussianBlur(np.uint8(EXPECTED == 1) * 255, (5, 5), 0))
    cv2.imwrite(str(root / 'masks' / 'x3_a.png'), np.zeros((7, 7), np.uint8))
    cv2.imwrite(str(root / 'masks' / 'other.png'), overlap)
    (root / 'masks' / 'x4_c.png').write_bytes(b'')
    imported = import_annotations(str(root), str(tmp_path / 'out'), Options(val_share=0))
    np.testing.assert_array_equal(labels_of(tmp_path / 'out')['train/x2.png'], np.where(EXPECTED == 2, 2, 1))
    reasons = '; '.join(imported.left_out)
    assert 'x1' not in ''.join(labels_of(tmp_path / 'out')) and 'x3' not in ''.join(labels_of(tmp_path / 'out'))
    assert 'a mask of one class holds 0 and one other value. Save it without smoothing' in reasons
    assert 'its image has 20 x 30 pixels, not those that the annotations say' in reasons
    assert 'masks whose image or class cannot be told by their name' in reasons
    assert 'train/x4.png' in labels_of(tmp_path / 'out') and 'shapes that cannot be drawn' in reasons


def test_masks_of_objects_in_a_folder_for_each_image(tmp_path, capsys):
    """As the nuclei of DSB2018: no name says of which image a mask is."""
    root = tmp_path / 'stage1_train'
    for number in range(3):
        tools.write_image(root / 'ab{}'.format(number) / 'images' / 'ab{}.png'.format(number), seed=number)
        for name, part in (('c0', EXPECTED == 1), ('f9', EXPECTED == 2)):
            path = root / 'ab{}'.format(number) / 'masks' / (name + '.png')
            path.parent.mkdir(exist_ok=True)
            assert cv2.imwrite(str(path), np.uint8(part) * 255)
    assert cli.main(['check', str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert 'has a mask for each class or object' in said and 'c0.png' in said
    command = said.strip().rpartition('fcn8s ')[2].replace('OUT', str(tmp_path / 'out'))
    assert cli.main([*command.split(), '--val-share', '0']) == 0
    labels = labels_of(tmp_path / 'out')
    assert len(labels) == 3
    for label in labels.values():
        np.testing.assert_array_equal(label, np.uint8(EXPECTED > 0))
    found = json.loads((tmp_path / 'out' / 'import.json').read_text())
    assert found['objects'] == {'object': 6} and found['left_out'] == {}


@pytest.mark.parametrize(
    ('names', 'classes'),
    [(('road', 'roof'), ('background', 'road', 'roof')), (('image_0', 'image_1'), ('background', 'object'))],
)
def test_masks_in_a_folder_for_each_image_may_be_called_like_classes(tmp_path, names, classes):
    """Images of one name in all folders, and masks: words are classes, numbers count objects."""
    for number in range(2):
        root = tmp_path / 'source' / 'scene{}'.format(number)
        tools.write_image(root / 'images' / 'image.png', seed=number)
        for index, name in enumerate(names):
            (root / 'masks').mkdir(exist_ok=True)
            assert cv2.imwrite(str(root / 'masks' / (name + '.png')), np.uint8(index + 1 == EXPECTED) * 255)
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    assert imported.label_space.class_names == classes and not imported.left_out
    for label in labels_of(tmp_path / 'out').values():
        np.testing.assert_array_equal(label, np.minimum(EXPECTED, len(classes) - 1))


def test_parts_of_faces_lie_over_each_other_as_their_authors_have_it(tmp_path, capsys):
    """Numbers with and without zeros in front; masks half as large as images, which have to fit a whole number."""
    parts = {'hair': slice(0, 5), 'skin': slice(3, 10), 'l_eye': slice(4, 6)}
    for number in range(3):
        height, width = SIZE if number < 2 else (SIZE[0] + 1, SIZE[1])
        path = tmp_path / 'faces' / 'CelebA-HQ-img' / '{}.jpg'.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8))
        for name, rows in parts.items():
            mask = np.zeros((SIZE[0] // 2, SIZE[1] // 2), np.uint8)
            mask[rows] = 255
            path = tmp_path / 'faces' / 'CelebAMask-HQ-mask-anno' / '0' / '0000{}_{}.png'.format(number, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), mask)
    assert cli.main(['check', str(tmp_path / 'faces')]) == 2 and 'fcn8s import' in capsys.readouterr().err
    imported = import_annotations(str(tmp_path / 'faces'), str(tmp_path / 'out'), Options(val_share=0))
    assert imported.label_space.class_names == ('background', 'skin', 'l_eye', 'hair')
    reasons = [reason.partition(',')[0] for reason in imported.left_out]
    assert reasons == ['images that cannot be used: its image has 21 x 30 pixels']
    expected = np.repeat([3] * 5 + [2] + [1] * 4, 2)
    labels = labels_of(tmp_path / 'out')
    assert sorted(labels) == ['train/0.png', 'train/1.png']
    for label in labels.values():
        np.testing.assert_array_equal(label, np.broadcast_to(expected[:, None], SIZE))


def test_a_folder_that_is_called_after_masks_is_no_class(tmp_path):
    for split in ('train', 'val'):
        tools.write_image(tmp_path / 'source' / split / (split + '.png'))
        path = tmp_path / 'source' / (split + '_labels') / (split + '.png')
        path.parent.mkdir()
        assert cv2.imwrite(str(path), np.uint8(EXPECTED > 0))
    with pytest.raises(DataError, match='The names of masks say no class, the first: .*train_labels'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


def test_smoothed_masks_and_jpeg_are_read_on_request_and_what_moved_is_counted(tmp_path, capsys):
    root, out = tmp_path / 'source', tmp_path / 'out'
    tools.masks(root)
    mask = np.uint8(EXPECTED == 1) * 255
    (root / 'masks' / 'a' / 'x2.png').unlink()
    cv2.imwrite(str(root / 'masks' / 'a' / 'x2.jpg'), mask, [cv2.IMWRITE_JPEG_QUALITY, 70])
    smoothed = cv2.GaussianBlur(mask, (0, 0), 0.6)
    cv2.imwrite(str(root / 'masks' / 'x1_a.png'), smoothed)
    assert cli.main(['import', str(root), str(out), '--color-tolerance', '127', '--val-share', '0']) == 0
    for name, label in labels_of(out).items():
        np.testing.assert_array_equal(label, EXPECTED, name)
    assert len(labels_of(out)) == NUM_IMAGES and 'counted as the nearer of the two: ' in capsys.readouterr().out
    moved = json.loads((out / 'import.json').read_text())['moved']
    assert moved[str(root / 'masks' / 'x1_a.png')] == np.count_nonzero((smoothed > 0) & (smoothed < 255)) > 0
    tools.coco(tmp_path / 'other')
    assert cli.main(['import', str(tmp_path / 'other'), str(tmp_path / 'out2'), '--color-tolerance', '9']) == 2
    assert '--color-tolerance is 9, and is about masks of single classes' in capsys.readouterr().err


def test_transparent_pixels_of_voc_masks_are_those_without_a_shape(tmp_path):
    tools.voc(tmp_path / 'source')
    path = str(tmp_path / 'source' / 'SegmentationClass' / '0.png')
    alpha = np.where(EXPECTED > 0, 255, 0).astype(np.uint8)
    cv2.imwrite(path, np.dstack([np.maximum(cv2.imread(path), 255 - alpha[..., np.newaxis]), alpha]))
    import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0, rest='void'))
    labels = labels_of(tmp_path / 'out')
    np.testing.assert_array_equal(labels['train/0.png'], np.where(EXPECTED > 0, EXPECTED, 255))
    np.testing.assert_array_equal(labels['train/1.png'], EXPECTED)


def test_masks_and_lists_of_voc_are_those_of_the_dataset_that_they_lie_in(tmp_path):
    root = tmp_path / 'source'
    names = ''.join('{}\n'.format(number) for number in range(NUM_IMAGES))
    for name, split in (('one', 'train'), ('two', 'val')):
        tools.voc(root / name)
        lists = root / name / 'ImageSets' / 'Segmentation'
        lists.mkdir(parents=True)
        (lists / (split + '.txt')).write_text(names)
    path = str(root / 'two' / 'SegmentationClass' / '0.png')
    cv2.imwrite(path, np.where(EXPECTED[..., np.newaxis] == 1, 0, cv2.imread(path)))
    import_annotations(str(root), str(tmp_path / 'out'))
    labels = labels_of(tmp_path / 'out')
    np.testing.assert_array_equal(labels['train/one/JPEGImages/0.png'], EXPECTED)
    np.testing.assert_array_equal(labels['val/two/JPEGImages/0.png'], np.where(EXPECTED == 1, 0, EXPECTED))
    (root / 'two' / 'labelmap.txt').write_text('background:0,0,0::\na:40,50,60::\nb:10,20,30::\n')
    with pytest.raises(DataError, match=r'one.labelmap\.txt and .*two.labelmap\.txt give the classes other colours'):
        import_annotations(str(root), str(tmp_path / 'out2'))


@pytest.mark.parametrize('space', ['', '\n'])  # MIT's own files have a line for each value
def test_labelme_of_mit(tmp_path, space):
    def element(name, *values):
        return '<{0}>{1}{2}{1}</{0}>'.format(name, '' if '<' in str(values) else space, ''.join(map(str, values)))

    def thing(name, points, *more):
        corners = [element('pt', element('x', x), element('y', y)) for x, y in points]
        return element('object', element('name', name), *more, element('polygon', element('username', 'me'), *corners))

    for number, folder in enumerate(('street', 'park', 'yard')):
        tools.write_image(tmp_path / 'source' / 'Images' / folder / 'p.jpg', seed=number)
        objects = [thing('a', tools.A), thing('b', tools.B, element('deleted', 0))]
        objects.append(thing('a', tools.B, element('deleted', 1)))
        objects.append(thing('a', tools.B, element('type', 'bounding_box')))
        objects.append(element('object', element('name', 'a'), element('segm', element('mask', 'p_mask.png'))))
        size = element('imagesize', element('nrows', SIZE[0]), element('ncols', SIZE[1]))
        path = tmp_path / 'source' / 'Annotations' / folder / 'p.xml'
        path.parent.mkdir(parents=True)
        path.write_text(element('annotation', element('filename', 'p.jpg'), element('folder', folder), size, *objects))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    assert imported.label_space.class_names == ('background', 'a', 'b')
    labels = labels_of(tmp_path / 'out')
    assert len(labels) == 3
    for label in labels.values():
        np.testing.assert_array_equal(label, EXPECTED)
    assert {reason: len(places) for reason, places in imported.left_out.items()} == {
        'objects that are no area (only a box)': 3,
        'objects that are no area (a mask of LabelMe, which is not read; CVAT for images has it)': 3,
    }


def test_folders_of_labelme_that_hold_an_image_each_are_named(tmp_path):
    (tmp_path / 'source' / '1_json').mkdir(parents=True)
    (tmp_path / 'source' / '1_json' / 'label_names.txt').write_text('_background_\na\n')
    with pytest.raises(DataError, match='label_names.txt is of a single image, as labelme_json_to_dataset writes it'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))


def test_a_voc_mask_of_another_size_is_left_out(tmp_path):
    tools.voc(tmp_path / 'source')
    cv2.imwrite(str(tmp_path / 'source' / 'SegmentationClass' / '0.png'), np.zeros((7, 7, 3), np.uint8))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    assert imported.splits == {'train': 4}
    assert list(imported.left_out) == [
        'images that cannot be used: its image has 20 x 30 pixels, not those that the annotations say'
    ]


def test_holes_of_supervisely(tmp_path):
    tools.supervisely(tmp_path / 'source')
    path = tmp_path / 'source' / 'ds' / 'ann' / '0.png.json'
    content = json.loads(path.read_text())
    content['objects'] = content['objects'][:1]
    content['objects'][0]['points']['interior'] = [tools.corners(7, 6, 9, 8)]
    path.write_text(json.dumps(content))
    import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    expected = np.zeros(SIZE, np.uint8)
    expected[4:12, 5:15] = 1
    expected[6:9, 7:10] = 0
    np.testing.assert_array_equal(labels_of(tmp_path / 'out')['train/0.png'], expected)


def test_voc_colours_borders_splits_and_polygons_in_the_xml(tmp_path):
    root = tmp_path / 'source'
    tools.voc(root)
    (root / 'labelmap.txt').unlink()
    colors = np.zeros(SIZE + (3,), np.uint8)
    colors[4:12, 5:15], colors[12, 5:15] = (128, 0, 0), (224, 224, 192)
    for number in range(NUM_IMAGES):
        assert cv2.imwrite(str(root / 'SegmentationClass' / '{}.png'.format(number)), colors[..., ::-1])
    lists = root / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('0\n3\n')
    (lists / 'val.txt').write_text('1\n2\n4\n')
    imported = import_annotations(str(root), str(tmp_path / 'out'))
    assert imported.splits == {'train': 2, 'val': 3} and imported.label_space.num_classes == 21
    expected = np.zeros(SIZE, np.uint8)
    expected[4:12, 5:15], expected[12, 5:15] = 1, 255
    np.testing.assert_array_equal(labels_of(tmp_path / 'out')['val/1.png'], expected)
    assert cv2.imwrite(str(root / 'SegmentationClass' / '0.png'), np.full(SIZE + (3,), 9, np.uint8))
    imported = import_annotations(str(root), str(tmp_path / 'out2'))
    assert any(
        'has the colour (9, 9, 9), which is none of the classes. List all in labelmap.txt' in r
        for r in imported.left_out
    )
    tools.write_image(tmp_path / 'robo' / 'a.png')
    points = ''.join('<x{0}>{1}</x{0}><y{0}>{2}</y{0}>'.format(n, *point) for n, point in enumerate(tools.A, 1))
    objects = '<object><name>a</name><polygon>{}</polygon></object><object><name>b</name></object>'.format(points)
    (tmp_path / 'robo' / 'a.xml').write_text(tools.voc_xml('a.png', objects))
    imported = import_annotations(str(tmp_path / 'robo'), str(tmp_path / 'out3'), Options(val_share=0))
    expected = np.zeros(SIZE, np.uint8)
    expected[4:12, 5:15] = 1
    np.testing.assert_array_equal(labels_of(tmp_path / 'out3')['train/a.png'], expected)
    assert any('only a box: there is no mask in SegmentationClass' in reason for reason in imported.left_out)


def test_classes_of_cityscapes(tmp_path):
    tools.cityscapes(tmp_path / 'source')
    for path in (tmp_path / 'source' / 'gtFine' / 'town').iterdir():
        content = json.loads(path.read_text())
        names = [('road', tools.A_PIXELS), ('cargroup', tools.B_PIXELS), ('ego vehicle', tools.corners(0, 0, 3, 3))]
        names += [('license plate', tools.B_PIXELS), ('license plategroup', tools.B_PIXELS)]  # are not drawn
        content['objects'] = [{'label': name, 'polygon': polygon} for name, polygon in names]
        path.write_text(json.dumps(content))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert imported.label_space.num_classes == 19 and imported.rest == 'void'
    label = next(iter(labels_of(tmp_path / 'out').values()))
    np.testing.assert_array_equal(label, np.choose(EXPECTED, [255, 0, 13]))
    chosen = import_annotations(
        str(tmp_path / 'source'), str(tmp_path / 'chosen'), Options(classes=['ego vehicle', 'road'])
    )
    assert chosen.label_space.class_names == ('ego vehicle', 'road')  # of which Cityscapes scores one
    ego = np.full(SIZE, 255)
    ego[:4, :4], ego[4:12, 5:15] = 0, 1
    np.testing.assert_array_equal(next(iter(labels_of(tmp_path / 'chosen').values())), ego)


def test_a_class_that_is_called_group_is_one():
    assert [_without_group(label) for label in ('group', 'cargroup', 'license plategroup')] == [
        'group',
        'car',
        'license plate',
    ]


def test_of_coarse_and_fine_polygons_of_cityscapes_the_fine_ones_are_used(tmp_path):
    root = tmp_path / 'source'
    tools.cityscapes(root)
    for path in (root / 'gtFine' / 'town').iterdir():
        content = dict(json.loads(path.read_text()), objects=[{'label': 'a', 'polygon': tools.corners(0, 0, 20, 18)}])
        tools.write_json(root / 'gtCoarse' / 'town' / path.name.replace('gtFine', 'gtCoarse'), content)
    imported = import_annotations(str(root), str(tmp_path / 'out'))
    assert list(imported.left_out) == ['images annotated twice, or of one name but for the extension']
    for label in labels_of(tmp_path / 'out').values():
        np.testing.assert_array_equal(label, np.choose(EXPECTED, [255, 0, 1]))


def test_images_in_none_of_the_splits_of_the_source_are_left_out():
    left_out = LeftOut()
    division = assign_splits(['a', 'b', 'c'], ['/a', '/b', '/c'], ['train', 'val', None], None, 0, {}, left_out)
    assert division == (['train', 'val', None], 'those of the source')
    assert left_out.places == {'images that are in no split of the source': ['c']}


def divided(own, val_share=None):
    names = ['{:02d}'.format(number) for number in range(len(own))]
    return assign_splits(names, names, own, val_share, 0, {}, LeftOut())


def test_val_of_the_source_stays_val_where_the_rest_has_no_split():
    """All were divided at random, so that the images of val were trained on."""
    division = divided([None] * 20 + ['val'] * 5 + ['test'])
    assert division.splits == ['train'] * 20 + ['val'] * 5 + ['test']
    assert division.rule == 'those of the source, which names no train: it is made of 20 images of no split'


@pytest.mark.parametrize('share', [0.01, 0.5, 0.99])
def test_chance_divides_what_is_not_test_and_leaves_an_image_on_each_side(share):
    splits = divided(['test'] * 6 + [None] * 3, share).splits
    assert splits[:6] == ['test'] * 6 and set(splits[6:]) == {'train', 'val'}


def test_chance_knows_names_and_not_the_order_of_files():
    found = []
    for names in ('abcdefgh', 'hgfedcba'):
        division = assign_splits(names, names, [None] * 8, 0.3, 1, {}, LeftOut())
        found.append(dict(zip(names, division.splits)))
    assert found[0] == found[1]


def test_the_report_says_when_chance_divides_otherwise_than_the_source():
    division = divided(['train'] * 6 + [None] * 4)
    num_moved = division.splits[:6].count('val')
    assert division.splits.count('val') == 2
    assert division.rule.endswith(
        '--val-share 0.2); the source divides them otherwise: {} of its train are val'.format(num_moved)
    )
    division = divided(['train'] * 6 + ['val'] * 4, val_share=0)
    assert division == (
        ['train'] * 10,
        'at random (--val-share 0); the source divides them otherwise: 0 of its train are val, 4 of its val are train',
    )
    for own in (['train'] * 5, ['val'] * 5, [None] * 5, [None] * 5 + ['test']):
        assert divided(own).rule == 'at random (--val-share 0.2)' and divided(own).splits.count('val') == 1


def test_a_class_that_is_called_void_is_not_taken_for_one():
    with pytest.raises(ValueError, match='--classes names Void, and the pixels of what is called so never count'):
        check_wanted(['a', 'Void'], [])


def test_classes_that_no_image_has_keep_the_numbers_of_a_network():
    labels = ['car', 'terrain']
    planned = plan_classes(Source('labelme', []), labels, 'void', ['road', 'terrain', 'car', 'train'])
    assert planned.label_space.class_names == ('road', 'terrain', 'car', 'train')
    assert [planned.ids[name] for name in labels] == [2, 1]


def test_classes_of_one_colour_get_two():
    source = Source('coco', [], ['road', 'car', 'sky'], dict(road=(1, 2, 3), car=(1, 2, 3)))
    colors = plan_classes(source, ['road', 'car', 'sky'], 'void').label_space.colors
    assert colors[0] == (1, 2, 3) and len(set(colors)) == 3


@pytest.mark.parametrize('wanted', ['trafic light', 'Traffic Light', 'traffic lights'])
def test_a_class_that_may_be_misspelt_is_refused(wanted):
    source, labels = Source('labelme', []), ['car', 'traffic light']
    with pytest.raises(ValueError, match='names {}, which no image has, and not traffic light. If'.format(wanted)):
        plan_classes(source, labels, 'void', ['car', wanted])
    assert plan_classes(source, labels, 'void', ['car', wanted], ['traffic light']).label_space.num_classes == 2
    assert plan_classes(source, labels, 'void', ['car', wanted, 'traffic light']).label_space.num_classes == 3


@pytest.mark.parametrize(
    'text, names',
    [
        ('names: [\'a b\', "c", d]  # three\n', ['a b', 'c', 'd']),
        ('nc: 2\nnames: [a,\n  b]\n', ['a', 'b']),
        ('names:\n- a\n- b # second\nnc: 2\n', ['a', 'b']),
        ('names:\n  0: a\n  1: b\n', ['a', 'b']),
        ('names: {0: a, 1: b}\n', ['a', 'b']),
        ('names: {\n1: "b",\n0: \'a\' }\nnc: 2\n', ['a', 'b']),
        ('"names":\n  "1": b\n  \'0\': a\n', ['a', 'b']),
        ("'names' : [a, b]\n", ['a', 'b']),
        ('{"names": ["a", "b"], "nc": 2}\n', ['a', 'b']),
        ('names:\n  [  # in brackets\n    a,\n\n    b,\n  ]\n', ['a', 'b']),
        ("names:\n  0: \"it's # a\"\n  # the second\n  1: 'b: c' # this\n", ["it's # a", 'b: c']),
        ("names: ['a ''b''', 'c']\n", ["a 'b'", 'c']),
        ('names:\n- "caf\\u00e9 \\x41 \\\\ \\U0001f600"\n- "a\\\n  b"\n', ['caf\u00e9 A \\ \U0001f600', 'ab']),
        ('names: [no, 1e3, ~, 2024-01-01]\n', ['no', '1e3', '~', '2024-01-01']),
        ('names:\r\n  0:\r\n    a\r\n    b # c\r\n  1: d\r\n', ['a b', 'd']),
        ('%YAML 1.2\n---\nnames: &all\n- a:b\n- -c#d\n...\n---\nnames: [x]\n', ['a:b', '-c#d']),
        ('download: |\n  names: x\n  - y\n\n  z: 1\nnames: [a, b]\nother: x\n', ['a', 'b']),
    ],
)
def test_class_names_of_yolo(tmp_path, text, names):
    tools.yolo(tmp_path / 'source')
    (tmp_path / 'source' / 'data.yaml').write_text(text)
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert list(imported.label_space.class_names) == ['background'] + names


@pytest.mark.parametrize(
    'text, fault',
    [
        (
            'names: [a, b\n',
            r"cannot be read: expected ',' or '\]', but got '<stream end>' \(line 2\). Write it as YAML",
        ),
        ('names: [a,, b]\n', r"expected the node content, but found ',' \(line 1\)"),
        ('names: [a] b\n', r"expected <block end>, but found '<scalar>' \(line 1\)"),
        ('names: ' + '[' * 5000 + '\n', 'cannot be read: '),
        ('names:\n  0: a\n 1: b\n', 'expected <block end>'),
        ('names:\n- a\n- *b\n', r"found undefined alias 'b' \(line 3\)"),
        ('names: ["a\\q", b]\n', r"found unknown escape character 'q' \(line 1\)"),
        ('names: ["\\UFFFFFFFF", b]\n', 'cannot be read: '),
        ('names: [a]\nnames: [b]\n', "'names' is there twice"),
        ('names: [!!python/object/apply:os.getcwd [], b]\n', "'names' that are not read: some are lists"),
        ('names: [a]\n' + '#' * 2**20, 'it has 10485[0-9]+ characters, and at most 1048576 are read'),
        ('names: [[a], b]\n', "'names' that are not read: some are lists"),
        ('names: [a, &b]\n', 'no name for class 1. Name all'),
        ('names: coco.names\n', "'coco.names' is no list and no numbered lines. Write one line 'NUMBER: NAME'"),
        ('names:\n', "'' is no list and no numbered lines"),
        ('names:\n  1: a\n  2: b\n', 'their numbers are 1, 2, and have to be those from 0 on'),
        ('names: {a: 0, b: 1}\n', 'their numbers are a, b, and'),
        ('names:\n- a\n- - b\n', 'some are lists'),
        ('names: |\n  a\n  b\n', "'a.nb.n' is no list and no numbered lines"),
    ],
)
def test_names_that_yolo_does_not_number_are_refused(tmp_path, text, fault):
    tools.yolo(tmp_path / 'source')
    (tmp_path / 'source' / 'data.yaml').write_text(text)
    with pytest.raises(DataError, match=r'data\.yaml .*' + fault):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))


def test_values_that_would_be_read_for_years_are_refused_at_once():
    with pytest.raises(ValueError, match='which is no number'):
        number_of('1' * 10**6 + 'x')
    assert not data_yaml.names_classes('data.yaml', '\n' * 10**6)
    lists = 'a0: &a0 [x]\n' + ''.join('a{0}: &a{0} [*a{1}, *a{1}]\n'.format(i, i - 1) for i in range(1, 50))
    assert data_yaml.names_in('data.yaml', lists + 'nc: *a49\nnames: [a]\n') == ['a']
    with pytest.raises(DataError, match=r'a key is a list or a table \(line 5[0-9]\)'):
        data_yaml.names_in('data.yaml', lists + 'names:\n  ? *a49\n  : a\n  ? *a49\n  : b\n')


def test_splits_by_share_by_lists_and_of_the_source(tmp_path):
    root = tmp_path / 'source'
    tools.labelme(root)

    def names(options, out):
        import_annotations(str(root), str(tmp_path / out), options)
        return {
            split: sorted(os.listdir(str(tmp_path / out / 'labels' / split)))
            for split in os.listdir(str(tmp_path / out / 'labels'))
        }

    first = names(Options(val_share=0.4, seed=1), '1')
    assert {split: len(found) for split, found in first.items()} == {'train': 3, 'val': 2}
    assert names(Options(val_share=0.4, seed=1), '2') == first
    assert any(names(Options(val_share=0.4, seed=seed), '1-{}'.format(seed)) != first for seed in range(2, 6))
    (tmp_path / 'train.txt').write_text('0.png\n1\n')
    (tmp_path / 'val.txt').write_text('3\nnone\n')
    lists = {'train': str(tmp_path / 'train.txt'), 'val': str(tmp_path / 'val.txt')}
    imported = import_annotations(str(root), str(tmp_path / '3'), Options(lists=lists))
    assert imported.splits == {'train': 2, 'val': 1}
    assert imported.left_out == {
        'images that are in no list': ['2.png', '4.png'],
        'names in lists without an image': ['{}, line 2: none'.format(lists['val'])],
    }
    with pytest.raises(ValueError, match='--seed is 1; .* nothing is: the lists of names decide. Leave it out'):
        import_annotations(str(root), str(tmp_path / '4'), Options(lists=lists, seed=1))
    with pytest.raises(ValueError, match='--seed is 1; .* nothing is: --val-share is 0. Leave it out'):
        import_annotations(str(root), str(tmp_path / '4'), Options(val_share=0, seed=1))
    (tmp_path / 'val.txt').write_text('1\n')
    with pytest.raises(ValueError, match='1 is in the lists of two splits. Take it out of one'):
        import_annotations(str(root), str(tmp_path / '4'), Options(lists=lists))
    for split in ('train', 'valid'):
        (root / split).mkdir()
    for number in range(NUM_IMAGES):
        for suffix in ('.png', '.json'):
            folder = 'valid' if number in (1, 2) else 'train'
            os.rename(str(root / (str(number) + suffix)), str(root / folder / (str(number) + suffix)))
    assert names(Options(), '5') == {'train': ['0.png', '3.png', '4.png'], 'val': ['1.png', '2.png']}
    with pytest.raises(ValueError, match='--seed is 1; .* the source has splits of its own, unless there is a --val-'):
        names(Options(seed=1), '6')


def test_choices_that_contradict_each_other_are_refused_before_annotations_are_read(tmp_path):
    for options, message in (
        (Options(classes=['a', 'a']), '--classes is a a; each name has to be there once'),
        (Options(classes=['a', 'b'], void=['b']), '--classes and --void both name b'),
        (Options(classes=['a', 'void']), '--classes names void, and the pixels of what is called so never count'),
        (Options(val_share=0, seed=1), '--seed is 1; .* nothing is: --val-share is 0'),
        (Options(lists={'val': str(tmp_path)}, seed=1), '--seed is 1; .* nothing is: the lists of names decide'),
    ):
        with pytest.raises(ValueError, match=message):
            import_annotations(str(tmp_path / 'nothing'), str(tmp_path / 'out'), options)


@pytest.mark.parametrize(
    'options, message',
    [
        (Options(kind='paint'), "--format is 'paint'; choose from coco, labelme, cityscapes"),
        (Options(order='size'), "--order is 'size'; choose from file, area"),
        (Options(rest='sky'), "--rest is 'sky'; choose from background, void"),
        (Options(val_share='0.5'), '--val-share is 0.5; it has to be at least 0'),
        (Options(seed=-1), '--seed is -1; it has to be a whole number of at least 0'),
        (Options(copy_images='no'), "copy_images is 'no'; it has to be True or False"),
        (Options(val_share=1.0), '--val-share is 1.0; it has to be at least 0 and below 1'),
        (Options(lists={'val': '/none.txt'}), '/none.txt does not exist. Give a text file of image names'),
        (Options(classes=['c']), '--classes names c, but the annotations have a, b. Take names of these'),
        (Options(classes=['a', 'b'], void=['b']), '--classes and --void both name b. Leave it out of one of them'),
        (Options(void=['c']), '--void names c, but the annotations have a, b'),
        (Options(classes=['a'], rest='void'), 'The annotations have the classes a; it takes from 2 to 255'),
        (Options(kind='cvat'), 'holds no annotations of cvat. Known are'),
        (Options(image_dir='/none'), '/none does not exist'),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_written(tmp_path, options, message):
    tools.labelme(tmp_path / 'source')
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), options)
    assert sorted(os.listdir(str(tmp_path))) == ['source']


BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><annotations><image>&b;</image>'
    '</annotations>'
)


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('a.json', b'[' * 100000, 'a.json is nested too deeply for annotations'),
        ('a.json', b'{"shapes": [', 'a.json is no JSON'),
        ('a.json', b'\xff\xfe\x00', 'a.json is no text in UTF-8'),
        ('a.xml', BILLION_LAUGHS.encode(), 'a.xml has a document type'),
        (
            'a.xml',
            BILLION_LAUGHS.replace('1.0"', '1.0" encoding="utf-16"').encode('utf-16'),
            'a.xml has a document type',
        ),
        ('a.xml', b'<a>' * 1000, 'a.xml is nested too deeply'),
        ('a.xml', b'<annotations><image>', 'a.xml is no XML'),
        ('a.xml', b'<?xml version="1.0" encoding="gb2312"?><a/>', 'a.xml is in an encoding that is not read'),
        ('a.xml', b'<?xml version="1.0" encoding="klingon"?><a/>', 'a.xml is in an encoding that is not read'),
        ('a.txt', b'nothing', ''),
    ],
)
def test_hostile_and_damaged_files_are_refused_in_a_sentence(tmp_path, capsys, name, content, message):
    (tmp_path / 'source').mkdir()
    (tmp_path / 'source' / name).write_bytes(content)
    assert cli.main(['import', str(tmp_path / 'source'), str(tmp_path / 'out')]) == 2
    printed = capsys.readouterr().err
    assert 'holds no annotations' in printed and message in printed and 'Traceback' not in printed
    assert not (tmp_path / 'out').exists()


SAMPLE = {'filepath': 'data/a.png', 'tags': [], 'ground_truth': {'_cls': 'Detections', 'detections': []}}
COCO = 'export its annotations as COCO: '


@pytest.mark.parametrize(
    'content, program, instead',
    [
        ([{'id': 1, 'annotations': [], 'data': {'image': 'a.png'}}], 'Label Studio', COCO),
        ([{'id': 1, 'annotator': 1, 'image': 'a.png', 'lead_time': 2.5}], 'Label Studio', COCO),
        ({'version': '2.0', 'item': {'name': 'a.png'}, 'annotations': []}, 'V7 Darwin', COCO),
        ({'metadata': {'name': 'a.png'}, 'instances': []}, 'SuperAnnotate', COCO),
        ({'info': {}, 'categories': {}, 'items': []}, 'Datumaro', COCO),
        ({'export_format_version': '1.1', 'label_classes': [], 'images': []}, 'Hasty', COCO),
        ([{'label_hash': 'x', 'data_title': 'a.png', 'data_units': {}}], 'Encord', COCO),
        ({'name': 'v1', 'dataset': {'task_type': 'segmentation-bitmap', 'samples': []}}, 'Segments.ai', COCO),
        ({'name': 'd', 'media_type': 'image', 'sample_fields': []}, 'FiftyOne', COCO),
        ({'samples': [SAMPLE]}, 'FiftyOne', COCO),
        ({'info': {}, 'objects': [{'category': 'a', 'group': 1, 'segmentation': [], 'layer': 1.0}]}, 'ISAT', COCO),
        ([{'token': 'x', 'sample_data_token': 'y', 'category_token': 'z', 'mask': None}], 'nuImages', COCO),
        (
            {'project': {}, 'config': {}, 'attribute': {}, 'file': {}, 'metadata': {}, 'view': {}},
            'VIA 3',
            'only images',
        ),
        ([{'name': 'a', 'labelIdx': 1, 'color': [1, 2, 3], 'points': [[0, 0]]}], 'EISeg', COCO),
        ([{'task_id': 'x', 'status': 'completed', 'response': {}}], 'Scale', 'make COCO of its polygons: import_from_'),
        (
            [{'ID': 'x', 'DataRow ID': 'y', 'Labeled Data': 'https://a/b', 'Label': {}}],
            'Labelbox',
            'make COCO of its polygons, or download its masks',
        ),
    ],
)
def test_a_program_whose_files_are_not_read_is_named_with_what_it_can_export(tmp_path, content, program, instead):
    (tmp_path / 'source').mkdir()
    (tmp_path / 'source' / 'export.json').write_text(json.dumps(content))
    message = 'holds no annotations.* export.json is of {}; {}'.format(program, instead)
    with pytest.raises(DataError, match=message.replace(' export.json', '.*export.json')):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))


@pytest.mark.parametrize(
    'name, text, message',
    [
        (
            'export.ndjson',
            '{"data_row": {"id": "x"}, "projects": {}}\n{}\n',
            'of Labelbox; make COCO of its polygons, or download its masks',
        ),
        ('via.csv', 'filename,file_size,region_shape_attributes,region_attributes\n', 'of VIA; export JSON'),
    ],
)
def test_a_program_is_told_by_lines_of_json_and_by_tables(tmp_path, name, text, message):
    (tmp_path / 'source').mkdir()
    (tmp_path / 'source' / name).write_text(text)
    for source in (tmp_path / 'source', tmp_path / 'source' / name):
        with pytest.raises(DataError, match='holds no annotations.*' + name + ' is ' + message):
            import_annotations(str(source), str(tmp_path / 'out'))


def regions_of_via(tmp_path, regions, change=lambda content: content):
    tools.via(tmp_path / 'source')
    content = change(tools.via_content(regions))
    tools.write_json(tmp_path / 'source' / 'via_export_json.json', content)
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    return imported, labels_of(tmp_path / 'out')


def with_numbered_regions(content):
    """As version 1 and MakeSense write them."""
    return {key: dict(one, regions=dict(zip('01', one['regions']))) for key, one in content.items()}


@pytest.mark.parametrize(
    'change', [with_numbered_regions, lambda content: {'_via_settings': {'ui': {}}, '_via_img_metadata': content}]
)
def test_versions_and_projects_of_via(tmp_path, change):
    boxes = {'regions': {'a': False, 'b': True}}
    regions = [(tools.via_polygon(tools.A), {'regions': 'a'}), (tools.via_polygon(tools.B), boxes)]
    imported, labels = regions_of_via(tmp_path, regions, change)
    assert imported.kind == 'via' and imported.label_space.class_names == ('background', 'a', 'b')
    for label in labels.values():
        np.testing.assert_array_equal(label, EXPECTED)


def test_regions_of_via_without_attributes_are_objects(tmp_path):
    rectangle = {'name': 'rect', 'x': 5, 'y': 4, 'width': 10, 'height': 8}
    imported, labels = regions_of_via(tmp_path, [(rectangle, {}), ({'name': 'point', 'cx': 1, 'cy': 1}, {})])
    assert imported.label_space.class_names == ('background', 'object') and len(labels) == NUM_IMAGES
    expected = np.zeros(SIZE, np.uint8)
    expected[4:12, 5:15] = 1
    for label in labels.values():
        np.testing.assert_array_equal(label, expected)
    assert {reason: len(places) for reason, places in imported.left_out.items()} == {
        'regions that are no area (point)': NUM_IMAGES
    }


@pytest.mark.parametrize(
    'shape', [{'name': 'ellipse', 'cx': 15, 'cy': 10, 'rx': 9, 'ry': 4, 'theta': 0.5}, {'name': 'circle', 'r': 7.3}]
)
def test_round_regions_of_via(tmp_path, shape):
    shape = dict({'cx': 15, 'cy': 10}, **shape)
    _, labels = regions_of_via(tmp_path, [(shape, {'kind': 'a'})])
    across, along, turn = shape.get('rx', 7.3), shape.get('ry', 7.3), shape.get('theta', 0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    u = (x - 15) * math.cos(turn) + (y - 10) * math.sin(turn)
    v = (y - 10) * math.cos(turn) - (x - 15) * math.sin(turn)
    for label in labels.values():
        np.testing.assert_array_equal(label, (u / across) ** 2 + (v / along) ** 2 <= 1)


def test_regions_of_via_that_say_no_single_class(tmp_path):
    polygon = tools.via_polygon(tools.A)
    regions = [(polygon, {'kind': 'a'}), (polygon, {'kind': ''}), (polygon, {'kind': {'a': True, 'b': True}})]
    imported, _ = regions_of_via(tmp_path, regions)
    assert set(imported.left_out) == {
        'regions that are no area (of no class)',
        'regions that are no area (of several classes)',
    }


def test_numbers_are_classes_of_via(tmp_path):
    """They were passed over, so that all regions became one class."""
    regions = [(tools.via_polygon(tools.A), {'kind': 0}), (tools.via_polygon(tools.B), {'kind': 1.5})]
    imported, labels = regions_of_via(tmp_path, regions)
    assert imported.label_space.class_names == ('background', '0', '1.5')
    np.testing.assert_array_equal(next(iter(labels.values())), EXPECTED)


@pytest.mark.parametrize('kind', ['a', 0])
def test_several_attributes_of_via_are_asked_about(tmp_path, kind):
    regions = [(tools.via_polygon(tools.A), {'kind': kind, 'colour': 'red', 'quality': '', 'is_sure': True})]
    with pytest.raises(DataError, match="via_export_json.json: its regions have several attributes, 'colour', 'kind'"):
        regions_of_via(tmp_path, regions)


def test_hostile_values_leave_out_their_image_or_shape(tmp_path):
    bomb = base64.b64encode(zlib.compress(b'\0' * 2**28)).decode()
    tools.supervisely(tmp_path / 'source')
    path = tmp_path / 'source' / 'ds' / 'ann' / '0.png.json'
    content = json.loads(path.read_text())
    content['objects'][1]['bitmap']['data'] = bomb
    path.write_text(json.dumps(content))
    other = tmp_path / 'source' / 'ds' / 'ann' / '1.png.json'
    content['size'] = {'height': 10**9, 'width': 10**9}
    other.write_text(json.dumps(content))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(val_share=0))
    assert {reason: len(places) for reason, places in imported.left_out.items()} == {
        'images that cannot be used: its image has 20 x 30 pixels, not those that the annotations say': 1,
        'shapes that cannot be drawn (a mask of more than 134 MB)': 1,
    }


def test_annotations_of_several_tools_are_asked_about(tmp_path):
    tools.labelme(tmp_path / 'source' / 'one')
    tools.cvat(tmp_path / 'source' / 'two')
    with pytest.raises(DataError, match=r'annotations of several tools: labelme \(.*\), cvat \(.*--format'):
        import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'), Options(kind='cvat'))
    assert imported.splits == {'train': 4, 'val': 1}


def test_who_ends_the_check_behind_an_import_hears_that_the_dataset_is_whole(tmp_path, monkeypatch, capsys):
    def end(*_):
        raise Interrupted('stopped by SIGTERM', 'SIGTERM')

    tools.coco(tmp_path / 'source')
    out = str(tmp_path / 'out')
    monkeypatch.setattr('data_generator.checking.check.check_dataset', end)
    assert cli.main(['import', str(tmp_path / 'source'), out]) == 143
    error = capsys.readouterr().err
    assert 'The dataset is in {0}, whole. To check it: '.format(out) in error and ' check {}\n'.format(out) in error
    assert error.endswith('fcn8s: stopped by SIGTERM\n') and os.path.isfile(os.path.join(out, 'import.json'))


def test_the_command_prints_what_to_go_on_with(tmp_path, capsys):
    tools.coco(tmp_path / 'source')
    out = str(tmp_path / 'my data')
    assert cli.main(['import', str(tmp_path / 'source'), out, '--val-share', '0.4', '--rest', 'background']) == 0
    printed = capsys.readouterr().out
    assert 'images        3 train, 2 val\nsplits        at random (--val-share 0.4)\n' in printed
    assert 'the smaller lies over the other (--order area)' in printed
    assert "train --images '{}/images/train' --labels '{}/labels/train'".format(out, out) in printed
    assert cli.main(['import', str(tmp_path / 'source'), out]) == 2
    assert 'exists already and is not an empty directory' in capsys.readouterr().err


ODD_VALUES = [
    None,
    True,
    -1,
    1e308,
    math.nan,
    10**30,
    '',
    'x',
    '\x00',
    [],
    {},
    [[]],
    [None],
    '../../etc/passwd',
    'é' * 300,
]


def damaged(data, rng):
    """A document with one to four values of JSON, or bytes of other texts, that are something else."""
    if data[:1] != b'{':
        data = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            data[place : place + rng.randint(0, 9)] = rng.choice(
                [b'', b'-', b'9' * 20, b'nan', b',', b'<x>', b'"', b'\xff']
            )
        return bytes(data)
    content = json.loads(data)
    for _ in range(rng.randint(1, 4)):
        holder, key = [content], 0
        while isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.8:
            holder = holder[key]
            key = rng.choice(sorted(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        holder[key] = rng.choice(ODD_VALUES)
    return json.dumps(content).encode()


@pytest.mark.parametrize('kind', sorted(set(TOOLS) - {'masks'}))  # which has no document
def test_damaged_documents_end_in_a_sentence(tmp_path, kind):
    TOOLS[kind](tmp_path / 'source')
    documents = sorted(
        path for path in (tmp_path / 'source').rglob('*') if path.suffix in ('.json', '.xml', '.txt', '.yaml', '.csv')
    )
    for seed in range(12):
        rng = random.Random(seed)
        path = rng.choice(documents)
        sound = path.read_bytes()
        path.write_bytes(damaged(sound, rng))
        try:
            import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out{}'.format(seed)))
        except (ValueError, OSError) as error:
            named = (str(tmp_path / 'source'), 'class_names has ')
            assert any(part in str(error) for part in named), error
        path.write_bytes(sound)


def kaggle(root, table, name='train.csv'):
    for number in range(3):
        tools.write_image(root / 'images' / 'x{}.jpg'.format(number), seed=number)
    (root / name).write_text(table)
    return import_annotations(
        str(root), str(root.parent / ('out' if root.name == 'source' else root.name + ' out')), Options(val_share=0)
    )


@pytest.mark.parametrize('along_rows', [False, True])
@pytest.mark.parametrize(
    'heads, image, names',
    [
        ('ImageId,EncodedPixels', 'x{}', ('foreground',)),
        ('img,rle_mask', 'x{}.jpg', ('foreground',)),
        ('Image_Label,EncodedPixels', 'x{}.jpg_Fish', ('Fish',)),
        ('ImageId_ClassId,EncodedPixels', 'x{}.jpg_3', ('3',)),
        ('id,annotation,width,height,cell_type', 'x{}', ('astro',)),
    ],
)
def test_tables_of_kaggle(tmp_path, heads, image, along_rows, names):
    """Runs of several lines belong together; without runs there is no object; which way they go is told by the masks."""
    halves = [tools.runs_of((EXPECTED == 1) & part, along_rows) for part in (np.arange(30) < 9, np.arange(30) >= 9)]
    more = ',30,20,astro' if 'cell_type' in heads else ''
    lines = [heads] + [image.format(number) + ',' + runs + more for number in (0, 1) for runs in halves]
    lines.append(image.format(2) + ',' + more)
    (tmp_path / 'source').mkdir()
    (tmp_path / 'source' / 'sample_submission.csv').write_text(heads + '\nx0,1 1\n')
    imported = kaggle(tmp_path / 'source', '\n'.join(lines))
    assert imported.kind == 'kaggle' and imported.label_space.class_names == ('background', *names)
    assert imported.left_out == {}
    for name, label in labels_of(tmp_path / 'out').items():
        np.testing.assert_array_equal(label, 0 if 'x2' in name else EXPECTED == 1, name)


@pytest.mark.parametrize('separator', [';', '\t'])
def test_tables_of_kaggle_that_a_spreadsheet_wrote(tmp_path, separator):
    (tmp_path / 'source').mkdir()
    table = 'ImageId,ClassId,EncodedPixels\nx0,2,1 5\nx1,2,9 3\nx2,1,1 1\n'.replace(',', separator)
    imported = kaggle(tmp_path / 'source', table)
    assert imported.kind == 'kaggle' and imported.label_space.class_names == ('background', '1', '2')
    assert [int((label == 2).sum()) for _, label in sorted(labels_of(tmp_path / 'out').items())] == [5, 3, 0]


def test_a_row_of_kaggle_without_runs_and_without_a_class_makes_no_class(tmp_path):
    """It made the class foreground, which moved the numbers of the others."""
    (tmp_path / 'source').mkdir()
    imported = kaggle(tmp_path / 'source', 'ImageId,ClassId,EncodedPixels\nx0,left,1 5\nx1,,\nx2,Empty,\n')
    assert imported.label_space.class_names == ('background', 'Empty', 'left')
    assert imported.splits == {'train': 3} and not imported.left_out


def test_classes_of_several_tables_of_kaggle_are_numbered_as_they_are(tmp_path):
    """A table for each class; what is no list of runs, or of relative ones, is left out; long lines are read."""
    root = tmp_path / 'source'
    root.mkdir()
    (root / 'more.csv').write_text('ImageId,ClassId,EncodedPixels\nx0,10,300 5\nx0,2,400 5\nx1,11,\n')
    long = ' '.join('{} 1'.format(1 + 2 * number) for number in range(300)) + ' 601 0' * 30000
    table = 'ImageId,ClassId,EncodedPixels\nx0,1,1 5\nx0,1,600 2\nx0,1,3 4 5\nx0,1,0 3\nx0,1,1 -1\nx0,1,7\n'
    table += 'x1,1,{}\nx2,1,9 99999999999\nx2,1,50 5 10 5\n'.format(long)
    imported = kaggle(root, table)
    assert imported.label_space.class_names == ('background', '1', '2', '10', '11')
    labels = labels_of(tmp_path / 'out')
    assert sorted(labels) == ['train/x0.png', 'train/x1.png']
    found = labels['train/x0.png'].T.ravel()
    assert found.nonzero()[0].tolist() == [0, 1, 2, 3, 4, *range(299, 304), *range(399, 404)]
    assert found[[0, 299, 399]].tolist() == [1, 3, 2]
    assert (labels['train/x1.png'].T.ravel() == np.arange(600) % 2 ^ 1).all()
    assert sum(map(len, imported.left_out.values())) == 8, imported.left_out
    assert any('relative starts' in reason for reason in imported.left_out)
    with pytest.raises(DataError, match='has a line without an image or its runs'):
        kaggle(tmp_path / 'other', 'ImageId,EncodedPixels\nx1,1 1\nx0\n')


def test_an_example_of_answers_beside_annotations_is_passed_over(tmp_path):
    for kind in ('yolo', 'masks'):
        TOOLS[kind](tmp_path / kind)
        (tmp_path / kind / 'sample_submission.csv').write_text('ImageId,EncodedPixels\nx0,\nx1,1 1\n')
        assert import_annotations(str(tmp_path / kind), str(tmp_path / ('out ' + kind))).kind == kind


def test_a_category_that_only_holds_others_is_no_class(tmp_path):
    """Roboflow writes one with the name of the project."""
    tools.coco(tmp_path / 'source')
    path = tmp_path / 'source' / 'annotations' / 'instances.json'
    content = json.loads(path.read_text())
    for one in content['categories']:
        one['supercategory'] = 'my-project'
    content['categories'].insert(0, {'id': 0, 'name': 'my-project', 'supercategory': 'none'})
    path.write_text(json.dumps(content))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'out'))
    assert imported.label_space.class_names == ('background', 'a', 'b')
    assert list(imported.left_out) == ['categories without objects that others belong to']
    content['annotations'][0]['category_id'] = 0
    path.write_text(json.dumps(content))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'other'))
    assert imported.label_space.class_names == ('background', 'my-project', 'a', 'b')
    content['annotations'][0]['category_id'] = 7
    content['categories'][0]['name'] = 'a'  # as a class is called
    for one in content['categories'][1:]:
        one['supercategory'] = 'a'
    path.write_text(json.dumps(content))
    imported = import_annotations(str(tmp_path / 'source'), str(tmp_path / 'third'))
    assert imported.label_space.class_names == ('background', 'a', 'b') and imported.left_out == {}


def test_lists_of_voc_for_other_purposes_say_no_split(tmp_path):
    root = tmp_path / 'source'
    tools.voc(root)
    for folder, split, names in (
        ('Segmentation', 'train', '0\n1\n2\n'),
        ('Segmentation', 'val', '3\n'),
        ('Segmentation', 'trainval', '3\n'),
        ('Main', 'train', '3\n'),
        ('Main', 'val', '0\n4\n'),
    ):
        (root / 'ImageSets' / folder).mkdir(parents=True, exist_ok=True)
        (root / 'ImageSets' / folder / (split + '.txt')).write_text(names)
    imported = import_annotations(str(root), str(tmp_path / 'out'))
    trained = ['train/{}.png'.format(number) for number in (0, 1, 2)]
    assert sorted(labels_of(tmp_path / 'out')) == trained + ['val/3.png']
    # What Main says of 4 is about other tasks.
    assert list(map(len, imported.left_out.values())) == [1]
    assert imported.left_out['images that are in no split of the source'][0].endswith('4.jpg')


def test_images_of_any_format_have_their_size_and_the_report_counts_void(tmp_path):
    root = tmp_path / 'source'
    for name, extra in (
        ('x.tif', []),
        ('y.bmp', [{'label': '__ignore__', 'points': [[0, 0], [3, 0], [3, 1], [0, 1]]}]),
    ):
        tools.write_image(root / name)
        content = tools.labelme_content(name)
        tools.write_json(root / (name[0] + '.json'), dict(content, shapes=content['shapes'] + extra))
    imported = import_annotations(str(root), str(tmp_path / 'out'), Options(val_share=0, rest='background'))
    counts = [2 * np.count_nonzero(class_id == EXPECTED) for class_id in range(3)]
    assert list(imported.pixels) == [counts[0] - 8, counts[1], counts[2], 8]
    void = [line.split() for line in describe(imported).splitlines() if ' void ' in line]
    assert void == [['255', 'void', '{:.2f}'.format(100 * 8 / sum(counts)), '%']]


def test_documents_and_labels_take_no_more_memory_than_there_is(tmp_path, monkeypatch):
    asked = {}
    for module in (photographs, documents):
        monkeypatch.setattr(module, 'require_memory', lambda name, needed, what: asked.setdefault(what, needed))
    one_labelme(tmp_path, [('a', tools.A_PIXELS)])
    assert asked['a label of this size'] == SIZE[0] * SIZE[1]
    assert asked['0 MB of annotations'] > 10 * os.path.getsize(str(tmp_path / 'source' / 'x.json'))
