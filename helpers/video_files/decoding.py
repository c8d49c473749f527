"""The frames of a video file, at a constant rate, as a player shows them."""

import collections
import fractions
import logging
import os
import re
import subprocess
import threading
from typing import Deque, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from helpers.video_files.ffmpeg import ffmpeg_command, ffmpeg_name, input_of, run_ffmpeg
from helpers.video_files.high_dynamic_range import HighDynamicRange, high_dynamic_range, tone_mapping

_LOGGER = logging.getLogger(__name__)

#: The frame rate of a source that does not declare one.
DEFAULT_FRAME_RATE = 30.0
# A frame lasts at most a thousand seconds: the fraction for a slower rate, as passed to ffmpeg, would be close to 0.
SMALLEST_FRAME_RATE = 0.001
LARGEST_FRAME_RATE = 1000.0
# In seconds: twice the documented limit, because averages are rounded.
_LONGEST_FRAME = 2 / SMALLEST_FRAME_RATE

# Above this, the rate that a file declares is compared with the time stamps of its frames.
_FASTEST_USUAL_RATE = 120
# Frames at uneven times are sampled at least at this rate, or movements would be jerky.
_SLOWEST_UNEVEN_RATE = fractions.Fraction(25)

# Sound that ends at most this many seconds before its file is complete: durations are given in hundredths.
_LAST_SOUND = 0.1

# ffmpeg's time of a frame whose time it does not know.
_NO_TIME = -(2**63)
# Below this many bytes per frame, the distances between frames of a long video are checked.
_FEW_BYTES = 100
# Below this many bytes in a file that check takes no time, so it is done whatever duration the file declares.
_SMALL_FILE = 2**26

# ffmpeg's names of raw streams, whose frames have no time stamps. Their 'tbr' may count two fields per frame.
_RAW = ('h264', 'hevc', 'm4v', 'mpegvideo', 'mjpeg')

_RATE_REMEDY = 'Write it at a usual rate with ffmpeg -r 30 -i FILE OUT, or give a directory of frames.'

# Averages of time stamps miss whole numbers by less than this; 29.97 and the like differ from them by more.
_ROUNDING = 0.0002


class VideoFacts(NamedTuple):
    """The properties of a video that are known before its frames are read.

    binary: the ffmpeg that can read it. size: (height, width) as shown, that is after turning a video that was filmed
    upright. frame_rate: the constant rate at which frames are taken. duration: seconds, of picture or sound, whichever
    is longer; None if the file does not say. hdr: None for standard video. is_raw: whether frames have no time stamps.
    """

    binary: str
    size: Tuple[int, int]
    frame_rate: fractions.Fraction
    pixel_aspect: fractions.Fraction
    duration: Optional[float]
    has_audio: bool
    hdr: Optional[HighDynamicRange]
    is_raw: bool

    @property
    def num_frames(self) -> Optional[int]:
        """The approximate number of frames, from the duration; None if that is not known."""
        return None if self.duration is None else max(1, int(round(self.duration * self.frame_rate)))


def probe(path: str) -> VideoFacts:
    """Decodes the first frame, after which ffmpeg reports how the picture is turned and the shape of its pixels.

    Raises:
        ValueError: The file cannot be read as a video.
    """
    # The header of this format has all of that in one line of fixed form, unlike ffmpeg's log.
    command = [*input_of(path), '-map', '0:V:0', '-frames:v', '1', '-pix_fmt', 'yuv444p', '-f', 'yuv4mpegpipe', '-']
    done = run_ffmpeg(['-hide_banner', *command], 'level+info', stdout=subprocess.PIPE)
    log = done.stderr.decode('utf-8', 'replace')
    header = re.match(rb'YUV4MPEG2 W(\d+) H(\d+) F(\d+):(\d+) I\S+ A(\d+):(\d+)', done.stdout[:100])
    if header is None or b'\nFRAME' not in done.stdout[:1000]:
        raise ValueError(
            '{} cannot be read as a video. {}'.format(path, _remedy(done.returncode, log, ffmpeg_name(path)))
        )
    width, height, *rate, aspect_width, aspect_height = (int(number) for number in header.groups())
    duration = re.search(r'Duration: (\d+):(\d+):([\d.]+)', log)
    facts = VideoFacts(
        done.args[0],
        (height, width),
        _constant_rate(path, fractions.Fraction(rate[0], max(1, rate[1])), log),
        fractions.Fraction(aspect_width, aspect_height) if aspect_width and aspect_height else fractions.Fraction(1),
        sum(float(part) * unit for part, unit in zip(duration.groups(), (3600, 60, 1))) if duration else None,
        re.search(r'Stream #\S+: Audio: ', log) is not None,
        high_dynamic_range(log),
        _is_raw(log),
    )
    _check_gaps(path, facts)
    return facts


