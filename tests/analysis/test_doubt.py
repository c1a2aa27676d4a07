"""Why a nucleus is doubtful, in words, on drawn nuclei."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import disk

from napari_nucseg.analysis import doubt
from napari_nucseg.analysis.doubt import (
    CUT_OFF,
    DISAGREES,
    HAS_NOTCH,
    IS_DIM,
    IS_UNSURE,
    TOO_SMALL,
    TOUCHES,
    find_reasons,
    measure_edges,
)
from napari_nucseg.analysis.measurements import measure, measure_nuclei
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams

SHAPE = (120, 160)
USUAL = [((25 + 35 * row, 25 + 35 * column), 12) for row in range(3) for column in range(3)]


def draw(*circles, dim=()):
    """Labels 1 to n of discs, and their image: bright nuclei on a dark ground."""
    labels = np.zeros(SHAPE, np.int32)
    for number, (centre, radius) in enumerate(circles, start=1):
        labels[disk(centre, radius, shape=SHAPE)] = number
    image = np.where(labels > 0, 1000, 100)
    for number in dim:
        image[labels == number] = 300
    return labels, image


def reasons(labels, image, flow_errors=None, cellprob=None):
    nuclei = measure(labels, image, flow_errors=flow_errors, cellprob=cellprob)
    return find_reasons(nuclei | measure_edges(labels, image))


def test_the_examples_are_true():
    assert doctest.testmod(doubt).failed == 0


def test_nuclei_that_are_like_the_others_have_no_reason():
    assert reasons(*draw(*USUAL)) == [""] * len(USUAL)


@pytest.mark.parametrize(
    ("circle", "reason"),
    [(((60, 140), 4), TOO_SMALL), (((60, 160), 7), CUT_OFF), (((60, 140), 12), "")],
)
def test_a_small_nucleus_is_told_from_one_that_the_border_cuts_off(circle, reason):
    assert reasons(*draw(*USUAL, circle))[-1] == reason


def test_a_dim_edge_is_told():
    found = reasons(*draw(*USUAL, dim=[4]))

    assert found == ["", "", "", IS_DIM, "", "", "", "", ""]


def test_a_dim_edge_cannot_be_told_where_nuclei_are_not_bright():
    labels, image = draw(*USUAL, dim=[4])

    assert reasons(labels, 2000 - image) == [""] * len(USUAL)


def test_two_nuclei_in_one_outline_have_a_notch():
    labels, image = draw(*USUAL, ((40, 130), 12), ((63, 130), 12))
    labels[labels == len(USUAL) + 2] = len(USUAL) + 1

    assert reasons(labels, image)[-1] == HAS_NOTCH


@pytest.mark.parametrize(("distance", "reason"), [(20, TOUCHES), (30, DISAGREES)])
def test_a_nucleus_is_doubtful_for_its_neighbour_only_if_its_flows_are(distance, reason):
    labels, image = draw(*USUAL, ((40, 130), 12), ((40 + distance, 130), 12))
    errors = np.full(len(USUAL) + 2, 0.02)
    assert reasons(labels, image, errors)[-1] == ""
    errors[-1] = 0.3

    assert reasons(labels, image, errors)[-1] == reason


def test_a_low_cell_probability_is_told():
    labels, image = draw(*USUAL)
    cellprob = np.where(labels == 2, 1, 6).astype(np.float32)

    assert reasons(labels, image, cellprob=cellprob) == ["", IS_UNSURE, *[""] * 7]


def test_a_field_without_nuclei_has_no_reasons():
    assert reasons(np.zeros(SHAPE, np.int32), np.zeros(SHAPE)) == []


@settings(deadline=None)
@given(arrays(np.int32, (8, 9), elements=st.sampled_from([0, 0, 1, 3])))
def test_touching_is_mutual_and_a_share(labels):
    edges = measure_edges(labels, labels * 10.0)

    share = edges["touching_share"]
    assert ((share >= 0) & (share <= 1)).all()
    assert (share > 0).all() or not (share > 0).any()
    assert len(share) == len(edges["edge_contrast"]) == len(np.unique(labels[labels > 0]))


def test_right_nuclei_of_a_network_are_seldom_given_a_reason(drawn_fields):
    image = drawn_fields[0].image
    result = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")(
        image, SegmentParams(), ignore
    )

    found = find_reasons(measure_nuclei(result, image) | measure_edges(result.labels, image))

    assert len(found) == len(np.unique(result.labels)) - 1
    assert sum(map(bool, found)) < 0.35 * len(found)
