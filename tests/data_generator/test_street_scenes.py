import argparse
import glob
import os
import sys
import time

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import name2label

from data_generator.street_scenes import drive_frames, make_scene, write_dataset
from data_generator.street_scenes.camera import NEAR, Camera, clip_near
from data_generator.street_scenes.city import random_city, random_light
from data_generator.street_scenes.dataset import SPLIT_CITIES
from data_generator.street_scenes.depth import metres, stored
from data_generator.street_scenes.painter import Painter
from data_generator.street_scenes.rendering import draw_scene
from data_generator.street_scenes.street import random_street
from data_generator.street_scenes.textures import TILE_SIZE, noise_tile, phase, sample_tile
from fcn8s.cli import sample_data

SMALL = (48, 96)
COMMON_CLASSES = ('road', 'sidewalk', 'building', 'pole', 'traffic sign', 'vegetation', 'sky', 'person', 'car')


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp('scenes') / 'data'
    write_dataset(path, num_train=7, num_val=3, num_drive_frames=2, size=SMALL, seed=5)
    return path


def scene(seed, size=SMALL):
    return make_scene(np.random.default_rng(seed), size)


def files_below(root):
    return sorted(os.path.relpath(path, str(root)) for path in glob.glob(str(root / '**' / '*.png'), recursive=True))


@pytest.mark.parametrize('size', [(128, 256), (31, 47), (64, 32), (16, 16)])
def test_a_scene_has_the_asked_size_and_types(size):
    image, label_ids = scene(0, size)
    assert image.shape == size + (3,) and image.dtype == np.uint8
    assert label_ids.shape == size and label_ids.dtype == np.uint8
    assert image.std() > 10


def test_labels_are_cityscapes_ids_of_classes_that_streets_have():
    counts = sum(np.bincount(scene(seed, (128, 256))[1].ravel(), minlength=256) for seed in range(12))
    known = {label.id for label in name2label.values()}
    assert set(np.flatnonzero(counts).tolist()) <= known
    shares = {name: counts[name2label[name].id] / counts.sum() for name in COMMON_CLASSES}
    assert min(shares.values()) > 0.002, shares
    assert shares['road'] > 0.15 and shares['building'] > 0.1 and shares['sky'] > 0.04
    void = sum(counts[label.id] for label in name2label.values() if label.ignoreInEval and label.id >= 0)
    assert 0 < void / counts.sum() < 0.15


def test_a_scene_is_ordered_like_a_street():
    for seed in range(6):
        label_ids = scene(seed, (64, 128))[1]
        rows = {name: np.nonzero(label_ids == name2label[name].id)[0].mean() for name in ('sky', 'road')}
        assert rows['sky'] < 32 < rows['road']


def test_the_frame_is_out_of_the_region_of_interest():
    label_ids = scene(3)[1]
    out_of_roi = name2label['out of roi'].id
    assert (label_ids[:, 0] == out_of_roi).all() and (label_ids[:, -1] == out_of_roi).all()
    assert (label_ids[-1] == out_of_roi).all() and (label_ids[0, 1:-1] != out_of_roi).all()


def test_the_same_seed_gives_the_same_scene_and_another_seed_another():
    first, second, other = scene(1), scene(1), scene(2)
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[1], other[1])


def test_labels_lie_on_the_pixels_they_name():
    # What separates sky from buildings in the picture must be where the labels change: the mean difference of colour
    # across label boundaries beats that two pixels beside them.
    across, beside = [], []
    for seed in range(6):
        image, label_ids = scene(seed, (96, 192))
        change = label_ids[:, 3:-3] != label_ids[:, 4:-2]
        step = np.abs(np.diff(image.astype(float), axis=1)).sum(axis=2)
        across.append(step[:, 3:-2][change].mean())
        beside.append(0.5 * (step[:, 1:-4][change].mean() + step[:, 5:][change].mean()))
    assert np.mean(across) > 1.5 * np.mean(beside)


