"""A comparison to look at, for several tests: three drawn fields with errors of known kinds."""

from __future__ import annotations

import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_nucseg.ui.canvas_trace import Trace
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, LayerRecord, role_of, tag


def spoil(truths: np.ndarray) -> np.ndarray:
    """Miss nucleus 3 of the first field and 2 of the second; move the first field by a pixel."""
    found = truths.copy()
    found[0] = np.roll(found[0], 1, axis=0)
    found[0][found[0] == 3] = 0
    found[1][found[1] == 2] = 0
    return found


def add_stacks(viewer, truths: np.ndarray, found: np.ndarray, stems: tuple[str, ...] = ()):
    """Add prediction and truth to a viewer."""
    made = {"model": "fluo-nuclei", "parameters": {"diameter": 30}}
    prediction = LayerRecord(PREDICTION, stems=stems, provenance=made)
    truth = LayerRecord(GROUND_TRUTH, stems=stems)
    return (
        viewer.add_labels(found, name="found", metadata=tag(prediction)),
        viewer.add_labels(truths, name="truth", metadata=tag(truth)),
    )


def open_panel(qtbot, viewer):
    """Open the score panel, and wait until all is scored."""
    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]
    settled(qtbot, panel)
    return panel


def settled(qtbot, panel) -> None:
    """Wait until nothing runs."""
    qtbot.waitUntil(lambda: panel.state.is_there and not panel.running, timeout=20_000)


def axes_drawn(qtbot, view):
    """Wait until a plot is seen as it is now, in a window or not, and return its first axes."""
    view.grab()
    qtbot.waitUntil(lambda: view.is_drawn, timeout=20_000)
    return view.picture.axes


def overlays(viewer, role: str) -> list:
    """List the layers of a role."""
    return [layer for layer in viewer.layers if role_of(layer) == role]


def click_canvas(qtbot, viewer, place: tuple[float, float]) -> None:
    """Click where a place of the world is seen."""
    draw_on_canvas(qtbot, viewer, [place])


def draw_on_canvas(qtbot, viewer, places: list[tuple[float, float]]) -> None:
    """Press the mouse where the first place of the world is seen, and let go at the last."""
    camera, middle = viewer.scene.camera, np.divide(viewer.canvas.size, 2)
    canvas = viewer.window._qt_viewer.canvas.native
    seen = [(np.asarray(place) - camera.center[-2:]) * camera.zoom + middle for place in places]
    points = [QPoint(int(x), int(y)) for y, x in seen]
    qtbot.mouseMove(canvas, points[0])
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points[1:]:
        qtbot.mouseMove(canvas, point)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=points[-1])


def traces(viewer) -> list[Trace]:
    """List what draws over the canvas."""
    return viewer.window._qt_window.findChildren(Trace)


def outlined(viewer, path) -> int:
    """Count the white pixels that are drawn over the canvas."""
    QApplication.processEvents()
    for trace in traces(viewer):
        if not trace.isHidden():
            picture = QImage(trace.size(), QImage.Format.Format_RGB32)
            picture.fill(Qt.GlobalColor.black)
            trace.render(picture)
            picture.save(str(path))
            return int((np.asarray(Image.open(path).convert("L")) > 200).sum())
    return 0


def turn_wheel(widget, steps: int = 1) -> None:
    """Turn the wheel over the middle of a widget, towards higher values."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle,
        QPointF(widget.mapToGlobal(middle.toPoint())),
        QPoint(),
        QPoint(0, 120 * steps),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
