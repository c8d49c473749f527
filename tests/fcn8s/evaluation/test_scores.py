"""Scores against the Cityscapes script itself, against loops over pixels, and the refusals."""

import io

import numpy as np
import pytest
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official  # noqa: N813 - a module
from cityscapesscripts.helpers.labels import category2labels, id2label
from PIL import Image

from fcn8s.backend import tf
from fcn8s.evaluation import scores
from fcn8s.graph.scoring import build_totals
from helpers.label_spaces import CITYSCAPES, CITYSCAPES20, LabelSpace, generic_label_space

NUM_IDS = 34
NO_LABEL = 255
ALL_IDS = LabelSpace(
    name='labelIds',
    class_names=tuple(id2label[i].name for i in range(NUM_IDS)),
    colors=tuple(id2label[i].color for i in range(NUM_IDS)),
    ignore_id=NO_LABEL,
    void_class_ids=tuple(i for i in range(NUM_IDS) if id2label[i].ignoreInEval),
    categories=tuple(id2label[i].category for i in range(NUM_IDS)),
)


def random_maps(count, seed):
    """(ground truth, prediction) in labelIds: few classes each, so that most are absent; some of nothing but void."""
    rng = np.random.RandomState(seed)
    for number in range(count):
        truth_ids = rng.choice(NUM_IDS, size=rng.randint(1, 7), replace=False)
        predicted_ids = np.append(rng.choice(truth_ids, size=2), rng.choice(NUM_IDS, size=rng.randint(1, 4)))
        if number % 50 == 0:
            truth_ids = rng.choice(ALL_IDS.void_class_ids, size=2)
        yield (
            rng.choice(truth_ids, size=(6, 9)).astype(np.uint8),
            rng.choice(predicted_ids, size=(6, 9)).astype(np.uint8),
        )


def as_png(ids):
    file = io.BytesIO()
    Image.fromarray(ids).save(file, 'png')
    file.seek(0)
    return file


@pytest.fixture(scope='module')
def official_args():
    args = official.CArgs()
    vars(args).update(vars(official.args))
    # Scores per instance need instance maps and are none of ours.
    args.evalInstLevelScore = False
    return args


def official_confusion(truth, predicted, args):
    confusion = official.generateMatrix(args)
    official.evaluatePair(as_png(predicted), as_png(truth), confusion, {}, {}, args)
    return confusion


def official_scores(confusion, args):
    classes = {label: official.getIouScoreForLabel(label, confusion, args) for label in args.evalLabels}
    categories = {name: official.getIouScoreForCategory(name, confusion, args) for name in category2labels}
    return (classes, official.getScoreAverage(classes, args), categories, official.getScoreAverage(categories, args))


def assert_official(result, class_ids_of, confusion, args):
    """`class_ids_of`: our class ID by labelId."""
    classes, mean_iou, categories, mean_category_iou = official_scores(confusion, args)
    for label_id, expected in classes.items():
        if label_id in class_ids_of:
            np.testing.assert_allclose(result['per_class_iou'][class_ids_of[label_id]], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result['mean_iou'], mean_iou, rtol=0, atol=1e-12)
    for name, value in result['category_iou'].items():
        np.testing.assert_allclose(value, categories[name], rtol=0, atol=1e-12)
    assert set(result['category_iou']) == set(categories) - {'void'}
    np.testing.assert_allclose(result['mean_category_iou'], mean_category_iou, rtol=0, atol=1e-12)


def test_thousands_of_maps_score_as_in_the_cityscapes_script(official_args):
    for truth, predicted in random_maps(1000, seed=0):
        expected = official_confusion(truth, predicted, official_args)
        confusion = scores.count_confusion(truth, predicted, NUM_IDS, NO_LABEL)
        np.testing.assert_array_equal(confusion[:, :-1], expected)
        assert confusion[:, -1].sum() == 0
        result = scores.summarize(confusion, np.nan, truth.size, ALL_IDS)
        assert_official(result, {i: i for i in range(NUM_IDS)}, expected, official_args)


