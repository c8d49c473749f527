"""A GeoTIFF is predicted by windows as it would be at once, and its results lie where it lies."""

import argparse
import errno
import json
import os
import shutil
import sys
import warnings

import cv2
import numpy as np
import pytest
import tifffile

from fcn8s.cli import build_parser, main
from fcn8s.cli.inputs import prediction_plan
from fcn8s.cli.predict import _predict_maps, _split_maps
from fcn8s.prediction import maps
from fcn8s.prediction.drawing import DEFAULT_STYLE
from fcn8s.prediction.maps import map_size
from fcn8s.prediction.polygon_files import PolygonFiles
from fcn8s.prediction.predictor import Predictor
from fcn8s.prediction.result_files import Job
from fcn8s.prediction.seals import is_sealed
from fcn8s.prediction.tiling import FULL_MARGIN, cuts, full_margin_at, stride_at
from helpers import files
from helpers.image_files import places
from helpers.image_files.windows import window_reader
from helpers.image_rules import ImageRules
from helpers.images import read_image, write_image
from helpers.label_spaces import generic_label_space

rasterio = pytest.importorskip('rasterio')
pytest.importorskip('rasterio.features')

SIZE = (192, 320)


@pytest.mark.parametrize('length, tile, margin', [(1000, 160, 32), (999, 96, 32), (31, 640, 288), (20000, 2048, 288)])
def test_cuts_cover_a_line_once(length, tile, margin):
    found = cuts(length, tile, margin)
    covered = np.concatenate([np.arange(cut.start, cut.stop) for cut in found])
    np.testing.assert_array_equal(covered, np.arange(length))
    for cut in found:
        assert cut.first % 32 == 0 and cut.last - cut.first <= tile
        assert cut.first == max(0, cut.start - margin) and cut.last >= min(length, cut.stop + margin)


def test_margins_that_leave_nothing():
    with pytest.raises(
        ValueError, match='tiles of 600 pixels leave nothing between margins of 288; take --tile of 608'
    ):
        cuts(1000, 600, FULL_MARGIN)
    with pytest.raises(ValueError, match='the margin of windows is 33; it has to be a multiple of 32'):
        cuts(1000, 600, 33)


@pytest.mark.parametrize(
    'scales, stride, margin',
    [((1,), 32, 288), ((0.5, 1), 64, 576), ((0.75, 1, 1.25), 128, 384), ((2,), 32, 288), ((0.7,), 320, 640)],
)
def test_windows_begin_where_pooling_falls_on_the_same_pixels_at_every_scale(scales, stride, margin):
    assert (stride_at(scales), full_margin_at(scales)) == (stride, margin)
    for cut in cuts(5000, 2000, margin, scales):
        assert all(cut.first * scale % 32 == pytest.approx(0, abs=1e-6) for scale in scales)
    assert len(cuts(5000, 2000, 96, scales)) > 1  # smaller margins may show seams, and are taken
    with pytest.raises(ValueError, match='it has to be a multiple of 32 pixels'):
        cuts(5000, 2000, margin + 8, scales)


def test_scales_without_a_common_stride_are_predicted_all_the_same():
    assert (stride_at((0.77, 1)), full_margin_at((0.77, 1))) == (32, 384)


def write_map(path, values, **options):
    bands = values[np.newaxis] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    profile = dict(driver='GTiff', height=values.shape[0], width=values.shape[1], count=len(bands), dtype=values.dtype)
    profile.update(crs='EPSG:25832', transform=rasterio.transform.from_origin(500000, 5400000, 0.5, 0.25))
    with rasterio.open(str(path), 'w', **dict(profile, **options)) as file:
        file.write(bands)
    return str(path)


@pytest.fixture(scope='module')
def ortho(tmp_path_factory):
    """A map of blocks of colour, so that predictions have regions."""
    coarse = np.random.RandomState(0).randint(0, 256, (9, 12, 3)).astype(np.uint8)
    values = np.kron(coarse, np.ones((30, 30, 1), np.uint8))[: SIZE[0], : SIZE[1]]
    return write_map(tmp_path_factory.mktemp('maps') / 'ortho.tif', values)


