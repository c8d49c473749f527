import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from fcn8s.evaluation import boundaries
from helpers.label_spaces import generic_label_space

NUM_CLASSES = 4
SHAPE = (13, 17)


def neighbours(y, x, shape):
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if 0 <= y + dy < shape[0] and 0 <= x + dx < shape[1]:
            yield y + dy, x + dx


def slow_boundary(ids, ignore_id=255):
    return [
        (y, x)
        for y, x in np.ndindex(*ids.shape)
        if ids[y, x] != ignore_id
        and any(ids[place] not in (ignore_id, ids[y, x]) for place in neighbours(y, x, ids.shape))
    ]


def distance(point, points):
    return min(((point[0] - y) ** 2 + (point[1] - x) ** 2) ** 0.5 for y, x in points) if points else np.inf


def slow_trimap(labels, class_ids, width, ignore_id=255):
    boundary = slow_boundary(labels)
    confusion = np.zeros((NUM_CLASSES, NUM_CLASSES + 1), np.int64)
    for place in np.ndindex(*labels.shape):
        if labels[place] != ignore_id and distance(place, boundary) <= width:
            confusion[labels[place], class_ids[place]] += 1
    return confusion


def slow_f1(labels, class_ids, tolerance, ignore_id=255):
    cut = np.where(labels == ignore_id, ignore_id, class_ids)
    result = []
    for c in range(NUM_CLASSES):
        truth = [place for place in slow_boundary(labels) if labels[place] == c]
        predicted = [place for place in slow_boundary(cut) if cut[place] == c]
        if not truth and not predicted:
            result.append(np.nan)
            continue
        p = np.mean([distance(place, truth) <= tolerance for place in predicted]) if predicted else 0.0
        r = np.mean([distance(place, predicted) <= tolerance for place in truth]) if truth else 0.0
        result.append(2 * p * r / (p + r) if p + r else 0.0)
    return np.array(result)


def random_pair(seed):
    """Blobs, their shifted and spoilt copy, and ignored pixels; class 3 is only predicted."""
    rng = np.random.RandomState(seed)
    labels = np.kron(rng.randint(3, size=(4, 5)), np.ones((4, 4), int))[: SHAPE[0], : SHAPE[1]].astype(np.uint8)
    class_ids = np.roll(labels, rng.randint(-2, 3, size=2), axis=(0, 1))
    class_ids[rng.randint(13, size=6), rng.randint(17, size=6)] = 3
    labels[rng.randint(13, size=9), rng.randint(17, size=9)] = 255
    labels[:2, :5] = 255
    return labels, class_ids


@pytest.mark.parametrize('seed', range(4))
def test_boundary_pixels_are_those_beside_another_class(seed):
    labels, _ = random_pair(seed)
    assert [tuple(place) for place in np.argwhere(boundaries.boundary_mask(labels))] == slow_boundary(labels)


@pytest.mark.parametrize('seed', range(4))
def test_distances_are_those_to_the_nearest_boundary_pixel(seed):
    labels, _ = random_pair(seed)
    squared = boundaries.squared_distances(boundaries.boundary_mask(labels))
    expected = [distance(place, slow_boundary(labels)) ** 2 for place in np.ndindex(*SHAPE)]
    np.testing.assert_array_equal(squared.ravel(), np.rint(expected))


def test_distances_are_those_of_scipy_on_a_large_image():
    mask = np.random.RandomState(0).rand(300, 1100) < 1e-4
    np.testing.assert_array_equal(boundaries.squared_distances(mask), np.rint(distance_transform_edt(~mask) ** 2))


def test_distances_are_exact_up_to_1000_pixels():
    mask = np.zeros((20, 1001), bool)
    mask[0, 0] = True
    rows, columns = np.indices(mask.shape)
    for form in (mask, mask.tolist(), mask.astype(np.uint8)):
        np.testing.assert_array_equal(boundaries.squared_distances(form), rows**2 + columns**2)


@pytest.mark.parametrize('seed', range(4))
def test_trimaps_count_pixels_near_boundaries(seed):
    labels, class_ids = random_pair(seed)
    widths = (0, 1, 2.5, 5)
    for width, confusion in zip(widths, boundaries.trimap_confusions(labels, class_ids, NUM_CLASSES, widths)):
        np.testing.assert_array_equal(confusion, slow_trimap(labels, class_ids, width))


