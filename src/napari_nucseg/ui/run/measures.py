"""What a run over images without ground truth found: a histogram, and a table of the fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from napari.components import ViewerModel
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QTableView, QVBoxLayout, QWidget

from napari_nucseg.io.writers import Columnlike
from napari_nucseg.report.measures import Measured, label_of
from napari_nucseg.report.plots import AREA, COUNT, INTENSITY, Theme, draw_measure, dress
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.score.figures import Plot, SaveButton, theme_of
from napari_nucseg.ui.score.score_table import PlainModel, table_view

_HEIGHT = 180
"""Pixels of the plot of measures, and of their table."""


class MeasuresWidget(QWidget):
    """Measures of nuclei: how they are distributed, and of each field.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose theme the plot follows.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(self, viewer: ViewerModel, run: Run, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._viewer = viewer
        self._measured: Sequence[Measured] = ()
        self.canvas: Any = None
        self.table: QTableView | None = None
        self.kind = QComboBox()
        self.kind.addItems([AREA, INTENSITY, COUNT])
        self.kind.setToolTip("Which measure the plot shows. The report has all of them.")
        self.kind.currentTextChanged.connect(self.draw)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.save = SaveButton(self._plot, run, tell)
        above = QHBoxLayout()
        above.addWidget(self.kind, 1)
        above.addWidget(self.save)
        self._layout.addLayout(above)
        viewer.events.theme.connect(self.draw)
        self.setVisible(False)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.theme.disconnect(self.draw)

    def show_measures(self, measured: Sequence[Measured]) -> None:
        """Show what models found; nothing hides plot and table."""
        self._measured = measured
        self.setVisible(bool(measured))
        if measured:
            self._make_table()
            self.draw()

    def draw(self, *event: Any) -> None:
        """Draw the chosen measure."""
        if not self._measured:
            return
        if self.canvas is None:
            self._make_canvas()
        _draw(self._measured, self.kind.currentText(), theme_of(self._viewer), self.canvas.figure)
        self.canvas.draw_idle()

    def _plot(self) -> Plot | str:
        """Return the chosen plot as it is saved."""
        measured, kind = self._measured, self.kind.currentText()
        if not measured:
            return "There are no measures yet. Press Run first."
        name = " ".join([*(one.name for one in measured), kind])
        return Plot(name, partial(_draw, measured, kind, Theme()))

    def _make_canvas(self) -> None:
        # Not above, because opening the panel would wait for matplotlib
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        make: Callable[[Figure], Any] = FigureCanvasQTAgg
        self.canvas = make(Figure(layout="constrained"))
        self.canvas.setFixedHeight(_HEIGHT)
        self._layout.insertWidget(1, self.canvas)

    def _make_table(self) -> None:
        """List the fields of all models; several have their names before the fields'."""
        area = "µm²" if self._measured[0].has_scale else "px"
        model = PlainModel(("field", "nuclei", f"median\narea ({area})", "mean\nintensity"))
        several, rows, tips = len(self._measured) > 1, [], []
        for one in self._measured:
            header, *cells = one.cells
            for name, count, size, diameter, intensity, at_border in cells:
                field = f"{one.name}: {name}" if several else name
                rows.append((field, count, size, intensity))
                tips.append(f"{field}. {header[3]} {diameter}, {at_border} nuclei at the border.")
        model.show_rows(rows, tips=tips)
        if self.table is not None:
            self.table.deleteLater()
        self.table = table_view(model, stretched=0)
        self.table.setFixedHeight(_HEIGHT)
        self._layout.addWidget(self.table)


def _draw(
    measured: Sequence[Measured], kind: str, theme: Theme, figure: Any
) -> Mapping[str, Columnlike]:
    """Draw a measure in place of what a figure shows, and return it as columns of a table."""
    figure.clear()
    axes, label = figure.subplots(), label_of(kind, all(one.has_scale for one in measured))
    values = {one.name: one.values(kind) for one in measured}
    draw_measure(axes, values, label, theme)
    dress(axes, theme)
    names = [name for name, mine in values.items() for _ in mine]
    return {"model": names, label: [value for mine in values.values() for value in mine.tolist()]}
