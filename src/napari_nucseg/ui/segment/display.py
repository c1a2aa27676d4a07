"""How results are seen: over their image, as outlines or colours, without what would cover them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import AVAILABLE_COLORMAPS, DirectLabelColormap
from napari.utils.colormaps.colormap import LabelColormapBase
from qtpy.QtWidgets import QHBoxLayout, QLabel, QWidget

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.ui.layer_fields import itself, shown_plane
from napari_nucseg.ui.layers import OVERLAYS, may_be_truth, record_of, role_of, seen_colours
from napari_nucseg.ui.panel import LayerWatch
from napari_nucseg.ui.segment.measurement_tables import measured_once, nuclei_of, tables_of
from napari_nucseg.ui.widgets import tight

OUTLINES, FILLED = "outlines", "filled"
CONTOURS = {OUTLINES: 2, FILLED: 0}
"""Width of the outlines, in pixels; 0 fills the nuclei. Their colours are the layer's own."""
OPACITIES = {OUTLINES: 1.0, FILLED: 0.7}
"""Outlines hide little of the image, and thin ones that shine through are hardly seen."""
MEASURES = {
    "area": ("area_um2", "area_px"),
    "volume": ("volume_um3", "volume_voxels"),
    "mean intensity": ("intensity_mean",),
    "eccentricity": ("eccentricity",),
    "solidity": ("solidity",),
    "flow error": ("flow_error",),
    "cell probability": ("cellprob_logit",),
}
"""Columns that a measure may stand in; the first that is there counts."""
UNITS = {
    "area_um2": " µm²", "area_px": " px", "volume_um3": " µm³", "volume_voxels": " voxels",
}  # fmt: skip
UNKNOWN = "#808080"
"""Colour of a nucleus without the measure."""
COLOURS = AVAILABLE_COLORMAPS["viridis"]
USUAL = (1, 99)
"""Percentiles of a measure that the darkest and the brightest colour stand for."""
_STOPS = 9


class Foreground:
    """Brings a result to the top, and hides the truth and other predictions of its image for it.

    What was hidden for a result comes back when the result goes. What the user shows again by
    hand stays.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with images and labels.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._layers = viewer.layers
        self._hidden_for: dict[Labels, Labels] = {}
        self._wanted: WeakSet[Labels] = WeakSet()
        self._acting = False
        self._watch = LayerWatch(viewer, Labels, ("visible",), self._on_visible)
        self._layers.events.removed.connect(self._on_removed)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer; what is hidden stays so."""
        self._watch.disconnect_viewer()
        self._layers.events.removed.disconnect(self._on_removed)

    def bring(self, image: Image, result: Labels) -> None:
        """Show a result on top of all layers, and select it."""
        result = itself(result)
        self._wanted.discard(result)
        self._hidden_for.pop(result, None)
        with self._at_work():
            for layer in map(itself, _covering(self._layers, image, result)):
                if layer.visible and layer not in self._wanted:
                    layer.visible = False
                    self._hidden_for[layer] = result
            if not result.visible:  # napari draws all anew
                result.visible = True
        place = self._layers.index(result)
        if place < len(self._layers) - 1:
            self._layers.move(place, len(self._layers))
        self._layers.selection = {result}

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Take what is shown and hidden meanwhile for our own doing."""
        self._acting = True
        try:
            yield
        finally:
            self._acting = False

    def _on_visible(self, layer: Labels) -> None:
        """Notice what the user shows and hides."""
        if self._acting:
            return
        hidden = self._hidden_for.pop(layer, None)
        if hidden is not None and layer.visible:
            self._wanted.add(layer)
        elif not layer.visible:
            self._wanted.discard(layer)

    def _on_removed(self, event: Any) -> None:
        """Bring back what was hidden for a result, or leave that to what the result hid for."""
        gone = itself(event.value)
        above = self._hidden_for.pop(gone, None)
        for layer in [layer for layer, result in self._hidden_for.items() if result is gone]:
            if above is not None:
                self._hidden_for[layer] = above
                continue
            del self._hidden_for[layer]
            if layer in self._layers:
                with self._at_work():
                    layer.visible = True


def _covering(layers: Iterable[Layer], image: Image, result: Labels) -> list[Labels]:
    """List the other labels of a result's image, but for overlays that compare some of them."""
    labels = [layer for layer in layers if isinstance(layer, Labels) and layer != result]
    return [
        layer for layer in labels if role_of(layer) not in OVERLAYS and _is_of(layer, image, result)
    ]


def _is_of(layer: Labels, image: Image, result: Labels) -> bool:
    """Whether labels are of an image: by their record, else if they lie where its result lies."""
    record = record_of(layer)
    if record is not None and record.source:
        return record.source == str(image.unique_id)
    if not may_be_truth(layer, result):
        return False
    if record is not None and record.stems:
        return True
    places = (one.extent.world[:, -2:] for one in (layer, result))
    return bool(np.allclose(*places))


