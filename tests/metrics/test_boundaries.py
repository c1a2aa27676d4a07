"""Distances of outlines against scikit-image, distance transforms, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import hausdorff_distance

from napari_nucseg.metrics import functions
from napari_nucseg.metrics.boundaries import Spacing, find_outlines, measure_boundaries
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.score import score_with_boundaries
from napari_nucseg.metrics.summary import summarise
from tests.metrics.distortions import DISTORTIONS, consecutive, draw_discs
from tests.metrics.test_matching import quick

CLOSE = {"rel": 1e-12, "abs": 1e-12}


def border(mask: np.ndarray) -> np.ndarray:
    """Outline as MetricsReloaded draws it."""
    return mask & ~ndimage.binary_erosion(mask)


def expected(true: np.ndarray, found: np.ndarray, edges: tuple[float, ...]) -> list[float]:
    """Hausdorff distance, HD95 and mean distance of two objects, by distance transforms."""
    one, other = border(true), border(found)
    there = ndimage.distance_transform_edt(~other, sampling=edges)[one]
    back = ndimage.distance_transform_edt(~one, sampling=edges)[other]
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return [max(there.max(), back.max()), hd95, np.concatenate([there, back]).mean()]


def assert_distances_are_exact(
    truth: np.ndarray, predicted: np.ndarray, edges: tuple[float, ...]
) -> None:
    matches = functions.matched_pairs(truth, predicted, 0.3)
    pixels = functions.boundary_distances(truth, predicted, 0.3)
    physical = functions.boundary_distances(truth, predicted, 0.3, edges=edges)
    for row, (a, b, _) in enumerate(matches):
        true, found = truth == a, predicted == b
        for ours, sampling in ((pixels, (1.0,) * truth.ndim), (physical, edges)):
            values = [column[row] for column in ours.values()]
            assert values == pytest.approx(expected(true, found, sampling), **CLOSE)
        skimage = hausdorff_distance(border(true), border(found))
        assert pixels["hausdorff"][row] == pytest.approx(skimage, **CLOSE)


@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
@pytest.mark.parametrize("edges", [(0.5, 0.5), (0.7, 0.3)])
def test_distances_are_those_of_distance_transforms_and_scikit_image(distort, edges):
    for seed in range(3):
        truth = draw_discs(seed)
        assert_distances_are_exact(truth, consecutive(distort(truth)), edges)


@quick
@given(st.integers(0, 2**32 - 1))
def test_distances_in_space_are_exact(seed):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 3, (2, 3, 3)), np.ones((2, 3, 2), int))
    predicted = np.where(rng.random(truth.shape) < 0.1, 0, truth)
    assert_distances_are_exact(truth, predicted, (2.0, 0.5, 0.4))


@pytest.mark.parametrize("number", [1, 2**31 - 1])
def test_outlines_end_at_other_labels_and_at_the_fields_edge(number):
    labels = np.array([[0] * 7, [0, 1, 1, 1, 1, 1, 2], [0, 1, 1, 1, 1, 1, 2]] + [[1] * 7] * 2)
    outlines = find_outlines(np.where(labels == 1, number, labels))
    assert outlines.tolist() == [
        [False] * 7,
        [False, True, True, True, True, True, True],
        [False, True, False, False, False, True, True],
        [True, False, False, False, False, False, True],
        [True] * 7,
    ]


def test_a_shift_of_three_pixels_is_three_pixels_and_its_microns():
    truth = np.zeros((40, 40), int)
    truth[10:30, 10:30] = 1
    predicted = np.roll(truth, 3, axis=1)
    ratios = score_with_boundaries(truth, predicted, spacing=Spacing((0.5, 0.5))).ratios()
    boundaries = ratios["boundaries"]
    assert (boundaries["hausdorff_px"], boundaries["hausdorff_um"]) == (3, 1.5)
    assert boundaries["distance_um"] == boundaries["distance_px"] / 2
    # Of 76 outline pixels 38 lie in the shifted columns; the rows' ends come within 2 px, too
    outline = border(truth == 1)
    near = ndimage.distance_transform_edt(~border(predicted == 1))[outline] <= 2
    assert boundaries["boundary_f"] == pytest.approx(near.mean())
    assert 0 < near.mean() < 1


def test_two_pixels_apart_is_found_and_more_is_not():
    line = np.zeros((9, 9), int)
    line[2] = 1
    assert functions.boundary_f(line, np.roll(line, 2, 0)) == 1
    assert functions.boundary_f(line, np.roll(line, 3, 0)) == 0


def test_outlines_of_missed_and_spurious_objects_lower_the_boundary_f():
    truth = np.zeros((20, 20), int)
    truth[2:8, 2:8] = 1
    predicted = truth.copy()
    predicted[12:18, 12:18] = 2
    assert functions.boundary_f(truth, predicted) == pytest.approx(2 / 3)


def test_without_a_match_there_are_no_distances_but_an_f():
    truth, predicted = np.array([[1, 0, 0, 0, 0]]), np.array([[0, 0, 0, 0, 1]])
    boundaries = score_with_boundaries(truth, predicted).ratios()["boundaries"]
    assert math.isnan(boundaries["hausdorff_px"])
    assert boundaries["boundary_f"] == 0
    nothing = np.zeros((3, 3), int)
    assert math.isnan(functions.boundary_f(nothing, nothing))


def test_any_threshold_is_a_choice_among_pairs_measured_once():
    truth = draw_discs(4)
    predicted = DISTORTIONS["shift"](truth)
    overlap = find_overlap(truth, predicted)
    measured = measure_boundaries(truth, predicted, overlap)
    for threshold in (0.05, 0.3, 0.5, 0.9):
        counts = measured.of(match(overlap, threshold))
        distances = functions.boundary_distances(truth, predicted, threshold)
        assert counts.hausdorff_px_sum == pytest.approx(distances["hausdorff"].sum())
        assert counts.pairs == len(distances["hausdorff"])


def test_pairs_below_the_least_iou_were_not_measured():
    truth, predicted = np.array([[1] * 30]), np.array([[0] * 29 + [2]])
    overlap = find_overlap(truth, predicted)
    matching = match(overlap, 0.01)
    with pytest.raises(ValueError, match=r"not measured for pairs down to IoU 0\.01"):
        measure_boundaries(truth, predicted, overlap).of(matching)
    measured = measure_boundaries(truth, predicted, overlap, least=0.01)
    assert measured.of(matching).mean("hausdorff_px") == 29


@pytest.mark.parametrize("edges", [(0.5,), (0.5, 0.5, 1.0), (0.5, 0.0), (0.5, -1.0)])
def test_edges_that_are_none_are_refused(edges):
    labels = draw_discs(0)
    with pytest.raises(ValueError, match="labels of 2 axes need 2 lengths above 0"):
        functions.boundary_distances(labels, labels, edges=edges)


def test_distances_in_different_units_are_not_pooled():
    labels = draw_discs(0)
    fields = [
        score_with_boundaries(labels, labels, spacing=Spacing((1, 1), unit))
        for unit in ("um", "nm")
    ]
    with pytest.raises(ValueError, match="in µm and in nm"):
        summarise(fields)
