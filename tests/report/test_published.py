"""Our scores beside published ones."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.counts import PixelCounts
from napari_nucseg.metrics.score import score
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.report.published import (
    PUBLISHED,
    object_table,
    pixel_table,
    published_split,
    splits_of_bbbc039,
)
from napari_nucseg.segmenters.catalogue import caveat, models

TABLE = Path(__file__).parents[1] / "data" / "kloda_test_pixels.csv"


@pytest.fixture
def perfect(drawn_fields):
    """As many fields as the test split has, of which every third has no nucleus."""
    three = [score(field.labels, field.labels) for field in drawn_fields]
    return (17 * three)[:50]


@pytest.mark.parametrize(("name", "told"), PUBLISHED["pixels"]["scores"].items())
def test_the_published_pixel_scores_follow_from_the_published_table(name, told):
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = {"accuracy": "percentage"}.get(name, name)
    values = [float(row[column]) for row in rows]
    assert told["mean"] == pytest.approx(sum(values) / 50, abs=6e-6)
    assert (told["low"], told["high"]) == pytest.approx((min(values), max(values)), abs=6e-6)
    counts = {key: sum(int(row[key]) for row in rows) for key in ("tp", "fp", "fn", "tn")}
    assert told["pooled"] == pytest.approx(getattr(PixelCounts(**counts), name), abs=6e-6)


def test_pixel_scores_stand_beside_the_report_of_the_test_split(perfect):
    rows = pixel_table("fluo-nuclei", summarise(perfect), "test")
    assert [row[0] for row in rows[1:]] == [
        *("Dice (= F1)", "IoU", "Precision", "Recall", "Accuracy")
    ]
    assert rows[1][1:] == ("1.000 (1.000-1.000)", "0.967 (0.930-0.981)", "1.000", "0.968")
    assert pixel_table("fluo-nuclei", summarise(perfect), "validation") == []


def test_scores_of_nuclei_stand_beside_published_ones(perfect):
    rows = object_table("fluo-nuclei", perfect, "test")
    assert rows[1] == ("fluo-nuclei", "1.000", "1.000", "1.000", "1.000", "1.000")
    assert rows[3][1:] == ("", "0.934", "0.871", "0.641", "0.965")


def test_scores_of_a_split_where_fields_failed_are_marked(perfect):
    done = perfect[:49]
    assert object_table("fluo-nuclei", done, "test")[1][0] == "fluo-nuclei, 49 of 50 fields"
    header = pixel_table("fluo-nuclei", summarise(done), "test")[0]
    assert header[1] == "fluo-nuclei, 49 of 50 fields, mean (range)"
    assert (
        pixel_table("fluo-nuclei", summarise(perfect), "test")[0][1] == "fluo-nuclei, mean (range)"
    )


def test_only_a_whole_published_split_is_compared(bbbc039, drawn_dataset):
    assert published_split(open_dataset(bbbc039, "validation")) == "validation"
    assert published_split(open_dataset(bbbc039, "training")) is None
    assert published_split(open_dataset(bbbc039)) is None
    assert published_split(open_dataset(drawn_dataset, "test")) is None


def test_nothing_is_said_of_other_datasets_with_splits_of_the_same_names(tmp_path):
    """Here with as many fields as the published test split has."""
    (tmp_path / "images").mkdir()
    names = [f"{number}.tif" for number in range(50)]
    for name in names:
        (tmp_path / "images" / name).touch()
    for split in ("training", "validation", "test"):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
        dataset = open_dataset(tmp_path, split)
        assert published_split(dataset) is None
        assert not any(caveat(model.name, splits_of_bbbc039(dataset)) for model in models())