def predict(model, source, out, *options):
    assert main(['predict', model, source, '--out', str(out)] + list(options)) == 0


def read(path):
    with rasterio.open(str(path)) as file:
        return file.read(), file.crs, file.transform


@pytest.fixture
def windows_read(monkeypatch):
    """The sizes (height, width) of all parts of maps that are read."""
    sizes = []

    def noting(*arguments):
        read = window_reader(*arguments)

        def read_and_note(rows, columns):
            part = read(rows, columns)
            sizes.append(part.shape[:2])
            return part

        return read_and_note

    monkeypatch.setattr('fcn8s.prediction.maps.window_reader', noting)
    return sizes


def test_windows_have_no_seam_and_keep_their_place(small_model, ortho, tmp_path, windows_read):
    drawn = ['--ids', '--color', '--overlay', '--palette', 'color-blind']
    predict(small_model, ortho, tmp_path / 'once', *drawn)
    expected = read_image(tmp_path / 'once' / 'ortho_ids.png', convert=True)[..., 0]
    predict(small_model, ortho, tmp_path / 'windows', '--tile', '192', '192', '--overlap', '64', *drawn)
    # What memory holds of a map does not grow with the map: no part that is read is larger than a tile.
    assert len(windows_read) > 4 and np.max(windows_read, axis=0).tolist() == [192, 192]
    found, crs, transform = read(tmp_path / 'windows' / 'ortho_ids.tif')
    with rasterio.open(ortho) as source:
        assert (crs, transform) == (source.crs, source.transform)
    assert found.shape == (1,) + SIZE
    colors, _, _ = read(tmp_path / 'windows' / 'ortho_color.tif')
    overlay, _, _ = read(tmp_path / 'windows' / 'ortho_overlay.tif')
    same = found[0] == expected  # not everywhere: margins of 64 pixels are less than the network sees
    assert same.mean() > 0.5
    for kind, values in (('color', colors), ('overlay', overlay)):
        shown = read_image(tmp_path / 'once' / 'ortho_{}.png'.format(kind))
        np.testing.assert_array_equal(np.moveaxis(values, 0, -1)[same], shown[same])


def test_full_margins_give_the_answer_of_the_whole_image(small_model, tmp_path):
    coarse = np.random.RandomState(1).randint(0, 256, (4, 64, 3)).astype(np.uint8)
    values = np.kron(coarse, np.ones((8, 16, 1), np.uint8))
    path = write_map(tmp_path / 'strip.tif', values)
    predict(small_model, path, tmp_path / 'once', '--ids')
    predict(small_model, path, tmp_path / 'windows', '--tile', '640', '640', '--ids')
    expected = read_image(tmp_path / 'once' / 'strip_ids.png', convert=True)[..., 0]
    np.testing.assert_array_equal(read(tmp_path / 'windows' / 'strip_ids.tif')[0][0], expected)


def test_a_map_whose_size_is_no_multiple_of_the_stride_has_no_seam(small_model, tmp_path):
    """Its windows fit together: they are those of the map with its last rows and columns repeated."""
    coarse = np.random.RandomState(1).randint(0, 256, (2, 45, 3)).astype(np.uint8)
    values = np.kron(coarse, np.ones((15, 15, 1), np.uint8))[:29]
    path = write_map(tmp_path / 'odd.tif', values)
    write_map(tmp_path / 'whole.tif', np.pad(values, ((0, 3), (0, -675 % 32), (0, 0)), 'edge'))
    predict(small_model, path, tmp_path / 'windows', '--tile', '640', '640', '--ids')
    predict(small_model, str(tmp_path / 'whole.tif'), tmp_path / 'once', '--ids')
    expected = read_image(tmp_path / 'once' / 'whole_ids.png', convert=True)[:29, :675, 0]
    np.testing.assert_array_equal(read(tmp_path / 'windows' / 'odd_ids.tif')[0][0], expected)


