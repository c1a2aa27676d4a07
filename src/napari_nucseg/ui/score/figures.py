"""What each plot of a comparison shows, and the button that saves a plot or its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.sources import as_file_name
from napari_nucseg.io.writers import Columnlike, with_ending, write_columns
from napari_nucseg.metrics.overlap import Index, join_overlaps
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.report.plots import (
    CURVE_THRESHOLDS,
    Theme,
    draw_areas,
    draw_curves,
    draw_fields,
    draw_ious,
    dress,
    field_order,
    score_curve,
    score_fields,
)
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.score.model import Comparison

FORMATS = ("png", "svg", "pdf", "csv")
_ROOM = 0.66, 0.14, 0.5
"""Inches to the left, to the right and below of axes, for numbers of five digits and a label."""
_TITLE = 0.32
"""Inches above axes with a title."""
CURVES, IOUS, FIELDS, AREAS = "AP and F1 by threshold", "IoU by area", "Fields", "Areas"


def theme_of(viewer: ViewerModel) -> Theme:
    """Return the colours of the viewer's theme for a plot."""
    colours = get_theme(viewer.theme)
    parts = colours.background, colours.text, colours.secondary
    return Theme(*(colour.as_hex() for colour in parts))


class Dots(NamedTuple):
    """Dots that can be pointed at.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Where each dot lies, in the units of the axes.
    targets : ndarray of intp, shape (n,)
        What each dot is: a row of the objects, or the number of a field.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    targets: Index


class Drawn(NamedTuple):
    """What a plot shows, to be pointed at and to be saved as a table.

    Attributes
    ----------
    points : Dots or None
        Dots, where each is a nucleus or a field.
    columns : mapping
        Name of each column of the table of what was drawn, and its values.
    """

    points: Dots | None
    columns: Mapping[str, Columnlike]


def _draw_curves(axes: Any, now: Comparison, theme: Theme) -> Drawn:
    strict = now.rule.preset.strict
    pair = now.pairs.get(now.plane)
    field = None if pair is None else score_curve(pair.counted_overlap, strict=strict)
    pooled = None
    if now.is_stack:
        joined = join_overlaps([pair.counted_overlap for pair in now.pairs.values()])
        pooled = score_curve(joined, strict=strict)
    draw_curves(axes, field, pooled, now.rule.threshold, theme)
    columns: dict[str, Columnlike] = {"iou_threshold": np.array(CURVE_THRESHOLDS)}
    for curve, of in ((field, now.name_of(now.plane)), (pooled, "all fields")):
        if curve is not None:
            columns |= {f"f1 {of}": curve.f1, f"ap {of}": curve.ap}
    return Drawn(None, columns)


def _draw_ious(axes: Any, now: Comparison, theme: Theme) -> Drawn:
    objects = now.objects
    rows = np.flatnonzero(~np.isin(objects.code, [int(verdict) for verdict in now.hidden]))
    draw_ious(axes, objects, rows, theme)
    names = {plane: now.name_of(plane) for plane in now.pairs}
    columns: dict[str, Columnlike] = {
        "field": [names[plane] for plane in objects.plane[rows].tolist()],
        "side": ["true" if is_true else "predicted" for is_true in objects.is_true[rows]],
        "label": objects.label[rows],
        "verdict": [Verdict(int(code)).word for code in objects.code[rows]],
        "iou": objects.iou[rows],
        "area_px": objects.area[rows],
    }
    return Drawn(Dots(objects.area[rows], objects.iou[rows], rows), columns)


def _draw_fields(axes: Any, now: Comparison, theme: Theme) -> Drawn:
    overlaps = {plane: pair.counted_overlap for plane, pair in now.pairs.items()}
    strip = score_fields(overlaps, now.rule)
    draw_fields(axes, strip, now.plane, now.name_of, theme)
    order = field_order(strip)
    rank, planes = np.arange(1, len(order) + 1), strip.planes[order]
    columns: dict[str, Columnlike] = {
        "rank": rank,
        "field": [now.name_of(int(plane)) for plane in planes],
        "field_number": planes + 1,
        "ap": strip.ap[order],
        "dice": strip.dice[order],
    }
    return Drawn(Dots(rank, strip.ap[order], planes), columns)


def _draw_areas(axes: Any, now: Comparison, theme: Theme) -> Drawn:
    joined = join_overlaps([pair.counted_overlap for pair in now.pairs.values()])
    true, predicted = joined.truth_areas.tolist(), joined.predicted_areas.tolist()
    draw_areas(axes, true, predicted, theme)
    sides = ["true"] * len(true) + ["predicted"] * len(predicted)
    return Drawn(None, {"side": sides, "area_px": true + predicted})


DRAW: dict[str, Callable[[Any, Comparison, Theme], Drawn]] = {
    CURVES: _draw_curves,
    IOUS: _draw_ious,
    FIELDS: _draw_fields,
    AREAS: _draw_areas,
}
"""Draws each plot into axes."""


def draw_figure(figure: Any, kind: str, now: Comparison, theme: Theme) -> Drawn:
    """Draw a plot into a figure of matplotlib, in place of what is there; any thread may do so.

    Parameters
    ----------
    figure : Figure
        The figure, which no other thread draws meanwhile.
    kind : str
        Which plot: a key of `DRAW`.
    now : Comparison
        What it shows; the figure is left empty before anything was compared.
    theme : Theme
        Its colours.
    """
    figure.clear()
    figure.set_facecolor(theme.back)
    if not now.is_there:
        return Drawn(None, {})
    axes = figure.subplots()
    drawn = DRAW[kind](axes, now, theme)
    dress(axes, theme)
    return drawn


def fit_axes(figure: Any) -> None:
    """Leave room for ticks and labels around the axes of a figure, the same around each plot.

    That matplotlib lays out each drawing anew takes longer than all of the rest.

    Parameters
    ----------
    figure : Figure
        A figure of `draw_figure`, without a layout of matplotlib's.
    """
    width, height = figure.get_size_inches()
    left, right, below = (
        min(room, 0.2 * size) for room, size in zip(_ROOM, (width, width, height), strict=True)
    )
    above = _TITLE if any(axes.get_title() for axes in figure.axes) else _ROOM[1]
    figure.subplots_adjust(
        left / width, below / height, 1 - right / width, 1 - min(above, 0.2 * height) / height
    )


class Plot(NamedTuple):
    """A plot as it is saved; plain values, so that a worker can draw it.

    Attributes
    ----------
    name : str
        What the file is called unless a person says otherwise, without ending.
    draw : callable
        Draws into an empty figure of matplotlib, dark on white, and returns the columns of the
        table of what is drawn.
    size : tuple of float
        Width and height in inches.
    """

    name: str
    draw: Callable[[Any], Mapping[str, Columnlike]]
    size: tuple[float, float] = (4.5, 3.4)


def write_plot(path: Path, plot: Plot) -> None:
    """Write a plot to a PNG, SVG or PDF file, or its numbers to a CSV file, as the ending says."""
    from matplotlib.figure import Figure

    figure, ending = Figure(figsize=plot.size, layout="constrained"), path.suffix.lstrip(".")
    columns = plot.draw(figure)
    if ending.lower() == "csv":
        write_columns(path, columns)
    else:
        write_whole(path, lambda file: figure.savefig(file, format=ending.lower(), dpi=200))


class SaveButton(QPushButton):
    """Asks for a file, and saves a plot to it in the background.

    Parameters
    ----------
    plot : callable
        Returns the plot as it is now, or says in a sentence why there is none.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(
        self, plot: Callable[[], Plot | str], run: Run, tell: Callable[[str], None]
    ) -> None:
        super().__init__("Save...")
        self._plot, self._run, self._tell = plot, run, tell
        self.setToolTip("Save the plot as PNG, SVG or PDF, or its numbers as CSV.")
        self.clicked.connect(lambda: self.ask())

    def ask(self) -> None:
        """Ask for a file, and save the plot to it."""
        plot = self._plot()
        if isinstance(plot, str):
            self._tell(plot)
            return
        kinds = ";;".join(f"{one.upper()} (*.{one})" for one in FORMATS)
        suggestion = as_file_name(plot.name) + ".png"
        name, _ = QFileDialog.getSaveFileName(self, "Save plot", suggestion, kinds)
        if name:
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Save the plot, dark on white, or its numbers; the ending of the name says how."""
        plot = self._plot()
        if isinstance(plot, str):
            self._tell(plot)
            return
        try:
            path = with_ending(path, *(f".{one}" for one in FORMATS))
        except OSError as error:
            self._tell(str(error))
            return
        self._tell("Writing...")
        self._run(
            lambda progress: write_plot(path, plot),
            lambda nothing: self._tell(f"Written: {path}"),
        )


def load_matplotlib(*_: object) -> None:
    """Load what draws plots, its fonts and its numbers; for a worker, as it takes half a second."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg  # noqa: F401
    from matplotlib.figure import Figure
    from matplotlib.widgets import LassoSelector  # noqa: F401

    draw: Callable[[], None] = FigureCanvasAgg(figure := Figure()).draw
    axes = figure.subplots()
    axes.set(xscale="log", title="0", xlabel="0")
    axes.plot([1, 100], [0, 1], label="0")
    axes.legend()
    draw()
