"""The page of a report: turns scores, observations and a run's records into what the template shows.

Names and values reach the page only as text: jinja2 escapes them, and the script gets JSON without any `<`.
Letters: I images, C classes.
"""

import base64
import json
import math
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.evaluation.bootstrap import Intervals, score_intervals
from fcn8s.evaluation.boundaries import DISTANCE_LIMITS
from fcn8s.evaluation.calibration import shown_temperature
from fcn8s.evaluation.label_doubts import rank_doubts
from fcn8s.evaluation.objects import SIZE_NAMES
from fcn8s.evaluation.one_pass import Evaluation
from fcn8s.evaluation.per_image import short_names, worst_first
from fcn8s.evaluation.scores import (
    ClassCounts,
    count_classes,
    frequency_weighted_iou,
    intersection_over_union,
    mean_iou,
    mean_of_present,
    pixel_accuracy,
    precision,
    recall,
)
from fcn8s.report.charts import BLUE, GREEN, PURPLE, VERMILION, Chart, Curve, bar_chart, line_chart
from fcn8s.report.observations import Observations, risk_against_coverage
from fcn8s.report.pictures import RIGHT, WRONG, not_counted_color
from helpers.color_vision import color_blind_colors
from helpers.counted import counted
from helpers.files import to_json
from helpers.label_spaces import LabelSpace

# A report leaves out pictures beyond this total; in base64 they take a third more, and reports stay below 20 MB.
MAX_PICTURE_BYTES = 13 * 10**6
NUM_WORST, NUM_BEST, NUM_OF_CLASS, NUM_OF_CELL, NUM_CHANGED = 12, 6, 6, 6, 6
# An image is shown for a class that takes at least this share of it.
SMALLEST_SHARE = 0.001
NUM_DOUBTS = 60

HEADLINES = (
    ('mean IoU', mean_iou),
    ('pixel accuracy', pixel_accuracy),
    ('mean class accuracy', lambda counts: mean_of_present(recall(counts))),
    ('frequency weighted IoU', frequency_weighted_iou),
)


class Evaluated(NamedTuple):
    """A model on a dataset. description: the settings of the evaluation, name -> value, as the page shows them."""

    title: str
    description: Dict[str, Any]
    label_space: LabelSpace
    names: Sequence[str]
    evaluation: Evaluation
    observations: Observations


class Recorded(NamedTuple):
    """What a run recorded of its training: `config.json`, and one record per epoch."""

    config: Dict[str, Any]
    records: Sequence[Dict[str, Any]]


def page_context(
    title: str,
    recorded: Optional[Recorded],
    evaluated: Optional[Evaluated],
    against: Optional[Evaluated],
    versions: Dict[str, str],
    command: str,
    resamples: int,
    palette: str,
) -> Dict[str, Any]:
    """Returns all that the template needs, by name."""
    evaluated, against = [part and part._replace(label_space=_named(part.label_space)) for part in (evaluated, against)]
    context: Dict[str, Any] = {
        'title': title,
        'evaluated': '',
        'against': None,
        'classes_of_training': None,
        'summary': _training_summary(recorded),
        'charts': [],
        'versions': versions,
        'command': command,
        'settings': json.dumps(to_json(recorded.config), indent=1, ensure_ascii=False) if recorded else '',
        'data': {},
    }
    if recorded:
        context['charts'] += training_charts(recorded.records)
        context['classes_of_training'] = last_classes(recorded, palette)
    if evaluated:
        context.update(_evaluated_context(evaluated, resamples))
        context['charts'] += evaluation_charts(evaluated)
        context['data'] = browser_data(evaluated, against)
    if evaluated and against:
        context['against'] = _against_context(evaluated, against, resamples)
    return context


