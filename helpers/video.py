"""Reading frames from a video, a directory or a camera, and writing an H.264 MP4 that browsers play.

moviepy, 1 on Python 3.7 and 2 elsewhere, is met here and nowhere else, and imported when a video is opened: it writes,
and brings the ffmpeg that reads. Both ways stream: one frame at a time is in memory, however long the video.
"""

import collections
import contextlib
import errno
import fractions
import itertools
import logging
import os
import re
import shutil
import subprocess
import tempfile
import threading
from types import TracebackType
from typing import Any, Callable, Deque, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Type

import cv2
import numpy as np

from helpers.aliases import PathLike
from helpers.files import atomic_path, explain_os_errors
from helpers.image_search import IMAGE_EXTENSIONS, find_images
from helpers.images import read_image

_LOGGER = logging.getLogger(__name__)

_CAMERA = re.compile(r'camera:(\d+)$')
_SQUARE = fractions.Fraction(1)

_DEFAULT_FRAME_RATE = 30.0
# A frame lasts at most a thousand seconds: the fraction that ffmpeg is told of a slower rate would come near 0.
_SMALLEST_FRAME_RATE = 0.001
_LARGEST_FRAME_RATE = 1000.0

# Above this a rate that a file tells is compared with the time stamps of its frames.
_FASTEST_USUAL_RATE = 120
# Frames that come at uneven times are taken at least so often, or movements would jerk.
_SLOWEST_UNEVEN_RATE = fractions.Fraction(25)

# Sound that ends so many seconds before its file does is whole: the file tells its duration in hundredths.
_LAST_SOUND = 0.1

# Averages of time stamps miss whole numbers by less than this; 29.97 and the like differ from them by more.
_ROUNDING = 0.0002

# ffmpeg's names of what may be read. Among what may not are lists (HLS, concat), which lead to files elsewhere.
_CONTAINERS = (
    *('mov', 'mp4', 'matroska', 'webm', 'avi', 'mpegts', 'mpeg', 'mpegvideo', 'asf', 'flv', 'ogg', 'gif', 'apng'),
    *('mxf', 'nut', 'h264', 'hevc', 'm4v', 'yuv4mpegpipe', 'ivf', 'dv', 'wtv', 'rm', 'mjpeg', 'obu', 'av1'),
    'webp_anim',
    *('mp3', 'wav', 'aac', 'flac', 'ac3', 'eac3', 'aiff', 'w64', 'caf', 'amr'),
)
_MAX_PIXELS = 2**26  # 8192 x 8192

_DISK_FULL = 'No space left'  # in what ffmpeg says

# Visually lossless at the flat areas and sharp edges of overlays; 'veryfast' leaves the processor to the network. No
# frames that refer to later ones: they need an edit list, from which ffmpeg 4 loses the last frame of short videos.
_QUALITY = ('-crf', '18', '-bf', '0')
_PRESET = 'veryfast'

# Fragments of a second: what is on the disk can be played up to the last whole fragment, whatever stops the encoder.
_FRAGMENTED = ('-movflags', '+frag_keyframe+empty_moov+default_base_moof', '-frag_duration', '1000000')
# The index at the front: browsers start playing before the whole file has arrived.
_FAST_START = ('-movflags', '+faststart')

# High definition's colour matrix, said in the file: players guess by the size otherwise, and colours of classes shift.
_COLOR_MATRIX = 'bt709'
_COLOR_TAGS = ('-colorspace', _COLOR_MATRIX, '-color_primaries', _COLOR_MATRIX, '-color_trc', _COLOR_MATRIX)


