"""Reading frames from a video, a directory or a camera, and writing an H.264 MP4 that browsers play.

Both stream: only one frame at a time is in memory, however long the video.
"""

import contextlib
import errno
import fractions
import logging
import os
import re
import tempfile
from types import TracebackType
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple, Type

import cv2
import numpy as np

from helpers.aliases import PathLike
from helpers.files import (
    SPACE_REMEDIES,
    atomic_path,
    check_home,
    check_no_device,
    explain_os_errors,
    numbered,
    path_of,
)
from helpers.flags import checked_pair, is_real, unmasked
from helpers.image_rules import RGB_RULES, ImageRules, check_frames, checked_rules
from helpers.image_search import check_extension, extensions_for, find_images
from helpers.images import read_image
from helpers.video_files.decoding import (
    DEFAULT_FRAME_RATE,
    LARGEST_FRAME_RATE,
    SMALLEST_FRAME_RATE,
    VideoDecoder,
    probe,
)
from helpers.video_files.ffmpeg import (
    FAST_START,
    complaint_of_ffmpeg,
    end_encoder,
    input_of,
    limit_in,
    start_encoder,
    write_frame,
)

_LOGGER = logging.getLogger(__name__)

_CAMERA = re.compile(r'camera:(\d+)$')
_SQUARE = fractions.Fraction(1)


