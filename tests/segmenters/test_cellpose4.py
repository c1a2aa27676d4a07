"""Cellpose 4's networks: a real ViT-L with random weights once, a small stand-in for the rest."""

from __future__ import annotations

import threading
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from napari_nucseg.io.sources import sha256
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import OutOfDeviceMemory, Stopped
from napari_nucseg.segmenters.catalogue import load_once
from napari_nucseg.segmenters.cellpose4 import CellposeSAM
from napari_nucseg.segmenters.devices import Device, choose, computes_bfloat16
from napari_nucseg.segmenters.parameters import SegmentParams
from tests.segmenters.stand_ins import (
    Blobs,
    Uneven,
    cellpose_model,
    cellposes_tiles,
    predict,
    segmenter_of,
)

DEFAULTS = SegmentParams()
PROCESSOR = Device("cpu", "any")


@pytest.fixture
def net():
    return Blobs()


@pytest.fixture
def network(net):
    return CellposeSAM(net, PROCESSOR)


@pytest.fixture
def segmenter(network):
    return segmenter_of(network)


@pytest.fixture
def as_cellpose(network):
    """As `network`, but with Cellpose's own tiles."""
    return replace(network, starts=cellposes_tiles)


@pytest.fixture(scope="module")
def field():
    """A drawn field of the size of BBBC039's."""
    return draw_field(2, nuclei=60)


@pytest.fixture
def cellposes_settings():
    """The settings that Cellpose keeps for the whole process."""
    from cellpose.models import normalize_default

    return normalize_default


class Follow:
    """Keeps the steps that are reported, and stops at one of them if asked to."""

    def __init__(self, stop_at=None):
        self.steps = []
        self.stop_at = stop_at

    def __call__(self, done, total):
        self.steps.append((done, total))
        if done == self.stop_at:
            raise Stopped


# Tiles


def test_a_field_of_bbbc039_is_reported_tile_by_tile(net, segmenter, field):
    follow = Follow()
    segmenter(field.image, DEFAULTS, follow)
    assert net.batches == [1] * 9
    assert follow.steps == [(done, 9) for done in range(10)]


@pytest.mark.parametrize(
    "shape",
    [(64, 64), (224, 224), (250, 300), (256, 256), (257, 100), (512, 512), (640, 640)],
    ids=str,
)
@pytest.mark.parametrize("diameter", [0, 15, 45])
def test_there_are_never_more_tiles_than_cellpose_has(net, network, as_cellpose, shape, diameter):
    image = np.random.default_rng(0).integers(0, 4096, shape, dtype=np.uint16)
    params = SegmentParams(diameter=diameter)
    predict(network, image, params, Follow())
    tiles = len(net.batches)
    predict(as_cellpose, image, params, Follow())
    assert tiles <= len(net.batches) - tiles


def test_a_graphics_card_gets_eight_tiles_at_once(net, field):
    follow = Follow()
    predict(CellposeSAM(net, Device("cuda", "pretended")), field.image, DEFAULTS, follow)
    assert net.batches == [8, 1]
    assert follow.steps == [(0, 9), (8, 9), (9, 9)]


def test_tiles_at_once_give_what_tiles_one_by_one_give(net, network, field):
    at_once = CellposeSAM(net, Device("cuda", "pretended"))
    flows = predict(at_once, field.image, DEFAULTS, Follow())
    expected = predict(network, field.image, DEFAULTS, Follow())
    np.testing.assert_allclose(flows.vectors, expected.vectors, atol=1e-5)
    np.testing.assert_allclose(flows.cellprob, expected.cellprob, atol=1e-5)


def test_the_dino_models_get_larger_and_fewer_tiles(field):
    net = Blobs("dino_vitl")
    follow = Follow()
    predict(CellposeSAM(net, PROCESSOR), field.image, DEFAULTS, follow)
    assert net.batches == [1] * 4
    assert follow.steps == [(done, 4) for done in range(5)]


