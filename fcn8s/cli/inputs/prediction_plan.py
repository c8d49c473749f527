"""What `fcn8s predict` was asked to do with which images, videos and cameras; checked before a network is opened."""

import argparse
import os
import shlex
import warnings
from typing import Any, Dict, List, NamedTuple

from fcn8s.cli.error_maps import check_error_arguments
from fcn8s.cli.inputs.prediction import check_models, check_sampling_arguments, models_of
from fcn8s.cli.options.flags import flag, said_of
from fcn8s.cli.options.images import NAMES, image_rules
from fcn8s.cli.options.prediction import check_drawing, check_predictor_arguments, check_temperature_argument
from fcn8s.cli.options.workers import check_workers
from fcn8s.prediction.result_kinds import DOUBT_KINDS, FLAGGED_KINDS
from helpers.flags import check_choice

SUBMISSION_DIR = 'cityscapes_submission'

VIDEO_EXTENSIONS = (
    *('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.ogv'),
    *('.ts', '.mts', '.m2ts', '.3gp', '.3g2', '.mxf', '.vob', '.divx', '.asf'),
    *('.m2v', '.h264', '.h265', '.hevc', '.ivf', '.y4m', '.dv', '.mjpeg', '.mjpg'),
)


class PredictionPlan(NamedTuple):
    """style: of drawings. rules: how images are read. label_space: of the predictions. jobs: the images and where their
    results go. streams: videos and cameras.
    """

    style: Any
    rules: Any
    label_space: Any
    jobs: List[Any]
    streams: List[str]


def plan_prediction(args: argparse.Namespace) -> PredictionPlan:
    """Finds the images and streams, and refuses results that cannot be made from them.

    Raises ValueError, DataError or OSError.
    """
    from fcn8s.prediction.drawing import Style, check_style
    from fcn8s.prediction.maps import map_size
    from fcn8s.prediction.result_files import plan_jobs
    from helpers.files import check_folder
    from helpers.image_search import extensions_for

    check_predictor_arguments(args)
    check_sampling_arguments(args)
    check_temperature_argument(args, args.softmax or args.samples is not None, 'Add --softmax or --samples N')
    check_workers(args.workers)
    show = None if args.show is None else tuple(args.show)
    style = Style('overlay', args.alpha, args.contours, args.legend, args.zoom, show, palette=args.palette)
    check_style(style)
    _check_drawn(args)
    streams = [source for source in args.inputs if _is_stream(source)]
    images = [source for source in args.inputs if not _is_stream(source)]
    _check_streams(streams)
    if args.keep_going and not images:
        raise ValueError('--keep-going is about images that cannot be read, and {} is none.'.format(streams[0]))
    _check_read_by_rules(args, images, streams)
    _check_no_models(images)
    check_models(args)
    if streams and args.workers > 1:
        raise ValueError(
            '--workers deals images out, and {} is a stream of frames. Leave --workers out.'.format(streams[0])
        )
    _check_polygons(args, streams)
    check_error_arguments(args, streams)
    rules = _rules(args, streams)
    with warnings.catch_warnings():
        if args.share:
            warnings.simplefilter('ignore')  # the process that deals the images out has shown them
        jobs = plan_jobs(images, args.out, extensions_for(rules)) if images else []
    _check_places(args, jobs, streams)
    _check_maps(args, [job.image_path for job in jobs])
    if args.tile is not None and args.palette != 'dataset':
        _check_palette(args, any(map_size(job.image_path) is not None for job in jobs))
    check_folder(args.out)
    return PredictionPlan(style, rules, _label_space(args), jobs, streams)


def _is_stream(source: str) -> bool:
    from helpers.image_files.animation import is_animated
    from helpers.video import camera_number

    if camera_number(source) is not None:
        return True
    # As an image, an animated one would be only its first frame.
    return os.path.isfile(source) and (source.lower().endswith(VIDEO_EXTENSIONS) or is_animated(source))


def _check_streams(streams: List[str]) -> None:
    from helpers.video import check_source

    sources: Dict[str, str] = {}
    for source in streams:
        other = sources.setdefault(stream_folder(source), source)
        if other is not source:
            raise ValueError(
                '{} and {} would both write their frames into the folder {!r}. Predict them one after the other, into '
                'different --out.'.format(other, source, stream_folder(source))
            )
    for source in streams:
        check_source(source)


def stream_folder(source: str) -> str:
    """Names the folder below --out that holds the frames of a stream."""
    return os.path.splitext(os.path.basename(source))[0].replace(':', '')


def _check_read_by_rules(args: argparse.Namespace, images: List[str], streams: List[str]) -> None:
    """Raises ValueError where flags say how image files are read, but there are only streams; their frames are RGB."""
    typed = [name for name in NAMES if getattr(args, name) is not None]
    if typed and not images:
        text = '{is_} about how image files are read, and {source} is none. Leave {it} out.'
        raise ValueError(said_of([flag(name) for name in typed], text, source=streams[0]))


def _check_no_models(sources: List[str]) -> None:
    """Raises ValueError where an input is a model: it was probably meant to be averaged."""
    from fcn8s.saving.runs import resolve_model

    for source in sources:
        if not os.path.isdir(source):
            continue
        try:
            resolve_model(source)
        except (ValueError, OSError):
            continue
        raise ValueError(
            '{} is a model, and images were expected. To average its soft-max with that of the first: --also {}. For '
            'pictures inside it, name their folder or a pattern.'.format(source, shlex.quote(source))
        )


