"""Polygons and label maps, against slow tests of every pixel."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from data_generator.street_scenes import make_scene
from helpers import polygons
from helpers.label_spaces import generic_label_space
from helpers.polygons import fill_pixels, fill_rings, geojson, outlines, pixel_outline, regions, signed_area, simplified


def is_inside(rings, x, y):
    """Jordan's test, a ray to the right: an odd number of crossings."""
    crossings = 0
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0)):
            if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                crossings += 1
    return crossings % 2 == 1


def slow_fill(rings, size):
    return np.array(
        [[is_inside(rings, column + 0.5, row + 0.5) for column in range(size[1])] for row in range(size[0])]
    )


def whole(window, size):
    image = np.zeros(size, bool)
    image[window.top : window.top + window.mask.shape[0], window.left : window.left + window.mask.shape[1]] = (
        window.mask
    )
    return image


@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([1, 5, 40]))
@settings(deadline=None, max_examples=25)
def test_pixels_whose_centres_are_inside(seed, num_rings, reach):
    rng = np.random.default_rng(seed)
    rings = [rng.uniform(-reach, 12 + reach, (rng.integers(3, 8), 2)) for _ in range(num_rings)]
    np.testing.assert_array_equal(whole(fill_rings(rings, (9, 13)), (9, 13)), slow_fill(rings, (9, 13)))


def test_outlines_through_centres_take_those_on_the_left_and_above():
    ring = np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]])
    expected = np.zeros((4, 5), bool)
    expected[:2, :2] = True
    np.testing.assert_array_equal(whole(fill_rings([ring], (4, 5)), (4, 5)), expected)


def test_corners_of_pixels_hold_exactly_these_pixels():
    for box in ([0, 0, 4, 3], [2, 1, 3, 2], [-5, -5, 100, 100]):
        left, top, right, bottom = box
        ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        expected = np.zeros((6, 7), bool)
        expected[max(0, top) : bottom, max(0, left) : right] = True
        np.testing.assert_array_equal(whole(fill_rings([ring], (6, 7)), (6, 7)), expected)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_fractions_say_where_in_a_pixel_a_vertex_is(seed):
    """labelme writes where in its pixel somebody clicked, and draws with Pillow, which cuts fractions off."""
    rng = np.random.default_rng(seed)
    ring = rng.integers(0, 40, (rng.integers(3, 9), 2))
    drawn = Image.new('1', (44, 41))
    ImageDraw.Draw(drawn).polygon([tuple(point) for point in ring.tolist()], fill=1, outline=1)
    found = whole(fill_pixels(ring + rng.uniform(0, 0.999, ring.shape), (41, 44)), (41, 44))
    np.testing.assert_array_equal(found, whole(fill_pixels(ring, (41, 44)), (41, 44)))
    assert np.mean(found != np.array(drawn)) < 0.05  # two ways to draw the same outline


def test_polygons_that_cross_themselves_everywhere_are_drawn_alike(monkeypatch):
    """But for pixels in which edges cross, which OpenCV counts otherwise."""
    rings = [np.random.default_rng(seed).uniform(-20, 120, (60, 2)) for seed in range(5)]
    sorted_by_opencv = [whole(fill_pixels(ring, (100, 90)), (100, 90)) for ring in rings]
    monkeypatch.setattr(polygons, '_MOST_SORTED', 0)
    for ring, expected in zip(rings, sorted_by_opencv):
        assert np.mean(whole(fill_pixels(ring, (100, 90)), (100, 90)) != expected) < 0.02


def test_the_edges_in_a_row_are_those_that_cross_it():
    assert polygons._most_edges_in_a_row(np.array([0, 9, 0, 9, 3, 9]), 10) == 6
    assert polygons._most_edges_in_a_row(np.array([-5, 40]), 10) == 2


def test_vertices_that_are_pixels_belong_to_the_polygon():
    found = whole(fill_pixels(np.array([[2, 1], [5, 1], [5, 3], [2, 3]]), (6, 7)), (6, 7))
    expected = np.zeros((6, 7), bool)
    expected[1:4, 2:6] = True
    np.testing.assert_array_equal(found, expected)
    assert whole(fill_pixels(np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]]), (6, 7)), (6, 7)).all()
    assert not fill_pixels(np.array([[20, 20], [30, 20], [25, 30]]), (6, 7)).mask.size
    assert not fill_pixels(np.array([[1e9, 1e9], [2e9, 1e9], [2e9, 2e9]]), (6, 7)).mask.size


@pytest.mark.parametrize('farthest', [1e5, 2.0**24, 1e9])
def test_polygons_that_reach_far_beyond_the_image_are_what_they_are_in_it(farthest):
    """What lies on the right of, and below, a line through the middle that begins and ends far away."""
    ring = np.array([[10 - farthest, 30 - farthest], [10 + farthest, 30 + farthest], [10 - farthest, 30 + farthest]])
    rows, columns = np.indices((60, 50))
    np.testing.assert_array_equal(whole(fill_pixels(ring, (60, 50)), (60, 50)), rows - 30 >= columns - 10)
    upright = np.array([[20, -farthest], [farthest, -farthest], [farthest, farthest], [20, farthest]])
    np.testing.assert_array_equal(whole(fill_pixels(upright, (60, 50)), (60, 50)), columns >= 20)