def test_a_city_decides_the_style():
    city = random_city(np.random.default_rng(0))._replace(bonnet=(200.0, 30.0, 30.0))
    without = city._replace(bonnet=None)
    ego_vehicle = name2label['ego vehicle'].id
    assert (make_scene(np.random.default_rng(0), SMALL, city)[1] == ego_vehicle).any()
    assert not (make_scene(np.random.default_rng(0), SMALL, without)[1] == ego_vehicle).any()


@pytest.mark.parametrize('size', [(15, 64), (64, 8), (0, 0), (64,), (64.5, 64)])
def test_a_size_without_a_street_is_refused(size):
    with pytest.raises(ValueError, match=r'size is .*, each a whole number of at least 16. Try \(128, 256\)'):
        scene(0, size)


def test_a_drive_moves_smoothly():
    frames = list(drive_frames(4, (64, 128), seed=1))
    again = list(drive_frames(4, (64, 128), seed=1))
    assert all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(frames, again))
    labels = [label_ids for _, label_ids in frames]
    steps = [np.mean(a != b) for a, b in zip(labels, labels[1:])]
    unrelated = np.mean(labels[0] != list(drive_frames(1, (64, 128), seed=2))[0][1])
    assert min(steps) > 0 and max(steps) < 0.5 * unrelated


def test_a_dataset_has_the_cityscapes_layout(dataset):
    names = files_below(dataset)
    images = [name for name in names if name.startswith('leftImg8bit')]
    assert len(images) == 10 and len(names) == 2 * (10 + 2)
    assert os.path.join('leftImg8bit', 'train', 'alphaville', 'alphaville_000000_000019_leftImg8bit.png') in images
    for image in images:
        label = image.replace('_leftImg8bit.png', '_gtFine_labelIds.png').replace('leftImg8bit', 'gtFine')
        assert label in names
        assert cv2.imread(str(dataset / label), cv2.IMREAD_UNCHANGED).shape == SMALL
        assert cv2.imread(str(dataset / image), cv2.IMREAD_UNCHANGED).shape == SMALL + (3,)
    drive = [name for name in names if name.startswith('drive')]
    assert os.path.join('drive', 'leftImg8bit', 'junction_000000_000001_leftImg8bit.png') in drive
    assert os.path.join('drive', 'gtFine', 'junction_000000_000001_gtFine_labelIds.png') in drive


def test_train_and_val_are_from_different_cities_that_are_all_used(dataset):
    for split in ('train', 'val'):
        assert sorted(os.listdir(str(dataset / 'leftImg8bit' / split))) == sorted(SPLIT_CITIES[split])
    assert not set(SPLIT_CITIES['train']) & set(SPLIT_CITIES['val'])


def test_the_written_labels_are_read_back_as_they_were_drawn(dataset):
    drawn = [label_ids for _, label_ids in drive_frames(2, SMALL, seed=5)]
    for index, label_ids in enumerate(drawn):
        path = dataset / 'drive' / 'gtFine' / 'junction_000000_{:06d}_gtFine_labelIds.png'.format(index)
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), label_ids)


def test_an_existing_directory_is_not_written_into(tmp_path):
    (tmp_path / 'mine.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not an empty directory'):
        write_dataset(tmp_path, num_train=1, num_val=1, num_drive_frames=0, size=SMALL)
    assert os.listdir(str(tmp_path)) == ['mine.txt']


@pytest.mark.parametrize(
    'name, value, smallest', [('num_train', 0, 1), ('num_val', -1, 1), ('num_drive_frames', -2, 0), ('seed', -1, 0)]
)
def test_numbers_that_make_no_dataset_are_refused_before_anything_is_written(
    monkeypatch, tmp_path, name, value, smallest
):
    monkeypatch.setattr('helpers.process.memory.free_memory', lambda: 10**12)
    with pytest.raises(
        ValueError, match='{} is {}; it has to be a whole number of at least {}'.format(name, value, smallest)
    ):
        write_dataset(tmp_path / 'out', **{name: value})
    with pytest.raises(ValueError, match='size is'):
        write_dataset(tmp_path / 'out', size=(4, 4))
    with pytest.raises(ValueError, match='size is 10000000 x 10000000: drawing a scene of that size takes 4800.0 TB'):
        write_dataset(tmp_path / 'out', size=(10**7, 10**7))
    with pytest.raises(ValueError, match="with_depth is 'no'; it has to be True or False"):
        write_dataset(tmp_path / 'out', with_depth='no')
    assert not os.listdir(str(tmp_path))


