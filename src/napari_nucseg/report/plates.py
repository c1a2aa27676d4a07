"""Maps of plates: a value of each well as a colour, in reports and in the viewer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.analysis.score_records import defined
from napari_nucseg.io.fields import place_of, row_name
from napari_nucseg.report.page_plots import Plot, as_plot, new_figure
from napari_nucseg.report.plots import Theme, as_label, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {
    "predicted": "Nuclei found in a well",
    "nuclei": "Nuclei of a well",
    "median_area_um2": "Median area (µm²)",
    "median_area_px": "Median area (px)",
    "object_f1": "F1 of a well",
    "doubtful_fields": "Doubtful fields of a well",
}
"""Columns of ``wells.csv`` that maps show, and what these are called."""
_PLATES = ((2, 3), (4, 6), (8, 12), (16, 24), (32, 48))
"""Rows and columns of the plates that there are: of 6, 24, 96, 384 and 1536 wells."""


@dataclass(frozen=True)
class PlateMap:
    """Values of the wells of a plate.

    Attributes
    ----------
    values : ndarray of float64, shape (rows, columns)
        A value a well; NaN where there is none.
    wells : mapping
        A well, such as B03, to its value.
    """

    values: NDArray[np.float64]
    wells: Mapping[str, float]

    def well_at(self, x: float, y: float) -> str | None:
        """Return the well at a point of the map, as it is drawn; None where there is none."""
        row, column = round(y) + 1, round(x) + 1
        known = {place_of(well): well for well in self.wells}
        return known.get((row, column))

    def corner_of(self, well: str) -> tuple[float, float] | None:
        """Return the upper left corner (x, y) of a well; None if there is no such well here."""
        place = place_of(well) if well in self.wells else None
        return None if place is None else (place[1] - 1.5, place[0] - 1.5)


def plate_maps(rows: Sequence[Mapping[str, Any]]) -> dict[str, PlateMap]:
    """Return a map for each value that is known of the wells of one plate, by its title.

    Parameters
    ----------
    rows : sequence of mapping
        The wells, as `batch.wells.read_wells` reads them. There are maps of several wells alone,
        whose names are those of a plate's; and of doubtful fields only if there are any.
    """
    found = {}
    for column, title in TITLES.items():
        if column == "nuclei" and TITLES["predicted"] in found:
            continue  # those of the ground truth
        wells = {str(row["well"]): float(row[column]) for row in rows if column in row}
        values = _grid(wells)
        if values is None or (column == "doubtful_fields" and not any(wells.values())):
            continue
        found[title] = PlateMap(values, wells)
    return found


def _grid(wells: Mapping[str, float]) -> NDArray[np.float64] | None:
    """Place values of wells as on the smallest plate that has them all."""
    at = {place: value for well, value in wells.items() if (place := place_of(well))}
    sizes = [one for one in _PLATES if all(r <= one[0] and c <= one[1] for r, c in at)]
    if not (1 < len(at) == len(wells) and sizes and np.isfinite(list(at.values())).any()):
        return None
    grid = np.full(sizes[0], math.nan)
    for (row, column), value in at.items():
        grid[row - 1, column - 1] = value
    return grid


def draw_plate(axes: Axes, plate: PlateMap, title: str, theme: Theme) -> None:
    """Draw a map of a plate into empty axes: rows from A downwards, columns from 1."""
    from matplotlib.ticker import MaxNLocator

    known = plate.values[np.isfinite(plate.values)]
    ticks = MaxNLocator(6, integer=bool((known == np.round(known)).all()))
    step = 1 if plate.values.shape[1] < 24 else 2
    drawn = axes.imshow(plate.values, cmap="viridis")
    scale: Any = axes.figure
    bar = scale.colorbar(drawn, ax=axes, shrink=0.8, ticks=ticks)
    bar.ax.tick_params(colors=theme.text, labelsize=8)
    bar.outline.set_edgecolor(theme.faint)
    rows, columns = (range(1, count + 1, step) for count in plate.values.shape)
    axes.set_xticks([n - 1 for n in columns], map(str, columns))
    axes.set_yticks([n - 1 for n in rows], map(row_name, rows))
    axes.set_title(as_label(title))
    dress(axes, theme)


def plot_plates(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Plot]:
    """Draw what is known of the wells of a plate, a plot a value; none where there is no plate.

    Parameters
    ----------
    name : str
        Name of the model, which stands before that of the value.
    rows : sequence of mapping
        The wells, as for `plate_maps`.
    """
    for title, plate in plate_maps(rows).items():
        figure, axes = new_figure(5.0, 3.4)
        axes.grid(visible=False)
        draw_plate(axes, plate, f"{name}: {title}", Theme())
        told = ((well, defined(value)) for well, value in plate.wells.items())
        yield as_plot(f"{name}: {title}", figure, [("well", "value"), *told])
