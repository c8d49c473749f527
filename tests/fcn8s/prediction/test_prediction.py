import os
import pathlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_resizing import slow_resize

from data_generator.transforms import geometry
from fcn8s import FCN8s
from fcn8s.prediction import frozen_network, predictor
from fcn8s.prediction.predictor import Predictor
from helpers.images import write_image
from helpers.label_spaces import LABEL_SPACES


def random_image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def smooth_image(height, width, seed=0):
    coarse = random_image(max(2, height // 8), max(2, width // 8), seed)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope='module')
def model(small_model):
    with frozen_network.open_model(small_model) as opened:
        yield opened


def colour_classes(images, argmax=True):
    """A network without a field of view: three classes, as likely as the channels are bright."""
    probabilities = (images.astype(np.float32) + 1) / (images.astype(np.float32) + 1).sum(axis=-1, keepdims=True)
    return np.argmax(probabilities, axis=-1).astype(np.uint8) if argmax else probabilities


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(height=st.integers(1, 97), width=st.integers(1, 97))
def test_every_size_is_predicted_at_that_size(model, height, width):
    predictor = Predictor(model.predict, model.num_classes)
    image = random_image(height, width)
    class_ids = predictor.class_ids(image)
    assert class_ids.shape == (height, width) and class_ids.dtype == np.uint8 and class_ids.max() < 20
    probabilities = predictor.probabilities(image)
    assert probabilities.shape == (height, width, 20) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-4)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(height=st.integers(1, 97), width=st.integers(1, 97))
def test_every_size_with_scales_mirror_and_tiles(model, height, width):
    predictor = Predictor(model.predict, model.num_classes, (64, 40), 8, scales=(0.5, 1.3), mirror=True)
    image = random_image(height, width)
    assert predictor.class_ids(image).shape == (height, width)
    np.testing.assert_allclose(predictor.probabilities(image).sum(axis=-1), 1, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), overlap=st.integers(0, 30))
def test_tiles_change_nothing_where_pixels_are_predicted_by_themselves(height, width, overlap):
    image = random_image(height, width)
    tiled = Predictor(colour_classes, 3, (64, 80), overlap)
    whole = colour_classes(image[np.newaxis], argmax=False)[0]
    np.testing.assert_allclose(tiled.probabilities(image), whole, atol=1e-6)
    sure = np.ptp(np.sort(image, axis=-1)[..., 1:].astype(int), axis=-1) > 0
    np.testing.assert_array_equal(tiled.class_ids(image)[sure], colour_classes(image[np.newaxis])[0][sure])


@pytest.mark.parametrize('width, overlap', [(1120, 32), (1114, 32), (1090, 64)])
def test_tiles_equal_the_whole_image_away_from_their_borders(model, width, overlap):
    # VGG-16 sees 404 pixels (202 to either side), and upsampling adds up to 32 + 16 + 8 to that.
    reach = 202 + 56
    image = smooth_image(64, width)
    whole = Predictor(model.predict, model.num_classes).probabilities(image)
    tiled = Predictor(model.predict, model.num_classes, (96, 640), overlap).probabilities(image)
    # Tiles 0..640 and 480..1120, or up to 31 pixels narrower ones, meet between 480 and 640.
    np.testing.assert_allclose(tiled[:, : 480 - reach], whole[:, : 480 - reach], atol=1e-5)
    np.testing.assert_allclose(tiled[:, 640 + reach :], whole[:, 640 + reach :], atol=1e-5)
    assert np.abs(tiled - whole).max() < 0.5


def test_tiles_are_never_larger_than_asked():
    sizes = []

    def recording(images, argmax=True):
        sizes.append(images.shape[1:3])
        return colour_classes(images, argmax)

    Predictor(recording, 3, (64, 96), 16).class_ids(random_image(200, 300))
    assert max(h for h, _ in sizes) <= 64 and max(w for _, w in sizes) <= 96 and len(sizes) > 4


def recording_shapes(shapes):
    def predict(images, argmax=True):
        shapes.append(images.shape[1:3])
        return colour_classes(images, argmax)

    return predict


@pytest.mark.parametrize('height, width', [(200, 40), (40, 300), (64, 97), (65, 96)])
def test_an_image_larger_in_one_direction_is_cut_into_tiles(height, width):
    shapes = []
    Predictor(recording_shapes(shapes), 3, (64, 96), 16).class_ids(random_image(height, width))
    assert len(shapes) > 1 and max(h for h, _ in shapes) <= 64 and max(w for _, w in shapes) <= 96


