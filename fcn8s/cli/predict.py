"""`fcn8s predict`: class IDs, colours, overlays and soft-max of images, videos and cameras."""

import argparse
import contextlib
import functools
import itertools
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from fcn8s.cli.error_maps import ErrorMaps, add_error_arguments
from fcn8s.cli.inputs.prediction import common_input_size, models_of, open_predictor, predictor_options
from fcn8s.cli.inputs.prediction_plan import SUBMISSION_DIR, PredictionPlan, kinds_of, plan_prediction, stream_folder
from fcn8s.cli.options.images import add_image_arguments
from fcn8s.cli.options.prediction import (
    add_also_argument,
    add_drawing_arguments,
    add_model_argument,
    add_prediction_arguments,
    add_sampling_arguments,
    add_temperature_argument,
    temperature_of,
)
from fcn8s.cli.options.workers import add_sharing_arguments, is_sharer, share_of, silent_output
from fcn8s.cli.terminal import complain
from fcn8s.prediction.result_kinds import FLAGGED_KINDS, RESULT_KINDS
from helpers.process.termination import Interrupted
from helpers.tables import one_line

DESCRIPTION = """Predicts every pixel's class, at the size of the image, and writes files named like the image:
NAME_overlay.png (the default), NAME_ids.png, NAME_color.png, NAME_softmax.npz, NAME_errors.png, polygons. Results of a
folder keep its subfolders. Existing results of the same names are replaced. Where polygons that somebody may have
drawn or corrected, or an annotations.json, are there, the command does not begin. Nothing else in the folder is
touched."""


class Loaded(NamedTuple):
    """An image ready to be predicted, or why it could not be read. number: its position among all images."""

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


# Entries with their position among all images: images, or errors for those that could not be read.
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
    add_drawing_arguments(parser)
    parser.set_defaults(run=run)