def test_noise_continues_across_the_edges_of_its_tile():
    tile = noise_tile(0)
    assert tile.min() == 0 and tile.max() == 1
    inner = np.abs(np.diff(tile, axis=0)).mean()
    assert np.abs(tile[0] - tile[-1]).mean() < 2 * inner
    x = np.array([[3, 3 + TILE_SIZE, 3 - 500 * TILE_SIZE]], np.float32)
    samples = [float(sample_tile(tile, x[:, i : i + 1], np.full((1, 1), 7, np.float32))[0, 0]) for i in range(3)]
    assert samples == pytest.approx([float(tile[7, 3])] * 3)


def test_phase_is_the_remainder():
    values = np.linspace(-9, 9, 100).astype(np.float32)
    assert phase(values, 2.5) == pytest.approx(np.mod(values, 2.5), abs=1e-5)


def test_projection_follows_the_pinhole_model():
    camera = Camera(height=100, width=200, focal=150.0, horizon=40.0, eye=1.5, x=1.0, z=5.0, heading=0.0)
    point = camera.to_camera(np.array([[3.0, 0.5, 15.0]]))
    assert point[0] == pytest.approx([2.0, -1.0, 10.0])
    assert camera.project(point)[0] == pytest.approx([100 + 150 * 2 / 10, 40 + 150 * 1 / 10])


def test_the_ground_under_a_pixel_projects_back_to_it():
    camera = Camera(height=60, width=80, focal=70.0, horizon=25.5, eye=1.4, x=2.0, z=30.0, heading=0.2)
    x, z, distance = camera.ground_points(40)
    world = np.array([[x[5, 60], 0.0, z[5, 60]]])
    assert camera.project(camera.to_camera(world))[0] == pytest.approx([60.5, 45.5], abs=1e-3)
    assert camera.to_camera(world)[0, 2] == pytest.approx(float(distance[5, 0]), rel=1e-5)


@pytest.fixture
def painter():
    rng = np.random.default_rng(0)
    city, light = random_city(rng), random_light(rng)
    camera = Camera(height=40, width=60, focal=50.0, horizon=18.0, eye=1.5, x=0.0, z=0.0, heading=0.0)
    return Painter(camera, random_street(rng, city, 50.0), city, light, {}, with_depth=True)


@pytest.mark.parametrize('draw', ['face', 'texture'])
def test_the_depth_of_a_wall_is_where_rays_meet_it(painter, draw):
    """A slanted wall from 4 m to 10 m; the ray of each pixel is cut with it in the ground plan."""
    left, right = (-1.0, 4.0), (3.0, 10.0)
    wall = np.array([(left[0], 1, left[1]), (right[0], 1, right[1]), (right[0], -1, right[1]), (left[0], -1, left[1])])
    if draw == 'face':
        painter.fill_face(wall, (9, 9, 9), 11)
    else:
        painter.textured_quad(np.full((8, 8, 3), 9, np.uint8), wall[[0, 3]], wall[[1, 2]], 11)
    found = metres(painter.depth.nearness)
    assert (painter.label_ids == 11).sum() > 200
    for row, column in np.argwhere(painter.label_ids == 11)[::7]:
        slope = (column + 0.5 - 30) / 50
        along = (slope * left[1] - left[0]) / ((right[0] - left[0]) - slope * (right[1] - left[1]))
        assert found[row, column] == pytest.approx(left[1] + np.clip(along, 0, 1) * (right[1] - left[1]), rel=1e-4)
    assert np.isinf(found[painter.label_ids != 11]).all()