def test_the_matrix_in_the_graph_is_that_of_the_cityscapes_script_to_the_last_bit(official_args):
    pairs = list(random_maps(1000, seed=1))
    with tf.Graph().as_default() as graph:
        truth, predicted = tf.placeholder(tf.uint8, [None] * 3), tf.placeholder(tf.uint8, [None] * 3)
        metrics = build_totals(truth, predicted, tf.zeros(tf.shape(truth)), tf.not_equal(truth, NO_LABEL), NUM_IDS)
    with tf.Session(graph=graph) as session:
        stacked = [np.stack(maps) for maps in zip(*pairs)]
        image_confusions, total = session.run(
            (metrics.image_confusions, metrics.confusion_matrix), dict(zip((truth, predicted), stacked))
        )
    for confusion, pair in zip(image_confusions, pairs):
        np.testing.assert_array_equal(confusion, official_confusion(*pair, args=official_args))
    np.testing.assert_array_equal(total, image_confusions.sum(axis=0))


@pytest.mark.parametrize('label_space', [CITYSCAPES, CITYSCAPES20], ids=lambda space: space.name)
def test_training_classes_score_as_in_the_cityscapes_script(label_space, official_args):
    to_class = np.full(NUM_IDS, label_space.void_class_ids[0] if label_space.void_class_ids else NO_LABEL, np.uint8)
    class_ids_of = {}
    for class_id, label_id in enumerate(label_space.file_ids):
        if class_id not in label_space.void_class_ids:
            to_class[label_id] = class_id
            class_ids_of[label_id] = class_id
    for truth, predicted in random_maps(300, seed=2):
        expected = official_confusion(truth, predicted, official_args)
        confusion = scores.count_confusion(to_class[truth], to_class[predicted], label_space.num_classes, NO_LABEL)
        result = scores.summarize(confusion, np.nan, np.sum(to_class[truth] != NO_LABEL), label_space)
        assert_official(result, class_ids_of, expected, official_args)


def slow_scores(truth, predicted, num_classes, void, ignore_id):
    """All scores from sets of pixels, without a confusion matrix."""
    pairs = [(t, p) for t, p in zip(truth.flat, predicted.flat) if t != ignore_id and t not in void]
    iou, accuracy, precision, frequency = [], [], [], []
    for c in range(num_classes):
        is_true = {i for i, (t, _) in enumerate(pairs) if t == c}
        is_predicted = {i for i, (_, p) in enumerate(pairs) if p == c and c not in void}
        both = len(is_true & is_predicted)
        iou.append(both / len(is_true | is_predicted) if is_true | is_predicted else np.nan)
        accuracy.append(both / len(is_true) if is_true else np.nan)
        precision.append(both / len(is_predicted) if is_predicted else np.nan)
        frequency.append(len(is_true) / len(pairs) * iou[-1] if is_true else 0.0)
    return {
        'per_class_iou': iou,
        'per_class_accuracy': accuracy,
        'recall': accuracy,
        'precision': precision,
        'mean_iou': np.nanmean(iou),
        'mean_accuracy': np.nanmean(accuracy),
        'frequency_weighted_iou': sum(frequency),
        'accuracy': np.mean([t == p for t, p in pairs]),
    }


def example(seed=0, num_classes=6):
    """Class 4 never occurs, class 5 is only predicted, class 0 is void, 255 is ignored and predicted too."""
    rng = np.random.RandomState(seed)
    truth = rng.choice([0, 1, 2, 3, 255], size=(8, 9)).astype(np.uint8)
    predicted = rng.choice([0, 1, 2, 3, 5, 255], size=(8, 9)).astype(np.uint8)
    return truth, predicted, generic_label_space(num_classes)._replace(void_class_ids=(0,))


def summarize(truth, predicted, label_space):
    confusion = scores.count_confusion(truth, predicted, label_space.num_classes, label_space.ignore_id)
    return scores.summarize(confusion, 3.0, int(np.sum(truth != label_space.ignore_id)), label_space)


