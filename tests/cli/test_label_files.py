from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_nucseg.io.writers import write_labels
from napari_nucseg.metrics.registry import metrics
from tests.cli.conftest import parse
from tests.conftest import write_mask

ROW_OF_RATIOS = {"dice", "iou", "precision", "recall", "accuracy"}


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
