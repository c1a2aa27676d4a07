"""The nuclei's measures, kept with their layer and shown as a table; and their diameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.ui.layer_fields import field_shape, plane_of, shown_plane
from napari_nucseg.ui.segment.image_source import drawn_length

_KEY = "nucseg nuclei"


@dataclass(frozen=True)
class FieldTable:
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


def keep_tables(layer: Labels, tables: Mapping[int, FieldTable]) -> None:
    """Keep the measures of the fields' nuclei with the layer."""
    layer.metadata = layer.metadata | {_KEY: dict(tables)}


def tables_of(layer: Labels) -> Mapping[int, FieldTable]:
    """Return what is kept with a layer, by the number of the field."""
    tables: Mapping[int, FieldTable] = layer.metadata.get(_KEY, {})
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
