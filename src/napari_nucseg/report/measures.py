"""What was found in images without ground truth: measures of fields as tables, plots and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.report.page import render
from napari_nucseg.report.page_plots import Plot, as_plot, new_figure
from napari_nucseg.report.plates import plot_plates
from napari_nucseg.report.plots import AREA, COUNT, INTENSITY, Theme, draw_measure

HEADER = "Field", "Nuclei", "Median area", "Median diameter", "Mean intensity", "At the border"
"""Columns of the table of fields, without units; see `Measured.cells`."""


@dataclass(frozen=True)
class Measured:
    """What one model found in images that have no ground truth.

    Attributes
    ----------
    name : str
        Name of the model.
    nuclei : mapping
        Name of a field to the measures of its nuclei, in the order of the dataset.
    made, details : sequence of str
        Sentences on how the labels were made: paragraphs, and smaller lines.
    failed : mapping
        Name of a field to its error.
    suspect : mapping
        Name of a field to the signs that the model does not suit it.
    wells : sequence of mapping
        The table of wells, where these are known; see `plate_maps`.
    """

    name: str
    nuclei: Mapping[str, Nuclei] = field(repr=False)
    made: Sequence[str] = ()
    details: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    suspect: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wells: Sequence[Mapping[str, Any]] = ()

    @property
    def count(self) -> int:
        """Number of nuclei of all fields."""
        return sum(len(nuclei["index"]) for nuclei in self.nuclei.values())

    @property
    def has_scale(self) -> bool:
        """Whether areas are known in micrometres."""
        return all("area_um2" in nuclei for nuclei in self.nuclei.values())

    @property
    def header(self) -> tuple[str, ...]:
        """Columns of the table of fields, with their units."""
        area, length = ("µm²", "µm") if self.has_scale else ("px", "px")
        units = ("", "", f" ({area})", f" ({length})", "", "")
        return tuple(f"{title}{unit}" for title, unit in zip(HEADER, units, strict=True))

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """Table of the fields, the header first."""
        return [self.header, *(self._row(name, one) for name, one in self.nuclei.items())]

    @property
    def total(self) -> tuple[str, ...]:
        """All nuclei of all fields in a row of such a table."""
        return self._row(self.name, _joined(list(self.nuclei.values())))

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return one value a nucleus, or a field: of `AREA`, `COUNT` or `INTENSITY`."""
        tables = list(self.nuclei.values())
        if measure == COUNT:
            return np.array([len(one["index"]) for one in tables], dtype=np.float64)
        column = "intensity_mean" if measure == INTENSITY else self._area
        return np.asarray(_joined(tables)[column], dtype=np.float64)

    @property
    def _area(self) -> str:
        return "area_um2" if self.has_scale else "area_px"

    def _row(self, name: str, nuclei: Nuclei) -> tuple[str, ...]:
        area = nuclei[self._area]
        at_border = f"{int(np.count_nonzero(nuclei['touches_border']))}"
        if not len(area):
            return name, "0", "empty", "empty", "empty", at_border
        median, usual = float(np.median(area)), float(np.mean(nuclei["intensity_mean"]))
        diameter = float(np.sqrt(median * 4 / np.pi))
        size = f"{median:.1f}" if self.has_scale and median < 100 else f"{median:.0f}"
        told = size, f"{diameter:.1f}", f"{usual:.4g}"
        return name, f"{len(area):,}", *told, at_border


def _joined(tables: Sequence[Nuclei]) -> Nuclei:
    """Put the measures of fields under one another."""
    return {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}


def field_record(nuclei: Nuclei) -> dict[str, Any]:
    """Return the measures of a field as columns of a file; None where there is no nucleus."""
    record: dict[str, Any] = {"nuclei": len(nuclei["index"])}
    for name in ("area_px", "area_um2"):
        if name in nuclei:
            record[f"median_{name}"] = _if_any(np.median, nuclei[name])
    area = record["median_area_px"]
    record["median_diameter_px"] = None if area is None else float(np.sqrt(area * 4 / np.pi))
    record["mean_intensity"] = _if_any(np.mean, nuclei["intensity_mean"])
    record["touching_border"] = int(np.count_nonzero(nuclei["touches_border"]))
    return record


def _if_any(reduce: Any, values: NDArray[Any]) -> float | None:
    return float(reduce(values)) if len(values) else None


def label_of(measure: str, has_scale: bool) -> str:
    """Name a measure with its unit, for the axis of a plot."""
    if measure == AREA:
        return f"{AREA} ({'µm²' if has_scale else 'px'})"
    return f"{INTENSITY} (as in the image)" if measure == INTENSITY else COUNT


@dataclass(frozen=True)
class MeasuredPage:
    """A report on models that were run without ground truth, as its template takes it.

    Attributes
    ----------
    title : str
        Heading: which models, and what they were run on.
    fields : int
        Number of fields, those that failed included.
    sections : sequence of Measured
        What each model found.
    results : str
        Where everything else was written.
    command : str
        Command line that repeats the run; empty if there is none.
    """

    title: str
    fields: int
    sections: Sequence[Measured]
    results: str = ""
    command: str = ""

    @property
    def overview(self) -> list[tuple[str, ...]]:
        """A row a model, of all nuclei of all fields; the header first."""
        others = self.sections[0].header[1:]
        return [("Model", *others), *(one.total for one in self.sections)]


def write_measures(path: Path, page: MeasuredPage) -> None:
    """Write a report of measures as one HTML file that needs no network."""
    plots = list(_plots(page.sections))
    maps = [plot for one in page.sections for plot in plot_plates(one.name, one.wells)]
    render(path, "measures.html.jinja", page=page, plots=plots, maps=maps)


def _plots(sections: Sequence[Measured]) -> Iterator[Plot]:
    has_scale = all(one.has_scale for one in sections)
    for measure in (AREA, INTENSITY, COUNT):
        figure, axes = new_figure(3.5, 3.2)
        values = {one.name: one.values(measure) for one in sections}
        draw_measure(axes, values, label_of(measure, has_scale), Theme())
        rows = [(name, value) for name, mine in values.items() for value in mine.tolist()]
        yield as_plot(measure.lower(), figure, [("model", label_of(measure, has_scale)), *rows])
