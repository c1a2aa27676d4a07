"""Nuclei of any size: how large they are is found in the image."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Flows
from napari_nucseg.segmenters.dynamics.masks import warm_up
from napari_nucseg.segmenters.fluo import (
    LARGEST,
    LEAST_COVER,
    LEAST_SEEN,
    LOOKS,
    MOST_ERROR,
    SMALLEST,
    Look,
    find_large,
    find_small,
    look_at,
    scale_for,
)
from napari_nucseg.segmenters.network import refuse_too_large
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.system_info import available_memory
from tests.segmenters.cellpose_reference import discs, flows_of
from tests.segmenters.changed_fields import f1, magnified, usual_diameter

SURE = Look(20.0, 0.9, 0.05)


# The scale


@pytest.mark.parametrize("diameter", [SMALLEST, 30.0, LARGEST])
def test_nuclei_of_a_usual_size_are_left_as_they_are(diameter):
    assert scale_for(diameter) == scale_for(None) == 1.0


@pytest.mark.parametrize("diameter", [2000.0, 300.0, 56.0, 21.0, 18.0])
def test_others_are_brought_into_the_range(diameter):
    assert SMALLEST <= diameter * scale_for(diameter) <= LARGEST


@pytest.mark.parametrize("diameter", [10.0, 1.0])
def test_no_image_is_enlarged_more_than_twice(diameter):
    assert scale_for(diameter) == 2.0


# Large nuclei


def seen(looks, shape=(2000, 3000)):
    """What is found, and the scales that were looked at."""
    scales = []

    def look(scale):
        scales.append(scale)
        return looks.get(scale, Look(0.0, 0.0, 1.0))

    return find_large(shape, look), scales


def test_the_smallest_copy_that_is_sure_tells_the_diameter():
    assert seen({LOOKS[0]: SURE}) == (320.0, [LOOKS[0]])
    assert seen({LOOKS[1]: SURE}) == (80.0, list(LOOKS))
    assert seen({}) == (None, list(LOOKS))


@pytest.mark.parametrize(
    "look",
    [
        Look(LEAST_SEEN - 1, 0.9, 0.05),
        Look(20.0, LEAST_COVER - 0.1, 0.05),
        Look(20.0, 0.9, MOST_ERROR + 0.01),
    ],
    ids=["too small to tell", "much is left out", "flows that do not fit"],
)
def test_a_look_that_is_not_sure_tells_nothing(look):
    assert seen(dict.fromkeys(LOOKS, look))[0] is None


def test_nuclei_of_a_usual_size_are_not_large():
    assert seen({LOOKS[1]: Look(12.0, 0.9, 0.05)})[0] is None


def test_copies_that_would_show_nothing_are_not_made():
    assert seen({}, shape=(160, 200))[1] == [LOOKS[1]]
    assert seen({}, shape=(50, 50))[1] == []


@pytest.fixture(scope="module")
def six_discs():
    """Discs of 20 px, and the flows to their middles."""
    places = [(y, x, 10) for y in (20, 60) for x in (20, 60, 100)]
    labels = discs((80, 120), *places)
    warm_up()
    return labels, np.stack([*(flows := flows_of(labels))[0], flows[1]])


def test_a_look_measures_what_the_network_finds(six_discs):
    labels, output = six_discs
    copy = (labels > 0).astype(np.float32)
    look = look_at(copy, lambda image: output)
    assert look.is_sure
    assert look.diameter == pytest.approx(usual_diameter(labels), rel=0.02)
    copy[:, 110:] = 1  # which is no nucleus
    assert look_at(copy, lambda image: output).cover < look.cover == 1
    nothing = look_at(copy, lambda image: np.full_like(output, -9))
    assert (nothing.diameter, nothing.cover, nothing.error) == (0, 0, 1)


# Small nuclei


def test_small_nuclei_are_measured_and_usual_ones_are_not(six_discs):
    labels, output = six_discs
    small = find_small(Flows(output[:2], output[2]))
    assert small == pytest.approx(usual_diameter(labels), rel=0.02)
    usual = discs((80, 120), (40, 30, 14), (40, 80, 14))
    assert find_small(Flows(*flows_of(usual))) is None
    assert find_small(Flows(output[:2], np.full_like(output[2], -9))) is None


def test_the_fullest_part_of_a_large_image_is_measured(six_discs):
    labels, output = six_discs
    large = np.full((3, 600, 900), -9, np.float32)
    large[:, 420:500, 560:680] = output
    assert find_small(Flows(large[:2], large[2])) == pytest.approx(usual_diameter(labels), rel=0.02)


# By the bundled model


@pytest.fixture(scope="module")
def segmenter():
    return catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")


@pytest.mark.parametrize(("times", "least"), [(0.5, 0.8), (4, 0.85), (8, 0.85)])
def test_a_field_is_segmented_alike_at_any_magnification(segmenter, drawn_fields, times, least):
    for field in drawn_fields[:2]:
        image, truth = magnified(field.image, field.labels, times)
        result = segmenter(image, SegmentParams(), ignore)
        assert f1(truth, result.labels) >= least
        assert result.provenance.is_estimated
        assert result.provenance.diameter == pytest.approx(usual_diameter(truth), rel=0.25)
        assert result.flows.diameter == result.provenance.diameter


def test_a_diameter_that_is_set_wins_over_the_image(segmenter, drawn_fields):
    field = drawn_fields[0]
    image, truth = magnified(field.image, field.labels, 4)
    run = partial(segmenter, image, progress=ignore)
    right, wrong = (run(params=SegmentParams(diameter=value)) for value in (130, 12))
    assert f1(truth, right.labels) >= 0.85
    assert f1(truth, wrong.labels) < 0.7
    for result, value in ((right, 130), (wrong, 12)):
        assert (result.provenance.diameter, result.provenance.is_estimated) == (value, False)


def test_an_extreme_diameter_is_refused_with_a_number(segmenter):
    with pytest.raises(ValueError, match=r"diameter is 2001; it must be 0 to 2000 px"):
        SegmentParams(diameter=2001)
    huge = np.broadcast_to(np.float32(1), (9000, 9000))
    with pytest.raises(ValueError, match=r"9000 x 9000 px, scaled by 2 .*; set a larger diameter"):
        segmenter.network.infer(huge, SegmentParams(diameter=1), ignore)


def test_an_image_that_would_take_more_memory_than_is_free_is_refused_with_both_figures():
    free = available_memory()
    edge = int((free / 10) ** 0.5)
    with pytest.raises(ValueError, match=r"they take about [\d.]+ GB, and [\d.]+ GB are free"):
        refuse_too_large((edge, edge), 2.0, 2**62, 12)
    refuse_too_large((64, 64), 2.0, 2**62, 12)
