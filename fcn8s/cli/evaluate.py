"""`fcn8s evaluate`: the scores of a model on a dataset."""

import argparse
import os
from typing import Any, Dict, Optional

from fcn8s.cli.inputs.evaluation import (
    check_shares,
    evaluate_subjects,
    find_subjects,
    hand_back,
    image_names,
    with_data_of_run,
)
from fcn8s.cli.inputs.prediction import check_sampling_arguments
from fcn8s.cli.options.evaluation import (
    add_data_arguments,
    add_prediction_arguments,
    add_resamples_argument,
    check_can_write,
    check_data,
    check_resamples,
)
from fcn8s.cli.options.flags import flag
from fcn8s.cli.options.prediction import (
    add_model_argument,
    add_temperature_argument,
    check_predictor_arguments,
    check_temperature_argument,
)
from fcn8s.cli.options.workers import add_sharing_arguments, check_workers, is_sharer, silent_output
from helpers.counted import counted

DESCRIPTION = """Scores a model by the rule of Cityscapes, at the resolution of the ground truth: IoU, accuracy (which
is the recall) and precision per class, their means, and the 95 % bootstrap interval of the mean IoU over images.
Without --data or --images a run is evaluated on the validation data that it was trained with."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('evaluate', help='score a model on a dataset', description=DESCRIPTION)
    add_model_argument(parser)
    parser.add_argument(
        'also',
        nargs='*',
        default=[],  # without a default, argparse calls it required
        metavar='MODEL',
        help='more models with the same classes: the mean of their soft-max is scored',
    )
    add_data_arguments(parser.add_argument_group('data'))
    add_prediction_arguments(parser.add_argument_group('prediction'))
    _add_score_arguments(parser.add_argument_group('scores'))
    add_sharing_arguments(parser.add_argument_group('processes'))
    parser.set_defaults(run=run)


def _add_score_arguments(group: Any) -> None:
    group.add_argument(
        '--against', metavar='MODEL', help='evaluate this model too, and print the paired difference in mean IoU'
    )
    group.add_argument(
        '--boundaries',
        action='store_true',
        help='trimap IoU within 4, 8 and 16 pixels of a boundary, and boundary F1 with a tolerance of '
        '0.75 %% of the diagonal',
    )
    group.add_argument(
        '--calibration',
        action='store_true',
        help='expected calibration error in 15 bins, and the temperature that fits these images',
    )
    add_temperature_argument(group, 'loss, calibration, confidence and entropy')
    add_resamples_argument(group)
    group.add_argument('--seed', type=int, default=0, help='of the bootstrap (default: 0)')
    group.add_argument(
        '--sort',
        default='class',
        metavar='ORDER',
        help='of the classes in the table: class (the ID), name, iou, accuracy, precision or pixels (default: class)',
    )
    group.add_argument(
        '--per-image',
        metavar='FILE',
        help='write the scores of every image to a CSV file (and to that of --json): pixels, void, accuracy, mean IoU, '
        'the most costly confusion, IoU per class; boundary F1 with --boundaries, confidence with --calibration',
    )
    group.add_argument('--worst', type=int, metavar='N', help='print the N images with the lowest mean IoU')
    group.add_argument(
        '--json',
        metavar='FILE',
        help='write all scores to a file; per_class_accuracy and recall are two names of one score',
    )


def run(args: argparse.Namespace) -> int:
    from fcn8s.evaluation.bootstrap import mean_iou_interval, paired_difference
    from fcn8s.evaluation.per_image import as_records, format_worst, write_csv
    from fcn8s.evaluation.score_table import format_difference, format_scores
    from helpers.files import atomic_write_json, to_json

    args = _with_data(args)
    _check(args)
    subject, against = find_subjects(args)
    subjects = [subject] if against is None else [subject, against]
    if args.share is not None:
        with silent_output():
            hand_back(args, subjects)
        return 0
    if is_sharer(args):
        check_shares(args, subject)
    results = evaluate_subjects(args, subjects)
    evaluation, description = next(results)
    interval = mean_iou_interval(evaluation.image_counts, args.resamples, args.seed)
    print(_heading(description))
    print(format_scores(evaluation.scores, subject.label_space, args.sort, interval))
    report = dict(
        description, class_names=subject.label_space.class_names, mean_iou_interval=interval, **evaluation.scores
    )
    names = image_names(subject.data)
    if args.worst:
        print('\n' + format_worst(names, evaluation.rows, subject.label_space, args.worst))
    other = None
    for other, described in results:
        difference = paired_difference(evaluation.image_counts, other.image_counts, args.resamples, args.seed)
        report['against'] = dict(described, **other.scores)
        report['mean_iou_difference'] = difference
        print('\n' + format_difference(difference, ' + '.join(subject.paths), args.against))
    if args.per_image is not None:
        write_csv(args.per_image, names, evaluation.rows, subject.label_space, other and other.rows)
        report['images'] = as_records(names, evaluation.rows, subject.label_space, other and other.rows)
    if args.json is not None:
        atomic_write_json(args.json, to_json(report))
    return 0


def _with_data(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments, with the validation data of a run if none were typed; prints that."""
    from fcn8s.saving.runs import is_run

    found = with_data_of_run(args) if is_run(args.model) else args
    if found is not args and args.share is None and (found.data is not None or found.images is not None):
        print('No data were given: those that {} was evaluated on in its training.'.format(args.model))
    return found


def _check(args: argparse.Namespace) -> None:
    from fcn8s.evaluation.score_table import check_sort_order

    check_sort_order(args.sort)
    check_workers(args.workers)
    check_data(args)
    check_predictor_arguments(args)
    check_sampling_arguments(args)
    check_temperature_argument(args, second='against')
    check_resamples(args.resamples)
    if args.worst is not None and args.worst < 1:
        raise ValueError('--worst is {}; it has to be at least 1, for example 10.'.format(args.worst))
    if not 0 <= args.seed < 2**32:
        raise ValueError('--seed is {}; it has to be from 0 to {}, for example 0.'.format(args.seed, 2**32 - 1))
    if args.share is None:
        _check_files(args)


def _check_files(args: argparse.Namespace) -> None:
    """Raises ValueError or OSError where the files cannot be written."""
    _check_apart(args.json, args.per_image)
    for name, example in (('json', 'scores.json'), ('per_image', 'scores.csv')):
        if getattr(args, name) is not None:
            check_can_write(flag(name), getattr(args, name), example)


def _check_apart(json_path: Optional[str], per_image_path: Optional[str]) -> None:
    """Raises ValueError where one file would replace the other."""
    if json_path and per_image_path and os.path.realpath(json_path) == os.path.realpath(per_image_path):
        raise ValueError('--json and --per-image are both {}. Give each a file of its own.'.format(json_path))


def _heading(description: Dict[str, Any]) -> str:
    size = description['input_size']
    resized = 'images as they are' if size is None else 'images resized to {} x {}'.format(*size)
    where = "the network's size" if description['at_input_size'] else 'the size of the ground truth'
    only = description['only']
    return '{}\n{} of {}{}{}, {}, scored at {}\n'.format(
        description['model'],
        counted(description['num_images'], 'image'),
        description['data'],
        ' ({})'.format(description['split']) if description['split'] else '',
        ', only {}'.format(' '.join(only)) if only else '',
        resized,
        where,
    )