def _check_gaps(path: str, facts: VideoFacts) -> None:
    """Raises ValueError if a frame would be repeated again and again, because the next one is hours or years away."""
    size = os.path.getsize(path)
    is_long = (facts.num_frames or 0) * _FEW_BYTES > size and (facts.duration or 0) > _LONGEST_FRAME
    if facts.is_raw or not (is_long or size < _SMALL_FILE):
        return
    # From the start of the file, since the first frame is also shown before its time.
    shown = [(fractions.Fraction(0), fractions.Fraction(0)), *sorted(_packets(path, '0:V:0'))]
    lasting = [later[0] - earlier[0] for earlier, later in zip(shown, shown[1:])]
    longest = max([shown[-1][1] - shown[-1][0], *lasting])
    if longest > _LONGEST_FRAME:
        raise _too_slow(path, longest)


def _too_slow(path: str, seconds: fractions.Fraction) -> ValueError:
    return ValueError(
        '{} says that a frame of it lasts {:.0f} seconds; at most {:.0f} are read. {}'.format(
            path, float(seconds), 1 / SMALLEST_FRAME_RATE, _RATE_REMEDY
        )
    )


def _remedy(status: int, log: str, name: str) -> str:
    if status < 0:
        return (
            'The ffmpeg that moviepy brings crashed on it: install ffmpeg, which is then found, or convert it to MP4.'
        )
    if 'matches no streams' in log:
        return 'There are no pictures in it. Give a video file, a directory of frames, or camera:0.'
    if re.search(r'webp_pipe.* not on whitelist', log):
        return (
            'It is a WebP that stands still, or this ffmpeg is too old for those that move: convert one that moves to '
            'MP4 or GIF.'
        )
    if 'not on whitelist' in log:
        return (
            'It is an image, a list of files, or of a format that is not read. Give a video or a directory of frames.'
        )
    # The first error is the cause; the others are its consequences.
    reason = re.search(r'\[(?:error|fatal)\] (.*)', log)
    said = 'No picture in it can be decoded' if reason is None else 'ffmpeg says: ' + reason.group(1)
    return (
        'It is damaged, cut off or no video: copy it again or, where it plays, convert it to MP4 or give a directory '
        'of frames. ({})'.format(said.replace(name + ': ', ''))
    )


def _constant_rate(path: str, rate: fractions.Fraction, log: str) -> fractions.Fraction:
    """The constant rate at which to take frames from a video.

    Args:
        rate: ffmpeg's estimate: the rate of the file or, if its frames are at uneven times, their average rate.
        log: ffmpeg's log of the file. Its 'tbr' is a rate such that all time stamps are multiples of its period.
    """
    if 'Input #0, gif' in log:
        shown = _packets(path, '0:V:0')
        # For so few frames ffmpeg reports the unit of their times, 1/100 s, and the first would be repeated many times.
        if len(shown) in (1, 2):
            end = shown[0][1] if len(shown) == 1 else shown[1][0]
            if end > shown[0][0]:
                return _bounded(1 / (end - shown[0][0]))
    if rate > _FASTEST_USUAL_RATE:  # files of browsers declare the unit of their time stamps, 1000 per second
        rate = _average_rate(path) or rate
    ticks = re.search(r'(?<![\d.])([\d.]+)(k?) tbr', log)
    if _is_raw(log):
        rate = min(rate, _raw_rate(path) or rate)
    elif ticks is not None:
        finest = fractions.Fraction(ticks.group(1)) * (1000 if ticks.group(2) else 1)
        # A screen recording: the frames of its short movements are closer than on average.
        if rate < 0.9 * finest:
            rate = max(rate, min(finest, _SLOWEST_UNEVEN_RATE))
    if abs(round(rate) - rate) < _ROUNDING * rate:
        rate = fractions.Fraction(round(rate))
    if rate == 0:
        return fractions.Fraction(DEFAULT_FRAME_RATE)
    if 1 / rate > _LONGEST_FRAME:  # each frame would be repeated again and again
        raise _too_slow(path, 1 / rate)
    return _bounded(rate)


def _is_raw(log: str) -> bool:
    return re.search('Input #0, ({}),'.format('|'.join(_RAW)), log) is not None


def _bounded(rate: fractions.Fraction) -> fractions.Fraction:
    slowest, fastest = (fractions.Fraction(bound) for bound in ('{}'.format(SMALLEST_FRAME_RATE), LARGEST_FRAME_RATE))
    return max(slowest, min(rate, fastest))


def _average_rate(path: str) -> Optional[fractions.Fraction]:
    """Frames per second from the time stamps of all frames; None where there are too few."""
    stamps = [start for start, _ in _packets(path, '0:V:0')]
    if len(stamps) < 2 or max(stamps) == min(stamps):
        return None
    return ((len(stamps) - 1) / (max(stamps) - min(stamps))).limit_denominator(1001)


def _raw_rate(path: str) -> Optional[fractions.Fraction]:
    """Frames per second of a raw stream, from the most frequent duration of its first frames; None if not known."""
    lasting = collections.Counter(end - start for start, end in _packets(path, '0:V:0', most=50, timeless=True))
    usual = max(lasting, key=lasting.__getitem__, default=fractions.Fraction(0))
    return 1 / usual if usual else None


