"""Plots in the score panel: a look from afar, and a click that goes there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QComboBox, QToolTip

from napari_nucseg.metrics.overlap import Index
from napari_nucseg.report.plots import CURVE_THRESHOLDS
from napari_nucseg.ui.jobs import Run, single_shot
from napari_nucseg.ui.layer_fields import count_planes
from napari_nucseg.ui.plot_box import Draw, Place, Plot, PlotBox
from napari_nucseg.ui.score.canvas import go_to_field
from napari_nucseg.ui.score.figures import AREAS, CURVES, FIELDS, IOUS, Dots, Drawn, draw_figure
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


class PlotsWidget(PlotBox):
    """One plot of a comparison at a time.

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
        kind = QComboBox()
        super().__init__(viewer, kind, run, tell)
        self._state, self._set_threshold, self._list_rows = state, set_threshold, list_rows
        self._drags = False
        self.kind = kind
        self.kind.addItems(list(PLOT_TIPS))
        self.kind.setToolTip(
            "Which plot is shown. A click in it goes to the nucleus, the field or the threshold."
        )
        self.kind.currentTextChanged.connect(self._on_kind)
        self.view.setMinimumHeight(_LEAST)
        self.view.setToolTip(PLOT_TIPS[self.kind.currentText()])
        self.view.pressed.connect(self._on_pressed)
        self.view.moved.connect(self._on_moved)
        self.view.traced.connect(self._on_traced)
        self._soon = single_shot(self, self.view.redraw, _PAUSE)
        state.changed.connect(self._on_changed)

    def to_draw(self) -> Draw:
        """See `PlotBox`."""
        return partial(draw_figure, self.kind.currentText(), self._state.now)

    def to_save(self) -> Plot | str:
        """See `PlotBox`."""
        now, kind = self._state.now, self.kind.currentText()
        if now.prediction is None or not now.is_there:
            return NOTHING_COMPARED
        name = f"{now.prediction.name} {kind}"
        return Plot(name, lambda *canvas: draw_figure(kind, now, *canvas).columns)

    def _on_kind(self, kind: str) -> None:
        self.view.setToolTip(PLOT_TIPS[kind])
        self.view.again.hide()  # that the plot before failed says nothing of this one
        self.view.redraw()

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.objects is not old.objects or (new.plane, new.hidden) != (old.plane, old.hidden):
            self._soon.start()

    @property
    def _drawn(self) -> Drawn | None:
        """What is seen, unless another comparison is about to be drawn in its place."""
        drawn: Drawn | None = None if self.view.picture is None else self.view.picture.drawn
        is_now = drawn is not None and drawn.of.objects is self._state.now.objects
        return drawn if is_now else None

    @property
    def _dots(self) -> Dots | None:
        """The dots that are seen, if there are any."""
        return None if self._drawn is None else self._drawn.points

    def _on_pressed(self, place: Place) -> None:
        picture = self.view.picture
        is_inside = picture is not None and picture.data_at(place) is not None
        self.view.shows_line = is_inside and self._dots is not None
        self._drags = is_inside and picture is not None and picture.drawn.kind == CURVES
        self._on_moved(place, True)

    def _on_moved(self, place: Place, is_pressed: bool) -> None:
        picture = self.view.picture
        at = None if picture is None else picture.data_at(place)
        if picture is None or at is None:
            return
        if is_pressed and self._drags:
            steps = np.array(CURVE_THRESHOLDS)
            self._set_threshold(float(steps[np.argmin(np.abs(steps - at[0]))]))
        elif not is_pressed:
            seen = QPoint(int(place[0]), int(picture.image.height() - place[1]))
            seen /= self.view.devicePixelRatioF()
            text = self._name_of(self._nearest(*place))
            QToolTip.showText(self.view.mapToGlobal(seen), text, self.view)

    def _on_traced(self, places: Sequence[Place]) -> None:
        """Go to the dot that was clicked on, or list what is in the line that was drawn."""
        from matplotlib.path import Path as Line

        drawn, dots, line = self._drawn, self._dots, np.array(places)
        if drawn is None or dots is None or not self.view.shows_line:
            return
        now, is_fields = self._state.now, drawn.kind == FIELDS
        if np.ptp(line, axis=0).max() > _STILL:
            inside = dots.targets[Line(line).contains_points(self._places(dots))]
            of_fields = np.flatnonzero(np.isin(now.objects.plane, inside))
            self._list(of_fields if is_fields else inside)
            return
        nearest = self._nearest(*line[-1])
        if nearest is None:
            return
        if not is_fields:
            self._state.chosen.emit(int(dots.targets[nearest]))
        elif now.truth is not None:
            go_to_field(self._viewer, now.truth, int(dots.targets[nearest]))

    def _list(self, rows: Index) -> None:
        """List nuclei alone in the table; none lists all."""
        self._list_rows(rows)
        self._tell(
            f"{counted(len(rows), 'nucleus')} {'is' if len(rows) == 1 else 'are'} listed in "
            "the table Nuclei. Untick Selected there to list all again."
            if len(rows)
            else "No dot is within the line. The table lists all nuclei again."
        )

    def _places(self, dots: Dots) -> NDArray[np.float64]:
        """Return where dots lie in the picture, shape (n, 2)."""
        assert self.view.picture is not None
        places = np.column_stack([dots.x, np.nan_to_num(dots.y)])  # the score of an empty field
        return np.asarray(self.view.picture.axes.transData.transform(places))

    def _nearest(self, x: float, y: float) -> int | None:
        """Return the number of the dot at a place of the picture; of a field, whatever the y."""
        drawn, dots = self._drawn, self._dots
        if drawn is None or dots is None or not len(dots.targets):
            return None
        across, down = (self._places(dots) - (x, y)).T
        is_fields = drawn.kind == FIELDS
        distance = np.abs(across) if is_fields else np.hypot(across, down)
        nearest = int(np.argmin(distance))
        return nearest if is_fields or distance[nearest] <= _REACH else None

    def _name_of(self, dot: int | None) -> str:
        """Say in a line which nucleus or field a dot is; nothing for none."""
        drawn, dots = self._drawn, self._dots
        if dot is None or drawn is None or dots is None:
            return ""
        now, (x, y, targets) = self._state.now, dots
        if drawn.kind == IOUS:
            row = int(targets[dot])
            name = f"{now.name_of(int(now.objects.plane[row]))}: " if now.is_stack else ""
            return f"{name}{now.describe(row)} - area {x[dot]} px"
        plane = int(targets[dot])
        fields = len(now.pairs) if now.truth is None else count_planes(now.truth)
        where = f"field {plane + 1} of {fields}"
        return f"{now.name_of(plane)} ({where}): AP {as_number(float(y[dot]))}, rank {x[dot]}"
