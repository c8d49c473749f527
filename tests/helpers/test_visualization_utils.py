import os
import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import text_drawing
from helpers.images import write_image
from helpers.label_spaces import CAMVID, CITYSCAPES, CITYSCAPES20, LABEL_SPACES, LabelSpace, generic_label_space
from helpers.text_drawing import draw_text, shorten_text, text_width
from helpers.video import open_frames
from helpers.visualization_utils import (
    add_legend,
    colorize,
    create_split_view,
    create_video_from_images,
    draw_errors,
    draw_legend,
    print_segmentation_onto_image,
    put_above_legend,
)


def image_of(size, seed=0):
    return np.random.RandomState(seed).randint(0, 256, tuple(size) + (3,)).astype(np.uint8)


def blend(image, ids, colors, alpha, void):
    """A slow reference: each pixel by itself."""
    expected = image.astype(float)
    for y, x in np.ndindex(*ids.shape):
        class_id = ids[y, x]
        if class_id in colors and class_id not in void:
            color = colors[class_id]
            share = color[3] / 255.0 if len(color) == 4 else alpha
            expected[y, x] = share * np.array(color[:3]) + (1 - share) * image[y, x]
    return expected


@pytest.mark.parametrize('size', [(8, 9), (1, 9), (9, 1), (1, 1), (3, 3)])
def test_every_form_of_a_prediction_gives_one_picture(size):
    """Those of `predict` for one image, with and without argmax, and IDs with an axis of their own."""
    ids = np.random.RandomState(1).randint(0, 3, size).astype(np.uint8)
    image, vectors = image_of(size), np.eye(3, dtype=np.int64)[ids]
    colors = {class_id: (80 * class_id, 255, 9) for class_id in range(3)}
    expected = print_segmentation_onto_image(image, ids, colors)
    for prediction in (ids[np.newaxis], ids[..., np.newaxis], ids[np.newaxis, ..., np.newaxis].astype(np.int64)):
        np.testing.assert_array_equal(print_segmentation_onto_image(image, prediction, colors), expected)
    for prediction in (vectors, vectors[np.newaxis], vectors.astype(np.float32), vectors[np.newaxis].astype(bool)):
        np.testing.assert_array_equal(print_segmentation_onto_image(image, prediction, colors), expected)
    np.testing.assert_array_equal(colorize(ids[np.newaxis], colors), colorize(ids, colors))


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.floats(0, 1),
    st.integers(0, 2**31),
    st.sampled_from(['uint8', 'uint16', 'int64']),
    st.booleans(),
    st.sets(st.integers(0, 5), max_size=2),
)
@settings(deadline=None, max_examples=60)
def test_overlays_against_single_pixels(size, alpha, seed, dtype, own_opacity, void):
    random = np.random.RandomState(seed)
    ids = random.choice([0, 1, 2, 3, 4, 5, 255, 7 if dtype == 'uint8' else 400], size).astype(dtype)
    colors = {class_id: tuple(random.randint(0, 256, 3)) for class_id in (0, 1, 2, 4)}
    colors[3] = tuple(random.randint(0, 256, 4 if own_opacity else 3))
    image = image_of(size, seed)
    before = image.copy()
    found = print_segmentation_onto_image(image, ids, colors, alpha=alpha, void_ids=tuple(void))
    np.testing.assert_allclose(found, blend(image, ids, colors, alpha, void), atol=0.51)
    np.testing.assert_array_equal(image, before)


def test_all_forms_of_a_prediction_look_the_same():
    image, ids = image_of((6, 8)), np.random.RandomState(1).randint(0, 11, (6, 8))
    one_hot = np.eye(11, dtype=np.uint8)[ids]
    soft_max = 0.5 * one_hot + 0.5 / 11
    expected = print_segmentation_onto_image(image, ids, CAMVID)
    for prediction in (ids.astype(np.uint8), one_hot, soft_max, soft_max[np.newaxis], one_hot.astype(bool)):
        np.testing.assert_array_equal(print_segmentation_onto_image(image, prediction, CAMVID), expected)


