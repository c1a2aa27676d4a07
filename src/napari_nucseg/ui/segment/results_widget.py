"""What can be done with a result when there is no ground truth: look at doubtful nuclei, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, Container, PushButton
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.analysis.measurements import describe
from napari_nucseg.io.writers import write_columns
from napari_nucseg.ui.edits import changes_of, count_corrected
from napari_nucseg.ui.layers import record_of, shown_plane
from napari_nucseg.ui.params_form import text_line
from napari_nucseg.ui.segment.measurement_tables import (
    COLUMNS,
    LABEL,
    ColourBy,
    go_to,
    joined,
    most_doubtful,
    nuclei_of,
    tables_of,
)
from napari_nucseg.ui.segment.result_cache import FieldResult, Result
from napari_nucseg.ui.segment.selection import Selection
from napari_nucseg.wording import counted, say_corrected

_NO_NUCLEUS = "There is no nucleus in this field."
_NO_DOUBT = (
    "These labels have no flow errors, so doubt is not known. Segment this field with a network."
)


class ResultsWidget(Container[Any]):
    """Buttons that act on the prediction of the segment panel.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the labels are shown in.
    chosen : Selection
        Image and model, whose labels they act on.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(self, viewer: ViewerModel, chosen: Selection, tell: Callable[[str], None]) -> None:
        self.doubtful = PushButton(
            text="Most doubtful nucleus",
            tooltip="Go to the nucleus of this field whose shape fits the network's flows worst. "
            "Press again for the next.",
        )
        self.save = PushButton(
            text="Save measurements...",
            tooltip="Save area, position, intensity, shape and doubt of every nucleus as CSV.",
        )
        self.colour_by = ComboBox(
            label="Colour by",
            choices=[LABEL, *COLUMNS],
            tooltip="Colour the nuclei by a measurement, from dark (low) to bright (high). Choose "
            "label for their own colours. Nuclei without a value are grey.",
        )
        self.range = text_line()
        buttons = Container(widgets=[self.doubtful, self.save], layout="horizontal", labels=False)
        colours = Container(widgets=[self.colour_by])
        for row in (buttons, colours):
            row.margins = (0, 0, 0, 0)
        super().__init__(widgets=[buttons, colours, self.range], labels=False)
        self.margins = (0, 0, 0, 0)
        self._viewer = viewer
        self._chosen = chosen
        self._tell = tell
        self._colouring = ColourBy(viewer)
        self._walked: tuple[str, int, int] = ("", 0, 0)
        self.range.visible = False
        self.doubtful.changed.connect(self.go_to_doubtful)
        self.save.changed.connect(self.save_measures)
        self.colour_by.changed.connect(self.choose_colours)

    def disconnect_viewer(self) -> None:
        """Give the labels their own colours back."""
        self._colouring.choose(LABEL)

    def begin_anew(self) -> None:
        """Start with the most doubtful nucleus again, because there are other labels now."""
        self._walked = ("", 0, 0)

    def choose_colours(self, measure: str) -> None:
        """Colour the nuclei by a measure."""
        self._colouring.choose(measure)
        self.show_range()

    def recolour(self, layer: Labels) -> None:
        """Let a prediction's colours follow its measures."""
        self._colouring.show(layer)
        self.show_range()

    def show_range(self) -> None:
        """Say what the colours stand for."""
        layer = self._chosen.prediction
        found = None if layer is None else self._colouring.range_of(layer)
        self.range.visible = self._colouring.measure != LABEL
        self.range.value = (
            f"{found}" if found else (f"There is no {self._colouring.measure} for this field.")
        )

    def describe(self, labels: Labels, result: Result, ran: bool) -> str:
        """Say in a line what was made.

        Parameters
        ----------
        labels : Labels
            Labels layer that shows the result.
        result : Result
            The new labels, with their measurements.
        ran : bool
            Whether a network ran for it.
        """
        if result.is_volume:
            return _describe_volume(result)
        count = sum(len(nuclei_of(labels, plane)["index"]) for plane in result.planes)
        where = f" in {len(result.planes)} fields" if len(result.planes) > 1 else ""
        if ran and result.made[0].key.box is not None:
            count = sum(_count_inside(made) for made in result.made)
            where = " in the rectangle"
        took = f" in {result.seconds:.2f} s" if ran else ""
        size = self._overview()
        nuclei = counted(count, "nucleus")
        about = f"{nuclei}{where}{took}{', ' if size else ''}{size}{_estimate(result)}."
        return f"{about} Sliders now change this result." if ran and result.kept else about

    def describe_field(self) -> str:
        """Say in a line what is known of the field in sight; nothing without any labels."""
        layer = self._chosen.prediction
        if layer is None:
            return ""
        table = tables_of(layer).get(self._plane(layer))
        if table is None:
            return "This field is not segmented yet. Press Segment."
        size = self._overview()
        count = len(table.nuclei["index"])
        corrected = say_corrected(changes_of(layer, self._plane(layer)).nuclei)
        told = (f"{counted(count, 'nucleus')} in this field", size, corrected)
        return f"{', '.join(filter(None, told))}."

    def _overview(self) -> str:
        """Describe the field in sight: how large its nuclei are."""
        layer = self._chosen.prediction
        nuclei = {} if layer is None else nuclei_of(layer, self._plane(layer))
        if not nuclei:
            return ""
        short = describe(nuclei)
        if short.median_area_px is None:
            return ""
        if short.median_area_um2 is None:
            return f"median area {short.median_area_px:.0f} px"
        return f"median area {short.median_area_um2:.1f} µm²"

    def go_to_doubtful(self) -> None:
        """Go to the next nucleus of the field in sight, the most doubtful first."""
        layer = self._chosen.prediction
        nuclei = [] if layer is None else most_doubtful(layer, self._plane(layer))
        if layer is None or not nuclei:
            table = None if layer is None else tables_of(layer).get(self._plane(layer))
            is_empty = table is not None and not len(table.nuclei["index"])
            self._tell(_NO_NUCLEUS if is_empty else _NO_DOUBT)
            return
        place = str(layer.unique_id), self._plane(layer)
        rank = self._walked[2] if self._walked[:2] == place else 0
        rank = rank if rank < len(nuclei) else 0
        self._walked = (*place, rank + 1)
        go_to(self._viewer, layer, nuclei[rank])
        self._tell(
            f"Nucleus {nuclei[rank].label}: number {rank + 1} of {len(nuclei)}, the most "
            "doubtful first."
        )

    def save_measures(self) -> None:
        """Ask for a file, and write the measures of all fields to it."""
        layer = self._chosen.prediction
        columns = {} if layer is None else joined(layer, self._names(layer))
        if not columns or layer is None:
            self._tell("There are no measurements yet. Press Segment.")
            return
        suggestion = f"{layer.name} nuclei.csv"
        name, _ = QFileDialog.getSaveFileName(self.native, "Save measurements", suggestion, "*.csv")
        if name:
            columns |= {"corrected_by_hand": _corrected_rows(layer)}
            write_columns(Path(name), columns)
            told = f"Measurements of {counted(len(columns['field']), 'nucleus')} are in {name}"
            corrected = say_corrected(count_corrected(layer))
            self._tell(f"{', '.join(filter(None, (told, corrected)))}.")

    def _plane(self, layer: Labels) -> int:
        return shown_plane(self._viewer.dims.point, layer)

    def _names(self, layer: Labels) -> tuple[str, ...]:
        record = record_of(layer)
        return record.stems if record is not None else ()


