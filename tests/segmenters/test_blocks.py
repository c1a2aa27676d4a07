"""Labels of blocks that are joined are those of the image in one piece."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucseg.metrics.ignoring import without_border
from napari_nucseg.segmenters.blocks import join_blocks, plan_blocks
from napari_nucseg.segmenters.splitting import drop_small, number_in_raster_order

LARGEST = 7
"""Edge of the largest object that is drawn, px."""


def draw(rng, shape, objects):
    """Draw objects of any form, in one piece or several, over one another."""
    labels = np.zeros(shape, dtype=np.int32)
    for number in range(1, objects + 1):
        edges = rng.integers(1, LARGEST + 1, len(shape))
        at = [rng.integers(0, max(1, n - e + 1)) for n, e in zip(shape, edges, strict=True)]
        box = tuple(slice(a, a + e) for a, e in zip(at, edges, strict=True))
        labels[box][rng.random(labels[box].shape) < 0.8] = number
    return number_in_raster_order(labels)


def joined(whole, size, overlap, seed=0, **how):
    """Cut labels into blocks, number each block's anew, and join them."""
    rng = np.random.default_rng(seed)
    blocks = plan_blocks(whole.shape, size, overlap)
    seen = {}
    for block in blocks:
        part = number_in_raster_order(whole[block.window])
        shuffled = np.append(0, 1 + rng.permutation(part.max()))
        seen[block.place] = shuffled[part]
    found = join_blocks(blocks, lambda block: seen[block.place], **how)
    labels = np.zeros(whole.shape, dtype=np.uint32)
    for block in blocks:
        core = seen[block.place][block.inside(block.core)]
        labels[block.core] = found.numbers[block.place][core]
    assert found.count == labels.max(initial=0)
    return labels


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 33), min_size=2, max_size=3),
    st.integers(LARGEST, 23),
    st.integers(0, 60),
)
def test_labels_of_blocks_are_those_of_the_whole(seed, shape, size, objects):
    rng = np.random.default_rng(seed)
    whole = draw(rng, shape, objects)
    sizes = [int(rng.integers(LARGEST, size + 1)) + 4 * (len(shape) > 2) for _ in shape]
    np.testing.assert_array_equal(joined(whole, sizes, [LARGEST] * len(shape), seed), whole)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(LARGEST, 23))
def test_small_nuclei_and_those_on_the_border_are_dropped_by_what_they_are_as_a_whole(seed, size):
    whole = draw(np.random.default_rng(seed), (50, 61), 60)
    cut = [size] * 2, [LARGEST] * 2, seed
    np.testing.assert_array_equal(joined(whole, *cut, min_size=12), drop_small(whole, 12))
    expected = number_in_raster_order(without_border(whole))
    np.testing.assert_array_equal(joined(whole, *cut, exclude_on_edges=True), expected)


def test_a_volume_has_no_border_before_its_first_plane():
    whole = np.zeros((8, 20, 20), dtype=np.int32)
    whole[0, 8:12, 8:12], whole[3, 0, 4] = 1, 2
    found = joined(whole, (4, 10, 10), (4, 7, 7), exclude_on_edges=True)
    np.testing.assert_array_equal(found, whole == 1)


@pytest.mark.parametrize("length", range(1, 70))
def test_blocks_cover_the_image_once_and_reach_beyond_by_the_overlap(length):
    shape, size = (length, 33), (16, 32)
    covered = np.zeros(shape, dtype=int)
    for block in plan_blocks(shape, size, (8, 16), align=8):
        covered[block.core] += 1
        for core, window, end, beyond in zip(block.core, block.window, shape, (8, 16), strict=True):
            assert window.start == max(core.start - beyond, 0)
            assert window.stop == min(core.stop + beyond, end)
            assert window.start % 8 == 0
    assert (covered == 1).all()


def test_objects_that_neighbours_see_otherwise_stay_two():
    blocks = plan_blocks((10, 20), (10, 10), (5, 5))
    left, right = (np.zeros((10, 15), dtype=np.int32) for _ in blocks)
    left[2:8, 4:12] = 1  # reaches beyond the seam by two
    right[0:3, 5:9] = 1  # of which the neighbour knows little
    seen = {(0, 0): left, (0, 1): right}
    found = join_blocks(blocks, lambda block: seen[block.place])
    assert found.count == 2


def test_an_image_without_nuclei_has_none():
    blocks = plan_blocks((30, 30), (10, 10), (5, 5))
    found = join_blocks(
        blocks, lambda block: np.zeros([s.stop - s.start for s in block.window], int)
    )
    assert found.count == 0
    assert set(found.numbers) == set(product(range(3), range(3)))


def test_blocks_that_are_smaller_than_their_overlap_are_refused():
    with pytest.raises(ValueError, match="choose blocks of 8 px or more"):
        plan_blocks((30, 30), (6, 6), (8, 8))
