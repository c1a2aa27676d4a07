from __future__ import annotations

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
import tifffile

from napari_nucseg.analysis.corrections import Changes
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.batch.saved_results import open_results
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.metrics.ignoring import touching_border, without_border
from napari_nucseg.metrics.matching import AP_THRESHOLDS
from napari_nucseg.metrics.registry import GROUPS, metrics
from napari_nucseg.metrics.score import DEFAULT_RULE, ScoreRule
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from tests.conftest import write_scaled
from tests.oracle import PARAMS, oracle_setup, run_benchmark
from tests.segmenters.random_nets import write_residual_unet

PIXEL_RATIOS, OBJECT_RATIOS, BOUNDARY_RATIOS = (
    tuple(metric.name for metric in metrics() if metric.group == group) for group in GROUPS
)
FIRST_COLUMNS = [
    *("stem", "well", "row", "column", "site", "split"),
    *("dice", "iou", "precision", "recall", "f1", "tp", "fp", "fn", "tn", "percentage", "accuracy"),
]


def refuse_constant(name):
    raise AssertionError(f"the file holds {name}")


def read_summary(out):
    return json.loads((out / "summary.json").read_text(), parse_constant=refuse_constant)


def read_fields(out):
    with (out / "fields.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def lost(drawn_fields):
    """The number and the area of the nucleus that the flawed segmenter misses."""
    areas = np.bincount(drawn_fields[0].labels.ravel())
    number = int(areas[1:].argmax()) + 1
    return number, int(areas[number])


@pytest.fixture
def flawed(oracle_of, drawn_fields, lost):
    """Misses one nucleus of the first field, and invents one in the third, which has none."""
    first = np.where(drawn_fields[0].labels == lost[0], 0, drawn_fields[0].labels)
    third = np.zeros_like(drawn_fields[2].labels)
    third[10:20, 10:20] = 7
    return oracle_of(drawn_fields, first, drawn_fields[1].labels, third)


@pytest.fixture
def run(drawn_dataset, tmp_path):
    """Benchmark a segmenter on the drawn dataset."""

    def benchmark(segmenter, split=None, rule=DEFAULT_RULE, **options):
        options = {"progress": ignore, **options}
        dataset = open_dataset(drawn_dataset, split)
        return run_benchmark(dataset, oracle_setup(segmenter, rule), tmp_path / "out", **options)

    return benchmark


@pytest.fixture
def out(tmp_path):
    """The folder of the results."""
    return tmp_path / "out"


# What is written


RESULTS = [
    *("fields.csv", "labels", "measurements.csv", "nuclei", "objects.csv", "records", "run.json"),
    *("summary.csv", "summary.json", "summary.md", "summary.tex", "wells.csv"),
]


def test_the_results_are_tables_and_a_label_image_a_field(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == RESULTS
    stems = [row["stem"] for row in read_fields(out)]
    assert sorted(path.name for path in (out / "labels").iterdir()) == [f"{s}.tif" for s in stems]
    assert sorted(path.name for path in (out / "records").iterdir()) == [f"{s}.json" for s in stems]
    with (out / "measurements.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    nuclei = [int(field.labels.max()) for field in drawn_fields]
    assert [row["image"] for row in rows] == np.repeat(stems, nuclei).tolist()
    assert all(float(row["intensity_background"]) < float(row["intensity_mean"]) for row in rows)


def test_label_images_are_packed_and_say_how_they_were_made(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    for row, field in zip(read_fields(out), drawn_fields, strict=True):
        with tifffile.TiffFile(out / "labels" / f"{row['stem']}.tif") as tiff:
            page = tiff.pages[0]
            assert page.compression in (
                tifffile.COMPRESSION.ADOBE_DEFLATE,
                tifffile.COMPRESSION.DEFLATE,
            )
            assert page.dtype == np.uint16
            assert np.array_equal(page.asarray(), field.labels)
        made = read_provenance(out / "labels" / f"{row['stem']}.tif")
        assert made["image"] == row["stem"]
        assert made["model"] == "oracle"
        assert made["weights_sha256"] == "ab" * 32
        assert made["parameters"] == asdict(PARAMS)
        assert made["device"] == "CPU, any"
        assert made["precision"] == "float32"
        assert made["versions"] == {"oracle": "1.0"}
        assert made["seconds"] == 0.25


def test_labels_that_need_more_than_16_bits_get_32(run, oracle_of, drawn_fields, out):
    many = drawn_fields[0].labels * 10_000
    run(oracle_of(drawn_fields, many))
    images = [tifffile.imread(path) for path in sorted((out / "labels").iterdir())]
    assert [image.dtype for image in images] == [np.uint32, np.uint16, np.uint16]
    assert np.array_equal(images[0], many)


def test_the_table_has_a_row_for_every_field(run, oracle_of, drawn_fields, drawn_dataset, out):
    run(oracle_of(drawn_fields))
    header = (out / "fields.csv").read_text().splitlines()[0].split(",")
    assert header[: len(FIRST_COLUMNS)] == FIRST_COLUMNS
    assert len(set(header)) == len(header)
    rows = read_fields(out)
    fields = open_dataset(drawn_dataset).fields
    assert [row["stem"] for row in rows] == [field.stem for field in fields]
    assert [row["well"] for row in rows] == ["A01", "A02", "A03"]
    assert {(row["row"], row["site"]) for row in rows} == {("A", "1")}
    assert [row["column"] for row in rows] == ["1", "2", "3"]
    assert [row["split"] for row in rows] == ["training", "training", "test"]
    assert (out / "fields.csv").read_bytes().count(b"\r") == 0


def test_the_table_tells_diameters_and_doubts(run, oracle_of, drawn_fields, drawn_dataset, out):
    oracle = oracle_of(drawn_fields)

    def segment(image, params, report):
        is_first = image.tobytes() == drawn_fields[0].image.tobytes()
        oracle.estimate = 112.5 if is_first else None
        oracle.suspect = ("left out", "unsure") if is_first else ()
        return oracle(image, params, report)

    result = run(segment)
    told = [(row["diameter_px"], row["suspect"]) for row in read_fields(out)]
    assert told == [("112.5", "left out; unsure"), ("", ""), ("", "")]
    assert result.suspect == {open_dataset(drawn_dataset).fields[0].stem: ("left out", "unsure")}


# The numbers


def test_a_perfect_segmenter_gets_perfect_scores(run, oracle_of, drawn_fields, out):
    result = run(oracle_of(drawn_fields))
    pooled = read_summary(out)["pooled"]
    nuclei = sum(int(field.labels.max()) for field in drawn_fields)
    assert pooled["objects"]["tp"] == nuclei == result.summary.pooled.objects.tp
    assert {pooled["pixels"][name] for name in PIXEL_RATIOS} == {1}
    assert {pooled["objects"][name] for name in OBJECT_RATIOS} == {1}
    assert pooled["verdicts"]["matched"] == nuclei
    assert result.seconds_per_field == 0.25


def test_pixels_of_a_field_are_counted(run, flawed, drawn_fields, lost, out):
    run(flawed)
    foreground = int(np.count_nonzero(drawn_fields[0].labels))
    tp, fn, tn = foreground - lost[1], lost[1], drawn_fields[0].labels.size - foreground
    row = read_fields(out)[0]
    assert [int(row[name]) for name in ("tp", "fp", "fn", "tn")] == [tp, 0, fn, tn]
    assert float(row["dice"]) == pytest.approx(2 * tp / (2 * tp + fn))
    assert float(row["f1"]) == float(row["dice"])
    assert float(row["iou"]) == pytest.approx(tp / (tp + fn))
    assert float(row["precision"]) == 1
    assert float(row["recall"]) == pytest.approx(tp / (tp + fn))
    assert float(row["percentage"]) == pytest.approx((tp + tn) / (tp + fn + tn))


def test_nuclei_of_a_field_are_counted(run, flawed, drawn_fields, out):
    run(flawed)
    n = int(drawn_fields[0].labels.max())
    row = read_fields(out)[0]
    assert (int(row["nuclei"]), int(row["predicted"])) == (n, n - 1)
    assert [int(row[f"object_{name}"]) for name in ("tp", "fp", "fn")] == [n - 1, 0, 1]
    assert float(row["object_precision"]) == 1
    assert float(row["object_recall"]) == pytest.approx((n - 1) / n)
    assert float(row["object_f1"]) == pytest.approx(2 * (n - 1) / (2 * n - 1))
    assert float(row["object_sq"]) == 1
    for name in ("object_ap", "object_mean_ap", *(f"ap_{t:.2f}" for t in AP_THRESHOLDS)):
        assert float(row[name]) == pytest.approx((n - 1) / n)
    assert int(row["verdict_matched"]) == n - 1
    assert int(row["verdict_missed"]) == 1
    assert int(row["verdict_spurious"]) == 0


def test_what_is_found_where_there_is_nothing_scores_0(run, flawed, out):
    run(flawed)
    row = read_fields(out)[2]
    for name in ("dice", "iou", "precision", "recall", "f1", "object_f1", "object_mean_ap"):
        assert float(row[name]) == 0
    assert (int(row["fp"]), int(row["object_fp"]), int(row["verdict_spurious"])) == (100, 1, 1)


def test_counts_are_pooled_over_the_fields(run, flawed, drawn_fields, lost, out):
    run(flawed)
    pooled = read_summary(out)["pooled"]
    nuclei = sum(int(field.labels.max()) for field in drawn_fields)
    foreground = sum(np.count_nonzero(field.labels) for field in drawn_fields)
    pixels, objects = pooled["pixels"], pooled["objects"]
    assert (objects["tp"], objects["fp"], objects["fn"]) == (nuclei - 1, 1, 1)
    assert objects["f1"] == pytest.approx((nuclei - 1) / nuclei)
    assert (pixels["tp"], pixels["fp"], pixels["fn"]) == (foreground - lost[1], 100, lost[1])
    assert pixels["tn"] == sum(f.labels.size for f in drawn_fields) - foreground - 100


def test_means_and_ranges_are_over_the_fields(run, flawed, drawn_fields, out):
    run(flawed)
    summary = read_summary(out)
    n = int(drawn_fields[0].labels.max())
    values = [2 * (n - 1) / (2 * n - 1), 1, 0]
    assert summary["mean"]["objects"]["f1"] == pytest.approx(sum(values) / 3)
    assert summary["range"]["objects"]["f1"] == [0, 1]
    rows = read_fields(out)
    for name in ("dice", "iou", "precision", "recall"):
        column = [float(row[name]) for row in rows]
        assert summary["mean"]["pixels"][name] == pytest.approx(np.mean(column))
        assert summary["range"]["pixels"][name] == [min(column), max(column)]


def test_the_summary_names_everything(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields), split="training", rule=ScoreRule(0.75))
    summary = read_summary(out)
    assert set(summary) == {
        *("dataset", "fields", "empty_fields", "absent_fields", "failed_fields"),
        *("corrected_by_hand", "pooled", "mean", "range", "mean_interval", "pooled_interval"),
        *("by_threshold", "mean_absolute_count_error", "reported", "segmentation"),
    }
    assert summary["dataset"] == "drawn training"
    assert (summary["fields"], summary["empty_fields"], summary["absent_fields"]) == (2, 0, [])
    counts = ("tp", "fp", "fn")
    groups = {"pixels", "objects", "boundaries"}
    assert set(summary["pooled"]) == groups | {"verdicts", "caicedo"}
    assert list(summary["pooled"]["pixels"]) == [*counts, "tn", *PIXEL_RATIOS]
    assert list(summary["pooled"]["objects"]) == [
        *("preset", "hit", "threshold", *counts, "count_error"),
        *OBJECT_RATIOS,
    ]
    for part in ("mean", "range", "mean_interval", "pooled_interval"):
        assert set(summary[part]) == groups
        assert tuple(summary[part]["pixels"]) == PIXEL_RATIOS
        assert tuple(summary[part]["objects"]) == OBJECT_RATIOS
        assert tuple(summary[part]["boundaries"]) == BOUNDARY_RATIOS
    assert summary["reported"] == {"mean of fields": 1, "pooled": 1}
    assert summary["pooled"]["objects"]["threshold"] == 0.75
    assert summary["segmentation"]["model"] == "oracle"
    assert summary["segmentation"]["parameters"] == asdict(PARAMS)
    assert set(summary["segmentation"]) == {"model", "weights_sha256", "parameters", "versions"}


def test_every_object_of_every_field_has_its_row(run, flawed, out, lost):
    result = run(flawed, parquet=True)
    with (out / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    objects = result.summary.pooled.areas
    assert len(rows) == objects.true + objects.predicted
    missed = [row for row in rows if row["verdict"] == "missed"]
    assert [(int(row["object"]), int(row["area_px"])) for row in missed] == [lost]
    assert [row["object"] for row in rows if row["verdict"] == "spurious"] == ["7"]
    assert "area_um2" not in rows[0]  # the drawn fields have no scale
    assert (out / "objects.parquet").is_file()


def test_the_rows_of_true_nuclei_say_which_a_hand_corrected(
    run, flawed, out, drawn_dataset, drawn_fields
):
    mask = sorted((drawn_dataset / "masks").iterdir())[0]
    mask.unlink()
    changes = Changes(9, added=(2,), removed=(99,), changed=(1,))
    note = {"corrected_by_hand": 3, "corrections": asdict(changes)}
    write_labels(mask.with_suffix(".tif"), drawn_fields[0].labels, note)

    run(flawed, parquet=True)

    with (out / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    marked = [(r["field"], r["side"], r["object"]) for r in rows if r["corrected"] == "True"]
    assert marked == [(mask.stem, "truth", "1"), (mask.stem, "truth", "2")]
    assert {row["corrected"] for row in rows} == {"True", "False"}


def test_where_every_field_has_a_scale_distances_are_in_micrometres_too(
    run, oracle_of, drawn_fields, drawn_dataset, out
):
    for path in (drawn_dataset / "images").iterdir():
        write_scaled(path, tifffile.imread(path))
    moved = np.roll(drawn_fields[0].labels, 1, axis=0)
    run(oracle_of(drawn_fields, moved))
    row = read_fields(out)[0]
    assert float(row["hausdorff_um"]) == float(row["hausdorff_px"]) / 2 > 0
    assert read_summary(out)["pooled"]["boundaries"]["hausdorff_um"] > 0


def test_an_empty_field_can_count_as_1(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields), rule=ScoreRule(empty_as_one=True))
    assert read_summary(out)["range"]["objects"]["f1"] == [1, 1]
    assert read_summary(out)["empty_fields"] == 1


# Nuclei at the border


@pytest.fixture
def at_border(drawn_fields):
    """How many nuclei of each field touch the border."""
    return [len(touching_border(field.labels)) for field in drawn_fields]


def test_nuclei_at_the_border_can_be_left_out(run, oracle_of, drawn_fields, out, at_border):
    found = [without_border(field.labels) for field in drawn_fields]
    run(oracle_of(drawn_fields, *found), rule=ScoreRule(ignore_border=True))

    summary = read_summary(out)
    total = sum(len(np.unique(one.labels[one.labels > 0])) for one in drawn_fields)
    left = sum(at_border)
    assert left > 0
    ignored = {"true": left, "predicted": 0, "true_in_region": 0, "predicted_in_region": 0}
    assert summary["pooled"]["ignored"] == ignored
    assert summary["pooled"]["objects"]["recall"] == summary["pooled"]["pixels"]["dice"] == 1
    rows = read_fields(out)
    assert [int(row["ignored_true"]) for row in rows] == at_border
    told = f"{total - left} of {total} nuclei counted, {left} ignored"
    assert told in (out / "summary.md").read_text()
    assert told in (out / "summary.tex").read_text()
    plan = json.loads((out / "run.json").read_text())["plan"]
    assert plan["rule"]["ignore_border"] is True
    (results,) = open_results(out)
    assert results.rule == ScoreRule(ignore_border=True)
    assert set(np.unique(results.draw_verdicts(0))) == {0, Verdict.MATCHED}


def test_nothing_is_said_of_ignoring_where_nothing_is(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))

    assert "ignored" not in read_summary(out)["pooled"]
    assert not any("ignored" in name for name in read_fields(out)[0])
    assert "ignore" not in (out / "run.json").read_text() + (out / "summary.md").read_text()


def test_a_run_does_not_go_on_with_other_nuclei(run, oracle_of, drawn_fields):
    run(oracle_of(drawn_fields))

    with pytest.raises(ValueError, match="rule ignore_border: none before, yes now"):
        run(oracle_of(drawn_fields), rule=ScoreRule(ignore_border=True))


# Fields without nuclei


def test_an_empty_field_has_empty_cells_and_is_left_out_of_means(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    row = read_fields(out)[2]
    for name in ("dice", "iou", "precision", "recall", "f1", "object_f1", "object_pq", "ap_0.95"):
        assert row[name] == ""
    assert [int(row[name]) for name in ("tp", "fp", "fn", "nuclei", "predicted")] == [0] * 5
    assert float(row["percentage"]) == 1
    summary = read_summary(out)
    assert (summary["fields"], summary["empty_fields"]) == (3, 1)
    assert summary["mean"]["objects"]["f1"] == 1


def test_where_all_fields_are_empty_ratios_are_null(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields), split="test")
    summary = read_summary(out)
    assert summary["empty_fields"] == 1
    assert summary["pooled"]["pixels"]["dice"] is None
    assert summary["pooled"]["pixels"]["accuracy"] == 1
    for name in OBJECT_RATIOS:
        assert summary["pooled"]["objects"][name] is None
        assert summary["mean"]["objects"][name] is None
        assert summary["range"]["objects"][name] is None


# Course of a run


def test_every_field_is_announced_and_gets_the_parameters(run, oracle_of, drawn_fields):
    steps = []
    oracle = oracle_of(drawn_fields)
    run(oracle, progress=lambda *step: steps.append(step))
    names = ["A01_s1", "A02_s1", "A03_s1", ""]
    assert list(dict.fromkeys(name for _, _, name in steps)) == names
    # A field is scored while the next one is segmented
    counts = [done for done, _, _ in steps]
    assert counts == sorted(counts)
    assert steps[-1] == (3, 3, "")
    assert oracle.asked == [PARAMS] * 3


# What is refused


def test_images_without_any_mask_are_refused_before_anything_is_segmented(
    run, oracle_of, drawn_fields, drawn_dataset, out
):
    for path in (drawn_dataset / "masks").iterdir():
        path.unlink()
    oracle = oracle_of(drawn_fields)
    with pytest.raises(ValueError, match="of drawn has ground truth; masks/: it is empty"):
        run(oracle)
    assert oracle.asked == []
    assert not out.exists()


def test_a_field_without_its_mask_fails_and_the_others_go_on(
    run, oracle_of, drawn_fields, drawn_dataset, out
):
    stem = open_dataset(drawn_dataset).fields[1].stem
    mask = drawn_dataset / "masks" / f"{stem}.png"
    content = mask.read_bytes()
    mask.unlink()
    result = run(oracle_of(drawn_fields))
    assert list(result.scores) == [f.stem for f in open_dataset(drawn_dataset).fields if f.mask]
    assert result.failed == {
        stem: f"{stem}: the dataset has no mask of this field; add it to masks/ or labels/"
    }
    mask.write_bytes(content)
    assert run(oracle_of(drawn_fields)).failed == {}


@pytest.mark.parametrize("part", ["", "images", "masks"])
def test_results_do_not_go_into_the_dataset(oracle_of, drawn_fields, drawn_dataset, part):
    before = sorted(drawn_dataset.rglob("*"))
    with pytest.raises(
        ValueError, match="this is the folder of the dataset; choose another folder"
    ):
        run_benchmark(
            open_dataset(drawn_dataset),
            oracle_setup(oracle_of(drawn_fields)),
            drawn_dataset / part,
            progress=ignore,
        )
    assert sorted(drawn_dataset.rglob("*")) == before


OTHERS = ["fields.parquet", "objects.parquet", "failed.csv", "report.html"]


@pytest.mark.parametrize("name", sorted({*RESULTS, *OTHERS} - {"run.json"}))
def test_nothing_of_the_users_own_is_replaced(run, oracle_of, drawn_fields, out, name):
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(ValueError, match=rf"it holds {name} but no run\.json, .* choose another"):
        run(oracle_of(drawn_fields))
    assert {path.name: path.read_text() for path in out.iterdir()} == {name: "mine"}


def test_other_files_in_the_folder_stay(run, oracle_of, drawn_fields, out):
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    run(oracle_of(drawn_fields))
    assert (out / "notes.txt").read_text() == "mine"


def test_masks_without_images_are_refused(run, oracle_of, drawn_fields, drawn_dataset, out):
    for path in (drawn_dataset / "images").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="there is ground truth but no images here; images"):
        run(oracle_of(drawn_fields))
    assert not out.exists()


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_a_threshold_out_of_bounds_is_refused_before_anything_is_segmented(
    run, oracle_of, drawn_fields, out, threshold
):
    oracle = oracle_of(drawn_fields)
    with pytest.raises(ValueError, match="it must be above 0 and at most 1"):
        run(oracle, rule=ScoreRule(threshold))
    assert oracle.asked == []
    assert not out.exists()


def test_a_file_named_as_a_model_is_not_taken_for_that_model(tmp_path):
    path = write_residual_unet(tmp_path / "nuclei")
    setup = set_up(catalogue.find(str(path)), "cpu", {}, DEFAULT_RULE)
    assert setup.load().model.path == path
