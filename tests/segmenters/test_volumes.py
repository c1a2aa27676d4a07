"""Stacks in depth, against Cellpose's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi

from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.ignoring import touching_border, without_border
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.cellpose4 import CellposeSAM
from napari_nucseg.segmenters.devices import Device
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.segmenters.volumes import segment_volume, stitch_planes
from tests.segmenters.stand_ins import Blobs, cellpose_model, cellposes_tiles, segmenter_of

USUAL = SegmentParams()


@pytest.fixture
def network():
    return CellposeSAM(Blobs(), Device("cpu", "any"), cellposes_tiles)


@pytest.fixture
def segmenter(network):
    return segmenter_of(network)


CENTRES = (5, 16, 16), (5, 20, 52), (5, 44, 34)


@pytest.fixture(scope="module")
def balls():
    """Balls with planes twice as far apart as pixels."""
    z, y, x = np.indices((10, 60, 70))
    volume = np.random.default_rng(2).normal(100, 4, z.shape)
    for cz, cy, cx in CENTRES:
        distance = ((2 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) ** 0.5
        volume += 400 * np.clip((11 - distance) / 3, 0, 1)
    return ndi.gaussian_filter(volume, (0, 1, 1)).astype(np.uint16)


def segment(segmenter, volume, depth, params=USUAL, progress=ignore, **values):
    return segment_volume(segmenter, volume, params, depth, VolumeParams(**values), progress)


def by_cellpose(network, volume, **options):
    with torch.sparse.check_sparse_tensor_invariants(False):  # else torch warns of Cellpose's
        return cellpose_model(network.net).eval(volume, z_axis=0, batch_size=1, **options)


@pytest.mark.parametrize("threshold", [0.1, 0.5])
@pytest.mark.parametrize("values", [{}, {"diameter": 45}, {"flow_threshold": 0.2}], ids=str)
def test_stitched_labels_are_cellposes(segmenter, network, balls, threshold, values):
    volume = balls[1:]  # after an empty plane Cellpose gives numbers out twice
    params = SegmentParams(**values)
    made = segment(segmenter, volume, Depth.STITCHED, params, stitch_threshold=threshold)
    expected, _, _ = by_cellpose(network, volume, stitch_threshold=threshold, **values)
    assert made.labels.any()
    np.testing.assert_array_equal(made.labels, expected)


@pytest.mark.parametrize(
    ("values", "anisotropy"),
    [({}, 1.0), ({}, 2.0), ({"diameter": 24}, 2.0), ({"cellprob_threshold": 1.0}, 2.0)],
    ids=str,
)
def test_labels_in_3d_are_cellposes_of_the_mean_flows(
    segmenter, network, balls, values, anisotropy
):
    from cellpose.dynamics import resize_and_compute_masks

    params = SegmentParams(**values)
    made = segment(segmenter, balls, Depth.IN_3D, params, anisotropy=anisotropy)
    _, (_, sums, cellprob), _ = by_cellpose(
        network, balls, do_3D=True, anisotropy=anisotropy, compute_masks=False, **values
    )
    expected = resize_and_compute_masks(
        sums / 2,
        cellprob,
        niter=int(200 / network.scale(params)),
        cellprob_threshold=params.cellprob_threshold,
        do_3D=True,
        device=torch.device("cpu"),
    )
    assert made.labels.any()
    np.testing.assert_array_equal(made.labels, expected)


@pytest.mark.parametrize("seed", range(5))
def test_stitching_joins_what_cellpose_joins(seed):
    truth = draw_field(seed, shape=(90, 110), nuclei=12).labels
    planes = np.stack([np.roll(truth, 3 * z, axis=1) for z in range(6)])
    planes[3][planes[3] == 2] = 0
    for plane in planes:
        numbers = np.unique(plane[plane > 0])
        plane[plane > 0] = np.searchsorted(numbers, plane[plane > 0]) + 1
    from cellpose.utils import stitch3D

    expected = stitch3D(planes.copy().astype(np.uint16), 0.3)
    np.testing.assert_array_equal(stitch_planes(planes, 0.3), expected)


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("name", ["stand-in", catalogue.BUNDLED])
def test_every_depth_finds_the_balls_and_says_how(segmenter, balls, depth, name):
    model = segmenter if name == "stand-in" else catalogue.load(catalogue.find(name), "cpu")
    steps = []

    def follow(done, total, name=""):
        steps.append((done, total))

    made = segment(model, balls, depth, progress=follow, anisotropy=2)
    assert made.labels.shape == balls.shape
    assert made.labels.dtype == np.int32
    inside = [made.labels[centre] for centre in CENTRES]
    assert all(inside)
    if depth is not Depth.PLANES:
        assert len(set(inside)) == 3
    assert made.provenance.depth["method"] == depth
    assert made.provenance.model == name
    assert made.provenance.parameters["min_size"] == USUAL.min_size
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


@pytest.mark.parametrize("depth", [Depth.PLANES, Depth.STITCHED])
def test_dark_balls_are_told_where_they_were_not_asked_for(balls, depth):
    model = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    made = segment(model, 2000 + balls.max() - balls, depth)
    assert any("darker than the background" in sign for sign in made.provenance.suspect)
    assert not segment(model, balls, depth).provenance.suspect


def test_balls_that_3d_leaves_out_are_told(balls):
    model = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    made = segment(model, balls, Depth.IN_3D, SegmentParams(max_size_fraction=0.05))
    assert "No nucleus was found" in made.provenance.suspect[0]
    assert not segment(model, balls, Depth.IN_3D, anisotropy=2).provenance.suspect


@pytest.mark.parametrize("depth", Depth)
def test_balls_that_the_sides_cut_off_are_dropped_as_wholes(segmenter, balls, depth):
    cut = np.ascontiguousarray(balls[:, CENTRES[0][1] :])
    whole = segment(segmenter, cut, depth, anisotropy=2)
    inner = segment(segmenter, cut, depth, SegmentParams(exclude_on_edges=True), anisotropy=2)

    assert len(touching_border(whole.labels))
    np.testing.assert_array_equal(inner.labels > 0, expected_inside(whole.labels, depth))
    assert inner.provenance.parameters["exclude_on_edges"]


def expected_inside(labels, depth):
    planes = labels if depth is Depth.PLANES else [labels]
    return np.stack([without_border(one) for one in planes]).reshape(labels.shape) > 0


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("name", ["stand-in", "otsu"])
def test_dark_balls_are_found_as_bright_ones_are(segmenter, balls, depth, name):
    model = segmenter if name == "stand-in" else catalogue.load(catalogue.find(name), "cpu")
    if (name, depth) == ("otsu", Depth.IN_3D):
        pytest.skip("it has no flows")
    expected = segment(model, balls, depth).labels
    made = segment(model, balls.max() - balls, depth, SegmentParams(invert=True))
    assert expected.any()
    assert np.array_equal(made.labels, expected)
    assert made.provenance.parameters["invert"] is True


def test_a_ball_too_large_for_the_network_is_found_in_3d():
    model = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")
    z, y, x = np.indices((20, 150, 160))
    inside = ((6 * (z - 10)) ** 2 + (y - 75) ** 2 + (x - 80) ** 2) ** 0.5 < 55
    volume = np.random.default_rng(0).normal(100, 4, z.shape) + 400 * inside

    made = segment(model, volume, Depth.IN_3D, anisotropy=6)
    found = made.labels == made.labels[10, 75, 80]
    assert np.count_nonzero(found & inside) > 0.9 * np.count_nonzero(found | inside)
    assert made.provenance.is_estimated
    assert made.provenance.diameter == pytest.approx(110, rel=0.2)


def test_the_baseline_is_stitched_but_has_no_flows(balls):
    otsu = catalogue.load(catalogue.find("otsu"), "cpu")
    assert segment(otsu, balls, Depth.STITCHED).labels.max() >= 3
    with pytest.raises(ValueError, match="choose stitched"):
        segment(otsu, balls, Depth.IN_3D)


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("step", [0, 3])
def test_a_stop_passes_through(segmenter, balls, depth, step):
    def stop(done, total, name=""):
        if done == step:
            raise Stopped

    with pytest.raises(Stopped):
        segment(segmenter, balls, depth, progress=stop)


@pytest.mark.parametrize("depth", Depth)
def test_a_constant_volume_has_no_nuclei(segmenter, depth):
    assert not segment(segmenter, np.full((4, 30, 40), 7.0), depth).labels.any()


@pytest.mark.parametrize(
    ("volume", "depth", "values", "reason"),
    [
        (np.ones((30, 40)), Depth.STITCHED, {}, "choose planes x height x width"),
        (np.ones((1, 30, 40)), Depth.IN_3D, {}, "is too thin for 3-D; choose planes"),
        (np.ones((3, 30, 40)), Depth.IN_3D, {"split_depth": 1.0}, "split depth works on planes"),
        (np.full((3, 30, 40), np.nan), Depth.STITCHED, {}, "plane 0: it holds NaN"),
    ],
    ids=["a plane", "one plane", "split depth", "NaN"],
)
def test_what_cannot_be_segmented_in_depth_is_refused(segmenter, volume, depth, values, reason):
    with pytest.raises(ValueError, match=reason):
        segment(segmenter, volume, depth, SegmentParams(**values))


class Undefined(Blobs):
    """A damaged net: one pixel in the middle of its results is no number."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        output, style = super().forward(x)
        output[:, :, 128, 128] = self.value
        return output, style


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_whose_result_is_no_number_tells_it_at_any_depth(balls, depth, value):
    broken = segmenter_of(CellposeSAM(Undefined(value), Device("cpu", "any"), cellposes_tiles))
    with pytest.raises(ValueError, match="result holds NaN or infinite values"):
        segment(broken, balls, depth)


def test_a_volume_too_large_for_the_memory_is_refused(segmenter, balls):
    with pytest.raises(ValueError, match="do not fit into memory"):
        segment(segmenter, balls, Depth.IN_3D, SegmentParams(diameter=1), anisotropy=20)