@pytest.mark.parametrize('seed', range(5))
def test_scores_equal_sets_of_pixels(seed):
    truth, predicted, label_space = example(seed)
    result = summarize(truth, predicted, label_space)
    for key, expected in slow_scores(truth, predicted, 6, {0}, 255).items():
        np.testing.assert_allclose(result[key], expected, rtol=1e-12, err_msg=key)
    assert result['loss'] == 3.0 / np.sum(truth != 255)
    assert result['category_iou'] == {}
    assert np.isnan(result['mean_category_iou'])


def test_every_score_key_is_there():
    assert set(summarize(*example())) == {
        'loss',
        'accuracy',
        'mean_accuracy',
        'mean_iou',
        'frequency_weighted_iou',
        'per_class_iou',
        'per_class_accuracy',
        'precision',
        'recall',
        'category_iou',
        'mean_category_iou',
        'confusion_matrix',
    }


def test_relabelling_classes_permutes_the_table():
    truth, predicted, label_space = example()
    order = np.array([0, 3, 5, 1, 2, 4])
    to_new = np.append(order, np.full(250, 255)).astype(np.uint8)
    before, after = summarize(truth, predicted, label_space), summarize(to_new[truth], to_new[predicted], label_space)
    for key in ('per_class_iou', 'per_class_accuracy', 'precision', 'recall'):
        np.testing.assert_array_equal(after[key][order], before[key])
    np.testing.assert_array_equal(after['confusion_matrix'][order][:, np.append(order, 6)], before['confusion_matrix'])
    for key in ('mean_iou', 'accuracy', 'frequency_weighted_iou', 'mean_accuracy'):
        assert after[key] == pytest.approx(before[key], rel=1e-14)


def test_splitting_the_images_changes_nothing():
    truth, predicted, label_space = example()
    parts = sum(
        scores.count_confusion(truth[rows], predicted[rows], 6) for rows in (slice(0, 1), slice(1, 5), slice(5, 8))
    )
    np.testing.assert_array_equal(parts, summarize(truth, predicted, label_space)['confusion_matrix'])


def test_adding_ignored_pixels_changes_nothing():
    truth, predicted, label_space = example()
    padded = [np.pad(ids, 3, 'constant', constant_values=value) for ids, value in ((truth, 255), (predicted, 2))]
    before, after = summarize(truth, predicted, label_space), summarize(*padded, label_space=label_space)
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


def test_a_perfect_prediction_scores_one():
    truth = example()[0]
    result = summarize(truth, truth, generic_label_space(6))
    np.testing.assert_array_equal(result['per_class_iou'], [1, 1, 1, 1, np.nan, np.nan])
    assert result['mean_iou'] == result['accuracy'] == result['frequency_weighted_iou'] == 1.0


def test_an_empty_dataset_has_no_scores():
    result = scores.summarize(np.zeros((19, 19), np.int64), 0.0, 0, CITYSCAPES)
    for key in ('loss', 'accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou', 'mean_category_iou'):
        assert np.isnan(result[key]), key
    assert np.isnan(result['per_class_iou']).all()


def test_counts_beyond_float_precision_stay_integers():
    confusion = np.array([[2**53 + 1, 0], [0, 1]], np.int64)
    assert scores.count_classes(confusion).true_positives[0] == 2**53 + 1


def test_a_class_of_one_pixel_counts_by_its_frequency():
    counts = scores.count_classes(np.array([[1, 0], [0, 9]]))
    assert scores.frequency_weighted_iou(counts) == 1


def test_the_matrix_that_came_is_left_as_it_was():
    confusion = np.ones((3, 3), np.int64)
    scores.count_classes(confusion, void_class_ids=(0,))
    assert confusion.sum() == 9
    found = scores.summarize(confusion, 1.0, 9, generic_label_space(3))
    confusion[:] = 0
    assert found['confusion_matrix'].sum() == 9


@pytest.mark.parametrize(
    'confusion, message',
    [
        (np.zeros((3, 2), np.int64), r'shape \(3, 2\) came; it needs a row for each class'),
        (np.zeros(3, np.int64), r'shape \(3,\) came'),
        (np.zeros((2, 2)), 'dtype float64 came; it counts pixels and has to be of integers'),
        (np.array([[1, -2], [0, 0]]), 'entry -2 came; counts of pixels are not negative'),
    ],
)
def test_refuses_what_is_no_confusion_matrix(confusion, message):
    with pytest.raises(ValueError, match=message):
        scores.count_classes(confusion)


