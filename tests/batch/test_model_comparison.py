"""Models side by side when one of them failed somewhere."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_nucseg.batch.dataset_run import Execution, run_models
from napari_nucseg.batch.run_report import comparison_table
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.metrics.score import ScoreRule
from napari_nucseg.progress import ignore
from tests.oracle import oracle_setup


@pytest.fixture
def compared(oracle_of, drawn_fields, drawn_dataset, tmp_path):
    """Compare one that misses all nuclei of the first field with one that is right or fails."""
    answers = [field.labels for field in drawn_fields]
    lazy = oracle_of(drawn_fields, np.zeros_like(answers[0]), *answers[1:])
    right = oracle_of(drawn_fields)

    def compare(*failing, empty_as_one=False):
        def picky(image, params, report):
            if any(image.tobytes() == drawn_fields[at].image.tobytes() for at in failing):
                raise ValueError("too bright")
            return right(image, params, report)

        rule = ScoreRule(empty_as_one=empty_as_one)
        models = {"lazy": lazy, "picky": picky}
        setups = [replace(oracle_setup(run, rule), model=name) for name, run in models.items()]
        results = run_models(open_dataset(drawn_dataset), setups, tmp_path, Execution(ignore))
        with (tmp_path / "comparison.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["score"] == "f1"]
        return dict(zip(models, results, strict=True)), rows

    return compare


def test_models_are_compared_on_the_fields_that_all_have_done(compared):
    results, rows = compared(0)
    table = comparison_table(results)
    assert table[0] == ("Mean of the 2 fields that all models have done (range)", "lazy", "picky")
    assert {row[0]: row[1:] for row in table}["Nuclei: F1"] == ("1.000 (1.000-1.000)",) * 2
    assert [float(row["mean_of_fields"]) for row in rows] == [1, 1]
    assert [row["fields"] for row in rows] == ["1", "1"]  # the other has no nucleus


def test_fields_without_nuclei_count_as_the_rule_has_it(compared):
    _, rows = compared(0, empty_as_one=True)
    assert [row["fields"] for row in rows] == ["2", "2"]


def test_all_fields_are_compared_where_none_failed(compared):
    results, rows = compared()
    assert comparison_table(results)[0] == ("Mean of fields (range)", "lazy", "picky")
    assert [float(row["mean_of_fields"]) for row in rows] == [0.5, 1]


def test_models_without_a_field_in_common_are_each_told_as_they_are(compared):
    results, _ = compared(0)
    done = results["lazy"].scores
    first = dict(list(done.items())[:1])
    apart = results | {"lazy": replace(results["lazy"], scores=first)}
    heading = comparison_table(apart)[0][0]
    assert heading == "Mean of each model's own fields (range); no field was done by all models"
