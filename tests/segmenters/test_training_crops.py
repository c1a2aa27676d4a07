"""Crops that a network learns from: what they show, and what it shall say of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.segmenters.api import Flows
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.intensities import scale_intensities
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training.crops import cut, cut_as_it_is, draw_batch, vary
from napari_nucseg.segmenters.training.examples import Example, mean_diameter

EDGE = 128
ANY_SIZE = (8.0, 50.0)
CPU = Device("cpu", "any")
LEAST_AREA = 20


def example_of(field):
    return Example.of(scale_intensities(field.image), field.labels)


@pytest.fixture(scope="module")
def crowded():
    """A field where nuclei touch."""
    return example_of(draw_field(3, shape=(200, 240), nuclei=30))


@pytest.fixture(scope="module")
def empty(drawn_fields):
    return example_of(drawn_fields[2])


@pytest.fixture(scope="module")
def discs():
    """Discs, whose flows lead straight to their middles."""
    y, x = np.mgrid[:160, :160]
    labels = np.zeros((160, 160), np.int32)
    for number, (row, column) in enumerate([(30, 40), (80, 30), (60, 100), (120, 120), (125, 60)]):
        labels[np.hypot(y - row, x - column) < 16] = number + 1
    return Example.of((labels > 0).astype(np.float32), labels)


def whole_objects(labels):
    """Numbers of the objects that do not reach the edge of a crop, and are no specks."""
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    areas = np.bincount(labels.ravel())
    return set(np.flatnonzero(areas >= LEAST_AREA)) - set(edges) - {0}


# Targets


def test_following_the_flows_of_crops_gives_their_objects_back(crowded):
    found_again = wanted = 0
    for seed in range(20):
        crop = cut(crowded, EDGE, ANY_SIZE, np.random.default_rng(seed))
        labels = crop.labels.astype(np.int32)
        cellprob = np.where(labels > 0, 5, -5).astype(np.float32)
        vectors = np.ascontiguousarray(5 * crop.flows.transpose(2, 0, 1))
        found = Labeller(Flows(vectors, cellprob), CPU)(SegmentParams(flow_threshold=0, min_size=0))
        objects = whole_objects(labels)
        for number in objects:
            areas = np.bincount(found[labels == number])
            best = np.argmax(areas[1:]) + 1 if len(areas) > 1 else -1
            union = np.sum((labels == number) | (found == best))
            found_again += int(np.sum((labels == number) & (found == best)) >= 0.5 * union)
        wanted += len(objects)
    assert wanted > 50
    assert found_again >= 0.95 * wanted


def test_crops_of_an_image_as_it_is_hold_its_own_pixels(crowded):
    numbers = np.arange(1, crowded.image.size + 1, dtype=np.float32).reshape(crowded.image.shape)
    numbered = replace(crowded, image=numbers)
    for seed in range(20):
        crop = cut_as_it_is(numbered, EDGE, np.random.default_rng(seed))
        seen = crop.image > 0  # beyond the image there is nothing
        places = crop.image[seen].astype(int) - 1
        assert seen.mean() > 0.2
        assert len(set(places)) == len(places)
        np.testing.assert_array_equal(crop.labels[seen], crowded.labels.ravel()[places])
        assert (crop.weights == 1).all()


def test_flows_lead_to_the_middle_however_a_crop_is_turned_and_reflected(discs):
    seen = 0
    for seed in range(30):
        crop = cut(discs, EDGE, ANY_SIZE, np.random.default_rng(seed))
        for number in whole_objects(crop.labels.astype(np.int32)):
            inside = np.argwhere(crop.labels == number)
            to_middle = inside.mean(axis=0) - inside
            far = np.hypot(*to_middle.T) > 3
            flows = crop.flows[crop.labels == number][far]
            lengths = np.hypot(*flows.T)
            towards = (flows * to_middle[far]).sum(axis=1) / np.hypot(*to_middle[far].T)
            assert (towards / lengths).min() > 0.8
            assert (towards / lengths).mean() > 0.97
            assert lengths.mean() == pytest.approx(1, abs=0.05)
            seen += 1
    assert seen > 30


def test_flows_of_discs_are_those_of_the_whole_image_where_nothing_is_turned(discs):
    batch = discs.whole()
    assert np.array_equal(batch.inside[0] > 0, discs.labels > 0)
    assert not batch.flows[:, :, batch.inside[0] == 0].any()
    assert np.hypot(*batch.flows[0])[batch.inside[0] > 0].mean() == pytest.approx(1, abs=0.02)


def test_beyond_an_image_there_is_background():
    small = Example.of(np.ones((20, 30), np.float32), np.ones((20, 30), np.int32))
    crop = cut(small, EDGE, ANY_SIZE, np.random.default_rng(0))
    assert 0 < (crop.labels > 0).mean() < 0.5
    outside = crop.labels == 0
    assert not crop.flows[outside].any()
    assert (crop.weights >= 1).all()


# Labels of a part


def test_what_is_not_complete_weighs_nothing_in_any_crop(discs):
    complete = np.zeros(discs.image.shape, bool)
    complete[:90, :70] = True
    whole = Example.of(discs.image, discs.labels.astype(np.int32))
    part = Example.of(discs.image, discs.labels.astype(np.int32), complete)
    assert part.image.shape == (90 + 64, 70 + 64)  # the rest shows what goes on beside it
    assert (part.weights[:90, :70] == whole.weights[:90, :70]).all()
    assert not part.weights[90:].any()
    assert not part.weights[:, 70:].any()
    # numbered pixels tell where those of a crop come from
    marked = replace(part, image=(part.weights > 0).astype(np.float32) + 1)
    for seed in range(20):
        crop = cut_as_it_is(marked, EDGE, np.random.default_rng(seed))
        assert (crop.weights[crop.image == 1] == 0).all()
        assert (crop.weights[crop.image == 2] == 1).all()
        turned = cut(marked, EDGE, ANY_SIZE, np.random.default_rng(seed))
        assert (turned.weights[turned.image == 1] < 0.01).all()


def test_a_batch_of_nothing_that_is_complete_has_no_loss(discs):
    part = replace(discs, weights=np.zeros_like(discs.weights))
    assert not part.whole().weights.any()


# Sizes


def test_objects_get_any_size_within_half_and_twice_their_own(crowded):
    rng = np.random.default_rng(0)
    found = [cut(crowded, EDGE, (4, 500), rng).diameter for _ in range(200)]
    assert crowded.diameter / 2 <= min(found) < 0.6 * crowded.diameter
    assert 1.8 * crowded.diameter < max(found) <= 2 * crowded.diameter


def test_the_bounds_of_sizes_count_before_their_own(crowded):
    rng = np.random.default_rng(0)
    found = [cut(crowded, EDGE, (19, 21), rng).diameter for _ in range(20)]
    assert all(19 <= diameter <= 21 for diameter in found)


def test_the_diameter_of_crops_is_that_of_their_objects(discs):
    for seed in range(10):
        crop = cut(discs, EDGE, ANY_SIZE, np.random.default_rng(seed))
        for number in whole_objects(crop.labels.astype(np.int32)):
            diameter = np.sqrt(4 / np.pi * (crop.labels == number).sum())
            assert diameter == pytest.approx(crop.diameter, rel=0.1)


def test_the_mean_diameter_leaves_out_images_without_objects(discs, crowded, empty):
    expected = (discs.diameter + crowded.diameter) / 2
    assert mean_diameter([discs, empty, crowded]) == pytest.approx(expected)


# Weights


def test_weights_are_1_on_average(crowded, empty):
    batch = draw_batch([crowded, empty], 6, EDGE, ANY_SIZE, np.random.default_rng(0))
    assert batch.weights.mean() == pytest.approx(1, abs=1e-4)
    assert batch.weights.min() > 0
    assert crowded.whole().weights.mean() == pytest.approx(1, abs=1e-4)


def test_gaps_and_small_objects_count_more():
    labels = np.zeros((60, 100), np.int32)
    labels[10:50, 5:45], labels[10:50, 47:87] = 1, 2
    labels[30:34, 94:98] = 3
    weights = Example.of(np.zeros(labels.shape, np.float32), labels).weights
    assert weights[30, 46] > 1.7 * weights[30, 20]
    assert weights[32, 96] > 2 * weights[30, 20]
    assert weights[30, 20] == pytest.approx(weights[2, 50], rel=0.01)


# Batches


def test_a_batch_has_the_shapes_that_it_says(crowded, empty):
    batch = draw_batch([crowded, empty], 3, EDGE, ANY_SIZE, np.random.default_rng(0))
    assert batch.images.shape == (3, 1, EDGE, EDGE)
    assert batch.flows.shape == (3, 2, EDGE, EDGE)
    assert batch.inside.shape == batch.weights.shape == (3, EDGE, EDGE)
    parts = (batch.images, batch.flows, batch.inside, batch.weights)
    assert {part.dtype for part in parts} == {np.dtype(np.float32)}
    assert set(np.unique(batch.inside)) == {0, 1}


def test_a_batch_depends_on_what_it_is_drawn_by_alone(crowded, discs):
    one, same, other = (
        draw_batch([crowded, discs], 4, EDGE, ANY_SIZE, np.random.default_rng(seed))
        for seed in (7, 7, 8)
    )
    assert np.array_equal(one.images, same.images)
    assert np.array_equal(one.flows, same.flows)
    assert not np.array_equal(one.images, other.images)


def test_crops_of_an_image_without_objects_ask_for_nothing(empty):
    batch = draw_batch([empty], 20, EDGE, ANY_SIZE, np.random.default_rng(0))
    assert not batch.inside.any()
    assert not batch.flows.any()
    assert np.isfinite(batch.images).all()


# How it looks


def test_nothing_stays_nothing_but_noise_and_light():
    nothing = np.zeros((EDGE, EDGE), np.float32)
    for seed in range(100):
        varied = vary(nothing, nothing, 28, np.random.default_rng(seed))
        assert varied.dtype == np.float32
        assert np.isfinite(varied).all()
        assert not nothing.any()
        # a pixel is no brighter than its neighbours but by noise
        assert np.abs(np.median(np.diff(varied, axis=0))) < 0.2


def test_nuclei_stay_brighter_than_what_is_around_them(crowded):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        crop = cut(crowded, EDGE, ANY_SIZE, rng)
        if not 0.05 < (crop.labels > 0).mean() < 0.95:
            continue
        before = crop.image.copy()
        varied = vary(crop.image, crop.labels, crop.diameter, rng)
        assert np.isfinite(varied).all()
        assert np.array_equal(crop.image, before)
        assert varied[crop.labels > 0].mean() > varied[crop.labels == 0].mean()


def test_labels_are_numbered_anew_and_left_as_they_were():
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[20:35, 20:35] = 7, 300
    before = labels.copy()
    example = Example.of(np.zeros((40, 40), np.float32), labels)
    assert set(np.unique(example.labels)) == {0, 1, 2}
    assert np.array_equal(labels, before)
