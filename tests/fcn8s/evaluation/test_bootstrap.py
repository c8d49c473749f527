import numpy as np
import pytest

from fcn8s.evaluation import bootstrap, scores
from fcn8s.evaluation.scores import ClassCounts


def random_counts(num_images=12, num_classes=3, seed=0):
    rng = np.random.RandomState(seed)
    counts = rng.randint(0, 50, size=(3, num_images, num_classes))
    counts[:, :, 2] *= rng.rand(num_images) < 0.2  # a class that most images lack
    return ClassCounts(*counts)


def slow_mean_iou(counts, images):
    ious = []
    for c in range(counts.true_positives.shape[1]):
        tp, fp, fn = [sum(int(values[image, c]) for image in images) for values in counts]
        if tp + fp + fn:
            ious.append(tp / (tp + fp + fn))
    return np.mean(ious) if ious else np.nan


def slow_draws(num_images, num_resamples, seed=1):
    rng = np.random.RandomState(seed)
    return rng.randint(num_images, size=(num_resamples, num_images))


def test_interval_is_that_of_drawing_images_one_by_one():
    counts = random_counts()
    interval = bootstrap.mean_iou_interval(counts, num_resamples=4000)
    drawn = [slow_mean_iou(counts, images) for images in slow_draws(12, 2000)]
    assert interval.value == pytest.approx(slow_mean_iou(counts, range(12)), rel=1e-14)
    # Two Monte Carlo runs: their percentiles agree to a few per cent of the interval's width.
    width = np.percentile(drawn, 97.5) - np.percentile(drawn, 2.5)
    assert interval.low == pytest.approx(np.percentile(drawn, 2.5), abs=0.1 * width)
    assert interval.high == pytest.approx(np.percentile(drawn, 97.5), abs=0.1 * width)
    assert (interval.confidence, interval.num_images, interval.num_resamples) == (0.95, 12, 4000)


def test_paired_difference_draws_the_same_images_for_both():
    counts = random_counts()
    better = counts._replace(true_positives=counts.true_positives + 20)
    difference = bootstrap.paired_difference(better, counts, num_resamples=4000)
    drawn = [slow_mean_iou(better, images) - slow_mean_iou(counts, images) for images in slow_draws(12, 2000)]
    width = np.percentile(drawn, 97.5) - np.percentile(drawn, 2.5)
    assert difference.value == pytest.approx(slow_mean_iou(better, range(12)) - slow_mean_iou(counts, range(12)))
    assert difference.low == pytest.approx(np.percentile(drawn, 2.5), abs=0.1 * width)
    assert difference.high == pytest.approx(np.percentile(drawn, 97.5), abs=0.1 * width)


def test_a_model_against_itself_differs_by_exactly_nothing():
    difference = bootstrap.paired_difference(random_counts(), random_counts())
    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_one_image_has_an_interval_of_no_width():
    interval = bootstrap.mean_iou_interval(random_counts(num_images=1))
    assert interval.low == interval.high == interval.value


def test_equal_images_have_an_interval_of_no_width():
    counts = ClassCounts(*[np.repeat(values[:1], 9, axis=0) for values in random_counts()])
    interval = bootstrap.mean_iou_interval(counts)
    assert interval.low == pytest.approx(interval.value) and interval.high == pytest.approx(interval.value)


def test_images_without_a_valid_pixel_have_no_interval():
    interval = bootstrap.mean_iou_interval(ClassCounts(*np.zeros((3, 4, 2), np.int64)))
    assert np.isnan([interval.value, interval.low, interval.high]).all()


def test_same_seed_same_interval_and_another_seed_another():
    first, again, other = [bootstrap.mean_iou_interval(random_counts(), seed=seed) for seed in (3, 3, 4)]
    assert first == again
    assert first != other


def test_resamples_need_not_be_a_multiple_of_the_chunk():
    assert bootstrap.mean_iou_interval(random_counts(), num_resamples=307).num_resamples == 307


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'images': ClassCounts(*np.zeros((3, 0, 2), np.int64))}, r'shape \(0, 2\) came.*at least one image'),
        ({'num_resamples': 0}, 'num_resamples is 0; it has to be a whole number of at least 1. Take 1000 or more'),
        ({'confidence': 95}, 'confidence of 95 .* between 0 and 1'),
    ],
)
def test_intervals_refuse_what_cannot_be_resampled(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap.mean_iou_interval(**dict({'images': random_counts()}, **arguments))


def test_refuses_to_pair_different_images():
    with pytest.raises(ValueError, match=r'\(12, 3\).* against \(5, 3\).*same images'):
        bootstrap.paired_difference(random_counts(), random_counts(num_images=5))


def test_intervals_of_each_class_and_of_differences():
    first, second = random_counts(seed=1), random_counts(seed=2)
    found = bootstrap.score_intervals(first, scores.intersection_over_union, num_resamples=300, seed=4)
    weights = np.concatenate(list(bootstrap._draws(len(first.true_positives), 300, 4)))
    for class_id in range(first.true_positives.shape[1]):
        values = []
        for draw in weights:
            tp, fp, fn = [sum(w * int(part[i, class_id]) for i, w in enumerate(draw)) for part in first]
            if tp + fp + fn:
                values.append(tp / (tp + fp + fn))
        np.testing.assert_allclose(found.low[class_id], np.percentile(values, 2.5))
        np.testing.assert_allclose(found.high[class_id], np.percentile(values, 97.5))
    difference = bootstrap.score_intervals(first, scores.mean_iou, second, 300, 4)
    paired = bootstrap.paired_difference(first, second, 300, 4)
    np.testing.assert_allclose(
        [difference.values[0], difference.low[0], difference.high[0]], [paired.value, paired.low, paired.high]
    )


def test_a_class_that_no_image_has_has_no_interval():
    empty = scores.ClassCounts(*np.zeros((3, 4, 2), int))
    found = bootstrap.score_intervals(empty, scores.intersection_over_union, num_resamples=3)
    assert np.isnan(found.values).all() and np.isnan(found.low).all() and np.isnan(found.high).all()