def test_all_forms_of_a_colour_map_look_the_same():
    image, ids = image_of((6, 8)), np.random.RandomState(1).randint(0, 11, (6, 8))
    expected = print_segmentation_onto_image(image, ids, CAMVID)
    for color_map in (
        np.array(CAMVID.colors),
        list(CAMVID.colors),
        dict(enumerate(CAMVID.colors)),
        {class_id: color + (128,) for class_id, color in enumerate(CAMVID.colors)},
    ):
        found = print_segmentation_onto_image(image, ids, color_map)
        assert np.abs(found.astype(int) - expected).max() <= 1  # 128 / 255 is not quite a half


@pytest.mark.parametrize('space', LABEL_SPACES.values(), ids=LABEL_SPACES)
@pytest.mark.parametrize('contours', [False, True])
def test_void_is_transparent(space, contours):
    image = image_of((4, 9))
    for void_id in space.void_class_ids + (space.ignore_id, 254):
        ids = np.full((4, 9), void_id, np.uint8)
        np.testing.assert_array_equal(print_segmentation_onto_image(image, ids, space, contours=contours), image)


def test_one_hot_vectors_of_zeros_are_void():
    image = image_of((4, 9))
    nothing = np.zeros((4, 9, 19), np.uint8)
    np.testing.assert_array_equal(print_segmentation_onto_image(image, nothing, CITYSCAPES), image)


def test_contours_alone_are_drawn_at_an_opacity_of_zero():
    image = np.full((8, 8, 3), 100, np.uint8)
    ids = np.repeat([[0] * 4 + [1] * 4], 8, axis=0)
    found = print_segmentation_onto_image(image, ids, [(255, 0, 0), (0, 255, 0)], alpha=0, contours=True)
    assert {tuple(color) for color in found.reshape(-1, 3)} == {(100, 100, 100), (255, 0, 0), (0, 255, 0)}


@pytest.mark.parametrize('grey, seen', [(100, (255, 255, 255)), (170, (0, 0, 0))])
def test_contours_of_the_colour_that_they_lie_on_are_white_on_dark_and_black_on_light(grey, seen):
    image, ids = np.full((16, 16, 3), grey, np.uint8), np.repeat([[0] * 8 + [1] * 8], 16, axis=0)
    found = print_segmentation_onto_image(image, ids, [(grey + 30,) * 3, (220, 0, 40)], alpha=0, contours=True)
    assert (found[:, 7] == seen).all() and (found[:, 8] == (220, 0, 40)).all()
    assert (found[:, :7] == grey).all() and (found[:, 9:] == grey).all()


@pytest.mark.parametrize('ignored', [255, 999])
def test_contours_run_along_the_borders_in_full_colour(ignored):
    image = image_of((20, 30))
    ids = np.zeros((20, 30), np.int32)
    ids[:, 10:] = 1
    ids[:, 20:] = ignored
    found = print_segmentation_onto_image(image, ids, [(255, 0, 0), (0, 255, 0)], alpha=0.25, contours=True)
    plain = print_segmentation_onto_image(image, ids, [(255, 0, 0), (0, 255, 0)], alpha=0.25)
    assert (found[:, 9] == (255, 0, 0)).all()
    assert (found[:, 10] == (0, 255, 0)).all() and (found[:, 19] == (0, 255, 0)).all()
    untouched = [x for x in range(30) if x not in (9, 10, 19)]
    np.testing.assert_array_equal(found[:, untouched], plain[:, untouched])


