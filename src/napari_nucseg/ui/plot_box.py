"""A plot in a panel: drawn in the background, in the viewer's colours, and saved by a button."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.sources import as_file_name
from napari_nucseg.io.writers import Columnlike, with_ending, write_columns
from napari_nucseg.report.plots import Theme
from napari_nucseg.ui.jobs import Job, Run, single_shot
from napari_nucseg.ui.widgets import tight

FORMATS = ("png", "svg", "pdf", "csv")
_DOTS = 100
"""Dots per inch of a plot on the screen, which makes the letters as large as those around it."""

Draw = Callable[[Any, Theme], Any]
"""Draws into an empty figure of matplotlib, in any thread, and returns what it has drawn."""
Place = tuple[float, float]
"""A place of a picture: pixels from its left and from its lower edge, as matplotlib counts."""


class Plot(NamedTuple):
    """A plot as it is saved; plain values, so that a worker can draw it.

    Attributes
    ----------
    name : str
        What the file is called unless a person says otherwise, without ending.
    draw : callable
        Draws into an empty figure of matplotlib, and returns the columns of the table of what is
        drawn.
    size : tuple of float
        Width and height in inches.
    """

    name: str
    draw: Callable[[Any, Theme], Mapping[str, Columnlike]]
    size: tuple[float, float] = (4.5, 3.4)


def write_plot(path: Path, plot: Plot) -> None:
    """Write a plot to a PNG, SVG or PDF file, or its numbers to a CSV file, as the ending says."""
    from matplotlib.figure import Figure

    figure, ending = Figure(figsize=plot.size, layout="constrained"), path.suffix.lstrip(".")
    columns = plot.draw(figure, Theme())
    if ending.lower() == "csv":
        write_columns(path, columns)
    else:
        write_whole(path, lambda file: figure.savefig(file, format=ending.lower(), dpi=200))


class Picture(NamedTuple):
    """A plot as it is seen, and the figure that it was drawn from, which is drawn no more."""

    image: QImage
    figure: Any
    theme: Theme
    drawn: Any

    @property
    def axes(self) -> Any:
        """The first axes; None where nothing was drawn."""
        return next(iter(self.figure.axes), None)

    def data_at(self, place: Place) -> Place | None:
        """Return a place in the units of the first axes; None outside of them."""
        if self.axes is None or not self.axes.bbox.contains(*place):
            return None
        x, y = self.axes.transData.inverted().transform(place).tolist()
        return x, y


def _draw_picture(draw: Draw, theme: Theme, room: tuple[int, int, float], *_: object) -> Picture:
    """Draw a plot into an image as large as the room for it; any thread may do so."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height, ratio = room
    size = max(width, 1) / _DOTS, max(height, 1) / _DOTS
    figure = Figure(size, _DOTS * ratio, layout="constrained", facecolor=theme.back)
    canvas: Any = FigureCanvasAgg(figure)
    drawn = draw(figure, theme)
    canvas.draw()
    dots = np.asarray(canvas.buffer_rgba())
    high, wide, _bytes = dots.shape
    image = QImage(dots.tobytes(), wide, high, 4 * wide, QImage.Format.Format_RGBA8888)
    return Picture(image.copy(), figure, theme, drawn)  # a copy, which has its bytes itself


