import errno
import fractions
import os
import re
import shutil
import struct
import subprocess
import sys
import textwrap
import wave
from typing import List, NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers import video
from helpers.image_rules import ImageRules
from helpers.images import write_image
from helpers.video import VideoWriter, camera_number, check_source, check_video_path, open_frames
from helpers.video_files import decoding, high_dynamic_range
from helpers.video_files.ffmpeg import run_ffmpeg, start_encoder

imageio_ffmpeg = pytest.importorskip('imageio_ffmpeg')
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
NUMBERS = range(60)
HAS_VSYNC = b'fps_mode' not in subprocess.run([FFMPEG, '-h', 'full'], stdout=subprocess.PIPE, check=True).stdout
PASSTHROUGH = ['-vsync', '0'] if HAS_VSYNC else ['-fps_mode', 'passthrough']


def ffmpeg(*arguments):
    subprocess.run([FFMPEG, '-y', '-loglevel', 'error', *map(str, arguments)], check=True)


def facts(path):
    """What ffmpeg says about a file: independent of how this library reads it."""
    done = subprocess.run([FFMPEG, '-hide_banner', '-i', str(path)], stderr=subprocess.PIPE, check=False)
    return done.stderr.decode()


def decode(path):
    """All frames by imageio-ffmpeg, which shares no code with moviepy's reader."""
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)['size']
    return [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader]


def moving_frames(count, size):
    height, width = size
    for index in range(count):
        frame = np.empty((height, width, 3), np.uint8)
        frame[: height // 2], frame[height // 2 :] = (128, 64, 128), (220, 20, 60)
        frame[:, index * 2 % width :] = (0, 8 * index % 256, 142)
        yield frame


def write_video(path, count=12, size=(32, 48), frame_rate=25.0, **options):
    with VideoWriter(path, size, frame_rate, **options) as writer:
        for frame in moving_frames(count, size):
            writer.write(frame)
    return writer


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Sources as other programs make them."""
    folder = tmp_path_factory.mktemp('videos')
    picture = ['-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=25:duration=1']
    sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=']
    coded = ['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-preset', 'ultrafast']
    ffmpeg(*picture, *coded, folder / 'silent.mp4')
    ffmpeg(*picture, *sound[:-1], sound[-1] + '2', *coded, '-c:a', 'aac', folder / 'long_sound.mp4')
    ffmpeg(*picture, *sound[:-1], sound[-1] + '0.4', *coded, '-c:a', 'libmp3lame', folder / 'short_sound.mkv')
    ffmpeg(*picture, *coded, '-f', 'matroska', '-live', '1', folder / 'no_duration.mkv')
    ffmpeg(*picture, '-vf', 'setsar=16/11', *coded, folder / 'wide_pixels.mp4')
    ffmpeg('-f', 'lavfi', '-i', 'sine=duration=1', '-c:a', 'aac', folder / 'only_sound.m4a')
    turned = bytearray((folder / 'silent.mp4').read_bytes())
    # The matrix of the track header, ISO 14496-12 section 8.3.2, as telephones write it when held upright.
    start = turned.index(b'tkhd') + 4 + 40
    turned[start : start + 36] = b''.join(
        number.to_bytes(4, 'big', signed=True) for number in (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    )
    (folder / 'upright.mp4').write_bytes(bytes(turned))
    return folder


@pytest.mark.parametrize('size', [(32, 48), (33, 47), (1, 1), (97, 2)])
def test_written_videos_hold_every_frame_in_its_colours(tmp_path, size):
    writer = write_video(tmp_path / 'a.mp4', 9, size)
    assert writer.num_written == 9
    frames = decode(tmp_path / 'a.mp4')
    assert len(frames) == 9
    for found, wanted in zip(frames, moving_frames(9, size)):
        padded = np.pad(wanted, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), 'edge')
        assert found.shape == padded.shape
        flat = np.abs(found.astype(int) - padded).max(axis=-1)
        # Colour has half the resolution, so that borders differ; areas must not.
        assert np.percentile(flat, 70) <= 4
    assert os.listdir(str(tmp_path)) == ['a.mp4']


def test_what_browsers_need(tmp_path):
    write_video(tmp_path / 'a.mp4')
    description = facts(tmp_path / 'a.mp4')
    assert re.search(r'Video: h264 .*yuv420p\(tv, bt709.* 48x32', description)
    data = (tmp_path / 'a.mp4').read_bytes()
    assert 0 < data.index(b'moov') < data.index(b'mdat') and b'moof' not in data


@given(
    st.sampled_from([0.001, 0.5, 7.125, 24000 / 1001, 25, 29.97, 30000 / 1001, 60, 240]), st.sampled_from([1, 2, 3, 31])
)
@settings(deadline=None, max_examples=10)
def test_no_frame_is_lost_at_any_rate(tmp_path_factory, frame_rate, count):
    path = tmp_path_factory.mktemp('rates') / 'a.mp4'
    write_video(path, count, (2, 4), frame_rate)
    with open_frames(path) as frames:
        assert len(list(frames)) == count
        assert frames.frame_rate == pytest.approx(frame_rate, rel=1e-3)
    hours, minutes, seconds = re.search(r'Duration: (\d+):(\d+):([\d.]+)', facts(path)).groups()
    # ffmpeg 4 counts half of the last frame at rates below 1.
    assert int(hours) * 3600 + int(minutes) * 60 + float(seconds) == pytest.approx(
        count / frame_rate, abs=0.011 if frame_rate > 1 else 1
    )


def test_the_end_of_a_long_video_is_on_time(tmp_path):
    # moviepy alone would round 23.976 to 23.98 frames per second, which is a tenth of a second after ten minutes.
    write_video(tmp_path / 'a.mp4', 14400, (2, 2), 24000 / 1001)
    minutes, seconds = re.search(r'Duration: 00:(\d+):([\d.]+)', facts(tmp_path / 'a.mp4')).groups()
    assert int(minutes) * 60 + float(seconds) == pytest.approx(14400 * 1001 / 24000, abs=0.02)


@pytest.mark.parametrize('name, duration', [('long_sound.mp4', 1.0), ('short_sound.mkv', 1.0)])
def test_sound_is_kept_and_never_changes_the_number_of_frames(tmp_path, videos, name, duration):
    with open_frames(videos / name) as frames:
        assert frames.has_audio
        with VideoWriter(tmp_path / 'a.mp4', frames.size, frames.frame_rate, audio_from=videos / name) as writer:
            for frame in frames:
                writer.write(frame)
    assert writer.num_written in (25, 26)  # ffmpeg 4 repeats a frame of Matroska files
    description = facts(tmp_path / 'a.mp4')
    assert 'Audio: aac' in description
    seconds = float(re.search(r'Duration: 00:00:([\d.]+)', description).group(1))
    assert seconds == pytest.approx(duration, abs=0.07)
    assert len(decode(tmp_path / 'a.mp4')) == writer.num_written
    assert os.listdir(str(tmp_path)) == ['a.mp4']


def test_a_source_without_sound_makes_a_silent_video(tmp_path, videos):
    write_video(tmp_path / 'a.mp4', audio_from=videos / 'silent.mp4')
    assert 'Audio' not in facts(tmp_path / 'a.mp4')


def test_sound_that_cannot_be_converted_costs_no_picture(tmp_path, caplog):
    with wave.open(str(tmp_path / 'sound.wav'), 'wb') as sound:
        sound.setparams((13, 2, 8000, 0, 'NONE', ''))  # AAC has no layout of 13 channels
        sound.writeframes(np.ones((8000, 13), '<i2').tobytes())
    write_video(tmp_path / 'a.mp4', 12, audio_from=tmp_path / 'sound.wav')
    assert len(decode(tmp_path / 'a.mp4')) == 12 and 'Audio' not in facts(tmp_path / 'a.mp4')
    assert sorted(os.listdir(str(tmp_path))) == ['a.mp4', 'sound.wav']
    assert re.search(r'a\.mp4 is silent, because the sound of .*sound\.wav cannot be converted: .*channel', caplog.text)


@pytest.mark.parametrize('name, num_frames', [('silent.mp4', 25), ('no_duration.mkv', None)])
def test_reading_a_video(videos, name, num_frames):
    with open_frames(str(videos / name)) as frames:
        assert (frames.size, frames.frame_rate, frames.num_frames) == ((48, 64), 25.0, num_frames)
        assert not frames.has_audio
        found = list(frames)
    wanted = decode(videos / name)
    assert len(found) == len(wanted) == 25
    for one, other in zip(found, wanted):
        assert one.dtype == np.uint8 and np.abs(one.astype(int) - other).max() <= 3


def test_a_video_filmed_upright_stands_upright(videos):
    with open_frames(videos / 'upright.mp4') as frames, open_frames(videos / 'silent.mp4') as lying:
        assert frames.size == (64, 48)
        turned = np.rot90(next(iter(lying)), -1).astype(int)
        assert np.abs(next(iter(frames)).astype(int) - turned).mean() < 4


def mobius(light):
    """The curve of ffmpeg's tonemap: linear up to 0.3 of white, then bent so that 1000 cd/m2 become 1."""
    bend, peak = 0.3, 1000 / 203
    first = -(bend**2) * (peak - 1) / (bend**2 - 2 * bend + peak)
    second = (bend**2 - 2 * bend * peak + peak) / (peak - 1)
    bent = (second**2 + 2 * second * bend + bend**2) / (second - first) * (light + first) / (light + second)
    return np.where(light <= bend, light, bent)


def perceptual_quantizer(light):
    """BT.2100, table 4, of light in cd/m2."""
    power = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hybrid_log_gamma(light):
    """BT.2100, table 5, of greys in cd/m2 on a display of 1000 cd/m2, whose system gamma is 1.2."""
    scene = (light / 1000) ** (1 / 1.2)
    logarithm = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithm)


