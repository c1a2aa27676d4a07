"""Cellpose 1-3's networks against Cellpose 3.1.1.2, which `scripts/classic_reference.py` ran."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import OutOfDeviceMemory, Stopped
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from napari_nucseg.segmenters.tiling import flip_flows
from napari_nucseg.segmenters.unet import ClassicUNet
from scripts.classic_reference import CHECKPOINT, EVERY, RANDOM, draw_image, random_weights
from tests.segmenters.stand_ins import predict

FILE = Path(__file__).parents[1] / "data" / "classic_unet.npz"


@pytest.fixture(scope="module")
def reference():
    with np.load(FILE) as arrays:
        return dict(arrays)


def write_weights(case, path):
    """Write the weights that the reference was made with, as Cellpose 3 names them."""
    shape = UNetShape(channels=2, widths=case.widths, residuals=2, style=True)
    state = ResidualUNet(shape).state_dict()
    weights = random_weights({name: tuple(tensor.shape) for name, tensor in state.items()}, case)
    weights["diam_mean"] = np.array([30.0], np.float32)
    weights["diam_labels"] = np.array([case.own_diameter], np.float32)
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, path)


def check(case, path, reference):
    """Compare output and labels of a checkpoint with what it gave in Cellpose 3."""
    segment = catalogue.load(catalogue.find(str(path)), "cpu")
    assert isinstance(segment.network, ClassicUNet)
    params = SegmentParams(
        diameter=case.diameter, flow_threshold=case.flow_threshold, augment=case.augment
    )
    made = segment(draw_image(), params, ignore)
    output = np.concatenate([made.flows.vectors, made.flows.cellprob[None]])
    expected = reference[f"{case.name}_output"]
    np.testing.assert_allclose(output[:, ::EVERY, ::EVERY], expected, atol=1e-4)
    assert made.labels.max() > 5
    # On a CPU Cellpose 3 follows flows by other code than on a graphics card, whose Cellpose 4 kept
    np.testing.assert_array_equal(made.labels, reference[f"{case.name}_labels_of_a_card"])


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.name)
def test_random_weights_give_what_cellpose_3_gives(case, reference, tmp_path, one_thread):
    write_weights(case, tmp_path / "random")
    check(case, tmp_path / "random", reference)


@pytest.mark.parametrize("case", CHECKPOINT, ids=lambda case: case.name)
def test_a_checkpoint_of_cellpose_2_gives_what_it_gave(case, reference, one_thread):
    """The README says where the checkpoint is from."""
    path = os.environ.get("NUCSEG_CELLPOSE_2_MODEL")
    if path is None:
        pytest.skip("NUCSEG_CELLPOSE_2_MODEL names no checkpoint")
    check(case, Path(path), reference)


def test_tiles_are_reported_and_a_stop_passes_through(tmp_path):
    write_weights(RANDOM[0], tmp_path / "random")
    network = catalogue.load(catalogue.find(str(tmp_path / "random")), "cpu").network
    steps = []
    predict(network, draw_image(), SegmentParams(), lambda *step: steps.append(step))
    assert steps == [(done, 4) for done in range(5)]

    def stop(done, total):
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        predict(network, draw_image(), SegmentParams(), stop)


def test_tiles_that_memory_does_not_hold_are_run_in_smaller_batches(tmp_path):
    write_weights(RANDOM[0], tmp_path / "random")
    network = catalogue.load(catalogue.find(str(tmp_path / "random")), "cpu").network
    batches = []

    def two_at_most(tiles):
        if len(tiles) > 2:
            raise OutOfDeviceMemory("GPU")
        batches.append(len(tiles))
        return network.run_batch(tiles)

    params = SegmentParams(batch_size=4)
    flows = predict(replace(network, run_batch=two_at_most), draw_image(), params, ignore)
    assert batches == [2, 2]
    assert "not have enough memory for 4 tiles at once; 2 were run" in flows.notes[0]
    expected = predict(network, draw_image(), params, ignore)
    np.testing.assert_allclose(flows.cellprob, expected.cellprob, atol=1e-4)


def test_with_flipped_copies_it_does_not_matter_how_the_image_lies(tmp_path):
    write_weights(RANDOM[0], tmp_path / "random")
    network = catalogue.load(catalogue.find(str(tmp_path / "random")), "cpu").network
    image = draw_image()[:208, :208]  # with its border a single tile, filled whole

    def difference(augment):
        params = SegmentParams(augment=augment, diameter=30)
        usual, turned = (predict(network, each, params, ignore) for each in (image, image[::-1]))
        one, other = (np.stack([*flows.vectors, flows.cellprob]) for flows in (usual, turned))
        return abs(flip_flows(other, (True, False)) - one).max()

    assert difference(augment=True) < 1e-3
    assert difference(augment=False) > 0.05


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (224, 224), (225, 30)], ids=str)
@pytest.mark.parametrize("diameter", [0, 12, 300])
def test_any_shape_works(tmp_path, shape, diameter):
    write_weights(RANDOM[1], tmp_path / "random")
    segment = catalogue.load(catalogue.find(str(tmp_path / "random")), "cpu")
    image = np.random.default_rng(0).integers(0, 999, shape)
    assert segment(image, SegmentParams(diameter=diameter), ignore).labels.shape == shape


def test_an_image_without_contrast_is_no_error(tmp_path):
    write_weights(RANDOM[0], tmp_path / "random")
    segment = catalogue.load(catalogue.find(str(tmp_path / "random")), "cpu")
    flows = segment(np.full((40, 50), 7), SegmentParams(), ignore).flows
    assert np.isfinite(flows.vectors).all()