def _corrected_rows(layer: Labels) -> NDArray[np.int64]:
    """Tell of each row of the measures whether its nucleus was added or changed by hand."""
    rows = []
    for plane, table in sorted(tables_of(layer).items()):
        changes = changes_of(layer, plane)
        rows.append(np.isin(table.nuclei["index"], [*changes.added, *changes.changed]))
    return np.concatenate(rows).astype(np.int64)


def _count_inside(made: FieldResult) -> int:
    """Count the nuclei whose centre lies in the box that was segmented, not in its context."""
    box, context = made.key.box, made.key.segmented
    if box is None or context is None:
        return len(made.nuclei["index"])
    y = made.nuclei["centroid_y"] + context.top
    x = made.nuclei["centroid_x"] + context.left
    within = (y >= box.top) & (y < box.bottom) & (x >= box.left) & (x < box.right)
    return int(within.sum())


def _describe_volume(result: Result) -> str:
    """Say in a line what was made of a volume, whose nuclei lie in several planes."""
    planes = [made.nuclei for made in result.made]
    index = np.concatenate([nuclei["index"] for nuclei in planes])
    areas = np.concatenate([nuclei["area_px"] for nuclei in planes])
    numbers, which = np.unique(index, return_inverse=True)
    nuclei = counted(len(numbers), "nucleus")
    about = f"{nuclei} in a volume of {len(planes)} planes in {result.seconds:.2f} s"
    if len(numbers):
        about = f"{about}, median volume {np.median(np.bincount(which, areas)):.0f} voxels"
    return f"{about}{_estimate(result)}."


def _estimate(result: Result) -> str:
    """Say what diameter was found in the image, if that decided anything."""
    found = result.estimate
    return "" if found is None else f", diameter {found:.0f} px (estimated)"
