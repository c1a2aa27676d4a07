"""What is settled once for an image in blocks, and how blocks are planned."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.survey import MOST_WHOLE, PATCHES, sample_boxes, survey_image
from napari_nucseg.segmenters.windows import plan_windows


class Repeated:
    """An image of any size that repeats a field."""

    def __init__(self, field, shape):
        self.field, self.shape = field, shape
        self.pixels_read = 0

    def read(self, box):
        rows, columns = (
            np.arange(one.start, one.stop) % n for one, n in zip(box, self.field.shape, strict=True)
        )
        self.pixels_read += rows.size * columns.size
        return self.field[np.ix_(rows, columns)]


@pytest.mark.parametrize(
    "shape",
    [(100_000, 80_000), (9000, 2_000_000), (200, 500_000), (40, 9000, 8000), (5000, 300, 90)],
)
def test_parts_of_a_large_image_lie_apart_and_all_over_it(shape):
    boxes = sample_boxes(shape)
    assert PATCHES / 4 <= len(boxes) <= PATCHES
    assert sum(math.prod(s.stop - s.start for s in box) for box in boxes) <= MOST_WHOLE
    for axis, length in enumerate(shape):
        starts = {box[axis].start for box in boxes}
        assert all(0 <= box[axis].start < box[axis].stop <= length for box in boxes)
        assert max(starts) - min(starts) >= length / 2 - 256 or len(starts) == 1
    assert len({tuple(s.start for s in box) for box in boxes}) == len(boxes)


def test_an_image_that_fits_is_taken_as_a_whole():
    assert sample_boxes((8192, 8192)) == [(slice(0, 8192), slice(0, 8192))]


@pytest.fixture(scope="module")
def segmenter():
    """The bundled network, on the CPU."""
    return catalogue.load(catalogue.find("fluo-nuclei"), "cpu")


@pytest.mark.slow
def test_a_survey_of_parts_finds_what_one_of_the_whole_does(segmenter):
    field = draw_field(3, shape=(500, 700), nuclei=60).image
    small, large = Repeated(field, (1000, 1400)), Repeated(field, (20_000, 30_000))
    one, other = (
        survey_image(segmenter, image, SegmentParams(), ignore) for image in (small, large)
    )
    # The field repeats so often that it matters where the parts happen to lie in it
    assert other.slope == pytest.approx(one.slope, rel=0.05)
    assert -other.offset / other.slope == pytest.approx(-one.offset / one.slope, rel=0.05)
    assert other.extent == pytest.approx(one.extent, abs=1)
    assert (other.diameter, other.is_estimated) == (one.diameter, one.is_estimated)
    assert large.pixels_read < MOST_WHOLE


def test_large_nuclei_that_are_found_settle_the_diameter_of_all_blocks(segmenter):
    y, x = np.mgrid[:1200, :1200]
    image = np.full((1200, 1200), 100.0)
    for middle_y, middle_x in [(200, 220), (230, 800), (700, 300), (900, 800), (560, 950)]:
        distance = np.hypot(y - middle_y, x - middle_x)
        image += 900 / (1 + np.exp((distance - 100) / 3))
    image += np.random.default_rng(0).normal(0, 5, image.shape)
    found = survey_image(segmenter, Repeated(image, image.shape), SegmentParams(), ignore)
    assert found.is_estimated
    assert found.diameter == pytest.approx(200, rel=0.2)
    assert found.extent == pytest.approx(200, rel=0.2)


def test_an_image_with_nan_is_refused(segmenter):
    image = np.full((300, 300), np.nan)
    with pytest.raises(ValueError, match="NaN or infinite"):
        survey_image(segmenter, Repeated(image, image.shape), SegmentParams(), ignore)


@pytest.mark.parametrize(("scale", "extent"), [(1.0, 60), (1.0, 300), (2.0, 20), (0.25, 150)])
def test_windows_reach_beyond_by_what_the_network_sees_and_a_nucleus_and_a_half(scale, extent):
    blocks = plan_windows((30_000, 20_000), scale, 128, extent)
    inner = next(block for block in blocks if block.place == (2, 2))
    for core, window in zip(inner.core, inner.window, strict=True):
        beyond = core.start - window.start
        assert beyond >= 128 / scale
        assert beyond >= 1.5 * extent
        assert window.stop - window.start <= 4096


def test_the_window_of_a_volume_is_bounded_too():
    for block in plan_windows((400, 4000, 4000), 1.0, 128, 40, anisotropy=4.0):
        assert math.prod(one.stop - one.start for one in block.window) <= 2**25
