"""What changes nothing for a person changes little for the bundled model: real fields, changed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams
from tests.segmenters.changed_fields import f1, magnified, usual_diameter

MOST_LOST = 0.08
"""Of F1, by a single field of some 20 nuclei.

Over a whole set a change may cost 0.03, which `examples/measure_changes.py` measures.
"""
LEAST_TO_HALVE = 16.0
"""Diameter, in pixels, of nuclei that have enough of them left at half the size."""
BBBC039 = ("A02_s1", "B04_s4", "O13_s3")
DSB2018 = ("00071198d059ba7f", "2869fad54664677e", "f728de04267283f0")
"""Fields of 256 x 256, 360 x 360 and 512 x 640 px, whose nuclei are 18, 35 and 35 px wide."""


@pytest.fixture(scope="module")
def segment():
    segmenter = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    return lambda image: segmenter(image, SegmentParams(), ignore).labels


@pytest.fixture(scope="module", params=[*BBBC039, *DSB2018])
def field(request, segment):
    """A real field, its truth, and the F1 of the field as it is."""
    folder = request.getfixturevalue("bbbc039" if request.param in BBBC039 else "dsb2018")
    fields = {field.name: field for field in open_dataset(folder, "validation").fields}
    image, truth = fields[request.param].read_image().data, fields[request.param].read_truth()
    return image, truth, f1(truth, segment(image))


def around(array, value):
    """Put a field into the middle of a ground nine times its area."""
    height, width = array.shape
    return np.pad(array, [(height, height), (width, width)], constant_values=value)


def in_darkness(image, truth):
    return around(image, 0), around(truth, 0)


def in_its_background(image, truth):
    return around(image, int(np.median(image[truth == 0]))), around(truth, 0)


def with_a_blob(image, truth):
    """Put one saturated blob, of 30 px, where it hides the least."""
    y, x = np.indices(image.shape)
    corners = [(a, b) for a in (20, image.shape[0] - 20) for b in (20, image.shape[1] - 20)]
    blobs = [np.hypot(y - a, x - b) <= 15 for a, b in corners]
    blob = min(blobs, key=lambda one: np.count_nonzero(truth[one]))
    return np.where(blob, np.iinfo(image.dtype).max, image), truth


def by_another_camera(image, truth):
    return 3.7 * image + 900, truth


@pytest.mark.parametrize("change", [in_darkness, in_its_background, with_a_blob, by_another_camera])
def test_what_is_around_the_nuclei_and_the_camera_matter_little(segment, field, change):
    image, truth, plain = field
    image, truth = change(image, truth)
    assert f1(truth, segment(image)) >= plain - MOST_LOST


@pytest.mark.parametrize("times", [0.5, 2, 4])
def test_the_magnification_matters_little(segment, field, times):
    image, truth, plain = field
    if times < 1 and usual_diameter(truth) < LEAST_TO_HALVE:
        pytest.skip("its nuclei are too small to be halved")
    image, truth = magnified(image, truth, times)
    assert f1(truth, segment(image)) >= plain - MOST_LOST
