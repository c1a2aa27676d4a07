"""The wells of a plate: the table of them that a run writes, and what shows it reads again."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.score_records import Record, defined
from napari_nucseg.batch.results_folder import WELLS
from napari_nucseg.batch.saved_results import open_results
from napari_nucseg.io.fields import Field, place_of
from napari_nucseg.io.writers import write_table
from napari_nucseg.metrics.counts import ObjectCounts

_AREAS = ("area_um2", "area_px")
_NAMES = ("well", "row")
"""Columns that hold no numbers."""


@dataclass(frozen=True)
class FoundInField:
    """What a run found in a field of a well.

    Attributes
    ----------
    field : Field
        The field.
    area : str
        What areas are: area_um2 or area_px.
    areas : ndarray, shape (nuclei,)
        Area of each nucleus that was found.
    is_doubtful : bool
        Whether there are signs that the model does not suit the field.
    counts : ObjectCounts or None
        Nuclei by how they match the ground truth, where there is one.
    """

    field: Field
    area: str
    areas: NDArray[Any]
    is_doubtful: bool
    counts: ObjectCounts | None = None

    @classmethod
    def of(
        cls,
        field: Field,
        nuclei: Mapping[str, Any],
        is_doubtful: bool,
        counts: ObjectCounts | None = None,
    ) -> FoundInField:
        """Take what is needed of a table of nuclei; of objects of both sides the predicted ones."""
        area = next(name for name in _AREAS if nuclei.get(name) is not None)
        areas = np.asarray(nuclei[area], dtype=np.float64)
        if "side" in nuclei:
            areas = areas[np.asarray(nuclei["side"]) == "predicted"]
        return cls(field, area, areas, is_doubtful, counts)


def write_wells(path: Path, found: Sequence[FoundInField]) -> None:
    """Write a row a well, in the order of the plate; nothing where no well is known."""
    wells: dict[str, list[FoundInField]] = {}
    for one in found:
        if one.field.well is not None:
            wells.setdefault(one.field.well, []).append(one)
    if wells:
        order = sorted(wells, key=lambda well: (place_of(well) or (math.inf, 0), well))
        write_table(path, [_row(wells[well]) for well in order])


def _row(found: Sequence[FoundInField]) -> Record:
    """Return the row of a well; numbers of nuclei are sums over its fields."""
    field, areas = found[0].field, np.concatenate([one.areas for one in found])
    counts = [one.counts for one in found if one.counts is not None]
    scores: Record = {"nuclei": len(areas)}
    if counts:
        total = reduce(add, counts)
        scores = {"nuclei": total.tp + total.fn, "predicted": len(areas)}
        scores |= {"object_f1": defined(total.f1)}
    return {
        "well": field.well,
        "row": field.row,
        "column": field.column,
        "fields": len(found),
        **scores,
        f"median_{found[0].area}": float(np.median(areas)) if len(areas) else None,
        "doubtful_fields": sum(one.is_doubtful for one in found),
    }


def read_wells(folder: Path) -> list[Record]:
    """Read the table of wells of a run; empty if it has none.

    Raises
    ------
    ValueError
        If the file is no such table.
    """
    path = folder / WELLS
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: _value(name, cell) for name, cell in row.items()} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise ValueError(
            f"{path}: no table of wells as a run writes it ({error}); run the same command again"
        ) from error


def _value(name: str, cell: str) -> str | float:
    if name in _NAMES:
        return cell
    return float(cell) if cell else math.nan


@dataclass(frozen=True)
class PlateResults:
    """What a run of one model or several found in the wells of a plate.

    Attributes
    ----------
    wells : mapping
        Name of a model to its table of wells.
    stems : mapping
        A well to the stems of its fields, in the order of the dataset.
    """

    wells: Mapping[str, Sequence[Record]]
    stems: Mapping[str, Sequence[str]]


def open_plate_results(path: Path) -> PlateResults:
    """Open what a folder of results tells of wells; both are empty where that is nothing.

    Raises
    ------
    ValueError
        If there are no results, or they cannot be read.
    """
    runs, stems = open_results(path), dict[str, list[str]]()
    for field in runs[0].dataset.fields:
        if field.well is not None:
            stems.setdefault(field.well, []).append(field.stem)
    tables = {run.model: read_wells(run.folder.path) for run in runs}
    return PlateResults({model: rows for model, rows in tables.items() if rows}, stems)