@dataclass(frozen=True)
class Range:
    """The values that the darkest and the brightest colour stand for; some may lie beyond."""

    column: str
    low: float
    high: float


@dataclass(frozen=True)
class _Own:
    """How a layer looked before a measure coloured it."""

    colormap: LabelColormapBase
    contour: int
    opacity: float


class ShowAs:
    """Shows predictions as outlines, filled, or coloured by a measure.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose Labels layers are shown so.

    Attributes
    ----------
    way : str
        One of `CONTOURS`, or the measure that colours the nuclei: one of `MEASURES`.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.way = OUTLINES
        self._viewer = viewer
        self._own: WeakKeyDictionary[Labels, _Own] = WeakKeyDictionary()
        self._seen: WeakSet[Labels] = WeakSet(map(itself, self._measured()))

    def choose(self, way: str) -> None:
        """Show all predictions in another way."""
        self.way = way
        for layer in self._measured():
            self.show(layer)
            if way in CONTOURS:
                layer.contour, layer.opacity = CONTOURS[way], OPACITIES[way]

    def give_back(self) -> None:
        """Give what a measure coloured its own colours back."""
        for layer in self._measured():
            self._restore(layer)

    def show(self, layer: Labels) -> None:
        """Show the field in sight of a prediction, which may be new, or have other measures."""
        if itself(layer) not in self._seen:
            self._seen.add(itself(layer))
            show_first(layer, self.way)
        measured = self.range_of(layer)
        if measured is None:
            self._restore(layer)
            return
        self._own.setdefault(itself(layer), _Own(layer.colormap, layer.contour, layer.opacity))
        nuclei = nuclei_of(layer, shown_plane(self._viewer.dims.point, layer))
        layer.colormap = _colormap(nuclei, measured)
        layer.contour, layer.opacity = 0, 1.0  # no colour shines through

    def range_of(self, layer: Labels) -> Range | None:
        """Return the usual range over all fields of a prediction; None without such a measure."""
        tables = [table.nuclei for table in measured_once(layer).values()]
        for column in MEASURES.get(self.way, ()):
            values = [nuclei[column] for nuclei in tables if column in nuclei]
            known = np.concatenate(values) if values else np.zeros(0)
            known = known[np.isfinite(known)]
            if known.size:
                return Range(column, *map(float, np.percentile(known, USUAL)))
        return None

    def _measured(self) -> list[Labels]:
        layers = self._viewer.layers
        return [one for one in layers if isinstance(one, Labels) and tables_of(one)]

    def _restore(self, layer: Labels) -> None:
        own = self._own.pop(itself(layer), None)
        if own is not None:
            layer.colormap = own.colormap
            layer.contour, layer.opacity = own.contour, own.opacity


def show_first(layer: Labels, way: str = OUTLINES) -> None:
    """Show labels that nobody has seen yet, in colours that are seen on any image."""
    way = way if way in CONTOURS else OUTLINES
    layer.colormap = seen_colours()
    layer.contour, layer.opacity = CONTOURS[way], OPACITIES[way]


def _colormap(nuclei: Nuclei, measured: Range) -> DirectLabelColormap:
    index = nuclei.get("index", np.zeros(0, dtype=np.int64))
    values = nuclei.get(measured.column, np.full(len(index), np.nan)).astype(float)
    known = np.isfinite(values)
    width = measured.high - measured.low
    part = np.clip((values[known] - measured.low) / (width or 1.0), 0, 1)
    colours = COLOURS.map(part) if part.size else ()
    # A background alone would be taken for the default colours
    return DirectLabelColormap(
        color_dict={None: UNKNOWN, 0: "transparent"}
        | dict(zip(map(int, index[known]), colours, strict=True))
    )


class MeasureBar(QWidget):
    """The colours of a measure, between the values that the first and the last stand for."""

    def __init__(self) -> None:
        super().__init__()
        self.low, bar, self.high = QLabel(), QLabel(), QLabel()
        stops = enumerate(COLOURS.map(np.linspace(0, 1, _STOPS))[:, :3] * 255)
        colours = ", ".join(
            f"stop:{number / (_STOPS - 1)} rgb({','.join(str(round(part)) for part in colour)})"
            for number, colour in stops
        )
        bar.setStyleSheet(f"background: qlineargradient(x1:0, y1:0, x2:1, y2:0, {colours})")
        layout = tight(QHBoxLayout(self))
        for widget, stretch in ((self.low, 0), (bar, 1), (self.high, 0)):
            layout.addWidget(widget, stretch)
        low, high = USUAL
        self.setToolTip(
            f"{low} % of the nuclei lie below the first value, and {100 - high} % above the last. "
            "These have the colour at that end."
        )

    def show_range(self, measured: Range) -> None:
        """Name the values at both ends, with their unit."""
        self.low.setText(_in_digits(measured.low))
        self.high.setText(f"{_in_digits(measured.high)}{UNITS.get(measured.column, '')}")


def _in_digits(value: float) -> str:
    """Write a number by three digits that count, and none as a power of ten."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
