"""AJI, AJI+, SEG and Caicedo's counts against sets of pixels, and the pairs they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucseg.metrics.counts import AreaCounts, CaicedoCounts
from napari_nucseg.metrics.matching import assign
from napari_nucseg.metrics.overlap import find_overlap
from tests.metrics import brute_force
from tests.metrics.brute_force import pairwise, pixels_of
from tests.metrics.test_matching import from_table, label_pairs, quick


def as_float(exact) -> float:
    return math.nan if exact is None else float(exact)


@quick
@given(label_pairs(most=3))
def test_scores_by_area_are_those_of_sets_of_pixels(pair):
    true, found = map(pixels_of, pair)
    ious = pairwise(true, found)
    counts = AreaCounts.of(find_overlap(*pair))
    close = {"abs": 1e-12, "nan_ok": True}
    assert counts.aji == pytest.approx(as_float(brute_force.aji(true, found, ious)), **close)
    assert counts.seg == pytest.approx(as_float(brute_force.seg(true, found, ious)), **close)
    best = brute_force.aji_plus(true, found, ious)
    assert any(counts.aji_plus == pytest.approx(as_float(one), **close) for one in best)
    assert counts.count_error == len(found) - len(true)


@quick
@given(label_pairs(), st.sampled_from([1, 40, 300]))
def test_splits_merges_and_missed_nuclei_are_those_of_sets_of_pixels(pair, size):
    pair = tuple(np.repeat(labels, size, 0) for labels in pair)  # into other classes of size
    true, found = map(pixels_of, pair)
    counts = vars(CaicedoCounts.of(find_overlap(*pair)))
    assert counts == brute_force.caicedo(true, found, pairwise(true, found))


@pytest.mark.parametrize(
    ("area", "kind"),
    [(250, "tiny"), (251, "small"), (625, "small"), (900, "normal"), (901, "large")],
)
def test_a_class_of_size_ends_with_its_largest_area(area, kind):
    truth, predicted = from_table([[0, 0], [area, 0]])
    counts = CaicedoCounts.of(find_overlap(truth, predicted))
    assert (getattr(counts, f"missed_{kind}"), getattr(counts, f"true_{kind}")) == (1, 1)


def test_a_nucleus_beyond_the_classes_is_in_none():
    counts = CaicedoCounts.of(find_overlap(*from_table([[0], [10_001]])))
    assert sum(vars(counts).values()) == 0


def test_an_iou_of_exactly_a_tenth_is_no_part():
    # Two predicted objects with the true one at 1/10 and at 8/20
    counts = CaicedoCounts.of(find_overlap(*from_table([[0, 1, 10], [0, 2, 8]])))
    assert counts.splits == 1
    counts = CaicedoCounts.of(find_overlap(*from_table([[0, 10, 0], [2, 2, 8]])))
    assert counts.splits == 0


def test_aji_takes_a_prediction_twice_and_aji_plus_does_not():
    truth, predicted = from_table([[0, 0], [0, 6], [0, 4]])
    counts = AreaCounts.of(find_overlap(truth, predicted))
    assert counts.aji == pytest.approx(10 / 20)
    assert counts.aji_plus == pytest.approx(6 / 14)


def test_half_covered_is_not_covered():
    assert AreaCounts.of(find_overlap(*from_table([[0, 0], [5, 5]]))).seg == 0
    assert AreaCounts.of(find_overlap(*from_table([[0, 0], [4, 6]]))).seg == 0.6


# Assignment


@quick
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), unique=True, max_size=12),
    st.data(),
)
def test_no_other_choice_of_pairs_gains_more(pairs, data):
    gains = data.draw(
        st.lists(st.integers(1, 9), min_size=len(pairs), max_size=len(pairs)).map(np.array)
    )
    left, right = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    chosen = assign(left, right, gains.astype(np.float64))
    assert len(set(left[chosen])) == len(set(right[chosen])) == len(chosen)
    gain_of = dict(zip(pairs, gains.tolist(), strict=True))
    best = max(sum(gain_of[p] for p in kept) for kept in brute_force.one_to_one(pairs))
    assert sum(gains[chosen]) == best


def test_a_chain_of_thousands_of_competitors_is_settled():
    # Every object competes with both neighbours; the better half of the pairs is every other one
    length = 20_000
    left, right = np.arange(2 * length) // 2, (np.arange(2 * length) + 1) // 2
    gain = np.where(np.arange(2 * length) % 2, 0.4, 0.3)
    assert np.array_equal(assign(left, right, gain), np.arange(1, 2 * length, 2))
