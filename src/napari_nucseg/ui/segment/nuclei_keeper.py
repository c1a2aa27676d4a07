"""Keeping the measures of all predictions right: in every field, whoever changes their labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer

from napari_nucseg.ui.jobs import Job, tell_user
from napari_nucseg.ui.layers import plane_of, record_of, shown_plane
from napari_nucseg.ui.segment.kept import KeptResults
from napari_nucseg.ui.segment.measuring_again import Field, measure_changed
from napari_nucseg.ui.segment.nuclei_tables import Table, keep_tables, show_table, tables_of
from napari_nucseg.ui.segment.predictions import parts_of, provenance_by_field
from napari_nucseg.ui.segment.sources import pixel_size, source_of

REST = 300
"""Milliseconds that labels have to rest before they are measured again."""


class NucleiKeeper:
    """Shows the measures of the field in sight, and measures again what was edited.

    Parameters
    ----------
    viewer : ViewerModel
        Whose predictions are kept right.
    kept : KeptResults
        Where the networks' outputs are, for the doubt.
    shown : callable
        Called with a layer whose measures changed or are those of another field.
    parent : QObject
        Owns the timer.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        kept: KeptResults,
        shown: Callable[[Labels], None],
        parent: QObject,
    ) -> None:
        self._viewer = viewer
        self._kept = kept
        self._shown = shown
        self._suspects: set[tuple[Labels, int]] = set()
        self._job: Job | None = None
        self._resting = QTimer(parent)
        self._resting.setSingleShot(True)
        self._resting.setInterval(REST)
        self._resting.timeout.connect(self._look)
        viewer.dims.events.current_step.connect(self.show_fields)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._connect(layer)

    @property
    def measuring(self) -> bool:
        """Whether labels are about to be measured, or are being so."""
        return self._resting.isActive() or self._job is not None

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and its layers."""
        self._resting.stop()
        if self._job is not None:
            self._job.abandon()
        self._suspects.clear()
        self._viewer.dims.events.current_step.disconnect(self.show_fields)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._viewer.layers:
            self._disconnect(layer)

    def show_fields(self, event: Any = None) -> None:
        """Show the measures of the field in sight, of every prediction."""
        for layer in self._viewer.layers:
            if isinstance(layer, Labels):
                self.show(layer)

    def show(self, layer: Labels) -> None:
        """Show the measures of the field in sight."""
        if tables_of(layer):
            show_table(layer, shown_plane(self._viewer.dims.point, layer))
            self._shown(layer)

    def _connect(self, layer: Any) -> None:
        if isinstance(layer, Labels):
            layer.events.paint.connect(self._suspect)
            layer.events.set_data.connect(self._suspect)  # of undoing, and of data from elsewhere

    def _disconnect(self, layer: Any) -> None:
        if isinstance(layer, Labels):
            layer.events.paint.disconnect(self._suspect)
            layer.events.set_data.disconnect(self._suspect)
            self._suspects = {(one, plane) for one, plane in self._suspects if one is not layer}

    def _on_inserted(self, event: Any) -> None:
        self._connect(event.value)

    def _on_removed(self, event: Any) -> None:
        self._disconnect(event.value)

    def _suspect(self, event: Any) -> None:
        layer = event.source
        tables = tables_of(layer)
        if tables:
            several = layer.n_edit_dimensions > 2
            shown = shown_plane(self._viewer.dims.point, layer)
            planes = tables if several else {shown} & tables.keys()
            self._suspects |= {(layer, plane) for plane in planes}
            self._resting.start()

    def _look(self) -> None:
        if self._job is not None:
            self._resting.start()
            return
        places = sorted(self._suspects, key=lambda place: place[1])
        self._suspects.clear()
        asked = {place: field for place in places if (field := self._field(*place))}
        if not asked:
            return
        job = Job(lambda tell: {place: measure_changed(one) for place, one in asked.items()})
        job.returned.connect(lambda found: self._take_up(asked, found))
        job.failed.connect(tell_user)
        job.finished.connect(self._on_finished)
        self._job = job
        job.start()

    def _on_finished(self) -> None:
        self._job = None

    def _field(self, layer: Labels, plane: int) -> Field | None:
        """Put together what is needed to measure a field; None without its image."""
        record = record_of(layer)
        source = "" if record is None else record.source
        image = next((i for i in self._viewer.layers if str(i.unique_id) == source), None)
        table = tables_of(layer).get(plane)
        made = provenance_by_field(layer).get(plane)
        if not isinstance(image, Image) or table is None or made is None:
            return None
        parts = self._kept.of(source, str(made["model"])).get(plane, {})
        return Field(
            labels=plane_of(layer.data, plane),
            plane=plane,
            image=source_of(image, made.get("channel", "")),
            pixel_size=pixel_size(image),
            table=table,
            parts=parts if len(parts) == len(parts_of(made)) else {},
        )

    def _take_up(
        self,
        asked: dict[tuple[Labels, int], Field],
        found: dict[tuple[Labels, int], Table | None],
    ) -> None:
        for (layer, plane), table in found.items():
            tables = tables_of(layer)
            if table is None or tables.get(plane) is not asked[layer, plane].table:
                continue  # unchanged, or made anew since
            keep_tables(layer, {**tables, plane: table})
            self.show(layer)