def _training_summary(recorded: Optional[Recorded]) -> str:
    if recorded is None:
        return ''
    model = recorded.config['model']
    text = 'FCN-{}, {} classes, {}'.format(
        model.get('variant', '?'), model.get('num_classes', '?'), _epochs_in_words(recorded)
    )
    scores = [value for _, value in _scores(recorded.records, 'mean_iou')]
    if scores:
        text += ', mean IoU while training {:.2f} % (best {:.2f} %)'.format(100 * scores[-1], 100 * max(scores))
    return text + ', TensorFlow {}.'.format(recorded.config['versions'].get('tensorflow', '?'))


def _epochs_in_words(recorded: Recorded) -> str:
    """The epochs that are done, of those that the training was asked for."""
    done, asked = len(recorded.records), recorded.config.get('train')
    planned = asked.get('epochs') if isinstance(asked, dict) else None
    if not isinstance(planned, int) or planned < done:
        return counted(done, 'epoch') + ' so far'
    return '{} of {}'.format(done, counted(planned, 'epoch'))


def _scores(records: Sequence[Dict[str, Any]], score: str) -> List[Tuple[float, float]]:
    evaluated = [record for record in records if record.get('evaluation')]
    points = [(record['step'], record['evaluation'].get(score)) for record in evaluated]
    return [(step, value) for step, value in points if value is not None]


def training_charts(records: Sequence[Dict[str, Any]]) -> List[Chart]:
    """Draws loss, scores and learning rate over the steps, as far as they were recorded."""
    charts = [
        line_chart(
            'Loss',
            [
                Curve('training', BLUE, [(record['step'], record.get('training_loss')) for record in records]),
                Curve('evaluation', VERMILION, _scores(records, 'loss')),
            ],
            'step',
            'loss',
        ),
        line_chart(
            'Scores while training',
            [
                Curve('mean IoU', BLUE, _scores(records, 'mean_iou')),
                Curve('pixel accuracy', VERMILION, _scores(records, 'accuracy')),
            ],
            'step',
            'score',
            y_limits=(0.0, 1.0),
        ),
        line_chart(
            'Learning rate',
            [Curve('rate', PURPLE, [(record['step'], record.get('learning_rate')) for record in records])],
            'step',
            'rate',
        ),
    ]
    return [chart for chart in charts if chart]


def last_classes(recorded: Recorded, palette: str = 'dataset') -> Optional[Dict[str, Any]]:
    """Returns the classes' scores in the last evaluation of a training; None without any."""
    evaluated = [record for record in recorded.records if record.get('evaluation')]
    space = recorded.config['model'].get('label_space')
    if not evaluated or space is None:
        return None
    scores = evaluated[-1]['evaluation']
    names, colors = [str(name) for name in space['class_names']], [css_color(color) for color in space['colors']]
    if palette != 'dataset':
        own = [tuple(bytes.fromhex(color[1:])) for color in colors]
        colors = [css_color(color) for color in color_blind_colors(names, own)]
    rows = [
        {
            'name': name,
            'color': colors[class_id],
            'iou': _of_class(scores, 'per_class_iou', class_id),
            'recall': _of_class(scores, 'per_class_accuracy', class_id),
            'precision': _of_class(scores, 'precision', class_id),
        }
        for class_id, name in enumerate(names)
    ]
    return {'step': evaluated[-1]['step'], 'rows': rows}


def _of_class(scores: Dict[str, Any], name: str, class_id: int) -> Optional[float]:
    """A score of one class; None where the record has fewer classes, or lacks this score."""
    values = scores.get(name)
    return values[class_id] if isinstance(values, list) and class_id < len(values) else None


def css_color(color: Any) -> str:
    """Writes '#rrggbb' for three whole numbers from 0 to 255; anything else, which files may hold, becomes grey."""
    try:
        channels = [int(channel) for channel in color]
    except (TypeError, ValueError, OverflowError):
        return '#808080'
    if len(channels) != 3 or not all(0 <= channel <= 255 for channel in channels):
        return '#808080'
    return '#{:02x}{:02x}{:02x}'.format(*channels)


