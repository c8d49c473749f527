"""Segmented videos: frames are read, predicted, drawn and encoded at the same time, a few at a time."""

import contextlib
import itertools
import os
import signal
import time
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from fcn8s.confidence import at_temperature, check_temperature
from fcn8s.prediction.clockwork import Clockwork, Seen, check_interval
from fcn8s.prediction.drawing import DEFAULT_STYLE, Drawing, Style
from fcn8s.prediction.pipelining import overlapped
from fcn8s.prediction.predictor import Predictor
from fcn8s.stopping import StopRequest
from helpers.counted import counted
from helpers.flags import is_real
from helpers.image_rules import RGB_RULES, ImageRules, check_show
from helpers.label_spaces import LabelSpace
from helpers.legend_drawing import default_line_height
from helpers.process.termination import Interrupted
from helpers.split_views import draw_caption
from helpers.video import VideoWriter, camera_number, check_frame_rate, check_source, check_video_path, open_frames


class Rendered(NamedTuple):
    """path: the video; num_frames; seconds: from the first frame asked for to the finished file."""

    path: str
    num_frames: int
    seconds: float

    @property
    def frames_per_second(self) -> float:
        """Frames per second of the rendering, not of the video."""
        return self.num_frames / self.seconds


def check_smoothing(smoothing: float) -> None:
    """Raises ValueError unless 0 <= smoothing < 1."""
    if not is_real(smoothing) or not 0 <= smoothing < 1:
        raise ValueError(
            'smoothing is {}; it has to be at least 0 (off) and below 1, for example 0.6.'.format(smoothing)
        )


def check_clockwork(clockwork: int, smoothing: float) -> None:
    """Raises ValueError where the interval is out of its range, or smoothing would mix frames that have moved."""
    check_interval(clockwork)
    if clockwork > 1 and smoothing:
        raise ValueError(
            'clockwork is {} and smoothing {}: a mean over frames that were seen some time apart lags behind the '
            'picture. Leave one of them out.'.format(clockwork, smoothing)
        )


def check_places(source: str, out_path: str, frame_rate: Optional[float], image_rules: ImageRules = RGB_RULES) -> None:
    """Raises, before any work, the errors that `render_video` would raise about source and output."""
    check_video_path(out_path)
    if frame_rate is not None:
        check_frame_rate(frame_rate)
    if os.path.realpath(source) == os.path.realpath(out_path):
        raise ValueError(
            '{} is both the video to read and the one to write. Give another name for the result.'.format(source)
        )
    check_source(source, frame_rate, image_rules)


