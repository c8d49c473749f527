"""The mean of several networks' soft-max, against the mean by hand."""

import numpy as np
import pytest

from fcn8s.prediction.ensemble import Ensemble
from helpers.image_rules import ImageRules
from helpers.label_spaces import LABEL_SPACES, generic_label_space


class MadeUp:
    """A network with the interface of `InferenceGraph` whose soft-max is known."""

    precision, engine = 'float32', 'tensorflow'

    def __init__(self, seed, label_space=None, image_rules=None):
        self.label_space = label_space or generic_label_space(3)
        self.image_rules = image_rules or ImageRules()
        self.model_dir = 'network-{}'.format(seed)
        self.is_closed = False
        values = np.random.RandomState(seed).rand(2, 4, 5, 3).astype(np.float32)
        self.soft_max = values / values.sum(axis=-1, keepdims=True)

    def predict(self, images, argmax=True):
        assert not argmax, 'class IDs cannot be averaged'
        return self.soft_max[: len(images)]

    def close(self):
        self.is_closed = True


def test_the_mean_of_the_soft_max_decides():
    models = [MadeUp(seed) for seed in (1, 2, 3)]
    images = np.zeros([2, 4, 5, 3], np.uint8)
    before = models[0].soft_max.copy()
    with Ensemble(models) as ensemble:
        probabilities, class_ids = ensemble.predict(images, argmax=False), ensemble.predict(images)
    expected = np.mean([model.soft_max.astype(np.float64) for model in models], axis=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert probabilities.dtype == np.float32 and class_ids.dtype == np.uint8
    np.testing.assert_array_equal(class_ids, expected.argmax(axis=-1))
    assert any((model.soft_max.argmax(axis=-1) != class_ids).any() for model in models)
    np.testing.assert_array_equal(models[0].soft_max, before)
    assert all(model.is_closed for model in models)


@pytest.mark.parametrize('count', [1, 2])
def test_each_network_sees_the_images_of_an_iterator(count):
    images = np.zeros([count, 4, 5, 3], np.uint8)
    with Ensemble([MadeUp(1), MadeUp(2)]) as ensemble:
        np.testing.assert_array_equal(ensemble.predict(iter(images)), ensemble.predict(images))
        with pytest.raises(ValueError, match='Pass a single image as'):
            ensemble.predict(images[0])


def test_names_come_from_the_network_that_has_some():
    named = generic_label_space(3, class_names=['a', 'b', 'c'])
    ensemble = Ensemble([MadeUp(1), MadeUp(2, named)])
    assert ensemble.label_space == named and ensemble.num_classes == 3
    assert (ensemble.precision, ensemble.model_dir) == ('float32', 'network-1 + network-2')


@pytest.mark.parametrize(
    'first, other, message',
    [
        ({}, {'label_space': generic_label_space(4)}, 'network-1 has 3 classes, and network-2 4. Leave one'),
        ({}, {'label_space': generic_label_space(3, ignore_id=7)}, 'network-1 has the ignore ID 255, and network-2 7'),
        (
            {'label_space': generic_label_space(3, class_names=['a', 'b', 'c'])},
            {'label_space': generic_label_space(3, class_names=['a', 'x', 'c'])},
            "network-1 has 'b' as class 1, and network-2 'x'",
        ),
        (
            {'label_space': LABEL_SPACES['cityscapes20']},
            {'label_space': LABEL_SPACES['cityscapes20']._replace(void_class_ids=())},
            r'network-1 has the void classes \(0,\), and network-2 \(\)',
        ),
        ({}, {'image_rules': ImageRules(4)}, 'network-1 has channels 3 as a rule for images, and network-2 4'),
        ({}, {'image_rules': ImageRules(bands=(3, 2, 1))}, 'network-1 has bands None as a rule'),
    ],
)
def test_networks_that_differ_are_refused_and_closed(first, other, message):
    models = [MadeUp(1, **first), MadeUp(2, **other)]
    with pytest.raises(ValueError, match=message):
        Ensemble(models)
    assert all(model.is_closed for model in models)


def test_networks_of_another_kind_are_refused():
    class Other:
        is_closed = False

        def close(self):
            self.is_closed = True

    opened, other = MadeUp(1), Other()
    with pytest.raises(ValueError, match='models holds Other; open each network with fcn8s.open_model'):
        Ensemble([opened, other])
    assert opened.is_closed and not other.is_closed, 'a network in training would be lost'


@pytest.mark.parametrize(
    'models, message',
    [
        (['runs/a', 'runs/b'], "models holds 'runs/a', 'runs/b'; open each network with fcn8s.open_model"),
        ([1], 'models holds int; open each'),
        ('runs/a', "models is 'runs/a'; it has to be a list of open networks"),
        (None, 'models is NoneType; it has to be a list'),
        (MadeUp(1), 'models is MadeUp; it has to be a list'),
    ],
)
def test_what_is_no_list_of_networks_is_refused(models, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(models)


def test_none_is_refused():
    with pytest.raises(ValueError, match='models is empty; it has to hold one or more'):
        Ensemble([])
