from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.checkpoints import (
    check_complete,
    kind_of,
    load_unet,
    read_record,
    read_state,
    write_record,
    write_state,
)
from napari_nucseg.segmenters.fluo_unet import FluoShape, FluoUNet
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape

SHAPE = UNetShape(widths=(4, 8))
FLUO_SHAPE = FluoShape((4, 8, 4))


@pytest.fixture
def state():
    """The weights of a small net."""
    torch.manual_seed(0)
    return ResidualUNet(SHAPE).state_dict()


@pytest.fixture
def fluo():
    """The weights of a small network of any nuclei."""
    torch.manual_seed(0)
    return FluoUNet(FLUO_SHAPE).state_dict()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "my model.pt"


def refusal(path: Path, load=load_unet) -> str:
    """The message of the ValueError, which names the file, that loading ends with."""
    with pytest.raises(ValueError) as failure:  # noqa: PT011, the message is checked by callers
        load(path)
    message = str(failure.value)
    assert str(path) in message
    assert "\n\n" not in message
    return message


def refusal_by_the_catalogue(path: Path) -> str:
    return refusal(path, lambda path: catalogue.load(catalogue.find(str(path)), "cpu"))


# Files that are no model


class TouchesAFile:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "old format"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(path, tmp_path, state, zipped):
    harm = tmp_path / "harm"
    content = {**state, "W2": TouchesAFile(harm)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "more than tensors" in refusal_by_the_catalogue(path)
    assert not harm.exists()
    torch.load(path, weights_only=False)
    assert harm.exists()  # so the file was able to do harm


def test_a_whole_net_that_was_pickled_is_refused(path):
    torch.save(ResidualUNet(SHAPE), path)
    assert "more than tensors" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"hello\n",
        b"My notes\n",
        b"Results of Monday, see the other folder\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"II*\x00\x08\x00\x00\x00" + bytes(100),
        bytes(1000),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 6758758\n",
        b"<!DOCTYPE html><html><body>Not found</body></html>",
        b"{}",
    ],
    ids=[
        "empty",
        "one byte",
        "text",
        "notes",
        "longer text",
        "PNG",
        "TIFF",
        "zeros",
        "Git LFS pointer",
        "web page",
        "JSON",
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(path, content):
    path.write_bytes(content)
    assert "not a readable model file" in refusal_by_the_catalogue(path)


def test_a_zip_archive_of_other_files_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images/a.tif", b"not weights")
    assert "not a readable model file" in refusal_by_the_catalogue(path)


def test_a_zip_archive_that_seems_to_span_disks_is_refused(path):
    of_two_disks = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 2)
    path.write_bytes(of_two_disks + b"PK\x05\x06" + bytes(18))
    assert "not a readable model file" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_of_numbers_is_refused(path, protocol):
    path.write_bytes(pickle.dumps({"weights": [1.0, 2.0]}, protocol=protocol))
    refusal_by_the_catalogue(path)


@pytest.mark.parametrize("kept", [10, 1000, 30_000, 0.3, 0.5, 0.9, 0.999, -1, -22])
def test_a_checkpoint_that_is_cut_off_is_refused(path, kept):
    whole = catalogue.find(catalogue.BUNDLED).path.read_bytes()
    end = int(kept * len(whole)) if isinstance(kept, float) else kept
    path.write_bytes(whole[:end])
    assert "cut off" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize("kept", [1, 10, 100, 1000, 0.5, -8])
def test_a_checkpoint_of_the_old_format_that_is_cut_off_is_refused(path, state, kept):
    torch.save(state, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert "cut off" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize("kept", [1, 8, 9, 100, 0.5, -8])
def test_safetensors_that_are_cut_off_are_refused(path, state, kept):
    whole = safetensors.torch.save(state)
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert "cut off" in refusal_by_the_catalogue(path)


def test_a_file_that_begins_as_safetensors_do_and_goes_on_otherwise_is_refused(path):
    path.write_bytes(
        (40).to_bytes(8, "little") + b"{ this is no JSON, however it looks " + bytes(80)
    )
    assert "not a readable model file" in refusal_by_the_catalogue(path)


def test_a_file_that_is_not_there_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"my model\.pt: there is no such model file"):
        read_state(path)


def test_a_folder_is_no_model_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such model file"):
        read_state(tmp_path)


