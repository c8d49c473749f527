"""`fcn8s predict`: class IDs, colours, overlays and soft-max of images, videos and cameras."""

import argparse
import contextlib
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from fcn8s.cli.error_maps import ErrorMaps, add_error_arguments, check_error_arguments
from fcn8s.cli.inputs.prediction import (
    check_models,
    check_sampling_arguments,
    models_of,
    open_predictor,
    predictor_options,
)
from fcn8s.cli.options.flags import flags
from fcn8s.cli.options.images import NAMES, add_image_arguments, image_rules
from fcn8s.cli.options.prediction import (
    add_also_argument,
    add_drawing_arguments,
    add_model_argument,
    add_prediction_arguments,
    add_sampling_arguments,
    add_temperature_argument,
    check_drawing,
    check_overlap,
    check_temperature_argument,
    temperature_of,
)
from fcn8s.cli.options.workers import add_sharing_arguments, check_workers, is_sharer, share_of, silent_output
from fcn8s.cli.terminal import complain
from fcn8s.prediction.result_kinds import DOUBT_KINDS, FLAGGED_KINDS, RESULT_KINDS
from helpers.tables import one_line

VIDEO_EXTENSIONS = (
    *('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.ogv'),
    *('.ts', '.mts', '.m2ts', '.3gp', '.3g2', '.mxf', '.vob', '.divx', '.asf'),
    *('.m2v', '.h264', '.h265', '.hevc', '.ivf', '.y4m', '.dv'),
)
SUBMISSION_DIR = 'cityscapes_submission'

DESCRIPTION = """Predicts every pixel's class, at the size of the image, and writes files named like the image:
NAME_overlay.png (the default), NAME_ids.png, NAME_color.png, NAME_softmax.npz, NAME_errors.png, polygons. Results of a
folder keep its subfolders. Existing results of the same names are replaced, but for polygons, which may have been
corrected; nothing else in the folder is touched."""


class Loaded(NamedTuple):
    """An image ready to be predicted, or why it could not be read. number: its place among all."""

    number: int
    stem: str
    path: str
    image: Optional[Any]
    error: Optional[Exception]


class Writers(NamedTuple):
    """All that writes results."""

    results: Optional[Any]
    polygons: Optional[Any]
    submission: Optional['_Submission']
    error_maps: Optional[ErrorMaps]


# Images with their places among all, and what could not be read with the place of its image.
Numbered = List[Tuple[int, Any]]
Failures = List[Tuple[int, str]]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('predict', help='segment images, a video or a camera', description=DESCRIPTION)
    add_model_argument(parser)
    parser.add_argument(
        'inputs',
        metavar='INPUT',
        nargs='+',
        help='an image, a folder (with its subfolders), a glob pattern in quotes, a video, or camera:0 (until Ctrl-C)',
    )
    add_also_argument(parser)
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the results')
    parser.add_argument(
        '--keep-going',
        action='store_true',
        help='report an image that cannot be read at the end, with exit status 1, instead of stopping',
    )
    add_sharing_arguments(parser)
    results = parser.add_argument_group('results')
    _add_result_arguments(results)
    add_temperature_argument(results, '--softmax and the entropy of --samples')
    add_error_arguments(parser.add_argument_group('errors'))
    add_prediction_arguments(parser)
    add_sampling_arguments(
        parser.add_argument_group(
            'doubt',
            'Besides the other results: NAME_entropy.png and NAME_mutual_information.png (black is certain, white ln C '
            'for C classes), both in nats in NAME_doubt.npz, and doubt.csv with the means of each image.',
        )
    )
    images = parser.add_argument_group('images', 'Images are read as in training, unless said otherwise.')
    add_image_arguments(images, 'as in training')
    drawing = add_drawing_arguments(parser)
    drawing.add_argument(
        '--show',
        type=int,
        nargs=3,
        metavar=('R', 'G', 'B'),
        help='which channels of the network are seen as red, green and blue (default: 1 2 3)',
    )
    parser.set_defaults(run=run)


