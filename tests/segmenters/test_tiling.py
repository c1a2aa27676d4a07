from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucseg.segmenters.tiling import tile_starts


@st.composite
def edges(draw):
    """Length of an edge, size of a tile and least overlap."""
    size = draw(st.integers(1, 400))
    return draw(st.integers(1, 5000)), size, draw(st.integers(0, size - 1))


@given(edges())
def test_the_tiles_cover_the_edge_and_end_with_it(edge):
    length, size, overlap = edge
    starts = tile_starts(length, size, overlap)
    covered = np.zeros(max(length, size), bool)
    for start in starts:
        covered[start : start + size] = True
    assert covered.all()
    assert starts[0] == 0
    assert starts[-1] + size == max(length, size)


@given(edges())
def test_neighbours_share_at_least_the_overlap(edge):
    length, size, overlap = edge
    steps = np.diff(tile_starts(length, size, overlap))
    assert (steps <= size - overlap).all()


@given(edges())
def test_one_tile_less_would_not_do(edge):
    length, size, overlap = edge
    fewer = len(tile_starts(length, size, overlap)) - 1
    reach = size + (fewer - 1) * (size - overlap) if fewer else 0
    assert reach < length


@given(edges())
def test_the_tiles_are_evenly_spread(edge):
    steps = np.diff(tile_starts(*edge))
    assert steps.size == 0 or np.ptp(steps) <= 1


@pytest.mark.parametrize(
    ("length", "starts"),
    [(1, (0,)), (256, (0,)), (257, (0, 1)), (496, (0, 240)), (497, (0, 120, 241))],
)
def test_a_tile_is_added_when_the_overlap_would_get_too_small(length, starts):
    assert tile_starts(length, 256, 16) == starts


def test_a_padded_field_of_bbbc039_takes_nine_tiles():
    assert tile_starts(544, 256, 16) == (0, 144, 288)
    assert tile_starts(720, 256, 16) == (0, 232, 464)


@pytest.mark.parametrize("overlap", [-1, 256, 300])
def test_an_impossible_overlap_is_refused(overlap):
    with pytest.raises(ValueError, match=f"cannot overlap by {overlap} px"):
        tile_starts(1000, 256, overlap)
