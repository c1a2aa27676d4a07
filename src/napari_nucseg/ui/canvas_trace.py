"""What is drawn over the canvas by the panels: a line, and an outline of a nucleus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QLineF, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

from napari_nucseg.ui.layer_fields import full_data, read_plane, shown_plane

Ends = NDArray[np.float64]
"""Both ends of lines, along y and x of the world; an array of shape (n, 2, 2)."""


class Trace(QWidget):
    """The line that is being drawn, and the outline of one nucleus.

    Parameters
    ----------
    canvas : QWidget
        The canvas that it lies on.
    """

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._canvas = canvas
        self._points = QPolygonF()
        self._is_closed = False
        self._marked: MarkedNucleus | None = None
        self.hide()

    def draw(self, points: Sequence[Sequence[float]], *, is_closed: bool = False) -> None:
        """Show a line through points of the canvas, in x and y; none without points.

        Parameters
        ----------
        points : sequence of sequence of float
            In pixels of the screen.
        is_closed : bool, optional
            Whether the last point is joined to the first.
        """
        self._points = QPolygonF([QPointF(float(x), float(y)) for x, y in points])
        self._is_closed = is_closed
        self._redraw()

    def mark(self, nucleus: MarkedNucleus | None) -> None:
        """Show the outline of a nucleus, wherever camera and slider go; None takes it away."""
        before, self._marked = self._marked, nucleus
        for event in before.moves if before is not None else ():
            event.disconnect(self._redraw)
        for event in nucleus.moves if nucleus is not None else ():
            event.connect(self._redraw)
        self._redraw()

    def focus_canvas(self) -> None:
        """Let the canvas have the keyboard."""
        self._canvas.setFocus()

    def _redraw(self, event: Any = None) -> None:
        if self._marked is not None and getattr(event, "type", "") == "set_data":
            self._marked.forget_shape()
        self.setGeometry(self._canvas.rect())
        self.setVisible(bool(self._points.count()) or self._marked is not None)
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw white on black, which is seen on any nucleus."""
        outline = [] if self._marked is None else self._marked.on_canvas()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((QColor(0, 0, 0), 4), (QColor(255, 255, 255), 2)):
            painter.setPen(QPen(colour, width))
            for line in outline:
                painter.drawLine(line)
            if self._is_closed:
                painter.drawPolygon(self._points)
            else:
                painter.drawPolyline(self._points)
        painter.end()


class MarkedNucleus:
    """A nucleus that is outlined where it is seen.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that shows it.
    layer : Labels
        The labels that it belongs to.
    plane : int
        Number of its field in the stack.
    number : int
        Its label.
    with_layer : bool, optional
        Whether it is outlined only while its layer is in sight.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Labels,
        plane: int,
        number: int,
        *,
        with_layer: bool = False,
    ) -> None:
        self._viewer, self._layer, self._with_layer = viewer, layer, with_layer
        self.plane, self.number = plane, number
        self._ends: Ends | None = None

    def forget_shape(self) -> None:
        """Take its shape from the labels when it is drawn next."""
        self._ends = None

    @property
    def moves(self) -> tuple[Any, ...]:
        """Events after which it is seen elsewhere, has another shape, or is gone."""
        camera, canvas = self._viewer.scene.camera.events, self._viewer.canvas.events
        labels, dims = self._layer.events, self._viewer.dims.events
        seen = camera.center, camera.zoom, camera.orientation, canvas.size
        there = labels.set_data, labels.visible, self._viewer.layers.events.removed
        return *seen, dims.current_step, dims.ndisplay, *there

    def on_canvas(self) -> list[QLineF]:
        """Return its outline in pixels of the screen; nothing if another field is in sight.

        In a grid, where each layer has a place of its own, and in 3-D nothing is marked, and none
        of a layer that was removed.
        """
        is_hidden = self._with_layer and not self._layer.visible
        if is_hidden or self._layer not in self._viewer.layers:
            return []
        is_elsewhere = shown_plane(self._viewer.dims.point, self._layer) != self.plane
        is_flat = self._viewer.dims.ndisplay == 2 and not self._viewer.canvas.grid.enabled
        if is_elsewhere or not is_flat:
            return []
        if self._ends is None:
            self._ends = outline_of(self._layer, self.plane, self.number)
        camera = self._viewer.scene.camera
        ways = [-1 if str(way) in ("up", "left") else 1 for way in camera.orientation2d]
        middle = np.divide(self._viewer.canvas.size, 2)
        seen = (self._ends - camera.center[-2:]) * camera.zoom * ways + middle
        return [QLineF(*line) for line in seen[..., ::-1].reshape(-1, 4).tolist()]


def outline_of(layer: Labels, plane: int, number: int) -> Ends:
    """Find the edges of a nucleus' pixels, as they lie in the world.

    Parameters
    ----------
    layer : Labels
        The labels.
    plane : int
        Number of the field in the stack.
    number : int
        Label of the nucleus.
    """
    data = full_data(layer)
    inside = np.pad(read_plane(data, plane) == number, 1)
    below = np.argwhere(inside[1:] != inside[:-1])[:, None] + ((-0.5, -1.5), (-0.5, -0.5))
    right = np.argwhere(inside[:, 1:] != inside[:, :-1])[:, None] + ((-1.5, -0.5), (-0.5, -0.5))
    field = np.unravel_index(plane, data.shape[:-2]) if layer.ndim > 2 else ()
    start, down, along = (
        np.array(layer.data_to_world((*field, *place))[-2:]) for place in ((0, 0), (1, 0), (0, 1))
    )
    ends: Ends = np.concatenate([below, right]) @ np.stack([down - start, along - start]) + start
    return ends


def trace_beside(panel: QWidget) -> Trace | None:
    """Put a line on the canvas of the window that a panel is docked in; None without a canvas."""
    window = panel.window()
    while (above := None if window is None else window.parentWidget()) is not None:
        window = above.window()
    found = [] if window is None else window.findChildren(QOpenGLWidget)
    return Trace(found[0]) if found else None
