"""The nuclei's measures, kept with their layer and shown as a table; and their diameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei

_KEY = "nucseg nuclei"


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