def test_two_threads_with_one_net_are_each_told_their_own_progress(network, field):
    images = {4: field.image[:300, :300], 6: field.image[:300]}
    follows = {tiles: Follow() for tiles in images}
    together = threading.Barrier(len(images))

    def run(tiles):
        together.wait()
        predict(network, images[tiles], DEFAULTS, follows[tiles])

    threads = [threading.Thread(target=run, args=[tiles]) for tiles in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for tiles, follow in follows.items():
        assert follow.steps == [(done, tiles) for done in range(tiles + 1)]


# Stopping


@pytest.mark.parametrize("tile", [0, 1, 8])
def test_a_stop_between_two_tiles_passes_through(net, segmenter, field, tile):
    with pytest.raises(Stopped):
        segmenter(field.image, DEFAULTS, Follow(stop_at=tile))
    assert len(net.batches) == tile


def test_after_a_stop_the_next_run_works_as_the_first(segmenter, field):
    first = segmenter(field.image, DEFAULTS, Follow()).labels
    with pytest.raises(Stopped):
        segmenter(field.image, DEFAULTS, Follow(stop_at=3))
    follow = Follow()
    assert np.array_equal(segmenter(field.image, DEFAULTS, follow).labels, first)
    assert follow.steps == [(done, 9) for done in range(10)]


# Flows and labels


@pytest.mark.parametrize(
    "shape",
    [(40, 60), (100, 300), (241, 255), (256, 256), (257, 259), (301, 517), (520, 696)],
    ids=str,
)
@pytest.mark.parametrize("diameter", [0, 15, 45])
@pytest.mark.parametrize("backbone", ["sam_vitl", "dino_vitl"])
def test_with_cellposes_tiles_the_flows_are_cellposes(field, shape, diameter, backbone):
    net = Blobs(backbone)
    image = field.image[: shape[0], : shape[1]]
    network = CellposeSAM(net, PROCESSOR, cellposes_tiles)
    flows = predict(network, image, SegmentParams(diameter=diameter), Follow())
    tiles = len(net.batches)
    _, expected, _ = cellpose_model(net).eval(
        image, batch_size=1, diameter=diameter, compute_masks=False
    )
    assert len(net.batches) == 2 * tiles
    np.testing.assert_array_equal(flows.vectors, expected[1])
    np.testing.assert_array_equal(flows.cellprob, expected[2])


def test_with_fewer_tiles_the_flows_are_nearly_cellposes(network, as_cellpose, field):
    flows = predict(network, field.image, DEFAULTS, Follow())
    expected = predict(as_cellpose, field.image, DEFAULTS, Follow())
    # The stand-in sees 12 pixels far; only nearer to a tile's edge may it say something else
    assert np.mean(np.isclose(flows.cellprob, expected.cellprob, atol=1e-3)) > 0.95
    assert np.mean(np.isclose(flows.vectors, expected.vectors, atol=1e-3)) > 0.8
    np.testing.assert_allclose(flows.cellprob, expected.cellprob, atol=0.5)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"diameter": 60},
        {"diameter": 20},
        {"flow_threshold": 0.1},
        {"flow_threshold": 0},
        {"cellprob_threshold": 2},
        {"min_size": 300},
    ],
    ids=str,
)
def test_labels_are_those_of_cellpose_with_the_same_settings(as_cellpose, field, params):
    image = field.image[:300, :300]
    segmenter = segmenter_of(as_cellpose)
    labels = segmenter(image, SegmentParams(**params), Follow()).labels
    with torch.sparse.check_sparse_tensor_invariants(False):  # else torch warns of Cellpose's
        expected, _, _ = cellpose_model(as_cellpose.net).eval(image, batch_size=1, **params)
    assert 3 < expected.max() < 60
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 50), (50, 1), (2, 3), (3, 200), (15, 17), (255, 257)], ids=str
)
@pytest.mark.parametrize("diameter", [0, 7, 300])
def test_any_shape_works(segmenter, field, shape, diameter):
    image = field.image[: shape[0], : shape[1]]
    result = segmenter(image, SegmentParams(diameter=diameter), Follow())
    assert result.labels.shape == shape
    assert result.flows.vectors.shape == (2, *shape)
    assert result.flows.cellprob.shape == shape


@pytest.mark.parametrize("value", [0, 1000, 65535])
def test_an_image_without_contrast_works(segmenter, value):
    image = np.full((60, 70), value, np.uint16)
    assert segmenter(image, DEFAULTS, Follow()).labels.shape == (60, 70)


@pytest.mark.parametrize("kind", ["<u2", ">u2", "i4", "u4", "i8", "f2", "f4", ">f4", "f8"])
def test_the_type_of_the_pixels_does_not_matter(segmenter, field, kind):
    image = np.minimum(field.image[:200, :200], 2048)  # whole numbers that half floats hold
    expected = segmenter(image, DEFAULTS, Follow()).labels
    assert expected.any()
    assert np.array_equal(segmenter(image.astype(kind), DEFAULTS, Follow()).labels, expected)


