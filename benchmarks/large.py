"""A large image by the bundled model, in a process of its own; measured only when asked for."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Gigabytes, Row, Within
from benchmarks.sample import images
from benchmarks.setting import Setting
from benchmarks.timing import in_fresh_process
from napari_nucseg.segmenters import catalogue

EDGE = 8192
LONGEST, MOST = 60.0, 3.0
"""Seconds and gigabytes that it may take."""
_SEGMENT = """
import json
import sys
import time
from pathlib import Path

import numpy as np
from napari_nucseg.segmenters import catalogue

image = np.load(sys.argv[1])
model = catalogue.find(catalogue.BUNDLED)
segment = catalogue.load(model, "cpu")
start = time.perf_counter()
segment(image, model.defaults, lambda done, total: None)
seconds = time.perf_counter() - start
# Not getrusage: its maximum is that of the process which started this one, if that was larger
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.is_file() else []
peak = [1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
print(json.dumps([seconds, *peak]))
"""


def measure(setting: Setting) -> list[Row]:
    """Take time and memory once: a run takes a minute."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "large.npy"
        np.save(path, mosaic(images(setting.dataset), EDGE))
        seconds, *peak = json.loads(in_fresh_process(_SEGMENT, str(path)))
    what = f"{catalogue.BUNDLED}, {EDGE:,} x {EDGE:,} px"
    rows = [Row(what, seconds, bar=Within(LONGEST))]
    memory = [
        Row(f"{what}, peak memory", 1e-9 * one, bar=Gigabytes(MOST), unit="GB") for one in peak
    ]
    return rows + memory


def mosaic(fields: list[NDArray[Any]], edge: int) -> NDArray[Any]:
    """Lay fields of one shape side by side, row by row, until they fill a square."""
    height, width = fields[0].shape
    rows, columns = -(-edge // height), -(-edge // width)
    whole = np.empty((rows * height, columns * width), fields[0].dtype)
    for number in range(rows * columns):
        top, left = number // columns * height, number % columns * width
        whole[top : top + height, left : left + width] = fields[number % len(fields)]
    return whole[:edge, :edge]
