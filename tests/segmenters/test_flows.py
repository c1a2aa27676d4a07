"""Labels that follow the sliders, without the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.ignoring import touching_border
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams

USUAL = SegmentParams()
OTHERS = [
    {"flow_threshold": 0.2},
    {"flow_threshold": 0.0, "min_size": 0},
    {"min_size": 120},
    {"cellprob_threshold": 2.0},
    {"cellprob_threshold": -3.0, "flow_threshold": 0.8, "min_size": 60},
    {"niter": 50},
    {"max_size_fraction": 0.05},
    {"split_depth": 1.0},
    {"exclude_on_edges": True},
    {"exclude_on_edges": True, "split_depth": 1.0},
]


@pytest.fixture(scope="module")
def segment():
    return catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")


@pytest.fixture(scope="module")
def image(bbbc039):
    fields = {field.name: field for field in open_dataset(bbbc039, "validation").fields}
    return fields["A02_s1"].read_image().data


@pytest.mark.parametrize("others", OTHERS, ids=str)
def test_new_thresholds_give_the_labels_of_a_fresh_run(segment, image, others):
    first = segment(image, USUAL, ignore)
    params = SegmentParams(**others)
    moved = first.relabelled(params)
    fresh = segment(image, params, ignore)
    np.testing.assert_array_equal(moved.labels, fresh.labels)
    assert moved.provenance.parameters == fresh.provenance.parameters
    np.testing.assert_array_equal(first.relabelled(USUAL).labels, first.labels)


@pytest.mark.parametrize("name", [catalogue.BUNDLED, "otsu"])
def test_nuclei_at_the_border_leave_and_come_back_without_the_network(name, drawn_fields):
    image = drawn_fields[0].image
    first = catalogue.load(catalogue.find(name), "cpu")(image, USUAL, ignore)
    inner = first.relabelled(replace(USUAL, exclude_on_edges=True))

    at_border = touching_border(first.labels)
    assert len(at_border)
    np.testing.assert_array_equal(
        inner.labels > 0, (first.labels > 0) & ~np.isin(first.labels, at_border)
    )
    assert len(np.unique(inner.labels)) == len(np.unique(first.labels)) - len(at_border)
    np.testing.assert_array_equal(inner.relabelled(USUAL).labels, first.labels)


def test_nuclei_that_are_left_out_at_the_border_are_no_sign_of_a_wrong_model(segment):
    image = np.full((60, 60), 100.0)
    image[:22, 20:42] = image[40:, 10:32] = 1000
    image += np.random.default_rng(0).normal(0, 3, image.shape)
    usual = segment(image, USUAL, ignore)

    found = segment(image, replace(USUAL, exclude_on_edges=True), ignore)

    assert usual.labels.any()
    assert not found.labels.any()
    assert found.concerns == usual.concerns


@pytest.mark.parametrize(
    "others", [{"diameter": 30.0}, {"invert": True}, {"augment": True}], ids=str
)
def test_what_needs_the_network_is_refused(segment, drawn_fields, others):
    first = segment(drawn_fields[0].image, USUAL, ignore)
    with pytest.raises(ValueError, match="needs the network; segment again"):
        first.relabelled(replace(USUAL, **others))


def test_percentiles_that_the_model_makes_no_use_of_need_no_network(segment, drawn_fields):
    first = segment(drawn_fields[0].image, USUAL, ignore)
    moved = first.relabelled(replace(USUAL, high_percentile=90.0, low_percentile=5.0))
    np.testing.assert_array_equal(moved.labels, first.labels)


def test_a_minimum_size_that_is_raised_for_a_reduced_image_is_told(segment, drawn_fields):
    field = drawn_fields[0].image
    image = np.kron(field, np.ones((4, 4), field.dtype))
    image[30:38, 30:38] = image.max()  # what is left of it at half the scale is too little
    first = segment(image, replace(USUAL, diameter=100, flow_threshold=0), ignore)
    least = first.flows.least_area
    assert least > USUAL.min_size
    areas = np.bincount(first.labels.ravel())[1:]
    assert areas.min() >= least
    told = [note for note in first.provenance.notes if f"fewer than {least} px" in note]
    every = first.labeller(replace(USUAL, diameter=100, flow_threshold=0, min_size=0))
    small = np.bincount(every.ravel())[1:]
    assert bool(told) == bool(((small >= USUAL.min_size) & (small < least)).any())
    assert told


def test_a_minimum_size_that_is_used_as_it_is_is_not_told(segment, drawn_fields):
    assert segment(drawn_fields[0].image, USUAL, ignore).provenance.notes == ()
