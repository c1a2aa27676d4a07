"""What a run found, in the run panel: the map of a plate, and measures with their distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLabel, QTableView

from napari_nucseg.batch.wells import PlateResults
from napari_nucseg.io.writers import Columnlike
from napari_nucseg.report.measures import Measured, label_of
from napari_nucseg.report.plates import PlateMap, draw_plate, plate_maps
from napari_nucseg.report.plots import AREA, COUNT, INTENSITY, Theme, draw_measure, dress
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.plot_box import Draw, Place, Plot, PlotBox
from napari_nucseg.ui.score.score_table import PlainModel, table_view
from napari_nucseg.wording import counted

_MAP_HEIGHT = 210
"""Pixels of the map."""
_HEIGHT = 180
"""Pixels of the plot of measures, and of their table."""
HINT = "Click a well to show its field, again for the next."
_EDGE = "#D55E00"
"""Colour of the line around the well that was clicked, which no map has."""


class PlateMapWidget(PlotBox):
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
        kind = QComboBox()
        super().__init__(viewer, kind, run, tell)
        self._results = PlateResults({}, {})
        self._maps: dict[tuple[str, str], PlateMap] = {}
        self._well, self._turn = "", 0
        self.kind = kind
        self.kind.setToolTip("What the colours of the wells show. The report has all of them.")
        self.kind.currentIndexChanged.connect(self.view.again.hide)  # it is another plot
        self.kind.currentIndexChanged.connect(self.view.redraw)
        self.hint = QLabel(HINT)
        self._layout.addWidget(self.hint)
        self.view.setFixedHeight(_MAP_HEIGHT)
        self.view.pressed.connect(self._on_pressed)
        self.view.moved.connect(lambda place, _: self._say(self._well_at(place)))
        self.setVisible(False)

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
        self.view.again.hide()
        self.view.redraw()

    def to_draw(self) -> Draw | None:
        """See `PlotBox`; the box above says what the map shows."""
        return None if self._shown is None else partial(_draw_map, self._shown, "", self._well)

    def to_save(self) -> Plot | str:
        """See `PlotBox`."""
        plate, title = self._shown, self.kind.currentText()
        if plate is None:
            return "There is no plate yet. Press Run first."
        return Plot(title, partial(_draw_map, plate, title, ""))

    def pick(self, well: str) -> None:
        """Mark a well, and tell of its next field."""
        stems = self._results.stems.get(well, ())
        if stems:
            self._turn = self._turn + 1 if well == self._well else 0
            self._well = well
            self.view.redraw()
            self._say(well)
            self.picked.emit(stems[self._turn % len(stems)])

    @property
    def _shown(self) -> PlateMap | None:
        number = self.kind.currentIndex()
        return list(self._maps.values())[number] if 0 <= number < len(self._maps) else None

    def _well_at(self, place: Place) -> str | None:
        """Return the well at a place of the picture, which lies there in all maps of a plate."""
        picture, plate = self.view.picture, self._shown
        at = None if picture is None else picture.data_at(place)
        return None if at is None or plate is None else plate.well_at(*at)

    def _on_pressed(self, place: Place) -> None:
        well = self._well_at(place)
        if well is not None:
            self.pick(well)

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


def _draw_map(
    plate: PlateMap, title: str, marked: str, figure: Any, theme: Theme
) -> Mapping[str, Columnlike]:
    """Draw a map, with a line around the well that was clicked; return it as columns of a table."""
    from matplotlib.patches import Rectangle

    axes, corner = figure.subplots(), plate.corner_of(marked)
    draw_plate(axes, plate, title, theme)
    if corner is not None:
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=_EDGE, linewidth=2))
    return {"well": list(plate.wells), title: list(plate.wells.values())}


class MeasuresWidget(PlotBox):
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
        kind = QComboBox()
        super().__init__(viewer, kind, run, tell)
        self._measured: Sequence[Measured] = ()
        self.table: QTableView | None = None
        self.kind = kind
        self.kind.addItems([AREA, INTENSITY, COUNT])
        self.kind.setToolTip("Which measure the plot shows. The report has all of them.")
        self.kind.currentTextChanged.connect(self.view.again.hide)  # it is another plot
        self.kind.currentTextChanged.connect(self.view.redraw)
        self.view.setFixedHeight(_HEIGHT)
        self.setVisible(False)

    def show_measures(self, measured: Sequence[Measured]) -> None:
        """Show what models found; nothing hides plot and table."""
        self._measured = measured
        self.setVisible(bool(measured))
        if measured:
            self._make_table()
            self.view.again.hide()
            self.view.redraw()

    def to_draw(self) -> Draw | None:
        """See `PlotBox`."""
        return partial(_draw_measure, self._measured, self.kind.currentText())

    def to_save(self) -> Plot | str:
        """See `PlotBox`."""
        measured, kind = self._measured, self.kind.currentText()
        if not measured:
            return "There are no measures yet. Press Run first."
        name = " ".join([*(one.name for one in measured), kind])
        return Plot(name, partial(_draw_measure, measured, kind))

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


def _draw_measure(
    measured: Sequence[Measured], kind: str, figure: Any, theme: Theme
) -> Mapping[str, Columnlike]:
    """Draw a measure into an empty figure, and return it as columns of a table."""
    axes, label = figure.subplots(), label_of(kind, all(one.has_scale for one in measured))
    values = {one.name: one.values(kind) for one in measured}
    draw_measure(axes, values, label, theme)
    dress(axes, theme)
    names = [name for name, mine in values.items() for _ in mine]
    return {"model": names, label: [value for mine in values.values() for value in mine.tolist()]}