# Checkpoints of something else


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(2)],
        torch.zeros(2),
        {"epoch": 3, "loss": 0.5},
        {"state_dict": {"output.2.weight": torch.zeros(3, 4, 1, 1)}, "epoch": 3},
        {0: torch.zeros(2), 1: torch.zeros(2)},
        None,
    ],
    ids=["list", "tensor", "numbers", "nested", "numbered", "nothing"],
)
def test_a_checkpoint_that_is_no_state_dict_is_refused(path, content):
    torch.save(content, path)
    assert "not a model's weights" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize(
    "content",
    [{}, {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}],
    ids=["of nothing", "of another net"],
)
def test_a_state_dict_of_another_net_is_refused_with_what_to_choose(path, content):
    torch.save(content, path)
    message = refusal_by_the_catalogue(path)
    assert "not a Cellpose model" in message
    assert "choose" in message


def test_a_net_that_shares_a_name_with_the_unet_is_refused(path):
    torch.save({"output.2.weight": torch.zeros(10, 5)}, path)
    assert "not a whole residual U-Net" in refusal_by_the_catalogue(path)


def test_a_transformer_is_no_unet(path):
    torch.save({"W2": torch.zeros(192, 3, 8, 8)}, path)
    assert "Cellpose 4" in refusal(path)


# Checkpoints that do not fit


@pytest.mark.parametrize(
    "lost",
    [
        "downsample.down.res_down_1.conv.conv_1.2.bias",
        "downsample.down.res_down_1.conv.conv_0.2.weight",
        "upsample.up.res_up_0.conv.conv_1.conv.0.running_mean",
        "output.2.bias",
    ],
)
def test_a_checkpoint_without_one_of_its_weights_is_refused(path, state, lost):
    del state[lost]
    torch.save(state, path)
    assert "not a whole residual U-Net" in refusal_by_the_catalogue(path)


def test_the_message_names_the_weight_that_is_missing(path, state):
    del state["output.2.bias"]
    torch.save(state, path)
    assert "output.2.bias" in refusal(path)


def test_a_checkpoint_with_a_weight_too_many_is_refused(path, state):
    state["output.3.weight"] = torch.zeros(3)
    torch.save(state, path)
    assert "output.3.weight" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize(
    "name", ["output.2.weight", "downsample.down.res_down_0.conv.conv_0.2.weight"]
)
def test_a_checkpoint_with_a_weight_of_another_rank_is_refused(path, state, name):
    state[name] = torch.zeros(3)
    torch.save(state, path)
    assert "not a whole residual U-Net" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_weights_that_are_no_finite_numbers_are_refused_by_name(path, state, value, ending):
    path = path.with_suffix(ending)
    state["output.2.bias"][1] = value
    with path.open("wb") as file:
        write_state(state, file, ending)
    assert "output.2.bias holds NaN or infinite values" in refusal_by_the_catalogue(path)


def test_the_bundled_weights_with_a_nan_are_refused_by_name(tmp_path):
    weights = dict(safetensors.torch.load_file(catalogue.find(catalogue.BUNDLED).path))
    weights["head.bias"][0] = float("nan")
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(weights, path)
    assert "head.bias holds NaN or infinite values" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_weights_of_other_kinds_of_numbers_are_refused_by_name(path, state, dtype):
    state["output.2.weight"] = state["output.2.weight"].to(dtype)
    torch.save(state, path)
    assert "output.2.weight holds" in refusal_by_the_catalogue(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_are_taken(path, state, dtype):
    name = "output.2.weight"
    before = state[name]
    state[name] = before.to(dtype)
    torch.save(state, path)
    assert torch.allclose(load_unet(path).state_dict()[name], before, atol=0.01)


def test_a_weight_that_repeats_a_few_numbers_is_refused_before_it_fills_the_memory(path, state):
    name = "output.2.weight"
    state[name] = torch.zeros(1).expand(10**5, 10**5)
    torch.save(state, path)
    assert f"{name} of shape (100000, 100000) is not stored whole" in refusal_by_the_catalogue(path)


def test_a_net_that_would_be_wider_than_its_file_is_refused_before_it_is_built(path, state):
    name = "downsample.down.res_down_0.conv.conv_0.2.weight"
    state[name] = torch.zeros(10**5, 1, 3, 3)
    torch.save(state, path)
    message = refusal_by_the_catalogue(path)
    assert "have another shape" in message
    assert "\n" not in message


@pytest.mark.parametrize("diameter", [0, 30])  # 0 is estimated, from results, too
def test_a_network_whose_result_is_no_number_tells_it(path, fluo, diameter):
    fluo["down.0.first.norm.running_var"][:] = -1
    torch.save(fluo, path)
    segment = catalogue.load(catalogue.find(str(path)), "cpu")
    image = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)
    with pytest.raises(ValueError, match="result holds NaN or infinite values"):
        segment(image, SegmentParams(diameter=diameter), ignore)


