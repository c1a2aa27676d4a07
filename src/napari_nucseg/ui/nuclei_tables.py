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
from napari_nucseg.ui.sources import Box

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


def keep_table(layer: Labels, plane: int, nuclei: Nuclei) -> None:
    """Keep the measures of a field's nuclei with the layer."""
    layer.metadata = layer.metadata | {_KEY: {**tables_of(layer), plane: nuclei}}


def tables_of(layer: Labels) -> Mapping[int, Nuclei]:
    """Return what is kept with a layer, by the number of the field."""
    tables: Mapping[int, Nuclei] = layer.metadata.get(_KEY, {})
    return tables


def show_table(layer: Labels, plane: int) -> None:
    """Make a field's measures the layer's features, which the status bar shows on hover.

    napari has one table a layer, but labels are numbered anew in every field.
    """
    layer.features = tables_of(layer).get(plane, {"index": np.zeros(0, dtype=np.int64)})


def moved(nuclei: Nuclei, by: int, box: Box) -> Nuclei:
    """Return the measures of nuclei in a box as they are in the field: other numbers and places."""
    return nuclei | {
        "index": nuclei["index"] + by,
        "centroid_y": nuclei["centroid_y"] + box[0].start,
        "centroid_x": nuclei["centroid_x"] + box[1].start,
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
    tables = tables_of(layer)
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
    table = tables_of(layer).get(plane, {})
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