@pytest.mark.parametrize(
    'image, prediction, options, message',
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), int), {}, r'image has dtype uint8 and shape \(4, 4\), but uint8'),
        (np.zeros((4, 4, 3)), np.zeros((4, 4), int), {}, 'image has dtype float64'),
        (image_of((4, 4)), np.zeros((4, 5), int), {}, r'size \(4, 5\) came for an image of size \(4, 4\)'),
        (image_of((4, 4)), np.zeros((4, 4)), {}, r'dtype float64.*class IDs \[H, W\] or vectors'),
        (image_of((4, 4)), np.zeros((2, 4, 4, 5)), {}, r'shape \(2, 4, 4, 5\) came'),
        (image_of((4, 4)), np.full((4, 4, 5), np.nan), {}, 'NaN or infinite values came'),
        (image_of((4, 4)), np.zeros((4, 4), int), {'alpha': 1.5}, 'alpha is 1.5; it has to be from 0'),
        (image_of((4, 4)), np.zeros((4, 4), int), {'contours': 'no'}, "contours is 'no'; it has to be True or False"),
        (image_of((4, 4)), np.zeros((4, 4), int), {'void_ids': 0}, r'void_ids is 0; it has to be a list of class IDs'),
    ],
)
def test_overlays_refuse_what_is_no_image_prediction_or_opacity(image, prediction, options, message):
    with pytest.raises(ValueError, match=message):
        print_segmentation_onto_image(image, prediction, CAMVID, **options)


@pytest.mark.parametrize('batch', [[[[0, 2]], [[1, 1]]], np.ones((2, 3, 4), bool), -np.ones((3, 4, 5), np.int8)])
def test_a_batch_of_predictions_is_no_picture(batch):
    """Class IDs [N, H, W] were read as one-hot vectors [H, W, C]."""
    with pytest.raises(ValueError, match=r'vectors are not one-hot. Of a batch of class IDs, pass one image: predi'):
        colorize(np.array(batch), CAMVID)


def test_whole_numbers_as_many_as_the_colours_are_scores():
    scores = np.arange(44).reshape(2, 2, 11) % 7
    np.testing.assert_array_equal(colorize(scores, CAMVID), colorize(scores.argmax(axis=-1), CAMVID))


@pytest.mark.parametrize(
    'color_map',
    [
        *({0: (1, 2)}, {0: (1, 2, 300)}, {-1: (1, 2, 3)}, [(1, 2, 3, 4, 5)]),
        *(np.array([[0.5, 0.25, 1.0]]), {0: (9, 8, 7, 0.5)}),  # of matplotlib, and an opacity from 0 to 1
    ],
)
def test_malformed_colour_maps_are_refused(color_map):
    with pytest.raises(ValueError, match='class IDs are not negative and colours are'):
        print_segmentation_onto_image(image_of((2, 2)), np.zeros((2, 2), int), color_map)


@pytest.mark.parametrize('color_map', [{0.5: (1, 2, 3)}, {10**9: (1, 2, 3)}])
def test_class_ids_of_a_colour_map_are_neither_cut_nor_beyond_those_of_labels(color_map):
    """The second would take gigabytes."""
    with pytest.raises(ValueError, match='came'):
        colorize(np.zeros((2, 2), np.uint8), color_map)
    colored = colorize(np.ones((1, 1), np.uint8), {'1': (1, 2, 3)})  # as JSON has keys
    assert colored.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize('void_color', ['black', (300, 0, 0), (0, 0)])
def test_a_void_colour_that_is_none(void_color):
    with pytest.raises(ValueError, match=r'void_color is .*; it has to be \(r, g, b\), each from 0 to 255'):
        colorize(np.zeros((2, 2), np.uint8), CITYSCAPES20, void_color)


def test_ids_without_a_class_get_the_void_colour():
    ids = np.array([[0, 1, 255], [19, 2, 300]])
    found = colorize(ids, CITYSCAPES20, void_color=(9, 8, 7))
    expected = [[(9, 8, 7), CITYSCAPES.colors[0], (9, 8, 7)], [CITYSCAPES.colors[18], CITYSCAPES.colors[1], (9, 8, 7)]]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(colorize(np.array([[1]]), CITYSCAPES20, void_ids=(1,)), [[(0, 0, 0)]])


