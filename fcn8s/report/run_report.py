"""`report.html` of a run: curves, scores per class and settings on one page that needs nothing else to be seen."""

import html
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from fcn8s.saving import runs
from helpers.files import atomic_path

WIDTH, HEIGHT, MARGIN = 560, 240, 64

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1200px; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.6em; margin-bottom: 0; } h2 { font-size: 1.1em; margin-top: 2em; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5em; } figure { margin: 0; } figcaption { font-weight: 600; }
table { border-collapse: collapse; } td, th { padding: .15em .9em .15em 0; text-align: right; }
td:first-child, th:first-child { text-align: left; } .bar { background: #dfe6ee; width: 220px; height: .8em; display: block; }
.bar i { background: #2f6db3; height: 100%; display: block; } pre { background: #f4f6f8; padding: 1em; overflow-x: auto; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .5em; }
"""


class Curve(NamedTuple):
    """One line of a figure: (step, value) points."""

    name: str
    color: str
    points: Sequence[Tuple[float, float]]


def write_report(run_dir: str) -> str:
    """Writes `report.html` into a run directory from what the run has recorded so far; returns its path.

    Raises FileNotFoundError where the directory holds no run.
    """
    run = runs.open_run(run_dir)
    path = os.path.join(run.directory, 'report.html')
    page = render_report(
        os.path.basename(os.path.abspath(run.directory)), runs.read_config(run), runs.read_metrics(run)
    )
    with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write(page)
    return path


def render_report(name: str, config: Dict[str, Any], records: List[Dict[str, Any]]) -> str:
    """The page for a run's settings and its records, one per epoch."""
    evaluated = [record for record in records if record['evaluation']]
    body = ['<h1>{}</h1><p>{}</p>'.format(html.escape(name), html.escape(_summary(config, records, evaluated)))]
    body += ['<div class="figures">'] + _figures(records, evaluated) + ['</div>']
    if evaluated:
        body += [
            '<h2>Classes, at step {}</h2>'.format(evaluated[-1]['step']),
            _class_table(config['model']['label_space'], evaluated[-1]['evaluation']),
        ]
    body += ['<h2>Settings</h2><pre>{}</pre>'.format(html.escape(json.dumps(config, indent=1)))]
    return '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{}</title><style>{}</style></head><body>\n{}\n</body></html>\n'.format(
        html.escape(name), _STYLE, '\n'.join(body)
    )


def _summary(config: Dict[str, Any], records: List[Dict[str, Any]], evaluated: List[Dict[str, Any]]) -> str:
    text = 'FCN-{}, {} classes, {} epochs so far'.format(
        config['model']['variant'], config['model']['num_classes'], len(records)
    )
    scores = [record['evaluation']['mean_iou'] for record in evaluated if record['evaluation']['mean_iou'] is not None]
    if scores:
        text += ', mean IoU {:.2f} % (best {:.2f} %)'.format(100 * scores[-1], 100 * max(scores))
    return text + ', TensorFlow {}.'.format(config['versions']['tensorflow'])


def _figures(records: List[Dict[str, Any]], evaluated: List[Dict[str, Any]]) -> List[str]:
    losses = [
        Curve('training', '#2f6db3', [(r['step'], r['training_loss']) for r in records]),
        Curve('evaluation', '#c8553d', _points(evaluated, 'loss')),
    ]
    scores = [
        Curve('mean IoU', '#2f6db3', _points(evaluated, 'mean_iou')),
        Curve('pixel accuracy', '#5a9a68', _points(evaluated, 'accuracy')),
    ]
    return [
        _figure('Loss', losses),
        _figure('Scores', scores, (0.0, 1.0)),
        _figure('Learning rate', [Curve('rate', '#7a5ca8', [(r['step'], r['learning_rate']) for r in records])]),
    ]


def _points(records: List[Dict[str, Any]], score: str) -> List[Tuple[float, float]]:
    return [
        (record['step'], record['evaluation'][score]) for record in records if record['evaluation'][score] is not None
    ]


def _figure(title: str, curves: Sequence[Curve], limits: Optional[Tuple[float, float]] = None) -> str:
    points = [point for curve in curves for point in curve.points]
    if not points:
        return ''
    right = max(step for step, _ in points)
    low, high = limits or (0.0, max(value for _, value in points) * 1.05 or 1.0)

    def place(step: float, value: float) -> Tuple[float, float]:
        return (
            MARGIN + (WIDTH - MARGIN - 10) * step / right,
            HEIGHT - 24 - (HEIGHT - 34) * (value - low) / (high - low),
        )

    parts = []
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + fraction * (high - low)
        y = place(0, value)[1]
        parts.append(
            '<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" stroke="#dfe6ee"/><text x="{}" y="{:.1f}" text-anchor="end">{:.3g}</text>'.format(
                MARGIN, WIDTH - 10, y, y, MARGIN - 6, y + 4, value
            )
        )
    parts.append('<text x="{}" y="{}" text-anchor="end">step {:g}</text>'.format(WIDTH - 10, HEIGHT - 6, right))
    shown = [curve for curve in curves if curve.points]
    for number, curve in enumerate(shown):
        coordinates = [place(*point) for point in curve.points]
        parts.append(
            '<polyline fill="none" stroke="{}" stroke-width="2" points="{}"/>'.format(
                curve.color, ' '.join('{:.1f},{:.1f}'.format(*xy) for xy in coordinates)
            )
        )
        parts += [
            '<circle cx="{:.1f}" cy="{:.1f}" r="2.5" fill="{}"/>'.format(x, y, curve.color) for x, y in coordinates
        ]
        parts.append(
            '<text x="{}" y="{}" fill="{}">{}</text>'.format(
                MARGIN + 8 + 120 * number, HEIGHT - 6, curve.color, html.escape(curve.name)
            )
        )
    return '<figure><figcaption>{}</figcaption><svg width="{}" height="{}" font-size="12" role="img" aria-label="{}">{}</svg></figure>'.format(
        html.escape(title), WIDTH, HEIGHT, html.escape(title), ''.join(parts)
    )


def _class_table(label_space: Dict[str, Any], scores: Dict[str, Any]) -> str:
    rows = ['<tr><th>class</th><th>IoU</th><th></th><th>accuracy</th><th>precision</th></tr>']
    for class_id, name in enumerate(label_space['class_names']):
        iou = scores['per_class_iou'][class_id]
        rows.append(
            '<tr><td><span class="swatch" style="background:rgb({})"></span>{}</td><td>{}</td><td><span class="bar"><i style="width:{:.1f}%"></i></span></td><td>{}</td><td>{}</td></tr>'.format(
                ','.join(str(part) for part in label_space['colors'][class_id]),
                html.escape(name),
                _percent(iou),
                100 * (iou or 0),
                _percent(scores['per_class_accuracy'][class_id]),
                _percent(scores['precision'][class_id]),
            )
        )
    return '<table>{}</table>'.format('\n'.join(rows))


def _percent(share: Optional[float]) -> str:
    return '&ndash;' if share is None else '{:.1f} %'.format(100 * share)
