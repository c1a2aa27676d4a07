"""What a new score costs: an entry in the registry, and it is wherever scores are."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from napari_nucseg.analysis.prediction_comparison import TrueFields, best_of, compare_predictions
from napari_nucseg.analysis.score_records import (
    field_row,
    score_record,
    summary_record,
    summary_rows,
)
from napari_nucseg.io.fields import Field
from napari_nucseg.io.writers import write_json, write_table
from napari_nucseg.metrics import registry
from napari_nucseg.metrics.registry import GROUPS, METRICS, Metric, metrics
from napari_nucseg.metrics.score import DEFAULT_RULE, score_with_boundaries
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.report.text import latex_table, markdown_table, score_table, summary_table
from napari_nucseg.ui.score.score_table import ScoreTable
from scripts.score_tables import DOCUMENT, with_tables

MISS_RATE = Metric(
    "objects",
    "miss_rate",
    "Miss rate",
    lambda score: 1 - score.objects.recall,
    "FN / (TP + FN) at `t`",
    "Share of the true nuclei that are missed.",
    better="low",
    iou=registry.CHOSEN,
    shown={"choice": 1, "models": 1, "plot": 1},
)


@pytest.fixture
def truths(drawn_fields):
    return [field.labels for field in drawn_fields[:2]]


@pytest.fixture
def scores(truths, monkeypatch):
    """Scores of two fields, of which the second has lost a nucleus, when the new score is there."""
    monkeypatch.setattr(registry, "METRICS", (*METRICS, MISS_RATE))
    lost = np.where(truths[1] == 1, 0, truths[1])
    pairs = zip(truths, (truths[0], lost), strict=True)
    return [score_with_boundaries(*pair) for pair in pairs]


@pytest.fixture
def rate(truths):
    """The new score of the second field."""
    return 1 / (len(np.unique(truths[1])) - 1)


def printed(table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


def test_a_new_score_is_in_the_tables_of_the_terminal_and_of_papers(scores, rate):
    assert f"{rate:.3f}" in row_of(printed(score_table(scores[1])))
    summary = summarise(scores)
    for table in (
        printed(summary_table(summary)),
        markdown_table(summary, "two"),
        latex_table(summary, "two"),
    ):
        assert f"{rate / 2:.3f}" in row_of(table)


def row_of(table: str) -> str:
    (row,) = (line for line in table.splitlines() if MISS_RATE.heading in line)
    return row


def test_a_new_score_is_in_the_panel_with_its_help(qtbot, scores, rate):
    table = ScoreTable()
    qtbot.addWidget(table)
    table.show_field(scores[1])
    table.show_summary(summarise(scores))
    headers = [table.verticalHeaderItem(row) for row in range(table.rowCount())]
    row = [header.text() for header in headers].index("Miss rate at 0.50")
    cells = [table.item(row, column) for column in range(4)]
    assert cells[0].text() == f"{rate:.3f}"
    assert cells[1].text() == f"{rate / 2:.3f}"
    assert all(item.toolTip().startswith(MISS_RATE.help) for item in (headers[row], *cells))
    assert f"range from 0.000 to {rate:.3f}" in cells[1].toolTip()


def test_a_new_score_is_in_the_files(scores, rate, tmp_path):
    summary = summarise(scores)
    write_table(tmp_path / "fields.csv", [field_row(Field("A01"), one) for one in scores])
    write_table(tmp_path / "summary.csv", summary_rows(summary))
    write_json(tmp_path / "summary.json", summary_record(summary))
    fields, rows = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("fields.csv", "summary.csv")
    )
    assert [float(row["object_miss_rate"]) for row in fields] == pytest.approx([0, rate])
    (row,) = (row for row in rows if row["score"] == "miss_rate" and row["threshold"] == "0.5")
    assert float(row["mean_of_fields"]) == pytest.approx(rate / 2)
    record = json.loads((tmp_path / "summary.json").read_text())
    assert record["mean"]["objects"]["miss_rate"] == pytest.approx(rate / 2)
    assert record["by_threshold"][-1]["mean"]["miss_rate"] == pytest.approx(rate / 2)
    assert score_record(scores[1])["objects"]["miss_rate"] == pytest.approx(rate)


def test_of_a_score_that_is_better_low_the_lowest_is_the_best(scores, truths):
    predictions = {"empty": lambda plane: np.zeros_like(truths[plane]), "right": truths.__getitem__}
    fields = TrueFields(truths.__getitem__, (0, 1))
    compared = compare_predictions(fields, predictions, DEFAULT_RULE, lambda *progress: None)
    assert best_of(compared, MISS_RATE) == 1
    assert registry.shown_in("choice")[-1].name == "dice"
    assert MISS_RATE in registry.shown_in("choice")
    assert MISS_RATE.full_title == "Miss rate at the threshold"


def test_of_fields_without_nuclei_the_best_value_is_taken_where_they_count_as_faultless(scores):
    empty = np.zeros((9, 9), int)
    summary = summarise([scores[1], score_with_boundaries(empty, empty)], empty_as_one=True)
    assert summary.spread["objects", "miss_rate"].low == 0
    assert summary.spread["objects", "recall"].high == 1


# What is declared


def test_the_document_has_the_registry_s_tables():
    document = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(document) == document
    assert all(f"<!-- scores: {group} -->" in document for group in GROUPS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: f"{metric.group} {metric.name}")
def test_every_score_is_told_in_whole_sentences(metric):
    assert metric.help[0].isupper() or metric.help[0].isdigit()
    assert metric.help.endswith(".")
    assert metric.formula
    assert metric.source


def test_names_and_headings_are_unique_in_a_group():
    for unit in (None, "um"):
        found = metrics(unit)
        assert len({one.key for one in found}) == len(found)
        assert len({(one.group, one.heading) for one in found}) == len(found)
    assert [one.heading for one in metrics("um")][-1] == "Mean (µm)"


def test_a_list_of_scores_has_no_place_twice():
    for place in ("models", "choice", "plot"):
        places = [one.shown[place] for one in registry.shown_in(place)]
        assert places == list(range(1, len(places) + 1))