def _add_result_arguments(group: Any) -> None:
    for kind in FLAGGED_KINDS:
        result = RESULT_KINDS[kind]
        group.add_argument(result.flag, dest=kind, help=result.title, **result.flag_options)
    group.add_argument(
        '--polygons',
        metavar='FORMAT',
        help='polygons to correct in an annotation tool: labelme (NAME.json) or coco (one annotations.json), which '
        'fcn8s import reads again, or geojson (NAME.geojson, in map coordinates for a GeoTIFF, else in pixels)',
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
    plan = plan_prediction(args)
    if is_sharer(args):
        return _share_out(args, plan)
    with silent_output() if args.share else contextlib.nullcontext():
        return _predict(args, plan)


def _predict(args: argparse.Namespace, plan: PredictionPlan) -> int:
    """Predicts all images and streams, or this process's share of the images."""
    writers = _writers(args, plan)
    maps, others = _split_maps(args, list(enumerate(plan.jobs)))
    request = _map_request(args, maps, plan) if maps else None
    with open_predictor(args) as (_, predictor):
        share = share_of(args)
        if share is not None:
            # Maps come first and take long: dealing out goes on with the rest where the maps end.
            dealt, of_maps = share.of(maps + others), {number for number, _ in maps}
            maps = [job for job in dealt if job[0] in of_maps]
            others = [job for job in dealt if job[0] not in of_maps]
        failures: Failures = []
        with _kept_if_interrupted(writers) if share is None else contextlib.nullcontext():
            if maps:
                dealt_maps = maps if share is None else _handing_back(share, maps, failures, writers)
                _predict_maps(args, dealt_maps, predictor, request, failures)
            if others:
                images = _read_images(others, args.keep_going, plan.rules)
                failures += _predict_all(images, len(others), predictor, writers, share)
            ended_by = _predict_streams(plan.streams, predictor, writers)
            if share is not None:
                return 0
            status = _close(args, failures, writers)
        if ended_by not in (None, 'SIGINT'):
            raise Interrupted('stopped by {}; the results are complete until then'.format(ended_by), ended_by)
        return status


def _share_out(args: argparse.Namespace, plan: PredictionPlan) -> int:
    """Deals the images out, and writes the results that cover all of them together."""
    from fcn8s.distributed.sharing import check_count, share_out
    from fcn8s.prediction.predictor import check_predictor_options
    from fcn8s.saving.runs import resolve_model

    check_count(args.workers, len(plan.jobs), 'images')
    models = {path: resolve_model(path) for path in models_of(args)}
    # Raises once the errors that each of the processes would raise.
    options = predictor_options(args)
    check_predictor_options(
        plan.label_space.num_classes, options['tile'], options['overlap'], options['scales'], options['size']
    )
    writers = _writers(args, plan)
    maps, _ = _split_maps(args, list(enumerate(plan.jobs)))  # says what it says, once
    if maps:
        _map_request(args, maps, plan)
    failures: Failures = []
    with _kept_if_interrupted(writers):
        share_out(
            args.argv,
            args.workers,
            models,
            len(plan.jobs),
            description='predict',
            unit='image',
            take_over=functools.partial(_take_over, failures, writers),
        )
        return _close(args, sorted(failures), writers)


def _take_over(failures: Failures, writers: Writers, parts: Iterable[Dict[str, Any]]) -> None:
    """Takes over what the processes that predict have handed back: a part for each image, in their order."""
    for part in parts:
        failures.extend((number, text) for number, text in part['failures'])
        if writers.polygons:
            writers.polygons.take_over(part['described'])
        if writers.results:
            writers.results.take_over_doubts(part['doubts'])


def _handing_back(share: Any, items: Iterable[Any], failures: Failures, writers: Writers) -> Iterator[Any]:
    """Yields items, counts them for the process that deals the images out, and hands it back what belongs to each."""
    for item in share.counted(items):
        yield item
        part: Dict[str, Any] = {'failures': list(failures), 'described': [], 'doubts': []}
        failures.clear()
        if writers.polygons:
            part['described'] = writers.polygons.handed_over()
        if writers.results:
            part['doubts'] = writers.results.handed_over_doubts()
        share.hand_back(part)


def _writers(args: argparse.Namespace, plan: PredictionPlan) -> Writers:
    """Returns all writers of results. Raises ValueError or DataError where something could not be written."""
    from fcn8s.prediction.polygon_files import PolygonFiles
    from fcn8s.prediction.result_files import ResultFiles
    from helpers.color_vision import with_palette

    kinds, polygons, results = kinds_of(args), None, None
    jobs, label_space = plan.jobs, plan.label_space
    if args.polygons:
        painted = with_palette(label_space, args.palette)
        polygons = PolygonFiles(args.out, painted, args.polygons, args.polygon_tolerance)
    if kinds or polygons:
        results = ResultFiles(
            args.out, label_space, kinds, plan.style, args.ids or 'class', polygons, temperature_of(args)
        )
    error_maps = ErrorMaps(args, jobs, label_space, plan.rules) if args.error_map else None
    submission = _Submission(args, label_space, jobs) if args.submission else None
    if results:
        results.check_inputs(jobs, error_maps.label_paths if error_maps else ())
    return Writers(results, polygons, submission, error_maps)


def _split_maps(args: argparse.Namespace, jobs: Numbered) -> Tuple[Numbered, Numbered]:
    """The images that are predicted by windows, and the others; each with its position among all images."""
    from fcn8s.prediction.maps import map_size, result_paths
    from fcn8s.prediction.result_files import check_replaces_none

    if args.tile is None:
        return [], jobs
    sizes = [map_size(job.image_path) for _, job in jobs]
    whole = _not_by_windows(args) if any(sizes) else []
    # Others that fit into a tile are maps, too: they take one window.
    are_whole = [
        bool(whole) and size is not None and size[0] <= args.tile[0] and size[1] <= args.tile[1] for size in sizes
    ]
    if any(are_whole):
        print(
            'note: with {}, GeoTIFFs that fit into a tile are read whole; their results are files without a place, '
            'pictures as PNG.'.format(', '.join(whole))
        )
    are_maps = [size is not None and not is_whole for size, is_whole in zip(sizes, are_whole)]
    maps = [job for job, by_windows in zip(jobs, are_maps) if by_windows]
    others = [job for job, by_windows in zip(jobs, are_maps) if not by_windows]
    if maps and args.error_map is not None:
        raise ValueError(
            '--error-map takes images that are read whole, and {} is read by windows. Leave --tile or --error-map '
            'out.'.format(maps[0][1].image_path)
        )
    stems = [os.path.join(args.out, job.stem) for _, job in maps]
    results = [path for stem in stems for path in result_paths(stem, kinds_of(args), args.ids or 'class').values()]
    check_replaces_none(results, [job.image_path for _, job in jobs])
    return maps, others


def _not_by_windows(args: argparse.Namespace) -> List[str]:
    """What is asked for that takes images that are read whole, in the words of flags."""
    asked = {
        '--softmax': args.softmax,
        '--samples': args.samples is not None,
        '--polygons {}'.format(args.polygons): args.polygons not in (None, 'geojson'),
        '--submission': args.submission,
        '--error-map': args.error_map is not None,
        '--legend': args.legend,
        '--zoom': args.zoom != 1,
        '--size': args.size is not None or (args.scales is None and common_input_size(models_of(args)) is not None),
    }
    return [words for words, is_asked in asked.items() if is_asked]


def _map_request(args: argparse.Namespace, maps: Numbered, plan: PredictionPlan) -> Any:
    from fcn8s.prediction.maps import MapRequest, check_map_request, map_size
    from fcn8s.prediction.result_files import id_map
    from fcn8s.prediction.tiling import full_margin_at

    if args.polygons not in (None, 'geojson') or args.submission:
        raise ValueError(
            '{} cannot be written by windows, and a map is predicted by windows with --tile. Take --polygons geojson, '
            'or leave --tile out.'.format('--submission' if args.submission else '--polygons ' + args.polygons)
        )
    scales = tuple(args.scales or (1.0,))
    request = MapRequest(
        kinds=tuple(kinds_of(args)),
        label_space=plan.label_space,
        style=plan.style,
        id_map=id_map(plan.label_space, args.ids or 'class'),
        rules=plan.rules,
        tile=tuple(args.tile),
        margin=full_margin_at(scales) if args.overlap is None else args.overlap,
        scales=scales,
        tolerance=None if args.polygons is None else args.polygon_tolerance,
        ids=args.ids or 'class',
    )
    sizes = [map_size(job.image_path) for _, job in maps]
    check_map_request(request, [size for size in sizes if size is not None])
    return request


def _predict_maps(
    args: argparse.Namespace, maps: Iterable[Tuple[int, Any]], predictor: Any, request: Any, failures: Failures
) -> None:
    """Predicts maps by windows; notes those that could not be read."""
    from fcn8s.prediction.maps import UnreadableMapError, predict_map

    untiled = predictor.untiled()
    for number, job in maps:
        try:
            predict_map(untiled.class_ids, job.image_path, os.path.join(args.out, job.stem), request)
        except UnreadableMapError as error:
            if not args.keep_going:
                raise
            failures.append((number, str(error)))


def _read_images(jobs: Numbered, keep_going: bool, rules: Any) -> Iterator[Loaded]:
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
    writers: Writers,
    share: Optional[Any] = None,
) -> Failures:
    """Reads, predicts and writes at the same time; returns the images that could not be read."""
    from tqdm import tqdm

    from fcn8s.prediction.pipelining import overlapped

    failures: Failures = []
    with overlapped(loaded, _predicting(predictor, writers.results)) as predictions:
        if share:
            counted = _handing_back(share, predictions, failures, writers)
        else:
            counted = tqdm(predictions, desc='predict', unit='image', total=count)
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


