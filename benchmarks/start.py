"""What is waited for before anything is done: the import, and opening either panel."""

from __future__ import annotations

from functools import partial

from benchmarks.rows import Row, Within
from benchmarks.setting import Setting
from benchmarks.timing import in_fresh_process, interleave

_IMPORT = """
import time

start = time.perf_counter()
import napari_nucseg
print(time.perf_counter() - start)
"""
_OPEN = """
import sys
import time

import napari
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer(show=False)
QApplication.processEvents()
start = time.perf_counter()
viewer.window.add_plugin_dock_widget("napari-nucseg", sys.argv[1])
QApplication.processEvents()
print(time.perf_counter() - start)
viewer.close()
"""


def measure(setting: Setting) -> list[Row]:
    """Take the times in fresh interpreters."""
    imported, segment, score = interleave(
        [
            partial(_seconds, _IMPORT),
            partial(_seconds, _OPEN, "Segment nuclei"),
            partial(_seconds, _OPEN, "Score nuclei"),
        ],
        setting.runs,
    )
    return [
        Row("`import napari_nucseg`", imported, bar=Within(0.05)),
        Row("Opening the segment panel", segment, bar=Within(0.3)),
        Row("Opening the score panel", score, bar=Within(0.3)),
    ]


def _seconds(code: str, *arguments: str) -> float:
    return float(in_fresh_process(code, *arguments))
