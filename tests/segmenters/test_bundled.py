"""The model that comes with the package, by each of the libraries that compute it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.matching import match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.metrics.score import score
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue, tiling
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.fluo import LARGEST, SMALLEST
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.tiling import FLIPS, flip, flip_flows
from tests.segmenters.stand_ins import predict

DEFAULTS = SegmentParams()
UNSEEN = 0.05
"""What may change in outputs of -5 to 5 by what is farther away than tiles overlap."""


@pytest.fixture(scope="module", params=["onnxruntime", "torch"])
def segmenter(request):
    """The bundled model on the processor, by each of the libraries that compute it."""
    model = catalogue.find(catalogue.BUNDLED)
    if request.param == "torch":
        model = replace(model, onnx=None)
    return catalogue.load(model, "cpu")


@pytest.fixture
def segment(segmenter):
    """Image and parameters to labels."""

    def run(image, **params):
        return segmenter(image, SegmentParams(**params), ignore).labels

    return run


@pytest.fixture(scope="module")
def validation(bbbc039):
    """The real validation fields by their short names."""
    return {field.name: field for field in open_dataset(bbbc039, "validation").fields}


def f1(truth, labels):
    return score(truth, labels).objects.f1


def count(labels):
    return int(labels.max(initial=0))


def at_the_border(labels, least_area=100):
    """Numbers of the objects that the field's edge cuts, but for mere slivers."""
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    areas = np.bincount(labels.ravel())
    return {int(i) for i in np.unique(edges) if i and areas[i] >= least_area}


def share_found(truth, labels, wanted):
    """Of some true objects, the share that has a partner."""
    matching = match(find_overlap(truth, labels))
    found = {int(i) for i in matching.overlap.truth_ids[matching.truth_index]}
    return len(wanted & found) / len(wanted)


# How well


def test_drawn_nuclei_are_found(segment, drawn_fields):
    for field in drawn_fields[:2]:
        assert f1(field.labels, segment(field.image)) >= 0.85


def test_a_drawn_field_without_nuclei_comes_out_empty(segment, drawn_fields):
    assert not drawn_fields[2].labels.any()
    assert not segment(drawn_fields[2].image).any()


@pytest.mark.parametrize("name", ["A02_s1", "B04_s4", "O13_s3"])
def test_real_nuclei_are_found(segment, validation, name):
    field = validation[name]
    truth = field.read_truth()
    labels = segment(field.read_image().data)
    assert f1(truth, labels) >= 0.9
    assert share_found(truth, labels, at_the_border(truth)) >= 0.9


def test_a_real_field_without_nuclei_comes_out_empty(segment, validation):
    field = validation["L10_s6"]
    assert not field.read_truth().any()
    assert not segment(field.read_image().data).any()


def test_nuclei_that_the_border_cuts_are_found(segment):
    field = draw_field(3, shape=(300, 300), nuclei=60)
    wanted = at_the_border(field.labels)
    assert len(wanted) >= 6
    assert share_found(field.labels, segment(field.image), wanted) >= 0.9


def test_a_nucleus_that_is_cut_in_the_middle_is_found_whichever_edge_cuts_it(segment):
    field = draw_field(7, shape=(200, 200), nuclei=14)
    middle = np.argwhere(field.labels == field.labels[60:140, 60:140].max()).mean(axis=0)
    y, x = np.rint(middle).astype(int)
    for part in (np.s_[y:], np.s_[: y + 1], np.s_[:, x:], np.s_[:, : x + 1]):
        truth, image = field.labels[part], field.image[part]
        assert share_found(truth, segment(image), {int(field.labels[y, x])}) == 1


# What comes out


def test_labels_are_numbered_without_gaps_and_flows_fit_the_image(segmenter, drawn_fields):
    image = drawn_fields[0].image
    before = image.copy()
    result = segmenter(image, DEFAULTS, ignore)
    assert result.labels.shape == image.shape
    assert result.labels.dtype == np.int32
    assert np.array_equal(np.unique(result.labels), np.arange(count(result.labels) + 1))
    assert result.flows.vectors.shape == (2, *image.shape)
    assert result.flows.cellprob.shape == image.shape
    assert np.isfinite(result.flows.vectors).all()
    assert np.isfinite(result.flows.cellprob).all()
    assert np.array_equal(image, before)


def test_the_same_image_gives_the_same_labels(segment, drawn_fields):
    image = drawn_fields[0].image
    assert np.array_equal(segment(image), segment(image))


