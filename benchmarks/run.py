"""A run over a dataset: what it adds to network and post-processing, and the memory it takes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows import Gigabytes, NotAbove, Peer, Row, TimesPeer
from benchmarks.setting import Setting
from benchmarks.timing import in_fresh_process, interleave
from napari_nucseg.batch.dataset_run import Execution, run_models
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.fields import Dataset
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.segmenters import catalogue

FEW, MANY = 50, 150
MOST_RUNS = 3
_PEAK = """
import os, sys
from pathlib import Path
from napari_nucseg.cli.main import main

dataset, out = sys.argv[1:]
sys.argv = ["napari-nucseg", "benchmark", dataset, "-o", out, "--device", "cpu"]
sys.stdout = open(os.devnull, "w")
try:
    main()
except SystemExit as end:
    assert not end.code
# Not getrusage: its maximum is that of the process which started this one, if that was larger
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(line for line in lines if line.startswith("VmHWM"))
sys.__stdout__.write(str(1024 * int(peak.split()[1])))
"""


def measure(setting: Setting) -> list[Row]:
    """Take the times on the validation split, and the memory of as many and of more fields."""
    if setting.dataset is None:
        return []  # drawn fields are too few to tell
    whole = open_dataset(setting.dataset)
    fields = open_dataset(setting.dataset, "validation")
    memory = _memory(whole) if sys.platform == "linux" else []
    return [_times(fields, min(setting.runs, MOST_RUNS)), *memory]


def _times(dataset: Dataset, runs: int) -> Row:
    ours, bare = interleave([_run(dataset), _bare(dataset)], runs)
    return Row(
        f"A run with {catalogue.BUNDLED}, a field",
        ours,
        Peer("network and post-processing", bare),
        TimesPeer(1.15),
    )


def _run(dataset: Dataset) -> Callable[[], float]:
    """Return what times a run with all that belongs to it, but for loading the model."""
    setup = set_up(catalogue.find(catalogue.BUNDLED), "cpu", {}, DEFAULT_RULE)
    setup.load()

    def clock() -> float:
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            run_models(dataset, [setup], Path(folder) / "out", Execution(lambda *step: None))
            return (time.perf_counter() - start) / len(dataset.fields)

    return clock


def _bare(dataset: Dataset) -> Callable[[], float]:
    """Return what times the model alone on images that are in memory."""
    model = catalogue.find(catalogue.BUNDLED)
    segment = catalogue.load(model, "cpu")
    images = [field.read_image().data for field in dataset.fields]

    def clock() -> float:
        start = time.perf_counter()
        for image in images:
            segment(image, model.defaults, lambda done, total: None)
        return (time.perf_counter() - start) / len(images)

    return clock


def _memory(whole: Dataset) -> list[Row]:
    few, many = (_peak(replace(whole, fields=whole.fields[:count])) for count in (FEW, MANY))
    return [
        Row(f"Peak memory of a run, {FEW} fields", few, bar=Gigabytes(1.5), unit="GB"),
        Row(
            f"Peak memory of a run, {MANY} fields",
            many,
            Peer(f"{FEW} fields", few),
            NotAbove(1.05),
            unit="GB",
        ),
    ]


def _peak(dataset: Dataset) -> float:
    """Return the peak memory in GB of a process that runs over the fields."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True)
        for field in dataset.fields:
            assert field.image is not None
            assert field.mask is not None
            (root / "images" / field.image.name).symlink_to(field.image.path.resolve())
            (root / "masks" / field.mask.name).symlink_to(field.mask.path.resolve())
        told = in_fresh_process(_PEAK, str(root), str(Path(folder) / "out"))
        return float(json.loads(told)) / 1e9