@pytest.mark.parametrize('dtype', ['int8', 'int16', 'int64'])
def test_what_is_below_zero_is_no_class(dtype):
    ids = np.array([[-1, 0], [1, -128]], dtype)
    assert colorize(ids, [(9, 9, 9), (1, 2, 3)]).tolist() == [[[0, 0, 0], [9, 9, 9]], [[1, 2, 3], [0, 0, 0]]]


def swatches(legend, colors):
    """Which of the colours fill a square of 5 x 5 pixels, in the order of their columns and rows."""
    places = {}
    for color in colors:
        squares = cv2.erode((legend == color).all(axis=-1).astype(np.uint8), np.ones((5, 5)))
        ys, xs = np.nonzero(squares[2:-2, 2:-2])
        if len(ys):
            places[color] = (xs.min(), ys.min())
    return sorted(places, key=places.get)


@pytest.mark.parametrize('width', [120, 333, 900])
def test_a_legend_has_a_swatch_per_class(width):
    legend = draw_legend(CITYSCAPES20, width)
    assert legend.shape[1] == width and legend.dtype == np.uint8
    assert swatches(legend, CITYSCAPES.colors) == list(CITYSCAPES.colors)
    assert (legend[0] == 255).all() and (legend[-1] == 255).all() and (legend[:, -1] == 255).all()


def test_a_legend_of_some_classes():
    legend = draw_legend(CAMVID, 300, class_ids=[8, 3, 11], line_height=16)
    assert swatches(legend, CAMVID.colors) == [CAMVID.colors[8], CAMVID.colors[3]]


def test_a_label_space_of_lists_and_arrays_is_drawn():
    space = CAMVID._replace(colors=np.uint8(CAMVID.colors), void_class_ids=[3])
    assert swatches(draw_legend(space, 300), CAMVID.colors) == [*CAMVID.colors[:3], *CAMVID.colors[4:]]
    assert (colorize(np.full((1, 1), 3), space) == 0).all()


def test_names_that_are_too_long_stay_in_their_legend():
    space = generic_label_space(2, class_names=['a very long name of a class ' * 3, 'b'])
    legend = draw_legend(space, 150, line_height=14)
    assert (legend[:, -2:] == 255).all()


def test_legend_below_the_image():
    image = image_of((30, 200))
    found = add_legend(image, CAMVID)
    np.testing.assert_array_equal(found[:30], image)
    np.testing.assert_array_equal(found[30:], draw_legend(CAMVID, 200))


@pytest.mark.parametrize('width', [1, 40, 70])
def test_a_legend_below_an_image_that_is_too_narrow(width):
    image = image_of((30, width))
    found = add_legend(image, CITYSCAPES20)
    assert 80 < found.shape[1] < 200
    np.testing.assert_array_equal(found[:30, :width], image)
    assert (found[:30, width:] == 255).all()
    assert swatches(found[30:], CITYSCAPES.colors) == list(CITYSCAPES.colors)
    for line_height in (12, 20):  # no name is shortened, as in a legend with room to spare
        narrow = add_legend(image, CAMVID, [6], line_height)[30:]
        roomy = draw_legend(CAMVID, 400, [6], line_height)
        np.testing.assert_array_equal(narrow, roomy[:, : narrow.shape[1]])
        assert (roomy[:, narrow.shape[1] :] == 255).all()


def test_names_that_are_too_long_do_not_widen_an_image_without_end():
    space = generic_label_space(2, class_names=['a very long name of a class ' * 7, 'b'])
    assert add_legend(image_of((30, 20)), space, line_height=12).shape[1] == 14 * 12


