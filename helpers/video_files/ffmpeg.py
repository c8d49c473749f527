"""moviepy's ffmpeg: run on files from others, and as the encoder of an MP4.

Only this module uses moviepy (version 1 on Python 3.7, 2 elsewhere), and it imports it when ffmpeg is run.
"""

import contextlib
import errno
import fractions
import os
import re
import shutil
import signal
import subprocess
from typing import Any, Iterator, List, Optional, Tuple

import numpy as np

from helpers.aliases import PathLike
from helpers.image_files.headers import is_motion_jpeg

# ffmpeg's names of the formats that may be read. Lists (HLS, concat) are excluded, since they refer to other files.
_CONTAINERS = (
    *('mov', 'mp4', 'matroska', 'webm', 'avi', 'mpegts', 'mpeg', 'mpegvideo', 'asf', 'flv', 'ogg', 'gif', 'apng'),
    *('mxf', 'nut', 'h264', 'hevc', 'm4v', 'yuv4mpegpipe', 'ivf', 'dv', 'wtv', 'rm', 'mjpeg', 'obu', 'av1'),
    'webp_anim',
    *('mp3', 'wav', 'aac', 'flac', 'ac3', 'eac3', 'aiff', 'w64', 'caf', 'amr'),
)
_MAX_PIXELS = 2**26  # 8192 x 8192

_TWO_FRAMES = 2**25  # bytes, of the largest cameras

# Errors that stop ffmpeg because of the place it writes to, by a phrase of its message.
_LIMITS = {
    'No space left': errno.ENOSPC,
    'Disk quota exceeded': errno.EDQUOT,
    'File too large': errno.EFBIG,
    'SIGXFSZ': errno.EFBIG,
}

# Reasons why a program does not start that lie in its file: not there, not executable, of another kind of processor.
_CANNOT_BE_RUN = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC)
_INSTALL = 'Install ffmpeg, and let the variables IMAGEIO_FFMPEG_EXE and FFMPEG_BINARY name it or be unset.'

# Visually lossless for the flat areas and sharp edges of overlays; 'veryfast' leaves the processor to the network. No
# B-frames: they need an edit list, with which ffmpeg 4 loses the last frame of short videos.
_QUALITY = ('-crf', '18', '-bf', '0')
_PRESET = 'veryfast'

# Fragments of one second: whatever stops the encoder, the file plays up to its last complete fragment.
_FRAGMENTED = ('-movflags', '+frag_keyframe+empty_moov+default_base_moof', '-frag_duration', '1000000')
# The index at the front: browsers start playing before the whole file has arrived.
FAST_START = ('-movflags', '+faststart')

# The colour matrix of high definition, declared in the file: otherwise players guess by the size, and colours shift.
_COLOR_MATRIX = 'bt709'
_COLOR_TAGS = ('-colorspace', _COLOR_MATRIX, '-color_primaries', _COLOR_MATRIX, '-color_trc', _COLOR_MATRIX)


@contextlib.contextmanager
def _what_cannot_be_run_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_BE_RUN:
            raise
        raise OSError('ffmpeg cannot be run: {}. {}'.format(error, _INSTALL)) from error


@_what_cannot_be_run_explained()
def run_ffmpeg(arguments: List[str], log_level: str, stdout: int) -> 'subprocess.CompletedProcess[bytes]':
    """Runs moviepy's ffmpeg or, where that crashes or cannot be run, the system's; `args[0]` of the result says which.

    Signals from the terminal, such as Ctrl-C, do not reach it.

    Args:
        log_level: ffmpeg's log level, such as 'error'.
        stdout: The destination of its output, as for `subprocess.run`.

    Raises:
        OSError: There is no ffmpeg, or none that can be run. The message has the path and what to do.
    """
    done = None
    failure: Optional[OSError] = None
    # Static builds, such as that of imageio-ffmpeg, crash on every MPEG-TS file if the system's C library is newer:
    # https://github.com/gradio-app/gradio/issues/13848
    for binary in filter(None, (_ffmpeg_of_moviepy(), shutil.which('ffmpeg'))):
        try:
            done = subprocess.run(
                ffmpeg_command(binary, arguments, log_level),
                stdout=stdout,
                stderr=subprocess.PIPE,
                check=False,
                start_new_session=True,
            )
        except OSError as error:
            if error.errno not in _CANNOT_BE_RUN:
                raise
            failure = failure or error
            continue
        if done.returncode >= 0:  # negative: a signal ended it
            break
    if done is None:
        assert failure is not None  # as moviepy names at least one
        raise failure
    return done


def _ffmpeg_of_moviepy() -> str:
    """The path of moviepy's ffmpeg. Raises FileNotFoundError if moviepy found none, without which it is not loaded."""
    try:
        from moviepy import config
    except RuntimeError as error:
        raise FileNotFoundError('videos need ffmpeg, which is not there. ' + _INSTALL) from error
    return str(config.FFMPEG_BINARY)


