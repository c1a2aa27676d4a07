from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from napari_nucseg.analysis.score_records import field_row, summary_record, summary_rows
from napari_nucseg.io.fields import Field
from napari_nucseg.io.writers import write_table
from napari_nucseg.metrics.boundaries import Spacing
from napari_nucseg.metrics.matching import AP_THRESHOLDS, DSB2018
from napari_nucseg.metrics.score import score, score_with_boundaries
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.report.text import latex_table, markdown_table


@pytest.fixture
def summary(drawn_fields):
    spacing = Spacing((0.65, 0.65))
    return summarise(
        [
            score_with_boundaries(f.labels, np.roll(f.labels, 2), 0.5, DSB2018, spacing)
            for f in drawn_fields
        ]
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_the_markdown_table_has_pooled_and_mean_with_intervals_and_range(summary):
    lines = markdown_table(summary, "drawn").splitlines()
    assert {line.count("|") for line in lines[: 2 + len(summary.spread)]} == {8}
    row = next(line for line in lines if "AP .50:.95" in line)
    spread = summary.spread["objects", "mean_ap"]
    low, high = summary.intervals["objects", "mean_ap"]
    assert cells(row)[-5:] == [
        f"{summary.pooled.mean_ap:.3f}",
        f"{low:.3f}-{high:.3f}",
        f"{spread.mean:.3f}",
        f"{spread.interval[0]:.3f}-{spread.interval[1]:.3f}",
        f"{spread.low:.3f}-{spread.high:.3f}",
    ]
    assert any("Hausdorff (µm)" in line for line in lines)


def test_the_caption_tells_the_rule_and_the_fields(summary):
    for table in (markdown_table(summary, "drawn"), latex_table(summary, "drawn")):
        caption = table.replace(r"\textgreater{}", ">").replace("\\", "")
        assert "drawn: 3 fields, 1 of them without nuclei; hits by IoU > t (DSB2018)" in caption
        assert "bootstrap over fields, 1000 draws" in caption


def test_the_latex_table_is_whole_and_its_signs_are_escaped(summary):
    table = latex_table(summary, r"50%_of \all & {more}")
    assert r"50\%\_of \textbackslash{}all \& \{more\}" in table
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + len(summary.spread)
    assert {row.replace(r"\&", "").count("&") for row in rows} == {6}
    assert table.count(r"\begin") == table.count(r"\end") == 2
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert table.count(rule) == 1


def test_a_name_cannot_break_the_markdown(summary):
    table = markdown_table(summary, "a|b\n| c |")
    assert table.splitlines()[-1].startswith(r"a\|b \| c \|: 3 fields")
    table = markdown_table(summary, "![x](y) <b> &lt;")
    assert table.splitlines()[-1].startswith(r"!\[x\](y) \<b\> \&lt;: 3 fields")


def test_the_rows_of_a_summary_are_those_of_its_scores(summary, tmp_path):
    rows = summary_rows(summary)
    write_table(tmp_path / "summary.csv", rows)
    with (tmp_path / "summary.csv").open(newline="") as file:
        read = {(r["group"], r["score"], r["threshold"]): r for r in csv.DictReader(file)}
    assert len(read) == len(rows)
    row = read["objects", "pq", "0.5"]
    assert float(row["mean_of_fields"]) == summary.spread["objects", "pq"].mean
    assert float(row["pooled_low"]) == summary.intervals["objects", "pq"][0]
    assert (row["fields"], row["preset"]) == ("2", "dsb2018")
    row = read["objects", "ap", "0.75"]
    assert float(row["pooled"]) == summary.pooled.by_threshold[5].ap
    assert float(row["mean_of_fields"]) == summary.spread_at[0.75, "ap"].mean
    assert float(row["pooled_high"]) == summary.intervals_at[0.75, "ap"][1]
    row = read["objects", "absolute_count_error", ""]
    assert (row["pooled"], float(row["mean_of_fields"])) == ("", summary.count_error.mean)


def test_a_row_tells_the_threshold_that_its_score_is_of_and_no_other(drawn_fields):
    pairs = [(field.labels, np.roll(field.labels, 2)) for field in drawn_fields]
    rows = summary_rows(summarise([score_with_boundaries(*pair, 0.7) for pair in pairs]))
    thresholds = {}
    for row in rows:
        thresholds.setdefault((row["group"], row["score"]), []).append(row["threshold"])
    assert thresholds["objects", "f1"] == [0.7, *(t for t in AP_THRESHOLDS if t != 0.7)]
    assert thresholds["objects", "pq"] == [0.5]
    assert thresholds["boundaries", "hd95_px"] == [0.7]
    for name in ("mean_ap", "aji", "seg"):
        assert thresholds["objects", name] == [None]
    assert thresholds["pixels", "dice"] == thresholds["boundaries", "boundary_f"] == [None]


def test_the_record_of_a_summary_has_the_counts_at_every_threshold(summary):
    record = json.loads(json.dumps(summary_record(summary), allow_nan=False))
    at = {part["threshold"]: part for part in record["by_threshold"]}
    assert list(at) == list(AP_THRESHOLDS)
    counts = summary.pooled.by_threshold[8]
    assert (at[0.9]["tp"], at[0.9]["fp"], at[0.9]["fn"]) == (counts.tp, counts.fp, counts.fn)
    assert at[0.9]["pooled"]["f1"] == counts.f1
    assert at[0.9]["mean"]["ap"] == summary.spread_at[0.9, "ap"].mean


def test_every_row_of_a_field_tells_its_rule(drawn_fields):
    labels = drawn_fields[0].labels
    row = field_row(Field("A1_s1"), score(labels, labels, 0.6, DSB2018))
    assert (row["preset"], row["threshold"]) == ("dsb2018", 0.6)
