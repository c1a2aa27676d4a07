"""Keeping the measures of all predictions right, in a worker, whoever changes their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from napari_nucseg.segmenters.api import Flows
from napari_nucseg.ui.jobs import Job, single_shot, tell_user
from napari_nucseg.ui.layer_fields import full_data, plane_of, shown_plane
from napari_nucseg.ui.layers import find_image, is_made_from, record_of
from napari_nucseg.ui.panel import LayerWatch, UndoWatch
from napari_nucseg.ui.segment.edited_labels import EditedField, EditedVolume
from napari_nucseg.ui.segment.hand_edits import notice_undo, provenance_by_field
from napari_nucseg.ui.segment.image_source import calibration_of, source_of
from napari_nucseg.ui.segment.live_update import matching
from napari_nucseg.ui.segment.measurement_tables import (
    FieldTable,
    keep_tables,
    planes_measured_with,
    show_table,
    tables_of,
)
from napari_nucseg.ui.segment.result_cache import Parts, ResultCache

LayerField = tuple[Labels, int]  # a stack of labels, and the number of a field in it
REST = 300
"""Milliseconds that labels have to rest before they are measured again."""


def _joined_flows(parts: Parts, shape: tuple[int, ...]) -> Flows | None:
    """Put the flows of a field's parts together; there is no nucleus where no network looked."""
    vectors = np.zeros((2, *shape), dtype=np.float32)
    cellprob = np.full(shape, -np.inf, dtype=np.float32)
    joined = None
    for key, kept in parts.items():
        flows, part = kept.result.flows, key.segmented
        where = (slice(None), slice(None)) if part is None else part.slices
        if flows is not None and flows.cellprob.shape == cellprob[where].shape:
            vectors[:, *where], cellprob[where] = flows.vectors, flows.cellprob
            joined = replace(flows, vectors=vectors, cellprob=cellprob)
    return joined


class MeasurementUpdates:
    """Shows the measures of the field in sight, and measures again what was edited.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose predictions are kept measured.
    cache : ResultCache
        Results in memory, whose flows tell the doubt.
    shown : callable
        Called with a layer whose measures changed or are those of another field.
    edited : callable
        Called with a layer whose labels were edited, and whether a result was undone or redone.
    parent : QObject
        Owner of the timer, which ends with it.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        cache: ResultCache,
        shown: Callable[[Labels], None],
        edited: Callable[[Labels, bool], None],
        parent: QObject,
    ) -> None:
        self._viewer = viewer
        self._cache = cache
        self._shown = shown
        self._edited = edited
        self._turned_back: set[Labels] = set()
        self._suspects: set[LayerField] = set()
        self._job: Job | None = None
        self._resting = single_shot(parent, self._look, REST)
        parent.destroyed.connect(self._drop_job)  # with the window, which tells nobody
        viewer.dims.events.current_step.connect(self.show_fields)
        # set_data is for data from elsewhere
        self._undo_watch = UndoWatch(viewer, self._on_undone, parent)
        self._watch = LayerWatch(viewer, Labels, ("paint", "set_data"), self.suspect)

    @property
    def measuring(self) -> bool:
        """Whether labels are about to be measured, or are being so."""
        return self._resting.isActive() or self._job is not None

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and its layers."""
        self._resting.stop()
        self._drop_job()
        self._suspects.clear()
        self._viewer.dims.events.current_step.disconnect(self.show_fields)
        self._watch.disconnect_viewer()
        self._undo_watch.disconnect_viewer()

    def _drop_job(self) -> None:
        if self._job is not None:
            self._job.abandon()

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

    def suspect(self, layer: Labels) -> None:
        """Look soon whether labels are still those that were measured."""
        if notice_undo(layer):
            self._turned_back.add(layer)
        tables = tables_of(layer)
        if tables:
            several = layer.n_edit_dimensions > 2
            shown = shown_plane(self._viewer.dims.point, layer)
            planes = {
                plane
                for plane, table in tables.items()
                if several or plane == shown or table.fingerprint is None
            }
            self._suspects |= {(layer, plane) for plane in planes}
            self._resting.start()

    def _on_undone(self, layer: Labels) -> None:
        """Look at all fields, since what was undone may have been in any of them."""
        self.suspect(layer)
        self._suspects |= {(layer, plane) for plane in tables_of(layer)}

    def flows_of(self, layer: Labels, plane: int) -> Flows | None:
        """Return what a network said of a field of labels; None where that is not in memory.

        For labels that no network made it is what one said of their image, the topmost first.
        """
        image = find_image(self._viewer.layers, layer)
        for one in (layer, *reversed(self._viewer.layers)):
            record, made = record_of(one), None
            if image is not None and is_made_from(one, image):
                made = provenance_by_field(one).get(plane)
            if record is not None and made is not None:
                parts = self._cache.of(record.source, str(made["model"])).get(plane, {})
                flows = _joined_flows(parts, full_data(layer).shape[-2:])
                if flows is not None:
                    return flows
        return None

    def _look(self) -> None:
        if self._job is not None:
            self._resting.start()
            return
        for layer in self._turned_back:
            if layer in self._viewer.layers:
                self.show(layer)
                self._edited(layer, True)
        self._turned_back.clear()
        there = [place for place in self._suspects if place[0] in self._viewer.layers]
        places = {
            (layer, planes_measured_with(tables_of(layer), plane)[0])
            for layer, plane in there
            if plane in tables_of(layer)
        }
        self._suspects.clear()
        in_order = sorted(places, key=lambda place: place[1])
        asked = {place: field for place in in_order if (field := self._field(*place))}
        if not asked:
            return
        job = Job(lambda tell: {place: one.measured() for place, one in asked.items()})
        job.returned.connect(lambda found: self._take_up(asked, found))
        job.failed.connect(tell_user)
        job.finished.connect(self._on_finished)
        self._job = job
        job.start()

    def _on_finished(self) -> None:
        self._job = None

    def _field(self, layer: Labels, plane: int) -> EditedField | EditedVolume | None:
        """Put together what is needed to measure a field or a volume; None without its image."""
        record = record_of(layer)
        source = "" if record is None else record.source
        image = next((i for i in self._viewer.layers if str(i.unique_id) == source), None)
        tables = tables_of(layer)
        table = tables.get(plane)
        made = provenance_by_field(layer).get(plane)
        if not isinstance(image, Image) or table is None or made is None:
            return None
        fields = source_of(image, made.get("channel", ""), made.get("axes"))
        sizes = calibration_of(image)
        if table.volume:
            planes = planes_measured_with(tables, plane)
            labels = tuple(plane_of(layer.data, one) for one in planes)
            return EditedVolume(labels, fields, sizes, {one: tables[one] for one in planes})
        parts = self._cache.of(source, str(made["model"])).get(plane, {})
        return EditedField(
            labels=plane_of(layer.data, plane),
            plane=plane,
            image=fields,
            pixel_size=sizes.pixel_size,
            table=table,
            parts=matching(parts, made),
        )

    def _take_up(
        self,
        asked: dict[LayerField, EditedField | EditedVolume],
        found: dict[LayerField, dict[int, FieldTable]],
    ) -> None:
        for place, measured in found.items():
            layer, before, tables = place[0], asked[place].tables, tables_of(place[0])
            if not measured or any(tables.get(p) is not table for p, table in before.items()):
                continue  # unchanged, or made anew since
            keep_tables(layer, {**tables, **measured})
            self.show(layer)
            if all(table.fingerprint is not None for table in before.values()):
                self._edited(layer, False)  # else a run left it to us