def test_figures_and_details_have_the_depth_of_their_place(painter):
    figure = painter.figure(0.0, 6.0, 1.0, 1.0)
    figure.box(-0.5, 0, 0.5, 1.5, (9, 9, 9), 24)
    figure.box(-0.9, 0, 0.9, 0.5, (9, 9, 9), None)  # a detail that is no object
    depth = metres(painter.depth.nearness)
    np.testing.assert_allclose(depth[painter.label_ids == 24], figure.distance, rtol=1e-6)
    assert np.isinf(depth[painter.label_ids != 24]).all()


def test_depth_belongs_to_what_labels_name_and_changes_no_pixel():
    rng = np.random.default_rng(3)
    drawn = draw_scene(rng, (64, 128), with_depth=True)
    image, label_ids = scene(3, (64, 128))
    np.testing.assert_array_equal(drawn.image, image)
    np.testing.assert_array_equal(drawn.label_ids, label_ids)
    sky = name2label['sky'].id
    inside = label_ids != name2label['out of roi'].id
    np.testing.assert_array_equal(np.isinf(drawn.depth)[inside], (label_ids == sky)[inside])
    road = np.where(label_ids == name2label['road'].id, drawn.depth, np.nan)
    rows = np.nanmax(road[np.isfinite(road).any(axis=1)], axis=1)
    assert (np.diff(rows) < 0).all() and 1 < rows[-1] < 10 < rows[0] <= 160


def test_depth_in_files_is_in_256ths_of_a_metre():
    depth = np.array([[0.5, 1e-9, 10.0, 1000.0, np.inf]], np.float32)
    assert stored(depth).tolist() == [[128, 1, 2560, 255 * 256, 0]] and stored(depth).dtype == np.uint16


def test_clipping_keeps_what_is_before_the_near_plane():
    square = np.array([[0.0, 0.0, NEAR - 1], [1.0, 0.0, NEAR - 1], [1.0, 0.0, NEAR + 1], [0.0, 0.0, NEAR + 1]])
    clipped = clip_near(square)
    assert clipped[:, 2].min() == pytest.approx(NEAR) and clipped[:, 2].max() == NEAR + 1
    assert len(clipped) == 4
    assert len(clip_near(square - (0, 0, 2))) == 0
    assert clip_near(square + (0, 0, 2)) is not None and len(clip_near(square + (0, 0, 2))) == 4


def test_a_polygon_covers_the_pixels_whose_centres_it_holds():
    rng = np.random.default_rng(0)
    city = random_city(rng)
    camera = Camera(height=20, width=30, focal=30.0, horizon=10.0, eye=1.5, x=0.0, z=0.0, heading=0.0)
    painter = Painter(camera, random_street(rng, city, 50.0), city, random_light(rng), {})
    painter.fill(np.array([(5.0, 5.0), (15.0, 5.0), (15.0, 12.0), (5.0, 12.0)]), (10, 20, 30), 26)
    inside = np.zeros((20, 30), bool)
    inside[5:12, 5:15] = True
    covered = painter.label_ids == 26
    assert covered[inside].all()
    assert not covered[~cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)].any()
    assert (painter.image[covered] == (10, 20, 30)).all() and not painter.image[~covered].any()


def test_the_command_writes_a_dataset(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    sample_data.add_parser(parser.add_subparsers())
    counts = ['--train', '2', '--val', '1', '--drive', '1']
    args = parser.parse_args(['sample-data', str(tmp_path / 'out'), '--size', '32', '64', '--depth'] + counts)
    assert args.run(args) == 0
    assert len(files_below(tmp_path / 'out')) == 12
    printed = capsys.readouterr().out
    assert '2 scenes to train on and 1 to validate on, 32 x 64 pixels' in printed and 'drive' in printed


def test_processes_draw_the_same_dataset(tmp_path, monkeypatch):
    from data_generator.street_scenes import dataset

    write_dataset(str(tmp_path / 'alone'), 3, 2, 3, (32, 64), seed=4, with_depth=True)
    monkeypatch.setattr(dataset, 'SCENES_WORTH_A_PROCESS', 1)
    monkeypatch.setattr(dataset, 'num_cores', lambda: 3)
    write_dataset(str(tmp_path / 'shared'), 3, 2, 3, (32, 64), seed=4, with_depth=True)
    files = [
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob('*.png'))
        for name in ('alone', 'shared')
    ]
    assert files[0] == files[1] and len(files[0]) == 24
    for name in files[0]:
        assert (tmp_path / 'alone' / name).read_bytes() == (tmp_path / 'shared' / name).read_bytes(), name