def _add_result_arguments(group: Any) -> None:
    for kind in FLAGGED_KINDS:
        result = RESULT_KINDS[kind]
        group.add_argument(result.flag, dest=kind, help=result.title, **result.flag_options)
    group.add_argument(
        '--polygons',
        metavar='FORMAT',
        help='polygons to correct in an annotation tool: labelme (NAME.json) or coco (one annotations.json), which '
        'fcn8s import reads again, or geojson (NAME.geojson)',
    )
    group.add_argument(
        '--polygon-tolerance',
        type=float,
        default=0.0,
        metavar='PX',
        help='by how many pixels their outlines may differ from the prediction, for fewer points (default: 0, exact)',
    )
    group.add_argument(
        '--submission',
        choices=('cityscapes',),
        help='a zip for the Cityscapes evaluation server, of the 1024x2048 images of leftImg8bit/test',
    )


def run(args: argparse.Namespace) -> int:
    from fcn8s.prediction.drawing import Style, check_style
    from fcn8s.prediction.maps import is_map
    from fcn8s.prediction.result_files import plan_jobs
    from helpers.files import check_folder
    from helpers.image_search import extensions_for

    check_overlap(args)
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
    jobs = plan_jobs(images, args.out, extensions_for(rules)) if images else []
    _check_places(args, jobs, streams)
    if args.tile is not None and args.palette != 'dataset':
        _check_palette(args, any(is_map(job.image_path, tuple(args.tile)) for job in jobs))
    check_folder(args.out)
    if is_sharer(args):
        return _share_out(args, jobs, style, rules)
    with silent_output() if args.share else contextlib.nullcontext(), open_predictor(args) as (model, predictor):
        writers = _writers(args, jobs, model.label_space, style, rules)
        maps, others = _split_maps(args, list(enumerate(jobs)))
        share = share_of(args)
        if share is not None:
            # Maps go first and take long: the rest is dealt out from where they end.
            dealt, of_maps = share.of(maps + others), {number for number, _ in maps}
            maps, others = ([job for job in dealt if (job[0] in of_maps) is wanted] for wanted in (True, False))
        failures: Failures = []
        if maps:
            failures += _predict_maps(args, maps, predictor, _map_request(args, model, style, rules))
        if others:
            failures += _predict_all(
                _read_images(others, args.keep_going, rules), len(others), predictor, writers, share
            )
        for stream in streams:
            _predict_stream(stream, predictor, writers)
        if share is not None:
            _hand_back(share, [number for number, _ in others], failures, writers)
            return 0
        return _close(args, failures, writers)


def _share_out(args: argparse.Namespace, jobs: List[Any], style: Any, rules: Any) -> int:
    """Deals the images out, and writes what is made of all of them together."""
    from fcn8s.distributed.sharing import check_count, share_out
    from fcn8s.prediction.predictor import check_predictor_options
    from fcn8s.saving.descriptions import read_description
    from fcn8s.saving.runs import resolve_model

    check_count(args.workers, len(jobs), 'images')
    models = {path: resolve_model(path) for path in models_of(args)}
    label_space = read_description(models[args.model]).settings.label_space
    # Refuses once what would be refused in each of the processes.
    options = predictor_options(args)
    check_predictor_options(
        label_space.num_classes, options['tile'], options['overlap'], options['scales'], options['size']
    )
    writers = _writers(args, jobs, label_space, style, rules)
    _, others = _split_maps(args, list(enumerate(jobs)))
    found = share_out(args.argv, args.workers, models, len(others), 'predict', 'image')
    failures = sorted((number, text) for part in found for number, text in part['failures'])
    if writers.polygons:
        writers.polygons.take_over(_in_order(found, 'described'))
    if writers.results:
        writers.results.take_over_doubts(_in_order(found, 'doubts'))
    return _close(args, failures, writers)


def _hand_back(share: Any, numbers: List[int], failures: 'Failures', writers: 'Writers') -> None:
    """Gives the process that deals the images out what it makes one file of, with the places of the images."""
    failed = {number for number, _ in failures}
    written = [number for number in numbers if number not in failed]
    found: Dict[str, Any] = {'failures': failures, 'described': [], 'doubts': []}
    if writers.polygons:
        found['described'] = list(zip(written, writers.polygons.described()))
    if writers.results:
        found['doubts'] = list(zip(written, writers.results.doubts()))
    share.hand_back(found)


