from __future__ import annotations

import contextlib
import csv
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, fields, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image
from rich.console import Console

from napari_nucseg import __version__
from napari_nucseg.batch import executor
from napari_nucseg.batch.image_task import Choice, ImageTask
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.cli import console as bars
from napari_nucseg.cli.main import app
from napari_nucseg.cli.options import as_bound
from napari_nucseg.io.sources import Source, sha256
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.metrics.registry import metrics
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.metrics.score import score as score_labels
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters import catalogue, networks
from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.fluo_unet import FluoShape
from napari_nucseg.segmenters.parameters import Depth, SegmentParams
from napari_nucseg.segmenters.training.params import FINE_TUNING, TrainParams
from tests.conftest import write_mask
from tests.drawn_histology import draw_histology
from tests.segmenters.random_nets import write_small_sam

BRIEF = ("--batches", 4, "--validate-every", 2, "--crop", 64, "--batch-size", 2)
SPLITS = ("--split", "first", "--held-out", "second")
ROW_OF_RATIOS = {"dice", "iou", "precision", "recall", "accuracy"}


@pytest.fixture
def refuse(run):
    """Run a command line that is refused: exit code 2, and one line that says why."""

    def command(*arguments):
        done = run(*arguments)
        lines = [line for line in done.err.splitlines() if line.strip()]
        assert done.code == 2
        assert len(lines) == 1, done.err
        assert lines[0].startswith("napari-nucseg: ")
        return lines[0]

    return command


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty folder for weights, and a server for them that refuses every connection."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "weights"))
    monkeypatch.setenv("NO_PROXY", "*")
    nowhere = [
        replace(model, remote=replace(model.remote, url="http://127.0.0.1:1/"))
        for model in networks.PUBLISHED
    ]
    monkeypatch.setattr(networks, "PUBLISHED", nowhere)
    return tmp_path / "weights"


def absent_device():
    """A device that this computer does not have."""
    for kind in ("mps", "cuda"):
        try:
            choose(kind)
        except ValueError:
            return kind
    raise AssertionError("no computer has both")


def stems(dataset, split):
    lines = (dataset / "metadata" / f"{split}.txt").read_text().splitlines()
    return [Path(line).stem for line in lines]


def parse(text):
    """Read JSON, which has no NaN."""

    def refuse_constant(name):
        raise AssertionError(f"the output holds {name}")

    return json.loads(text, parse_constant=refuse_constant)


# Bars of progress

