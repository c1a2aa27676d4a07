"""The measures of fields and volumes, kept with their layer and shown as a table; the diameter."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.ui.edits import changes_of
from napari_nucseg.ui.layer_fields import count_planes, field_shape, plane_of, shown_plane
from napari_nucseg.ui.segment.image_source import drawn_length

_KEY = "nucseg nuclei"


@dataclass(frozen=True)
class FieldTable:
    """The measures of a field's nuclei, or those of the volume that it is a plane of.

    Attributes
    ----------
    nuclei : Nuclei
        Measurements by name, with one value a nucleus.
    fingerprint : int or None
        Checksum of the field's labels that were measured; None if some are still to be.
    volume : tuple of int
        Planes that were segmented as one volume, this one among them. They share their measures,
        but for planes that were segmented by themselves since. Empty for a field by itself.
    """

    nuclei: Nuclei
    fingerprint: int | None
    volume: tuple[int, ...] = ()

    def number(self, plane: int) -> int:
        """Count the fields or volumes of the stack before the one that a plane is of."""
        if len(self.volume) < 2:
            return plane
        first, step = self.volume[0], self.volume[1] - self.volume[0]
        return first // (step * len(self.volume)) * step + first % step


Tables = Mapping[int, FieldTable]
"""Measures by the number of the field."""


def planes_measured_with(tables: Tables, plane: int) -> tuple[int, ...]:
    """List the planes of the volume that a field is measured with; itself if it is of none."""
    volume = tables[plane].volume
    return tuple(p for p in volume if p in tables and tables[p].volume == volume) or (plane,)


def to_measure_again(tables: Tables, replaced: Container[int]) -> dict[int, FieldTable]:
    """Return tables of planes whose volume loses others that are about to be replaced."""
    volumes = {tables[plane].volume for plane in tables if plane in replaced}
    return {
        plane: replace(table, fingerprint=None)
        for plane, table in tables.items()
        if plane not in replaced and table.volume and table.volume in volumes
    }


def keep_tables(layer: Labels, tables: Tables) -> None:
    """Keep the measures of the fields' nuclei with the layer."""
    layer.metadata = layer.metadata | {_KEY: dict(tables)}


def tables_of(layer: Labels) -> Tables:
    """Return what is kept with a layer, by the number of the field."""
    tables: Tables = layer.metadata.get(_KEY, {})
    return tables


def measured_once(layer: Labels) -> dict[int, FieldTable]:
    """Return the table of each field, and that of each volume at its first plane alone."""
    tables = tables_of(layer)
    return {p: tables[p] for p in sorted(tables) if planes_measured_with(tables, p)[0] == p}


def corrected_in(layer: Labels, plane: int) -> set[int]:
    """List the nuclei that a hand added, changed or removed in a field, or in its volume."""
    parts = planes_measured_with(tables_of(layer), plane)
    changes = [changes_of(layer, part) for part in parts]
    return {label for one in changes for label in (*one.added, *one.changed, *one.removed)}


def nuclei_of(layer: Labels, plane: int) -> Nuclei:
    """Return the measures of a field, or of the volume that it is a plane of; else none."""
    table = tables_of(layer).get(plane)
    return {} if table is None else table.nuclei


def show_table(layer: Labels, plane: int) -> None:
    """Make a field's measures the layer's features, which the status bar shows on hover.

    napari has one table a layer, but labels are numbered anew in every field.
    """
    layer.features = nuclei_of(layer, plane) or {"index": np.zeros(0, dtype=np.int64)}


def joined(layer: Labels, names: Sequence[str]) -> dict[str, list[Any]]:
    """Put the tables of all fields and volumes under one another.

    Parameters
    ----------
    layer : Labels
        Labels layer with a table for each field.
    names : sequence of str
        Names of the fields or volumes, or of files of several fields; fields are numbered where
        there are none.

    Returns
    -------
    dict of str to list
        ``field``, and the columns of all tables, with empty cells where one lacks them.
    """
    tables = measured_once(layer)
    named = [_with_names(layer, names, plane, table) for plane, table in tables.items()]
    columns = dict.fromkeys(column for one in named for column in one)
    empty = [[""] * len(one["index"]) for one in named]
    return {
        column: [
            cell
            for one, blank in zip(named, empty, strict=True)
            for cell in (np.asarray(one[column]).tolist() if column in one else blank)
        ]
        for column in columns
    }


def _with_names(layer: Labels, names: Sequence[str], plane: int, table: FieldTable) -> Nuclei:
    """Say before the measures which field or volume they are of; of several in a file the plane."""
    count, number = len(table.nuclei["index"]), table.number(plane)
    fields = count_planes(layer) // max(1, len(table.volume))
    if not names or fields % len(names):
        return {"field": np.full(count, str(number)), **table.nuclei}
    file, place = divmod(number, fields // len(names))
    told: Nuclei = {"field": np.full(count, names[file]), "index": table.nuclei["index"]}
    if fields > len(names):
        told["plane"] = np.full(count, place)
    return told | table.nuclei


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
