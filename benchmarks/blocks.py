"""An image larger than memory, in blocks: its time, its memory, and what a second worker wins.

Takes some ten minutes, so it is measured only where it is named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile

from benchmarks.large import mosaic
from benchmarks.rows import Gigabytes, Peer, Row, TimesFaster, TimesPeer
from benchmarks.sample import images
from benchmarks.setting import Setting
from benchmarks.timing import in_fresh_process, timed
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue

EDGE, EDGE_ON_WORKERS = 16384, 8192
MOST, TIMES, TIMES_FASTER = 1.5, 1.1, 1.6
"""Gigabytes, times the fields' own time, and what two workers have to win over one."""
_SEGMENT = """
import json, os, sys, time
from pathlib import Path
from napari_nucseg.cli.main import main

image, out, *options = sys.argv[1:]
sys.argv = ["napari-nucseg", "segment", image, "-o", out, "--device", "cpu", *options]
sys.stdout = open(os.devnull, "w")
start = time.perf_counter()
try:
    main()
except SystemExit as end:
    assert not end.code
seconds = time.perf_counter() - start
# Not getrusage: its maximum is that of the process which started this one, if that was larger
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.is_file() else []
peak = [1e-6 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
json.dump([seconds, *peak], sys.__stdout__)
"""


def measure(setting: Setting) -> list[Row]:
    """Segment one mosaic here, and a smaller one by one worker and by two."""
    with TemporaryDirectory() as folder:
        return [*_here(setting, Path(folder)), _on_workers(setting, Path(folder))]


def _here(setting: Setting, folder: Path) -> list[Row]:
    fields = _fields_one_by_one(setting)
    before = fields()
    seconds, *peak = _segment(_write(setting, folder, EDGE), folder / "here")
    peer = Peer("its fields one by one", (before + fields()) / 2)
    what = f"{catalogue.BUNDLED}, {EDGE:,} x {EDGE:,} px in blocks"
    rows = [Row(what, seconds, peer, TimesPeer(TIMES))]
    memory = [
        Row(f"{what}, peak memory of the program", one, bar=Gigabytes(MOST), unit="GB")
        for one in peak
    ]
    return rows + memory


def _fields_one_by_one(setting: Setting) -> Callable[[], float]:
    """Time a few fields, and reckon how long as many as fill the mosaic take."""
    model = catalogue.find(catalogue.BUNDLED)
    segment = catalogue.load(model, "cpu")
    fields = images(setting.dataset)
    clock = timed(lambda image: segment(image, model.defaults, ignore), fields)
    clock()
    return lambda: clock() * EDGE**2 / fields[0].size


def _on_workers(setting: Setting, folder: Path) -> Row:
    image = _write(setting, folder, EDGE_ON_WORKERS)
    one, two = (_by_workers(image, folder / str(count), count) for count in (1, 2))
    what = f"{catalogue.BUNDLED}, {EDGE_ON_WORKERS:,} x {EDGE_ON_WORKERS:,} px, two Dask workers"
    return Row(what, two, Peer("one worker, of one core", one), TimesFaster(TIMES_FASTER))


def _by_workers(image: Path, out: Path, count: int) -> float:
    with _cluster(count) as address:
        return _segment(image, out, "--scheduler", address)[0]


@contextmanager
def _cluster(count: int) -> Iterator[str]:
    """Start workers of one core each, where the system can keep them there."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for core, process in enumerate(client.run(os.getpid).values()):
            _keep_on(core, process)
        yield cluster.scheduler_address


def _keep_on(core: int, process: int) -> None:
    """Keep all threads of a process, and those that they start, on one core where that can be."""
    threads = Path(f"/proc/{process}/task")
    for thread in threads.iterdir() if threads.is_dir() else ():
        os.sched_setaffinity(int(thread.name), {core})


def _segment(image: Path, out: Path, *options: str) -> list[float]:
    """Return the seconds of the command and, on Linux, the gigabytes of its process.

    The images are too small to need blocks, but for a lower limit.
    """
    limit = {"NUCSEG_MAX_PIXELS": str(2**20)}
    told = in_fresh_process(_SEGMENT, str(image), str(out), *options, **limit)
    figures: list[float] = json.loads(told)
    return figures


def _write(setting: Setting, folder: Path, edge: int) -> Path:
    path = folder / f"{edge}.tif"
    whole = mosaic(images(setting.dataset), edge)
    tifffile.imwrite(path, whole.astype(np.uint16), tile=(512, 512), compression="zlib")
    return path
