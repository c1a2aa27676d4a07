"""The benchmarks: what is compared with what, and how it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import blocks, gpu_check, large
from benchmarks.__main__ import ON_REQUEST, Group
from benchmarks.machine import Machine, on_one_core
from benchmarks.rows import (
    Gigabytes,
    NotAbove,
    Peer,
    Row,
    TimesFaster,
    TimesPeer,
    Within,
    as_json,
    table,
)
from benchmarks.setting import Setting
from benchmarks.timing import in_fresh_process, interleave, timed
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.training import params as training_params
from tests.segmenters.random_nets import small_sam

ROOT = Path(__file__).parents[1]
MACHINE = Machine("2026-01-31", "a processor, 2 of 8 cores", "16 GB", "Linux", {"numpy": "2.4"})
SECOND = Peer("stardist", 1.0)
MISSED = "**missed**"


def cells(row: Row) -> list[str]:
    """What the table tells in the row's line."""
    line = table([row]).splitlines()[-1]
    return [cell.strip() for cell in line.strip("|").split("|")]


# Times


def test_clocks_run_by_turns_after_an_untimed_run_of_each():
    order = []

    def clock(name: str) -> float:
        order.append(name)
        return 1.0

    interleave([lambda: clock("a"), lambda: clock("b")], runs=2)
    assert order == ["a", "b", "a", "b", "a", "b"]


def test_the_median_leaves_out_the_untimed_run_and_the_slow_one():
    ours, peers = iter([50.0, 3.0, 90.0, 1.0]), iter([70.0, 5.0, 4.0, 6.0])
    assert interleave([ours.__next__, peers.__next__], runs=3) == [3.0, 5.0]


def test_a_clock_does_the_work_with_each_item_and_tells_the_seconds_of_one(monkeypatch):
    seconds = iter([10.0, 16.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    done = []
    assert timed(done.append, ["a", "b", "c"])() == 2.0
    assert done == ["a", "b", "c"]


@pytest.mark.slow
def test_a_fresh_process_gets_arguments_and_variables():
    code = "import os, sys; print(sys.argv[1] + os.environ['ENDING'])"
    assert in_fresh_process(code, "field", ENDING=".tif") == "field.tif\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot")
def test_one_core_is_kept_for_a_while():
    before = os.sched_getaffinity(0)
    with on_one_core():
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


# Bars


@pytest.mark.parametrize(
    ("bar", "ours", "met"),
    [
        (Within(0.3), 0.3, True),
        (Within(0.3), 0.301, False),
        (TimesFaster(20), 0.05, True),
        (TimesFaster(20), 0.051, False),
        (TimesPeer(1.05), 1.05, True),
        (TimesPeer(1.05), 1.06, False),
        (NotAbove(1.05), 1.05, True),
        (NotAbove(1.05), 1.06, False),
        (Gigabytes(1.5), 1.5, True),
        (Gigabytes(1.5), 1.51, False),
    ],
    ids=str,
)
def test_a_bar_is_met_up_to_its_edge(bar, ours, met):
    row = Row("a field", ours, SECOND, bar)
    assert row.is_met is met
    assert cells(row)[-1] == ("met" if met else MISSED)


@pytest.mark.parametrize("bar", [TimesFaster(20), TimesPeer(1.05)], ids=str)
def test_a_bar_that_compares_needs_a_peer(bar):
    with pytest.raises(ValueError, match="needs a peer"):
        assert Row("a field", 1.0, bar=bar).is_met


# What is shown


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            Row("a", 0.04, SECOND, TimesFaster(20)),
            ["a", "40 ms", "stardist: 1 s", "25.00 x faster", "at least 20 x faster", "met"],
        ),
        (
            Row("b", 1.25, SECOND, TimesPeer(1.05)),
            ["b", "1.25 s", "stardist: 1 s", "1.25 x slower", "at most 1.05 x its time", MISSED],
        ),
        (Row("c", 0.0123, bar=Within(0.015)), ["c", "12.3 ms", "", "", "at most 15 ms", "met"]),
        (
            Row("m", 0.8, Peer("50 fields", 0.7), NotAbove(1.05), unit="GB"),
            ["m", "0.8 GB", "50 fields: 0.7 GB", "", "at most 1.05 x as much", MISSED],
        ),
        (Row("d", 0.5, SECOND), ["d", "500 ms", "stardist: 1 s", "2.00 x faster", "", ""]),
    ],
    ids=lambda value: value.what if isinstance(value, Row) else "",
)
def test_the_table_tells_times_ratio_bar_and_verdict(row, expected):
    assert cells(row) == expected


def test_the_table_is_markdown():
    lines = table([Row("a", 1.0), Row("b", 2.0)]).splitlines()
    assert lines[0] == "| What | Ours | Peer | Ratio | Bar | Verdict |"
    assert lines[1] == "| --- | --- | --- | --- | --- | --- |"
    assert {line.count("|") for line in lines} == {7}


def test_the_head_names_processor_and_versions():
    assert "a processor, 2 of 8 cores" in str(MACHINE)
    assert "numpy 2.4" in str(MACHINE)


def test_json_holds_what_the_table_shows():
    rows = [Row("a", 0.5, SECOND, TimesFaster(3)), Row("b", 0.2)]
    record = json.loads(as_json(MACHINE, rows))
    assert record["machine"]["versions"] == {"numpy": "2.4"}
    assert record["rows"] == [
        {
            "what": "a",
            "ours": 0.5,
            "unit": "s",
            "peer": {"name": "stardist", "seconds": 1.0},
            "times_faster": 2.0,
            "bar": "at least 3 x faster",
            "met": False,
        },
        {
            "what": "b",
            "ours": 0.2,
            "unit": "s",
            "peer": None,
            "times_faster": None,
            "bar": None,
            "met": None,
        },
    ]