def cells(images, argmax=True):
    """Stands for a network of stride 32 that sees nothing but the cell of a pixel: its mean, in 8 classes."""
    heights, widths = (-(-extent // 32) for extent in images.shape[1:3])
    padded = np.pad(
        images[..., 0].astype(float), ((0, 0), *((0, -extent % 32) for extent in images.shape[1:3])), 'edge'
    )
    means = padded.reshape(len(images), heights, 32, widths, 32).mean(axis=(2, 4)) / 32
    class_ids = means.astype(np.uint8).repeat(32, axis=1).repeat(32, axis=2)[:, : images.shape[1], : images.shape[2]]
    return class_ids if argmax else np.eye(8, dtype=np.float32)[class_ids]


@pytest.mark.parametrize('scales', [(1.0,), (0.75,), (0.5, 1.0), (0.75, 1.0, 1.25)])
def test_scales_leave_no_seam(tmp_path, scales):
    values = np.random.RandomState(4).randint(0, 256, (128, 1536, 1)).astype(np.uint8).repeat(3, axis=-1)
    values[:] = cv2.GaussianBlur(values, (0, 0), 12) * 3
    path, space = write_map(tmp_path / 'map.tif', values), generic_label_space(8)
    predictor = Predictor(cells, 8, scales=scales)
    tile, ids = (2 * full_margin_at(scales) + 160,) * 2, np.arange(256, dtype=np.uint8)
    request = maps.MapRequest(
        ('ids',), space, DEFAULT_STYLE, ids, ImageRules(), tile, full_margin_at(scales), scales, None
    )
    maps.predict_map(predictor.class_ids, path, str(tmp_path / 'map'), request)
    np.testing.assert_array_equal(read(tmp_path / 'map_ids.tif')[0][0], predictor.class_ids(values))


def test_polygons_in_map_coordinates(small_model, ortho, tmp_path):
    options = ['--tile', '192', '192', '--overlap', '64', '--ids', '--polygons', 'geojson']
    with warnings.catch_warnings():
        warnings.simplefilter('error', rasterio.errors.NotGeoreferencedWarning)  # the map has a place
        predict(small_model, ortho, tmp_path, *options)
    with open(str(tmp_path / 'ortho.geojson'), encoding='utf-8') as file:
        collection = json.load(file)
    assert collection['crs']['properties']['name'] == 'urn:ogc:def:crs:EPSG::25832'
    ids, _, transform = read(tmp_path / 'ortho_ids.tif')
    drawn = in_place(collection['features'], SIZE, transform)
    np.testing.assert_array_equal(drawn, ids[0].astype(int) + 1)
    assert sum(f['properties']['pixels'] for f in collection['features']) == SIZE[0] * SIZE[1]
    ring = np.array(collection['features'][0]['geometry']['coordinates'][0])
    x, y = ring[:-1].T
    assert np.dot(x, np.roll(y, -1)) > np.dot(y, np.roll(x, -1))  # counterclockwise
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ortho.geojson', 'ortho_ids.tif']
    assert is_sealed(str(tmp_path / 'ortho.geojson'))


def test_fewer_points_keep_their_places_on_the_map():
    """In float32, northings of millions lie on a grid of half a metre."""
    ring = [[0.0, 0.0], [40.0, 0.0], [40.0, 1.0], [77.0, 1.0], [77.0, 51.0], [0.0, 51.0], [0.0, 0.0]]
    place = places.Place(None, lambda x, y: (691234.37 + 0.2 * x, 5334567.83 - 0.2 * y))
    request = maps.MapRequest(
        (), generic_label_space(2), DEFAULT_STYLE, np.arange(256), ImageRules(), (64, 64), 0, tolerance=0.5
    )
    found = np.array(maps._feature({'coordinates': [ring]}, 1, place, request)['geometry']['coordinates'][0])
    pixels = (found - (691234.37, 5334567.83)) / (0.2, -0.2)
    np.testing.assert_allclose(pixels, np.round(pixels), atol=1e-6)
    assert {tuple(point) for point in np.round(pixels)} <= {tuple(point) for point in ring}


def in_place(features, shape, transform):
    """Class IDs + 1 that the polygons of a file draw onto a map."""
    drawn = [(feature['geometry'], feature['properties']['class_id'] + 1) for feature in features]
    return rasterio.features.rasterize(drawn, shape, transform=transform)


def test_a_map_no_larger_than_a_tile_is_a_map_in_one_window(small_model, tmp_path, windows_read):
    coarse = np.random.RandomState(0).randint(0, 256, (10, 15, 3)).astype(np.uint8)
    chip = write_map(tmp_path / 'chip.tif', np.kron(coarse, np.ones((10, 10, 1), np.uint8)))
    predict(small_model, chip, tmp_path / 'map', '--tile', '400', '400', '--ids', 'train')
    predict(small_model, chip, tmp_path / 'once', '--ids', 'train')
    assert windows_read == [(100, 150)]  # no multiples of the stride
    found, crs, transform = read(tmp_path / 'map' / 'chip_train_ids.tif')
    with rasterio.open(chip) as source:
        assert (crs, transform) == (source.crs, source.transform)
    expected = read_image(tmp_path / 'once' / 'chip_train_ids.png', convert=True)[..., 0]
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize(
    'words',
    [
        '--softmax',
        '--samples 2',
        '--polygons coco',
        '--submission cityscapes',
        '--error-map x',
        '--legend',
        '--size 8 8',
    ],
)
def test_a_map_that_fits_a_tile_is_read_whole_if_windows_cannot_show_it(small_model, ortho, tmp_path, capsys, words):
    for tile, is_whole in ('192 320', True), ('192 192', False):
        typed = ['predict', small_model, ortho, '--out', str(tmp_path), '--tile', *tile.split(), *words.split()]
        jobs = [(0, Job(ortho, 'ortho'))]
        if words.startswith('--error') and not is_whole:
            continue  # refused
        assert _split_maps(build_parser().parse_args(typed), jobs) == (([], jobs) if is_whole else (jobs, []))
        assert ('note: with {}'.format(words.split()[0]) in capsys.readouterr().out) == is_whole


def write_polygons(path, class_ids):
    files = PolygonFiles(os.path.dirname(path), generic_label_space(8), 'geojson')
    files.write('found', path, class_ids)
    with open(files.path('found'), encoding='utf-8') as file:
        return json.load(file)


def test_polygons_of_maps_that_are_read_whole_are_in_map_coordinates(ortho, tmp_path):
    class_ids = np.kron(np.random.RandomState(3).randint(0, 8, (6, 10)), np.ones((32, 32))).astype(np.uint8)
    path = shutil.copy(ortho, str(tmp_path / 'chip.tif'))
    collection = write_polygons(path, class_ids)
    assert collection['crs']['properties']['name'] == 'urn:ogc:def:crs:EPSG::25832'
    with rasterio.open(ortho) as source:
        drawn = in_place(collection['features'], SIZE, source.transform)
    np.testing.assert_array_equal(drawn, class_ids.astype(int) + 1)


def test_coordinates_of_no_known_reference_system_are_declared_so(tmp_path):
    class_ids = np.zeros((8, 12), np.uint8)
    write_image(str(tmp_path / 'a.png'), np.zeros((8, 12, 3), np.uint8))
    with_place = write_map(tmp_path / 'a.tif', np.zeros((8, 12, 3), np.uint8), crs=None)
    for path, corner in (str(tmp_path / 'a.png'), [0, 0]), (with_place, [500000, 5400000]):
        collection = write_polygons(path, class_ids)
        assert 'crs' in collection and collection['crs'] is None
        assert corner in collection['features'][0]['geometry']['coordinates'][0]


@pytest.fixture
def no_rasterio(monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'rasterio']:
        monkeypatch.setitem(sys.modules, name, None)


def test_without_rasterio_maps_are_told_and_their_polygons_refused(small_model, ortho, tmp_path, capsys, no_rasterio):
    (tmp_path / 'plain').mkdir()
    write_image(str(tmp_path / 'plain' / 'a.tif'), np.zeros((9, 9, 3), np.uint8))
    arguments = argparse.Namespace(polygons='geojson', tile=None, share=None)
    check = prediction_plan._check_maps
    check(arguments, [str(tmp_path / 'plain' / 'a.tif')])
    with pytest.raises(ValueError, match=r"ortho.tif lies on a map, and rasterio.*pip install 'fcn8s\[geo\]', or take"):
        check(arguments, [ortho])
    assert main(['predict', small_model, ortho, '--out', str(tmp_path / 'out'), '--polygons', 'geojson']) == 2
    assert 'ortho.tif lies on a map' in capsys.readouterr().err
    (tmp_path / 'plain' / 'a.tfw').write_text('1\n0\n0\n-1\n5\n5\n')
    with pytest.raises(ValueError, match='a.tif lies on a map'):
        check(arguments, [str(tmp_path / 'plain' / 'a.tif')])
    arguments.polygons, arguments.tile = None, [640, 640]
    with pytest.warns(UserWarning, match='ortho.tif lies on a map, but results are PNG files without its place'):
        check(arguments, [ortho])


def test_polygons_of_a_map_that_is_turned_when_shown_need_tiles(ortho, tmp_path):
    path = str(tmp_path / 'turned.tif')
    tags = [(33550, 'd', 3, (1.0, 1.0, 0.0), True), (33922, 'd', 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True)]
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8), extratags=tags + [(274, 'H', 1, 6, True)], metadata=None)
    arguments = argparse.Namespace(polygons='geojson', tile=None, share=None)
    with pytest.raises(ValueError, match='turned.tif lies on a map, but its tag of orientation turns it. For polygons'):
        prediction_plan._check_maps(arguments, [ortho, path])
    arguments.tile = [64, 64]
    prediction_plan._check_maps(arguments, [ortho, path])


