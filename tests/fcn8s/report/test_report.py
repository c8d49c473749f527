import json
import os
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from made_up_evaluations import CONFIG, HOSTILE, SPACE, evaluated, pair, record, scores

from fcn8s.evaluation.calibration import summarize_calibration
from fcn8s.report.charts import HEIGHT, LEFT, Curve, bar_chart, line_chart
from fcn8s.report.observations import risk_against_coverage
from fcn8s.report.page import browser_data, css_color, encoded_pictures
from fcn8s.report.pictures import KeptPictures, Pictures, make_pictures, not_counted_color
from fcn8s.report.run_report import write_report
from fcn8s.saving import runs
from helpers.color_vision import color_blind_colors, with_palette
from helpers.label_spaces import LABEL_SPACES, generic_label_space
from helpers.spool import Spool


class Page(HTMLParser):
    """Collects the text and the drawn lines, and that every tag is closed."""

    EMPTY = ('meta', 'line', 'circle', 'rect', 'polyline')

    def __init__(self, page):
        super().__init__()
        self.source, self.open, self.text, self.lines, self.references, self.scripts = page, [], '', {}, [], 0
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.references += [
            value for name, value in attributes.items() if name in ('src', 'href') and not value.startswith('#')
        ]
        assert not any(name.startswith('on') for name in attributes)
        self.scripts += tag == 'script'
        if tag == 'polyline':
            points = [tuple(float(part) for part in point.split(',')) for point in attributes['points'].split()]
            self.lines.setdefault(attributes['stroke'], []).append(np.array(points))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ('script', 'style'):
            self.text += re.sub(r'\s+', ' ', data) + ' '


@pytest.fixture
def run(tmp_path):
    return runs.create_run(str(tmp_path / 'first & only'), CONFIG)


def report(run, records, *arguments, **options):
    if os.path.exists(run.metrics_path):
        os.unlink(run.metrics_path)
    for epoch in records:
        runs.append_metrics(run, epoch)
    with open(write_report(run.directory, *arguments, **options), encoding='utf-8') as file:
        return Page(file.read())


def data_of(page):
    return json.loads(re.search('<script type="application/json" id="data">(.*?)</script>', page.source, re.S).group(1))


