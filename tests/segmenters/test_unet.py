"""Residual U-Nets of one's own: files of random weights in their shape."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.intensities import normalise
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.residual_unet import UNetShape
from napari_nucseg.segmenters.unet import UNet
from tests.segmenters.random_nets import write_residual_unet
from tests.segmenters.stand_ins import predict

DEFAULTS = SegmentParams()
OWN = 24.0
"""Diameter, in pixels, that the net was trained with."""


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    path = write_residual_unet(tmp_path_factory.mktemp("nets") / "mine.pt", diameter=OWN)
    return catalogue.load(catalogue.find(str(path)), "cpu")


def test_a_file_of_ones_own_runs_and_says_what_for(segmenter, drawn_fields):
    image = drawn_fields[0].image
    result = segmenter(image, DEFAULTS, ignore)
    assert isinstance(segmenter.network, UNet)
    assert result.labels.shape == image.shape
    assert np.isfinite(result.flows.vectors).all()
    assert np.ptp(result.flows.cellprob) > 0
    assert result.provenance.model == result.provenance.weights == "mine.pt"
    assert (result.provenance.diameter, result.provenance.is_estimated) == (OWN, False)


def test_a_unet_in_the_shape_of_cellpose_3_runs(tmp_path, drawn_fields):
    shape = UNetShape(channels=2, widths=(4, 6, 8, 10), residuals=2, style=True)
    path = write_residual_unet(tmp_path / "cyto", shape)
    cyto = catalogue.load(catalogue.find(str(path)), "cpu")
    result = cyto(drawn_fields[0].image, DEFAULTS, ignore)
    assert result.labels.shape == drawn_fields[0].image.shape
    assert np.isfinite(result.flows.vectors).all()


# The diameter


def flows_of(segmenter, image, **params):
    flows = predict(segmenter.network, image, SegmentParams(**params), ignore)
    return np.stack([*flows.vectors, flows.cellprob])


def test_its_own_diameter_is_the_same_as_none(segmenter, drawn_fields):
    image = drawn_fields[0].image
    own = flows_of(segmenter, image, diameter=OWN)
    np.testing.assert_array_equal(own, flows_of(segmenter, image))


def test_the_diameter_makes_up_for_another_magnification(segmenter, drawn_fields):
    image = drawn_fields[0].image[:96, :96]
    twice = np.kron(image, np.ones((2, 2), image.dtype))
    expected = flows_of(segmenter, image)
    small = flows_of(segmenter, twice, diameter=2 * OWN)[:, ::2, ::2]
    plain = flows_of(segmenter, twice)[:, ::2, ::2]
    assert abs(small - expected).mean() < abs(plain - expected).mean() / 3


@pytest.mark.parametrize("diameter", [0, 7, 300])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 3), (127, 129)], ids=str)
def test_any_shape_works(segmenter, drawn_fields, shape, diameter):
    image = drawn_fields[0].image[: shape[0], : shape[1]]
    assert flows_of(segmenter, image, diameter=diameter).shape == (3, *shape)


def test_a_diameter_that_would_blow_the_image_up_is_refused(segmenter):
    with pytest.raises(ValueError, match=r"520 x 696 px, scaled by 48 .*; set a larger diameter"):
        segmenter(np.tile(np.arange(696), (520, 1)), SegmentParams(diameter=0.5), ignore)


# Normalising


def test_the_first_and_the_last_percent_become_0_and_1():
    image = np.arange(10001, dtype=np.uint16).reshape(73, 137)
    scaled = normalise(image)
    assert scaled.dtype == np.float32
    assert np.percentile(scaled, 1) == pytest.approx(0, abs=1e-6)
    assert np.percentile(scaled, 99) == pytest.approx(1, abs=1e-6)
    assert np.all(np.diff(scaled.ravel()) > 0)


def test_an_image_without_contrast_is_0():
    assert not normalise(np.full((30, 40), 7.5)).any()
