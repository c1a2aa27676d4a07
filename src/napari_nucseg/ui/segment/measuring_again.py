"""Measuring the nuclei of labels that were edited, in a worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_nucseg.core.images import Labels
from napari_nucseg.core.measuring import Nuclei, measure
from napari_nucseg.core.segmenting import Flows, Segmentation
from napari_nucseg.segmenters.nuclei import measure_nuclei
from napari_nucseg.ui.segment.kept import Parts
from napari_nucseg.ui.segment.nuclei_tables import Table
from napari_nucseg.ui.segment.segmenting import fingerprint
from napari_nucseg.ui.segment.sources import FieldSource

DOUBT = ("flow_error", "cellprob_logit")
"""Measures that need the network's output."""


@dataclass(frozen=True)
class Field:
    """Labels that may have been edited since they were measured.

    Attributes
    ----------
    labels : array of integers, shape (height, width)
        As they are now.
    plane : int
        Number of the field in the stack.
    image : FieldSource
        What was segmented.
    pixel_size : float or None
        Edge of a pixel in micrometres.
    table : Table
        Their measures as they were.
    parts : Parts
        All that the networks said of the field; empty where it is not in memory.
    """

    labels: Any
    plane: int
    image: FieldSource
    pixel_size: float | None
    table: Table
    parts: Parts


def measure_changed(field: Field) -> Table | None:
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
    if field.parts:
        ids = np.unique(labels[labels > 0])
        numbered = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0).astype(np.int32)
        nuclei = measure_nuclei(_whole(field.parts, numbered), image, field.pixel_size)
        return Table(nuclei | {"index": ids.astype(np.int64)}, mark)
    nuclei = measure(labels, image, pixel_size=field.pixel_size)
    return Table(nuclei | _doubt_as_before(nuclei, field.table.nuclei), mark)


def _whole(parts: Parts, labels: Labels) -> Segmentation:
    """Put what networks said of a field and of boxes in it together."""
    results = [kept.result for kept in parts.values()]
    if len(parts) == 1 and next(iter(parts)).box is None:
        return replace(results[0], labels=labels)
    vectors = np.zeros((2, *labels.shape), dtype=np.float32)
    cellprob = np.zeros(labels.shape, dtype=np.float32)
    for spot, result in zip(parts, results, strict=True):
        if result.flows is None:
            return replace(result, labels=labels)
        where = spot.box.slices if spot.box is not None else (slice(None), slice(None))
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
