import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcn8s.prediction import tiling


@given(st.integers(1, 400), st.integers(0, 64), st.integers(32, 150))
def test_spans_cover_every_pixel_with_weights_that_add_up_to_one(length, overlap, longer):
    tile = overlap + longer
    total = np.zeros(length)
    for start, stop, weights in tiling.spans(length, tile, overlap):
        assert start % 32 == 0 and 0 <= start < stop <= length and stop - start <= tile
        assert weights.dtype == np.float32 and weights.shape == (stop - start,) and (weights > 0).all()
        total[start:stop] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(st.integers(1, 400), st.integers(0, 64), st.integers(32, 150))
def test_neighbouring_spans_overlap_as_asked(length, overlap, longer):
    found = tiling.spans(length, overlap + longer, overlap)
    for before, after in zip(found, found[1:]):
        assert before.start < after.start and before.stop - after.start >= overlap - overlap // 2


@given(st.integers(1, 2000), st.integers(62, 128), st.integers(32, 150))
def test_spans_leave_of_the_stride_what_the_whole_leaves(length, overlap, longer):
    tile = overlap + longer
    found = tiling.spans(length, tile, overlap)
    assert all((span.stop - span.start - length) % 32 == 0 for span in found)
    # As many as of the tile itself.
    step = longer // 32 * 32
    assert len(found) == 1 + max(0, -(-(-(-(length - tile) // 32) * 32) // step))


def test_one_span_where_the_tile_is_large_enough():
    (span,) = tiling.spans(100, 100, 20)
    assert span[:2] == (0, 100)
    np.testing.assert_array_equal(span.weights, 1)


def test_weights_rise_linearly_over_the_overlap():
    first, second = tiling.spans(96, 64, 32)
    assert first[:2] == (0, 64) and second[:2] == (32, 96)
    np.testing.assert_allclose(first.weights[:32], 1)
    np.testing.assert_allclose(second.weights[:32], np.arange(1, 33) / 33, atol=1e-6)
    np.testing.assert_allclose(first.weights[32:], np.arange(32, 0, -1) / 33, atol=1e-6)


def test_refuses_tiles_that_the_stride_does_not_fit_into():
    with pytest.raises(ValueError, match='tiles of 64 pixels overlap by 40; a tile has to be at least 32 pixels'):
        tiling.spans(100, 64, 40)
    with pytest.raises(ValueError, match='overlap is -1; it has to be'):
        tiling.spans(100, 64, -1)
