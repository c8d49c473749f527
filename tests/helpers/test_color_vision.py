import cv2
import numpy as np
import pytest
from thorough import ran_once

from helpers import color_vision
from helpers.color_vision import as_seen, ciede2000, color_blind_colors, color_distances, with_palette
from helpers.label_spaces import CAMVID, CITYSCAPES, LABEL_SPACES, generic_label_space

# Pairs of CIELAB colours and their CIEDE2000: Sharma, Wu, Dalal, "The CIEDE2000 Color-Difference Formula", table 1.
PUBLISHED = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0009), 7.1792),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
    ((50, -0.0010, 2.4900), (50, 0.0009, -2.4900), 4.8045),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((35.0831, -44.1164, 3.7933), (35.0232, -40.0716, 1.5901), 1.8645),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize('first, second, expected', PUBLISHED)
def test_distances_are_the_published_ones(first, second, expected):
    for a, b in ((first, second), (second, first)):
        assert ciede2000(np.array(a, float), np.array(b, float)) == pytest.approx(expected, abs=5e-5)


def distances_of(space):
    """Of every two classes, in the worst of the three visions: pair by pair, from OpenCV's CIELAB."""
    linear = (np.array(space.colors) / 255.0 + 0.055) / 1.055
    linear = np.where(np.array(space.colors) <= 0.04045 * 255, np.array(space.colors) / 255 / 12.92, linear**2.4)
    found = np.full((space.num_classes,) * 2, np.inf)
    for matrix in (np.eye(3), color_vision.PROTANOPIA, color_vision.DEUTERANOPIA):
        seen = np.clip([matrix.dot(color) for color in linear], 0, 1).astype(np.float32)
        lab = cv2.cvtColor(seen[np.newaxis], cv2.COLOR_LRGB2Lab)[0].astype(float)
        for i in range(space.num_classes):
            for j in range(i):
                found[i, j] = found[j, i] = min(found[i, j], float(ciede2000(lab[i], lab[j])))
    return found


# As far as so many colours allow: what a dichromat sees is a surface, and 19 colours share it.
@ran_once
@pytest.mark.parametrize(
    'name, at_least', [('kitti_road', 80), ('camvid', 18), ('cityscapes', 12), ('voc', 11), ('camvid32', 8)]
)
def test_every_two_classes_stay_apart_for_everybody(name, at_least):
    space = with_palette(LABEL_SPACES[name], 'color-blind')
    assert distances_of(space).min() >= at_least
    if name == 'cityscapes':
        assert distances_of(CITYSCAPES).min() < 3 < color_distances(np.array(space.colors), np.zeros((1, 3))).min() / 4


@ran_once
@pytest.mark.parametrize('space', [CITYSCAPES, CAMVID], ids=lambda space: space.name)
def test_classes_that_touch_each_other_are_furthest_apart(space):
    found = distances_of(with_palette(space, 'color-blind'))
    names = [{'tree': 'vegetation', 'sign': 'traffic sign'}.get(name, name) for name in space.class_names]
    for pair, at_least in (
        (('road', 'sidewalk'), 45),
        (('building', 'vegetation'), 45),
        (('sky', 'vegetation'), 45),
        (('road', 'car'), 40),
        (('pole', 'building'), 40),
    ):
        assert found[names.index(pair[0]), names.index(pair[1])] >= at_least, pair


def test_as_seen_knows_what_is_known():
    black, white, grey = as_seen(np.array([[0, 0, 0], [255, 255, 255], [128, 128, 128]]))[0]
    np.testing.assert_allclose(black, 0, atol=0.01)
    np.testing.assert_allclose(white, [100, 0, 0], atol=0.1)
    np.testing.assert_allclose(grey, [53.59, 0, 0], atol=0.1)
    red_green = as_seen(np.array([[190, 60, 30], [100, 110, 20]]))
    apart = np.linalg.norm(red_green[:, 0] - red_green[:, 1], axis=-1)
    assert apart[2] < apart[0] / 2  # what deuteranopia is


@ran_once
def test_only_colours_change_and_255_classes_have_some():
    space = with_palette(CITYSCAPES, 'color-blind')
    assert space._replace(colors=CITYSCAPES.colors) == CITYSCAPES
    assert with_palette(CITYSCAPES, 'dataset') is CITYSCAPES
    assert len(set(with_palette(generic_label_space(255), 'color-blind').colors)) == 255
    assert len(with_palette(LABEL_SPACES['ade20k'], 'color-blind').color_to_id) == 150
    assert color_blind_colors(['one'], [(1, 2, 3)]).shape == (1, 3)
    many = generic_label_space(800)
    assert len(with_palette(many, 'color-blind').colors) == 800


def test_refuses_an_unknown_palette():
    with pytest.raises(ValueError, match="palette is 'pretty'; choose from dataset, color-blind"):
        with_palette(CITYSCAPES, 'pretty')
