"""Several models on one dataset."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_nucseg.core.bbbc039 import open_dataset
from napari_nucseg.runs.model_comparison import comparison_table
from napari_nucseg.runs.models_run import run_models
from tests.oracle import oracle_setup


@pytest.fixture
def setups(oracle_of, drawn_fields):
    """One model that is right, and one that finds nothing."""
    nothing = [np.zeros_like(field.labels) for field in drawn_fields]
    blind = replace(oracle_setup(oracle_of(drawn_fields, *nothing)), model="blind")
    return [oracle_setup(oracle_of(drawn_fields)), blind]


def ignore(done, total, name):
    """Take no notice of progress."""


def test_models_have_a_folder_each_and_a_comparison(setups, drawn_dataset, tmp_path):
    steps = []
    results = run_models(
        open_dataset(drawn_dataset), setups, tmp_path, report=lambda *step: steps.append(step)
    )
    assert {path.name for path in tmp_path.iterdir()} >= {"oracle", "blind", "comparison.csv"}
    assert steps[0] == (0, 6, "A01_s1")
    assert steps[-1] == (6, 6, "")
    with (tmp_path / "comparison.csv").open(newline="") as file:
        rows = {(row["model"], row["group"], row["score"]): row for row in csv.DictReader(file)}
    assert float(rows["oracle", "objects", "f1"]["mean_of_fields"]) == 1
    assert float(rows["blind", "objects", "f1"]["mean_of_fields"]) == 0
    table = comparison_table(dict(zip(("oracle", "blind"), results, strict=True)))
    assert table[0] == ("Mean of fields (range)", "oracle", "blind")
    assert table[1] == ("Pixels: Dice (= F1)", "1.000 (1.000-1.000)", "0.000 (0.000-0.000)")


def test_a_model_named_twice_is_refused(setups, drawn_dataset, tmp_path):
    with pytest.raises(ValueError, match="oracle is named twice"):
        run_models(open_dataset(drawn_dataset), [setups[0]] * 2, tmp_path / "x", report=ignore)
    assert not (tmp_path / "x").exists()