def _packets(
    path: str, stream: str, most: Optional[int] = None, timeless: bool = False
) -> List[Tuple[fractions.Fraction, fractions.Fraction]]:
    """When each packet of a stream begins and ends, in seconds from the start of the file. Nothing is decoded.

    Args:
        most: The largest number of packets to read; None for all.
        timeless: Whether to include packets without a time stamp: only the differences of their times are meaningful.
    """
    limit = [] if most is None else ['-frames:v', str(most)]
    command = [*input_of(path), '-map', stream, '-c', 'copy', *limit, '-f', 'framecrc', '-']
    done = run_ffmpeg(command, 'error', stdout=subprocess.PIPE)
    unit = re.search(rb'^#tb 0: (\d+)/(\d+)', done.stdout, re.MULTILINE)
    if unit is None:
        return []
    tick = fractions.Fraction(int(unit.group(1)), int(unit.group(2)))
    found = re.findall(rb'^0,[^,]*, *(-?\d+), *(\d+),', done.stdout, re.MULTILINE)
    known = [(int(start), int(duration)) for start, duration in found if timeless or int(start) > _NO_TIME]
    return [(start * tick, (start + duration) * tick) for start, duration in known]


class VideoDecoder:
    """A process of ffmpeg that yields frames at a constant rate, by their time stamps.

    A frame that is shown for longer is repeated, and some of the frames that come faster are left out. So frame k is
    what a player shows at k / frame_rate seconds after the start of the file, to within half a frame, in sync with the
    sound. HDR video is converted to the range of standard video.
    """

    def __init__(self, path: str, facts: VideoFacts):
        self._path = path
        self._facts = facts
        rate = facts.frame_rate
        # Raw streams have no time stamps, and some of those that ffmpeg 4 invents have another rate.
        said = ['-r', str(rate)] if facts.is_raw else []
        # Scaled to the size of the first frame, because the size may change during the video.
        filters = ['scale={1}:{0}'.format(*facts.size)]
        if facts.hdr is not None:
            filters += tone_mapping(path, facts.hdr, facts.binary)
        # Frames are repeated after the conversion: ffmpeg would otherwise keep a converted copy of each repetition.
        filters += ['format=rgb24'] + ([] if facts.is_raw else ['fps={}:start_time=0'.format(rate)])
        command = [*said, *input_of(path), '-map', '0:V:0', '-vf', ','.join(filters)]
        command += ['-pix_fmt', 'rgb24', '-f', 'rawvideo', '-']
        self._process = subprocess.Popen(
            ffmpeg_command(facts.binary, command, 'error'),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # ffmpeg blocks when the pipe of its messages is full, so a thread reads them.
        self._complaints: Deque[bytes] = collections.deque(maxlen=20)
        self._drain = threading.Thread(target=self._complaints.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def frames(self) -> Iterator[np.ndarray]:
        """Yields uint8 arrays of shape [H, W, 3], RGB. Raises ValueError where the file ends early."""
        height, width = self._facts.size
        assert self._process.stdout is not None
        count = 0
        while True:
            data = self._process.stdout.read(height * width * 3)
            if len(data) < height * width * 3:
                break
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
            count += 1
        self._check_end(count)

    def _check_end(self, count: int) -> None:
        status = self._process.wait()
        self._drain.join()
        complaints = b''.join(self._complaints).decode('utf-8', 'replace').strip().partition('\n')[0]
        num_frames = self._facts.num_frames
        if status == 0 and count == 0 and self._facts.frame_rate == LARGEST_FRAME_RATE:
            raise ValueError(
                '{} says that all its frames come within {:g} seconds, at more than {:.0f} a second. {}'.format(
                    self._path, 1 / LARGEST_FRAME_RATE, LARGEST_FRAME_RATE, _RATE_REMEDY
                )
            )
        # If the sound is longer than the picture, the estimated number of frames is too large; that alone is no error.
        is_short = num_frames is not None and count < num_frames - 1
        if status != 0 or count == 0 or (complaints and is_short and not self._is_whole(count)):
            raise ValueError(
                '{} ends early: frame {}{} cannot be decoded. The file is truncated or damaged, or reading was '
                'interrupted. {}'.format(
                    self._path, count, '' if num_frames is None else ' of about {}'.format(num_frames), complaints
                )
            )
        if complaints:
            _LOGGER.warning('%s is damaged in places, some frames may look wrong: %s', self._path, complaints)

    def _is_whole(self, count: int) -> bool:
        """Whether all frames in the file were read and its sound has the declared duration: then nothing was cut off,
        and the picture is just shorter than the sound."""
        if not self._facts.has_audio or self._facts.duration is None:
            return False
        picture_end, sound_end = (
            max((end for _, end in _packets(self._path, stream)), default=0) for stream in ('0:V:0', '0:a:0')
        )
        return sound_end > self._facts.duration - _LAST_SOUND and count >= picture_end * self._facts.frame_rate - 1

    def close(self) -> None:
        """Ends the process."""
        # Killed, since on a request to end it would first try to write its remaining frames, which nobody reads.
        self._process.kill()
        self._process.wait()
        self._drain.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
