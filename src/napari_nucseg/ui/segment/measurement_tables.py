"""The nuclei's measures, kept with their layer, shown as a table, and as colours of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import AVAILABLE_COLORMAPS, DirectLabelColormap
from napari.utils.colormaps.colormap import LabelColormapBase
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei, doubtful_first
from napari_nucseg.ui.layers import field_shape, plane_of, shown_plane
from napari_nucseg.ui.segment.image_source import drawn_length

_KEY = "nucseg nuclei"
_CLOSE = 4.0
"""Canvas pixels that an image pixel gets at least when a nucleus is gone to."""

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
UNITS = {"area_um2": " µm²", "area_px": " px"}
UNKNOWN = "#808080"
"""Colour of a nucleus without the measure."""


@dataclass(frozen=True)
class Nucleus:
    """A nucleus in the viewer: its field, its label, and its centre in pixels."""

    plane: int
    label: int
    y: float
    x: float


@dataclass(frozen=True)
class Table:
    """The measures of a field's nuclei.

    Attributes
    ----------
    nuclei : Nuclei
        Measurements by name, with one value a nucleus.
    fingerprint : int or None
        Checksum of the labels that were measured; None if some of them are still to be.
    """

    nuclei: Nuclei
    fingerprint: int | None


def keep_tables(layer: Labels, tables: Mapping[int, Table]) -> None:
    """Keep the measures of the fields' nuclei with the layer."""
    layer.metadata = layer.metadata | {_KEY: dict(tables)}


def tables_of(layer: Labels) -> Mapping[int, Table]:
    """Return what is kept with a layer, by the number of the field."""
    tables: Mapping[int, Table] = layer.metadata.get(_KEY, {})
    return tables


def nuclei_of(layer: Labels, plane: int) -> Nuclei:
    """Return the measures of a field; none where there are none."""
    table = tables_of(layer).get(plane)
    return {} if table is None else table.nuclei


def show_table(layer: Labels, plane: int) -> None:
    """Make a field's measures the layer's features, which the status bar shows on hover.

    napari has one table a layer, but labels are numbered anew in every field.
    """
    layer.features = nuclei_of(layer, plane) or {"index": np.zeros(0, dtype=np.int64)}


def joined(layer: Labels, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Put the tables of all fields under one another.

    Parameters
    ----------
    layer : Labels
        Labels layer with a table for each field.
    names : sequence of str
        Names of the fields; their numbers are told where there are none.
    """
    tables = {plane: table.nuclei for plane, table in tables_of(layer).items()}
    if not tables:
        return {}
    fields = [
        np.full(len(table["index"]), names[plane] if names else str(plane))
        for plane, table in sorted(tables.items())
    ]
    shared = [
        column
        for column in next(iter(tables.values()))
        if all(column in table for table in tables.values())
    ]
    rows = {
        column: np.concatenate([table[column] for _, table in sorted(tables.items())])
        for column in shared
    }
    return {"field": np.concatenate(fields), **rows}


def most_doubtful(layer: Labels, plane: int) -> list[Nucleus]:
    """List a field's nuclei by doubt; none where no network told it."""
    table = nuclei_of(layer, plane)
    if "flow_error" not in table:
        return []
    row_of = {int(label): row for row, label in enumerate(table["index"])}
    return [
        Nucleus(
            plane,
            int(label),
            float(table["centroid_y"][row_of[int(label)]]),
            float(table["centroid_x"][row_of[int(label)]]),
        )
        for label in doubtful_first(table)
    ]


def go_to(viewer: ViewerModel, layer: Labels, nucleus: Nucleus) -> None:
    """Select a nucleus, and move the camera to it."""
    stack = np.unravel_index(nucleus.plane, layer.data.shape[:-2]) if layer.ndim > 2 else ()
    place = layer.data_to_world((*map(int, stack), nucleus.y, nucleus.x))
    viewer.layers.selection = {layer}
    layer.selected_label = nucleus.label
    viewer.scene.camera.center = tuple(place[-2:])
    viewer.scene.camera.zoom = max(viewer.scene.camera.zoom, _CLOSE / float(layer.scale[-1]))


@dataclass(frozen=True)
class Range:
    """The values that the darkest and the brightest colour stand for."""

    column: str
    low: float
    high: float

    def __str__(self) -> str:
        unit = UNITS.get(self.column, "")
        return f"{self.low:.3g} (dark) to {self.high:.3g}{unit} (bright)"


class ColourBy:
    """Colours predictions by a measure, and gives them their own colours back.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose Labels layers are coloured.

    Attributes
    ----------
    measure : str
        Measurement that colours the nuclei: one of `COLUMNS`, or `LABEL`.
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


@dataclass(frozen=True)
class Proposal:
    """A diameter in pixels, and what it was measured from."""

    diameter: float
    what: str

    def __str__(self) -> str:
        return f"Diameter {self.diameter:.1f} px: {self.what}."


def propose_diameter(
    viewer: ViewerModel, image: Image | None, prediction: Labels | None
) -> Proposal | None:
    """Measure the diameter of nuclei.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, in which lines may be drawn and labels be selected.
    image : Image or None
        Image layer whose pixels the diameter counts.
    prediction : Labels or None
        Labels that are measured where none are selected.

    Returns
    -------
    Proposal or None
        The length of a drawn line; without one, of the nuclei in the field in sight the median
        diameter of a circle of their area, without those that its border cuts. None without
        either.
    """
    if image is None:
        return None
    drawn = drawn_length(viewer, image)
    if drawn is not None and drawn[0] > 0:
        return Proposal(round(drawn[0], 1), f"the length of the line in {drawn[1]}")
    selected = viewer.layers.selection.active
    labels = selected if isinstance(selected, Labels) else prediction
    if labels is None or field_shape(labels)[-2:] != field_shape(image)[-2:]:
        return None
    field = np.asarray(plane_of(labels.data, shown_plane(viewer.dims.point, labels)))
    areas = _areas_of_whole(field)
    if not len(areas):
        return None
    median = float(np.median(2 * np.sqrt(areas / np.pi)))
    return Proposal(
        round(median, 1), f"the median of the {len(areas)} whole nuclei of {labels.name} in sight"
    )


def _areas_of_whole(field: NDArray[np.integer]) -> NDArray[np.integer]:
    """Count the pixels of the labels that do not touch the border."""
    ids, areas = np.unique(field, return_counts=True)
    border = np.concatenate([field[0], field[-1], field[:, 0], field[:, -1]])
    return areas[(ids > 0) & ~np.isin(ids, border)]
