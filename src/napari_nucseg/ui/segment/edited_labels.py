"""Fields and volumes whose labels may have been edited, to be measured again in a worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from napari_nucseg.analysis.corrections import fingerprint
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.measurements import Nuclei, measure, measure_nuclei, measure_volume
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.segmenters.api import Flows, Segmentation
from napari_nucseg.ui.segment.measurement_tables import FieldTable, Tables
from napari_nucseg.ui.segment.result_cache import Parts

DOUBT = ("flow_error", "cellprob_logit")
"""Measures that need the network's output."""


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

    @property
    def tables(self) -> Tables:
        """The measurements before the edit, by the number of the field."""
        return {self.plane: self.table}

    def measured(self) -> dict[int, FieldTable]:
        """Measure the nuclei; nothing where the labels are those that were measured."""
        table = measure_changed(self)
        return {} if table is None else {self.plane: table}


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


@dataclass(frozen=True)
class EditedVolume:
    """Planes of a volume whose labels may have been edited since they were measured.

    Attributes
    ----------
    labels : tuple of arrays of integers, shape (height, width)
        Labels of the planes as they are now; 0 is background.
    image : FieldSource
        The image that was segmented, to read intensities from.
    calibration : Calibration
        Sizes of pixels and distance of planes.
    tables : mapping
        Measurements before the edit, by the numbers of the planes in ascending order.
    """

    labels: tuple[Any, ...]
    image: FieldSource
    calibration: Calibration
    tables: Tables

    def measured(self) -> dict[int, FieldTable]:
        """Measure the nuclei of all planes; nothing where the labels are those that were.

        Planes in between that were segmented by themselves hold no nucleus of the volume.
        """
        planes = {p: np.array(one) for p, one in zip(self.tables, self.labels, strict=True)}
        marks = {p: fingerprint(one) for p, one in planes.items()}
        if all(table.fingerprint == marks[p] for p, table in self.tables.items()):
            return {}
        volume = next(iter(self.tables.values())).volume
        image = np.stack([self.image.read(p) for p in volume])
        blank = np.zeros_like(next(iter(planes.values())))
        labels = np.stack([planes.get(p, blank) for p in volume])
        if image.shape != labels.shape:
            return {}
        channels = self.image.read_channels_of(volume)
        nuclei = measure_volume(labels, image, **asdict(self.calibration), channels=channels)
        return {p: FieldTable(nuclei, mark, volume) for p, mark in marks.items()}