def test_deep_maps_are_read_by_the_rule(small_model, tmp_path):
    values = np.random.RandomState(2).randint(100, 1100, SIZE + (3,)).astype(np.uint16)
    path = write_map(tmp_path / 'deep.tif', values)
    for window in (['100', '1099'], ['file']):
        options = ['--window'] + window + ['--alpha', '0', '--overlay']
        predict(small_model, path, tmp_path / 'once', *options)
        predict(small_model, path, tmp_path / 'windows', '--tile', '128', '128', '--overlap', '32', *options)
        found = np.moveaxis(read(tmp_path / 'windows' / 'deep_overlay.tif')[0], 0, -1)
        np.testing.assert_array_equal(found, read_image(tmp_path / 'once' / 'deep_overlay.png'))


@pytest.mark.parametrize('bands', [(5, 1, 2), None])
def test_the_range_of_a_map_is_that_of_the_bands_that_are_taken(tmp_path, bands):
    values = np.random.RandomState(2).randint(100, 1100, SIZE + (6 if bands else 4,)).astype(np.uint16)
    values[..., 3] = 65535  # of no colour, or opaque
    options = {} if bands else {'photometric': 'rgb', 'alpha': 'non-premultiplied'}
    path = write_map(tmp_path / 'deep.tif', values, **options)
    rules = ImageRules(bands=bands, window='file')
    with rasterio.open(path) as source:
        found = window_reader(source, path, rules)((32, 96), (0, SIZE[1]))
    np.testing.assert_array_equal(found, read_image(path, rules=rules)[32:96])
    assert found.max() > 250


