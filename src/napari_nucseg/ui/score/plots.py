"""Plots in the score panel: a look from afar, and a click that goes there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_nucseg.metrics.overlap import Index
from napari_nucseg.report.plots import CURVE_THRESHOLDS, Theme
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import count_planes
from napari_nucseg.ui.score.canvas import go_to_field
from napari_nucseg.ui.score.figures import (
    AREAS,
    CURVES,
    FIELDS,
    IOUS,
    Dots,
    Plot,
    SaveButton,
    draw_figure,
    fit_axes,
    load_matplotlib,
    theme_of,
)
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.wording import as_number, counted

PLOT_TIPS = {
    CURVES: "Click or drag to change the IoU threshold.",
    IOUS: "Click a dot to go to its nucleus. Draw around dots to list their nuclei.",
    FIELDS: "Click to go to a field. Draw around dots to list the nuclei of their fields.",
    AREAS: "True and predicted nuclei by size.",
}
_LEAST = 150
"""Least height of a plot in screen pixels: with more, no tab would fit a window of 800."""
_PAUSE = 60
"""Milliseconds without a change before the plot is drawn anew."""
_REACH = 10.0
"""Screen pixels from a dot within which a click is meant for it."""
_STILL = 4.0
"""Screen pixels that the pointer may move within a click."""


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
    list_rows : callable
        Called with the rows of objects that the user drew a line around.
    tell : callable
        Called with a line of text, to show it.
    run : callable
        Called with work to do in the background, and with what shows its result.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        state: ComparisonState,
        set_threshold: Callable[[float], None],
        list_rows: Callable[[Index], None],
        tell: Callable[[str], None],
        run: Run,
    ) -> None:
        super().__init__()
        self._viewer, self._state, self._run, self._asked = viewer, state, run, False
        self._set_threshold, self._list_rows, self._tell = set_threshold, list_rows, tell
        self.canvas: Any = None
        self._dragged = False
        self._lasso: Any = None
        self._points: Dots | None = None
        self.kind = QComboBox()
        self.kind.addItems(list(PLOT_TIPS))
        self.kind.setToolTip(
            "Which plot is shown. A click in it goes to the nucleus, the field or the threshold."
        )
        self.kind.currentTextChanged.connect(self.draw)
        self.save = SaveButton(self._plot, run, tell)
        above = QHBoxLayout()
        above.addWidget(self.kind, 1)
        above.addWidget(self.save)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addLayout(above)
        self._add_loading()
        self._layout.addStretch()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE)
        self._soon.timeout.connect(self.draw)
        state.changed.connect(self._on_changed)
        viewer.events.theme.connect(self._draw_soon)

    def _add_loading(self) -> None:
        """Add what tells that plots are loaded, or why they cannot be, and loads them again."""
        self.waiting = QLabel()
        self.waiting.setWordWrap(True)
        self.again = QPushButton("Try again")
        self.again.setToolTip("Load what draws plots once more.")
        self.again.clicked.connect(self._load)
        self.again.hide()
        self._layout.addWidget(self.waiting)
        self._layout.addWidget(self.again)

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
            if not self._asked:
                self._load()
            return
        theme = theme_of(self._viewer)
        drawn = draw_figure(self.canvas.figure, self.kind.currentText(), self._state.now, theme)
        self._points = drawn.points
        fit_axes(self.canvas.figure)
        self._make_lasso(theme)
        self.canvas.setToolTip(PLOT_TIPS[self.kind.currentText()])
        self.canvas.draw_idle()

    def _plot(self) -> Plot | str:
        """Return the chosen plot as it is saved, or say that there is none."""
        now, kind = self._state.now, self.kind.currentText()
        if now.prediction is None or not now.is_there:
            return NOTHING_COMPARED
        name = f"{now.prediction.name} {kind}"
        return Plot(name, lambda figure: draw_figure(figure, kind, now, Theme()).columns)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is not old.objects or (new.plane, new.hidden) != (old.plane, old.hidden):
            self._draw_soon()

    def _draw_soon(self, *theme: Any) -> None:
        if self.isVisible():
            self._soon.start()

    def _load(self) -> None:
        """Load matplotlib in the background, then draw; again only when that is asked for."""
        self._asked = True
        self.again.hide()
        self.waiting.setText("The first plot is being loaded...")
        job = self._run(load_matplotlib, lambda nothing: self._make_canvas())
        job.failed.connect(self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        self.waiting.setText(f"Plots cannot be shown: matplotlib failed to load ({error}).")
        self.again.show()

    def _make_canvas(self) -> None:
        # Not above, because opening the panel would wait for matplotlib
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        make: Callable[[Figure], Any] = FigureCanvasQTAgg
        self.canvas = make(Figure())
        self.canvas.setMinimumHeight(_LEAST)
        self.canvas.mpl_connect("resize_event", lambda event: fit_axes(event.canvas.figure))
        self.canvas.mpl_connect("button_press_event", self._on_press)
        self.canvas.mpl_connect("motion_notify_event", self._on_motion)
        self.canvas.mpl_connect("button_release_event", self._on_release)
        self.waiting.hide()
        self._layout.insertWidget(1, self.canvas, 1)
        self.draw()

    def _make_lasso(self, theme: Theme) -> None:
        """Let the user draw around dots, where there are some."""
        from matplotlib.widgets import LassoSelector

        if self._lasso is not None:
            self._lasso.disconnect_events()
            self._lasso = None
        if self._points is not None:
            (axes,), line = self.canvas.figure.axes, {"color": theme.text, "linewidth": 1}
            self._lasso = LassoSelector(axes, self._on_lasso, useblit=True, props=line)

    def _on_press(self, event: Any) -> None:
        if event.inaxes is not None and event.button == 1 and self.kind.currentText() == CURVES:
            self._dragged = True
            self._on_motion(event)

    def _on_motion(self, event: Any) -> None:
        if self._dragged and event.xdata is not None:
            steps = np.array(CURVE_THRESHOLDS)
            self._set_threshold(float(steps[np.argmin(np.abs(steps - event.xdata))]))
        elif event.inaxes is not None and event.button is None:
            text = self._name_of(self._nearest(event.x, event.y))
            place = QPoint(int(event.x), int(self.canvas.figure.bbox.height - event.y))
            place /= self.canvas.device_pixel_ratio
            QToolTip.showText(self.canvas.mapToGlobal(place), text, self.canvas)

    def _on_release(self, event: Any) -> None:
        self._dragged = False

    def _on_lasso(self, corners: Sequence[tuple[float, float]]) -> None:
        """Go to the dot that was clicked on, or list what is in the line that was drawn."""
        from matplotlib.path import Path as Line

        if self._points is None or not len(corners):
            return
        (axes,), now, targets = self.canvas.figure.axes, self._state.now, self._points[2]
        line = axes.transData.transform(corners)
        if np.ptp(line, axis=0).max() > _STILL:
            inside = targets[Line(line).contains_points(self._places())]
            is_fields = self.kind.currentText() == FIELDS
            of_fields = np.flatnonzero(np.isin(now.objects.plane, inside))
            rows = of_fields if is_fields else inside
            self._list_rows(rows)
            self._tell(
                f"{counted(len(rows), 'nucleus')} {'is' if len(rows) == 1 else 'are'} listed in "
                "the table Nuclei. Untick Selected there to list all again."
                if len(rows)
                else "No dot is within the line. The table lists all nuclei again."
            )
            return
        nearest = self._nearest(*line[-1])
        if nearest is None:
            return
        if self.kind.currentText() == IOUS:
            self._state.chosen.emit(int(targets[nearest]))
        elif now.truth is not None:
            go_to_field(self._viewer, now.truth, int(targets[nearest]))

    def _places(self) -> NDArray[Any]:
        """Return where the dots lie on the canvas, in its pixels, shape (n, 2)."""
        assert self._points is not None
        (axes,) = self.canvas.figure.axes
        x, y, _ = self._points
        places = np.column_stack([x, np.nan_to_num(y)])  # the score of an empty field
        return np.asarray(axes.transData.transform(places))

    def _nearest(self, x: float, y: float) -> int | None:
        """Return the number of the dot at a place on the canvas; of a field, whatever the y."""
        if self._points is None or not len(self._points[2]):
            return None
        across, down = (self._places() - (x, y)).T
        is_fields = self.kind.currentText() == FIELDS
        distance = np.abs(across) if is_fields else np.hypot(across, down)
        nearest = int(np.argmin(distance))
        return nearest if is_fields or distance[nearest] <= _REACH else None

    def _name_of(self, dot: int | None) -> str:
        """Say in a line which nucleus or field a dot is; nothing for none."""
        if dot is None or self._points is None:
            return ""
        now, (x, y, targets) = self._state.now, self._points
        if self.kind.currentText() == IOUS:
            row = int(targets[dot])
            name = f"{now.name_of(int(now.objects.plane[row]))}: " if now.is_stack else ""
            return f"{name}{now.describe(row)} - area {x[dot]} px"
        plane = int(targets[dot])
        fields = len(now.pairs) if now.truth is None else count_planes(now.truth)
        where = f"field {plane + 1} of {fields}"
        return f"{now.name_of(plane)} ({where}): AP {as_number(float(y[dot]))}, rank {x[dot]}"
