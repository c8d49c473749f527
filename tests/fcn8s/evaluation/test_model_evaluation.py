"""The scoring part of the graph behind a toy network, against numpy on whole images."""

import types

import numpy as np
import pytest
from slow_resizing import slow_resize

from fcn8s.backend import tf
from fcn8s.evaluation.boundaries import BoundaryTotals, measure_image
from fcn8s.evaluation.evaluate import attach_scorer, evaluate_model, evaluate_predictions
from fcn8s.graph import scoring
from fcn8s.graph.scoring import attach_scoring
from helpers.label_spaces import generic_label_space

CLASSES = generic_label_space(3)
KEYS = ('loss', 'accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou', 'per_class_iou', 'confusion_matrix')


@pytest.fixture()
def model():
    """A network whose logits are the colour channels, divided by 40: three classes."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.uint8, [None, None, None, 3])
        logits = tf.cast(images, tf.float32) / 40.0
    with tf.Session(graph=graph) as session:
        yield types.SimpleNamespace(
            graph=graph,
            images=images,
            logits=logits,
            label_space=CLASSES,
            run=lambda fetches, feed=None: session.run(fetches, feed),
        )


def batches(sizes=((6, 8),) * 3, scale=1, num_images=2, seed=0):
    rng = np.random.RandomState(seed)
    return [
        (
            rng.randint(256, size=(num_images, h, w, 3)).astype(np.uint8),
            rng.choice([0, 1, 2, 255], size=(num_images, h * scale, w * scale)).astype(np.uint8),
        )
        for h, w in sizes
    ]


def evaluate(model, data, num_batches, label_space, predict=None, with_calibration=False, temperature=1.0, **options):
    if predict is not None:
        calibration = dict(with_calibration=with_calibration, temperature=temperature)
        return evaluate_predictions(predict, label_space, data, num_batches, **calibration, **options)
    scorer = attach_scorer(model.images, model.logits, label_space, with_calibration, temperature)
    return evaluate_model(model.run, scorer, data, num_batches, **options)


def slow_evaluation(data, num_classes=3):
    """Confusion matrix, mean loss, and (confidence, correct) of each valid pixel."""
    confusion, losses, confidences = np.zeros((num_classes, num_classes), np.int64), [], []
    for images, labels in data:
        for image, label in zip(images, labels):
            logits = slow_resize(image / 40.0, *label.shape)
            soft_max = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
            for place in zip(*np.nonzero(label != 255)):
                predicted = np.argmax(logits[place])
                confusion[label[place], predicted] += 1
                losses.append(-np.log(soft_max[place][label[place]]))
                confidences.append((soft_max[place].max(), predicted == label[place]))
    return confusion, np.mean(losses), confidences


@pytest.mark.parametrize('scale', [1, 3])
def test_scores_at_the_size_of_the_ground_truth(model, scale):
    data = batches(scale=scale)
    scores = evaluate(model, iter(data), 3, CLASSES).scores
    confusion, loss, _ = slow_evaluation(data)
    np.testing.assert_array_equal(scores['confusion_matrix'], confusion)
    assert scores['loss'] == pytest.approx(loss, rel=1e-5)


def test_images_of_different_sizes_one_by_one(model):
    data = batches(sizes=((6, 8), (3, 11), (1, 1)), scale=2, num_images=1)
    np.testing.assert_array_equal(
        evaluate(model, data, 3, CLASSES).scores['confusion_matrix'], slow_evaluation(data)[0]
    )


def test_batch_size_changes_nothing(model):
    together = batches(sizes=((6, 8),), num_images=6)
    apart = [(images[np.newaxis], labels[np.newaxis]) for images, labels in zip(*together[0])]
    first, second = [evaluate(model, data, len(data), CLASSES) for data in (together, apart)]
    for key in KEYS:
        np.testing.assert_allclose(first.scores[key], second.scores[key], rtol=1e-12)
    for ours, theirs in zip(first.image_counts, second.image_counts):
        np.testing.assert_array_equal(ours, theirs)


def test_pixels_per_class_of_each_image(model):
    data = batches()
    counts = evaluate(model, data, 3, CLASSES).image_counts
    images = [([image], [label]) for images, labels in data for image, label in zip(images, labels)]
    for number, image in enumerate(images):
        confusion = slow_evaluation([image])[0]
        np.testing.assert_array_equal(counts.true_positives[number], np.diag(confusion))
        np.testing.assert_array_equal(counts.false_positives[number], confusion.sum(axis=0) - np.diag(confusion))
        np.testing.assert_array_equal(counts.false_negatives[number], confusion.sum(axis=1) - np.diag(confusion))


def test_fed_probabilities_score_as_the_network_does(model):
    def predict(image):
        exponentials = np.exp(image.astype(np.float64) / 40.0)
        return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)

    data = batches(sizes=((6, 8), (5, 5)))
    plain, fed = [
        evaluate(model, data, 2, CLASSES, predict=how, with_calibration=True).scores for how in (None, predict)
    ]
    for key in KEYS + ('expected_calibration_error',):
        np.testing.assert_allclose(fed[key], plain[key], rtol=1e-5)


def soft_max_at(temperature):
    def predict(image):
        exponentials = np.exp(image.astype(np.float64) / 40.0 / temperature)
        return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)

    return predict


@pytest.mark.parametrize('predict', [None, soft_max_at(1.0)])
def test_a_temperature_changes_how_sure_the_network_is_and_no_class(model, predict):
    data = batches(sizes=((6, 8), (5, 5)))
    plain, scaled = [
        evaluate(model, data, 2, CLASSES, predict, True, temperature=temperature).scores for temperature in (1.0, 1.7)
    ]
    expected = evaluate(model, data, 2, CLASSES, soft_max_at(1.7), True).scores
    assert abs(scaled['loss'] - plain['loss']) > 0.1
    for key in KEYS + ('expected_calibration_error', 'bin_counts'):
        np.testing.assert_allclose(scaled[key], expected[key], rtol=1e-4)
    # What fits is about the network, whatever temperature it is scored at.
    assert scaled['fitted_temperature'] == plain['fitted_temperature'] > 1
    np.testing.assert_array_equal(scaled['confusion_matrix'], plain['confusion_matrix'])


def test_a_temperature_is_fitted_to_valid_pixels_of_a_grid(model, monkeypatch):
    monkeypatch.setattr(scoring, '_SAMPLED_PIXELS', 12.0)  # of 12 x 16 pixels: steps of 5
    void = CLASSES._replace(name='with void', void_class_ids=(2,))
    images, labels = batches(sizes=((12, 16),))[0]
    with_grid = attach_scoring(model.logits, void, with_calibration=True)
    feed = {model.images: images, with_grid.labels: labels}
    logits, truth, class_ids = model.run(tuple(with_grid.sampled_pixels), feed)
    taken = labels[:, ::5, ::5]
    counted = taken < 2
    np.testing.assert_array_equal(truth, taken[counted])
    expected = images[:, ::5, ::5][counted] / 40.0
    np.testing.assert_allclose(logits, expected, rtol=1e-6)
    np.testing.assert_array_equal(class_ids, expected.argmax(axis=-1))


def test_probabilities_of_zero_have_a_finite_loss(model):
    images, labels = np.zeros((1, 1, 2, 3), np.uint8), np.array([[[0, 1]]], np.uint8)
    scores = evaluate(model, [(images, labels)], 1, CLASSES, predict=lambda _: np.array([[[0, 0.25, 0.75]] * 2])).scores
    assert scores['loss'] == pytest.approx(-(np.log(np.finfo(np.float32).tiny) + np.log(0.25)) / 2, rel=1e-6)


def test_fed_classes_are_those_of_the_largest_probability_to_the_last_bit(model):
    """Neighbouring float32 numbers have logarithms that are equal in float32."""
    rng = np.random.RandomState(0)
    first = rng.uniform(0.3, 0.5, size=(40, 50)).astype(np.float32)
    probabilities = np.stack([first, np.nextafter(first, np.float32(1)), 1 - 2 * first], axis=-1)
    labels = rng.randint(3, size=(1, 40, 50)).astype(np.uint8)
    scores = evaluate(
        model, [(labels[..., np.newaxis].repeat(3, axis=-1), labels)], 1, CLASSES, predict=lambda _: probabilities
    ).scores
    np.testing.assert_array_equal(
        scores['confusion_matrix'].sum(axis=0), np.bincount(probabilities.argmax(axis=-1).ravel(), minlength=3)
    )


def test_calibration_on_request(model):
    data = batches(scale=2)
    scores = evaluate(model, data, 3, CLASSES, with_calibration=True).scores
    pixels, error = slow_evaluation(data)[2], 0.0
    for b in range(15):
        inside = [pixel for pixel in pixels if b < pixel[0] * 15 <= b + 1]
        if inside:
            error += abs(np.sum([correct for _, correct in inside]) - np.sum([confidence for confidence, _ in inside]))
    assert scores['expected_calibration_error'] == pytest.approx(error / len(pixels), rel=1e-4)
    assert scores['bin_counts'].sum() == len(pixels)
    assert 'expected_calibration_error' not in evaluate(model, data, 3, CLASSES).scores


@pytest.mark.parametrize('workers', [1, 3])
def test_boundaries_on_request(model, workers):
    data = batches(sizes=((12, 16),) * 5, num_images=3)
    scores = evaluate(model, data, 5, CLASSES, with_boundaries=True, workers=workers).scores
    totals = BoundaryTotals(CLASSES)
    for images, labels in data:
        for image, label in zip(images, labels):
            totals.add(measure_image(label, image.argmax(axis=-1), CLASSES))
    for key, expected in totals.summarize().items():
        np.testing.assert_array_equal(scores[key], expected)
    assert 'boundary_f1' not in evaluate(model, data, 5, CLASSES).scores


def test_void_classes_count_for_the_loss_and_no_score(model):
    void = CLASSES._replace(name='with void', void_class_ids=(0,))
    model.label_space = void
    data = batches()
    scores = evaluate(model, data, 3, void, with_calibration=True).scores
    confusion, loss, _ = slow_evaluation(data)
    assert np.isnan(scores['per_class_iou'][0])
    assert scores['loss'] == pytest.approx(loss, rel=1e-5)
    assert scores['bin_counts'].sum() == confusion[1:].sum()
    assert scores['accuracy'] == pytest.approx((confusion[1, 1] + confusion[2, 2]) / confusion[1:].sum())


def test_ignored_pixels_change_nothing_whatever_the_network_says_there(model):
    images, labels = batches(sizes=((6, 8),))[0]
    labels[:, :2] = 255
    changed = images.copy()
    changed[:, :2] = 255 - changed[:, :2]
    first, second = [
        evaluate(model, [(pixels, labels)], 1, CLASSES, with_calibration=True).scores for pixels in (images, changed)
    ]
    for key in KEYS + ('expected_calibration_error',):
        np.testing.assert_array_equal(first[key], second[key])


def test_an_evaluation_does_not_remember_the_one_before(model):
    scorer = attach_scorer(model.images, model.logits, CLASSES, with_calibration=True)
    first, again = [evaluate_model(model.run, scorer, batches(), 3).scores for _ in range(2)]
    np.testing.assert_array_equal(first['confusion_matrix'], again['confusion_matrix'])
    np.testing.assert_array_equal(first['bin_counts'], again['bin_counts'])


def test_an_empty_dataset_has_no_scores(model):
    evaluation = evaluate(model, [], 0, CLASSES, with_boundaries=True, with_calibration=True)
    for key in ('loss', 'mean_iou', 'mean_boundary_f1', 'expected_calibration_error'):
        assert np.isnan(evaluation.scores[key])
    assert evaluation.image_counts.true_positives.shape == (0, 3)


@pytest.mark.parametrize('label_id', [3, 200])
def test_refuses_ground_truth_of_another_id_space(model, label_id):
    images, labels = batches()[0]
    labels[-1, -1, -1] = label_id
    with pytest.raises(ValueError, match='1 of .* valid pixels have ground truth IDs that are no classes'):
        evaluate(model, [(images, labels)], 1, CLASSES)


def test_refuses_no_threads(model):
    with pytest.raises(ValueError, match='0 threads to measure boundaries .* take 1 or more'):
        evaluate(model, batches(), 3, CLASSES, workers=0)


def test_no_saver_writes_the_head(model):
    before = len(model.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES))
    attach_scoring(model.logits, CLASSES, with_calibration=True)
    assert len(model.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)) == before


@pytest.mark.parametrize(
    'returned, message',
    [
        (
            lambda image: image[..., 0],
            r'returned the shape \(6, 8\) for an image; it has to be the soft-max \[h, w, 3\]',
        ),
        (lambda image: np.full(image.shape[:2] + (4,), 0.25), r'returned the shape \(6, 8, 4\)'),
        (lambda image: None, r'returned the shape \(\) for an image'),
        (lambda image: image / 40.0, 'add up to 1, as predict.* Of logits take the soft-max first'),
        (lambda image: np.full(image.shape, np.nan), 'The probabilities begin at nan'),
    ],
)
def test_what_is_no_soft_max_is_not_scored(returned, message):
    """NaN would count as class 0, and the confidences of logits as any."""
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(returned, CLASSES, batches(), 3, with_calibration=True)


def test_what_is_no_function_predicts_nothing(model):
    with pytest.raises(
        ValueError, match=r'predict is of the type SimpleNamespace; .* such as Predictor\(model.predict'
    ):
        evaluate_predictions(model, CLASSES, batches(), 3)


def one_hot(labels):
    return (labels[..., np.newaxis] == np.arange(3)).astype(np.float32)


def test_one_hot_labels_are_scored_as_their_class_ids():
    def predict(image):
        return np.eye(3, dtype=np.float32)[image[..., 0] % 3]

    data = batches()
    found, expected = [
        evaluate_predictions(predict, CLASSES, given, 3, with_boundaries=True).scores
        for given in ([(images, one_hot(labels)) for images, labels in data], data)
    ]
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize('wrong', [-1, 3, 256, 0.7])
def test_labels_of_other_classes_are_not_scored(wrong):
    """The uint8 placeholder would take -1 for 255, which is ignored."""
    images = np.zeros((1, 2, 2, 3), np.uint8)
    labels = np.full((1, 2, 2), wrong)
    with pytest.raises(
        ValueError, match='labels hold the IDs .{}., but the network has the classes 0 to 2'.format(wrong)
    ):
        evaluate_predictions(lambda image: image, CLASSES, [(images, labels)], 1)


def test_batches_of_another_label_space_are_not_scored():
    class Batches(list):
        label_space = generic_label_space(4)

    with pytest.raises(ValueError, match='4 classes, ignoring 255.*3 classes, ignoring 255'):
        evaluate_predictions(lambda image: image, CLASSES, Batches(batches()), 3)
