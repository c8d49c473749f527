import csv
import math

import numpy as np
import pytest

from fcn8s.evaluation.per_image import (
    Confusion,
    ImageScores,
    as_record,
    format_worst,
    most_costly_confusion,
    score_image,
    short_names,
    worst_first,
    write_csv,
)
from fcn8s.evaluation.scores import count_confusion
from helpers.label_spaces import generic_label_space
from helpers.tables import columns_of

SPACE = generic_label_space(4, class_names=['road', 'sky', '<b>, "car"', 'void'])._replace(void_class_ids=(3,))


def slow_iou(labels, predicted, void=(3,), num_classes=4):
    """IoU by class ID from pixels, one at a time; classes that occur nowhere are missing."""
    found = {}
    for class_id in range(num_classes):
        if class_id in void:
            continue
        both = either = 0
        for truth, answer in zip(labels.ravel(), predicted.ravel()):
            if truth == 255 or truth in void:
                continue
            both += truth == class_id and answer == class_id
            either += truth == class_id or answer == class_id
        if either:
            found[class_id] = both / either
    return found


def slow_mean(labels, predicted):
    found = slow_iou(labels, predicted)
    return sum(found.values()) / len(found)


def random_pair(seed):
    rng = np.random.RandomState(seed)
    labels = rng.choice([0, 1, 2, 3, 255], p=[0.3, 0.3, 0.1, 0.2, 0.1], size=(6, 7))
    return labels, np.where(rng.rand(6, 7) < 0.6, np.where(labels == 255, 0, labels), rng.randint(4, size=(6, 7)))


def scored(labels, predicted):
    return score_image(count_confusion(labels, predicted, 4), labels.size, SPACE)


@pytest.mark.parametrize('seed', range(4))
def test_scores_of_one_image_are_those_of_its_pixels(seed):
    labels, predicted = random_pair(seed)
    row = scored(labels, predicted)
    valid = (labels != 255) & (labels != 3)
    assert row.pixels == 42 and row.void == pytest.approx(1 - valid.mean())
    assert row.accuracy == pytest.approx((labels == predicted)[valid].mean())
    found = slow_iou(labels, predicted)
    assert row.mean_iou == pytest.approx(sum(found.values()) / len(found))
    for class_id in range(4):
        np.testing.assert_allclose(row.per_class_iou[class_id], found.get(class_id, np.nan))


@pytest.mark.parametrize('seed', range(6))
def test_the_most_costly_confusion_is_found_by_putting_each_right(seed):
    labels, predicted = random_pair(seed)
    before = slow_mean(labels, predicted)
    gains = {}
    for truth in (0, 1, 2):
        for answer in range(4):
            place = (labels == truth) & (predicted == answer)
            if truth != answer and place.any():
                mended = slow_mean(labels, np.where(place, truth, predicted))
                gains[truth, answer] = (mended - before, int(place.sum()))
    confusion = scored(labels, predicted).confusion
    best = max(gains, key=lambda pair: gains[pair][0])
    assert (confusion.truth, confusion.predicted) == best
    assert confusion.cost == pytest.approx(gains[best][0]) and confusion.pixels == gains[best][1]


def test_a_class_that_only_mistakes_had_predicted_leaves_the_mean():
    labels = np.array([[0, 0, 0, 1]])
    confusion = scored(labels, np.array([[0, 0, 2, 1]])).confusion
    assert confusion == Confusion(0, 2, 1, pytest.approx(1 - (2 / 3 + 1 + 0) / 3))


def test_a_prediction_of_the_ignored_class_costs_the_true_class_alone():
    confusion = scored(np.array([[0, 0, 1, 1]]), np.array([[0, 255, 1, 1]])).confusion
    assert confusion == Confusion(0, 4, 1, pytest.approx(1 - (0.5 + 1) / 2))


def test_the_ignored_class_is_none_whose_first_confusion_costs_more():
    assert most_costly_confusion(np.array([[0, 0, 5], [0, 7, 0]])) == Confusion(0, 2, 5, 0.5)


def test_all_right_and_nothing_but_void():
    perfect = scored(np.array([[0, 1]]), np.array([[0, 1]]))
    assert perfect.confusion is None and perfect.mean_iou == 1.0
    void = scored(np.array([[3, 255]]), np.array([[0, 1]]))
    assert void.void == 1.0 and math.isnan(void.mean_iou) and math.isnan(void.accuracy) and void.confusion is None
    assert most_costly_confusion(np.zeros((3, 3), int)) is None


def row(mean_iou, confusion=None, **fields):
    return ImageScores(100, 0.25, 0.5, mean_iou, np.array([mean_iou, np.nan, 0.125, np.nan]), confusion, **fields)