def _evaluated_context(evaluated: Evaluated, resamples: int) -> Dict[str, Any]:
    headlines, classes = _intervals(evaluated.evaluation.image_counts, resamples)
    return {
        'evaluated': evaluated.title,
        'description': [(name, str(value)) for name, value in evaluated.description.items()],
        'num_images': len(evaluated.names),
        'resamples': resamples,
        'legend': _legend(evaluated.label_space),
        'headlines': [_row_of(name, headlines, number) for number, (name, _) in enumerate(HEADLINES)],
        'classes': _class_rows(evaluated, classes),
        'calibration_error': _number(evaluated.evaluation.scores.get('expected_calibration_error', math.nan)),
        'temperature': shown_temperature(evaluated.evaluation.scores.get('fitted_temperature', math.nan)),
        'cross_fitted_error': _number(evaluated.evaluation.scores.get('cross_fitted_calibration_error', math.nan)),
    }


def _legend(space: LabelSpace) -> List[Tuple[str, str]]:
    """The colours of pictures that stand for no class, and what they mean."""
    colors = (('right', RIGHT), ('wrong', WRONG), ('does not count', not_counted_color(space)))
    return [(name, css_color(color)) for name, color in colors]


def _intervals(
    counts: ClassCounts, resamples: int, against: Optional[ClassCounts] = None
) -> Tuple[Intervals, Intervals]:
    """The scores of HEADLINES and the IoU of each class, from the same resamples.

    A single image has no interval, because all its resamples are the same.
    """
    intervals = score_intervals(counts, _headlines_and_classes, against, resamples)
    if len(counts.true_positives) == 1:
        unknown = np.full_like(intervals.values, np.nan)
        intervals = intervals._replace(low=unknown, high=unknown)
    first = len(HEADLINES)
    return Intervals(*[part[:first] for part in intervals]), Intervals(*[part[first:] for part in intervals])


def _headlines_and_classes(counts: ClassCounts) -> np.ndarray:
    headlines = np.stack([score(counts) for _, score in HEADLINES], axis=-1)
    return np.concatenate([headlines, intersection_over_union(counts)], axis=-1)


def _row_of(name: str, intervals: Intervals, number: int) -> Dict[str, Any]:
    value, low, high = [_number(part[number]) for part in intervals]
    return {'name': name, 'value': value, 'low': low, 'high': high}


def _number(value: float) -> Optional[float]:
    return None if math.isnan(value) else float(value)


def _class_rows(evaluated: Evaluated, intervals: Intervals) -> List[Dict[str, Any]]:
    space = evaluated.label_space
    totals = ClassCounts(*[part.sum(axis=0) for part in evaluated.evaluation.image_counts])
    rows = []
    for class_id in _scored_classes(space):
        row = _row_of(space.class_names[class_id], intervals, class_id)
        row.update(
            color=css_color(space.colors[class_id]),
            recall=_number(recall(totals)[class_id]),
            precision=_number(precision(totals)[class_id]),
            pixels=int(totals.true_positives[class_id] + totals.false_negatives[class_id]),
            number=class_id,
        )
        rows.append(row)
    return rows


def _scored_classes(space: LabelSpace) -> List[int]:
    return [class_id for class_id in range(space.num_classes) if class_id not in space.void_class_ids]


