"""What can be done with a result when there is no ground truth: look at doubtful nuclei, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui.widgets import Container, PushButton
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.core.measuring import describe
from napari_nucseg.runs.saving import write_columns
from napari_nucseg.ui.layers import record_of, shown_plane
from napari_nucseg.ui.nuclei_tables import go_to, joined, most_doubtful, show_table, tables_of


class ResultBox(Container[Any]):
    """Buttons that act on the prediction of the segment panel.

    Parameters
    ----------
    viewer : ViewerModel
        Where it is shown.
    prediction : callable
        Returns the labels that the panel made of its image, or None.
    tell : callable
        Shows a line of text.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        prediction: Callable[[], Labels | None],
        tell: Callable[[str], None],
    ) -> None:
        self.doubtful = PushButton(
            text="Most doubtful nucleus",
            tooltip="Go to the nucleus of this field whose shape fits the network's flows least; "
            "press again for the next.",
        )
        self.save = PushButton(
            text="Save measures...",
            tooltip="Write area, place, intensity, shape and doubt of every nucleus as CSV.",
        )
        super().__init__(widgets=[self.doubtful, self.save], layout="horizontal", labels=False)
        self.margins = (0, 0, 0, 0)
        self._viewer = viewer
        self._prediction = prediction
        self._tell = tell
        self._walked: tuple[int, int] = (-1, 0)
        self.doubtful.changed.connect(self.go_to_doubtful)
        self.save.changed.connect(self.save_measures)
        viewer.dims.events.current_step.connect(self._show_field)

    def disconnect_viewer(self) -> None:
        """Disconnect from the events of the viewer."""
        self._viewer.dims.events.current_step.disconnect(self._show_field)

    def begin_anew(self) -> None:
        """Start with the most doubtful nucleus again, because there are other labels now."""
        self._walked = (-1, 0)

    def overview(self) -> str:
        """Describe the field in sight: how many nuclei, and how large."""
        layer = self._prediction()
        table = None if layer is None else tables_of(layer).get(self._plane(layer))
        if not table:
            return ""
        short = describe(table)
        if short.median_area_px is None:
            return ""
        if short.median_area_um2 is None:
            return f"median area {short.median_area_px:.0f} px"
        return f"median area {short.median_area_um2:.1f} um2"

    def go_to_doubtful(self) -> None:
        """Go to the next nucleus of the field in sight, the most doubtful first."""
        layer = self._prediction()
        plane = -1 if layer is None else self._plane(layer)
        nuclei = [] if layer is None else most_doubtful(layer, plane)
        if layer is None or not nuclei:
            self._tell("No network told its doubt here: press Segment.")
            return
        before, rank = self._walked
        rank = rank if before == plane and rank < len(nuclei) else 0
        self._walked = (plane, rank + 1)
        go_to(self._viewer, layer, nuclei[rank])
        self._tell(f"Nucleus {nuclei[rank].label}: number {rank + 1} of {len(nuclei)} by doubt.")

    def save_measures(self) -> None:
        """Ask for a file, and write the measures of all fields to it."""
        layer = self._prediction()
        columns = {} if layer is None else joined(layer, self._names(layer))
        if not columns or layer is None:
            self._tell("There are no measures yet: press Segment.")
            return
        suggestion = f"{layer.name} nuclei.csv"
        name, _ = QFileDialog.getSaveFileName(self.native, "Save measures", suggestion, "*.csv")
        if name:
            write_columns(Path(name), columns)
            self._tell(f"Measures of {len(columns['field'])} nuclei are in {name}.")

    def _show_field(self, event: Any = None) -> None:
        layer = self._prediction()
        if layer is not None and tables_of(layer):
            show_table(layer, self._plane(layer))

    def _plane(self, layer: Labels) -> int:
        return shown_plane(self._viewer.dims.point, layer)

    def _names(self, layer: Labels) -> tuple[str, ...]:
        record = record_of(layer)
        return record.stems if record is not None else ()