class SmoothedPredictor:
    """Class IDs of consecutive frames from a running mean of the soft-max, which reduces flicker.

    mean <- smoothing * mean + (1 - smoothing) * soft-max; the first mean is the soft-max of the first frame. With 0,
    each frame stands alone, and a frame that equals the one before is not predicted again: slow parts of a video have
    many of these.
    """

    def __init__(self, predictor: Predictor, smoothing: float, temperature: float = 1.0) -> None:
        """temperature: of the soft-max from which doubt comes; it does not change the classes."""
        check_smoothing(smoothing)
        check_temperature(temperature)
        self._temperature = temperature
        self._predictor = predictor
        self._smoothing = smoothing
        self._mean: Optional[np.ndarray] = None
        self._last: Optional[Tuple[Callable, np.ndarray, np.ndarray]] = None

    def class_ids(self, image: np.ndarray) -> np.ndarray:
        """Predicts the class IDs, uint8 [H, W], of the next frame, uint8 [H, W, channels]."""
        if self._smoothing:
            return np.argmax(self._probabilities(image), axis=-1).astype(np.uint8)
        return self._of_one_frame(self._predictor.class_ids, image)

    def with_doubt(self, image: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Predicts class IDs as `class_ids`, and the doubt, 1 minus the largest soft-max value, float32 [H, W]."""
        probabilities = self._probabilities(image)
        confidences = at_temperature(probabilities, self._temperature).max(axis=-1)
        return np.argmax(probabilities, axis=-1).astype(np.uint8), 1 - confidences

    def _probabilities(self, image: np.ndarray) -> np.ndarray:
        if not self._smoothing:
            return self._of_one_frame(self._predictor.probabilities, image)
        probabilities = self._predictor.probabilities(image)
        if self._mean is None:
            self._mean = probabilities
        else:
            self._mean += (1 - self._smoothing) * (probabilities - self._mean)
        return self._mean

    def _of_one_frame(self, predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
        if self._last is None or self._last[0] != predict or not np.array_equal(self._last[1], image):
            self._last = predict, image, predict(image)
        return self._last[2]


class View:
    """How one network sees the frames of a video: predicts them in one stage, draws them in another.

    caption: a line of text in the top left corner that names the network. clockwork: the interval between frames that
    the network sees; the others follow by motion (`fcn8s.prediction.clockwork`). temperature: see `SmoothedPredictor`.
    """

    def __init__(
        self,
        predictor: Predictor,
        label_space: LabelSpace,
        style: Style = DEFAULT_STYLE,
        smoothing: float = 0.0,
        caption: str = '',
        clockwork: int = 1,
        temperature: float = 1.0,
    ) -> None:
        check_clockwork(clockwork, smoothing)
        self._smoothed = SmoothedPredictor(predictor, smoothing, temperature)
        if temperature != 1 and not style.confidence:
            raise ValueError(
                'temperature is {:g}: it changes how sure the soft-max is and no class, and the style shows nothing of '
                'that. Give Style(confidence=True), or leave it out.'.format(temperature)
            )
        self._see = Clockwork(self._seen, clockwork) if clockwork > 1 else self._seen
        self._draw = Drawing(label_space, style)
        self._with_doubt = style.confidence
        self._caption = caption

    def predict(self, image: np.ndarray) -> Seen:
        """Predicts the class IDs of the next frame, uint8 [H, W, channels], and the doubt if it is to be shown."""
        return self._see(image)

    def _seen(self, image: np.ndarray) -> Seen:
        return Seen(*self._smoothed.with_doubt(image)) if self._with_doubt else Seen(self._smoothed.class_ids(image))

    def draw(self, image: np.ndarray, prediction: Seen) -> np.ndarray:
        """Draws the picture of a frame without the legend, uint8 [h, w, 3]: larger than the frame with a zoom."""
        picture = self._draw.without_legend(image, *prediction)
        if self._caption:
            draw_caption(picture, self._caption)
        return picture

    def with_legend(self, picture: np.ndarray, prediction: Seen, line_height: Optional[int] = None) -> np.ndarray:
        """Adds the legend, if the style has one, to a picture that `draw` made, or to several beside each other."""
        return self._draw.with_legend(picture, prediction.class_ids, line_height)

    def has_legend_of(self, other: 'View') -> bool:
        """Says whether both have the same legend, or none."""
        return self._draw.has_legend_of(other._draw)


def _draw_all(views: Sequence[View], image: np.ndarray, predictions: Sequence[Seen]) -> np.ndarray:
    """The pictures of all views beside each other, above one legend if it is that of all."""
    pictures = [view.draw(image, prediction) for view, prediction in zip(views, predictions)]
    if all(views[0].has_legend_of(view) for view in views):
        line_height = default_line_height(pictures[0].shape[1])
        return views[0].with_legend(_beside_each_other(pictures), predictions[0], line_height)
    drawn = zip(views, pictures, predictions)
    return _beside_each_other([view.with_legend(picture, prediction) for view, picture, prediction in drawn])


def _beside_each_other(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures from left to right; lower ones get white below."""
    height = max(picture.shape[0] for picture in pictures)
    return np.hstack(
        [
            cv2.copyMakeBorder(picture, 0, height - picture.shape[0], 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
            for picture in pictures
        ]
    )


def render_video(
    predictor: Predictor,
    source: str,
    out_path: str,
    label_space: LabelSpace,
    style: Style = DEFAULT_STYLE,
    smoothing: float = 0.0,
    frame_rate: Optional[float] = None,
    progress: Optional[Callable[[Iterable, Optional[int]], Iterable]] = None,
    compare: Optional[View] = None,
    caption: str = '',
    clockwork: int = 1,
    temperature: float = 1.0,
    image_rules: ImageRules = RGB_RULES,
) -> Rendered:
    """Writes the segmented video of a source.

    Args:
        predictor: Predicts a frame.
        source: A video file, a folder of frames, or 'camera:N', which records until Ctrl-C; the video then runs as
            fast as the world did, with a frame repeated until the next one was predicted.
        out_path: Ends in '.mp4'. An existing file is replaced when the new one is complete.
        label_space: Names and colours of the classes.
        style: See `Style`.
        smoothing: See `SmoothedPredictor`.
        frame_rate: Frame rate of a folder of frames, 30 by default.
        progress: Called with the frames to come and their number, if known; returns an iterable of them. If its
            iterator can be closed, it is closed before any error is reported.
        compare: Another network; its pictures go to the right of those of the first, above one legend where both
            have the same.
        caption, clockwork, temperature: See `View`.
        image_rules: How the images of a folder are read: those of the network. A video's frames are RGB.

    The first sound track of a video is kept; a warning names one that cannot be converted.

    Raises ValueError, FileNotFoundError or OSError naming what cannot be read or written and the frame. The part that
    was finished stays as 'NAME.partial.mp4' (see `VideoWriter`), which can be played. The same holds after Ctrl-C,
    SIGTERM or SIGHUP, which raise `helpers.process.termination.Interrupted`, a KeyboardInterrupt.
    """
    check_places(source, out_path, frame_rate, image_rules)
    if style.show is not None:
        check_show(style.show, image_rules.channels)
    views = [View(predictor, label_space, style, smoothing, caption, clockwork, temperature)]
    views += [] if compare is None else [compare]
    is_camera = camera_number(source) is not None
    start = time.perf_counter()
    with StopRequest() as stop, _without_interrupts(
        lambda: open_frames(source, frame_rate, rules=image_rules)
    ) as frames, overlapped(
        frames,
        lambda frame: (frame, [view.predict(frame) for view in views]),
        lambda seen: _draw_all(views, *seen),
    ) as pictures, _closing(iter(pictures if progress is None else progress(pictures, frames.num_frames))) as shown:
        first = next(shown)
        with _without_interrupts(
            lambda: VideoWriter(
                out_path,
                first.shape[:2],
                frames.frame_rate,
                source if frames.has_audio else None,
                frames.pixel_aspect,
                is_live=is_camera,
            )
        ) as writer, _closing(shown):  # closed before the writer reports the file that it leaves
            _write_all(writer, itertools.chain([first], shown), stop, is_endless=is_camera)
    if stop.requested not in (None, 'SIGINT'):
        raise Interrupted('stopped by {}; {} is complete until then'.format(stop.requested, out_path), stop.requested)
    return Rendered(out_path, writer.num_written, time.perf_counter() - start)


@contextlib.contextmanager
def _closing(iterator: Iterator) -> Iterator[Iterator]:
    """Closes an iterator at the end, if possible: a progress bar then ends its line, and no message lands on it."""
    try:
        yield iterator
    finally:
        close = getattr(iterator, 'close', None)
        if close is not None:
            close()


def _without_interrupts(start: Callable[[], Any]) -> Any:
    """Starts processes that receive neither Ctrl-C nor SIGTERM nor SIGHUP.

    A terminal and timeout(1) send these to all processes, but this process decides when to stop.
    """
    if not hasattr(signal, 'pthread_sigmask'):  # Windows
        return start()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, set(StopRequest.SIGNALS))
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _write_all(writer: VideoWriter, pictures: Iterable, stop: StopRequest, is_endless: bool) -> None:
    """Raises Interrupted on a request to stop, except for a camera, whose recording normally ends that way."""
    for picture in pictures:
        writer.write(picture)
        if stop.requested and is_endless:
            return
        if stop.requested:
            raise Interrupted(
                '{} after {}; what was done is in {}'.format(
                    stop.requested, counted(writer.num_written, 'frame'), writer.partial_path
                ),
                stop.requested,
            )