def test_sides_of_a_scaled_image_are_rounded():
    shapes = []
    Predictor(recording_shapes(shapes), 3, scales=(0.29,)).class_ids(random_image(100, 62))
    assert shapes == [(29, 18)]  # 100 * 0.29 is 28.999999999999996, and 62 * 0.29 is 17.98


def test_mirror_averages_the_image_and_its_mirror_image(model):
    image = smooth_image(40, 56)
    plain = model.predict(image[np.newaxis], argmax=False)[0]
    mirrored = model.predict(image[np.newaxis, :, ::-1], argmax=False)[0][:, ::-1]
    found = Predictor(model.predict, model.num_classes, mirror=True).probabilities(image)
    np.testing.assert_allclose(found, (plain + mirrored) / 2, atol=1e-5)
    predictor = Predictor(model.predict, model.num_classes, mirror=True)
    flipped = predictor.probabilities(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_allclose(flipped, found[:, ::-1], atol=1e-5)


def test_classes_of_an_image_and_its_mirror_image_are_those_of_their_mean():
    """Class 2 everywhere, though class 0 is the likeliest at the left of the one and the right of the other."""

    def uneven(images, argmax=True):
        soft_max = np.zeros(images.shape[:3] + (3,), np.float32)
        soft_max[..., 0] = np.linspace(0.4, 0, images.shape[2])
        soft_max[..., 1] = 0.35
        soft_max[..., 2] = 1 - soft_max.sum(axis=-1)
        return soft_max.argmax(axis=-1).astype(np.uint8) if argmax else soft_max

    both, image = Predictor(uneven, 3, mirror=True), random_image(4, 9)
    class_ids = both.class_ids(image)
    np.testing.assert_array_equal(class_ids, both.probabilities(image).argmax(axis=-1))
    np.testing.assert_array_equal(class_ids, class_ids[:, ::-1])


def test_scales_average_soft_max_at_the_size_of_the_image():
    def constant(images, argmax=True):
        share = images.shape[1] / 100.0
        return np.broadcast_to(np.float32([share, 1 - share]), images.shape[:3] + (2,))

    found = Predictor(constant, 2, scales=(0.5, 1.0)).probabilities(random_image(40, 30))
    np.testing.assert_allclose(found, np.broadcast_to([0.3, 0.7], (40, 30, 2)), atol=1e-6)


def test_scales_with_more_classes_than_opencv_has_channels():
    def ramp(images, argmax=True):
        soft_max = np.zeros(images.shape[:3] + (150,), np.float32)
        soft_max[..., 1] = np.linspace(0, 1, images.shape[2])
        soft_max[..., 149] = 1 - soft_max[..., 1]
        return soft_max

    found = Predictor(ramp, 150, scales=(0.5,)).probabilities(random_image(8, 40))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(found[..., 1], np.broadcast_to(np.linspace(0, 1, 40), (8, 40)), atol=0.03)


@pytest.mark.parametrize('classes', [1, 65, 129])
def test_a_map_of_any_number_of_classes_is_resized(classes):
    def certain(images, argmax=True):
        return np.broadcast_to(np.eye(classes, dtype=np.float32)[-1], images.shape[:3] + (classes,))

    found = Predictor(certain, classes, scales=(0.5,)).probabilities(random_image(8, 10))
    np.testing.assert_array_equal(found, np.broadcast_to(np.eye(classes)[-1], (8, 10, classes)))


@pytest.mark.parametrize('scale', [0.75, 0.5, 0.3, 1.5])
def test_scales_resize_images_as_the_data_generator_does(scale):
    seen = []

    def recording(images, argmax=True):
        seen.append(images[0])
        return colour_classes(images, argmax)

    image = random_image(40, 60)
    Predictor(recording, 3, scales=(scale,)).class_ids(image)
    size = (int(40 * scale), int(60 * scale))
    np.testing.assert_array_equal(seen[0], geometry.resize(image, None, size)[0])


def slow_soft_max(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize('image_size', [(66, 130), (32, 64), (16, 40), (70, 20)])
def test_at_a_size_the_logits_are_interpolated_to_that_of_the_image(model, image_size):
    image = smooth_image(*image_size)
    resized = geometry.resize(image, None, (32, 64))[0]
    logits = slow_resize(model.run(model.logits, {model.images: resized[np.newaxis]})[0], *image_size)
    predictor = Predictor(model.predict, model.num_classes, size=(32, 64))
    np.testing.assert_allclose(predictor.probabilities(image), slow_soft_max(logits), atol=1e-4)
    certain = np.diff(np.sort(logits, axis=-1)[..., -2:], axis=-1)[..., 0] > 1e-4
    class_ids = predictor.class_ids(image)
    assert certain.mean() > 0.9 and class_ids.dtype == np.uint8 and class_ids.shape == image_size
    np.testing.assert_array_equal(class_ids[certain], np.argmax(logits, axis=-1)[certain])


@pytest.mark.parametrize(
    'options',
    [{'mirror': True}, {'scales': (0.5, 1.0)}, {'tile': (40, 48), 'overlap': 8}, {'tile': (64, 64), 'overlap': 8}],
)
def test_at_a_size_averages_are_those_of_the_resized_image(model, options):
    image = smooth_image(66, 130)
    resized = geometry.resize(image, None, (32, 64))[0]
    averaged = Predictor(model.predict, model.num_classes, **options).probabilities(resized)
    expected = slow_resize(averaged, 66, 130)
    predictor = Predictor(model.predict, model.num_classes, size=(32, 64), **options)
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=1e-5)
    np.testing.assert_array_equal(predictor.class_ids(image), np.argmax(predictor.probabilities(image), axis=-1))


def test_at_a_size_probabilities_of_0_are_interpolated_too():
    def certain(images, argmax=True):
        return np.stack([images[..., 0] > 127, images[..., 0] <= 127], axis=-1).astype(np.float32)

    image = np.repeat(np.uint8([[0, 0, 255, 255]]), 4, axis=0)[..., np.newaxis].repeat(3, axis=-1)
    found = Predictor(certain, 2, size=(2, 2)).probabilities(image)
    np.testing.assert_allclose(found[:, [0, 3]], np.broadcast_to(np.eye(2)[[1, 0]], (4, 2, 2)), atol=1e-6)
    assert np.isfinite(found).all()


def test_at_a_size_averages_are_interpolated_and_not_their_logarithms():
    def sides(images, argmax=True):
        left = np.arange(images.shape[2]) < images.shape[2] // 2
        soft_max = np.where(left[:, np.newaxis], np.float32([0.999, 0.001]), np.float32([0.2, 0.8]))
        return np.broadcast_to(soft_max, images.shape[:3] + (2,)).astype(np.float32)

    found = Predictor(sides, 2, size=(2, 2), averages=True).probabilities(random_image(2, 4))
    expected = [0.999, 0.75 * 0.999 + 0.25 * 0.2, 0.25 * 0.999 + 0.75 * 0.2, 0.2]
    np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize('image_size', [(32, 40), (20, 64)])
@pytest.mark.parametrize('predict', ['class_ids', 'probabilities'])
def test_an_image_with_one_side_of_the_size_is_resized(image_size, predict):
    shapes = []
    found = getattr(Predictor(recording_shapes(shapes), 3, size=(32, 64)), predict)(random_image(*image_size))
    assert shapes == [(32, 64)] and found.shape[:2] == image_size


def test_an_image_of_the_size_is_predicted_as_it_is(model):
    image = smooth_image(32, 64)
    np.testing.assert_array_equal(
        Predictor(model.predict, model.num_classes, size=(32, 64)).class_ids(image), model.predict([image])[0]
    )


@pytest.mark.parametrize(
    'options, message',
    [
        ({'scales': ()}, r'scales is \[\]; it has to be one or more positive numbers'),
        ({'scales': (1.0, 0.0)}, 'positive numbers'),
        ({'scales': (1e6,)}, r'scales is \[1000000.0\]; .* at most 16'),
        ({'scales': 1.5}, 'scales is 1.5; it has to be one or more positive numbers'),
        (
            {'tile': 512},
            r'tile is 512; it has to be \(height, width\), each a whole number of at least 1. Leave it out',
        ),
        ({'tile': (512, 512.5)}, r'tile is \(512, 512.5\); it has to be \(height, width\)'),
        ({'tile': (64, 64), 'overlap': 64}, 'tiles of 64 pixels overlap by 64'),
        ({'tile': (64, 16), 'overlap': 32}, 'tiles of 16 pixels overlap by 32'),
        ({'tile': (16, 64), 'overlap': 32}, 'tiles of 16 pixels overlap by 32'),
        ({'overlap': 64}, 'overlap is 64, but there are no tiles'),
        (
            {'size': (64, 0)},
            r'size is \(64, 0\); it has to be \(height, width\), each a whole number of at least 1. Leave it out',
        ),
        ({'size': ('64', 64)}, r"size is \('64', 64\); it has to be \(height, width\)"),
        ({'size': (None, 64)}, r'size is \(None, 64\); it has to be \(height, width\)'),
        ({'size': (True, True)}, 'size is .True, True.; it has to be'),
        ({'tile': (64, 64), 'overlap': 16.5}, 'overlap is 16.5; it has to be a whole number of at least 0'),
        ({'size': (64, 64.5)}, r'size is \(64, 64.5\); it has to be \(height, width\)'),
    ],
)
def test_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Predictor(colour_classes, 3, **options)


def test_the_classes_are_those_of_the_network(model):
    predictor = Predictor(model.predict, model.num_classes + 1, mirror=True)
    with pytest.raises(ValueError, match=r'num_classes is \d+, and predict.* Give the num_classes of the network'):
        predictor.probabilities(np.zeros([32, 40, 3], np.uint8))


@pytest.mark.parametrize('wrong', [None, 'runs/first', 3])
def test_what_is_no_function_is_no_predict(wrong):
    with pytest.raises(ValueError, match='predict is of the type .*; it has to be a function of images, such as model'):
        Predictor(wrong, 3)


def test_fcn8s_and_the_inference_graph_predict_the_same(small_model, model):
    image = smooth_image(33, 47)
    with FCN8s(model_load_dir=small_model) as network:
        expected = network.predict([image], argmax=False)
    np.testing.assert_allclose(model.predict(image[np.newaxis], argmax=False), expected, atol=1e-5)


@pytest.mark.parametrize('dtype', [np.int32, np.float32, np.float64])
def test_the_inference_graph_takes_whole_numbers_of_any_type(model, dtype):
    images = random_image(9, 14)[np.newaxis]
    np.testing.assert_allclose(
        model.predict(images.astype(dtype), argmax=False), model.predict(images, argmax=False), atol=1e-6
    )


def test_the_inference_graph_takes_numbers_between_as_fcn8s_does(small_model, model):
    images = smooth_image(33, 47)[np.newaxis] * np.float32(0.37)
    with FCN8s(model_load_dir=small_model) as network:
        expected = network.predict(images, argmax=False)
    np.testing.assert_allclose(model.predict(images, argmax=False), expected, atol=1e-5)
    assert np.abs(model.predict(images.astype(np.uint8), argmax=False) - expected).max() > 1e-4


@pytest.mark.parametrize(
    'images, message',
    [
        (random_image(4, 5)[np.newaxis] / 255.0, 'image values go from 0[.0-9]* to 1?[.0-9]*; .* Multiply by 255'),
        (random_image(4, 5)[np.newaxis].astype(np.int32) - 128, 'image values go from -[0-9]+ to [0-9]+; the network'),
        (random_image(4, 5), r'images have the shape \(4, 5, 3\); expected .*Pass a single image as \[image\]'),
        ([random_image(4, 5), random_image(5, 4)], 'the images have different shapes'),
    ],
)
def test_the_inference_graph_refuses_what_it_would_misread(model, images, message):
    with pytest.raises(ValueError, match=message):
        model.predict(images)


@pytest.fixture
def folders(tmp_path):
    images, results = tmp_path / 'images', tmp_path / 'results'
    images.mkdir()
    for number in range(3):
        write_image(str(images / 'image{}.png'.format(number)), random_image(12, 16, seed=number))
    return str(images), str(results)


COLORS = {0: (255, 0, 0), 1: (0, 255, 0, 128)}


def read(path):
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


def test_predict_and_save_writes_overlays_of_the_same_names(folders):
    images, results = folders
    written = predictor.predict_and_save(colour_classes, results, images, COLORS)
    assert sorted(os.listdir(results)) == ['image0.png', 'image1.png', 'image2.png']
    assert written == [os.path.join(results, 'image{}.png'.format(n)) for n in range(3)]
    image, overlay = random_image(12, 16, seed=1), read(written[1])
    class_ids = colour_classes(image[np.newaxis])[0]
    for class_id, color, opacity in ((0, (255, 0, 0), 0.5), (1, (0, 255, 0), 128 / 255), (2, (0, 0, 0), 0)):
        expected = opacity * np.array(color) + (1 - opacity) * image[class_ids == class_id]
        np.testing.assert_allclose(overlay[class_ids == class_id], expected, atol=1)


def test_void_stays_the_image_itself(folders):
    images, results = folders

    def all_void(batch):
        return np.zeros(batch.shape[:3], np.uint8)  # class 0 of cityscapes20 is void

    predictor.predict_and_save(all_void, results, images, LABEL_SPACES['cityscapes20'])
    np.testing.assert_array_equal(read(os.path.join(results, 'image2.png')), random_image(12, 16, seed=2))


@pytest.mark.parametrize('arrangement, size', [('vertical', (24, 16)), ('horizontal', (12, 32))])
def test_predict_and_save_beside_the_image(folders, arrangement, size):
    images, results = folders
    written = predictor.predict_and_save(
        colour_classes, results, images, COLORS, include_unprocessed_image=True, arrangement=arrangement
    )
    picture = read(written[0])
    assert picture.shape[:2] == size
    np.testing.assert_array_equal(picture[:12, :16], random_image(12, 16, seed=0))


def test_predict_and_save_resizes(folders):
    images, results = folders
    written = predictor.predict_and_save(colour_classes, results, images, COLORS, resize=np.array([6, 10]))
    assert read(written[0]).shape == (6, 10, 3)


def test_existing_results_are_replaced_or_kept_and_nothing_else_is_touched(folders):
    images, results = folders
    os.makedirs(results)
    write_image(os.path.join(images, 'more', 'image8.png'), random_image(4, 5))
    for name in ('image1.png', 'notes.txt', 'image7.png'):
        pathlib.Path(results, name).write_text('mine')
    written = predictor.predict_and_save(colour_classes, results, images, COLORS, overwrite_existing=False)
    assert [os.path.basename(path) for path in written] == ['image0.png', 'image2.png']
    assert pathlib.Path(results, 'image1.png').read_text() == 'mine'
    predictor.predict_and_save(colour_classes, results, images, COLORS)
    assert read(os.path.join(results, 'image1.png')).shape == (12, 16, 3)
    assert pathlib.Path(results, 'notes.txt').read_text() == 'mine'
    assert pathlib.Path(results, 'image7.png').read_text() == 'mine'
    assert sorted(os.listdir(images)) == ['image0.png', 'image1.png', 'image2.png', 'more']
    assert 'image8.png' not in os.listdir(results) and 'more' not in os.listdir(results)


def test_predict_and_save_refuses_before_predicting(folders, tmp_path):
    images, results = folders

    def predict(_):
        pytest.fail('predicted')

    save = predictor.predict_and_save
    (tmp_path / 'link').symlink_to(images)
    for same in (images, images + os.sep, str(tmp_path / 'link')):
        with pytest.raises(ValueError, match='are the same folder'):
            save(predict, same, images, COLORS)
    with pytest.raises(ValueError, match="overwrite_existing is 'no'; it has to be True or False"):
        save(predict, results, images, COLORS, overwrite_existing='no')
    with pytest.raises(ValueError, match="'~/results' begins with '~'"):
        save(predict, '~/results', images, COLORS)
    with pytest.raises(ValueError, match="arrangement is 'diagonal'; choose from vertical, horizontal"):
        save(predict, results, images, COLORS, arrangement='diagonal')
    with pytest.raises(ValueError, match="arrangement is 'horizontal'; .* include_unprocessed_image is off"):
        save(predict, results, images, COLORS, arrangement='horizontal')
    with pytest.raises(ValueError, match='resize is True; it has to be'):
        save(predict, results, images, COLORS, resize=True)
    with pytest.raises(ValueError, match='resize is 5; it has to be'):
        save(predict, results, images, COLORS, resize=5)
    with pytest.raises(ValueError, match='image_file_extension is None; it has to be one extension'):
        save(predict, results, images, COLORS, image_file_extension=None)
    for colors in (None, 5, {0: 'red'}):
        with pytest.raises(ValueError, match='The colours .* came, but a LabelSpace'):
            save(predict, results, images, colors)
    with pytest.raises(FileNotFoundError, match='is no folder'):
        save(predict, results, str(tmp_path / 'nowhere'), COLORS)
    with pytest.raises(FileNotFoundError, match='no image with one of the extensions jpg'):
        save(predict, results, images, COLORS, image_file_extension='jpg')
    assert not os.path.exists(results)


@pytest.mark.parametrize(
    'image',
    [*(np.zeros(shape, np.uint8) for shape in [(1, 4, 4, 3), (0, 4, 3), (4, 0, 3)]), [[[0, 0, 0]]], 'a.png', None],
)
def test_a_predictor_takes_one_array(image):
    one = predictor.Predictor(lambda *_, **__: pytest.fail('predicted'), 3)
    for predict in (one.class_ids, one.probabilities):
        with pytest.raises(ValueError, match=r'the image .*; it has to be one array uint8 \[H, W, 3\]'):
            predict(image)


def test_predict_and_save_names_a_broken_image(folders):
    images, results = folders
    path = os.path.join(images, 'image1.png')
    os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(ValueError, match='image1.png'):
        predictor.predict_and_save(colour_classes, results, images, COLORS)
    assert os.listdir(results) == ['image0.png']


def test_fcn8s_predict_and_save(folders, small_model):
    images, results = folders
    with FCN8s(model_load_dir=small_model) as network:
        network.predict_and_save(results, images, network.label_space)
    assert len(os.listdir(results)) == 3