class Frames:
    """The frames of a source: iterate over it, once. It is also a context manager, which closes the source.

    Attributes:
        size: (height, width) of every frame, in pixels.
        frame_rate: Frames per second.
        num_frames: The number of frames; for a video an estimate from its duration; None if not known.
        has_audio: Whether the source has sound.
        pixel_aspect: Width of a pixel divided by its height; not 1 if the source is shown with non-square pixels.
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
        """Yields uint8 arrays of shape [H, W, 3], RGB; for a directory with the channels of its rules.

        Raises:
            ValueError: A frame cannot be read or has another size than the first. The message names it.
            OSError: A camera stopped sending frames.
        """
        return self._iterator

    def close(self) -> None:
        """Ends the reading process or releases the camera; the remaining frames are not read."""
        self._close()

    def __enter__(self) -> 'Frames':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def camera_number(source: str) -> Optional[int]:
    """Returns the N of a source 'camera:N'; None for a directory of that name, and for what is no camera."""
    camera = None if os.path.isdir(source) else _CAMERA.match(source)
    return int(camera.group(1)) if camera else None


def open_frames(
    source: PathLike,
    frame_rate: Optional[float] = None,
    extensions: Optional[Sequence[str]] = None,
    rules: ImageRules = RGB_RULES,
) -> Frames:
    """Opens a video file, a directory of frames, or a camera.

    Args:
        source: A video in any format that ffmpeg reads; or a directory whose image files (not those of subdirectories)
            are the frames, in natural order; or 'camera:N' for camera number N. HDR video (PQ, HLG) is converted to the
            range and colours of standard video.
        frame_rate: Frames per second of a directory, 30 by default. A video or a camera has its own.
        extensions: Extensions of the frames in a directory; None for all image formats that `rules` read.
        rules: How the image files of a directory are read. The frames of a video and of a camera are RGB.

    Raises:
        FileNotFoundError: There is no such file or directory, or no image in it.
        ValueError: The source cannot be read; the frame rate is out of its range or given for a video or camera; or the
            rules are out of their range, or ask for other channels than the three of a video or camera.
        OSError: There is no such camera.
    """
    source, rules = path_of(source), checked_rules(rules)
    _check_kind(source, frame_rate, rules)
    if os.path.isdir(source):
        paths = find_images(source, extensions_for(rules) if extensions is None else extensions, recursive=False)
        return _open_images(paths, DEFAULT_FRAME_RATE if frame_rate is None else float(frame_rate), rules)
    camera = camera_number(source)
    return _open_video(source) if camera is None else _open_camera(camera)


def check_source(source: PathLike, frame_rate: Optional[float] = None, rules: ImageRules = RGB_RULES) -> None:
    """Checks, before any work, whether frames can be read from a source. A camera is not opened.

    Arguments and errors are those of `open_frames`.
    """
    source, rules = path_of(source), checked_rules(rules)
    _check_kind(source, frame_rate, rules)
    if os.path.isdir(source):
        find_images(source, extensions_for(rules), recursive=False)
    elif camera_number(source) is None:
        probe(source)


def _check_kind(source: str, frame_rate: Optional[float], rules: ImageRules) -> None:
    if frame_rate is not None:
        check_frame_rate(frame_rate)
    if os.path.isdir(source):
        return
    if frame_rate is not None:
        raise ValueError(
            'frame_rate={} came for {}, but only a directory of frames takes one: a video or a camera has '
            'its own. Leave it out.'.format(frame_rate, source)
        )
    if camera_number(source) is None and not os.path.isfile(source):
        raise FileNotFoundError(
            '{} does not exist. Give a video file, a directory of frames, or camera:0.'.format(source)
        )
    check_frames(source, rules)


def check_frame_rate(frame_rate: float) -> float:
    """Returns the frame rate as a float; raises ValueError where it is out of its range."""
    if not is_real(frame_rate) or not SMALLEST_FRAME_RATE <= frame_rate <= LARGEST_FRAME_RATE:
        raise ValueError(
            'frame_rate is {!r}; it has to be from {:g} to {:g} frames per second. 30 is usual.'.format(
                frame_rate, SMALLEST_FRAME_RATE, LARGEST_FRAME_RATE
            )
        )
    return float(frame_rate)


def check_video_path(path: PathLike) -> None:
    """Checks, before any work, whether a video can be written to a path; leaves no trace.

    Raises:
        ValueError: The name does not end in '.mp4', or is that of a directory, a device or a pipe.
        OSError: The directory, or its nearest existing parent, cannot be written to.
    """
    check_home(path)
    final = os.path.abspath(path_of(path))
    if os.path.splitext(final)[1].lower() != '.mp4':
        raise ValueError(
            '{} came as the name of a video, but MP4 is written. Give a name that ends in .mp4.'.format(path)
        )
    if os.path.isdir(final):
        raise ValueError('{} is a directory, but a video is to be written there. Give another name.'.format(path))
    check_no_device(final)
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

    A context manager. Frames go to 'NAME.partial.mp4' beside the video, or if that exists to 'NAME.partial-2.mp4' and
    so on. When the body ends without an exception and everything is encoded, the finished video gets its own name and
    the partial file is removed. After a failure the partial file stays: it plays, without sound, except for about the
    last second.

    Attributes:
        path: The finished video.
        partial_path: The file of the unfinished video, which this writer made itself.
        num_written: The number of frames written so far.
    """

    def __init__(
        self,
        path: PathLike,
        size: Tuple[int, int],
        frame_rate: float,
        audio_from: Optional[PathLike] = None,
        pixel_aspect: fractions.Fraction = _SQUARE,
        is_live: bool = False,
    ):
        """Starts the encoder.

        Args:
            path: The video to write; its name ends in '.mp4'. An existing one is replaced at the end.
            size: (height, width) of the frames. An odd side is made even by repeating the last row or column.
            frame_rate: Frames per second.
            audio_from: A video or sound file whose first sound track is added, up to the end of the frames; its time 0
                is the first frame. A file without sound is no error. If the sound cannot be converted, the video is
                silent and a warning says so. None for a silent video.
            pixel_aspect: Width of a pixel divided by its height, for players: usually `Frames.pixel_aspect`.
            is_live: Whether a frame is shown from the moment at which it is written until that of the next one, as for
                a camera whose frames take longer to predict than the rate says. Otherwise each is shown once.

        Raises:
            ValueError: An argument is out of its range.
            FileNotFoundError: The file `audio_from` does not exist.
            OSError: The directory cannot be written to.
        """
        check_video_path(path)
        size = checked_pair('size', size)
        if audio_from is not None and not os.path.isfile(audio_from):
            raise FileNotFoundError('{} does not exist. Give the file whose sound to add.'.format(audio_from))
        self.path = os.path.abspath(path_of(path))
        self.num_written = 0
        self._size = size
        self._rate = fractions.Fraction(check_frame_rate(frame_rate)).limit_denominator(1001)
        self._audio_from = audio_from
        with explain_os_errors(self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self.partial_path = _new_partial_file(self.path)
        try:
            self._encoder = start_encoder(self.partial_path, self._size, self._rate, pixel_aspect, is_live)
        except BaseException:
            os.unlink(self.partial_path)
            raise

    def __enter__(self) -> 'VideoWriter':
        return self

    def write(self, frame: np.ndarray) -> None:
        """Appends a frame.

        Args:
            frame: uint8 [H, W, 3], RGB, of the size that was given.

        Raises:
            ValueError: The frame has another shape or dtype. The message has its number, counted from 0.
            OSError: The encoder stopped, for example because the disk is full. Names the frame and the partial file.
        """
        frame = unmasked('frame', frame, 0)
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
        complaint = write_frame(self._encoder, frame)
        if complaint is not None:
            raise self._stopped(complaint)
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
        end_encoder(self._encoder)
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
        status, complaint = end_encoder(self._encoder)
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
        """Makes the finished video from the partial one and the sound; returns None, or ffmpeg's message on failure."""
        # The rate is given again because ffmpeg 4 does not know the duration of the last frame of a fragmented file.
        picture, coding = ['-r', str(self._rate), '-i', self.partial_path], ['-c:v', 'copy', *FAST_START, path]
        if self._audio_from is None:
            return complaint_of_ffmpeg(picture + coding)
        # The sound is cut here and not by ffmpeg's option for the shorter stream: sound that ends early must not end
        # the video. The limit on the input counts from the first sound, which may be late, so the output is cut again.
        duration = '{:.6f}'.format(float(self.num_written / self._rate))
        sound = ['-t', duration, *input_of(self._audio_from), '-map', '0:v:0', '-map', '1:a:0?']
        # Adds silence if the sound begins later or has gaps: players would play the sound after them too early.
        sound += ['-af', 'aresample=async=1000:first_pts=0,atrim=end=' + duration]
        complaint = complaint_of_ffmpeg(picture + sound + ['-c:a', 'aac', '-b:a', '192k'] + coding)
        if complaint is None or limit_in(complaint) is not None:
            return complaint
        # Sound that this ffmpeg cannot read, or with more channels than AAC allows, must not cost the picture.
        problem = complaint_of_ffmpeg(picture + coding)
        if problem is None:
            _LOGGER.warning(
                '%s is silent, because the sound of %s cannot be converted: %s',
                self.path,
                self._audio_from,
                complaint,
            )
        return problem

    def _stopped(self, complaint: str) -> OSError:
        limit = limit_in(complaint)
        why = complaint if limit is None else '{}. {}'.format(os.strerror(limit), SPACE_REMEDIES[limit])
        message = 'The encoder stopped at frame {} of {}. {}'.format(self.num_written, self.path, why)
        if self.num_written:  # otherwise there is no partial file
            message += ' What was done is in {}.'.format(self.partial_path)
        return OSError(errno.EIO if limit is None else limit, message)


def create_video_from_images(
    video_output_name: PathLike, image_input_dir: PathLike, frame_rate: float = 30.0, image_file_extension: str = 'png'
) -> str:
    """Makes an MP4 of the image files of a directory, in natural order ('2.png' before '10.png').

    Frames are read and encoded one by one, so memory does not grow with their number. An existing file is replaced only
    when the video is complete. If a frame is broken or has another size, the frames before it are kept as
    'NAME.partial.mp4', with a number if such a file exists.

    Args:
        video_output_name: The file to write; '.mp4' is appended if it is missing.
        image_input_dir: The directory; its subdirectories are not searched.
        frame_rate: Frames per second.
        image_file_extension: The extension of the frames, in any letter case.

    Returns:
        The path of the video.

    Raises:
        FileNotFoundError: There is no such directory or no such image in it.
        ValueError: A frame cannot be read or has another size than the first (the message names it); or the frame rate
            is out of its range.
        OSError: The video cannot be written, for example because the disk is full.
    """
    check_extension(image_file_extension)
    if not os.path.isdir(image_input_dir):
        raise FileNotFoundError('{} is no directory. Give the directory that holds the frames.'.format(image_input_dir))
    path = path_of(video_output_name)
    path = path if path.lower().endswith('.mp4') else path + '.mp4'
    frames = open_frames(image_input_dir, frame_rate=frame_rate, extensions=(image_file_extension,))
    with frames, VideoWriter(path, frames.size, frames.frame_rate) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def _new_partial_file(path: str) -> str:
    """Makes an empty file beside the video and returns its path. Existing files are kept."""
    stem, suffix = os.path.splitext(path)
    while True:
        partial_path = numbered('{}.partial{}'.format(stem, suffix))
        with contextlib.suppress(FileExistsError):  # taken by another process in the meantime
            open(partial_path, 'xb').close()
            return partial_path


def _open_images(paths: List[str], frame_rate: float, rules: ImageRules) -> Frames:
    size = read_image(paths[0], rules=rules).shape[:2]
    return Frames(size, frame_rate, len(paths), False, _image_frames(paths, size, rules), lambda: None)


def _image_frames(paths: List[str], size: Tuple[int, int], rules: ImageRules) -> Iterator[np.ndarray]:
    for path in paths:
        frame = read_image(path, rules=rules)
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
    if not 0 < frame_rate <= LARGEST_FRAME_RATE:
        frame_rate = DEFAULT_FRAME_RATE  # many drivers do not say
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
    facts = probe(path)
    decoder = VideoDecoder(path, facts)
    return Frames(
        facts.size,
        float(facts.frame_rate),
        facts.num_frames,
        facts.has_audio,
        decoder.frames(),
        decoder.close,
        facts.pixel_aspect,
    )