def test_the_worst_come_first_and_unscored_images_last():
    assert worst_first([row(0.5), row(math.nan), row(0.25), row(0.5)]) == [2, 0, 3, 1]


def test_csv_has_a_line_an_image_and_empty_cells_where_nothing_is_known(tmp_path):
    path = tmp_path / 'new' / 'scores.csv'
    rows = [row(0.5, Confusion(0, 2, 7, 0.1)), row(math.nan)]
    write_csv(str(path), ['a, "b".png', 'c\udcff.png'], rows, SPACE)
    with open(str(path), encoding='utf-8', errors='surrogateescape', newline='') as file:
        first, second = csv.DictReader(file)
    assert first['image'] == 'a, "b".png' and second['image'] == 'c\udcff.png'
    assert first['confused_class'] == 'road' and first['confused_with'] == '<b>, "car"'
    assert first['confused_pixels'] == '7' and float(first['confusion_cost']) == 0.1
    assert first['mean_iou'] == '0.5' and first['iou:<b>, "car"'] == '0.125' and first['iou:sky'] == ''
    assert second['mean_iou'] == '' and second['confused_class'] == '' and second['confused_pixels'] == '0'
    assert not {'iou:void', 'boundary_f1', 'confidence', 'against_mean_iou'} & set(first)


def test_no_name_in_a_csv_is_a_formula(tmp_path):
    path = tmp_path / 'scores.csv'
    space = SPACE._replace(class_names=('=1+1', '@sky', 'car', 'void'))
    write_csv(str(path), ['=cmd|x.png'], [row(0.5, Confusion(0, 1, 7, -0.1))], space)
    with open(str(path), newline='') as file:
        (only,) = csv.DictReader(file)
    assert (only['image'], only['confused_class'], only['confused_with']) == ("'=cmd|x.png", "'=1+1", "'@sky")
    assert only['confusion_cost'] == '-0.1' and only['iou:=1+1'] == '0.5'


def test_csv_has_columns_for_what_was_asked_for(tmp_path):
    path = tmp_path / 'scores.csv'
    write_csv(str(path), ['a'], [row(0.5, boundary_f1=0.75, confidence=0.875)], SPACE, [row(0.25)])
    with open(str(path), newline='') as file:
        (only,) = csv.DictReader(file)
    assert (only['boundary_f1'], only['confidence']) == ('0.75', '0.875')
    assert (only['against_mean_iou'], only['mean_iou_difference']) == ('0.25', '0.25')


def test_json_record_has_the_names_of_classes():
    record = as_record('a', row(0.5, Confusion(1, 4, 7, 0.1)), SPACE)
    assert (record['confused_class'], record['confused_with']) == ('sky', 'ignored')


def test_the_table_fits_eighty_columns_and_obeys_no_name():
    names = ['a' * 100 + '.png', 'short.png', 'x\x1b[31m.png']
    rows = [row(0.5, Confusion(0, 2, 7, 0.1)), row(0.25), row(math.nan)]
    space = SPACE._replace(class_names=('r' * 60, 'sky', 'c\n' * 30, 'void'))
    lines = format_worst(names, rows, space).splitlines()
    assert len(lines) == 5 and max(map(len, lines)) <= 80
    assert lines[2].split()[:4] == ['short', '25.0', '50.0', '25.0'] and lines[2].endswith('none')
    assert lines[3].startswith('...aaa') and lines[3].endswith('...') and '10.0: rrr' in lines[3]
    assert lines[4].startswith('x?[31m ') and '\x1b' not in lines[4]
    assert len(format_worst(names, rows, space, 1).splitlines()) == 3


def test_wide_characters_keep_the_table_within_eighty_columns():
    space = SPACE._replace(class_names=('\u9053' * 40, 'sky', 'car', 'void'))
    lines = format_worst(['\u8def' * 50, 'b'], [row(0.5, Confusion(0, 2, 7, 0.1)), row(0.25)], space).splitlines()
    assert max(map(columns_of, lines)) <= 80
    assert len({columns_of(line[: line.rindex('25.0')]) for line in lines[2:]}) == 1


def test_names_lose_what_all_of_them_share():
    names = ['val/city/a_000001_leftImg8bit.png', 'val/city/b_000001_leftImg8bit.png']
    assert short_names(names) == ['a', 'b']
    assert short_names(['x/1.png', 'y/1.png']) == ['x/1', 'y/1']
    assert short_names(['only/one.png']) == ['only/one.png'] and short_names([]) == []
    assert short_names(['a/_1.png', 'a/_1.png', 'a/1.png']) == ['_1', '_1', '1']
    assert short_names(['1_x.png', '_x.png']) == ['1_x.png', '_x.png']  # nothing would be left of the second
