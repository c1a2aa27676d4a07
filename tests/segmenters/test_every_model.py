"""Images that people have, however odd, by every kind of model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.cellpose4 import CellposeSAM
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.parameters import SegmentParams
from scripts.classic_reference import RANDOM
from tests.segmenters.random_nets import write_residual_unet
from tests.segmenters.stand_ins import Blobs, segmenter_of
from tests.segmenters.test_classic_unet import write_weights

DEFAULTS = SegmentParams()
NETS = ("bundled", "bundled by torch", "residual", "classic", "Cellpose-SAM")


def load(kind, folder):
    """A segmenter of a kind; random weights for older nets, a stand-in for Cellpose-SAM."""
    bundled = catalogue.find(catalogue.BUNDLED)
    if kind == "classic":
        write_weights(RANDOM[0], folder / "classic")
        return catalogue.load(catalogue.find(str(folder / "classic")), "cpu")
    if kind == "residual":
        path = write_residual_unet(folder / "residual.pt")
        return catalogue.load(catalogue.find(str(path)), "cpu")
    if kind == "Cellpose-SAM":
        network = CellposeSAM(Blobs(), Device("cpu", "any"))
        return segmenter_of(network)
    return catalogue.load(
        {
            "bundled": bundled,
            "bundled by torch": replace(bundled, onnx=None),
            "otsu": catalogue.find("otsu"),
        }[kind],
        "cpu",
    )


@pytest.fixture(scope="module", params=[*NETS, "otsu"])
def segment(request, tmp_path_factory):
    return load(request.param, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def image():
    return draw_field(4, shape=(120, 150), nuclei=12).image


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 50), np.uint16),
        np.full((40, 50), 65535, np.uint16),
        np.full((300, 30), -0.1),
        np.full((40, 50), 1e300),
        np.ones((1, 1), bool),
    ],
    ids=["dark", "saturated", "negative", "huge", "one pixel"],
)
@pytest.mark.parametrize("params", [{}, {"diameter": 15}, {"augment": True}], ids=str)
def test_a_constant_image_has_no_nuclei_whatever_the_thresholds(segment, image, params):
    steps = []
    result = segment(image, SegmentParams(**params), lambda *step: steps.append(step))
    assert not result.labels.any()
    assert result.provenance.notes == ()
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1]
    loosest = SegmentParams(**params, cellprob_threshold=-6, flow_threshold=0, min_size=0)
    assert not result.relabelled(loosest).labels.any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (2, 3), (17, 150)], ids=str)
@pytest.mark.parametrize("params", [{}, {"augment": True}, {"diameter": 11}], ids=str)
def test_any_shape_is_segmented(segment, image, shape, params):
    part = image[: shape[0], : shape[1]]
    assert segment(part, SegmentParams(**params), ignore).labels.shape == shape


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_an_undefined_pixel_is_refused_with_what_to_do(segment, value, kind):
    image = np.eye(30, dtype=kind)
    image[3, 4] = value
    with pytest.raises(ValueError, match="NaN or infinite values; replace them"):
        segment(image, DEFAULTS, ignore)


@pytest.mark.parametrize("gain", [1e-9, 1e-3, 1e30, 1e300])
def test_the_scale_of_the_intensities_does_not_matter(segment, image, gain):
    usual, scaled = (segment(each, DEFAULTS, ignore) for each in (image * 1.0, image * gain))
    if usual.flows is None:
        assert usual.labels.any()
        assert np.array_equal(scaled.labels, usual.labels)
    else:
        np.testing.assert_allclose(scaled.flows.cellprob, usual.flows.cellprob, atol=0.01)


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "f4"])
def test_dark_nuclei_on_bright_ground_are_those_of_the_plain_field(segment, image, kind):
    plain = ((image - image.min()) / np.ptp(image) * 200).astype(np.uint8)
    dark = -plain.astype(kind) if kind == "i2" else (230 - plain).astype(kind)
    stored = dark.copy()
    expected = segment(plain, DEFAULTS, ignore)
    made = segment(dark, SegmentParams(invert=True), ignore)
    assert np.array_equal(made.labels, expected.labels)
    assert np.array_equal(dark, stored)
    assert made.provenance.parameters["invert"] is True
    if expected.flows is None:
        assert expected.labels.any()
    else:
        assert np.array_equal(made.flows.cellprob, expected.flows.cellprob)
        assert np.ptp(expected.flows.cellprob) > 0


@pytest.mark.parametrize("shape", [(3, 40, 50), (40, 50, 3)], ids=str)
def test_colours_are_refused_and_not_taken_for_anything_else(segment, shape):
    with pytest.raises(ValueError, match="choose one grey plane"):
        segment(np.ones(shape), DEFAULTS, ignore)
