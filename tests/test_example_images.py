"""The pictures of example_images/, and the script that makes them."""

import importlib.util
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from fcn8s import FCN8s
from helpers.images import read_image
from helpers.label_spaces import CITYSCAPES

PICTURES = {'street_scene.png', 'street_scene_segmented.png', 'drive.webp', 'architecture.png'}
MAX_BYTES = 2 * 1024 * 1024


@pytest.fixture(scope='module')
def make(root_dir):
    """example_images/make.py as a module."""
    path = os.path.join(root_dir, 'example_images', 'make.py')
    spec = importlib.util.spec_from_file_location('example_images_make', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def model(tiny_encoder):
    with FCN8s(vgg16_dir=tiny_encoder, label_space=CITYSCAPES) as network:
        yield network


def test_folder_holds_the_pictures_and_the_script(root_dir):
    names = set(os.listdir(os.path.join(root_dir, 'example_images'))) - {'__pycache__'}
    assert names == PICTURES | {'make.py', 'photo.webp'}


def test_pictures_are_small_enough_for_a_page_and_large_enough_to_see(root_dir):
    paths = [os.path.join(root_dir, 'example_images', name) for name in sorted(PICTURES)]
    assert sum(os.path.getsize(path) for path in paths) <= MAX_BYTES
    for path in paths:
        assert Image.open(path).size[0] >= 750, path


def test_strip_is_animated(root_dir):
    with Image.open(os.path.join(root_dir, 'example_images', 'drive.webp')) as strip:
        assert strip.n_frames >= 20
        assert strip.info['loop'] == 0


def test_committed_scene_is_the_one_that_the_script_draws(root_dir, make):
    scene = make.make_scene(np.random.default_rng(make.SCENE_SEED), make.SCENE_SIZE)[0].astype(int)
    committed = read_image(os.path.join(root_dir, 'example_images', 'street_scene.png'))
    assert committed.shape == scene.shape
    # Rounding differs between versions of OpenCV.
    assert np.abs(committed - scene).mean() < 1


def test_segmented_scene_covers_the_plain_one(root_dir):
    plain, segmented = (
        read_image(os.path.join(root_dir, 'example_images', name))
        for name in ('street_scene.png', 'street_scene_segmented.png')
    )
    assert segmented.shape[1] == plain.shape[1]
    assert segmented.shape[0] > plain.shape[0]  # the legend
    grey = [cv2.cvtColor(image[: len(plain)], cv2.COLOR_RGB2GRAY).ravel() for image in (plain, segmented)]
    assert np.corrcoef(*grey)[0, 1] > 0.5


def test_writes_all_pictures(make, model, tmp_path):
    pytest.importorskip('matplotlib')
    out = str(tmp_path / 'out')
    paths = make.write_pictures(model, out, scene_size=(64, 128), training_size=(32, 64), num_strip_frames=3)
    assert {os.path.basename(path) for path in paths} == set(os.listdir(out)) == PICTURES
    scene = read_image(paths[0])
    assert scene.shape == (64, 128, 3)
    assert read_image(paths[1]).shape[1] == 128
    with Image.open(paths[2]) as strip:
        assert (strip.size, strip.n_frames) == ((128, 32), 3)
    assert Image.open(paths[3]).size[0] > 1000


def test_overlay_has_the_colours_of_the_prediction(make, model):
    scene = make.make_scene(np.random.default_rng(0), (64, 128))[0]
    segmented = make.segmented_scene(model, scene, (64, 128))
    # An untrained decoder gives every class the same score, and the first one wins: road.
    expected = (1 - make.ALPHA) * scene + make.ALPHA * np.array(CITYSCAPES.colors[0])
    np.testing.assert_allclose(segmented[:64], expected, atol=1)


def test_strip_shows_each_frame_beside_its_segmentation(make, model):
    frames = make.drive_strip(model, (32, 64), 2)
    assert len(frames) == 2
    for frame in frames:
        assert (frame.shape, frame.dtype) == ((32, 128, 3), np.uint8)
        expected = (1 - make.ALPHA) * frame[:, :64] + make.ALPHA * np.array(CITYSCAPES.colors[0])
        np.testing.assert_allclose(frame[:, 64:], expected, atol=1)
    assert not np.array_equal(*frames)


def test_missing_run_is_named(make, tmp_path):
    with pytest.raises(FileNotFoundError, match='no-such-run'):
        make.main(['--run', str(tmp_path / 'no-such-run'), '--out', str(tmp_path / 'out')])
    assert not os.path.exists(str(tmp_path / 'out'))
