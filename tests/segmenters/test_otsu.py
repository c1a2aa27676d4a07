from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.score import score
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue, otsu
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.parameters import SegmentParams

DEFAULTS = SegmentParams()


def segment(image, **params):
    return otsu.segment(image, SegmentParams(**params), ignore).labels


def count(labels):
    return int(labels.max(initial=0))


# How well


def test_drawn_nuclei_are_found(drawn_fields):
    for field in drawn_fields[:2]:
        assert score(field.labels, segment(field.image)).objects.f1 >= 0.7


@pytest.mark.slow
def test_on_real_fields_it_does_what_the_documentation_says(bbbc039):
    fields = open_dataset(bbbc039, "validation").fields[::5]
    scores = [score(field.read_truth(), segment(field.read_image().data)) for field in fields]
    assert 0.5 <= summarise(scores).spread["objects", "mean_ap"].mean <= 0.75


def test_touching_discs_come_apart():
    rows, columns = np.indices((60, 80))
    discs = [(rows - 30) ** 2 + (columns - x) ** 2 <= 100 for x in (25, 42)]
    assert count(segment(np.where(np.logical_or(*discs), 500, 100))) == 2


def test_a_dark_nucleolus_leaves_no_hole():
    rows, columns = np.indices((60, 60))
    distance = np.hypot(rows - 30, columns - 30)
    image = np.where((distance <= 12) & (distance > 3), 500, 100)
    labels = segment(image)
    assert count(labels) == 1
    assert labels[30, 30] == 1


# Fields without nuclei


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 50), np.uint16),
        np.full((40, 50), 65535, np.uint16),
        np.full((40, 50), -0.1),
        np.full((40, 50), 1e300),
        np.ones((40, 50), bool),
        np.ones((1, 1)),
    ],
    ids=["dark", "saturated", "negative", "huge", "true", "pixel"],
)
def test_a_constant_image_has_no_nuclei(image):
    assert not segment(image, min_size=0).any()


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_has_no_nuclei(seed):
    noise = np.random.default_rng(seed).normal(100, 3, (200, 200))
    assert not segment(noise, min_size=0).any()


def test_uneven_light_alone_has_no_nuclei():
    assert not segment(np.add.outer(np.arange(100), np.arange(120)), min_size=0).any()


def test_a_drawn_field_without_nuclei_comes_out_empty(drawn_fields):
    assert not segment(drawn_fields[2].image).any()


@pytest.mark.parametrize(
    ("split", "name"), [("training", "F13_s7"), ("training", "L01_s2"), ("validation", "L10_s6")]
)
def test_a_real_field_without_nuclei_comes_out_empty(bbbc039, split, name):
    fields = {field.name: field for field in open_dataset(bbbc039, split).fields}
    assert not segment(fields[name].read_image().data).any()


# What comes out


def test_labels_are_numbered_without_gaps(drawn_fields):
    image = drawn_fields[0].image
    before = image.copy()
    labels = segment(image)
    assert labels.shape == image.shape
    assert labels.dtype == np.int32
    assert np.array_equal(np.unique(labels), np.arange(count(labels) + 1))
    assert np.array_equal(image, before)


def test_it_says_how_the_labels_were_made(drawn_fields):
    result = otsu.segment(drawn_fields[0].image, DEFAULTS, ignore)
    provenance = result.provenance
    assert result.flows is None
    assert provenance.model == "otsu"
    assert provenance.weights_sha256 == ""
    assert provenance.device.startswith("CPU, ")
    assert provenance.versions["scikit-image"] == version("scikit-image")
    assert provenance.seconds > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (15, 17)], ids=str)
def test_any_shape_works(shape):
    image = draw_field(1, shape=(130, 130), nuclei=10).image[: shape[0], : shape[1]]
    assert segment(image, min_size=0).shape == shape


@pytest.mark.parametrize("kind", ["<u2", ">u2", "i4", "u4", "i8", "f2", "f4", ">f4", "f8"])
def test_the_type_of_the_pixels_does_not_matter(drawn_fields, kind):
    image = np.minimum(drawn_fields[0].image, 2048)  # whole numbers that half floats hold
    assert np.array_equal(segment(image.astype(kind)), segment(image))


@pytest.mark.parametrize("gain", [2.0**-1000, 2.0**-12, 16, 2.0**1000])
def test_brighter_images_give_the_same_labels(drawn_fields, gain):
    image = drawn_fields[0].image
    assert np.array_equal(segment(image * gain), segment(image))


# Parameters


def test_the_minimum_size_drops_small_nuclei(drawn_fields):
    labels = segment(drawn_fields[0].image, min_size=0)
    areas = np.sort(np.bincount(labels.ravel())[1:])
    limit = int(areas[len(areas) // 2])
    kept = segment(drawn_fields[0].image, min_size=limit)
    assert 0 < count(kept) < count(labels)
    assert np.bincount(kept.ravel())[1:].min() >= limit


def test_another_minimum_size_needs_no_new_run(drawn_fields):
    image = drawn_fields[0].image
    result = otsu.segment(image, DEFAULTS, ignore)
    for min_size in (0, 400, 15):
        changed = result.relabelled(SegmentParams(min_size=min_size))
        assert np.array_equal(changed.labels, segment(image, min_size=min_size))
        assert changed.provenance.parameters["min_size"] == min_size


def test_what_is_meant_for_networks_changes_nothing(drawn_fields):
    image = drawn_fields[0].image
    other = segment(image, diameter=100, flow_threshold=0.1, cellprob_threshold=3)
    assert np.array_equal(other, segment(image))


def test_dark_nuclei_need_a_new_run(drawn_fields):
    result = otsu.segment(drawn_fields[0].image, DEFAULTS, ignore)
    assert result.outdated_by(SegmentParams(invert=True)) == ["Dark nuclei"]


# What is refused, and stopping


def test_an_undefined_pixel_is_refused():
    with pytest.raises(ValueError, match="image: it holds NaN or infinite values"):
        segment(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize("shape", [(3, 20, 20), (20,), (0, 20), ()], ids=str)
def test_what_is_no_grey_plane_is_refused(shape):
    with pytest.raises(ValueError, match="choose one grey plane"):
        segment(np.zeros(shape))


def test_progress_is_told_and_may_stop(drawn_fields):
    steps = []
    otsu.segment(drawn_fields[0].image, DEFAULTS, lambda done, total: steps.append((done, total)))
    assert steps == [(0, 1), (1, 1)]

    def stop(done, total):
        raise Stopped

    with pytest.raises(Stopped):
        otsu.segment(drawn_fields[0].image, DEFAULTS, stop)


@pytest.mark.slow
def test_it_needs_neither_torch_nor_numba():
    lines = [
        "import sys, numpy",
        "from napari_nucseg.segmenters.parameters import SegmentParams",
        "from napari_nucseg.segmenters import otsu",
        "otsu.segment(numpy.eye(40), SegmentParams(), lambda done, total: None)",
        "assert not {'torch', 'cellpose', 'numba'} & set(sys.modules)",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_the_largest_numbers_there_are_have_a_contrast():
    image = np.full((64, 64), -1.7e308)
    image[20:40, 20:40] = 1.7e308
    assert catalogue.load(catalogue.find("otsu"), "cpu")(
        image, SegmentParams(), ignore
    ).labels.any()