LONG = "a stack with a very long name of the kind that microscopes give to their files t001_w1.tif"


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns, whose lines are read by calling it with what is shown."""
    narrow = Console(width=80, file=StringIO())
    monkeypatch.setattr(bars, "errors", narrow)

    def lines(bar):
        narrow.file = StringIO()
        narrow.print(bar.get_renderable())
        return [line.rstrip() for line in narrow.file.getvalue().splitlines()]

    return lines


def test_a_bar_stays_on_one_line_with_its_count_whatever_the_name(screen):
    bar = bars.counting()
    follow = bars.follow_with(bar, "Images")

    assert "Images" in screen(bar)[0]
    follow(12_345, 20_585, LONG)

    (line,) = screen(bar)
    assert len(line) <= 80
    assert "12345 of 20585" in line
    assert "a stack with" in line


def test_the_planes_of_a_stack_are_counted_below_it(screen):
    bar = bars.counting()
    images, planes = bars.follow_with(bar, "Images"), bars.follow_parts_with(bar, "Planes")

    images(0, 1, LONG)
    planes(0, 1)
    assert len(screen(bar)) == 1
    planes(7, 40)

    above, below = screen(bar)
    assert " 0 of 1 " in above
    assert below.startswith("Planes")
    assert " 7 of 40" in below


def test_a_stack_tells_its_planes_while_it_is_segmented(tmp_path, drawn_fields):
    stack = np.stack([field.image for field in drawn_fields[:2]])
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    told = []
    setup = set_up(catalogue.find("otsu"), "cpu", {}, DEFAULT_RULE)
    work = ImageTask(
        setup, tmp_path / "out", Choice(depth=Depth.PLANES), progress=lambda *at: told.append(at)
    )

    saved = work(Source(tmp_path / "stack.tif"))

    assert saved.count > 0
    assert [at[:2] for at in told if at[0] == 1] == [(1, 2)] * 2
    assert told[-1][:2] == (2, 2)


# The program itself


def installed(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "napari_nucseg", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


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


# benchmark


def test_a_dataset_is_segmented_and_scored(run, drawn_dataset, tmp_path):
    out = tmp_path / "out"
    done = run("benchmark", drawn_dataset, "-o", out, "--model", "fluo-nuclei", "--device", "cpu")
    assert done.code == 0, done.err
    assert {"fields.csv", "labels", "objects.csv", "summary.json"} <= {
        p.name for p in out.iterdir()
    }
    assert len(list((out / "labels").iterdir())) == 3
    with (out / "fields.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stem"] for row in rows] == stems(drawn_dataset, "training") + stems(
        drawn_dataset, "test"
    )
    summary = parse((out / "summary.json").read_text())
    assert summary["pooled"]["objects"]["f1"] >= 0.85
    assert (summary["fields"], summary["empty_fields"]) == (3, 1)
    assert summary["segmentation"]["model"] == "fluo-nuclei"
    places = parse((out / "run.json").read_text())["result"]["places"]
    assert [place["fields"] for place in places] == [3]
    assert places[0]["device"].startswith("CPU, ")
    assert f"{summary['pooled']['objects']['f1']:.3f}" in done.out
    assert f"{summary['mean']['pixels']['dice']:.3f} (" in done.out
    assert "drawn, fluo-nuclei: 3 fields, 1 of them empty" in done.flat
    assert "was trained on the training split" in done.flat


def test_the_test_split_carries_no_note(run, drawn_dataset, tmp_path):
    done = run("benchmark", drawn_dataset, "--split", "test", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "learned from" not in done.flat
    assert "empty" in done.out


def test_a_split_with_absent_fields_is_refused_with_their_number_and_the_first(
    refuse, drawn_dataset, tmp_path
):
    lost = stems(drawn_dataset, "training")[1]
    (drawn_dataset / "images" / f"{lost}.tif").unlink()
    message = refuse("benchmark", drawn_dataset, "--split", "training", "-o", tmp_path / "out")
    assert "1 of its 2 fields are not in the dataset" in message
    assert f"the first is {lost}" in message
    assert not (tmp_path / "out").exists()


def test_absent_fields_can_be_left_out_and_are_named_in_the_summary(run, drawn_dataset, tmp_path):
    lost = stems(drawn_dataset, "training")[1]
    (drawn_dataset / "images" / f"{lost}.tif").unlink()
    split = ("--split", "training", "--allow-missing")
    done = run("benchmark", drawn_dataset, *split, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "1 field" in done.flat
    assert "absent" in done.flat
    summary = parse((tmp_path / "out" / "summary.json").read_text())
    assert summary["absent_fields"] == [lost]
    assert summary["fields"] == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--split", "holdout"), "there is no such split; there are training, test"),
        (("--model", "cyto4"), "there is no model 'cyto4'; choose fluo-nuclei, "),
        (("--diameter", "-1"), "diameter is -1.0; it must be 0 to 2000 px"),
        (("--flow-threshold", "3.1"), "flow threshold is 3.1; it must be 0 to 3"),
        (("--cellprob-threshold", "nan"), "cell probability is nan; it must be -6 to 6"),
        (("--min-size", "-1"), "minimum size is -1; it must be a whole number, 0 to 1000 px"),
        (("--iou", "0"), "threshold is 0.0; it must be above 0 and at most 1"),
        (("--iou", "1.5"), "threshold is 1.5; it must be above 0 and at most 1"),
        (("--iou", "nan"), "threshold is nan; it must be above 0 and at most 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_options_are_refused_before_anything_is_written(
    refuse, drawn_dataset, tmp_path, options, reason
):
    assert reason in refuse("benchmark", drawn_dataset, "-o", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_absent_is_refused_with_those_that_are_there(
    refuse, drawn_dataset, tmp_path
):
    device = absent_device()
    message = refuse("benchmark", drawn_dataset, "-o", tmp_path / "out", "--device", device)
    assert f"device '{device}' is not on this machine; choose auto or one of" in message
    assert message.endswith("cpu")
    assert not (tmp_path / "out").exists()


def test_an_absent_device_is_refused_before_a_model_is_downloaded(
    refuse, drawn_dataset, tmp_path, offline
):
    device = ("--device", absent_device(), "--model", "cpsam_v2")
    message = refuse("benchmark", drawn_dataset, "-o", tmp_path / "out", *device)
    assert "is not on this machine" in message


def test_a_model_that_cannot_be_downloaded_is_told_where_to_go(
    refuse, drawn_dataset, tmp_path, offline
):
    message = refuse("benchmark", drawn_dataset, "-o", tmp_path / "out", "--model", "cpsam_v2")
    assert f"put it at {offline / 'cpsam_v2'}" in message


def test_a_download_is_not_told_on_the_output_of_json(
    run, images, drawn_dataset, tmp_path, offline
):
    for line in (
        ("segment", images, "-o", tmp_path / "out", "--model", "nuclei"),
        ("train", drawn_dataset, "-o", tmp_path / "out.pt", "--start", "nuclei", "--hold-out", 1),
    ):
        done = run(*line, "--json")
        assert done.code == 2
        assert "Downloading nuclei" in done.err
        assert done.out == ""


def test_images_without_ground_truth_are_measured_and_not_scored(run, tmp_path, drawn_fields):
    folder, out = tmp_path / "plain", tmp_path / "out"
    folder.mkdir()
    for name, field in zip("abc", drawn_fields, strict=True):
        tifffile.imwrite(folder / f"{name}.tif", field.image)
    line = ("benchmark", folder, "-m", "otsu", "-o", out)
    done = run(*line)

    assert done.code == 0, done.err
    assert "There is no ground truth, so nuclei were measured, and nothing was scored." in done.flat
    assert "To score them, add masks/ or labels/" in done.flat
    with (out / "measurements.csv").open(newline="") as file:
        nuclei = list(csv.DictReader(file))
    assert f"otsu: 3 fields, {len(nuclei)} nuclei." in done.flat
    assert sorted(path.name for path in (out / "labels").iterdir()) == ["a.tif", "b.tif", "c.tif"]
    report = (out / "report.html").read_text("utf-8")
    assert "napari-nucseg benchmark" in report
    assert "AP .50:.95" not in report

    (folder / "b.tif").write_bytes(b"not a TIFF")
    done = run(*line[:-1], tmp_path / "again", "--parquet")
    assert done.code == 1
    assert "1 field failed, see failed.csv" in done.flat
    assert "--parquet: tables of a run without ground truth are CSV alone" in done.said


def test_a_file_that_is_no_model_is_refused_with_its_name(refuse, drawn_dataset, tmp_path):
    (tmp_path / "notes.txt").write_text("My notes\n")
    model = ("--model", tmp_path / "notes.txt")
    message = refuse("benchmark", drawn_dataset, "-o", tmp_path / "out", *model)
    assert f"{tmp_path / 'notes.txt'}: not a readable model file" in message


def test_a_missing_mask_is_told_and_the_other_fields_are_done(run, drawn_dataset, tmp_path):
    lost = stems(drawn_dataset, "training")[0]
    (drawn_dataset / "masks" / f"{lost}.png").unlink()
    done = run("benchmark", drawn_dataset, "-m", "otsu", "-o", tmp_path / "out")
    assert done.code == 1
    assert f"1 field without a mask, which will fail; the first is {lost}" in done.flat
    assert f"{lost}: the dataset has no mask of this field; add it to masks/" in done.flat
    assert parse((tmp_path / "out" / "summary.json").read_text())["fields"] == 2


@pytest.mark.parametrize("told_by", ["masks", "metadata"])
def test_a_missing_image_is_told(run, drawn_dataset, tmp_path, told_by):
    lost = stems(drawn_dataset, "training")[0]
    (drawn_dataset / "images" / f"{lost}.tif").unlink()
    if told_by == "metadata":
        (drawn_dataset / "masks" / f"{lost}.png").unlink()
    else:
        (drawn_dataset / "metadata" / "training.txt").unlink()
    done = run("benchmark", drawn_dataset, "-m", "otsu", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert f"1 field without an image, the first is {lost}" in done.flat
    assert parse((tmp_path / "out" / "summary.json").read_text())["absent_fields"] == [lost]


@pytest.mark.slow
def test_the_command_needs_no_folder_and_tells_where_results_are(drawn_dataset):
    line = ("benchmark", "drawn", "--split", "test", "--model", "otsu")
    for _ in range(2):  # the same command goes on
        done = installed(*line, cwd=drawn_dataset.parent)
        assert (done.returncode, done.stderr) == (0, "")
        out = Path("results", "drawn-test-otsu")
        assert f"Results are in {out}" in done.stdout
        assert (drawn_dataset.parent / out / "report.html").is_file()
    done = installed(
        "benchmark", "drawn", "-m", "otsu", "-m", "fluo-nuclei", cwd=drawn_dataset.parent
    )
    assert done.returncode == 0, done.stderr
    assert (
        drawn_dataset.parent / "results" / "drawn-otsu-fluo-nuclei" / "comparison.csv"
    ).is_file()


def test_a_second_model_that_is_broken_is_refused_before_the_first_runs(
    refuse, drawn_dataset, tmp_path
):
    (tmp_path / "bad.pt").write_bytes(b"no model")
    models = ("-m", "otsu", "-m", tmp_path / "bad.pt")
    message = refuse("benchmark", drawn_dataset, "-o", tmp_path / "out", *models)
    assert f"{tmp_path / 'bad.pt'}: not a readable model file" in message
    assert not (tmp_path / "out").exists()


def test_a_list_from_anywhere_chooses_the_fields(run, refuse, drawn_dataset, tmp_path):
    mine = tmp_path / "lists" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("\n".join(stems(drawn_dataset, "test")))
    done = run("benchmark", drawn_dataset, "--split", mine, "-m", "otsu", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "drawn mine, otsu: 1 field" in done.flat
    message = refuse("benchmark", mine, "-o", tmp_path / "other")
    assert f"{mine}: no images beside this list" in message
    assert "--split" in message


def test_a_folder_without_images_is_refused(refuse, tmp_path):
    assert "no images here" in refuse("benchmark", tmp_path, "-o", tmp_path / "out")


def test_results_that_cannot_be_written_are_an_error_with_the_name(refuse, drawn_dataset, tmp_path):
    (tmp_path / "out").write_text("a file")
    assert "out" in refuse("benchmark", drawn_dataset, "-o", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"


# segment


@pytest.fixture
def images(tmp_path, drawn_fields):
    """A folder with two images."""
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", drawn_fields[0].image)
    Image.fromarray(drawn_fields[1].image).save(folder / "b.png")
    return folder


def test_an_image_is_segmented(run, images, tmp_path, drawn_fields):
    done = run("segment", images / "a.tif", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    made = read_provenance(tmp_path / "out" / "a.tif")
    assert labels.shape == drawn_fields[0].image.shape
    assert labels.dtype == np.uint16
    assert made["image"] == "a.tif"
    assert made["model"] == "fluo-nuclei"
    assert f"a.tif: {labels.max()} nuclei" in done.flat


def test_a_diameter_that_was_found_in_the_image_is_told(run, tmp_path, drawn_fields):
    large = np.kron(drawn_fields[0].image, np.ones((4, 4), np.uint16))
    tifffile.imwrite(tmp_path / "large.tif", large)
    done = run("segment", tmp_path / "large.tif", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    made = read_provenance(tmp_path / "out" / "large.tif")
    assert made["is_estimated"]
    assert 93 < made["diameter"] < 156
    assert f" nuclei, diameter {made['diameter']:.0f} px (estimated), " in done.flat


def test_an_image_that_the_model_does_not_suit_is_told_on_standard_error(
    run, tmp_path, drawn_fields
):
    tifffile.imwrite(tmp_path / "dark.tif", 65535 - drawn_fields[0].image)
    for _ in range(2):  # labels that are there already are told of, too
        done = run("segment", tmp_path / "dark.tif", "-o", tmp_path / "out")
        assert done.code == 0
        assert "dark.tif: The nuclei seem to be darker than the background. Switch on" in done.err
        assert "(--invert)" in done.err
    assert run("segment", tmp_path / "dark.tif", "-o", tmp_path / "out", "--invert").err == ""


def test_images_are_segmented_by_one_model(refuse, images, tmp_path):
    two = ("-m", "otsu", "-m", "fluo-nuclei")
    message = refuse("segment", images, "-o", tmp_path / "out", *two)
    assert "--model fluo-nuclei: give one model; run it again for another" in message


def test_a_folder_is_segmented(run, images, tmp_path):
    done = run("segment", images, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    assert "a.tif: " in done.out
    assert "b.png: " in done.out


def test_labels_that_would_come_out_the_same_are_not_made_again(run, images, tmp_path):
    out = tmp_path / "out"
    run("segment", images, "-o", out)
    (out / "a.tif").unlink()  # as if the first time had been stopped there
    before = (out / "b.tif").stat().st_mtime_ns
    done = run("segment", images, "-o", out)
    assert done.code == 0, done.err
    assert "b.png: " in done.out
    assert done.flat.count("already exists") == 1
    assert (out / "a.tif").is_file()
    assert (out / "b.tif").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["another image", "another value"])
def test_labels_that_would_come_out_otherwise_are_made_again(
    run, images, tmp_path, drawn_fields, change
):
    out, options = tmp_path / "out", ()
    run("segment", images / "a.tif", "-o", out)
    if change == "another image":
        tifffile.imwrite(images / "a.tif", drawn_fields[1].image)
    else:
        options = ("--min-size", 100)
    done = run("segment", images / "a.tif", "-o", out, *options)
    assert done.code == 0, done.err
    assert "already exists" not in done.flat
    assert tifffile.imread(out / "a.tif").shape == drawn_fields[0].image.shape


def without_first_nucleus(path):
    """Correct labels as napari does that has them open, and return them."""
    labels = tifffile.imread(path)
    labels[labels == 1] = 0
    write_labels(path, labels, read_provenance(path))
    return labels


@pytest.mark.parametrize("option", [(), ("--min-size", 100)], ids=["same", "other value"])
def test_labels_that_were_corrected_are_kept_until_told_otherwise(run, images, tmp_path, option):
    out = tmp_path / "out"
    run("segment", images / "a.tif", "-o", out)
    made = tifffile.imread(out / "a.tif")
    corrected = without_first_nucleus(out / "a.tif")
    done = run("segment", images / "a.tif", "-o", out, *option)
    assert done.code == 0, done.err
    assert f"{len(np.unique(corrected)) - 1} nuclei" in done.flat
    kept = "its labels were edited since, and are kept; --overwrite makes them anew"
    assert kept in " ".join(done.err.split())
    np.testing.assert_array_equal(tifffile.imread(out / "a.tif"), corrected)

    assert run("segment", images / "a.tif", "-o", out, "--overwrite").code == 0
    np.testing.assert_array_equal(tifffile.imread(out / "a.tif"), made)


@pytest.mark.parametrize(
    "content", ["labels of others", "a picture", "nothing", "cut off", "cut in half"]
)
def test_files_of_others_at_the_place_of_labels_are_kept(run, images, tmp_path, content):
    out = tmp_path / "out"
    run("segment", images, "-o", out)
    target = out / "a.tif"
    if content == "labels of others":
        tifffile.imwrite(target, tifffile.imread(target))
    elif content == "a picture":
        tifffile.imwrite(target, np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    else:
        whole = target.read_bytes()
        kept = {"cut off": 40, "cut in half": len(whole) // 2, "nothing": 0}
        target.write_bytes(whole[: kept[content]])
    before = target.read_bytes()
    done = run("segment", images, "-o", out)
    assert done.code == 1
    assert (
        f"{target} already exists, and is not what this command has written; it is kept"
        in done.flat
    )
    assert done.flat.count("(already exists)") == 1  # the other image is done
    assert target.read_bytes() == before

    assert run("segment", images, "-o", out, "--overwrite").code == 0
    assert target.read_bytes() != before


def test_labels_beside_the_images_are_no_images_of_the_next_call(run, images):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(images / "b_masks.png")
    (images / "a.tif").rename(images / "a.tiff")
    for expected in ("1 file of labels left out", "3 files of labels left out"):
        done = run("segment", images, "-o", images / "..", "--min-size", 20)
        assert done.code == 0, done.err
        assert expected in " ".join(done.err.split())
        for name in ("a.tif", "b.tif"):
            target = images.parent / name
            if target.exists():
                target.rename(images / f"{target.stem} of before.tif")


def test_an_image_that_fails_does_not_stop_the_others(run, images, tmp_path):
    (images / "a.tif").write_bytes(b"not a TIFF")
    done = run("segment", images, "-o", tmp_path / "out")
    assert done.code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.tif"]
    assert "a.tif" in done.flat
    assert "1 of 2 images failed, the others are done" in done.flat


def test_a_scheduler_that_is_not_there_is_told_before_anything_is_written(
    refuse, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 1)
    line = ("segment", images, "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    assert "tcp://127.0.0.1:1: no Dask scheduler answers there" in refuse(*line)
    assert not (tmp_path / "out").exists()


def test_the_path_of_a_result_can_be_copied_from_the_output(run, images, tmp_path):
    out = tmp_path / ("a rather long name of a folder, longer than a terminal is wide " * 2).strip()
    done = run("segment", images / "a.tif", "-o", out)
    assert done.code == 0, done.err
    assert str(out / "a.tif") in done.out


def test_names_in_square_brackets_are_shown_as_they_are(run, images, tmp_path):
    (images / "a.tif").rename(images / "a [dapi].tif")
    done = run("segment", images / "a [dapi].tif", "-o", tmp_path / "run [bold]")
    assert done.code == 0, done.err
    assert "a [dapi].tif" in done.flat
    assert "run [bold]" in done.flat
    assert (tmp_path / "run [bold]" / "a [dapi].tif").is_file()


def test_a_stack_is_refused_with_its_name(refuse, tmp_path):
    stack = np.zeros((3, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    message = refuse("segment", tmp_path / "stack.tif", "-o", tmp_path / "out")
    assert f"{tmp_path / 'stack.tif'}: a stack of 3 planes" in message


@pytest.mark.parametrize("method", ["stitched", "3d"])
def test_a_stack_is_segmented_in_depth(run, tmp_path, drawn_fields, method):
    plane = drawn_fields[0].image
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([plane] * 4), photometric="minisblack")
    options = ("--volume", method, "--stitch-threshold", 0.5, "--anisotropy", 2)
    done = run("segment", tmp_path / "stack.tif", "-o", tmp_path / "out", *options)
    assert done.code == 0, done.err
    labels = tifffile.imread(tmp_path / "out" / "stack.tif")
    made = read_provenance(tmp_path / "out" / "stack.tif")
    assert labels.shape == (4, *plane.shape)
    assert made["depth"] == {"method": method, "stitch_threshold": 0.5, "anisotropy": 2.0}
    count = drawn_fields[0].labels.max()
    assert 0.5 * count <= len(np.unique(labels)) - 1 <= 1.5 * count


def test_planes_by_themselves_are_kept_at_the_second_call_and_all_their_nuclei_counted(
    run, tmp_path, drawn_fields
):
    planes = np.stack([field.image for field in drawn_fields] * 6)
    tifffile.imwrite(tmp_path / "stack.tif", planes, photometric="minisblack")
    line = ("segment", tmp_path / "stack.tif", "-o", tmp_path / "out", "--volume", "planes")
    first, second = run(*line, "--model", "otsu"), run(*line, "--model", "otsu")
    labels = tifffile.imread(tmp_path / "out" / "stack.tif")
    count = sum(len(np.unique(plane)) - 1 for plane in labels)
    assert count > 2 * labels.max()
    assert (first.code, second.code) == (0, 0), second.err
    assert f"stack.tif: {count} nuclei" in first.flat
    assert f"stack.tif: {count} nuclei" in second.flat
    assert "(already exists)" in second.flat

    write_labels(
        tmp_path / "out" / "stack.tif",
        labels * (labels != 1),
        read_provenance(tmp_path / "out" / "stack.tif"),
    )
    third = run(*line, "--model", "otsu")
    assert f"stack.tif: {count - np.sum((labels == 1).any((1, 2)))} nuclei" in third.flat
    assert "its labels were edited since" in " ".join(third.err.split())


@pytest.mark.parametrize("count", [3, 4])
def test_a_stack_whose_planes_are_called_colours_is_one_where_a_volume_is_asked_for(
    run, refuse, tmp_path, drawn_fields, count
):
    planes = np.stack([drawn_fields[0].image] * count)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    line = ("segment", tmp_path / "a.tif", "-o", tmp_path / "out", "-m", "otsu")
    assert "if its planes are a stack, say how to take it by --volume" in refuse(*line)
    done = run(*line, "--volume", "planes")
    assert done.code == 0, done.err
    assert "its tags call its planes colours: they were taken for a stack" in done.said
    assert tifffile.imread(tmp_path / "out" / "a.tif").shape == planes.shape


def test_a_colour_image_is_no_stack(refuse, tmp_path, drawn_fields):
    grey = drawn_fields[0].image
    colours = np.stack([grey, grey // 2, grey // 4], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    line = ("segment", tmp_path / "a.tif", "-o", tmp_path / "out", "-m", "otsu")
    assert "--volume" not in refuse(*line)
    assert "a colour image" in refuse(*line, "--volume", "planes")


def test_a_channel_of_a_colour_image_is_segmented_and_told(run, tmp_path, drawn_fields):
    grey = drawn_fields[0].image
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([grey // 9, grey, grey]), photometric="rgb")
    done = run("segment", tmp_path / "a.tif", "-o", tmp_path / "out", "--channel", "Green")
    assert done.code == 0, done.err
    assert "nuclei in channel green of 3" in done.flat


@pytest.mark.parametrize("name", ["haematoxylin", "Hematoxylin"])
def test_nuclei_of_a_stained_section_are_found_in_its_haematoxylin(run, tmp_path, name):
    picture, nuclei = draw_histology()
    Image.fromarray(picture).save(tmp_path / "section.png")
    options = ("--channel", name, "--model", "otsu")
    done = run("segment", tmp_path / "section.png", "-o", tmp_path / "out", *options)
    assert done.code == 0, done.err
    assert "12 nuclei in haematoxylin of 3 channels" in done.flat
    labels = tifffile.imread(tmp_path / "out" / "section.tif")
    assert np.count_nonzero((labels > 0) != nuclei) < 0.05 * np.count_nonzero(nuclei)


def test_a_stained_section_is_refused_with_the_channel_to_try(refuse, tmp_path):
    Image.fromarray(draw_histology()[0]).save(tmp_path / "section.png")
    message = refuse("segment", tmp_path / "section.png", "-o", tmp_path / "out")
    assert "choose it by --channel 1 to 3, or mean; try --channel haematoxylin" in message


@pytest.mark.parametrize("model", ["otsu", "fluo-nuclei"])
def test_dark_nuclei_are_those_of_the_plain_field(run, tmp_path, drawn_fields, model):
    image = drawn_fields[0].image - drawn_fields[0].image.min()
    made = []
    for name, pixels, options in (("plain", image, ()), ("dark", 65535 - image, ("--invert",))):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
        done = run(
            *("segment", tmp_path / f"{name}.tif", "-o", tmp_path / "out"),
            *("--model", model, *options),
        )
        assert done.code == 0, done.err
        made.append(tifffile.imread(tmp_path / "out" / f"{name}.tif"))
        told = read_provenance(tmp_path / "out" / f"{name}.tif")
        assert told["parameters"]["invert"] is (name == "dark")
    assert made[0].any()
    assert np.array_equal(*made)


def test_labels_of_a_version_that_knew_no_dark_nuclei_are_those_of_bright_ones(
    run, images, tmp_path
):
    command = ("segment", images / "a.tif", "-o", tmp_path / "out", "--model", "otsu")
    run(*command)
    path = tmp_path / "out" / "a.tif"
    labels, made = tifffile.imread(path), read_provenance(path)
    del made["parameters"]["invert"]
    write_labels(path, labels, made)
    assert "already exists" in run(*command).flat
    assert "already exists" not in run(*command, "--invert").flat


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--channel", "7"), "a.tif: it has 3 channels; choose channel 1 to 3, or mean"),
        (("--channel", "teal"), "channel is 'teal'; it must be a number"),
        (("--channel-axis", "first"), "--channel-axis needs --channel"),
        (("--anisotropy", "0"), "anisotropy is 0.0; it must be 0.1 to 20"),
        ((), "choose it by --channel 1 to 3, or mean; try --channel mean"),
    ],
    ids=str,
)
def test_choices_that_cannot_be_are_refused_with_what_to_choose(refuse, tmp_path, options, reason):
    colours = np.zeros((20, 30, 3), np.uint8)
    colours[:2] = 9, 8, 7
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    assert reason in refuse("segment", tmp_path / "a.tif", "-o", tmp_path / "out", *options)


def test_an_undefined_pixel_is_refused_with_the_images_name(refuse, tmp_path):
    image = np.zeros((20, 30), np.float32)
    image[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "holes.tif", image)
    message = refuse("segment", tmp_path / "holes.tif", "-o", tmp_path / "out")
    assert "holes.tif" in message
    assert "NaN" in message


def test_of_two_images_of_one_name_neither_is_segmented_and_the_others_are(
    run, images, tmp_path, drawn_fields
):
    tifffile.imwrite(tmp_path / "b.tif", drawn_fields[0].image)
    done = run("segment", images, tmp_path / "b.tif", "-o", tmp_path / "out")
    assert done.code == 1
    assert "2 of 3 images failed, the others are done" in done.flat
    for one, other in (
        (images / "b.png", tmp_path / "b.tif"),
        (tmp_path / "b.tif", images / "b.png"),
    ):
        assert f"{one} and {other}: both would be saved as b.tif" in done.flat
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


def test_labels_beside_their_image_that_lost_their_note_stop_no_other_image(
    run, images, drawn_fields
):
    Image.fromarray(drawn_fields[0].image).save(images / "c.png")
    (images / "a.tif").unlink()
    line = ("segment", images, "-o", images, "-m", "otsu")
    assert run(*line).code == 0
    labels = tifffile.imread(images / "b.tif")
    tifffile.imwrite(images / "b.tif", labels)  # as a program does that knows no notes
    before = (images / "b.tif").read_bytes()
    done = run(*line)
    assert done.code == 1
    assert "both would be saved as b.tif" in done.flat
    assert f"{images / 'c.tif'} (already exists)" in done.flat
    assert (images / "b.tif").read_bytes() == before


def test_a_link_to_nothing_is_told_by_its_name(run, images, tmp_path):
    (images / "c.tif").symlink_to("gone.tif")
    done = run("segment", images, "-o", tmp_path / "out", "-m", "otsu")
    assert done.code == 1
    assert f"{images / 'c.tif'}: it is a link to gone.tif, which is not there" in done.flat
    assert "1 of 3 images failed, the others are done" in done.flat


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_segmented_with_a_word_on_its_losses(run, drawn_fields, tmp_path, name, mode):
    grey = Image.fromarray((drawn_fields[0].image / 16).clip(max=255).astype(np.uint8))
    folder = tmp_path / "images"
    folder.mkdir()
    grey.convert(mode).save(folder / name, format="JPEG", quality=95)
    done = run("segment", folder, "-m", "otsu", "--measures", "-o", tmp_path / "out")
    assert done.code == 0
    assert f"{name}: JPEG has changed its pixels" in done.said
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    found = score_labels(drawn_fields[0].labels, labels)
    assert found.objects.f1 > 0.7
    rows = (tmp_path / "out" / "measurements.csv").read_text().splitlines()
    assert len(rows) == 1 + labels.max()


def test_of_an_image_and_its_jpeg_the_image_is_segmented(run, images, tmp_path):
    Image.new("L", (20, 30)).save(images / "a.jpg")
    done = run("segment", images, "-m", "otsu", "-o", tmp_path / "out")
    assert done.code == 0
    assert "1 JPEG beside an image left out, the first is a.jpg" in done.said


def test_labels_as_jpeg_are_refused(refuse, drawn_fields, tmp_path):
    Image.fromarray(drawn_fields[0].labels.astype(np.uint8)).save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "truth.tif", drawn_fields[0].labels)
    message = refuse("score", tmp_path / "a.jpg", tmp_path / "truth.tif")
    assert "a.jpg: JPEG changes the numbers of labels; save them as TIFF or PNG" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tif", b""), ("a.tif", b"not a TIFF"), ("a.png", b"\x89PNG\r\n\x1a\n"), ("a.txt", b"x")],
    ids=["empty", "text", "cut off", "another kind"],
)
def test_a_file_that_is_no_image_is_refused_with_its_name(refuse, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert name in refuse("segment", tmp_path / name, "-o", tmp_path / "out")


def test_a_path_that_is_not_there_does_not_stop_the_others(run, images, tmp_path):
    missing, empty = tmp_path / "missing.tif", tmp_path / "empty"
    empty.mkdir()
    given = images / "a.tif", missing, empty, images / "b.png"
    done = run("segment", *given, "-o", tmp_path / "out", "-m", "otsu")

    assert done.code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    assert f"{missing}: there is no such file or folder" in done.flat
    assert f"{empty}: no TIFF, PNG or JPEG image here" in done.flat
    assert "2 of 4 images failed, the others are done" in done.flat


def test_what_is_not_there_is_refused(refuse, tmp_path):
    message = refuse("segment", tmp_path / "nowhere.tif", "-o", tmp_path / "out")
    assert "nowhere.tif: there is no such file or folder" in message


# score


@pytest.fixture
def scored(tmp_path):
    """Folders of predictions and truth: two of three found and one invented; an empty field."""
    predicted, truth = tmp_path / "predicted", tmp_path / "truth"
    predicted.mkdir()
    truth.mkdir()
    true = np.zeros((30, 60), np.uint16)
    for number in (1, 2, 3):
        true[5:15, 12 * number - 10 : 12 * number] = number
    found = np.where(true == 3, 0, true)
    found[20:28, 40:50] = 9
    for stem, labels, mask in (("a", found, true), ("b", 0 * true, 0 * true)):
        tifffile.imwrite(predicted / f"{stem}.tif", labels)
        write_mask(truth / f"{stem}.png", mask)
    return predicted, truth


def test_two_files_are_scored_as_json(run, scored):
    done = run("score", scored[0] / "a.tif", scored[1] / "a.png", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == 1
    record = parse(done.out)["pooled"]
    assert list(record) == ["pixels", "objects", "verdicts", "caicedo", "boundaries"]
    assert record["pixels"] == {
        "tp": 200,
        "fp": 80,
        "fn": 100,
        "tn": 1420,
        "dice": pytest.approx(400 / 580),
        "iou": pytest.approx(200 / 380),
        "precision": pytest.approx(200 / 280),
        "recall": pytest.approx(200 / 300),
        "accuracy": pytest.approx(1620 / 1800),
    }
    assert record["objects"] == {
        "preset": "stardist",
        "hit": "IoU >= t",
        "threshold": 0.5,
        "tp": 2,
        "fp": 1,
        "fn": 1,
        "count_error": 0,
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "ap": 0.5,
        "mean_ap": pytest.approx(0.5),
        "mean_f1": pytest.approx(2 / 3),
        "sq": 1,
        "rq": pytest.approx(2 / 3),
        "pq": pytest.approx(2 / 3),
        "aji": pytest.approx(200 / 380),
        "aji_plus": pytest.approx(200 / 380),
        "seg": pytest.approx(2 / 3),
    }
    assert record["verdicts"] == {
        "matched": 2,
        "loose": 0,
        "missed": 1,
        "merged": 0,
        "split": 0,
        "off": 0,
        "tangled": 0,
        "spurious": 1,
        "predicted": {"spurious": 1, "merged": 0, "split": 0, "off": 0, "tangled": 0},
    }


def test_two_folders_are_scored_as_json(run, scored):
    done = run("score", *scored, "--json", "--iou", 0.75)
    assert (done.code, done.err) == (0, "")
    record = parse(done.out)
    assert list(record) == [
        *("dataset", "absent_fields", "failed_fields"),
        *("fields", "empty_fields", "corrected_by_hand", "pooled"),
        *("mean", "range", "mean_interval", "pooled_interval"),
        *("by_threshold", "mean_absolute_count_error", "reported", "segmentation"),
    ]
    assert list(record.values())[:6] == ["truth", [], [], 2, 1, 0]
    assert record["segmentation"] is None  # the files do not say how they were made
    assert record["pooled"]["objects"]["threshold"] == 0.75
    assert record["pooled"]["pixels"]["tn"] == 1420 + 1800
    assert record["mean"]["objects"]["f1"] == pytest.approx(2 / 3)  # without the empty field
    assert record["range"]["pixels"]["recall"] == [pytest.approx(2 / 3)] * 2
    assert set(record["mean"]["pixels"]) == set(record["range"]["pixels"]) == ROW_OF_RATIOS


def test_the_preset_is_the_rule_that_is_used_and_told(run, scored):
    labels = np.zeros((30, 60), np.uint16)
    labels[5:15, 2:7] = 1  # half of the first nucleus
    tifffile.imwrite(scored[0] / "a.tif", labels)
    found = {}
    for preset in ("stardist", "dsb2018"):
        pair = scored[0] / "a.tif", scored[1] / "a.png"
        objects = parse(run("score", *pair, "--json", "--preset", preset).out)["pooled"]["objects"]
        assert objects["preset"] == preset
        found[objects["hit"]] = objects["tp"]
    assert found == {"IoU >= t": 1, "IoU > t": 0}


def test_an_unknown_preset_is_refused(refuse, scored):
    assert "choose one of stardist, dsb2018, caicedo2019" in refuse(
        "score", *scored, "--preset", "coco"
    )


def test_empty_fields_count_as_1_where_asked_for(run, scored):
    done = run("score", *scored, "--json", "--empty-as-one")
    assert parse(done.out)["mean"]["objects"]["f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_nuclei_at_the_border_are_left_out_and_told(run, scored):
    true = np.zeros((30, 60), np.uint16)
    true[5:15, 5:15], true[0:8, 30:40] = 1, 2
    tifffile.imwrite(scored[0] / "a.tif", np.where(true == 1, 5, 0).astype(np.uint16))
    write_mask(scored[1] / "a.png", true)
    pair = scored[0] / "a.tif", scored[1] / "a.png"

    record = parse(run("score", *pair, "--ignore-border", "--json").out)["pooled"]
    assert record["objects"]["recall"] == record["pixels"]["dice"] == 1
    assert (record["ignored"]["true"], record["ignored"]["predicted"]) == (1, 0)
    told = "1 of 2 nuclei counted, 1 ignored (predicted: 1 of 1 counted, 0 ignored)"
    assert told in run("score", *pair, "--ignore-border").flat
    assert "ignored" not in run("score", *pair).flat


def test_what_is_undefined_is_null(run, scored):
    done = run("score", scored[0] / "b.tif", scored[1] / "b.png", "--json")
    record = parse(done.out)["pooled"]
    assert record["pixels"] == {
        **{"tp": 0, "fp": 0, "fn": 0, "tn": 1800, "accuracy": 1},
        **dict.fromkeys(("dice", "iou", "precision", "recall")),
    }
    ratios = ("precision", "recall", "f1", "ap", "mean_ap", "sq", "rq", "pq")
    assert {record["objects"][name] for name in ratios} == {None}
    assert record["objects"]["tp"] == 0


def test_scores_are_shown_as_a_table(run, scored):
    done = run("score", scored[0] / "a.tif", scored[1] / "a.png")
    assert done.code == 0
    assert "0.690" in done.out  # Dice
    assert "0.667" in done.out  # F1
    assert "2 nuclei matched at IoU 0.5 (0 loosely), 1 missed" in done.flat
    done = run("score", *scored)
    assert "Pooled" in done.out
    assert "0.667 (0.667-0.667)" in done.out


def test_an_undefined_ratio_is_shown_as_empty(run, scored):
    done = run("score", scored[0] / "b.tif", scored[1] / "b.png")
    assert done.code == 0
    assert done.out.count("empty") == len(metrics()) - 1  # all but the pixels' accuracy
    assert "nan" not in done.out


def test_shapes_that_differ_are_refused_with_both_names(refuse, scored):
    tifffile.imwrite(scored[0] / "a.tif", np.zeros((30, 61), np.uint16))
    message = refuse("score", scored[0] / "a.tif", scored[1] / "a.png", "--json")
    assert str(scored[0] / "a.tif") in message
    assert str(scored[1] / "a.png") in message
    assert "(30, 61)" in message


def test_a_field_that_cannot_be_scored_does_not_stop_the_others(run, refuse, scored):
    tifffile.imwrite(scored[0] / "a.tif", np.zeros((30, 61), np.uint16))
    done = run("score", *scored, "--json")
    assert done.code == 1
    assert parse(done.out)["fields"] == 1
    assert f"{scored[0] / 'a.tif'} against {scored[1] / 'a.png'}: " in done.said
    assert "1 of 2 fields failed, the others are done" in done.said
    assert run("score", *scored).code == 1

    (scored[0] / "b.tif").write_bytes(b"not a TIFF")
    assert "a.tif" in refuse("score", *scored)


@pytest.mark.parametrize("iou", ["0", "-1", "1.01", "nan", "inf"])
def test_a_threshold_out_of_bounds_is_refused(refuse, scored, iou):
    assert "it must be above 0 and at most 1" in refuse("score", *scored, "--iou", iou)


def test_a_file_and_a_folder_cannot_be_scored(refuse, scored):
    assert "give two files or two folders" in refuse("score", scored[0] / "a.tif", scored[1])


def test_fields_on_one_side_only_are_refused(refuse, scored):
    (scored[1] / "b.png").unlink()
    message = refuse("score", *scored)
    assert "1 of the other folder's 2 fields are not here" in message
    assert "the first is b" in message


def test_a_photograph_is_no_label_image(refuse, scored, drawn_fields):
    tifffile.imwrite(scored[0] / "a.tif", np.linspace(0, 1, 1800).reshape(30, 60))
    message = refuse("score", scored[0] / "a.tif", scored[1] / "a.png")
    assert "a.tif: not a label image" in message


def test_what_benchmark_wrote_can_be_scored(run, drawn_dataset, tmp_path):
    out = tmp_path / "out"
    assert run("benchmark", drawn_dataset, "-o", out).code == 0
    done = run("score", out / "labels", drawn_dataset / "masks", "--json")
    summary, scored = parse((out / "summary.json").read_text()), parse(done.out)
    assert scored.pop("dataset") == "masks"  # two folders have no other name
    said, planned = scored.pop("segmentation"), summary["segmentation"]
    assert said["model"] == planned["model"]
    assert said["parameters"] == planned["parameters"]
    assert said["weights_sha256"].items() <= planned["weights_sha256"].items()
    assert scored == {name: summary[name] for name in scored}


@pytest.mark.parametrize("side", [0, 1], ids=["prediction", "truth"])
def test_scores_say_that_labels_were_corrected_by_hand(run, scored, side):
    write_mask(scored[1] / "b.png", np.zeros((30, 60), np.uint8))
    (scored[1] / "a.png").unlink()
    labels = tifffile.imread(scored[0] / "a.tif")
    for number, folder in enumerate(scored):
        made = {"model": "otsu"} | ({"corrected_by_hand": 2} if number == side else {})
        write_labels(folder / "a.tif", labels, made)
    done = run("score", *scored)
    assert "corrected by hand: 2 nuclei" in done.flat
    assert f"{scored[side] / 'a.tif'}: corrected by hand: 2 nuclei" in " ".join(done.err.split())
    assert parse(run("score", *scored, "--json").out)["corrected_by_hand"] == 2
    assert "by hand" not in run("score", scored[0] / "b.tif", scored[1] / "b.png").said


# convert


def test_labels_are_converted_for_other_programs_and_told_as_json(run, images, tmp_path):
    run("segment", images, "--out", tmp_path / "labels")
    line = ("convert", tmp_path / "labels", "--to", "qupath", "--out", tmp_path / "out")

    done = run(*line, "--json")

    found = parse(done.out)
    assert done.code == 0
    assert [Path(one["output"]).suffix for one in found["converted"]] == [".geojson"] * len(
        found["converted"]
    )
    assert found["converted"][0]["nuclei"] > 0
    again = run(*line)
    assert again.code == 2
    assert "already exists; choose another --out" in again.err


def test_an_unknown_format_is_refused_with_those_that_there_are(refuse, images, tmp_path):
    message = refuse("convert", images, "--to", "svg", "--out", tmp_path / "out")
    assert "choose tiff, ome-tiff, png, bbbc039, cellpose, imagej, qupath, coco" in message


# measures


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_measures_of_all_images_are_in_one_table(run, images, tmp_path):
    line = ("segment", images, "--measures", "--out", tmp_path)

    done = run(*line, "--json")

    found = parse(done.out)
    rows = rows_of(tmp_path / "measurements.csv")
    assert len(rows) == sum(one["count"] for one in found["segmented"])
    assert {row["image"] for row in rows} == {one["name"] for one in found["segmented"]}
    assert all(float(row["intensity_background"]) < float(row["intensity_mean"]) for row in rows)
    assert all(row["flow_error"] for row in rows)
    before = (tmp_path / "measurements.csv").read_bytes()
    assert "(already exists)" in run(*line).out
    assert (tmp_path / "measurements.csv").read_bytes() == before


def test_labels_without_their_table_are_made_again_and_those_edited_are_measured_anew(
    run, images, tmp_path
):
    run("segment", images, "--out", tmp_path)
    assert "(already exists)" not in run("segment", images, "--measures", "--out", tmp_path).out
    path = sorted(tmp_path.glob("*.tif"))[0]
    labels = tifffile.imread(path)
    made = read_provenance(path)
    write_labels(path, np.where(labels == 1, 0, labels), made)

    run("segment", images, "--measures", "--out", tmp_path)

    rows = [row for row in rows_of(tmp_path / "measurements.csv") if row["image"] == made["image"]]
    assert "1" not in {row["index"] for row in rows}
    assert len(rows) == len(np.unique(labels)) - 2
    assert {row["flow_error"] for row in rows} == {""}


def test_a_table_of_labels_that_were_replaced_is_made_anew(run, images, tmp_path):
    line = ("segment", images / "a.tif", "--out", tmp_path, "-m", "otsu")
    run(*line, "--measures")
    run(*line, "--min-size", "300")

    run(*line, "--min-size", "300", "--measures")

    labels = tifffile.imread(tmp_path / "a.tif")
    areas = [int(row["area_px"]) for row in rows_of(tmp_path / "measurements.csv")]
    assert areas == np.bincount(labels.ravel())[1:].tolist()


def test_channels_that_a_file_tells_of_are_to_be_chosen(run, refuse, tmp_path, drawn_fields):
    image = drawn_fields[0].image
    both = np.stack([image // 2, image])
    path = tmp_path / "a.ome.tif"
    line = ("segment", path, "--out", tmp_path / "out", "-m", "otsu")

    tifffile.imwrite(path, both, metadata={"axes": "CYX"})
    assert "it holds channels; choose that of the nuclei by --channel, or if" in refuse(*line)
    tifffile.imwrite(path, np.stack([both] * 3, axis=1), metadata={"axes": "CZYX"})
    message = "choose that of the nuclei by --channel, and say how to take the other planes by"
    assert message in refuse(*line)
    assert message in refuse(*line, "--volume", "stitched")
    assert run(*line, "--volume", "stitched", "--channel", "2").code == 0


def test_a_folder_that_is_continued_has_the_measures_of_all_its_images(run, images, tmp_path):
    line = ("--measures", "--out", tmp_path, "-m", "otsu")
    run("segment", images / "a.tif", *line)

    told = run("segment", images / "b.png", *line)

    table = tmp_path / "measurements.csv"
    assert "nuclei of 2 images are in" in told.flat
    assert list(dict.fromkeys(row["image"] for row in rows_of(table))) == ["a.tif", "b.png"]
    run("segment", images / "a.tif", "--out", tmp_path, "-m", "otsu", "--min-size", "300")
    told = run("segment", images / "b.png", *line)
    assert "a.tif was changed since it was measured, and is not in" in told.said
    assert {row["image"] for row in rows_of(table)} == {"b.png"}


def test_a_table_of_others_is_kept(run, refuse, images, tmp_path):
    (tmp_path / "measurements.csv").write_text("mine,1\n")
    message = refuse("segment", images, "--measures", "--out", tmp_path)
    assert "is no table of measures; choose another --out" in message
    assert (tmp_path / "measurements.csv").read_text() == "mine,1\n"


def test_a_volume_has_a_row_a_nucleus_in_micrometres(run, tmp_path, drawn_fields):
    stack = np.stack([field.image for field in drawn_fields[:1]] * 3)
    options = {"imagej": True, "resolution": (2, 2)}
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 1.5}
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata=metadata, **options)

    done = run(
        "segment", tmp_path / "a.tif", "--volume", "stitched", "--measures", "-o", tmp_path / "out"
    )

    rows = rows_of(tmp_path / "out" / "measurements.csv")
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    assert done.code == 0
    assert len(rows) == len(np.unique(labels)) - 1
    voxels = np.bincount(labels.ravel())[int(rows[0]["index"])]
    assert float(rows[0]["volume_um3"]) == pytest.approx(voxels * 0.25 * 1.5)


def test_every_channel_is_measured_and_columns_are_named_as_in_cellprofiler(
    run, tmp_path, drawn_fields
):
    image = drawn_fields[0].image
    eight = np.asarray(image / image.max() * 255, np.uint8)
    rgb = np.stack([eight // 2, eight // 4, eight], axis=-1)
    Image.fromarray(rgb).save(tmp_path / "a.png")

    run(
        "segment", tmp_path / "a.png", "--channel", "blue", "--measures", "--cellprofiler",
        "--out", tmp_path / "out",
    )  # fmt: skip

    row = rows_of(tmp_path / "out" / "measurements.csv")[0]
    assert list(row)[:4] == ["FileName", "ObjectNumber", "ImageNumber", "AreaShape_Area"]
    blue, red = (float(row[f"Intensity_MeanIntensity_{name}"]) for name in ("blue", "red"))
    assert red == pytest.approx(blue / 2, rel=0.02)
    assert float(row["Intensity_MeanIntensity"]) == blue


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


# train


@pytest.fixture
def trainable(drawn_dataset):
    """The drawn dataset with a list to learn from and a list that is held out, with nuclei."""
    first, second = stems(drawn_dataset, "training")
    for name, stem in (("first", first), ("second", second)):
        (drawn_dataset / "metadata" / f"{name}.txt").write_text(f"{stem}\n")
    return drawn_dataset


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


@pytest.fixture
def without_lists(trainable):
    """The drawn dataset as a user's folder is: no lists of fields."""
    shutil.rmtree(trainable / "metadata")
    return trainable


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


def test_labels_never_replace_the_images_they_were_made_of(run, refuse, images):
    before = (images / "a.tif").read_bytes()
    line = ("segment", images / "a.tif", "-o", images, "--overwrite")
    assert "labels would replace this image" in refuse(*line)
    done = run("segment", images, "-o", images)
    assert done.code == 1
    assert f"{images / 'a.tif'}: labels would replace this image" in done.flat
    assert (images / "b.tif").is_file()
    assert (images / "a.tif").read_bytes() == before


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


def test_several_models_are_compared(run, drawn_dataset, tmp_path):
    done = run(
        "benchmark", drawn_dataset, "-m", "fluo-nuclei", "-m", "otsu", "-o", tmp_path / "out"
    )
    assert done.code == 0, done.err
    assert "Mean of fields (range)" in done.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"fluo-nuclei", "otsu", "comparison.csv"} <= names
