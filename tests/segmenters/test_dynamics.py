"""The labels of `dynamics` against those of Cellpose's own `compute_masks`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.dynamics.masks import finish, trace
from napari_nucseg.segmenters.parameters import SegmentParams
from tests.segmenters.cellpose_reference import (
    ROUNDS_AS_HERE,
    by_cellpose,
    discs,
    flows_of,
    nothing_left_to_chance,
)

# last bits decide where a point ends in a flow without order, and in no other
same_rounding = pytest.mark.skipif(not ROUNDS_AS_HERE, reason="torch rounds otherwise here")
few = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread(one_thread):
    """Cellpose's many short steps wait for each other's threads when other work runs."""
    torch.sparse.check_sparse_tensor_invariants.disable()


def ours(vectors, cellprob, *, steps=200, cellprob_threshold=0.0, flow_threshold=0.4, min_size=15):
    traced = trace(vectors, cellprob, cellprob_threshold=cellprob_threshold, steps=steps)
    return finish(traced, flow_threshold=flow_threshold, min_size=min_size)


def assert_as_cellpose(vectors, cellprob, *, steps=200, flow_threshold=0.4, min_size=15):
    knobs = {"steps": steps, "flow_threshold": flow_threshold, "min_size": min_size}
    labels = ours(vectors, cellprob, **knobs)
    assert labels.dtype == np.int32
    with nothing_left_to_chance():
        expected = by_cellpose(vectors, cellprob, **knobs)
    np.testing.assert_array_equal(labels, expected)
    return labels


@pytest.fixture(scope="module")
def drawn():
    """Flows to crowded nuclei, some cut by the border, with much noise."""
    return flows_of(draw_field(3, shape=(240, 260), nuclei=40).labels, noise=2.0)


# The whole way


@pytest.mark.parametrize("name", ["A02_s1", "B04_s4", "O13_s3"])
def test_real_fields_get_cellposes_labels(bbbc039, name):
    fields = {field.name: field for field in open_dataset(bbbc039, "validation").fields}
    segmenter = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    image = fields[name].read_image().data
    flows = segmenter(image, SegmentParams(), lambda done, total: None).flows
    labels = ours(flows.vectors, flows.cellprob)
    expected = by_cellpose(
        flows.vectors, flows.cellprob, steps=200, flow_threshold=0.4, min_size=15
    ).astype(np.int32)
    found, wanted = labels.max(), expected.max()
    assert found == wanted > 10
    assert match(find_overlap(expected, labels), 0.95).tp == wanted
    assert np.mean(labels != expected) <= 1e-4


@pytest.mark.parametrize("flow_threshold", [0.0, 0.33, 0.4])
@pytest.mark.parametrize("min_size", [0, 15, 200])
def test_drawn_fields_get_cellposes_labels(drawn, flow_threshold, min_size):
    labels = assert_as_cellpose(*drawn, flow_threshold=flow_threshold, min_size=min_size)
    assert labels.max() >= 8


@pytest.mark.parametrize("steps", [1, 7, 8, 50])
def test_so_many_steps_are_gone_as_asked(drawn, steps):
    assert_as_cellpose(*drawn, steps=steps)


def test_the_cell_probability_is_compared_as_cellpose_does(drawn):
    vectors, cellprob = drawn
    cellprob = cellprob + np.random.default_rng(1).normal(0, 1, cellprob.shape).astype(np.float32)
    knobs = {"steps": 200, "cellprob_threshold": 2.5, "flow_threshold": 0.4, "min_size": 15}
    with nothing_left_to_chance():
        expected = by_cellpose(vectors, cellprob, **knobs)
    np.testing.assert_array_equal(ours(vectors, cellprob, **knobs), expected)


@same_rounding
@few
@given(seeds, st.integers(2, 60), st.integers(2, 60), st.integers(1, 60), st.floats(0, 8))
def test_any_flow_gets_cellposes_labels(seed, height, width, steps, strength):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, strength, (2, height, width)).astype(np.float32)
    cellprob = rng.normal(1, 1, (height, width)).astype(np.float32)
    assert_as_cellpose(
        vectors,
        cellprob,
        steps=steps,
        flow_threshold=float(rng.choice([0, 0.8, 2])),
        min_size=int(rng.choice([0, 5, 15])),
    )


@few
@given(seeds, st.integers(20, 90), st.integers(20, 90))
def test_any_discs_get_cellposes_labels(seed, height, width):
    rng = np.random.default_rng(seed)
    circles = rng.uniform((0, 0, 1), (height, width, 12), (rng.integers(1, 12), 3))
    assert_as_cellpose(*flows_of(discs((height, width), *circles), noise=1.0, seed=seed))


# Edge cases


def still(shape, inside):
    """No flow, and so many pixels above the threshold."""
    cellprob = np.full(shape, -1, dtype=np.float32)
    cellprob.ravel()[:inside] = 1
    return np.zeros((2, *shape), dtype=np.float32), cellprob


@pytest.mark.parametrize("inside", [0, 1, 35])
@pytest.mark.parametrize("shape", [(5, 7), (1, 35), (35, 1)])
def test_pixels_that_meet_nowhere_become_nothing(shape, inside):
    assert not assert_as_cellpose(*still(shape, inside)).any()


@pytest.mark.parametrize("shape", [(1, 60), (60, 1)])
def test_in_a_field_one_pixel_wide_all_pixels_are_one_object(shape):
    """Cellpose divides by 0 there; whatever that is worth, so do we."""
    labels = assert_as_cellpose(*still(shape, 20), flow_threshold=0, min_size=5)
    assert labels.sum() == 20


def test_objects_at_the_border_are_kept():
    truth = discs((50, 60), (0, 0, 9), (25, 59, 10), (49, 20, 8))
    assert assert_as_cellpose(*flows_of(truth)).max() == 3


@pytest.mark.parametrize(("radius", "count"), [(13, 1), (16, 0)])
def test_an_object_over_two_fifths_of_the_field_is_none(radius, count):
    truth = discs((40, 40), (20, 20, radius))
    assert assert_as_cellpose(*flows_of(truth)).max() == count


def test_flows_that_are_no_numbers_end_no_process():
    vectors = np.full((2, 30, 30), np.nan, dtype=np.float32)
    vectors[:, 10:20] = np.inf
    assert ours(vectors, np.ones((30, 30), dtype=np.float32)).shape == (30, 30)


def test_arrays_may_be_read_only_and_of_any_layout(drawn):
    vectors, cellprob = (np.asfortranarray(array) for array in drawn)
    vectors.flags.writeable = cellprob.flags.writeable = False
    np.testing.assert_array_equal(ours(vectors, cellprob), ours(*drawn))


def test_finishing_leaves_what_was_traced(drawn):
    traced = trace(*drawn, cellprob_threshold=0, steps=200)
    before = traced.labels.copy()
    strict = finish(traced, flow_threshold=0.05, min_size=300)
    assert strict.max() < before.max() == len(traced.flow_errors)
    np.testing.assert_array_equal(traced.labels, before)


def test_threads_may_label_at_the_same_time(drawn):
    expected = ours(*drawn)
    with ThreadPoolExecutor(4) as pool:
        for labels in pool.map(lambda _: ours(*drawn), range(8)):
            np.testing.assert_array_equal(labels, expected)
