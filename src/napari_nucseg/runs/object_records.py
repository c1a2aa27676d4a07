"""One row an object: which, where, what became of it, and which objects explain that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.core.images import Labels
from napari_nucseg.core.matching import Matching
from napari_nucseg.core.presets import Preset
from napari_nucseg.core.verdicts import ObjectVerdicts, Verdict, judge
from napari_nucseg.runs.places import find_places

Columns = dict[str, list[Any]]
"""Columns of equal length by name."""


def object_columns(
    field: str,
    truth: Labels,
    predicted: Labels,
    matching: Matching,
    preset: Preset,
    *,
    pixel_size: float | None = None,
) -> Columns:
    """List the objects of a field, the true ones first.

    Parameters
    ----------
    field : str
        Name of the field.
    truth, predicted : ndarray of integers, shape (height, width)
        The labels that were matched.
    matching : Matching
        Of the two.
    preset : Preset
        Rule of scores that they were matched by.
    pixel_size : float, optional
        Edge of a pixel in micrometres.

    Returns
    -------
    dict of str to list
        ``field``; ``side``, "truth" or "predicted"; ``object``, the label's own number;
        ``verdict``; ``beside_error``, whether a match is beside another object's split or merge;
        ``iou`` with the partner, or the best there is; ``area_px``, ``centroid_y_px`` and
        ``centroid_x_px``; with the pixel size ``area_um2``, ``centroid_y_um`` and
        ``centroid_x_um``; ``partners``, tuples of numbers of the other side;
        ``preset`` and ``threshold``, the rule of scores and the IoU that verdicts are by. A
        centroid counts from the middle of the field's first pixel.
    """
    verdicts, overlap = judge(matching), matching.overlap
    sides = (
        ("truth", truth, verdicts.truth, overlap.truth_areas),
        ("predicted", predicted, verdicts.predicted, overlap.predicted_areas),
    )
    columns = join([_side(field, *side, pixel_size) for side in sides])
    count = len(columns["object"])
    return columns | {"preset": [preset.name] * count, "threshold": [matching.threshold] * count}


def join(tables: Sequence[Mapping[str, list[Any]]]) -> Columns:
    """Put tables of the same columns under one another."""
    return {name: [cell for table in tables for cell in table[name]] for name in tables[0]}


def _side(
    field: str,
    side: str,
    labels: Labels,
    verdicts: ObjectVerdicts,
    areas: NDArray[np.int64],
    pixel_size: float | None,
) -> Columns:
    places = find_places(labels, verdicts.ids)
    columns = {
        "field": [field] * len(verdicts.ids),
        "side": [side] * len(verdicts.ids),
        "object": verdicts.ids.tolist(),
        "verdict": [Verdict(code).word for code in verdicts.codes.tolist()],
        "beside_error": verdicts.beside.tolist(),
        "iou": verdicts.ious.tolist(),
        "area_px": areas.tolist(),
        "centroid_y_px": places.y.tolist(),
        "centroid_x_px": places.x.tolist(),
    }
    if pixel_size is not None:
        columns["area_um2"] = (areas * pixel_size**2).tolist()
        columns["centroid_y_um"] = (places.y * pixel_size).tolist()
        columns["centroid_x_um"] = (places.x * pixel_size).tolist()
    return columns | {"partners": list(verdicts.partners)}
