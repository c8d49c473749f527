"""Reading frames from a video, a directory or a camera, and writing an H.264 MP4 that browsers play.

moviepy, 1 on Python 3.7 and 2 elsewhere, is met here and nowhere else, and imported when a video is opened. Both ways
stream: one frame at a time is in memory, however long the video.
"""

import collections
import contextlib
import errno
import fractions
import inspect
import itertools
import logging
import os
import re
import subprocess
import tempfile
import threading
from types import TracebackType
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Tuple, Type, Union

import cv2
import numpy as np

from helpers.files import atomic_path, explain_os_errors
from helpers.images import IMAGE_EXTENSIONS, find_images, read_image

PathLike = Union[str, 'os.PathLike[str]']

_LOGGER = logging.getLogger(__name__)

_DEFAULT_FRAME_RATE = 30.0
# A frame lasts at most a thousand seconds: the fraction that ffmpeg is told of a slower rate would come near 0.
_SMALLEST_FRAME_RATE = 0.001
_LARGEST_FRAME_RATE = 1000.0

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
    """

    def __init__(
        self,
        size: Tuple[int, int],
        frame_rate: float,
        num_frames: Optional[int],
        has_audio: bool,
        iterator: Iterator[np.ndarray],
        close: Callable[[], None],
    ):
        self.size = size
        self.frame_rate = frame_rate
        self.num_frames = num_frames
        self.has_audio = has_audio
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

    Arguments:
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
    if os.path.isdir(source):
        return _open_directory(
            source, check_frame_rate(_DEFAULT_FRAME_RATE if frame_rate is None else frame_rate), extensions
        )
    if frame_rate is not None:
        raise ValueError(
            'frame_rate={} came for {}, but only a directory of frames takes one: a video or a camera has '
            'its own. Leave it out.'.format(frame_rate, source)
        )
    camera = re.match(r'camera:(\d+)$', source)
    if camera:
        return _open_camera(int(camera.group(1)))
    if not os.path.isfile(source):
        raise FileNotFoundError(
            '{} does not exist. Give a video file, a directory of frames, or camera:0.'.format(source)
        )
    return _open_video(source)


def check_frame_rate(frame_rate: float) -> float:
    """The frame rate as a float; raises ValueError where it is out of its range."""
    if not _SMALLEST_FRAME_RATE <= frame_rate <= _LARGEST_FRAME_RATE:
        raise ValueError(
            'frame_rate={} came, but it must be from {:g} to {:g} frames per second. 30 is usual.'.format(
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

    def __init__(self, path: PathLike, size: Tuple[int, int], frame_rate: float, audio_from: Optional[PathLike] = None):
        """Starts the encoder.

        Arguments:
            path: The video to write; its name ends in '.mp4'. An existing one is replaced at the end.
            size: (height, width) of the frames. An odd one is made even by repeating the last row or column.
            frame_rate: Frames per second.
            audio_from: A video or sound file whose sound is added, as far as the frames reach. One without sound is no
                error. None for a silent video.

        Raises:
            ValueError: An argument is out of its range.
            FileNotFoundError: There is no file `audio_from`.
            OSError: The directory cannot be written to.
        """
        check_video_path(path)
        if len(size) != 2 or any(int(side) != side or side < 1 for side in size):
            raise ValueError('size={} came, but it must be (height, width), each at least 1.'.format(size))
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
        self._encoder = _start_encoder(self.partial_path, self._size, self._rate)

    def __enter__(self) -> 'VideoWriter':
        return self

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame.

        Arguments:
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
        # The rate is said again because ffmpeg 4 does not know how long the last frame of a fragmented file lasts.
        command = ['-r', str(self._rate), '-i', self.partial_path]
        if self._audio_from is not None:
            # Cut here and not by the shorter of both: sound that ends early must not end the video.
            duration = float(self.num_written / self._rate)
            command += ['-t', '{:.6f}'.format(duration), '-i', os.path.abspath(os.fspath(self._audio_from))]
            command += ['-map', '0:v:0', '-map', '1:a:0?', '-c:a', 'aac', '-b:a', '192k']
        with atomic_path(self.path) as temporary:
            problem = _run_ffmpeg(command + ['-c:v', 'copy', *_FAST_START, temporary])
            if problem is not None:
                raise self._stopped(problem)
        os.unlink(self.partial_path)

    def _stopped(self, complaint: str) -> OSError:
        is_full = 'No space left' in complaint
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
    decoder = _VideoDecoder(path)
    return Frames(
        decoder.size, decoder.frame_rate, decoder.num_frames, decoder.has_audio, decoder.frames(), decoder.close
    )


class _VideoDecoder:
    """moviepy's reader, read to the very end, with what ffmpeg complains about kept."""

    def __init__(self, path: str):
        self._path = path
        self._reader, has_duration = _start_reader(path)
        width, height = self._reader.size
        self.size = (height, width)
        self.frame_rate = self._reader.fps
        self.num_frames = max(1, int(round(self._reader.duration * self.frame_rate))) if has_duration else None
        self.has_audio = bool(self._reader.infos.get('audio_found'))
        self._process = self._reader.proc
        # ffmpeg stops and waits when nobody empties the pipe of its complaints, so a thread does.
        self._complaints: Deque[bytes] = collections.deque(maxlen=20)
        self._drain = threading.Thread(target=self._complaints.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def frames(self) -> Iterator[np.ndarray]:
        # moviepy repeats the last frame where a video ends early, and takes the number of frames from the duration,
        # which is one off at times. So the frames behind the first, which it reads itself, are read from its process.
        height, width = self.size
        yield self._reader.lastread
        count = 1
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
        # A sound track longer than the picture makes the number of frames look too large, so that alone is no error.
        is_short = self.num_frames is not None and count < self.num_frames - 1
        if status != 0 or (complaints and is_short):
            raise ValueError(
                '{} ends early: frame {} of about {} cannot be decoded. The file is truncated or damaged, '
                'or reading was interrupted. {}'.format(self._path, count, self.num_frames, complaints)
            )
        if complaints:
            _LOGGER.warning('%s is damaged in places, some frames may look wrong: %s', self._path, complaints)

    def close(self) -> None:
        # Not asked to end: it would first want to get rid of the frames that it has, and nobody takes them.
        self._process.kill()
        self._process.wait()
        self._drain.join()
        self._reader.close()


def _start_reader(path: str) -> Tuple[Any, bool]:
    """moviepy's reader of a video, and whether the file says how long it is (recordings of browsers do not)."""
    from moviepy.video.io.ffmpeg_reader import FFMPEG_VideoReader

    is_moviepy_2 = 'decode_file' in inspect.signature(FFMPEG_VideoReader).parameters
    # 'tbr' is the constant rate at which ffmpeg hands out frames, whatever the rate of the file.
    options: Dict[str, Any] = {'fps_source': 'tbr'}
    if is_moviepy_2:
        options['decode_file'] = False  # it would decode the whole file first, to know its duration better
    try:
        try:
            reader = FFMPEG_VideoReader(path, **options)
        except OSError:
            options['check_duration'] = False
            reader = FFMPEG_VideoReader(path, **options)
        width, height = reader.infos['video_size']
        if _is_filmed_upright(path) and list(reader.size) == [width, height]:
            # ffmpeg turns the picture, and moviepy would squeeze it into the size of the lying one.
            reader.close()
            reader = FFMPEG_VideoReader(
                path, target_resolution=(height, width) if is_moviepy_2 else (width, height), **options
            )
    except (OSError, KeyError, IndexError, AttributeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            '{} cannot be read as a video. Convert it with ffmpeg, or give a directory of frames.'.format(path)
        ) from error
    return reader, options.get('check_duration', True)


def _is_filmed_upright(path: str) -> bool:
    # The wording differs between versions of ffmpeg, and no version of moviepy knows all of them.
    facts = _run_ffmpeg(['-hide_banner', '-i', path], log_level='info') or ''
    angle = re.search(r'(?:rotate *:|rotation of) *(-?\d+)', facts)
    return angle is not None and int(angle.group(1)) % 180 == 90


def _start_encoder(path: str, size: Tuple[int, int], rate: fractions.Fraction) -> Any:
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
    # moviepy rounds frame rates to two decimals, which lets the sound of a long video drift. So frames are stamped anew
    # with the exact rate.
    filters = 'settb={}/{},setpts=N,scale=out_color_matrix={}:out_range=tv,format=yuv420p'.format(
        rate.denominator, rate.numerator, _COLOR_MATRIX
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


def _run_ffmpeg(arguments: List[str], log_level: str = 'error') -> Optional[str]:
    """Runs moviepy's ffmpeg; returns None, or what it said when it failed."""
    from moviepy import config

    done = subprocess.run(
        [config.FFMPEG_BINARY, '-y', '-nostdin', '-loglevel', log_level, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    return None if done.returncode == 0 else done.stderr.decode('utf-8', 'replace')
