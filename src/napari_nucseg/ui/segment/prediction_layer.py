"""Showing results of segmenting: one Labels layer an image and model, refreshed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucseg.analysis.measurements import Nuclei
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.layers import (
    PREDICTION,
    LayerRecord,
    field_shape,
    find_labels,
    plane_of,
    put_labels,
    record_of,
)
from napari_nucseg.ui.segment.image_source import Box
from napari_nucseg.ui.segment.measurement_tables import Table, keep_tables, merged, moved, tables_of
from napari_nucseg.ui.segment.worker import FieldResult

Provenance = Mapping[str, Any]
BOXES = "boxes"
"""Key of a field's provenance for those of the boxes in it that were segmented later."""


def find_prediction(viewer: ViewerModel, source: str, model: str) -> Labels | None:
    """Return the labels that a model made of an image layer, by the layer's unique id."""
    made = {"model": model}
    return find_labels(viewer.layers, LayerRecord(PREDICTION, source=source, provenance=made))


def put_prediction(viewer: ViewerModel, image: Image, made: Sequence[FieldResult]) -> Labels:
    """Show labels over their image; what was segmented before keeps its labels elsewhere.

    Parameters
    ----------
    viewer : ViewerModel
        Where the image is.
    image : Image
        What was segmented.
    made : sequence of FieldResult
        By one model, in the order of their making.
    """
    shape = field_shape(image)
    earlier = find_prediction(viewer, str(image.unique_id), made[0].key.model)
    labels = np.zeros(shape, dtype=np.int32)
    tables: dict[int, Table] = {}
    told: dict[int, Provenance] = {}
    if earlier is not None and earlier.data.shape == shape:
        labels, tables = earlier.data, dict(tables_of(earlier))
        told = dict(provenance_by_field(earlier))
    for one in made:
        plane = one.key.plane
        above = 0 if one.provenance.get("depth") else _highest_of_volumes(labels, told, plane)
        tables[plane] = _write(plane_of(labels, plane), one, tables.get(plane), above)
        told[plane] = stacked(told.get(plane), one.provenance)
    record = _record(image, told, made[-1].key.plane)
    name = f"{image.name} {short_name(made[0].key.model)}"
    layer = put_labels(viewer, labels, image, record, name)
    keep_tables(layer, tables)
    return layer


def provenance_by_field(layer: Labels) -> Mapping[int, Provenance]:
    """Return how the labels of each field were made, by its number."""
    record = record_of(layer)
    if record is None or record.provenance is None:
        return {}
    return {0: record.provenance} if record.by_field is None else record.by_field


def parts_of(made: Provenance) -> list[Provenance]:
    """List what lies on top of one another in a field, in the order of its making."""
    first = {key: value for key, value in made.items() if key != BOXES}
    return [first, *made.get(BOXES, ())]


def stacked(before: Provenance | None, added: Provenance) -> Provenance:
    """Add how a field or a box was made to what is told of a field.

    Parameters
    ----------
    before : mapping or None
        What was told before, if anything.
    added : mapping
        It replaces what is told of boxes within its own; one of the whole field replaces all.
    """
    parts = [] if before is None else parts_of(before)
    left = [part for part in parts if not _covers(added.get("box"), part.get("box"))]
    first, *boxes = [*left, added]
    return {**first, BOXES: boxes} if boxes else dict(first)


def short_name(model: str) -> str:
    """Name a model for people: a file by its base name."""
    return Path(model).name


def _covers(box: Sequence[int] | None, other: Sequence[int] | None) -> bool:
    return box is None or (other is not None and Box(*box).holds(Box(*other)))


def _record(image: Image, told: Mapping[int, Provenance], last: int) -> LayerRecord:
    of_image = record_of(image)
    record = LayerRecord(
        PREDICTION,
        stems=of_image.stems if of_image else (),
        source=str(image.unique_id),
        provenance=told[last],
    )
    if len(field_shape(image)) == 2:
        return record
    return replace(record, fields=tuple(sorted(told)), by_field=dict(told))


def _highest_of_volumes(labels: LabelImage, told: Mapping[int, Provenance], plane: int) -> int:
    """Return the highest number in the other planes, if volumes are among them; else 0."""
    if not any(made.get("depth") for other, made in told.items() if other != plane):
        return 0
    planes = labels.reshape(-1, *labels.shape[-2:])
    return max(int(part.max(initial=0)) for part in (planes[:plane], planes[plane + 1 :]))


def _write(field: LabelImage, made: FieldResult, earlier: Table | None, above: int) -> Table:
    """Write labels into their field, in a box with numbers that are not taken outside of it.

    Parameters
    ----------
    field : ndarray of int32, shape (height, width)
        Of the layer.
    made : FieldResult
        What is written.
    earlier : Table or None
        The measures of what was there.
    above : int
        Numbers up to this one belong to nuclei of other planes.

    Returns
    -------
    Table
        The measures of all nuclei of the field, by the numbers that they have then.
    """
    box = made.key.box
    if box is None and not above:
        field[...] = made.labels
        return Table(made.nuclei, made.fingerprint)
    if box is None:
        box, earlier = Box(0, 0, *field.shape), None
    field[box.slices] = 0
    taken = max(int(field.max(initial=0)), above)
    field[box.slices] = np.where(made.labels > 0, made.labels + taken, 0)
    nuclei: Nuclei = moved(made.nuclei, taken, box)
    if earlier is not None:
        nuclei = merged(nuclei, earlier.nuclei, field)
    # Nuclei that the box cuts are still to be measured
    return Table(nuclei, None)