class Frames:
    """The frames of a source, in order and once: iterate over it. A context manager that closes the source.

    Attributes:
        size: (height, width) of every frame, in pixels.
        frame_rate: Frames per second.
        num_frames: How many there will be; for a video an estimate from its duration; None where that is not known.
        has_audio: Whether the source has sound.
        pixel_aspect: Width of a pixel by its height, where the source is to be shown with pixels that are not square.
    """

    def __init__(
        self,
        size: Tuple[int, int],
        frame_rate: float,
        num_frames: Optional[int],
        has_audio: bool,
        iterator: Iterator[np.ndarray],
        close: Callable[[], None],
        pixel_aspect: fractions.Fraction = _SQUARE,
    ):
        self.size = size
        self.frame_rate = frame_rate
        self.num_frames = num_frames
        self.has_audio = has_audio
        self.pixel_aspect = pixel_aspect
        self._iterator = iterator
        self._close = close

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields uint8 arrays of shape [H, W, 3], RGB.

        Raises:
            ValueError: A frame cannot be read or has another size than the first. It is named.
            OSError: A camera stopped delivering.
        """
        return self._iterator

    def close(self) -> None:
        """Ends the reading process or frees the camera; frames that were not asked for are never read."""
        self._close()

    def __enter__(self) -> 'Frames':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def open_frames(
    source: PathLike, frame_rate: Optional[float] = None, extensions: Sequence[str] = IMAGE_EXTENSIONS
) -> Frames:
    """Opens a video file, a directory of frames, or a camera.

    Args:
        source: A video in any format that ffmpeg reads; or a directory whose image files (not those of subdirectories)
            are the frames, in natural order; or 'camera:N' for the camera of number N.
        frame_rate: Frames per second of a directory, 30 by default. A video or a camera has its own.
        extensions: Which files of a directory are frames.

    Raises:
        FileNotFoundError: There is no such file or directory, or no image in it.
        ValueError: The source cannot be read, or the frame rate is out of its range or given for what has its own.
        OSError: There is no such camera.
    """
    source = os.fspath(source)
    _check_kind(source, frame_rate)
    if os.path.isdir(source):
        return _open_directory(source, _DEFAULT_FRAME_RATE if frame_rate is None else float(frame_rate), extensions)
    camera = _CAMERA.match(source)
    return _open_camera(int(camera.group(1))) if camera else _open_video(source)


def check_source(source: PathLike, frame_rate: Optional[float] = None) -> None:
    """Finds out, before any work, whether frames can be read from there. A camera is not opened.

    Arguments and errors are those of `open_frames`.
    """
    source = os.fspath(source)
    _check_kind(source, frame_rate)
    if os.path.isdir(source):
        find_images(source, IMAGE_EXTENSIONS, recursive=False)
    elif not _CAMERA.match(source):
        _probe(source)


def _check_kind(source: str, frame_rate: Optional[float]) -> None:
    if frame_rate is not None:
        check_frame_rate(frame_rate)
    if os.path.isdir(source):
        return
    if frame_rate is not None:
        raise ValueError(
            'frame_rate={} came for {}, but only a directory of frames takes one: a video or a camera has '
            'its own. Leave it out.'.format(frame_rate, source)
        )
    if not _CAMERA.match(source) and not os.path.isfile(source):
        raise FileNotFoundError(
            '{} does not exist. Give a video file, a directory of frames, or camera:0.'.format(source)
        )


def check_frame_rate(frame_rate: float) -> float:
    """Returns the frame rate as a float; raises ValueError where it is out of its range."""
    if not _SMALLEST_FRAME_RATE <= frame_rate <= _LARGEST_FRAME_RATE:
        raise ValueError(
            'frame_rate is {}; it has to be from {:g} to {:g} frames per second. 30 is usual.'.format(
                frame_rate, _SMALLEST_FRAME_RATE, _LARGEST_FRAME_RATE
            )
        )
    return float(frame_rate)


def check_video_path(path: PathLike) -> None:
    """Finds out, before any work, whether a video can be written there; leaves no trace.

    Raises:
        ValueError: The name does not end in '.mp4', or is that of a directory.
        OSError: The directory, or the nearest one that exists, cannot be written to.
    """
    final = os.path.abspath(os.fspath(path))
    if os.path.splitext(final)[1].lower() != '.mp4':
        raise ValueError(
            '{} came as the name of a video, but MP4 is written. Give a name that ends in .mp4.'.format(path)
        )
    if os.path.isdir(final):
        raise ValueError('{} is a directory, but a video is to be written there. Give another name.'.format(path))
    directory = os.path.dirname(final)
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    if not os.path.isdir(directory):
        raise NotADirectoryError(
            errno.ENOTDIR, '{} cannot be written: {} is no directory. Choose another place.'.format(path, directory)
        )
    with explain_os_errors(final), tempfile.TemporaryFile(dir=directory):
        pass


class VideoWriter:
    """Writes frames to an MP4: H.264, yuv420p, index at the front, an even size.

    A context manager. Frames go to 'NAME.partial.mp4' beside the video, or 'NAME.partial-2.mp4' and so on where a file
    of that name exists; only when the body ends without an exception and everything is encoded, the finished video
    takes its place under its own name, and the partial file is removed. When anything goes wrong, the partial file
    stays: it plays, without sound, up to about the last second of what was done.

    Attributes:
        path: The finished video.
        partial_path: Where frames are while the video is not finished: a file that this writer made, and no other.
        num_written: How many frames came so far.
    """

    def __init__(
        self,
        path: PathLike,
        size: Tuple[int, int],
        frame_rate: float,
        audio_from: Optional[PathLike] = None,
        pixel_aspect: fractions.Fraction = _SQUARE,
    ):
        """Starts the encoder.

        Args:
            path: The video to write; its name ends in '.mp4'. An existing one is replaced at the end.
            size: (height, width) of the frames. An odd one is made even by repeating the last row or column.
            frame_rate: Frames per second.
            audio_from: A video or sound file whose first sound track is added, as far as the frames reach; its time 0
                is that of the first frame. One without sound is no error; where the sound cannot be converted, the
                video is silent and a warning says so. None for a silent video.
            pixel_aspect: Width of a pixel by its height, for players: that of the `Frames` that the frames come from.

        Raises:
            ValueError: An argument is out of its range.
            FileNotFoundError: There is no file `audio_from`.
            OSError: The directory cannot be written to.
        """
        check_video_path(path)
        if len(size) != 2 or any(int(side) != side or side < 1 for side in size):
            raise ValueError('size is {}; it has to be (height, width), each at least 1.'.format(size))
        if audio_from is not None and not os.path.isfile(audio_from):
            raise FileNotFoundError('{} does not exist. Give the file whose sound to add.'.format(audio_from))
        self.path = os.path.abspath(os.fspath(path))
        self.num_written = 0
        self._size = (int(size[0]), int(size[1]))
        self._rate = fractions.Fraction(check_frame_rate(frame_rate)).limit_denominator(1001)
        self._audio_from = audio_from
        with explain_os_errors(self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self.partial_path = _new_partial_file(self.path)
        self._encoder = _start_encoder(self.partial_path, self._size, self._rate, pixel_aspect)

    def __enter__(self) -> 'VideoWriter':
        return self

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame.

        Args:
            frame: uint8 [H, W, 3], RGB, of the size that was given.

        Raises:
            ValueError: The frame has another shape or dtype. It is named by its number, counted from 0.
            OSError: The encoder stopped: the disk is full, say. Names the frame and the partial file.
        """
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.shape != self._size + (3,):
            raise ValueError(
                'Frame {} of {} has dtype {} and shape {}, but the video was begun with uint8 {}. Resize '
                'the frames to one size.'.format(
                    self.num_written, self.path, frame.dtype, frame.shape, self._size + (3,)
                )
            )
        height, width = self._size
        if height % 2 or width % 2:
            frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        try:
            self._encoder.write_frame(frame)
        except OSError as error:
            raise self._stopped(str(error)) from error
        self.num_written += 1

    def __exit__(
        self,
        exception_type: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if exception_type is None:
            self._finish()
            return
        _end_encoder(self._encoder)
        if self.num_written == 0:
            os.unlink(self.partial_path)
        else:
            _LOGGER.warning(
                '%s is not complete: it was stopped at frame %d. What was done is in %s.',
                self.path,
                self.num_written,
                self.partial_path,
            )

    def _finish(self) -> None:
        status, complaint = _end_encoder(self._encoder)
        if self.num_written == 0:
            os.unlink(self.partial_path)
            raise ValueError('{} would have no frame. Write at least one.'.format(self.path))
        if status != 0:
            raise self._stopped(complaint)
        with atomic_path(self.path) as temporary:
            problem = self._assemble(temporary)
            if problem is not None:
                raise self._stopped(problem)
        os.unlink(self.partial_path)

    def _assemble(self, path: str) -> Optional[str]:
        """Makes the finished video of the partial one and the sound; returns None, or what ffmpeg said of a failure."""
        # The rate is said again because ffmpeg 4 does not know how long the last frame of a fragmented file lasts.
        picture, coding = ['-r', str(self._rate), '-i', self.partial_path], ['-c:v', 'copy', *_FAST_START, path]
        if self._audio_from is None:
            return _run_ffmpeg(picture + coding)
        # Cut here and not by the shorter of both: sound that ends early must not end the video.
        sound = ['-t', '{:.6f}'.format(float(self.num_written / self._rate)), *_input_of(self._audio_from)]
        # Silence where the sound begins later or has gaps: players would move what follows to an earlier time.
        sound += ['-map', '0:v:0', '-map', '1:a:0?', '-af', 'aresample=async=1000:first_pts=0']
        complaint = _run_ffmpeg(picture + sound + ['-c:a', 'aac', '-b:a', '192k'] + coding)
        if complaint is None or _DISK_FULL in complaint:
            return complaint
        # Sound that this ffmpeg cannot read, or with more channels than AAC takes, is no reason to lose the picture.
        problem = _run_ffmpeg(picture + coding)
        if problem is None:
            _LOGGER.warning(
                '%s is silent, because the sound of %s cannot be converted: %s',
                self.path,
                self._audio_from,
                complaint.strip().partition('\n')[0],
            )
        return problem

    def _stopped(self, complaint: str) -> OSError:
        is_full = _DISK_FULL in complaint
        remedy = 'The disk is full: free some space or choose another directory.' if is_full else complaint.strip()
        return OSError(
            errno.ENOSPC if is_full else errno.EIO,
            'The encoder stopped at frame {} of {}. {} What was done is in {}.'.format(
                self.num_written, self.path, remedy, self.partial_path
            ),
        )


def _new_partial_file(path: str) -> str:
    """Makes an empty file beside the video and returns its path. Files that exist are somebody's, and stay."""
    stem, suffix = os.path.splitext(path)
    for number in itertools.count(1):
        partial_path = '{}.partial{}{}'.format(stem, '' if number == 1 else '-{}'.format(number), suffix)
        with contextlib.suppress(FileExistsError):
            open(partial_path, 'xb').close()
            break
    return partial_path


def _open_directory(directory: str, frame_rate: float, extensions: Sequence[str]) -> Frames:
    paths = find_images(directory, extensions, recursive=False)
    size = read_image(paths[0], convert=True).shape[:2]
    return Frames(size, frame_rate, len(paths), False, _directory_frames(paths, size), lambda: None)


def _directory_frames(paths: List[str], size: Tuple[int, int]) -> Iterator[np.ndarray]:
    for path in paths:
        frame = read_image(path, convert=True)
        if frame.shape[:2] != size:
            raise ValueError(
                'The frame {} has size {}, but the first frame, {}, has {}. Resize the frames to one size.'.format(
                    path, frame.shape[:2], paths[0], size
                )
            )
        yield frame


def _open_camera(number: int) -> Frames:
    camera = cv2.VideoCapture(number)
    ok, first = camera.read()
    if not ok:
        camera.release()
        raise OSError(
            errno.ENODEV,
            'camera:{} cannot be opened. Check that it is connected, free, and that this is its number.'.format(number),
        )
    frame_rate = camera.get(cv2.CAP_PROP_FPS)
    if not 0 < frame_rate <= _LARGEST_FRAME_RATE:
        frame_rate = _DEFAULT_FRAME_RATE  # many drivers do not say
    return Frames(first.shape[:2], frame_rate, None, False, _camera_frames(camera, number, first), camera.release)


def _camera_frames(camera: Any, number: int, first: np.ndarray) -> Iterator[np.ndarray]:
    frame, count = first, 0
    while True:
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        count += 1
        ok, frame = camera.read()
        if not ok:
            raise OSError(
                errno.EIO, 'camera:{} delivered no frame {}. Check that it is still connected.'.format(number, count)
            )


def _open_video(path: str) -> Frames:
    facts = _probe(path)
    decoder = _VideoDecoder(path, facts)
    return Frames(
        facts.size,
        float(facts.frame_rate),
        facts.num_frames,
        facts.has_audio,
        decoder.frames(),
        decoder.close,
        facts.pixel_aspect,
    )


class _VideoFacts(NamedTuple):
    """What is known of a video before its frames are read.

    binary: the ffmpeg that can read it. size: (height, width) as it is shown: turned, if it was filmed upright.
    frame_rate: the constant rate at which frames are taken from it. duration: seconds, of the longer of picture and
    sound; None where the file does not say.
    """

    binary: str
    size: Tuple[int, int]
    frame_rate: fractions.Fraction
    pixel_aspect: fractions.Fraction
    duration: Optional[float]
    has_audio: bool

    @property
    def num_frames(self) -> Optional[int]:
        return None if self.duration is None else max(1, int(round(self.duration * self.frame_rate)))


def _probe(path: str) -> _VideoFacts:
    """Decodes the first frame, after which ffmpeg knows how the picture is turned and what shape its pixels have.

    Raises:
        ValueError: The file cannot be read as a video.
    """
    # The header of this format says all that in one line, whose form is fixed, unlike that of what ffmpeg logs.
    command = [*_input_of(path), '-map', '0:V:0', '-frames:v', '1', '-pix_fmt', 'yuv444p', '-f', 'yuv4mpegpipe', '-']
    done = _ffmpeg(['-hide_banner', *command], 'level+info', stdout=subprocess.PIPE)
    log = done.stderr.decode('utf-8', 'replace')
    header = re.match(rb'YUV4MPEG2 W(\d+) H(\d+) F(\d+):(\d+) I\S+ A(\d+):(\d+)', done.stdout[:100])
    if header is None:
        raise ValueError(
            '{} cannot be read as a video. {}'.format(path, _remedy(done.returncode, log, _ffmpeg_name(path)))
        )
    width, height, *rate, aspect_width, aspect_height = (int(number) for number in header.groups())
    duration = re.search(r'Duration: (\d+):(\d+):([\d.]+)', log)
    return _VideoFacts(
        done.args[0],
        (height, width),
        _constant_rate(path, fractions.Fraction(rate[0], max(1, rate[1])), log),
        fractions.Fraction(aspect_width, aspect_height) if aspect_width and aspect_height else fractions.Fraction(1),
        sum(float(part) * unit for part, unit in zip(duration.groups(), (3600, 60, 1))) if duration else None,
        re.search(r'Stream #\S+: Audio: ', log) is not None,
    )


def _remedy(status: int, log: str, name: str) -> str:
    if status < 0:
        return (
            'The ffmpeg that moviepy brings crashed on it: install ffmpeg, which is then found, or convert it to MP4.'
        )
    if 'matches no streams' in log:
        return 'There are no pictures in it. Give a video file, a directory of frames, or camera:0.'
    if 'not on whitelist' in log:
        return (
            'It is an image, a list of files, or of a format that is not read. Give a video or a directory of frames.'
        )
    # The first error is the cause; those after it only say what follows from it.
    reason = re.search(r'\[(?:error|fatal)\] (.*)', log)
    said = log.strip().rpartition('\n')[2] if reason is None else reason.group(1)
    return 'Convert it with ffmpeg, or give a directory of frames. (ffmpeg says: {})'.format(
        said.replace(name + ': ', '')
    )


def _constant_rate(path: str, rate: fractions.Fraction, log: str) -> fractions.Fraction:
    """The constant rate at which to take frames from a video.

    Args:
        rate: What ffmpeg takes for it: the rate of the file or, where its frames come at uneven times, their average.
        log: What ffmpeg logs of the file. 'tbr' in it is the rate of which all time stamps are multiples.
    """
    if 'Input #0, gif' in log:
        stamps = [start for start, _ in _packets(path, '0:V:0')]
        if len(stamps) == 2 and stamps[0] < stamps[1]:  # too few for ffmpeg, which takes their unit of 1/100 s instead
            return _bounded(1 / (stamps[1] - stamps[0]))
    if rate > _FASTEST_USUAL_RATE:  # files of browsers tell no rate but the unit of their time stamps, 1000 a second
        rate = _average_rate(path) or rate
    ticks = re.search(r'([\d.]+)(k?) tbr', log)
    if ticks is not None:
        finest = fractions.Fraction(ticks.group(1)) * (1000 if ticks.group(2) else 1)
        if (
            rate < 0.9 * finest
        ):  # a recording of a screen: the frames of its short movements come faster than on average
            rate = max(rate, min(finest, _SLOWEST_UNEVEN_RATE))
    if abs(round(rate) - rate) < _ROUNDING * rate:
        rate = fractions.Fraction(round(rate))
    if rate == 0:
        return fractions.Fraction(_DEFAULT_FRAME_RATE)
    return _bounded(rate)


def _bounded(rate: fractions.Fraction) -> fractions.Fraction:
    slowest, fastest = (fractions.Fraction(bound) for bound in ('{}'.format(_SMALLEST_FRAME_RATE), _LARGEST_FRAME_RATE))
    return max(slowest, min(rate, fastest))


def _average_rate(path: str) -> Optional[fractions.Fraction]:
    """Frames per second from the time stamps of all frames; None where there are too few."""
    stamps = [start for start, _ in _packets(path, '0:V:0')]
    if len(stamps) < 2 or max(stamps) == min(stamps):
        return None
    return ((len(stamps) - 1) / (max(stamps) - min(stamps))).limit_denominator(1001)


def _packets(path: str, stream: str) -> List[Tuple[fractions.Fraction, fractions.Fraction]]:
    """When each packet of a stream begins and ends, in seconds from the start of the file. Nothing is decoded."""
    command = [*_input_of(path), '-map', stream, '-c', 'copy', '-f', 'framecrc', '-']
    done = _ffmpeg(command, 'error', stdout=subprocess.PIPE)
    unit = re.search(rb'^#tb 0: (\d+)/(\d+)', done.stdout, re.MULTILINE)
    if unit is None:
        return []
    tick = fractions.Fraction(int(unit.group(1)), int(unit.group(2)))
    found = re.findall(rb'^0,[^,]*, *(-?\d+), *(\d+),', done.stdout, re.MULTILINE)
    return [(int(start) * tick, (int(start) + int(duration)) * tick) for start, duration in found]


class _VideoDecoder:
    """A process of ffmpeg that hands out frames at a constant rate, by their time stamps.

    A frame that is shown for longer comes several times, and of frames that come faster some are left out, so that
    frame k is what a player shows at k / frame_rate seconds after the start of the file, sound included.
    """

    def __init__(self, path: str, facts: _VideoFacts):
        self._path = path
        self._facts = facts
        rate = facts.frame_rate
        # Scaled, although the size is that of the first frame, because it may change on the way.
        filters = 'fps={}/{}:start_time=0,scale={}:{}'.format(
            rate.numerator, rate.denominator, facts.size[1], facts.size[0]
        )
        command = [*_input_of(path), '-map', '0:V:0', '-vf', filters, '-pix_fmt', 'rgb24', '-f', 'rawvideo', '-']
        self._process = subprocess.Popen(
            _ffmpeg_command(facts.binary, command, 'error'),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # ffmpeg stops and waits when nobody empties the pipe of its complaints, so a thread does.
        self._complaints: Deque[bytes] = collections.deque(maxlen=20)
        self._drain = threading.Thread(target=self._complaints.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def frames(self) -> Iterator[np.ndarray]:
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
        # A sound track longer than the picture makes the number of frames look too large, so that alone is no error.
        is_short = num_frames is not None and count < num_frames - 1
        if status != 0 or (complaints and is_short and not self._is_whole(count)):
            raise ValueError(
                '{} ends early: frame {} of about {} cannot be decoded. The file is truncated or damaged, '
                'or reading was interrupted. {}'.format(self._path, count, num_frames, complaints)
            )
        if complaints:
            _LOGGER.warning('%s is damaged in places, some frames may look wrong: %s', self._path, complaints)

    def _is_whole(self, count: int) -> bool:
        """Whether all frames that are in the file came, and its sound lasts as long as it is said to: so that nothing
        was cut off, and the picture is only shorter than the sound."""
        if not self._facts.has_audio or self._facts.duration is None:
            return False
        picture_end, sound_end = (
            max((end for _, end in _packets(self._path, stream)), default=0) for stream in ('0:V:0', '0:a:0')
        )
        return sound_end > self._facts.duration - _LAST_SOUND and count >= picture_end * self._facts.frame_rate - 1

    def close(self) -> None:
        # Not asked to end: it would first want to get rid of the frames that it has, and nobody takes them.
        self._process.kill()
        self._process.wait()
        self._drain.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def _start_encoder(path: str, size: Tuple[int, int], rate: fractions.Fraction, pixel_aspect: fractions.Fraction) -> Any:
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
    # moviepy rounds frame rates to two decimals, which lets the sound of a long video drift. So frames are stamped anew
    # with the exact rate.
    filters = 'settb={}/{},setpts=N,scale=out_color_matrix={}:out_range=tv,format=yuv420p,setsar={}/{}'.format(
        rate.denominator, rate.numerator, _COLOR_MATRIX, pixel_aspect.numerator, pixel_aspect.denominator
    )
    return FFMPEG_VideoWriter(
        path,
        (width, height),
        max(0.01, float(rate)),
        codec='libx264',
        preset=_PRESET,
        ffmpeg_params=[
            '-vf',
            filters,
            '-r',
            '{}/{}'.format(rate.numerator, rate.denominator),
            *_QUALITY,
            *_COLOR_TAGS,
            *_FRAGMENTED,
        ],
    )


def _end_encoder(encoder: Any) -> Tuple[int, str]:
    """Ends the encoder after the frames that it has, and returns its exit status and what it complained about."""
    process = encoder.proc
    complaint = b''
    with contextlib.suppress(OSError):  # of an encoder that is gone, which its status says
        process.stdin.close()
    if not process.stderr.closed:
        complaint = process.stderr.read()
    status = process.wait()
    encoder.close()
    return status, complaint.decode('utf-8', 'replace')


def _run_ffmpeg(arguments: List[str]) -> Optional[str]:
    """Runs ffmpeg; returns None, or what it said when it failed."""
    done = _ffmpeg(['-y', *arguments], 'error', stdout=subprocess.DEVNULL)
    return None if done.returncode == 0 else done.stderr.decode('utf-8', 'replace')


def _ffmpeg(arguments: List[str], log_level: str, stdout: int) -> 'subprocess.CompletedProcess[bytes]':
    """Runs moviepy's ffmpeg or, where that crashes, the one of the system; `args[0]` of the result says which."""
    from moviepy import config

    # Static builds, as imageio-ffmpeg brings, crash on every MPEG-TS file where the system's C library is newer:
    # https://github.com/gradio-app/gradio/issues/13848
    for binary in filter(None, (config.FFMPEG_BINARY, shutil.which('ffmpeg'))):
        done = subprocess.run(
            _ffmpeg_command(binary, arguments, log_level), stdout=stdout, stderr=subprocess.PIPE, check=False
        )
        if done.returncode >= 0:  # a signal ended it otherwise
            break
    return done


def _ffmpeg_command(binary: str, arguments: List[str], log_level: str) -> List[str]:
    return [binary, '-nostdin', '-loglevel', log_level, *arguments]


def _input_of(path: PathLike) -> List[str]:
    """Arguments that read a file of somebody else's: no list of other files or addresses, no giant pictures."""
    return [
        *('-protocol_whitelist', 'file', '-format_whitelist', ','.join(_CONTAINERS), '-max_pixels', str(_MAX_PIXELS)),
        *('-i', _ffmpeg_name(path)),
    ]


def _ffmpeg_name(path: PathLike) -> str:
    # Said to be a file: what stands before a colon would otherwise be taken for a protocol, as in '12:30:15.mp4'.
    return 'file:' + os.path.abspath(os.fspath(path))
