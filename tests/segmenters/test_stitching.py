from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucseg.segmenters.volumes import stitch_planes


def planes_of(*rows):
    """Planes of one row each."""
    return np.array(rows)[:, None, :]


def test_objects_that_overlap_enough_are_one():
    planes = planes_of([1, 1, 1, 1, 0, 2], [2, 2, 2, 0, 0, 1], [0, 1, 1, 1, 0, 0])
    expected = planes_of([1, 1, 1, 1, 0, 2], [1, 1, 1, 0, 0, 2], [0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(stitch_planes(planes, 0.5), expected)


def test_an_overlap_of_just_the_threshold_is_enough():
    planes = planes_of([1, 1, 1, 0, 0], [0, 0, 1, 1, 1])
    assert stitch_planes(planes, 0.2)[1].max() == 1
    assert stitch_planes(planes, 0.21)[1].max() == 2


def test_of_two_that_overlap_one_the_larger_overlap_goes_on():
    planes = planes_of([1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(
        stitch_planes(planes, 0.1), planes_of([1] * 6, [2, 2, 1, 1, 1, 1])
    )


def test_after_an_empty_plane_numbers_are_new():
    planes = planes_of([1, 1, 2, 2], [0, 0, 0, 0], [1, 1, 2, 2])
    expected = planes_of([1, 1, 2, 2], [0, 0, 0, 0], [3, 3, 4, 4])
    np.testing.assert_array_equal(stitch_planes(planes, 0.25), expected)


@pytest.mark.parametrize("shape", [(0, 4, 5), (1, 4, 5), (3, 4, 5)], ids=str)
def test_stacks_without_objects_stay_as_they_are(shape):
    assert stitch_planes(np.zeros(shape, np.int32), 0.25).shape == shape


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.25, 0.5]))
def test_no_object_is_split_or_lost(seed, threshold):
    planes = np.random.default_rng(seed).integers(0, 4, (4, 3, 5))
    joined = stitch_planes(planes, threshold)
    assert np.array_equal(joined > 0, planes > 0)
    for before, after in zip(planes, joined, strict=True):
        pairs = set(zip(before.ravel().tolist(), after.ravel().tolist(), strict=True))
        assert len(pairs) == len({one for one, _ in pairs})