def complaint_of_ffmpeg(arguments: List[str]) -> Optional[str]:
    """Runs ffmpeg; returns None, or its message if it failed."""
    done = run_ffmpeg(['-y', *arguments], 'error', stdout=subprocess.DEVNULL)
    return None if done.returncode == 0 else _said(done.returncode, done.stderr)


def _said(status: int, complaint: bytes) -> str:
    """A sentence with ffmpeg's message (the first line, which is the cause of the others) and how it ended."""
    lines = complaint.decode('utf-8', 'replace').strip().splitlines() or ['']
    line = next((line for line in lines if limit_in(line) is not None), lines[0])
    said = re.sub(r'^\[[^]]* @ \w+\] ', '', line).rstrip('.')
    said = 'ffmpeg says: {}'.format(said) if said else 'ffmpeg ended without a word'
    names = {-number.value: number.name for number in signal.Signals}
    return '{} ({}).'.format(said, names.get(status, 'signal {}'.format(-status))) if status < 0 else said + '.'


def limit_in(complaint: str) -> Optional[int]:
    """Returns the errno if ffmpeg complains about the place that it writes to, such as a full disk; else None."""
    return next((limit for word, limit in _LIMITS.items() if word in complaint), None)


def ffmpeg_command(binary: str, arguments: List[str], log_level: str) -> List[str]:
    """Returns the command that runs ffmpeg without reading from the terminal."""
    return [binary, '-nostdin', '-loglevel', log_level, *arguments]


def input_of(path: PathLike) -> List[str]:
    """Returns the arguments to read an untrusted file: no lists of other files or addresses, no giant pictures."""
    return [
        *('-protocol_whitelist', 'file', '-format_whitelist', ','.join(_CONTAINERS), '-max_pixels', str(_MAX_PIXELS)),
        *(['-f', 'mjpeg'] if _is_motion_jpeg(path) else []),  # newer versions of ffmpeg would read it as an image
        *('-i', ffmpeg_name(path)),
    ]


def _is_motion_jpeg(path: PathLike) -> bool:
    try:
        with open(path, 'rb') as file:
            start = file.read(2)
            return start == b'\xff\xd8' and is_motion_jpeg(start + file.read(_TWO_FRAMES))
    except OSError:  # ffmpeg reports what is wrong
        return False


def ffmpeg_name(path: PathLike) -> str:
    """Returns a file's name with ffmpeg's prefix for files.

    Without the prefix, the part before a colon would be read as a protocol, as in '12:30:15.mp4'.
    """
    return 'file:' + os.path.abspath(os.fspath(path))


@_what_cannot_be_run_explained()
def start_encoder(
    path: str, size: Tuple[int, int], rate: fractions.Fraction, pixel_aspect: fractions.Fraction, is_live: bool = False
) -> Any:
    """Starts moviepy's writer of an MP4 that can be played even if it is interrupted; `end_encoder` ends it.

    Args:
        size: (height, width) of the frames; `write_frame` takes frames with these rounded up to even numbers.
        rate: Frames per second.
        pixel_aspect: Width of a pixel divided by its height.
        is_live: Whether a frame is shown from the moment at which it is written until that of the next one: it is
            repeated, or left out, to keep the rate.

    Raises:
        OSError: There is no ffmpeg, or it cannot be run. The message says what to do.
    """
    _ffmpeg_of_moviepy()  # says what to do if there is none
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
    # moviepy rounds frame rates to two decimals, so the sound of a long video would drift. Frames get new time stamps
    # with the exact rate.
    exact = 'settb={}/{},setpts=N'.format(rate.denominator, rate.numerator)
    # One more frame at the end: a recording shorter than a frame would have none.
    by_the_clock = 'settb=1/1000,setpts=(RTCTIME-RTCSTART)/1000,tpad=stop=1:stop_mode=clone,fps={}/{}'.format(
        rate.numerator, rate.denominator
    )
    filters = '{},scale=out_color_matrix={}:out_range=tv,format=yuv420p,setsar={}/{}'.format(
        by_the_clock if is_live else exact, _COLOR_MATRIX, pixel_aspect.numerator, pixel_aspect.denominator
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


def write_frame(encoder: Any, frame: np.ndarray) -> Optional[str]:
    """Passes a frame to the encoder. If the encoder has ended, closes it and returns its message; otherwise None.

    moviepy's own method would mix the error, ffmpeg's message and guesses in one text.
    """
    try:
        encoder.proc.stdin.write(frame.tobytes())
    except (OSError, ValueError):  # ValueError if it was closed before
        return end_encoder(encoder)[1]
    return None


def end_encoder(encoder: Any) -> Tuple[int, str]:
    """Ends the encoder after its last frame; returns its exit status and its message."""
    process = encoder.proc
    with contextlib.suppress(OSError):  # the encoder is gone, as its status will show
        process.stdin.close()
    complaint = b'' if process.stderr.closed else process.stderr.read()
    process.stderr.close()
    status = process.wait()
    return status, _said(status, complaint)
