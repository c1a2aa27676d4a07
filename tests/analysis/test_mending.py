"""Labels mended by a click, a line or a lasso."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Labels
from scipy import ndimage

from napari_nucseg.analysis import corrections, mending
from napari_nucseg.analysis.mending import LARGEST_GAP, add, delete, merge, propose, split
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams

SHAPE = (12, 14)
FIELDS = arrays(np.uint16, SHAPE, elements=st.sampled_from([0, 0, 1, 2, 7]))
VOLUMES = arrays(np.int32, (3, 6, 7), elements=st.sampled_from([0, 0, 1, 2, 7]))
PLACES = st.floats(-2, 15)
LINES = st.lists(st.tuples(PLACES, PLACES), min_size=2, max_size=4)


def discs(*circles, shape=(60, 80)):
    """Nuclei 1 to n, each by its centre and radius."""
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for number, (cy, cx, radius) in enumerate(circles, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def check_change(labels, change):
    """A change tells the truth about itself, and is as small as can be."""
    after = change.applied_to(labels)
    np.testing.assert_array_equal(labels[change.region], change.before)
    assert after.dtype == labels.dtype
    differs = np.argwhere(after != labels)
    box = [[part.start, part.stop - 1] for part in change.region]
    np.testing.assert_array_equal(np.stack([differs.min(0), differs.max(0)], 1), box)
    there, now = (set(np.unique(one[one > 0]).tolist()) for one in (labels, after))
    assert set(change.gone) == there - now
    assert set(change.come) == now - there
    index, values = change.pixels()
    painted = labels.copy()
    painted[index] = values
    np.testing.assert_array_equal(painted, after)
    return after


def tried(mend, *values):
    """The change, or what was said against it."""
    try:
        return mend(*values), ""
    except ValueError as error:
        return None, str(error)


def count_pieces(mask):
    return ndimage.label(mask, np.ones((3,) * mask.ndim))[1]


@pytest.mark.parametrize("module", [mending, corrections], ids=lambda one: one.__name__)
def test_the_examples_are_true(module):
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


# Delete


@settings(deadline=None)
@given(FIELDS | VOLUMES, st.data())
def test_delete_takes_the_nucleus_at_the_place_and_nothing_else(labels, data):
    assume(labels.any())
    places = np.argwhere(labels)
    place = places[data.draw(st.integers(0, len(places) - 1))]
    number = labels[tuple(place)]

    after = check_change(labels, delete(labels, place + 0.3))

    np.testing.assert_array_equal(after, np.where(labels == number, 0, labels))


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ((0, 0), "no nucleus at y = 0, x = 0; click on a nucleus"),
        ((10, 80), "y = 10, x = 80 is outside of the labels"),
        ((-3, 1), "y = -3, x = 1 is outside"),
        ((1, 2, 3), "give 2 numbers"),
        ((np.nan, 2), "give 2 numbers"),
    ],
)
def test_a_click_beside_every_nucleus_is_told(at, words):
    with pytest.raises(ValueError, match=words):
        delete(discs((30, 30, 5)), at)


# Merge


@settings(deadline=None)
@given(FIELDS | VOLUMES, st.permutations([1, 2, 7]))
def test_merge_makes_two_nuclei_one_and_leaves_the_others(labels, numbers):
    first, second, third = numbers
    assume((labels == first).any() and (labels == second).any())
    change, refusal = tried(merge, labels, first, second)
    if change is None:
        assert "apart" in refusal or f"nucleus {third} lies between" in refusal
        return

    after = check_change(labels, change)

    assert change.gone == (second,)
    assert change.come == ()
    np.testing.assert_array_equal(after == third, labels == third)
    assert (after[(labels == first) | (labels == second)] == first).all()


@pytest.mark.parametrize("gap", range(LARGEST_GAP + 1))
def test_a_small_gap_is_bridged(gap):
    labels = discs((30, 20, 10), (30, 41 + gap, 10))

    after = check_change(labels, merge(labels, 1, 2))

    assert count_pieces(after) == 1
    assert (after[30, 31 : 31 + gap] == 1).all()
    bridge = np.argwhere((after > 0) & (labels == 0))
    assert ((bridge[:, 0] > 15) & (bridge[:, 0] < 45)).all()


@settings(deadline=None)
@given(st.floats(8, 50), st.floats(8, 70), st.floats(8, 50), st.floats(8, 70))
def test_what_is_merged_is_one_piece(y1, x1, y2, x2):
    labels = discs((y1, x1, 6), (y2, x2, 5))
    assume(len(np.unique(labels)) == 3)
    assume(count_pieces(labels == 1) == 1)
    change, _ = tried(merge, labels, 1, 2)
    if change is None:
        assert np.hypot(y1 - y2, x1 - x2) > 11 + LARGEST_GAP - 2
    else:
        assert count_pieces(check_change(labels, change)) == 1


@pytest.mark.parametrize(
    ("circles", "numbers", "words"),
    [
        ([(30, 20, 10), (30, 60, 10)], (1, 2), "19 px apart.*at most 5 px"),
        ([(30, 20, 10), (30, 60, 10)], (1, 1), "chosen twice"),
        ([(30, 20, 10)], (1, 2), "no nucleus 2"),
        ([(30, 20, 10), (30, 43, 10), (30, 31.5, 1.5)], (1, 2), "nucleus 3 lies between"),
    ],
)
def test_nuclei_that_cannot_be_one_are_told(circles, numbers, words):
    labels = discs(*circles)
    if len(circles) == 3:
        labels[:, 31:33] = 3
    with pytest.raises(ValueError, match=words):
        merge(labels, *numbers)


# Split


@settings(deadline=None)
@given(FIELDS | VOLUMES, LINES)
def test_split_divides_one_nucleus_into_the_same_pixels(labels, line):
    change, refusal = tried(split, labels, line)
    if change is None:
        assert "crosses no nucleus" in refusal or "runs along nucleus" in refusal
        return

    after = check_change(labels, change)

    np.testing.assert_array_equal(after > 0, labels > 0)
    (divided,) = np.unique(labels[after != labels])
    sizes = [np.count_nonzero(after == number) for number in (divided, *change.come)]
    assert change.gone == ()
    assert max(sizes) == sizes[0]
    assert (after[labels != divided] == labels[labels != divided]).all()


@settings(deadline=None)
@given(st.floats(0, np.pi), st.floats(-4, 4))
def test_a_line_across_a_disc_divides_it_along_itself(angle, shift):
    labels = discs((30, 40, 15))
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([1, -1])
    normal = along[::-1] * across
    middle = np.array([30, 40]) + shift * normal

    after = check_change(labels, split(labels, [middle - 20 * along, middle + 20 * along]))

    assert set(np.unique(after)) == {0, 1, 2}
    assert count_pieces(after == 1) == count_pieces(after == 2) == 1
    places = np.argwhere(labels) - middle
    side = places @ normal
    clear = np.abs(side) > 1.5
    one = after[labels > 0][clear & (side > 0)]
    other = after[labels > 0][clear & (side < 0)]
    assert len(set(one)) == len(set(other)) == 1
    assert set(one) != set(other)


@pytest.mark.parametrize("reach", [4, 7, 10])
def test_a_line_that_ends_within_two_touching_nuclei_divides_them_at_their_waist(reach):
    two = discs((30, 30, 11), (30, 48, 11))
    labels = (two > 0).astype(np.int32)

    after = check_change(labels, split(labels, [(22, 39), (22 + reach, 39)]))

    assert set(np.unique(after)) == {0, 1, 2}
    for number, x in ((1, 25), (2, 53)):
        shared = np.count_nonzero((after == after[30, x]) & (two == number))
        assert shared > 0.9 * np.count_nonzero(two == number)


def test_a_bent_line_can_cut_off_two_parts():
    labels = np.ones((30, 10), np.int32)

    after = check_change(labels, split(labels, [(7, -1), (7, 11), (20, 11), (20, -1)]))

    assert len({after[y, 5] for y in (2, 13, 27)}) == 3
    assert after[13, 5] == 1


def test_a_piece_that_the_line_passes_by_stays_with_the_largest_part():
    labels = discs((30, 20, 10), (30, 60, 10))
    labels[labels > 0] = 4

    after = check_change(labels, split(labels, [(15, 17), (45, 17)]))

    assert set(np.unique(after[:, 45:])) == {0, 4}
    assert after[30, 25] == 4
    assert after[30, 12] == 5


def test_a_line_cuts_all_planes_of_a_volume():
    volume = np.stack([discs((30, 40, radius)) for radius in (5, 10, 5)])

    after = check_change(volume, split(volume, [(10, 38), (50, 38)]))

    assert [np.unique(plane).tolist() for plane in after] == [[0, 1, 2]] * 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ([(0, 0), (0, 50)], "crosses no nucleus"),
        ([(500, 500), (600, 600)], "crosses no nucleus"),
        ([(20, 10), (20, 50)], "runs along nucleus 1"),
        ([(20, 10)], "the line has 1 points; draw at least 2"),
        ([(1, 20, 10), (1, 20, 50)], r"shape \(2, 3\)"),
    ],
)
def test_a_line_that_cannot_split_is_told(line, words):
    with pytest.raises(ValueError, match=words):
        split(discs((30, 30, 10)), line)


# Add


@settings(deadline=None)
@given(FIELDS, st.lists(st.tuples(PLACES, PLACES), min_size=3, max_size=8))
def test_add_takes_background_alone(labels, corners):
    change, refusal = tried(add, labels, corners)
    if change is None:
        assert "encloses no background" in refusal
        return

    after = check_change(labels, change)

    assert (after[labels > 0] == labels[labels > 0]).all()
    assert (change.gone, change.come) == ((), (int(labels.max()) + 1,))


def test_add_fills_the_outline():
    labels = discs((30, 30, 8))
    square = [(20.5, 30.5), (20.5, 49.5), (39.5, 49.5), (39.5, 30.5)]

    after = check_change(labels, add(labels, square))

    inside = np.zeros(labels.shape, bool)
    inside[21:40, 31:50] = True
    np.testing.assert_array_equal(after == 2, inside & (labels == 0))


@pytest.mark.parametrize(
    ("labels", "corners", "words"),
    [
        (discs((30, 30, 9)), [(28, 28), (28, 32), (32, 30)], "no background pixel"),
        (discs((30, 30, 9)), [(90, 90), (90, 99), (99, 99)], "no background pixel"),
        (discs((30, 30, 9)), [(1, 1), (2, 2)], "has 2 points; draw at least 3"),
        (np.zeros((2, 9, 9), int), [(1, 1), (1, 5), (5, 5)], "give the plane"),
        (np.eye(9, dtype=np.uint8) * np.uint8(255), [(0, 0), (0, 8), (8, 8)], "no number left"),
    ],
)
def test_a_lasso_that_adds_nothing_is_told(labels, corners, words):
    with pytest.raises(ValueError, match=words):
        add(labels, corners)


# Propose


@pytest.fixture(scope="module")
def segmented(drawn_fields):
    image = drawn_fields[0].image
    segment = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    return segment(image, SegmentParams(), ignore)


def test_a_nucleus_that_was_deleted_is_proposed_again(segmented):
    labels = segmented.labels
    for number in np.unique(labels[labels > 0]):
        own = labels == number
        depth = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
        middle = np.unravel_index(depth.argmax(), labels.shape)
        without = delete(labels, middle).applied_to(labels)

        change = propose(segmented.flows, without, middle)

        assert change is not None
        after = check_change(without, change)
        new = after == change.come[0]
        assert np.count_nonzero(new & own) / np.count_nonzero(new | own) > 0.85
        assert (after[without > 0] == without[without > 0]).all()


def test_a_nucleus_that_a_threshold_dropped_is_proposed(segmented):
    strict = segmented.relabelled(replace(SegmentParams(), min_size=900)).labels
    dropped = np.argwhere((segmented.labels > 0) & (strict == 0))
    assert len(dropped)
    at = dropped[len(dropped) // 2]

    change = propose(segmented.flows, strict, at)

    assert change is not None
    assert change.applied_to(strict)[tuple(at)] == change.come[0]


def test_where_the_network_saw_nothing_nothing_is_proposed(segmented):
    at = np.unravel_index(segmented.flows.cellprob.argmin(), segmented.labels.shape)

    assert propose(segmented.flows, segmented.labels, at) is None


def test_a_window_gives_what_the_whole_field_gives(segmented, monkeypatch):
    empty = np.zeros_like(segmented.labels)
    places = [np.argwhere(segmented.labels == n).mean(0) for n in (1, 5, 9)]
    small = [propose(segmented.flows, empty, at).applied_to(empty) for at in places]
    monkeypatch.setattr("napari_nucseg.segmenters.flows._REACH", 4)
    grown = [propose(segmented.flows, empty, at).applied_to(empty) for at in places]

    for one, other in zip(small, grown, strict=True):
        assert np.count_nonzero((one > 0) & (other > 0)) > 0.95 * np.count_nonzero(one | other)


def test_proposals_that_make_no_sense_are_told(segmented):
    at = np.argwhere(segmented.labels)[0]
    with pytest.raises(ValueError, match=r"is at y = .* already"):
        propose(segmented.flows, segmented.labels, at)
    with pytest.raises(ValueError, match="segment this field again"):
        propose(segmented.flows, segmented.labels[:-1], (0, 0))


# In a layer


def test_a_change_is_one_step_of_a_labels_layer():
    labels = discs((30, 20, 10), (30, 43, 10))
    layer = Labels(labels.copy())
    change = merge(labels, 1, 2)

    layer.data_setitem(*change.pixels())
    np.testing.assert_array_equal(layer.data, change.applied_to(labels))

    layer.undo()
    np.testing.assert_array_equal(layer.data, labels)