def evaluation_charts(evaluated: Evaluated) -> List[Chart]:
    """Draws reliability, risk against coverage, IoU by size of objects and by distance to a boundary."""
    seen, scores = evaluated.observations, evaluated.evaluation.scores
    void = evaluated.label_space.void_class_ids
    curves = [Curve('perfect', GREEN, [(0.0, 0.0), (1.0, 1.0)], has_dots=False)]
    if np.any(scores.get('bin_counts', 0)):
        points = list(zip(scores['bin_confidence'], scores['bin_accuracy']))
        curves.insert(0, Curve('network', BLUE, points))
    risks = risk_against_coverage(seen.confidence_counts, seen.confidence_correct)
    charts = [
        line_chart(
            'Reliability',
            curves,
            'confidence',
            'accuracy',
            'Pixels in bins of confidence: below the diagonal the network is too sure of itself.',
            (0.0, 1.0),
            (0.0, 1.0),
        )
        if len(curves) > 1
        else None,
        line_chart(
            'Risk against coverage',
            [Curve('share of them wrong', BLUE, risks)],
            'share of pixels kept',
            'share of them wrong',
            'What is gained by giving up the pixels of which the network is least sure.',
            (0.0, 1.0),
        ),
        bar_chart(
            'Mean IoU by size of objects',
            SIZE_NAMES,
            mean_iou(seen.by_size).tolist(),
            '',
            'mean IoU',
            'Objects are connected regions of a class in the ground truth.',
        ),
        bar_chart(
            'Mean IoU by distance to a boundary',
            _distance_names(),
            mean_iou(count_classes(seen.by_distance, void)).tolist(),
            'pixels to the nearest boundary of the ground truth',
            'mean IoU',
        ),
    ]
    return [chart for chart in charts if chart]


def _distance_names() -> List[str]:
    bounds = ['{:g} to {:g}'.format(low, high) for low, high in zip((0,) + DISTANCE_LIMITS, DISTANCE_LIMITS)]
    return bounds + ['beyond {:g}'.format(DISTANCE_LIMITS[-1])]


def _against_context(evaluated: Evaluated, against: Evaluated, resamples: int) -> Dict[str, Any]:
    first, second = evaluated.evaluation.image_counts, against.evaluation.image_counts
    headlines, differences = _intervals(first, resamples, second)
    space = evaluated.label_space
    rows = [dict(_row_of('mean IoU', headlines, 0), color='')]
    rows += [
        dict(_row_of(space.class_names[class_id], differences, class_id), color=css_color(space.colors[class_id]))
        for class_id in _scored_classes(space)
    ]
    known = [abs(row[bound]) for row in rows for bound in ('value', 'low', 'high') if row[bound] is not None]
    return {
        'title': against.title,
        'description': [(name, str(value)) for name, value in against.description.items()],
        'rows': rows,
        'span': max(known + [1e-9]),
    }


# What the script of the page shows on demand


def browser_data(evaluated: Evaluated, against: Optional[Evaluated] = None) -> Dict[str, Any]:
    """Writes images, galleries and the confusion matrix as JSON; pictures in base64, the most wanted first."""
    space, rows = evaluated.label_space, evaluated.evaluation.rows
    galleries = _galleries(evaluated)
    cells = _largest_cells(evaluated.observations)
    doubts = _doubt_entries(evaluated)
    changed = _changed(rows, against.evaluation.rows) if against else {}
    wanted = galleries['all']['worst'] + galleries['all']['best'] + [entry['image'] for entry in doubts]
    wanted += [image for side in changed.values() for image in side]
    for name in galleries:
        wanted += galleries[name]['worst'] + galleries[name]['best']
    wanted += [image for images in cells.values() for image, _ in images]
    names = short_names(evaluated.names)
    images = {}
    for number in dict.fromkeys(wanted):
        confusion = rows[number].confusion
        images[str(number)] = {
            'name': _text(names[number]),
            'path': _text(evaluated.names[number]),
            'iou': _number(rows[number].mean_iou),
            'accuracy': _number(rows[number].accuracy),
            'confusion': None if confusion is None else [confusion.truth, confusion.predicted],
            'other': _number(against.evaluation.rows[number].mean_iou) if against else None,
        }
    return to_json(
        {
            'classes': [_text(name) for name in space.class_names],
            'colors': [css_color(color) for color in space.colors],
            'distinct': [css_color(color) for color in color_blind_colors(space.class_names, space.colors)],
            'scored': _scored_classes(space),
            'matrix': evaluated.evaluation.scores['confusion_matrix'],
            'images': images,
            'galleries': galleries,
            'cells': cells,
            'doubts': doubts,
            'changed': changed,
            'pictures': encoded_pictures(wanted, evaluated.observations, against and against.observations),
        }
    )


