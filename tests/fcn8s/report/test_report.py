import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fcn8s.report.run_report import write_report
from fcn8s.saving import runs
from helpers.label_spaces import generic_label_space

SPACE = generic_label_space(2, class_names=['road', '<sky>'])
CONFIG = {
    'model': {'variant': '8s', 'num_classes': 2, 'label_space': SPACE.to_dict()},
    'versions': {'tensorflow': '1.15.5'},
}


def record(step, loss, evaluation=None):
    return {'epoch': step // 10, 'step': step, 'training_loss': loss, 'learning_rate': 1e-3, 'evaluation': evaluation}


def scores(mean_iou, loss=0.5):
    return {
        'loss': loss,
        'mean_iou': mean_iou,
        'accuracy': 0.75,
        'per_class_iou': np.array([mean_iou, np.nan]),
        'per_class_accuracy': np.array([0.5, np.nan]),
        'precision': np.array([0.25, np.nan]),
    }


class Page(HTMLParser):
    """Collects the text and the drawn lines, and that every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.lines, self.references = [], '', {}, []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.references += [value for name, value in attributes.items() if name in ('src', 'href')]
        if tag == 'polyline':
            points = [tuple(float(part) for part in point.split(',')) for point in attributes['points'].split()]
            self.lines.setdefault(attributes['stroke'], []).append(np.array(points))
        if tag != 'meta':
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + ' '


@pytest.fixture
def run(tmp_path):
    return runs.create_run(str(tmp_path / 'first & only'), CONFIG)


def report(run, records):
    runs.write_metrics(run, records)
    with open(write_report(run.directory), encoding='utf-8') as file:
        return Page(file.read())


def test_curves_scores_and_settings_on_one_page(run):
    page = report(run, [record(10, 2.0), record(20, 1.0, scores(0.25)), record(40, 0.5, scores(0.5))])
    assert 'first & only' in page.text and 'TensorFlow 1.15.5' in page.text
    assert 'mean IoU 50.00 % (best 50.00 %)' in page.text and 'Classes, at step 40' in page.text
    assert '<sky>' in page.text and '50.0 %' in page.text and '25.0 %' in page.text
    assert '"variant": "8s"' in page.text
    assert page.references == []


def test_points_are_where_their_numbers_say(run):
    page = report(run, [record(10, 2.0), record(20, 1.0, scores(0.25)), record(40, 0.5, scores(0.5))])
    (x10, y2), (x20, y1), (x40, y05) = page.lines['#2f6db3'][0]
    assert (x40 - x20) == pytest.approx(2 * (x20 - x10), abs=0.2)
    assert (y05 - y1) == pytest.approx((y1 - y2) / 2, abs=0.2) and y05 > y1 > y2  # downwards on the screen is less


def test_scores_that_are_not_known_are_left_out(run):
    page = report(run, [record(10, 1.0, scores(float('nan'), float('nan'))), record(20, 1.0, scores(0.5))])
    assert [len(line) for line in page.lines['#c8553d']] == [1] and re.search('mean IoU 50.00 %', page.text)
    page = report(run, [record(10, 1.0, scores(float('nan')))])
    assert 'mean IoU' not in page.text.split('Classes')[0].split('TensorFlow')[0]


def test_a_run_that_was_not_evaluated_or_has_not_begun(run):
    page = report(run, [record(10, 0.0)])
    assert 'Classes, at step' not in page.text and '1 epochs so far' in page.text
    assert '0 epochs so far' in report(run, []).text


def test_what_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no run directory'):
        write_report(str(tmp_path))