@pytest.mark.parametrize(
    "shape",
    [(1, 1), (1, 50), (50, 1), (2, 3), (15, 17), (16, 16), (33, 31), (127, 129)],
    ids=str,
)
@pytest.mark.parametrize("diameter", [0, 7, 300])
def test_any_shape_works(segment, shape, diameter):
    image = draw_field(1, shape=(130, 130), nuclei=10).image[: shape[0], : shape[1]]
    assert segment(image, diameter=diameter).shape == shape


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 50), np.uint16),
        np.full((40, 50), 65535, np.uint16),
        np.full((40, 50), -0.1),
        np.ones((40, 50), bool),
    ],
    ids=["dark", "saturated", "negative", "true"],
)
@pytest.mark.parametrize("diameter", [0, 15])
def test_an_image_without_contrast_has_no_nuclei(segment, image, diameter):
    assert not segment(image, diameter=diameter).any()


def test_noise_alone_has_no_nuclei(segment):
    noise = np.random.default_rng(0).normal(100, 3, (120, 120))
    assert not segment(noise).any()


# What does not matter


def test_brighter_images_give_the_same_labels(segment, drawn_fields):
    image = drawn_fields[0].image
    expected = segment(image)
    assert np.array_equal(segment(image * np.uint16(16)), expected)
    assert np.array_equal(segment(image / 4096), expected)
    shifted = segment(image.astype(float) - 1000)
    assert count(shifted) == count(expected)
    assert np.mean(shifted == expected) > 0.999


@pytest.mark.parametrize("kind", ["<u2", ">u2", "i4", "u4", "i8", "f2", "f4", ">f4", "f8"])
def test_the_type_of_the_pixels_does_not_matter(segment, drawn_fields, kind):
    image = np.minimum(drawn_fields[0].image, 2048)  # whole numbers that half floats hold
    assert np.array_equal(segment(image.astype(kind)), segment(image))


def test_images_of_eight_bits_work(segment, drawn_fields):
    field = drawn_fields[0]
    assert f1(field.labels, segment((field.image >> 4).astype(np.uint8))) >= 0.8


def test_the_memory_layout_does_not_matter(segment, drawn_fields):
    image = drawn_fields[0].image
    expected = segment(image)
    assert np.array_equal(segment(np.asfortranarray(image)), expected)
    wide = np.repeat(image, 2, axis=1)
    assert np.array_equal(segment(wide[:, ::2]), expected)
    image.flags.writeable = False
    try:
        assert np.array_equal(segment(image), expected)
    finally:
        image.flags.writeable = True


# Parameters


@pytest.mark.parametrize("diameter", [SMALLEST, 30, LARGEST])
def test_within_the_range_of_its_training_the_diameter_changes_nothing(
    segmenter, drawn_fields, diameter
):
    image = drawn_fields[0].image
    set_, free = (
        segmenter(image, SegmentParams(diameter=value), ignore) for value in (diameter, 0)
    )
    assert np.array_equal(set_.labels, free.labels)
    assert (set_.provenance.diameter, set_.provenance.is_estimated) == (diameter, False)
    assert (free.provenance.diameter, free.provenance.is_estimated) == (None, False)