def _in_order(found: List[Dict[str, Any]], what: str) -> List[Any]:
    return [entry for _, entry in sorted((pair for part in found for pair in part[what]), key=lambda pair: pair[0])]


def _writers(args: argparse.Namespace, jobs: List[Any], label_space: Any, style: Any, rules: Any) -> 'Writers':
    """All that writes results. Raises ValueError or DataError where something could not be written."""
    from fcn8s.prediction.polygon_files import PolygonFiles
    from fcn8s.prediction.result_files import ResultFiles
    from helpers.color_vision import with_palette

    kinds, polygons, results = _kinds(args), None, None
    if args.polygons:
        painted = with_palette(label_space, args.palette)
        polygons = PolygonFiles(args.out, painted, args.polygons, args.polygon_tolerance)
    if kinds or polygons:
        results = ResultFiles(args.out, label_space, kinds, style, args.ids or 'class', polygons, temperature_of(args))
    error_maps = ErrorMaps(args, jobs, label_space, rules) if args.error_map else None
    submission = _Submission(args, label_space, jobs) if args.submission else None
    if results:
        results.check_inputs(jobs)
    return Writers(results, polygons, submission, error_maps)


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


def _split_maps(args: argparse.Namespace, jobs: 'Numbered') -> Tuple['Numbered', 'Numbered']:
    """The images that are predicted by windows, and the others; each with its place among all."""
    from fcn8s.prediction.maps import is_map

    if args.tile is None:
        return [], jobs
    are_maps = [is_map(job.image_path, tuple(args.tile)) for _, job in jobs]
    maps, others = ([job for job, by in zip(jobs, are_maps) if by is wanted] for wanted in (True, False))
    if maps and args.error_map is not None:
        raise ValueError(
            '--error-map takes images that are read whole, and {} is read by windows. Leave --tile or --error-map '
            'out.'.format(maps[0][1].image_path)
        )
    return maps, others


def _map_request(args: argparse.Namespace, model: Any, style: Any, rules: Any) -> Any:
    from fcn8s.prediction.maps import MapRequest, check_map_request
    from fcn8s.prediction.result_files import id_map
    from fcn8s.prediction.tiling import FULL_MARGIN

    if args.polygons not in (None, 'geojson') or args.submission:
        raise ValueError(
            '{} cannot be written by windows, and a map is predicted by windows with --tile. Take --polygons geojson, '
            'or leave --tile out.'.format('--submission' if args.submission else '--polygons ' + args.polygons)
        )
    request = MapRequest(
        tuple(_kinds(args)),
        model.label_space,
        style,
        id_map(model.label_space, args.ids or 'class'),
        rules,
        tuple(args.tile),
        FULL_MARGIN if args.overlap is None else args.overlap,
        None if args.polygons is None else args.polygon_tolerance,
    )
    check_map_request(request)
    return request


def _predict_maps(args: argparse.Namespace, maps: 'Numbered', predictor: Any, request: Any) -> 'Failures':
    """Predicts maps by windows; returns what could not be read."""
    from fcn8s.prediction.maps import predict_map

    failures: Failures = []
    untiled = predictor.untiled()
    for number, job in maps:
        try:
            predict_map(untiled.class_ids, job.image_path, os.path.join(args.out, job.stem), request)
        except (ValueError, OSError) as error:
            if not args.keep_going:
                raise
            failures.append((number, str(error)))
    return failures


def _kinds(args: argparse.Namespace) -> List[str]:
    kinds = [kind for kind in FLAGGED_KINDS if getattr(args, kind)]
    kinds = kinds if kinds or args.submission or args.polygons or args.error_map else ['overlay']
    return kinds if args.samples is None else kinds + list(DOUBT_KINDS)


def _check_read_by_rules(args: argparse.Namespace, images: List[str], streams: List[str]) -> None:
    """Raises ValueError where it is said how image files are read, and there are only streams, whose frames are RGB."""
    typed = [name for name in NAMES if getattr(args, name) is not None]
    if typed and not images:
        raise ValueError(
            '{} is about how image files are read, and {} is none. Leave it out.'.format(flags(typed), streams[0])
        )


