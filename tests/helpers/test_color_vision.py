import numpy as np
import pytest

from helpers.color_vision import as_seen, color_blind_colors, with_palette
from helpers.label_spaces import CITYSCAPES, LABEL_SPACES


def smallest_distance(colors):
    """The two most similar colours, in the worst of the three visions, in CIELAB."""
    seen = as_seen(np.array(colors, float))
    return min(
        np.linalg.norm(seen[vision, i] - seen[vision, j])
        for vision in range(3)
        for i in range(len(colors))
        for j in range(i)
    )


@pytest.mark.parametrize('count, at_least', [(2, 60), (8, 30), (19, 17), (32, 11)])
def test_colours_stay_apart_for_everybody(count, at_least):
    colors = color_blind_colors(count)
    assert colors.dtype == np.uint8 and len({tuple(color) for color in colors}) == count
    assert smallest_distance(colors) >= at_least


def test_the_colours_of_cityscapes_do_not():
    assert smallest_distance(CITYSCAPES.colors) < 5 < smallest_distance(with_palette(CITYSCAPES, 'color-blind').colors)


def test_as_seen_knows_what_is_known():
    black, white, grey = as_seen(np.array([[0, 0, 0], [255, 255, 255], [128, 128, 128]]))[0]
    np.testing.assert_allclose(black, 0, atol=0.01)
    np.testing.assert_allclose(white, [100, 0, 0], atol=0.1)
    np.testing.assert_allclose(grey, [53.59, 0, 0], atol=0.1)
    red_green = as_seen(np.array([[190, 60, 30], [100, 110, 20]]))
    apart = np.linalg.norm(red_green[:, 0] - red_green[:, 1], axis=-1)
    assert apart[2] < apart[0] / 2  # what deuteranopia is


def test_only_colours_change_and_255_classes_have_some():
    space = with_palette(CITYSCAPES, 'color-blind')
    assert space._replace(colors=CITYSCAPES.colors) == CITYSCAPES
    assert with_palette(CITYSCAPES, 'dataset') is CITYSCAPES
    assert len({tuple(color) for color in color_blind_colors(255)}) == 255
    assert len(with_palette(LABEL_SPACES['ade20k'], 'color-blind').color_to_id) == 150


def test_refuses_an_unknown_palette():
    with pytest.raises(ValueError, match="palette is 'pretty'; choose from dataset, color-blind"):
        with_palette(CITYSCAPES, 'pretty')
