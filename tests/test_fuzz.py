"""Files that are broken in any way are told in one line with their name, soon and in little memory.

`make fuzz` goes on for `NUCSEG_FUZZ_SECONDS`; a failure names the seed that makes its file again.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.io.writers import write_labels

SECONDS = float(os.environ.get("NUCSEG_FUZZ_SECONDS", "40"))
"""How long all kinds together are tried."""
FILES = int(os.environ.get("NUCSEG_FUZZ_FILES", "400"))
"""How many files are tried at the most, so that each run of the tests tries the same."""
SEED = int(os.environ.get("NUCSEG_FUZZ_SEED", "0"))
MOST_SECONDS, MOST_BYTES = 10, 10**9
"""What a file may take: time of the processor, and memory beyond what was held before."""
PATIENCE = 90
"""Seconds that a file may take by the clock, on a computer that others use, too."""
_VALUES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000, 2**63 - 1)
_JSON = (None, -1, 0, 1.5, "", "x", [], {}, [None], {"a": 1}, True, 10**30, "\ud800", [[[]]])

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded by rlimits")


def tiff(data, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, data, **options)
    return stream.getvalue()


def png(data) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(data).save(stream, "PNG")
    return stream.getvalue()


def npy(content) -> bytes:
    stream = io.BytesIO()
    np.save(stream, content, allow_pickle=True)
    return stream.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        archive.writestr("masks/other.txt", "x")
    return stream.getvalue()


def small_weights(folder: Path) -> Mapping[str, bytes]:
    """Save a small network in each format."""
    import torch

    from napari_nucseg.segmenters.checkpoints import write_state
    from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape

    torch.manual_seed(0)
    state, found = ResidualUNet(UNetShape(widths=(4, 8))).state_dict(), {}
    for name in ("net.pt", "net.safetensors"):
        with (folder / name).open("wb") as file:
            write_state(state, file, Path(name).suffix)
        found[name] = (folder / name).read_bytes()
    old = io.BytesIO()
    torch.save(state, old, _use_new_zipfile_serialization=False)
    return {**found, "old.pt": old.getvalue()}


def labelled(folder: Path, labels, **made) -> bytes:
    """Save labels that say how they were made."""
    write_labels(folder / "labels.tif", labels, made)
    return (folder / "labels.tif").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Return files of every kind that are whole, by their names."""
    folder = tmp_path_factory.mktemp("whole")
    field = draw_field(1, shape=(64, 72), nuclei=4)
    image, labels = field.image, field.labels.astype(np.uint16)
    made = {"model": "otsu", "image": "a.tif", "parameters": {"diameter": 0.0}, "suspect": ["x"]}
    return {
        "plain.tif": tiff(image),
        "zlib.tif": tiff(image, compression="zlib", rowsperstrip=8),
        "tiles.tif": tiff(image, compression="lzw", tile=(16, 16)),
        "stack.tif": tiff(np.stack([image] * 3), imagej=True),
        "ome.tif": tiff(np.stack([image] * 3), ome=True, compression="zlib"),
        "big.tif": tiff(image, bigtiff=True, compression="packbits"),
        "made.tif": labelled(folder, labels, **made),
        "made32.tif": labelled(folder, labels.astype(np.int32) * 70_000, **made),
        "grey.png": png(labels),
        "colour.png": png(np.dstack([labels.astype(np.uint8)] * 3)),
        "all_seg.npy": npy({"masks": labels, "flows": [1.0, None], "filename": "a.png"}),
        "plain_seg.npy": npy(labels),
        "tiff.zip": zipped("masks/a.tif", tiff(labels, compression="zlib")),
        "png.zip": zipped("masks/a.png", png(labels)),
        **small_weights(folder),
    }


def broken(chance: random.Random, content: bytes) -> bytes:
    """Cut a file off, flip some of its bits, or write numbers over others."""
    found = bytearray(content)
    if chance.random() < 0.15:
        return bytes(found[: chance.randrange(len(found))])
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        place = chance.randrange(chance.choice((len(found), min(len(found), 400), 64)))
        place = len(found) - 1 - place if chance.random() < 0.3 else place
        if chance.random() < 0.5:
            found[place] ^= 1 << chance.randrange(8)
        else:
            width = chance.choice((1, 2, 4, 8))
            value = chance.choice((*_VALUES, chance.getrandbits(64))) & (2 ** (8 * width) - 1)
            order = chance.choice(("little", "big"))
            found[place : place + width] = value.to_bytes(width, order)
    return bytes(found)


def broken_json(chance: random.Random, content: bytes) -> bytes:
    """Replace or drop a value anywhere, or break the text as any file."""
    if chance.random() < 0.2:
        return broken(chance, content)
    values = json.loads(content)
    for _ in range(chance.choice((1, 1, 2))):
        inner = values
        while True:
            keys = list(inner) if isinstance(inner, dict) else range(len(inner))
            key = chance.choice(list(keys))
            if not isinstance(inner[key], dict | list) or not inner[key] or chance.random() < 0.25:
                break
            inner = inner[key]
        if chance.random() < 0.2:
            del inner[key]
        else:
            inner[key] = chance.choice(_JSON)
    return json.dumps(values).encode()


