import json

import numpy as np
import pytest

from fcn8s.evaluation.bootstrap import Interval
from fcn8s.evaluation.score_table import format_difference, format_scores
from fcn8s.evaluation.scores import summarize
from helpers.files import to_json
from helpers.label_spaces import generic_label_space
from helpers.tables import columns_of

CLASSES = generic_label_space(4, class_names=['void', 'road', 'sky', 'car'])._replace(void_class_ids=(0,))
CONFUSION = np.array([[5, 1, 0, 0], [0, 60, 20, 0], [0, 0, 10, 0], [0, 0, 0, 0]])
INTERVAL = Interval(0.5, 0.4, 0.6, 0.95, 12, 2000)


def scores(label_space=CLASSES):
    return summarize(CONFUSION, 24.0, 96, label_space)


def class_names(table):
    return [line.split()[0] for line in table.split('\n\n')[0].splitlines()[1:]]


def test_table_of_classes_and_means():
    lines = format_scores(scores(), CLASSES, interval=INTERVAL).splitlines()
    assert lines[0].split() == ['class', 'IoU', '%', 'accuracy', '%', 'precision', '%', 'pixels']
    assert lines[1].split() == ['road', '75.00', '75.00', '100.00', '80']
    assert lines[2].split() == ['sky', '33.33', '100.00', '33.33', '10']
    assert lines[3].split() == ['car', '-', '-', '-', '0']
    assert lines[5] == 'mean IoU                54.17 %  (95 % interval 40.00 to 60.00 %, 2000 resamples of 12 images)'
    assert lines[-1].split() == ['loss', '0.2500']
    assert len({len(line) for line in lines[:4]}) == 1


def test_long_and_wide_names_leave_the_table_within_eighty_columns():
    space = CLASSES._replace(class_names=('void', 'road ' * 40, '\u9053' * 100, 'car'))
    lines = format_scores(scores(space), space).splitlines()[:4]
    assert {columns_of(line) for line in lines} <= {79, 80} and max(map(columns_of, lines)) == 80
    assert lines[1].startswith('road road') and '...' in lines[1] and lines[3].startswith('car  ')


def test_long_names_leave_the_table_within_a_narrower_terminal(monkeypatch):
    monkeypatch.setenv('COLUMNS', '60')
    space = CLASSES._replace(class_names=('void', 'road ' * 40, 'sky', 'car'))
    assert max(map(columns_of, format_scores(scores(space), space).splitlines()[:4])) == 60


def test_one_image_has_no_interval():
    lines = format_scores(scores(), CLASSES, interval=Interval(0.5, 0.5, 0.5, 0.95, 1, 2000)).splitlines()
    assert lines[5] == 'mean IoU                54.17 %  (one image: no interval)'
    difference = format_difference(Interval(0.02, 0.02, 0.02, 0.95, 1, 2000), 'a', 'b')
    assert difference == 'mean IoU of a minus b: +2.00 points (one image: no interval)'


def test_void_classes_are_not_listed():
    assert 'void' not in format_scores(scores(), CLASSES)


@pytest.mark.parametrize(
    'sort, expected',
    [
        ('class', ['road', 'sky', 'car']),
        ('name', ['car', 'road', 'sky']),
        ('iou', ['road', 'sky', 'car']),
        ('accuracy', ['sky', 'road', 'car']),
        ('precision', ['road', 'sky', 'car']),
        ('pixels', ['road', 'sky', 'car']),
    ],
)
def test_classes_are_sorted_as_asked(sort, expected):
    assert class_names(format_scores(scores(), CLASSES, sort)) == expected


def test_refuses_another_order():
    with pytest.raises(ValueError, match="Sorting by 'size' .* one of class, name, iou"):
        format_scores(scores(), CLASSES, 'size')


def test_categories_are_listed_where_there_are_some():
    label_space = CLASSES._replace(categories=('void', 'flat', 'nature', 'vehicle'))
    table = format_scores(scores(label_space), label_space)
    assert 'category  IoU %\nflat      75.00' in table and 'mean category IoU' in table
    assert 'category' not in format_scores(scores(), CLASSES)


def test_boundaries_and_calibration_are_printed_where_they_are():
    everything = dict(
        scores(),
        boundary_f1=np.array([np.nan, 0.5, 0.25, np.nan]),
        mean_boundary_f1=0.375,
        boundary_tolerance=0.0075,
        trimap_widths=[4, 8],
        trimap_mean_iou=np.array([0.1, 0.2]),
        expected_calibration_error=0.05,
        bin_counts=np.ones(15, np.int64),
        fitted_temperature=1.2,
        cross_fitted_calibration_error=0.01,
    )
    table = format_scores(everything, CLASSES)
    assert table.splitlines()[1].split()[4] == '50.00'
    for line in (
        'mean IoU within 8 px of a boundary' + 18 * ' ' + '20.00 %',
        'mean boundary F1, tolerance 0.75 % of the diagonal  37.50 %',
        'the same, at a temperature fitted to the other half  1.00 %',
    ):
        assert line in table
    assert 'expected calibration error, 15 bins 5.00 %' in ' '.join(table.split())
    assert max(map(len, format_scores(dict(everything, fitted_temperature=0.5), CLASSES).splitlines())) <= 80
    assert 'temperature that fits all of them (--temperature) 1.20' in ' '.join(table.split())
    alone = format_scores(dict(everything, fitted_temperature=float('nan')), CLASSES)
    assert 'expected calibration error, 15 bins  5.00 %' in alone and '(--temperature)' not in alone
    assert 'no temperature is fitted: a half of the batches has no pixel that counts.\nTake a smaller --batch' in alone
    assert max(map(len, alone.splitlines())) <= 80
    nothing = dict(everything, fitted_temperature=float('nan'), expected_calibration_error=float('nan'))
    assert 'no temperature' not in format_scores(nothing, CLASSES)


def test_difference_says_which_is_better_only_when_the_interval_does():
    better = format_difference(Interval(0.02, 0.01, 0.03, 0.95, 500, 2000), 'a', 'b')
    assert better == (
        'mean IoU of a minus b: +2.00 points, 95 % interval +1.00 to +3.00 (500 images, 2000 paired '
        'resamples)\na is better on these images.'
    )
    assert 'b is better' in format_difference(Interval(-0.02, -0.03, -0.01, 0.95, 5, 9), 'a', 'b')
    assert 'includes 0' in format_difference(Interval(0.0, -0.01, 0.02, 0.95, 5, 9), 'a', 'b')


def test_images_without_a_pixel_that_counts_have_no_difference():
    nan = float('nan')
    assert format_difference(Interval(nan, nan, nan, 0.95, 5, 9), 'a', 'b') == (
        'mean IoU of a minus b: none, because no pixel of these images counts'
    )


def test_json_knows_no_nan_and_no_arrays():
    value = to_json(dict(scores(), interval=INTERVAL, count=np.int64(3)))
    read = json.loads(json.dumps(value, allow_nan=False))
    assert read['per_class_iou'] == [None, 0.75, pytest.approx(1 / 3), None]
    assert read['confusion_matrix'] == CONFUSION.tolist()
    assert read['interval']['low'] == 0.4 and read['count'] == 3