@pytest.mark.parametrize(
    'points',
    [
        [[0, 0], [np.nan, 1], [2, 2]],
        [[0, 0], [np.inf, 1], [2, 2]],
        [[0, 0, 0]],
        [[1e308, -1e308], [-1e308, 1e308], [1, 2]],  # whose difference is infinite
    ],
)
def test_points_that_are_none_are_refused(points):
    for fill in (lambda ring: fill_rings([ring], (4, 4)), lambda ring: fill_pixels(ring, (4, 4))):
        with pytest.raises(ValueError, match='a point that is no pair of finite numbers'):
            fill(np.array(points))


def test_a_polygon_that_would_take_for_ever_is_refused():
    ring = np.stack([np.arange(30000.0), np.arange(30000) % 2 * 1e6], axis=1)
    with pytest.raises(ValueError, match='a polygon of 30000 points that crosses itself everywhere is not drawn'):
        fill_rings([ring], (4000, 30000))


def painted(class_ids, tolerance=0.0, in_pixels=False):
    found = np.full(class_ids.shape, 99, np.uint8)
    for region in regions(class_ids):
        if in_pixels:
            window = fill_pixels(simplified(pixel_outline(region.window), tolerance), class_ids.shape)
        else:
            window = fill_rings([simplified(ring, tolerance) for ring in outlines(region.window)], class_ids.shape)
        found[whole(window, class_ids.shape)] = region.class_id
    return found


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_outlines_give_any_label_map_again(seed, height, width, num_classes):
    class_ids = np.random.default_rng(seed).integers(0, num_classes, (height, width)).astype(np.uint8)
    np.testing.assert_array_equal(painted(class_ids), class_ids)
    np.testing.assert_array_equal(painted(class_ids, in_pixels=True), class_ids)
    for region in regions(class_ids):
        rings = outlines(region.window)
        assert sum(map(signed_area, rings)) == region.area == region.window.mask.sum()
        assert signed_area(rings[0]) > 0 and all(signed_area(hole) < 0 for hole in rings[1:])


@pytest.mark.parametrize('in_pixels, tolerance', [(False, 0.0), (True, 0.0), (False, 0.5)])
def test_generated_scenes_keep_their_classes(in_pixels, tolerance):
    class_ids = make_scene(np.random.default_rng(3), (128, 256))[1].astype(np.uint8)
    found = painted(class_ids, tolerance, in_pixels)
    for class_id in np.unique(class_ids):
        both, any_of = (found == class_id) & (class_ids == class_id), (found == class_id) | (class_ids == class_id)
        assert both.sum() / any_of.sum() >= 0.99


def test_simplified_outlines_keep_the_digits_of_map_coordinates():
    ring = np.array([[0, 0], [4, 0], [9, 0], [9, 9], [0, 9]])
    north = 5334000.25 + simplified(ring, 0.5)
    assert sorted(north.tolist()) == sorted((5334000.25 + ring[[0, 2, 3, 4]]).tolist())


def test_a_simplified_outline_has_three_points():
    ring = np.array([[0, 0], [9, 0], [9, 1], [0, 1]])
    np.testing.assert_array_equal(simplified(ring, 2.0), ring)


@pytest.mark.parametrize('tolerance', [-1, float('nan'), '1'])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ValueError, match='tolerance is .*; it has to be a number of at least 0'):
        simplified(np.zeros((4, 2)), tolerance)


def test_geojson_is_closed_wound_as_its_standard_wants_and_in_map_coordinates():
    class_ids = np.zeros((6, 8), np.uint8)
    class_ids[1:5, 2:7] = 1
    class_ids[2:4, 3:5] = 255
    space = generic_label_space(2, class_names=['field', 'pond'])
    centimetres = 2**-6  # products of such coordinates lose the digits that a pixel has
    for transform in (
        None,
        lambda x, y: (500000 + 2 * x, 6000000 - 2 * y),
        lambda x, y: (691000 + centimetres * x, 5334000 - centimetres * y),
    ):
        collection = json.loads(json.dumps(geojson(class_ids, space, transform, crs='urn:ogc:def:crs:EPSG::25832')))
        assert collection['crs']['properties']['name'] == 'urn:ogc:def:crs:EPSG::25832'
        assert [feature['properties']['class'] for feature in collection['features']] == ['field', 'pond']
        pond = collection['features'][1]
        assert pond['properties']['pixels'] == 16 and len(pond['geometry']['coordinates']) == 2
        for index, ring in enumerate(pond['geometry']['coordinates']):
            assert ring[0] == ring[-1]
            x, y = (np.array(ring[:-1], float) - ring[0]).T
            area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
            assert (area > 0) == (index == 0)  # counterclockwise where y goes up
            pixel = 1 if transform is None else abs(transform(1, 0)[0] - transform(0, 0)[0])
            assert abs(area) == (20, 4)[index] * pixel**2
        if transform is not None:
            west, north = transform(2, 1)
            assert min(x for x, _ in pond['geometry']['coordinates'][0]) == west
            assert max(y for _, y in pond['geometry']['coordinates'][0]) == north
