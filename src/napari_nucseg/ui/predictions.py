"""Showing results of segmenting: one Labels layer an image and model, refreshed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

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
    shown_plane,
)
from napari_nucseg.ui.nuclei_tables import keep_table, merged, moved, show_table, tables_of
from napari_nucseg.ui.segmenting import Made


def put_prediction(viewer: ViewerModel, image: Image, made: Mapping[int, Made]) -> Labels:
    """Show labels over their image; fields that were segmented before keep theirs.

    Parameters
    ----------
    viewer : ViewerModel
        Where the image is.
    image : Image
        What was segmented.
    made : mapping
        Labels by the number of their field; outside of their box it keeps its labels.
    """
    shape = field_shape(image)
    last = list(made.values())[-1].provenance
    of_image = record_of(image)
    record = LayerRecord(
        PREDICTION,
        stems=of_image.stems if of_image else (),
        source=str(image.unique_id),
        fields=tuple(made) if len(shape) > 2 else None,
        provenance=last,
    )
    earlier = find_labels(viewer.layers, record)
    by_field = {plane: one.provenance for plane, one in made.items()}
    if earlier is not None and earlier.data.shape == shape:
        labels = earlier.data
        before = record_of(earlier)
        by_field = {**((before and before.by_field) or {}), **by_field}
    else:
        labels = np.zeros(shape, dtype=np.int32)
    if record.fields is not None:
        record = replace(record, fields=tuple(sorted(by_field)), by_field=by_field)
    tables = {plane: _write(plane_of(labels, plane), one) for plane, one in made.items()}
    layer = put_labels(viewer, labels, image, record, f"{image.name} {last['model']}")
    for plane, nuclei in tables.items():
        if made[plane].box is not None:
            nuclei = merged(nuclei, tables_of(layer).get(plane), plane_of(labels, plane))
        keep_table(layer, plane, nuclei)
    show_table(layer, shown_plane(viewer.dims.point, layer))
    return layer


def _write(field: LabelImage, made: Made) -> Nuclei:
    """Write labels into their field, in a box with numbers that are not taken outside of it.

    Returns
    -------
    Nuclei
        Their measures, by the numbers that they have then.
    """
    if made.box is None:
        field[...] = made.labels
        return made.nuclei
    field[made.box] = 0
    taken = int(field.max(initial=0))
    field[made.box] = np.where(made.labels > 0, made.labels + taken, 0)
    return moved(made.nuclei, taken, made.box)