def _check_drawn(args: argparse.Namespace) -> None:
    """Raises ValueError where drawings are described and none is asked for."""
    kinds = _kinds(args)
    if 'overlay' not in kinds:
        why = 'is about overlays, and none is asked for. Add --overlay, or leave it out.'
        check_drawing(args, ('alpha', 'contours', 'legend', 'zoom', 'show'), why)
    _check_palette(args, args.tile is not None)


def _check_palette(args: argparse.Namespace, has_maps: bool) -> None:
    """Raises ValueError where colours are chosen and nothing is painted with them."""
    # GeoJSON has the colours of the classes, and so have the IDs of a map.
    if not {'overlay', 'color'} & set(_kinds(args)) and args.polygons != 'geojson' and not has_maps:
        why = 'is about the colours of classes, and nothing with them is asked for. Add --overlay or --color, or leave '
        why += 'it out.'
        check_drawing(args, ('palette',), why)


def _check_polygons(args: argparse.Namespace, streams: List[str]) -> None:
    from fcn8s.prediction.polygon_files import FORMATS, check_tolerance

    check_tolerance(args.polygon_tolerance)
    if args.polygons is not None and args.polygons not in FORMATS:
        raise ValueError('--polygons is {!r}; choose from {}.'.format(args.polygons, ', '.join(FORMATS)))
    if args.polygons is None and args.polygon_tolerance:
        raise ValueError('--polygon-tolerance came without --polygons. Say which: {}.'.format(', '.join(FORMATS)))
    if args.polygons is not None and streams:
        raise ValueError('--polygons takes images, which annotation tools open, and {} is none.'.format(streams[0]))


def _check_places(args: argparse.Namespace, jobs: List[Any], streams: List[str]) -> None:
    """Raises ValueError where there are files that no result may replace or be mixed with."""
    from fcn8s.prediction.polygon_files import check_no_polygons

    if args.submission:
        _check_submission(args, jobs, streams)
    if args.polygons and args.share is None:  # those who share the work find files of one another
        check_no_polygons(args.out, [job.stem for job in jobs], args.polygons)


def _check_submission(args: argparse.Namespace, jobs: List[Any], streams: List[str]) -> None:
    """Raises ValueError where no submission can come of the images, before a model is opened."""
    from fcn8s.prediction import cityscapes_submission

    if streams:
        raise ValueError('--submission takes images, and {} is none.'.format(streams[0]))
    cityscapes_submission.check_images([job.image_path for job in jobs])
    folder = os.path.join(args.out, SUBMISSION_DIR)
    if args.share is None and os.path.isdir(folder) and os.listdir(folder):
        raise ValueError(
            '{} holds files already, and the zip is made of all in it. Empty it, or give another folder to '
            '--out.'.format(folder)
        )


def _check_no_models(sources: List[str]) -> None:
    """Raises ValueError where an input is a model, which was probably meant to be averaged."""
    from fcn8s.saving.runs import resolve_model

    for source in sources:
        if not os.path.isdir(source):
            continue
        try:
            resolve_model(source)
        except (ValueError, OSError):
            continue
        raise ValueError(
            '{0} is a model, and images were expected. To average its soft-max with that of the first: --also {0}. For '
            'pictures inside it, name their folder or a pattern.'.format(source)
        )


def _is_stream(source: str) -> bool:
    from helpers.video import CAMERA_PREFIX

    name = source.lower()
    is_video = name.endswith(VIDEO_EXTENSIONS) or (name.endswith('.gif') and _moves(source))
    return source.startswith(CAMERA_PREFIX) or (is_video and os.path.isfile(source))


def _moves(path: str) -> bool:
    """Whether it is a GIF of several frames, which as an image would be the first of them."""
    from PIL import Image

    try:
        with Image.open(path, formats=('GIF',)) as image:
            return image.is_animated
    except Exception:  # Pillow raises many kinds for damaged files; reading the image says what is wrong
        return False


def _read_images(jobs: 'Numbered', keep_going: bool, rules: Any) -> Iterator[Loaded]:
    from helpers.images import read_image

    for number, job in jobs:
        try:
            yield Loaded(number, job.stem, job.image_path, read_image(job.image_path, rules=rules), None)
        except (ValueError, OSError) as error:
            if not keep_going:
                raise
            yield Loaded(number, job.stem, job.image_path, None, error)


