"""Every transform against slow references, and all of them together by their properties."""

import colorsys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_generator.transforms import geometry, light
from data_generator.transforms.geometry import Padding
from data_generator.transforms.pipeline import build_pipeline

PADDING = Padding((1, 2, 3), 77)
PAD_ID = 65535  # no pixel number of the small images below


def coordinate_pair(height, width):
    """An image that holds 3 x, 3 y and their sum, and a label that numbers the pixels: each tells where it is from."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([3 * x, 3 * y, x + y], axis=-1).astype(np.uint8)
    return image, (y * width + x).astype(np.uint16)


def noise_pair(height, width, num_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        rng.integers(0, num_classes, (height, width), dtype=np.uint8),
    )


def rng_of(number):
    return np.random.default_rng([0, number])


def near(mask, reach):
    """The pixels within so many pixels of the mask."""
    padded = np.pad(mask, reach, 'constant')
    shifts = [np.roll(padded, (dy, dx), (0, 1)) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    return np.any(shifts, axis=0)[reach:-reach, reach:-reach]


def assert_aligned(image, label, source_width, pixels=0.55):
    """Image and label of a transformed `coordinate_pair` come from places that are so many pixels apart at most."""
    inside = ~near(label == PAD_ID, 2)
    y, x = np.divmod(label.astype(int), source_width)
    for channel, expected, slope in ((0, 3 * x, 3), (1, 3 * y, 3), (2, x + y, 2)):
        error = np.abs(image[..., channel].astype(float) - expected)[inside]
        assert error.size == 0 or error.max() <= slope * pixels + 1


# ---- One by one ----


@pytest.mark.parametrize(
    'top, left, size',
    [(2, 3, (4, 5)), (-2, -1, (5, 4)), (5, 6, (9, 9)), (-3, -3, (20, 20)), (30, 0, (3, 3)), (0, 0, (8, 9))],
)
def test_a_window_is_the_source_or_padding(top, left, size):
    image, label = noise_pair(8, 9)
    out_image, out_label = geometry.cut_window(image, label, top, left, size, PADDING)
    assert out_image.shape == size + (3,) and out_label.shape == size
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = row + top, column + left
            inside = 0 <= y < 8 and 0 <= x < 9
            assert tuple(out_image[row, column]) == (tuple(image[y, x]) if inside else (1, 2, 3))
            assert out_label[row, column] == (label[y, x] if inside else 77)


def test_crop_cuts_off_top_bottom_left_right():
    image, label = noise_pair(10, 12)
    out_image, out_label = geometry.crop(image, label, (1, 2, 3, 4))
    np.testing.assert_array_equal(out_image, image[1:8, 3:8])
    np.testing.assert_array_equal(out_label, label[1:8, 3:8])


def test_crop_of_everything_is_refused():
    image, label = noise_pair(10, 12)
    with pytest.raises(ValueError, match=r'crop=\(5, 5, 0, 0\).*10x12.*less than 10 rows'):
        geometry.crop(image, label, (5, 5, 0, 0))


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 4))
def test_resized_labels_come_from_the_centres_of_the_pixels(sides):
    height, width, new_height, new_width = sides
    image, label = coordinate_pair(height, width)
    out_image, out_label = geometry.resize(image, label, (new_height, new_width))
    assert out_image.shape == (new_height, new_width, 3) and out_label.shape == (new_height, new_width)
    y, x = np.divmod(out_label.astype(int), width)
    for source, length, new_length in ((y[:, 0], height, new_height), (x[0], width, new_width)):
        centers = (np.arange(new_length) + 0.5) * length / new_length
        assert np.all((source <= centers + 1e-9) & (centers - 1e-9 <= source + 1))


@pytest.mark.parametrize('size', [(20, 30), (40, 60), (13, 17), (57, 41), (10, 15)])
def test_resize_keeps_image_and_label_aligned(size):
    image, label = coordinate_pair(40, 60)
    out_image, out_label = geometry.resize(image, label, size)
    reach = max(40 / size[0], 60 / size[1], 1) / 2  # half a pixel of the coarser grid, in pixels of the source
    y, x = np.divmod(out_label.astype(int), 60)
    assert np.abs(out_image[..., 0] - 3.0 * x).max() <= 3 * reach + 0.5
    assert np.abs(out_image[..., 1] - 3.0 * y).max() <= 3 * reach + 0.5


def test_resize_to_half_takes_the_mean_of_four_pixels():
    image, _ = noise_pair(8, 12)
    out_image, _ = geometry.resize(image, None, (4, 6))
    expected = image.reshape(4, 2, 6, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(out_image - expected).max() <= 0.5


def test_labels_keep_their_size_on_request():
    image, label = noise_pair(8, 12)
    out_image, out_label = build_pipeline(resize=(4, 6), flip=1.0, resize_labels=False)(image, label, rng_of(0))
    assert out_image.shape == (4, 6, 3)
    np.testing.assert_array_equal(out_label, label[:, ::-1])


def test_flip_mirrors_left_and_right():
    image, label = noise_pair(6, 7)
    out_image, out_label = build_pipeline(flip=1.0)(image, label, rng_of(0))
    np.testing.assert_array_equal(out_image, image[:, ::-1])
    np.testing.assert_array_equal(out_label, label[:, ::-1])


@pytest.mark.parametrize(
    'translate, shift',
    [(((-2, -2), (-3, -3), 1.0), (-2, -3)), (((-1, -1), (0, 0), 1.0), (-1, 0)), (((4, 4), (1, 1), 0.0), (0, 0))],
)
def test_translate_shifts_right_and_down(translate, shift):
    image, label = noise_pair(8, 9)
    pipeline = build_pipeline(translate=translate, pad_value=(1, 2, 3), void_class_id=77)
    right, down = shift
    expected_image, expected_label = geometry.cut_window(image, label, -down, -right, (8, 9), PADDING)
    for number in range(10):
        out_image, out_label = pipeline(image, label, rng_of(number))
        np.testing.assert_array_equal(out_image, expected_image)
        np.testing.assert_array_equal(out_label, expected_label)


def test_translate_without_negative_numbers_goes_either_way():
    image, label = coordinate_pair(20, 20)
    pipeline = build_pipeline(translate=((2, 5), (0, 0), 1.0), ignore_id=PAD_ID)
    shifts = set()
    for number in range(80):
        row = pipeline(image, label, rng_of(number))[1][0].astype(int)
        inside = np.flatnonzero(row != PAD_ID)[0]
        shifts.add(inside - row[inside])
    assert shifts == {-5, -4, -3, -2, 2, 3, 4, 5}


def reference_warp(image, label, matrix):
    """Bilinear and nearest sampling, a pixel at a time; the rim of the image repeated outwards, padding beyond."""
    height, width = label.shape
    inverse = np.linalg.inv(matrix)
    out_image, out_label = np.empty(image.shape), np.empty(label.shape, int)
    exact = np.ones(label.shape, bool)  # False where the nearest pixel is a matter of rounding
    for row in range(height):
        for column in range(width):
            x, y, _ = inverse.dot((column, row, 1))
            exact[row, column] = min(abs(x - np.floor(x) - 0.5), abs(y - np.floor(y) - 0.5)) > 0.02
            if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
                out_image[row, column], out_label[row, column] = (1, 2, 3), 77
                continue
            out_label[row, column] = label[int(np.floor(y + 0.5)), int(np.floor(x + 0.5))]
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            x0, y0 = min(int(x), width - 2), min(int(y), height - 2)
            (a, b), (c, d) = image[y0 : y0 + 2, x0 : x0 + 2].astype(float)
            out_image[row, column] = (1 - y + y0) * ((1 - x + x0) * a + (x - x0) * b) + (y - y0) * (
                (1 - x + x0) * c + (x - x0) * d
            )
    return out_image, out_label, exact


@pytest.mark.parametrize(
    'degrees, factor, flipped',
    [(0, 0.6, False), (0, 1.7, True), (20, 1.0, False), (-33, 0.8, True), (180, 1.0, False), (90, 1.3, False)],
)
def test_warp_samples_image_and_label_where_the_matrix_says(degrees, factor, flipped):
    image, label = noise_pair(17, 23)
    matrix = geometry.similarity_matrix((17, 23), degrees, factor)
    if flipped:
        matrix = matrix.dot(geometry.flip_matrix((17, 23)))
    matrix = geometry.translation_matrix(2, -1).dot(matrix)
    out_image, out_label = geometry.warp(image, label, matrix, PADDING)
    expected_image, expected_label, exact = reference_warp(image, label, matrix)
    np.testing.assert_array_equal(out_label[exact], expected_label[exact])
    # OpenCV may round coordinates to 1/32 of a pixel, and neighbours of noise differ by up to 255.
    assert np.abs(out_image - expected_image)[exact].max() <= 2 * 255 / 32 + 1


def test_rotation_is_counter_clockwise():
    image, label = noise_pair(9, 9)
    out_image, out_label = build_pipeline(rotate=(90, 90, 1.0))(image, label, rng_of(0))
    np.testing.assert_array_equal(out_label, np.rot90(label))
    np.testing.assert_array_equal(out_image, np.rot90(image))


def test_scale_magnifies_about_the_centre_and_keeps_the_size():
    label = np.zeros((21, 21), np.uint8)
    label[8:13, 8:13] = 1
    _, out_label = build_pipeline(scale=(3, 3, 1.0))(np.zeros((21, 21, 3), np.uint8), label, rng_of(0))
    expected = np.zeros((21, 21), np.uint8)
    expected[3:18, 3:18] = 1
    np.testing.assert_array_equal(out_label, expected)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 30)] * 4), st.integers(0, 10**6))
def test_random_scale_and_crop_pad_only_where_no_image_is(sides, seed):
    height, width, *size = sides
    image, label = coordinate_pair(height, width)
    pipeline = build_pipeline(random_crop=size, random_scale=(0.5, 2), ignore_id=PAD_ID, pad_value=(255, 0, 255))
    out_image, out_label = pipeline(image, label, rng_of(seed))
    assert out_image.shape == tuple(size) + (3,) and out_label.shape == tuple(size)
    padding = out_label == PAD_ID
    np.testing.assert_array_equal((out_image == (255, 0, 255)).all(axis=-1), padding)
    rows, columns = np.flatnonzero(~padding.all(axis=1)), np.flatnonzero(~padding.all(axis=0))
    assert not padding[np.ix_(rows, columns)].any()  # the image covers a rectangle, which touches the window's border
    assert len(rows) >= min(size[0], height // 2) and len(columns) >= min(size[1], width // 2)
    assert_aligned(out_image, out_label, width)


@pytest.mark.parametrize('step', [2, 3, 4])
def test_crops_of_images_that_shrink_to_half_or_less_are_averages(step):
    """As the same size in evaluation; bilinear interpolation would pass over pixels."""
    image, label = noise_pair(12 * step, 15 * step)
    pipeline = build_pipeline(random_crop=(12, 15), random_scale=(1 / step, 1 / step))
    means = image.reshape(12, step, 15, step, 3).mean(axis=(1, 3))
    assert np.abs(pipeline(image, label, rng_of(0))[0] - means).max() <= 0.5


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 0.5), st.integers(0, 10**6))
def test_averaged_crops_stay_on_their_labels(factor, seed):
    image, label = coordinate_pair(47, 80)
    pipeline = build_pipeline(random_crop=(9, 11), random_scale=(factor, factor), ignore_id=PAD_ID)
    out_image, out_label = pipeline(image, label, rng_of(seed))
    # At the rim as many pixels are averaged as there are, and each takes the place of a whole block.
    assert_aligned(out_image, out_label, 80, pixels=0.55 + (1 / factor - 1) / 2)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 1.5), st.tuples(st.integers(-9, 40), st.integers(-9, 40)))
def test_the_part_that_a_window_shows_gives_the_pixels_that_the_whole_image_gives(factor, place):
    image, _ = noise_pair(61, 83)
    matrix = geometry._scaling_matrix((61, 83), geometry._scaled_size((61, 83), factor), place)
    whole = geometry._warp(image, matrix, (9, 12), cv2.INTER_LINEAR, PADDING.color)
    part = geometry._warp(*geometry._read_needed(image, matrix, (9, 12)), (9, 12), cv2.INTER_LINEAR, PADDING.color)
    assert np.abs(whole.astype(int) - part).max() <= 8  # OpenCV rounds places to 1/32 of a pixel


def test_random_crop_reaches_every_place():
    image, label = coordinate_pair(5, 6)
    pipeline = build_pipeline(random_crop=(4, 4))
    corners = {int(pipeline(image, label, rng_of(number))[1][0, 0]) for number in range(200)}
    assert corners == {y * 6 + x for y in range(2) for x in range(3)}


def test_class_balanced_crops_are_drawn_again():
    label = np.zeros((40, 40), np.uint8)
    label[:, 20:] = 1
    label[30:, :] = 255
    image = np.zeros((40, 40, 3), np.uint8)
    plain, balanced = build_pipeline(random_crop=(8, 8)), build_pipeline(random_crop=(8, 8), max_class_share=0.75)
    shares = [
        [geometry.largest_class_share(pipeline(image, label, rng_of(number))[1], (255,)) for number in range(60)]
        for pipeline in (plain, balanced)
    ]
    assert np.mean(np.array(shares[0]) <= 0.75) < 0.4
    assert np.mean(np.array(shares[1]) <= 0.75) > 0.7
    assert np.isfinite(shares[1]).all()  # crops without a valid pixel are drawn again too


def test_padding_is_no_class_of_class_balanced_crops():
    label = np.zeros((2, 40), np.uint8)
    label[:, 20::2] = 1
    image = np.zeros((2, 40, 3), np.uint8)
    pipeline = build_pipeline(random_crop=(10, 8), max_class_share=0.6, void_class_id=2, num_classes=3)
    for number in range(20):
        ids = pipeline(image, label, rng_of(number))[1]
        assert np.sum(ids == 0) <= 0.6 * np.sum(ids != 2)


def test_crops_on_classes_show_each_class_equally_often_and_at_their_centre():
    label = np.zeros((60, 80), np.uint8)
    label[30, 40], label[40:50, 20:30], label[:8] = 3, 2, 255  # a single pixel, 100 pixels, ignored
    image = np.repeat(label[..., np.newaxis], 3, axis=-1)
    pipeline = build_pipeline(random_crop=(9, 9), crop_on_classes=1)
    centres = [pipeline(image, label, rng_of(number))[1][4, 4] for number in range(300)]
    counts = np.bincount(centres, minlength=256)
    assert counts[[0, 2, 3]].sum() >= 290  # the rest: class 0 at the rim, where the window stays within the image
    assert 70 < counts[2] < 130 and 70 < counts[3] < 130  # of 300, a third each: 100 +- 8
    half = build_pipeline(random_crop=(9, 9), crop_on_classes=0.5)
    assert 30 < np.sum([half(image, label, rng_of(number))[1][4, 4] == 3 for number in range(300)]) < 75
    again = [pipeline(image, label, rng_of(number))[1][4, 4] for number in range(20)]
    assert again == centres[:20]


@pytest.mark.parametrize('factor', [0.5, 1.0, 1.7])
@pytest.mark.parametrize('size', [(9, 9), (200, 12), (300, 300)])
def test_a_crop_on_a_class_holds_its_pixel_at_every_scale(factor, size):
    for number in range(20):
        row, column = np.random.default_rng(number).integers(0, (60, 80))
        label = np.full((60, 80), 255, np.uint8)
        label[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 1  # 2 pixels wide at least when halved
        image = np.repeat(label[..., np.newaxis], 3, axis=-1)
        options = dict(random_crop=size, random_scale=(factor, factor), crop_on_classes=1)
        cut = build_pipeline(**options)(image, label, rng_of(number))[1]
        assert cut.shape == size and (cut == 1).any() and (cut[:, 0] == 255).any()


def test_images_that_are_too_wide_for_opencv_4_are_scaled_and_cropped(monkeypatch):
    label = (np.arange(40000) // 1000).astype(np.uint8)[np.newaxis].repeat(20, axis=0)
    image, warp = 5 * np.stack([label] * 3, axis=-1), cv2.warpAffine

    def as_opencv_4(source, *arguments, **options):
        assert max(source.shape[:2]) < 32767
        return warp(source, *arguments, **options)

    monkeypatch.setattr('cv2.warpAffine', as_opencv_4)
    for seed in range(4):
        found, ids = geometry.random_crop(
            image, label, rng_of(seed), (9, 9), PADDING, (0.5, 2.0), not_a_class=set(range(40)) - {25}, on_classes=1.0
        )
        assert (ids[4, 4], found[4, 4].tolist()) == (25, [125, 125, 125])


def test_a_label_without_classes_is_cropped_anywhere_and_redrawn_crops_stay_on_their_class():
    image, label = coordinate_pair(40, 40)
    empty = np.full((40, 40), 255, np.uint8)
    pipeline = build_pipeline(random_crop=(4, 4), crop_on_classes=1)
    assert len({tuple(pipeline(image, empty, rng_of(number))[0][0, 0]) for number in range(50)}) > 30
    empty[10:30, 20] = 2  # all that is valid in a window: always drawn again
    both = build_pipeline(random_crop=(5, 5), crop_on_classes=1, max_class_share=0.5)
    assert all(both(image, empty, rng_of(number))[1][2, 2] == 2 for number in range(20))


def test_the_largest_class_share_is_of_the_valid_pixels():
    label = np.array([[1, 1, 2, 255, 255, 255]], np.uint8)
    assert geometry.largest_class_share(label, (255,)) == pytest.approx(2 / 3)
    assert geometry.largest_class_share(label[:, 3:], (255,)) == np.inf


def test_brightness_multiplies_the_v_channel():
    image, _ = noise_pair(6, 6)
    image //= 2  # nothing saturates
    out_image, _ = build_pipeline(brightness=(1.5, 1.5, 1.0))(image, None, rng_of(0))
    for before, after in zip(image.reshape(-1, 3), out_image.reshape(-1, 3)):
        h, s, v = colorsys.rgb_to_hsv(*(before / 255))
        expected = 255 * np.array(colorsys.hsv_to_rgb(h, s, 1.5 * v))
        assert np.abs(after - expected).max() <= 0.51


def test_brightness_saturates_and_leaves_labels_alone():
    image, label = noise_pair(6, 6)
    out_image, out_label = build_pipeline(brightness=(9, 9, 1.0))(image, label, rng_of(0))
    np.testing.assert_array_equal(out_image, np.minimum(image.astype(int) * 9, 255))
    np.testing.assert_array_equal(out_label, label)


def test_color_jitter_turns_hue_and_keeps_greys():
    red, gray = np.full((1, 1, 3), (200, 40, 40), np.uint8), np.full((1, 1, 3), 90, np.uint8)
    turned = light.change_colors(red, 1.0, 1.0, 120.0)[0, 0]
    assert turned.argmax() != 0
    for hue in (0, 40, 180):
        assert np.abs(light.change_colors(gray, 1.0, 0.3, hue)[0, 0].astype(int) - 90).max() <= 1
    np.testing.assert_allclose(light.change_colors(red, 1.0, 1.0, 0.0), red, atol=1)
    luma = 0.299 * 200 + 0.587 * 40 + 0.114 * 40
    np.testing.assert_allclose(light.change_colors(red, 1.0, 0.0, 0.0)[0, 0], luma, atol=1)
    np.testing.assert_allclose(light.change_colors(red, 0.5, 1.0, 0.0)[0, 0], (164, 84, 84), atol=1)


def test_blur_is_gaussian():
    image = np.zeros((31, 31, 3), np.uint8)
    image[15, 15] = 255
    out_image = light.blur(image, 1.0)[15, 15].astype(float)
    weights = np.exp(-(np.arange(-15, 16) ** 2) / 2.0)
    np.testing.assert_allclose(out_image, 255 / weights.sum() ** 2, atol=2)
    np.testing.assert_array_equal(light.blur(image, 0.0), image)


def test_gray_images_have_three_equal_channels():
    image, _ = noise_pair(6, 6)
    out_image, _ = build_pipeline(gray=True)(image, None, rng_of(0))
    assert out_image.shape == image.shape
    np.testing.assert_allclose(out_image, np.repeat(image.dot([[0.299], [0.587], [0.114]]), 3, axis=-1), atol=1)


def test_gray_moves_no_pixel_a_second_time():
    image, label = noise_pair(6, 7)
    out_image, out_label = build_pipeline(flip=1.0, gray=True)(image, label, rng_of(0))
    np.testing.assert_array_equal(out_image, build_pipeline(gray=True)(image[:, ::-1], None, rng_of(0))[0])
    np.testing.assert_array_equal(out_label, label[:, ::-1])


def test_labels_are_converted_from_colors_to_ids_to_ids():
    colors = np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8)
    image = np.zeros((1, 2, 3), np.uint8)
    pipeline = build_pipeline(convert_colors_to_ids={(9, 9, 9): 4, (1, 2, 3): 5}, convert_ids_to_ids={4: 0, 5: 300})
    np.testing.assert_array_equal(pipeline(image, colors, rng_of(0))[1], [[0, 300]])


def test_an_unmapped_color_is_an_error_that_names_it():
    pipeline = build_pipeline(convert_colors_to_ids={(9, 9, 9): 4})
    with pytest.raises(ValueError, match=r'7, 8, 9'):
        pipeline(np.zeros((1, 1, 3), np.uint8), np.array([[[7, 8, 9]]], np.uint8), rng_of(0))


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_id_maps_of_any_integer_type_are_the_same(dtype):
    image, label = noise_pair(12, 14)
    pipeline = build_pipeline(convert_ids_to_ids=np.array([4, 3, 2, 1, 0], dtype), resize=(7, 9), flip=0.5)
    out_label = pipeline(image, label, rng_of(3))[1]
    assert out_label.dtype == np.uint8
    expected = build_pipeline(resize=(7, 9), flip=0.5)(image, label, rng_of(3))[1]
    np.testing.assert_array_equal(out_label, 4 - expected)


@pytest.mark.parametrize(
    'label, message',
    [
        (np.zeros((4, 5), np.uint8), r'4x4 with a label of 4x5.*same size'),
        (np.zeros((4, 4, 3), np.uint8), r'shape \(4, 4, 3\).*convert_colors_to_ids'),
        (np.zeros((4, 4), np.float32), r'float32; it has to be class IDs, uint8 or uint16'),
    ],
)
def test_a_label_that_does_not_fit_its_image_is_refused(label, message):
    with pytest.raises(ValueError, match=message):
        build_pipeline()(np.zeros((4, 4, 3), np.uint8), label, rng_of(0))


# ---- Together ----


def optional(strategy):
    return st.one_of(st.just(False), strategy)


def ranges(low, high):
    return st.tuples(st.floats(low, high), st.floats(low, high), st.floats(0, 1)).map(
        lambda value: (min(value[:2]), max(value[:2]), value[2])
    )


GEOMETRY = dict(
    random_crop=optional(st.tuples(st.integers(12, 50), st.integers(12, 50))),
    crop=optional(st.tuples(*[st.integers(0, 4)] * 4)),
    resize=optional(st.tuples(st.integers(20, 60), st.integers(20, 60))),
    flip=optional(st.floats(0, 1)),
    translate=optional(st.tuples(st.just((0, 3)), st.just((-3, 2)), st.floats(0, 1))),
    rotate=optional(ranges(-180, 180)),
    scale=optional(ranges(0.5, 2)),
)
LIGHT = dict(
    brightness=optional(ranges(0, 3)),
    color_jitter=optional(st.just((0.5, 0.5, 90, 0.7))),
    blur=optional(ranges(0, 3)),
    gray=st.booleans(),
)


def largest_misalignment(options, out_size):
    """Half a pixel of what goes in for each of up to three resamplings, in pixels of the source."""
    top, bottom, left, right = options['crop'] or (0, 0, 0, 0)
    size = options['random_crop'] or (36, 48)
    pixel = 1.25 if options['random_crop'] else 1.0  # random_scale shrinks to 0.8
    shrinking = max(1, (size[0] - top - bottom) / out_size[0], (size[1] - left - right) / out_size[1])
    moves = bool(options['scale'] or options['rotate'] or options['translate'])
    return (
        0.05
        + 0.5 * bool(options['random_crop'])
        + 0.5 * pixel * shrinking * bool(options['resize'])
        + (0.5 * pixel * shrinking * moves)
    )


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries(GEOMETRY), st.integers(0, 10**6))
def test_image_and_label_stay_aligned_under_every_combination(options, seed):
    if options['random_crop']:  # without padding, which a later resize mixes into its neighbours
        options['random_crop'] = (min(options['random_crop'][0], 28), min(options['random_crop'][1], 38))
    if options['resize'] and not options['random_crop']:
        options['resize'] = (max(options['resize'][0], 30), max(options['resize'][1], 40))
    image, label = coordinate_pair(36, 48)
    pipeline = build_pipeline(ignore_id=PAD_ID, random_scale=(0.8, 2) if options['random_crop'] else False, **options)
    out_image, out_label = pipeline(image, label, rng_of(seed))
    assert out_image.shape[:2] == out_label.shape
    assert pipeline.output_size in (None, out_label.shape)
    assert_aligned(out_image, out_label, 48, pixels=largest_misalignment(options, out_label.shape))


@settings(max_examples=80, deadline=None)
@given(st.fixed_dictionaries(dict(GEOMETRY, **LIGHT)), st.integers(0, 10**6))
def test_no_new_label_values_ever_appear(options, seed):
    image, label = noise_pair(24, 30)
    label *= 50
    before = image.copy(), label.copy()
    out_image, out_label = build_pipeline(void_class_id=77, **options)(image, label, rng_of(seed))
    assert out_image.dtype == np.uint8 and out_label.dtype == np.uint8 and out_image.shape == out_label.shape + (3,)
    assert set(np.unique(out_label)) <= {0, 50, 100, 150, 200, 77}
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


@settings(max_examples=30, deadline=None)
@given(st.fixed_dictionaries(dict(GEOMETRY, **LIGHT)), st.integers(0, 10**6))
def test_the_same_draw_gives_the_same_pair_with_and_without_its_label(options, seed):
    image, label = noise_pair(24, 30)
    pipeline = build_pipeline(**options)
    first, second = pipeline(image, label, rng_of(seed)), pipeline(image, label, rng_of(seed))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    alone, none = pipeline(image, None, rng_of(seed))
    np.testing.assert_array_equal(alone, first[0])
    assert none is None


@pytest.mark.parametrize(
    'options',
    [
        dict(crop=(1, 2, 3, 4), resize=(9, 11), flip=0.5, scale=(0.5, 2, 0.5)),
        dict(random_crop=(9, 11), resize=(5, 6), brightness=(0.5, 2, 0.5)),
    ],
)
def test_preparing_and_augmenting_is_the_whole_pipeline(options):
    image, label = noise_pair(24, 30)
    pipeline = build_pipeline(convert_ids_to_ids=[9, 8, 7, 6, 5], **options)
    prepared = pipeline.prepare(image, label)
    for number in range(5):
        whole = pipeline(image, label, rng_of(number))
        parts = pipeline.augment(prepared[0], prepared[1], rng_of(number))
        np.testing.assert_array_equal(whole[0], parts[0])
        np.testing.assert_array_equal(whole[1], parts[1])


def test_the_key_of_what_is_prepared_ignores_what_is_random():
    def key(**options):
        return build_pipeline(**options).prepare_key

    assert key(resize=(4, 5)) == key(resize=(4, 5), flip=0.5, gray=True)
    assert key(resize=(4, 5)) != key(resize=(5, 4))
    assert key(resize=(4, 5)) != key(resize=(4, 5), resize_labels=False)
    assert key(crop=(1, 0, 0, 0)) != key()
    assert key(random_crop=(4, 5), resize=(4, 5)) == key(random_crop=(6, 6), resize=(9, 9))
    assert key(convert_ids_to_ids={0: 1, 1: 2}) == key(convert_ids_to_ids={1: 2, 0: 1}) != key()
    assert key(convert_ids_to_ids=np.array([1, 2], np.uint8)) == key(convert_ids_to_ids=[1, 2])


@pytest.mark.parametrize(
    'options, size',
    [
        (dict(), None),
        (dict(resize=(4, 5)), (4, 5)),
        (dict(random_crop=(9, 8)), (9, 8)),
        (dict(random_crop=(9, 8), crop=(1, 2, 3, 1)), (6, 4)),
        (dict(random_crop=(9, 8), resize=(4, 5)), (4, 5)),
        (dict(crop=(1, 2, 3, 1)), None),
    ],
)
def test_the_size_of_the_output_is_known_where_it_is_fixed(options, size):
    assert build_pipeline(**options).output_size == size


# ---- Refusals ----


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(random_crop=(0, 4)), r'random_crop is \(0, 4\); it has to be \(height, width\)'),
        (dict(random_crop=4), r'random_crop is 4; it has to be \(height, width\)'),
        (dict(resize=(4.5, 4)), r'resize is \(4.5, 4\); it has to be .* whole number.*Write resize=\(512, 1024\)'),
        (dict(resize=True), r'resize is True; it has to be'),
        (dict(crop=(1, 2, 3)), r'crop is \(1, 2, 3\); it has to be \(top, bottom, left, right\)'),
        (dict(crop=(-1, 0, 0, 0)), r'at least 0'),
        (dict(brightness=(0.5, 1.5)), r'brightness is \(0.5, 1.5\); it has to be \(min, max, probability\)'),
        (dict(brightness=(1.5, 0.5, 0.5)), r'min <= max'),
        (dict(brightness=(-1, 0.5, 0.5)), r'from 0 to 100'),
        (dict(brightness=(0.5, float('nan'), 0.5)), r'brightness'),
        (dict(brightness=(0.5, 1e300, 0.5)), r'both from 0 to 100'),
        (dict(brightness=np.array(1.5)), r'brightness is array\(1.5\); it has to be'),
        (dict(resize=np.array(4)), r'resize is array\(4\); it has to be'),
        (dict(resize=(10**6, 10**6)), r'resize is .*; an image may have 1,073,741,824 pixels at most'),
        (dict(translate=((0, 2**70), (0, 1), 0.5)), r'translate is .* whole pixels, 1,073,741,824 at most'),
        (dict(scale=(1, 1e6, 0.5)), r'scale is .*both from 0 to 100'),
        (dict(random_scale=(1e300, 1e300), random_crop=(4, 4)), r'random_scale is .*factors above 0, 100 at most'),
        (dict(flip=True), r'flip is True; it has to be the probability.*flip=0.5'),
        (dict(flip=1.5), r'flip is 1.5; it has to be'),
        (
            dict(translate=(4, 4, 0.5)),
            r'translate is \(4, 4, 0.5\); it has to be \(\(min, max\), \(min, max\), probability\)',
        ),
        (dict(translate=((0, 1.5), (0, 1), 0.5)), r'whole pixels'),
        (dict(translate=((0, 5), (0, 5), 2)), r'probability'),
        (dict(scale=(0, 2, 0.5)), r'scale is \(0, 2, 0.5\); min has to be above 0'),
        (dict(scale=(1, 2, -1)), r'scale'),
        (dict(rotate=(-200, 10, 0.5)), r'rotate is \(-200, 10, 0.5\); .*from -180 to 180'),
        (dict(gray=2), r'gray is 2; it has to be True or False'),
        (dict(color_jitter=(0.1, 0.1, 0.5)), r'color_jitter is .*\(contrast, saturation, hue, probability\)'),
        (dict(color_jitter=(2, 0, 0, 1)), r'at most 1'),
        (dict(blur=(0, 99, 1)), r'blur is .*from 0 to 50'),
        (dict(random_scale=(0.5, 2)), r'random_scale is \(0.5, 2.0\); it belongs to random crops.*Add random_crop'),
        (dict(random_scale=(0, 2), random_crop=(4, 4)), r'factors above 0'),
        (dict(max_class_share=0.5), r'max_class_share is 0.5; it belongs to random crops'),
        (dict(max_class_share=1.5, random_crop=(4, 4)), r'at most 1'),
        (dict(crop_on_classes=0.5), r'crop_on_classes is 0.5; it belongs to random crops'),
        (dict(crop_on_classes=0, random_crop=(4, 4)), r'crop_on_classes is 0; it has to be the share of the crops'),
        (dict(crop_on_classes=0.5, random_crop=(4, 4), has_labels=False), r'crop_on_classes is for labels'),
        (dict(convert_colors_to_ids=[1]), r'it has to be a dict from \(red, green, blue\)'),
        (dict(convert_colors_to_ids={(1, 2): 1}), r'every key has to be a colour'),
        (
            dict(convert_colors_to_ids={(1, 2, 3): -1}),
            r'convert_colors_to_ids\[\(1, 2, 3\)\] is -1; it has to be a whole number',
        ),
        (dict(convert_ids_to_ids=np.zeros((2, 2), int)), r'one-dimensional array of integers'),
        (dict(convert_ids_to_ids=np.zeros(3)), r'one-dimensional array of integers'),
        (dict(convert_ids_to_ids=np.zeros(65537, int)), r'one-dimensional array of integers, 65536 at most'),
        (dict(convert_ids_to_ids=[0, -1]), r'holds -1; IDs are integers from 0'),
        (dict(convert_ids_to_ids={}), r'at least one ID'),
        (dict(convert_ids_to_ids={0: 'road'}), r"convert_ids_to_ids\[0\] is 'road'"),
        (dict(void_class_id=-1), r'void_class_id is -1; it has to be a whole number from 0'),
        (
            dict(void_class_id=30, num_classes=20),
            r'void_class_id is 30; it has to be one of the num_classes=20.*ignore_id=255',
        ),
        (dict(ignore_id=70000), r'ignore_id is 70000'),
        (dict(pad_value='red'), r"pad_value is 'red'; it has to be \(red, green, blue\)"),
        (dict(pad_value=(0, 0, 256)), r'from 0 to 255'),
        (dict(crop=(2, 2, 0, 0), random_crop=(4, 4)), r'cuts away all of random_crop=\(4, 4\)'),
        (dict(resize=(8, 8), translate=((0, 8), (0, 2), 0.5)), r'out of sight.*less than 8 pixels across'),
        (dict(resize_labels=False, resize=(4, 4), scale=(1, 2, 1)), r'scale is .*resize_labels=False'),
        (
            dict(has_labels=False, convert_ids_to_ids={0: 1}),
            r'convert_ids_to_ids is for labels, and this dataset has none',
        ),
    ],
)
def test_options_are_refused_before_any_work(options, message):
    with pytest.raises(ValueError, match=message):
        build_pipeline(**options)


def test_numpy_numbers_and_lists_are_as_good_as_python_ones():
    image, label = noise_pair(12, 14)
    pipeline = build_pipeline(
        resize=np.array([5.0, 6]), flip=np.float32(1), crop=[np.int64(1), 0, 0, 0], brightness=[1, np.float64(1.5), 1]
    )
    assert pipeline(image, label, rng_of(0))[1].shape == (5, 6)


@pytest.mark.parametrize('factor', [0.5, 1, 2])
@pytest.mark.parametrize('pixel', [(0, 0), (0, 9), (7, 0), (7, 9), (3, 6)])
@pytest.mark.parametrize('size', [(3, 4), (8, 10), (30, 31)])
def test_no_window_has_its_centre_nearer_to_the_pixel(pixel, factor, size):
    corner = geometry.place_on_pixel(pixel, (8, 10), factor, size)
    for at, extent, wanted, first in zip(pixel, (8, 10), size, corner):
        slack = int(extent * factor) - wanted
        allowed = range(min(0, slack), max(0, slack) + 1)
        distances = {place: abs(place + wanted / 2 - (at + 0.5) * factor) for place in allowed}
        assert distances[first] == min(distances.values())