def test_pictures_are_found_again_whether_they_are_in_memory_or_in_a_file(monkeypatch):
    monkeypatch.setattr(Spool, 'IN_MEMORY', 40)
    kept, made = KeptPictures(), [Pictures(*(bytes([number] * (part + 1)) for part in range(4))) for number in range(9)]
    for number, pictures in enumerate(made):
        kept.append(pictures)
        assert kept[number // 2] == made[number // 2]
    assert list(kept) == made and len(kept) == 9


def test_curves_scores_and_settings_on_one_page(run):
    page = report(run, [record(10, 2.0), record(20, 1.0, scores(0.25)), record(40, 0.5, scores(0.5))])
    assert 'first & only' in page.text and 'TensorFlow 1.15.5' in page.text
    assert 'mean IoU while training 50.00 % (best 50.00 %)' in page.text and 'Classes, at step 40' in page.text
    assert '<sky>' in page.text and '50.0 %' in page.text and '25.0 %' in page.text
    assert '"variant": "8s"' in page.text
    assert page.references == []


def test_points_are_where_their_numbers_say(run):
    page = report(run, [record(10, 2.0), record(20, 1.0, scores(0.25)), record(40, 0.5, scores(0.5))])
    (x10, y2), (x20, y1), (x40, y05) = page.lines['#0072b2'][0]
    assert (x40 - x20) == pytest.approx(2 * (x20 - x10), abs=0.2)
    assert (y05 - y1) == pytest.approx((y1 - y2) / 2, abs=0.2) and y05 > y1 > y2  # downwards on the screen is less


def test_both_axes_of_a_curve_are_named(run):
    page = report(run, [record(10, 2.0), record(20, 1.0, scores(0.25))])
    for name in ('step', 'loss', 'score', 'rate'):
        assert '>{}</text>'.format(name) in page.source
    named = re.findall('<text transform="rotate\\(-90\\)" x="(.*?)" y="(.*?)"', page.source)
    assert named and all(-HEIGHT < float(x) < 0 < float(y) < LEFT for x, y in named)


def test_negative_losses_stay_on_the_canvas(run):
    page = report(run, [record(10, 2.0), record(20, -1.0), record(30, -3.0)])
    points = page.lines['#0072b2'][0]
    assert (points[:, 1] >= 12).all() and (points[:, 1] <= 300 - 46).all()
    assert points[1, 1] - points[0, 1] == pytest.approx(1.5 * (points[2, 1] - points[1, 1]), abs=0.2)


def test_a_loss_that_was_not_recorded_is_left_out(run):
    page = report(run, [record(10, 2.0), record(20, None), record(30, 1.0)])
    assert len(page.lines['#0072b2'][0]) == 2


def test_scores_that_are_not_known_are_left_out(run):
    page = report(run, [record(10, 1.0, scores(float('nan'), float('nan'))), record(20, 1.0, scores(0.5))])
    assert [len(line) for line in page.lines['#d55e00']] == [1, 2] and 'mean IoU while training 50.00 %' in page.text
    page = report(run, [record(10, 1.0, scores(float('nan')))])
    assert 'mean IoU while' not in page.text


def test_a_run_that_was_not_evaluated_or_has_not_begun(run):
    page = report(run, [record(10, 0.0)])
    assert 'Classes, at step' not in page.text and '1 epoch so far' in page.text
    assert '0 epochs so far' in report(run, []).text
    runs.update_config(run, {'train': {'epochs': 2}})
    assert 'classes, 1 of 2 epochs' in report(run, [record(10, 0.0)]).text
    assert '3 epochs so far' in report(run, [record(10 * epoch, 0.0) for epoch in (1, 2, 3)]).text


def test_equal_networks_differ_by_nothing(run):
    page = report(run, [], evaluated(), evaluated())
    assert '0.00 to 0.00' in page.text and '+0.00' not in page.text and '-0.00' not in page.text


def test_the_classes_of_a_training_are_in_the_list_of_contents_and_its_only_curve_is_named(run):
    page = report(run, [record(10, 2.0, scores(0.5)), record(20, 1.0)])
    assert page.source.count('href="#classes"') == page.source.count('id="classes"') == 1
    page = report(run, [record(10, 2.0), record(20, 1.0)])
    assert '>training</text>' in page.source and 'href="#classes"' not in page.source
    assert page.source.count('>rate</text>') == 1  # the name of the axis


@pytest.mark.parametrize(
    'highest, texts',
    [
        (1.0, ['0', '0.2', '0.4', '0.6', '0.8', '1.0']),
        (0.00012, ['0', '2e-5', '4e-5', '6e-5', '8e-5', '10e-5', '12e-5']),
        (0.0012, ['0', '0.0002', '0.0004', '0.0006', '0.0008', '0.0010', '0.0012']),
        (60.0, ['0', '10', '20', '30', '40', '50', '60']),
        (12e6, ['0', '2e6', '4e6', '6e6', '8e6', '10e6', '12e6']),
    ],
)
def test_numbers_at_an_axis_are_written_alike(highest, texts):
    chart = line_chart('t', [Curve('a', '#000', [(1, highest)])], 'x', 'y', y_limits=(0.0, highest))
    assert [tick.text for tick in chart.y_ticks] == texts


def test_bars_in_per_cent_have_an_axis_in_per_cent():
    chart = bar_chart('t', ['a', 'b'], [0.25, 1.0], '', 'mean IoU')
    assert [tick.text for tick in chart.y_ticks] == ['0', '20', '40', '60', '80', '100']
    assert chart.y_label == 'mean IoU, %' and chart.y_ticks[-1].position == chart.bars[1].y


def test_what_is_no_run_gets_no_report(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no run directory'):
        write_report(str(tmp_path))
    (tmp_path / 'config.json').write_text('{"model": "bert"}')  # of another program
    with pytest.raises(ValueError, match='is no run directory: its config.json is of another program'):
        write_report(str(tmp_path))
    (tmp_path / 'config.json').write_text('{"versions": {}}')
    with pytest.raises(ValueError, match='config.json is damaged: it does not say model'):
        write_report(str(tmp_path))


def test_records_that_say_little_and_settings_that_say_little_are_shown(run):
    runs.update_config(run, {'model': {'label_space': SPACE.to_dict()}, 'versions': {}})
    page = report(run, [{'step': 1}, {'step': 2, 'evaluation': {'mean_iou': 0.5, 'per_class_iou': [0.25]}}])
    assert 'FCN-?, ? classes, 2 epochs so far' in page.text and 'TensorFlow ?' in page.text
    assert '25.0 %' in page.text


@pytest.mark.parametrize(
    'space', [[], 'ab', {}, {'class_names': 'ab', 'colors': []}, {'class_names': ['a'], 'colors': []}]
)
def test_settings_without_classes_are_refused(run, space):
    runs.update_config(run, {'model': dict(CONFIG['model'], label_space=space)})
    with pytest.raises(
        ValueError, match='config.json is damaged: it does not say the names and colours of the classes'
    ):
        write_report(run.directory)


def test_colours_that_are_markup_are_grey(run):
    assert css_color([255, 0, 16]) == '#ff0010'
    for color in (
        '<script>',
        [1, 2],
        [0, 0, 256],
        [0, -1, 0],
        ['"><script>', 0, 0],
        None,
        7,
        [[1], 2, 3],
        [float('inf'), 0, 0],
    ):
        assert css_color(color) == '#808080'
    hostile = dict(SPACE.to_dict(), colors=[['</style><script>alert(1)</script>', 0, 0]] * 4)
    runs.update_config(run, {'model': dict(CONFIG['model'], label_space=hostile)})
    page = report(run, [record(10, 1.0, scores(0.5))])
    assert page.scripts == 2 and '#808080' in page.source


def test_the_classes_of_a_training_are_in_the_colours_of_the_palette(run):
    page = report(run, [record(10, 1.0, scores(0.5))], palette='color-blind')
    for color in with_palette(SPACE, 'color-blind').colors:
        assert 'background:#{:02x}{:02x}{:02x}'.format(*color) in page.source


def test_a_class_whose_name_cannot_be_seen_has_its_number(run):
    shown = evaluated()
    page = report(run, [], shown._replace(label_space=SPACE._replace(class_names=('', ' ', 'sky', 'void'))))
    assert 'class 0' in page.text and data_of(page)['classes'][:3] == ['class 0', 'class 1', 'sky']


def test_names_are_text_and_never_markup(run):
    page = report(run, [record(10, 1.0, scores(0.5))], evaluated(), evaluated(seed=9, title=HOSTILE), command=HOSTILE)
    assert page.scripts == 2 and HOSTILE not in page.source and HOSTILE in page.text
    assert page.references == [] and data_of(page)['classes'][2] == HOSTILE
    assert "default-src 'none'" in page.source


def test_an_evaluation_is_shown_with_intervals_and_images(run):
    first = evaluated()
    page = report(run, [], first, resamples=50)
    data = data_of(page)
    mean = 100 * first.evaluation.scores['mean_iou']
    assert '{:.2f} %'.format(mean) in page.text and '50 bootstrap resamples' in page.text
    assert data['galleries']['all']['worst'] == sorted(range(5), key=lambda n: first.evaluation.rows[n].mean_iou)
    assert sorted(data['pictures']) == list('01234') and len(data['pictures']['0']) == 4
    np.testing.assert_array_equal(data['matrix'], first.evaluation.scores['confusion_matrix'])
    for title in ('Mean IoU by size', 'by distance to a boundary', 'Risk against coverage'):
        assert title in page.text


def test_one_image_has_no_interval(run):
    text = report(run, [], evaluated(count=1), evaluated(count=1, seed=9)).text
    assert text.count('one image: no interval') == 4 and ' to ' not in text.split('Confusions')[1].split('Curves')[0]
    assert 'resample' not in text and 'higher' not in text and 'lower' not in text
    assert 'one image' not in report(run, [], evaluated(count=2)).text


def test_no_reliability_without_a_pixel(run):
    first = evaluated()
    for pixels in (0, 1):
        counts = np.array([pixels] * 2)
        first.evaluation.scores.update(summarize_calibration(counts, counts, 0.5 * counts))
        assert ('Reliability' in report(run, [], first).text) == bool(pixels)


def test_headings_are_printed_on_every_page(run):
    # Chromium leaves buttons out where it repeats the head of a table; their text alone it repeats.
    printed = report(run, [], evaluated()).source.split('@media print')[1]
    assert 'th button { display: contents; }' in printed.splitlines()[0]


def test_each_confusion_knows_the_images_with_most_of_it():
    first = evaluated()
    cells = browser_data(first)['cells']
    for key, entries in cells.items():
        truth, predicted = map(int, key.split(','))
        pixels = []
        for number in range(5):
            labels, answer = pair(number)
            pixels.append(int(((labels == truth) & (answer == predicted)).sum()))
        assert [entry[1] for entry in entries] == sorted([n for n in pixels if n], reverse=True)
        assert all(pixels[image] == count for image, count in entries)
    assert cells


def test_doubts_name_the_place_and_both_classes():
    first = evaluated()
    doubts = browser_data(first)['doubts']
    assert doubts
    for doubt in doubts:
        labels, answer = pair(doubt['image'])
        top, left, bottom, right = doubt['box']
        inside = (labels == doubt['label']) & (answer == doubt['predicted'])
        assert inside[top:bottom, left:right].any() and doubt['size'] == [40, 60]


def test_two_models_side_by_side(run):
    first, second = evaluated(), evaluated(seed=9)
    page = report(run, [], first, second, resamples=50)
    data = data_of(page)
    differences = [a.mean_iou - b.mean_iou for a, b in zip(first.evaluation.rows, second.evaluation.rows)]
    assert data['changed']['gained'] == [
        n for n in sorted(range(5), key=lambda n: -differences[n]) if differences[n] > 0
    ]
    assert data['changed']['lost'] == [n for n in sorted(range(5), key=lambda n: differences[n]) if differences[n] < 0]
    total = first.evaluation.scores['mean_iou'] - second.evaluation.scores['mean_iou']
    assert '{:+.2f}'.format(100 * total) in page.text and len(data['pictures']['0']) == 5


def test_pictures_stop_at_the_limit():
    seen = evaluated().observations
    sizes = [sum(len(part) for part in pictures) for pictures in seen.pictures]
    assert list(encoded_pictures([3, 1, 3, 0], seen, limit=sizes[3] + sizes[1])) == ['3', '1']


def test_risk_against_coverage_is_that_of_sorted_pixels():
    rng = np.random.RandomState(0)
    levels, right = rng.randint(4, size=200), rng.rand(200) < 0.7
    points = risk_against_coverage(np.bincount(levels, minlength=6), np.bincount(levels[right], minlength=6))
    for (coverage, risk), level in zip(points, (3, 2, 1, 0)):
        assert coverage == (levels >= level).mean()
        assert risk == pytest.approx(1 - right[levels >= level].mean())
    assert len(points) == 4 and risk_against_coverage(np.zeros(3, int), np.zeros(3, int)) == []


def test_pixels_are_counted_by_confidence():
    seen = evaluated(count=1).observations
    labels, predicted = pair(0)
    valid = (labels != 255) & (labels != 3)
    assert seen.confidence_counts.sum() == seen.confidence_counts[375] == valid.sum()
    assert seen.confidence_correct[375] == (labels == predicted)[valid].sum()


def test_pixels_of_an_ignored_id_above_255_do_not_count_in_pictures():
    space = generic_label_space(60, ignore_id=300)  # 300 - 256 is class 44
    labels = np.array([[300, 44]])
    pictures = make_pictures(np.zeros((1, 2, 3), np.uint8), labels, np.array([[3, 3]]), space)
    truth, error = (cv2.imdecode(np.frombuffer(part, np.uint8), 1)[0, :, ::-1] for part in (pictures[1], pictures[3]))
    void = not_counted_color(space)
    assert [tuple(color) for color in truth] == [void, space.colors[44]]
    assert [tuple(color) for color in error] == [void, (213, 94, 0)]


@pytest.mark.parametrize('name', ['camvid', 'cityscapes', 'voc', 'ade20k'])
def test_what_does_not_count_has_a_colour_of_no_class(name):
    space = LABEL_SPACES[name]
    void = not_counted_color(space)
    classes = np.concatenate([space.colors, color_blind_colors(space.class_names, space.colors)])
    assert abs(classes - np.array(void)).max(axis=1).min() >= 20
    assert not_counted_color(space._replace(class_names=('x',) * space.num_classes)) == void


@pytest.mark.parametrize('channels', [1, 2, 3, 5])
def test_images_of_any_channels_have_pictures(channels):
    labels, predicted = pair(0)
    image = np.full(labels.shape + (channels,), 200, np.uint8)
    pictures = make_pictures(image, labels, predicted, SPACE)
    shown = [cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for part in pictures]
    assert abs(shown[0].astype(int) - 200).max() <= 4
    for place in ((0, 0), (15, 25), (39, 59)):
        is_void = labels[place] in (3, 255)
        assert tuple(shown[2][place]) == SPACE.colors[predicted[place]] or predicted[place] == 3
        right = (222, 226, 230) if labels[place] == predicted[place] else (213, 94, 0)
        expected = not_counted_color(SPACE) if is_void else right
        assert tuple(shown[3][place]) == expected
