"""`fcn8s report`: one HTML file that shows where a network is wrong."""

import argparse
import shlex
from typing import Any

from fcn8s.cli.inputs.evaluation import evaluate_subject, find_subjects, image_names, with_data_of_run
from fcn8s.cli.inputs.prediction import check_sampling_arguments
from fcn8s.cli.options.evaluation import (
    add_data_arguments,
    add_prediction_arguments,
    add_resamples_argument,
    check_can_write,
    check_data,
    check_resamples,
)
from fcn8s.cli.options.flags import flags
from fcn8s.cli.options.prediction import (
    add_also_argument,
    add_model_argument,
    add_palette_argument,
    check_predictor_arguments,
)
from fcn8s.cli.terminal import Parser, program

DESCRIPTION = """Evaluates a model and writes one HTML file that opens from disk and needs no network: scores with their
intervals, classes, confusions and the images behind them, curves, reliability, worst and best images, IoU by size of
objects and distance to a boundary, labels to look at again, settings and versions. Without --data or --images a run is
evaluated on the validation data that it was trained with; a run without any shows its curves."""


def add_parser(subparsers: Any) -> None:
    parser: Parser = subparsers.add_parser(
        'report', help='write an HTML file that shows where a model is wrong', description=DESCRIPTION
    )
    add_model_argument(parser)
    add_also_argument(parser)
    parser.add_argument(
        '--out', metavar='FILE', help='the file to write (default: report.html in MODEL, a run directory)'
    )
    parser.add_argument('--against', metavar='MODEL', help='evaluate this model too, and show where the two differ')
    add_resamples_argument(parser)
    add_data_arguments(parser.add_argument_group('data'))
    add_prediction_arguments(parser.add_argument_group('prediction'))
    add_palette_argument(parser.add_argument_group('drawing'))
    without_data = ('help', 'model', 'out', 'palette')
    untyped = {option.dest: option.default for option in parser.options if option.dest not in without_data}
    parser.set_defaults(run=run, calibration=True, boundaries=True, of_evaluations=untyped)


def run(args: argparse.Namespace) -> int:
    check_predictor_arguments(args)
    check_sampling_arguments(args)
    check_resamples(args.resamples)
    if args.out is not None:
        check_can_write('--out', args.out, 'report.html', ('.html', '.htm'))
    print('report: {}'.format(write(args, program() + ' ' + ' '.join(shlex.quote(word) for word in args.argv))))
    return 0


def write(args: argparse.Namespace, command: str) -> str:
    """Evaluates if there are data for it, and writes the report; returns its path."""
    from fcn8s.saving import runs
    from fcn8s.saving.packed import is_packed

    is_run = runs.is_run(args.model)
    if is_run:
        args = with_data_of_run(args)
    elif not is_packed(args.model):
        runs.resolve_model(args.model)  # raises an error that says what is wrong
    has_data = args.data is not None or args.images is not None
    if has_data or not is_run:
        check_data(args)
    if args.out is None and not is_run:
        raise ValueError('{} is no run directory: say with --out FILE where the report goes.'.format(args.model))
    from fcn8s.report.run_report import read_records, write_report

    if not has_data:
        _refuse_without_data(args)
        _check_palette(args)
        print('{} has no validation data: the report shows its training. Give --data or --images.'.format(args.model))
        return write_report(args.model, path=args.out, command=command, palette=args.palette)
    if is_run:
        read_records(args.model)  # refuses damaged records before the evaluation, which may take hours
    if args.out is None:
        runs.check_report_is_no_link(runs.Run(args.model))
        check_can_write('the default of --out,', runs.Run(args.model).report_path, 'report.html')
    subject, other = find_subjects(args)
    evaluated = _evaluated(args, subject, ' + '.join(subject.paths))
    against = None if other is None else _evaluated(args, other, args.against)
    return write_report(args.model, evaluated, against, args.out, command, args.resamples, args.palette)


def _refuse_without_data(args: argparse.Namespace) -> None:
    strays = [name for name, untyped in args.of_evaluations.items() if getattr(args, name) != untyped]
    if strays:
        raise ValueError(
            '{}: {} has no validation data, and nothing else to evaluate on came. Give --data ROOT, or --images DIR '
            '--labels DIR.'.format(flags(strays), args.model)
        )


def _check_palette(args: argparse.Namespace) -> None:
    """Raises ValueError where a palette was chosen, but the report of the training shows no classes."""
    from fcn8s.report.page import last_classes
    from fcn8s.report.run_report import read_records

    if args.palette != 'dataset' and last_classes(read_records(args.model)) is None:
        raise ValueError(
            '--palette is {}, and {} was never evaluated: its report shows no class. Leave it out, or give what to '
            'evaluate on: --data ROOT, or --images DIR --labels DIR.'.format(args.palette, args.model)
        )


def _evaluated(args: argparse.Namespace, subject: Any, path: str) -> Any:
    from fcn8s.report.observations import Observations
    from fcn8s.report.page import Evaluated
    from helpers.color_vision import with_palette

    shown = with_palette(subject.label_space, args.palette)
    observations = Observations(shown)
    evaluation, description = evaluate_subject(args, subject, observations)
    known = {name.replace('_', ' '): value for name, value in description.items() if value not in (None, False)}
    return Evaluated(path, known, shown, image_names(subject.data), evaluation, observations)
