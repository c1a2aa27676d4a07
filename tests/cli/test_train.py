from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile

from napari_nucseg.io.sources import sha256
from napari_nucseg.io.writers import read_provenance
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.fluo_unet import FluoShape
from napari_nucseg.segmenters.training.params import FINE_TUNING, TrainParams
from tests.cli.conftest import parse, stems
from tests.segmenters.random_nets import write_small_sam

BRIEF = ("--batches", 4, "--validate-every", 2, "--crop", 64, "--batch-size", 2)
SPLITS = ("--split", "first", "--held-out", "second")


@pytest.fixture
def trainable(drawn_dataset):
    """The drawn dataset with a list to learn from and a list that is held out, with nuclei."""
    first, second = stems(drawn_dataset, "training")
    for name, stem in (("first", first), ("second", second)):
        (drawn_dataset / "metadata" / f"{name}.txt").write_text(f"{stem}\n")
    return drawn_dataset


@pytest.fixture
def without_lists(trainable):
    """The drawn dataset as a user's folder is: no lists of fields."""
    shutil.rmtree(trainable / "metadata")
    return trainable


def test_a_net_is_trained_and_can_be_used(run, trainable, images, tmp_path):
    out = tmp_path / "mine.safetensors"
    done = run("train", trainable, "-o", out, "--start", catalogue.BUNDLED, *SPLITS, *BRIEF)
    assert done.code == 0, done.err
    assert f"use them with --model {out}" in done.out
    record = parse(out.with_suffix(".json").read_text())
    assert record["parameters"]["batches"] == 4
    assert record["parameters"]["learning_rate"] == TrainParams().learning_rate
    assert record["learned_from"] == [{"name": "drawn first", "fields": 1}]
    assert record["start"] == sha256(catalogue.find(catalogue.BUNDLED).path)
    done = run("segment", images / "a.tif", "-o", tmp_path / "out", "--model", out)
    assert done.code == 0, done.err
    assert read_provenance(tmp_path / "out" / "a.tif")["model"] == "mine.safetensors"


def test_a_model_is_taught_from_a_folder_without_lists_and_packed(run, without_lists, tmp_path):
    out = tmp_path / "mine.safetensors"
    options = ("--fine-tune", "--minutes", "5", "--bioimageio", *BRIEF)
    done = run("train", without_lists, "-o", out, *options)
    assert done.code == 0, done.err
    record = parse(out.with_suffix(".json").read_text())
    assert record["started_from"] == "fluo-nuclei.safetensors"
    assert record["parameters"]["learning_rate"] == FINE_TUNING.learning_rate
    assert record["held_out"] == [{"name": "drawn", "fields": 1}]
    held = record["fields"]["held_out"][0].split()[0]
    assert f"held out, and not learned from: {held}" in done.err
    assert record["best"]["mean_ap"] >= record["before"]["mean_ap"]
    assert (tmp_path / "mine.bioimageio.zip").is_file()
    assert f"The BioImage.IO package is {tmp_path / 'mine.bioimageio.zip'}" in done.out


def test_as_many_fields_are_held_out_as_are_asked_for(run, trainable, tmp_path):
    out = tmp_path / "mine.safetensors"
    options = ("--split", "training", "--hold-out", "0", "--fine-tune", *BRIEF)
    assert run("train", trainable, "-o", out, *options).code == 0
    record = parse(out.with_suffix(".json").read_text())
    assert record["learned_from"] == [{"name": "drawn training", "fields": 2}]
    assert record["held_out"] == []


def test_nothing_is_learned_outside_of_what_is_complete(run, refuse, trainable, tmp_path):
    out, areas = tmp_path / "mine.safetensors", tmp_path / "areas"
    areas.mkdir()
    command = ("train", trainable, "-o", out, "--split", "training", "--hold-out", 0, *BRIEF)
    command = (*command, "--fine-tune", "--complete-in", areas)
    assert "areas: no file of areas is named as one of the fields is" in refuse(*command)
    first, _ = stems(trainable, "training")
    ring = [[0, 0], [100, 0], [100, 160], [0, 160], [0, 0]]
    area = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (areas / f"{first}.geojson").write_text(json.dumps(area))
    done = run(*command)
    assert done.code == 0, done.err
    assert f"{areas}: no areas for 1 field, left out" in done.said
    record = parse(out.with_suffix(".json").read_text())
    (field,) = record["fields"]["learned_from"]
    assert field.split()[0] == first
    assert len(field.split()) == 4  # prints of image, labels and the part that is complete


