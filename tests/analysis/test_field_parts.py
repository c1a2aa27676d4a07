"""Labels of a part of a field, put into the field: whole nuclei, none twice, no seams."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_nucseg.analysis.field_parts import place_part, with_context
from napari_nucseg.io.synthetic import draw_field

MARGIN = 40
SHAPE = (160, 200)


@pytest.fixture(scope="module")
def truth():
    return draw_field(3, shape=SHAPE, nuclei=25).labels.astype(np.int32)


def random_part(rng):
    rows, columns = (np.sort(rng.choice(size + 1, 2, replace=False)) for size in SHAPE)
    return slice(*map(int, rows)), slice(*map(int, columns))


def renumbered(labels, rng):
    """The same nuclei by other numbers."""
    ids = np.unique(labels)[1:]
    table = np.zeros(labels.max() + 1, np.int32)
    table[ids] = rng.permutation(len(ids)) + 1
    return table[labels]


def shapes(labels):
    """The nuclei as sets of pixels, whatever their numbers."""
    return {(labels == label).tobytes() for label in np.unique(labels)[1:]}


def place(field, new, part, margin=MARGIN):
    context = with_context(part, field.shape, margin)
    return place_part(field, new[context], context, part)


@pytest.mark.parametrize("seed", range(25))
def test_the_same_nuclei_again_change_nothing_but_numbers(truth, seed):
    rng = np.random.default_rng(seed)
    placed = place(truth, renumbered(truth, rng), random_part(rng))
    assert shapes(placed.labels) == shapes(truth)


@pytest.mark.parametrize("seed", range(25))
def test_nuclei_of_two_makes_are_whole_and_none_is_there_twice(truth, seed):
    """The new make is a pixel wider or narrower, as other thresholds make it."""
    rng = np.random.default_rng(seed)
    part = random_part(rng)
    narrow = np.where(find_boundaries(truth, mode="inner"), 0, truth)
    narrow[~np.isin(narrow, np.flatnonzero(np.bincount(narrow.ravel()) > 20))] = 0
    placed = place(truth, renumbered(narrow, rng), part)

    made = shapes(truth) | shapes(narrow)
    assert shapes(placed.labels) <= made  # each nucleus is one make's, whole
    for label in np.unique(truth)[1:]:
        found = np.unique(placed.labels[truth == label])
        assert (found > 0).sum() <= 1, "there twice"
        if (narrow == label).any():
            assert (found > 0).sum() == 1, "lost"


@pytest.mark.parametrize("seed", range(25))
def test_outside_the_part_nothing_changes_but_whole_nuclei(truth, seed):
    rng = np.random.default_rng(seed)
    part = random_part(rng)
    new = renumbered(np.roll(truth, 2, axis=1), rng)
    placed = place(truth, new, part)

    inside = np.zeros(SHAPE, bool)
    inside[part] = True
    for label in np.unique(truth)[1:]:
        nucleus = truth == label
        if not (nucleus & inside).any():
            assert (placed.labels[nucleus] == label).all()


def test_the_side_that_holds_more_of_a_nucleus_has_it():
    field = np.zeros((20, 40), np.int32)
    field[5:15, 10:30] = 1
    new = np.zeros_like(field)
    new[4:16, 10:30] = 1

    mostly_out = place(field, new, (slice(0, 20), slice(0, 18)))
    mostly_in = place(field, new, (slice(0, 20), slice(0, 22)))

    assert shapes(mostly_out.labels) == shapes(field)
    assert shapes(mostly_in.labels) == shapes(new)


def test_a_nucleus_that_both_sides_leave_to_the_other_is_not_lost():
    """Old it reaches a little more inside than out, new a little more out."""
    field, new = np.zeros((2, 20, 40), np.int32)
    field[5:15, 9:30] = 1
    new[5:15, 11:32] = 1
    placed = place(field, new, (slice(0, 20), slice(0, 20)))
    assert len(shapes(placed.labels)) == 1


def test_a_nucleus_and_its_pieces_are_not_mixed():
    field, new = np.zeros((2, 20, 60), np.int32)
    field[5:15, 10:50] = 1
    new[5:15, 10:24], new[5:15, 25:50] = 1, 2
    for stop in range(10, 52, 3):
        placed = place(field, new, (slice(0, 20), slice(0, stop)))
        assert shapes(placed.labels) in (shapes(field), shapes(new))


def test_what_is_gone_in_the_part_goes_and_what_is_new_outside_does_not_come():
    field, new = np.zeros((2, 20, 60), np.int32)
    field[5:15, 5:15] = 4
    new[5:15, 40:50] = 1
    placed = place(field, new, (slice(0, 20), slice(0, 35)))
    assert not placed.labels.any()


def test_new_numbers_are_free(truth):
    rng = np.random.default_rng(0)
    part = (slice(30, 120), slice(40, 150))
    context = with_context(part, SHAPE, MARGIN)
    placed = place_part(truth, renumbered(truth, rng)[context], context, part, above=500)
    assert placed.numbers.min() > 500
    assert not np.isin(placed.numbers, truth).any()
    for label in np.unique(placed.labels)[1:]:
        assert ndimage.label(placed.labels == label, np.ones((3, 3)))[1] == 1


def test_an_empty_part_in_an_empty_field_is_empty():
    placed = place(np.zeros((5, 6), np.int32), np.zeros((5, 6), np.int32), (slice(0, 2),) * 2)
    assert not placed.labels.any()
    assert len(placed.taken) == 0