@pytest.mark.parametrize(
    'options, message',
    [
        ({'width': 20}, 'A legend of width 20 with lines of height 12'),
        ({'width': 99, 'line_height': 0}, 'line_height is 0; it has to be a whole number of at least 1'),
        ({'width': 99, 'line_height': float('nan')}, 'line_height is nan'),
        ({'width': 99, 'line_height': 12.5}, 'line_height is 12.5; it has to be a whole number'),
        ({'width': 99.5}, 'width is 99.5; it has to be a whole number'),
        ({'width': 99, 'class_ids': [12]}, r'class IDs \[12\] came for a legend, but camvid has the classes 0 to 10'),
        ({'width': 99, 'class_ids': [11]}, 'no class to show'),
        ({'width': 99, 'class_ids': 1}, r'class_ids is 1; it has to be a list of class IDs, such as \[0\]'),
    ],
)
def test_legends_refuse_sizes_and_classes_that_cannot_be_drawn(options, message):
    with pytest.raises(ValueError, match=message):
        draw_legend(CAMVID, **options)


def test_split_view_places_panels():
    first, second = image_of((4, 6)), image_of((10, 10), 1)
    found = create_split_view((12, 20), [first, second], [(1, 2), (6, 10)], [(4, 6), (5, 5)])
    expected = np.zeros((12, 20, 3), np.uint8)
    expected[1:5, 2:8] = first
    expected[6:11, 10:15] = second.reshape(5, 2, 5, 2, 3).mean(axis=(1, 3)).round()  # the area average of 2 x 2
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_whole_numbers_that_are_floats_place_panels_as_well():
    images = [image_of((4, 6)), image_of((10, 10), 1)]
    found = create_split_view((24 / 2, 20), images, [(1.0, 2), (6, 20 / 2)], [(8 / 2, 6), (5.0, np.float32(5))])
    np.testing.assert_array_equal(found, create_split_view((12, 20), images, [(1, 2), (6, 10)], [(4, 6), (5, 5)]))


def test_later_panels_lie_on_top():
    found = create_split_view(
        (4, 4), [image_of((4, 4)), np.full((2, 2, 3), 7, np.uint8)], [(0, 0), (1, 1)], [(4, 4), (2, 2)]
    )
    assert (found[1:3, 1:3] == 7).all()


@given(st.integers(1, 97), st.integers(1, 97), st.text(max_size=30))
@settings(deadline=None, max_examples=40)
def test_captions_of_any_text_on_panels_of_any_size(height, width, caption):
    panel = np.full((3, 3, 3), 200, np.uint8)
    found = create_split_view((height + 2, width + 2), [panel], [(1, 1)], [(height, width)], [caption])
    border = np.ones(found.shape[:2], bool)
    border[1:-1, 1:-1] = False
    assert not found[border].any()
    assert (found[1:-1, 1:-1][int(0.9 * height) + 13 :] == 200).all()