def test_only_placed_tiffs_are_maps(ortho, tmp_path):
    assert map_size(ortho) == SIZE
    write_image(str(tmp_path / 'a.png'), np.zeros((9, 9, 3), np.uint8))
    write_image(str(tmp_path / 'a.tif'), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / 'b.tif').write_bytes(b'II*\0damaged')
    for name in ('a.png', 'a.tif', 'b.tif'):
        assert map_size(str(tmp_path / name)) is None


def test_a_large_scan_that_has_to_be_turned_or_has_its_bands_in_pages_is_no_map(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, '_LARGE', 100)
    page = np.zeros((20, 30), np.uint8)
    for name, pages, tags, expected in (
        ('upright', 1, [], True),
        ('turned', 1, [(274, 'H', 1, 6, True)], False),
        ('bands', 3, [], False),
    ):
        with tifffile.TiffWriter(str(tmp_path / name)) as file:
            for _ in range(pages):
                file.write(page, extratags=tags, metadata=None)
            file.write(page[::2, ::2], subfiletype=1, metadata=None)
        with warnings.catch_warnings():
            warnings.simplefilter('error', rasterio.errors.NotGeoreferencedWarning)
            assert (map_size(str(tmp_path / name)) is not None) is expected, name


@pytest.mark.parametrize('kind', ['premultiplied', 'non-premultiplied'])
def test_windows_treat_transparency_as_whole_images_are_treated(tmp_path, kind):
    values = np.full(SIZE + (4,), 100, np.uint8)
    values[..., 3] = 128
    path = write_map(tmp_path / 'a.tif', values, photometric='rgb', alpha=kind)
    with rasterio.open(path) as source:
        found = window_reader(source, path, ImageRules())((0, 8), (0, 8))
    np.testing.assert_array_equal(found, read_image(path, convert=True)[:8, :8])
    assert found[0, 0].tolist() == [100 if kind == 'premultiplied' else 50] * 3


