"""Frames that the network does not see: classes move with the picture, and what cannot be followed is predicted."""

import importlib.util
import os
import sys

import cv2
import numpy as np
import pytest

from data_generator.street_scenes import write_dataset
from fcn8s.prediction.clockwork import Clockwork, Seen
from fcn8s.prediction.drawing import Style
from fcn8s.prediction.predictor import Predictor
from fcn8s.prediction.video import View, render_video
from helpers.images import read_image, write_image
from helpers.label_spaces import LabelSpace

SPACE = LabelSpace('test', ('a', 'b'), ((220, 40, 40), (40, 40, 220)))


def scene(number, seed=0, size=(64, 96)):
    """A textured disc, class 1, that moves three pixels a frame to the right over a texture, and the classes."""
    texture = cv2.GaussianBlur(
        np.random.RandomState(seed).randint(0, 256, (size[0], 400)).astype(np.float32), (0, 0), 2
    )
    texture = cv2.normalize(texture, None, 20, 120, cv2.NORM_MINMAX)
    rows, columns = np.mgrid[: size[0], : size[1]]
    disc = np.hypot(rows - size[0] / 2, columns - 20 - 3 * number) < 14
    moved = texture[rows, (columns - 3 * number) % 400] + 110
    return np.where(disc, moved, texture[:, : size[1]])[..., None].repeat(3, axis=-1).astype(np.uint8), disc


def bright(image):
    """What is brighter than any texture: the disc."""
    return Seen((image[..., 0] >= 125).astype(np.uint8), (image[..., 0] / 255.0).astype(np.float32))


@pytest.mark.parametrize('interval, expected', [(1, 12), (3, 4), (5, 3)])
def test_classes_move_with_the_picture(interval, expected):
    clockwork = Clockwork(bright, interval)
    for number in range(12):
        image, disc = scene(number)
        seen = clockwork(image)
        found = seen.class_ids.astype(bool)
        assert seen.class_ids.dtype == np.uint8 and seen.doubt.shape == disc.shape
        # Copied from the key frame, four frames away, the disc would overlap with itself by less than half.
        assert (found & disc).sum() / (found | disc).sum() > 0.85, number
    assert clockwork.num_predicted == expected


def test_another_scene_is_seen_at_once():
    clockwork = Clockwork(bright, 10)
    clockwork(scene(0)[0])
    clockwork(scene(1)[0])
    assert clockwork.num_predicted == 1
    other = 255 - scene(2, seed=1)[0]
    np.testing.assert_array_equal(clockwork(other).class_ids, bright(other).class_ids)
    assert clockwork.num_predicted == 2
    for number in range(3, 6):
        clockwork(255 - scene(number, seed=1)[0])
    assert clockwork.num_predicted == 2


def test_frames_that_are_too_small_to_follow_are_predicted():
    clockwork = Clockwork(bright, 4)
    for _ in range(4):
        clockwork(np.full((5, 7, 3), 9, np.uint8))
    assert clockwork.num_predicted == 4


def test_a_video_shows_the_network_every_third_frame(tmp_path):
    calls = []

    def predict(images, argmax=True):
        calls.append(1)
        return bright(images[0]).class_ids[np.newaxis]

    for number in range(7):
        write_image(str(tmp_path / 'frames' / '{}.png'.format(number)), scene(number)[0])
    done = render_video(
        Predictor(predict, 2), str(tmp_path / 'frames'), str(tmp_path / 'out.mp4'), SPACE, Style('map'), clockwork=3
    )
    assert done.num_frames == 7 and len(calls) == 3


def test_clockwork_refuses_other_intervals_and_smoothing():
    for interval in (0, 31, 2.5):
        with pytest.raises(ValueError, match='clockwork is {}; it has to be a whole number from 1'.format(interval)):
            Clockwork(bright, interval)
    with pytest.raises(ValueError, match='clockwork is 3 and smoothing 0.5: .* Leave one of them out'):
        View(None, SPACE, smoothing=0.5, clockwork=3)


def test_the_benchmark_runs(root_dir, small_model, tmp_path, monkeypatch, capsys):
    path = os.path.join(root_dir, 'benchmarks', 'clockwork.py')
    specification = importlib.util.spec_from_file_location('clockwork_benchmark', path)
    benchmark = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(benchmark)
    write_dataset(str(tmp_path / 'data'), 1, 1, 5, (64, 128))
    strip = str(tmp_path / 'strip.png')
    arguments = [
        small_model,
        str(tmp_path / 'data' / 'drive'),
        '--intervals',
        '1',
        '3',
        '--rounds',
        '1',
        '--strip',
        strip,
    ]
    monkeypatch.setattr(sys, 'argv', [path] + arguments)
    benchmark.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [['1', '5'], ['3', '2']]
    assert read_image(strip).shape == (5 * 64, 3 * 128, 3)
