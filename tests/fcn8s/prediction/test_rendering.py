import fractions
import os
import signal
import subprocess
import sys
import time
import wave

import cv2
import numpy as np
import pytest
from streams import StoppedCamera

from fcn8s.prediction import video
from fcn8s.prediction.drawing import Drawing, Style, check_style, draw_doubt_key
from fcn8s.prediction.predictor import Predictor
from helpers.image_rules import ImageRules
from helpers.images import write_image
from helpers.label_spaces import LABEL_SPACES, LabelSpace
from helpers.process.termination import Interrupted, exit_status
from helpers.video import VideoWriter, open_frames
from helpers.visualization_utils import draw_legend, put_above_legend

SPACE = LabelSpace('test', ('void', 'left', 'right'), ((9, 9, 9), (220, 40, 40), (40, 40, 220)), void_class_ids=(0,))


def halves(images, argmax=True):
    """Class 1 left, class 2 right, a void row on top."""
    class_ids = np.ones(images.shape[:3], np.uint8)
    class_ids[:, :, images.shape[2] // 2 :] = 2
    class_ids[:, 0] = 0
    return class_ids if argmax else np.eye(3, dtype=np.float32)[class_ids]


PREDICTOR = Predictor(halves, 3)


def write_frames(directory, count, size=(48, 64)):
    os.makedirs(str(directory))
    for number in range(count):
        frame = np.full(size + (3,), 100 + 5 * (number % 20), np.uint8)
        write_image(os.path.join(str(directory), 'frame{}.png'.format(number)), frame)
    return str(directory)


@pytest.fixture
def frames_dir(tmp_path):
    return write_frames(tmp_path / 'frames', 12)


def read_video(path):
    with open_frames(path) as frames:
        return frames.size, frames.frame_rate, list(frames)


@pytest.mark.parametrize(
    'layout, size', [('overlay', (48, 64)), ('map', (48, 64)), ('side-by-side', (48, 128)), ('stacked', (96, 64))]
)
def test_each_layout_makes_a_video_of_its_size(frames_dir, tmp_path, layout, size):
    out = str(tmp_path / 'out.mp4')
    style = Style(layout) if layout == 'map' else Style(layout, alpha=1.0)
    rendered = video.render_video(PREDICTOR, frames_dir, out, SPACE, style, frame_rate=10)
    found_size, frame_rate, frames = read_video(out)
    assert (found_size, frame_rate, len(frames)) == (size, 10, 12)
    assert rendered.num_frames == 12 and rendered.path == out and rendered.frames_per_second > 0
    # The last panel shows the classes, the first one of two the frame itself. Video coding changes colours a little.
    np.testing.assert_allclose(frames[7][-20, -50].astype(int), (220, 40, 40), atol=14)
    np.testing.assert_allclose(frames[7][-20, -10].astype(int), (40, 40, 220), atol=14)
    if layout in ('side-by-side', 'stacked'):
        np.testing.assert_allclose(frames[7][20, 20].astype(int), 135, atol=8)
    assert sorted(os.listdir(str(tmp_path))) == ['frames', 'out.mp4']


def test_frames_of_a_folder_are_read_by_the_rules_of_the_network(tmp_path):
    """Four channels of 16 bits, of which 0 to 4000 is the range: as `fcn8s predict` reads them."""
    os.makedirs(str(tmp_path / 'frames'))
    frame = np.full((48, 64, 4), 2000, np.uint16)
    frame[..., 3] = 4000
    for name in ('1.npy', '2.npy'):
        np.save(str(tmp_path / 'frames' / name), frame)
    seen = []

    def remember(images, argmax=True):
        seen.append(images)
        return halves(images, argmax)

    rules = ImageRules(channels=4, window=((0, 4000),))
    out, style = str(tmp_path / 'out.mp4'), Style('side-by-side', show=(1, 2, 4))
    video.render_video(
        Predictor(remember, 3), str(tmp_path / 'frames'), out, SPACE, style, clockwork=2, image_rules=rules
    )
    assert len(seen) == 1 and seen[0].shape == (1, 48, 64, 4)
    assert (seen[0][0, 0, 0] == (128, 128, 128, 255)).all()
    np.testing.assert_allclose(read_video(out)[2][1][20, 20].astype(int), (128, 128, 255), atol=10)
    with pytest.raises(ValueError, match='is a video or a camera, whose frames are RGB, and the network takes 4 chan'):
        video.render_video(PREDICTOR, out, str(tmp_path / 'again.mp4'), SPACE, image_rules=rules)


@pytest.mark.parametrize('show', [(1, 2, 4), (0, 1, 2), (1, 2), 'rgb'])
def test_channels_to_show_that_there_are_not(frames_dir, tmp_path, show):
    with pytest.raises(ValueError, match='show is .*; it has to be three numbers of channels from 1 to 3'):
        video.render_video(PREDICTOR, frames_dir, str(tmp_path / 'a.mp4'), SPACE, Style(show=show))
    with pytest.raises(ValueError, match=r"show is .*; it is about the frame below .* the layout 'map' leaves out"):
        check_style(Style('map', show=show))
    check_style(Style('map', show=(1, 2, 3), confidence=True))


def test_void_shows_the_frame_in_an_overlay_and_is_black_in_a_map():
    image = np.full((8, 10, 3), 77, np.uint8)
    class_ids = halves(image[np.newaxis])[0]
    np.testing.assert_array_equal(Drawing(SPACE, Style(alpha=1.0))(image, class_ids)[0], 77)
    np.testing.assert_array_equal(Drawing(SPACE, Style(layout='map'))(image, class_ids)[0], 0)


def test_legend_lies_below_the_picture():
    space = LABEL_SPACES['cityscapes']
    image = np.full((60, 320, 3), 77, np.uint8)
    picture = Drawing(space, Style(legend=True))(image, np.zeros((60, 320), np.uint8))
    np.testing.assert_array_equal(picture[60:], draw_legend(space, 320))


def test_a_legend_widens_a_picture_that_is_too_narrow():
    draw = Drawing(LABEL_SPACES['cityscapes'], Style(legend=True))
    for width in (40, 8, 40, 320):
        image = np.full((60, width, 3), 77, np.uint8)
        picture = draw(image, np.full((60, width), 255, np.uint8))
        np.testing.assert_array_equal(picture[:60, :width], image)
        assert (picture[:60, width:] == 255).all()
        np.testing.assert_array_equal(picture[60:], draw_legend(LABEL_SPACES['cityscapes'], picture.shape[1]))
        assert picture.shape[1] == 320 if width == 320 else 80 < picture.shape[1] < 200


def test_a_legend_of_doubt_lies_below_that_of_the_classes():
    image, class_ids = np.full((60, 320, 3), 77, np.uint8), np.zeros((60, 320), np.uint8)
    picture = Drawing(SPACE, Style(legend=True, confidence=True))(image, class_ids, np.zeros((60, 320), np.float32))
    legend, key = draw_legend(SPACE, 320), draw_doubt_key(320)
    np.testing.assert_array_equal(picture[120:], put_above_legend(legend, key))
    bar = np.flatnonzero(key[len(key) // 2].max(axis=-1) < 60)[0]
    assert key[len(key) // 2].min(axis=-1)[bar] < 20 and (key[len(key) // 2, :, 0] > 240).any()


def test_two_networks_of_the_same_classes_have_one_legend():
    style, image = Style(legend=True), np.full((30, 200, 3), 77, np.uint8)
    views = [video.View(None, space, style) for space in (SPACE, SPACE._replace(name='b'), LABEL_SPACES['camvid'])]
    seen = [video.Seen(np.zeros((30, 200), np.uint8))] * 2
    together = video._draw_all(views[:2], image, seen)
    np.testing.assert_array_equal(together[30:], draw_legend(SPACE, 400, line_height=12))
    apart = video._draw_all(views[1:], image, seen)
    np.testing.assert_array_equal(apart[30:, 200:400], draw_legend(LABEL_SPACES['camvid'], 200))


def test_a_legend_taller_than_a_single_picture_names_the_classes_in_it():
    space = LABEL_SPACES['ade20k']
    image, class_ids = np.full((200, 320, 3), 77, np.uint8), np.full((200, 320), 255, np.uint8)
    class_ids[:9], class_ids[9:99] = 149, 3
    single, of_all = Drawing(space, Style(legend=True), are_frames=False), Drawing(space, Style(legend=True))
    np.testing.assert_array_equal(single(image, class_ids)[200:], draw_legend(space, 320, [3, 149]))
    for picture in (of_all(image, class_ids), single(image, np.full_like(class_ids, 255))):
        np.testing.assert_array_equal(picture[200:], draw_legend(space, 320))  # whose lines are the smallest
    few = Drawing(LABEL_SPACES['camvid'], Style(legend=True), are_frames=False)
    np.testing.assert_array_equal(few(image, class_ids)[200:], draw_legend(LABEL_SPACES['camvid'], 320))


def test_a_legend_taller_than_a_frame_has_smaller_letters():
    space = LABEL_SPACES['ade20k']
    draw = Drawing(space, Style(legend=True))
    for height, width in ((1024, 2048), (700, 2048)):
        image = np.full((height, width, 3), 77, np.uint8)
        pictures = [draw(image, np.full((height, width), number, np.uint8)) for number in (0, 149)]
        legends = [picture[height:] for picture in pictures]
        np.testing.assert_array_equal(*legends)
        assert 0.8 * height < len(legends[0]) <= height < len(draw_legend(space, width))


def test_alpha_and_contours():
    image = np.full((40, 40, 3), 100, np.uint8)
    class_ids = halves(image[np.newaxis])[0]
    plain = Drawing(SPACE, Style(alpha=0.0))(image, class_ids)
    np.testing.assert_array_equal(plain, image)
    contours = Drawing(SPACE, Style(alpha=0.01, contours=True))(image, class_ids)
    np.testing.assert_array_equal(contours[30, 19], (220, 40, 40))
    np.testing.assert_array_equal(contours[30, 5], (101, 99, 99))


def test_smoothing_is_a_running_mean_of_the_soft_max():
    values = iter([0.9, 0.4, 0.4, 0.4])
    shares = []

    def flickering(images, argmax=True):
        share = next(values)
        return np.broadcast_to(np.float32([share, 1 - share]), images.shape[:3] + (2,)).copy()

    smoothed = video.SmoothedPredictor(Predictor(flickering, 2), 0.5)
    for _ in range(4):
        shares.append(int(smoothed.class_ids(np.zeros((2, 2, 3), np.uint8))[0, 0]))
    # 0.9, then 0.65, 0.525, 0.4625: the class changes two frames later than by single frames.
    assert shares == [0, 0, 0, 1]


def test_without_smoothing_the_soft_max_is_not_asked_for():
    def ids_only(images, argmax=True):
        assert argmax
        return halves(images)

    smoothed = video.SmoothedPredictor(Predictor(ids_only, 3), 0.0)
    np.testing.assert_array_equal(smoothed.class_ids(np.zeros((4, 4, 3), np.uint8))[3], [1, 1, 2, 2])


def test_smoothed_frames_are_taken_in_order(frames_dir, tmp_path):
    brightness = []

    def recording(images, argmax=True):
        brightness.append(int(images[0, 0, 0, 0]))
        return halves(images, argmax)

    video.render_video(Predictor(recording, 3), frames_dir, str(tmp_path / 'out.mp4'), SPACE, smoothing=0.5)
    assert brightness == [100 + 5 * number for number in range(12)]


def test_videos_of_odd_sizes_become_even(tmp_path):
    frames = write_frames(tmp_path / 'frames', 3, size=(33, 47))
    video.render_video(PREDICTOR, frames, str(tmp_path / 'out.mp4'), SPACE)
    assert read_video(str(tmp_path / 'out.mp4'))[0] == (34, 48)


def test_a_video_is_a_source_as_well(frames_dir, tmp_path):
    first, second = str(tmp_path / 'first.mp4'), str(tmp_path / 'second.mp4')
    video.render_video(PREDICTOR, frames_dir, first, SPACE, Style(alpha=0.0), frame_rate=12)
    video.render_video(PREDICTOR, first, second, SPACE, Style(layout='stacked'))
    size, frame_rate, frames = read_video(second)
    assert (size, frame_rate, len(frames)) == ((96, 64), 12, 12)


def test_a_broken_frame_is_named_and_what_was_done_plays(frames_dir, tmp_path):
    broken = os.path.join(frames_dir, 'frame8.png')
    os.truncate(broken, os.path.getsize(broken) // 2)
    out = str(tmp_path / 'out.mp4')
    with pytest.raises(ValueError, match='frame8.png'):
        video.render_video(PREDICTOR, frames_dir, out, SPACE)
    assert not os.path.exists(out)
    assert len(read_video(str(tmp_path / 'out.partial.mp4'))[2]) == 8


def test_a_source_with_the_name_of_a_partial_video_stays(frames_dir, tmp_path):
    source = str(tmp_path / 'out.partial.mp4')
    video.render_video(PREDICTOR, frames_dir, source, SPACE)
    with open(source, 'rb') as file:
        before = file.read()
    assert video.render_video(PREDICTOR, source, str(tmp_path / 'out.mp4'), SPACE).num_frames == 12
    with open(source, 'rb') as file:
        assert file.read() == before
    assert sorted(os.listdir(str(tmp_path))) == ['frames', 'out.mp4', 'out.partial.mp4']


def test_a_progress_bar_is_closed_before_an_error_is_reported(frames_dir, tmp_path, monkeypatch):
    events = []

    class FullDisk(VideoWriter):
        def write(self, frame):
            raise OSError('the disk is full')

        def __exit__(self, *arguments):
            events.append('reported')
            super().__exit__(*arguments)

    def bar(pictures, num_frames):
        try:
            yield from pictures
        finally:
            events.append('closed')

    monkeypatch.setattr(video, 'VideoWriter', FullDisk)
    with pytest.raises(OSError, match='the disk is full'):
        video.render_video(PREDICTOR, frames_dir, str(tmp_path / 'out.mp4'), SPACE, progress=bar)
    assert events == ['closed', 'reported']


def test_an_error_of_the_network_comes_through(frames_dir, tmp_path):
    calls = []

    def failing(images, argmax=True):
        calls.append(1)
        if len(calls) == 4:
            raise ValueError('out of memory, say')
        return halves(images, argmax)

    with pytest.raises(ValueError, match='out of memory, say'):
        video.render_video(Predictor(failing, 3), frames_dir, str(tmp_path / 'out.mp4'), SPACE)
    assert not os.path.exists(str(tmp_path / 'out.mp4'))


def test_memory_does_not_grow_with_the_length(tmp_path):
    read_ahead = []

    def slow_consumer(pictures, num_frames):
        for number, picture in enumerate(pictures):
            read_ahead.append(len(predicted) - number)
            yield picture

    predicted = []

    def counting(images, argmax=True):
        predicted.append(1)
        return halves(images, argmax)

    frames = write_frames(tmp_path / 'frames', 60, size=(16, 16))
    video.render_video(Predictor(counting, 3), frames, str(tmp_path / 'out.mp4'), SPACE, progress=slow_consumer)
    assert max(read_ahead) < 10


INTERRUPTED = """
import os, signal, sys, threading
import numpy as np
from fcn8s.prediction import video
from fcn8s.prediction.predictor import Predictor
from helpers.label_spaces import LABEL_SPACES
from helpers.process.termination import exit_status
frames, out, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
calls = []

def predict(images, argmax=True):
    calls.append(1)
    if len(calls) == 30:
        os.killpg(os.getpgrp(), number)  # as a terminal and timeout(1) do: the whole group, ffmpeg too
    return np.zeros(images.shape[:3], np.uint8)

try:
    video.render_video(Predictor(predict, 19), frames, out, LABEL_SPACES['cityscapes'])
except KeyboardInterrupt as interrupt:
    print(interrupt)
    sys.exit(exit_status(interrupt))
"""


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_playable_partial_video(tmp_path, number, status):
    source = str(tmp_path / 'source.mp4')
    video.render_video(PREDICTOR, write_frames(tmp_path / 'frames', 60), source, SPACE)
    out = str(tmp_path / 'out.mp4')
    done = subprocess.run(
        [sys.executable, '-c', INTERRUPTED, source, out, str(int(number))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stderr.decode()
    assert not os.path.exists(out)
    frames = read_video(str(tmp_path / 'out.partial.mp4'))[2]
    assert 20 < len(frames) < 40
    assert '{} after {} frames'.format(number.name, len(frames)) in done.stdout.decode()


def test_a_camera_records_until_somebody_stops_it(tmp_path, monkeypatch):
    """The recording takes as long as what it shows, though fewer frames are predicted than the camera promises."""

    class Slow(StoppedCamera):
        def read(self):
            time.sleep(0.2)
            return super().read()

    monkeypatch.setattr(cv2, 'VideoCapture', Slow)
    out, begin = str(tmp_path / 'out.mp4'), time.monotonic()
    rendered = video.render_video(PREDICTOR, 'camera:0', out, SPACE)
    seconds = time.monotonic() - begin
    _, frame_rate, frames = read_video(out)
    assert frame_rate == 25 and 0 < rendered.num_frames <= 10
    assert 2 * rendered.num_frames < len(frames) <= 25 * seconds + 2


@pytest.mark.parametrize('name', ['camera:left', 'camera:0'])
def test_a_folder_is_no_camera_whatever_its_name(tmp_path, monkeypatch, name):
    def slow(images, argmax=True):
        time.sleep(0.1)
        return halves(images, argmax)

    monkeypatch.chdir(tmp_path)
    write_frames(name, 3)
    video.render_video(Predictor(slow, 3), name, 'out.mp4', SPACE)
    assert len(read_video('out.mp4')[2]) == 3


def test_the_sound_of_a_video_and_the_shape_of_its_pixels_are_kept(tmp_path):
    sound, source, out = (str(tmp_path / name) for name in ('sound.wav', 'source.mp4', 'out.mp4'))
    with wave.open(sound, 'wb') as file:
        file.setparams((1, 2, 8000, 0, 'NONE', ''))
        file.writeframes((8000 * np.sin(np.arange(8000) / 4)).astype('<i2').tobytes())
    with VideoWriter(source, (16, 24), 10, sound, fractions.Fraction(4, 3)) as writer:
        for _ in range(10):
            writer.write(np.zeros((16, 24, 3), np.uint8))
    video.render_video(PREDICTOR, source, out, SPACE)
    with open_frames(out) as frames:
        assert frames.has_audio and frames.pixel_aspect == fractions.Fraction(4, 3)
    (tmp_path / 'link.mp4').symlink_to(source)
    with pytest.raises(ValueError, match='is both the video to read and the one to write'):
        video.render_video(PREDICTOR, str(tmp_path / 'link.mp4'), source, SPACE)


def test_below_the_lower_of_two_pictures_is_white():
    beside = video._beside_each_other([np.zeros((4, 3, 3), np.uint8), np.zeros((6, 2, 3), np.uint8)])
    assert beside.shape == (6, 5, 3) and (beside[4:, :3] == 255).all() and not beside[:, 3:].any()


def test_sigterm_ends_the_recording_of_a_camera_well(tmp_path, monkeypatch):
    class Terminated(StoppedCamera):
        signal_number = signal.SIGTERM

    monkeypatch.setattr(cv2, 'VideoCapture', Terminated)
    out = str(tmp_path / 'out.mp4')
    with pytest.raises(Interrupted, match=r'stopped by SIGTERM; .*out\.mp4 is complete until then') as caught:
        video.render_video(PREDICTOR, 'camera:0', out, SPACE)
    assert exit_status(caught.value) == 143 and os.listdir(str(tmp_path)) == ['out.mp4']
    assert len(read_video(out)[2]) > 0


def test_a_frame_that_stays_the_same_is_predicted_once():
    predicted = []

    def counting(images, argmax=True):
        predicted.append(int(images[0, 0, 0, 0]))
        return halves(images, argmax)

    smoothed = video.SmoothedPredictor(Predictor(counting, 3), 0.0)
    found = [smoothed.class_ids(np.full((4, 6, 3), level, np.uint8)) for level in (1, 1, 1, 2, 1)]
    assert predicted == [1, 2, 1]
    for class_ids in found:
        np.testing.assert_array_equal(class_ids, halves(np.zeros((1, 4, 6, 3)))[0])
    del predicted[:]
    doubts = [smoothed.with_doubt(np.full((4, 6, 3), level, np.uint8))[1] for level in (1, 1, 2)]
    assert predicted == [1, 2] and (doubts[0] == doubts[1]).all()


def test_refuses_before_reading_or_writing(frames_dir, tmp_path):
    out = str(tmp_path / 'out.mp4')
    with pytest.raises(ValueError, match="layout is 'mosaic'; choose from overlay, side-by-side, stacked, map"):
        video.render_video(PREDICTOR, frames_dir, out, SPACE, Style(layout='mosaic'))
    with pytest.raises(ValueError, match='alpha is 2; it has to be from 0'):
        video.render_video(PREDICTOR, frames_dir, out, SPACE, Style(alpha=2))
    with pytest.raises(ValueError, match="contours is True; .* which the layout 'map' leaves out"):
        video.render_video(PREDICTOR, frames_dir, out, SPACE, Style('map', contours=True))
    for smoothing in (1.0, '0.5'):
        with pytest.raises(ValueError, match='smoothing is {}; it has to be at least 0'.format(smoothing)):
            video.render_video(PREDICTOR, frames_dir, out, SPACE, smoothing=smoothing)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        video.render_video(PREDICTOR, str(tmp_path / 'nowhere.mp4'), out, SPACE)
    with pytest.raises(ValueError, match='is both the video to read and the one to write'):
        video.render_video(PREDICTOR, out, out, SPACE)
    with pytest.raises(ValueError, match="ends in '?.mp4"):
        video.render_video(None, frames_dir, str(tmp_path / 'out.avi'), SPACE)
    with pytest.raises(ValueError, match='frame_rate is 0.0001; it has to be from 0.001 to 1000'):
        video.render_video(None, frames_dir, out, SPACE, frame_rate=0.0001)
    assert os.listdir(str(tmp_path)) == ['frames']
    os.mkdir(out)
    with pytest.raises(ValueError, match='out.mp4 is a directory, but a video is to be written there'):
        video.render_video(None, frames_dir, out, SPACE)


def test_zoom_enlarges_the_picture_and_not_the_prediction():
    image = np.full((8, 10, 3), 77, np.uint8)
    class_ids = halves(image[np.newaxis])[0]
    small = Drawing(SPACE, Style(alpha=1.0))(image, class_ids)
    large = Drawing(SPACE, Style(alpha=1.0, zoom=3))(image, class_ids)
    np.testing.assert_array_equal(large, small.repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize('zoom', [0, 9, 1.5])
def test_zoom_out_of_range_is_refused(zoom):
    with pytest.raises(ValueError, match='zoom is {}; it has to be a whole number from 1 to 8'.format(zoom)):
        Drawing(SPACE, Style(zoom=zoom))


def sure_on_the_left(images, argmax=True):
    """Class 1 everywhere, by 0.98 in the left half and by 0.5 in the right."""
    shares = np.full(images.shape[:3] + (3,), (0.01, 0.98, 0.01), np.float32)
    shares[:, :, images.shape[2] // 2 :] = (0.01, 0.5, 0.49)
    return np.argmax(shares, axis=-1).astype(np.uint8) if argmax else shares


@pytest.mark.parametrize('layout, size', [('overlay', (96, 64)), ('side-by-side', (48, 192)), ('map', (96, 64))])
def test_doubt_is_a_panel_that_is_bright_where_the_network_is_not_sure(frames_dir, tmp_path, layout, size):
    out = str(tmp_path / 'out.mp4')
    video.render_video(Predictor(sure_on_the_left, 3), frames_dir, out, SPACE, Style(layout, confidence=True))
    found_size, _, frames = read_video(out)
    assert found_size == size
    doubt = frames[3][-48:, -64:].astype(int)
    assert doubt[20:28, 40:56].mean() > doubt[20:28, 8:24].mean() + 60
    np.testing.assert_allclose(doubt[20:28, 8:20].std(axis=-1).mean(), 0, atol=20)  # nearly grey: the image


def test_doubt_is_one_minus_the_largest_soft_max():
    image = np.zeros((4, 8, 3), np.uint8)
    class_ids, doubt = video.SmoothedPredictor(Predictor(sure_on_the_left, 3), 0.0).with_doubt(image)
    np.testing.assert_array_equal(class_ids, 1)
    np.testing.assert_allclose(doubt, np.repeat([[0.02] * 4 + [0.5] * 4], 4, axis=0), atol=1e-6)


def test_a_temperature_changes_the_doubt_and_neither_class_nor_running_mean():
    image = np.zeros((4, 8, 3), np.uint8)
    smoothed = video.SmoothedPredictor(Predictor(sure_on_the_left, 3), 0.5, temperature=2.0)
    for _ in range(2):
        class_ids, doubt = smoothed.with_doubt(image)
        np.testing.assert_array_equal(class_ids, 1)
        shares = [np.sqrt(values) for values in ((0.01, 0.98, 0.01), (0.01, 0.5, 0.49))]
        expected = [1 - values[1] / sum(values) for values in shares]
        np.testing.assert_allclose(doubt, np.repeat([np.repeat(expected, 4)], 4, axis=0), atol=1e-6)
    with pytest.raises(ValueError, match='temperature is nan; it has to be a number'):
        video.View(Predictor(sure_on_the_left, 3), SPACE, temperature=float('nan'))
    with pytest.raises(ValueError, match='temperature is 2: .* and the style shows nothing of that'):
        video.View(Predictor(sure_on_the_left, 3), SPACE, temperature=2.0)


def test_two_models_side_by_side_each_with_its_own_classes(frames_dir, tmp_path):
    other = LabelSpace('other', ('everything', 'nothing'), ((10, 200, 10), (0, 0, 0)))

    def zeros(images, argmax=True):
        return np.zeros(images.shape[:3], np.uint8)

    out = str(tmp_path / 'out.mp4')
    view = video.View(Predictor(zeros, 2), other, Style('map'), caption='b')
    video.render_video(PREDICTOR, frames_dir, out, SPACE, Style('map'), compare=view, caption='a')
    size, _, frames = read_video(out)
    assert size == (48, 128)
    np.testing.assert_allclose(frames[5][30, 16].astype(int), (220, 40, 40), atol=14)
    np.testing.assert_allclose(frames[5][30, 64 + 32].astype(int), (10, 200, 10), atol=14)
    assert frames[5][2:14, 66:76].min() < 100  # the strip of the caption
