"""Showing results of segmenting: one Labels layer an image and model, refreshed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucseg.core.images import Labels as LabelImage
from napari_nucseg.core.measuring import Nuclei
from napari_nucseg.ui.layers import (
    PREDICTION,
    LayerRecord,
    field_shape,
    find_labels,
    plane_of,
    put_labels,
    record_of,
)
from napari_nucseg.ui.nuclei_tables import Table, keep_tables, merged, moved, tables_of
from napari_nucseg.ui.segmenting import Made
from napari_nucseg.ui.sources import Box

Provenance = Mapping[str, Any]
BOXES = "boxes"
"""Key of a field's provenance for those of the boxes in it that were segmented later."""


def find_prediction(viewer: ViewerModel, source: str, model: str) -> Labels | None:
    """Return the labels that a model made of an image layer, by the layer's unique id."""
    made = {"model": model}
    return find_labels(viewer.layers, LayerRecord(PREDICTION, source=source, provenance=made))


def put_prediction(viewer: ViewerModel, image: Image, made: Sequence[Made]) -> Labels:
    """Show labels over their image; what was segmented before keeps its labels elsewhere.

    Parameters
    ----------
    viewer : ViewerModel
        Where the image is.
    image : Image
        What was segmented.
    made : sequence of Made
        By one model, in the order of their making.
    """
    shape = field_shape(image)
    earlier = find_prediction(viewer, str(image.unique_id), made[0].spot.model)
    labels = np.zeros(shape, dtype=np.int32)
    tables: dict[int, Table] = {}
    told: dict[int, Provenance] = {}
    if earlier is not None and earlier.data.shape == shape:
        labels, tables = earlier.data, dict(tables_of(earlier))
        told = dict(provenance_by_field(earlier))
    for one in made:
        plane = one.spot.plane
        tables[plane] = _write(plane_of(labels, plane), one, tables.get(plane))
        told[plane] = stacked(told.get(plane), one.provenance)
    record = _record(image, told, made[-1].spot.plane)
    name = f"{image.name} {short_name(made[0].spot.model)}"
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


def _write(field: LabelImage, made: Made, earlier: Table | None) -> Table:
    """Write labels into their field, in a box with numbers that are not taken outside of it.

    Returns
    -------
    Table
        The measures of all nuclei of the field, by the numbers that they have then.
    """
    box = made.spot.box
    if box is None:
        field[...] = made.labels
        return Table(made.nuclei, made.fingerprint)
    field[box.slices] = 0
    taken = int(field.max(initial=0))
    field[box.slices] = np.where(made.labels > 0, made.labels + taken, 0)
    nuclei: Nuclei = moved(made.nuclei, taken, box)
    if earlier is not None:
        nuclei = merged(nuclei, earlier.nuclei, field)
    # Nuclei that the box cuts are still to be measured
    return Table(nuclei, None)
