"""The map of a plate in the run panel: what was found in each well; a click opens its fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_nucseg.batch.wells import PlateResults
from napari_nucseg.io.writers import Columnlike
from napari_nucseg.report.plates import PlateMap, draw_plate, plate_maps
from napari_nucseg.report.plots import Theme
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.score.figures import Plot, SaveButton, theme_of
from napari_nucseg.wording import counted

_HEIGHT = 210
"""Pixels of the map."""
HINT = "Click a well to show its field, again for the next."
_EDGE = "#D55E00"
"""Colour of the line around the well that was clicked, which no map has."""


class PlateMapWidget(QWidget):
    """A map of the wells of a plate, as a run found them.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose theme the map follows.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    picked = Signal(str)
    """The stem of a field of the well that was clicked."""

    def __init__(self, viewer: ViewerModel, run: Run, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._viewer = viewer
        self._results = PlateResults({}, {})
        self._maps: dict[tuple[str, str], PlateMap] = {}
        self._well, self._turn = "", 0
        self.canvas: Any = None
        self.kind = QComboBox()
        self.kind.setToolTip("What the colours of the wells show. The report has all of them.")
        self.kind.currentIndexChanged.connect(self.draw)
        self.hint = QLabel(HINT)
        self.save = SaveButton(self._plot, run, tell)
        above = QHBoxLayout()
        above.addWidget(self.kind, 1)
        above.addWidget(self.save)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addLayout(above)
        self._layout.addWidget(self.hint)
        viewer.events.theme.connect(self.draw)
        self.setVisible(False)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.theme.disconnect(self.draw)

    def show_results(self, results: PlateResults) -> None:
        """Show what was found in the wells; no wells of one plate hide the map."""
        self._results, self._well = results, ""
        self._maps = {
            (model, title): one
            for model, rows in results.wells.items()
            for title, one in plate_maps(rows).items()
        }
        several = len(results.wells) > 1
        names = [f"{model}: {title}" if several else title for model, title in self._maps]
        self.kind.blockSignals(True)
        self.kind.clear()
        self.kind.addItems(names)
        self.kind.blockSignals(False)
        self.hint.setText(HINT)
        self.setVisible(bool(self._maps))
        self.draw()

    def draw(self, *event: Any) -> None:
        """Draw the chosen map."""
        plate = self._shown
        if plate is None:
            return
        if self.canvas is None:
            self._make_canvas()
        # The box above says what it shows
        _draw(plate, "", theme_of(self._viewer), self.canvas.figure)
        self._mark(plate)
        self.canvas.draw_idle()

    def pick(self, well: str) -> None:
        """Mark a well, and tell of its next field."""
        stems = self._results.stems.get(well, ())
        if stems:
            self._turn = self._turn + 1 if well == self._well else 0
            self._well = well
            self.draw()
            self._say(well)
            self.picked.emit(stems[self._turn % len(stems)])

    @property
    def _shown(self) -> PlateMap | None:
        number = self.kind.currentIndex()
        return list(self._maps.values())[number] if 0 <= number < len(self._maps) else None

    def _mark(self, plate: PlateMap) -> None:
        """Draw a line around the well that was clicked."""
        from matplotlib.patches import Rectangle

        corner = plate.corner_of(self._well)
        if corner is not None:
            line = Rectangle(corner, 1, 1, fill=False, edgecolor=_EDGE, linewidth=2)
            self.canvas.figure.axes[0].add_patch(line)

    def _plot(self) -> Plot | str:
        """Return the chosen map as it is saved."""
        plate, title = self._shown, self.kind.currentText()
        if plate is None:
            return "There is no plate yet. Press Run first."
        return Plot(title, partial(_draw, plate, title, Theme()))

    def _make_canvas(self) -> None:
        # Not above, because opening the panel would wait for matplotlib
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        make: Callable[[Figure], Any] = FigureCanvasQTAgg
        self.canvas = make(Figure(layout="constrained"))
        self.canvas.setFixedHeight(_HEIGHT)
        self.canvas.mpl_connect("button_press_event", self._on_click)
        self.canvas.mpl_connect("motion_notify_event", self._on_move)
        self._layout.insertWidget(1, self.canvas)

    def _well_at(self, event: Any) -> str | None:
        """Return the well under the pointer."""
        plate, axes = self._shown, self.canvas.figure.axes
        is_inside = plate is not None and axes and event.inaxes is axes[0]
        return plate.well_at(event.xdata, event.ydata) if plate and is_inside else None

    def _on_click(self, event: Any) -> None:
        well = self._well_at(event)
        if well is not None and event.button == 1:
            self.pick(well)

    def _on_move(self, event: Any) -> None:
        self._say(self._well_at(event))

    def _say(self, well: str | None) -> None:
        """Say below the map what a well has, and which of its fields is shown; else what to do."""
        plate = self._shown
        if well is None or plate is None:
            self.hint.setText(HINT)
            return
        count = len(self._results.stems.get(well, ()))
        shown = f"field {self._turn % count + 1} of {count}" if well == self._well else ""
        self.hint.setText(f"{well}: {_said(plate.wells[well])}, {shown or counted(count, 'field')}")


def _said(value: float) -> str:
    """Write a number of nuclei, an area or a score."""
    if math.isnan(value):
        return "empty"
    return f"{value:,.0f}" if value.is_integer() or value >= 100 else f"{value:.2f}"


def _draw(plate: PlateMap, title: str, theme: Theme, figure: Any) -> Mapping[str, Columnlike]:
    """Draw a map in place of what a figure shows, and return it as columns of a table."""
    figure.clear()
    draw_plate(figure.subplots(), plate, title, theme)
    return {"well": list(plate.wells), title: list(plate.wells.values())}