class PlotView(QWidget):
    """Shows a plot, which is drawn in the background while it is in sight.

    matplotlib takes a tenth of a second for a plot, and half a second to be loaded.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose theme the plot follows.
    to_draw : callable
        Returns what draws the plot as it is now; None if there is nothing to be drawn.
    run : callable
        Called with work to do in the background, and with what shows its result.
    """

    pressed = Signal(object)
    """The left button was pressed at a `Place` of the picture."""
    moved = Signal(object, bool)
    """The pointer is at a `Place`, with the left button pressed or not."""
    traced = Signal(object)
    """The button was let go; has the `Place`s since it was pressed, one or more."""

    def __init__(self, viewer: ViewerModel, to_draw: Callable[[], Draw | None], run: Run) -> None:
        super().__init__()
        self._viewer, self._to_draw, self._run = viewer, to_draw, run
        self._job: Job | None = None
        self._is_wanted, self._room = True, (0, 0, 1.0)
        self._line: list[QPointF] = []
        self.picture: Picture | None = None
        self.shows_line = False
        self.waiting, self.again = QLabel("The plot is being drawn..."), QPushButton("Try again")
        self.waiting.setWordWrap(True)
        self.again.setToolTip("Draw the plot once more.")
        self.again.clicked.connect(self.again.hide)
        self.again.clicked.connect(self.redraw)
        self.again.hide()
        layout = QVBoxLayout(self)
        layout.addWidget(self.waiting)
        layout.addWidget(self.again)
        self._soon = single_shot(self, self._draw)
        self.setMouseTracking(True)

    def redraw(self, *event: Any) -> None:
        """Draw the plot anew, as soon as it is in sight."""
        self._is_wanted = True
        self.update()

    @property
    def is_drawn(self) -> bool:
        """Whether the plot is seen as it is now."""
        return self.picture is not None and not self._is_wanted and self._job is None

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Show the plot as it was drawn last, and draw it anew where it or its room is another."""
        painter = QPainter(self)
        if self.picture is not None:
            painter.drawImage(self.rect(), self.picture.image)
            painter.setPen(QColor(self.picture.theme.text))
            painter.drawPolyline(QPolygonF(self._line if self.shows_line else []))
        painter.end()
        if self._is_wanted or self._room != self._measure():
            self._soon.start()

    def _measure(self) -> tuple[int, int, float]:
        return self.width(), self.height(), self.devicePixelRatioF()

    def _draw(self) -> None:
        draw = self._to_draw()
        if self._job is not None or draw is None or not self.again.isHidden():
            return
        self._is_wanted, self._room = False, self._measure()
        work = partial(_draw_picture, draw, theme_of(self._viewer), self._room)
        self._job = self._run(work, self._show)
        self._job.failed.connect(self._on_failed)
        self._job.finished.connect(self._on_finished)

    def _show(self, picture: Picture) -> None:
        self.picture, self._line = picture, []
        self.waiting.hide()

    def _on_failed(self, error: Exception) -> None:
        self.picture = None
        self.waiting.setText(f"The plot cannot be drawn: {error}.")
        self.waiting.show()
        self.again.show()

    def _on_finished(self) -> None:
        self._job = None
        self.update()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Tell of the place, and begin a line there."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self.picture:
            self._line = [event.position()]
            self.pressed.emit(self._place(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Tell of the place, and draw the line on."""
        if event is None or self.picture is None:
            return
        if self._line:
            self._line.append(event.position())
            self.update()
        self.moved.emit(self._place(event.position()), bool(self._line))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Tell of the line, which is over."""
        places, self._line = [self._place(one) for one in self._line], []
        self.update()
        if places:
            self.traced.emit(places)

    def _place(self, at: QPointF) -> Place:
        assert self.picture is not None
        across, up = self.picture.image.width(), self.picture.image.height()
        return at.x() * across / self.width(), (1 - at.y() / self.height()) * up


class PlotBox(QWidget):
    """A plot, and above it a button that saves it beside what is chosen or said of it.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose theme the plot follows.
    beside : QWidget
        What stands beside the button.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(
        self, viewer: ViewerModel, beside: QWidget, run: Run, tell: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._viewer, self._run, self._tell = viewer, run, tell
        self.save = QPushButton("Save...")
        self.save.setToolTip("Save the plot as PNG, SVG or PDF, or its numbers as CSV.")
        self.save.clicked.connect(lambda: self.ask())
        self.view = PlotView(viewer, self.to_draw, run)
        above = QHBoxLayout()
        above.addWidget(beside, 1)
        above.addWidget(self.save, alignment=Qt.AlignmentFlag.AlignRight)
        self._layout = tight(QVBoxLayout(self))
        self._layout.addLayout(above)
        self._layout.addWidget(self.view, 1)
        viewer.events.theme.connect(self.view.redraw)

    @abstractmethod
    def to_draw(self) -> Draw | None:
        """Return what draws the plot as it is now; None if there is nothing to be drawn."""

    @abstractmethod
    def to_save(self) -> Plot | str:
        """Return the plot as it is saved, or say in a sentence why there is none."""

    def ask(self) -> None:
        """Ask for a file, and save the plot to it."""
        plot = self.to_save()
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
        plot = self.to_save()
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

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.theme.disconnect(self.view.redraw)


def theme_of(viewer: ViewerModel) -> Theme:
    """Return the colours of the viewer's theme for a plot."""
    colours = get_theme(viewer.theme)
    parts = colours.background, colours.text, colours.secondary
    return Theme(*(colour.as_hex() for colour in parts))
