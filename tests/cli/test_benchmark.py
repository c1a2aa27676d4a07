from __future__ import annotations

import csv
from pathlib import Path

import pytest
import tifffile

from tests.cli.conftest import absent_device, installed, parse, stems


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


def test_several_models_are_compared(run, drawn_dataset, tmp_path):
    done = run(
        "benchmark", drawn_dataset, "-m", "fluo-nuclei", "-m", "otsu", "-o", tmp_path / "out"
    )
    assert done.code == 0, done.err
    assert "Mean of fields (range)" in done.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"fluo-nuclei", "otsu", "comparison.csv"} <= names