def _predict_all(
    loaded: Iterable[Loaded],
    count: Optional[int],
    predictor: Any,
    writers: 'Writers',
    share: Optional[Any] = None,
) -> 'Failures':
    """Reads, predicts and writes at the same time; returns what could not be read."""
    from tqdm import tqdm

    from fcn8s.prediction.pipelining import overlapped

    failures: Failures = []
    with overlapped(loaded, _predicting(predictor, writers.results)) as predictions:
        counted = share.counted(predictions) if share else tqdm(predictions, desc='predict', unit='image', total=count)
        for item, prediction in counted:
            if item.error is not None:
                failures.append((item.number, str(item.error)))
                continue
            if writers.results:
                writers.results.write(item.stem, item.image, prediction, item.path)
            if writers.submission:
                writers.submission.write(item.path, prediction['class_ids'])
            if writers.error_maps:
                writers.error_maps.write(item.stem, item.path, item.image, prediction['class_ids'])
    return failures


def _predicting(predictor: Any, results: Optional[Any]) -> Callable[[Loaded], Tuple[Loaded, Any]]:
    def predict(item: Loaded) -> Tuple[Loaded, Any]:
        if item.error is not None:
            return item, None
        if results:
            return item, results.predict(predictor, item.image)
        return item, {'class_ids': predictor.class_ids(item.image)}

    return predict


def _stream_folder(source: str) -> str:
    return os.path.splitext(os.path.basename(source))[0].replace(':', '')


def _check_streams(streams: List[str]) -> None:
    from helpers.video import check_source

    sources: Dict[str, str] = {}
    for source in streams:
        other = sources.setdefault(_stream_folder(source), source)
        if other is not source:
            raise ValueError(
                '{} and {} would both write their frames into the folder {!r}. Predict them one after the other, into '
                'different --out.'.format(other, source, _stream_folder(source))
            )
    for source in streams:
        check_source(source)


def _predict_stream(source: str, predictor: Any, writers: 'Writers') -> None:
    """Every frame of a video or camera, into a folder of its name."""
    from helpers.video import open_frames

    folder = _stream_folder(source)
    with open_frames(source) as frames:
        loaded = (
            Loaded(number, os.path.join(folder, 'frame_{:06d}'.format(number)), source, frame, None)
            for number, frame in enumerate(frames)
        )
        _predict_all(loaded, frames.num_frames, predictor, writers)


def _close(args: argparse.Namespace, failures: 'Failures', writers: 'Writers') -> int:
    """Writes what is made of all images together, and says what there is; returns the exit status."""
    if writers.polygons:
        writers.polygons.close()
    if writers.results and args.samples is not None:
        writers.results.write_doubts()
    if failures:
        heading = '{} of the images could not be read:'.format(len(failures))
        complain('\n'.join([heading] + [one_line(text) for _, text in failures]))
    if writers.submission and not failures:
        print('submission: {}'.format(writers.submission.finish()))
    print('results: {}'.format(one_line(args.out)))
    return 1 if failures else 0


class _Submission:
    """The PNGs of a submission in a folder of their own, and the zip of it."""

    def __init__(self, args: argparse.Namespace, label_space: Any, jobs: List[Any]) -> None:
        from fcn8s.prediction import cityscapes_submission

        cityscapes_submission.label_ids_of(label_space)
        self._paths = [job.image_path for job in jobs]
        self._label_space = label_space
        self._dir = os.path.join(args.out, SUBMISSION_DIR)
        os.makedirs(self._dir, exist_ok=True)

    def write(self, path: str, class_ids: Any) -> None:
        from fcn8s.prediction.cityscapes_submission import write_prediction

        write_prediction(self._dir, path, class_ids, self._label_space)

    def finish(self) -> str:
        """Checks everything as the server does, and returns the path of the zip."""
        from fcn8s.prediction.cityscapes_submission import zip_and_check

        zip_path = self._dir + '.zip'
        zip_and_check(self._dir, self._paths, zip_path, self._label_space)
        return zip_path
