"""Keeping the measures of all predictions right, in a worker, whoever changes their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from napari_nucseg.analysis.corrections import fingerprint
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.measurements import Nuclei, measure, measure_nuclei
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.segmenters.api import Flows, Segmentation
from napari_nucseg.ui.jobs import Job, single_shot, tell_user
from napari_nucseg.ui.layer_fields import full_data, pixel_size, plane_of, shown_plane
from napari_nucseg.ui.layers import find_image, is_made_from, record_of
from napari_nucseg.ui.panel import LayerWatch, UndoWatch
from napari_nucseg.ui.segment.hand_edits import notice_undo, provenance_by_field
from napari_nucseg.ui.segment.image_source import source_of
from napari_nucseg.ui.segment.live_update import matching
from napari_nucseg.ui.segment.measurement_tables import (
    FieldTable,
    keep_tables,
    show_table,
    tables_of,
)
from napari_nucseg.ui.segment.result_cache import Parts, ResultCache

DOUBT = ("flow_error", "cellprob_logit")
"""Measures that need the network's output."""
LayerField = tuple[Labels, int]  # a stack of labels, and the number of a field in it
REST = 300
"""Milliseconds that labels have to rest before they are measured again."""


@dataclass(frozen=True)
class EditedField:
    """Labels that may have been edited since they were measured.

    Attributes
    ----------
    labels : array of integers, shape (height, width)
        Labels of the field as they are now; 0 is background.
    plane : int
        Number of the field in the stack.
    image : FieldSource
        The image that was segmented, to read intensities from.
    pixel_size : float or None
        Edge of a pixel in micrometres.
    table : FieldTable
        Measurements of the nuclei before the edit.
    parts : Parts
        All that the networks said of the field; empty where it is not in memory.
    """

    labels: Any
    plane: int
    image: FieldSource
    pixel_size: float | None
    table: FieldTable
    parts: Parts


def measure_changed(field: EditedField) -> FieldTable | None:
    """Measure a field's nuclei; None where the labels are those that were measured.

    Where the network's output is in memory, doubt is told anew; else nuclei that are as they were
    keep theirs, and that of the others is NaN.
    """
    labels = np.array(field.labels)
    mark = fingerprint(labels)
    if field.table.fingerprint == mark:
        return None
    image = field.image.read(field.plane)
    if image.shape != labels.shape:
        return None
    channels = field.image.read_channels(field.plane)
    if field.parts:
        ids = np.unique(labels[labels > 0])
        numbered = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0).astype(np.int32)
        whole = _whole(field.parts, numbered)
        nuclei = measure_nuclei(whole, image, field.pixel_size, channels)
        return FieldTable(nuclei | {"index": ids.astype(np.int64)}, mark)
    nuclei = measure(labels, image, pixel_size=field.pixel_size, channels=channels)
    return FieldTable(nuclei | _doubt_as_before(nuclei, field.table.nuclei), mark)


def _whole(parts: Parts, labels: LabelImage) -> Segmentation:
    """Put what networks said of a field and of boxes in it together."""
    results = [kept.result for kept in parts.values()]
    if len(parts) == 1 and next(iter(parts)).box is None:
        return replace(results[0], labels=labels)
    vectors = np.zeros((2, *labels.shape), dtype=np.float32)
    cellprob = np.zeros(labels.shape, dtype=np.float32)
    for key, result in zip(parts, results, strict=True):
        if result.flows is None:
            return replace(result, labels=labels)
        where = (slice(None), slice(None)) if key.segmented is None else key.segmented.slices
        vectors[:, *where] = result.flows.vectors
        cellprob[where] = result.flows.cellprob
    return replace(results[-1], labels=labels, flows=Flows(vectors, cellprob))


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


def _doubt_as_before(nuclei: Nuclei, before: Nuclei) -> Nuclei:
    """Return the doubt of nuclei that have the place and size that they had."""
    rows = {int(label): row for row, label in enumerate(before["index"])}
    row = np.array([rows.get(int(label), -1) for label in nuclei["index"]], dtype=int)
    same = row >= 0
    for column in ("area_px", "centroid_y", "centroid_x"):
        same[same] = before[column][row[same]] == nuclei[column][same]
    doubt = {}
    for column in DOUBT:
        if column in before:
            doubt[column] = np.full(len(row), np.nan)
            doubt[column][same] = before[column][row[same]]
    return doubt


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
            planes = tables if several else {shown} & tables.keys()
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
        places = sorted(there, key=lambda place: place[1])
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

    def _field(self, layer: Labels, plane: int) -> EditedField | None:
        """Put together what is needed to measure a field; None without its image."""
        record = record_of(layer)
        source = "" if record is None else record.source
        image = next((i for i in self._viewer.layers if str(i.unique_id) == source), None)
        table = tables_of(layer).get(plane)
        made = provenance_by_field(layer).get(plane)
        if not isinstance(image, Image) or table is None or made is None:
            return None
        parts = self._cache.of(source, str(made["model"])).get(plane, {})
        return EditedField(
            labels=plane_of(layer.data, plane),
            plane=plane,
            image=source_of(image, made.get("channel", ""), made.get("axes")),
            pixel_size=pixel_size(image),
            table=table,
            parts=matching(parts, made),
        )

    def _take_up(
        self, asked: dict[LayerField, EditedField], found: dict[LayerField, FieldTable | None]
    ) -> None:
        for (layer, plane), table in found.items():
            tables = tables_of(layer)
            if table is None or tables.get(plane) is not asked[layer, plane].table:
                continue  # unchanged, or made anew since
            keep_tables(layer, {**tables, plane: table})
            self.show(layer)
            if asked[layer, plane].table.fingerprint is not None:  # else a run left it to us
                self._edited(layer, False)