def test_captions_are_readable_on_any_picture():
    for value in (0, 255):
        panel = np.full((100, 200, 3), value, np.uint8)
        found = create_split_view((100, 200), [panel], [(0, 0)], [(100, 200)], ['Prediction'])[:18, :90]
        assert found.max() > 235 and np.percentile(found, 20) < 140
    without = create_split_view((100, 200), [panel, panel], [(0, 0), (50, 0)], [(50, 200)] * 2, [None, ''])
    assert (without == 255).all()


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'positions': [(0, 0)]}, "lengths came: {'images': 2, 'positions': 1, 'sizes': 2}"),
        ({'positions': None}, 'positions is None; it has to be a list, with an entry for each image'),
        ({'captions': ['a']}, "'captions': 1"),
        ({'captions': 'ab'}, "captions is 'ab'; it has to be a list"),
        ({'target_size': 10}, r'target_size is 10; it has to be \(height, width\), each a whole number'),
        ({'target_size': 'ab'}, "target_size is 'ab'; it has to be"),
        ({'target_size': (float('nan'), 5)}, r'target_size is \(nan, 5\); it has to be'),
        ({'target_size': (10,)}, r'target_size is \(10,\); it has to be \(height, width\), each a whole number'),
        ({'target_size': (0, 5)}, r'target_size is \(0, 5\); it has to be'),
        ({'positions': [(0, 0), (-1, 0)]}, r'positions\[1\] is \(-1, 0\); it has to be.*at least 0'),
        ({'positions': [(0, 0), (0.5, 0)]}, r'positions\[1\] is \(0.5, 0\); it has to be'),
        ({'sizes': [(4, 4), (0, 4)]}, r'sizes\[1\] is \(0, 4\); it has to be.*at least 1'),
        (
            {'positions': [(0, 0), (0, 10)], 'sizes': [(4, 4), (4, 7)]},
            r'Panel 1 of size \(4, 7\) at \(0, 10\) lies outside of target_size \(10, 10\)',
        ),
        ({'images': [image_of((2, 2)), np.zeros((2, 2, 2), np.uint8)]}, r'images\[1\] has dtype uint8 and shape'),
    ],
)
def test_split_views_refuse_panels_that_do_not_fit(changes, message):
    arguments = {
        'target_size': (10, 10),
        'images': [image_of((2, 2))] * 2,
        'positions': [(0, 0), (0, 4)],
        'sizes': [(4, 4), (4, 4)],
    }
    arguments.update(changes)
    with pytest.raises(ValueError, match=message):
        create_split_view(**arguments)


def test_panels_that_overhang_are_cut_and_grey_ones_are_drawn():
    image, grey = image_of((4, 6)), np.arange(24, dtype=np.uint8).reshape(4, 6)
    canvas = create_split_view(
        (6, 8), [image, grey, grey[..., None]], [(0, 0), (3, 5), (4, 0)], [(4, 6)] * 3, captions=np.array([])
    )
    np.testing.assert_array_equal(canvas[:3, :6], image[:3])
    np.testing.assert_array_equal(canvas[3:, 5:][..., 1][:1], grey[:1, :3])
    np.testing.assert_array_equal(canvas[4:, :5], grey[:2, :5, None].repeat(3, axis=-1))


def test_an_overlay_tells_scripts_of_2017_that_it_is_no_image_of_pillow():
    overlay = print_segmentation_onto_image(image_of((4, 6)), np.zeros((4, 6), int), {0: (1, 2, 3)})
    with pytest.raises(AttributeError, match=r"has no 'save'. Use helpers.images.write_image\(path, overlay\)"):
        overlay.save('x.png')
    with pytest.raises(AttributeError, match="no attribute 'xyz'"):
        _ = overlay.xyz
    assert isinstance(overlay, np.ndarray) and not hasattr(overlay, 'save')


@pytest.mark.parametrize('height', [12, 20, 48])
def test_text_stays_in_its_line(height):
    canvas = np.zeros((3 * height, 20 * height, 3), np.uint8)
    draw_text(canvas, 'Ägypten (j)', (height, height), height, (255, 255, 255))
    ys, xs = np.nonzero(canvas.max(axis=-1) > 40)
    assert height - 1 <= ys.min() and ys.max() <= 2 * height
    assert height - 1 <= xs.min() and xs.max() <= height + text_width('Ägypten (j)', height) + height // 4
    assert len(np.unique(canvas)) > 10  # anti-aliased