@pytest.mark.parametrize('tolerance', [0.0, 1.0, 2**0.5, 2.9, 5.0])
@pytest.mark.parametrize('seed', range(3))
def test_boundary_f1_is_that_of_matched_boundary_pixels(seed, tolerance):
    labels, class_ids = random_pair(seed)
    np.testing.assert_allclose(
        boundaries.boundary_f1(labels, class_ids, NUM_CLASSES, tolerance),
        slow_f1(labels, class_ids, tolerance),
        rtol=1e-14,
    )


def test_a_shift_within_the_tolerance_is_forgiven_and_one_beyond_is_not():
    labels = np.repeat([[0] * 10 + [1] * 10], 12, axis=0).astype(np.uint8)
    shifted = np.roll(labels, 2, axis=1)
    shifted[:, :2] = 0
    np.testing.assert_array_equal(boundaries.boundary_f1(labels, shifted, 2, tolerance=2.0), [1, 1])
    np.testing.assert_array_equal(boundaries.boundary_f1(labels, shifted, 2, tolerance=1.9), [0, 0])


def test_numbers_of_numpy_do_not_overflow():
    """In 8 bits, 16 times 16 is 0, and so is 255 + 1."""
    labels, class_ids = random_pair(0)
    for count in (boundaries.trimap_confusions, boundaries.distance_confusions):
        found = count(labels, class_ids, NUM_CLASSES, np.uint8([4, 16]))
        np.testing.assert_array_equal(found, count(labels, class_ids, NUM_CLASSES, [4, 16]))
    found, expected = (boundaries.boundary_f1(labels, class_ids, number, 1) for number in (np.uint8(255), 255))
    np.testing.assert_array_equal(found, expected)


def test_the_edge_of_ignored_pixels_is_no_boundary():
    labels = np.full((6, 6), 1, np.uint8)
    labels[2:4, 2:4] = 255
    assert not boundaries.boundary_mask(labels).any()
    assert boundaries.trimap_confusions(labels, labels, 2).sum() == 0
    assert np.isnan(boundaries.boundary_f1(labels, np.ones_like(labels), 2, 1.0)).all()


@pytest.mark.parametrize('dtype', [np.uint8, np.int32])
def test_an_ignored_id_beyond_the_type_of_the_prediction_makes_no_boundary(dtype):
    labels = np.repeat([[0] * 10 + [1] * 10], 12, axis=0).astype(np.uint16)
    predicted = labels.astype(dtype)
    labels[4:8, 4:16] = 300  # 44 in 8 bits
    found = boundaries.boundary_f1(labels, predicted, 60, 2.0, ignore_id=300)
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(found)), [0, 1])


def test_adding_ignored_pixels_changes_nothing():
    labels, class_ids = random_pair(0)
    padded = np.pad(labels, 4, 'constant', constant_values=255), np.pad(class_ids, 4, 'constant', constant_values=3)
    np.testing.assert_array_equal(
        boundaries.trimap_confusions(labels, class_ids, NUM_CLASSES),
        boundaries.trimap_confusions(*padded, num_classes=NUM_CLASSES),
    )
    np.testing.assert_array_equal(
        boundaries.boundary_f1(labels, class_ids, NUM_CLASSES, 2.0),
        boundaries.boundary_f1(*padded, num_classes=NUM_CLASSES, tolerance=2.0),
    )


def test_relabelling_classes_permutes_the_scores():
    labels, class_ids = random_pair(1)
    to_new = np.append([2, 0, 3, 1], np.full(252, 255)).astype(np.uint8)
    before = boundaries.boundary_f1(labels, class_ids, NUM_CLASSES, 1.0)
    after = boundaries.boundary_f1(to_new[labels], to_new[class_ids], NUM_CLASSES, 1.0)
    np.testing.assert_array_equal(after[[2, 0, 3, 1]], before)


def test_the_tolerance_is_a_share_of_the_diagonal():
    assert boundaries.tolerance_in_pixels(300, 400) == pytest.approx(3.75)


