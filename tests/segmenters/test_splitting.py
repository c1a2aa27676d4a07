from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucseg.array_types import number_in_raster_order
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.verdicts import Verdict, classify
from napari_nucseg.segmenters.splitting import split_touching

DEPTHS = (0.25, 0.5, 1, 2, 4)
depths = st.sampled_from(DEPTHS)


def disc(y, x, radius, shape=(60, 80)):
    rows, columns = np.indices(shape)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def ellipse(long, short, angle, shape=(80, 80)):
    y, x = np.indices(shape) - np.array(shape).reshape(2, 1, 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (along / long) ** 2 + (across / short) ** 2 <= 1


def as_labels(*masks):
    """Label 1 for the first mask, 2 for the second, and so on; later ones lie above."""
    labels = np.zeros(masks[0].shape, np.int32)
    for number, mask in enumerate(masks, 1):
        labels[mask] = number
    return labels


def count(labels):
    return len(np.unique(labels[labels > 0]))


def merge_pairs(labels, shift):
    """Give every nucleus the number of the one to its right that it touches, if any."""
    merged = labels.copy()
    touching = (labels[:, :-1] != labels[:, 1:]) & (labels[:, :-1] > 0) & (labels[:, 1:] > 0)
    for one, other in zip(labels[:, :-1][touching], labels[:, 1:][touching], strict=True):
        merged[merged == merged[labels == other][0]] = merged[labels == one][0]
    return np.where(merged > 0, merged + shift, 0)


@st.composite
def blobs(draw):
    """Labels of overlapping discs, most of them touching, some merged or in pieces."""
    labels = np.zeros((40, 50), np.int32)
    places = st.tuples(
        st.integers(0, 39), st.integers(0, 49), st.integers(1, 12), st.integers(0, 4)
    )
    for y, x, radius, number in draw(st.lists(places, max_size=8)):
        labels[disc(y, x, radius, labels.shape)] = 3 * number
    return labels


speckles = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)).map(
    lambda values: values % 4
)
any_labels = st.one_of(blobs(), speckles)


# What comes apart


@pytest.mark.parametrize("distance", [15, 18, 20])
def test_overlapping_discs_come_apart_at_their_waist(distance):
    left, right = disc(30, 25, 11), disc(30, 25 + distance, 11)
    parts = split_touching(as_labels(left | right), 1)
    assert count(parts) == 2
    columns = np.indices(parts.shape)[1]
    near = columns[parts == parts[30, 25]]
    assert near.max() <= 25 + distance / 2 + 1


def test_three_discs_in_a_row_come_apart():
    row = disc(30, 15, 9) | disc(30, 30, 9) | disc(30, 45, 9)
    parts = split_touching(as_labels(row), 1)
    assert count(parts) == 3
    assert len({int(parts[30, x]) for x in (15, 30, 45)}) == 3


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 7), ids="{:.1f}".format)
@pytest.mark.parametrize(("long", "short"), [(10, 10), (16, 9), (30, 8), (35, 5)])
def test_an_ellipse_stays_one(long, short, angle):
    labels = as_labels(ellipse(long, short, angle))
    assert np.array_equal(split_touching(labels, 0.5), labels)


@pytest.mark.parametrize("side", [7, 20])
def test_summits_of_one_height_with_a_shallow_dip_are_one(side):
    """Where skimage's h_maxima sees two."""
    bar = np.zeros((50, 90), bool)
    bar[10 : 10 + side, 5:85] = True
    bar[9 + side, 40:46] = False
    labels = as_labels(bar)
    assert np.array_equal(split_touching(labels, 2), labels)


def test_a_small_bulge_stays_with_its_nucleus():
    labels = as_labels(disc(30, 30, 12) | disc(30, 43, 3))
    assert np.array_equal(split_touching(labels, 1), labels)


def test_the_depth_says_how_deep_a_waist_has_to_be():
    dumbbell = as_labels(disc(30, 25, 11) | disc(30, 42, 11))
    assert [count(split_touching(dumbbell, depth)) for depth in (1, 2, 6, 20)] == [2, 2, 1, 1]