@pytest.mark.parametrize(
    'text, seen',
    [
        ('road 12', 'road 12'),
        ('ABC DE', 'ED CBA'),
        ('ABC 12', '12 CBA'),
        ('12 ABC', 'CBA 12'),
        ('ABC 1.5 m', 'm 1.5 CBA'),
        ('ABC (car 12)', '(car 12) CBA'),
        ('ABC 50%, D', 'D ,50% CBA'),
        ('car: ABC 12 (D)', 'car: (D) 12 CBA'),
        ('car ABC 12, bus', 'car 12 CBA, bus'),
        ('\u200fAB\u05b0C', 'CBA'),
    ],
)
def test_hebrew_is_drawn_from_right_to_left_and_numbers_and_other_words_in_it_are_not(text, seen, monkeypatch):
    # Capital letters stand for Hebrew ones.
    text, seen = (
        re.sub('[A-E]', lambda found: chr(ord(found.group()) + 0x5D0 - ord('A')), part) for part in (text, seen)
    )
    monkeypatch.setattr(text_drawing, '_HAS_TYPEFACES', True)
    assert text_drawing._drawable(text) == seen


@pytest.mark.parametrize('has_typefaces', [True, False])
def test_names_in_arabic_are_numbers_because_its_letters_would_not_join(has_typefaces, monkeypatch):
    monkeypatch.setattr(text_drawing, '_HAS_TYPEFACES', has_typefaces)
    arabic = '\u0634\u0627\u0631\u0639'
    assert text_drawing.drawable_name(arabic, 4) == 'class 4'
    assert text_drawing.drawable_name('\u062e\u064e\u0627\u0646\u0647\u200c\u0647\u0627', 5) == 'class 5'  # with marks
    assert text_drawing._drawable('road ' + arabic) == 'road ????'


@given(st.text(max_size=40), st.integers(0, 300))
@settings(deadline=None, max_examples=40)
def test_shortened_text_fits(text, width):
    shortened = shorten_text(text, 16, width)
    assert shortened == '' or text_width(shortened, 16) <= width
    if text_width(text, 16) <= width:
        assert shortened == text


def write_frames(directory, values, size=(16, 24)):
    for name, value in values.items():
        write_image(os.path.join(str(directory), name), np.full(tuple(size) + (3,), value, np.uint8))


def test_video_from_images_in_natural_order(tmp_path):
    write_frames(tmp_path / 'in', {'10.png': 200, '2.PNG': 120, '1.png': 40, '3.jpg': 0})
    path = create_video_from_images(tmp_path / 'out', tmp_path / 'in', frame_rate=10.0)
    assert path == str(tmp_path / 'out.mp4')
    with open_frames(path) as frames:
        assert (frames.size, frames.frame_rate) == ((16, 24), 10.0)
        assert [int(round(frame.mean() / 40)) for frame in frames] == [1, 3, 5]
    assert sorted(os.listdir(str(tmp_path))) == ['in', 'out.mp4']


def test_a_frame_of_another_size_is_named_and_the_rest_plays(tmp_path):
    write_frames(tmp_path / 'in', {'{}.png'.format(i): i for i in range(8)})
    write_frames(tmp_path / 'in', {'5.png': 5}, size=(16, 26))
    (tmp_path / 'out.mp4').write_text('an older video')
    with pytest.raises(ValueError, match=r'5\.png has size \(16, 26\), but the first frame, .*0\.png, has \(16, 24\)'):
        create_video_from_images(str(tmp_path / 'out.mp4'), str(tmp_path / 'in'))
    assert (tmp_path / 'out.mp4').read_text() == 'an older video'
    with open_frames(tmp_path / 'out.partial.mp4') as frames:
        assert len(list(frames)) == 5


def test_a_broken_frame_is_named(tmp_path):
    write_frames(tmp_path / 'in', {'{}.png'.format(i): i for i in range(4)})
    data = (tmp_path / 'in' / '2.png').read_bytes()
    (tmp_path / 'in' / '2.png').write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r'2\.png is truncated'):
        create_video_from_images(str(tmp_path / 'out.mp4'), str(tmp_path / 'in'))
    assert sorted(os.listdir(str(tmp_path))) == ['in', 'out.partial.mp4']