def test_totals_average_over_the_images_that_have_the_class():
    label_space = generic_label_space(NUM_CLASSES)
    pairs = [random_pair(seed) for seed in range(3)] + [(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8))]
    totals = boundaries.BoundaryTotals(label_space, widths=(1, 3))
    for labels, class_ids in pairs:
        totals.add(boundaries.measure_image(labels, class_ids, label_space, widths=(1, 3)))
    result = totals.summarize()
    f1 = np.array([slow_f1(labels, class_ids, 0.0075 * np.hypot(*SHAPE)) for labels, class_ids in pairs])
    np.testing.assert_allclose(result['boundary_f1'], np.nanmean(f1, axis=0), rtol=1e-12)
    assert result['mean_boundary_f1'] == pytest.approx(np.mean([np.nanmean(image) for image in f1[:3]]), rel=1e-12)
    for width, iou in zip((1, 3), result['trimap_iou']):
        confusion = sum(slow_trimap(labels, class_ids, width) for labels, class_ids in pairs[:3])
        for c in range(NUM_CLASSES):
            union = confusion[c].sum() + confusion[:, c].sum() - confusion[c, c]
            np.testing.assert_allclose(iou[c], confusion[c, c] / union if union else np.nan)
    np.testing.assert_allclose(result['trimap_mean_iou'], np.nanmean(result['trimap_iou'], axis=1))
    assert result['boundary_tolerance'] == 0.0075


def test_void_classes_count_as_ignored():
    labels, class_ids = random_pair(2)
    void = generic_label_space(NUM_CLASSES)._replace(void_class_ids=(1,))
    as_ignored = np.where(labels == 1, 255, labels).astype(np.uint8)
    image, expected = [boundaries.measure_image(truth, class_ids, void, (2,)) for truth in (labels, as_ignored)]
    np.testing.assert_array_equal(image.trimaps, expected.trimaps)
    np.testing.assert_array_equal(image.f1, expected.f1)
    assert np.isnan(image.f1[1])


def test_no_images_have_no_boundary_scores():
    result = boundaries.BoundaryTotals(generic_label_space(2)).summarize()
    assert np.isnan(result['mean_boundary_f1']) and np.isnan(result['boundary_f1']).all()
    assert np.isnan(result['trimap_mean_iou']).all()


def test_bands_of_distance_hold_each_pixel_once():
    rng = np.random.RandomState(5)
    labels = rng.choice([0, 1, 255], size=(4, 5)).repeat(6, axis=0).repeat(7, axis=1)
    predicted = rng.randint(3, size=labels.shape)
    found = boundaries.distance_confusions(labels, predicted, 3, (2, 5))
    edge = np.argwhere(boundaries.boundary_mask(labels))
    expected = np.zeros((3, 3, 4), int)
    for place in np.ndindex(*labels.shape):
        if labels[place] != 255:
            distance = np.sqrt(((edge - np.array(place)) ** 2).sum(axis=1).min())
            expected[int(distance > 2) + int(distance > 5), labels[place], predicted[place]] += 1
    np.testing.assert_array_equal(found, expected)


def test_without_a_boundary_everything_is_far_from_it():
    found = boundaries.distance_confusions(np.zeros((3, 4), int), np.zeros((3, 4), int), 2, (2,))
    assert found[1, 0, 0] == 12 and found.sum() == 12


@pytest.mark.parametrize(
    'labels, class_ids', [(np.zeros((4, 4), int), np.zeros((4, 3), int)), (np.zeros(4, int), np.zeros(4, int))]
)
def test_what_are_no_images_of_one_size_is_refused(labels, class_ids):
    for measure in (boundaries.trimap_confusions, boundaries.distance_confusions, boundaries.boundary_f1):
        with pytest.raises(ValueError, match=r'both have to be \[H, W\], of one image and one size'):
            measure(labels, class_ids, 2, [1.0] if measure is not boundaries.boundary_f1 else 1.0)


@pytest.mark.parametrize('wrong', [-1, np.nan, '2', None])
def test_what_is_no_distance_is_refused(wrong):
    image = np.zeros((4, 4), int)
    with pytest.raises(ValueError, match='widths is .*; it has to be of numbers of at least 0, in pixels'):
        boundaries.trimap_confusions(image, image, 2, [wrong])
    with pytest.raises(ValueError, match='tolerance is .*; it has to be of numbers of at least 0, in pixels'):
        boundaries.boundary_f1(image, image, 2, wrong)


def test_boundaries_of_several_images_at_once_are_refused():
    with pytest.raises(ValueError, match=r'IDs of the shape \(2, 4, 4\) came; they have to be \[H, W\]'):
        boundaries.boundary_mask(np.zeros((2, 4, 4), int))


def test_limits_of_bands_ascend():
    labels = np.zeros((4, 4), int)
    for limits in ((5, 2), (2, 2)):
        with pytest.raises(ValueError, match='each has to be larger than the one before'):
            boundaries.distance_confusions(labels, labels, 2, limits)
