"""Colouring labels by a measure of their nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import AVAILABLE_COLORMAPS, DirectLabelColormap
from napari.utils.colormaps.colormap import LabelColormapBase

from napari_nucseg.core.measuring import Nuclei
from napari_nucseg.ui.layers import shown_plane
from napari_nucseg.ui.segment.nuclei_tables import nuclei_of, tables_of

LABEL = "label"
"""Stands for the layer's own colours."""
COLUMNS = {
    "area": ("area_um2", "area_px"),
    "mean intensity": ("intensity_mean",),
    "eccentricity": ("eccentricity",),
    "solidity": ("solidity",),
    "flow error": ("flow_error",),
    "cell probability": ("cellprob_logit",),
}
"""Columns that a measure may stand in; the first that is there counts."""
UNITS = {"area_um2": " um2", "area_px": " px"}
UNKNOWN = "#808080"
"""Colour of a nucleus without the measure."""


@dataclass(frozen=True)
class Range:
    """The values that the darkest and the brightest colour stand for."""

    column: str
    low: float
    high: float

    def __str__(self) -> str:
        unit = UNITS.get(self.column, "")
        return f"{self.low:.3g} (dark) to {self.high:.3g}{unit} (bright)"


class Colouring:
    """Colours predictions by a measure, and gives them their own colours back.

    Parameters
    ----------
    viewer : ViewerModel
        Where they are.

    Attributes
    ----------
    measure : str
        One of `COLUMNS`, or `LABEL`.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.measure = LABEL
        self._viewer = viewer
        self._own: WeakKeyDictionary[Labels, LabelColormapBase] = WeakKeyDictionary()

    def choose(self, measure: str) -> None:
        """Colour all predictions by another measure."""
        self.measure = measure
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and tables_of(layer):
                self.show(layer)

    def show(self, layer: Labels) -> None:
        """Colour the field in sight of a prediction, whose measures may be others now."""
        measured = self.range_of(layer)
        if measured is None:
            own = self._own.pop(layer, None)
            if own is not None:
                layer.colormap = own
            return
        self._own.setdefault(layer, layer.colormap)
        nuclei = nuclei_of(layer, shown_plane(self._viewer.dims.point, layer))
        layer.colormap = _colormap(nuclei, measured)

    def range_of(self, layer: Labels) -> Range | None:
        """Return the range over all fields of a prediction; None if it has no such measure."""
        tables = [table.nuclei for table in tables_of(layer).values()]
        for column in COLUMNS.get(self.measure, ()):
            values = [nuclei[column] for nuclei in tables if column in nuclei]
            known = np.concatenate(values) if values else np.zeros(0)
            known = known[np.isfinite(known)]
            if known.size:
                return Range(column, float(known.min()), float(known.max()))
        return None


def _colormap(nuclei: Nuclei, measured: Range) -> DirectLabelColormap:
    index = nuclei.get("index", np.zeros(0, dtype=np.int64))
    values = nuclei.get(measured.column, np.full(len(index), np.nan)).astype(float)
    known = np.isfinite(values)
    width = measured.high - measured.low
    part = (values[known] - measured.low) / (width or 1.0)
    colours = AVAILABLE_COLORMAPS["viridis"].map(part) if part.size else ()
    # A background alone would be taken for the default colours
    return DirectLabelColormap(
        color_dict={None: UNKNOWN, 0: "transparent"}
        | dict(zip(map(int, index[known]), colours, strict=True))
    )
