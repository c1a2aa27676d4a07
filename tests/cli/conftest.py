"""What the tests of several commands start from."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from napari_nucseg.segmenters import networks
from napari_nucseg.segmenters.devices import choose


@pytest.fixture
def refuse(run):
    """Run a command line that is refused: exit code 2, and one line that says why."""

    def command(*arguments):
        done = run(*arguments)
        lines = [line for line in done.err.splitlines() if line.strip()]
        assert done.code == 2
        assert len(lines) == 1, done.err
        assert lines[0].startswith("napari-nucseg: ")
        return lines[0]

    return command


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty folder for weights, and a server for them that refuses every connection."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "weights"))
    monkeypatch.setenv("NO_PROXY", "*")
    nowhere = [
        replace(model, remote=replace(model.remote, url="http://127.0.0.1:1/"))
        for model in networks.PUBLISHED
    ]
    monkeypatch.setattr(networks, "PUBLISHED", nowhere)
    return tmp_path / "weights"


@pytest.fixture
def images(tmp_path, drawn_fields):
    """A folder with two images."""
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", drawn_fields[0].image)
    Image.fromarray(drawn_fields[1].image).save(folder / "b.png")
    return folder


def absent_device():
    """A device that this computer does not have."""
    for kind in ("mps", "cuda"):
        try:
            choose(kind)
        except ValueError:
            return kind
    raise AssertionError("no computer has both")


def stems(dataset, split):
    lines = (dataset / "metadata" / f"{split}.txt").read_text().splitlines()
    return [Path(line).stem for line in lines]


def parse(text):
    """Read JSON, which has no NaN."""

    def refuse_constant(name):
        raise AssertionError(f"the output holds {name}")

    return json.loads(text, parse_constant=refuse_constant)


def installed(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "napari_nucseg", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