def test_a_process_that_fails_is_reported_and_nothing_stays(tmp_path, monkeypatch):
    from data_generator.street_scenes import dataset

    monkeypatch.setattr(dataset, 'SCENES_WORTH_A_PROCESS', 1)
    monkeypatch.setattr(dataset, 'num_cores', lambda: 2)
    monkeypatch.setattr('data_generator.street_scenes.shards.sys.executable', '/bin/false')
    with pytest.raises(OSError, match='a process that draws scenes ended with status 1'):
        write_dataset(str(tmp_path / 'out'), 3, 1, 0, (32, 64))
    assert not (tmp_path / 'out').exists()


def test_the_others_are_ended_as_soon_as_any_process_fails(tmp_path, monkeypatch):
    from data_generator.street_scenes import shards

    (tmp_path / 'second_fails.py').write_text(
        'import sys, time\ndef main():\n    sys.exit("no more memory") if sys.argv[1] == "1" else time.sleep(60)\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    start = time.monotonic()
    with pytest.raises(OSError, match='ended with status 1: no more memory'):
        shards.run_shards('second_fails', [], 2, lambda: None)
    assert time.monotonic() - start < 30


def test_a_process_that_says_more_than_a_pipe_holds_is_not_halted(tmp_path, monkeypatch):
    from data_generator.street_scenes import shards

    (tmp_path / 'talks.py').write_text(
        'import sys\ndef main():\n    sys.stderr.write("warning\\n" * 50000)\n    print("scene", flush=True)\n'
        '    sys.exit("at last")\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    scenes = []
    with pytest.raises(OSError, match='ended with status 1: at last'):
        shards.run_shards('talks', [], 1, lambda: scenes.append(1))
    assert scenes == [1]


@pytest.mark.skipif(os.name == 'nt', reason='names hold no colons there')
def test_a_process_imports_from_a_folder_with_a_colon(tmp_path, monkeypatch):
    from data_generator.street_scenes import shards

    (tmp_path / 'a:b').mkdir()
    (tmp_path / 'a:b' / 'behind_a_colon.py').write_text('def main():\n    print("scene")\n')
    monkeypatch.syspath_prepend(str(tmp_path / 'a:b'))
    scenes = []
    shards.run_shards('behind_a_colon', [], 1, lambda: scenes.append(1))
    assert scenes == [1]


def test_a_process_that_is_gone_before_it_is_ended():
    from data_generator.street_scenes import shards

    class Gone:
        def terminate(self):
            raise ProcessLookupError(3, 'No such process')  # what Python 3.7 lets through

        def wait(self):
            ended.append(self)

    ended = []
    shards._end([Gone(), Gone()])
    assert len(ended) == 2


def test_a_process_imports_from_where_its_parent_does(tmp_path, monkeypatch):
    """An installed package lies beside others, such as the `typing` of old that some still install."""
    from data_generator.street_scenes import dataset

    (tmp_path / 'typing.py').write_text('raise ImportError("not the one of the standard library")')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr('sys.path', sys.path[1:] + sys.path[:1])
    monkeypatch.setattr(dataset, 'SCENES_WORTH_A_PROCESS', 1)
    monkeypatch.setattr(dataset, 'num_cores', lambda: 2)
    write_dataset(str(tmp_path / 'out'), 3, 1, 0, (32, 64))
    assert len(files_below(tmp_path / 'out')) == 8
