"""Scores as a table that a person reads."""

import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from fcn8s.evaluation.bootstrap import Interval
from fcn8s.evaluation.calibration import shown_temperature
from fcn8s.evaluation.scores import METRICS
from helpers.label_spaces import LabelSpace
from helpers.tables import align_columns, fit_names

COLUMNS = (('IoU %', 'per_class_iou'), ('accuracy %', 'per_class_accuracy'), ('precision %', 'precision'))
BOUNDARY_COLUMN = ('bound. F1 %', 'boundary_f1')
SORT_ORDERS = ('class', 'name', 'iou', 'accuracy', 'precision', 'pixels')
SUMMARY = (
    (METRICS['mean_iou'].title, 'mean_iou'),
    ('frequency weighted IoU', 'frequency_weighted_iou'),
    ('mean category IoU', 'mean_category_iou'),
    (METRICS['accuracy'].title, 'accuracy'),
    ('mean class accuracy', 'mean_accuracy'),
)


def format_scores(
    scores: Dict[str, Any], label_space: LabelSpace, sort: str = 'class', interval: Optional[Interval] = None
) -> str:
    """Returns the scores of `fcn8s.evaluation.scores.summarize` as lines of text, in per cent. Names of classes lose
    their end where a line would be longer than the terminal is wide, or than 80 columns.

    The accuracy of a class is its recall: the dict, and so the JSON, holds that one score under both names,
    'per_class_accuracy' and 'recall'.

    Args:
        scores: May hold the scores of `fcn8s.evaluation.boundaries` and `fcn8s.evaluation.calibration` too; what is
            there is printed.
        sort: 'class' (order of class IDs), 'name', or one of 'iou', 'accuracy', 'precision', 'pixels': the largest
            first, and classes without that score last.
        interval: Bootstrap interval of the mean IoU.

    Raises:
        ValueError: `sort` is none of these.
    """
    parts = [
        _class_table(scores, label_space, sort),
        _category_table(scores),
        _summary(scores, interval),
        _boundary_lines(scores),
        _calibration_lines(scores),
    ]
    return '\n\n'.join('\n'.join(lines) for lines in parts if lines)


def format_difference(difference: Interval, name: str, against: str) -> str:
    """Returns one paragraph on the paired difference of two mean IoUs, in percentage points. One image has no
    interval, and images without a pixel that counts have no difference.
    """
    if math.isnan(difference.value):
        return 'mean IoU of {} minus {}: none, because no pixel of these images counts'.format(name, against)
    if difference.num_images == 1:
        return 'mean IoU of {} minus {}: {:+.2f} points (one image: no interval)'.format(
            name, against, 100 * difference.value
        )
    verdict = 'The interval includes 0: these images do not tell the two apart.'
    if difference.low > 0 or difference.high < 0:
        verdict = '{} is better on these images.'.format(name if difference.low > 0 else against)
    return (
        'mean IoU of {} minus {}: {:+.2f} points, {:.0f} % interval {:+.2f} to {:+.2f} ({} images, {} paired '
        'resamples)\n{}'.format(
            name,
            against,
            100 * difference.value,
            100 * difference.confidence,
            100 * difference.low,
            100 * difference.high,
            difference.num_images,
            difference.num_resamples,
            verdict,
        )
    )


def check_sort_order(sort: str) -> None:
    """Raises ValueError unless `sort` is one of the orders of `format_scores`."""
    if sort not in SORT_ORDERS:
        raise ValueError('Sorting by {!r} was asked for; it is one of {}.'.format(sort, ', '.join(SORT_ORDERS)))


