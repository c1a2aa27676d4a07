"""Commands that are killed at any time, and started again, make what they make undisturbed.

`make kills` kills 30 times; a failure names the seed, which `NUCSEG_KILLS_SEED` sets.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.io.writers import read_provenance
from tests.io.file_server import FileServer, Stall

KINDS = ("benchmark", "two benchmarks at once", "segment", "segment in blocks", "train", "download")
KILLS = int(os.environ.get("NUCSEG_KILLS", str(len(KINDS))))
"""How often a command is killed, all commands together."""
SEED = int(os.environ.get("NUCSEG_KILLS_SEED", "0"))
FIELDS = 6
PROGRAM = (sys.executable, "-m", "napari_nucseg")
BUSY = "another run uses this folder now"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

Line = Sequence[str]
Content = dict[str, Any]
"""What a command made: the names of all its files, and what does not depend on the time."""


@dataclass(frozen=True)
class Work:
    """Something to do.

    Attributes
    ----------
    lines : callable
        Given a folder, the commands to start at once in order to begin or to go on; none if
        everything is done.
    content : callable
        What there is in the folder.
    disturb : callable
        Called with a source of chance before each start that shall be killed.
    restore : callable
        Called before each start that shall end by itself.
    """

    lines: Callable[[Path], list[Line]]
    content: Callable[[Path], Content]
    disturb: Callable[[random.Random], object] = lambda chance: None
    restore: Callable[[], object] = lambda: None


def files_in(out: Path) -> dict[str, Path]:
    found = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    return dict(sorted(found.items()))


def without(values: Any, *names: str) -> Any:
    """Drop what depends on the time, at any depth."""
    if isinstance(values, dict):
        return {key: without(one, *names) for key, one in values.items() if key not in names}
    return [without(one, *names) for one in values] if isinstance(values, list) else values


def labels_of(path: Path) -> tuple[str, tuple[int, ...], bytes, dict[str, Any]]:
    labels = read_labels(Source(path))
    made = without(read_provenance(path), "seconds")
    return str(labels.dtype), labels.shape, labels.tobytes(), made


def content_of_labels(out: Path) -> Content:
    return {name: labels_of(path) for name, path in files_in(out).items()}


def content_of_run(out: Path) -> Content:
    """Tables as they are, labels, and records but for the time that fields took."""
    found: Content = {}
    for name, path in files_in(out).items():
        if path.suffix == ".tif":
            found[name] = labels_of(path)
        elif path.parent.name == "records":
            found[name] = without(json.loads(path.read_bytes()), "seconds")
        else:
            is_table = path.name.startswith(("fields", "objects", "summary"))
            found[name] = path.read_bytes() if is_table else None
    return found


def content_of_training(out: Path) -> Content:
    found: Content = {name: path.read_bytes() for name, path in files_in(out).items()}
    found["net.png"] = None  # made of the table
    found["net.json"] = without(json.loads(found["net.json"]), "hours")
    with (out / "net.csv").open(newline="") as file:
        found["net.csv"] = [without(row, "seconds") for row in csv.DictReader(file)]
    return found


def train_lines(dataset: Path, out: Path) -> list[Line]:
    weights = out / "net.safetensors"
    resume = (out / f"{weights.name}.checkpoint").is_file()
    if weights.exists() and not resume:
        return []
    sizes = ("--batches", "12", "--batch-size", "2", "--crop", "64", "--validate-every", "3")
    line = (*PROGRAM, "train", str(dataset), "-o", str(weights), *sizes, "--hold-out", "2")
    return [(*line, "--device", "cpu", *(["--resume"] if resume else []))]


DOWNLOAD = """
import json, sys
from napari_nucseg.io import bbbc039, download
bbbc039.ARCHIVES = tuple(download.RemoteFile(*one) for one in json.loads(sys.argv.pop(1)))
from napari_nucseg.cli.main import main
main()
"""
"""The program, with archives that are published on this computer."""


@pytest.fixture(scope="module")
def dataset(draw_many) -> Path:
    return draw_many(FIELDS)


def slide_of(dataset: Path) -> Path:
    """An image of six blocks, drawn when it is first asked for."""
    path = dataset.with_name(f"{dataset.name} slide.tif")
    if not path.exists():
        tifffile.imwrite(path, draw_field(7, shape=(400, 560), nuclei=40).image)
    return path


@pytest.fixture
def servers() -> Iterator[dict[str, FileServer]]:
    """Three files that do not compress, on servers of this computer."""
    chance = np.random.default_rng(0)
    sizes = {"images.zip": 3_000_000, "masks.zip": 400_000, "metadata.zip": 9_000}
    with ExitStack() as running:
        yield {
            name: running.enter_context(FileServer(b"PK\3\4" + chance.bytes(size)))
            for name, size in sizes.items()
        }


def work_of(kind: str, dataset: Path, servers: dict[str, FileServer]) -> Work:
    """Describe what is done by its name."""
    options = ("--device", "cpu", "--parquet")
    run = (*PROGRAM, "benchmark", str(dataset), *options, "-o")
    if kind == "benchmark":
        return Work(lambda out: [(*run, str(out))], content_of_run)
    if kind == "two benchmarks at once":
        return Work(lambda out: [(*run, str(out))] * 2, content_of_run)
    if kind == "segment":
        line = (*PROGRAM, "segment", str(dataset / "images"), *options[:2], "-o")
        return Work(lambda out: [(*line, str(out))], content_of_labels)
    if kind == "segment in blocks":
        slide = str(slide_of(dataset))
        line = (*PROGRAM, "segment", slide, *options[:2], "--blocks", "256", "-o")
        return Work(lambda out: [(*line, str(out))], content_of_labels)
    if kind == "train":
        return Work(lambda out: train_lines(dataset, out), content_of_training)
    archives = [
        (name, one.url(), len(one.content), hashlib.sha256(one.content).hexdigest())
        for name, one in servers.items()
    ]
    line = (sys.executable, "-c", DOWNLOAD, json.dumps(archives), "download", "--to")

    def stall(chance: random.Random) -> None:
        """Let one of the servers fall silent in the middle, so that it is there it is killed."""
        restore()
        server = chance.choice(list(servers.values()))
        server.faults[:] = [Stall(chance.randrange(len(server.content)))]

    def restore() -> None:
        for server in servers.values():
            server.faults.clear()

    def content(out: Path) -> Content:
        return {name: path.read_bytes() for name, path in files_in(out).items()}

    return Work(lambda out: [(*line, str(out))], content, stall, restore)


def start(line: Line) -> subprocess.Popen[str]:
    return subprocess.Popen(
        line,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_PROXY": "*", "OMP_NUM_THREADS": "1"},
    )


def end_all(processes: list[subprocess.Popen[str]], seconds: float | None) -> int:
    """Wait for processes, and kill those that are at work after some seconds; count these."""
    end, killed = None if seconds is None else time.monotonic() + seconds, 0
    for process in processes:
        left = 300 if end is None else max(end - time.monotonic(), 0)
        try:
            _, told = process.communicate(timeout=left)
        except subprocess.TimeoutExpired:
            process.kill()
            _, told = process.communicate()
            assert end is not None, f"it does not come to an end: {told}"
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL) or BUSY in told, told
    return killed


def differing(found: Content, whole: Content) -> list[str]:
    """Name the files that only one of two results has, or that hold something else."""
    both = found.keys() & whole.keys()
    return sorted((found.keys() ^ whole.keys()) | {one for one in both if found[one] != whole[one]})


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_killed_goes_on_to_the_same_result(kind, dataset, servers, tmp_path):
    work, chance = work_of(kind, dataset, servers), random.Random(f"{SEED} {kind}")
    begun = time.monotonic()
    assert not end_all([start(line) for line in work.lines(tmp_path / "whole")[:1]], None)
    seconds, whole = time.monotonic() - begun, work.content(tmp_path / "whole")

    kills, rounds, wanted = 0, 0, -(-KILLS // len(KINDS))
    while kills < wanted:
        out = tmp_path / f"round {rounds}"
        rounds += 1
        while kills < wanted and (lines := work.lines(out)):
            work.disturb(chance)
            killed = end_all([start(line) for line in lines], chance.uniform(0, seconds))
            kills += killed
            if not killed:
                break
        work.restore()
        end_all([start(line) for line in work.lines(out)], None)
        told = differing(work.content(out), whole)
        assert not told, f"seed {SEED}, {out.name}: {told}"