def _predict_streams(sources: Iterable[str], predictor: Any, writers: Writers) -> Optional[str]:
    """Predicts videos and cameras. A camera goes on until somebody stops it; returns the signal that did, or None."""
    from fcn8s.stopping import StopRequest
    from helpers.video import camera_number

    for source in sources:
        with contextlib.nullcontext() if camera_number(source) is None else StopRequest() as stop:
            _predict_stream(source, predictor, writers, stop)
        if stop is not None and stop.requested:
            return str(stop.requested)
    return None


def _predict_stream(source: str, predictor: Any, writers: Writers, stop: Optional[Any]) -> None:
    """Predicts every frame of a video or camera into a folder of its name, until a stop is requested."""
    from helpers.video import open_frames

    folder = stream_folder(source)
    with open_frames(source) as frames:
        wanted = itertools.takewhile(lambda _: stop is None or not stop.requested, frames)
        loaded = (
            Loaded(number, os.path.join(folder, 'frame_{:06d}'.format(number)), source, frame, None)
            for number, frame in enumerate(wanted)
        )
        _predict_all(loaded, frames.num_frames, predictor, writers)


def _close(args: argparse.Namespace, failures: Failures, writers: Writers) -> int:
    """Writes the results that cover all images together, and prints what was written; returns the exit status."""
    if writers.results:
        writers.results.write_doubts()
    if writers.polygons:
        writers.polygons.close()
    if failures:
        heading = '{} of the images could not be read:'.format(len(failures))
        complain('\n'.join([heading] + [one_line(text) for _, text in failures]))
    if writers.submission and not failures:
        print('submission: {}'.format(writers.submission.finish()))
    print('results: {}'.format(one_line(args.out)))
    return 1 if failures else 0


@contextlib.contextmanager
def _kept_if_interrupted(writers: Writers) -> Iterator[None]:
    """Where an error or a signal ends the work, writes what covers all images for those that were predicted.

    It goes to files of their own: those of an earlier, whole prediction stay, and a rerun finds its places free. What
    is whole already is not written again.
    """
    try:
        yield
    except BaseException:
        for write in (
            writers.results.write_part_of_doubts if writers.results else None,
            writers.polygons.write_part if writers.polygons else None,
        ):
            with contextlib.suppress(OSError):  # the disk may be full, which the error says already
                path = write() if write else None
                if path is not None:
                    complain('{} holds the images that were predicted until then.'.format(one_line(path)))
        raise


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
        """Checks everything as the server does, writes the zip and returns its path."""
        from fcn8s.prediction.cityscapes_submission import zip_and_check

        zip_path = self._dir + '.zip'
        zip_and_check(self._dir, self._paths, zip_path, self._label_space)
        return zip_path
