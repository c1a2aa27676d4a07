"""Teaching Cellpose-SAM: Cellpose's own class with two narrow blocks instead of a ViT-L."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import devices, networks
from napari_nucseg.segmenters.cellpose4 import CellposeSAM
from napari_nucseg.segmenters.checkpoints import read_state
from napari_nucseg.segmenters.devices import Device, choose
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training import params as training_params
from napari_nucseg.segmenters.training.crops import batches
from napari_nucseg.segmenters.training.examples import Example
from napari_nucseg.segmenters.training.held_out import score_network
from napari_nucseg.segmenters.training.learner import copy_of, load_learner
from napari_nucseg.segmenters.training.loop import Training
from napari_nucseg.segmenters.training.params import (
    FINE_TUNING,
    TrainParams,
    check_start,
    is_sam,
    starting_params,
)
from tests.segmenters.random_nets import (
    learn,
    same,
    small_sam,
    write_residual_unet,
    write_small_sam,
)
from tests.segmenters.stand_ins import predict

BRIEF = TrainParams(batches=4, batch_size=2, crop=256, learning_rate=3e-3)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Let all transformers of these tests be small."""
    with small_sam():
        yield


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return write_small_sam(tmp_path_factory.mktemp("start") / "cells.pt")


@pytest.fixture(scope="module")
def examples(start):
    learner = load_learner(start, BRIEF)
    fields = [draw_field(seed, shape=(256, 256), nuclei=20) for seed in range(2)]
    return [Example.of(learner.normalise(field.image), field.labels) for field in fields]


def training_of(start, params=BRIEF):
    return Training(load_learner(start, params), params, choose("cpu"))


# Learning


def test_it_learns_from_drawn_nuclei_and_little_beside_its_weights_changes(start, examples):
    training = training_of(start, replace(BRIEF, fine_tune=True, batch_size=2))
    with closing(batches(examples, training.params, 0)) as drawn:
        batch = next(drawn)
    losses = [training.learn(batch) for _ in range(10)]
    assert losses[-1] < 0.9 * losses[0]
    before, after = read_state(start), training.weights(1.0)
    assert before.keys() == after.keys()
    kept = [name for name in before if torch.equal(before[name], after[name])]
    assert {"W2", "diam_mean", "diam_labels"} <= set(kept)
    assert not {"out.weight", "encoder.pos_embed", "encoder.blocks.1.mlp.lin1.weight"} & set(kept)
    assert same(training.weights(0.0), dict(before))


@pytest.mark.parametrize("fine_tune", [False, True])
def test_what_was_interrupted_goes_on_to_the_same_weights(start, examples, fine_tune):
    params = replace(BRIEF, fine_tune=fine_tune)
    whole = training_of(start, params)
    losses = learn(whole, examples)
    first = training_of(start, params)
    begun = learn(first, examples, until=2)
    second = training_of(start, params)
    torch.manual_seed(12345)  # whatever else was drawn at random meanwhile
    second.restore(first.state())
    assert begun + learn(second, examples) == losses
    assert same(second.weights(1.0), whole.weights(1.0))


def test_one_channel_says_what_cellposes_three_say(start, examples):
    learner = load_learner(start, BRIEF)
    image = torch.from_numpy(examples[0].image)[None, None]
    three = torch.cat([image, torch.zeros_like(image), torch.zeros_like(image)], dim=1)
    with torch.inference_mode():
        assert torch.allclose(learner.forward(learner.net, image), learner.net(three)[0], atol=1e-5)


def test_it_is_scored_as_it_will_be_used(start, examples, tmp_path):
    training = training_of(start)
    learn(training, examples, until=2)
    path = tmp_path / "mine.pt"
    torch.save(training.weights(1.0), path)
    scores, _ = score_network(training.network(1.0), examples, ignore)
    used = networks.load(networks.of_file(path), "cpu").network
    assert scores == score_network(used, examples, ignore)[0]
    assert training.averaged.dtype == torch.float32  # the copy to keep is exact


def test_weights_that_were_learned_are_loaded_by_cellpose(start, examples, tmp_path):
    from cellpose.models import CellposeModel

    training = training_of(start)
    learn(training, examples, until=2)
    path = tmp_path / "mine.pt"
    weights = training.weights(1.0)
    torch.save(weights, path)
    cellpose = CellposeModel(
        pretrained_model=str(path), device=torch.device("cpu"), use_bfloat16=False
    )
    assert same(copy_of(cellpose.net), weights)
    image = draw_field(3, shape=(256, 256), nuclei=20).image
    flows = cellpose.eval(image, compute_masks=False)[1]
    exact = CellposeSAM(training.averaged, choose("cpu"))
    ours = predict(exact, image, SegmentParams(), ignore)
    np.testing.assert_allclose(ours.cellprob, flows[2], atol=1e-3)


