"""The nuclei's measures, kept with their layer and shown for the field in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.core.measuring import Nuclei, doubtful_first
from napari_nucseg.ui.segment.sources import Box

_KEY = "nucseg nuclei"
_CLOSE = 4.0
"""Canvas pixels that an image pixel gets at least when a nucleus is gone to."""


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
        One row a nucleus.
    fingerprint : int or None
        Of the labels that were measured; None if some of them are still to be.
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


def moved(nuclei: Nuclei, by: int, box: Box) -> Nuclei:
    """Return the measures of nuclei in a box as they are in the field: other numbers and places."""
    return nuclei | {
        "index": nuclei["index"] + by,
        "centroid_y": nuclei["centroid_y"] + box.top,
        "centroid_x": nuclei["centroid_x"] + box.left,
    }


def merged(nuclei: Nuclei, earlier: Nuclei | None, field: LabelImage) -> Nuclei:
    """Add the earlier measures of a field's nuclei that are still there, but for their edges."""
    if earlier is None or set(earlier) != set(nuclei):
        return nuclei
    there = np.isin(earlier["index"], np.setdiff1d(field, nuclei["index"]))
    return {name: np.concatenate([earlier[name][there], nuclei[name]]) for name in nuclei}


def joined(layer: Labels, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Put the tables of all fields under one another.

    Parameters
    ----------
    layer : Labels
        With tables.
    names : sequence of str
        Of the fields; their numbers where there are none.
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