def test_a_link_to_nowhere_is_no_reason_to_stop(small_model, ortho, tmp_path, capsys):
    (tmp_path / 'in').mkdir()
    shutil.copyfile(ortho, str(tmp_path / 'in' / 'a.tif'))
    (tmp_path / 'in' / 'x.tif').symlink_to(tmp_path / 'nowhere.tif')
    options = ['--tile', '192', '192', '--overlap', '64', '--ids', '--keep-going', '--out', str(tmp_path / 'out')]
    assert main(['predict', small_model, str(tmp_path / 'in')] + options) == 1
    assert 'x.tif' in capsys.readouterr().err and (tmp_path / 'out' / 'a_ids.tif').is_file()


def test_only_maps_that_cannot_be_read_are_passed_over(tmp_path, monkeypatch):
    ids, places = np.arange(256, dtype=np.uint8), []
    request = maps.MapRequest(('ids',), generic_label_space(8), DEFAULT_STYLE, ids, ImageRules(), (32, 64), 0)
    args, predictor = argparse.Namespace(keep_going=True, out=str(tmp_path)), Predictor(cells, 8)
    for name, bands in (('bands', 5), ('map', 3)):
        write_map(tmp_path / (name + '.tif'), np.zeros((64, 96, bands), np.uint8))
    jobs = [
        (number, Job(str(tmp_path / (name + '.tif')), name)) for number, name in enumerate(('none', 'bands', 'map'))
    ]
    failures = []
    _predict_maps(args, jobs, predictor, request, failures)
    assert [number for number, _ in failures] == [0, 1] and (tmp_path / 'map_ids.tif').is_file()
    assert 'none.tif cannot be read' in failures[0][1] and 'bands.tif' in failures[1][1]

    def full_disk(place):
        places.append(place)
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(maps, 'atomic_path', full_disk)
    with pytest.raises(OSError, match='No space left'):
        _predict_maps(args, jobs[2:] * 2, predictor, request, failures)
    assert len(places) == 1


def test_unfinished_files_of_a_map_are_removed_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, '_write_maps', lambda *args: made.extend(args[-2].values()))
    monkeypatch.setattr(maps, '_write_polygons', lambda rasterio, source, ids_path, path, request: made.append(path))
    path, made = write_map(tmp_path / 'map.tif', np.zeros((64, 96, 3), np.uint8)), []
    request = maps.MapRequest((), generic_label_space(8), DEFAULT_STYLE, None, ImageRules(), (32, 64), 0, tolerance=0.0)
    with pytest.raises(FileNotFoundError):
        maps.predict_map(None, path, str(tmp_path / 'map'), request)
    assert [os.path.splitext(name)[1] for name in made] == ['.tif', '.geojson']
    assert all(files._TEMPORARY.match(os.path.basename(name)) for name in made)