def _rules(args: argparse.Namespace, streams: List[str]) -> Any:
    """How images are read: as in training, unless a flag says otherwise."""
    from fcn8s.saving.descriptions import read_description
    from fcn8s.saving.runs import resolve_model
    from helpers.image_rules import check_frames, check_show

    rules = image_rules(args, read_description(resolve_model(args.model)).settings.image_rules)
    if args.show is not None:
        check_show(args.show, rules.channels)
    if streams:
        check_frames(streams[0], rules)
    return rules


def _label_space(args: argparse.Namespace) -> Any:
    from fcn8s.prediction.ensemble import common_label_space
    from fcn8s.saving.descriptions import read_description
    from fcn8s.saving.runs import resolve_model

    return common_label_space([read_description(resolve_model(path)).settings.label_space for path in models_of(args)])


def kinds_of(args: argparse.Namespace) -> List[str]:
    """Lists the kinds of `fcn8s.prediction.result_kinds` to write; without a flag for a result, overlays."""
    kinds = [kind for kind in FLAGGED_KINDS if getattr(args, kind)]
    kinds = kinds if kinds or args.submission or args.polygons or args.error_map else ['overlay']
    return kinds if args.samples is None else kinds + list(DOUBT_KINDS)


def _check_drawn(args: argparse.Namespace) -> None:
    """Raises ValueError where flags describe drawings, but none is asked for."""
    kinds = kinds_of(args)
    if 'overlay' not in kinds:
        why = '{is_} about overlays, and none is asked for. Add --overlay, or leave {it} out.'
        check_drawing(args, ('alpha', 'contours', 'legend', 'zoom', 'show'), why)
    _check_palette(args, args.tile is not None)


def _check_palette(args: argparse.Namespace, has_maps: bool) -> None:
    """Raises ValueError where colours are chosen, but nothing is painted with them."""
    # GeoJSON has the colours of the classes, and so have the IDs written for a map.
    if not {'overlay', 'color'} & set(kinds_of(args)) and args.polygons != 'geojson' and not has_maps:
        why = '{is_} about the colours of classes, and nothing with them is asked for. '
        why += 'Add --overlay or --color, or leave {it} out.'
        check_drawing(args, ('palette',), why)


def _check_polygons(args: argparse.Namespace, streams: List[str]) -> None:
    from fcn8s.prediction.polygon_files import FORMATS, check_tolerance

    check_tolerance(args.polygon_tolerance)
    if args.polygons is not None:
        check_choice('--polygons', args.polygons, FORMATS)
    if args.polygons is None and args.polygon_tolerance:
        raise ValueError('--polygon-tolerance came without --polygons. Say which: {}.'.format(', '.join(FORMATS)))
    if args.polygons is not None and streams:
        raise ValueError('--polygons takes images, which annotation tools open, and {} is none.'.format(streams[0]))


def _check_places(args: argparse.Namespace, jobs: List[Any], streams: List[str]) -> None:
    """Raises ValueError where results would replace existing files, or be mixed with them, and must not."""
    from fcn8s.prediction.polygon_files import check_no_polygons

    if args.submission:
        _check_submission(args, jobs, streams)
    if args.polygons and args.share is None:  # processes that share the work would find each other's files
        check_no_polygons(args.out, [job.stem for job in jobs], args.polygons)


def _check_maps(args: argparse.Namespace, paths: List[str]) -> None:
    """Raises ValueError where polygons need the place of an image on a map, and cannot have it.

    Warns where results lose it for want of rasterio.
    """
    from helpers.image_files.places import seems_placed
    from helpers.image_files.windows import load_rasterio
    from helpers.user_warnings import warn_user

    with_polygons = args.polygons == 'geojson'
    if not with_polygons and args.tile is None:
        return
    if load_rasterio() is not None:
        if with_polygons and args.tile is None:
            _check_none_is_turned(paths)
        return
    placed = next((path for path in paths if seems_placed(path)), None)
    if placed is None:
        return
    if with_polygons:
        raise ValueError(
            '{} lies on a map, and rasterio, which reads where, is not installed. pip install '
            "'fcn8s[geo]', or take --polygons labelme or coco, which are in pixels.".format(placed)
        )
    if args.share is None:
        warn_user(
            '{} lies on a map, but results are PNG files without its place, since rasterio is not installed: pip '
            "install 'fcn8s[geo]'.".format(placed)
        )


def _check_none_is_turned(paths: List[str]) -> None:
    """Raises ValueError for a TIFF whose place on a map is not that of the picture that its orientation makes of it."""
    from helpers.image_files.places import raster_of
    from helpers.image_files.windows import is_turned

    for path in paths:
        raster = raster_of(path)
        if raster is not None and raster.place is not None and is_turned(path):
            raise ValueError(
                '{} lies on a map, but its tag of orientation turns it. For polygons in map coordinates give --tile H '
                'W, which reads it as it is stored.'.format(path)
            )


def _check_submission(args: argparse.Namespace, jobs: List[Any], streams: List[str]) -> None:
    """Raises ValueError where the images cannot make a submission, before a model is opened."""
    from fcn8s.prediction import cityscapes_submission

    if streams:
        raise ValueError('--submission takes images, and {} is none.'.format(streams[0]))
    paths = [job.image_path for job in jobs]
    cityscapes_submission.check_images(paths)
    folder = os.path.join(args.out, SUBMISSION_DIR)
    if args.share is None and os.path.isdir(folder):
        cityscapes_submission.check_folder_of_predictions(folder, paths)