def fuzzed(work: str, folder: Path, seconds: float, kinds: int = 1) -> None:
    """Run a worker of this file for some seconds within bounds, and show what it found."""
    call = f"bounded(work, {str(folder)!r}, {kinds})"
    code = f"from tests.test_fuzz import {work} as work, bounded; {call}"
    environment = {**os.environ, "NUCSEG_FUZZ_SECONDS": str(seconds), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds + 120 + PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 1, done.stdout


def bounded(work: Callable[[Path, int], None], folder: str, kinds: int) -> None:
    """Do work with one seed after the other, each within the bounds of time and memory."""
    import resource
    import signal
    import time

    import psutil

    def late(*_: object) -> None:
        raise AssertionError(f"it took more than {MOST_SECONDS} s, or {PATIENCE} s by the clock")

    for seed in range(-kinds, 0):
        work(Path(folder), seed)  # what whole files need is loaded, and no broken file's memory
    held = psutil.Process().memory_info().vms + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (held, held))
    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGPROF, late)
    end, seed = time.monotonic() + SECONDS, SEED
    while time.monotonic() < end and seed < SEED + FILES:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        signal.alarm(PATIENCE)
        try:
            work(Path(folder), seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        seed += 1
    sys.stdout.write(f"files tried: {seed - SEED}\n")


def command(*arguments: object) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it says on standard error."""
    from contextlib import redirect_stderr, redirect_stdout

    from napari_nucseg.cli.main import main

    sys.argv, code = ["napari-nucseg", *map(str, arguments)], 0
    said, out = io.StringIO(), io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(out):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    return code, said.getvalue()


def check(code: int, said: str, name: str) -> None:
    """Assert that a command has done its work, or has told in a line what it is that it cannot."""
    assert code in (0, 2), (code, said)
    if code == 2:
        assert said.count("\n") == 1, said
        assert name in said, said


def any_file(folder: Path, seed: int) -> None:
    """Score, segment with, or load a broken file of a kind by the seed."""
    chance = random.Random(seed)
    names = sorted(path.name for path in folder.glob("whole/*"))
    name = names[seed % len(names)]
    content = (folder / "whole" / name).read_bytes()
    path = folder / "now" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if seed < 0 else broken(chance, content))
    if name.endswith((".pt", ".safetensors")):
        check(*command("segment", folder / "image.tif", "-m", path, "-o", folder / "out"), name)
    elif name.endswith(".zip"):
        _read_archive(path)
    else:
        check(*command("score", path, path), name)
        if name.endswith((".tif", ".png")):
            options = ("-m", "otsu", "-o", folder / "out", "--overwrite")
            check(*command("segment", path, *options), name)
            # and as labels that are there already
            (folder / "out" / "image.tif").write_bytes(path.read_bytes())
            check(*command("segment", folder / "image.tif", *options), name)


def _read_archive(path: Path) -> None:
    from napari_nucseg.io.images import read_image, read_label_image
    from napari_nucseg.io.sources import list_archive

    try:
        for source in list_archive(path, (".tif", ".png")):
            for read in (read_label_image, read_image):
                read(source)
    except (ValueError, OSError) as error:
        check(2, f"{error}\n", path.name)


def any_run(folder: Path, seed: int) -> None:
    """Open a run of which one file is broken, and go on with it where that still is one."""
    from napari_nucseg.batch.results_folder import ResultsFolder

    chance, out = random.Random(seed), folder / "now"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / "whole", out)
    record = sorted((out / "records").iterdir())[0]
    path = record if seed % 2 else out / "run.json"
    stem = json.loads(record.read_bytes())["stem"]
    if seed >= 0:
        path.write_bytes(broken_json(chance, path.read_bytes()))
    try:
        ResultsFolder(out).read_run()
        if ResultsFolder(out).read(stem) is None:
            return  # the field is made again, as one that is not there
    except ValueError as error:
        check(2, f"{error}\n", "run.json")
        return
    check(*command("benchmark", folder / "drawn", "-m", "otsu", "-o", out, "--worst", "0"), "now")
    with (out / "objects.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {len(rows[0])}


def test_files_of_any_kind(whole, tmp_path):
    (tmp_path / "whole").mkdir()
    for name, content in whole.items():
        (tmp_path / "whole" / name).write_bytes(content)
    (tmp_path / "image.tif").write_bytes(whole["plain.tif"])
    fuzzed("any_file", tmp_path, SECONDS * 0.6, len(whole))


def test_records_and_runs(run, drawn_dataset, tmp_path):
    done = run("benchmark", drawn_dataset, "-m", "otsu", "-o", tmp_path / "whole", "--worst", "0")
    assert done.code == 0
    fuzzed("any_run", tmp_path, SECONDS * 0.4)