def test_the_minimum_size_drops_small_nuclei(segment, drawn_fields):
    labels = segment(drawn_fields[0].image)
    areas = np.sort(np.bincount(labels.ravel())[1:])
    limit = int(areas[len(areas) // 2])
    kept = segment(drawn_fields[0].image, min_size=limit)
    assert 0 < count(kept) < count(labels)
    assert np.bincount(kept.ravel())[1:].min() >= limit


def test_a_higher_cell_probability_gives_less_foreground(segment, drawn_fields):
    areas = [
        np.count_nonzero(segment(drawn_fields[0].image, cellprob_threshold=value))
        for value in (-4, 0, 4)
    ]
    assert areas[0] > areas[1] > areas[2]


def test_a_strict_flow_threshold_drops_nuclei(segment, drawn_fields):
    counts = [
        count(segment(drawn_fields[0].image, flow_threshold=value)) for value in (0.01, 0.4, 0)
    ]
    assert counts[0] < counts[1] <= counts[2]


@pytest.mark.parametrize("sides", FLIPS[1:], ids=["along y", "along x", "both"])
def test_with_flipped_copies_it_does_not_matter_how_the_image_lies(segmenter, drawn_fields, sides):
    network = segmenter.network
    image = network.normalise(drawn_fields[0].image[:150, :190], DEFAULTS)

    def difference(augment):
        params = SegmentParams(augment=augment)
        usual, turned = (
            network.infer(each, params, ignore) for each in (image, flip(image, sides))
        )
        one, other = (np.stack([*flows.vectors, flows.cellprob]) for flows in (usual, turned))
        return abs(flip_flows(other, sides) - one).max()

    assert difference(augment=True) < 1e-3
    assert difference(augment=False) > 0.05


def test_flipped_copies_are_counted_and_can_be_stopped(segmenter, drawn_fields):
    image = drawn_fields[0].image
    steps = []
    predict(segmenter.network, image, SegmentParams(augment=True), lambda *s: steps.append(s))
    looks = [step for step in steps if step == (0, 1)]
    assert list(dict.fromkeys(steps[len(looks) :])) == [(done, 4) for done in range(5)]


# What is refused, and stopping


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_undefined_pixel_is_refused(segment, value):
    image = np.zeros((20, 20))
    image[3, 4] = value
    with pytest.raises(ValueError, match="image: it holds NaN or infinite values"):
        segment(image)


@pytest.mark.parametrize("shape", [(3, 20, 20), (20,), (0, 20), ()], ids=str)
def test_what_is_no_grey_plane_is_refused(segment, shape):
    with pytest.raises(ValueError, match="choose one grey plane"):
        segment(np.zeros(shape))


def test_progress_is_told_from_the_start_to_the_end(segmenter, drawn_fields):
    steps = []
    segmenter(drawn_fields[0].image, DEFAULTS, lambda done, total: steps.append((done, total)))
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1] > 0
    assert steps == sorted(steps)


@pytest.mark.parametrize("at", [1, 2])
def test_a_stop_passes_through_and_the_next_run_works(segmenter, drawn_fields, at):
    calls = []

    def stop(done, total):
        calls.append(done)
        if len(calls) == at:
            raise Stopped

    with pytest.raises(Stopped):
        segmenter(drawn_fields[0].image, DEFAULTS, stop)
    assert segmenter(drawn_fields[0].image, DEFAULTS, ignore).labels.any()


# Large images


def flows_in_tiles(segmenter, image, edge, monkeypatch):
    """Flows of an image cut into tiles no longer than an edge, and the progress that was told."""
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(tiling, "LARGEST_TILE", edge)
        normalised = segmenter.network.normalise(image, DEFAULTS)
        flows = segmenter.network.run(
            normalised, DEFAULTS, lambda done, total: steps.append((done, total))
        )
    return flows, steps


def test_a_long_field_in_tiles_gives_what_the_whole_field_gives(segmenter, monkeypatch):
    image = draw_field(5, shape=(1300, 130), nuclei=42).image
    whole, _ = flows_in_tiles(segmenter, image, 2048, monkeypatch)
    tiled, steps = flows_in_tiles(segmenter, image, 900, monkeypatch)
    assert steps[-1][1] > 1
    np.testing.assert_allclose(tiled.vectors, whole.vectors, atol=UNSEEN)
    np.testing.assert_allclose(tiled.cellprob, whole.cellprob, atol=UNSEEN)
    processor = segmenter.network.device
    labels = Labeller(whole, processor)(DEFAULTS)
    assert count(labels) > 20
    assert np.mean(Labeller(tiled, processor)(DEFAULTS) != labels) <= 1e-4


# The two libraries


def test_both_libraries_compute_the_same_net(drawn_fields):
    model = catalogue.find(catalogue.BUNDLED)
    by_onnx, by_torch = (
        catalogue.load(each, "cpu").network for each in (model, replace(model, onnx=None))
    )
    for trait in ("channels", "stride", "reach"):
        assert getattr(by_onnx.net, trait) == getattr(by_torch.net, trait)
    one, other = (
        predict(network, drawn_fields[0].image, DEFAULTS, ignore) for network in (by_onnx, by_torch)
    )
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-3)
    np.testing.assert_allclose(one.cellprob, other.cellprob, atol=1e-3)


@pytest.mark.slow
def test_on_a_processor_the_bundled_model_needs_no_torch():
    lines = [
        "import sys, numpy",
        "from napari_nucseg.segmenters import catalogue",
        "model = catalogue.find(catalogue.BUNDLED)",
        "segment = catalogue.load(model, 'cpu')",
        "segment(numpy.zeros((40, 50)), model.defaults, lambda done, total: None)",
        "assert not {'torch', 'cellpose'} & set(sys.modules)",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
