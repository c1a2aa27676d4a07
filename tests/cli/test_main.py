from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image

from napari_nucseg import __version__
from napari_nucseg.cli.main import app
from napari_nucseg.cli.options import as_bound
from napari_nucseg.io.writers import write_labels
from napari_nucseg.metrics.registry import metrics
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training.params import TrainParams
from tests.cli.conftest import absent_device, installed, parse

# The program itself


@pytest.mark.slow
def test_the_program_tells_its_version():
    done = installed("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.slow
def test_bad_input_ends_the_program_with_code_2_and_one_line(tmp_path):
    done = installed("benchmark", tmp_path / "nowhere", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert done.stdout == ""
    message = f"{tmp_path / 'nowhere'}: there is no such file or folder"
    assert done.stderr == f"napari-nucseg: {message}\n"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_a_full_disk_behind_the_standard_output_is_one_line(tmp_path):
    write_labels(tmp_path / "a.tif", np.pad(np.ones((8, 9), np.uint16), 3), {})
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "napari_nucseg", "score", "a.tif", "a.tif"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    told = "napari-nucseg: the disk is full; free some space and try again\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_a_file_that_may_not_be_read_is_told_in_a_line(tmp_path, refuse):
    write_labels(tmp_path / "a.tif", np.ones((8, 9), np.uint16), {})
    (tmp_path / "a.tif").chmod(0)
    if os.access(tmp_path / "a.tif", os.R_OK):
        pytest.skip("this user may read all files")
    assert "a.tif: you may not read this file; ask for it" in refuse(
        "score", tmp_path / "a.tif", tmp_path / "a.tif"
    )


@pytest.mark.slow
def test_an_error_in_the_middle_of_the_work_is_one_line_too(tmp_path):
    colours = np.zeros((20, 30, 3), np.uint8)
    colours[:2] = 9, 8, 7
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    done = installed("segment", "a.tif", "-o", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("napari-nucseg: a.tif: a colour image")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_demo_runs_without_a_window(tmp_path):
    done = installed("demo", "--headless", "--out", "new/overlay.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for metric in metrics():
        assert f" {metric.heading} " in done.stdout
    assert "nuclei matched at IoU 0.5" in " ".join(done.stdout.split())
    assert "new/overlay.png" in done.stdout.replace("\\", "/")
    for word in ("missed", "merged", "spurious", "Dashes"):
        assert word in done.stdout.split("overlay.png")[1]
    with Image.open(tmp_path / "new" / "overlay.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == 696
        assert picture.height > 520  # a legend is below the field


@pytest.mark.parametrize("command", [(), ("--help",)])
def test_the_help_lists_the_commands(run, command):
    done = run(*command)
    for name in ("benchmark", "segment", "score", "convert", "models", "train", "demo"):
        assert name in done.out + done.err


@pytest.mark.parametrize("command", ["benchmark", "segment", "score", "convert", "train", "models"])
def test_the_help_of_a_command_ends_with_an_example_of_it(run, command):
    assert f"napari-nucseg {command}" in run(command, "--help").out.partition("Example")[2]


def test_paragraphs_of_the_help_have_no_line_breaks_of_their_own():
    texts = [command.callback.__doc__ for command in app.registered_commands]
    paragraphs = [one for text in texts for one in inspect.cleandoc(text).split("\n\n")]

    assert len(texts) == 8
    assert not [one for one in paragraphs if "\n" in one]


def test_the_help_tells_the_exit_codes(run):
    assert "2: the command, or all of its input, cannot be used" in run("--help").flat


@pytest.mark.parametrize("command", ["train", "segment"])
def test_numbers_in_the_help_can_be_read(run, command):
    assert not re.search(r"\de\+\d", run(command, "--help").out)


@pytest.mark.parametrize(
    ("line", "culprit"),
    [
        ("nonsense", "nonsense"),
        ("benchmark", "dataset"),
        ("benchmark x -o y --nonsense 1", "--nonsense"),
        ("benchmark x -o y --device tpu", "--device"),
        ("benchmark x -o y --diameter large", "--diameter"),
        ("benchmark x -o y --min-size 1.5", "--min-size"),
        ("score x", "truth"),
    ],
)
def test_a_command_that_cannot_be_understood_is_refused_with_the_culprit(run, line, culprit):
    done = run(*line.split())
    assert (done.code, done.out) == (2, "")
    assert culprit in done.err.lower()
    assert "Traceback" not in done.err


# Options that are made from parameters


@pytest.mark.parametrize(
    ("command", "panel", "params"),
    [
        ("benchmark", "Segmentation", SegmentParams),
        ("segment", "Segmentation", SegmentParams),
        ("train", "Training", TrainParams),
    ],
)
def test_the_options_are_exactly_the_parameters(command, panel, params):
    options = typer.main.get_command(app).commands[command].params
    in_panel = [o for o in options if getattr(o, "rich_help_panel", None) == panel]
    assert [option.name for option in in_panel] == [field.name for field in fields(params)]
    for option, spec in zip(in_panel, specs_of(params).values(), strict=True):
        assert option.opts == [f"--{option.name.replace('_', '-')}"]
        assert spec.help in option.help
        assert option.is_flag or f"{as_bound(spec.low)} to {as_bound(spec.high)}" in option.help
        assert option.default is None


def test_options_reach_the_segmenter_and_the_others_keep_their_defaults(
    run, drawn_dataset, tmp_path
):
    done = run(
        *("benchmark", drawn_dataset, "--split", "test", "-o", tmp_path / "out"),
        *("--diameter", 21.5, "--flow-threshold", 0, "--min-size", 3),
    )
    assert done.code == 0, done.err
    summary = parse((tmp_path / "out" / "summary.json").read_text())
    defaults = catalogue.find("fluo-nuclei").defaults
    chosen = replace(defaults, diameter=21.5, flow_threshold=0, min_size=3)
    assert summary["segmentation"]["parameters"] == asdict(chosen)


def test_a_benchmark_can_leave_nuclei_at_the_border_out(run, drawn_dataset, tmp_path):
    out = tmp_path / "out"
    done = run("benchmark", drawn_dataset, "-m", "otsu", "-o", out, "--ignore-border")
    assert done.code == 0, done.err
    ignored = parse((out / "summary.json").read_text())["pooled"]["ignored"]
    assert ignored["true"] > 0
    assert f"{ignored['true']} ignored (predicted: " in done.flat
    assert "Nuclei that touch the border are left out" in (out / "report.html").read_text()


# models


def test_models_are_listed_with_what_is_here(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    done = run("models")
    assert done.code == 0
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]]
        for line in done.out.splitlines()
        if line.startswith("│") and line.split("│")[1].strip()
    }
    assert list(rows) == [model.name for model in catalogue.models()]
    assert rows["fluo-nuclei"] == [f"{catalogue.find('fluo-nuclei').megabytes} MB", "yes"]
    assert rows["cpsam_v2"] == ["1234 MB", "no"]
    assert f"Device: {choose()}" in done.flat
    listed = parse(run("models", "--json").out)
    assert [one["name"] for one in listed["models"]] == list(rows)
    assert all(one["licence"] for one in listed["models"])
    assert "CC-BY-NC" in next(o["trained_on"] for o in listed["models"] if o["name"] == "cpsam_v2")


def test_the_folder_of_weights_can_be_copied_from_the_output(run, tmp_path, monkeypatch):
    folder = (
        tmp_path / ("a rather long name of a folder for the weights of the models " * 2).strip()
    )
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(folder))
    assert f"Weights folder: {folder}\n" in run("models").out


def test_models_on_an_absent_device_are_refused(refuse):
    assert "is not on this machine" in refuse("models", "--device", absent_device())


# demo


def test_a_demo_without_a_display_needs_no_option(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    done = run("demo")
    assert done.code == 0, done.err
    assert (tmp_path / "demo" / "overlay.png").is_file()
    assert "Dice" in done.out


# Download


def test_the_dataset_is_downloaded_to_a_chosen_folder_and_ready_to_use(run, published, tmp_path):
    folder = tmp_path / "a folder"
    done = run("download", "--to", folder)
    assert done.code == 0
    assert "Downloaded and checked: images.zip, masks.zip, metadata.zip" in done.flat
    assert f"benchmark '{folder}' --split validation" in done.flat
    found = run("benchmark", folder, "--split", "training", "-o", tmp_path / "out", "-m", "otsu")
    assert found.code == 0
    assert "2 fields" in found.flat


def test_a_second_download_has_nothing_to_do(run, published):
    run("download")
    asked = [list(server.ranges) for server in published.values()]
    assert "Everything is here already" in run("download").out
    assert [server.ranges for server in published.values()] == asked


def test_a_download_that_fails_is_one_line_with_what_to_do(refuse, published, tmp_path):
    published["masks.zip"].content = b"a page of the provider of the network"
    message = refuse("download", "--to", tmp_path / "new")
    assert "masks.zip from http" in message
    assert "try again later" in message
    assert not (tmp_path / "new" / "masks.zip").exists()
