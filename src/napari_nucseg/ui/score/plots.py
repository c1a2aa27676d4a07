"""Plots in the score panel: a look from afar, and a click that goes there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_nucseg.analysis.comparison import CURVE_THRESHOLDS, score_curve, score_fields
from napari_nucseg.analysis.objects import join_overlaps
from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.writers import with_ending
from napari_nucseg.report.plots import (
    Theme,
    draw_areas,
    draw_curves,
    draw_fields,
    draw_ious,
    dress,
    field_order,
)
from napari_nucseg.ui.score.canvas import go_to_field
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState

CURVES, IOUS, FIELDS, AREAS = "AP and F1 by threshold", "IoU by area", "Fields", "Areas"
KINDS = {
    CURVES: "Click or drag to change the IoU threshold.",
    IOUS: "Click a dot to go to its nucleus.",
    FIELDS: "Click to go to a field.",
    AREAS: "True and predicted nuclei by size.",
}
FORMATS = ("png", "svg", "pdf")
_PAUSE = 60
"""Milliseconds without a change before the plot is drawn anew."""
_REACH = 10.0
"""Screen pixels from a dot within which a click is meant for it."""


class PlotsWidget(QWidget):
    """One plot at a time, drawn while it is in sight.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose theme the plots follow.
    state : ComparisonState
        The comparison that the plots show.
    set_threshold : callable
        Called with the IoU threshold that the user clicked on.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        state: ComparisonState,
        set_threshold: Callable[[float], None],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._viewer, self._state = viewer, state
        self._set_threshold, self._tell = set_threshold, tell
        self.canvas: Any = None
        self._dragged = False
        self._points: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None
        self.kind = QComboBox()
        self.kind.addItems(list(KINDS))
        self.kind.setToolTip(
            "Which plot is shown. A click in it goes to the nucleus, the field or the threshold."
        )
        self.kind.currentTextChanged.connect(self.draw)
        self.save = QPushButton("Save...")
        self.save.setToolTip("Save the plot as PNG, SVG or PDF, dark on white.")
        self.save.clicked.connect(self.ask_and_save)
        above = QHBoxLayout()
        above.addWidget(self.kind, 1)
        above.addWidget(self.save)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addLayout(above)
        self._layout.addStretch()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE)
        self._soon.timeout.connect(self.draw)
        state.changed.connect(self._on_changed)
        viewer.events.theme.connect(self._draw_soon)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.theme.disconnect(self._draw_soon)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what changed while it was out of sight."""
        super().showEvent(event)
        self.draw()

    def draw(self) -> None:
        """Draw the chosen plot, if it is in sight."""
        if not self.isVisible():
            return
        if self.canvas is None:
            self._make_canvas()
        self._draw_on(self.canvas.figure, _theme(self._viewer.theme))
        self.canvas.setToolTip(KINDS[self.kind.currentText()])
        self.canvas.draw_idle()

    def ask_and_save(self) -> None:
        """Ask for a file, and save the plot to it."""
        if not self._state.now.is_there:
            self._tell(NOTHING_COMPARED)
            return
        kinds = ";;".join(f"{one.upper()} (*.{one})" for one in FORMATS)
        suggestion = f"{self.kind.currentText()}.png"
        name, _ = QFileDialog.getSaveFileName(self, "Save plot", suggestion, kinds)
        if name:
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Save the plot, dark on white; the ending of the name says how."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.5, 3.4), layout="constrained")
        self._draw_on(figure, Theme())
        try:
            path = with_ending(path, *(f".{one}" for one in FORMATS))
            kind = path.suffix.lstrip(".").lower()
            write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=200))
        except OSError as error:
            self._tell(str(error))
            return
        self._tell(f"Written: {path}")
        self.draw()

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is not old.objects or (new.plane, new.hidden) != (old.plane, old.hidden):
            self._draw_soon()

    def _draw_soon(self, *theme: Any) -> None:
        if self.isVisible():
            self._soon.start()

    def _make_canvas(self) -> None:
        # Not above, because opening the panel would wait for matplotlib
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        make: Callable[[Figure], Any] = FigureCanvasQTAgg
        self.canvas = make(Figure(layout="constrained"))
        self.canvas.setMinimumHeight(220)
        self.canvas.mpl_connect("button_press_event", self._on_press)
        self.canvas.mpl_connect("motion_notify_event", self._on_motion)
        self.canvas.mpl_connect("button_release_event", self._on_release)
        self._layout.insertWidget(1, self.canvas, 1)

    def _draw_on(self, figure: Any, theme: Theme) -> None:
        figure.clear()
        figure.set_facecolor(theme.back)
        self._points = None
        if not self._state.now.is_there:
            return
        axes = figure.subplots()
        draw = {
            CURVES: self._draw_curves,
            IOUS: self._draw_ious,
            FIELDS: self._draw_fields,
            AREAS: self._draw_areas,
        }[self.kind.currentText()]
        draw(axes, theme)
        dress(axes, theme)

    def _draw_curves(self, axes: Any, theme: Theme) -> None:
        state = self._state.now
        strict = state.rule.preset.strict
        pair = state.pairs.get(state.plane)
        field = None if pair is None else score_curve(pair.overlap, strict=strict)
        pooled = None
        if state.is_stack:
            joined = join_overlaps([pair.overlap for pair in state.pairs.values()])
            pooled = score_curve(joined, strict=strict)
        draw_curves(axes, field, pooled, state.rule.threshold, theme)

    def _draw_ious(self, axes: Any, theme: Theme) -> None:
        objects = self._state.now.objects
        hidden = [int(verdict) for verdict in self._state.now.hidden]
        rows = np.flatnonzero(~np.isin(objects.code, hidden))
        draw_ious(axes, objects, rows, theme)
        self._points = (objects.area[rows], objects.iou[rows], rows)

    def _draw_fields(self, axes: Any, theme: Theme) -> None:
        state = self._state.now
        overlaps = {plane: pair.overlap for plane, pair in state.pairs.items()}
        strip = score_fields(overlaps, state.rule)
        draw_fields(axes, strip, state.plane, state.name_of, theme)
        order = field_order(strip)
        self._points = (np.arange(1, len(order) + 1), strip.ap[order], strip.planes[order])

    def _draw_areas(self, axes: Any, theme: Theme) -> None:
        overlaps = [pair.overlap for pair in self._state.now.pairs.values()]
        joined = join_overlaps(overlaps)
        true, predicted = joined.truth_areas.tolist(), joined.predicted_areas.tolist()
        draw_areas(axes, true, predicted, theme)

    def _on_press(self, event: Any) -> None:
        if event.inaxes is None or event.button != 1:
            return
        kind = self.kind.currentText()
        if kind == CURVES:
            self._dragged = True
            self._on_motion(event)
        elif self._points is not None:
            x, y, targets = self._points
            if kind == FIELDS:
                nearest = int(np.argmin(np.abs(x - event.xdata)))
                if self._state.now.truth is not None:
                    go_to_field(self._viewer, self._state.now.truth, int(targets[nearest]))
                return
            if not len(targets):
                return
            places = event.inaxes.transData.transform(np.column_stack([x, y]))
            distance = np.hypot(*(places - (event.x, event.y)).T)
            nearest = int(np.argmin(distance))
            if distance[nearest] <= _REACH:
                self._state.chosen.emit(int(targets[nearest]))

    def _on_motion(self, event: Any) -> None:
        if self._dragged and event.xdata is not None:
            steps = np.array(CURVE_THRESHOLDS)
            self._set_threshold(float(steps[np.argmin(np.abs(steps - event.xdata))]))

    def _on_release(self, event: Any) -> None:
        self._dragged = False


def _theme(name: str) -> Theme:
    theme = get_theme(name)
    return Theme(theme.background.as_hex(), theme.text.as_hex(), theme.secondary.as_hex())