def test_pieces_that_do_not_touch_are_nuclei_of_their_own():
    labels = as_labels(disc(20, 20, 9) | disc(40, 60, 7))
    parts = split_touching(labels, 1)
    assert count(parts) == 2
    assert np.array_equal(parts > 0, labels > 0)


def test_a_crumb_stays_with_the_nucleus_whose_number_it_has():
    labels = as_labels(disc(30, 20, 9) | disc(5, 5, 1) | disc(50, 70, 2))
    assert np.array_equal(split_touching(labels, 2), labels)


def test_a_crumb_stays_with_the_largest_part():
    labels = as_labels(disc(30, 25, 8) | disc(30, 45, 13) | disc(3, 3, 1))
    parts = split_touching(labels, 1)
    assert count(parts) == 2
    assert parts[3, 3] == parts[30, 45]


def test_pairs_that_were_merged_come_apart_where_they_were():
    truth = draw_field(4, shape=(400, 400), nuclei=60).labels
    merged = merge_pairs(truth, 7)
    assert count(merged) < count(truth)

    def lost(labels):
        return classify(match(find_overlap(truth, labels))).truth.count(Verdict.MERGED)

    assert lost(split_touching(merged, 1)) < lost(merged)


# What stays as it is


@given(any_labels, depths)
@example(np.ones((9, 9), np.uint8), 1)
@example(np.zeros((5, 6), np.int32), 1)
def test_only_cuts_are_made(labels, depth):
    before = labels.copy()
    parts = split_touching(labels, depth)
    assert np.array_equal(labels, before)
    assert np.array_equal(parts > 0, labels > 0)
    for number in np.unique(parts[parts > 0]):
        assert len(np.unique(labels[parts == number])) == 1


@given(any_labels, depths)
def test_parts_are_numbered_in_the_order_of_their_first_pixels(labels, depth):
    parts = split_touching(labels, depth)
    _, first = np.unique(parts[parts > 0], return_index=True)
    assert parts.dtype == np.int32
    assert np.array_equal(np.unique(parts[parts > 0]), np.arange(1, count(parts) + 1))
    assert (np.diff(first) > 0).all()


@given(any_labels, depths)
def test_what_touches_an_object_does_not_matter(labels, depth):
    parts = split_touching(labels, depth)
    for number in np.unique(labels[labels > 0]):
        own = labels == number
        alone = split_touching(own.astype(np.int32), depth)
        assert np.array_equal(number_in_raster_order(np.where(own, parts, 0)), alone)


@given(any_labels)
def test_a_larger_depth_never_cuts_more(labels):
    counts = [count(split_touching(labels, depth)) for depth in DEPTHS]
    assert counts == sorted(counts, reverse=True)


@given(any_labels, st.sampled_from([0, -1, -0.5]))
def test_without_a_depth_the_labels_come_back_as_they_are(labels, depth):
    assert split_touching(labels, depth) is labels


@given(blobs(), depths)
def test_a_turned_field_has_as_many_parts(labels, depth):
    assert count(split_touching(np.rot90(labels), depth)) == count(split_touching(labels, depth))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64])
def test_numbers_of_any_type_and_size_work(dtype):
    labels = as_labels(disc(30, 25, 11) | disc(30, 42, 11), disc(8, 8, 6))
    large = np.where(labels > 0, np.iinfo(dtype).max - labels.astype(dtype), 0)
    assert large.dtype == dtype
    assert np.array_equal(split_touching(large, 1), split_touching(labels, 1))


# Real nuclei


@pytest.mark.slow
def test_real_nuclei_are_hardly_cut_at_two_pixels(bbbc039):
    truth = open_dataset(bbbc039, "validation").fields[0].read_truth()
    parts = split_touching(truth, 2)
    assert count(truth) <= count(parts) <= 1.02 * count(truth)


def test_a_field_of_120_nuclei_takes_a_fraction_of_a_second():
    labels = draw_field(0, nuclei=120).labels
    split_touching(labels, 1)

    def seconds():
        start = time.perf_counter()
        split_touching(labels, 1)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3