def test_refuses_a_matrix_of_other_classes():
    with pytest.raises(ValueError, match=r"\(3, 3\) came for the label space 'cityscapes' of 19 classes"):
        scores.summarize(np.zeros((3, 3), np.int64), 0.0, 0, CITYSCAPES)


def test_refuses_totals_with_labels_that_are_no_classes():
    with pytest.raises(ValueError, match='5 of 5 valid pixels .* no classes.*from 0 to 18, and 255 is ignored.*ID map'):
        scores.summarize(np.zeros((19, 19), np.int64), 0.0, 5, CITYSCAPES)
    with pytest.raises(ValueError, match='-1 of 5 valid pixels'):
        scores.summarize(np.array([[3, 1], [0, 2]]), 0.0, 5, generic_label_space(2))


def test_refuses_labels_of_another_id_space():
    with pytest.raises(ValueError, match=r'ground truth holds the IDs \[26, 33\], but class IDs go from 0 to 18'):
        scores.count_confusion(np.array([7, 26, 33]), np.array([0, 0, 0]), 19)


def test_refuses_predictions_of_another_id_space():
    with pytest.raises(ValueError, match=r'prediction holds the IDs \[-1, 30\]'):
        scores.count_confusion(np.array([1, 2]), np.array([-1, 30]), 19)


def test_refuses_a_prediction_of_another_size():
    with pytest.raises(ValueError, match=r'shape \(4, 4\) .* \(2, 2\).*Predict at the size of the ground truth'):
        scores.count_confusion(np.zeros((4, 4), np.uint8), np.zeros((2, 2), np.uint8), 3)


@pytest.mark.parametrize('wrong', [np.array([0.5, 1]), np.array([np.nan, 1]), np.array(['0', '1'])])
def test_ids_that_are_not_whole_are_refused(wrong):
    """Truncated, labels that were resized with interpolation would count as classes that nobody drew."""
    with pytest.raises(ValueError, match='The ground truth is of the dtype .*class IDs are whole.*resize_labels'):
        scores.count_confusion(wrong, np.array([0, 1]), 2)
    with pytest.raises(ValueError, match='The prediction is of the dtype'):
        scores.count_confusion(np.array([0, 1]), wrong, 2)


def test_whole_numbers_of_any_type_are_ids():
    expected = scores.count_confusion(np.array([0, 1, 255]), np.array([0, 0, 1]), 2)
    found = scores.count_confusion(np.array([0.0, 1.0, 255.0]), np.array([False, False, True]), 2)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    'score',
    [
        scores.intersection_over_union,
        scores.recall,
        scores.precision,
        scores.pixel_accuracy,
        scores.frequency_weighted_iou,
        scores.mean_iou,
    ],
)
def test_scores_of_a_matrix_say_how_it_is_counted(score):
    matrix = np.array([[3, 1], [0, 4]])
    with pytest.raises(ValueError, match=r'counts is of the type ndarray.*scores.count_classes\(matrix\)'):
        score(matrix)
    assert np.isfinite(score(scores.count_classes(matrix))).all()


def test_a_class_that_is_ignored_has_no_score():
    """Where it is predicted, a pixel of another class is missed, and nothing else is wrong."""
    space = generic_label_space(3, ignore_id=0)
    truth, predicted = np.array([[0, 1, 1, 2]]), np.array([[0, 0, 1, 2]])
    matrix = scores.count_confusion(truth, predicted, 3, 255)[:, :3]
    matrix[0] = 0  # as the graph counts, which leaves ignored pixels out
    found = scores.summarize(matrix, 0.0, 3, space)
    assert found['mean_iou'] == 0.75 == scores.mean_iou(scores.count_classes(matrix, space.void_class_ids))
    assert generic_label_space(3, ignore_id=3).void_class_ids == ()