def test_results_of_maps_replace_no_input(small_model, ortho, tmp_path, capsys):
    for name in ('a.tif', 'a_ids.tif'):
        shutil.copyfile(ortho, str(tmp_path / name))
    inputs = [str(tmp_path / name) for name in ('a.tif', 'a_ids.tif')]
    options = ['--tile', '192', '192', '--overlap', '64', '--ids', '--out', str(tmp_path)]
    assert main(['predict', small_model] + inputs + options) == 2
    assert 'a_ids.tif would replace an image' in capsys.readouterr().err


def test_polygons_name_longitude_and_latitude_in_the_order_of_their_coordinates():
    found = [places._crs_name(rasterio.crs.CRS.from_epsg(code)) for code in (4326, 25832)]
    assert found == ['urn:ogc:def:crs:OGC:1.3:CRS84', 'urn:ogc:def:crs:EPSG::25832']


def test_a_map_that_is_damaged_is_named(small_model, tmp_path, capsys):
    noise = np.random.RandomState(0).randint(0, 256, SIZE + (3,)).astype(np.uint8)
    path = write_map(tmp_path / 'ortho.tif', noise, compress='deflate', tiled=True, blockxsize=64, blockysize=64)
    with open(path, 'r+b') as file:
        file.seek(60000)
        file.write(bytes(500))
    options = ['--out', str(tmp_path / 'out'), '--tile', '192', '192', '--overlap', '64', '--ids']
    assert main(['predict', small_model, path] + options) == 2
    assert 'ortho.tif cannot be read: ' in capsys.readouterr().err
    assert not list((tmp_path / 'out').iterdir())


def test_a_path_that_is_no_text(small_model, ortho, tmp_path):
    path = os.fsencode(str(tmp_path)) + b'/map\xff.tif'
    shutil.copyfile(ortho, path)
    predict(small_model, os.fsdecode(path), tmp_path / 'out', '--tile', '192', '192', '--overlap', '64', '--ids')
    assert os.listdir(os.fsencode(str(tmp_path / 'out'))) == [b'map\xff_ids.png']


@pytest.mark.parametrize(
    'options, message',
    [
        (['--softmax'], 'softmax cannot be written by windows, and a map is predicted by windows'),
        (['--overlay', '--legend'], '--legend and --zoom are not drawn on maps'),
        (['--polygons', 'coco'], '--polygons coco cannot be written by windows'),
        (['--overlap', '96'], 'tiles of 192 pixels leave nothing between margins of 96; take --tile of 224'),
        (['--overlap', '64', '--size', '64', '64'], 'images are resized to 64 x 64 for the network, and a map'),
        (['--overlap', '64', '--size', '64', '64', '--keep-going'], 'images are resized to 64 x 64 for the network'),
    ],
)
def test_maps_refuse_results_that_are_not_written_by_windows(small_model, ortho, tmp_path, capsys, options, message):
    assert main(['predict', small_model, ortho, '--out', str(tmp_path / 'out'), '--tile', '192', '192'] + options) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / 'out').iterdir())


def test_ids_of_16_bits_are_written_as_such(tmp_path):
    values = np.zeros((64, 96, 3), np.uint8)
    values[:, 48:] = 255
    path, ids = write_map(tmp_path / 'map.tif', values), np.full(256, 300, np.uint16)
    ids[0] = 7
    request = maps.MapRequest(('ids',), generic_label_space(8), DEFAULT_STYLE, ids, ImageRules(), (32, 64), 0)
    maps.predict_map(Predictor(cells, 8).class_ids, path, str(tmp_path / 'map'), request)
    found = read(tmp_path / 'map_ids.tif')[0][0]
    assert found.dtype == np.uint16 and set(np.unique(found)) == {7, 300}
