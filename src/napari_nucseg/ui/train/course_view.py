"""How a training is seen while it runs: its curves, and outlines in a held-out field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.batch.train_log import LogRow, draw_curves
from napari_nucseg.io.channels import CHANNEL
from napari_nucseg.io.writers import Columnlike
from napari_nucseg.report.plots import Theme, dress
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import axes_of, field_shape
from napari_nucseg.ui.layers import IMAGE, LayerRecord, placement, record_of, tag
from napari_nucseg.ui.score.figures import Plot, SaveButton, theme_of
from napari_nucseg.ui.train.fields import AFTER, BEFORE
from napari_nucseg.ui.widgets import tight

COLOURS = {BEFORE: "#E69F00", AFTER: "#56B4E9"}
"""Colours of the outlines (Okabe and Ito, 2008)."""
LEGEND = "Outlines: orange before, blue the best so far."
_CONTOUR = 2
_HEIGHT = 250
"""Pixels of the plot."""
_SAVED_SIZE = 7.2, 6.0
"""Inches of the plot in a file."""


class CoursePlot(QWidget):
    """Losses and scores of a training, batch by batch; nothing before there are some.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, whose theme the plot has.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(self, viewer: ViewerModel, run: Run, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._viewer = viewer
        self.rows: list[LogRow] = []
        self.canvas: Any = None
        self.legend = QLabel(LEGEND)
        self.save = SaveButton(self._plot, run, tell)
        layout, below = tight(QVBoxLayout(self)), QHBoxLayout()
        below.addWidget(self.legend, 1)
        below.addWidget(self.save, alignment=Qt.AlignmentFlag.AlignRight)
        layout.addLayout(below)
        self.setToolTip(
            "Above: loss of what is learned, and of the held-out fields. Below: their AP and F1. "
            "The held-out scores decide which weights are kept."
        )
        self.hide()
        viewer.events.theme.connect(self._draw)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._viewer.events.theme.disconnect(self._draw)

    def begin(self) -> None:
        """Forget the training before."""
        self.rows = []
        self.legend.hide()
        self.hide()

    def add(self, row: LogRow) -> None:
        """Draw a further moment."""
        self.rows.append(row)
        self.show()
        self._draw()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what was told while it was out of sight."""
        super().showEvent(event)
        self._draw()

    def _draw(self, event: Any = None) -> None:
        if not self.rows or not self.isVisible():
            return
        if self.canvas is None:
            self._make_canvas()
        self.canvas.figure.clear()
        _draw(self.rows, theme_of(self._viewer), self.canvas.figure)
        self.canvas.draw_idle()

    def _plot(self) -> Plot | str:
        """Return the curves so far as they are saved."""
        if not self.rows:
            return "There are no curves yet. Press Train first."
        return Plot("training", partial(_draw, list(self.rows), Theme()), _SAVED_SIZE)

    def _make_canvas(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        figure: Any = Figure(layout="constrained")
        canvas: Any = FigureCanvasQTAgg
        self.canvas = canvas(figure)
        self.canvas.setFixedHeight(_HEIGHT)
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.insertWidget(0, self.canvas)


def _draw(rows: Sequence[LogRow], theme: Theme, figure: Any) -> Mapping[str, Columnlike]:
    """Draw the curves into an empty figure, and return them as columns of a table."""
    for axes in draw_curves(figure, rows):
        dress(axes, theme)
    return {one.name: [getattr(row, one.name) for row in rows] for one in fields(LogRow)}


class HeldOutLayers:
    """Outlines of what a model finds in a held-out field, before and after it learned.

    The layers are made once for an image and refreshed in place. One that the user removes stays
    away until the next training.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that they are added to.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._image: Image | None = None
        self._plane = 0
        self._shown: dict[str, Labels] = {}

    def begin(self, image: Image | None, plane: int) -> None:
        """Begin with another training: outlines will be of a field of an image, if there is one."""
        self._image, self._plane, self._shown = image, plane, {}

    def begin_with_file(self, image: NDArray[Any], stem: str) -> None:
        """Begin with a field of a folder: it is shown, if it is not in a layer already."""
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        for layer in layers:
            record = record_of(layer)
            if record and stem in record.stems and field_shape(layer)[-2:] == image.shape:
                self.begin(layer, record.stems.index(stem))
                return
        metadata = tag(LayerRecord(IMAGE, (stem,)))
        selected = set(self._viewer.layers.selection)
        self.begin(self._viewer.add_image(image, name=stem, metadata=metadata), 0)
        self._viewer.layers.selection = selected

    def show(self, role: str, labels: LabelImage) -> None:
        """Show what was found, in the role of before or after."""
        image, layers = self._image, self._viewer.layers
        if image is None or image not in layers:
            return
        shown = self._shown.get(role)
        if shown is not None and shown not in layers:
            return
        data, placed = self._placed(image, labels)
        layer = shown or self._earlier(role, image)
        if layer is None:
            layer = self._add(role, image, data, placed)
        else:
            layer.data = data
            layer.translate = placed["translate"]
        layer.editable = False  # it is replaced without asking
        self._shown[role] = layer

    def _add(self, role: str, image: Image, data: LabelImage, placed: dict[str, Any]) -> Labels:
        selected = set(self._viewer.layers.selection)
        layer = self._viewer.add_labels(
            data,
            name=f"{image.name} {role}",
            metadata=tag(LayerRecord(role, source=str(image.unique_id))),
            colormap=DirectLabelColormap(color_dict={None: COLOURS[role], 0: "transparent"}),
            opacity=1.0,
            **placed,
        )
        layer.contour = _CONTOUR
        self._viewer.layers.selection = selected
        return layer

    def _earlier(self, role: str, image: Image) -> Labels | None:
        """Return the layer that an earlier training of the image has left."""
        source = str(image.unique_id)
        for layer in self._viewer.layers:
            record = record_of(layer)
            if (
                isinstance(layer, Labels)
                and record
                and (record.role, record.source) == (role, source)
            ):
                return layer
        return None

    def _placed(self, image: Image, labels: LabelImage) -> tuple[LabelImage, dict[str, Any]]:
        """Return labels as a stack of one field, and where that lies: on its own field alone."""
        placed = placement(image)
        stack, axes = field_shape(image)[:-2], len(placed["scale"]) - 2
        place = [int(index) for index in np.unravel_index(self._plane, stack)] if stack else []
        if axes > len(place):  # labels lie in all channels
            place.insert(axes_of(image).index(CHANNEL), 0)
        placed["translate"] = np.add(
            placed["translate"], np.multiply(placed["scale"], [*place, 0, 0])
        )
        return labels.reshape((1,) * axes + labels.shape), placed
