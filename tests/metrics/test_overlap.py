"""Overlaps after an edit, and what they cost in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import Overlap, find_overlap, sum_overlaps
from napari_nucseg.metrics.score import score, score_matching
from tests.metrics.distortions import distort_all
from tests.metrics.test_matching import quick

NUMBERS = st.sampled_from([0, 0, 0, 1, 2, 3, 7, 2**31 - 1])


def same(one: Overlap, other: Overlap) -> bool:
    names = [field.name for field in fields(Overlap)]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@st.composite
def edits(draw: st.DrawFn):
    """Two label images, and the same after something was painted into a box of either."""
    shape = draw(st.sampled_from([(7, 9), (3, 4, 5), (12,)]))
    labels = [draw(arrays(np.int64, shape, elements=NUMBERS)) for _ in range(2)]
    box = tuple(slice(*sorted(draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in shape)
    edited = [side.copy() for side in labels]
    for side in edited:
        side[box] = draw(arrays(np.int64, side[box].shape, elements=NUMBERS))
    return labels, edited, box


@quick
@given(edits())
def test_counting_an_edit_alone_gives_what_counting_all_anew_gives(edit):
    before, after, box = edit
    parts = [tuple(side[box] for side in sides) for sides in (before, after)]
    updated = find_overlap(*before).updated(*parts)
    assert same(updated, find_overlap(*after))


def test_edits_of_a_real_nucleus_one_after_another_keep_the_scores_exact(bbbc039):
    from napari_nucseg.io.datasets import open_dataset

    truth = open_dataset(bbbc039, "validation").fields[7].read_truth()
    predicted = distort_all(truth)
    overlap = find_overlap(truth, predicted)
    for label in np.unique(predicted)[1:6]:
        y, x = np.nonzero(predicted == label)
        box = np.s_[y.min() : y.max() + 2, x.min() : x.max() + 1]
        edited = predicted.copy()
        edited[box][predicted[box] == label] = 0 if label % 2 else 4
        overlap = overlap.updated((truth[box], predicted[box]), (truth[box], edited[box]))
        predicted = edited
        assert score_matching(match(overlap)) == score(truth, predicted)


def test_a_part_of_other_labels_is_refused():
    labels, other = np.array([[1, 1, 0]]), np.array([[5, 5, 5]])
    overlap = find_overlap(labels, labels)
    with pytest.raises(ValueError, match="not of the labels that were counted"):
        overlap.updated((labels, other), (labels, labels))
    with pytest.raises(ValueError, match="the same part twice"):
        overlap.updated((labels, labels), (labels[:, :2], labels[:, :2]))


def test_labels_too_large_to_be_kept_are_refused():
    large = np.array([[2**63 + 1]], dtype=np.uint64)
    with pytest.raises(ValueError, match=r"prediction holds labels of 2\*\*63 and above"):
        find_overlap(np.array([[1]]), large)


def test_ten_thousand_objects_take_memory_for_their_pairs_and_not_for_a_table():
    truth = np.arange(10_000).reshape(100, 100).repeat(10, 0).repeat(10, 1).astype(np.int32)
    predicted = np.roll(truth, (2, 3), (0, 1))
    tracemalloc.start()
    found = score(truth, predicted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.areas.true == 9_999
    assert peak < 10_000**2 / 4  # a table of single bytes would take four times as much


@given(
    arrays(np.uint8, (12, 17), elements=st.integers(0, 9)),
    arrays(np.uint8, (12, 17), elements=st.integers(0, 9)),
    st.integers(1, 12),
    st.integers(1, 17),
)
def test_overlaps_of_parts_add_up_to_that_of_the_whole(truth, predicted, rows, columns):
    parts = (
        find_overlap(truth[y : y + rows, x : x + columns], predicted[y : y + rows, x : x + columns])
        for y in range(0, 12, rows)
        for x in range(0, 17, columns)
    )
    found, whole = sum_overlaps(parts), find_overlap(truth, predicted)
    for one in fields(Overlap):
        np.testing.assert_array_equal(getattr(found, one.name), getattr(whole, one.name))


def test_many_parts_take_memory_for_their_sum_and_not_for_all_of_them():
    def parts():
        for first in range(0, 1_000_000, 250):
            labels = np.arange(first + 1, first + 251)
            yield find_overlap(labels, labels)

    tracemalloc.start()
    try:
        found = sum_overlaps(parts())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.shared) == found.pixels == 1_000_000
    assert peak < 0.2e9