def test_the_diameters_may_be_missing_as_in_the_first_published_weights(path, state):
    for name in ("diam_mean", "diam_labels"):
        del state[name]
    torch.save(state, path)
    assert float(load_unet(path).diam_labels) == 30


@pytest.mark.parametrize("lost", ["head.bias", "up.0.first.norm.running_mean", "lateral.1.weight"])
def test_a_network_of_any_nuclei_without_one_of_its_weights_is_refused(path, fluo, lost):
    del fluo[lost]
    torch.save(fluo, path)
    message = refusal(path)
    assert "not a whole fluo-nuclei network" in message
    assert lost in message


# Checkpoints that are accepted


@pytest.mark.parametrize("ending", [".pt", ".safetensors", ".SafeTensors"])
@pytest.mark.parametrize("kind", ["unet", "fluo"])
def test_what_is_written_is_read_whatever_the_file_is_called(path, state, fluo, kind, ending):
    written = {"unet": state, "fluo": fluo}[kind]
    with path.open("wb") as file:
        write_state(written, file, ending)
    assert (path.read_bytes()[8:9] == b"{") is (ending != ".pt")
    assert kind_of(read_state(path), path) == kind
    loaded = load_unet(path)
    assert isinstance(loaded, {"unet": ResidualUNet, "fluo": FluoUNet}[kind])
    assert not loaded.training
    found = loaded.state_dict()
    assert found.keys() == written.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in written.items())


def test_the_shape_of_a_network_of_any_nuclei_is_read_off_its_weights(path, fluo):
    torch.save(fluo, path)
    assert load_unet(path).shape == FLUO_SHAPE


def test_weights_in_another_order_in_memory_are_written_too(path):
    net = ResidualUNet(SHAPE).to(memory_format=torch.channels_last)
    with path.open("wb") as file:
        write_state(net.state_dict(), file, ".safetensors")
    found = load_unet(path).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in net.state_dict().items())


def test_a_record_of_a_training_is_read_as_it_was_written(path):
    record = {"plan": {"a": [1, "b"], "c": None}, "weights": {"w": torch.arange(3.0)}, "x": 0.25}
    with path.open("wb") as file:
        write_record(record, file)
    found = read_record(path)
    assert found["plan"] == record["plan"]
    assert found["x"] == 0.25
    assert torch.equal(found["weights"]["w"], record["weights"]["w"])


def test_a_record_that_runs_code_is_refused_and_does_not_run(path, tmp_path):
    torch.save({"plan": TouchesAFile(tmp_path / "harm")}, path)
    assert "more than tensors" in refusal(path, read_record)
    assert not (tmp_path / "harm").exists()


def test_weights_are_no_record_of_a_training(path, state):
    torch.save(state, path)
    assert "not the checkpoint of a training" in refusal(path, read_record)


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "old format"])
def test_both_formats_of_pytorch_are_read(path, state, zipped):
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    read = read_state(path)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())


def test_the_prefix_of_a_parallel_training_is_taken_off(path, state):
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    loaded = load_unet(path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_loaded_net_survives_its_file_being_replaced(path, state):
    torch.save(state, path)
    net = load_unet(path)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    path.unlink()
    path.write_bytes(b"something else")
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


def test_kinds_are_told_apart(state, path):
    assert kind_of(state, path) == "unet"
    assert kind_of({"W2": torch.zeros(1)}, path) == "cellpose"


# Completeness and fingerprint


def test_what_is_missing_and_what_has_another_shape_is_counted(state, path):
    partial = dict(state)
    del partial["output.2.bias"], partial["diam_mean"]
    partial["output.2.weight"] = torch.zeros(3, 5, 1, 1)
    with pytest.raises(ValueError, match="2 weights are missing and 1 have another shape") as error:
        check_complete(partial, state, path)
    assert str(path) in str(error.value)
    check_complete(state, state, path)