# The large image


def test_a_mosaic_is_filled_with_fields_row_by_row():
    fields = [np.full((2, 3), number, np.uint16) for number in (1, 2, 3)]
    whole = large.mosaic(fields, 5)
    assert whole.shape == (5, 5)
    assert whole[::2, ::3].tolist() == [[1, 2], [3, 1], [2, 3]]


def test_a_large_image_is_timed_in_a_process_whose_memory_is_told(monkeypatch):
    monkeypatch.setattr(large, "EDGE", 300)
    seconds, *memory = large.measure(Setting(None, 1))
    assert seconds.what == "fluo-nuclei, 300 x 300 px"
    assert str(seconds.bar) == "at most 60 s"
    assert seconds.ours > 0
    assert len(memory) == (sys.platform == "linux")
    for row in memory:
        assert (row.unit, str(row.bar)) == ("GB", "at most 3 GB")
        assert 0.05 < row.ours < 3


def test_an_image_in_blocks_is_timed_beside_its_fields_and_two_workers_beside_one(monkeypatch):
    monkeypatch.setattr(blocks, "EDGE", 1100)
    monkeypatch.setattr(blocks, "EDGE_ON_WORKERS", 1100)

    here, *memory, workers = blocks.measure(Setting(None, 1))

    assert here.what == "fluo-nuclei, 1,100 x 1,100 px in blocks"
    assert (here.peer.name, str(here.bar)) == ("its fields one by one", "at most 1.1 x its time")
    assert [str(row.bar) for row in memory] == ["at most 1.5 GB"] * (sys.platform == "linux")
    assert workers.what == "fluo-nuclei, 1,100 x 1,100 px, two Dask workers"
    assert min(here.ours, here.peer.seconds, workers.ours, workers.peer.seconds) > 0


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_cluster_to_be_timed_has_as_many_workers_as_it_is_named_for(count):
    from distributed import Client

    with blocks._cluster(count) as address, Client(address) as client:
        assert len(client.nthreads()) == count


def test_what_takes_minutes_is_measured_where_it_is_named_alone():
    assert {Group.LARGE, Group.BLOCKS} <= ON_REQUEST
    assert Group.FIELDS not in ON_REQUEST


# The check of a GPU


def test_the_check_of_a_device_passes_on_the_cpu_and_tells_its_figures(tmp_path):
    path = tmp_path / "gpu-check.json"
    done = CliRunner().invoke(gpu_check.app, ["--device", "cpu", "--short", "--json", str(path)])
    assert done.exit_code == 0, done.output
    record = json.loads(path.read_text())
    assert record["device"].startswith("CPU")
    assert record["left_out"] == ["transformer", "transformer_training"]
    figures = {one["name"]: one["figures"] for one in record["checks"]}
    assert all(one["passed"] for one in record["checks"])
    assert figures["bundled"]["same_nuclei"] == figures["bundled"]["nuclei"] > 5
    assert figures["short_memory"]["halved"] == 3
    assert figures["cancel"]["run"] == 2 < figures["cancel"]["tiles"]
    assert figures["training"]["steps"] == 4
    assert figures["speed"]["seconds_a_field"] > 0


def test_a_cellpose_sam_is_taught_where_the_device_can(monkeypatch):
    field = draw_field(0, shape=(256, 256), nuclei=20)
    setting = gpu_check.Setting(choose("cpu"), (field,), steps=8, crop=64)
    assert "CPU" in gpu_check.transformer_training(setting)["left_out"]
    monkeypatch.setattr(training_params, "gpu_memory", lambda device: 80 * 10**9)
    with small_sam():
        figures = gpu_check.transformer_training(setting)
    assert figures["steps"] == 8
    assert figures["last_loss"] < figures["first_loss"]


def test_a_device_that_computes_otherwise_does_not_pass(monkeypatch, tmp_path):
    def otherwise(net, device):
        network = wrap(net, device)
        right = network.infer

        def infer(image, params, progress):
            return replace(right(image, params, progress), cellprob=np.full(image.shape, 3.0, "f4"))

        object.__setattr__(network, "infer", infer)
        return network

    wrap = gpu_check.wrap
    monkeypatch.setattr(gpu_check, "wrap", otherwise)
    monkeypatch.setattr(gpu_check, "CHECKS", (gpu_check.bundled,))
    done = CliRunner().invoke(gpu_check.app, ["--device", "cpu", "--short"])
    assert done.exit_code == 1
    assert "FAIL bundled" in done.output
    assert "standard deviations" in done.output


# The command line


def run_benchmarks(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_group_is_measured_and_a_missed_bar_is_the_exit_code(tmp_path):
    path = tmp_path / "times.json"
    run = run_benchmarks("--only", "start", "--runs", "1", "--cores", "1", "--json", str(path))
    assert path.is_file(), run.stderr
    record = json.loads(path.read_text())
    assert run.returncode == int(not all(row["met"] for row in record["rows"]))
    assert ", 1 of " in record["machine"]["processor"]
    assert all(row["ours"] > 0 for row in record["rows"])
    for told in ("napari-nucseg", "Opening the segment panel", "Opening the score panel"):
        assert told in run.stdout


@pytest.mark.slow
def test_an_unknown_group_is_refused_with_those_there_are():
    run = run_benchmarks("--only", "nothing")
    assert run.returncode == 2
    assert "transformer" in run.stderr