def _named(label_space: LabelSpace) -> LabelSpace:
    """The label space, with names for classes whose name is blank."""
    names = tuple(name.strip() or 'class {}'.format(number) for number, name in enumerate(label_space.class_names))
    return label_space._replace(class_names=names)


def _text(name: str) -> str:
    """A name in a form that a page can hold, even if it has bytes that are not UTF-8, or lone surrogates."""
    return name.encode('utf-8', 'replace').decode('utf-8')


def _galleries(evaluated: Evaluated) -> Dict[str, Dict[str, List[int]]]:
    """The worst and the best images, for 'all' and for each class ID (as text)."""
    rows, counts = evaluated.evaluation.rows, evaluated.evaluation.image_counts
    order = [number for number in worst_first(rows) if not math.isnan(rows[number].mean_iou)]
    galleries = {'all': {'worst': order[:NUM_WORST], 'best': order[::-1][:NUM_BEST]}}
    per_image = intersection_over_union(counts)
    pixels = np.array([row.pixels for row in rows])
    for class_id in _scored_classes(evaluated.label_space):
        present = counts.true_positives[:, class_id] + np.maximum(
            counts.false_negatives[:, class_id], counts.false_positives[:, class_id]
        )
        shown = np.flatnonzero(present >= np.maximum(1, SMALLEST_SHARE * pixels))
        ranked = [int(number) for number in shown[np.argsort(per_image[shown, class_id], kind='stable')]]
        galleries[str(class_id)] = {'worst': ranked[:NUM_OF_CLASS], 'best': ranked[::-1][:NUM_OF_CLASS]}
    return galleries


def _largest_cells(seen: Observations) -> Dict[str, List[List[int]]]:
    """For each confusion, 'truth,predicted', the images with most of it, as [image, pixels]."""
    found: Dict[str, List[List[int]]] = {}
    for image, cells in enumerate(seen.cells):
        for cell in cells:
            found.setdefault('{},{}'.format(cell.truth, cell.predicted), []).append([image, cell.pixels])
    return {key: sorted(entries, key=lambda entry: -entry[1])[:NUM_OF_CELL] for key, entries in found.items()}


def _doubt_entries(evaluated: Evaluated) -> List[Dict[str, Any]]:
    rows = evaluated.evaluation.rows
    ranked = rank_doubts(evaluated.observations.doubts)
    return [
        {
            'image': entry.image,
            'label': entry.doubt.label,
            'predicted': entry.doubt.predicted,
            'share': entry.doubt.area / rows[entry.image].pixels,
            'box': entry.doubt.box,
            'size': evaluated.observations.sizes[entry.image],
        }
        for entry in ranked[:NUM_DOUBTS]
    ]


def _changed(rows: Sequence[Any], others: Sequence[Any]) -> Dict[str, List[int]]:
    """The images that gained or lost most mean IoU compared with the other model."""
    differences = np.array([row.mean_iou - other.mean_iou for row, other in zip(rows, others)])
    known = np.flatnonzero(~np.isnan(differences))
    order = [int(number) for number in known[np.argsort(differences[known], kind='stable')]]
    return {
        'gained': [number for number in order[::-1] if differences[number] > 0][:NUM_CHANGED],
        'lost': [number for number in order if differences[number] < 0][:NUM_CHANGED],
    }


def encoded_pictures(
    wanted: Iterable[int], seen: Observations, other: Optional[Observations] = None, limit: int = MAX_PICTURE_BYTES
) -> Dict[str, List[str]]:
    """Returns image number -> its pictures in base64 (image, truth, prediction, error, and the other model's
    prediction), in the order of `wanted`, up to `limit` bytes before base64."""
    encoded: Dict[str, List[str]] = {}
    left = limit
    for number in dict.fromkeys(wanted):
        parts = list(seen.pictures[number]) + ([other.pictures[number].prediction] if other else [])
        left -= sum(len(part) for part in parts)
        if left < 0:
            break
        encoded[str(number)] = [base64.b64encode(part).decode('ascii') for part in parts]
    return encoded
