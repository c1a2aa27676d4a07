"""Taking one object over from one label image into another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nucseg.analysis.corrections import erase, find_changes, swapped, take_over
from napari_nucseg.metrics.overlap import find_overlap

SMALL = arrays(np.uint8, (6, 7), elements=st.integers(0, 4))


@given(SMALL, SMALL)
def test_the_object_is_there_afterwards_and_no_other_grew(source, target):
    overlap = find_overlap(source, target)
    for label in overlap.truth_ids.tolist():
        new = take_over(source, target, label, overlap)
        (number,) = np.unique(new[source == label])
        assert number > 0
        assert np.array_equal(new == number, source == label)
        outside = (source != label) & (new > 0)
        assert (new[outside] == target[outside]).all()


@given(SMALL, SMALL)
def test_the_other_side_sees_the_same_overlap(source, target):
    there, back = find_overlap(source, target), swapped(find_overlap(target, source))
    pairs = {
        (int(o.truth_ids[i]), int(o.predicted_ids[j])): int(s)
        for o in (there,)
        for i, j, s in zip(o.truth_index, o.predicted_index, o.shared, strict=True)
    }
    others = {
        (int(back.truth_ids[i]), int(back.predicted_ids[j])): int(s)
        for i, j, s in zip(back.truth_index, back.predicted_index, back.shared, strict=True)
    }
    assert pairs == others


def test_an_object_that_swallowed_two_keeps_the_other():
    source = np.array([[1, 1, 0, 2, 2]])
    target = np.array([[7, 7, 7, 7, 7]])

    new = take_over(source, target, 1, find_overlap(source, target))

    assert new.tolist() == [[8, 8, 7, 7, 7]]


def test_pieces_are_replaced_by_the_whole():
    source = np.array([[1, 1, 1, 1]])
    target = np.array([[5, 6, 6, 6]])

    new = take_over(source, target, 1, find_overlap(source, target))

    assert new.tolist() == [[6, 6, 6, 6]]


def test_used_up_numbers_are_refused_in_words():
    source, target = np.array([[1, 0]]), np.array([[0, 255]], dtype=np.uint8)

    with pytest.raises(ValueError, match="no number left"):
        take_over(source, target, 1, find_overlap(source, target))


def test_changes_are_told_by_label():
    before = np.array([[1, 1, 2, 0, 3]])
    after = np.array([[1, 2, 2, 4, 0]])

    changes = find_changes(before, after)

    assert (changes.pixels, changes.added, changes.removed) == (3, (4,), (3,))
    assert changes.changed == (1, 2)
    assert erase(before, 2).tolist() == [[1, 1, 0, 0, 3]]