def test_too_little_memory_for_a_crop_says_what_to_start_from(start, examples):
    training = training_of(start)

    def check(module, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    training.learner.net.register_forward_pre_hook(check)
    with pytest.raises(OSError, match="memory for a crop of 256 px; start from fluo-nuclei inste"):
        learn(training, examples)


# What it takes


def gpu(gigabytes):
    """A device in the place of this computer's, with so much memory."""
    return lambda device: round(gigabytes * 1e9)


def test_it_is_refused_without_a_large_gpu(start, tmp_path, monkeypatch):
    out = tmp_path / "mine.pt"
    needed = r"cells\.pt: Cellpose-SAM learns on a GPU with at least 12 GB of memory; CPU, .* "
    with pytest.raises(ValueError, match=needed + "is none; start from fluo-nuclei instead"):
        check_start(start, TrainParams(), "cpu", out)
    monkeypatch.setattr(training_params, "gpu_memory", gpu(11.99))
    with pytest.raises(ValueError, match=needed + r"has 11\.9 GB; start from fluo-nuclei instead"):
        check_start(start, TrainParams(), "cpu", out)
    monkeypatch.setattr(training_params, "gpu_memory", gpu(12))
    check_start(start, TrainParams(), "cpu", out)


def test_its_crops_and_its_file_are_those_that_it_and_cellpose_can_take(
    start, tmp_path, monkeypatch
):
    monkeypatch.setattr(training_params, "gpu_memory", gpu(24))
    with pytest.raises(ValueError, match="crop is 128; Cellpose-SAM learns from crops of 256 px"):
        check_start(start, TrainParams(crop=128), "cpu", tmp_path / "mine.pt")
    with pytest.raises(ValueError, match=r"mine\.safetensors: Cellpose reads .* ends with \.pt"):
        check_start(start, TrainParams(), "cpu", tmp_path / "mine.safetensors")


@pytest.mark.parametrize("model", networks.SAMS, ids=lambda model: model.name)
def test_it_is_known_before_it_is_fetched(model, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    assert not model.path.exists()
    assert is_sam(model.path)
    with pytest.raises(ValueError, match=f"{model.name}: Cellpose-SAM learns on a GPU with"):
        check_start(model.path, TrainParams(), "cpu", tmp_path / "mine.pt")


@pytest.mark.parametrize("model", networks.DINOS, ids=lambda model: model.name)
def test_the_dino_models_are_refused_before_they_are_fetched(model, tmp_path):
    with pytest.raises(ValueError, match=f"{model.name}: the models .* cannot be taught here; sta"):
        check_start(model.path, TrainParams(), "cpu", tmp_path / "mine.pt")


def test_what_is_no_cellpose_sam_is_not_taken_for_one(tmp_path):
    unet = write_residual_unet(tmp_path / "unet.pt")
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"PK\x03\x04 and no more")
    for path in (unet, broken, tmp_path / "absent.pt", networks.BUNDLED.path):
        assert not is_sam(path)
        check_start(path, TrainParams(crop=128), "cpu", tmp_path / "mine.safetensors")


def test_its_defaults_are_cellposes_unless_others_are_given(start):
    tuning = starting_params(start, {"fine_tune": True})
    assert tuning == replace(FINE_TUNING, batch_size=4, learning_rate=1e-5, weight_decay=0.1)
    assert starting_params(start, {}).learning_rate == 1e-5
    assert starting_params(start, {"learning_rate": 3e-5}).learning_rate == 3e-5
    assert starting_params(networks.BUNDLED.path, {"fine_tune": True}) == FINE_TUNING
    assert starting_params(None, {}) == TrainParams()


def test_a_gpu_is_asked_for_its_memory_and_a_processor_has_none(monkeypatch):
    class Card:
        total_memory = 12_884_901_888

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Card)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 22_906_503_168)
    assert devices.gpu_memory(Device("cuda", "any")) == 12_884_901_888
    assert devices.gpu_memory(Device("mps", "any")) == 22_906_503_168
    assert devices.gpu_memory(Device("cpu", "any")) == 0