def test_a_video_of_images_needs_a_folder_with_images_and_a_frame_rate(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no directory. Give the directory that holds the frames'):
        create_video_from_images(str(tmp_path / 'out.mp4'), str(tmp_path / 'missing'))
    with pytest.raises(FileNotFoundError, match='no image with one of the extensions jpg'):
        create_video_from_images(str(tmp_path / 'out.mp4'), str(tmp_path), image_file_extension='jpg')
    with pytest.raises(ValueError, match=r"image_file_extension is \['png'\]; it has to be one extension"):
        create_video_from_images(str(tmp_path / 'out.mp4'), str(tmp_path), image_file_extension=['png'])
    with pytest.raises(ValueError, match="frame_rate is '30'; it has to be"):
        create_video_from_images(str(tmp_path / 'out.mp4'), str(tmp_path), frame_rate='30')
    with pytest.raises(ValueError, match='frame_rate is 0; it has to be'):
        create_video_from_images(str(tmp_path / 'out.mp4'), str(tmp_path), frame_rate=0)


def test_opencv_4_draws_text_too(monkeypatch):
    # What OpenCV 5 has and 4 has not.
    monkeypatch.setattr(text_drawing, '_HAS_TYPEFACES', False)
    canvas = np.zeros((30, 300, 3), np.uint8)
    draw_text(canvas, 'Straße, é, 道', (2, 2), 20, (255, 255, 255))
    assert canvas.max() > 200
    assert text_drawing._drawable('é道') == 'e?'


def test_one_long_name_leaves_a_legend_its_columns():
    names = ['class {}'.format(number) for number in range(40)]
    usual = draw_legend(generic_label_space(40, class_names=names), 480)
    found = draw_legend(generic_label_space(40, class_names=['a long name ' * 6] + names[1:]), 480)
    assert len(found) < 2 * len(usual)


def test_a_legend_of_names_that_cannot_be_drawn_has_numbers(monkeypatch):
    monkeypatch.setattr(text_drawing, '_HAS_TYPEFACES', False)
    expected = draw_legend(generic_label_space(3, class_names=['class 0', '? (road)', 'class 2']), 200)
    found = draw_legend(generic_label_space(3, class_names=['\u9053\u8def', '\u9053 (road)', ' ']), 200)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('width', [3, 20, 50])
def test_a_legend_of_any_width_goes_under_a_picture(width):
    picture, legend = np.full((4, 20, 3), 7, np.uint8), np.full((2, width, 3), 9, np.uint8)
    found = put_above_legend(picture, legend)
    expected = np.full((6, max(20, width), 3), 255, np.uint8)
    expected[:4, :20], expected[4:, :width] = 7, 9
    np.testing.assert_array_equal(found, expected)


def test_errors_are_vermilion_within_and_blue_along_borders_of_classes():
    space = LabelSpace('test', ('void', 'a', 'b'), ((0, 0, 0), (9, 9, 9), (8, 8, 8)), void_class_ids=(0,))
    rng = np.random.default_rng(0)
    labels = np.ones((40, 60), np.uint8)
    labels[10:30, 20:45] = 2
    labels[35:, :5], labels[:3, 50:] = 0, 255
    class_ids = np.where(rng.random(labels.shape) < 0.3, 3 - labels, labels).astype(np.uint8)
    image = np.full(labels.shape + (3,), 100, np.uint8)
    found = draw_errors(image, labels, class_ids, space)
    for row in range(40):
        for column in range(60):
            around = labels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            if labels[row, column] in (0, 255):
                expected = (30, 30, 30)
            elif labels[row, column] == class_ids[row, column]:
                expected = (135, 135, 135)
            else:
                expected = (86, 180, 233) if (around != labels[row, column]).any() else (213, 94, 0)
            assert tuple(found[row, column]) == expected, (row, column)
    with pytest.raises(ValueError, match=r'size \(20, 60\) came with labels of size \(40, 60\)'):
        draw_errors(image[:20], labels, class_ids, space)
    np.testing.assert_array_equal(draw_errors(image.tolist(), labels.tolist(), class_ids.tolist(), space), found)
