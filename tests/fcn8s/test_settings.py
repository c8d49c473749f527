import json

import numpy as np
import pytest

from fcn8s.settings import (
    PAPER_SKIP_SCALES,
    UNIT_SKIP_SCALES,
    ModelSettings,
    check_num_classes,
    new_model_settings,
    resolve_label_space,
)
from helpers.label_spaces import CAMVID, CITYSCAPES


def test_settings_survive_json():
    settings = ModelSettings(CITYSCAPES, '16s', 'bilinear', (1e-4, 0.25))
    assert ModelSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert settings.to_dict()['num_classes'] == 19


def test_skip_scales_follow_the_optimizer_unless_given():
    assert new_model_settings(2).skip_scales == UNIT_SKIP_SCALES
    assert new_model_settings(2, optimizer='sgd').skip_scales == PAPER_SKIP_SCALES
    assert new_model_settings(2, optimizer='sgd', skip_scales=[1, 0.5]).skip_scales == (1.0, 0.5)
    with pytest.raises(ValueError, match=r'skip_scales is \(1, 0.5\), and an FCN-32s has no skips. Leave it out'):
        new_model_settings(2, variant='32s', skip_scales=(1, 0.5))


def test_label_spaces_from_what_was_given():
    assert resolve_label_space(3, None, None).class_names == ('class 0', 'class 1', 'class 2')
    assert resolve_label_space(3, None, 7).ignore_id == 7
    assert resolve_label_space(None, CAMVID, None) == CAMVID
    assert resolve_label_space(11, CAMVID, 0).ignore_id == 0


@pytest.mark.parametrize('num_classes', [2, 255, np.int64(19), 19.0])
def test_numbers_of_classes(num_classes):
    assert check_num_classes(num_classes) == num_classes and type(check_num_classes(num_classes)) is int


@pytest.mark.parametrize('num_classes', [True, 0, 1, 256, -3, 2.5, '19', 'many', [19]])
def test_what_is_no_number_of_classes(num_classes):
    with pytest.raises(ValueError, match='it has to be an integer from 2 to 255'):
        check_num_classes(num_classes)


@pytest.mark.parametrize('ignore_id', [-1, 256, 2.5, True, 'void'])
def test_what_is_no_ignore_id(ignore_id):
    with pytest.raises(ValueError, match='labels are uint8, so it has to be an integer from 0 to 255'):
        resolve_label_space(3, None, ignore_id)


@pytest.mark.parametrize(
    'skip_scales', [1.0, (1.0,), (1, 2, 3), ('a', 1), (1, float('inf')), (-1, 1), (1, float('nan'))]
)
def test_what_are_no_skip_scales(skip_scales):
    with pytest.raises(ValueError, match='skip_scales is'):
        new_model_settings(2, skip_scales=skip_scales)