# Greys up to what is brighter than white, and colours of BT.709, in parts of white.
GREYS = [(level,) * 3 for level in (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0)]
COLOURS = [(0.25, 0.05, 0.05), (0.05, 0.2, 0.1), (0.05, 0.1, 0.3)]


def write_hdr(path, light, curve, transfer, primaries='bt2020', matrix='bt2020nc'):
    """Writes patches of 16 pixels, [n, 3] of light in parts of white, without loss."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    red, green, blue = curve(203 * light @ to_2020.T).T
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    planes = 64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746
    frame = np.stack([np.tile(np.repeat(plane, 16), (15, 1)) for plane in planes]).round().astype('<u2')
    said = ['-color_primaries', primaries, '-colorspace', matrix, '-color_trc', transfer, '-color_range', 'tv']
    setting = 'setparams=range=tv:color_primaries={}:colorspace={}:color_trc={}'.format(primaries, matrix, transfer)
    command = ['-f', 'rawvideo', '-pix_fmt', 'yuv444p10le', '-s', '{}x15'.format(16 * len(light)), '-i', '-']
    command += ['-vf', setting, '-c:v', 'ffv1', *said, str(path)]
    subprocess.run([FFMPEG, '-y', '-loglevel', 'error', *command], input=frame.tobytes() * 3, check=True)


@pytest.mark.parametrize(
    'curve, transfer, patches, tags',
    [
        (perceptual_quantizer, 'smpte2084', GREYS + COLOURS, {}),
        (perceptual_quantizer, 'smpte2084', GREYS + COLOURS, {'primaries': 'unknown', 'matrix': 'unknown'}),
        (hybrid_log_gamma, 'arib-std-b67', GREYS, {}),
    ],
)
def test_hdr_is_brought_to_the_range_of_usual_video(tmp_path, caplog, curve, transfer, patches, tags):
    light = np.array(patches)
    write_hdr(tmp_path / 'a.mkv', light, curve, transfer, **tags)
    with open_frames(tmp_path / 'a.mkv') as frames:
        found = [frame[7, 8::16].astype(int) for frame in frames]
    wanted = 255 * np.clip(
        light * (mobius(light.max(axis=1)) / np.maximum(light.max(axis=1), 1e-9))[:, None], 0, 1
    ) ** (1 / 2.4)
    assert len(found) == 3 and not caplog.text
    np.testing.assert_allclose(found[1], wanted, atol=3)


def test_hdr_without_the_filters_is_said(tmp_path, caplog, monkeypatch):
    write_hdr(tmp_path / 'a.mkv', np.array(GREYS), perceptual_quantizer, 'smpte2084')
    monkeypatch.setattr(high_dynamic_range, '_filters', lambda binary: ['tonemap'])
    with open_frames(tmp_path / 'a.mkv') as frames:
        assert len(list(frames)) == 3
    assert len(caplog.records) == 1
    assert re.search(
        r'a\.mkv is HDR video \(PQ\), and ffmpeg \(.*\) lacks zscale, .* in FFMPEG_BINARY, or', caplog.text
    )


class Timing(NamedTuple):
    """When the 60 frames of a video are shown, in seconds: as an expression for ffmpeg and for the test."""

    expression: str
    stamps: List[float]


SLOW_MOTION = Timing(
    'if(lt(N,30),N/240,0.125+(N-30)/30)', [n / 240 if n < 30 else 0.125 + (n - 30) / 30 for n in NUMBERS]
)
UNEVEN = Timing(
    '(2000*N+37*N*N+146*mod(N*7919,13))/90000',
    [(2000 * n + 37 * n**2 + 146 * (n * 7919 % 13)) / 90000 for n in NUMBERS],
)
STILL_SCREEN = Timing('if(lt(N,30),N/50,8+N/50)', [n / 50 if n < 30 else 8 + n / 50 for n in NUMBERS])
SLOW = Timing('2*N', [2.0 * n for n in NUMBERS])
FAST = Timing('N/240', [n / 240 for n in NUMBERS])


def write_at(path, levels, timing, sound=(), offset=0):
    """A video of grey frames that are shown at these times; sound: arguments that name its source."""
    frames = b''.join(np.full((48, 64, 3), level, np.uint8).tobytes() for level in levels)
    command = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', '64x48', '-r', '25', '-i', '-', *map(str, sound)]
    command += ['-vf', "settb=1/90000,setpts='({}+{})/TB'".format(timing.expression, offset)]
    command += ['-enc_time_base', '1/90000', *PASSTHROUGH]
    command += ['-c:v', 'libx264', '-bf', '0', '-pix_fmt', 'yuv420p', '-c:a', 'aac', str(path)]
    subprocess.run([FFMPEG, '-y', '-loglevel', 'error', *command], input=frames, check=True)
    return path


@pytest.mark.parametrize(
    'timing, lowest_rate, highest_rate',
    [(SLOW_MOTION, 50, 60), (UNEVEN, 25, 25), (STILL_SCREEN, 25, 50), (SLOW, 0.5, 0.5), (FAST, 240, 240)],
)
def test_frames_come_at_a_constant_rate_by_their_time_stamps(tmp_path, timing, lowest_rate, highest_rate):
    stamps = timing.stamps
    with open_frames(write_at(tmp_path / 'a.mp4', [4 * number for number in NUMBERS], timing)) as frames:
        shown = [int(round(frame.mean() / 4)) for frame in frames]
    assert lowest_rate <= frames.frame_rate <= highest_rate
    for index, number in enumerate(shown):
        # A player shows a frame until the next one; half a frame is rounding.
        early, late = ((index + half) / frames.frame_rate + 1e-4 for half in (-0.5, 0.5))
        assert sum(stamp <= early for stamp in stamps) <= number + 1 <= sum(stamp <= late for stamp in stamps)
    # How long the last frame lasts is not said in every file (some say 1/25), and versions of ffmpeg guess differently.
    slack = 1.5 / frames.frame_rate + max(1 / 25, stamps[-1] - stamps[-2])
    assert stamps[-1] - 0.5 / frames.frame_rate <= len(shown) / frames.frame_rate <= stamps[-1] + slack


def jpeg(number, height=24):
    picture = np.full((height, 32, 3), 40 * number, np.uint8)
    return cv2.imencode('.jpg', picture)[1].tobytes()


@pytest.mark.parametrize('name, gap', [('a.mjpeg', b''), ('a.mjpg', b'\0' * 9), ('a.any', b'')])
def test_motion_jpeg(tmp_path, name, gap):
    (tmp_path / name).write_bytes(gap.join(jpeg(number) for number in range(5)))
    check_source(tmp_path / name)
    with open_frames(tmp_path / name) as frames:
        levels = [round(frame.mean() / 40) for frame in frames]
    assert (levels, frames.size, frames.frame_rate) == ([0, 1, 2, 3, 4], (24, 32), 25)


def test_a_photograph_is_no_motion_jpeg(tmp_path):
    """With a preview, a second view that is listed, a film, another JPEG in its middle, or cut off."""
    one = jpeg(1)
    listed = one[:2] + b'\xff\xe2\x00\x08MPF\0II' + one[2:]
    inside = one[:2] + b'\xff\xe1' + (2 + 2 * len(one)).to_bytes(2, 'big') + one + one + one[2:]
    for data in (one, one + jpeg(1, 16), listed + one, one + b'ftyp' + one, inside, one[:-9], one + one[:20]):
        (tmp_path / 'a.jpg').write_bytes(data)
        with pytest.raises(ValueError, match='It is an image'):
            open_frames(tmp_path / 'a.jpg')


@pytest.mark.parametrize('rate, b_frames', [('24', 3), ('24000/1001', 3), ('12', 3), ('15', 0)])
def test_raw_streams_come_at_their_own_rate(tmp_path, rate, b_frames):
    """They have no time stamps, ffmpeg counts fields, of which each frame has two, and ffmpeg 4 begins at 25 a second."""
    ffmpeg(
        *('-f', 'lavfi', '-i', 'testsrc=size=64x48:rate={}:duration=4'.format(rate)),
        *('-c:v', 'libx264', '-bf', b_frames, '-pix_fmt', 'yuv420p', tmp_path / 'a.h264'),
    )
    with open_frames(tmp_path / 'a.h264') as frames:
        count = len(list(frames))
    assert frames.frame_rate == pytest.approx(float(fractions.Fraction(rate)), rel=1e-4)
    assert count == round(4 * fractions.Fraction(rate))


@pytest.mark.parametrize('milliseconds, rate, count', [(40, 25, 2), (1000, 1, 2), ([20, 100], 50, 6), (5000, 0.2, 2)])
def test_a_gif_of_two_frames_has_no_hundred_a_second(tmp_path, milliseconds, rate, count):
    path = tmp_path / 'two.gif'
    first, second = (Image.fromarray(np.full([24, 32, 3], level, np.uint8)) for level in (0, 200))
    first.save(str(path), save_all=True, append_images=[second], duration=milliseconds, loop=0)
    with open_frames(path) as frames:
        levels = [int(frame.mean()) for frame in frames]
    assert frames.frame_rate == rate
    assert levels[0] < 10 and min(levels[1:]) > 190 and len(levels) == count


@pytest.mark.parametrize('options', [{}, {'duration': 1000}])
def test_a_gif_of_one_frame_is_one_frame(tmp_path, options):
    Image.fromarray(np.zeros([24, 32, 3], np.uint8)).save(str(tmp_path / 'one.gif'), **options)
    with open_frames(tmp_path / 'one.gif') as frames:
        assert len(list(frames)) == 1 and frames.frame_rate == (1 if options else 10)


@pytest.mark.parametrize(
    'timing, sound_offset, video_offset',
    [(SLOW_MOTION, 0, 0), (UNEVEN, 0, 0), (STILL_SCREEN, 0, 0), (UNEVEN, 0.7, 0), (UNEVEN, 0, 0.7)],
)
def test_sound_stays_in_step_with_the_picture(tmp_path, timing, sound_offset, video_offset):
    flash = next(number for number, stamp in enumerate(timing.stamps) if stamp > 0.9)
    beep = 'aevalsrc=if(gte(t\\,{})\\,sin(2000*t)\\,0):d=60'.format(timing.stamps[flash] + video_offset - sound_offset)
    source = write_at(
        tmp_path / 'source.mkv',
        [255 * (number >= flash) for number in NUMBERS],
        timing,
        ['-itsoffset', sound_offset, '-f', 'lavfi', '-i', beep],
        video_offset,
    )
    with open_frames(source) as frames, VideoWriter(
        tmp_path / 'a.mp4', frames.size, frames.frame_rate, audio_from=source
    ) as writer:
        for frame in frames:
            writer.write(frame)
    seen = next(number for number, frame in enumerate(decode(tmp_path / 'a.mp4')) if frame.mean() > 128)
    ffmpeg('-i', tmp_path / 'a.mp4', '-f', 's16le', '-ac', '1', '-ar', '8000', tmp_path / 'sound.raw')
    loudness = np.abs(np.fromfile(str(tmp_path / 'sound.raw'), '<i2').astype(int))
    heard = np.argmax(loudness > loudness.max() / 4) / 8000
    assert abs(seen / frames.frame_rate - heard) < 0.04
    # The sound goes on for longer; AAC comes in pieces of 1024 samples.
    assert len(loudness) / 8000 == pytest.approx(writer.num_written / frames.frame_rate, abs=0.03)


def test_the_shape_of_pixels_is_kept(tmp_path, videos):
    with open_frames(videos / 'wide_pixels.mp4') as frames, VideoWriter(
        tmp_path / 'a.mp4', frames.size, frames.frame_rate, pixel_aspect=frames.pixel_aspect
    ) as writer:
        for frame in frames:
            writer.write(frame)
    assert frames.pixel_aspect == fractions.Fraction(16, 11) and frames.size == (48, 64)
    assert '64x48 [SAR 16:11 DAR 64:33]' in facts(tmp_path / 'a.mp4')
    write_video(tmp_path / 'square.mp4')
    assert 'SAR 1:1' in facts(tmp_path / 'square.mp4')


@pytest.mark.parametrize('name', ['12:30:15.mp4', '-i.mp4', '100%d.mp4', 'a#b?c&d.mp4', 'v.ts', 'v.mts', 'v.3gp', 'v'])
def test_names_and_kinds_of_files(tmp_path, videos, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    kind = {'.ts': 'mpegts', '.mts': 'mpegts', '.3gp': '3gp'}.get(os.path.splitext(name)[1], 'mp4')
    ffmpeg('-i', videos / 'long_sound.mp4', '-c', 'copy', '-f', kind, 'file:./' + name)
    if kind == 'mpegts' and not shutil.which('ffmpeg') and 'Video:' not in facts(name):
        pytest.skip('the only ffmpeg here crashes on MPEG-TS')
    with open_frames(name) as frames, VideoWriter('1:2.mp4', frames.size, frames.frame_rate, name) as writer:
        for frame in frames:
            writer.write(frame)
    assert writer.num_written == 25 and 'Audio: aac' in facts('file:1:2.mp4')


def test_an_ffmpeg_that_crashes_is_replaced_by_that_of_the_system(tmp_path, videos, monkeypatch):
    from moviepy import config

    crashing = tmp_path / 'crashing'
    crashing.write_text('#!/bin/sh\nkill -SEGV $$\n')
    crashing.chmod(0o755)
    monkeypatch.setattr(config, 'FFMPEG_BINARY', str(crashing))
    monkeypatch.setattr(shutil, 'which', lambda name: FFMPEG)
    with open_frames(videos / 'silent.mp4') as frames:
        assert len(list(frames)) == 25
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    with pytest.raises(ValueError, match=r'silent\.mp4 cannot be read as a video. The ffmpeg that moviepy .* install'):
        open_frames(videos / 'silent.mp4')


def test_an_ffmpeg_that_cannot_be_run_is_replaced_by_that_of_the_system(tmp_path, monkeypatch):
    from moviepy import config

    (tmp_path / 'ffmpeg').write_text('of another kind of processor')
    (tmp_path / 'ffmpeg').chmod(0o755)
    echo = shutil.which('echo')
    for binary in (str(tmp_path / 'ffmpeg'), str(tmp_path / 'nowhere')):
        monkeypatch.setattr(config, 'FFMPEG_BINARY', binary)
        monkeypatch.setattr(shutil, 'which', lambda name: echo)
        assert run_ffmpeg(['said'], 'error', subprocess.PIPE).stdout.split()[-1] == b'said'
        monkeypatch.setattr(shutil, 'which', lambda name: None)
        with pytest.raises(OSError, match='ffmpeg cannot be run: .*{}.*Install ffmpeg'.format(re.escape(binary))):
            run_ffmpeg([], 'error', subprocess.PIPE)


def test_without_any_ffmpeg_the_message_says_so(monkeypatch):
    class Loader:
        def find_spec(self, name, path, target=None):
            if name == 'moviepy':  # as its import ends if imageio-ffmpeg finds none
                raise RuntimeError('No ffmpeg exe could be found.')

    monkeypatch.setattr(sys, 'meta_path', [Loader(), *sys.meta_path])
    for name in [name for name in sys.modules if name.split('.')[0] == 'moviepy']:
        monkeypatch.delitem(sys.modules, name)
    for use in (
        lambda: run_ffmpeg([], 'error', subprocess.PIPE),
        lambda: start_encoder('a.mp4', (2, 2), fractions.Fraction(25), fractions.Fraction(1)),
    ):
        with pytest.raises(FileNotFoundError, match='videos need ffmpeg, which is not there. Install ffmpeg'):
            use()


@pytest.mark.skipif(not hasattr(os, 'getsid'), reason='Windows')
def test_ctrl_c_does_not_reach_the_ffmpeg_that_puts_a_video_together(monkeypatch):
    """It would end, and the video be made again, without its sound."""
    say_session = [sys.executable, '-c', 'import os; print(os.getsid(0))']
    monkeypatch.setattr('helpers.video_files.ffmpeg.ffmpeg_command', lambda *_: say_session)
    assert int(run_ffmpeg([], 'error', subprocess.PIPE).stdout) != os.getsid(0)


def test_lists_of_other_files_are_no_videos(tmp_path, videos):
    shutil.copy(str(videos / 'silent.mp4'), str(tmp_path / 'part.mp4'))
    lists = {
        'a.m3u8': '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npart.mp4\n#EXT-X-ENDLIST\n',
        'a.mp4': 'ffconcat version 1.0\nfile part.mp4\n',
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match='cannot be read as a video'):
            open_frames(tmp_path / name)


def test_a_source_is_checked_without_a_camera(tmp_path, videos, monkeypatch):
    monkeypatch.setattr(cv2, 'VideoCapture', None)
    check_source('camera:0')
    check_source(videos / 'silent.mp4')
    (tmp_path / 'a.mp4').write_text('none')
    for source, error in [(tmp_path / 'b.mp4', 'does not exist'), (tmp_path / 'a.mp4', 'cannot be read as a video')]:
        with pytest.raises((ValueError, OSError), match=error):
            check_source(source)
    with pytest.raises(FileNotFoundError, match='no image|contains no'):
        check_source(tmp_path)
    with pytest.raises(ValueError, match='only a directory of frames takes one'):
        check_source(videos / 'silent.mp4', frame_rate=20)


@pytest.mark.parametrize('ask', [check_source, open_frames])
def test_rules_that_a_source_cannot_follow(videos, tmp_path, ask):
    write_image(tmp_path / '1.png', np.zeros((4, 4, 3), np.uint8))
    for source in (videos / 'silent.mp4', 'camera:99'):
        with pytest.raises(ValueError, match='is a video or a camera, whose frames are RGB, and the network takes 4'):
            ask(source, rules=ImageRules(channels=4))
    with pytest.raises(ValueError, match='channels is 0; it has to be a whole number'):
        ask(tmp_path, rules=ImageRules(channels=0))
    with pytest.raises(ValueError, match='image_rules is None; it has to be an ImageRules'):
        ask(tmp_path, rules=None)


def test_closing_early_and_twice(videos):
    frames = open_frames(videos / 'silent.mp4')
    next(iter(frames))
    frames.close()
    frames.close()


@pytest.mark.parametrize('keep', [0.6, 0.8])
def test_a_video_that_was_cut_off_names_the_frame(tmp_path, keep):
    with VideoWriter(tmp_path / 'whole.mp4', (48, 64), 25) as writer:
        noise = np.random.RandomState(0)
        for _ in range(50):
            writer.write(noise.randint(0, 256, (48, 64, 3)).astype(np.uint8))
    whole = (tmp_path / 'whole.mp4').read_bytes()
    (tmp_path / 'cut.mp4').write_bytes(whole[: int(keep * len(whole))])
    count = 0
    message = r'cut\.mp4 ends early: frame (\d+) of about 50 cannot be decoded'
    with pytest.raises(ValueError, match=message) as caught, open_frames(tmp_path / 'cut.mp4') as frames:
        for _ in frames:
            count += 1
    assert 'frame {} of'.format(count) in str(caught.value) and 10 < count < 45


@pytest.mark.parametrize(
    'rate, message',
    [
        ('1:2000000000', 'says that a frame of it lasts 2000000000 seconds; at most 1000 are read'),
        ('100000:1', 'says that all its frames come within 0.001 seconds, at more than 1000 a second'),
    ],
)
def test_rates_that_no_video_has_are_named(tmp_path, rate, message):
    path = tmp_path / 'a.y4m'
    path.write_bytes('YUV4MPEG2 W16 H16 F{} Ip A1:1 C420jpeg\n'.format(rate).encode() + (b'FRAME\n' + bytes(384)) * 3)
    message = r'a\.y4m {}. Write it at a usual rate with ffmpeg -r 30'.format(message)
    with pytest.raises(ValueError, match=message), open_frames(path) as frames:
        next(iter(frames))
    if rate == '100000:1':  # of the other, ffmpeg 4 takes no frame
        ffmpeg('-r', '30', '-i', path, tmp_path / 'b.mp4')
        assert len(decode(tmp_path / 'b.mp4')) == 3


def test_frames_that_are_hours_apart_are_refused(tmp_path):
    write_video(tmp_path / 'a.mp4', count=3)
    ffmpeg('-itsscale', 1250000, '-i', tmp_path / 'a.mp4', '-c', 'copy', tmp_path / 'b.mkv')
    with pytest.raises(ValueError, match=r'b\.mkv says that a frame of it lasts 50000 seconds; at most 1000 are read'):
        check_source(tmp_path / 'b.mkv')
    ffmpeg('-r', 30, '-i', tmp_path / 'b.mkv', tmp_path / 'c.mp4')
    assert len(decode(tmp_path / 'c.mp4')) == 3


def test_frames_that_are_hours_apart_in_a_file_that_is_short_by_its_word_are_refused(tmp_path):
    write_video(tmp_path / 'a.mp4', count=3)
    ffmpeg('-itsscale', 1250000, '-i', tmp_path / 'a.mp4', '-c', 'copy', tmp_path / 'b.mkv')
    content = (tmp_path / 'b.mkv').read_bytes()
    place = content.index(b'\x44\x89\x88') + 3  # Duration, in milliseconds (RFC 9559, section 5.1.2.10)
    (tmp_path / 'b.mkv').write_bytes(content[:place] + struct.pack('>d', 3000) + content[place + 8 :])
    with pytest.raises(ValueError, match=r'b\.mkv says that a frame of it lasts 50000 seconds; at most 1000 are read'):
        check_source(tmp_path / 'b.mkv')


def test_damage_is_told_from_an_end_where_sound_is_longer(tmp_path, caplog):
    source = tmp_path / 'whole.mp4'
    ffmpeg(
        *('-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=25:duration=1', '-f', 'lavfi', '-i', 'sine=duration=1.4'),
        *('-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-g', '5', '-bf', '0', '-b:a', '16k'),
        *('-movflags', '+faststart', source),
    )
    whole = source.read_bytes()
    start, length = whole.index(b'mdat'), len(whole) - whole.index(b'mdat')
    middle, end = start + length // 3, start + 2 * length // 3
    (tmp_path / 'damaged.mp4').write_bytes(whole[:middle] + bytes(300) + whole[middle + 300 :])
    with open_frames(tmp_path / 'damaged.mp4') as frames:
        assert len(list(frames)) == 25 and frames.num_frames in (35, 36)
    assert 'damaged.mp4 is damaged in places' in caplog.text
    (tmp_path / 'cut.mp4').write_bytes(whole[:end])
    with pytest.raises(ValueError, match=r'cut\.mp4 ends early'), open_frames(tmp_path / 'cut.mp4') as frames:
        list(frames)


@pytest.mark.parametrize('content', [b'', b'no video at all' * 50])
def test_what_is_no_video(tmp_path, content):
    (tmp_path / 'a.mp4').write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.mp4 cannot be read as a video. It is damaged, cut off or no video: copy'):
        open_frames(tmp_path / 'a.mp4')


def test_a_video_without_a_frame(tmp_path):
    (tmp_path / 'a.y4m').write_bytes(b'YUV4MPEG2 W64 H48 F10:1 Ip A1:1 C420\n')
    with pytest.raises(ValueError, match=r'a\.y4m cannot be read as a video. .* \(No picture in it can be decoded\)'):
        open_frames(tmp_path / 'a.y4m')


def test_what_is_no_video_is_told_why(tmp_path, videos):
    write_image(tmp_path / 'image.png', np.zeros((8, 8, 3), np.uint8))
    (tmp_path / 'cut.mp4').write_bytes((videos / 'silent.mp4').read_bytes()[:2000])
    for path, reason in [
        (videos / 'only_sound.m4a', 'There are no pictures in it. Give a video'),
        (tmp_path / 'image.png', 'It is an image, a list of files, or of a format'),
        (tmp_path / 'cut.mp4', r'It is damaged, cut off or .*ffmpeg says: moov atom not found\)'),
    ]:
        with pytest.raises(ValueError, match='cannot be read as a video. .*' + reason):
            check_source(path)


def test_sources_that_are_not_there(tmp_path, videos):
    with pytest.raises(FileNotFoundError, match=r'b\.mp4 does not exist. Give a video file, a directory of frames, or'):
        open_frames(tmp_path / 'b.mp4')
    with pytest.raises(ValueError, match='frame_rate=30 came .* only a directory of frames takes one'):
        open_frames(videos / 'silent.mp4', frame_rate=30)
    with pytest.raises(ValueError, match='frame_rate is -1; it has to be from 0.001 to 1000 frames per second'):
        open_frames(tmp_path, frame_rate=-1)


def test_a_directory_of_frames(tmp_path):
    for number in (10, 9, 1):
        write_image(tmp_path / 'frame{}.png'.format(number), np.full((5, 7, 3), number, np.uint8))
    cv2.imwrite(str(tmp_path / 'frame11.png'), np.full((5, 7), 11, np.uint8))  # grey frames are welcome
    write_image(tmp_path / 'more' / 'frame2.png', np.full((5, 7, 3), 2, np.uint8))  # and those of subfolders none
    with open_frames(tmp_path, frame_rate=12) as frames:
        assert (frames.size, frames.frame_rate, frames.num_frames, frames.has_audio) == ((5, 7), 12.0, 4, False)
        assert [int(frame.min()) for frame in frames] == [1, 9, 10, 11]
    with open_frames(tmp_path) as frames:
        assert frames.frame_rate == 30.0


class _Camera:
    """Stands for cv2.VideoCapture: three frames in BGR, then nothing."""

    rate, released = 0.0, []

    def __init__(self, number):
        self.number = number
        self.left = 3 if number == 2 else 0

    def read(self):
        self.left -= 1
        return (True, np.full((4, 6, 3), (10, 20, 30), np.uint8)) if self.left >= 0 else (False, None)

    def get(self, _):
        return self.rate

    def release(self):
        self.released.append(self.number)


@pytest.mark.parametrize('rate', [-1.0, 0.0, 180000.0, float('nan')])
def test_a_camera(monkeypatch, rate):
    """One that says no possible rate has the usual one."""
    monkeypatch.setattr(cv2, 'VideoCapture', _Camera)
    monkeypatch.setattr(_Camera, 'rate', rate)
    monkeypatch.setattr(_Camera, 'released', [])
    with pytest.raises(OSError, match='camera:2 delivered no frame 3'), open_frames('camera:2') as frames:
        assert (frames.size, frames.frame_rate, frames.num_frames) == ((4, 6), 30.0, None)
        for frame in frames:
            assert frame[0, 0].tolist() == [30, 20, 10]
    with pytest.raises(OSError, match='camera:0 cannot be opened. Check that it is connected'):
        open_frames('camera:0')
    assert _Camera.released == [2, 0]


def test_a_name_like_that_of_a_camera_is_read_as_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [camera_number(source) for source in ('camera:3', 'camera:left', 'camera:1.mp4')] == [3, None, None]
    write_image('camera:3/1.png', np.zeros((4, 6, 3), np.uint8))
    with open_frames('camera:3') as frames:
        assert camera_number('camera:3') is None and frames.num_frames == 1


@pytest.mark.parametrize(
    'arguments, error, message',
    [
        (('a.avi', (4, 4), 25), ValueError, r'a\.avi came as the name of a video.*ends in \.mp4'),
        (('a.mp4', (4, 0), 25), ValueError, r'size is \(4, 0\); it has to be'),
        (('a.mp4', (4,), 25), ValueError, r'size is \(4,\); it has to be'),
        (('a.mp4', (4, 4), 0), ValueError, 'frame_rate is 0; it has to be'),
        (('a.mp4', (4, 4), 0.0009), ValueError, 'frame_rate is 0.0009; it has to be from 0.001 to 1000 frames'),
        (('a.mp4', (4, 4), 1001), ValueError, 'frame_rate is 1001; it has to be'),
        (('a.mp4', (4, 4), float('nan')), ValueError, 'frame_rate is nan; it has to be'),
        (('a.mp4', (4, 4), 25, 'missing.mp3'), FileNotFoundError, r'missing\.mp3 does not exist'),
    ],
)
def test_writers_refuse_what_cannot_be_written_and_leave_nothing(tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        VideoWriter(*arguments)
    assert os.listdir(str(tmp_path)) == []


def test_an_encoder_that_does_not_start_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError('there is no ffmpeg')

    monkeypatch.setattr(video, 'start_encoder', refuse)
    with pytest.raises(OSError, match='there is no ffmpeg'):
        VideoWriter(tmp_path / 'a.mp4', (4, 4), 25)
    assert os.listdir(str(tmp_path)) == []


def test_a_place_for_a_video_is_checked_without_a_trace(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder.mp4').mkdir()
    before = sorted(os.listdir(str(tmp_path)))
    check_video_path(tmp_path / 'a.mp4')
    check_video_path(tmp_path / 'new' / 'folders' / 'a.MP4')
    with pytest.raises(ValueError, match=r'a\.avi came as the name of a video.*ends in \.mp4'):
        check_video_path(tmp_path / 'a.avi')
    with pytest.raises(ValueError, match=r'folder\.mp4 is a directory, but a video .* Give another name'):
        check_video_path(tmp_path / 'folder.mp4')
    for refuse in (check_video_path, lambda path: VideoWriter(path, (4, 4), 25)):
        with pytest.raises(
            NotADirectoryError, match=r'a\.mp4 cannot be written: .*file is no directory. Choose another'
        ):
            refuse(tmp_path / 'file' / 'new' / 'a.mp4')
    assert sorted(os.listdir(str(tmp_path))) == before
    (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
    with pytest.raises(NotADirectoryError, match='link is no directory'):
        check_video_path(tmp_path / 'link' / 'a.mp4')

    def refuse_file(dir):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.path.join(dir, 'tmp'))

    monkeypatch.setattr(video.tempfile, 'TemporaryFile', refuse_file)
    with pytest.raises(PermissionError, match=r'while writing .*a\.mp4. Choose a directory that you may write to'):
        check_video_path(tmp_path / 'new' / 'a.mp4')


def test_a_partial_file_never_takes_the_name_of_another_file(tmp_path, caplog):
    write_video(tmp_path / 'a.partial.mp4', 5)
    (tmp_path / 'a.partial-2.mp4').write_text('mine')
    before = (tmp_path / 'a.partial.mp4').read_bytes()
    write_video(tmp_path / 'a.mp4', audio_from=tmp_path / 'a.partial.mp4')
    assert sorted(os.listdir(str(tmp_path))) == ['a.mp4', 'a.partial-2.mp4', 'a.partial.mp4']
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / 'a.mp4', (4, 4), 25) as writer:
            writer.write(np.zeros((4, 4, 3), np.uint8))
            raise KeyboardInterrupt
        assert 'What was done is in {}.'.format(writer.partial_path) in caplog.text
    assert writer.partial_path == str(tmp_path / 'a.partial-4.mp4') and len(decode(writer.partial_path)) == 1
    assert (tmp_path / 'a.partial.mp4').read_bytes() == before
    assert (tmp_path / 'a.partial-2.mp4').read_text() == 'mine'


@pytest.mark.parametrize('frame', [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_a_frame_of_another_kind_is_named_and_the_rest_plays(tmp_path, frame, caplog):
    (tmp_path / 'a.mp4').write_text('an older video')
    message = r'Frame 3 of .*a\.mp4 has dtype .* but the video was begun with uint8 \(4, 4, 3\)'
    with pytest.raises(ValueError, match=message), VideoWriter(tmp_path / 'a.mp4', (4, 4), 25) as writer:
        for one in moving_frames(3, (4, 4)):
            writer.write(one)
        writer.write(frame)
    assert (tmp_path / 'a.mp4').read_text() == 'an older video'
    assert len(decode(tmp_path / 'a.partial.mp4')) == 3
    assert 'a.mp4 is not complete: it was stopped at frame 3. What was done is in' in caplog.text


def test_a_video_without_a_frame_is_not_written(tmp_path):
    message = r'a\.mp4 would have no frame. Write at least one'
    with pytest.raises(ValueError, match=message), VideoWriter(tmp_path / 'a.mp4', (4, 4), 25):
        pass
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / 'a.mp4', (4, 4), 25):
        raise KeyboardInterrupt
    assert os.listdir(str(tmp_path)) == []


def run_python(code, *arguments):
    """Runs code in a process group of its own, which signals and limits may hit as a whole."""
    return subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code), *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
def test_control_c_leaves_what_was_done(tmp_path):
    # A terminal sends the signal to the encoder too.
    done = run_python(
        """
        import os, signal, sys
        import numpy as np
        from helpers.video import VideoWriter
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        with VideoWriter(sys.argv[1], (48, 64), 25) as writer:
            for index in range(1000):
                writer.write(np.full((48, 64, 3), index % 256, np.uint8))
                if index == 99:
                    os.killpg(0, signal.SIGINT)
    """,
        tmp_path / 'a.mp4',
    )
    assert done.returncode != 0 and b'KeyboardInterrupt' in done.stderr
    assert os.listdir(str(tmp_path)) == ['a.partial.mp4']
    assert 50 < len(decode(tmp_path / 'a.partial.mp4')) <= 100


@pytest.mark.skipif(os.name == 'nt', reason='limits of POSIX')
def test_an_encoder_that_cannot_write_any_more(tmp_path):
    # A limit on the size of files stands for a disk that is full.
    done = run_python(
        """
        import resource, sys
        import numpy as np
        from helpers.video import VideoWriter
        resource.setrlimit(resource.RLIMIT_FSIZE, (400000, 400000))
        noise = np.random.RandomState(0)
        try:
            with VideoWriter(sys.argv[1], (64, 64), 25) as writer:
                while True:
                    writer.write(noise.randint(0, 256, (64, 64, 3)).astype(np.uint8))
        except OSError as error:
            print(error)
    """,
        tmp_path / 'a.mp4',
    )
    assert done.returncode == 0, done.stderr.decode()
    assert re.match(
        r'\[Errno {}\] The encoder stopped at frame \d+ of .*a\.mp4\. File too large\. Raise the limit on the size of '
        r'files \(ulimit -f\), or .* What was done is in .*a\.partial\.mp4\.\n$'.format(errno.EFBIG),
        done.stdout.decode(),
    )
    assert os.listdir(str(tmp_path)) == ['a.partial.mp4']
    assert len(decode(tmp_path / 'a.partial.mp4')) >= 25


@pytest.mark.parametrize(
    'line, number, remedy',
    [
        (
            'av_write_frame(): No space left on device',
            errno.ENOSPC,
            'No space left on device. Free some space or choose',
        ),
        ('Error: Disk quota exceeded', errno.EDQUOT, 'Disk quota exceeded. Free some space of your quota or choose'),
        (
            '[out#0 @ 0x5] File too large',
            errno.EFBIG,
            r'File too large\. Raise the limit on the size of files \(ulimit',
        ),
        ('', errno.EIO, r'ffmpeg says: Error muxing a packet\. What was done'),
    ],
)
@pytest.mark.skipif(os.name == 'nt', reason='a program that is a script')
def test_what_stopped_the_encoder_is_named(tmp_path, monkeypatch, line, number, remedy):
    """By an encoder that says it and ends, after the first frame."""
    said = '[mp4 @ 0x55aa] Error muxing a packet\n' + line
    write_encoder = 'import sys; sys.stdin.buffer.read(48); sys.stderr.write({!r}); sys.exit(1)'.format(said)
    pipes = {'stdin': subprocess.PIPE, 'stderr': subprocess.PIPE}
    process = subprocess.Popen([sys.executable, '-c', write_encoder], bufsize=0, **pipes)
    writer = VideoWriter(tmp_path / 'a.mp4', (4, 4), 25)
    writer._encoder.proc.kill()
    writer._encoder.proc.wait()
    writer._encoder.proc = process
    with pytest.raises(OSError, match=r'stopped at frame [12] of .*a\.mp4\. ' + remedy) as caught, writer:
        writer.write(np.zeros((4, 4, 3), np.uint8))
        process.wait()
        writer.write(np.zeros((4, 4, 3), np.uint8))
    assert caught.value.errno == number
    assert 'MoviePy' not in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
def test_an_encoder_that_was_killed_before_the_first_frame(tmp_path):
    with pytest.raises(OSError) as caught, VideoWriter(tmp_path / 'a.mp4', (64, 64), 25) as writer:
        writer._encoder.proc.kill()
        writer._encoder.proc.wait()
        with pytest.raises(OSError):  # and is asked again
            writer.write(np.zeros((64, 64, 3), np.uint8))
        writer.write(np.zeros((64, 64, 3), np.uint8))
    path = str(tmp_path / 'a.mp4')
    said = 'The encoder stopped at frame 0 of {}. ffmpeg ended without a word (SIGKILL).'.format(path)
    assert str(caught.value) == '[Errno {}] {}'.format(errno.EIO, said)
    assert os.listdir(str(tmp_path)) == []


def test_a_failure_of_the_last_step_keeps_the_frames(tmp_path, monkeypatch):
    (tmp_path / 'a.mp4').write_text('an older video')
    monkeypatch.setattr(video, 'complaint_of_ffmpeg', lambda arguments: 'No space left on device')
    with pytest.raises(OSError, match='No space left'):
        write_video(tmp_path / 'a.mp4', 5)
    assert sorted(os.listdir(str(tmp_path))) == ['a.mp4', 'a.partial.mp4']
    assert (tmp_path / 'a.mp4').read_text() == 'an older video'
    assert len(decode(tmp_path / 'a.partial.mp4')) == 5


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads the peak memory from /proc')
def test_memory_does_not_grow_with_the_length(tmp_path):
    code = r"""
        import re, sys
        import numpy as np
        from helpers.video import VideoWriter, open_frames
        frame = np.zeros((240, 320, 3), np.uint8)
        with VideoWriter(sys.argv[1], (240, 320), 25) as writer:
            for index in range(int(sys.argv[2])):
                frame[:] = index % 256
                writer.write(frame)
        with open_frames(sys.argv[1]) as frames:
            for _ in frames:
                pass
        print(re.search(r'VmHWM:\s+(\d+) kB', open('/proc/self/status').read()).group(1))
    """
    short, long = (int(run_python(code, tmp_path / 'a.mp4', count).stdout) for count in (20, 420))
    assert long - short < 20 * 1024  # kB; 400 frames would be 92 MB


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='getrusage counts in kB')
def test_a_frame_that_is_shown_for_minutes_takes_the_memory_of_one(tmp_path):
    """480 x 640 pixels, 60 s at 25 frames a second: if ffmpeg held all of them converted, they would be 1.4 GB."""
    picture = ['-f', 'lavfi', '-i', 'testsrc=size=640x480:rate=25:duration=2']
    ffmpeg(*picture, '-vf', "setpts='(N/25+60*gte(N,40))/TB'", *PASSTHROUGH, '-pix_fmt', 'yuv420p', tmp_path / 'a.mp4')
    code = """
        import resource, sys
        from helpers.video import open_frames
        with open_frames(sys.argv[1]) as frames:
            shown = sum(1 for _ in frames)
        print(shown, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    """
    shown, largest = map(int, run_python(code, tmp_path / 'a.mp4').stdout.split())
    assert abs(shown - 62 * 25) < 25 and largest < 300 * 1024


def test_a_title_of_digits_is_not_searched_for_years():
    assert decoding._constant_rate('', fractions.Fraction(25), 'title: ' + '1' * 10**6 + '\n25 tbr') == 25