def _class_table(scores: Dict[str, Any], label_space: LabelSpace, sort: str) -> List[str]:
    columns = COLUMNS + ((BOUNDARY_COLUMN,) if BOUNDARY_COLUMN[1] in scores else ())
    order = [
        class_id for class_id in _class_order(scores, label_space, sort) if class_id not in label_space.void_class_ids
    ]
    pixels = scores['confusion_matrix'].sum(axis=1)
    rows = [
        [label_space.class_names[class_id]]
        + [_percent(scores[key][class_id]) for _, key in columns]
        + ['{:,}'.format(pixels[class_id])]
        for class_id in order
    ]
    table = [['class'] + [title for title, _ in columns] + ['pixels']] + rows
    return align_columns(fit_names(table, 0))


def _class_order(scores: Dict[str, Any], label_space: LabelSpace, sort: str) -> Sequence[int]:
    check_sort_order(sort)
    class_ids = range(label_space.num_classes)
    if sort == 'class':
        return class_ids
    if sort == 'name':
        return sorted(class_ids, key=lambda class_id: label_space.class_names[class_id])
    keys = {'iou': 'per_class_iou', 'accuracy': 'per_class_accuracy', 'precision': 'precision'}
    values = scores['confusion_matrix'].sum(axis=1) if sort == 'pixels' else scores[keys[sort]]
    return sorted(class_ids, key=lambda class_id: _descending(values[class_id]))


def _descending(value: float) -> Tuple[bool, float]:
    """Sorts large values first and NaN last."""
    return bool(np.isnan(value)), -value


def _category_table(scores: Dict[str, Any]) -> List[str]:
    if not scores['category_iou']:
        return []
    rows = [[name, _percent(iou)] for name, iou in scores['category_iou'].items()]
    return align_columns([['category', 'IoU %']] + rows)


def _summary(scores: Dict[str, Any], interval: Optional[Interval]) -> List[str]:
    rows = [
        [title, _with_sign(scores[key])]
        for title, key in SUMMARY
        if key != 'mean_category_iou' or scores['category_iou']
    ]
    lines = align_columns(rows + [['loss', '-' if math.isnan(scores['loss']) else '{:.4f}'.format(scores['loss'])]])
    if interval and interval.num_images == 1:
        lines[0] += '  (one image: no interval)'
    elif interval:
        lines[0] += '  ({:.0f} % interval {} to {}, {} resamples of {} images)'.format(
            100 * interval.confidence,
            _percent(interval.low),
            _with_sign(interval.high),
            interval.num_resamples,
            interval.num_images,
        )
    return lines


def _boundary_lines(scores: Dict[str, Any]) -> List[str]:
    if 'trimap_mean_iou' not in scores:
        return []
    rows = [
        ['mean IoU within {:g} px of a boundary'.format(width), _with_sign(iou)]
        for width, iou in zip(scores['trimap_widths'], scores['trimap_mean_iou'])
    ]
    return align_columns(
        rows
        + [
            [
                'mean boundary F1, tolerance {:.2f} % of the diagonal'.format(100 * scores['boundary_tolerance']),
                _with_sign(scores['mean_boundary_f1']),
            ]
        ]
    )


def _calibration_lines(scores: Dict[str, Any]) -> List[str]:
    if 'expected_calibration_error' not in scores:
        return []
    rows = [
        [
            'expected calibration error, {} bins'.format(len(scores['bin_counts'])),
            _with_sign(scores['expected_calibration_error']),
        ]
    ]
    temperature = scores.get('fitted_temperature')
    if temperature is None or math.isnan(scores['expected_calibration_error']):
        return align_columns(rows)
    if math.isnan(temperature):
        return align_columns(rows) + [
            'no temperature is fitted: a half of the batches has no pixel that counts.',
            'Take a smaller --batch, or more images.',
        ]
    rows += [
        [
            'the same, at a temperature fitted to the other half',
            _with_sign(scores['cross_fitted_calibration_error']),
        ],
        ['temperature that fits all of them (--temperature)', shown_temperature(temperature)],
    ]
    return align_columns(rows)


def _percent(share: float) -> str:
    return '-' if math.isnan(share) else '{:.2f}'.format(100.0 * share)


def _with_sign(share: float) -> str:
    return '-' if math.isnan(share) else _percent(share) + ' %'
