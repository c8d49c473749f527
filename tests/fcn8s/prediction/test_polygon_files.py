"""Predictions as polygons: what is imported again is what was predicted."""

import argparse
import json
import os

import numpy as np
import pytest

from data_generator.annotations.dataset import Options, import_annotations
from data_generator.street_scenes import make_scene
from fcn8s.cli.predict import Writers, _close, _kept_if_interrupted
from fcn8s.prediction.polygon_files import PolygonFiles, check_no_polygons
from fcn8s.prediction.result_files import ResultFiles
from helpers.images import read_labels, write_image
from helpers.label_spaces import LABEL_SPACES, LabelSpace, file_ids_to_class_ids, generic_label_space
from helpers.spool import Spool

SPACE = LABEL_SPACES['cityscapes20']
VOID = Options(rest='void')


@pytest.fixture(scope='module')
def scene():
    image, file_ids = make_scene(np.random.default_rng(5), (128, 256))
    return image, file_ids_to_class_ids(SPACE)[file_ids].astype(np.uint8)


def imported_again(tmp_path, image, class_ids, kind, tolerance, space=SPACE, options=VOID):
    """The label map that comes back, with the IDs of `space`."""
    source, out = tmp_path / 'photos' / 'x.png', tmp_path / 'polygons'
    write_image(str(source), image)
    files = PolygonFiles(str(out), space, kind, tolerance)
    files.write('x', str(source), class_ids)
    files.close()
    options = options._replace(image_dir=str(tmp_path / 'photos'), val_share=0)
    import_annotations(str(out), str(tmp_path / 'dataset'), options)
    found = read_labels(str(tmp_path / 'dataset' / 'labels' / 'train' / 'x.png'))
    names = LabelSpace.from_dict(json.loads((tmp_path / 'dataset' / 'classes.json').read_text())).class_names
    table = np.full(256, 255, np.uint8)
    table[: len(names)] = [space.class_names.index(name) for name in names]
    if 'void' in space.class_names:  # a class of that name does not count in what is imported
        table[255] = space.class_names.index('void')
    return table[found]


@pytest.mark.parametrize('kind, tolerance', [('labelme', 0.0), ('coco', 0.0), ('coco', 0.5)])
def test_generated_scenes_keep_their_classes(tmp_path, scene, kind, tolerance):
    image, class_ids = scene
    found = imported_again(tmp_path, image, class_ids, kind, tolerance)
    if not tolerance:
        np.testing.assert_array_equal(found, class_ids)
    for class_id in np.unique(class_ids):
        both, any_of = (found == class_id) & (class_ids == class_id), (found == class_id) | (class_ids == class_id)
        assert both.sum() / any_of.sum() >= 0.99


