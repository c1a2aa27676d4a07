"""Several models on one dataset."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_nucseg.batch.dataset_run import Execution, run_models
from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.batch.run_report import comparison_table
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.progress import ignore
from tests.oracle import oracle_setup


@pytest.fixture
def setups(oracle_of, drawn_fields):
    """One model that is right, and one that finds nothing."""
    nothing = [np.zeros_like(field.labels) for field in drawn_fields]
    blind = replace(oracle_setup(oracle_of(drawn_fields, *nothing)), model="blind")
    return [oracle_setup(oracle_of(drawn_fields)), blind]


def test_models_have_a_folder_each_and_a_comparison(setups, drawn_dataset, tmp_path):
    steps = []
    results = run_models(
        open_dataset(drawn_dataset), setups, tmp_path, Execution(lambda *step: steps.append(step))
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
        run_models(open_dataset(drawn_dataset), [setups[0]] * 2, tmp_path / "x", Execution(ignore))
    assert not (tmp_path / "x").exists()


@pytest.fixture
def out(tmp_path):
    """The folder of the results."""
    return tmp_path / "out"


@pytest.fixture
def run(drawn_dataset, out):
    """Run models over the drawn dataset, into the same folder each time."""
    return lambda setups, progress=ignore: run_models(
        open_dataset(drawn_dataset), setups, out, Execution(progress)
    )


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_model_is_refused_where_several_are(run, setups, out):
    run(setups)
    before = content(out)
    with pytest.raises(ValueError, match="holds a run of several models, blind, oracle; choose"):
        run(setups[:1])
    assert content(out) == before


def test_several_models_are_refused_where_one_is(run, setups, out):
    run(setups[:1])
    before = content(out)
    with pytest.raises(ValueError, match="holds the run of a single model"):
        run(setups)
    assert content(out) == before


def test_a_model_may_join_others_and_none_may_be_left_out(run, setups, out):
    third = replace(setups[1], model="third")
    run(setups)
    run([*setups, third])
    assert "third" in (out / "comparison.csv").read_text()
    before = content(out)
    with pytest.raises(ValueError, match="holds results of blind, too"):
        run([setups[0], third])
    assert content(out) == before


def test_a_run_of_one_model_may_lie_in_a_folder_of_runs(run, setups, out, drawn_dataset):
    dataset = open_dataset(drawn_dataset)
    run_models(dataset, setups[:1], out / "drawn-oracle", Execution(ignore))
    run(setups[:1])
    run_models(dataset, setups[:1], out / "drawn-oracle", Execution(ignore))


def test_several_models_hold_their_folder(run, setups, out):
    with (
        ResultsFolder(out).held(),
        pytest.raises(ValueError, match=rf"{out}: another run uses this folder"),
    ):
        run(setups)
    assert [path.name for path in out.iterdir()] == [".lock"]

    def look(done, total, name):
        with (
            pytest.raises(ValueError, match="another run uses this folder"),
            ResultsFolder(out).held(),
        ):
            pass

    run(setups, look)


def test_what_a_killed_run_left_beside_the_models_is_swept(run, setups, out):
    run(setups)
    (out / "report.html.0badcafe.partial").write_bytes(b"half")
    run(setups)
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize("name", ["comparison.csv", "report.html"])
def test_nothing_of_the_users_own_is_replaced(run, setups, out, name):
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(ValueError, match=f"it holds {name} but"):
        run(setups)
    assert {path.name for path in out.iterdir()} == {name}


def test_a_model_that_cannot_be_loaded_is_told_before_another_runs(run, setups, out):
    def load():
        raise ValueError("bad.pt: not a readable model file")

    with pytest.raises(ValueError, match=r"bad\.pt"):
        run([setups[0], replace(setups[1], load=load)])
    assert not out.exists()


def test_what_differs_for_one_model_is_told_before_another_runs(run, setups, out, oracle_of):
    blind = replace(setups[1], params=replace(setups[1].params, diameter=99))
    run(setups)
    sessions = content(out)
    with pytest.raises(ValueError, match=r"parameters diameter: 25 before, 99 now"):
        run([setups[0], blind])
    assert content(out) == sessions


def test_results_of_several_models_do_not_go_into_the_dataset(setups, drawn_dataset):
    with pytest.raises(ValueError, match="this is the folder of the dataset"):
        run_models(open_dataset(drawn_dataset), setups, drawn_dataset, Execution(ignore))
    assert {path.name for path in drawn_dataset.iterdir()} == {"images", "masks", "metadata"}