def test_a_net_of_any_nuclei_is_trained_on_several_datasets(run, trainable, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trainable, other)
    out = tmp_path / "mine.pt"
    done = run("train", trainable, other, "-o", out, *SPLITS, *BRIEF)
    assert done.code == 0, done.err
    assert load_unet(out).shape == FluoShape()
    record = parse(out.with_suffix(".json").read_text())
    assert [one["name"] for one in record["learned_from"]] == ["drawn first", "other first"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")
def test_ctrl_c_keeps_the_best_weights_and_resume_goes_on(run, trainable, tmp_path):
    out = tmp_path / "mine.pt"
    command = ("train", trainable, "-o", out, *SPLITS, *BRIEF, "--batches", 5000)
    with subprocess.Popen(
        [sys.executable, "-m", "napari_nucseg", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background ignores Ctrl-C, and what it starts would do so, too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while not out.with_suffix(".png").exists():
            assert process.poll() is None, "it ended before it could be interrupted"
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    assert told.startswith("Stopped; the best weights so far, of batch ")
    assert f"are in {out}; go on with --resume" in told
    assert load_unet(out).shape == FluoShape()
    done = parse(out.with_suffix(".json").read_text())["batches"]
    assert 2 <= done < 5000
    assert (
        "belongs to another training" in run("train", trainable, "-o", out, *SPLITS, "--resume").err
    )


PRESSED = """
import signal, sys

class Press:
    def find_spec(self, name, *rest):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
sys.meta_path.insert(0, Press())
from napari_nucseg.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "numpy", "napari_nucseg.cli.label_files"])
def test_ctrl_c_while_the_command_is_loaded_ends_it_without_a_word(module):
    done = subprocess.run([sys.executable, "-c", PRESSED, module], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the folder one is in")
def test_a_folder_that_is_gone_while_one_is_in_it_is_told(refuse, tmp_path, drawn_fields):
    tifffile.imwrite(tmp_path / "a.tif", drawn_fields[0].image)
    (tmp_path / "gone").mkdir()
    with contextlib.chdir(tmp_path / "gone"):
        (tmp_path / "gone").rmdir()
        message = refuse("segment", tmp_path / "a.tif", "-m", "otsu", "-o", "out")
        os.chdir(tmp_path)
    assert "the folder that you are in is not there now; go to another one" in message


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("segment", "", "-o", "out"), "argument 2 is empty"),
        (("segment", "a.tif", "-o", ""), "argument 4 is empty"),
        (("segment", "a.tif", "--out="), "--out has no value"),
    ],
)
def test_an_empty_argument_is_not_taken_for_the_folder_one_is_in(
    refuse, tmp_path, monkeypatch, drawn_fields, arguments, reason
):
    tifffile.imwrite(tmp_path / "a.tif", drawn_fields[0].image)
    monkeypatch.chdir(tmp_path)
    assert reason in refuse(*arguments)
    assert os.listdir() == ["a.tif"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--split", "first", "--held-out", "first"), "1 field is in both drawn first and drawn"),
        ((), "there is no such split; there are training, test, first, second"),
        ((*SPLITS, "--batches", "0"), "batches is 0; it must be a whole number, 1 to 1e+07"),
        ((*SPLITS, "--crop", "65"), "crop is 65"),
        ((*SPLITS, "--crop", "100"), "crop is 100"),
        ((*SPLITS, "--start", "otsu"), "otsu has no weights to go on from"),
        ((*SPLITS, "--start", "nowhere"), "there is no model 'nowhere'"),
        ((*SPLITS, "--resume"), "mine.pt.checkpoint: there is no checkpoint to go on from"),
        (("--split", "first", "--held-out", "test"), "no field has nuclei"),
        (("--split", "first", "--hold-out", "1"), "1 of 1 field cannot be held out"),
        ((*SPLITS, "--hold-out", "1"), "--hold-out and --held-out exclude each other"),
        ((*SPLITS, "--minutes", "0"), "minutes is 0; it must be above 0"),
        ((*SPLITS, "--bioimageio"), "mine.pt: only networks like fluo-nuclei, saved as .safeten"),
        ((*SPLITS, "--start", "cpdino"), "cpdino: the models of Cellpose 4 with DINOv3 cannot be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_training_with_bad_options_is_refused(refuse, trainable, tmp_path, options, reason):
    assert reason in refuse("train", trainable, "-o", tmp_path / "mine.pt", *options)
    assert not (tmp_path / "mine.pt").exists()


@pytest.mark.parametrize("start", ["cpsam", "cpsam_v2", "a file"])
def test_cellpose_sam_is_refused_on_a_cpu_before_anything_is_read_or_fetched(
    refuse, tmp_path, offline, start
):
    if start == "a file":
        start = str(write_small_sam(tmp_path / "cells.pt"))
    command = ("train", tmp_path / "no_data", "-o", tmp_path / "mine.pt", "--fine-tune")
    told = refuse(*command, "--start", start, "--device", "cpu")
    assert f"{Path(start).name}: Cellpose-SAM learns on a GPU with at least 12 GB of memory" in told
    assert "is none; start from fluo-nuclei instead" in told
    assert not list(offline.glob("*"))


def test_weights_that_are_there_are_replaced_only_when_asked_for(run, refuse, trainable, tmp_path):
    out = tmp_path / "mine.pt"
    out.write_bytes(b"the weights of yesterday")
    command = ("train", trainable, "-o", out, *SPLITS, *BRIEF)
    assert "mine.pt already exists; choose another name" in refuse(*command)
    assert out.read_bytes() == b"the weights of yesterday"
    assert run(*command, "--overwrite").code == 0
    assert load_unet(out).shape == FluoShape()