def test_a_tolerance_removes_as_many_points_as_the_page_says(tmp_path, scene):
    points = {}
    for tolerance in (0.0, 0.5, 1.0):
        folder = tmp_path / str(tolerance)
        files = PolygonFiles(str(folder), SPACE, 'coco', tolerance)
        files.write('x', 'x.png', scene[1])
        files.close()
        objects = json.loads((folder / 'annotations.json').read_text())['annotations']
        outlines = [one['segmentation'] for one in objects if isinstance(one['segmentation'], list)]
        points[tolerance] = sum(len(ring) // 2 for outline in outlines for ring in outline)
    assert 0.8 < points[0.5] / points[0.0] < 0.9 and points[1.0] / points[0.0] < 0.5


@pytest.mark.parametrize('kind', ['labelme', 'coco'])
def test_what_is_imported_again_has_the_ids_of_the_network(tmp_path, kind):
    """labelme's files name only the classes that occur, which were numbered by the alphabet."""
    space = LABEL_SPACES['cityscapes']
    class_ids = make_scene(np.random.default_rng(5), (128, 256))[1]
    class_ids = file_ids_to_class_ids(space)[class_ids].astype(np.uint8)
    assert len(np.unique(class_ids)) < 19
    names = {'labelme': space.class_names, 'coco': None}[kind]
    options = Options(rest='void', classes=names)
    image = np.zeros(class_ids.shape + (3,), np.uint8)
    imported_again(tmp_path, image, class_ids, kind, 0.0, space, options)
    found = read_labels(str(tmp_path / 'dataset' / 'labels' / 'train' / 'x.png'))
    np.testing.assert_array_equal(found, class_ids)


@pytest.mark.parametrize('kind', ['labelme', 'coco'])
def test_background_is_what_nobody_drew_but_in_holes(tmp_path, kind):
    class_ids = np.zeros((12, 16), np.uint8)
    class_ids[2:10, 2:12] = 1
    class_ids[4:8, 4:10] = 0
    class_ids[5:7, 6:8] = 2
    class_ids[11, 13:] = 255 if kind == 'labelme' else 0
    space = generic_label_space(3, class_names=['background', 'ring', 'core'])
    options = Options(rest='background')
    image = np.zeros((12, 16, 3), np.uint8)
    np.testing.assert_array_equal(imported_again(tmp_path, image, class_ids, kind, 0.0, space, options), class_ids)
    if kind == 'labelme':
        content = json.loads((tmp_path / 'polygons' / 'x.json').read_text())
        assert [shape['label'] for shape in content['shapes']] == ['ring', 'background', 'core', '__ignore__']
        assert content['imagePath'] == '../photos/x.png' and content['imageHeight'] == 12
    else:
        content = json.loads((tmp_path / 'polygons' / 'annotations.json').read_text())
        assert {one['category_id'] for one in content['annotations']} == {2, 3}


def test_coco_is_what_pycocotools_takes_it_for(tmp_path, scene):
    coco = pytest.importorskip('pycocotools.coco')
    mask_tools = pytest.importorskip('pycocotools.mask')
    files = PolygonFiles(str(tmp_path), SPACE, 'coco')
    files.write('town/x', 'town/x.jpg', scene[1])
    files.close()
    dataset = coco.COCO(str(tmp_path / 'annotations.json'))
    assert dataset.imgs[1]['file_name'] == 'town/x.jpg'
    for one in dataset.loadAnns(dataset.getAnnIds()):
        mask = dataset.annToMask(one).astype(bool)
        assert mask.sum() == one['area'] and (scene[1][mask] == one['category_id'] - 1).all()
        assert one['bbox'] == mask_tools.toBbox(dataset.annToRLE(one)).tolist()


@pytest.mark.parametrize('in_memory', [1 << 26, 1])
def test_annotations_of_many_images_need_no_memory(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(Spool, 'IN_MEMORY', in_memory)
    files = PolygonFiles(str(tmp_path), SPACE, 'coco')
    assert files.write_part() is None and not list(tmp_path.iterdir())
    for number in range(3):
        files.write(str(number), '{}.jpg'.format(number), np.full((4, 6), number, np.uint8))
    other = PolygonFiles(str(tmp_path), SPACE, 'coco')
    other.take_over(files.described())
    files._annotations.append(b'of an image that was interrupted')
    for of_three in (files, other):
        of_three.close()
        content = json.loads((tmp_path / 'annotations.json').read_text())
        os.unlink(str(tmp_path / 'annotations.json'))
        assert [image['file_name'] for image in content['images']] == ['0.jpg', '1.jpg', '2.jpg']
        assert [one['category_id'] for one in content['annotations']] == [1, 2, 3]
        assert [one['image_id'] for one in content['annotations']] == [image['id'] for image in content['images']]
        assert len(content['categories']) == SPACE.num_classes
    assert (files._annotations._file.name is not None) == (in_memory == 1)


@pytest.mark.parametrize('kind, name', [('labelme', 'x.json'), ('geojson', 'x.geojson'), ('coco', 'annotations.json')])
def test_polygons_that_somebody_makes_meanwhile_stay(tmp_path, kind, name):
    def predict(class_id):
        files = PolygonFiles(str(tmp_path), SPACE, kind)
        check_no_polygons(str(tmp_path), ['x'], kind)
        files.write('x', 'x.png', np.full((4, 6), class_id, np.uint8))
        files.close()
        return (tmp_path / name).read_text()

    untouched = predict(3)
    if kind != 'coco':
        assert predict(4) != untouched
        assert predict(3) == untouched
    (tmp_path / name).write_text(untouched.replace('6', '5'))
    with pytest.raises(
        ValueError, match=name + ' is there already, and may hold polygons that were drawn or corrected'
    ):
        predict(3)
    files = PolygonFiles(str(tmp_path), SPACE, kind)  # the file came after the test
    with pytest.warns(UserWarning, match=name + ' was .* while images were predicted, and stays'):
        files.write('x', 'x.png', np.full((4, 6), 3, np.uint8))
        files.close()
    assert (tmp_path / name).read_text() == untouched.replace('6', '5')
    others = [path.read_text() for path in tmp_path.iterdir() if path.name != name]
    assert others == ([untouched] if kind == 'coco' else [])


def test_what_was_predicted_before_an_interruption_replaces_nothing(tmp_path, capsys):
    for name in ('annotations.json', 'doubt.csv', 'doubt.csv.partial'):
        (tmp_path / name).write_text('of before')
    polygons = PolygonFiles(str(tmp_path), SPACE, 'coco')
    results = ResultFiles(str(tmp_path), SPACE, ['doubt'])
    with pytest.raises(KeyboardInterrupt), _kept_if_interrupted(Writers(results, polygons, None, None)):
        polygons.write('x', 'x.jpg', np.zeros((4, 6), np.uint8))
        results.take_over_doubts([('x', 0.5, 0.25)])
        raise KeyboardInterrupt
    parts = [tmp_path / name for name in ('annotations.json.partial', 'doubt.csv-2.partial')]
    assert len(json.loads(parts[0].read_text())['images']) == 1
    assert parts[1].read_text().splitlines()[1:] == ['x,0.5,0.25']
    printed = capsys.readouterr().err
    assert all('{} holds the images that were predicted until then.'.format(part) in printed for part in parts)
    assert [path.read_text() for path in sorted(tmp_path.iterdir()) if path not in parts] == ['of before'] * 3


@pytest.mark.parametrize('fails', ['annotations.json', 'the zip'])
def test_an_interruption_while_results_for_all_images_are_written_loses_none(tmp_path, monkeypatch, fails):
    class Submission:
        def finish(self):
            raise KeyboardInterrupt

    def interrupted(self, path):
        if path.endswith('.tmp.json'):
            raise KeyboardInterrupt
        write(self, path)

    write = PolygonFiles._write_coco
    if fails == 'annotations.json':
        monkeypatch.setattr(PolygonFiles, '_write_coco', interrupted)
    polygons, results = PolygonFiles(str(tmp_path), SPACE, 'coco'), ResultFiles(str(tmp_path), SPACE, ['doubt'])
    polygons.write('x', 'x.jpg', np.zeros((4, 6), np.uint8))
    results.take_over_doubts([('x', 0.5, 0.25)])
    writers = Writers(results, polygons, Submission(), None)
    with pytest.raises(KeyboardInterrupt), _kept_if_interrupted(writers):
        _close(argparse.Namespace(out=str(tmp_path)), [], writers)
    written = 'annotations.json.partial' if fails == 'annotations.json' else 'annotations.json'
    assert sorted(path.name for path in tmp_path.iterdir()) == [written, 'doubt.csv']
    assert len(json.loads((tmp_path / written).read_text())['images']) == 1


def test_files_for_all_images_are_written_if_there_is_none(tmp_path):
    (tmp_path / 'doubt.csv').write_text('of before')
    writers = Writers(
        ResultFiles(str(tmp_path), SPACE, ['doubt']), PolygonFiles(str(tmp_path), SPACE, 'coco'), None, None
    )
    assert _close(argparse.Namespace(out=str(tmp_path)), [(0, 'x.png is damaged')], writers) == 1
    assert (tmp_path / 'doubt.csv').read_text().splitlines() == ['image,entropy,mutual_information']
    assert json.loads((tmp_path / 'annotations.json').read_text())['images'] == []


def test_geojson_and_results_of_other_kinds(tmp_path, scene):
    polygons = PolygonFiles(str(tmp_path), SPACE, 'geojson')
    results = ResultFiles(str(tmp_path), SPACE, ['ids'], polygons=polygons)
    results.write('a/x', scene[0], {'class_ids': scene[1]}, 'x.png')
    features = json.loads((tmp_path / 'a' / 'x.geojson').read_text())['features']
    assert {feature['properties']['class'] for feature in features} == {
        SPACE.class_names[class_id] for class_id in np.unique(scene[1]) if class_id < SPACE.num_classes
    }
    assert sum(feature['properties']['pixels'] for feature in features) == (scene[1] < SPACE.num_classes).sum()
    assert (tmp_path / 'a' / 'x_ids.png').exists()


def test_unknown_formats_and_negative_tolerances_are_refused(tmp_path):
    with pytest.raises(ValueError, match="kind is 'svg'; choose from labelme, coco, geojson"):
        PolygonFiles(str(tmp_path), SPACE, 'svg')
    for tolerance in (-1, '1'):
        with pytest.raises(ValueError, match='tolerance of polygons is {}; it has to be from 0'.format(tolerance)):
            PolygonFiles(str(tmp_path), SPACE, 'coco', tolerance)
