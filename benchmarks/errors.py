"""The score panel on a whole dataset: what a user waits for with 24,000 nuclei in 200 fields."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, Within
from benchmarks.setting import Setting
from benchmarks.timing import interleave
from napari_nucseg.io.synthetic import draw_field

FIELDS, NUCLEI, SHAPE = 200, 120, (520, 696)
DRAWN = 4
"""Fields that are drawn; the others are shifts of them."""
BAR, STROKE_BAR = 0.1, 0.05
LONGEST_WAIT = 120


def measure(setting: Setting) -> list[Row]:
    """Take the times in a window."""
    os.environ.setdefault("QT_QPA_PLATFORM", "xcb" if os.environ.get("DISPLAY") else "offscreen")
    import napari

    viewer = napari.Viewer(show=True)
    try:
        return _measure(viewer, setting.runs)
    finally:
        viewer.close()


def stacks() -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw ground truth and a prediction with every kind of error, shape (200, 520, 696)."""
    drawn = [draw_field(seed, shape=SHAPE, nuclei=NUCLEI).labels for seed in range(DRAWN)]
    truth = np.stack([np.roll(drawn[i % DRAWN], 7 * i, axis=1) for i in range(FIELDS)])
    found = np.roll(truth, 2, axis=1)
    found[found % 17 == 0] = 0
    found[(found % 23 == 0) & (found > 1)] -= 1
    return truth, found


def _measure(viewer: Any, runs: int) -> list[Row]:
    from qtpy.QtCore import Qt

    from napari_nucseg.metrics.verdicts import Verdict
    from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, LayerRecord, tag

    truth, found = stacks()
    viewer.add_labels(truth, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH)))
    layer = viewer.add_labels(found, name="found", metadata=tag(LayerRecord(PREDICTION)))
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    _wait(lambda: panel.state.is_there and not panel.running)
    panel.tabs.setCurrentWidget(panel.objects)
    panel.show_errors()
    turns = iter(range(1_000_000))

    def slide() -> None:
        panel.threshold.value = (0.55, 0.6)[next(turns) % 2]

    def sort() -> None:
        order = (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder)[next(turns) % 2]
        panel.objects.view.sortByColumn(1, order)

    def paint() -> None:
        turn = next(turns)
        layer.paint((viewer.dims.current_step[0], 40 + turn % 400, 300), 5000 + turn)
        _wait(lambda: not panel.edit_tracker.is_waiting)

    def settled() -> None:
        _wait(lambda: not panel.running)

    clocks = [
        _clock(slide, settled),
        _clock(sort, settled),
        _clock(panel.legend.buttons[Verdict.MATCHED].click, settled),
        _clock(lambda: panel.buttons.step(1), settled),
        _clock(paint, settled, until_drawn=False),
    ]
    slid, sorted_, filtered, stepped, painted = interleave(clocks, runs)
    of = f"{len(panel.state.objects):,} nuclei in {FIELDS} fields"
    return [
        Row(f"A step of the IoU slider, {of}", slid, bar=Within(BAR)),
        Row(f"Sorting the table, {of}", sorted_, bar=Within(BAR)),
        Row(f"Hiding a verdict, {of}", filtered, bar=Within(BAR)),
        Row(f"To the next error, {of}", stepped, bar=Within(BAR)),
        Row(f"From a stroke to new scores, {of}", painted, bar=Within(STROKE_BAR)),
    ]


def _clock(
    work: Callable[[], object], settle: Callable[[], object], until_drawn: bool = True
) -> Callable[[], float]:
    """Make a clock of what is done in the main thread, by default until the window is drawn."""
    from qtpy.QtWidgets import QApplication

    def clock() -> float:
        settle()
        QApplication.processEvents()
        start = time.perf_counter()
        work()
        if until_drawn:
            QApplication.processEvents()
        return time.perf_counter() - start

    return clock


def _wait(until: Callable[[], bool]) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + LONGEST_WAIT
    while not until():
        if time.perf_counter() > end:
            raise TimeoutError(f"the score panel has not come to rest in {LONGEST_WAIT} s")
        QApplication.processEvents()
