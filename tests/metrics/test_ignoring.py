"""What is left out of the counts: nuclei at the border, in a region, and single ones."""

from __future__ import annotations

import doctest
import importlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask

from napari_nucseg.metrics.ignoring import (
    Ignored,
    IgnoredCounts,
    Regions,
    ellipse_in,
    fill_polygon,
    leave_out,
    touching_border,
    without_border,
)
from napari_nucseg.metrics.matching import DSB2018
from napari_nucseg.metrics.score import score, score_with_boundaries
from napari_nucseg.metrics.summary import summarise

SHAPE = (7, 8)
FIELDS = arrays(np.int32, SHAPE, elements=st.sampled_from([0, 0, 1, 2, 3, 9]))
REGIONS = arrays(np.bool_, SHAPE)
NAMED = st.sets(st.sampled_from([1, 2, 3, 9]))


def field(*boxes):
    """Nuclei 1 to n of 20 x 30 px, each given by its rows and columns."""
    labels = np.zeros((20, 30), np.int32)
    for number, (top, bottom, left, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels


INNER, AT_EDGE = (5, 11, 5, 11), (0, 6, 20, 26)


def places(labels):
    """Pixels of each object, as sets: another way to count."""
    return {
        int(n): set(map(tuple, np.argwhere(labels == n).tolist())) for n in np.unique(labels) if n
    }


def at_border(pixels):
    return any(y in (0, SHAPE[0] - 1) or x in (0, SHAPE[1] - 1) for y, x in pixels)


def mostly(pixels, ground):
    return 2 * len(pixels & ground) > len(pixels)


def iou(one, other):
    return Fraction(len(one & other), len(one | other))


def left_out_by_sets(truth, predicted, ignore):
    true, found = places(truth), places(predicted)
    region = set(map(tuple, np.argwhere(ignore.region).tolist()))
    gone = {
        n
        for n, pixels in true.items()
        if n in ignore.truth or (ignore.border and at_border(pixels)) or mostly(pixels, region)
    }
    ground = region.union(*(true[n] for n in gone))
    lost = set()
    for number, pixels in found.items():
        same = {n for n in true if iou(true[n], pixels) >= Fraction(1, 2)}
        leaves = same & gone or mostly(pixels, ground) or (ignore.border and at_border(pixels))
        if (leaves and not same - gone) or number in ignore.predicted:
            lost.add(number)
    return gone, lost


@pytest.mark.parametrize("module", ["ignoring", "score"])
def test_the_examples_are_true(module):
    found = doctest.testmod(importlib.import_module(f"napari_nucseg.metrics.{module}"))
    assert (found.failed, found.attempted > 0) == (0, True)


@settings(deadline=None)
@given(FIELDS, FIELDS, REGIONS, st.booleans(), NAMED, NAMED)
def test_what_leaves_is_what_sets_of_pixels_say(truth, predicted, region, border, true, found):
    named = [frozenset(true & set(places(truth))), frozenset(found & set(places(predicted)))]
    ignore = Ignored(border, region, *named)
    gone, lost = left_out_by_sets(truth, predicted, ignore)

    kept = leave_out(truth, predicted, ignore)

    np.testing.assert_array_equal(kept.truth, np.where(np.isin(truth, list(gone)), 0, truth))
    np.testing.assert_array_equal(
        kept.predicted, np.where(np.isin(predicted, list(lost)), 0, predicted)
    )
    inside = left_out_by_sets(truth, predicted, Ignored(region=region))
    assert kept.ignored == IgnoredCounts(len(gone), len(lost), *map(len, inside))
    seen = ~(region | np.isin(truth, list(gone)) | np.isin(predicted, list(lost)))
    assert kept.pixels == score(truth[seen], predicted[seen]).pixels


@settings(deadline=None)
@given(FIELDS, FIELDS)
def test_to_ignore_nothing_changes_no_count(truth, predicted):
    plain = score(truth, predicted)

    assert plain.ignored is None
    assert score(truth, predicted, ignore=Ignored()) == replace(plain, ignored=IgnoredCounts(0, 0))


@settings(deadline=None)
@given(FIELDS, FIELDS, REGIONS)
def test_what_is_predicted_on_ignored_ground_does_not_matter(truth, predicted, region):
    """Objects that lie wholly in the region may come and go."""
    truth = np.where(region, 0, truth)
    inside, outside = np.where(region, predicted + 100, 0), np.where(region, 0, predicted)
    ignore = Ignored(region=region)

    with_them = score(truth, np.where(region, inside, outside), ignore=ignore)
    without = score(truth, outside, ignore=ignore)

    assert replace(with_them, ignored=None) == replace(without, ignored=None)


@settings(deadline=None)
@given(FIELDS)
def test_after_the_border_nuclei_are_gone_no_nucleus_touches_it(labels):
    left = without_border(labels)

    assert not len(touching_border(left))
    inner = set(np.unique(labels).tolist()) - set(touching_border(labels).tolist())
    assert set(np.unique(left).tolist()) | {0} == inner | {0}
    assert (left[left > 0] == labels[left > 0]).all()


def test_of_a_stack_the_border_is_that_of_its_planes():
    stack = np.zeros((3, 5, 5), np.int32)
    stack[0, 2, 2], stack[1, 0, 2] = 4, 6

    assert touching_border(stack).tolist() == [6]


def test_a_border_nucleus_that_was_not_found_is_no_error():
    truth, predicted = field(INNER, AT_EDGE), field(INNER)

    assert score(truth, predicted).objects.recall == 0.5
    found = score(truth, predicted, ignore=Ignored(border=True))
    assert (found.objects.recall, found.pixels.dice, found.ignored) == (
        1.0,
        1.0,
        IgnoredCounts(1, 0),
    )


def test_a_predicted_nucleus_on_an_ignored_one_is_not_spurious():
    truth = field(INNER, AT_EDGE)
    predicted = field(INNER, (1, 7, 20, 26))  # does not touch the border itself

    found = score(truth, predicted, ignore=Ignored(border=True))

    assert (found.objects.tp, found.objects.fp, found.objects.fn) == (1, 0, 0)
    assert found.ignored == IgnoredCounts(1, 1)


def test_a_counted_nucleus_keeps_its_partner_even_at_the_border():
    truth, predicted = field((1, 7, 20, 26)), field((0, 7, 20, 26))

    found = score(truth, predicted, ignore=Ignored(border=True))

    assert (found.objects.tp, found.objects.fn, found.ignored) == (1, 0, IgnoredCounts(0, 0))


def test_single_nuclei_are_ignored_by_their_numbers():
    truth = field(INNER, (12, 18, 12, 18))

    found = score(truth, truth, ignore=Ignored(truth=frozenset({2})))

    assert (found.objects.tp, found.ignored) == (1, IgnoredCounts(1, 1))


def test_half_in_the_region_is_counted_and_more_is_not():
    truth, nothing = field(INNER), field()
    half, more = np.zeros((2, 20, 30), np.bool_)
    half[5:8, 5:11] = more[5:8, 5:11] = more[8, 5] = True

    assert score(truth, nothing, ignore=Ignored(region=half)).objects.fn == 1
    assert score(truth, nothing, ignore=Ignored(region=more)).objects.fn == 0


def test_outlines_of_ignored_nuclei_are_not_measured():
    truth, predicted = field(INNER, AT_EDGE), field(INNER)

    found = score_with_boundaries(truth, predicted, ignore=Ignored(border=True))

    assert found.boundaries.boundary_f == 1


def test_the_rule_of_comparison_holds_for_what_is_left():
    truth, predicted = field(INNER, AT_EDGE), field((5, 8, 5, 11), AT_EDGE)

    assert score(truth, predicted, ignore=Ignored(border=True)).objects.tp == 1
    assert score(truth, predicted, 0.5, DSB2018, Ignored(border=True)).objects.tp == 0


def test_pooled_fields_add_what_is_ignored():
    truth = field(INNER, AT_EDGE)
    scores = [score(truth, truth, ignore=Ignored(border=True))] * 3

    assert summarise(scores).pooled.ignored == IgnoredCounts(3, 3)
    with pytest.raises(ValueError, match="score all fields by the same rule"):
        scores[0] + score(truth, truth)


@pytest.mark.parametrize(
    ("ignore", "words"),
    [
        (Ignored(region=np.zeros((2, 2), np.bool_)), r"shape \(2, 2\).*shape, \(20, 30\)"),
        (Ignored(region=np.zeros((20, 30), np.uint8)), "uint8 values"),
        (Ignored(truth=frozenset({5, 8})), "no true nucleus 5, 8 to ignore"),
    ],
)
def test_what_is_of_another_field_is_refused(ignore, words):
    with pytest.raises(ValueError, match=words):
        score(field(INNER), field(INNER), ignore=ignore)


# No line between two of these meets the centre of a pixel, of which it is a convention if it is in
CORNER = st.tuples(st.integers(-5, 25), st.integers(-5, 25)).map(
    lambda corner: (corner[0] + 0.31, 1.0173 * corner[1] + 0.117)
)


@given(st.lists(CORNER, min_size=3, max_size=8))
def test_a_polygon_is_filled_as_by_skimage(corners):
    expected = polygon2mask((9, 12), np.array(corners))

    assert np.array_equal(fill_polygon(tuple(corners), (9, 12)), expected)


def test_the_regions_of_a_field_are_the_union_of_its_polygons():
    one = ((-0.5, -0.5), (-0.5, 2.5), (2.5, 2.5), (2.5, -0.5))
    other = ((0.5, 0.5), (0.5, 3.5), (3.5, 3.5), (3.5, 0.5))
    mask = Regions((4, 5), {2: (one, other)}).mask_of(2)

    expected = np.zeros((4, 5), np.bool_)
    expected[:3, :3] = expected[1:4, 1:4] = True
    assert np.array_equal(mask, expected)
    assert Regions((4, 5), {2: (one,)}).mask_of(0) is None


def test_an_ellipse_fills_its_rectangle_to_pi_quarters():
    corners = np.array([(10.2, 10.2), (10.2, 90.2), (50.2, 90.2), (50.2, 10.2)])
    points = tuple((y, x) for y, x in ellipse_in(corners).tolist())
    filled = fill_polygon(points, (60, 100))

    assert filled.sum() == pytest.approx(np.pi / 4 * 80 * 40, rel=0.01)
    assert filled[30, 50]
    assert not filled[12, 12]