@pytest.mark.parametrize("kind", ["u2", "f4", "f8"])
def test_the_image_is_left_as_it_was(segmenter, field, kind):
    image = field.image[:100, :100].astype(kind)
    before = image.copy()
    segmenter(image, DEFAULTS, Follow())
    assert np.array_equal(image, before)


def test_a_read_only_image_works(segmenter, field):
    image = field.image[:100, :100].astype(np.float32)
    image.flags.writeable = False
    assert segmenter(image, DEFAULTS, Follow()).labels.any()


def test_cellposes_own_settings_are_left_as_they_were(segmenter, field, cellposes_settings):
    before = dict(cellposes_settings)
    segmenter(field.image[:100, :100], DEFAULTS, Follow())
    assert cellposes_settings == before


# Checkpoints


@pytest.fixture(scope="module")
def weights():
    """All weights of a ViT-L, cut out of one small pool of random numbers: 17 MB, not 1.2 GB."""
    from cellpose.vit import CPSAM

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CPSAM().state_dict().items()}
    torch.manual_seed(0)
    pool = 0.02 * torch.randn(max(shape.numel() for shape in shapes.values()))
    return {name: pool[: shape.numel()].view(shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def transformer(weights, tmp_path_factory):
    """The ViT-L in a file, and loaded from it as a user's model; gone afterwards."""
    path = tmp_path_factory.mktemp("transformer") / "my_cpsam"
    torch.save(weights, path)
    yield path, catalogue.load(catalogue.find(str(path)), "cpu")
    load_once.cache_clear()
    path.unlink()


def test_a_transformer_runs_and_tells_how_its_labels_were_made(transformer, cellposes_settings):
    path, segmenter = transformer
    image = draw_field(1, shape=(64, 64), nuclei=4).image
    before = dict(cellposes_settings)
    follow = Follow()
    result = segmenter(image, SegmentParams(flow_threshold=0.5), follow)
    assert follow.steps == [(0, 1), (1, 1)]
    assert result.labels.shape == (64, 64)
    assert result.flows.vectors.shape == (2, 64, 64)
    assert np.isfinite(result.flows.vectors).all()
    assert np.isfinite(result.flows.cellprob).all()
    assert result.flows.vectors.any()
    assert cellposes_settings == before
    made = result.provenance
    assert made.model == "my_cpsam"
    assert made.weights_sha256 == sha256(path)
    assert made.device == str(choose("cpu"))
    assert made.precision == ("bfloat16" if computes_bfloat16(choose("cpu")) else "float32")
    assert made.parameters["flow_threshold"] == 0.5
    assert set(made.versions) >= {"napari-nucseg", "cellpose", "torch", "numpy"}
    assert made.seconds > 0


def test_a_transformer_gives_what_cellpose_gives(transformer):
    image = draw_field(1, shape=(64, 64), nuclei=4).image
    network = transformer[1].network
    flows = predict(network, image, DEFAULTS, Follow())
    _, expected, _ = cellpose_model(network.net).eval(image, batch_size=1, compute_masks=False)
    np.testing.assert_array_equal(flows.vectors, expected[1])
    np.testing.assert_array_equal(flows.cellprob, expected[2])


def test_a_transformer_holds_the_weights_of_its_file(transformer, weights):
    loaded = transformer[1].network.net.state_dict()
    assert loaded.keys() == weights.keys()
    for name in ("encoder.blocks.0.attn.qkv.weight", "encoder.blocks.23.mlp.lin2.bias"):
        torch.testing.assert_close(loaded[name].float(), weights[name], rtol=0.01, atol=0.001)


def test_a_transformer_without_some_blocks_is_refused_with_their_number(weights, tmp_path):
    kept = {n: t for n, t in weights.items() if not n.startswith("encoder.blocks.2")}
    lost = len(weights) - len(kept)
    assert lost > 0
    path = tmp_path / "partial"
    torch.save(kept, path)
    with pytest.raises(ValueError, match=f"{lost} weights are missing") as failure:
        CellposeSAM.load(path, choose("cpu"))
    assert str(path) in str(failure.value)
    assert "encoder.blocks.2.norm1.weight" in str(failure.value)


def test_a_transformer_with_a_weight_of_another_shape_is_refused(weights, tmp_path):
    path = tmp_path / "misshapen"
    torch.save({**weights, "out.weight": torch.zeros(192, 128, 1, 1)}, path)
    with pytest.raises(ValueError, match="not a whole Cellpose 4 model") as failure:
        CellposeSAM.load(path, choose("cpu"))
    assert str(path) in str(failure.value)


def test_the_prefix_of_a_parallel_training_is_refused_with_the_files_name(weights, tmp_path):
    path = tmp_path / "parallel"
    torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    with pytest.raises(ValueError, match=str(path)):
        CellposeSAM.load(path, choose("cpu"))


@pytest.mark.skipif(find_spec("dinov3") is not None, reason="dinov3 is installed")
def test_a_dino_model_names_the_package_that_it_needs(tmp_path):
    path = tmp_path / "cpdino"
    torch.save({"W2": torch.zeros(192, 3, 8, 8), "encoder.cls_token": torch.zeros(1, 1, 8)}, path)
    with pytest.raises(ValueError, match="needs the package dinov3") as failure:
        CellposeSAM.load(path, choose("cpu"))
    assert str(path) in str(failure.value)
    assert "pip install" in str(failure.value)


def test_a_unet_is_no_transformer():
    path = catalogue.find(catalogue.BUNDLED).path
    with pytest.raises(ValueError, match="not a Cellpose 4 model"):
        CellposeSAM.load(path, choose("cpu"))


# Parameters


def test_more_overlap_takes_more_tiles_and_the_same_tiles_at_once_as_asked(net, network, field):
    predict(network, field.image, SegmentParams(tile_overlap=64), ignore)
    assert net.batches == [1] * 12
    net.batches.clear()
    predict(network, field.image, SegmentParams(batch_size=4), ignore)
    assert net.batches == [4, 4, 1]


def test_percentiles_are_those_that_are_asked_for(network, field):
    usual, strict = (
        predict(network, field.image, SegmentParams(high_percentile=value), ignore).cellprob
        for value in (99.0, 60.0)
    )
    assert strict.mean() > usual.mean()


@pytest.mark.parametrize("shape", [(40, 60), (256, 100), (301, 517)], ids=str)
@pytest.mark.parametrize("diameter", [0, 20])
def test_augmented_flows_are_cellposes(field, shape, diameter):
    image = field.image[: shape[0], : shape[1]]
    network = CellposeSAM(Uneven(), PROCESSOR)
    plain, augmented = (
        predict(network, image, SegmentParams(diameter=diameter, augment=augment), ignore)
        for augment in (False, True)
    )
    _, expected, _ = cellpose_model(network.net).eval(
        image, batch_size=1, diameter=diameter, augment=True, compute_masks=False
    )
    np.testing.assert_array_equal(augmented.vectors, expected[1])
    np.testing.assert_array_equal(augmented.cellprob, expected[2])
    assert abs(augmented.vectors - plain.vectors).max() > 0.1


# Too little memory


class Scarce(Blobs):
    """Runs out of memory for more than so many tiles, as torch does on a GPU."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().forward(x)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_tiles_that_memory_does_not_hold_are_run_in_smaller_batches(field, most):
    net = Scarce(most)
    params = SegmentParams(batch_size=8)
    flows = predict(CellposeSAM(net, PROCESSOR), field.image, params, ignore)
    assert max(net.batches) <= most
    assert sum(net.batches) == 9
    assert "not have enough memory for 8 tiles at once; 4 were run" in flows.notes[0]
    expected = predict(CellposeSAM(Blobs(), PROCESSOR), field.image, params, ignore)
    np.testing.assert_allclose(flows.vectors, expected.vectors, atol=1e-5)
    assert expected.notes == ()


def test_where_not_one_tile_fits_another_device_is_advised(field):
    network = CellposeSAM(Scarce(0), PROCESSOR)
    with pytest.raises(OutOfDeviceMemory, match="choose the device cpu"):
        predict(network, field.image, SegmentParams(batch_size=8), ignore)


def test_what_was_noted_is_in_the_provenance(field):
    segmenter = segmenter_of(CellposeSAM(Scarce(4), PROCESSOR))
    made = segmenter(field.image, SegmentParams(batch_size=8), ignore).provenance
    assert "4 were run at once instead" in made.notes[0]
