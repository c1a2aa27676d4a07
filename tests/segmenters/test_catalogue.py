from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from napari_nucseg.io.download import DownloadError, RemoteFile
from napari_nucseg.io.sources import sha256
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.progress import ignore
from napari_nucseg.report.page import describe_made
from napari_nucseg.segmenters import catalogue, networks
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.model import Model, weights_folder
from napari_nucseg.segmenters.parameters import SegmentParams
from tests.io.file_server import Cut, FileServer
from tests.segmenters.random_nets import write_residual_unet

PUBLISHED = ("cpsam_v2", "cpsam", "cpdino", "cpdino-vitb")
CLASSIC = ("nuclei", "cyto", "cyto2", "cyto3")
NAMED = (catalogue.BUNDLED, "otsu", *CLASSIC, *PUBLISHED)
CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for weights, made the one in use."""
    path = tmp_path / "weights"
    path.mkdir()
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(path))
    monkeypatch.setenv("NO_PROXY", "*")
    return path


def from_server(server: FileServer, name: str = "cpsam_v2") -> Model:
    """A published model, had from a server on this computer."""
    remote = RemoteFile(name, server.url(), len(CONTENT))
    return replace(catalogue.find(name), remote=remote)


# Which models there are


def test_the_bundled_models_come_first_and_the_published_ones_follow():
    assert [model.name for model in catalogue.models()] == list(NAMED)


def test_every_model_says_what_it_is_and_how_large():
    for model in catalogue.models():
        assert model.about
        assert "\n" not in model.about
        assert model.megabytes > 0 or model.path is None


@pytest.mark.parametrize("name", NAMED)
def test_a_model_is_found_by_its_name(name):
    assert catalogue.find(name) == {model.name: model for model in catalogue.models()}[name]


@pytest.mark.parametrize("name", ["cyto4", "Nuclei", "U2OS", "cpsam_v3", "", "no/such/file.pt"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    with pytest.raises(ValueError, match="there is no model") as failure:
        catalogue.find(name)
    message = str(failure.value)
    assert repr(name) in message
    for known in NAMED:
        assert known in message


@pytest.mark.parametrize("kind", ["fluo-nuclei", "residual"])
def test_a_file_can_be_a_model(tmp_path, kind):
    path = tmp_path / "my nuclei.pt"
    if kind == "residual":
        write_residual_unet(path)
    else:
        shutil.copy(catalogue.find(catalogue.BUNDLED).path, path)
    model = catalogue.find(str(path))
    assert model.name == "my nuclei.pt"
    assert model.path == path
    assert model.is_ready
    assert model.remote is None
    assert model.megabytes == round(path.stat().st_size / 1e6)
    labels = catalogue.load(model, "cpu")(np.zeros((20, 30)), SegmentParams(), ignore).labels
    assert labels.shape == (20, 30)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ValueError, match="there is no model"):
        catalogue.find(str(tmp_path))


def test_the_baseline_needs_no_weights(drawn_fields):
    model = catalogue.find("otsu")
    assert model.is_ready
    result = catalogue.load(model, "cpu")(drawn_fields[0].image, model.defaults, ignore)
    assert result.labels.max() > 5
    assert result.provenance.model == "otsu"


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_models_are_had_from_where_cellpose_3_had_them(folder, name):
    model = catalogue.find(name)
    assert model.remote.url.startswith("https://www.cellpose.org/models/")
    assert model.path.parent == folder


# Where they are


def test_weights_go_where_cellpose_keeps_them(folder, tmp_path, monkeypatch):
    assert weights_folder() == folder
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("CELLPOSE_LOCAL_MODELS_PATH")
        else:
            monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", unset)
        assert weights_folder() == tmp_path / ".cellpose" / "models"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_is_not_ready_in_an_empty_folder(folder, name):
    model = catalogue.find(name)
    assert model.path == folder / name
    assert not model.is_ready
    model.path.touch()
    assert not model.is_ready  # an empty file is what a failed download leaves
    model.path.write_bytes(b"<html>Log in</html>")
    assert not model.is_ready  # as earlier versions kept it
    with model.path.open("wb") as file:
        file.truncate(model.remote.size or model.remote.rough_size)
    assert model.is_ready


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_come_over_a_verified_connection(name):
    assert catalogue.find(name).remote.url.startswith("https://")
    assert catalogue.find(name).remote.url.endswith(f"/{name}")


def test_the_bundled_model_is_ready_and_small(folder):
    model = catalogue.find(catalogue.BUNDLED)
    assert model.is_ready
    size = model.path.stat().st_size
    assert size <= 8e6
    assert model.megabytes == round(size / 1e6)
    assert folder not in model.path.parents
    assert model.onnx.stat().st_size < size / 20  # the graph alone: the weights are there once


# Downloads


def test_a_download_puts_the_model_into_the_folder(folder):
    steps = []
    with FileServer(CONTENT) as server:
        model = from_server(server)
        catalogue.download(model, lambda done, total: steps.append((done, total)))
        assert model.is_ready
        assert (folder / "cpsam_v2").read_bytes() == CONTENT
        assert [path.name for path in folder.iterdir()] == ["cpsam_v2"]
        catalogue.download(model, lambda done, total: steps.append((done, total)))
        assert len(server.ranges) == 1  # the second time nothing is asked for
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_a_download_survives_a_cut_connection(folder):
    with FileServer(CONTENT, faults=[Cut(1000)]) as server:
        model = from_server(server)
        catalogue.download(model, ignore)
    assert model.path.read_bytes() == CONTENT


def test_a_download_can_be_stopped_and_leaves_no_model(folder):
    def stop(done, total):
        raise Stopped

    with FileServer(CONTENT) as server:
        model = from_server(server)
        with pytest.raises(Stopped):
            catalogue.download(model, stop)
    assert not model.is_ready


def test_a_model_that_was_altered_on_the_way_is_not_kept(folder):
    stated = {"ETag": '"' + "0" * 64 + '"'}
    with FileServer(CONTENT, file_headers=stated) as server:
        model = from_server(server)
        with pytest.raises(DownloadError, match="SHA-256"):
            catalogue.download(model, ignore)
    assert not model.is_ready


def test_without_a_network_the_message_says_at_once_where_to_put_the_file(folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    model = catalogue.find("cpsam_v2")
    url = f"http://127.0.0.1:{port}/cpsam_v2"
    offline = replace(model, remote=replace(model.remote, url=url))
    start = time.monotonic()
    with pytest.raises(DownloadError) as failure:
        catalogue.download(offline, ignore)
    assert time.monotonic() - start < 10
    assert url in str(failure.value)
    assert f"put it at {folder / 'cpsam_v2'}" in str(failure.value)


def test_the_bundled_model_and_a_file_need_no_download(tmp_path):
    def never(done, total):
        raise AssertionError("something was downloaded")

    path = tmp_path / "model.pt"
    path.write_bytes(CONTENT)
    catalogue.download(catalogue.find(catalogue.BUNDLED), never)
    catalogue.download(catalogue.find(str(path)), never)
    assert path.read_bytes() == CONTENT


# Loading


def test_a_model_is_loaded_once():
    model = catalogue.find(catalogue.BUNDLED)
    assert catalogue.load(model, "cpu") is catalogue.load(model, "cpu")


def test_a_model_whose_file_was_replaced_is_loaded_anew(tmp_path):
    path = write_residual_unet(tmp_path / "model.pt")
    first = catalogue.load(catalogue.find(str(path)), "cpu")
    later = path.stat().st_mtime + 60
    os.utime(path, (later, later))
    assert catalogue.load(catalogue.find(str(path)), "cpu") is not first


def test_the_provenance_names_the_file_that_ran_by_its_fingerprint():
    model = catalogue.find(catalogue.BUNDLED)
    made = catalogue.load(model, "cpu")(np.zeros((20, 30)), SegmentParams(), ignore).provenance
    by_torch = catalogue.load(replace(model, onnx=None), "cpu")
    other = by_torch(np.zeros((20, 30)), SegmentParams(), ignore).provenance
    for one in (made, other):  # both libraries read the same file
        assert one.weights == "fluo-nuclei.safetensors"
        assert one.weights_sha256 == sha256(model.path)
    assert made.model == catalogue.BUNDLED
    assert made.device.startswith("CPU, ")
    assert made.precision == "float32"
    assert made.parameters == asdict(SegmentParams())
    assert set(made.versions) >= {"napari-nucseg", "cellpose", "torch", "numpy"}
    assert made.seconds > 0
    assert json.loads(json.dumps(made.as_dict())) == made.as_dict()


@pytest.mark.parametrize("device", ["tpu", "", "CPU"])
def test_an_unknown_device_is_refused_before_the_weights_are_read(tmp_path, device):
    path = tmp_path / "model.pt"
    path.write_bytes(b"never read")
    with pytest.raises(ValueError, match="is not on this machine"):
        catalogue.load(catalogue.find(str(path)), device)


def test_a_model_that_is_not_here_is_named(folder):
    with pytest.raises(OSError, match="cpsam_v2"):
        catalogue.load(catalogue.find("cpsam_v2"), "cpu")


# Scores that look better than they are


def test_scores_on_fields_that_the_bundled_model_learned_from_carry_a_note():
    name = catalogue.BUNDLED
    for splits in ({"training"}, {"validation"}, {"training", "validation", "test"}):
        assert f"{name} was trained on the training split" in catalogue.caveat(name, splits)
    assert catalogue.caveat(name, {"test"}) is None
    assert catalogue.caveat(name, {None}) is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_scores_of_published_models_carry_a_note_on_any_split(name):
    for split in ("training", "validation", "test"):
        assert "DSB2018" in catalogue.caveat(name, {split})
    assert catalogue.caveat(name, {None}) is None


def test_a_file_carries_no_note(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(CONTENT)
    assert catalogue.caveat(str(path), {"training"}) is None


# Importing

IMPORTS = """
import importlib, pkgutil, sys
import napari_nucseg.io, napari_nucseg.batch
names = [
    f"{package.__name__}.{module.name}"
    for package in (napari_nucseg.io, napari_nucseg.batch)
    for module in pkgutil.iter_modules(package.__path__)
]
names += ["napari_nucseg.segmenters.catalogue", "napari_nucseg.cli.main"]
heavy = ("torch", "cellpose", "napari", "qtpy", "matplotlib", "pandas")
for name in names:
    importlib.import_module(name)
    print(name, *(module for module in heavy if module in sys.modules))
