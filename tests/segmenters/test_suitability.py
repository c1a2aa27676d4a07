"""Signs that a model does not suit an image, and whether the advice helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.suitability import FEWEST_LEFT, Found, find_concerns
from tests.segmenters.cellpose_reference import discs
from tests.segmenters.changed_fields import f1, usual_diameter

DEFAULTS = SegmentParams()
DARK = SegmentParams(invert=True)


@pytest.fixture(scope="module")
def field(drawn_fields):
    return drawn_fields[0]


@pytest.fixture(scope="module")
def segment():
    segmenter = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    return lambda image, params=DEFAULTS: segmenter(image, params, ignore)


def nothing(image):
    return np.zeros(image.shape, np.int32)


def lit(labels, seed=0):
    """A blurred image of objects on a noisy ground."""
    bright = ndi.gaussian_filter(400.0 * (labels > 0), 1)
    return (150 + bright + np.random.default_rng(seed).normal(0, 4, labels.shape)).astype(np.uint16)


def the_only(concerns):
    (concern,) = concerns
    return concern


# What is well


def test_a_good_result_is_silent(segment, drawn_fields):
    for field in drawn_fields[:2]:
        result = segment(field.image)
        assert result.concerns == ()
        assert result.provenance.suspect == ()


@pytest.mark.parametrize("times", [1, 3])
def test_ground_truth_is_silent_at_any_size(field, times):
    image, labels = (np.kron(a, np.ones((times, times), int)) for a in (field.image, field.labels))
    assert find_concerns(image, Found(labels), DEFAULTS) == ()


@pytest.mark.parametrize("shape", [(160, 200), (520, 696)], ids=str)
def test_noise_is_silent(segment, shape):
    noise = np.random.default_rng(0).normal(100, 3, shape)
    assert segment(noise).concerns == ()


@pytest.mark.parametrize("shape", [(160, 200), (520, 696)], ids=str)
def test_a_drawn_field_without_nuclei_is_silent(shape):
    image = draw_field(2, shape=shape, nuclei=0).image
    assert find_concerns(image, Found(nothing(image)), DEFAULTS) == ()


def test_a_real_field_without_nuclei_is_silent(segment, bbbc039):
    fields = {field.name: field for field in open_dataset(bbbc039, "validation").fields}
    assert segment(fields["L10_s6"].read_image().data).concerns == ()


def test_a_few_bright_objects_may_be_left():
    labels = discs((200, 200), *((30, x, 12) for x in range(30, 200, 50)))
    few = np.where(labels > FEWEST_LEFT, labels, 0)
    assert find_concerns(lit(few), Found(nothing(few)), DEFAULTS) == ()
    assert find_concerns(lit(labels), Found(nothing(labels)), DEFAULTS)


def test_a_bright_image_in_which_nothing_was_found_is_told():
    one = discs((200, 200), (100, 100, 40))
    concern = the_only(find_concerns(lit(one), Found(nothing(one)), DEFAULTS))
    assert concern.reason == "No nucleus was found, and 13% of the image is bright"
    assert find_concerns(lit(one), Found(one), DEFAULTS) == ()


# Dark nuclei


def test_dark_nuclei_are_told_and_the_advice_finds_them(segment, field):
    dark = field.image.max() - field.image
    result = segment(dark)
    concern = result.concerns[0]
    assert "darker than the background" in concern.reason
    assert concern.change == {"invert": True}
    assert result.provenance.suspect[0] == str(concern)
    again = segment(dark, replace(DEFAULTS, **concern.change))
    assert again.concerns == ()
    assert f1(field.labels, again.labels) >= 0.85


def test_bright_nuclei_that_were_taken_for_dark_ones_are_told(segment, field):
    concern = segment(field.image, DARK).concerns[0]
    assert concern.change == {"invert": False}
    assert "Switch off Dark nuclei" in concern.advice


# What is left out


@pytest.mark.parametrize(("expected", "how"), [(8.0, "larger"), (60.0, "smaller")])
def test_objects_of_another_size_are_told_with_their_size(expected, how):
    labels = discs((300, 300), *((y, x, 14) for y in range(40, 300, 75) for x in (40, 120, 200)))
    found = Found(nothing(labels), diameter=expected)
    concern = the_only(find_concerns(lit(labels), found, DEFAULTS))
    assert concern.reason.startswith("12 bright objects, 0 nuclei: the objects look ")
    assert f" times {how} than expected" in concern.reason
    assert concern.change["diameter"] == pytest.approx(usual_diameter(labels), rel=0.25)
    assert f"Set the diameter to {concern.change['diameter']:.0f} px" in concern.advice


@pytest.mark.parametrize(
    ("chosen", "how"), [(12.0, "2.3 times larger"), (70.0, "2.5 times smaller")]
)
def test_nuclei_of_another_size_than_was_set_are_told(chosen, how):
    labels = discs((300, 300), *((y, x, 14) for y in range(40, 300, 75) for x in (40, 120, 200)))
    concern = the_only(
        find_concerns(lit(labels), Found(labels, diameter=chosen), SegmentParams(diameter=chosen))
    )
    assert str(concern) == f"Nuclei look {how} than {chosen:g} px. Use 28 px (--diameter 28)."
    assert concern.change == {"diameter": 28.0}
    near = SegmentParams(diameter=20)
    assert find_concerns(lit(labels), Found(labels, diameter=20), near) == ()
    # Estimated or the model's own, it is not for the user to mend
    assert find_concerns(lit(labels), Found(labels, diameter=chosen), DEFAULTS) == ()


def test_the_size_that_is_proposed_finds_the_nuclei(segment, field):
    image, labels = (np.kron(a, np.ones((4, 4), a.dtype)) for a in (field.image, field.labels))
    wrong = segment(image, SegmentParams(diameter=10))
    assert f1(labels, wrong.labels) < 0.5
    concern = wrong.concerns[0]
    assert "larger than expected" in concern.reason
    again = segment(image, SegmentParams(**concern.change))
    assert f1(labels, again.labels) >= 0.8


@pytest.mark.parametrize("diameter", [None, 28.0])
def test_objects_of_the_size_that_was_looked_for_are_counted(field, diameter):
    half = np.where(field.labels % 2, field.labels, 0)
    concern = the_only(find_concerns(field.image, Found(half, diameter=diameter), DEFAULTS))
    assert "bright objects, " in concern.reason
    assert concern.reason.endswith(" of the bright objects have no nucleus")
    assert concern.change == {}


# Other signs


def test_an_image_without_contrast_is_told(segment):
    flat = np.full((40, 50), 7, np.uint8)
    assert the_only(find_concerns(flat, Found(nothing(flat)), DEFAULTS)).reason == (
        "The image has no contrast"
    )
    assert segment(flat).provenance.suspect == (
        "The image has no contrast. Check that this is the channel that shows the nuclei.",
    )


def test_nuclei_of_too_few_pixels_are_told():
    labels = discs((100, 100), *((y, x, 2.5) for y in (20, 50, 80) for x in range(10, 100, 15)))
    concern = the_only(find_concerns(lit(labels), Found(labels), DEFAULTS))
    assert concern.reason == "Nuclei with a diameter of 5 px are too small for exact outlines"
    assert "higher magnification" in concern.advice
    assert concern.change == {}


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([0.02, 0.05, 0.1], None),
        ([0.02, 0.05, 0.2, 0.2], "fit the network's flows badly"),
        ([0.02] * 4 + [0.5] * 3, "43% of the objects that the network found"),
        ([0.02] * 4 + [0.5] * 2, None),
    ],
)
def test_flows_that_do_not_fit_the_nuclei_are_told(field, errors, told):
    concerns = find_concerns(field.image, Found(field.labels, np.array(errors)), DEFAULTS)
    assert [told in str(one) for one in concerns] == ([] if told is None else [True])


# Nuclei of very different sizes


def of_two_sizes(small=40, large=8):
    """Small and large discs, and the labels of the large ones alone."""
    labels = np.zeros((600, 700), np.int32)
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    for number in range(large):
        row, column = 80 + 160 * (number // 4), 80 + 160 * (number % 4)
        labels[np.hypot(rows - row, columns - column) < 60] = number + 1
    found = labels.copy()
    for number in range(small):
        row, column = 360 + 30 * (number // 20), 30 + 32 * (number % 20)
        labels[np.hypot(rows - row, columns - column) < 6] = large + number + 1
    return labels, found


def test_small_nuclei_that_are_missed_beside_large_ones_are_told():
    labels, found = of_two_sizes()
    concern = the_only(find_concerns(lit(labels), Found(found, diameter=120), DEFAULTS))
    assert concern.reason.startswith("40 of 48 bright objects have no nucleus: they are about 1")
    assert "and most nuclei that were found about 120 px" in concern.reason
    assert "Segment once more with a diameter of 1" in concern.advice
    assert concern.change == {}  # the others would be lost
    assert find_concerns(lit(labels), Found(labels, diameter=120), DEFAULTS) == ()


def test_a_little_debris_beside_large_nuclei_is_silent():
    labels, found = of_two_sizes(small=3)
    assert find_concerns(lit(labels), Found(found, diameter=120), DEFAULTS) == ()


# What files and tables say


def test_advice_in_text_names_the_option_of_the_command_line(segment, field):
    dark = segment(65_535 - field.image).concerns[0]
    assert str(dark).endswith("Switch on Dark nuclei (--invert).")
    large = np.kron(field.labels, np.ones((4, 4), int))
    image = lit(large)
    concern = the_only(find_concerns(image, Found(nothing(image), diameter=20), DEFAULTS))
    diameter = concern.change["diameter"]
    assert str(concern).endswith(
        f"Set the diameter to {diameter:.0f} px (--diameter {diameter:.0f})."
    )