"""


@pytest.mark.slow
def test_importing_what_the_command_line_needs_loads_no_heavy_package():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    names = {name for name, *_ in lines}
    assert names >= {
        "napari_nucseg.cli.main",
        "napari_nucseg.io.images",
        "napari_nucseg.io.writers",
    }
    assert [line for line in lines if line[1:]] == []


SEGMENTED = """
import napari_nucseg as ns
ns.segment(ns.sample()[0][:64, :64], device="cpu")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows itself keeps what is told there")
def test_nobody_is_told_what_is_segmented(tmp_path):
    """ONNX Runtime keeps a number of the computer and what it has to tell in the home folder."""
    unsuppressed = {name: value for name, value in os.environ.items() if name != "CI"}
    for name in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"):
        unsuppressed.pop(name, None)
    home = {"HOME": str(tmp_path), "NUCSEG_CACHE": str(tmp_path / "ours")}
    subprocess.run([sys.executable, "-c", SEGMENTED], env=unsuppressed | home, check=True)
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert not [path for path in files if tmp_path / "ours" not in path.parents]


# Licences


def test_every_model_says_its_licence_and_networks_what_they_learned_from():
    ours = (networks.BUNDLED, *networks.PUBLISHED)

    assert all(model.licence and model.trained_on for model in ours)
    assert networks.BUNDLED.terms == "CC0-1.0; trained on DSB2018 and BBBC039 (CC0-1.0)"
    by_name = {model.name: model for model in networks.PUBLISHED}
    assert "CC-BY-NC" in by_name["cyto3"].trained_on
    assert by_name["cpsam"].licence == "BSD-3-Clause"
    assert "DINOv3 License" in by_name["cpdino"].licence


def test_labels_say_the_terms_of_the_model_that_made_them():
    field = draw_field()
    segmenter = catalogue.load(catalogue.find(catalogue.BUNDLED), "cpu")

    made = segmenter(field.image, SegmentParams(), ignore).provenance.as_dict()

    assert (made["licence"], made["trained_on"]) == (
        networks.BUNDLED.licence,
        networks.BUNDLED.trained_on,
    )
    assert f"Licence of the model: {networks.BUNDLED.terms}." in list(describe_made(made))


def test_the_wheel_carries_the_text_of_each_licence_that_it_names():
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    files = [one for pattern in project["license-files"] for one in root.glob(pattern)]

    assert project["license"] == "BSD-3-Clause AND CC0-1.0"
    texts = [one.read_text("utf-8") for one in files]
    for name in ("BSD 3-Clause License", "CC0 1.0 Universal", "Howard Hughes Medical Institute"):
        assert any(name in text for text in texts), name
